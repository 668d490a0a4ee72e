//! The facade under loom, the model checker: the same names as `real`, over loom's atomics and cells.
//!
//! It must never order more than the machine does, or a model stays green that should go red:
//! - Sleeping (futex, semaphore) uses no lock of loom's. The only order that it adds is from a waker to those whom it
//!   wakes, after their decision to sleep.
//! - No clock runs: no sleep ends by itself, so a lost wake-up is a deadlock, which loom reports. A deadline that is
//!   not `NEVER` has passed whenever somebody looks.
//! - [`Memory`] tells header words from payload although they share bytes: a payload access that is not ordered against
//!   a header access, or against another payload access, fails the model; and a payload write leaves [`STALE`] in the
//!   header words that it covers, as stale bytes would stand there.
#![allow(
    clippy::disallowed_types,
    reason = "loom runs all its threads on one: std's cells are private to it"
)]

use core::ptr::NonNull;
use loom::cell::UnsafeCell;
use std::any::Any;
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::weaken;
pub use loom::sync::atomic::Ordering;

/// True on the machine: sizes and offsets are those of shared memory. False under the model.
pub const REAL: bool = false;

/// Empty probes a parking waiter makes before it sleeps. None: each ends in a yield, after which loom lets another
/// thread make a step first, and it is before that step that a wake-up might be missed.
pub const ROUNDS_BEFORE_SLEEP: u32 = 0;

/// One probe a round.
pub const PROBES_PER_ROUND: u32 = 1;

/// Empty probes between two looks at the clock and at the peer's state word while spinning.
pub const PROBES_PER_CHECK: u32 = 1;

/// Empty `try_` calls between two questions to the kernel whether the peer is alive.
pub const TRIES_PER_LEASE_CHECK: u32 = 2;

/// Looks at a slot that somebody fills before it is passed over. None: a yield would let its owner finish first.
pub const PATIENCE_MIN: u32 = 0;
/// By how much patience grows at most.
pub const PATIENCE_MAX: u32 = 1;
/// Pauses are only time.
pub const PAUSES_MAX: u32 = 0;

/// Attempts of one verb of an MPMC ring.
pub const MAX_ATTEMPTS: u32 = 1 << 10;
/// Looks of one verb of an MPMC ring.
pub const MAX_LOOKS: u32 = 1 << 14;
/// Claims that are passed over for no reason, in a row.
pub const MAX_VOIDS: u32 = 1;

/// How far a sender looks for a slot that comes without a wake-up: no sleep is shorter than another here.
pub const UNHEARD: u64 = 0;

/// What a payload write leaves in the header words that it covers: no header, and not 0.
pub const STALE: u64 = 0x5354_414c_4542_5954;

/// What keeps the memory alive for as long as a [`Shared`] points into it.
pub type Keep = Arc<dyn Any + Send + Sync>;

/// Types that any bytes are a value of, and that stay valid while other processes write them: atomics and bytes only.
///
/// # Safety
/// The implementor vouches for that, field by field.
pub unsafe trait AnyBytes {}

/// A reference to a struct that two sides of a model share.
pub struct Shared<T: ?Sized> {
    at: NonNull<T>,
    keep: Keep,
}

impl<T: Send + Sync + 'static> Shared<[T]> {
    /// Puts `values` where both sides reach them.
    #[must_use]
    pub fn of_all(values: Vec<T>) -> Self {
        let keep = Arc::new(values);
        Shared { at: NonNull::from(&keep[..]), keep }
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// Puts `value` where both sides reach it.
    #[must_use]
    pub fn of(value: T) -> Self {
        let keep = Arc::new(value);
        Shared { at: NonNull::from(&*keep), keep }
    }
}

impl<T: ?Sized> Shared<T> {
    /// A second reference, to a part of the same struct.
    pub fn project<U>(&self, part: impl FnOnce(&T) -> &U) -> Shared<U> {
        Shared { at: NonNull::from(part(self)), keep: self.keep.clone() }
    }
}

impl<T: ?Sized> core::ops::Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: `at` points into what `keep` keeps.
        unsafe { self.at.as_ref() }
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared { at: self.at, keep: self.keep.clone() }
    }
}

// SAFETY: a Shared hands out &T only, so it may cross threads exactly when &T may.
unsafe impl<T: Sync + ?Sized> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sync + ?Sized> Sync for Shared<T> {}

