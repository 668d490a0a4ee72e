//! Dmitry Vyukov's bounded queue for many producers and consumers: what the MPMC ring would be without its promises.
//!
//! Positions are claimed on a shared counter at either end, and a slot's sequence number says whose turn it is: two
//! exchanges a message, both on the counters, where the ring needs four. In return whoever is stopped between its claim
//! and its publication stops everybody behind it, and a killed one does so for ever. Slots are the ring's: 64 bytes, of
//! which 48 are payload. In the shared region of [`crate::arena`], so it works between processes.
#![allow(clippy::disallowed_types, reason = "not the library")]

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage, SendMessage};

use crate::arena::{Lent, lend};
use crate::engine::Waiting;

const PLACES: u64 = 1024;
/// Payload bytes of a slot.
pub const PAYLOAD: usize = 48;

#[repr(C, align(64))]
struct Slot {
    /// Position p may be filled when it is p, and read when it is p + 1.
    turn: AtomicU64,
    payload: UnsafeCell<[u8; PAYLOAD]>,
}

#[repr(C, align(128))]
struct End(AtomicU64);

/// The queue.
struct Queue {
    tail: End,
    head: End,
    slots: [Slot; PLACES as usize],
}

// SAFETY: a payload is touched only by the one whose position it is, between two acquire-release edges on `turn`.
unsafe impl Sync for Queue {}

impl Queue {
    fn new() -> Self {
        let slot = |turn| Slot { turn: AtomicU64::new(turn as u64), payload: UnsafeCell::new([0; PAYLOAD]) };
        Queue { tail: End(AtomicU64::new(0)), head: End(AtomicU64::new(0)), slots: std::array::from_fn(slot) }
    }

    #[inline(always)]
    fn slot(&self, at: u64) -> &Slot {
        &self.slots[(at % PLACES) as usize]
    }

    /// Claims the next position of an end, of which slots are ready when their turn is `ahead` of the position.
    #[inline(always)]
    fn claim<W: Waiting>(&self, end: &End, ahead: u64) -> u64 {
        // Relaxed: the slot's turn orders everything.
        let mut at = end.0.load(Relaxed);
        loop {
            // Acquire: the last one to have the slot is done with it.
            let turn = self.slot(at).turn.load(Acquire);
            match turn.wrapping_sub(at + ahead) as i64 {
                0 => match end.0.compare_exchange_weak(at, at + 1, Relaxed, Relaxed) {
                    Ok(_) => return at,
                    Err(now) => at = now,
                },
                late => {
                    if late < 0 {
                        W::wait();
                    }
                    at = end.0.load(Relaxed);
                }
            }
        }
    }
}

/// One queue, used by whoever has a clone; `W` is how they wait.
pub struct Vyukov<W> {
    queue: Arc<Lent<&'static Queue>>,
    waiting: std::marker::PhantomData<fn() -> W>,
}

impl<W> Clone for Vyukov<W> {
    fn clone(&self) -> Self {
        Vyukov { queue: self.queue.clone(), waiting: self.waiting }
    }
}

impl<W: Waiting> Mechanism for Vyukov<W> {
    const NAME: &'static str = "vyukov";
    type Sender = Handle<W>;
    type Receiver = Handle<W>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size != PAYLOAD {
            return Err(HarnessError::Size { want: PAYLOAD, got: size });
        }
        let queue = lend(|| &*Box::leak(Box::new(Queue::new())))?;
        Ok(Vyukov { queue: Arc::new(queue), waiting: std::marker::PhantomData })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(Handle { queue: self.queue.get(), _lent: self })
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        self.sender()
    }
}

/// A sender or a receiver.
pub struct Handle<W> {
    queue: &'static Queue,
    _lent: Vyukov<W>,
}

impl<W: Waiting> SendMessage for Handle<W> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    #[inline(always)]
    fn send_with(&mut self, _size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let at = self.queue.claim::<W>(&self.queue.tail, 0);
        let slot = self.queue.slot(at);
        // SAFETY: the position is ours, and its slot nobody else's until `turn` says so.
        fill(unsafe { &mut *slot.payload.get() });
        // Release -> claim: the payload before the news of it.
        slot.turn.store(at + 1, Release);
        Ok(())
    }
}

impl<W: Waiting> ReceiveMessage for Handle<W> {
    #[inline(always)]
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let at = self.queue.claim::<W>(&self.queue.head, 1);
        let slot = self.queue.slot(at);
        // SAFETY: the position is ours, and its slot nobody else's until `turn` says so.
        let seen = look(unsafe { &*slot.payload.get() });
        // Release -> claim: our last look before the next filling.
        slot.turn.store(at + PLACES, Release);
        Ok(seen)
    }
}
