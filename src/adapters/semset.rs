//! System V semaphore sets (semget(2), semop(2), semctl(2)): several semaphores that change as one, found by key or
//! identifier, changes that are undone when their process is gone.
//!
//! What counts is `channel/semset/`; keys and identifiers are `sysv`'s. Here is what makes it System V's: errors, and who a
//! process is. A process that uses a set takes a number in it, once, with a lease that the kernel drops when the process is
//! gone, by whatever way. All its threads and handles use that number, so the end of a thread undoes nothing; a forked child
//! takes another, so it inherits nothing to be undone.
//!
//! ```
//! use slipring::adapters::semset::{Operation, Set};
//! use slipring::adapters::sysv::{IPC_PRIVATE, Obtain};
//!
//! let set = Set::with_values(IPC_PRIVATE, &[3, 0], Obtain::CreateNew, 0o600)?;
//! // Two from the first to the second, or nothing.
//! set.operate(&[Operation::new(0, -2).undo(), Operation::new(1, 2)])?;
//! assert_eq!(set.values()?, [1, 2]);
//! set.remove()?;
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

use crate::adapters::pipe::errno;
use crate::adapters::queue::now;
use crate::adapters::seat::Seat;
use crate::adapters::sem::header;
use crate::adapters::sysv::{self, Object, Obtain, permitted, unlink_names};
use crate::channel::lock::{NOBODY, Who};
use crate::channel::semset::{self as core, Ask, Caller, Stop};
use crate::layout::{
    KIND_SEMSET, MAX_SEMAPHORES, RING_OFFSET, SET_CELLS_OFFSET, set_cells, set_cells_with_places, set_len,
    set_record_offset,
};
use crate::liveness::while_nobody_forks;
use crate::segment::{Place, Segment};
use crate::sync::Deadline;
use crate::view::SetView;
use nix::errno::Errno;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use crate::channel::semset::VALUE_MAX;

/// The most operations of one call (SEMOPM).
pub const OPERATIONS_MAX: usize = 500;
/// The most semaphores of a set (SEMMSL).
pub const SEMAPHORES_MAX: usize = MAX_SEMAPHORES as usize;

/// The numbers that processes take in a set.
const NUMBERS: Range<usize> = 1..NOBODY as usize;

/// One operation on one semaphore of a set (struct sembuf).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Operation(core::Operation);

impl Operation {
    /// Changes semaphore `number` by `change`: more adds permits, less takes them, waiting until there are so many; 0 waits
    /// until there are none.
    pub fn new(number: u16, change: i16) -> Self {
        Operation(core::Operation { number, change, nowait: false, undo: false })
    }

    /// If this operation would have to wait, the call fails with EAGAIN (IPC_NOWAIT).
    pub fn nowait(mut self) -> Self {
        self.0.nowait = true;
        self
    }

    /// What this operation changes is changed back when the process is gone (SEM_UNDO).
    pub fn undo(mut self) -> Self {
        self.0.undo = true;
        self
    }
}

/// A set of semaphores, by its identifier. It is no hold on anything: the set stays until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    id: i32,
}

/// What people want to know of a set (struct semid_ds). May be stale at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// Its identifier.
    pub id: i32,
    /// The key that it was made with.
    pub key: i32,
    /// Who owns it.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// How many semaphores.
    pub semaphores: usize,
    /// When somebody last operated on it, in seconds since 1970; 0 for never (sem_otime).
    pub operated: u64,
    /// When it was made or changed (sem_ctime).
    pub changed: u64,
}

/// What [`Set::set`] changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose it is; only root may give it to another user.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// A set in its segment.
struct Found {
    fd: OwnedFd,
    segment: Arc<Segment>,
    view: SetView,
}

/// A set as this process has it.
struct Opened {
    id: i32,
    segment: Arc<Segment>,
    view: SetView,
    seat: Seat,
}

/// The sets that this process has used. They stay, as what they undo ends with the process, and not before.
static OPEN: Mutex<Vec<Arc<Opened>>> = Mutex::new(Vec::new());

fn stopped(stop: Stop) -> io::Error {
    io::Error::from(match stop {
        Stop::WouldBlock => Errno::EAGAIN,
        Stop::Interrupted => Errno::EINTR,
        Stop::NoSet => Errno::EINVAL,
        Stop::Removed => Errno::EIDRM,
        Stop::Range => Errno::ERANGE,
        Stop::NoSemaphore => Errno::EINVAL,
        Stop::NoRow => Errno::ENOMEM,
        Stop::Corrupt(_) => Errno::EIO,
    })
}

