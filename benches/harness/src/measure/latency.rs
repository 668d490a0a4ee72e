//! Ping-pong: how long a message takes to a process that waits for nothing else, as half of its round trip.
//!
//! Both ways the message is written completely and checked completely. The clock is read before and after each round
//! trip; its cost is in the figure, not subtracted.
#![forbid(unsafe_code)]

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{PayloadSource, Setting, bracketed};
use crate::error::HarnessError;
use crate::mechanism::{Mechanism, ReceiveMessage, SendMessage};
use crate::payload::{Memory, Registers, Source, Verdict, check_size, verdict};
use crate::reference::Bracket;
use crate::usage::Usage;

/// Even a process that gets a time slice only now and then makes this many round trips.
const LEAST_TRIPS: u64 = 16;

/// One ping-pong measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LatencyReading {
    /// The references around it.
    pub bracket: Bracket,
    /// Round trips recorded; each moved two messages.
    pub trips: u64,
    /// Round-trip times: pairs of clock ticks (upper end of the bucket) and count, ascending.
    pub ticks: Vec<(u64, u64)>,
    /// Both processes together, over the recorded part.
    pub usage: Usage,
}

impl LatencyReading {
    /// The one-way time in ticks (half the round trip) that a share `q` of the messages does not exceed.
    pub fn one_way_ticks(&self, q: f64) -> f64 {
        crate::stats::quantile(&self.ticks, q) as f64 / 2.0
    }
}

/// Measures `M` with messages of `size` bytes.
pub fn latency<M: Mechanism>(
    setting: &Setting,
    size: usize,
    source: PayloadSource,
) -> Result<LatencyReading, HarnessError> {
    match source {
        PayloadSource::Registers => ping_pong::<M, Registers>(setting, size),
        PayloadSource::Memory => ping_pong::<M, Memory>(setting, size),
    }
}

fn ping_pong<M: Mechanism, P: Source>(
    setting: &Setting,
    size: usize,
) -> Result<LatencyReading, HarnessError> {
    check_size(size)?;
    let ways = (M::prepare(size)?, M::prepare(size)?);
    let (bracket, (ticks, trips, asking), answering) = bracketed(
        setting,
        ways,
        |meeting, (to, from)| {
            let (mut to, mut from) = (to.sender()?, from.receiver()?);
            meeting.meet();
            let mut pinger = Pinger::<P>::new(setting, size)?;
            pinger.play(&mut to, &mut from, setting.budget / 8)?;
            pinger.times.reset();
            meeting.meet();
            let before = Usage::so_far()?;
            pinger.play(&mut to, &mut from, setting.budget)?;
            let usage = Usage::so_far()? - before;
            meeting.meet();
            Ok((pairs(&pinger.times), pinger.times.len(), usage))
        },
        |meeting, (to, from)| {
            let (mut from, mut to) = (to.receiver()?, from.sender()?);
            meeting.meet();
            let (mut source, mut seq) = (P::new(size), 0);
            answer(&mut source, &mut seq, size, &mut from, &mut to)?;
            meeting.meet();
            let before = Usage::so_far()?;
            answer(&mut source, &mut seq, size, &mut from, &mut to)?;
            let usage = Usage::so_far()? - before;
            meeting.meet();
            Ok(usage)
        },
    )?;
    Ok(LatencyReading { bracket, trips, ticks, usage: asking + answering })
}

/// The side with the clock.
struct Pinger<'a, P> {
    setting: &'a Setting,
    source: P,
    size: usize,
    seq: u64,
    times: Histogram<u32>,
}

impl<'a, P: Source> Pinger<'a, P> {
    fn new(setting: &'a Setting, size: usize) -> Result<Self, HarnessError> {
        let slowest = setting.clock.ticks(setting.pair.limit).max(1000);
        let times = Histogram::new_with_bounds(1, slowest, 3).map_err(|error| HarnessError::BadOption {
            what: format!("a limit of {slowest} ticks: {error}"),
        })?;
        Ok(Pinger { setting, source: P::new(size), size, seq: 0, times })
    }

    /// Round trips until the budget is over.
    fn play<S: SendMessage, R: ReceiveMessage>(
        &mut self,
        to: &mut S,
        from: &mut R,
        budget: std::time::Duration,
    ) -> Result<(), HarnessError> {
        let clock = self.setting.clock;
        let first = self.seq;
        let deadline = clock.now() + clock.ticks(budget);
        let (mut last, mut fault) = (false, None);
        loop {
            let (size, seq) = (self.size, self.seq);
            let start = clock.now();
            self.source.send(to, seq, last)?;
            from.receive(size, |message| verdict::<P>(message, size, seq, &mut fault))?;
            let end = clock.now();
            // Beyond the histogram's end would be beyond the limit, and the watcher has killed us by then.
            self.times.saturating_record(end - start);
            self.seq += 1;
            if last || fault.is_some() {
                return fault.map_or(Ok(()), Err);
            }
            last = end >= deadline && self.seq - first >= LEAST_TRIPS;
        }
    }
}

/// Checks and answers each message with one of its own, until the one marked as last.
fn answer<P: Source, S: SendMessage, R: ReceiveMessage>(
    source: &mut P,
    seq: &mut u64,
    size: usize,
    from: &mut R,
    to: &mut S,
) -> Result<(), HarnessError> {
    let mut fault = None;
    loop {
        let now = *seq;
        let verdict = from.receive(size, |message| verdict::<P>(message, size, now, &mut fault))?;
        source.send(to, now, verdict == Verdict::Last)?;
        *seq += 1;
        if verdict == Verdict::Last {
            return fault.map_or(Ok(()), Err);
        }
    }
}

fn pairs(times: &Histogram<u32>) -> Vec<(u64, u64)> {
    let counted = times.iter_recorded();
    counted.map(|step| (step.value_iterated_to(), step.count_at_value().into())).collect()
}
