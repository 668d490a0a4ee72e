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

use crate::atomics::{FutexWord, Word};
use crate::cores::Cores;
use crate::error::{HarnessError, Side};
use crate::shared::{Line, Shareable, Shared, SharedBytes};

/// Room for one answer. A histogram of three digits over ten decades needs less than half of it.
const ANSWER_BYTES: usize = 1 << 20;
/// The most processes that meet and answer on one page.
pub(crate) const MOST_MEMBERS: usize = 16;

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
        let page = Page::new(2)?;
        let left = match Child::start()? {
            Some(child) => child,
            None => page.work_and_exit(0, Side::Left, self.cores, state, left),
        };
        let right = match Child::start()? {
            Some(child) => child,
            None => page.work_and_exit(1, Side::Right, self.cores, state, right),
        };
        watch(&page, &mut [(Side::Left, left), (Side::Right, right)], self.limit)?;
        Ok((page.answer(0, Side::Left)?, page.answer(1, Side::Right)?))
    }

    /// Starts `count` processes, every other one on the same core, gives each its number, and returns their answers.
    ///
    /// The caller may be one of [`Pair::run`]'s own: these end with it.
    pub(crate) fn crowd<A: Serialize + DeserializeOwned>(
        &self,
        count: usize,
        work: impl Fn(usize, &Meeting<'_>) -> Result<A, HarnessError>,
    ) -> Result<Vec<A>, HarnessError> {
        require_one_thread()?;
        let page = Page::new(count)?;
        let mut children = Vec::with_capacity(count);
        for number in 0..count {
            let side = Side::Member(number);
            match Child::start()? {
                Some(child) => children.push((side, child)),
                None => page.work_and_exit(number, side, self.cores, (), |meeting, ()| work(number, meeting)),
            }
        }
        watch(&page, &mut children, self.limit)?;
        (0..count).map(|number| page.answer(number, Side::Member(number))).collect()
    }
}

/// Runs `work` in a process of its own, not pinned, while the caller sees to it: `follow` gets the process's number and
/// what lets it go, and returns when it has ended. The answer is the work's.
pub(crate) fn followed<A: Serialize + DeserializeOwned>(
    work: impl FnOnce() -> Result<A, HarnessError>,
    follow: impl FnOnce(Pid, &mut dyn FnMut()) -> Result<(), HarnessError>,
) -> Result<A, HarnessError> {
    require_one_thread()?;
    let (page, gate) = (Page::new(1)?, Shared::<Line<FutexWord>>::new()?);
    let side = Side::Member(0);
    let child = match Child::start()? {
        Some(child) => child,
        None => page.work_and_exit(0, side, Cores::Unpinned, (), |_, ()| {
            // ord(followed.gate) Acquire <- the caller: nothing but the leave to go.
            while gate.0.load_acquire() == 0 {
                gate.0.sleep_while(0).map_err(|errno| HarnessError::os("sleeping at a gate", errno))?;
            }
            work()
        }),
    };
    let mut failed_to_wake = None;
    let followed = follow(child.pid, &mut || {
        // ord(followed.gate) AcqRel -> the child.
        gate.0.swap_acqrel(1);
        failed_to_wake = gate.0.wake_one().err();
    });
    // If it is not gone it is killed here.
    let mut child = child;
    match (followed, failed_to_wake) {
        (Err(error), _) => return Err(error),
        (Ok(()), Some(errno)) => return Err(HarnessError::os("waking a measuring process", errno)),
        // Whoever followed it has reaped it.
        (Ok(()), None) => child.end = Some(WaitStatus::Exited(child.pid, 0)),
    }
    page.answer(0, side)
}

/// Sleeps until all have ended well, or the first has failed, or the limit is over. Their order is that of their places.
fn watch(page: &Page, children: &mut [(Side, Child)], limit: Duration) -> Result<(), HarnessError> {
    let deadline = Instant::now() + limit;
    while children.iter().any(|(_, child)| child.end.is_none()) {
        let left = deadline.saturating_duration_since(Instant::now());
        if !wait_for_an_end(children, left)? && left.is_zero() {
            return Err(HarnessError::Wedged { limit });
        }
        for at in 0..children.len() {
            if let Some(Err(failure)) = verdict_now(page, children, at)? {
                return Err(root_cause(page, at, failure, children));
            }
        }
    }
    Ok(())
}

/// How a child ended that has ended just now. An own report is only believed once the process is gone: then nobody
/// writes the page any more.
fn verdict_now(
    page: &Page,
    children: &mut [(Side, Child)],
    at: usize,
) -> Result<Option<Result<(), HarnessError>>, HarnessError> {
    let (side, child) = &mut children[at];
    if !child.has_ended()? {
        return Ok(None);
    }
    child.reap()?;
    Ok(Some(page.verdict(at, *side, child.end.as_ref())))
}

/// Of a failure and what the others met by themselves, the one that explains all: a death or a panic.
fn root_cause(page: &Page, at: usize, failure: HarnessError, children: &mut [(Side, Child)]) -> HarnessError {
    let explains =
        |failure: &HarnessError| matches!(failure, HarnessError::Died { .. } | HarnessError::Panicked { .. });
    if explains(&failure) {
        return failure;
    }
    let others = (0..children.len()).filter(|&other| other != at);
    let mut causes = others.filter_map(|other| verdict_now(page, children, other).ok()??.err());
    causes.find(explains).unwrap_or(failure)
}

/// A child's view of the others: a place to meet before and between the timed parts.
#[derive(Debug)]
pub struct Meeting<'a> {
    arrivals: &'a Word,
    members: u64,
    met: Cell<u64>,
}

