//! Verbs on a ring, SPSC or MPMC, whose shared memory changes between them in every field and word.

use crate::victim::Victim;
use crate::{below, crowd, victim};
use arbitrary::Unstructured;

pub(crate) fn run(input: &[u8]) -> u64 {
    let mut input = Unstructured::new(input);
    let ways: Vec<_> = victim::attackable().collect();
    let way = below(&mut input, ways.len() as u64) as usize;
    let mut target = Victim::new(&ways[way]);
    while !input.is_empty() {
        let mut choose = |n| below(&mut input, n);
        if choose(3) == 0 {
            victim::attack(&target.file, &mut choose);
        } else {
            target.any_verb(&mut choose);
        }
    }
    target.tally.verbs
}

pub(crate) fn crowded(input: &[u8]) -> u64 {
    let mut input = Unstructured::new(input);
    let ways: Vec<_> = crowd::attackable().collect();
    let way = below(&mut input, ways.len() as u64) as usize;
    let mut target = crowd::Crowd::new(&ways[way]);
    while !input.is_empty() {
        let mut choose = |n| below(&mut input, n);
        if choose(3) == 0 {
            crowd::attack(&target.file, &mut choose);
        } else {
            target.any_verb(&mut choose);
        }
    }
    target.tally.verbs
}
