//! What a participant of an MPMC ring does about a slot in its way: used already, still held from the lap before, being
//! written by somebody who may be stopped. Nobody is waited for: a slot that cannot be had is passed over, if there is
//! something to be had behind it, and pinned, so that its owner finds out.
//!
//! Only if: a place passed over is lost to those who come. And *Full* and *Empty* are said only on the word of the slots
//! themselves, looked at in the order of positions.
#![forbid(unsafe_code)]

use crate::error::{Corrupt, RecvError, SendError};
use crate::layout::SlotKind::{Free, Full, Peeked, PeekedPinned, Pinned, Writing};
use crate::layout::{SlotKind, SlotWord, is_behind};
use crate::ring::mpmc::{CROWD, Side, later};
use crate::sync::Ordering::{Acquire, Relaxed};
use crate::sync::{MAX_LOOKS, PATIENCE_MAX, PATIENCE_MIN, PAUSES_MAX, UNHEARD, spin_hint};

/// What an attempt costs of the looks of a verb, and what a pause costs.
pub(super) const LOOKS_PER_ATTEMPT: u32 = 16;
const LOOKS_PER_PAUSE: u32 = 16;
/// Whoever has no more looks left does not pause: it has met more than others can have done meanwhile.
const HURRY: u32 = MAX_LOOKS / 8 * 7;

/// Over how many slots a glance goes: whoever waits glances thousands of times before it looks at its deadline.
const GLANCE: u64 = 256;

impl Side {
    /// From here on walks past places in the way are whole, or glances: each goes on where the last one stopped, and what
    /// it has not come to counts as nothing to be had.
    pub fn glances(&mut self, glances: bool) {
        self.reach = if glances { GLANCE } else { u64::MAX };
    }

    /// Which of the slots behind `at` a walk is to go over, from the `.0`th to before the `.1`th.
    fn walk(&mut self, at: u64) -> (u64, u64) {
        let on = self.reach != u64::MAX && self.walked.0 == at;
        let from = if on { self.walked.1.max(1) } else { 1 };
        let to = from.saturating_add(self.reach).min(self.view.slots());
        self.walked = (at, if to < self.view.slots() { to } else { 1 });
        (from, to)
    }

    /// Whether the slot at the tail is taken by a message of the lap before, or by a writer in front of one: a cheap look,
    /// for who waits, since the exchange of `claim` takes the line away from its writer.
    #[inline(always)]
    pub fn looks_full(&self) -> bool {
        match self.seen_at(self.tail) {
            (Some(Full), -1) => true,
            (Some(Writing), -1) => self.seen_at(self.tail.wrapping_add(1)) == (Some(Full), -1),
            _ => false,
        }
    }

    /// Of a ring that is full: whether a slot behind the tail is free already, so that there is room once those before it
    /// are in somebody's hands. That tells nobody, only their release does. Not all slots of a large ring are looked at.
    #[allow(clippy::unnecessary_min_or_max, reason = "the model looks at none")]
    pub fn may_get_room_unheard(&self) -> bool {
        let mut behind = (1..self.view.slots().min(UNHEARD)).map(|k| self.seen_at(self.tail.wrapping_add(k)));
        behind.any(|seen| seen == (Some(Free), 0))
    }

    /// The slot at the tail was not free for its position: `Ok` to try again.
    #[cold]
    pub(super) fn claim_refused(&mut self, word: SlotWord, looks: &mut u32) -> Result<(), SendError> {
        let at = self.tail;
        self.spend(looks, LOOKS_PER_ATTEMPT, at)?;
        let ahead = word.ahead_of(self.view.lap(at));
        if ahead == -1 {
            self.bound.get_or_insert(at);
        }
        match (word.kind(), ahead) {
            (None, _) => return Err(Corrupt::new("slot state", word.0, at).into()),
            // Used, by now or long ago: others are here.
            (_, 0..) => self.skip_claimed(at, looks)?,
            (Some(Full), -1) => return Err(self.full()),
            (Some(kind), -1) if kind == Writing || kind.is_held() => {
                let same = self.suspect.replace(word.owner()) == Some(word.owner());
                if !self.may_pass(kind, at) {
                    return Err(self.full());
                }
                // Whoever was waited for in vain just now is not waited for again.
                let waits = kind == Writing && !same;
                if self.free_behind(at, looks)? && (!waits || self.writer_stays(at, word, looks)?) {
                    self.step_over_held(at, word, kind);
                }
            }
            _ => return Err(Corrupt::new("slot state", word.0, at).into()),
        }
        Ok(())
    }

