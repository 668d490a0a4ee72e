//! The rules for the models of `loom-tests`, read from their source: each says what it reaches and why, so that one that
//! explores nothing is found. `Outcomes` there demands the same of each run; this sees a model that is never run.

#[allow(dead_code, reason = "the house's rules use the rest")]
#[path = "../loom-tests/src/notes.rs"]
mod notes;

use notes::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Models that must be explored without a bound.
const UNBOUNDED: usize = 100;

/// A call of `check` or `check_bounded`, with its table of outcomes.
struct Check {
    at: usize,
    /// As it is written: a number, or what has it.
    bound: Option<String>,
    /// The reasons, one an outcome.
    reasons: Vec<String>,
    says_what_came: bool,
}

/// Behind the parenthesis that closes the one at `open`.
fn behind(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth == 0 {
            return open + at + 1;
        }
    }
    code.len()
}

/// The last string literal of some text, without its quotes.
fn last_literal(text: &str) -> Option<&str> {
    let end = text.rfind('"')?;
    let start = text[..end].rfind('"')?;
    Some(&text[start + 1..end])
}

fn checks(source: &Source) -> Vec<Check> {
    let mut found = Vec::new();
    for name in ["check", "check_bounded"] {
        for at in source.words(name) {
            let open = at + name.len();
            if !source.code[open..].starts_with('(') {
                continue;
            }
            let mut end = behind(&source.code, open);
            let model = &source.code[open + 1..end];
            let bound =
                (name != "check").then(|| model.split(',').next().unwrap_or_default().trim().to_owned());
            let says_what_came = model.contains(".outcome(");
            let mut reasons = Vec::new();
            loop {
                let rest = source.code[end..].trim_start();
                if !rest.starts_with(".reaches(") {
                    break;
                }
                let open = source.code.len() - rest.len() + ".reaches".len();
                end = behind(&source.code, open);
                reasons.extend(last_literal(&source.text[open..end]).map(str::to_owned));
            }
            found.push(Check { at, bound, reasons, says_what_came });
        }
    }
    found
}

/// The functions of a file: name, whether it is a test, and where its code begins and ends.
fn functions(source: &Source) -> Vec<(&str, bool, usize, usize)> {
    let starts: Vec<_> = source.words("fn").into_iter().map(|at| (at, source.line(at))).collect();
    // Those at the margin: what stands inside belongs to them.
    let lines: Vec<&str> = source.text.lines().collect();
    let outer: Vec<_> = starts.into_iter().filter(|(_, line)| lines[*line].starts_with("fn ")).collect();
    outer
        .iter()
        .enumerate()
        .map(|(index, &(at, line))| {
            let rest = &source.code[at + 3..];
            let name = &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())];
            let end = outer.get(index + 1).map_or(source.code.len(), |(next, _)| *next);
            (name, line > 0 && lines[line - 1] == "#[test]", at, end)
        })
        .collect()
}

/// The tests of a file, each with its checks: its own and those of the functions that it calls.
fn tests<'a>(source: &'a Source, checks: &'a [Check]) -> BTreeMap<&'a str, Vec<&'a Check>> {
    let functions = functions(source);
    let places: BTreeMap<_, _> = functions.iter().map(|(name, ..)| (*name, source.words(name))).collect();
    let mut tests = BTreeMap::new();
    for (name, ..) in functions.iter().filter(|(_, is_test, ..)| *is_test) {
        let (mut reached, mut next) = (BTreeSet::new(), vec![*name]);
        while let Some(name) = next.pop() {
            if reached.insert(name)
                && let Some(&(_, _, start, end)) = functions.iter().find(|(other, ..)| *other == name)
            {
                let inside = |at: &usize| *at > start + 3 + name.len() && *at < end;
                next.extend(places.iter().filter(|(_, at)| at.iter().any(inside)).map(|(name, _)| *name));
            }
        }
        let within = |check: &&Check| {
            let mut of = functions.iter().filter(|(_, _, start, end)| *start < check.at && check.at < *end);
            of.any(|(name, ..)| reached.contains(name))
        };
        tests.insert(*name, checks.iter().filter(within).collect());
    }
    tests
}

/// What is wrong with the models of a file.
fn faults(source: &Source) -> Vec<String> {
    let checks = checks(source);
    let mut faults = Vec::new();
    for check in &checks {
        let mut fault = |what: &str| faults.push(source.fault(check.at, what));
        if !check.says_what_came {
            fault("no outcome is ever said");
        }
        match &check.reasons[..] {
            [] => fault("lists no outcome"),
            [only] if only.len() <= "always".len() => fault("does not say why nothing else can come of it"),
            reasons if reasons.iter().any(String::is_empty) => fault("an outcome that nothing explains"),
            _ => {}
        }
    }
    let without = tests(source, &checks).into_iter().filter(|(_, checks)| checks.is_empty());
    faults.extend(without.map(|(name, _)| format!("{}: {name} checks no model", source.path)));
    faults
}

fn files() -> Vec<Source> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("loom-tests/tests");
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        Source::new(&format!("../loom-tests/tests/{}", path.file_name().unwrap().display()), &text)
    };
    paths.map(read).collect()
}

#[test]
fn every_model_lists_what_it_reaches_and_why() {
    let faults: Vec<_> = files().iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn enough_models_are_explored_without_a_bound() {
    let (mut all, mut unbounded, mut bounds) = (0, 0, BTreeMap::<String, usize>::new());
    for source in files() {
        let checks = checks(&source);
        for checks in tests(&source, &checks).into_values() {
            all += 1;
            match checks.iter().filter_map(|check| check.bound.clone()).min() {
                None => unbounded += 1,
                Some(bound) => *bounds.entry(bound).or_default() += 1,
            }
        }
    }
    println!("{all} models, {unbounded} of them without a bound; by bound: {bounds:?}");
    assert!(unbounded >= UNBOUNDED, "{unbounded}");
}

#[test]
fn a_model_that_shows_nothing_is_found() {
    let found = |text: &str| faults(&Source::new("new.rs", text)).len();
    let sound = "#[test]\nfn a() {\n    check(|run| run.outcome(b()))\n    .reaches(\"(1)\", \"first of the two\")\n    \
                 .reaches(\"2\", \"then\");\n}\n";
    assert_eq!(found(sound), 0);
    assert_eq!(found(&sound.replace("run.outcome(b())", "b()")), 1, "no outcome");
    assert_eq!(
        found(&sound.replace("    .reaches(\"2\", \"then\")", "")),
        0,
        "one is enough, with its reason"
    );
    assert_eq!(
        found(&sound.replace("    .reaches(\"2\", \"then\")", "").replace("first of the two", "always")),
        1
    );
    assert_eq!(found(&sound.replace("\"then\"", "\"\"")), 1, "no reason");
    let none = "#[test]\nfn a() {\n    check_bounded(2, |run| run.outcome(b()));\n}\n";
    assert_eq!(found(none), 1, "no table");
    assert_eq!(found("#[test]\nfn a() {\n    b();\n}\nfn b() {}\n"), 1, "no model");
    assert_eq!(
        found(&format!("#[test]\nfn c() {{\n    d();\n}}\nfn d() {{\n    a();\n}}\n{sound}")),
        0,
        "by others"
    );
}
