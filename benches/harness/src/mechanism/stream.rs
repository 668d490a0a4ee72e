//! A Unix stream socket pair, blocking, with the kernel's default buffer sizes. Each end closes the other one's
//! descriptor, so a death shows as an end of file.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::os::unix::net;

use super::packet::interrupted_or;
use super::{Copies, Mechanism, ReceiveMessage, SendMessage};
use crate::error::HarnessError;

/// A connected pair of Unix stream sockets, used in one direction.
#[derive(Debug)]
pub struct UnixStream {
    near: net::UnixStream,
    far: net::UnixStream,
    size: usize,
}

impl Mechanism for UnixStream {
    const NAME: &'static str = "unix stream";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = ByteSender<net::UnixStream>;
    type Receiver = ByteReceiver<net::UnixStream>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let (near, far) =
            net::UnixStream::pair().map_err(|error| HarnessError::os("making a socket pair", error))?;
        Ok(UnixStream { near, far, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(ByteSender::new(self.near, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(ByteReceiver::new(self.far, self.size))
    }
}

/// The sending end of a byte stream. One write a message, more only if the kernel takes less at once.
#[derive(Debug)]
pub struct ByteSender<W> {
    to: W,
    buffer: Vec<u8>,
}

impl<W: Write> ByteSender<W> {
    pub(super) fn new(to: W, size: usize) -> Self {
        ByteSender { to, buffer: vec![0; size] }
    }
}

impl<W: Write> SendMessage for ByteSender<W> {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        write_all(&mut self.to, message)
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        fill(&mut self.buffer[..size]);
        write_all(&mut self.to, &self.buffer[..size])
    }
}

/// `Write::write_all` with the size that really went out checked and a closed reader told apart.
fn write_all(to: &mut impl Write, message: &[u8]) -> Result<(), HarnessError> {
    let mut sent = 0;
    while sent < message.len() {
        match to.write(&message[sent..]) {
            Ok(0) => return Err(HarnessError::Size { want: message.len(), got: sent }),
            Ok(count) => sent += count,
            Err(error) => interrupted_or("sending", error)?,
        }
    }
    Ok(())
}

/// The receiving end of a byte stream. Reads one message at a time, never ahead.
#[derive(Debug)]
pub struct ByteReceiver<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: Read> ByteReceiver<R> {
    pub(super) fn new(from: R, size: usize) -> Self {
        ByteReceiver { from, buffer: vec![0; size] }
    }

    /// What it reads from.
    pub(super) fn inner(&self) -> &R {
        &self.from
    }
}

impl<F: Read> ReceiveMessage for ByteReceiver<F> {
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let mut received = 0;
        while received < size {
            match self.from.read(&mut self.buffer[received..size]) {
                Ok(0) => return Err(HarnessError::Closed),
                Ok(count) => received += count,
                Err(error) => interrupted_or("receiving", error)?,
            }
        }
        Ok(look(&self.buffer[..size]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes or gives at most three bytes at a time.
    struct Reluctant(Vec<u8>);

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let count = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Read for Reluctant {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            let count = room.len().min(3).min(self.0.len());
            room[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    #[test]
    fn partial_writes_and_reads_make_whole_messages() {
        let mut sender = ByteSender::new(Reluctant(Vec::new()), 16);
        sender.send(b"0123456789abcdef").unwrap();
        sender.send_with(8, |room| room.fill(b'x')).unwrap();
        assert_eq!(sender.to.0, b"0123456789abcdefxxxxxxxx");
        let mut receiver = ByteReceiver::new(sender.to, 16);
        assert_eq!(receiver.receive(16, <[u8]>::to_vec).unwrap(), b"0123456789abcdef");
        assert_eq!(receiver.receive(8, <[u8]>::to_vec).unwrap(), b"xxxxxxxx");
        assert_eq!(receiver.receive(8, <[u8]>::to_vec), Err(HarnessError::Closed));
    }

    #[test]
    fn a_sender_without_a_receiver_is_told_so() {
        let (near, far) = net::UnixStream::pair().unwrap();
        drop(far);
        assert_eq!(ByteSender::new(near, 8).send(b"01234567"), Err(HarnessError::Closed));
    }
}
