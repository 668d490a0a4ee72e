//! Any number of senders and receivers, messages in slots of one size. Nobody waits for a participant that is stopped,
//! and what a killed one held can be told from its words alone. Sleeping is `event`'s job, leases are `channel`'s.
//!
//! Position p lives in slot p % N at lap p / N, laps start at 1. A slot's state word says lap, kind and owner, and every
//! change of it is a compare-and-exchange of the exact word, the owner's releases included: so a participant that was
//! stopped for a lap, or was passed over, finds out at its next step.
//!
//! ```text
//!   FREE(L) -claim-> WRITING(L,o) -commit-> FULL(L) -take-> READING(L,o) -release-> FREE(L+1)
//!                        |                     '----peek--> PEEKED(L,o)  --ack----> FREE(L+1)
//!                        '-abort-> FREE(L+1)
//!   pin, by anyone: WRITING(L) -> PINNED(L)     WRITING(L-1), READING(L-1) or PINNED(L-1) -> PINNED(L)
//!                                               PEEKED(L-1) or RPINNED(L-1) -> RPINNED(L)
//!   PINNED(L,o), RPINNED(L,o) -give back, by o-> FREE(L+1)
//! ```
//!
//! A slot that somebody reads or has read from, or that was pinned, is *held*: its bytes are its owner's. A pin makes
//! the position of its lap void, and both ends step over it. A receiver pins a slot that is being written once a later
//! message is committed: the sender, if it still lives, finds its commit refused, sends again elsewhere and gives the
//! slot back. A sender pins a slot still held from the lap before, if a later one is free, and one still being written
//! since then as well: places behind a writer may have been given up. So one stopped process costs one slot each, and no
//! one a wait.
//!
//! Where the ends are, the slots tell: a position is *used* for senders once its slot is past FREE of its lap, and for
//! receivers once it is past FULL, and it stays so. Each participant keeps two cursors of its own, with nothing but used
//! positions before them, and moves them by looking. The shared `tail` and `head` are hints for who comes or has been
//! away: nothing but used positions lies before them either, but they lag, and are moved more often the more
//! participants get in each other's way. `tail - head` says neither full nor empty: both answers come from the slots.
//!
//! The common way is here; what is done about a slot in the way stands in `pin`, what the slots say of the ends in `ends`.
//!
//! A participant that died owns what its words say: `sweep` gives that back.
#![allow(clippy::disallowed_types, reason = "the facade's atomics, which the lint sees through to core's")]

use crate::error::{Corrupt, RecvError, SendError};
use crate::layout::SlotKind::{Free, Pinned, Reading, Writing};
use crate::layout::{SLOT_HEADER_LEN, SlotKind, SlotWord, is_behind};
use crate::ring::pin::LOOKS_PER_ATTEMPT;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicU64, MAX_ATTEMPTS, MAX_LOOKS};
use crate::view::SlotView;

/// Positions between two hints of a participant that is alone at its end of the ring: few enough to walk.
const HINT_EVERY: u64 = 16;
/// Operations of which each gives a hint, after others were met.
pub(super) const CROWD: u32 = 16;

/// One participant's half of the algorithm: claims and commits, takes and releases.
pub struct Side {
    pub(super) view: SlotView,
    me: u32,
    /// No position before it can be claimed any more.
    pub(super) tail: u64,
    /// No position before it holds anything to take any more.
    pub(super) head: u64,
    /// Which positions are worth telling the others, as a mask: those that are 0 under it.
    hints: u64,
    /// How many more operations to tell of each, since others work at the same end.
    pub(super) crowd: u32,
    /// How long this end is left alone if others are faster once more; see `pin`.
    pub(super) pauses: u32,
    /// How long the next writer in the way is waited for; see `pin`.
    pub(super) patience: u32,
    /// Where this sender first found a slot in its way, since it last committed or heard that the ring is full; see `pin`.
    pub(super) bound: Option<u64>,
    pub(super) suspect: Option<u32>,
    /// Where a walk past places in the way last found a free slot, and a full one; see `pin`.
    pub(super) free_seen: u64,
    pub(super) full_seen: u64,
    /// How many slots such a walk goes over at once, and from which position and how far the last one came; see `pin`.
    pub(super) reach: u64,
    pub(super) walked: (u64, u64),
}

/// A slot to fill. Forgetting it costs the slot until the participant leaves or is swept.
#[derive(Clone, Copy)]
pub struct Claim {
    slot: usize,
    lap: u64,
}

