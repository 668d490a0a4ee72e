//! One producer, one consumer, records of any length. Records `head..tail` are committed; the rest is free. Only the
//! consumer stores `head`; `tail` is the producer's private knowledge. Sleeping is `event`'s job.
//!
//! A record is a header word (`kind:32 | len:32`, 0 = not committed) and its payload, padded to the ring's boundary.
//! The header is the only flag: the consumer polls the word at its own head, so with 64-byte records the message and
//! the news of it cross in the same cache line.
//!
//! Invariant I: the header word at `tail` is 0 until the record there is committed. To keep it, the producer stores 0
//! to the header word *after* the new record before it stores the record's own header with Release. Both words are in
//! free space, because a claim leaves at least one boundary free behind it: `end + align <= head + capacity`.
//!
//! A record never wraps. One that does not fit before the end of the data is written at index 0, its header too, and
//! only then a PAD header at `tail` makes both visible at once. So a claim is one slice, a record is at most half a
//! ring, and a batch or a padded record is committed by one store, its first header, last.
//!
//! Killed anywhere, the producer leaves `head..tail` whole and a 0 at `tail`: a successor walks the committed headers
//! from `head` and starts at the first 0. Killed anywhere, the consumer leaves `head` at the first record it had not
//! released: a successor starts there. Neither needs anything else that the dead one knew.
//!
//! The store of 0 would put a cache miss on the path: the next line was last read by the consumer. So the producer
//! clears ahead, *after* a commit, when nobody waits for it: header words at boundaries in `tail..cleared_to` are 0.

use crate::error::{Corrupt, SendError};
use crate::layout::is_behind;
use crate::ring::scan::committed_end;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::view::{HEADER_LEN, View};

/// Header kind of a message.
pub(super) const DATA: u64 = 1 << 32;
/// Header kind of the gap before the end of the data.
pub(super) const PAD: u64 = 2 << 32;
pub(super) const KIND: u64 = !0 << 32;

/// How far ahead of `tail` the producer clears, in bytes: the next record's header and one line more.
const CLEAR_AHEAD: u64 = 128;

/// The producer's half: claims room, fills it, commits it.
pub struct ProducerSide {
    view: View,
    tail: u64,
    /// The furthest that a record may end, as far as this side knows: `head + capacity - align`.
    limit: u64,
    /// The same, or the end of this lap if that comes first: up to here a record needs no second thought.
    plain: u64,
    cleared_to: u64,
    /// So many bytes from position `mapped_to` on were not touched by this side yet: their pages may not be mapped.
    untouched: u64,
    mapped_to: u64,
}

/// How many bytes are mapped at once in the first lap, as many as the kernel maps around a page: some 4 us.
const MAP_AHEAD: u64 = 64 << 10;

/// Room for one record, handed out by [`ProducerSide::claim`]. Forgetting it is harmless: nothing is visible.
pub struct Claim {
    /// Where the record's header goes; `tail`, or index 0 behind a PAD.
    start: u64,
    /// One past the largest record that this room takes.
    end: u64,
}

/// Records written and not yet visible: their first header is still 0. Forgetting it is harmless.
pub struct Batch {
    /// The header that makes all of them visible, and where.
    first: Option<u64>,
    end: u64,
    /// How many messages.
    pub count: usize,
}

impl ProducerSide {
    /// Takes over where the last producer stopped, killed or not. The caller holds the producer's lease.
    pub fn resume(view: View) -> Result<Self, Corrupt> {
        // ord(spsc.free) Acquire <- ConsumerSide::release: what lies before this head may be overwritten.
        let head = view.header.head.0.load(Acquire);
        let tail = committed_end(&view, head)?;
        let cleared_to = tail.wrapping_add(view.align());
        let limit = view.limit(head);
        let untouched = view.geometry.capacity;
        Ok(ProducerSide { view, tail, limit, plain: tail, cleared_to, untouched, mapped_to: tail })
    }

    /// The ring.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The position behind all that was committed.
    #[must_use]
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// Where `head` must be for a waiting producer to go on: half the ring free, or more if a record of up to `max`
    /// payload bytes needs it. Never behind `tail`, so a consumer that has read everything is there.
    #[must_use]
    pub fn enough_room(&self, max: usize) -> u64 {
        let stride = self.view.stride(max);
        let end = self.view.start_of(self.tail, stride).wrapping_add(stride);
        let needed = end.wrapping_sub(self.view.limit(0));
        let half = self.tail.wrapping_sub(self.view.geometry.capacity / 2);
        if is_behind(needed, half) { half } else { needed }
    }

