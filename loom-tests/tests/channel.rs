//! Handles that wait for each other. No clock runs: who is not woken sleeps for ever, and loom reports the deadlock.

use loom::thread;
use slipring_loom::channel::spsc::{Consumer, Producer};
use slipring_loom::error::{RecvError, SendError};
use slipring_loom::layout::{Align, Wakeup};
use slipring_loom::rig::{Rig, recv, try_recv};
use slipring_loom::sync::kill;
use slipring_loom::{check, check_bounded};
use std::time::Duration;

fn ring(capacity: u64, wakeup: Wakeup) -> (Producer, Consumer) {
    let ring = Rig::new(capacity, Align::Dense, wakeup);
    (ring.producer(), ring.consumer())
}

/// Ends a handle's part in the model without the good-bye of its drop, which is the subject of other models.
fn done(handle: impl Sized) {
    kill(handle);
}

fn numbers(messages: impl IntoIterator<Item = Result<Vec<u8>, RecvError>>) -> Vec<Result<u8, RecvError>> {
    messages.into_iter().map(|message| message.map(|bytes| bytes[0])).collect()
}

fn a_waiting_consumer_wakes(wakeup: Wakeup) {
    check(move |run| {
        let (mut tx, mut rx) = ring(64, wakeup);
        let producer = thread::spawn(move || {
            tx.send(&[1]).unwrap();
            done(tx);
        });
        run.outcome(recv(&mut rx));
        producer.join().unwrap();
        done(rx);
    })
    .reaches("Ok([1])", "always: found at once, before falling asleep, or woken");
}

#[test]
fn a_consumer_waiting_on_a_futex_wakes() {
    a_waiting_consumer_wakes(Wakeup::Futex);
}

#[test]
fn a_consumer_waiting_on_a_semaphore_wakes() {
    a_waiting_consumer_wakes(Wakeup::Semaphore);
}

#[test]
fn a_consumer_without_wake_up_object_polls() {
    a_waiting_consumer_wakes(Wakeup::None);
}

fn a_waiting_producer_wakes(wakeup: Wakeup) {
    check(move |run| {
        let (mut tx, mut rx) = ring(32, wakeup);
        tx.try_send(&[1; 8]).unwrap();
        let producer = thread::spawn(move || {
            let sent = tx.send(&[2; 8]);
            (tx, sent)
        });
        let first = try_recv(&mut rx);
        let (tx, sent) = producer.join().unwrap();
        run.outcome((sent, numbers([first, try_recv(&mut rx)])));
        done((tx, rx));
    })
    .reaches("(Ok(()), [Ok(1), Ok(2)])", "always: room found at once, before falling asleep, or woken");
}

#[test]
fn a_producer_waiting_on_a_futex_wakes() {
    a_waiting_producer_wakes(Wakeup::Futex);
}

#[test]
fn a_producer_waiting_on_a_semaphore_wakes() {
    a_waiting_producer_wakes(Wakeup::Semaphore);
}

#[test]
fn a_producer_without_wake_up_object_polls() {
    a_waiting_producer_wakes(Wakeup::None);
}

#[test]
fn two_that_wait_for_each_other_both_go_on() {
    check_bounded(3, |run| {
        let (mut tx, mut rx) = ring(32, Wakeup::Futex);
        let producer = thread::spawn(move || {
            for message in 1..=3 {
                tx.send(&[message; 8]).unwrap();
            }
            done(tx);
        });
        run.outcome(numbers((0..3).map(|_| recv(&mut rx))));
        producer.join().unwrap();
        done(rx);
    })
    .reaches("[Ok(1), Ok(2), Ok(3)]", "always: one message fits, so each waits for the other's verb");
}

/// Seven messages fill the ring, and the producer asks to be woken when half of it is free: by the third release at the
/// earliest, and by the last one at the latest, since then the consumer sleeps.
fn a_producer_woken_late_is_woken(wakeup: Wakeup) {
    check_bounded(3, move |run| {
        let (mut tx, mut rx) = ring(128, wakeup);
        for message in 1..=7 {
            tx.try_send(&[message; 8]).unwrap();
        }
        let consumer = thread::spawn(move || {
            let got = numbers((0..8).map(|_| recv(&mut rx)));
            done(rx);
            got
        });
        run.outcome(tx.send(&[8; 8]));
        assert_eq!(consumer.join().unwrap(), [1, 2, 3, 4, 5, 6, 7, 8].map(Ok));
        done(tx);
    })
    .reaches("Ok(())", "always: who asks to be woken late is woken by the last release at the latest");
}

