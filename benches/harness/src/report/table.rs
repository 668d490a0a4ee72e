//! The report for a terminal: aligned columns, notes below.
#![forbid(unsafe_code)]

use std::fmt;

use super::Report;
use super::sections::{flaws, heading, method, sections};
use crate::text::table;

/// Where prose is broken.
const WIDTH: usize = 118;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in heading(self) {
            writeln!(f, "{line}")?;
        }
        for section in sections(self) {
            writeln!(f, "\n{}", section.title)?;
            if !section.note.is_empty() {
                wrapped(f, section.note)?;
            }
            table(f, &section.head, section.lines.into_iter())?;
        }
        let notes = self.notes();
        if !notes.is_empty() {
            writeln!(f)?;
        }
        for (number, note) in (1..).zip(notes) {
            writeln!(f, "[{number}] {note}")?;
        }
        writeln!(f)?;
        for claim in self.claims() {
            writeln!(f, "{claim}")?;
        }
        writeln!(f)?;
        wrapped(f, &method(self).join(" "))?;
        flaws(self).iter().try_for_each(|flaw| wrapped(f, flaw))
    }
}

fn wrapped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut column = 0;
    for word in text.split(' ') {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > WIDTH {
            writeln!(f)?;
            column = 0;
        } else if column > 0 {
            write!(f, " ")?;
            column += 1;
        }
        write!(f, "{word}")?;
        column += len;
    }
    writeln!(f)
}