/// A step that loom tries before and after every other such step in the same place, and that orders nothing.
///
/// loom remembers one last access per word. A thread that loads a word and then stores it looks back at its own load and
/// misses an earlier load by another thread, so loom would not try its store before that one. Loads therefore take turns.
struct Turn(loom::sync::atomic::AtomicU32);

impl Turn {
    #[track_caller]
    fn new() -> Self {
        Turn(loom::sync::atomic::AtomicU32::new(0))
    }

    #[track_caller]
    fn take(&self) {
        newest(&self.0);
    }
}

/// Who touched eight bytes of a ring, in the two ways that must not race with each other.
struct Footprint {
    /// Payload reads (shared); payload writes and header stores (exclusive).
    payload: UnsafeCell<()>,
    /// Header loads (shared); payload writes (exclusive).
    polled: UnsafeCell<()>,
}

// SAFETY: the cells hold no data; loom judges every access itself.
unsafe impl Sync for Footprint {}
// SAFETY: as above.
unsafe impl Send for Footprint {}

impl Footprint {
    fn new() -> Self {
        Footprint { payload: UnsafeCell::new(()), polled: UnsafeCell::new(()) }
    }

    #[track_caller]
    fn payload_read(&self) {
        self.payload.with(|_| ());
    }

    #[track_caller]
    fn payload_written(&self) {
        self.payload.with_mut(|_| ());
        self.polled.with_mut(|_| ());
    }

    #[track_caller]
    fn header_loaded(&self) {
        self.polled.with(|_| ());
    }

    #[track_caller]
    fn header_stored(&self) {
        self.payload.with_mut(|_| ());
    }
}

/// A 64-bit word; inside a [`Memory`] it knows the bytes that it shares with payloads.
pub struct AtomicU64 {
    value: loom::sync::atomic::AtomicU64,
    turn: Turn,
    footprint: Option<Footprint>,
}

impl AtomicU64 {
    /// A word that is never anything else.
    #[must_use]
    #[track_caller]
    pub fn new(value: u64) -> Self {
        let value = loom::sync::atomic::AtomicU64::new(value);
        AtomicU64 { value, turn: Turn::new(), footprint: None }
    }

    #[track_caller]
    fn over_payload() -> Self {
        AtomicU64 { footprint: Some(Footprint::new()), ..AtomicU64::new(0) }
    }

    /// As core's.
    #[track_caller]
    pub fn load(&self, order: Ordering) -> u64 {
        self.turn.take();
        let value = self.value.load(weaken::order(order));
        if let Some(footprint) = &self.footprint {
            footprint.header_loaded();
        }
        value
    }

    /// As core's.
    #[track_caller]
    pub fn store(&self, value: u64, order: Ordering) {
        if let Some(footprint) = &self.footprint {
            footprint.header_stored();
        }
        self.value.store(value, weaken::order(order));
    }

    /// As core's; never fails without a reason.
    #[track_caller]
    pub fn compare_exchange(
        &self,
        from: u64,
        to: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        if let Some(footprint) = &self.footprint {
            footprint.header_loaded();
        }
        let (success, failure) = weaken::orders(success, failure);
        if weaken::is_split() {
            let (load, store) = weaken::halves(success);
            let found = self.value.load(load);
            return weaken::exchanged(found, from, || self.value.store(to, store));
        }
        self.value.compare_exchange(from, to, success, failure)
    }

    #[track_caller]
    fn read_as_payload(&self) {
        if let Some(footprint) = &self.footprint {
            footprint.payload_read();
        }
    }

    #[track_caller]
    fn write_as_payload(&self, leaves: u64) {
        if let Some(footprint) = &self.footprint {
            footprint.payload_written();
        }
        // Plain bytes order nothing.
        self.value.store(leaves, Ordering::Relaxed);
    }
}

/// A 32-bit word that threads can sleep on.
pub struct AtomicU32 {
    value: loom::sync::atomic::AtomicU32,
    turn: Turn,
    asleep: Asleep,
}

impl AtomicU32 {
    /// As core's.
    #[must_use]
    #[track_caller]
    pub fn new(value: u32) -> Self {
        let value = loom::sync::atomic::AtomicU32::new(value);
        AtomicU32 { value, turn: Turn::new(), asleep: Asleep::new() }
    }

