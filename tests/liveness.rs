//! Who is there, who left, who died: promises about processes that are killed, stopped, forked and followed. All of
//! them are real processes; nobody is asked to pretend.

mod common;

use common::{Board, Child, Dice, Unique, alone, fork, is_asleep, number_of, numbered, unique, until};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use slipring::spsc::{Consumer, Producer};
use slipring::{Align, Error, Fences, Options, Peer, RecvError, Ring, SendError, WaitStrategy, Wakeup};
use std::time::{Duration, Instant};

const LIMIT: Duration = common::LIMIT;
/// Several slices of sleep and of the pace at which spinners ask for the peer.
const SEVERAL_SLICES: Duration = Duration::from_millis(300);

fn small() -> Options {
    Options::new().capacity(4096)
}

fn create(options: &Options) -> (Unique, Ring) {
    let name = unique();
    let ring = Ring::create(&name.0, options).unwrap();
    (name, ring)
}

fn producer(name: &Unique) -> Producer {
    Ring::open(&name.0).unwrap().into_producer().unwrap()
}

fn consumer(name: &Unique) -> Consumer {
    Ring::open(&name.0).unwrap().into_consumer().unwrap()
}

fn for_ever() -> ! {
    loop {
        std::thread::sleep(LIMIT);
    }
}

/// A process that is the producer, has sent these messages, and stays.
fn producing_child(name: &Unique, messages: &[&[u8]]) -> Child {
    let mut child = fork(|link| {
        let mut tx = producer(name);
        messages.iter().for_each(|message| tx.send(message).unwrap());
        link.say(1);
        for_ever();
    });
    child.hear();
    child
}

/// A process that is the consumer, and stays.
fn consuming_child(name: &Unique) -> Child {
    let mut child = fork(|link| {
        let _rx = consumer(name);
        link.say(1);
        for_ever();
    });
    child.hear();
    child
}

fn recv(rx: &mut Consumer) -> Result<Vec<u8>, RecvError> {
    let mut buffer = vec![0; rx.max_len()];
    let len = rx.recv_timeout(&mut buffer, LIMIT)?;
    buffer.truncate(len);
    Ok(buffer)
}

/// How many 56-byte messages fit now.
fn room(tx: &mut Producer) -> usize {
    (0..).find(|_| tx.try_send(&[0; 56]) == Err(SendError::Full)).unwrap()
}

// --- one at a time ---

fn assert_busy<T>(result: Result<T, Error>, name: &Unique, role: &str, pid: u32) {
    match result.map(drop) {
        Err(Error::Busy { name: at, role: what, pid: who }) => {
            assert_eq!((at, what, who), (name.0.clone(), role, Some(pid)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_producer_in_the_process_is_busy_with_its_own_pid() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let _tx = ring.producer().unwrap();
    assert_busy(ring.producer(), &name, "producer", std::process::id());
    assert_busy(Ring::open(&name.0).unwrap().into_producer(), &name, "producer", std::process::id());
}

#[test]
fn a_second_consumer_in_the_process_is_busy_with_its_own_pid() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let _rx = ring.consumer().unwrap();
    assert_busy(ring.consumer(), &name, "consumer", std::process::id());
    assert_busy(Ring::open(&name.0).unwrap().into_consumer(), &name, "consumer", std::process::id());
}

#[test]
fn a_second_producer_is_busy_with_the_pid_of_the_other_process() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let child = producing_child(&name, &[]);
    assert_busy(ring.producer(), &name, "producer", child.pid());
}

#[test]
fn a_second_consumer_is_busy_with_the_pid_of_the_other_process() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let child = consuming_child(&name);
    assert_busy(ring.consumer(), &name, "consumer", child.pid());
}

#[test]
fn a_role_is_free_again_once_its_handle_is_dropped() {
    let _alone = alone();
    let (_name, ring) = create(&small());
    for _ in 0..100 {
        drop(ring.producer().unwrap());
        drop(ring.consumer().unwrap());
    }
}

#[test]
fn of_many_processes_that_want_a_role_one_has_it() {
    let _alone = alone();
    let (name, ring) = create(&small());
    for _ in 0..20 {
        let board = Board::new(2);
        let children: Vec<_> = (0..8)
            .map(|_| {
                fork(|_| {
                    let ring = Ring::open(&name.0).unwrap();
                    board.add(0, 1);
                    until("all are there", || board.get(0) >= 8);
                    let mine = ring.producer();
                    if mine.is_ok() {
                        board.add(1, 1);
                    }
                    board.add(0, 1);
                    until("all have tried", || board.get(0) == 16);
                })
            })
            .collect();
        children.into_iter().for_each(Child::join);
        assert_eq!(board.get(1), 1);
        assert_eq!(ring.info().producer.peer, Peer::Closed);
    }
}

// --- death and good-bye ---

#[test]
fn nobody_who_may_only_read_can_pass_for_a_live_participant() {
    let _alone = alone();
    let (name, ring) = create(&small().mode(0o644));
    let mut rx = ring.consumer().unwrap();
    let child = producing_child(&name, &[]);
    let pid = child.pid();
    let bystander = std::fs::File::open(name.path()).unwrap();
    let producers_byte = nix::libc::flock {
        l_type: nix::libc::F_RDLCK as i16,
        l_whence: nix::libc::SEEK_SET as i16,
        l_start: (1 << 61) + 1,
        l_len: 1,
        l_pid: 0,
    };
    child.kill();
    nix::fcntl::fcntl(&bystander, nix::fcntl::FcntlArg::F_OFD_SETLK(&producers_byte)).unwrap();
    assert_eq!(rx.peer(), Peer::Died { pid });
    assert_eq!(rx.recv_timeout(&mut [0; 8], LIMIT), Err(RecvError::PeerDied { pid }));
}

#[test]
fn killed_producer_leaves_the_ring_readable() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut rx = ring.consumer().unwrap();
    let child = producing_child(&name, &[b"one", b"", b"three"]);
    let pid = child.pid();
    child.kill();
    assert_eq!(rx.peer(), Peer::Died { pid });
    assert_eq!(recv(&mut rx).unwrap(), b"one");
    assert_eq!(recv(&mut rx).unwrap(), b"");
    assert_eq!(recv(&mut rx).unwrap(), b"three");
    assert_eq!(recv(&mut rx), Err(RecvError::PeerDied { pid }));
}

#[test]
fn a_consumer_that_only_tries_learns_of_the_death_too() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut rx = ring.consumer().unwrap();
    let child = producing_child(&name, &[b"last"]);
    let pid = child.pid();
    child.kill();
    assert_eq!(rx.try_recv(&mut [0; 8]), Ok(4));
    let end = (0..1 << 15).map(|_| rx.try_recv(&mut [0; 8])).find(|r| *r != Err(RecvError::Empty));
    assert_eq!(end, Some(Err(RecvError::PeerDied { pid })));
}

