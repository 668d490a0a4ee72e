//! slipring's sockets: pairs of the three kinds, used in one direction as the kernel's pairs are. Buffers as the kernel's
//! default; what is longer than these gets room for four, which the kernel does not have.
#![forbid(unsafe_code)]

use std::io;

use slipring::adapters::socket::{DEFAULT_SEND_BUFFER, Datagram, Options, Seqpacket, Stream};

use super::packet::{PacketReceiver, PacketSender, Put, Take};
use super::stream::{ByteReceiver, ByteSender};
use super::{Copies, Mechanism};
use crate::error::HarnessError;

fn room(size: usize) -> Options {
    // A message is at most a little shorter than the buffer (unix_dgram_sendmsg takes 32 bytes off).
    let fits = size + 32 <= DEFAULT_SEND_BUFFER;
    Options::new().send_buffer(if fits { DEFAULT_SEND_BUFFER } else { 4 * size })
}

fn failed(error: io::Error) -> HarnessError {
    HarnessError::os("making a pair of sockets on rings", error)
}

/// The adapter of Unix stream sockets.
pub struct StreamAdapter {
    near: Stream,
    far: Stream,
    size: usize,
}

impl Mechanism for StreamAdapter {
    const NAME: &'static str = "adapter unix stream";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = ByteSender<Stream>;
    type Receiver = ByteReceiver<Stream>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let (near, far) = Stream::pair(&room(size)).map_err(failed)?;
        Ok(StreamAdapter { near, far, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(ByteSender::new(self.near, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(ByteReceiver::new(self.far, self.size))
    }
}

/// The adapter of Unix seqpacket sockets.
pub struct SeqpacketAdapter {
    near: Seqpacket,
    far: Seqpacket,
    size: usize,
}

impl Mechanism for SeqpacketAdapter {
    const NAME: &'static str = "adapter unix seqpacket";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = PacketSender<Seqpacket>;
    type Receiver = PacketReceiver<Seqpacket>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let (near, far) = Seqpacket::pair(&room(size)).map_err(failed)?;
        Ok(SeqpacketAdapter { near, far, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(PacketSender::new(self.near, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(PacketReceiver::new(self.far, self.size))
    }
}

impl Put for Seqpacket {
    fn put(&mut self, message: &[u8]) -> io::Result<usize> {
        self.send(message)
    }
}

impl Take for Seqpacket {
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.recv(room)
    }
}

/// The adapter of Unix datagram sockets.
pub struct DatagramAdapter {
    near: Datagram,
    far: Datagram,
    size: usize,
}

impl Mechanism for DatagramAdapter {
    const NAME: &'static str = "adapter unix datagram";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = PacketSender<Datagram>;
    type Receiver = PacketReceiver<Datagram>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let (near, far) = Datagram::pair(&room(size)).map_err(failed)?;
        Ok(DatagramAdapter { near, far, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(PacketSender::new(self.near, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(PacketReceiver::new(self.far, self.size))
    }
}

impl Put for Datagram {
    fn put(&mut self, message: &[u8]) -> io::Result<usize> {
        self.send(message)
    }
}

impl Take for Datagram {
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.recv(room)
    }
}
