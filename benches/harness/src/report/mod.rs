//! The results: one struct that holds everything, and its exporters: [`Report`]'s `Display` for a terminal, Markdown,
//! CSV, one HTML page, and JSON, from which the report can be had again. Ratios are the message; absolute figures stand beside them.
//!
//! Figures that a round has one of (p50, p99, a rate, a ratio) are given as median and range over the rounds. Tails come
//! from all rounds' values together. Readings of different placements never share a row.
#![forbid(unsafe_code)]

mod adapters;
mod baseline;
mod claims;
mod csv;
mod html;
mod markdown;
mod mechanisms;
mod patterns;
mod plot;
mod plots;
mod rows;
mod sections;
mod table;
mod wake;

use serde::{Deserialize, Serialize};

pub use adapters::AdapterRow;
pub use baseline::{Change, Comparison};
pub use claims::{Claim, Verdict};
pub use mechanisms::{MechanismRow, MissingRow};
pub use patterns::{ManyRow, SignalRow, SyscallRow, TimedRow};
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
    /// Messages at a rate, through one of several sources, from a cold start, after a death.
    #[serde(default)]
    pub timed: Vec<TimedRow>,
    /// Many senders and receivers.
    #[serde(default)]
    pub many: Vec<ManyRow>,
    /// Bare signals.
    #[serde(default)]
    pub signals: Vec<SignalRow>,
    /// Adapters beside their originals and the bare ring.
    #[serde(default)]
    pub adapters: Vec<AdapterRow>,
    /// System calls, counted in a round of their own.
    #[serde(default)]
    pub syscalls: Vec<SyscallRow>,
    /// What the mechanisms are; empty if nobody said.
    #[serde(default)]
    pub mechanisms: Vec<MechanismRow>,
    /// What was asked for and could not be measured.
    #[serde(default)]
    pub missing: Vec<MissingRow>,
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
            timed: Vec::new(),
            many: Vec::new(),
            signals: Vec::new(),
            adapters: Vec::new(),
            syscalls: Vec::new(),
            mechanisms: Vec::new(),
            missing: Vec::new(),
        };
        for (cells, kept) in groups {
            report.latency.extend(rows::latency(clock, cells, &kept.rounds));
            report.throughput.extend(rows::throughput(cells, &kept.rounds));
            report.wake.extend(wake::wakes(clock, cells, &kept.rounds));
            report.timed.extend(patterns::timed(clock, cells, &kept.rounds));
            report.many.extend(patterns::many(cells, &kept.rounds));
            report.signals.extend(patterns::signals(cells, &kept.rounds));
            report.adapters.extend(adapters::adapters(clock, cells, &kept.rounds));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Family;
    use crate::measure::{PayloadSource, Shape};
    use crate::reference::Placement;
    use crate::stats::Spread;

    fn spread(median: f64) -> Spread {
        Spread { median, min: median * 0.9, max: median * 1.1 }
    }

    fn subject(mechanism: &str, size: usize) -> Subject {
        Subject {
            mechanism: mechanism.into(),
            size,
            source: PayloadSource::Registers,
            placement: Placement::Near,
        }
    }

    fn latency(mechanism: &str, size: usize, ns: f64, pipe: f64) -> LatencyRow {
        LatencyRow {
            subject: subject(mechanism, size),
            rounds: 5,
            trips: 1000,
            p50_ns: spread(ns),
            p99_ns: spread(2.0 * ns),
            p50_per_line: spread(ns / 100.0),
            p99_per_line: spread(ns / 50.0),
            times_pipe: (mechanism != "pipe").then(|| spread(pipe / ns)),
            p90_ns: 1.5 * ns,
            p99_9_ns: Some(4.0 * ns),
            p99_99_ns: None,
            max_ns: 100.0 * ns,
            p50_ns_by_round: vec![ns, 0.9 * ns, 1.1 * ns, ns, ns],
            cost: Cost { cpu_ns: 2.0 * ns, voluntary: 0.0, involuntary: 0.0 },
        }
    }

    fn throughput(mechanism: &str, size: usize, per_second: f64) -> ThroughputRow {
        ThroughputRow {
            subject: subject(mechanism, size),
            rounds: 5,
            messages: 1000,
            messages_per_s: spread(per_second),
            gb_per_s: spread(per_second * size as f64 / 1e9),
            per_stream: spread(per_second * size as f64 / 1e10),
            times_pipe: None,
            cost: Cost { cpu_ns: 2e9 / per_second, voluntary: 0.1, involuntary: 0.0 },
        }
    }

    fn wake(mechanism: &str, ns: f64) -> WakeRow {
        WakeRow {
            subject: subject(mechanism, 8),
            rounds: 5,
            messages: 100,
            p50_ns: spread(ns),
            p99_ns: spread(3.0 * ns),
            p50_per_futex: Some(spread(ns / 20e3)),
            receiver_cpu_ns: 5e3,
            sleeps: 1.0,
        }
    }

    fn timed(kind: &str, mechanism: &str, ns: f64, rate: Option<u32>) -> TimedRow {
        TimedRow {
            kind: kind.into(),
            subject: subject(mechanism, 8),
            rate,
            rounds: 5,
            messages: 1000,
            p50_ns: spread(ns),
            p99_ns: Some(3.0 * ns),
            p99_9_ns: None,
            max_ns: 9.0 * ns,
            uncorrected_p99_ns: rate.map(|_| 2.0 * ns),
            per_second: rate.map(|rate| spread(rate.into())),
            times_pipe: (mechanism != "pipe").then(|| spread(7.0)),
            cost: None,
        }
    }

    fn many(mechanism: &str, senders: usize, receivers: usize, per_second: f64) -> ManyRow {
        ManyRow {
            subject: subject(mechanism, 56),
            shape: Shape { senders, receivers },
            rounds: 5,
            messages: 1000,
            messages_per_s: spread(per_second),
            times_pipe: None,
            cost: Cost { cpu_ns: 2e9 / per_second, voluntary: 0.1, involuntary: 0.0 },
        }
    }

    /// A report made up for the exporters, with a bit of everything.
    pub(super) fn sample() -> Report {
        let mechanism = |name: &str, family, copies| MechanismRow {
            name: name.into(),
            family,
            copies_in_place: Some(copies),
            copies_copied: Some(copies.max(1)),
        };
        Report {
            version: "0.0.0".into(),
            date: "2026-01-31T23:59:59Z".into(),
            commit: Some("abc".into()),
            machine: Machine {
                cpu: "A <fast> & \"good\" one".into(),
                virtual_machine: true,
                allowed_cores: 2,
                cores: Some([0, 1]),
                kernel: "6".into(),
            },
            method: Method {
                rounds: 5,
                loaded: vec![LoadedRound { round: 2, reason: "others used 50 % of the cores".into() }],
                all_loaded: false,
                budget_ms: 20.0,
                clock: "a clock".into(),
                clock_cost_ns: 17.0,
                pinned: true,
                near_below_ns: 100.0,
                twin_below_ns: 45.0,
            },
            references: vec![ReferenceRow {
                placement: Placement::Near,
                readings: 10,
                line_ns: spread(70.0),
                stream_gb_per_s: spread(10.0),
            }],
            latency: vec![
                latency("slipring spin", 8, 150.0, 15e3),
                latency("pipe", 8, 15e3, 15e3),
                latency("slipring spin", 4096, 1e3, 20e3),
                latency("pipe", 4096, 20e3, 20e3),
            ],
            throughput: vec![
                throughput("slipring spin", 8, 80e6),
                throughput("pipe", 8, 2e6),
                throughput("slipring spin", 4096, 4e6),
                throughput("pipe", 4096, 6e5),
            ],
            wake: vec![wake("slipring park", 22e3), wake("pipe", 21e3)],
            timed: vec![
                timed("paced", "slipring spin", 200.0, Some(100_000)),
                timed("paced", "pipe", 9e3, Some(100_000)),
                timed("select", "four pipes poll", 12e3, None),
                timed("cold", "slipring park", 150e3, None),
                timed("recovery", "slipring park", 400e3, None),
            ],
            many: vec![
                many("slipring mpmc park", 1, 1, 9e6),
                many("slipring mpmc park", 4, 1, 8e6),
                many("pipe", 1, 1, 1e6),
                many("pipe", 4, 1, 8e5),
            ],
            signals: vec![SignalRow {
                subject: subject("coalesced signal", 0),
                rounds: 5,
                sent: 1000,
                sent_per_s: spread(1e6),
                taken: spread(0.3),
            }],
            adapters: vec![AdapterRow {
                kind: "latency".into(),
                subject: subject("adapter pipe", 8),
                original: "pipe".into(),
                rounds: 5,
                figure: spread(300.0),
                per_original: Some(spread(0.02)),
                per_ring: Some(spread(2.0)),
            }],
            syscalls: vec![SyscallRow {
                kind: "latency".into(),
                mechanism: "pipe".into(),
                size: 8,
                source: PayloadSource::Registers,
                messages: 100,
                per_message: 2.25,
                calls: vec![("write".into(), 1.25), ("read".into(), 1.0)],
            }],
            mechanisms: vec![
                mechanism("slipring spin", Family::Slipring, 0),
                mechanism("slipring park", Family::Slipring, 0),
                mechanism("pipe", Family::Stream, 2),
                mechanism("posix mq", Family::Packet, 2),
            ],
            missing: vec![MissingRow {
                kind: "latency".into(),
                mechanism: "posix mq".into(),
                size: 4096,
                source: PayloadSource::Registers,
                detail: String::new(),
                reason: "a message holds 1024 bytes: msgsize_max".into(),
            }],
        }
    }

    #[test]
    fn every_exporter_shows_rows_limits_claims_and_flaws() {
        let report = sample();
        for text in [report.to_string(), report.to_markdown(), report.to_html()] {
            for part in [
                "slipring spin",
                "posix mq: a message holds 1024 bytes",
                "does not hold",
                "1 of 5 rounds",
                "four pipes poll",
                "coalesced signal",
                "4 to 1",
                "write 1.25",
            ] {
                assert!(text.contains(part), "{part} is missing in\n{text}");
            }
        }
    }

    #[test]
    fn a_missing_row_stands_among_the_others_and_points_to_its_note() {
        let text = sample().to_string();
        let line = text.lines().find(|line| line.starts_with("posix mq")).unwrap();
        assert!(line.contains("4096") && line.ends_with("[1]"), "{line}");
        let latency = text.lines().skip_while(|line| !line.starts_with("mechanism"));
        let names: Vec<&str> = latency.skip(1).take(5).map(|line| line.split("  ").next().unwrap()).collect();
        assert_eq!(names, ["slipring spin", "pipe", "slipring spin", "pipe", "posix mq"]);
        let columns = |line: &str| line.split_whitespace().filter(|word| *word == "-").count();
        assert_eq!(columns(line), 9, "{line}");
    }

    #[test]
    fn claims_are_computed_from_the_rows() {
        let claims = sample().claims();
        let verdict = |part: &str| {
            let found = claims.iter().find(|claim| claim.text.contains(part));
            found.map(|claim| claim.verdict).unwrap_or_else(|| panic!("{part} in {claims:?}"))
        };
        assert_eq!(verdict("a pipe takes 10 us"), Verdict::Holds);
        assert_eq!(verdict("shared memory takes 100 to 200 ns"), Verdict::Holds);
        assert_eq!(verdict("receiver that sleeps (100"), Verdict::More);
        assert_eq!(verdict("10 to 100 times faster than a pipe"), Verdict::Holds);
        assert_eq!(verdict("receivers that sleep (10"), Verdict::Less);
        assert_eq!(verdict("a pipe: 4 copies"), Verdict::Less);
        assert_eq!(verdict("a pipe: 2 copies"), Verdict::Holds);
        assert_eq!(verdict("made in place: 0 copies"), Verdict::Holds);
        assert_eq!(verdict("copied in: 2 copies"), Verdict::Less);
    }

    #[test]
    fn csv_lines_have_as_many_values_as_columns() {
        let text = sample().to_csv();
        let counts: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(counts.len(), 1 + 4 + 4 + 2 + 5 + 4 + 1 + 1 + 1 + 1);
        assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
        let missing = text.lines().last().unwrap();
        assert!(missing.starts_with("latency,posix mq,4096,in place,,2,,"), "{missing}");
    }

    #[test]
    fn markdown_tables_are_regular() {
        let text = sample().to_markdown();
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        let tables: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        for pair in tables.windows(2) {
            let starts =
                pair[1].contains("mechanism") || pair[1].contains("claim |") || pair[1].contains("cores |");
            assert!(starts || bars(pair[0]) == bars(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn the_page_needs_nothing_from_outside_and_balances_its_tags() {
        let page = sample().to_html();
        for bad in ["http:", "https:", "src=", "@import", "url(", "<script", "<fast>", "NaN", "inf%"] {
            assert!(!page.contains(bad), "{bad}");
        }
        for tag in ["section", "div", "svg", "table", "tr", "ul", "li", "span", "text", "title", "h2"] {
            let (open, shut) =
                (page.matches(&format!("<{tag}>")).count(), page.matches(&format!("</{tag}>")).count());
            let with = page.matches(&format!("<{tag} ")).count();
            assert_eq!(open + with, shut, "{tag}");
        }
        // Percentiles, at a rate, two by size, two against cost, scaling, cold starts and recoveries, jitter; a table each.
        assert_eq!(page.matches("<h2>").count(), 1 + 1 + 10 + 12 + 1 + 2);
        assert!(
            page.contains("prefers-color-scheme: dark")
                && page.contains("&lt;fast&gt; &amp; &quot;good&quot;")
        );
    }

    #[test]
    fn json_of_an_older_version_can_still_be_read() {
        let mut value: serde_json::Value = serde_json::from_str(&sample().to_json().unwrap()).unwrap();
        let fields = value.as_object_mut().unwrap();
        for field in ["mechanisms", "missing", "timed", "many", "signals", "adapters", "syscalls"] {
            fields.remove(field);
        }
        for row in value["latency"].as_array_mut().unwrap() {
            row.as_object_mut().unwrap().remove("p50_ns_by_round");
        }
        let old = Report::from_json(&value.to_string()).unwrap();
        assert_eq!((old.mechanisms.len(), old.missing.len()), (0, 0));
        assert!(old.to_string().contains("slipring spin") && old.to_html().contains("slipring spin"));
    }
}
