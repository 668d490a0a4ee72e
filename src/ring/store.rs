//! Messages of any length in cells, in the order of their keys and arrivals. One touches a store at a time, which a lock
//! sees to (`channel/lock.rs`), and may be killed at any instruction.
//!
//! A message is a chain of cells. The word of its first cell says all that counts, and one store of that word commits:
//!
//! ```text
//!   word of a cell   value:48 | owner:12 | kind:4
//!     FREE           value: the next free cell, a link
//!     QUEUED         value: the number of its arrival; the cell begins a message
//!     GIVEN          the same, and the message is handed to the participant `owner`, who has not taken it yet
//!     PART           value: the next cell of the same message, a link
//! ```
//!
//! Everything else is derived: the list of free cells, the counts, the index. Whoever takes the lock over from a dead one
//! makes it anew ([`rebuild`]): what is queued or given is there, whole; cells that no such message leads to are free. So a
//! message is there from the store of its word, which comes last, and gone from the next store of it, which comes first.
//!
//! The index is a treap over (key, arrival), each node with the earliest arrival below it: the least key, a certain key,
//! the earliest of all and the earliest but for one key are each found in as many steps as the tree is deep, which is
//! expected to be twice the logarithm of the number of messages.
#![allow(clippy::disallowed_types, reason = "the facade's atomics, which the lint sees through to core's")]

use crate::error::Corrupt;
use crate::ring::treap;
use crate::sync::AtomicU64;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::view::{HEAD_LEN, QueueGeometry, QueueView};

const FREE: u64 = 0;
const QUEUED: u64 = 1;
const GIVEN: u64 = 2;
const PART: u64 = 3;
const KIND: u64 = 15;
const VALUE_SHIFT: u32 = 16;

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The earliest.
    Any,
    /// The earliest with this key.
    Exact(u64),
    /// The earliest of those with the least key, if that is not above this.
    Least(u64),
    /// The earliest with another key.
    Except(u64),
}

/// Who is to have a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Whoever comes for it.
    Queue,
    /// This participant.
    Seat(u32),
}

/// Reads a word that only the holder of the lock stores: to any other it may be old.
pub fn get(word: &AtomicU64) -> u64 {
    // ord(own) Relaxed: the lock orders the holders; who reads without it accesses nothing on the strength of this.
    word.load(Relaxed)
}

/// Writes such a word. What it says is derived, or counts by itself.
pub fn set(word: &AtomicU64, value: u64) {
    // ord(own) Relaxed: only the holder of the lock stores it, and the lock orders the holders.
    word.store(value, Relaxed);
}

/// Adds to such a word; less than 0 becomes 0.
pub fn add(word: &AtomicU64, by: i64) {
    set(word, get(word).saturating_add_signed(by));
}

fn kind_and_owner(to: To) -> u64 {
    match to {
        To::Queue => QUEUED,
        To::Seat(seat) => GIVEN | u64::from(seat) << 4,
    }
}

/// The cell that a link leads to; `None` for no link.
pub fn follow(view: &QueueView, what: &'static str, link: u64) -> Result<Option<usize>, Corrupt> {
    match link {
        0 => Ok(None),
        _ if link <= view.geometry.cells => Ok(Some(link as usize - 1)),
        _ => Err(Corrupt::new(what, link, view.geometry.cells)),
    }
}

/// The link to a cell.
#[must_use]
pub fn link(cell: usize) -> u64 {
    cell as u64 + 1
}

/// The number of a message's arrival.
#[must_use]
pub fn arrival(view: &QueueView, cell: usize) -> u64 {
    get(view.word(cell)) >> VALUE_SHIFT
}

/// Its key.
#[must_use]
pub fn key(view: &QueueView, cell: usize) -> u64 {
    get(view.key(cell))
}

/// Its length in bytes.
pub fn len(view: &QueueView, cell: usize) -> Result<usize, Corrupt> {
    let len = (get(view.extent(cell)) >> 32) as usize;
    if len > view.geometry.max_len {
        return Err(Corrupt::new("message length", len as u64, view.geometry.max_len as u64));
    }
    Ok(len)
}

/// How many cells a message of `len` bytes takes.
#[must_use]
pub fn cells_for(view: &QueueView, len: usize) -> u64 {
    QueueGeometry::cells_for(len, view.geometry.cell_len)
}

