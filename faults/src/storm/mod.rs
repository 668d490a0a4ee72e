//! Storms: participants that move messages at full speed while random ones are killed and replaced, and random ones are
//! stopped and continued; everything that any of them said is audited while it goes on.
//!
//! The seed decides who is hit, by what, and after how long. Where in its verb a participant then is, the scheduler
//! decides: a seed brings back the same faults, not the same instants.
#![allow(clippy::disallowed_types, reason = "an observer's own counter")]

mod participant;
mod server;

use crate::audit::{Auditor, Tally};
use crate::ends::{Kind, Listener, Put, Take, Talker};
use crate::log::{Event, Log, now};
use crate::payload::mix;
use crate::words::Words;
use participant::{DRAINING, Floor, SENDING};
use serde::{Deserialize, Serialize};
use server::Server;
use slipring::{RecvError, Ring, SendError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

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
    /// Ends after so many kills ...
    pub kills: u64,
    /// ... and so many stops ...
    pub stops: u64,
    /// ... and so many messages ...
    pub messages: u64,
    /// ... or after this time, if that is sooner.
    pub at_most: Duration,
    /// The mean time between two faults.
    pub every: Duration,
    /// The longest stop.
    pub longest_stop: Duration,
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
            kills: 200,
            stops: 50,
            messages: 0,
            at_most: Duration::from_secs(60),
            every: Duration::from_millis(2),
            longest_stop: Duration::from_millis(10),
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

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// What was asked for.
    pub plan: Plan,
    /// What became of the messages.
    pub tally: Tally,
    /// SIGKILLs.
    pub killed: u64,
    /// SIGSTOPs, each followed by SIGCONT.
    pub stopped: u64,
    /// The longest time without any delivery while at least one sender and one receiver were neither stopped nor dead.
    /// The machine's scheduling is part of it.
    pub worst_stall: Duration,
    /// The longest time from a kill to the next delivery, be it by a successor: forking that one, and others' stops, are
    /// part of it.
    pub worst_recovery: Duration,
    /// Messages that fit before, and after a drain at the end.
    pub capacity: (u64, u64),
    /// Open file descriptors of this process, before and after.
    pub descriptors: (usize, usize),
    /// What else went wrong: somebody failed, hung, or left something behind.
    pub failures: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Verdict {
    /// Whether nothing happened that must not.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.tally.is_clean()
            && self.failures.is_empty()
            && self.capacity.0 == self.capacity.1
            && self.descriptors.0 == self.descriptors.1
    }
}

/// Without a delivery for so long, with senders and receivers at work, it is called a hang.
const HANG: Duration = Duration::from_secs(10);
const LOG_RECORDS: usize = 1 << 14;

