//! Waking: how long a message takes to a process that has gone to sleep for want of one.
//!
//! The sender rests between messages, long enough for every mechanism's receiver to sleep, without sleeping itself. It
//! takes the time before each send, the receiver after each check; the clock is the same in both.
#![forbid(unsafe_code)]

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::timed::counted;
use super::{PayloadSource, Setting, bracketed};
use crate::error::HarnessError;
use crate::mechanism::{Mechanism, ReceiveMessage};
use crate::payload::{Memory, Registers, Source, Verdict, check_size, verdict};
use crate::reference::Bracket;
use crate::usage::Usage;

/// Ten times what a receiver may poll before it sleeps.
const REST: Duration = Duration::from_micros(200);
/// Even if the budget is over.
const LEAST_MESSAGES: u64 = 8;

/// One waking measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WakeReading {
    /// The references around it.
    pub bracket: Bracket,
    /// One-way times: pairs of clock ticks and count, ascending.
    pub ticks: Vec<(u64, u64)>,
    /// The receiver's alone: the sender burns its rest.
    pub usage: Usage,
}

impl WakeReading {
    /// Messages received.
    pub fn messages(&self) -> u64 {
        self.ticks.iter().map(|&(_, count)| count).sum()
    }
}

/// Measures `M` with messages of `size` bytes.
pub fn wake<M: Mechanism>(
    setting: &Setting,
    size: usize,
    source: PayloadSource,
) -> Result<WakeReading, HarnessError> {
    match source {
        PayloadSource::Registers => rest_and_send::<M, Registers>(setting, size),
        PayloadSource::Memory => rest_and_send::<M, Memory>(setting, size),
    }
}

fn rest_and_send<M: Mechanism, P: Source>(
    setting: &Setting,
    size: usize,
) -> Result<WakeReading, HarnessError> {
    check_size(size)?;
    let clock = setting.clock;
    let (bracket, sent, (received, usage)) = bracketed(
        setting,
        M::prepare(size)?,
        |meeting, way| {
            let mut to = way.sender()?;
            let mut source = P::new(size);
            let mut sent = Vec::new();
            meeting.meet();
            // What it burns while it rests is of no interest; but here and below its calls begin and end to be counted.
            Usage::so_far()?;
            let deadline = clock.now() + clock.ticks(setting.budget);
            let rest = clock.ticks(REST);
            for seq in 0.. {
                let rested = clock.now() + rest;
                while clock.now() < rested {
                    std::hint::spin_loop();
                }
                let now = clock.now();
                let last = now >= deadline && seq >= LEAST_MESSAGES;
                source.send(&mut to, seq, last)?;
                sent.push(now);
                if last {
                    break;
                }
            }
            Usage::so_far()?;
            meeting.meet();
            Ok(sent)
        },
        |meeting, way| {
            let mut from = way.receiver()?;
            let mut received = Vec::new();
            meeting.meet();
            let before = Usage::so_far()?;
            let mut fault = None;
            for seq in 0.. {
                let verdict = from.receive(size, |message| verdict::<P>(message, size, seq, &mut fault))?;
                received.push(clock.now());
                if verdict == Verdict::Last {
                    break;
                }
            }
            let usage = Usage::so_far()? - before;
            meeting.meet();
            fault.map_or(Ok((received, usage)), Err)
        },
    )?;
    if sent.len() != received.len() {
        let what = format!("{} messages were sent, {} received", sent.len(), received.len());
        return Err(HarnessError::Answer { what });
    }
    Ok(WakeReading { bracket, ticks: counted(differences(&sent, &received)), usage })
}

/// The differences.
fn differences(sent: &[u64], received: &[u64]) -> Vec<u64> {
    sent.iter().zip(received).map(|(sent, received)| received.saturating_sub(*sent)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_times_are_sorted_and_counted() {
        let times = differences(&[10, 20, 30, 40], &[17, 25, 37, 39]);
        assert_eq!(counted(times), [(0, 1), (5, 1), (7, 2)]);
    }
}
