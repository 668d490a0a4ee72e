//! The SPSC ring alone: no wake-ups, so nothing orders anything but its own stores and loads. Every payload access is
//! watched by loom, so each of these models also says: no byte is read while it may be written.

use loom::thread;
use slipring_loom::check;
use slipring_loom::layout::Align::{Dense, Line};
use slipring_loom::layout::Wakeup;
use slipring_loom::rig::{Rig, get, put};
use slipring_loom::ring::observed_bytes;
use slipring_loom::ring::spsc::{ConsumerSide, ProducerSide};

/// What `tries` receives give, one number a message: its first byte; all its bytes must be the same.
fn drain(rx: &mut ConsumerSide, tries: usize) -> Vec<u8> {
    (0..tries).filter_map(|_| get(rx)).map(|message| whole(&message)).collect()
}

fn whole(message: &[u8]) -> u8 {
    assert!(message.iter().all(|&byte| byte == message[0]), "torn: {message:?}");
    message[0]
}

/// Sends messages of 8 bytes until one is refused.
fn fill(tx: &mut ProducerSide, messages: impl IntoIterator<Item = u8>) -> usize {
    messages.into_iter().take_while(|&m| put(tx, &[m; 8])).count()
}

#[test]
fn a_message_is_received_whole_or_not_at_all() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        let producer = thread::spawn(move || assert!(put(&mut tx, &[7; 20])));
        run.outcome(drain(&mut rx, 1));
        producer.join().unwrap();
    })
    .reaches("[]", "the receiver looked before the commit")
    .reaches("[7]", "after it");
}

#[test]
fn two_messages_arrive_in_order() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        let producer = thread::spawn(move || fill(&mut tx, [1, 2]));
        let got = drain(&mut rx, 3);
        assert_eq!(producer.join().unwrap(), 2, "there is room for two");
        run.outcome(got);
    })
    .reaches("[]", "the receiver looked before both commits")
    .reaches("[1]", "between them")
    .reaches("[1, 2]", "after both");
}

#[test]
fn a_full_ring_refuses_until_bytes_are_released() {
    check(|run| {
        let ring = Rig::dense(32);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        assert!(put(&mut tx, &[1; 8]), "there is room for one");
        let consumer = thread::spawn(move || {
            let got = drain(&mut rx, 2);
            (rx, got)
        });
        // The second lies behind the first; the third takes its very bytes.
        let sent = fill(&mut tx, [2, 3]);
        let (mut rx, mut got) = consumer.join().unwrap();
        got.extend(drain(&mut rx, 2));
        run.outcome((sent, got));
    })
    .reaches("(0, [1])", "no room yet for the second")
    .reaches("(1, [1, 2])", "the first was released in time")
    .reaches("(2, [1, 2, 3])", "and the second");
}

#[test]
fn reused_bytes_are_read_before_they_are_overwritten() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        // One long and one short record: the long one's release alone lets the fourth into its payload.
        assert!(put(&mut tx, &[1; 24]) && put(&mut tx, &[2; 8]), "there is room for both");
        let consumer = thread::spawn(move || drain(&mut rx, 1));
        let sent = fill(&mut tx, [3, 4]);
        assert_eq!(consumer.join().unwrap(), [1]);
        run.outcome(sent);
    })
    .reaches("0", "the first was not yet released")
    .reaches("2", "its bytes became the fourth");
}

#[test]
fn a_record_that_does_not_fit_before_the_end_appears_behind_a_pad() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        // 16 + 24 bytes: 24 remain before the end, the record of 32 goes to the start, over both.
        assert!(put(&mut tx, &[1; 8]) && put(&mut tx, &[2; 16]), "there is room for two");
        assert_eq!(drain(&mut rx, 2), [1, 2]);
        let producer = thread::spawn(move || {
            assert!(put(&mut tx, &[3; 24]), "all is released");
            tx
        });
        let early = drain(&mut rx, 2);
        let mut tx = producer.join().unwrap();
        // The places of all former headers now hold payload: the one behind the record must read 0 all the same.
        let late = drain(&mut rx, 2);
        assert!(put(&mut tx, &[4; 8]), "nothing is left unreleased");
        run.outcome((early, late, drain(&mut rx, 2)));
    })
    .reaches("([], [3], [4])", "the receiver looked before the pad")
    .reaches("([3], [], [4])", "after it");
}

