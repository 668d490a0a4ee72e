//! The MPMC ring within one process: its verbs, alone and from several threads. Kills and stops are in `mpmc_deaths`.

mod common;

use common::{LIMIT, unique};
use slipring::mpmc::{Receiver, Sender};
use slipring::{Error, Options, RecvError, Ring, SendError, WaitStrategy, Wakeup};
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

fn ring(slots: usize, max_len: usize) -> Ring {
    Ring::anonymous(&Options::mpmc(slots, max_len)).unwrap()
}

fn pair(slots: usize, max_len: usize) -> (Sender, Receiver) {
    let ring = ring(slots, max_len);
    (ring.sender().unwrap(), ring.receiver().unwrap())
}

fn recv(rx: &mut Receiver) -> Result<Vec<u8>, RecvError> {
    let mut buffer = vec![0; rx.max_len()];
    rx.try_recv(&mut buffer).map(|len| buffer[..len].to_vec())
}

#[test]
fn messages_of_every_length_pass_in_order() {
    let (mut tx, mut rx) = pair(4, 100);
    assert_eq!(tx.max_len(), 112, "what the cache lines of a slot leave");
    for len in 0..=tx.max_len() {
        let message: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
        tx.try_send(&message).unwrap();
        tx.try_send(&message[..len / 2]).unwrap();
        assert_eq!(recv(&mut rx).unwrap(), message);
        assert_eq!(recv(&mut rx).unwrap(), &message[..len / 2]);
    }
    assert_eq!(recv(&mut rx), Err(RecvError::Empty));
}

#[test]
fn a_full_ring_refuses_and_every_slot_is_used() {
    for slots in [2, 4, 64] {
        let (mut tx, mut rx) = pair(slots, 48);
        for lap in 0..5u8 {
            for i in 0..slots {
                tx.try_send(&[lap, i as u8]).unwrap();
            }
            assert_eq!(tx.try_send(b"more"), Err(SendError::Full));
            assert_eq!(tx.approx_len(), slots);
            for i in 0..slots {
                assert_eq!(recv(&mut rx).unwrap(), [lap, i as u8]);
            }
            assert!(rx.was_empty());
        }
    }
}

#[test]
fn a_message_that_is_too_long_is_refused_with_both_lengths() {
    let (mut tx, _rx) = pair(2, 48);
    assert_eq!(tx.try_send(&[0; 49]), Err(SendError::TooLarge { len: 49, max: 48 }));
    assert_eq!(tx.try_reserve(49).err(), Some(SendError::TooLarge { len: 49, max: 48 }));
    assert_eq!(tx.try_send_batch(&[[0u8; 49]]), Err(SendError::TooLarge { len: 49, max: 48 }));
    // Those before it are sent.
    let messages: [&[u8]; 3] = [&[1], &[0; 49], &[2]];
    assert_eq!(tx.try_send_batch(&messages), Ok(1));
}

#[test]
fn a_message_stays_if_the_buffer_is_too_small() {
    let (mut tx, mut rx) = pair(2, 48);
    tx.try_send(b"0123456789").unwrap();
    assert_eq!(rx.try_recv(&mut [0; 9]), Err(RecvError::BufferTooSmall { len: 10, have: 9 }));
    assert_eq!(recv(&mut rx).unwrap(), b"0123456789");
}

#[test]
fn a_grant_is_sent_when_committed_and_gone_when_dropped() {
    let (mut tx, mut rx) = pair(4, 48);
    let mut grant = tx.try_reserve(8).unwrap();
    grant.copy_from_slice(b"in place");
    grant.commit(2).unwrap();
    drop(tx.try_reserve(8).unwrap());
    tx.try_reserve(8).unwrap().abort();
    assert_eq!(tx.try_reserve(8).unwrap().commit(9), Err(SendError::TooLarge { len: 9, max: 8 }));
    assert_eq!(recv(&mut rx).unwrap(), b"in");
    assert_eq!(recv(&mut rx), Err(RecvError::Empty));
    // None of them has cost any room, once what was sent before it is read.
    (0..4).for_each(|i| tx.try_send(&[i]).unwrap());
    assert_eq!(tx.try_send(b"5"), Err(SendError::Full));
}

