//! What is explored: the configurations, and the seeded bugs with those that must find them.

use crate::model::{FILLER, HEIR};

/// What a process does, again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Sends one by one.
    Send,
    /// Sends so many at once.
    Batch(u8),
    /// Sends in place: a voided grant keeps its bytes until another slot has them.
    Grant,
    /// Receives one by one, at most once.
    Recv,
    /// Receives so many at once, at most once.
    TakeBatch(u8),
    /// Receives with an acknowledgement, and adopts what the dead have not acknowledged.
    Peek,
    /// Sweeps the dead.
    Sweep,
}
use Role::*;

impl Role {
    /// It is on the side of the tail.
    pub fn is_sender(self) -> bool {
        matches!(self, Send | Batch(_) | Grant)
    }
}

/// A rule broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// `tail - head == N` is taken for full.
    FullByCount,
    /// A held slot at the tail is taken for full, whatever is free behind it.
    FullWithoutLookAhead,
    /// A held slot at the tail is pinned, whether anything is free behind it or not.
    PinHeldBlindly,
    /// A position that another sender took is waited for and not passed.
    NoHelp,
    /// WRITING at the head is taken for empty.
    EmptyWithoutScan,
    /// A taken slot behind a WRITING head is passed without another look at the head.
    EmptyWithoutReload,
    /// WRITING at the head is pinned, whether anything is committed behind it or not.
    PinWithoutFull,
    /// The head is helped before the tail.
    HeadBeforeTail,
    /// A dead reader's message is put back.
    ReadingBackToFull,
    /// A pinned message that is not acknowledged looks like any pinned slot.
    OnePinnedKind,
    /// The dead are swept by whoever notices.
    SweepWithoutLease,
    /// The commit is a store.
    CommitByStore,
    /// The release is a store.
    ReleaseByStore,
    /// give_back does not repeat its CAS.
    GiveBackOnce,
    /// The later ones of a batch are committed after an earlier one was voided.
    BatchWithoutAbort,
    /// A batch moves the tail by one CAS, whatever comes of it.
    BatchMovesTailOnce,
}

/// Who takes part, and what may happen.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How it is called in the printed table.
    pub name: &'static str,
    /// Slots of the ring.
    pub slots: usize,
    /// The processes. Neighbours of the same role are interchangeable.
    pub roles: &'static [Role],
    /// Kills, at most.
    pub kills: u8,
    /// The sweepers may be killed as well.
    pub sweepers_die: bool,
    /// The number of a swept process is given to a new one, of the same role.
    pub reborn: bool,
    /// Steps that nobody can see are not visited, see [`crate::model::settle`].
    pub settle: bool,
    /// Some verb ends in every endless run: looked for where the second pass is affordable.
    pub lock_free: bool,
    /// The rule that is broken.
    pub bug: Option<Bug>,
}

impl Config {
    /// The role of a process; the last two only clean up and fill.
    pub fn role(&self, p: usize) -> Role {
        match p {
            HEIR => Peek,
            FILLER => Send,
            _ => self.roles[p],
        }
    }

    /// That rule is broken.
    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// It may be killed.
    pub fn is_mortal(&self, p: usize) -> bool {
        self.sweepers_die || self.role(p) != Sweep
    }

    const fn new(name: &'static str, slots: usize, roles: &'static [Role], kills: u8) -> Self {
        Config {
            name,
            slots,
            roles,
            kills,
            sweepers_die: true,
            reborn: false,
            settle: true,
            lock_free: true,
            bug: None,
        }
    }

    const fn unsettled(self) -> Self {
        Config { settle: false, ..self }
    }

    const fn reborn(self) -> Self {
        Config { reborn: true, ..self }
    }

    const fn with(self, bug: Bug) -> Self {
        Config { bug: Some(bug), ..self }
    }
}

