//! Every verb, killed or frozen between any two of its machine instructions.

use crate::scene::{Beside, HANG, Logs, Outcome, Stage, VERBS, Verb};
use crate::schedule::count_steps;
use crate::trace::{Arrived, Record, Victim, stay_on_one_core};
use serde::Serialize;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What is done to the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// Frozen while the others go on, then continued.
    Freeze,
}

/// Which of a verb's instructions are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Density {
    /// Every `stride`th.
    pub stride: usize,
    /// Of an instruction that is executed again and again, only so many first and so many last times.
    pub repeats: u32,
}

impl Density {
    /// All of them.
    pub const ALL: Density = Density { stride: 1, repeats: u32::MAX / 2 };
}

/// What became of one verb.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which verb.
    pub verb: &'static str,
    /// Instructions from mark to mark.
    pub instructions: usize,
    /// Which of them were tried.
    pub density: Density,
    /// At how many a victim was killed or frozen.
    pub tried: usize,
    /// How many of these were not the recorded instruction, but another one of the verb.
    pub elsewhere: usize,
    /// The first instruction at which a death found the verb's effect done.
    pub effect_at: Option<usize>,
    /// Messages that others moved past a frozen victim.
    pub moved_meanwhile: u64,
    /// The longest of their verbs, without want of a core.
    pub longest_meanwhile: Duration,
    /// The most steps of the protocol in one of them, in a build that counts them.
    pub most_steps_meanwhile: u64,
    /// The longest time from a death to a message behind it and the full capacity.
    pub worst_recovery: Duration,
    /// What was violated, and where.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// A verb has at most so many instructions here.
const MOST_INSTRUCTIONS: usize = 2_000_000;
/// After so many violations the verb is given up, and after a hang.
const MOST_VIOLATIONS: usize = 5;

/// Tries one verb. Whatever hangs is reported as a violation after a while, not waited for.
#[must_use]
pub fn step_through(verb: Verb, fault: Fault, density: impl Fn(usize) -> Density + Send + 'static) -> Report {
    let (says, hears) = channel();
    let begin = Instant::now();
    let worker = std::thread::spawn(move || {
        let say = |news: News| drop(says.send(news));
        try_all(verb, fault, density, &say);
    });
    let mut report = Report {
        verb: verb.name,
        instructions: 0,
        density: Density::ALL,
        tried: 0,
        elsewhere: 0,
        effect_at: None,
        moved_meanwhile: 0,
        longest_meanwhile: Duration::ZERO,
        most_steps_meanwhile: 0,
        worst_recovery: Duration::ZERO,
        violations: Vec::new(),
        took: Duration::ZERO,
    };
    let mut step = 0;
    loop {
        // Each wait in a step has a bound of its own, of which one that is reached ends the step.
        match hears.recv_timeout(HANG * 5) {
            Ok(News::Recorded { instructions, density }) => {
                (report.instructions, report.density) = (instructions, density);
            }
            Ok(News::At(k)) => step = k,
            Ok(News::Tried { arrived, outcome, beside }) => {
                report.tried += 1;
                report.elsewhere += usize::from(arrived != Arrived::There && step < report.instructions);
                report.worst_recovery = report.worst_recovery.max(outcome.recovery);
                report.moved_meanwhile += beside.moved;
                report.longest_meanwhile = report.longest_meanwhile.max(beside.longest);
                report.most_steps_meanwhile = report.most_steps_meanwhile.max(beside.most_steps);
                if fault == Fault::Kill && outcome.moved > 0 && report.effect_at.is_none() {
                    report.effect_at = Some(step);
                }
            }
            Ok(News::Violated(what)) => report.violations.push(format!("step {step}: {what}")),
            Err(RecvTimeoutError::Timeout) => {
                report.violations.push(format!("step {step}: hangs"));
                break;
            }
            Err(RecvTimeoutError::Disconnected) => {
                if worker.join().is_err() {
                    report.violations.push(format!("step {step}: the survivor panicked"));
                }
                break;
            }
        }
    }
    if report.tried == 0 && report.violations.is_empty() {
        report.violations.push("nothing was tried".into());
    }
    report.took = begin.elapsed();
    report
}