#[test]
fn a_receiver_passes_over_a_grant_that_is_still_open_and_its_bytes_come_later() {
    let ring = ring(4, 48);
    let (mut slow, mut quick, mut rx) =
        (ring.sender().unwrap(), ring.sender().unwrap(), ring.receiver().unwrap());
    let mut grant = slow.try_reserve(4).unwrap();
    assert_eq!(recv(&mut rx), Err(RecvError::Empty), "nothing is committed");
    for lap in 0..10u8 {
        for i in 0..3 {
            quick.try_send(&[lap, i]).unwrap();
        }
        for i in 0..3 {
            assert_eq!(recv(&mut rx).unwrap(), [lap, i]);
        }
    }
    grant.copy_from_slice(b"late");
    grant.commit_all().unwrap();
    assert_eq!(recv(&mut rx).unwrap(), b"late");
    for i in 0..4 {
        quick.try_send(&[i]).unwrap();
    }
    assert_eq!(quick.try_send(b"5"), Err(SendError::Full), "all four slots are back");
}

#[test]
fn senders_step_over_a_frame_that_is_still_open() {
    let ring = ring(4, 48);
    let (mut tx, mut rx, mut other) =
        (ring.sender().unwrap(), ring.receiver().unwrap(), ring.receiver().unwrap());
    tx.try_send(b"held").unwrap();
    let frame = rx.try_frame().unwrap();
    for lap in 0..10u8 {
        for i in 0..3 {
            tx.try_send(&[lap, i]).unwrap();
        }
        for i in 0..3 {
            assert_eq!(recv(&mut other).unwrap(), [lap, i]);
        }
    }
    assert_eq!(&*frame, b"held");
    frame.release();
    for i in 0..4 {
        tx.try_send(&[i]).unwrap();
    }
    assert_eq!(tx.try_send(b"5"), Err(SendError::Full), "all four slots are back");
}

#[test]
fn senders_pass_over_grants_that_are_open_if_all_behind_them_was_given_up() {
    for stopped in 1..=4 {
        let ring = ring(8, 48);
        let mut others: Vec<Sender> = (0..stopped).map(|_| ring.sender().unwrap()).collect();
        let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mut open = Vec::new();
        for other in &mut others {
            let mut grant = other.try_reserve(4).unwrap();
            grant.copy_from_slice(b"late");
            open.push(grant);
            // A place or two behind each, and the rest of the ring behind the last.
            tx.try_reserve(4).unwrap().abort();
        }
        for _ in 2 * stopped..8 {
            tx.try_reserve(4).unwrap().abort();
        }
        // Nobody receives, and nothing is there to receive.
        assert_eq!(tx.try_send(&[0]), Ok(()), "{stopped} open grants");
        for lap in 0..20u8 {
            for i in u8::from(lap == 0)..4 {
                tx.send_timeout(&[i], Duration::from_secs(20)).unwrap();
            }
            for i in 0..4 {
                assert_eq!(recv(&mut rx).unwrap(), [i], "lap {lap}");
            }
        }
        open.into_iter().for_each(|grant| grant.commit_all().unwrap());
        for _ in 0..stopped {
            assert_eq!(recv(&mut rx).unwrap(), b"late", "sent again, whole");
        }
        for i in 0..8 {
            tx.try_send(&[i]).unwrap();
        }
        assert_eq!(tx.try_send(b"9"), Err(SendError::Full), "all eight slots are back");
    }
}