/// Slots at consecutive positions, to be filled and committed one after the other.
#[derive(Clone, Copy)]
pub struct ClaimRun {
    start: u64,
    /// How many.
    pub count: usize,
}

/// A message taken. Forgetting it costs the slot until the participant leaves or is swept.
#[derive(Clone, Copy)]
pub struct Taken {
    slot: usize,
    word: SlotWord,
    /// Payload bytes; at most the longest message.
    pub len: usize,
    /// Whether somebody may have seen it before.
    pub again: bool,
}

impl Taken {
    /// A message that somebody took whom this participant follows.
    pub(super) fn adopted(slot: usize, word: SlotWord, len: usize) -> Self {
        Taken { slot, word, len, again: true }
    }

    /// Its slot, and the slot's word when it was taken.
    pub(super) fn place(&self) -> (usize, SlotWord) {
        (self.slot, self.word)
    }

    /// The same message, seen before.
    #[must_use]
    pub fn seen(self) -> Self {
        Taken { again: true, ..self }
    }
}

impl Side {
    /// The half of participant `me`, who holds its own lease and owns no slot.
    #[must_use]
    pub fn new(view: SlotView, me: u32) -> Self {
        // ord(mpmc.end) Acquire <- tell: the slots before it are seen as used.
        let tail = view.header.tail.0.load(Acquire);
        // ord(mpmc.end) Acquire <- tell: the slots before it are seen as used.
        let head = view.header.head.0.load(Acquire);
        let hints = (view.slots() / 4).clamp(1, HINT_EVERY) - 1;
        Side {
            view,
            me,
            tail,
            head,
            hints,
            crowd: 0,
            pauses: 1,
            patience: 1,
            bound: None,
            suspect: None,
            free_seen: 0,
            full_seen: 0,
            reach: u64::MAX,
            walked: (0, 0),
        }
    }

    /// The ring.
    #[must_use]
    pub fn view(&self) -> &SlotView {
        &self.view
    }

    /// The participant that was last found in the way, once: whether it lives is to be asked of its lease.
    #[inline(always)]
    pub fn suspect(&mut self) -> Option<u32> {
        self.suspect.take()
    }

    // --- to send ---

    /// Claims the next free slot.
    #[inline(always)]
    pub fn claim(&mut self) -> Result<Claim, SendError> {
        let at = self.claim_first()?;
        self.used_to(at.wrapping_add(1));
        Ok(self.claimed(at))
    }

    /// Claims up to `most` consecutive slots, at least one.
    pub fn claim_run(&mut self, most: usize) -> Result<ClaimRun, SendError> {
        let start = self.claim_first()?;
        let mut count = 1;
        while count < most && self.claim_at(start.wrapping_add(count as u64)).is_ok() {
            count += 1;
        }
        self.used_to(start.wrapping_add(count as u64));
        Ok(ClaimRun { start, count })
    }

    #[inline(always)]
    pub(super) fn used_to(&mut self, to: u64) {
        if self.crowd > 0 || (to & self.hints) == 0 || to.wrapping_sub(self.tail) > 1 {
            tell(&self.view.header.tail.0, to);
            self.crowd = self.crowd.saturating_sub(1);
            self.pauses = 1;
        }
        self.tail = to;
    }

    /// The `index`th of them.
    #[inline]
    #[must_use]
    pub fn claim_of(&self, run: &ClaimRun, index: usize) -> Claim {
        self.claimed(run.start.wrapping_add(index as u64))
    }

    #[inline(always)]
    fn claimed(&self, at: u64) -> Claim {
        Claim { slot: self.view.slot(at), lap: self.view.lap(at) }
    }

    #[inline(always)]
    fn claim_first(&mut self) -> Result<u64, SendError> {
        match self.claim_at(self.tail) {
            Ok(()) => Ok(self.tail),
            Err(found) => self.claim_behind(found),
        }
    }

    #[cold]
    #[inline(never)]
    fn claim_behind(&mut self, found: SlotWord) -> Result<u64, SendError> {
        let (mut found, mut looks) = (found, self.looks());
        loop {
            self.claim_refused(found, &mut looks)?;
            match self.claim_at(self.tail) {
                Ok(()) => return Ok(self.tail),
                Err(word) => found = word,
            }
        }
    }

