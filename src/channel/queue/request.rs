//! Who asked to be told when a message comes to the empty queue (mq_notify(3)): one at most, once.
//!
//! What is told is what the queue *is*, not what somebody did: whoever has the lock compares at the end whether there is a
//! message with whether there was one when that was compared last (`filled`). So it does not matter who made the difference,
//! nor how far it came:
//!
//! ```text
//!   asks             filled = is there a message; then the request stands
//!   has the lock     there is one, and filled is 0:  tells, then crosses the request out
//!   at the end       there is none:                  filled = 0
//!
//!   sender killed before its message's word    nothing has happened
//!   killed before it told                      filled is 0: who takes the lock over tells
//!   killed before it crossed out               tells twice, for never would be worse
//!   receiver killed with the last message      who takes the lock over sets filled to 0
//!   killed before it took what it was given    the message is back: told, if nobody else waits
//! ```
//!
//! Whoever takes the lock over compares before it does what it came for, which may be to take the message away. It may be
//! that nobody comes. So who asked looks at each slice whether somebody died, with the lock or with what it was given, and
//! puts that in order ([`Queue::look_out`]).
//!
//! With the lock, but for the looks that say so.
#![forbid(unsafe_code)]

use super::{Call, Queue, Stop};
use crate::channel::line::{self, Server};
use crate::event::SLICE;
use crate::ring::store::{get, set};
use crate::sync::Ordering::Relaxed;
use crate::sync::{self, Deadline};

/// A request to be told when a message comes to the empty queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The seat of who asked.
    pub seat: u32,
    /// Its process.
    pub pid: u32,
    /// The signal to send; 0 for none.
    pub signal: u32,
    /// The value that goes with it.
    pub value: u64,
}

impl Queue {
    fn watcher(&self) -> Watch {
        let watch = &self.view.header.watch;
        Watch {
            seat: get(&watch.seat) as u32,
            pid: get(&watch.pid) as u32,
            signal: get(&watch.signal) as u32,
            value: get(&watch.value),
        }
    }

    /// Tells whoever asked, if there is a message and there was none. By whoever has the lock, before it gives it back.
    pub(super) fn judge(&self, call: &Call<'_>) {
        let watch = &self.view.header.watch;
        if get(&watch.seat) == 0 {
            return;
        }
        let there = self.content().messages() > 0;
        // ord(own) Relaxed: only the holder of the lock stores it.
        match watch.filled.load(Relaxed) != 0 {
            false if there => self.tell(call),
            filled if filled != there => self.fill(there),
            _ => {}
        }
    }

    fn fill(&self, there: bool) {
        // ord(own) Relaxed: the lock orders the holders.
        self.view.header.watch.filled.store(there.into(), Relaxed);
    }

    fn tell(&self, call: &Call<'_>) {
        let watch = self.watcher();
        if watch.seat != 0 && (watch.seat == call.who.me || (call.who.lives)(watch.seat)) {
            // Before it is crossed out: a death in between tells twice, and not never.
            (call.tell)(&watch, get(&self.view.header.facts.sender) as u32);
        }
        self.cross_out(watch.seat, true);
    }

    /// Ends the request of `seat`, fulfilled or not.
    fn cross_out(&self, seat: u32, fulfilled: bool) {
        if seat != 0 {
            let watch = &self.view.header.watch;
            let turn = get(&watch.turn) as u32 & TURNS;
            // ord(own) Relaxed: only the holder of the lock stores it.
            let last = Told(watch.told.load(Relaxed));
            // ord(own) Relaxed: who is told takes the lock to see what came.
            watch.told.store(last.and(turn, fulfilled).0, Relaxed);
            // Last: a death in between leaves a request that ends once more.
            set(&watch.seat, 0);
            sync::futex_wake(&watch.told, usize::MAX);
        }
    }

    /// Asks to be told; the number of the request, `None` if somebody else has asked.
    ///
    /// # Errors
    /// As [`Queue::look`].
    pub fn watch(&self, wanted: Watch, call: &Call<'_>) -> Result<Option<u32>, Stop> {
        let watch = &self.view.header.watch;
        self.look(call, || {
            let other = self.watcher();
            if other.seat != 0 && (other.seat == call.who.me || (call.who.lives)(other.seat)) {
                return Ok(None);
            }
            self.cross_out(other.seat, false);
            self.fill(self.content().messages() > 0);
            let turn = get(&watch.turn).wrapping_add(1) & u64::from(TURNS);
            for (word, value) in [
                (&watch.turn, turn),
                (&watch.pid, wanted.pid.into()),
                (&watch.signal, wanted.signal.into()),
                (&watch.value, wanted.value),
                (&watch.seat, wanted.seat.into()),
            ] {
                set(word, value);
            }
            Ok(Some(turn as u32))
        })
    }