#[test]
fn batches_keep_their_order_and_take_what_there_is() {
    let (mut tx, mut rx) = pair(64, 48);
    let messages: Vec<[u8; 2]> = (0..100).map(|i| [i, !i]).collect();
    assert_eq!(tx.try_send_batch(&messages), Ok(64));
    let mut got = Vec::new();
    assert_eq!(rx.try_recv_batch(50, |m| got.push(m.to_vec())), Ok(50));
    assert_eq!(tx.try_send_batch(&messages[64..]), Ok(36));
    assert_eq!(rx.try_recv_batch(1000, |m| got.push(m.to_vec())), Ok(50));
    assert_eq!(got, messages);
    assert_eq!(rx.try_recv_batch(1, |_| ()), Err(RecvError::Empty));
    assert_eq!(rx.try_recv_batch(0, |_| ()), Ok(0));
    assert_eq!(tx.try_send_batch(&[[0u8; 0]; 0]), Ok(0));
}

#[test]
fn batches_keep_a_timeout_and_what_is_possible_still_succeeds_after_it() {
    let (mut tx, mut rx) = pair(4, 48);
    let short = Duration::from_millis(5);
    let past = Instant::now();
    let mut seen = Vec::new();
    let all: Vec<[u8; 1]> = (0..6).map(|i| [i]).collect();
    assert_eq!(rx.recv_batch_timeout(9, short, |_| {}), Err(RecvError::TimedOut));
    assert_eq!(rx.recv_batch_deadline(9, past, |_| {}), Err(RecvError::TimedOut));
    assert_eq!(tx.send_batch_deadline(&all[..2], past), Ok(()), "there is room");
    assert_eq!(rx.recv_batch_deadline(9, past, |message| seen.push(message[0])), Ok(2));
    let began = Instant::now();
    assert_eq!(tx.send_batch_timeout(&all, short), Err((4, SendError::TimedOut)), "four fit");
    assert!(began.elapsed() >= short);
    assert_eq!(rx.recv_batch_timeout(9, short, |message| seen.push(message[0])), Ok(4));
    assert_eq!(seen, [0, 1, 0, 1, 2, 3]);
}

#[test]
fn what_a_panic_leaves_of_a_batch_is_received_next() {
    let (mut tx, mut rx) = pair(8, 48);
    assert_eq!(tx.try_send_batch(&[[0u8], [1], [2], [3]]), Ok(4));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = rx.try_recv_batch(4, |m| assert!(m[0] < 1, "on purpose"));
    }));
    assert!(caught.is_err());
    let rest: Vec<_> = (0..3).map(|_| recv(&mut rx).unwrap()[0]).collect();
    assert_eq!(rest, [1, 2, 3]);
    assert_eq!(recv(&mut rx), Err(RecvError::Empty));
}

#[test]
fn a_sender_that_sleeps_is_woken_by_a_batch_that_panics() {
    let _alone = common::alone();
    // How often a thread went to sleep.
    let sleeps = |tid: nix::unistd::Pid| {
        let status = std::fs::read_to_string(format!("/proc/self/task/{tid}/status")).unwrap();
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse::<u64>().unwrap()
    };
    let measure = || {
        let (mut tx, mut rx) = pair(2, 48);
        assert_eq!(tx.try_send_batch(&[[0u8], [1]]), Ok(2));
        let (say, hear) = std::sync::mpsc::channel();
        let sender = thread::spawn(move || {
            let tid = nix::unistd::gettid();
            say.send((tid, sleeps(tid))).unwrap();
            tx.send(&[2]).unwrap();
            (Instant::now(), tx)
        });
        let (tid, before) = hear.recv().unwrap();
        // Its first sleep may be short; from the next on each takes 20 ms.
        let mut looked = Instant::now();
        common::until("it sleeps for the third time", || {
            let fallen = sleeps(tid) >= before + 3;
            if !fallen {
                looked = Instant::now();
            }
            fallen
        });
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let unwind = || std::panic::resume_unwind(Box::new("on purpose"));
            rx.try_recv_batch(2, |m| {
                if m[0] == 1 {
                    unwind()
                }
            })
        }));
        assert!(caught.is_err());
        let just_fallen_asleep = looked.elapsed() < Duration::from_millis(5);
        let (sent, _tx) = sender.join().unwrap();
        assert_eq!([(); 2].map(|()| recv(&mut rx).unwrap()[0]), [1, 2]);
        just_fallen_asleep && sent.saturating_duration_since(looked) < Duration::from_millis(12)
    };
    // A busy machine gets several chances.
    assert!((0..100).any(|_| measure()));
}

