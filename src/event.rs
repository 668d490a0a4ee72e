//! Spin, then sleep: the only code that blocks. It knows no ring; what to try again comes as a closure.
//!
//! The race: a publisher stores its message and looks whether anybody sleeps; a sleeper announces itself and looks
//! whether there is a message. Each must not miss the other, and store-then-load is the one order that no acquire or
//! release gives. So both put a full fence between their store and their load:
//!
//! ```text
//!   publisher                         sleeper
//!   store message                     state |= SLEEPING
//!   light fence   <---- one of the    heavy fence
//!   load state          two sees ---> try again
//! ```
//!
//! If the publisher's fence is first in the order of all fences, the sleeper's second try finds the message; if the
//! sleeper's is, the publisher finds SLEEPING, changes `state` and wakes. A sleeper between its try and futex_wait
//! finds `state` changed and does not sleep. With asymmetric fences the publisher's fence is a compiler barrier and
//! the sleeper pays for both with membarrier(2), so that nothing is paid while nobody sleeps.
//!
//! A participant may be killed between any two of these steps, after its message and before its wake-up too. So every
//! sleep is a slice: at its end the sleeper tries again and asks whether its peer is alive.
#![forbid(unsafe_code)]

use crate::layout::{EventLine, Wakeup};
use crate::sync::{
    self, Deadline, Ordering::Relaxed, PROBES_PER_CHECK, PROBES_PER_ROUND, Pace, ROUNDS_BEFORE_SLEEP, Shared,
    heavy_fence, light_fence,
};
use std::time::Duration;

/// Somebody sleeps or is about to.
const SLEEPING: u32 = 1;

/// The longest sleep without a look at the ring and at the peer's lease: half of the 100 ms within which a sleeper
/// learns of a death, less the time a loaded machine takes to run it.
pub const SLICE: Duration = Duration::from_millis(40);

/// How a handle waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum WaitStrategy {
    /// Polls with one `pause` per probe. Lowest latency; occupies a core.
    Spin,
    /// Polls and gives the core away between probes (sched_yield(2)).
    Yield,
    /// Polls for some 30 to 60 us, then sleeps in the kernel. An idle waiter uses no CPU.
    #[default]
    Park,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited<E> {
    /// What was waited for is there.
    Ready,
    /// It will not come; look once more.
    Ended(E),
    /// The deadline has passed; look once more.
    TimedOut,
}

/// One direction of wake-up: who waits here, and how to wake them.
pub struct Event {
    line: Shared<EventLine>,
    wakeup: Wakeup,
    asymmetric: bool,
}

impl Event {
    /// The event on this line of the segment.
    #[must_use]
    pub fn new(line: Shared<EventLine>, wakeup: Wakeup, asymmetric: bool) -> Self {
        Event { line, wakeup, asymmetric }
    }

    /// To be called after publishing: wakes whoever sleeps. No syscall, and no fence if they are asymmetric, while
    /// nobody does; but one for nothing after a waiter announced itself and then found what it waited for, or gave up.
    #[inline(always)]
    pub fn notify(&self) {
        // fence(event.sleep) light <-> park: what was published is visible before we look at `state`.
        light_fence(self.asymmetric);
        // ord(event.sleep) Relaxed <- announce: ordered by the fence pair above.
        if self.line.state.load(Relaxed) & SLEEPING != 0 {
            self.wake();
        }
    }

    /// As `notify`, for so many things at once.
    pub fn notify_many(&self, count: usize) {
        if count > 0 {
            self.notify();
        }
    }

    /// As `notify`, for everybody.
    pub fn notify_all(&self) {
        self.notify();
    }

    /// Odd + 1: clears SLEEPING and makes a new value in one step, so that nobody goes to sleep on the old one. Two
    /// wakers at once may leave it odd; that costs one superfluous wake-up later.
    #[cold]
    fn wake(&self) {
        // ord(event.state) Relaxed: the sleeper's next announcement reads this or later; data is ordered by the fences.
        self.line.state.fetch_add(1, Relaxed);
        match self.wakeup {
            Wakeup::None => {}
            Wakeup::Futex => sync::futex_wake_all(&self.line.state),
            Wakeup::Semaphore => self.line.semaphore.post(),
        }
    }

