//! A lock in shared memory whose holder may be killed between any two instructions. It belongs to a participant, whose
//! lease says whether it lives; whoever waits for a dead one's lock takes it over, and hears that it did.
//!
//! The word is `turns:52 | owner:12`. Owner 0: free. Owner [`NOBODY`]: free, and the last holder died. Else the lock is
//! that participant's. Each taking counts a turn, so no two takings of one lock have the same word:
//!
//! ```text
//!   take        free(t)      -> held(t+1, me)        exchange of the exact word
//!   give back   held(t, me)  -> free(t)              store: nobody else changes the word of a living holder
//!   take over   held(t, o)   -> held(t+1, me)        exchange, after the kernel said that o's lease is free
//!   disown      held(t, o)   -> free(t), NOBODY      exchange, by whoever has just been given o's number
//! ```
//!
//! Taking over: the word is read *before* the kernel is asked. A participant gives its lease back only without the lock,
//! so a free lease says that who had the lock when the word was read is dead; and if the exchange finds the same word,
//! the lock is still the dead one's. A newcomer with the same number cannot be mistaken for it: its takings have other
//! turns. But the newcomer holds the lease again, and would keep the dead one's lock alive: so whoever is given a number
//! disowns first what stands under it.
//!
//! What the lock guards must be in order after any store of its holder, or be put in order by whoever is told that the
//! last holder died ([`Held::after_death`]). One who dies while putting it in order leaves it to the next in the same way.
//!
//! A holder that is stopped is not dead: who wants the lock waits until it goes on, with a deadline if that is too long.
#![forbid(unsafe_code)]

use crate::event::{Event, Waited, Waiters};
use crate::layout::{LockLine, Wakeup};
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::{Deadline, Shared};

/// The owner of a lock that is free and whose last holder died. No participant has this number, and none has 0.
pub const NOBODY: u32 = OWNER as u32;
const OWNER: u64 = 0xfff;
const TURN: u64 = OWNER + 1;

/// A lock and those who wait for it.
pub struct Lock {
    line: Shared<LockLine>,
    event: Event,
}

/// Who wants a lock: its number, and the kernel's word on who lives.
pub struct Who<'a> {
    /// The own number, whose lease the caller holds: neither 0 nor [`NOBODY`].
    pub me: u32,
    /// Whether a live process holds the lease of this number.
    pub lives: &'a dyn Fn(u32) -> bool,
}

/// The lock is this participant's until it is given back.
#[must_use = "give it back"]
#[derive(Debug)]
pub struct Held {
    word: u64,
    /// Whether the last holder died with it, and so may have left what it guards unfinished.
    pub after_death: bool,
}

/// Why a lock was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Others had it until the deadline.
    TimedOut,
    /// A signal came.
    Interrupted,
}

/// Why a wait for the lock ended without finding it free.
enum Over {
    TakenOver(Held),
    Interrupted,
}

impl Lock {
    /// The lock on this line of the segment; zeroes are a free lock.
    #[must_use]
    pub fn new(line: Shared<LockLine>, asymmetric: bool) -> Self {
        let event = Event::new(line.project(|line| &line.event), Wakeup::Futex, asymmetric, Waiters::Many);
        Lock { line, event }
    }

    /// Takes the lock if it is free.
    #[inline(always)]
    pub fn try_take(&self, me: u32) -> Option<Held> {
        // ord(own) Relaxed: a guess, which the exchange verifies.
        let word = self.line.word.0.load(Relaxed);
        let owner = word & OWNER;
        if owner != 0 && owner != OWNER {
            return None;
        }
        let mine = (word - owner).wrapping_add(TURN) | u64::from(me);
        // ord(lock.pass) AcqRel <- give_back: see what the last holder did; and, at `take_over`, that we had our lease
        // before our number stood here.
        // ord(own) Relaxed on failure: somebody else has it.
        let taken = self.line.word.0.compare_exchange(word, mine, AcqRel, Relaxed);
        taken.is_ok().then_some(Held { word: mine, after_death: owner == OWNER })
    }

    /// Takes the lock, waiting for whoever has it, or taking it over from a dead one.
    ///
    /// # Errors
    /// The deadline has passed, or a signal ended the wait.
    pub fn take(&self, who: &Who<'_>, deadline: Deadline) -> Result<Held, NotTaken> {
        match self.try_take(who.me) {
            Some(held) => Ok(held),
            None => self.wait(who, deadline),
        }
    }

    #[cold]
    fn wait(&self, who: &Who<'_>, deadline: Deadline) -> Result<Held, NotTaken> {
        let mut held = None;
        let free = || {
            held = self.try_take(who.me);
            held.is_some()
        };
        let dead = || self.take_over(who).map(Over::TakenOver);
        match (self.event.wait_interruptible(deadline, free, dead, Over::Interrupted), held) {
            (_, Some(held)) | (Waited::Ended(Over::TakenOver(held)), None) => Ok(held),
            (Waited::Ended(Over::Interrupted), None) => Err(NotTaken::Interrupted),
            (Waited::TimedOut | Waited::Ready, None) => Err(NotTaken::TimedOut),
        }
    }

    /// Takes the lock if whoever has it is dead. Asks the kernel.
    pub fn take_over(&self, who: &Who<'_>) -> Option<Held> {
        // ord(lock.owner) Acquire <- take_over: whoever stands here had its lease before, so that a free one means death.
        let word = self.line.word.0.load(Acquire);
        let owner = word & OWNER;
        if owner == 0 || owner == OWNER || owner == u64::from(who.me) || (who.lives)(owner as u32) {
            return None;
        }
        let mine = (word - owner).wrapping_add(TURN) | u64::from(who.me);
        // ord(lock.owner) Release -> take_over: our lease before our number. What the dead one did is ordered by its lease,
        // which the kernel says is free.
        // ord(own) Relaxed on failure: another was quicker.
        let taken = self.line.word.0.compare_exchange(word, mine, Release, Relaxed);
        taken.is_ok().then_some(Held { word: mine, after_death: true })
    }

    /// Takes the lock if its last holder died, from it, or when it has been disowned since; never waits. Asks the kernel.
    pub fn inherit(&self, who: &Who<'_>) -> Option<Held> {
        // ord(own) Relaxed: a guess, which the exchange verifies.
        let disowned = self.line.word.0.load(Relaxed) & OWNER == OWNER;
        if disowned { self.try_take(who.me) } else { self.take_over(who) }
    }

    /// Gives the lock back, and wakes one of those who wait for it.
    #[inline(always)]
    pub fn give_back(&self, held: Held) {
        // ord(lock.pass) Release -> try_take: what we did before the next holder has it.
        self.line.word.0.store(held.word & !OWNER, Release);
        self.event.notify();
    }

    /// Gives back what a dead participant had, by whoever has just been given its number, and with it its lease.
    pub fn disown(&self, me: u32) {
        // ord(own) Relaxed: nobody has this number but the caller, and the lease orders whoever had it before.
        let word = self.line.word.0.load(Relaxed);
        if word & OWNER != u64::from(me) {
            return;
        }
        // ord(lock.pass) Release -> try_take: what the dead one did, which its lease ordered before us.
        // ord(own) Relaxed on failure: taken over meanwhile by one who asked before we had the lease.
        if self.line.word.0.compare_exchange(word, word | OWNER, Release, Relaxed).is_ok() {
            self.event.notify();
        }
    }
}
