//! An SPSC ring through many laps: every verb, both ends killed and followed, waiting by every object. Messages carry
//! their number in every byte; the consumers' logs together must be what was sent, in order.

use loom::thread;
use slipring_shuttle::channel::spsc::{Consumer, Producer};
use slipring_shuttle::layout::{Align, Wakeup};
use slipring_shuttle::rig::Rig;
use slipring_shuttle::{Dice, explore};

const MESSAGES: u8 = 60;

/// Of a length that depends on its number.
fn message(number: u8) -> Vec<u8> {
    vec![number; 1 + number as usize % 20]
}

/// Sends one or two messages from `next`, by any verb; the number of the next.
fn send_some(tx: &mut Producer, dice: &mut Dice, next: u8) -> u8 {
    match dice.below(4) {
        0 => {
            let mut grant = tx.reserve(20).unwrap();
            grant.fill(0xff);
            let message = message(next);
            grant[..message.len()].copy_from_slice(&message);
            grant.commit(message.len()).unwrap();
            next + 1
        }
        1 if next + 1 < MESSAGES => {
            let mut batch = tx.batch().unwrap();
            let mut pushed = next;
            while pushed < next + 2 && batch.push(&message(pushed)).is_ok() {
                pushed += 1;
            }
            assert_eq!(batch.commit(), usize::from(pushed - next));
            pushed
        }
        2 => {
            if let Ok(mut grant) = tx.try_reserve(20) {
                grant.fill(0xff);
                grant.abort();
            }
            next
        }
        _ => {
            tx.send(&message(next)).unwrap();
            next + 1
        }
    }
}

/// Receives some messages, by any verb.
fn receive_some(rx: &mut Consumer, dice: &mut Dice, log: &mut Vec<u8>) {
    let mut read = |bytes: &[u8]| {
        assert_eq!(bytes, message(bytes[0]), "whole");
        log.push(bytes[0]);
    };
    match dice.below(4) {
        0 => {
            let frame = rx.frame().unwrap();
            read(&frame);
        }
        1 => {
            let frame = rx.frame().unwrap();
            assert_eq!(*frame, message(frame[0])[..], "whole");
            frame.keep();
        }
        2 => {
            let mut batch = rx.batch(3).unwrap();
            while let Some(bytes) = batch.next().unwrap() {
                read(bytes);
            }
        }
        _ => {
            let mut buffer = [0; 64];
            let len = rx.recv(&mut buffer).unwrap();
            read(&buffer[..len]);
        }
    }
}

fn all() -> Vec<u8> {
    (0..MESSAGES).collect()
}

fn stream(wakeup: Wakeup, align: Align, schedules: u64) {
    explore(schedules, move || {
        let rig = Rig::new(256, align, wakeup);
        let (mut tx, mut rx) = (rig.producer(), rig.consumer());
        let producer = thread::spawn(move || {
            let (mut dice, mut next) = (Dice(5), 0);
            while next < MESSAGES {
                next = send_some(&mut tx, &mut dice, next);
            }
            tx.wait_drained(None).unwrap();
        });
        let (mut dice, mut log) = (Dice(7), Vec::new());
        while log.len() < MESSAGES as usize {
            receive_some(&mut rx, &mut dice, &mut log);
        }
        assert_eq!(log, all());
        producer.join().unwrap();
    });
}

#[test]
fn a_long_stream_arrives_waiting_on_a_futex() {
    stream(Wakeup::Futex, Align::Dense, 100);
    stream(Wakeup::Futex, Align::Line, 100);
}

#[test]
fn a_long_stream_arrives_waiting_on_a_semaphore() {
    stream(Wakeup::Semaphore, Align::Dense, 100);
}

#[test]
fn a_long_stream_arrives_whoever_is_killed_between_verbs() {
    explore(100, || {
        let rig = Rig::dense(256).mortal();
        let producers = rig.clone();
        let producer = thread::spawn(move || {
            let (mut dice, mut next) = (Dice(5), 0);
            while next < MESSAGES {
                let mut tx = producers.producer();
                for _ in 0..dice.below(6) {
                    // Never waits: the consumer may be dead just now.
                    if next < MESSAGES && tx.try_send(&message(next)).is_ok() {
                        next += 1;
                    }
                }
                producers.kill_producer(tx);
                thread::yield_now();
            }
        });
        let (mut dice, mut log) = (Dice(7), Vec::new());
        while log.len() < MESSAGES as usize {
            let mut rx = rig.consumer();
            for _ in 0..dice.below(6) {
                let mut buffer = [0; 64];
                if let Ok(len) = rx.try_recv(&mut buffer) {
                    assert_eq!(buffer[..len], message(buffer[0])[..], "whole");
                    log.push(buffer[0]);
                }
            }
            rig.kill_consumer(rx);
            thread::yield_now();
        }
        assert_eq!(log, all());
        producer.join().unwrap();
    });
}
