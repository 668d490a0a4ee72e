//! Permission bits: typed in octal as for chmod(1) and ipcmk(1), shown as ls(1) shows them.

/// Reads `600`, `0600` or `0o600`.
pub(crate) fn parse(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        return Err("a mode is an octal number, such as 600".into());
    }
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("a mode has permission bits only: 0 to 777".into()),
    }
}

/// `rw-r-----`, as ls(1) without the type letter.
pub(crate) fn letters(mode: u32) -> String {
    (0..9).map(|i| if mode & (0o400 >> i) != 0 { ['r', 'w', 'x'][i % 3] } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        assert_eq!(parse("600"), Ok(0o600));
        assert_eq!(parse("0640"), Ok(0o640));
        assert_eq!(parse("0o644"), Ok(0o644));
        for (text, part) in [
            ("", "octal"),
            ("8", "octal"),
            ("-1", "octal"),
            ("rw", "octal"),
            ("+6", "octal"),
            ("1777", "777"),
            ("77777777777777777", "777"),
        ] {
            assert!(parse(text).expect_err(text).contains(part), "{text}");
        }
    }

    #[test]
    fn letters_are_those_of_ls() {
        assert_eq!(letters(0o600), "rw-------");
        assert_eq!(letters(0o751), "rwxr-x--x");
        assert_eq!(letters(0), "---------");
    }
}
