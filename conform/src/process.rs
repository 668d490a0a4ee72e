//! A forked process that holds something until it is killed, which is what probes of a death need: the child does one thing,
//! tells its parent what came of it, and sleeps. And what signals do to this one.
#![allow(unsafe_code, reason = "fork(2), and calls of the C library about signals")]

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// How long is waited for what must come. Only what never comes gets here.
const LIMIT: Duration = Duration::from_secs(20);

/// Who has a core for longer between forty looks at it does not sleep: it polls.
const MOST_WATCHFUL: Duration = Duration::from_millis(16);

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

    /// Whether its work still waits: it sleeps, and has said nothing, at many looks, and hardly had a core between them: who
    /// polls does not wait. If it is done, what it gave.
    ///
    /// # Errors
    /// What the work gave.
    pub fn waits(&mut self) -> io::Result<bool> {
        let (mut asleep, mut began, end) = (0, self.run_time(), Instant::now() + LIMIT);
        while asleep < 40 {
            if self.said() {
                return self.done().map(|()| false);
            }
            // One that is not seen asleep may be at a look of its own, or want a core for it.
            asleep += u32::from(self.sleeps());
            let time = self.run_time();
            if time - began > MOST_WATCHFUL {
                (asleep, began) = (0, time);
            }
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

    /// How long it has had a core.
    #[must_use]
    pub fn run_time(&self) -> Duration {
        let path = format!("/proc/{}/schedstat", self.pid);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let first = text.split(' ').next().and_then(|number| number.parse().ok());
        Duration::from_nanos(first.unwrap_or_default())
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
