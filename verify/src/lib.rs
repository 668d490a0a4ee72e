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
mod sequence;

/// A fuzz target: its name in `fuzz/`, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("attach", attach::run),
    ("command", command::run),
    ("crowded", hostile::crowded),
    ("hostile", hostile::run),
    ("sequence", sequence::run),
];

/// The target of this name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn target(name: &str) -> fn(&[u8]) {
    TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name").1
}

/// A number below `n`, from the input; 0 when the input is used up.
fn below(input: &mut arbitrary::Unstructured<'_>, n: u64) -> u64 {
    input.int_in_range(0..=n - 1).unwrap_or(0)
}
