//! The job behind `slipring compare`: slipring beside the kernel's own mechanisms, in one report.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::catalogue::{self, Entry, Row};
use crate::clock::Clock;
use crate::cores::Cores;
use crate::error::HarnessError;
use crate::load::LoadLimit;
use crate::machine::Machine;
use crate::measure::{PayloadSource, Setting, Shape};
use crate::mechanism::name;
use crate::payload::check_size;
use crate::process::Pair;
use crate::report::{MechanismRow, Method, MissingRow, Report, SyscallRow};
use crate::rounds::{self, Cell, KINDS, Progress};
use crate::syscalls;

/// Bytes of a message that wakes, comes at a rate, is the first or the first after a death: all mechanisms can carry so
/// many.
const SMALL: usize = 8;
/// Bytes of a message among many senders and receivers, or through one of several sources.
const LINE: usize = 56;
/// What more may be chosen by its name: the extra round in which system calls are counted.
pub const CALLS: &str = "calls";
/// How long each measurement is tried for before the rounds.
const TRIAL: Duration = Duration::from_millis(1);
/// How long system calls are counted for.
const COUNTING: Duration = Duration::from_millis(5);

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
    /// What to measure, as `latency` or `paced` ([`KINDS`]) or `calls`; none: everything.
    pub kinds: Vec<String>,
    /// Messages a second where they come at a rate.
    pub rates: Vec<u32>,
    /// How many senders and receivers where there are many.
    pub shapes: Vec<Shape>,
    /// Two different cores to pin to; none: choose.
    pub cores: Option<[usize; 2]>,
    /// Outside load beyond which a round is dropped.
    pub load: LoadLimit,
    /// When a single measurement is given up.
    pub limit: Duration,
    /// Commit of the measured code, for the report.
    pub commit: Option<String>,
}

/// From one to four on either side.
const FANS: [Shape; 5] = [
    Shape::pairs(1),
    Shape { senders: 2, receivers: 1 },
    Shape { senders: 4, receivers: 1 },
    Shape { senders: 1, receivers: 2 },
    Shape { senders: 1, receivers: 4 },
];

impl Default for CompareOptions {
    /// All mechanisms at a few sizes up to 4 MiB: 5 rounds, under five minutes.
    fn default() -> Self {
        CompareOptions {
            rounds: 5,
            budget: Duration::from_millis(20),
            sources: vec![PayloadSource::Registers],
            only: Vec::new(),
            few: false,
            latency_sizes: vec![1, 8, 56, 4096, 65536, 1 << 20],
            throughput_sizes: vec![1, 8, 56, 4096, 65536, 1 << 20, 4 << 20],
            kinds: Vec::new(),
            rates: vec![10_000, 100_000],
            shapes: [&FANS[..], &[Shape::pairs(2), Shape::pairs(4)]].concat(),
            cores: None,
            load: LoadLimit::default(),
            limit: Duration::from_secs(30),
            commit: None,
        }
    }
}

impl CompareOptions {
    /// A first impression: slipring, the pipe and the Unix stream, under a minute.
    pub fn quick() -> Self {
        CompareOptions {
            few: true,
            latency_sizes: vec![8, 56, 1024, 4096],
            throughput_sizes: vec![8, 56, 1024, 4096, 65536],
            rates: vec![100_000],
            shapes: FANS.to_vec(),
            ..CompareOptions::default()
        }
    }

    /// All mechanisms at many sizes, both payload sources, 9 rounds: five minutes, on a busy machine up to fifteen.
    pub fn full() -> Self {
        CompareOptions {
            rounds: 9,
            sources: vec![PayloadSource::Registers, PayloadSource::Memory],
            latency_sizes: vec![1, 8, 56, 1024, 4096, 65536, 1 << 20, 4 << 20],
            throughput_sizes: vec![1, 8, 56, 1024, 4096, 65536, 1 << 20, 4 << 20],
            ..CompareOptions::default()
        }
    }

