//! The state: the ring's words, what each process is about to do, and the ghosts by which promises are judged.
//!
//! A message has no number: it is known by its position, and the ghosts of its slot say what became of it. Positions are
//! `lap * slots + index`, moved so that the head is always on lap [`BASE`].

use crate::table::Config;

/// The most slots and the most processes of a configuration; two more take part in the check of what a state leads to.
pub const SLOTS: usize = 3;
/// See [`SLOTS`].
pub const PROCS: usize = 6;
/// The receiver that cleans up and drains when the capacity is checked.
pub const HEIR: usize = PROCS;
/// The sender that fills the ring when the capacity is checked.
pub const FILLER: usize = PROCS + 1;
/// Where the head's lap is moved: two older laps can be told apart from it and from each other, see [`State::clamp`].
pub const BASE: u8 = 3;

/// What a slot's word says; the names are those of the design.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    #[default]
    Free,
    Writing,
    Full,
    Reading,
    Peeked,
    Pinned,
    RPinned,
}
use Kind::*;

impl Kind {
    pub(crate) const ALL: [Kind; 7] = [Free, Writing, Full, Reading, Peeked, Pinned, RPinned];

    /// Somebody may still read, or write for a void position.
    pub fn is_held(self) -> bool {
        matches!(self, Reading | Peeked | Pinned | RPinned)
    }

    /// Somebody owns it.
    pub fn is_owned(self) -> bool {
        !matches!(self, Free | Full)
    }
}

/// A slot's state word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Word {
    /// Relative, see [`BASE`].
    pub lap: u8,
    /// What it says.
    pub kind: Kind,
    /// A process, 0 where nobody owns it.
    pub owner: u8,
}

impl Word {
    /// The word of that lap.
    pub fn new(lap: u8, kind: Kind, owner: usize) -> Self {
        Word { lap, kind, owner: if kind.is_owned() { owner as u8 } else { 0 } }
    }

    /// Owned by that process.
    pub fn is_of(self, p: usize) -> bool {
        self.kind.is_owned() && usize::from(self.owner) == p
    }
}

/// A slot: its word, and ghosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// The state word.
    pub word: Word,
    /// Ghost: the bytes are one whole message, of the last claim.
    pub whole: bool,
    /// Ghost: committed, and neither taken at most once nor acknowledged.
    pub owed: bool,
    /// Ghost: somebody has read it.
    pub seen: bool,
}

/// What a process does next. The comments name the access.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum Pc {
    /// Between two verbs.
    #[default]
    Idle = 0,
    /// Killed, and something is left of it.
    Dead = 1,
    /// Not there: never was, or swept.
    Gone = 2,
    /// give_back: load the word.
    GiveLoad = 3,
    /// give_back: CAS it to FREE.
    GiveCas = 4,
    /// Sender: load the tail.
    LoadTail = 5,
    /// Seeded bug: load the head, and compare.
    Count = 6,
    /// Load the word at the tail.
    AtTail = 7,
    /// CAS FREE -> WRITING.
    Claim = 8,
    /// CAS the tail, after a claim.
    MoveTail = 9,
    /// CAS the next slot of the batch FREE -> WRITING.
    ClaimNext = 10,
    /// Load the tail, after the claims of a batch.
    SeeTail = 11,
    /// CAS the tail behind the batch.
    RaiseTail = 12,
    /// Write the bytes.
    Write = 13,
    /// CAS WRITING -> FULL.
    Commit = 14,
    /// CAS WRITING -> FREE, after an earlier one of the batch was voided.
    Abort = 15,
    /// CAS the tail over a position that somebody else took.
    HelpTail = 16,
    /// Load a word behind a held one.
    LookAhead = 17,
    /// CAS the held word to a pin.
    PinHeld = 18,
    /// Receiver: load the head.
    LoadHead = 32 + 5,
    /// Load the word at the head.
    AtHead = 32 + 6,
    /// CAS FULL -> READING or PEEKED.
    Take = 32 + 7,
    /// CAS the next slot of the batch FULL -> READING.
    TakeNext = 32 + 8,
    /// CAS the head, after taking.
    MoveHead = 32 + 9,
    /// Read the bytes.
    Read = 32 + 10,
    /// CAS READING -> FREE.
    Release = 32 + 11,
    /// Acknowledge: CAS PEEKED -> FREE.
    Ack = 32 + 12,
    /// CAS the tail over a void or taken position.
    PassTail = 32 + 13,
    /// CAS the head over it.
    PassHead = 32 + 14,
    /// Load a word behind a WRITING head.
    Scan = 32 + 15,
    /// Load the word at the head again.
    Reload = 32 + 16,
    /// CAS WRITING -> PINNED.
    PinWriting = 32 + 17,
    /// Sweep: load a word.
    Sweep = 32 + 18,
    /// CAS the word of the dead to FREE.
    SweepCas = 32 + 19,
    /// CAS the owner of a peeked message.
    Adopt = 32 + 20,
    /// Mark the dead as swept, and let the share in its lease go.
    SweepEnd = 32 + 21,
}

