//! The facade on the machine: core atomics over mapped memory, shared futexes, POSIX semaphores, membarrier.
//! Who may touch which byte is decided in `ring`; that the bytes are mapped is decided in `segment` and `view`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use std::any::Any;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use super::words::{AtomicU32, AtomicU64, fence};
pub use core::sync::atomic::Ordering;

/// True on the machine: sizes and offsets are those of shared memory. False under the model.
pub const REAL: bool = true;

/// How often a parking waiter polls and then yields before it sleeps: some 30 to 60 us in all, about what falling
/// asleep (with its membarrier) and being woken cost together. So a wait costs at most about twice the better choice.
pub const ROUNDS_BEFORE_SLEEP: u32 = 15;

/// Empty probes before such a yield: two or three microseconds.
pub const PROBES_PER_ROUND: u32 = 100;

/// How often others look at a slot that somebody fills while a later message or place waits, before they pass it over: a
/// sender that runs has committed by then. More for longer slots; doubled, up to [`PATIENCE_MAX`], each time it does.
pub const PATIENCE_MIN: u32 = 64;
/// How long a participant leaves an end alone at which others were faster, at most: pauses, doubled each time. Its line
/// comes from another core each time it is wanted, so whoever has it should send or receive several messages meanwhile.
pub const PAUSES_MAX: u32 = 64;
/// By how much patience grows at most.
pub const PATIENCE_MAX: u32 = 32;

/// Attempts to exchange one word of an MPMC ring, each of which fails only when another participant got further. So many
/// in a row mean that memory is being scribbled on.
pub const MAX_ATTEMPTS: u32 = 1 << 20;

/// Looks at slots in one verb of an MPMC ring, beside a few at each: a fraction of a second's worth. An attempt costs
/// several, and so does a pause; an attempt fails only when another participant got further. So who has used up so many is
/// led around by memory that is being scribbled on.
pub const MAX_LOOKS: u32 = 1 << 21;

/// How often in a row a sender is passed over at most, for no other reason than that it is stopped between its claim and
/// its commit each time: there is no such bad luck.
pub const MAX_VOIDS: u32 = 1 << 10;

/// How far behind the tail a sender of an MPMC ring looks, before it sleeps on a full one once more, for a slot that may
/// become its own without a wake-up: microseconds' worth.
pub const UNHEARD: u64 = 1 << 10;

/// Empty probes between two looks at the clock and at the peer's state word while spinning.
pub const PROBES_PER_CHECK: u32 = 1024;

/// Empty `try_` calls between two questions to the kernel whether the peer is alive.
pub const TRIES_PER_LEASE_CHECK: u32 = 1 << 14;

/// What keeps the mapping alive for as long as a [`Shared`] or a [`Memory`] points into it.
pub type Keep = Arc<dyn Any + Send + Sync>;

/// Types that any bytes are a value of, and that stay valid while other processes write them: atomics and bytes only.
///
/// # Safety
/// The implementor vouches for that, field by field.
pub unsafe trait AnyBytes {}

/// A reference to a struct inside a mapping.
pub struct Shared<T: ?Sized> {
    at: NonNull<T>,
    _keep: Keep,
}

impl<T: ?Sized> Shared<T> {
    /// # Safety
    /// `at` must be aligned, inside the mapping that `keep` keeps, which is writable for all but loads, and `T` must be
    /// valid for any bytes: only atomics and bytes, since other processes may write there at any time.
    #[must_use]
    pub unsafe fn new(at: NonNull<T>, keep: Keep) -> Self {
        Shared { at, _keep: keep }
    }

    /// A second reference, to a part of the same struct.
    pub fn project<U>(&self, part: impl FnOnce(&T) -> &U) -> Shared<U> {
        Shared { at: NonNull::from(part(self)), _keep: self._keep.clone() }
    }
}

impl<T: ?Sized> core::ops::Deref for Shared<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: `new` demands a valid, mapped T, and `_keep` keeps the mapping.
        unsafe { self.at.as_ref() }
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared { at: self.at, _keep: self._keep.clone() }
    }
}