    /// The exchange comes without a look before it: the line is wanted for writing anyway.
    #[inline(always)]
    fn claim_at(&self, at: u64) -> Result<(), SlotWord> {
        let (lap, state) = (self.view.lap(at), self.view.state(self.view.slot(at)));
        let (free, mine) = (SlotWord::free(lap), SlotWord::owned(lap, Writing, self.me));
        // ord(mpmc.state) Acquire <- Side::let_go: its last owner is done with the bytes.
        // ord(mpmc.state) Relaxed on failure: who follows a hint given on the strength of this reads no older word.
        state.compare_exchange(free.0, mine.0, Acquire, Relaxed).map(drop).map_err(SlotWord)
    }

    /// Fills a claimed slot with `payload`.
    #[inline(always)]
    pub fn write(&self, claim: &Claim, payload: &[u8]) {
        let len = payload.len().min(self.view.max_len());
        // SAFETY: a slot of the view, `max_len` bytes behind its header; claimed, so this participant's alone.
        unsafe { self.view.memory.copy_in(claim.slot + SLOT_HEADER_LEN, &payload[..len]) };
    }

    /// Where the payload of a claimed slot starts.
    #[inline(always)]
    #[must_use]
    pub fn payload_of(&self, claim: &Claim) -> usize {
        claim.slot + SLOT_HEADER_LEN
    }

    /// Copies `len` bytes of a claimed slot to another.
    pub fn copy(&self, from: &Claim, to: &Claim, len: usize) {
        let (from, to, len) = (self.payload_of(from), self.payload_of(to), len.min(self.view.max_len()));
        // SAFETY: two slots of the view, both this participant's alone.
        unsafe { self.view.memory.copy_within(from, to, len) };
    }

    /// Makes the first `len` bytes of a claimed slot a message. `false` if somebody has passed the position over: the
    /// bytes are still this participant's, who sends them elsewhere and then gives the slot back.
    #[inline(always)]
    #[must_use = "a refused commit must be sent again"]
    pub fn commit(&mut self, claim: &Claim, len: usize) -> bool {
        // ord(mpmc.state) Relaxed -> Side::len_at: published by the exchange below.
        self.view.len(claim.slot).store(len as u64, Relaxed);
        let (writing, full) = (SlotWord::owned(claim.lap, Writing, self.me), SlotWord::full(claim.lap));
        // ord(mpmc.state) Release -> Side::word_at: payload and length before the news of them.
        // ord(mpmc.state) Relaxed on failure: voided; nothing of the word's is used.
        let done = self.view.state(claim.slot).compare_exchange(writing.0, full.0, Release, Relaxed).is_ok();
        if done {
            self.bound = None;
        }
        done
    }

    /// Gives a claimed slot back unsent. That ends no verb: of a batch that was passed over the later slots go so.
    pub fn abort(&self, claim: &Claim) {
        self.let_go(claim.slot, SlotWord::owned(claim.lap, Writing, self.me));
    }

    /// Gives an owned slot back, whatever its word is by now. Others may still pin it: again and again, once a lap each.
    pub fn give_back(&self, claim: &Claim) {
        self.let_go(claim.slot, SlotWord::owned(claim.lap, Pinned, self.me));
    }

    // --- to receive ---

    /// Takes the next message: `Reading` to have it at most once, `Peeked` for it to be delivered again if this
    /// participant ends without acknowledging it. One longer than `room` stays.
    #[inline]
    pub fn take(&mut self, how: SlotKind, room: usize) -> Result<Taken, RecvError> {
        let taken = self.take_first(how, room)?;
        let at = self.head;
        self.taken_to(at.wrapping_add(1));
        self.checked(at, taken)
    }

    /// [`Side::take`], if that takes no second thought: without an error to carry, the message stays in registers.
    #[inline(always)]
    pub fn take_plain(&mut self, how: SlotKind, room: usize) -> Option<Taken> {
        let at = self.head;
        if self.word_at(at) != SlotWord::full(self.view.lap(at)) {
            return None;
        }
        let len = self.len_at(at);
        let plain = len <= room.min(self.view.max_len()) as u64;
        let taken = if plain { self.own(at, how, len) } else { None }?;
        self.taken_to(at.wrapping_add(1));
        Some(taken)
    }

