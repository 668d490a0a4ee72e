//! The only place of this package that names an atomic type.
//!
//! The workspace forbids std's atomics because the library's must go through its facade, where the models see them.
//! The harness is outside the library and measures the machine itself, so it wraps the few operations it needs; the
//! ordering is in the method's name and the partner is named where the method is called.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::thread::futex;

/// A 64-bit word two processes share; all zero bytes is the value 0.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Word(AtomicU64);

impl Word {
    /// Loads with Acquire.
    #[inline(always)]
    pub(crate) fn load_acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Stores with Release.
    #[inline(always)]
    pub(crate) fn store_release(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Adds with AcqRel and returns the value before.
    #[inline(always)]
    pub(crate) fn add_acqrel(&self, value: u64) -> u64 {
        self.0.fetch_add(value, Ordering::AcqRel)
    }
}

/// A 32-bit word two processes share and sleep on; all zero bytes is the value 0.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct FutexWord(AtomicU32);

impl FutexWord {
    /// Loads with Acquire.
    #[inline(always)]
    pub(crate) fn load_acquire(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Swaps with AcqRel and returns the value before.
    #[inline(always)]
    pub(crate) fn swap_acqrel(&self, value: u32) -> u32 {
        self.0.swap(value, Ordering::AcqRel)
    }

    /// Moves `from` to `to` (AcqRel, Acquire on failure); the value found if that was not `from`.
    #[inline(always)]
    pub(crate) fn change(&self, from: u32, to: u32) -> Result<(), u32> {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }

    /// Sleeps while the word is `value`. Returns early on a signal; the caller looks again in every case.
    pub(crate) fn sleep_while(&self, value: u32) -> Result<(), Errno> {
        match futex::wait(&self.0, futex::Flags::empty(), value, None) {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Wakes one sleeper, of whichever process.
    pub(crate) fn wake_one(&self) -> Result<(), Errno> {
        futex::wake(&self.0, futex::Flags::empty(), 1).map(drop)
    }
}

/// A number this process has not been given before.
pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Relaxed: only that each addition is counted once matters.
    NEXT.fetch_add(1, Ordering::Relaxed)
}
