//! From a name and options to handles: the one place that knows segments, leases and channels together.
#![forbid(unsafe_code)]

use crate::channel::members::NoPlace;
use crate::channel::mpmc::{Receiver, Sender};
use crate::channel::spsc::{Consumer, Producer};
use crate::channel::stream::Stream;
use crate::channel::{Host, Peer, Seat};
use crate::error::{Error, Result};
use crate::layout::{
    self, Align, CONSUMER, EventLine, FLAG_ASYMMETRIC_FENCES, FLAG_PERSISTENT, KIND_MPMC, KIND_PAGES,
    KIND_RECORDS, KIND_SEM, KIND_SEMSET, KIND_SPSC, MAGIC, MAX_CAPACITY, MAX_PARTICIPANTS, MAX_SLOT_LEN,
    MAX_SLOTS, MIN_CAPACITY, MIN_SLOTS, MpmcHeader, PAGE_LEN, PAGE_WORDS_OFFSET, PARTIES_OFFSET, PRODUCER,
    QUEUE_SEATS_OFFSET, QueueHeader, RECEIVER, RING_OFFSET, SENDER, SLOT_ALIGN, SLOT_HEADER_LEN,
    SPSC_DATA_OFFSET, SegmentHeader, SpscHeader, VERSION, Wakeup, cells_offset, nodes_offset, pages_offset,
    slots_offset,
};
use crate::liveness::{self, Lease};
use crate::ring::observed_bytes;
use crate::ring::pages as ring_pages;
use crate::ring::records;
use crate::ring::store;
use crate::ring::sweep;
use crate::segment::{self, Place, Segment, Trust};
use crate::sync::{AnyBytes, Shared, register_for_heavy_fences};
use crate::view::{
    Common, Geometry, PageGeometry, PageView, QueueGeometry, QueueView, Shape, SlotGeometry, SlotView, View,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Who pays for the fence between publishing and looking for sleepers. See `event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Fences {
    /// The sleeper, with membarrier(2); the publisher pays nothing. Where membarrier is not available: as `Plain`.
    #[default]
    Asymmetric,
    /// Each publisher, with a full fence per message.
    Plain,
}

/// What a new ring is like. Opening takes all of this, but for the trust, from the ring itself.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    kind: Kind,
    capacity: Option<usize>,
    align: Option<Align>,
    participants: Option<u32>,
    wakeup: Wakeup,
    fences: Fences,
    persistent: bool,
    mode: u32,
    trust: Trust,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Spsc,
    Mpmc { slots: usize, max_len: usize },
}

impl Default for Options {
    fn default() -> Self {
        Options {
            kind: Kind::Spsc,
            capacity: None,
            align: None,
            participants: None,
            wakeup: Wakeup::default(),
            fences: Fences::default(),
            persistent: false,
            mode: 0o600,
            trust: Trust::default(),
        }
    }
}

/// How many participants an MPMC ring is made for, if nobody says.
const PARTICIPANTS: u32 = 64;

impl Options {
    /// The least capacity of a ring, in bytes.
    pub const MIN_CAPACITY: usize = MIN_CAPACITY as usize;
    /// The greatest capacity of a ring, in bytes.
    pub const MAX_CAPACITY: usize = MAX_CAPACITY as usize;
    /// The least number of slots of an MPMC ring.
    pub const MIN_SLOTS: usize = MIN_SLOTS as usize;
    /// The greatest number of slots of an MPMC ring.
    pub const MAX_SLOTS: usize = MAX_SLOTS as usize;

    /// A ring for one producer and one consumer: 1 MiB, records on cache lines, futex wake-up, gone with its last user,
    /// mode 0600.
    pub fn new() -> Self {
        Options::default()
    }

    /// A ring for any number of senders and receivers: `slots` messages, a power of two from 2 to 2^24, of up to
    /// `max_len` bytes each. A slot takes `max_len` + 16 bytes, rounded up to 64: messages of up to 48 bytes fit into one
    /// cache line. Else as [`Options::new`].
    pub fn mpmc(slots: usize, max_len: usize) -> Self {
        Options { kind: Kind::Mpmc { slots, max_len }, ..Options::default() }
    }

    /// Data bytes of an SPSC ring, a power of two from 4 KiB to 4 GiB. A message takes its length + 8, rounded up to the
    /// boundary of [`Options::align`]; the longest is half the capacity less 8.
    pub fn capacity(self, bytes: usize) -> Self {
        Options { capacity: Some(bytes), ..self }
    }

    /// On which boundary the records of an SPSC ring start.
    pub fn align(self, align: Align) -> Self {
        Options { align: Some(align), ..self }
    }

    /// The most senders and receivers that an MPMC ring can have at once, clones included: 1 to 4096, by default 64.
    /// Each takes 128 bytes. A place whose owner was killed is free again when it was swept, by whoever comes or waits; one
    /// that is stopped just then keeps it. With more than twice as many places as participants a newcomer finds one whoever
    /// is stopped (docs/failure-model.md).
    pub fn participants(self, most: u32) -> Self {
        Options { participants: Some(most), ..self }
    }

    /// What waiters sleep on.
    pub fn wakeup(self, wakeup: Wakeup) -> Self {
        Options { wakeup, ..self }
    }

    /// Who pays for the wake-up's fence.
    pub fn fences(self, fences: Fences) -> Self {
        Options { fences, ..self }
    }

    /// Whether the name stays when the last participant leaves. Files always stay.
    pub fn persistent(self, persistent: bool) -> Self {
        Options { persistent, ..self }
    }

    /// Permission bits of the name (chmod(2)); umask(2) does not apply. Nobody but the owner may write. Who may read
    /// can look at the messages, and can keep a successor or the removal of the name out with a shared lock.
    pub fn mode(self, mode: u32) -> Self {
        Options { mode, ..self }
    }

    /// Whom this process believes; not a property of the ring.
    pub fn trust(self, trust: Trust) -> Self {
        Options { trust, ..self }
    }

    fn header(&self, place: &Place) -> Result<SegmentHeader> {
        let bad = |option, found: String, allowed: String| Err(Error::BadOption { option, found, allowed });
        if self.mode & !0o777 != 0 || self.mode & 0o600 != 0o600 {
            let allowed = "permission bits that let the owner read and write, as 0600".into();
            return bad("mode", format!("{:04o}", self.mode), allowed);
        }
        if self.mode & 0o022 != 0 && *place != Place::Anonymous {
            let allowed = "one that lets nobody but the owner write: whoever may write a named segment may truncate it \
                           under its users; share a sealed memfd (Ring::anonymous) with others instead"
                .into();
            return bad("mode", format!("{:04o}", self.mode), allowed);
        }
        if self.trust == Trust::Distrust && *place != Place::Anonymous {
            return Err(Error::Unsealed { name: place.label() });
        }
        let persistent = self.persistent || !matches!(place, Place::Named(_));
        let asymmetric = self.fences == Fences::Asymmetric && register_for_heavy_fences();
        let header = SegmentHeader {
            wakeup: self.wakeup.code(),
            flags: u32::from(persistent) * FLAG_PERSISTENT + u32::from(asymmetric) * FLAG_ASYMMETRIC_FENCES,
            ..self.shape()?
        };
        Ok(header.with_checksum())
    }

    /// The fields that say what the ring looks like; the others are 0.
    fn shape(&self) -> Result<SegmentHeader> {
        let bad = |option, found: String, allowed: String| Err(Error::BadOption { option, found, allowed });
        let header = new_header(self.mode);
        match self.kind {
            Kind::Spsc => {
                if let Some(most) = self.participants {
                    let allowed = "left out: an SPSC ring has one producer and one consumer".into();
                    return bad("participants", most.to_string(), allowed);
                }
                let capacity = self.capacity.unwrap_or(1 << 20) as u64;
                if !capacity.is_power_of_two() || !(MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity) {
                    let allowed = format!("a power of two from {MIN_CAPACITY} to {MAX_CAPACITY} bytes");
                    return bad("capacity", capacity.to_string(), allowed);
                }
                Ok(SegmentHeader {
                    kind: KIND_SPSC,
                    segment_len: SPSC_DATA_OFFSET as u64 + capacity,
                    data_offset: SPSC_DATA_OFFSET as u64,
                    capacity,
                    align: self.align.unwrap_or_default().bytes() as u32,
                    ..header
                })
            }
            Kind::Mpmc { slots, max_len } => {
                if let Some(bytes) = self.capacity {
                    let allowed = "left out: an MPMC ring has a number of slots".into();
                    return bad("capacity", bytes.to_string(), allowed);
                }
                if self.align.is_some() {
                    return bad("align", "of records".into(), "left out: slots start on cache lines".into());
                }
                if !slots.is_power_of_two() || !(MIN_SLOTS..=MAX_SLOTS).contains(&(slots as u64)) {
                    let allowed = format!("a power of two from {MIN_SLOTS} to {MAX_SLOTS}");
                    return bad("number of slots", slots.to_string(), allowed);
                }
                let longest = MAX_SLOT_LEN as usize - SLOT_HEADER_LEN;
                if max_len > longest {
                    return bad("longest message", max_len.to_string(), format!("at most {longest} bytes"));
                }
                let participants = self.participants.unwrap_or(PARTICIPANTS);
                if !(1..=MAX_PARTICIPANTS).contains(&participants) {
                    let allowed = format!("from 1 to {MAX_PARTICIPANTS}");
                    return bad("participants", participants.to_string(), allowed);
                }
                let (data_offset, slot_len) =
                    (slots_offset(participants) as u64, SlotGeometry::slot_len_for(max_len));
                Ok(SegmentHeader {
                    kind: KIND_MPMC,
                    segment_len: data_offset + slots as u64 * slot_len,
                    data_offset,
                    capacity: slots as u64,
                    align: SLOT_ALIGN as u32,
                    slot_len: slot_len as u32,
                    participants,
                    ..header
                })
            }
        }
    }
}

/// What the headers of all segments that this process makes now have in common.
pub(crate) fn new_header(mode: u32) -> SegmentHeader {
    SegmentHeader {
        magic: MAGIC,
        version: VERSION,
        ring_offset: RING_OFFSET as u64,
        creator_pid: std::process::id(),
        creator_uid: nix::unistd::geteuid().as_raw(),
        mode,
        created_ns: now_ns(),
        ..SegmentHeader::default()
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64)
}

/// A ring that this process has open: mapped, and marked as in use, so that its name does not vanish. The ends come
/// from [`Ring::producer`] and [`Ring::consumer`], or from [`Ring::sender`] and [`Ring::receiver`], whichever the ring was
/// made for, and live on their own. `Send` and `Sync`.
pub struct Ring {
    lease: Lease,
    terms: Terms,
}

/// On which terms handles of a ring are made.
#[derive(Clone, Copy)]
struct Terms {
    shape: Shape,
    common: Common,
    trust: Trust,
}

impl Ring {
    /// Makes a ring called `name` (as `/prices`) in POSIX shared memory (shm_overview(7)). Takes as long as the kernel takes
    /// to allocate all of it, which grows with the size.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::BadName`], [`Error::NameTooLong`], [`Error::BadOption`], [`Error::NoSpace`],
    /// [`Error::Symlink`], [`Error::Directory`], [`Error::NotAFile`], [`Error::Permission`].
    pub fn create(name: &str, options: &Options) -> Result<Ring> {
        Self::create_at(Place::named(name)?, options)
    }

    /// Opens the ring called `name`. Waits if its last user is just taking the name away, for a second at most.
    ///
    /// # Errors
    /// [`Error::NotFound`], and everything that says why what stands there cannot be used; [`Error::BeingRemoved`] after that
    /// second.
    pub fn open(name: &str) -> Result<Ring> {
        Self::open_at(&Place::named(name)?, Trust::Kernel)
    }

    /// Opens the ring called `name`, or makes it. Of several processes that do so at once, one makes it.
    ///
    /// # Errors
    /// As [`Ring::create`] and [`Ring::open`], but neither `Exists` nor `NotFound`. An existing ring may differ from
    /// the options: look at [`Ring::info`].
    pub fn open_or_create(name: &str, options: &Options) -> Result<Ring> {
        Self::open_or_create_at(&Place::named(name)?, options)
    }

    /// Makes a ring in a file, on any file system that has O_TMPFILE and can map files shared. It stays until removed.
    ///
    /// # Errors
    /// As [`Ring::create`], and [`Error::Unsupported`].
    pub fn create_file(path: impl AsRef<Path>, options: &Options) -> Result<Ring> {
        Self::create_at(Place::file(path.as_ref())?, options)
    }

    /// Opens a ring in a file.
    ///
    /// # Errors
    /// As [`Ring::open`].
    pub fn open_file(path: impl AsRef<Path>) -> Result<Ring> {
        Self::open_at(&Place::file(path.as_ref())?, Trust::Kernel)
    }

    /// Opens a ring in a file, or makes it.
    ///
    /// # Errors
    /// As [`Ring::open_or_create`].
    pub fn open_or_create_file(path: impl AsRef<Path>, options: &Options) -> Result<Ring> {
        Self::open_or_create_at(&Place::file(path.as_ref())?, options)
    }

    /// Makes a ring without a name, in a memfd sealed against resizing (memfd_create(2)). Others get it as a file
    /// descriptor ([`Ring::fd`]), by fork(2) or SCM_RIGHTS (unix(7)).
    ///
    /// # Errors
    /// [`Error::BadOption`], [`Error::NoSpace`].
    pub fn anonymous(options: &Options) -> Result<Ring> {
        Self::create_at(Place::Anonymous, options)
    }

    /// Opens a ring whose memfd was received or inherited.
    ///
    /// # Errors
    /// [`Error::Unsealed`] if it may be resized; [`Error::WrongOwner`] if another user made it and `trust` is
    /// [`Trust::Kernel`]; everything that says why the content cannot be used.
    pub fn from_fd(fd: OwnedFd, trust: Trust) -> Result<Ring> {
        let (fd, segment) = Segment::open(Place::Anonymous, fd, trust)?;
        match Self::join(fd, segment, trust)? {
            Some(ring) => Ok(ring),
            None => Err(Error::BeingRemoved { name: Place::Anonymous.label() }),
        }
    }

    fn create_at(place: Place, options: &Options) -> Result<Ring> {
        let header = options.header(&place)?;
        let (fd, segment) = Segment::create(place, header, options.mode)?;
        prepare(&segment)?;
        // The lease before the name: whoever finds the name finds it in use.
        match Self::join(fd, segment, options.trust)? {
            Some(ring) => {
                ring.segment().publish(ring.lease.fd())?;
                Ok(ring)
            }
            None => unreachable!("nobody else can lock a file that has no name"),
        }
    }

    fn open_at(place: &Place, trust: Trust) -> Result<Ring> {
        let patience = Instant::now() + Duration::from_secs(1);
        loop {
            let fd = Segment::open_file(place, trust)?;
            let (fd, segment) = Segment::open(place.clone(), fd, trust)?;
            match Self::join(fd, segment, trust)? {
                Some(ring) if ring.segment().is_named() => return Ok(ring),
                // The name is gone, or leads elsewhere by now: look what stands there.
                Some(_) => {}
                None if Instant::now() > patience => {
                    return Err(Error::BeingRemoved { name: place.label() });
                }
                None => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    fn open_or_create_at(place: &Place, options: &Options) -> Result<Ring> {
        // Ends: each round somebody made the ring or took it away meanwhile; more than a few means a quarrel.
        let mut rounds = 0;
        loop {
            match Self::open_at(place, options.trust) {
                Err(Error::NotFound { .. }) => {}
                opened => return opened,
            }
            match Self::create_at(place.clone(), options) {
                Err(Error::Exists { .. }) if rounds < 1000 => rounds += 1,
                created => return created,
            }
        }
    }

    fn join(fd: OwnedFd, segment: Segment, trust: Trust) -> Result<Option<Ring>> {
        let (shape, common) = checked(&segment)?;
        if trust == Trust::Distrust && common.wakeup == Wakeup::Semaphore {
            // The C library obeys what it finds in a sem_t, flags for futex(2) included, and aborts on nonsense.
            return Err(Error::Unsupported {
                name: segment.label(),
                what: "a semaphore that a distrusted peer may write",
                instead: "make the ring with a futex to wake up by",
            });
        }
        join_fences(&segment)?;
        let lease = Lease::join(fd.as_fd(), Arc::new(segment), common.persistent)?;
        Ok(lease.map(|lease| Ring { lease, terms: Terms { shape, common, trust } }))
    }

    fn segment(&self) -> &Arc<Segment> {
        self.lease.segment()
    }

    /// A file descriptor to pass on, if the ring is anonymous.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.segment().base()
    }

    /// The sending end of an SPSC ring, for this process alone until it is dropped.
    ///
    /// # Errors
    /// [`Error::Busy`] while another live handle, here or elsewhere, is the producer; [`Error::WrongKind`];
    /// [`Error::Forked`] in a child that inherited a named ring; [`Error::Corrupt`].
    pub fn producer(&self) -> Result<Producer> {
        self.terms.producer(self.lease.another()?)
    }

    /// The receiving end of an SPSC ring, for this process alone until it is dropped.
    ///
    /// # Errors
    /// As [`Ring::producer`].
    pub fn consumer(&self) -> Result<Consumer> {
        self.terms.consumer(self.lease.another()?)
    }

    /// As [`Ring::producer`], with the ring's own file descriptor instead of another.
    ///
    /// # Errors
    /// As [`Ring::producer`].
    pub fn into_producer(self) -> Result<Producer> {
        self.terms.producer(self.lease)
    }

    /// As [`Ring::consumer`], with the ring's own file descriptor instead of another.
    ///
    /// # Errors
    /// As [`Ring::producer`].
    pub fn into_consumer(self) -> Result<Consumer> {
        self.terms.consumer(self.lease)
    }

    /// A sending end of an MPMC ring: one of as many as the ring has places for.
    ///
    /// # Errors
    /// [`Error::TooManyParticipants`]; [`Error::WrongKind`]; [`Error::Forked`] in a child that inherited a named ring.
    pub fn sender(&self) -> Result<Sender> {
        self.terms.sender(self.lease.another()?)
    }

    /// A receiving end of an MPMC ring.
    ///
    /// # Errors
    /// As [`Ring::sender`].
    pub fn receiver(&self) -> Result<Receiver> {
        self.terms.receiver(self.lease.another()?)
    }

    /// As [`Ring::sender`], with the ring's own file descriptor instead of another.
    ///
    /// # Errors
    /// As [`Ring::sender`].
    pub fn into_sender(self) -> Result<Sender> {
        self.terms.sender(self.lease)
    }

    /// As [`Ring::receiver`], with the ring's own file descriptor instead of another.
    ///
    /// # Errors
    /// As [`Ring::sender`].
    pub fn into_receiver(self) -> Result<Receiver> {
        self.terms.receiver(self.lease)
    }

    /// What can be known of the ring now. Asks the kernel who lives.
    #[must_use]
    pub fn info(&self) -> RingInfo {
        let (segment, shape, common, fd) = self.parts();
        RingInfo::of(segment, shape, common, fd)
    }

    /// What an observer needs. The descriptor's description holds no role.
    pub(crate) fn parts(&self) -> (&Segment, Shape, Common, BorrowedFd<'_>) {
        let fd = self.segment().base().unwrap_or(self.lease.fd());
        (self.segment(), self.terms.shape, self.terms.common, fd)
    }
}

impl Terms {
    fn producer(self, lease: Lease) -> Result<Producer> {
        let name = lease.segment().label();
        let (view, seat) = self.role(lease, PRODUCER, "producer")?;
        Producer::attach(view, seat).map_err(|fault| Error::Corrupt { name, fault })
    }

    fn consumer(self, lease: Lease) -> Result<Consumer> {
        let name = lease.segment().label();
        let (view, seat) = self.role(lease, CONSUMER, "consumer")?;
        Consumer::attach(view, seat).map_err(|fault| Error::Corrupt { name, fault })
    }

    fn role(self, lease: Lease, party: usize, role: &'static str) -> Result<(View, Seat)> {
        let Shape::Spsc(geometry) = self.shape else {
            return Err(self.wrong_kind(&lease, "1 (SPSC), which has a producer and a consumer"));
        };
        let view = records(lease.segment(), geometry)?;
        let seat = self.seat(lease)?;
        if !seat.host.take(party) {
            let word = view.header.parties[party].state();
            let pid = (word.pid() != 0).then_some(word.pid());
            return Err(Error::Busy { name: seat.host.ring(), role, pid });
        }
        Ok((view, seat))
    }

    fn sender(self, lease: Lease) -> Result<Sender> {
        let (view, seat, full) = self.place(lease)?;
        Sender::attach(view, seat).map_err(|NoPlace| full)
    }

    fn receiver(self, lease: Lease) -> Result<Receiver> {
        let (view, seat, full) = self.place(lease)?;
        Receiver::attach(view, seat).map_err(|NoPlace| full)
    }

    fn place(self, lease: Lease) -> Result<(SlotView, Seat, Error)> {
        let Shape::Mpmc(geometry) = self.shape else {
            return Err(self.wrong_kind(&lease, "2 (MPMC), which has senders and receivers"));
        };
        let full = Error::TooManyParticipants { name: lease.segment().label(), max: geometry.participants };
        Ok((slots(lease.segment(), geometry)?, self.seat(lease)?, full))
    }

    fn wrong_kind(self, lease: &Lease, wanted: &'static str) -> Error {
        let segment = lease.segment();
        Error::WrongKind { name: segment.label(), found: segment.header().kind, wanted }
    }

    fn seat(self, lease: Lease) -> Result<Seat> {
        if !lease.is_own() {
            return Err(Error::Forked { name: lease.segment().label() });
        }
        Ok(Seat {
            host: Box::new(Occupant { lease, terms: self }),
            pid: std::process::id(),
            now_ns: now_ns(),
            trusted: self.trust == Trust::Kernel,
        })
    }
}

/// What a handle knows of the kernel: its lease, and how to get another.
struct Occupant {
    lease: Lease,
    terms: Terms,
}

impl Host for Occupant {
    fn is_held(&self, party: usize) -> bool {
        self.lease.is_held(party)
    }

    fn take(&self, party: usize) -> bool {
        self.lease.take(party).unwrap_or(false)
    }

    fn share(&self, party: usize) -> bool {
        self.lease.share(party).unwrap_or(false)
    }

    fn give_back(&self, party: usize) {
        self.lease.give_back(party);
    }

    fn another(&self) -> Result<Seat> {
        self.terms.seat(self.lease.another()?)
    }

    fn ring(&self) -> String {
        self.lease.segment().label()
    }
}

/// Makes what an untouched segment needs before anybody may see it. Zeroes do for everything else.
fn prepare(segment: &Segment) -> Result<()> {
    let (shape, common) = checked(segment)?;
    let (spsc, mpmc);
    let events: [&EventLine; 2] = match shape {
        Shape::Spsc(_) => {
            spsc = lines::<SpscHeader>(segment)?;
            [&spsc.items, &spsc.space]
        }
        Shape::Mpmc(geometry) => {
            sweep::prepare(&slots(segment, geometry)?);
            mpmc = lines::<MpmcHeader>(segment)?;
            [&mpmc.items, &mpmc.space]
        }
    };
    if common.wakeup == Wakeup::Semaphore {
        let io = |source| Error::Io { name: segment.label(), call: "sem_init", source };
        events.into_iter().try_for_each(|event| event.semaphore.init()).map_err(io)?;
    }
    Ok(())
}

fn impossible(segment: &Segment, field: &'static str, found: u64) -> Error {
    Error::Geometry { name: segment.label(), field, found }
}

fn lines<T: AnyBytes>(segment: &Segment) -> Result<Shared<T>> {
    segment
        .shared(RING_OFFSET)
        .ok_or_else(|| impossible(segment, "ring_offset", segment.header().ring_offset))
}

fn checked(segment: &Segment) -> Result<(Shape, Common)> {
    let header = segment.header();
    if ![KIND_SPSC, KIND_MPMC].contains(&header.kind) {
        return Err(Error::WrongKind {
            name: segment.label(),
            found: header.kind,
            wanted: "1 (SPSC) or 2 (MPMC)",
        });
    }
    let judge = || Ok((Shape::of(header)?, Common::of(header)?));
    judge().map_err(|(field, found)| impossible(segment, field, found))
}

/// The records of a mapped SPSC ring.
pub fn records(segment: &Segment, geometry: Geometry) -> Result<View> {
    let memory = segment.memory(SPSC_DATA_OFFSET, geometry.capacity as usize);
    let memory = memory.ok_or_else(|| impossible(segment, "capacity", geometry.capacity))?;
    Ok(View::new(lines(segment)?, memory, geometry))
}

/// The slots of a mapped MPMC ring.
pub fn slots(segment: &Segment, geometry: SlotGeometry) -> Result<SlotView> {
    let participants = geometry.participants;
    let parties = segment.shared_slice(PARTIES_OFFSET, participants as usize);
    let parties = parties.ok_or_else(|| impossible(segment, "participants", participants.into()))?;
    let memory = segment.memory(slots_offset(participants), (geometry.slots * geometry.slot_len) as usize);
    let memory = memory.ok_or_else(|| impossible(segment, "capacity", geometry.slots))?;
    // Larger ones page by page, as they are touched.
    memory.map_pages(0, memory.len().min(8 << 20));
    Ok(SlotView::new(lines(segment)?, parties, memory, geometry))
}

/// Sees to it that other processes' heavy fences reach this one, where the segment's sleepers rely on them.
///
/// # Errors
/// The kernel has no membarrier(2), or forbids it.
pub fn join_fences(segment: &Segment) -> Result<()> {
    if segment.header().flags & FLAG_ASYMMETRIC_FENCES == 0 || register_for_heavy_fences() {
        return Ok(());
    }
    Err(Error::Unsupported {
        name: segment.label(),
        what: "membarrier(2), which this ring was made to use,",
        instead: "make the ring with plain fences",
    })
}

/// The stream in a mapped segment, or the ring of records, if it is one of this kind.
pub fn pages(segment: &Segment, kind: u32) -> Option<PageView> {
    let geometry = PageGeometry::of(segment.header(), kind).ok()?;
    let pages = geometry.pages as usize;
    let words = segment.shared_slice(PAGE_WORDS_OFFSET, pages)?;
    let memory = segment.memory(pages_offset(geometry.pages), pages * geometry.page_len)?;
    Some(PageView::new(segment.shared(RING_OFFSET)?, words, memory, geometry))
}

/// The message queue in a mapped segment, if it is one of this kind.
pub fn cells(segment: &Segment, kind: u32) -> Option<QueueView> {
    let header: Shared<QueueHeader> = segment.shared(RING_OFFSET)?;
    let geometry = QueueGeometry::of(segment.header(), kind, store::get(&header.limits.max_len)).ok()?;
    let (seats, cells) = (geometry.seats, geometry.cells as usize);
    let places = segment.shared_slice(QUEUE_SEATS_OFFSET, seats as usize)?;
    let nodes = segment.shared_slice(nodes_offset(seats), cells)?;
    let memory = segment.memory(cells_offset(seats, geometry.cells), cells * geometry.cell_len)?;
    Some(QueueView::new(header, places, nodes, memory, geometry))
}

/// One participant of a ring, seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct Party {
    /// Who, and in which state.
    pub peer: Peer,
    /// When it attached.
    pub since: Option<SystemTime>,
}

