//! The results: one struct that holds everything, and its exporters: the table for people, JSON for all else, and
//! markdown for the records.
#![forbid(unsafe_code)]

use std::fmt;

use serde::{Deserialize, Serialize};
use slipring_harness::Report;
use slipring_harness::reference::Placement;
use slipring_harness::text::{figure, table};

use crate::goals::{FIRM_ROUNDS, GoalRow};
use crate::rest::{Attach, Idle};
use crate::silence::Silence;

/// A finished run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The goals, in the order of their numbers.
    pub goals: Vec<GoalRow>,
    /// The engines.
    pub engines: Vec<EngineNote>,
    /// What could not be measured, and why.
    pub absent: Vec<Absent>,
    /// What a ring that nobody uses costs.
    pub rest: Option<Rest>,
    /// System calls while nobody sleeps, by flavour.
    pub silence: Vec<(String, Silence)>,
    /// All figures, the machine, and how they were taken.
    pub figures: Report,
}

/// An engine and how it was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineNote {
    /// Its name.
    pub name: String,
    /// How.
    pub setting: String,
}

/// Something that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// PERF-11's raw figures.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rest {
    /// A parked receiver.
    pub idle: Idle,
    /// Attaching in a process that has attached before.
    pub attach: Attach,
    /// Attaching for the first time in a process.
    pub first_attach: Attach,
    /// Rings open at once.
    pub rings: usize,
}

impl Results {
    /// Whether nothing that was measured missed its goal.
    pub fn all_reached(&self) -> bool {
        self.goals.iter().all(|row| row.yes != Some(false))
    }

    /// As JSON, indented.
    ///
    /// # Errors
    /// Never of what this program makes.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// As markdown: the goals as a table, everything else as printed.
    pub fn to_markdown(&self) -> String {
        let mut text =
            format!("# Goals against peers, {}\n\n{}\n", self.figures.date, line(&HEAD.map(String::from)));
        text.push_str(&line(&HEAD.map(|_| "---".into())));
        text.push('\n');
        for row in &self.goals {
            text.push_str(&line(&cells(row)));
            text.push('\n');
        }
        text.push_str(&format!("\n```text\n{}```\n", Below(self)));
        text
    }
}

const HEAD: [&str; 9] =
    ["goal", "what", "cores", "must be", "reached", "least", "greatest", "kept/dropped", "yes"];

fn line(cells: &[String; 9]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn cells(row: &GoalRow) -> [String; 9] {
    let yes = match row.yes {
        None => "-",
        Some(true) => "yes",
        Some(false) => "NO",
    };
    let doubt = match () {
        () if row.yes.is_none() || row.is_firm() => "",
        () if row.loaded => " (load)",
        () => " (few)",
    };
    let end = |pick: fn(slipring_harness::stats::Spread) -> f64| {
        row.spread.map_or_else(|| "-".into(), |spread| figure(pick(spread)))
    };
    [
        row.goal.clone(),
        row.what.clone(),
        row.placement.map_or("-", Placement::name).into(),
        row.must.clone(),
        row.reached.clone(),
        end(|spread| spread.min),
        end(|spread| spread.max),
        if row.spread.is_some() { format!("{}/{}", row.kept, row.dropped) } else { "-".into() },
        format!("{yes}{doubt}"),
    ]
}

/// With the goal and what it is about in one column, which the table puts to the left.
fn joined(row: &GoalRow) -> Vec<String> {
    let [goal, what, rest @ ..] = cells(row);
    [vec![format!("{goal:<7} {what}")], rest.to_vec()].concat()
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The goals, as ratios within a round (median of the rounds that were kept)")?;
        let head = [&[""], &HEAD[2..]].concat();
        table(f, &head, self.goals.iter().map(joined))?;
        write!(f, "{}", Below(self))
    }
}

/// All but the goals' table.
struct Below<'a>(&'a Results);

