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
//! `state` is the bit SLEEPING and above it a count; the bit below it is `watch`'s. Where one waits at most, a wake-up clears the bit and counts in one
//! step. Where many may wait, one thing more is to wake one of them, and the bit must stay for the rest:
//!
//! ```text
//!   v = state: SLEEPING
//!   woken = FUTEX_WAKE(n)
//!   woken < n: nobody slept any more:       else the bit stays, and n others have what there is
//!     CAS state: v -> next, not SLEEPING    who announced and does not sleep yet comes back and looks
//!     FUTEX_WAKE(all)                       who fell asleep on v between the two, and would sleep without the bit
//! ```
//!
//! So the bit is clear only while nobody sleeps, but for those whom the second FUTEX_WAKE is about to wake; they look,
//! and announce themselves again. The CAS fails if another waker did the same since v was read; then whoever announced
//! before comes back, and whoever announces after finds what we published, by the fences. Each one woken by count is
//! another, and a stopped process is in no queue.
//!
//! A semaphore does not say how many it woke. Its waker clears the bit and posts once, whatever `n`. Where many may wait,
//! whoever took the permit posts once more if it finds something, or the end; if not, it announces itself again, and so
//! all others. So while anybody sleeps the bit is set or a permit is on its way, and of two things that came before the
//! first woken one ran, the second is found. The price is a wake-up for nothing at the end of each such chain.
//!
//! A wake-up for each bit of progress makes two who share a core take turns at each message. So a waiter for positions,
//! which a ring full of messages makes the producer, may ask not to be woken before a position is reached
//! ([`Event::ask_for`]). It asks for none that its peer is not sure to reach before it waits in turn: the consumer of an
//! empty ring has reached them all. So any position ever asked for is a right answer to whoever reads it late, and the
//! word needs no order. Close and death do not ask.
//!
//! All waiters of one event wait for the same thing. One that was woken and leaves it to the others notifies again.
//!
//! A participant may be killed between any two of these steps: after its message and before its wake-up, between the two
//! FUTEX_WAKEs, woken and before it takes the message or posts once more. So every sleep is a slice: at its end the
//! sleeper tries again and asks whether its peer is alive. What was swallowed with a victim is found within [`SLICE`].
#![forbid(unsafe_code)]

use crate::layout::{EventLine, Wakeup};
use crate::sync::{
    self, Deadline, Ordering::Relaxed, PROBES_PER_CHECK, PROBES_PER_ROUND, Pace, ROUNDS_BEFORE_SLEEP, Shared,
    heavy_fence, light_fence,
};
use crate::watch::{self, WATCHED, Watch};
use std::cell::Cell;
use std::time::Duration;

/// Somebody sleeps or is about to.
const SLEEPING: u32 = 2;
/// One more of the count, behind the bits.
const NEXT: u32 = 4;
/// More than can wait.
const EVERYBODY: usize = usize::MAX;

/// The longest sleep without a look at the ring and at the peer's lease. Two slices may add up where a victim was to wake
/// one who was to wake another, and a loaded machine takes its time to run them: together well below the 100 ms within
/// which a sleeper learns of a death. A look costs some system calls: `tests/liveness.rs` measures what a sleeper uses.
pub const SLICE: Duration = Duration::from_millis(20);

/// The longest sleep of one to whom what it waits for may come without a wake-up. Others stall no longer than that beside
/// one that is stopped; it costs a wait some 250 looks a second, for as long as this lasts.
pub const SHORT_SLICE: Duration = Duration::from_millis(4);

/// A sched_yield(2) that took so long gave the core to somebody else than the peer.
const SLOW_YIELD: Duration = Duration::from_micros(500);
/// For how many waits there are then no yields; doubled each time, halved after each wait that needed no more.
const PENALTY_MIN: u32 = 512;
const PENALTY_MAX: u32 = 1 << 14;

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

/// How thoroughly to look whether what is waited for is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// One of many: what takes long may be left to the next.
    Glance,
    /// Between the announcement of a sleep and the sleep: nothing may be missed.
    Whole,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// What is waited for.
    Ready,
    /// Nothing; whoever brings it wakes us.
    Nothing,
    /// Nothing, but it may come without a wake-up: to be slept on for [`SHORT_SLICE`] only.
    Soon,
}

/// How many may wait on one event at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiters {
    /// One at most: waking it is waking all, the cheaper way.
    One,
    /// Any number.
    Many,
}

/// One direction of wake-up: who waits here, and how to wake them.
pub struct Event {
    line: Shared<EventLine>,
    wakeup: Wakeup,
    asymmetric: bool,
    waiters: Waiters,
    patience: Cell<Patience>,
    /// Where the ring was last found empty for sure; see [`Event::look_again`].
    settled: Cell<Option<u64>>,
}