impl Pc {
    pub(crate) const COMMON: [Pc; 5] = [Pc::Idle, Pc::Dead, Pc::Gone, Pc::GiveLoad, Pc::GiveCas];
    pub(crate) const SENDER: [Pc; 14] = [
        Pc::LoadTail,
        Pc::Count,
        Pc::AtTail,
        Pc::Claim,
        Pc::MoveTail,
        Pc::ClaimNext,
        Pc::SeeTail,
        Pc::RaiseTail,
        Pc::Write,
        Pc::Commit,
        Pc::Abort,
        Pc::HelpTail,
        Pc::LookAhead,
        Pc::PinHeld,
    ];
    pub(crate) const OTHER: [Pc; 17] = [
        Pc::LoadHead,
        Pc::AtHead,
        Pc::Take,
        Pc::TakeNext,
        Pc::MoveHead,
        Pc::Read,
        Pc::Release,
        Pc::Ack,
        Pc::PassTail,
        Pc::PassHead,
        Pc::Scan,
        Pc::Reload,
        Pc::PinWriting,
        Pc::Sweep,
        Pc::SweepCas,
        Pc::Adopt,
        Pc::SweepEnd,
    ];

    /// Each of them.
    pub fn all() -> impl Iterator<Item = Pc> {
        [&Pc::COMMON[..], &Pc::SENDER[..], &Pc::OTHER[..]].concat().into_iter()
    }

    /// It has a share in the lease of the dead.
    pub fn is_sweeping(self) -> bool {
        matches!(self, Pc::Sweep | Pc::SweepCas | Pc::Adopt | Pc::SweepEnd)
    }

    /// It runs.
    pub fn is_alive(self) -> bool {
        !matches!(self, Pc::Dead | Pc::Gone)
    }
}

/// A process: what it does next, and what its verb remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Proc {
    /// What it does next.
    pub pc: Pc,
    /// The position it works on.
    pub pos: u8,
    /// How far behind `pos`; the slot, where it sweeps.
    pub k: u8,
    /// How many slots it has taken.
    pub n: u8,
    /// Slot + 1 of a voided grant whose bytes are still needed.
    pub kept: u8,
    /// The word it has loaded.
    pub word: Word,
    /// The dead one it sweeps.
    pub target: u8,
    /// Delivers again; gives the kept slot back; has left something of the dead one where it was.
    pub tag: bool,
    /// Where a sender first met a word of the lap before, since it last committed; 0 where it has not.
    pub bound: u8,
    /// Ghost: since the verb began there was a moment at which its negative answer was right.
    pub excuse: bool,
    /// Ghost: all messages of sends that had returned when this one began are before this position.
    pub after: u8,
}

/// A promise that was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A committed message is gone.
    Lost,
    /// A message was read that is not whole.
    Torn,
    /// A message came twice, and was not flagged; or was flagged more often than there were kills.
    Duplicate,
    /// Messages come in another order than they were sent.
    Reordered,
    /// Full, and at no moment of the verb was the ring full.
    WrongFull,
    /// Empty, and at no moment of the verb was the ring empty.
    WrongEmpty,
    /// Corrupt, and nobody had written a wrong word.
    Corrupt,
    /// The head is beyond the tail.
    HeadBeyondTail,
    /// The tail is beyond a position that nobody took.
    TailBeyondClaims,
    /// A process touches a slot that is not its own.
    Foreign,
    /// After the dead are swept and the ring is drained it does not hold its number of messages.
    Capacity,
    /// A process that runs alone does not come to the end of its verb.
    Blocked,
    /// Processes run for ever and no verb ends.
    Livelock,
}

/// How a transition ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// In the middle of a verb.
    Run,
    /// The verb has an answer.
    Done(&'static str),
    /// A bounded number of these is taken: it looks once more, or waits.
    Again,
    /// A promise is broken.
    Bad(Fault),
}

/// Everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// Next to read.
    pub head: u8,
    /// Next to write.
    pub tail: u8,
    /// The slots.
    pub slot: [Slot; SLOTS],
    /// The processes.
    pub proc: [Proc; PROCS + 2],
    /// Kills that may still come.
    pub kills: u8,
    /// Ghost: messages that were in the hands of the killed and may be delivered again.
    pub credit: u8,
    /// Ghost: all messages whose send has returned are before this position.
    pub sent: u8,
}