#[test]
fn a_batch_whose_messages_panic_claims_nothing() {
    struct Bomb(bool);
    impl AsRef<[u8]> for Bomb {
        fn as_ref(&self) -> &[u8] {
            if self.0 {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            b"sound"
        }
    }
    let (mut tx, mut rx) = pair(2, 48);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tx.try_send_batch(&[Bomb(false), Bomb(true)])
    }));
    assert!(caught.is_err());
    assert_eq!(tx.try_send_batch(&[b"1", b"2"]), Ok(2), "both slots are free");
    assert_eq!([(); 2].map(|()| recv(&mut rx).unwrap()), [b"1", b"2"]);
}

#[test]
fn force_send_drops_the_oldest() {
    let (mut tx, mut rx) = pair(4, 48);
    for i in 0..10u8 {
        assert_eq!(tx.force_send(&[i]), Ok(u64::from(i >= 4)));
    }
    let got: Vec<_> = (0..4).map(|_| recv(&mut rx).unwrap()[0]).collect();
    assert_eq!(got, [6, 7, 8, 9]);
}

#[test]
fn a_delivery_comes_again_flagged_until_acknowledged() {
    let (mut tx, mut rx) = pair(4, 48);
    tx.try_send(b"a").unwrap();
    tx.try_send(b"b").unwrap();
    let first = rx.try_peek().unwrap();
    assert_eq!((&*first, first.is_redelivered()), (&b"a"[..], false));
    drop(first);
    let again = rx.try_peek().unwrap();
    assert_eq!((&*again, again.is_redelivered()), (&b"a"[..], true));
    again.ack();
    let second = rx.try_peek().unwrap();
    assert_eq!((&*second, second.is_redelivered()), (&b"b"[..], false));
    second.ack();
    assert_eq!(rx.try_peek().err(), Some(RecvError::Empty));
}

#[test]
fn what_a_receiver_did_not_acknowledge_goes_to_one_that_peeks() {
    let ring = ring(4, 48);
    let mut tx = ring.sender().unwrap();
    tx.try_send(b"a").unwrap();
    let mut gone = ring.receiver().unwrap();
    drop(gone.try_peek().unwrap());
    drop(gone);
    let mut rx = ring.receiver().unwrap();
    let again = rx.try_peek().unwrap();
    assert_eq!((&*again, again.is_redelivered()), (&b"a"[..], true));
    again.ack();
    for i in 0..4 {
        tx.try_send(&[i]).unwrap();
    }
    assert_eq!(tx.try_send(b"5"), Err(SendError::Full), "all four slots are back");
}

#[test]
fn what_a_batch_that_panicked_did_not_show_goes_to_any_other_receiver() {
    let ring = ring(4, 48);
    let (mut tx, mut gone, mut rx) =
        (ring.sender().unwrap(), ring.receiver().unwrap(), ring.receiver().unwrap());
    assert_eq!(tx.try_send_batch(&[[0u8], [1], [2], [3]]), Ok(4));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = gone.try_recv_batch(4, |m| assert!(m[0] < 1, "on purpose"));
    }));
    assert!(caught.is_err());
    drop(gone);
    let mut rest: Vec<_> = (0..3).map(|_| recv(&mut rx).unwrap()[0]).collect();
    rest.sort_unstable();
    assert_eq!(rest, [1, 2, 3]);
    assert_eq!(tx.try_send_batch(&[[0u8], [1], [2], [3]]), Ok(4), "all four slots are back");
}