/// Kills the other side while this thread sleeps in `wait`, and says how long after that `wait` returned.
fn time_to_learn<T>(child: Child, wait: impl FnOnce() -> T) -> (T, Duration) {
    let me = nix::unistd::gettid();
    let (killed, when) = std::sync::mpsc::channel();
    let helper = std::thread::spawn(move || {
        until("the waiter sleeps", || is_asleep(me));
        killed.send(Instant::now()).unwrap();
        child.kill();
    });
    let result = wait();
    let learnt = when.recv().unwrap().elapsed();
    helper.join().unwrap();
    (result, learnt)
}

#[test]
fn sleeping_consumer_learns_of_the_death_within_100_ms() {
    let _alone = alone();
    for wakeup in [Wakeup::Futex, Wakeup::Semaphore] {
        common::soon(&format!("{wakeup:?}, the death is known"), || {
            let (name, ring) = create(&small().wakeup(wakeup));
            let mut rx = ring.consumer().unwrap();
            let child = producing_child(&name, &[]);
            let pid = child.pid();
            let (end, learnt) = time_to_learn(child, || recv(&mut rx));
            assert_eq!(end, Err(RecvError::PeerDied { pid }));
            learnt
        });
    }
}

#[test]
fn sleeping_producer_learns_of_the_death_within_100_ms() {
    let _alone = alone();
    for wakeup in [Wakeup::Futex, Wakeup::Semaphore] {
        common::soon(&format!("{wakeup:?}, the death is known"), || {
            let (name, ring) = create(&small().wakeup(wakeup));
            let mut tx = ring.producer().unwrap();
            let child = consuming_child(&name);
            let pid = child.pid();
            room(&mut tx);
            let (end, learnt) = time_to_learn(child, || tx.send_timeout(b"no room", LIMIT));
            assert_eq!(end, Err(SendError::PeerDied { pid }));
            learnt
        });
    }
}

#[test]
fn spinning_and_yielding_waiters_learn_of_the_death() {
    let _alone = alone();
    for strategy in [WaitStrategy::Spin, WaitStrategy::Yield] {
        let (name, ring) = create(&small());
        let mut rx = ring.consumer().unwrap();
        rx.set_strategy(strategy).unwrap();
        let child = producing_child(&name, &[]);
        let pid = child.pid();
        let shooter = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            child.kill();
        });
        assert_eq!(recv(&mut rx), Err(RecvError::PeerDied { pid }));
        shooter.join().unwrap();

        let mut tx = ring.producer().unwrap();
        tx.set_strategy(strategy).unwrap();
        drop(rx);
        let child = consuming_child(&name);
        let pid = child.pid();
        room(&mut tx);
        let shooter = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            child.kill();
        });
        assert_eq!(tx.send_timeout(b"no room", LIMIT), Err(SendError::PeerDied { pid }));
        shooter.join().unwrap();
    }
}

#[test]
fn the_shortest_wait_learns_of_the_death_too() {
    let _alone = alone();
    for strategy in [WaitStrategy::Park, WaitStrategy::Spin, WaitStrategy::Yield] {
        let (name, ring) = create(&small());
        let mut rx = ring.consumer().unwrap();
        rx.set_strategy(strategy).unwrap();
        let child = producing_child(&name, &[]);
        let pid = child.pid();
        child.kill();
        assert_eq!(rx.recv_timeout(&mut [0; 8], Duration::from_millis(1)), Err(RecvError::PeerDied { pid }));
        assert_eq!(rx.recv_timeout(&mut [0; 8], Duration::ZERO), Err(RecvError::PeerDied { pid }));

        let mut tx = ring.producer().unwrap();
        tx.set_strategy(strategy).unwrap();
        drop(rx);
        let child = consuming_child(&name);
        let pid = child.pid();
        child.kill();
        room(&mut tx);
        assert_eq!(tx.send_timeout(b"", Duration::from_millis(1)), Err(SendError::PeerDied { pid }));
        assert_eq!(tx.send_timeout(b"", Duration::ZERO), Err(SendError::PeerDied { pid }));
    }
}

#[test]
fn clean_close_is_not_death() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut rx = ring.consumer().unwrap();
    assert_eq!(rx.peer(), Peer::Absent);
    fork(|_| producer(&name).send(b"good-bye").unwrap()).join();
    assert_eq!(rx.peer(), Peer::Closed);
    assert_eq!(recv(&mut rx).unwrap(), b"good-bye");
    assert_eq!(recv(&mut rx), Err(RecvError::Closed));
    assert_eq!(rx.try_recv(&mut [0; 8]), Err(RecvError::Closed));
    let pid = {
        let child = producing_child(&name, &[]);
        let pid = child.pid();
        assert_eq!(rx.peer(), Peer::Attached { pid });
        child.kill();
        pid
    };
    assert_eq!(rx.peer(), Peer::Died { pid });
    assert_eq!(recv(&mut rx), Err(RecvError::PeerDied { pid }));
}

#[test]
fn a_producer_may_fill_a_ring_that_nobody_reads_yet() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut tx = ring.producer().unwrap();
    assert_eq!(tx.peer(), Peer::Absent);
    tx.send(b"early").unwrap();
    room(&mut tx);
    assert_eq!(tx.send_timeout(b"no room", Duration::from_millis(1)), Err(SendError::TimedOut));
    assert_eq!(recv(&mut consumer(&name)).unwrap(), b"early");
    assert_eq!(tx.peer(), Peer::Closed);
    tx.send(&[0; 56]).unwrap();
}

#[test]
fn a_full_ring_tells_whether_the_consumer_left_or_died() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut tx = ring.producer().unwrap();
    drop(consumer(&name));
    room(&mut tx);
    assert_eq!(tx.send(b"no room"), Err(SendError::Closed));
    assert_eq!(tx.reserve(8).err(), Some(SendError::Closed));
    let child = consuming_child(&name);
    let pid = child.pid();
    child.kill();
    assert_eq!(tx.send(b"no room"), Err(SendError::PeerDied { pid }));
    assert_eq!(tx.reserve(8).err(), Some(SendError::PeerDied { pid }));
    assert_eq!(tx.try_send(b"no room"), Err(SendError::Full));
}

#[test]
fn a_death_after_a_clean_close_of_its_predecessor_is_seen() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let rx = ring.consumer().unwrap();
    for _ in 0..20 {
        fork(|_| drop(producer(&name))).join();
        assert_eq!(rx.peer(), Peer::Closed);
        let child = producing_child(&name, &[]);
        let pid = child.pid();
        child.kill();
        assert_eq!(rx.peer(), Peer::Died { pid });
    }
}