// SAFETY: a Shared hands out &T only, so it may cross threads exactly when &T may.
unsafe impl<T: Sync + ?Sized> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sync + ?Sized> Sync for Shared<T> {}

/// The data bytes of one ring. Offsets are checked by the caller (`ring` masks them) and, in debug builds, here.
#[derive(Clone)]
pub struct Memory {
    base: NonNull<u8>,
    len: usize,
    _keep: Keep,
}

impl Memory {
    /// # Safety
    /// `base..base + len` must be mapped readable, and writable for all but loads, for as long as `keep` lives, `base`
    /// aligned to 64.
    #[must_use]
    pub unsafe fn new(base: NonNull<u8>, len: usize, keep: Keep) -> Self {
        Memory { base, len, _keep: keep }
    }

    /// How many bytes there are.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a ring is never empty of bytes")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The header word at byte offset `at`, a multiple of eight.
    #[inline(always)]
    #[must_use]
    pub fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at.is_multiple_of(8) && at + 8 <= self.len, "own arithmetic, not peer data");
        // SAFETY: callers pass a masked index, so the word is inside `base..base + len`.
        let word = unsafe { self.base.add(at) };
        // SAFETY: mapped and aligned by the contract of `new`; an AtomicU64 is valid for any bytes.
        unsafe { AtomicU64::from_ptr(word.cast().as_ptr()) }
    }

    /// The bytes `at..at + len`, to read.
    ///
    /// # Safety
    /// The range lies inside the ring, and no trusted process writes it while the slice lives: the protocol of the
    /// ring has handed it to this reader.
    #[inline(always)]
    #[must_use]
    pub unsafe fn bytes(&self, at: usize, len: usize) -> &[u8] {
        debug_assert!(at + len <= self.len, "own arithmetic, not peer data");
        // SAFETY: inside the mapping by the caller's contract.
        let from = unsafe { self.base.add(at) };
        // SAFETY: mapped, and nobody writes it, by the caller's contract.
        unsafe { core::slice::from_raw_parts(from.as_ptr(), len) }
    }

    /// The bytes `at..at + len`, to fill.
    ///
    /// # Safety
    /// The range lies inside the ring and the protocol of the ring has handed it to this writer alone.
    #[inline(always)]
    #[must_use]
    #[allow(clippy::mut_from_ref, reason = "exclusive by the ring's protocol, which the caller vouches for")]
    pub unsafe fn bytes_mut(&self, at: usize, len: usize) -> &mut [u8] {
        debug_assert!(at + len <= self.len, "own arithmetic, not peer data");
        // SAFETY: inside the mapping by the caller's contract.
        let from = unsafe { self.base.add(at) };
        // SAFETY: mapped, and this writer's alone, by the caller's contract.
        unsafe { core::slice::from_raw_parts_mut(from.as_ptr(), len) }
    }

    /// Copies `from` to offset `at`.
    ///
    /// # Safety
    /// As for [`Memory::bytes_mut`], except that a hostile process may write the range at the same time.
    #[inline(always)]
    pub unsafe fn copy_in(&self, at: usize, from: &[u8]) {
        debug_assert!(at + from.len() <= self.len, "own arithmetic, not peer data");
        // SAFETY: inside the mapping by the caller's contract.
        let to = unsafe { self.base.add(at) };
        // SAFETY: both ranges are valid for the length; private memory never overlaps the mapping.
        unsafe { copy(from.as_ptr(), to.as_ptr(), from.len()) };
    }

    /// Copies the bytes at offset `at` out, without ever forming a reference to them.
    ///
    /// # Safety
    /// The range `at..at + to.len()` lies inside the ring.
    #[inline(always)]
    pub unsafe fn copy_out(&self, at: usize, to: &mut [u8]) {
        debug_assert!(at + to.len() <= self.len, "own arithmetic, not peer data");
        // SAFETY: inside the mapping by the caller's contract.
        let from = unsafe { self.base.add(at) };
        // SAFETY: both ranges are valid for the length; private memory never overlaps the mapping.
        unsafe { copy(from.as_ptr(), to.as_mut_ptr(), to.len()) };
    }

    /// Copies `len` bytes from one offset to another.
    ///
    /// # Safety
    /// As for [`Memory::bytes`] of the first range and [`Memory::bytes_mut`] of the second; they do not overlap.
    pub unsafe fn copy_within(&self, from: usize, to: usize, len: usize) {
        debug_assert!(from.max(to) + len <= self.len, "own arithmetic, not peer data");
        // SAFETY: inside the mapping by the caller's contract.
        let from = unsafe { self.base.add(from) };
        // SAFETY: the same.
        let to = unsafe { self.base.add(to) };
        // SAFETY: both ranges are valid, and apart by the caller's contract.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr(), len) };
    }

    /// Zeroes `len` bytes at offset `at`.
    ///
    /// # Safety
    /// As for [`Memory::bytes_mut`].
    #[inline(always)]
    pub unsafe fn clear(&self, at: usize, len: usize) {
        debug_assert!(at + len <= self.len, "own arithmetic, not peer data");
        // SAFETY: inside the mapping by the caller's contract.
        let from = unsafe { self.base.add(at) };
        // A whole line, nearly always: a length that the compiler knows is a store or two and not a call.
        if len == 64 {
            // SAFETY: mapped, and this writer's alone, by the caller's contract.
            unsafe { core::ptr::write_bytes(from.as_ptr(), 0, 64) };
        } else {
            // SAFETY: as above.
            unsafe { core::ptr::write_bytes(from.as_ptr(), 0, len) };
        }
    }

    /// Maps the pages of `len` bytes at offset `at` now, so that no access has to. A hint: where it fails, they are mapped
    /// when they are touched.
    pub fn map_pages(&self, at: usize, len: usize) {
        const PAGE: usize = 4096;
        assert!(at <= self.len && len <= self.len - at, "own arithmetic, not peer data");
        // SAFETY: inside the mapping, as just checked.
        let from = unsafe { self.base.add(at) };
        // The data start on a page; in an MPMC ring they may not.
        let before = from.addr().get() % PAGE;
        // SAFETY: the page that holds an address of the mapping is mapped as a whole.
        let page = unsafe { from.byte_sub(before) };
        // For reading: on shared memory that maps them for writing, too, and many at once (fault-around).
        // SAFETY: changes no byte; an address range that is not mapped is an error.
        let _ = unsafe { libc::madvise(page.as_ptr().cast(), len + before, libc::MADV_POPULATE_READ) };
    }

    /// Asks for the line at offset `at` in writable state, ahead of a store. A hint: no effect on any value.
    #[inline(always)]
    pub fn prefetch_write(&self, at: usize) {
        debug_assert!(at < self.len, "own arithmetic, not peer data");
        #[cfg(target_arch = "x86_64")]
        {
            // SAFETY: inside the mapping: callers pass a masked index.
            let line = unsafe { self.base.add(at) };
            // SAFETY: a prefetch reads and writes nothing; the address is mapped anyway.
            unsafe {
                core::arch::asm!("prefetchw [{}]", in(reg) line.as_ptr(), options(nostack, preserves_flags))
            };
        }
    }
}

