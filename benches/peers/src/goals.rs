//! The goals as arithmetic: which figure of which cells must be at most or at least what, near and far.
//!
//! Every figure is formed within one round, from readings taken one after the other, and a round counts only if the
//! cores stayed where they were in all of them. What is reported is the median over the rounds.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use slipring_harness::clock::Clock;
use slipring_harness::reference::Placement;
use slipring_harness::rounds::Reading;
use slipring_harness::stats::{Spread, quantile};

use crate::plan::Key;

/// With fewer rounds a verdict is shown as doubtful.
pub const FIRM_ROUNDS: usize = 9;

/// What a figure must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// It or less.
    AtMost(f64),
    /// It or more.
    AtLeast(f64),
}

impl Bar {
    /// Whether `figure` reaches it.
    pub fn is_reached(self, figure: f64) -> bool {
        match self {
            Bar::AtMost(most) => figure <= most,
            Bar::AtLeast(least) => figure >= least,
        }
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bar::AtMost(most) => write!(f, "<= {most:.2}"),
            Bar::AtLeast(least) => write!(f, ">= {least:.2}"),
        }
    }
}

/// A ratio that one round gives.
#[derive(Clone, Copy, Debug)]
pub enum Figure {
    /// One-way time that a share of the messages does not exceed, in units of `line`.
    PerLine(f64, Key),
    /// One-way p50 of the first in units of the second's.
    Latency(Key, Key),
    /// Bytes a second in units of `stream`.
    PerStream(Key),
    /// Bytes a second of the first in units of the second's.
    Throughput(Key, Key),
    /// p50 of waking the first in units of the second's.
    Wake(Key, Key),
    /// Messages a second; what is judged is by how much the worst round falls short of the median.
    Steady(Key),
}

impl Figure {
    /// The cells it needs: its own first, then what that is compared with.
    pub fn keys(&self) -> (Key, Option<Key>) {
        match *self {
            Figure::PerLine(_, own) | Figure::PerStream(own) | Figure::Steady(own) => (own, None),
            Figure::Latency(own, other) | Figure::Throughput(own, other) | Figure::Wake(own, other) => {
                (own, Some(other))
            }
        }
    }

    /// Its value of one round's readings, and where the cores were: `Moved` if not in one place. `size` is the bytes of
    /// a message of the first cell; None if a reading is of the wrong kind.
    pub fn value(
        &self,
        clock: &Clock,
        size: usize,
        own: &Reading,
        other: Option<&Reading>,
    ) -> Option<(Placement, f64)> {
        let value = match (self, own, other) {
            (Figure::PerLine(q, _), Reading::Latency(own), None) => {
                own.one_way_ticks(*q) * clock.ns(1) / own.bracket.line_ns()
            }
            (Figure::Latency(..), Reading::Latency(own), Some(Reading::Latency(other))) => {
                own.one_way_ticks(0.5) / other.one_way_ticks(0.5)
            }
            (Figure::PerStream(_), Reading::Throughput(own), None) => {
                own.per_second() * size as f64 / 1e9 / own.bracket.stream_gb_per_s()
            }
            (Figure::Steady(_), Reading::Throughput(own), None) => own.per_second(),
            (Figure::Throughput(..), Reading::Throughput(own), Some(Reading::Throughput(other))) => {
                own.per_second() / other.per_second()
            }
            (Figure::Wake(..), Reading::Wake(own), Some(Reading::Wake(other))) => {
                quantile(&own.ticks, 0.5) as f64 / quantile(&other.ticks, 0.5) as f64
            }
            _ => return None,
        };
        let placement = own.bracket().placement();
        let stayed = other.is_none_or(|other| other.bracket().placement() == placement);
        Some((if stayed { placement } else { Placement::Moved }, value))
    }
}

/// One goal, of one figure.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// `PERF-3`.
    pub id: &'static str,
    /// What is compared.
    pub what: &'static str,
    /// The figure.
    pub figure: Figure,
    /// What it must reach where the cores are near; none if the figure is only told.
    pub near: Option<Bar>,
    /// The same, far.
    pub far: Option<Bar>,
}

impl Goal {
    /// What must be reached at a placement. Threads of one core are neither near nor far: a goal that differs between
    /// these says nothing about them.
    pub fn bar(&self, placement: Placement) -> Option<Bar> {
        match placement {
            Placement::Near => self.near,
            Placement::Far => self.far,
            Placement::Twin if self.near == self.far => self.near,
            _ => None,
        }
    }
}

