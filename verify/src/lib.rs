//! What the fuzz targets of `fuzz/` do, as plain functions from bytes, so that stable tests run them too. Each decodes
//! its input into a case, plays it and panics when a promise is broken; no input is invalid.
//!
//! [`crowd`], [`queue`] and [`victim`] are also compiled into tests of the library.
#![forbid(unsafe_code)]

pub mod crowd;
pub mod queue;
pub mod victim;

mod attach;
mod command;
mod hostile;
mod many;
mod sequence;

/// A fuzz target.
pub struct Target {
    /// As in `fuzz/`.
    pub name: &'static str,
    /// Plays an input, and says how much came of it.
    pub run: fn(&[u8]) -> u64,
    /// Of what.
    pub counts: &'static str,
}

/// All targets.
pub const TARGETS: [Target; 6] = [
    Target { name: "attach", run: attach::run, counts: "accepted, which bore every verb that cannot wait" },
    Target { name: "command", run: command::run, counts: "understood" },
    Target { name: "crowded", run: hostile::crowded, counts: "verbs" },
    Target { name: "hostile", run: hostile::run, counts: "verbs" },
    Target { name: "many", run: many::run, counts: "verbs" },
    Target { name: "sequence", run: sequence::run, counts: "verbs" },
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
