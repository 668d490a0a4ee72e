//! The rules of the house, read from the source: who imports whom, where unsafe code, atomics and the model's cfg may
//! stand, that every atomic operation says what it is for and to whom, that the algorithms stay short.
//!
//! Each rule is a function from source text to faults, and each is shown to find its faults, on text made for it.

#[path = "../loom-tests/src/notes.rs"]
mod notes;

use notes::{ORDERINGS, Site, Source, arguments, is_annotated, notes_above, operations, sites};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

// --- who imports whom ---

/// The plan of the house: what each module may name of the others, and through them.
const MAY_IMPORT: [(&str, &[&str]); 16] = [
    // The model half: compiled as is under the model checker, names no type of an operating system.
    ("sync", &[]),
    ("error", &[]),
    ("layout", &["sync"]),
    ("view", &["layout"]),
    ("ring", &["view", "error"]),
    ("watch", &["layout"]),
    ("event", &["watch", "error"]),
    ("channel", &["ring", "event", "error"]),
    // The host half.
    ("segment", &["layout", "error"]),
    ("liveness", &["segment", "error"]),
    ("open", &["liveness", "view", "channel", "error"]),
    ("inspect", &["open"]),
    ("signal", &[]),
    ("notify", &["channel", "signal", "error"]),
    ("adapters", &["channel", "open", "notify", "error"]),
    ("lib", &["open", "inspect", "adapters"]),
];
const MODEL_HALF: [&str; 7] = ["layout", "view", "ring", "watch", "event", "channel", "error"];

fn may_import(from: &str, to: &str) -> bool {
    let direct = MAY_IMPORT.iter().find(|(module, _)| *module == from).map_or(&[][..], |(_, to)| to);
    from == to || direct.iter().any(|next| may_import(next, to))
}

fn imports(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let from = source.module();
    if !MAY_IMPORT.iter().any(|(module, _)| *module == from) {
        faults.push(source.fault(0, format_args!("module {from} is not in the plan of the house")));
    }
    for (at, _) in source.code.match_indices("crate::") {
        let rest = &source.code[at + "crate::".len()..];
        let named = match rest.strip_prefix('{') {
            Some(list) => list[..list.find('}').unwrap_or(list.len())].split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for to in named {
            let to = &to[..to.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(to.len())];
            if from != "lib" && !to.is_empty() && !may_import(from, to) {
                faults.push(source.fault(at, format_args!("{from} may not import {to}")));
            }
        }
    }
    if MODEL_HALF.contains(&from) {
        for host in ["libc", "nix", "rustix", "memmap2", "std::os", "std::fs", "std::process", "std::thread"]
        {
            for (at, _) in source.code.match_indices(&format!("{host}::")) {
                faults.push(
                    source.fault(at, format_args!("{from} is compiled under the model and names {host}")),
                );
            }
        }
    }
    faults
}

// --- where what may stand ---

/// Of the facade both halves: the model stands in for the same memory.
const MAY_BE_UNSAFE: [&str; 6] =
    ["sync/real.rs", "sync/model.rs", "sync/steps.rs", "view.rs", "segment.rs", "signal.rs"];

fn may_be_unsafe(path: &str) -> bool {
    let algorithm = path.starts_with("ring/") || path.starts_with("channel/loan/");
    MAY_BE_UNSAFE.contains(&path) || algorithm && !path.ends_with("mod.rs")
}

fn places(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let path = source.path.as_str();
    if !source.text.starts_with("//!") {
        faults.push(source.fault(0, "a file opens with what it is responsible for"));
    }
    for at in source.words("slipring_model") {
        if path != "sync/mod.rs" {
            faults.push(source.fault(at, "the model's cfg stands in sync/mod.rs alone"));
        }
    }
    for at in source.words("slipring_steps") {
        if path != "sync/mod.rs" && path != "lib.rs" {
            faults.push(
                source
                    .fault(at, "the harness's cfg stands in sync/mod.rs, and in lib.rs to hand the hook out"),
            );
        }
    }
    if source.module() != "sync" {
        for (at, _) in source.code.match_indices("sync::atomic") {
            faults.push(source.fault(at, "atomics come from crate::sync"));
        }
        for at in source.words("UnsafeCell") {
            faults.push(source.fault(at, "cells come from crate::sync"));
        }
    }
    if !may_be_unsafe(path) {
        for at in source.words("unsafe") {
            faults.push(source.fault(at, "no unsafe code here"));
        }
        // A file with children cannot forbid it for itself alone; sync is one module to the model and the machine.
        let parent = path.ends_with("mod.rs") || path == "lib.rs" || path.starts_with("sync/");
        if !parent && !source.code.contains("#![forbid(unsafe_code)]") {
            faults.push(source.fault(0, "lacks #![forbid(unsafe_code)]"));
        }
    }
    for at in source.words("SeqCst") {
        if source.module() != "sync" && !source.code[..at].ends_with("fence(") {
            faults.push(source.fault(at, "SeqCst stands in fences only"));
        }
    }
    faults
}

// --- every atomic operation says what it is for ---

fn every_operation_has_its_note(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, fence) in operations(source).into_iter().filter(|_| is_annotated(source)) {
        let notes: Vec<_> = notes_above(source, at).into_iter().filter(|note| note.fence == fence).collect();
        if notes.is_empty() {
            faults.push(source.fault(at, "an atomic operation without its note"));
            continue;
        }
        let mut noted: Vec<_> = notes.iter().map(|note| note.ordering.as_str()).collect();
        let arguments = arguments(&source.code, at);
        let mut used: Vec<_> =
            arguments.split(|c: char| !c.is_alphanumeric()).filter(|word| ORDERINGS.contains(word)).collect();
        noted.sort_unstable();
        used.sort_unstable();
        // The fences of the facade are named for their weight and take no ordering.
        if !used.is_empty() && noted != used {
            faults.push(source.fault(at, format_args!("uses {used:?}, its notes say {noted:?}")));
        }
    }
    faults
}