#[test]
fn a_producer_on_a_futex_woken_late_is_woken() {
    a_producer_woken_late_is_woken(Wakeup::Futex);
}

#[test]
fn a_producer_on_a_semaphore_woken_late_is_woken() {
    a_producer_woken_late_is_woken(Wakeup::Semaphore);
}

/// It asks for more than half of the ring, and what lies before the end of the data must be skipped.
#[test]
fn a_producer_with_a_long_message_at_the_end_of_the_data_is_woken() {
    check_bounded(3, |run| {
        let (mut tx, mut rx) = ring(128, Wakeup::Futex);
        for message in 1..=5 {
            tx.try_send(&[message; 8]).unwrap();
        }
        let consumer = thread::spawn(move || {
            let got = numbers((0..6).map(|_| recv(&mut rx)));
            done(rx);
            got
        });
        run.outcome(tx.send(&[6; 56]));
        assert_eq!(consumer.join().unwrap(), [1, 2, 3, 4, 5, 6].map(Ok));
        done(tx);
    })
    .reaches("Ok(())", "always: when all is read at the latest");
}

/// An earlier wait asked for more than the next one needs, and was given up.
#[test]
fn what_was_asked_for_by_a_wait_given_up_hides_nothing() {
    check_bounded(3, |run| {
        let (mut tx, mut rx) = ring(64, Wakeup::Futex);
        for message in 1..=3 {
            tx.try_send(&[message; 8]).unwrap();
        }
        assert_eq!(tx.wait_drained(Some(Duration::ZERO)), Err(SendError::TimedOut));
        let consumer = thread::spawn(move || {
            let got = numbers((0..4).map(|_| recv(&mut rx)));
            done(rx);
            got
        });
        run.outcome(tx.send(&[4; 8]));
        assert_eq!(consumer.join().unwrap(), [1, 2, 3, 4].map(Ok));
        done(tx);
    })
    .reaches("Ok(())", "always: whatever of the two positions is read, an emptied ring is there");
}

#[test]
fn releasing_a_frame_wakes_the_producer() {
    check(|run| {
        let (mut tx, mut rx) = ring(32, Wakeup::Futex);
        tx.try_send(&[1; 8]).unwrap();
        let producer = thread::spawn(move || {
            let sent = tx.send(&[2; 8]);
            done(tx);
            sent
        });
        let frame = rx.try_frame().unwrap();
        frame.keep();
        let frame = rx.try_frame().unwrap();
        let got = frame.to_vec();
        frame.release();
        let sent = producer.join().unwrap();
        run.outcome((sent, got[0]));
        done(rx);
    })
    .reaches("(Ok(()), 1)", "always: a kept frame stays first and takes its room, a released one gives it");
}

#[test]
fn a_kept_frame_is_not_overwritten() {
    check(|run| {
        let (mut tx, mut rx) = ring(32, Wakeup::None);
        tx.try_send(&[1; 8]).unwrap();
        let producer = thread::spawn(move || {
            let sent = tx.try_send(&[2; 8]).is_ok() && tx.try_send(&[3; 8]).is_ok();
            done(tx);
            sent
        });
        let frame = rx.try_frame().unwrap();
        assert_eq!(*frame, [1; 8]);
        frame.keep();
        let frame = rx.try_frame().unwrap();
        assert_eq!(*frame, [1; 8], "the same again");
        frame.keep();
        assert!(!producer.join().unwrap(), "no room was given");
        run.outcome(numbers([try_recv(&mut rx), try_recv(&mut rx)]));
        done(rx);
    })
    .reaches("[Ok(1), Err(Empty)]", "always: nothing was released, so nothing was sent behind it");
}

// One long and one short message. The next does not fit before the end of the data, so it goes into the payload of the
// long one as soon as that is released, before any wake-up's fence could order the two sides.

fn bytes_are_reused_only_when_they_were_read(read: fn(&mut Consumer)) {
    check(move |run| {
        let (mut tx, mut rx) = ring(64, Wakeup::None);
        tx.try_send(&[1; 24]).unwrap();
        tx.try_send(&[2; 8]).unwrap();
        let producer = thread::spawn(move || {
            let sent = tx.try_send(&[3; 16]);
            done(tx);
            sent
        });
        read(&mut rx);
        run.outcome(producer.join().unwrap());
        done(rx);
    })
    .reaches("Err(Full)", "the first was not yet released")
    .reaches("Ok(())", "its bytes became the third");
}

