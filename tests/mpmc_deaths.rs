//! The MPMC ring under real kills, stops and forks: what a participant held comes back, what it committed is delivered,
//! and nobody waits for one that is stopped.

mod common;

use common::{Board, Child, Dice, LIMIT, alone, fork, number_of, numbered, overwrite, unique, until};
use slipring::mpmc::{Receiver, Sender};
use slipring::{Options, Peer, RecvError, Ring, SendError, WaitStrategy};
use std::time::{Duration, Instant};

const LONGEST: usize = 48;

fn recv(rx: &mut Receiver) -> Result<Vec<u8>, RecvError> {
    let mut buffer = [0; LONGEST];
    rx.try_recv(&mut buffer).map(|len| buffer[..len].to_vec())
}

/// What is left in the ring comes out, and then exactly as many messages fit as it has slots.
fn all_slots_are_back(tx: &mut Sender, rx: &mut Receiver) {
    while recv(rx).is_ok() {}
    until("every slot is free again", || {
        let sent = (0..=tx.slots()).take_while(|&i| tx.try_send(&[i as u8]).is_ok()).count();
        let got = (0..=tx.slots()).take_while(|_| recv(rx).is_ok()).count();
        assert_eq!(sent, got, "what was sent is received");
        sent == tx.slots()
    });
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(LIMIT);
    }
}

/// A ring, its name, and a child that has done `work` with it and then waits to be killed.
fn with_child(options: &Options, work: impl FnOnce(&Ring, &dyn Fn(u64))) -> (Ring, Child) {
    let name = unique();
    let ring = Ring::create(&name.0, options).unwrap();
    let mut child = fork(|link| {
        let ring = Ring::open(&name.0).unwrap();
        work(&ring, &|word| link.say(word));
        sleep_for_ever();
    });
    child.hear();
    (ring, child)
}

#[test]
fn killed_with_a_grant_loses_no_slot() {
    let _alone = alone();
    let (ring, child) = with_child(&Options::mpmc(4, LONGEST), |ring, say| {
        let mut tx = ring.sender().unwrap();
        let mut grant = tx.try_reserve(8).unwrap();
        grant.fill(1);
        say(1);
        sleep_for_ever();
    });
    let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    child.kill();
    // Passed over already while it lies in the way.
    tx.try_send(b"behind").unwrap();
    assert_eq!(recv(&mut rx).unwrap(), b"behind");
    all_slots_are_back(&mut tx, &mut rx);
}

#[test]
fn killed_with_a_grant_that_nobody_has_passed_over_loses_no_slot() {
    let _alone = alone();
    let (ring, child) = with_child(&Options::mpmc(4, LONGEST), |ring, say| {
        let mut tx = ring.sender().unwrap();
        std::mem::forget(tx.try_reserve(8).unwrap());
        say(1);
        sleep_for_ever();
    });
    let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    child.kill();
    // The ring seems full, so there is a look at who lives: the dead one is swept before any receiver comes by.
    let sent = (0..4).take_while(|&i| tx.try_send(&[i]).is_ok()).count();
    assert!(sent >= 3, "{sent}");
    let got: Vec<_> = (0..sent).map(|_| recv(&mut rx).unwrap()[0] as usize).collect();
    assert!(got.into_iter().eq(0..sent));
    all_slots_are_back(&mut tx, &mut rx);
}

#[test]
fn killed_with_a_frame_takes_that_message_along_and_no_slot() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(4, LONGEST)).unwrap();
    let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    (0..4).for_each(|i| tx.try_send(&[i]).unwrap());
    let mut child = fork(|link| {
        let mut rx = Ring::open(&name.0).unwrap().into_receiver().unwrap();
        let frame = rx.try_frame().unwrap();
        link.say(u64::from(frame[0]));
        sleep_for_ever();
    });
    assert_eq!(child.hear(), 0);
    child.kill();
    let rest: Vec<_> = (0..3).map(|_| recv(&mut rx).unwrap()[0]).collect();
    assert_eq!(rest, [1, 2, 3]);
    all_slots_are_back(&mut tx, &mut rx);
}