    /// Takes back the request of this process, if there is one.
    ///
    /// # Errors
    /// As [`Queue::look`].
    pub fn unwatch(&self, call: &Call<'_>) -> Result<(), Stop> {
        self.look(call, || {
            let watch = self.watcher();
            if watch.pid == call.pid {
                self.cross_out(watch.seat, false);
            }
            Ok(())
        })
    }

    /// Whether this process may have asked to be told: a look without the lock.
    #[must_use]
    pub fn may_watch(&self, pid: u32) -> bool {
        let watch = self.watcher();
        watch.seat != 0 && watch.pid == pid
    }

    /// Whether the request with this number was fulfilled, if it has ended. If not, sleeps for a slice, and then puts in
    /// order what the dead left, so that it may end.
    ///
    /// # Errors
    /// The queue is damaged.
    pub fn look_out(&self, turn: u32, call: &Call<'_>) -> Result<Option<bool>, Stop> {
        let told = &self.view.header.watch.told;
        // ord(own) Relaxed: as in `cross_out`.
        let now = told.load(Relaxed);
        let ended = Told(now).of(turn);
        if ended.is_none() {
            sync::futex_wait(told, now, SLICE);
            self.look_after_the_dead(call)?;
        }
        Ok(ended)
    }

    /// Puts in order what was left by one who died with the lock in hand, or with what it was given, and tells if that is news.
    ///
    /// # Errors
    /// The queue is damaged.
    pub fn look_after_the_dead(&self, call: &Call<'_>) -> Result<(), Stop> {
        if let Some(held) = self.lock.inherit(&call.who) {
            return self.with(held, call, |_| Ok(()));
        }
        // A look without the lock: what it misses is found at the next one.
        if get(&self.view.header.lines.served) == 0 {
            return Ok(());
        }
        let server = Server { lives: call.who.lives, now: call.now };
        let settled = self.locked(call, || Deadline::after(SLICE), |_| Ok(line::settle(&self.view, server)?));
        match settled {
            Err(Stop::TimedOut | Stop::Interrupted) => Ok(()),
            settled => settled,
        }
    }
}

/// Requests are counted modulo 2^16.
const TURNS: u32 = 0xffff;

/// How the last sixteen requests ended: `number of the last:16 | fulfilled, the last one lowest:16`.
#[derive(Clone, Copy)]
struct Told(u32);

impl Told {
    /// One more has ended, or the same once more.
    fn and(self, turn: u32, fulfilled: bool) -> Told {
        let since = turn.wrapping_sub(self.0 >> 16) & TURNS;
        let before = (self.0 & TURNS).checked_shl(since).unwrap_or(0) & TURNS;
        Told(turn << 16 | before | u32::from(fulfilled))
    }

    /// How this one ended, if it has. One that ended long ago counts as fulfilled.
    fn of(self, turn: u32) -> Option<bool> {
        match (self.0 >> 16).wrapping_sub(turn) & TURNS {
            since if since > TURNS / 2 => None,
            since if since > 15 => Some(true),
            since => Some(self.0 >> since & 1 != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Told;

    #[test]
    fn a_request_learns_how_it_ended_also_when_others_have_ended_since() {
        let mut told = Told(0);
        assert_eq!(told.of(1), None);
        for turn in 1..=40 {
            told = told.and(turn, turn % 3 == 0);
            assert_eq!(told.of(turn), Some(turn % 3 == 0));
            assert_eq!(told.of(turn + 1), None);
        }
        assert!((25..=40).all(|turn| told.of(turn) == Some(turn % 3 == 0)));
        assert_eq!(told.of(24), Some(true), "too long ago to tell");
        assert_eq!(Told(0xffff_0000).and(0, true).of(0xffff), Some(false), "around the end of the count");
        assert_eq!(told.and(40, false).of(40), Some(false), "the same once more");
    }
}
