//! The report as CSV (RFC 4180, with plain line ends): one line a row of any kind, plain numbers, empty where a column
//! means nothing. Columns are added, never renamed.
#![forbid(unsafe_code)]

use super::sections::payload;
use super::{MissingRow, Report, Subject};
use crate::stats::Spread;

const COLUMNS: [&str; 48] = [
    "kind",
    "mechanism",
    "bytes",
    "payload",
    "cores",
    "copies",
    "rounds",
    "messages",
    "p50_ns",
    "p50_ns_min",
    "p50_ns_max",
    "p90_ns",
    "p99_ns",
    "p99_ns_min",
    "p99_ns_max",
    "p99_9_ns",
    "p99_99_ns",
    "max_ns",
    "p50_per_line",
    "p50_per_line_min",
    "p50_per_line_max",
    "messages_per_s",
    "messages_per_s_min",
    "messages_per_s_max",
    "gb_per_s",
    "per_stream",
    "per_stream_min",
    "per_stream_max",
    "times_pipe",
    "times_pipe_min",
    "times_pipe_max",
    "p50_per_futex",
    "p50_per_futex_min",
    "p50_per_futex_max",
    "cpu_ns",
    "voluntary_switches",
    "involuntary_switches",
    "missing",
    "detail",
    "uncorrected_p99_ns",
    "calls_per_message",
    "calls",
    "taken",
    "original",
    "per_original",
    "per_original_min",
    "per_original_max",
    "per_ring",
];

/// One line: a value for each column that has one.
struct Line([String; COLUMNS.len()]);

impl Line {
    fn new(report: &Report, kind: &str, subject: &Subject) -> Line {
        let mut line = Line([const { String::new() }; COLUMNS.len()]);
        line.set("kind", kind);
        line.set("mechanism", &subject.mechanism);
        line.set("bytes", subject.size);
        line.set("payload", payload(subject.source));
        line.set("cores", subject.placement.name());
        line.maybe("copies", report.copies(&subject.mechanism, subject.source));
        line
    }

    fn set(&mut self, column: &str, value: impl ToString) {
        let at = COLUMNS.iter().position(|name| *name == column);
        debug_assert!(at.is_some(), "{column} is a column");
        if let Some(at) = at {
            self.0[at] = value.to_string();
        }
    }

    fn maybe(&mut self, column: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.set(column, value);
        }
    }

    fn spread(&mut self, column: &str, spread: Option<&Spread>) {
        if let Some(Spread { median, min, max }) = spread {
            self.set(column, median);
            self.set(&format!("{column}_min"), min);
            self.set(&format!("{column}_max"), max);
        }
    }

    fn end(self) -> String {
        self.0.map(|value| quoted(&value)).join(",") + "\n"
    }
}

fn quoted(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.into()
    }
}

