//! The verbs of a ring of records, as of a socket that keeps message boundaries: the right to read or to write, then the ring
//! verb, then a wake-up, as in `stream.rs`, whose locks and events these are. Whoever waits for room waits for as much as its
//! own record takes, so all who wait look when there is some.
#![forbid(unsafe_code)]

use crate::channel::stream::{Call, Stop, Stream};
use crate::ring::records::{self, Taken};

impl Stream {
    /// Sends a record, waiting for room if the caller has patience. `name` and `body` must not be longer than
    /// [`Stream::longest_record`] says.
    ///
    /// # Errors
    /// Whatever kept it from being sent.
    pub fn send_record(&self, name: &[u8], body: &[u8], call: &Call<'_>) -> Result<(), Stop> {
        loop {
            let held = call.right(&self.writing)?;
            let put = match (call.alone)() {
                true => Err(Stop::Broken),
                false => records::put(&self.view, name, body).map_err(Stop::from),
            };
            self.writing.give_back(held);
            if put? {
                self.items.notify();
                return Ok(());
            }
            if !call.wait(&self.space, || records::has_room(&self.view, name.len(), body.len()))? {
                return Err(Stop::Broken);
            }
        }
    }

    /// Receives the next record, or waits for it; with `keep` it stays. `None`: nothing is there, and nothing can come.
    ///
    /// # Errors
    /// Everything but [`Stop::Broken`].
    pub fn recv_record(
        &self,
        name: &mut [u8],
        body: &mut [u8],
        keep: bool,
        call: &Call<'_>,
    ) -> Result<Option<Taken>, Stop> {
        let mut ended = false;
        loop {
            let held = call.right(&self.reading)?;
            let taken = records::take(&self.view, name, body, keep);
            self.reading.give_back(held);
            if let Some(taken) = taken? {
                if !keep {
                    self.space.notify_all();
                }
                if !records::is_empty(&self.view) {
                    self.items.notify();
                }
                return Ok(Some(taken));
            }
            if ended {
                return Ok(None);
            }
            ended = match call.wait(&self.items, || !records::is_empty(&self.view)) {
                Ok(ready) => !ready,
                // Whoever would have to wait hears first whether there is anything to wait for.
                Err(Stop::WouldBlock) if (call.alone)() => true,
                Err(stop) => return Err(stop),
            };
        }
    }

    /// Bytes of the bodies that nobody has received, of the first record alone or of all.
    ///
    /// # Errors
    /// As [`Stream::recv_record`].
    pub fn unread_records(&self, all: bool, call: &Call<'_>) -> Result<usize, Stop> {
        let held = call.right(&self.reading)?;
        let sum = records::unread(&self.view, all);
        self.reading.give_back(held);
        Ok(sum?)
    }

    /// Throws away what nobody has received.
    ///
    /// # Errors
    /// As [`Stream::recv_record`].
    pub fn purge_records(&self, call: &Call<'_>) -> Result<(), Stop> {
        let held = call.right(&self.reading)?;
        let purged = records::purge(&self.view);
        self.reading.give_back(held);
        self.space.notify_all();
        Ok(purged?)
    }

    /// Whether nothing is there to receive; may be stale at once.
    #[must_use]
    pub fn has_no_record(&self) -> bool {
        records::is_empty(&self.view)
    }

    /// The longest body of a record with a name of so many bytes: what the ring was made for, and never more than fits.
    #[must_use]
    pub fn longest_record(&self, name: usize) -> usize {
        let made_for = self.made_for() as usize * self.view.geometry.page_len;
        made_for.saturating_sub(OVERHEAD).min(records::longest(&self.view, name))
    }
}

/// What the kernel takes off a send buffer before it calls a message too long for it (EMSGSIZE).
pub const OVERHEAD: usize = 32;
