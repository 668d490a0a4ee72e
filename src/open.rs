//! From a name and options to handles: the one place that knows segments, leases and channels together.
#![forbid(unsafe_code)]

use crate::channel::spsc::{Consumer, Producer, Seat};
use crate::channel::{Host, Peer};
use crate::error::{Corrupt, Error, Result};
use crate::layout::{
    Align, CONSUMER, FLAG_ASYMMETRIC_FENCES, FLAG_PERSISTENT, KIND_SPSC, MAGIC, MAX_CAPACITY, MIN_CAPACITY,
    PRODUCER, SPSC_DATA_OFFSET, SPSC_OFFSET, SegmentHeader, SpscHeader, VERSION, Wakeup,
};
use crate::liveness::{self, Lease};
use crate::ring::spsc::observed_bytes;
use crate::segment::{self, Place, Segment, Trust};
use crate::sync::{Shared, register_for_heavy_fences};
use crate::view::{Geometry, View};
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
    capacity: usize,
    align: Align,
    wakeup: Wakeup,
    fences: Fences,
    persistent: bool,
    mode: u32,
    trust: Trust,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            capacity: 1 << 20,
            align: Align::default(),
            wakeup: Wakeup::default(),
            fences: Fences::default(),
            persistent: false,
            mode: 0o600,
            trust: Trust::default(),
        }
    }
}

impl Options {
    /// 1 MiB, records on cache lines, futex wake-up, gone with its last user, mode 0600.
    pub fn new() -> Self {
        Options::default()
    }

    /// Data bytes, a power of two from 4 KiB to 4 GiB. A message takes its length + 8, rounded up to the boundary of
    /// [`Options::align`]; the longest is half the capacity less 8.
    pub fn capacity(self, bytes: usize) -> Self {
        Options { capacity: bytes, ..self }
    }

    /// On which boundary records start.
    pub fn align(self, align: Align) -> Self {
        Options { align, ..self }
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
        let capacity = self.capacity as u64;
        if !capacity.is_power_of_two() || !(MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity) {
            let allowed = format!("a power of two from {MIN_CAPACITY} to {MAX_CAPACITY} bytes");
            return bad("capacity", capacity.to_string(), allowed);
        }
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
        let mut header = SegmentHeader {
            magic: MAGIC,
            version: VERSION,
            kind: KIND_SPSC,
            segment_len: SPSC_DATA_OFFSET as u64 + capacity,
            ring_offset: SPSC_OFFSET as u64,
            data_offset: SPSC_DATA_OFFSET as u64,
            capacity,
            align: self.align.bytes() as u32,
            wakeup: self.wakeup.code(),
            flags: u32::from(persistent) * FLAG_PERSISTENT + u32::from(asymmetric) * FLAG_ASYMMETRIC_FENCES,
            creator_pid: std::process::id(),
            creator_uid: nix::unistd::geteuid().as_raw(),
            mode: self.mode,
            created_ns: now_ns(),
            checksum: 0,
        };
        header.checksum = header.expected_checksum();
        Ok(header)
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64)
}

/// An SPSC ring that this process has open: mapped, and marked as in use, so that its name does not vanish. The ends
/// come from [`Ring::producer`] and [`Ring::consumer`] and live on their own. `Send` and `Sync`.
pub struct Ring {
    lease: Lease,
    geometry: Geometry,
    trust: Trust,
}

