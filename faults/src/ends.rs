//! Participants that write down what they do: the ends of either kind of ring behind one face, so that every fault is
//! tried on both.

use crate::audit::Mode;
use crate::log::{Event, Log};
use crate::payload::{Id, LEAST, checksum};
use crate::trace::mark;
use serde::{Deserialize, Serialize};
use slipring::mpmc::{Receiver, Sender};
use slipring::spsc::{Consumer, Producer};
use slipring::{Options, RecvError, Ring, SendError, WaitStrategy};
use std::time::Duration;

/// The longest message that is sent here.
pub const LONGEST: usize = 56;
const _: () = assert!(LEAST <= LONGEST);

/// Which ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// One producer, one consumer.
    Spsc,
    /// Senders and receivers.
    Mpmc,
}

impl Kind {
    /// A ring that takes `slots` messages of any length up to [`LONGEST`]; an SPSC ring has at least 64 places of which
    /// one stays empty.
    pub fn options(self, slots: usize) -> Options {
        match self {
            Kind::Spsc => Options::new().capacity((slots * 64).next_power_of_two().max(4096)),
            Kind::Mpmc => Options::mpmc(slots, LONGEST),
        }
    }
}

/// How messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Put {
    /// `send`.
    Copy,
    /// `reserve`, filled in place and committed.
    Loan,
    /// So many with one commit.
    Batch(usize),
}

/// How messages are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Take {
    /// `recv`.
    Recv,
    /// `frame`.
    Frame,
    /// `peek` and `ack` (MPMC).
    Peek,
    /// So many at once.
    Batch(usize),
}

impl Take {
    /// What the ring promises for messages that are taken so.
    #[must_use]
    pub fn mode(self, kind: Kind) -> Mode {
        match (kind, self) {
            (_, Take::Recv) | (Kind::Mpmc, Take::Frame | Take::Batch(_)) => Mode::AtMostOnce,
            (Kind::Mpmc, Take::Peek) => Mode::Flagged,
            (Kind::Spsc, _) => Mode::AtLeastOnce,
        }
    }

    /// How many messages one verb takes.
    #[must_use]
    pub fn most(self) -> u64 {
        if let Take::Batch(most) = self { most as u64 } else { 1 }
    }
}

enum Tx {
    Spsc(Box<Producer>),
    Mpmc(Box<Sender>),
}

/// A sender and its log.
pub struct Talker {
    tx: Tx,
    who: u32,
    next: u64,
    log: Log,
    marks: bool,
}

enum Rx {
    Spsc(Box<Consumer>),
    Mpmc(Box<Receiver>),
}

/// A receiver and its log.
pub struct Listener {
    rx: Rx,
    log: Log,
    reached: u64,
    marks: bool,
}

fn message(id: Id) -> ([u8; LONGEST], usize) {
    let mut buffer = [0; LONGEST];
    let len = id.write(&mut buffer);
    (buffer, len)
}

impl Talker {
    /// Attaches to `ring` as a sender whose messages are numbered from 0.
    ///
    /// # Errors
    /// Of the library.
    pub fn attach(kind: Kind, ring: &Ring, who: u32, log: Log) -> slipring::Result<Talker> {
        let tx = match kind {
            Kind::Spsc => Tx::Spsc(Box::new(ring.producer()?)),
            Kind::Mpmc => Tx::Mpmc(Box::new(ring.sender()?)),
        };
        Ok(Talker { tx, who, next: 0, log, marks: false })
    }

    /// From now on each verb is between two marks.
    #[must_use]
    pub fn marked(self) -> Self {
        Talker { marks: true, ..self }
    }

    /// How it waits.
    #[must_use]
    pub fn waiting(mut self, strategy: WaitStrategy) -> Self {
        let set = match &mut self.tx {
            Tx::Spsc(tx) => tx.set_strategy(strategy),
            Tx::Mpmc(tx) => tx.set_strategy(strategy),
        };
        set.expect("the ring has a wake-up object");
        self
    }

