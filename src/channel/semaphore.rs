//! A semaphore in 32 bytes of shared memory: permits that are posted and waited for. It knows no participants and takes
//! no locks, so any process that has the memory may use it, a signal's handler may post, and anybody may be killed.
//!
//! One word has it all, `state`: how many permits are *free*, for whoever comes; how many are *granted*, to sleepers that were
//! woken for them; and a bit, SLEEPERS: somebody may sleep. Sleepers sleep on granted and SLEEPERS, the word's lower half.
//! Each change is one exchange of the whole word, so the sum is exact whatever else happens, and
//!
//! ```text
//!   SLEEPERS stands only while nothing is free
//!
//!   take     free > 0                 -> free - 1            who comes
//!   sleep    free = 0                 -> SLEEPERS            then asleep, if the lower half is still what it was
//!   post     no SLEEPERS              -> free + 1
//!            SLEEPERS                 -> granted + 1, and the kernel wakes one: both in one system call
//!            it woke nobody           -> granted - 1, free + 1, no SLEEPERS; wakes who fell asleep in between
//!   woken    granted > 0              -> granted - 1         who was woken
//!            free > 0                 -> free - 1            somebody else took what was granted: the same for us
//! ```
//!
//! So a post while somebody sleeps hands its permit over. Nobody who comes can take it, and the kernel chooses who is woken:
//! the highest scheduling priority, then who sleeps longest. A wake-up is not lost: who is about to sleep has seen a lower half
//! with SLEEPERS, and if a post came after that, either it found SLEEPERS and changed granted, or SLEEPERS had been taken
//! away together with a permit becoming free: in each case the kernel finds another word and does not let it sleep. If it
//! finds the same, since what was granted was taken or SLEEPERS is back, then nothing is free that nobody takes, and a
//! sleeper is right to sleep. Who posts cannot be killed between the permit and the wake-up.
//!
//! Who was woken can be killed before it takes. Then a permit is granted, and nobody is on the way to it. Nobody can know (it
//! may be stopped, too), so a grant *lapses*: [`LAPSE_MS`] after the last one, whoever comes may take granted permits as well.
//! One who was slower than that finds nothing and sleeps again; no permit is lost or made by it. And one sleeper comes by
//! itself: whoever came last *keeps watch*. A post wakes it, too, once it has woken another, and while permits are granted
//! it sleeps in slices. It is the last in the queue, so that this costs no place in it. The next one to come relieves it
//! first, and goes to sleep behind it. They have numbers, and whoever has the highest keeps watch. So of two who come at once
//! the one with the lower number may find the other asleep already, and wake that one to be relieved. The other keeps watch
//! on and makes way for nobody: whoever has woken one waits for it only while its own number is still the highest, for then
//! that one came earlier, and will see that it was relieved.
//!
//! What is left: a sleeper sleeps on beside a granted permit, until the next call of anybody, if who was woken for it is
//! killed before it takes it, and so is, or gave up, who kept watch, or else the poster between its two wake-ups.
#![forbid(unsafe_code)]

use crate::event::SLICE;
use crate::layout::Permits;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{Moment, Slept, coarse_ms, futex_wait_interruptible, futex_wake};
use std::time::Duration;

/// The most permits (SEM_VALUE_MAX).
pub const VALUE_MAX: u32 = i32::MAX as u32;
/// Somebody may sleep.
pub const SLEEPERS: u64 = 1 << 31;
/// One free permit. One granted is 1.
pub const FREE: u64 = 1 << 32;
/// For how long a permit is left to whoever was woken for it.
pub const LAPSE_MS: u32 = 2 * SLICE.as_millis() as u32;
/// For how long whoever comes to keep watch waits for the one that it relieves.
const RELIEF: Duration = Duration::from_millis(1);
const EVERYBODY: usize = usize::MAX;

/// Why no permit was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPermit {
    /// There is none until the moment.
    TimedOut,
    /// A signal came that ends a wait.
    Interrupted,
    /// It would have to wait until a moment that is none.
    NoMoment,
}

/// There are [`VALUE_MAX`] permits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

fn free(state: u64) -> u64 {
    state / FREE
}

fn granted(state: u64) -> u64 {
    state & (SLEEPERS - 1)
}

impl Permits {
    /// Begins with so many permits, at most [`VALUE_MAX`], while nobody else uses it.
    pub fn init(&self, value: u32) {
        for word in [&self.granted_ms, &self.watch, &self.relieved] {
            // ord(own) Relaxed: nobody else uses it yet.
            word.store(0, Relaxed);
        }
        // ord(own) Relaxed: whoever passes the memory on orders it.
        self.state.store(u64::from(value.min(VALUE_MAX)) * FREE, Relaxed);
    }