#[test]
fn killed_with_a_delivery_leaves_it_flagged_to_the_next_that_peeks() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(4, LONGEST)).unwrap();
    let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    tx.try_send(b"unfinished").unwrap();
    for round in 0..3 {
        let mut child = fork(|link| {
            let mut rx = Ring::open(&name.0).unwrap().into_receiver().unwrap();
            let delivery = rx.peek().unwrap();
            assert_eq!(&*delivery, b"unfinished");
            link.say(u64::from(delivery.is_redelivered()));
            sleep_for_ever();
        });
        assert_eq!(child.hear(), u64::from(round > 0));
        // The ring goes on around it, over more than a lap.
        for i in 0..10u8 {
            tx.try_send(&[i]).unwrap();
            assert_eq!(recv(&mut rx).unwrap(), [i]);
        }
        child.kill();
    }
    let delivery = rx.peek_timeout(LIMIT).unwrap();
    assert_eq!((&*delivery, delivery.is_redelivered()), (&b"unfinished"[..], true));
    delivery.ack();
    all_slots_are_back(&mut tx, &mut rx);
}

#[test]
fn stopped_with_a_grant_and_with_a_frame_others_go_on_and_nothing_is_lost() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(8, LONGEST)).unwrap();
    let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let go = Board::new(1);
    let mut writer = fork(|link| {
        let mut tx = Ring::open(&name.0).unwrap().into_sender().unwrap();
        let mut grant = tx.try_reserve(LONGEST).unwrap();
        grant.copy_from_slice(&[7; LONGEST]);
        link.say(1);
        // The commit comes after everything.
        until("the parent says go", || go.get(0) == 1);
        grant.commit_all().unwrap();
        link.say(2);
        sleep_for_ever();
    });
    writer.hear();
    writer.stop();
    tx.try_send(b"for the reader").unwrap();
    let mut reader = fork(|link| {
        let mut rx = Ring::open(&name.0).unwrap().into_receiver().unwrap();
        let frame = rx.frame().unwrap();
        link.say(1);
        until("the parent says go", || go.get(0) == 1);
        assert_eq!(&*frame, b"for the reader");
        drop(frame);
        link.say(2);
        sleep_for_ever();
    });
    reader.hear();
    reader.stop();
    for i in 0..20_000 {
        tx.try_send(&numbered(i, LONGEST)).unwrap();
        assert_eq!(number_of(&recv(&mut rx).unwrap(), LONGEST), i);
    }
    let participants = ring.info().participants;
    let attached = participants.iter().filter(|p| matches!(p.party.peer, Peer::Attached { .. }));
    assert_eq!(attached.count(), 4, "nobody is taken for dead");
    go.set(0, 1);
    writer.resume();
    reader.resume();
    assert_eq!((writer.hear(), reader.hear()), (2, 2));
    assert_eq!(recv(&mut rx).unwrap(), [7; LONGEST]);
    assert_eq!(recv(&mut rx), Err(RecvError::Empty));
    all_slots_are_back(&mut tx, &mut rx);
    writer.kill();
    reader.kill();
}

#[test]
fn a_waiting_receiver_learns_that_the_last_sender_died() {
    let _alone = alone();
    common::soon("the death is known", || {
        let (ring, child) = with_child(&Options::mpmc(4, LONGEST), |ring, say| {
            let mut tx = ring.sender().unwrap();
            tx.try_send(b"last").unwrap();
            say(1);
            sleep_for_ever();
        });
        let mut rx = ring.receiver().unwrap();
        let pid = child.pid();
        child.shoot();
        let start = Instant::now();
        assert_eq!(&*rx.frame_timeout(LIMIT).unwrap(), b"last");
        assert_eq!(rx.recv_timeout(&mut [], LIMIT), Err(RecvError::PeerDied { pid }));
        let known = start.elapsed();
        let mut successor = ring.sender().unwrap();
        successor.try_send(b"next").unwrap();
        assert_eq!(recv(&mut rx).unwrap(), b"next");
        known
    });
}