    /// How many messages it has begun to send.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Sends its next messages, waiting for at most `patience` (`None`: the `try` verb), and says how many went.
    ///
    /// # Errors
    /// Of the library. Nothing was sent then.
    pub fn send(&mut self, how: Put, patience: Option<Duration>) -> Result<u64, SendError> {
        let first = self.next;
        let count = if let Put::Batch(count) = how { count as u64 } else { 1 };
        for seq in first..first + count {
            let (buffer, len) = message(Id { sender: self.who, seq });
            self.log.write(Event::Intend { seq, sum: checksum(&buffer[..len]) });
        }
        self.next += count;
        let messages = |i: u64| message(Id { sender: self.who, seq: first + i });
        let marks = self.marks;
        let at = |_: &str| {
            if marks {
                mark()
            }
        };
        let sent = match how {
            Put::Copy => {
                let (buffer, len) = messages(0);
                at("begin");
                let sent = match (&mut self.tx, patience) {
                    (Tx::Spsc(tx), None) => tx.try_send(&buffer[..len]),
                    (Tx::Spsc(tx), Some(patience)) => tx.send_timeout(&buffer[..len], patience),
                    (Tx::Mpmc(tx), None) => tx.try_send(&buffer[..len]),
                    (Tx::Mpmc(tx), Some(patience)) => tx.send_timeout(&buffer[..len], patience),
                };
                at("end");
                sent.map(|()| 1)
            }
            Put::Loan => {
                let (buffer, len) = messages(0);
                at("begin");
                let sent = match &mut self.tx {
                    Tx::Spsc(tx) => match patience {
                        None => tx.try_reserve(LONGEST),
                        Some(patience) => tx.reserve_timeout(LONGEST, patience),
                    }
                    .and_then(|mut grant| {
                        grant[..len].copy_from_slice(&buffer[..len]);
                        grant.commit(len)
                    }),
                    Tx::Mpmc(tx) => match patience {
                        None => tx.try_reserve(LONGEST),
                        Some(patience) => tx.reserve_timeout(LONGEST, patience),
                    }
                    .and_then(|mut grant| {
                        grant[..len].copy_from_slice(&buffer[..len]);
                        grant.commit(len)
                    }),
                };
                at("end");
                sent.map(|()| 1)
            }
            Put::Batch(_) => {
                let all: Vec<_> = (0..count).map(messages).collect();
                let all: Vec<_> = all.iter().map(|(buffer, len)| &buffer[..*len]).collect();
                at("begin");
                let sent = self.send_batch(&all, patience);
                at("end");
                sent
            }
        };
        let went = *sent.as_ref().unwrap_or(&0);
        if went > 0 {
            self.log.write(Event::Sent { seq: first, count: went });
        }
        if went < count {
            self.log.write(Event::Refused { seq: first + went, count: count - went });
        }
        sent
    }

    fn send_batch(&mut self, all: &[&[u8]], patience: Option<Duration>) -> Result<u64, SendError> {
        match &mut self.tx {
            Tx::Spsc(tx) => {
                if let Some(patience) = patience {
                    // Waits for room for one, then takes what there is.
                    tx.reserve_timeout(LONGEST, patience)?.abort();
                }
                let mut batch = tx.batch()?;
                for message in all {
                    match batch.push(message) {
                        Ok(()) => {}
                        Err(SendError::Full) if !batch.is_empty() => break,
                        Err(error) => return Err(error),
                    }
                }
                Ok(batch.commit() as u64)
            }
            Tx::Mpmc(tx) => match tx.try_send_batch(all) {
                Err(SendError::Full) if patience.is_some() => {
                    tx.reserve_timeout(LONGEST, patience.unwrap_or_default())?.abort();
                    tx.try_send_batch(all).map(|sent| sent as u64)
                }
                sent => sent.map(|sent| sent as u64),
            },
        }
    }

    /// What the other side of an SPSC ring is seen as.
    #[must_use]
    pub fn peer(&self) -> Option<slipring::Peer> {
        if let Tx::Spsc(tx) = &self.tx { Some(tx.peer()) } else { None }
    }
}

impl Listener {
    /// Attaches to `ring` as a receiver.
    ///
    /// # Errors
    /// Of the library.
    pub fn attach(kind: Kind, ring: &Ring, log: Log) -> slipring::Result<Listener> {
        let rx = match kind {
            Kind::Spsc => Rx::Spsc(Box::new(ring.consumer()?)),
            Kind::Mpmc => Rx::Mpmc(Box::new(ring.receiver()?)),
        };
        Ok(Listener { rx, log, reached: 0, marks: false })
    }

