//! The messages: written completely for every send, checked completely at every receipt.
//!
//! A message is a *tag* word (its sequence number; the complement marks the last one of a phase) and body words
//! `base, base + STEP, base + 2 STEP, ...` with a base that depends on the sequence number. The receiver compares the
//! length, the tag, and the sum of all body words with its closed form. A single wrong byte, a stale message, or a
//! message torn between two others changes the sum; two errors that cancel to the bit would not be seen.
#![forbid(unsafe_code)]

use crate::error::HarnessError;
use crate::mechanism::{SendMany, SendMessage};

/// Odd, so that every bit of a word's position shows in the word.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const WORD: usize = size_of::<u64>();
/// How many ready messages a sender takes in turn. Prime, so that it divides no lap of a ring with a power of two of
/// places. Few where they are large, so that they stay in the nearer caches.
#[inline(always)]
fn pool(size: usize) -> u64 {
    if size <= 1024 { 67 } else { 7 }
}

/// Sizes that can be measured: whole words, at least the tag, at most 16 MiB; or a byte.
pub fn check_size(size: usize) -> Result<(), HarnessError> {
    if size == 1 { Ok(()) } else { check_tagged_size(size) }
}

/// Sizes of messages that say their number.
pub fn check_tagged_size(size: usize) -> Result<(), HarnessError> {
    if size >= WORD && size.is_multiple_of(WORD) && size <= 16 << 20 {
        return Ok(());
    }
    Err(HarnessError::BadOption {
        what: format!(
            "{size} bytes; a size is 1, where messages need not say their number, or a multiple of 8 from 8 to 16777216"
        ),
    })
}

/// Where a sender's payload comes from, and so what its body looks like.
pub trait Source {
    /// Prepares messages of `size` bytes.
    fn new(size: usize) -> Self;

    /// The first body word of message `seq` of `size` bytes.
    fn base(size: usize, seq: u64) -> u64;

    /// Writes message `seq` and sends it.
    fn send<S: SendMessage>(&mut self, to: &mut S, seq: u64, last: bool) -> Result<(), HarnessError>;
}

/// Values computed in place, where the mechanism wants them: no copy on the sender's side if it lends its memory.
#[derive(Debug)]
pub struct Registers {
    size: usize,
}

impl Source for Registers {
    fn new(size: usize) -> Self {
        Registers { size }
    }

    #[inline(always)]
    fn base(_size: usize, seq: u64) -> u64 {
        seq.wrapping_mul(STEP)
    }

    #[inline(always)]
    fn send<S: SendMessage>(&mut self, to: &mut S, seq: u64, last: bool) -> Result<(), HarnessError> {
        to.send_with(self.size, |room| write(room, tag(seq, last), Self::base(self.size, seq)))
    }
}

/// Messages that lie ready in the sender's own memory and are copied from there. They must be sent in sequence.
#[derive(Debug)]
pub struct Memory {
    size: usize,
    /// One after the other.
    messages: Vec<u8>,
    /// Where the next one starts, and where the one half a pool ahead does.
    next: usize,
    ahead: usize,
}

impl Source for Memory {
    fn new(size: usize) -> Self {
        let mut messages = vec![0; pool(size) as usize * size];
        for (k, room) in messages.chunks_exact_mut(size).enumerate() {
            write(room, k as u64, Self::base(size, k as u64));
        }
        Memory { size, messages, next: 0, ahead: pool(size) as usize / 2 * size }
    }

    #[inline(always)]
    fn base(size: usize, seq: u64) -> u64 {
        (seq % pool(size)).wrapping_mul(STEP)
    }

    /// Tags a message half the pool ahead. The copy loads more than a tag at once, and such a load waits until the
    /// tag's store has reached the cache, behind all stores before it: to lines that are far away, if it is near.
    #[inline(always)]
    fn send<S: SendMessage>(&mut self, to: &mut S, seq: u64, last: bool) -> Result<(), HarnessError> {
        let tagged = WORD.min(self.size);
        let ahead = (seq + pool(self.size) / 2).to_le_bytes();
        self.messages[self.ahead..][..tagged].copy_from_slice(&ahead[..tagged]);
        let message = &mut self.messages[self.next..][..self.size];
        if last {
            message[..tagged].copy_from_slice(&tag(seq, true).to_le_bytes()[..tagged]);
        }
        to.send(message)?;
        let behind = |at: usize| if at + self.size == self.messages.len() { 0 } else { at + self.size };
        (self.next, self.ahead) = (behind(self.next), behind(self.ahead));
        Ok(())
    }
}

