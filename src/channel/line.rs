//! Who waits at a queue, in which order, and who has been served. Touched by the holder of the queue's lock alone.
//!
//! Each participant has a seat. One that must wait writes there what it wants, takes a ticket and stands in one of two
//! lines, for messages or for room: those with a higher rank first, and of those with the same the one with the lower
//! ticket. Whoever changes the queue serves the lines before it gives the lock back ([`serve`]): a message is handed
//! to the first who wants it, room is kept for the first whose message fits. So between two holders of the lock nobody
//! waits for something that is there, and a newcomer may take what it finds: it passes nobody.
//!
//! ```text
//!   state of a seat: turn:28 | state:4; its owner sleeps while it is the word with which it began to wait
//!     IDLE -> RECEIVES -> GIVEN | TOO_LONG | REMOVED -> IDLE
//!     IDLE -> SENDS    -> GRANTED | REMOVED          -> IDLE
//! ```
//!
//! What is given is said by the message's own word first, and by the seat second; what is granted, by the seat. The
//! lines and the counts are derived. One who is served and dies before it has taken what it was given is found by the
//! next who would have to wait ([`settle`]): the message goes back to its place, the room to the next.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, reason = "the facade's atomics, which the lint sees through to core's")]

use crate::error::Corrupt;
use crate::layout::WaitLine;
use crate::ring::store::{self, Select, add, follow, get, set};
use crate::sync::AtomicU64;
use crate::sync::Ordering::Relaxed;
use crate::view::QueueView;

/// Waits for nothing.
pub const IDLE: u32 = 0;
/// Waits for a message.
pub const RECEIVES: u32 = 1;
/// Waits for room.
pub const SENDS: u32 = 2;
/// Was given a message.
pub const GIVEN: u32 = 3;
/// The message for it is longer than it takes.
pub const TOO_LONG: u32 = 4;
/// Room is kept for it.
pub const GRANTED: u32 = 5;
/// The queue was removed.
pub const REMOVED: u32 = 6;
const STATE: u32 = 15;
const TURN: u32 = 16;

/// What one who waits wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A message.
    Message {
        /// Which.
        select: Select,
        /// Bytes that it has room for.
        room: usize,
        /// Whether it takes the front of a longer one.
        truncates: bool,
    },
    /// Room for a message of so many bytes.
    Room(usize),
}

/// Who serves: the kernel's word on who lives, and what time it is, in seconds since 1970.
#[derive(Clone, Copy)]
pub struct Server<'a> {
    /// Whether a live process holds the lease of this seat.
    pub lives: &'a dyn Fn(u32) -> bool,
    /// Now.
    pub now: u64,
}

fn seat(view: &QueueView, seat: usize) -> &WaitLine {
    &view.seats[seat]
}

/// The word of a seat.
#[must_use]
pub fn word(view: &QueueView, number: usize) -> u32 {
    // ord(own) Relaxed: who sees that it was served takes the lock, which orders what it was served with.
    seat(view, number).state.load(Relaxed)
}

/// The state that a word says.
#[must_use]
pub fn state(word: u32) -> u32 {
    word & STATE
}

/// Gives a seat another state; its word then.
fn turn(view: &QueueView, number: usize, state: u32) -> u32 {
    // ord(own) Relaxed: only the holder of the lock stores it.
    let word = seat(view, number).state.load(Relaxed);
    let next = (word & !STATE).wrapping_add(TURN) | state;
    // ord(own) Relaxed: as in `word`.
    seat(view, number).state.store(next, Relaxed);
    next
}

fn next(view: &QueueView, link: &AtomicU64) -> Result<Option<usize>, Corrupt> {
    match get(link) as usize {
        0 => Ok(None),
        number if number < view.seats.len() => Ok(Some(number)),
        number => Err(Corrupt::new("seat in line", number as u64, view.seats.len() as u64)),
    }
}

fn head(view: &QueueView, sends: bool) -> &AtomicU64 {
    if sends { &view.header.lines.senders } else { &view.header.lines.receivers }
}

/// Every seat of a line, with the link that leads to it. A damaged line ends in an error and not in a circle.
fn each<'a>(
    view: &'a QueueView,
    sends: bool,
    mut visit: impl FnMut(&'a AtomicU64, usize) -> Result<bool, Corrupt>,
) -> Result<(), Corrupt> {
    let mut link = head(view, sends);
    for _ in 0..view.seats.len() {
        let Some(number) = next(view, link)? else { return Ok(()) };
        if !visit(link, number)? {
            return Ok(());
        }
        // Who was taken out of the line has left its successor at `link`.
        if get(link) as usize == number {
            link = &seat(view, number).next;
        }
    }
    match next(view, link)? {
        None => Ok(()),
        Some(number) => Err(Corrupt::new("line", number as u64, view.seats.len() as u64)),
    }
}