    /// Room for a record of up to `max` payload bytes, if that takes no second thought: what [`ProducerSide::claim`] is
    /// asked when this says `None`. Without an error to carry, it stays in registers.
    #[inline(always)]
    #[must_use]
    pub fn claim_plain(&self, max: usize) -> Option<Claim> {
        let end = self.tail.wrapping_add(self.view.stride(max));
        let plain = max <= self.view.max_len() && !is_behind(self.plain, end);
        plain.then_some(Claim { start: self.tail, end })
    }

    /// Room for a record of up to `max` payload bytes.
    pub fn claim(&mut self, max: usize) -> Result<Claim, SendError> {
        self.claim_at(self.tail, max)
    }

    #[inline(always)]
    fn claim_at(&mut self, tail: u64, max: usize) -> Result<Claim, SendError> {
        if max > self.view.max_len() {
            return Err(SendError::TooLarge { len: max, max: self.view.max_len() });
        }
        let stride = self.view.stride(max);
        let mut start = tail;
        if is_behind(self.plain, tail.wrapping_add(stride)) {
            start = self.make_room(tail, stride)?;
        }
        Ok(Claim { start, end: start.wrapping_add(stride) })
    }

    /// Possibly full, or at the end of the data: where a record of this size starts.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, tail: u64, stride: u64) -> Result<u64, SendError> {
        let start = self.view.start_of(tail, stride);
        let end = start.wrapping_add(stride);
        if is_behind(self.limit, end) {
            self.refresh_limit()?;
            if is_behind(self.limit, end) {
                return Err(SendError::Full);
            }
        }
        // Of the lap that the own tail is in, even if this claim, or the batch before it, is in the next one: they may
        // be given up.
        let lap_end = self.tail.wrapping_add(self.view.room_to_end(self.tail));
        self.plain = if is_behind(lap_end, self.limit) { lap_end } else { self.limit };
        if self.untouched > 0 {
            self.map_ahead(end);
        }
        Ok(start)
    }

    /// In the first lap: maps pages before they are written to, which would map them one by one.
    fn map_ahead(&mut self, end: u64) {
        while self.untouched > 0 && is_behind(self.mapped_to, end) {
            let index = self.view.index(self.mapped_to);
            let step =
                (MAP_AHEAD.min(self.view.geometry.capacity) - index as u64 % MAP_AHEAD).min(self.untouched);
            self.view.memory.map_pages(index, step as usize);
            self.mapped_to = self.mapped_to.wrapping_add(step);
            self.untouched -= step;
        }
        if self.untouched > 0 && is_behind(self.mapped_to, self.plain) {
            self.plain = self.mapped_to;
        }
    }

    /// Looks at the consumer's own word, the only line the two sides share besides the data.
    fn refresh_limit(&mut self) -> Result<(), SendError> {
        // ord(spsc.free) Acquire <- ConsumerSide::release: its reads happened before our next writes there.
        let head = self.view.header.head.0.load(Acquire);
        let limit = self.view.limit(head);
        // The own tail, even for a batch: nobody can have read what is not visible yet.
        let plausible = self.tail.wrapping_sub(head) <= self.view.geometry.capacity
            && head.is_multiple_of(self.view.align())
            && !is_behind(limit, self.limit);
        if !plausible {
            return Err(SendError::Corrupt(Corrupt::new("head", head, self.tail)));
        }
        self.limit = limit;
        Ok(())
    }

    /// To be called before others write to a claim: they may scribble over all of it and forget it. The answer is for
    /// [`ProducerSide::give_back`].
    #[inline(always)]
    #[must_use]
    pub fn lend(&mut self) -> u64 {
        let cleared_to = self.cleared_to;
        self.cleared_to = self.tail.wrapping_add(self.view.align());
        cleared_to
    }

    /// Undoes [`ProducerSide::lend`] when the whole claim is about to be committed: nothing behind it was touched.
    #[inline(always)]
    pub fn give_back(&mut self, cleared_to: u64) {
        self.cleared_to = cleared_to;
    }

    /// Where the payload of this claim lies, and how much room it has.
    #[inline(always)]
    #[must_use]
    pub fn payload(&self, claim: &Claim) -> (usize, usize) {
        let room = claim.end.wrapping_sub(claim.start) - HEADER_LEN;
        (self.view.index(claim.start) + HEADER_LEN as usize, room as usize)
    }

    /// Copies `message` to the start of the claim.
    #[inline(always)]
    pub fn write(&self, claim: &Claim, message: &[u8]) {
        let (index, room) = self.payload(claim);
        assert!(message.len() <= room, "write within the claim");
        // SAFETY: a claim covers `room` bytes at `index`, all free space, which is the producer's alone.
        unsafe { self.view.memory.copy_in(index, message) };
    }

    /// Makes the first `len` payload bytes of the claim the next message. `len` is at most what was claimed.
    #[inline(always)]
    pub fn commit(&mut self, claim: Claim, len: usize) {
        let end = self.end_of(&claim, len);
        self.commit_to(claim.start, end, len);
    }

    /// [`ProducerSide::commit`] of all that was claimed.
    #[inline(always)]
    pub fn commit_all(&mut self, claim: Claim, len: usize) {
        self.commit_to(claim.start, claim.end, len);
    }

    #[inline(always)]
    fn commit_to(&mut self, start: u64, end: u64, len: usize) {
        let mut cleared_to = self.cleared_to;
        if !is_behind(end, cleared_to) {
            self.clear_header(end);
            cleared_to = end.wrapping_add(self.view.align());
        }
        let header = DATA | len as u64;
        if start == self.tail {
            self.publish(header);
        } else {
            self.write_behind_pad(start, header);
            self.publish(PAD);
        }
        self.tail = end;
        self.clear_ahead(end, cleared_to);
    }

    #[inline(always)]
    fn end_of(&self, claim: &Claim, len: usize) -> u64 {
        let end = claim.start.wrapping_add(self.view.stride(len));
        assert!(
            end.wrapping_sub(claim.start) <= claim.end.wrapping_sub(claim.start),
            "commit within the claim"
        );
        end
    }

    #[inline(always)]
    fn publish(&mut self, first: u64) {
        // ord(spsc.commit) Release -> ConsumerSide::word: payload, later headers and the 0 behind them first.
        self.view.memory.word(self.view.index(self.tail)).store(first, Release);
    }

    #[inline(always)]
    fn write_behind_pad(&self, at: u64, header: u64) {
        // ord(spsc.commit) Relaxed: nobody looks here before the publishing store at `tail`.
        self.view.memory.word(self.view.index(at)).store(header, Relaxed);
    }

    #[inline(always)]
    fn clear_header(&self, at: u64) {
        // ord(spsc.commit) Relaxed: nobody looks here before the publishing store of the record before it.
        self.view.memory.word(self.view.index(at)).store(0, Relaxed);
    }

    /// Off the critical path: the message is out, now prepare the line that the commit after the next needs cleared.
    #[inline(always)]
    fn clear_ahead(&mut self, tail: u64, mut cleared_to: u64) {
        let line = 64 - (cleared_to & 63);
        let next = cleared_to.wrapping_add(line);
        if cleared_to.wrapping_sub(tail) < CLEAR_AHEAD && !is_behind(self.limit, next) {
            let index = self.view.index(cleared_to);
            if self.view.align() == 64 {
                // ord(spsc.commit) Relaxed: nobody looks here before the publishing store of the record before it.
                self.view.memory.word(index).store(0, Relaxed);
            } else {
                // SAFETY: free space (just checked), which is the producer's alone; a line never wraps.
                unsafe { self.view.memory.clear(index, line as usize) };
            }
            cleared_to = next;
        }
        self.cleared_to = cleared_to;
    }

    /// A batch without messages yet.
    #[must_use]
    pub fn batch(&mut self) -> Batch {
        // The batch may be dropped after much was written.
        let _ = self.lend();
        Batch { first: None, end: self.tail, count: 0 }
    }

    /// Room for the next record of the batch.
    #[inline(always)]
    pub fn claim_in(&mut self, batch: &Batch, max: usize) -> Result<Claim, SendError> {
        self.claim_at(batch.end, max)
    }

    /// Adds the first `len` payload bytes of the claim to the batch.
    #[inline(always)]
    pub fn add(&mut self, batch: &mut Batch, claim: Claim, len: usize) {
        let end = self.end_of(&claim, len);
        let header = DATA | len as u64;
        let (pos, word) = if claim.start == batch.end {
            (batch.end, header)
        } else {
            self.write_behind_pad(claim.start, header);
            (batch.end, PAD)
        };
        if batch.first.is_none() {
            batch.first = Some(word);
        } else {
            self.write_behind_pad(pos, word);
        }
        batch.end = end;
        batch.count += 1;
    }

    /// Makes all messages of the batch visible at once.
    #[inline(always)]
    pub fn commit_batch(&mut self, batch: Batch) {
        if let Some(first) = batch.first {
            self.clear_header(batch.end);
            self.publish(first);
            self.tail = batch.end;
            self.clear_ahead(batch.end, batch.end.wrapping_add(self.view.align()));
        }
    }

    /// Bytes that the consumer has not released, headers and padding included; exact from this side for a moment.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        // ord(own) Relaxed: an observation, nothing is accessed on the strength of it.
        self.tail.wrapping_sub(self.view.header.head.0.load(Relaxed)).min(self.view.geometry.capacity)
    }
}