/// Each end of an edge has its other end, in the function that it names.
fn edges(sites: &[Site<'_>]) -> Vec<String> {
    let mut faults = Vec::new();
    for Site { source, at, note, .. } in sites {
        let mut fault = |what: &str| faults.push(source.fault(*at, format_args!("{}: {what}", note.id)));
        if note.purpose.is_empty() {
            fault("says no purpose");
        }
        let Some(arrow) = note.arrow else {
            // Nothing is ordered by it, so it says what else orders the access.
            if note.ordering != "Relaxed" {
                fault("orders something and names no partner");
            }
            continue;
        };
        let Some(partner) = &note.partner else {
            fault("names no partner");
            continue;
        };
        let (owner, function) = partner.rsplit_once("::").unwrap_or(("", partner));
        let back = match arrow {
            "->" => "<-",
            "<-" => "->",
            both => both,
        };
        let other_end = |other: &&Site<'_>| {
            other.note.id == note.id && other.note.arrow == Some(back) && other.note.fence == note.fence
        };
        let there =
            |other: &Site<'_>| other.inside.1 == function && (owner.is_empty() || other.inside.0 == owner);
        let others: Vec<_> = sites.iter().filter(other_end).collect();
        if others.is_empty() {
            fault(&format!("has no other end ({back})"));
        } else if !others.iter().any(|other| there(other)) {
            fault(&format!("{partner} has no end ({back}) of it"));
        }
    }
    faults
}

