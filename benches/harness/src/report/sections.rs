//! The report as titled tables and sentences, for every exporter that people read. Ratios come with their range.
#![forbid(unsafe_code)]

use super::rows::Cost;
use super::{LatencyRow, LoadedRound, MissingRow, Report, Subject, ThroughputRow, WakeRow};
use crate::measure::PayloadSource;
use crate::reference::Placement;
use crate::stats::Spread;
use crate::text::{counted, figure, range};

/// One table. The first column names the row.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) head: Vec<&'static str>,
    pub(super) lines: Vec<Vec<String>>,
}

/// What every measured row begins with.
const KEY: [&str; 5] = ["mechanism", "bytes", "payload", "copies", "cores"];

/// All tables that have lines.
pub(super) fn sections(report: &Report) -> Vec<Section> {
    let references = report.references.iter().map(|row| {
        let (line, stream) = (range(&row.line_ns), range(&row.stream_gb_per_s));
        vec![row.placement.name().into(), row.readings.to_string(), line, stream]
    });
    let machine = Section {
        title: "The machine meanwhile (a cache line one way; 4 KiB chunks written, read and checked)",
        head: vec!["cores", "readings", "line ns", "stream GB/s"],
        lines: references.collect(),
    };
    let latency = measured(
        report,
        "Latency, one way (half a round trip)",
        "latency",
        &["p50 ns", "p99 ns", "p50/line", "p99/line", "pipe/p50", "CPU ns/msg", "switches/msg", "rounds"],
        shown(&report.latency, |row| &row.subject).map(|row| (&row.subject, latency(row))),
    );
    let throughput = measured(
        report,
        "Throughput",
        "throughput",
        &["msgs/s", "GB/s", "of stream", "of pipe", "CPU ns/msg", "switches/msg", "rounds"],
        shown(&report.throughput, |row| &row.subject).map(|row| (&row.subject, throughput(row))),
    );
    let wake = measured(
        report,
        "Waking a receiver that sleeps, one way",
        "wake",
        &["p50 ns", "p99 ns", "p50/futex", "receiver CPU ns/msg", "sleeps/msg", "rounds"],
        shown(&report.wake, |row| &row.subject).map(|row| (&row.subject, wake(row))),
    );
    [machine, latency, throughput, wake].into_iter().filter(|section| !section.lines.is_empty()).collect()
}

/// A table of measured rows and of those that are missing, which point to their note.
fn measured<'r>(
    report: &'r Report,
    title: &'static str,
    kind: &str,
    figures: &[&'static str],
    rows: impl Iterator<Item = (&'r Subject, Vec<String>)>,
) -> Section {
    // Several lines of one mechanism stay in the order of their placements.
    let place = |mechanism: &str| report.mechanisms.iter().position(|row| row.name == mechanism);
    let order = |mechanism: &str, size, source| (size, source, place(mechanism));
    let measured = rows.map(|(subject, line)| {
        let cells = [key(report, subject), line].concat();
        (order(&subject.mechanism, subject.size, subject.source), cells)
    });
    let notes = report.notes();
    let missing = report.missing.iter().filter(|row| row.kind == kind).map(|row| {
        let note = notes.iter().position(|note| *note == format!("{}: {}", row.mechanism, row.reason));
        let mut cells = missing_key(report, row);
        cells.extend(figures[1..].iter().map(|_| "-".to_string()));
        cells.push(note.map_or_else(String::new, |at| format!("[{}]", at + 1)));
        (order(&row.mechanism, row.size, row.source), cells)
    });
    let mut lines: Vec<_> = measured.chain(missing).collect();
    // Without the mechanisms there is no order but the rows' own.
    if !report.mechanisms.is_empty() {
        lines.sort_by_key(|(order, _)| *order);
    }
    let head = KEY.iter().chain(figures).copied().collect();
    Section { title, head, lines: lines.into_iter().map(|(_, cells)| cells).collect() }
}

/// Without the rows of readings that moved, if their cell has others.
pub(super) fn shown<R>(rows: &[R], subject: impl Fn(&R) -> &Subject) -> impl Iterator<Item = &R> {
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
    let mut line = vec![figure(row.p50_ns.median), figure(row.p99_ns.median)];
    line.extend([range(&row.p50_per_line), figure(row.p99_per_line.median), times(row.times_pipe)]);
    line.extend(cost(&row.cost));
    line.push(row.rounds.to_string());
    line
}

fn throughput(row: &ThroughputRow) -> Vec<String> {
    let mut line = vec![counted(row.messages_per_s.median), figure(row.gb_per_s.median)];
    line.extend([range(&row.per_stream), times(row.times_pipe)]);
    line.extend(cost(&row.cost));
    line.push(row.rounds.to_string());
    line
}

fn wake(row: &WakeRow) -> Vec<String> {
    let mut line = vec![figure(row.p50_ns.median), figure(row.p99_ns.median)];
    line.push(row.p50_per_futex.as_ref().map_or_else(|| "-".into(), range));
    line.extend([figure(row.receiver_cpu_ns), figure(row.sleeps), row.rounds.to_string()]);
    line
}

fn key(report: &Report, subject: &Subject) -> Vec<String> {
    let Subject { mechanism, size, source, placement } = subject;
    let copies = report.copies(mechanism, *source).map_or_else(|| "-".into(), |copies| copies.to_string());
    vec![mechanism.clone(), size.to_string(), payload(*source).into(), copies, placement.name().into()]
}

fn missing_key(report: &Report, row: &MissingRow) -> Vec<String> {
    let subject = Subject {
        mechanism: row.mechanism.clone(),
        size: row.size,
        source: row.source,
        placement: Placement::Moved,
    };
    let mut key = key(report, &subject);
    // It was nowhere.
    key[4] = "-".into();
    key
}

/// Where a payload comes from, in words.
pub(super) fn payload(source: PayloadSource) -> &'static str {
    match source {
        PayloadSource::Registers => "in place",
        PayloadSource::Memory => "copied",
    }
}

