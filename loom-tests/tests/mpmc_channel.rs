//! Senders and receivers that wait for each other. No clock runs: who is not woken sleeps for ever, and loom reports the
//! deadlock. Two slots, but where a model says otherwise.

use loom::thread;
use slipring_loom::channel::mpmc::Receiver;
use slipring_loom::error::{RecvError, SendError};
use slipring_loom::event::WaitStrategy;
use slipring_loom::layout::SlotKind::{Pinned, Writing};
use slipring_loom::layout::{SlotWord, Wakeup};
use slipring_loom::slots::{LONGEST, SlotRig, message, recv, try_recv, value};
use slipring_loom::sync::Ordering::Relaxed;
use slipring_loom::sync::kill;
use slipring_loom::{check, check_bounded};

/// Ends handles' part in the model without the good-bye of their drop, which is the subject of other models.
fn done(handles: impl Sized) {
    kill(handles);
}

/// What is left in the ring, asked of a receiver that was there before.
fn rest(rx: &mut Receiver) -> Vec<u8> {
    std::iter::from_fn(|| try_recv(rx).ok()).collect()
}

fn a_waiting_receiver_wakes(wakeup: Wakeup) {
    check(move |run| {
        let ring = SlotRig::with(2, 2, wakeup);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        let sender = thread::spawn(move || {
            tx.send(&message(1)).unwrap();
            done(tx);
        });
        run.outcome(recv(&mut rx));
        sender.join().unwrap();
        done(rx);
    })
    .reaches("Ok(1)", "always: found at once, before falling asleep, or woken");
}

#[test]
fn a_receiver_waiting_on_a_futex_wakes() {
    a_waiting_receiver_wakes(Wakeup::Futex);
}

#[test]
fn a_receiver_waiting_on_a_semaphore_wakes() {
    a_waiting_receiver_wakes(Wakeup::Semaphore);
}

#[test]
fn a_receiver_without_wake_up_object_polls() {
    a_waiting_receiver_wakes(Wakeup::None);
}

fn a_waiting_sender_wakes(wakeup: Wakeup) {
    check_bounded(3, move |run| {
        let ring = SlotRig::with(2, 2, wakeup);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        tx.try_send(&message(2)).unwrap();
        let sender = thread::spawn(move || {
            tx.send(&message(3)).unwrap();
            done(tx);
        });
        let first = try_recv(&mut rx);
        sender.join().unwrap();
        run.outcome((first, rest(&mut rx)));
        done(rx);
    })
    .reaches("(Ok(1), [2, 3])", "always: room found at once, before falling asleep, or woken");
}

#[test]
fn a_sender_waiting_on_a_futex_wakes() {
    a_waiting_sender_wakes(Wakeup::Futex);
}

#[test]
fn a_sender_waiting_on_a_semaphore_wakes() {
    a_waiting_sender_wakes(Wakeup::Semaphore);
}

#[test]
fn two_that_wait_for_each_other_both_go_on() {
    // Bound 2: with 3 it is not done in 15 s of processor time.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        let sender = thread::spawn(move || {
            for value in 1..=4 {
                tx.send(&message(value)).unwrap();
            }
            done(tx);
        });
        run.outcome([(); 4].map(|()| recv(&mut rx).unwrap()));
        sender.join().unwrap();
        done(rx);
    })
    .reaches("[1, 2, 3, 4]", "always: two fit, so each waits for the other's verb");
}

fn two_waiting_receivers_both_wake(wakeup: Wakeup) {
    // Bound 1: with 2 it is not done in 15 s of processor time.
    check_bounded(1, move |run| {
        let ring = SlotRig::with(2, 3, wakeup);
        let (mut tx, rx, mut mine) = (ring.sender(), ring.receiver(), ring.receiver());
        let other = thread::spawn(move || {
            let mut rx = rx;
            let got = recv(&mut rx);
            done(rx);
            got
        });
        let sender = thread::spawn(move || {
            tx.send(&message(1)).unwrap();
            tx.send(&message(2)).unwrap();
            done(tx);
        });
        let got = recv(&mut mine);
        run.outcome((got, other.join().unwrap()));
        sender.join().unwrap();
        done(mine);
    })
    .reaches("(Ok(1), Ok(2))", "a message for each")
    .reaches("(Ok(2), Ok(1))", "the other way round");
}

#[test]
fn two_receivers_waiting_on_a_futex_both_wake() {
    two_waiting_receivers_both_wake(Wakeup::Futex);
}

