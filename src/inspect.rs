//! A ring examined by a bystander: who holds which slot and lives or not, and every rule of the layout that is broken.
//!
//! The segment is opened and mapped read-only, and no lock is taken: looking changes nothing and keeps nobody waiting.
//! The ring moves meanwhile, so whatever looks wrong is looked at again a moment later, closely, and is a fault only if
//! it is still wrong. Nothing that stands in the segment is believed further than `view` and `ring::observe` do.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::layout::{
    self, ABANDONED, ABSENT, ATTACHED, CLOSED, DIED, FLAGS_KNOWN, KIND_MPMC, KIND_SPSC, ORPHANED, PartyWord,
    RECEIVER, SENDER, SegmentHeader, SlotWord,
};
use crate::liveness;
use crate::open::{Ring, RingInfo, Role, records, slots};
use crate::ring::observe::{self, Chain, End, Looks, Misfit, Reach, Scale};
use crate::segment::{self, Place, Segment};
use crate::view::{Common, Shape, SlotView, View};
use std::collections::HashSet;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use crate::layout::SlotKind;

/// The time between the two looks at what seems wrong.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// The most held slots that are listed one by one.
const MOST_HELD: usize = 1 << 16;
/// The most faults that are told one by one.
const MOST_FAULTS: usize = 1000;

/// What was found in a ring. Everything but the faults may be stale at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// Name or path.
    pub name: String,
    /// What `stat` says of it; `None` if the header is too damaged to tell.
    pub info: Option<RingInfo>,
    /// Whether any process has it open.
    pub in_use: bool,
    /// What is in it.
    pub contents: Contents,
    /// Everybody who has or had a place, by place.
    pub members: Vec<Member>,
    /// Every broken rule, each seen twice; the first thousand of them.
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub more_faults: u64,
}

impl Inspection {
    /// Whether every rule holds. A ring is sound also while dead participants wait to be swept.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// The participants that died and were not swept yet. Whoever meets what they hold, or looks for a place, does it.
    /// An SPSC ring has none: a successor simply takes the role.
    pub fn unswept(&self) -> impl Iterator<Item = &Member> {
        let mpmc = matches!(self.contents, Contents::Slots(_));
        self.members.iter().filter(move |member| mpmc && member.standing == Standing::Died)
    }
}

/// What is in a ring.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Contents {
    /// Nobody can tell: the header is damaged.
    Unknown,
    /// The records of an SPSC ring.
    Records(Records),
    /// The slots of an MPMC ring.
    Slots(Slots),
}

/// The committed records of an SPSC ring.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Records {
    /// Position of the next record to read.
    pub head: u64,
    /// Position behind the last committed record.
    pub tail: u64,
    /// Messages committed and not released.
    pub messages: u64,
}

/// The slots of an MPMC ring.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Slots {
    /// Position of the next message to take.
    pub head: u64,
    /// Position that the next message goes to.
    pub tail: u64,
    /// How many there are.
    pub count: u64,
    /// Free ones.
    pub free: u64,
    /// Those with a message that nobody has taken.
    pub full: u64,
    /// Those in some participant's hands.
    pub held: u64,
    /// These, each: the first 65536 of them.
    pub holds: Vec<Slot>,
}

/// One slot in a participant's hands.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Slot {
    /// Its number.
    pub index: u64,
    /// What the participant does with it.
    pub state: SlotKind,
    /// The lap of its position.
    pub lap: u64,
    /// Its position, in messages and places passed over since the ring was made.
    pub position: u64,
    /// The participant's place.
    pub owner: u32,
    /// Length of the message, if there is one; if the slot was filled anew while it was looked at, that of the new one.
    pub len: Option<u64>,
}

/// One place in a ring, and who has or had it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Member {
    /// The number of the place.
    pub place: u32,
    /// What it does.
    pub role: Option<Role>,
    /// Its process id, in the pid namespace that it lives in; 0 if nobody ever attached.
    pub pid: u32,
    /// When it attached.
    pub since: Option<SystemTime>,
    /// How it stands.
    pub standing: Standing,
    /// Slots in its hands that a sweep after its death frees.
    pub frees: u64,
    /// Slots with messages that it peeked at and did not acknowledge: after its death they go to another receiver.
    pub keeps: u64,
}