impl Ring {
    /// Makes a ring called `name` (as `/prices`) in POSIX shared memory (shm_overview(7)).
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::BadName`], [`Error::NameTooLong`], [`Error::BadOption`], [`Error::NoSpace`],
    /// [`Error::Symlink`], [`Error::Directory`], [`Error::NotAFile`], [`Error::Permission`].
    pub fn create(name: &str, options: &Options) -> Result<Ring> {
        Self::create_at(Place::named(name)?, options)
    }

    /// Opens the ring called `name`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and everything that says why what stands there cannot be used.
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
        if Wakeup::from_code(header.wakeup) == Some(Wakeup::Semaphore) {
            let lines = control_lines(&segment)?;
            for event in [&lines.items, &lines.space] {
                let io = |source| Error::Io { name: segment.label(), call: "sem_init", source };
                event.semaphore.init().map_err(io)?;
            }
        }
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
        let geometry = geometry(&segment)?;
        if trust == Trust::Distrust && geometry.wakeup == Wakeup::Semaphore {
            // The C library obeys what it finds in a sem_t, flags for futex(2) included, and aborts on nonsense.
            return Err(Error::Unsupported {
                name: segment.label(),
                what: "a semaphore that a distrusted peer may write",
                instead: "make the ring with a futex to wake up by",
            });
        }
        if geometry.asymmetric && !register_for_heavy_fences() {
            return Err(Error::Unsupported {
                name: segment.label(),
                what: "membarrier(2), which this ring was made to use,",
                instead: "make the ring with plain fences",
            });
        }
        let lease = Lease::join(fd.as_fd(), Arc::new(segment), geometry.persistent)?;
        Ok(lease.map(|lease| Ring { lease, geometry, trust }))
    }

    fn segment(&self) -> &Arc<Segment> {
        self.lease.segment()
    }

    /// A file descriptor to pass on, if the ring is anonymous.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.segment().base()
    }

    /// The sending end, for this process alone until it is dropped.
    ///
    /// # Errors
    /// [`Error::Busy`] while another live handle, here or elsewhere, is the producer; [`Error::Forked`] in a child
    /// that inherited a named ring; [`Error::Corrupt`].
    pub fn producer(&self) -> Result<Producer> {
        let (view, seat) = self.seat(self.another_lease()?, PRODUCER, "producer")?;
        Producer::attach(view, seat).map_err(|fault| self.corrupt(fault))
    }

    /// The receiving end, for this process alone until it is dropped.
    ///
    /// # Errors
    /// As [`Ring::producer`].
    pub fn consumer(&self) -> Result<Consumer> {
        let (view, seat) = self.seat(self.another_lease()?, CONSUMER, "consumer")?;
        Consumer::attach(view, seat).map_err(|fault| self.corrupt(fault))
    }

    /// As [`Ring::producer`], with the ring's own file descriptor instead of another.
    ///
    /// # Errors
    /// As [`Ring::producer`].
    pub fn into_producer(self) -> Result<Producer> {
        let name = self.segment().label();
        let Ring { lease, geometry, trust } = self;
        let (view, seat) = seat(lease, geometry, trust, PRODUCER, "producer")?;
        Producer::attach(view, seat).map_err(|fault| Error::Corrupt { name, fault })
    }

    /// As [`Ring::consumer`], with the ring's own file descriptor instead of another.
    ///
    /// # Errors
    /// As [`Ring::producer`].
    pub fn into_consumer(self) -> Result<Consumer> {
        let name = self.segment().label();
        let Ring { lease, geometry, trust } = self;
        let (view, seat) = seat(lease, geometry, trust, CONSUMER, "consumer")?;
        Consumer::attach(view, seat).map_err(|fault| Error::Corrupt { name, fault })
    }

    fn corrupt(&self, fault: Corrupt) -> Error {
        Error::Corrupt { name: self.segment().label(), fault }
    }

    fn another_lease(&self) -> Result<Lease> {
        let segment = self.segment();
        let from = match segment.base() {
            Some(base) => base,
            None if self.lease.is_own() => self.lease.fd(),
            None => return Err(Error::Forked { name: segment.label() }),
        };
        match Lease::join(from, segment.clone(), self.geometry.persistent)? {
            Some(lease) => Ok(lease),
            None => Err(Error::BeingRemoved { name: segment.label() }),
        }
    }

    fn seat(&self, lease: Lease, party: usize, role: &'static str) -> Result<(View, Seat)> {
        seat(lease, self.geometry, self.trust, party, role)
    }

    /// What can be known of the ring now. Asks the kernel who lives.
    #[must_use]
    pub fn info(&self) -> RingInfo {
        let fd = self.segment().base().unwrap_or(self.lease.fd());
        RingInfo::of(self.segment(), self.geometry, fd)
    }
}

fn control_lines(segment: &Segment) -> Result<Shared<SpscHeader>> {
    let header = segment.header();
    let impossible =
        || Error::Geometry { name: segment.label(), field: "ring_offset", found: header.ring_offset };
    segment.shared(SPSC_OFFSET).ok_or_else(impossible)
}

fn geometry(segment: &Segment) -> Result<Geometry> {
    let header = segment.header();
    if header.kind != KIND_SPSC {
        return Err(Error::WrongKind { name: segment.label(), found: header.kind, wanted: "1 (SPSC)" });
    }
    Geometry::of(header).map_err(|(field, found)| Error::Geometry { name: segment.label(), field, found })
}

fn view(segment: &Segment, geometry: Geometry) -> Result<View> {
    let lines = control_lines(segment)?;
    let impossible =
        || Error::Geometry { name: segment.label(), field: "capacity", found: geometry.capacity };
    let memory = segment.memory(SPSC_DATA_OFFSET, geometry.capacity as usize).ok_or_else(impossible)?;
    Ok(View::new(lines, memory, geometry))
}

fn seat(
    lease: Lease,
    geometry: Geometry,
    trust: Trust,
    party: usize,
    role: &'static str,
) -> Result<(View, Seat)> {
    let view = view(lease.segment(), geometry)?;
    if !lease.is_own() {
        return Err(Error::Forked { name: lease.segment().label() });
    }
    if !lease.take(party)? {
        let word = view.header.parties[party].state();
        let pid = (word.pid() != 0).then_some(word.pid());
        return Err(Error::Busy { name: lease.segment().label(), role, pid });
    }
    let seat = Seat {
        host: Box::new(lease),
        pid: std::process::id(),
        now_ns: now_ns(),
        trusted: trust == Trust::Kernel,
    };
    Ok((view, seat))
}

impl Host for Lease {
    fn is_held(&self, party: usize) -> bool {
        Lease::is_held(self, party)
    }
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
    /// The kind of ring; so far always `spsc`.
    pub kind: &'static str,
    /// Data bytes.
    pub capacity: u64,
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
    /// Bytes committed and not released, record headers and padding included.
    pub used_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// When the ring was made.
    pub created: SystemTime,
    /// The process that made it.
    pub creator_pid: u32,
    /// The sending end.
    pub producer: Party,
    /// The receiving end.
    pub consumer: Party,
}

impl RingInfo {
    /// `fd` must be a description that holds no role of this ring.
    fn of(segment: &Segment, geometry: Geometry, fd: BorrowedFd<'_>) -> RingInfo {
        let header = segment.header();
        let time = |ns| UNIX_EPOCH + Duration::from_nanos(ns);
        let absent = Party { peer: Peer::Absent, since: None };
        let (mut used_bytes, mut producer, mut consumer) = (0, absent, absent);
        if let Ok(view) = view(segment, geometry) {
            let party = |index: usize| {
                let party = &view.header.parties[index];
                let since = party.since();
                Party {
                    peer: party.peer(|| liveness::is_held(fd, index)),
                    since: (since != 0).then(|| time(since)),
                }
            };
            (producer, consumer, used_bytes) = (party(PRODUCER), party(CONSUMER), observed_bytes(&view));
        }
        RingInfo {
            name: segment.label(),
            kind: "spsc",
            capacity: geometry.capacity,
            max_len: geometry.max_len() as u64,
            align: geometry.align,
            wakeup: geometry.wakeup,
            fences: if geometry.asymmetric { Fences::Asymmetric } else { Fences::Plain },
            persistent: geometry.persistent,
            segment_bytes: header.segment_len,
            used_bytes,
            mode: segment.stat().st_mode & 0o7777,
            uid: segment.stat().st_uid,
            created: time(header.created_ns),
            creator_pid: header.creator_pid,
            producer,
            consumer,
        }
    }

    /// The processes that are attached now.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let pid = |party: &Party| match party.peer {
            Peer::Attached { pid } => Some(pid),
            _ => None,
        };
        [&self.producer, &self.consumer].into_iter().filter_map(pid).collect()
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
/// read is listed with its error.
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
    let geometry = geometry(&segment)?;
    let info = RingInfo::of(&segment, geometry, fd.as_fd());
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

/// Removes a ring's name, if nobody has it open.
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
    let pids = geometry(&segment).map(|geometry| RingInfo::of(&segment, geometry, fd.as_fd()).pids());
    Err(Error::InUse { name: place.label(), pids: pids.unwrap_or_default() })
}

/// Removes a ring's name whoever uses it: they keep the memory, newcomers will not find it. Also removes a segment
/// that is damaged or has another layout version, but never a file that is no segment.
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
