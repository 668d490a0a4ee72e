//! One ring as one process sees it: geometry checked once and copied into private memory, plus typed access to the
//! control lines and the data. Whatever a peer writes into the segment later, an index masked by a [`View`] is inside.

use crate::layout::{
    Align, FLAG_ASYMMETRIC_FENCES, FLAG_PERSISTENT, FLAGS_KNOWN, KIND_SPSC, MAX_CAPACITY, MIN_CAPACITY,
    SPSC_DATA_OFFSET, SPSC_OFFSET, SegmentHeader, SpscHeader, Wakeup,
};
use crate::sync::{AnyBytes, Memory, Shared};

// SAFETY: atomics, reserved words and a semaphore, which tolerate any bytes; see layout.rs.
unsafe impl AnyBytes for SpscHeader {}

/// Bytes of a record's header word.
pub const HEADER_LEN: u64 = 8;

/// The checked shape of one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Data bytes; a power of two.
    pub capacity: u64,
    /// Record boundary.
    pub align: Align,
    /// What sleepers sleep on.
    pub wakeup: Wakeup,
    /// Sleepers run membarrier(2), wakers no fence.
    pub asymmetric: bool,
    /// The name outlives its users.
    pub persistent: bool,
}

/// A header field with an impossible value: its name and what stood there.
pub type Fault = (&'static str, u64);

impl Geometry {
    /// The shape that this header describes, or the first field that cannot be.
    pub fn of(header: &SegmentHeader) -> Result<Geometry, Fault> {
        let bad = |field, found| Err((field, found));
        let capacity = header.capacity;
        if !capacity.is_power_of_two() || !(MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity) {
            return bad("capacity", capacity);
        }
        let Some(align) = Align::from_bytes(header.align) else { return bad("align", header.align.into()) };
        let Some(wakeup) = Wakeup::from_code(header.wakeup) else {
            return bad("wakeup", header.wakeup.into());
        };
        if header.kind != KIND_SPSC {
            return bad("kind", header.kind.into());
        }
        if header.ring_offset != SPSC_OFFSET as u64 {
            return bad("ring_offset", header.ring_offset);
        }
        if header.data_offset != SPSC_DATA_OFFSET as u64 {
            return bad("data_offset", header.data_offset);
        }
        if header.segment_len != SPSC_DATA_OFFSET as u64 + capacity {
            return bad("segment_len", header.segment_len);
        }
        if header.flags & !FLAGS_KNOWN != 0 {
            return bad("flags", header.flags.into());
        }
        Ok(Geometry {
            capacity,
            align,
            wakeup,
            asymmetric: header.flags & FLAG_ASYMMETRIC_FENCES != 0,
            persistent: header.flags & FLAG_PERSISTENT != 0,
        })
    }

    /// The longest message: a record and the padding before it must fit together, so a record fills half the ring.
    #[must_use]
    pub fn max_len(&self) -> usize {
        (self.capacity / 2 - HEADER_LEN) as usize
    }
}

/// One ring, mapped.
pub struct View {
    /// The control lines.
    pub header: Shared<SpscHeader>,
    /// The data bytes.
    pub memory: Memory,
    /// The checked shape.
    pub geometry: Geometry,
    mask: u64,
    align_mask: u64,
    max_len: usize,
}

impl View {
    /// A view of a mapped ring. `memory` must be `geometry.capacity` bytes long.
    #[must_use]
    pub fn new(header: Shared<SpscHeader>, memory: Memory, geometry: Geometry) -> Self {
        assert_eq!(memory.len() as u64, geometry.capacity, "the mapping has the length that was checked");
        let align_mask = geometry.align.bytes() - 1;
        let max_len = geometry.max_len();
        View { header, memory, mask: geometry.capacity - 1, align_mask, max_len, geometry }
    }

    /// Where position `at` lives in the data.
    #[inline(always)]
    #[must_use]
    pub fn index(&self, at: u64) -> usize {
        (at & self.mask) as usize
    }

    /// Bytes from position `at` to the end of the data.
    #[inline(always)]
    #[must_use]
    pub fn room_to_end(&self, at: u64) -> u64 {
        self.geometry.capacity - (at & self.mask)
    }

    /// Bytes that a record at position `at` can have: it neither wraps nor is longer than the longest.
    #[inline(always)]
    #[must_use]
    pub fn longest_at(&self, at: u64) -> u64 {
        self.room_to_end(at).min(self.geometry.capacity / 2)
    }

    /// Bytes that a record with `len` payload bytes takes.
    #[inline(always)]
    #[must_use]
    pub fn stride(&self, len: usize) -> u64 {
        (len as u64 + HEADER_LEN + self.align_mask) & !self.align_mask
    }

    /// The longest message in bytes.
    #[inline(always)]
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// The record boundary in bytes.
    #[inline(always)]
    #[must_use]
    pub fn align(&self) -> u64 {
        self.align_mask + 1
    }
}
