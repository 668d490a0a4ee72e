//! Loans of slots of an MPMC ring: a [`Grant`] to fill and commit, a [`Frame`] to read and release, a [`Delivery`] to
//! read and acknowledge. Forgetting one costs its slot until the handle is dropped.
//!
//! With distrusted peers no reference into the ring is ever formed: loans lend private memory, and the bytes are copied
//! in at commit and out at receipt.

use crate::channel::loan::at_least;
use crate::channel::mpmc::{LOOK, Receiver, Sender};
use crate::error::SendError;
use crate::ring::mpmc::{Claim, Taken};
use crate::sync::Deadline;
use core::fmt;
use core::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

/// Room for one message, to be filled in place. Its bytes are whatever was there before, not zeroes.
///
/// Its holder may be stopped for as long as it likes: others then pass over the place, and the commit sends the bytes again.
/// Receivers do so for a message behind it, senders for a place behind it that was given up.
#[must_use = "dropping a grant aborts it: commit what was written"]
pub struct Grant<'a> {
    sender: &'a mut Sender,
    claim: Claim,
    max: usize,
    open: bool,
}

impl<'a> Grant<'a> {
    #[inline(always)]
    pub(in crate::channel) fn new(sender: &'a mut Sender, claim: Claim, max: usize) -> Self {
        if let Some(bounce) = &mut sender.end.bounce {
            at_least(bounce, max);
        }
        sender.end.loans += 1;
        Grant { sender, claim, max, open: true }
    }

    /// Makes the first `len` bytes a message and wakes a sleeping receiver. Never blocks, but if others have passed over
    /// the place meanwhile: then it sends the bytes as [`Sender::send`] does, and waits for room if there is none. So whoever
    /// has both ends in one thread, or must not wait, takes [`Grant::try_commit`].
    ///
    /// # Errors
    /// [`SendError::TooLarge`] if `len` is more than was reserved, [`SendError::Forked`] in a child that inherited the
    /// grant; as [`Sender::send`] if it had to send again. Then nothing was sent.
    #[inline(always)]
    pub fn commit(mut self, len: usize) -> Result<(), SendError> {
        if self.commit_here(len)? {
            Ok(())
        } else {
            self.send_waiting(len, Deadline::NEVER).map_err(|(_, error)| error)
        }
    }

    /// As [`Grant::commit`], but never blocks: where the place was passed over and there is no other room now, the grant comes
    /// back, its bytes as they were, to be committed later or given up. Waits for no other participant, stopped or not.
    ///
    /// # Errors
    /// [`SendError::Full`] as said, and those of [`Grant::commit`] that are not of waiting. Nothing was sent then.
    #[inline(always)]
    pub fn try_commit(self, len: usize) -> Result<(), (Self, SendError)> {
        self.commit_or(len, |grant| grant.send_now(len))
    }

    /// As [`Grant::commit`], but waits for at most `timeout`, if it has to. Then the grant comes back as from
    /// [`Grant::try_commit`].
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`Grant::commit`]. Nothing was sent then.
    pub fn commit_timeout(self, len: usize, timeout: Duration) -> Result<(), (Self, SendError)> {
        self.commit_or(len, |grant| grant.send_waiting(len, Deadline::after(timeout)))
    }

    /// As [`Grant::commit_timeout`], until `deadline`. One in the past still sends where there is room.
    ///
    /// # Errors
    /// As [`Grant::commit_timeout`].
    pub fn commit_deadline(self, len: usize, deadline: Instant) -> Result<(), (Self, SendError)> {
        self.commit_or(len, |grant| grant.send_waiting(len, Deadline::at(deadline)))
    }

    /// Makes all bytes of the grant a message.
    ///
    /// # Errors
    /// As [`Grant::commit`].
    #[inline(always)]
    pub fn commit_all(self) -> Result<(), SendError> {
        let max = self.max;
        self.commit(max)
    }

    /// Gives the room back; nothing was ever visible. The same as dropping the grant.
    pub fn abort(self) {}

    /// Commits here, or, if the place was passed over, as `elsewhere` does.
    #[inline(always)]
    fn commit_or(
        mut self,
        len: usize,
        elsewhere: impl FnOnce(Self) -> Result<(), (Self, SendError)>,
    ) -> Result<(), (Self, SendError)> {
        match self.commit_here(len) {
            Ok(true) => Ok(()),
            Ok(false) => elsewhere(self),
            Err(error) => Err((self, error)),
        }
    }

    /// `false` if the place was passed over: the bytes are still there, and dropping the grant gives the slot back.
    #[inline(always)]
    fn commit_here(&mut self, len: usize) -> Result<bool, SendError> {
        if len > self.max {
            return Err(SendError::TooLarge { len, max: self.max });
        }
        let end = &mut self.sender.end;
        if !end.is_usable() {
            return Err(end.send_refusal());
        }
        if let Some(bounce) = &end.bounce {
            end.side.write(&self.claim, &bounce[..len]);
        }
        if !end.side.commit(&self.claim, len) {
            return Ok(false);
        }
        end.announce(1);
        end.loans -= 1;
        self.open = false;
        Ok(true)
    }

    /// The bytes of a place that was passed over, into another.
    fn send_from_here(&mut self, to: &Claim, len: usize) -> bool {
        let end = &mut self.sender.end;
        match &end.bounce {
            Some(bounce) => end.side.write(to, &bounce[..len]),
            None => end.side.copy(&self.claim, to, len),
        }
        self.sender.publish(to, len)
    }

    #[cold]
    fn send_now(self, len: usize) -> Result<(), (Self, SendError)> {
        self.send_again(len, Sender::try_claim, || false)
    }

    #[cold]
    fn send_waiting(self, len: usize, deadline: Deadline) -> Result<(), (Self, SendError)> {
        let is_over = || deadline.slice(LOOK).is_none();
        self.send_again(len, |sender| sender.wait_claim(deadline), is_over)
    }

    fn send_again(
        mut self,
        len: usize,
        claim: impl Fn(&mut Sender) -> Result<Claim, SendError>,
        is_over: impl Fn() -> bool,
    ) -> Result<(), (Self, SendError)> {
        for _ in 0..self.sender.most_voids() {
            match claim(self.sender) {
                Ok(to) if self.send_from_here(&to, len) => return Ok(()),
                Ok(_) if is_over() => {
                    self.sender.end.side.forget_bound();
                    return Err((self, SendError::TimedOut));
                }
                Ok(_) => {}
                Err(error) => return Err((self, error)),
            }
        }
        let error = self.sender.end.side.voided_for_ever().into();
        Err((self, error))
    }
}

