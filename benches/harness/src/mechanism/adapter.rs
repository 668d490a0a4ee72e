//! slipring's adapters: the kernel's mechanisms rebuilt on rings, used exactly as the rows of their originals use those.
//! Same capacities as the kernel's defaults; what is longer than these gets room for four, which the kernel does not have.
//!
//! Whoever makes one also takes its name away at once, so nothing is left of a run that is killed.
#![forbid(unsafe_code)]

use std::io;
use std::process;

use nix::unistd::geteuid;
use slipring::adapters::fifo::{self, Open};
use slipring::adapters::{pipe, posix_mq, sysv_mq};

use super::packet::{PacketReceiver, PacketSender, Put, Take};
use super::stream::{ByteReceiver, ByteSender};
use super::{Copies, Mechanism};
use crate::atomics::next_number;
use crate::error::HarnessError;

/// A name no other object has.
fn unique() -> String {
    format!("/slipring-harness-{}-{}", process::id(), next_number())
}

/// Pipes and FIFOs hold so much, as the kernel's; of longer messages four.
fn stream_room(size: usize) -> pipe::Options {
    let capacity = if size <= pipe::DEFAULT_CAPACITY { pipe::DEFAULT_CAPACITY } else { 4 * size };
    pipe::Options::new().capacity(capacity).max_capacity(capacity)
}

/// The adapter of pipes.
pub struct PipeAdapter {
    reader: pipe::Reader,
    writer: pipe::Writer,
    size: usize,
}

impl Mechanism for PipeAdapter {
    const NAME: &'static str = "adapter pipe";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = ByteSender<pipe::Writer>;
    type Receiver = ByteReceiver<pipe::Reader>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let made = pipe::pipe_with(&stream_room(size));
        let (reader, writer) = made.map_err(|error| HarnessError::os("making a pipe on a ring", error))?;
        Ok(PipeAdapter { reader, writer, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(ByteSender::new(self.writer, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(ByteReceiver::new(self.reader, self.size))
    }
}

/// The adapter of FIFOs: a name, opened twice.
pub struct FifoAdapter {
    reader: pipe::Reader,
    writer: pipe::Writer,
    size: usize,
}

impl Mechanism for FifoAdapter {
    const NAME: &'static str = "adapter fifo";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = ByteSender<pipe::Writer>;
    type Receiver = ByteReceiver<pipe::Reader>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let failed = |error| HarnessError::os("making a FIFO on a ring", error);
        let name = fifo::Fifo::named(&unique()).map_err(failed)?;
        name.create(&stream_room(size), 0o600).map_err(failed)?;
        let ends = both_ends(&name);
        name.unlink().map_err(failed)?;
        let (reader, writer) = ends.map_err(failed)?;
        Ok(FifoAdapter { reader, writer, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(ByteSender::new(self.writer, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(ByteReceiver::new(self.reader, self.size))
    }
}

/// Opening one end waits for the other; a handle for both, which never waits, keeps it from doing so.
fn both_ends(name: &fifo::Fifo) -> io::Result<(pipe::Reader, pipe::Writer)> {
    let _both = name.open_both(Open::Wait)?;
    Ok((name.open_reader(Open::Wait)?, name.open_writer(Open::Wait)?))
}

/// The adapter of POSIX message queues, of ten messages as the kernel's default.
pub struct PosixQueueAdapter {
    queue: posix_mq::Queue,
    size: usize,
}

const MESSAGES: usize = 10;

impl Mechanism for PosixQueueAdapter {
    const NAME: &'static str = "adapter posix mq";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = PacketSender<posix_mq::Queue>;
    type Receiver = PacketReceiver<posix_mq::Queue>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let failed = |error| HarnessError::os("making a POSIX message queue on a ring", error);
        let name = unique();
        let room = posix_mq::Options::new().max_messages(MESSAGES).message_size(size);
        let open = posix_mq::Open::existing(posix_mq::Access::Both).create(&room).exclusive(true);
        let queue = open.open(&name).map_err(failed)?;
        posix_mq::unlink(&name).map_err(failed)?;
        Ok(PosixQueueAdapter { queue, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(PacketSender::new(self.queue, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(PacketReceiver::new(self.queue, self.size))
    }
}

impl Put for posix_mq::Queue {
    /// All of a message or none of it.
    fn put(&mut self, message: &[u8]) -> io::Result<usize> {
        self.send(message, 0)?;
        Ok(message.len())
    }
}

impl Take for posix_mq::Queue {
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive(room)?.0)
    }
}

/// The adapter of System V message queues, of 16 KiB as the kernel's default.
pub struct SysvQueueAdapter {
    queue: sysv_mq::Queue,
    size: usize,
}

/// What the kernel's queues hold by default (msgmnb).
const BYTES: usize = 16 << 10;

impl Mechanism for SysvQueueAdapter {
    const NAME: &'static str = "adapter system v mq";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = PacketSender<SysvTyped>;
    type Receiver = PacketReceiver<SysvTyped>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let failed = |error| HarnessError::os("making a System V message queue on a ring", error);
        let bytes = if size <= BYTES / 2 { BYTES } else { 4 * size };
        let room = sysv_mq::Options::new()
            .message_size(size)
            .bytes(bytes as u64)
            .max_bytes(bytes as u64)
            .messages((bytes / size) as u64);
        let queue = sysv_mq::get_queue(sysv_mq::IPC_PRIVATE, sysv_mq::flags::IPC_CREAT | 0o600, &room);
        let queue = queue.map_err(failed)?;
        // The name of its identifier; whoever has it open goes on.
        let name = format!("/sysv-mq.{}.id.{}", geteuid(), queue.id());
        slipring::unlink_forced(&name).map_err(super::spsc::refused)?;
        Ok(SysvQueueAdapter { queue, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(PacketSender::new(SysvTyped(self.queue), self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(PacketReceiver::new(SysvTyped(self.queue), self.size))
    }
}

/// A queue in which every message is of one type.
pub struct SysvTyped(sysv_mq::Queue);

impl Put for SysvTyped {
    /// All of a message or none of it.
    fn put(&mut self, message: &[u8]) -> io::Result<usize> {
        self.0.send(1, message, 0)?;
        Ok(message.len())
    }
}

impl Take for SysvTyped {
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.receive(room, 0, 0)?.0)
    }
}
