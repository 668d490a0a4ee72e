//! The messages of one sender: which were announced, which delivered, and since when the others are on their way. Memory
//! is needed for those in flight, and for the few that never came.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// From when to when somebody may have taken a message: not before it was announced, not after a later one was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: u64,
    pub(super) until: u64,
}

/// What a delivery, or an announcement, was to what is known of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The first word of its kind; and what was announced is what was delivered, as far as both are known.
    First,
    /// The first, but announced and delivered differ.
    Differs,
    /// It had been delivered, or refused, before.
    Again,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    sum: u64,
    /// When it was delivered, or else announced; [`NEVER`] if it was refused.
    at: u64,
    announced: bool,
    settled: bool,
}

const NEVER: u64 = u64::MAX;

/// Announced and not delivered, in a place where nothing waits for it.
#[derive(Clone, Copy)]
struct Hole {
    sum: u64,
    window: Window,
}

/// Numbered from 0.
#[derive(Default)]
pub(super) struct Messages {
    /// All below were announced and settled, but for the holes.
    base: u64,
    cells: VecDeque<Cell>,
    holes: BTreeMap<u64, Hole>,
    /// The sender's log was read to its end: nothing is announced any more.
    closed: bool,
    /// Settled, and never announced.
    strange: BTreeSet<u64>,
}

/// A message that so many later ones were delivered before is not waited for in the window.
const MOST_CELLS: usize = 1 << 16;

impl Messages {
    fn cell(&mut self, seq: u64) -> Option<&mut Cell> {
        let at = seq.checked_sub(self.base)? as usize;
        // No number is that far ahead of all others, unless it was made up.
        if at >= self.cells.len() {
            if at > 4 * MOST_CELLS {
                return None;
            }
            self.cells.resize(at + 1, Cell::default());
        }
        self.cells.get_mut(at)
    }

    fn settle_front(&mut self) {
        while self.cells.front().is_some_and(|cell| cell.announced && cell.settled) {
            self.cells.pop_front();
            self.base += 1;
        }
        while self.cells.len() > MOST_CELLS && self.cells[0].announced {
            self.leave_front_behind();
        }
    }

    fn leave_front_behind(&mut self) {
        let Some(front) = self.cells.pop_front() else { return };
        if !front.settled {
            // That a later one was refused says nothing of when this was taken.
            let next = self.cells.iter().find(|cell| cell.settled && cell.at != NEVER);
            let window = Window { from: front.at, until: next.map_or(NEVER, |cell| cell.at) };
            self.holes.insert(self.base, Hole { sum: front.sum, window });
        } else if !front.announced {
            self.strange.insert(self.base);
        }
        self.base += 1;
    }

    /// Its sender says that it is about to send it.
    pub(super) fn announce(&mut self, seq: u64, sum: u64, at: u64) -> Known {
        let Some(cell) = self.cell(seq) else { return Known::Again };
        let known = match (cell.announced, cell.settled && cell.sum != sum) {
            (true, _) => Known::Again,
            (_, true) => Known::Differs,
            _ => Known::First,
        };
        cell.announced = true;
        if !cell.settled {
            (cell.sum, cell.at) = (sum, at);
        }
        self.settle_front();
        known
    }

    /// It was delivered with this sum, or, without a sum, refused.
    pub(super) fn settle(&mut self, seq: u64, sum: Option<u64>, at: u64) -> Known {
        let compare = |announced: u64| match sum {
            Some(sum) if sum != announced => Known::Differs,
            _ => Known::First,
        };
        if let Some(hole) = self.holes.remove(&seq) {
            return compare(hole.sum);
        }
        if seq < self.base {
            return Known::Again;
        }
        let closed = self.closed;
        let cell = match self.cell(seq) {
            Some(cell) if !closed => cell,
            // Beyond whatever was announced.
            _ => return if self.strange.insert(seq) { Known::First } else { Known::Again },
        };
        if std::mem::replace(&mut cell.settled, true) {
            return Known::Again;
        }
        let known = if cell.announced { compare(cell.sum) } else { Known::First };
        if !cell.announced {
            cell.sum = sum.unwrap_or(0);
        }
        cell.at = if sum.is_some() { at } else { NEVER };
        self.settle_front();
        known
    }

    /// The sender's log was read to its end.
    pub(super) fn close(&mut self) {
        while !self.cells.is_empty() {
            self.leave_front_behind();
        }
        self.cells = VecDeque::new();
        self.closed = true;
    }

    /// What nobody had taken when the sender died would have been taken by now: a message of somebody born later was.
    pub(super) fn all_taken_by(&mut self, at: u64) {
        for hole in self.holes.values_mut() {
            hole.window.until = hole.window.until.min(at);
        }
    }

    /// Whether anything is on its way.
    pub(super) fn is_waiting(&self) -> bool {
        !self.holes.is_empty()
    }

    /// Announced, and neither delivered nor refused. After [`Messages::close`].
    pub(super) fn missing(&self) -> impl Iterator<Item = (u64, Window)> {
        self.holes.iter().map(|(&seq, hole)| (seq, hole.window))
    }

    /// Delivered, and never announced. After [`Messages::close`].
    pub(super) fn strange(&self) -> impl Iterator<Item = u64> {
        self.strange.iter().copied()
    }
}
