//! Messages at a rate: an open loop, in which a message is due at its moment whatever became of those before it.
//!
//! The time of a message runs from the moment it was *due* to the end of its check. A sender that was held up sends late,
//! and all that lateness counts: otherwise one long stall, during which a thousand messages should have been sent, would
//! be one slow message among thousands of fast ones (*coordinated omission*). What a measurement without this correction
//! would have said stands beside it.
#![forbid(unsafe_code)]

use super::timed::counted;
use super::{Setting, TimedReading, bracketed};
use crate::atomics::Word;
use crate::error::HarnessError;
use crate::mechanism::{Mechanism, ReceiveMessage};
use crate::payload::{Registers, Source, check_size, verdict};
use crate::shared::{Line, Shared, SharedBytes};
use crate::usage::Usage;

/// Even if the budget is shorter.
const LEAST_MESSAGES: u64 = 64;
/// The first message is due so long after both have met.
const LEAD_NS: u64 = 200_000;
const WORD: usize = size_of::<u64>();

/// The schedule: message k is due at `start + k * interval`.
#[derive(Clone, Copy)]
struct Schedule {
    start: u64,
    interval: f64,
}

impl Schedule {
    fn due(self, k: u64) -> u64 {
        self.start + (k as f64 * self.interval) as u64
    }
}

/// Measures `M` with `rate` messages a second of `size` bytes.
pub fn paced<M: Mechanism>(setting: &Setting, size: usize, rate: u32) -> Result<TimedReading, HarnessError> {
    check_size(size)?;
    if rate == 0 {
        return Err(HarnessError::BadOption { what: "no messages at all a second".into() });
    }
    let clock = setting.clock;
    let second = 1e9 / clock.ns(1);
    let interval = second / f64::from(rate);
    let messages = ((setting.budget.as_secs_f64() * f64::from(rate)) as u64).max(LEAST_MESSAGES);
    // When each message was really sent, for the receiver to see.
    let sent = SharedBytes::new(messages as usize * WORD)?;
    let start = Shared::<Line<Word>>::new()?;
    let (bracket, (), (corrected, uncorrected, ns, usage)) = bracketed(
        setting,
        (M::prepare(size)?, sent, start),
        |meeting, (way, sent, start)| {
            let mut to = way.sender()?;
            let mut source = Registers::new(size);
            let schedule = Schedule { start: clock.now() + (LEAD_NS as f64 / clock.ns(1)) as u64, interval };
            // ord(paced.start) Release -> the receiver: nothing but the number.
            start.0.store_release(schedule.start);
            meeting.meet();
            for k in 0..messages {
                while clock.now() < schedule.due(k) {
                    std::hint::spin_loop();
                }
                // ord(paced.sent) Release -> the receiver, which loads it after the message.
                sent.word(k as usize * WORD).store_release(clock.now());
                source.send(&mut to, k, k + 1 == messages)?;
            }
            meeting.meet();
            Ok(())
        },
        |meeting, (way, sent, start)| {
            let mut from = way.receiver()?;
            let (mut corrected, mut uncorrected) =
                (Vec::with_capacity(messages as usize), Vec::with_capacity(messages as usize));
            meeting.meet();
            // ord(paced.start) Acquire <- the sender, before the meeting.
            let schedule = Schedule { start: start.0.load_acquire(), interval };
            let before = Usage::so_far()?;
            let (mut fault, mut now) = (None, schedule.start);
            for k in 0..messages {
                from.receive(size, |message| verdict::<Registers>(message, size, k, &mut fault))?;
                now = clock.now();
                corrected.push(now.saturating_sub(schedule.due(k)));
                // ord(paced.sent) Acquire <- the sender, before the message.
                uncorrected.push(now.saturating_sub(sent.word(k as usize * WORD).load_acquire()));
                if fault.is_some() {
                    break;
                }
            }
            let usage = Usage::so_far()? - before;
            meeting.meet();
            let ns = clock.ns(now.saturating_sub(schedule.start));
            fault.map_or(Ok((binned(corrected), binned(uncorrected), ns, usage)), Err)
        },
    )?;
    let per_second = Some(messages as f64 / ns * 1e9);
    Ok(TimedReading { bracket, ticks: corrected, uncorrected, per_second, usage: Some(usage) })
}

/// Counted, to three digits, so that a long reading fits into an answer.
fn binned(times: Vec<u64>) -> Vec<(u64, u64)> {
    let round = |time: u64| {
        let step = (time / 1000).next_power_of_two();
        // Up to the end of the bin, as histograms have it.
        time.div_ceil(step) * step
    };
    counted(times.into_iter().map(round).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_evenly_and_do_not_drift() {
        let schedule = Schedule { start: 1000, interval: 2.5 };
        assert_eq!([0, 1, 2, 4].map(|k| schedule.due(k)), [1000, 1002, 1005, 1010]);
        assert_eq!(schedule.due(1_000_000), 2_501_000);
    }

    #[test]
    fn bins_keep_three_digits_and_every_value() {
        let bins = binned(vec![3, 999, 1_000_000, 1_000_001, 123_456_789]);
        assert_eq!(bins.iter().map(|&(_, count)| count).sum::<u64>(), 5);
        assert_eq!(bins[0], (3, 1));
        for (time, bin) in [(1_000_000f64, bins[2].0 as f64), (123_456_789.0, bins.last().unwrap().0 as f64)]
        {
            assert!(bin >= time && bin / time < 1.003, "{time} in {bin}");
        }
    }
}
