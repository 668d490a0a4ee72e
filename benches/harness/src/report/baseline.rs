//! A run beside an earlier one. A row of slipring is worse if its worst round then was better than its best round now,
//! both in the figure itself and in units of the reference: a slower machine alone changes the first, a machine whose
//! cores have moved the second. The kernel's rows are compared in the same way and only counted, as a witness.
#![forbid(unsafe_code)]

use std::fmt;

use super::{Report, Subject};
use crate::catalogue::Family;
use crate::stats::Spread;
use crate::text::range;

/// With fewer rounds on either side, two ranges may well miss each other by chance.
const LEAST_ROUNDS: usize = 3;

/// What became of the rows that both runs have.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Rows of slipring that got worse beyond the noise.
    pub worse: Vec<Change>,
    /// Rows of slipring that got better beyond the noise.
    pub better: Vec<Change>,
    /// Rows of slipring that were compared.
    pub compared: usize,
    /// Rows of the kernel's mechanisms that were compared, and how many of them got worse.
    pub witnesses: (usize, usize),
    /// Rows of slipring with too few rounds in one of the runs.
    pub too_few: usize,
    /// The runs come from different processors or kernels.
    pub other_machine: bool,
}

/// One row that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// `latency p50 ns`, `messages/s` or `wake p50 ns`.
    pub figure: &'static str,
    /// The row.
    pub subject: Subject,
    /// Then.
    pub then: Spread,
    /// Now.
    pub now: Spread,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject { mechanism, size, source, placement } = &self.subject;
        write!(
            f,
            "{mechanism}, {size} bytes {}, {}: {} {}, was {}",
            super::sections::payload(*source),
            placement.name(),
            self.figure,
            range(&self.now),
            range(&self.then)
        )
    }
}

/// A figure that can be compared, in itself and in units of the reference.
struct Figure<'r> {
    name: &'static str,
    subject: &'r Subject,
    rounds: usize,
    value: Spread,
    units: Option<Spread>,
    more_is_better: bool,
}

impl Report {
    fn figures(&self) -> Vec<Figure<'_>> {
        let latency = self.latency.iter().map(|row| Figure {
            name: "latency p50 ns",
            subject: &row.subject,
            rounds: row.rounds,
            value: row.p50_ns,
            units: Some(row.p50_per_line),
            more_is_better: false,
        });
        let throughput = self.throughput.iter().map(|row| Figure {
            name: "messages/s",
            subject: &row.subject,
            rounds: row.rounds,
            value: row.messages_per_s,
            units: Some(row.per_stream),
            more_is_better: true,
        });
        let wake = self.wake.iter().map(|row| Figure {
            name: "wake p50 ns",
            subject: &row.subject,
            rounds: row.rounds,
            value: row.p50_ns,
            units: row.p50_per_futex,
            more_is_better: false,
        });
        latency.chain(throughput).chain(wake).collect()
    }

    /// This run beside an earlier one.
    pub fn against(&self, earlier: &Report) -> Comparison {
        let mut comparison = Comparison {
            worse: Vec::new(),
            better: Vec::new(),
            compared: 0,
            witnesses: (0, 0),
            too_few: 0,
            other_machine: self.machine.cpu != earlier.machine.cpu
                || self.machine.kernel != earlier.machine.kernel,
        };
        let then = earlier.figures();
        for now in self.figures() {
            let same = |then: &&Figure<'_>| then.name == now.name && then.subject == now.subject;
            let Some(then) = then.iter().find(same) else { continue };
            let ours =
                self.mechanism(&now.subject.mechanism).is_some_and(|row| row.family == Family::Slipring);
            let enough = now.rounds.min(then.rounds) >= LEAST_ROUNDS;
            let (worse, better) = (apart(then, &now), apart(&now, then));
            match (ours, enough) {
                (true, false) => comparison.too_few += 1,
                (true, true) => {
                    comparison.compared += 1;
                    let change = || Change {
                        figure: now.name,
                        subject: now.subject.clone(),
                        then: then.value,
                        now: now.value,
                    };
                    comparison.worse.extend(worse.then(change));
                    comparison.better.extend(better.then(change));
                }
                (false, true) => {
                    comparison.witnesses.0 += 1;
                    comparison.witnesses.1 += usize::from(worse);
                }
                (false, false) => {}
            }
        }
        comparison
    }
}

/// Whether all rounds of `good` are better than all of `bad`, in both units if there are two.
fn apart(good: &Figure<'_>, bad: &Figure<'_>) -> bool {
    let better = |one: &Spread, other: &Spread| match good.more_is_better {
        true => one.min > other.max,
        false => one.max < other.min,
    };
    let units = good.units.zip(bad.units);
    better(&good.value, &bad.value) && units.is_none_or(|(good, bad)| better(&good, &bad))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn scaled(spread: &mut Spread, by: f64) {
        *spread = Spread { median: spread.median * by, min: spread.min * by, max: spread.max * by };
    }

    #[test]
    fn a_run_does_not_differ_from_itself() {
        let report = sample();
        let same = report.against(&report);
        assert_eq!((same.worse.len(), same.better.len(), same.too_few), (0, 0, 0));
        assert!(same.compared >= 3 && same.witnesses.0 >= 2 && !same.other_machine, "{same:?}");
    }

    #[test]
    fn ranges_that_overlap_are_noise_and_others_are_not() {
        let (then, mut now) = (sample(), sample());
        scaled(&mut now.latency[0].p50_ns, 1.05);
        scaled(&mut now.latency[0].p50_per_line, 1.05);
        assert_eq!(now.against(&then).worse, []);
        scaled(&mut now.latency[0].p50_ns, 2.0);
        assert_eq!(now.against(&then).worse, [], "in units of the reference it is the same");
        scaled(&mut now.latency[0].p50_per_line, 2.0);
        let comparison = now.against(&then);
        assert_eq!(comparison.worse.len(), 1, "{comparison:?}");
        assert!(comparison.worse[0].to_string().contains("latency p50 ns"));
        assert_eq!(then.against(&now).better.len(), 1);
    }

    #[test]
    fn fewer_messages_a_second_are_worse() {
        let (then, mut now) = (sample(), sample());
        scaled(&mut now.throughput[0].messages_per_s, 0.5);
        scaled(&mut now.throughput[0].per_stream, 0.5);
        assert_eq!(now.against(&then).worse.len(), 1);
        assert_eq!(then.against(&now).worse.len(), 0);
    }

    #[test]
    fn the_kernel_is_a_witness_and_too_few_rounds_say_nothing() {
        let (then, mut now) = (sample(), sample());
        for row in &mut now.latency {
            scaled(&mut row.p50_ns, 3.0);
            scaled(&mut row.p50_per_line, 3.0);
        }
        let slower = now.latency.iter().filter(|row| row.subject.mechanism.starts_with("slipring")).count();
        let comparison = now.against(&then);
        assert_eq!(comparison.worse.len(), slower);
        assert_eq!(comparison.witnesses.1, now.latency.len() - slower);
        now.latency.iter_mut().for_each(|row| row.rounds = 2);
        assert_eq!(now.against(&then).worse, []);
        assert_eq!(now.against(&then).too_few, slower);
    }
}
