//! Records histories: processes that do a few operations each on one ring at the same time, again and again, some of them
//! killed in the middle, each operation between two readings of the machine's clock. Each history is judged at once.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the observer's own words and fence")]

use crate::child::{Child, fork};
use crate::ends::Kind;
use crate::history::{Did, Op, Wrong, check};
use crate::log::now;
use crate::payload::mix;
use crate::words::Words;
use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::sys::wait::WaitStatus;
use nix::time::ClockId;
use slipring::mpmc::{Receiver, Sender};
use slipring::spsc::{Consumer, Producer};
use slipring::{RecvError, Ring, SendError};
use std::sync::atomic::{Ordering::SeqCst, fence};
use std::time::Duration;

/// What to record.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The ring.
    pub kind: Kind,
    /// Processes that put values in.
    pub senders: usize,
    /// Processes that take values out.
    pub receivers: usize,
    /// How many histories.
    pub histories: u64,
    /// In one history of so many somebody is killed; 0: in none.
    pub kill_every: u64,
    /// Decides who, and when.
    pub seed: u64,
}

/// What was recorded.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// How many histories.
    pub histories: u64,
    /// How many operations, all together.
    pub operations: u64,
    /// Histories in which operations of different processes overlapped.
    pub overlapping: u64,
    /// Processes killed.
    pub killed: u64,
    /// Operations in the middle of which somebody was killed.
    pub pending: u64,
    /// Answers that there was nothing.
    pub empties: u64,
    /// Histories that no queue has, the first few.
    pub wrong: Vec<(Vec<Op>, Wrong)>,
}

/// Operations of each process in a history.
const EACH: usize = 12;
/// Operations of one that is to be killed among them.
const LONG: usize = 200;
/// What one process may record in a history: its own and those of draining.
const MOST: usize = 256;
const PLACES: usize = 4;
const AREA: usize = 8 + MOST * 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// No number of nanoseconds that anybody is given to live.
const NEVER: u64 = u64::MAX;

const SKIP: u64 = 0;
const PUT: u64 = 1;
const TOOK: u64 = 2;
const EMPTY: u64 = 3;
const MAYBE_PUT: u64 = 4;
const MAYBE_TOOK: u64 = 5;

enum End {
    Producer(Producer),
    Consumer(Consumer),
    Sender(Sender),
    Receiver(Receiver),
}

/// A timer of this process whose signal is SIGKILL: it ends between two instructions, whichever they are.
fn die_in(time: Duration) -> Timer {
    let signal = SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 };
    let mut timer =
        Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(signal)).expect("timer_create(2) with SIGKILL");
    let once = Expiration::OneShot(TimeSpec::from_duration(time));
    timer.set(once, TimerSetTimeFlags::empty()).expect("timer_settime(2)");
    timer
}

/// What the recording process and the others share: the number of the round at word 0, of its draining at word 1, who
/// is to be killed at word 2 and after how many nanoseconds at word 3, and an area for each of them.
struct Desk {
    words: Words,
}

impl Desk {
    fn area(&self, process: usize, at: usize) -> &std::sync::atomic::AtomicU64 {
        &self.words[8 + process * AREA + at]
    }

    /// Waits for the number at `at` to be `round`.
    fn wait_for(&self, at: usize, round: u64) {
        while self.words[at].load(SeqCst) != round {
            std::thread::yield_now();
        }
    }

    fn begin(&self, process: usize, kind: u64, value: u64) -> usize {
        let at = self.area(process, 1).load(SeqCst) as usize;
        let op = 8 + at * 4;
        self.area(process, op).store(kind, SeqCst);
        self.area(process, op + 1).store(value, SeqCst);
        self.area(process, op + 2).store(now(), SeqCst);
        self.area(process, op + 3).store(u64::MAX, SeqCst);
        self.area(process, 1).store(at as u64 + 1, SeqCst);
        // Nothing of the operation before this.
        // SAFETY: every x86-64 processor has it; it touches nothing.
        unsafe { std::arch::x86_64::_mm_lfence() };
        op
    }

    fn end(&self, process: usize, op: usize, kind: u64, value: u64) {
        // What was stored is visible before the clock is read.
        fence(SeqCst);
        self.area(process, op + 3).store(now(), SeqCst);
        self.area(process, op + 1).store(value, SeqCst);
        self.area(process, op).store(kind, SeqCst);
    }

