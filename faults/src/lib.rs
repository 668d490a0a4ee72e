//! Faults for slipring: participants that are killed and stopped at every instruction, at every step of the protocol
//! and at random, and an auditor that compares what each of them wrote down with what was delivered.
//!
//! Everything here uses the public API of `slipring` from real processes. What is forked, killed and awaited lives in
//! [`child`]; what each participant writes down in [`log`]; the judgement in [`audit`].
#![cfg(target_os = "linux")]

pub mod audit;
pub mod beside;
pub mod child;
pub mod ends;
pub mod hiccups;
pub mod history;
pub mod log;
#[cfg(slipring_steps)]
pub mod pairs;
pub mod payload;
pub mod recorder;
pub mod recovery;
pub mod scene;
pub mod schedule;
pub mod stepping;
pub mod storm;
pub mod summary;
pub mod trace;
pub mod usage;
pub mod words;