#[test]
fn a_stopped_peer_is_never_taken_for_dead() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut rx = ring.consumer().unwrap();
    let go = Board::new(1);
    let mut child = fork(|link| {
        let mut tx = producer(&name);
        link.say(1);
        until("the parent says go", || go.get(0) == 1);
        tx.send(b"alive").unwrap();
    });
    child.hear();
    let pid = child.pid();
    child.stop();
    for strategy in [WaitStrategy::Park, WaitStrategy::Spin, WaitStrategy::Yield] {
        rx.set_strategy(strategy).unwrap();
        assert_eq!(rx.recv_timeout(&mut [0; 8], SEVERAL_SLICES), Err(RecvError::TimedOut));
        assert_eq!(rx.peer(), Peer::Attached { pid });
        assert_busy(ring.producer(), &name, "producer", pid);
    }
    go.set(0, 1);
    child.resume();
    assert_eq!(recv(&mut rx).unwrap(), b"alive");
    child.join();
}

#[test]
fn a_stopped_consumer_only_makes_the_producer_wait() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut tx = ring.producer().unwrap();
    let mut child = fork(|link| {
        let mut rx = consumer(&name);
        link.say(1);
        while recv(&mut rx).is_ok() {}
    });
    child.hear();
    let pid = child.pid();
    child.stop();
    room(&mut tx);
    assert_eq!(tx.send_timeout(b"no room", SEVERAL_SLICES), Err(SendError::TimedOut));
    assert_eq!(tx.peer(), Peer::Attached { pid });
    child.resume();
    assert_eq!(tx.send_timeout(b"room", LIMIT), Ok(()));
    tx.wait_drained(Some(LIMIT)).unwrap();
    drop(tx);
    child.join();
}

// --- successors ---

/// How many are killed in a test; for the long form as many as SLIPRING_KILLS says.
fn kills(usual: u64) -> u64 {
    std::env::var("SLIPRING_KILLS").map_or(usual, |kills| kills.parse().expect("SLIPRING_KILLS is a number"))
}

/// The longest message of these streams: a 4096-byte ring wraps every few of them.
const LONGEST: usize = 600;

#[test]
fn a_successor_producer_continues_where_the_killed_one_stopped() {
    let _alone = alone();
    let mut dice = Dice::new(1);
    for align in [Align::Line, Align::Dense] {
        let (name, ring) = create(&small().align(align));
        let reader = {
            let mut rx = ring.consumer().unwrap();
            std::thread::spawn(move || {
                let mut got = Vec::new();
                let mut buffer = [0; LONGEST];
                loop {
                    match rx.recv_timeout(&mut buffer, LIMIT) {
                        Ok(len) => got.push(number_of(&buffer[..len], LONGEST)),
                        Err(RecvError::PeerDied { .. }) => {} // the next one comes
                        end => return (got, end),
                    }
                }
            })
        };
        const TRYING: usize = 0;
        const COMMITTED: usize = 1;
        let log = Board::new(2);
        let (mut next, mut may_be_missing) = (1, Vec::new());
        for round in 0..kills(150) {
            let child = fork(|_| {
                let mut tx = producer(&name);
                for i in next.. {
                    log.set(TRYING, i);
                    send_somehow(&mut tx, i);
                    log.set(COMMITTED, i);
                }
            });
            if round % 3 > 0 {
                until("it sends", || log.get(COMMITTED) >= next);
            }
            std::thread::sleep(Duration::from_micros(dice.below(2000)));
            child.kill();
            if log.get(TRYING) > log.get(COMMITTED) {
                may_be_missing.push(log.get(TRYING));
            }
            next = log.get(TRYING).max(next - 1) + 1;
        }
        drop(producer(&name));
        let (got, end) = reader.join().unwrap();
        assert_eq!(end, Err(RecvError::Closed));
        assert!(got.is_sorted_by(|a, b| a < b), "duplicated or out of order");
        let got: std::collections::HashSet<_> = got.into_iter().collect();
        let missing = (1..next).filter(|i| !got.contains(i) && !may_be_missing.contains(i));
        assert_eq!(missing.collect::<Vec<_>>(), [] as [u64; 0], "committed and lost");
        println!("{align:?}: {} messages, {} times killed in a send", next, may_be_missing.len());
    }
}

/// Message `i` by one of the verbs. A batch holds it alone, so that the log stays exact.
fn send_somehow(tx: &mut Producer, i: u64) {
    let message = numbered(i, LONGEST);
    match i % 4 {
        0 => tx.send(&message).unwrap(),
        1 => {
            let mut grant = tx.reserve(message.len()).unwrap();
            grant.copy_from_slice(&message);
            grant.commit_all();
        }
        2 => {
            let mut grant = tx.reserve(LONGEST).unwrap();
            grant.fill(0xff);
            grant[..message.len()].copy_from_slice(&message);
            grant.commit(message.len()).unwrap();
        }
        _ => loop {
            let mut batch = tx.batch().unwrap();
            if batch.push(&message).is_ok() {
                batch.commit();
                return;
            }
            std::thread::yield_now();
        },
    }
}

/// A producer thread that sends numbered messages until told to stop, and says the last number.
fn stream(mut tx: Producer, board: &'static Board, stop: usize) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        for i in 1.. {
            while let Err(error) = tx.send_timeout(&numbered(i, LONGEST), Duration::from_millis(5)) {
                assert!(matches!(error, SendError::TimedOut | SendError::PeerDied { .. }), "{error:?}");
                if board.get(stop) == 1 {
                    return i - 1;
                }
                std::thread::yield_now();
            }
        }
        unreachable!()
    })
}

#[test]
fn recv_delivers_at_most_once_across_killed_consumers() {
    let _alone = alone();
    const TAKEN: usize = 0;
    const STOP: usize = 1;
    let log: &'static Board = Box::leak(Box::new(Board::new(2)));
    let (name, ring) = create(&small());
    let writer = stream(ring.producer().unwrap(), log, STOP);
    let mut dice = Dice::new(2);
    // Whoever is killed between its release and its log has taken a message that nobody logged: one for each kill
    // since the log last moved.
    let mut unlogged = 0;
    for round in 0..kills(150) {
        let last = log.get(TAKEN);
        let child = fork(|_| {
            let mut rx = consumer(&name);
            let mut buffer = [0; LONGEST];
            let mut allowed = unlogged;
            loop {
                let len = rx.recv_timeout(&mut buffer, LIMIT).unwrap();
                let i = number_of(&buffer[..len], LONGEST);
                let expected = log.get(TAKEN) + 1;
                assert!(
                    (expected..=expected + allowed).contains(&i),
                    "got {i}, not {expected} + 0..{allowed}"
                );
                log.set(TAKEN, i);
                allowed = 0;
            }
        });
        if round % 3 > 0 {
            until("it receives", || log.get(TAKEN) > last);
        }
        std::thread::sleep(Duration::from_micros(dice.below(2000)));
        child.kill();
        unlogged = if log.get(TAKEN) > last { 1 } else { unlogged + 1 };
    }
    log.set(STOP, 1);
    let sent = writer.join().unwrap();
    let mut rx = ring.consumer().unwrap();
    let mut buffer = [0; LONGEST];
    let mut expected = log.get(TAKEN) + 1;
    while let Ok(len) = rx.try_recv(&mut buffer) {
        let i = number_of(&buffer[..len], LONGEST);
        assert!((expected..=expected + unlogged).contains(&i), "got {i}, not {expected} + 0..{unlogged}");
        (expected, unlogged) = (i + 1, 0);
    }
    assert!((expected..=expected + unlogged).contains(&(sent + 1)), "{expected} is next, {sent} were sent");
    println!("{sent} messages through {} killed consumers", kills(150));
}

