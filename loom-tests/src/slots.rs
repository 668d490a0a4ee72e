//! Small MPMC rings to model with: slots for messages of up to 8 bytes. Two slots are enough for every model to meet the
//! full ring, the next lap and the look behind a slot that is held.

use crate::channel::members::{Members, NoPlace};
use crate::channel::mpmc::{Receiver, Sender};
use crate::error::RecvError;
use crate::layout::SlotKind::{self, Reading};
use crate::layout::{ATTACHED, Census, Line, MpmcHeader, PartyWord, SLOT_HEADER_LEN, SlotWord, Wakeup};
use crate::rig::{Leases, event_line, party};
use crate::ring::mpmc::{Claim, Side, Taken};
use crate::ring::sweep::{observed, prepare, sweep};
use crate::sync::{AtomicU32, AtomicU64, Memory, Shared, kill};
use crate::view::{SlotGeometry, SlotView};

/// The longest message.
pub const LONGEST: usize = 8;

/// The process id of all participants: many live in one process.
pub const PID: u32 = 71;

/// One ring, its table of participants and the kernel's picture of who holds their leases.
#[derive(Clone)]
pub struct SlotRig {
    view: SlotView,
    leases: Leases,
    trusted: bool,
}

impl SlotRig {
    /// An empty ring with so many slots, and places for four participants.
    #[must_use]
    pub fn new(slots: u64) -> Self {
        SlotRig::with(slots, 4, Wakeup::Futex)
    }

    /// An empty ring with so many places.
    #[must_use]
    pub fn with(slots: u64, participants: u32, wakeup: Wakeup) -> Self {
        let slot_len = (SLOT_HEADER_LEN + LONGEST) as u64;
        let geometry = SlotGeometry { slots, slot_len, participants, wakeup, asymmetric: false };
        let header = MpmcHeader {
            tail: Line(AtomicU64::new(0)),
            head: Line(AtomicU64::new(0)),
            items: event_line(),
            space: event_line(),
            census: Census { seen: AtomicU32::new(0), changes: AtomicU32::new(0) },
        };
        let parties = Shared::of_all((0..participants).map(|_| party()).collect());
        let memory = Memory::zeroed((slots * slot_len) as usize);
        let view = SlotView::new(Shared::of(header), parties, memory, geometry);
        prepare(&view);
        SlotRig { view, leases: Leases::all_free(participants as usize), trusted: true }
    }

    /// Lets participants distrust each other: they copy in and out.
    #[must_use]
    pub fn distrusting(mut self) -> Self {
        self.trusted = false;
        self
    }

    /// The ring as one participant sees it.
    #[must_use]
    pub fn view(&self) -> SlotView {
        self.view.clone()
    }

    /// Participant `me`'s half of the algorithm, without leases and wake-ups.
    #[must_use]
    pub fn side(&self, me: u32) -> Side {
        Side::new(self.view(), me)
    }

