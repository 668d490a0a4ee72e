//! `slipring compare`: measures on this machine. The measuring is the harness's; here its report meets the terminal.

use std::time::Duration;

use slipring_harness::{CompareOptions, HarnessError, compare};

use crate::fail::Fail;
use crate::flow::progress::Steps;
use crate::{duration, out};

/// Shown below the options.
const EXAMPLES: &str = "\
Two processes are forked for each measurement and pinned to a core each. Everything is measured in interleaved rounds, \
beside a reference taken at the same moment; ratios are to be believed before absolute times. Rounds during which \
others used the cores are dropped. Keep the machine quiet meanwhile.

Exit codes: 0 measured, 2 error.

Examples:
  slipring compare
  slipring compare --quick                   # a first impression
  slipring compare --cores 2,3 --rounds 15
  slipring compare --json > report.json";

/// `compare` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Fewer and shorter rounds: a first impression in a few seconds
    #[arg(long)]
    quick: bool,

    /// How often to measure everything
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,

    /// How long each measurement is to take, such as 50ms
    #[arg(long, value_name = "DURATION", value_parser = budget)]
    budget: Option<Duration>,

    /// The two cores to measure on, such as 2,3
    #[arg(long, value_name = "A,B", value_parser = cores)]
    cores: Option<[usize; 2]>,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    /// Show no progress
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let steps = Steps::new(args.quiet);
    let report = compare(options(args), |at| {
        let what = format!(
            "round {}/{}: {} {} of {} bytes",
            at.round,
            at.rounds,
            at.cell.mechanism,
            at.cell.kind(),
            at.cell.size
        );
        steps.show(at.done, at.total, what);
    });
    drop(steps);
    let report = report.map_err(failed)?;
    match args.json {
        true => out::print(&format!("{}\n", report.to_json().map_err(failed)?)),
        false => out::print(&report.to_string()),
    }
}

/// What the harness is to do.
fn options(args: &Args) -> CompareOptions {
    let mut options = if args.quick { CompareOptions::quick() } else { CompareOptions::default() };
    if let Some(rounds) = args.rounds {
        options.rounds = rounds.into();
    }
    if let Some(budget) = args.budget {
        options.budget = budget;
    }
    options.cores = args.cores;
    options
}

/// An error of the harness.
fn failed(error: HarnessError) -> Fail {
    Fail::Error(format!("compare: {error}"))
}

/// Reads `2,3`.
fn cores(text: &str) -> Result<[usize; 2], String> {
    let pair = text.split_once(',').and_then(|(a, b)| Some([a.trim().parse().ok()?, b.trim().parse().ok()?]));
    pair.ok_or_else(|| "two numbers of cores with a comma between, such as 2,3".into())
}

/// Reads the length of a measurement; the harness gives one up after half a minute.
fn budget(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        time if time < Duration::from_millis(1) => Err("too short: at least 1ms".into()),
        time if time > Duration::from_secs(5) => Err("too long: at most 5s".into()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_two_numbers() {
        assert_eq!(cores("2, 3"), Ok([2, 3]));
        for text in ["", "2", "2,", "2,x", "2,3,4", "-1,2"] {
            assert!(cores(text).is_err(), "{text}");
        }
    }

    #[test]
    fn budgets_have_bounds() {
        assert_eq!(budget("50ms"), Ok(Duration::from_millis(50)));
        for text in ["0", "1us", "6s", "x"] {
            assert!(budget(text).is_err(), "{text}");
        }
    }
}