#[test]
fn a_frame_is_delivered_again_until_it_is_released() {
    let _alone = alone();
    const READ: usize = 0;
    const RELEASED: usize = 1;
    const STOP: usize = 2;
    let log: &'static Board = Box::leak(Box::new(Board::new(3)));
    let (name, ring) = create(&small());
    let writer = stream(ring.producer().unwrap(), log, STOP);
    let mut dice = Dice::new(3);
    let mut again = 0;
    for round in 0..kills(150) {
        let (last_read, last_released) = (log.get(READ), log.get(RELEASED));
        let child = fork(|_| {
            let mut rx = consumer(&name);
            loop {
                let frame = rx.frame_timeout(LIMIT).unwrap();
                let i = number_of(&frame, LONGEST);
                let (read, released) = (log.get(READ), log.get(RELEASED));
                // Normally the next one; the first may be one that the predecessor read and had not released.
                let redelivered = i == read && released < read;
                assert!(i == read + 1 || redelivered, "got {i} after reading {read}, releasing {released}");
                log.set(READ, i);
                frame.release();
                log.set(RELEASED, i);
            }
        });
        if round % 3 > 0 {
            until("it receives", || log.get(RELEASED) > last_released);
        }
        std::thread::sleep(Duration::from_micros(dice.below(2000)));
        child.kill();
        assert!(log.get(READ) >= last_read);
        again += u64::from(log.get(READ) > log.get(RELEASED));
    }
    log.set(STOP, 1);
    let sent = writer.join().unwrap();
    println!("{sent} messages; {again} of {} were killed with a frame not known to be released", kills(150));
}

#[test]
fn both_sides_may_be_killed_again_and_again() {
    let _alone = alone();
    both_sides_are_killed(&small(), kills(200));
}

#[test]
fn both_sides_may_be_killed_asleep_on_semaphores() {
    let _alone = alone();
    both_sides_are_killed(&small().wakeup(Wakeup::Semaphore).fences(Fences::Plain), kills(100));
}