/// t
pub const SHORT: &[Config] = &[
    Config::new("du", 2, &[Send, Send, Recv, Recv], 0).unsettled(),
    Config::new("d1", 2, &[Send, Send, Recv, Recv, Sweep], 1),
    Config::new("d2", 2, &[Send, Send, Recv, Recv, Sweep], 2),
    Config::new("rp", 2, &[Send, Recv, Peek], 2),
    Config::new("rpr", 2, &[Send, Recv, Peek], 2).reborn(),
    Config::new("rp2", 2, &[Send, Send, Recv, Peek], 1),
    Config::new("pp2", 2, &[Send, Send, Peek, Peek], 1),
    Config::new("d3", 3, &[Send, Send, Recv, Recv], 0),
    Config::new("d31", 3, &[Send, Send, Recv, Recv, Sweep], 1),
    Config::new("b3", 3, &[Batch(2), Batch(2), Recv], 0),
    Config::new("b3s", 3, &[Batch(2), Send, Recv, Sweep], 1),
    Config::new("b3t", 3, &[Batch(3), Send, TakeBatch(2), Sweep], 1),
    Config::new("b3u", 3, &[Batch(2), Send, TakeBatch(2)], 0).unsettled(),
    Config::new("g", 2, &[Grant, Send, Recv, Sweep], 1),
    Config::new("g3", 3, &[Grant, Grant, Recv], 0),
    Config::new("g3r", 3, &[Grant, Send, Recv, Recv], 0),
    Config::new("g3s", 3, &[Grant, Send, Recv, Peek], 1),
    Config::new("b3p", 3, &[Batch(2), Send, TakeBatch(2), Peek], 1),
    Config::new("B1", 2, &[Send, Recv], 0).with(Bug::FullByCount),
    Config::new("B1", 2, &[Send, Recv, Recv], 0).with(Bug::FullByCount),
    Config::new("B1", 2, &[Send, Send, Recv, Recv], 0).with(Bug::FullByCount),
    Config::new("B1", 2, &[Send, Send, Recv], 0).with(Bug::FullByCount),
    Config::new("B2", 2, &[Send, Recv], 0).with(Bug::FullWithoutLookAhead),
    Config::new("B3", 2, &[Send, Recv], 0).with(Bug::PinHeldBlindly),
    Config::new("B3", 2, &[Send, Recv, Recv], 0).with(Bug::PinHeldBlindly),
    Config::new("B4", 2, &[Send, Send], 0).with(Bug::NoHelp),
    Config::new("B5", 2, &[Send, Send, Recv], 0).with(Bug::EmptyWithoutScan),
    Config::new("B6", 2, &[Send, Send, Recv, Recv], 0).with(Bug::EmptyWithoutReload),
    Config::new("B7", 2, &[Send, Recv], 0).with(Bug::PinWithoutFull),
    Config::new("B8", 2, &[Send, Recv], 0).with(Bug::HeadBeforeTail),
    Config::new("B8", 2, &[Send, Recv,Recv], 0).with(Bug::HeadBeforeTail),
    Config::new("B9", 2, &[Send, Recv, Sweep], 1).with(Bug::ReadingBackToFull),
    Config::new("B10", 2, &[Send, Peek, Peek, Sweep], 1).with(Bug::OnePinnedKind),
    Config::new("B11", 2, &[Send, Recv, Sweep, Sweep], 1).with(Bug::SweepWithoutLease).reborn().unsettled(),
    Config::new("B12", 2, &[Send, Send, Recv], 0).with(Bug::CommitByStore),
    Config::new("B13", 2, &[Send, Recv], 0).with(Bug::ReleaseByStore),
    Config::new("B13", 2, &[Send, Send, Recv, Recv], 0).with(Bug::ReleaseByStore),
    Config::new("B14", 2, &[Send, Send, Recv, Recv], 0).with(Bug::GiveBackOnce),
    Config::new("B15", 3, &[Batch(2), Send, Recv], 0).with(Bug::BatchWithoutAbort),
    Config::new("B16", 3, &[Batch(2), Send, Recv], 0).with(Bug::BatchMovesTailOnce),
];
