//! Verbs on a ring, SPSC or MPMC, whose shared memory changes between them in every field and word.

use crate::victim::Tally;
use crate::{Count, below, crowd, victim};
use arbitrary::Unstructured;

const ATTACKS: &str = "attacks";
const VERBS: &str = "verbs after the first of them";
const MOVED: &str = "messages moved after it";

pub(crate) const MUST: [&str; 5] = [ATTACKS, VERBS, MOVED, "head", "record header"];
pub(crate) const MUST_CROWDED: [&str; 5] = [ATTACKS, VERBS, MOVED, "slot state", "slot length"];

pub(crate) fn run(input: &[u8]) -> Count {
    let mut input = Unstructured::new(input);
    let ways: Vec<_> = victim::attackable().collect();
    let mut target = victim::Victim::new(&ways[below(&mut input, ways.len() as u64) as usize]);
    play(&mut input, |attacks, choose| {
        match attacks {
            true => victim::attack(&target.file, &mut |n| choose(n)),
            false => target.any_verb(&mut |n| choose(n)),
        }
        target.tally.clone()
    })
}

pub(crate) fn crowded(input: &[u8]) -> Count {
    let mut input = Unstructured::new(input);
    let ways: Vec<_> = crowd::attackable().collect();
    let mut target = crowd::Crowd::new(&ways[below(&mut input, ways.len() as u64) as usize]);
    play(&mut input, |attacks, choose| {
        match attacks {
            true => crowd::attack(&target.file, &mut |n| choose(n)),
            false => target.any_verb(&mut |n| choose(n)),
        }
        target.tally.clone()
    })
}

/// Attacks or calls a verb, and says what was answered so far.
fn play(
    input: &mut Unstructured<'_>,
    mut step: impl FnMut(bool, &mut dyn FnMut(u64) -> u64) -> Tally,
) -> Count {
    let mut attacks = 0;
    // What was answered before anything was wrong.
    let (mut sound, mut all) = (Tally::default(), Tally::default());
    while !input.is_empty() {
        let attack = below(input, 3) == 0;
        if attack && attacks == 0 {
            sound = all;
        }
        attacks += u64::from(attack);
        all = step(attack, &mut |n| below(input, n));
    }
    if attacks == 0 {
        return Count::new();
    }
    let own = [(ATTACKS, attacks), (VERBS, all.verbs - sound.verbs), (MOVED, all.moved - sound.moved)];
    // Of faults there are none before.
    own.into_iter().chain(all.corrupt).collect()
}
