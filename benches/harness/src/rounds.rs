//! Interleaved rounds: reference, A, reference, B, reference, ... and the same again, so that whatever the machine does
//! meanwhile happens to all rows alike, and each reading has references of its own from the moments before and after.
#![forbid(unsafe_code)]

use crate::error::HarnessError;
use crate::load::{Load, LoadLimit, LoadWatch};
use crate::measure::{
    LatencyReading, Members, PayloadSource, Setting, Shape, SignalReading, ThroughputReading, TimedReading,
    WakeReading, batched, cold, crowd, crowd_batched, latency, many, paced, recovery, signals, throughput,
    wake,
};
use crate::mechanism::{Kind, Mechanism, ReceiveMany, SendMany};
use crate::reference::Bracket;

type LatencyFn = fn(&Setting, usize, PayloadSource) -> Result<LatencyReading, HarnessError>;
type ThroughputFn = fn(&Setting, usize, PayloadSource) -> Result<ThroughputReading, HarnessError>;
type BatchedFn = fn(&Setting, usize) -> Result<ThroughputReading, HarnessError>;
type CrowdFn = fn(&Setting, usize, usize, Members) -> Result<ThroughputReading, HarnessError>;
type WakeFn = fn(&Setting, usize, PayloadSource) -> Result<WakeReading, HarnessError>;
type PacedFn = fn(&Setting, usize, u32) -> Result<TimedReading, HarnessError>;
type ManyFn = fn(&Setting, usize, Shape) -> Result<ThroughputReading, HarnessError>;
type TimedFn = fn(&Setting, usize) -> Result<TimedReading, HarnessError>;
type SignalFn = fn(&Setting) -> Result<SignalReading, HarnessError>;

/// What `compare` measures, in the order of its tables.
pub const KINDS: [&str; 9] =
    ["latency", "throughput", "wake", "paced", "many", "select", "cold", "recovery", "signals"];

/// One row to be measured in every round.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The mechanism's name.
    pub mechanism: &'static str,
    /// Bytes a message.
    pub size: usize,
    /// Where the payload comes from.
    pub source: PayloadSource,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Latency(LatencyFn),
    Throughput(ThroughputFn),
    Batched(BatchedFn),
    Crowd(CrowdFn, usize, Members),
    Wake(WakeFn),
    Paced(PacedFn, u32),
    Many(ManyFn, Shape),
    Select(LatencyFn),
    Cold(TimedFn),
    Recovery(TimedFn),
    Signals(SignalFn),
}

impl Cell {
    /// Ping-pong latency of `M`.
    pub fn latency<M: Mechanism>(size: usize, source: PayloadSource) -> Cell {
        Cell { mechanism: M::NAME, size, source, work: Work::Latency(latency::<M>) }
    }

    /// Streaming throughput of `M`.
    pub fn throughput<M: Mechanism>(size: usize, source: PayloadSource) -> Cell {
        Cell { mechanism: M::NAME, size, source, work: Work::Throughput(throughput::<M>) }
    }

    /// Streaming throughput of `M`, `N` messages at once, computed in place.
    pub fn batched<M: Mechanism, const N: usize>(size: usize) -> Cell
    where
        M::Sender: SendMany,
        M::Receiver: ReceiveMany,
    {
        let source = PayloadSource::Registers;
        Cell { mechanism: M::NAME, size, source, work: Work::Batched(batched::<M, N>) }
    }