/// A ring, seen from outside. Everything in it may be stale at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RingInfo {
    /// Name or path.
    pub name: String,
    /// The kind of ring: `spsc` or `mpmc`; or whose the segment is: `pipe` (a FIFO's, too), `posix-mq`, `sysv-mq`,
    /// `socket` (a datagram socket's name). Of those it is only told how much they hold, and not who uses them.
    pub kind: &'static str,
    /// Data bytes. Of an MPMC ring: those of all slots.
    pub capacity: u64,
    /// How many messages fit, if that is fixed: the slots of an MPMC ring.
    pub slots: Option<u64>,
    /// The longest message in bytes.
    pub max_len: u64,
    /// Record boundary.
    pub align: Align,
    /// What waiters sleep on.
    pub wakeup: Wakeup,
    /// Who pays for the wake-up's fence.
    pub fences: Fences,
    /// Whether the name stays when the last participant leaves.
    pub persistent: bool,
    /// Bytes of shared memory.
    pub segment_bytes: u64,
    /// Bytes committed and not released, record headers and padding included. Of an MPMC ring: bytes of the slots that
    /// are not free.
    pub used_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// When the ring was made.
    pub created: SystemTime,
    /// The process that made it.
    pub creator_pid: u32,
    /// The sending end; of an MPMC ring, the sender that came last, a live one if there is any.
    pub producer: Party,
    /// The receiving end; of an MPMC ring, the receiver that came last, a live one if there is any.
    pub consumer: Party,
    /// Everybody who has or had a place: the two ends of an SPSC ring, all participants of an MPMC ring.
    pub participants: Vec<Participant>,
    /// The most participants at once.
    pub max_participants: u32,
}