/// Runs a storm. `progress` is called a few times a second.
///
/// # Errors
/// If it cannot be set up. What goes wrong in it is in the verdict.
pub fn run(plan: &Plan, mut progress: impl FnMut(&Progress)) -> Result<Verdict, String> {
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
    killed: u64,
    stopped: u64,
    capacity: u64,
    last_delivery: u64,
    /// Since when at least one sender and one receiver can go on; 0: not now.
    able_since: u64,
    /// Kills that no delivery has followed yet.
    open_kills: Vec<u64>,
    worst_stall: u64,
    worst_recovery: u64,
    deliveries: Vec<u64>,
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
            killed: 0,
            stopped: 0,
            capacity: 0,
            last_delivery: 0,
            able_since: 0,
            open_kills: Vec::new(),
            worst_stall: 0,
            worst_recovery: 0,
            deliveries: Vec::new(),
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
        self.floor.log(seat).clear();
        self.floor.attached(seat).store(0, SeqCst);
        self.seats[seat] = Seat { who, until: 0, ready: false };
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

    fn rage(&mut self, progress: &mut impl FnMut(&Progress)) -> Result<(), String> {
        self.begin = now();
        (0..self.seats.len()).try_for_each(|seat| self.spawn(seat))?;
        let end = self.begin + self.plan.at_most.as_nanos() as u64;
        let (mut next_fault, mut next_word) = (self.begin, self.begin);
        while now() < end && !self.is_enough() {
            self.listen()?;
            let at = now();
            if at >= next_fault {
                self.fault()?;
                let mean = self.plan.every.as_nanos() as u64;
                next_fault = now() + self.roll(2 * mean);
            }
            if at >= next_word {
                progress(&self.progress());
                next_word = at + 250_000_000;
            }
            std::thread::sleep(Duration::from_micros(200));
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
        self.killed += 1;
        let who = self.seats[seat].who;
        self.read(seat);
        self.auditor.killed(who);
        self.seats[seat].ready = false;
        self.mind_who_is_able(at);
        self.open_kills.push(at);
        self.spawn(seat)
    }

    fn read(&mut self, seat: usize) {
        let who = self.seats[seat].who;
        let Storm { auditor, floor, deliveries, .. } = self;
        floor.log(seat).read(|record| {
            auditor.note(who, record.event);
            if matches!(record.event, Event::Took { .. }) {
                deliveries.push(record.at);
            }
        });
    }

    /// Reads all logs, continues who was stopped long enough, and looks for hangs.
    fn listen(&mut self) -> Result<(), String> {
        for seat in 0..self.seats.len() {
            if !self.seats[seat].ready && self.floor.attached(seat).load(SeqCst) != 0 {
                self.seats[seat].ready = true;
                self.mind_who_is_able(now());
            }
            if self.seats[seat].until != 0 && now() >= self.seats[seat].until {
                self.server.resume(seat)?;
                self.seats[seat].until = 0;
                self.mind_who_is_able(now());
            }
            self.read(seat);
        }
        let mut deliveries = std::mem::take(&mut self.deliveries);
        deliveries.sort_unstable();
        for &at in &deliveries {
            let from = self.last_delivery.max(self.able_since);
            if self.able_since != 0 && at > from {
                self.worst_stall = self.worst_stall.max(at - from);
            }
            self.last_delivery = self.last_delivery.max(at);
        }
        if let Some(&last) = deliveries.last() {
            let first_after = |kill: u64| deliveries[deliveries.partition_point(|&at| at <= kill)..].first();
            let worst = self.open_kills.iter().filter_map(|&kill| Some(first_after(kill)? - kill)).max();
            self.worst_recovery = self.worst_recovery.max(worst.unwrap_or(0));
            self.open_kills.retain(|&kill| kill >= last);
        }
        deliveries.clear();
        self.deliveries = deliveries;
        let silent = now().saturating_sub(self.last_delivery.max(self.able_since));
        if self.able_since != 0 && silent > HANG.as_nanos() as u64 {
            self.worst_stall = self.worst_stall.max(silent);
            return Err(format!("no delivery for {:?}: a hang", Duration::from_nanos(silent)));
        }
        Ok(())
    }

    /// Senders leave, then receivers, when nothing is left.
    fn calm_down(&mut self) -> Result<(), String> {
        for seat in 0..self.seats.len() {
            self.seats[seat].until = 0;
            self.server.resume(seat)?;
        }
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
                    (0..self.seats.len()).for_each(|seat| self.read(seat));
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
            log.read(|record| auditor.note(who, record.event));
        }
        self.auditor.left(receiver);
        Ok(count)
    }

    fn conclude(mut self, failure: Option<String>) -> Verdict {
        let took = Duration::from_nanos(now() - self.begin);
        let mut failures: Vec<_> = failure.into_iter().collect();
        let capacity = self.fill_and_drain().unwrap_or_else(|error| {
            failures.push(error);
            0
        });
        Verdict {
            plan: self.plan.clone(),
            tally: self.auditor.finish(),
            killed: self.killed,
            stopped: self.stopped,
            worst_stall: Duration::from_nanos(self.worst_stall),
            worst_recovery: Duration::from_nanos(self.worst_recovery),
            capacity: (self.capacity, capacity),
            descriptors: (0, 0),
            failures,
            took,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Verdict { plan, tally, .. } = self;
        writeln!(
            f,
            "{:?} {} x {}, {:?}, {:?}, seed {}: {} killed, {} stopped in {:.1?}",
            plan.kind,
            plan.senders,
            plan.receivers,
            plan.put,
            plan.take,
            plan.seed,
            self.killed,
            self.stopped,
            self.took
        )?;
        writeln!(
            f,
            "  sent {} and {} by the killed, received {}, gone with the killed {}, redelivered {}",
            tally.sent, tally.sent_by_the_killed, tally.received, tally.in_hands, tally.redelivered
        )?;
        writeln!(
            f,
            "  lost {}, duplicated {}, torn {}, out of order {}, never sent {}",
            tally.lost, tally.duplicated, tally.torn, tally.out_of_order, tally.phantom
        )?;
        write!(
            f,
            "  worst stall {:.1?}, worst recovery {:.1?}, capacity {} before, {} after, descriptors {} and {}",
            self.worst_stall,
            self.worst_recovery,
            self.capacity.0,
            self.capacity.1,
            self.descriptors.0,
            self.descriptors.1
        )?;
        self.failures.iter().try_for_each(|what| write!(f, "\n  FAILED {what}"))?;
        tally.evidence.iter().take(5).try_for_each(|what| write!(f, "\n  {what:?}"))
    }
}
