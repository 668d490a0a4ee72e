//! The results: one struct that holds everything, and its exporters ([`Report`]'s `Display` for people, JSON for all
//! else). Ratios are the message; absolute figures stand beside them.
//!
//! Figures that a round has one of (p50, p99, a rate, a ratio) are given as median and range over the rounds. Tails come
//! from all rounds' values together. Readings of different placements never share a row.
#![forbid(unsafe_code)]

mod rows;
mod table;
mod wake;

use serde::{Deserialize, Serialize};

pub use rows::{Cost, LatencyRow, ReferenceRow, Subject, ThroughputRow};
pub use wake::WakeRow;

use crate::clock::Clock;
use crate::error::HarnessError;
use crate::machine::Machine;
use crate::measure::Setting;
use crate::reference::{NEAR_BELOW_NS, TWIN_BELOW_NS};
use crate::rounds::{Cell, Kept};

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of slipring that measured.
    pub version: String,
    /// When it was finished, UTC.
    pub date: String,
    /// Commit of the measured code, if the caller knows it.
    pub commit: Option<String>,
    /// Where.
    pub machine: Machine,
    /// How.
    pub method: Method,
    /// What the machine could do meanwhile, one row a placement.
    pub references: Vec<ReferenceRow>,
    /// Latency, one way.
    pub latency: Vec<LatencyRow>,
    /// Throughput.
    pub throughput: Vec<ThroughputRow>,
    /// Waking a sleeping receiver.
    pub wake: Vec<WakeRow>,
}

/// How the figures came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// Rounds measured, over all groups.
    pub rounds: usize,
    /// Rounds dropped for outside load, or kept in spite of it (see `all_loaded`).
    pub loaded: Vec<LoadedRound>,
    /// Every round had outside load, so all were kept: distrust the figures.
    pub all_loaded: bool,
    /// Timed part of one measurement, in milliseconds.
    pub budget_ms: f64,
    /// The clock.
    pub clock: String,
    /// What one reading of it costs. A round trip contains one such cost; nothing is subtracted.
    pub clock_cost_ns: f64,
    /// Whether the two processes were pinned to cores of their own.
    pub pinned: bool,
    /// `line` below this is called near.
    pub near_below_ns: f64,
    /// `line` below this is called twin: two threads of one core.
    pub twin_below_ns: f64,
}

impl Method {
    /// As the setting has it; the rounds are counted by [`Report::new`].
    pub fn of(setting: &Setting) -> Method {
        Method {
            rounds: 0,
            loaded: Vec::new(),
            all_loaded: false,
            budget_ms: setting.budget.as_secs_f64() * 1e3,
            clock: setting.clock.name().to_string(),
            clock_cost_ns: setting.clock.cost_ns(),
            pinned: setting.pair.cores.pair().is_some(),
            near_below_ns: NEAR_BELOW_NS,
            twin_below_ns: TWIN_BELOW_NS,
        }
    }
}

/// A round during which others used the cores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedRound {
    /// Its number, from 1.
    pub round: usize,
    /// What happened.
    pub reason: String,
}

impl Report {
    /// Summarises the rounds that were kept, of groups of cells that were measured together.
    pub fn new(
        machine: Machine,
        mut method: Method,
        commit: Option<String>,
        clock: &Clock,
        groups: &[(&[Cell], &Kept)],
    ) -> Report {
        method.all_loaded = groups.iter().all(|(_, kept)| kept.all_loaded);
        // A group that was kept in spite of its load dropped nothing; its rows must be marked by whoever shows them.
        let told = groups.iter().filter(|(_, kept)| method.all_loaded || !kept.all_loaded);
        let reasons = told.flat_map(|(_, kept)| kept.dropped.iter().cloned());
        method.loaded = reasons.map(|(round, reason)| LoadedRound { round, reason }).collect();
        let measured = |kept: &Kept| kept.rounds.len() + if kept.all_loaded { 0 } else { kept.dropped.len() };
        method.rounds = groups.iter().map(|(_, kept)| measured(kept)).sum();
        let mut report = Report {
            version: env!("CARGO_PKG_VERSION").to_string(),
            date: crate::machine::now(),
            commit,
            machine,
            method,
            references: rows::references(groups.iter().flat_map(|(_, kept)| &kept.rounds)),
            latency: Vec::new(),
            throughput: Vec::new(),
            wake: Vec::new(),
        };
        for (cells, kept) in groups {
            report.latency.extend(rows::latency(clock, cells, &kept.rounds));
            report.throughput.extend(rows::throughput(cells, &kept.rounds));
            report.wake.extend(wake::wakes(clock, cells, &kept.rounds));
        }
        report
    }

    /// As JSON, indented.
    pub fn to_json(&self) -> Result<String, HarnessError> {
        serde_json::to_string_pretty(self).map_err(|error| HarnessError::Answer { what: error.to_string() })
    }

    /// From the JSON of [`Report::to_json`].
    pub fn from_json(text: &str) -> Result<Report, HarnessError> {
        serde_json::from_str(text).map_err(|error| HarnessError::Answer { what: error.to_string() })
    }
}