/// What a participant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Sends, alone.
    Producer,
    /// Receives, alone.
    Consumer,
    /// Sends, with others.
    Sender,
    /// Receives, with others.
    Receiver,
}

/// One place in a ring and who has or had it.
#[derive(Clone, Copy, Debug)]
pub struct Participant {
    /// The number of the place; in an MPMC ring it stands in the slots that the participant holds.
    pub place: u32,
    /// What it does.
    pub role: Role,
    /// Who, and in which state.
    pub party: Party,
}

impl RingInfo {
    /// `fd` must be a description that holds no role of this ring.
    pub(crate) fn of(segment: &Segment, shape: Shape, common: Common, fd: BorrowedFd<'_>) -> RingInfo {
        let mut info = RingInfo::outside(segment, common);
        match shape {
            Shape::Spsc(geometry) => info.look_at_records(segment, geometry, fd),
            Shape::Mpmc(geometry) => info.look_at_slots(segment, geometry, fd),
        }
        info
    }

    /// A segment that belongs to this adapter.
    fn of_adapter(segment: &Segment, adapter: &'static str) -> Result<RingInfo> {
        let header = segment.header();
        let impossible = |(field, found)| impossible(segment, field, found);
        let common = Common::of(header).map_err(impossible)?;
        let mut info = RingInfo { kind: adapter, max_participants: 0, ..RingInfo::outside(segment, common) };
        if let Some(view) = pages(segment, KIND_PAGES) {
            (info.capacity, info.max_len) = (view.geometry.limit * PAGE_LEN as u64, PAGE_LEN as u64);
            info.used_bytes = ring_pages::unread(&view).unwrap_or(0) as u64;
        } else if let Some(view) = pages(segment, KIND_RECORDS) {
            (info.capacity, info.max_len) =
                (view.memory.len() as u64, Stream::new(view.clone()).longest_record(0) as u64);
            info.used_bytes = records::used_now(&view);
        } else if let Some(view) = cells(segment, header.kind) {
            info.capacity = store::get(&view.header.limits.bytes);
            info.max_len = view.geometry.max_len as u64;
            info.used_bytes = store::get(&view.header.store.bytes);
        } else if [KIND_SEM, KIND_SEMSET].contains(&header.kind) {
            // Permits are counted, nothing is carried.
            info.capacity = 0;
        } else {
            return Err(impossible(("capacity", header.capacity)));
        }
        Ok(info)
    }

