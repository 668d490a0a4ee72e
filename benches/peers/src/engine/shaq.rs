//! shaq: items of one type in a mapped file that has no name any more, which each process joins after the fork. Polled,
//! written and read in place: a batch of one.

use std::fs::{self, File};
use std::num::NonZeroUsize;

use shaq::spsc::{Consumer, Producer, minimum_file_size};
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage, SendMessage};

use crate::engine::rtrb::{Item, Lined};
use crate::engine::{new_name, refused};

/// A queue of messages of exactly `N` bytes, each on cache lines of its own.
pub struct Shaq<const N: usize>(File);

impl<const N: usize> Mechanism for Shaq<N> {
    const NAME: &'static str = "shaq";
    type Sender = Sending<N>;
    type Receiver = Receiving<N>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size != N {
            return Err(HarnessError::Size { want: N, got: size });
        }
        let path = format!("/dev/shm/{}", new_name("shaq"));
        let made = File::options().read(true).write(true).create_new(true).open(&path);
        let file = made.map_err(|error| HarnessError::os(format!("making {path}"), error))?;
        fs::remove_file(&path).map_err(|error| HarnessError::os(format!("removing {path}"), error))?;
        let bytes = minimum_file_size::<Lined<N>>(Lined::<N>::PLACES).next_multiple_of(4096);
        // SAFETY: the file is new and nobody else's, and this producer sends nothing: it is gone before the fork.
        drop(unsafe { Producer::<Lined<N>>::create(&file, bytes) }.map_err(refused)?);
        Ok(Shaq(file))
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        // SAFETY: one process becomes the sender, its maker is no producer any more, and items are plain bytes.
        unsafe { Producer::join(&self.0) }.map(Sending).map_err(refused)
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        // SAFETY: one process becomes the receiver, and items are plain bytes.
        unsafe { Consumer::join(&self.0) }.map(Receiving).map_err(refused)
    }
}

/// The sending end.
pub struct Sending<const N: usize>(Producer<Lined<N>>);

impl<const N: usize> SendMessage for Sending<N> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    #[inline(always)]
    fn send_with(&mut self, _size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        loop {
            let mut batch = self.0.write_batch();
            // SAFETY: the place is made a value below, before the batch is dropped.
            if let Some(place) = unsafe { batch.try_as_mut() } {
                fill(place.write(Lined::BLANK).bytes_mut());
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }
}

/// The receiving end.
pub struct Receiving<const N: usize>(Consumer<Lined<N>>);

impl<const N: usize> ReceiveMessage for Receiving<N> {
    #[inline(always)]
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            match self.0.try_reserve_read_batch(NonZeroUsize::MIN) {
                Some(batch) => return Ok(look(batch[0].bytes())),
                None => std::hint::spin_loop(),
            }
        }
    }
}
