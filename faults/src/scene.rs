//! A prepared ring, one verb for a victim to die or to freeze in, and what the survivors must find afterwards.
#![allow(clippy::disallowed_types, reason = "an observer's own counters")]

use crate::audit::{Auditor, Tally};
use crate::child::{Child, fork};
use crate::ends::{Kind, Listener, Put, Take, Talker};
use crate::log::{Log, now};
use crate::schedule::Longest;
use crate::trace::mark;
use crate::words::Words;
use serde::{Deserialize, Serialize};
use slipring::{Error, Peer, Ring, SendError, WaitStrategy};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

/// What the victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Sends.
    Send(Put),
    /// Waits for room in a full ring, in vain, until it sleeps and its time is over.
    WaitToSend,
    /// Sends to a receiver that sleeps, and wakes it.
    Wake,
    /// Sends to an empty ring of which a receiver asked to be told.
    Tell,
    /// Receives.
    Take(Take),
    /// Waits at an empty ring until it sleeps and its time is over.
    WaitToTake,
    /// Opens the ring by its name and becomes a sender.
    AttachSender,
    /// Opens the ring by its name and becomes a receiver.
    AttachReceiver,
    /// A sender leaves.
    DetachSender,
    /// A receiver leaves.
    DetachReceiver,
    /// Finds participants that were killed while they filled, read and peeked at slots, and sweeps them.
    Sweep,
    /// Makes the ring.
    Create,
}

/// A verb, the ring that it is tried on, and what stands in that ring before.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Verb {
    /// For people.
    pub name: &'static str,
    /// The kind of ring.
    pub kind: Kind,
    /// What the victim does.
    pub act: Act,
    /// How many messages went through the ring before, so that a verb comes to the end of a lap.
    pub past: u64,
    /// How many messages are in the ring.
    pub there: u64,
    /// How many messages fit.
    pub capacity: u64,
    /// What a second victim does, if there is one. On an SPSC ring the first sends and the second receives.
    pub second: Option<Act>,
    /// Whether it is thousands of instructions long, most of them in loops or in setting up.
    pub long: bool,
}

/// Slots of the MPMC rings here: so few that every stepped verb meets both ends of a lap.
pub const SLOTS: u64 = 4;
/// Messages of up to 56 bytes that fit into the SPSC rings here.
pub const PLACES: u64 = 63;

const fn verb(name: &'static str, kind: Kind, act: Act, past: u64, there: u64) -> Verb {
    let long = matches!(
        act,
        Act::WaitToSend
            | Act::WaitToTake
            | Act::AttachSender
            | Act::AttachReceiver
            | Act::DetachSender
            | Act::DetachReceiver
            | Act::Create
            | Act::Sweep
    );
    let capacity = if matches!(kind, Kind::Spsc) { PLACES } else { SLOTS };
    Verb { name, kind, act, past, there, capacity, second: None, long }
}

use Kind::{Mpmc, Spsc};

