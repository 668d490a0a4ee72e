//! Records behind two locks: what a reader may see of one, when its bytes may be written again, who is woken. A ring has 32
//! bytes here, which are two records of eight.

use loom::thread;
use slipring_loom::channel::lock::Who;
use slipring_loom::channel::stream::{Call, Stream};
use slipring_loom::rig::stream_view;
use slipring_loom::ring::records;
use slipring_loom::sync::Deadline;
use slipring_loom::view::PageView;
use slipring_loom::{check, check_bounded};

fn ring() -> PageView {
    stream_view(2, 16)
}

fn put(view: &PageView, byte: u8) -> bool {
    records::put(view, &[], &[byte; 8]).expect("a sound ring")
}

/// The next record's byte, if there is one.
fn take(view: &PageView) -> Option<u8> {
    let mut body = [0; 8];
    let taken = records::take(view, &mut [], &mut body, false).expect("a sound ring")?;
    assert_eq!((taken.full, body), (8, [body[0]; 8]), "torn");
    Some(body[0])
}

#[test]
fn a_record_is_received_whole_or_not_at_all() {
    check(|run| {
        let view = ring();
        let there = view.clone();
        let writer = thread::spawn(move || assert!(put(&there, 1)));
        run.outcome(take(&view));
        writer.join().unwrap();
    })
    .reaches("None", "the reader looked before the tail moved")
    .reaches("Some(1)", "after it");
}

#[test]
fn a_records_bytes_are_written_again_only_after_they_were_read() {
    check(|run| {
        let view = ring();
        assert!(put(&view, 1) && put(&view, 2));
        let there = view.clone();
        let reader = thread::spawn(move || take(&there));
        let room = put(&view, 3);
        assert_eq!(reader.join().unwrap(), Some(1));
        run.outcome((room, take(&view), take(&view)));
    })
    .reaches("(false, Some(2), None)", "before the head moved")
    .reaches("(true, Some(2), Some(3))", "after it");
}

#[test]
fn thrown_away_bytes_are_written_again_only_after_they_were_looked_at() {
    check(|run| {
        let view = ring();
        assert!(put(&view, 1) && put(&view, 2));
        let there = view.clone();
        let reader = thread::spawn(move || {
            let mut body = [0; 8];
            let looked_at = records::take(&there, &mut [], &mut body, true).expect("a sound ring");
            assert_eq!((looked_at.map(|taken| taken.full), body), (Some(8), [1; 8]));
            records::purge(&there).expect("a sound ring");
        });
        let room = put(&view, 3);
        reader.join().unwrap();
        run.outcome((room, take(&view)));
    })
    .reaches("(false, None)", "before the head moved")
    .reaches("(true, Some(3))", "after it");
}

#[test]
fn what_is_unread_is_counted_whole() {
    check(|run| {
        let view = ring();
        assert!(put(&view, 1));
        let there = view.clone();
        let writer = thread::spawn(move || assert!(put(&there, 2)));
        run.outcome(records::unread(&view, true).expect("a sound ring"));
        writer.join().unwrap();
    })
    .reaches("8", "before the second")
    .reaches("16", "after it");
}

fn call(me: u32) -> Call<'static> {
    Call { who: Who { me, lives: &|_| true }, alone: &|| false, patience: &|| Some(Deadline::NEVER) }
}

fn received(stream: &Stream) -> (usize, u8) {
    let mut body = [0; 16];
    let taken = stream.recv_record(&mut [], &mut body, false, &call(1)).unwrap().unwrap();
    assert!(body[..taken.len].iter().all(|&byte| byte == body[0]), "torn");
    (taken.full, body[0])
}

#[test]
fn a_waiting_receiver_wakes_when_a_record_comes() {
    check_bounded(3, |run| {
        let view = ring();
        let there = Stream::new(view.clone());
        let sender = thread::spawn(move || there.send_record(&[], &[1; 8], &call(2)));
        run.outcome(received(&Stream::new(view)));
        assert_eq!(sender.join().unwrap(), Ok(()));
    })
    .reaches(
        "(8, 1)",
        "always: it looks before it sleeps, and the sender looks for sleepers behind the tail",
    );
}

#[test]
fn a_waiting_sender_wakes_when_there_is_room_for_its_record() {
    check_bounded(3, |run| {
        let view = ring();
        assert!(put(&view, 1) && put(&view, 2));
        let there = Stream::new(view.clone());
        // Needs the bytes of both.
        let sender = thread::spawn(move || there.send_record(&[], &[3; 16], &call(2)));
        let stream = Stream::new(view);
        let three = [received(&stream), received(&stream), received(&stream)];
        assert_eq!(sender.join().unwrap(), Ok(()));
        run.outcome(three);
    })
    .reaches(
        "[(8, 1), (8, 2), (16, 3)]",
        "always: in the order of the ring, and the second head makes the room",
    );
}