    /// As core's.
    #[track_caller]
    pub fn load(&self, order: Ordering) -> u32 {
        self.turn.take();
        self.value.load(weaken::order(order))
    }

    /// As core's.
    #[track_caller]
    pub fn store(&self, value: u32, order: Ordering) {
        self.value.store(value, weaken::order(order));
    }

    /// As core's.
    #[track_caller]
    pub fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        if weaken::is_split() {
            return self.in_two_steps(order, |found| found.wrapping_add(value));
        }
        self.value.fetch_add(value, weaken::order(order))
    }

    /// As core's.
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        let (success, failure) = weaken::orders(success, failure);
        if weaken::is_split() {
            let (load, store) = weaken::halves(success);
            let found = self.value.load(load);
            return weaken::exchanged(found, current, || self.value.store(new, store));
        }
        self.value.compare_exchange(current, new, success, failure)
    }

    /// As core's.
    #[track_caller]
    pub fn fetch_or(&self, value: u32, order: Ordering) -> u32 {
        if weaken::is_split() {
            return self.in_two_steps(order, |found| found | value);
        }
        self.value.fetch_or(value, weaken::order(order))
    }

    /// As core's.
    #[track_caller]
    pub fn fetch_and(&self, value: u32, order: Ordering) -> u32 {
        if weaken::is_split() {
            return self.in_two_steps(order, |found| found & value);
        }
        self.value.fetch_and(value, weaken::order(order))
    }
}

impl AtomicU32 {
    /// What is left of a read-modify-write that `weaken` has split.
    #[track_caller]
    fn in_two_steps(&self, order: Ordering, change: impl FnOnce(u32) -> u32) -> u32 {
        let (load, store) = weaken::halves(order);
        self.turn.take();
        let found = self.value.load(load);
        self.value.store(change(found), store);
        found
    }
}

/// The threads that sleep in one place. loom switches threads only at its own operations, so what stands between two
/// of them, here a look at this list, is one step.
struct Asleep {
    threads: Mutex<Vec<loom::thread::Thread>>,
    /// The kernel's queue: falling asleep and waking depend on each other.
    queue: Turn,
}

impl Asleep {
    #[track_caller]
    fn new() -> Self {
        Asleep { threads: Mutex::default(), queue: Turn::new() }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<loom::thread::Thread>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    fn sleep(&self) {
        let me = loom::thread::current();
        let id = me.id();
        self.list().push(me);
        while self.list().iter().any(|sleeper| sleeper.id() == id) {
            loom::thread::park();
        }
    }

    fn has(&self, who: &loom::thread::Thread) -> bool {
        self.list().iter().any(|sleeper| sleeper.id() == who.id())
    }

    /// Whether it was still there.
    fn leave(&self, who: &loom::thread::Thread) -> bool {
        let mut list = self.list();
        let before = list.len();
        list.retain(|sleeper| sleeper.id() != who.id());
        list.len() < before
    }

    fn wake(&self, most: usize) -> usize {
        let woken: Vec<_> = {
            let mut list = self.list();
            let count = most.min(list.len());
            list.drain(..count).collect()
        };
        // The list is let go before: another scheduler than loom may switch threads here.
        woken.iter().for_each(loom::thread::Thread::unpark);
        woken.len()
    }
}

/// The newest value of a word, as the kernel reads it: not one that another thread has already overwritten. An exchange
/// that fails reads just that, and stores nothing.
#[track_caller]
fn newest(word: &loom::sync::atomic::AtomicU32) -> u32 {
    let never = u32::MAX;
    word.compare_exchange(never, never, Ordering::Relaxed, Ordering::Relaxed).unwrap_or_else(|found| found)
}

/// Sleeps if `word == expected`, in one step, until it is woken. There is no clock, so `slice` never ends.
#[track_caller]
pub fn futex_wait(word: &AtomicU32, expected: u32, _slice: Duration) {
    word.asleep.queue.take();
    if newest(&word.value) == expected {
        word.asleep.sleep();
    }
}

/// As [`futex_wait`]; no signal comes in a model.
#[track_caller]
pub fn futex_wait_interruptible(word: &AtomicU32, expected: u32, slice: Duration) -> bool {
    futex_wait(word, expected, slice);
    false
}

/// As [`futex_wait`]; no signal comes in a model.
#[track_caller]
pub fn futex_wait_until_handler(word: &AtomicU32, expected: u32, slice: Duration) -> bool {
    futex_wait(word, expected, slice);
    false
}

/// Wakes up to `most` of those who sleep on `word`, the longest asleep first; how many it woke.
#[track_caller]
pub fn futex_wake(word: &AtomicU32, most: usize) -> usize {
    word.asleep.queue.take();
    word.asleep.wake(most)
}

/// A 64-bit word on whose lower half threads can sleep.
pub struct FutexU64 {
    word: AtomicU64,
    asleep: Asleep,
}

impl FutexU64 {
    /// With this value.
    #[must_use]
    #[track_caller]
    pub fn new(value: u64) -> Self {
        FutexU64 { word: AtomicU64::new(value), asleep: Asleep::new() }
    }