#[test]
fn two_receivers_waiting_on_a_semaphore_both_wake() {
    two_waiting_receivers_both_wake(Wakeup::Semaphore);
}

#[test]
fn two_waiting_senders_both_wake() {
    // Bound 1: with 2 it is not done in 15 s of processor time.
    check_bounded(1, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::Futex);
        let (tx, mut mine, mut rx) = (ring.sender(), ring.sender(), ring.receiver());
        mine.try_send(&message(1)).unwrap();
        mine.try_send(&message(2)).unwrap();
        let other = thread::spawn(move || {
            let mut tx = tx;
            tx.send(&message(3)).unwrap();
            done(tx);
        });
        let receiver = thread::spawn(move || {
            let got = [try_recv(&mut rx), try_recv(&mut rx)];
            assert_eq!(got, [Ok(1), Ok(2)]);
            rx
        });
        mine.send(&message(4)).unwrap();
        other.join().unwrap();
        let mut rx = receiver.join().unwrap();
        run.outcome(rest(&mut rx));
        done((mine, rx));
    })
    .reaches("[3, 4]", "room for each")
    .reaches("[4, 3]", "the other way round");
}

#[test]
fn slots_that_come_back_out_of_order_wake_each_sleeping_sender() {
    // Bound 2: with 3 it is not done in 15 s of processor time.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 5, Wakeup::Futex);
        // Boxed: the stacks of a model are small.
        let [mut first, mut second, one, two] = [(); 4].map(|()| Box::new(ring.sender()));
        let mut rx = ring.receiver();
        let (former, later) = (first.try_reserve(8).unwrap(), second.try_reserve(8).unwrap());
        let waiting = [(one, 3), (two, 4)].map(|(mut tx, value)| {
            thread::spawn(move || {
                tx.send(&message(value)).unwrap();
                done(tx);
            })
        });
        later.abort();
        // Who was woken by that finds the next slot still taken.
        thread::yield_now();
        former.abort();
        for sender in waiting {
            sender.join().unwrap();
        }
        run.outcome(rest(&mut rx));
        done((first, second, rx));
    })
    .reaches("[3, 4]", "room for each")
    .reaches("[4, 3]", "the other way round");
}

#[test]
fn a_message_of_an_impossible_length_makes_room_for_a_sender() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        let mut hostile = ring.side(0);
        let claim = hostile.claim().unwrap();
        assert!(hostile.commit(&claim, LONGEST + 1));
        tx.try_send(&message(2)).unwrap();
        let waiting = thread::spawn(move || {
            tx.send(&message(3)).unwrap();
            done(tx);
        });
        let corrupt = matches!(try_recv(&mut rx), Err(RecvError::Corrupt(_)));
        waiting.join().unwrap();
        run.outcome((corrupt, rest(&mut rx)));
        done(rx);
    })
    .reaches("(true, [2, 3])", "always: the first is gone");
}

#[test]
fn a_message_of_an_impossible_length_is_never_lent() {
    check(|run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (tx, mut rx) = (ring.sender(), ring.receiver());
        let mut hostile = ring.side(0);
        let claim = hostile.claim().unwrap();
        assert!(hostile.commit(&claim, LONGEST + 1));
        let lent = rx.try_frame().map(|frame| frame.len());
        run.outcome(matches!(lent, Err(RecvError::Corrupt(_))));
        done(tx);
        done(rx);
    })
    .reaches("true", "always: it is gone, and its slot free");
}

#[test]
fn a_waiting_receivers_impossible_message_makes_room_for_a_sender() {
    // Bound 2: with 3 it takes more than a few seconds.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 4, Wakeup::Futex);
        let (mut tx, mut reader, mut rx) = (ring.sender(), ring.receiver(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        let frame = reader.try_frame().unwrap();
        let mut hostile = ring.side(3);
        let claim = hostile.claim().unwrap();
        rx.set_strategy(WaitStrategy::Yield).unwrap();
        let receiver = thread::spawn(move || {
            let corrupt = matches!(recv(&mut rx), Err(RecvError::Corrupt(_)));
            (rx, corrupt)
        });
        let sender = thread::spawn(move || {
            tx.send(&message(3)).unwrap();
            done(tx);
        });
        assert!(hostile.commit(&claim, LONGEST + 1));
        sender.join().unwrap();
        let (mut rx, corrupt) = receiver.join().unwrap();
        drop(frame);
        run.outcome((corrupt, rest(&mut rx)));
        done((reader, rx));
    })
    .reaches("(true, [3])", "always: past the one that is read, into the slot of the impossible one");
}