impl State {
    /// An empty ring, everybody idle.
    pub fn first(config: &Config) -> Self {
        let n = config.slots as u8;
        let head = BASE * n;
        let free = Slot { word: Word::new(BASE, Free, 0), ..Slot::default() };
        let mut proc = [Proc { pc: Pc::Gone, ..Proc::default() }; PROCS + 2];
        proc[..config.roles.len()].fill(Proc::default());
        State { head, tail: head, slot: [free; SLOTS], proc, kills: config.kills, credit: 0, sent: head }
    }

    /// Moves the head to lap [`BASE`] and everything with it. What a stopped process remembers from longer ago than two
    /// laps is kept at two laps: every comparison and CAS on it fails either way, since no word and no index is so old.
    pub fn clamp(&mut self, config: &Config) {
        let n = config.slots as u8;
        let by = self.head / n - BASE;
        let oldest = |lap: u8| lap.saturating_sub(by).max(BASE - 2);
        self.head -= by * n;
        self.tail -= by * n;
        self.sent = self.sent.saturating_sub(by * n).max(self.head);
        for slot in &mut self.slot[..config.slots] {
            slot.word.lap -= by;
        }
        for (proc, role) in self.proc.iter_mut().zip(config.roles) {
            if proc.pos > 0 {
                proc.pos = oldest(proc.pos / n) * n + proc.pos % n;
            }
            if proc.bound > 0 {
                // What is being written is not older.
                proc.bound = proc.bound.saturating_sub(by * n).max(self.tail - n);
            }
            if proc.word.lap > 0 {
                proc.word.lap = oldest(proc.word.lap);
            }
            proc.after = if role.is_sender() { proc.after.saturating_sub(by * n).max(self.head) } else { 0 };
        }
    }

    /// The position that a slot's word speaks of.
    pub fn position(&self, config: &Config, slot: usize) -> u8 {
        self.slot[slot].word.lap * config.slots as u8 + slot as u8
    }

    /// The slot of a position.
    pub fn at(&self, config: &Config, pos: u8) -> Slot {
        self.slot[usize::from(pos) % config.slots]
    }

    /// CAS of a slot's word.
    pub fn cas(&mut self, slot: usize, old: Word, new: Word) -> bool {
        let same = self.slot[slot].word == old;
        if same {
            self.slot[slot].word = new;
        }
        same
    }

    /// CAS of the tail.
    pub fn cas_tail(&mut self, old: u8, new: u8) {
        if self.tail == old {
            self.tail = new;
        }
    }

    /// CAS of the head.
    pub fn cas_head(&mut self, old: u8, new: u8) {
        if self.head == old {
            self.head = new;
        }
    }

    /// Ghost: Full is right, for no slot waits for a message. Each carries one, or is somebody's, or was given back for a
    /// position that is not passed yet because an older message, or one being written, is before it.
    pub fn is_full(&self, config: &Config) -> bool {
        self.is_full_behind(config, |kind| matches!(kind, Full | Writing))
    }

    fn is_full_behind(&self, config: &Config, counts: fn(Kind) -> bool) -> bool {
        let all = 0..config.slots;
        let oldest = all.clone().filter(|&i| counts(self.slot[i].word.kind));
        let oldest = oldest.map(|i| self.position(config, i)).min().unwrap_or(u8::MAX);
        let waits = |i: usize| {
            let void = self.position(config, i) - config.slots as u8;
            self.slot[i].word.kind == Free && void < oldest
        };
        !all.into_iter().any(waits)
    }

    /// Ghost: Full is right though all others are stopped: no slot waits that a sender could have now. Only a message may
    /// be before it, no writer.
    pub fn is_full_of_messages(&self, config: &Config) -> bool {
        self.is_full_behind(config, |kind| kind == Full)
    }

    /// Ghost: Empty is right, for no committed message waits.
    pub fn is_empty(&self, config: &Config) -> bool {
        self.slot[..config.slots].iter().all(|slot| slot.word.kind != Full)
    }

    /// The process owns a slot.
    pub fn owns(&self, config: &Config, p: usize) -> bool {
        self.slot[..config.slots].iter().any(|slot| slot.word.is_of(p))
    }

    /// Somebody alive has a share in that process's lease.
    pub fn is_shared(&self, p: usize) -> bool {
        self.proc.iter().any(|proc| proc.pc.is_sweeping() && usize::from(proc.target) == p)
    }
}
