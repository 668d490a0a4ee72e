//! The sweep of a dead process's slots, with a share in its lease: a sweeper frees what was at most once, a receiver that
//! peeks adopts what was not acknowledged. Several may be at it, and nobody gets the number meanwhile.

use crate::model::{Act, Kind::*, Pc, Proc, State, Word};
use crate::table::{Bug, Config, Role};

/// One transition of `p`, which sweeps or is about to sweep its `choice`-th victim. None: there is no such choice.
pub fn step(config: &Config, s: &mut State, p: usize, choice: usize) -> Option<Act> {
    let Proc { pc, k, target, word: seen, .. } = s.proc[p];
    let at = usize::from(k);
    let adopts = config.role(p) == Role::Peek;
    let dead = usize::from(target);
    match pc {
        Pc::Idle => {
            let victim = (0..config.roles.len()).filter(|&q| wants(config, s, q, adopts)).nth(choice)?;
            s.proc[p] = Proc { pc: Pc::Sweep, target: victim as u8, ..Proc::default() };
        }
        Pc::Sweep if at == config.slots => {
            s.proc[p].k = 0;
            s.proc[p].go(Pc::SweepEnd);
        }
        Pc::Sweep => {
            let w = s.slot[at].word;
            let proc = &mut s.proc[p];
            if !w.is_of(dead) {
                proc.k += 1;
            } else if matches!(w.kind, Writing | Pinned | Reading) || config.has(Bug::SweepFreesPeeked) {
                proc.go(Pc::SweepCas);
                proc.word = w;
            } else if adopts {
                proc.go(Pc::Adopt);
                proc.word = w;
            } else {
                proc.tag = true;
                proc.k += 1;
            }
        }
        Pc::SweepCas => {
            let back = seen.kind == Reading && config.has(Bug::ReadingBackToFull);
            let new = if back { Word::new(seen.lap, Full, 0) } else { Word::new(seen.lap + 1, Free, 0) };
            if config.has(Bug::SweepByStore) {
                s.slot[at].word = new;
            } else if s.cas(at, seen, new) {
                s.slot[at].owed |= back;
            }
            s.proc[p].go(Pc::Sweep);
        }
        Pc::Adopt => {
            s.proc[p].go(Pc::Sweep);
            if s.cas(at, seen, Word::new(seen.lap, seen.kind, p)) {
                // One at a time: the lease goes, what else the dead one has is found again.
                let pos = seen.lap * config.slots as u8 + k;
                s.proc[p] = Proc { pc: Pc::Read, pos, n: 1, tag: true, ..Proc::default() };
            }
        }
        Pc::SweepEnd => {
            if !s.proc[p].tag && s.proc[dead].pc == Pc::Dead {
                s.proc[dead].pc = Pc::Gone;
            }
            return Some(s.proc[p].done("swept"));
        }
        _ => unreachable!("{pc:?} is no sweep's"),
    }
    Some(Act::Run)
}

/// There is something that this one can do for a dead process, whoever else is at it.
fn wants(config: &Config, s: &State, q: usize, adopts: bool) -> bool {
    let mut owned = s.slot[..config.slots].iter().filter(|slot| slot.word.is_of(q)).peekable();
    s.proc[q].pc == Pc::Dead
        && (adopts
            || owned.peek().is_none()
            || owned.any(|slot| matches!(slot.word.kind, Writing | Pinned | Reading)))
}