/// What was left lies in the middle of what a batch takes, lap after lap: all batches begin at a message that is there.
#[test]
fn batches_that_never_pause_get_what_another_left() {
    for (most, first) in [(7, 1), (7, 3), (7, 6), (14, 3), (3, 1)] {
        let (mut tx, mut rx) = pair(8, 48);
        let mut leaves = rx.clone();
        tx.try_send(b"on").unwrap();
        rx.try_recv_batch(1, |_| ()).unwrap();
        tx.try_send(b"left").unwrap();
        drop(leaves.try_peek().unwrap());
        tx.try_send(b"on").unwrap();
        drop(leaves);
        while tx.try_send(b"on").is_ok() {}
        let mut came = false;
        rx.try_recv_batch(first, |message| came |= message == b"left").unwrap();
        common::until(&format!("what was left comes amid batches of {most} behind one of {first}"), || {
            while tx.try_send(b"on").is_ok() {}
            rx.try_recv_batch(most, |message| came |= message == b"left").unwrap();
            came
        });
    }
}

#[test]
fn a_receiver_that_never_pauses_gets_what_another_left() {
    type Take = fn(&mut Receiver) -> Vec<u8>;
    let ways: [Take; 4] = [
        |rx| recv(rx).unwrap(),
        |rx| rx.frame().unwrap().to_vec(),
        |rx| rx.try_peek().map(|delivery| (delivery.to_vec(), delivery.ack()).0).unwrap(),
        |rx| {
            let mut got = Vec::new();
            rx.try_recv_batch(1, |message| got = message.to_vec()).unwrap();
            got
        },
    ];
    for (way, take) in ways.into_iter().enumerate() {
        let (mut tx, mut rx) = pair(4, 48);
        let mut leaves = rx.clone();
        tx.try_send(b"left").unwrap();
        drop(leaves.try_peek().unwrap());
        // One message is always there.
        tx.try_send(b"on").unwrap();
        drop(leaves);
        let mut laps = 0;
        common::until(&format!("what was left comes amid traffic, {way}"), || {
            (0..100).any(|_| {
                laps += 1;
                tx.try_send(b"on").unwrap();
                take(&mut rx) == b"left"
            })
        });
        println!("way {way}: after {laps} messages");
        while recv(&mut rx).is_ok() {}
        (0..4).for_each(|i| tx.try_send(&[i]).unwrap());
    }
}

#[test]
fn a_waiting_peek_gets_what_another_leaves() {
    let ring = ring(4, 48);
    let (mut tx, mut gone, mut rx) =
        (ring.sender().unwrap(), ring.receiver().unwrap(), ring.receiver().unwrap());
    tx.try_send(b"a").unwrap();
    drop(gone.try_peek().unwrap());
    let waiter = thread::spawn(move || {
        let again = rx.peek_timeout(LIMIT).unwrap();
        let was = (again.to_vec(), again.is_redelivered());
        again.ack();
        was
    });
    drop(gone);
    assert_eq!(waiter.join().unwrap(), (b"a".to_vec(), true));
    drop(tx);
}

#[test]
fn a_receiver_hears_of_the_end_after_everything_was_read() {
    let ring = ring(4, 48);
    let mut rx = ring.receiver().unwrap();
    assert_eq!(recv(&mut rx), Err(RecvError::Empty), "a sender may still come");
    let (mut one, two) = (ring.sender().unwrap(), ring.sender().unwrap());
    one.try_send(b"last").unwrap();
    drop(one);
    assert_eq!(rx.senders(), 1);
    assert_eq!(recv(&mut rx).unwrap(), b"last");
    assert_eq!(recv(&mut rx), Err(RecvError::Empty));
    drop(two);
    for _ in 0..3 {
        assert_eq!(recv(&mut rx), Err(RecvError::Closed));
    }
    assert_eq!(rx.recv(&mut [0; 48]), Err(RecvError::Closed));
    let mut again = ring.sender().unwrap();
    again.try_send(b"more").unwrap();
    assert_eq!(recv(&mut rx).unwrap(), b"more");
}

#[test]
fn a_sender_without_receivers_hears_of_it_when_the_ring_is_full() {
    let (mut tx, rx) = pair(2, 48);
    drop(rx);
    tx.send(b"1").unwrap();
    tx.send(b"2").unwrap();
    assert_eq!(tx.send(b"3"), Err(SendError::Closed));
    assert_eq!(tx.receivers(), 0);
}

