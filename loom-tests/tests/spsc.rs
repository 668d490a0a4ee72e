//! The SPSC ring alone: no wake-ups, so no fences but its own orderings.

use loom::thread;
use slipring_loom::check;
use slipring_loom::rig::{Rig, get, put};

#[test]
fn a_message_is_received_whole_or_not_at_all() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        let producer = thread::spawn(move || put(&mut tx, &[7; 12]));
        run.outcome(get(&mut rx).map(|m| m == [7; 12]));
        producer.join().unwrap();
    })
    .reaches("None", "the receiver looked before the commit")
    .reaches("Some(true)", "after it");
}

#[test]
fn two_messages_arrive_in_order() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer_side(), ring.consumer_side());
        let producer = thread::spawn(move || put(&mut tx, &[1]) && put(&mut tx, &[2]));
        let got: Vec<u8> = (0..3).filter_map(|_| get(&mut rx)).flatten().collect();
        assert!(producer.join().unwrap(), "there is room for two");
        run.outcome(got);
    })
    .reaches("[]", "the receiver looked before both commits")
    .reaches("[1]", "between them")
    .reaches("[1, 2]", "after both");
}
