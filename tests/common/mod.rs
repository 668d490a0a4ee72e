//! What several test files need: names that are unique and removed, also when the test fails; processes that are
//! really forked, killed and stopped; memory that outlives a killed process, for its log; patience with a bound.
//!
//! The only place under `tests/` with unsafe code. Each test file uses a part of it.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::disallowed_types, reason = "the log of a process that is killed must be atomic")]

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a test waits for what must come at last. Long, because the machine may be loaded: only a hang gets here.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A ring name of this test's own. Dropping it removes what is there.
pub struct Unique(pub String);

/// A name that no other test and no other run has.
pub fn unique() -> Unique {
    Unique(format!("/{}", fresh()))
}

fn fresh() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("slipring-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed))
}

impl Unique {
    /// Where the name stands in the file system.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.0[1..])
    }
}

impl Drop for Unique {
    fn drop(&mut self) {
        let path = self.path();
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
    }
}

/// A directory of this test's own. Dropping it removes it with all that is in it.
pub struct Scratch(pub PathBuf);

/// In /dev/shm, since every file system there can carry a ring.
pub fn scratch() -> Scratch {
    let path = Path::new("/dev/shm").join(fresh());
    std::fs::create_dir(&path).unwrap();
    Scratch(path)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// For all tests of a file of which one forks: they run one after the other, so that no other thread of this process
/// holds a lock or is half through an initialisation at the moment of a fork, and so that timings are those of the
/// test alone.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `done`. Panics when [`LIMIT`] has passed.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Holds the shortest of a few tries to the goal of 100 ms: whoever has no core in one of them fails nothing.
#[track_caller]
pub fn soon(what: &str, mut time: impl FnMut() -> Duration) {
    const GOAL: Duration = Duration::from_millis(100);
    let mut tries = Vec::new();
    while tries.len() < 8 {
        tries.push(time());
        if tries.last() < Some(&GOAL) {
            return println!("{what}: after {tries:.1?}");
        }
    }
    panic!("{what}: after {tries:.1?}, never within {GOAL:?}");
}

/// The system's number for what went wrong.
pub fn errno<T>(result: io::Result<T>) -> i32 {
    result.map(drop).unwrap_err().raw_os_error().unwrap()
}

/// Waits until it sleeps and has slept for a while.
pub fn nap(child: &Child) {
    until("it sleeps", || child.sleeps());
    std::thread::sleep(Duration::from_millis(15));
    until("it sleeps", || child.sleeps());
}

/// How many kills a storm has: `usual`, or SLIPRING_KILLS for its long form.
pub fn kills(usual: usize) -> usize {
    std::env::var("SLIPRING_KILLS").map_or(usual, |kills| kills.parse().expect("SLIPRING_KILLS is a number"))
}

/// Holds what came, for each of so many numbers of each sender, against how many each sender has said that it sent: nothing
/// came that was not sent, and no more is lost than receivers were killed, each with one message in hand.
pub fn assert_lost_at_most(most_lost: usize, sent: &Board, got: &Board, senders: usize, most: usize) {
    let (mut all, mut lost) = (0, 0);
    for sender in 0..senders {
        let said = sent.get(sender) as usize;
        let came = (0..most).filter(|number| got.get(sender * most + number) > 0).count();
        (all, lost) = (all + came, lost + said.saturating_sub(came));
        assert!(came <= said + 1, "sender {sender} sent {said}, {came} came");
    }
    println!("{all} messages, {lost} lost with {most_lost} killed receivers");
    assert!(all > 0 && lost <= most_lost);
}

/// What `work` gives, if it ends within `limit`; a work that hangs fails the test instead of hanging it.
pub fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || drop(done.send(work())));
    match result.recv_timeout(limit) {
        Ok(result) => {
            thread.join().unwrap();
            result
        }
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("not done within {limit:?}"),
        Err(_) => std::panic::resume_unwind(thread.join().unwrap_err()),
    }
}

/// A thread that does the same again and again until this is dropped.
pub struct Meanwhile(Arc<AtomicBool>, Option<JoinHandle<()>>);

/// Does `work` again and again in another thread, as long as the value lives.
pub fn meanwhile(mut work: impl FnMut() + Send + 'static) -> Meanwhile {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let thread = std::thread::spawn(move || {
        while !told.load(Relaxed) {
            work();
        }
    });
    Meanwhile(stop, Some(thread))
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
        let ended = self.1.take().map(JoinHandle::join);
        assert!(
            std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()),
            "the other thread failed"
        );
    }
}

/// Numbers that look random and are the same in every run (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }
}

/// A forked process. Dropping it kills it.
pub struct Child {
    pid: Pid,
    words: File,
    trouble: File,
    reaped: bool,
}

