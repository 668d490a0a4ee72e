//! Heap memory that two forked processes share, so that queues written for the threads of one process can be measured
//! between processes.
//!
//! The global allocator of this program. While [`lend`] runs its closure, this thread's allocations come from a region
//! that was mapped shared before the fork: what a library keeps on its heap then lies at the same address in both
//! children, and its atomics work across them as across threads. All other allocations go to the system's allocator.
//!
//! Freeing lent memory does nothing. The region is used anew once every [`Lent`] of this process is gone, so what was
//! lent must never be used after that; a measurement's children have ended before the parent drops its copy.
#![allow(clippy::disallowed_types, reason = "the library's facade is the library's own")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use slipring_harness::HarnessError;

/// Two queues of the largest size measured fit several times.
const ARENA_BYTES: usize = 64 << 20;

/// Where the region starts; 0 until it is mapped. It is never unmapped.
static START: AtomicUsize = AtomicUsize::new(0);
/// How many bytes of it are taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
/// How many [`Lent`] there are.
static LIVE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static LENDING: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, or the shared region while this thread lends.
#[derive(Debug)]
pub struct SharedWhileLending;

// SAFETY: every block is either the system's, and goes back to it, or a part of the region that nobody else was given:
// `take` only counts up while anything lent is alive.
unsafe impl GlobalAlloc for SharedWhileLending {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if LENDING.get() {
            return take(layout).unwrap_or(std::ptr::null_mut());
        }
        // SAFETY: the caller's promises are what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_lent(block) {
            // SAFETY: not from the region, so the system gave it.
            unsafe { System.dealloc(block, layout) }
        }
    }
}

fn is_lent(block: *const u8) -> bool {
    // Relaxed: set before the first block of the region was given to anybody.
    let start = START.load(Ordering::Relaxed);
    start != 0 && (block as usize).wrapping_sub(start) < ARENA_BYTES
}

/// The next free block of the region.
fn take(layout: Layout) -> Option<*mut u8> {
    // Relaxed here and below: the numbers hand out addresses; what is stored there is ordered by the fork.
    let start = START.load(Ordering::Relaxed);
    let mut taken = TAKEN.load(Ordering::Relaxed);
    loop {
        // No two blocks share a cache line that the library did not want shared.
        let at = taken.next_multiple_of(layout.align().max(128));
        let end = at.checked_add(layout.size()).filter(|&end| end <= ARENA_BYTES)?;
        match TAKEN.compare_exchange(taken, end, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Some((start + at) as *mut u8),
            Err(now) => taken = now,
        }
    }
}

/// A value whose heap memory is lent. Never dropped as what it is: its twin in the other process lives on.
#[derive(Debug)]
pub struct Lent<T>(ManuallyDrop<T>);

impl<T: Copy> Lent<T> {
    /// A copy of the value, not to be used after this is gone.
    pub fn get(&self) -> T {
        *self.0
    }
}

impl<T> Lent<T> {
    /// The value. Whoever takes it must not drop it either.
    pub fn take(self) -> ManuallyDrop<T> {
        let mut this = ManuallyDrop::new(self);
        LIVE.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: `this` is never used again, nor dropped.
        ManuallyDrop::new(unsafe { ManuallyDrop::take(&mut this.0) })
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes a value with its heap memory in the shared region.
///
/// # Errors
/// If the region cannot be mapped.
pub fn lend<T>(make: impl FnOnce() -> T) -> Result<Lent<T>, HarnessError> {
    if START.load(Ordering::Relaxed) == 0 {
        map()?;
    }
    if LIVE.fetch_add(1, Ordering::Relaxed) == 0 {
        TAKEN.store(0, Ordering::Relaxed);
    }
    LENDING.set(true);
    // A panic in here must not leave the thread lending: its message is allocated.
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(make));
    LENDING.set(false);
    made.map(|value| Lent(ManuallyDrop::new(value))).map_err(|_| {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        HarnessError::BadOption { what: "a queue that could not be made in the shared region".into() }
    })
}

#[allow(clippy::disallowed_methods, reason = "not the library")]
fn map() -> Result<(), HarnessError> {
    let len = NonZeroUsize::new(ARENA_BYTES).unwrap_or(NonZeroUsize::MIN);
    // SAFETY: no address is asked for, so no existing mapping is replaced.
    let region = unsafe {
        mmap_anonymous(None, len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED)
    }
    .map_err(|errno| HarnessError::os("mapping the region that queues share", errno))?;
    // A second thread of a test may have been faster; then this region is left alone.
    let _ = START.compare_exchange(0, region.as_ptr() as usize, Ordering::Relaxed, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// The region is one for the process, and the tests count on who uses it.
    static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn lent_memory_lies_in_the_region_and_other_memory_does_not() {
        let _alone = ALONE.lock().unwrap();
        let before = Box::new(1u64);
        let lent = lend(|| Box::new(2u64)).unwrap();
        let after = Box::new(3u64);
        assert!(is_lent(std::ptr::from_ref(&**lent.0).cast()));
        for own in [&before, &after] {
            assert!(!is_lent(std::ptr::from_ref(&**own).cast()));
        }
    }

    #[test]
    fn blocks_do_not_overlap_and_are_aligned() {
        let _alone = ALONE.lock().unwrap();
        let lent = lend(|| (vec![1u8; 3], Box::new([2u64; 40]), vec![3u8; 1000])).unwrap();
        let (a, b, c) = &*lent.0;
        assert!(a.iter().all(|&byte| byte == 1) && b.iter().all(|&word| word == 2));
        assert!(c.iter().all(|&byte| byte == 3));
        assert!((a.as_ptr() as usize).is_multiple_of(128) && (c.as_ptr() as usize).is_multiple_of(128));
    }

    #[test]
    fn a_vector_grows_out_of_the_region_and_within_it() {
        let _alone = ALONE.lock().unwrap();
        let lent = lend(|| {
            let mut grown = vec![7u8; 10];
            grown.extend([8; 100_000]);
            grown
        })
        .unwrap();
        assert!(is_lent(lent.0.as_ptr()));
        let mut taken = lent.take();
        taken.extend([9; 200_000]);
        assert!(!is_lent(taken.as_ptr()));
        assert_eq!((taken[9], taken[10], taken[100_010]), (7, 8, 9));
    }

    #[test]
    fn the_region_is_used_anew_when_nothing_is_lent() {
        let _alone = ALONE.lock().unwrap();
        let first = lend(|| Box::new([0u8; 4096])).unwrap();
        let second = lend(|| Box::new([0u8; 4096])).unwrap();
        let [one, two] = [&first, &second].map(|lent| std::ptr::from_ref(&**lent.0) as usize);
        assert_ne!(one, two);
        drop(first);
        drop(second);
        let again = lend(|| Box::new([0u8; 4096])).unwrap();
        assert_eq!(std::ptr::from_ref(&**again.0) as usize, one);
    }

    #[test]
    fn more_than_the_region_holds_is_refused_and_the_rest_works_on() {
        let _alone = ALONE.lock().unwrap();
        let fits = lend(|| {
            let mut large: Vec<u8> = Vec::new();
            large.try_reserve_exact(ARENA_BYTES + 1).is_ok()
        });
        assert!(!*fits.unwrap().0);
        assert!(!LENDING.get());
    }
}
