//! Every byte that two processes share: the segment header, the participants, the control lines of each kind of ring,
//! the state word of a slot. Offsets are pinned by the asserts at the end and listed in `docs/layout.md`; a change here
//! is a new [`VERSION`].
//!
//! Nothing in here has compiler-chosen padding, a pointer, a bool, an enum or a usize: shared memory is input.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "the facade's atomics, which the lint sees through to core's")]

use crate::sync::{AtomicU32, AtomicU64, FutexU64, REAL, Semaphore};
use core::mem::{align_of, offset_of, size_of};

/// First eight bytes of every segment.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SLIPRING");
/// Layout version. Another version is refused at open.
pub const VERSION: u32 = 2;
/// Ring kind: one producer, one consumer, variable-length records.
pub const KIND_SPSC: u32 = 1;
/// Ring kind: any number of senders and receivers, slots of one size.
pub const KIND_MPMC: u32 = 2;
/// Ring kind: a stream of bytes in pages, as a pipe: any number of writers and readers, one at a time of each.
pub const KIND_PAGES: u32 = 3;
/// Kind: a message queue with POSIX's rules, priorities first.
pub const KIND_POSIX_MQ: u32 = 4;
/// Kind: a message queue with System V's rules, types to choose from.
pub const KIND_SYSV_MQ: u32 = 5;
/// Kind: a POSIX semaphore.
pub const KIND_SEM: u32 = 6;
/// Kind: a set of semaphores, as System V has them.
pub const KIND_SEMSET: u32 = 7;
/// Ring kind: records of any length, as a socket that keeps message boundaries: any number of writers and readers, one
/// at a time of each. Laid out as [`KIND_PAGES`], its bytes used as one ring.
pub const KIND_RECORDS: u32 = 9;

/// What people call a segment of this kind that is no ring of messages: the adapter whose it is.
#[must_use]
pub fn adapter_of(kind: u32) -> Option<&'static str> {
    match kind {
        KIND_PAGES => Some("pipe"),
        KIND_POSIX_MQ => Some("posix-mq"),
        KIND_SYSV_MQ => Some("sysv-mq"),
        KIND_SEM => Some("sem"),
        KIND_SEMSET => Some("semset"),
        KIND_RECORDS => Some("socket"),
        _ => None,
    }
}

/// Flag: the name outlives its last participant.
pub const FLAG_PERSISTENT: u32 = 1;
/// Flag: sleepers run membarrier(2), so wakers need no fence. Every participant registers at attach.
pub const FLAG_ASYMMETRIC_FENCES: u32 = 2;
/// All flags this version knows. Others are refused at open.
pub const FLAGS_KNOWN: u32 = FLAG_PERSISTENT | FLAG_ASYMMETRIC_FENCES;

/// Whether position `at` comes before position `than`. Positions are never further apart than half their range.
#[inline(always)]
#[must_use]
pub const fn is_behind(at: u64, than: u64) -> bool {
    (at.wrapping_sub(than) as i64) < 0
}

/// Number, behind those of all participants, of the lease of who asked to be told of messages.
pub const WATCHER: usize = MAX_PARTICIPANTS as usize;
/// Bytes reserved for the segment header at offset 0.
pub const SEGMENT_HEADER_LEN: usize = 256;
/// Where the control lines of a ring start.
pub const RING_OFFSET: usize = 1024;
/// Where the data of an SPSC ring start: page aligned.
pub const SPSC_DATA_OFFSET: usize = 4096;
/// The least capacity of an SPSC ring, in bytes.
pub const MIN_CAPACITY: u64 = 4096;
/// The greatest capacity of an SPSC ring, in bytes: a record's length has 32 bits and half a ring is its limit.
pub const MAX_CAPACITY: u64 = 1 << 32;
/// Where the participants of an MPMC ring stand.
pub const PARTIES_OFFSET: usize = 2048;
/// The most participants that a ring can have at once: an owner has 12 bits in a slot's state word.
pub const MAX_PARTICIPANTS: u32 = 4096;
/// The least slots of an MPMC ring.
pub const MIN_SLOTS: u64 = 2;
/// The most slots of an MPMC ring.
pub const MAX_SLOTS: u64 = 1 << 24;
/// The longest slot of an MPMC ring, in bytes.
pub const MAX_SLOT_LEN: u64 = 1 << 26;
/// Bytes of a slot before its payload: the state word and the length.
pub const SLOT_HEADER_LEN: usize = 16;
/// Slots start on cache lines and fill them.
pub const SLOT_ALIGN: u64 = 64;

/// Bytes of a page of a stream; what is written at once and fits is not torn (PIPE_BUF).
pub const PAGE_LEN: usize = 4096;
/// The most pages of a stream: 1 GiB.
pub const MAX_PAGES: u64 = 1 << 18;
/// Where the words of a stream's pages stand.
pub const PAGE_WORDS_OFFSET: usize = 2560;