fn both_sides_are_killed(options: &Options, kills: u64) {
    const TRYING: usize = 0;
    const COMMITTED: usize = 1;
    const READ: usize = 2;
    /// How many numbers were given up, because their sender was killed in the send; then the numbers.
    const GIVEN_UP: usize = 3;
    let log = Board::new(GIVEN_UP + 2 + kills as usize);
    let (name, _ring) = create(options);
    let produce = |from: u64| {
        fork(|_| {
            let mut tx = producer(&name);
            for i in from.. {
                log.set(TRYING, i);
                while let Err(error) = tx.send_timeout(&numbered(i, LONGEST), LIMIT) {
                    assert!(matches!(error, SendError::PeerDied { .. }), "{error:?}");
                }
                log.set(COMMITTED, i);
            }
        })
    };
    let consume = || {
        fork(|_| {
            let mut rx = consumer(&name);
            loop {
                match rx.frame_timeout(LIMIT) {
                    Ok(frame) => {
                        let i = number_of(&frame, LONGEST);
                        let read = log.get(READ);
                        assert!(i >= read, "{i} again, after {read}");
                        for missing in read + 1..i {
                            let given_up = log.get(GIVEN_UP) as usize;
                            assert!(
                                (1..=given_up).any(|g| log.get(GIVEN_UP + g) == missing),
                                "{missing} is lost"
                            );
                        }
                        log.set(READ, i);
                    }
                    Err(RecvError::PeerDied { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    };
    // The number after the one that the killed producer was about to send, or had sent.
    let next = || {
        if log.get(TRYING) > log.get(COMMITTED) {
            let count = log.get(GIVEN_UP) + 1;
            log.set(GIVEN_UP + count as usize, log.get(TRYING));
            log.set(GIVEN_UP, count);
        }
        log.get(TRYING) + 1
    };
    let mut dice = Dice::new(4);
    let (mut writer, mut reader) = (produce(1), consume());
    for _ in 0..kills {
        std::thread::sleep(Duration::from_micros(dice.below(3000)));
        match dice.below(3) {
            0 => {
                writer.kill();
                writer = produce(next());
            }
            1 => {
                reader.kill();
                reader = consume();
            }
            _ => {
                writer.shoot();
                reader.kill();
                writer.kill();
                (reader, writer) = (consume(), produce(next()));
            }
        }
    }
    writer.kill();
    let committed = log.get(COMMITTED);
    until("everything committed is read", || log.get(READ) >= committed);
    reader.kill();
    println!("{committed} messages through {kills} kills");
}

// --- killed in the middle of a loan ---

#[test]
fn killed_with_a_grant_leaves_nothing_and_takes_no_room() {
    let _alone = alone();
    for align in [Align::Line, Align::Dense] {
        let (name, ring) = create(&small().align(align));
        let fits = {
            let (_other, ring) = create(&small().align(align));
            room(&mut ring.producer().unwrap())
        };
        let mut child = fork(|link| {
            let mut tx = producer(&name);
            let mut grant = tx.try_reserve(tx.max_len()).unwrap();
            grant.fill(0xff);
            link.say(1);
            for_ever();
        });
        child.hear();
        child.kill();
        let mut tx = ring.producer().unwrap();
        assert_eq!(room(&mut tx), fits);
        let mut rx = ring.consumer().unwrap();
        for _ in 0..fits {
            assert_eq!(recv(&mut rx).unwrap(), [0; 56]);
        }
        assert_eq!(rx.try_recv(&mut [0; 56]), Err(RecvError::Empty));
    }
}

#[test]
fn killed_with_a_batch_leaves_nothing_of_it() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut child = fork(|link| {
        let mut tx = producer(&name);
        tx.send(b"before").unwrap();
        let mut batch = tx.batch().unwrap();
        for _ in 0..5 {
            batch.push(b"in the batch").unwrap();
        }
        link.say(1);
        for_ever();
    });
    child.hear();
    let pid = child.pid();
    child.kill();
    let mut rx = ring.consumer().unwrap();
    assert_eq!(recv(&mut rx).unwrap(), b"before");
    assert_eq!(recv(&mut rx), Err(RecvError::PeerDied { pid }));
    ring.producer().unwrap().send(b"after").unwrap();
    assert_eq!(recv(&mut rx).unwrap(), b"after");
}

#[test]
fn killed_with_a_frame_leaves_the_message_to_its_successor() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut tx = ring.producer().unwrap();
    tx.send(b"first").unwrap();
    tx.send(b"second").unwrap();
    let mut child = fork(|link| {
        let mut rx = consumer(&name);
        let frame = rx.try_frame().unwrap();
        assert_eq!(*frame, *b"first");
        link.say(1);
        for_ever();
    });
    child.hear();
    child.kill();
    let mut rx = ring.consumer().unwrap();
    assert_eq!(recv(&mut rx).unwrap(), b"first");
    assert_eq!(recv(&mut rx).unwrap(), b"second");
}

#[test]
fn killed_with_a_received_batch_leaves_all_of_it_to_its_successor() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut tx = ring.producer().unwrap();
    (0..5).for_each(|i| tx.send(&[i]).unwrap());
    let mut child = fork(|link| {
        let mut rx = consumer(&name);
        let mut batch = rx.try_batch(4).unwrap();
        for i in 0..3 {
            assert_eq!(batch.next().unwrap(), Some(&[i][..]));
        }
        link.say(1);
        for_ever();
    });
    child.hear();
    child.kill();
    let mut rx = ring.consumer().unwrap();
    for i in 0..5 {
        assert_eq!(recv(&mut rx).unwrap(), [i]);
    }
}

#[test]
fn full_capacity_is_back_after_any_death() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let fits = room(&mut ring.producer().unwrap());
    let drained = |ring: &Ring| {
        let mut rx = ring.consumer().unwrap();
        (0..).find(|_| rx.try_recv(&mut [0; 4096]).is_err()).unwrap()
    };
    assert_eq!(drained(&ring), fits);
    let mut dice = Dice::new(5);
    for _ in 0..kills(60) {
        let child = fork(|_| {
            let (mut tx, mut rx) = (producer(&name), consumer(&name));
            for i in 0.. {
                send_somehow(&mut tx, i);
                drop(rx.try_frame());
                let _ = rx.try_recv(&mut [0; 100]);
            }
        });
        std::thread::sleep(Duration::from_micros(dice.below(3000)));
        child.kill();
        drained(&ring);
        // An odd position may cost one message of padding before the end of the data, not more.
        let filled = room(&mut ring.producer().unwrap());
        assert_eq!(filled, fits);
        assert_eq!(drained(&ring), filled);
    }
}

// --- fork ---

#[test]
fn inherited_handles_refuse_every_verb() {
    let _alone = alone();
    let (_name, ring) = create(&small());
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    tx.send(b"for the parent").unwrap();
    let soon = Duration::from_millis(1);
    fork(|_| {
        assert_eq!(tx.try_send(b"x"), Err(SendError::Forked));
        assert_eq!(tx.send(b"x"), Err(SendError::Forked));
        assert_eq!(tx.send_timeout(b"x", soon), Err(SendError::Forked));
        assert_eq!(tx.send_deadline(b"x", Instant::now()), Err(SendError::Forked));
        assert_eq!(tx.try_reserve(1).err(), Some(SendError::Forked));
        assert_eq!(tx.reserve(1).err(), Some(SendError::Forked));
        assert_eq!(tx.reserve_timeout(1, soon).err(), Some(SendError::Forked));
        assert_eq!(tx.reserve_deadline(1, Instant::now()).err(), Some(SendError::Forked));
        assert_eq!(tx.batch().err(), Some(SendError::Forked));
        assert_eq!(tx.wait_drained(None), Err(SendError::Forked));
        let mut buffer = [0; 64];
        assert_eq!(rx.try_recv(&mut buffer), Err(RecvError::Forked));
        assert_eq!(rx.recv(&mut buffer), Err(RecvError::Forked));
        assert_eq!(rx.recv_timeout(&mut buffer, soon), Err(RecvError::Forked));
        assert_eq!(rx.recv_deadline(&mut buffer, Instant::now()), Err(RecvError::Forked));
        assert_eq!(rx.try_frame().err(), Some(RecvError::Forked));
        assert_eq!(rx.frame().err(), Some(RecvError::Forked));
        assert_eq!(rx.frame_timeout(soon).err(), Some(RecvError::Forked));
        assert_eq!(rx.frame_deadline(Instant::now()).err(), Some(RecvError::Forked));
        assert_eq!(rx.try_batch(1).err(), Some(RecvError::Forked));
        assert_eq!(rx.batch(1).err(), Some(RecvError::Forked));
        assert_eq!(rx.batch_timeout(1, soon).err(), Some(RecvError::Forked));
        assert_eq!(rx.batch_deadline(1, Instant::now()).err(), Some(RecvError::Forked));
        assert!(matches!(ring.producer(), Err(Error::Forked { .. })));
        assert!(matches!(ring.consumer(), Err(Error::Forked { .. })));
    })
    .join();
    assert_eq!(recv(&mut rx).unwrap(), b"for the parent");
}

#[test]
fn inherited_handles_dropped_in_the_child_leave_the_parents_alone() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let (tx, rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let (mut ring, mut tx, mut rx) = (Some(ring), Some(tx), Some(rx));
    fork(|_| {
        drop((tx.take(), rx.take(), ring.take()));
    })
    .join();
    let (tx, rx) = (tx.as_mut().unwrap(), rx.as_mut().unwrap());
    let pid = std::process::id();
    assert_eq!((tx.peer(), rx.peer()), (Peer::Attached { pid }, Peer::Attached { pid }));
    assert_busy(Ring::open(&name.0).unwrap().into_producer(), &name, "producer", pid);
    tx.send(b"still here").unwrap();
    assert_eq!(recv(rx).unwrap(), b"still here");
}

#[test]
fn a_child_opens_the_ring_again_and_takes_a_role_that_is_free() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut rx = ring.consumer().unwrap();
    fork(|_| producer(&name).send(b"from the child").unwrap()).join();
    assert_eq!(recv(&mut rx).unwrap(), b"from the child");
}

#[test]
fn a_frame_inherited_by_a_child_is_not_released_by_it() {
    let _alone = alone();
    let (_name, ring) = create(&small());
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    tx.send(b"held by the parent").unwrap();
    let used = tx.approx_len();
    let mut frame = Some(rx.try_frame().unwrap());
    fork(|_| drop(frame.take())).join();
    assert_eq!(tx.approx_len(), used, "the child gave the parent's message away");
    drop(frame);
    assert_eq!(tx.approx_len(), 0);
}

#[test]
fn a_received_batch_inherited_by_a_child_is_not_released_by_it() {
    let _alone = alone();
    let (_name, ring) = create(&small());
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    (0..3).for_each(|i| tx.send(&[i]).unwrap());
    let used = tx.approx_len();
    let mut batch = Some(rx.try_batch(3).unwrap());
    batch.as_mut().unwrap().next().unwrap();
    fork(|_| drop(batch.take())).join();
    assert_eq!(tx.approx_len(), used, "the child gave the parent's messages away");
    drop(batch);
}

#[test]
fn a_grant_inherited_by_a_child_cannot_be_committed_by_it() {
    let _alone = alone();
    let (_name, ring) = create(&small());
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let mut grant = Some(tx.try_reserve(5).unwrap());
    fork(|_| assert_eq!(grant.take().unwrap().commit(5), Err(SendError::Forked))).join();
    assert_eq!(rx.try_recv(&mut [0; 8]), Err(RecvError::Empty));
    let mut grant = grant.unwrap();
    grant.copy_from_slice(b"hello");
    grant.commit_all();
    assert_eq!(recv(&mut rx).unwrap(), b"hello");
}

#[test]
fn a_batch_inherited_by_a_child_cannot_be_committed_by_it() {
    let _alone = alone();
    let (_name, ring) = create(&small());
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let mut batch = tx.batch().unwrap();
    batch.push(b"first").unwrap();
    let mut batch = Some(batch);
    fork(|_| {
        let mut batch = batch.take().unwrap();
        assert_eq!(batch.push(b"from the child"), Err(SendError::Forked));
        assert_eq!(batch.commit(), 0);
    })
    .join();
    assert_eq!(rx.try_recv(&mut [0; 8]), Err(RecvError::Empty));
    assert_eq!(batch.unwrap().commit(), 1);
    assert_eq!(recv(&mut rx).unwrap(), b"first");
}

/// A process that lives until the tether is cut, whoever its parent is.
fn lingering(reads: &std::os::fd::OwnedFd) -> Child {
    fork(|_| common::wait_for_end(reads))
}

#[test]
fn a_role_is_free_when_its_holder_is_killed_though_its_forked_child_lives() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut rx = ring.consumer().unwrap();
    let (reads, keeps) = common::tether();
    let mut keeps = Some(keeps);
    let mut parent = fork(|link| {
        drop(keeps.take());
        let mut tx = producer(&name);
        tx.send(b"committed").unwrap();
        let child = lingering(&reads);
        link.say(child.pid().into());
        std::mem::forget(child);
        for_ever();
    });
    let grandchild = nix::unistd::Pid::from_raw(parent.hear() as i32);
    let pid = parent.pid();
    parent.kill();
    // The child lets go as soon as it runs for the first time, which may be after its parent's death.
    until("the role is free", || rx.peer() == Peer::Died { pid });
    assert_eq!(nix::sys::signal::kill(grandchild, None), Ok(()), "the forked child lives");
    assert_eq!(recv(&mut rx).unwrap(), b"committed");
    assert_eq!(recv(&mut rx), Err(RecvError::PeerDied { pid }));
    ring.producer().unwrap().send(b"successor").unwrap();
    assert_eq!(recv(&mut rx).unwrap(), b"successor");
    drop(keeps);
}

