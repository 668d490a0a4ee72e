//! The event alone: a word is published with no ordering of its own, so nothing but the event's fences keeps a sleeper
//! from missing it. No clock runs in a model: a lost wake-up is a deadlock, and loom reports it.

use loom::thread;
use slipring_loom::event::{Event, WaitStrategy, Waited, Waiters};
use slipring_loom::layout::{EventLine, Wakeup};
use slipring_loom::rig::event_line;
use slipring_loom::sync::Ordering::{Acquire, Relaxed, Release};
use slipring_loom::sync::{AtomicU32, AtomicU64, Deadline, Shared};
use slipring_loom::{check, check_bounded};
use std::time::Duration;

/// What publishers and waiters share.
struct Board {
    line: EventLine,
    word: AtomicU64,
    gone: AtomicU64,
    /// Things to take, for waiters who each take one.
    stock: AtomicU32,
}

#[derive(Clone)]
struct Side {
    board: Shared<Board>,
    wakeup: Wakeup,
}

impl Side {
    fn new(wakeup: Wakeup) -> Self {
        let board = Board {
            line: event_line(),
            word: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            stock: AtomicU32::new(0),
        };
        Side { board: Shared::of(board), wakeup }
    }

    fn event(&self) -> Event {
        self.event_of(Waiters::One)
    }

    fn event_of(&self, waiters: Waiters) -> Event {
        Event::new(self.board.project(|board| &board.line), self.wakeup, false, waiters)
    }

    fn publish(&self, value: u64) {
        self.board.word.store(value, Relaxed);
        self.event().notify();
    }

    /// Puts `count` things there and says so once.
    fn put(&self, count: u32) {
        self.board.stock.fetch_add(count, Relaxed);
        self.event_of(Waiters::Many).notify_many(count as usize);
    }

    fn try_take(&self) -> bool {
        let stock = &self.board.stock;
        let mut found = stock.load(Relaxed);
        while found > 0 {
            match stock.compare_exchange(found, found - 1, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(other) => found = other,
            }
        }
        false
    }

    /// Takes one thing, as one of many waiters who do; false if the end came first.
    fn take(&self) -> bool {
        let Board { stock, gone, .. } = &*self.board;
        let event = self.event_of(Waiters::Many);
        let end = || (gone.load(Acquire) == 1).then_some(());
        let mut waited = Waited::Ready;
        loop {
            if self.try_take() {
                return true;
            }
            if waited != Waited::Ready {
                return false;
            }
            waited = event.wait(WaitStrategy::Park, Deadline::NEVER, || stock.load(Relaxed) > 0, end);
        }
    }

    /// Waits until the word is at least `value`, for ever; what it then was.
    fn await_at_least(&self, value: u64, strategy: WaitStrategy) -> u64 {
        let mut found = 0;
        let ready = || {
            found = self.board.word.load(Relaxed);
            found >= value
        };
        let waited = self.event().wait(strategy, Deadline::NEVER, ready, || None::<()>);
        assert_eq!(waited, Waited::Ready, "nothing else ends this wait");
        found
    }
}

fn a_waiter_wakes(wakeup: Wakeup, strategy: WaitStrategy) {
    check(move |run| {
        let side = Side::new(wakeup);
        let there = side.clone();
        let publisher = thread::spawn(move || there.publish(1));
        run.outcome(side.await_at_least(1, strategy));
        publisher.join().unwrap();
    })
    .reaches("1", "always: found at once, or before falling asleep, or woken");
}

#[test]
fn a_waiter_on_a_futex_wakes() {
    a_waiter_wakes(Wakeup::Futex, WaitStrategy::Park);
}

#[test]
fn a_waiter_on_a_semaphore_wakes() {
    a_waiter_wakes(Wakeup::Semaphore, WaitStrategy::Park);
}

#[test]
fn a_spinning_waiter_sees_what_is_published() {
    a_waiter_wakes(Wakeup::None, WaitStrategy::Spin);
}

#[test]
fn a_yielding_waiter_sees_what_is_published() {
    a_waiter_wakes(Wakeup::None, WaitStrategy::Yield);
}

