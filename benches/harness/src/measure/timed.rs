//! A reading of times, whatever they are the times of.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::LatencyReading;
use crate::reference::Bracket;
use crate::usage::Usage;

/// Times that were measured one by one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimedReading {
    /// The references around it.
    pub bracket: Bracket,
    /// Pairs of clock ticks and count, ascending.
    pub ticks: Vec<(u64, u64)>,
    /// At a rate: the same from the moment a message was really sent, which forgives its sender every delay.
    pub uncorrected: Vec<(u64, u64)>,
    /// At a rate: messages a second that came through.
    pub per_second: Option<f64>,
    /// What it cost, where that says something: at a rate the receiver's alone.
    pub usage: Option<Usage>,
}

impl TimedReading {
    /// Of so many ticks each, of which nothing else is known.
    pub(super) fn of(bracket: Bracket, ticks: Vec<u64>) -> TimedReading {
        let ticks = counted(ticks);
        TimedReading { bracket, ticks, uncorrected: Vec::new(), per_second: None, usage: None }
    }

    /// How many were timed.
    pub fn messages(&self) -> u64 {
        self.ticks.iter().map(|&(_, count)| count).sum()
    }
}

impl From<LatencyReading> for TimedReading {
    /// Half of each round trip.
    fn from(reading: LatencyReading) -> TimedReading {
        let LatencyReading { bracket, ticks, usage, .. } = reading;
        let mut halves: Vec<(u64, u64)> = Vec::with_capacity(ticks.len());
        for (ticks, count) in ticks {
            match halves.last_mut() {
                Some((half, sum)) if *half == ticks / 2 => *sum += count,
                _ => halves.push((ticks / 2, count)),
            }
        }
        TimedReading { bracket, ticks: halves, uncorrected: Vec::new(), per_second: None, usage: Some(usage) }
    }
}

/// Times, sorted and counted.
pub(super) fn counted(mut times: Vec<u64>) -> Vec<(u64, u64)> {
    times.sort_unstable();
    times.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;
    use crate::reference::Reference;

    #[test]
    fn a_round_trip_counts_half_and_none_is_lost() {
        let reference = Reference::of(Cores::Pinned(0, 1), 70.0, 10.0);
        let bracket = Bracket { before: reference, after: reference };
        let ticks = vec![(10, 1), (11, 2), (12, 3), (300, 1)];
        let reading = LatencyReading { bracket, trips: 7, ticks, usage: Usage::default() };
        let timed = TimedReading::from(reading);
        assert_eq!(timed.ticks, [(5, 3), (6, 3), (150, 1)]);
        assert_eq!(timed.messages(), 7);
    }

    #[test]
    fn times_are_sorted_and_counted() {
        assert_eq!(counted(vec![7, 0, 7, 5]), [(0, 1), (5, 1), (7, 2)]);
        assert_eq!(counted(Vec::new()), []);
    }
}
