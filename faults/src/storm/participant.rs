//! What participants of a storm do, and what they share with who watches them: their logs, and a few words.
#![allow(clippy::disallowed_types, reason = "an observer's own words")]

use super::{Listener, Log, Plan, Talker, Words};
use slipring::{Error, RecvError, Ring, SendError};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Phases: send; receive what is left; leave.
pub const SENDING: u64 = 0;
/// The senders have left.
pub const DRAINING: u64 = 2;

/// What the storm and its participants share.
pub struct Floor {
    plan: Plan,
    name: String,
    logs: Vec<Log>,
    words: Words,
}

impl Floor {
    pub fn new(plan: Plan, name: String, logs: Vec<Log>) -> Floor {
        // A line for each, so that nobody's word slows another.
        let words = Words::new((logs.len() + 1) * 8);
        Floor { plan, name, logs, words }
    }

    pub fn log(&self, seat: usize) -> &Log {
        &self.logs[seat]
    }

    /// Not 0 once who has this seat has attached.
    pub fn attached(&self, seat: usize) -> &AtomicU64 {
        &self.words[(seat + 1) * 8]
    }

    pub fn phase(&self) -> &AtomicU64 {
        &self.words[0]
    }

    /// A participant's life.
    pub fn work(&self, seat: usize, who: u32) {
        if seat < self.plan.senders { self.talk(seat, who) } else { self.listen(seat) }
    }

    /// The kernel frees the lease of one that was killed before its end is reported, so a place is there at once; the
    /// patience is for what others are just doing with the table.
    fn attach<T>(&self, attach: impl Fn(&Ring) -> slipring::Result<T>) -> T {
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            let end = Ring::open(&self.name).and_then(|ring| attach(&ring));
            match end {
                Ok(end) => return end,
                Err(Error::Busy { .. } | Error::TooManyParticipants { .. }) if Instant::now() < patience => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(error) => panic!("attaching: {error}"),
            }
        }
    }

    fn talk(&self, seat: usize, who: u32) {
        let Plan { kind, put, .. } = self.plan;
        let mut tx = self.attach(|ring| Talker::attach(kind, ring, who, self.log(seat).clone()));
        self.attached(seat).store(1, SeqCst);
        while self.phase().load(SeqCst) == SENDING {
            match tx.send(put, Some(Duration::from_millis(50))) {
                Ok(_) | Err(SendError::TimedOut | SendError::Full) => {}
                // Full, and those who could make room are dead or gone: others will come.
                Err(SendError::PeerDied { .. } | SendError::Closed) => {
                    std::thread::sleep(Duration::from_micros(100));
                }
                Err(error) => panic!("sending: {error}"),
            }
        }
    }

    fn listen(&self, seat: usize) {
        let Plan { kind, take, .. } = self.plan;
        let mut rx = self.attach(|ring| Listener::attach(kind, ring, self.log(seat).clone()));
        self.attached(seat).store(1, SeqCst);
        loop {
            let draining = self.phase().load(SeqCst) == DRAINING;
            // While draining, longer than a slice: what the dead had in their hands comes at the end of one.
            let patience = Duration::from_millis(if draining { 250 } else { 50 });
            match rx.take(take, Some(patience)) {
                Ok(_) => {}
                Err(
                    RecvError::TimedOut | RecvError::Empty | RecvError::PeerDied { .. } | RecvError::Closed,
                ) if draining => return,
                Err(RecvError::TimedOut | RecvError::Empty) => {}
                Err(RecvError::PeerDied { .. } | RecvError::Closed) => {
                    std::thread::sleep(Duration::from_micros(100));
                }
                Err(error) => panic!("receiving: {error}"),
            }
        }
    }
}