/// Where the pages of a stream of so many start: page aligned.
#[must_use]
pub const fn pages_offset(pages: u64) -> usize {
    (PAGE_WORDS_OFFSET + pages as usize * size_of::<AtomicU64>()).next_multiple_of(PAGE_LEN)
}

/// Where the places of those who use a queue stand: page aligned.
pub const QUEUE_SEATS_OFFSET: usize = 4096;
/// The most cells of a queue: 4 GiB and more.
pub const MAX_CELLS: u64 = 1 << 26;
/// The shortest and the longest cell of a queue, in bytes; powers of two.
pub const CELL_LENS: [u64; 2] = [64, 4096];

/// Where the index of a queue with so many seats starts.
#[must_use]
pub const fn nodes_offset(seats: u32) -> usize {
    QUEUE_SEATS_OFFSET + seats as usize * size_of::<WaitLine>()
}

/// Where the cells of a queue start: page aligned.
#[must_use]
pub const fn cells_offset(seats: u32, cells: u64) -> usize {
    (nodes_offset(seats) + cells as usize * size_of::<Node>()).next_multiple_of(4096)
}

/// Where the slots of an MPMC ring for so many participants start: page aligned.
#[must_use]
pub const fn slots_offset(participants: u32) -> usize {
    (PARTIES_OFFSET + participants as usize * size_of::<Party>()).next_multiple_of(4096)
}

/// The header of a segment: written before the segment has a name, constant from then on, read once with pread(2).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "docs/layout.md has a row per field")]
pub struct SegmentHeader {
    pub magic: u64,
    pub version: u32,
    pub kind: u32,
    pub segment_len: u64,
    pub ring_offset: u64,
    pub data_offset: u64,
    pub capacity: u64,
    pub align: u32,
    pub wakeup: u32,
    pub flags: u32,
    pub creator_pid: u32,
    pub creator_uid: u32,
    pub mode: u32,
    pub slot_len: u32,
    pub participants: u32,
    pub created_ns: u64,
    pub checksum: u64,
}

/// How many bytes of [`SegmentHeader`] the checksum covers: all before it.
pub const CHECKED_LEN: usize = offset_of!(SegmentHeader, checksum);

macro_rules! header_fields {
    ($with:ident) => {
        $with!(magic: u64, version: u32, kind: u32, segment_len: u64, ring_offset: u64, data_offset: u64, capacity: u64,
            align: u32, wakeup: u32, flags: u32, creator_pid: u32, creator_uid: u32, mode: u32, slot_len: u32,
            participants: u32, created_ns: u64, checksum: u64)
    };
}

impl SegmentHeader {
    /// The bytes as they stand in the segment.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        macro_rules! put {
            ($($name:ident: $ty:ty),*) => {$(
                bytes[offset_of!(SegmentHeader, $name)..][..size_of::<$ty>()].copy_from_slice(&self.$name.to_ne_bytes());
            )*};
        }
        header_fields!(put);
        bytes
    }

    /// The fields of these bytes, unchecked: `view` and `segment` judge them.
    #[must_use]
    pub fn decode(bytes: &[u8; SEGMENT_HEADER_LEN]) -> Self {
        macro_rules! get {
            ($($name:ident: $ty:ty),*) => {
                SegmentHeader {$(
                    $name: {
                        let mut field = [0; size_of::<$ty>()];
                        field.copy_from_slice(&bytes[offset_of!(SegmentHeader, $name)..][..size_of::<$ty>()]);
                        <$ty>::from_ne_bytes(field)
                    },
                )*}
            };
        }
        header_fields!(get)
    }

    /// With the checksum of its fields, as it is written.
    #[must_use]
    pub fn with_checksum(self) -> Self {
        SegmentHeader { checksum: self.expected_checksum(), ..self }
    }

    /// FNV-1a over all fields before the checksum: tells a damaged header from a foreign one. No defence against malice.
    #[must_use]
    pub fn expected_checksum(&self) -> u64 {
        self.encode()[..CHECKED_LEN]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// How records are placed: the boundary on which each starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Align {
    /// 64 bytes, one cache line: a message of up to 56 bytes crosses between cores in one line transfer.
    #[default]
    Line,
    /// 8 bytes: small messages share lines, which saves memory and bandwidth and costs latency.
    Dense,
}

impl Align {
    /// The boundary in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Align::Line => 64,
            Align::Dense => 8,
        }
    }

    /// The alignment with this boundary.
    #[must_use]
    pub fn from_bytes(bytes: u32) -> Option<Self> {
        [Align::Line, Align::Dense].into_iter().find(|a| a.bytes() == u64::from(bytes))
    }
}

