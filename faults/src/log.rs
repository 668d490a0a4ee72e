//! What a participant says it did, in memory that survives its SIGKILL: what it is about to do before the verb, what
//! was done after it. Records are only appended; the auditor takes them from the front, and a writer whose log is full
//! waits for it.
#![allow(clippy::disallowed_types, reason = "an observer's own words")]

use crate::payload::Id;
use crate::words::Words;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

/// One record of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Written before a send: this message of mine is about to be sent.
    Intend {
        /// Its number.
        seq: u64,
        /// Its checksum.
        sum: u64,
    },
    /// Written after a send: these messages of mine are committed.
    Sent {
        /// The first of them.
        seq: u64,
        /// How many.
        count: u64,
    },
    /// Written after a send: these were not sent, says the verb. Their numbers are not used again.
    Refused {
        /// The first of them.
        seq: u64,
        /// How many.
        count: u64,
    },
    /// Written before a verb that takes messages: up to `most` may be in my hands from here on.
    Reach {
        /// How many the verb may take.
        most: u64,
    },
    /// Written as soon as the message was read in full: by the verb that released it, or before it is released.
    Took {
        /// Which message.
        id: Id,
        /// The checksum of what was read.
        sum: u64,
        /// Whether it was flagged as possibly delivered before.
        redelivered: bool,
    },
    /// A message was read that nobody wrote.
    Torn,
    /// Between two answers of its verbs more time passed than usual.
    Slow {
        /// So much, in nanoseconds.
        raw: u64,
        /// Without the time in which it could go on and had no core: at most so much.
        net: u64,
        /// So many steps of the protocol were taken in it, if they are counted.
        steps: u32,
    },
    /// Between two answers more steps of the protocol were taken than ever before.
    Steps {
        /// So many.
        most: u64,
        /// In so many nanoseconds, without want of a core; 0 if it was stopped meanwhile.
        took: u64,
    },
}

/// A record with the moment at which it was written, in nanoseconds of the machine's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// When.
    pub at: u64,
    /// What.
    pub event: Event,
}

/// Nanoseconds of the clock that all processes share.
///
/// # Panics
/// Never: every kernel has the clock.
#[must_use]
#[inline]
pub fn now() -> u64 {
    let now =
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("every kernel has this clock");
    now.tv_sec().unsigned_abs() * 1_000_000_000 + now.tv_nsec().unsigned_abs()
}

const WORDS: usize = 4;
/// Records written, records read, waits.
const HEADER: usize = 4;

/// One participant's log: room for a number of records within shared words.
#[derive(Clone)]
pub struct Log {
    words: Arc<Words>,
    base: usize,
    records: usize,
}

impl Log {
    /// `count` logs of `records` each.
    #[must_use]
    pub fn several(count: usize, records: usize) -> Vec<Log> {
        // A page of its own for each, so that their writers share no cache line.
        let each = (HEADER + records * WORDS).next_multiple_of(512);
        let words = Arc::new(Words::new(count * each));
        (0..count).map(|i| Log { words: words.clone(), base: i * each, records }).collect()
    }

    /// A log of its own.
    ///
    /// # Panics
    /// Without memory.
    #[must_use]
    pub fn new(records: usize) -> Log {
        Self::several(1, records).pop().expect("one log")
    }

    fn word(&self, at: usize) -> &std::sync::atomic::AtomicU64 {
        &self.words[self.base + at]
    }