#[test]
fn a_sender_that_is_voided_without_end_says_that_the_ring_is_corrupt() {
    check(|run| {
        let ring = SlotRig::with(2, 1, Wakeup::None);
        let mut tx = ring.sender();
        let view = ring.view();
        let hostile = thread::spawn(move || {
            // No receiver passes over a writer when nothing lies behind it.
            for slot in [0, 1, 0].map(|at| view.slot(at)) {
                let word = SlotWord(view.state(slot).load(Relaxed));
                if word.kind() == Some(Writing) {
                    let void = SlotWord::owned(word.lap(), Pinned, word.owner());
                    let _ = view.state(slot).compare_exchange(word.0, void.0, Relaxed, Relaxed);
                }
            }
        });
        let sent = tx.try_send(&message(1));
        hostile.join().unwrap();
        run.outcome(sent.map_err(|error| matches!(error, SendError::Corrupt(_))));
        done(tx);
    })
    .reaches("Err(true)", "all three that it may try are voided")
    .reaches("Ok(())", "one was committed in time");
}

#[test]
fn who_cannot_take_a_message_wakes_another_who_can() {
    // Bound 1: with 2 it is not done in 15 s of processor time.
    check_bounded(1, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::Futex);
        let (mut tx, rx, mut mine) = (ring.sender(), ring.receiver(), ring.receiver());
        let other = thread::spawn(move || {
            let mut rx = rx;
            let short = rx.recv(&mut [0; 4]);
            done(rx);
            short
        });
        let sender = thread::spawn(move || {
            tx.send(&message(1)).unwrap();
            tx.send(&message(2)[..4]).unwrap();
            done(tx);
        });
        let got = recv(&mut mine);
        run.outcome((got, other.join().unwrap()));
        sender.join().unwrap();
        done(mine);
    })
    .reaches(
        "(Ok(1), Err(BufferTooSmall { len: 8, have: 4 }))",
        "found by the one with little room, which leaves it",
    )
    .reaches("(Ok(1), Ok(4))", "that one found the second");
}

#[test]
fn giving_a_grant_up_wakes_a_sender() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::Futex);
        let (mut one, mut two, mut rx) = (ring.sender(), ring.sender(), ring.receiver());
        let grant = one.try_reserve(8).unwrap();
        two.try_send(&message(2)).unwrap();
        let waiting = thread::spawn(move || {
            two.send(&message(3)).unwrap();
            done(two);
        });
        grant.abort();
        waiting.join().unwrap();
        run.outcome(rest(&mut rx));
        done((one, rx));
    })
    .reaches("[2, 3]", "always: the third has room once the grant is given up, behind the second");
}

#[test]
fn the_end_of_a_loan_wakes_a_sender() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        tx.try_send(&message(2)).unwrap();
        let waiting = thread::spawn(move || {
            tx.send(&message(3)).unwrap();
            tx.send(&message(4)).unwrap();
            done(tx);
        });
        let frame = rx.try_frame().unwrap();
        let first = value(&frame);
        drop(frame);
        let delivery = rx.try_peek().unwrap();
        assert!(!delivery.is_redelivered());
        let second = value(&delivery);
        delivery.ack();
        waiting.join().unwrap();
        run.outcome((first, second, rest(&mut rx)));
        done(rx);
    })
    .reaches("(1, 2, [3, 4])", "always: room by the release, and by the acknowledgement");
}

#[test]
fn a_delivery_that_is_dropped_comes_again_flagged() {
    check(|run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        let sender = thread::spawn(move || {
            let sent = [tx.try_send(&message(2)).is_ok(), tx.try_send(&message(3)).is_ok()];
            done(tx);
            sent
        });
        assert_eq!(value(&rx.try_peek().unwrap()), 1);
        let again = rx.try_peek().unwrap();
        assert!(again.is_redelivered());
        assert_eq!(value(&again), 1, "first, and not overwritten");
        again.ack();
        let sent = sender.join().unwrap();
        run.outcome((sent, rest(&mut rx)));
        done(rx);
    })
    .reaches("([true, false], [2])", "it keeps its slot")
    .reaches("([true, true], [2, 3])", "until it is acknowledged");
}

