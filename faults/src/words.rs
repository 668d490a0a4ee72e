//! Memory that a process shares with those it forks and that outlives whoever is killed. Words only, so that nothing
//! in it can be half written. The unsafe code that shared memory takes is here.
#![allow(
    clippy::disallowed_types,
    reason = "the library's atomics are its own business; these are the observer's"
)]

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::ops::Index;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Zeroed words in a shared mapping.
pub struct Words {
    at: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: only atomics are reached through it.
unsafe impl Sync for Words {}
// SAFETY: as above; the mapping belongs to the process, not to a thread.
unsafe impl Send for Words {}

impl Words {
    /// `len` zeroes.
    ///
    /// # Panics
    /// Without memory, or if `len` is 0.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let bytes = std::num::NonZero::new(len * 8).expect("some words");
        let (prot, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice; zero bytes are atomics of value 0.
        let at = unsafe { mmap_anonymous(None, bytes, prot, flags) }.expect("memory to share");
        Words { at: at.cast(), len }
    }
}

impl Index<usize> for Words {
    type Output = AtomicU64;

    #[inline]
    fn index(&self, i: usize) -> &AtomicU64 {
        assert!(i < self.len, "word {i} of {}", self.len);
        // SAFETY: inside the mapping, by the assert.
        let at = unsafe { self.at.add(i) };
        // SAFETY: mapped until this is dropped, aligned, and only ever used as an atomic.
        unsafe { at.as_ref() }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; no reference into it outlives this value.
        let _ = unsafe { munmap(self.at.cast(), self.len * 8) };
    }
}