/// What a good message says about the ones to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More of this phase follow.
    More,
    /// It was the last of its phase.
    Last,
}

/// Writes messages `seq..seq + count` in place and sends them at once; `last` marks the last of them.
#[inline(always)]
pub fn send_many<P: Source, S: SendMany>(
    to: &mut S,
    size: usize,
    count: usize,
    seq: u64,
    last: bool,
) -> Result<(), HarnessError> {
    to.send_many(size, count, |k, room| {
        let at = seq + k as u64;
        write(room, tag(at, last && k + 1 == count), P::base(size, at));
    })
}

/// The sequence number that a message says it has, and 0 of one too short to say. Numbers stay below 2^63.
#[inline(always)]
pub(crate) fn claimed_seq(message: &[u8]) -> u64 {
    let tag = message.get(..WORD).map_or(0, read);
    if tag >> 63 == 0 { tag } else { !tag }
}

#[inline(always)]
fn tag(seq: u64, last: bool) -> u64 {
    if last { !seq } else { seq }
}

/// Fills a message: the tag, then the body in steps from `base`.
#[inline(always)]
pub(crate) fn write(room: &mut [u8], tag: u64, base: u64) {
    match room.len() {
        1 => room[0] = tag as u8,
        8 => write_words(&mut room[..8], tag, base),
        48 => write_words(&mut room[..48], tag, base),
        56 => write_words(&mut room[..56], tag, base),
        64 => write_words(&mut room[..64], tag, base),
        _ => write_words(room, tag, base),
    }
}

/// Small messages get code for their very length, as a program's own struct would have: some engines know it when they
/// are compiled, others do not, and what is compared is not the compiler's luck with the payload.
#[inline(always)]
fn write_words(room: &mut [u8], tag: u64, base: u64) {
    let (head, body) = room.split_at_mut(WORD);
    head.copy_from_slice(&tag.to_le_bytes());
    let mut word = base;
    for place in body.chunks_exact_mut(WORD) {
        place.copy_from_slice(&word.to_le_bytes());
        word = word.wrapping_add(STEP);
    }
}

/// The tag and the sum of the body words.
#[inline(always)]
fn read_words(message: &[u8]) -> (u64, u64) {
    let (head, body) = message.split_at(WORD);
    (read(head), body.chunks_exact(WORD).fold(0u64, |sum, word| sum.wrapping_add(read(word))))
}

/// Reads all of a message and compares it with what message `seq` of `size` bytes must be.
#[inline(always)]
pub fn check<P: Source>(message: &[u8], size: usize, seq: u64) -> Result<Verdict, HarnessError> {
    if message.len() != size {
        return Err(HarnessError::Size { want: size, got: message.len() });
    }
    if let [byte] = *message {
        return match byte ^ seq as u8 {
            0 => Ok(Verdict::More),
            0xff => Ok(Verdict::Last),
            _ => Err(difference(seq, byte.into(), 0, 0)),
        };
    }
    // As in `write`.
    let (tag, found) = match message.len() {
        8 => read_words(&message[..8]),
        48 => read_words(&message[..48]),
        56 => read_words(&message[..56]),
        64 => read_words(&message[..64]),
        _ => read_words(message),
    };
    let words = (message.len() / WORD - 1) as u64;
    // base + (base + STEP) + ... + (base + (words - 1) STEP); words * (words - 1) is even before it could wrap.
    let steps = (words * words.wrapping_sub(1) / 2).wrapping_mul(STEP);
    let sum = if words == 0 { 0 } else { words.wrapping_mul(P::base(size, seq)).wrapping_add(steps) };
    if found == sum && tag == seq {
        Ok(Verdict::More)
    } else if found == sum && tag == !seq {
        Ok(Verdict::Last)
    } else {
        Err(difference(seq, tag, found, sum))
    }
}

/// [`check`] for timed loops: the fault goes to `fault`, and the message counts as the last one. So what a loop carries
/// from message to message is one byte; a whole `Result` would be moved about in memory, at the cost of a cache line's
/// journey where such a move must wait for the stores before it.
#[inline(always)]
pub fn verdict<P: Source>(
    message: &[u8],
    size: usize,
    seq: u64,
    fault: &mut Option<HarnessError>,
) -> Verdict {
    match check::<P>(message, size, seq) {
        Ok(verdict) => verdict,
        Err(error) => keep(fault, error),
    }
}

#[cold]
#[inline(never)]
fn keep(fault: &mut Option<HarnessError>, error: HarnessError) -> Verdict {
    fault.get_or_insert(error);
    Verdict::Last
}

