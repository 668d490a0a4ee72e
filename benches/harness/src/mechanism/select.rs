//! Waiting for several sources at once: four of a kind between the same two processes; each message goes through another
//! one, and the receiver does not know through which.
//!
//! The kernel waits for any of several descriptors: poll(2) and epoll(7) on four pipes; a System V queue takes what several
//! send by types. slipring has no call that sleeps on
//! several rings. It offers two things instead: a receiver that does not sleep looks at each of its rings in turn; and what
//! is to sleep gives all its sources one MPMC ring, each with a sender of its own, so that there is nothing to select.
#![forbid(unsafe_code)]

use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::event::epoll;
use std::os::fd::AsFd;

use super::mpmc::MpmcSender;
use super::spsc::{SpscReceiver, SpscSender};
use super::stream::{ByteReceiver, ByteSender};
use super::{Copies, Mechanism, Mpmc, MpmcPark, ReceiveMessage, SendMessage, Spin, Spsc, SysvQueue};
use crate::error::HarnessError;

/// How many there are.
const SOURCES: usize = 4;

/// Which source comes next: all of them equally often, in no order that a branch predictor would know.
#[derive(Debug, Default)]
struct Choice(u64);

impl Choice {
    #[inline(always)]
    fn next(&mut self) -> usize {
        // Knuth's linear congruential generator (MMIX); the highest bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 62) as usize % SOURCES
    }
}

/// The end that sends: through one of several senders each time.
pub struct Chooser<S> {
    senders: Vec<S>,
    choice: Choice,
}

impl<S> Chooser<S> {
    fn new(senders: Vec<S>) -> Self {
        Chooser { senders, choice: Choice::default() }
    }
}

impl<S: SendMessage> SendMessage for Chooser<S> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.senders[self.choice.next()].send(message)
    }

    #[inline(always)]
    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        self.senders[self.choice.next()].send_with(size, fill)
    }
}

fn pipes() -> Result<(Vec<PipeReader>, Vec<PipeWriter>), HarnessError> {
    let made: Result<Vec<_>, _> = (0..SOURCES).map(|_| pipe()).collect();
    Ok(made.map_err(|error| HarnessError::os("making a pipe", error))?.into_iter().unzip())
}

fn writing(writers: Vec<PipeWriter>, size: usize) -> Chooser<ByteSender<PipeWriter>> {
    Chooser::new(writers.into_iter().map(|writer| ByteSender::new(writer, size)).collect())
}

/// Four pipes, and poll(2).
#[derive(Debug)]
pub struct PolledPipes {
    readers: Vec<PipeReader>,
    writers: Vec<PipeWriter>,
    size: usize,
}

impl Mechanism for PolledPipes {
    const NAME: &'static str = "four pipes poll";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = Chooser<ByteSender<PipeWriter>>;
    type Receiver = Polling;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let (readers, writers) = pipes()?;
        Ok(PolledPipes { readers, writers, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(writing(self.writers, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        let size = self.size;
        Ok(Polling(self.readers.into_iter().map(|reader| ByteReceiver::new(reader, size)).collect()))
    }
}

/// The end that polls and then reads what is ready.
#[derive(Debug)]
pub struct Polling(Vec<ByteReceiver<PipeReader>>);

impl ReceiveMessage for Polling {
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let ready = loop {
            let mut fds: [PollFd<'_>; SOURCES] =
                std::array::from_fn(|at| PollFd::new(self.0[at].inner().as_fd(), PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(HarnessError::os("polling four pipes", errno)),
            }
            if let Some(at) = fds.iter().position(|fd| fd.any().unwrap_or(false)) {
                break at;
            }
        };
        self.0[ready].receive(size, look)
    }
}

/// Four pipes, and epoll(7).
#[derive(Debug)]
pub struct EpolledPipes(PolledPipes);

impl Mechanism for EpolledPipes {
    const NAME: &'static str = "four pipes epoll";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = Chooser<ByteSender<PipeWriter>>;
    type Receiver = Epolling;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        PolledPipes::prepare(size).map(EpolledPipes)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        self.0.sender()
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        let failed = |errno| HarnessError::os("making an epoll descriptor", errno);
        let Polling(readers) = self.0.receiver()?;
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        for (at, reader) in (0..).zip(&readers) {
            let data = epoll::EventData::new_u64(at);
            epoll::add(&set, reader.inner(), data, epoll::EventFlags::IN).map_err(failed)?;
        }
        Ok(Epolling { set, readers })
    }
}

/// The end that waits on an epoll descriptor and then reads what is ready.
#[derive(Debug)]
pub struct Epolling {
    set: OwnedFd,
    readers: Vec<ByteReceiver<PipeReader>>,
}

impl ReceiveMessage for Epolling {
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let ready = loop {
            let nothing =
                epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
            let mut events = [nothing];
            match epoll::wait(&self.set, &mut events, None) {
                Ok(1) => break events[0].data.u64() as usize,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(HarnessError::os("waiting for four pipes", errno)),
            }
        };
        self.readers[ready].receive(size, look)
    }
}

/// Four SPSC rings, looked at in turn by a receiver that never sleeps.
#[derive(Debug)]
pub struct ScannedRings(Vec<Spsc<Spin>>);

impl Mechanism for ScannedRings {
    const NAME: &'static str = "four rings scan";
    const COPIES: Option<Copies> = Some(Copies::IN_SHARED_MEMORY);
    type Sender = Chooser<SpscSender>;
    type Receiver = Scanning;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        (0..SOURCES).map(|_| Spsc::prepare(size)).collect::<Result<_, _>>().map(ScannedRings)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        self.0.into_iter().map(Spsc::sender).collect::<Result<_, _>>().map(Chooser::new)
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        self.0.into_iter().map(Spsc::receiver).collect::<Result<_, _>>().map(Scanning)
    }
}

/// The end that looks.
pub struct Scanning(Vec<SpscReceiver<Spin>>);

impl ReceiveMessage for Scanning {
    #[inline(always)]
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let mut look = Some(look);
        loop {
            for receiver in &mut self.0 {
                if let Some(seen) = receiver.try_receive(&mut look)? {
                    return Ok(seen);
                }
            }
            std::hint::spin_loop();
        }
    }
}

/// One MPMC ring with four senders: nothing to select from.
#[derive(Debug)]
pub struct SharedRing(Mpmc<MpmcPark>);

impl Mechanism for SharedRing {
    const NAME: &'static str = "four senders mpmc park";
    type Sender = Chooser<MpmcSender>;
    type Receiver = <Mpmc<MpmcPark> as Mechanism>::Receiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        Mpmc::prepare(size).map(SharedRing)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        (0..SOURCES).map(|_| self.0.clone().sender()).collect::<Result<_, _>>().map(Chooser::new)
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        self.0.receiver()
    }
}

/// One System V queue with four types of messages, of which the receiver takes the oldest: nothing to select from.
#[derive(Debug)]
pub struct QueueOfTypes(SysvQueue);

impl Mechanism for QueueOfTypes {
    const NAME: &'static str = "four types system v mq";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = Chooser<<SysvQueue as Mechanism>::Sender>;
    type Receiver = <SysvQueue as Mechanism>::Receiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        SysvQueue::prepare(size).map(QueueOfTypes)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(Chooser::new((1..).take(SOURCES).map(|kind| self.0.end(kind)).collect()))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        self.0.receiver()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_gets_its_share() {
        let mut choice = Choice::default();
        let mut counts = [0; SOURCES];
        (0..4000).for_each(|_| counts[choice.next()] += 1);
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
