//! The pages in docs/learn say what is so: every command in a `console` block is run, and gives what the page shows. Numbers
//! may differ (each is compared as `#`), and so may what stands where the page has `[...]`.
//!
//! What a page shows was written by this test and not by hand:
//!
//! ```text
//! SLIPRING_LEARN_WRITE=1 cargo test -p slipring-cli --test learn
//! ```
//!
//! Words behind `console`: `varies`, the output is not compared; `needs-ss`, without the program `ss` the commands are skipped;
//! `slow`, minutes on a busy machine: run with `SLIPRING_LEARN_SLOW=1`, else only looked at whether it would be understood.

mod common;

use common::{Dir, Running};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Who wrote the pages.
const WRITER: &str = "root";
/// Longer than any command takes on a busy machine, in seconds.
const BOUND: u32 = 100;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn pages() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(docs().join("learn")).unwrap();
    let mut pages: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    pages
}

/// A part of a page: text, or a command with what it shows.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Text(&'a str),
    Command { line: &'a str, shows: Vec<&'a str>, words: Vec<&'a str> },
}

fn parts(page: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut words: Option<Vec<&str>> = None;
    for line in page.lines() {
        let ends = line == "```";
        match (&words, line.strip_prefix("```console")) {
            (None, Some(more)) => words = Some(more.split_whitespace().collect()),
            (Some(_), _) if ends => words = None,
            (Some(words), _) => {
                if let Some(command) = line.strip_prefix("$ ") {
                    parts.push(Part::Command { line: command, shows: Vec::new(), words: words.clone() });
                } else if let Some(Part::Command { shows, .. }) = parts.last_mut() {
                    shows.push(line);
                }
                continue;
            }
            _ => {}
        }
        parts.push(Part::Text(line));
    }
    assert!(words.is_none(), "a block that does not end");
    parts
}

/// What stands on the pages for the names of this run, so that two can run at once.
struct Names {
    key: String,
    learn: String,
}

impl Names {
    const KEY: &str = "0x00001ea2";
    const LEARN: &str = "/learn";

    fn new() -> Names {
        let pid = std::process::id();
        Names { key: format!("{:#010x}", 0x5400_0000 | pid), learn: format!("/learn-{pid}") }
    }

    fn of_this_run(&self, line: &str) -> String {
        // In a pattern, a name has no slash in front.
        let bare = |name: &str| format!(" {}-", &name[1..]);
        let line = line.replace(Names::KEY, &self.key).replace(Names::LEARN, &self.learn);
        line.replace(&bare(Names::LEARN), &bare(&self.learn))
    }

