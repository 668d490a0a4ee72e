//! The senders' rules: one by one, in batches, and in place where a voided grant keeps its bytes.

use crate::model::{Act, Fault, Kind::*, Pc, Proc, State, Word};
use crate::rules::give_back;
use crate::table::{Bug, Config, Role};

/// One transition of sender `p`.
pub fn step(config: &Config, s: &mut State, p: usize, choice: usize, settle: bool) -> Act {
    let n = config.slots as u8;
    let Proc { pc, pos, k, n: taken, word: seen, .. } = s.proc[p];
    let lap = pos / n;
    let at = usize::from(pos) % config.slots;
    let role = config.role(p);
    match pc {
        Pc::Idle => {
            s.proc[p] = Proc { pc: Pc::LoadTail, after: s.sent, ..Proc::default() };
            step(config, s, p, choice, settle)
        }
        Pc::LoadTail => {
            s.proc[p].pos = s.tail;
            s.proc[p].go(if config.has(Bug::FullByCount) { Pc::Count } else { Pc::AtTail });
            // Nothing happened before, so nothing can be seen of the time between.
            if settle { step(config, s, p, choice, settle) } else { Act::Run }
        }
        Pc::Count => {
            if pos.saturating_sub(s.head) >= n {
                return full(config, s, p);
            }
            s.proc[p].go(Pc::AtTail);
            Act::Run
        }
        Pc::AtTail => {
            let w = s.slot[at].word;
            if w.lap + 1 == lap && s.proc[p].bound == 0 {
                s.proc[p].bound = pos;
            }
            let next = if w == Word::new(lap, Free, 0) {
                Pc::Claim
            } else if w.lap >= lap && config.has(Bug::NoHelp) {
                Pc::LoadTail
            } else if w.lap >= lap && config.has(Bug::FullWhereTaken) {
                return full(config, s, p);
            } else if w.lap >= lap {
                Pc::HelpTail
            } else if w.lap + 1 < lap || w.kind == Free {
                return Act::Bad(Fault::Corrupt);
            } else if !is_in_the_way(config, w, pos - n < s.proc[p].bound)
                || config.has(Bug::FullWithoutLookAhead)
            {
                return full(config, s, p);
            } else if config.has(Bug::PinHeldBlindly) {
                Pc::PinHeld
            } else {
                Pc::LookAhead
            };
            s.proc[p].go(next);
            if matches!(next, Pc::LookAhead | Pc::PinHeld) {
                s.proc[p].k = 1;
                s.proc[p].word = w;
            }
            Act::Run
        }
        Pc::Claim => {
            if !claim(config, s, p, pos) {
                s.proc[p].retry(Pc::LoadTail, pos);
                return Act::Run;
            }
            s.proc[p].n = 1;
            s.proc[p].k = 0;
            s.proc[p].go(match role {
                Role::Batch(_) => Pc::ClaimNext,
                _ if config.has(Bug::CommitBeforeTail) => Pc::Write,
                _ => Pc::MoveTail,
            });
            Act::Run
        }
        Pc::MoveTail => {
            s.cas_tail(pos, pos + taken);
            s.proc[p].go(Pc::Write);
            Act::Run
        }
        Pc::ClaimNext => {
            let claimed = claim(config, s, p, pos + taken);
            let proc = &mut s.proc[p];
            proc.n += u8::from(claimed);
            let last = !claimed || Role::Batch(proc.n) == role;
            proc.go(match last {
                false => Pc::ClaimNext,
                true if config.has(Bug::BatchMovesTailOnce) => Pc::MoveTail,
                true => Pc::SeeTail,
            });
            Act::Run
        }
        Pc::SeeTail => {
            let ahead = s.tail.saturating_sub(pos);
            let proc = &mut s.proc[p];
            let there = ahead >= taken;
            proc.k = if there { 0 } else { ahead };
            proc.go(if there { Pc::Write } else { Pc::RaiseTail });
            Act::Run
        }
        Pc::RaiseTail => {
            s.cas_tail(pos + k, pos + taken);
            s.proc[p].go(Pc::SeeTail);
            Act::Run
        }
        Pc::Write if choice == 1 => {
            s.proc[p].tag = true;
            s.proc[p].go(Pc::Abort);
            Act::Run
        }
        Pc::Write => {
            s.slot[usize::from(pos + k) % config.slots].whole = true;
            let more = k + 1 < taken;
            s.proc[p].k = if more { k + 1 } else { 0 };
            s.proc[p].go(if more { Pc::Write } else { Pc::Commit });
            Act::Run
        }
        Pc::Commit => commit(config, s, p),
        Pc::Abort => {
            let q = pos + k;
            let (at, lap) = (usize::from(q) % config.slots, q / n);
            if s.cas(at, Word::new(lap, Writing, p), Word::new(lap + 1, Free, 0)) {
                next_of_batch(config, s, p, Pc::Abort)
            } else {
                s.proc[p].go(Pc::GiveLoad);
                Act::Run
            }
        }
        Pc::GiveLoad | Pc::GiveCas => match give_back(config, s, p) {
            None => Act::Run,
            Some(Act::Run) if s.proc[p].tag && s.proc[p].kept > 0 => s.proc[p].done("Ok"),
            Some(Act::Run) => {
                let next = if config.has(Bug::BatchWithoutAbort) { Pc::Commit } else { Pc::Abort };
                next_of_batch(config, s, p, next)
            }
            Some(act) => act,
        },
        Pc::HelpTail => {
            s.cas_tail(pos, pos + 1);
            s.proc[p].retry(Pc::LoadTail, pos);
            Act::Run
        }
        Pc::LookAhead => {
            let q = pos + k;
            let v = s.at(config, q).word;
            let lap = q / n;
            if v == Word::new(lap, Free, 0) {
                s.proc[p].pc = Pc::PinHeld;
            } else if v.lap + 1 == lap && is_in_the_way(config, v, q - n < s.proc[p].bound) {
                s.proc[p].k += 1;
                if k + 1 == n {
                    return full(config, s, p);
                }
            } else if v.lap + 1 == lap && matches!(v.kind, Full | Writing) {
                return full(config, s, p);
            } else {
                s.proc[p].retry(Pc::LoadTail, pos);
            }
            Act::Run
        }
        Pc::PinHeld => {
            let kind = match seen.kind {
                Reading if config.has(Bug::ReadPinnedAsPeeked) => RPinned,
                Reading | Pinned | Writing => Pinned,
                Peeked if config.has(Bug::PeekedPinnedAsRead) => Pinned,
                _ => RPinned,
            };
            let pinned = s.cas(at, seen, Word::new(lap, kind, usize::from(seen.owner)));
            s.proc[p].retry(if pinned { Pc::HelpTail } else { Pc::LoadTail }, pos);
            Act::Run
        }
        _ => unreachable!("{pc:?} is no sender's"),
    }
}

