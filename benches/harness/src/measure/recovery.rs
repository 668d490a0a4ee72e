//! Recoveries: a sender is killed by SIGKILL between two messages or within one, and a successor takes its place. How
//! long from the kill to the successor's first message, checked, at the receiver?
//!
//! The successor is the process that kills: it reaps the victim, which is all the proof of death that it has, makes a
//! sender for itself, and sends. Descriptors it has inherited; rings it opens by their name. The receiver must have had
//! every message of the victim up to the last one in their order: nothing lost in between, nothing torn.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::{Setting, TimedReading, bracketed};
use crate::atomics::Word;
use crate::error::HarnessError;
use crate::mechanism::{Mechanism, ReceiveMessage};
use crate::payload::{Registers, Source, check_tagged_size, claimed_seq, verdict};
use crate::process::Child;
use crate::shared::{Line, Shared};

/// So often in one reading.
const DEATHS: usize = 4;
/// So many messages must have come from the victim.
const BEFORE: u64 = 50;
/// Time between two of its messages, so that hardly any are on their way when it dies.
const REST: Duration = Duration::from_micros(10);
/// The number of the successor's message.
const SUCCESSOR: u64 = 1 << 40;

/// Measures `M` with messages of `size` bytes.
pub fn recovery<M: Mechanism>(setting: &Setting, size: usize) -> Result<TimedReading, HarnessError> {
    check_tagged_size(size)?;
    let (clock, rest) = (setting.clock, setting.clock.ticks(REST));
    let mut ways = Vec::with_capacity(DEATHS);
    for _ in 0..DEATHS {
        ways.push((M::prepare(size)?, Shared::<Line<Word>>::new()?));
    }
    let (bracket, ends, starts) = bracketed(
        setting,
        ways,
        |meeting, ways| {
            let mut ends = Vec::with_capacity(DEATHS);
            for (way, received) in ways {
                let mut from = way.receiver()?;
                meeting.meet();
                until_the_successor::<M>(&mut from, size, &received.0)?;
                ends.push(clock.now());
                meeting.meet();
            }
            Ok(ends)
        },
        |meeting, ways| {
            let mut starts = Vec::with_capacity(DEATHS);
            for (way, received) in ways {
                meeting.meet();
                // The victim takes its copy of the way, this process keeps its own.
                let mut way = Some(way);
                let mut victim = Child::working(|| {
                    let own = way.take().ok_or(HarnessError::Closed)?;
                    let mut to = own.sender()?;
                    for seq in 0.. {
                        Registers::new(size).send(&mut to, seq, false)?;
                        let rested = clock.now() + rest;
                        while clock.now() < rested {
                            std::hint::spin_loop();
                        }
                    }
                    Ok(())
                })?;
                // ord(recovery.received) Acquire <- the receiver: nothing but the number.
                while received.0.load_acquire() < BEFORE {
                    // Both are on this core.
                    std::thread::sleep(Duration::from_micros(100));
                    if victim.has_ended()? {
                        let what = "the sender ended before it was killed".into();
                        return Err(HarnessError::Answer { what });
                    }
                }
                starts.push(clock.now());
                victim.kill()?;
                let mut to = way.take().ok_or(HarnessError::Closed)?.sender()?;
                Registers::new(size).send(&mut to, SUCCESSOR, true)?;
                meeting.meet();
            }
            Ok(starts)
        },
    )?;
    let times = starts.iter().zip(&ends).map(|(start, end)| end.saturating_sub(*start)).collect();
    Ok(TimedReading::of(bracket, times))
}

/// Receives and checks all that comes, in its order, up to the successor's message.
fn until_the_successor<M: Mechanism>(
    from: &mut M::Receiver,
    size: usize,
    received: &Word,
) -> Result<(), HarnessError> {
    let (mut fault, mut next, mut over) = (None, 0, false);
    while !over {
        let seen = from.receive(size, |message| {
            over = claimed_seq(message) == SUCCESSOR;
            let seq = if over { SUCCESSOR } else { next };
            verdict::<Registers>(message, size, seq, &mut fault);
        });
        match seen {
            Ok(()) => next += 1,
            // Nobody sends just now; a ring says so at once.
            Err(HarnessError::Closed) => std::hint::spin_loop(),
            Err(error) => return Err(error),
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        // ord(recovery.received) Release -> the process that kills: nothing but the number.
        received.store_release(next);
    }
    Ok(())
}
