//! The SPSC ring's promises, seen from one process.

mod common;

use common::unique;
use slipring::{Align, Options, RecvError, Ring, SendError};

fn ring(capacity: usize, align: Align) -> Ring {
    Ring::anonymous(&Options::new().capacity(capacity).align(align)).unwrap()
}

#[test]
fn messages_arrive_whole_and_in_order() {
    for align in [Align::Line, Align::Dense] {
        let ring = ring(4096, align);
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        let mut buffer = [0; 2048];
        for i in 0..100_000_usize {
            let len = i * 7919 % (tx.max_len() + 1);
            let message: Vec<u8> = (0..len).map(|b| (b + i) as u8).collect();
            tx.try_send(&message).unwrap();
            assert_eq!(rx.try_recv(&mut buffer), Ok(len));
            assert_eq!(buffer[..len], message);
            assert_eq!(rx.try_recv(&mut buffer), Err(RecvError::Empty));
        }
    }
}

#[test]
fn full_ring_rejects_send() {
    let ring = ring(4096, Align::Line);
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let mut sent = 0;
    while tx.try_send(&[7; 56]).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 63, "one boundary stays free");
    assert_eq!(tx.try_send(b""), Err(SendError::Full));
    assert_eq!(rx.try_recv(&mut [0; 56]), Ok(56));
    assert_eq!(tx.try_send(b""), Ok(()));
}

#[test]
fn claim_given_up_at_the_end_of_a_lap_spoils_nothing() {
    for align in [Align::Line, Align::Dense] {
        let ring = ring(4096, align);
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        let mut buffer = [0; 2048];
        for _ in 0..3 {
            tx.try_send(&[1; 1200]).unwrap();
            assert_eq!(rx.try_recv(&mut buffer), Ok(1200));
        }
        // Of the lap's 4096 bytes fewer than 600 are left: these claims lie behind padding.
        drop(tx.try_reserve(600).unwrap());
        drop(tx.try_reserve(600).unwrap());
        tx.try_send(&[2; 600]).unwrap();
        tx.try_send(&[3; 600]).unwrap();
        for (value, len) in [(2, 600), (3, 600)] {
            assert_eq!(rx.try_recv(&mut buffer), Ok(len));
            assert_eq!(buffer[..len], vec![value; len]);
        }
    }
}

#[test]
fn named_ring_vanishes_with_its_last_user() {
    let name = unique();
    let ring = Ring::create(&name.0, &Options::new()).unwrap();
    let tx = ring.producer().unwrap();
    drop(ring);
    assert!(Ring::open(&name.0).is_ok());
    drop(tx);
    assert!(matches!(Ring::open(&name.0), Err(slipring::Error::NotFound { .. })));
}