// SAFETY: raw bytes behind a protocol; every access is unsafe or atomic.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// A POSIX process-shared semaphore in the segment (sem_overview(7)).
#[repr(C, align(8))]
pub struct Semaphore(UnsafeCell<[u8; 32]>);

// A layout asserts 32 bytes; glibc and musl both use 32 on 64-bit targets.
const _: () = assert!(size_of::<libc::sem_t>() <= 32 && align_of::<libc::sem_t>() <= 8);

// SAFETY: sem_t is made for concurrent use from several processes; all access goes through the sem_* functions.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    fn raw(&self) -> *mut libc::sem_t {
        self.0.get().cast()
    }

    /// Makes the semaphore, with count 0. Only while the segment is not visible to anyone else.
    pub fn init(&self) -> io::Result<()> {
        // SAFETY: 32 aligned bytes of shared memory, not yet visible to another process.
        match unsafe { libc::sem_init(self.raw(), 1, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Adds one permit. Never blocks.
    pub fn post(&self) {
        // SAFETY: initialised before the segment became visible. A hostile peer can make it fail (EOVERFLOW, EINVAL):
        // the sleeper's slice ends anyway.
        let _ = unsafe { libc::sem_post(self.raw()) };
    }

    /// Takes a permit, sleeping at most for `slice`; whether it took one. Errors and signals end the sleep, too.
    pub fn wait(&self, slice: Duration) -> bool {
        let Some(until) = rustix_now().checked_add(slice) else { return false };
        let until = libc::timespec {
            tv_sec: until.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(until.subsec_nanos()),
        };
        // SAFETY: initialised before the segment became visible; the timespec lives across the call.
        unsafe { sem_clockwait(self.raw(), libc::CLOCK_MONOTONIC, &until) == 0 }
    }
}

unsafe extern "C" {
    // glibc >= 2.30: unlike sem_timedwait(3), a step of the wall clock cannot stretch it. Other C libraries: not tried.
    fn sem_clockwait(
        sem: *mut libc::sem_t,
        clock: libc::clockid_t,
        until: *const libc::timespec,
    ) -> libc::c_int;
}

fn rustix_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// Sleeps while `word == expected`, at most for `slice`: FUTEX_WAIT without FUTEX_PRIVATE_FLAG, because the waker
/// lives in another process (futex(2)). Any return, EINTR included, means: look again.
pub fn futex_wait(word: &AtomicU32, expected: u32, slice: Duration) {
    use rustix::thread::futex;
    let slice = futex::Timespec { tv_sec: slice.as_secs() as i64, tv_nsec: i64::from(slice.subsec_nanos()) };
    let _ = futex::wait(word, futex::Flags::empty(), expected, Some(&slice));
}

/// As [`futex_wait`]; true if a signal ended the sleep as it ends a blocking read(2): a handler ran, and was not
/// installed with SA_RESTART. That is what futex_waitv(2) does; FUTEX_WAIT with a time-out ends after any handler.
pub fn futex_wait_interruptible(word: &AtomicU32, expected: u32, slice: Duration) -> bool {
    use rustix::io::Errno;
    use rustix::thread::{ClockId, futex};
    let until = rustix_now().saturating_add(slice);
    let until = futex::Timespec { tv_sec: until.as_secs() as i64, tv_nsec: i64::from(until.subsec_nanos()) };
    match futex::waitv(
        &[wait_for(word, expected)],
        futex::WaitvFlags::empty(),
        Some(&until),
        ClockId::Monotonic,
    ) {
        Err(Errno::INTR) => true,
        // Before Linux 5.16, or behind a filter of system calls: also a handler with SA_RESTART ends the sleep.
        Err(Errno::NOSYS | Errno::PERM) => {
            let slice =
                futex::Timespec { tv_sec: slice.as_secs() as i64, tv_nsec: i64::from(slice.subsec_nanos()) };
            futex::wait(word, futex::Flags::empty(), expected, Some(&slice)) == Err(Errno::INTR)
        }
        _ => false,
    }
}

/// As [`futex_wait`]; true if a signal handler ran, however it was installed, as it ends the calls of System V IPC, which
/// are never restarted (signal(7)): FUTEX_WAIT with a time-out does just that.
pub fn futex_wait_until_handler(word: &AtomicU32, expected: u32, slice: Duration) -> bool {
    use rustix::thread::futex;
    let slice = futex::Timespec { tv_sec: slice.as_secs() as i64, tv_nsec: i64::from(slice.subsec_nanos()) };
    futex::wait(word, futex::Flags::empty(), expected, Some(&slice)) == Err(rustix::io::Errno::INTR)
}

/// Wakes up to `most` of those who sleep on `word`; how many it woke.
pub fn futex_wake(word: &AtomicU32, most: usize) -> usize {
    wake(word, most)
}

fn wake(word: &core::sync::atomic::AtomicU32, most: usize) -> usize {
    use rustix::thread::futex;
    let most = most.min(i32::MAX as usize) as u32;
    // FUTEX_WAKE fails for addresses that are no mapped words; then nobody sleeps there either.
    futex::wake(word, futex::Flags::empty(), most).unwrap_or(0)
}

/// A word of which the lower half is one that processes can sleep on.
#[repr(transparent)]
pub struct FutexU64(AtomicU64);

impl FutexU64 {
    /// With this value.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        FutexU64(AtomicU64::new(value))
    }

    /// As core's.
    #[inline(always)]
    pub fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    /// As core's.
    #[inline(always)]
    pub fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }

    /// As core's.
    #[inline(always)]
    pub fn compare_exchange(
        &self,
        from: u64,
        to: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.0.compare_exchange(from, to, success, failure)
    }

    /// The lower half, for the kernel's eyes alone: nothing here looks at it as a word of its own.
    fn lower(&self) -> &core::sync::atomic::AtomicU32 {
        let halves = core::ptr::from_ref(self).cast::<core::sync::atomic::AtomicU32>();
        let lower = halves.wrapping_add(usize::from(cfg!(target_endian = "big")));
        // SAFETY: inside the word, aligned, and an atomic of the same bytes.
        unsafe { &*lower }
    }

    /// Adds 1 to the lower half and wakes the first of those who sleep on it, both in one system call (FUTEX_WAKE_OP), so
    /// that no kill comes between; how many it woke. Ordered as `order` says, at least: it is a full barrier.
    pub fn add_and_wake(&self, order: Ordering) -> usize {
        use rustix::thread::futex::{self, WakeOp, WakeOpCmp};
        // The second wake-up is for a word that was -2048 before, which no count is.
        const NEVER: u16 = 0x800;
        let (word, flags) = (self.lower(), futex::Flags::empty());
        let woken = futex::wake_op(word, flags, 1, 0, word, WakeOp::Add, WakeOpCmp::Eq, 1, NEVER);
        woken.unwrap_or_else(|_| {
            // Behind a filter of system calls; what is added must not be lost.
            self.0.fetch_add(1, order);
            self.wake(1)
        })
    }

    /// Wakes up to `most` of those who sleep on the lower half; how many it woke.
    pub fn wake(&self, most: usize) -> usize {
        wake(self.lower(), most)
    }

    /// Sleeps as long as the lower half is `expected`, and `beside`, if any, has its value; until `until`, and for `slice` at
    /// most, if any. In the queue of each word: the kernel wakes by scheduling priority, then who came first.
    pub fn sleep(
        &self,
        expected: u32,
        beside: Option<(&AtomicU32, u32)>,
        until: Option<&Moment>,
        slice: Option<Duration>,
    ) -> Slept {
        use rustix::io::Errno;
        use rustix::thread::{ClockId, futex};
        let left = until.map(|moment| moment.left().unwrap_or_default());
        let (clock, end) = match (slice, left) {
            (Some(slice), left) if left.is_none_or(|left| left > slice) => {
                (Clock::Monotonic, Some(rustix_now().saturating_add(slice)))
            }
            _ => until.map_or((Clock::Monotonic, None), |moment| (moment.clock, Some(moment.since_zero()))),
        };
        let end = end.map(|end| futex::Timespec {
            tv_sec: i64::try_from(end.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(end.subsec_nanos()),
        });
        // This word comes last: of several that it was woken on the last one is told.
        let own = wait_for(self.lower(), expected);
        let waits = [beside.map_or_else(futex::Wait::new, |(word, value)| wait_for(word, value)), own];
        let waits = if beside.is_some() { &waits[..] } else { &waits[1..] };
        let id = if clock == Clock::Realtime { ClockId::Realtime } else { ClockId::Monotonic };
        match futex::waitv(waits, futex::WaitvFlags::empty(), end.as_ref(), id) {
            Ok(index) if index + 1 == waits.len() => Slept::Woken,
            Ok(_) => Slept::WokenBeside,
            // Before Linux 5.16: on this word alone, and for no longer than a slice, so that the other is seen, too.
            Err(Errno::NOSYS | Errno::PERM) => {
                let short = slice.unwrap_or(OLD_SLICE).min(left.unwrap_or(Duration::MAX));
                let short = futex::Timespec { tv_sec: 0, tv_nsec: i64::from(short.subsec_nanos()) };
                ended(
                    futex::wait(self.lower(), futex::Flags::empty(), expected, Some(&short))
                        .map(|()| Slept::Woken),
                )
            }
            Err(errno) => ended(Err(errno)),
        }
    }
}

/// A second is the most that fits where only its nanoseconds are passed on.
const OLD_SLICE: Duration = Duration::from_millis(40);

fn wait_for(word: &core::sync::atomic::AtomicU32, expected: u32) -> rustix::thread::futex::Wait {
    use rustix::thread::futex;
    let mut wait = futex::Wait::new();
    wait.val = expected.into();
    wait.uaddr = futex::WaitPtr::new(core::ptr::from_ref(word).cast_mut().cast());
    wait.flags = futex::WaitFlags::SIZE_U32;
    wait
}

fn ended(slept: rustix::io::Result<Slept>) -> Slept {
    use rustix::io::Errno;
    match slept {
        Ok(slept) => slept,
        Err(Errno::INTR) => Slept::Interrupted,
        Err(Errno::TIMEDOUT) => Slept::Over,
        Err(_) => Slept::Changed,
    }
}

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slept {
    /// Woken on the word.
    Woken,
    /// Woken on the word beside it alone.
    WokenBeside,
    /// A word had another value than was expected.
    Changed,
    /// A handler ran that was not installed with SA_RESTART.
    Interrupted,
    /// The time was over.
    Over,
}

/// Milliseconds of the coarse monotonic clock, modulo 2^32. Async-signal-safe.
#[must_use]
pub fn coarse_ms() -> u32 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    (now.tv_sec.wrapping_mul(1000) + now.tv_nsec / 1_000_000) as u32
}

