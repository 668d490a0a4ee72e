//! The SPSC ring's promises, seen from one process: what each verb does with messages, room and loans; that any
//! sequence of them is a queue; that garbage in shared memory is an error and nothing worse.
#![allow(
    clippy::forget_non_drop,
    reason = "that forgetting is harmless is a promise, whatever the type has today"
)]

mod common;
#[path = "../verify/src/queue.rs"]
mod queue;
#[path = "../verify/src/victim.rs"]
mod victim;

use common::{Dice, LIMIT, Scratch, alone, fork, meanwhile, scratch, within};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use queue::{Op, behaves_as_a_queue};
use slipring::spsc::{Consumer, Producer};
use slipring::{Align, Corrupt, Error, Options, RecvError, Ring, SendError, Trust, WaitStrategy, Wakeup};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use victim::{Victim, attack, attackable};

const ALIGNS: [Align; 2] = [Align::Line, Align::Dense];

fn ring(capacity: usize, align: Align) -> Ring {
    Ring::anonymous(&Options::new().capacity(capacity).align(align)).unwrap()
}

fn ends(align: Align) -> (Producer, Consumer) {
    let ring = ring(4096, align);
    (ring.producer().unwrap(), ring.consumer().unwrap())
}

fn received(rx: &mut Consumer) -> Vec<u8> {
    rx.try_frame().unwrap().to_vec()
}

// --- messages ---

#[test]
fn messages_arrive_whole_and_in_order() {
    let _alone = alone();
    for align in ALIGNS {
        let (mut tx, mut rx) = ends(align);
        let mut buffer = [0; 2048];
        let bytes: Vec<u8> = (0..4096).map(|b| (b * 31 % 251) as u8).collect();
        for i in 0..100_000_usize {
            let len = i * 7919 % (tx.max_len() + 1);
            let message = &bytes[i % 2048..][..len];
            tx.try_send(message).unwrap();
            assert_eq!(rx.try_recv(&mut buffer), Ok(len));
            assert_eq!(&buffer[..len], message);
            assert_eq!(rx.try_recv(&mut buffer), Err(RecvError::Empty));
        }
    }
}

#[test]
fn messages_of_every_length_pass() {
    let _alone = alone();
    for align in ALIGNS {
        let (mut tx, mut rx) = ends(align);
        let bytes: Vec<u8> = (0..tx.max_len()).map(|b| b as u8).collect();
        for len in 0..=tx.max_len() {
            tx.try_send(&bytes[..len]).unwrap();
            assert_eq!(received(&mut rx), bytes[..len]);
        }
        assert_eq!(tx.max_len(), 4096 / 2 - 8);
    }
}

#[test]
fn a_message_of_no_bytes_is_a_message() {
    let _alone = alone();
    for align in ALIGNS {
        let (mut tx, mut rx) = ends(align);
        tx.try_send(b"").unwrap();
        tx.try_send(b"").unwrap();
        assert_eq!(rx.try_recv(&mut []), Ok(0));
        assert_eq!(rx.try_frame().unwrap().len(), 0);
        assert_eq!(rx.try_recv(&mut []), Err(RecvError::Empty));
    }
}

#[test]
fn a_message_that_can_never_fit_names_both_sizes() {
    let _alone = alone();
    let (mut tx, mut rx) = ends(Align::Line);
    let (len, max) = (tx.max_len() + 1, tx.max_len());
    let message = vec![0; len];
    let error = SendError::TooLarge { len, max };
    assert_eq!(tx.try_send(&message), Err(error));
    assert_eq!(tx.send(&message), Err(error));
    assert_eq!(tx.try_reserve(len).err(), Some(error));
    assert_eq!(tx.try_reserve(usize::MAX).err(), Some(SendError::TooLarge { len: usize::MAX, max }));
    assert_eq!(tx.batch().unwrap().push(&message), Err(error));
    assert!(error.to_string().contains("2041") && error.to_string().contains("2040"), "{error}");
    assert_eq!(rx.try_recv(&mut [0; 8]), Err(RecvError::Empty));
}