enum News {
    Recorded { instructions: usize, density: Density },
    At(usize),
    Tried { arrived: Arrived, outcome: Outcome, beside: Beside },
    Violated(String),
}

fn try_all(verb: Verb, fault: Fault, density: impl Fn(usize) -> Density, say: &impl Fn(News)) {
    stay_on_one_core();
    count_steps();
    let logs = Logs::default();
    let record = match record(verb, &logs) {
        Ok(record) => record,
        Err(error) => return say(News::Violated(format!("recording: {error}"))),
    };
    let density = density(record.len());
    say(News::Recorded { instructions: record.len(), density });
    let mut violations = 0;
    // The last step is the second mark: the verb is done, and nothing behind it.
    for k in record.steps(density.stride, density.repeats).into_iter().chain([record.len()]) {
        say(News::At(k));
        let began = Instant::now();
        match try_one(verb, fault, &logs, &record, k) {
            Ok((arrived, outcome, beside)) => say(News::Tried { arrived, outcome, beside }),
            Err(what) => {
                say(News::Violated(what));
                violations += 1;
                if violations == MOST_VIOLATIONS || began.elapsed() > HANG {
                    return;
                }
            }
        }
    }
}

fn record(verb: Verb, logs: &Logs) -> Result<Record, String> {
    let stage = Stage::new(verb, logs)?;
    let victim = Victim::run(|| stage.perform())?;
    Record::of(victim, MOST_INSTRUCTIONS)
}

fn try_one(
    verb: Verb,
    fault: Fault,
    logs: &Logs,
    record: &Record,
    k: usize,
) -> Result<(Arrived, Outcome, Beside), String> {
    let mut stage = Stage::new(verb, logs)?;
    let mut victim = Victim::run(|| stage.perform())?;
    let arrived = record.go(&mut victim, k);
    if arrived == Arrived::Gone {
        return Err("the victim is gone".into());
    }
    match fault {
        Fault::Kill => {
            victim.kill();
            stage.verify(false).map(|outcome| (arrived, outcome, Beside::default()))
        }
        Fault::Freeze => {
            let beside = stage.go_on(arrived == Arrived::AtEnd)?;
            if arrived != Arrived::AtEnd && victim.to_mark() != crate::trace::At::Mark {
                return Err("the victim did not get to its mark".into());
            }
            let mut child = victim.let_go()?;
            match child.ended(HANG) {
                Some(nix::sys::wait::WaitStatus::Exited(_, 0)) => {}
                other => return Err(format!("the victim went on and failed: {other:?}")),
            }
            stage.verify(true).map(|outcome| (arrived, outcome, beside))
        }
    }
}

/// The verbs whose name contains `part`.
pub fn verbs(part: &str) -> impl Iterator<Item = Verb> {
    VERBS.iter().copied().filter(move |verb| verb.name.contains(part))
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Density { stride, repeats } = self.density;
        write!(f, "{:<38} {:>7} instructions, {:>6} tried", self.verb, self.instructions, self.tried)?;
        if stride > 1 {
            write!(f, ", every {stride}th")?;
        }
        if repeats < Density::ALL.repeats {
            write!(f, ", repeated ones {repeats} first and last times")?;
        }
        if self.elsewhere > 0 {
            write!(f, ", {} elsewhere", self.elsewhere)?;
        }
        if let Some(at) = self.effect_at {
            write!(f, ", effect at {at}")?;
        }
        if self.moved_meanwhile > 0 {
            let (moved, longest) = (self.moved_meanwhile, self.longest_meanwhile);
            write!(f, ", {moved} messages meanwhile, a verb {longest:.1?} at the longest")?;
        }
        write!(f, ", worst recovery {:.1?}, {:.1?}", self.worst_recovery, self.took)?;
        self.violations.iter().try_for_each(|what| write!(f, "\n  VIOLATED {what}"))
    }
}
