//! As [`crate::victim`], of an MPMC ring: some senders and receivers whose shared memory somebody scribbles on, and the
//! scribbler who knows its layout.

use crate::victim::{Tally, lent_from, mappings};
use slipring::mpmc::{Receiver, Sender};
use slipring::{Error, Options, Ring, Trust, Wakeup};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Slots of the ring under attack, and places for participants.
pub const SLOTS: u64 = 8;
const PLACES: u64 = 6;
/// The longest message: slots are one line.
const LONGEST: usize = 48;
/// Where things stand (docs/layout.md).
const CONTROL: u64 = 1024;
const TABLE: u64 = 2048;
const SLOTS_AT: u64 = 4096;
const SLOT_LEN: u64 = 64;

/// The ways to make a ring that may be attacked: semaphores are only for peers that are trusted.
pub fn attackable() -> impl Iterator<Item = (Trust, Options)> {
    let each = |trust, wakeup| {
        let options = Options::mpmc(SLOTS as usize, LONGEST).participants(PLACES as u32);
        (trust, options.wakeup(wakeup).trust(trust))
    };
    [Trust::Kernel, Trust::Distrust].into_iter().flat_map(move |trust| {
        [Wakeup::Futex, Wakeup::None].into_iter().map(move |wakeup| each(trust, wakeup))
    })
}

/// Senders and receivers of one process, as many as they want to be and find a place.
pub struct Crowd {
    ring: Ring,
    /// The segment, for the attacker.
    pub file: File,
    mapped: Vec<Range<usize>>,
    trusting: bool,
    /// How many of each there are to be.
    wanted: (usize, usize),
    /// Whether others receive what a refused commit waits to send again.
    others: bool,
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    /// What was answered so far.
    pub tally: Tally,
}

impl Crowd {
    /// Both ends of a new ring, one of the [`attackable`].
    #[must_use]
    pub fn new((trust, options): &(Trust, Options)) -> Self {
        Crowd::of(Ring::anonymous(options).unwrap(), *trust, (2, 2), false)
    }

    /// So many senders and receivers of this ring; `others` in other processes receive.
    #[must_use]
    pub fn of(ring: Ring, trust: Trust, wanted: (usize, usize), others: bool) -> Self {
        let file = File::from(ring.fd().unwrap().try_clone_to_owned().unwrap());
        let mapped = mappings(&file);
        assert!(!mapped.is_empty(), "the ring is mapped");
        let trusting = trust == Trust::Kernel;
        let (senders, receivers) = (Vec::new(), Vec::new());
        Crowd { ring, file, mapped, trusting, wanted, others, senders, receivers, tally: Tally::default() }
    }

    /// Any verb with any argument of any handle.
    pub fn any_verb(&mut self, choose: &mut impl FnMut(u64) -> u64) {
        // The scribbler may make places look taken.
        let no_place = |error: &Error| matches!(error, Error::TooManyParticipants { .. });
        if self.senders.len() < self.wanted.0 {
            self.senders.extend(self.tally.attached(self.ring.sender(), no_place));
        }
        if self.receivers.len() < self.wanted.1 {
            self.receivers.extend(self.tally.attached(self.ring.receiver(), no_place));
        }
        let handle = choose((self.wanted.0 + self.wanted.1) as u64) as usize;
        match handle.checked_sub(self.wanted.0) {
            None if handle < self.senders.len() => self.send(handle, choose),
            Some(handle) if handle < self.receivers.len() => self.receive(handle, choose),
            _ => {}
        }
        if choose(50) == 0 {
            let info = self.ring.info();
            assert!(info.used_bytes <= info.capacity, "{info:?}");
        }
        // Whoever follows a hint into nowhere is of no more use.
        if choose(200) == 0 {
            self.senders.clear();
            self.receivers.clear();
        }
    }

    fn send(&mut self, handle: usize, choose: &mut impl FnMut(u64) -> u64) {
        let Crowd { senders, tally, others, .. } = self;
        let sender = &mut senders[handle];
        let len = [0, 1, 8, LONGEST, LONGEST + 1][choose(5) as usize];
        let message = vec![7; len];
        let soon = Duration::from_micros(choose(50));
        match choose(11) {
            0..=2 => drop(tally.sent(sender.try_send(&message))),
            3 => drop(tally.sent(sender.send_timeout(&message, soon))),
            4 | 5 => {
                if let Some(mut grant) = tally.sent(sender.try_reserve(len)) {
                    grant.fill(1);
                    // To wait for room, somebody has to make some.
                    let sent = match choose(3) {
                        0 if *others => grant.commit(len / 2),
                        1 => grant.commit_timeout(len / 2, soon).map_err(|(_, error)| error),
                        _ => grant.try_commit(len / 2).map_err(|(_, error)| error),
                    };
                    tally.sent(sent);
                }
            }
            6 => drop(tally.sent(sender.try_send_batch(&vec![message; 1 + choose(10) as usize]))),
            7 => drop(tally.sent(sender.force_send(&message).map_err(|(_, error)| error))),
            8 => drop(tally.sent(sender.reserve_timeout(len, soon))),
            9 => assert!(sender.approx_len() as u64 <= SLOTS && sender.receivers() as u64 <= PLACES),
            _ => drop(senders.swap_remove(handle)),
        }
    }

