//! The system's own semaphores, for comparison: those of the C library, and the kernel's sets. Each call is the system's,
//! with its errno.
//!
//! The adapters' own tests include this file, too.
#![allow(unsafe_code, reason = "these are calls of the C library")]

use std::ffi::CString;
use std::io;
use std::ptr::NonNull;
use std::time::Duration;

unsafe extern "C" {
    // The libc crate has it not.
    fn semtimedop(
        id: libc::c_int,
        operations: *mut libc::sembuf,
        count: libc::size_t,
        time: *const libc::timespec,
    ) -> libc::c_int;
}

fn said(code: libc::c_int) -> io::Result<libc::c_int> {
    if code == -1 { Err(io::Error::last_os_error()) } else { Ok(code) }
}

/// A semaphore of the C library: in memory that forked children share, or of a name.
pub struct Semaphore {
    at: NonNull<libc::sem_t>,
    named: bool,
}

// SAFETY: a sem_t is made to be used by many threads.
unsafe impl Send for Semaphore {}
// SAFETY: as above.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    /// sem_init(3) with pshared, in a mapping of its own.
    ///
    /// # Errors
    /// The errno.
    pub fn anonymous(value: u32) -> io::Result<Semaphore> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<libc::sem_t>(), prot, flags, -1, 0) };
        let at = NonNull::new(at).filter(|at| at.as_ptr() != libc::MAP_FAILED);
        let at = at.ok_or_else(io::Error::last_os_error)?.cast::<libc::sem_t>();
        let semaphore = Semaphore { at, named: false };
        // SAFETY: mapped, as large as it must be, and nobody uses it yet.
        said(unsafe { libc::sem_init(at.as_ptr(), 1, value) })?;
        Ok(semaphore)
    }

    /// sem_open(3) with these flags.
    ///
    /// # Errors
    /// The errno.
    pub fn open(name: &str, flags: i32, mode: u32, value: u32) -> io::Result<Semaphore> {
        let name = CString::new(name)?;
        // SAFETY: a string with its end, and what O_CREAT takes.
        let at = unsafe { libc::sem_open(name.as_ptr(), flags, mode, value) };
        let at = NonNull::new(at).filter(|at| at.as_ptr() != libc::SEM_FAILED);
        Ok(Semaphore { at: at.ok_or_else(io::Error::last_os_error)?, named: true })
    }

    /// sem_unlink(3).
    ///
    /// # Errors
    /// The errno.
    pub fn unlink(name: &str) -> io::Result<()> {
        let name = CString::new(name)?;
        // SAFETY: a string with its end.
        said(unsafe { libc::sem_unlink(name.as_ptr()) }).map(drop)
    }

    /// sem_wait(3).
    ///
    /// # Errors
    /// The errno.
    pub fn wait(&self) -> io::Result<()> {
        // SAFETY: a semaphore until it is dropped.
        said(unsafe { libc::sem_wait(self.at.as_ptr()) }).map(drop)
    }

    /// sem_trywait(3).
    ///
    /// # Errors
    /// The errno.
    pub fn try_wait(&self) -> io::Result<()> {
        // SAFETY: as above.
        said(unsafe { libc::sem_trywait(self.at.as_ptr()) }).map(drop)
    }

    /// sem_timedwait(3).
    ///
    /// # Errors
    /// The errno.
    pub fn wait_until(&self, seconds: i64, nanoseconds: i64) -> io::Result<()> {
        let at = libc::timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        // SAFETY: as above, and a timespec.
        said(unsafe { libc::sem_timedwait(self.at.as_ptr(), &raw const at) }).map(drop)
    }

    /// sem_post(3).
    ///
    /// # Errors
    /// The errno.
    pub fn post(&self) -> io::Result<()> {
        // SAFETY: as above.
        said(unsafe { libc::sem_post(self.at.as_ptr()) }).map(drop)
    }

    /// sem_getvalue(3).
    #[must_use]
    pub fn value(&self) -> u32 {
        let mut value = 0;
        // SAFETY: as above, and room for the answer.
        unsafe { libc::sem_getvalue(self.at.as_ptr(), &raw mut value) };
        value as u32
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> usize {
        self.at.addr().get()
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        if self.named {
            // SAFETY: opened by sem_open, once for each of these.
            unsafe { libc::sem_close(self.at.as_ptr()) };
        } else {
            // SAFETY: the mapping that was made for it.
            unsafe { libc::munmap(self.at.as_ptr().cast(), size_of::<libc::sem_t>()) };
        }
    }
}

/// One operation: number, change, IPC_NOWAIT, SEM_UNDO.
pub type Operation = (u16, i16, bool, bool);