/// How a participant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// It lives; it may be stopped.
    Attached,
    /// It left cleanly.
    Left,
    /// It was killed or crashed. In an MPMC ring nobody has given back yet what it held.
    Died,
    /// It was killed or crashed, and what it held was given back.
    Swept,
    /// It died or left, and messages that it had peeked at wait for a receiver that peeks.
    Orphaned,
    /// The place is locked, but nobody is attached on paper: somebody comes or leaves just now, or was stopped at it, or a
    /// stranger has locked it. Whoever sweeps does not show.
    Passing,
}

/// One broken rule of the layout.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// Where.
    pub at: At,
    /// The field of the layout.
    pub field: &'static str,
    /// What stands there.
    pub found: u64,
    /// What is wrong with it, for people.
    pub text: String,
}

/// Where a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum At {
    /// In the segment header.
    Header,
    /// In the control lines.
    Control,
    /// In the entry of this participant.
    Place(u32),
    /// In this slot.
    Slot(u64),
    /// At this position of the records.
    Position(u64),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Header => write!(f, "segment header"),
            At::Control => write!(f, "control lines"),
            At::Place(place) => write!(f, "place {place}"),
            At::Slot(index) => write!(f, "slot {index}"),
            At::Position(at) => write!(f, "record at {at}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text)
    }
}

impl Fault {
    fn new(at: At, field: &'static str, found: u64, text: String) -> Fault {
        Fault { at, field, found, text }
    }
}

/// Examines the ring called `name`, without joining it.
///
/// # Errors
/// As [`crate::stat`], but a damaged header is a fault and not an error; [`Error::WrongKind`] for an adapter's segment, a
/// pipe's or a queue's, to which the rules of rings do not apply.
pub fn inspect(name: &str) -> Result<Inspection> {
    inspect_at(Place::named(name)?)
}

/// As [`inspect()`], for a ring in a file.
///
/// # Errors
/// As [`inspect()`].
pub fn inspect_file(path: impl AsRef<Path>) -> Result<Inspection> {
    inspect_at(Place::file(path.as_ref())?)
}

impl Ring {
    /// Examines this ring. See [`inspect()`](crate::inspect()).
    #[must_use]
    pub fn inspect(&self) -> Inspection {
        let (segment, shape, common, fd) = self.parts();
        examine(segment, shape, common, fd)
    }
}

fn inspect_at(place: Place) -> Result<Inspection> {
    let fd = Segment::open_file_to_look(&place)?;
    let header = segment::read_header_of_version(&place, fd.as_fd())?;
    // A pipe's or a queue's segment is sound, and none of the rules below are its own.
    if layout::adapter_of(header.kind).is_some() && header.checksum == header.expected_checksum() {
        let (name, found) = (place.label(), header.kind);
        return Err(Error::WrongKind { name, found, wanted: "1 (SPSC) or 2 (MPMC)" });
    }
    let len = segment::file_len(&place, fd.as_fd())?;
    let faults = header_faults(&header, len);
    if let (true, Ok(shape), Ok(common)) = (faults.is_empty(), Shape::of(&header), Common::of(&header)) {
        let (fd, segment) = Segment::map_to_look(place, fd, header)?;
        return Ok(examine(&segment, shape, common, fd.as_fd()));
    }
    Ok(Inspection {
        name: place.label(),
        info: None,
        in_use: liveness::is_in_use(fd.as_fd()),
        contents: Contents::Unknown,
        members: Vec::new(),
        faults,
        more_faults: 0,
    })
}

/// What a header says that cannot be. It is constant, so one look will do.
fn header_faults(header: &SegmentHeader, len: u64) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |field: &'static str, found: u64, text: String| {
        if !faults.iter().any(|known: &Fault| known.field == field) {
            faults.push(Fault::new(At::Header, field, found, text));
        }
    };
    if header.flags & !FLAGS_KNOWN != 0 {
        let text = format!("flags {:#x} has some that this version does not know", header.flags);
        fault("flags", header.flags.into(), text);
    }
    if ![KIND_SPSC, KIND_MPMC].contains(&header.kind) {
        let text = format!("kind {} is neither 1 (SPSC) nor 2 (MPMC)", header.kind);
        fault("kind", header.kind.into(), text);
    }
    for (field, found) in [Shape::of(header).err(), Common::of(header).err()].into_iter().flatten() {
        fault(field, found, format!("{field} {found} is none that a ring of this kind can have"));
    }
    if header.segment_len != len {
        let text = format!("segment_len is {}, but the file has {len} bytes", header.segment_len);
        fault("segment_len", header.segment_len, text);
    }
    let expected = header.expected_checksum();
    if header.checksum != expected {
        let text = format!("checksum is {:#x}, that of the fields is {expected:#x}", header.checksum);
        fault("checksum", header.checksum, text);
    }
    faults
}