fn a_waiter_wakes_again(wakeup: Wakeup) {
    check(move |run| {
        let side = Side::new(wakeup);
        let there = side.clone();
        let publisher = thread::spawn(move || {
            there.publish(1);
            there.publish(2);
        });
        let first = side.await_at_least(1, WaitStrategy::Park);
        let second = side.await_at_least(2, WaitStrategy::Park);
        run.outcome((first, second));
        publisher.join().unwrap();
    })
    .reaches("(1, 2)", "woken, or looked, between the two")
    .reaches("(2, 2)", "after both");
}

#[test]
fn a_waiter_on_a_futex_wakes_again() {
    a_waiter_wakes_again(Wakeup::Futex);
}

#[test]
fn a_waiter_on_a_semaphore_wakes_again() {
    a_waiter_wakes_again(Wakeup::Semaphore);
}

/// Both waiters wait for the same word: `notify_all`.
fn one_notification_wakes_two_waiters(wakeup: Wakeup) {
    check_bounded(3, move |run| {
        let side = Side::new(wakeup);
        let waiters: Vec<_> =
            (0..2)
                .map(|_| {
                    let there = side.clone();
                    thread::spawn(move || {
                        let ready = || there.board.word.load(Relaxed) == 1;
                        there
                            .event_of(Waiters::Many)
                            .wait(WaitStrategy::Park, Deadline::NEVER, ready, || None::<()>)
                    })
                })
                .collect();
        side.board.word.store(1, Relaxed);
        side.event_of(Waiters::Many).notify_all();
        run.outcome(waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect::<Vec<_>>());
    })
    .reaches("[Ready, Ready]", "always: nobody's announcement takes the other's wake-up");
}

#[test]
fn one_notification_wakes_two_waiters_on_a_futex() {
    one_notification_wakes_two_waiters(Wakeup::Futex);
}

#[test]
fn one_notification_wakes_two_waiters_on_a_semaphore() {
    one_notification_wakes_two_waiters(Wakeup::Semaphore);
}

/// Two takers of one thing each. Whoever puts things there wakes no more than need be, and nobody sleeps beside one.
fn two_takers(preemptions: usize, wakeup: Wakeup, puts: &'static [u32], elsewhere: &'static [u32]) {
    // Bound of the callers: 2 with two putters, which with 3 are not done in 15 s of processor time.
    check_bounded(preemptions, move |run| {
        let side = Side::new(wakeup);
        let taker = || {
            let there = side.clone();
            thread::spawn(move || there.take())
        };
        let takers = [taker(), taker()];
        let there = side.clone();
        let putter = (!elsewhere.is_empty())
            .then(|| thread::spawn(move || elsewhere.iter().for_each(|&n| there.put(n))));
        puts.iter().for_each(|&count| side.put(count));
        run.outcome(takers.map(|taker| taker.join().unwrap()));
        if let Some(putter) = putter {
            putter.join().unwrap();
        }
    })
    .reaches("[true, true]", "always: a thing for each, and a wake-up for whoever sleeps");
}

#[test]
fn two_things_wake_two_takers_on_a_futex() {
    two_takers(3, Wakeup::Futex, &[1, 1], &[]);
}

#[test]
fn two_things_wake_two_takers_on_a_semaphore() {
    two_takers(3, Wakeup::Semaphore, &[1, 1], &[]);
}

#[test]
fn two_things_at_once_wake_two_takers_on_a_futex() {
    two_takers(3, Wakeup::Futex, &[2], &[]);
}

#[test]
fn two_things_at_once_wake_two_takers_on_a_semaphore() {
    two_takers(3, Wakeup::Semaphore, &[2], &[]);
}

#[test]
fn two_putters_wake_two_takers_on_a_futex() {
    two_takers(2, Wakeup::Futex, &[1], &[1]);
}

#[test]
fn two_putters_wake_two_takers_on_a_semaphore() {
    two_takers(2, Wakeup::Semaphore, &[1], &[1]);
}