#[test]
fn too_small_a_buffer_keeps_the_message() {
    let _alone = alone();
    let (mut tx, mut rx) = ends(Align::Line);
    tx.try_send(b"eleven byte").unwrap();
    for have in [0, 1, 10] {
        let error = RecvError::BufferTooSmall { len: 11, have };
        assert_eq!(rx.try_recv(&mut vec![0; have]), Err(error));
        assert_eq!(rx.recv(&mut vec![0; have]), Err(error));
    }
    let mut buffer = [0xaa; 13];
    assert_eq!(rx.try_recv(&mut buffer), Ok(11));
    assert_eq!(&buffer, b"eleven byte\xaa\xaa", "the rest of the buffer is left alone");
}

#[test]
fn positions_may_pass_the_end_of_their_64_bits() {
    let _alone = alone();
    for align in ALIGNS {
        let (_dir, path, file) = in_file(align);
        file.write_all_at(&(u64::MAX - 8191).to_ne_bytes(), HEAD).unwrap();
        let ring = Ring::open_file(&path).unwrap();
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        for i in 0..200_u64 {
            let message = common::numbered(i, 400);
            for _ in 0..3 {
                tx.try_send(&message).unwrap();
            }
            assert_eq!(ring.info().used_bytes, tx.approx_len() as u64);
            for _ in 0..3 {
                assert_eq!(received(&mut rx), message);
            }
            assert_eq!(tx.approx_len(), 0);
        }
        // Successors as well, in the middle of a ring that lies across the end.
        file.write_all_at(&(u64::MAX - 1023).to_ne_bytes(), HEAD).unwrap();
        file.write_all_at(&[0; 4096], DATA).unwrap();
        drop((tx, rx));
        let mut tx = ring.producer().unwrap();
        for i in 0..5 {
            tx.try_send(&common::numbered(i, 600)).unwrap();
        }
        drop(tx);
        ring.producer().unwrap().try_send(b"successor").unwrap();
        let mut rx = ring.consumer().unwrap();
        for i in 0..5 {
            assert_eq!(received(&mut rx), common::numbered(i, 600));
        }
        assert_eq!(received(&mut rx), b"successor");
    }
}

// --- room ---

#[test]
fn full_ring_rejects_send() {
    let _alone = alone();
    let (mut tx, mut rx) = ends(Align::Line);
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
fn a_message_takes_its_header_and_its_length_rounded_up() {
    let _alone = alone();
    for (align, len, takes) in [
        (Align::Line, 0, 64),
        (Align::Line, 56, 64),
        (Align::Line, 57, 128),
        (Align::Dense, 0, 8),
        (Align::Dense, 1, 16),
        (Align::Dense, 8, 16),
        (Align::Dense, 9, 24),
    ] {
        let (mut tx, mut rx) = ends(align);
        tx.try_send(&vec![0; len]).unwrap();
        assert_eq!(tx.approx_len(), takes);
        assert!(!rx.was_empty());
        drop(rx.try_frame());
        assert_eq!(tx.approx_len(), 0);
        assert!(rx.was_empty());
        let fits = (0..).take_while(|_| tx.try_send(&vec![0; len]).is_ok()).count();
        let boundary = if align == Align::Line { 64 } else { 8 };
        // Of the whole ring, wherever it starts, all but one boundary; less the pad where a message does not wrap.
        let whole = (4096 - boundary) / takes;
        assert!(fits == whole || fits + 1 == whole, "{align:?} {len}: {fits} of {whole}");
    }
}

#[test]
fn the_longest_message_fits_whenever_the_ring_is_empty() {
    let _alone = alone();
    for align in ALIGNS {
        let (mut tx, mut rx) = ends(align);
        let longest = vec![0x5a; tx.max_len()];
        for step in 0..2000 {
            tx.try_send(&longest).unwrap();
            assert_eq!(received(&mut rx), longest);
            tx.try_send(&vec![0; step % 97]).unwrap();
            drop(rx.try_frame());
        }
    }
}

// --- grants ---

#[test]
fn a_dropped_grant_sends_nothing_and_gives_its_room_back() {
    let _alone = alone();
    for align in ALIGNS {
        let (mut tx, mut rx) = ends(align);
        for round in 0..500 {
            let mut grant = tx.try_reserve(2000).unwrap();
            grant.fill(0xff);
            match round % 3 {
                0 => drop(grant),
                1 => grant.abort(),
                _ => std::mem::forget(grant),
            }
            assert_eq!(tx.approx_len(), 0);
            assert_eq!(rx.try_recv(&mut [0; 8]), Err(RecvError::Empty));
            if round % 7 == 0 {
                tx.try_send(b"a message between them").unwrap();
                assert_eq!(received(&mut rx), b"a message between them");
            }
        }
    }
}

/// An end of the data that is 256 bytes away, with the whole ring free.
fn shortly_before_the_end(tx: &mut Producer, rx: &mut Consumer) {
    for len in [2040, 4096 - 2048 - 256 - 8] {
        tx.try_send(&vec![0; len]).unwrap();
        drop(rx.try_frame());
    }
}

#[test]
fn a_message_given_up_behind_padding_leaves_the_end_of_the_data_where_it_is() {
    let _alone = alone();
    for align in ALIGNS {
        type GiveUp = fn(&mut Producer);
        let ways: [GiveUp; 4] = [
            |tx| drop(tx.try_reserve(1000).unwrap()),
            |tx| std::mem::forget(tx.try_reserve(1000).unwrap()),
            |tx| {
                let mut batch = tx.batch().unwrap();
                batch.push(&[1; 1000]).unwrap();
                batch.push(&[2; 1000]).unwrap();
            },
            |tx| {
                let mut batch = tx.batch().unwrap();
                batch.push(&[1; 1000]).unwrap();
                std::mem::forget(batch);
            },
        ];
        for give_up in ways {
            let (mut tx, mut rx) = ends(align);
            shortly_before_the_end(&mut tx, &mut rx);
            give_up(&mut tx);
            // The first fits before the end, the second does not, and neither crosses it.
            for len in [150, 160, 170] {
                tx.try_send(&vec![len as u8; len]).unwrap();
            }
            for len in [150, 160, 170] {
                assert_eq!(received(&mut rx), vec![len as u8; len]);
            }
        }
    }
}

#[test]
fn a_grant_may_be_committed_shorter_than_reserved() {
    let _alone = alone();
    for align in ALIGNS {
        let (mut tx, mut rx) = ends(align);
        for len in (0..=1000).chain((0..1000).rev()) {
            let mut grant = tx.try_reserve(1000).unwrap();
            assert_eq!(grant.len(), 1000);
            // What looks like committed headers is scribbled over the room that is given back.
            grant.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&(1_u64 << 32 | 5).to_ne_bytes()));
            grant[..len].fill(len as u8);
            grant.commit(len).unwrap();
            assert_eq!(received(&mut rx), vec![len as u8; len]);
            assert_eq!(rx.try_recv(&mut [0; 8]), Err(RecvError::Empty));
        }
    }
}