    /// Takes up to `most` consecutive messages and adds them to `run`: at least one if there is no error, and those before
    /// it if there is one.
    pub fn take_run(&mut self, most: usize, run: &mut Vec<Taken>) -> Result<(), RecvError> {
        let mut taken = Some(self.take_first(Reading, usize::MAX)?);
        let mut next = self.head;
        let mut fault = Ok(());
        while let Some(message) = taken.take() {
            fault = self.checked(next, message).map(|message| run.push(message));
            next = next.wrapping_add(1);
            let goes_on = run.len() < most && fault.is_ok();
            if goes_on && self.word_at(next) == SlotWord::full(self.view.lap(next)) {
                taken = self.take_at(next, Reading, usize::MAX).ok();
            }
        }
        self.taken_to(next);
        fault
    }

    #[inline(always)]
    pub(super) fn taken_to(&mut self, to: u64) {
        if self.crowd > 0 || (to & self.hints) == 0 || to.wrapping_sub(self.head) > 1 {
            tell(&self.view.header.head.0, to);
            self.crowd = self.crowd.saturating_sub(1);
            self.pauses = 1;
        }
        self.head = to;
    }

    /// Whether the slot at the head holds nothing to take and nothing to step over: a cheap look, for who waits.
    #[inline(always)]
    pub fn looks_empty(&self) -> bool {
        let at = self.head;
        // ord(mpmc.state) Relaxed <- Side::commit: a look; `take` decides.
        let word = SlotWord(self.view.state(self.view.slot(at)).load(Relaxed));
        let ahead = word.ahead_of(self.view.lap(at));
        ahead < 0 || ahead == 0 && word.kind() == Some(Free)
    }

    #[inline(always)]
    fn word_at(&self, at: u64) -> SlotWord {
        // ord(mpmc.state) Acquire <- Side::commit: see the payload and the length.
        SlotWord(self.view.state(self.view.slot(at)).load(Acquire))
    }

    #[inline(always)]
    fn len_at(&self, at: u64) -> u64 {
        // ord(mpmc.state) Relaxed <- Side::commit: read between two sights of the same word, so it is this message's.
        self.view.len(self.view.slot(at)).load(Relaxed)
    }

    fn take_first(&mut self, how: SlotKind, room: usize) -> Result<Taken, RecvError> {
        let mut looks = self.looks();
        loop {
            let (at, word) = (self.head, self.word_at(self.head));
            if word == SlotWord::full(self.view.lap(at)) {
                match self.take_at(at, how, room) {
                    Ok(taken) => return Ok(taken),
                    Err(Some(error)) => return Err(error),
                    Err(None) => self.spend(&mut looks, LOOKS_PER_ATTEMPT, at)?,
                }
            } else {
                self.take_refused(at, word, &mut looks)?;
            }
        }
    }

    /// Takes the message of a position whose slot was seen full. `Err(None)`: somebody else was faster.
    #[inline(always)]
    fn take_at(&self, at: u64, how: SlotKind, room: usize) -> Result<Taken, Option<RecvError>> {
        let len = self.len_at(at);
        // An impossible length is taken, and reported: it would be in the way for ever.
        if len > room as u64 && len <= self.view.max_len() as u64 {
            return Err(self.too_long(at, len as usize, room));
        }
        self.own(at, how, len).ok_or(None)
    }

    /// Takes a message that was seen, and found to be so long.
    #[inline(always)]
    fn own(&self, at: u64, how: SlotKind, len: u64) -> Option<Taken> {
        let (slot, lap) = (self.view.slot(at), self.view.lap(at));
        let (full, mine) = (SlotWord::full(lap), SlotWord::owned(lap, how, self.me));
        // The payload is seen since the look that found the slot full: nothing else can follow that word but this.
        // ord(mpmc.state) Release -> Side::full_behind: what lies before it is used, and what was sent before is there.
        // ord(mpmc.state) Relaxed on failure: the caller looks again.
        let taken = self.view.state(slot).compare_exchange(full.0, mine.0, Release, Relaxed).is_ok();
        taken.then_some(Taken { slot, word: mine, len: len as usize, again: false })
    }

    /// Possibly too long … really too long, if the message is still there: else the length was another's.
    #[cold]
    fn too_long(&self, at: u64, len: usize, have: usize) -> Option<RecvError> {
        let (slot, full) = (self.view.slot(at), SlotWord::full(self.view.lap(at)));
        // An exchange of the word for itself: its load could come before that of the length, its store could not.
        // ord(mpmc.state) Release -> Side::claim_at: the length was read before the next one is written.
        // ord(mpmc.state) Relaxed on failure: the caller looks again.
        let still = self.view.state(slot).compare_exchange(full.0, full.0, Release, Relaxed).is_ok();
        still.then_some(RecvError::BufferTooSmall { len, have })
    }