impl fmt::Display for Below<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Results { goals, engines, absent, rest, silence, figures } = self.0;
        if goals.iter().any(|row| row.yes.is_some() && !row.is_firm()) {
            writeln!(
                f,
                "(few): fewer than {FIRM_ROUNDS} rounds. (load): others used the cores in every round; all were kept."
            )?;
        }
        for row in goals.iter().filter(|row| row.note.is_some()) {
            writeln!(f, "{}, {}: {}", row.goal, row.what, row.note.as_deref().unwrap_or_default())?;
        }
        for absent in absent {
            writeln!(f, "NOT MEASURED: {}: {}", absent.what, absent.why)?;
        }
        writeln!(f, "\nThe engines")?;
        for engine in engines {
            writeln!(f, "{}: {}", engine.name, engine.setting)?;
        }
        writeln!(
            f,
            "rtrb and crossbeam's ArrayQueue are made for threads. Here their heap memory lies in a mapping that two\n\
             processes share, so that they are measured exactly as the others are; nobody can use them so in earnest."
        )?;
        for (flavour, silence) in silence {
            writeln!(
                f,
                "{flavour}: {} bursts of {} messages, {} undisturbed, {} of these without a system call{}",
                silence.bursts,
                silence.messages,
                silence.undisturbed,
                silence.silent,
                if silence.calls.is_empty() {
                    String::new()
                } else {
                    format!(" (numbers seen: {:?})", silence.calls)
                }
            )?;
        }
        if let Some(Rest { idle, attach, first_attach, rings }) = rest {
            writeln!(
                f,
                "parked receiver: {} us of processor time in {:.1} s, {} wakes; attach: p50 {:.1} us, p99 {:.1} us of {}; \
                 first in a process: p50 {:.1} us, p99 {:.1} us of {}; {rings} rings open at once",
                idle.cpu_us,
                idle.seconds,
                idle.wakes,
                attach.p50_us,
                attach.p99_us,
                attach.count,
                first_attach.p50_us,
                first_attach.p99_us,
                first_attach.count,
            )?;
        }
        write!(f, "\nAll figures. {figures}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipring_harness::clock::Clock;
    use slipring_harness::cores::Cores;
    use slipring_harness::machine::Machine;
    use slipring_harness::measure::Setting;
    use slipring_harness::process::Pair;
    use slipring_harness::report::Method;
    use slipring_harness::stats::Spread;
    use std::time::Duration;

    fn row(kept: usize, yes: Option<bool>) -> GoalRow {
        GoalRow {
            goal: "PERF-3".into(),
            what: "56 B in place / rtrb".into(),
            placement: Some(Placement::Near),
            must: ">= 2.00".into(),
            reached: "2.13".into(),
            spread: Some(Spread { median: 2.13, min: 1.9, max: 2.5 }),
            kept,
            dropped: 3,
            loaded: false,
            yes,
            note: None,
        }
    }

    fn results(goals: Vec<GoalRow>) -> Results {
        let cores = Cores::Unpinned;
        let pair = Pair { cores, limit: Duration::from_secs(1) };
        let setting = Setting { pair, clock: Clock::calibrate(), budget: Duration::from_millis(1) };
        Results {
            goals,
            engines: vec![EngineNote { name: "rtrb".into(), setting: "as threads use it".into() }],
            absent: vec![Absent { what: "iceoryx2".into(), why: "not built".into() }],
            rest: None,
            silence: Vec::new(),
            figures: Report::new(Machine::this(cores), Method::of(&setting), None, &setting.clock, &[]),
        }
    }

    #[test]
    fn a_row_says_goal_place_bar_figure_range_rounds_and_verdict() {
        let text = results(vec![row(12, Some(true))]).to_string();
        let line = text.lines().find(|line| line.starts_with("PERF-3")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let want = "PERF-3 56 B in place / rtrb near >= 2.00 2.13 1.90 2.50 12/3 yes";
        assert_eq!(words.join(" "), want);
        assert!(text.contains("NOT MEASURED: iceoryx2: not built"));
        assert!(text.contains("rtrb: as threads use it"));
    }

    #[test]
    fn doubtful_verdicts_are_marked_and_explained() {
        let few = results(vec![row(4, Some(false))]).to_string();
        assert!(few.contains("NO (few)") && few.contains("fewer than 9 rounds"));
        let loaded = GoalRow { loaded: true, ..row(12, Some(true)) };
        assert!(results(vec![loaded]).to_string().contains("yes (load)"));
        let firm = results(vec![row(12, Some(true))]).to_string();
        assert!(!firm.contains("(few)") && !firm.contains("(load)"));
    }

    #[test]
    fn one_missed_goal_is_enough_to_miss_and_unasked_ones_are_not() {
        assert!(results(vec![row(12, Some(true)), row(12, None)]).all_reached());
        assert!(!results(vec![row(12, Some(true)), row(12, Some(false))]).all_reached());
    }

    #[test]
    fn json_holds_all_and_comes_back() {
        let results = results(vec![row(12, Some(true))]);
        let back: Results = serde_json::from_str(&results.to_json().unwrap()).unwrap();
        assert_eq!((back.goals, back.absent), (results.goals, results.absent));
    }

    #[test]
    fn markdown_is_a_table_and_the_printed_rest() {
        let text = results(vec![row(12, Some(true))]).to_markdown();
        assert!(text.contains("| goal | what | cores |") && text.contains("\n| --- |"));
        assert!(text.contains("| PERF-3 | 56 B in place / rtrb | near | >= 2.00 | 2.13 |"));
        assert!(text.contains("```text\n") && text.ends_with("```\n"));
    }
}
