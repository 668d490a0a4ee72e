//! Grants of MPMC rings whose place was passed over: sent elsewhere, or handed back, whole and once.

mod common;

use common::{LIMIT, alone, fork, is_asleep, until};
use nix::unistd::gettid;
use slipring::mpmc::{Grant, Receiver, Sender};
use slipring::{Options, Ring, SendError, Trust, Wakeup};
use std::thread;
use std::time::{Duration, Instant};

/// A ring, one whose grant is passed over, another sender, and a receiver.
fn ring(slots: usize, trust: Trust) -> (Ring, Sender, Sender, Receiver) {
    let ring = Ring::anonymous(&Options::mpmc(slots, 64).wakeup(Wakeup::Futex).trust(trust)).unwrap();
    let (slow, quick, rx) = (ring.sender().unwrap(), ring.sender().unwrap(), ring.receiver().unwrap());
    (ring, slow, quick, rx)
}

/// A grant with four bytes in it that the others have passed over.
fn passed_over<'a>(slow: &'a mut Sender, quick: &mut Sender, rx: &mut Receiver) -> Grant<'a> {
    let mut grant = slow.try_reserve(4).unwrap();
    grant.copy_from_slice(b"late");
    quick.try_send(b"0").unwrap();
    assert_eq!(rx.try_recv(&mut [0; 64]), Ok(1), "behind the grant");
    grant
}

/// How many fit.
fn fill(quick: &mut Sender) -> usize {
    std::iter::from_fn(|| quick.try_send(b"1").ok()).count()
}

fn messages(rx: &mut Receiver) -> Vec<Vec<u8>> {
    let mut buffer = [0; 64];
    std::iter::from_fn(|| rx.try_recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())).collect()
}

/// The grant that came back, its bytes as they were.
fn refused<'a>(committed: Result<(), (Grant<'a>, SendError)>, why: SendError) -> Grant<'a> {
    let (grant, error) = committed.unwrap_err();
    assert_eq!((&*grant, error), (&b"late"[..], why));
    grant
}

#[test]
fn a_grant_that_was_passed_over_comes_back_where_there_is_no_room_elsewhere() {
    let _alone = alone();
    for trust in [Trust::Kernel, Trust::Distrust] {
        let (_ring, mut slow, mut quick, mut rx) = ring(4, trust);
        let grant = passed_over(&mut slow, &mut quick, &mut rx);
        assert_eq!(fill(&mut quick), 3);
        let grant = refused(grant.try_commit(4), SendError::Full);
        let grant = refused(grant.try_commit(5), SendError::TooLarge { len: 5, max: 4 });
        let grant = refused(grant.commit_timeout(4, Duration::from_millis(2)), SendError::TimedOut);
        let grant = refused(grant.commit_deadline(4, Instant::now()), SendError::TimedOut);
        assert_eq!(rx.try_recv(&mut [0; 64]), Ok(1));
        grant.try_commit(4).unwrap();
        assert_eq!(messages(&mut rx), [&b"1"[..], b"1", b"late"], "once");
        // One that comes back may also be given up.
        let grant = passed_over(&mut slow, &mut quick, &mut rx);
        fill(&mut quick);
        drop(grant.try_commit(1).unwrap_err());
        assert_eq!(messages(&mut rx), [b"1"; 3]);
        assert_eq!(fill(&mut quick), 4, "all slots are back");
    }
}

#[test]
fn the_last_receiver_leaves_and_a_grant_that_comes_back_goes_to_its_successor() {
    let _alone = alone();
    for trust in [Trust::Kernel, Trust::Distrust] {
        let (ring, mut slow, mut quick, mut rx) = ring(4, trust);
        let grant = passed_over(&mut slow, &mut quick, &mut rx);
        fill(&mut quick);
        drop(rx);
        let grant = refused(grant.commit_timeout(4, LIMIT), SendError::Closed);
        let grant = refused(grant.try_commit(4), SendError::Full);
        let grant = refused(grant.commit_deadline(4, Instant::now() + LIMIT), SendError::Closed);
        let mut rx = ring.receiver().unwrap();
        assert_eq!(rx.try_recv(&mut [0; 64]), Ok(1));
        grant.commit_timeout(4, LIMIT).unwrap();
        assert_eq!(messages(&mut rx), [&b"1"[..], b"1", b"late"]);
        assert_eq!(fill(&mut quick), 4, "all slots are back");
    }
}

#[test]
fn a_forked_child_gets_its_parents_grant_back_untouched() {
    let _alone = alone();
    let (_ring, mut slow, mut quick, mut rx) = ring(4, Trust::Kernel);
    let mut grant = Some(passed_over(&mut slow, &mut quick, &mut rx));
    fork(|_| {
        let grant = refused(grant.take().unwrap().try_commit(4), SendError::Forked);
        drop(refused(grant.commit_timeout(4, LIMIT), SendError::Forked));
    })
    .join();
    grant.unwrap().try_commit(4).unwrap();
    assert_eq!(messages(&mut rx), [b"late"]);
    assert_eq!(fill(&mut quick), 4, "all slots are back");
}

