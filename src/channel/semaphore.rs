//! A semaphore in 32 bytes of shared memory: permits that are posted and waited for. It knows no participants and takes
//! no locks, so any process that has the memory may use it, a signal's handler may post, and anybody may be killed.
//!
//! `state` is the number of permits and a bit, SLEEPERS: somebody may sleep on this word. The number is exact whatever
//! else happens: a permit is one exchange, in either direction. All the rest decides only *who* takes it:
//!
//! ```text
//!   take     v > claims                        -> v - 1     exchange
//!            v > 0, woken on this word         -> v - 1     exchange, after giving up the claim
//!   sleep    otherwise: set SLEEPERS by exchange, look again, sleep as long as the word is exactly that
//!   post     v, no SLEEPERS                    -> v + 1     exchange
//!            v, SLEEPERS: one claim more, then -> v + 1 and wake one: one system call
//!            it woke nobody: the claim goes, SLEEPERS goes by exchange; wake who fell asleep on it meanwhile
//! ```
//!
//! So a post while somebody sleeps hands its permit over: it is claimed before it is there, none but a woken one takes it,
//! and the kernel chooses whom to wake: the highest scheduling priority, then who sleeps longest. (Between giving up its
//! claim and taking, two instructions apart, one who was woken can be overtaken; it sleeps again then.)
//!
//! Who posts cannot be killed between the permit and the wake-up. Who was woken can, before it takes: then the permit is
//! there, nobody is on the way to it, and others may sleep. Nobody can know (it may be stopped, too), so a claim *lapses*:
//! [`LAPSE_MS`] after the last hand-over whoever comes may take, and wakes the next if there is more. One who was slower than
//! that finds nothing and sleeps again; no permit is lost or made by it. And one sleeper comes by itself: whoever came last
//! *keeps watch*: a post wakes it, too, once it has woken another, and as long as there are permits in other hands it sleeps in slices. It is the last
//! in the queue, so that this costs no place in it. The next one to come relieves it first, and goes to sleep behind it. If
//! the watch was killed or gave up, the next call of anybody finds what lapsed; so a sleeper is left behind only if one just
//! woken is killed and, before, the watch or, in between, the poster, and nobody calls any more.
#![forbid(unsafe_code)]

use crate::event::SLICE;
use crate::layout::Permits;
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::{Moment, Slept, coarse_ms, futex_add_and_wake, futex_sleep, futex_wake};
use std::time::Duration;

/// The most permits (SEM_VALUE_MAX).
pub const VALUE_MAX: u32 = i32::MAX as u32;
const SLEEPERS: u32 = 1 << 31;
/// More than ever are in hand while somebody sleeps. Up to here, adding one without a look cannot spill into the bit.
const PLENTY: u32 = 1 << 30;
/// For how long a permit that was handed over is left to whoever was woken.
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

impl Permits {
    /// Begins with so many permits, at most [`VALUE_MAX`], while nobody else uses it.
    pub fn init(&self, value: u32) {
        for word in [&self.claims, &self.handed_ms, &self.watch, &self.relieved] {
            // ord(own) Relaxed: nobody else uses it yet.
            word.store(0, Relaxed);
        }
        // ord(own) Relaxed: whoever passes the memory on orders it.
        self.state.store(value.min(VALUE_MAX), Relaxed);
    }

    /// How many permits a newcomer could take: those that were not handed to sleepers.
    #[must_use]
    pub fn value(&self) -> u32 {
        // ord(sem.claim) Acquire <-> Permits::announce: the claims on what we see, as whoever changes the word had them.
        let value = self.state.load(Acquire) & VALUE_MAX;
        // ord(own) Relaxed: may be stale at once.
        let claims = self.claims.load(Relaxed);
        if value == 0 || claims > 0 && self.has_lapsed() { value } else { value.saturating_sub(claims) }
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
        loop {
            let value = state & VALUE_MAX;
            if value == VALUE_MAX {
                return Err(Overflow);
            }
            if state & SLEEPERS != 0 && value < PLENTY {
                self.hand_over();
                return Ok(());
            }
            // ord(sem.permit) Release <-> Permits::take: what we did before whoever takes it goes on.
            // ord(own) Relaxed on failure: again with what was found.
            match self.state.compare_exchange(state, state + 1, Release, Relaxed) {
                Ok(_) => break,
                Err(found) => state = found,
            }
        }
        if state & SLEEPERS != 0 {
            futex_wake(&self.state, 1);
        }
        Ok(())
    }

    #[cold]
    fn hand_over(&self) {
        self.claim();
        // The permit and the wake-up: a full barrier, and so Release as the exchange in `post`, and after the claim.
        if futex_add_and_wake(&self.state) > 0 {
            futex_wake(&self.watch, 1);
        } else {
            self.unclaim();
            self.open();
        }
    }

