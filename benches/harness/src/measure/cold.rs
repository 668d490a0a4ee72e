//! Cold starts: how long it takes from nothing to the first message, checked, in another process.
//!
//! Both processes run already. What the mechanism makes before them (descriptors that a child inherits) is timed where it
//! is made; then, from a meeting at which neither process has anything open, both open their ends and one message goes.
//! The sum of both counts. Starting the processes does not, and tearing down does not.
#![forbid(unsafe_code)]

use super::{Setting, TimedReading, bracketed};
use crate::error::HarnessError;
use crate::mechanism::{Mechanism, ReceiveMessage};
use crate::payload::{Registers, Source, check_size, verdict};

/// So often in one reading.
const STARTS: usize = 8;
/// Its number: any that an eventfd can carry marked as the last.
const FIRST: u64 = 2;

/// Measures `M` with a message of `size` bytes.
pub fn cold<M: Mechanism>(setting: &Setting, size: usize) -> Result<TimedReading, HarnessError> {
    check_size(size)?;
    let clock = setting.clock;
    let (mut ways, mut prepared) = (Vec::with_capacity(STARTS), Vec::with_capacity(STARTS));
    for _ in 0..STARTS {
        let start = clock.now();
        ways.push(M::prepare(size)?);
        prepared.push(clock.now() - start);
    }
    let (bracket, starts, ends) = bracketed(
        setting,
        ways,
        |meeting, ways| {
            let mut starts = Vec::with_capacity(STARTS);
            for way in ways {
                meeting.meet();
                starts.push(clock.now());
                let mut to = way.sender()?;
                Registers::new(size).send(&mut to, FIRST, true)?;
                // Neither end goes before the other one has what it needs.
                meeting.meet();
            }
            Ok(starts)
        },
        |meeting, ways| {
            let (mut ends, mut fault) = (Vec::with_capacity(STARTS), None);
            for way in ways {
                meeting.meet();
                let mut from = way.receiver()?;
                from.receive(size, |message| verdict::<Registers>(message, size, FIRST, &mut fault))?;
                ends.push(clock.now());
                meeting.meet();
            }
            fault.map_or(Ok(ends), Err)
        },
    )?;
    let opened = starts.iter().zip(&ends).map(|(start, end)| end.saturating_sub(*start));
    let times = opened.zip(prepared).map(|(opened, prepared)| opened + prepared).collect();
    Ok(TimedReading::of(bracket, times))
}