fn both(id: &'static str, what: &'static str, figure: Figure, bar: Bar) -> Goal {
    Goal { id, what, figure, near: Some(bar), far: Some(bar) }
}

/// A figure of which nothing is asked.
fn told(what: &'static str, figure: Figure) -> Goal {
    Goal { id: "PRICE", what, figure, near: None, far: None }
}

/// All goals that are ratios of cells, in the order of their numbers.
pub fn goals() -> Vec<Goal> {
    use Bar::{AtLeast, AtMost};
    let mut goals = vec![
        Goal {
            id: "PERF-1",
            what: "56 B one way, p50 / line",
            figure: Figure::PerLine(0.5, "latency/slipring"),
            near: Some(AtMost(0.65)),
            far: Some(AtMost(0.75)),
        },
        both("PERF-1", "56 B one way, p99 / line", Figure::PerLine(0.99, "latency/slipring"), AtMost(1.5)),
        both(
            "PERF-2",
            "56 B one way, p50 / rtrb",
            Figure::Latency("latency/slipring", "latency/rtrb"),
            AtMost(0.65),
        ),
        both(
            "PERF-2",
            "56 B one way, p50 / iceoryx2",
            Figure::Latency("latency/slipring", "latency/iceoryx2"),
            AtMost(0.20),
        ),
    ];
    for (what, of_stream, own, rtrb) in [
        ("56 B in place / rtrb", "56 B in place / stream", "56/in place/slipring", "56/in place/rtrb"),
        ("56 B copied in / rtrb", "56 B copied in / stream", "56/copied/slipring", "56/copied/rtrb"),
        (
            "56 B send, recv / rtrb",
            "56 B send, recv / stream",
            "56/copied/slipring send/recv",
            "56/copied/rtrb",
        ),
        ("64 B in place / rtrb", "64 B in place / stream", "64/in place/slipring", "64/in place/rtrb"),
        ("64 B copied in / rtrb", "64 B copied in / stream", "64/copied/slipring", "64/copied/rtrb"),
    ] {
        let (near, far) = (Some(AtLeast(2.0)), Some(AtLeast(1.5)));
        goals.push(Goal { id: "PERF-3", what, figure: Figure::Throughput(own, rtrb), near, far });
        let (near, far) = (Some(AtLeast(0.60)), Some(AtLeast(0.65)));
        goals.push(Goal { id: "PERF-3", what: of_stream, figure: Figure::PerStream(own), near, far });
    }
    for (what, own, rtrb) in [
        ("8 B single / rtrb push, pop", "8/single/slipring", "8/single/rtrb"),
        ("8 B batches of 64 / rtrb chunks", "8/batch/slipring", "8/batch/rtrb"),
        ("8 B slices of 64 / rtrb chunks", "8/slice of 64/slipring", "8/slice of 64/rtrb"),
        ("8 B slices of 512 / rtrb chunks", "8/slice of 512/slipring", "8/slice of 512/rtrb"),
    ] {
        goals.push(both("PERF-4", what, Figure::Throughput(own, rtrb), AtLeast(1.0)));
    }
    for (what, own, other, least) in [
        ("4 KiB in place / shmem-ipc", "4k/in place/slipring", "4k/in place/shmem-ipc", 1.0),
        ("4 KiB copied in / shmem-ipc", "4k/copied/slipring", "4k/copied/shmem-ipc", 1.0),
        ("4 KiB in place / iceoryx2", "4k/in place/slipring", "4k/in place/iceoryx2", 2.5),
        ("4 KiB copied in / iceoryx2", "4k/copied/slipring", "4k/copied/iceoryx2", 2.5),
        ("64 KiB in place / shmem-ipc", "64k/in place/slipring", "64k/in place/shmem-ipc", 1.0),
        ("64 KiB copied in / shmem-ipc", "64k/copied/slipring", "64k/copied/shmem-ipc", 1.0),
        ("64 KiB in place / iceoryx2", "64k/in place/slipring", "64k/in place/iceoryx2", 1.5),
        ("64 KiB copied in / iceoryx2", "64k/copied/slipring", "64k/copied/iceoryx2", 1.5),
    ] {
        goals.push(both("PERF-5", what, Figure::Throughput(own, other), AtLeast(least)));
    }
    for (what, own, none) in [
        ("56 B, may sleep (futex) / no wake-up", "wakeup/futex", "wakeup/none"),
        ("56 B, may sleep (semaphore) / no wake-up", "wakeup/semaphore", "wakeup/none"),
        ("56 B, may sleep (plain fences) / no wake-up", "wakeup/plain fences", "wakeup/none"),
        ("8 B, may sleep (futex) / no wake-up", "wakeup/dense futex", "wakeup/dense none"),
    ] {
        goals.push(both("PERF-6", what, Figure::Throughput(own, none), AtLeast(0.95)));
    }
    for (what, own) in [
        ("wake, p50 / bare futex", "wake/slipring"),
        ("wake (semaphore), p50 / bare futex", "wake/slipring semaphore"),
    ] {
        goals.push(both("PERF-7", what, Figure::Wake(own, "wake/futex"), AtMost(1.10)));
    }
    goals.push(both(
        "PERF-8",
        "MPMC 48 B one way, p50 / line",
        Figure::PerLine(0.5, "mpmc/slipring"),
        AtMost(1.2),
    ));
    for (what, own, queue, least) in [
        ("1P1C / array-queue", "1P1C/slipring", "1P1C/array-queue", 1.0),
        ("2P2C / array-queue", "2P2C/slipring", "2P2C/array-queue", 1.0),
        ("4P4C / array-queue", "4P4C/slipring", "4P4C/array-queue", 1.0),
        ("1P1C in batches of 16 / array-queue", "1P1C/batch/slipring", "1P1C/array-queue", 4.0),
        ("2P2C in batches of 16 / array-queue", "2P2C/batch/slipring", "2P2C/array-queue", 4.0),
        ("4P4C in batches of 16 / array-queue", "4P4C/batch/slipring", "4P4C/array-queue", 4.0),
    ] {
        goals.push(both("PERF-8", what, Figure::Throughput(own, queue), AtLeast(least)));
    }
    for (what, own) in
        [("2P2C, median round / worst", "2P2C/slipring"), ("4P4C, median round / worst", "4P4C/slipring")]
    {
        goals.push(both("PERF-9", what, Figure::Steady(own), AtMost(3.0)));
    }
    goals.extend(kernel());
    goals.extend(price());
    goals.extend(others());
    goals
}