    /// Attaches a sender in the first free place.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.try_sender().expect("a free place")
    }

    /// Attaches a receiver in the first free place.
    #[must_use]
    pub fn receiver(&self) -> Receiver {
        self.try_receiver().expect("a free place")
    }

    /// As [`SlotRig::sender`], if there is a free place.
    ///
    /// # Errors
    /// There is none.
    pub fn try_sender(&self) -> Result<Sender, NoPlace> {
        self.try_sender_as(PID)
    }

    /// As [`SlotRig::receiver`], if there is a free place.
    ///
    /// # Errors
    /// There is none.
    pub fn try_receiver(&self) -> Result<Receiver, NoPlace> {
        self.try_receiver_as(PID)
    }

    /// As [`SlotRig::try_sender`], of a process of its own.
    ///
    /// # Errors
    /// There is none.
    pub fn try_sender_as(&self, pid: u32) -> Result<Sender, NoPlace> {
        Sender::attach(self.view(), self.leases.seat(pid, self.trusted))
    }

    /// As [`SlotRig::try_receiver`], of a process of its own.
    ///
    /// # Errors
    /// There is none.
    pub fn try_receiver_as(&self, pid: u32) -> Result<Receiver, NoPlace> {
        Receiver::attach(self.view(), self.leases.seat(pid, self.trusted))
    }

    /// The place of the process, which is attached.
    #[must_use]
    pub fn place_of(&self, pid: u32) -> usize {
        let has_it =
            |place: &usize| self.party(*place).state() == ATTACHED && self.party(*place).pid() == pid;
        (0..self.view.parties.len()).find(has_it).expect("it is attached")
    }

    /// A place in the table, without a handle's wake-ups.
    ///
    /// # Errors
    /// There is no free place.
    pub fn member(&self, role: u32) -> Result<Members, NoPlace> {
        Members::attach(self.view(), self.leases.seat(PID, self.trusted), role)
    }

    /// The participant in this place is killed; thereupon the kernel frees its lease.
    pub fn kill(&self, handle: impl Sized, place: usize) {
        kill(handle);
        self.leases.end(place);
    }

    /// The state word of the participant in this place.
    #[must_use]
    pub fn party(&self, place: usize) -> PartyWord {
        self.view.parties[place].state()
    }

    /// The state words of all slots: kind, lap and owner.
    #[must_use]
    pub fn words(&self) -> Vec<SlotWord> {
        observed(&self.view).collect()
    }

    /// How many of the slots participant `owner` has in its hands. Once nobody runs any more.
    #[must_use]
    pub fn owned_by(&self, owner: u32) -> usize {
        let owned = |word: &&SlotWord| word.kind().is_some_and(SlotKind::is_owned) && word.owner() == owner;
        self.words().iter().filter(owned).count()
    }

    /// Sweeps participant `owner`, who is dead and whose lease the caller is assumed to hold.
    pub fn sweep(&self, owner: u32) -> (usize, usize) {
        let swept = sweep(&self.view, owner);
        (swept.freed, swept.kept)
    }

    /// Drains the ring, and then fills and drains it once more: all slots are there, and nothing stands in the way. What
    /// was in it at first. Once nobody runs any more.
    pub fn drain(&self, me: u32) -> Vec<u8> {
        let mut side = self.side(me);
        let found: Vec<u8> = std::iter::from_fn(|| get(&mut side)).collect();
        let slots = self.view.slots() as u8;
        let fill: Vec<u8> = (101..101 + slots).collect();
        for &message in &fill {
            assert!(put(&mut side, message), "room for every slot's message");
        }
        assert!(!put(&mut side, 100), "and for no more");
        let back: Vec<u8> = std::iter::from_fn(|| get(&mut side)).collect();
        assert_eq!(back, fill, "a queue again");
        found
    }
}

/// A message in all of its bytes, so that a torn one is told.
#[must_use]
pub fn message(value: u8) -> [u8; LONGEST] {
    [value; LONGEST]
}

/// The value of a message, which must be whole.
#[must_use]
pub fn value(message: &[u8]) -> u8 {
    assert!(message.windows(2).all(|pair| pair[0] == pair[1]), "a torn message: {message:?}");
    *message.first().expect("no model sends an empty message")
}

/// Fills and commits a claimed slot as `try_send` does; whether it was not passed over.
#[must_use]
pub fn fill(side: &mut Side, claim: &Claim, value: u8) -> bool {
    side.write(claim, &message(value));
    let committed = side.commit(claim, LONGEST);
    if !committed {
        side.give_back(claim);
    }
    committed
}

/// Sends one message as `try_send` does, without wake-up; whether there was room.
pub fn put(side: &mut Side, value: u8) -> bool {
    while let Ok(claim) = side.claim() {
        if fill(side, &claim, value) {
            return true;
        }
    }
    false
}

/// Reads a message that was taken, and gives its slot back.
pub fn finish(side: &Side, taken: &Taken) -> u8 {
    let mut bytes = [0; LONGEST];
    side.read(taken, &mut bytes);
    side.release(taken);
    value(&bytes[..taken.len])
}

/// Receives one message as `try_recv` does, without wake-up.
pub fn get(side: &mut Side) -> Option<u8> {
    match side.take(Reading, LONGEST) {
        Ok(taken) => Some(finish(side, &taken)),
        Err(RecvError::Empty) => None,
        Err(other) => panic!("{other}"),
    }
}

/// What `try_recv` gives: the message or the reason.
pub fn try_recv(receiver: &mut Receiver) -> Result<u8, RecvError> {
    let mut buffer = [0; LONGEST];
    receiver.try_recv(&mut buffer).map(|len| value(&buffer[..len]))
}

/// What `recv` gives: the message or the reason.
pub fn recv(receiver: &mut Receiver) -> Result<u8, RecvError> {
    let mut buffer = [0; LONGEST];
    receiver.recv(&mut buffer).map(|len| value(&buffer[..len]))
}