/// A clock that a wait can end by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// The wall clock, which may be set (CLOCK_REALTIME).
    Realtime,
    /// The time since the machine was started (CLOCK_MONOTONIC).
    Monotonic,
}

/// A moment of a clock, as a timespec(3type) has it: it may be in the past, out of reach, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    /// Of which clock.
    pub clock: Clock,
    /// Seconds since the clock's zero.
    pub seconds: i64,
    /// Nanoseconds of the second: 0 to 999,999,999 in a moment that is one.
    pub nanoseconds: i64,
}

impl Moment {
    /// So long from now, by the monotonic clock; a time too long for the clock is its end.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        let at = rustix_now().saturating_add(time);
        let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        Moment { clock: Clock::Monotonic, seconds, nanoseconds: i64::from(at.subsec_nanos()) }
    }

    /// Whether there is such a moment: the nanoseconds are those of a second.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (0..1_000_000_000).contains(&self.nanoseconds)
    }

    fn since_zero(&self) -> Duration {
        Duration::new(self.seconds.try_into().unwrap_or(0), self.nanoseconds.try_into().unwrap_or(0))
    }

    /// How long it is till then; `None` if it has passed.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let now = match self.clock {
            Clock::Monotonic => rustix_now(),
            Clock::Realtime => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
                Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
            }
        };
        if self.seconds < 0 {
            return None;
        }
        self.since_zero().checked_sub(now).filter(|left| !left.is_zero())
    }
}