    /// Appends a record. Waits while the log is full.
    pub fn write(&self, event: Event) {
        let written = self.word(0).load(Relaxed);
        let is_full = || written - self.word(1).load(Acquire) >= self.records as u64;
        if is_full() {
            self.word(2).fetch_add(1, Relaxed);
        }
        while is_full() {
            // The core is better used by who reads it.
            std::thread::sleep(Duration::from_micros(50));
        }
        let (kind, sender, second, third) = match event {
            Event::Intend { seq, sum } => (1, 0, seq, sum),
            Event::Sent { seq, count } => (2, 0, seq, count),
            Event::Refused { seq, count } => (3, 0, seq, count),
            Event::Reach { most } => (4, 0, most, 0),
            Event::Took { id, sum, redelivered } => (if redelivered { 6 } else { 5 }, id.sender, id.seq, sum),
            Event::Torn => (7, 0, 0, 0),
            Event::Slow { raw, net, steps } => (8, steps, raw, net),
            Event::Steps { most, took } => (9, 0, most, took),
        };
        let at = HEADER + written as usize % self.records * WORDS;
        self.word(at).store(u64::from(sender) << 8 | kind, Relaxed);
        self.word(at + 1).store(second, Relaxed);
        self.word(at + 2).store(third, Relaxed);
        self.word(at + 3).store(now(), Relaxed);
        // The kernel kills between instructions: a record counts when this store is done, and then it is whole.
        self.word(0).store(written + 1, Release);
    }

    /// How often a writer found it full and waited.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.word(2).load(Relaxed)
    }

    /// How many records were ever written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.word(0).load(Acquire)
    }

    /// The greatest number of a message of `sender` in this log, which must not be longer than it has room.
    #[must_use]
    pub fn last_of(&self, sender: u32) -> Option<u64> {
        let took = |at: u64| {
            let at = HEADER + at as usize % self.records * WORDS;
            let first = self.word(at).load(Relaxed);
            let is_it = matches!(first & 0xff, 5 | 6) && (first >> 8) as u32 == sender;
            is_it.then(|| self.word(at + 1).load(Relaxed))
        };
        (0..self.written()).rev().find_map(took)
    }

    /// Takes the records that were written since the last call.
    pub fn read(&self, mut each: impl FnMut(Stamped)) {
        let written = self.word(0).load(Acquire);
        let mut next = self.word(1).load(Relaxed);
        while next < written {
            let at = HEADER + next as usize % self.records * WORDS;
            let [first, second, third, stamp] = [0, 1, 2, 3].map(|i| self.word(at + i).load(Relaxed));
            let id = Id { sender: (first >> 8) as u32, seq: second };
            let event = match first & 0xff {
                1 => Event::Intend { seq: second, sum: third },
                2 => Event::Sent { seq: second, count: third },
                3 => Event::Refused { seq: second, count: third },
                4 => Event::Reach { most: second },
                5 => Event::Took { id, sum: third, redelivered: false },
                6 => Event::Took { id, sum: third, redelivered: true },
                8 => Event::Slow { raw: second, net: third, steps: id.sender },
                9 => Event::Steps { most: second, took: third },
                _ => Event::Torn,
            };
            each(Stamped { at: stamp, event });
            next += 1;
            if next.is_multiple_of(1024) {
                self.word(1).store(next, Release);
            }
        }
        self.word(1).store(next, Release);
    }

    /// Empties it, for the next participant. Nobody may be writing.
    pub fn clear(&self) {
        self.word(0).store(0, Relaxed);
        self.word(1).store(0, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_also_past_the_end() {
        let log = Log::new(5);
        let id = Id { sender: 7, seq: 1 << 40 };
        let events = [
            Event::Intend { seq: 3, sum: 4 },
            Event::Sent { seq: 3, count: 2 },
            Event::Refused { seq: 5, count: 1 },
            Event::Reach { most: 16 },
            Event::Took { id, sum: 9, redelivered: false },
            Event::Took { id, sum: 9, redelivered: true },
            Event::Torn,
            Event::Slow { raw: 7, net: 5, steps: u32::MAX },
            Event::Steps { most: u64::MAX, took: 3 },
        ];
        let count = events.len();
        let mut read = Vec::new();
        let mut last = now();
        for round in 0..count {
            log.write(events[round]);
            log.write(events[(round + 1) % count]);
            log.read(|record| {
                assert!(record.at >= last);
                last = record.at;
                read.push(record.event);
            });
        }
        let expected: Vec<_> =
            (0..count).flat_map(|round| [events[round], events[(round + 1) % count]]).collect();
        assert_eq!(read, expected);
    }
}
