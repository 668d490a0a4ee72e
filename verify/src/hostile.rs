//! Verbs on a ring whose shared memory changes between them in every field and word.

use crate::below;
use crate::victim::{Victim, attack, attackable};
use arbitrary::Unstructured;

pub(crate) fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let ways: Vec<_> = attackable().collect();
    let way = below(&mut input, ways.len() as u64) as usize;
    let mut victim = Victim::new(&ways[way]);
    while !input.is_empty() {
        let mut choose = |n| below(&mut input, n);
        if choose(3) == 0 {
            attack(&victim.file, &mut choose);
        } else {
            victim.any_verb(&mut choose);
        }
    }
}
