//! The report as titled tables and sentences, for every exporter that people read. Ratios come with their range.
#![forbid(unsafe_code)]

use super::rows::Cost;
use super::{
    AdapterRow, LatencyRow, LoadedRound, ManyRow, MissingRow, Report, SignalRow, Subject, ThroughputRow,
    TimedRow, WakeRow,
};
use crate::measure::PayloadSource;
use crate::reference::Placement;
use crate::stats::Spread;
use crate::text::{counted, figure, range};

/// One table. The first column names the row.
pub(super) struct Section {
    pub(super) title: &'static str,
    /// What must be known to read it, if anything.
    pub(super) note: &'static str,
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
        note: "",
        head: vec!["cores", "readings", "line ns", "stream GB/s"],
        lines: references.collect(),
    };
    let latency = measured(
        report,
        "Latency, one way (half a round trip)",
        "latency",
        &[
            "p50 ns",
            "p99 ns",
            "p50/line",
            "p99/line",
            "pipe/p50",
            "CPU ns/msg",
            "switches/msg",
            "calls/msg",
            "rounds",
        ],
        shown(&report.latency, |row| &row.subject).map(|row| (&row.subject, latency(report, row))),
    );
    let throughput = measured(
        report,
        "Throughput",
        "throughput",
        &["msgs/s", "GB/s", "of stream", "of pipe", "CPU ns/msg", "switches/msg", "calls/msg", "rounds"],
        shown(&report.throughput, |row| &row.subject).map(|row| (&row.subject, throughput(report, row))),
    );
    let wake = measured(
        report,
        "Waking a receiver that sleeps, one way",
        "wake",
        &["p50 ns", "p99 ns", "p50/futex", "receiver CPU ns/msg", "sleeps/msg", "calls/msg", "rounds"],
        shown(&report.wake, |row| &row.subject).map(|row| (&row.subject, wake(report, row))),
    );
    let sections = [machine, latency, throughput, wake, adapters(report), paced(report), many(report)];
    let more = [
        timed(
            report,
            "select",
            "Waiting for one of four sources, one way (half a round trip)",
            "Each message goes through another source, and the receiver does not know which. slipring has no call that \
             sleeps on several rings: a receiver that never sleeps looks at its rings in turn; one that sleeps has one \
             MPMC ring for all its sources.",
            "poll/p50",
        ),
        timed(
            report,
            "cold",
            "Cold start: from nothing to the first message, 8 bytes",
            "Making the thing, opening both ends in two processes that run already, one message. A ring is opened by its \
             name; descriptors are inherited.",
            "pipe/p50",
        ),
        timed(
            report,
            "recovery",
            "Recovery: from the kill of a sender to its successor's first message, 8 bytes",
            "SIGKILL, reaping the victim, a new sender, one message. A ring is opened by its name and what the dead one \
             held is given back; descriptors are inherited.",
            "pipe/p50",
        ),
        signals(report),
        calls(report),
    ];
    sections.into_iter().chain(more).filter(|section| !section.lines.is_empty()).collect()
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
    Section { title, note: "", head, lines: lines.into_iter().map(|(_, cells)| cells).collect() }
}

/// The rows of a table that is not ordered by size, then those that are missing: by rate or shape, then by mechanism.
fn ordered(
    report: &Report,
    kind: &str,
    columns: usize,
    rows: impl Iterator<Item = (String, String, Vec<String>)>,
) -> Vec<Vec<String>> {
    let mut details: Vec<String> = Vec::new();
    let mut lines: Vec<(String, String, Vec<String>)> = rows.collect();
    let notes = report.notes();
    lines.extend(report.missing.iter().filter(|row| row.kind == kind).map(|row| {
        let note = notes.iter().position(|note| *note == format!("{}: {}", row.mechanism, row.reason));
        let mut cells = vec![row.mechanism.clone()];
        cells.extend((!row.detail.is_empty()).then(|| row.detail.clone()));
        cells.resize(columns - 1, "-".into());
        cells.push(note.map_or_else(String::new, |at| format!("[{}]", at + 1)));
        (row.detail.clone(), row.mechanism.clone(), cells)
    }));
    for (detail, ..) in &lines {
        if !details.contains(detail) {
            details.push(detail.clone());
        }
    }
    let place = |mechanism: &String| report.mechanisms.iter().position(|row| row.name == *mechanism);
    lines.sort_by_key(|(detail, mechanism, _)| {
        (details.iter().position(|known| known == detail), place(mechanism))
    });
    lines.into_iter().map(|(_, _, cells)| cells).collect()
}

