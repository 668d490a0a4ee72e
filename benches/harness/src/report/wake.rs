//! Rows of the waking measurement, in units of the bare futex.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::rows::{Subject, groups};
use crate::clock::Clock;
use crate::measure::WakeReading;
use crate::mechanism::{Futex, Mechanism};
use crate::rounds::{Cell, Reading, Round};
use crate::stats::{Spread, quantile, ratio};

/// How long one mechanism takes to wake a sleeping receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WakeRow {
    /// What was measured, and where.
    #[serde(flatten)]
    pub subject: Subject,
    /// Rounds that were read at this placement.
    pub rounds: usize,
    /// Messages in all of them.
    pub messages: u64,
    /// Half of the messages are read within this.
    pub p50_ns: Spread,
    /// 99 % are.
    pub p99_ns: Spread,
    /// p50 in units of the bare futex's in the same round.
    pub p50_per_futex: Option<Spread>,
    /// The receiver's processor time per message.
    pub receiver_cpu_ns: f64,
    /// The receiver's voluntary context switches per message: 1 if it slept before each.
    pub sleeps: f64,
}

pub(super) fn wakes(clock: &Clock, cells: &[Cell], rounds: &[Round]) -> Vec<WakeRow> {
    let of = |_: &Cell, reading: &Reading| match reading {
        Reading::Wake(reading) => Some(reading.clone()),
        _ => None,
    };
    let rows = groups(cells, rounds, |_| Some(Futex::NAME), of).into_iter();
    let row = |(cell, placement, readings): (&Cell, _, Vec<(WakeReading, Option<WakeReading>)>)| {
        let ns = |reading: &WakeReading, q| quantile(&reading.ticks, q) as f64 * clock.ns(1);
        let spread = |q| Spread::of(readings.iter().map(|(reading, _)| ns(reading, q)));
        let per_futex =
            readings.iter().filter_map(|(reading, futex)| ratio(ns(reading, 0.5), ns(futex.as_ref()?, 0.5)));
        let messages: u64 = readings.iter().map(|(reading, _)| reading.messages()).sum();
        let each = |count: i64| count as f64 / messages.max(1) as f64;
        Some(WakeRow {
            subject: Subject::new(cell, placement),
            rounds: readings.len(),
            messages,
            p50_ns: spread(0.5)?,
            p99_ns: spread(0.99)?,
            p50_per_futex: Spread::of(per_futex),
            receiver_cpu_ns: each(readings.iter().map(|(reading, _)| reading.usage.cpu_us).sum()) * 1000.0,
            sleeps: each(readings.iter().map(|(reading, _)| reading.usage.voluntary).sum()),
        })
    };
    rows.filter_map(row).collect()
}
