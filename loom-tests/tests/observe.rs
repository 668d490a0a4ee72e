//! What a bystander sees of a ring at work, with loads alone: a sound ring is blamed for nothing, whoever moves meanwhile.

use loom::thread;
use slipring_loom::layout::SlotKind::Reading;
use slipring_loom::rig::{self, Rig};
use slipring_loom::ring::observe::{self, Misfit};
use slipring_loom::slots::{SlotRig, get, message, put};
use slipring_loom::{check, check_bounded};

// --- records ---

#[test]
fn a_walk_counts_whole_records() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        for value in [1, 2] {
            assert!(rig::put(&mut tx, &[value; 8]));
            assert_eq!(rig::get(&mut rx), Some(vec![value; 8]));
        }
        assert!(rig::put(&mut tx, &[3; 8]));
        let producer = thread::spawn(move || assert!(rig::put(&mut tx, &[4; 8])));
        let chain = observe::chain(&ring.view());
        run.outcome((chain.messages, chain.fault));
        producer.join().unwrap();
    })
    .reaches("(1, None)", "before the second commit")
    .reaches("(2, None)", "after it; what stood behind it is cleared");
}

#[test]
fn a_walk_begins_at_a_header() {
    check_bounded(3, |run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        // Bytes that are no header, wherever one could be.
        for _ in 0..2 {
            assert!(rig::put(&mut tx, &[0xee; 24]));
            assert!(rig::get(&mut rx).is_some());
        }
        let other = thread::spawn(move || {
            for value in 1..3 {
                assert!(rig::put(&mut tx, &[value; 8]));
                assert!(rig::get(&mut rx).is_some());
            }
        });
        let chain = observe::chain(&ring.view());
        run.outcome((chain.messages, chain.fault));
        other.join().unwrap();
    })
    .reaches("(0, None)", "between the messages")
    .reaches("(1, None)", "one was there")
    .reaches("(2, None)", "the second came while the walk was at the first");
}

// --- slots ---

#[test]
fn a_length_is_there_when_the_message_is() {
    check(|run| {
        let ring = SlotRig::new(2);
        let mut tx = ring.side(1);
        let sender = thread::spawn(move || assert!(put(&mut tx, 7)));
        let (word, len) = observe::slot(&ring.view(), 0);
        run.outcome(observe::has_message(word).then_some(len));
        sender.join().unwrap();
    })
    .reaches("None", "before the commit")
    .reaches("Some(8)", "after it");
}

#[test]
fn a_length_is_that_of_the_message_or_of_the_next() {
    check(|run| {
        let ring = SlotRig::new(2);
        let (mut tx, mut rx) = (ring.side(1), ring.side(2));
        assert!(put(&mut tx, 1));
        let other = thread::spawn(move || {
            let taken = rx.take(Reading, 8).unwrap();
            rx.release(&taken);
            // Past the other slot, to the same one a lap later.
            let passed = tx.claim().unwrap();
            tx.abort(&passed);
            let claim = tx.claim().unwrap();
            tx.write(&claim, &message(2)[..3]);
            assert!(tx.commit(&claim, 3));
        });
        let view = ring.view();
        let (word, len) = observe::slot(&view, 0);
        let same = observe::slot(&view, 0).0 == word;
        other.join().unwrap();
        run.outcome(observe::has_message(word).then_some((word.lap(), len, same)));
    })
    .reaches("None", "between the two")
    .reaches("Some((1, 8, true))", "before the second")
    .reaches("Some((1, 8, false))", "the first, and it went")
    .reaches("Some((1, 3, false))", "the second's length behind the first's word")
    .reaches("Some((1, 3, true))", "the same: its length is seen before its word, and the word twice")
    .reaches("Some((2, 3, true))", "the second");
}

/// Looks at a ring at which somebody works, and at which the same or another goes on behind the pause: whether one look
/// alone would blame it, and what two do. Time passes in no model: the end of the first work, joined, stands for what the
/// pause gives, that nothing is seen any more that was overwritten before it.
fn look(ring: &SlotRig, work: thread::JoinHandle<()>, more: impl FnOnce() + 'static) -> (bool, Vec<Misfit>) {
    let (mut works, mut seemed) = (Some(work), false);
    let pause = || {
        seemed = true;
        works.take().unwrap().join().unwrap();
        works = Some(thread::spawn(more));
    };
    let (_, misfits) = observe::compare(&ring.view(), pause);
    works.unwrap().join().unwrap();
    (seemed, misfits)
}

#[test]
fn a_bystander_blames_no_sound_ring() {
    check_bounded(3, |run| {
        let ring = SlotRig::new(2);
        let (mut tx, mut rx) = (ring.side(1), ring.side(2));
        let (mut late_tx, mut late_rx) = (ring.side(3), ring.side(4));
        let work = thread::spawn(move || {
            assert!(put(&mut tx, 1));
            assert_eq!(get(&mut rx), Some(1));
        });
        let more = move || {
            assert!(put(&mut late_tx, 2));
            assert_eq!(get(&mut late_rx), Some(2));
        };
        run.outcome(look(&ring, work, more));
    })
    .reaches("(false, [])", "it fits")
    .reaches("(true, [])", "a word was seen late: at the second look it is not");
}

#[test]
fn a_bystander_blames_no_ring_in_which_a_writer_is_passed_over() {
    check_bounded(3, |run| {
        let ring = SlotRig::new(2);
        let (mut slow, mut tx, mut rx) = (ring.side(1), ring.side(2), ring.side(3));
        let mut late = ring.side(4);
        let claim = slow.claim().unwrap();
        let work = thread::spawn(move || {
            assert!(put(&mut tx, 1));
            assert_eq!(get(&mut rx), Some(1));
        });
        let more = move || {
            assert!(!slow.commit(&claim, 0), "passed over");
            slow.give_back(&claim);
            assert!(put(&mut late, 2));
        };
        run.outcome(look(&ring, work, more));
    })
    .reaches("(false, [])", "it fits")
    .reaches("(true, [])", "a word was seen late: at the second look it is not");
}
