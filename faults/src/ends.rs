//! Participants that write down what they do: the ends of either kind of ring behind one face, so that every fault is
//! tried on both.

use crate::audit::Mode;
use crate::log::{Event, Log};
use crate::payload::{Id, LEAST, checksum, mix};
use crate::trace::mark;
use crate::words::Words;
use serde::{Deserialize, Serialize};
use slipring::mpmc::{Receiver, Sender};
use slipring::spsc::{Consumer, Producer};
use slipring::{Notify, Options, RecvError, Ring, SendError, WaitStrategy};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
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
    /// Now this, now that.
    Mixed,
}

impl Put {
    /// How the message of this number is sent.
    fn of(self, seq: u64) -> Put {
        match (self, mix(seq) % 4) {
            (Put::Mixed, 0) => Put::Loan,
            (Put::Mixed, 1) => Put::Batch(4),
            (Put::Mixed, _) => Put::Copy,
            (how, _) => how,
        }
    }

    fn count(self) -> u64 {
        if let Put::Batch(count) = self { count as u64 } else { 1 }
    }
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
    /// Now this, now that, of those by which a message comes at most once (MPMC).
    Mixed,
}

impl Take {
    /// How the verb of this number receives.
    fn of(self, turn: u64) -> Take {
        match (self, mix(turn) % 4) {
            (Take::Mixed, 0) => Take::Frame,
            (Take::Mixed, 1) => Take::Batch(4),
            (Take::Mixed, _) => Take::Recv,
            (how, _) => how,
        }
    }

