//! What is plotted: a figure for each question, from the report's rows. Of rows that differ only in placement the one
//! with most rounds is taken.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use super::plot::{Axis, Drawing, escaped, label_offsets};
use super::{LatencyRow, Report, Subject, ThroughputRow};
use crate::catalogue::Family;
use crate::measure::PayloadSource;
use crate::reference::Placement;
use crate::text::{counted, figure};

/// A titled figure, in HTML.
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) caption: &'static str,
    pub(super) body: String,
}

/// All of them that the report has rows for.
pub(super) fn plots(report: &Report) -> Vec<Plot> {
    let latency = best(&report.latency, |row| &row.subject, |row| row.rounds);
    let throughput = best(&report.throughput, |row| &row.subject, |row| row.rounds);
    let throughput: Vec<_> =
        throughput.into_iter().filter(|row| row.subject.source == PayloadSource::Registers).collect();
    let mut plots = Vec::new();
    let sizes: BTreeSet<usize> = latency.iter().map(|row| row.subject.size).collect();
    if let Some(&size) = sizes.first() {
        let rows: Vec<_> = latency.iter().copied().filter(|row| row.subject.size == size).collect();
        plots.extend(percentiles(report, &rows, size));
    }
    plots.extend(against_size(
        report,
        "Latency against size (one way, p50)".into(),
        "One panel a family. Grey: all others, for the scale.",
        &latency.iter().map(|row| (&row.subject, row.p50_ns.median)).collect::<Vec<_>>(),
        nanoseconds,
    ));
    plots.extend(against_size(
        report,
        "Throughput against size (payload made in place)".into(),
        "Bytes of payload a second. Grey: all others, for the scale.",
        &throughput.iter().map(|row| (&row.subject, row.gb_per_s.median * 1e9)).collect::<Vec<_>>(),
        |bytes| format!("{}B/s", prefixed(bytes)),
    ));
    let sizes: BTreeSet<usize> = throughput.iter().map(|row| row.subject.size).collect();
    let ends: BTreeSet<usize> = sizes.first().into_iter().chain(sizes.last()).copied().collect();
    for size in ends {
        let rows: Vec<_> = throughput.iter().copied().filter(|row| row.subject.size == size).collect();
        plots.extend(against_cost(report, &rows, size));
    }
    if let Some(size) = latency.iter().map(|row| row.subject.size).min() {
        let rows: Vec<_> = latency.iter().copied().filter(|row| row.subject.size == size).collect();
        plots.extend(jitter(report, &rows, size));
    }
    plots
}

/// Of each mechanism, size and source the row with most rounds, not one of cores that moved if there is another.
pub(super) fn best<R>(rows: &[R], subject: impl Fn(&R) -> &Subject, rounds: impl Fn(&R) -> usize) -> Vec<&R> {
    let key = |row: &R| {
        let Subject { mechanism, size, source, .. } = subject(row);
        (mechanism.clone(), *size, *source)
    };
    let worth = |row: &R| (subject(row).placement != Placement::Moved, rounds(row));
    let beaten = |row: &R, at: usize| {
        rows.iter().enumerate().any(|(other_at, other)| {
            key(other) == key(row) && (worth(other), other_at) > (worth(row), at) && at != other_at
        })
    };
    rows.iter().enumerate().filter(|(at, row)| !beaten(row, *at)).map(|(_, row)| row).collect()
}

fn family(report: &Report, mechanism: &str) -> Family {
    report.mechanism(mechanism).map_or(Family::Floor, |row| row.family)
}

/// The class that colours a family.
pub(super) fn class(family: Family) -> &'static str {
    match family {
        Family::Slipring => "f-slipring",
        Family::Stream => "f-stream",
        Family::Packet => "f-packet",
        Family::Event => "f-event",
        Family::Memory => "f-memory",
        Family::Floor => "f-floor",
    }
}

