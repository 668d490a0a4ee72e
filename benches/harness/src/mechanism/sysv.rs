//! System V queues and semaphore sets. Their ids outlive every process, so each object has a *janitor*: a process of
//! its own that sleeps until the last user has gone, killed or not, and then removes it. It is forked when the object is
//! made, hears from the owner or sees the end of a pipe whose other end all users hold, and is out of reach of the
//! terminal's signals.

use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getpid, setsid};

use crate::error::HarnessError;

/// What kind of object an id names.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Queue,
    Semaphores,
}

fn remove(kind: Kind, id: i32) {
    // There is nobody to tell if somebody else has removed it already.
    match kind {
        // SAFETY: removal takes no buffer.
        Kind::Queue => drop(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }),
        // SAFETY: removal takes no argument.
        Kind::Semaphores => drop(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }),
    }
}

/// An object's id, and its janitor.
#[derive(Debug)]
struct Kept {
    id: i32,
    /// Held by every user, and by the janitors of later objects; they end first.
    user: PipeWriter,
    janitor: Pid,
    owner: Pid,
}

impl Kept {
    fn new(kind: Kind, id: i32) -> Result<Kept, HarnessError> {
        let refused = |error| {
            remove(kind, id);
            HarnessError::os("starting the janitor of a System V object", error)
        };
        let (gone, user) = pipe().map_err(refused)?;
        // SAFETY: the harness measures from a process with one thread, so no lock of another one is inherited; the
        // child calls nothing but the kernel.
        match unsafe { fork() }.map_err(|errno| refused(errno.into()))? {
            ForkResult::Parent { child } => Ok(Kept { id, user, janitor: child, owner: getpid() }),
            ForkResult::Child => {
                drop(user);
                keep(kind, id, gone)
            }
        }
    }
}

/// The janitor's life.
fn keep(kind: Kind, id: i32, mut gone: PipeReader) -> ! {
    // Fails only for a leader of a group, which a new process is not.
    let _ = setsid();
    while matches!(gone.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::Interrupted) {}
    remove(kind, id);
    // SAFETY: ends this process only; exit handlers and buffers belong to the parent it was copied from.
    unsafe { libc::_exit(0) }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The users that were forked are gone by now. If the janitor is too, it has done its work.
        if getpid() == self.owner && self.user.write_all(&[1]).is_ok() {
            while waitpid(self.janitor, None) == Err(Errno::EINTR) {}
        }
    }
}

/// A message with its type in front, as the calls want it.
pub(super) const TYPE: usize = size_of::<libc::c_long>();

/// A message queue.
#[derive(Debug)]
pub struct Queue(Kept);

impl Queue {
    pub(super) fn new() -> Result<Queue, HarnessError> {
        // SAFETY: makes a kernel object and touches no memory of ours.
        let id = unsafe { libc::msgget(libc::IPC_PRIVATE, libc::IPC_CREAT | 0o600) };
        let id =
            Errno::result(id).map_err(|errno| HarnessError::os("making a System V message queue", errno))?;
        Kept::new(Kind::Queue, id).map(Queue)
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

/// Two semaphores.
#[derive(Debug)]
pub(super) struct Semaphores(Kept);

impl Semaphores {
    /// With these values.
    pub(super) fn new(values: [u16; 2]) -> Result<Semaphores, HarnessError> {
        let failed = |errno: Errno| HarnessError::os("making System V semaphores", errno);
        // SAFETY: makes a kernel object and touches no memory of ours.
        let id = unsafe { libc::semget(libc::IPC_PRIVATE, 2, libc::IPC_CREAT | 0o600) };
        let set = Semaphores(Kept::new(Kind::Semaphores, Errno::result(id).map_err(failed)?)?);
        for (number, value) in (0..).zip(values) {
            // SAFETY: SETVAL takes an integer; union semun passes it in the same way.
            let done = unsafe { libc::semctl(set.0.id, number, libc::SETVAL, libc::c_int::from(value)) };
            Errno::result(done).map_err(failed)?;
        }
        Ok(set)
    }

    /// Takes one from the semaphore, and sleeps until there is one.
    pub(super) fn down(&self, number: u16) -> Result<(), HarnessError> {
        self.change(number, -1)
    }

    /// Adds one to the semaphore.
    pub(super) fn up(&self, number: u16) -> Result<(), HarnessError> {
        self.change(number, 1)
    }

    fn change(&self, number: u16, by: i16) -> Result<(), HarnessError> {
        let mut change = libc::sembuf { sem_num: number, sem_op: by, sem_flg: 0 };
        loop {
            // SAFETY: one operation, which lives until the call returns.
            let done = unsafe { libc::semop(self.0.id, &raw mut change, 1) };
            match Errno::result(done) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(HarnessError::os("changing a System V semaphore", errno)),
            }
        }
    }
}
