//! One measurement of one mechanism at one size: ping-pong latency, streaming throughput, of a pair or
//! of a crowd, waking a sleeper, messages at a rate, a cold start, a recovery, bare signals.
#![forbid(unsafe_code)]

mod cold;
mod crowd;
mod latency;
mod paced;
mod recovery;
mod signals;
mod throughput;
mod timed;
mod wake;

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::error::HarnessError;
use crate::process::{Meeting, Pair};
use crate::reference::{Bracket, Reference, Yard};

pub use cold::cold;
pub use crowd::{MOST_PAIRS, Members, Shape, crowd, crowd_batched, many};
pub use latency::{LatencyReading, latency};
pub use paced::paced;
pub use recovery::recovery;
pub use signals::{SignalReading, signals};
pub use throughput::{ThroughputReading, batched, throughput};
pub use timed::TimedReading;
pub use wake::{WakeReading, wake};

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

/// Runs a measurement between two references, all in the same two processes.
fn bracketed<S, A, B>(
    setting: &Setting,
    state: S,
    left: impl FnOnce(&Meeting<'_>, S) -> Result<A, HarnessError>,
    right: impl FnOnce(&Meeting<'_>, S) -> Result<B, HarnessError>,
) -> Result<(Bracket, A, B), HarnessError>
where
    A: Serialize + DeserializeOwned,
    B: Serialize + DeserializeOwned,
{
    let Setting { pair, clock, .. } = setting;
    let (lefts, rights) = pair.run(
        (Yard::new()?, state, Yard::new()?),
        |meeting, (before, state, after)| {
            let before = before.left(meeting, pair.cores, clock);
            let answer = left(meeting, state)?;
            Ok((before, answer, after.left(meeting, pair.cores, clock)))
        },
        |meeting, (before, state, after)| {
            let before = before.right(meeting, clock)?;
            let answer = right(meeting, state)?;
            Ok((before, answer, after.right(meeting, clock)?))
        },
    )?;
    let bracket = Bracket {
        before: Reference::of(pair.cores, lefts.0, rights.0),
        after: Reference::of(pair.cores, lefts.2, rights.2),
    };
    Ok((bracket, lefts.1, rights.1))
}
