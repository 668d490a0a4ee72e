//! A set of semaphores: operations on several of them at once, all or none, changes that are undone when their process is
//! gone, waits for more and for zero.
//!
//! Everything stands in cells, which whoever holds the lock changes together (`ring/journal.rs`); so a set is exact wherever
//! somebody is killed, the value and the note of what is to be undone with it included. A process is a number, whose lease
//! says whether it lives. Whoever has the lock and finds that a process with changes to be undone is gone undoes them: the
//! next operation of anybody, or a sleeper at the end of its slice.
//!
//! Who cannot go on writes its operations into a place, lets go of the lock, and sleeps on the place's first cell. Whoever
//! changes a value does with it what it makes possible, as the kernel does: the operations of those who sleep, who waits
//! longest first, and again from the first after each that changed a value. That they are done is part of the same change.
//! So when a call returns, whoever could go on by it has what it wanted, and nobody who comes is quicker.
//!
//! ```text
//!   cells   removed  mode  otime (2)  ctime (2)  uid  gid  key  places in use  tickets given  crowd
//!           value of each semaphore      pid of each semaphore's last change
//!           each row: the process's number        each row: its pid
//!           each row: what is added to each semaphore when the process is gone
//!   place   number:16 | how it ended:16   0: free
//!           not to wait:12 | operations:4 | zero:1 | semaphore:15, the one that it waits for
//!           ticket   pid   up to twelve operations: undo:1 | number:15 | change:16
//! ```
//!
//! A sleeper that was killed is found when its operations could be done, and they are not; its place is free then. Calls of
//! more operations than a place has, and those that find no place, are the crowd: they try again after each change.
#![forbid(unsafe_code)]

use crate::channel::lock::{Held, Lock, NotTaken, Who};
use crate::error::Corrupt;
use crate::event::SLICE;
use crate::layout::{SET_FIXED, SET_PLACE, SET_PLACES, undo_rows};
use crate::ring::journal::{self, Change};
use crate::sync::Ordering::Relaxed;
use crate::sync::{Deadline, futex_wait_until_handler, futex_wake};
use crate::view::SetView;

/// The highest value (SEMVMX), and how much can be noted to be undone (SEMAEM).
pub const VALUE_MAX: i32 = 32767;

const REMOVED: usize = 0;
const MODE: usize = 1;
const OPERATED: usize = 2;
const CHANGED: usize = 4;
const OWNER: usize = 6;
const GROUP: usize = 7;
const KEY: usize = 8;
const IN_USE: usize = 9;
const TICKETS: usize = 10;
const CROWD: usize = 11;

// Cells of a place.
const STATE: usize = 0;
const ABOUT: usize = 1;
const TICKET: usize = 2;
const PID: usize = 3;
const OPERATIONS: usize = 4;

// How a wait in a place ended.
const WAITS: u32 = 0;
const DONE: u32 = 1;
const WOULD_BLOCK: u32 = 2;
const OUT_OF_RANGE: u32 = 3;
const NO_ROW: u32 = 4;
const REMOVED_NOW: u32 = 5;

const ZERO: u32 = 0x8000;
const EVERYBODY: usize = usize::MAX;

/// One operation on one semaphore, as struct sembuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which semaphore.
    pub number: u16,
    /// By how much its value changes; 0 waits until it is 0.
    pub change: i16,
    /// Fails instead of waiting (IPC_NOWAIT).
    pub nowait: bool,
    /// Undone when the process is gone (SEM_UNDO).
    pub undo: bool,
}

/// Why an operation was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It would have to wait, and is not to, or not for so long.
    WouldBlock,
    /// A signal came that ends a wait.
    Interrupted,
    /// The set was removed before.
    NoSet,
    /// The set was removed during the wait.
    Removed,
    /// A value, or what is to be undone, would be out of its range.
    Range,
    /// No semaphore has this number.
    NoSemaphore,
    /// As many processes have changes to be undone as can.
    NoRow,
    /// Shared memory holds what no correct participant writes.
    Corrupt(Corrupt),
}

