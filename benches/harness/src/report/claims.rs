//! What the articles claim that this project started from, beside what was measured. Their figures name no machine, no
//! size and no way of waiting, so each claim is a range, and the rounds decide: it holds if the median lies in the range,
//! it does not if all rounds lie outside, else it is undecided.
#![forbid(unsafe_code)]

use std::fmt;

use super::{LatencyRow, Report, WakeRow};
use crate::measure::PayloadSource;
use crate::mechanism::{Mechanism, Park, Pipe, PosixQueue, Spin, Spsc, SysvQueue};
use crate::reference::Placement;
use crate::stats::{self, Spread};
use crate::text::{nanoseconds, range};

/// A claim, what was measured, and whether they agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claim, with the range that it is taken to mean.
    pub text: String,
    /// The figure, of what, and where.
    pub measured: String,
    /// Whether it holds.
    pub verdict: Verdict,
}

/// Whether a claim holds in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The median lies in the claimed range.
    Holds,
    /// All rounds lie outside, below it.
    Less,
    /// All rounds lie outside, above it.
    More,
    /// The median lies outside, some rounds do not.
    Undecided,
}

impl Verdict {
    /// Of a claim that a figure lies from `low` to `high`.
    fn of(figure: &Spread, low: f64, high: f64) -> Verdict {
        match figure {
            _ if (low..=high).contains(&figure.median) => Verdict::Holds,
            _ if figure.max < low => Verdict::Less,
            _ if figure.min > high => Verdict::More,
            _ => Verdict::Undecided,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Less => "does not hold: less",
            Verdict::More => "does not hold: more",
            Verdict::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claimed: {}; measured: {}: {}", self.text, self.measured, self.verdict.name())
    }
}

impl Report {
    /// The claims about which this run says something.
    pub fn claims(&self) -> Vec<Claim> {
        let spin = <Spsc<Spin> as Mechanism>::NAME;
        let park = <Spsc<Park> as Mechanism>::NAME;
        let latency = |name: &str, text: &str, low: f64, high: f64| {
            let row = self.smallest(name)?;
            Some(claim(text, &row.p50_ns, (low, high), &nanoseconds(&row.p50_ns), &place(row)))
        };
        let waking = |name: &str, text: &str, low: f64, high: f64| {
            let row = self.waking(name)?;
            Some(claim(text, &row.p50_ns, (low, high), &nanoseconds(&row.p50_ns), &sleeper(row)))
        };
        let ratio = |name: &str, text: &str, inverse: bool, low: f64, high: f64| {
            let row = self.smallest(name)?;
            let ratio = row.times_pipe?;
            let ratio = if inverse { inverted(ratio) } else { ratio };
            Some(claim(text, &ratio, (low, high), &times(&ratio), &place(row)))
        };
        let sleeping = || {
            // Both in units of the same futex.
            let (own, pipe) = (self.waking(park)?, self.waking(Pipe::NAME)?);
            let (own_units, pipe_units) = (own.p50_per_futex?, pipe.p50_per_futex?);
            let ratio = Spread {
                median: stats::ratio(pipe_units.median, own_units.median)?,
                min: stats::ratio(pipe_units.min, own_units.max)?,
                max: stats::ratio(pipe_units.max, own_units.min)?,
            };
            let text = "the same, with receivers that sleep (10 to 100 times faster)";
            Some(claim(text, &ratio, (10.0, 100.0), &times(&ratio), &sleeper(own)))
        };
        let timed = [
            latency(Pipe::NAME, "a pipe takes 10 us (5 to 20)", 5e3, 20e3),
            latency(PosixQueue::NAME, "a message queue takes 12 us (6 to 24)", 6e3, 24e3),
            latency(SysvQueue::NAME, "a message queue takes 12 us (6 to 24)", 6e3, 24e3),
            ratio(
                PosixQueue::NAME,
                "a message queue takes 1.2 times a pipe's time (1.1 to 1.3)",
                true,
                1.1,
                1.3,
            ),
            ratio(
                SysvQueue::NAME,
                "a message queue takes 1.2 times a pipe's time (1.1 to 1.3)",
                true,
                1.1,
                1.3,
            ),
            latency(spin, "shared memory takes 100 to 200 ns", 100.0, 200.0),
            waking(park, "the same, with a receiver that sleeps (100 to 200 ns)", 100.0, 200.0),
            ratio(spin, "shared memory is 10 to 100 times faster than a pipe", false, 10.0, 100.0),
            sleeping(),
        ];
        timed.into_iter().flatten().chain(self.copy_claims(park)).collect()
    }

