//! The sending end of a ring of either kind, with the verbs that `send` needs.

use std::ops::DerefMut;
use std::time::Duration;

use slipring::inspect::{Contents, SlotKind};
use slipring::spsc::{NoWakeup, Producer};
use slipring::{Error, Ring, SendError, WaitStrategy, mpmc};

/// The most messages that are sent together.
const BATCH: usize = 64;

/// The only sender, or one of many.
#[allow(clippy::large_enum_variant, reason = "a process has one of it")]
pub(crate) enum Tx {
    /// Of an SPSC ring.
    One(Producer),
    /// Of an MPMC ring.
    Many(mpmc::Sender),
}

impl Tx {
    /// Takes a place in the ring.
    pub(crate) fn join(ring: &Ring) -> Result<Tx, Error> {
        match ring.info().slots {
            None => ring.producer().map(Tx::One),
            Some(_) => ring.sender().map(Tx::Many),
        }
    }

    /// Changes how to wait.
    pub(crate) fn set_strategy(&mut self, strategy: WaitStrategy) -> Result<(), NoWakeup> {
        match self {
            Tx::One(tx) => tx.set_strategy(strategy),
            Tx::Many(tx) => tx.set_strategy(strategy),
        }
    }

    /// The longest record.
    pub(crate) fn max_len(&self) -> usize {
        match self {
            Tx::One(tx) => tx.max_len(),
            Tx::Many(tx) => tx.max_len(),
        }
    }

    /// How long the records of a byte stream had better be at most.
    pub(crate) fn fair_len(&self) -> usize {
        match self {
            Tx::One(tx) => tx.capacity() / 16,
            Tx::Many(tx) => tx.max_len(),
        }
    }

    /// Waits for room for a record of up to `max` bytes, has it filled, and sends what `fill` says. Gives what it gave.
    pub(crate) fn fill<E>(
        &mut self,
        max: usize,
        timeout: Duration,
        fill: impl FnOnce(&mut [u8]) -> Result<Option<usize>, E>,
    ) -> Result<Result<Option<usize>, E>, SendError> {
        // What is not committed is given up.
        match self {
            Tx::One(tx) => {
                let mut grant = tx.reserve_timeout(max, timeout)?;
                let filled = fill(grant.deref_mut());
                if let Ok(Some(len @ 1..)) = filled {
                    grant.commit(len)?;
                }
                Ok(filled)
            }
            Tx::Many(tx) => {
                let mut grant = tx.reserve_timeout(max, timeout)?;
                let filled = fill(grant.deref_mut());
                if let Ok(Some(len @ 1..)) = filled {
                    grant.commit(len)?;
                }
                Ok(filled)
            }
        }
    }

    /// Sends one record, waiting for room.
    pub(crate) fn send(&mut self, record: &[u8], timeout: Duration) -> Result<(), SendError> {
        match self {
            Tx::One(tx) => tx.send_timeout(record, timeout),
            Tx::Many(tx) => tx.send_timeout(record, timeout),
        }
    }

    /// Sends as many of `records` as there is room for now, together. How many, their bytes, and what but a lack of room
    /// hindered the next.
    pub(crate) fn send_some<'a>(
        &mut self,
        records: impl Iterator<Item = &'a [u8]>,
    ) -> (usize, usize, Option<SendError>) {
        match self {
            Tx::One(tx) => {
                let mut batch = match tx.batch() {
                    Ok(batch) => batch,
                    Err(reason) => return (0, 0, Some(reason)),
                };
                let (mut bytes, mut hindered) = (0, None);
                for record in records {
                    match batch.push(record) {
                        Ok(()) => bytes += record.len(),
                        Err(reason) => {
                            hindered = Some(reason).filter(|reason| *reason != SendError::Full);
                            break;
                        }
                    }
                }
                (batch.commit(), bytes, hindered)
            }
            Tx::Many(tx) => {
                let records: Vec<&[u8]> = records.take(BATCH).collect();
                match tx.try_send_batch(&records) {
                    Ok(count) => (count, records[..count].iter().map(|record| record.len()).sum(), None),
                    Err(SendError::Full) => (0, 0, None),
                    Err(reason) => (0, 0, Some(reason)),
                }
            }
        }
    }
}

/// Whether everything that was in an MPMC ring before position `end` is done with: taken, and released or acknowledged by
/// whoever took it. With no `end` given, whether that holds for everything that is there: and where that ends.
pub(crate) fn is_drained(ring: &Ring, end: Option<u64>) -> (bool, u64) {
    let Contents::Slots(slots) = ring.inspect().contents else { return (true, 0) };
    let end = end.unwrap_or(slots.tail);
    let before = |position: u64| (position.wrapping_sub(end) as i64) < 0;
    let pending = slots.holds.iter().any(|hold| match hold.state {
        SlotKind::Reading | SlotKind::Peeked => before(hold.position),
        SlotKind::PeekedPinned => true,
        _ => false,
    });
    (!pending && !before(slots.head), end)
}
