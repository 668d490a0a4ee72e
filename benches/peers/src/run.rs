//! Runs the plan: rounds over all groups, more rounds for groups that lost some to outside load, while there is time.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use slipring_harness::HarnessError;
use slipring_harness::load::LoadLimit;
use slipring_harness::measure::Setting;
use slipring_harness::rounds::{self, Cell, Kept, Round};

use crate::plan::{Group, Key};

/// How much is run.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Rounds wanted of each group, without outside load.
    pub rounds: usize,
    /// When no further round is begun, unless none was made yet.
    pub patience: Duration,
}

/// A group's rounds.
#[derive(Clone, Debug)]
pub struct GroupRun {
    /// What was measured; the cells of each round are in this order.
    pub cells: Vec<(Key, Cell)>,
    /// The rounds.
    pub kept: Kept,
    /// What could not be measured, and why.
    pub absent: Vec<(Key, String)>,
}

/// Runs all groups. `progress` is told what comes next.
///
/// # Errors
/// Of slipring's cells. Failures of others are reported as absent.
pub fn run(
    setting: &Setting,
    groups: &[Group],
    extent: Extent,
    mut progress: impl FnMut(&str),
) -> Result<Vec<GroupRun>, HarnessError> {
    let start = Instant::now();
    let limit = LoadLimit::default();
    let mut runs = Vec::with_capacity(groups.len());
    for group in groups {
        progress(&format!("trying {}", group.name));
        runs.push(attempt(setting, group)?);
    }
    let mut taken: Vec<Vec<Round>> = vec![Vec::new(); groups.len()];
    // Twice the rounds is enough of a try on a machine that others use.
    for pass in 0..2 * extent.rounds {
        for (index, (cells, _)) in runs.iter().enumerate() {
            let good = taken[index].iter().filter(|round| round.load.exceeds(&limit).is_none()).count();
            let late = start.elapsed() > extent.patience && pass > 0;
            if good >= extent.rounds || late || cells.is_empty() {
                continue;
            }
            let plain: Vec<Cell> = cells.iter().map(|&(_, cell)| cell).collect();
            let round = rounds::run(setting, &plain, 1, |at| {
                let cell = at.cell;
                progress(&format!("pass {}: {} {} {} B", pass + 1, cell.mechanism, cell.kind(), cell.size));
            })?;
            taken[index].extend(round);
        }
    }
    let finish = |((cells, absent), rounds)| GroupRun { cells, kept: rounds::keep(rounds, &limit), absent };
    Ok(runs.into_iter().zip(taken).map(finish).collect())
}

type Attempt = (Vec<(Key, Cell)>, Vec<(Key, String)>);

/// Measures each cell for a moment, to find out which can be.
fn attempt(setting: &Setting, group: &Group) -> Result<Attempt, HarnessError> {
    let brief = Setting { budget: Duration::from_millis(1), ..*setting };
    let (mut cells, mut absent) = (Vec::new(), Vec::new());
    for &(key, cell) in &group.cells {
        match rounds::run(&brief, &[cell], 1, |_| ()) {
            Ok(_) => cells.push((key, cell)),
            Err(error) if cell.mechanism.starts_with("slipring") => return Err(error),
            Err(error) => absent.push((key, error.to_string())),
        }
    }
    Ok((cells, absent))
}