#[test]
fn a_waiting_sender_learns_that_the_last_receiver_died() {
    let _alone = alone();
    common::soon("the death is known", || {
        let (ring, child) = with_child(&Options::mpmc(2, LONGEST), |ring, say| {
            let _rx = ring.receiver().unwrap();
            say(1);
            sleep_for_ever();
        });
        let mut tx = ring.sender().unwrap();
        tx.send(b"1").unwrap();
        tx.send(b"2").unwrap();
        let pid = child.pid();
        child.shoot();
        let start = Instant::now();
        assert_eq!(tx.send_timeout(b"3", LIMIT), Err(SendError::PeerDied { pid }));
        start.elapsed()
    });
}

#[test]
fn a_stopped_sweeper_keeps_neither_the_news_of_the_death_nor_a_slot() {
    let _alone = alone();
    // So many slots that a sweep takes milliseconds, and the stop can strike in it.
    let options = Options::mpmc(1 << 18, LONGEST).participants(3);
    let mut dice = Dice::new(7);
    let mut struck = 0;
    // How long a sweep takes against these times differs from machine to machine.
    for _ in 0..1000 {
        let name = unique();
        let ring = Ring::create(&name.0, &options).unwrap();
        let mut dead = fork(|link| {
            let mut tx = Ring::open(&name.0).unwrap().into_sender().unwrap();
            let _grant = tx.try_reserve(1).unwrap();
            link.say(1);
            sleep_for_ever();
        });
        dead.hear();
        let mut rx = ring.receiver().unwrap();
        let mut sweeper = fork(|link| {
            let mut rx = Ring::open(&name.0).unwrap().into_receiver().unwrap();
            link.say(1);
            while rx.recv_timeout(&mut [], Duration::from_micros(1)) == Err(RecvError::TimedOut) {}
            sleep_for_ever();
        });
        sweeper.hear();
        let pid = dead.pid();
        dead.kill();
        std::thread::sleep(Duration::from_micros(dice.below(4000)));
        sweeper.stop();
        // All places are taken, but for the dead one's: it can be had unless somebody just sweeps there.
        let in_the_sweep = ring.sender().is_err();
        if in_the_sweep {
            struck += 1;
            assert_eq!(rx.recv_timeout(&mut [], LIMIT), Err(RecvError::PeerDied { pid }));
            let held = || match ring.inspect().contents {
                slipring::inspect::Contents::Slots(slots) => slots.held,
                _ => unreachable!("it is an MPMC ring"),
            };
            until("the slot of the dead one is free", || held() == 0);
        }
        sweeper.kill();
        if struck == 3 {
            break;
        }
    }
    assert!(struck > 0, "no sweeper was stopped at its sweep");
}

#[test]
fn the_end_is_told_after_what_the_last_of_many_dead_left() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(64, LONGEST)).unwrap();
    let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    tx.try_send(b"left").unwrap();
    drop(tx);
    let mut child = fork(|link| {
        let ring = Ring::open(&name.0).unwrap();
        // More than one look around asks for.
        let _senders: Vec<_> = (0..40).map(|_| ring.sender().unwrap()).collect();
        let mut rx = ring.receiver().unwrap();
        let _delivery = rx.try_peek().unwrap();
        link.say(1);
        sleep_for_ever();
    });
    child.hear();
    let pid = child.pid();
    child.kill();
    let delivery = rx.peek_timeout(LIMIT).unwrap();
    assert_eq!((&*delivery, delivery.is_redelivered()), (&b"left"[..], true));
    delivery.ack();
    assert_eq!(rx.peek_timeout(LIMIT).map(|delivery| delivery.to_vec()), Err(RecvError::PeerDied { pid }));
}