fn pop_free(view: &QueueView) -> Result<usize, Corrupt> {
    let store = &view.header.store;
    let none = || Corrupt::new("free cells", 0, get(&store.free_cells));
    let cell = follow(view, "free list", get(&store.free))?.ok_or_else(none)?;
    let word = get(view.word(cell));
    if word & KIND != FREE {
        return Err(Corrupt::new("word of a free cell", word, cell as u64));
    }
    set(&store.free, word >> VALUE_SHIFT);
    add(&store.free_cells, -1);
    Ok(cell)
}

fn push_free(view: &QueueView, cell: usize) {
    let store = &view.header.store;
    // ord(store.reuse) Release -> survey: the word that ended the message before a cell of it is anything else.
    view.word(cell).store(get(&store.free) << VALUE_SHIFT | FREE, Release);
    set(&store.free, link(cell));
    add(&store.free_cells, 1);
}

/// Puts a message in; its first cell. The caller has seen that there are cells enough.
pub fn insert(view: &QueueView, key: u64, message: &[u8], to: To) -> Result<usize, Corrupt> {
    let first = pop_free(view)?;
    let (at, room) = view.payload(first, true);
    let (head, mut rest) = message.split_at(room.min(message.len()));
    // SAFETY: inside the cell, whose number `follow` checked; it is free and so the holder of the lock's.
    unsafe { view.memory.copy_in(at, head) };
    let (mut second, mut last) = (0, None);
    while !rest.is_empty() {
        let cell = pop_free(view)?;
        let (at, room) = view.payload(cell, false);
        let part;
        (part, rest) = rest.split_at(room.min(rest.len()));
        // SAFETY: as above.
        unsafe { view.memory.copy_in(at, part) };
        set(view.word(cell), PART);
        match last.replace(cell) {
            Some(last) => set(view.word(last), link(cell) << VALUE_SHIFT | PART),
            None => second = link(cell),
        }
    }
    set(view.key(first), key);
    set(view.extent(first), (message.len() as u64) << 32 | second);
    let number = get(&view.header.store.next);
    set(&view.header.store.next, number.wrapping_add(1));
    // ord(store.commit) Release -> survey: the whole message before the word that says that it is there.
    view.word(first).store(number << VALUE_SHIFT | kind_and_owner(to), Release);
    if to == To::Queue {
        count_in(view, first)?;
    }
    Ok(first)
}

fn count_in(view: &QueueView, cell: usize) -> Result<(), Corrupt> {
    let len = len(view, cell)?;
    treap::insert(view, cell)?;
    add(&view.header.store.count, 1);
    add(&view.header.store.bytes, len as i64);
    Ok(())
}

fn count_out(view: &QueueView, cell: usize) -> Result<(), Corrupt> {
    let len = len(view, cell)?;
    treap::remove(view, cell)?;
    add(&view.header.store.count, -1);
    add(&view.header.store.bytes, -(len as i64));
    Ok(())
}

/// The queued message that is meant, if there is one.
pub fn find(view: &QueueView, select: Select) -> Result<Option<usize>, Corrupt> {
    match select {
        Select::Any => treap::earliest(view),
        Select::Exact(key) => Ok(treap::first_from(view, key)?.filter(|&cell| self::key(view, cell) == key)),
        Select::Least(most) => Ok(treap::first_from(view, 0)?.filter(|&cell| self::key(view, cell) <= most)),
        Select::Except(key) => treap::earliest_but(view, key),
    }
}

/// The queued message that arrived as the `index`-th of those that are there. Looks at every cell.
#[must_use]
pub fn nth(view: &QueueView, index: u64) -> Option<usize> {
    let cells = 0..view.geometry.cells as usize;
    let mut queued: Vec<_> = cells
        .map(|cell| (get(view.word(cell)), cell))
        .filter(|(word, _)| word & KIND == QUEUED)
        .map(|(word, cell)| (word >> VALUE_SHIFT, cell))
        .collect();
    let index = usize::try_from(index).ok().filter(|&index| index < queued.len())?;
    Some(queued.select_nth_unstable(index).1.1)
}

