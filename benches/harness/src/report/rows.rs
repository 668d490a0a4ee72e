//! From readings to rows: one for each cell and placement.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::measure::{LatencyReading, PayloadSource, ThroughputReading};
use crate::mechanism::{Mechanism, Pipe};
use crate::reference::Placement;
use crate::rounds::{Cell, Reading, Round};
use crate::stats::{Spread, pool, ratio, supported_quantile};
use crate::usage::Usage;

/// The references of one placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceRow {
    /// Where the cores were.
    pub placement: Placement,
    /// How many readings were taken there; each has a reference on either side.
    pub readings: usize,
    /// One-way time of a cache line.
    pub line_ns: Spread,
    /// Gigabytes a second from core to core.
    pub stream_gb_per_s: Spread,
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The mechanism.
    pub mechanism: String,
    /// Bytes a message.
    pub size: usize,
    /// Where the payload comes from.
    pub source: PayloadSource,
    /// Where the cores were.
    pub placement: Placement,
}

impl Subject {
    pub(super) fn new(cell: &Cell, placement: Placement) -> Subject {
        Subject { mechanism: cell.mechanism.to_string(), size: cell.size, source: cell.source, placement }
    }
}

/// Latency of one mechanism at one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyRow {
    /// What was measured, and where.
    #[serde(flatten)]
    pub subject: Subject,
    /// Rounds that were read at this placement.
    pub rounds: usize,
    /// Round trips in all of them.
    pub trips: u64,
    /// Half of the messages arrive within this.
    pub p50_ns: Spread,
    /// 99 % do.
    pub p99_ns: Spread,
    /// p50 in units of `line`.
    pub p50_per_line: Spread,
    /// p99 in units of `line`.
    pub p99_per_line: Spread,
    /// How many times shorter p50 is than the pipe's in the same round.
    pub times_pipe: Option<Spread>,
    /// All rounds together: 90 %.
    pub p90_ns: f64,
    /// All rounds together: 99.9 %, if there are values enough to say.
    pub p99_9_ns: Option<f64>,
    /// All rounds together: 99.99 %, if there are values enough to say.
    pub p99_99_ns: Option<f64>,
    /// All rounds together: the longest.
    pub max_ns: f64,
    /// p50 of each round, in their order.
    #[serde(default)]
    pub p50_ns_by_round: Vec<f64>,
    /// What a message cost.
    pub cost: Cost,
}

/// Throughput of one mechanism at one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThroughputRow {
    /// What was measured, and where.
    #[serde(flatten)]
    pub subject: Subject,
    /// Rounds that were read at this placement.
    pub rounds: usize,
    /// Messages in all of them.
    pub messages: u64,
    /// Messages a second.
    pub messages_per_s: Spread,
    /// Gigabytes (10^9 bytes) of payload a second.
    pub gb_per_s: Spread,
    /// The same in units of `stream`.
    pub per_stream: Spread,
    /// How many times more than the pipe's in the same round.
    pub times_pipe: Option<Spread>,
    /// What a message cost.
    pub cost: Cost,
}

/// Both processes together, per message.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Processor time. A process that spins uses all of it.
    pub cpu_ns: f64,
    /// Context switches because a process slept.
    pub voluntary: f64,
    /// Context switches because the kernel wanted the core.
    pub involuntary: f64,
}

impl Cost {
    pub(super) fn of(usage: impl Iterator<Item = Usage>, messages: u64) -> Cost {
        let sum = usage.fold(Usage::default(), |sum, usage| sum + usage);
        let each = |count: i64| count as f64 / messages.max(1) as f64;
        Cost {
            cpu_ns: each(sum.cpu_us) * 1000.0,
            voluntary: each(sum.voluntary),
            involuntary: each(sum.involuntary),
        }
    }
}

pub(super) fn references<'r>(rounds: impl IntoIterator<Item = &'r Round>) -> Vec<ReferenceRow> {
    let mut groups: BTreeMap<Placement, Vec<_>> = BTreeMap::new();
    for bracket in rounds.into_iter().flat_map(|round| &round.readings).map(Reading::bracket) {
        groups.entry(bracket.placement()).or_default().push(bracket);
    }
    let row = |(placement, brackets): (Placement, Vec<&crate::reference::Bracket>)| {
        Some(ReferenceRow {
            placement,
            readings: brackets.len(),
            line_ns: Spread::of(brackets.iter().map(|bracket| bracket.line_ns()))?,
            stream_gb_per_s: Spread::of(brackets.iter().map(|bracket| bracket.stream_gb_per_s()))?,
        })
    };
    groups.into_iter().filter_map(row).collect()
}

