//! The verbs of a message queue with selection: the lock, then the store and the lines, then wake-ups. POSIX's and
//! System V's queues differ in keys, limits and errors, which are their adapters' business.
//!
//! Nobody sleeps with the lock in hand. Who must wait stands in line and sleeps on its own seat, for a slice at a time,
//! and looks between two slices whether somebody died with what is due to others.
#![forbid(unsafe_code)]

mod request;

use crate::channel::line::{self, GIVEN, GRANTED, IDLE, REMOVED, Server, TOO_LONG, Want};
use crate::channel::lock::{Held, Lock, NotTaken, Who};
use crate::error::Corrupt;
use crate::event::SLICE;
use crate::ring::store::{self, Select, To, get, set};
use crate::sync::{self, Deadline};
use crate::view::QueueView;

pub use request::Watch;

/// A queue as one handle sees it.
pub struct Queue {
    view: QueueView,
    lock: Lock,
}

/// Why a verb did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It would have to wait, and is not to.
    WouldBlock,
    /// The deadline has passed.
    TimedOut,
    /// A signal came that ends a wait.
    Interrupted,
    /// The queue was removed before.
    Gone,
    /// The queue was removed while it waited.
    Removed,
    /// The message is longer than the caller takes; it stays.
    TooLong,
    /// Shared memory holds what no correct participant writes.
    Corrupt(Corrupt),
}

impl From<Corrupt> for Stop {
    fn from(fault: Corrupt) -> Self {
        Stop::Corrupt(fault)
    }
}

/// Who calls, and how.
pub struct Call<'a> {
    /// Who takes the lock; the number is the seat's, too.
    pub who: Who<'a>,
    /// The process.
    pub pid: u32,
    /// Seconds since 1970.
    pub now: u64,
    /// Who has a higher one is served before others; asked before a wait.
    pub rank: &'a dyn Fn() -> u64,
    /// Until when to wait, asked before each sleep; `None`: not at all, asked before the first.
    pub patience: &'a dyn Fn() -> Option<Deadline>,
    /// Whether a wait goes on after a handler that was installed with SA_RESTART.
    pub restarts: bool,
    /// Tells whoever asked to be told, in the name of the process that sent last. Called with the lock in hand.
    pub tell: &'a dyn Fn(&Watch, u32),
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes copied.
    pub len: usize,
    /// The key of the message.
    pub key: u64,
}

/// How many messages there are, and how many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Messages queued.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that are about to come in: room is kept for them.
    pub granted: u64,
}

impl Content {
    /// Messages queued, and those that are about to.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.count.saturating_add(self.granted)
    }
}

enum Step<T> {
    Done(T),
    /// Stands in line, with this word in its seat.
    Waits(u32),
    /// Is not to wait; whether somebody was served and has not noticed yet.
    Would(bool),
}

impl Queue {
    /// The queue in this memory.
    #[must_use]
    pub fn new(view: QueueView) -> Self {
        let lock = Lock::new(view.header.project(|header| &header.lock), view.geometry.asymmetric);
        Queue { view, lock }
    }

    /// Puts a new queue in order, which nobody else sees yet.
    ///
    /// # Errors
    /// It is not new.
    pub fn begin(&self) -> Result<(), Corrupt> {
        store::rebuild(&self.view).map(drop)
    }

    /// Gives back what a dead participant held, by whoever has just been given its number.
    ///
    /// # Errors
    /// The queue is damaged, or a signal came.
    pub fn disown(&self, call: &Call<'_>) -> Result<(), Stop> {
        self.lock.disown(call.who.me);
        match line::state(line::word(&self.view, call.who.me as usize)) {
            IDLE => Ok(()),
            _ => {
                self.locked(call, || Deadline::NEVER, |_| Ok(line::vacate(&self.view, call.who.me as usize)?))
            }
        }
    }