/// Copies the front of a message out, as much as fits.
pub fn copy(view: &QueueView, cell: usize, to: &mut [u8]) -> Result<usize, Corrupt> {
    let len = len(view, cell)?.min(to.len());
    let (mut at, mut room) = view.payload(cell, true);
    let mut next = get(view.extent(cell)) & u64::from(u32::MAX);
    let mut rest = &mut to[..len];
    loop {
        let part;
        (part, rest) = rest.split_at_mut(room.min(rest.len()));
        // SAFETY: inside a cell of the message, which nobody writes while it is there.
        unsafe { view.memory.copy_out(at, part) };
        if rest.is_empty() {
            return Ok(len);
        }
        let cell = follow(view, "next cell", next)?.ok_or(Corrupt::new("next cell", 0, len as u64))?;
        (at, room) = view.payload(cell, false);
        next = get(view.word(cell)) >> VALUE_SHIFT;
    }
}

/// Hands a queued message to a participant.
pub fn give(view: &QueueView, cell: usize, seat: u32) -> Result<(), Corrupt> {
    count_out(view, cell)?;
    set(view.word(cell), arrival(view, cell) << VALUE_SHIFT | kind_and_owner(To::Seat(seat)));
    Ok(())
}

/// Puts a message that was given to one who is gone back to its place.
pub fn ungive(view: &QueueView, cell: usize) -> Result<(), Corrupt> {
    set(view.word(cell), arrival(view, cell) << VALUE_SHIFT | QUEUED);
    count_in(view, cell)
}

/// Takes a message out, with its payload.
pub fn take(view: &QueueView, cell: usize, to: &mut [u8]) -> Result<usize, Corrupt> {
    let copied = copy(view, cell, to)?;
    let word = get(view.word(cell));
    let (mut next, left) = (get(view.extent(cell)) & u64::from(u32::MAX), cells_for(view, len(view, cell)?));
    if word & KIND == QUEUED {
        count_out(view, cell)?;
    }
    // From this store on it is gone.
    push_free(view, cell);
    for _ in 1..left {
        let cell = follow(view, "next cell", next)?.ok_or(Corrupt::new("next cell", 0, left))?;
        next = get(view.word(cell)) >> VALUE_SHIFT;
        push_free(view, cell);
    }
    Ok(copied)
}

/// Who was given the message that begins in this cell, if one does and was.
#[must_use]
pub fn given_to(view: &QueueView, cell: usize) -> Option<u32> {
    let word = get(view.word(cell));
    (word & KIND == GIVEN).then_some((word >> 4) as u32 & 0xfff)
}

/// The message in a cell as one who comes after a death finds it: its arrival and its cells, `None` if none begins there.
pub fn survey(view: &QueueView, cell: usize) -> Result<Option<(u64, Vec<usize>)>, Corrupt> {
    // ord(store.commit) Acquire <- insert: the whole message before its word.
    let word = view.word(cell).load(Acquire);
    if ![QUEUED, GIVEN].contains(&(word & KIND)) {
        return Ok(None);
    }
    let mut cells = vec![cell];
    let mut next = get(view.extent(cell)) & u64::from(u32::MAX);
    for _ in 1..cells_for(view, len(view, cell)?) {
        let cell = follow(view, "next cell", next)?.ok_or(Corrupt::new("next cell", 0, next))?;
        // ord(store.reuse) Acquire <- push_free: whoever finds a cell in other use finds that the message has ended, too.
        let word = view.word(cell).load(Acquire);
        if word & KIND != PART {
            return Err(Corrupt::new("word of a message's cell", word, cell as u64));
        }
        next = word >> VALUE_SHIFT;
        cells.push(cell);
    }
    Ok(Some((word >> VALUE_SHIFT, cells)))
}

/// Makes everything that is derived anew. The first cells of the messages that are given to somebody.
pub fn rebuild(view: &QueueView) -> Result<Vec<usize>, Corrupt> {
    let store = &view.header.store;
    for word in [&store.root, &store.free, &store.free_cells, &store.count, &store.bytes, &store.next] {
        set(word, 0);
    }
    let mut used = vec![false; view.geometry.cells as usize];
    let mut given = Vec::new();
    for cell in 0..used.len() {
        let Some((number, cells)) = survey(view, cell)? else { continue };
        for cell in cells {
            if std::mem::replace(&mut used[cell], true) {
                return Err(Corrupt::new("cell of two messages", cell as u64, number));
            }
        }
        set(&store.next, get(&store.next).max(number + 1));
        match given_to(view, cell) {
            Some(_) => given.push(cell),
            None => count_in(view, cell)?,
        }
    }
    for cell in (0..used.len()).rev().filter(|&cell| !used[cell]) {
        push_free(view, cell);
    }
    Ok(given)
}

const _: () = assert!(HEAD_LEN == 24, "word, key, extent");
