//! ipc-channel: bytes over a Unix socket, without the serialisation of its typed channels. The kernel copies, and wakes a
//! receiver that waits; or it polls (`POLLED`).
#![forbid(unsafe_code)]

use ipc_channel::TryRecvError;
use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, bytes_channel};
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage};

use crate::engine::{Buffered, SendWhole};

/// A channel, made before the fork.
pub struct IpcChannel<const POLLED: bool>(IpcBytesSender, IpcBytesReceiver, usize);

impl<const POLLED: bool> Mechanism for IpcChannel<POLLED> {
    const NAME: &'static str = if POLLED { "ipc-channel polled" } else { "ipc-channel" };
    type Sender = Buffered<IpcBytesSender>;
    type Receiver = Receiving<POLLED>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let made = bytes_channel().map_err(|error| HarnessError::os("making an ipc-channel", error));
        made.map(|(sender, receiver)| IpcChannel(sender, receiver, size))
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(Buffered::new(self.0, self.2))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(Receiving(self.1))
    }
}

impl SendWhole for IpcBytesSender {
    fn send_whole(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send(message).map_err(|error| HarnessError::os("sending on an ipc-channel", error))
    }
}

/// The receiving end: it gives each message as a vector of its own.
pub struct Receiving<const POLLED: bool>(IpcBytesReceiver);

impl<const POLLED: bool> ReceiveMessage for Receiving<POLLED> {
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        if !POLLED {
            return Ok(look(&self.0.recv().map_err(|_| HarnessError::Closed)?));
        }
        loop {
            match self.0.try_recv() {
                Ok(message) => return Ok(look(&message)),
                Err(TryRecvError::Empty) => std::hint::spin_loop(),
                Err(_) => return Err(HarnessError::Closed),
            }
        }
    }
}
