//! Loans of ring memory: a [`Grant`] to fill and commit, a [`Frame`] to read and release, and their batch forms.
//! Dropping a grant aborts it and dropping a frame releases it; forgetting either loses nothing and breaks nothing.
//!
//! With distrusted peers no reference into the ring is ever formed: grants and frames lend private memory, and the
//! bytes are copied in at commit and out at receipt.

use crate::channel::loan::at_least;
use crate::channel::spsc::{Consumer, Producer};
use crate::error::{RecvError, SendError};
use crate::ring::spsc::{Batch, Claim, Record};
use core::ops::{Deref, DerefMut};

/// Room for one message, to be filled in place. Its bytes are whatever was there before, not zeroes.
#[must_use = "dropping a grant aborts it: commit what was written"]
pub struct Grant<'a> {
    producer: &'a mut Producer,
    claim: Claim,
    max: usize,
    cleared_to: u64,
}

impl<'a> Grant<'a> {
    #[inline(always)]
    pub(in crate::channel) fn new(producer: &'a mut Producer, claim: Claim, max: usize) -> Self {
        if let Some(bounce) = &mut producer.bounce {
            at_least(bounce, max);
        }
        let cleared_to = producer.side.lend();
        Grant { producer, claim, max, cleared_to }
    }

    /// Makes the first `len` bytes the next message and wakes a sleeping consumer. Never blocks.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] if `len` is more than was reserved, [`SendError::Forked`] in a child that inherited the
    /// grant; then nothing was sent.
    #[inline(always)]
    pub fn commit(self, len: usize) -> Result<(), SendError> {
        if len > self.max {
            return Err(SendError::TooLarge { len, max: self.max });
        }
        if self.producer.is_inherited() {
            return Err(SendError::Forked);
        }
        if let Some(bounce) = &self.producer.bounce {
            self.producer.side.write(&self.claim, &bounce[..len]);
        }
        if len == self.max {
            self.producer.side.give_back(self.cleared_to);
            self.producer.side.commit_all(self.claim, len);
        } else {
            self.producer.side.commit(self.claim, len);
        }
        self.producer.announce();
        Ok(())
    }

    /// Makes all bytes of the grant the next message. Never blocks. No effect in a child that inherited the grant.
    #[inline(always)]
    pub fn commit_all(self) {
        let max = self.max;
        // `max` is what was reserved, and a forked child's copy sends nothing.
        let _ = self.commit(max);
    }

    /// Gives the room back; nothing was ever visible. The same as dropping the grant.
    pub fn abort(self) {}
}

impl Deref for Grant<'_> {
    type Target = [u8];
    #[inline(always)]
    fn deref(&self) -> &[u8] {
        match &self.producer.bounce {
            Some(bounce) => &bounce[..self.max],
            None => {
                let (index, _) = self.producer.side.payload(&self.claim);
                // SAFETY: as in `deref_mut`.
                unsafe { self.producer.side.view().memory.bytes(index, self.max) }
            }
        }
    }
}

impl DerefMut for Grant<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.producer.bounce {
            Some(bounce) => &mut bounce[..self.max],
            None => {
                let (index, _) = self.producer.side.payload(&self.claim);
                // SAFETY: the claim covers `max` bytes at `index` and is this producer's alone until committed; the
                // segment is writable only by trusted processes, which keep to the protocol (else `bounce` is there).
                unsafe { self.producer.side.view().memory.bytes_mut(index, self.max) }
            }
        }
    }
}

/// Messages that become visible together. See [`Producer::batch`].
#[must_use = "dropping a batch aborts it: commit what was pushed"]
pub struct SendBatch<'a> {
    pub(in crate::channel) producer: &'a mut Producer,
    pub(in crate::channel) batch: Batch,
}

