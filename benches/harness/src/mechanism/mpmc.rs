//! slipring's MPMC ring, as [`Spsc`](super::Spsc): opened by its name after the fork by each who uses it. Any number may.
#![forbid(unsafe_code)]

use std::marker::PhantomData;
use std::sync::Arc;

use slipring::mpmc::{Receiver, Sender};
use slipring::{Options, Ring, WaitStrategy, Wakeup};

use super::name::RingName;
use super::spsc::{MOST_IN_BATCH, not_received, not_sent, refused};
use super::{Flavour, Mechanism, ReceiveMany, ReceiveMessage, SendMany, SendMessage};
use crate::error::HarnessError;

/// As many slots as fit into 4 MiB, from 4 to 1,024: a ring is populated when it is opened.
fn slots(size: usize) -> usize {
    ((4 << 20) / size.next_power_of_two()).clamp(4, 1024)
}

/// Both ends poll and never sleep; the ring has no wake-up.
#[derive(Debug)]
pub enum MpmcSpin {}

impl Flavour for MpmcSpin {
    const NAME: &'static str = "slipring mpmc spin";
    const STRATEGY: WaitStrategy = WaitStrategy::Spin;
    const WAKEUP: Wakeup = Wakeup::None;
}

/// Both ends poll a little and then sleep on a futex.
#[derive(Debug)]
pub enum MpmcPark {}

impl Flavour for MpmcPark {
    const NAME: &'static str = "slipring mpmc park";
    const STRATEGY: WaitStrategy = WaitStrategy::Park;
    const WAKEUP: Wakeup = Wakeup::Futex;
}

/// Both ends give their core away when there is nothing to do, and never sleep: for more of them than there are cores.
#[derive(Debug)]
pub enum MpmcYield {}

impl Flavour for MpmcYield {
    const NAME: &'static str = "slipring mpmc yield";
    const STRATEGY: WaitStrategy = WaitStrategy::Yield;
    const WAKEUP: Wakeup = Wakeup::None;
}

/// A named ring of its flavour, with slots for messages of the size that is measured.
#[derive(Debug)]
pub struct Mpmc<F> {
    name: Arc<RingName>,
    size: usize,
    flavour: PhantomData<fn() -> F>,
}

impl<F> Clone for Mpmc<F> {
    fn clone(&self) -> Self {
        Mpmc { name: self.name.clone(), size: self.size, flavour: PhantomData }
    }
}

impl<F: Flavour> Mpmc<F> {
    fn join(&self) -> Result<Ring, HarnessError> {
        let options = Options::mpmc(slots(self.size), self.size).wakeup(F::WAKEUP).fences(F::FENCES);
        Ring::open_or_create(self.name.as_str(), &options).map_err(refused)
    }
}

impl<F: Flavour> Mechanism for Mpmc<F> {
    const NAME: &'static str = F::NAME;
    type Sender = MpmcSender;
    type Receiver = MpmcReceiver<F>;

    /// Only the name is made here: no handle may cross the fork.
    fn prepare(size: usize) -> Result<Self, HarnessError> {
        Ok(Mpmc { name: Arc::new(RingName::new()), size, flavour: PhantomData })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        let mut sender = self.join()?.sender().map_err(refused)?;
        sender.set_strategy(F::STRATEGY).map_err(refused)?;
        Ok(MpmcSender(sender))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        let mut receiver = self.join()?.receiver().map_err(refused)?;
        receiver.set_strategy(F::STRATEGY).map_err(refused)?;
        Ok(MpmcReceiver { receiver, buffer: vec![0; self.size], flavour: PhantomData })
    }
}

/// One that sends. Messages that fit into a line are computed on the stack and copied: a slot is another's line, and the
/// shorter it is claimed before it is committed, the less often a receiver that polls it takes it away meanwhile.
pub struct MpmcSender(Sender);

impl SendMessage for MpmcSender {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.0.send(message).map_err(not_sent)
    }

    #[inline(always)]
    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut line = [0; MOST_IN_BATCH];
        if let Some(message) = line.get_mut(..size) {
            fill(message);
            return self.send(message);
        }
        let mut grant = self.0.reserve(size).map_err(not_sent)?;
        if grant.len() != size {
            return Err(HarnessError::Size { want: size, got: grant.len() });
        }
        fill(&mut grant);
        grant.commit_all().map_err(not_sent)
    }
}

/// The most messages of a batch.
const MOST: usize = 16;

impl SendMany for MpmcSender {
    /// A batch copies, so what is computed in place is computed in lines on the stack.
    #[inline(always)]
    fn send_many(
        &mut self,
        size: usize,
        count: usize,
        mut fill: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), HarnessError> {
        if size > MOST_IN_BATCH {
            return Err(HarnessError::Size { want: MOST_IN_BATCH, got: size });
        }
        let mut lines = [[0; MOST_IN_BATCH]; MOST];
        let mut sent = 0;
        while sent < count {
            let now = (count - sent).min(MOST);
            for (k, line) in lines[..now].iter_mut().enumerate() {
                fill(sent + k, &mut line[..size]);
            }
            let messages: [&[u8]; MOST] = std::array::from_fn(|k| &lines[k][..size]);
            self.0.send_batch(&messages[..now]).map_err(|(_, error)| not_sent(error))?;
            sent += now;
        }
        Ok(())
    }
}

/// One that receives.
pub struct MpmcReceiver<F> {
    receiver: Receiver,
    /// What messages are copied to, if they are.
    buffer: Vec<u8>,
    flavour: PhantomData<F>,
}

impl<F: Flavour> ReceiveMessage for MpmcReceiver<F> {
    #[inline(always)]
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        if F::COPIES_OUT {
            let len = self.receiver.recv(&mut self.buffer).map_err(not_received)?;
            return Ok(look(&self.buffer[..len]));
        }
        let frame = self.receiver.frame().map_err(not_received)?;
        let seen = look(&frame);
        frame.release();
        Ok(seen)
    }
}

impl<F: Flavour> ReceiveMany for MpmcReceiver<F> {
    #[inline(always)]
    fn receive_many(
        &mut self,
        _size: usize,
        most: usize,
        look: impl FnMut(&[u8]),
    ) -> Result<(), HarnessError> {
        self.receiver.recv_batch(most, look).map(drop).map_err(not_received)
    }
}