    /// What the ring promises for messages that are taken so.
    #[must_use]
    pub fn mode(self, kind: Kind) -> Mode {
        match (kind, self) {
            (_, Take::Recv) | (Kind::Mpmc, Take::Frame | Take::Batch(_) | Take::Mixed) => Mode::AtMostOnce,
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

/// Who is told when a verb begins and ends.
#[derive(Clone)]
enum Marks {
    Nobody,
    /// Who steps through it.
    Tracer,
    /// Who looks at this word: [`Doing`], as a number.
    Word(Arc<Words>, usize),
}

/// What a participant is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Doing {
    /// Opening the ring and attaching.
    Attach,
    /// Between two verbs: writing down what it did.
    Between,
    /// `send`.
    Send,
    /// `reserve`, filling and `commit`.
    Reserve,
    /// A batch to send.
    SendBatch,
    /// `recv`.
    Recv,
    /// `frame`, reading and releasing.
    Frame,
    /// `peek` and `ack`.
    Peek,
    /// A batch to receive.
    RecvBatch,
}

impl Doing {
    /// All.
    pub const ALL: [Doing; 9] = [
        Doing::Attach,
        Doing::Between,
        Doing::Send,
        Doing::Reserve,
        Doing::SendBatch,
        Doing::Recv,
        Doing::Frame,
        Doing::Peek,
        Doing::RecvBatch,
    ];
}

impl Marks {
    fn begin(&self, doing: Doing) {
        match self {
            Marks::Nobody => {}
            Marks::Tracer => mark(),
            Marks::Word(words, at) => words[*at].store(doing as u64, Relaxed),
        }
    }

    fn end(&self) {
        match self {
            Marks::Tracer => mark(),
            _ => self.begin(Doing::Between),
        }
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
    marks: Marks,
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
    turn: u64,
    marks: Marks,
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
        Ok(Talker { tx, who, next: 0, log, marks: Marks::Nobody })
    }

    /// From now on each verb is between two marks.
    #[must_use]
    pub fn marked(self) -> Self {
        Talker { marks: Marks::Tracer, ..self }
    }

    /// From now on the word `at` says what it is doing.
    #[must_use]
    pub fn telling(self, words: Arc<Words>, at: usize) -> Self {
        let marks = Marks::Word(words, at);
        marks.end();
        Talker { marks, ..self }
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
        let how = how.of(self.next);
        let first = self.announce(how);
        let sent = self.transmit(how, first, patience);
        self.conclude(how, first, &sent);
        sent
    }

    /// Sends its next messages by trying again as long as there is no room and `again` says so, which is asked after each
    /// try, and told whether there was none.
    ///
    /// # Errors
    /// Of the library. Nothing was sent then.
    pub fn send_polling(&mut self, how: Put, mut again: impl FnMut(bool) -> bool) -> Result<u64, SendError> {
        let how = how.of(self.next);
        let first = self.announce(how);
        let sent = loop {
            let sent = self.transmit(how, first, None);
            let full = matches!(sent, Err(SendError::Full));
            if !again(full) || !full {
                break sent;
            }
        };
        self.conclude(how, first, &sent);
        sent
    }

    fn announce(&mut self, how: Put) -> u64 {
        let first = self.next;
        self.next += how.count();
        for seq in first..self.next {
            let (buffer, len) = message(Id { sender: self.who, seq });
            self.log.write(Event::Intend { seq, sum: checksum(&buffer[..len]) });
        }
        first
    }

    fn conclude(&self, how: Put, first: u64, sent: &Result<u64, SendError>) {
        let (went, count) = (*sent.as_ref().unwrap_or(&0), how.count());
        if went > 0 {
            self.log.write(Event::Sent { seq: first, count: went });
        }
        if went < count {
            self.log.write(Event::Refused { seq: first + went, count: count - went });
        }
    }

    fn transmit(&mut self, how: Put, first: u64, patience: Option<Duration>) -> Result<u64, SendError> {
        let messages = |i: u64| message(Id { sender: self.who, seq: first + i });
        match how {
            Put::Copy | Put::Mixed => {
                let (buffer, len) = messages(0);
                self.marks.begin(Doing::Send);
                let sent = match (&mut self.tx, patience) {
                    (Tx::Spsc(tx), None) => tx.try_send(&buffer[..len]),
                    (Tx::Spsc(tx), Some(patience)) => tx.send_timeout(&buffer[..len], patience),
                    (Tx::Mpmc(tx), None) => tx.try_send(&buffer[..len]),
                    (Tx::Mpmc(tx), Some(patience)) => tx.send_timeout(&buffer[..len], patience),
                };
                self.marks.end();
                sent.map(|()| 1)
            }
            Put::Loan => {
                let (buffer, len) = messages(0);
                self.marks.begin(Doing::Reserve);
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
                        // Passed over meanwhile, it needs room as who sends does, and waits as long as asked to.
                        let committed = match patience {
                            None => grant.try_commit(len),
                            Some(patience) => grant.commit_timeout(len, patience),
                        };
                        committed.map_err(|(_, error)| error)
                    }),
                };
                self.marks.end();
                sent.map(|()| 1)
            }
            Put::Batch(count) => {
                let all: Vec<_> = (0..count as u64).map(messages).collect();
                let all: Vec<_> = all.iter().map(|(buffer, len)| &buffer[..*len]).collect();
                self.marks.begin(Doing::SendBatch);
                let sent = self.send_batch(&all, patience);
                self.marks.end();
                sent
            }
        }
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
        Ok(Listener { rx, log, reached: 0, turn: 0, marks: Marks::Nobody })
    }

    /// From now on each verb is between two marks.
    #[must_use]
    pub fn marked(self) -> Self {
        Listener { marks: Marks::Tracer, ..self }
    }

    /// From now on the word `at` says what it is doing.
    #[must_use]
    pub fn telling(self, words: Arc<Words>, at: usize) -> Self {
        let marks = Marks::Word(words, at);
        marks.end();
        Listener { marks, ..self }
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
        let how = how.of(self.turn);
        self.turn += 1;
        // What was reached for and not got is still reached for.
        if self.reached != how.most() {
            self.log.write(Event::Reach { most: how.most() });
            self.reached = how.most();
        }
        let Listener { rx, log, marks, reached, .. } = self;
        let mut got = |message: &[u8], redelivered: bool| {
            *reached = reached.saturating_sub(1);
            match Id::read(message, LONGEST) {
                Ok(id) => log.write(Event::Took { id, sum: checksum(message), redelivered }),
                Err(_) => log.write(Event::Torn),
            };
        };
        let mut buffer = [0; LONGEST];
        marks.begin(match how {
            Take::Recv | Take::Mixed => Doing::Recv,
            Take::Frame => Doing::Frame,
            Take::Peek => Doing::Peek,
            Take::Batch(_) => Doing::RecvBatch,
        });
        let taken = match (rx, how) {
            (Rx::Spsc(rx), Take::Recv | Take::Mixed) => {
                let len = match patience {
                    None => rx.try_recv(&mut buffer),
                    Some(patience) => rx.recv_timeout(&mut buffer, patience),
                };
                marks.end();
                return len.map(|len| {
                    got(&buffer[..len], false);
                    1
                });
            }
            (Rx::Mpmc(rx), Take::Recv | Take::Mixed) => {
                let len = match patience {
                    None => rx.try_recv(&mut buffer),
                    Some(patience) => rx.recv_timeout(&mut buffer, patience),
                };
                marks.end();
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
        marks.end();
        taken
    }

    /// What the other side of an SPSC ring is seen as.
    #[must_use]
    pub fn peer(&self) -> Option<slipring::Peer> {
        if let Rx::Spsc(rx) = &self.rx { Some(rx.peer()) } else { None }
    }

    /// Asks to be told when a message comes to the empty ring; it is told by a word.
    ///
    /// # Errors
    /// Of the library.
    pub fn ask(&mut self) -> slipring::Result<std::sync::mpsc::Receiver<()>> {
        let (tell, told) = std::sync::mpsc::channel();
        let how = Some(Notify::Call(Box::new(move || {
            // An error means that nobody listens any more.
            let _ = tell.send(());
        })));
        match &mut self.rx {
            Rx::Spsc(rx) => rx.notify(how)?,
            Rx::Mpmc(rx) => rx.notify(how)?,
        }
        Ok(told)
    }

    /// Whether a message waits.
    #[must_use]
    pub fn has_message(&self) -> bool {
        match &self.rx {
            Rx::Spsc(rx) => !rx.was_empty(),
            Rx::Mpmc(rx) => !rx.was_empty(),
        }
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
