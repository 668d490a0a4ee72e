//! Cells of shared memory that change together: all of them or none, wherever whoever changes them is killed.
//!
//! One at a time, under a lock that is taken over from the dead. A change is written down first, cell and new value, then
//! `pending` says how long the record is, and only then the cells are changed and `pending` goes back to 0:
//!
//! ```text
//!   killed before `pending` stands    nothing happened
//!   killed after                      whoever has the lock next carries the record out, from its beginning
//! ```
//!
//! Carrying it out twice is the same as once, since an entry says what the cell becomes and not by how much it changes. The
//! next holder may be killed over it, too.
//!
//! That a killed thread's stores end with some first part of them is what a machine does; that the compiler keeps their
//! order is what Release is for. The lock, or the lease of who died, orders all of it for the next holder.
#![forbid(unsafe_code)]

use crate::error::Corrupt;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::view::SetView;

/// What one cell becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub cell: usize,
    /// Its new value.
    pub value: u32,
}

/// What stands in a cell. With the lock.
#[must_use]
pub fn cell(view: &SetView, cell: usize) -> u32 {
    // ord(own) Relaxed: the lock orders all who come here; who looks without it wants a hint.
    view.cells[cell].load(Relaxed)
}

/// Changes one cell, which needs no record. With the lock.
pub fn set(view: &SetView, cell: usize, value: u32) {
    // ord(own) Relaxed: the lock orders all who come here.
    view.cells[cell].store(value, Relaxed);
}

/// Changes these cells, each once, all or none. With the lock, and nothing pending.
pub fn commit(view: &SetView, changes: &[Change]) {
    for (entry, change) in view.record.iter().zip(changes) {
        // ord(own) Relaxed: read by who finds `pending`, which is stored behind it.
        entry.store((change.cell as u64) << 32 | u64::from(change.value), Relaxed);
    }
    // ord(set.record) Release -> recover: the whole record before its length.
    view.header.pending.0.store(changes.len() as u32, Release);
    for change in changes {
        set(view, change.cell, change.value);
    }
    // ord(set.record) Release -> recover: all cells before nothing is pending.
    view.header.pending.0.store(0, Release);
}

/// Carries out what a dead holder of the lock began; whether there was anything. With the lock.
///
/// # Errors
/// The record is none that [`commit`] writes.
pub fn recover(view: &SetView) -> Result<bool, Corrupt> {
    // ord(set.record) Acquire <- commit: the record that this is the length of.
    let pending = view.header.pending.0.load(Acquire);
    if pending == 0 {
        return Ok(false);
    }
    let bad = |field, found| Corrupt::new(field, found, 0);
    let record = view.record.get(..pending as usize).ok_or(bad("pending", pending.into()))?;
    for entry in record {
        // ord(own) Relaxed: ordered by `pending`.
        let entry = entry.load(Relaxed);
        let cell = (entry >> 32) as usize;
        if cell >= view.cells.len() {
            return Err(bad("record", entry));
        }
        set(view, cell, entry as u32);
    }
    // ord(set.record) Release -> recover: all cells before nothing is pending.
    view.header.pending.0.store(0, Release);
    Ok(true)
}
