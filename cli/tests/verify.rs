//! `verify`: short storms end with a verdict that adds up, and leave nothing behind.
#![forbid(unsafe_code)]

mod common;

use common::{Done, command, slipring};
use nix::sys::signal::Signal;
use std::process::Stdio;

/// The only storm of a run, which must be sound.
#[track_caller]
fn storm(done: &Done) -> serde_json::Value {
    assert_eq!((done.code(), done.err()), (0, String::new()), "{}", done.out());
    let report = done.json();
    assert_eq!(report["sound"], true);
    let storms = report["storms"].as_array().unwrap();
    assert_eq!(storms.len(), 1);
    storms[0].clone()
}

fn number(storm: &serde_json::Value, field: &str) -> u64 {
    storm[field].as_u64().unwrap_or_else(|| panic!("{field} in {storm}"))
}

#[test]
fn every_message_of_a_storm_is_accounted_for() {
    for (args, kind, ack) in [
        (&["--spsc"][..], "spsc", false),
        (&["--mpmc", "--producers", "2", "--consumers", "2"], "mpmc", false),
        (&["--mpmc", "--ack"], "mpmc", true),
    ] {
        let common = ["verify", "--json", "--duration", "1s", "--every", "1ms", "--seed", "7"];
        let storm = storm(&slipring([&common, args].concat()));
        assert_eq!((&storm["kind"], &storm["ack"], &storm["seed"]), (&kind.into(), &ack.into(), &7.into()));
        let n = |field| number(&storm, field);
        assert!(n("killed") > 0 && n("stopped") > 0, "{storm}");
        assert!(n("received") > 0, "{storm}");
        let gone = n("gone_with_killed");
        assert_eq!(n("sent") + n("sent_by_killed") + n("redelivered"), n("received") + gone, "{storm}");
        assert!(!ack || gone == 0, "acknowledged messages are never gone: {storm}");
        assert_eq!(n("capacity_before"), n("capacity_after"));
    }
}

#[test]
fn one_kind_of_fault_can_be_asked_for() {
    let kills = storm(&slipring(["verify", "--json", "--mpmc", "--kill", "-d", "500ms"]));
    assert!(number(&kills, "killed") > 0 && number(&kills, "stopped") == 0);
    let stops = storm(&slipring(["verify", "--json", "--mpmc", "--stop", "-d", "500ms"]));
    assert!(number(&stops, "killed") == 0 && number(&stops, "stopped") > 0);
}

#[test]
fn people_get_a_verdict_for_each_kind_of_ring() {
    let done = slipring(["verify", "-d", "600ms"]);
    done.is_fine();
    let out = done.out();
    let storms: Vec<&str> = out.split("\n\n").collect();
    assert_eq!(storms.len(), 2, "{out}");
    for (storm, ring) in storms.iter().zip(["spsc, 1 producer, 1 consumer", "mpmc, 3 producers, 3 consumers"])
    {
        assert!(storm.starts_with("Verdict: "), "{out}");
        for part in [" sound\n", ring, "\nLost:           0\n", "\nTorn:           0\n"] {
            assert!(storm.contains(part), "{part:?} in {out}");
        }
    }
}

#[test]
fn a_signal_ends_it_early_with_the_verdict_so_far_and_nothing_is_left() {
    let mut child =
        common::Running::start(command(["verify", "--json", "--mpmc", "-d", "1h"]).stdin(Stdio::null()));
    let ring = format!("slipring-storm-{}-", child.pid());
    let left = || {
        let names = std::fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(&ring)).count()
    };
    common::eventually("the storm has begun", || left() == 1);
    assert!(child.runs());
    // Whoever is started in the background may have to ignore SIGINT.
    child.signal(Signal::SIGTERM);
    let done = child.wait();
    assert_eq!(done.signal(), Some(15), "{}", done.err());
    assert_eq!(done.json()["sound"], true);
    assert_eq!(left(), 0);
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    for (args, part) in [
        (&["--spsc", "--producers", "2"][..], "cannot be used with"),
        (&["--spsc", "--ack"], "cannot be used with"),
        (&["--producers", "0"], "0 is not in 1..=500"),
        (&["-d", "0"], "must be longer than nothing"),
        (&["--every", "0"], "must be longer than nothing"),
        (&["--seed", "x"], "invalid digit"),
    ] {
        slipring([&["verify"], args].concat()).complains(2, part);
    }
}