fn timed_rows<'r>(report: &'r Report, kind: &str) -> impl Iterator<Item = &'r TimedRow> {
    let rows: Vec<&TimedRow> = report.timed.iter().filter(|row| row.kind == kind).collect();
    let stayed = |row: &&TimedRow| {
        let other = |other: &TimedRow| {
            let same = Subject { placement: row.subject.placement, ..other.subject.clone() } == row.subject;
            same && other.kind == row.kind
                && other.rate == row.rate
                && other.subject.placement != Placement::Moved
        };
        row.subject.placement != Placement::Moved || !report.timed.iter().any(other)
    };
    rows.into_iter().filter(stayed)
}

fn paced(report: &Report) -> Section {
    let head = vec![
        "mechanism",
        "due",
        "cores",
        "p50 ns",
        "p99 ns",
        "p99.9 ns",
        "longest ns",
        "p99 uncorrected",
        "came/s",
        "pipe/p50",
        "receiver CPU ns/msg",
        "rounds",
    ];
    let line = |row: &TimedRow| {
        let rate = format!("{}/s", counted(row.rate.unwrap_or_default().into()));
        let name = row.subject.mechanism.clone();
        let cells = vec![
            name.clone(),
            rate.clone(),
            row.subject.placement.name().into(),
            range(&row.p50_ns),
            maybe(row.p99_ns),
            maybe(row.p99_9_ns),
            figure(row.max_ns),
            maybe(row.uncorrected_p99_ns),
            row.per_second.map_or_else(|| "-".into(), |rate| counted(rate.median)),
            times(row.times_pipe),
            row.cost.map_or_else(|| "-".into(), |cost| figure(cost.cpu_ns)),
            row.rounds.to_string(),
        ];
        (rate, name, cells)
    };
    let lines = ordered(report, "paced", head.len(), timed_rows(report, "paced").map(line));
    Section {
        title: "Messages at a rate, 8 bytes, one way (open loop, coordinated omission corrected)",
        note: "Each message is due at its moment, whatever became of those before it, and its time runs from there: a \
               sender that was held up sends late, and that counts. Uncorrected: from the moment it was really sent.",
        head,
        lines,
    }
}

/// A table of times that need no more than a few columns.
fn timed(
    report: &Report,
    kind: &str,
    title: &'static str,
    note: &'static str,
    against: &'static str,
) -> Section {
    let head =
        vec!["mechanism", "bytes", "cores", "p50 us", "p99 us", "longest us", against, "calls/msg", "rounds"];
    let line = |row: &TimedRow| {
        let us = |ns: f64| figure(ns / 1e3);
        let Spread { median, min, max } = row.p50_ns;
        let name = row.subject.mechanism.clone();
        let cells = vec![
            name.clone(),
            row.subject.size.to_string(),
            row.subject.placement.name().into(),
            range(&Spread { median: median / 1e3, min: min / 1e3, max: max / 1e3 }),
            row.p99_ns.map_or_else(|| "-".into(), us),
            us(row.max_ns),
            times(row.times_pipe),
            calls_of(report, kind, &row.subject),
            row.rounds.to_string(),
        ];
        (String::new(), name, cells)
    };
    let lines = ordered(report, kind, head.len(), timed_rows(report, kind).map(line));
    Section { title, note, head, lines }
}

fn many(report: &Report) -> Section {
    let head = vec![
        "mechanism",
        "senders to receivers",
        "cores",
        "msgs/s",
        "of pipe",
        "CPU ns/msg",
        "switches/msg",
        "rounds",
    ];
    let stayed = |row: &&ManyRow| {
        let other = |other: &ManyRow| {
            let same = Subject { placement: row.subject.placement, ..other.subject.clone() } == row.subject;
            same && other.shape == row.shape && other.subject.placement != Placement::Moved
        };
        row.subject.placement != Placement::Moved || !report.many.iter().any(other)
    };
    let line = |row: &ManyRow| {
        let (shape, name) = (row.shape.to_string(), row.subject.mechanism.clone());
        let Spread { median, min, max } = row.messages_per_s;
        let mut cells = vec![
            name.clone(),
            shape.clone(),
            row.subject.placement.name().into(),
            format!("{} ({}-{})", counted(median), counted(min), counted(max)),
            times(row.times_pipe),
        ];
        cells.extend(cost(&row.cost));
        cells.push(row.rounds.to_string());
        (shape, name, cells)
    };
    let lines = ordered(report, "many", head.len(), report.many.iter().filter(stayed).map(line));
    Section {
        title: "Fan-in and fan-out: throughput of many senders and receivers, 56 bytes",
        note: "A process each, half of them on each of the two cores. Who has nothing to do yields or sleeps.",
        head,
        lines,
    }
}

fn signals(report: &Report) -> Section {
    let head = vec!["mechanism", "cores", "signals/s", "taken of sent", "rounds"];
    let line = |row: &SignalRow| {
        let name = row.subject.mechanism.clone();
        let cells = vec![
            name.clone(),
            row.subject.placement.name().into(),
            counted(row.sent_per_s.median),
            range(&row.taken),
            row.rounds.to_string(),
        ];
        (String::new(), name, cells)
    };
    let lines = ordered(report, "signals", head.len(), report.signals.iter().map(line));
    Section {
        title: "Bare signals, as fast as one process can send them",
        note: "A coalesced signal that finds one of its kind pending is swallowed.",
        head,
        lines,
    }
}

