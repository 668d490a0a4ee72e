//! A set of semaphores: operations on several of them at once, all or none, changes that are undone when their process is
//! gone, waits for more and for zero.
//!
//! Everything stands in cells (`cells.rs`), which whoever holds the lock changes together (`ring/journal.rs`); so a set is
//! exact wherever somebody is killed, the value and the note of what is to be undone with it included. A process is a number,
//! whose lease says whether it lives. Whoever has the lock and finds that a process with changes to be undone is gone undoes
//! them: the next operation of anybody, or a sleeper at the end of its slice.
//!
//! Who cannot go on (`operate.rs`) writes its operations into a place (`places.rs`), lets go of the lock, and sleeps on the
//! place's first cell. Whoever changes a value does with it what it makes possible, as the kernel does: the operations of
//! those who sleep, who waits longest first, and again from the first after each that changed a value. That they are done is
//! part of the same change. So when a call returns, whoever could go on by it has what it wanted, and nobody who comes is
//! quicker.
//!
//! Calls of more operations than a place has, and those that find no place, are the crowd: they try again after each change.
//!
//! Here are the verbs that do not wait, and how the lock is entered and left.
#![forbid(unsafe_code)]

mod cells;
mod operate;
mod places;

use crate::channel::lock::{Held, Lock, NotTaken, Who};
use crate::error::Corrupt;
use crate::layout::undo_rows;
use crate::ring::journal::{self, Change};
use crate::sync::Deadline;
use crate::view::SetView;
use cells::{CHANGED, CROWD, GROUP, KEY, MODE, OWNER, REMOVED, put};
use places::{REMOVED_NOW, STATE};

pub use cells::{hints, is_removed};

/// The highest value (SEMVMX), and how much can be noted to be undone (SEMAEM).
pub const VALUE_MAX: i32 = 32767;

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

    /// Whether the semaphore exists.
    #[must_use]
    pub fn has(&self, number: usize) -> bool {
        number < self.view.semaphores
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
        let facts = hints(&self.view);
        self.leave(held, false, caller);
        Ok(facts)
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
}