#[test]
fn a_grant_cannot_be_committed_longer_than_reserved() {
    let _alone = alone();
    let (mut tx, mut rx) = ends(Align::Line);
    let grant = tx.try_reserve(10).unwrap();
    let error = grant.commit(11).unwrap_err();
    assert_eq!(error, SendError::TooLarge { len: 11, max: 10 });
    assert!(error.to_string().contains("reserve more"), "it is not the ring that is too small: {error}");
    assert_eq!(rx.try_recv(&mut [0; 8]), Err(RecvError::Empty));
    tx.try_send(b"next").unwrap();
    assert_eq!(received(&mut rx), b"next");
}

// --- frames ---

#[test]
fn a_kept_frame_is_the_next_one_again() {
    let _alone = alone();
    for trust in [Trust::Kernel, Trust::Distrust] {
        let ring = Ring::anonymous(&Options::new().capacity(4096).trust(trust)).unwrap();
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        tx.try_send(b"first").unwrap();
        tx.try_send(b"second").unwrap();
        for _ in 0..3 {
            let frame = rx.try_frame().unwrap();
            assert_eq!(*frame, *b"first");
            frame.keep();
        }
        let used = tx.approx_len();
        std::mem::forget(rx.try_frame().unwrap());
        assert_eq!(tx.approx_len(), used, "a forgotten frame loses nothing");
        rx.try_frame().unwrap().release();
        assert_eq!(received(&mut rx), b"second");
    }
}

#[test]
fn a_frame_holds_its_room_until_it_is_dropped() {
    let _alone = alone();
    let (mut tx, mut rx) = ends(Align::Line);
    while tx.try_send(&[1; 56]).is_ok() {}
    let frame = rx.try_frame().unwrap();
    assert_eq!(tx.try_send(b""), Err(SendError::Full));
    assert_eq!(*frame, [1; 56]);
    drop(frame);
    assert_eq!(tx.try_send(b""), Ok(()));
}

// --- batches ---