impl Event {
    /// The event on this line of the segment.
    #[must_use]
    pub fn new(line: Shared<EventLine>, wakeup: Wakeup, asymmetric: bool, waiters: Waiters) -> Self {
        Event { line, wakeup, asymmetric, waiters, patience: Cell::default(), settled: Cell::default() }
    }

    /// To be called after one thing was published: wakes one of those who sleep. No syscall, and no fence if they are
    /// asymmetric, while nobody does; but one or two for nothing after a waiter announced itself and then found what it
    /// waited for, or gave up, or was the last of many.
    #[inline(always)]
    pub fn notify(&self) {
        self.notify_many(1);
    }

    /// As [`Event::notify`], after `count` things were published.
    #[inline(always)]
    pub fn notify_many(&self, count: usize) {
        if count == 0 {
            return;
        }
        // fence(event.sleep) light <-> park: what was published is visible before we look at `state`.
        light_fence(self.asymmetric);
        // ord(event.sleep) Relaxed <- announce: ordered by the fence pair above.
        let v = self.line.state.load(Relaxed);
        if v & SLEEPING != 0 {
            self.wake(v, count);
        }
    }

    /// As [`Event::notify_many`], after `count` messages up to the position that `end` says: whoever asked to be told of
    /// them is, if that is due. `holds_before`: whether a message from before a position is still in the ring.
    #[inline(always)]
    pub fn notify_news(
        &self,
        count: usize,
        end: impl FnOnce() -> u64,
        holds_before: impl FnOnce(u64) -> bool,
    ) {
        // fence(event.sleep) light <-> park: what was published is visible before we look at `state`.
        // fence(watch.ask) light <-> Watch::ask: the same, for who asked.
        // fence(watch.taken) light <-> look_again: and before we look what is still there.
        light_fence(self.asymmetric);
        // ord(event.sleep) Relaxed <- announce: ordered by the fence pair above.
        let v = self.line.state.load(Relaxed);
        if v & (SLEEPING | WATCHED) != 0 {
            self.tell_and_wake(v, count, end, holds_before);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_and_wake(
        &self,
        v: u32,
        count: usize,
        end: impl FnOnce() -> u64,
        holds_before: impl FnOnce(u64) -> bool,
    ) {
        let woken = if v & SLEEPING != 0 { self.wake(v, count) } else { 0 };
        // What somebody waited for is no news.
        if v & WATCHED != 0 && woken < count {
            watch::judge(&self.line, end(), holds_before);
        }
    }

    /// To be asked before a receiver whose next position is `head` is told that the ring is empty: whether to look once
    /// more first, since somebody asked to be told of the next message. Whoever sends that must know what was taken.
    #[inline(always)]
    pub fn look_again(&self, head: u64) -> bool {
        // Who took a message has given its room back since, and run a light fence for whoever waits for that.
        // ord(event.sleep) Relaxed <- Watch::ask: ordered by that fence and its heavy one.
        let watched = self.line.state.load(Relaxed) & WATCHED != 0;
        watched && self.settled.replace(Some(head)) != Some(head) && {
            // fence(watch.taken) heavy <-> notify_news: what we took is visible, or what was sent meanwhile.
            heavy_fence(self.asymmetric);
            true
        }
    }

    /// How to ask to be told of messages.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(self.line.clone(), self.asymmetric)
    }

    /// As [`Event::notify`], for everybody: a peer left, or whatever a victim may have swallowed is to be looked for.
    pub fn notify_all(&self) {
        self.notify_many(EVERYBODY);
    }

    /// As [`Event::notify`], by who has come to `position`: a sleeper that asked for more sleeps on.
    #[inline(always)]
    pub fn notify_at(&self, position: u64) {
        // fence(event.sleep) light <-> park: what was published is visible before we look at `state`.
        light_fence(self.asymmetric);
        // ord(event.sleep) Relaxed <- announce: ordered by the fence pair above.
        let v = self.line.state.load(Relaxed);
        if v & SLEEPING != 0 {
            self.wake_at(v, position);
        }
    }

    /// Before a wait for one who calls [`Event::notify_at`]: it need not wake us before it has come to `position`. It
    /// must be sure to come there, whatever this side does meanwhile, before it waits for us.
    pub fn ask_for(&self, position: u64) {
        // ord(own) Relaxed: who reads an older one finds it reached at a position that it is sure to come to, too.
        self.line.enough.store(position, Relaxed);
    }

    #[cold]
    fn wake_at(&self, v: u32, position: u64) {
        // ord(own) Relaxed: any that was ever asked for will do, see `ask_for`.
        let enough = self.line.enough.load(Relaxed);
        if position.wrapping_sub(enough) as i64 >= 0 {
            self.wake(v, 1);
        }
    }

    /// Says how many it woke, as far as the wake-up object tells.
    #[cold]
    fn wake(&self, v: u32, count: usize) -> usize {
        match self.wakeup {
            Wakeup::None => 0,
            Wakeup::Futex if self.waiters == Waiters::Many && count != EVERYBODY => self.wake_some(v, count),
            Wakeup::Futex => {
                self.clear();
                sync::futex_wake(&self.line.state, EVERYBODY)
            }
            Wakeup::Semaphore => {
                self.clear();
                self.line.semaphore.post();
                0
            }
        }
    }

    /// A set bit + 1: clears SLEEPING and makes a new value in one step, so that nobody goes to sleep on the old one. Two
    /// wakers at once may leave it set; that costs one superfluous wake-up later.
    fn clear(&self) {
        // ord(event.state) Relaxed: the sleeper's next announcement reads this or later; data is ordered by the fences.
        self.line.state.fetch_add(SLEEPING, Relaxed);
    }

    fn wake_some(&self, v: u32, count: usize) -> usize {
        let state = &self.line.state;
        let woken = sync::futex_wake(state, count);
        if woken < count {
            let clear = v.wrapping_add(NEXT) & !SLEEPING;
            // ord(event.state) Relaxed: as in `clear`.
            // ord(event.state) Relaxed on failure: another waker came between; a bit is the next one's to clear.
            if state.compare_exchange(v, clear, Relaxed, Relaxed).is_ok() {
                sync::futex_wake(state, EVERYBODY);
            }
        }
        woken
    }

    /// Tries until `ready` says so, the deadline passes, or `check`, asked before every slice, says that waiting is
    /// pointless. After such an answer the caller looks once more: the peer may have published before it left. `ready`
    /// is not asked again after a yes, so it may take what it finds.
    pub fn wait<E>(
        &self,
        strategy: WaitStrategy,
        deadline: Deadline,
        mut ready: impl FnMut() -> bool,
        check: impl FnMut() -> Option<E>,
    ) -> Waited<E> {
        let ready = |_| if ready() { Found::Ready } else { Found::Nothing };
        self.wait_looking(strategy, deadline, ready, check)
    }

    /// As [`Event::wait`], for one whose looks may be dear, or may find what nobody will wake it for.
    pub fn wait_looking<E>(
        &self,
        strategy: WaitStrategy,
        deadline: Deadline,
        mut ready: impl FnMut(Look) -> Found,
        mut check: impl FnMut() -> Option<E>,
    ) -> Waited<E> {
        match strategy {
            WaitStrategy::Spin => {
                self.poll(deadline, PROBES_PER_CHECK, sync::spin_hint, &mut ready, &mut check)
            }
            // On a busy machine each yield may take the time slices of everybody else: look at the clock after each.
            WaitStrategy::Yield => self.poll(deadline, 1, sync::yield_now, &mut ready, &mut check),
            WaitStrategy::Park => self.park(deadline, &mut ready, &mut check, None),
        }
    }

    /// As [`Event::wait`] with [`WaitStrategy::Park`], on a futex; a signal that would end a blocking read(2) ends it, too,
    /// with `interrupted`, unless what was waited for is there.
    pub fn wait_interruptible<E>(
        &self,
        deadline: Deadline,
        mut ready: impl FnMut() -> bool,
        mut check: impl FnMut() -> Option<E>,
        interrupted: E,
    ) -> Waited<E> {
        let mut ready = |_| if ready() { Found::Ready } else { Found::Nothing };
        self.park(deadline, &mut ready, &mut check, Some(interrupted))
    }

    #[inline(always)]
    fn poll<E>(
        &self,
        deadline: Deadline,
        probes: u32,
        pause: impl Fn(),
        ready: &mut impl FnMut(Look) -> Found,
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
        ready: &mut impl FnMut(Look) -> Found,
        check: &mut impl FnMut() -> Option<E>,
        mut interrupted: Option<E>,
    ) -> Waited<E> {
        if self.found_before_sleep(ready) {
            return Waited::Ready;
        }
        // Where many wait: whether the last sleep took a permit that may have come for more than one.
        let mut owes = false;
        // Short slices are no reason to ask for the peer more often, unless somebody woke all: the end may be why.
        let mut pace: Option<Pace> = None;
        let mut before = None;
        loop {
            let slice = deadline.slice(SLICE);
            if slice.is_none() && !owes {
                return check().map_or(Waited::TimedOut, Waited::Ended);
            }
            let announced = self.announce();
            // fence(event.sleep) heavy <-> notify_many: we are announced before we look again.
            heavy_fence(self.asymmetric);
            // Behind the fence the end, too: a peer that closes notifies once, and may have found nobody announced.
            let found = ready(Look::Whole);
            let quiet = before.replace(announced) == Some(announced) && slice.is_some();
            let asks = !quiet || pace.as_mut().is_none_or(|pace| pace.passed(SLICE));
            let over = match found {
                Found::Ready => Some(Waited::Ready),
                _ if asks => check().map(Waited::Ended),
                _ => None,
            };
            if let Some(over) = over {
                self.pass_on(owes);
                return over;
            }
            let Some(slice) = slice else { return Waited::TimedOut };
            let soon = found == Found::Soon;
            pace = soon.then(|| pace.unwrap_or_else(Pace::new));
            let slice = if soon { slice.min(SHORT_SLICE) } else { slice };
            let mut end = None;
            match self.wakeup {
                Wakeup::None => sync::yield_now(),
                Wakeup::Futex if interrupted.is_some() => {
                    if sync::futex_wait_interruptible(&self.line.state, announced, slice) {
                        end = interrupted.take();
                    }
                }
                Wakeup::Futex => sync::futex_wait(&self.line.state, announced, slice),
                Wakeup::Semaphore => owes = self.line.semaphore.wait(slice) && self.waiters == Waiters::Many,
            }
            if ready(Look::Glance) == Found::Ready {
                self.pass_on(owes);
                return Waited::Ready;
            }
            if let Some(end) = end {
                return Waited::Ended(end);
            }
        }
    }

    /// Wakes the next of those for whom a permit may have come. Who finds nothing has announced them instead.
    fn pass_on(&self, owes: bool) {
        if owes {
            self.line.semaphore.post();
        }
    }

    /// Who shares its core with its peer would poll for it in vain: let it run now and then. Nobody sleeps yet, so it
    /// fills or drains the ring without a wake-up for each message. But where others want the core, too, a yield gives
    /// them whole time slices, while a sleeper is back as soon as it is woken: after a slow one, no yields for a while.
    fn found_before_sleep(&self, ready: &mut impl FnMut(Look) -> Found) -> bool {
        let mut patience = self.patience.get();
        let found = if patience.waits_without_yield == 0 {
            patience.poll_and_yield(ready)
        } else {
            patience.poll(ready)
        };
        self.patience.set(patience);
        found
    }

    fn announce(&self) -> u32 {
        // ord(event.sleep) Relaxed -> notify_many: ordered by the fence pair; an RMW, so it never undoes a wake-up.
        self.line.state.fetch_or(SLEEPING, Relaxed) | SLEEPING
    }
}

/// What a handle has learnt about waiting awake. Decides what a wait costs, never whether it ends.
#[derive(Clone, Copy, Default)]
struct Patience {
    /// Waits still to come in which no core is given away.
    waits_without_yield: u32,
    /// As many as that were last time.
    penalty: u32,
    /// Waits in a row that polling alone did not end.
    in_vain: u32,
}

impl Patience {
    #[allow(clippy::reversed_empty_ranges, reason = "the model makes none")]
    fn poll_and_yield(&mut self, ready: &mut impl FnMut(Look) -> Found) -> bool {
        for _ in 0..ROUNDS_BEFORE_SLEEP {
            if probe(PROBES_PER_ROUND, &sync::spin_hint, ready) {
                self.penalty /= 2;
                return true;
            }
            let mut pace = Pace::new();
            sync::yield_now();
            if pace.passed(SLOW_YIELD) {
                self.penalty = (self.penalty * 2).clamp(PENALTY_MIN, PENALTY_MAX);
                self.waits_without_yield = self.penalty;
                return ready(Look::Glance) == Found::Ready;
            }
        }
        false
    }

    /// The peer shares our core, or has lost its own, whenever this is in vain. So half as long after each such time, and
    /// the whole only now and then.
    fn poll(&mut self, ready: &mut impl FnMut(Look) -> Found) -> bool {
        self.waits_without_yield -= 1;
        let halvings = if self.in_vain.is_multiple_of(64) { 0 } else { self.in_vain.min(6) };
        let found = probe((ROUNDS_BEFORE_SLEEP * PROBES_PER_ROUND) >> halvings, &sync::spin_hint, ready);
        self.in_vain = if found { 0 } else { self.in_vain.wrapping_add(1) };
        found
    }
}

#[inline(always)]
fn probe(probes: u32, pause: &impl Fn(), ready: &mut impl FnMut(Look) -> Found) -> bool {
    for _ in 0..probes {
        if ready(Look::Glance) == Found::Ready {
            return true;
        }
        pause();
    }
    false
}
