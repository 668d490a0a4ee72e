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

/// The preemptions that a model with a bound has at least, or it says beside it why it has not.
const PREEMPTIONS: u32 = 3;

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

fn calls(code: &str, function: &str) -> bool {
    code.strip_prefix(function).is_some_and(|rest| rest.starts_with('('))
}

fn checks(source: &Source) -> Vec<Check> {
    let mut found = Vec::new();
    let functions = functions(source);
    let says = |(_, is_test, from, to): &&(_, bool, usize, usize)| {
        !is_test && source.code[*from..*to].contains(".outcome(")
    };
    let sayers: Vec<_> = functions.iter().filter(says).map(|(name, ..)| *name).collect();
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
            // Itself, or the function that makes the model.
            let says_what_came = model.contains(".outcome(") || sayers.iter().any(|name| calls(model, name));
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

/// The attributes of the function on this line, from the nearest up: whatever stands between them and it but code.
fn attributes<'a>(lines: &'a [&str], line: usize) -> impl Iterator<Item = &'a str> {
    let above = lines[..line].iter().rev().map(|above| above.trim());
    above
        .take_while(|above| above.starts_with("#[") || above.starts_with("//"))
        .filter(|above| above.starts_with('#'))
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
            (name, attributes(&lines, line).any(|attribute| attribute == "#[test]"), at, end)
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

/// Whether the line above says why the bound is as low as it is.
fn says_why(source: &Source, at: usize) -> bool {
    let above = source.line(at).checked_sub(1).and_then(|line| source.text.lines().nth(line));
    let reason = above.and_then(|above| above.trim().strip_prefix("// Bound ")?.split_once(": "));
    reason.is_some_and(|(_, why)| !why.is_empty())
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
        let bound = check.bound.as_deref().map(|bound| bound.parse::<u32>());
        if bound.is_some_and(|bound| bound.map_or(true, |bound| bound < PREEMPTIONS))
            && !says_why(source, check.at)
        {
            fault("a low bound, without a line `// Bound N: why` above it");
        }
        match &check.reasons[..] {
            [] => fault("lists no outcome"),
            [only] if only.len() <= "always".len() => fault("does not say why nothing else can come of it"),
            reasons if reasons.iter().any(String::is_empty) => fault("an outcome that nothing explains"),
            _ => {}
        }
    }
    let tests = tests(source, &checks);
    let without = tests.iter().filter(|(_, checks)| checks.is_empty());
    faults.extend(without.map(|(name, _)| format!("{}: {name} checks no model", source.path)));
    // Whatever else stands at a test, or around it, could keep it from being run, or from being seen here.
    let attributes =
        source.code.match_indices("#[").map(|(at, _)| (at, source.code[at..].lines().next().unwrap()));
    let other = attributes
        .clone()
        .filter(|(_, attribute)| attribute.trim() != "#[test]" && !attribute.starts_with("#[derive("));
    faults.extend(other.map(|(at, attribute)| source.fault(at, format_args!("a model has no {attribute}"))));
    let marked = attributes.filter(|(_, attribute)| attribute.trim() == "#[test]").count();
    if marked != tests.len() {
        faults.push(format!("{}: {marked} tests, {} of them at the margin", source.path, tests.len()));
    }
    faults
}

fn files() -> Vec<Source> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("loom-tests/tests");
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("[cfg"), "{}: what stands behind it would not be seen", path.display());
        Source::new(&format!("../loom-tests/tests/{}", path.file_name().unwrap().display()), &text)
    };
    paths.map(read).collect()
}

#[test]
fn the_readme_has_each_file_of_models() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("loom-tests/README.md")).unwrap();
    let lacks = |source: &Source| {
        let file = source.path.rsplit('/').next().unwrap();
        (!page.contains(&format!("\n| `tests/{file}` | "))).then(|| file.to_owned())
    };
    assert_eq!(files().iter().filter_map(lacks).collect::<Vec<_>>(), [""; 0]);
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
    let made = format!(
        "fn b() {{\n    |run| run.outcome(1)\n}}\n{}",
        sound.replace("|run| run.outcome(b())", "b()")
    );
    assert_eq!(found(&made), 0, "said by the model that a function makes");
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
    let bounded = |bound: &str| sound.replace("check(", &format!("check_bounded({bound}, "));
    assert_eq!(found(&bounded("3")), 0);
    assert_eq!(found(&bounded("2")), 1, "a low bound");
    assert_eq!(found(&bounded("few")), 1, "nobody knows which");
    assert_eq!(
        found(&bounded("2").replace("    check", "    // Bound 2: too many.\n    check")),
        0,
        "it says why"
    );
    let none = "#[test]\nfn a() {\n    check_bounded(3, |run| run.outcome(b()));\n}\n";
    assert_eq!(found(none), 1, "no table");
    assert_eq!(found("#[test]\nfn a() {\n    b();\n}\nfn b() {}\n"), 1, "no model");
    let apart = none.replace("fn a", "#[ignore = \"slow\"]\nfn a");
    assert_eq!(found(&apart), 2, "no table, and it is left out");
    assert_eq!(found(&sound.replace("fn a", "#[ignore]\nfn a")), 1, "left out");
    assert_eq!(found(&sound.replace("#[test]", "#[ignore]\n#[test]")), 1, "the same");
    assert_eq!(found(&sound.replace("fn a", "/// As said.\nfn a")), 0, "a comment between");
    let inner = format!("mod more {{\n{}}}\n", sound.replace("fn a", "    fn a").replace("#[", "    #["));
    assert_eq!(found(&inner), 1, "not at the margin");
    assert_eq!(
        found(&format!("#[test]\nfn c() {{\n    d();\n}}\nfn d() {{\n    a();\n}}\n{sound}")),
        0,
        "by others"
    );
}
