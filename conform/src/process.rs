//! A forked process that holds something until it is killed, and memory that it shares with its parent: what probes of a
//! death need. The child does one thing, tells its parent what came of it, and sleeps.
#![allow(unsafe_code, reason = "fork(2), mmap(2) and stores into memory that another process stores into")]

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// How long is waited for what must come. Only what never comes gets here.
const LIMIT: Duration = Duration::from_secs(20);

/// A forked process; it is killed when it is dropped.
pub struct Child {
    pid: i32,
    word: io::PipeReader,
    reaped: bool,
}

/// Waits until `done` gives something.
///
/// # Errors
/// It did not in 20 seconds: ETIMEDOUT; or its own.
pub fn until<T>(mut done: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
    let end = Instant::now() + LIMIT;
    loop {
        match done()? {
            Some(value) => return Ok(value),
            None if Instant::now() > end => return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

impl Child {
    /// Forks a process that does `work` and then sleeps until it is killed. Its descriptors are copies of this process's.
    ///
    /// # Errors
    /// Of fork(2).
    pub fn doing(work: impl FnOnce() -> io::Result<()>) -> io::Result<Child> {
        let (word, mut says) = io::pipe()?;
        // SAFETY: the child runs `work`, which allocates at most, tells of it, and ends without running anything of its
        // parent's.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                let word = match done {
                    Ok(Ok(())) => 0,
                    Ok(Err(error)) => error.raw_os_error().unwrap_or(-1),
                    Err(_) => -1,
                };
                let _ = says.write_all(&word.to_ne_bytes());
                loop {
                    std::thread::park();
                }
            }
            pid => Ok(Child { pid, word, reaped: false }),
        }
    }

    /// The same, and its work is done.
    ///
    /// # Errors
    /// Of fork(2), and what the work gave.
    pub fn holding(work: impl FnOnce() -> io::Result<()>) -> io::Result<Child> {
        let mut child = Child::doing(work)?;
        child.done()?;
        Ok(child)
    }

    /// Waits until its work is done.
    ///
    /// # Errors
    /// What the work gave.
    pub fn done(&mut self) -> io::Result<()> {
        let mut word = [0; 4];
        self.word.read_exact(&mut word)?;
        match i32::from_ne_bytes(word) {
            0 => Ok(()),
            -1 => Err(io::Error::other("the other process failed")),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Whether its work still waits: it sleeps, and has said nothing, at each of many looks. If it is done, what it gave.
    ///
    /// # Errors
    /// What the work gave.
    pub fn waits(&mut self) -> io::Result<bool> {
        let (mut asleep, end) = (0, Instant::now() + LIMIT);
        while asleep < 40 {
            if self.said() {
                return self.done().map(|()| false);
            }
            asleep = if self.sleeps() { asleep + 1 } else { 0 };
            if Instant::now() > end {
                return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(true)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.pid
    }

    fn said(&self) -> bool {
        rustix::io::ioctl_fionread(&self.word).is_ok_and(|bytes| bytes > 0)
    }

    fn sleeps(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    }

    /// SIGKILL, and its end awaited.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.reaped, true) {
            // SAFETY: a child of ours that nobody has waited for.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            // SAFETY: as above; no status is asked for.
            unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// A page that forked children share with their parent (MAP_SHARED, MAP_ANONYMOUS), read and written by bytes.
pub struct Page(*mut u8);

/// Its size.
pub const PAGE: usize = 4096;

impl Page {
    /// Zeroes.
    ///
    /// # Errors
    /// Of mmap(2).
    pub fn new() -> io::Result<Page> {
        let (rights, how) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping where the kernel wants it.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, rights, how, -1, 0) };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Page(at.cast())) }
    }

    /// Stores bytes from the beginning, one after the other.
    pub fn write(&self, bytes: &[u8]) {
        for (i, byte) in bytes.iter().enumerate().take(PAGE) {
            // SAFETY: within the page, which is mapped as long as this lives.
            let at = unsafe { self.0.add(i) };
            // SAFETY: as above; others may store there, so it is volatile.
            unsafe { at.write_volatile(*byte) };
        }
    }

    /// The first bytes.
    #[must_use]
    pub fn read(&self, len: usize) -> Vec<u8> {
        let byte = |i| {
            // SAFETY: as in `write`.
            let at = unsafe { self.0.add(i) };
            // SAFETY: the same.
            unsafe { at.read_volatile() }
        };
        (0..len.min(PAGE)).map(byte).collect()
    }

    /// What write(2) says of this memory when it is mapped no more.
    ///
    /// # Errors
    /// That.
    pub fn after_unmapping(self, to: &io::PipeWriter) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let at = self.0;
        drop(self);
        // SAFETY: the kernel looks whether there is something to read, and says EFAULT.
        let written = unsafe { libc::write(to.as_raw_fd(), at.cast(), 1) };
        if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; nobody keeps a reference.
        unsafe { libc::munmap(self.0.cast(), PAGE) };
    }
}

