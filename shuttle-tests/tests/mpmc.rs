//! An MPMC ring through many laps: the verbs that wait, of several senders and receivers, who pass each other's slots over, wait by
//! every object, leave, come back, and are killed with loans out. A message says in every byte which it is; what the
//! receivers finished must be what was sent, each once.

use loom::thread;
use slipring_shuttle::channel::mpmc::{Receiver, Sender};
use slipring_shuttle::error::RecvError;
use slipring_shuttle::layout::Wakeup;
use slipring_shuttle::slots::{LONGEST, SlotRig, message, value};
use slipring_shuttle::{Dice, explore};
use std::mem::forget;

/// Messages of one sender, who counts from its number times this.
const EACH: u8 = 40;

/// Sends one or two messages from `next` on, by any verb that waits; the next after them.
fn send_some(tx: &mut Sender, dice: &mut Dice, next: u8, end: u8) -> u8 {
    match dice.below(5) {
        0 => {
            let mut grant = tx.reserve(LONGEST).unwrap();
            grant.copy_from_slice(&message(next));
            thread::yield_now();
            grant.commit_all().unwrap();
            next + 1
        }
        1 if next + 1 < end => {
            tx.send_batch(&[message(next), message(next + 1)]).unwrap();
            next + 2
        }
        2 => {
            if let Ok(mut grant) = tx.try_reserve(LONGEST) {
                grant.fill(0xff);
                grant.abort();
            }
            next
        }
        3 if next + 1 < end => {
            let sent = tx.try_send_batch(&[message(next), message(next + 1)]).unwrap_or(0);
            next + sent as u8
        }
        _ => {
            tx.send(&message(next)).unwrap();
            next + 1
        }
    }
}

/// Receives something by any verb that waits; what was delivered again is not part of the order.
fn receive_some(
    rx: &mut Receiver,
    dice: &mut Dice,
    log: &mut Vec<u8>,
    again: &mut Vec<u8>,
) -> Result<(), RecvError> {
    match dice.below(6) {
        0 => {
            let frame = rx.frame()?;
            thread::yield_now();
            log.push(value(&frame));
        }
        1 => drop(rx.recv_batch(3, |message| log.push(value(message)))?),
        2 => {
            let delivery = rx.peek()?;
            thread::yield_now();
            let to = if delivery.is_redelivered() { again } else { log };
            to.push(value(&delivery));
            delivery.ack();
        }
        3 => {
            // Next comes this one again.
            let seen = value(&rx.peek()?);
            let delivery = rx.peek()?;
            assert_eq!((value(&delivery), delivery.is_redelivered()), (seen, true));
            again.push(seen);
            delivery.ack();
        }
        _ => {
            let mut buffer = [0; LONGEST];
            let len = rx.recv(&mut buffer)?;
            log.push(value(&buffer[..len]));
        }
    }
    Ok(())
}

/// Everything from the senders' numbers, in order.
fn all(senders: u8) -> Vec<u8> {
    (0..senders * EACH).collect()
}

