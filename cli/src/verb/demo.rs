//! `slipring demo`: small programs that show how the mechanisms behave. What they do stands in `demo`.

use std::io;

use crate::demo::DEMOS;
use crate::fail::Fail;
use crate::out;
use crate::table::{Side, clean, table};

/// Shown below the options.
const EXAMPLES: &str = "\
Each runs real processes for a moment and prints what happened. They go with the pages in docs/learn, whose claims they \
show; ROWS are those of docs/semantics.md.

Exit codes: 0 done, 2 error.

Examples:
  slipring demo                              # what there is
  slipring demo race
  slipring demo --all";

/// `demo` and its argument.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which one [default: list them]
    name: Option<String>,

    /// One after the other
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

/// Lists, or runs.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let Some(name) = &args.name else {
        if !args.all {
            let heads = [("NAME", Side::Left), ("ROWS", Side::Left), ("SHOWS", Side::Left)];
            let rows =
                DEMOS.iter().map(|demo| [demo.name, demo.rows, demo.shows].map(str::to_owned).to_vec());
            return out::print(&table(&heads, &rows.collect::<Vec<_>>(), true));
        }
        return DEMOS.iter().try_for_each(|demo| {
            out::print(&format!("== {}: {}\n", demo.name, demo.shows))?;
            watch(demo.run)
        });
    };
    match DEMOS.iter().find(|demo| demo.name == name) {
        Some(demo) => watch(demo.run),
        None => Err(Fail::Error(format!("{}: no such demo; `slipring demo` lists them", clean(name)))),
    }
}

fn watch(run: fn(&mut io::Stdout) -> io::Result<()>) -> Result<(), Fail> {
    match run(&mut io::stdout()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Fail::BrokenPipe),
        done => done.map_err(|error| Fail::io("demo", &error)),
    }
}