    fn receive(&mut self, handle: usize, choose: &mut impl FnMut(u64) -> u64) {
        let Crowd { receivers, tally, mapped, trusting, .. } = self;
        let receiver = &mut receivers[handle];
        let soon = Duration::from_micros(choose(50));
        let mut buffer = [0; LONGEST];
        let look = |message: &[u8]| {
            let mut copy = [0; LONGEST];
            assert!(message.len() <= LONGEST, "longer than any message: {}", message.len());
            assert!(
                message.is_empty() || lent_from(mapped, SLOTS_AT, message) == *trusting,
                "lent from elsewhere"
            );
            // Reads every byte.
            copy[..message.len()].copy_from_slice(message);
        };
        match choose(12) {
            0..=2 => drop(tally.received(receiver.try_recv(&mut buffer))),
            3 => drop(tally.received(receiver.recv_timeout(&mut buffer[..8], soon))),
            4 | 5 => {
                if let Some(frame) = tally.received(receiver.try_frame()) {
                    look(&frame);
                }
            }
            6 => {
                if let Some(delivery) = tally.received(receiver.try_peek()) {
                    look(&delivery);
                    if choose(2) == 0 {
                        delivery.ack();
                    }
                }
            }
            7 => {
                if let Some(delivery) = tally.received(receiver.peek_timeout(soon)) {
                    look(&delivery);
                    delivery.ack();
                }
            }
            8 => drop(tally.received(receiver.try_recv_batch(choose(20) as usize, look))),
            9 => drop(tally.received(receiver.frame_timeout(soon))),
            10 => assert!(receiver.approx_len() as u64 <= SLOTS && receiver.senders() as u64 <= PLACES),
            _ => drop(receivers.swap_remove(handle)),
        }
    }
}

/// A slot's state that is nearly right, or noise.
fn any_state(choose: &mut impl FnMut(u64) -> u64) -> u64 {
    match choose(4) {
        0 => choose(1 << 32) << 32 | choose(1 << 32),
        _ => choose(64) << 16 | choose(9) << 12 | choose(PLACES + 1),
    }
}

fn small_or_not(choose: &mut impl FnMut(u64) -> u64, small: u64) -> u64 {
    let below = [small, 1 << 40][choose(2) as usize];
    choose(below)
}

/// Garbage somewhere in the segment.
pub fn attack(file: &File, choose: &mut impl FnMut(u64) -> u64) {
    let put = |at: u64, bytes: &[u8]| file.write_all_at(bytes, at).unwrap();
    let slot = SLOTS_AT + SLOT_LEN * choose(SLOTS);
    let place = TABLE + 128 * choose(PLACES);
    match choose(10) {
        0..=2 => put(slot, &any_state(choose).to_ne_bytes()),
        3 => put(slot + 8, &small_or_not(choose, LONGEST as u64 + 2).to_ne_bytes()),
        // Both ends.
        4 => put(CONTROL + 128 * choose(2), &small_or_not(choose, 200).to_ne_bytes()),
        // The events and the census.
        5 => put(1280 + 4 * choose(72), &choose(1 << 32).to_ne_bytes()[..4]),
        6 => put(place, &(choose(1 << 32) << 3 | choose(8)).to_ne_bytes()),
        7 => put(place + 16, &choose(5).to_ne_bytes()[..4]),
        // A bit anywhere.
        8 => {
            let at = choose(SLOTS_AT + SLOT_LEN * SLOTS);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            put(at, &[byte[0] ^ 1 << choose(8)]);
        }
        // As in a new ring.
        _ => {
            put(CONTROL, &[0; 640]);
            (0..2).for_each(|end| put(CONTROL + 128 * end, &SLOTS.to_ne_bytes()));
            (0..SLOTS)
                .for_each(|slot| put(SLOTS_AT + SLOT_LEN * slot, &(1_u64 << 16 | 1 << 12).to_ne_bytes()));
        }
    }
}