    /// What the header says of a ring of any kind.
    fn outside(segment: &Segment, common: Common) -> RingInfo {
        let header = segment.header();
        let absent = Party { peer: Peer::Absent, since: None };
        RingInfo {
            name: segment.label(),
            kind: "spsc",
            capacity: header.capacity,
            slots: None,
            max_len: 0,
            align: Align::default(),
            wakeup: common.wakeup,
            fences: if common.asymmetric { Fences::Asymmetric } else { Fences::Plain },
            persistent: common.persistent,
            segment_bytes: header.segment_len,
            used_bytes: 0,
            mode: segment.stat().st_mode & 0o7777,
            uid: segment.stat().st_uid,
            created: UNIX_EPOCH + Duration::from_nanos(header.created_ns),
            creator_pid: header.creator_pid,
            producer: absent,
            consumer: absent,
            participants: Vec::new(),
            max_participants: 2,
        }
    }

    fn look_at_records(&mut self, segment: &Segment, geometry: Geometry, fd: BorrowedFd<'_>) {
        (self.max_len, self.align) = (geometry.max_len() as u64, geometry.align);
        let Ok(view) = records(segment, geometry) else { return };
        self.used_bytes = observed_bytes(&view);
        self.producer = Party::of(&view.header.parties[PRODUCER], || liveness::is_held(fd, PRODUCER));
        self.consumer = Party::of(&view.header.parties[CONSUMER], || liveness::is_held(fd, CONSUMER));
        for (place, role, party) in [(0, Role::Producer, self.producer), (1, Role::Consumer, self.consumer)] {
            if party.peer != Peer::Absent {
                self.participants.push(Participant { place, role, party });
            }
        }
    }

