//! Processes of one role are interchangeable: of the states that differ in their numbers, one is kept.

use crate::model::{Proc, State};
use crate::pack::Packed;
use crate::table::Config;

/// Among neighbours of one role the numbers make no difference: the one of the lesser key comes first.
pub(super) fn canonical(config: &Config, state: &mut State) -> Packed {
    state.clamp(config);
    let roles = if config.symmetry { config.roles } else { &[] };
    for p in 1..roles.len() {
        let mut q = p;
        while q > 0 && roles[q - 1] == roles[q] && key(config, state, q) < key(config, state, q - 1) {
            swap(config, state, q - 1, q);
            q -= 1;
        }
    }
    state.pack(config)
}

pub(super) fn key(config: &Config, state: &State, p: usize) -> impl Ord + use<> {
    let Proc { pc, pos, k, n, kept, word, tag, bound, excuse, after, .. } = state.proc[p];
    let mut owned = 0u8;
    for (i, slot) in state.slot[..config.slots].iter().enumerate() {
        owned |= u8::from(slot.word.is_of(p)) << i;
    }
    (
        pc,
        pos,
        k,
        n,
        kept,
        (word.lap, word.kind),
        (tag, excuse, bound),
        after.max(state.head),
        owned,
        state.is_shared(p),
    )
}

pub(super) fn swap(config: &Config, state: &mut State, p: usize, q: usize) {
    let other = |owner: u8| match usize::from(owner) {
        o if o == p => q as u8,
        o if o == q => p as u8,
        _ => owner,
    };
    state.proc.swap(p, q);
    for slot in &mut state.slot[..config.slots] {
        if slot.word.kind.is_owned() {
            slot.word.owner = other(slot.word.owner);
        }
    }
    for proc in &mut state.proc[..config.roles.len()] {
        if proc.word.kind.is_owned() {
            proc.word.owner = other(proc.word.owner);
        }
        if proc.pc.is_sweeping() {
            proc.target = other(proc.target);
        }
    }
}

/// The state under every renumbering of interchangeable pairs. Where two have equal keys any may be the one kept.
pub(super) fn images(config: &Config, state: State) -> Vec<State> {
    let mut images = vec![state];
    for p in (1..config.roles.len()).filter(|&p| config.roles[p - 1] == config.roles[p]) {
        for mut other in images.clone() {
            swap(config, &mut other, p - 1, p);
            images.push(other);
        }
    }
    images
}
