//! Sizes as people type and read them. `K`, `M`, `G`, `T` and `KiB`.. are powers of 1024, `KB`.. powers of 1000, as in
//! ipcmk(1).

use slipring::Options;

/// Reads a size such as `4096`, `64K`, `64KiB`, `1M` or `500KB`. At least one byte.
pub(crate) fn parse(text: &str) -> Result<usize, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err("a size cannot be negative".into());
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(split);
    if digits.is_empty() {
        return Err("a size is a number with an optional K, M, G or T, such as 64K".into());
    }
    let factor = factor(suffix)?;
    let number: u64 = digits.parse().map_err(|_| too_large())?;
    if number == 0 {
        return Err("a size must be at least 1".into());
    }
    let bytes = number.checked_mul(factor).ok_or_else(too_large)?;
    // Mappings and slices end at isize::MAX, so nothing larger can ever work.
    usize::try_from(bytes).ok().filter(|b| isize::try_from(*b).is_ok()).ok_or_else(too_large)
}

/// What the letters behind the number multiply by.
fn factor(suffix: &str) -> Result<u64, String> {
    let lower = suffix.trim().to_ascii_lowercase();
    let (power, rest) = match lower.as_bytes() {
        [] | [b'b'] => return Ok(1),
        [b'k', rest @ ..] => (1, rest),
        [b'm', rest @ ..] => (2, rest),
        [b'g', rest @ ..] => (3, rest),
        [b't', rest @ ..] => (4, rest),
        _ => return Err(unknown(suffix)),
    };
    match rest {
        [] | b"ib" => Ok(1024u64.pow(power)),
        b"b" => Ok(1000u64.pow(power)),
        _ => Err(unknown(suffix)),
    }
}

/// The error for letters that are no suffix.
fn unknown(suffix: &str) -> String {
    format!("unknown suffix {suffix:?}: K, M, G and T (also KiB ..) count in 1024, KB .. in 1000")
}

/// The error for numbers that no machine can hold.
fn too_large() -> String {
    format!("too large: at most {} bytes can be addressed", isize::MAX)
}

/// Reads the capacity of a ring: a size that is a power of two, with a suggestion for those that are not.
pub(crate) fn parse_capacity(text: &str) -> Result<usize, String> {
    let bytes = parse(text)?;
    if bytes.is_power_of_two() {
        return Ok(bytes);
    }
    let hint = match bytes.checked_next_power_of_two() {
        Some(next) if next < Options::MIN_CAPACITY => ("least", Options::MIN_CAPACITY),
        Some(next) if next <= Options::MAX_CAPACITY => ("next", next),
        _ => ("greatest", Options::MAX_CAPACITY),
    };
    let (which, size) = (hint.0, short(hint.1 as u64));
    Err(format!("{bytes} bytes is not a power of two, as a capacity must be; the {which} one is {size}"))
}

/// A size in at most five characters where that is exact or nearly so: `512B`, `64K`, `1.5M`.
pub(crate) fn short(bytes: u64) -> String {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut power = bytes.ilog2() / 10;
    // In tenths of the unit, rounded to nearest; 128 bits, for exbibytes times ten.
    let tenths_at = |power: u32| (u128::from(bytes) * 10 + (1u128 << (10 * power)) / 2) >> (10 * power);
    let mut tenths = tenths_at(power);
    if tenths >= 10_240 && power < 6 {
        power += 1;
        tenths = tenths_at(power);
    }
    let unit = UNITS[power as usize - 1];
    if tenths % 10 == 0 || tenths >= 1000 {
        format!("{}{unit}", (tenths + 5 * u128::from(tenths % 10 != 0)) / 10)
    } else {
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_ipcmk_reads_them() {
        for (text, bytes) in [
            ("1", 1),
            ("4096", 4096),
            ("4096B", 4096),
            ("64K", 65_536),
            ("64k", 65_536),
            ("64KiB", 65_536),
            ("64KB", 64_000),
            ("1M", 1 << 20),
            ("2MiB", 2 << 20),
            ("3MB", 3_000_000),
            ("1G", 1 << 30),
            ("1T", 1 << 40),
            (" 8K ", 8192),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn bad_sizes_each_have_their_own_error() {
        for (text, part) in [
            ("", "a size is a number"),
            ("K", "a size is a number"),
            ("0", "at least 1"),
            ("0K", "at least 1"),
            ("-5", "negative"),
            ("5X", "unknown suffix \"X\""),
            ("5KX", "unknown suffix \"KX\""),
            ("1.5M", "unknown suffix \".5M\""),
            ("5É", "unknown suffix"),
            ("9223372036854775808", "too large"),
            ("18446744073709551616", "too large"),
            ("99999999999999999999999999", "too large"),
            ("99999999T", "too large"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_capacity_that_is_no_power_of_two_names_the_next() {
        assert_eq!(parse_capacity("64K"), Ok(65_536));
        let error = parse_capacity("64KB").expect_err("64000");
        assert_eq!(error, "64000 bytes is not a power of two, as a capacity must be; the next one is 64K");
        let hint =
            |text| parse_capacity(text).expect_err("odd").split_once("; ").map(|(_, hint)| hint.to_owned());
        for (text, expected) in [
            ("3", "the least one is 4K"),
            ("3000", "the next one is 4K"),
            ("4294967295", "the next one is 4G"),
            ("4294967297", "the greatest one is 4G"),
            ("9223372036854775807", "the greatest one is 4G"),
        ] {
            assert_eq!(hint(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn short_sizes_stay_short() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1K"),
            (1536, "1.5K"),
            (65_536, "64K"),
            (102_400, "100K"),
            (1_048_575, "1M"),
            (1 << 20, "1M"),
            (1_100_000, "1M"),
            (1_200_000, "1.1M"),
            (1 << 40, "1T"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(short(bytes), text, "{bytes}");
        }
    }
}
