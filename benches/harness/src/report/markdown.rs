//! The report as Markdown, for a repository or an issue.
#![forbid(unsafe_code)]

use super::Report;
use super::sections::{flaws, heading, method, sections};

impl Report {
    /// As Markdown.
    pub fn to_markdown(&self) -> String {
        let [what, machine] = heading(self);
        let mut text = format!("# Measured: {what}\n\n{}\n", escaped(&machine));
        for section in sections(self) {
            text.push_str(&format!("\n## {}\n\n", section.title));
            if !section.note.is_empty() {
                text.push_str(&format!("{}\n\n", escaped(section.note)));
            }
            text.push_str(&line(section.head.iter().map(ToString::to_string)));
            let sides = section.head.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "---:" });
            text.push_str(&line(sides.map(str::to_string)));
            for cells in section.lines {
                text.push_str(&line(cells.iter().map(escaped)));
            }
        }
        let notes = self.notes();
        if !notes.is_empty() {
            text.push('\n');
        }
        for (number, note) in (1..).zip(notes) {
            text.push_str(&format!("* \\[{number}\\] {}\n", escaped(&note)));
        }
        let claims = self.claims();
        if !claims.is_empty() {
            text.push_str("\n## What the articles claim\n\n");
            text.push_str(&line(["claim", "measured", "verdict"].map(String::from).into_iter()));
            text.push_str(&line(["---"; 3].map(String::from).into_iter()));
        }
        for claim in claims {
            let cells = [&claim.text, &claim.measured, claim.verdict.name()];
            text.push_str(&line(cells.into_iter().map(escaped)));
        }
        text.push_str("\n## Method and flaws\n\n");
        for sentence in method(self).iter().chain(&flaws(self)) {
            text.push_str(&format!("* {}\n", escaped(sentence)));
        }
        text
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// What would be markup is text.
fn escaped(text: impl AsRef<str>) -> String {
    let mut out = String::new();
    for c in text.as_ref().chars() {
        if "\\|<>[]*_`".contains(c) {
            out.push('\\');
        }
        out.push(if c == '\n' { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_markup_is_text() {
        assert_eq!(escaped("a|b <0.001 [1]\nc"), "a\\|b \\<0.001 \\[1\\] c");
    }
}