/// PERF-10: the ring beside what the kernel has.
fn kernel() -> Vec<Goal> {
    use Bar::{AtLeast, AtMost};
    let latency = Figure::Latency("kernel/latency/pipe", "kernel/latency/slipring");
    let mut goals =
        vec![both("PERF-10", "pipe's 56 B one way, p50 / spinning ring's", latency, AtLeast(200.0))];
    for (what, other) in [
        ("wake, p50 / pipe", "kernel/wake/pipe"),
        ("wake, p50 / eventfd", "kernel/wake/eventfd"),
        ("wake, p50 / unix stream", "kernel/wake/unix stream"),
        ("wake, p50 / unix seqpacket", "kernel/wake/unix seqpacket"),
        ("wake, p50 / posix mq", "kernel/wake/posix mq"),
    ] {
        goals.push(both("PERF-10", what, Figure::Wake("kernel/wake/slipring", other), AtMost(1.0)));
    }
    for (what, own, other, least) in [
        ("64 B copied in, may sleep / pipe", "kernel/64/slipring", "kernel/64/pipe", 10.0),
        ("4 KiB copied in, may sleep / pipe", "kernel/4k/slipring", "kernel/4k/pipe", 3.0),
        ("64 KiB copied in, may sleep / unix stream", "kernel/64k/slipring", "kernel/64k/unix stream", 4.0),
    ] {
        goals.push(both("PERF-10", what, Figure::Throughput(own, other), AtLeast(least)));
    }
    goals
}

