//! `seeded`: puts the wrong variants of verify/bugs.toml into a copy of the repository, one at a time, and demands that
//! the gate which claims to catch each goes red. A gate that never fails proves nothing; this shows that they do.
//! The table in docs/verification.md says what was seen.
//!
//! `bugs` reads the rows, `copy` has the copy and runs gates in it, `page` keeps the table.
#![forbid(unsafe_code)]

mod bugs;
mod copy;
mod page;

use bugs::Bug;
use clap::Parser;
use copy::{Copy, Ended};
use page::Page;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Seeds each bug and demands that its gate goes red. Exit codes: 0 all were caught, 1 one was not, 2 error.
#[derive(Parser)]
#[command(name = "seeded")]
struct Args {
    /// Every bug; rewrites the table
    #[arg(long, conflicts_with = "only")]
    all: bool,
    /// Bugs that the table does not show as caught yet; updates their rows
    #[arg(long, conflicts_with_all = ["all", "only"])]
    missing: bool,
    /// Bugs whose name, file or gate contains one of these texts; updates their rows
    #[arg(value_name = "TEXT")]
    only: Vec<String>,
    /// Only say what there is
    #[arg(long)]
    list: bool,
    /// Where the copy is made and built [default: target/seeded]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("seeded: {why}");
            ExitCode::from(2)
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

fn run(args: &Args) -> Result<bool, String> {
    let bugs = bugs::read(root())?;
    if !args.all && !args.missing && args.only.is_empty() && !args.list {
        return Err("say --all, --missing or a part of a name; --help says more".into());
    }
    let mut page = Page::read(root())?;
    let chosen = |bug: &&Bug| {
        let contains =
            |text: &String| [&bug.name, &bug.file, &bug.gate].iter().any(|part| part.contains(text));
        (args.only.is_empty() || args.only.iter().any(contains)) && !(args.missing && page.is_caught(bug))
    };
    let chosen: Vec<&Bug> = bugs.iter().filter(chosen).collect();
    if args.list {
        chosen.iter().for_each(|bug| println!("{}  ({}): {}", bug.name, bug.file, bug.gate));
        return Ok(true);
    }
    let (start, when) = (Instant::now(), page::when(root())?);
    let copy = Copy::make(root(), args.dir.as_deref())?;
    let (mut caught, mut faults) = (0, 0);
    // All of them first: between two bugs everything would be built once more. What one says is said where its bug comes.
    for bug in &chosen {
        let _ = copy.sound(&bug.gate);
    }
    for bug in &chosen {
        let begun = Instant::now();
        let text = match seed(&copy, bug) {
            Ok(Ended::Red(why)) => {
                caught += 1;
                why
            }
            Ok(Ended::Green) => "**not caught**",
            Err(why) => {
                eprintln!("{}: {why}", bug.name);
                faults += 1;
                continue;
            }
        };
        println!("{}: {}: {text}  ({:.0?})", bug.name, bug.gate, begun.elapsed());
        print!("{}", copy.reason());
        page.set(bug, text, &when);
        page.write(&bugs)?;
    }
    let not = chosen.len() - caught - faults;
    println!(
        "{} bugs: {caught} caught, {not} not, {faults} not tried; {:.0?}",
        chosen.len(),
        start.elapsed()
    );
    match faults {
        0 => Ok(not == 0),
        _ => Err(format!("{faults} rows are wrong")),
    }
}

/// The gate without the bug, and with it.
fn seed(copy: &Copy, bug: &Bug) -> Result<Ended, String> {
    match copy.sound(&bug.gate)? {
        Ended::Red(why) => Err(format!("its gate {} {why} without it", bug.gate)),
        Ended::Green => copy.with(bug),
    }
}
