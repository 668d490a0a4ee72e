//! The ways to move a message: one trait, the kernel's own mechanisms, and slipring.
//!
//! A [`Mechanism`] is one direction between two processes. It is prepared before the fork; afterwards one process makes
//! it a sender and the other a receiver. Everything is monomorphised: no `dyn` in a timed loop.

mod adapter;
mod adapter_socket;
mod eventfd;
mod fifo;
mod futex;
mod monitor;
mod mpmc;
pub(crate) mod name;
mod packet;
mod pipe;
mod posix_queue;
mod select;
mod sem_ring;
mod signal;
mod slot;
mod socket;
mod spsc;
mod stream;
mod sysv;
mod sysv_queue;

pub use adapter::{FifoAdapter, PipeAdapter, PosixQueueAdapter, SysvQueueAdapter};
pub use adapter_socket::{DatagramAdapter, SeqpacketAdapter, StreamAdapter};
pub use eventfd::EventFd;
pub use fifo::Fifo;
pub use futex::Futex;
pub use monitor::Monitor;
pub use mpmc::{Mpmc, MpmcPark, MpmcSpin, MpmcYield};
pub use name::remove_stale;
pub use pipe::Pipe;
pub use posix_queue::PosixQueue;
pub use select::{EpolledPipes, PolledPipes, QueueOfTypes, ScannedRings, SharedRing};
pub use sem_ring::{PosixRing, PosixSemAdapter, SysvRing, SysvSemAdapter};
pub(crate) use signal::SignalSet;
pub use signal::{Coalesced, CoalescedSignal, Kind, Queued, QueuedSignal};
pub use slot::Slot;
pub use socket::{Tcp, Udp, UnixDatagram, UnixSeqpacket};
pub use spsc::{Flavour, Park, Spin, Spsc};
pub use stream::UnixStream;
pub use sysv_queue::SysvQueue;

use crate::error::HarnessError;
use crate::measure::PayloadSource;

/// One direction between two processes, not yet split into its ends.
pub trait Mechanism: Sized {
    /// Its name in reports.
    const NAME: &'static str;
    /// How often a message is copied on its way, if somebody has counted.
    const COPIES: Option<Copies> = None;
    /// The end that sends.
    type Sender: SendMessage;
    /// The end that receives.
    type Receiver: ReceiveMessage;

    /// Prepares a direction for messages of up to `size` bytes; in the common parent, before the fork.
    fn prepare(size: usize) -> Result<Self, HarnessError>;

    /// Makes this process the sender; after the fork, in one child.
    fn sender(self) -> Result<Self::Sender, HarnessError>;

    /// Makes this process the receiver; after the fork, in the other child.
    fn receiver(self) -> Result<Self::Receiver, HarnessError>;
}

/// Copies of a whole message between the sender's last store to it and the receiver's first look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies {
    /// Of a message that is computed where the mechanism wants it.
    pub in_place: u8,
    /// Of a message that lies in the sender's own memory.
    pub copied: u8,
}

impl Copies {
    /// In from the sender's memory, out to the receiver's.
    pub const THROUGH_THE_KERNEL: Copies = Copies { in_place: 2, copied: 2 };
    /// In at most: the receiver looks at the message where it lies.
    pub const IN_SHARED_MEMORY: Copies = Copies { in_place: 0, copied: 1 };

    /// With the payload from `source`.
    pub fn of(self, source: PayloadSource) -> u8 {
        match source {
            PayloadSource::Registers => self.in_place,
            PayloadSource::Memory => self.copied,
        }
    }
}

/// The sending end. Both verbs block until the message is on its way, and report it if another size was sent.
pub trait SendMessage {
    /// Sends a message that lies in memory.
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError>;

    /// Sends a message of `size` bytes that `fill` writes, in place if the mechanism can lend its own memory.
    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError>;
}

/// The receiving end.
pub trait ReceiveMessage {
    /// Blocks for the next message, of `size` bytes, and shows it to `look`, in place if the mechanism can.
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError>;
}

/// A sending end that can make several messages visible at once.
pub trait SendMany: SendMessage {
    /// Sends `count` messages of `size` bytes that `fill` writes, one after the other, given its number from 0.
    fn send_many(
        &mut self,
        size: usize,
        count: usize,
        fill: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), HarnessError>;
}

/// A receiving end that can take several messages at once.
pub trait ReceiveMany: ReceiveMessage {
    /// Blocks for the next message, of `size` bytes, takes up to `most` of those that are there, and shows each to
    /// `look`.
    fn receive_many(&mut self, size: usize, most: usize, look: impl FnMut(&[u8]))
    -> Result<(), HarnessError>;
}
