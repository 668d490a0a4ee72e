//! The places in which those stand who cannot go on, and who does their operations for them.
//!
//! ```text
//!   place   number:16 | how it ended:16   0: free
//!           not to wait:12 | operations:4 | zero:1 | semaphore:15, the one that it waits for
//!           ticket   pid   up to twelve operations: undo:1 | number:15 | change:16
//! ```
//!
//! A sleeper that was killed is found when its operations could be done, and they are not; its place is free then. Places are
//! input like everything there, and checked as a caller's own operations are. Everything in here is done with the lock.
#![forbid(unsafe_code)]

use super::cells::{IN_USE, TICKETS};
use super::operate::Blocked;
use super::{Caller, Operation, Set};
use crate::layout::{SET_PLACE, SET_PLACES};
use crate::ring::journal::{self, Change};
use crate::sync::futex_wake;

// Cells of a place.
pub(super) const STATE: usize = 0;
const ABOUT: usize = 1;
const TICKET: usize = 2;
const PID: usize = 3;
const OPERATIONS: usize = 4;

// How a wait in a place ended.
pub(super) const WAITS: u32 = 0;
pub(super) const DONE: u32 = 1;
pub(super) const WOULD_BLOCK: u32 = 2;
pub(super) const OUT_OF_RANGE: u32 = 3;
pub(super) const NO_ROW: u32 = 4;
pub(super) const REMOVED_NOW: u32 = 5;

const ZERO: u32 = 0x8000;
const EVERYBODY: usize = usize::MAX;

impl Set {
    /// Takes a place, with the lock: the first cell last, so that nothing is half said. `None` if there is none, or the
    /// operations do not fit.
    pub(super) fn queue_up(
        &self,
        operations: &[Operation],
        at: Operation,
        caller: &Caller<'_>,
    ) -> Option<usize> {
        if operations.len() > SET_PLACE - OPERATIONS {
            return None;
        }
        let is_free = |&place: &usize| self.cell(self.of_place(place, STATE)) == 0;
        let place = (0..SET_PLACES).find(is_free).or_else(|| {
            (0..self.in_use()).filter(|&place| !self.lives(place, caller)).for_each(|place| self.free(place));
            (0..SET_PLACES).find(is_free)
        })?;
        let nowait =
            operations.iter().rev().fold(0, |bits, operation| bits << 1 | u32::from(operation.nowait));
        let ticket = self.cell(TICKETS).wrapping_add(1);
        let set = |cell, value| journal::set(&self.view, cell, value);
        set(TICKETS, ticket);
        set(self.of_place(place, ABOUT), nowait << 20 | (operations.len() as u32) << 16 | about(at));
        set(self.of_place(place, TICKET), ticket);
        set(self.of_place(place, PID), caller.pid);
        for (index, operation) in operations.iter().enumerate() {
            let number = u32::from(operation.number) << 16;
            let word = u32::from(operation.undo) << 31 | number | u32::from(operation.change.cast_unsigned());
            set(self.of_place(place, OPERATIONS + index), word);
        }
        set(IN_USE, self.cell(IN_USE).max(place as u32 + 1));
        set(self.of_place(place, STATE), caller.who.me << 16 | WAITS);
        Some(place)
    }

    pub(super) fn in_use(&self) -> usize {
        (self.cell(IN_USE) as usize).min(SET_PLACES)
    }

    pub(super) fn free(&self, place: usize) {
        journal::set(&self.view, self.of_place(place, STATE), 0);
        let mut in_use = self.in_use();
        while in_use > 0 && self.cell(self.of_place(in_use - 1, STATE)) == 0 {
            in_use -= 1;
        }
        journal::set(&self.view, IN_USE, in_use as u32);
    }

    pub(super) fn lives(&self, place: usize, caller: &Caller<'_>) -> bool {
        let owner = self.cell(self.of_place(place, STATE)) >> 16;
        owner == caller.who.me || (caller.who.lives)(owner)
    }

    /// The places of those who wait, who waits longest first.
    pub(super) fn line(&self) -> Vec<usize> {
        let waits = |&place: &usize| {
            let state = self.cell(self.of_place(place, STATE));
            state != 0 && state & 0xffff == WAITS
        };
        let mut line: Vec<_> = (0..self.in_use()).filter(waits).collect();
        let next = self.cell(TICKETS).wrapping_add(1);
        let age = |place: usize| next.wrapping_sub(self.cell(self.of_place(place, TICKET)));
        line.sort_by_key(|&place| std::cmp::Reverse(age(place)));
        line
    }

    /// What stands in a place.
    pub(super) fn operations_in(&self, place: usize) -> Vec<Operation> {
        let about = self.cell(self.of_place(place, ABOUT));
        let count = ((about >> 16 & 0xf) as usize).min(SET_PLACE - OPERATIONS);
        let operation = |index: usize| {
            let word = self.cell(self.of_place(place, OPERATIONS + index));
            Operation {
                number: (word >> 16 & 0x7fff) as u16,
                change: (word as u16).cast_signed(),
                nowait: about >> (20 + index) & 1 != 0,
                undo: word >> 31 != 0,
            }
        };
        (0..count).map(operation).collect()
    }

    /// Does the operations of those who wait, as far as that is possible now; the places of those who are to be woken.
    pub(super) fn serve(&self, caller: &Caller<'_>) -> Vec<usize> {
        let mut served = Vec::new();
        let mut line = self.line();
        let mut next = 0;
        while let Some(&place) = line.get(next) {
            next += 1;
            let state = self.of_place(place, STATE);
            let (owner, pid) = (self.cell(state) >> 16, self.cell(self.of_place(place, PID)));
            let operations = self.operations_in(place);
            if operations.iter().any(|operation| !self.has(operation.number.into())) {
                // No correct participant wrote that.
                self.free(place);
                continue;
            }
            let ended = match self.attempt(&operations, owner, pid, caller.now) {
                Err(Blocked::At(at)) if !at.nowait => {
                    let cell = self.of_place(place, ABOUT);
                    journal::set(&self.view, cell, self.cell(cell) & !0xffff | about(at));
                    continue;
                }
                ended => ended,
            };
            if !self.lives(place, caller) {
                self.free(place);
                continue;
            }
            served.push(place);
            match ended {
                Ok(mut changes) => {
                    changes.push(Change { cell: state, value: owner << 16 | DONE });
                    if self.carry_out(&changes) {
                        line = self.line();
                        next = 0;
                    }
                }
                Err(blocked) => journal::set(&self.view, state, owner << 16 | blocked.code()),
            }
        }
        served
    }

    pub(super) fn wake(&self, places: &[usize]) {
        for &place in places {
            futex_wake(&self.view.cells[self.of_place(place, STATE)], EVERYBODY);
        }
    }

    pub(super) fn wake_the_crowd(&self) {
        futex_wake(&self.view.header.changes.0, EVERYBODY);
    }

    pub(super) fn waiting(&self, number: usize, zero: bool, caller: &Caller<'_>) -> u32 {
        let for_this = number as u32 | if zero { ZERO } else { 0 };
        let (live, dead): (Vec<_>, Vec<_>) =
            self.line().into_iter().partition(|&place| self.lives(place, caller));
        dead.into_iter().for_each(|place| self.free(place));
        let its = |&&place: &&usize| self.cell(self.of_place(place, ABOUT)) & 0xffff == for_this;
        live.iter().filter(its).count() as u32
    }
}

/// What a place says of the operation that it waits for.
fn about(at: Operation) -> u32 {
    u32::from(at.number) | if at.change == 0 { ZERO } else { 0 }
}
