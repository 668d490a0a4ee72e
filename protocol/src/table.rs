//! What is explored: the configurations, and the seeded bugs with those that must find them.

use crate::model::{FILLER, Fault, HEIR};

/// What a process does, again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Sends one by one.
    Send,
    /// Sends so many at once.
    Batch(u8),
    /// Sends in place: a voided grant keeps its bytes until another slot has them.
    Grant,
    /// Sends one by one, or gives back unsent what it has claimed.
    GiveUp,
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
        matches!(self, Send | Batch(_) | Grant | GiveUp)
    }
}

/// A rule broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// `tail - head == N` is taken for full.
    FullByCount,
    /// A position that another sender took is taken for full.
    FullWhereTaken,
    /// A slot that is written is taken for full, whatever is free behind it.
    FullAtWriter,
    /// A sender passes over every writer that it meets, however late that one came.
    PassesOverAll,
    /// A held slot at the tail is taken for full, whatever is free behind it.
    FullWithoutLookAhead,
    /// A held slot at the tail is pinned, whether anything is free behind it or not.
    PinHeldBlindly,
    /// A position that another sender took is waited for and not passed.
    NoHelp,
    /// The tail is not moved by the sender that claimed, only by those that help.
    CommitBeforeTail,
    /// A void or taken position at the head is taken for empty.
    EmptyWhereTaken,
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
    /// The only pinned kind is PINNED, also for a message that is not acknowledged.
    PeekedPinnedAsRead,
    /// The only pinned kind is RPINNED, also for a message that was taken at most once.
    ReadPinnedAsPeeked,
    /// What is not acknowledged is swept like the rest.
    SweepFreesPeeked,
    /// What is delivered again is not flagged.
    RedeliveredUnflagged,
    /// The number of the dead is given away while somebody sweeps.
    SweepWithoutLease,
    /// A voided slot is free at once, though its writer may still touch the bytes.
    PinForgetsOwner,
    /// The sweep is a store.
    SweepByStore,
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
    /// A voided grant is given back before its bytes are elsewhere.
    GrantGivesBackFirst,
}

/// Who takes part, and what may happen.
#[derive(Clone, Copy, Debug)]
pub struct Config {
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
    /// Steps that nobody can see are not visited, see [`crate::rules::settle`].
    pub settle: bool,
    /// Of states that differ in the numbers of interchangeable processes, one is visited.
    pub symmetry: bool,
    /// Nobody exchanges a shared end: where the ends are, the words say. See [`crate::rules::ends`].
    pub cursors: bool,
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

    const fn new(slots: usize, roles: &'static [Role], kills: u8) -> Self {
        Config {
            slots,
            roles,
            kills,
            sweepers_die: true,
            reborn: false,
            settle: true,
            symmetry: true,
            cursors: false,
            lock_free: true,
            bug: None,
        }
    }

    const fn unsettled(self) -> Self {
        Config { settle: false, ..self }
    }

    const fn cursors(self) -> Self {
        Config { cursors: true, ..self }
    }

    const fn reborn(self) -> Self {
        Config { reborn: true, ..self }
    }
}

