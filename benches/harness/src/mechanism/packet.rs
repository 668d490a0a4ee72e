//! What mechanisms have in common that keep messages apart and copy them: one call a message each way, and the size
//! that really went out, or came in, is compared with the one asked for.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};

use super::{ReceiveMessage, SendMessage};
use crate::error::HarnessError;

/// Sends one message with one call.
pub trait Put {
    /// Gives a whole message to the kernel; the bytes it says it took.
    fn put(&mut self, message: &[u8]) -> io::Result<usize>;
}

/// Receives one message with one call.
pub trait Take {
    /// The length of the next message, which is then in `room`. Room is longer than any message, so that none is cut
    /// to the right length.
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize>;
}

/// The sending end.
#[derive(Debug)]
pub struct PacketSender<P> {
    to: P,
    buffer: Vec<u8>,
}

impl<P: Put> PacketSender<P> {
    pub(super) fn new(to: P, size: usize) -> Self {
        PacketSender { to, buffer: vec![0; size] }
    }
}

impl<P: Put> SendMessage for PacketSender<P> {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        put(&mut self.to, message)
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        fill(&mut self.buffer[..size]);
        put(&mut self.to, &self.buffer[..size])
    }
}

fn put(to: &mut impl Put, message: &[u8]) -> Result<(), HarnessError> {
    loop {
        match to.put(message) {
            Ok(sent) if sent == message.len() => return Ok(()),
            Ok(sent) => return Err(HarnessError::Size { want: message.len(), got: sent }),
            Err(error) => interrupted_or("sending", error)?,
        }
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct PacketReceiver<T> {
    from: T,
    buffer: Vec<u8>,
}

impl<T: Take> PacketReceiver<T> {
    pub(super) fn new(from: T, size: usize) -> Self {
        PacketReceiver { from, buffer: vec![0; size + 8] }
    }
}

impl<T: Take> ReceiveMessage for PacketReceiver<T> {
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        loop {
            match self.from.take(&mut self.buffer) {
                Ok(0) => return Err(HarnessError::Closed),
                Ok(len) if len == size => return Ok(look(&self.buffer[..len])),
                Ok(len) => return Err(HarnessError::Size { want: size, got: len }),
                Err(error) => interrupted_or("receiving", error)?,
            }
        }
    }
}

/// Ok if it was only a signal. A peer that has gone is told apart.
#[cold]
pub(super) fn interrupted_or(what: &str, error: io::Error) -> Result<(), HarnessError> {
    match error.kind() {
        ErrorKind::Interrupted => Ok(()),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused => {
            Err(HarnessError::Closed)
        }
        _ => Err(HarnessError::os(what, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all but the last byte, and delivers it so.
    struct Short(Vec<u8>);

    impl Put for Short {
        fn put(&mut self, message: &[u8]) -> io::Result<usize> {
            self.0 = message[..message.len() - 1].to_vec();
            Ok(self.0.len())
        }
    }

    impl Take for Short {
        fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
            room[..self.0.len()].copy_from_slice(&self.0);
            Ok(self.0.len())
        }
    }

    #[test]
    fn another_size_than_asked_for_is_an_error() {
        let mut sender = PacketSender::new(Short(Vec::new()), 16);
        assert_eq!(sender.send(&[7; 16]), Err(HarnessError::Size { want: 16, got: 15 }));
        let mut receiver = PacketReceiver::new(sender.to, 16);
        assert_eq!(receiver.receive(16, |_| ()), Err(HarnessError::Size { want: 16, got: 15 }));
    }
}
