//! What the tests of this package share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// For all tests of a file that forks: they run one after the other, so that no other thread of this process holds a
/// lock at the moment of a fork.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
