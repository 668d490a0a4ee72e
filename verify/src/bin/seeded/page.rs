//! The table of seeded bugs in docs/verification.md, between two marks.

use crate::bugs::Bug;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const BEGIN: &str = "<!-- written by `seeded`: begin -->\n";
const END: &str = "<!-- written by `seeded`: end -->\n";
const HEAD: &str = "| wrong variant | in | gate | text | seen |\n|---|---|---|---|---|\n";
/// Begins the line below the table.
const LAST: &str = "The last row was written ";

/// The page, with what was seen of each bug.
pub(crate) struct Page {
    path: PathBuf,
    seen: BTreeMap<String, String>,
    /// When the last row was written, and of which commit.
    last: String,
}

/// With a digest of its text: what was seen of another bug under the same name says nothing of this one.
fn row(bug: &Bug) -> String {
    format!("| {} | `{}` | `{}` | {} |", bug.name, bug.file, bug.gate, bug.digest())
}

/// What a command prints, in one line.
fn line(root: &Path, command: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(command).args(arguments).current_dir(root).output();
    let output = output.map_err(|e| format!("{command} cannot be run: {e}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().into()),
        false => Err(format!("{command} {arguments:?} fails")),
    }
}

/// Today, and which commit this is: to be asked before the page is written, which changes the tree.
pub(crate) fn when(root: &Path) -> Result<String, String> {
    let commit = line(root, "git", &["describe", "--always", "--exclude", "*", "--dirty=, changed"])?;
    Ok(format!("on {}, of commit {commit}.", line(root, "date", &["-u", "+%-d %B %Y"])?))
}

/// What stands before the table, the table, and what stands behind it.
fn parts(path: &Path) -> Result<[String; 3], String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?)));
    match parts {
        Some((before, (table, after))) => Ok([before, table, after].map(str::to_owned)),
        None => Err(format!("{}: lacks the marks around its table", path.display())),
    }
}

impl Page {
    pub(crate) fn read(root: &Path) -> Result<Page, String> {
        let path = root.join("docs/verification.md");
        let [_, table, _] = parts(&path)?;
        let read = |line: &str| {
            let (row, seen) = line.strip_suffix(" |")?.rsplit_once(" | ")?;
            Some((format!("{row} |"), seen.to_owned()))
        };
        let seen = table.lines().skip(HEAD.lines().count()).filter_map(read).collect();
        let last = table.lines().find_map(|line| line.strip_prefix(LAST)).unwrap_or_default().into();
        Ok(Page { path, seen, last })
    }

    pub(crate) fn set(&mut self, bug: &Bug, text: &str, when: &str) {
        self.seen.insert(row(bug), text.into());
        self.last = when.into();
    }

    /// Whether it was seen to be caught, as it is now.
    pub(crate) fn is_caught(&self, bug: &Bug) -> bool {
        self.of(bug).is_some_and(|seen| !seen.contains("**"))
    }

    /// What was seen of it, as it is now.
    fn of(&self, bug: &Bug) -> Option<&str> {
        self.seen.get(&row(bug)).map(String::as_str)
    }

    /// A row for each bug that was ever tried as it is now, in the order of the list.
    pub(crate) fn write(&self, bugs: &[Bug]) -> Result<(), String> {
        let mut table = HEAD.to_owned();
        for row in bugs.iter().map(row) {
            if let Some(seen) = self.seen.get(&row) {
                let _ = writeln!(table, "{row} {seen} |");
            }
        }
        let _ = write!(table, "\n{LAST}{}\n", self.last);
        // Somebody may have written about it meanwhile.
        let [before, _, after] = parts(&self.path)?;
        let text = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(&self.path, text).map_err(|e| format!("{}: {e}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_was_seen_to_be_caught() {
        let page = Page::read(crate::root()).unwrap();
        let bugs = crate::bugs::read(crate::root()).unwrap();
        for bug in &bugs {
            let seen = page.of(bug).unwrap_or_else(|| panic!("{}: run `seeded`, commit the table", bug.name));
            assert!(!seen.contains("**"), "{}: {seen}", bug.name);
        }
        assert_eq!(page.seen.len(), bugs.len(), "a row whose bug is gone");
    }
}