#[test]
fn a_grant_filled_in_place_is_passed_over_or_read_in_place() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::Futex);
        let (mut one, mut two, mut rx) = (ring.sender(), ring.sender(), ring.receiver());
        let holder = thread::spawn(move || {
            let mut grant = one.try_reserve(8).unwrap();
            grant.copy_from_slice(&message(1));
            grant.commit_all().unwrap();
            done(one);
        });
        two.try_send(&message(2)).unwrap();
        let first = value(&rx.frame().unwrap());
        let second = value(&rx.frame().unwrap());
        holder.join().unwrap();
        run.outcome((first, second));
        done((two, rx));
    })
    .reaches("(1, 2)", "reserved first, and committed in time")
    .reaches("(2, 1)", "reserved later, or passed over and sent again");
}

#[test]
fn a_grant_that_was_passed_over_is_sent_elsewhere_or_comes_back() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::None);
        let (mut one, mut two, mut rx) = (ring.sender(), ring.sender(), ring.receiver());
        let holder = thread::spawn(move || {
            let mut grant = one.try_reserve(8).unwrap();
            grant.copy_from_slice(&message(1));
            let refused = grant.try_commit(8).err().map(|(grant, error)| (value(&grant), error));
            done(one);
            refused
        });
        two.try_send(&message(2)).unwrap();
        let got = try_recv(&mut rx).ok();
        let sent = two.try_send(&message(3)).is_ok();
        let refused = holder.join().unwrap();
        run.outcome((got, sent, refused, rest(&mut rx)));
        done((two, rx));
    })
    .reaches("(Some(1), true, None, [2, 3])", "committed in time, and read first")
    .reaches("(Some(2), true, None, [1, 3])", "passed over, and sent again before the third")
    .reaches("(Some(2), true, None, [3, 1])", "or behind it")
    .reaches(
        "(Some(2), true, Some((1, Full)), [3])",
        "no room elsewhere: its bytes come back, and are not sent",
    );
}

#[test]
fn a_batch_wakes_and_is_waited_for() {
    // Bound 2: with 3 it is not done in 15 s of processor time.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        let sender = thread::spawn(move || {
            tx.send_batch(&[message(1), message(2), message(3)]).unwrap();
            done(tx);
        });
        let mut got = vec![];
        while got.len() < 3 {
            rx.recv_batch(2, |message| got.push(value(message))).unwrap();
        }
        sender.join().unwrap();
        run.outcome(got);
        done(rx);
    })
    .reaches("[1, 2, 3]", "always: two fit, the third waits for the release of the first");
}

#[test]
fn a_batch_that_was_passed_over_is_sent_again_in_its_order() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(4, 3, Wakeup::None);
        let (mut one, mut two, mut rx) = (ring.sender(), ring.sender(), ring.receiver());
        let batch = thread::spawn(move || {
            assert_eq!(one.try_send_batch(&[message(1), message(2)]), Ok(2));
            done(one);
        });
        two.try_send(&message(9)).unwrap();
        let got = [try_recv(&mut rx).ok(), try_recv(&mut rx).ok()];
        batch.join().unwrap();
        run.outcome((got, rest(&mut rx)));
        done((two, rx));
    })
    .reaches("([Some(1), Some(2)], [9])", "before the other's, and committed in time")
    .reaches("([Some(1), Some(9)], [2])", "the second was passed over")
    .reaches(
        "([Some(9), None], [1, 2])",
        "behind the other's, or both were passed over; too late for the looks",
    )
    .reaches("([Some(9), Some(1)], [2])", "the same, between the looks or in time for the second");
}

#[test]
fn a_forced_message_takes_the_oldest_ones_place() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        tx.try_send(&message(2)).unwrap();
        let sender = thread::spawn(move || {
            let dropped = tx.force_send(&message(3));
            done(tx);
            dropped
        });
        let got = try_recv(&mut rx);
        let dropped = sender.join().unwrap();
        run.outcome((got, dropped, rest(&mut rx)));
        done(rx);
    })
    .reaches("(Ok(1), Ok(0), [2, 3])", "the receiver made room in time")
    .reaches("(Ok(1), Ok(1), [3])", "it took the first without making room in time, the second was dropped")
    .reaches("(Ok(2), Ok(1), [3])", "the first was dropped");
}

#[test]
fn distrusting_ends_copy_in_and_out() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex).distrusting();
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        let sender = thread::spawn(move || {
            let mut grant = tx.reserve(8).unwrap();
            grant.copy_from_slice(&message(1));
            grant.commit_all().unwrap();
            done(tx);
        });
        let got = value(&rx.frame().unwrap());
        sender.join().unwrap();
        run.outcome(got);
        done(rx);
    })
    .reaches("1", "always: the only message, whole");
}

// --- the end ---