impl fmt::Debug for Grant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("max", &self.max).finish_non_exhaustive()
    }
}

impl Drop for Grant<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let end = &mut self.sender.end;
        if self.open && end.is_usable() {
            end.loans -= 1;
            end.side.abort(&self.claim);
            end.side.forget_bound();
            end.space.notify();
        }
    }
}

impl Deref for Grant<'_> {
    type Target = [u8];
    #[inline(always)]
    fn deref(&self) -> &[u8] {
        let end = &self.sender.end;
        match &end.bounce {
            Some(bounce) => &bounce[..self.max],
            // SAFETY: as in `deref_mut`.
            None => unsafe { end.side.view().memory.bytes(end.side.payload_of(&self.claim), self.max) },
        }
    }
}

impl DerefMut for Grant<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        let end = &mut self.sender.end;
        match &mut end.bounce {
            Some(bounce) => &mut bounce[..self.max],
            // SAFETY: the slot is claimed, and this sender's alone until committed or given back, passed over or not; the
            // segment is writable only by trusted processes, which keep to the protocol (else `bounce` is there).
            None => unsafe { end.side.view().memory.bytes_mut(end.side.payload_of(&self.claim), self.max) },
        }
    }
}

/// A received message, read in place. Dropping it releases it.
#[must_use = "dropping a frame releases it unread"]
pub struct Frame<'a> {
    receiver: &'a mut Receiver,
    taken: Taken,
}

impl<'a> Frame<'a> {
    #[inline(always)]
    pub(in crate::channel) fn new(receiver: &'a mut Receiver, taken: Taken) -> Self {
        receiver.lend(&taken);
        Frame { receiver, taken }
    }

    /// Gives the message's slot back. The same as dropping the frame.
    #[inline]
    pub fn release(self) {}
}

impl Deref for Frame<'_> {
    type Target = [u8];
    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.receiver.payload(&self.taken)
    }
}

impl Drop for Frame<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.receiver.end.is_usable() {
            self.receiver.end.loans -= 1;
            self.receiver.end.release(&self.taken);
        }
    }
}

/// A received message, read in place, that is delivered again unless it is acknowledged.
#[must_use = "a delivery that is dropped is delivered again: acknowledge it"]
pub struct Delivery<'a> {
    receiver: &'a mut Receiver,
    taken: Taken,
    open: bool,
}

impl<'a> Delivery<'a> {
    #[inline(always)]
    pub(in crate::channel) fn new(receiver: &'a mut Receiver, taken: Taken) -> Self {
        receiver.lend(&taken);
        Delivery { receiver, taken, open: true }
    }

    /// Whether it was delivered before, to this handle or to one that is gone, and not acknowledged. That one may have
    /// done all of its work, or nothing.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.taken.again
    }

    /// The message is done with: nobody gets it again.
    #[inline(always)]
    pub fn ack(mut self) {
        if self.receiver.end.is_usable() {
            self.receiver.end.loans -= 1;
            self.receiver.end.release(&self.taken);
        }
        self.open = false;
    }
}

impl Deref for Delivery<'_> {
    type Target = [u8];
    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.receiver.payload(&self.taken)
    }
}

impl Drop for Delivery<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.open && self.receiver.end.is_usable() {
            self.receiver.pending.push_front(self.taken.seen());
        }
    }
}

impl Receiver {
    #[inline(always)]
    fn lend(&mut self, taken: &Taken) {
        self.end.loans += 1;
        self.copy_to_bounce(taken);
    }

    #[inline(always)]
    fn copy_to_bounce(&mut self, taken: &Taken) {
        if let Some(bounce) = &mut self.end.bounce {
            at_least(bounce, taken.len);
            self.end.side.read(taken, &mut bounce[..taken.len]);
        }
    }

    #[inline(always)]
    fn payload(&self, taken: &Taken) -> &[u8] {
        match &self.end.bounce {
            Some(bounce) => &bounce[..taken.len],
            // SAFETY: the ring has checked the length; the slot is this receiver's until released, passed over or not,
            // so no trusted process writes it, and the segment is writable by trusted ones only (else `bounce` is there).
            None => unsafe { self.end.side.view().memory.bytes(self.end.side.payload(taken), taken.len) },
        }
    }

    /// Shows a message that this receiver has taken.
    #[inline(always)]
    pub(in crate::channel) fn show(&mut self, taken: &Taken, to: &mut impl FnMut(&[u8])) {
        self.copy_to_bounce(taken);
        to(self.payload(taken));
    }
}
