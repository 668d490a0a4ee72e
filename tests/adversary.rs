//! A process that scribbles on everything it may write, while others send and receive there: nobody crashes, panics,
//! hangs or reads out of bounds, and what is found wrong is named. Short here; for an hour:
//!
//! ```text
//! SLIPRING_ADVERSARY=3600 cargo test --release --test adversary -- --nocapture
//! ```

mod common;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../verify/src/crowd.rs"]
mod crowd;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../verify/src/victim.rs"]
mod victim;

use common::{Board, Child, Dice, LIMIT, Link, alone, fork};
use crowd::Crowd;
use slipring::{Options, Ring, Trust};
use std::fs::File;
use std::time::{Duration, Instant};
use victim::{Tally, Victim};

/// Verbs between two reports of a victim, and writes between two of the adversary.
const REPORT_EVERY: u64 = 64;
/// The fields that faults may name.
const FIELDS: [&str; 4] = ["head", "record header", "slot state", "slot length"];

/// Where things stand on the board that all processes share.
const STOP: usize = 0;
const WRITES: usize = 1;
const VICTIMS: usize = 2;
/// Words of a victim: its verbs, those that moved a message, and its faults by field.
const WORDS: usize = 2 + FIELDS.len();

fn seconds() -> f64 {
    std::env::var("SLIPRING_ADVERSARY").map_or(4.0, |text| text.parse().expect("SLIPRING_ADVERSARY: seconds"))
}

fn report(board: &Board, victim: usize, tally: &Tally) {
    let at = VICTIMS + victim * WORDS;
    board.set(at, tally.verbs);
    board.set(at + 1, tally.moved);
    for (field, count) in &tally.corrupt {
        let index = FIELDS.iter().position(|known| known == field);
        board.set(at + 2 + index.unwrap_or_else(|| panic!("a field that nobody knows: {field}")), *count);
    }
}

/// Verbs of one process until it is told to stop.
fn live(board: &Board, victim: usize, link: &Link, mut verb: impl FnMut(&mut Dice) -> Tally) {
    // It has the ring open: from now on anything may be written there.
    link.say(0);
    let mut dice = Dice::new(victim as u64 + 1);
    while board.get(STOP) == 0 {
        report(board, victim, &verb(&mut dice));
    }
}

/// Writes in bursts, with a while between them in which some traffic passes.
fn scribble(board: &Board, file: &File, nearly_right: fn(&File, &mut Dice)) {
    let len = file.metadata().unwrap().len();
    let words = Board::of(file, len as usize / 8);
    let mut dice = Dice::new(99);
    while board.get(STOP) == 0 {
        for _ in 0..=dice.below(REPORT_EVERY) {
            let at = dice.below(len / 8) as usize;
            match dice.below(4) {
                0 => words.flip(at, 1 << dice.below(64)),
                1 => words.set(at, dice.roll()),
                _ => nearly_right(file, &mut dice),
            }
            board.add(WRITES, 1);
        }
        std::thread::sleep(Duration::from_micros(dice.below(2000)));
    }
}

/// What came of one ring, from start to stop.
#[derive(Default)]
struct Seen {
    writes: u64,
    verbs: u64,
    moved: u64,
    faults: [u64; FIELDS.len()],
    longest: Duration,
}

/// Lets victims and the adversary run for a while, and sees to it that each victim gets on.
fn watch(board: &Board, victims: Vec<Child>, adversary: Child, time: Duration) -> Seen {
    let verbs = |victim: usize| board.get(VICTIMS + victim * WORDS);
    let end = Instant::now() + time;
    let mut last: Vec<_> = (0..victims.len()).map(|victim| (verbs(victim), Instant::now())).collect();
    let mut seen = Seen::default();
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
        for (victim, (count, since)) in last.iter_mut().enumerate() {
            if verbs(victim) != *count {
                (*count, *since) = (verbs(victim), Instant::now());
            }
            seen.longest = seen.longest.max(since.elapsed());
        }
        if seen.longest > LIMIT {
            board.set(STOP, 1);
            victims.into_iter().for_each(Child::join);
            panic!("a verb took more than {LIMIT:?}");
        }
    }
    board.set(STOP, 1);
    adversary.join();
    for (victim, child) in victims.into_iter().enumerate() {
        child.join();
        let at = VICTIMS + victim * WORDS;
        seen.verbs += board.get(at);
        seen.moved += board.get(at + 1);
        (0..FIELDS.len()).for_each(|field| seen.faults[field] += board.get(at + 2 + field));
    }
    seen.writes = board.get(WRITES);
    seen
}

