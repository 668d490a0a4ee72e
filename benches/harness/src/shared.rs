//! Anonymous memory that survives `fork` as the same pages in both processes: control pages, reference lines, the
//! futex mailbox. Whoever forks owns the mapping; each process unmaps its own view.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::atomics::{FutexWord, Word};
use crate::error::HarnessError;

/// Types that are valid when all their bytes are zero, hold no pointer, and are only changed through atomics.
///
/// # Safety
/// All of that must be true: another process maps the same bytes.
pub(crate) unsafe trait Shareable {}

// SAFETY: an atomic integer; zero is a value of it.
unsafe impl Shareable for Word {}
// SAFETY: an atomic integer; zero is a value of it.
unsafe impl Shareable for FutexWord {}
// SAFETY: an array of shareable values is a shareable value.
unsafe impl<T: Shareable, const N: usize> Shareable for [T; N] {}
// SAFETY: `Line` is its field and padding nobody reads.
unsafe impl<T: Shareable> Shareable for Line<T> {}

/// A value alone in 128 bytes: one cache line and the one the prefetcher fetches with it.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Line<T>(pub(crate) T);

/// Zeroed bytes both processes see.
#[derive(Debug)]
pub(crate) struct SharedBytes {
    start: NonNull<u8>,
    len: NonZeroUsize,
}

impl SharedBytes {
    /// Maps `len` zero bytes (at least one page).
    pub(crate) fn new(len: usize) -> Result<Self, HarnessError> {
        let len = NonZeroUsize::new(len).unwrap_or(NonZeroUsize::MIN);
        // SAFETY: no address is asked for, so no existing mapping is replaced.
        let start = unsafe {
            mmap_anonymous(None, len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED)
        }
        .map_err(|errno| HarnessError::os("mapping memory shared by the measuring processes", errno))?;
        Ok(SharedBytes { start: start.cast(), len })
    }

    /// As [`SharedBytes::new`], but a System V segment: marked for removal at once, so it goes with its last user.
    pub(crate) fn system_v(len: usize) -> Result<Self, HarnessError> {
        let len = NonZeroUsize::new(len).unwrap_or(NonZeroUsize::MIN);
        // SAFETY: makes a kernel object and touches no memory of ours.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, len.get(), libc::IPC_CREAT | 0o600) };
        let id = Errno::result(id)
            .map_err(|errno| HarnessError::os("making a System V shared memory segment", errno))?;
        // SAFETY: no address is asked for, so no existing mapping is replaced.
        let start = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        let attached = Errno::result(start as isize);
        // SAFETY: removal takes no buffer. It cannot fail for the owner, and takes effect with the last detachment.
        unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
        attached.map_err(|errno| HarnessError::os("mapping a System V segment", errno))?;
        let start = NonNull::new(start.cast())
            .ok_or(HarnessError::os("mapping a System V segment", Errno::ENOMEM))?;
        // Linux detaches a segment whose mapping is unmapped, so dropping is the same for both kinds.
        Ok(SharedBytes { start, len })
    }

    /// Where a `T` would start at `offset`, for the C library to use.
    pub(crate) fn place<T>(&self, offset: usize) -> *mut T {
        self.check(offset, size_of::<T>());
        assert!(offset.is_multiple_of(align_of::<T>()), "on its boundary");
        // SAFETY: check() keeps offset inside the mapping.
        unsafe { self.start.add(offset) }.cast::<T>().as_ptr()
    }

    /// `len` bytes from `offset`. The caller must have been handed them by the other process, with an Acquire load.
    ///
    /// # Safety
    /// Nobody, in either process, writes these bytes while the slice lives.
    pub(crate) unsafe fn slice(&self, offset: usize, len: usize) -> &[u8] {
        self.check(offset, len);
        // SAFETY: check() keeps offset inside the mapping.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: check() keeps the range inside the mapping, which lives as long as self; the caller excludes writers.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// `len` writable bytes from `offset`.
    ///
    /// # Safety
    /// Nobody else, in either process, reads or writes these bytes while the slice lives.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice_mut(&self, offset: usize, len: usize) -> &mut [u8] {
        self.check(offset, len);
        // SAFETY: check() keeps offset inside the mapping.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: check() keeps the range inside the mapping, which lives as long as self; the caller has it alone.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    /// The word at `offset`, a multiple of 8, for bytes that no slice covers meanwhile.
    #[inline(always)]
    pub(crate) fn word(&self, offset: usize) -> &Word {
        self.check(offset, size_of::<Word>());
        assert!(offset.is_multiple_of(align_of::<Word>()), "a word on its boundary");
        // SAFETY: check() keeps offset inside the mapping.
        let word = unsafe { self.start.add(offset) }.cast::<Word>();
        // SAFETY: mapped as long as self lives, on its boundary, and any bytes are a value of an atomic integer.
        unsafe { word.as_ref() }
    }

    #[inline(always)]
    fn check(&self, offset: usize, len: usize) {
        assert!(offset <= self.len.get() && len <= self.len.get() - offset, "outside the shared mapping");
    }
}

// SAFETY: the mapping belongs to no thread, and whoever slices it vouches for who else does.
unsafe impl Send for SharedBytes {}
// SAFETY: as above; words are atomic.
unsafe impl Sync for SharedBytes {}

impl Drop for SharedBytes {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and every slice of it borrowed self.
        // A refusal would leak address space, nothing else.
        let _ = unsafe { munmap(self.start.cast(), self.len.get()) };
    }
}

/// One `T` both processes see, zero at first.
#[derive(Debug)]
pub(crate) struct Shared<T> {
    bytes: SharedBytes,
    kind: PhantomData<T>,
}

impl<T: Shareable> Shared<T> {
    /// Maps a zero `T`.
    pub(crate) fn new() -> Result<Self, HarnessError> {
        const { assert!(align_of::<T>() <= 4096, "a mapping starts at a page") };
        Ok(Shared { bytes: SharedBytes::new(size_of::<T>())?, kind: PhantomData })
    }
}

impl<T: Shareable> Deref for Shared<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the mapping is page-aligned and at least as large as T, Shareable says zero bytes are a T and that
        // it changes only through atomics, and the mapping lives as long as self.
        unsafe { self.bytes.start.cast::<T>().as_ref() }
    }
}