/// All verbs that are stepped through.
pub const VERBS: &[Verb] = &[
    verb("spsc send", Spsc, Act::Send(Put::Copy), 0, 2),
    verb("spsc send, last place of a lap", Spsc, Act::Send(Put::Copy), 63, 2),
    verb("spsc send, full", Spsc, Act::Send(Put::Copy), 5, PLACES),
    verb("spsc reserve, commit", Spsc, Act::Send(Put::Loan), 62, 1),
    verb("spsc batch of 5, across a lap's end", Spsc, Act::Send(Put::Batch(5)), 60, 1),
    verb("spsc wake", Spsc, Act::Wake, 0, 0),
    verb("spsc tell", Spsc, Act::Tell, 1, 0),
    verb("spsc recv", Spsc, Act::Take(Take::Recv), 0, 3),
    verb("spsc recv, last place of a lap", Spsc, Act::Take(Take::Recv), 63, 3),
    verb("spsc recv, empty", Spsc, Act::Take(Take::Recv), 0, 0),
    verb("spsc frame, release", Spsc, Act::Take(Take::Frame), 0, 3),
    verb("spsc batch of 5 received", Spsc, Act::Take(Take::Batch(5)), 61, 6),
    verb("spsc wait to send", Spsc, Act::WaitToSend, 0, PLACES),
    verb("spsc wait to receive", Spsc, Act::WaitToTake, 0, 0),
    verb("spsc open, attach producer", Spsc, Act::AttachSender, 0, 3),
    verb("spsc open, attach consumer", Spsc, Act::AttachReceiver, 0, 3),
    verb("spsc detach producer", Spsc, Act::DetachSender, 0, 2),
    verb("spsc detach consumer", Spsc, Act::DetachReceiver, 0, 2),
    verb("spsc create", Spsc, Act::Create, 0, 0),
    verb("mpmc send", Mpmc, Act::Send(Put::Copy), 1, 1),
    verb("mpmc send, full", Mpmc, Act::Send(Put::Copy), 0, SLOTS),
    verb("mpmc reserve, commit", Mpmc, Act::Send(Put::Loan), 3, 1),
    verb("mpmc batch of 3", Mpmc, Act::Send(Put::Batch(3)), 2, 1),
    verb("mpmc wake", Mpmc, Act::Wake, 0, 0),
    verb("mpmc tell", Mpmc, Act::Tell, 1, 0),
    verb("mpmc recv", Mpmc, Act::Take(Take::Recv), 3, 3),
    verb("mpmc recv, empty", Mpmc, Act::Take(Take::Recv), 1, 0),
    verb("mpmc frame, release", Mpmc, Act::Take(Take::Frame), 0, 2),
    verb("mpmc peek, ack", Mpmc, Act::Take(Take::Peek), 2, 3),
    verb("mpmc batch of 3 received", Mpmc, Act::Take(Take::Batch(3)), 2, SLOTS),
    verb("mpmc wait to send", Mpmc, Act::WaitToSend, 0, SLOTS),
    verb("mpmc wait to receive", Mpmc, Act::WaitToTake, 0, 0),
    verb("mpmc sweep", Mpmc, Act::Sweep, 1, 3),
    verb("mpmc open, attach sender", Mpmc, Act::AttachSender, 0, 2),
    verb("mpmc open, attach receiver", Mpmc, Act::AttachReceiver, 0, 2),
    verb("mpmc detach sender", Mpmc, Act::DetachSender, 0, 2),
    verb("mpmc detach receiver", Mpmc, Act::DetachReceiver, 0, 2),
    verb("mpmc create", Mpmc, Act::Create, 0, 0),
];

/// How long anything that must come at last may take, before it is called a hang: far more than a loaded machine needs.
pub const HANG: Duration = Duration::from_secs(60);
/// How long the waiting verbs wait: some slices of falling asleep.
const SHORT: Duration = Duration::from_millis(2);

const BEFORE: u32 = 1;
const VICTIM: u32 = 2;
const AFTER: u32 = 3;
const BEFORE_RX: u32 = 11;
const VICTIM_RX: u32 = 12;
const AFTER_RX: u32 = 13;
const SLEEPER: u32 = 14;
const SECOND: u32 = 4;
const SECOND_RX: u32 = 15;
const CORPSES: u32 = 20;

impl Act {
    fn sends(self) -> bool {
        matches!(
            self,
            Act::Send(_)
                | Act::WaitToSend
                | Act::Wake
                | Act::Tell
                | Act::AttachSender
                | Act::DetachSender
                | Act::Create
        )
    }

    /// How many messages may be gone with a victim although survivors peek: those that are taken at most once.
    fn takes_along(self) -> u64 {
        match self {
            Act::Take(Take::Peek) => 0,
            Act::Take(how) => how.most(),
            Act::WaitToTake | Act::AttachReceiver => 1,
            _ => 0,
        }
    }
}

impl Verb {
    fn victim_sends(&self) -> bool {
        self.act.sends()
    }

    /// How survivors take messages: where a victim peeked, only who peeks gets them again.
    fn survivors_take(&self) -> Take {
        let acts = || [Some(self.act), self.second].into_iter().flatten();
        let spsc = |act| if let Act::Take(how) = act { Some(how) } else { None };
        match self.kind {
            Mpmc if acts().any(|act| matches!(act, Act::Take(Take::Peek) | Act::Sweep)) => Take::Peek,
            Mpmc => Take::Recv,
            Spsc => acts().find_map(spsc).unwrap_or(Take::Recv),
        }
    }
}

/// The logs, used again for every stage.
pub struct Logs {
    all: Vec<Log>,
    done: Words,
}

impl Default for Logs {
    fn default() -> Self {
        Logs { all: Log::several(CORPSES as usize + 4, 1024), done: Words::new(2) }
    }
}

