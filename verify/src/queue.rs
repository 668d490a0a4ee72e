//! An SPSC ring beside what it must be: a queue, with exact arithmetic of who has which bytes. `tests/spsc.rs` plays
//! sequences that proptest makes, the fuzz target `sequence` those that coverage finds.
#![allow(
    clippy::forget_non_drop,
    reason = "that forgetting is harmless is a promise, whatever the type has today"
)]

use slipring::{Options, RecvError, Ring, SendError};
use std::collections::VecDeque;

/// One verb. Lengths are in bytes.
#[derive(Clone, Debug)]
pub enum Op {
    /// A copy of a message.
    Send(usize),
    /// Reserve this much; commit that much of it, or abort.
    Grant(usize, Option<usize>),
    /// Reserve, scribble and forget.
    ForgetGrant(usize),
    /// Push these; commit or drop.
    Batch(Vec<usize>, bool),
    /// Into a buffer of this length.
    Recv(usize),
    /// Keep or release it.
    Frame {
        /// It stays first.
        keep: bool,
    },
    /// Up to so many, of which so many are read.
    RecvBatch(usize, usize),
    /// Close and attach again.
    NewProducer,
    /// The same, the other end.
    NewConsumer,
}

/// What the ring must be: a queue, and exact arithmetic of who has which bytes.
struct Model {
    capacity: u64,
    align: u64,
    head: u64,
    tail: u64,
    /// The messages and the positions behind them.
    queue: VecDeque<(Vec<u8>, u64)>,
    sent: u8,
}

impl Model {
    fn message(&mut self, len: usize) -> Vec<u8> {
        self.sent = self.sent.wrapping_add(1);
        vec![self.sent; len]
    }

    fn stride(&self, len: usize) -> u64 {
        (len as u64 + 8).next_multiple_of(self.align)
    }

    /// Where a message of up to `max` bytes behind `tail` starts, if it fits.
    fn start(&self, tail: u64, max: usize) -> Result<u64, SendError> {
        let limit = self.capacity as usize / 2 - 8;
        if max > limit {
            return Err(SendError::TooLarge { len: max, max: limit });
        }
        let room = self.capacity - tail % self.capacity;
        let start = if self.stride(max) <= room { tail } else { tail + room };
        let end = start + self.stride(max);
        if end + self.align - self.head <= self.capacity { Ok(start) } else { Err(SendError::Full) }
    }

    fn commit(&mut self, start: u64, message: Vec<u8>) {
        self.tail = start + self.stride(message.len());
        self.queue.push_back((message, self.tail));
    }

    fn take(&mut self) {
        self.head = self.queue.pop_front().unwrap().1;
    }
}

/// Plays the verbs on a new ring of this capacity and record boundary, and compares every answer.
pub fn behaves_as_a_queue(options: &Options, capacity: u64, align: u64, ops: &[Op]) {
    let ring = Ring::anonymous(options).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let mut model = Model { capacity, align, head: 0, tail: 0, queue: VecDeque::new(), sent: 0 };
    for op in ops {
        match op {
            Op::Send(len) => {
                let message = model.message(*len);
                let start = model.start(model.tail, *len);
                assert_eq!(tx.try_send(&message), start.map(drop));
                if let Ok(start) = start {
                    model.commit(start, message);
                }
            }
            Op::Grant(max, part) => {
                let start = model.start(model.tail, *max);
                match (tx.try_reserve(*max), start) {
                    (Ok(mut grant), Ok(start)) => {
                        assert_eq!(grant.len(), *max);
                        grant.fill(0xff);
                        if let Some(len) = part {
                            let message = model.message(*len);
                            grant[..*len].copy_from_slice(&message);
                            grant.commit(*len).unwrap();
                            model.commit(start, message);
                        }
                    }
                    (real, start) => assert_eq!(real.err(), start.err()),
                }
            }
            Op::ForgetGrant(max) => {
                if let Ok(mut grant) = tx.try_reserve(*max) {
                    grant.fill(0xff);
                    std::mem::forget(grant);
                }
            }
            Op::Batch(lens, commit) => {
                let mut batch = tx.batch().unwrap();
                let (mut end, mut pushed) = (model.tail, Vec::new());
                for len in lens {
                    let message = model.message(*len);
                    let start = model.start(end, *len);
                    assert_eq!(batch.push(&message), start.map(drop));
                    if let Ok(start) = start {
                        end = start + model.stride(*len);
                        pushed.push((start, message));
                    }
                }
                if *commit {
                    assert_eq!(batch.commit(), pushed.len());
                    pushed.into_iter().for_each(|(start, message)| model.commit(start, message));
                }
            }
            Op::Recv(have) => {
                let mut buffer = vec![0; *have];
                let real = rx.try_recv(&mut buffer).map(|len| buffer[..len].to_vec());
                match model.queue.front() {
                    None => assert_eq!(real, Err(RecvError::Empty)),
                    Some((m, _)) if m.len() > *have => {
                        assert_eq!(real, Err(RecvError::BufferTooSmall { len: m.len(), have: *have }));
                    }
                    Some((m, _)) => {
                        assert_eq!(real.as_ref(), Ok(m));
                        model.take();
                    }
                }
            }
            Op::Frame { keep } => match (rx.try_frame(), model.queue.front()) {
                (Ok(frame), Some((m, _))) => {
                    assert_eq!(*frame, **m);
                    if *keep {
                        frame.keep();
                    } else {
                        drop(frame);
                        model.take();
                    }
                }
                (real, _) => assert_eq!((real.err(), model.queue.len()), (Some(RecvError::Empty), 0)),
            },
            Op::RecvBatch(max, read) => match rx.try_batch(*max) {
                Ok(mut batch) => {
                    let read = (0..*read)
                        .take_while(|i| {
                            let expected = model.queue.get(*i).filter(|_| i < max).map(|(m, _)| &m[..]);
                            assert_eq!(batch.next(), Ok(expected));
                            expected.is_some()
                        })
                        .count();
                    drop(batch);
                    (0..read).for_each(|_| model.take());
                }
                Err(error) => assert_eq!((error, model.queue.len()), (RecvError::Empty, 0)),
            },
            Op::NewProducer => {
                drop(tx);
                tx = ring.producer().unwrap();
            }
            Op::NewConsumer => {
                drop(rx);
                rx = ring.consumer().unwrap();
            }
        }
        assert_eq!(tx.approx_len() as u64, model.tail - model.head, "after {op:?}");
        assert_eq!(rx.was_empty(), model.queue.is_empty(), "after {op:?}");
    }
}
