//! A state in 36 bytes and back: a word for each process, two for the slots and the scalars, one for the senders' bounds. What does not fit is refused
//! and not cut off.

use crate::model::{BASE, Kind, PROCS, Pc, Proc, Slot, State, Word};
use crate::table::Config;

/// 36 bytes that say the same.
pub type Packed = [u32; 9];

impl Word {
    fn pack(self) -> u32 {
        u32::from(self.lap) | (self.kind as u32) << 4 | u32::from(self.owner) << 7
    }

    fn unpack(bits: u32) -> Self {
        Word {
            lap: (bits & 15) as u8,
            kind: Kind::ALL[(bits >> 4 & 7) as usize],
            owner: (bits >> 7 & 7) as u8,
        }
    }
}

impl Proc {
    fn pack(self, state: &State, sender: bool) -> u32 {
        let pc = self.pc as u32 & 31;
        let aux = if sender { state.ahead(self.after) } else { self.target };
        assert!(
            self.pos < 32 && self.k < 4 && self.n < 4 && self.kept < 4 && aux < 16 && self.bound < 32,
            "no room for {self:?}"
        );
        pc | u32::from(self.pos) << 5
            | u32::from(self.k) << 10
            | u32::from(self.n) << 12
            | u32::from(self.kept) << 14
            | self.word.pack() << 16
            | u32::from(aux) << 26
            | u32::from(self.tag) << 30
            | u32::from(self.excuse) << 31
    }

    fn unpack(bits: u32, head: u8, sender: bool) -> Self {
        let pc = (bits & 31) as usize;
        let own = if sender { &Pc::SENDER[..] } else { &Pc::OTHER[..] };
        let aux = (bits >> 26 & 15) as u8;
        Proc {
            pc: *Pc::COMMON.get(pc).unwrap_or_else(|| &own[pc - Pc::COMMON.len()]),
            pos: (bits >> 5 & 31) as u8,
            k: (bits >> 10 & 3) as u8,
            n: (bits >> 12 & 3) as u8,
            kept: (bits >> 14 & 3) as u8,
            word: Word::unpack(bits >> 16 & 1023),
            target: if sender { 0 } else { aux },
            tag: bits >> 30 & 1 == 1,
            excuse: bits >> 31 == 1,
            bound: 0,
            after: if sender { head + aux } else { 0 },
        }
    }
}

impl State {
    /// How far a position is ahead of the head; what is behind the head makes no difference.
    fn ahead(&self, pos: u8) -> u8 {
        pos.saturating_sub(self.head)
    }

    /// As 36 bytes. The state must be clamped.
    pub fn pack(&self, config: &Config) -> Packed {
        let mut out = [0; 9];
        for (p, role) in config.roles.iter().enumerate() {
            out[p] = self.proc[p].pack(self, role.is_sender());
            out[PROCS + 2] |= u32::from(self.proc[p].bound) << (5 * p);
        }
        let n = config.slots as u8;
        let (length, sent) = (self.tail - self.head, self.ahead(self.sent));
        assert!(self.head / n == BASE && length < 16 && self.credit < 4, "no room for {self:?}");
        let mut shared = 0u64;
        for slot in &self.slot[..config.slots] {
            assert!(slot.word.lap < 16, "no room for {slot:?}");
            let ghosts = u32::from(slot.whole) | u32::from(slot.owed) << 1 | u32::from(slot.seen) << 2;
            shared = shared << 13 | u64::from(slot.word.pack() << 3 | ghosts);
        }
        for (value, bits) in [(self.head % n, 2), (length, 4), (sent, 4), (self.kills, 2), (self.credit, 2)] {
            shared = shared << bits | u64::from(value);
        }
        out[PROCS] = (shared >> 32) as u32;
        out[PROCS + 1] = shared as u32;
        out
    }

    /// Back again.
    pub fn unpack(packed: &Packed, config: &Config) -> Self {
        let mut state = State::first(config);
        let mut shared = u64::from(packed[PROCS]) << 32 | u64::from(packed[PROCS + 1]);
        let mut take = |bits: u32| {
            let value = shared & ((1 << bits) - 1);
            shared >>= bits;
            value as u8
        };
        state.credit = take(2);
        state.kills = take(2);
        let (sent, length) = (take(4), take(4));
        state.head = BASE * config.slots as u8 + take(2);
        state.tail = state.head + length;
        state.sent = state.head + sent;
        for slot in state.slot[..config.slots].iter_mut().rev() {
            let ghosts = shared as u8;
            *slot = Slot {
                word: Word::unpack((shared >> 3 & 1023) as u32),
                whole: ghosts & 1 == 1,
                owed: ghosts >> 1 & 1 == 1,
                seen: ghosts >> 2 & 1 == 1,
            };
            shared >>= 13;
        }
        for (p, role) in config.roles.iter().enumerate() {
            state.proc[p] = Proc::unpack(packed[p], state.head, role.is_sender());
            state.proc[p].bound = (packed[PROCS + 2] >> (5 * p) & 31) as u8;
        }
        state
    }
}
