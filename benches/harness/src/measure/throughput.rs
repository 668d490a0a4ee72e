//! Streaming: how many messages a second one process writes and another reads and checks.
//!
//! The clock starts with the first message at the sender, after a warm-up that the receiver has drained, and stops when
//! the receiver has checked the last one. So every counted byte was written, moved and read in the counted time.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::{PayloadSource, Setting, bracketed};
use crate::error::HarnessError;
use crate::mechanism::{Mechanism, ReceiveMany, ReceiveMessage, SendMany};
use crate::payload::{Memory, Registers, Source, Verdict, check_size, send_many, verdict};
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
        PayloadSource::Registers => stream::<M, Registers, Singly>(setting, size),
        PayloadSource::Memory => stream::<M, Memory, Singly>(setting, size),
    }
}

/// Measures `M` with messages of `size` bytes, computed in place, sent `N` at once and received up to `N` at once.
pub fn batched<M: Mechanism, const N: usize>(
    setting: &Setting,
    size: usize,
) -> Result<ThroughputReading, HarnessError>
where
    M::Sender: SendMany,
    M::Receiver: ReceiveMany,
{
    stream::<M, Registers, ByN<N>>(setting, size)
}

/// How messages go: one by one, or several at once.
trait Pace<M: Mechanism> {
    /// How many are sent at once.
    const COUNT: u64;

    /// Sends messages `seq..seq + COUNT`.
    fn send<P: Source>(
        source: &mut P,
        to: &mut M::Sender,
        size: usize,
        seq: u64,
        last: bool,
    ) -> Result<(), HarnessError>;

    /// Receives and checks at least one message, of which `seq` is the first, and counts `seq` on.
    fn receive<P: Source>(
        from: &mut M::Receiver,
        size: usize,
        seq: &mut u64,
        fault: &mut Option<HarnessError>,
    ) -> Result<Verdict, HarnessError>;
}

enum Singly {}

impl<M: Mechanism> Pace<M> for Singly {
    const COUNT: u64 = 1;

    #[inline(always)]
    fn send<P: Source>(
        source: &mut P,
        to: &mut M::Sender,
        _size: usize,
        seq: u64,
        last: bool,
    ) -> Result<(), HarnessError> {
        source.send(to, seq, last)
    }

    #[inline(always)]
    fn receive<P: Source>(
        from: &mut M::Receiver,
        size: usize,
        seq: &mut u64,
        fault: &mut Option<HarnessError>,
    ) -> Result<Verdict, HarnessError> {
        let now = *seq;
        *seq += 1;
        from.receive(size, |message| verdict::<P>(message, size, now, fault))
    }
}

enum ByN<const N: usize> {}

impl<M: Mechanism, const N: usize> Pace<M> for ByN<N>
where
    M::Sender: SendMany,
    M::Receiver: ReceiveMany,
{
    const COUNT: u64 = N as u64;

    #[inline(always)]
    fn send<P: Source>(
        _source: &mut P,
        to: &mut M::Sender,
        size: usize,
        seq: u64,
        last: bool,
    ) -> Result<(), HarnessError> {
        send_many::<P, _>(to, size, N, seq, last)
    }

    #[inline(always)]
    fn receive<P: Source>(
        from: &mut M::Receiver,
        size: usize,
        seq: &mut u64,
        fault: &mut Option<HarnessError>,
    ) -> Result<Verdict, HarnessError> {
        let (mut now, mut end) = (*seq, Verdict::More);
        from.receive_many(size, N, |message| {
            end = verdict::<P>(message, size, now, fault);
            now += 1;
        })?;
        *seq = now;
        Ok(if fault.is_some() { Verdict::Last } else { end })
    }
}

fn stream<M: Mechanism, P: Source, W: Pace<M>>(
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
            send_for::<M, P, W>(setting, setting.budget / 8, &mut source, &mut seq, &mut to, size)?;
            meeting.meet();
            let first = seq;
            let before = Usage::so_far()?;
            let start = setting.clock.now();
            send_for::<M, P, W>(setting, setting.budget, &mut source, &mut seq, &mut to, size)?;
            let usage = Usage::so_far()? - before;
            meeting.meet();
            Ok(Sent { start, messages: seq - first, usage })
        },
        |meeting, way| {
            let mut from = way.receiver()?;
            let mut seq = 0;
            meeting.meet();
            receive_phase::<M, P, W>(&mut seq, &mut from, size)?;
            meeting.meet();
            let first = seq;
            let before = Usage::so_far()?;
            receive_phase::<M, P, W>(&mut seq, &mut from, size)?;
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

/// Sends until the budget is over, then once more with the last message marked.
fn send_for<M: Mechanism, P: Source, W: Pace<M>>(
    setting: &Setting,
    budget: std::time::Duration,
    source: &mut P,
    seq: &mut u64,
    to: &mut M::Sender,
    size: usize,
) -> Result<(), HarnessError> {
    let deadline = setting.clock.now() + setting.clock.ticks(budget);
    // The clock is read once in about 64 KiB, so that it does not slow small messages.
    let burst = ((64 << 10) / (size as u64 * W::COUNT)).clamp(1, 512);
    let mut now = *seq;
    loop {
        for _ in 0..burst {
            W::send(source, to, size, now, false)?;
            now += W::COUNT;
        }
        if setting.clock.now() >= deadline {
            W::send(source, to, size, now, true)?;
            *seq = now + W::COUNT;
            return Ok(());
        }
    }
}

/// Receives and checks until the message marked as last.
fn receive_phase<M: Mechanism, P: Source, W: Pace<M>>(
    seq: &mut u64,
    from: &mut M::Receiver,
    size: usize,
) -> Result<(), HarnessError> {
    let (mut now, mut fault) = (*seq, None);
    while W::receive::<P>(from, size, &mut now, &mut fault)? == Verdict::More {}
    *seq = now;
    fault.map_or(Ok(()), Err)
}
