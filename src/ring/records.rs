//! Records of any length, one behind the other in a ring of bytes, as a socket keeps them that has message boundaries: one
//! reads and one writes at a time, which two locks see to (`channel/lock.rs`); the two meet here, without a lock. The bytes
//! `head..tail` are records; the rest is free. Only the reader stores `head`, only the writer stores `tail`. Sleeping is
//! `event`'s job.
//!
//! Positions count bytes and never wrap; a byte lives at its position modulo the capacity. A record is a word, `name:16 |
//! body:32`, the name of its sender, and its body, rounded up to a multiple of eight; where the ring ends it goes on at the
//! front. The store of `tail` behind a record commits it, the store of `head` behind it gives its bytes back: killed
//! anywhere, a writer leaves its record whole or absent, and a reader leaves it to its successor or has it alone. Nothing has
//! to be repaired by anyone.

use crate::error::Corrupt;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::view::PageView;

/// Bytes before a record's name.
const WORD: u64 = 8;

/// A record that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of its sender's name; more than there was room for if the memory is damaged.
    pub name: usize,
    /// Bytes of its body that were copied.
    pub len: usize,
    /// Bytes that its body has. What was not copied is gone.
    pub full: usize,
}

/// Bytes that a record takes.
const fn stride(name: usize, body: usize) -> u64 {
    (WORD + name as u64 + body as u64).next_multiple_of(WORD)
}

/// Bytes that all records together can take.
fn capacity(view: &PageView) -> u64 {
    view.memory.len() as u64
}

/// The longest body that fits beside a name of `name` bytes.
#[must_use]
pub fn longest(view: &PageView, name: usize) -> usize {
    (capacity(view) - WORD) as usize - name
}

/// Puts a record; false if there is no room. The caller holds the right to write.
pub fn put(view: &PageView, name: &[u8], body: &[u8]) -> Result<bool, Corrupt> {
    // ord(own) Relaxed: only whoever holds the writing lock stores it, and the lock orders them.
    let tail = view.header.tail.0.load(Relaxed);
    let stride = stride(name.len(), body.len());
    if room(view, tail)? < stride {
        return Ok(false);
    }
    let word = (name.len() as u64) << 32 | body.len() as u64;
    copy_in(view, tail, &word.to_ne_bytes());
    copy_in(view, tail.wrapping_add(WORD), name);
    copy_in(view, tail.wrapping_add(WORD + name.len() as u64), body);
    // ord(records.put) Release -> committed: the record before the tail behind it.
    view.header.tail.0.store(tail.wrapping_add(stride), Release);
    Ok(true)
}

/// Copies the next record out, as much as there is room for, and takes it unless it is to be kept. The caller holds the
/// right to read.
pub fn take(view: &PageView, name: &mut [u8], body: &mut [u8], keep: bool) -> Result<Option<Taken>, Corrupt> {
    // ord(own) Relaxed: only whoever holds the reading lock stores it, and the lock orders them.
    let head = view.header.head.0.load(Relaxed);
    let tail = committed(view, head)?;
    if tail == head {
        return Ok(None);
    }
    let (taken, behind) = at(view, head, tail)?;
    let (name_len, len) = (taken.name.min(name.len()), taken.full.min(body.len()));
    copy_out(view, head.wrapping_add(WORD), &mut name[..name_len]);
    copy_out(view, head.wrapping_add(WORD + taken.name as u64), &mut body[..len]);
    if !keep {
        // ord(records.free) Release -> room: we have read the record before the writer has its bytes again.
        view.header.head.0.store(behind, Release);
    }
    Ok(Some(Taken { len, ..taken }))
}

/// The position behind all records that are there.
fn committed(view: &PageView, head: u64) -> Result<u64, Corrupt> {
    // ord(records.put) Acquire <- put: the record before the tail behind it.
    let tail = view.header.tail.0.load(Acquire);
    used(view, head, tail).map(|_| tail)
}

/// The record at `head`, of which nothing is copied yet, and the position behind it; `tail`, which it is before, as
/// [`committed`] says.
fn at(view: &PageView, head: u64, tail: u64) -> Result<(Taken, u64), Corrupt> {
    let used = tail.wrapping_sub(head);
    let mut word = [0; WORD as usize];
    copy_out(view, head, &mut word);
    let word = u64::from_ne_bytes(word);
    let (name, full) = ((word >> 32 & 0xffff) as usize, (word & 0xffff_ffff) as usize);
    let stride = stride(name, full);
    if word >> 48 != 0 || stride > used {
        return Err(Corrupt::new("record", word, head));
    }
    Ok((Taken { name, len: 0, full }, head.wrapping_add(stride)))
}