/// What sleepers of a ring sleep on; fixed when the ring is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Wakeup {
    /// Nothing: both sides poll.
    None,
    /// A shared futex (futex(2)).
    #[default]
    Futex,
    /// A POSIX process-shared semaphore (sem_overview(7)).
    Semaphore,
}

impl Wakeup {
    /// The number that stands in the segment header.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Wakeup::None => 0,
            Wakeup::Futex => 1,
            Wakeup::Semaphore => 2,
        }
    }

    /// The wake-up with this number.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        [Wakeup::None, Wakeup::Futex, Wakeup::Semaphore].into_iter().find(|w| w.code() == code)
    }
}

/// A value on two cache lines of its own: the hardware prefetches lines in pairs.
#[repr(C, align(128))]
pub struct Line<T>(pub T);

/// Where one side of a ring sleeps.
#[repr(C, align(128))]
pub struct EventLine {
    /// Bit 0: somebody asked to be told, see `watch.rs`. Bit 1: somebody sleeps or is about to. The rest counts wake-ups.
    /// This is the futex word.
    pub state: AtomicU32,
    /// Counts how often whoever asked to be told was, and how often a request was taken back. A futex: who asked sleeps here.
    pub bell: AtomicU32,
    /// Position before which the sleeper need not be woken, if it waits for positions. A hint.
    pub enough: AtomicU64,
    /// The semaphore of a ring with semaphore wake-up; zero otherwise.
    pub semaphore: Semaphore,
    /// Position before which no message is news to whoever asked to be told.
    pub judged: AtomicU64,
    /// Process that asked to be told last; for people.
    pub asker: AtomicU32,
}

/// One participant: who holds the role, and in which state.
#[repr(C, align(128))]
pub struct Party {
    /// `attachments:27 | role:2 | pid:32 | state:3`, see [`PartyWord`].
    pub word: AtomicU64,
    /// When the participant attached, in nanoseconds since 1970: says which of several that are gone was the last.
    pub since_ns: AtomicU64,
}

/// The state word of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartyWord(pub u64);

/// No participant ever had the role.
pub const ABSENT: u64 = 0;
/// A participant has it; whether it lives is the lease's to say.
pub const ATTACHED: u64 = 1;
/// The last participant left cleanly.
pub const CLOSED: u64 = 2;
/// The last participant died, and what it held was given back (MPMC).
pub const DIED: u64 = 3;
/// The last participant died, and messages that it did not acknowledge wait for a receiver to adopt them (MPMC).
pub const ORPHANED: u64 = 4;
/// The last participant left cleanly, and messages that it did not acknowledge wait for a receiver to adopt them (MPMC).
pub const ABANDONED: u64 = 5;

/// Role of a participant of an MPMC ring: it sends.
pub const SENDER: u32 = 1;
/// Role of a participant of an MPMC ring: it receives.
pub const RECEIVER: u32 = 2;

impl PartyWord {
    const STATE: u64 = 7;

    /// [`ABSENT`], [`ATTACHED`], [`CLOSED`], [`DIED`], [`ORPHANED`], [`ABANDONED`], or another number in a damaged segment.
    #[must_use]
    pub fn state(self) -> u64 {
        self.0 & Self::STATE
    }

    /// The process that last attached.
    #[must_use]
    pub fn pid(self) -> u32 {
        (self.0 >> 3) as u32
    }

    /// What it does: [`SENDER`] or [`RECEIVER`]. An SPSC ring tells by the index and leaves 0.
    #[must_use]
    pub fn role(self) -> u32 {
        (self.0 >> 35) as u32 & 3
    }

    /// The word of the next participant: one more attachment, so that no two words of one segment are alike.
    #[must_use]
    pub fn next_attached(self, pid: u32, role: u32) -> Self {
        let attachments = (self.0 >> 37).wrapping_add(1);
        PartyWord(attachments << 37 | u64::from(role & 3) << 35 | u64::from(pid) << 3 | ATTACHED)
    }

    /// The same participant in another state.
    #[must_use]
    pub fn with(self, state: u64) -> Self {
        PartyWord(self.0 & !Self::STATE | state)
    }
}

/// Index of the producer among the parties of an SPSC ring.
pub const PRODUCER: usize = 0;
/// Index of the consumer.
pub const CONSUMER: usize = 1;

/// The control lines of an SPSC ring.
#[repr(C)]
pub struct SpscHeader {
    /// Position of the next record to read. Only the consumer stores it; a successor resumes here.
    pub head: Line<AtomicU64>,
    /// The consumer sleeps here until there is a record.
    pub items: EventLine,
    /// The producer sleeps here until there is room.
    pub space: EventLine,
    /// Producer and consumer.
    pub parties: [Party; 2],
}

