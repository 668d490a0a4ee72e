//! Every byte that two processes share: the segment header, the participants, the SPSC control lines. Offsets are
//! pinned by the asserts at the end and listed in `docs/layout.md`; a change here is a new [`VERSION`].
//!
//! Nothing in here has compiler-chosen padding, a pointer, a bool, an enum or a usize: shared memory is input.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "the facade's atomics, which the lint sees through to core's")]

use crate::sync::{AtomicU32, AtomicU64, REAL, Semaphore};
use core::mem::{align_of, offset_of, size_of};

/// First eight bytes of every segment.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SLIPRING");
/// Layout version. Another version is refused at open.
pub const VERSION: u32 = 1;
/// Ring kind: one producer, one consumer, variable-length records.
pub const KIND_SPSC: u32 = 1;

/// Flag: the name outlives its last participant.
pub const FLAG_PERSISTENT: u32 = 1;
/// Flag: sleepers run membarrier(2), so wakers need no fence. Every participant registers at attach.
pub const FLAG_ASYMMETRIC_FENCES: u32 = 2;
/// All flags this version knows. Others are refused at open.
pub const FLAGS_KNOWN: u32 = FLAG_PERSISTENT | FLAG_ASYMMETRIC_FENCES;

/// Bytes reserved for the segment header at offset 0.
pub const SEGMENT_HEADER_LEN: usize = 256;
/// Where the control lines of an SPSC ring start.
pub const SPSC_OFFSET: usize = 1024;
/// Where its data start: page aligned.
pub const SPSC_DATA_OFFSET: usize = 4096;
/// The least capacity of a ring, in bytes.
pub const MIN_CAPACITY: u64 = 4096;
/// The greatest capacity of a ring, in bytes: a record's length has 32 bits and half a ring is its limit.
pub const MAX_CAPACITY: u64 = 1 << 32;

/// The header of a segment: written before the segment has a name, constant from then on, read once with pread(2).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub created_ns: u64,
    pub checksum: u64,
}

/// How many bytes of [`SegmentHeader`] the checksum covers: all before it.
pub const CHECKED_LEN: usize = offset_of!(SegmentHeader, checksum);

macro_rules! header_fields {
    ($with:ident) => {
        $with!(magic: u64, version: u32, kind: u32, segment_len: u64, ring_offset: u64, data_offset: u64, capacity: u64,
            align: u32, wakeup: u32, flags: u32, creator_pid: u32, creator_uid: u32, mode: u32, created_ns: u64,
            checksum: u64)
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
    /// Bit 0: somebody sleeps or is about to. The rest counts wake-ups. This is the futex word.
    pub state: AtomicU32,
    /// Keeps the semaphore on its boundary.
    pub reserved: [u32; 3],
    /// The semaphore of a ring with semaphore wake-up; zero otherwise.
    pub semaphore: Semaphore,
}

/// One participant: who holds the role, and in which state.
#[repr(C, align(128))]
pub struct Party {
    /// `attachments:30 | pid:32 | state:2`, see [`PartyWord`].
    pub word: AtomicU64,
    /// When the participant attached, in nanoseconds since 1970. For people; no decision rests on it.
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

impl PartyWord {
    /// [`ABSENT`], [`ATTACHED`], [`CLOSED`], or 3 in a damaged segment.
    #[must_use]
    pub fn state(self) -> u64 {
        self.0 & 3
    }

    /// The process that last attached.
    #[must_use]
    pub fn pid(self) -> u32 {
        (self.0 >> 2) as u32
    }

    /// The word of the next participant: one more attachment, so that no two words of one segment are alike.
    #[must_use]
    pub fn next_attached(self, pid: u32) -> Self {
        let attachments = (self.0 >> 34).wrapping_add(1);
        PartyWord(attachments << 34 | u64::from(pid) << 2 | ATTACHED)
    }

    /// The word after a clean close.
    #[must_use]
    pub fn closed(self) -> Self {
        PartyWord(self.0 & !3 | CLOSED)
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
    pinned(offset_of!(SegmentHeader, created_ns), 72);
    pinned(offset_of!(SegmentHeader, checksum), 80);
    pinned(size_of::<SegmentHeader>(), 88);
    pinned(offset_of!(EventLine, state), 0);
    pinned(offset_of!(EventLine, semaphore), 16);
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
    assert!(SPSC_OFFSET + 640 <= SPSC_DATA_OFFSET && SPSC_OFFSET.is_multiple_of(128));
};
