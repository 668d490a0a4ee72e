//! Runs a model and judges the *set* of outcomes it reached: one that is not listed is a bug in the algorithm, one that
//! is listed and not reached is a model that explores less than its author believes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

/// Handed to the model in every execution, to say what came of it.
pub struct Run {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    executions: u64,
    /// How often the present execution has said what came of it.
    said: u64,
    /// Executions that said it not at all, or more than once.
    odd: u64,
    outcomes: BTreeMap<String, u64>,
}

impl Run {
    /// What this execution came to. Once per execution.
    pub fn outcome(&self, outcome: impl Debug) {
        // std's mutex, not loom's: this is outside the model, and orders nothing in it.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.said += 1;
        *seen.outcomes.entry(format!("{outcome:?}")).or_default() += 1;
    }
}

/// What a model reached. List what it ought to reach; the comparison is made when the list ends (on drop).
pub struct Outcomes {
    reached: BTreeMap<String, u64>,
    listed: BTreeSet<String>,
}

/// Explores every interleaving, and every value that every load may return.
#[must_use = "list the outcomes with `reaches`"]
pub fn check(model: impl Fn(&Run) + Send + Sync + 'static) -> Outcomes {
    explore(None, model)
}

/// As [`check`], with at most `preemptions` switches away from a thread that could go on; or with as many as
/// `SLIPRING_PREEMPTIONS` says, if that is more.
#[must_use = "list the outcomes with `reaches`"]
pub fn check_bounded(preemptions: usize, model: impl Fn(&Run) + Send + Sync + 'static) -> Outcomes {
    let more = std::env::var("SLIPRING_PREEMPTIONS").ok();
    explore(Some(raised(preemptions, more.as_deref())), model)
}

/// The bound that is written, or the one that is asked for: never fewer, so that no model explores less than it says.
fn raised(written: usize, asked: Option<&str>) -> usize {
    let asked = asked.map(|text| text.parse().expect("SLIPRING_PREEMPTIONS is a number of preemptions"));
    asked.unwrap_or(0).max(written)
}

fn explore(preemptions: Option<usize>, model: impl Fn(&Run) + Send + Sync + 'static) -> Outcomes {
    let run = Arc::new(Run { seen: Mutex::default() });
    let mut builder = loom::model::Builder::new();
    // Set here, whatever the LOOM_* variables say: a model that stops early must not pass.
    builder.preemption_bound = preemptions;
    builder.max_permutations = None;
    builder.max_duration = None;
    builder.max_branches = 10_000;
    let inside = run.clone();
    let start = std::time::Instant::now();
    builder.check(move || {
        model(&inside);
        // Nobody else has the run: what is said is said by now. Judged after the last, since a panic here would meet
        // threads that the model has left running.
        let mut seen = inside.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.executions += 1;
        seen.odd += u64::from(std::mem::take(&mut seen.said) != 1);
    });
    let seen = std::mem::take(&mut *run.seen.lock().unwrap_or_else(PoisonError::into_inner));
    println!("{} executions in {:.1?}: {:?}", seen.executions, start.elapsed(), seen.outcomes);
    assert_eq!(seen.odd, 0, "each execution says its outcome, once");
    Outcomes { reached: seen.outcomes, listed: BTreeSet::new() }
}

impl Outcomes {
    /// One outcome that must be reached, and how it comes about.
    pub fn reaches(mut self, outcome: &str, _why: &str) -> Self {
        assert!(self.listed.insert(outcome.to_owned()), "{outcome} is listed twice");
        self
    }
}

impl Drop for Outcomes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        assert!(!self.listed.is_empty(), "no outcome is listed");
        let reached: BTreeSet<_> = self.reached.keys().cloned().collect();
        let mut difference = String::new();
        for outcome in reached.difference(&self.listed) {
            difference +=
                &format!("\n  reached, not listed: {outcome}   ({} executions)", self.reached[outcome]);
        }
        for outcome in self.listed.difference(&reached) {
            difference += &format!("\n  listed, not reached: {outcome}");
        }
        assert!(difference.is_empty(), "the outcomes differ from the table:{difference}");
    }
}

#[cfg(test)]
mod tests {
    use super::{check, raised};
    use loom::sync::atomic::AtomicU32;
    use loom::sync::atomic::Ordering::Relaxed;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Arc, Mutex};

    /// Whether a race of two stores passes with this table; `says` what comes of it.
    fn passes(says: impl Fn(&super::Run, u32) + Send + Sync + 'static, listed: &[&str]) -> bool {
        let race = move |run: &super::Run| {
            let word = Arc::new(AtomicU32::new(0));
            let there = word.clone();
            let other = loom::thread::spawn(move || there.store(1, Relaxed));
            let seen = word.load(Relaxed);
            other.join().unwrap();
            says(run, seen);
        };
        let play =
            || drop(listed.iter().fold(check(race), |table, outcome| table.reaches(outcome, "a race")));
        catch_unwind(AssertUnwindSafe(play)).is_ok()
    }

    #[test]
    fn a_table_is_the_exact_set_of_outcomes() {
        assert!(passes(|run, seen| run.outcome(seen), &["0", "1"]));
        assert!(!passes(|run, seen| run.outcome(seen), &["0"]), "one is not listed");
        assert!(!passes(|run, seen| run.outcome(seen), &["0", "1", "2"]), "one is not reached");
        assert!(!passes(|run, seen| run.outcome(seen), &[]), "no table");
        assert!(!passes(|_, _| {}, &[]), "nothing said");
        assert!(!passes(|run, seen| (0..=seen).for_each(|n| run.outcome(n)), &["0", "1"]), "said twice");
        // Twice, never, and then once each: as often as there are executions.
        let times = Mutex::new([2, 0].into_iter().chain(std::iter::repeat(1)));
        let in_turn = move |run: &super::Run, seen| {
            let times = times.lock().unwrap().next().unwrap();
            (0..times).for_each(|_| run.outcome(seen));
        };
        assert!(!passes(in_turn, &["0", "1"]), "said twice by one, never by another");
    }

    #[test]
    fn a_bound_is_raised_and_never_lowered() {
        assert_eq!(raised(2, None), 2);
        assert_eq!(raised(2, Some("3")), 3);
        assert_eq!(raised(3, Some("1")), 3);
    }
}
