//! An explicit-state model of the ring for many senders and receivers, and an explorer that visits all its states.
//!
//! The rules are those of `src/ring/mpmc.rs` with one atomic access a transition (sequential consistency; the orderings
//! are loom's subject) and kills and sweeps as transitions of their own. A stop needs no transition: a stopped process
//! is one that is not scheduled. Processes repeat their verbs for ever and positions are kept relative to the head, so
//! that the runs covered have any length and any number of laps.
//!
//! [`model`] is the state and what must hold in it, [`send`], [`receive`] and [`sweep`] are the rules, [`check`] looks
//! at one state, [`explore`] visits them all, [`table`] names the configurations and the seeded bugs.

#![forbid(unsafe_code)]

pub mod check;
pub mod explore;
pub mod model;
pub mod receive;
pub mod send;
pub mod sweep;
pub mod table;