/// The ring beside what else there is: nothing is asked.
fn others() -> Vec<Goal> {
    let beside = |what, figure| Goal { id: "OTHERS", what, figure, near: None, far: None };
    let mut goals = Vec::new();
    for (what, peer) in [
        ("56 B one way, p50 / shaq", "latency/shaq"),
        ("56 B one way, p50 / crossbeam-channel", "latency/crossbeam-channel"),
        ("56 B one way, p50 / kanal", "latency/kanal"),
        ("56 B one way, p50 / cloudtoid-interprocess", "latency/cloudtoid-interprocess"),
        ("56 B one way, p50 / ipmpsc", "latency/ipmpsc"),
        ("56 B one way, p50 / ipmpsc, polled", "latency/polled/ipmpsc"),
        ("56 B one way, p50 / ipc-channel", "latency/ipc-channel"),
        ("56 B one way, p50 / ipc-channel, polled", "latency/polled/ipc-channel"),
        ("56 B one way, p50 / boost message_queue", "latency/boost message_queue"),
        ("56 B one way, p50 / boost message_queue, polled", "latency/polled/boost message_queue"),
        ("56 B one way, p50 / zeromq", "latency/zeromq"),
    ] {
        goals.push(beside(what, Figure::Latency("latency/slipring", peer)));
    }
    for (what, peer) in [
        ("56 B in place / shaq", "56/in place/shaq"),
        ("56 B in place / crossbeam-channel", "56/in place/crossbeam-channel"),
        ("56 B in place / kanal", "56/in place/kanal"),
        ("56 B in place / cloudtoid-interprocess", "56/in place/cloudtoid-interprocess"),
        ("56 B in place / ipmpsc", "56/in place/ipmpsc"),
        ("56 B in place / ipc-channel", "56/in place/ipc-channel"),
        ("56 B in place / boost message_queue", "56/in place/boost message_queue"),
        ("56 B in place / zeromq", "56/in place/zeromq"),
    ] {
        goals.push(beside(what, Figure::Throughput("56/in place/slipring", peer)));
    }
    goals
}

/// What it costs that a participant may be killed or stopped anywhere: the ring beside a queue without that promise.
fn price() -> Vec<Goal> {
    let mut goals = vec![
        told("one way, p50 / vyukov", Figure::Latency("mpmc/slipring", "mpmc/vyukov")),
        told("vyukov one way, p50 / line", Figure::PerLine(0.5, "mpmc/vyukov")),
        told("array-queue one way, p50 / line", Figure::PerLine(0.5, "mpmc/array-queue")),
        told("bare slot one way, p50 / line", Figure::PerLine(0.5, "mpmc/bare slot")),
    ];
    for (what, own, plain) in [
        ("1P1C / vyukov", "1P1C/slipring", "1P1C/vyukov"),
        ("2P2C / vyukov", "2P2C/slipring", "2P2C/vyukov"),
        ("4P4C / vyukov", "4P4C/slipring", "4P4C/vyukov"),
        ("2P2C / array-queue of processes", "2P2C/slipring", "2P2C/processes/array-queue"),
        ("4P4C / array-queue of processes", "4P4C/slipring", "4P4C/processes/array-queue"),
    ] {
        goals.push(told(what, Figure::Throughput(own, plain)));
    }
    for (what, key) in [
        ("2P2C array-queue, median round / worst", "2P2C/array-queue"),
        ("2P2C vyukov, median round / worst", "2P2C/vyukov"),
        ("4P4C array-queue, median round / worst", "4P4C/array-queue"),
        ("4P4C vyukov, median round / worst", "4P4C/vyukov"),
    ] {
        goals.push(told(what, Figure::Steady(key)));
    }
    goals
}

/// A goal with what was reached, at one placement. The line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalRow {
    /// `PERF-3`.
    pub goal: String,
    /// What is compared or counted.
    pub what: String,
    /// Where the cores were; none for goals that do not depend on it.
    pub placement: Option<Placement>,
    /// What must be reached, in words.
    pub must: String,
    /// The figure reached, in words; `-` if there is none.
    pub reached: String,
    /// Over the rounds that were kept; none for goals without rounds.
    pub spread: Option<Spread>,
    /// Rounds that count.
    pub kept: usize,
    /// Rounds that do not: somebody else used the cores, or the cores moved.
    pub dropped: usize,
    /// Every round had outside load and all were kept nevertheless.
    pub loaded: bool,
    /// Whether the goal is reached; none if nothing is asked at this placement or nothing was measured.
    pub yes: Option<bool>,
    /// Why there is no figure, or what to know about it.
    pub note: Option<String>,
}

impl GoalRow {
    /// Whether the verdict rests on enough rounds without load. Goals without rounds need none.
    pub fn is_firm(&self) -> bool {
        !self.loaded && (self.spread.is_none() || self.kept >= FIRM_ROUNDS)
    }
}