#[test]
fn a_batch_is_visible_all_at_once() {
    let _alone = alone();
    for align in ALIGNS {
        let (mut tx, mut rx) = ends(align);
        for round in 0..300_usize {
            let messages: Vec<_> =
                (0..round % 9).map(|i| vec![i as u8; (round * 31 + i * 57) % 300]).collect();
            let mut batch = tx.batch().unwrap();
            assert!(batch.is_empty());
            for message in &messages {
                batch.push(message).unwrap();
                assert_eq!(rx.try_recv(&mut [0; 8]), Err(RecvError::Empty));
            }
            assert_eq!(batch.len(), messages.len());
            assert_eq!(batch.commit(), messages.len());
            for message in &messages {
                assert_eq!(received(&mut rx), *message);
            }
            assert_eq!(rx.try_recv(&mut [0; 8]), Err(RecvError::Empty));
        }
    }
}

#[test]
fn a_dropped_batch_sends_nothing() {
    let _alone = alone();
    let (mut tx, mut rx) = ends(Align::Dense);
    for round in 0..500 {
        let mut batch = tx.batch().unwrap();
        for i in 0..round % 20 {
            batch.push(&vec![0xff; i * 9]).unwrap();
        }
        if round % 2 == 0 {
            drop(batch)
        } else {
            std::mem::forget(batch)
        }
        assert_eq!((rx.try_recv(&mut [0; 8]), tx.approx_len()), (Err(RecvError::Empty), 0));
        tx.try_send(&[3; 11]).unwrap();
        assert_eq!(received(&mut rx), [3; 11]);
    }
}

#[test]
fn a_batch_that_is_full_stays_as_it_is() {
    let _alone = alone();
    let (mut tx, mut rx) = ends(Align::Line);
    let mut batch = tx.batch().unwrap();
    while batch.push(&[4; 100]).is_ok() {}
    assert_eq!(batch.push(&[5; 100]), Err(SendError::Full));
    let count = batch.len();
    assert_eq!(batch.commit(), count);
    for _ in 0..count {
        assert_eq!(received(&mut rx), [4; 100]);
    }
    assert_eq!(rx.try_recv(&mut [0; 8]), Err(RecvError::Empty));
}

#[test]
fn a_received_batch_is_released_at_its_end_as_far_as_it_was_read() {
    let _alone = alone();
    let (mut tx, mut rx) = ends(Align::Line);
    (0..6).for_each(|i| tx.try_send(&[i]).unwrap());
    let mut batch = rx.try_batch(4).unwrap();
    for i in 0..4 {
        assert_eq!(batch.next(), Ok(Some(&[i][..])));
        assert_eq!(tx.approx_len(), 6 * 64, "nothing is released yet");
    }
    assert_eq!(batch.next(), Ok(None), "it was to be four");
    drop(batch);
    assert_eq!(tx.approx_len(), 2 * 64);
    drop(rx.try_batch(9).unwrap());
    assert_eq!(tx.approx_len(), 2 * 64, "what was not read stays");
    let mut batch = rx.try_batch(9).unwrap();
    assert_eq!(batch.next(), Ok(Some(&[4][..])));
    drop(batch);
    let mut batch = rx.batch(9).unwrap();
    assert_eq!(batch.next(), Ok(Some(&[5][..])));
    assert_eq!(batch.next(), Ok(None));
    tx.try_send(&[6]).unwrap();
    assert_eq!(batch.next(), Ok(Some(&[6][..])), "one that came meanwhile");
    drop(batch);
    assert_eq!(rx.try_batch(1).err(), Some(RecvError::Empty));
}

// --- any sequence of verbs is a queue ---

fn op(capacity: usize) -> impl Strategy<Value = Op> {
    let max = capacity / 2 - 8;
    let len = prop_oneof![4 => 0..200_usize, 1 => 0..=max + 2, 1 => Just(max), 2 => Just(56), 1 => Just(0)];
    let grant = (len.clone(), proptest::option::weighted(0.8, 0.0..=1.0));
    prop_oneof![
        6 => len.clone().prop_map(Op::Send),
        3 => grant.prop_map(|(max, part)| Op::Grant(max, part.map(|p: f64| (max as f64 * p) as usize))),
        1 => len.clone().prop_map(Op::ForgetGrant),
        2 => (proptest::collection::vec(len.clone(), 0..6), any::<bool>()).prop_map(|(l, c)| Op::Batch(l, c)),
        6 => prop_oneof![Just(max), len].prop_map(Op::Recv),
        4 => any::<bool>().prop_map(|keep| Op::Frame { keep }),
        2 => (1..6_usize, 0..6_usize).prop_map(|(max, read)| Op::RecvBatch(max, read)),
        1 => Just(Op::NewProducer),
        1 => Just(Op::NewConsumer),
    ]
}

