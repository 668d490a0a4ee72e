//! `compare`: the shortest run there is, and what it refuses. The figures are the harness's to prove.
#![forbid(unsafe_code)]

mod common;

use common::slipring;

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

#[test]
fn compare_refuses_what_cannot_be_measured() {
    for (args, part) in [
        (&["--rounds", "0"][..], "invalid value '0' for '--rounds <N>'"),
        (&["--rounds", "-1"], "unexpected argument"),
        (&["--budget", "0"], "too short: at least 1ms"),
        (&["--budget", "1h"], "too long: at most 5s"),
        (&["--cores", "1"], "two numbers of cores"),
        (&["--cores", "0,0"], "compare: cannot measure that: core 0 twice"),
        (&["--cores", "0,99999"], "compare: "),
    ] {
        slipring([&["compare"], args].concat()).complains(2, part);
    }
}
