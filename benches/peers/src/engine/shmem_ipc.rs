//! shmem-ipc: typed items in a memfd, one counter that both sides change.
//!
//! It is made before the fork; each process keeps one end. Polled through its low-level access, because its signals
//! cost an eventfd write each time the ring was empty.

use shmem_ipc::sharedring::{Receiver, Sender};
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage, SendMessage};

use crate::engine::refused;

/// Rings of messages of exactly `8 * WORDS * TIMES` bytes.
pub struct Shmem<const WORDS: usize, const TIMES: usize>(
    Sender<[[u64; WORDS]; TIMES]>,
    Receiver<[[u64; WORDS]; TIMES]>,
);

impl<const WORDS: usize, const TIMES: usize> Mechanism for Shmem<WORDS, TIMES> {
    const NAME: &'static str = "shmem-ipc";
    type Sender = Sending<WORDS, TIMES>;
    type Receiver = Receiving<WORDS, TIMES>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size != 8 * WORDS * TIMES {
            return Err(HarnessError::Size { want: 8 * WORDS * TIMES, got: size });
        }
        let capacity = (1 << 20) / size;
        let sender = Sender::new(capacity).map_err(refused)?;
        let copy = |file: &std::fs::File| {
            file.try_clone().map_err(|error| HarnessError::os("copying a descriptor", error))
        };
        let files =
            (copy(sender.memfd().as_file())?, copy(sender.empty_signal())?, copy(sender.full_signal())?);
        let receiver = Receiver::open(capacity, files.0, files.1, files.2).map_err(refused)?;
        Ok(Shmem(sender, receiver))
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(Sending(self.0))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(Receiving(self.1))
    }
}

/// The sending end.
pub struct Sending<const WORDS: usize, const TIMES: usize>(Sender<[[u64; WORDS]; TIMES]>);

impl<const WORDS: usize, const TIMES: usize> SendMessage for Sending<WORDS, TIMES> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    #[inline(always)]
    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut fill = Some(fill);
        while let Some(now) = fill.take() {
            let mut kept = Some(now);
            let sent = self.0.sender_mut().send(|place, _free| {
                if let Some(fill) = kept.take() {
                    // SAFETY: at least one item of this size at `place` is free, which is the sender's alone, and both
                    // ends keep to the protocol. Its bytes were zero pages or written before.
                    fill(unsafe { std::slice::from_raw_parts_mut(place.cast::<u8>(), size) });
                }
                1
            });
            sent.map_err(refused)?;
            // Still here: the ring was full and nobody was called.
            fill = kept;
            if fill.is_some() {
                std::hint::spin_loop();
            }
        }
        Ok(())
    }
}

/// The receiving end.
pub struct Receiving<const WORDS: usize, const TIMES: usize>(Receiver<[[u64; WORDS]; TIMES]>);

impl<const WORDS: usize, const TIMES: usize> ReceiveMessage for Receiving<WORDS, TIMES> {
    #[inline(always)]
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        // Its `recv` subtracts from the shared counter even if there is nothing: probe by reading first.
        while self.0.receiver_mut().read_count().map_err(refused)? == 0 {
            std::hint::spin_loop();
        }
        let mut seen = None;
        let received = self.0.receiver_mut().recv(|place, _count| {
            // SAFETY: at least one item of this size at `place` is written and not released, and both ends keep to the
            // protocol.
            seen = Some(look(unsafe { std::slice::from_raw_parts(place.cast::<u8>(), size) }));
            1
        });
        received.map_err(refused)?;
        seen.ok_or(HarnessError::Closed)
    }
}
