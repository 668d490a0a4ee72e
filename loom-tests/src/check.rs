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
    outcomes: BTreeMap<String, u64>,
}

impl Run {
    /// What this execution came to. Once per execution.
    pub fn outcome(&self, outcome: impl Debug) {
        // std's mutex, not loom's: this is outside the model, and orders nothing in it.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.executions += 1;
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
    builder.check(move || model(&inside));
    let seen = std::mem::take(&mut *run.seen.lock().unwrap_or_else(PoisonError::into_inner));
    println!("{} executions in {:.1?}: {:?}", seen.executions, start.elapsed(), seen.outcomes);
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