#[inline(always)]
fn read(word: &[u8]) -> u64 {
    let mut bytes = [0; WORD];
    bytes.copy_from_slice(word);
    u64::from_le_bytes(bytes)
}

#[cold]
fn difference(seq: u64, tag: u64, found: u64, sum: u64) -> HarnessError {
    let what = if tag != seq && tag != !seq {
        format!("it says it is message {tag}")
    } else {
        format!("its words sum to {found:#x}, not {sum:#x}")
    };
    HarnessError::Mismatch { seq, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what is sent.
    struct Keeper(Vec<u8>);

    impl SendMessage for Keeper {
        fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
            self.0 = message.to_vec();
            Ok(())
        }

        fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
            self.0 = vec![0xee; size];
            fill(&mut self.0);
            Ok(())
        }
    }

    fn sent<P: Source>(size: usize, seqs: u64, last: bool) -> Vec<u8> {
        let mut keeper = Keeper(Vec::new());
        let mut source = P::new(size);
        for seq in 0..seqs {
            source.send(&mut keeper, seq, last && seq + 1 == seqs).unwrap();
        }
        keeper.0
    }

    fn every_message_passes<P: Source>() {
        for size in [1, 8, 16, 24, 56, 64, 1024, 4096, 65536] {
            for seqs in [1, 2, 3, 4, 8, 20, 300] {
                let message = sent::<P>(size, seqs, false);
                assert_eq!(check::<P>(&message, size, seqs - 1), Ok(Verdict::More), "{size} {seqs}");
                let message = sent::<P>(size, seqs, true);
                assert_eq!(check::<P>(&message, size, seqs - 1), Ok(Verdict::Last), "{size} {seqs}");
            }
        }
    }

    #[test]
    fn messages_of_both_sources_pass() {
        every_message_passes::<Registers>();
        every_message_passes::<Memory>();
    }

    #[test]
    fn any_changed_byte_is_caught() {
        for size in [8, 56, 1024] {
            let good = sent::<Registers>(size, 10, false);
            for at in 0..size {
                for change in [1, 0x80, 0xff] {
                    let mut bad = good.clone();
                    bad[at] ^= change;
                    let verdict = check::<Registers>(&bad, size, 9);
                    assert!(
                        matches!(verdict, Err(HarnessError::Mismatch { seq: 9, .. })),
                        "{size} {at} {change}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_byte_is_the_next_or_the_last_one_or_caught() {
        for seq in [0, 1, 9, 127, 128, 255, 300] {
            assert_eq!(check::<Registers>(&[seq as u8], 1, seq), Ok(Verdict::More));
            assert_eq!(check::<Registers>(&[!seq as u8], 1, seq), Ok(Verdict::Last));
            let caught = (0..=255u8).filter(|&byte| check::<Registers>(&[byte], 1, seq).is_err());
            assert_eq!(caught.count(), 254, "{seq}");
        }
    }

    #[test]
    fn stale_and_torn_messages_are_caught() {
        let old = sent::<Registers>(1024, 3, false);
        let new = sent::<Registers>(1024, 9, false);
        assert!(check::<Registers>(&old, 1024, 8).is_err());
        for at in (8..1024).step_by(8) {
            let mut torn = new.clone();
            torn[at..].copy_from_slice(&old[at..]);
            assert!(check::<Registers>(&torn, 1024, 8).is_err(), "torn at {at}");
        }
    }

    #[test]
    fn a_message_of_another_size_is_caught() {
        let message = sent::<Registers>(64, 1, false);
        assert_eq!(check::<Registers>(&message[..56], 64, 0), Err(HarnessError::Size { want: 64, got: 56 }));
    }

    #[test]
    fn a_fault_ends_the_phase_and_the_first_is_kept() {
        let message = sent::<Registers>(64, 5, false);
        let mut fault = None;
        assert_eq!(verdict::<Registers>(&message, 64, 4, &mut fault), Verdict::More);
        assert_eq!(fault, None);
        for seq in [7, 8] {
            assert_eq!(verdict::<Registers>(&message, 64, seq, &mut fault), Verdict::Last);
        }
        assert!(matches!(fault, Some(HarnessError::Mismatch { seq: 7, .. })));
    }

    #[test]
    fn odd_sizes_are_refused() {
        for size in [0, 4, 7, 9, 63, (16 << 20) + 8] {
            assert!(check_size(size).is_err(), "{size}");
        }
        for size in [1, 8, 56, 1024, 65536] {
            assert_eq!(check_size(size), Ok(()));
        }
        assert!(check_tagged_size(1).is_err());
    }
}
