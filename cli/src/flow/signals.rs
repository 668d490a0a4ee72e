//! SIGINT, SIGTERM and SIGHUP as something to look at. They are blocked and read from a descriptor, so that a transfer
//! ends between two records with a clean close; the process then dies by the signal it got, as shells expect.
//! A signal that the parent had us ignore (nohup(1), a background job) stays ignored.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::fail::Fail;

/// The signals that ask for an end.
const STOPPING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Holds the stopping signals back for as long as the process lives.
pub(crate) struct Signals {
    set: SigSet,
    fd: SignalFd,
}

impl Signals {
    /// Blocks the signals and opens the descriptor that shows them.
    pub(crate) fn hold() -> Result<Signals, Fail> {
        let ignored = ignored();
        let wanted = STOPPING.into_iter().filter(|signal| ignored & (1 << (*signal as u32 - 1)) == 0);
        let set: SigSet = wanted.collect();
        let failed = |errno: Errno| Fail::Error(format!("cannot watch for signals: {}", errno.desc()));
        set.thread_block().map_err(failed)?;
        let fd =
            SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        Ok(Signals { set, fd })
    }

    /// Fails if a signal has come.
    pub(crate) fn check(&self) -> Result<(), Fail> {
        match self.fd.read_signal() {
            Ok(Some(info)) => {
                let signal = Signal::try_from(info.ssi_signo as i32).unwrap_or(Signal::SIGTERM);
                Err(Fail::Signal(signal))
            }
            _ => Ok(()),
        }
    }

    /// Waits for at most `time`, less if a signal comes; fails if one has.
    pub(crate) fn wait(&self, time: Duration) -> Result<(), Fail> {
        poll_for(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], Some(time))?;
        self.check()
    }

    /// Waits until `fd` is ready for `events`, a signal comes (then it fails) or `time` is over (then it is false).
    pub(crate) fn wait_for(
        &self,
        fd: BorrowedFd<'_>,
        events: PollFlags,
        time: Option<Duration>,
    ) -> Result<bool, Fail> {
        let mut fds = [PollFd::new(fd, events), PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        poll_for(&mut fds, time)?;
        let ready = fds[0].any().unwrap_or(true);
        self.check()?;
        Ok(ready)
    }

    /// Does something that may block for long, with the signals let through: they kill, which loses nothing.
    pub(crate) fn let_through<T>(&self, work: impl FnOnce() -> T) -> T {
        let _ = self.set.thread_unblock();
        let done = work();
        let _ = self.set.thread_block();
        done
    }
}

/// poll(2) with its time rounded up to milliseconds; an interruption counts as a time-out.
pub(crate) fn poll_for(fds: &mut [PollFd<'_>], time: Option<Duration>) -> Result<(), Fail> {
    let timeout = match time {
        None => PollTimeout::NONE,
        Some(time) => PollTimeout::try_from(time.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX),
    };
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(Fail::Error(format!("cannot wait: {}", errno.desc()))),
    }
}

/// The signals that this process ignores, as a bit mask; none if that cannot be read.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}