    /// Whether the slot of the position a lap before `at` may be passed over for a free one behind it. A writer only if it
    /// claimed before this sender first found something in its way: those that senders pass over claim again, each
    /// leaves a free slot behind, and so they could do it to each other for ever.
    fn may_pass(&self, kind: SlotKind, at: u64) -> bool {
        let claimed = at.wrapping_sub(self.view.slots());
        kind.is_held() || kind == Writing && self.bound.is_some_and(|bound| is_behind(claimed, bound))
    }

    /// Said once, that ends a verb; while waiting it is found again and again.
    fn full(&mut self) -> SendError {
        if self.reach == u64::MAX {
            self.forget_bound();
        }
        SendError::Full
    }

    /// A verb is over that has sent nothing; or, while one waits, it has waited long enough for those that claimed meanwhile.
    pub fn forget_bound(&mut self) {
        self.bound = None;
    }

    fn skip_claimed(&mut self, at: u64, looks: &mut u32) -> Result<(), Corrupt> {
        // ord(mpmc.end) Acquire <- tell: the slots before it are seen as used.
        let told = self.view.header.tail.0.load(Acquire);
        self.tail = later(at.wrapping_add(1), told);
        self.met_others(at, looks)
    }

    /// Others were faster: the hints matter, and the next exchange here would only take the line away from them.
    #[allow(clippy::unnecessary_min_or_max, reason = "the model makes none")]
    fn met_others(&mut self, at: u64, looks: &mut u32) -> Result<(), Corrupt> {
        self.crowd = CROWD;
        let pauses = if *looks > HURRY { self.pauses.min(PAUSES_MAX) } else { 0 };
        self.spend(looks, LOOKS_PER_PAUSE * pauses, at)?;
        (0..pauses).for_each(|_| spin_hint());
        self.pauses = (2 * self.pauses).min(PAUSES_MAX);
        Ok(())
    }

    /// The slot at `at` is held from the lap before, or still written. Whether a later one is free: else it would be pinned
    /// in vain, and its position lost to those that come.
    fn free_behind(&mut self, at: u64, looks: &mut u32) -> Result<bool, SendError> {
        if self.still_is(Free, self.free_seen, at) {
            return Ok(true);
        }
        let (from, to) = self.walk(at);
        for k in from..to {
            self.spend(looks, 1, at)?;
            let next = at.wrapping_add(k);
            // ord(mpmc.state) Relaxed <- Side::let_go: advice, old at once; the exchange of the held word is what counts.
            let word = SlotWord(self.view.state(self.view.slot(next)).load(Relaxed));
            match (word.kind(), word.ahead_of(self.view.lap(next))) {
                (Some(Free), 0) => {
                    self.free_seen = next;
                    return Ok(true);
                }
                (Some(kind), -1) if self.may_pass(kind, next) => {}
                (Some(Full | Writing), -1) => return Err(self.full()),
                (None, _) => return Err(Corrupt::new("slot state", word.0, next).into()),
                _ => return Ok(false),
            }
        }
        Err(self.full())
    }

    /// Whether what a walk from an earlier place ended at is behind `at`, too: many places in the way in a row would be
    /// walked over once for each.
    fn still_is(&self, kind: SlotKind, seen: u64, at: u64) -> bool {
        seen != at && seen.wrapping_sub(at) < self.view.slots() && self.seen_at(seen) == (Some(kind), 0)
    }

    fn step_over_held(&mut self, at: u64, word: SlotWord, kind: SlotKind) {
        let kind = if matches!(kind, Peeked | PeekedPinned) { PeekedPinned } else { Pinned };
        let pinned = SlotWord::owned(self.view.lap(at), kind, word.owner());
        let state = self.view.state(self.view.slot(at));
        // ord(mpmc.state) Relaxed: nothing but the word is passed on; who sees tail moved sees it (mpmc.end).
        // ord(mpmc.state) Relaxed on failure: the caller looks again.
        if state.compare_exchange(word.0, pinned.0, Relaxed, Relaxed).is_ok() {
            self.used_to(at.wrapping_add(1));
        }
    }

