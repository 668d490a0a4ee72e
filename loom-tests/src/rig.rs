//! Small rings to model with. A ring of 32 dense bytes holds one message of up to 8 bytes, one of 64 holds three:
//! small enough that every model meets the end of the data, the full ring and the reuse of bytes.

use crate::channel::spsc::{Consumer, Producer};
use crate::channel::{Host, Seat};
use crate::error::{Error, RecvError};
use crate::layout::{
    Align, CONSUMER, EventLine, Line, LockLine, PRODUCER, PageHeader, Party, PartyWord, SpscHeader, Traffic,
    Wakeup,
};
use crate::ring::spsc::{ConsumerSide, ProducerSide};
use crate::sync::{AtomicU32, AtomicU64, Memory, Semaphore, Shared, kill, killing};
use crate::view::{Geometry, PageGeometry, PageView, View};
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::cell::Cell;
use std::sync::Arc;

/// One ring and the kernel's picture of who holds its leases.
#[derive(Clone)]
pub struct Rig {
    header: Shared<SpscHeader>,
    memory: Memory,
    geometry: Geometry,
    leases: Leases,
    trusted: bool,
}

/// An event line that nobody sleeps on.
#[must_use]
pub fn event_line() -> EventLine {
    EventLine {
        state: AtomicU32::new(0),
        bell: AtomicU32::new(0),
        enough: AtomicU64::new(0),
        semaphore: Semaphore::new(),
        judged: AtomicU64::new(0),
        asker: AtomicU32::new(0),
    }
}

/// A lock that nobody has.
#[must_use]
pub fn lock_line() -> LockLine {
    LockLine { word: Line(AtomicU64::new(0)), event: event_line() }
}

/// An empty stream of so many pages of so many bytes; or an empty ring of records.
#[must_use]
pub fn stream_view(count: u64, page_len: usize) -> PageView {
    let zero = || AtomicU32::new(0);
    let traffic = Traffic { readers: zero(), writers: zero(), left: zero(), shut: zero(), told: zero() };
    let header = PageHeader {
        head: Line(AtomicU64::new(0)),
        tail: Line(AtomicU64::new(0)),
        limit: Line(AtomicU64::new(count)),
        items: event_line(),
        space: event_line(),
        reading: lock_line(),
        writing: lock_line(),
        traffic,
        partner: event_line(),
    };
    let words = Shared::of_all((0..count).map(|_| AtomicU64::new(0)).collect());
    let geometry = PageGeometry { pages: count, limit: count, page_len, asymmetric: false };
    PageView::new(Shared::of(header), words, Memory::zeroed(count as usize * page_len), geometry)
}

/// A place that nobody ever had.
#[must_use]
pub fn party() -> Party {
    Party { word: AtomicU64::new(0), since_ns: AtomicU64::new(0) }
}

impl Rig {
    /// An empty ring.
    #[must_use]
    pub fn new(capacity: u64, align: Align, wakeup: Wakeup) -> Self {
        let geometry = Geometry { capacity, align, wakeup, asymmetric: false };
        let header = SpscHeader {
            head: Line(AtomicU64::new(0)),
            items: event_line(),
            space: event_line(),
            parties: [party(), party()],
        };
        let memory = Memory::zeroed(capacity as usize);
        Rig { header: Shared::of(header), memory, geometry, leases: Leases(None), trusted: true }
    }

    /// An empty ring with records on 8-byte boundaries and a futex.
    #[must_use]
    pub fn dense(capacity: u64) -> Self {
        Rig::new(capacity, Align::Dense, Wakeup::Futex)
    }

    /// Lets participants die: the kernel's leases become part of the model.
    #[must_use]
    pub fn mortal(mut self) -> Self {
        self.leases = Leases::all_free(2);
        self
    }

    /// Lets participants distrust each other: they copy in and out.
    #[must_use]
    pub fn distrusting(mut self) -> Self {
        self.trusted = false;
        self
    }

    /// The ring as one participant sees it.
    #[must_use]
    pub fn view(&self) -> View {
        View::new(self.header.clone(), self.memory.clone(), self.geometry)
    }

    /// The producer's half of the algorithm, without wake-ups.
    #[must_use]
    pub fn producer_side(&self) -> ProducerSide {
        ProducerSide::resume(self.view()).expect("a sound ring")
    }

    /// The consumer's half of the algorithm, without wake-ups.
    #[must_use]
    pub fn consumer_side(&self) -> ConsumerSide {
        ConsumerSide::resume(self.view()).expect("a sound ring")
    }

    /// Takes the producer's lease and attaches.
    #[must_use]
    pub fn producer(&self) -> Producer {
        Producer::attach(self.view(), self.seat(PRODUCER)).expect("a sound ring")
    }