impl From<Corrupt> for Stop {
    fn from(fault: Corrupt) -> Self {
        Stop::Corrupt(fault)
    }
}

/// Who calls.
pub struct Caller<'a> {
    /// Its number, and who else lives.
    pub who: Who<'a>,
    /// Its process id, for people.
    pub pid: u32,
    /// Seconds since 1970.
    pub now: u64,
}

/// What people want to know of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The key, which never changes; 0 for none.
    pub key: i32,
    /// Who owns it.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// When somebody last operated on it, in seconds since 1970; 0 for never.
    pub operated: u64,
    /// When it was made or changed.
    pub changed: u64,
}

/// Which of its numbers a semaphore is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Its value (GETVAL).
    Value,
    /// The process that last changed it (GETPID).
    Pid,
    /// How many wait for it to become more (GETNCNT).
    WaitingForMore,
    /// How many wait for it to become zero (GETZCNT).
    WaitingForZero,
}

/// Why an attempt cannot go on: at this operation.
enum Blocked {
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
    fn code(self) -> u32 {
        match self {
            Blocked::At(_) => WOULD_BLOCK,
            Blocked::Never(Stop::NoRow) => NO_ROW,
            Blocked::Never(_) => OUT_OF_RANGE,
        }
    }
}

/// A set as one handle sees it.
pub struct Set {
    view: SetView,
    lock: Lock,
    rows: usize,
}

impl Set {
    /// The set in this memory.
    #[must_use]
    pub fn new(view: SetView) -> Self {
        let header = &view.header;
        let lock = Lock::new(header.project(|header| &header.lock), false);
        Set { rows: undo_rows(view.semaphores), lock, view }
    }

    /// Begins with these values, while nobody else sees it.
    pub fn begin(&self, facts: &Facts, values: impl Iterator<Item = u16>) {
        for (cell, value) in
            [(KEY, facts.key.cast_unsigned()), (OWNER, facts.uid), (GROUP, facts.gid), (MODE, facts.mode)]
        {
            journal::set(&self.view, cell, value);
        }
        for (number, value) in values.enumerate().take(self.view.semaphores) {
            journal::set(&self.view, self.value(number), value.into());
        }
        let mut changes = Vec::new();
        put(&mut changes, CHANGED, facts.changed);
        changes.into_iter().for_each(|change| journal::set(&self.view, change.cell, change.value));
    }

    fn value(&self, number: usize) -> usize {
        SET_FIXED + number
    }

    fn pid(&self, number: usize) -> usize {
        SET_FIXED + self.view.semaphores + number
    }

    fn row_owner(&self, row: usize) -> usize {
        SET_FIXED + 2 * self.view.semaphores + row
    }

    fn owner_pid(&self, row: usize) -> usize {
        self.row_owner(self.rows) + row
    }

    fn undo(&self, row: usize, number: usize) -> usize {
        self.owner_pid(self.rows) + row * self.view.semaphores + number
    }

    /// A cell of a place.
    fn of_place(&self, place: usize, cell: usize) -> usize {
        self.view.record.len() + place * SET_PLACE + cell
    }

    fn cell(&self, cell: usize) -> u32 {
        journal::cell(&self.view, cell)
    }

    /// Whether the semaphore exists.
    #[must_use]
    pub fn has(&self, number: usize) -> bool {
        number < self.view.semaphores
    }

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

