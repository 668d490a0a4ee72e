//! One ring as one process sees it: geometry checked once and copied into private memory, plus typed access to the
//! control lines and the data. Whatever a peer writes into the segment later, an index masked by a [`View`] is inside.
#![allow(clippy::disallowed_types, reason = "the facade's atomics, which the lint sees through to core's")]

use crate::layout::{
    Align, CELL_LENS, FLAG_ASYMMETRIC_FENCES, FLAG_PERSISTENT, FLAGS_KNOWN, KIND_MPMC, KIND_POSIX_MQ,
    KIND_SPSC, KIND_SYSV_MQ, MAX_CAPACITY, MAX_CELLS, MAX_PAGES, MAX_PARTICIPANTS, MAX_SLOT_LEN, MAX_SLOTS,
    MIN_CAPACITY, MIN_SLOTS, MpmcHeader, Node, PAGE_LEN, PageHeader, Party, Permits, QueueHeader,
    RING_OFFSET, SLOT_ALIGN, SLOT_HEADER_LEN, SPSC_DATA_OFFSET, SegmentHeader, SetHeader, SlotWord,
    SpscHeader, WaitLine, Wakeup, cells_offset, pages_offset, set_cells, set_cells_with_places, slots_offset,
};
use crate::sync::{AnyBytes, AtomicU32, AtomicU64, Memory, Shared};

// SAFETY: atomics, reserved words and a semaphore, which tolerate any bytes; see layout.rs.
unsafe impl AnyBytes for SpscHeader {}
// SAFETY: the same.
unsafe impl AnyBytes for MpmcHeader {}
// SAFETY: the same.
unsafe impl AnyBytes for PageHeader {}
// SAFETY: the same.
unsafe impl AnyBytes for QueueHeader {}
// SAFETY: atomics only.
unsafe impl AnyBytes for WaitLine {}
// SAFETY: atomics only.
unsafe impl AnyBytes for Node {}
// SAFETY: atomics only.
unsafe impl AnyBytes for Party {}
// SAFETY: an atomic.
unsafe impl AnyBytes for AtomicU64 {}

// SAFETY: an atomic.
unsafe impl AnyBytes for AtomicU32 {}
// SAFETY: atomics, reserved words and a semaphore that nobody uses.
unsafe impl AnyBytes for SetHeader {}
// SAFETY: atomics and reserved words.
unsafe impl AnyBytes for Permits {}

/// Bytes of a record's header word.
pub const HEADER_LEN: u64 = 8;

/// What rings of all kinds have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Common {
    /// What sleepers sleep on.
    pub wakeup: Wakeup,
    /// Sleepers run membarrier(2), wakers no fence.
    pub asymmetric: bool,
    /// The name outlives its users.
    pub persistent: bool,
}

/// The checked shape of one SPSC ring.
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
}

/// The checked shape of one MPMC ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotGeometry {
    /// How many slots; a power of two.
    pub slots: u64,
    /// Bytes of a slot, its header included; a multiple of a cache line.
    pub slot_len: u64,
    /// The most participants at once.
    pub participants: u32,
    /// What sleepers sleep on.
    pub wakeup: Wakeup,
    /// Sleepers run membarrier(2), wakers no fence.
    pub asymmetric: bool,
}

/// The checked shape of one stream in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageGeometry {
    /// How many pages; a power of two.
    pub pages: u64,
    /// How many of them may be in use when the stream begins.
    pub limit: u64,
    /// Bytes of a page: [`PAGE_LEN`], less in a model.
    pub page_len: usize,
    /// Sleepers run membarrier(2), wakers no fence.
    pub asymmetric: bool,
}

/// The checked shape of one message queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueGeometry {
    /// How many cells.
    pub cells: u64,
    /// Bytes of a cell; a power of two.
    pub cell_len: usize,
    /// Places for those who use it; seat 0 is nobody's.
    pub seats: u32,
    /// Bytes of the longest message.
    pub max_len: usize,
    /// Sleepers run membarrier(2), wakers no fence.
    pub asymmetric: bool,
}

/// The checked shape of a ring of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One producer, one consumer.
    Spsc(Geometry),
    /// Any number of senders and receivers.
    Mpmc(SlotGeometry),
}