#[test]
fn a_forked_child_takes_no_lease_along_that_lies_above_its_limit_of_descriptors() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let rx = ring.consumer().unwrap();
    let (reads, keeps) = common::tether();
    let mut keeps = Some(keeps);
    let mut parent = fork(|link| {
        drop(keeps.take());
        // Enough to put what comes next above any descriptor in use, and then the limit between them.
        let low: Vec<_> = (0..300).map(|_| reads.try_clone().unwrap()).collect();
        let _tx = producer(&name);
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 256, hard).unwrap();
        drop(low);
        let child = lingering(&reads);
        link.say(child.pid().into());
        std::mem::forget(child);
        for_ever();
    });
    let grandchild = nix::unistd::Pid::from_raw(parent.hear() as i32);
    let pid = parent.pid();
    parent.kill();
    until("the role is free", || rx.peer() == Peer::Died { pid });
    assert_eq!(nix::sys::signal::kill(grandchild, None), Ok(()), "the forked child lives");
    assert!(ring.producer().is_ok());
    drop(keeps);
}

#[test]
fn a_fork_while_another_thread_opens_a_ring_takes_no_lease_along() {
    let _alone = alone();
    let (reads, keeps) = common::tether();
    let mut keeps = Some(keeps);
    let names: Vec<_> = (0..200).map(|_| unique()).collect();
    let mut parent = fork(|link| {
        drop(keeps.take());
        let opened = Board::new(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for name in &names {
                    std::mem::forget(Ring::create(&name.0, &small()).unwrap().into_producer().unwrap());
                    opened.add(0, 1);
                }
            });
            for nth in 1..20 {
                until("some are open", || opened.get(0) >= nth * 10);
                std::mem::forget(lingering(&reads));
            }
        });
        link.say(1);
        for_ever();
    });
    parent.hear();
    let pid = parent.pid();
    parent.kill();
    let held = |name: &Unique| {
        let info = slipring::stat(&name.0).unwrap();
        info.in_use || info.info.unwrap().producer.peer != Peer::Died { pid }
    };
    names.iter().for_each(|name| until("the dead process holds nothing", || !held(name)));
    drop(keeps);
}

// --- waiting ---

#[test]
fn a_timeout_is_honoured_and_not_early() {
    let _alone = alone();
    let (_name, ring) = create(&small());
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    const TIME: Duration = Duration::from_millis(60);
    let timed = |verb: &mut dyn FnMut()| {
        let start = Instant::now();
        verb();
        let took = start.elapsed();
        assert!(took >= TIME && took < LIMIT / 2, "{took:?}");
    };
    for strategy in [WaitStrategy::Park, WaitStrategy::Spin, WaitStrategy::Yield] {
        rx.set_strategy(strategy).unwrap();
        let end = RecvError::TimedOut;
        timed(&mut || assert_eq!(rx.recv_timeout(&mut [0; 8], TIME), Err(end)));
        timed(&mut || assert_eq!(rx.recv_deadline(&mut [0; 8], Instant::now() + TIME), Err(end)));
        timed(&mut || assert_eq!(rx.frame_timeout(TIME).err(), Some(end)));
        timed(&mut || assert_eq!(rx.frame_deadline(Instant::now() + TIME).err(), Some(end)));
    }
    room(&mut tx);
    for strategy in [WaitStrategy::Park, WaitStrategy::Spin, WaitStrategy::Yield] {
        tx.set_strategy(strategy).unwrap();
        let end = SendError::TimedOut;
        timed(&mut || assert_eq!(tx.send_timeout(b"", TIME), Err(end)));
        timed(&mut || assert_eq!(tx.send_deadline(b"", Instant::now() + TIME), Err(end)));
        timed(&mut || assert_eq!(tx.reserve_timeout(0, TIME).err(), Some(end)));
        timed(&mut || assert_eq!(tx.reserve_deadline(0, Instant::now() + TIME).err(), Some(end)));
        timed(&mut || assert_eq!(tx.wait_drained(Some(TIME)), Err(end)));
    }
}

