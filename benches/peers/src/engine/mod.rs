//! The engines that are compared: each as the harness's [`Mechanism`](slipring_harness::mechanism::Mechanism), at the
//! best setting that was found for it, which [`Engine::setting`] states.

pub mod array_queue;
#[cfg(boost)]
pub mod boost_queue;
pub mod channels;
pub mod cloudtoid;
#[cfg(feature = "iceoryx2")]
pub mod iceoryx2;
pub mod ipc_channel;
pub mod ipmpsc;
pub mod rtrb;
pub mod shaq;
pub mod shmem_ipc;
pub mod slipring;
pub mod vyukov;
#[cfg(zeromq)]
pub mod zeromq;

use std::time::{SystemTime, UNIX_EPOCH};

use slipring_harness::HarnessError;
use slipring_harness::mechanism::SendMessage;

/// A name that nothing else has.
fn new_name(engine: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("slipring-peers-{engine}-{}-{}", std::process::id(), since.as_nanos())
}

/// What an engine says of itself.
#[cold]
pub(crate) fn refused(error: impl std::fmt::Display) -> HarnessError {
    HarnessError::Ring { what: error.to_string() }
}

/// An end that takes messages only whole, from somebody else's memory.
pub trait SendWhole {
    /// As [`SendMessage::send`].
    fn send_whole(&mut self, message: &[u8]) -> Result<(), HarnessError>;
}

/// Such an end, and a buffer in which its messages are made.
pub struct Buffered<T> {
    to: T,
    buffer: Vec<u8>,
}

impl<T: SendWhole> Buffered<T> {
    fn new(to: T, size: usize) -> Self {
        Buffered { to, buffer: vec![0; size] }
    }
}

impl<T: SendWhole> SendMessage for Buffered<T> {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.to.send_whole(message)
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let message = &mut self.buffer[..size];
        fill(message);
        self.to.send_whole(message)
    }
}

/// What whoever finds nothing to do does before it looks again.
pub trait Waiting: 'static {
    /// That.
    fn wait();
}

/// One pause: for those who have a core to themselves.
#[derive(Debug)]
pub enum Pausing {}

impl Waiting for Pausing {
    #[inline(always)]
    fn wait() {
        std::hint::spin_loop();
    }
}

/// Gives the core away: for those who are more than the cores.
#[derive(Debug)]
pub enum Yielding {}

impl Waiting for Yielding {
    #[inline(always)]
    fn wait() {
        std::thread::yield_now();
    }
}

/// What readers must know of an engine to judge its figures.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// Its name, as its mechanisms' names begin.
    pub name: &'static str,
    /// How it is run.
    pub setting: &'static str,
    /// Why it is not, if it is not.
    pub absent: Option<&'static str>,
}

/// All of them.
pub const ENGINES: [Engine; 14] = [
    Engine {
        name: "slipring",
        setting: "a named ring of 1 MiB, opened by each process after the fork; both ends spin unless the row says \
                  park; 64-byte boundaries, for 8-byte and 64-byte messages 8-byte ones; an MPMC ring has \
                  1,024 slots of 64 bytes, and processes for its crowds",
        absent: None,
    },
    Engine {
        name: "rtrb",
        setting: "0.4, an in-process queue, its heap memory put into a shared mapping by this program's allocator; \
                  4,096 places on cache lines of their own (8 bytes: 65,536 packed), one pause a probe",
        absent: None,
    },
    Engine {
        name: "array-queue",
        setting: "crossbeam-queue 0.3, as rtrb; in crowds threads of one process; 1,024 places, one pause a probe",
        absent: None,
    },
    Engine {
        name: "vyukov",
        setting: "Vyukov's bounded MPMC queue, written here, in a shared mapping; 1,024 slots of 64 bytes, filled and \
                  read in place, one pause a probe",
        absent: None,
    },
    Engine {
        name: "shmem-ipc",
        setting: "0.3, typed items in a memfd, polled without its eventfd signals; 1 MiB",
        absent: None,
    },
    Engine {
        name: "shaq",
        setting: "4.3, the newest that stable Rust 1.95 builds, items on cache lines of their own in a mapped file, batches \
                  of one filled and read in place, polled; 4,096 places; it has a fence and a look for sleepers in each commit",
        absent: None,
    },
    Engine {
        name: "crossbeam-channel",
        setting: "0.5, an in-process channel, its heap memory shared as rtrb's; bounded, 1,024 places, polled with \
                  try_send and try_recv, one pause a probe",
        absent: None,
    },
    Engine {
        name: "kanal",
        setting: "0.1, as crossbeam-channel; without the standard library's mutex",
        absent: None,
    },
    Engine {
        name: "ipmpsc",
        setting: "0.5, byte slices through its own serialisation, read without a copy; 1 MiB; a receiver that waits \
                  on its condition, and for latency one that polls with try_recv as well",
        absent: None,
    },
    Engine {
        name: "cloudtoid-interprocess",
        setting: "3, try_send and try_recv_into, polled; 1 MiB; it posts a semaphore with each message",
        absent: None,
    },
    Engine {
        name: "ipc-channel",
        setting: "0.23, its channel of bytes, a Unix socket; a receiver that waits, and for latency one that polls with \
                  try_recv as well",
        absent: None,
    },
    Engine {
        name: "boost message_queue",
        setting: concat!(
            "Boost.Interprocess ",
            env!("SLIPRING_PEERS_BOOST"),
            ", 1 MiB of slots of the message's size under a mutex; a receiver that waits on its condition, and for latency one \
             that polls with try_receive as well"
        ),
        absent: if cfg!(boost) {
            None
        } else {
            Some("built where Boost's headers (libboost-dev) and a C++ compiler were not")
        },
    },
    Engine {
        name: "zeromq",
        setting: concat!(
            "libzmq ",
            env!("SLIPRING_PEERS_ZEROMQ"),
            ", a pair of sockets over ipc (a Unix socket), blocking: each context's own thread shares the process's core; \
             1,000 messages at most in each queue"
        ),
        absent: if cfg!(zeromq) { None } else { Some("built where ZeroMQ (libzmq3-dev) was not") },
    },
    Engine {
        name: "iceoryx2",
        setting: "0.9, publish-subscribe of a fixed-size type, lossless (no overflow, the publisher retries), polled; \
                  1 MiB of samples, at least 8 and at most 256",
        absent: if cfg!(feature = "iceoryx2") {
            None
        } else {
            Some("built without the cargo feature iceoryx2")
        },
    },
];