/// What a verb that takes a descriptor says when it gets none that is open.
///
/// # Errors
/// That.
pub fn write_without_opening() -> io::Result<()> {
    // SAFETY: no descriptor has this number.
    let written = unsafe { libc::write(i32::MAX, b"x".as_ptr().cast(), 1) };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends `signal` to this thread so often while it is blocked, and says how often it then comes.
///
/// # Errors
/// EINVAL: no such signal.
pub fn signals_that_come(signal: i32, times: usize) -> io::Result<usize> {
    // SAFETY: a set of signals is numbers, of which zero bits are a value.
    let (mut set, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives across the call.
    unsafe { libc::sigemptyset(&raw mut set) };
    // SAFETY: as above.
    if unsafe { libc::sigaddset(&raw mut set, signal) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both sets live across the call.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) };
    for _ in 0..times {
        // SAFETY: blocked, so it does nothing yet.
        unsafe { libc::raise(signal) };
    }
    let (now, mut come) = (libc::timespec { tv_sec: 0, tv_nsec: 0 }, 0);
    // SAFETY: set and time live across the call, and nothing is to be said of the signal.
    while unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const now) } == signal {
        come += 1;
    }
    // SAFETY: as above; none is pending any more.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    Ok(come)
}

/// The first real-time signal.
#[must_use]
pub fn first_real_time_signal() -> i32 {
    libc::SIGRTMIN()
}

/// Whether a process may say what a signal does to it (sigaction(2)).
#[must_use]
pub fn can_be_handled(signal: i32) -> bool {
    // SAFETY: numbers and a null handler, which is SIG_DFL.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: it lives across the call.
    if unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut old) } < 0 {
        return false;
    }
    // Set to what it is: nothing changes, but the kernel says whether it could.
    // SAFETY: as above, and what it was is a valid action.
    unsafe { libc::sigaction(signal, &raw const old, std::ptr::null_mut()) == 0 }
}

/// A segment of System V's shared memory, by its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedSegment(i32);

/// How a segment is doing: how many have it attached, and whether it goes with the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// `shm_nattch`
    pub times: u64,
    /// SHM_DEST
    pub to_be_destroyed: bool,
}

impl SharedSegment {
    /// shmget(2) of a page.
    ///
    /// # Errors
    /// Its.
    pub fn get(key: i32, flags: i32) -> io::Result<SharedSegment> {
        // SAFETY: numbers.
        let id = unsafe { libc::shmget(key, PAGE, flags) };
        if id < 0 { Err(io::Error::last_os_error()) } else { Ok(SharedSegment(id)) }
    }

    /// shmat(2), wherever the kernel wants it. The mapping ends when it is dropped.
    ///
    /// # Errors
    /// Its.
    pub fn attach(self) -> io::Result<Page> {
        // SAFETY: a new mapping where the kernel wants it.
        let at = unsafe { libc::shmat(self.0, std::ptr::null(), 0) };
        // As C has it: an address that is -1 is an error.
        if at.addr() == usize::MAX { Err(io::Error::last_os_error()) } else { Ok(Page(at.cast())) }
    }

    /// shmctl(2) with IPC_STAT.
    ///
    /// # Errors
    /// Its.
    pub fn stat(self) -> io::Result<Attached> {
        // SAFETY: numbers, of which zero bits are a value.
        let mut found: libc::shmid_ds = unsafe { std::mem::zeroed() };
        // SAFETY: it lives across the call.
        if unsafe { libc::shmctl(self.0, libc::IPC_STAT, &raw mut found) } < 0 {
            return Err(io::Error::last_os_error());
        }
        const SHM_DEST: u32 = 0o1000;
        let to_be_destroyed = u32::from(found.shm_perm.mode) & SHM_DEST != 0;
        Ok(Attached { times: found.shm_nattch, to_be_destroyed })
    }

    /// shmctl(2) with IPC_RMID.
    ///
    /// # Errors
    /// Its.
    pub fn remove(self) -> io::Result<()> {
        // SAFETY: no pointer.
        let done = unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Page {
    /// Where it is mapped.
    #[must_use]
    pub fn address(&self) -> usize {
        self.0.addr()
    }
}
