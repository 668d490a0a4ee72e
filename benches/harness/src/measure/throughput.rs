//! Streaming: how many messages a second one process writes and another reads and checks.
//!
//! The clock starts with the first message at the sender, after a warm-up that the receiver has drained, and stops when
//! the receiver has checked the last one. So every counted byte was written, moved and read in the counted time.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::{PayloadSource, Setting, bracketed};
use crate::error::HarnessError;
use crate::mechanism::{Mechanism, ReceiveMessage, SendMessage};
use crate::payload::{Memory, Registers, Source, Verdict, check, check_size};
use crate::reference::Bracket;
use crate::usage::Usage;

/// One streaming measurement.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ThroughputReading {
    /// The references around it.
    pub bracket: Bracket,
    /// Messages sent, received and checked.
    pub messages: u64,
    /// Nanoseconds from the first send to the last check.
    pub ns: f64,
    /// Both processes together.
    pub usage: Usage,
}

impl ThroughputReading {
    /// Messages a second.
    pub fn per_second(&self) -> f64 {
        self.messages as f64 / self.ns * 1e9
    }
}

/// Measures `M` with messages of `size` bytes.
pub fn throughput<M: Mechanism>(
    setting: &Setting,
    size: usize,
    source: PayloadSource,
) -> Result<ThroughputReading, HarnessError> {
    match source {
        PayloadSource::Registers => stream::<M, Registers>(setting, size),
        PayloadSource::Memory => stream::<M, Memory>(setting, size),
    }
}

fn stream<M: Mechanism, P: Source>(
    setting: &Setting,
    size: usize,
) -> Result<ThroughputReading, HarnessError> {
    check_size(size)?;
    let (bracket, sent, received) = bracketed(
        setting,
        M::prepare(size)?,
        |meeting, way| {
            let mut to = way.sender()?;
            let mut source = P::new(size);
            let mut seq = 0;
            meeting.meet();
            send_for(setting, setting.budget / 8, &mut source, &mut seq, &mut to, size)?;
            meeting.meet();
            let first = seq;
            let before = Usage::so_far()?;
            let start = setting.clock.now();
            send_for(setting, setting.budget, &mut source, &mut seq, &mut to, size)?;
            let usage = Usage::so_far()? - before;
            meeting.meet();
            Ok(Sent { start, messages: seq - first, usage })
        },
        |meeting, way| {
            let mut from = way.receiver()?;
            let mut seq = 0;
            meeting.meet();
            receive_phase::<P, _>(&mut seq, &mut from, size)?;
            meeting.meet();
            let first = seq;
            let before = Usage::so_far()?;
            receive_phase::<P, _>(&mut seq, &mut from, size)?;
            let end = setting.clock.now();
            let usage = Usage::so_far()? - before;
            meeting.meet();
            Ok(Received { end, messages: seq - first, usage })
        },
    )?;
    if sent.messages != received.messages {
        let what = format!("{} messages were sent, {} received", sent.messages, received.messages);
        return Err(HarnessError::Answer { what });
    }
    let ns = setting.clock.ns(received.end.saturating_sub(sent.start));
    Ok(ThroughputReading { bracket, messages: sent.messages, ns, usage: sent.usage + received.usage })
}

#[derive(Serialize, Deserialize)]
struct Sent {
    start: u64,
    messages: u64,
    usage: Usage,
}

#[derive(Serialize, Deserialize)]
struct Received {
    end: u64,
    messages: u64,
    usage: Usage,
}

/// Sends until the budget is over, then one message marked as last.
fn send_for<P: Source, S: SendMessage>(
    setting: &Setting,
    budget: std::time::Duration,
    source: &mut P,
    seq: &mut u64,
    to: &mut S,
    size: usize,
) -> Result<(), HarnessError> {
    let deadline = setting.clock.now() + setting.clock.ticks(budget);
    // The clock is read once in about 64 KiB, so that it does not slow small messages.
    let burst = ((64 << 10) / size as u64).clamp(1, 512);
    let mut now = *seq;
    loop {
        for _ in 0..burst {
            source.send(to, now, false)?;
            now += 1;
        }
        if setting.clock.now() >= deadline {
            source.send(to, now, true)?;
            *seq = now + 1;
            return Ok(());
        }
    }
}

/// Receives and checks until the message marked as last.
fn receive_phase<P: Source, R: ReceiveMessage>(
    seq: &mut u64,
    from: &mut R,
    size: usize,
) -> Result<(), HarnessError> {
    let mut now = *seq;
    loop {
        let verdict = from.receive(size, |message| check::<P>(message, size, now))??;
        now += 1;
        if verdict == Verdict::Last {
            *seq = now;
            return Ok(());
        }
    }
}
