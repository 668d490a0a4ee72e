//! One measurement of one mechanism at one size: ping-pong latency or streaming throughput.

mod latency;
mod throughput;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::process::Pair;

pub use latency::{LatencyReading, latency};
pub use throughput::{ThroughputReading, throughput};

/// What all measurements of a run have in common.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Where and for how long at most.
    pub pair: Pair,
    /// The clock, calibrated once.
    pub clock: Clock,
    /// How long the timed part of one measurement lasts; an eighth of it more warms up, unrecorded.
    pub budget: Duration,
}

/// Where the sender's payload comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadSource {
    /// Computed in place: [`crate::payload::Registers`].
    Registers,
    /// Copied from the sender's memory: [`crate::payload::Memory`].
    Memory,
}