/// The waker's half of the event's fence pair: free when sleepers run membarrier(2), a full fence otherwise.
#[inline(always)]
pub fn light_fence(asymmetric: bool) {
    if asymmetric {
        core::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The sleeper's half: makes every registered process execute a full fence (membarrier(2), GLOBAL_EXPEDITED).
#[cold]
pub fn heavy_fence(asymmetric: bool) {
    // Also the fall-back should the kernel refuse: then the peer's wake-up may be missed, and the slice bounds the harm.
    fence(Ordering::SeqCst);
    if asymmetric {
        let _ = rustix::thread::membarrier(rustix::thread::MembarrierCommand::GlobalExpedited);
    }
}

/// Registers this process as one that other processes' heavy fences reach. Cheap when done before.
pub fn register_for_heavy_fences() -> bool {
    use rustix::thread::{MembarrierCommand, membarrier};
    membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// One `pause`: lets the writer keep the polled line for a moment (GOALS: pauses per probe decide the latency).
#[inline(always)]
pub fn spin_hint() {
    core::hint::spin_loop();
}

/// Gives the core to another thread.
pub fn yield_now() {
    std::thread::yield_now();
}

/// When a wait gives up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Waits for ever.
    pub const NEVER: Deadline = Deadline(None);

    /// At this instant.
    #[must_use]
    pub fn at(when: Instant) -> Self {
        Deadline(Some(when))
    }

    /// After this time; a time too large for the clock means never.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Deadline(Instant::now().checked_add(time))
    }

    /// The time left, at most `slice`; `None` when the deadline has passed.
    #[must_use]
    pub fn slice(&self, slice: Duration) -> Option<Duration> {
        match self.0 {
            None => Some(slice),
            Some(when) => match when.saturating_duration_since(Instant::now()) {
                Duration::ZERO => None,
                left => Some(left.min(slice)),
            },
        }
    }
}

/// Tells when some time has passed since it last said so. Starts as if it just had.
pub struct Pace(Instant);

impl Pace {
    /// From now on.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "the present is no default")]
    pub fn new() -> Self {
        Pace(Instant::now())
    }

    /// The time since the last yes.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Whether `time` has passed since the last yes.
    pub fn passed(&mut self, time: Duration) -> bool {
        let passed = self.elapsed() >= time;
        if passed {
            self.0 = Instant::now();
        }
        passed
    }
}

// Bumped in every forked child: a handle inherited through fork(2) must not move the parent's indices.
static FORKS: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// How many forks lie between this process and the one that first loaded the crate.
#[inline(always)]
#[must_use]
pub fn fork_epoch() -> u32 {
    // ord(own) Relaxed: written only in a forked child before it has a second thread.
    FORKS.load(Ordering::Relaxed)
}

/// Registers handlers around fork(2) (pthread_atfork(3)), unless this was done before. If several threads come at once
/// they may be called more than once a fork. No Once: a child forked inside it would wait for ever for the thread that
/// the parent has and it has not.
pub fn at_fork(before: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
    static DONE: AtomicU32 = AtomicU32::new(0);
    // ord(own) Relaxed: all that rests on it is in the C library, which has a lock of its own.
    if DONE.load(Ordering::Relaxed) != 0 {
        return;
    }
    // SAFETY: the handlers are functions of this program and live as long as it does.
    let failed = unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) };
    assert_eq!(failed, 0, "pthread_atfork fails only without memory");
    // ord(own) Relaxed: as above.
    DONE.store(1, Ordering::Relaxed);
}

