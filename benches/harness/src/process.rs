//! Two real processes, started for one measurement and watched from outside.
//!
//! The caller's process forks both: the *starting* one (left) on one core, the *answering* one (right) on the other,
//! and then only sleeps until they end. So no measured process can hang the caller: whatever blocks or spins in a
//! child, the watcher sees a death at once and a wedge at the limit, kills what is left and reaps it. Children are
//! also killed if the caller drops the pair half-way or dies itself. Answers travel back through a shared page, as JSON.
//!
//! Forking is sound only in a process with one thread (another thread's lock would stay locked for ever in the child),
//! so [`Pair::run`] counts the threads and refuses.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomics::Word;
use crate::cores::Cores;
use crate::error::{HarnessError, Side};
use crate::shared::{Line, Shareable, Shared, SharedBytes};

/// Room for one answer. A histogram of three digits over ten decades needs less than half of it.
const ANSWER_BYTES: usize = 1 << 20;

/// How a pair of processes is run.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Where they run.
    pub cores: Cores,
    /// When they are given up. Generous: it ends wedges, it measures nothing.
    pub limit: Duration,
}

impl Pair {
    /// Forks twice and gives `state` to both: `left` runs in one child, `right` in the other. Returns their answers.
    ///
    /// The caller keeps a copy of `state` until both children are gone; then it is dropped.
    pub fn run<S, A, B>(
        &self,
        state: S,
        left: impl FnOnce(&Meeting<'_>, S) -> Result<A, HarnessError>,
        right: impl FnOnce(&Meeting<'_>, S) -> Result<B, HarnessError>,
    ) -> Result<(A, B), HarnessError>
    where
        A: Serialize + DeserializeOwned,
        B: Serialize + DeserializeOwned,
    {
        require_one_thread()?;
        let page = Page::new()?;
        let left = match Child::start()? {
            Some(child) => child,
            None => page.work_and_exit(Side::Left, self.cores, state, left),
        };
        let right = match Child::start()? {
            Some(child) => child,
            None => page.work_and_exit(Side::Right, self.cores, state, right),
        };
        self.watch(&page, [left, right])?;
        Ok((page.answer(Side::Left)?, page.answer(Side::Right)?))
    }

    /// Sleeps until both have ended well, or the first has failed, or the limit is over.
    fn watch(&self, page: &Page, mut children: [Child; 2]) -> Result<(), HarnessError> {
        let deadline = Instant::now() + self.limit;
        while children.iter().any(|child| child.end.is_none()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if !wait_for_an_end(&children, left)? && left.is_zero() {
                return Err(HarnessError::Wedged { limit: self.limit });
            }
            for (side, child) in [Side::Left, Side::Right].into_iter().zip(&mut children) {
                if child.has_ended()? {
                    child.reap()?;
                    // An own report is only believed once the process is gone: then nobody writes the page any more.
                    if let Err(failure) = page.verdict(side, child.end.as_ref()) {
                        return Err(root_cause(page, side, failure, &mut children));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Of a failure and what the other side met by itself, the one that explains both: a death or a panic.
fn root_cause(page: &Page, side: Side, failure: HarnessError, children: &mut [Child; 2]) -> HarnessError {
    let (other, child) = match side {
        Side::Left => (Side::Right, &mut children[1]),
        Side::Right => (Side::Left, &mut children[0]),
    };
    let explained = matches!(failure, HarnessError::Died { .. } | HarnessError::Panicked { .. });
    if !explained && child.has_ended() == Ok(true) && child.reap().is_ok() {
        let verdict = page.verdict(other, child.end.as_ref());
        if let Err(cause @ (HarnessError::Died { .. } | HarnessError::Panicked { .. })) = verdict {
            return cause;
        }
    }
    failure
}

/// A child's view of the other one: a place to meet before and between the timed parts.
#[derive(Debug)]
pub struct Meeting<'a> {
    arrivals: &'a Word,
    met: Cell<u64>,
}

impl Meeting<'_> {
    /// Returns when the other process has called this as often as we have.
    pub fn meet(&self) {
        self.met.set(self.met.get() + 1);
        // ord(meet) AcqRel -> the other's load: what was set up before the meeting happens before what follows it.
        self.arrivals.add_acqrel(1);
        let mut looks = 0u32;
        // ord(meet) Acquire <- the other's add.
        while self.arrivals.load_acquire() < 2 * self.met.get() {
            looks += 1;
            // Two processes on one core must not wait out each other's time slice.
            if looks.is_multiple_of(256) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

#[repr(C)]
struct Control {
    arrivals: Line<Word>,
    /// Length of each side's answer; 0 until it is complete.
    answered: [Line<Word>; 2],
}

// SAFETY: made of shareable fields, and each fills its 128 bytes.
unsafe impl Shareable for Control {}

/// The control page: the meeting place and both answers.
struct Page {
    control: Shared<Control>,
    answers: SharedBytes,
}

impl Page {
    fn new() -> Result<Page, HarnessError> {
        Ok(Page { control: Shared::new()?, answers: SharedBytes::new(2 * ANSWER_BYTES)? })
    }

    /// The whole life of a child. Never returns, so nothing of the parent is dropped twice.
    fn work_and_exit<S, T: Serialize>(
        &self,
        side: Side,
        cores: Cores,
        state: S,
        work: impl FnOnce(&Meeting<'_>, S) -> Result<T, HarnessError>,
    ) -> ! {
        let result = catch_unwind(AssertUnwindSafe(|| {
            cores.pin(side)?;
            let meeting = Meeting { arrivals: &self.control.arrivals.0, met: Cell::new(0) };
            work(&meeting, state)
        }));
        let result = result.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(HarnessError::Panicked { side, message })
        });
        self.hand_back(side, &result);
        // SAFETY: ends this process only; exit handlers and buffers belong to the parent it was copied from.
        unsafe { libc::_exit(0) }
    }

    fn hand_back<T: Serialize>(&self, side: Side, result: &Result<T, HarnessError>) {
        let complain = |what: String| serde_json::to_vec(&Err::<T, _>(HarnessError::Answer { what }));
        let text = match serde_json::to_vec(result) {
            Ok(text) if text.len() <= ANSWER_BYTES => Ok(text),
            Ok(text) => complain(format!("{} bytes, there is room for {ANSWER_BYTES}", text.len())),
            Err(error) => complain(error.to_string()),
        };
        let Ok(text) = text else { return };
        // SAFETY: this half is this side's, and the parent reads it only after this process has ended.
        let room = unsafe { self.answers.slice_mut(side as usize * ANSWER_BYTES, text.len()) };
        room.copy_from_slice(&text);
        // ord(answer) Release -> Page::answer: the text happens before its length.
        self.control.answered[side as usize].0.store_release(text.len() as u64);
    }

    /// Whether the side ended as it should. Only once it has ended.
    fn verdict(&self, side: Side, end: Option<&WaitStatus>) -> Result<(), HarnessError> {
        match end {
            Some(WaitStatus::Exited(_, 0)) => self.answer::<serde::de::IgnoredAny>(side).map(drop),
            Some(WaitStatus::Exited(_, code)) => {
                Err(HarnessError::Died { side, how: format!("exit code {code}") })
            }
            Some(WaitStatus::Signaled(_, signal, _)) => {
                Err(HarnessError::Died { side, how: format!("signal {}", *signal as i32) })
            }
            other => Err(HarnessError::Died { side, how: format!("{other:?}") }),
        }
    }

    /// What the side has handed back. Only once it has ended.
    fn answer<T: DeserializeOwned>(&self, side: Side) -> Result<T, HarnessError> {
        // ord(answer) Acquire <- Page::hand_back: see the text this length covers.
        let len = self.control.answered[side as usize].0.load_acquire() as usize;
        if len == 0 || len > ANSWER_BYTES {
            return Err(HarnessError::Died { side, how: "nothing handed back".into() });
        }
        // SAFETY: the side has ended (our callers reaped it), so nobody writes its half any more.
        let text = unsafe { self.answers.slice(side as usize * ANSWER_BYTES, len) };
        serde_json::from_slice::<Result<T, HarnessError>>(text)
            .unwrap_or_else(|error| Err(HarnessError::Answer { what: error.to_string() }))
    }
}

/// A forked process. Dropping it kills and reaps it.
struct Child {
    pid: Pid,
    fd: OwnedFd,
    end: Option<WaitStatus>,
}

impl Child {
    /// Forks. `None` in the child, which is already bound to die with its parent.
    fn start() -> Result<Option<Child>, HarnessError> {
        let parent = getpid();
        // SAFETY: Pair::run has counted one thread, so the child inherits no lock held by a thread it does not have.
        match unsafe { fork() }.map_err(|errno| HarnessError::os("starting a measuring process", errno))? {
            ForkResult::Child => {
                let bound = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
                // The parent may have died before the binding took effect.
                if bound.is_err() || getppid() != parent {
                    // SAFETY: ends this process only.
                    unsafe { libc::_exit(1) };
                }
                Ok(None)
            }
            ForkResult::Parent { child: pid } => {
                let handle = rustix::process::Pid::from_raw(pid.as_raw())
                    .ok_or(rustix::io::Errno::SRCH)
                    .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
                match handle {
                    Ok(fd) => Ok(Some(Child { pid, fd, end: None })),
                    Err(errno) => {
                        // Not a Child yet, so no drop would do it. Both can only fail if it is gone already.
                        let _ = kill(pid, Signal::SIGKILL);
                        let _ = waitpid(pid, None);
                        Err(HarnessError::os("watching a measuring process", errno))
                    }
                }
            }
        }
    }

    /// Whether there is an end to reap now.
    fn has_ended(&self) -> Result<bool, HarnessError> {
        Ok(self.end.is_none()
            && ready(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], Duration::ZERO)?)
    }

    fn reap(&mut self) -> Result<(), HarnessError> {
        while self.end.is_none() {
            match waitpid(self.pid, None) {
                Ok(end) => self.end = Some(end),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(HarnessError::os("waiting for a measuring process", errno)),
            }
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.end.is_none() {
            // The pid is ours until it is reaped, so this cannot hit a stranger.
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = self.reap();
        }
    }
}

/// Sleeps until a running child ends (true) or the time is over (false); may return false earlier.
fn wait_for_an_end(children: &[Child], left: Duration) -> Result<bool, HarnessError> {
    let running = children.iter().filter(|child| child.end.is_none());
    let mut fds: Vec<_> = running.map(|child| PollFd::new(child.fd.as_fd(), PollFlags::POLLIN)).collect();
    ready(&mut fds, left)
}

fn ready(fds: &mut [PollFd<'_>], left: Duration) -> Result<bool, HarnessError> {
    // Rounded up: a last fraction of a millisecond must not become a busy loop.
    let millis = left.as_micros().div_ceil(1000).min(60_000) as u16;
    match poll(fds, PollTimeout::from(millis)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(HarnessError::os("watching the measuring processes", errno)),
    }
}

/// Refuses a process with several threads. One that was just joined may be listed a moment longer, hence the patience.
fn require_one_thread() -> Result<(), HarnessError> {
    let patience = Instant::now() + Duration::from_millis(200);
    loop {
        let tasks = std::fs::read_dir("/proc/self/task")
            .map_err(|error| HarnessError::os("counting the threads of this process", error))?;
        match tasks.count() {
            1 => return Ok(()),
            count if Instant::now() > patience => return Err(HarnessError::Threads { count }),
            _ => std::thread::yield_now(),
        }
    }
}