#[test]
fn a_timeout_is_kept_and_what_is_possible_still_succeeds_after_it() {
    let (mut tx, mut rx) = pair(2, 48);
    let mut buffer = [0; 48];
    for strategy in [WaitStrategy::Spin, WaitStrategy::Yield, WaitStrategy::Park] {
        tx.set_strategy(strategy).unwrap();
        rx.set_strategy(strategy).unwrap();
        let start = Instant::now();
        assert_eq!(rx.recv_timeout(&mut buffer, Duration::from_millis(20)), Err(RecvError::TimedOut));
        assert_eq!(rx.peek_timeout(Duration::from_millis(20)).err(), Some(RecvError::TimedOut));
        tx.send_deadline(b"1", start).unwrap();
        tx.send_deadline(b"2", start).unwrap();
        assert_eq!(tx.send_timeout(b"3", Duration::from_millis(20)), Err(SendError::TimedOut));
        assert_eq!(tx.reserve_timeout(1, Duration::from_millis(20)).err(), Some(SendError::TimedOut));
        assert!(start.elapsed() >= Duration::from_millis(80));
        assert_eq!(rx.recv_deadline(&mut buffer, start), Ok(1));
        assert_eq!(rx.frame_deadline(start).unwrap().len(), 1);
    }
}

#[test]
fn as_many_participants_as_the_ring_was_made_for() {
    let ring = Ring::anonymous(&Options::mpmc(2, 48).participants(3)).unwrap();
    let (tx, rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let clone = tx.try_clone().unwrap();
    for full in [ring.sender().err(), ring.receiver().err(), tx.try_clone().err(), rx.try_clone().err()] {
        assert!(matches!(full, Some(Error::TooManyParticipants { max: 3, .. })), "{full:?}");
    }
    let (mut no_tx, mut no_rx) = (tx.clone(), rx.clone());
    assert_eq!(no_tx.try_send(b"x"), Err(SendError::Unattached));
    assert_eq!(no_rx.try_recv(&mut []), Err(RecvError::Unattached));
    assert_eq!(no_rx.try_peek().err(), Some(RecvError::Unattached));
    assert!(matches!(no_tx.try_clone().err(), Some(Error::Unattached)));
    drop(clone);
    ring.receiver().unwrap();
    drop((no_tx, no_rx));
    tx.try_clone().unwrap();
}

#[test]
fn a_ring_has_the_ends_that_it_was_made_for() {
    let mpmc = ring(2, 48);
    assert!(matches!(mpmc.producer().err(), Some(Error::WrongKind { found: 2, .. })));
    assert!(matches!(mpmc.consumer().err(), Some(Error::WrongKind { found: 2, .. })));
    let spsc = Ring::anonymous(&Options::new()).unwrap();
    assert!(matches!(spsc.sender().err(), Some(Error::WrongKind { found: 1, .. })));
    assert!(matches!(spsc.receiver().err(), Some(Error::WrongKind { found: 1, .. })));
}

#[test]
fn impossible_options_are_named() {
    let refused = |options: &Options| match Ring::anonymous(options).err() {
        Some(Error::BadOption { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&Options::mpmc(3, 48)), "number of slots");
    assert_eq!(refused(&Options::mpmc(1, 48)), "number of slots");
    assert_eq!(refused(&Options::mpmc(1 << 25, 48)), "number of slots");
    assert_eq!(refused(&Options::mpmc(2, 1 << 26)), "longest message");
    assert_eq!(refused(&Options::mpmc(2, 48).participants(0)), "participants");
    assert_eq!(refused(&Options::mpmc(2, 48).participants(4097)), "participants");
    assert_eq!(refused(&Options::mpmc(2, 48).capacity(4096)), "capacity");
    assert_eq!(refused(&Options::new().participants(2)), "participants");
    assert!(Ring::anonymous(&Options::mpmc(2, 0).participants(4096)).is_ok());
}

#[test]
fn a_ring_says_who_takes_part() {
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(4, 48)).unwrap();
    let (mut tx, rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    tx.try_send(b"x").unwrap();
    let info = ring.info();
    assert_eq!((info.kind, info.slots, info.max_len, info.used_bytes), ("mpmc", Some(4), 48, 64));
    assert_eq!(info.pids(), [std::process::id()]);
    let roles: Vec<_> = info.participants.iter().map(|p| p.role).collect();
    assert_eq!(roles, [slipring::Role::Sender, slipring::Role::Receiver]);
    drop((tx, rx));
    assert_eq!(slipring::stat(&name.0).unwrap().info.unwrap().producer.peer, slipring::Peer::Closed);
}

/// Each message is its sender and its number; what each receiver got, in the order in which it got it.
fn exchange(senders: usize, receivers: usize, each: u64, options: &Options, strategy: WaitStrategy) {
    let ring = Ring::anonymous(options).unwrap();
    let sending: Vec<_> = (0..senders as u64)
        .map(|sender| {
            let mut tx = ring.sender().unwrap();
            tx.set_strategy(strategy).unwrap();
            thread::spawn(move || {
                for number in 0..each {
                    let message = [sender.to_le_bytes(), number.to_le_bytes()].concat();
                    match number % 3 {
                        0 => tx.send(&message).unwrap(),
                        1 => {
                            let mut grant = tx.reserve(16).unwrap();
                            grant.copy_from_slice(&message);
                            grant.commit_all().unwrap();
                        }
                        _ => tx.send_batch(&[&message]).unwrap(),
                    }
                }
            })
        })
        .collect();
    let receiving: Vec<_> = (0..receivers)
        .map(|receiver| {
            let mut rx = ring.receiver().unwrap();
            rx.set_strategy(strategy).unwrap();
            thread::spawn(move || {
                let mut got: Vec<(u64, u64)> = Vec::new();
                let parse = |m: &[u8]| {
                    let word = |at: usize| u64::from_le_bytes(m[at..at + 8].try_into().unwrap());
                    assert_eq!(m.len(), 16);
                    (word(0), word(8))
                };
                loop {
                    let end = match (receiver + got.len()) % 3 {
                        0 => rx.frame().map(|m| got.push(parse(&m))).err(),
                        1 => rx.recv_batch(7, |m| got.push(parse(m))).err(),
                        _ => rx
                            .peek()
                            .map(|m| {
                                got.push(parse(&m));
                                m.ack()
                            })
                            .err(),
                    };
                    match end {
                        None => {}
                        Some(RecvError::Closed) => return got,
                        Some(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    sending.into_iter().for_each(|t| t.join().unwrap());
    let mut seen: HashMap<(u64, u64), u32> = HashMap::new();
    for got in receiving.into_iter().map(|t| t.join().unwrap()) {
        let mut last: HashMap<u64, u64> = HashMap::new();
        for (sender, number) in got {
            if let Some(before) = last.insert(sender, number) {
                assert!(before < number, "sender {sender}: {number} after {before}");
            }
            *seen.entry((sender, number)).or_default() += 1;
        }
    }
    assert_eq!(seen.len() as u64, senders as u64 * each, "all have arrived");
    assert!(seen.values().all(|&times| times == 1), "and once");
}

#[test]
fn each_message_reaches_one_receiver_in_its_senders_order() {
    for (senders, receivers) in [(1, 1), (4, 1), (1, 4), (3, 3)] {
        for slots in [2, 8, 256] {
            exchange(senders, receivers, 3000, &Options::mpmc(slots, 48), WaitStrategy::Park);
        }
    }
}

#[test]
fn every_way_to_wait_and_to_wake_delivers() {
    for wakeup in [Wakeup::Futex, Wakeup::Semaphore] {
        exchange(2, 2, 2000, &Options::mpmc(4, 48).wakeup(wakeup), WaitStrategy::Park);
    }
    for strategy in [WaitStrategy::Spin, WaitStrategy::Yield] {
        exchange(2, 2, 300, &Options::mpmc(4, 48).wakeup(Wakeup::None), strategy);
    }
}

#[test]
fn an_idle_receiver_sees_what_others_left_and_moves_nothing() {
    let ring = ring(8, 48);
    let (mut tx, mut rx, idle) = (ring.sender().unwrap(), ring.receiver().unwrap(), ring.receiver().unwrap());
    for i in 0..5u8 {
        tx.try_send(&[i]).unwrap();
        assert!(!idle.was_empty());
        rx.try_recv(&mut [0; 48]).unwrap();
        assert!(idle.was_empty(), "after {i}");
        assert_eq!(idle.approx_len(), 0);
    }
    let grant = tx.try_reserve(1).unwrap();
    assert!(idle.was_empty(), "nothing is committed");
    assert_eq!(idle.approx_len(), 1, "an operation in flight");
    grant.commit(1).unwrap();
    assert_eq!((idle.was_empty(), idle.approx_len()), (false, 1));
}

/// A participant that voids every claim it sees, by the file: 2 slots, place 0 sends.
#[test]
fn a_sender_whose_claims_are_all_voided_keeps_its_deadline() {
    use std::os::unix::fs::FileExt;
    let _alone = common::alone();
    let name = common::unique();
    let longest = 1 << 20;
    let ring = Ring::create(&name.0, &Options::mpmc(2, longest)).unwrap();
    let mut tx = ring.sender().unwrap();
    let mut rx = ring.receiver().unwrap();
    let header = std::fs::read(name.path()).unwrap();
    let slots =
        (4096..header.len()).step_by(4096).find(|at| header[*at + 1] == 1 << 4 && header[*at + 2] == 1);
    let slots = slots.expect("a free slot of lap 1") as u64;
    let stride = (header.len() as u64 - slots) / 2;
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    let _hostile = common::meanwhile(move || {
        for at in [slots, slots + stride] {
            let mut kind = [0];
            file.read_exact_at(&mut kind, at + 1).unwrap();
            if kind[0] >> 4 == 2 {
                file.write_all_at(&[5 << 4 | kind[0] & 15], at + 1).unwrap();
            }
        }
    });
    let message = vec![1; longest];
    let mut buffer = vec![0; longest];
    common::until("a send is given up at its deadline", || {
        let start = std::time::Instant::now();
        let sent = tx.send_timeout(&message, Duration::from_millis(2));
        assert!(start.elapsed() < Duration::from_secs(5), "{sent:?} after {:?}", start.elapsed());
        let full = ring.inspect().contents;
        while rx.try_recv(&mut buffer).is_ok() {}
        let slipring::inspect::Contents::Slots(slots) = full else { unreachable!("it is an MPMC ring") };
        sent == Err(SendError::TimedOut) && slots.full == 0
    });
}

/// A sender with open grants in the first places of a ring; all others were given up.
fn beside_open_grants(ring: &Ring, open: usize, tx: &mut Sender) -> Sender {
    let mut other = ring.sender().unwrap();
    (0..open).for_each(|_| std::mem::forget(other.try_reserve(4).unwrap()));
    (open..tx.slots()).for_each(|_| tx.try_reserve(4).unwrap().abort());
    other
}

#[test]
fn one_stopped_participant_costs_no_refusal_however_many_places_it_has() {
    let ring = ring(64, 48);
    let (mut tx, _rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    // As one that was stopped in the middle of a batch has them.
    let _other = beside_open_grants(&ring, 32, &mut tx);
    tx.try_send(b"now").unwrap();
}

#[test]
fn force_send_finds_the_place_behind_one_that_is_stopped() {
    let ring = ring(64, 48);
    let (mut tx, _rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let _other = beside_open_grants(&ring, 4, &mut tx);
    assert_eq!(tx.force_send(b"now"), Ok(0), "nothing to drop, and sixty places that nobody has");
}
