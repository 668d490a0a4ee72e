//! What the explorer leaves out is shown to be left out for nothing: on configurations that are small enough to be
//! visited whole.

use std::collections::BTreeSet;

use super::symmetry::images;
use super::*;
use crate::table::Role::{self, *};
use crate::table::SHORT;

const LIMIT: usize = 1_000_000;

fn config(slots: usize, roles: &'static [Role], kills: u8) -> Config {
    Config { slots, roles, kills, reborn: false, settle: true, symmetry: true, ..SHORT[0] }
}

fn all(config: &Config) -> BTreeSet<Packed> {
    let mut visited = Visited::default();
    let report = visit(config, LIMIT, &mut visited);
    assert!(report.fault.is_none() && !report.cut, "{config}: {:?}", report.fault);
    visited.chunks.into_iter().flatten().collect()
}

#[test]
fn settling_skips_no_state_of_the_memory() {
    for small in [
        config(2, &[Send, Recv, Peek, Sweep], 1),
        config(2, &[Grant, Send, Recv], 1),
        config(3, &[Batch(2), TakeBatch(2), Sweep], 1),
    ] {
        let memories = |config: &Config| -> BTreeSet<[u32; 2]> {
            all(config).iter().map(|packed| [packed[6], packed[7]]).collect()
        };
        let settled = memories(&small);
        assert!(settled.len() > 100, "{small}: {}", settled.len());
        assert!(settled == memories(&Config { settle: false, ..small }), "{small}");
    }
}

#[test]
fn symmetry_skips_no_state_but_for_the_numbers() {
    for small in [
        config(2, &[Send, Send, Recv], 1),
        config(2, &[Send, Recv, Recv, Sweep], 1),
        config(2, &[Send, Peek, Peek], 2),
        config(2, &[Send, Recv, Sweep, Sweep], 1),
    ] {
        let reduced = all(&small);
        let whole = all(&Config { symmetry: false, ..small });
        assert!(reduced.is_subset(&whole) && reduced.len() < whole.len(), "{small}");
        for packed in &whole {
            // Where two of them have equal keys either order may have been kept.
            let state = State::unpack(packed, &small);
            let kept = images(&small, state).iter().any(|image| reduced.contains(&image.pack(&small)));
            assert!(kept, "{small}: {state:?}");
        }
    }
}

#[test]
fn cursors_bring_the_slots_into_the_same_states() {
    for small in [
        config(2, &[Send, Recv, Peek, Sweep], 1),
        config(2, &[Send, Send, Recv, Recv], 0),
        config(3, &[Batch(2), TakeBatch(2), Sweep], 1),
    ] {
        // Without the ends: they are what differs. With the laps from the oldest on, since those count from the head.
        let slots = |config: &Config| -> BTreeSet<String> {
            let of = |packed: &Packed| {
                let mut slots = State::unpack(packed, config).slot[..config.slots].to_vec();
                let oldest = slots.iter().map(|slot| slot.word.lap).min().unwrap_or(0);
                slots.iter_mut().for_each(|slot| slot.word.lap -= oldest);
                format!("{slots:?}")
            };
            all(config).iter().map(of).collect()
        };
        let shared = slots(&Config { symmetry: false, ..small });
        let cursors = slots(&Config { symmetry: false, cursors: true, ..small });
        assert!(cursors.len() > 100 && cursors == shared, "{small}");
    }
}

#[test]
fn packed_states_say_the_same() {
    for small in [config(2, &[Send, Peek, Peek], 2), config(3, &[Batch(3), TakeBatch(2), Sweep], 1)] {
        for packed in all(&small) {
            let state = State::unpack(&packed, &small);
            assert!(state.pack(&small) == packed, "{state:?}");
        }
    }
}
