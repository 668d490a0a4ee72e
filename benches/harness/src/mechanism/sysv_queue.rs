//! A System V message queue, blocking, with the kernel's default room (msgmnb, 16 KiB).
#![forbid(unsafe_code)]

use std::fs;

use super::packet::interrupted_or;
use super::sysv::{Queue, TYPE};
use super::{Copies, Mechanism, ReceiveMessage, SendMessage};
use crate::error::HarnessError;

/// A queue without a key.
#[derive(Clone, Debug)]
pub struct SysvQueue {
    queue: Queue,
    size: usize,
}

impl Mechanism for SysvQueue {
    const NAME: &'static str = "system v mq";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = SysvEnd;
    type Receiver = SysvEnd;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        // Where the kernel has no such queues, making one says so.
        let queue = Queue::new()?;
        for limit in ["msgmax", "msgmnb"] {
            let path = format!("/proc/sys/kernel/{limit}");
            let most: Option<usize> =
                fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            if let Some(most) = most.filter(|&most| most < size) {
                return Err(HarnessError::Limit { what: format!("a message holds {most} bytes: {path}") });
            }
        }
        Ok(SysvQueue { queue, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(self.end(1))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(self.end(1))
    }
}

impl SysvQueue {
    /// An end that sends messages of this type, or receives the oldest of any type.
    pub(super) fn end(&self, kind: libc::c_long) -> SysvEnd {
        // Longer than any message, so that none is cut to the right length.
        let mut buffer = vec![0; TYPE + self.size + 8];
        buffer[..TYPE].copy_from_slice(&kind.to_ne_bytes());
        SysvEnd { queue: self.queue.clone(), buffer }
    }
}

/// Either end, with a buffer that begins with the type. A ready message is put behind it first: that copy is the price
/// of this interface, and not counted among the kernel's two.
#[derive(Debug)]
pub struct SysvEnd {
    queue: Queue,
    buffer: Vec<u8>,
}

impl SendMessage for SysvEnd {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        fill(&mut self.buffer[TYPE..][..size]);
        while let Err(error) = self.queue.send(&self.buffer[..TYPE + size]) {
            interrupted_or("sending to a System V queue", error)?;
        }
        Ok(())
    }
}

impl ReceiveMessage for SysvEnd {
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            match self.queue.receive(&mut self.buffer) {
                Ok(len) if len == size => return Ok(look(&self.buffer[TYPE..][..len])),
                Ok(len) => return Err(HarnessError::Size { want: size, got: len }),
                Err(error) => interrupted_or("receiving from a System V queue", error)?,
            }
        }
    }
}
