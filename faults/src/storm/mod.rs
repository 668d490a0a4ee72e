//! Storms: participants that move messages at full speed while random ones are killed and replaced, and random ones are
//! stopped and continued; everything that any of them said is audited while it goes on.
//!
//! The seed decides who is hit, by what, and after how long. Where in its verb a participant then is, the scheduler
//! decides: a seed brings back the same faults, not the same instants.
#![allow(clippy::disallowed_types, reason = "an observer's own counter")]

mod participant;
mod server;
mod verdict;

use crate::audit::Auditor;
use crate::ends::{Doing, Kind, Listener, Put, Take, Talker};
use crate::log::{Event, Log, now};
use crate::payload::mix;
use crate::schedule::{COUNTS_STEPS, MOST_STEPS, SLOW, is_asleep};
use crate::summary::Times;
use crate::usage::{Usage, stolen};
use crate::words::Words;
use participant::{DRAINING, Floor, SENDING};
use serde::{Deserialize, Serialize};
use server::Server;
use slipring::{RecvError, Ring, SendError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;
pub use verdict::{Measured, Steps, Verdict};

/// How participants wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// In blocking verbs, asleep in the end.
    Sleep,
    /// By the `try` verb again and again. How long they took from answer to answer is measured.
    Poll,
    /// Every other one sleeps.
    Mixed,
}

impl Waiting {
    fn polls(self, seat: usize) -> bool {
        self == Waiting::Poll || self == Waiting::Mixed && seat.is_multiple_of(2)
    }
}

/// What kind of storm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The ring.
    pub kind: Kind,
    /// How many senders there are at any time; 1 for SPSC.
    pub senders: usize,
    /// How many receivers; 1 for SPSC.
    pub receivers: usize,
    /// How many messages fit.
    pub slots: usize,
    /// How they are sent.
    pub put: Put,
    /// How they are received.
    pub take: Take,
    /// How they wait.
    pub waiting: Waiting,
    /// Ends after so many kills ...
    pub kills: u64,
    /// ... and so many stops ...
    pub stops: u64,
    /// ... and so many messages ...
    pub messages: u64,
    /// ... or after this time, if that is sooner. A first message, and a first fault of each kind, are given two minutes more.
    pub at_most: Duration,
    /// The mean time between two faults, at least: they are also spread over the messages asked for.
    pub every: Duration,
    /// The longest stop.
    pub longest_stop: Duration,
    /// More steps of the protocol from answer to answer are a violation, in a build that counts them.
    pub most_steps: u64,
    /// Decides who is hit by what, and when.
    pub seed: u64,
}

impl Plan {
    /// A short storm on this kind of ring.
    #[must_use]
    pub fn short(kind: Kind, seed: u64) -> Plan {
        let (senders, receivers) = if kind == Kind::Spsc { (1, 1) } else { (3, 3) };
        Plan {
            kind,
            senders,
            receivers,
            slots: 64,
            put: Put::Copy,
            take: Take::Recv,
            waiting: Waiting::Mixed,
            kills: 200,
            stops: 50,
            messages: 0,
            at_most: Duration::from_secs(60),
            every: Duration::from_millis(2),
            longest_stop: Duration::from_millis(10),
            most_steps: MOST_STEPS,
            seed,
        }
    }
}

/// How far a storm is.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Progress {
    /// Since it began.
    pub elapsed: Duration,
    /// Messages whose send returned.
    pub sent: u64,
    /// Deliveries.
    pub received: u64,
    /// SIGKILLs.
    pub killed: u64,
    /// SIGSTOPs, each followed by SIGCONT.
    pub stopped: u64,
}

impl Progress {
    /// For a person who waits: what was dealt of the plan, how fast it goes and when it ends.
    #[must_use]
    pub fn line(&self, plan: &Plan) -> String {
        let seconds = self.elapsed.as_secs_f64().max(1e-3);
        let share = |done: u64, of: u64| if of == 0 { 1.0 } else { (done as f64 / of as f64).min(1.0) };
        let done = share(self.killed, plan.kills)
            .min(share(self.stopped, plan.stops))
            .min(share(self.received, plan.messages));
        let left = (seconds / done.max(1e-6) - seconds).min(plan.at_most.as_secs_f64() - seconds).max(0.0);
        format!(
            "{seconds:.0} s: {} of {} kills, {} of {} stops, {} of {} messages, {:.2} M/s, {:.0} s left",
            self.killed,
            plan.kills,
            self.stopped,
            plan.stops,
            self.received,
            plan.messages,
            self.received as f64 / seconds / 1e6,
            left
        )
    }
}