#[test]
fn a_grant_that_comes_back_for_many_laps_is_sent_once() {
    let _alone = alone();
    for trust in [Trust::Kernel, Trust::Distrust] {
        for slots in [2, 4, 8, 16] {
            let (_ring, mut slow, mut quick, mut rx) = ring(slots, trust);
            let mut grant = passed_over(&mut slow, &mut quick, &mut rx);
            fill(&mut quick);
            for _ in 0..1000 {
                grant = refused(grant.try_commit(4), SendError::Full);
                assert_eq!(rx.try_recv(&mut [0; 64]), Ok(1));
                assert_eq!(fill(&mut quick), 1);
            }
            assert_eq!(rx.try_recv(&mut [0; 64]), Ok(1));
            grant.try_commit(4).unwrap();
            assert_eq!(messages(&mut rx).iter().filter(|message| *message == b"late").count(), 1);
            assert_eq!(fill(&mut quick), slots, "all slots are back");
        }
    }
}

/// Several threads with grants, each verb of commit, some given up; each message exactly once and whole.
#[test]
fn many_grants_that_come_back_are_each_sent_once() {
    let _alone = alone();
    for (round, trust) in [Trust::Kernel, Trust::Distrust].into_iter().cycle().take(12).enumerate() {
        let ring = Ring::anonymous(&Options::mpmc([2, 4, 8, 16][round % 4], 64).trust(trust)).unwrap();
        const EACH: u64 = 2000;
        let senders: Vec<_> = (0..3u64).map(|who| (who, ring.sender().unwrap())).collect();
        let receivers: Vec<_> = (0..2).map(|_| ring.receiver().unwrap()).collect();
        let mut got: Vec<u64> = thread::scope(|scope| {
            for (who, mut tx) in senders {
                scope.spawn(move || {
                    let mut dice = who * 7919 + round as u64 + 1;
                    let mut roll = || {
                        dice ^= dice << 13;
                        dice ^= dice >> 7;
                        dice ^= dice << 17;
                        dice
                    };
                    for seq in 0..EACH {
                        let id = who << 32 | seq;
                        'again: loop {
                            let mut grant = tx.reserve_timeout(64, LIMIT).unwrap();
                            for word in grant.chunks_exact_mut(8) {
                                word.copy_from_slice(&id.to_le_bytes());
                                if roll() % 16 == 0 {
                                    thread::yield_now();
                                }
                            }
                            loop {
                                let done = match roll() % 3 {
                                    0 => grant.try_commit(64),
                                    1 => grant.commit_timeout(64, Duration::from_micros(roll() % 200)),
                                    _ => grant.commit_deadline(64, Instant::now()),
                                };
                                match done {
                                    Ok(()) => break 'again,
                                    Err((same, error)) => {
                                        assert!(
                                            matches!(error, SendError::Full | SendError::TimedOut),
                                            "{error}"
                                        );
                                        assert!(same.chunks_exact(8).all(|w| w == id.to_le_bytes()));
                                        if roll() % 4 == 0 {
                                            drop(same);
                                            continue 'again;
                                        }
                                        grant = same;
                                    }
                                }
                            }
                        }
                    }
                });
            }
            let all: Vec<_> = receivers
                .into_iter()
                .map(|mut rx| {
                    scope.spawn(move || {
                        let (mut got, mut buffer) = (Vec::new(), [0; 64]);
                        while let Ok(len) = rx.recv(&mut buffer) {
                            assert_eq!(len, 64);
                            let id = u64::from_le_bytes(buffer[..8].try_into().unwrap());
                            assert!(buffer.chunks_exact(8).all(|w| w == id.to_le_bytes()), "torn");
                            got.push(id);
                            if id % 5 == 0 {
                                thread::yield_now();
                            }
                        }
                        got
                    })
                })
                .collect();
            all.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        let count = got.len();
        got.sort_unstable();
        got.dedup();
        assert_eq!((count, got.len()), (3 * EACH as usize, 3 * EACH as usize));
        let mut tx = ring.sender().unwrap();
        assert_eq!(fill(&mut tx), tx.slots(), "all slots are back");
    }
}

#[test]
fn a_commit_waits_for_room_as_long_as_it_is_told_to() {
    let _alone = alone();
    for ways in 0..3 {
        let (_ring, mut slow, mut quick, mut rx) = ring(2, Trust::Kernel);
        let grant = passed_over(&mut slow, &mut quick, &mut rx);
        fill(&mut quick);
        let (begin, short) = (Instant::now(), Duration::from_millis(5));
        let grant = refused(grant.commit_timeout(4, short), SendError::TimedOut);
        assert!(begin.elapsed() >= short);
        let deadline = Instant::now() + short;
        let grant = refused(grant.commit_deadline(4, deadline), SendError::TimedOut);
        assert!(Instant::now() >= deadline);
        thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let waiting = scope.spawn(move || {
                tell.send(gettid()).unwrap();
                match ways {
                    0 => grant.commit(4).unwrap(),
                    1 => grant.commit_timeout(4, LIMIT).unwrap(),
                    _ => grant.commit_deadline(4, Instant::now() + LIMIT).unwrap(),
                }
            });
            let waiter = told.recv().unwrap();
            until("it sleeps for room", || {
                assert!(!waiting.is_finished(), "it did not wait");
                is_asleep(waiter)
            });
            let mut buffer = [0; 64];
            assert_eq!(rx.try_recv(&mut buffer), Ok(1));
            assert_eq!(rx.recv_timeout(&mut buffer, LIMIT), Ok(4));
        });
        assert!(messages(&mut rx).is_empty());
    }
}