    /// Takes the consumer's lease and attaches.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        Consumer::attach(self.view(), self.seat(CONSUMER)).expect("a sound ring")
    }

    /// The producer is killed; thereupon the kernel frees its lease.
    pub fn kill_producer(&self, producer: Producer) {
        kill(producer);
        self.free(PRODUCER);
    }

    /// The consumer is killed; thereupon the kernel frees its lease.
    pub fn kill_consumer(&self, consumer: Consumer) {
        kill(consumer);
        self.free(CONSUMER);
    }

    fn seat(&self, party: usize) -> Seat {
        let seat = self.leases.seat(PID[party], self.trusted);
        assert!(seat.host.take(party), "one {party} at a time");
        seat
    }

    fn free(&self, party: usize) {
        self.leases.end(party);
    }

    /// The state word of a participant.
    #[must_use]
    pub fn party(&self, party: usize) -> PartyWord {
        self.header.parties[party].state()
    }

    /// When a participant attached: 1, since no clock runs; 0 if it never did.
    #[must_use]
    pub fn since(&self, party: usize) -> u64 {
        self.header.parties[party].since()
    }
}

/// The process ids of producer and consumer.
pub const PID: [u32; 2] = [71, 72];

/// The kernel's picture of who lives; `None` if nobody dies in the model. A lease is `ALONE`, or so many shares.
#[derive(Clone)]
pub struct Leases(Option<Arc<[AtomicUsize]>>);

/// Somebody has it alone.
const ALONE: usize = 1 << 16;

impl Leases {
    /// So many leases that nobody holds.
    #[must_use]
    pub fn all_free(count: usize) -> Self {
        Leases(Some((0..count).map(|_| AtomicUsize::new(0)).collect()))
    }

    /// A seat for a process that holds no lease yet.
    #[must_use]
    pub fn seat(&self, pid: u32, trusted: bool) -> Seat {
        let host =
            Lease { leases: self.clone(), held: Cell::new(None), shared: Cell::new(None), pid, trusted };
        Seat { host: Box::new(host), pid, now_ns: 1, trusted }
    }

    /// The holder has died: what it did is visible to whoever the kernel tells of the free lease.
    pub fn end(&self, party: usize) {
        self.0.as_ref().expect("a mortal rig")[party].store(0, Release);
    }
}

struct Lease {
    leases: Leases,
    /// The own one.
    held: Cell<Option<usize>>,
    /// That in which it has a share, one at a time.
    shared: Cell<Option<usize>>,
    pid: u32,
    trusted: bool,
}

impl Host for Lease {
    fn is_held(&self, party: usize) -> bool {
        // The kernel's lock orders: a lease seen free tells all that its holder did.
        self.leases.0.as_ref().is_none_or(|leases| leases[party].load(Acquire) == ALONE)
    }

    fn take(&self, party: usize) -> bool {
        let Some(leases) = &self.leases.0 else { return true };
        let own = usize::from(self.shared.get() == Some(party));
        let taken = leases[party].compare_exchange(own, ALONE, AcqRel, Relaxed).is_ok();
        if taken {
            self.shared.set(None);
            self.held.set(Some(party));
        }
        taken
    }

    fn share(&self, party: usize) -> bool {
        let leases = self.leases.0.as_ref().expect("a mortal rig");
        let more = |shares| (shares != ALONE).then_some(shares + 1);
        let shared = leases[party].fetch_update(AcqRel, Relaxed, more).is_ok();
        if shared {
            assert!(self.shared.replace(Some(party)).is_none(), "one share at a time");
        }
        shared
    }

    fn give_back(&self, party: usize) {
        if self.shared.get() == Some(party) {
            self.shared.set(None);
            let leases = self.leases.0.as_ref().expect("a mortal rig");
            leases[party].fetch_sub(1, Release);
            return;
        }
        if let Some(leases) = &self.leases.0 {
            leases[party].store(0, Release);
        }
        if self.held.get() == Some(party) {
            self.held.set(None);
        }
    }

    fn another(&self) -> Result<Seat, Error> {
        Ok(self.leases.seat(self.pid, self.trusted))
    }

    fn ring(&self) -> String {
        "the model".into()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let (Some(party), false) = (self.held.get(), killing()) {
            self.give_back(party);
        }
    }
}

/// Sends one message as `try_send` does, without wake-up; whether there was room.
pub fn put(side: &mut ProducerSide, message: &[u8]) -> bool {
    match side.claim(message.len()) {
        Ok(claim) => {
            side.write(&claim, message);
            side.commit_all(claim, message.len());
            true
        }
        Err(_) => false,
    }
}

/// Receives one message as `try_recv` does, without wake-up.
pub fn get(side: &mut ConsumerSide) -> Option<Vec<u8>> {
    if !side.has_record() && !side.find().expect("a sound ring") {
        return None;
    }
    let record = side.record();
    let mut message = vec![0; record.len];
    side.read(record, &mut message);
    side.release(record.next);
    Some(message)
}

/// What `try_recv` gives: the message or the reason.
pub fn try_recv(consumer: &mut Consumer) -> Result<Vec<u8>, RecvError> {
    let mut buffer = [0; 64];
    consumer.try_recv(&mut buffer).map(|len| buffer[..len].to_vec())
}

/// What `recv` gives: the message or the reason.
pub fn recv(consumer: &mut Consumer) -> Result<Vec<u8>, RecvError> {
    let mut buffer = [0; 64];
    consumer.recv(&mut buffer).map(|len| buffer[..len].to_vec())
}