/// The control lines of an MPMC ring.
#[repr(C)]
pub struct MpmcHeader {
    /// Position that the next message goes to, or a little less: whoever finds it behind moves it.
    pub tail: Line<AtomicU64>,
    /// Position of the next message to take, or a little less.
    pub head: Line<AtomicU64>,
    /// Receivers sleep here until there is a message.
    pub items: EventLine,
    /// Senders sleep here until there is room.
    pub space: EventLine,
    /// Hints on who is there.
    pub census: Census,
}

/// Hints on who is there; the participants' own words and leases decide.
#[repr(C, align(128))]
pub struct Census {
    /// Roles that somebody ever had: the sum of [`SENDER`] and [`RECEIVER`].
    pub seen: AtomicU32,
    /// Changes whenever a participant comes, leaves or is found dead.
    pub changes: AtomicU32,
}

/// A lock whose holder may be killed: who has it, and where the others sleep.
#[repr(C)]
pub struct LockLine {
    /// `turns:52 | owner:12`, see `channel/lock.rs`.
    pub word: Line<AtomicU64>,
    /// Whoever wants it sleeps here.
    pub event: EventLine,
}

/// Who came to a stream and who left, counted.
#[repr(C, align(128))]
pub struct Traffic {
    /// How often a reading end was opened.
    pub readers: AtomicU32,
    /// How often a writing end was opened.
    pub writers: AtomicU32,
    /// How often anybody closed an end.
    pub left: AtomicU32,
    /// Bit 0: nothing more goes through (shutdown(2)). Bit 1: whoever reads sends no more elsewhere (a datagram socket's).
    pub shut: AtomicU32,
    /// Whether a writer was told that its bytes were thrown away unread.
    pub told: AtomicU32,
}

impl Traffic {
    /// How often an end was opened.
    #[must_use]
    pub fn openings(&self, writing: bool) -> &AtomicU32 {
        if writing { &self.writers } else { &self.readers }
    }
}

/// The control lines of a stream in pages.
#[repr(C)]
pub struct PageHeader {
    /// `position:48 | offset:16` of the next byte to read. Only whoever holds `reading` stores it.
    pub head: Line<AtomicU64>,
    /// Position of the next page to fill. Only whoever holds `writing` stores it.
    pub tail: Line<AtomicU64>,
    /// How many pages may be in use. Only whoever holds `writing` stores it.
    pub limit: Line<AtomicU64>,
    /// Readers sleep here until there are bytes.
    pub items: EventLine,
    /// Writers sleep here until there is room.
    pub space: EventLine,
    /// The right to read.
    pub reading: LockLine,
    /// The right to write.
    pub writing: LockLine,
    /// Who came and who left.
    pub traffic: Traffic,
    /// Whoever opened one end sleeps here until the other is opened.
    pub partner: EventLine,
}

/// The control lines of a message queue. Everything is written by the holder of `lock` alone; limits, facts, `watch`, a seat's
/// state and what observers count are also read without it. What stands under *derived* is made anew from the cells and the
/// seats after a death.
#[repr(C)]
pub struct QueueHeader {
    /// The right to touch the queue.
    pub lock: LockLine,
    /// Derived: what is in the store and where.
    pub store: StoreLine,
    /// Derived: who waits.
    pub lines: LinesLine,
    /// What the queue may hold.
    pub limits: LimitsLine,
    /// What System V tells of a queue.
    pub facts: FactsLine,
    /// Who is told when something comes.
    pub watch: WatchLine,
}

/// Derived: what is in a store.
#[repr(C, align(128))]
pub struct StoreLine {
    /// Root of the index, a link.
    pub root: AtomicU64,
    /// First free cell, a link.
    pub free: AtomicU64,
    /// Free cells.
    pub free_cells: AtomicU64,
    /// Messages queued: not handed to anybody yet.
    pub count: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// The number of the next message to arrive.
    pub next: AtomicU64,
}

/// Derived: who waits at a queue.
#[repr(C, align(128))]
pub struct LinesLine {
    /// First seat that waits for a message, a link.
    pub receivers: AtomicU64,
    /// First seat that waits for room, a link.
    pub senders: AtomicU64,
    /// The next ticket; whoever has a lower one came earlier.
    pub ticket: AtomicU64,
    /// How many have been served and have not noticed yet.
    pub served: AtomicU64,
    /// How many of them are senders for whom room is kept.
    pub granted: AtomicU64,
    /// The bytes of their messages.
    pub granted_bytes: AtomicU64,
    /// The cells that these will take.
    pub granted_cells: AtomicU64,
}