    /// Takes a place, with the lock: the first cell last, so that nothing is half said. `None` if there is none, or the
    /// operations do not fit.
    fn queue_up(&self, operations: &[Operation], at: Operation, caller: &Caller<'_>) -> Option<usize> {
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

    fn in_use(&self) -> usize {
        (self.cell(IN_USE) as usize).min(SET_PLACES)
    }

    fn free(&self, place: usize) {
        journal::set(&self.view, self.of_place(place, STATE), 0);
        let mut in_use = self.in_use();
        while in_use > 0 && self.cell(self.of_place(in_use - 1, STATE)) == 0 {
            in_use -= 1;
        }
        journal::set(&self.view, IN_USE, in_use as u32);
    }

    fn lives(&self, place: usize, caller: &Caller<'_>) -> bool {
        let owner = self.cell(self.of_place(place, STATE)) >> 16;
        owner == caller.who.me || (caller.who.lives)(owner)
    }

    /// The places of those who wait, who waits longest first.
    fn line(&self) -> Vec<usize> {
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
    fn operations_in(&self, place: usize) -> Vec<Operation> {
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
    fn serve(&self, caller: &Caller<'_>) -> Vec<usize> {
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

    fn wake(&self, places: &[usize]) {
        for &place in places {
            futex_wake(&self.view.cells[self.of_place(place, STATE)], EVERYBODY);
        }
    }

    fn wake_the_crowd(&self) {
        futex_wake(&self.view.header.changes.0, EVERYBODY);
    }

    /// What `operations` change if they are done now.
    fn attempt(&self, operations: &[Operation], me: u32, pid: u32, now: u64) -> Result<Vec<Change>, Blocked> {
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

    /// The row of this process, or a free one.
    fn row(&self, me: u32) -> Option<usize> {
        let of = |owner| (0..self.rows).find(|&row| self.cell(self.row_owner(row)) == owner);
        of(me).or_else(|| of(0))
    }

    /// Sets the value of one semaphore (SETVAL): nothing is undone of it any more.
    ///
    /// # Errors
    /// The range, the number; the set was removed.
    pub fn set_value(&self, number: usize, value: i32, caller: &Caller<'_>) -> Result<(), Stop> {
        if !self.has(number) {
            return Err(Stop::NoSemaphore);
        }
        self.set_all(std::iter::once((number, value)), caller)
    }

    /// Sets these values (SETALL for all of them).
    ///
    /// # Errors
    /// As [`Set::set_value`].
    pub fn set_all(
        &self,
        values: impl Iterator<Item = (usize, i32)> + Clone,
        caller: &Caller<'_>,
    ) -> Result<(), Stop> {
        if values.clone().any(|(_, value)| !(0..=VALUE_MAX).contains(&value)) {
            return Err(Stop::Range);
        }
        let held = self.enter(caller)?;
        let mut changes = Vec::new();
        for (number, value) in values {
            changes.push(Change { cell: self.value(number), value: value as u32 });
            changes.push(Change { cell: self.pid(number), value: caller.pid });
            let rows = (0..self.rows).map(|row| self.undo(row, number)).filter(|&cell| self.cell(cell) != 0);
            changes.extend(rows.map(|cell| Change { cell, value: 0 }));
        }
        put(&mut changes, CHANGED, caller.now);
        let woke = self.carry_out(&changes);
        self.leave(held, woke, caller);
        Ok(())
    }

    /// A number of one semaphore, or of each.
    ///
    /// # Errors
    /// The number; the set was removed.
    pub fn ask(&self, what: Ask, number: usize, caller: &Caller<'_>) -> Result<u32, Stop> {
        if !self.has(number) {
            return Err(Stop::NoSemaphore);
        }
        let held = self.enter(caller)?;
        let answer = match what {
            Ask::Value => self.cell(self.value(number)),
            Ask::Pid => self.cell(self.pid(number)),
            Ask::WaitingForMore => self.waiting(number, false, caller),
            Ask::WaitingForZero => self.waiting(number, true, caller),
        };
        self.leave(held, false, caller);
        Ok(answer)
    }

    /// All values (GETALL).
    ///
    /// # Errors
    /// The set was removed.
    pub fn values(&self, caller: &Caller<'_>) -> Result<Vec<u16>, Stop> {
        let held = self.enter(caller)?;
        let values = (0..self.view.semaphores).map(|number| self.cell(self.value(number)) as u16).collect();
        self.leave(held, false, caller);
        Ok(values)
    }

    /// What people want to know.
    ///
    /// # Errors
    /// The set was removed.
    pub fn facts(&self, caller: &Caller<'_>) -> Result<Facts, Stop> {
        let held = self.enter(caller)?;
        let facts = self.hints();
        self.leave(held, false, caller);
        Ok(facts)
    }

    fn hints(&self) -> Facts {
        hints(&self.view)
    }

    /// Sets owner, group and permission bits (IPC_SET).
    ///
    /// # Errors
    /// The set was removed.
    pub fn change(&self, to: [u32; 3], caller: &Caller<'_>) -> Result<(), Stop> {
        let held = self.enter(caller)?;
        let mut changes: Vec<_> =
            [OWNER, GROUP, MODE].into_iter().zip(to).map(|(cell, value)| Change { cell, value }).collect();
        put(&mut changes, CHANGED, caller.now);
        journal::commit(&self.view, &changes);
        self.leave(held, false, caller);
        Ok(())
    }

    fn is_removed(&self) -> bool {
        is_removed(&self.view)
    }

    /// Does `work` with the lock in hand.
    ///
    /// # Errors
    /// It is not done: the set was removed.
    pub fn while_there<T>(&self, caller: &Caller<'_>, work: impl FnOnce() -> T) -> Result<T, Stop> {
        let held = self.enter(caller)?;
        let done = work();
        self.leave(held, false, caller);
        Ok(done)
    }

    /// Does `work` with the lock in hand, also if the set was removed.
    ///
    /// # Errors
    /// The set is damaged.
    pub fn alone(&self, caller: &Caller<'_>, work: impl FnOnce()) -> Result<(), Stop> {
        let held = self.lock(caller);
        let recovered = journal::recover(&self.view);
        if recovered.is_ok() {
            work();
        }
        self.lock.give_back(held);
        recovered.map(drop).map_err(Stop::Corrupt)
    }

    /// Says that the set is gone, takes its names away, and wakes all who sleep on it.
    ///
    /// # Errors
    /// It was before.
    pub fn remove(&self, caller: &Caller<'_>, unlink: impl FnOnce()) -> Result<(), Stop> {
        let held = self.enter(caller)?;
        journal::set(&self.view, REMOVED, 1);
        unlink();
        let line = self.line();
        for &place in &line {
            let state = self.of_place(place, STATE);
            journal::set(&self.view, state, self.cell(state) & !0xffff | REMOVED_NOW);
        }
        self.count_change();
        self.leave(held, false, caller);
        self.wake(&line);
        self.wake_the_crowd();
        Ok(())
    }

    /// Ends what a dead process left under this number, by whoever has just been given it, and with it its lease.
    ///
    /// # Errors
    /// The set is damaged.
    pub fn adopt(&self, caller: &Caller<'_>) -> Result<(), Stop> {
        self.lock.disown(caller.who.me);
        let held = match self.enter(caller) {
            Err(Stop::NoSet) => return Ok(()),
            held => held?,
        };
        let dead = (0..self.rows).filter(|&row| self.cell(self.row_owner(row)) == caller.who.me);
        let woke = self.undo_rows(dead.collect(), caller.now);
        let its = |&place: &usize| self.cell(self.of_place(place, STATE)) >> 16 == caller.who.me;
        (0..self.in_use()).filter(its).for_each(|place| self.free(place));
        self.leave(held, woke, caller);
        Ok(())
    }

    /// As the kernel's own lock of a set, this one is waited for without regard to signals: its holder does not sleep.
    fn lock(&self, caller: &Caller<'_>) -> Held {
        loop {
            match self.lock.take(&caller.who, Deadline::NEVER) {
                Ok(held) => return held,
                Err(NotTaken::Interrupted | NotTaken::TimedOut) => {}
            }
        }
    }

    /// Takes the lock, and puts in order what the dead left.
    fn enter(&self, caller: &Caller<'_>) -> Result<Held, Stop> {
        self.settle(self.lock(caller), caller)
    }

    /// Carries out what a dead holder of the lock began, undoes what the dead are to have undone, and serves whoever can go
    /// on by that.
    fn settle(&self, held: Held, caller: &Caller<'_>) -> Result<Held, Stop> {
        let recovered = match journal::recover(&self.view) {
            Err(fault) => Err(Stop::Corrupt(fault)),
            Ok(_) if self.is_removed() => Err(Stop::NoSet),
            Ok(recovered) => Ok(recovered),
        };
        let recovered = match recovered {
            Ok(recovered) => recovered,
            Err(stop) => {
                self.lock.give_back(held);
                return Err(stop);
            }
        };
        let undone = self.undo_rows(self.dead_rows(caller).collect(), caller.now);
        if recovered || undone || held.after_death {
            self.count_change();
            let served = self.serve(caller);
            self.wake(&served);
            self.wake_the_crowd();
        }
        Ok(held)
    }

    /// Serves whoever can go on, if a value `changed`, gives the lock back, and wakes them.
    fn leave(&self, held: Held, changed: bool, caller: &Caller<'_>) {
        let served = if changed { self.serve(caller) } else { Vec::new() };
        let crowd = changed && self.cell(CROWD) != 0;
        if crowd {
            journal::set(&self.view, CROWD, 0);
        }
        self.lock.give_back(held);
        self.wake(&served);
        if crowd {
            self.wake_the_crowd();
        }
    }

    /// Rows of processes that are gone.
    fn dead_rows(&self, caller: &Caller<'_>) -> impl Iterator<Item = usize> {
        (0..self.rows).filter(|&row| {
            let owner = self.cell(self.row_owner(row));
            owner != 0 && owner != caller.who.me && !(caller.who.lives)(owner)
        })
    }

    /// Whether somebody with changes to be undone is gone; without the lock, which whoever acts on it takes.
    fn somebody_died(&self, caller: &Caller<'_>) -> bool {
        self.dead_rows(caller).next().is_some()
    }

    fn undo_rows(&self, rows: Vec<usize>, now: u64) -> bool {
        let mut changed = false;
        for row in rows {
            changed |= self.undo_all(row, now);
        }
        changed
    }

    /// Undoes what a process that is gone left; whether a value changed.
    fn undo_all(&self, row: usize, now: u64) -> bool {
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

    /// Changes the cells; whether one of them is a value that is another now.
    fn carry_out(&self, changes: &[Change]) -> bool {
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

    fn changes(&self) -> u32 {
        // ord(own) Relaxed: a hint for who sleeps; what changed is seen with the lock.
        self.view.header.changes.0.load(Relaxed)
    }

    fn count_change(&self) {
        // ord(own) Relaxed: only whoever has the lock writes it.
        let changes = self.view.header.changes.0.load(Relaxed);
        // ord(own) Relaxed: as in `changes`.
        self.view.header.changes.0.store(changes.wrapping_add(1), Relaxed);
    }

    fn waiting(&self, number: usize, zero: bool, caller: &Caller<'_>) -> u32 {
        let for_this = number as u32 | if zero { ZERO } else { 0 };
        let (live, dead): (Vec<_>, Vec<_>) =
            self.line().into_iter().partition(|&place| self.lives(place, caller));
        dead.into_iter().for_each(|place| self.free(place));
        let its = |&&place: &&usize| self.cell(self.of_place(place, ABOUT)) & 0xffff == for_this;
        live.iter().filter(its).count() as u32
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

/// What a place says of the operation that it waits for.
fn about(at: Operation) -> u32 {
    u32::from(at.number) | if at.change == 0 { ZERO } else { 0 }
}

/// The entry of this semaphore, which begins as `first` says.
fn entry(of: &mut Vec<(usize, i32)>, number: usize, first: impl FnOnce() -> i32) -> &mut i32 {
    let at = of.iter().position(|(other, _)| *other == number).unwrap_or_else(|| {
        of.push((number, first()));
        of.len() - 1
    });
    &mut of[at].1
}

/// A time takes two cells.
fn put(changes: &mut Vec<Change>, cell: usize, time: u64) {
    changes.push(Change { cell, value: time as u32 });
    changes.push(Change { cell: cell + 1, value: (time >> 32) as u32 });
}