    /// Tries until `ready` says so, the deadline passes, or `check`, asked before every slice, says that waiting is
    /// pointless. After such an answer the caller looks once more: the peer may have published before it left.
    pub fn wait<E>(
        &self,
        strategy: WaitStrategy,
        deadline: Deadline,
        mut ready: impl FnMut() -> bool,
        mut check: impl FnMut() -> Option<E>,
    ) -> Waited<E> {
        match strategy {
            WaitStrategy::Spin => {
                self.poll(deadline, PROBES_PER_CHECK, sync::spin_hint, &mut ready, &mut check)
            }
            // On a busy machine each yield may take the time slices of everybody else: look at the clock after each.
            WaitStrategy::Yield => self.poll(deadline, 1, sync::yield_now, &mut ready, &mut check),
            WaitStrategy::Park => self.park(deadline, &mut ready, &mut check),
        }
    }

    #[inline(always)]
    fn poll<E>(
        &self,
        deadline: Deadline,
        probes: u32,
        pause: impl Fn(),
        ready: &mut impl FnMut() -> bool,
        check: &mut impl FnMut() -> Option<E>,
    ) -> Waited<E> {
        // Most waits end here, without a look at the clock.
        if probe(probes, &pause, ready) {
            return Waited::Ready;
        }
        let mut pace = Pace::new();
        loop {
            if probe(probes, &pause, ready) {
                return Waited::Ready;
            }
            // Also a wait shorter than a slice hears of the peer's end.
            let over = deadline.slice(SLICE).is_none();
            if (over || pace.passed(SLICE))
                && let Some(end) = check()
            {
                return Waited::Ended(end);
            }
            if over {
                return Waited::TimedOut;
            }
        }
    }

    fn park<E>(
        &self,
        deadline: Deadline,
        ready: &mut impl FnMut() -> bool,
        check: &mut impl FnMut() -> Option<E>,
    ) -> Waited<E> {
        // Whoever shares our core with its peer would poll for it in vain: let it run now and then. Nobody sleeps yet, so
        // it fills or drains the ring without a wake-up for each message.
        #[allow(clippy::reversed_empty_ranges, reason = "the model makes none")]
        for _ in 0..ROUNDS_BEFORE_SLEEP {
            if probe(PROBES_PER_ROUND, &sync::spin_hint, ready) {
                return Waited::Ready;
            }
            sync::yield_now();
        }
        loop {
            let Some(slice) = deadline.slice(SLICE) else {
                return check().map_or(Waited::TimedOut, Waited::Ended);
            };
            let announced = self.announce();
            // fence(event.sleep) heavy <-> notify: we are announced before we look again.
            heavy_fence(self.asymmetric);
            if ready() {
                return Waited::Ready;
            }
            // Behind the fence, too: a peer that closes notifies once, and may have found nobody announced.
            if let Some(end) = check() {
                return Waited::Ended(end);
            }
            match self.wakeup {
                Wakeup::None => sync::yield_now(),
                Wakeup::Futex => sync::futex_wait(&self.line.state, announced, slice),
                Wakeup::Semaphore => self.line.semaphore.wait(slice),
            }
            if ready() {
                return Waited::Ready;
            }
        }
    }

    fn announce(&self) -> u32 {
        // ord(event.sleep) Relaxed -> notify: ordered by the fence pair; an RMW, so it never undoes a wake-up.
        self.line.state.fetch_or(SLEEPING, Relaxed) | SLEEPING
    }
}

#[inline(always)]
fn probe(probes: u32, pause: &impl Fn(), ready: &mut impl FnMut() -> bool) -> bool {
    for _ in 0..probes {
        if ready() {
            return true;
        }
        pause();
    }
    false
}