/// One line a mechanism: a name, a drawing, a figure.
fn row_of(report: &Report, mechanism: &str, drawing: String, note: &str) -> String {
    format!(
        r#"<div class="row"><span class="name {}">{}</span>{drawing}<span class="note">{}</span></div>"#,
        class(family(report, mechanism)),
        escaped(mechanism),
        escaped(note)
    )
}

/// The line below rows that carries the labels.
fn labels_row(places: impl IntoIterator<Item = (f64, String)>) -> String {
    let mut drawing = Drawing::default();
    for (x, label) in places {
        drawing.text("tick mid", (x, 0.0), (0.0, 12.0), &label);
    }
    let svg = drawing.svg("strip", 18, "the scale");
    format!(r#"<div class="row labels"><span class="name"></span>{svg}<span class="note"></span></div>"#)
}

fn nanoseconds(ns: f64) -> String {
    match ns {
        _ if ns >= 1e9 => format!("{} s", short(ns / 1e9)),
        _ if ns >= 1e6 => format!("{} ms", short(ns / 1e6)),
        _ if ns >= 1e3 => format!("{} us", short(ns / 1e3)),
        _ => format!("{} ns", short(ns)),
    }
}

/// With a unit prefix, for a scale.
fn prefixed(value: f64) -> String {
    match value {
        _ if value >= 1e9 => format!("{} G", short(value / 1e9)),
        _ if value >= 1e6 => format!("{} M", short(value / 1e6)),
        _ if value >= 1e3 => format!("{} k", short(value / 1e3)),
        _ => format!("{} ", short(value)),
    }
}

/// Without zeros that say nothing.
fn short(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { figure(value) }
}

fn bytes(size: f64) -> String {
    let size = size as usize;
    match size {
        _ if size >= 1 << 20 => format!("{} MiB", size >> 20),
        _ if size >= 1 << 10 => format!("{} KiB", size >> 10),
        _ => format!("{size} B"),
    }
}

fn percentiles(report: &Report, rows: &[&LatencyRow], size: usize) -> Option<Plot> {
    let ends = |row: &LatencyRow| [row.p50_ns.median, row.max_ns];
    let axis = Axis::around(rows.iter().flat_map(|row| ends(row)))?;
    let mut body = String::new();
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| a.p50_ns.median.total_cmp(&b.p50_ns.median));
    for row in rows {
        let name = &row.subject.mechanism;
        let class = class(family(report, name));
        let mut drawing = Drawing::default();
        drawing.upright_grid(axis);
        let marks = [
            ("p50", Some(row.p50_ns.median), 6.0),
            ("p90", Some(row.p90_ns), 4.0),
            ("p99", Some(row.p99_ns.median), 4.0),
            ("p99.9", row.p99_9_ns, 3.0),
            ("p99.99", row.p99_99_ns, 3.0),
        ];
        let at = |ns: f64| (axis.at(ns), 50.0);
        drawing.line(&format!("s thin {class}"), at(row.p50_ns.median), at(row.max_ns));
        let (end, _) = at(row.max_ns);
        drawing.line(&format!("s thin {class}"), (end, 30.0), (end, 70.0));
        for (percentile, ns, radius) in marks {
            if let Some(ns) = ns {
                let title = format!("{name}: {percentile} {}", nanoseconds(ns));
                drawing.dot(&format!("d {class}"), at(ns), radius, &title);
            }
        }
        let note = nanoseconds(row.p50_ns.median);
        let describe = format!("{name}: p50 {note}, p99 {}", nanoseconds(row.p99_ns.median));
        body.push_str(&row_of(report, name, drawing.svg("strip", 22, &describe), &note));
    }
    body.push_str(&labels_row(axis.ticks().into_iter().map(|tick| (axis.at(tick), nanoseconds(tick)))));
    Some(Plot {
        title: format!("Latency percentiles, {} one way", bytes(size as f64)),
        caption: "Dots: p50 (large), p90, p99, and p99.9 and p99.99 where there are values enough; the bar ends at the \
                  longest. Logarithmic. The figure is p50.",
        body: format!(r#"<div class="rows">{body}</div>"#),
    })
}

/// A line for each mechanism, a panel for each family.
fn against_size(
    report: &Report,
    title: String,
    caption: &'static str,
    points: &[(&Subject, f64)],
    label: impl Fn(f64) -> String,
) -> Option<Plot> {
    let sizes: BTreeSet<usize> = points.iter().map(|(subject, _)| subject.size).collect();
    if sizes.len() < 2 {
        return None;
    }
    let across = Axis::around(sizes.iter().map(|&size| size as f64))?;
    let up = Axis::around(points.iter().map(|(_, value)| *value))?;
    let series = |name: &str| -> Vec<(f64, f64)> {
        let own = points.iter().filter(|(subject, _)| subject.mechanism == name);
        let mut own: Vec<_> = own.map(|(subject, value)| (subject.size as f64, *value)).collect();
        own.sort_by(|a, b| a.0.total_cmp(&b.0));
        own
    };
    let mut names: Vec<&str> = Vec::new();
    for (subject, _) in points {
        if !names.contains(&subject.mechanism.as_str()) {
            names.push(&subject.mechanism);
        }
    }
    // A mechanism of one size is a point, which the tables show better.
    names.retain(|name| series(name).len() > 1);
    let place = |(size, value): (f64, f64)| (across.at(size), 100.0 - up.at(value));
    let mut panels = String::new();
    for shown in Family::ALL {
        let (own, others): (Vec<&str>, Vec<&str>) =
            names.iter().partition(|name| family(report, name) == shown);
        if own.is_empty() {
            continue;
        }
        let mut drawing = Drawing::default();
        drawing.level_grid(up, &label);
        let ticks = sizes.iter().map(|&size| (across.at(size as f64), bytes(size as f64)));
        drawing.labels_below(apart(ticks));
        let lines = |drawing: &mut Drawing, class: &str, name: &str| {
            for pair in series(name).windows(2) {
                drawing.line(class, place(pair[0]), place(pair[1]));
            }
        };
        others.iter().for_each(|name| lines(&mut drawing, "s ghost", name));
        let mut legend = String::new();
        for (number, name) in own.iter().enumerate() {
            // The first colour is slipring's alone.
            let first = if shown == Family::Slipring { 1 } else { 2 };
            let class = format!("c{}", first + number % 5);
            lines(&mut drawing, &format!("s {class}"), name);
            for point in series(name) {
                let title = format!("{name}, {}: {}", bytes(point.0), label(point.1));
                drawing.dot(&format!("d {class}"), place(point), 4.0, &title);
            }
            legend.push_str(&format!(r#"<li class="{class}">{}</li>"#, escaped(name)));
        }
        let svg = drawing.svg("plot", 240, &format!("{title}: {}", own.join(", ")));
        panels.push_str(&format!(
            r#"<div class="panel"><h4>{}</h4><div class="frame">{svg}</div><ul class="legend">{legend}</ul></div>"#,
            escaped(shown.name())
        ));
    }
    Some(Plot { title, caption, body: format!(r#"<div class="panels">{panels}</div>"#) })
}

/// Without labels that would touch the one before on a narrow screen.
fn apart(places: impl Iterator<Item = (f64, String)>) -> Vec<(f64, String)> {
    let mut kept: Vec<(f64, String)> = Vec::new();
    for (x, label) in places {
        if kept.last().is_none_or(|(last, _)| x - last >= 19.0) {
            kept.push((x, label));
        }
    }
    kept
}

fn against_cost(report: &Report, rows: &[&ThroughputRow], size: usize) -> Option<Plot> {
    // What costs less than the kernel's clock of microseconds can tell would stand at zero.
    let rows: Vec<_> = rows.iter().filter(|row| row.cost.cpu_ns > 0.0).collect();
    let across = Axis::around(rows.iter().map(|row| row.cost.cpu_ns))?;
    let up = Axis::around(rows.iter().map(|row| row.messages_per_s.median))?;
    let mut drawing = Drawing::default();
    drawing.level_grid(up, |rate| format!("{}/s", prefixed(rate)));
    drawing.upright_grid(across);
    drawing.labels_below(across.ticks().into_iter().map(|tick| (across.at(tick), nanoseconds(tick))));
    let place = |row: &ThroughputRow| (across.at(row.cost.cpu_ns), 100.0 - up.at(row.messages_per_s.median));
    let points: Vec<_> = rows.iter().map(|row| place(row)).collect();
    let mut legend = String::new();
    for ((number, row), offset) in (1..).zip(&rows).zip(label_offsets(&points)) {
        let name = &row.subject.mechanism;
        let class = class(family(report, name));
        let what = format!("{}/s, {}", counted(row.messages_per_s.median), nanoseconds(row.cost.cpu_ns));
        drawing.dot(&format!("d {class}"), place(row), 5.0, &format!("{name}: {what}"));
        drawing.text(&format!("mark mid t {class}"), place(row), offset, &number.to_string());
        legend.push_str(&format!(
            r#"<li class="{class}"><b>{number}</b> {} <small>{}</small></li>"#,
            escaped(name),
            escaped(&what)
        ));
    }
    let title = format!("Throughput against processor time, {}", bytes(size as f64));
    let svg = drawing.svg("plot", 300, &title);
    Some(Plot {
        title,
        caption: "Up: messages a second. To the right: processor time of both processes a message. Upper left is best.",
        body: format!(
            r#"<div class="scatter"><div class="frame">{svg}</div><ul class="legend list">{legend}</ul></div>"#
        ),
    })
}

fn jitter(report: &Report, rows: &[&LatencyRow], size: usize) -> Option<Plot> {
    let rows: Vec<_> = rows.iter().filter(|row| row.p50_ns_by_round.len() > 1).collect();
    let ratios = |row: &LatencyRow| -> Vec<f64> {
        row.p50_ns_by_round.iter().map(|ns| ns / row.p50_ns.median).collect()
    };
    // The same scale up and down.
    let widest =
        rows.iter().flat_map(|row| ratios(row)).map(|ratio| ratio.max(1.0 / ratio)).fold(1.25, f64::max);
    let axis = Axis::around([1.0 / widest, widest])?;
    if rows.is_empty() {
        return None;
    }
    let mut body = String::new();
    for row in rows {
        let name = &row.subject.mechanism;
        let class = class(family(report, name));
        let mut drawing = Drawing::default();
        drawing.line("grid", (0.0, 50.0), (100.0, 50.0));
        let ratios = ratios(row);
        let step = 96.0 / (ratios.len() - 1) as f64;
        let points: Vec<_> = ratios
            .iter()
            .enumerate()
            .map(|(k, &ratio)| (2.0 + step * k as f64, 100.0 - axis.at(ratio)))
            .collect();
        for pair in points.windows(2) {
            drawing.line(&format!("s thin {class}"), pair[0], pair[1]);
        }
        for ((point, ratio), round) in points.iter().zip(&ratios).zip(1..) {
            let title = format!("{name}: reading {round}: {} of the median", figure(*ratio));
            drawing.dot(&format!("d {class}"), *point, 3.0, &title);
        }
        let note = format!("{}-{}", nanoseconds(row.p50_ns.min), nanoseconds(row.p50_ns.max));
        body.push_str(&row_of(report, name, drawing.svg("strip", 34, &format!("{name}: {note}")), &note));
    }
    Some(Plot {
        title: format!("Jitter over the rounds, {}", bytes(size as f64)),
        caption: "p50 of each round against the median of all (the line), in the order of the rounds; one scale for \
                  all, logarithmic. The figures are the least and the greatest.",
        body: format!(r#"<div class="rows wide-notes">{body}</div>"#),
    })
}
