//! crossbeam's ArrayQueue between two processes: see [`crate::arena`] for how. Many producers and consumers may use it;
//! here it has one of each.
#![forbid(unsafe_code)]

use std::mem::ManuallyDrop;

use crossbeam_queue::ArrayQueue;
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage, SendMessage};

use crate::arena::{Lent, lend};

const PLACES: usize = 1024;

/// `push` and `pop` of messages of exactly `N` bytes.
#[derive(Debug)]
pub struct Array<const N: usize>(Lent<Box<ArrayQueue<[u8; N]>>>);

impl<const N: usize> Mechanism for Array<N> {
    const NAME: &'static str = "array-queue";
    type Sender = End<N>;
    type Receiver = End<N>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size != N {
            return Err(HarnessError::Size { want: N, got: size });
        }
        lend(|| Box::new(ArrayQueue::new(PLACES))).map(Array)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(End(self.0.take()))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(End(self.0.take()))
    }
}

/// Either end.
pub struct End<const N: usize>(ManuallyDrop<Box<ArrayQueue<[u8; N]>>>);

impl<const N: usize> SendMessage for End<N> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    #[inline(always)]
    fn send_with(&mut self, _size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut item = [0; N];
        fill(&mut item);
        while let Err(back) = self.0.push(item) {
            item = back;
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl<const N: usize> ReceiveMessage for End<N> {
    #[inline(always)]
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            match self.0.pop() {
                Some(item) => return Ok(look(&item)),
                None => std::hint::spin_loop(),
            }
        }
    }
}