    /// Hands unclaimed permits to who sleeps, if anybody does; if not, SLEEPERS goes.
    fn open(&self) {
        loop {
            // ord(sem.claim) AcqRel <-> Permits::announce: an RMW, so that either we see who announced itself, or it our claims.
            let state = self.state.fetch_or(0, AcqRel);
            // ord(own) Relaxed: a hint.
            if state & SLEEPERS == 0 || state & VALUE_MAX <= self.claims.load(Relaxed) {
                return;
            }
            self.claim();
            if futex_wake(&self.state, 1) > 0 {
                futex_wake(&self.watch, 1);
                return;
            }
            self.unclaim();
            // ord(sem.claim) AcqRel <-> Permits::announce: as above.
            // ord(own) Relaxed on failure: looks again.
            if self.state.compare_exchange(state, state & VALUE_MAX, AcqRel, Relaxed).is_ok() {
                // Who fell asleep on that word since nobody was found would not be woken by the next post.
                futex_wake(&self.state, EVERYBODY);
                return;
            }
        }
    }

    /// Takes a permit; `woken`: whether one was handed to us.
    #[inline]
    fn take(&self, woken: bool) -> bool {
        if woken {
            // Before the permit: else who comes between finds a claim on nothing, and sleeps for it.
            self.unclaim();
        }
        // ord(sem.claim) Acquire <-> Permits::announce: the claims on what we see, as whoever changes the word had them.
        let mut state = self.state.load(Acquire);
        while state & VALUE_MAX > 0 {
            // ord(own) Relaxed: a hint, see the head of this file.
            let claimed = !woken && state & VALUE_MAX <= self.claims.load(Relaxed);
            if claimed && !self.has_lapsed() {
                return false;
            }
            // ord(sem.permit) AcqRel <-> Permits::post: see what was done before it was posted; and our claim is gone for
            // whoever finds it taken.
            // ord(sem.claim) Acquire <-> Permits::announce: on failure, the claims on what was found.
            match self.state.compare_exchange(state, state - 1, AcqRel, Acquire) {
                Ok(_) => {
                    if woken || claimed {
                        self.pass_on(claimed);
                    }
                    return true;
                }
                Err(found) => state = found,
            }
        }
        false
    }

    #[cold]
    fn has_lapsed(&self) -> bool {
        // ord(own) Relaxed: a hint.
        coarse_ms().wrapping_sub(self.handed_ms.load(Relaxed)) >= LAPSE_MS
    }

    /// After one was taken that had been handed over: there may be more that are nobody's.
    #[cold]
    fn pass_on(&self, lapsed: bool) {
        if lapsed {
            // And so have all others that were handed over before.
            // ord(own) Relaxed: a hint.
            self.claims.store(0, Relaxed);
        }
        self.open();
    }

    fn claim(&self) {
        // ord(own) Relaxed: a hint; older than the claim, it would only let it lapse sooner.
        self.handed_ms.store(coarse_ms(), Relaxed);
        // ord(own) Relaxed: a hint.
        self.claims.fetch_add(1, Relaxed);
    }

    fn unclaim(&self) {
        // ord(own) Relaxed: an RMW, which reads the newest: an older one may lack the claim that is to go.
        let mut claims = self.claims.fetch_or(0, Relaxed);
        while claims > 0 {
            // ord(own) Relaxed: a hint.
            // ord(own) Relaxed on failure: again with what was found.
            match self.claims.compare_exchange(claims, claims - 1, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(found) => claims = found,
            }
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
            woken = false;
            if until.is_some_and(|moment| moment.left().is_none()) {
                return Err(NoPermit::TimedOut);
            }
            let state = self.announce();
            // ord(own) Relaxed: behind the announcement, see there.
            if state & VALUE_MAX > self.claims.load(Relaxed) {
                continue;
            }
            self.watch_on(me, watching);
            // The state comes last: of two words that it was woken on the last one is told.
            let both = [(&self.watch, me), (&self.state, state)];
            let words = if *watching { &both[..] } else { &both[1..] };
            let slice = (*watching && state & VALUE_MAX > 0).then_some(SLICE);
            let slept = futex_sleep(words, until, slice);
            woken = slept == Slept::Woken(words.len() - 1);
            if slept == Slept::Interrupted {
                return Err(NoPermit::Interrupted);
            }
        }
    }

    /// Says that somebody is about to sleep; the word to sleep on.
    fn announce(&self) -> u32 {
        // ord(sem.claim) AcqRel <-> Permits::open: who gave up a claim before sees us and wakes us, or we see that it did.
        self.state.fetch_or(SLEEPERS, AcqRel) | SLEEPERS
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
            && futex_sleep(&[(&self.relieved, relieved)], None, Some(RELIEF)) == Slept::Interrupted
        {
            return Err(NoPermit::Interrupted);
        }
        Ok(me)
    }

    /// If another keeps watch now, it waits for us to go on.
    fn watch_on(&self, me: u32, watching: &mut bool) {
        // ord(own) Relaxed: an RMW, which reads the newest: who woke us on this word has changed it before.
        if *watching && self.watch.fetch_or(0, Relaxed) != me {
            *watching = false;
            // ord(own) Relaxed: the kernel orders it for whoever sleeps on it.
            self.relieved.fetch_add(1, Relaxed);
            futex_wake(&self.relieved, 1);
        }
    }
}
