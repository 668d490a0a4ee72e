//! System V queues and semaphore sets, the kernel's and sets of slipring's adapter. Their ids outlive every process. So they
//! have a *janitor*: one process that hears of each object by a pipe, whose other end all users hold. It sleeps until the last
//! of them has gone, killed or not, and then removes what was not removed before. It is out of reach of the terminal's signals.

use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getpid, setsid};
use slipring::adapters::semset::Set;
use slipring::adapters::sysv::{IPC_PRIVATE, Obtain};

use crate::error::HarnessError;

/// What kind of object an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Queue,
    Semaphores,
    SetOnRings,
}

fn remove(kind: Kind, id: i32) {
    // There is nobody to tell if somebody else has removed it already.
    match kind {
        // SAFETY: removal takes no buffer.
        Kind::Queue => drop(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }),
        // SAFETY: removal takes no argument.
        Kind::Semaphores => drop(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }),
        Kind::SetOnRings => drop(Set::from_id(id).remove()),
    }
}

/// What the janitor is told: whether there is such an object or not any more. Short enough for a pipe to keep it whole.
type Note = [u8; 6];

fn note(there: bool, kind: Kind, id: i32) -> Note {
    let [a, b, c, d] = id.to_ne_bytes();
    [there.into(), kind as u8, a, b, c, d]
}

fn read_note([there, kind, a, b, c, d]: Note) -> (bool, Kind, i32) {
    let kinds = [Kind::Queue, Kind::Semaphores, Kind::SetOnRings];
    (there != 0, kinds[usize::from(kind) % kinds.len()], i32::from_ne_bytes([a, b, c, d]))
}

/// The way to this process's janitor, which is started when the first object is made. Held by every user.
static JANITOR: Mutex<Option<(Pid, PipeWriter)>> = Mutex::new(None);

fn tell(note: Note) -> io::Result<()> {
    let mut janitor = JANITOR.lock().unwrap_or_else(PoisonError::into_inner);
    // A forked process that makes objects has a janitor of its own: its objects may go before its parent does.
    let (_, to) = match &mut *janitor {
        Some(own) if own.0 == getpid() => own,
        other => other.insert((getpid(), start_janitor()?)),
    };
    to.write_all(&note)
}

/// As nobody's child, so that whoever waits for all children does not wait for it.
fn start_janitor() -> io::Result<PipeWriter> {
    let (from, to) = pipe()?;
    // SAFETY: the harness measures from a process with one thread, so no lock of another one is inherited.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            while waitpid(child, None) == Err(Errno::EINTR) {}
            Ok(to)
        }
        ForkResult::Child => {
            drop(to);
            // SAFETY: as above. If it is refused there is no janitor, and the first note says so.
            if let Ok(ForkResult::Child) = unsafe { fork() } {
                serve(from);
            }
            leave()
        }
    }
}

/// Ends a process that was forked here.
fn leave() -> ! {
    // SAFETY: ends this process only; exit handlers and buffers belong to the parent it was copied from.
    unsafe { libc::_exit(0) }
}

/// The janitor's life.
fn serve(mut from: PipeReader) {
    // Fails only for a leader of a group, which a new process is not.
    let _ = setsid();
    let (mut kept, mut next) = (Vec::new(), Note::default());
    while from.read_exact(&mut next).is_ok() {
        let (there, kind, id) = read_note(next);
        if there {
            kept.push((kind, id));
        } else {
            kept.retain(|own| *own != (kind, id));
        }
    }
    kept.into_iter().for_each(|(kind, id)| remove(kind, id));
}

/// An object's id. Whoever made it removes it.
#[derive(Debug)]
struct Kept {
    kind: Kind,
    id: i32,
    owner: Pid,
}

impl Kept {
    fn new(kind: Kind, id: i32) -> Result<Kept, HarnessError> {
        let kept = Kept { kind, id, owner: getpid() };
        // If it cannot be told, the object goes with `kept`.
        tell(note(true, kind, id))
            .map_err(|error| HarnessError::os("telling the janitor of a System V object", error))?;
        Ok(kept)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The users that were forked are gone by now.
        if getpid() == self.owner {
            remove(self.kind, self.id);
            // It would find nothing to remove.
            let _ = tell(note(false, self.kind, self.id));
        }
    }
}

