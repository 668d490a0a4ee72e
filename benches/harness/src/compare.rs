//! The job behind `slipring compare`: slipring beside the kernel's own mechanisms, in one table.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::clock::Clock;
use crate::cores::Cores;
use crate::error::HarnessError;
use crate::load::LoadLimit;
use crate::machine::Machine;
use crate::measure::{PayloadSource, Setting};
use crate::mechanism::name;
use crate::mechanism::{Futex, Park, Pipe, Slot, Spin, Spsc, UnixStream};
use crate::process::Pair;
use crate::report::{Method, Report};
use crate::rounds::{self, Cell, Progress};

const LATENCY_SIZES: [usize; 4] = [8, 56, 1024, 4096];
const THROUGHPUT_SIZES: [usize; 5] = [8, 56, 1024, 4096, 65536];
const WAKE_SIZE: usize = 8;

/// What to compare and how long.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// How often everything is measured, interleaved.
    pub rounds: usize,
    /// Timed part of one measurement.
    pub budget: Duration,
    /// The payload sources throughput is measured with.
    pub sources: Vec<PayloadSource>,
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
    /// The full setting: 9 rounds, about 40 seconds.
    fn default() -> Self {
        CompareOptions {
            rounds: 9,
            budget: Duration::from_millis(35),
            sources: vec![PayloadSource::Registers, PayloadSource::Memory],
            cores: None,
            load: LoadLimit::default(),
            limit: Duration::from_secs(30),
            commit: None,
        }
    }
}

impl CompareOptions {
    /// A first impression: 5 rounds, one payload source, under 15 seconds.
    pub fn quick() -> Self {
        CompareOptions {
            rounds: 5,
            budget: Duration::from_millis(20),
            sources: vec![PayloadSource::Registers],
            ..CompareOptions::default()
        }
    }
}

/// Measures everything and summarises it. `progress` is called before each measurement; it must not start threads.
///
/// The calling process must have one thread (see [`crate::process`]); it is neither pinned nor otherwise changed.
pub fn compare(options: CompareOptions, progress: impl FnMut(Progress<'_>)) -> Result<Report, HarnessError> {
    let cores = match options.cores {
        Some([first, second]) => Cores::exactly(first, second)?,
        None => Cores::choose()?,
    };
    if options.rounds == 0 {
        return Err(HarnessError::BadOption { what: "no rounds at all".into() });
    }
    name::remove_stale();
    let clock = Clock::calibrate();
    let setting = Setting { pair: Pair { cores, limit: options.limit }, clock, budget: options.budget };
    let cells = cells(&options.sources);
    let rounds = rounds::run(&setting, &cells, options.rounds, progress)?;
    let kept = rounds::keep(rounds, &options.load);
    let method = Method::of(&setting);
    Ok(Report::new(Machine::this(cores), method, options.commit, &clock, &[(&cells, &kept)]))
}

/// By size, so that what is compared stands and is measured side by side.
fn cells(sources: &[PayloadSource]) -> Vec<Cell> {
    // A copy of a cached message adds little to a round trip: one source is enough for latency.
    let latency = |size| {
        let source = PayloadSource::Registers;
        [
            Cell::latency::<Spsc<Spin>>(size, source),
            Cell::latency::<Spsc<Park>>(size, source),
            Cell::latency::<Pipe>(size, source),
            Cell::latency::<UnixStream>(size, source),
        ]
    };
    let throughput = |(size, source)| {
        [
            Cell::throughput::<Spsc<Spin>>(size, source),
            Cell::throughput::<Spsc<Park>>(size, source),
            Cell::throughput::<Pipe>(size, source),
            Cell::throughput::<UnixStream>(size, source),
        ]
    };
    let sources =
        THROUGHPUT_SIZES.into_iter().flat_map(|size| sources.iter().map(move |&source| (size, source)));
    let wake = [
        Cell::wake::<Futex>(WAKE_SIZE, PayloadSource::Registers),
        Cell::wake::<Spsc<Park>>(WAKE_SIZE, PayloadSource::Registers),
        Cell::wake::<Pipe>(WAKE_SIZE, PayloadSource::Registers),
        Cell::wake::<UnixStream>(WAKE_SIZE, PayloadSource::Registers),
    ];
    let floor = Cell::latency::<Slot>(56, PayloadSource::Registers);
    let latencies = LATENCY_SIZES.into_iter().flat_map(latency).chain([floor]);
    latencies.chain(sources.flat_map(throughput)).chain(wake).collect()
}