    /// How many permits a newcomer could take: those that were not handed to sleepers.
    #[must_use]
    pub fn value(&self) -> u32 {
        // ord(own) Relaxed: may be stale at once, and whether it lapsed, too.
        let state = self.state.load(Relaxed);
        let lapsed = if granted(state) > 0 && self.has_lapsed() { granted(state) } else { 0 };
        (free(state) + lapsed).min(VALUE_MAX.into()) as u32
    }

    /// Takes a permit if there is one for a newcomer.
    #[inline]
    #[must_use]
    pub fn try_wait(&self) -> bool {
        self.take(false)
    }

    /// Takes a permit, sleeping until there is one, until the moment, or until a signal's handler ran that was installed
    /// without SA_RESTART.
    ///
    /// # Errors
    /// The moment has passed or is none, or a handler ran.
    pub fn wait(&self, until: Option<&Moment>) -> Result<(), NoPermit> {
        if self.take(false) { Ok(()) } else { self.wait_asleep(until) }
    }

    /// Adds a permit, or hands it to one who sleeps. Takes no lock, allocates nothing, never waits.
    ///
    /// # Errors
    /// There are as many as there can be.
    pub fn post(&self) -> Result<(), Overflow> {
        // ord(own) Relaxed: a guess, which the exchange verifies.
        let mut state = self.state.load(Relaxed);
        while free(state) + granted(state) < VALUE_MAX.into() {
            if state & SLEEPERS != 0 {
                self.hand_over();
                return Ok(());
            }
            // ord(sem.permit) Release -> Permits::take: what we did before whoever takes it goes on.
            // ord(own) Relaxed on failure: again with what was found.
            match self.state.compare_exchange(state, state + FREE, Release, Relaxed) {
                Ok(_) => return Ok(()),
                Err(found) => state = found,
            }
        }
        Err(Overflow)
    }

    #[cold]
    fn hand_over(&self) {
        // ord(own) Relaxed: ordered by the word with the grant.
        self.granted_ms.store(coarse_ms(), Relaxed);
        // ord(sem.permit) Release -> Permits::take: as in `post`; and when it was granted.
        let woken = self.state.add_and_wake(Release);
        if woken > 0 { self.wake_the_watch() } else { self.free(1) }
    }

    /// What was granted to nobody is anybody's; as much of it as others have not taken.
    fn free(&self, count: u64) {
        // ord(own) Relaxed: a guess, which the exchange verifies.
        let mut state = self.state.load(Relaxed);
        while granted(state) > 0 {
            let count = count.min(granted(state));
            let freed = (state & !SLEEPERS) - count + count * FREE;
            // ord(own) Relaxed: who acquires it acquires what it was granted with, since all changes are exchanges.
            // ord(own) Relaxed on failure: again with what was found.
            match self.state.compare_exchange(state, freed, Relaxed, Relaxed) {
                Ok(_) => {
                    if state & SLEEPERS != 0 {
                        // Who fell asleep since nobody was found would not be woken by the next post.
                        self.state.wake(EVERYBODY);
                    }
                    return;
                }
                Err(found) => state = found,
            }
        }
        self.wake_forgotten(state);
    }

    /// Who took SLEEPERS away may have been killed before it woke who had fallen asleep.
    fn wake_forgotten(&self, state: u64) {
        if state & SLEEPERS == 0 {
            self.state.wake(EVERYBODY);
        }
    }

    /// Once another was woken: it looks after that one.
    fn wake_the_watch(&self) {
        futex_wake(&self.watch, 1);
    }

    /// Takes a permit; `woken`: whether one was granted to us.
    #[inline]
    fn take(&self, woken: bool) -> bool {
        loop {
            // ord(sem.permit) Acquire <- Permits::hand_over: when it was granted, or it would seem to have lapsed.
            let state = self.state.load(Acquire);
            let next = match () {
                () if woken && granted(state) > 0 => state - 1,
                () if free(state) > 0 => state - FREE,
                () if granted(state) > 0 && self.has_lapsed() => state - 1,
                () => return false,
            };
            // ord(sem.permit) Acquire <- Permits::post: see what was done before it was posted.
            // ord(own) Relaxed on failure: again with what is there.
            if self.state.compare_exchange(state, next, Acquire, Relaxed).is_ok() {
                let left = granted(next);
                if !woken && 0 < left && left < granted(state) {
                    self.pass_on(left);
                }
                return true;
            }
        }
    }

    #[cold]
    fn has_lapsed(&self) -> bool {
        // ord(own) Relaxed: behind the word with the grant.
        coarse_ms().wrapping_sub(self.granted_ms.load(Relaxed)) >= LAPSE_MS
    }

