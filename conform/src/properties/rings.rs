//! Slipring's rings of messages.
#![forbid(unsafe_code)]

use super::{Found, Line, drain, fill, found, fresh, opening};
use crate::process::{self, Child};
use slipring::mpmc::{Receiver, Sender};
use slipring::spsc::{Consumer, Producer};
use slipring::{Error, Options, RecvError, Ring, SendError};
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

/// Of the ring for many.
pub(super) const SLOTS: usize = 64;
/// Bytes of its longest message.
const LEN: usize = 4096;

fn sent(result: Result<(), SendError>, len: usize) -> io::Result<usize> {
    match result {
        Ok(()) => Ok(len),
        Err(SendError::Full) => Err(io::Error::new(ErrorKind::WouldBlock, "Full")),
        Err(SendError::TooLarge { .. }) => Err(io::Error::other("TooLarge")),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn received(result: Result<usize, RecvError>, mut to: Vec<u8>) -> io::Result<Vec<u8>> {
    match result {
        Ok(len) => {
            to.truncate(len);
            Ok(to)
        }
        Err(RecvError::Empty) => Err(io::Error::new(ErrorKind::WouldBlock, "Empty")),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn unopened() -> io::Result<Found> {
    match Ring::open(&format!("/{}", fresh())) {
        Err(Error::NotFound { .. }) => {
            found("no", "opening what nobody made: NotFound; sending is a verb of what is open")
        }
        other => Err(io::Error::other(format!("{:?}", other.map(drop)))),
    }
}

/// One producer, one consumer.
pub(super) struct Spsc(Producer, Consumer);

fn spsc() -> io::Result<Ring> {
    Ring::anonymous(&Options::new()).map_err(io::Error::other)
}

impl Line for Spsc {
    fn new() -> io::Result<Self> {
        let ring = spsc()?;
        let ends = ring.producer().and_then(|tx| Ok(Spsc(tx, ring.consumer()?)));
        ends.map_err(io::Error::other)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sent(self.0.try_send(bytes), bytes.len())
    }

    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        let mut to = vec![0; room];
        received(self.1.try_recv(&mut to), to)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn connectionless() -> io::Result<Found> {
        unopened()
    }

    fn open_waits() -> io::Result<Found> {
        let ring = spsc()?;
        opening("opening it and sending", || {
            let mut tx = ring.producer().map_err(io::Error::other)?;
            tx.send(b"x").map_err(io::Error::other)
        })
    }

    fn death() -> io::Result<Found> {
        let ring = spsc()?;
        let mut rx = ring.consumer().map_err(io::Error::other)?;
        let producer = Child::holding(|| {
            let mut tx = ring.producer().map_err(io::Error::other)?;
            tx.send(b"committed").map_err(io::Error::other)?;
            let mut unfinished = tx.try_reserve(64).map_err(io::Error::other)?;
            unfinished[..4].copy_from_slice(b"half");
            // It must not say good-bye.
            std::mem::forget(tx);
            Ok(())
        })?;
        producer.kill();
        let mut to = [0; 64];
        let committed = rx.recv(&mut to).map_err(io::Error::other)?;
        let told = rx.recv(&mut [0; 64]);
        let mut successor = ring.producer().map_err(io::Error::other)?;
        successor.send(b"successor").map_err(io::Error::other)?;
        let next = rx.recv(&mut to).map_err(io::Error::other)?;
        let told = match told {
            Err(RecvError::PeerDied { .. }) => "PeerDied".to_owned(),
            other => format!("{other:?}"),
        };
        let seen = format!(
            "killed with a message committed and one half written: {committed} bytes came, then {told}; then \
             {next} of a new producer"
        );
        let repaired = (committed, next) == (9, 9) && told == "PeerDied";
        found(if repaired { "PeerDied, then a successor" } else { "no" }, seen)
    }
}

/// Any number of senders and receivers.
pub(super) struct Mpmc(Sender, Receiver);

fn mpmc() -> io::Result<Ring> {
    Ring::anonymous(&Options::mpmc(SLOTS, LEN)).map_err(io::Error::other)
}

fn ends(ring: &Ring) -> io::Result<Mpmc> {
    ring.sender().and_then(|tx| Ok(Mpmc(tx, ring.receiver()?))).map_err(io::Error::other)
}

impl Line for Mpmc {
    fn new() -> io::Result<Self> {
        ends(&mpmc()?)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sent(self.0.try_send(bytes), bytes.len())
    }

    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>> {
        let mut to = vec![0; room];
        received(self.1.try_recv(&mut to), to)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn connectionless() -> io::Result<Found> {
        unopened()
    }

    fn open_waits() -> io::Result<Found> {
        let ring = mpmc()?;
        opening("opening it and sending", || {
            let mut tx = ring.sender().map_err(io::Error::other)?;
            tx.send(b"x").map_err(io::Error::other)
        })
    }

    fn death() -> io::Result<Found> {
        let ring = mpmc()?;
        let mut line = ends(&ring)?;
        let sender = Child::holding(|| {
            let mut tx = ring.sender().map_err(io::Error::other)?;
            let unfinished = tx.try_reserve(64).map_err(io::Error::other)?;
            std::mem::forget(unfinished);
            std::mem::forget(tx);
            Ok(())
        })?;
        line.send(b"behind it")?;
        sender.kill();
        let came = process::until(|| match line.receive(64) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some),
        })?;
        // While the dead one's slot is not given back, the place that it would have next is passed over.
        let room = process::until(|| {
            let (room, _) = fill(&mut line, b"x")?;
            drain(&mut line)?;
            Ok((room == SLOTS).then_some(room))
        })?;
        let seen = format!(
            "killed with a slot half written: the message behind it came, and soon {room} fit into {SLOTS} slots again"
        );
        found(if came == b"behind it" { "repaired" } else { "no" }, seen)
    }

    fn drops_the_oldest() -> io::Result<bool> {
        let mut line = Self::new()?;
        for number in 0..=SLOTS as u64 {
            line.0.force_send(&number.to_ne_bytes()).map_err(|(_, error)| io::Error::other(error))?;
        }
        Ok(line.receive(8)? == 1_u64.to_ne_bytes())
    }
}