impl Logs {
    fn of(&self, who: u32) -> Log {
        self.all[who as usize].clone()
    }

    fn is_done(&self, victims: usize) -> bool {
        (0..victims).all(|victim| self.done[victim].load(SeqCst) == 1)
    }
}

/// One ring with its survivors, for one death or one freeze.
pub struct Stage<'a> {
    verb: Verb,
    logs: &'a Logs,
    name: String,
    ring: Option<Ring>,
    tx: Option<Talker>,
    rx: Option<Listener>,
    sleeper: Option<Child>,
    /// Where it is heard that a receiver was told.
    told: Option<mpsc::Receiver<()>>,
    auditor: Auditor,
}

/// What became of the victim's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How many messages the victim sent, or, of those that were there, how many did not come to the survivors.
    pub moved: u64,
    /// From the death to a message sent and received behind it, and the full capacity.
    pub recovery: Duration,
}

/// What others did beside a frozen victim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Messages that they moved.
    pub moved: u64,
    /// The longest of their verbs, without want of a core; nothing below a tenth of a millisecond.
    pub longest: Duration,
    /// The most steps of the protocol in one of them, if they are counted.
    pub most_steps: u64,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl<'a> Stage<'a> {
    /// Prepares a ring for `verb`.
    ///
    /// # Errors
    /// What went wrong before anyone was hurt.
    pub fn new(verb: Verb, logs: &'a Logs) -> Result<Stage<'a>, String> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        logs.all.iter().for_each(Log::clear);
        (0..2).for_each(|victim| logs.done[victim].store(0, SeqCst));
        let name = format!("/slipring-faults-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let mode = verb.survivors_take().mode(verb.kind);
        let auditor = Auditor::new(mode, verb.kind == Spsc);
        let (ring, tx, rx, sleeper, told) = (None, None, None, None, None);
        let mut stage = Stage { verb, logs, name, ring, tx, rx, sleeper, told, auditor };
        if verb.act != Act::Create {
            stage.furnish().map_err(|e| format!("preparing: {e}"))?;
        }
        Ok(stage)
    }

    fn furnish(&mut self) -> Result<(), String> {
        let Verb { kind, act, past, there, .. } = self.verb;
        let options = kind.options(self.verb.capacity as usize);
        let options = if kind == Mpmc { options.participants(12) } else { options };
        let named = matches!(act, Act::AttachSender | Act::AttachReceiver);
        let ring = if named { Ring::create(&self.name, &options) } else { Ring::anonymous(&options) };
        let ring = self.ring.insert(ring.map_err(text)?);
        if act == Act::Wake && kind == Spsc {
            // Nobody may have been the producer yet: a sleeper would hear that it left.
            return self.sleep();
        }
        // An SPSC ring has one of each: the survivors have the role that the victim has not.
        let mut tx = Talker::attach(kind, ring, BEFORE, self.logs.of(BEFORE)).map_err(text)?;
        let followed = kind == Spsc && (!self.verb.victim_sends() || self.verb.second.is_some());
        let reader = if followed { BEFORE_RX } else { AFTER_RX };
        let mut rx = Listener::attach(kind, ring, self.logs.of(reader)).map_err(text)?;
        let how = self.verb.survivors_take();
        for _ in 0..past {
            tx.send(Put::Copy, None).map_err(text)?;
            rx.take(how, None).map_err(text)?;
        }
        for _ in 0..there {
            tx.send(Put::Copy, None).map_err(text)?;
        }
        if act == Act::Sweep {
            self.kill_some()?;
        }
        if act == Act::Tell {
            self.told = Some(rx.ask().map_err(text)?);
        }
        let ours = |mine: bool| kind == Mpmc || mine && self.verb.second.is_none();
        self.tx = ours(!self.verb.victim_sends()).then_some(tx);
        self.rx = ours(self.verb.victim_sends() && act != Act::Wake).then_some(rx);
        if act == Act::Wake {
            // Nobody but the sleeper may take the message.
            self.rx = None;
            self.sleep()?;
        }
        Ok(())
    }

    /// Three that died with a slot each: filling it, reading it, peeking at it.
    fn kill_some(&self) -> Result<(), String> {
        let ring = self.ring.as_ref().ok_or("no ring")?;
        let ready = Words::new(3);
        let dead: Vec<_> = (0..3)
            .map(|i| {
                let log = self.logs.of(CORPSES + i);
                let ready = &ready;
                fork(move || {
                    let say = || {
                        ready[i as usize].store(1, SeqCst);
                        wait_for_the_end()
                    };
                    match i {
                        0 => {
                            let mut tx = ring.sender().expect("a sender");
                            let grant = tx.try_reserve(8).expect("room");
                            std::mem::forget(grant);
                            say();
                        }
                        1 => {
                            log.write(crate::log::Event::Reach { most: 1 });
                            let mut rx = ring.receiver().expect("a receiver");
                            let frame = rx.try_frame().expect("a message");
                            std::mem::forget(frame);
                            say();
                        }
                        _ => {
                            let mut rx = ring.receiver().expect("a receiver");
                            let delivery = rx.try_peek().expect("a message");
                            std::mem::forget(delivery);
                            say();
                        }
                    }
                })
            })
            .collect();
        for i in 0..3 {
            patiently("a participant takes its slot", || ready[i].load(SeqCst) == 1)?;
        }
        dead.into_iter().for_each(|child| {
            child.kill();
        });
        Ok(())
    }

    /// A receiver that sleeps until a message wakes it.
    fn sleep(&mut self) -> Result<(), String> {
        let ring = self.ring.as_ref().ok_or("no ring")?;
        let log = self.logs.of(SLEEPER);
        let kind = self.verb.kind;
        let child = fork(move || {
            let mut rx = Listener::attach(kind, ring, log).expect("a receiver");
            let patience = HANG;
            // The victim may die before it sends: then somebody else's message ends the wait, or its death does.
            let _ = rx.take(Take::Recv, Some(patience));
        });
        patiently("the receiver sleeps", || child.is_asleep())?;
        self.sleeper = Some(child);
        Ok(())
    }

    /// The victim's part, in a process of its own: everything up to the first mark is as it should be, what comes between
    /// the marks is to be stepped, and behind the second mark it leaves cleanly.
    ///
    /// # Panics
    /// If a verb fails that nothing disturbed.
    pub fn perform(&self) {
        self.perform_as(self.verb.act, 0, VICTIM, VICTIM_RX);
    }

    /// The second victim's part.
    ///
    /// # Panics
    /// As [`Stage::perform`], and if there is none.
    pub fn perform_second(&self) {
        self.perform_as(self.verb.second.expect("a second victim"), 1, SECOND, SECOND_RX);
    }

    fn perform_as(&self, act: Act, victim: usize, as_sender: u32, as_receiver: u32) {
        let kind = self.verb.kind;
        let log = self.logs.of(if act.sends() { as_sender } else { as_receiver });
        let ring = || self.ring.as_ref().expect("a ring");
        let talker = |log| Talker::attach(kind, ring(), as_sender, log).expect("a sender");
        let listener = |log| Listener::attach(kind, ring(), log).expect("a receiver");
        match act {
            Act::Send(how) => drop(talker(log).marked().send(how, None)),
            Act::Wake | Act::Tell => talker(log).marked().send(Put::Copy, None).map(|_| ()).expect("room"),
            Act::WaitToSend => drop(talker(log).marked().send(Put::Copy, Some(SHORT))),
            Act::Take(how) => drop(listener(log).marked().take(how, None)),
            Act::WaitToTake => drop(listener(log).marked().take(Take::Recv, Some(SHORT))),
            Act::Sweep => {
                let rx = listener(log).waiting(WaitStrategy::Yield);
                let _ = rx.marked().take(Take::Peek, Some(Duration::ZERO));
            }
            Act::AttachSender => {
                mark();
                let tx = Ring::open(&self.name).and_then(|ring| Talker::attach(kind, &ring, as_sender, log));
                mark();
                tx.expect("a sender").send(Put::Copy, None).map(drop).expect("room");
            }
            Act::AttachReceiver => {
                mark();
                let rx = Ring::open(&self.name).and_then(|ring| Listener::attach(kind, &ring, log));
                mark();
                let _ = rx.expect("a receiver").take(Take::Recv, None);
            }
            Act::DetachSender => {
                let tx = talker(log);
                mark();
                drop(tx);
                mark();
            }
            Act::DetachReceiver => {
                let rx = listener(log);
                mark();
                drop(rx);
                mark();
            }
            Act::Create => {
                let options = kind.options(self.verb.capacity as usize);
                mark();
                let ring = Ring::create(&self.name, &options);
                mark();
                drop(ring.expect("a ring"));
            }
        }
        self.logs.done[victim].store(1, SeqCst);
    }

    /// While the victim is frozen somewhere in its verb: the others move messages, as far as the kind of ring lets them
    /// without it, and nobody takes it for dead.
    ///
    /// # Errors
    /// What went wrong.
    pub fn go_on(&mut self, at_end: bool) -> Result<Beside, String> {
        let mut moved = 0;
        let how = self.verb.survivors_take();
        if self.sleeper.is_some() || self.verb.act == Act::Create {
            return Ok(Beside::default());
        }
        self.hear_of_messages().map_err(|e| format!("frozen: {e}"))?;
        let mut longest = Longest::new().map_err(|e| format!("/proc/thread-self/schedstat: {e}"))?;
        match (self.verb.kind, &mut self.tx, &mut self.rx) {
            (Mpmc, Some(tx), Some(rx)) => {
                // What is there first, then laps and laps past the frozen one, by verbs that do not wait: where there is room, or
                // a message, they say so at once.
                while rx.take(how, None).is_ok() {
                    longest.answered();
                    moved += 1;
                }
                for _ in 0..3 * self.verb.capacity {
                    tx.send(Put::Copy, None).map_err(|e| format!("frozen: send: {e}"))?;
                    longest.answered();
                    if let Some(told) = self.told.take() {
                        told.recv_timeout(HANG).map_err(|_| "frozen: nobody was told of a message")?;
                        longest.restart();
                    }
                    moved += rx.take(how, None).map_err(|e| format!("frozen: receive: {e}"))?;
                    longest.answered();
                }
            }
            (_, Some(tx), _) => {
                while tx.send(Put::Copy, None).is_ok() {
                    longest.answered();
                    moved += 1;
                }
                longest.answered();
                let peer = tx.peer();
                let died = matches!(peer, Some(Peer::Died { .. }));
                // Before the victim attached, its predecessor is seen, who left.
                let left = matches!(self.verb.act, Act::DetachReceiver | Act::AttachReceiver);
                if died || peer == Some(Peer::Closed) && !left && !at_end {
                    return Err(format!("frozen: the stopped consumer is seen as {peer:?}"));
                }
            }
            (_, _, Some(rx)) => {
                while rx.take(how, None).is_ok() {
                    longest.answered();
                    moved += 1;
                }
                longest.answered();
                let peer = rx.peer();
                if matches!(peer, Some(Peer::Died { .. })) {
                    return Err(format!("frozen: the stopped producer is seen as {peer:?}"));
                }
            }
            _ => {}
        }
        Ok(Beside { moved, longest: longest.net, most_steps: longest.most_steps })
    }

    /// A receiver asked to be told, and a message is there: it is told, whoever died or stopped on the way to that.
    fn hear_of_messages(&mut self) -> Result<(), String> {
        if self.rx.as_ref().is_some_and(Listener::has_message)
            && let Some(told) = self.told.take()
        {
            told.recv_timeout(HANG).map_err(|_| "nobody was told of the message that is there")?;
        }
        Ok(())
    }

    /// Survivors take what is there: a victim that goes on may have to send again what it was passed over with.
    pub fn make_room(&mut self) {
        let how = self.verb.survivors_take();
        if let Some(rx) = &mut self.rx {
            while rx.take(how, None).is_ok() {}
        }
    }

    /// After the victim's end, by SIGKILL or, if `lived`, cleanly: the survivors get every message that was committed,
    /// the ring has its full capacity again, a successor goes on, and the logs agree.
    ///
    /// # Errors
    /// What was violated.
    pub fn verify(mut self, lived: bool) -> Result<Outcome, String> {
        let died = now();
        if lived && !self.logs.is_done(1 + usize::from(self.verb.second.is_some())) {
            return Err("the victim did not end its verb".into());
        }
        if self.verb.act == Act::Create {
            return self.verify_creation(died);
        }
        let Verb { kind, .. } = self.verb;
        let how = self.verb.survivors_take();
        if let Some(mut sleeper) = self.sleeper.take() {
            self.wake(&mut sleeper)?;
        }
        self.hear_of_messages()?;
        let told = self.told.take();
        if told.as_ref().is_some_and(|told| told.try_recv().is_ok()) {
            return Err("told though no message was there".into());
        }
        let ring = self.ring.as_ref().ok_or("no ring")?;
        // The lease of who was killed is free when its end was reported, so a successor attaches at once.
        let mut rx = match self.rx.take() {
            Some(rx) => rx,
            None => {
                Listener::attach(kind, ring, self.logs.of(AFTER_RX)).map_err(|e| format!("successor: {e}"))?
            }
        };
        let (mut tx, sender) = match self.tx.take() {
            Some(tx) => (tx, BEFORE),
            None => {
                let tx = Talker::attach(kind, ring, AFTER, self.logs.of(AFTER));
                (tx.map_err(|e| format!("successor: {e}"))?, AFTER)
            }
        };
        // What was committed.
        let capacity = self.verb.capacity;
        for _ in 0..4 * capacity {
            match rx.take(how, None) {
                Ok(_) => {}
                Err(
                    slipring::RecvError::Empty
                    | slipring::RecvError::PeerDied { .. }
                    | slipring::RecvError::Closed,
                ) => {
                    break;
                }
                Err(error) => return Err(format!("draining: {error}")),
            }
        }
        // A message behind whatever the victim left half done gets through, and everything before it comes first.
        tx.send(Put::Copy, Some(HANG)).map_err(|e| format!("the next message: {e}"))?;
        if let Some(told) = told {
            told.recv_timeout(HANG).map_err(|_| "nobody was told of the next message")?;
        }
        let last = tx.next() - 1;
        self.receive_until(&mut rx, sender, last)?;
        if how == Take::Peek {
            // What a dead receiver had in its hands may come behind messages that were sent later.
            while rx.take(how, Some(Duration::ZERO)).is_ok() {}
        }
        for i in 0..capacity {
            tx.send(Put::Copy, Some(HANG))
                .map_err(|e| format!("capacity: only {i} of {capacity} messages fit: {e}"))?;
        }
        match tx.send(Put::Copy, None) {
            Err(SendError::Full) => {}
            other => return Err(format!("capacity: more than {capacity} messages fit: {other:?}")),
        }
        let recovery = Duration::from_nanos(now() - died);
        let last = tx.next() - 2;
        self.receive_until(&mut rx, sender, last)?;
        drop((tx, rx));
        self.judge(recovery, lived)
    }

    fn wake(&mut self, sleeper: &mut Child) -> Result<(), String> {
        let committed = |log: &Log| log.written() > 0;
        // Nothing sent: a message of ours ends its sleep. The victim's lease is free.
        let woken = self.logs.of(SLEEPER);
        let patience = now() + HANG.as_nanos() as u64;
        // On an SPSC ring the role was the victim's: its death ends the sleep.
        if let Some(tx) = &mut self.tx {
            tx.send(Put::Copy, Some(HANG)).map_err(|e| format!("to the sleeper: {e}"))?;
        }
        match sleeper.ended(HANG) {
            Some(nix::sys::wait::WaitStatus::Exited(_, 0)) => {}
            other => return Err(format!("the sleeper hangs: {other:?}")),
        }
        if now() > patience || (self.verb.kind == Mpmc && !committed(&woken)) {
            return Err("the sleeper got nothing".into());
        }
        Ok(())
    }

    fn receive_until(&self, rx: &mut Listener, sender: u32, seq: u64) -> Result<(), String> {
        let log = self.logs.of(AFTER_RX);
        let (mut last, patience) = (None, now() + HANG.as_nanos() as u64);
        let mut seen = 0;
        // The log is read again by the auditor: here only a look at its end, through the sum of what came.
        while last != Some(seq) {
            match rx.take(self.verb.survivors_take(), Some(HANG)) {
                Ok(count) => {
                    seen += count;
                    last = log.last_of(sender).max(last);
                }
                Err(error) => {
                    return Err(format!("message {seq} of {sender} does not come ({seen} did): {error}"));
                }
            }
            if last != Some(seq) && now() > patience {
                return Err(format!("message {seq} of {sender} does not come, {seen} others did"));
            }
        }
        Ok(())
    }

    fn judge(mut self, recovery: Duration, lived: bool) -> Result<Outcome, String> {
        let mut taken = 0;
        let mut victims = 0;
        let mut prepared = 0;
        for who in [BEFORE, VICTIM, SECOND, AFTER, BEFORE_RX, VICTIM_RX, SECOND_RX, SLEEPER, AFTER_RX]
            .into_iter()
            .chain(CORPSES..CORPSES + 3)
        {
            let auditor = &mut self.auditor;
            self.logs.of(who).read(|record| {
                auditor.note(who, record);
                if let crate::log::Event::Took { id, .. } = record.event {
                    taken += u64::from(who == VICTIM_RX);
                    victims += u64::from(id.sender == VICTIM);
                    prepared += u64::from(id.sender == BEFORE);
                }
            });
            match who {
                VICTIM | VICTIM_RX | SECOND | SECOND_RX if lived => self.auditor.left(who),
                VICTIM | VICTIM_RX | SECOND | SECOND_RX => self.auditor.killed(who, now(), u32::MAX),
                CORPSES.. => self.auditor.killed(who, now(), u32::MAX),
                _ => self.auditor.left(who),
            }
        }
        // Who took a message at most once takes it along though the survivors peek; so does the corpse that read one.
        let peeking = self.verb.kind == Mpmc && self.verb.survivors_take() == Take::Peek;
        let acts = [Some(self.verb.act), self.verb.second].into_iter().flatten();
        let along: u64 = acts.map(Act::takes_along).sum();
        let allowed_gone = u64::from(self.verb.act == Act::Sweep) + if peeking && !lived { along } else { 0 };
        let auditor =
            std::mem::replace(&mut self.auditor, Auditor::new(crate::audit::Mode::AtMostOnce, false));
        let tally = auditor.finish();
        self.check_tally(&tally, allowed_gone)?;
        let moved = if self.verb.victim_sends() { victims } else { taken + tally.in_hands };
        if lived && self.verb.second.is_none() {
            self.expect_effect(moved)?;
        }
        drop(self.ring.take());
        self.leftovers()?;
        Ok(Outcome { moved, recovery })
    }

    fn check_tally(&self, tally: &Tally, allowed_gone: u64) -> Result<(), String> {
        let other = tally.duplicated + tally.torn + tally.out_of_order + tally.phantom;
        if other > 0 || tally.lost > allowed_gone {
            return Err(format!("{tally:?}"));
        }
        Ok(())
    }

    /// Who lived through its freeze did what its verb says.
    fn expect_effect(&self, moved: u64) -> Result<(), String> {
        let least = match self.verb.act {
            Act::Send(_) if self.verb.name.ends_with("full") => 0,
            Act::Send(Put::Batch(_)) | Act::Send(_) | Act::Wake | Act::Tell | Act::AttachSender => 1,
            Act::Take(_) if self.verb.kind == Spsc && self.verb.there > 0 => 1,
            _ => 0,
        };
        if moved < least {
            return Err(format!("the verb moved {moved} messages"));
        }
        Ok(())
    }

    /// A creator that was killed leaves no name or a whole ring.
    fn verify_creation(self, died: u64) -> Result<Outcome, String> {
        let Verb { kind, .. } = self.verb;
        let moved = match Ring::open(&self.name) {
            Err(Error::NotFound { .. }) => 0,
            Ok(ring) => {
                let mut tx = Talker::attach(kind, &ring, AFTER, self.logs.of(AFTER)).map_err(text)?;
                let mut rx = Listener::attach(kind, &ring, self.logs.of(AFTER_RX)).map_err(text)?;
                tx.send(Put::Copy, None).map_err(text)?;
                rx.take(Take::Recv, None).map_err(text)?;
                1
            }
            Err(error) => return Err(format!("a name that leads nowhere: {error}")),
        };
        self.leftovers()?;
        Ok(Outcome { moved, recovery: Duration::from_nanos(now() - died) })
    }

    /// The name is gone with the last user.
    fn leftovers(&self) -> Result<(), String> {
        let path = format!("/dev/shm{}", self.name);
        if std::fs::symlink_metadata(&path).is_ok() {
            return Err(format!("{path} was left behind"));
        }
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // Also when something failed.
        let _ = slipring::unlink_forced(&self.name);
    }
}

/// Until killed.
fn wait_for_the_end() -> ! {
    loop {
        std::thread::sleep(HANG);
    }
}

fn patiently(what: &str, mut done: impl FnMut() -> bool) -> Result<(), String> {
    let end = now() + HANG.as_nanos() as u64;
    while !done() {
        if now() > end {
            return Err(format!("{what}: not within {HANG:?}"));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}