    /// As core's.
    #[track_caller]
    pub fn load(&self, order: Ordering) -> u64 {
        self.word.load(order)
    }

    /// As core's.
    #[track_caller]
    pub fn store(&self, value: u64, order: Ordering) {
        self.word.store(value, order);
    }

    /// As core's.
    #[track_caller]
    pub fn compare_exchange(
        &self,
        from: u64,
        to: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.word.compare_exchange(from, to, success, failure)
    }

    /// Adds 1 and wakes the first of those who sleep, in one step; how many it woke. Ordered as `order` says, no more.
    #[track_caller]
    pub fn add_and_wake(&self, order: Ordering) -> usize {
        self.asleep.queue.take();
        self.word.value.fetch_add(1, weaken::order(order));
        self.asleep.wake(1)
    }

    /// Wakes up to `most` of those who sleep, the longest asleep first; how many it woke.
    #[track_caller]
    pub fn wake(&self, most: usize) -> usize {
        self.asleep.queue.take();
        self.asleep.wake(most)
    }

    /// Sleeps in one step if the lower half is `expected`, and `beside`, if any, has its value, until it is woken on either.
    /// There is no clock, so a slice never ends; but where the model says that they do ([`slices_end`]), each ends at
    /// once and is how time passes.
    #[track_caller]
    pub fn sleep(
        &self,
        expected: u32,
        beside: Option<(&AtomicU32, u32)>,
        _until: Option<&Moment>,
        slice: Option<Duration>,
    ) -> Slept {
        if let Some(slice) = slice.filter(|_| SLICES_END.get()) {
            set_coarse_ms(coarse_ms() + slice.as_millis() as u32);
            return Slept::Over;
        }
        let me = loom::thread::current();
        // One word after the other, as the kernel does it.
        if let Some((word, value)) = beside {
            word.asleep.queue.take();
            if newest(&word.value) != value {
                return Slept::Changed;
            }
            word.asleep.list().push(me.clone());
        }
        let leave_beside = || beside.is_none_or(|(word, _)| word.asleep.leave(&me));
        self.asleep.queue.take();
        let never = u64::MAX;
        let newest = self.word.value.compare_exchange(never, never, Ordering::Relaxed, Ordering::Relaxed);
        if newest.unwrap_or_else(|found| found) as u32 != expected {
            return if leave_beside() { Slept::Changed } else { Slept::WokenBeside };
        }
        self.asleep.list().push(me.clone());
        loop {
            let (here, there) = (self.asleep.has(&me), beside.is_none_or(|(word, _)| word.asleep.has(&me)));
            if !(here && there) {
                self.asleep.leave(&me);
                leave_beside();
                return if here { Slept::WokenBeside } else { Slept::Woken };
            }
            loom::thread::park();
        }
    }
}

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as on the machine")]
pub enum Slept {
    Woken,
    WokenBeside,
    Changed,
    Interrupted,
    Over,
}

thread_local! {
    static CLOCK: Cell<u32> = const { Cell::new(0) };
    static SLICES_END: Cell<bool> = const { Cell::new(false) };
}

/// Whether sleeps in slices end in this model.
pub fn slices_end(yes: bool) {
    SLICES_END.set(yes);
}

/// The time, which stands still until the model sets it.
#[must_use]
pub fn coarse_ms() -> u32 {
    CLOCK.get()
}

/// Sets the time. All threads of a model run on one thread of the machine.
pub fn set_coarse_ms(to: u32) {
    CLOCK.set(to);
}

/// A clock that a wait can end by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "as on the machine")]
pub enum Clock {
    Realtime,
    Monotonic,
}

/// A moment, which has passed whenever somebody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "as on the machine")]
pub struct Moment {
    pub clock: Clock,
    pub seconds: i64,
    pub nanoseconds: i64,
}

impl Moment {
    /// Whether there is such a moment.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (0..1_000_000_000).contains(&self.nanoseconds)
    }

