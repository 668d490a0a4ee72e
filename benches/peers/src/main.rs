//! slipring beside other engines: measures the performance goals that are ratios of what other libraries reach, in one
//! run and in interleaved rounds, and prints which are reached. `docs/benchmarking.md` explains the method.
//!
//! Writes nothing unless told to (`--record`). Exit status: 0 if every goal that was measured is reached, 1 if one is
//! not, 2 if the run failed.

mod arena;
mod engine;
mod goals;
mod plan;
mod rest;
mod results;
mod run;
mod silence;

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use slipring_harness::clock::Clock;
use slipring_harness::cores::Cores;
use slipring_harness::machine::Machine;
use slipring_harness::measure::Setting;
use slipring_harness::mechanism::{Flavour, Park, Spin, remove_stale};
use slipring_harness::process::Pair;
use slipring_harness::report::Method;
use slipring_harness::rounds::{Cell, Kept, Reading};
use slipring_harness::{HarnessError, Report};

use engine::ENGINES;
use engine::slipring::ParkSemaphore;
use goals::{Bar, FIRM_ROUNDS, Goal, GoalRow};
use plan::{Group, Key};
use rest::Attach;
use results::{Absent, EngineNote, Rest, Results};
use run::{Extent, GroupRun};
use silence::{Silence, silence};

#[global_allocator]
static HEAP: arena::SharedWhileLending = arena::SharedWhileLending;

/// Measures slipring beside other engines and prints which performance goals are reached.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Print everything as JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Five short rounds: a first impression, no verdict.
    #[arg(long)]
    quick: bool,
    /// Rounds of each group without outside load (default 15, quick 5).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: Option<u16>,
    /// Only these goals; may be repeated.
    #[arg(long, value_name = "GOAL")]
    only: Vec<String>,
    /// Begin no further round after this many seconds (default 300, quick 40).
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u64>,
    /// What was measured, for the record: a commit.
    #[arg(long, value_name = "TEXT")]
    commit: Option<String>,
    /// Also write FILE.json and FILE.md, which must not exist yet.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure_and_print(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("slipring-peers: {error}");
            ExitCode::from(2)
        }
    }
}

fn measure_and_print(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let record = arguments.record.as_deref().map(Record::create).transpose()?;
    let results = measure(arguments)?;
    let mut text = if arguments.json { results.to_json()? } else { results.to_string() };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        done => done?,
    }
    if let Some(record) = record {
        record.write(&results)?;
    }
    Ok(results.all_reached())
}

/// The files of `--record`, made before the minutes of measuring.
struct Record {
    json: File,
    markdown: File,
}

impl Record {
    fn create(path: &Path) -> Result<Record, String> {
        let create = |extension: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(extension);
            let path = PathBuf::from(name);
            File::create_new(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))
        };
        Ok(Record { json: create(".json")?, markdown: create(".md")? })
    }

    fn write(mut self, results: &Results) -> Result<(), Box<dyn std::error::Error>> {
        self.json.write_all(results.to_json()?.as_bytes())?;
        self.json.write_all(b"\n")?;
        self.markdown.write_all(results.to_markdown().as_bytes())?;
        Ok(())
    }
}

/// All goals this program knows.
const GOALS: [&str; 13] = [
    "PERF-1", "PERF-2", "PERF-3", "PERF-4", "PERF-5", "PERF-6", "PERF-7", "PERF-8", "PERF-9", "PERF-10",
    "PERF-11", "PRICE", "OTHERS",
];

