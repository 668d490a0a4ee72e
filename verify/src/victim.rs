//! Both ends of an SPSC ring whose shared memory somebody scribbles on: any verb, with whatever answer, but an answer;
//! and the scribbler, who knows the layout and writes what is nearly right more often than mere noise.
//!
//! Choices come from outside, as a function that gives a number below its argument: dice in tests, input in fuzzing.

use slipring::spsc::{Consumer, Producer};
use slipring::{Align, Corrupt, Error, Options, RecvError, Ring, SendError, Trust, Wakeup};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

/// Bytes of data of the ring under attack.
pub const CAPACITY: usize = 4096;
/// Where the control lines and the data start (docs/layout.md).
pub const CONTROL: u64 = 1024;
/// As above.
pub const DATA: u64 = 4096;
/// The longest message of such a ring.
const LONGEST: usize = CAPACITY / 2 - 8;
/// Kinds of record headers.
const MESSAGE: u64 = 1 << 32;
const PAD: u64 = 2 << 32;

/// The fields that participants write, and their sizes in bytes (docs/layout.md).
pub const FIELDS: [(u64, usize); 9] =
    [(CONTROL, 8), (1152, 4), (1168, 8), (1280, 4), (1296, 8), (1408, 8), (1416, 8), (1536, 8), (1544, 8)];

/// The ways to make a ring that may be attacked: semaphores are only for peers that are trusted.
pub fn attackable() -> impl Iterator<Item = (Trust, Options)> {
    let each = |trust, wakeup, align| {
        (trust, Options::new().capacity(CAPACITY).align(align).wakeup(wakeup).trust(trust))
    };
    [Trust::Kernel, Trust::Distrust].into_iter().flat_map(move |trust| {
        [Wakeup::Futex, Wakeup::None].into_iter().flat_map(move |wakeup| {
            [Align::Line, Align::Dense].into_iter().map(move |align| each(trust, wakeup, align))
        })
    })
}

/// How often what was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Calls of verbs.
    pub verbs: u64,
    /// Those that moved a message.
    pub moved: u64,
    /// Faults found, by the field that they named.
    pub corrupt: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn fault(&mut self, fault: Corrupt) {
        assert!(!fault.field.is_empty(), "a fault names its field");
        assert!(fault.to_string().contains(fault.field), "and says it");
        *self.corrupt.entry(fault.field).or_default() += 1;
    }

    /// A handle, unless a fault was found, or the refusal is one that `may` be.
    pub fn attached<T>(&mut self, result: Result<T, Error>, may: impl Fn(&Error) -> bool) -> Option<T> {
        match result {
            Err(error) if may(&error) => None,
            Ok(handle) => Some(handle),
            Err(Error::Corrupt { fault, .. }) => {
                self.fault(fault);
                None
            }
            Err(other) => panic!("refused: {other}"),
        }
    }

    /// What a sending verb gave.
    pub fn sent<T>(&mut self, result: Result<T, SendError>) -> Option<T> {
        self.verbs += 1;
        if let Err(SendError::Corrupt(fault)) = &result {
            self.fault(*fault);
        }
        assert!(!matches!(result, Err(SendError::Forked)));
        self.moved += u64::from(result.is_ok());
        result.ok()
    }

    /// What a receiving verb gave.
    pub fn received<T>(&mut self, result: Result<T, RecvError>) -> Option<T> {
        self.verbs += 1;
        if let Err(RecvError::Corrupt(fault)) = &result {
            self.fault(*fault);
        }
        assert!(!matches!(result, Err(RecvError::Forked)));
        self.moved += u64::from(result.is_ok());
        result.ok()
    }
}

/// Both ends of a ring under attack; an end is `None` while it cannot attach.
pub struct Victim {
    ring: Ring,
    /// The segment, for the attacker.
    pub file: File,
    /// Where this process has the segment.
    mapped: Vec<Range<usize>>,
    trusting: bool,
    /// Whether this process has the one end, and the other.
    ends: (bool, bool),
    tx: Option<Producer>,
    rx: Option<Consumer>,
    /// What was answered so far.
    pub tally: Tally,
}

impl Victim {
    /// A new ring, one of the [`attackable`].
    #[must_use]
    pub fn new((trust, options): &(Trust, Options)) -> Self {
        Victim::of(Ring::anonymous(options).unwrap(), *trust, (true, true))
    }

    /// The producer's end of this ring, the consumer's, or both.
    #[must_use]
    pub fn of(ring: Ring, trust: Trust, ends: (bool, bool)) -> Self {
        let file = File::from(ring.fd().unwrap().try_clone_to_owned().unwrap());
        let mapped = mappings(&file);
        assert!(!mapped.is_empty(), "the ring is mapped");
        let trusting = trust == Trust::Kernel;
        Victim { ring, file, mapped, trusting, ends, tx: None, rx: None, tally: Tally::default() }
    }

    /// Any verb with any argument. What it answers is the attacker's to choose; that it answers is ours.
    pub fn any_verb(&mut self, choose: &mut impl FnMut(u64) -> u64) {
        let len = [0, 1, 8, 56, 100, 700, LONGEST, LONGEST + 1][choose(8) as usize];
        // Its role is free and its segment sealed, so only a fault may refuse it.
        if self.ends.0 && self.tx.is_none() {
            self.tx = self.tally.attached(self.ring.producer(), |_| false);
        }
        if self.ends.1 && self.rx.is_none() {
            self.rx = self.tally.attached(self.ring.consumer(), |_| false);
        }
        match choose(3) {
            0 => self.send(len, choose),
            1 => self.receive(len, choose),
            _ => {
                self.send(len, choose);
                self.receive(len, choose);
            }
        }
        if choose(50) == 0 {
            assert!(self.ring.info().used_bytes <= CAPACITY as u64);
        }
    }