pub(super) fn latency(clock: &Clock, cells: &[Cell], rounds: &[Round]) -> Vec<LatencyRow> {
    let of = |_: &Cell, reading: &Reading| match reading {
        Reading::Latency(reading) => Some(reading.clone()),
        _ => None,
    };
    let rows = groups(cells, rounds, |_| Some(Pipe::NAME), of).into_iter();
    rows.filter_map(|(cell, placement, readings)| latency_row(clock, cell, placement, &readings)).collect()
}

fn latency_row(
    clock: &Clock,
    cell: &Cell,
    placement: Placement,
    readings: &[WithPeer<LatencyReading>],
) -> Option<LatencyRow> {
    let tick = clock.ns(1);
    let one_way = |reading: &LatencyReading, q| reading.one_way_ticks(q) * tick;
    let spread = |q| Spread::of(readings.iter().map(|(reading, _)| one_way(reading, q)));
    let per_line =
        |q| Spread::of(readings.iter().map(|(reading, _)| one_way(reading, q) / reading.bracket.line_ns()));
    let times_pipe = readings
        .iter()
        .filter_map(|(reading, pipe)| ratio(one_way(pipe.as_ref()?, 0.5), one_way(reading, 0.5)));
    let trips = readings.iter().map(|(reading, _)| reading.trips).sum();
    let all = pool(readings.iter().map(|(reading, _)| &reading.ticks[..]));
    let tail = |q| supported_quantile(&all, q).map(|ticks| ticks as f64 * tick / 2.0);
    Some(LatencyRow {
        subject: Subject::new(cell, placement),
        rounds: readings.len(),
        trips,
        p50_ns: spread(0.5)?,
        p99_ns: spread(0.99)?,
        p50_per_line: per_line(0.5)?,
        p99_per_line: per_line(0.99)?,
        times_pipe: Spread::of(times_pipe),
        p90_ns: crate::stats::quantile(&all, 0.9) as f64 * tick / 2.0,
        p99_9_ns: tail(0.999),
        p99_99_ns: tail(0.9999),
        max_ns: crate::stats::quantile(&all, 1.0) as f64 * tick / 2.0,
        p50_ns_by_round: readings.iter().map(|(reading, _)| one_way(reading, 0.5)).collect(),
        cost: Cost::of(readings.iter().map(|(reading, _)| reading.usage), 2 * trips),
    })
}

pub(super) fn throughput(cells: &[Cell], rounds: &[Round]) -> Vec<ThroughputRow> {
    let of = |cell: &Cell, reading: &Reading| match reading {
        Reading::Throughput(reading) if cell.shape().is_none() => Some(*reading),
        _ => None,
    };
    let rows = groups(cells, rounds, |_| Some(Pipe::NAME), of).into_iter();
    rows.filter_map(|(cell, placement, readings)| throughput_row(cell, placement, &readings)).collect()
}

fn throughput_row(
    cell: &Cell,
    placement: Placement,
    readings: &[WithPeer<ThroughputReading>],
) -> Option<ThroughputRow> {
    let gb = |reading: &ThroughputReading| reading.per_second() * cell.size as f64 / 1e9;
    let per_stream = readings.iter().map(|(reading, _)| gb(reading) / reading.bracket.stream_gb_per_s());
    let times_pipe = readings
        .iter()
        .filter_map(|(reading, pipe)| ratio(reading.per_second(), pipe.as_ref()?.per_second()));
    let messages = readings.iter().map(|(reading, _)| reading.messages).sum();
    Some(ThroughputRow {
        subject: Subject::new(cell, placement),
        rounds: readings.len(),
        messages,
        messages_per_s: Spread::of(readings.iter().map(|(reading, _)| reading.per_second()))?,
        gb_per_s: Spread::of(readings.iter().map(|(reading, _)| gb(reading)))?,
        per_stream: Spread::of(per_stream)?,
        times_pipe: Spread::of(times_pipe),
        cost: Cost::of(readings.iter().map(|(reading, _)| reading.usage), messages),
    })
}

/// A reading, and the peer's of the same round, size and payload source; none for the peer itself.
type WithPeer<T> = (T, Option<T>);