#[test]
fn any_sequence_of_verbs_is_a_queue() {
    let _alone = alone();
    for (seed, (capacity, align)) in
        [(4096, Align::Line), (4096, Align::Dense), (16384, Align::Dense)].into_iter().enumerate()
    {
        for trust in [Trust::Kernel, Trust::Distrust] {
            // The same sequences in every run; more of them by PROPTEST_CASES.
            let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
            config.rng_seed = RngSeed::Fixed(seed as u64);
            if std::env::var_os("PROPTEST_CASES").is_none() {
                config.cases = 50;
            }
            config.max_shrink_iters = 20_000;
            let options = Options::new().capacity(capacity).align(align).trust(trust);
            let boundary = if align == Align::Line { 64 } else { 8 };
            TestRunner::new(config)
                .run(&proptest::collection::vec(op(capacity), 1..300), |ops| {
                    behaves_as_a_queue(&options, capacity as u64, boundary, &ops);
                    Ok(())
                })
                .unwrap();
        }
    }
}

// --- garbage in shared memory ---

/// Where the position of the reader stands in a segment, and where the data start (docs/layout.md).
const HEAD: u64 = 1024;
const DATA: u64 = 4096;
const MESSAGE: u64 = 1 << 32;
const PAD: u64 = 2 << 32;

fn in_file(align: Align) -> (Scratch, PathBuf, File) {
    let dir = scratch();
    let path = dir.0.join("ring");
    drop(Ring::create_file(&path, &Options::new().capacity(4096).align(align)).unwrap());
    let file = File::options().read(true).write(true).open(&path).unwrap();
    (dir, path, file)
}

/// A ring and its bytes as another process might write them: trusted, and not.
fn corruptible(align: Align) -> [(Ring, File); 2] {
    [Trust::Kernel, Trust::Distrust].map(|trust| {
        let ring = Ring::anonymous(&Options::new().capacity(4096).align(align).trust(trust)).unwrap();
        let file = File::from(ring.fd().unwrap().try_clone_to_owned().unwrap());
        (ring, file)
    })
}

fn put(file: &File, at: u64, word: u64) {
    file.write_all_at(&word.to_ne_bytes(), at).unwrap();
}

#[test]
fn a_header_word_that_no_producer_writes_is_corrupt() {
    let _alone = alone();
    for align in ALIGNS {
        for word in [
            MESSAGE | 0xffff_ffff, // longer than the ring
            MESSAGE | 4096,
            MESSAGE | 4089, // longer than what is left of the data
            MESSAGE | 2041, // longer than any message of this ring
            0x1234,         // a length without a kind
            3 << 32 | 5,    // no such kind
            u64::MAX,
            PAD, // never at the start of the data
            PAD | 8,
        ] {
            for (ring, file) in corruptible(align) {
                let mut rx = ring.consumer().unwrap();
                put(&file, DATA, word);
                let fault = |result: Result<usize, RecvError>| match result {
                    Err(RecvError::Corrupt(Corrupt {
                        field: "record header", found, position: 0, ..
                    })) => found,
                    other => panic!("{word:#x}: {other:?}"),
                };
                assert_eq!(fault(rx.try_recv(&mut [0; 8192])), word);
                assert_eq!(fault(rx.recv(&mut [0; 8192])), word, "and again");
                assert_eq!(fault(rx.recv_timeout(&mut [0; 8192], LIMIT)), word);
                assert_eq!(fault(rx.try_frame().map(|frame| frame.len())), word);
                assert_eq!(fault(rx.try_batch(4).map(drop).map(|()| 0)), word);
                match ring.producer().map(drop) {
                    Err(Error::Corrupt { fault, .. }) => assert_eq!(fault.found, word),
                    other => panic!("{word:#x}: {other:?}"),
                }
                let _ = ring.info();
            }
        }
    }
}

