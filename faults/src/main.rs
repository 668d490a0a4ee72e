//! The long forms: every verb killed and frozen at every instruction, storms, pairs, histories. Exit 0: nothing was
//! violated; 1: something was; 2: the command was wrong.

use clap::{Parser, Subcommand};
use slipring_faults::stepping::{Density, Fault, step_through, verbs};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about = "Faults for slipring: kills, stops, and the audit of what became of the messages")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kill a victim at every machine instruction of every verb
    Kills(Steps),
    /// Freeze a victim at every machine instruction of every verb while the others go on
    Stops(Steps),
}

#[derive(clap::Args)]
struct Steps {
    /// Only verbs whose name contains this
    #[arg(long, default_value = "")]
    verb: String,
    /// Every how many instructions of a long verb
    #[arg(long, default_value_t = 1)]
    stride: usize,
    /// Of an instruction executed again and again, as in a polling loop, so many first and last times; 0: all
    #[arg(long, default_value_t = 4)]
    repeats: u32,
}

fn main() -> ExitCode {
    let sound = match Args::parse().command {
        Command::Kills(steps) => stepped(&steps, Fault::Kill),
        Command::Stops(steps) => stepped(&steps, Fault::Freeze),
    };
    if sound { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn stepped(steps: &Steps, fault: Fault) -> bool {
    let repeats = if steps.repeats == 0 { Density::ALL.repeats } else { steps.repeats };
    let (mut tried, mut violations) = (0, 0);
    for verb in verbs(&steps.verb) {
        let stride = if verb.long { steps.stride } else { 1 };
        let report = step_through(verb, fault, move |_| Density { stride, repeats });
        println!("{report}");
        tried += report.tried;
        violations += report.violations.len();
    }
    println!("{fault:?}: {tried} instructions tried, {violations} violations");
    violations == 0 && tried > 0
}
