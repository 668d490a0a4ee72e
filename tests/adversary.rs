//! A process that scribbles on everything it may write, while others send and receive there: nobody crashes, panics,
//! hangs or reads out of bounds, and what is found wrong is named. Short here; for an hour of each kind of ring:
//!
//! ```text
//! SLIPRING_ADVERSARY=3600 cargo test --release --test adversary -- --nocapture
//! ```

mod common;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../verify/src/crowd.rs"]
mod crowd;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../faults/src/usage.rs"]
mod usage;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../verify/src/victim.rs"]
mod victim;

use common::{Board, Child, Dice, LIMIT, Link, alone, fork};
use crowd::Crowd;
use slipring::{Options, Ring, Trust};
use std::fs::File;
use std::time::{Duration, Instant};
use usage::{Stopwatch, Usage, state, whereabouts};
use victim::{Tally, Victim};

/// Verbs between two reports of a victim, and most writes of the adversary between two of its pauses.
const REPORT_EVERY: u64 = 64;
/// Whoever computes or sleeps for longer in one verb, none of which is to wait for more than 50 us, hangs.
const HANG: Duration = Duration::from_secs(1);
/// The fields that faults may name.
const FIELDS: [&str; 4] = ["head", "record header", "slot state", "slot length"];

/// Where things stand on the board that all processes share.
const STOP: usize = 0;
const WRITES: usize = 1;
const VICTIMS: usize = 2;
/// Words of a victim: its verbs, those that moved a message, the longest of them, gross and net, and its faults by field.
const WORDS: usize = FAULTS + FIELDS.len();
const MOVED: usize = 1;
const GROSS: usize = 2;
const NET: usize = 3;
const FAULTS: usize = 4;

/// For how long each kind of ring is attacked, in all ways to make one together.
fn seconds() -> f64 {
    std::env::var("SLIPRING_ADVERSARY").map_or(2.0, |text| text.parse().expect("SLIPRING_ADVERSARY: seconds"))
}

/// Whoever uses a ring under attack.
trait Attacked {
    /// Any verb, or a few.
    fn verb(&mut self, dice: &mut Dice);
    fn tally(&self) -> &Tally;
}