/// What a queue may hold.
#[repr(C, align(128))]
pub struct LimitsLine {
    /// Bytes of the longest message. Never changes.
    pub max_len: AtomicU64,
    /// Messages at most.
    pub count: AtomicU64,
    /// Bytes of all messages at most.
    pub bytes: AtomicU64,
    /// 1: the queue has been removed, nothing comes or goes any more.
    pub removed: AtomicU64,
    /// How far `bytes` can be raised. Never changes.
    pub most: AtomicU64,
    /// How many messages there is memory for. Never changes.
    pub most_messages: AtomicU64,
}

/// What System V tells of a queue (msgctl(2), `struct msqid_ds`).
#[repr(C, align(128))]
pub struct FactsLine {
    /// The key; 0 for a private one.
    pub key: AtomicU64,
    /// The identifier.
    pub id: AtomicU64,
    /// Who owns it.
    pub uid: AtomicU64,
    /// The owner's group.
    pub gid: AtomicU64,
    /// Permission bits.
    pub mode: AtomicU64,
    /// Process that sent last; 0 for none.
    pub sender: AtomicU64,
    /// Process that received last; 0 for none.
    pub receiver: AtomicU64,
    /// When it was sent to last, in seconds since 1970; 0 for never.
    pub sent: AtomicU64,
    /// When it was received from last.
    pub received: AtomicU64,
    /// When it was made or changed last.
    pub changed: AtomicU64,
}

/// Who is told when a message comes to an empty queue (mq_notify(3)).
#[repr(C, align(128))]
pub struct WatchLine {
    /// Seat of whoever asked, 0 for nobody.
    pub seat: AtomicU64,
    /// Its process.
    pub pid: AtomicU64,
    /// Signal to send; 0 for none.
    pub signal: AtomicU64,
    /// The value that goes with it.
    pub value: AtomicU64,
    /// Counts the requests, so that no two are taken for one.
    pub turn: AtomicU64,
    /// How the last requests ended, see `channel/queue/request.rs`. A futex: who asked for a callback sleeps on it.
    pub told: AtomicU32,
    /// Whether there was a message when somebody judged last whether that is news, see `channel/queue/request.rs`.
    pub filled: AtomicU32,
}

/// A place of one who uses a queue: what it waits for, and what it was given.
#[repr(C, align(64))]
pub struct WaitLine {
    /// `turn:28 | state:4`, see `channel/line.rs`. The futex on which its owner sleeps.
    pub state: AtomicU32,
    /// Process that has it, for people.
    pub pid: AtomicU32,
    /// Derived while it waits: the next in the line, a link.
    pub next: AtomicU64,
    /// Who waits longer has a lower one.
    pub ticket: AtomicU64,
    /// Who has a higher one is served first: the priority of its thread.
    pub rank: AtomicU64,
    /// Which messages it wants, or for whose bytes it wants room.
    pub wants: AtomicU64,
    /// The key of the messages that it wants.
    pub key: AtomicU64,
    /// The longest message that it takes.
    pub room: AtomicU64,
    /// Derived: the cell of the message that it was given.
    pub cell: AtomicU64,
}

/// Derived: a message's place in the index, which has a node for each cell. Links are indices plus one, 0 for none.
#[repr(C)]
pub struct Node {
    /// What comes before it.
    pub left: AtomicU64,
    /// What comes behind it.
    pub right: AtomicU64,
    /// The earliest arrival of its subtree.
    pub earliest: AtomicU64,
}

/// A semaphore that counts, as POSIX has it: 32 bytes in anybody's memory. All zeroes: no permit, nobody waits. See
/// `channel/semaphore.rs`.
#[repr(C)]
pub struct Permits {
    /// `free:32 | sleepers:1 | granted:31`: permits for whoever comes, whether anybody may sleep, permits of those who were
    /// woken. Sleepers sleep on its lower half.
    pub state: FutexU64,
    /// When one was last granted, in milliseconds of the coarse monotonic clock, modulo 2^32. A hint.
    pub granted_ms: AtomicU32,
    /// The number of whoever came to wait last: it keeps watch, and sleeps on this word, too.
    pub watch: AtomicU32,
    /// Counts those who were relieved from that and made way.
    pub relieved: AtomicU32,
    /// Zero.
    pub reserved: [u32; 3],
}

impl Permits {
    /// No permit, nobody waits.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "the models' words have no default")]
    pub fn new() -> Self {
        let (granted_ms, watch, relieved) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        Permits { state: FutexU64::new(0), granted_ms, watch, relieved, reserved: [0; 3] }
    }
}

/// The control lines of a set of semaphores. Behind them stand its cells, and behind these the record of a change.
#[repr(C)]
pub struct SetHeader {
    /// The right to look at the cells and to change them.
    pub lock: LockLine,
    /// Counts changes of values, by whoever holds `lock`. Those for whom there is no place sleep on it.
    pub changes: Line<AtomicU32>,
    /// How many entries of the record are to be carried out; see `ring/journal.rs`.
    pub pending: Line<AtomicU32>,
}