fn view(segment: &Segment) -> io::Result<SetView> {
    let header = segment.header();
    let count = header.capacity as usize;
    let sound = header.kind == KIND_SEMSET
        && (1..=MAX_SEMAPHORES).contains(&header.capacity)
        && header.segment_len == RING_OFFSET as u64 + set_len(count);
    let parts = || {
        let header = segment.shared(RING_OFFSET)?;
        let cells = segment.shared_slice(SET_CELLS_OFFSET, set_cells_with_places(count))?;
        let record = segment.shared_slice(set_record_offset(count), set_cells(count))?;
        Some(SetView::new(header, cells, record, count))
    };
    if sound { parts().ok_or_else(|| Errno::EIO.into()) } else { Err(Errno::EINVAL.into()) }
}

fn call<T>(
    view: &SetView,
    seat: &Seat,
    verb: impl FnOnce(&core::Set, &Caller<'_>) -> Result<T, Stop>,
) -> io::Result<T> {
    let lives = |number: u32| seat.lives(number);
    let caller = Caller { who: Who { me: seat.me, lives: &lives }, pid: seat.pid, now: now() };
    verb(&core::Set::new(view.clone()), &caller).map_err(stopped)
}

impl Found {
    /// A number in it for this process, for as long as the seat lives.
    fn seat(&self) -> io::Result<Seat> {
        let seat = Seat::take(self.fd.as_fd(), &self.segment, NUMBERS)?;
        call(&self.view, &seat, core::Set::adopt)?;
        Ok(seat)
    }

    /// Does `verb` once.
    fn once<T>(&self, verb: impl FnOnce(&core::Set, &Caller<'_>) -> Result<T, Stop>) -> io::Result<T> {
        call(&self.view, &self.seat()?, verb)
    }

    /// As they were at some moment.
    fn facts(&self) -> core::Facts {
        core::hints(&self.view)
    }
}

impl Object for Found {
    const KIND: &'static str = "semset";

    fn in_segment(fd: OwnedFd, segment: Segment) -> io::Result<Self> {
        let view = view(&segment)?;
        Ok(Found { fd, segment: Arc::new(segment), view })
    }

    fn key(&self) -> i32 {
        self.facts().key
    }

    fn segment(&self) -> &Segment {
        &self.segment
    }

    fn while_there<T>(&mut self, work: impl FnOnce(&Segment, BorrowedFd<'_>) -> T) -> io::Result<T> {
        self.once(|set, caller| set.while_there(caller, || work(&self.segment, self.fd.as_fd())))
    }

    fn alone(&mut self, work: impl FnOnce(&Segment)) -> io::Result<()> {
        self.once(|set, caller| set.alone(caller, || work(&self.segment)))
    }
}

impl Opened {
    fn new(id: i32) -> io::Result<Opened> {
        let found: Found = sysv::of_id(id)?;
        let seat = found.seat()?;
        Ok(Opened { id, segment: found.segment, view: found.view, seat })
    }

    fn call<T>(&self, verb: impl FnOnce(&core::Set, &Caller<'_>) -> Result<T, Stop>) -> io::Result<T> {
        call(&self.view, &self.seat, verb)
    }

    /// EPERM unless this user may change the set itself, or remove it.
    fn owned(&self) -> io::Result<()> {
        let own = nix::unistd::geteuid().as_raw();
        let its = core::hints(&self.view).uid;
        if own == 0 || own == its { Ok(()) } else { Err(Errno::EPERM.into()) }
    }

    /// EACCES unless these permission bits allow it (4 read, 2 change).
    fn permitted(&self, wanted: u32) -> io::Result<()> {
        let facts = core::hints(&self.view);
        permitted(facts.uid.into(), facts.mode, wanted)
    }
}

impl Set {
    /// The set of this key, or a new one with so many semaphores, all of them zero (semget(2)). An existing one must have
    /// as many at least.
    ///
    /// # Errors
    /// ENOENT, EEXIST, EACCES, ENOSPC; EINVAL for more than [`SEMAPHORES_MAX`], for none in a new one, and for more than
    /// the existing one has.
    pub fn get(key: i32, semaphores: usize, how: Obtain, mode: u32) -> io::Result<Set> {
        Set::obtain(key, semaphores, how, mode, |_| 0)
    }

    /// As [`Set::get`], a new one having these values from its first moment: nobody sees it without.
    ///
    /// # Errors
    /// As [`Set::get`], and ERANGE for a value beyond [`VALUE_MAX`].
    pub fn with_values(key: i32, values: &[u16], how: Obtain, mode: u32) -> io::Result<Set> {
        if values.iter().any(|&value| i32::from(value) > VALUE_MAX) {
            return Err(Errno::ERANGE.into());
        }
        Set::obtain(key, values.len(), how, mode, |number| values[number])
    }

    fn obtain(
        key: i32,
        semaphores: usize,
        how: Obtain,
        mode: u32,
        value: impl Fn(usize) -> u16,
    ) -> io::Result<Set> {
        if semaphores > SEMAPHORES_MAX {
            return Err(Errno::EINVAL.into());
        }
        let make = |place: Place| {
            if semaphores == 0 {
                return Err(Errno::EINVAL.into());
            }
            let header = header(KIND_SEMSET, semaphores as u64, set_len(semaphores), 0o600);
            let (fd, segment) = Segment::create(place, header, 0o600).map_err(errno)?;
            let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
            let facts = core::Facts { key, uid, gid, mode: mode & 0o777, operated: 0, changed: now() };
            core::Set::new(view(&segment)?).begin(&facts, (0..semaphores).map(&value));
            Ok((fd, segment))
        };
        let check = |found: &Found| {
            if found.view.semaphores < semaphores {
                return Err(Errno::EINVAL.into());
            }
            let wanted = (mode >> 6 | mode >> 3 | mode) & 0o6;
            let facts = found.facts();
            permitted(facts.uid.into(), facts.mode, wanted)
        };
        let found: Found = sysv::get(key, how, check, make)?;
        Ok(Set { id: sysv::id_of(&found.segment) })
    }

    /// The set of this identifier, which may be none: every call on it says so then, with EINVAL.
    #[must_use]
    pub fn from_id(id: i32) -> Set {
        Set { id }
    }

    /// Its identifier.
    #[must_use]
    pub fn id(self) -> i32 {
        self.id
    }

    /// All sets of this user.
    ///
    /// # Errors
    /// /dev/shm cannot be read.
    pub fn all() -> io::Result<Vec<Set>> {
        Ok(sysv::list::<Found>()?.into_iter().map(|id| Set { id }).collect())
    }

    /// Does all of `operations`, in their order, as one, sleeping until that is possible (semop(2)).
    ///
    /// # Errors
    /// EAGAIN if an operation that is not to wait would have to; EINTR after any signal's handler that was installed without
    /// SA_RESTART; EIDRM if the set was removed meanwhile, EINVAL if before, or without an operation; E2BIG for more than
    /// [`OPERATIONS_MAX`]; EFBIG if there is no such semaphore; ERANGE beyond [`VALUE_MAX`]; EACCES; ENOMEM if too many
    /// processes have changes to be undone in this set.
    pub fn operate(self, operations: &[Operation]) -> io::Result<()> {
        self.operate_until(operations, || Deadline::NEVER)
    }

    /// As [`Set::operate`], giving up after `time` with EAGAIN (semtimedop(2)).
    ///
    /// # Errors
    /// As [`Set::operate`].
    pub fn operate_timeout(self, operations: &[Operation], time: Duration) -> io::Result<()> {
        self.operate_until(operations, || Deadline::after(time))
    }

    fn operate_until(self, operations: &[Operation], deadline: impl Fn() -> Deadline) -> io::Result<()> {
        if operations.is_empty() || self.id < 0 {
            return Err(Errno::EINVAL.into());
        }
        if operations.len() > OPERATIONS_MAX {
            return Err(Errno::E2BIG.into());
        }
        let operations: Vec<_> = operations.iter().map(|operation| operation.0).collect();
        let opened = self.opened()?;
        if operations.iter().any(|operation| usize::from(operation.number) >= opened.view.semaphores) {
            return Err(Errno::EFBIG.into());
        }
        let alters = operations.iter().any(|operation| operation.change != 0);
        opened.permitted(if alters { 2 } else { 4 })?;
        opened.call(|set, caller| set.operate(&operations, caller, deadline()))
    }

    fn call<T>(
        self,
        wanted: u32,
        verb: impl FnOnce(&core::Set, &Caller<'_>) -> Result<T, Stop>,
    ) -> io::Result<T> {
        let opened = self.opened()?;
        opened.permitted(wanted)?;
        opened.call(verb)
    }

    /// The value of a semaphore (GETVAL).
    ///
    /// # Errors
    /// EINVAL if there is no such set or semaphore, EACCES.
    pub fn value(self, number: usize) -> io::Result<u16> {
        self.call(4, |set, caller| set.ask(Ask::Value, number, caller)).map(|value| value as u16)
    }

    /// The values of all (GETALL).
    ///
    /// # Errors
    /// EINVAL if there is no such set, EACCES.
    pub fn values(self) -> io::Result<Vec<u16>> {
        self.call(4, core::Set::values)
    }

    /// Sets the value of a semaphore; nothing is undone of it any more, by nobody (SETVAL).
    ///
    /// # Errors
    /// EINVAL if there is no such set or semaphore, ERANGE, EACCES.
    pub fn set_value(self, number: usize, value: i32) -> io::Result<()> {
        if self.id < 0 {
            return Err(Errno::EINVAL.into());
        }
        if !(0..=VALUE_MAX).contains(&value) {
            return Err(Errno::ERANGE.into());
        }
        let opened = self.opened()?;
        // The number before the permission (semctl_setval in Linux's ipc/sem.c); those who ask for a value find it the other
        // way round.
        if number >= opened.view.semaphores {
            return Err(Errno::EINVAL.into());
        }
        opened.permitted(2)?;
        opened.call(|set, caller| set.set_value(number, value, caller))
    }

    /// Sets the values of all; nothing is undone any more (SETALL).
    ///
    /// # Errors
    /// As [`Set::set_value`]; EINVAL also if these are not as many as there are semaphores.
    pub fn set_values(self, values: &[u16]) -> io::Result<()> {
        let opened = self.opened()?;
        if values.len() != opened.view.semaphores {
            return Err(Errno::EINVAL.into());
        }
        let numbered = values.iter().map(|&value| i32::from(value)).enumerate();
        opened.permitted(2)?;
        opened.call(|set, caller| set.set_all(numbered, caller))
    }

    /// The process that last operated on a semaphore; 0 for none (GETPID).
    ///
    /// # Errors
    /// As [`Set::value`].
    pub fn pid(self, number: usize) -> io::Result<u32> {
        self.call(4, |set, caller| set.ask(Ask::Pid, number, caller))
    }

    /// How many sleep until a semaphore has more (GETNCNT).
    ///
    /// # Errors
    /// As [`Set::value`].
    pub fn waiting_for_more(self, number: usize) -> io::Result<u32> {
        self.call(4, |set, caller| set.ask(Ask::WaitingForMore, number, caller))
    }

    /// How many sleep until a semaphore is zero (GETZCNT).
    ///
    /// # Errors
    /// As [`Set::value`].
    pub fn waiting_for_zero(self, number: usize) -> io::Result<u32> {
        self.call(4, |set, caller| set.ask(Ask::WaitingForZero, number, caller))
    }

    /// What people want to know (IPC_STAT).
    ///
    /// # Errors
    /// EINVAL if there is no such set, EACCES.
    pub fn facts(self) -> io::Result<Facts> {
        let opened = self.opened()?;
        opened.permitted(4)?;
        let core::Facts { key, uid, gid, mode, operated, changed } = opened.call(core::Set::facts)?;
        let semaphores = opened.view.semaphores;
        Ok(Facts { id: self.id, key, uid, gid, mode, semaphores, operated, changed })
    }

    /// Changes owner, group and permission bits (IPC_SET). Nobody but this user and root can use the set whatever they say.
    ///
    /// # Errors
    /// EINVAL if there is no such set; EPERM if it is not this user's, or would be another's.
    pub fn set(self, change: &Change) -> io::Result<()> {
        let opened = self.opened()?;
        opened.owned()?;
        let own = nix::unistd::geteuid().as_raw();
        if own != 0 && change.uid != own {
            return Err(Errno::EPERM.into());
        }
        let Change { uid, gid, mode } = *change;
        opened.call(|set, caller| set.change([uid, gid, mode & 0o777], caller))
    }

    /// Removes the set; whoever sleeps on it wakes with EIDRM (IPC_RMID).
    ///
    /// # Errors
    /// EINVAL if there is no such set, EPERM if it is not this user's.
    pub fn remove(self) -> io::Result<()> {
        let opened = self.opened()?;
        opened.owned()?;
        let unlink = || unlink_names::<Found>(core::hints(&opened.view).key, &opened.segment);
        let removed = opened.call(|set, caller| set.remove(caller, unlink));
        self.forget();
        removed
    }

    fn forget(self) {
        let gone = while_nobody_forks(|| {
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            let at = open.iter().position(|opened| opened.id == self.id);
            at.map(|at| open.swap_remove(at))
        });
        drop(gone);
    }

    /// As this process has it already, or opened now.
    fn opened(self) -> io::Result<Arc<Opened>> {
        let own = |opened: &&Arc<Opened>| opened.id == self.id && opened.seat.is_own();
        let find = || OPEN.lock().unwrap_or_else(PoisonError::into_inner).iter().find(own).cloned();
        let known = while_nobody_forks(find);
        if let Some(known) = known {
            if !core::is_removed(&known.view) {
                return Ok(known);
            }
            self.forget();
            return Err(Errno::EINVAL.into());
        }
        let new = Arc::new(Opened::new(self.id)?);
        // Another thread may have been quicker; then its number is this process's.
        let (opened, others) = while_nobody_forks(|| {
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            let others = open.extract_if(.., |opened| !opened.seat.is_own()).collect::<Vec<_>>();
            let opened = open.iter().find(own).cloned();
            if opened.is_none() {
                open.push(new.clone());
            }
            (opened, others)
        });
        drop(others);
        Ok(opened.unwrap_or(new))
    }
}