/// A set of the kernel's. It stays until it is removed.
#[derive(Clone, Copy, Debug)]
pub struct Set(pub i32);

/// The argument of semctl(2).
#[repr(C)]
union Argument {
    value: libc::c_int,
    facts: *mut libc::semid_ds,
    array: *mut u16,
}

impl Set {
    /// semget(2); `flags` with IPC_CREAT, IPC_EXCL and the mode.
    ///
    /// # Errors
    /// The errno.
    pub fn get(key: i32, semaphores: i32, flags: i32) -> io::Result<Set> {
        // SAFETY: takes numbers.
        said(unsafe { libc::semget(key, semaphores, flags) }).map(Set)
    }

    fn control(self, number: usize, command: i32, argument: Argument) -> io::Result<i32> {
        // SAFETY: each caller passes what its command takes.
        said(unsafe { libc::semctl(self.0, number as libc::c_int, command, argument) })
    }

    /// A command that takes nothing and gives a number: GETVAL, GETPID, GETNCNT, GETZCNT, IPC_RMID.
    ///
    /// # Errors
    /// The errno.
    pub fn ask(self, number: usize, command: i32) -> io::Result<i32> {
        self.control(number, command, Argument { value: 0 })
    }

    /// SETVAL.
    ///
    /// # Errors
    /// The errno.
    pub fn set_value(self, number: usize, value: i32) -> io::Result<()> {
        self.control(number, libc::SETVAL, Argument { value }).map(drop)
    }

    /// SETALL; as many as there are semaphores.
    ///
    /// # Errors
    /// The errno.
    pub fn set_values(self, values: &[u16]) -> io::Result<()> {
        self.check(values.len())?;
        let mut values = values.to_vec();
        self.control(0, libc::SETALL, Argument { array: values.as_mut_ptr() }).map(drop)
    }

    /// GETALL.
    ///
    /// # Errors
    /// The errno.
    pub fn values(self) -> io::Result<Vec<u16>> {
        let mut values = vec![0; self.facts()?.semaphores];
        self.control(0, libc::GETALL, Argument { array: values.as_mut_ptr() })?;
        Ok(values)
    }

    fn check(self, count: usize) -> io::Result<()> {
        if self.facts()?.semaphores == count {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::EINVAL))
        }
    }

    fn stat(self) -> io::Result<libc::semid_ds> {
        // SAFETY: numbers, of which zeroes are some.
        let mut facts: libc::semid_ds = unsafe { std::mem::zeroed() };
        self.control(0, libc::IPC_STAT, Argument { facts: &raw mut facts })?;
        Ok(facts)
    }

    /// IPC_STAT.
    ///
    /// # Errors
    /// The errno.
    pub fn facts(self) -> io::Result<Facts> {
        let facts = self.stat()?;
        Ok(Facts {
            mode: u32::from(facts.sem_perm.mode) & 0o777,
            semaphores: facts.sem_nsems as usize,
            operated: facts.sem_otime as u64,
            changed: facts.sem_ctime as u64,
        })
    }

    /// IPC_SET of the mode.
    ///
    /// # Errors
    /// The errno.
    pub fn set_mode(self, mode: u32) -> io::Result<()> {
        let mut facts = self.stat()?;
        facts.sem_perm.mode = mode as _;
        self.control(0, libc::IPC_SET, Argument { facts: &raw mut facts }).map(drop)
    }

    /// semop(2), or semtimedop(2) with a time.
    ///
    /// # Errors
    /// The errno.
    pub fn operate(self, operations: &[Operation], time: Option<Duration>) -> io::Result<()> {
        let mut buffer: Vec<_> = operations
            .iter()
            .map(|&(sem_num, sem_op, nowait, undo)| {
                let flags = (i32::from(nowait) * libc::IPC_NOWAIT) | (i32::from(undo) * libc::SEM_UNDO);
                libc::sembuf { sem_num, sem_op, sem_flg: flags as i16 }
            })
            .collect();
        let Some(time) = time else {
            // SAFETY: as many operations as it says.
            return said(unsafe { libc::semop(self.0, buffer.as_mut_ptr(), buffer.len()) }).map(drop);
        };
        let time = libc::timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        // SAFETY: as many operations as it says, and a timespec.
        said(unsafe { semtimedop(self.0, buffer.as_mut_ptr(), buffer.len(), &raw const time) }).map(drop)
    }
}

/// What IPC_STAT says of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in struct semid_ds")]
pub struct Facts {
    pub mode: u32,
    pub semaphores: usize,
    pub operated: u64,
    pub changed: u64,
}