/// Called in a forked child, by the handler that `liveness` installs.
pub fn count_fork() {
    // ord(own) Relaxed: the child of a fork has one thread.
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// As `copy_nonoverlapping`; short ones as two moves that may overlap in the middle, since the call of a memcpy costs a
/// small message more than its bytes do.
///
/// # Safety
/// As for `copy_nonoverlapping`.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    match len {
        // SAFETY: by the caller's contract; `len` bytes hold the type.
        8..=16 => unsafe { copy_both_ends::<u64>(from, to, len) },
        // SAFETY: as above.
        17..=32 => unsafe { copy_both_ends::<[u64; 2]>(from, to, len) },
        // SAFETY: as above.
        33..=64 => unsafe { copy_both_ends::<[u64; 4]>(from, to, len) },
        // SAFETY: the caller's contract.
        _ => unsafe { core::ptr::copy_nonoverlapping(from, to, len) },
    }
}

/// # Safety
/// As for `copy_nonoverlapping`, and `len` bytes hold a `T`.
#[inline(always)]
unsafe fn copy_both_ends<T: Copy>(from: *const u8, to: *mut u8, len: usize) {
    let at = len - size_of::<T>();
    // SAFETY: inside the `len` bytes of the caller's contract.
    let last = unsafe { from.add(at) };
    // SAFETY: as above.
    let last_to = unsafe { to.add(at) };
    // SAFETY: as above, and any bytes are a `T` of integers.
    let start = unsafe { from.cast::<T>().read_unaligned() };
    // SAFETY: as above.
    let end = unsafe { last.cast::<T>().read_unaligned() };
    // SAFETY: inside the `len` bytes that may be written.
    unsafe { to.cast::<T>().write_unaligned(start) };
    // SAFETY: as above.
    unsafe { last_to.cast::<T>().write_unaligned(end) };
}
