//! ipc-channel: bytes over a Unix socket, without the serialisation of its typed channels. The kernel copies and wakes.
#![forbid(unsafe_code)]

use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, bytes_channel};
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage, SendMessage};

/// A channel, made before the fork.
pub struct IpcChannel(IpcBytesSender, IpcBytesReceiver, usize);

impl Mechanism for IpcChannel {
    const NAME: &'static str = "ipc-channel";
    type Sender = Sending;
    type Receiver = Receiving;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let made = bytes_channel().map_err(|error| HarnessError::os("making an ipc-channel", error));
        made.map(|(sender, receiver)| IpcChannel(sender, receiver, size))
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(Sending { to: self.0, buffer: vec![0; self.2] })
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(Receiving(self.1))
    }
}

/// The sending end.
pub struct Sending {
    to: IpcBytesSender,
    buffer: Vec<u8>,
}

impl SendMessage for Sending {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.to.send(message).map_err(|error| HarnessError::os("sending on an ipc-channel", error))
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        fill(&mut self.buffer[..size]);
        let sent = self.to.send(&self.buffer[..size]);
        sent.map_err(|error| HarnessError::os("sending on an ipc-channel", error))
    }
}

/// The receiving end: it gives each message as a vector of its own.
pub struct Receiving(IpcBytesReceiver);

impl ReceiveMessage for Receiving {
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        Ok(look(&self.0.recv().map_err(|_| HarnessError::Closed)?))
    }
}
