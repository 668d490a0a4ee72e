//! Operations: whether they can be done now, what they change, and the waits of those that cannot.
#![forbid(unsafe_code)]

use super::cells::{CROWD, OPERATED, put};
use super::places::{DONE, NO_ROW, OUT_OF_RANGE, STATE, WAITS, WOULD_BLOCK};
use super::{Caller, Operation, Set, Stop, VALUE_MAX};
use crate::channel::lock::Held;
use crate::error::Corrupt;
use crate::event::SLICE;
use crate::ring::journal::{self, Change};
use crate::sync::Ordering::Relaxed;
use crate::sync::{Deadline, futex_wait_until_handler};

/// Why an attempt cannot go on: at this operation.
pub(super) enum Blocked {
    At(Operation),
    Never(Stop),
}

impl Blocked {
    fn stop(self) -> Stop {
        match self {
            Blocked::At(_) => Stop::WouldBlock,
            Blocked::Never(stop) => stop,
        }
    }

    /// As a place has it.
    pub(super) fn code(self) -> u32 {
        match self {
            Blocked::At(_) => WOULD_BLOCK,
            Blocked::Never(Stop::NoRow) => NO_ROW,
            Blocked::Never(_) => OUT_OF_RANGE,
        }
    }
}

impl Set {
    /// Does all of `operations`, in their order, as one; waits until that is possible, or until `deadline`.
    ///
    /// # Errors
    /// Nothing was done.
    pub fn operate(
        &self,
        operations: &[Operation],
        caller: &Caller<'_>,
        deadline: Deadline,
    ) -> Result<(), Stop> {
        if operations.iter().any(|operation| !self.has(operation.number.into())) {
            return Err(Stop::NoSemaphore);
        }
        let held = self.enter(caller)?;
        let at = match self.attempt(operations, caller.who.me, caller.pid, caller.now) {
            Ok(changes) => {
                let changed = self.carry_out(&changes);
                self.leave(held, changed, caller);
                return Ok(());
            }
            Err(Blocked::At(at)) if !at.nowait => at,
            Err(blocked) => {
                self.leave(held, false, caller);
                return Err(blocked.stop());
            }
        };
        match self.queue_up(operations, at, caller) {
            Some(place) => {
                self.leave(held, false, caller);
                self.wait_in(place, caller, deadline)
            }
            None => self.wait_in_the_crowd(held, operations, caller, deadline),
        }
    }

    /// Sleeps in a place until somebody did our operations.
    fn wait_in(&self, place: usize, caller: &Caller<'_>, deadline: Deadline) -> Result<(), Stop> {
        let state = self.of_place(place, STATE);
        let waits = caller.who.me << 16 | WAITS;
        loop {
            let slept = self.sleep(Some(place), waits, caller, deadline);
            let held = match self.enter(caller) {
                Err(Stop::NoSet) => return Err(Stop::Removed),
                held => held?,
            };
            let found = self.cell(state);
            if found >> 16 != caller.who.me {
                self.leave(held, false, caller);
                return Err(Stop::Corrupt(Corrupt::new("place", found.into(), place as u64)));
            }
            let ended = match found & 0xffff {
                WAITS => slept.map(|()| None),
                DONE => Ok(Some(())),
                WOULD_BLOCK => Err(Stop::WouldBlock),
                OUT_OF_RANGE => Err(Stop::Range),
                NO_ROW => Err(Stop::NoRow),
                _ => Err(Stop::Removed),
            };
            if ended != Ok(None) {
                self.free(place);
            }
            self.leave(held, false, caller);
            if let Some(ended) = ended.transpose() {
                return ended;
            }
        }
    }

