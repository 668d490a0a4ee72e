//! What stands in the tables besides figures: what the mechanisms are, and which rows have no figures and why.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::Report;
use crate::catalogue::{Entry, Family};
use crate::measure::PayloadSource;
use crate::rounds::Cell;

/// A mechanism that took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MechanismRow {
    /// Its name in the other rows.
    pub name: String,
    /// What sort it is of.
    pub family: Family,
    /// Copies of a message that is computed in place, if counted.
    pub copies_in_place: Option<u8>,
    /// Copies of a message that lies in the sender's memory, if counted.
    pub copies_copied: Option<u8>,
}

impl MechanismRow {
    pub(crate) fn new(entry: &Entry) -> MechanismRow {
        MechanismRow {
            name: entry.name.to_string(),
            family: entry.family,
            copies_in_place: entry.copies.map(|copies| copies.of(PayloadSource::Registers)),
            copies_copied: entry.copies.map(|copies| copies.of(PayloadSource::Memory)),
        }
    }
}

/// A row without figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRow {
    /// What could not be measured: one of [`KINDS`](crate::rounds::KINDS), or `calls`.
    pub kind: String,
    /// The mechanism.
    pub mechanism: String,
    /// Bytes a message.
    pub size: usize,
    /// Where the payload would come from.
    pub source: PayloadSource,
    /// The rate or the shape, where there is one.
    #[serde(default)]
    pub detail: String,
    /// The limit, or the system's refusal.
    pub reason: String,
}

impl MissingRow {
    pub(crate) fn new(cell: &Cell, reason: String) -> MissingRow {
        MissingRow {
            kind: cell.kind().to_string(),
            mechanism: cell.mechanism.to_string(),
            size: cell.size,
            source: cell.source,
            detail: cell.detail(),
            reason,
        }
    }
}

impl Report {
    /// What is known of a mechanism.
    pub(super) fn mechanism(&self, name: &str) -> Option<&MechanismRow> {
        self.mechanisms.iter().find(|row| row.name == name)
    }

    /// Copies of a message of that mechanism, if counted.
    pub fn copies(&self, mechanism: &str, source: PayloadSource) -> Option<u8> {
        let row = self.mechanism(mechanism)?;
        match source {
            PayloadSource::Registers => row.copies_in_place,
            PayloadSource::Memory => row.copies_copied,
        }
    }

    /// The reasons of the missing rows, each once, in their order: what footnotes say.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        for row in &self.missing {
            let note = format!("{}: {}", row.mechanism, row.reason);
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }
}