impl SendBatch<'_> {
    /// Adds a copy of `message`. Never blocks.
    ///
    /// # Errors
    /// [`SendError::Full`] if it does not fit behind the batch so far, which stays as it is: commit it.
    /// [`SendError::TooLarge`], [`SendError::Forked`], [`SendError::Corrupt`].
    #[inline]
    pub fn push(&mut self, message: &[u8]) -> Result<(), SendError> {
        if self.producer.is_inherited() {
            return Err(SendError::Forked);
        }
        let side = &mut self.producer.side;
        let claim = side.claim_in(&self.batch, message.len())?;
        side.write(&claim, message);
        side.add(&mut self.batch, claim, message.len());
        Ok(())
    }

    /// How many messages were pushed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.count
    }

    /// Whether nothing was pushed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.count == 0
    }

    /// Makes all pushed messages visible at once, wakes a sleeping consumer, and says how many they were: none in a
    /// child that inherited the batch.
    pub fn commit(self) -> usize {
        let count = if self.producer.is_inherited() { 0 } else { self.batch.count };
        if count > 0 {
            self.producer.side.commit_batch(self.batch);
            self.producer.announce();
        }
        count
    }
}

/// A received message, read in place. Dropping it releases it.
#[must_use = "dropping a frame releases it unread"]
pub struct Frame<'a> {
    consumer: &'a mut Consumer,
    record: Record,
    keep: bool,
}

impl<'a> Frame<'a> {
    #[inline(always)]
    pub(in crate::channel) fn new(consumer: &'a mut Consumer, record: Record) -> Self {
        consumer.copy_to_bounce(record);
        Frame { consumer, record, keep: false }
    }

    /// Gives the message's room back to the producer. The same as dropping the frame.
    #[inline]
    pub fn release(self) {}

    /// Leaves the message where it is: the next receive gets it again.
    pub fn keep(mut self) {
        self.keep = true;
    }
}

impl Deref for Frame<'_> {
    type Target = [u8];
    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.consumer.payload(self.record)
    }
}

impl Drop for Frame<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.keep && !self.consumer.is_inherited() {
            self.consumer.side.release(self.record.next);
            self.consumer.space.notify_at(self.record.next);
        }
    }
}

/// Received messages, read in place one after the other and released together. See [`Consumer::try_batch`].
#[must_use = "dropping a batch releases what was read of it"]
pub struct RecvBatch<'a> {
    consumer: &'a mut Consumer,
    /// The first message, found when the batch was made.
    first: Option<Record>,
    at: u64,
    left: usize,
}

impl<'a> RecvBatch<'a> {
    #[inline(always)]
    pub(in crate::channel) fn new(consumer: &'a mut Consumer, first: Record, max: usize) -> Self {
        let at = consumer.side.head();
        RecvBatch { consumer, first: Some(first), at, left: max }
    }

    /// The next committed message, until `max` were read or none is there. Never blocks.
    ///
    /// # Errors
    /// [`RecvError::Corrupt`], what was read before it is released as usual; [`RecvError::Forked`].
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "lends: the slice lives until the next call")]
    pub fn next(&mut self) -> Result<Option<&[u8]>, RecvError> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.consumer.is_inherited() {
            return Err(RecvError::Forked);
        }
        let record = match self.first.take() {
            Some(record) => record,
            None => match self.consumer.side.next_at(self.at).map_err(RecvError::Corrupt)? {
                Some(record) => record,
                None => return Ok(None),
            },
        };
        self.left -= 1;
        self.at = record.next;
        self.consumer.copy_to_bounce(record);
        Ok(Some(self.consumer.payload(record)))
    }
}

impl Drop for RecvBatch<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.at != self.consumer.side.head() && !self.consumer.is_inherited() {
            self.consumer.side.release(self.at);
            self.consumer.space.notify_at(self.at);
        }
    }
}

impl Consumer {
    #[inline(always)]
    fn copy_to_bounce(&mut self, record: Record) {
        if let Some(bounce) = &mut self.bounce {
            at_least(bounce, record.len);
            self.side.read(record, &mut bounce[..record.len]);
        }
    }

    #[inline(always)]
    fn payload(&self, record: Record) -> &[u8] {
        match &self.bounce {
            Some(bounce) => &bounce[..record.len],
            // SAFETY: record_at checked the range; it is committed and not released, so no trusted process writes it,
            // and the segment is writable by trusted processes only (else `bounce` is there).
            None => unsafe { self.side.view().memory.bytes(record.index, record.len) },
        }
    }
}
