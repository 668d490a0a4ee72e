//! How much a verb of an MPMC ring does at most, however large the ring is, whoever takes part, and whatever is said of
//! those who do. Times are compared with times of the same run, mostly of the processor: who has the core meanwhile is no
//! matter. Else the shortest of some tries counts.

mod common;

use common::{LIMIT, alone, asleep_then, overwrite, unique, until};
use nix::sys::resource::{UsageWho, getrusage};
use slipring::mpmc::{Receiver, Sender};
use slipring::{Options, Peer, RecvError, Ring, SendError, WaitStrategy};
use std::time::{Duration, Instant};

fn pair(options: &Options) -> (Sender, Receiver) {
    let ring = Ring::anonymous(options).unwrap();
    (ring.sender().unwrap(), ring.receiver().unwrap())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

/// Processor time of this thread.
fn costs<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = used();
    let done = work();
    (done, used() - before)
}

#[test]
fn a_wait_past_very_many_held_slots_keeps_its_deadline() {
    let _alone = alone();
    let slots = 1 << 18;
    let (mut tx, mut rx) = pair(&Options::mpmc(slots, 8));
    for _ in 0..slots {
        tx.try_send(b"held").unwrap();
        std::mem::forget(rx.try_peek().unwrap());
    }
    for strategy in [WaitStrategy::Spin, WaitStrategy::Park] {
        tx.set_strategy(strategy).unwrap();
        let (full, whole) = costs(|| tx.try_send(b"one look at all of them"));
        assert_eq!(full, Err(SendError::Full));
        let timeout = Duration::from_millis(10);
        let (sent, took) = costs(|| tx.send_timeout(b"more", timeout));
        assert_eq!(sent, Err(SendError::TimedOut));
        println!("{strategy:?}: {took:?} of a core for {timeout:?}, one look takes {whole:?}");
        // A thousand probes lie between two looks at the clock.
        let most = 10 * timeout + 64 * whole;
        assert!(took < most, "{took:?}, one look takes {whole:?}");
        let mut tries = (0..5).map(|_| timed(|| tx.send_timeout(b"more", timeout)).1);
        assert!(tries.any(|took| took < most), "asleep for longer, five times");
    }
}

#[test]
fn a_wait_past_very_many_held_slots_finds_the_last_one() {
    let _alone = alone();
    let slots = 1 << 12;
    for strategy in [WaitStrategy::Spin, WaitStrategy::Yield, WaitStrategy::Park] {
        let (mut tx, mut rx) = pair(&Options::mpmc(slots, 8));
        let mut last = rx.clone();
        tx.set_strategy(strategy).unwrap();
        for _ in 1..slots {
            tx.try_send(b"held").unwrap();
            std::mem::forget(rx.try_peek().unwrap());
        }
        tx.try_send(b"last").unwrap();
        let frame = last.try_frame().unwrap();
        let waits = std::thread::spawn(move || timed(|| tx.send_timeout(b"more", LIMIT)));
        std::thread::sleep(Duration::from_millis(30));
        drop(frame);
        let (sent, took) = waits.join().unwrap();
        assert_eq!(sent, Ok(()));
        assert!(took < LIMIT, "{strategy:?}: found by the last look of all");
    }
}

#[test]
fn of_very_many_that_are_said_to_be_dead_a_verb_sweeps_a_few() {
    let _alone = alone();
    let name = unique();
    let (slots, places) = (1 << 18, 2000);
    let ring = Ring::create(&name.0, &Options::mpmc(slots, 8).participants(places)).unwrap();
    let (tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    // As it looks when they died, or when somebody scribbles: attached as senders, and nobody has the lease.
    for place in 2..u64::from(places) {
        let word = 1u64 << 37 | 1 << 35 | 12345 << 3 | 1;
        overwrite(&name.path(), 2048 + place * 128, &word.to_le_bytes());
    }
    let attached = || {
        let info = ring.info();
        let is_there = |peer: &Peer| matches!(peer, Peer::Attached { .. });
        info.participants.iter().filter(|p| is_there(&p.party.peer)).count()
    };
    let mut verb = |what: &str| {
        let (got, took) = costs(|| rx.recv_timeout(&mut [0; 8], Duration::from_millis(1)));
        assert_eq!(got, Err(RecvError::TimedOut), "nobody has ended before all are swept");
        println!("one verb beside {places} dead {what} in a ring of {slots} slots: {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    };
    verb("and one who lives");
    drop(tx);
    verb("and nobody else");
    assert_eq!(attached(), 1, "the kernel knows of one");
}

#[test]
fn a_sweep_that_takes_several_looks_is_over_at_its_end_only() {
    let _alone = alone();
    let name = unique();
    let slots = 1 << 19;
    let ring = Ring::create(&name.0, &Options::mpmc(slots, 8)).unwrap();
    let mut rx = ring.receiver().unwrap();
    let mut child = common::fork(|link| {
        let ring = Ring::open(&name.0).unwrap();
        let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
        for _ in 1..slots {
            tx.try_send(b"on").unwrap();
            rx.try_recv(&mut [0; 8]).unwrap();
        }
        // Left: one that reads, and one that writes in the last slot of all.
        drop(rx);
        let _grant = tx.try_reserve(1).unwrap();
        link.say(1);
        std::thread::sleep(LIMIT);
    });
    child.hear();
    child.kill();
    let found = || {
        let slipring::inspect::Contents::Slots(slots) = ring.inspect().contents else {
            unreachable!("it is an MPMC ring")
        };
        let died = |peer: &Peer| matches!(peer, Peer::Died { .. });
        // Asked in this order: what is told of a death was swept before.
        (ring.info().participants.iter().any(|p| died(&p.party.peer) && told(&name, p.place)), slots.held)
    };
    let mut looks = 0;
    until("the death is told", || {
        let _ = rx.recv_timeout(&mut [0; 8], Duration::ZERO);
        looks += 1;
        let (told, _) = found();
        told
    });
    assert_eq!(found(), (true, 0), "after {looks} looks");
    println!("told after {looks} looks");
}

/// Whether the word of a place says that its owner died, and not its lease alone.
fn told(name: &common::Unique, place: u32) -> bool {
    use std::os::unix::fs::FileExt;
    let mut state = [0];
    let file = std::fs::File::open(name.path()).unwrap();
    file.read_exact_at(&mut state, 2048 + u64::from(place) * 128).unwrap();
    state[0] & 7 == 3
}

/// Processor time of this thread.
fn used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()) as u64)
    };
    of(usage.user_time()) + of(usage.system_time())
}

