//! The short form: the rules hold in small configurations, and every rule broken on purpose is found.

use std::collections::BTreeSet;

use slipring_protocol::explore::explore;
use slipring_protocol::model::Pc;
use slipring_protocol::table::{BUGS, SHORT};

const LIMIT: usize = 2_000_000;

#[test]
fn no_promise_is_broken() {
    let mut reached = BTreeSet::new();
    let mut answers = BTreeSet::new();
    for config in SHORT {
        let report = explore(config, LIMIT);
        if let Some((fault, trace)) = report.fault {
            panic!("{} slots, {config}: {fault:?}\n{}", config.slots, trace.join("\n"));
        }
        assert!(!report.cut, "{config}: more than {LIMIT} states");
        assert!(report.alone <= 30, "{config}: {} steps alone", report.alone);
        reached.extend(report.reached);
        answers.extend(report.answers);
    }
    // A model that explores nothing breaks no promise either.
    let expected: BTreeSet<Pc> = Pc::all().filter(|pc| *pc != Pc::Count).collect();
    assert_eq!(reached, expected);
    assert_eq!(
        answers,
        BTreeSet::from(["Ok", "Full", "a message", "Empty", "acknowledged", "swept", "given up"])
    );
}

#[test]
fn every_seeded_bug_is_found() {
    for seeded in BUGS {
        let bug = seeded.config.bug.expect("it has a bug");
        let report = explore(&seeded.config, LIMIT);
        let Some((fault, trace)) = report.fault else { panic!("{bug:?} is not found") };
        assert_eq!(fault, seeded.fault, "{bug:?}\n{}", trace.join("\n"));
        // Nothing before the last line is the fault, and the path to it is whole.
        assert!(!trace.iter().any(|line| line.contains("could not")), "{bug:?}\n{}", trace.join("\n"));
    }
}

#[test]
fn every_seeded_bug_is_one_of_its_own() {
    let names: BTreeSet<String> = BUGS.iter().map(|seeded| format!("{:?}", seeded.config.bug)).collect();
    assert_eq!(names.len(), BUGS.len());
}
