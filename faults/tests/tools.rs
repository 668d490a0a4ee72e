//! The tools themselves: shared words outlive whoever is killed, and single steps reach every instruction.
#![allow(clippy::disallowed_types, reason = "an observer's own words")]

mod common;

use common::alone;
use slipring_faults::child::fork;
use slipring_faults::trace::{Arrived, Record, Victim, mark, stay_on_one_core};
use slipring_faults::words::Words;
use std::hint::black_box;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

#[test]
fn what_a_killed_child_wrote_stays() {
    let _alone = alone();
    let words = Words::new(2);
    let child = fork(|| {
        words[1].store(7, SeqCst);
        loop {
            std::thread::yield_now();
        }
    });
    while words[1].load(SeqCst) == 0 {
        std::thread::yield_now();
    }
    child.kill();
    assert_eq!(words[1].load(SeqCst), 7);
}

fn work(words: &Words) {
    mark();
    for i in 0..100 {
        words[0].store(black_box(i) + 1, Relaxed);
    }
    words[1].store(1, Relaxed);
    for i in 0..50 {
        words[2].store(black_box(i) + 1, Relaxed);
    }
    mark();
}

#[test]
fn every_instruction_is_reached_and_nothing_behind_it_has_happened() {
    let _alone = alone();
    stay_on_one_core();
    let words = Words::new(3);
    let record = Record::of(Victim::run(|| work(&words)).unwrap(), 100_000).unwrap();
    assert_eq!([0, 1, 2].map(|i| words[i].load(Relaxed)), [100, 1, 50]);
    let mut last = (0, 0, 0);
    for k in record.steps(17, u32::MAX / 2) {
        (0..3).for_each(|i| words[i].store(0, Relaxed));
        let mut victim = Victim::run(|| work(&words)).unwrap();
        assert_eq!(record.go(&mut victim, k), Arrived::There, "step {k}");
        victim.kill();
        let now = (words[0].load(Relaxed), words[1].load(Relaxed), words[2].load(Relaxed));
        assert!(now >= last && now.0 <= last.0 + 17, "step {k}: {last:?}, then {now:?}");
        last = now;
    }
    assert_eq!(last, (100, 1, 50));
    assert!(record.steps(1, 3).len() < record.len() / 2);
}