/// Every id stands in the page's list of edges, which names no other: its items begin with their ids, each in backticks.
fn ledger(sites: &[Site<'_>], page: &str) -> Vec<String> {
    let begun = page.lines().skip_while(|line| !line.starts_with("- `"));
    let items = begun.take_while(|line| line.starts_with("- ") || line.starts_with("  "));
    let heads = items.filter_map(|line| line.strip_prefix("- ")?.split_once(": ").map(|(ids, _)| ids));
    let listed: BTreeSet<_> = heads.flat_map(|ids| ids.split(", ")).map(|id| id.trim_matches('`')).collect();
    let ids: BTreeSet<_> = sites.iter().map(|site| site.note.id.as_str()).filter(|id| *id != "own").collect();
    let missing =
        ids.difference(&listed).map(|id| format!("{id}: not in the list of docs/memory-ordering.md"));
    missing.chain(listed.difference(&ids).map(|id| format!("{id}: listed, and no edge has it"))).collect()
}

// --- length ---

/// About three hundred lines of code make an algorithm that can be read in one go.
const MOST_LINES: usize = 350;

fn length(source: &Source) -> Vec<String> {
    let lines = source.code.lines().filter(|line| !line.trim().is_empty()).count();
    let algorithm = ["ring", "watch", "event"].contains(&source.module());
    match algorithm && lines > MOST_LINES {
        true => vec![
            source.fault(0, format_args!("{lines} lines of code; an algorithm has at most {MOST_LINES}")),
        ],
        false => Vec::new(),
    }
}

// --- the house as it stands ---

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn house() -> Vec<Source> {
    Source::all(root())
}

fn holds(rule: fn(&Source) -> Vec<String>) {
    let faults: Vec<_> = house().iter().flat_map(rule).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn modules_import_only_what_the_plan_allows() {
    holds(imports);
}

#[test]
fn unsafe_code_atomics_and_the_models_cfg_stay_in_their_places() {
    holds(places);
}

#[test]
fn every_atomic_operation_says_its_ordering_and_its_purpose() {
    holds(every_operation_has_its_note);
}

#[test]
fn algorithms_stay_short() {
    holds(length);
}

#[test]
fn every_edge_has_both_its_ends() {
    let house = house();
    let sites: Vec<_> = house.iter().flat_map(sites).collect();
    assert!(sites.len() > 10, "there are notes");
    let faults = edges(&sites);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_edge_stands_in_the_ledger() {
    let page = std::fs::read_to_string(root().join("docs/memory-ordering.md")).unwrap();
    let house = house();
    let sites: Vec<_> = house.iter().flat_map(sites).collect();
    let faults = ledger(&sites, &page);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The tests that a page names as file::name and that do not exist.
fn unwritten(page: &str, exists: impl Fn(&str, &str) -> bool) -> Vec<String> {
    page.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .filter_map(|word| word.trim_end_matches(':').split_once("::"))
        .filter(|(file, name)| !exists(file, name))
        .map(|(file, name)| format!("no test {file}::{name}"))
        .collect()
}

#[test]
fn the_tests_that_the_failure_model_names_exist() {
    let page = std::fs::read_to_string(root().join("docs/failure-model.md")).unwrap();
    assert!(page.contains("liveness::"), "names are written file::name");
    let exists = |file: &str, name: &str| {
        let text =
            std::fs::read_to_string(root().join("tests").join(file).with_extension("rs")).unwrap_or_default();
        text.contains(&format!("#[test]\nfn {name}()"))
    };
    // What is no test: a type of the public API, and the words that explain the form.
    let page = page.replace("Trust::Kernel", "").replace("file::name", "");
    assert_eq!(unwritten(&page, exists), [""; 0]);
    assert_eq!(
        unwritten("| said | spsc::nobody_wrote_this, house::the_plan_has_no_circles |", exists).len(),
        1
    );
}

/// Tests that do not run alone, in a file of which one forks: a child would wait for locks that another test's thread
/// held at the fork.
fn not_alone(text: &str) -> Vec<&str> {
    if !text.contains("fork(") {
        return Vec::new();
    }
    let tests = text.split("#[test]\nfn ").skip(1);
    tests
        .filter(|test| !test.contains("let _alone = alone();"))
        .map(|test| test.split('(').next().unwrap())
        .collect()
}

#[test]
fn where_one_test_forks_every_test_runs_alone() {
    for entry in std::fs::read_dir(root().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("house.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(not_alone(&text), [""; 0], "{}", path.display());
        }
    }
    let alone = "#[test]\nfn a() {\n    let _alone = alone();\n    fork();\n}\n";
    let other = "#[test]\nfn b() {\n}\n";
    assert_eq!(not_alone(alone), [""; 0]);
    assert_eq!(not_alone(other), [""; 0]);
    assert_eq!(not_alone(&format!("{alone}{other}")), ["b"]);
    assert_eq!(not_alone(&format!("{other}{alone}")), ["b"]);
}

#[test]
fn the_plan_has_no_circles() {
    let plan: BTreeMap<_, _> = MAY_IMPORT.into_iter().collect();
    for (from, to) in &plan {
        assert!(to.iter().all(|to| plan.contains_key(to) && !may_import(to, from)), "{from}");
    }
}

// --- each rule finds its faults ---

fn faults(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&Source::new(path, text)).len()
}

#[test]
fn a_forbidden_import_is_found() {
    for (path, text) in [
        ("ring/new.rs", "use crate::event::Event;"),
        ("ring/new.rs", "fn f() { crate::segment::reopen(); }"),
        ("event.rs", "use crate::view::View;"),
        ("segment.rs", "use crate::view::View;"),
        ("layout.rs", "use crate::error::Error;"),
        ("error.rs", "use crate::layout::MAGIC;"),
        ("channel/new.rs", "use crate::liveness::Lease;"),
        ("liveness.rs", "use crate::open::Ring;"),
        ("view.rs", "use crate::{layout::MAGIC, ring::spsc};"),
        ("unplanned.rs", ""),
        ("ring/new.rs", "use std::fs::File;"),
        ("view.rs", "fn f() { libc::getpid(); }"),
    ] {
        assert_eq!(faults(imports, path, text), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("ring/new.rs", "use crate::view::View; // not crate::event::Event"),
        ("open.rs", "use crate::ring::spsc::observed_bytes;"),
        ("view.rs", "use crate::{layout::MAGIC, sync::fence};"),
        ("ring/new.rs", "const S: &str = \"crate::event::\";"),
    ] {
        assert_eq!(faults(imports, path, text), 0, "{path}: {text}");
    }
}

#[test]
fn what_is_out_of_its_place_is_found() {
    const FORBID: &str = "//! Doc.\n#![forbid(unsafe_code)]\n";
    for (path, text) in [
        ("event.rs", "#[cfg(slipring_model)] fn f() {}"),
        ("event.rs", "#[cfg(slipring_steps)] fn f() {}"),
        ("layout.rs", "use core::sync::atomic::AtomicU8;"),
        ("open.rs", "struct S(core::cell::UnsafeCell<u8>);"),
        ("liveness.rs", "fn f() { unsafe { g() } }"),
        ("channel/new.rs", "fn f() { word.load(SeqCst); }"),
    ] {
        assert_eq!(faults(places, path, &format!("{FORBID}{text}")), 1, "{path}: {text}");
    }
    assert_eq!(faults(places, "event.rs", "//! Doc.\n"), 1, "does not forbid unsafe code");
    assert_eq!(faults(places, "view.rs", "use crate::layout;\n"), 1, "opens without a word");
    assert_eq!(faults(places, "ring/mod.rs", "//! Doc.\nunsafe fn f() {}"), 1);
    for (path, text) in [
        ("event.rs", "fn f() { fence(SeqCst); }"),
        ("open.rs", "// unsafe, SeqCst and slipring_model in words\n const S: &str = \"unsafe\";"),
        ("open.rs", "fn unsafely() {}"),
        ("open.rs", "#[cfg(test)] mod tests { use core::sync::atomic::AtomicU8; }"),
    ] {
        assert_eq!(faults(places, path, &format!("{FORBID}{text}")), 0, "{path}: {text}");
    }
    assert_eq!(faults(places, "ring/new.rs", "//! Doc.\nfn f() { unsafe { g() } }"), 0);
}

#[test]
fn an_operation_without_its_note_is_found() {
    for text in [
        "word.load(Acquire);",
        "// A comment.\nword.store(1, Release);",
        "// ord(a.b) Acquire <- f: see it.\n\nword.load(Acquire);",
        "// ord(a.b) Acquire <- f: see it.\nother();\nword.load(Acquire);",
        "// ord(own) Relaxed: mine.\nword.load(Acquire);",
        "// ord(a.b) AcqRel -> f: both.\nword.compare_exchange(0, 1, AcqRel, Relaxed);",
        "// ord(own) Relaxed: mine.\na.load(Relaxed);\nb.store(1, Relaxed);",
        "fence(SeqCst);",
        "light_fence(true);",
        "// ord(a.b) SeqCst -> f: a fence is no access.\nfence(SeqCst);",
        "let x = word\n    .fetch_add(1, Relaxed);",
    ] {
        assert_eq!(faults(every_operation_has_its_note, "ring/new.rs", text), 1, "{text}");
    }
    for text in [
        "// ord(a.b) Acquire <- f: see it.\nword.load(Acquire);",
        "// ord(a.b) Acquire <- f: see it,\n// whatever it is.\nlet x = word\n    .at(1)\n    .load(Acquire);",
        "// ord(a.b) AcqRel -> f: both.\n// ord(own) Relaxed on failure: again.\nword.compare_exchange(0, 1, AcqRel, Relaxed);",
        "// fence(a.b) SeqCst <-> f: order.\nfence(SeqCst);",
        "// fence(a.b) light <-> f: order.\nlight_fence(true);",
        "// in words: word.load(Acquire)\nfn heavy_fence(asymmetric: bool) {}",
        "// ord(own) Relaxed: mine.\nmatch word.load(Relaxed) {\n    _ => {}\n}",
    ] {
        assert_eq!(faults(every_operation_has_its_note, "ring/new.rs", text), 0, "{text}");
    }
    assert_eq!(
        faults(every_operation_has_its_note, "open.rs", "word.load(Acquire);"),
        0,
        "only ring, event, channel"
    );
}

#[test]
fn an_edge_with_one_end_is_found() {
    let found = |text: &str| {
        let source = Source::new("ring/new.rs", text);
        let faults = edges(&sites(&source));
        assert!(!sites(&source).is_empty());
        faults
    };
    let sound = "impl A {\n    fn publish() {\n        // ord(a.b) Release -> B::see: first that.\n    }\n}\n\
                 impl<'a> Trait<u8> for B<'a> {\n    fn see() {\n        // ord(a.b) Acquire <- A::publish: then this.\n    }\n}\n\
                 fn alone() {\n    // ord(own) Relaxed: mine.\n    // ord(a.b) Relaxed: ordered by the edge.\n}\n\
                 fn one() {\n    // fence(c.d) light <-> other: order.\n}\n\
                 fn other() {\n    // fence(c.d) heavy <-> one: order.\n}\n";
    assert_eq!(found(sound), [""; 0]);
    for (from, to, faults) in [
        ("ord(a.b) Acquire <- A::publish", "ord(a.c) Acquire <- A::publish", 2),
        ("Acquire <- A::publish: then this", "Acquire -> A::publish: then this", 2),
        ("-> B::see", "-> B::look", 1),
        ("-> B::see", "-> C::see", 1),
        ("-> B::see", "->", 1),
        ("-> B::see", "", 2),
        ("fn see()", "fn look()", 1),
        (": first that.", "", 1),
        ("ord(own) Relaxed", "ord(own) Release", 1),
        ("fence(c.d) heavy <-> one", "fence(c.e) heavy <-> one", 2),
    ] {
        assert!(sound.contains(from));
        assert_eq!(found(&sound.replace(from, to)).len(), faults, "{from} as {to}");
    }
}

#[test]
fn an_id_that_is_not_in_the_ledger_is_found() {
    let source = Source::new("event.rs", "// ord(own) Relaxed: mine.\n// ord(a.b) Relaxed: by another.\n");
    let sites = sites(&source);
    assert_eq!(
        ledger(&sites, "# Page\n\n- `a.b`: one,\n  and `more`.\n\n- `c.d`: of another list\n"),
        [""; 0]
    );
    assert_eq!(ledger(&sites, "- `c.d`, `a.b`: two.\n").len(), 1, "one that is no edge");
    assert_eq!(ledger(&sites, "- `a.bc`: one.\n").len(), 2);
    assert_eq!(ledger(&sites, "| `a.b` | ... |").len(), 1, "not in the list");
}

#[test]
fn a_long_algorithm_is_found() {
    let lines = "let a = 1;\n\n// a comment\n".repeat(MOST_LINES);
    assert_eq!(faults(length, "ring/new.rs", &lines), 0);
    assert_eq!(faults(length, "ring/new.rs", &format!("{lines}let b = 2;\n")), 1);
    assert_eq!(faults(length, "open.rs", &format!("{lines}let b = 2;\n")), 0);
}