fn adapters(report: &Report) -> Section {
    let head =
        vec!["adapter", "of", "bytes", "figure", "payload", "cores", "is", "/original", "/ring", "rounds"];
    let line = |row: &AdapterRow| {
        let Subject { mechanism, size, source, placement } = &row.subject;
        let (what, value) = match row.kind.as_str() {
            "throughput" => ("msgs/s", counted(row.figure.median)),
            "wake" => ("wake p50 ns", figure(row.figure.median)),
            _ => ("p50 ns", figure(row.figure.median)),
        };
        let ratio = |ratio: &Option<Spread>| ratio.as_ref().map_or_else(|| "-".into(), range);
        vec![
            mechanism.clone(),
            row.original.clone(),
            size.to_string(),
            what.into(),
            payload(*source).into(),
            placement.name().into(),
            value,
            ratio(&row.per_original),
            ratio(&row.per_ring),
            row.rounds.to_string(),
        ]
    };
    let stayed = |row: &&AdapterRow| {
        let other = |other: &AdapterRow| {
            let same = Subject { placement: row.subject.placement, ..other.subject.clone() } == row.subject;
            same && other.kind == row.kind && other.subject.placement != Placement::Moved
        };
        row.subject.placement != Placement::Moved || !report.adapters.iter().any(other)
    };
    Section {
        title: "Adapters beside their originals and beside the bare ring",
        note: "In units of the original's figure, and of that of the ring that sleeps as they do (slipring park), in the \
               same round. Times: less is better; messages a second: more is.",
        head,
        lines: report.adapters.iter().filter(stayed).map(line).collect(),
    }
}

/// By name; of each mechanism at its smallest size.
fn calls(report: &Report) -> Section {
    let smallest = |row: &&super::SyscallRow| {
        let same = report.syscalls.iter().filter(|o| (&o.kind, &o.mechanism) == (&row.kind, &row.mechanism));
        same.map(|other| (other.size, other.source)).min() == Some((row.size, row.source))
    };
    let line = |row: &super::SyscallRow| {
        let named = |(name, count): &(String, f64)| format!("{name} {}", figure(*count));
        let most: Vec<String> = row.calls.iter().take(4).map(named).collect();
        let calls = if most.is_empty() { "none".into() } else { most.join(", ") };
        vec![
            row.mechanism.clone(),
            row.kind.clone(),
            row.size.to_string(),
            counted(row.messages as f64),
            figure(row.per_message),
            calls,
        ]
    };
    Section {
        title: "System calls a message, both sides together",
        note: "Counted by tracing every call in a round of its own. Tracing makes calls slower, so a side that polls \
               before it sleeps may sleep where it would not have: for such mechanisms an upper bound.",
        head: vec!["mechanism", "pattern", "bytes", "messages", "calls/msg", "which"],
        lines: report.syscalls.iter().filter(smallest).map(line).collect(),
    }
}

fn calls_of(report: &Report, kind: &str, subject: &Subject) -> String {
    let row = report.syscalls.iter().find(|row| {
        row.kind == kind
            && row.mechanism == subject.mechanism
            && row.size == subject.size
            && row.source == subject.source
    });
    maybe(row.map(|row| row.per_message))
}

fn maybe(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), figure)
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

fn latency(report: &Report, row: &LatencyRow) -> Vec<String> {
    let mut line = vec![figure(row.p50_ns.median), figure(row.p99_ns.median)];
    line.extend([range(&row.p50_per_line), figure(row.p99_per_line.median), times(row.times_pipe)]);
    line.extend(cost(&row.cost));
    line.push(calls_of(report, "latency", &row.subject));
    line.push(row.rounds.to_string());
    line
}

fn throughput(report: &Report, row: &ThroughputRow) -> Vec<String> {
    let mut line = vec![counted(row.messages_per_s.median), figure(row.gb_per_s.median)];
    line.extend([range(&row.per_stream), times(row.times_pipe)]);
    line.extend(cost(&row.cost));
    line.push(calls_of(report, "throughput", &row.subject));
    line.push(row.rounds.to_string());
    line
}

fn wake(report: &Report, row: &WakeRow) -> Vec<String> {
    let mut line = vec![figure(row.p50_ns.median), figure(row.p99_ns.median)];
    line.push(row.p50_per_futex.as_ref().map_or_else(|| "-".into(), range));
    line.extend([figure(row.receiver_cpu_ns), figure(row.sleeps)]);
    line.extend([calls_of(report, "wake", &row.subject), row.rounds.to_string()]);
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
