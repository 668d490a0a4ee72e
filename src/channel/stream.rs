//! The verbs of a stream of bytes that many read and many write, as a pipe: the right to read or to write, then the ring
//! verb, then a wake-up. Whether the other side is still there is the caller's question to the kernel.
//!
//! Readers and writers each have a lock, so a reader and a writer move bytes at the same time. Nobody sleeps with a lock
//! in hand. A sleeper waits for a look at the stream to succeed, then takes the lock and looks again; if it finds less
//! than it was woken for, it goes back to sleep, and if it leaves something for others, it wakes the next.
#![forbid(unsafe_code)]

use crate::channel::lock::{Held, Lock, NotTaken, Who};
use crate::error::Corrupt;
use crate::event::{Event, SLICE, Waited, Waiters};
use crate::layout::Wakeup;
use crate::ring::pages;
use crate::sync::Deadline;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::view::PageView;

/// Of `Traffic::shut`.
const SHUT: u32 = 1;
const MUTE: u32 = 2;

/// A stream as one handle sees it.
pub struct Stream {
    pub(super) view: PageView,
    pub(super) reading: Lock,
    pub(super) writing: Lock,
    pub(super) items: Event,
    pub(super) space: Event,
    partner: Event,
}

/// Why a verb ended without moving a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It would have to wait, and is not to.
    WouldBlock,
    /// The deadline has passed.
    TimedOut,
    /// A signal came that ends a wait.
    Interrupted,
    /// Nobody is there who could read.
    Broken,
    /// Shared memory holds what no correct participant writes.
    Corrupt(Corrupt),
}

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Bytes come out.
    Reading,
    /// Bytes go in.
    Writing,
}

impl From<Corrupt> for Stop {
    fn from(fault: Corrupt) -> Self {
        Stop::Corrupt(fault)
    }
}

impl From<NotTaken> for Stop {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::TimedOut => Stop::TimedOut,
            NotTaken::Interrupted => Stop::Interrupted,
        }
    }
}

/// What a call knows and may do: who calls, whether the other side is gone, how long to wait.
pub struct Call<'a> {
    /// Who takes the locks.
    pub who: Who<'a>,
    /// Whether nobody has the other end open. Asked before a sleep, and by each write.
    pub alone: &'a dyn Fn() -> bool,
    /// Until when to wait; `None`: not at all. Asked only when the call would have to wait.
    pub patience: &'a dyn Fn() -> Option<Deadline>,
}

impl Call<'_> {
    /// The right to do something, waited for no longer than the caller would wait for bytes. Its holder moves bytes and
    /// does not sleep: even who is not to wait waits for it, but not for one that is stopped.
    pub(super) fn right(&self, lock: &Lock) -> Result<Held, Stop> {
        if let Some(held) = lock.try_take(self.who.me) {
            return Ok(held);
        }
        match (self.patience)() {
            Some(deadline) => Ok(lock.take(&self.who, deadline)?),
            None => match lock.take(&self.who, Deadline::after(SLICE)) {
                Ok(held) => Ok(held),
                Err(NotTaken::TimedOut | NotTaken::Interrupted) => Err(Stop::WouldBlock),
            },
        }
    }

    /// Waits on `event` until `ready`, or until the other side is gone: false then.
    pub(super) fn wait(&self, event: &Event, ready: impl FnMut() -> bool) -> Result<bool, Stop> {
        let deadline = (self.patience)().ok_or(Stop::WouldBlock)?;
        let gone = || (self.alone)().then_some(None);
        match event.wait_interruptible(deadline, ready, gone, Some(Stop::Interrupted)) {
            Waited::Ready => Ok(true),
            Waited::Ended(None) => Ok(false),
            Waited::Ended(Some(stop)) => Err(stop),
            Waited::TimedOut => Err(Stop::TimedOut),
        }
    }
}

