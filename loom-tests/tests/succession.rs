//! Death and succession. A kill is modelled as the end of a handle's part without its good-bye, after which the
//! kernel frees its lease; a successor begins where the kernel has handed it the lease, which orders it after
//! everything that the dead one did. Where in a verb the kill strikes is the subject of the fault tests.

use loom::thread;
use slipring_loom::channel::Peer;
use slipring_loom::check;
use slipring_loom::error::RecvError;
use slipring_loom::event::WaitStrategy;
use slipring_loom::layout::{ATTACHED, CLOSED, CONSUMER, PRODUCER};
use slipring_loom::rig::{Rig, get, put, recv, try_recv};
use slipring_loom::ring::spsc::ConsumerSide;
use slipring_loom::sync::kill;

fn drain(rx: &mut ConsumerSide, tries: usize) -> Vec<u8> {
    (0..tries).filter_map(|_| get(rx)).map(|message| message[0]).collect()
}

#[test]
fn a_consumer_reads_everything_before_it_hears_of_the_death() {
    check(|run| {
        let ring = Rig::dense(64).mortal();
        let (mut tx, mut rx) = (ring.producer(), ring.consumer());
        // No clock runs, so only a poller learns of a death here; a sleeper does at the end of its slice.
        rx.set_strategy(WaitStrategy::Yield).unwrap();
        let kernel = ring.clone();
        let producer = thread::spawn(move || {
            tx.send(&[1]).unwrap();
            kernel.kill_producer(tx);
        });
        run.outcome((recv(&mut rx), recv(&mut rx)));
        producer.join().unwrap();
        kill(rx);
    })
    .reaches("(Ok([1]), Err(PeerDied { pid: 71 }))", "always: the message was sent before the death");
}

#[test]
fn a_trying_consumer_hears_of_the_death_after_the_last_message() {
    check(|run| {
        let ring = Rig::dense(64).mortal();
        let (mut tx, mut rx) = (ring.producer(), ring.consumer());
        let kernel = ring.clone();
        let producer = thread::spawn(move || {
            tx.send(&[1]).unwrap();
            kernel.kill_producer(tx);
        });
        let mut seen = vec![];
        for _ in 0..3 {
            seen.push(match try_recv(&mut rx) {
                Ok(message) => message[0],
                Err(RecvError::Empty) => 0,
                Err(RecvError::PeerDied { .. }) => 99,
                Err(other) => panic!("{other}"),
            });
        }
        producer.join().unwrap();
        run.outcome(seen);
        kill(rx);
    })
    .reaches("[0, 0, 0]", "before the message")
    .reaches("[0, 0, 1]", "the message at the third look")
    .reaches("[0, 1, 0]", "at the second, alive or not asked again")
    .reaches("[0, 1, 99]", "and dead at the third")
    .reaches("[1, 0, 0]", "at the first, alive when asked")
    .reaches("[1, 0, 99]", "and dead when asked: never before the message");
}

// The wake-up after a message has a full fence, unless fences are asymmetric. These two do without.

#[test]
fn a_good_bye_is_not_seen_before_the_last_message() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        let producer = thread::spawn(move || {
            assert!(put(&mut tx, &[1]));
            tx.view().header.parties[PRODUCER].close();
        });
        let closed = ring.party(PRODUCER).state() == CLOSED;
        run.outcome((closed, drain(&mut rx, 1)));
        producer.join().unwrap();
    })
    .reaches("(false, [])", "before the message")
    .reaches("(false, [1])", "before the good-bye")
    .reaches("(true, [1])", "after it");
}

#[test]
fn a_good_bye_is_not_seen_before_the_last_release() {
    check(|run| {
        let ring = Rig::dense(32);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        assert!(put(&mut tx, &[1; 8]));
        let consumer = thread::spawn(move || {
            assert_eq!(drain(&mut rx, 1), [1]);
            rx.view().header.parties[CONSUMER].close();
        });
        let closed = ring.party(CONSUMER).state() == CLOSED;
        run.outcome((closed, put(&mut tx, &[2; 8])));
        consumer.join().unwrap();
    })
    .reaches("(false, false)", "before the release")
    .reaches("(false, true)", "before the good-bye")
    .reaches("(true, true)", "after it: there is room");
}

#[test]
fn a_clean_close_is_never_taken_for_a_death() {
    check(|run| {
        let ring = Rig::dense(64).mortal();
        let (tx, rx) = (ring.producer(), ring.consumer());
        let producer = thread::spawn(move || drop(tx));
        run.outcome(rx.peer());
        producer.join().unwrap();
        kill(rx);
    })
    .reaches("Attached { pid: 71 }", "before the good-bye")
    .reaches("Closed", "after it, though the lease is freed only later");
}