/// Each way to make a ring, one after the other; what came of all.
fn all(ways: Vec<(Trust, Options)>, one: impl Fn(Trust, Ring, Duration) -> Seen) -> Seen {
    let time = Duration::from_secs_f64(seconds() / 2.0 / ways.len() as f64);
    let mut sum = Seen::default();
    for (trust, options) in ways {
        let seen = one(trust, Ring::anonymous(&options).unwrap(), time);
        assert!(seen.writes > 0 && seen.verbs > 0, "nobody came to do anything");
        sum.writes += seen.writes;
        sum.verbs += seen.verbs;
        sum.moved += seen.moved;
        (0..FIELDS.len()).for_each(|field| sum.faults[field] += seen.faults[field]);
        sum.longest = sum.longest.max(seen.longest);
    }
    let faults: Vec<_> = FIELDS.iter().zip(sum.faults).collect();
    println!(
        "{} hostile writes, {} verbs, {} of them moved messages; faults {faults:?}; the longest verb {:.1?}",
        sum.writes, sum.verbs, sum.moved, sum.longest
    );
    assert!(sum.moved > 0, "some traffic passed");
    sum
}

fn segment(ring: &Ring) -> File {
    File::from(ring.fd().unwrap().try_clone_to_owned().unwrap())
}

#[test]
fn whatever_is_scribbled_on_a_ring_its_ends_live_and_say_what_is_wrong() {
    let _alone = alone();
    let seen = all(victim::attackable().collect(), |trust, ring, time| {
        let board = Board::new(VICTIMS + 2 * WORDS);
        let file = segment(&ring);
        // Each with a description of its own: leases would be shared with whoever inherits one.
        let end = |ends| {
            let mut victim = Victim::of(Ring::from_fd(segment(&ring).into(), trust).unwrap(), trust, ends);
            move |dice: &mut Dice| {
                (0..REPORT_EVERY).for_each(|_| victim.any_verb(&mut |n| dice.below(n)));
                victim.tally.clone()
            }
        };
        let mut victims = vec![
            fork(|link| live(&board, 0, link, end((true, false)))),
            fork(|link| live(&board, 1, link, end((false, true)))),
        ];
        victims.iter_mut().for_each(|victim| _ = victim.hear());
        let adversary =
            fork(|_| scribble(&board, &file, |file, dice| victim::attack(file, &mut |n| dice.below(n))));
        watch(&board, victims, adversary, time)
    });
    assert!(seen.faults[0] > 0 && seen.faults[1] > 0, "faults of both kinds were found");
}

#[test]
fn whatever_is_scribbled_on_a_crowded_ring_its_ends_live_and_say_what_is_wrong() {
    let _alone = alone();
    let seen = all(crowd::attackable().collect(), |trust, ring, time| {
        let board = Board::new(VICTIMS + 2 * WORDS);
        let file = segment(&ring);
        let ends = |wanted| {
            let ring = Ring::from_fd(segment(&ring).into(), trust).unwrap();
            let mut crowd = Crowd::of(ring, trust, wanted, true);
            move |dice: &mut Dice| {
                (0..REPORT_EVERY).for_each(|_| crowd.any_verb(&mut |n| dice.below(n)));
                crowd.tally.clone()
            }
        };
        let mut victims = vec![
            fork(|link| live(&board, 0, link, ends((2, 0)))),
            fork(|link| live(&board, 1, link, ends((0, 2)))),
        ];
        victims.iter_mut().for_each(|victim| _ = victim.hear());
        let adversary =
            fork(|_| scribble(&board, &file, |file, dice| crowd::attack(file, &mut |n| dice.below(n))));
        watch(&board, victims, adversary, time)
    });
    assert!(seen.faults[2] > 0, "faults were found");
}