    fn of_the_page(&self, line: &str) -> String {
        line.replace(&self.key, Names::KEY).replace(&self.learn, Names::LEARN)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = common::slipring(["mq", "rm", &self.key]);
        for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(&format!("{}-", &self.learn[1..])) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Runs a line of shell in `dir`, with the command first in PATH: what it says, and its exit code.
fn run(line: &str, dir: &Dir, names: &Names) -> (i32, Vec<String>) {
    let line = &names.of_this_run(line);
    let bin = Path::new(env!("CARGO_BIN_EXE_slipring")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // In a shell of its own, whose redirection is that of the whole line, whatever it consists of.
    let done = Running::start(
        Command::new("timeout")
            .args(["--kill-after=5", &BOUND.to_string(), "bash", "-c", "eval \"$1\" 2>&1", "bash", line])
            .current_dir(&dir.0)
            .env("PATH", path)
            .env("HOME", &dir.0)
            .env("LC_ALL", "C")
            .env_remove("COLUMNS")
            .stdin(Stdio::null()),
    )
    .wait();
    let said = String::from_utf8_lossy(&done.stdout).lines().map(|line| names.of_the_page(line)).collect();
    (done.code(), said)
}

/// Who runs this.
fn user() -> &'static str {
    static USER: OnceLock<String> = OnceLock::new();
    USER.get_or_init(|| {
        let said = Command::new("id").arg("-un").output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    })
}

/// What two outputs have in common that are the same: each number is `#`, each run of blanks is one, whoever wrote the page
/// and whoever runs this are one.
fn masked(line: &str) -> String {
    let mut text = String::new();
    let words = line.split_whitespace().map(|word| {
        let word = if [WRITER, user()].contains(&word) { "USER" } else { word };
        let mut out = String::new();
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            let digits = match rest.strip_prefix("0x") {
                Some(hex) => 2 + hex.chars().take_while(char::is_ascii_hexdigit).count(),
                None => rest.chars().take_while(char::is_ascii_digit).count(),
            };
            let taken = if digits > 0 { digits } else { first.len_utf8() };
            out.push_str(if digits > 0 { "#" } else { &rest[..taken] });
            rest = &rest[taken..];
        }
        out
    });
    for (number, word) in words.enumerate() {
        text.push_str(if number > 0 { " " } else { "" });
        text.push_str(&word);
    }
    text
}

/// Where they differ. What the page leaves out is not looked at.
fn differs(shows: &[&str], said: &[String]) -> Option<String> {
    let mask = |lines: &mut dyn Iterator<Item = &str>| lines.map(masked).collect::<Vec<_>>();
    let said = mask(&mut said.iter().map(String::as_str));
    let (first, last) = match shows.iter().position(|line| *line == "[...]") {
        Some(at) => (mask(&mut shows[..at].iter().copied()), mask(&mut shows[at + 1..].iter().copied())),
        None if shows.len() != said.len() => {
            return Some(format!("the page has {} lines, the command {}: {said:?}", shows.len(), said.len()));
        }
        None => (mask(&mut shows.iter().copied()), Vec::new()),
    };
    if said.len() < first.len() + last.len() {
        return Some(format!("only {} lines came: {said:?}", said.len()));
    }
    let begin = first.iter().zip(&said);
    let end = last.iter().rev().zip(said.iter().rev());
    begin.chain(end).find(|(page, came)| page != came).map(|(page, came)| format!("{page:?} became {came:?}"))
}

/// The output as the page is to have it: what it leaves out stays left out.
fn rewritten(shows: &[&str], said: &[String]) -> Vec<String> {
    match shows.iter().position(|line| *line == "[...]") {
        Some(at) if said.len() >= shows.len() - 1 => {
            let (first, last) = (&said[..at], &said[said.len() - (shows.len() - 1 - at)..]);
            [first, &["[...]".to_owned()], last].concat()
        }
        _ => said.to_vec(),
    }
}

fn is_there(program: &str) -> bool {
    // Where nobody may trace, it is of no use.
    let line = if program == "strace" { "strace true" } else { &format!("command -v {program}") };
    let found = Command::new("bash").args(["-c", line]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Runs all commands of a page: what was wrong, and the page as it would be right.
fn check(path: &Path) -> (Vec<String>, String, usize) {
    let page = std::fs::read_to_string(path).unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap();
    let (dir, names) = (Dir::new(&format!("learn-{name}")), Names::new());
    let (mut wrong, mut text, mut ran) = (Vec::new(), String::new(), 0);
    for part in parts(&page) {
        let (line, shows, words) = match part {
            Part::Text(line) => {
                text += &format!("{line}\n");
                continue;
            }
            Part::Command { line, shows, words } => (line, shows, words),
        };
        let missing =
            words.iter().filter_map(|word| word.strip_prefix("needs-")).find(|name| !is_there(name));
        let mut lines: Vec<String> = shows.iter().map(|line| (*line).to_owned()).collect();
        if words.contains(&"slow") && std::env::var_os("SLIPRING_LEARN_SLOW").is_none() {
            let typed = line.split_whitespace().map(std::ffi::OsString::from);
            if let Err(complaint) = slipring_cli::understand(typed) {
                wrong.push(format!("{name}: {line}: {complaint}"));
            }
            println!("{name}: only understood; SLIPRING_LEARN_SLOW=1 runs it: {line}");
        } else if let Some(missing) = missing {
            println!("{name}: skipped, {missing} is not installed: {line}");
        } else {
            let (code, said) = run(line, &dir, &names);
            println!("{name}: {line}\n  {}", said.join("\n  "));
            if code != 0 {
                wrong.push(format!("{name}: {line}: exit code {code}: {said:?}"));
            } else if !words.contains(&"varies")
                && let Some(difference) = differs(&shows, &said)
            {
                wrong.push(format!("{name}: {line}: {difference}"));
            }
            // What is still so stays, and what varies was maybe measured with more care.
            let stays = words.contains(&"varies") || differs(&shows, &said).is_none();
            if !stays || shows.is_empty() {
                lines = rewritten(&shows, &said);
            }
            ran += 1;
        }
        text += &format!("$ {line}\n");
        lines.iter().for_each(|line| text += &format!("{line}\n"));
    }
    (wrong, text, ran)
}

#[test]
fn every_command_of_the_pages_gives_what_they_show() {
    let write = std::env::var_os("SLIPRING_LEARN_WRITE").is_some();
    let (mut wrong, mut ran) = (Vec::new(), 0);
    for path in pages() {
        let (faults, text, commands) = check(&path);
        if write {
            std::fs::write(&path, text).unwrap();
        }
        wrong.extend(faults);
        ran += commands;
    }
    assert!(ran > 20, "there are commands");
    assert!(write || wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The rows of a table that begin with an id, as `| W7 |`.
fn rows<'a>(page: &'a str, letter: &str) -> Vec<(u32, Vec<&'a str>)> {
    let cells = |line: &'a str| line.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>();
    let rows = page.lines().filter(|line| line.starts_with("| ")).map(cells);
    rows.filter_map(|cells| Some((cells[0].strip_prefix(letter)?.parse().ok()?, cells))).collect()
}

#[test]
fn every_claim_has_its_truth_and_a_command_that_is_on_a_page_or_a_reason() {
    let pages: Vec<(String, String)> = pages()
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    let index = &pages.iter().find(|(name, _)| name == "README.md").expect("an index").1;
    let claims = rows(index, "W");
    assert_eq!(claims.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (1..=34).collect::<Vec<_>>());
    for (number, cells) in claims {
        let [_, claim, truth, shown] = cells[..] else { panic!("W{number} has {} cells", cells.len()) };
        assert!(!claim.is_empty() && !truth.is_empty(), "W{number}");
        // A command that some page runs, or in words why there is none.
        match shown.strip_prefix('`').and_then(|rest| rest.split('`').next()) {
            Some(command) => {
                let is_run = |text: &str| {
                    text.lines().any(|line| line.strip_prefix("$ ").is_some_and(|run| run.contains(command)))
                };
                assert!(pages.iter().any(|(_, text)| is_run(text)), "W{number}: no page runs {command}");
            }
            None => assert!(shown.starts_with("nothing to run"), "W{number}: {shown}"),
        }
    }
    for (name, _) in &pages {
        assert!(name == "README.md" || index.contains(&format!("({name})")), "{name} is not in the index");
    }
}

#[test]
fn every_demo_is_on_a_page() {
    let listed = common::slipring(["demo"]);
    listed.is_fine();
    let text: String = pages().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let names: Vec<String> =
        listed.out().lines().skip(1).map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert!(names.len() >= 12);
    for name in names {
        assert!(text.contains(&format!("slipring demo {name}\n")), "no page has `slipring demo {name}`");
    }
    common::slipring(["demo", "nobody-wrote-this"]).complains(2, "no such demo");
}

#[test]
fn what_a_page_shows_is_told_from_what_it_does_not() {
    let said = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (shows, says) in [
        (&["a  1", "b"][..], "a 22\nb"),
        (&["key 0xff leads"], "key 0x01ab leads"),
        (&["a", "[...]", "z"], "a\nb\nc\nz"),
        (&["a", "[...]"], "a"),
        (&["[...]"], "whatever"),
    ] {
        assert_eq!(differs(shows, &said(says)), None, "{shows:?} {says:?}");
    }
    for (shows, says) in [
        (&["a 1"][..], "b 1"),
        (&["a"], "a\nb"),
        (&["a", "b"], "a"),
        (&["a", "[...]", "z"], "a\nb"),
        (&["a", "[...]", "z"], "z"),
        (&["EAGAIN"], "EPIPE"),
    ] {
        assert!(differs(shows, &said(says)).is_some(), "{shows:?} {says:?}");
    }
    let page = "text\n```console varies\n$ one\nout\n$ two\n```\nmore\n";
    let words = || vec!["varies"];
    assert_eq!(
        parts(page),
        [
            Part::Text("text"),
            Part::Text("```console varies"),
            Part::Command { line: "one", shows: vec!["out"], words: words() },
            Part::Command { line: "two", shows: vec![], words: words() },
            Part::Text("```"),
            Part::Text("more"),
        ]
    );
    let left_out = rewritten(&["a", "[...]", "z"], &said("1\n2\n3\n4"));
    assert_eq!(left_out, ["1", "[...]", "4"]);
}