/// The child's line to its parent.
pub struct Link(File);

impl Link {
    /// Says a number; the parent [`Child::hear`]s it.
    pub fn say(&self, word: u64) {
        (&self.0).write_all(&word.to_ne_bytes()).unwrap();
    }
}

/// In a forked child, where its panics are written.
static CRIES: OnceLock<File> = OnceLock::new();

/// Runs `work` in a forked process. A panic there fails [`Child::join`] here with its text.
pub fn fork(work: impl FnOnce(&Link)) -> Child {
    // Here, since a child must not wait for a lock that some thread held at the fork.
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match CRIES.get() {
            Some(mut cries) => drop(write!(cries, "{info}")),
            None => usual(info),
        }));
    });
    let (words, says) = pipe();
    let (trouble, cries) = pipe();
    // SAFETY: the child has one thread; what it may miss are locks of other threads, which `alone` keeps from running.
    match unsafe { nix::unistd::fork() }.unwrap() {
        ForkResult::Parent { child } => {
            Child { pid: child, words: words.into(), trouble: trouble.into(), reaped: false }
        }
        ForkResult::Child => {
            let _ = CRIES.set(cries.into());
            let link = Link(says.into());
            let work = std::panic::AssertUnwindSafe(|| work(&link));
            let code = if std::panic::catch_unwind(work).is_ok() { 0 } else { 101 };
            // SAFETY: ends this process at once; nothing of the parent's, as its test harness, runs a second time.
            unsafe { libc::_exit(code) }
        }
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap()
}

impl Child {
    pub fn pid(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    /// The next number that the child says.
    pub fn hear(&mut self) -> u64 {
        let mut word = [0; 8];
        if !readable(&self.words) {
            self.fail("it says nothing");
        }
        if self.words.read_exact(&mut word).is_err() {
            self.fail("it ended before it said anything");
        }
        u64::from_ne_bytes(word)
    }

    /// SIGKILL, and the end of it awaited. Fails if the child had ended before in another way: it checks what it does.
    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
        self.killed_by(Signal::SIGKILL);
    }

    /// Waits for its end, which this signal brings; SIGSYS for [`end_at`].
    pub fn killed_by(mut self, by: Signal) {
        self.reaped = true;
        match waitpid(self.pid, None).unwrap() {
            WaitStatus::Signaled(_, signal, _) if signal == by => {}
            other => self.fail(&format!("{other:?}")),
        }
    }

    /// SIGKILL without waiting for its end.
    pub fn shoot(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// SIGSTOP, and the stop awaited.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let stopped = waitpid(self.pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// What sends the child a signal that it may handle, see [`interruptible`].
    pub fn interrupter(&self) -> impl Fn() + Send + use<> {
        let pid = self.pid;
        move || {
            let _ = kill(pid, Signal::SIGUSR1);
        }
    }

    /// What it says after a wait, which began before or begins now, was ended by a handler. A signal between two sleeps of
    /// one call ends nothing (docs/semantics.md), so it comes again and again.
    pub fn interrupted(&mut self) -> u64 {
        until("it sleeps", || self.sleeps());
        let interrupter = self.interrupter();
        let interrupting = meanwhile(move || {
            interrupter();
            std::thread::sleep(Duration::from_millis(50));
        });
        let said = self.hear();
        drop(interrupting);
        said
    }

    /// Any signal.
    pub fn send(&self, signal: Signal) {
        self.signal(signal);
    }

    /// Whether it sleeps in the kernel, in a wait that signals end.
    pub fn sleeps(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    }

    /// Waits for the end of the child, which must not have failed.
    pub fn join(mut self) {
        let end = Instant::now() + LIMIT;
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)).unwrap() {
                WaitStatus::StillAlive if Instant::now() < end => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                WaitStatus::StillAlive => self.fail("it does not end"),
                WaitStatus::Exited(_, 0) => {
                    self.reaped = true;
                    return;
                }
                other => {
                    self.reaped = true;
                    self.fail(&format!("{other:?}"));
                }
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    fn reap(&mut self) {
        if !std::mem::replace(&mut self.reaped, true) {
            let _ = waitpid(self.pid, None);
        }
    }

    fn fail(&mut self, what: &str) -> ! {
        if !self.reaped {
            self.signal(Signal::SIGKILL);
        }
        self.reap();
        let mut text = String::new();
        let _ = self.trouble.read_to_string(&mut text);
        panic!("child {}: {what}. {text}", self.pid);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Signal::SIGKILL);
        }
        self.reap();
    }
}

/// From now on SIGUSR1 does nothing in this process but end system calls with EINTR.
pub fn interruptible() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, sigaction};
    extern "C" fn nothing(_: i32) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, which is async-signal-safe.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
}

