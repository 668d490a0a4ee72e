//! The report as one HTML page that needs nothing else: no script, no font, no picture from outside. It follows the
//! reader's choice of light or dark, and any width.
#![forbid(unsafe_code)]

use super::Report;
use super::claims::Verdict;
use super::plot::escaped;
use super::plots::{best, plots};
use super::sections::{Section, flaws, heading, method, sections};
use crate::mechanism::{Mechanism, Park, Pipe, Spin, Spsc};
use crate::text::figure;

const STYLE: &str = include_str!("page.css");

/// What no table and no plot says of itself.
const NOT_SAID: [&str; 4] = [
    "The receiver of a ping-pong has nothing else to do, and its data are in the cache. A real program is slower.",
    "A spinning receiver burns a core while it waits. Compare it with sleeping ones only where you can afford that.",
    "Two processes on one machine and one kernel. Other machines, power management and many users at once: not measured \
     here.",
    "What a mechanism offers besides speed (persistence, priorities, other machines, access control) has no column.",
];

impl Report {
    /// As one HTML page.
    pub fn to_html(&self) -> String {
        let [what, machine] = heading(self);
        let mut main = String::new();
        let cards = cards(self);
        if !cards.is_empty() {
            main.push_str(&format!(
                r#"<section><h2>In short</h2><div class="cards">{cards}</div></section>"#
            ));
        }
        main.push_str(&claims(self));
        for plot in plots(self) {
            main.push_str(&format!(
                "<section><h2>{}</h2><p class=\"caption\">{}</p>{}</section>",
                escaped(&plot.title),
                escaped(plot.caption),
                plot.body
            ));
        }
        for section in sections(self) {
            main.push_str(&table_of(&section));
        }
        let notes: String = self.notes().iter().map(|note| format!("<li>{}</li>", escaped(note))).collect();
        if !notes.is_empty() {
            main.push_str(&format!(
                "<section><h2>Not measured</h2><p class=\"caption\">The numbers in square brackets in the tables.</p>\
                 <ol>{notes}</ol></section>"
            ));
        }
        let list = |items: Vec<String>| -> String {
            items.iter().map(|item| format!("<li>{}</li>", escaped(item))).collect()
        };
        let against = flaws(self).into_iter().chain(NOT_SAID.map(String::from)).collect();
        main.push_str(&format!(
            "<section><h2>Method</h2><ul>{}</ul></section><section><h2>Flaws</h2><ul>{}</ul></section>",
            list(method(self)),
            list(against)
        ));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>slipring compare</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header><h1>slipring beside the kernel</h1><p>{}</p><p>{}</p>{}</header>\n<main>{main}</main>\n\
             </body>\n</html>\n",
            escaped(&what),
            escaped(&machine),
            warning(self)
        )
    }
}

/// What must not be overlooked.
fn warning(report: &Report) -> String {
    if !report.method.all_loaded {
        return String::new();
    }
    let text = "Others used the cores in every round: distrust the figures, and the tails most.";
    format!(r#"<p class="warning">{text}</p>"#)
}

/// A few figures in large type.
fn cards(report: &Report) -> String {
    let spin = <Spsc<Spin> as Mechanism>::NAME;
    let latency = report.smallest(spin).zip(report.smallest(Pipe::NAME));
    let mut cards = Vec::new();
    if let Some((ring, pipe)) = latency {
        let size = ring.subject.size;
        cards.push((
            format!("{} ns", figure(ring.p50_ns.median)),
            format!("{size} bytes one way, spinning, p50"),
        ));
        cards.push((
            format!("{} us", figure(pipe.p50_ns.median / 1e3)),
            format!("the same through a pipe, {size} bytes"),
        ));
        if let Some(times) = ring.times_pipe {
            cards.push((
                format!("{}x", figure(times.median)),
                "the pipe's time by spinning's, in one round".into(),
            ));
        }
    }
    let wake = report.waking(<Spsc<Park> as Mechanism>::NAME).and_then(|row| row.p50_per_futex);
    if let Some(wake) = wake {
        cards
            .push((format!("{}x", figure(wake.median)), "waking a sleeper, in units of a bare futex".into()));
    }
    // Where most rounds were read, as in the plots: not the luckiest placement.
    let usual = best(&report.throughput, |row| &row.subject, |row| row.rounds);
    let usual = usual.into_iter().filter(|row| row.subject.mechanism == spin);
    if let Some(row) = usual.max_by(|a, b| a.gb_per_s.median.total_cmp(&b.gb_per_s.median)) {
        let text = format!("at its best size, {} bytes", row.subject.size);
        cards.push((format!("{} GB/s", figure(row.gb_per_s.median)), text));
    }
    let card = |(figure, text): &(String, String)| {
        format!(r#"<div class="card"><b>{}</b><span>{}</span></div>"#, escaped(figure), escaped(text))
    };
    cards.iter().map(card).collect()
}

fn claims(report: &Report) -> String {
    let claims = report.claims();
    if claims.is_empty() {
        return String::new();
    }
    let row = |claim: &super::Claim| {
        let class = match claim.verdict {
            Verdict::Holds => "yes",
            Verdict::Less | Verdict::More => "no",
            Verdict::Undecided => "open",
        };
        format!(
            r#"<div class="claim"><span>{}</span><span class="measured">{}</span><span class="verdict {class}">{}</span></div>"#,
            escaped(&claim.text),
            escaped(&claim.measured),
            escaped(claim.verdict.name())
        )
    };
    let rows: String = claims.iter().map(row).collect();
    format!(
        "<section><h2>What the articles claim</h2><p class=\"caption\">Articles on Linux IPC that this project started from \
         give figures without a machine, a size or a way of waiting. Each is taken as the range in brackets: it holds if \
         the median lies inside, it does not if every round lies outside, else it is undecided. Copies are counted, not \
         measured.</p><div class=\"claims\">{rows}</div></section>"
    )
}

fn table_of(section: &Section) -> String {
    let head: String =
        section.head.iter().map(|cell| format!("<th scope=\"col\">{}</th>", escaped(cell))).collect();
    let line = |cells: &Vec<String>| {
        let first = cells.first().map_or("", String::as_str);
        let rest: String = cells.iter().skip(1).map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr><th scope=\"row\">{}</th>{rest}</tr>", escaped(first))
    };
    let lines: String = section.lines.iter().map(line).collect();
    let note = match section.note {
        "" => String::new(),
        note => format!("<p class=\"caption\">{}</p>", escaped(note)),
    };
    format!(
        "<section><h2>{}</h2>{note}<div class=\"table\" tabindex=\"0\"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody>\
         </table></div></section>",
        escaped(section.title)
    )
}