    /// Does `work` with the lock in hand, then serves those who wait.
    fn locked<T>(
        &self,
        call: &Call<'_>,
        deadline: impl FnOnce() -> Deadline,
        work: impl FnOnce(&mut Vec<usize>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let held = match self.lock.try_take(call.who.me) {
            Some(held) => held,
            None => self.lock.take(&call.who, deadline()).map_err(|why| match why {
                NotTaken::TimedOut => Stop::TimedOut,
                NotTaken::Interrupted => Stop::Interrupted,
            })?,
        };
        self.with(held, call, work)
    }

    /// As [`Queue::locked`], with the lock in hand already; gives it back.
    fn with<T>(
        &self,
        held: Held,
        call: &Call<'_>,
        work: impl FnOnce(&mut Vec<usize>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let server = Server { lives: call.who.lives, now: call.now };
        let mut woken = Vec::new();
        let serve = |woken: &mut Vec<usize>| {
            line::serve(&self.view, server, woken)?;
            self.judge(call);
            Ok(())
        };
        let whole = match held.after_death {
            // What the dead one did is judged by itself: `work` may be to take the message away.
            true => line::repair(&self.view, server, &mut woken)
                .map_err(Stop::from)
                .and_then(|()| serve(&mut woken)),
            false => Ok(()),
        };
        let done = whole.and_then(|()| work(&mut woken));
        let served = serve(&mut woken);
        let done = served.and(done);
        if matches!(done, Err(Stop::Corrupt(_))) {
            // What is half done must not pass for whole: from now on every verb finds it damaged.
            set(&self.view.header.store.root, u64::MAX);
            set(&self.view.header.store.free, u64::MAX);
            // Also who would find nothing to do there: this line is walked each time.
            set(&self.view.header.lines.senders, u64::MAX);
        }
        self.lock.give_back(held);
        for number in woken {
            sync::futex_wake(&self.view.seats[number].state, 1);
        }
        done
    }

    /// As [`Queue::locked`], for the beginning of a verb: waits for the lock no longer than the caller would for the
    /// queue. Its holder does not sleep: even who is not to wait waits for it, but not for one that is stopped.
    fn enter<T>(
        &self,
        call: &Call<'_>,
        work: impl FnOnce(&mut Vec<usize>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let deadline = || match (call.patience)() {
            Some(_) => Deadline::NEVER,
            None => Deadline::after(SLICE),
        };
        self.locked(call, deadline, work).map_err(|stop| match stop {
            Stop::TimedOut | Stop::Interrupted if (call.patience)().is_none() => Stop::WouldBlock,
            other => other,
        })
    }

    fn gone(&self) -> Result<(), Stop> {
        if get(&self.view.header.limits.removed) == 0 { Ok(()) } else { Err(Stop::Gone) }
    }

    /// Tries, and waits in line for what `want` says if it has to; `finish` then does it with what was served.
    fn verb<T>(
        &self,
        call: &Call<'_>,
        want: Want,
        mut attempt: impl FnMut(&mut Vec<usize>) -> Result<Option<T>, Stop>,
        finish: impl FnOnce(&mut Vec<usize>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let server = Server { lives: call.who.lives, now: call.now };
        let lines = &self.view.header.lines;
        let mut enough = None;
        loop {
            let step = self.enter(call, |woken| {
                self.gone()?;
                if let Some(done) = attempt(woken)? {
                    return Ok(Step::Done(done));
                }
                if get(&lines.served) > 0 {
                    line::settle(&self.view, server)?;
                    line::serve(&self.view, server, woken)?;
                    if let Some(done) = attempt(woken)? {
                        return Ok(Step::Done(done));
                    }
                }
                if (call.patience)().is_none() {
                    return Ok(Step::Would(get(&lines.served) > 0));
                }
                let me = call.who.me as usize;
                Ok(Step::Waits(line::join(&self.view, me, want, (call.rank)(), call.pid)?))
            })?;
            match step {
                Step::Done(done) => return Ok(done),
                Step::Waits(word) => return self.wait(call, word, finish),
                // What is on its way would be there if this were one step, as it is in a kernel.
                Step::Would(true)
                    if enough.get_or_insert_with(|| Deadline::after(SLICE)).slice(SLICE).is_some() =>
                {
                    sync::yield_now();
                }
                Step::Would(_) => return Err(Stop::WouldBlock),
            }
        }
    }

    /// Sleeps until its seat is another's word than this.
    fn wait<T>(
        &self,
        call: &Call<'_>,
        word: u32,
        finish: impl FnOnce(&mut Vec<usize>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let me = call.who.me as usize;
        let state = &self.view.seats[me].state;
        let server = Server { lives: call.who.lives, now: call.now };
        let mut over = None;
        let mut finish = Some(finish);
        loop {
            let slice = (call.patience)().unwrap_or(Deadline::NEVER).slice(SLICE);
            match slice {
                _ if over.is_some() => {}
                None => over = Some(Stop::TimedOut),
                Some(slice) if call.restarts => {
                    if sync::futex_wait_interruptible(state, word, slice) {
                        over = Some(Stop::Interrupted);
                    }
                }
                Some(slice) => {
                    if sync::futex_wait_until_handler(state, word, slice) {
                        over = Some(Stop::Interrupted);
                    }
                }
            }
            let served = line::word(&self.view, me) != word;
            // Whoever only looks after the dead does not wait for one that is stopped with the lock in hand.
            let most = if served || over.is_some() { Deadline::NEVER } else { Deadline::after(SLICE) };
            let looked = self.locked(
                call,
                || most,
                |woken| match line::state(line::word(&self.view, me)) {
                    GIVEN | GRANTED => match finish.take() {
                        Some(finish) => finish(woken).map(Some),
                        None => unreachable!("returns at once"),
                    },
                    ended @ (TOO_LONG | REMOVED) => {
                        line::done(&self.view, me);
                        Err(if ended == REMOVED { Stop::Removed } else { Stop::TooLong })
                    }
                    _ => match over {
                        Some(stop) => {
                            line::vacate(&self.view, me)?;
                            Err(stop)
                        }
                        None => {
                            if get(&self.view.header.lines.served) > 0 {
                                line::settle(&self.view, server)?;
                            }
                            Ok(None)
                        }
                    },
                },
            );
            match looked {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => {}
                // Without the lock nothing is settled: what was served must be taken, and who leaves must say so.
                Err(Stop::Interrupted) if line::word(&self.view, me) == word => {
                    over.get_or_insert(Stop::Interrupted);
                }
                Err(Stop::TimedOut) if line::word(&self.view, me) == word => {}
                Err(Stop::Interrupted | Stop::TimedOut)
                    if line::state(line::word(&self.view, me)) != IDLE => {}
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Puts a message in, for which there is room.
    fn put(&self, call: &Call<'_>, key: u64, message: &[u8]) -> Result<(), Stop> {
        let facts = &self.view.header.facts;
        // First: whoever comes after our death tells in the name of who sent.
        set(&facts.sender, call.pid.into());
        set(&facts.sent, call.now);
        store::insert(&self.view, key, message, To::Queue)?;
        Ok(())
    }

    /// Sends a message, waiting for room.
    ///
    /// # Errors
    /// All but [`Stop::TooLong`].
    pub fn send(&self, key: u64, message: &[u8], call: &Call<'_>) -> Result<(), Stop> {
        let view = &self.view;
        let attempt = |_: &mut Vec<usize>| match line::fits(view, message.len()) {
            true => self.put(call, key, message).map(Some),
            false => Ok(None),
        };
        let finish = |_: &mut Vec<usize>| {
            // The room that was kept, and nobody else in between.
            self.put(call, key, message)?;
            line::done(view, call.who.me as usize);
            Ok(())
        };
        self.verb(call, Want::Room(message.len()), attempt, finish)
    }

    /// Receives the message that is meant, waiting for it. One that is longer than `to` is cut if `truncates`, else it
    /// stays.
    ///
    /// # Errors
    /// All.
    pub fn receive(
        &self,
        select: Select,
        to: &mut [u8],
        truncates: bool,
        call: &Call<'_>,
    ) -> Result<Received, Stop> {
        let view = &self.view;
        let want = Want::Message { select, room: to.len(), truncates };
        let to = std::cell::RefCell::new(to);
        let attempt = |_: &mut Vec<usize>| {
            let Some(cell) = store::find(view, select)? else { return Ok(None) };
            let mut to = to.borrow_mut();
            if store::len(view, cell)? > to.len() && !truncates {
                return Err(Stop::TooLong);
            }
            let key = store::key(view, cell);
            set(&view.header.facts.receiver, call.pid.into());
            set(&view.header.facts.received, call.now);
            Ok(Some(Received { len: store::take(view, cell, &mut to)?, key }))
        };
        let finish = |_: &mut Vec<usize>| {
            let cell = line::given(view, call.who.me as usize)?;
            let key = store::key(view, cell);
            let len = store::take(view, cell, &mut to.borrow_mut())?;
            line::done(view, call.who.me as usize);
            Ok(Received { len, key })
        };
        self.verb(call, want, attempt, finish)
    }

    /// Copies the `index`-th message in the order of arrival; its whole length, and how much was copied.
    ///
    /// # Errors
    /// [`Stop::WouldBlock`] if there is none.
    pub fn copy(&self, index: u64, to: &mut [u8], call: &Call<'_>) -> Result<(usize, Received), Stop> {
        self.look(call, || {
            let cell = store::nth(&self.view, index).ok_or(Stop::WouldBlock)?;
            let (whole, key) = (store::len(&self.view, cell)?, store::key(&self.view, cell));
            Ok((whole, Received { len: store::copy(&self.view, cell, to)?, key }))
        })
    }

    /// Does something short with the lock in hand.
    ///
    /// # Errors
    /// [`Stop::Gone`], and what `work` says.
    pub fn look<T>(&self, call: &Call<'_>, work: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
        let server = Server { lives: call.who.lives, now: call.now };
        self.locked(
            call,
            || Deadline::NEVER,
            |_| {
                self.gone()?;
                if get(&self.view.header.lines.served) > 0 {
                    line::settle(&self.view, server)?;
                }
                work()
            },
        )
    }

    /// As [`Queue::look`], also at a queue that was removed.
    ///
    /// # Errors
    /// A signal came, or it is damaged.
    pub fn alone(&self, call: &Call<'_>, work: impl FnOnce()) -> Result<(), Stop> {
        self.locked(
            call,
            || Deadline::NEVER,
            |_| {
                work();
                Ok(())
            },
        )
    }

    /// What is in it. True only with the lock in hand.
    #[must_use]
    pub fn content(&self) -> Content {
        let (store, lines) = (&self.view.header.store, &self.view.header.lines);
        Content { count: get(&store.count), bytes: get(&store.bytes), granted: get(&lines.granted) }
    }

    /// Ends the queue: whoever waits hears of it, whoever comes finds it gone.
    ///
    /// # Errors
    /// [`Stop::Gone`] if it has ended before.
    pub fn remove(&self, call: &Call<'_>, unlink: impl FnOnce()) -> Result<(), Stop> {
        self.locked(
            call,
            || Deadline::NEVER,
            |woken| {
                self.gone()?;
                set(&self.view.header.limits.removed, 1);
                unlink();
                line::dismiss(&self.view, woken);
                Ok(())
            },
        )
    }
}
