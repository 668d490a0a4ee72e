//! What an adapter costs: beside the kernel's original, whose semantics it has, and beside the bare ring, which has none.
//! Ratios are taken within a round.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::rows::{Subject, groups};
use crate::catalogue;
use crate::clock::Clock;
use crate::mechanism::{Mechanism, Park, Spsc};
use crate::reference::Placement;
use crate::rounds::{Cell, Reading, Round};
use crate::stats::{Spread, quantile, ratio};

/// An adapter beside its original and the ring that sleeps as it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterRow {
    /// `latency` and `wake` (p50 in nanoseconds), or `throughput` (messages a second).
    pub kind: String,
    /// The adapter, and where.
    #[serde(flatten)]
    pub subject: Subject,
    /// The kernel's mechanism.
    pub original: String,
    /// Rounds that were read at this placement.
    pub rounds: usize,
    /// The adapter's figure.
    pub figure: Spread,
    /// The same in units of its original's; none if the original cannot do it.
    pub per_original: Option<Spread>,
    /// The same in units of the bare ring's.
    pub per_ring: Option<Spread>,
}

/// A cell's figures at one placement, each with that of another mechanism.
type Beside<'c> = (&'c Cell, Placement, Vec<(f64, Option<f64>)>);

pub(super) fn adapters(clock: &Clock, cells: &[Cell], rounds: &[Round]) -> Vec<AdapterRow> {
    let figure = |cell: &Cell, reading: &Reading| match reading {
        Reading::Latency(reading) => Some(reading.one_way_ticks(0.5) * clock.ns(1)),
        Reading::Throughput(reading) if cell.kind() == "throughput" => Some(reading.per_second()),
        Reading::Wake(reading) => Some(quantile(&reading.ticks, 0.5) as f64 * clock.ns(1)),
        _ => None,
    };
    let ring = |_: &Cell| Some(<Spsc<Park> as Mechanism>::NAME);
    let beside_originals = groups(cells, rounds, |cell| catalogue::original(cell.mechanism), figure);
    let beside_ring = groups(cells, rounds, ring, figure);
    let ratios = |readings: &[(f64, Option<f64>)]| {
        Spread::of(readings.iter().filter_map(|(own, peer)| ratio(*own, (*peer)?)))
    };
    let both = beside_originals.into_iter().zip(beside_ring);
    let row = |(with_original, with_ring): (Beside<'_>, Beside<'_>)| {
        let ((cell, placement, originals), (_, _, rings)) = (with_original, with_ring);
        Some(AdapterRow {
            kind: cell.kind().into(),
            subject: Subject::new(cell, placement),
            original: catalogue::original(cell.mechanism)?.into(),
            rounds: originals.len(),
            figure: Spread::of(originals.iter().map(|(own, _)| *own))?,
            per_original: ratios(&originals),
            per_ring: ratios(&rings),
        })
    };
    both.filter_map(row).collect()
}