    fn look_at_slots(&mut self, segment: &Segment, geometry: SlotGeometry, fd: BorrowedFd<'_>) {
        (self.kind, self.slots) = ("mpmc", Some(geometry.slots));
        (self.max_len, self.capacity) = (geometry.max_len() as u64, geometry.slots * geometry.slot_len);
        self.max_participants = geometry.participants;
        let Ok(view) = slots(segment, geometry) else { return };
        self.used_bytes =
            sweep::observed(&view).filter(|word| word.is_used()).count() as u64 * geometry.slot_len;
        for (place, entry) in view.parties.iter().enumerate() {
            let role = match entry.state().role() {
                SENDER => Role::Sender,
                RECEIVER => Role::Receiver,
                _ => continue,
            };
            let party = Party::of(entry, || liveness::is_held(fd, place));
            self.participants.push(Participant { place: place as u32, role, party });
        }
        let latest = |role| {
            let those = self.participants.iter().filter(|participant| participant.role == role);
            let rank = |p: &&Participant| (matches!(p.party.peer, Peer::Attached { .. }), p.party.since);
            those.max_by_key(rank).map_or(self.producer, |participant| participant.party)
        };
        (self.producer, self.consumer) = (latest(Role::Sender), latest(Role::Receiver));
    }

    /// The processes that are attached now, each once.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let pid = |participant: &Participant| match participant.party.peer {
            Peer::Attached { pid } => Some(pid),
            _ => None,
        };
        let mut pids: Vec<_> = self.participants.iter().filter_map(pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }
}

