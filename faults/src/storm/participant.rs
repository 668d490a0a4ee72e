//! What participants of a storm do, and what they share with who watches them: their logs, and a few words.
#![allow(clippy::disallowed_types, reason = "an observer's own words")]

use super::{Listener, Log, Plan, Talker, Words};
use crate::ends::Doing;
use crate::log::now;
use crate::schedule::Gauge;
use slipring::{Error, RecvError, Ring, SendError, WaitStrategy};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Phases: send; receive what is left; leave.
pub const SENDING: u64 = 0;
/// The senders have left.
pub const DRAINING: u64 = 2;

/// Words of each seat, in a line of its own.
const LINE: usize = 8;
const ATTACHED: usize = 0;
const DOING: usize = 1;
const STOPS: usize = 2;
const PID: usize = 3;

/// What the storm and its participants share.
pub struct Floor {
    plan: Plan,
    name: String,
    logs: Vec<Log>,
    words: Arc<Words>,
}

impl Floor {
    pub fn new(plan: Plan, name: String, logs: Vec<Log>) -> Floor {
        // A line for each, so that nobody's word slows another.
        let words = Arc::new(Words::new((logs.len() + 1) * LINE));
        Floor { plan, name, logs, words }
    }

    pub fn log(&self, seat: usize) -> &Log {
        &self.logs[seat]
    }

    fn word(&self, seat: usize, which: usize) -> &AtomicU64 {
        &self.words[(seat + 1) * LINE + which]
    }

    /// When who has this seat attached; 0 before.
    pub fn attached(&self, seat: usize) -> &AtomicU64 {
        self.word(seat, ATTACHED)
    }

    /// What who has this seat is in the middle of.
    pub fn doing(&self, seat: usize) -> Option<Doing> {
        Doing::ALL.get(self.word(seat, DOING).load(SeqCst) as usize).copied()
    }

    /// Counts stops and continuations: odd from before a stop to before who was stopped goes on.
    pub fn stops(&self, seat: usize) -> &AtomicU64 {
        self.word(seat, STOPS)
    }

    /// Who has this seat; 0 while nobody has.
    pub fn pid(&self, seat: usize) -> i32 {
        self.word(seat, PID).load(SeqCst) as i32
    }

    /// For the next on this seat.
    pub fn clear(&self, seat: usize) {
        self.logs[seat].clear();
        (0..LINE).for_each(|which| self.word(seat, which).store(0, SeqCst));
    }

    pub fn phase(&self) -> &AtomicU64 {
        &self.words[0]
    }

    /// A participant's life.
    pub fn work(&self, seat: usize, who: u32) {
        self.word(seat, PID).store(u64::from(std::process::id()), SeqCst);
        match (seat < self.plan.senders, self.plan.waiting.polls(seat)) {
            (true, false) => self.talk(seat, who),
            (true, true) => self.talk_polling(seat, who),
            (false, polls) => self.listen(seat, polls),
        }
    }

    /// The kernel frees the lease of one that was killed before its end is reported, so a place is there at once; the
    /// patience is for what others are just doing with the table.
    fn attach<T>(&self, seat: usize, attach: impl Fn(&Ring) -> slipring::Result<T>) -> T {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let end = Ring::open(&self.name).and_then(|ring| attach(&ring));
            match end {
                Ok(end) => {
                    self.attached(seat).store(now(), SeqCst);
                    return end;
                }
                Err(Error::Busy { .. } | Error::TooManyParticipants { .. }) if Instant::now() < patience => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(error) => panic!("attaching: {error}"),
            }
        }
    }

    fn talker(&self, seat: usize, who: u32) -> Talker {
        let tx = self.attach(seat, |ring| Talker::attach(self.plan.kind, ring, who, self.log(seat).clone()));
        tx.telling(self.words.clone(), (seat + 1) * LINE + DOING)
    }

    fn gauge(&self, seat: usize) -> Gauge {
        Gauge::new(self.log(seat).clone(), (self.words.clone(), (seat + 1) * LINE + STOPS))
    }

    fn talk(&self, seat: usize, who: u32) {
        let mut tx = self.talker(seat, who);
        while self.phase().load(SeqCst) == SENDING {
            match tx.send(self.plan.put, Some(Duration::from_millis(50))) {
                Ok(_) | Err(SendError::TimedOut | SendError::Full) => {}
                Err(error) => await_others(&format!("sending: {error}"), is_lonely(&error)),
            }
        }
    }

    /// The `try` verb again and again: every answer is an operation done, also the one that there is no room.
    fn talk_polling(&self, seat: usize, who: u32) {
        // A `try` verb that waits all the same is to be seen in its steps: asleep it would take none.
        let mut tx = self.talker(seat, who).waiting(WaitStrategy::Spin);
        let mut gauge = self.gauge(seat);
        let phase = || self.phase().load(SeqCst);
        while phase() == SENDING {
            let sent = tx.send_polling(self.plan.put, |full| {
                gauge.answered();
                if full {
                    std::thread::yield_now();
                }
                phase() == SENDING
            });
            match sent {
                Ok(_) | Err(SendError::Full) => {}
                Err(error) => {
                    await_others(&format!("sending: {error}"), is_lonely(&error));
                    gauge.restart();
                }
            }
        }
    }

    fn listen(&self, seat: usize, polls: bool) {
        let Plan { kind, take, .. } = self.plan;
        let rx = self.attach(seat, |ring| Listener::attach(kind, ring, self.log(seat).clone()));
        let mut rx = rx.telling(self.words.clone(), (seat + 1) * LINE + DOING);
        if polls {
            rx = rx.waiting(WaitStrategy::Spin);
        }
        let mut gauge = polls.then(|| self.gauge(seat));
        loop {
            let draining = self.phase().load(SeqCst) == DRAINING;
            // While draining, longer than a slice: what the dead had in their hands comes at the end of one.
            let patience = match draining {
                true => Some(Duration::from_millis(250)),
                false => (!polls).then_some(Duration::from_millis(50)),
            };
            let taken = rx.take(take, patience);
            if let Some(gauge) = &mut gauge {
                if draining { gauge.restart() } else { gauge.answered() }
            }
            match taken {
                Ok(_) => {}
                Err(
                    RecvError::TimedOut | RecvError::Empty | RecvError::PeerDied { .. } | RecvError::Closed,
                ) if draining => return,
                Err(RecvError::TimedOut | RecvError::Empty) if polls => std::thread::yield_now(),
                Err(RecvError::TimedOut | RecvError::Empty) => {}
                Err(error) => {
                    let lonely = matches!(error, RecvError::PeerDied { .. } | RecvError::Closed);
                    await_others(&format!("receiving: {error}"), lonely);
                    if let Some(gauge) = &mut gauge {
                        gauge.restart();
                    }
                }
            }
        }
    }
}

fn is_lonely(error: &SendError) -> bool {
    matches!(error, SendError::PeerDied { .. } | SendError::Closed)
}

/// All of the other side are dead or gone: others will come.
fn await_others(what: &str, lonely: bool) {
    assert!(lonely, "{what}");
    std::thread::sleep(Duration::from_micros(100));
}