    /// Whether this is among what is to be measured.
    fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind)
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
    if let Some(kind) = options.kinds.iter().find(|kind| *kind != CALLS && !KINDS.contains(&kind.as_str())) {
        let what =
            format!("there is nothing called {kind:?} to measure; there are {}, {CALLS}", KINDS.join(", "));
        return Err(HarnessError::BadOption { what });
    }
    let mut entries = catalogue::named(&options.only)?;
    entries.retain(|entry| entry.quick || !options.few || !options.only.is_empty());
    name::remove_stale();
    let clock = Clock::calibrate();
    let setting = Setting { pair: Pair { cores, limit: options.limit }, clock, budget: options.budget };

    let (planned, mut missing) = plan(&options, &entries);
    let counted = |cells: &[Cell]| match options.wants(CALLS) {
        true => cells.iter().filter(|cell| CALLED.contains(&cell.kind())).count(),
        false => 0,
    };
    let total = planned.len() * (1 + options.rounds) + counted(&planned);
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

    let total = trials + cells.len() * rounds + counted(&cells);
    let passes = rounds::run(&setting, &cells, rounds, |at| {
        progress(Progress { done: trials + at.done, total, ..at });
    })?;
    let kept = rounds::keep(passes, &options.load);
    let mut syscalls = Vec::new();
    let counting = Setting { budget: options.budget.min(COUNTING), ..setting };
    if options.wants(CALLS) {
        let called: Vec<_> = cells.iter().filter(|cell| CALLED.contains(&cell.kind())).collect();
        for (cell, done) in called.into_iter().zip(trials + cells.len() * rounds..) {
            progress(Progress { round: rounds, rounds, done, total, cell });
            match syscalls::count(&counting, cell) {
                Ok(counted) => syscalls.push(SyscallRow::new(cell, &counted)),
                Err(error @ HarnessError::Os { .. }) => {
                    missing
                        .push(MissingRow { kind: CALLS.into(), ..MissingRow::new(cell, error.to_string()) });
                }
                Err(error) => return Err(error),
            }
        }
    }
    let method = Method::of(&setting);
    let mut report = Report::new(Machine::this(cores), method, options.commit, &clock, &[(&cells, &kept)]);
    report.mechanisms = entries.iter().map(MechanismRow::new).collect();
    report.missing = missing;
    report.syscalls = syscalls;
    Ok(report)
}

/// Where system calls are counted: where both sides say when their timed part begins and ends.
const CALLED: [&str; 4] = ["latency", "throughput", "wake", "select"];

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
                put(entry.throughput, &mut cells, &mut missing, |make| make(size, source));
            }
        }
    }
    cells.extend(entries.iter().filter_map(|entry| Some(entry.wake?(SMALL, first))));
    for &rate in &options.rates {
        for entry in entries {
            put(entry.paced, &mut cells, &mut missing, |make| make(SMALL, rate));
        }
    }
    for &shape in &options.shapes {
        cells.extend(entries.iter().filter_map(|entry| Some(entry.many?(LINE, shape))));
    }
    cells.extend(entries.iter().filter_map(|entry| Some(entry.select?(LINE, first))));
    for entry in entries {
        put(entry.cold, &mut cells, &mut missing, |make| make(SMALL, first));
    }
    for entry in entries {
        put(entry.recovery, &mut cells, &mut missing, |make| make(SMALL, first));
    }
    cells.extend(entries.iter().filter_map(|entry| Some(entry.signals?())));
    cells.retain(|cell| options.wants(cell.kind()));
    missing.retain(|row| options.wants(&row.kind));
    (cells, missing)
}

/// A cell, or a row that says why there is none.
fn put<M>(row: Row<M>, cells: &mut Vec<Cell>, missing: &mut Vec<MissingRow>, cell: impl Fn(M) -> Cell) {
    match row {
        Row::Yes(make) => cells.push(cell(make)),
        Row::No(reason, make) => missing.push(MissingRow::new(&cell(make), reason.into())),
        Row::Not => {}
    }
}