#[test]
fn a_waiting_receiver_reads_everything_before_it_hears_of_the_close() {
    for wakeup in [Wakeup::Futex, Wakeup::Semaphore, Wakeup::None] {
        check_bounded(3, move |run| {
            let ring = SlotRig::with(2, 2, wakeup);
            let (mut tx, mut rx) = (ring.sender(), ring.receiver());
            let sender = thread::spawn(move || {
                tx.send(&message(1)).unwrap();
                tx.close();
            });
            run.outcome([recv(&mut rx), recv(&mut rx)]);
            sender.join().unwrap();
            done(rx);
        })
        .reaches("[Ok(1), Err(Closed)]", "always: the message was sent before the good-bye");
    }
}

#[test]
fn a_trying_receiver_hears_of_the_close_after_the_last_message() {
    // Bound 2: with 3 it takes more than a few seconds.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        let sender = thread::spawn(move || {
            tx.send(&message(1)).unwrap();
            tx.close();
        });
        let seen = [(); 3].map(|()| match try_recv(&mut rx) {
            Ok(value) => value,
            Err(RecvError::Empty) => 0,
            Err(RecvError::Closed) => 99,
            Err(other) => panic!("{other}"),
        });
        sender.join().unwrap();
        run.outcome(seen);
        done(rx);
    })
    .reaches("[0, 0, 0]", "before the message")
    .reaches("[0, 0, 1]", "the message at the third look")
    .reaches("[0, 1, 0]", "at the second, and no good-bye yet")
    .reaches("[0, 1, 99]", "and the good-bye at the third")
    .reaches("[1, 0, 0]", "at the first, and no good-bye")
    .reaches("[1, 0, 99]", "at the third")
    .reaches("[1, 99, 99]", "at the second: never before the message, and it stays so");
}

#[test]
fn two_waiting_receivers_both_hear_of_the_close() {
    for wakeup in [Wakeup::Futex, Wakeup::Semaphore] {
        // Bound 2: with 3 it is not done in 15 s of processor time.
        check_bounded(2, move |run| {
            let ring = SlotRig::with(2, 3, wakeup);
            let (tx, mut rx, mut mine) = (ring.sender(), ring.receiver(), ring.receiver());
            let other = thread::spawn(move || {
                let got = recv(&mut rx);
                done(rx);
                got
            });
            let sender = thread::spawn(move || tx.close());
            let got = recv(&mut mine);
            run.outcome((got, other.join().unwrap()));
            sender.join().unwrap();
            done(mine);
        })
        .reaches("(Err(Closed), Err(Closed))", "always: nothing was sent, and both are woken");
    }
}

#[test]
fn a_waiting_sender_hears_of_the_close() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, rx) = (ring.sender(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        tx.try_send(&message(2)).unwrap();
        let receiver = thread::spawn(move || rx.close());
        run.outcome(tx.send(&message(3)));
        receiver.join().unwrap();
        done(tx);
    })
    .reaches("Err(Closed)", "always: the ring stays full, and nobody is left to receive");
}

#[test]
fn a_ring_handed_over_is_never_closed() {
    // Bound 2: with 3 it takes more than a few seconds.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::Futex);
        let (gone, first, mut rx) = (ring.sender(), ring.sender(), ring.receiver());
        gone.close();
        let senders = thread::spawn(move || {
            // Into the place of the one that has gone, which is asked about before its own.
            let second = first.try_clone().unwrap();
            first.close();
            done(second);
        });
        run.outcome([try_recv(&mut rx), try_recv(&mut rx)]);
        senders.join().unwrap();
        done(rx);
    })
    .reaches("[Err(Empty), Err(Empty)]", "always: there is a sender at all times");
}

#[test]
fn messages_left_unacknowledged_go_to_a_waiting_receiver() {
    // Bound 2: with 3 it takes more than a few seconds.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::Futex);
        let (mut tx, mut one, mut two) = (ring.sender(), ring.receiver(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        let leaving = thread::spawn(move || {
            let got = one.try_peek().map(|delivery| value(&delivery)).ok();
            one.close();
            got
        });
        let delivery = two.peek().unwrap();
        let got = (value(&delivery), delivery.is_redelivered());
        delivery.ack();
        run.outcome((leaving.join().unwrap(), got));
        assert!(ring.words().iter().all(|word| !word.is_used()), "both slots are free");
        done((tx, two));
    })
    .reaches("(None, (1, false))", "this one had it first")
    .reaches("(Some(1), (1, true))", "the other had it, and left it");
}
