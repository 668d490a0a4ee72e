//! System V shared memory with System V semaphores: a circular buffer of ten, one semaphore counts the free places and
//! one the messages. Every message costs two system calls at each end, whether anybody sleeps or not.

use super::sysv::Semaphores;
use super::{Copies, Mechanism, ReceiveMessage, SendMessage};
use crate::error::HarnessError;
use crate::shared::SharedBytes;

const PLACES: u16 = 10;
/// The semaphores' numbers.
const FREE: u16 = 0;
const FULL: u16 = 1;

/// The buffer and its semaphores.
#[derive(Debug)]
pub struct SysvRing {
    places: SharedBytes,
    semaphores: Semaphores,
    size: usize,
    /// Messages sent or received by this end.
    count: usize,
}

impl Mechanism for SysvRing {
    const NAME: &'static str = "system v shm+sem";
    const COPIES: Option<Copies> = Some(Copies::IN_SHARED_MEMORY);
    type Sender = SysvRingSender;
    type Receiver = SysvRingReceiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let places = SharedBytes::system_v(PLACES as usize * size)?;
        Ok(SysvRing { places, semaphores: Semaphores::new([PLACES, 0])?, size, count: 0 })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(SysvRingSender(self))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(SysvRingReceiver(self))
    }
}

impl SysvRing {
    fn place(&self) -> usize {
        self.count % PLACES as usize * self.size
    }
}

/// The end that fills places.
#[derive(Debug)]
pub struct SysvRingSender(SysvRing);

impl SendMessage for SysvRingSender {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let ring = &mut self.0;
        ring.semaphores.down(FREE)?;
        // SAFETY: the semaphore says that the receiver has left this place; system calls order memory between them.
        fill(unsafe { ring.places.slice_mut(ring.place(), size) });
        ring.count += 1;
        ring.semaphores.up(FULL)
    }
}

/// The end that empties places.
#[derive(Debug)]
pub struct SysvRingReceiver(SysvRing);

impl ReceiveMessage for SysvRingReceiver {
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let ring = &mut self.0;
        ring.semaphores.down(FULL)?;
        // SAFETY: the semaphore says that the sender has filled this place and left it.
        let seen = look(unsafe { ring.places.slice(ring.place(), size) });
        ring.count += 1;
        ring.semaphores.up(FREE)?;
        Ok(seen)
    }
}
