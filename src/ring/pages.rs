//! A stream of bytes in pages, as the kernel keeps a pipe: one reads and one writes at a time, which two locks see to
//! (`channel/lock.rs`); the two meet here, without a lock. Pages `head..tail` hold bytes; the rest is free.
//! Only the reader stores `head`, only the writer stores `tail`. Sleeping is `event`'s job.
//!
//! A page has a word, `position:48 | released:1 | end:15`: bytes `..end` are committed. The writer fills a free page,
//! stores its word and then `tail`: that store commits. Short writes share a page: the writer puts them behind `end` of
//! the last page and exchanges the word for one with a larger `end`: that exchange commits. The bytes behind `end` are
//! the writer's even while the reader is in the same page.
//!
//! A page that was read to its end goes back, and nobody may add to it then. So the reader of the *last* page first
//! exchanges its word for one marked as released; the writer's exchange then fails, and the write goes to a new page. If
//! the writer's exchange is first, the reader's fails, and there is more to read. To a page that has another behind it
//! nobody adds. Either way the store of `head`, whose low bits say how much of the page was read, gives the page back.
//!
//! A full stream is one with as many pages in use as `limit` says, however little is in each: so the kernel counts, and
//! so it can be compared write for write.
//!
//! Killed anywhere, the writer leaves a write of up to a page whole or absent: one store commits it. Of a longer one,
//! whole pages from its front may be there. Killed anywhere, the reader leaves `head` where it was, and its successor
//! reads the same bytes, which no call has returned; or behind what it has read. A page may then be marked as released and
//! have bytes to read: they are read, and the mark stays. Nothing has to be repaired by anyone.

use crate::error::Corrupt;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::spin_hint;
use crate::view::PageView;

/// Positions are counted modulo 2^48.
const POSITIONS: u64 = u64::MAX >> 16;
/// Of a page's word: the page is read, nobody adds to it.
const RELEASED: u64 = 1 << 15;
const END: u64 = RELEASED - 1;

/// What a read came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes read.
    pub len: usize,
    /// Pages that writers may have again.
    pub freed: usize,
}

/// Reads what is there, up to the length of `to`. The caller holds the right to read.
pub fn read(view: &PageView, to: &mut [u8]) -> Result<Taken, Corrupt> {
    // ord(own) Relaxed: only whoever holds the reading lock stores it, and the lock orders them.
    let mut head = view.header.head.0.load(Relaxed);
    let mut taken = Taken::default();
    while taken.len < to.len() {
        let (position, offset) = (head >> 16, (head & 0xffff) as usize);
        // ord(pages.append) Acquire <- append: the page and its word before the tail behind it.
        let tail = view.header.tail.0.load(Acquire);
        let used = used(view, position, tail)?;
        if used == 0 {
            break;
        }
        // ord(pages.merge) Acquire <- merge: the bytes before the end that covers them.
        let word = view.word(position).load(Acquire);
        let end = end_of(view, word, position)?;
        let Some(rest) = end.checked_sub(offset) else {
            return Err(Corrupt::new("head", head, position));
        };
        let len = rest.min(to.len() - taken.len);
        // SAFETY: `end_of` checked that the bytes lie inside the page; they are committed, and the writer has the page
        // again only after the store of head below.
        unsafe { view.memory.copy_out(view.page(position) + offset, &mut to[taken.len..][..len]) };
        taken.len += len;
        head = position << 16 | (offset + len) as u64;
        if len == rest && (used > 1 || word & RELEASED != 0 || release(view, position, word)) {
            head = position.wrapping_add(1) << 16;
            taken.freed += 1;
        }
    }
    if taken.len > 0 {
        // ord(pages.free) Release -> room: we have read the page before the writer has it again.
        view.header.head.0.store(head, Release);
    }
    Ok(taken)
}

/// Closes the last page, which was read to the end that `word` says; false if the writer has added to it meanwhile.
fn release(view: &PageView, position: u64, word: u64) -> bool {
    // ord(pages.release) Relaxed -> merge: only keeps the writer out; the store of head gives the bytes back.
    // ord(own) Relaxed on failure: the word is read again.
    view.word(position).compare_exchange(word, word | RELEASED, Relaxed, Relaxed).is_ok()
}