impl Stream {
    /// The stream in this memory.
    #[must_use]
    pub fn new(view: PageView) -> Self {
        let asymmetric = view.geometry.asymmetric;
        let header = &view.header;
        let event = |line| Event::new(line, Wakeup::Futex, asymmetric, Waiters::Many);
        Stream {
            reading: Lock::new(header.project(|header| &header.reading), asymmetric),
            writing: Lock::new(header.project(|header| &header.writing), asymmetric),
            items: event(header.project(|header| &header.items)),
            space: event(header.project(|header| &header.space)),
            partner: event(header.project(|header| &header.partner)),
            view,
        }
    }

    /// Reads what is there, or waits until there is something. 0: nothing is there and nobody could write any more, or
    /// `to` is empty.
    ///
    /// # Errors
    /// Everything but [`Stop::Broken`].
    pub fn read(&self, to: &mut [u8], call: &Call<'_>) -> Result<usize, Stop> {
        if to.is_empty() {
            return Ok(0);
        }
        let mut ended = false;
        loop {
            let len = self.take(to, call)?;
            if len > 0 || ended {
                return Ok(len);
            }
            ended = match call.wait(&self.items, || !pages::is_empty(&self.view)) {
                Ok(ready) => !ready,
                // Whoever would have to wait hears first whether there is anything to wait for.
                Err(Stop::WouldBlock) if (call.alone)() => true,
                Err(stop) => return Err(stop),
            };
        }
    }

    fn take(&self, to: &mut [u8], call: &Call<'_>) -> Result<usize, Stop> {
        let held = call.right(&self.reading)?;
        let taken = pages::read(&self.view, to);
        self.reading.give_back(held);
        let taken = taken?;
        self.space.notify_many(taken.freed);
        if !pages::is_empty(&self.view) {
            self.items.notify();
        }
        Ok(taken.len)
    }

    /// Writes `from`, waiting for room as long as the caller has patience; how many bytes, all of them if it waited for
    /// ever and somebody could read. A page at most is written as a whole or not at all, with nothing in between.
    ///
    /// # Errors
    /// Whatever ended the call before the first byte was written.
    pub fn write(&self, from: &[u8], call: &Call<'_>) -> Result<usize, Stop> {
        if from.is_empty() {
            return Ok(0);
        }
        let mut done = self.put(from, call, true)?;
        while done < from.len() {
            let ready = call.wait(&self.space, || pages::has_room(&self.view));
            let more = match ready {
                Ok(true) => self.put(&from[done..], call, false),
                Ok(false) => Err(Stop::Broken),
                Err(stop) => Err(stop),
            };
            match more {
                Ok(len) => done += len,
                Err(_) if done > 0 => break,
                Err(stop) => return Err(stop),
            }
        }
        Ok(done)
    }

    fn put(&self, from: &[u8], call: &Call<'_>, first: bool) -> Result<usize, Stop> {
        let held = call.right(&self.writing)?;
        let put = self.put_held(from, call, first);
        self.writing.give_back(held);
        if matches!(put, Ok(len) if len > 0) {
            self.items.notify();
        }
        if pages::has_room(&self.view) {
            self.space.notify();
        }
        put
    }

    fn put_held(&self, from: &[u8], call: &Call<'_>, first: bool) -> Result<usize, Stop> {
        if (call.alone)() {
            return Err(Stop::Broken);
        }
        let merged = if first { pages::merge(&self.view, from)? } else { 0 };
        Ok(merged + pages::append(&self.view, &from[merged..])?)
    }

    /// Bytes written and not read; may be stale at once.
    ///
    /// # Errors
    /// Shared memory holds what no correct participant writes.
    pub fn unread(&self) -> Result<usize, Corrupt> {
        pages::unread(&self.view)
    }

