//! How long it takes from a kill until the ring has its full capacity again: once with a peer at work, and once with all
//! peers asleep. Each sample is a ring and a victim of its own, killed by SIGKILL with something in its hands or at full
//! speed.
//!
//! *Full capacity*: after a drain as many messages fit as at the beginning, and on an SPSC ring a successor has the
//! victim's role. With peers at work these try until it is so; asleep, nobody does anything before the sleeper's own
//! look, which is watched from outside without touching the ring.
#![allow(clippy::disallowed_types, reason = "an observer's own words")]

use crate::child::{Child, fork};
use crate::ends::Kind;
use crate::log::now;
use crate::payload::mix;
use crate::summary::{Summary, Times};
use crate::usage::Usage;
use crate::words::Words;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use serde::{Deserialize, Serialize};
use slipring::inspect::Contents;
use slipring::mpmc::{Receiver, Sender};
use slipring::spsc::{Consumer, Producer};
use slipring::{RecvError, Ring, SendError};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// What the others do when the victim is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peers {
    /// One of them sends and receives.
    Active,
    /// All of them sleep in a blocking verb.
    Asleep,
}

impl Peers {
    /// 99 of 100 recoveries are to take no longer.
    #[must_use]
    pub fn goal(self) -> Duration {
        match self {
            Peers::Active => Duration::from_millis(10),
            Peers::Asleep => Duration::from_millis(100),
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recovery {
    /// The ring.
    pub kind: Kind,
    /// What the others did.
    pub peers: Peers,
    /// From before the kill to the full capacity.
    pub all: Summary,
    /// The same, less the time for which those that brought it back were without a core; with peers at work also the
    /// victim, who must have one to die.
    pub net: Summary,
    /// From before the kill to the victim's end: the part that is the kernel's.
    pub dying: Summary,
    /// What went wrong: a ring that did not recover.
    pub failures: Vec<String>,
}

/// Slots of the MPMC ring; the SPSC ring takes 63 messages.
const SLOTS: usize = 64;
/// Who recovers later does not recover.
const PATIENCE: u64 = 30_000_000_000;
const MESSAGE: [u8; 48] = [7; 48];

/// What the victim has in its hands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hands {
    Grant,
    Frame,
    /// Sends as fast as it can.
    Sending,
    /// Receives as fast as it can.
    Receiving,
}

impl Hands {
    fn sends(self) -> bool {
        matches!(self, Hands::Grant | Hands::Sending)
    }
}

enum Tx {
    Spsc(Box<Producer>),
    Mpmc(Box<Sender>),
}

enum Rx {
    Spsc(Box<Consumer>),
    Mpmc(Box<Receiver>),
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Tx {
    fn attach(kind: Kind, ring: &Ring) -> Result<Tx, String> {
        Ok(match kind {
            Kind::Spsc => Tx::Spsc(Box::new(ring.producer().map_err(text)?)),
            Kind::Mpmc => Tx::Mpmc(Box::new(ring.sender().map_err(text)?)),
        })
    }

    fn try_send(&mut self) -> Result<(), SendError> {
        match self {
            Tx::Spsc(tx) => tx.try_send(&MESSAGE),
            Tx::Mpmc(tx) => tx.try_send(&MESSAGE),
        }
    }

    fn send(&mut self) -> Result<(), SendError> {
        match self {
            Tx::Spsc(tx) => tx.send(&MESSAGE),
            Tx::Mpmc(tx) => tx.send(&MESSAGE),
        }
    }

    /// Until there is no room: how many.
    fn fill(&mut self) -> Result<usize, String> {
        for sent in 0.. {
            match self.try_send() {
                Ok(()) => {}
                Err(SendError::Full) => return Ok(sent),
                Err(error) => return Err(format!("filling: {error}")),
            }
        }
        Ok(0)
    }

    /// Has a grant in its hands while `hold` runs.
    fn with_a_grant(&mut self, hold: impl FnOnce()) {
        match self {
            Tx::Spsc(tx) => {
                let _grant = tx.try_reserve(MESSAGE.len()).expect("room");
                hold();
            }
            Tx::Mpmc(tx) => {
                let _grant = tx.try_reserve(MESSAGE.len()).expect("room");
                hold();
            }
        }
    }
}

impl Rx {
    fn attach(kind: Kind, ring: &Ring) -> Result<Rx, String> {
        Ok(match kind {
            Kind::Spsc => Rx::Spsc(Box::new(ring.consumer().map_err(text)?)),
            Kind::Mpmc => Rx::Mpmc(Box::new(ring.receiver().map_err(text)?)),
        })
    }

    fn try_recv(&mut self) -> Result<usize, RecvError> {
        let mut buffer = [0; MESSAGE.len()];
        match self {
            Rx::Spsc(rx) => rx.try_recv(&mut buffer),
            Rx::Mpmc(rx) => rx.try_recv(&mut buffer),
        }
    }

    fn recv(&mut self) -> Result<usize, RecvError> {
        let mut buffer = [0; MESSAGE.len()];
        match self {
            Rx::Spsc(rx) => rx.recv(&mut buffer),
            Rx::Mpmc(rx) => rx.recv(&mut buffer),
        }
    }

    fn drain(&mut self) -> Result<(), String> {
        loop {
            match self.try_recv() {
                Ok(_) => {}
                Err(RecvError::Empty | RecvError::PeerDied { .. } | RecvError::Closed) => return Ok(()),
                Err(error) => return Err(format!("draining: {error}")),
            }
        }
    }

    /// Has a message in its hands while `hold` runs.
    fn with_a_frame(&mut self, hold: impl FnOnce()) {
        match self {
            Rx::Spsc(rx) => {
                let _frame = rx.try_frame().expect("a message");
                hold();
            }
            Rx::Mpmc(rx) => {
                let _frame = rx.try_frame().expect("a message");
                hold();
            }
        }
    }
}

/// The victim's life: attached, with something in its hands or at work, until it is killed.
fn suffer(kind: Kind, ring: &Ring, hands: Hands, ready: &Words) {
    let say = || ready[0].store(1, SeqCst);
    let hold = || {
        say();
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    };
    if hands.sends() {
        let mut tx = Tx::attach(kind, ring).expect("a sender");
        if hands == Hands::Grant {
            tx.with_a_grant(hold);
        }
        loop {
            say();
            let _ = tx.try_send();
        }
    }
    let mut rx = Rx::attach(kind, ring).expect("a receiver");
    if hands == Hands::Frame {
        rx.with_a_frame(hold);
    }
    loop {
        say();
        let _ = rx.try_recv();
    }
}

fn until(what: &str, mut done: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let end = now() + PATIENCE;
    while !done()? {
        if now() > end {
            return Err(format!("{what}: not within {:?}", Duration::from_nanos(PATIENCE)));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// A death: when the signal was sent, when it was known to have ended, and how long meanwhile it had had no core to end on.
struct Death {
    begin: u64,
    dead: u64,
    delay: u64,
}

fn kill(victim: Child) -> Result<Death, String> {
    let usage = Usage::of(victim.pid().as_raw()).map_err(text)?;
    let before = usage.delay();
    let (begin, mut dead, mut after) = (now(), 0, 0);
    let end = victim.kill_and_look(|| (dead, after) = (now(), usage.delay()));
    match end {
        WaitStatus::Signaled(_, Signal::SIGKILL, _) => {
            Ok(Death { begin, dead, delay: after.saturating_sub(before) })
        }
        other => Err(format!("the victim was to be killed, and: {other:?}")),
    }
}

/// One sample, in nanoseconds: from the kill to full capacity, without want of a core, and to the victim's end.
struct Sample {
    all: u64,
    net: u64,
    dying: u64,
}

struct Stage {
    kind: Kind,
    ring: Ring,
    capacity: usize,
}

impl Stage {
    fn new(kind: Kind) -> Result<Stage, String> {
        let options = kind.options(SLOTS);
        let options = if kind == Kind::Mpmc { options.participants(8) } else { options };
        let ring = Ring::anonymous(&options).map_err(text)?;
        let (mut tx, mut rx) = (Tx::attach(kind, &ring)?, Rx::attach(kind, &ring)?);
        let capacity = tx.fill()?;
        rx.drain()?;
        Ok(Stage { kind, ring, capacity })
    }

    fn victim(&self, hands: Hands, ready: &Words) -> Result<Child, String> {
        let mut victim = fork(|| suffer(self.kind, &self.ring, hands, ready));
        until("the victim is ready", || match victim.ended(Duration::ZERO) {
            Some(end) => Err(format!("the victim failed: {end:?}")),
            None => Ok(ready[0].load(SeqCst) == 1),
        })?;
        Ok(victim)
    }

    /// Until the drained ring takes all its messages.
    fn recover(&self, tx: &mut Tx, rx: &mut Rx) -> Result<(), String> {
        until("full capacity", || {
            rx.drain()?;
            match tx.fill()? {
                fit if fit > self.capacity => Err(format!("{fit} of {} messages fit", self.capacity)),
                fit => Ok(fit == self.capacity),
            }
        })
    }

    fn active(&self, hands: Hands, wait: u64) -> Result<Sample, String> {
        let (kind, ring) = (self.kind, &self.ring);
        let ready = Words::new(1);
        let usage = Usage::own().map_err(text)?;
        // On an SPSC ring the victim has one of the roles.
        let mine = |yes: bool| kind == Kind::Mpmc || yes;
        if kind == Kind::Spsc && !hands.sends() {
            Tx::attach(kind, ring)?.fill()?;
        }
        let mut tx = mine(!hands.sends()).then(|| Tx::attach(kind, ring)).transpose()?;
        let mut rx = mine(hands.sends()).then(|| Rx::attach(kind, ring)).transpose()?;
        if let (Some(tx), false) = (&mut tx, hands.sends()) {
            tx.fill()?;
        }
        let victim = self.victim(hands, &ready)?;
        // Where in its verb it is by then, nobody knows.
        let end = now() + wait;
        while now() < end {
            match (&mut tx, &mut rx) {
                (_, Some(rx)) if hands.sends() => drop(rx.try_recv()),
                (Some(tx), _) if !hands.sends() => drop(tx.try_send()),
                _ => {}
            }
        }
        let before = usage.delay();
        let Death { begin, dead, delay: dying } = kill(victim)?;
        let mut tx = tx.map_or_else(|| Tx::attach(kind, ring), Ok)?;
        let mut rx = rx.map_or_else(|| Rx::attach(kind, ring), Ok)?;
        self.recover(&mut tx, &mut rx)?;
        let all = now() - begin;
        Ok(Sample { all, net: all.saturating_sub(dying + usage.delay() - before), dying: dead - begin })
    }

    /// With the other side asleep: a receiver at the empty ring, or a sender at the full one.
    fn asleep(&self, hands: Hands, wait: u64) -> Result<Sample, String> {
        let (kind, ring) = (self.kind, &self.ring);
        let (ready, woken) = (Words::new(1), Words::new(1));
        let usage = Usage::own().map_err(text)?;
        if !hands.sends() {
            Tx::attach(kind, ring)?.fill()?;
        }
        let victim = self.victim(hands, &ready)?;
        let mut sleeper = fork(|| {
            if hands.sends() {
                let mut rx = Rx::attach(kind, ring).expect("a receiver");
                let _ = rx.recv();
            } else {
                let mut tx = Tx::attach(kind, ring).expect("a sender");
                let _ = tx.send();
            }
            woken[0].store(1, SeqCst);
        });
        until("the peer sleeps", || Ok(sleeper.is_asleep()))?;
        // Somewhere in its slice.
        std::thread::sleep(Duration::from_nanos(wait));
        let theirs = Usage::of(sleeper.pid().as_raw()).map_err(text)?;
        let Death { begin, dead, .. } = kill(victim)?;
        // Asleep it looks when its time has come, whether or not the victim and who watches had a core meanwhile: only what
        // it waited itself is taken off.
        let before = theirs.delay();
        let mut lost = 0;
        until("the sleeper's look", || {
            // Of one that has ended the last figure counts.
            lost = lost.max(theirs.delay().saturating_sub(before));
            std::thread::sleep(Duration::from_micros(50));
            Ok(match kind {
                Kind::Spsc => woken[0].load(SeqCst) == 1,
                Kind::Mpmc => match ring.inspect().contents {
                    Contents::Slots(slots) => slots.held == 0,
                    _ => return Err("a ring that cannot be inspected".into()),
                },
            })
        })?;
        let seen = now();
        // A receiver sleeps on: a message ends that.
        if kind == Kind::Mpmc && hands.sends() {
            Tx::attach(kind, ring)?.try_send().map_err(|e| format!("to the sleeper: {e}"))?;
        }
        match sleeper.ended(Duration::from_nanos(PATIENCE)) {
            Some(WaitStatus::Exited(_, 0)) => {}
            other => return Err(format!("the sleeper: {other:?}")),
        }
        let (again, before) = (now(), usage.delay());
        self.recover(&mut Tx::attach(kind, ring)?, &mut Rx::attach(kind, ring)?)?;
        // What came after the look is what a peer at work needs, without the sleeper's leaving between.
        let all = seen - begin + (now() - again);
        let lost = lost + usage.delay() - before;
        Ok(Sample { all, net: all.saturating_sub(lost), dying: dead - begin })
    }
}

/// Takes `samples` samples.
///
/// # Errors
/// If the process cannot see its own delays. A ring that does not recover is in the result.
pub fn measure(kind: Kind, peers: Peers, samples: u64, seed: u64) -> Result<Recovery, String> {
    Usage::own().map_err(|e| format!("/proc/thread-self/schedstat: {e}"))?;
    let (mut all, mut net, mut dying) = (Times::default(), Times::default(), Times::default());
    let mut failures = Vec::new();
    let mut dice = mix(seed);
    for n in 0..samples {
        dice = mix(dice);
        let began = now();
        let one = match peers {
            Peers::Active => {
                let hands = [Hands::Grant, Hands::Frame, Hands::Sending, Hands::Receiving][n as usize % 4];
                Stage::new(kind).and_then(|stage| stage.active(hands, dice % 300_000))
            }
            Peers::Asleep => {
                let hands = [Hands::Grant, Hands::Frame][n as usize % 2];
                Stage::new(kind).and_then(|stage| stage.asleep(hands, dice % 40_000_000))
            }
        };
        match one {
            Ok(sample) => {
                all.add(sample.all);
                net.add(sample.net.max(1));
                dying.add(sample.dying);
            }
            Err(what) => failures.push(format!("sample {n}: {what}")),
        }
        let hung = !failures.is_empty() && now() - began > PATIENCE;
        if failures.len() == 5 || hung {
            break;
        }
    }
    let (all, net, dying) = (all.summary(), net.summary(), dying.summary());
    Ok(Recovery { kind, peers, all, net, dying, failures })
}

impl Recovery {
    /// Whether every ring recovered, and 99 of 100 in the time that is the goal, want of a core taken off.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.failures.is_empty() && self.net.count > 0 && self.net.p99 <= self.peers.goal()
    }

    /// A row for the table in docs/failure-model.md.
    #[must_use]
    pub fn row(&self) -> String {
        let Recovery { kind, peers, all, net, dying, .. } = self;
        format!(
            "| {kind:?}, peers {peers:?} | {} | {:.1?} | {:.1?} | {:.1?} | {:.1?} | {:.1?} | {:.1?} | {:.1?} |",
            all.count, all.p50, all.p99, all.max, net.p50, net.p99, net.max, dying.p99
        )
    }

    /// What stands above the rows.
    pub const HEAD: &str = "| from a kill to full capacity | samples | p50 | p99 | max | p50 net | p99 net | max net | \
        until dead, p99 |\n|---|---|---|---|---|---|---|---|---|";
}