fn stream(slots: u64, wakeup: Wakeup, distrusting: bool, schedules: u64) {
    explore(schedules, move || {
        let mut rig = SlotRig::with(slots, 6, wakeup);
        if distrusting {
            rig = rig.distrusting();
        }
        let senders: Vec<_> = (0..2_u8)
            .map(|number| {
                let mut tx = rig.sender();
                thread::spawn(move || {
                    let (mut dice, end) = (Dice(5 + u64::from(number)), (number + 1) * EACH);
                    let mut next = number * EACH;
                    while next < end {
                        next = send_some(&mut tx, &mut dice, next, end);
                        if dice.below(16) == 0 {
                            // Another in its place: there is a sender at all times.
                            tx = tx.try_clone().unwrap();
                        }
                    }
                    tx.close();
                })
            })
            .collect();
        let receivers: Vec<_> = (0..2)
            .map(|number| {
                let mut rx = rig.receiver();
                thread::spawn(move || {
                    let (mut dice, mut log, mut again) = (Dice(70 + number), vec![], vec![]);
                    let end = loop {
                        if let Err(end) = receive_some(&mut rx, &mut dice, &mut log, &mut again) {
                            break end;
                        }
                    };
                    assert_eq!(end, RecvError::Closed);
                    rx.close();
                    (log, again)
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        let mut received = Vec::new();
        for (log, again) in receivers.into_iter().map(|receiver| receiver.join().unwrap()) {
            for sender in 0..2 {
                let of = log.iter().filter(|message| **message / EACH == sender);
                assert!(of.is_sorted(), "in the order of each sender: {log:?}");
            }
            received.extend(log.into_iter().chain(again));
        }
        received.sort_unstable();
        assert_eq!(received, all(2), "each once");
        assert!(rig.words().iter().all(|word| !word.is_used()), "every slot is free");
    });
}

#[test]
fn a_crowd_loses_and_doubles_nothing_waiting_on_a_futex() {
    stream(2, Wakeup::Futex, false, 60);
    stream(4, Wakeup::Futex, true, 60);
}

#[test]
fn a_crowd_loses_and_doubles_nothing_waiting_on_a_semaphore() {
    stream(4, Wakeup::Semaphore, false, 60);
}

#[test]
fn a_crowd_loses_and_doubles_nothing_polling() {
    stream(2, Wakeup::None, false, 60);
}

/// Attaches somebody new as soon as there is a place.
fn come<T, E>(attach: impl Fn() -> Result<T, E>) -> T {
    loop {
        if let Ok(handle) = attach() {
            return handle;
        }
        thread::yield_now();
    }
}

#[test]
fn whoever_is_killed_with_a_loan_out_nothing_is_lost_and_what_was_not_finished_comes_again() {
    explore(80, || {
        let rig = SlotRig::with(4, 6, Wakeup::Futex);
        let senders: Vec<_> = (0..2_u8)
            .map(|number| {
                let rig = rig.clone();
                thread::spawn(move || {
                    let (mut dice, end) = (Dice(5 + u64::from(number)), (number + 1) * EACH);
                    let (mut next, mut pid) = (number * EACH, 1000 * (1 + u32::from(number)));
                    while next < end {
                        pid += 1;
                        let mut tx = come(|| rig.try_sender_as(pid));
                        for _ in 0..dice.below(6) {
                            if next < end && tx.try_send(&message(next)).is_ok() {
                                next += 1;
                            }
                        }
                        if dice.below(2) == 0
                            && let Ok(mut grant) = tx.try_reserve(LONGEST)
                        {
                            grant.fill(0xff);
                            forget(grant);
                        }
                        rig.kill(tx, rig.place_of(pid));
                        thread::yield_now();
                    }
                })
            })
            .collect();
        let receivers: Vec<_> = (0..2_u32)
            .map(|number| {
                let rig = rig.clone();
                thread::spawn(move || {
                    let (mut dice, mut pid) = (Dice(70 + u64::from(number)), 10_000 * (1 + number));
                    let (mut finished, mut unfinished) = (vec![], vec![]);
                    for _ in 0..30 {
                        pid += 1;
                        let mut rx = come(|| rig.try_receiver_as(pid));
                        for _ in 0..dice.below(6) {
                            if let Ok(delivery) = rx.try_peek() {
                                finished.push((value(&delivery), delivery.is_redelivered()));
                                delivery.ack();
                            }
                        }
                        if dice.below(2) == 0
                            && let Ok(delivery) = rx.try_peek()
                        {
                            unfinished.push(value(&delivery));
                            forget(delivery);
                        }
                        rig.kill(rx, rig.place_of(pid));
                        thread::yield_now();
                    }
                    (finished, unfinished)
                })
            })
            .collect();
        let (mut finished, mut unfinished) = (vec![], vec![]);
        for logs in receivers.into_iter().map(|receiver| receiver.join().unwrap()) {
            finished.extend(logs.0);
            unfinished.extend(logs.1);
        }
        // The senders may wait for somebody to receive.
        let mut rx = come(|| rig.try_receiver_as(1));
        while finished.len() < all(2).len() {
            match rx.try_peek() {
                Ok(delivery) => {
                    finished.push((value(&delivery), delivery.is_redelivered()));
                    delivery.ack();
                }
                Err(RecvError::Empty | RecvError::PeerDied { .. } | RecvError::Closed) => thread::yield_now(),
                Err(other) => panic!("{other}"),
            }
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        finished.sort_unstable();
        for (message, again) in &finished {
            assert!(*again || !unfinished.contains(message), "{message} was seen before, and is not flagged");
        }
        assert!(finished.iter().map(|(message, _)| *message).eq(all(2)), "each once: {finished:?}");
        // Died, or gone without a trace: receivers may have had all the places of senders since.
        let rest = rx.try_peek().map(|delivery| value(&delivery));
        let over = |error: &RecvError| matches!(error, RecvError::PeerDied { .. } | RecvError::Closed);
        assert!(rest.is_err_and(|error| over(&error)), "nothing more");
    });
}
