//! Two victims at chosen steps of the protocol: the first frozen at its step i while the second goes on to its step j.
//! Then both are killed there, or both are continued; or the first is killed at i and the second, who sweeps it, at j.
//!
//! A step is an atomic operation or a full fence. Needs a build with `--cfg slipring_steps`, see `ci/pairs.sh`.
#![allow(clippy::disallowed_types, reason = "the victim's own counters")]

use crate::child::{Child, fork};
use crate::ends::{Kind, Put, Take};
use crate::scene::{Act, HANG, Logs, PLACES, Stage, Verb};
use crate::trace::on_mark;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::WaitStatus;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What is done to a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// The first is frozen at i, the second killed at j, then the first killed.
    KillBoth,
    /// The first is killed at i, the second, which finds it dead, at j.
    KillSweeper,
    /// Both are frozen at i and j while others go on, then continued.
    FreezeBoth,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which verbs.
    pub verbs: (Act, Act),
    /// Which kind.
    pub pair: Pair,
    /// Steps of the first verb, and most steps of the second behind any of them.
    pub steps: (u64, u64),
    /// How many pairs (i, j) were tried.
    pub tried: u64,
    /// What was violated, and where.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

static ARMED: AtomicBool = AtomicBool::new(false);
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);
static SIGNAL: AtomicU64 = AtomicU64::new(0);

fn at_step() {
    if ARMED.load(Relaxed) && LEFT.fetch_sub(1, Relaxed) == 0 {
        ARMED.store(false, Relaxed);
        let signal = if SIGNAL.load(Relaxed) == 0 { Signal::SIGKILL } else { Signal::SIGSTOP };
        let _ = raise(signal);
    }
}

fn at_mark() {
    ARMED.fetch_xor(true, Relaxed);
}

/// In a victim: the `step`th step between its marks is its last, or where it freezes.
fn aim(step: u64, signal: Signal) {
    on_mark(at_mark);
    slipring::on_step(at_step);
    SIGNAL.store(u64::from(signal == Signal::SIGSTOP), Relaxed);
    LEFT.store(step, Relaxed);
}

/// Where a victim ended up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Hit,
    /// Its verb has fewer steps.
    Done,
}

fn settle(child: &mut Child, signal: Signal) -> Result<End, String> {
    match child.changed(HANG) {
        Some(WaitStatus::Stopped(_, Signal::SIGSTOP)) if signal == Signal::SIGSTOP => Ok(End::Hit),
        Some(WaitStatus::Signaled(_, Signal::SIGKILL, _)) if signal == Signal::SIGKILL => Ok(End::Hit),
        Some(WaitStatus::Exited(_, 0)) => Ok(End::Done),
        None => Err("a victim hangs".into()),
        other => Err(format!("a victim failed: {other:?}")),
    }
}

/// The verbs of the first and the second victim on this kind of ring.
#[must_use]
pub fn acts(kind: Kind, pair: Pair) -> Vec<(Act, Act)> {
    let sends = [Act::Send(Put::Copy), Act::Send(Put::Loan), Act::Send(Put::Batch(3)), Act::DetachSender];
    let takes = [
        Act::Take(Take::Recv),
        Act::Take(Take::Frame),
        Act::Take(Take::Peek),
        Act::Take(Take::Batch(3)),
        Act::DetachReceiver,
    ];
    let all = || sends.into_iter().chain(takes);
    match (kind, pair) {
        (Kind::Spsc, Pair::KillSweeper) => Vec::new(),
        (Kind::Spsc, _) => sends
            .into_iter()
            .flat_map(|first| takes.into_iter().map(move |second| (first, second)))
            .filter(|(_, second)| *second != Act::Take(Take::Peek))
            .collect(),
        (Kind::Mpmc, Pair::KillSweeper) => all().map(|first| (first, Act::Sweep)).collect(),
        (Kind::Mpmc, _) => all().flat_map(|first| all().map(move |second| (first, second))).collect(),
    }
}

/// Tries the pairs (i, j) of two verbs, every `stride`th of them.
#[must_use]
pub fn step_through(kind: Kind, (first, second): (Act, Act), pair: Pair, stride: u64, logs: &Logs) -> Report {
    let begin = Instant::now();
    let mut report = Report {
        verbs: (first, second),
        pair,
        steps: (0, 0),
        tried: 0,
        violations: Vec::new(),
        took: Duration::ZERO,
    };
    let (past, there) = if kind == Kind::Spsc { (61, 3) } else { (6, 2) };
    // More than two victims can have in their hands.
    let capacity = if kind == Kind::Spsc { PLACES } else { 8 };
    let verb =
        Verb { name: "a pair", kind, act: first, past, there, capacity, second: Some(second), long: false };
    let mut nth = 0;
    'first: for i in 0.. {
        for j in 0.. {
            // A step beyond the verb's last is tried as well, to know that it was the last.
            nth += 1;
            let skip = (nth + i) % stride != 0 && j != 0;
            if skip {
                // The end of the second verb must be found all the same.
                if j > report.steps.1 + stride {
                    break;
                }
                continue;
            }
            match try_one(verb, pair, i, j, logs) {
                Ok((End::Done, _)) => break 'first,
                Ok((End::Hit, second)) => {
                    report.tried += 1;
                    report.steps.0 = report.steps.0.max(i + 1);
                    if second == End::Done {
                        break;
                    }
                    report.steps.1 = report.steps.1.max(j + 1);
                }
                Err(what) => {
                    report.violations.push(format!("steps {i} and {j}: {what}"));
                    if report.violations.len() == 3 {
                        break 'first;
                    }
                }
            }
        }
    }
    report.took = begin.elapsed();
    report
}

fn try_one(verb: Verb, pair: Pair, i: u64, j: u64, logs: &Logs) -> Result<(End, End), String> {
    let mut stage = Stage::new(verb, logs)?;
    let signals = match pair {
        Pair::KillBoth => (Signal::SIGSTOP, Signal::SIGKILL),
        Pair::KillSweeper => (Signal::SIGKILL, Signal::SIGKILL),
        Pair::FreezeBoth => (Signal::SIGSTOP, Signal::SIGSTOP),
    };
    let mut first = fork(|| {
        aim(i, signals.0);
        stage.perform();
    });
    if settle(&mut first, signals.0)? == End::Done {
        return Ok((End::Done, End::Done));
    }
    let mut second = fork(|| {
        aim(j, signals.1);
        stage.perform_second();
    });
    let end = settle(&mut second, signals.1)?;
    if pair == Pair::FreezeBoth {
        stage.go_on(true)?;
        let mut frozen: Vec<_> = [first, second].into_iter().filter(|child| !child.is_reaped()).collect();
        frozen.iter().for_each(Child::resume);
        let patience = Instant::now() + HANG;
        while let Some(child) = frozen.last_mut() {
            stage.make_room();
            match child.ended(Duration::from_millis(1)) {
                Some(WaitStatus::Exited(_, 0)) => drop(frozen.pop()),
                None if Instant::now() < patience => {}
                other => return Err(format!("a victim went on and failed: {other:?}")),
            }
        }
        stage.verify(true)?;
    } else {
        drop((first, second));
        stage.verify(false)?;
    }
    Ok((End::Hit, end))
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report { verbs, pair, steps, tried, .. } = self;
        write!(
            f,
            "{pair:?} {:?} and {:?}: {} x {} steps, {tried} pairs, {:.1?}",
            verbs.0, verbs.1, steps.0, steps.1, self.took
        )?;
        self.violations.iter().try_for_each(|what| write!(f, "\n  VIOLATED {what}"))
    }
}
