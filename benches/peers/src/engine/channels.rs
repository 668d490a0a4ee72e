//! Channels between threads, in the shared region of [`crate::arena`]: crossbeam's and kanal's, bounded, polled with the
//! verbs that do not wait. Those that wait park threads of their own process, and could wake nobody in another.
#![forbid(unsafe_code)]

use std::sync::Arc;

use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage, SendMessage};

use crate::arena::{Lent, lend};

const PLACES: usize = 1024;

/// Both ends of a bounded channel of messages of exactly `N` bytes.
pub trait Ends<const N: usize>: Sync + 'static {
    /// Its name.
    const NAME: &'static str;

    /// A channel of so many places.
    fn new(places: usize) -> Self;

    /// Whether there was room.
    fn try_send(&self, item: [u8; N]) -> Result<bool, HarnessError>;

    /// The oldest message, if there is one.
    fn try_receive(&self) -> Result<Option<[u8; N]>, HarnessError>;
}

/// crossbeam-channel's.
pub struct Crossbeam<const N: usize>(
    crossbeam_channel::Sender<[u8; N]>,
    crossbeam_channel::Receiver<[u8; N]>,
);

impl<const N: usize> Ends<N> for Crossbeam<N> {
    const NAME: &'static str = "crossbeam-channel";

    fn new(places: usize) -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(places);
        Crossbeam(sender, receiver)
    }

    #[inline(always)]
    fn try_send(&self, item: [u8; N]) -> Result<bool, HarnessError> {
        match self.0.try_send(item) {
            Ok(()) => Ok(true),
            Err(crossbeam_channel::TrySendError::Full(_)) => Ok(false),
            Err(_) => Err(HarnessError::Closed),
        }
    }

    #[inline(always)]
    fn try_receive(&self) -> Result<Option<[u8; N]>, HarnessError> {
        match self.1.try_recv() {
            Ok(item) => Ok(Some(item)),
            Err(crossbeam_channel::TryRecvError::Empty) => Ok(None),
            Err(_) => Err(HarnessError::Closed),
        }
    }
}

/// kanal's. Its places are allocated when it is made, so that it never allocates later, in one process alone.
pub struct Kanal<const N: usize>(kanal::Sender<[u8; N]>, kanal::Receiver<[u8; N]>);

impl<const N: usize> Ends<N> for Kanal<N> {
    const NAME: &'static str = "kanal";

    fn new(places: usize) -> Self {
        let (sender, receiver) = kanal::bounded(places);
        Kanal(sender, receiver)
    }

    #[inline(always)]
    fn try_send(&self, item: [u8; N]) -> Result<bool, HarnessError> {
        self.0.try_send(item).map_err(|_| HarnessError::Closed)
    }

    #[inline(always)]
    fn try_receive(&self) -> Result<Option<[u8; N]>, HarnessError> {
        self.1.try_recv().map_err(|_| HarnessError::Closed)
    }
}

/// One of them.
pub struct Channel<const N: usize, E: Ends<N>>(Arc<Lent<&'static E>>);

impl<const N: usize, E: Ends<N>> Mechanism for Channel<N, E> {
    const NAME: &'static str = E::NAME;
    type Sender = Handle<N, E>;
    type Receiver = Handle<N, E>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size != N {
            return Err(HarnessError::Size { want: N, got: size });
        }
        Ok(Channel(Arc::new(lend(|| &*Box::leak(Box::new(E::new(PLACES))))?)))
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(Handle { ends: self.0.get(), _lent: self })
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        self.sender()
    }
}

/// A sender or a receiver.
pub struct Handle<const N: usize, E: Ends<N>> {
    ends: &'static E,
    _lent: Channel<N, E>,
}

impl<const N: usize, E: Ends<N>> SendMessage for Handle<N, E> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    #[inline(always)]
    fn send_with(&mut self, _size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut item = [0; N];
        fill(&mut item);
        while !self.ends.try_send(item)? {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl<const N: usize, E: Ends<N>> ReceiveMessage for Handle<N, E> {
    #[inline(always)]
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            match self.ends.try_receive()? {
                Some(item) => return Ok(look(&item)),
                None => std::hint::spin_loop(),
            }
        }
    }
}