/// The consumer's half: finds the next record, releases what was read.
///
/// Where the next record lies depends on the length of this one, so a processor would fetch one cache line after the
/// other. But most messages are as long as the one before. So everything is derived from the last header seen, and the
/// one at hand is only compared with it, by a branch that the processor foresees instead of waiting for the line.
pub struct ConsumerSide {
    view: View,
    head: u64,
    /// The header word of the message found last, `len` and `stride` what follows from it. Private, so trusted.
    usual: u64,
    len: usize,
    stride: u64,
}

/// One committed record.
#[derive(Clone, Copy)]
pub struct Record {
    /// Payload length in bytes, at most what is left of the data behind `index`.
    pub len: usize,
    /// Where the payload lies in the data.
    pub index: usize,
    /// The position behind the record.
    pub next: u64,
}

impl ConsumerSide {
    /// Takes over where the last consumer stopped, killed or not. The caller holds the consumer's lease.
    pub fn resume(view: View) -> Result<Self, Corrupt> {
        // ord(own) Relaxed: the lease was handed over by the kernel; only its holder stores head.
        let head = view.header.head.0.load(Relaxed);
        if head.is_multiple_of(view.align()) {
            let stride = view.stride(0);
            Ok(ConsumerSide { view, head, usual: DATA, len: 0, stride })
        } else {
            Err(Corrupt::new("head", head, head))
        }
    }