/// The most semaphores of a set (SEMMSL).
pub const MAX_SEMAPHORES: u64 = 32000;
/// Places for those who sleep on a set, and the cells of each. In models: two.
pub const SET_PLACES: usize = if REAL { 1024 } else { 2 };
/// The same.
pub const SET_PLACE: usize = 16;
/// Cells of a set before its values: see `channel/semset/cells.rs`.
pub const SET_FIXED: usize = 12;

/// How many processes can have changes to be undone in a set of so many semaphores.
#[must_use]
pub const fn undo_rows(semaphores: usize) -> usize {
    let rows = (1 << 16) / if semaphores == 0 { 1 } else { semaphores };
    let most = if REAL { 128 } else { 2 };
    if rows > most { most } else { rows + 2 }
}

/// How many cells a set of so many semaphores has before its places.
#[must_use]
pub const fn set_cells(semaphores: usize) -> usize {
    SET_FIXED + 2 * semaphores + undo_rows(semaphores) * (2 + semaphores)
}

/// Where the cells of a set start.
pub const SET_CELLS_OFFSET: usize = RING_OFFSET + 512;

/// How many cells there are with the places.
#[must_use]
pub const fn set_cells_with_places(semaphores: usize) -> usize {
    set_cells(semaphores) + SET_PLACES * SET_PLACE
}

/// Where the record of a change starts, behind all cells.
#[must_use]
pub const fn set_record_offset(semaphores: usize) -> usize {
    (SET_CELLS_OFFSET + set_cells_with_places(semaphores) * 4).next_multiple_of(128)
}

/// Bytes of a set behind `RING_OFFSET`.
#[must_use]
pub const fn set_len(semaphores: usize) -> u64 {
    (set_record_offset(semaphores) + set_cells(semaphores) * 8 - RING_OFFSET) as u64
}

/// The state word of a slot: `lap:48 | kind:4 | owner:12`. Position p lives in slot p % N at lap p / N, laps start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotWord(pub u64);

/// What a slot is for at its lap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotKind {
    /// May be claimed for the position of its lap.
    Free,
    /// Its owner fills it.
    Writing,
    /// Committed, not taken.
    Full,
    /// Its owner reads it, at most once: the message ends with its reader.
    Reading,
    /// The position of its lap is void; its owner may still touch the bytes.
    Pinned,
    /// As [`SlotKind::Reading`], until acknowledged: a message whose reader is gone is delivered again.
    Peeked,
    /// As [`SlotKind::Pinned`], and its owner has peeked at the message of an earlier lap.
    PeekedPinned,
}

impl SlotKind {
    const ALL: [SlotKind; 7] = [
        SlotKind::Free,
        SlotKind::Writing,
        SlotKind::Full,
        SlotKind::Reading,
        SlotKind::Pinned,
        SlotKind::Peeked,
        SlotKind::PeekedPinned,
    ];

    const fn code(self) -> u64 {
        self as u64 + 1
    }

    /// Whether a slot may be in somebody's hands for longer than its position lasts.
    #[must_use]
    pub const fn is_held(self) -> bool {
        matches!(self, SlotKind::Reading | SlotKind::Pinned | SlotKind::Peeked | SlotKind::PeekedPinned)
    }

    /// Whether a participant owns a slot of this kind.
    #[must_use]
    pub const fn is_owned(self) -> bool {
        !matches!(self, SlotKind::Free | SlotKind::Full)
    }
}

impl SlotWord {
    const LAP_SHIFT: u32 = 16;
    const KIND_SHIFT: u32 = 12;

    /// Laps are counted modulo 2^48.
    pub const LAPS: u64 = u64::MAX >> Self::LAP_SHIFT;

    /// The word of a slot in somebody's hands.
    #[inline(always)]
    #[must_use]
    pub const fn owned(lap: u64, kind: SlotKind, owner: u32) -> Self {
        SlotWord(lap << Self::LAP_SHIFT | kind.code() << Self::KIND_SHIFT | owner as u64)
    }

    /// A slot to be claimed for the position of this lap.
    #[inline(always)]
    #[must_use]
    pub const fn free(lap: u64) -> Self {
        SlotWord::owned(lap, SlotKind::Free, 0)
    }

    /// A slot with the message of the position of this lap.
    #[inline(always)]
    #[must_use]
    pub const fn full(lap: u64) -> Self {
        SlotWord::owned(lap, SlotKind::Full, 0)
    }

    /// The lap, modulo 2^48.
    #[inline(always)]
    #[must_use]
    pub const fn lap(self) -> u64 {
        self.0 >> Self::LAP_SHIFT
    }

