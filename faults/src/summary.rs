//! A distribution of times in a few figures.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Times as they come; three digits of each are kept.
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        // One nanosecond to an hour.
        Times(Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("bounds in order"))
    }
}

/// Figures of a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many there were.
    pub count: u64,
    /// Half of them took at most so long.
    pub p50: Duration,
    /// Of a hundred, all but one.
    pub p99: Duration,
    /// Of a thousand, all but one.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

impl Times {
    /// One more, in nanoseconds.
    pub fn add(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    /// So many more that took no longer than `nanos`.
    pub fn add_short(&mut self, nanos: u64, count: u64) {
        self.0.saturating_record_n(nanos, count);
    }

    /// The figures.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let at = |quantile| Duration::from_nanos(self.0.value_at_quantile(quantile).min(self.0.max()));
        Summary {
            count: self.0.len(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_nanos(self.0.max()),
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Summary { count, p50, p99, p999, max } = self;
        write!(f, "p50 {p50:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?}, max {max:.1?} of {count}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_times() {
        let mut times = Times::default();
        (1..=1000).for_each(|micros| times.add(micros * 1000));
        let Summary { count, p50, p99, p999, max } = times.summary();
        assert_eq!(count, 1000);
        for (figure, micros) in [(p50, 500.0), (p99, 990.0), (p999, 999.0), (max, 1000.0)] {
            let off = figure.as_secs_f64() * 1e6 / micros;
            assert!((0.998..1.002).contains(&off), "{figure:?}, not {micros} us");
        }
        assert_eq!(Times::default().summary(), Summary::default());
    }
}
