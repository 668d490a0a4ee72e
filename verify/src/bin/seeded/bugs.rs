//! The rows of verify/bugs.toml.

use serde::Deserialize;
use std::path::Path;

/// One wrong variant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bug {
    /// What is wrong, in a few words.
    pub(crate) name: String,
    /// Where, below the repository.
    pub(crate) file: String,
    /// Text that stands there once.
    find: String,
    /// What takes its place.
    replace: String,
    /// What must go red, see [`Gate`].
    pub(crate) gate: String,
}

#[derive(Deserialize)]
struct Rows {
    bug: Vec<Bug>,
}

/// What is to go red.
pub(crate) enum Gate<'a> {
    /// `package file::test`: one test.
    Test { package: &'a str, file: &'a str, test: &'a str },
    /// `build package: text`: the compiler refuses it, and says this.
    Build { package: &'a str, says: &'a str },
    /// `weaken text`: an ordering survives.
    Weaken(&'a str),
}

impl Bug {
    /// A few digits that are others if the bug is another, though it has the same name (FNV-1a).
    pub(crate) fn digest(&self) -> String {
        let bytes = [&self.find, "\0", &self.replace, "\0", &self.gate].map(str::bytes).into_iter().flatten();
        let sum = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{:08x}", sum >> 32)
    }

    /// The file with the bug.
    pub(crate) fn seeded(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            n => Err(format!("{}: its text stands {n} times in {}, not once", self.name, self.file)),
        }
    }
}

impl<'a> Gate<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Gate<'a>, String> {
        let parts = text.split_once(' ').map(|(kind, rest)| (kind, rest, rest.split_once("::")));
        match parts {
            Some(("build", rest, _)) => match rest.split_once(": ") {
                Some((package, says)) => Ok(Gate::Build { package, says }),
                None => Err(format!("{text}: what does the compiler say? `build package: text`")),
            },
            Some(("weaken", text, _)) => Ok(Gate::Weaken(text)),
            Some((package, _, Some((file, test)))) => Ok(Gate::Test { package, file, test }),
            _ => Err(format!("{text}: not `package file::test`, `build package: text` or `weaken text`")),
        }
    }
}

/// All rows.
pub(crate) fn read(root: &Path) -> Result<Vec<Bug>, String> {
    let path = root.join("verify/bugs.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let rows: Rows = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(rows.bug)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn root() -> &'static Path {
        crate::root()
    }

    #[test]
    fn each_bug_can_be_seeded_and_its_gate_is_there() {
        let bugs = read(root()).unwrap();
        let mut names = BTreeSet::new();
        for bug in &bugs {
            assert!(names.insert(&bug.name), "{}: twice", bug.name);
            let text = std::fs::read_to_string(root().join(&bug.file)).unwrap();
            let seeded = bug.seeded(&text).unwrap();
            assert_ne!(seeded, text, "{}: changes nothing", bug.name);
            if let Gate::Test { package, file, test } = Gate::parse(&bug.gate).unwrap() {
                let dir = match package {
                    "slipring" => root().join("tests"),
                    "slipring-loom" => root().join("loom-tests/tests"),
                    "slipring-verify" => root().join("verify/tests"),
                    "slipring-faults" => root().join("faults/tests"),
                    "slipring-conform" => root().join("conform/tests"),
                    other => panic!("{}: where are the tests of {other}?", bug.name),
                };
                let text = std::fs::read_to_string(dir.join(file).with_extension("rs")).unwrap();
                assert!(text.contains(&format!("fn {test}()")), "{}: no test {}", bug.name, bug.gate);
            }
        }
    }

    #[test]
    fn text_that_stands_twice_or_not_at_all_is_refused() {
        let bug = |find: &str| Bug {
            name: "a bug".into(),
            file: "src/lib.rs".into(),
            find: find.into(),
            replace: "c".into(),
            gate: "build slipring: it moved".into(),
        };
        assert_eq!(bug("a").seeded("ab"), Ok("cb".into()));
        assert!(bug("a").seeded("aa").is_err());
        assert!(bug("a").seeded("b").is_err());
    }

    #[test]
    fn another_text_is_another_bug() {
        let bug = |find: &str, replace: &str| Bug {
            name: "a bug".into(),
            file: "src/lib.rs".into(),
            find: find.into(),
            replace: replace.into(),
            gate: "weaken a".into(),
        };
        assert_eq!(bug("a", "b").digest(), bug("a", "b").digest());
        assert_ne!(bug("a", "b").digest(), bug("a", "c").digest());
        assert_ne!(bug("ab", "c").digest(), bug("a", "bc").digest());
    }

    #[test]
    fn gates_are_read() {
        assert!(matches!(
            Gate::parse("slipring spsc::a_test"),
            Ok(Gate::Test { package: "slipring", file: "spsc", test: "a_test" })
        ));
        assert!(matches!(
            Gate::parse("build slipring: it moved"),
            Ok(Gate::Build { package: "slipring", says: "it moved" })
        ));
        assert!(Gate::parse("build slipring").is_err());
        assert!(matches!(Gate::parse("weaken Party::since"), Ok(Gate::Weaken("Party::since"))));
        assert!(Gate::parse("slipring").is_err());
    }
}