#[test]
fn a_deadline_in_the_past_still_succeeds_if_it_can() {
    let _alone = alone();
    let (_name, ring) = create(&small());
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let past = Instant::now() - Duration::from_secs(1);
    for strategy in [WaitStrategy::Park, WaitStrategy::Spin, WaitStrategy::Yield] {
        tx.set_strategy(strategy).unwrap();
        rx.set_strategy(strategy).unwrap();
        tx.send_deadline(b"a", past).unwrap();
        tx.send_timeout(b"b", Duration::ZERO).unwrap();
        tx.reserve_deadline(1, past).unwrap().commit_all();
        assert_eq!(rx.recv_deadline(&mut [0; 8], past), Ok(1));
        assert_eq!(rx.recv_timeout(&mut [0; 8], Duration::ZERO), Ok(1));
        assert_eq!(rx.frame_deadline(past).unwrap().len(), 1);
        assert_eq!(rx.recv_deadline(&mut [0; 8], past), Err(RecvError::TimedOut));
        assert_eq!(rx.batch_deadline(2, past).err(), Some(RecvError::TimedOut));
        assert_eq!(rx.batch_timeout(2, Duration::ZERO).err(), Some(RecvError::TimedOut));
        tx.send(b"in two").unwrap();
        tx.send(b"batches").unwrap();
        assert_eq!(rx.batch_deadline(1, past).unwrap().next(), Ok(Some(&b"in two"[..])));
        assert_eq!(rx.batch_timeout(1, Duration::ZERO).unwrap().next(), Ok(Some(&b"batches"[..])));
        assert_eq!(tx.wait_drained(Some(Duration::ZERO)), Ok(()));
        room(&mut tx);
        assert_eq!(tx.send_deadline(b"", past), Err(SendError::TimedOut));
        while rx.try_recv(&mut [0; 64]).is_ok() {}
    }
}

#[test]
fn a_timeout_without_end_is_no_timeout() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut rx = ring.consumer().unwrap();
    let child = producing_child(&name, &[]);
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        child.kill();
    });
    assert!(matches!(rx.recv_timeout(&mut [0; 8], Duration::MAX), Err(RecvError::PeerDied { .. })));
    sender.join().unwrap();
}

#[test]
fn a_yielding_waiter_keeps_its_timeout_on_a_busy_machine() {
    let _alone = alone();
    let (_name, ring) = create(&small());
    let mut rx = ring.consumer().unwrap();
    rx.set_strategy(WaitStrategy::Yield).unwrap();
    // Two for each core.
    let cores = std::thread::available_parallelism().unwrap().get();
    let _busy: Vec<_> = (0..2 * cores)
        .map(|_| {
            fork(|_| {
                loop {
                    std::hint::spin_loop()
                }
            })
        })
        .collect();
    let took = || {
        let start = Instant::now();
        assert_eq!(rx.recv_timeout(&mut [0; 8], Duration::from_millis(20)), Err(RecvError::TimedOut));
        start.elapsed()
    };
    let tries: Vec<_> = std::iter::repeat_with(took).take(5).collect();
    println!("a timeout of 20 ms took {tries:?}");
    assert!(tries.iter().min() < Some(&Duration::from_secs(1)), "{tries:?}");
}

#[test]
fn every_way_to_wait_delivers_between_processes() {
    let _alone = alone();
    for wakeup in [Wakeup::None, Wakeup::Futex, Wakeup::Semaphore] {
        for fences in [Fences::Asymmetric, Fences::Plain] {
            for strategy in [WaitStrategy::Park, WaitStrategy::Yield, WaitStrategy::Spin] {
                delivers(&small().wakeup(wakeup).fences(fences), strategy);
            }
        }
    }
}

/// To and fro, where each message is waited for, then a stream through rings that fill up.
fn delivers(options: &Options, strategy: WaitStrategy) {
    const TURNS: u64 = 40;
    const STREAM: u64 = 300;
    let (there, ring_there) = create(options);
    let (back, ring_back) = create(options);
    let mut tx = ring_there.producer().unwrap();
    if tx.set_strategy(strategy).is_err() {
        assert_eq!((strategy, ring_there.info().wakeup), (WaitStrategy::Park, Wakeup::None));
        return;
    }
    let mut rx = ring_back.consumer().unwrap();
    rx.set_strategy(strategy).unwrap();
    let child = fork(|_| {
        let (mut rx, mut tx) = (consumer(&there), producer(&back));
        rx.set_strategy(strategy).unwrap();
        tx.set_strategy(strategy).unwrap();
        let mut buffer = [0; LONGEST];
        for i in 0..TURNS + STREAM {
            let len = rx.recv_timeout(&mut buffer, LIMIT).unwrap();
            assert_eq!(number_of(&buffer[..len], LONGEST), i);
            tx.send_timeout(&buffer[..len], LIMIT).unwrap();
        }
    });
    let mut buffer = [0; LONGEST];
    for i in 0..TURNS {
        tx.send(&numbered(i, LONGEST)).unwrap();
        let len = rx.recv_timeout(&mut buffer, LIMIT).unwrap();
        assert_eq!(number_of(&buffer[..len], LONGEST), i);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in TURNS..TURNS + STREAM {
                tx.send_timeout(&numbered(i, LONGEST), LIMIT).unwrap();
            }
        });
        for i in TURNS..TURNS + STREAM {
            let len = rx.recv_timeout(&mut buffer, LIMIT).unwrap();
            assert_eq!(number_of(&buffer[..len], LONGEST), i);
        }
    });
    child.join();
}

/// How long after `rouse` a thread comes back from `wait`, of which it is asleep by then; the median of many times.
fn time_to_wake(mut wait: impl FnMut() + Send, mut rouse: impl FnMut()) -> Duration {
    const TIMES: usize = 30;
    std::thread::scope(|scope| {
        let (woke, when) = std::sync::mpsc::channel();
        let (starts, start) = std::sync::mpsc::channel();
        scope.spawn(move || {
            starts.send(nix::unistd::gettid()).unwrap();
            for _ in 0..TIMES {
                wait();
                woke.send(Instant::now()).unwrap();
            }
        });
        let waiter = start.recv().unwrap();
        let mut times: Vec<_> = (0..TIMES)
            .map(|_| {
                until("the waiter sleeps", || is_asleep(waiter));
                let roused = Instant::now();
                rouse();
                when.recv_timeout(LIMIT).unwrap() - roused
            })
            .collect();
        times.sort_unstable();
        times[TIMES / 2]
    })
}