    /// What was taken, if its length is possible.
    #[inline(always)]
    fn checked(&self, at: u64, taken: Taken) -> Result<Taken, RecvError> {
        if taken.len > self.view.max_len() {
            self.release(&taken);
            return Err(Corrupt::new("slot length", taken.len as u64, at).into());
        }
        Ok(taken)
    }

    /// Copies a message out.
    #[inline(always)]
    pub fn read(&self, taken: &Taken, to: &mut [u8]) {
        let len = to.len().min(taken.len);
        // SAFETY: a slot of the view, and `checked` or `take_plain` has seen that the length is inside it.
        unsafe { self.view.memory.copy_out(taken.slot + SLOT_HEADER_LEN, &mut to[..len]) };
    }

    /// Where the payload of a message starts.
    #[inline(always)]
    #[must_use]
    pub fn payload(&self, taken: &Taken) -> usize {
        taken.slot + SLOT_HEADER_LEN
    }

    /// Gives the slot of a message back: the message is done with.
    #[inline(always)]
    pub fn release(&self, taken: &Taken) {
        self.let_go(taken.slot, taken.word);
    }

    // --- both ---

    /// Frees an owned slot, whose word was `word` when last seen and may have been pinned since.
    #[inline(always)]
    fn let_go(&self, slot: usize, word: SlotWord) {
        let mut word = word;
        for _ in 0..MAX_ATTEMPTS {
            // ord(mpmc.state) Release -> Side::claim_at: our last access before the next owner's first.
            // ord(mpmc.state) Relaxed on failure: pinned meanwhile; only the word is used.
            match self.view.state(slot).compare_exchange(word.0, word.freed().0, Release, Relaxed) {
                Ok(_) => return,
                Err(found) => word = SlotWord(found),
            }
            if word.owner() != self.me || !word.kind().is_some_and(SlotKind::is_owned) {
                return; // Scribbled on: it is nobody's to free.
            }
        }
    }

    /// What is at a position, and by how many laps its slot is ahead of it.
    pub(super) fn seen_at(&self, at: u64) -> (Option<SlotKind>, i64) {
        seen(&self.view, at)
    }

    /// The position behind the last one claimed.
    #[must_use]
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// No position before it holds anything for this side to take.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// So many claims in a row were passed over that only damage explains it.
    #[must_use]
    pub fn voided_for_ever(&self) -> Corrupt {
        self.endless(self.tail)
    }

    /// What a verb may look at, and pause, before it takes the ring for damaged.
    #[inline(always)]
    fn looks(&self) -> u32 {
        MAX_LOOKS.saturating_add((self.view.slots() as u32).saturating_mul(4))
    }

    /// Takes so many looks from those that a verb has left.
    pub(super) fn spend(&self, looks: &mut u32, count: u32, at: u64) -> Result<(), Corrupt> {
        *looks = looks.checked_sub(count).ok_or_else(|| self.endless(at))?;
        Ok(())
    }

    /// Nobody's progress explains so many failed attempts.
    #[cold]
    fn endless(&self, at: u64) -> Corrupt {
        // ord(own) Relaxed: for the message.
        Corrupt::new("slot state", self.view.state(self.view.slot(at)).load(Relaxed), at)
    }
}

/// See [`Side::seen_at`].
pub(super) fn seen(view: &SlotView, at: u64) -> (Option<SlotKind>, i64) {
    // ord(mpmc.state) Relaxed <- Side::commit: a look; nothing is accessed on the strength of it.
    let word = SlotWord(view.state(view.slot(at)).load(Relaxed));
    (word.kind(), word.ahead_of(view.lap(at)))
}

pub(super) fn later(a: u64, b: u64) -> u64 {
    if is_behind(a, b) { b } else { a }
}

/// Tells the others how far an end has come, unless somebody has told them more.
#[inline]
fn tell(end: &AtomicU64, to: u64) {
    // ord(mpmc.end) Relaxed <- tell: only compared.
    let told = end.load(Relaxed);
    if is_behind(told, to) {
        // ord(mpmc.end) Release -> Side::skip_claimed: the slots before it are seen as used.
        // ord(mpmc.end) Relaxed on failure: somebody else has told.
        let _ = end.compare_exchange(told, to, Release, Relaxed);
    }
}