#[test]
fn a_message_left_behind_is_adopted_though_nobody_has_told() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(4, LONGEST)).unwrap();
    let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    tx.try_send(b"left").unwrap();
    let mut child = fork(|link| {
        let mut rx = Ring::open(&name.0).unwrap().into_receiver().unwrap();
        let _delivery = rx.peek().unwrap();
        link.say(1);
        sleep_for_ever();
    });
    child.hear();
    tx.try_send(b"now").unwrap();
    rx.try_peek().unwrap().ack();
    child.kill();
    // As a sweeper leaves it that is killed between the word and the count: place 2 is orphaned (state 4).
    let at = 2048 + 2 * 128;
    let bytes = std::fs::read(name.path()).unwrap();
    assert_eq!(bytes[at] & 7, 1, "attached");
    overwrite(&name.path(), at as u64, &[bytes[at] & !7 | 4]);
    let mut again = false;
    until("the message is adopted amid traffic", || {
        for _ in 0..1000 {
            tx.try_send(b"on").unwrap();
            let delivery = rx.try_peek().unwrap();
            again |= delivery.is_redelivered() && &*delivery == b"left";
            delivery.ack();
        }
        while again && recv(&mut rx).is_ok() {}
        again
    });
}

#[test]
fn what_the_dead_did_not_acknowledge_comes_again_in_its_order() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(4, LONGEST)).unwrap();
    let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    for i in 0..3 {
        tx.try_send(&[i]).unwrap();
        recv(&mut rx).unwrap();
    }
    // The older one is in the last slot, the younger one in the first.
    tx.try_send(&[3]).unwrap();
    tx.try_send(&[4]).unwrap();
    let mut peekers: Vec<_> = (3..5)
        .map(|i| {
            let mut child = fork(|link| {
                let mut rx = Ring::open(&name.0).unwrap().into_receiver().unwrap();
                let delivery = rx.peek().unwrap();
                assert_eq!(&*delivery, &[i]);
                link.say(1);
                sleep_for_ever();
            });
            child.hear();
            child
        })
        .collect();
    peekers.drain(..).for_each(Child::kill);
    let came: Vec<u8> = (0..2)
        .map(|_| {
            let delivery = rx.peek_timeout(LIMIT).unwrap();
            let i = delivery[0];
            delivery.ack();
            i
        })
        .collect();
    assert_eq!(came, [3, 4]);
}

#[test]
fn a_dead_participants_place_is_given_to_the_next() {
    let _alone = alone();
    let options = Options::mpmc(4, LONGEST).participants(2);
    let (ring, child) = with_child(&options, |ring, say| {
        let mut tx = ring.sender().unwrap();
        let _rx = ring.receiver().unwrap();
        let _grant = tx.try_reserve(1).unwrap();
        say(1);
        sleep_for_ever();
    });
    assert!(ring.sender().is_err(), "both places are taken");
    child.kill();
    let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    all_slots_are_back(&mut tx, &mut rx);
}

/// A lock on a place of a ring by its file, as a sweeper's share in it, that can be taken and given back.
fn looker(name: &common::Unique, place: i64) -> impl Fn(i32) + use<> {
    let file = std::fs::File::open(name.path()).unwrap();
    move |kind| {
        let (l_type, l_whence) = (kind as i16, nix::libc::SEEK_SET as i16);
        let at = nix::libc::flock { l_type, l_whence, l_start: (1 << 61) + 1 + place, l_len: 1, l_pid: 0 };
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&at)).unwrap();
    }
}