#[test]
fn padding_without_a_message_behind_it_is_corrupt() {
    let _alone = alone();
    for align in ALIGNS {
        for word in [0, PAD, PAD | 1, 3 << 32, MESSAGE | 5000, MESSAGE | 2041] {
            for (ring, file) in corruptible(align) {
                let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
                tx.try_send(&[0; 1000]).unwrap();
                drop(rx.try_frame());
                let at = rx_head(&file);
                assert_ne!(at, 0);
                put(&file, DATA, word);
                put(&file, DATA + at, PAD);
                assert!(matches!(rx.try_recv(&mut [0; 4096]), Err(RecvError::Corrupt(_))), "{word:#x}");
                assert!(matches!(rx.try_frame(), Err(RecvError::Corrupt(_))), "{word:#x}");
            }
        }
    }
}

fn rx_head(file: &File) -> u64 {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, HEAD).unwrap();
    u64::from_ne_bytes(word)
}

#[test]
fn a_corrupt_message_in_a_received_batch_ends_it_there() {
    let _alone = alone();
    for (ring, file) in corruptible(Align::Line) {
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        (0..4).for_each(|i| tx.try_send(&[i]).unwrap());
        put(&file, DATA + 128, u64::MAX);
        let mut batch = rx.try_batch(9).unwrap();
        assert_eq!(batch.next(), Ok(Some(&[0][..])));
        assert_eq!(batch.next(), Ok(Some(&[1][..])));
        assert!(matches!(batch.next(), Err(RecvError::Corrupt(_))));
        drop(batch);
        assert_eq!(rx_head(&file), 128, "what was read before it is released");
    }
}

#[test]
fn a_head_that_no_consumer_writes_is_corrupt_to_a_producer_in_need_of_room() {
    let _alone = alone();
    for align in ALIGNS {
        for (ring, file) in corruptible(align) {
            let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
            // The consumer has read 1,024 bytes, so that there is something before head as well.
            for _ in 0..8 {
                tx.try_send(&[0; 120]).unwrap();
                drop(rx.try_frame());
            }
            while tx.try_send(&[0; 56]).is_ok() {}
            let (head, tail) = (rx_head(&file), rx_head(&file) + tx.approx_len() as u64);
            for bad in [head + 1, head + 4, head - 64, 0, tail + 64, tail + 4096, u64::MAX, 1 << 63] {
                put(&file, HEAD, bad);
                match tx.try_send(&[0; 56]) {
                    Err(SendError::Corrupt(Corrupt { field: "head", found, position, .. })) => {
                        assert_eq!((found, position), (bad, tail));
                    }
                    other => panic!("{bad:#x}: {other:?}"),
                }
                assert!(matches!(tx.send(&[0; 56]), Err(SendError::Corrupt(_))));
                assert!(matches!(tx.try_reserve(2000).err(), Some(SendError::Corrupt(_))));
                assert!(tx.approx_len() <= 4096);
                assert!(tx.wait_drained(Some(Duration::ZERO)).is_err());
                let _ = ring.info();
            }
            put(&file, HEAD, head);
            assert_eq!(tx.try_send(&[0; 56]), Err(SendError::Full), "and sound again when it is");
        }
    }
}

#[test]
fn a_head_within_a_batch_in_hand_is_corrupt() {
    let _alone = alone();
    for (ring, file) in corruptible(Align::Line) {
        let mut tx = ring.producer().unwrap();
        let mut batch = tx.batch().unwrap();
        (0..63).for_each(|_| batch.push(&[0; 56]).unwrap());
        // Nobody can have read what is not yet visible. Believed, it would let the batch overwrite its own beginning.
        for bad in [64, 1024, 4032] {
            put(&file, HEAD, bad);
            match batch.push(&[1; 56]) {
                Err(SendError::Corrupt(Corrupt { field: "head", found, .. })) => assert_eq!(found, bad),
                other => panic!("{bad:#x}: {other:?}"),
            }
        }
        put(&file, HEAD, 0);
        assert_eq!(batch.push(&[1; 56]), Err(SendError::Full), "and sound again when it is");
        assert_eq!(batch.commit(), 63);
    }
}