fn measure(arguments: &Arguments) -> Result<Results, HarnessError> {
    let wanted: Vec<String> = arguments.only.iter().map(|goal| goal.to_uppercase()).collect();
    if let Some(unknown) = wanted.iter().find(|goal| !GOALS.contains(&goal.as_str())) {
        return Err(HarnessError::BadOption {
            what: format!("{unknown}; the goals here are {}", GOALS.join(", ")),
        });
    }
    let is_wanted = |goal: &str| wanted.is_empty() || wanted.iter().any(|own| own == goal);
    let quick = arguments.quick;
    let rounds = arguments.rounds.map_or(if quick { 5 } else { 15 }, usize::from);
    let patience = Duration::from_secs(arguments.patience.unwrap_or(if quick { 40 } else { 300 }));

    remove_stale();
    let (clock, cores) = (Clock::calibrate(), Cores::choose()?);
    let budget = Duration::from_millis(if quick { 20 } else { 50 });
    let setting = Setting { pair: Pair { cores, limit: Duration::from_secs(30) }, clock, budget };
    let groups: Vec<Group> =
        plan::groups().into_iter().filter(|group| group.goals.iter().any(|goal| is_wanted(goal))).collect();
    let shows = std::io::stderr().is_terminal();
    let progress = |what: &str| {
        if shows {
            eprint!("\r{what}\x1b[K");
        }
    };
    let runs = run::run(&setting, &groups, Extent { rounds, patience }, progress)?;

    let mut goals: Vec<GoalRow> = goals::goals()
        .iter()
        .filter(|goal| is_wanted(goal.id))
        .flat_map(|goal| rows_of(goal, &clock, &runs))
        .collect();
    let mut absent: Vec<Absent> = runs.iter().flat_map(|run| &run.absent).map(absent_cell).collect();
    absent.extend(
        ENGINES
            .iter()
            .filter_map(|engine| Some(Absent { what: engine.name.into(), why: engine.absent?.into() })),
    );

    let mut silences = Vec::new();
    if is_wanted("PERF-6") {
        progress("counting system calls");
        for (name, outcome) in [
            flavour_silence::<Spin>(&setting.pair),
            flavour_silence::<Park>(&setting.pair),
            flavour_silence::<ParkSemaphore>(&setting.pair),
        ] {
            goals.push(silence_row(name, &outcome));
            silences.extend(outcome.ok().map(|silence| (name.to_string(), silence)));
        }
    }
    let mut rest = None;
    if is_wanted("PERF-11") {
        progress("an idle receiver, attaching, a thousand rings");
        let span = Duration::from_secs(if quick { 2 } else { 5 });
        let found = Rest {
            idle: rest::idle(&setting.pair, span)?,
            attach: rest::attach(&clock)?,
            first_attach: rest::first_attach(&setting.pair, &clock)?,
            rings: rest::many_rings()?,
        };
        goals.extend(rest_rows(&found));
        rest = Some(found);
    }
    progress("");
    goals.sort_by_key(|row| GOALS.iter().position(|goal| *goal == row.goal));

    let cells: Vec<(Vec<Cell>, &Kept)> =
        runs.iter().map(|run| (run.cells.iter().map(|&(_, cell)| cell).collect(), &run.kept)).collect();
    let cells: Vec<(&[Cell], &Kept)> = cells.iter().map(|(cells, kept)| (&cells[..], *kept)).collect();
    let method = Method::of(&setting);
    let figures = Report::new(Machine::this(cores), method, arguments.commit.clone(), &clock, &cells);
    let engine = |engine: &engine::Engine| EngineNote {
        name: engine.name.to_string(),
        setting: engine.setting.to_string(),
    };
    let engines = ENGINES.iter().map(engine).collect();
    Ok(Results { goals, engines, absent, rest, silence: silences, figures })
}

fn absent_cell((key, why): &(Key, String)) -> Absent {
    Absent { what: (*key).to_string(), why: why.clone() }
}