/// Adds the part of a write that is more than whole pages to the last page, if it fits there: how many bytes from the
/// front of `from`. Tried once for each write, before [`append`]. The caller holds the right to write.
pub fn merge(view: &PageView, from: &[u8]) -> Result<usize, Corrupt> {
    let part = &from[..from.len() % view.geometry.page_len];
    // ord(own) Relaxed: only whoever holds the writing lock stores it, and the lock orders them.
    let tail = view.header.tail.0.load(Relaxed);
    // ord(own) Relaxed: whether there is a last page at all. A stale one is harmless: the exchange below finds the page
    // released, and the bytes of a page that was read to its end are nobody's but the writer's.
    let head = view.header.head.0.load(Relaxed);
    if part.is_empty() || used(view, head >> 16, tail)? == 0 {
        return Ok(0);
    }
    let last = tail.wrapping_sub(1) & POSITIONS;
    // ord(pages.release) Relaxed <- release: a released page is left alone; its end is an earlier writer's.
    let word = view.word(last).load(Relaxed);
    let end = end_of(view, word, last)?;
    if word & RELEASED != 0 || end + part.len() > view.geometry.page_len {
        return Ok(0);
    }
    // SAFETY: inside the page by the check above; behind the end no reader looks, and no other writer is there.
    unsafe { view.memory.copy_in(view.page(last) + end, part) };
    // ord(pages.merge) Release -> read: the bytes before the end that covers them.
    // ord(own) Relaxed on failure: the reader was first; nothing of this page is looked at again.
    let merged = view.word(last).compare_exchange(word, word + part.len() as u64, Release, Relaxed);
    Ok(if merged.is_ok() { part.len() } else { 0 })
}

/// Puts `from` into new pages as far as there are any: how many bytes from the front. At most a page is put as a whole
/// or not at all. The caller holds the right to write.
pub fn append(view: &PageView, from: &[u8]) -> Result<usize, Corrupt> {
    // ord(own) Relaxed: only whoever holds the writing lock stores it, and the lock orders them.
    let mut tail = view.header.tail.0.load(Relaxed);
    let mut done = 0;
    for part in from.chunks(view.geometry.page_len) {
        if room(view, tail)? == 0 {
            break;
        }
        // SAFETY: there is room, so the page at tail is free, and no other writer is there; a chunk is no longer.
        unsafe { view.memory.copy_in(view.page(tail), part) };
        // ord(own) Relaxed: nobody looks at the word before the store of tail.
        view.word(tail).store(tail << 16 | part.len() as u64, Relaxed);
        tail = tail.wrapping_add(1) & POSITIONS;
        // ord(pages.append) Release -> read: the page and its word before the tail behind it.
        view.header.tail.0.store(tail, Release);
        done += part.len();
    }
    Ok(done)
}

/// How many pages a writer at `tail` may fill.
fn room(view: &PageView, tail: u64) -> Result<u64, Corrupt> {
    // ord(pages.free) Acquire <- read: the reader has left the pages before this head.
    let head = view.header.head.0.load(Acquire);
    Ok(limit(view).saturating_sub(used(view, head >> 16, tail)?))
}

/// Whether a writer would find a free page. May be stale unless the caller holds the right to write.
#[must_use]
pub fn has_room(view: &PageView) -> bool {
    // ord(own) Relaxed: a look; whoever writes looks again under the lock.
    let tail = view.header.tail.0.load(Relaxed);
    // A damaged head is reported to whoever writes.
    !matches!(room(view, tail), Ok(0))
}

/// Whether a reader would find nothing. May be stale unless the caller holds the right to read.
#[must_use]
pub fn is_empty(view: &PageView) -> bool {
    // ord(own) Relaxed: a look; whoever reads looks again under the lock.
    let head = view.header.head.0.load(Relaxed);
    // ord(own) Relaxed: as above; a later look at the same word is not older than this one.
    view.header.tail.0.load(Relaxed) == head >> 16
}

