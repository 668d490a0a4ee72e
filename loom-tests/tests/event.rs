//! The event alone: a word is published with no ordering of its own, so nothing but the event's fences keeps a sleeper
//! from missing it. No clock runs in a model: a lost wake-up is a deadlock, and loom reports it.

use loom::thread;
use slipring_loom::event::{Event, WaitStrategy, Waited};
use slipring_loom::layout::{EventLine, Wakeup};
use slipring_loom::rig::event_line;
use slipring_loom::sync::Ordering::{Acquire, Relaxed, Release};
use slipring_loom::sync::{AtomicU64, Deadline, Shared};
use slipring_loom::{check, check_bounded};
use std::time::Duration;

/// What publishers and waiters share.
struct Board {
    line: EventLine,
    word: AtomicU64,
    gone: AtomicU64,
}

#[derive(Clone)]
struct Side {
    board: Shared<Board>,
    wakeup: Wakeup,
}

impl Side {
    fn new(wakeup: Wakeup) -> Self {
        let board = Board { line: event_line(), word: AtomicU64::new(0), gone: AtomicU64::new(0) };
        Side { board: Shared::of(board), wakeup }
    }

    fn event(&self) -> Event {
        Event::new(self.board.project(|board| &board.line), self.wakeup, false)
    }

    fn publish(&self, value: u64) {
        self.board.word.store(value, Relaxed);
        self.event().notify();
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

#[test]
fn one_notification_wakes_two_waiters() {
    check_bounded(4, |run| {
        let side = Side::new(Wakeup::Futex);
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let there = side.clone();
                thread::spawn(move || there.await_at_least(1, WaitStrategy::Park))
            })
            .collect();
        side.publish(1);
        run.outcome(waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect::<Vec<_>>());
    })
    .reaches("[1, 1]", "always: nobody's announcement takes the other's wake-up");
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