#[test]
fn a_head_off_the_boundary_is_corrupt_to_whoever_attaches() {
    let _alone = alone();
    for (align, heads) in [(Align::Line, [1, 8, 63, u64::MAX]), (Align::Dense, [1, 4, 7, u64::MAX])] {
        for head in heads {
            for (ring, file) in corruptible(align) {
                put(&file, HEAD, head);
                for result in [ring.producer().map(drop), ring.consumer().map(drop)] {
                    match result {
                        Err(Error::Corrupt { fault, .. }) => {
                            assert_eq!((fault.field, fault.found), ("head", head))
                        }
                        other => panic!("{head:#x}: {other:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_ring_of_nothing_but_records_is_corrupt_to_a_producer_and_walked_once() {
    let _alone = alone();
    for (ring, file) in corruptible(Align::Dense) {
        file.write_all_at(&MESSAGE.to_ne_bytes().repeat(512), DATA).unwrap();
        assert!(matches!(ring.producer().map(drop), Err(Error::Corrupt { .. })));
        // The consumer reads what it is told; it cannot know the end.
        let mut rx = ring.consumer().unwrap();
        for _ in 0..2000 {
            assert_eq!(rx.try_recv(&mut []), Ok(0));
        }
    }
}

#[test]
fn a_distrusted_peer_cannot_change_a_message_in_hand() {
    let _alone = alone();
    let [_, (ring, file)] = corruptible(Align::Line);
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    tx.try_send(b"as it was sent").unwrap();
    let frame = rx.try_frame().unwrap();
    file.write_all_at(b"and as changed", DATA + 8).unwrap();
    assert_eq!(*frame, *b"as it was sent");
    drop(frame);
    let mut grant = tx.try_reserve(4).unwrap();
    grant.copy_from_slice(b"mine");
    file.write_all_at(b"hers", DATA + 64 + 8).unwrap();
    assert_eq!(*grant, *b"mine");
    grant.commit_all();
    assert_eq!(received(&mut rx), b"mine");
}

#[test]
fn garbage_anywhere_in_the_segment_is_an_error_at_worst() {
    let _alone = alone();
    for (seed, options) in attackable().enumerate() {
        let mut dice = Dice::new(seed as u64);
        let mut victim = Victim::new(&options);
        // Under a sanitizer all of them together take longer than a verb may.
        within(LIMIT, move || {
            for _ in 0..10_000 {
                if dice.below(3) == 0 {
                    attack(&victim.file, &mut |n| dice.below(n));
                }
                victim.any_verb(&mut |n| dice.below(n));
            }
        });
    }
}

#[test]
fn garbage_at_any_moment_is_an_error_at_worst() {
    let _alone = alone();
    for (seed, options) in attackable().enumerate() {
        let mut victim = Victim::new(&options);
        let file = victim.file.try_clone().unwrap();
        let mut aim = Dice::new(1000 + seed as u64);
        let _attacker = meanwhile(move || attack(&file, &mut |n| aim.below(n)));
        within(LIMIT, move || {
            let mut dice = Dice::new(seed as u64);
            let end = Instant::now() + Duration::from_millis(300);
            while Instant::now() < end {
                victim.any_verb(&mut |n| dice.below(n));
            }
        });
    }
}

#[test]
fn a_semaphore_is_not_put_into_the_hands_of_a_distrusted_peer() {
    let _alone = alone();
    let options = Options::new().capacity(4096).wakeup(Wakeup::Semaphore);
    let unsupported = |result: Result<Ring, Error>| matches!(result, Err(Error::Unsupported { .. }));
    assert!(unsupported(Ring::anonymous(&options.clone().trust(Trust::Distrust))));
    let ring = Ring::anonymous(&options).unwrap();
    let fd = || ring.fd().unwrap().try_clone_to_owned().unwrap();
    if unsupported(Ring::from_fd(fd(), Trust::Distrust)) {
        return;
    }
    // What it would mean: the C library takes the operation of its futex(2) call from the shared bytes, and aborts
    // when the kernel does not know it.
    let file = File::from(fd());
    fork(|_| {
        let mut dice = Dice::new(7);
        for _ in 0..1000 {
            let mut rx = Ring::from_fd(fd(), Trust::Distrust).unwrap().into_consumer().unwrap();
            rx.set_strategy(WaitStrategy::Park).unwrap();
            // No permit, and a word of flags that ends as the operation of a futex(2) call.
            put(&file, HEAD + 128 + 16, 0);
            put(&file, HEAD + 128 + 24, dice.roll());
            let _ = rx.recv_timeout(&mut [0; 8], Duration::from_millis(1));
        }
    })
    .join();
    panic!("accepted");
}
