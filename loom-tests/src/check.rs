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
    /// Executions that said what came of them.
    said: u64,
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

/// As [`check`], with at most `preemptions` switches away from a thread that could go on.
#[must_use = "list the outcomes with `reaches`"]
pub fn check_bounded(preemptions: usize, model: impl Fn(&Run) + Send + Sync + 'static) -> Outcomes {
    explore(Some(preemptions), model)
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
        inside.seen.lock().unwrap_or_else(PoisonError::into_inner).executions += 1;
        model(&inside);
    });
    let seen = std::mem::take(&mut *run.seen.lock().unwrap_or_else(PoisonError::into_inner));
    println!("{} executions in {:.1?}: {:?}", seen.executions, start.elapsed(), seen.outcomes);
    assert_eq!(seen.said, seen.executions, "each execution says its outcome, once");
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
    use super::check;
    use loom::sync::atomic::AtomicU32;
    use loom::sync::atomic::Ordering::Relaxed;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

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
    }
}