    fn put(&self, process: usize, end: &mut End, value: u64) {
        let op = self.begin(process, MAYBE_PUT, value);
        let done = match end {
            End::Producer(tx) => tx.try_send(&value.to_ne_bytes()),
            End::Sender(tx) => tx.try_send(&value.to_ne_bytes()),
            _ => panic!("a receiver does not send"),
        };
        match done {
            Ok(()) => self.end(process, op, PUT, value),
            // Of what full means the two rings have ideas of their own; no claim.
            Err(SendError::Full) => self.end(process, op, SKIP, value),
            Err(error) => panic!("sending: {error}"),
        }
    }

    fn take(&self, process: usize, end: &mut End) -> bool {
        let op = self.begin(process, MAYBE_TOOK, 0);
        let mut value = [0; 8];
        let done = match end {
            End::Consumer(rx) => rx.try_recv(&mut value),
            End::Receiver(rx) => rx.try_recv(&mut value),
            _ => panic!("a sender does not receive"),
        };
        match done {
            Ok(8) => self.end(process, op, TOOK, u64::from_ne_bytes(value)),
            Err(RecvError::Empty | RecvError::Closed | RecvError::PeerDied { .. }) => {
                self.end(process, op, EMPTY, 0);
            }
            other => panic!("receiving: {other:?}"),
        }
        done.is_ok()
    }

    /// The life of a process: rounds, until it is killed.
    fn work(&self, plan: &Plan, ring: &Ring, process: usize, mut round: u64) {
        let mut end = match (plan.kind, process < plan.senders) {
            (Kind::Spsc, true) => End::Producer(ring.producer().expect("the role is free")),
            (Kind::Spsc, false) => End::Consumer(ring.consumer().expect("the role is free")),
            (Kind::Mpmc, true) => End::Sender(ring.sender().expect("there are places")),
            (Kind::Mpmc, false) => End::Receiver(ring.receiver().expect("there are places")),
        };
        let drains = process == plan.senders;
        self.area(process, 2).store(1, SeqCst);
        loop {
            self.wait_for(0, round);
            // Who is to be killed goes on for longer, so as to be in the middle of it.
            let hit = self.words[2].load(SeqCst) == process as u64 + 1;
            let _timer = hit.then(|| die_in(Duration::from_nanos(self.words[3].load(SeqCst))));
            let each = if hit { LONG } else { EACH };
            for n in 0..each as u64 {
                if process < plan.senders {
                    self.put(process, &mut end, round << 32 | (process as u64) << 16 | n);
                } else {
                    self.take(process, &mut end);
                }
            }
            if hit {
                self.wait_for(3, NEVER);
            }
            self.area(process, 0).store(round, SeqCst);
            self.wait_for(1, round);
            if drains {
                while self.take(process, &mut end) {}
            }
            self.area(process, 0).store(round | 1 << 63, SeqCst);
            round += 1;
        }
    }

    /// What `process` did in this round; `dead`: when its death was known, if it was killed.
    fn operations(&self, process: usize, dead: Option<u64>) -> Vec<Op> {
        let count = self.area(process, 1).load(SeqCst) as usize;
        let op = |at: usize| {
            let [kind, value, from, to] =
                [0, 1, 2, 3].map(|i| self.area(process, 8 + at * 4 + i).load(SeqCst));
            let did = match kind {
                PUT => Did::Put(value),
                TOOK => Did::Took(value),
                EMPTY => Did::Empty,
                MAYBE_PUT => Did::MaybePut(value),
                MAYBE_TOOK => Did::MaybeTook,
                _ => return None,
            };
            Some(Op { from, to: if kind >= MAYBE_PUT { dead.unwrap_or(to) } else { to }, did })
        };
        (0..count.min(MOST)).filter_map(op).collect()
    }
}

