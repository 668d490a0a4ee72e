//! That steps of the protocol are counted, and that who waits in a verb is seen in them: what `ci/stalls.sh` goes by.
#![cfg(slipring_steps)]

mod common;

use common::alone;
use slipring::{Options, Ring, SendError, WaitStrategy};
use slipring_faults::ends::{Kind, Put, Take};
use slipring_faults::schedule::{Longest, MOST_STEPS, count_steps};
use slipring_faults::storm::{Plan, Verdict, Waiting, run};
use std::time::Duration;

fn storm(most_steps: u64) -> Verdict {
    let few = Plan { kills: 0, stops: 20, put: Put::Mixed, take: Take::Mixed, ..Plan::short(Kind::Mpmc, 7) };
    run(&Plan { waiting: Waiting::Poll, most_steps, ..few }, |_| ()).unwrap()
}

#[test]
fn a_storm_with_an_answer_of_too_many_steps_is_no_sound_one() {
    let _alone = alone();
    let verdict = storm(MOST_STEPS);
    let most = verdict.times.steps.unwrap().most;
    assert!(verdict.is_sound() && most > 10, "{verdict}");
    let verdict = storm(9);
    assert!(!verdict.is_sound() && verdict.to_string().contains("more than 9"), "{verdict}");
}

#[test]
fn a_verb_that_waits_takes_more_steps_than_one_that_may_not() {
    let _alone = alone();
    count_steps();
    let ring = Ring::anonymous(&Options::mpmc(2, 48)).unwrap();
    let mut tx = ring.sender().unwrap();
    tx.set_strategy(WaitStrategy::Spin).unwrap();
    let mut longest = Longest::new().unwrap();
    while tx.try_send(b"full").is_ok() {
        longest.answered();
    }
    longest.answered();
    let most = longest.most_steps;
    assert!((5..1000).contains(&most), "{most}");
    // As long as it takes on a machine that has no core for us.
    let mut wait = Duration::from_millis(10);
    while longest.most_steps <= MOST_STEPS {
        assert!(wait < Duration::from_secs(100), "{} steps", longest.most_steps);
        assert_eq!(tx.send_timeout(b"more", wait), Err(SendError::TimedOut));
        longest.answered();
        wait *= 2;
    }
}
