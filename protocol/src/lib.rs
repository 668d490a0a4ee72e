//! An explicit-state model of the ring for many senders and receivers, and an explorer that visits all its states.
//!
//! The rules are those of `src/ring/mpmc.rs` with one atomic access a transition (sequential consistency; the orderings
//! are loom's subject) and kills and sweeps as transitions of their own. A stop needs no transition: a stopped process
//! is one that is not scheduled. Processes repeat their verbs for ever and positions are kept relative to the head, so
//! that the runs covered have any length and any number of laps.
//!
//! [`model`] is the state, [`send`], [`receive`] and [`sweep`] are the rules and [`rules`] what they share, [`check`] says
//! what must hold in a state, [`explore`] visits them all, [`table`] names the configurations and the seeded bugs.

#![forbid(unsafe_code)]

pub mod check;
pub mod explore;
pub mod model;
pub mod pack;
pub mod receive;
pub mod rules;
pub mod send;
pub mod sweep;
pub mod table;