    /// The articles count the copies of whole programs, reading and writing files included; here those of a message.
    fn copy_claims(&self, ring: &str) -> Vec<Claim> {
        let exactly = |name: &str, claimed: u8, source, how: &str| {
            let copies = self.copies(name, source)?;
            let text = format!("{how}: {claimed} copies");
            let measured = format!("{copies} a message, {name}");
            let verdict = match copies {
                _ if copies == claimed => Verdict::Holds,
                _ if copies < claimed => Verdict::Less,
                _ => Verdict::More,
            };
            Some(Claim { text, measured, verdict })
        };
        let kernel = PayloadSource::Memory;
        let claims = [
            exactly(Pipe::NAME, 4, kernel, "a pipe"),
            exactly(Pipe::NAME, 2, kernel, "a pipe"),
            exactly(PosixQueue::NAME, 4, kernel, "a message queue"),
            exactly(PosixQueue::NAME, 2, kernel, "a message queue"),
            exactly(ring, 2, kernel, "shared memory, a message copied in"),
            exactly(ring, 0, PayloadSource::Registers, "shared memory, a message made in place"),
        ];
        claims.into_iter().flatten().collect()
    }

    /// A mechanism's latency at its smallest size, where most of its rounds were read.
    pub(super) fn smallest(&self, mechanism: &str) -> Option<&LatencyRow> {
        let rows = self.latency.iter().filter(|row| row.subject.mechanism == mechanism);
        let rows = rows.filter(|row| row.subject.placement != Placement::Moved);
        rows.min_by_key(|row| (row.subject.size, std::cmp::Reverse(row.rounds)))
    }

    pub(super) fn waking(&self, mechanism: &str) -> Option<&WakeRow> {
        let rows = self.wake.iter().filter(|row| row.subject.mechanism == mechanism);
        rows.filter(|row| row.subject.placement != Placement::Moved).max_by_key(|row| row.rounds)
    }
}

/// `figure` is what was measured, in words.
fn claim(text: &str, measured: &Spread, (low, high): (f64, f64), figure: &str, of: &str) -> Claim {
    let verdict = Verdict::of(measured, low, high);
    Claim { text: text.into(), measured: format!("{figure}, {of}"), verdict }
}

fn times(measured: &Spread) -> String {
    format!("{}x", range(measured))
}

fn place(row: &LatencyRow) -> String {
    let subject = &row.subject;
    format!("{}, {} bytes, cores {}", subject.mechanism, subject.size, subject.placement.name())
}

fn sleeper(row: &WakeRow) -> String {
    format!("waking, {}, cores {}", row.subject.mechanism, row.subject.placement.name())
}

fn inverted(spread: Spread) -> Spread {
    Spread { median: 1.0 / spread.median, min: 1.0 / spread.max, max: 1.0 / spread.min }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_decided_by_the_rounds() {
        let of = |median, min, max| Verdict::of(&Spread { median, min, max }, 10.0, 20.0);
        assert_eq!(of(15.0, 5.0, 40.0), Verdict::Holds);
        assert_eq!(of(5.0, 4.0, 9.0), Verdict::Less);
        assert_eq!(of(30.0, 21.0, 40.0), Verdict::More);
        assert_eq!(of(30.0, 19.0, 40.0), Verdict::Undecided);
    }

    #[test]
    fn an_inverted_spread_is_still_ascending() {
        let spread = inverted(Spread { median: 2.0, min: 1.0, max: 4.0 });
        assert_eq!(spread, Spread { median: 0.5, min: 0.25, max: 1.0 });
    }
}