/// A message with its type in front, as the calls want it.
pub(super) const TYPE: usize = size_of::<libc::c_long>();

/// A message queue.
#[derive(Clone, Debug)]
pub struct Queue(Arc<Kept>);

impl Queue {
    pub(super) fn new() -> Result<Queue, HarnessError> {
        // SAFETY: makes a kernel object and touches no memory of ours.
        let id = unsafe { libc::msgget(libc::IPC_PRIVATE, libc::IPC_CREAT | 0o600) };
        let id =
            Errno::result(id).map_err(|errno| HarnessError::os("making a System V message queue", errno))?;
        Ok(Queue(Arc::new(Kept::new(Kind::Queue, id)?)))
    }

    /// Sends what stands behind the type.
    pub(super) fn send(&self, typed: &[u8]) -> io::Result<()> {
        let len = typed.len().checked_sub(TYPE).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the buffer holds a type and `len` bytes; a type that is out of range is refused.
        let sent = unsafe { libc::msgsnd(self.0.id, typed.as_ptr().cast(), len, 0) };
        Ok(Errno::result(sent).map(drop)?)
    }

    /// Receives the oldest message behind its type; its length. A longer one than there is room for is an error.
    pub(super) fn receive(&self, typed: &mut [u8]) -> io::Result<usize> {
        let room = typed.len().checked_sub(TYPE).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the buffer has room for a type and `room` bytes, and no more are written.
        let len = unsafe { libc::msgrcv(self.0.id, typed.as_mut_ptr().cast(), room, 0, 0) };
        Ok(Errno::result(len)? as usize)
    }
}

/// Two of the kernel's semaphores.
#[derive(Debug)]
pub struct SystemVSet(Kept);

impl SystemVSet {
    /// With these values.
    pub(super) fn new(values: [u16; 2]) -> Result<SystemVSet, HarnessError> {
        let failed = |errno: Errno| HarnessError::os("making System V semaphores", errno);
        // SAFETY: makes a kernel object and touches no memory of ours.
        let id = unsafe { libc::semget(libc::IPC_PRIVATE, 2, libc::IPC_CREAT | 0o600) };
        let set = SystemVSet(Kept::new(Kind::Semaphores, Errno::result(id).map_err(failed)?)?);
        for (number, value) in (0..).zip(values) {
            // SAFETY: SETVAL takes an integer; union semun passes it in the same way.
            let done = unsafe { libc::semctl(set.0.id, number, libc::SETVAL, libc::c_int::from(value)) };
            Errno::result(done).map_err(failed)?;
        }
        Ok(set)
    }

    /// One operation on one of them, which may sleep and be interrupted.
    pub(super) fn change(&self, number: u16, by: i16) -> io::Result<()> {
        let mut change = libc::sembuf { sem_num: number, sem_op: by, sem_flg: 0 };
        // SAFETY: one operation, which lives until the call returns.
        let done = unsafe { libc::semop(self.0.id, &raw mut change, 1) };
        Ok(Errno::result(done).map(drop)?)
    }
}

/// Two semaphores of the adapter.
#[derive(Debug)]
pub struct SetOnRings(Kept);

impl SetOnRings {
    /// With these values.
    pub(super) fn new(values: [u16; 2]) -> Result<SetOnRings, HarnessError> {
        let set = Set::with_values(IPC_PRIVATE, &values, Obtain::CreateNew, 0o600)
            .map_err(|error| HarnessError::os("making a semaphore set without the kernel", error))?;
        Kept::new(Kind::SetOnRings, set.id()).map(SetOnRings)
    }

    /// The set, which each process opens when it first uses it.
    pub(super) fn set(&self) -> Set {
        Set::from_id(self.0.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_was_written_in_it() {
        for kind in [Kind::Queue, Kind::Semaphores, Kind::SetOnRings] {
            for (there, id) in [(true, 0), (false, i32::MAX)] {
                assert_eq!(read_note(note(there, kind, id)), (there, kind, id));
            }
        }
    }
}