#[test]
fn a_received_message_is_copied_before_its_bytes_are_reused() {
    bytes_are_reused_only_when_they_were_read(|rx| assert_eq!(try_recv(rx).unwrap(), [1; 24]));
}

#[test]
fn a_frame_is_read_before_its_bytes_are_reused() {
    bytes_are_reused_only_when_they_were_read(|rx| assert_eq!(*rx.try_frame().unwrap(), [1; 24]));
}

#[test]
fn a_batch_is_read_before_its_bytes_are_reused() {
    bytes_are_reused_only_when_they_were_read(|rx| {
        let mut batch = rx.try_batch(1).unwrap();
        assert_eq!(batch.next().unwrap().unwrap(), [1; 24]);
        assert!(batch.next().unwrap().is_none(), "one was asked for");
    });
}

#[test]
fn a_received_batch_gives_its_room_at_once() {
    check(|run| {
        let (mut tx, mut rx) = ring(64, Wakeup::Futex);
        for message in 1..=3 {
            tx.try_send(&[message; 8]).unwrap();
        }
        let producer = thread::spawn(move || {
            // The first fits when one is released; the second takes its bytes, and needs two.
            let sent = tx.send(&[4; 8]).and_then(|()| tx.send(&[5; 8]));
            done(tx);
            sent
        });
        let mut batch = rx.try_batch(2).unwrap();
        let mut got = vec![];
        while let Some(message) = batch.next().unwrap() {
            got.push(message[0]);
        }
        drop(batch);
        let sent = producer.join().unwrap();
        run.outcome((sent, got, numbers((0..3).map(|_| try_recv(&mut rx)))));
        done(rx);
    })
    .reaches(
        "(Ok(()), [1, 2], [Ok(3), Ok(4), Ok(5)])",
        "always: both are given by one store and one wake-up",
    );
}

#[test]
fn a_sent_batch_wakes_once_and_is_seen_whole() {
    check(|run| {
        let (mut tx, mut rx) = ring(64, Wakeup::Futex);
        let producer = thread::spawn(move || {
            let mut batch = tx.batch().unwrap();
            batch.push(&[1; 8]).unwrap();
            batch.push(&[2; 8]).unwrap();
            assert_eq!(batch.commit(), 2);
            done(tx);
        });
        let mut batch = rx.batch(9).unwrap();
        let mut got = vec![];
        while let Some(message) = batch.next().unwrap() {
            got.push(message[0]);
        }
        drop(batch);
        run.outcome(got);
        producer.join().unwrap();
        done(rx);
    })
    .reaches("[1, 2]", "always both");
}

#[test]
fn a_grant_filled_in_place_is_read_in_place() {
    check(|run| {
        let (mut tx, mut rx) = ring(64, Wakeup::None);
        let producer = thread::spawn(move || {
            let mut grant = tx.try_reserve(20).unwrap();
            grant.fill(9);
            grant.abort();
            let mut grant = tx.try_reserve(20).unwrap();
            grant[..4].fill(1);
            grant.commit(4).unwrap();
            done(tx);
        });
        let got = match rx.try_frame() {
            Ok(frame) => Ok(frame.to_vec()),
            Err(empty) => Err(empty),
        };
        run.outcome((got, try_recv(&mut rx)));
        producer.join().unwrap();
        done(rx);
    })
    .reaches("(Err(Empty), Err(Empty))", "before the commit")
    .reaches("(Err(Empty), Ok([1, 1, 1, 1]))", "the second look was after it")
    .reaches("(Ok([1, 1, 1, 1]), Err(Empty))", "after it, and nothing of the aborted grant behind it");
}

#[test]
fn distrusting_peers_copy_and_see_the_same() {
    check(|run| {
        let ring = Rig::dense(32).distrusting();
        let (mut tx, mut rx) = (ring.producer(), ring.consumer());
        let producer = thread::spawn(move || {
            let mut sent = 0;
            for message in 1..=3 {
                if let Ok(mut grant) = tx.try_reserve(8) {
                    grant.fill(message);
                    grant.commit_all();
                    sent = message;
                } else {
                    break;
                }
            }
            done(tx);
            sent
        });
        let first = rx.try_frame().map(|frame| frame[7]).ok();
        let sent = producer.join().unwrap();
        let rest: Vec<_> = std::iter::from_fn(|| rx.try_frame().map(|frame| frame[7]).ok()).collect();
        run.outcome((first, sent, rest));
        done(rx);
    })
    .reaches("(None, 1, [1])", "the look was before the commit")
    .reaches("(Some(1), 1, [])", "the second found no room")
    .reaches("(Some(1), 2, [2])", "it did; a third never fits");
}