    /// How long it is till then: it has passed.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        None
    }
}

/// A semaphore that orders nothing: POSIX promises more, the event must not need it.
pub struct Semaphore {
    permits: loom::sync::atomic::AtomicU32,
    asleep: Asleep,
}

impl Semaphore {
    /// With count 0.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "the machine's has no default either")]
    #[track_caller]
    pub fn new() -> Self {
        Semaphore { permits: loom::sync::atomic::AtomicU32::new(0), asleep: Asleep::new() }
    }

    /// Adds one permit. Never blocks.
    #[track_caller]
    pub fn post(&self) {
        self.permits.fetch_add(1, Ordering::Relaxed);
        self.asleep.wake(1);
    }

    /// Takes a permit, sleeping until there is one; true, as there is no other end to the sleep.
    #[track_caller]
    pub fn wait(&self, _slice: Duration) -> bool {
        loop {
            let found = newest(&self.permits);
            if found == 0 {
                self.asleep.sleep();
            } else if self
                .permits
                .compare_exchange(found, found - 1, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return true;
            }
        }
    }
}

/// As core's.
#[track_caller]
pub fn fence(order: Ordering) {
    if let Some(order) = weaken::fence_order(order) {
        loom::sync::atomic::fence(order);
    }
}

/// The waker's half of the event's fence pair. membarrier(2) is not modelled: both halves are full fences.
#[track_caller]
pub fn light_fence(_asymmetric: bool) {
    fence(Ordering::SeqCst);
}

/// The sleeper's half.
#[track_caller]
pub fn heavy_fence(_asymmetric: bool) {
    fence(Ordering::SeqCst);
}

/// The data bytes of one ring: real bytes for the values, a word of footprints for every eight of them.
#[derive(Clone)]
pub struct Memory(Arc<Data>);

struct Data {
    bytes: core::cell::UnsafeCell<Box<[u8]>>,
    words: Box<[AtomicU64]>,
}

// SAFETY: loom runs one thread at a time, and the footprints report accesses that nothing orders.
unsafe impl Sync for Data {}
// SAFETY: as above.
unsafe impl Send for Data {}

impl Memory {
    /// `len` zero bytes, a multiple of eight.
    #[must_use]
    #[track_caller]
    pub fn zeroed(len: usize) -> Self {
        assert!(len.is_multiple_of(8), "whole words");
        let bytes = core::cell::UnsafeCell::new(vec![0; len].into_boxed_slice());
        let words = (0..len / 8).map(|_| AtomicU64::over_payload()).collect();
        Memory(Arc::new(Data { bytes, words }))
    }

    /// How many bytes there are.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a ring is never empty of bytes")]
    pub fn len(&self) -> usize {
        self.0.words.len() * 8
    }

