//! Every fuzz target on stable: over its corpus, and over inputs made from the corpus and from nothing. The same inputs
//! in every run; more of them by `SLIPRING_FUZZ_INPUTS`, others by `SLIPRING_FUZZ_SEED`.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../faults/src/usage.rs"]
mod usage;

use arbitrary::Unstructured;
use slipring_verify::{Count, target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use usage::{Usage, computed, whereabouts};

/// How long one input may compute.
const HANG: Duration = Duration::from_secs(1);
/// How long it may take, its sleeps and other people's work included. Long, because the machine may be loaded.
const LIMIT: Duration = Duration::from_secs(30);
/// As `-max_len` of the fuzzer.
const LONGEST: usize = 4096;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % n as u64) as usize
    }
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", dir.display());
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Noise, or an input of the corpus with some of it changed; half of those as long as something up to `longest`, made of
/// more and more of the corpus and of noise.
fn made(dice: &mut Dice, corpus: &[(PathBuf, Vec<u8>)], longest: usize) -> Vec<u8> {
    let noise = |dice: &mut Dice, len| (0..len).map(|_| dice.below(256) as u8).collect::<Vec<_>>();
    let part = |dice: &mut Dice| {
        let other = &corpus[dice.below(corpus.len())].1;
        other[dice.below(other.len() + 1)..].to_vec()
    };
    let mut input = match dice.below(3) {
        0 => {
            let short = 1 << dice.below(10);
            let most = if dice.below(2) == 0 { longest } else { short };
            let len = dice.below(most);
            return noise(dice, len);
        }
        _ => corpus[dice.below(corpus.len())].1.clone(),
    };
    for _ in 0..=dice.below(8) {
        let at = dice.below(input.len() + 1);
        match dice.below(4) {
            0 => input.insert(at, dice.below(256) as u8),
            1 => input.truncate(at),
            2 => input.extend(part(dice)),
            _ if at < input.len() => input[at] ^= 1_u8 << dice.below(8),
            _ => {}
        }
    }
    let wanted = dice.below(2) * dice.below(longest);
    while input.len() < wanted {
        let more = if dice.below(2) == 0 { noise(dice, 64) } else { part(dice) };
        input.extend(more);
    }
    input.truncate(LONGEST);
    input
}

/// Plays the corpus and `count` inputs more in another thread, so that an input that hangs fails the test.
fn holds(name: &'static str, count: u64) {
    let target = target(name);
    let (begin, begun) = channel::<Option<Vec<u8>>>();
    let (tell, told) = channel();
    let player = std::thread::spawn(move || {
        tell.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
        let corpus = corpus(name);
        let mut dice = Dice(setting("SLIPRING_FUZZ_SEED", 1));
        let count = setting("SLIPRING_FUZZ_INPUTS", count);
        let (start, mut done, mut bytes) = (Instant::now(), Count::new(), 0);
        let mut slowest = (Duration::ZERO, 0);
        let made = (0..count).map(|_| made(&mut dice, &corpus, target.longest));
        for input in corpus.iter().map(|(_, input)| input.clone()).chain(made) {
            begin.send(Some(input.clone())).unwrap();
            bytes += input.len();
            let before = computed();
            match catch_unwind(AssertUnwindSafe(|| (target.run)(&input))) {
                Ok(count) => count.into_iter().for_each(|(what, n)| *done.entry(what).or_default() += n),
                Err(panic) => {
                    eprintln!("{name} fails for {input:?}");
                    std::panic::resume_unwind(panic);
                }
            }
            let took = computed() - before;
            assert!(took < HANG, "{name} computes for {took:.1?} for {input:?}");
            slowest = slowest.max((took, input.len()));
        }
        begin.send(None).unwrap();
        let (known, took) = (corpus.len(), start.elapsed());
        println!(
            "{name}: {known} inputs of the corpus and {count} made, {} bytes on average, in {took:.1?}: {done:?}; the slowest, \
             of {} bytes, computed for {:.1?}",
            bytes as u64 / (known as u64 + count),
            slowest.1,
            slowest.0
        );
        let some = |what: &&&str| done.get(**what).is_none_or(|&count| count == 0);
        let none: Vec<_> = target.must.iter().filter(some).collect();
        assert!(none.is_empty(), "{name}: nothing of {none:?} came of all that");
    });
    let thread = told.recv().unwrap().to_string_lossy().into_owned();
    let usage = Usage::below_proc(&thread).unwrap();
    let (mut last, mut had) = (None, 0);
    loop {
        match begun.recv_timeout(LIMIT) {
            Ok(Some(input)) => (last, had) = (Some(input), usage.on_core()),
            Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                // One that only wants a core has not hung; one that has had it for long has.
                let wants = whereabouts(&thread);
                let computed = Duration::from_nanos(usage.on_core() - had);
                assert!(
                    wants.starts_with("state R") && computed < HANG,
                    "{name} does not end: {wants}; for {last:?}"
                );
            }
        }
    }
    if let Err(panic) = player.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn whatever_is_attached_to_is_refused_or_bears_every_verb() {
    holds("attach", 10_000);
}

#[test]
fn whatever_is_written_into_what_adapters_share_they_answer() {
    holds("adapters", 1_000);
}

#[test]
fn whatever_is_typed_is_understood_or_answered() {
    holds("command", 3_000);
}

#[test]
fn whatever_is_written_into_a_ring_is_an_error_at_worst() {
    holds("hostile", 1_000);
}

#[test]
fn whatever_is_written_into_a_crowded_ring_is_an_error_at_worst() {
    holds("crowded", 1_000);
}

#[test]
fn whatever_is_done_to_a_ring_it_is_a_queue() {
    holds("sequence", 5_000);
}

#[test]
fn whatever_many_do_to_a_ring_it_is_a_queue() {
    holds("many", 5_000);
}

#[test]
fn inputs_are_used_up() {
    // A target that ignores its input would pass whatever it is given.
    let mut noise = Dice(7);
    let bytes: Vec<u8> = (0..256).map(|_| noise.below(256) as u8).collect();
    let mut input = Unstructured::new(&bytes);
    let taken: Vec<u8> = (0..256).map(|_| input.int_in_range(0..=255).unwrap()).collect();
    assert!(input.is_empty());
    assert_ne!(taken, vec![0; 256]);
}