/// The rows of a goal, one a placement, from the values of its rounds. `dropped`: rounds dropped for load.
pub fn rows(goal: &Goal, values: &[(Placement, f64)], dropped: usize, loaded: bool) -> Vec<GoalRow> {
    let mut places: Vec<Placement> =
        values.iter().map(|&(place, _)| place).filter(|&place| place != Placement::Moved).collect();
    places.sort_unstable();
    places.dedup();
    let moved = values.iter().filter(|&&(place, _)| place == Placement::Moved).count();
    let row = |place: Placement| {
        let own = || values.iter().filter(move |&&(at, _)| at == place).map(|&(_, value)| value);
        let spread = Spread::of(own())?;
        let (spread, figure) = match goal.figure {
            // The worst round is what counts, and the median the unit.
            Figure::Steady(_) => {
                let spread = Spread::of(own().map(|value| spread.median / value))?;
                (spread, spread.max)
            }
            _ => (spread, spread.median),
        };
        let bar = goal.bar(place);
        Some(GoalRow {
            goal: goal.id.into(),
            what: goal.what.into(),
            placement: Some(place),
            must: bar.map_or_else(|| "-".into(), |bar| bar.to_string()),
            reached: format!("{figure:.2}"),
            spread: Some(spread),
            kept: own().count(),
            dropped: dropped + moved,
            loaded,
            yes: bar.map(|bar| bar.is_reached(figure)),
            note: None,
        })
    };
    places.into_iter().filter_map(row).collect()
}