/// The readings of one kind, by cell and placement, each with that of the mechanism that the cell is compared with.
pub(super) fn groups<'c, T>(
    cells: &'c [Cell],
    rounds: &[Round],
    peer: impl Fn(&Cell) -> Option<&'static str>,
    of: impl Fn(&Cell, &Reading) -> Option<T>,
) -> Vec<(&'c Cell, Placement, Vec<WithPeer<T>>)> {
    let mut groups = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let peer = peer(cell);
        let peer = cells.iter().position(|other| Some(other.mechanism) == peer && other.is_peer_of(cell));
        let peer = peer.filter(|&peer| peer != index);
        let mut places: BTreeMap<Placement, Vec<WithPeer<T>>> = BTreeMap::new();
        for round in rounds {
            let reading = &round.readings[index];
            if let Some(own) = of(cell, reading) {
                let peer = peer.and_then(|peer| of(cell, &round.readings[peer]));
                places.entry(reading.bracket().placement()).or_default().push((own, peer));
            }
        }
        groups.extend(places.into_iter().map(|(placement, readings)| (cell, placement, readings)));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;
    use crate::load::Load;
    use crate::mechanism::UnixStream;
    use crate::reference::{Bracket, Reference};

    fn bracket(line_ns: f64) -> Bracket {
        let reference = Reference::of(Cores::Pinned(0, 1), line_ns, 10.0);
        Bracket { before: reference, after: reference }
    }

    fn moved(messages: u64, line_ns: f64) -> Reading {
        let usage = Usage { cpu_us: 20, voluntary: 4, involuntary: 2 };
        Reading::Throughput(ThroughputReading { bracket: bracket(line_ns), messages, ns: 1e3, usage })
    }

    fn cells() -> [Cell; 2] {
        let source = PayloadSource::Registers;
        [Cell::throughput::<Pipe>(1000, source), Cell::throughput::<UnixStream>(1000, source)]
    }

    fn round(pipe: Reading, stream: Reading) -> Round {
        Round { readings: vec![pipe, stream], load: Load::default() }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The second round is twice as fast for both: the ratio stays.
        let rounds = [round(moved(2, 70.0), moved(4, 70.0)), round(moved(4, 70.0), moved(8, 70.0))];
        let rows = throughput(&cells(), &rounds);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].times_pipe, None);
        assert_eq!(rows[1].times_pipe, Some(Spread { median: 2.0, min: 2.0, max: 2.0 }));
        let close = |value: f64, to: f64| (value - to).abs() < 1e-9;
        let Spread { median, min, max } = rows[1].gb_per_s;
        assert!(close(median, 6.0) && close(min, 4.0) && close(max, 8.0), "{median} {min} {max}");
        assert!(close(rows[1].per_stream.median, 0.6));
        let cost = rows[1].cost;
        assert_eq!((rows[1].messages, rows[1].rounds), (12, 2));
        assert!(close(cost.cpu_ns, 40_000.0 / 12.0) && close(cost.voluntary, 8.0 / 12.0));
    }

    #[test]
    fn placements_never_share_a_row() {
        let rounds = [round(moved(2, 70.0), moved(4, 70.0)), round(moved(4, 280.0), moved(8, 280.0))];
        let rows = throughput(&cells(), &rounds);
        let places: Vec<_> = rows.iter().map(|row| (row.subject.placement, row.rounds)).collect();
        assert_eq!(
            places,
            [Placement::Near, Placement::Far, Placement::Near, Placement::Far].map(|p| (p, 1))
        );
        assert_eq!(references(&rounds).iter().map(|row| row.readings).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn latency_is_half_a_round_trip() {
        let clock = Clock::calibrate();
        let reading = |ticks: u64| {
            let counted = vec![(ticks, 99), (10 * ticks, 1)];
            let usage = Usage::default();
            Reading::Latency(LatencyReading { bracket: bracket(100.0), trips: 100, ticks: counted, usage })
        };
        let source = PayloadSource::Memory;
        let cells = [Cell::latency::<Pipe>(8, source), Cell::latency::<UnixStream>(8, source)];
        let rows = latency(&clock, &cells, &[round(reading(4000), reading(2000))]);
        let close = |value: f64, ticks: f64| (value / clock.ns(1) - ticks).abs() < 1e-6;
        assert!(close(rows[1].p50_ns.median, 1000.0) && close(rows[1].p50_per_line.median, 10.0));
        assert!(close(rows[1].max_ns, 10_000.0));
        assert!(rows[1].times_pipe.is_some_and(|times| (times.median - 2.0).abs() < 1e-9));
        assert_eq!(rows[1].p99_9_ns, None);
    }
}