fn cost(cost: &Cost) -> [String; 2] {
    [figure(cost.cpu_ns), figure(cost.voluntary + cost.involuntary)]
}

fn times(times: Option<Spread>) -> String {
    times.map_or_else(|| "-".into(), |times| format!("{}x", figure(times.median)))
}

/// What ran, when and where: two lines.
pub(super) fn heading(report: &Report) -> [String; 2] {
    let machine = &report.machine;
    let cores = match machine.cores {
        Some([left, right]) => format!("pinned to cores {left} and {right}"),
        None => "NOT PINNED: only one core is allowed, spinning rows measure the scheduler".into(),
    };
    let guest = if machine.virtual_machine { ", virtual machine" } else { "" };
    let commit = report.commit.as_deref().map(|commit| format!(" ({commit})")).unwrap_or_default();
    [
        format!("slipring {}{commit}, {}", report.version, report.date),
        format!("{}{guest}, Linux {}, {cores}", machine.cpu, machine.kernel),
    ]
}

/// How the figures are meant: sentences.
pub(super) fn method(report: &Report) -> Vec<String> {
    let method = &report.method;
    vec![
        "Two processes; every message written and checked completely. Median of rounds (least-greatest); ratios within \
         a round."
            .into(),
        format!("{} rounds of {} ms a measurement.", method.rounds, figure(method.budget_ms)),
        format!("Clock: {}, {:.0} ns a reading, not subtracted.", method.clock, method.clock_cost_ns),
        format!(
            "twin: line < {} ns, near: < {} ns, else far.",
            method.twin_below_ns, method.near_below_ns
        ),
        "Copies are those of a whole message, as the mechanism works; they are not measured.".into(),
    ]
}

/// What speaks against the figures: sentences.
pub(super) fn flaws(report: &Report) -> Vec<String> {
    let method = &report.method;
    let mut flaws = Vec::new();
    let reasons = reasons(&method.loaded);
    flaws.push(match (method.loaded.len(), method.all_loaded) {
        (0, _) => format!("{} rounds, none dropped.", method.rounds),
        (_, true) => format!(
            "WARNING: all {} rounds had outside load and were kept all the same ({reasons}).",
            method.rounds
        ),
        (count, false) => format!("{count} of {} rounds dropped ({reasons}).", method.rounds),
    });
    if let Some(moved) = report.references.iter().find(|row| row.placement == Placement::Moved) {
        flaws.push(format!(
            "{} readings during which the cores moved are left out where a row has others.",
            moved.readings
        ));
    }
    flaws
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