/// The row of a goal without a figure.
pub fn missing(goal: &Goal, why: String) -> GoalRow {
    GoalRow {
        goal: goal.id.into(),
        what: goal.what.into(),
        placement: None,
        must: goal.near.map_or_else(|| "-".into(), |bar| bar.to_string()),
        reached: "-".into(),
        spread: None,
        kept: 0,
        dropped: 0,
        loaded: false,
        yes: None,
        note: Some(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ENGINES, Engine};
    use slipring_harness::cores::Cores;
    use slipring_harness::measure::{LatencyReading, ThroughputReading};
    use slipring_harness::reference::{Bracket, Reference};
    use slipring_harness::usage::Usage;

    fn bracket(line_ns: f64) -> Bracket {
        let reference = Reference::of(Cores::Pinned(0, 1), line_ns, 10.0);
        Bracket { before: reference, after: reference }
    }

    fn rate(messages: u64, line_ns: f64) -> Reading {
        let (bracket, usage) = (bracket(line_ns), Usage::default());
        Reading::Throughput(ThroughputReading { bracket, messages, ns: 1e3, usage })
    }

    fn trip(ticks: u64, line_ns: f64) -> Reading {
        let ticks = vec![(ticks, 98), (10 * ticks, 2)];
        let (bracket, usage) = (bracket(line_ns), Usage::default());
        Reading::Latency(LatencyReading { bracket, trips: 100, ticks, usage })
    }

    fn goal(id: &str, what: &str) -> Goal {
        let found = goals().into_iter().find(|goal| goal.id == id && goal.what == what);
        found.unwrap_or_else(|| panic!("{id} {what}"))
    }

    #[test]
    fn every_goal_has_its_cells_in_the_plan() {
        let keys: Vec<Key> =
            crate::plan::groups().iter().flat_map(|group| &group.cells).map(|&(key, _)| key).collect();
        for goal in goals() {
            let (own, other) = goal.figure.keys();
            for key in [Some(own), other].into_iter().flatten() {
                let absent = |engine: &Engine| engine.absent.is_some() && key.ends_with(engine.name);
                let known = keys.contains(&key) || ENGINES.iter().any(absent);
                assert!(known, "{}: {key}", goal.what);
            }
        }
    }

    #[test]
    fn both_cells_of_a_ratio_are_in_one_group() {
        for goal in goals() {
            if let (own, Some(other)) = goal.figure.keys() {
                assert_eq!(own.split('/').next(), other.split('/').next(), "{}", goal.what);
            }
        }
    }

    #[test]
    fn throughput_is_compared_within_a_round() {
        let goal = goal("PERF-4", "8 B single / rtrb push, pop");
        let clock = Clock::calibrate();
        let value = goal.figure.value(&clock, 8, &rate(6, 70.0), Some(&rate(4, 70.0)));
        assert_eq!(value, Some((Placement::Near, 1.5)));
        assert_eq!(goal.figure.value(&clock, 8, &rate(6, 70.0), Some(&trip(4, 70.0))), None);
        assert_eq!(goal.figure.value(&clock, 8, &rate(6, 70.0), None), None);
    }

    #[test]
    fn a_round_in_which_the_cores_moved_counts_nowhere() {
        let goal = goal("PERF-4", "8 B single / rtrb push, pop");
        let clock = Clock::calibrate();
        let value = goal.figure.value(&clock, 8, &rate(6, 70.0), Some(&rate(4, 270.0)));
        assert_eq!(value.map(|(place, _)| place), Some(Placement::Moved));
        let values = [(Placement::Near, 1.5), (Placement::Moved, 9.0), (Placement::Near, 0.5)];
        let rows = rows(&goal, &values, 3, false);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].kept, rows[0].dropped), (2, 4));
        assert_eq!(rows[0].spread, Some(Spread { median: 1.0, min: 0.5, max: 1.5 }));
        assert_eq!((rows[0].yes, rows[0].is_firm()), (Some(true), false));
    }

    #[test]
    fn the_worst_round_is_judged_in_units_of_the_median() {
        let goal = goal("PERF-9", "2P2C, median round / worst");
        let clock = Clock::calibrate();
        let value = |messages| goal.figure.value(&clock, 48, &rate(messages, 70.0), None);
        let values: Vec<_> = [6, 2, 8, 6, 12].into_iter().filter_map(value).collect();
        let row = &rows(&goal, &values, 0, false)[0];
        assert_eq!((row.reached.as_str(), row.yes), ("3.00", Some(true)));
        let worse: Vec<_> = [6, 1, 8, 6, 12].into_iter().filter_map(value).collect();
        assert_eq!(rows(&goal, &worse, 0, false)[0].yes, Some(false));
    }

    #[test]
    fn what_is_only_told_has_no_verdict() {
        let goal = goal("PRICE", "1P1C / vyukov");
        let row = &rows(&goal, &[(Placement::Near, 0.5)], 0, false)[0];
        assert_eq!((row.must.as_str(), row.reached.as_str(), row.yes), ("-", "0.50", None));
    }

    #[test]
    fn bytes_a_second_are_in_units_of_stream() {
        let goal = goal("PERF-3", "56 B in place / stream");
        let clock = Clock::calibrate();
        // 100 messages of 56 bytes in a microsecond: 5.6 GB/s of 10.
        let value = goal.figure.value(&clock, 56, &rate(100, 70.0), None);
        assert!(value.is_some_and(|(_, value)| (value - 0.56).abs() < 1e-9), "{value:?}");
    }

    #[test]
    fn latency_is_half_the_round_trip_in_units_of_line() {
        let clock = Clock::calibrate();
        let ticks = clock.ticks(std::time::Duration::from_micros(140));
        let half = goal("PERF-1", "56 B one way, p50 / line").figure;
        let value = half.value(&clock, 56, &trip(ticks, 70.0), None);
        assert!(value.is_some_and(|(_, value)| (value - 1000.0).abs() < 1.0), "{value:?}");
        let tail = goal("PERF-1", "56 B one way, p99 / line").figure;
        let value = tail.value(&clock, 56, &trip(ticks, 70.0), None);
        assert!(value.is_some_and(|(_, value)| (value - 10_000.0).abs() < 10.0), "{value:?}");
    }

    #[test]
    fn near_and_far_have_their_own_bars_and_rows() {
        let goal = goal("PERF-1", "56 B one way, p50 / line");
        let values = [(Placement::Far, 0.70), (Placement::Near, 0.70), (Placement::Twin, 0.70)];
        let rows = rows(&goal, &values, 0, false);
        let verdicts: Vec<_> = rows.iter().map(|row| (row.placement, row.yes)).collect();
        assert_eq!(
            verdicts,
            [
                (Some(Placement::Twin), None),
                (Some(Placement::Near), Some(false)),
                (Some(Placement::Far), Some(true))
            ]
        );
    }

    #[test]
    fn a_bar_is_reached_at_its_own_value() {
        assert!(Bar::AtMost(0.65).is_reached(0.65) && !Bar::AtMost(0.65).is_reached(0.651));
        assert!(Bar::AtLeast(2.0).is_reached(2.0) && !Bar::AtLeast(2.0).is_reached(1.999));
    }

    #[test]
    fn few_or_loaded_rounds_make_no_firm_verdict() {
        let goal = goal("PERF-5", "4 KiB in place / shmem-ipc");
        let values = [(Placement::Near, 1.2); FIRM_ROUNDS];
        assert!(rows(&goal, &values, 0, false)[0].is_firm());
        assert!(!rows(&goal, &values, 0, true)[0].is_firm());
        assert!(!rows(&goal, &values[1..], 0, false)[0].is_firm());
    }
}