/// From now on SIGUSR2 does nothing in this process, and system calls go on after it (SA_RESTART).
pub fn restartable() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, sigaction};
    extern "C" fn nothing(_: i32) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing, which is async-signal-safe.
    unsafe { sigaction(Signal::SIGUSR2, &action) }.unwrap();
}

/// This thread runs on this processor alone from now on; `humble`: and only while nobody else wants it (SCHED_IDLE), so
/// that one who wakes it there goes on first.
pub fn share_processor(number: usize, humble: bool) {
    keep_on_processor(Pid::from_raw(0), number, humble);
}

/// The same of the process with this id; 0: of this thread.
pub fn keep_on_processor(pid: Pid, number: usize, humble: bool) {
    let mut set = nix::sched::CpuSet::new();
    set.set(number).unwrap();
    nix::sched::sched_setaffinity(pid, &set).unwrap();
    if humble {
        // SAFETY: numbers, of which zeroes are some.
        let how: libc::sched_param = unsafe { std::mem::zeroed() };
        // SAFETY: a scheduling parameter.
        assert_eq!(unsafe { libc::sched_setscheduler(pid.as_raw(), libc::SCHED_IDLE, &raw const how) }, 0);
    }
}

/// This thread goes before all ordinary ones from now on (SCHED_FIFO); whether it is permitted to.
#[must_use]
pub fn go_first() -> bool {
    let how = libc::sched_param { sched_priority: 1 };
    // SAFETY: a scheduling parameter.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const how) == 0 }
}

/// This thread is nicer than others from now on (setpriority(2)).
pub fn be_nice() {
    // SAFETY: takes numbers.
    let now = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, now + 5) }, 0);
}

/// A processor that this thread may run on.
pub fn some_processor() -> usize {
    let set = nix::sched::sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..1024).find(|&number| set.is_set(number).unwrap()).unwrap()
}

/// From now on SIGUSR1 posts this semaphore in this process.
pub fn post_on_signal(semaphore: *const slipring::adapters::sem::Unnamed) {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, sigaction};
    static WHICH: std::sync::atomic::AtomicPtr<slipring::adapters::sem::Unnamed> =
        std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());
    extern "C" fn post(_: i32) {
        // SAFETY: set before the handler, to a semaphore that lives as long as this process.
        let semaphore = unsafe { &*WHICH.load(SeqCst) };
        let _ = semaphore.post();
    }
    WHICH.store(semaphore.cast_mut(), SeqCst);
    let action = SigAction::new(SigHandler::Handler(post), SaFlags::empty(), SigSet::empty());
    // SAFETY: `post` is async-signal-safe, which is what is to be shown.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
}

fn readable(file: &File) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let timeout = PollTimeout::try_from(LIMIT).unwrap();
    loop {
        match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(nix::errno::Errno::EINTR) => {}
            ready => return ready == Ok(1),
        }
    }
}

/// Blocks until the other end of this pipe is closed by everybody: a child lives until its parent has let go.
pub fn wait_for_end(pipe: &OwnedFd) {
    while nix::unistd::read(pipe, &mut [0]).is_ok_and(|n| n > 0) {}
}

/// A pipe whose writing end keeps those alive who [`wait_for_end`] at its reading end.
pub fn tether() -> (OwnedFd, OwnedFd) {
    pipe()
}

