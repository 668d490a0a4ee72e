//! Where each number of a set stands, and how several of them change together.
//!
//! ```text
//!   cells   removed  mode  otime (2)  ctime (2)  uid  gid  key  places in use  tickets given  crowd
//!           value of each semaphore      pid of each semaphore's last change
//!           each row: the process's number        each row: its pid
//!           each row: what is added to each semaphore when the process is gone
//!   behind  the places of those who wait (`places.rs`)
//! ```
//!
//! A row is a process that has changes to be undone. Whoever has the lock undoes them when its lease is free.
#![forbid(unsafe_code)]

use super::{Caller, Facts, Set, VALUE_MAX};
use crate::layout::{SET_FIXED, SET_PLACE};
use crate::ring::journal::{self, Change};
use crate::sync::Ordering::Relaxed;
use crate::view::SetView;

pub(super) const REMOVED: usize = 0;
pub(super) const MODE: usize = 1;
pub(super) const OPERATED: usize = 2;
pub(super) const CHANGED: usize = 4;
pub(super) const OWNER: usize = 6;
pub(super) const GROUP: usize = 7;
pub(super) const KEY: usize = 8;
pub(super) const IN_USE: usize = 9;
pub(super) const TICKETS: usize = 10;
pub(super) const CROWD: usize = 11;

impl Set {
    pub(super) fn value(&self, number: usize) -> usize {
        SET_FIXED + number
    }

    pub(super) fn pid(&self, number: usize) -> usize {
        SET_FIXED + self.view.semaphores + number
    }

    pub(super) fn row_owner(&self, row: usize) -> usize {
        SET_FIXED + 2 * self.view.semaphores + row
    }

    pub(super) fn owner_pid(&self, row: usize) -> usize {
        self.row_owner(self.rows) + row
    }

    pub(super) fn undo(&self, row: usize, number: usize) -> usize {
        self.owner_pid(self.rows) + row * self.view.semaphores + number
    }

    /// A cell of a place.
    pub(super) fn of_place(&self, place: usize, cell: usize) -> usize {
        self.view.record.len() + place * SET_PLACE + cell
    }

    pub(super) fn cell(&self, cell: usize) -> u32 {
        journal::cell(&self.view, cell)
    }

    pub(super) fn is_removed(&self) -> bool {
        is_removed(&self.view)
    }

    /// Changes the cells; whether one of them is a value that is another now.
    pub(super) fn carry_out(&self, changes: &[Change]) -> bool {
        let values = self.value(0)..self.pid(0);
        let woke = changes
            .iter()
            .any(|change| values.contains(&change.cell) && self.cell(change.cell) != change.value);
        journal::commit(&self.view, changes);
        if woke {
            self.count_change();
        }
        woke
    }

    pub(super) fn changes(&self) -> u32 {
        // ord(own) Relaxed: a hint for who sleeps; what changed is seen with the lock.
        self.view.header.changes.0.load(Relaxed)
    }

    pub(super) fn count_change(&self) {
        // ord(own) Relaxed: only whoever has the lock writes it.
        let changes = self.view.header.changes.0.load(Relaxed);
        // ord(own) Relaxed: as in `changes`.
        self.view.header.changes.0.store(changes.wrapping_add(1), Relaxed);
    }

    /// The row of this process, or a free one.
    pub(super) fn row(&self, me: u32) -> Option<usize> {
        let of = |owner| (0..self.rows).find(|&row| self.cell(self.row_owner(row)) == owner);
        of(me).or_else(|| of(0))
    }

    /// Rows of processes that are gone.
    pub(super) fn dead_rows(&self, caller: &Caller<'_>) -> impl Iterator<Item = usize> {
        (0..self.rows).filter(|&row| {
            let owner = self.cell(self.row_owner(row));
            owner != 0 && owner != caller.who.me && !(caller.who.lives)(owner)
        })
    }

    /// Whether somebody with changes to be undone is gone; without the lock, which whoever acts on it takes.
    pub(super) fn somebody_died(&self, caller: &Caller<'_>) -> bool {
        self.dead_rows(caller).next().is_some()
    }

    pub(super) fn undo_rows(&self, rows: Vec<usize>, now: u64) -> bool {
        let mut changed = false;
        for row in rows {
            changed |= self.undo_all(row, now);
        }
        changed
    }

    /// Undoes what a process that is gone left; whether a value changed.
    pub(super) fn undo_all(&self, row: usize, now: u64) -> bool {
        let pid = self.cell(self.owner_pid(row));
        let mut changes = vec![Change { cell: self.row_owner(row), value: 0 }];
        let mut changed = false;
        for number in 0..self.view.semaphores {
            let undo = self.cell(self.undo(row, number)) as i32;
            if undo != 0 {
                let value = (self.cell(self.value(number)) as i32).saturating_add(undo).clamp(0, VALUE_MAX);
                changes.push(Change { cell: self.value(number), value: value as u32 });
                changes.push(Change { cell: self.pid(number), value: pid });
                changes.push(Change { cell: self.undo(row, number), value: 0 });
                changed = true;
            }
        }
        if changed {
            put(&mut changes, OPERATED, now);
        }
        self.carry_out(&changes) && changed
    }
}

/// What people want to know of the set in this memory, without its lock, so that a time may be torn.
#[must_use]
pub fn hints(view: &SetView) -> Facts {
    let cell = |cell| journal::cell(view, cell);
    let time = |at| u64::from(cell(at)) | u64::from(cell(at + 1)) << 32;
    Facts {
        key: cell(KEY).cast_signed(),
        uid: cell(OWNER),
        gid: cell(GROUP),
        mode: cell(MODE),
        operated: time(OPERATED),
        changed: time(CHANGED),
    }
}

/// Whether the set in this memory was removed; without its lock.
#[must_use]
pub fn is_removed(view: &SetView) -> bool {
    journal::cell(view, REMOVED) != 0
}

/// A time takes two cells.
pub(super) fn put(changes: &mut Vec<Change>, cell: usize, time: u64) {
    changes.push(Change { cell, value: time as u32 });
    changes.push(Change { cell: cell + 1, value: (time >> 32) as u32 });
}