#[test]
fn a_newcomer_finds_a_place_beside_sweepers_that_are_stopped_each_at_another() {
    let _alone = alone();
    let name = unique();
    // One place for each of two, one more that each of them may be stopped at, and one for who comes.
    let options = Options::mpmc(4, LONGEST).participants(5);
    let ring = Ring::create(&name.0, &options).unwrap();
    let (tx, rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    for round in 0..3 {
        let mut dead = fork(|link| {
            let ring = Ring::open(&name.0).unwrap();
            let mut all: Vec<_> = (0..3).map(|_| ring.sender().unwrap()).collect();
            all.iter_mut().for_each(|tx| std::mem::forget(tx.try_reserve(1).unwrap()));
            link.say(1);
            sleep_for_ever();
        });
        dead.hear();
        assert!(ring.sender().is_err(), "every place is taken");
        dead.kill();
        let at: Vec<_> =
            (2..5).filter(|place| *place != 2 + round).map(|place| looker(&name, place)).collect();
        at.iter().for_each(|lock| lock(nix::libc::F_RDLCK));
        let mut newcomer = ring.sender().unwrap();
        newcomer.try_send(b"here").unwrap();
        assert!(ring.sender().is_err(), "the other places are being swept");
        drop(newcomer);
        drop(at);
        let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
        all_slots_are_back(&mut tx, &mut rx);
    }
    drop((tx, rx));
}

#[test]
fn the_last_place_is_given_to_a_newcomer_though_somebody_looks_at_it() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(4, LONGEST).participants(2)).unwrap();
    let _rx = ring.receiver().unwrap();
    let lock = looker(&name, 1);
    until("somebody looked for no longer than a newcomer tries", || {
        lock(nix::libc::F_RDLCK);
        let start = Instant::now();
        let (came, looked) = std::thread::scope(|scope| {
            let looks = scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(5));
                lock(nix::libc::F_UNLCK);
                start.elapsed()
            });
            (ring.sender().map(drop), looks.join().unwrap())
        });
        // A newcomer tries for 50 ms, and then once more.
        let long = looked >= Duration::from_millis(50);
        assert!(came.is_ok() || long, "{came:?}, looked at for {looked:?}");
        !long
    });
}

#[test]
fn a_place_that_keeps_a_dead_peekers_message_is_given_to_the_next_receiver() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(4, LONGEST).participants(2)).unwrap();
    let mut tx = ring.sender().unwrap();
    tx.try_send(b"unfinished").unwrap();
    for round in 0..3 {
        let mut child = fork(|link| {
            let mut rx = Ring::open(&name.0).unwrap().into_receiver().unwrap();
            link.say(u64::from(rx.peek().unwrap().is_redelivered()));
            let _delivery = rx.peek().unwrap();
            sleep_for_ever();
        });
        assert_eq!(child.hear(), u64::from(round > 0));
        child.kill();
    }
    let mut rx = ring.receiver().unwrap();
    let delivery = rx.try_peek().unwrap();
    assert_eq!((&*delivery, delivery.is_redelivered()), (&b"unfinished"[..], true));
    delivery.ack();
    all_slots_are_back(&mut tx, &mut rx);
}

#[test]
fn a_forked_child_does_nothing_to_its_parents_handles() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(4, LONGEST)).unwrap();
    let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
    tx.try_send(b"1").unwrap();
    tx.try_send(b"2").unwrap();
    let delivery = rx.try_peek().unwrap();
    let grant = tx.try_reserve(8).unwrap();
    let mut dropped = Some((delivery, grant));
    fork(|_| drop(dropped.take())).join();
    let (delivery, grant) = dropped.unwrap();
    assert_eq!(&*delivery, b"1");
    delivery.ack();
    grant.commit(1).unwrap();
    fork(|_| {
        assert_eq!(tx.try_send(b"x"), Err(SendError::Forked));
        assert_eq!(tx.send(b"x"), Err(SendError::Forked));
        assert_eq!(tx.try_reserve(1).err(), Some(SendError::Forked));
        assert_eq!(tx.try_send_batch(&[b"x"]), Err(SendError::Forked));
        assert_eq!(tx.force_send(b"x"), Err((0, SendError::Forked)));
        assert_eq!(rx.try_recv(&mut []), Err(RecvError::Forked));
        assert_eq!(rx.try_frame().err(), Some(RecvError::Forked));
        assert_eq!(rx.peek().err(), Some(RecvError::Forked));
        assert_eq!(rx.recv_batch(1, |_| ()), Err(RecvError::Forked));
        assert!(tx.try_clone().is_err());
        drop((tx.clone(), rx.clone()));
    })
    .join();
    assert_eq!(recv(&mut rx).unwrap(), b"2");
    assert_eq!(recv(&mut rx).unwrap().len(), 1);
    all_slots_are_back(&mut tx, &mut rx);
}