fn take_out(view: &QueueView, link: &AtomicU64, number: usize) {
    set(link, get(&seat(view, number).next));
}

/// Puts a seat into its line.
fn stand(view: &QueueView, sends: bool, number: usize) -> Result<(), Corrupt> {
    let place = |number: usize| {
        let seat = seat(view, number);
        (u64::MAX - get(&seat.rank), get(&seat.ticket))
    };
    let mut before = head(view, sends);
    each(view, sends, |_, other| {
        let behind = place(other) < place(number);
        if behind {
            before = &seat(view, other).next;
        }
        Ok(behind)
    })?;
    set(&seat(view, number).next, get(before));
    set(before, number as u64);
    Ok(())
}

/// Begins to wait; the word to sleep on.
pub fn join(view: &QueueView, number: usize, want: Want, rank: u64, pid: u32) -> Result<u32, Corrupt> {
    let (sends, wants, key, room) = match want {
        Want::Room(len) => (true, 0, 0, len),
        Want::Message { select, room, truncates } => {
            let (which, key) = match select {
                Select::Any => (0, 0),
                Select::Exact(key) => (1, key),
                Select::Least(key) => (2, key),
                Select::Except(key) => (3, key),
            };
            (false, which << 1 | u64::from(truncates), key, room)
        }
    };
    let (seat, lines) = (seat(view, number), &view.header.lines);
    let ticket = get(&lines.ticket);
    set(&lines.ticket, ticket.wrapping_add(1));
    for (word, value) in [
        (&seat.wants, wants),
        (&seat.key, key),
        (&seat.room, room as u64),
        (&seat.rank, rank),
        (&seat.ticket, ticket),
    ] {
        set(word, value);
    }
    // ord(own) Relaxed: for people, and for whoever serves, under the lock.
    seat.pid.store(pid, Relaxed);
    stand(view, sends, number)?;
    Ok(turn(view, number, if sends { SENDS } else { RECEIVES }))
}

fn wanted(view: &QueueView, number: usize) -> (Select, usize, bool) {
    let seat = seat(view, number);
    let (wants, key) = (get(&seat.wants), get(&seat.key));
    let select = match wants >> 1 {
        0 => Select::Any,
        1 => Select::Exact(key),
        2 => Select::Least(key),
        _ => Select::Except(key),
    };
    (select, get(&seat.room) as usize, wants & 1 != 0)
}

/// Whether a message of so many bytes may come in now, besides those for which room is kept.
#[must_use]
pub fn fits(view: &QueueView, len: usize) -> bool {
    let (store, lines, limits) = (&view.header.store, &view.header.lines, &view.header.limits);
    let sum = |a: &AtomicU64, b: &AtomicU64, more: u64| get(a).saturating_add(get(b)).saturating_add(more);
    sum(&store.count, &lines.granted, 1) <= get(&limits.count)
        && sum(&store.bytes, &lines.granted_bytes, len as u64) <= get(&limits.bytes)
        && store::cells_for(view, len).saturating_add(get(&lines.granted_cells)) <= get(&store.free_cells)
}

fn count_granted(view: &QueueView, number: usize, sign: i64) {
    let (len, lines) = (get(&seat(view, number).room) as usize, &view.header.lines);
    add(&lines.served, sign);
    add(&lines.granted, sign);
    add(&lines.granted_bytes, sign.wrapping_mul(len as i64));
    add(&lines.granted_cells, sign.wrapping_mul(store::cells_for(view, len) as i64));
}

/// Hands out what is there to those who wait for it; whom to wake.
pub fn serve(view: &QueueView, server: Server<'_>, woken: &mut Vec<usize>) -> Result<(), Corrupt> {
    if get(head(view, false)) != 0 && get(&view.header.store.count) != 0 {
        each(view, false, |link, number| {
            let (select, room, truncates) = wanted(view, number);
            let Some(cell) = store::find(view, select)? else { return Ok(true) };
            take_out(view, link, number);
            if !(server.lives)(number as u32) {
                turn(view, number, IDLE);
                return Ok(true);
            }
            woken.push(number);
            if store::len(view, cell)? > room && !truncates {
                turn(view, number, TOO_LONG);
                return Ok(true);
            }
            store::give(view, cell, number as u32)?;
            set(&seat(view, number).cell, store::link(cell));
            add(&view.header.lines.served, 1);
            let facts = &view.header.facts;
            // ord(own) Relaxed: written under the lock.
            set(&facts.receiver, seat(view, number).pid.load(Relaxed).into());
            set(&facts.received, server.now);
            turn(view, number, GIVEN);
            Ok(true)
        })?;
    }
    each(view, true, |link, number| {
        if fits(view, get(&seat(view, number).room) as usize) {
            take_out(view, link, number);
            if !(server.lives)(number as u32) {
                turn(view, number, IDLE);
                return Ok(true);
            }
            count_granted(view, number, 1);
            turn(view, number, GRANTED);
            woken.push(number);
        }
        Ok(true)
    })
}