    /// The ring.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The position of the next record.
    #[inline(always)]
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Whether anything is committed at `head`.
    #[inline(always)]
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.word(self.head) != 0
    }

    #[inline(always)]
    fn word(&self, at: u64) -> u64 {
        // ord(spsc.commit) Acquire <- ProducerSide::publish: see the payload, and what was written behind it.
        self.view.memory.word(self.view.index(at)).load(Acquire)
    }

    /// Whether there is a message at `head`: then [`ConsumerSide::record`] is it. False also for whatever
    /// [`ConsumerSide::find`] must look at.
    #[inline(always)]
    pub fn has_record(&mut self) -> bool {
        self.is_message(self.head, self.word(self.head))
    }

    /// The message at `head`, after [`ConsumerSide::has_record`] or [`ConsumerSide::find`] said that there is one.
    #[inline(always)]
    #[must_use]
    pub fn record(&self) -> Record {
        self.record_at(self.head)
    }

    #[inline(always)]
    fn record_at(&self, at: u64) -> Record {
        let index = self.view.index(at) + HEADER_LEN as usize;
        Record { len: self.len, index, next: at.wrapping_add(self.stride) }
    }

    #[inline(always)]
    fn is_message(&mut self, at: u64, word: u64) -> bool {
        if word != self.usual {
            if word & KIND != DATA {
                return false;
            }
            let len = (word & !KIND) as usize;
            if len > self.view.max_len() {
                return false;
            }
            (self.usual, self.len, self.stride) = (word, len, self.view.stride(len));
        }
        self.stride <= self.view.room_to_end(at)
    }

    /// Whether there is a message at `head`, behind a PAD if there is one: then [`ConsumerSide::record`] is it.
    pub fn find(&mut self) -> Result<bool, Corrupt> {
        let mut at = self.head;
        let found = self.find_at(&mut at)?;
        self.head = at;
        Ok(found)
    }

    /// The record at `at`, which is `head` or lies behind records that were found from there.
    #[inline(always)]
    pub fn next_at(&mut self, at: u64) -> Result<Option<Record>, Corrupt> {
        let mut at = at;
        if self.is_message(at, self.word(at)) || self.find_at(&mut at)? {
            Ok(Some(self.record_at(at)))
        } else {
            Ok(None)
        }
    }

    /// A PAD was committed together with the record behind it, at index 0.
    #[cold]
    fn find_at(&mut self, at: &mut u64) -> Result<bool, Corrupt> {
        let mut word = self.word(*at);
        if word == 0 {
            return Ok(false);
        }
        if word == PAD && self.view.index(*at) != 0 {
            *at = at.wrapping_add(self.view.room_to_end(*at));
            word = self.word(*at);
        }
        if self.is_message(*at, word) { Ok(true) } else { Err(Corrupt::new("record header", word, *at)) }
    }

    /// Copies the payload of a record that was found and not released.
    #[inline(always)]
    pub fn read(&self, record: Record, to: &mut [u8]) {
        assert_eq!(to.len(), record.len, "a buffer of the record's length");
        // SAFETY: `is_message` checked that `len` bytes at `index` are inside the data.
        unsafe { self.view.memory.copy_out(record.index, to) };
    }

    /// Gives everything before `next` back to the producer.
    #[inline(always)]
    pub fn release(&mut self, next: u64) {
        self.head = next;
        // ord(spsc.free) Release -> ProducerSide::refresh_limit: our reads happen before it writes there.
        self.view.header.head.0.store(next, Release);
    }
}