    /// From now on each verb is between two marks.
    #[must_use]
    pub fn marked(self) -> Self {
        Listener { marks: true, ..self }
    }

    /// How it waits.
    #[must_use]
    pub fn waiting(mut self, strategy: WaitStrategy) -> Self {
        let set = match &mut self.rx {
            Rx::Spsc(rx) => rx.set_strategy(strategy),
            Rx::Mpmc(rx) => rx.set_strategy(strategy),
        };
        set.expect("the ring has a wake-up object");
        self
    }

    /// Takes messages, waiting for at most `patience` (`None`: the `try` verb), and says how many.
    ///
    /// # Errors
    /// Of the library.
    pub fn take(&mut self, how: Take, patience: Option<Duration>) -> Result<u64, RecvError> {
        // What was reached for and not got is still reached for.
        if self.reached != how.most() {
            self.log.write(Event::Reach { most: how.most() });
            self.reached = how.most();
        }
        let Listener { rx, log, marks, reached } = self;
        let at = |_: &str| {
            if *marks {
                mark()
            }
        };
        let mut got = |message: &[u8], redelivered: bool| {
            *reached = reached.saturating_sub(1);
            match Id::read(message, LONGEST) {
                Ok(id) => log.write(Event::Took { id, sum: checksum(message), redelivered }),
                Err(_) => log.write(Event::Torn),
            }
        };
        let mut buffer = [0; LONGEST];
        at("begin");
        let taken = match (rx, how) {
            (Rx::Spsc(rx), Take::Recv) => {
                let len = match patience {
                    None => rx.try_recv(&mut buffer),
                    Some(patience) => rx.recv_timeout(&mut buffer, patience),
                };
                at("end");
                return len.map(|len| {
                    got(&buffer[..len], false);
                    1
                });
            }
            (Rx::Mpmc(rx), Take::Recv) => {
                let len = match patience {
                    None => rx.try_recv(&mut buffer),
                    Some(patience) => rx.recv_timeout(&mut buffer, patience),
                };
                at("end");
                return len.map(|len| {
                    got(&buffer[..len], false);
                    1
                });
            }
            (Rx::Spsc(rx), Take::Frame | Take::Peek) => match patience {
                None => rx.try_frame(),
                Some(patience) => rx.frame_timeout(patience),
            }
            .map(|frame| {
                got(&frame, false);
                1
            }),
            (Rx::Mpmc(rx), Take::Frame) => match patience {
                None => rx.try_frame(),
                Some(patience) => rx.frame_timeout(patience),
            }
            .map(|frame| {
                got(&frame, false);
                1
            }),
            (Rx::Mpmc(rx), Take::Peek) => match patience {
                None => rx.try_peek(),
                Some(patience) => rx.peek_timeout(patience),
            }
            .map(|delivery| {
                got(&delivery, delivery.is_redelivered());
                delivery.ack();
                1
            }),
            (Rx::Spsc(rx), Take::Batch(most)) => take_batch(rx, most, patience, &mut got),
            (Rx::Mpmc(rx), Take::Batch(most)) => {
                let mut each = |message: &[u8]| got(message, false);
                match rx.try_recv_batch(most, &mut each) {
                    Err(RecvError::Empty) if patience.is_some() => {
                        // Waits for one; what came with it is for the next verb.
                        let len = rx.recv_timeout(&mut buffer, patience.unwrap_or_default());
                        len.map(|len| {
                            each(&buffer[..len]);
                            1
                        })
                    }
                    taken => taken.map(|taken| taken as u64),
                }
            }
        };
        at("end");
        taken
    }

    /// What the other side of an SPSC ring is seen as.
    #[must_use]
    pub fn peer(&self) -> Option<slipring::Peer> {
        if let Rx::Spsc(rx) = &self.rx { Some(rx.peer()) } else { None }
    }
}

fn take_batch(
    rx: &mut Consumer,
    most: usize,
    patience: Option<Duration>,
    got: &mut impl FnMut(&[u8], bool),
) -> Result<u64, RecvError> {
    if let Some(patience) = patience {
        rx.frame_timeout(patience)?.keep();
    }
    let mut batch = rx.try_batch(most)?;
    let mut count = 0;
    while let Some(message) = batch.next()? {
        got(message, false);
        count += 1;
    }
    Ok(count)
}
