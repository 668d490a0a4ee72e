//! A set of semaphores: operations on several of them at once, all or none, changes that are undone when their process is
//! gone, waits for more and for zero.
//!
//! Everything stands in cells, which whoever holds the lock changes together (`ring/journal.rs`); so a set is exact wherever
//! somebody is killed, the value and the note of what is to be undone with it included. A process is a number, whose lease
//! says whether it lives. Whoever has the lock and finds that a process with changes to be undone is gone undoes them: the
//! next operation of anybody, or a sleeper at the end of its slice.
//!
//! Who cannot go on says which semaphore it waits for, lets go of the lock, and sleeps until a value changes; then it tries
//! again. All who sleep on one set are woken by a change in it.
//!
//! ```text
//!   cells   removed  mode  otime (2)  ctime (2)  uid  gid  key  nothing
//!           value of each semaphore      pid of each semaphore's last change
//!           each row: the process's number        each row: its pid
//!           each row: what is added to each semaphore when the process is gone
//!   behind  each sleeper: number:12 | zero:1 | semaphore:15, one store each
//! ```
#![forbid(unsafe_code)]

use crate::channel::lock::{Held, Lock, NotTaken, Who};
use crate::error::Corrupt;
use crate::event::{Event, Waited, Waiters};
use crate::layout::{SET_FIXED, SET_SLEEPERS, Wakeup, undo_rows};
use crate::ring::journal::{self, Change};
use crate::sync::Deadline;
use crate::sync::Ordering::Relaxed;
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

/// A set as one handle sees it.
pub struct Set {
    view: SetView,
    lock: Lock,
    event: Event,
    rows: usize,
}

impl Set {
    /// The set in this memory.
    #[must_use]
    pub fn new(view: SetView) -> Self {
        let header = &view.header;
        let lock = Lock::new(header.project(|header| &header.lock), false);
        let event = Event::new(header.project(|header| &header.event), Wakeup::Futex, false, Waiters::Many);
        Set { rows: undo_rows(view.semaphores), lock, event, view }
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

    fn sleeper(&self, place: usize) -> usize {
        self.view.record.len() + place
    }

    fn cell(&self, cell: usize) -> u32 {
        journal::cell(&self.view, cell)
    }

    fn time(&self, cell: usize) -> u64 {
        u64::from(self.cell(cell)) | u64::from(self.cell(cell + 1)) << 32
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
        let mut place = None;
        let mut waited = Ok(());
        loop {
            let held = self.enter(caller, place.is_some())?;
            let seen = self.changes();
            let blocked = match (self.attempt(operations, caller), waited) {
                (Ok(changes), _) => {
                    let woke = self.carry_out(&changes);
                    self.forget(&mut place);
                    self.leave(held, woke);
                    return Ok(());
                }
                (Err(Blocked::Never(stop)), _) => Err(stop),
                (Err(Blocked::At(at)), _) if at.nowait => Err(Stop::WouldBlock),
                (Err(Blocked::At(_)), Err(stop)) => Err(stop),
                (Err(Blocked::At(at)), Ok(())) => Ok(at),
            };
            match blocked {
                Ok(at) => self.say(&mut place, at, caller.who.me),
                Err(stop) => {
                    self.forget(&mut place);
                    self.leave(held, false);
                    return Err(stop);
                }
            }
            self.leave(held, false);
            let changed = || self.changes() != seen;
            let died = || self.somebody_died(caller).then_some(Ok(()));
            waited = match self.event.wait_interruptible(deadline, changed, died, Err(Stop::Interrupted)) {
                Waited::Ready => Ok(()),
                Waited::Ended(end) => end,
                Waited::TimedOut => Err(Stop::WouldBlock),
            };
        }
    }

    /// What `operations` change if they are done now.
    fn attempt(&self, operations: &[Operation], caller: &Caller<'_>) -> Result<Vec<Change>, Blocked> {
        let mut values: Vec<(usize, i32)> = Vec::new();
        let mut undone: Vec<(usize, i32)> = Vec::new();
        let row = match operations.iter().any(|operation| operation.undo && operation.change != 0) {
            true => Some(self.row(caller.who.me).ok_or(Blocked::Never(Stop::NoRow))?),
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
            changes.push(Change { cell: self.pid(number), value: caller.pid });
        }
        if let Some(row) = row {
            changes.push(Change { cell: self.row_owner(row), value: caller.who.me });
            changes.push(Change { cell: self.owner_pid(row), value: caller.pid });
            for (number, undo) in undone {
                changes.push(Change { cell: self.undo(row, number), value: undo as u32 });
            }
        }
        put(&mut changes, OPERATED, caller.now);
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
        let held = self.enter(caller, false)?;
        let mut changes = Vec::new();
        for (number, value) in values {
            changes.push(Change { cell: self.value(number), value: value as u32 });
            changes.push(Change { cell: self.pid(number), value: caller.pid });
            let rows = (0..self.rows).map(|row| self.undo(row, number)).filter(|&cell| self.cell(cell) != 0);
            changes.extend(rows.map(|cell| Change { cell, value: 0 }));
        }
        put(&mut changes, CHANGED, caller.now);
        let woke = self.carry_out(&changes);
        self.leave(held, woke);
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
        let held = self.enter(caller, false)?;
        let answer = match what {
            Ask::Value => self.cell(self.value(number)),
            Ask::Pid => self.cell(self.pid(number)),
            Ask::WaitingForMore => self.waiting(number, false, caller),
            Ask::WaitingForZero => self.waiting(number, true, caller),
        };
        self.leave(held, false);
        Ok(answer)
    }

    /// All values (GETALL).
    ///
    /// # Errors
    /// The set was removed.
    pub fn values(&self, caller: &Caller<'_>) -> Result<Vec<u16>, Stop> {
        let held = self.enter(caller, false)?;
        let values = (0..self.view.semaphores).map(|number| self.cell(self.value(number)) as u16).collect();
        self.leave(held, false);
        Ok(values)
    }

    /// What people want to know.
    ///
    /// # Errors
    /// The set was removed.
    pub fn facts(&self, caller: &Caller<'_>) -> Result<Facts, Stop> {
        let held = self.enter(caller, false)?;
        let facts = self.hints();
        self.leave(held, false);
        Ok(facts)
    }

    /// The same without the lock, so that a time may be torn.
    #[must_use]
    pub fn hints(&self) -> Facts {
        Facts {
            key: self.cell(KEY).cast_signed(),
            uid: self.cell(OWNER),
            gid: self.cell(GROUP),
            mode: self.cell(MODE),
            operated: self.time(OPERATED),
            changed: self.time(CHANGED),
        }
    }

    /// Sets owner, group and permission bits (IPC_SET).
    ///
    /// # Errors
    /// The set was removed.
    pub fn change(&self, to: [u32; 3], caller: &Caller<'_>) -> Result<(), Stop> {
        let held = self.enter(caller, false)?;
        let mut changes: Vec<_> =
            [OWNER, GROUP, MODE].into_iter().zip(to).map(|(cell, value)| Change { cell, value }).collect();
        put(&mut changes, CHANGED, caller.now);
        journal::commit(&self.view, &changes);
        self.leave(held, false);
        Ok(())
    }

    /// Whether it was removed; without the lock.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.cell(REMOVED) != 0
    }