    fn send(&mut self, len: usize, choose: &mut impl FnMut(u64) -> u64) {
        let Victim { tx, tally, .. } = self;
        let Some(producer) = tx else { return };
        let soon = Duration::from_micros(choose(50));
        match choose(11) {
            0..=2 => drop(tally.sent(producer.try_send(&vec![7; len]))),
            3 => drop(tally.sent(producer.send_timeout(&vec![7; len], soon))),
            4 => {
                if let Some(mut grant) = tally.sent(producer.try_reserve(len)) {
                    grant.fill(1);
                    let _ = grant.commit(len / 2);
                }
            }
            5 => drop(tally.sent(producer.reserve_timeout(len, soon))),
            6 => {
                let mut batch = producer.batch().unwrap();
                for _ in 0..choose(5) {
                    tally.sent(batch.push(&vec![9; len]));
                }
                batch.commit();
            }
            7 => drop(tally.sent(producer.wait_drained(Some(soon)))),
            8 => assert!(producer.approx_len() <= CAPACITY),
            9 => drop(producer.peer()),
            _ => *tx = None,
        }
    }

    fn receive(&mut self, len: usize, choose: &mut impl FnMut(u64) -> u64) {
        let Victim { rx, tally, mapped, trusting, .. } = self;
        let Some(consumer) = rx else { return };
        let soon = Duration::from_micros(choose(50));
        let mut buffer = [0; LONGEST];
        let mut look = |message: &[u8]| {
            assert!(message.len() <= LONGEST, "longer than any message: {}", message.len());
            assert!(
                message.is_empty() || lent_from(mapped, DATA, message) == *trusting,
                "lent from elsewhere"
            );
            // Reads every byte.
            buffer[..message.len()].copy_from_slice(message);
        };
        match choose(11) {
            0..=2 => drop(tally.received(consumer.try_recv(&mut [0; LONGEST][..len.min(LONGEST)]))),
            3 => drop(tally.received(consumer.recv_timeout(&mut [0; LONGEST], soon))),
            4 => {
                if let Some(frame) = tally.received(consumer.try_frame()) {
                    look(&frame);
                }
            }
            5 => {
                if let Some(frame) = tally.received(consumer.frame_timeout(soon)) {
                    look(&frame);
                    frame.keep();
                }
            }
            6 | 7 => {
                let mut faults = Vec::new();
                if let Some(mut batch) = tally.received(consumer.try_batch(choose(2000) as usize)) {
                    loop {
                        match batch.next() {
                            Ok(Some(message)) => look(message),
                            Ok(None) => break,
                            Err(RecvError::Corrupt(fault)) => {
                                faults.push(fault);
                                break;
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
                faults.into_iter().for_each(|fault| tally.fault(fault));
            }
            8 => drop(consumer.was_empty()),
            9 => drop(consumer.peer()),
            _ => *rx = None,
        }
    }
}

/// Whether these bytes lie behind `offset` of a mapping, as those lent in place must, and copies must not.
#[must_use]
pub fn lent_from(mapped: &[Range<usize>], offset: u64, bytes: &[u8]) -> bool {
    let bytes = bytes.as_ptr_range();
    let (start, end) = (bytes.start as usize, bytes.end as usize);
    mapped.iter().any(|map| map.start + offset as usize <= start && end <= map.end)
}

/// Where this process has a file mapped.
#[must_use]
pub fn mappings(file: &File) -> Vec<Range<usize>> {
    let inode = file.metadata().unwrap().ino().to_string();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let range = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (start, end) = words[0].split_once('-').unwrap();
        let address = |text| usize::from_str_radix(text, 16).unwrap();
        (words[4] == inode).then(|| address(start)..address(end))
    };
    maps.lines().filter_map(range).collect()
}

/// A word that is nearly right, or noise.
pub fn any_word(choose: &mut impl FnMut(u64) -> u64) -> u64 {
    let mut any = || choose(1 << 32) << 32 | choose(1 << 32);
    let any = any();
    match choose(8) {
        0 => MESSAGE | choose(CAPACITY as u64 + 100),
        1 => PAD,
        2 => 0,
        3 => MESSAGE | any >> 32,
        4 => choose(1 << 14) & !63,
        5 => any & !7,
        6 => any >> choose(64),
        _ => any,
    }
}

/// Garbage somewhere in the segment.
pub fn attack(file: &File, choose: &mut impl FnMut(u64) -> u64) {
    let word = any_word(choose).to_ne_bytes();
    let put = |at: u64, bytes: &[u8]| file.write_all_at(bytes, at).unwrap();
    match choose(8) {
        0 => put(CONTROL, &word),
        1 => {
            let (at, size) = FIELDS[choose(FIELDS.len() as u64) as usize];
            put(at, &word[..size]);
        }
        // A bit of a field.
        2 => {
            let (at, size) = FIELDS[choose(FIELDS.len() as u64) as usize];
            let at = at + choose(size as u64);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            put(at, &[byte[0] ^ 1 << choose(8)]);
        }
        3 => put(DATA + 64 * choose(CAPACITY as u64 / 64), &word),
        4 => put(DATA + 8 * choose(CAPACITY as u64 / 8), &word),
        // Across the boundaries of fields, and in the segment's header, which nobody reads twice.
        5 => put(CONTROL + choose(DATA - CONTROL + CAPACITY as u64 - 8), &word[..1 + choose(8) as usize]),
        6 => put(choose(256), &word[..1 + choose(8) as usize]),
        // All is well for a while.
        _ => put(CONTROL, &[0; 640]),
    }
}