impl<'a> Meeting<'a> {
    /// Of so many, who all count on the same word.
    pub(crate) fn of(members: usize, arrivals: &'a Word) -> Self {
        Meeting { arrivals, members: members as u64, met: Cell::new(0) }
    }

    /// Returns when all others have called this as often as we have.
    pub fn meet(&self) {
        self.met.set(self.met.get() + 1);
        // ord(meet) AcqRel -> the others' loads: what was set up before the meeting happens before what follows it.
        self.arrivals.add_acqrel(1);
        let mut looks = 0u32;
        // ord(meet) Acquire <- the others' adds.
        while self.arrivals.load_acquire() < self.members * self.met.get() {
            looks += 1;
            // Two processes on one core must not wait out each other's time slice.
            if looks.is_multiple_of(256) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

#[repr(C)]
struct Control {
    arrivals: Line<Word>,
    /// Length of each one's answer; 0 until it is complete.
    answered: [Line<Word>; MOST_MEMBERS],
}

// SAFETY: made of shareable fields, and each fills its 128 bytes.
unsafe impl Shareable for Control {}

/// The control page: the meeting place and all answers.
struct Page {
    control: Shared<Control>,
    answers: SharedBytes,
    members: usize,
}

impl Page {
    fn new(members: usize) -> Result<Page, HarnessError> {
        if members > MOST_MEMBERS {
            let what = format!("{members} processes; {MOST_MEMBERS} fit on a page");
            return Err(HarnessError::BadOption { what });
        }
        let answers = SharedBytes::new(members * ANSWER_BYTES)?;
        Ok(Page { control: Shared::new()?, answers, members })
    }

    /// The whole life of a child. Never returns, so nothing of the parent is dropped twice.
    fn work_and_exit<S, T: Serialize>(
        &self,
        at: usize,
        side: Side,
        cores: Cores,
        state: S,
        work: impl FnOnce(&Meeting<'_>, S) -> Result<T, HarnessError>,
    ) -> ! {
        let result = catch_unwind(AssertUnwindSafe(|| {
            cores.pin(side)?;
            work(&Meeting::of(self.members, &self.control.arrivals.0), state)
        }));
        let result = result.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(HarnessError::Panicked { side, message })
        });
        self.hand_back(at, &result);
        // SAFETY: ends this process only; exit handlers and buffers belong to the parent it was copied from.
        unsafe { libc::_exit(0) }
    }

    fn hand_back<T: Serialize>(&self, at: usize, result: &Result<T, HarnessError>) {
        let complain = |what: String| serde_json::to_vec(&Err::<T, _>(HarnessError::Answer { what }));
        let text = match serde_json::to_vec(result) {
            Ok(text) if text.len() <= ANSWER_BYTES => Ok(text),
            Ok(text) => complain(format!("{} bytes, there is room for {ANSWER_BYTES}", text.len())),
            Err(error) => complain(error.to_string()),
        };
        let Ok(text) = text else { return };
        // SAFETY: this part is this process's, and the parent reads it only after this process has ended.
        let room = unsafe { self.answers.slice_mut(at * ANSWER_BYTES, text.len()) };
        room.copy_from_slice(&text);
        // ord(answer) Release -> Page::answer: the text happens before its length.
        self.control.answered[at].0.store_release(text.len() as u64);
    }

    /// Whether the side ended as it should. Only once it has ended.
    fn verdict(&self, at: usize, side: Side, end: Option<&WaitStatus>) -> Result<(), HarnessError> {
        match end {
            Some(WaitStatus::Exited(_, 0)) => self.answer::<serde::de::IgnoredAny>(at, side).map(drop),
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
    fn answer<T: DeserializeOwned>(&self, at: usize, side: Side) -> Result<T, HarnessError> {
        // ord(answer) Acquire <- Page::hand_back: see the text this length covers.
        let len = self.control.answered[at].0.load_acquire() as usize;
        if len == 0 || len > ANSWER_BYTES {
            return Err(HarnessError::Died { side, how: "nothing handed back".into() });
        }
        // SAFETY: the side has ended (our callers reaped it), so nobody writes its part any more.
        let text = unsafe { self.answers.slice(at * ANSWER_BYTES, len) };
        serde_json::from_slice::<Result<T, HarnessError>>(text)
            .unwrap_or_else(|error| Err(HarnessError::Answer { what: error.to_string() }))
    }
}

/// A forked process. Dropping it kills and reaps it.
pub(crate) struct Child {
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

    /// A process of the calling one, on the same core, that does `work` and ends, with 1 if it failed.
    pub(crate) fn working(work: impl FnOnce() -> Result<(), HarnessError>) -> Result<Child, HarnessError> {
        require_one_thread()?;
        match Child::start()? {
            Some(child) => Ok(child),
            None => {
                let done = matches!(catch_unwind(AssertUnwindSafe(work)), Ok(Ok(())));
                // SAFETY: ends this process only; exit handlers and buffers belong to the parent it was copied from.
                unsafe { libc::_exit(i32::from(!done)) }
            }
        }
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), HarnessError> {
        // The pid is ours until it is reaped. It may have ended by itself.
        let _ = kill(self.pid, Signal::SIGKILL);
        self.reap()
    }

    /// Whether there is an end to reap now.
    pub(crate) fn has_ended(&self) -> Result<bool, HarnessError> {
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
            // A refusal would leave a process that ends with this one.
            let _ = self.kill();
        }
    }
}

/// Sleeps until a running child ends (true) or the time is over (false); may return false earlier.
fn wait_for_an_end(children: &[(Side, Child)], left: Duration) -> Result<bool, HarnessError> {
    let running = children.iter().map(|(_, child)| child).filter(|child| child.end.is_none());
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