/// A header field with an impossible value: its name and what stood there.
pub type Fault = (&'static str, u64);

impl Common {
    /// What this header says, or the first field that cannot be.
    pub fn of(header: &SegmentHeader) -> Result<Common, Fault> {
        let Some(wakeup) = Wakeup::from_code(header.wakeup) else {
            return Err(("wakeup", header.wakeup.into()));
        };
        if header.ring_offset != RING_OFFSET as u64 {
            return Err(("ring_offset", header.ring_offset));
        }
        if header.flags & !FLAGS_KNOWN != 0 {
            return Err(("flags", header.flags.into()));
        }
        Ok(Common {
            wakeup,
            asymmetric: header.flags & FLAG_ASYMMETRIC_FENCES != 0,
            persistent: header.flags & FLAG_PERSISTENT != 0,
        })
    }
}

impl Shape {
    /// The shape that this header describes, or the first field that cannot be.
    pub fn of(header: &SegmentHeader) -> Result<Shape, Fault> {
        match header.kind {
            KIND_SPSC => Geometry::of(header).map(Shape::Spsc),
            KIND_MPMC => SlotGeometry::of(header).map(Shape::Mpmc),
            kind => Err(("kind", kind.into())),
        }
    }
}

impl Geometry {
    /// The shape that this header describes, or the first field that cannot be.
    pub fn of(header: &SegmentHeader) -> Result<Geometry, Fault> {
        let bad = |field, found| Err((field, found));
        let capacity = header.capacity;
        if !capacity.is_power_of_two() || !(MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity) {
            return bad("capacity", capacity);
        }
        let Some(align) = Align::from_bytes(header.align) else { return bad("align", header.align.into()) };
        if header.data_offset != SPSC_DATA_OFFSET as u64 {
            return bad("data_offset", header.data_offset);
        }
        if header.segment_len != SPSC_DATA_OFFSET as u64 + capacity {
            return bad("segment_len", header.segment_len);
        }
        let Common { wakeup, asymmetric, .. } = Common::of(header)?;
        Ok(Geometry { capacity, align, wakeup, asymmetric })
    }

    /// The longest message: a record and the padding before it must fit together, so a record fills half the ring.
    #[must_use]
    pub fn max_len(&self) -> usize {
        (self.capacity / 2 - HEADER_LEN) as usize
    }
}

impl SlotGeometry {
    /// The shape that this header describes, or the first field that cannot be.
    pub fn of(header: &SegmentHeader) -> Result<SlotGeometry, Fault> {
        let bad = |field, found| Err((field, found));
        let (slots, slot_len, participants) =
            (header.capacity, u64::from(header.slot_len), header.participants);
        if !slots.is_power_of_two() || !(MIN_SLOTS..=MAX_SLOTS).contains(&slots) {
            return bad("capacity", slots);
        }
        if slot_len == 0 || !slot_len.is_multiple_of(SLOT_ALIGN) || slot_len > MAX_SLOT_LEN {
            return bad("slot_len", slot_len);
        }
        if u64::from(header.align) != SLOT_ALIGN {
            return bad("align", header.align.into());
        }
        if !(1..=MAX_PARTICIPANTS).contains(&participants) {
            return bad("participants", participants.into());
        }
        if header.data_offset != slots_offset(participants) as u64 {
            return bad("data_offset", header.data_offset);
        }
        if header.segment_len != header.data_offset + slots * slot_len {
            return bad("segment_len", header.segment_len);
        }
        let Common { wakeup, asymmetric, .. } = Common::of(header)?;
        Ok(SlotGeometry { slots, slot_len, participants, wakeup, asymmetric })
    }

    /// Bytes of a slot for messages of up to `len` bytes.
    #[must_use]
    pub const fn slot_len_for(len: usize) -> u64 {
        (len as u64 + SLOT_HEADER_LEN as u64).next_multiple_of(SLOT_ALIGN)
    }

    /// The longest message.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.slot_len as usize - SLOT_HEADER_LEN
    }
}

impl PageGeometry {
    /// The shape that this header describes, of a ring of this kind, or the first field that cannot be.
    pub fn of(header: &SegmentHeader, kind: u32) -> Result<PageGeometry, Fault> {
        let bad = |field, found| Err((field, found));
        let (pages, limit) = (header.capacity, u64::from(header.participants));
        if header.kind != kind {
            return bad("kind", header.kind.into());
        }
        if !pages.is_power_of_two() || pages > MAX_PAGES {
            return bad("capacity", pages);
        }
        if !(1..=pages).contains(&limit) {
            return bad("participants", limit);
        }
        if header.slot_len as usize != PAGE_LEN {
            return bad("slot_len", header.slot_len.into());
        }
        if header.data_offset != pages_offset(pages) as u64 {
            return bad("data_offset", header.data_offset);
        }
        if header.segment_len != header.data_offset + pages * PAGE_LEN as u64 {
            return bad("segment_len", header.segment_len);
        }
        let Common { wakeup, asymmetric, .. } = Common::of(header)?;
        if wakeup != Wakeup::Futex {
            return bad("wakeup", header.wakeup.into());
        }
        Ok(PageGeometry { pages, limit, page_len: PAGE_LEN, asymmetric })
    }
}

/// Bytes of a message's first cell before its payload: word, key, length and link.
pub const HEAD_LEN: usize = 24;
/// Bytes of each further cell before its payload: its word.
pub const PART_LEN: usize = 8;

