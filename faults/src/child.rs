//! Forked processes: run, kill, stop, resume, reap. Nobody is asked to pretend: a killed child gets SIGKILL.
#![allow(clippy::disallowed_types, reason = "an observer's own flag")]

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{ForkResult, Pid};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A forked process. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    reaped: bool,
}

/// Runs `work` in a forked process, which ends with it: status 0, or 101 after a panic, whose text goes to stderr. It
/// is killed if the thread that forked it ends.
///
/// # Panics
/// If the kernel makes no process.
pub fn fork(work: impl FnOnce()) -> Child {
    hear_cries();
    let parent = nix::unistd::getpid();
    // SAFETY: the child has one thread. What it may miss are locks that other threads of the parent held; callers fork
    // while their other threads, if any, only wait.
    match unsafe { nix::unistd::fork() }.expect("fork") {
        ForkResult::Parent { child } => Child { pid: child, reaped: false },
        ForkResult::Child => {
            FORKED.store(true, Relaxed);
            // SAFETY: a plain system call with plain numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let orphan = nix::unistd::getppid() != parent;
            let done = !orphan && std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
            end(if done { 0 } else { 101 })
        }
    }
}

/// Ends this process at once: nothing of the parent's, as its test runner, runs a second time.
pub(crate) fn end(code: i32) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(code) }
}

static FORKED: AtomicBool = AtomicBool::new(false);

/// Panics of children go into the file itself, not through a test runner's capture: they end without handing that over.
/// Prepared in the parent, since a child must not wait for a lock that some thread held at the fork.
fn hear_cries() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match FORKED.load(Relaxed) {
            true => cry(&format!("process {}: {info}\n", std::process::id())),
            false => usual(info),
        }));
    });
}

fn cry(text: &str) {
    // SAFETY: stderr is open as long as the process lives, or the write fails.
    let stderr = unsafe { std::os::fd::BorrowedFd::borrow_raw(2) };
    let _ = nix::unistd::write(stderr, text.as_bytes());
}

impl Child {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// SIGKILL, and its end awaited. How it ended: by the signal, unless it had ended before.
    pub fn kill(mut self) -> WaitStatus {
        self.end()
    }

    /// As [`Child::kill`]; `look` is called when it has ended, while the kernel still knows it.
    pub fn kill_and_look(mut self, look: impl FnOnce()) -> WaitStatus {
        self.signal(Signal::SIGKILL);
        // Fails for one that was reaped: then there is nothing to wait for.
        let _ = waitid(Id::Pid(self.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        look();
        self.end()
    }

    fn end(&mut self) -> WaitStatus {
        self.signal(Signal::SIGKILL);
        self.reaped = true;
        loop {
            match waitpid(self.pid, None) {
                Ok(end @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => return end,
                // A stop that was reported late, of one that was stopped or traced.
                Ok(_) => {}
                Err(_) => return WaitStatus::Signaled(self.pid, Signal::SIGKILL, false),
            }
        }
    }

    /// Whether its end is known.
    #[must_use]
    pub fn is_reaped(&self) -> bool {
        self.reaped
    }

    /// Whether it sleeps in futex(2).
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/wchan", self.pid)).is_ok_and(|at| at.contains("futex"))
    }

    /// That it stopped itself or ended, if it does either within `limit`.
    pub fn changed(&mut self, limit: Duration) -> Option<WaitStatus> {
        let patience = Instant::now() + limit;
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::StillAlive) if Instant::now() > patience => return None,
                Ok(WaitStatus::StillAlive) => std::thread::yield_now(),
                Ok(change) => {
                    self.reaped = !matches!(change, WaitStatus::Stopped(..));
                    return Some(change);
                }
                Err(_) => return None,
            }
        }
    }

    /// SIGSTOP, and the stop awaited. `false` if it ended instead.
    pub fn stop(&mut self) -> bool {
        self.signal(Signal::SIGSTOP);
        match waitpid(self.pid, Some(WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Stopped(..)) => true,
            _ => {
                self.reaped = true;
                false
            }
        }
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// How it ended, if it ends within `limit`.
    pub fn ended(&mut self, limit: Duration) -> Option<WaitStatus> {
        let patience = Instant::now() + limit;
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(end @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => {
                    self.reaped = true;
                    return Some(end);
                }
                _ if Instant::now() > patience => return None,
                _ => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if !self.reaped {
            let _ = kill(self.pid, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.end();
        }
    }
}