/// Bytes of the bodies that are there, of the first alone or of all. The caller holds the right to read.
pub fn unread(view: &PageView, all: bool) -> Result<usize, Corrupt> {
    // ord(own) Relaxed: only whoever holds the reading lock stores it, and the lock orders them.
    let mut head = view.header.head.0.load(Relaxed);
    // Those that come meanwhile do not count: a peer that writes on and on keeps nobody here.
    let tail = committed(view, head)?;
    let mut sum = 0;
    while head != tail {
        let (record, behind) = at(view, head, tail)?;
        (sum, head) = (sum + record.full, behind);
        if !all {
            break;
        }
    }
    Ok(sum)
}

/// Throws everything away that is there. The caller holds the right to read.
pub fn purge(view: &PageView) -> Result<(), Corrupt> {
    // ord(own) Relaxed: only whoever holds the reading lock stores it, and the lock orders them.
    let head = view.header.head.0.load(Relaxed);
    let tail = committed(view, head)?;
    // ord(records.free) Release -> room: whoever looked at them and left them there has read their bytes.
    view.header.head.0.store(tail, Release);
    Ok(())
}

/// Whether a record of these lengths would find room. May be stale unless the caller holds the right to write.
#[must_use]
pub fn has_room(view: &PageView, name: usize, body: usize) -> bool {
    // ord(own) Relaxed: a look; whoever writes looks again under the lock.
    let tail = view.header.tail.0.load(Relaxed);
    // Damage is reported to whoever writes.
    room(view, tail).map_or(true, |room| room >= stride(name, body))
}

/// Whether a reader would find nothing. May be stale unless the caller holds the right to read.
#[must_use]
pub fn is_empty(view: &PageView) -> bool {
    // ord(own) Relaxed: a look; whoever reads looks again under the lock.
    let head = view.header.head.0.load(Relaxed);
    // ord(own) Relaxed: as above; a later look at the same word is not older than this one.
    view.header.tail.0.load(Relaxed) == head
}

/// Bytes that records take, words and names included. For a bystander: may be stale, and is no more than there is room for.
#[must_use]
pub fn used_now(view: &PageView) -> u64 {
    // ord(own) Relaxed: a look, which nothing is read behind.
    let head = view.header.head.0.load(Relaxed);
    // ord(own) Relaxed: as above.
    view.header.tail.0.load(Relaxed).saturating_sub(head).min(capacity(view))
}

/// Free bytes behind a writer at `tail`.
fn room(view: &PageView, tail: u64) -> Result<u64, Corrupt> {
    // ord(records.free) Acquire <- take: the reader has left the bytes before this head.
    let head = view.header.head.0.load(Acquire);
    Ok(capacity(view) - used(view, head, tail)?)
}

fn used(view: &PageView, head: u64, tail: u64) -> Result<u64, Corrupt> {
    let used = tail.wrapping_sub(head);
    if used > capacity(view) || !(head | tail).is_multiple_of(WORD) {
        return Err(Corrupt::new("tail", tail, head));
    }
    Ok(used)
}

/// How many of `len` bytes from position `at` on come before the ring's end, and where the first one is.
fn split(view: &PageView, at: u64, len: usize) -> (usize, usize) {
    let index = (at & (capacity(view) - 1)) as usize;
    (index, len.min(view.memory.len() - index))
}

fn copy_in(view: &PageView, at: u64, from: &[u8]) {
    let (index, len) = split(view, at, from.len());
    let (front, back) = from.split_at(len);
    // SAFETY: inside the ring by `split`; free, as the caller has seen, so this writer's alone.
    unsafe { view.memory.copy_in(index, front) };
    // SAFETY: as above; what is longer than the ring the callers refuse.
    unsafe { view.memory.copy_in(0, back) };
}

fn copy_out(view: &PageView, at: u64, to: &mut [u8]) {
    let (index, len) = split(view, at, to.len());
    let (front, back) = to.split_at_mut(len);
    // SAFETY: inside the ring by `split`; committed, and the writer has it again only after the store of head.
    unsafe { view.memory.copy_out(index, front) };
    // SAFETY: as above; what is longer than what is used `next` refuses.
    unsafe { view.memory.copy_out(0, back) };
}
