//! docs/semantics.md has every row of the list that the adapters are built after; each says what shows it, or why nothing does;
//! and what it names is there: tests, scripts, files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rows: each family's letter, and how many there are.
const ROWS: [(&str, usize); 8] =
    [("P", 13), ("F", 6), ("Q", 16), ("M", 6), ("E", 12), ("K", 11), ("H", 12), ("G", 7)];
/// Those that want a test, and no other reason will do.
const TESTED: [&str; 33] = [
    "P2", "P3", "P4", "P5", "P6", "F2", "F3", "Q1", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8", "Q9", "Q13", "M1",
    "M2", "M3", "M4", "E1", "E3", "E5", "E6", "E7", "H4", "H5", "H10", "K1", "K2", "K3", "G1", "G5",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Every id with the last cells of its rows: one row may have several ids, and an id several rows.
fn rows(page: &str) -> BTreeMap<String, Vec<String>> {
    let mut rows: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        let is_id = |word: &&str| {
            word.starts_with(|c: char| c.is_ascii_uppercase()) && word[1..].parse::<usize>().is_ok()
        };
        for id in cells[0].split(", ").filter(is_id) {
            assert_eq!(cells.len(), 4, "{line}");
            rows.entry(id.to_owned()).or_default().push(cells[3].to_owned());
        }
    }
    rows
}

/// What a cell names that shows its row: tests as file::name, `conform` with a row, files.
#[derive(Debug, PartialEq)]
enum Shows<'a> {
    Test(&'a str, &'a str),
    Script(&'a str),
    File(&'a str),
}

fn shows(cell: &str) -> Vec<Shows<'_>> {
    let of = |c: char| c.is_alphanumeric() || "_:./-".contains(c);
    let words: Vec<_> = cell.split(|c| !of(c)).map(|word| word.trim_end_matches([':', '.'])).collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if let Some((file, name)) = word.split_once("::") {
            found.push(Shows::Test(file, name));
        } else if *word == "conform" {
            found.extend(words.get(at + 1).map(|row| Shows::Script(row)));
        } else if word.ends_with(".rs") {
            found.push(Shows::File(word));
        }
    }
    found
}

fn exists(what: &Shows<'_>, scripts: &str) -> bool {
    match what {
        Shows::Test(file, name) => ["tests", "conform/tests"].iter().any(|dir| {
            text(root().join(dir).join(file).with_extension("rs")).contains(&format!("#[test]\nfn {name}()"))
        }),
        Shows::Script(row) => scripts.contains(&format!("\"{row}\"")),
        Shows::File(path) => root().join(path).is_file(),
    }
}

/// What is wrong with a page.
fn faults(page: &str, scripts: &str, wanted: &[(&str, usize)], tested: &[&str]) -> Vec<String> {
    let rows = rows(page);
    let mut faults = Vec::new();
    let ids =
        wanted.iter().flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}{number}")));
    for id in ids {
        let Some(cells) = rows.get(&id) else {
            faults.push(format!("{id} is missing"));
            continue;
        };
        let shown: Vec<_> = cells.iter().flat_map(|cell| shows(cell)).collect();
        let gone = shown.iter().filter(|what| !exists(what, scripts));
        faults.extend(gone.map(|what| format!("{id}: there is no {what:?}")));
        let reason = cells.iter().any(|cell| cell.starts_with("no test: ") || cell == "all tests");
        if shown.is_empty() && (!reason || tested.contains(&&*id)) {
            faults.push(format!("{id}: nothing shows it"));
        }
    }
    faults
}

#[test]
fn every_row_says_what_shows_it_and_that_exists() {
    let page = text(root().join("docs/semantics.md"));
    let sources = std::fs::read_dir(root().join("conform/src")).unwrap();
    let scripts: String = sources.map(|entry| text(entry.unwrap().path())).collect();
    let faults = faults(&page, &scripts, &ROWS, &TESTED);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    let all = rows(&page);
    assert!(TESTED.iter().all(|id| all.contains_key(*id)));
    // Other rows than those that carry an id name tests, too.
    for cell in page.lines().filter(|line| line.starts_with("| all |")) {
        for what in shows(cell.rsplit(" | ").next().unwrap()) {
            assert!(exists(&what, &scripts), "there is no {what:?}");
        }
    }
}

#[test]
fn a_row_that_is_missing_or_shown_by_nothing_is_found() {
    let found = |page: &str| faults(page, "\"X2\"", &[("X", 3)], &["X1", "X2"]).len();
    let me = "semantics::a_row_that_is_missing_or_shown_by_nothing_is_found";
    let sound = format!(
        "| X1 | a | b | {me} |\n| X2 | a | b | conform X2 and random |\n| X3 | a | b | no test: why |\n"
    );
    assert_eq!(found(&sound), 0);
    assert_eq!(
        found(&sound.replace("X2 | a", "X2, X3 | a").replace("| X3 | a | b | no test: why |\n", "")),
        0
    );
    for (from, to) in [
        (me, "semantics::nobody_wrote_this"),
        (me, "no test: why"),
        (me, "none yet"),
        ("conform X2", "conform X3"),
        ("no test: why", "none yet"),
        ("no test: why", "`cli/tests/nowhere.rs`"),
        ("| X3 |", "| X4 |"),
    ] {
        assert!(sound.contains(from));
        assert_eq!(found(&sound.replace(from, to)), 1, "{from} as {to}");
    }
    let cell = "conform P2; adapters_pipe::a_write, `cli/tests/mq.rs`";
    let three =
        [Shows::Script("P2"), Shows::Test("adapters_pipe", "a_write"), Shows::File("cli/tests/mq.rs")];
    assert_eq!(shows(cell), three);
}
