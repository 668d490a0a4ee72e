//! Telling one who asked, once, that messages came to an empty ring, as mq_notify(3) does. How it is told, and that there
//! is one at most, is the host's business.
//!
//! Whoever asks sets WATCHED in the word in which sleepers announce themselves. So who sends pays nothing while nobody
//! has asked, and comes here otherwise, to judge its messages: were they news? They are not if somebody was asleep for
//! them and was woken, or if a message from before `judged` is still in the ring. All before `judged` was there when
//! somebody asked, or came to a ring that was not empty and was judged so.
//!
//! ```text
//!   sender                              who asks
//!   publish up to `end`                 state |= WATCHED
//!   light fence      <-- one of the     heavy fence
//!   load state           two sees -->   judged = end of what is in the ring
//!   WATCHED, nobody woken:
//!     a message before `judged` is in the ring: judged = end
//!     else: state &= !WATCHED, then the bell
//! ```
//!
//! Nothing is lost. A message that the sender did not judge because it saw no WATCHED was there before the asking was over,
//! by the fences. One is judged no news only on the strength of a message that is found in the ring. That may just be taken,
//! by one whose exchange is not visible yet; but before that one is told that the ring is empty, it puts a fence between what
//! it took and another look ([`Event::look_again`](crate::event::Event::look_again)). So either it finds the new
//! message, or the sender finds the old one taken. And where messages are committed in another order than that of their
//! places, a place below `judged` that is committed late is in front of a message that is still there, or it would have been
//! passed over: it is no news.
//!
//! Who sends may be killed or stopped between its message and its judgement, or one that was woken for it before it takes
//! it. The next one to send judges for the first, since `judged` has not moved. And who asked looks for itself at the end
//! of each [`SLICE`](crate::event::SLICE): a message behind `judged` that is first in the ring at two such looks is news
//! that nobody tells. If who asked is killed, its bit stays, until one who sends finds that there is news, or another
//! asks.
//!
//! There is one thing less exact than in the kernel: one who was about to tell a predecessor of who asked tells this one.
#![forbid(unsafe_code)]

use crate::layout::{EventLine, is_behind};
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{self, Shared, heavy_fence};
use std::time::Duration;

/// Somebody asked to be told: in the word of `event`.
pub const WATCHED: u32 = 1;
/// More than can sleep.
const EVERYBODY: usize = usize::MAX;

/// The side of who asks.
#[derive(Clone)]
pub struct Watch {
    line: Shared<EventLine>,
    asymmetric: bool,
}

impl Watch {
    /// On this line of the segment.
    #[must_use]
    pub fn new(line: Shared<EventLine>, asymmetric: bool) -> Self {
        Watch { line, asymmetric }
    }

    /// Asks, for process `pid`, which alone may until it has been told or takes it back. `end`: the position behind the
    /// last message that is in the ring.
    pub fn ask(&self, pid: u32, end: impl FnOnce() -> u64) {
        // ord(own) Relaxed: for people.
        self.line.asker.store(pid, Relaxed);
        // ord(event.sleep) Relaxed -> Event::notify_news: ordered by the fence pair; an RMW, so it undoes no announcement.
        self.line.state.fetch_or(WATCHED, Relaxed);
        // fence(watch.ask) heavy <-> notify_news: we have asked before we look what is there.
        heavy_fence(self.asymmetric);
        raise(&self.line, end());
    }

    /// The process that asked last.
    #[must_use]
    pub fn asker(&self) -> u32 {
        // ord(own) Relaxed: for people.
        self.line.asker.load(Relaxed)
    }

    /// Takes the request back.
    pub fn withdraw(&self) {
        tell(&self.line);
    }

    /// Sleeps until it has been told or `over` says so. `first`: the position of the first message in the ring.
    pub fn wait(
        &self,
        slice: Duration,
        mut over: impl FnMut() -> bool,
        mut first: impl FnMut() -> Option<u64>,
    ) {
        let mut seen = None;
        loop {
            // ord(watch.bell) Acquire <- tell: who finds the bell rung finds the request gone.
            let bell = self.line.bell.load(Acquire);
            // ord(watch.told) Acquire <- tell: the message that it was told of is there.
            let asked = self.line.state.load(Acquire) & WATCHED != 0;
            if !asked || over() {
                return;
            }
            sync::futex_wait(&self.line.bell, bell, slice);
            // ord(own) Relaxed: an older one makes a message look like news that is none; not for two slices.
            let judged = self.line.judged.load(Relaxed);
            let news = first().filter(|&at| !is_behind(at, judged));
            if news.is_some() && news == seen {
                tell(&self.line);
            }
            seen = news;
        }
    }
}

/// By who put messages up to `end` there, and found that somebody asked and nobody was asleep for them.
pub fn judge(line: &EventLine, end: u64, holds_before: impl FnOnce(u64) -> bool) {
    // ord(own) Relaxed: ordered by the fence before; a judgement of the same moment may come to the same.
    let judged = line.judged.load(Relaxed);
    // Else somebody who sent something later was faster, and judged for us.
    if is_behind(judged, end) {
        if holds_before(judged) {
            raise(line, end);
        } else {
            tell(line);
        }
    }
}

/// No message before `to` is news. Two at once may leave the earlier position: then somebody is told too early.
fn raise(line: &EventLine, to: u64) {
    // ord(own) Relaxed: only compared.
    if is_behind(line.judged.load(Relaxed), to) {
        // ord(own) Relaxed: says nothing of the messages themselves.
        line.judged.store(to, Relaxed);
    }
}

/// The request is over. First the bit: who rings the bell twice does no harm, who forgets it is found out by a slice.
fn tell(line: &EventLine) {
    // ord(watch.told) Release -> Watch::wait: our message before the news of it.
    let asked = line.state.fetch_and(!WATCHED, Release) & WATCHED != 0;
    if asked {
        // ord(watch.bell) Release -> Watch::wait: the request is gone before the bell.
        line.bell.fetch_add(1, Release);
        sync::futex_wake(&line.bell, EVERYBODY);
    }
}