/// A goal's rows, from the rounds of the group that has its cells.
fn rows_of(goal: &Goal, clock: &Clock, runs: &[GroupRun]) -> Vec<GoalRow> {
    let (own, other) = goal.figure.keys();
    let place = |run: &GroupRun, key: Key| run.cells.iter().position(|&(name, _)| name == key);
    let why_not = |key: Key| {
        let reasons = runs.iter().flat_map(|run| &run.absent).filter(|(name, _)| *name == key);
        let engine = ENGINES.iter().find(|engine| key.ends_with(engine.name));
        let reason = reasons.map(|(_, why)| why.clone()).next();
        let reason = reason.or_else(|| engine.and_then(|engine| engine.absent.map(String::from)));
        format!("{key}: {}", reason.unwrap_or_else(|| "not measured".into()))
    };
    let Some((run, at)) = runs.iter().find_map(|run| place(run, own).map(|at| (run, at))) else {
        return vec![goals::missing(goal, why_not(own))];
    };
    let beside = other.map(|key| place(run, key));
    if let (Some(key), Some(None)) = (other, beside) {
        return vec![goals::missing(goal, why_not(key))];
    }
    let size = run.cells[at].1.size;
    let value = |readings: &[Reading]| {
        let other = beside.flatten().map(|at| &readings[at]);
        goal.figure.value(clock, size, &readings[at], other)
    };
    let values: Vec<_> = run.kept.rounds.iter().filter_map(|round| value(&round.readings)).collect();
    let dropped = if run.kept.all_loaded { 0 } else { run.kept.dropped.len() };
    let rows = goals::rows(goal, &values, dropped, run.kept.all_loaded);
    if rows.is_empty() {
        return vec![goals::missing(goal, "the cores moved in every round".into())];
    }
    rows
}

fn flavour_silence<F: Flavour>(pair: &Pair) -> (&'static str, Result<Silence, HarnessError>) {
    (F::NAME, silence::<F>(pair))
}

fn silence_row(flavour: &str, outcome: &Result<Silence, HarnessError>) -> GoalRow {
    let what = format!("bursts without a system call, {flavour}");
    match outcome {
        Ok(silence) => {
            let enough = silence.undisturbed >= FIRM_ROUNDS;
            let reached = format!("{} of {}", silence.silent, silence.undisturbed);
            let yes = enough.then_some(silence.silent == silence.undisturbed);
            let note = format!("only {} bursts were undisturbed", silence.undisturbed);
            let note = (!enough).then_some(note);
            GoalRow { note, ..plain_row("PERF-6", what, "all".into(), reached, yes) }
        }
        Err(error) => {
            let note = Some(error.to_string());
            GoalRow { note, ..plain_row("PERF-6", what, "all".into(), "-".into(), None) }
        }
    }
}

/// A row that is no ratio.
fn plain_row(goal: &str, what: String, must: String, reached: String, yes: Option<bool>) -> GoalRow {
    GoalRow {
        goal: goal.into(),
        what,
        placement: None,
        must,
        reached,
        spread: None,
        kept: 0,
        dropped: 0,
        loaded: false,
        yes,
        note: None,
    }
}

/// PERF-11. 0 % is what rounds to it: a parked receiver looks 25 times a second whether its peer lives.
fn rest_rows(rest: &Rest) -> Vec<GoalRow> {
    let percent = rest.idle.cpu_percent();
    let row = |what: &str, must: &str, reached, yes| {
        plain_row("PERF-11", what.into(), must.into(), reached, Some(yes))
    };
    let us = Bar::AtMost(100.0);
    let attach =
        |what: &str, figure: f64| row(what, "< 100 us", format!("{figure:.1} us"), us.is_reached(figure));
    let Attach { p50_us, p99_us, .. } = rest.attach;
    vec![
        row("idle parked receiver, of one core", "0 %", format!("{percent:.3} %"), percent < 0.5),
        attach("attach to a named ring, p50", p50_us),
        attach("attach to a named ring, p99", p99_us),
        attach("first attach of a process, p50", rest.first_attach.p50_us),
        attach("first attach of a process, p99", rest.first_attach.p99_us),
        row("rings open in one process", "1000", rest.rings.to_string(), rest.rings >= 1000),
    ]
}