/// Numbers that a process and its forked children share, and that outlive whoever is killed.
pub struct Board {
    at: std::ptr::NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: only atomics are reached through it.
unsafe impl Sync for Board {}
// SAFETY: as above.
unsafe impl Send for Board {}

impl Board {
    pub fn new(len: usize) -> Self {
        use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
        let bytes = std::num::NonZero::new(len * 8).unwrap();
        let (prot, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice; zero bytes are atomics of value 0.
        let at = unsafe { mmap_anonymous(None, bytes, prot, flags) }.unwrap();
        Board { at: at.cast(), len }
    }

    /// The first `len` words of a file that others have mapped.
    pub fn of(file: &File, len: usize) -> Self {
        use nix::sys::mman::{MapFlags, ProtFlags, mmap};
        let bytes = std::num::NonZero::new(len * 8).unwrap();
        let (prot, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice, of a file that is not shortened: it is sealed.
        let at = unsafe { mmap(None, bytes, prot, flags, file, 0) }.unwrap();
        Board { at: at.cast(), len }
    }

    /// Flips the bits of word `i` that are set in `bits`.
    pub fn flip(&self, i: usize, bits: u64) {
        self.word(i).fetch_xor(bits, Relaxed);
    }

    fn word(&self, i: usize) -> &AtomicU64 {
        assert!(i < self.len);
        // SAFETY: inside the mapping, by the assert.
        let at = unsafe { self.at.add(i) };
        // SAFETY: mapped until the board is dropped, aligned, and only ever used as an atomic.
        unsafe { at.as_ref() }
    }

    pub fn get(&self, i: usize) -> u64 {
        self.word(i).load(SeqCst)
    }

    pub fn set(&self, i: usize, value: u64) {
        self.word(i).store(value, SeqCst);
    }

    pub fn add(&self, i: usize, value: u64) -> u64 {
        self.word(i).fetch_add(value, SeqCst) + value
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; no reference into it outlives the board.
        let _ = unsafe { nix::sys::mman::munmap(self.at.cast(), self.len * 8) };
    }
}

/// Whether other processes' heavy fences (membarrier(2), GLOBAL_EXPEDITED) reach this one; `None` if the kernel does not
/// say, as before Linux 6.3.
pub fn is_registered_for_fences() -> Option<bool> {
    const GET_REGISTRATIONS: i32 = 1 << 9;
    // SAFETY: takes three numbers, and gives a number.
    let registered = unsafe { libc::syscall(libc::SYS_membarrier, GET_REGISTRATIONS, 0, 0) };
    (registered >= 0).then_some(registered & i64::from(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) != 0)
}

/// From now on this system call is ENOSYS to this process (seccomp(2)).
pub fn forbid(number: i64) {
    answer(number, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
}

/// From now on this process is killed when it comes to this system call, by SIGSYS.
pub fn end_at(number: i64) {
    answer(number, libc::SECCOMP_RET_KILL_PROCESS);
}

fn answer(number: i64, with: u32) {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut steps = [
        step(LOAD, 0, 0, std::mem::offset_of!(libc::seccomp_data, nr) as u32),
        step(EQUAL, 0, 1, number as u32),
        step(RETURN, 0, 0, with),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: takes numbers; who may gain nothing more may filter its own calls.
    let given_up = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(given_up, 0, "{}", io::Error::last_os_error());
    // SAFETY: the program and its steps live across the call, which copies them.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// The descriptor that the kernel has just made for this process.
pub fn owned(fd: std::os::fd::RawFd) -> OwnedFd {
    // SAFETY: callers pass a descriptor received by SCM_RIGHTS, which nobody else in this process knows of.
    unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) }
}

/// Whether this thread of this process sleeps in the kernel.
pub fn is_asleep(tid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}

/// What `work` gives in another thread, which is asleep before `then` runs; and how long after `then` it ended.
pub fn asleep_until<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    then: impl FnOnce(),
) -> (T, Duration) {
    let (result, (), time) = asleep_then(work, then);
    (result, time)
}

/// The same, and what `then` gives.
pub fn asleep_then<T: Send + 'static, U>(
    work: impl FnOnce() -> T + Send + 'static,
    then: impl FnOnce() -> U,
) -> (T, U, Duration) {
    let thread = asleep(|| (work(), Instant::now()));
    let start = Instant::now();
    let then = then();
    let (result, end) = thread.join().unwrap();
    (result, then, end.saturating_duration_since(start))
}

/// Message `i` of a numbered stream: the number, then bytes that depend on it, of a length that depends on it.
pub fn numbered(i: u64, longest: usize) -> Vec<u8> {
    let len = 8 + (i * 7919 % (longest as u64 - 7)) as usize;
    let mut message = i.to_ne_bytes().to_vec();
    message.extend((8..len).map(|b| (b as u64 * 31 + i) as u8));
    message
}

/// The number of such a message, which must be whole.
pub fn number_of(message: &[u8], longest: usize) -> u64 {
    let i = u64::from_ne_bytes(message[..8].try_into().unwrap());
    assert_eq!(message, numbered(i, longest), "message {i} is torn");
    i
}

/// Writes `bytes` at `offset` of the file.
pub fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    File::options().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

/// As [`overwrite`], for a field of the segment header, and makes the checksum right again (docs/layout.md).
pub fn forge(path: &Path, offset: u64, bytes: &[u8]) {
    overwrite(path, offset, bytes);
    let header = std::fs::read(path).unwrap();
    let sum = header[..88]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    overwrite(path, 88, &sum.to_ne_bytes());
}

/// A thread that does this, asleep for good, and not for a lock or a page on the way.
pub fn asleep<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        tell.send(nix::unistd::gettid()).unwrap();
        work()
    });
    let tid = told.recv().unwrap();
    until("the thread sleeps", || {
        is_asleep(tid)
            && (0..20).all(|_| {
                std::thread::sleep(Duration::from_micros(500));
                is_asleep(tid)
            })
    });
    thread
}