/// Looks at a stream that moves under them, each time because a reader got further, before it is called damaged.
const LOOKS: usize = 1000;

/// Bytes written and not read. May be stale at once, but was true at some moment if nobody read meanwhile.
pub fn unread(view: &PageView) -> Result<usize, Corrupt> {
    let mut seen = unread_once(view);
    for _ in 1..LOOKS {
        if let Ok(Some(sum)) = seen {
            return Ok(sum);
        }
        spin_hint();
        seen = unread_once(view);
    }
    seen.map(Option::unwrap_or_default)
}

/// One look; `None` if somebody read meanwhile. A fault may be that, too: a page that was given back and filled again.
fn unread_once(view: &PageView) -> Result<Option<usize>, Corrupt> {
    // ord(own) Relaxed: looked at again in the end.
    let head = view.header.head.0.load(Relaxed);
    let first = head >> 16;
    // ord(own) Relaxed: a page whose word is not seen yet is a fault, and looked at again.
    let tail = view.header.tail.0.load(Relaxed);
    let mut sum = 0;
    for position in (0..used(view, first, tail)?).map(|i| first.wrapping_add(i) & POSITIONS) {
        // ord(own) Relaxed: a number; the bytes are not read.
        let word = view.word(position).load(Relaxed);
        sum += end_of(view, word, position)?;
    }
    // ord(own) Relaxed: if it has not moved, no page above was given back before it was looked at.
    let still = view.header.head.0.load(Relaxed) == head;
    Ok(still.then(|| sum.saturating_sub((head & 0xffff) as usize)))
}

/// How many pages may be in use.
#[must_use]
pub fn limit(view: &PageView) -> u64 {
    // ord(own) Relaxed: a number on which no byte's fate rests: it is clamped to the pages there are.
    view.header.limit.0.load(Relaxed).clamp(1, view.geometry.pages)
}

/// Sets how many pages may be in use; false if more are. The caller holds the right to write.
pub fn set_limit(view: &PageView, pages: u64) -> Result<bool, Corrupt> {
    // ord(own) Relaxed: only whoever holds the writing lock stores it, and the lock orders them.
    let tail = view.header.tail.0.load(Relaxed);
    // ord(own) Relaxed: no byte is touched; a stale head says that more is in use.
    let head = view.header.head.0.load(Relaxed);
    let fits = used(view, head >> 16, tail)? <= pages;
    if fits {
        // ord(own) Relaxed: the lock orders the writers, and a reader has no use for it.
        view.header.limit.0.store(pages, Relaxed);
    }
    Ok(fits)
}

/// Makes a stream empty that nobody uses: the caller has seen that no end is open, and lets nobody open one.
pub fn discard(view: &PageView) {
    // ord(own) Relaxed: nobody else is there; who was there is ordered by the leases, who comes by the caller's.
    let tail = view.header.tail.0.load(Relaxed) & POSITIONS;
    // ord(own) Relaxed: as above.
    view.header.head.0.store(tail << 16, Relaxed);
    // ord(own) Relaxed: as above; the words of free pages are not looked at.
    view.header.limit.0.store(view.geometry.limit, Relaxed);
    // A damaged tail is mended, too.
    // ord(own) Relaxed: as above.
    view.header.tail.0.store(tail, Relaxed);
}

fn used(view: &PageView, head: u64, tail: u64) -> Result<u64, Corrupt> {
    let used = tail.wrapping_sub(head) & POSITIONS;
    if used > view.geometry.pages || tail > POSITIONS {
        return Err(Corrupt::new("tail", tail, head));
    }
    Ok(used)
}

/// Where the committed bytes of a page end, which has this word.
fn end_of(view: &PageView, word: u64, position: u64) -> Result<usize, Corrupt> {
    let end = (word & END) as usize;
    if word >> 16 != position || end > view.geometry.page_len {
        return Err(Corrupt::new("page word", word, position));
    }
    Ok(end)
}
