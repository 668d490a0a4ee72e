//! What the machine does by itself: processes on cores of their own that do nothing but read the clock, for as long as a
//! storm takes, with the same account of the time between two readings as participants of a storm give between two answers.
//! Whatever stalls these is not the ring's. To be laid beside a storm of the same length, on the same machine, with the same
//! other work on it.
#![allow(clippy::disallowed_types, reason = "an observer's own words")]

use crate::child::{Child, fork};
use crate::log::{Event, Log};
use crate::schedule::{Gauge, SLOW};
use crate::summary::{Summary, Times};
use crate::usage::stolen;
use crate::words::Words;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Words of each reader, in a line of its own: its stops, of which there are none, and its readings.
const LINE: usize = 8;
const READINGS: usize = 1;
const LOG_RECORDS: usize = 1 << 14;
/// Each reader has read the clock so often, unless it has no core for so long.
const LEAST: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(60);
/// As a storm's driver between two looks at the logs.
const PAUSE: Duration = Duration::from_micros(200);

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hiccups {
    /// Processes that read the clock, each on a core of its own as long as there are some.
    pub readers: usize,
    /// Whether each was kept to its core, or put anywhere by the scheduler, as participants of a storm are.
    pub pinned: bool,
    /// How long they did.
    pub took: Duration,
    /// Between two readings, as the clock has it.
    pub between: Summary,
    /// The same, less the time in which the kernel or the hypervisor had given the reader's core to another.
    pub net: Summary,
    /// How many of these took longer than the 5 ms of the goal for a stall.
    pub net_over_5_ms: u64,
    /// What the hypervisor took of all cores together meanwhile; the kernel counts it in hundredths of a second.
    pub stolen: Duration,
}

impl Hiccups {
    /// A row for the table in docs/failure-model.md.
    #[must_use]
    pub fn row(&self) -> String {
        format!(
            "| no ring at all: {} processes{} that read the clock, {:.0} s (`hiccups`) | {} readings | longest time between two \
             {:.1?}, longest without want of a core {:.1?}; {} longer than 5 ms; {:.1?} stolen |",
            self.readers,
            if self.pinned { ", each kept to a core," } else { "" },
            self.took.as_secs_f64(),
            self.net.count,
            self.between.max,
            self.net.max,
            self.net_over_5_ms,
            self.stolen,
        )
    }
}

impl std::fmt::Display for Hiccups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = |name: &str, value: &dyn std::fmt::Display| writeln!(f, "  {name:<28}{value}");
        line(
            "readers",
            &format!("{}{}", self.readers, if self.pinned { ", each kept to a core" } else { "" }),
        )?;
        line("took", &format!("{:.1?}", self.took))?;
        line("between two readings", &self.between)?;
        line("  without want of a core", &self.net)?;
        line("  longer than 5 ms", &self.net_over_5_ms)?;
        line("stolen by the hypervisor", &format!("{:.1?}", self.stolen))
    }
}

/// Lets `readers` processes read the clock for so long; 0: one for each core that this process may use.
///
/// # Errors
/// Without /proc, or if a reader fails.
pub fn measure(readers: usize, pinned: bool, length: Duration) -> Result<Hiccups, String> {
    let cores = own_cores()?;
    let readers = if readers == 0 { cores.len() } else { readers };
    let logs = Log::several(readers, LOG_RECORDS);
    let words = Arc::new(Words::new(readers * LINE));
    let before = stolen()?;
    let children: Vec<Child> = (0..readers)
        .map(|reader| {
            let (core, log, words) = (cores[reader % cores.len()], logs[reader].clone(), words.clone());
            fork(move || {
                if pinned {
                    let mut only = CpuSet::new();
                    only.set(core)
                        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &only))
                        .expect("an own core");
                }
                let mut gauge = Gauge::new(log, (words.clone(), reader * LINE));
                loop {
                    gauge.answered();
                    let readings = &words[reader * LINE + READINGS];
                    readings.store(readings.load(Relaxed) + 1, Relaxed);
                }
            })
        })
        .collect();
    let (mut between, mut net, mut net_over_5_ms) = (Times::default(), Times::default(), 0);
    let mut read = || {
        for log in &logs {
            log.read(|record| {
                if let Event::Slow { raw, net: own, .. } = record.event {
                    between.add(raw);
                    net.add(own);
                    net_over_5_ms += u64::from(own > 5_000_000);
                }
            });
        }
    };
    let (begin, patience) = (Instant::now(), length + PATIENCE);
    let readings = |reader: usize| words[reader * LINE + READINGS].load(Relaxed);
    // Who had no core in all that time is waited for.
    let begun = || (0..readers).all(|reader| readings(reader) >= LEAST);
    while begin.elapsed() < length || !begun() && begin.elapsed() < patience {
        read();
        std::thread::sleep(PAUSE);
    }
    let took = begin.elapsed();
    let ended = children.into_iter().map(Child::kill).collect::<Vec<_>>();
    read();
    let stolen = stolen()?.saturating_sub(before);
    if let Some(how) = ended.iter().find(|how| !matches!(how, nix::sys::wait::WaitStatus::Signaled(..))) {
        return Err(format!("a reader of the clock failed: {how:?}"));
    }
    // Those that were not slow took less than that.
    let readings: u64 = (0..readers).map(readings).sum();
    let quick = readings.saturating_sub(between.summary().count);
    between.add_short(SLOW, quick);
    net.add_short(SLOW, quick);
    Ok(Hiccups {
        readers,
        pinned,
        took,
        between: between.summary(),
        net: net.summary(),
        net_over_5_ms,
        stolen,
    })
}

fn own_cores() -> Result<Vec<usize>, String> {
    let cores = sched_getaffinity(Pid::from_raw(0)).map_err(|e| format!("sched_getaffinity: {e}"))?;
    Ok((0..CpuSet::count()).filter(|core| cores.is_set(*core).unwrap_or(false)).collect())
}