    /// Does `work` with the lock in hand.
    ///
    /// # Errors
    /// It is not done: the set was removed.
    pub fn while_there<T>(&self, caller: &Caller<'_>, work: impl FnOnce() -> T) -> Result<T, Stop> {
        let held = self.enter(caller, false)?;
        let done = work();
        self.leave(held, false);
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
        let held = self.enter(caller, false)?;
        journal::set(&self.view, REMOVED, 1);
        unlink();
        self.count_change();
        self.leave(held, true);
        Ok(())
    }

    /// Ends what a dead process left under this number, by whoever has just been given it, and with it its lease.
    ///
    /// # Errors
    /// The set is damaged.
    pub fn adopt(&self, caller: &Caller<'_>) -> Result<(), Stop> {
        self.lock.disown(caller.who.me);
        let held = match self.enter(caller, false) {
            Err(Stop::NoSet) => return Ok(()),
            held => held?,
        };
        let dead = (0..self.rows).filter(|&row| self.cell(self.row_owner(row)) == caller.who.me);
        let woke = self.undo_rows(dead.collect(), caller.now);
        for place in 0..SET_SLEEPERS {
            if self.cell(self.sleeper(place)) >> 16 == caller.who.me {
                journal::set(&self.view, self.sleeper(place), 0);
            }
        }
        self.leave(held, woke);
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

    /// Takes the lock, carries out what a dead holder began, undoes what the dead left.
    fn enter(&self, caller: &Caller<'_>, waited: bool) -> Result<Held, Stop> {
        let held = self.lock(caller);
        let entered = match journal::recover(&self.view) {
            Err(fault) => Err(Stop::Corrupt(fault)),
            Ok(_) if self.is_removed() => Err(if waited { Stop::Removed } else { Stop::NoSet }),
            Ok(recovered) => Ok(recovered),
        };
        match entered {
            Ok(recovered) => {
                if recovered {
                    self.count_change();
                }
                let undone = self.undo_rows(self.dead_rows(caller).collect(), caller.now);
                if recovered || undone {
                    self.event.notify_all();
                }
                Ok(held)
            }
            Err(stop) => {
                self.lock.give_back(held);
                Err(stop)
            }
        }
    }

    /// Gives the lock back; `woke`: somebody may be able to go on now.
    fn leave(&self, held: Held, woke: bool) {
        self.lock.give_back(held);
        if woke {
            self.event.notify_all();
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

    /// Says for what we sleep. With the lock; one store, so nothing is left half said.
    fn say(&self, place: &mut Option<usize>, at: Operation, me: u32) {
        let free = || (0..SET_SLEEPERS).find(|&place| self.cell(self.sleeper(place)) == 0);
        *place = place.or_else(free);
        if let Some(place) = *place {
            let zero = u32::from(at.change == 0) << 15;
            journal::set(&self.view, self.sleeper(place), me << 16 | zero | u32::from(at.number));
        }
    }

    fn forget(&self, place: &mut Option<usize>) {
        if let Some(place) = place.take() {
            journal::set(&self.view, self.sleeper(place), 0);
        }
    }

    fn waiting(&self, number: usize, zero: bool, caller: &Caller<'_>) -> u32 {
        let mut count = 0;
        for place in 0..SET_SLEEPERS {
            let word = self.cell(self.sleeper(place));
            let owner = word >> 16;
            if word != 0 && owner != caller.who.me && !(caller.who.lives)(owner) {
                journal::set(&self.view, self.sleeper(place), 0);
            } else if word != 0 && word & 0x7fff == number as u32 && (word & 0x8000 != 0) == zero {
                count += 1;
            }
        }
        count
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

/// A time takes two cells.
fn put(changes: &mut Vec<Change>, cell: usize, time: u64) {
    changes.push(Change { cell, value: time as u32 });
    changes.push(Change { cell: cell + 1, value: (time >> 32) as u32 });
}
