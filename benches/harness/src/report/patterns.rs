//! Rows of what is neither a plain ping-pong nor a plain stream: messages at a rate, through one of several sources, from a
//! cold start, after a death; many senders and receivers; bare signals; and what was counted in system calls.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::rows::{Cost, Subject, groups};
use crate::clock::Clock;
use crate::measure::{PayloadSource, Shape, ThroughputReading, TimedReading};
use crate::mechanism::{Mechanism, Pipe, PolledPipes};
use crate::rounds::{Cell, Reading, Round};
use crate::stats::{Spread, pool, quantile, ratio, supported_quantile};
use crate::syscalls::Counted;

/// Times of one mechanism in one pattern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedRow {
    /// `paced`, `select`, `cold` or `recovery`.
    pub kind: String,
    /// What was measured, and where.
    #[serde(flatten)]
    pub subject: Subject,
    /// The rate, where there is one: messages a second that were due.
    pub rate: Option<u32>,
    /// Rounds that were read at this placement.
    pub rounds: usize,
    /// Times in all of them.
    pub messages: u64,
    /// Half of the times are within this.
    pub p50_ns: Spread,
    /// All rounds together: 99 %, if there are values enough to say.
    pub p99_ns: Option<f64>,
    /// All rounds together: 99.9 %, if there are values enough to say.
    pub p99_9_ns: Option<f64>,
    /// All rounds together: the longest.
    pub max_ns: f64,
    /// At a rate, all rounds together: 99 % of the times since messages were really sent, without the correction.
    pub uncorrected_p99_ns: Option<f64>,
    /// At a rate: messages a second that came through.
    pub per_second: Option<Spread>,
    /// How many times shorter p50 is than the pipe's in the same round; of several sources, than that of poll(2).
    pub times_pipe: Option<Spread>,
    /// What a message cost; at a rate the receiver alone.
    pub cost: Option<Cost>,
}

/// Throughput of many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManyRow {
    /// What was measured, and where.
    #[serde(flatten)]
    pub subject: Subject,
    /// How many send and receive.
    pub shape: Shape,
    /// Rounds that were read at this placement.
    pub rounds: usize,
    /// Messages in all of them.
    pub messages: u64,
    /// Messages a second, all together.
    pub messages_per_s: Spread,
    /// How many times more than the pipe's in the same round.
    pub times_pipe: Option<Spread>,
    /// What a message cost, all processes together, their start and end included.
    pub cost: Cost,
}

/// Bare signals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalRow {
    /// What was measured, and where.
    #[serde(flatten)]
    pub subject: Subject,
    /// Rounds that were read at this placement.
    pub rounds: usize,
    /// Signals sent in all of them.
    pub sent: u64,
    /// Signals a second that were sent.
    pub sent_per_s: Spread,
    /// The share of them that was taken: the others coalesced.
    pub taken: Spread,
}

/// System calls of one mechanism, counted in a round of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyscallRow {
    /// The kind of rows that this belongs to.
    pub kind: String,
    /// The mechanism.
    pub mechanism: String,
    /// Bytes a message.
    pub size: usize,
    /// Where the payload comes from.
    pub source: PayloadSource,
    /// Messages meanwhile.
    pub messages: u64,
    /// Calls a message, both sides together.
    pub per_message: f64,
    /// The same by name, most frequent first.
    pub calls: Vec<(String, f64)>,
}

impl SyscallRow {
    pub(crate) fn new(cell: &Cell, counted: &Counted) -> SyscallRow {
        let each = |count: u64| count as f64 / counted.messages.max(1) as f64;
        let mut calls: Vec<_> =
            counted.calls.iter().map(|(name, &count)| (name.clone(), each(count))).collect();
        calls.sort_by(|a, b| b.1.total_cmp(&a.1));
        SyscallRow {
            kind: cell.kind().into(),
            mechanism: cell.mechanism.into(),
            size: cell.size,
            source: cell.source,
            messages: counted.messages,
            per_message: each(counted.calls.values().sum()),
            calls,
        }
    }
}

