//! The job behind `slipring compare`: slipring beside the kernel's own mechanisms, in one report.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::catalogue::{self, Entry, Throughput};
use crate::clock::Clock;
use crate::cores::Cores;
use crate::error::HarnessError;
use crate::load::LoadLimit;
use crate::machine::Machine;
use crate::measure::{PayloadSource, Setting};
use crate::mechanism::name;
use crate::payload::check_size;
use crate::process::Pair;
use crate::report::{MechanismRow, Method, MissingRow, Report};
use crate::rounds::{self, Cell, Progress};

const WAKE_SIZE: usize = 8;
/// How long each measurement is tried for before the rounds.
const TRIAL: Duration = Duration::from_millis(1);

/// What to compare and how long.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// How often everything is measured, interleaved.
    pub rounds: usize,
    /// Timed part of one measurement.
    pub budget: Duration,
    /// The payload sources throughput is measured with.
    pub sources: Vec<PayloadSource>,
    /// The mechanisms, as `pipe` or `unix` or `slipring-mpmc`; none: all, or in a first impression a few.
    pub only: Vec<String>,
    /// Whether to leave out most of the kernel's mechanisms, unless they are named.
    pub few: bool,
    /// Message sizes for latency.
    pub latency_sizes: Vec<usize>,
    /// Message sizes for throughput.
    pub throughput_sizes: Vec<usize>,
    /// Two different cores to pin to; none: choose.
    pub cores: Option<[usize; 2]>,
    /// Outside load beyond which a round is dropped.
    pub load: LoadLimit,
    /// When a single measurement is given up.
    pub limit: Duration,
    /// Commit of the measured code, for the report.
    pub commit: Option<String>,
}

impl Default for CompareOptions {
    /// All mechanisms at a few sizes: 5 rounds, under a minute.
    fn default() -> Self {
        CompareOptions {
            rounds: 5,
            budget: Duration::from_millis(20),
            sources: vec![PayloadSource::Registers],
            only: Vec::new(),
            few: false,
            latency_sizes: vec![8, 56, 4096],
            throughput_sizes: vec![8, 56, 4096, 65536],
            cores: None,
            load: LoadLimit::default(),
            limit: Duration::from_secs(30),
            commit: None,
        }
    }
}

impl CompareOptions {
    /// A first impression: slipring, the pipe and the Unix stream, under 20 seconds.
    pub fn quick() -> Self {
        CompareOptions {
            few: true,
            latency_sizes: vec![8, 56, 1024, 4096],
            throughput_sizes: vec![8, 56, 1024, 4096, 65536],
            ..CompareOptions::default()
        }
    }

    /// All mechanisms at many sizes, both payload sources, 9 rounds: under five minutes.
    pub fn full() -> Self {
        CompareOptions {
            rounds: 9,
            sources: vec![PayloadSource::Registers, PayloadSource::Memory],
            latency_sizes: vec![8, 56, 1024, 4096, 65536],
            throughput_sizes: vec![8, 56, 1024, 4096, 65536, 1 << 20],
            ..CompareOptions::default()
        }
    }
}

/// Measures everything and summarises it. `progress` is called before each measurement; it must not start threads.
///
/// The calling process must have one thread (see [`crate::process`]); it is neither pinned nor otherwise changed.
pub fn compare(
    options: CompareOptions,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Report, HarnessError> {
    let cores = match options.cores {
        Some([first, second]) => Cores::exactly(first, second)?,
        None => Cores::choose()?,
    };
    if options.rounds == 0 {
        return Err(HarnessError::BadOption { what: "no rounds at all".into() });
    }
    for &size in options.latency_sizes.iter().chain(&options.throughput_sizes) {
        check_size(size)?;
    }
    let mut entries = catalogue::named(&options.only)?;
    entries.retain(|entry| entry.quick || !options.few || !options.only.is_empty());
    name::remove_stale();
    let clock = Clock::calibrate();
    let setting = Setting { pair: Pair { cores, limit: options.limit }, clock, budget: options.budget };

    let (planned, mut missing) = plan(&options, &entries);
    let total = planned.len() * (1 + options.rounds);
    let (rounds, trials) = (options.rounds, planned.len());
    let trial = Setting { budget: options.budget.min(TRIAL), ..setting };
    let (cells, unable) = rounds::trial(&trial, planned, |done, cell| {
        progress(Progress { round: 0, rounds, done, total, cell });
    })?;
    missing.extend(unable.iter().map(|(cell, error)| MissingRow::new(cell, error.to_string())));
    if cells.is_empty() {
        let what = format!("nothing is left to measure of {trials} measurements");
        return Err(HarnessError::BadOption { what });
    }

    let total = trials + cells.len() * rounds;
    let passes = rounds::run(&setting, &cells, rounds, |at| {
        progress(Progress { done: trials + at.done, total, ..at });
    })?;
    let kept = rounds::keep(passes, &options.load);
    let method = Method::of(&setting);
    let mut report = Report::new(Machine::this(cores), method, options.commit, &clock, &[(&cells, &kept)]);
    report.mechanisms = entries.iter().map(MechanismRow::new).collect();
    report.missing = missing;
    Ok(report)
}

/// What is to be measured, by size, so that what is compared stands and is measured side by side; and what is known not
/// to be possible.
fn plan(options: &CompareOptions, entries: &[Entry]) -> (Vec<Cell>, Vec<MissingRow>) {
    // A copy of a cached message adds little to a round trip: one source is enough for latency.
    let first = PayloadSource::Registers;
    let (mut cells, mut missing) = (Vec::new(), Vec::new());
    let fits = |entry: &&Entry, size: usize| entry.only_size.is_none_or(|only| only == size);
    for &size in &options.latency_sizes {
        let fitting = entries.iter().filter(|entry| fits(entry, size));
        cells.extend(fitting.filter_map(|entry| Some(entry.latency?(size, first))));
    }
    for &size in &options.throughput_sizes {
        for &source in &options.sources {
            for entry in entries.iter().filter(|entry| fits(entry, size)) {
                match entry.throughput {
                    Throughput::Yes(make) => cells.push(make(size, source)),
                    Throughput::No(reason, make) => {
                        missing.push(MissingRow::new(&make(size, source), reason.into()));
                    }
                    Throughput::Not => {}
                }
            }
        }
    }
    cells.extend(entries.iter().filter_map(|entry| Some(entry.wake?(WAKE_SIZE, first))));
    (cells, missing)
}