    /// Whether anything is there that was not read; may be stale at once.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        !pages::is_empty(&self.view)
    }

    /// How many pages may be in use.
    #[must_use]
    pub fn limit(&self) -> u64 {
        pages::limit(&self.view)
    }

    /// How many pages it was made for.
    #[must_use]
    pub fn made_for(&self) -> u64 {
        self.view.geometry.limit
    }

    /// Sets how many pages may be in use; false if more are.
    ///
    /// # Errors
    /// As [`Stream::write`].
    pub fn set_limit(&self, count: u64, call: &Call<'_>) -> Result<bool, Stop> {
        let held = call.right(&self.writing)?;
        let set = pages::set_limit(&self.view, count);
        self.writing.give_back(held);
        self.space.notify_all();
        Ok(set?)
    }

    /// Empties a stream of which no end is open, while nobody can open one.
    pub fn discard(&self) {
        pages::discard(&self.view);
    }

    /// Gives back what a dead participant held, by whoever has just been given its number.
    pub fn disown(&self, me: u32) {
        self.reading.disown(me);
        self.writing.disown(me);
    }

    /// An end was opened: its lock is held before this says so.
    pub fn arrive(&self, end: End) {
        // ord(stream.open) Release -> openings: the opener holds its end before it is counted.
        self.view.header.traffic.openings(end == End::Writing).fetch_add(1, Release);
        self.partner.notify_all();
    }

    /// How often an end has been opened.
    #[must_use]
    pub fn openings(&self, end: End) -> u32 {
        // ord(stream.open) Acquire <- arrive: whoever was counted holds its end, or has closed it again.
        self.view.header.traffic.openings(end == End::Writing).load(Acquire)
    }

    /// Waits until an end has been opened once more than `before` times.
    ///
    /// # Errors
    /// As [`Stream::read`].
    pub fn wait_for_partner(&self, end: End, before: u32, deadline: Deadline) -> Result<(), Stop> {
        let came = || self.openings(end) != before;
        match self.partner.wait_interruptible(deadline, came, || None, Stop::Interrupted) {
            Waited::Ready => Ok(()),
            Waited::Ended(stop) => Err(stop),
            Waited::TimedOut => Err(Stop::TimedOut),
        }
    }

    /// How often somebody closed an end: while it has not changed, nobody has left but by dying.
    #[must_use]
    pub fn departures(&self) -> u32 {
        // ord(stream.leave) Acquire <- leave: who is counted has let go of its end.
        self.view.header.traffic.left.load(Acquire)
    }

    /// From now on nothing more goes through; what is in it can be read (shutdown(2)). A write that was quicker is in it,
    /// unless its writer has been stopped with the right to write.
    pub fn shut(&self, who: &Who<'_>) {
        let held = self.writing.take(who, Deadline::after(SLICE));
        self.set_shut(SHUT);
        if let Ok(held) = held {
            self.writing.give_back(held);
        }
        self.items.notify_all();
        self.space.notify_all();
    }

    /// Notes that whoever reads here sends no more elsewhere.
    pub fn set_mute(&self) {
        self.set_shut(MUTE);
    }

    fn set_shut(&self, bit: u32) {
        // ord(stream.shut) Release -> shut_bits: what was written before is seen by whoever sees this.
        self.view.header.traffic.shut.fetch_or(bit, Release);
    }

    fn shut_bits(&self) -> u32 {
        // ord(stream.shut) Acquire <- set_shut: everything that was written before it was shut.
        self.view.header.traffic.shut.load(Acquire)
    }

    /// Whether nothing more goes through.
    #[inline(always)]
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.shut_bits() & SHUT != 0
    }

    /// Whether whoever reads here sends no more elsewhere.
    #[must_use]
    pub fn is_mute(&self) -> bool {
        self.shut_bits() & MUTE != 0
    }

    /// Whether this is the first time that anybody is told that what is in here will never be read.
    #[must_use]
    pub fn first_told(&self) -> bool {
        // ord(own) Relaxed: one of those who ask is the first, whoever it is.
        self.view.header.traffic.told.fetch_or(1, Relaxed) == 0
    }

    /// An end was closed: its lock was let go before this says so. Everybody looks who is left.
    pub fn leave(&self) {
        // ord(stream.leave) Release -> departures: the end is let go before it is counted.
        self.view.header.traffic.left.fetch_add(1, Release);
        self.items.notify_all();
        self.space.notify_all();
    }
}