impl Party {
    fn of(entry: &layout::Party, is_held: impl Fn() -> bool) -> Party {
        let since = entry.since();
        Party {
            peer: entry.peer(is_held),
            since: (since != 0).then(|| UNIX_EPOCH + Duration::from_nanos(since)),
        }
    }
}

/// One segment found in POSIX shared memory.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What it is, or why that cannot be told.
    pub info: Result<RingInfo>,
    /// Whether any process has it open.
    pub in_use: bool,
}

impl Listed {
    /// Whether it was left behind: meant to vanish with its last user, who was killed before it could take it away.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        !self.in_use && self.info.as_ref().is_ok_and(|info| !info.persistent)
    }
}

/// All slipring segments in POSIX shared memory, by name. One that vanishes meanwhile is left out; one that cannot be
/// used is listed with its error. What this process may not even read, as other users' rings of mode 0600, is not there:
/// whether such a file is a segment cannot be told. Never blocks; maps each segment for a moment.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be read.
pub fn list() -> Result<Vec<Listed>> {
    let look = |name: String| {
        let listed = Place::named(&name).and_then(|place| look(&place));
        match listed {
            Err(Error::NotFound { .. }) => None,
            Ok((info, in_use)) => Some(Listed { name, info: Ok(info), in_use }),
            Err(error) => Some(Listed { name, info: Err(error), in_use: false }),
        }
    };
    Ok(segment::names()?.into_iter().filter_map(look).collect())
}

