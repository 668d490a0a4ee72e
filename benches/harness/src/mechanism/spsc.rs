//! slipring's SPSC ring. Each process opens the ring by its name after the fork, so each has a mapping, a lease and a
//! handle of its own, at addresses of its own, as unrelated programs have.
//!
//! Whoever comes first makes the ring.
#![forbid(unsafe_code)]

use std::marker::PhantomData;

use slipring::spsc::{Consumer, Producer};
use slipring::{Align, Fences, Options, RecvError, Ring, SendError, WaitStrategy, Wakeup};

use super::name::RingName;
use super::{Copies, Mechanism, ReceiveMany, ReceiveMessage, SendMany, SendMessage};
use crate::error::HarnessError;

/// A way to use the ring.
pub trait Flavour {
    /// The mechanism's name in reports.
    const NAME: &'static str;
    /// How both ends wait.
    const STRATEGY: WaitStrategy;
    /// What the ring can wake its users with.
    const WAKEUP: Wakeup;
    /// Who pays for the wake-up's fence.
    const FENCES: Fences = Fences::Asymmetric;
    /// Where records start.
    const ALIGN: Align = Align::Line;
    /// Whether the receiver copies each message out of the ring before it looks, instead of reading it in place.
    const COPIES_OUT: bool = false;
}

/// Both ends poll and never sleep; the ring has no wake-up.
#[derive(Debug)]
pub enum Spin {}

impl Flavour for Spin {
    const NAME: &'static str = "slipring spin";
    const STRATEGY: WaitStrategy = WaitStrategy::Spin;
    const WAKEUP: Wakeup = Wakeup::None;
}

/// The default: both ends poll a little and then sleep on a futex.
#[derive(Debug)]
pub enum Park {}

impl Flavour for Park {
    const NAME: &'static str = "slipring park";
    const STRATEGY: WaitStrategy = WaitStrategy::Park;
    const WAKEUP: Wakeup = Wakeup::Futex;
}

/// A named ring of its flavour, at least 1 MiB.
#[derive(Debug)]
pub struct Spsc<F> {
    name: RingName,
    size: usize,
    flavour: PhantomData<F>,
}

impl<F: Flavour> Spsc<F> {
    fn join(&self) -> Result<Ring, HarnessError> {
        // Four of the largest messages, so that neither end waits for every single one.
        let capacity = (4 * self.size).next_power_of_two().max(1 << 20);
        let options = Options::new().capacity(capacity).wakeup(F::WAKEUP).fences(F::FENCES).align(F::ALIGN);
        Ring::open_or_create(self.name.as_str(), &options).map_err(refused)
    }
}

impl<F: Flavour> Mechanism for Spsc<F> {
    const NAME: &'static str = F::NAME;
    const COPIES: Option<Copies> =
        Some(if F::COPIES_OUT { Copies { in_place: 1, copied: 2 } } else { Copies::IN_SHARED_MEMORY });
    type Sender = SpscSender;
    type Receiver = SpscReceiver<F>;

    /// Only the name is made here: no handle may cross the fork.
    fn prepare(size: usize) -> Result<Self, HarnessError> {
        Ok(Spsc { name: RingName::new(), size, flavour: PhantomData })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        let mut producer = self.join()?.into_producer().map_err(refused)?;
        producer.set_strategy(F::STRATEGY).map_err(refused)?;
        Ok(SpscSender(producer))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        let mut consumer = self.join()?.into_consumer().map_err(refused)?;
        consumer.set_strategy(F::STRATEGY).map_err(refused)?;
        Ok(SpscReceiver { consumer, buffer: vec![0; self.size], flavour: PhantomData })
    }
}

/// The producer. Payloads computed in place go through a grant, others are copied.
pub struct SpscSender(Producer);

impl SendMessage for SpscSender {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.0.send(message).map_err(not_sent)
    }

    #[inline(always)]
    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut grant = self.0.reserve(size).map_err(not_sent)?;
        if grant.len() != size {
            return Err(HarnessError::Size { want: size, got: grant.len() });
        }
        fill(&mut grant);
        grant.commit_all();
        Ok(())
    }
}

impl SendMany for SpscSender {
    /// One batch, or several if the ring has no room for all at once. A batch copies, so what is computed in place is
    /// computed in a line on the stack.
    #[inline(always)]
    fn send_many(
        &mut self,
        size: usize,
        count: usize,
        mut fill: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), HarnessError> {
        let mut line = [0; MOST_IN_BATCH];
        let message = line.get_mut(..size).ok_or(HarnessError::Size { want: MOST_IN_BATCH, got: size })?;
        let mut sent = 0;
        while sent < count {
            let mut batch = self.0.batch().map_err(not_sent)?;
            while sent < count {
                fill(sent, message);
                match batch.push(message) {
                    Ok(()) => sent += 1,
                    Err(SendError::Full) => break,
                    Err(error) => return Err(not_sent(error)),
                }
            }
            if batch.commit() == 0 {
                std::hint::spin_loop();
            }
        }
        Ok(())
    }
}

/// The longest message of a batch.
pub(super) const MOST_IN_BATCH: usize = 64;

/// The consumer.
pub struct SpscReceiver<F> {
    consumer: Consumer,
    /// What messages are copied to, if they are.
    buffer: Vec<u8>,
    flavour: PhantomData<F>,
}

impl<F: Flavour> SpscReceiver<F> {
    /// Shows the next message, if there is one, to `look`, which must be there.
    #[inline(always)]
    pub(super) fn try_receive<R>(
        &mut self,
        look: &mut Option<impl FnOnce(&[u8]) -> R>,
    ) -> Result<Option<R>, HarnessError> {
        match self.consumer.try_frame() {
            Ok(frame) => {
                let seen = look.take().map(|look| look(&frame));
                frame.release();
                Ok(seen)
            }
            Err(RecvError::Empty) => Ok(None),
            Err(error) => Err(not_received(error)),
        }
    }
}

impl<F: Flavour> ReceiveMessage for SpscReceiver<F> {
    #[inline(always)]
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        if F::COPIES_OUT {
            let len = self.consumer.recv(&mut self.buffer).map_err(not_received)?;
            return Ok(look(&self.buffer[..len]));
        }
        let frame = self.consumer.frame().map_err(not_received)?;
        let seen = look(&frame);
        frame.release();
        Ok(seen)
    }
}

impl<F: Flavour> ReceiveMany for SpscReceiver<F> {
    #[inline(always)]
    fn receive_many(
        &mut self,
        _size: usize,
        most: usize,
        mut look: impl FnMut(&[u8]),
    ) -> Result<(), HarnessError> {
        let mut batch = self.consumer.batch(most).map_err(not_received)?;
        while let Some(message) = batch.next().map_err(not_received)? {
            look(message);
        }
        Ok(())
    }
}

pub(super) fn refused(error: impl std::fmt::Display) -> HarnessError {
    HarnessError::Ring { what: error.to_string() }
}

#[cold]
pub(super) fn not_sent(error: SendError) -> HarnessError {
    match error {
        SendError::Closed | SendError::PeerDied { .. } => HarnessError::Closed,
        other => refused(other),
    }
}

#[cold]
pub(super) fn not_received(error: RecvError) -> HarnessError {
    match error {
        RecvError::Closed | RecvError::PeerDied { .. } => HarnessError::Closed,
        other => refused(other),
    }
}