    /// After one was taken that had lapsed: so have the others. They are for who sleeps, then for anybody.
    #[cold]
    fn pass_on(&self, count: u64) {
        // ord(own) Relaxed: a hint for who looks before those who are woken now.
        self.granted_ms.store(coarse_ms(), Relaxed);
        let woken = self.state.wake(count as usize);
        self.wake_the_watch();
        if (woken as u64) < count {
            self.free(count - woken as u64);
        }
    }

    #[cold]
    fn wait_asleep(&self, until: Option<&Moment>) -> Result<(), NoPermit> {
        if until.is_some_and(|moment| !moment.is_valid()) {
            return Err(NoPermit::NoMoment);
        }
        let me = self.keep_watch()?;
        let mut watching = true;
        let got = self.sleep_until_there_is_one(me, &mut watching, until);
        self.watch_on(me, &mut watching);
        if watching {
            self.leave_watch();
        }
        got
    }

    fn sleep_until_there_is_one(
        &self,
        me: u32,
        watching: &mut bool,
        until: Option<&Moment>,
    ) -> Result<(), NoPermit> {
        let mut woken = false;
        loop {
            if self.take(woken) {
                return Ok(());
            }
            if until.is_some_and(|moment| moment.left().is_none()) {
                return Err(NoPermit::TimedOut);
            }
            let state = self.announce();
            if free(state) > 0 {
                woken = false;
                continue;
            }
            self.watch_on(me, watching);
            let beside = watching.then_some((&self.watch, me));
            let slice = (*watching && granted(state) > 0).then_some(SLICE);
            let slept = self.state.sleep(state as u32, beside, until, slice);
            woken = slept == Slept::Woken;
            if slept == Slept::Interrupted {
                return Err(NoPermit::Interrupted);
            }
        }
    }

    /// Keeps watch no longer. While it did it put SLEEPERS back whenever it slept again, and took whatever was freed; now
    /// there may be nobody for those for whom nobody did either.
    fn leave_watch(&self) {
        // ord(own) Relaxed: what we left there ourselves, or newer.
        self.wake_forgotten(self.state.load(Relaxed));
    }

    /// Says that somebody is about to sleep, unless there is a permit; the state.
    fn announce(&self) -> u64 {
        // ord(own) Relaxed: a guess, which the exchange or the kernel verifies.
        let mut state = self.state.load(Relaxed);
        while free(state) == 0 && state & SLEEPERS == 0 {
            // ord(own) Relaxed: it is about this word alone.
            // ord(own) Relaxed on failure: again with what was found.
            match self.state.compare_exchange(state, state | SLEEPERS, Relaxed, Relaxed) {
                Ok(_) => return state | SLEEPERS,
                Err(found) => state = found,
            }
        }
        state
    }

    /// Comes to wait, as the last: whoever kept watch goes to sleep for good first.
    fn keep_watch(&self) -> Result<u32, NoPermit> {
        // ord(own) Relaxed: a hint; where it is missed, one who keeps watch no longer needs to sleeps in slices.
        let relieved = self.relieved.load(Relaxed);
        // ord(own) Relaxed: the kernel reads it when somebody falls asleep on it.
        let me = self.watch.fetch_add(1, Relaxed).wrapping_add(1);
        // ord(own) Relaxed: if it is not set yet, whoever sets it reads `watch` anew.
        let others = self.state.load(Relaxed) & SLEEPERS != 0;
        if others
            && futex_wake(&self.watch, 1) > 0
            && self.came_last(me)
            && futex_wait_interruptible(&self.relieved, relieved, RELIEF)
        {
            self.leave_watch();
            return Err(NoPermit::Interrupted);
        }
        Ok(me)
    }

    /// Whether nobody has come since, so that whoever kept watch until now came before us.
    fn came_last(&self, me: u32) -> bool {
        // ord(own) Relaxed: it is about this word alone; an exchange, since the newest number counts.
        // ord(own) Relaxed on failure: the same.
        self.watch.compare_exchange(me, me, Relaxed, Relaxed).is_ok()
    }

    /// If another keeps watch now, it waits for us to go on.
    fn watch_on(&self, me: u32, watching: &mut bool) {
        // ord(own) Relaxed: if it is another by now, the kernel does not let us sleep on it.
        if *watching && self.watch.load(Relaxed) != me {
            *watching = false;
            // ord(own) Relaxed: a hint; two who are relieved at once may count as one.
            let relieved = self.relieved.load(Relaxed);
            // ord(own) Relaxed: the kernel orders it for whoever sleeps on it.
            self.relieved.store(relieved.wrapping_add(1), Relaxed);
            futex_wake(&self.relieved, 1);
        }
    }
}