#[test]
fn a_time_out_loses_nothing() {
    check(|run| {
        let (mut tx, mut rx) = ring(64, Wakeup::Futex);
        let producer = thread::spawn(move || {
            tx.send(&[1]).unwrap();
            done(tx);
        });
        let mut buffer = [0; 8];
        let first = rx.recv_timeout(&mut buffer, Duration::from_secs(1));
        producer.join().unwrap();
        run.outcome((first, try_recv(&mut rx)));
        done(rx);
    })
    .reaches("(Err(TimedOut), Ok([1]))", "it came after the deadline")
    .reaches("(Ok(1), Err(Empty))", "in time");
}

#[test]
fn a_waiting_consumer_reads_everything_before_it_hears_of_the_close() {
    check_bounded(4, |run| {
        let (mut tx, mut rx) = ring(64, Wakeup::Futex);
        let producer = thread::spawn(move || {
            tx.send(&[1]).unwrap();
            drop(tx);
        });
        run.outcome(numbers([recv(&mut rx), recv(&mut rx)]));
        producer.join().unwrap();
        done(rx);
    })
    .reaches("[Ok(1), Err(Closed)]", "always: the close wakes a sleeper as a message does");
}

#[test]
fn a_polling_consumer_reads_everything_before_it_hears_of_the_close() {
    check(|run| {
        let (mut tx, mut rx) = ring(64, Wakeup::None);
        let producer = thread::spawn(move || {
            tx.send(&[1]).unwrap();
            drop(tx);
        });
        run.outcome(numbers([try_recv(&mut rx), try_recv(&mut rx)]));
        producer.join().unwrap();
        done(rx);
    })
    .reaches("[Err(Empty), Err(Empty)]", "before the message")
    .reaches("[Err(Empty), Ok(1)]", "between the looks")
    .reaches("[Ok(1), Err(Empty)]", "before the close")
    .reaches("[Ok(1), Err(Closed)]", "after it: never before the message");
}

fn a_waiting_producer_hears_of_the_close(wakeup: Wakeup) {
    check(move |run| {
        let (mut tx, rx) = ring(32, wakeup);
        tx.try_send(&[1; 8]).unwrap();
        let consumer = thread::spawn(move || drop(rx));
        run.outcome(tx.send(&[2; 8]));
        consumer.join().unwrap();
        done(tx);
    })
    .reaches("Err(Closed)", "always: there is no room and nobody to make some");
}

#[test]
fn a_producer_waiting_on_a_futex_hears_of_the_close() {
    a_waiting_producer_hears_of_the_close(Wakeup::Futex);
}

#[test]
fn a_producer_waiting_on_a_semaphore_hears_of_the_close() {
    a_waiting_producer_hears_of_the_close(Wakeup::Semaphore);
}

#[test]
fn a_polling_producer_hears_of_the_close() {
    a_waiting_producer_hears_of_the_close(Wakeup::None);
}

#[test]
fn a_producer_that_waits_until_all_is_read_goes_on() {
    check(|run| {
        let (mut tx, mut rx) = ring(64, Wakeup::Futex);
        tx.try_send(&[1]).unwrap();
        tx.try_send(&[2]).unwrap();
        let consumer = thread::spawn(move || {
            let got = numbers([try_recv(&mut rx), try_recv(&mut rx)]);
            done(rx);
            got
        });
        run.outcome((tx.wait_drained(None), tx.approx_len()));
        assert_eq!(consumer.join().unwrap(), [Ok(1), Ok(2)]);
        done(tx);
    })
    .reaches("(Ok(()), 0)", "always: it goes on when both are read, and not before");
}

#[test]
fn a_full_ring_reports_full_and_never_closed_while_the_consumer_is_there() {
    check(|run| {
        let (mut tx, mut rx) = ring(32, Wakeup::Futex);
        tx.try_send(&[1; 8]).unwrap();
        let consumer = thread::spawn(move || {
            let got = try_recv(&mut rx);
            done(rx);
            got
        });
        let sent = tx.send_timeout(&[2; 8], Duration::from_secs(1));
        assert!(consumer.join().unwrap().is_ok());
        run.outcome(sent.map_err(|why| why == SendError::TimedOut));
        done(tx);
    })
    .reaches("Err(true)", "no room until the deadline")
    .reaches("Ok(())", "room in time");
}