    /// How many laps it is ahead of `lap`; negative if behind.
    #[inline(always)]
    #[must_use]
    pub const fn ahead_of(self, lap: u64) -> i64 {
        ((self.lap().wrapping_sub(lap)) << Self::LAP_SHIFT) as i64 >> Self::LAP_SHIFT
    }

    /// The kind; `None` in a damaged segment.
    #[inline(always)]
    #[must_use]
    pub const fn kind(self) -> Option<SlotKind> {
        match (self.0 >> Self::KIND_SHIFT) & 15 {
            code @ 1..=7 => Some(SlotKind::ALL[code as usize - 1]),
            _ => None,
        }
    }

    /// Whether a slot with this word is not free, as far as it can be told.
    #[must_use]
    pub const fn is_used(self) -> bool {
        !matches!(self.kind(), Some(SlotKind::Free))
    }

    /// The participant that owns it, if its kind has an owner.
    #[inline(always)]
    #[must_use]
    pub const fn owner(self) -> u32 {
        self.0 as u32 & 0xfff
    }

    /// The slot of the next lap, free.
    #[inline(always)]
    #[must_use]
    pub const fn freed(self) -> Self {
        SlotWord::free(self.lap().wrapping_add(1) & Self::LAPS)
    }
}

const fn pinned(actual: usize, documented: usize) {
    assert!(!REAL || actual == documented, "the shared layout moved: bump VERSION and docs/layout.md");
}