/// Looks without joining: an observer keeps no name alive.
fn look(place: &Place) -> Result<(RingInfo, bool)> {
    let fd = Segment::open_file(place, Trust::Kernel)?;
    let (fd, segment) = Segment::open(place.clone(), fd, Trust::Kernel)?;
    let info = match layout::adapter_of(segment.header().kind) {
        Some(adapter) => RingInfo::of_adapter(&segment, adapter)?,
        None => {
            let (shape, common) = checked(&segment)?;
            RingInfo::of(&segment, shape, common, fd.as_fd())
        }
    };
    Ok((info, liveness::is_in_use(fd.as_fd())))
}

/// What can be known of the ring called `name`, without opening it.
///
/// # Errors
/// As [`Ring::open`].
pub fn stat(name: &str) -> Result<Listed> {
    stat_at(&Place::named(name)?)
}

/// As [`stat`], for a ring in a file.
///
/// # Errors
/// As [`Ring::open`].
pub fn stat_file(path: impl AsRef<Path>) -> Result<Listed> {
    stat_at(&Place::file(path.as_ref())?)
}

fn stat_at(place: &Place) -> Result<Listed> {
    look(place).map(|(info, in_use)| Listed { name: place.label(), info: Ok(info), in_use })
}

/// Removes a ring's name, if nobody has it open. Never blocks. What no forced removal meddles with is decided in one step:
/// whoever opens the ring meanwhile either keeps it or does not find it.
///
/// # Errors
/// [`Error::InUse`] with the processes attached; [`Error::NotFound`]; whatever says that it is no ring.
pub fn unlink(name: &str) -> Result<()> {
    unlink_at(&Place::named(name)?)
}

