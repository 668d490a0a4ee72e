//! Durations as people type them: `500ms`, `2s`, `1.5m`; a bare number counts seconds, as in sleep(1).

use std::time::Duration;

/// The suffixes and what they are in nanoseconds. Longer ones first where one ends in another.
const UNITS: [(&str, u128); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads one duration. Zero is allowed and means "do not wait".
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("a duration cannot be negative".into());
    }
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && part.is_empty()) || part.contains('.') {
        return Err("a duration is a number with an optional ns, us, ms, s, m or h, such as 500ms".into());
    }
    let unit = match suffix {
        "" => 1_000_000_000,
        _ => UNITS.iter().find(|(name, _)| *name == suffix).map(|(_, ns)| *ns).ok_or_else(|| {
            format!("unknown unit {suffix:?}: use ns, us, ms, s, m or h; a bare number counts seconds")
        })?,
    };
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_long())? };
    let nanos = u128::from(whole) * unit + fraction(part, unit);
    let seconds = u64::try_from(nanos / 1_000_000_000).map_err(|_| too_long())?;
    // A hundred years is for ever, and keeps every sum with "now" representable.
    if seconds > 100 * 365 * 86_400 {
        return Err(too_long());
    }
    Ok(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

/// Nanoseconds in the digits behind the point; digits too fine to matter are dropped.
fn fraction(digits: &str, unit: u128) -> u128 {
    let mut scale = 1;
    let mut sum = 0;
    for digit in digits.bytes().take(18) {
        scale *= 10;
        sum = sum * 10 + u128::from(digit - b'0');
    }
    sum * unit / scale
}

/// The error for durations nobody can mean.
fn too_long() -> String {
    "too long: leave the option out to wait for ever".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_units() {
        for (text, ns) in [
            ("0", 0),
            ("2", 2_000_000_000),
            ("2s", 2_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5", 500_000_000),
            ("5.", 5_000_000_000),
            ("500ms", 500_000_000),
            ("7us", 7_000),
            ("9ns", 9),
            ("0.25m", 15_000_000_000),
            ("2h", 7_200_000_000_000),
            ("0.0000000000000000000001", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
    }

    #[test]
    fn bad_durations_each_have_their_own_error() {
        for (text, part) in [
            ("", "a duration is a number"),
            ("s", "a duration is a number"),
            (".", "a duration is a number"),
            ("1.2.3", "a duration is a number"),
            ("-1", "negative"),
            ("inf", "a duration is a number"),
            ("5 s", "unknown unit"),
            ("5d", "unknown unit \"d\""),
            ("99999999999999999999", "too long"),
            ("18446744073709551615h", "too long"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
