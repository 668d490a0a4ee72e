//! An explicit-state model of the ring for many senders and receivers, and an explorer that visits all its states.
//!
//! The rules are those of `src/ring/mpmc.rs`, as they are there (`cursors`) and with shared ends that every operation
//! exchanges, from which they come. One atomic access is a transition (sequential consistency: the orderings are loom's
//! subject); kills and sweeps are transitions too. A stop needs none: a stopped process is one that is not scheduled. Processes
//! repeat their verbs for ever and positions are relative to the head, so the runs have any length, any number of laps.
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