    /// Tries again after each change, beside others who do.
    fn wait_in_the_crowd(
        &self,
        mut held: Held,
        operations: &[Operation],
        caller: &Caller<'_>,
        deadline: Deadline,
    ) -> Result<(), Stop> {
        let mut slept = Ok(());
        loop {
            let blocked = match self.attempt(operations, caller.who.me, caller.pid, caller.now) {
                Ok(changes) => {
                    let changed = self.carry_out(&changes);
                    self.leave(held, changed, caller);
                    return Ok(());
                }
                Err(Blocked::At(at)) if !at.nowait => slept,
                Err(blocked) => Err(blocked.stop()),
            };
            if blocked.is_err() {
                self.leave(held, false, caller);
                return blocked;
            }
            journal::set(&self.view, CROWD, 1);
            let seen = self.changes();
            self.leave(held, false, caller);
            slept = self.sleep(None, seen, caller, deadline);
            held = match self.enter(caller) {
                Err(Stop::NoSet) => return Err(Stop::Removed),
                held => held?,
            };
        }
    }

    /// Sleeps until the first cell of a place, or for the crowd the count of changes, is another, or there is something to
    /// do with the lock.
    fn sleep(
        &self,
        place: Option<usize>,
        expected: u32,
        caller: &Caller<'_>,
        deadline: Deadline,
    ) -> Result<(), Stop> {
        let word = match place {
            Some(place) => &self.view.cells[self.of_place(place, STATE)],
            None => &self.view.header.changes.0,
        };
        loop {
            // ord(own) Relaxed: a hint; what it means is seen with the lock.
            if word.load(Relaxed) != expected || self.is_removed() || self.somebody_died(caller) {
                return Ok(());
            }
            // Who died with the lock in hand may have left a change half made, or those whom it serves not served.
            if let Some(held) = self.lock.take_over(&caller.who) {
                self.settle(held, caller).map(|held| self.leave(held, false, caller))?;
                continue;
            }
            let Some(slice) = deadline.slice(SLICE) else { return Err(Stop::WouldBlock) };
            if futex_wait_until_handler(word, expected, slice) {
                return Err(Stop::Interrupted);
            }
        }
    }

    /// What `operations` change if they are done now.
    pub(super) fn attempt(
        &self,
        operations: &[Operation],
        me: u32,
        pid: u32,
        now: u64,
    ) -> Result<Vec<Change>, Blocked> {
        let mut values: Vec<(usize, i32)> = Vec::new();
        let mut undone: Vec<(usize, i32)> = Vec::new();
        let row = match operations.iter().any(|operation| operation.undo && operation.change != 0) {
            true => Some(self.row(me).ok_or(Blocked::Never(Stop::NoRow))?),
            false => None,
        };
        for operation in operations {
            let number = usize::from(operation.number);
            let value = entry(&mut values, number, || (self.cell(self.value(number)) & 0x7fff) as i32);
            let change = i32::from(operation.change);
            let blocked = if change == 0 { *value != 0 } else { *value + change < 0 };
            if blocked {
                return Err(Blocked::At(*operation));
            }
            if *value + change > VALUE_MAX {
                return Err(Blocked::Never(Stop::Range));
            }
            *value += change;
            if let Some(row) = row.filter(|_| operation.undo && change != 0) {
                let undo = entry(&mut undone, number, || self.cell(self.undo(row, number)) as i16 as i32);
                if !(-VALUE_MAX - 1..=VALUE_MAX).contains(&(*undo - change)) {
                    return Err(Blocked::Never(Stop::Range));
                }
                *undo -= change;
            }
        }
        let mut changes = Vec::with_capacity(2 * values.len() + undone.len() + 4);
        for &(number, value) in &values {
            changes.push(Change { cell: self.value(number), value: value as u32 });
            changes.push(Change { cell: self.pid(number), value: pid });
        }
        if let Some(row) = row {
            changes.push(Change { cell: self.row_owner(row), value: me });
            changes.push(Change { cell: self.owner_pid(row), value: pid });
            for (number, undo) in undone {
                changes.push(Change { cell: self.undo(row, number), value: undo as u32 });
            }
        }
        put(&mut changes, OPERATED, now);
        Ok(changes)
    }
}

/// The entry of this semaphore, which begins as `first` says.
fn entry(of: &mut Vec<(usize, i32)>, number: usize, first: impl FnOnce() -> i32) -> &mut i32 {
    let at = of.iter().position(|(other, _)| *other == number).unwrap_or_else(|| {
        of.push((number, first()));
        of.len() - 1
    });
    &mut of[at].1
}