#[test]
fn a_successor_that_is_there_is_never_taken_for_the_dead() {
    check(|run| {
        let ring = Rig::dense(64).mortal();
        let (tx, rx) = (ring.producer(), ring.consumer());
        let there = ring.clone();
        let producers = thread::spawn(move || {
            there.kill_producer(tx);
            kill(there.producer());
        });
        let seen = [rx.peer(), rx.peer()];
        producers.join().unwrap();
        assert_eq!(rx.peer(), Peer::Attached { pid: 71 }, "the successor lives");
        run.outcome(seen.map(|peer| matches!(peer, Peer::Died { .. })));
        kill(rx);
    })
    .reaches("[false, false]", "looked before the death or after the succession")
    .reaches("[false, true]", "the second look fell between them")
    .reaches("[true, false]", "the first did")
    .reaches("[true, true]", "both did");
}

#[test]
fn who_is_attached_has_said_since_when() {
    check(|run| {
        let ring = Rig::dense(64);
        let there = ring.clone();
        let producer = thread::spawn(move || kill(there.producer()));
        let attached = ring.party(PRODUCER).state() == ATTACHED;
        run.outcome((attached, if attached { ring.since(PRODUCER) } else { 0 }));
        producer.join().unwrap();
    })
    .reaches("(false, 0)", "before it attached")
    .reaches("(true, 1)", "after: the time is there");
}

#[test]
fn a_successor_producer_goes_on_behind_the_last_committed_record() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        assert!(put(&mut tx, &[1; 8]));
        let consumer = thread::spawn(move || {
            let got = drain(&mut rx, 3);
            (rx, got)
        });
        // Scribbles over where the second record will end, and dies before the commit of a third.
        assert!(put(&mut tx, &[2; 8]));
        let claim = tx.claim(8).expect("there is room");
        tx.write(&claim, &[99; 8]);
        drop(tx);
        let mut tx = ring.producer_side();
        // The last one takes bytes of the first, if that was released.
        let sent = [3, 4].into_iter().take_while(|&m| put(&mut tx, &[m; 8])).last();
        let (mut rx, early) = consumer.join().unwrap();
        let late = drain(&mut rx, 4);
        let all: Vec<_> = early.iter().chain(&late).copied().collect();
        assert_eq!(all, (1..=sent.unwrap()).collect::<Vec<_>>(), "nothing lost, doubled or torn");
        run.outcome((early.len(), sent.unwrap()));
    })
    .reaches("(1, 3)", "one was there from the start; its release came too late for the fourth")
    .reaches("(1, 4)", "in time")
    .reaches("(2, 3)", "the consumer followed up to the death, its releases too late")
    .reaches("(2, 4)", "in time")
    .reaches("(3, 3)", "it met the successor, its releases too late")
    .reaches("(3, 4)", "in time");
}

#[test]
fn a_successor_producer_may_reuse_what_was_released_before_it_came() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        for message in 1..=3 {
            assert!(put(&mut tx, &[message; 8]));
        }
        drop(tx);
        let consumer = thread::spawn(move || drain(&mut rx, 2));
        let mut tx = ring.producer_side();
        let sent = (4..=9).take_while(|&m| put(&mut tx, &[m; 8])).count();
        assert_eq!(consumer.join().unwrap(), [1, 2]);
        run.outcome(sent);
    })
    .reaches("0", "it came before any release")
    .reaches("1", "the first was released")
    .reaches("2", "both were");
}

#[test]
fn a_successor_consumer_begins_with_the_first_unreleased_record() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        let producer = thread::spawn(move || {
            let mut sent = 0;
            while sent < 4 && put(&mut tx, &[sent + 1; 8]) {
                sent += 1;
            }
            sent
        });
        let first = drain(&mut rx, 1);
        // Reads one more and dies before its release: at least once.
        let peeked = rx.find().expect("a sound ring");
        drop(rx);
        let mut rx = ring.consumer_side();
        let mut second = drain(&mut rx, 1);
        let sent = producer.join().unwrap();
        second.extend(drain(&mut rx, 4));
        assert!(!peeked || !second.is_empty(), "what was peeked at comes again");
        let all: Vec<_> = first.iter().chain(&second).copied().collect();
        assert_eq!(all, (1..=sent).collect::<Vec<_>>(), "nothing lost, doubled or torn");
        run.outcome((first.len(), sent));
    })
    .reaches("(0, 3)", "the first consumer found nothing; three fit")
    .reaches("(0, 4)", "it found nothing; its successor made room for the fourth")
    .reaches("(1, 3)", "the room that was made came too late")
    .reaches("(1, 4)", "in time");
}