/// Rounds of the storm below; a thousand of them are a matter of seconds.
fn rounds() -> u64 {
    std::env::var("SLIPRING_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

/// On the board: what each sender has sent, and which messages were received how often.
#[test]
fn killed_anywhere_nothing_committed_is_lost_and_every_slot_comes_back() {
    let _alone = alone();
    const SLOTS: usize = 4;
    const EACH: u64 = 1 << 16;
    let mut dice = Dice::new(rounds());
    let name = unique();
    let ring = Ring::create(&name.0, &Options::mpmc(SLOTS, LONGEST)).unwrap();
    for round in 0..rounds() {
        let received = Board::new(EACH as usize);
        let sent = Board::new(1);
        let mut victims: Vec<Child> = (0..2)
            .map(|kind| {
                fork(|link| {
                    let ring = Ring::open(&name.0).unwrap();
                    link.say(1);
                    if kind == 0 {
                        let mut tx = ring.into_sender().unwrap();
                        tx.set_strategy(WaitStrategy::Yield).unwrap();
                        for i in 0..EACH {
                            // The receiver may be dead already, and this one not yet.
                            if tx.send(&i.to_le_bytes()).is_err() {
                                break;
                            }
                            sent.set(0, i + 1);
                        }
                    } else {
                        let mut rx = ring.into_receiver().unwrap();
                        rx.set_strategy(WaitStrategy::Yield).unwrap();
                        while let Ok(message) = rx.peek() {
                            let i = u64::from_le_bytes(message[..8].try_into().unwrap());
                            received.add(i as usize, if message.is_redelivered() { 1 << 32 } else { 1 });
                            message.ack();
                        }
                    }
                    sleep_for_ever();
                })
            })
            .collect();
        victims.iter_mut().for_each(|victim| assert_eq!(victim.hear(), 1));
        std::thread::sleep(Duration::from_micros(dice.below(4000)));
        let first = dice.below(2) as usize;
        victims.swap_remove(first).shoot();
        std::thread::sleep(Duration::from_micros(dice.below(300)));
        victims.pop().unwrap().kill();
        let (mut tx, mut rx) = (ring.sender().unwrap(), ring.receiver().unwrap());
        tx.try_send(&u64::MAX.to_le_bytes()).ok();
        loop {
            match rx.peek_timeout(Duration::from_millis(1)) {
                Ok(message) => {
                    let i = u64::from_le_bytes(message[..8].try_into().unwrap());
                    if i != u64::MAX {
                        received.add(i as usize, if message.is_redelivered() { 1 << 32 } else { 1 });
                    }
                    message.ack();
                }
                Err(RecvError::TimedOut) => break,
                Err(other) => panic!("round {round}: {other}"),
            }
        }
        let sent = sent.get(0);
        for i in 0..EACH {
            let (plain, again) = (received.get(i as usize) & 0xffff_ffff, received.get(i as usize) >> 32);
            assert!(plain <= 1, "round {round}: message {i} of {sent} came {plain} times unflagged");
            assert!(again <= 1, "round {round}: message {i} of {sent} came {again} times flagged");
            if i < sent {
                assert!(plain + again > 0, "round {round}: message {i} of {sent} is lost");
            } else if i > sent {
                assert_eq!(plain + again, 0, "round {round}: message {i} of {sent} was never sent");
            }
        }
        all_slots_are_back(&mut tx, &mut rx);
    }
}