    /// Throughput of `pairs` senders and as many receivers of `M`, computed in place. The rows are called `name`.
    pub fn crowd<M: Mechanism + Clone + Send + Sync + 'static>(
        name: &'static str,
        size: usize,
        pairs: usize,
        members: Members,
    ) -> Cell {
        let source = PayloadSource::Registers;
        Cell { mechanism: name, size, source, work: Work::Crowd(crowd::<M>, pairs, members) }
    }

    /// As [`Cell::crowd`], `N` messages at once.
    pub fn crowd_batched<M: Mechanism + Clone + Send + Sync + 'static, const N: usize>(
        name: &'static str,
        size: usize,
        pairs: usize,
        members: Members,
    ) -> Cell
    where
        M::Sender: SendMany,
        M::Receiver: ReceiveMany,
    {
        let source = PayloadSource::Registers;
        Cell { mechanism: name, size, source, work: Work::Crowd(crowd_batched::<M, N>, pairs, members) }
    }

    /// Waking the receiver of `M`.
    pub fn wake<M: Mechanism>(size: usize, source: PayloadSource) -> Cell {
        Cell { mechanism: M::NAME, size, source, work: Work::Wake(wake::<M>) }
    }

    /// Messages of `M` that come at a rate, so many a second, whatever becomes of those before them.
    pub fn paced<M: Mechanism>(size: usize, rate: u32) -> Cell {
        let work = Work::Paced(paced::<M>, rate);
        Cell { mechanism: M::NAME, size, source: PayloadSource::Registers, work }
    }

    /// Several senders to one receiver of `M`, one to several, or several to several: processes all of them.
    pub fn many<M: Mechanism>(size: usize, shape: Shape) -> Cell {
        let work = Work::Many(many::<M>, shape);
        Cell { mechanism: M::NAME, size, source: PayloadSource::Registers, work }
    }

    /// Ping-pong through `M`, which waits for several sources at once.
    pub fn select<M: Mechanism>(size: usize, source: PayloadSource) -> Cell {
        Cell { mechanism: M::NAME, size, source, work: Work::Select(latency::<M>) }
    }

    /// From nothing to the first message through `M`.
    pub fn cold<M: Mechanism>(size: usize, source: PayloadSource) -> Cell {
        Cell { mechanism: M::NAME, size, source, work: Work::Cold(cold::<M>) }
    }

    /// From the death of the sender to the first message of its successor, through `M`.
    pub fn recovery<M: Mechanism>(size: usize, source: PayloadSource) -> Cell {
        Cell { mechanism: M::NAME, size, source, work: Work::Recovery(recovery::<M>) }
    }

    /// Bare signals as fast as they can be sent: how many are taken.
    pub fn signals<K: Kind>() -> Cell {
        let work = Work::Signals(signals::<K>);
        Cell { mechanism: K::NAME, size: 0, source: PayloadSource::Registers, work }
    }

    /// What tells cells of one kind apart besides mechanism, size and payload: a rate, a shape, or nothing.
    pub fn detail(&self) -> String {
        match self.work {
            Work::Paced(_, rate) => format!("{}/s", crate::text::counted(rate.into())),
            Work::Many(_, shape) => shape.to_string(),
            Work::Crowd(_, pairs, _) => Shape::pairs(pairs).to_string(),
            _ => String::new(),
        }
    }

    /// Messages a second that are due, if they come at a rate.
    pub fn rate(&self) -> Option<u32> {
        match self.work {
            Work::Paced(_, rate) => Some(rate),
            _ => None,
        }
    }

    /// How many send and receive, if there are many.
    pub fn shape(&self) -> Option<Shape> {
        match self.work {
            Work::Many(_, shape) => Some(shape),
            _ => None,
        }
    }

    /// What is measured: one of [`KINDS`], or `batched` or `crowd`.
    pub fn kind(&self) -> &'static str {
        match self.work {
            Work::Latency(_) => "latency",
            Work::Throughput(_) => "throughput",
            Work::Batched(_) => "batched",
            Work::Crowd(..) => "crowd",
            Work::Wake(_) => "wake",
            Work::Paced(..) => "paced",
            Work::Many(..) => "many",
            Work::Select(_) => "select",
            Work::Cold(_) => "cold",
            Work::Recovery(_) => "recovery",
            Work::Signals(_) => "signals",
        }
    }

    /// Measures it once.
    pub(crate) fn read(&self, setting: &Setting) -> Result<Reading, HarnessError> {
        match self.work {
            Work::Latency(work) => work(setting, self.size, self.source).map(Reading::Latency),
            Work::Throughput(work) => work(setting, self.size, self.source).map(Reading::Throughput),
            Work::Batched(work) => work(setting, self.size).map(Reading::Throughput),
            Work::Crowd(work, pairs, members) => {
                work(setting, self.size, pairs, members).map(Reading::Throughput)
            }
            Work::Wake(work) => work(setting, self.size, self.source).map(Reading::Wake),
            Work::Paced(work, rate) => work(setting, self.size, rate).map(Reading::Timed),
            Work::Many(work, shape) => work(setting, self.size, shape).map(Reading::Throughput),
            Work::Select(work) => {
                work(setting, self.size, self.source).map(|reading| Reading::Timed(reading.into()))
            }
            Work::Cold(work) | Work::Recovery(work) => work(setting, self.size).map(Reading::Timed),
            Work::Signals(work) => work(setting).map(Reading::Signals),
        }
    }

    /// Whether `other` measures the same with another mechanism.
    pub(crate) fn is_peer_of(&self, other: &Cell) -> bool {
        self.kind() == other.kind()
            && self.size == other.size
            && self.source == other.source
            && self.detail() == other.detail()
    }
}

/// What a cell's measurement gave.
#[derive(Clone, Debug)]
pub enum Reading {
    /// From a latency cell.
    Latency(LatencyReading),
    /// From a throughput, batched, crowd or many cell.
    Throughput(ThroughputReading),
    /// From a wake cell.
    Wake(WakeReading),
    /// From a paced, select, cold or recovery cell.
    Timed(TimedReading),
    /// From a signals cell.
    Signals(SignalReading),
}