/// A word of the lap before that is passed over for a free slot behind it: held, or being written by somebody whose claim
/// is `older` than this verb's first sight of such a word. Not of who claimed since: else they could do it to each other for
/// ever.
fn is_in_the_way(config: &Config, word: Word, older: bool) -> bool {
    let writer = word.kind == Writing && !config.has(Bug::FullAtWriter);
    word.kind.is_held() || writer && (older || config.has(Bug::PassesOverAll))
}

/// CAS FREE -> WRITING. What the slot carried before is void now.
fn claim(config: &Config, s: &mut State, p: usize, pos: u8) -> bool {
    let (at, lap) = (usize::from(pos) % config.slots, pos / config.slots as u8);
    let claimed = s.cas(at, Word::new(lap, Free, 0), Word::new(lap, Writing, p));
    if claimed {
        s.slot[at].whole = false;
        s.slot[at].seen = false;
    }
    claimed
}

/// CAS WRITING -> FULL of the k-th slot.
fn commit(config: &Config, s: &mut State, p: usize) -> Act {
    let Proc { pos, k, n: taken, kept, tag, after, .. } = s.proc[p];
    let q = pos + k;
    let (at, lap) = (usize::from(q) % config.slots, q / config.slots as u8);
    let full = Word::new(lap, Full, 0);
    let done = if config.has(Bug::CommitByStore) {
        s.slot[at].word = full;
        true
    } else {
        s.cas(at, Word::new(lap, Writing, p), full)
    };
    let proc = &mut s.proc[p];
    if done {
        proc.bound = 0;
    }
    if !done && config.role(p) == Role::Grant && kept == 0 {
        // The bytes are the caller's: they stay where they are until another slot has them.
        proc.retry(Pc::LoadTail, pos);
        proc.kept = at as u8 + 1;
        if config.has(Bug::GrantGivesBackFirst) {
            let lap = s.slot[at].word.lap;
            s.slot[at].word = Word::new(lap + 1, Free, 0);
        }
        return Act::Run;
    }
    if !done {
        proc.go(Pc::GiveLoad);
        // Only where the later ones of the batch are not aborted: from now on one of its messages is missing.
        proc.tag = config.has(Bug::BatchWithoutAbort) && k + 1 < taken;
        return Act::Run;
    }
    if !s.slot[at].whole {
        return Act::Bad(Fault::Torn);
    }
    if q < after || tag {
        return Act::Bad(Fault::Reordered);
    }
    s.slot[at].owed = true;
    s.sent = s.sent.max(q + 1);
    // A batch of which some are sent answers with their number, never with Full.
    proc.excuse = true;
    proc.after = q + 1;
    if k + 1 < taken {
        proc.k += 1;
        Act::Run
    } else if kept > 0 {
        proc.tag = true;
        proc.go(Pc::GiveLoad);
        Act::Run
    } else {
        proc.done("Ok")
    }
}

/// After the k-th slot of a batch was given back or aborted: the next one, or the rest of the messages again.
fn next_of_batch(config: &Config, s: &mut State, p: usize, next: Pc) -> Act {
    let proc = &mut s.proc[p];
    if config.role(p) == Role::GiveUp && proc.tag {
        return proc.done("given up");
    }
    if proc.k + 1 < proc.n {
        proc.k += 1;
        proc.go(next);
    } else {
        proc.retry(Pc::LoadTail, proc.pos);
    }
    Act::Run
}

/// The answer Full; whoever holds a voided grant waits instead.
fn full(config: &Config, s: &mut State, p: usize) -> Act {
    let proc = &mut s.proc[p];
    if proc.kept > 0 {
        proc.bound = 0;
        proc.retry(Pc::LoadTail, proc.pos);
        return Act::Again;
    }
    if !proc.excuse && !s.is_full(config) {
        return Act::Bad(Fault::WrongFull);
    }
    s.proc[p].done("Full")
}
