//! The report for people: aligned columns, ratios with their range.
#![forbid(unsafe_code)]

use std::fmt;

use super::rows::Cost;
use super::{LatencyRow, LoadedRound, Report, Subject, ThroughputRow, WakeRow};
use crate::measure::PayloadSource;
use crate::reference::Placement;
use crate::stats::Spread;
use crate::text::{counted, figure, range, table};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(self, f)?;
        writeln!(
            f,
            "\nThe machine meanwhile (a cache line one way; 4 KiB chunks written, read and checked)"
        )?;
        let references = self.references.iter().map(|row| {
            let (line, stream) = (range(&row.line_ns), range(&row.stream_gb_per_s));
            vec![row.placement.name().into(), row.readings.to_string(), line, stream]
        });
        table(f, &["cores", "readings", "line ns", "stream GB/s"], references)?;

        if !self.latency.is_empty() {
            writeln!(f, "\nLatency, one way (half a round trip)")?;
            let head = [
                "mechanism",
                "bytes",
                "payload",
                "cores",
                "p50 ns",
                "p99 ns",
                "p50/line",
                "p99/line",
                "pipe/p50",
                "CPU ns/msg",
                "switches/msg",
                "rounds",
            ];
            table(f, &head, shown(&self.latency, |row| &row.subject).map(latency))?;
        }
        if !self.throughput.is_empty() {
            writeln!(f, "\nThroughput")?;
            let head = [
                "mechanism",
                "bytes",
                "payload",
                "cores",
                "msgs/s",
                "GB/s",
                "of stream",
                "of pipe",
                "CPU ns/msg",
                "switches/msg",
                "rounds",
            ];
            table(f, &head, shown(&self.throughput, |row| &row.subject).map(throughput))?;
        }
        if !self.wake.is_empty() {
            writeln!(f, "\nWaking a receiver that sleeps, one way")?;
            let head = [
                "mechanism",
                "bytes",
                "payload",
                "cores",
                "p50 ns",
                "p99 ns",
                "p50/futex",
                "receiver CPU ns/msg",
                "sleeps/msg",
                "rounds",
            ];
            table(f, &head, shown(&self.wake, |row| &row.subject).map(wake))?;
        }
        foot(self, f)
    }
}

fn head(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let machine = &report.machine;
    let cores = match machine.cores {
        Some([left, right]) => format!("pinned to cores {left} and {right}"),
        None => "NOT PINNED: only one core is allowed, spinning rows measure the scheduler".into(),
    };
    let guest = if machine.virtual_machine { ", virtual machine" } else { "" };
    let commit = report.commit.as_deref().map(|commit| format!(" ({commit})")).unwrap_or_default();
    writeln!(f, "slipring {}{commit}, {}", report.version, report.date)?;
    writeln!(f, "{}{guest}, Linux {}, {cores}", machine.cpu, machine.kernel)
}

fn foot(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let method = &report.method;
    writeln!(
        f,
        "\nTwo processes; every message written and checked completely. Median of rounds (least-greatest); ratios within\n\
         a round. Clock: {}, {:.0} ns a reading, not subtracted. twin: line < {} ns, near: < {} ns, else far.",
        method.clock, method.clock_cost_ns, method.twin_below_ns, method.near_below_ns
    )?;
    let moved = report.references.iter().find(|row| row.placement == Placement::Moved);
    if let Some(moved) = moved {
        writeln!(
            f,
            "{} readings during which the cores moved are left out where a row has others.",
            moved.readings
        )?;
    }
    let reasons = reasons(&method.loaded);
    match (method.loaded.len(), method.all_loaded) {
        (0, _) => writeln!(f, "{} rounds, none dropped.", method.rounds),
        (_, true) => writeln!(
            f,
            "WARNING: all {} rounds had outside load and were kept all the same ({reasons}).",
            method.rounds
        ),
        (count, false) => {
            writeln!(f, "{count} of {} rounds dropped ({reasons}).", method.rounds)
        }
    }
}

/// The first few; all of them are in the JSON.
fn reasons(loaded: &[LoadedRound]) -> String {
    let mut reasons: Vec<String> =
        loaded.iter().take(3).map(|loaded| format!("round {}: {}", loaded.round, loaded.reason)).collect();
    if loaded.len() > reasons.len() {
        reasons.push(format!("and {} more", loaded.len() - reasons.len()));
    }
    reasons.join("; ")
}

/// Without the rows of readings that moved, if their cell has others.
fn shown<R>(rows: &[R], subject: impl Fn(&R) -> &Subject) -> impl Iterator<Item = &R> {
    rows.iter().filter(move |row| {
        let own = subject(row);
        let stayed = |other: &R| {
            let other = subject(other);
            other.placement != Placement::Moved
                && Subject { placement: own.placement, ..other.clone() } == *own
        };
        own.placement != Placement::Moved || !rows.iter().any(stayed)
    })
}

fn latency(row: &LatencyRow) -> Vec<String> {
    let mut line = key(&row.subject);
    line.extend([figure(row.p50_ns.median), figure(row.p99_ns.median)]);
    line.extend([range(&row.p50_per_line), figure(row.p99_per_line.median), times(row.times_pipe)]);
    line.extend(cost(&row.cost));
    line.push(row.rounds.to_string());
    line
}

fn throughput(row: &ThroughputRow) -> Vec<String> {
    let mut line = key(&row.subject);
    line.extend([counted(row.messages_per_s.median), figure(row.gb_per_s.median)]);
    line.extend([range(&row.per_stream), times(row.times_pipe)]);
    line.extend(cost(&row.cost));
    line.push(row.rounds.to_string());
    line
}

fn wake(row: &WakeRow) -> Vec<String> {
    let mut line = key(&row.subject);
    line.extend([figure(row.p50_ns.median), figure(row.p99_ns.median)]);
    line.push(row.p50_per_futex.as_ref().map_or_else(|| "-".into(), range));
    line.extend([figure(row.receiver_cpu_ns), figure(row.sleeps), row.rounds.to_string()]);
    line
}

fn key(subject: &Subject) -> Vec<String> {
    let source = match subject.source {
        PayloadSource::Registers => "in place",
        PayloadSource::Memory => "copied",
    };
    let Subject { mechanism, size, placement, .. } = subject;
    vec![mechanism.clone(), size.to_string(), source.into(), placement.name().into()]
}

fn cost(cost: &Cost) -> [String; 2] {
    [figure(cost.cpu_ns), figure(cost.voluntary + cost.involuntary)]
}

fn times(times: Option<Spread>) -> String {
    times.map_or_else(|| "-".into(), |times| format!("{}x", figure(times.median)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_reasons_is_cut_and_says_so() {
        let loaded: Vec<LoadedRound> =
            (1..=5).map(|round| LoadedRound { round, reason: "busy".into() }).collect();
        assert_eq!(reasons(&loaded[..1]), "round 1: busy");
        assert_eq!(reasons(&loaded), "round 1: busy; round 2: busy; round 3: busy; and 2 more");
    }
}
