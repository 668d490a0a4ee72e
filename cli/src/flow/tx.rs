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
    Many(Many),
}

/// One of many senders.
pub(crate) struct Many {
    tx: mpmc::Sender,
    /// A record that was read in place, but others passed over the place meanwhile and there was no room elsewhere.
    late: Vec<u8>,
}

impl Tx {
    /// Takes a place in the ring.
    pub(crate) fn join(ring: &Ring) -> Result<Tx, Error> {
        match ring.info().slots {
            None => ring.producer().map(Tx::One),
            Some(_) => ring.sender().map(|tx| Tx::Many(Many { tx, late: Vec::new() })),
        }
    }

    /// Changes how to wait.
    pub(crate) fn set_strategy(&mut self, strategy: WaitStrategy) -> Result<(), NoWakeup> {
        match self {
            Tx::One(tx) => tx.set_strategy(strategy),
            Tx::Many(Many { tx, .. }) => tx.set_strategy(strategy),
        }
    }

    /// The longest record.
    pub(crate) fn max_len(&self) -> usize {
        match self {
            Tx::One(tx) => tx.max_len(),
            Tx::Many(Many { tx, .. }) => tx.max_len(),
        }
    }

    /// How long the records of a byte stream had better be at most.
    pub(crate) fn fair_len(&self) -> usize {
        match self {
            Tx::One(tx) => tx.capacity() / 16,
            Tx::Many(Many { tx, .. }) => tx.max_len(),
        }
    }

    /// Waits for room for a record of up to `max` bytes, has it filled, and sends what `fill` says. Gives what it gave. A
    /// record that was filled is kept if it cannot be sent, and the next call sends it and fills none.
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
            Tx::Many(Many { tx, late }) => {
                if !late.is_empty() {
                    tx.send_timeout(late, timeout)?;
                    return Ok(Ok(Some(std::mem::take(late).len())));
                }
                let mut grant = tx.reserve_timeout(max, timeout)?;
                let filled = fill(grant.deref_mut());
                if let Ok(Some(len @ 1..)) = filled
                    && let Err((grant, error)) = grant.commit_timeout(len, timeout)
                {
                    late.extend_from_slice(&grant[..len]);
                    return Err(error);
                }
                Ok(filled)
            }
        }
    }

    /// How long the filled record is that waits for the next call of `fill`; 0: none does.
    pub(crate) fn late(&self) -> usize {
        match self {
            Tx::One(_) => 0,
            Tx::Many(Many { late, .. }) => late.len(),
        }
    }

    /// Sends one record, waiting for room.
    pub(crate) fn send(&mut self, record: &[u8], timeout: Duration) -> Result<(), SendError> {
        match self {
            Tx::One(tx) => tx.send_timeout(record, timeout),
            Tx::Many(Many { tx, .. }) => tx.send_timeout(record, timeout),
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
            Tx::Many(Many { tx, .. }) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use slipring::{Options, RecvError};

    #[test]
    fn what_was_read_is_kept_where_others_pass_over_its_place_and_fill_the_ring() {
        let ring = Ring::anonymous(&Options::mpmc(4, 48)).unwrap();
        let (mut tx, mut other, mut rx) =
            (Tx::join(&ring).unwrap(), ring.sender().unwrap(), ring.receiver().unwrap());
        let soon = Duration::from_millis(1);
        let mut buffer = [0; 48];
        let filled = tx.fill(48, soon, |room| {
            room[..4].copy_from_slice(b"late");
            other.try_send(b"first").unwrap();
            rx.try_recv(&mut buffer).unwrap();
            while other.try_send(b"more").is_ok() {}
            Ok::<_, RecvError>(Some(4))
        });
        assert_eq!(filled, Err(SendError::TimedOut));
        let unasked = |_: &mut [u8]| -> Result<Option<usize>, RecvError> { panic!("another was to be read") };
        assert_eq!(tx.late(), 4);
        assert_eq!(tx.fill(48, soon, unasked), Err(SendError::TimedOut));
        assert_eq!(rx.try_recv(&mut buffer), Ok(4));
        assert_eq!(tx.fill(48, soon, unasked), Ok(Ok(Some(4))));
        assert_eq!(tx.late(), 0);
        let mut got = Vec::new();
        while let Ok(len) = rx.try_recv(&mut buffer) {
            got.push(buffer[..len].to_vec());
        }
        assert_eq!(got, [&b"more"[..], b"more", b"late"]);
        assert_eq!(tx.fill(48, soon, |_| Ok::<_, RecvError>(Some(1))), Ok(Ok(Some(1))));
    }

    /// All receivers leave while the record is filled, and another comes.
    #[test]
    fn what_was_read_survives_the_last_receiver() {
        for trust in [slipring::Trust::Kernel, slipring::Trust::Distrust] {
            let ring = Ring::anonymous(&Options::mpmc(4, 48).trust(trust)).unwrap();
            let (mut tx, mut other) = (Tx::join(&ring).unwrap(), ring.sender().unwrap());
            let mut rx = Some(ring.receiver().unwrap());
            let soon = Duration::from_millis(1);
            let mut buffer = [0; 48];
            let filled = tx.fill(48, soon, |room| {
                room[..4].copy_from_slice(b"late");
                other.try_send(b"first").unwrap();
                rx.as_mut().unwrap().try_recv(&mut buffer).unwrap();
                while other.try_send(b"more").is_ok() {}
                rx = None;
                Ok::<_, RecvError>(Some(4))
            });
            assert_eq!(filled, Err(SendError::Closed));
            let unasked =
                |_: &mut [u8]| -> Result<Option<usize>, RecvError> { panic!("another was to be read") };
            for _ in 0..3 {
                assert_eq!(tx.late(), 4);
                assert_eq!(tx.fill(48, soon, unasked), Err(SendError::Closed));
            }
            // The slot is not kept meanwhile: four fit, of which two are there.
            let mut rx = ring.receiver().unwrap();
            let mut got = Vec::new();
            while let Ok(len) = rx.try_recv(&mut buffer) {
                got.push(buffer[..len].to_vec());
            }
            assert_eq!(tx.fill(48, soon, unasked), Ok(Ok(Some(4))));
            let next = |room: &mut [u8]| {
                room[..4].copy_from_slice(b"next");
                Ok::<_, RecvError>(Some(4))
            };
            assert_eq!(tx.fill(48, soon, next), Ok(Ok(Some(4))));
            while let Ok(len) = rx.try_recv(&mut buffer) {
                got.push(buffer[..len].to_vec());
            }
            assert_eq!(got[got.len() - 2..], [b"late", b"next"]);
            assert_eq!(got.iter().filter(|m| **m == b"late").count(), 1);
        }
    }
}
