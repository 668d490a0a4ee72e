//! The receivers' rules: one by one, in batches, and with an acknowledgement.

use crate::model::{Act, Fault, Kind::*, Pc, Proc, State, Word};
use crate::rules::give_back;
use crate::table::{Bug, Config, Role};

/// One transition of receiver `p`. None: there is no such choice.
pub fn step(config: &Config, s: &mut State, p: usize, choice: usize, settle: bool) -> Option<Act> {
    let n = config.slots as u8;
    let Proc { pc, pos, k, n: taken, word: seen, .. } = s.proc[p];
    let lap = pos / n;
    let at = usize::from(pos) % config.slots;
    let peeks = config.role(p) == Role::Peek;
    let taking = if peeks { Peeked } else { Reading };
    let run = |s: &mut State, pc| {
        s.proc[p].go(pc);
        Some(Act::Run)
    };
    match pc {
        Pc::Idle => {
            s.proc[p] = Proc { pc: Pc::LoadHead, ..Proc::default() };
            step(config, s, p, choice, settle)
        }
        Pc::LoadHead => {
            s.proc[p].pos = s.head;
            s.proc[p].go(Pc::AtHead);
            // Nothing happened before, so nothing can be seen of the time between.
            if settle { step(config, s, p, choice, settle) } else { Some(Act::Run) }
        }
        Pc::AtHead => {
            let w = s.slot[at].word;
            if w == Word::new(lap, Full, 0) {
                return run(s, Pc::Take);
            }
            if w.lap > lap || w.lap == lap && w.kind.is_held() {
                if config.has(Bug::EmptyWhereTaken) {
                    return Some(empty(config, s, p));
                }
                return run(s, if config.has(Bug::HeadBeforeTail) { Pc::PassHead } else { Pc::PassTail });
            }
            if w.lap < lap || w.kind == Free || config.has(Bug::EmptyWithoutScan) {
                return Some(empty(config, s, p));
            }
            s.proc[p].go(if config.has(Bug::PinWithoutFull) { Pc::PinWriting } else { Pc::Scan });
            s.proc[p].k = 1;
            s.proc[p].word = w;
            Some(Act::Run)
        }
        Pc::Take => {
            if !s.cas(at, Word::new(lap, Full, 0), Word::new(lap, taking, p)) {
                s.proc[p].retry(Pc::LoadHead, pos);
                return Some(Act::Run);
            }
            if let Some(fault) = taken_at(config, s, pos, peeks) {
                return Some(Act::Bad(fault));
            }
            s.proc[p].n = 1;
            s.proc[p].excuse = false;
            run(s, if let Role::TakeBatch(_) = config.role(p) { Pc::TakeNext } else { Pc::MoveHead })
        }
        Pc::TakeNext => {
            let q = pos + taken;
            let (at, lap) = (usize::from(q) % config.slots, q / n);
            if !s.cas(at, Word::new(lap, Full, 0), Word::new(lap, taking, p)) {
                return run(s, Pc::MoveHead);
            }
            if let Some(fault) = taken_at(config, s, q, peeks) {
                return Some(Act::Bad(fault));
            }
            s.proc[p].n += 1;
            let last = config.role(p) == Role::TakeBatch(taken + 1);
            run(s, if last { Pc::MoveHead } else { Pc::TakeNext })
        }
        Pc::MoveHead => {
            s.cas_head(pos, pos + taken);
            run(s, Pc::Read)
        }
        Pc::Read => {
            let flagged = s.proc[p].tag && !config.has(Bug::RedeliveredUnflagged);
            let slot = &mut s.slot[usize::from(pos + k) % config.slots];
            if !slot.whole {
                return Some(Act::Bad(Fault::Torn));
            }
            if slot.seen && !flagged || flagged && s.credit == 0 {
                return Some(Act::Bad(Fault::Duplicate));
            }
            slot.seen = true;
            if flagged {
                s.credit -= 1;
                return run(s, Pc::GiveLoad);
            }
            let more = k + 1 < taken;
            s.proc[p].k = if more { k + 1 } else { 0 };
            run(
                s,
                if more {
                    Pc::Read
                } else if peeks {
                    Pc::Ack
                } else {
                    Pc::Release
                },
            )
        }
        Pc::Release => {
            let q = pos + k;
            let (at, lap) = (usize::from(q) % config.slots, q / n);
            let free = Word::new(lap + 1, Free, 0);
            if config.has(Bug::ReleaseByStore) {
                s.slot[at].word = free;
            } else if !s.cas(at, Word::new(lap, Reading, p), free) {
                return run(s, Pc::GiveLoad);
            }
            Some(released(s, p))
        }
        Pc::Ack => {
            let free = Word::new(lap + 1, Free, 0);
            if s.cas(at, Word::new(lap, Peeked, p), free) {
                s.slot[at].owed = false;
                return Some(s.proc[p].done("acknowledged"));
            }
            run(s, Pc::GiveLoad)
        }
        Pc::GiveLoad | Pc::GiveCas => match give_back(config, s, p) {
            None => Some(Act::Run),
            Some(Act::Run) if peeks => {
                s.slot[usize::from(pos + k) % config.slots].owed = false;
                Some(s.proc[p].done("acknowledged"))
            }
            Some(Act::Run) => Some(released(s, p)),
            bad => bad,
        },
        Pc::PassTail => {
            s.cas_tail(pos, pos + 1);
            if config.has(Bug::HeadBeforeTail) {
                s.proc[p].retry(Pc::LoadHead, pos);
                return Some(Act::Run);
            }
            run(s, Pc::PassHead)
        }
        Pc::PassHead => {
            s.cas_head(pos, pos + 1);
            if config.has(Bug::HeadBeforeTail) {
                return run(s, Pc::PassTail);
            }
            s.proc[p].retry(Pc::LoadHead, pos);
            Some(Act::Run)
        }
        Pc::Scan => scan(config, s, p, choice),
        Pc::Reload => {
            if s.slot[at].word == seen {
                return Some(scan_next(config, s, p));
            }
            s.proc[p].retry(Pc::LoadHead, pos);
            Some(Act::Run)
        }
        Pc::PinWriting => {
            let void = if config.has(Bug::PinForgetsOwner) {
                Word::new(lap + 1, Free, 0)
            } else {
                Word::new(lap, Pinned, usize::from(seen.owner))
            };
            let pinned = s.cas(at, seen, void);
            s.proc[p].retry(if pinned { Pc::PassTail } else { Pc::LoadHead }, pos);
            Some(Act::Run)
        }
        _ => unreachable!("{pc:?} is no receiver's"),
    }
}