    /// The slot at the head was not full for its position: `Ok` to try again.
    #[cold]
    pub(super) fn take_refused(&mut self, at: u64, word: SlotWord, looks: &mut u32) -> Result<(), RecvError> {
        self.spend(looks, LOOKS_PER_ATTEMPT, at)?;
        let lap = self.view.lap(at);
        match (word.kind(), word.ahead_of(lap)) {
            (None, _) => Err(Corrupt::new("slot state", word.0, at).into()),
            (Some(Free), 0) | (_, ..0) => Err(RecvError::Empty),
            (Some(Writing), 0) => {
                if self.full_behind(at, word, looks)? {
                    self.step_over_writer(at, word, looks)?;
                }
                Ok(())
            }
            // Taken or void: others are here, or were.
            _ => {
                if word.kind() == Some(PeekedPinned) {
                    // It was in the way for a lap: its owner may have left it.
                    self.suspect = Some(word.owner());
                }
                // ord(mpmc.end) Acquire <- tell: the slots before it are seen as used.
                let told = self.view.header.head.0.load(Acquire);
                self.head = later(at.wrapping_add(1), told);
                Ok(self.met_others(at, looks)?)
            }
        }
    }

    /// The slot at `at` is being written. Whether a later one is full, so that it may not be waited for.
    fn full_behind(&mut self, at: u64, writing: SlotWord, looks: &mut u32) -> Result<bool, RecvError> {
        if self.still_is(Full, self.full_seen, at) {
            return Ok(true);
        }
        let (from, to) = self.walk(at);
        for k in from..to {
            self.spend(looks, 1, at)?;
            let next = at.wrapping_add(k);
            // ord(mpmc.state) Acquire <- Side::commit: looked at in the order of positions, before the writer again.
            let word = SlotWord(self.view.state(self.view.slot(next)).load(Acquire));
            match (word.kind(), word.ahead_of(self.view.lap(next))) {
                (None, _) => return Err(Corrupt::new("slot state", word.0, next).into()),
                (Some(Full), 0) => {
                    self.full_seen = next;
                    return Ok(true);
                }
                (Some(Writing | Pinned | PeekedPinned), 0) => {}
                (Some(Free), 0) | (_, ..0) => return Err(RecvError::Empty),
                // A message behind was there and is gone, then this position was void before, or is by now; or given up.
                _ => {
                    // ord(mpmc.state) Relaxed <- Side::commit: no older than what the look behind it implies.
                    let now = self.view.state(self.view.slot(at)).load(Relaxed);
                    if now != writing.0 {
                        return Ok(false);
                    }
                }
            }
        }
        Err(RecvError::Empty)
    }

    /// Waits a little for the writer in the way, the longer the more often that was in vain. Whether it is still there, to
    /// be passed over.
    fn writer_stays(&mut self, at: u64, word: SlotWord, looks: &mut u32) -> Result<bool, Corrupt> {
        let state = self.view.state(self.view.slot(at));
        let patience = (PATIENCE_MIN + (self.view.max_len() / 1024) as u32) * self.patience;
        let patience = if *looks > HURRY { patience } else { 0 };
        // Whole, however long it is, and never so dear that nothing is left to pass it over.
        self.spend(looks, LOOKS_PER_PAUSE.saturating_mul(patience).min(looks.saturating_sub(HURRY)), at)?;
        for _ in 0..patience {
            spin_hint();
            // ord(mpmc.state) Relaxed <- Side::commit: the caller looks again.
            if state.load(Relaxed) != word.0 {
                self.patience = (self.patience / 2).max(1);
                return Ok(false);
            }
        }
        self.patience = (self.patience * 2).min(PATIENCE_MAX);
        Ok(true)
    }

    fn step_over_writer(&mut self, at: u64, word: SlotWord, looks: &mut u32) -> Result<(), Corrupt> {
        if !self.writer_stays(at, word, looks)? {
            return Ok(());
        }
        self.suspect = Some(word.owner());
        let state = self.view.state(self.view.slot(at));
        let pinned = SlotWord::owned(word.lap(), Pinned, word.owner());
        // ord(mpmc.state) Relaxed: nothing but the word is passed on; who sees head moved sees it (mpmc.end).
        // ord(mpmc.state) Relaxed on failure: the caller looks again.
        if state.compare_exchange(word.0, pinned.0, Relaxed, Relaxed).is_ok() {
            self.taken_to(at.wrapping_add(1));
        }
        Ok(())
    }
}
