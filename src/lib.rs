//! Messages between processes on one Linux machine, through lock-free rings in shared memory.
//!
//! ```
//! use slipring::{Options, Ring};
//!
//! let name = format!("/slipring-doc-{}", std::process::id());
//! let ring = Ring::create(&name, &Options::new().capacity(64 * 1024))?;
//! let mut tx = ring.producer()?; // usually in one process ...
//! let mut rx = ring.consumer()?; // ... and in another: Ring::open(&name)?.consumer()?
//!
//! tx.send(b"hello")?;
//! let mut message = [0; 64];
//! let len = rx.recv(&mut message)?;
//! assert_eq!(&message[..len], b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two kinds of ring: one producer and one consumer, messages of any length up to half the ring ([`spsc`]); and any number of
//! senders and receivers, messages in slots of one size ([`mpmc`], made with [`Options::mpmc`]). Committed messages survive
//! the death of any participant: a successor goes on where the dead one stopped, the others of an MPMC ring at once. One that
//! is merely stopped is never taken for dead. On the same memory stand the kernel's own mechanisms ([`adapters`]), and
//! [`inspect()`] examines a ring from outside. See `docs/` in the repository for the algorithms, the memory orderings and how
//! they were verified.
#![cfg(target_os = "linux")]

pub mod adapters;
mod channel;
mod error;
mod event;
pub mod inspect;
mod layout;
mod liveness;
mod notify;
mod open;
mod ring;
mod segment;
mod signal;
mod sync;
mod view;
mod watch;

pub use channel::Peer;
pub use error::{Corrupt, Error, RecvError, Result, SendError};
pub use event::WaitStrategy;
pub use inspect::{Inspection, inspect, inspect_file};
pub use layout::{Align, Wakeup};
pub use notify::Notify;
pub use open::{
    Fences, Listed, Options, Participant, Party, Ring, RingInfo, Role, list, stat, stat_file, unlink,
    unlink_file, unlink_file_forced, unlink_forced,
};
pub use segment::Trust;
#[cfg(slipring_steps)]
#[doc(hidden)]
pub use sync::steps::on_step;

/// One producer, one consumer, records of any length.
pub mod spsc {
    pub use crate::channel::NoWakeup;
    pub use crate::channel::loan::spsc::{Frame, Grant, RecvBatch, SendBatch};
    pub use crate::channel::spsc::{Consumer, Producer};
}

/// Any number of senders and receivers, messages in slots of one size.
pub mod mpmc {
    pub use crate::channel::NoWakeup;
    pub use crate::channel::loan::mpmc::{Delivery, Frame, Grant};
    pub use crate::channel::mpmc::{Receiver, Sender};
}

static_assertions::assert_impl_all!(spsc::Producer: Send);
static_assertions::assert_impl_all!(spsc::Consumer: Send);
static_assertions::assert_impl_all!(mpmc::Sender: Send, Clone);
static_assertions::assert_impl_all!(mpmc::Receiver: Send, Clone);
static_assertions::assert_impl_all!(Ring: Send, Sync);
static_assertions::assert_impl_all!(adapters::pipe::Reader: Send, Clone);
static_assertions::assert_impl_all!(adapters::pipe::Writer: Send, Clone);
static_assertions::assert_impl_all!(adapters::posix_mq::Queue: Send, Clone);
static_assertions::assert_impl_all!(adapters::sysv_mq::Queue: Send, Clone);
static_assertions::assert_impl_all!(adapters::socket::StreamListener: Send, Sync);
static_assertions::assert_impl_all!(adapters::socket::Stream: Send);
static_assertions::assert_impl_all!(adapters::socket::Seqpacket: Send);
static_assertions::assert_impl_all!(adapters::socket::Datagram: Send);

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
