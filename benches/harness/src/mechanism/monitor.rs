//! The textbook's circular buffer of ten, between two processes: count, head and tail in shared memory, under a
//! process-shared robust mutex, with the conditions *not empty* and *not full*. A message is written and read under the
//! lock; who waits is told when the lock is free again.

use nix::errno::Errno;

use super::{Copies, Mechanism, ReceiveMessage, SendMessage};
use crate::error::HarnessError;
use crate::shared::SharedBytes;

const PLACES: u64 = 10;

/// Where everything stands: a line and its neighbour each.
const MUTEX: usize = 0;
const NOT_EMPTY: usize = 128;
const NOT_FULL: usize = 256;
const COUNT: usize = 384;
const HEAD: usize = 392;
const TAIL: usize = 400;
const MESSAGES: usize = 512;

const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= NOT_EMPTY - MUTEX);
const _: () = assert!(size_of::<libc::pthread_cond_t>() <= NOT_FULL - NOT_EMPTY);

/// The buffer, its lock and its conditions.
#[derive(Debug)]
pub struct Monitor {
    memory: SharedBytes,
    size: usize,
}

impl Mechanism for Monitor {
    const NAME: &'static str = "shm mutex+condvar";
    const COPIES: Option<Copies> = Some(Copies::IN_SHARED_MEMORY);
    type Sender = MonitorSender;
    type Receiver = MonitorReceiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let monitor = Monitor { memory: SharedBytes::new(MESSAGES + PLACES as usize * size)?, size };
        monitor.initialise().map_err(|errno| HarnessError::os("making a process-shared mutex", errno))?;
        Ok(monitor)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(MonitorSender(self))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(MonitorReceiver(self))
    }
}

/// What pthread functions return: 0 or an errno.
fn done(code: libc::c_int) -> Result<(), Errno> {
    if code == 0 { Ok(()) } else { Err(Errno::from_raw(code)) }
}

impl Monitor {
    fn initialise(&self) -> Result<(), Errno> {
        let mut attr = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        // SAFETY: initialises it.
        done(unsafe { libc::pthread_mutexattr_init(attr.as_mut_ptr()) })?;
        // SAFETY: initialised above.
        done(unsafe { libc::pthread_mutexattr_setpshared(attr.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED) })?;
        // SAFETY: initialised above.
        done(unsafe { libc::pthread_mutexattr_setrobust(attr.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) })?;
        // SAFETY: the place is mapped, on its boundary, large enough, and nobody uses it yet.
        done(unsafe { libc::pthread_mutex_init(self.memory.place(MUTEX), attr.as_ptr()) })?;
        let mut attr = std::mem::MaybeUninit::<libc::pthread_condattr_t>::uninit();
        // SAFETY: initialises it.
        done(unsafe { libc::pthread_condattr_init(attr.as_mut_ptr()) })?;
        // SAFETY: initialised above.
        done(unsafe { libc::pthread_condattr_setpshared(attr.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED) })?;
        for condition in [NOT_EMPTY, NOT_FULL] {
            // SAFETY: the place is mapped, on its boundary, large enough, and nobody uses it yet.
            done(unsafe { libc::pthread_cond_init(self.memory.place(condition), attr.as_ptr()) })?;
        }
        Ok(())
    }

    fn lock(&self) -> Result<Locked<'_>, HarnessError> {
        // SAFETY: initialised before the fork, and mapped as long as self.
        self.locked(unsafe { libc::pthread_mutex_lock(self.memory.place(MUTEX)) })
    }

    /// The lock, from the code that said how it was had. A peer that died with it has left half a message.
    fn locked(&self, code: libc::c_int) -> Result<Locked<'_>, HarnessError> {
        match done(code) {
            Ok(()) => Ok(Locked(self)),
            Err(Errno::EOWNERDEAD) => {
                // SAFETY: we hold it, and say that it may be used again; dropping gives it back.
                let _ = unsafe { libc::pthread_mutex_consistent(self.memory.place(MUTEX)) };
                drop(Locked(self));
                Err(HarnessError::Closed)
            }
            Err(errno) => Err(HarnessError::os("locking a process-shared mutex", errno)),
        }
    }

    /// Wakes one who waits for the condition.
    fn tell(&self, condition: usize) -> Result<(), HarnessError> {
        // SAFETY: initialised before the fork, and mapped as long as self.
        done(unsafe { libc::pthread_cond_signal(self.memory.place(condition)) })
            .map_err(|errno| HarnessError::os("signalling a condition", errno))
    }
}

/// While this lives, count, head, tail and the messages are this process's alone.
struct Locked<'a>(&'a Monitor);

impl<'a> Locked<'a> {
    /// Lets the lock go and sleeps until told.
    fn wait(self, condition: usize) -> Result<Locked<'a>, HarnessError> {
        let monitor = self.0;
        // The call lets go of the lock and takes it again.
        std::mem::forget(self);
        let memory = &monitor.memory;
        // SAFETY: both are initialised and mapped, and the caller holds the mutex.
        monitor.locked(unsafe { libc::pthread_cond_wait(memory.place(condition), memory.place(MUTEX)) })
    }

    fn count(&self) -> u64 {
        // ord(own) Acquire: the mutex orders it; no other process has the lock.
        self.0.memory.word(COUNT).load_acquire()
    }

    fn set_count(&self, count: u64) {
        // ord(own) Release: the mutex orders it; no other process has the lock.
        self.0.memory.word(COUNT).store_release(count);
    }

    /// Where the next message stands that `end` points at, and moves it on.
    fn next(&self, end: usize) -> usize {
        let end = self.0.memory.word(end);
        // ord(own) Acquire: as the count.
        let at = end.load_acquire();
        // ord(own) Release: as the count.
        end.store_release((at + 1) % PLACES);
        MESSAGES + at as usize * self.0.size
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: this process holds it; giving it back cannot fail.
        let _ = unsafe { libc::pthread_mutex_unlock(self.0.memory.place(MUTEX)) };
    }
}

/// The end that puts messages in.
#[derive(Debug)]
pub struct MonitorSender(Monitor);

impl SendMessage for MonitorSender {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut locked = self.0.lock()?;
        while locked.count() == PLACES {
            locked = locked.wait(NOT_FULL)?;
        }
        let at = locked.next(TAIL);
        // SAFETY: we hold the lock, and the place is free.
        fill(unsafe { self.0.memory.slice_mut(at, size) });
        locked.set_count(locked.count() + 1);
        drop(locked);
        self.0.tell(NOT_EMPTY)
    }
}

/// The end that takes messages out.
#[derive(Debug)]
pub struct MonitorReceiver(Monitor);

impl ReceiveMessage for MonitorReceiver {
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let mut locked = self.0.lock()?;
        while locked.count() == 0 {
            locked = locked.wait(NOT_EMPTY)?;
        }
        let at = locked.next(HEAD);
        // SAFETY: we hold the lock, and the place is full.
        let seen = look(unsafe { self.0.memory.slice(at, size) });
        locked.set_count(locked.count() - 1);
        drop(locked);
        self.0.tell(NOT_FULL)?;
        Ok(seen)
    }
}