#[test]
fn an_idle_receiver_costs_no_more_beside_hundreds_of_others() {
    let _alone = alone();
    let idle = |others: u32| {
        let (tx, rx) = pair(&Options::mpmc(64, 8).participants(others + 2));
        let others: Vec<_> = (0..others).map(|_| tx.try_clone().unwrap()).collect();
        let waits = move |mut rx: Receiver| {
            let before = used();
            assert_eq!(rx.recv_timeout(&mut [0; 8], Duration::from_millis(600)), Err(RecvError::TimedOut));
            used() - before
        };
        let used = std::thread::spawn(move || waits(rx)).join().unwrap();
        println!("{used:?} of 600 ms beside {} others", others.len() + 1);
        used
    };
    until("it costs as much as beside one", || idle(400) < 6 * idle(0));
}

#[test]
fn a_sender_in_its_first_sleep_hears_of_the_end_at_once() {
    let _alone = alone();
    let hears = || {
        let (mut tx, rx) = pair(&Options::mpmc(2, 8));
        (0..2).for_each(|_| tx.try_send(b"full").unwrap());
        let (say, hear) = std::sync::mpsc::channel();
        let sender = std::thread::spawn(move || {
            say.send(nix::unistd::gettid()).unwrap();
            (tx.send_timeout(b"waits", LIMIT), Instant::now())
        });
        let tid = hear.recv().unwrap();
        until("it sleeps", || common::is_asleep(tid));
        let closed = Instant::now();
        drop(rx);
        let (sent, heard) = sender.join().unwrap();
        assert_eq!(sent, Err(SendError::Closed));
        heard.saturating_duration_since(closed)
    };
    // The next sleep would take 20 ms. A busy machine gets several chances.
    let soonest = (0..50).map(|_| hears()).min().unwrap();
    assert!(soonest < Duration::from_millis(3), "{soonest:?}");
}

#[test]
fn a_sender_does_not_sleep_where_room_comes_that_nobody_tells_of() {
    let _alone = alone();
    const ROUNDS: usize = 31;
    let most_are_soon = || {
        let mut waited: Vec<_> = (0..ROUNDS)
            .map(|round| {
                let (mut tx, mut rx) = pair(&Options::mpmc(4, 8));
                let mut waiting = tx.clone();
                tx.try_send(b"in hand").unwrap();
                // Free for the next lap, behind one that is full.
                drop(tx.try_reserve(1).unwrap());
                (0..2).for_each(|_| tx.try_send(b"more").unwrap());
                let pause = Duration::from_micros(20_000 * round as u64 / ROUNDS as u64);
                let (went_on, taken, _) = asleep_then(
                    move || {
                        waiting.send_timeout(b"waits", LIMIT).unwrap();
                        Instant::now()
                    },
                    || {
                        // At any time of its slice.
                        std::thread::sleep(pause);
                        // Taken and not given back: nobody is woken.
                        let taken = Instant::now();
                        std::mem::forget(rx.try_frame().unwrap());
                        taken
                    },
                );
                went_on.saturating_duration_since(taken)
            })
            .collect();
        waited.sort_unstable();
        println!("the sender went on after {:?} to {:?}", waited[0], waited[ROUNDS - 1]);
        waited[ROUNDS * 3 / 4] < Duration::from_millis(10)
    };
    // Half of them would be, by chance, if the sender slept for 20 ms. A busy machine gets several chances.
    assert!((0..15).any(|_| most_are_soon()));
}