/// Without a delivery for so long, with senders and receivers at work, a hang is given up, ...
const HANG: Duration = Duration::from_secs(10);
/// ... and for so long, whoever had a core.
const NOTHING_MOVES: Duration = Duration::from_secs(120);
/// For so long, with a core for each of those at work, it is a hang.
const SILENCE: Duration = Duration::from_secs(1);
/// Of a silence of this length it is asked who had a core.
const SUSPICIOUS: Duration = Duration::from_millis(20);
/// So long a time, in nanoseconds, is one in the search for silence.
const TICK: u64 = 50_000;
const LOG_RECORDS: usize = 1 << 14;
/// With so many records since the last look, there are more by now.
const BUSY: u64 = 4096;

/// Runs a storm. `progress` is called a few times a second.
///
/// # Errors
/// If it cannot be set up. What goes wrong in it is in the verdict.
pub fn run(plan: &Plan, mut progress: impl FnMut(&Progress)) -> Result<Verdict, String> {
    run_while(plan, |now| {
        progress(now);
        true
    })
}

/// As [`run`], for as long as `progress` says so: then the storm calms down early, and is judged.
///
/// # Errors
/// As [`run`].
pub fn run_while(plan: &Plan, mut progress: impl FnMut(&Progress) -> bool) -> Result<Verdict, String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if plan.senders == 0
        || plan.receivers == 0
        || plan.kind == Kind::Spsc && plan.senders + plan.receivers != 2
    {
        return Err("a storm needs senders and receivers, and on an SPSC ring one of each".into());
    }
    // The library keeps one descriptor for good from its first ring on.
    drop(Ring::anonymous(&plan.kind.options(plan.slots)).map_err(|e| e.to_string())?);
    let descriptors = open_descriptors();
    let name = format!("/slipring-storm-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
    let seats = plan.senders + plan.receivers;
    let floor = Arc::new(Floor::new(plan.clone(), name.clone(), Log::several(seats, LOG_RECORDS)));
    let participants = 4 * seats as u32 + 8;
    let options = plan.kind.options(plan.slots);
    let options = if plan.kind == Kind::Mpmc { options.participants(participants) } else { options };
    // Forked before anything else is open or attached here.
    let theirs = floor.clone();
    let server = Server::start(move |seat, who| theirs.work(seat, who)).map_err(|e| e.to_string())?;
    let ring = Ring::create(&name, &options).map_err(|e| e.to_string())?;
    let mut storm = Storm::new(plan, floor, server, &ring)?;
    let failure = storm.rage(&mut progress).err();
    let mut verdict = storm.conclude(failure);
    drop(ring);
    if std::fs::symlink_metadata(format!("/dev/shm{name}")).is_ok() {
        verdict.failures.push(format!("{name} was left behind"));
        let _ = slipring::unlink_forced(&name);
    }
    verdict.descriptors = (descriptors, open_descriptors());
    Ok(verdict)
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[derive(Clone, Copy, Default)]
struct Seat {
    who: u32,
    /// Stopped until then; 0: not stopped.
    until: u64,
    /// Has attached, and is known to have.
    ready: bool,
    /// When its predecessor was killed; 0: it has none, or is ready.
    orphaned: u64,
}

/// A long time without a delivery, while it lasts.
struct Silence {
    since: u64,
    /// When it was last looked who had a core, and how much each seat's process had had of one by then.
    looked: u64,
    had: Vec<(i32, u64)>,
    /// The time for which both sides had somebody who had a core, or slept and wanted none.
    net: u64,
}

struct Storm<'a> {
    plan: &'a Plan,
    floor: Arc<Floor>,
    server: Server,
    ring: &'a Ring,
    seats: Vec<Seat>,
    auditor: Auditor,
    next_who: u32,
    dice: u64,
    begin: u64,
    stolen_before: Duration,
    killed: u64,
    stopped: u64,
    capacity: u64,
    last_delivery: u64,
    /// Since when at least one sender and one receiver can go on; 0: not now.
    able_since: u64,
    /// Kills that no delivery was seen to follow yet, with the first that did.
    open_kills: Vec<(u64, u64)>,
    worst_stall: u64,
    net_silence: u64,
    silence: Option<Silence>,
    /// Ticks in which something was delivered, since the last look.
    deliveries: Vec<u64>,
    killed_in: BTreeMap<Doing, u64>,
    to_delivery: Times,
    to_successor: Times,
    stall: Times,
    net_stall: Times,
    net_over_5_ms: u64,
    steps: Option<Steps>,
    answers: u64,
    failures: Vec<String>,
}