impl QueueGeometry {
    /// The shape that this header describes, or the first field that cannot be. The longest message stands elsewhere, and
    /// is `max_len`.
    pub fn of(header: &SegmentHeader, kind: u32, max_len: u64) -> Result<QueueGeometry, Fault> {
        let bad = |field, found| Err((field, found));
        let (cells, cell_len, seats) = (header.capacity, u64::from(header.slot_len), header.participants);
        if header.kind != kind || ![KIND_POSIX_MQ, KIND_SYSV_MQ].contains(&kind) {
            return bad("kind", header.kind.into());
        }
        if !(1..=MAX_CELLS).contains(&cells) {
            return bad("capacity", cells);
        }
        if !cell_len.is_power_of_two() || !(CELL_LENS[0]..=CELL_LENS[1]).contains(&cell_len) {
            return bad("slot_len", cell_len);
        }
        if !(2..MAX_PARTICIPANTS).contains(&seats) {
            return bad("participants", seats.into());
        }
        if header.data_offset != cells_offset(seats, cells) as u64 {
            return bad("data_offset", header.data_offset);
        }
        if header.segment_len != header.data_offset + cells * cell_len {
            return bad("segment_len", header.segment_len);
        }
        let Common { wakeup, asymmetric, .. } = Common::of(header)?;
        if wakeup != Wakeup::Futex {
            return bad("wakeup", header.wakeup.into());
        }
        let cell_len = cell_len as usize;
        if max_len > u64::from(u32::MAX)
            || max_len > cells * header.slot_len as u64
            || QueueGeometry::cells_for(max_len as usize, cell_len) > cells
        {
            return bad("max_len", max_len);
        }
        Ok(QueueGeometry { cells, cell_len, seats, max_len: max_len as usize, asymmetric })
    }

    /// How many cells of this length a message of `len` bytes takes.
    #[must_use]
    pub const fn cells_for(len: usize, cell_len: usize) -> u64 {
        1 + len.saturating_sub(cell_len - HEAD_LEN).div_ceil(cell_len - PART_LEN) as u64
    }
}

/// One SPSC ring, mapped.
#[derive(Clone)]
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

    /// Where a record of `stride` bytes goes that comes at position `at`: there, or behind the end of the data.
    #[inline(always)]
    #[must_use]
    pub fn start_of(&self, at: u64, stride: u64) -> u64 {
        let room = self.room_to_end(at);
        if stride <= room { at } else { at.wrapping_add(room) }
    }

    /// The furthest that a record may end while `head` is the next to be read: one boundary stays free.
    #[inline(always)]
    #[must_use]
    pub fn limit(&self, head: u64) -> u64 {
        head.wrapping_add(self.geometry.capacity - self.align())
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
        (len as u64).wrapping_add(HEADER_LEN + self.align_mask) & !self.align_mask
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

/// One MPMC ring, mapped.
#[derive(Clone)]
pub struct SlotView {
    /// The control lines.
    pub header: Shared<MpmcHeader>,
    /// The participants.
    pub parties: Shared<[Party]>,
    /// The slots.
    pub memory: Memory,
    /// The checked shape.
    pub geometry: SlotGeometry,
    mask: u64,
    lap_shift: u32,
    slot_len: usize,
}

impl SlotView {
    /// A view of a mapped ring. `parties` and `memory` must be as long as `geometry` says.
    #[must_use]
    pub fn new(
        header: Shared<MpmcHeader>,
        parties: Shared<[Party]>,
        memory: Memory,
        geometry: SlotGeometry,
    ) -> Self {
        assert_eq!(
            memory.len() as u64,
            geometry.slots * geometry.slot_len,
            "the mapping has the length that was checked"
        );
        assert_eq!(
            parties.len(),
            geometry.participants as usize,
            "the table has the length that was checked"
        );
        let (mask, lap_shift) = (geometry.slots - 1, geometry.slots.trailing_zeros());
        SlotView { header, parties, memory, geometry, mask, lap_shift, slot_len: geometry.slot_len as usize }
    }

    /// Byte offset of the slot where position `at` lives.
    #[inline(always)]
    #[must_use]
    pub fn slot(&self, at: u64) -> usize {
        (at & self.mask) as usize * self.slot_len
    }

    /// The lap of position `at`.
    #[inline(always)]
    #[must_use]
    pub fn lap(&self, at: u64) -> u64 {
        at >> self.lap_shift & SlotWord::LAPS
    }

    /// The state word of the slot at byte offset `slot`.
    #[inline(always)]
    #[must_use]
    pub fn state(&self, slot: usize) -> &AtomicU64 {
        self.memory.word(slot)
    }

    /// The length word of the slot at byte offset `slot`.
    #[inline(always)]
    #[must_use]
    pub fn len(&self, slot: usize) -> &AtomicU64 {
        self.memory.word(slot + 8)
    }

    /// The longest message in bytes.
    #[inline(always)]
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.slot_len - SLOT_HEADER_LEN
    }

    /// How many slots.
    #[inline(always)]
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.mask + 1
    }
}