impl std::fmt::Display for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.roles;
        while let Some(&role) = rest.first() {
            let many = rest.iter().take_while(|next| **next == role).count();
            rest = &rest[many..];
            let many = if many > 1 { format!("{many} ") } else { String::new() };
            write!(f, "{many}{role:?}{}", if rest.is_empty() { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Seconds each. Run by `cargo test`.
pub const SHORT: &[Config] = &[
    // Every step visited.
    Config::new(2, &[Send, Recv, Sweep], 2).unsettled(),
    Config::new(2, &[Send, Peek, Peek], 2).unsettled(),
    Config::new(2, &[Grant, Recv, Recv], 1).unsettled(),
    // Two slots.
    Config::new(2, &[Send, Send, Recv, Recv, Sweep], 1),
    Config::new(2, &[Send, Send, Recv, Peek], 1),
    Config::new(2, &[Send, Recv, Peek, Sweep], 2).reborn(),
    // Three: a batch is aborted in the middle only where a message follows it.
    Config::new(3, &[Batch(2), Send, TakeBatch(2)], 0),
    Config::new(3, &[Grant, Grant, Recv], 0),
    // As `src/ring/mpmc.rs` has it.
    Config::new(2, &[Send, Send, Recv, Recv, Sweep], 2).cursors(),
    Config::new(2, &[Send, Send, Recv, Peek], 2).cursors(),
    Config::new(3, &[Batch(2), Grant, TakeBatch(2)], 0).cursors(),
    // Places given back unsent behind a writer, who is passed over for them. With a shared head that no receiver moves,
    // they would lead any number of laps away from it.
    Config::new(2, &[GiveUp, GiveUp, Recv, Sweep], 1).cursors(),
    Config::new(3, &[GiveUp, GiveUp, Send], 0).cursors(),
    Config::new(3, &[GiveUp, GiveUp, Recv], 0).cursors(),
    // Two at the same sweep, one of them killed or stopped at it; and the number is given away.
    Config::new(2, &[Send, Recv, Sweep, Sweep], 2).cursors().reborn(),
    Config::new(2, &[Send, Peek, Peek, Sweep], 2).cursors().reborn(),
];

/// Minutes, and gigabytes. Run by hand, see `docs/verification.md`.
pub const LONG: &[Config] = &[
    Config::new(2, &[Send, Send, Recv, Recv, Sweep], 2),
    Config::new(2, &[Send, Send, Peek, Peek], 2),
    Config::new(3, &[Batch(2), Send, Recv, Sweep], 1),
    Config::new(3, &[Batch(3), Send, TakeBatch(2), Sweep], 1),
    Config::new(3, &[Send, Peek, Recv, Sweep], 2),
    Config::new(2, &[Send, Send, Recv, Recv], 0).unsettled(),
    Config::new(2, &[Send, Send, Recv, Sweep], 1).unsettled(),
    Config::new(3, &[Batch(2), Send, TakeBatch(2)], 0).unsettled(),
    Config::new(2, &[Send, Send, Recv, Recv, Sweep, Sweep], 2),
    Config::new(2, &[Send, Send, Recv, Recv, Sweep], 2).reborn(),
    Config::new(2, &[Send, Send, Recv, Peek, Sweep], 2).reborn(),
    Config::new(2, &[Send, Send, Peek, Peek, Sweep], 2).reborn(),
    Config::new(2, &[Grant, Batch(2), TakeBatch(2), Peek, Sweep], 2),
    Config::new(3, &[Send, Send, Recv, Recv, Sweep], 2),
    Config::new(3, &[Send, Send, Peek, Peek], 2),
    Config::new(3, &[Send, Send, Recv, Peek], 2),
    Config::new(3, &[Batch(2), Batch(3), Recv, Sweep], 2),
    Config::new(2, &[Send, Send, Recv, Peek, Sweep], 2).reborn().cursors(),
    Config::new(3, &[Send, Send, Recv, Recv, Sweep], 2).cursors(),
    Config::new(3, &[Send, Send, Recv, Peek], 2).cursors(),
    Config::new(3, &[Send, Send, Peek, Peek], 2).cursors(),
    Config::new(3, &[Batch(2), Send, TakeBatch(2), Peek], 2).cursors(),
    Config::new(3, &[Grant, Send, Recv, Peek], 2).cursors(),
    Config::new(3, &[GiveUp, GiveUp, GiveUp, Recv], 0).cursors(),
    Config::new(3, &[GiveUp, GiveUp, Grant, Recv], 0).cursors(),
    Config::new(3, &[GiveUp, Batch(2), Peek, Sweep], 1).cursors(),
    Config::new(3, &[GiveUp, GiveUp, Recv, Sweep], 2).cursors(),
    Config::new(2, &[GiveUp, GiveUp, Peek, Sweep], 2).cursors().reborn(),
    Config::new(2, &[GiveUp, Send, Recv], 1).unsettled().cursors(),
];

/// A rule broken, where, and what it breaks.
pub struct Seeded {
    /// With the broken rule.
    pub config: Config,
    /// The first promise that breaks.
    pub fault: Fault,
}

const fn seeded(bug: Bug, config: Config, fault: Fault) -> Seeded {
    Seeded { config: Config { bug: Some(bug), ..config }, fault }
}

/// All of them are found within seconds: processes that repeat their verbs reach any depth.
pub const BUGS: &[Seeded] = &[
    seeded(Bug::FullByCount, Config::new(2, &[Send, Recv, Recv], 0), Fault::WrongFull),
    seeded(Bug::FullWhereTaken, Config::new(2, &[Send, Send], 0), Fault::WrongFull),
    seeded(Bug::FullAtWriter, Config::new(2, &[GiveUp, GiveUp, Recv], 0).cursors(), Fault::Blocked),
    seeded(Bug::PassesOverAll, Config::new(3, &[Send, GiveUp, Send], 0).cursors(), Fault::Livelock),
    seeded(Bug::FullWithoutLookAhead, Config::new(2, &[Send, Recv, Recv], 0), Fault::WrongFull),
    seeded(Bug::PinHeldBlindly, Config::new(2, &[Send, Recv, Recv], 0), Fault::Blocked),
    seeded(Bug::NoHelp, Config::new(2, &[Send, Send], 0), Fault::Blocked),
    seeded(Bug::CommitBeforeTail, Config::new(2, &[Send, Recv], 0), Fault::HeadBeyondTail),
    seeded(Bug::EmptyWhereTaken, Config::new(2, &[Send, Recv, Recv], 0), Fault::WrongEmpty),
    seeded(Bug::EmptyWithoutScan, Config::new(2, &[Send, Send, Recv], 0), Fault::WrongEmpty),
    seeded(Bug::EmptyWithoutReload, Config::new(2, &[Send, Send, Recv, Recv], 0), Fault::WrongEmpty),
    seeded(Bug::PinWithoutFull, Config::new(2, &[Send, Recv], 0), Fault::Livelock),
    seeded(Bug::HeadBeforeTail, Config::new(2, &[Send, Recv, Recv], 0), Fault::HeadBeyondTail),
    seeded(Bug::ReadingBackToFull, Config::new(2, &[Send, Recv, Sweep], 1), Fault::Lost),
    seeded(Bug::PeekedPinnedAsRead, Config::new(2, &[Send, Peek, Peek, Sweep], 1), Fault::Lost),
    seeded(Bug::ReadPinnedAsPeeked, Config::new(2, &[Send, Recv, Recv, Sweep], 1), Fault::Duplicate),
    seeded(Bug::SweepFreesPeeked, Config::new(2, &[Send, Peek, Sweep], 1), Fault::Lost),
    seeded(Bug::RedeliveredUnflagged, Config::new(2, &[Send, Peek, Peek], 1), Fault::Duplicate),
    seeded(
        Bug::SweepWithoutLease,
        Config::new(2, &[Send, Recv, Sweep, Sweep], 1).reborn().unsettled(),
        Fault::Foreign,
    ),
    seeded(Bug::PinForgetsOwner, Config::new(2, &[Send, Send, Recv], 0), Fault::Foreign),
    seeded(
        Bug::SweepByStore,
        Config::new(2, &[Send, Recv, Recv, Sweep], 1).unsettled(),
        Fault::TailBeyondClaims,
    ),
    seeded(Bug::CommitByStore, Config::new(2, &[Send, Send, Recv], 0), Fault::Reordered),
    seeded(Bug::ReleaseByStore, Config::new(2, &[Send, Recv, Recv], 0), Fault::TailBeyondClaims),
    seeded(Bug::GiveBackOnce, Config::new(2, &[Send, Recv, Recv], 0), Fault::Capacity),
    seeded(Bug::BatchWithoutAbort, Config::new(3, &[Batch(2), Send, Recv], 0), Fault::Reordered),
    seeded(Bug::BatchMovesTailOnce, Config::new(3, &[Batch(2), Send, Recv], 0), Fault::HeadBeyondTail),
    seeded(Bug::GrantGivesBackFirst, Config::new(2, &[Grant, Send, Recv], 0), Fault::Foreign),
];