impl<'a> Storm<'a> {
    fn new(plan: &'a Plan, floor: Arc<Floor>, server: Server, ring: &'a Ring) -> Result<Storm<'a>, String> {
        let auditor = Auditor::new(plan.take.mode(plan.kind), plan.kind == Kind::Spsc);
        let mut storm = Storm {
            plan,
            floor,
            server,
            ring,
            seats: vec![Seat::default(); plan.senders + plan.receivers],
            auditor,
            next_who: 1,
            dice: mix(plan.seed),
            begin: now(),
            stolen_before: stolen()?,
            killed: 0,
            stopped: 0,
            capacity: 0,
            last_delivery: 0,
            able_since: 0,
            open_kills: Vec::new(),
            worst_stall: 0,
            net_silence: 0,
            silence: None,
            deliveries: Vec::new(),
            killed_in: BTreeMap::new(),
            to_delivery: Times::default(),
            to_successor: Times::default(),
            stall: Times::default(),
            net_stall: Times::default(),
            net_over_5_ms: 0,
            steps: COUNTS_STEPS.then(Steps::default),
            answers: 0,
            failures: Vec::new(),
        };
        storm.capacity = storm.fill_and_drain()?;
        Ok(storm)
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.dice = mix(self.dice);
        self.dice % below.max(1)
    }

    fn spawn(&mut self, seat: usize) -> Result<(), String> {
        let who = self.next_who;
        self.next_who += 1;
        self.floor.clear(seat);
        let orphaned = self.seats[seat].orphaned;
        self.seats[seat] = Seat { who, until: 0, ready: false, orphaned };
        self.server.spawn(seat, who)
    }

    fn is_able(&self, seats: std::ops::Range<usize>) -> bool {
        self.seats[seats].iter().any(|seat| seat.ready && seat.until == 0)
    }

    /// To be called when somebody stopped, died, attached or went on.
    fn mind_who_is_able(&mut self, at: u64) {
        let able = self.is_able(0..self.plan.senders) && self.is_able(self.plan.senders..self.seats.len());
        match (able, self.able_since) {
            (true, 0) => self.able_since = at,
            (false, _) => self.able_since = 0,
            _ => {}
        }
    }

    fn rage(&mut self, progress: &mut impl FnMut(&Progress) -> bool) -> Result<(), String> {
        self.begin = now();
        self.stolen_before = stolen()?;
        (0..self.seats.len()).try_for_each(|seat| self.spawn(seat))?;
        let end = self.begin + self.plan.at_most.as_nanos() as u64;
        let (mut next_fault, mut next_word) = (self.begin, self.begin);
        let patience = end + NOTHING_MOVES.as_nanos() as u64;
        while !self.is_enough() && (now() < end || !self.has_shown_something() && now() < patience) {
            let heard = self.listen()?;
            let at = now();
            // What is wanted after the end is wanted at once.
            if (at >= next_fault || at >= end) && self.is_due() {
                self.fault()?;
                let mean = self.plan.every.as_nanos() as u64;
                next_fault = now() + self.roll(2 * mean);
            }
            if at >= next_word {
                if !progress(&self.progress()) {
                    break;
                }
                next_word = at + 250_000_000;
            }
            if heard < BUSY {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        self.calm_down()?;
        progress(&self.progress());
        Ok(())
    }

    fn progress(&self) -> Progress {
        let (sent, received) = self.auditor.so_far();
        let elapsed = Duration::from_nanos(now() - self.begin);
        Progress { elapsed, sent, received, killed: self.killed, stopped: self.stopped }
    }

    fn is_enough(&self) -> bool {
        self.killed >= self.plan.kills
            && self.stopped >= self.plan.stops
            && self.auditor.so_far().1 >= self.plan.messages
    }

    /// A message, and a fault of each kind asked for: without cores, no time is long enough for them.
    fn has_shown_something(&self) -> bool {
        let (kills, stops) = (self.plan.kills.min(1), self.plan.stops.min(1));
        self.killed >= kills && self.stopped >= stops && self.auditor.so_far().1 > 0
    }

    /// Whether the share of faults dealt is behind the share of messages received.
    fn is_due(&self) -> bool {
        let (faults, dealt) = (self.plan.kills + self.plan.stops, self.killed + self.stopped);
        let share = |part: u64, whole: u64| u128::from(part) * u128::from(whole);
        share(dealt, self.plan.messages) <= share(self.auditor.so_far().1, faults)
    }

    fn fault(&mut self) -> Result<(), String> {
        let (kills, stops) =
            (self.plan.kills.saturating_sub(self.killed), self.plan.stops.saturating_sub(self.stopped));
        if kills + stops == 0 {
            return Ok(());
        }
        let seat = self.roll(self.seats.len() as u64) as usize;
        if self.roll(kills + stops) < kills {
            self.kill(seat)
        } else if self.seats[seat].until == 0 {
            self.floor.stops(seat).fetch_add(1, SeqCst);
            self.server.stop(seat)?;
            self.stopped += 1;
            let longest = self.plan.longest_stop.as_nanos() as u64;
            self.seats[seat].until = now() + self.roll(longest);
            self.mind_who_is_able(now());
            Ok(())
        } else {
            Ok(())
        }
    }

    fn kill(&mut self, seat: usize) -> Result<(), String> {
        let at = now();
        self.server.kill(seat)?;
        let dead = now();
        self.killed += 1;
        let Seat { who, ready, .. } = self.seats[seat];
        let doing = self.floor.doing(seat).unwrap_or(Doing::Attach);
        *self.killed_in.entry(doing).or_insert(0) += 1;
        // Else it was never there: its predecessor's place is still empty.
        if ready || self.floor.attached(seat).load(SeqCst) != 0 {
            self.seats[seat].orphaned = at;
        }
        self.read(seat);
        self.auditor.killed(who, dead, self.next_who);
        self.seats[seat].ready = false;
        self.mind_who_is_able(at);
        self.open_kills.push((at, u64::MAX));
        self.spawn(seat)
    }

    fn read(&mut self, seat: usize) -> u64 {
        let who = self.seats[seat].who;
        let polls = self.plan.waiting.polls(seat);
        let Storm {
            auditor,
            floor,
            deliveries,
            open_kills,
            stall,
            net_stall,
            net_over_5_ms,
            steps,
            answers,
            ..
        } = self;
        let mut heard = 0;
        floor.log(seat).read(|record| {
            heard += 1;
            auditor.note(who, record);
            match record.event {
                Event::Took { .. } => {
                    *answers += u64::from(polls);
                    let tick = record.at / TICK;
                    if deliveries.last() != Some(&tick) {
                        deliveries.push(tick);
                    }
                    for (kill, first) in open_kills.iter_mut() {
                        if record.at > *kill {
                            *first = record.at.min(*first);
                        }
                    }
                }
                Event::Sent { .. } => *answers += u64::from(polls),
                Event::Slow { raw, net, steps: taken } => {
                    stall.add(raw);
                    net_stall.add(net.max(1));
                    let too_long = net > 5_000_000;
                    *net_over_5_ms += u64::from(too_long);
                    if let Some(steps) = steps.as_mut().filter(|_| too_long) {
                        steps.in_over_5_ms = steps.in_over_5_ms.max(taken.into());
                    }
                }
                Event::Steps { most, took } => {
                    if let Some(steps) = steps.as_mut().filter(|steps| most > steps.most) {
                        (steps.most, steps.took) = (most, Duration::from_nanos(took));
                    }
                }
                _ => {}
            }
        });
        heard
    }

    /// Reads all logs, continues who was stopped long enough, and looks for hangs. How much there was to read.
    fn listen(&mut self) -> Result<u64, String> {
        let begin = now();
        let mut heard = 0;
        for seat in 0..self.seats.len() {
            let attached = self.floor.attached(seat).load(SeqCst);
            if !self.seats[seat].ready && attached != 0 {
                let orphaned = std::mem::take(&mut self.seats[seat].orphaned);
                if orphaned != 0 {
                    self.to_successor.add(attached.saturating_sub(orphaned));
                }
                self.seats[seat].ready = true;
                self.mind_who_is_able(now());
            }
            if self.seats[seat].until != 0 && now() >= self.seats[seat].until {
                self.resume(seat)?;
                self.mind_who_is_able(now());
            }
            heard += self.read(seat);
        }
        self.look_for_silence(begin)?;
        Ok(heard)
    }

    fn resume(&mut self, seat: usize) -> Result<(), String> {
        self.seats[seat].until = 0;
        self.floor.stops(seat).fetch_add(1, SeqCst);
        self.server.resume(seat)
    }

    /// After all logs were read up to `begin`.
    fn look_for_silence(&mut self, begin: u64) -> Result<(), String> {
        let mut deliveries = std::mem::take(&mut self.deliveries);
        deliveries.sort_unstable();
        for &tick in &deliveries {
            // As late as it can have been.
            let at = (tick + 1) * TICK;
            let from = self.last_delivery.max(self.able_since);
            if self.able_since != 0 && at > from {
                self.worst_stall = self.worst_stall.max(at - from);
            }
            self.last_delivery = self.last_delivery.max(at);
        }
        deliveries.clear();
        self.deliveries = deliveries;
        let to_delivery = &mut self.to_delivery;
        self.open_kills.retain(|&(kill, first)| {
            let known = first <= begin;
            if known {
                to_delivery.add(first - kill);
            }
            !known
        });
        let since = self.last_delivery.max(self.able_since);
        let silent = begin.saturating_sub(since);
        if self.silence.as_ref().is_some_and(|silence| self.able_since == 0 || silence.since != since) {
            self.end_of_silence();
        }
        if self.able_since == 0 || silent < SUSPICIOUS.as_nanos() as u64 {
            return Ok(());
        }
        self.look_who_has_a_core(since);
        let own = Duration::from_nanos(self.silence.as_ref().map_or(0, |silence| silence.net));
        let silent_for = Duration::from_nanos(silent);
        if silent_for > HANG && own > SILENCE || silent_for > NOTHING_MOVES {
            self.worst_stall = self.worst_stall.max(silent);
            self.end_of_silence();
            return Err(format!("no delivery for {silent_for:?}: a hang"));
        }
        Ok(())
    }

    /// Adds to the silence for how long both sides could have ended it. Between two looks somebody may be killed and be
    /// followed by another, who is only counted from then on.
    fn look_who_has_a_core(&mut self, since: u64) {
        let at = now();
        let pids = (0..self.seats.len()).map(|seat| self.floor.pid(seat));
        let had: Vec<_> = pids.map(|pid| (pid, Usage::of(pid).map_or(0, |usage| usage.on_core()))).collect();
        let Some(silence) = &mut self.silence else {
            self.silence = Some(Silence { since, looked: at, had, net: 0 });
            return;
        };
        let length = at - silence.looked;
        let chance = |seat: usize| {
            let ((pid, before), (now, after)) = (silence.had[seat], had[seat]);
            let Seat { ready, until, .. } = self.seats[seat];
            match pid == now && ready && until == 0 {
                true if is_asleep(pid) => length,
                true => after.saturating_sub(before).min(length),
                false => 0,
            }
        };
        let best = |seats: std::ops::Range<usize>| seats.map(chance).max().unwrap_or(0);
        silence.net += best(0..self.plan.senders).min(best(self.plan.senders..self.seats.len()));
        (silence.looked, silence.had) = (at, had);
    }

    fn end_of_silence(&mut self) {
        let Some(Silence { net, .. }) = self.silence.take() else { return };
        self.net_silence = self.net_silence.max(net);
        if net > SILENCE.as_nanos() as u64 {
            let net = Duration::from_nanos(net);
            self.failures.push(format!("no delivery for {net:?} though both sides had a core"));
        }
    }

    /// Senders leave, then receivers, when nothing is left.
    fn calm_down(&mut self) -> Result<(), String> {
        (0..self.seats.len())
            .filter(|&seat| self.seats[seat].until != 0)
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|seat| self.resume(seat))?;
        // From here on silence is no hang, and bounded by the patience below.
        self.able_since = 0;
        let senders = 0..self.plan.senders;
        let receivers = self.plan.senders..self.seats.len();
        for (phase, seats) in [(SENDING + 1, senders), (DRAINING, receivers)] {
            self.floor.phase().store(phase, SeqCst);
            let patience = now() + 3 * HANG.as_nanos() as u64;
            for seat in seats {
                while !self.server.ended(seat)? {
                    if now() > patience {
                        return Err(format!("the participant on seat {seat} does not leave"));
                    }
                    for seat in 0..self.seats.len() {
                        self.read(seat);
                    }
                    std::thread::sleep(Duration::from_micros(500));
                }
                self.read(seat);
                self.auditor.left(self.seats[seat].who);
            }
        }
        self.deliveries.clear();
        Ok(())
    }

    /// How many messages fit into the ring, after it was drained.
    fn fill_and_drain(&mut self) -> Result<u64, String> {
        let (sender, receiver) = (self.next_who, self.next_who + 1);
        self.next_who += 2;
        // A log has room for all of it.
        let logs = Log::several(2, 8 * self.plan.slots.max(64) + 1024);
        let mut tx =
            Talker::attach(self.plan.kind, self.ring, sender, logs[0].clone()).map_err(|e| e.to_string())?;
        let mut rx =
            Listener::attach(self.plan.kind, self.ring, logs[1].clone()).map_err(|e| e.to_string())?;
        let how = if self.plan.take == Take::Peek { Take::Peek } else { Take::Recv };
        let drain = |rx: &mut Listener| loop {
            match rx.take(how, Some(Duration::from_millis(1))) {
                Ok(_) => {}
                Err(
                    RecvError::TimedOut | RecvError::Empty | RecvError::PeerDied { .. } | RecvError::Closed,
                ) => {
                    return Ok(());
                }
                Err(error) => return Err(format!("draining: {error}")),
            }
        };
        drain(&mut rx)?;
        let mut count = 0;
        loop {
            match tx.send(Put::Copy, Some(Duration::from_millis(2))) {
                Ok(_) => count += 1,
                Err(SendError::TimedOut | SendError::Full) => break,
                Err(error) => return Err(format!("filling: {error}")),
            }
        }
        drain(&mut rx)?;
        for (who, log) in [(sender, &logs[0]), (receiver, &logs[1])] {
            let auditor = &mut self.auditor;
            log.read(|record| auditor.note(who, record));
        }
        self.auditor.left(receiver);
        Ok(count)
    }

    fn conclude(mut self, failure: Option<String>) -> Verdict {
        let took = Duration::from_nanos(now() - self.begin);
        let stolen = stolen().unwrap_or_default().saturating_sub(self.stolen_before);
        let complete = self.is_enough();
        let mut failures: Vec<_> = failure.into_iter().chain(std::mem::take(&mut self.failures)).collect();
        let capacity = self.fill_and_drain().unwrap_or_else(|error| {
            failures.push(error);
            0
        });
        if let Some(Steps { most, .. }) = self.steps {
            let wanted = self.plan.most_steps;
            let polls = (0..self.seats.len()).any(|seat| self.plan.waiting.polls(seat));
            if most > wanted {
                failures
                    .push(format!("{most} steps of the protocol between two answers, more than {wanted}"));
            } else if most == 0 && polls {
                failures.push("no step was counted: is another hook set?".into());
            }
        }
        // Answers that were not slow took less than that.
        let quick = self.answers.saturating_sub(self.stall.summary().count);
        self.stall.add_short(SLOW, quick);
        self.net_stall.add_short(SLOW, quick);
        let delivery = self.to_delivery.summary();
        Verdict {
            plan: self.plan.clone(),
            tally: self.auditor.finish(),
            killed: self.killed,
            stopped: self.stopped,
            worst_stall: Duration::from_nanos(self.worst_stall),
            capacity: (self.capacity, capacity),
            descriptors: (0, 0),
            times: Measured {
                killed_in: self.killed_in,
                delivery,
                successor: self.to_successor.summary(),
                stall: self.stall.summary(),
                net_stall: self.net_stall.summary(),
                net_over_5_ms: self.net_over_5_ms,
                steps: self.steps,
                net_silence: Duration::from_nanos(self.net_silence),
                stolen,
            },
            complete,
            failures,
            took,
        }
    }
}
