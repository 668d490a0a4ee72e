//! `weaken`: makes every atomic operation of the model half weaker by one step, one at a time, runs the models that
//! reach it and demands that one of them goes red. The ledger in docs/memory-ordering.md says which; what survives must
//! have a proof there. Nothing is built anew: the facade weakens the operation when it is told to by the environment.
//!
//! `steps` finds the operations, `models` runs the models, `ledger` keeps the page.
#![forbid(unsafe_code)]

mod ledger;
mod models;
mod steps;

use clap::Parser;
use ledger::{Ledger, PROVEN, Row};
use models::{Ended, Model};
use slipring_loom::notes::Source;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use steps::{Operation, Step};

/// Weakens each atomic operation by one step and demands that a model goes red. Exit codes: 0 all went red or have a
/// proof, 1 something survives, 2 error.
#[derive(Parser)]
#[command(name = "weaken")]
struct Args {
    /// Every operation; rewrites the ledger
    #[arg(long, conflicts_with_all = ["since", "only"])]
    all: bool,
    /// Operations in functions that differ from this commit; updates their rows
    #[arg(long, value_name = "COMMIT")]
    since: Option<String>,
    /// Operations whose id, file or function contains this text; updates their rows
    #[arg(value_name = "TEXT")]
    only: Option<String>,
    /// Only say what would be weakened
    #[arg(long)]
    list: bool,
    /// Leave the ledger as it is
    #[arg(long)]
    dry: bool,
    /// Models to run at once [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("weaken: {why}");
            ExitCode::from(2)
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

fn run(args: &Args) -> Result<bool, String> {
    if !args.all && args.since.is_none() && args.only.is_none() {
        return Err("say --all, --since COMMIT, or a part of a name; --help says more".into());
    }
    let operations = steps::find(&Source::all(root()))?;
    let changed = args.since.as_deref().map(changed_lines).transpose()?;
    let chosen = |operation: &&Operation| {
        let text = |text: &str| {
            operation.ids.iter().chain([&operation.file, &operation.name]).any(|name| name.contains(text))
        };
        let touched = |lines: &BTreeMap<String, Vec<(usize, usize)>>| {
            let (first, last) = operation.function;
            lines
                .get(&operation.file)
                .is_some_and(|l| l.iter().any(|(from, to)| *from <= last && *to >= first))
        };
        args.only.as_deref().is_none_or(text) && changed.as_ref().is_none_or(touched)
    };
    let tasks: Vec<(&Operation, &Step)> = operations
        .iter()
        .filter(chosen)
        .flat_map(|operation| operation.steps.iter().map(move |step| (operation, step)))
        .collect();
    if args.list {
        for (operation, step) in &tasks {
            println!("{}  {}: {}", operation.place(), operation.name, step.what);
        }
        return Ok(true);
    }
    let ledger = Ledger::read(root())?;
    if tasks.is_empty() {
        println!("nothing to weaken");
        return Ok(true);
    }
    let start = Instant::now();
    let models = models::all()?;
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let verdicts = for_each(&tasks, jobs, |(operation, step)| {
        let start = Instant::now();
        let verdict = judge(operation, step, &models, &ledger, jobs)?;
        let Operation { file, name, .. } = operation;
        println!("{file} {name}: {}: {}  ({:.1?})", step.what, verdict.text, start.elapsed());
        Ok(verdict)
    })?;

    let judged: Vec<Row> = tasks
        .iter()
        .zip(&verdicts)
        .map(|((operation, step), verdict)| Row::new(operation, step, &verdict.text))
        .collect();
    if !args.dry {
        // In the order of the source; what was not judged now keeps what was said of it.
        let known = |row: &Row| judged.iter().chain(&ledger.rows).find(|known| known.is_of(row)).cloned();
        let rows: Vec<Row> = operations
            .iter()
            .flat_map(|operation| operation.steps.iter().map(move |step| Row::new(operation, step, "")))
            .filter_map(|row| known(&row))
            .collect();
        ledger.write(&rows)?;
    }
    let count = |wanted: Kind| verdicts.iter().filter(|verdict| verdict.kind == wanted).count();
    println!(
        "{} steps at {} operations: {} red, {} proven, {} survive; {} models, {:.0?} with {jobs} at once",
        tasks.len(),
        operations.iter().filter(chosen).filter(|operation| !operation.steps.is_empty()).count(),
        count(Kind::Red),
        count(Kind::Proven),
        count(Kind::Survives),
        models.len(),
        start.elapsed(),
    );
    Ok(count(Kind::Survives) == 0)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Red,
    Proven,
    Survives,
}

struct Verdict {
    kind: Kind,
    text: String,
}

/// Does the same for each item, `jobs` of them at once; what came of them, in their order.
fn for_each<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> Result<R, String> + Sync,
) -> Result<Vec<R>, String> {
    let next = Mutex::new(items.iter().enumerate());
    let done = Mutex::new(Vec::new());
    // The lock is let go before the work.
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some((i, item)) = take() {
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The first model that goes red: the one that the ledger names, else from the quickest to the slowest. So with a ledger
/// that is right no other model runs at all.
fn judge(
    operation: &Operation,
    step: &Step,
    models: &[Model],
    ledger: &Ledger,
    jobs: usize,
) -> Result<Verdict, String> {
    let place = operation.place();
    let request = operation.request(step);
    let row = Row::new(operation, step, "");
    let named = ledger.rows.iter().find(|known| known.is_of(&row)).and_then(Row::model);
    let named = named.and_then(|named| models.iter().find(|model| model.name == named));
    let mut undecided = 0;
    let mut goes_red = |model: &Model| -> Result<Option<Verdict>, String> {
        if !model.reaches(&place)? {
            return Ok(None);
        }
        Ok(match model.weakened(&request)? {
            Ended::Red(why) => Some(Verdict { kind: Kind::Red, text: format!("`{}`: {why}", model.name) }),
            Ended::Green => None,
            Ended::TimedOut => {
                undecided += 1;
                None
            }
        })
    };
    if let Some(model) = named
        && let Some(verdict) = goes_red(model)?
    {
        return Ok(verdict);
    }
    let took = for_each(models, jobs, |model| model.baseline().map(|baseline| baseline.took))?;
    let mut others: Vec<_> = took.into_iter().zip(models).collect();
    others.sort_by_key(|(took, _)| *took);
    others.retain(|(_, model)| named.is_none_or(|named| named.name != model.name));
    for (_, model) in others {
        if let Some(verdict) = goes_red(model)? {
            return Ok(verdict);
        }
    }
    if ledger.has_proof(&row) {
        return Ok(Verdict { kind: Kind::Proven, text: PROVEN.into() });
    }
    let mut reaching = 0;
    for model in models {
        reaching += usize::from(model.reaches(&place)?);
    }
    println!("no model goes red; a proof would stand in docs/memory-ordering.md under: {}", row.heading());
    let text = format!("**nothing**: {reaching} models reach it, {undecided} of them ended undecided");
    Ok(Verdict { kind: Kind::Survives, text })
}

/// For each file below src/ the ranges of lines that differ from the commit.
fn changed_lines(commit: &str) -> Result<BTreeMap<String, Vec<(usize, usize)>>, String> {
    let diff = Command::new("git")
        .args(["diff", "--unified=0", "--no-color", "--no-ext-diff", "--relative=src", commit, "--", "src"])
        .current_dir(root())
        .output()
        .map_err(|e| format!("git cannot be run: {e}"))?;
    if !diff.status.success() {
        return Err(format!("git diff: {}", String::from_utf8_lossy(&diff.stderr).trim()));
    }
    Ok(hunks(&String::from_utf8_lossy(&diff.stdout)))
}

fn hunks(diff: &str) -> BTreeMap<String, Vec<(usize, usize)>> {
    let mut changed: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    let mut file = String::new();
    for line in diff.lines() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            file = path.to_owned();
        } else if let Some(hunk) = line.strip_prefix("@@ ") {
            let new = hunk.split_whitespace().find_map(|word| word.strip_prefix('+')).unwrap_or("0");
            let (first, count) = new.split_once(',').unwrap_or((new, "1"));
            let first: usize = first.parse().unwrap_or(0);
            let count: usize = count.parse().unwrap_or(1);
            // Lines that only went away leave their mark on both neighbours.
            let last = if count == 0 { first + 1 } else { first + count - 1 };
            changed.entry(file.clone()).or_default().push((first, last));
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_has_one_row_for_each_step_and_no_other() {
        let operations = steps::find(&Source::all(root())).unwrap();
        let ledger = Ledger::read(root()).unwrap();
        let wanted: Vec<Row> = operations
            .iter()
            .flat_map(|operation| operation.steps.iter().map(move |step| Row::new(operation, step, "")))
            .collect();
        assert!(wanted.len() > 10, "there are operations to weaken");
        for row in &wanted {
            let found: Vec<_> = ledger.rows.iter().filter(|known| known.is_of(row)).collect();
            let why = "run `weaken` and commit the ledger";
            assert_eq!(found.len(), 1, "{}: {why}", row.heading());
            match found[0].model() {
                Some(model) => assert!(is_there(model), "{}: no model {model}; {why}", row.heading()),
                None => {
                    let proven = found[0].verdict == PROVEN && ledger.has_proof(row);
                    assert!(proven, "{} survives and has no proof", row.heading());
                }
            }
            let noted = Row { verdict: String::new(), ..found[0].clone() };
            assert_eq!(noted, *row, "the notes changed: {why}");
        }
        assert_eq!(ledger.rows.len(), wanted.len(), "a row whose operation is gone");
    }

    /// Whether `file::test` is a test of `loom-tests/tests/`.
    fn is_there(model: &str) -> bool {
        let (file, test) = model.split_once("::").unwrap_or_default();
        let path = root().join("loom-tests/tests").join(file).with_extension("rs");
        std::fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("\n#[test]\nfn {test}() {{\n")))
    }

    #[test]
    fn a_model_is_looked_up_where_models_are() {
        assert!(is_there("mpmc::two_senders_never_share_a_slot"));
        for gone in
            ["mpmc::two_senders_never_share", "spsc::two_senders_never_share_a_slot", "no::model", "mpmc"]
        {
            assert!(!is_there(gone), "{gone}");
        }
    }

    #[test]
    fn changed_lines_are_read_from_a_diff() {
        let diff = "diff --git a/ring/spsc.rs b/ring/spsc.rs\n--- a/ring/spsc.rs\n+++ b/ring/spsc.rs\n\
                    @@ -10 +10,3 @@ fn f() {\n-a\n+b\n@@ -20,2 +22,0 @@\n-c\n-d\n+++ b/event.rs\n@@ -1 +1 @@\n-a\n+b\n";
        let changed = hunks(diff);
        assert_eq!(changed["ring/spsc.rs"], [(10, 12), (22, 23)]);
        assert_eq!(changed["event.rs"], [(1, 1)]);
    }
}