/// Behind a WRITING head: is there a committed message, for which the head is worth a pin?
fn scan(config: &Config, s: &mut State, p: usize, choice: usize) -> Option<Act> {
    let n = config.slots as u8;
    let Proc { pos, k, .. } = s.proc[p];
    let lap = (pos + k) / n;
    let v = s.at(config, pos + k).word;
    if v == Word::new(lap, Full, 0) {
        // Its patience, a bounded number of looks, may or may not be at its end.
        return match choice {
            0 => {
                s.proc[p].pc = Pc::PinWriting;
                Some(Act::Run)
            }
            1 => {
                s.proc[p].retry(Pc::LoadHead, pos);
                Some(Act::Again)
            }
            _ => None,
        };
    }
    if choice > 0 {
        return None;
    }
    if v.lap < lap || v == Word::new(lap, Free, 0) {
        return Some(empty(config, s, p));
    }
    let taken = v.lap > lap || matches!(v.kind, Reading | Peeked);
    if taken && !config.has(Bug::EmptyWithoutReload) {
        s.proc[p].pc = Pc::Reload;
        return Some(Act::Run);
    }
    Some(scan_next(config, s, p))
}

fn scan_next(config: &Config, s: &mut State, p: usize) -> Act {
    s.proc[p].pc = Pc::Scan;
    s.proc[p].k += 1;
    if usize::from(s.proc[p].k) == config.slots {
        return empty(config, s, p);
    }
    Act::Run
}

/// Ghosts of a taken message. It must be the oldest of the committed ones.
fn taken_at(config: &Config, s: &mut State, pos: u8, peeks: bool) -> Option<Fault> {
    let older = |i: usize| s.slot[i].word.kind == Full && s.position(config, i) < pos;
    if (0..config.slots).any(older) {
        return Some(Fault::Reordered);
    }
    if !peeks {
        s.slot[usize::from(pos) % config.slots].owed = false;
    }
    None
}

/// After the k-th slot of a batch was released: the next one, or the end.
fn released(s: &mut State, p: usize) -> Act {
    let proc = &mut s.proc[p];
    if proc.k + 1 < proc.n {
        proc.k += 1;
        proc.go(Pc::Release);
        Act::Run
    } else {
        proc.done("a message")
    }
}

/// The answer Empty.
fn empty(config: &Config, s: &mut State, p: usize) -> Act {
    if !s.proc[p].excuse && !s.is_empty(config) {
        return Act::Bad(Fault::WrongEmpty);
    }
    s.proc[p].done("Empty")
}