pub(super) fn timed(clock: &Clock, cells: &[Cell], rounds: &[Round]) -> Vec<TimedRow> {
    let of = |_: &Cell, reading: &Reading| match reading {
        Reading::Timed(reading) => Some(reading.clone()),
        _ => None,
    };
    let peer = |cell: &Cell| Some(if cell.kind() == "select" { PolledPipes::NAME } else { Pipe::NAME });
    let rows = groups(cells, rounds, peer, of).into_iter();
    let row = |(cell, placement, readings): (&Cell, _, Vec<(TimedReading, Option<TimedReading>)>)| {
        let tick = clock.ns(1);
        let p50 = |reading: &TimedReading| quantile(&reading.ticks, 0.5) as f64 * tick;
        let times = readings.iter().filter_map(|(own, pipe)| ratio(p50(pipe.as_ref()?), p50(own)));
        let all = pool(readings.iter().map(|(reading, _)| &reading.ticks[..]));
        let raw = pool(readings.iter().map(|(reading, _)| &reading.uncorrected[..]));
        let tail = |values: &[(u64, u64)], q| supported_quantile(values, q).map(|ticks| ticks as f64 * tick);
        let messages = readings.iter().map(|(reading, _)| reading.messages()).sum();
        let usages: Option<Vec<_>> = readings.iter().map(|(reading, _)| reading.usage).collect();
        Some(TimedRow {
            kind: cell.kind().into(),
            subject: Subject::new(cell, placement),
            rate: cell.rate(),
            rounds: readings.len(),
            messages,
            p50_ns: Spread::of(readings.iter().map(|(reading, _)| p50(reading)))?,
            p99_ns: tail(&all, 0.99),
            p99_9_ns: tail(&all, 0.999),
            max_ns: quantile(&all, 1.0) as f64 * tick,
            uncorrected_p99_ns: tail(&raw, 0.99),
            per_second: Spread::of(readings.iter().filter_map(|(reading, _)| reading.per_second)),
            times_pipe: Spread::of(times),
            cost: usages.map(|usages| Cost::of(usages.into_iter(), messages)),
        })
    };
    rows.filter_map(row).collect()
}

pub(super) fn many(cells: &[Cell], rounds: &[Round]) -> Vec<ManyRow> {
    let of = |cell: &Cell, reading: &Reading| match (cell.shape(), reading) {
        (Some(shape), Reading::Throughput(reading)) => Some((shape, *reading)),
        _ => None,
    };
    type Own = (Shape, ThroughputReading);
    let rows = groups(cells, rounds, |_| Some(Pipe::NAME), of).into_iter();
    let row = |(cell, placement, readings): (&Cell, _, Vec<(Own, Option<Own>)>)| {
        let rate = |(_, reading): &Own| reading.per_second();
        let times = readings.iter().filter_map(|(own, pipe)| ratio(rate(own), rate(pipe.as_ref()?)));
        let messages = readings.iter().map(|((_, reading), _)| reading.messages).sum();
        Some(ManyRow {
            subject: Subject::new(cell, placement),
            shape: readings.first()?.0.0,
            rounds: readings.len(),
            messages,
            messages_per_s: Spread::of(readings.iter().map(|(own, _)| rate(own)))?,
            times_pipe: Spread::of(times),
            cost: Cost::of(readings.iter().map(|((_, reading), _)| reading.usage), messages),
        })
    };
    rows.filter_map(row).collect()
}

pub(super) fn signals(cells: &[Cell], rounds: &[Round]) -> Vec<SignalRow> {
    let of = |_: &Cell, reading: &Reading| match reading {
        Reading::Signals(reading) => Some(*reading),
        _ => None,
    };
    let rows = groups(cells, rounds, |_| None, of).into_iter();
    let row = |(cell, placement, readings): (&Cell, _, Vec<_>)| {
        let readings: Vec<crate::measure::SignalReading> =
            readings.into_iter().map(|(own, _): (_, Option<_>)| own).collect();
        let share =
            |reading: &crate::measure::SignalReading| reading.taken as f64 / reading.sent.max(1) as f64;
        Some(SignalRow {
            subject: Subject::new(cell, placement),
            rounds: readings.len(),
            sent: readings.iter().map(|reading| reading.sent).sum(),
            sent_per_s: Spread::of(readings.iter().map(|reading| reading.sent as f64 / reading.ns * 1e9))?,
            taken: Spread::of(readings.iter().map(share))?,
        })
    };
    rows.filter_map(row).collect()
}