impl Reading {
    /// The references around it.
    pub fn bracket(&self) -> &Bracket {
        match self {
            Reading::Latency(reading) => &reading.bracket,
            Reading::Throughput(reading) => &reading.bracket,
            Reading::Wake(reading) => &reading.bracket,
            Reading::Timed(reading) => &reading.bracket,
            Reading::Signals(reading) => &reading.bracket,
        }
    }

    /// Messages that were sent and received.
    pub fn messages(&self) -> u64 {
        match self {
            Reading::Latency(reading) => 2 * reading.trips,
            Reading::Throughput(reading) => reading.messages,
            Reading::Wake(reading) => reading.messages(),
            Reading::Timed(reading) => reading.messages(),
            Reading::Signals(reading) => reading.taken,
        }
    }
}

/// One pass over all cells.
#[derive(Clone, Debug)]
pub struct Round {
    /// One reading a cell, in the cells' order.
    pub readings: Vec<Reading>,
    /// What others did to the cores meanwhile.
    pub load: Load,
}

/// Where a run of rounds is, before each measurement.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The present round, from 1; 0 while everything is tried first.
    pub round: usize,
    /// How many rounds there will be.
    pub rounds: usize,
    /// Measurements done, over all rounds.
    pub done: usize,
    /// Measurements there will be, over all rounds.
    pub total: usize,
    /// What is measured next.
    pub cell: &'a Cell,
}

/// A cell that cannot be measured here, and why.
pub type Unable = (Cell, HarnessError);

/// Measures each cell once, for as long as `setting` says, to find out what cannot be measured here: those that work, and
/// the others with their reasons. A message that arrives changed, or a process that dies, ends the trial.
pub fn trial(
    setting: &Setting,
    cells: Vec<Cell>,
    mut progress: impl FnMut(usize, &Cell),
) -> Result<(Vec<Cell>, Vec<Unable>), HarnessError> {
    let (mut able, mut unable) = (Vec::with_capacity(cells.len()), Vec::new());
    for (done, cell) in cells.into_iter().enumerate() {
        progress(done, &cell);
        match cell.read(setting) {
            Ok(_) => able.push(cell),
            Err(
                error @ (HarnessError::Limit { .. } | HarnessError::Os { .. } | HarnessError::Ring { .. }),
            ) => {
                unable.push((cell, error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((able, unable))
}

/// Measures all cells in each of `rounds` rounds.
pub fn run(
    setting: &Setting,
    cells: &[Cell],
    rounds: usize,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Vec<Round>, HarnessError> {
    let mut passes = Vec::with_capacity(rounds);
    for pass in 0..rounds {
        let watch = LoadWatch::start(setting.pair.cores)?;
        let mut readings = Vec::with_capacity(cells.len());
        for (index, cell) in cells.iter().enumerate() {
            let done = pass * cells.len() + index;
            progress(Progress { round: pass + 1, rounds, done, total: rounds * cells.len(), cell });
            readings.push(cell.read(setting)?);
        }
        passes.push(Round { readings, load: watch.finish()? });
    }
    Ok(passes)
}

/// Rounds worth counting.
#[derive(Clone, Debug)]
pub struct Kept {
    /// They.
    pub rounds: Vec<Round>,
    /// Why each of the others was dropped, with its number from 1.
    pub dropped: Vec<(usize, String)>,
    /// Every round was over the limit, so all were kept; `dropped` then says what was wrong with them.
    pub all_loaded: bool,
}

/// Drops the rounds with outside load, unless that would be all.
pub fn keep(rounds: Vec<Round>, limit: &LoadLimit) -> Kept {
    let reasons: Vec<Option<String>> = rounds.iter().map(|round| round.load.exceeds(limit)).collect();
    let all_loaded = reasons.iter().all(Option::is_some);
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for (number, (round, reason)) in rounds.into_iter().zip(reasons).enumerate() {
        if reason.is_none() || all_loaded {
            kept.push(round);
        }
        dropped.extend(reason.map(|reason| (number + 1, reason)));
    }
    Kept { rounds: kept, dropped, all_loaded }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(others: f64) -> Round {
        Round { readings: Vec::new(), load: Load { others, steal: 0.0 } }
    }

    #[test]
    fn loaded_rounds_are_dropped_and_named() {
        let kept = keep(vec![round(0.0), round(0.9), round(0.05)], &LoadLimit::default());
        assert_eq!(kept.rounds.len(), 2);
        assert_eq!(kept.dropped.iter().map(|dropped| dropped.0).collect::<Vec<_>>(), [2]);
        assert!(!kept.all_loaded);
    }

    #[test]
    fn if_all_rounds_are_loaded_all_are_kept_and_it_is_said() {
        let kept = keep(vec![round(0.8), round(0.9)], &LoadLimit::default());
        assert_eq!(kept.rounds.len(), 2);
        assert_eq!(kept.dropped.len(), 2);
        assert!(kept.all_loaded);
    }
}