#[test]
fn a_pad_is_seen_together_with_its_record() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        // At the start of the data stands the header of a message of another length.
        assert!(put(&mut tx, &[1; 12]) && put(&mut tx, &[2; 16]), "there is room for two");
        assert_eq!(drain(&mut rx, 2), [1, 2]);
        let producer = thread::spawn(move || put(&mut tx, &[3; 16]) && put(&mut tx, &[4; 8]));
        let got: Vec<_> = (0..3).filter_map(|_| get(&mut rx)).map(|m| (whole(&m), m.len())).collect();
        assert!(producer.join().unwrap(), "all is released");
        run.outcome(got);
    })
    .reaches("[]", "before the pad")
    .reaches("[(3, 16)]", "after the pad")
    .reaches("[(3, 16), (4, 8)]", "after both");
}

#[test]
fn a_short_commit_leaves_nothing_of_the_rest_behind() {
    check(|run| {
        let ring = Rig::dense(128);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        // After this one, the line of the next headers is cleared ahead.
        assert!(put(&mut tx, &[1; 8]), "there is room");
        let producer = thread::spawn(move || {
            let claim = tx.claim(40).expect("there is room");
            let _ = tx.lend();
            tx.write(&claim, &[2; 40]);
            tx.commit(claim, 4);
            assert!(put(&mut tx, &[3; 8]), "the rest was given back");
        });
        let got = drain(&mut rx, 3);
        producer.join().unwrap();
        run.outcome(got);
    })
    .reaches("[1]", "before the short one")
    .reaches("[1, 2]", "after it; what was written beyond its end is no header")
    .reaches("[1, 2, 3]", "after all");
}

#[test]
fn an_aborted_claim_is_never_seen() {
    check(|run| {
        let ring = Rig::dense(128);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        // After this one, the line of the next headers is cleared ahead.
        assert!(put(&mut tx, &[1; 8]), "there is room");
        let producer = thread::spawn(move || {
            let claim = tx.claim(40).expect("there is room");
            let _ = tx.lend();
            tx.write(&claim, &[9; 40]);
            // Forgotten: nothing of the ring knows of it.
            let _ = claim;
            fill(&mut tx, [2, 3])
        });
        let got = drain(&mut rx, 3);
        assert_eq!(producer.join().unwrap(), 2, "an aborted claim takes no room");
        run.outcome(got);
    })
    .reaches("[1]", "before both")
    .reaches("[1, 2]", "between them; the scribble is no header")
    .reaches("[1, 2, 3]", "after both");
}

#[test]
fn a_batch_appears_all_at_once() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        // Start at 40 of 64, so that the batch has its pad in the middle.
        assert!(put(&mut tx, &[1; 8]) && put(&mut tx, &[2; 16]), "there is room for two");
        assert_eq!(drain(&mut rx, 2), [1, 2]);
        let producer = thread::spawn(move || {
            let mut batch = tx.batch();
            for message in [vec![3; 8], vec![4; 8]] {
                let claim = tx.claim_in(&batch, message.len()).expect("there is room for two");
                tx.write(&claim, &message);
                tx.add(&mut batch, claim, message.len());
            }
            tx.commit_batch(batch);
        });
        // One look: then whatever is linked behind the first record.
        let mut got = vec![];
        let mut at = rx.head();
        while let Some(record) = rx.next_at(at).expect("a sound ring") {
            let mut message = vec![0; record.len];
            rx.read(record, &mut message);
            got.push(whole(&message));
            at = record.next;
        }
        rx.release(at);
        producer.join().unwrap();
        run.outcome(got);
    })
    .reaches("[]", "before the one store")
    .reaches("[3, 4]", "after it");
}

