//! What a message carries, so that its receiver can tell that it is whole: who sent it, its number, its length, and
//! bytes that follow from these. All of it is compared, byte for byte.

/// The shortest message, in bytes: sender, number, length.
pub const LEAST: usize = 24;

/// Who sent a message, and which of its messages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// The sender.
    pub sender: u32,
    /// Its messages are numbered from 0.
    pub seq: u64,
}

/// A message that differs from what any sender wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn;

/// SplitMix64: from any number to one that looks random.
#[must_use]
#[inline]
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Id {
    fn seed(self) -> u64 {
        mix(mix(u64::from(self.sender)) ^ self.seq)
    }

    /// The length, and in the upper bytes what follows from sender and number.
    fn seal(self, len: usize) -> u64 {
        self.seed() << 32 | len as u64
    }

    /// How long this message is: from [`LEAST`] to `longest`, differing from message to message.
    #[must_use]
    pub fn len(self, longest: usize) -> usize {
        LEAST + (self.seed() % (longest - LEAST + 1) as u64) as usize
    }

    /// The message, written to the start of `buffer`, whose length is the longest that a message may have.
    pub fn write(self, buffer: &mut [u8]) -> usize {
        let len = self.len(buffer.len());
        let message = &mut buffer[..len];
        message[..8].copy_from_slice(&u64::from(self.sender).to_ne_bytes());
        message[8..16].copy_from_slice(&self.seq.to_ne_bytes());
        message[16..24].copy_from_slice(&self.seal(len).to_ne_bytes());
        for (bytes, word) in message[LEAST..].chunks_mut(8).zip(self.pattern()) {
            bytes.copy_from_slice(&word.to_ne_bytes()[..bytes.len()]);
        }
        len
    }

    fn pattern(self) -> impl Iterator<Item = u64> {
        let seed = self.seed();
        (0..).map(move |i| mix(seed.wrapping_add(i)))
    }

    /// Whose message this is; every byte of it is looked at.
    ///
    /// # Errors
    /// [`Torn`] if it is not one that [`Id::write`] made for a buffer of `longest` bytes.
    pub fn read(message: &[u8], longest: usize) -> Result<Id, Torn> {
        let word = |at: usize| {
            let bytes = message.get(at..at + 8).ok_or(Torn)?;
            Ok(u64::from_ne_bytes(bytes.try_into().map_err(|_| Torn)?))
        };
        let id = Id { sender: u32::try_from(word(0)?).map_err(|_| Torn)?, seq: word(8)? };
        let whole = word(16)? == id.seal(message.len())
            && message.len() == id.len(longest)
            && message[LEAST..]
                .chunks(8)
                .zip(id.pattern())
                .all(|(bytes, word)| bytes == &word.to_ne_bytes()[..bytes.len()]);
        if whole { Ok(id) } else { Err(Torn) }
    }
}

/// A sum over the bytes of a message, for the logs.
#[must_use]
pub fn checksum(message: &[u8]) -> u64 {
    message.chunks(8).fold(message.len() as u64, |sum, bytes| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        mix(sum ^ u64::from_ne_bytes(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_seen() {
        for seq in 0..50 {
            let id = Id { sender: 3, seq };
            let mut buffer = [0; 56];
            let len = id.write(&mut buffer);
            assert_eq!(Id::read(&buffer[..len], 56), Ok(id));
            let sum = checksum(&buffer[..len]);
            for at in 0..len {
                let mut torn = buffer;
                torn[at] ^= 0x10;
                assert_eq!(Id::read(&torn[..len], 56), Err(Torn), "byte {at}");
                assert_ne!(checksum(&torn[..len]), sum);
            }
            assert_eq!(Id::read(&buffer[..len - 1], 56), Err(Torn));
        }
    }

    #[test]
    fn lengths_differ_and_reach_both_ends() {
        let lens: std::collections::BTreeSet<_> =
            (0..1000).map(|seq| Id { sender: 1, seq }.len(48)).collect();
        assert_eq!(lens, (LEAST..=48).collect());
    }
}