/// The message that a seat was given.
pub fn given(view: &QueueView, number: usize) -> Result<usize, Corrupt> {
    let cell = follow(view, "given message", get(&seat(view, number).cell))?;
    cell.filter(|&cell| store::given_to(view, cell) == Some(number as u32)).ok_or(Corrupt::new(
        "given message",
        get(&seat(view, number).cell),
        number as u64,
    ))
}

/// The owner of a seat has what it was served with, or needs it no more.
pub fn done(view: &QueueView, number: usize) {
    match state(word(view, number)) {
        GIVEN => add(&view.header.lines.served, -1),
        GRANTED => count_granted(view, number, -1),
        _ => {}
    }
    turn(view, number, IDLE);
}

/// Takes a seat out of whatever it stands in, and what it was given back: its owner is gone, or gives up.
pub fn vacate(view: &QueueView, number: usize) -> Result<(), Corrupt> {
    let its = state(word(view, number));
    match its {
        RECEIVES | SENDS => each(view, its == SENDS, |link, other| {
            if other == number {
                take_out(view, link, number);
            }
            Ok(other != number)
        })?,
        GIVEN => store::ungive(view, given(view, number)?)?,
        _ => {}
    }
    done(view, number);
    Ok(())
}

/// Vacates the seats of those who were served and died.
pub fn settle(view: &QueueView, server: Server<'_>) -> Result<(), Corrupt> {
    for number in 1..view.seats.len() {
        let served = [GIVEN, GRANTED].contains(&state(word(view, number)));
        if served && !(server.lives)(number as u32) {
            vacate(view, number)?;
        }
    }
    Ok(())
}

/// Tells all who wait, and those for whom room is kept, that the queue is removed.
pub fn dismiss(view: &QueueView, woken: &mut Vec<usize>) {
    for number in 1..view.seats.len() {
        let its = state(word(view, number));
        if its == GRANTED {
            count_granted(view, number, -1);
        }
        if [RECEIVES, SENDS, GRANTED].contains(&its) {
            turn(view, number, REMOVED);
            woken.push(number);
        }
    }
    set(head(view, false), 0);
    set(head(view, true), 0);
}

/// Makes everything that is derived anew, after the death of one who had the lock.
pub fn repair(view: &QueueView, server: Server<'_>, woken: &mut Vec<usize>) -> Result<(), Corrupt> {
    let lines = &view.header.lines;
    for word in [
        &lines.receivers,
        &lines.senders,
        &lines.ticket,
        &lines.served,
        &lines.granted,
        &lines.granted_bytes,
        &lines.granted_cells,
    ] {
        set(word, 0);
    }
    let given = store::rebuild(view)?;
    for &cell in &given {
        let number = store::given_to(view, cell).unwrap_or(0) as usize;
        let its = if (1..view.seats.len()).contains(&number) { state(word(view, number)) } else { IDLE };
        if [RECEIVES, GIVEN].contains(&its) && (server.lives)(number as u32) {
            set(&seat(view, number).cell, store::link(cell));
            add(&lines.served, 1);
            if its == RECEIVES {
                turn(view, number, GIVEN);
                woken.push(number);
            }
        } else {
            store::ungive(view, cell)?;
        }
    }
    for number in 1..view.seats.len() {
        let its = state(word(view, number));
        if its == IDLE {
            continue;
        }
        set(&lines.ticket, get(&lines.ticket).max(get(&seat(view, number).ticket).wrapping_add(1)));
        if !(server.lives)(number as u32) {
            turn(view, number, IDLE);
        } else if its == GRANTED {
            count_granted(view, number, 1);
        } else if its == GIVEN && self::given(view, number).is_err() {
            // Its owner took the message and died before it said so. Whoever has the seat now never had it.
            turn(view, number, IDLE);
        } else if [RECEIVES, SENDS].contains(&its) {
            stand(view, its == SENDS, number)?;
        }
    }
    if get(&view.header.limits.removed) != 0 {
        dismiss(view, woken);
    }
    Ok(())
}