#[test]
fn a_sleeper_is_woken_by_what_it_waits_for_and_not_by_the_end_of_its_slice() {
    let _alone = alone();
    // A slice is 40 ms: without wake-ups the median is about half of it. A busy machine gets several chances.
    const SOON: Duration = Duration::from_millis(8);
    for wakeup in [Wakeup::Futex, Wakeup::Semaphore] {
        for fences in [Fences::Asymmetric, Fences::Plain] {
            let measure = || {
                let (_name, ring) = create(&small().wakeup(wakeup).fences(fences));
                let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
                let consumer =
                    time_to_wake(|| drop(recv(&mut rx).unwrap()), || tx.try_send(b"wake up").unwrap());
                room(&mut tx);
                // It is woken when half of the ring is free; then it fills the ring again. All is released at once, so
                // that it cannot come between.
                let producer = time_to_wake(
                    || {
                        tx.send_timeout(&[0; 56], LIMIT).unwrap();
                        room(&mut tx);
                    },
                    || {
                        let mut all = rx.try_batch(usize::MAX).unwrap();
                        while all.next().unwrap().is_some() {}
                    },
                );
                println!(
                    "{wakeup:?}, {fences:?}: the consumer after {consumer:?}, the producer after {producer:?}"
                );
                consumer.max(producer)
            };
            assert!((0..10).any(|_| measure() < SOON), "{wakeup:?}, {fences:?}");
        }
    }
}

#[test]
fn a_sleeper_in_another_process_is_woken_before_its_slice_ends() {
    let _alone = alone();
    for wakeup in [Wakeup::Futex, Wakeup::Semaphore] {
        let measure = || {
            let (_name, ring) = create(&small().wakeup(wakeup));
            let mut tx = ring.producer().unwrap();
            let mut child = fork(|link| {
                let mut rx = Ring::open(&_name.0).unwrap().into_consumer().unwrap();
                link.say(0);
                let start = Instant::now();
                rx.recv(&mut [0; 64]).unwrap();
                link.say(start.elapsed().as_micros() as u64);
            });
            child.hear();
            let stat = format!("/proc/{}/stat", child.pid());
            until("it sleeps", || {
                std::fs::read_to_string(&stat)
                    .unwrap()
                    .rsplit(") ")
                    .next()
                    .is_some_and(|rest| rest.starts_with('S'))
            });
            tx.try_send(b"wake up").unwrap();
            let micros = child.hear();
            child.join();
            micros
        };
        // Its first slice takes 20 ms. A busy machine gets several chances.
        assert!((0..20).any(|_| measure() < 15_000), "{wakeup:?}");
    }
}

#[test]
fn nobody_parks_on_a_ring_without_wakeup() {
    let _alone = alone();
    let (_name, ring) = create(&small().wakeup(Wakeup::None));
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    assert!(tx.set_strategy(WaitStrategy::Park).is_err());
    assert!(rx.set_strategy(WaitStrategy::Park).is_err());
    // The default is one that works.
    assert_eq!(rx.recv_timeout(&mut [0; 8], Duration::from_millis(1)), Err(RecvError::TimedOut));
}

#[test]
fn wait_drained_waits_for_the_last_release() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut tx = ring.producer().unwrap();
    assert_eq!(tx.wait_drained(None), Ok(()), "nothing to wait for, and nobody needed");
    for i in 0..5 {
        tx.send(&[i]).unwrap();
    }
    assert_eq!(tx.wait_drained(Some(Duration::from_millis(10))), Err(SendError::TimedOut));
    let read = Board::new(1);
    let child = fork(|_| {
        let mut rx = consumer(&name);
        for _ in 0..5 {
            let frame = rx.frame_timeout(LIMIT).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            read.add(0, 1);
            frame.release();
        }
        // Stays until told: that it leaves is not what ends the wait.
        until("the parent has seen it", || read.get(0) == 6);
    });
    assert_eq!(tx.wait_drained(Some(LIMIT)), Ok(()));
    assert_eq!(read.add(0, 1), 6);
    assert_eq!(tx.approx_len(), 0);
    child.join();
}

#[test]
fn wait_drained_ends_when_the_consumer_leaves_or_dies_with_messages_left() {
    let _alone = alone();
    let (name, ring) = create(&small());
    let mut tx = ring.producer().unwrap();
    tx.send(b"left").unwrap();
    drop(consumer(&name));
    assert_eq!(tx.wait_drained(None), Err(SendError::Closed));
    let child = consuming_child(&name);
    let pid = child.pid();
    child.kill();
    assert_eq!(tx.wait_drained(None), Err(SendError::PeerDied { pid }));
    assert_eq!(recv(&mut consumer(&name)).unwrap(), b"left");
    assert_eq!(tx.wait_drained(None), Ok(()));
}

#[test]
fn a_sleeping_receiver_uses_almost_no_cpu_time() {
    let _alone = alone();
    for wakeup in [Wakeup::Futex, Wakeup::Semaphore] {
        let (name, ring) = create(&small().wakeup(wakeup));
        let tx = ring.producer().unwrap();
        let mut child = fork(|link| {
            let mut rx = consumer(&name);
            let used = || {
                let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
                let micros = |t: nix::sys::time::TimeVal| t.tv_sec() * 1_000_000 + t.tv_usec();
                (micros(usage.user_time()) + micros(usage.system_time())) as u64
            };
            let before = used();
            assert_eq!(rx.recv_timeout(&mut [0; 8], Duration::from_secs(2)), Err(RecvError::TimedOut));
            link.say(used() - before);
        });
        let used = Duration::from_micros(child.hear());
        child.join();
        println!("{wakeup:?}: 2 s of waiting took {used:?} of CPU time");
        assert!(used < Duration::from_millis(40), "{used:?}");
        drop(tx);
    }
}

#[test]
fn a_thousand_rings_are_open_in_one_process() {
    let _alone = alone();
    const RINGS: usize = 1000;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let need = RINGS as u64 * 3 + 100;
    if soft < need {
        if hard < need {
            println!("skipped: 1,000 rings with both ends take {need} descriptors, the hard limit is {hard}");
            return;
        }
        setrlimit(Resource::RLIMIT_NOFILE, need, hard).unwrap();
    }
    let names: Vec<_> = (0..RINGS).map(|_| unique()).collect();
    let mut rings: Vec<_> = names
        .iter()
        .map(|name| {
            let ring = Ring::create(&name.0, &small()).unwrap();
            (ring.producer().unwrap(), ring.consumer().unwrap(), ring)
        })
        .collect();
    for (i, (tx, _, _)) in rings.iter_mut().enumerate() {
        tx.send(&i.to_ne_bytes()).unwrap();
    }
    for (i, (_, rx, _)) in rings.iter_mut().enumerate() {
        assert_eq!(recv(rx).unwrap(), i.to_ne_bytes());
    }
    drop(rings);
    assert!(names.iter().all(|name| !name.path().exists()));
}