/// Records and judges.
///
/// # Errors
/// If a process fails or hangs.
pub fn record(plan: &Plan) -> Result<Figures, String> {
    let options = plan.kind.options(PLACES);
    let ring = Ring::anonymous(&options).map_err(|e| e.to_string())?;
    let processes = plan.senders + plan.receivers;
    let desk = Desk { words: Words::new(8 + processes * AREA) };
    let mut figures = Figures::default();
    let mut dice = mix(plan.seed);
    let spawn = |process: usize, round: u64| -> Result<Child, String> {
        (0..3).for_each(|at| desk.area(process, at).store(0, SeqCst));
        let mut child = fork(|| desk.work(plan, &ring, process, round));
        wait(&mut child, "attach", || desk.area(process, 2).load(SeqCst) == 1)?;
        Ok(child)
    };
    let mut children = (0..processes).map(|process| spawn(process, 1)).collect::<Result<Vec<_>, _>>()?;
    for round in 1..=plan.histories {
        let mut history = Vec::new();
        dice = mix(dice);
        let victim = (plan.kill_every > 0 && dice.is_multiple_of(plan.kill_every))
            .then_some((dice >> 32) as usize % processes);
        desk.words[2].store(victim.map_or(0, |victim| victim as u64 + 1), SeqCst);
        // Some operations later, in the middle of whatever it then does.
        desk.words[3].store(500 + (dice >> 40) % 20_000, SeqCst);
        desk.words[0].store(round, SeqCst);
        if let Some(victim) = victim {
            let end = children[victim].ended(PATIENCE);
            if !matches!(end, Some(WaitStatus::Signaled(_, Signal::SIGKILL, _))) {
                return Err(format!("a process was to be killed, and: {end:?}"));
            }
            let dead = now();
            figures.killed += 1;
            let done = desk.operations(victim, Some(dead));
            figures.pending +=
                done.iter().filter(|op| matches!(op.did, Did::MaybePut(_) | Did::MaybeTook)).count() as u64;
            history.extend(done);
            // The successor has nothing to do in this round but to drain.
            children[victim] = spawn(victim, round + 1)?;
        }
        for (process, child) in
            children.iter_mut().enumerate().filter(|(process, _)| Some(*process) != victim)
        {
            wait(child, "do its operations", || desk.area(process, 0).load(SeqCst) == round)?;
        }
        desk.words[1].store(round, SeqCst);
        let drained = victim != Some(plan.senders);
        for (process, child) in
            children.iter_mut().enumerate().filter(|(process, _)| Some(*process) != victim)
        {
            wait(child, "drain", || desk.area(process, 0).load(SeqCst) == (round | 1 << 63))?;
            history.extend(desk.operations(process, None));
            desk.area(process, 1).store(0, SeqCst);
        }
        if !drained {
            // Whoever drains was killed: its successor takes what is left as its first answers, in a round of its own
            // whose operations belong to this history.
            history.extend(drain_by_another(plan, &ring, &desk, &mut children, round)?);
        }
        figures.histories += 1;
        figures.operations += history.len() as u64;
        figures.empties += history.iter().filter(|op| op.did == Did::Empty).count() as u64;
        figures.overlapping += u64::from(overlaps(&history));
        if let Err(wrong) = check(&history)
            && figures.wrong.len() < 3
        {
            figures.wrong.push((history, wrong));
        }
    }
    Ok(figures)
}

/// A process that only drains, in the place of the receiver that was killed; then that one's successor again.
fn drain_by_another(
    plan: &Plan,
    ring: &Ring,
    desk: &Desk,
    children: &mut [Child],
    round: u64,
) -> Result<Vec<Op>, String> {
    let process = plan.senders;
    std::mem::replace(&mut children[process], fork(|| ())).kill();
    (0..3).for_each(|at| desk.area(process, at).store(0, SeqCst));
    let mut child = fork(|| {
        let mut end = match plan.kind {
            Kind::Spsc => End::Consumer(ring.consumer().expect("the role is free")),
            Kind::Mpmc => End::Receiver(ring.receiver().expect("there are places")),
        };
        while desk.take(process, &mut end) {}
        desk.area(process, 2).store(1, SeqCst);
        loop {
            std::thread::yield_now();
        }
    });
    wait(&mut child, "drain", || desk.area(process, 2).load(SeqCst) == 1)?;
    let done = desk.operations(process, None);
    child.kill();
    (0..3).for_each(|at| desk.area(process, at).store(0, SeqCst));
    children[process] = fork(|| desk.work(plan, ring, process, round + 1));
    wait(&mut children[process], "attach", || desk.area(process, 2).load(SeqCst) == 1)?;
    Ok(done)
}

fn wait(child: &mut Child, what: &str, done: impl Fn() -> bool) -> Result<(), String> {
    let patience = now() + PATIENCE.as_nanos() as u64;
    let mut looks = 0_u32;
    while !done() {
        looks += 1;
        if looks.is_multiple_of(1024) && child.ended(Duration::ZERO).is_some() {
            return Err(format!("a process failed to {what}"));
        }
        if now() > patience {
            return Err(format!("a process hangs and does not {what}"));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Whether any two operations overlapped: of different processes then, since each does one after the other.
fn overlaps(history: &[Op]) -> bool {
    let mut spans: Vec<_> = history.iter().map(|op| (op.from, op.to)).collect();
    spans.sort_unstable();
    spans.windows(2).any(|pair| pair[1].0 < pair[0].1)
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} histories, {} with overlapping operations, {} operations, {} of them \"empty\", {} killed, {} of them in an \
             operation, {} not of a queue",
            self.histories,
            self.overlapping,
            self.operations,
            self.empties,
            self.killed,
            self.pending,
            self.wrong.len()
        )
    }
}
