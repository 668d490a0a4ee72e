//! The command's promises: what it prints, what it writes, how it exits.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn peers(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slipring-peers")).args(arguments).output().unwrap()
}

/// The least that can be measured. The verdict is the machine's; only failures to measure are ours.
const BRIEF: [&str; 5] = ["--quick", "--rounds", "1", "--patience", "1"];

fn brief(more: &[&str]) -> Output {
    let output = peers(&[&BRIEF, more].concat());
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{complaint}");
    output
}

fn goals(json: &[u8]) -> Vec<Value> {
    let json: Value = serde_json::from_slice(json).unwrap();
    json["goals"].as_array().unwrap().clone()
}

#[test]
fn every_ratio_of_a_goal_is_measured() {
    let rows = goals(&brief(&["--json", "--only", "PERF-4", "--only", "perf-7", "--only", "PERF-10"]).stdout);
    let ids: Vec<&str> = rows.iter().map(|row| row["goal"].as_str().unwrap()).collect();
    let mut seen = ids.clone();
    seen.dedup();
    assert_eq!(seen, ["PERF-4", "PERF-7", "PERF-10"]);
    for (goal, count) in [("PERF-4", 4), ("PERF-7", 2), ("PERF-10", 9)] {
        assert_eq!(ids.iter().filter(|&&id| id == goal).count(), count, "{goal}");
    }
    // A round in which the cores moved gives no figure, but says so.
    let told = |row: &Value| {
        row["spread"]["median"].as_f64().is_some_and(|median| median > 0.0)
            || row["note"].as_str().is_some_and(|note| note.contains("moved"))
    };
    assert!(rows.iter().all(told), "{rows:?}");
}

#[test]
fn every_engine_runs_or_says_why_not() {
    let output = brief(&["--json", "--only", "PERF-1", "--only", "PERF-5"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["engines"].as_array().unwrap().len(), 14);
    // What this build lacks, and nothing else: what was there and failed would be named by its cell.
    let lacking = ["iceoryx2", "boost message_queue", "zeromq"];
    let absent: Vec<&str> =
        json["absent"].as_array().unwrap().iter().map(|absent| absent["what"].as_str().unwrap()).collect();
    assert!(absent.iter().all(|what| lacking.contains(what)), "{absent:?}");
    assert_eq!(absent.contains(&"iceoryx2"), cfg!(not(feature = "iceoryx2")));
    let latency = json["figures"]["latency"].as_array().unwrap();
    let engines = ["slipring", "rtrb", "array-queue", "shmem-ipc", "shaq", "crossbeam-channel", "kanal"];
    let others = ["cloudtoid-interprocess", "ipmpsc", "ipc-channel"];
    for engine in engines.into_iter().chain(others).chain(lacking).filter(|engine| !absent.contains(engine)) {
        let named = |row: &Value| row["mechanism"].as_str().unwrap().starts_with(engine);
        assert!(latency.iter().any(named), "{engine}");
    }
}

#[test]
fn crowds_are_measured_and_their_price_is_told() {
    let rows = goals(&brief(&["--json", "--only", "PERF-8", "--only", "price"]).stdout);
    let count = |id: &str| rows.iter().filter(|row| row["goal"] == id).count();
    assert!(count("PERF-8") >= 7 && count("PRICE") >= 13, "{rows:?}");
    assert!(rows.iter().filter(|row| row["goal"] == "PRICE").all(|row| row["yes"].is_null()));
}

#[test]
fn records_are_written_once_and_only_when_asked_for() {
    let path = std::env::temp_dir().join(format!("slipring-peers-{}", std::process::id()));
    let with = |extension: &str| PathBuf::from(format!("{}{extension}", path.display()));
    let record = path.to_str().unwrap();
    brief(&["--only", "PERF-7", "--record", record]);
    let json = std::fs::read(with(".json")).unwrap();
    assert!(goals(&json).iter().all(|row| row["goal"] == "PERF-7"));
    assert!(std::fs::read_to_string(with(".md")).unwrap().starts_with("# Goals against peers"));

    let again = peers(&[&BRIEF, &["--only", "PERF-7", "--record", record][..]].concat());
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("cannot make"));
    assert_eq!(std::fs::read(with(".json")).unwrap(), json, "the record is as it was");
    for extension in [".json", ".md"] {
        std::fs::remove_file(with(extension)).unwrap();
    }
}

#[test]
fn an_unknown_goal_is_an_error_that_names_the_known_ones() {
    let output = peers(&["--only", "PERF-99"]);
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("PERF-99") && complaint.contains("PERF-11"), "{complaint}");
    assert!(output.stdout.is_empty());
}