const _: () = {
    pinned(offset_of!(SegmentHeader, magic), 0);
    pinned(offset_of!(SegmentHeader, version), 8);
    pinned(offset_of!(SegmentHeader, kind), 12);
    pinned(offset_of!(SegmentHeader, segment_len), 16);
    pinned(offset_of!(SegmentHeader, ring_offset), 24);
    pinned(offset_of!(SegmentHeader, data_offset), 32);
    pinned(offset_of!(SegmentHeader, capacity), 40);
    pinned(offset_of!(SegmentHeader, align), 48);
    pinned(offset_of!(SegmentHeader, wakeup), 52);
    pinned(offset_of!(SegmentHeader, flags), 56);
    pinned(offset_of!(SegmentHeader, creator_pid), 60);
    pinned(offset_of!(SegmentHeader, creator_uid), 64);
    pinned(offset_of!(SegmentHeader, mode), 68);
    pinned(offset_of!(SegmentHeader, slot_len), 72);
    pinned(offset_of!(SegmentHeader, participants), 76);
    pinned(offset_of!(SegmentHeader, created_ns), 80);
    pinned(offset_of!(SegmentHeader, checksum), 88);
    pinned(size_of::<SegmentHeader>(), 96);
    pinned(offset_of!(EventLine, state), 0);
    pinned(offset_of!(EventLine, bell), 4);
    pinned(offset_of!(EventLine, enough), 8);
    pinned(offset_of!(EventLine, semaphore), 16);
    pinned(offset_of!(EventLine, judged), 48);
    pinned(offset_of!(EventLine, asker), 56);
    pinned(size_of::<EventLine>(), 128);
    pinned(offset_of!(Party, word), 0);
    pinned(offset_of!(Party, since_ns), 8);
    pinned(size_of::<Party>(), 128);
    pinned(offset_of!(SpscHeader, head), 0);
    pinned(offset_of!(SpscHeader, items), 128);
    pinned(offset_of!(SpscHeader, space), 256);
    pinned(offset_of!(SpscHeader, parties), 384);
    pinned(size_of::<SpscHeader>(), 640);
    pinned(align_of::<SpscHeader>(), 128);
    pinned(offset_of!(MpmcHeader, tail), 0);
    pinned(offset_of!(MpmcHeader, head), 128);
    pinned(offset_of!(MpmcHeader, items), 256);
    pinned(offset_of!(MpmcHeader, space), 384);
    pinned(offset_of!(MpmcHeader, census), 512);
    pinned(offset_of!(Census, seen), 0);
    pinned(offset_of!(Census, changes), 4);
    pinned(size_of::<MpmcHeader>(), 640);
    pinned(align_of::<MpmcHeader>(), 128);
    pinned(offset_of!(LockLine, event), 128);
    pinned(size_of::<LockLine>(), 256);
    pinned(offset_of!(Traffic, readers), 0);
    pinned(offset_of!(Traffic, writers), 4);
    pinned(offset_of!(Traffic, left), 8);
    pinned(offset_of!(Traffic, shut), 12);
    pinned(offset_of!(Traffic, told), 16);
    pinned(offset_of!(PageHeader, head), 0);
    pinned(offset_of!(PageHeader, tail), 128);
    pinned(offset_of!(PageHeader, limit), 256);
    pinned(offset_of!(PageHeader, items), 384);
    pinned(offset_of!(PageHeader, space), 512);
    pinned(offset_of!(PageHeader, reading), 640);
    pinned(offset_of!(PageHeader, writing), 896);
    pinned(offset_of!(PageHeader, traffic), 1152);
    pinned(offset_of!(PageHeader, partner), 1280);
    pinned(size_of::<PageHeader>(), 1408);
    pinned(align_of::<PageHeader>(), 128);
    pinned(offset_of!(QueueHeader, store), 256);
    pinned(offset_of!(QueueHeader, lines), 384);
    pinned(offset_of!(QueueHeader, limits), 512);
    pinned(offset_of!(QueueHeader, facts), 640);
    pinned(offset_of!(QueueHeader, watch), 768);
    pinned(size_of::<QueueHeader>(), 896);
    pinned(offset_of!(StoreLine, root), 0);
    pinned(offset_of!(StoreLine, free), 8);
    pinned(offset_of!(StoreLine, free_cells), 16);
    pinned(offset_of!(StoreLine, count), 24);
    pinned(offset_of!(StoreLine, bytes), 32);
    pinned(offset_of!(StoreLine, next), 40);
    pinned(offset_of!(LinesLine, receivers), 0);
    pinned(offset_of!(LinesLine, senders), 8);
    pinned(offset_of!(LinesLine, ticket), 16);
    pinned(offset_of!(LinesLine, served), 24);
    pinned(offset_of!(LinesLine, granted), 32);
    pinned(offset_of!(LinesLine, granted_bytes), 40);
    pinned(offset_of!(LinesLine, granted_cells), 48);
    pinned(offset_of!(LimitsLine, max_len), 0);
    pinned(offset_of!(LimitsLine, count), 8);
    pinned(offset_of!(LimitsLine, bytes), 16);
    pinned(offset_of!(LimitsLine, removed), 24);
    pinned(offset_of!(LimitsLine, most), 32);
    pinned(offset_of!(LimitsLine, most_messages), 40);
    pinned(offset_of!(FactsLine, key), 0);
    pinned(offset_of!(FactsLine, id), 8);
    pinned(offset_of!(FactsLine, uid), 16);
    pinned(offset_of!(FactsLine, gid), 24);
    pinned(offset_of!(FactsLine, mode), 32);
    pinned(offset_of!(FactsLine, sender), 40);
    pinned(offset_of!(FactsLine, receiver), 48);
    pinned(offset_of!(FactsLine, sent), 56);
    pinned(offset_of!(FactsLine, received), 64);
    pinned(offset_of!(FactsLine, changed), 72);
    pinned(offset_of!(WatchLine, seat), 0);
    pinned(offset_of!(WatchLine, pid), 8);
    pinned(offset_of!(WatchLine, signal), 16);
    pinned(offset_of!(WatchLine, value), 24);
    pinned(offset_of!(WatchLine, turn), 32);
    pinned(offset_of!(WatchLine, told), 40);
    pinned(offset_of!(WaitLine, state), 0);
    pinned(offset_of!(WaitLine, pid), 4);
    pinned(offset_of!(WaitLine, next), 8);
    pinned(offset_of!(WaitLine, ticket), 16);
    pinned(offset_of!(WaitLine, rank), 24);
    pinned(offset_of!(WaitLine, wants), 32);
    pinned(offset_of!(WaitLine, key), 40);
    pinned(offset_of!(WaitLine, room), 48);
    pinned(offset_of!(WaitLine, cell), 56);
    pinned(offset_of!(Node, left), 0);
    pinned(offset_of!(Node, right), 8);
    pinned(offset_of!(Node, earliest), 16);
    pinned(size_of::<WaitLine>(), 64);
    pinned(size_of::<Node>(), 24);
    assert!(RING_OFFSET + 896 <= QUEUE_SEATS_OFFSET);
    pinned(offset_of!(Permits, state), 0);
    pinned(offset_of!(Permits, granted_ms), 8);
    pinned(offset_of!(Permits, watch), 12);
    pinned(offset_of!(Permits, relieved), 16);
    pinned(size_of::<Permits>(), 32);
    pinned(offset_of!(SetHeader, changes), 256);
    pinned(offset_of!(SetHeader, pending), 384);
    pinned(size_of::<SetHeader>(), 512);
    assert!(RING_OFFSET + 1408 <= PAGE_WORDS_OFFSET && PAGE_WORDS_OFFSET.is_multiple_of(8));
    assert!(RING_OFFSET + 640 <= SPSC_DATA_OFFSET && RING_OFFSET + 640 <= PARTIES_OFFSET);
    assert!(RING_OFFSET.is_multiple_of(128) && PARTIES_OFFSET.is_multiple_of(128));
};