/// `fd` must be a description that holds no role of this ring.
fn examine(segment: &Segment, shape: Shape, common: Common, fd: BorrowedFd<'_>) -> Inspection {
    let mut inspection = Inspection {
        name: segment.label(),
        info: Some(RingInfo::of(segment, shape, common, fd)),
        in_use: liveness::is_in_use(fd),
        contents: Contents::Unknown,
        members: Vec::new(),
        faults: Vec::new(),
        more_faults: 0,
    };
    match shape {
        Shape::Spsc(geometry) => match records(segment, geometry) {
            Ok(view) => inspection.examine_records(&view, fd),
            Err(error) => inspection.unmappable(&error),
        },
        Shape::Mpmc(geometry) => match slots(segment, geometry) {
            Ok(view) => inspection.examine_slots(&view, fd),
            Err(error) => inspection.unmappable(&error),
        },
    }
    inspection
}

/// Whether any of the first looks seemed wrong: then it is time for the second.
fn wait_for_second_look(suspicious: bool) {
    if suspicious {
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

impl Inspection {
    fn fault(&mut self, fault: Fault) {
        match self.faults.len() < MOST_FAULTS {
            true => self.faults.push(fault),
            false => self.more_faults += 1,
        }
    }

    /// A shape that was checked does not fit the mapping; then the shape is wrong.
    fn unmappable(&mut self, error: &Error) {
        self.fault(Fault::new(At::Header, "segment_len", 0, error.to_string()));
    }

    // --- SPSC ---

    fn examine_records(&mut self, view: &View, fd: BorrowedFd<'_>) {
        let first = observe::chain(view);
        wait_for_second_look(record_fault(view, &first).is_some());
        let chain = match record_fault(view, &first) {
            None => first,
            Some(_) => {
                let second = observe::chain(view);
                record_fault(view, &second).into_iter().for_each(|fault| self.fault(fault));
                second
            }
        };
        self.contents =
            Contents::Records(Records { head: chain.head, tail: chain.end, messages: chain.messages });
        self.examine_parties(&view.header.parties, fd, CLOSED, |place| match place {
            0 => Some(Role::Producer),
            _ => Some(Role::Consumer),
        });
    }

    // --- MPMC ---

    fn examine_slots(&mut self, view: &SlotView, fd: BorrowedFd<'_>) {
        let roles = |place: usize| match view.parties[place].state().role() {
            SENDER => Some(Role::Sender),
            RECEIVER => Some(Role::Receiver),
            _ => None,
        };
        self.examine_parties(&view.parties, fd, ABANDONED, roles);
        let seen = view.header.census.roles();
        if seen & !(SENDER | RECEIVER) != 0 {
            let text = format!("census.seen {seen:#x} counts a role that there is not");
            self.fault(Fault::new(At::Control, "census.seen", seen.into(), text));
        }
        let (looks, misfits) = observe::compare(view, || wait_for_second_look(true));
        let mut suspects = Vec::new();
        for (index, &(word, len)) in (0..).zip(&looks.slots) {
            let odd = observe::malformed(word).is_some()
                || observe::has_message(word) && len > view.max_len() as u64
                || owner_fault(view, word).is_some();
            if odd {
                suspects.push(index);
            }
        }
        wait_for_second_look(!suspects.is_empty());
        let mut blamed = HashSet::new();
        for fault in suspects.into_iter().filter_map(|index| slot_fault(view, index)) {
            self.blame(&mut blamed, fault);
        }
        for misfit in misfits {
            self.blame(&mut blamed, misfit_fault(misfit));
        }
        self.contents = Contents::Slots(self.survey(view, &looks, &blamed));
    }

    /// A fault of a slot, unless its word was found wrong already.
    fn blame(&mut self, blamed: &mut HashSet<u64>, fault: Fault) {
        if let (At::Slot(index), "state") = (fault.at, fault.field)
            && !blamed.insert(index)
        {
            return;
        }
        self.fault(fault);
    }

    /// Counts, and tells the held slots one by one.
    fn survey(&mut self, view: &SlotView, looks: &Looks, blamed: &HashSet<u64>) -> Slots {
        let scale = Scale::from(view, looks.tail);
        let least = |reach: Side| {
            let sound = observe::known(looks.words()).filter(|(index, _)| !blamed.contains(index));
            sound.map(|(index, word)| reach(&scale, index, word).first).min()
        };
        let end = |reach: Side| scale.position(least(reach).unwrap_or(0));
        let mut slots = Slots {
            head: end(Scale::receivers),
            tail: end(Scale::senders),
            count: view.slots(),
            free: 0,
            full: 0,
            held: 0,
            holds: Vec::new(),
        };
        for (index, word) in (0..).zip(looks.words()) {
            match word.kind() {
                None => {}
                Some(SlotKind::Free) => slots.free += 1,
                Some(SlotKind::Full) => slots.full += 1,
                Some(state) => {
                    slots.held += 1;
                    if slots.holds.len() < MOST_HELD {
                        slots.holds.push(Slot::new(view, index, state, word));
                    }
                    self.count(state, word.owner());
                }
            }
        }
        slots
    }

    /// One more slot in the hands of `owner`.
    fn count(&mut self, state: SlotKind, owner: u32) {
        if let Ok(at) = self.members.binary_search_by_key(&owner, |member| member.place) {
            match is_peeked(state) {
                true => self.members[at].keeps += 1,
                false => self.members[at].frees += 1,
            }
        }
    }

    // --- both ---

    /// `last` is the last state that a party of this kind of ring can be in.
    fn examine_parties(
        &mut self,
        parties: &[layout::Party],
        fd: BorrowedFd<'_>,
        last: u64,
        role: impl Fn(usize) -> Option<Role>,
    ) {
        let odd = |place: usize| {
            let word = parties[place].state();
            let text = match word.state() {
                state if state > last => format!("is in state {state}, which there is not"),
                ATTACHED if role(place).is_none() => "is attached as neither sender nor receiver".into(),
                _ => return None,
            };
            Some(Fault::new(At::Place(place as u32), "word", word.0, text))
        };
        let suspects: Vec<_> = (0..parties.len()).filter(|&place| odd(place).is_some()).collect();
        let passing = |place: usize| standing(&parties[place], fd, place) == Some(Standing::Passing);
        wait_for_second_look(!suspects.is_empty() || (0..parties.len()).any(passing));
        suspects.into_iter().filter_map(odd).for_each(|fault| self.fault(fault));
        for (place, party) in parties.iter().enumerate() {
            let Some(standing) = standing(party, fd, place) else { continue };
            let since = party.since();
            self.members.push(Member {
                place: place as u32,
                role: role(place),
                pid: party.state().pid(),
                since: (since != 0).then(|| UNIX_EPOCH + Duration::from_nanos(since)),
                standing,
                frees: 0,
                keeps: 0,
            });
        }
    }
}

/// What is wrong with the records.
fn record_fault(view: &View, chain: &Chain) -> Option<Fault> {
    let Chain { head, end, fault, .. } = *chain;
    if !head.is_multiple_of(view.align()) {
        let text = format!("head {head} is no multiple of {}, as the starts of records are", view.align());
        return Some(Fault::new(At::Control, "head", head, text));
    }
    let word = fault?;
    let text = format!("header {word:#x} is neither a message nor padding that fits there");
    Some(Fault::new(At::Position(end), "record header", word, text))
}

/// A second look at a slot, at its word alone, its length and its owner.
fn slot_fault(view: &SlotView, index: u64) -> Option<Fault> {
    let (word, len) = observe::slot(view, index);
    let fault = |text: String| Fault::new(At::Slot(index), "state", word.0, text);
    if let Some(why) = observe::malformed(word) {
        return Some(fault(format!("state {} {why}", words(word))));
    }
    let owner = owner_fault(view, word);
    // Had the owner given it back meanwhile, the word would be another.
    if observe::slot(view, index).0 != word {
        return None;
    }
    if let Some(why) = owner {
        return Some(fault(format!("state {} belongs to place {}, {why}", words(word), word.owner())));
    }
    // Of this message, or of the next that came there: neither may be longer than a slot.
    let max = view.max_len() as u64;
    (observe::has_message(word) && len > max).then(|| {
        let text = format!("length {len} is more than the {max} bytes of a slot");
        Fault::new(At::Slot(index), "len", len, text)
    })
}

/// Whether a slot of this kind holds a message that is not acknowledged.
fn is_peeked(state: SlotKind) -> bool {
    matches!(state, SlotKind::Peeked | SlotKind::PeekedPinned)
}

/// What is wrong with a word that does not fit the others.
fn misfit_fault(misfit: Misfit) -> Fault {
    let state = |index: u64, word: SlotWord, what: &str| {
        let text = format!("state {} {what}", words(word));
        Fault::new(At::Slot(index), "state", word.0, text)
    };
    match misfit {
        Misfit::Hint(end, hint) => {
            let end = if end == End::Tail { "tail" } else { "head" };
            let text = format!("{end} {hint} is further than the slots have come");
            Fault::new(At::Control, end, hint, text)
        }
        Misfit::Ahead(index, word) => state(index, word, "is further than the rest of the ring"),
        Misfit::PassedOver(End::Tail, index, word) => {
            state(index, word, "was passed over by the senders: nobody will ever use the slot again")
        }
        Misfit::PassedOver(End::Head, index, word) => {
            state(index, word, "was passed over by the receivers: nobody will ever take the message")
        }
    }
}

/// How far one side has come by a word.
type Side = fn(&Scale, u64, SlotWord) -> Reach;

impl Slot {
    fn new(view: &SlotView, index: u64, state: SlotKind, word: SlotWord) -> Slot {
        Slot {
            index,
            state,
            lap: word.lap(),
            position: word.lap().wrapping_mul(view.slots()).wrapping_add(index),
            owner: word.owner(),
            len: observe::has_message(word).then(|| observe::slot(view, index).1),
        }
    }
}

/// A state word, for people: its kind and lap, or all of it.
fn words(word: SlotWord) -> String {
    match word.kind() {
        Some(kind) => format!("{:#x} ({}, lap {})", word.0, kind_name(kind), word.lap()),
        None => format!("{:#x}", word.0),
    }
}

fn kind_name(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Free => "free",
        SlotKind::Writing => "writing",
        SlotKind::Full => "full",
        SlotKind::Reading => "reading",
        SlotKind::Pinned => "pinned",
        SlotKind::Peeked => "peeked",
        SlotKind::PeekedPinned => "peeked, pinned",
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(kind_name(*self))
    }
}

/// Why the owner of this word, looked at behind it, cannot be.
fn owner_fault(view: &SlotView, word: SlotWord) -> Option<&'static str> {
    let kind = word.kind().filter(|kind| kind.is_owned())?;
    let Some(party) = view.parties.get(word.owner() as usize) else {
        return Some("which this ring does not have");
    };
    match party.state().state() {
        ABSENT => Some("which nobody ever had"),
        CLOSED => Some("which has left: nobody will give it back"),
        DIED => Some("which died and was swept: nobody will give it back"),
        ORPHANED | ABANDONED if !is_peeked(kind) => Some("which is gone: nobody will give it back"),
        _ => None,
    }
}

/// How a party stands; `None` if nobody ever had the place. As `layout::Party::peer`, a free lock counts only if the word
/// is the same before and after the question.
fn standing(party: &layout::Party, fd: BorrowedFd<'_>, place: usize) -> Option<Standing> {
    let mut word: PartyWord = party.state();
    for _ in 0..8 {
        let held = liveness::is_held(fd, place);
        let after = party.state();
        if after == word {
            return match (word.state(), held) {
                (ABSENT, false) => None,
                (CLOSED, false) => Some(Standing::Left),
                (DIED, false) => Some(Standing::Swept),
                (ORPHANED | ABANDONED, false) => Some(Standing::Orphaned),
                (ABSENT | CLOSED | DIED | ORPHANED | ABANDONED, true) => Some(Standing::Passing),
                (_, true) => Some(Standing::Attached),
                (_, false) => Some(Standing::Died),
            };
        }
        word = after;
    }
    Some(Standing::Attached)
}