/// One thing and then the end, for two takers.
fn whoever_gets_nothing_hears_of_the_end(wakeup: Wakeup) {
    check_bounded(3, move |run| {
        let side = Side::new(wakeup);
        let taker = || {
            let there = side.clone();
            thread::spawn(move || there.take())
        };
        let takers = [taker(), taker()];
        side.put(1);
        side.board.gone.store(1, Release);
        side.event_of(Waiters::Many).notify_all();
        let got = takers.map(|taker| taker.join().unwrap());
        run.outcome(got.iter().filter(|&&got| got).count());
    })
    .reaches("1", "always: one takes it, the other is woken by the end");
}

#[test]
fn whoever_gets_nothing_on_a_futex_hears_of_the_end() {
    whoever_gets_nothing_hears_of_the_end(Wakeup::Futex);
}

#[test]
fn whoever_gets_nothing_on_a_semaphore_hears_of_the_end() {
    whoever_gets_nothing_hears_of_the_end(Wakeup::Semaphore);
}

/// A taker that goes to sleep, is woken, and goes to sleep again meets what the first wake-up left of the state.
#[test]
fn what_one_wake_up_leaves_does_not_hide_the_next_sleeper() {
    check_bounded(4, |run| {
        let side = Side::new(Wakeup::Futex);
        let there = side.clone();
        let taker = thread::spawn(move || [there.take(), there.take()]);
        let there = side.clone();
        let putter = thread::spawn(move || there.put(1));
        side.put(1);
        run.outcome(taker.join().unwrap());
        putter.join().unwrap();
    })
    .reaches("[true, true]", "always: two are put, and the taker is woken for each that it waits for");
}

#[test]
fn two_notifiers_at_once_lose_no_wake_up() {
    check_bounded(4, |run| {
        let side = Side::new(Wakeup::Futex);
        let words = [Shared::of(AtomicU64::new(0)), Shared::of(AtomicU64::new(0))];
        let publishers = words.clone().map(|word| {
            let there = side.clone();
            thread::spawn(move || {
                word.store(1, Relaxed);
                there.event().notify();
            })
        });
        let ready = || words.iter().all(|word| word.load(Relaxed) == 1);
        run.outcome(side.event().wait(WaitStrategy::Park, Deadline::NEVER, ready, || None::<()>));
        for publisher in publishers {
            publisher.join().unwrap();
        }
    })
    .reaches("Ready", "always: whatever two wakers at once leave in the state word");
}

#[test]
fn a_deadline_in_the_past_leaves_time_for_a_look() {
    check(|run| {
        let side = Side::new(Wakeup::Futex);
        let there = side.clone();
        let publisher = thread::spawn(move || there.publish(1));
        let ready = || side.board.word.load(Relaxed) == 1;
        let passed = Deadline::after(Duration::ZERO);
        let waited = side.event().wait(WaitStrategy::Park, passed, ready, || None::<()>);
        run.outcome((waited, side.board.word.load(Relaxed)));
        publisher.join().unwrap();
    })
    .reaches("(TimedOut, 0)", "nothing was there, and it did not sleep")
    .reaches("(TimedOut, 1)", "it was there: the last look is the caller's");
}

fn the_end_is_heard_and_what_came_before_it_found(wakeup: Wakeup, strategy: WaitStrategy) {
    check(move |run| {
        let side = Side::new(wakeup);
        let there = side.clone();
        let publisher = thread::spawn(move || {
            there.board.word.store(1, Relaxed);
            there.board.gone.store(1, Release);
            there.event().notify();
        });
        let end = || (side.board.gone.load(Acquire) == 1).then_some(());
        let waited = side.event().wait(strategy, Deadline::NEVER, || false, end);
        run.outcome((waited, side.board.word.load(Relaxed)));
        publisher.join().unwrap();
    })
    .reaches("(Ended(()), 1)", "always: the end is news like any other, and a last look finds the rest");
}

#[test]
fn a_sleeper_hears_of_the_end() {
    the_end_is_heard_and_what_came_before_it_found(Wakeup::Futex, WaitStrategy::Park);
}

#[test]
fn a_sleeper_on_a_semaphore_hears_of_the_end() {
    the_end_is_heard_and_what_came_before_it_found(Wakeup::Semaphore, WaitStrategy::Park);
}

#[test]
fn a_poller_hears_of_the_end() {
    the_end_is_heard_and_what_came_before_it_found(Wakeup::None, WaitStrategy::Yield);
}
