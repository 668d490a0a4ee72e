//! Medians, spreads and quantiles. No distribution is assumed and nothing is averaged.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// The middle value of several rounds with the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the rounds are at or below this; of an even number the mean of the middle two.
    pub median: f64,
    /// The least round.
    pub min: f64,
    /// The greatest round.
    pub max: f64,
}

impl Spread {
    /// The spread of the values; none if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Spread { median, min, max })
    }
}

/// How many times `of` goes into `value`; none if `of` is nothing, as a time can be that is shorter than a tick.
pub fn ratio(value: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| value / of)
}

/// The value that a share `q` of the counted values does not exceed. Pairs of value and count, ascending; 0 if empty.
pub fn quantile(counted: &[(u64, u64)], q: f64) -> u64 {
    let total: u64 = counted.iter().map(|&(_, count)| count).sum();
    let rank = ((total as f64 * q).ceil() as u64).max(1);
    let mut passed = 0;
    for &(value, count) in counted {
        passed += count;
        if passed >= rank {
            return value;
        }
    }
    counted.last().map_or(0, |&(value, _)| value)
}

/// [`quantile`], if at least five values lie beyond it; fewer would make it the report of one accident.
pub fn supported_quantile(counted: &[(u64, u64)], q: f64) -> Option<u64> {
    let total: u64 = counted.iter().map(|&(_, count)| count).sum();
    (total as f64 * (1.0 - q) >= 5.0).then(|| quantile(counted, q))
}

/// Several lists of counted values as one.
pub fn pool<'a>(lists: impl IntoIterator<Item = &'a [(u64, u64)]>) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = lists.into_iter().flatten().copied().collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_least_and_greatest() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([7.0]), Some(Spread { median: 7.0, min: 7.0, max: 7.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn nothing_has_a_ratio_to_nothing() {
        assert_eq!([ratio(6.0, 2.0), ratio(0.0, 2.0)], [Some(3.0), Some(0.0)]);
        assert_eq!([ratio(6.0, 0.0), ratio(0.0, 0.0)], [None, None]);
    }

    #[test]
    fn quantiles_count_values() {
        let counted: Vec<(u64, u64)> = (1..=100).map(|value| (value, 10)).collect();
        assert_eq!(quantile(&counted, 0.0), 1);
        assert_eq!(quantile(&counted, 0.5), 50);
        assert_eq!(quantile(&counted, 0.99), 99);
        assert_eq!(quantile(&counted, 0.991), 100);
        assert_eq!(quantile(&counted, 1.0), 100);
        assert_eq!(quantile(&[], 0.5), 0);
    }

    #[test]
    fn a_tail_without_values_is_not_reported() {
        let counted = [(10, 999), (20, 1)];
        assert_eq!(supported_quantile(&counted, 0.99), Some(10));
        assert_eq!(supported_quantile(&counted, 0.999), None);
    }

    #[test]
    fn pooling_keeps_counts_and_order() {
        let pooled = pool([&[(5, 1), (9, 2)][..], &[(1, 4), (9, 1)][..]]);
        assert_eq!(pooled, [(1, 4), (5, 1), (9, 1), (9, 2)]);
        assert_eq!(quantile(&pooled, 0.5), 1);
        assert_eq!(quantile(&pooled, 0.75), 9);
    }
}