    /// The header word at byte offset `at`, a multiple of eight.
    #[must_use]
    pub fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8), "a header starts on a word");
        &self.0.words[at / 8]
    }

    fn words(&self, at: usize, len: usize) -> impl Iterator<Item = &AtomicU64> {
        assert!(at + len <= self.len(), "inside the ring");
        self.0.words[at / 8..(at + len).div_ceil(8)].iter()
    }

    fn at(&self, at: usize) -> *mut u8 {
        // SAFETY: nobody holds a reference to the box itself while its bytes are accessed.
        let bytes = unsafe { &mut *self.0.bytes.get() };
        bytes[at..].as_mut_ptr()
    }

    /// The bytes `at..at + len`, to read.
    ///
    /// # Safety
    /// As on the machine; here a breach is reported by loom.
    #[must_use]
    #[track_caller]
    pub unsafe fn bytes(&self, at: usize, len: usize) -> &[u8] {
        self.words(at, len).for_each(AtomicU64::read_as_payload);
        // SAFETY: inside the ring, and the footprints say that nobody writes it.
        unsafe { core::slice::from_raw_parts(self.at(at), len) }
    }

    /// The bytes `at..at + len`, to fill.
    ///
    /// # Safety
    /// As on the machine; here a breach is reported by loom.
    #[must_use]
    #[allow(clippy::mut_from_ref, reason = "exclusive by the ring's protocol, which the footprints check")]
    #[track_caller]
    pub unsafe fn bytes_mut(&self, at: usize, len: usize) -> &mut [u8] {
        self.words(at, len).for_each(|word| word.write_as_payload(STALE));
        // SAFETY: inside the ring, and the footprints say that nobody else touches it.
        unsafe { core::slice::from_raw_parts_mut(self.at(at), len) }
    }

    /// Copies `from` to offset `at`.
    ///
    /// # Safety
    /// As for [`Memory::bytes_mut`].
    #[track_caller]
    pub unsafe fn copy_in(&self, at: usize, from: &[u8]) {
        // SAFETY: the caller's contract is the same.
        unsafe { self.bytes_mut(at, from.len()) }.copy_from_slice(from);
    }

    /// Copies the bytes at offset `at` out.
    ///
    /// # Safety
    /// The range `at..at + to.len()` lies inside the ring.
    #[track_caller]
    pub unsafe fn copy_out(&self, at: usize, to: &mut [u8]) {
        // SAFETY: the caller's contract is the same.
        to.copy_from_slice(unsafe { self.bytes(at, to.len()) });
    }

    /// Copies `len` bytes from one offset to another.
    ///
    /// # Safety
    /// As on the machine.
    #[track_caller]
    pub unsafe fn copy_within(&self, from: usize, to: usize, len: usize) {
        // SAFETY: the caller's contract is the same.
        let bytes = unsafe { self.bytes(from, len) }.to_vec();
        // SAFETY: the same.
        unsafe { self.copy_in(to, &bytes) };
    }

    /// Zeroes `len` bytes at offset `at`.
    ///
    /// # Safety
    /// As for [`Memory::bytes_mut`].
    #[track_caller]
    pub unsafe fn clear(&self, at: usize, len: usize) {
        assert!(at.is_multiple_of(8) && len.is_multiple_of(8), "whole words are cleared");
        self.words(at, len).for_each(|word| word.write_as_payload(0));
        // SAFETY: inside the ring; the footprints say that nobody else touches it.
        unsafe { core::slice::from_raw_parts_mut(self.at(at), len) }.fill(0);
    }

    /// A hint: no effect on any value.
    pub fn map_pages(&self, _at: usize, _len: usize) {}

    /// A hint: no effect on any value.
    pub fn prefetch_write(&self, _at: usize) {}
}

/// Lets the other threads of the model run.
pub fn spin_hint() {
    loom::thread::yield_now();
}

/// Lets the other threads of the model run.
pub fn yield_now() {
    loom::thread::yield_now();
}

/// When a wait gives up: never, or as soon as it looks.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    passed: bool,
}

impl Deadline {
    /// Waits for ever.
    pub const NEVER: Deadline = Deadline { passed: false };

    /// At this instant.
    #[must_use]
    pub fn at(_when: Instant) -> Self {
        Deadline { passed: true }
    }

    /// After this time.
    #[must_use]
    pub fn after(_time: Duration) -> Self {
        Deadline { passed: true }
    }

    /// The time left, at most `slice`; `None` when the deadline has passed.
    #[must_use]
    pub fn slice(&self, slice: Duration) -> Option<Duration> {
        (!self.passed).then_some(slice)
    }
}

/// Tells when some time has passed: whenever it is asked.
pub struct Pace;

impl Pace {
    /// From now on.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "the present is no default")]
    pub fn new() -> Self {
        Pace
    }

    /// None.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether `time` has passed since the last yes.
    pub fn passed(&mut self, _time: Duration) -> bool {
        true
    }
}

thread_local! {
    static EPOCH: Cell<u32> = const { Cell::new(0) };
}

/// How many forks lie between this process and the one that first loaded the crate. What a failing model drops says no
/// good-bye: that would need loom, which has stopped.
#[must_use]
pub fn fork_epoch() -> u32 {
    if std::thread::panicking() { u32::MAX } else { EPOCH.get() }
}

/// Drops a handle as SIGKILL would: without its good-bye. No loom operation may run in the drops of what it owns.
pub fn kill<T>(handle: T) {
    EPOCH.set(fork_epoch() + 1);
    drop(handle);
    EPOCH.set(fork_epoch() - 1);
}

/// Whether a [`kill`] is under way.
#[must_use]
pub fn killing() -> bool {
    fork_epoch() != 0
}