/// One stream in pages, mapped.
#[derive(Clone)]
pub struct PageView {
    /// The control lines.
    pub header: Shared<PageHeader>,
    words: Shared<[AtomicU64]>,
    /// The pages.
    pub memory: Memory,
    /// The checked shape.
    pub geometry: PageGeometry,
}

impl PageView {
    /// A view of a mapped stream. `words` and `memory` must be as long as `geometry` says.
    #[must_use]
    pub fn new(
        header: Shared<PageHeader>,
        words: Shared<[AtomicU64]>,
        memory: Memory,
        geometry: PageGeometry,
    ) -> Self {
        assert_eq!(words.len() as u64, geometry.pages, "a word for each page");
        assert_eq!(memory.len(), geometry.pages as usize * geometry.page_len, "the length that was checked");
        PageView { header, words, memory, geometry }
    }

    fn index(&self, position: u64) -> usize {
        (position & (self.geometry.pages - 1)) as usize
    }

    /// Byte offset of the page at this position.
    #[inline(always)]
    #[must_use]
    pub fn page(&self, position: u64) -> usize {
        self.index(position) * self.geometry.page_len
    }

    /// The word of the page at this position.
    #[inline(always)]
    #[must_use]
    pub fn word(&self, position: u64) -> &AtomicU64 {
        &self.words[self.index(position)]
    }
}

/// One message queue, mapped.
#[derive(Clone)]
pub struct QueueView {
    /// The control lines.
    pub header: Shared<QueueHeader>,
    /// A place for each participant; the first is nobody's.
    pub seats: Shared<[WaitLine]>,
    /// A node of the index for each cell.
    pub nodes: Shared<[Node]>,
    /// The cells.
    pub memory: Memory,
    /// The checked shape.
    pub geometry: QueueGeometry,
}

impl QueueView {
    /// A view of a mapped queue. All parts must be as long as `geometry` says.
    #[must_use]
    pub fn new(
        header: Shared<QueueHeader>,
        seats: Shared<[WaitLine]>,
        nodes: Shared<[Node]>,
        memory: Memory,
        geometry: QueueGeometry,
    ) -> Self {
        assert_eq!(seats.len(), geometry.seats as usize, "the table has the length that was checked");
        assert_eq!(nodes.len() as u64, geometry.cells, "a node for each cell");
        assert_eq!(memory.len(), nodes.len() * geometry.cell_len, "the length that was checked");
        QueueView { header, seats, nodes, memory, geometry }
    }

    /// The word of a cell.
    #[must_use]
    pub fn word(&self, cell: usize) -> &AtomicU64 {
        self.memory.word(cell * self.geometry.cell_len)
    }

    /// The key of a message whose first cell it is.
    #[must_use]
    pub fn key(&self, cell: usize) -> &AtomicU64 {
        self.memory.word(cell * self.geometry.cell_len + 8)
    }

    /// `length:32 | link:32` of a message whose first cell it is: the link leads to its second.
    #[must_use]
    pub fn extent(&self, cell: usize) -> &AtomicU64 {
        self.memory.word(cell * self.geometry.cell_len + 16)
    }

    /// Where the payload of a cell starts, and how much fits; `first`: of a message's first cell.
    #[must_use]
    pub fn payload(&self, cell: usize, first: bool) -> (usize, usize) {
        let before = if first { HEAD_LEN } else { PART_LEN };
        (cell * self.geometry.cell_len + before, self.geometry.cell_len - before)
    }
}

/// One set of semaphores, mapped.
#[derive(Clone)]
pub struct SetView {
    /// The control lines.
    pub header: Shared<SetHeader>,
    /// Values and what is to be undone; then the places of those who sleep.
    pub cells: Shared<[AtomicU32]>,
    /// The record of a change.
    pub record: Shared<[AtomicU64]>,
    /// How many semaphores.
    pub semaphores: usize,
}

impl SetView {
    /// A view of a mapped set. `cells` and `record` must be as long as `layout` says for so many semaphores.
    #[must_use]
    pub fn new(
        header: Shared<SetHeader>,
        cells: Shared<[AtomicU32]>,
        record: Shared<[AtomicU64]>,
        semaphores: usize,
    ) -> Self {
        assert_eq!(record.len(), set_cells(semaphores), "an entry for each cell");
        assert_eq!(cells.len(), set_cells_with_places(semaphores), "the length that was checked");
        SetView { header, cells, record, semaphores }
    }
}
