//! Shuttle under the names that the facade of the model half (`src/sync/model.rs`) takes from loom: atomics, fences,
//! threads, cells. Shuttle picks one schedule after the other at random, and every load returns the newest value: no
//! orderings and no races are seen, but many more threads and steps than loom can explore.
#![forbid(unsafe_code)]

/// Atomics and fences.
pub mod sync {
    pub use shuttle::sync::atomic;
}

/// Threads.
pub mod thread {
    pub use shuttle::thread::{Thread, current, park, spawn, yield_now};
}

/// Cells.
pub mod cell {
    use std::cell::RefCell;

    /// A cell whose accesses are no steps of their own, so no two overlap.
    pub struct UnsafeCell<T>(RefCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell with this value.
        pub fn new(value: T) -> Self {
            UnsafeCell(RefCell::new(value))
        }

        /// To read.
        pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(&raw const *self.0.borrow())
        }

        /// To write.
        pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(&raw mut *self.0.borrow_mut())
        }
    }
}
