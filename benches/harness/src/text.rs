//! Figures and columns for people.
#![forbid(unsafe_code)]

use std::fmt;

use crate::stats::Spread;

/// `median (least-greatest)`.
pub fn range(spread: &Spread) -> String {
    let Spread { median, min, max } = *spread;
    format!("{} ({}-{})", figure(median), figure(min), figure(max))
}

/// As [`range`], of nanoseconds, in the unit that fits the median.
pub fn nanoseconds(spread: &Spread) -> String {
    let (by, unit) = match spread.median {
        median if median >= 1e6 => (1e6, "ms"),
        median if median >= 1e3 => (1e3, "us"),
        _ => (1.0, "ns"),
    };
    let Spread { median, min, max } = *spread;
    format!("{} {unit}", range(&Spread { median: median / by, min: min / by, max: max / by }))
}

/// Three digits, no exponent.
pub fn figure(value: f64) -> String {
    let magnitude = value.abs();
    match magnitude {
        _ if magnitude == 0.0 => "0".into(),
        _ if magnitude < 0.0005 => "<0.001".into(),
        _ if magnitude < 1.0 => format!("{value:.3}"),
        _ if magnitude < 10.0 => format!("{value:.2}"),
        _ if magnitude < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// With a unit prefix.
pub fn counted(value: f64) -> String {
    match value {
        _ if value >= 1e9 => format!("{} G", figure(value / 1e9)),
        _ if value >= 1e6 => format!("{} M", figure(value / 1e6)),
        _ if value >= 1e3 => format!("{} k", figure(value / 1e3)),
        _ => figure(value),
    }
}

/// Writes columns as wide as their widest entry: the first to the left, all others to the right.
pub fn table(
    f: &mut fmt::Formatter<'_>,
    head: &[&str],
    lines: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    let lines: Vec<Vec<String>> =
        std::iter::once(head.iter().map(ToString::to_string).collect()).chain(lines).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|entry| entry.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for line in &lines {
        let mut text = String::new();
        for (column, (entry, &width)) in line.iter().zip(&widths).enumerate() {
            match column {
                0 => text.push_str(&format!("{entry:<width$}")),
                _ => text.push_str(&format!("  {entry:>width$}")),
            }
        }
        writeln!(f, "{}", text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table(Vec<Vec<String>>);

    impl fmt::Display for Table {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            table(f, &["name", "value"], self.0.clone().into_iter())
        }
    }

    #[test]
    fn columns_are_aligned() {
        let lines = vec![vec!["pipe".into(), "1".into()], vec!["unix stream".into(), "123456".into()]];
        assert_eq!(
            Table(lines).to_string(),
            "name          value\npipe              1\nunix stream  123456\n"
        );
    }

    #[test]
    fn figures_have_three_digits() {
        let shown = [0.0, 0.0001, 0.5, 3.456, 27.18, 1234.5].map(figure);
        assert_eq!(shown, ["0", "<0.001", "0.500", "3.46", "27.2", "1234"]);
        let of = |median| nanoseconds(&Spread { median, min: median / 2.0, max: 2.0 * median });
        assert_eq!(of(178.0), "178 (89.0-356) ns");
        assert_eq!([of(32_264.0), of(1.5e6)], ["32.3 (16.1-64.5) us", "1.50 (0.750-3.00) ms"]);
        assert_eq!([999.0, 12_345.0, 5e6, 2.5e9].map(counted), ["999", "12.3 k", "5.00 M", "2.50 G"]);
    }
}