impl Report {
    /// As CSV.
    pub fn to_csv(&self) -> String {
        let mut text = COLUMNS.join(",") + "\n";
        for row in &self.latency {
            let mut line = Line::new(self, "latency", &row.subject);
            line.set("rounds", row.rounds);
            line.set("messages", 2 * row.trips);
            line.spread("p50_ns", Some(&row.p50_ns));
            line.set("p90_ns", row.p90_ns);
            line.spread("p99_ns", Some(&row.p99_ns));
            line.maybe("p99_9_ns", row.p99_9_ns);
            line.maybe("p99_99_ns", row.p99_99_ns);
            line.set("max_ns", row.max_ns);
            line.spread("p50_per_line", Some(&row.p50_per_line));
            line.spread("times_pipe", row.times_pipe.as_ref());
            line.set("cpu_ns", row.cost.cpu_ns);
            line.set("voluntary_switches", row.cost.voluntary);
            line.set("involuntary_switches", row.cost.involuntary);
            text.push_str(&line.end());
        }
        for row in &self.throughput {
            let mut line = Line::new(self, "throughput", &row.subject);
            line.set("rounds", row.rounds);
            line.set("messages", row.messages);
            line.spread("messages_per_s", Some(&row.messages_per_s));
            line.set("gb_per_s", row.gb_per_s.median);
            line.spread("per_stream", Some(&row.per_stream));
            line.spread("times_pipe", row.times_pipe.as_ref());
            line.set("cpu_ns", row.cost.cpu_ns);
            line.set("voluntary_switches", row.cost.voluntary);
            line.set("involuntary_switches", row.cost.involuntary);
            text.push_str(&line.end());
        }
        for row in &self.wake {
            let mut line = Line::new(self, "wake", &row.subject);
            line.set("rounds", row.rounds);
            line.set("messages", row.messages);
            line.spread("p50_ns", Some(&row.p50_ns));
            line.spread("p99_ns", Some(&row.p99_ns));
            line.spread("p50_per_futex", row.p50_per_futex.as_ref());
            line.set("cpu_ns", row.receiver_cpu_ns);
            line.set("voluntary_switches", row.sleeps);
            text.push_str(&line.end());
        }
        for row in &self.timed {
            let mut line = Line::new(self, &row.kind, &row.subject);
            line.maybe("detail", row.rate.map(|rate| format!("{rate}/s")));
            line.set("rounds", row.rounds);
            line.set("messages", row.messages);
            line.spread("p50_ns", Some(&row.p50_ns));
            line.maybe("p99_ns", row.p99_ns);
            line.maybe("p99_9_ns", row.p99_9_ns);
            line.set("max_ns", row.max_ns);
            line.maybe("uncorrected_p99_ns", row.uncorrected_p99_ns);
            line.spread("messages_per_s", row.per_second.as_ref());
            line.spread("times_pipe", row.times_pipe.as_ref());
            line.maybe("cpu_ns", row.cost.map(|cost| cost.cpu_ns));
            line.maybe("voluntary_switches", row.cost.map(|cost| cost.voluntary));
            line.maybe("involuntary_switches", row.cost.map(|cost| cost.involuntary));
            text.push_str(&line.end());
        }
        for row in &self.many {
            let mut line = Line::new(self, "many", &row.subject);
            line.set("detail", row.shape);
            line.set("rounds", row.rounds);
            line.set("messages", row.messages);
            line.spread("messages_per_s", Some(&row.messages_per_s));
            line.spread("times_pipe", row.times_pipe.as_ref());
            line.set("cpu_ns", row.cost.cpu_ns);
            line.set("voluntary_switches", row.cost.voluntary);
            line.set("involuntary_switches", row.cost.involuntary);
            text.push_str(&line.end());
        }
        for row in &self.signals {
            let mut line = Line::new(self, "signals", &row.subject);
            line.set("rounds", row.rounds);
            line.set("messages", row.sent);
            line.spread("messages_per_s", Some(&row.sent_per_s));
            line.set("taken", row.taken.median);
            text.push_str(&line.end());
        }
        for row in &self.adapters {
            let mut line = Line::new(self, "adapter", &row.subject);
            line.set("detail", &row.kind);
            line.set("rounds", row.rounds);
            let column = if row.kind == "throughput" { "messages_per_s" } else { "p50_ns" };
            line.spread(column, Some(&row.figure));
            line.set("original", &row.original);
            line.spread("per_original", row.per_original.as_ref());
            line.maybe("per_ring", row.per_ring.map(|ratio| ratio.median));
            text.push_str(&line.end());
        }
        for row in &self.syscalls {
            let subject = Subject {
                mechanism: row.mechanism.clone(),
                size: row.size,
                source: row.source,
                placement: crate::reference::Placement::Moved,
            };
            let mut line = Line::new(self, "calls", &subject);
            line.set("cores", "");
            line.set("detail", &row.kind);
            line.set("messages", row.messages);
            line.set("calls_per_message", row.per_message);
            let calls: Vec<String> =
                row.calls.iter().map(|(name, count)| format!("{name} {count}")).collect();
            line.set("calls", calls.join("; "));
            text.push_str(&line.end());
        }
        self.missing.iter().for_each(|row| text.push_str(&self.missing_line(row)));
        text
    }

    fn missing_line(&self, row: &MissingRow) -> String {
        let MissingRow { kind, mechanism, size, source, detail, reason } = row;
        let placement = crate::reference::Placement::Moved;
        let subject = Subject { mechanism: mechanism.clone(), size: *size, source: *source, placement };
        let mut line = Line::new(self, kind, &subject);
        line.set("cores", "");
        line.set("detail", detail);
        line.set("missing", reason);
        line.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_commas_and_quotes_are_quoted() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a, \"b\""), "\"a, \"\"b\"\"\"");
    }
}