#[test]
fn an_aborted_batch_is_never_seen() {
    check(|run| {
        let ring = Rig::dense(128);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        // After this one, the line of the next headers is cleared ahead.
        assert!(put(&mut tx, &[1; 8]), "there is room");
        let producer = thread::spawn(move || {
            let mut batch = tx.batch();
            for message in [8, 9] {
                let claim = tx.claim_in(&batch, 8).expect("there is room for two");
                tx.write(&claim, &[message; 8]);
                tx.add(&mut batch, claim, 8);
            }
            let _ = batch;
            fill(&mut tx, [2])
        });
        let got = drain(&mut rx, 3);
        assert_eq!(producer.join().unwrap(), 1, "an aborted batch takes no room");
        run.outcome(got);
    })
    .reaches("[1]", "before the commit")
    .reaches("[1, 2]", "after it; the second header of the batch is gone");
}

#[test]
fn lines_cleared_ahead_are_clear_and_nobody_reads_them() {
    check(|run| {
        // Dense: whole lines are zeroed ahead of the tail, here the half of the ring that the consumer gives back.
        let ring = Rig::new(128, Dense, Wakeup::None);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        assert_eq!(fill(&mut tx, 1..=4), 4, "half a ring");
        let consumer = thread::spawn(move || {
            let got = drain(&mut rx, 4);
            (rx, got)
        });
        let sent = fill(&mut tx, 5..=10);
        let (mut rx, mut got) = consumer.join().unwrap();
        got.extend(drain(&mut rx, 9));
        assert_eq!(got, (1..=4 + sent as u8).collect::<Vec<_>>(), "all in order");
        run.outcome(sent);
    })
    .reaches("3", "nothing was released yet")
    .reaches("4", "the first record was")
    .reaches("5", "the second, too")
    .reaches("6", "all that were needed");
}

#[test]
fn headers_cleared_ahead_on_lines_of_their_own_are_clear() {
    check(|run| {
        let ring = Rig::new(256, Line, Wakeup::None);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        assert_eq!(fill(&mut tx, 1..=2), 2, "two of three");
        let consumer = thread::spawn(move || {
            let got = drain(&mut rx, 2);
            (rx, got)
        });
        let sent = fill(&mut tx, 3..=6);
        let (mut rx, mut got) = consumer.join().unwrap();
        got.extend(drain(&mut rx, 5));
        assert_eq!(got, (1..=2 + sent as u8).collect::<Vec<_>>(), "all in order");
        run.outcome(sent);
    })
    .reaches("1", "nothing was released yet")
    .reaches("2", "the first record was")
    .reaches("3", "the second, too");
}

#[test]
fn an_observer_counts_whole_records() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        // The words behind the next records hold headers of this lap.
        assert_eq!(fill(&mut tx, 1..=2), 2, "there is room");
        assert_eq!(drain(&mut rx, 2), [1, 2]);
        assert_eq!(fill(&mut tx, [3]), 1, "all is released");
        let producer = thread::spawn(move || assert_eq!(fill(&mut tx, [4]), 1, "there is room"));
        run.outcome(observed_bytes(&ring.view()));
        producer.join().unwrap();
    })
    .reaches("16", "before the second commit")
    .reaches("32", "after it; what stood behind it is cleared");
}

#[test]
fn laps_lose_nothing() {
    check(|run| {
        let ring = Rig::dense(32);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        let producer = thread::spawn(move || {
            let mut next = 1;
            for _ in 0..4 {
                next += u8::from(put(&mut tx, &[next; 8]));
            }
            next - 1
        });
        let mut got = drain(&mut rx, 4);
        let sent = producer.join().unwrap();
        got.extend(drain(&mut rx, 4));
        assert_eq!(got, (1..=sent).collect::<Vec<_>>(), "all in order");
        run.outcome(sent);
    })
    .reaches("1", "only the first found room")
    .reaches("2", "one was released in time")
    .reaches("3", "two were, a lap and a half")
    .reaches("4", "each was, two laps");
}
