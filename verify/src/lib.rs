//! What the fuzz targets of `fuzz/` do, as plain functions from bytes, so that stable tests run them too. Each decodes
//! its input into a case, plays it and panics when a promise is broken; no input is invalid.
//!
//! [`crowd`], [`queue`] and [`victim`] are also compiled into tests of the library.
#![forbid(unsafe_code)]

pub mod crowd;
pub mod queue;
pub mod victim;

mod adapters;
mod attach;
mod command;
mod hostile;
mod many;
mod sequence;

use std::collections::BTreeMap;

/// How much came of an input, or of many.
pub type Count = BTreeMap<&'static str, u64>;

/// A fuzz target.
pub struct Target {
    /// As in `fuzz/`.
    pub name: &'static str,
    /// Plays an input, and says how much came of it.
    pub run: fn(&[u8]) -> Count,
    /// What must come of some thousand inputs, or they tested nothing.
    pub must: &'static [&'static str],
    /// Bytes of the longest inputs that are worth while.
    pub longest: usize,
}

/// All targets.
pub const TARGETS: [Target; 7] = [
    Target { name: "adapters", run: adapters::run, must: &adapters::MUST, longest: 1024 },
    Target {
        name: "attach",
        run: attach::run,
        must: &["bore every verb that cannot wait", "refused"],
        longest: 512,
    },
    Target { name: "command", run: command::run, must: &["understood"], longest: 512 },
    Target { name: "crowded", run: hostile::crowded, must: &hostile::MUST_CROWDED, longest: 4096 },
    Target { name: "hostile", run: hostile::run, must: &hostile::MUST, longest: 4096 },
    Target { name: "many", run: many::run, must: &["verbs"], longest: 512 },
    Target { name: "sequence", run: sequence::run, must: &["verbs"], longest: 512 },
];

/// The target of this name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target of this name")
}

/// A number below `n`, from the input; 0 when the input is used up.
fn below(input: &mut arbitrary::Unstructured<'_>, n: u64) -> u64 {
    input.int_in_range(0..=n - 1).unwrap_or(0)
}
