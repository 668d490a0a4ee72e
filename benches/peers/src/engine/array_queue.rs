//! crossbeam's ArrayQueue, in the shared region of [`crate::arena`]: between two processes, or used by the threads of one
//! as it is meant to be.
#![forbid(unsafe_code)]

use std::marker::PhantomData;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage, SendMessage};

use crate::arena::{Lent, lend};
use crate::engine::Waiting;

const PLACES: usize = 1024;

type Queue<const N: usize> = &'static ArrayQueue<[u8; N]>;

/// `push` and `pop` of messages of exactly `N` bytes, used by whoever has a clone; `W` is how they wait.
#[derive(Debug)]
pub struct Array<const N: usize, W> {
    queue: Arc<Lent<Queue<N>>>,
    waiting: PhantomData<fn() -> W>,
}

impl<const N: usize, W> Clone for Array<N, W> {
    fn clone(&self) -> Self {
        Array { queue: self.queue.clone(), waiting: PhantomData }
    }
}

impl<const N: usize, W: Waiting> Mechanism for Array<N, W> {
    const NAME: &'static str = "array-queue";
    type Sender = Handle<N, W>;
    type Receiver = Handle<N, W>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size != N {
            return Err(HarnessError::Size { want: N, got: size });
        }
        let queue = lend(|| &*Box::leak(Box::new(ArrayQueue::new(PLACES))))?;
        Ok(Array { queue: Arc::new(queue), waiting: PhantomData })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(Handle { queue: self.queue.get(), _lent: self })
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        self.sender()
    }
}

/// A sender or a receiver.
pub struct Handle<const N: usize, W> {
    queue: Queue<N>,
    _lent: Array<N, W>,
}

impl<const N: usize, W: Waiting> SendMessage for Handle<N, W> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    #[inline(always)]
    fn send_with(&mut self, _size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut item = [0; N];
        fill(&mut item);
        while let Err(back) = self.queue.push(item) {
            item = back;
            W::wait();
        }
        Ok(())
    }
}

impl<const N: usize, W: Waiting> ReceiveMessage for Handle<N, W> {
    #[inline(always)]
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            match self.queue.pop() {
                Some(item) => return Ok(look(&item)),
                None => W::wait(),
            }
        }
    }
}
