//! `compare`: the shortest run there is, and what it refuses. The figures are the harness's to prove.
#![forbid(unsafe_code)]

mod common;

use common::{Dir, slipring};

#[test]
fn compare_prints_a_table_or_json() {
    let short = ["compare", "--quick", "--rounds", "1", "--budget", "1ms"];
    let done = slipring(short);
    done.is_fine();
    for part in ["slipring spin", "pipe", "unix stream", "Latency", "Throughput"] {
        assert!(done.out().contains(part), "{part}: {}", done.out());
    }
    let done = slipring(short.iter().chain(&["--json"]));
    done.is_fine();
    let report = done.json();
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    for rows in ["latency", "throughput"] {
        assert!(!report[rows].as_array().unwrap().is_empty());
    }
    assert!(common::shell("slipring compare --quick --rounds 1 --budget 1ms > /dev/full").code() == 2);
}

/// A short run's report, with every row said to have rounds enough to be judged.
fn report() -> serde_json::Value {
    let args = "compare --only slipring-spin,pipe,posix-mq --sizes 8,16K --rounds 1 --budget 1ms --json --commit abc";
    let done = slipring(args.split(' '));
    done.is_fine();
    let mut report = done.json();
    for kind in ["latency", "throughput", "wake"] {
        for row in report[kind].as_array_mut().unwrap() {
            row["rounds"] = 5.into();
        }
    }
    report
}

#[test]
fn a_report_is_shown_again_in_every_format() {
    let folder = Dir::new("compare-from");
    let (json, page) = (folder.file("report.json"), folder.file("report.html"));
    let report = report();
    std::fs::write(&json, report.to_string()).unwrap();
    let shown = |format: &[&str]| {
        let done = slipring([&["compare", "--from", &json], format].concat());
        done.is_fine();
        done
    };
    assert!(shown(&[]).out().contains("claimed: a pipe: 2 copies; measured: 2 a message"));
    assert!(shown(&["--markdown"]).out().contains("| slipring spin | 8 | in place | 0 |"));
    assert_eq!(shown(&["--json"]).json(), report);
    assert_eq!(report["commit"], "abc");
    let csv = shown(&["--csv"]).out();
    let kinds =
        ["latency", "throughput", "wake", "timed", "many", "signals", "adapters", "syscalls", "missing"];
    let rows: usize = kinds.iter().map(|kind| report[kind].as_array().unwrap().len()).sum();
    assert_eq!(csv.lines().count(), 1 + rows);
    // 16 KiB are beyond the default limit of a POSIX queue; there is its row, or a reason.
    assert!(csv.lines().any(|line| line.starts_with("throughput,posix mq,16384,in place,")), "{csv}");
    assert!(shown(&["--html", &page]).out().contains("slipring spin"), "the table is printed all the same");
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<svg") && page.contains("posix mq"));
}

#[test]
fn a_baseline_that_was_faster_is_a_no() {
    let folder = Dir::new("compare-baseline");
    let (now, then) = (folder.file("now.json"), folder.file("then.json"));
    let mut report = report();
    std::fs::write(&now, report.to_string()).unwrap();
    let judged = |baseline: &str| slipring(["compare", "--from", &now, "--baseline", baseline]);
    let same = judged(&now);
    assert_eq!(same.code(), 0, "{same:?}");
    assert!(same.err().contains("0 of") && same.err().contains("worse beyond noise"), "{}", same.err());

    // An earlier run in which everything took a tenth of the time.
    for row in report["latency"].as_array_mut().unwrap() {
        for figure in ["p50_ns", "p50_per_line"] {
            for end in ["median", "min", "max"] {
                row[figure][end] = (row[figure][end].as_f64().unwrap() / 10.0).into();
            }
        }
    }
    std::fs::write(&then, report.to_string()).unwrap();
    let slower = judged(&then);
    assert_eq!(slower.code(), 1, "{slower:?}");
    assert!(slower.err().contains("worse: slipring spin, 8 bytes in place"), "{}", slower.err());

    report["latency"] = serde_json::json!([]);
    report["throughput"] = serde_json::json!([]);
    std::fs::write(&then, report.to_string()).unwrap();
    judged(&then).complains(2, "no row of slipring can be compared");
    std::fs::write(&then, "{}").unwrap();
    judged(&then).complains(2, "is no report written with --json");
    judged("/nowhere/report.json").complains(2, "compare: cannot read /nowhere/report.json");
}

#[test]
fn compare_refuses_what_cannot_be_measured() {
    for (args, part) in [
        (&["--rounds", "0"][..], "invalid value '0' for '--rounds <N>'"),
        (&["--rounds", "-1"], "unexpected argument"),
        (&["--budget", "0"], "too short: at least 1ms"),
        (&["--budget", "1h"], "too long: at most 5s"),
        (&["--sizes", "12"], "a multiple of 8"),
        (&["--only", "pip"], "compare: cannot measure that: there is no \"pip\""),
        (&["--from", "/nowhere.json"], "compare: cannot read /nowhere.json"),
        (&["--from", "/nowhere.json", "--full"], "cannot be used with"),
        (&["--json", "--csv"], "cannot be used with"),
        (&["--html", "/nowhere/page.html"], "compare: cannot write /nowhere/page.html"),
        (&["--cores", "1"], "two numbers of cores"),
        (&["--cores", "0,0"], "compare: cannot measure that: core 0 twice"),
        (&["--cores", "0,99999"], "compare: "),
    ] {
        slipring([&["compare"], args].concat()).complains(2, part);
    }
}
