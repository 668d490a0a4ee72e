//! A POSIX message queue, blocking, of ten messages: the kernel's default. Its name goes at once; both ends inherit the
//! descriptor. What /proc/sys/fs/mqueue allows holds for all here, also for those whom the kernel would let exceed it.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::process;

use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_close, mq_open, mq_receive, mq_send, mq_unlink};
use nix::sys::stat::Mode;

use super::packet::{PacketReceiver, PacketSender, Put, Take};
use super::{Copies, Mechanism};
use crate::atomics::next_number;
use crate::error::HarnessError;

/// What the queue holds, unless the system allows fewer.
const MESSAGES: i64 = 10;

/// A queue without a name.
#[derive(Debug)]
pub struct PosixQueue {
    queue: Descriptor,
    size: usize,
}

impl Mechanism for PosixQueue {
    const NAME: &'static str = "posix mq";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = PacketSender<Descriptor>;
    type Receiver = PacketReceiver<Descriptor>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let most = setting("msgsize_max")?;
        if size as i64 > most {
            let what = format!("a message holds {most} bytes: /proc/sys/fs/mqueue/msgsize_max");
            return Err(HarnessError::Limit { what });
        }
        let messages = setting("msg_max")?.min(MESSAGES);
        let name = format!("/slipring-harness-{}-{}", process::id(), next_number());
        let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR | MQ_OFlag::O_CLOEXEC;
        let room = MqAttr::new(0, messages, size as i64, 0);
        let queue = mq_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&room));
        let queue = queue.map_err(|errno| match errno {
            nix::errno::Errno::EMFILE => HarnessError::Limit {
                what: format!("{messages} messages of {size} bytes are beyond RLIMIT_MSGQUEUE (ulimit -q)"),
            },
            errno => HarnessError::os("making a POSIX message queue", errno),
        })?;
        let queue = Descriptor(Some(queue));
        mq_unlink(name.as_str())
            .map_err(|errno| HarnessError::os("removing a message queue's name", errno))?;
        Ok(PosixQueue { queue, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(PacketSender::new(self.queue, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(PacketReceiver::new(self.queue, self.size))
    }
}

/// A limit of the system; an error says that there are no such queues here.
fn setting(name: &str) -> Result<i64, HarnessError> {
    let path = format!("/proc/sys/fs/mqueue/{name}");
    let text = fs::read_to_string(&path)
        .map_err(|error| HarnessError::os(format!("no POSIX message queues here: {path}"), error))?;
    text.trim().parse().map_err(|_| HarnessError::BadOption { what: format!("{path} holds {text:?}") })
}

/// An open queue, closed when dropped.
#[derive(Debug)]
pub struct Descriptor(Option<MqdT>);

impl Descriptor {
    fn open(&self) -> io::Result<&MqdT> {
        self.0.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // Nothing is lost if closing fails: the queue has no name.
        let _ = self.0.take().map(mq_close);
    }
}

impl Put for Descriptor {
    /// The kernel takes all of a message or none of it.
    fn put(&mut self, message: &[u8]) -> io::Result<usize> {
        mq_send(self.open()?, message, 0)?;
        Ok(message.len())
    }
}

impl Take for Descriptor {
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Ok(mq_receive(self.open()?, room, &mut 0)?)
    }
}