impl Attacked for Victim {
    fn verb(&mut self, dice: &mut Dice) {
        self.any_verb(&mut |n| dice.below(n));
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}

impl Attacked for Crowd {
    fn verb(&mut self, dice: &mut Dice) {
        self.any_verb(&mut |n| dice.below(n));
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// A victim's words on the board.
fn at(victim: usize, word: usize) -> usize {
    VICTIMS + victim * WORDS + word
}

fn report(board: &Board, victim: usize, tally: &Tally) {
    board.set(at(victim, 0), tally.verbs);
    board.set(at(victim, MOVED), tally.moved);
    for (field, count) in &tally.corrupt {
        let index = FIELDS.iter().position(|known| known == field);
        let index = index.unwrap_or_else(|| panic!("a field that nobody knows: {field}"));
        board.set(at(victim, FAULTS + index), *count);
    }
}

/// Verbs of one process until it is told to stop, each of them timed.
fn live(board: &Board, victim: usize, link: &Link, mut attacked: impl Attacked) {
    // It has the ring open: from now on anything may be written there.
    link.say(0);
    let mut dice = Dice::new(victim as u64 + 1);
    let mut watch = Stopwatch::new(Duration::from_micros(100), Duration::from_millis(1)).unwrap();
    while board.get(STOP) == 0 {
        for _ in 0..REPORT_EVERY {
            attacked.verb(&mut dice);
            let Some(lap) = watch.lap() else { continue };
            for (word, time) in [(GROSS, lap.gross), (NET, lap.net)] {
                let time = time.as_nanos() as u64;
                board.set(at(victim, word), time.max(board.get(at(victim, word))));
            }
        }
        report(board, victim, attacked.tally());
        watch.restart();
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
    /// The longest verb, by the clock, and without the time in which its process had no core.
    gross: Duration,
    net: Duration,
}

impl Seen {
    fn of(board: &Board, victims: usize) -> Seen {
        let mut seen = Seen { writes: board.get(WRITES), ..Seen::default() };
        for victim in 0..victims {
            let word = |word| board.get(at(victim, word));
            let fault = |field| word(FAULTS + field);
            let faults = std::array::from_fn(fault);
            let [gross, net] = [GROSS, NET].map(|time| Duration::from_nanos(word(time)));
            seen.add(&Seen { writes: 0, verbs: word(0), moved: word(MOVED), faults, gross, net });
        }
        seen
    }

    fn add(&mut self, other: &Seen) {
        self.writes += other.writes;
        self.verbs += other.verbs;
        self.moved += other.moved;
        (0..FIELDS.len()).for_each(|field| self.faults[field] += other.faults[field]);
        self.gross = self.gross.max(other.gross);
        self.net = self.net.max(other.net);
    }

    /// Whether there was some of all that must come: messages, and faults of these fields.
    fn has(&self, fields: &[&str]) -> bool {
        let found =
            |field: &&str| FIELDS.iter().position(|known| known == field).map(|field| self.faults[field]);
        self.writes > 0
            && self.moved > 0
            && fields.iter().all(|field| found(field).is_some_and(|count| count > 0))
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Seen { writes, verbs, moved, faults, gross, net } = self;
        let faults: Vec<_> = FIELDS.iter().zip(faults).filter(|(_, count)| **count > 0).collect();
        write!(
            f,
            "{writes} hostile writes, {verbs} verbs, {moved} of them moved messages; faults {faults:?}; "
        )?;
        write!(f, "the longest verb {gross:.1?}, {net:.1?} without want of a core")
    }
}

/// How far a victim has come, since when, and how long it had had a core by then.
struct Progress {
    pid: i32,
    usage: Usage,
    verbs: u64,
    since: Instant,
    on_core: u64,
}

impl Progress {
    fn of(pid: i32) -> Self {
        let usage = Usage::of(pid).unwrap();
        Progress { pid, on_core: usage.on_core(), usage, verbs: 0, since: Instant::now() }
    }

    /// For `LIMIT` it may neither compute nor sleep without getting on. That it has no core for so long is not its fault.
    fn must_go_on(&mut self, verbs: u64) {
        if verbs != self.verbs {
            (self.verbs, self.since, self.on_core) = (verbs, Instant::now(), self.usage.on_core());
        }
        if self.since.elapsed() >= LIMIT {
            let computed = Duration::from_nanos(self.usage.on_core() - self.on_core);
            let of = self.pid.to_string();
            let wants_a_core = computed < LIMIT && state(&of) == 'R' && self.since.elapsed() < 20 * LIMIT;
            assert!(wants_a_core, "no verb ends for {:?}: {}", self.since.elapsed(), whereabouts(&of));
        }
    }
}

/// Lets victims and the adversary run for a while, and for longer if not all of `fields` were found by then; sees to it that
/// each victim gets on.
fn watch(board: &Board, victims: Vec<Child>, adversary: Child, time: Duration, fields: &[&str]) -> Seen {
    let verbs = |victim: usize| board.get(at(victim, 0));
    let end = Instant::now() + time;
    let mut last: Vec<_> = victims.iter().map(|child| Progress::of(child.pid() as i32)).collect();
    // For so long the machine stood still, as far as one sees who sleeps a little again and again.
    let (mut stood_still, mut looked) = (Duration::ZERO, Instant::now());
    while Instant::now() < end || !Seen::of(board, victims.len()).has(fields) {
        std::thread::sleep(Duration::from_millis(1));
        stood_still = stood_still.max(looked.elapsed());
        looked = Instant::now();
        // What hangs for good is not seen by itself. The victims are killed as the test fails.
        last.iter_mut().enumerate().for_each(|(victim, progress)| progress.must_go_on(verbs(victim)));
        let late = Instant::now().saturating_duration_since(end);
        assert!(late < LIMIT, "not {fields:?} found: {}", Seen::of(board, victims.len()));
    }
    board.set(STOP, 1);
    adversary.join();
    let count = victims.len();
    victims.into_iter().for_each(Child::join);
    let seen = Seen::of(board, count);
    assert!(
        seen.net <= HANG + stood_still,
        "a verb hung: {seen}; the machine stood still for {stood_still:.1?}"
    );
    seen
}

/// Each way to make a ring, one after the other; what came of all.
fn all(ways: Vec<(Trust, Options)>, one: impl Fn(Trust, Ring, Duration) -> Seen) {
    let time = Duration::from_secs_f64(seconds() / ways.len() as f64);
    let mut sum = Seen::default();
    for (trust, options) in ways {
        sum.add(&one(trust, Ring::anonymous(&options).unwrap(), time));
    }
    println!("{sum}");
}

fn segment(ring: &Ring) -> File {
    File::from(ring.fd().unwrap().try_clone_to_owned().unwrap())
}

#[test]
fn whatever_is_scribbled_on_a_ring_its_ends_live_and_say_what_is_wrong() {
    let _alone = alone();
    all(victim::attackable().collect(), |trust, ring, time| {
        let board = Board::new(VICTIMS + 2 * WORDS);
        let file = segment(&ring);
        // Each with a description of its own: leases would be shared with whoever inherits one.
        let end = |ends| Victim::of(Ring::from_fd(segment(&ring).into(), trust).unwrap(), trust, ends);
        let mut victims = vec![
            fork(|link| live(&board, 0, link, end((true, false)))),
            fork(|link| live(&board, 1, link, end((false, true)))),
        ];
        victims.iter_mut().for_each(|victim| _ = victim.hear());
        let adversary =
            fork(|_| scribble(&board, &file, |file, dice| victim::attack(file, &mut |n| dice.below(n))));
        watch(&board, victims, adversary, time, &["head", "record header"])
    });
}

#[test]
fn whatever_is_scribbled_on_a_crowded_ring_its_ends_live_and_say_what_is_wrong() {
    let _alone = alone();
    all(crowd::attackable().collect(), |trust, ring, time| {
        let board = Board::new(VICTIMS + 2 * WORDS);
        let file = segment(&ring);
        let ends = |wanted| {
            let ring = Ring::from_fd(segment(&ring).into(), trust).unwrap();
            Crowd::of(ring, trust, wanted, true)
        };
        let mut victims = vec![
            fork(|link| live(&board, 0, link, ends((2, 0)))),
            fork(|link| live(&board, 1, link, ends((0, 2)))),
        ];
        victims.iter_mut().for_each(|victim| _ = victim.hear());
        let adversary =
            fork(|_| scribble(&board, &file, |file, dice| crowd::attack(file, &mut |n| dice.below(n))));
        watch(&board, victims, adversary, time, &["slot state", "slot length"])
    });
}
