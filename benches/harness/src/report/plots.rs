//! What is plotted: a figure for each question, from the report's rows. Of rows that differ only in placement the one
//! with most rounds is taken.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::plot::{Axis, Drawing, escaped, label_offsets};
use super::{LatencyRow, ManyRow, Report, Subject, ThroughputRow, TimedRow};
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
    let size = commonest(latency.iter().map(|row| row.subject.size));
    if let Some(size) = size {
        let rows: Vec<_> = latency.iter().copied().filter(|row| row.subject.size == size).collect();
        plots.extend(percentiles(report, &rows, size));
    }
    plots.extend(at_rates(report));
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
    let sizes = throughput.iter().map(|row| row.subject.size);
    let ends: BTreeSet<usize> = commonest(sizes.clone()).into_iter().chain(sizes.max()).collect();
    for size in ends {
        let rows: Vec<_> = throughput.iter().copied().filter(|row| row.subject.size == size).collect();
        plots.extend(against_cost(report, &rows, size));
    }
    plots.extend(scaling(report));
    plots.extend(starts(report));
    if let Some(size) = size {
        let rows: Vec<_> = latency.iter().copied().filter(|row| row.subject.size == size).collect();
        plots.extend(jitter(report, &rows, size));
    }
    plots
}

/// The size that most rows have, the smallest of those: some mechanisms carry only one.
fn commonest(sizes: impl Iterator<Item = usize> + Clone) -> Option<usize> {
    let rows = |size: usize| sizes.clone().filter(|other| *other == size).count();
    sizes.clone().max_by_key(|&size| (rows(size), Reverse(size)))
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
        Family::Adapter => "f-adapter",
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

/// One mechanism's times: a large dot for the median, smaller ones for what is rarer, a bar that ends at the longest.
struct Times<'r> {
    name: &'r str,
    p50: f64,
    /// What it is, and where, if there are values enough.
    more: Vec<(&'static str, Option<f64>)>,
    longest: f64,
    /// What is not to be believed, shown hollow.
    ghost: Option<(&'static str, f64)>,
}

/// A line for each mechanism, the fastest first.
fn strips(report: &Report, mut rows: Vec<Times<'_>>) -> Option<String> {
    let axis = Axis::around(rows.iter().flat_map(|row| [row.p50, row.longest]))?;
    let mut body = String::new();
    rows.sort_by(|a, b| a.p50.total_cmp(&b.p50));
    for Times { name, p50, more, longest, ghost } in rows {
        let class = class(family(report, name));
        let mut drawing = Drawing::default();
        drawing.upright_grid(axis);
        let at = |ns: f64| (axis.at(ns), 50.0);
        drawing.line(&format!("s thin {class}"), at(p50), at(longest));
        let (end, _) = at(longest);
        drawing.line(&format!("s thin {class}"), (end, 30.0), (end, 70.0));
        let title = |what: &str, ns| format!("{name}: {what} {}", nanoseconds(ns));
        drawing.dot(&format!("d {class}"), at(p50), 6.0, &title("p50", p50));
        for (number, (what, ns)) in more.iter().enumerate() {
            if let Some(ns) = *ns {
                let radius = if number < 2 { 4.0 } else { 3.0 };
                drawing.dot(&format!("d {class}"), at(ns), radius, &title(what, ns));
            }
        }
        if let Some((what, ns)) = ghost {
            drawing.dot(&format!("o {class}"), at(ns), 4.0, &title(what, ns));
        }
        let note = nanoseconds(p50);
        let describe = format!("{name}: p50 {note}, longest {}", nanoseconds(longest));
        body.push_str(&row_of(report, name, drawing.svg("strip", 22, &describe), &note));
    }
    body.push_str(&labels_row(apart(
        axis.ticks().into_iter().map(|tick| (axis.at(tick), nanoseconds(tick))),
        12.0,
    )));
    Some(format!(r#"<div class="rows">{body}</div>"#))
}

fn percentiles(report: &Report, rows: &[&LatencyRow], size: usize) -> Option<Plot> {
    let times = rows.iter().map(|row| Times {
        name: &row.subject.mechanism,
        p50: row.p50_ns.median,
        more: vec![
            ("p90", Some(row.p90_ns)),
            ("p99", Some(row.p99_ns.median)),
            ("p99.9", row.p99_9_ns),
            ("p99.99", row.p99_99_ns),
        ],
        longest: row.max_ns,
        ghost: None,
    });
    Some(Plot {
        title: format!("Latency percentiles, {} one way", bytes(size as f64)),
        caption: "Dots: p50 (large), p90, p99, and p99.9 and p99.99 where there are values enough; the bar ends at the \
                  longest. Logarithmic. The figure is p50.",
        body: strips(report, times.collect())?,
    })
}

/// The rows of one pattern, each mechanism once.
fn pattern<'r>(report: &'r Report, kind: &str, rate: Option<u32>) -> Vec<&'r TimedRow> {
    let rows = report.timed.iter().filter(|row| row.kind == kind && row.rate == rate);
    let rows: Vec<TimedRow> = rows.cloned().collect();
    let best: Vec<TimedRow> =
        best(&rows, |row| &row.subject, |row| row.rounds).into_iter().cloned().collect();
    report.timed.iter().filter(|row| best.contains(row)).collect()
}

/// Messages at a rate: a figure for each.
fn at_rates(report: &Report) -> Vec<Plot> {
    let rates: BTreeSet<Option<u32>> =
        report.timed.iter().map(|row| row.rate).filter(Option::is_some).collect();
    let plot = |rate: Option<u32>| {
        let rows = pattern(report, "paced", rate);
        let times = rows.iter().map(|row| Times {
            name: &row.subject.mechanism,
            p50: row.p50_ns.median,
            more: vec![("p99", row.p99_ns), ("p99.9", row.p99_9_ns)],
            longest: row.max_ns,
            ghost: row.uncorrected_p99_ns.map(|ns| ("p99 uncorrected", ns)),
        });
        Some(Plot {
            title: format!("{} messages a second, 8 B one way", prefixed(rate?.into()).trim_end()),
            caption: "From the moment a message was due, whatever became of those before it. Dots: p50 (large), p99 and, \
                      where there are values enough, p99.9; the bar ends at the longest. Hollow: the p99 that would be \
                      reported if a message's time began when it was really sent (coordinated omission).",
            body: strips(report, times.collect())?,
        })
    };
    rates.into_iter().filter_map(plot).collect()
}

/// Cold starts and recoveries.
fn starts(report: &Report) -> Vec<Plot> {
    let plot = |kind: &str, title: &str, caption| {
        let rows = pattern(report, kind, None);
        let times = rows.iter().map(|row| Times {
            name: &row.subject.mechanism,
            p50: row.p50_ns.median,
            more: vec![("p99", row.p99_ns)],
            longest: row.max_ns,
            ghost: None,
        });
        Some(Plot { title: title.into(), caption, body: strips(report, times.collect())? })
    };
    let cold = plot(
        "cold",
        "From nothing to the first message",
        "Dots: p50; the bar ends at the longest. Rings are made and opened by their name, memory included; descriptors \
         are inherited.",
    );
    let recovery = plot(
        "recovery",
        "From the kill of a sender to its successor's first message",
        "Dots: p50; the bar ends at the longest. What keeps a sender's place in its own memory, or can be left locked, has \
         no line: see below.",
    );
    cold.into_iter().chain(recovery).collect()
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
    let chart = Chart {
        title: &title,
        across,
        up,
        ticks: sizes.iter().map(|&size| (size as f64, bytes(size as f64))).collect(),
        series: &series,
        say: &|x, y| format!("{}: {}", bytes(x), label(y)),
        label: &label,
    };
    let mut panels = String::new();
    for shown in Family::ALL {
        let (own, others): (Vec<&str>, Vec<&str>) =
            names.iter().partition(|name| family(report, name) == shown);
        if !own.is_empty() {
            // The first colour is slipring's alone.
            let first = if shown == Family::Slipring { 1 } else { 2 };
            panels.push_str(&chart.panel(shown.name(), &own, &others, first));
        }
    }
    Some(Plot { title, caption, body: format!(r#"<div class="panels">{panels}</div>"#) })
}

/// Points of a mechanism, from left to right.
type Series<'a> = &'a dyn Fn(&str) -> Vec<(f64, f64)>;

/// Lines over a common pair of scales, spread over panels.
struct Chart<'a> {
    title: &'a str,
    across: Axis,
    up: Axis,
    /// Values with labels, below.
    ticks: Vec<(f64, String)>,
    series: Series<'a>,
    /// A point in words.
    say: &'a dyn Fn(f64, f64) -> String,
    /// A value of the upward scale.
    label: &'a dyn Fn(f64) -> String,
}

impl Chart<'_> {
    fn panel(&self, heading: &str, own: &[&str], others: &[&str], first: usize) -> String {
        let place = |(x, y): (f64, f64)| (self.across.at(x), 100.0 - self.up.at(y));
        let mut drawing = Drawing::default();
        drawing.level_grid(self.up, self.label);
        let ticks = self.ticks.iter().map(|(x, label)| (self.across.at(*x), label.clone()));
        drawing.labels_below(apart(ticks, 19.0));
        let lines = |drawing: &mut Drawing, class: &str, name: &str| {
            for pair in (self.series)(name).windows(2) {
                drawing.line(class, place(pair[0]), place(pair[1]));
            }
        };
        others.iter().for_each(|name| lines(&mut drawing, "s ghost", name));
        let mut legend = String::new();
        for (number, name) in own.iter().enumerate() {
            let class = format!("c{}", first + number % 7);
            lines(&mut drawing, &format!("s {class}"), name);
            for point in (self.series)(name) {
                let title = format!("{name}, {}", (self.say)(point.0, point.1));
                drawing.dot(&format!("d {class}"), place(point), 4.0, &title);
            }
            legend.push_str(&format!(r#"<li class="{class}">{}</li>"#, escaped(name)));
        }
        let svg = drawing.svg("plot", 240, &format!("{}: {}", self.title, own.join(", ")));
        format!(
            r#"<div class="panel"><h4>{}</h4><div class="frame">{svg}</div><ul class="legend">{legend}</ul></div>"#,
            escaped(heading)
        )
    }
}

/// Throughput of many: fan-in, fan-out, and as many of both.
fn scaling(report: &Report) -> Option<Plot> {
    let rows: Vec<ManyRow> = report.many.clone();
    let shapes: BTreeSet<_> = rows.iter().map(|row| row.shape).collect();
    // Each mechanism once a shape.
    let mut kept: Vec<&ManyRow> = Vec::new();
    for shape in shapes {
        let of_shape = |row: &&ManyRow| row.shape == shape;
        let own: Vec<ManyRow> = rows.iter().filter(of_shape).cloned().collect();
        let usual = best(&own, |row| &row.subject, |row| row.rounds);
        kept.extend(rows.iter().filter(|row| usual.contains(row)));
    }
    let up = Axis::around(kept.iter().map(|row| row.messages_per_s.median))?;
    let mut names: Vec<&str> = Vec::new();
    for row in &rows {
        if !names.contains(&row.subject.mechanism.as_str()) {
            names.push(&row.subject.mechanism);
        }
    }
    let ours = |name: &&str| matches!(family(report, name), Family::Slipring | Family::Adapter);
    let (own, kernel): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| ours(name));
    type Fan = fn(&ManyRow) -> Option<usize>;
    let fans: [(&str, Fan); 3] = [
        ("senders to one receiver", |row| (row.shape.receivers == 1).then_some(row.shape.senders)),
        ("receivers of one sender", |row| (row.shape.senders == 1).then_some(row.shape.receivers)),
        ("of each", |row| (row.shape.senders == row.shape.receivers).then_some(row.shape.senders)),
    ];
    let title = "Scaling: throughput of many senders and receivers, 56 B".to_string();
    let mut panels = String::new();
    for (what, fan) in fans {
        let counts: BTreeSet<usize> = kept.iter().filter_map(|row| fan(row)).collect();
        let Some(across) = Axis::around(counts.iter().map(|&count| count as f64)) else { continue };
        if counts.len() < 2 {
            continue;
        }
        let series = |name: &str| -> Vec<(f64, f64)> {
            let own = kept.iter().filter(|row| row.subject.mechanism == name);
            let mut own: Vec<_> =
                own.filter_map(|row| Some((fan(row)? as f64, row.messages_per_s.median))).collect();
            own.sort_by(|a, b| a.0.total_cmp(&b.0));
            own
        };
        let chart = Chart {
            title: &title,
            across,
            up,
            ticks: counts.iter().map(|&count| (count as f64, count.to_string())).collect(),
            series: &series,
            say: &|x, y| format!("{x:.0} {what}: {}/s", counted(y)),
            label: &|rate| format!("{}/s", prefixed(rate).trim_end()),
        };
        for (who, own, others, first) in [("slipring", &own, &kernel, 1), ("the kernel", &kernel, &own, 2)] {
            if !own.is_empty() {
                panels.push_str(&chart.panel(&format!("{who}: {what}"), own, others, first));
            }
        }
    }
    (!panels.is_empty()).then(|| Plot {
        title,
        caption: "Messages a second of all together; each a process, half of them on each of the two cores. Below: how \
                  many. Grey: the others, for the scale.",
        body: format!(r#"<div class="panels two">{panels}</div>"#),
    })
}

/// Without labels that would touch the one before on a narrow screen.
fn apart(places: impl Iterator<Item = (f64, String)>, least: f64) -> Vec<(f64, String)> {
    let mut kept: Vec<(f64, String)> = Vec::new();
    for (x, label) in places {
        if kept.last().is_none_or(|(last, _)| x - last >= least) {
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
    drawing.level_grid(up, |rate| format!("{}/s", prefixed(rate).trim_end()));
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

#[cfg(test)]
mod tests {
    use super::commonest;

    #[test]
    fn the_commonest_size_is_the_smallest_of_those_that_most_rows_have() {
        assert_eq!(commonest([1, 8, 56, 8, 1, 8, 56, 56].into_iter()), Some(8));
        assert_eq!(commonest([].into_iter()), None);
    }
}