/// As [`unlink`], for a ring in a file.
///
/// # Errors
/// As [`unlink`].
pub fn unlink_file(path: impl AsRef<Path>) -> Result<()> {
    unlink_at(&Place::file(path.as_ref())?)
}

fn unlink_at(place: &Place) -> Result<()> {
    let fd = Segment::open_file(place, Trust::Kernel)?;
    let (fd, segment) = Segment::open(place.clone(), fd, Trust::Kernel)?;
    if liveness::unlink_if_unused(&segment, fd.as_fd())? {
        return Ok(());
    }
    let pids =
        checked(&segment).map(|(shape, common)| RingInfo::of(&segment, shape, common, fd.as_fd()).pids());
    Err(Error::InUse { name: place.label(), pids: pids.unwrap_or_default() })
}

/// Removes a ring's name whoever uses it: they keep the memory, newcomers will not find it. Also removes a segment
/// that is damaged or has another layout version, but never a file that is no segment. Never blocks.
///
/// What stands there is looked at and then removed, and no system call does both: a ring that somebody else makes under
/// this name in between loses its name to a removal that meant the one before it. So force one at a time.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotARing`], and what else stands in its place.
pub fn unlink_forced(name: &str) -> Result<()> {
    segment::unlink_segment(&Place::named(name)?)
}

/// As [`unlink_forced`], for a ring in a file.
///
/// # Errors
/// As [`unlink_forced`].
pub fn unlink_file_forced(path: impl AsRef<Path>) -> Result<()> {
    segment::unlink_segment(&Place::file(path.as_ref())?)
}
