//! ipmpsc: a ring of serialised values in a mapped file, under a process-shared mutex with conditions. Values are byte
//! slices, written by one copy and read where they lie. The receiver waits, or polls (`POLLED`).
#![forbid(unsafe_code)]

use ipmpsc::{Receiver, Sender, SharedRingBuffer};
use serde::{Serialize, Serializer};
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage};

use crate::engine::{Buffered, SendWhole, new_name, refused};

const ROOM: u32 = 1 << 20;

/// A ring, made before the fork. Its file's name goes at once.
pub struct Ipmpsc<const POLLED: bool>(SharedRingBuffer, usize);

impl<const POLLED: bool> Mechanism for Ipmpsc<POLLED> {
    const NAME: &'static str = if POLLED { "ipmpsc polled" } else { "ipmpsc" };
    type Sender = Buffered<Sender>;
    type Receiver = Receiving<POLLED>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let path = format!("/dev/shm/{}", new_name("ipmpsc"));
        let made = SharedRingBuffer::create(&path, ROOM).map_err(refused);
        // Both ends inherit the mapping.
        let removed = std::fs::remove_file(&path);
        let ring = made?;
        removed.map_err(|error| HarnessError::os(format!("removing {path}"), error))?;
        Ok(Ipmpsc(ring, size))
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(Buffered::new(Sender::new(self.0), self.1))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(Receiving(Receiver::new(self.0)))
    }
}

/// Bytes as such: serde would take a slice for a sequence of numbers.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl SendWhole for Sender {
    fn send_whole(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send(&Bytes(message)).map_err(refused)
    }
}

/// The receiving end.
pub struct Receiving<const POLLED: bool>(Receiver);

impl<const POLLED: bool> ReceiveMessage for Receiving<POLLED> {
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let mut context = self.0.zero_copy_context();
        if !POLLED {
            return Ok(look(context.recv::<&[u8]>().map_err(refused)?));
        }
        loop {
            match context.try_recv::<&[u8]>().map_err(refused)? {
                Some(message) => return Ok(look(message)),
                None => std::hint::spin_loop(),
            }
        }
    }
}
