//! `slipring rm`: removes rings, and says which. One in use is refused unless forced; whether it is, the library
//! decides in the same step as the removal.

use std::ffi::OsString;

use serde::Serialize;
use slipring::Error;

use crate::fail::{Fail, say};
use crate::out;
use crate::place::Place;

/// Shown below the options.
const EXAMPLES: &str = "\
A ring in use is refused; --force removes its name all the same, and its users keep what they have mapped.

A ring is stale if nobody uses it and it was not made to stay: its last users were killed. What is in it \
goes too.

--json prints an array of objects: name, removed (true or false), error (null or text); with --dry-run, \
removed says what would be.

Exit codes: 0 all removed, 1 one was refused or not there, or nothing was stale, 2 error.

Examples:
  slipring rm /prices /orders
  slipring rm --stale --dry-run              # look first
  slipring rm --stale
  slipring rm --force /prices
  slipring rm --file ./spool.ring";

/// `rm` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Names of the rings
    #[arg(required_unless_present = "stale", value_name = "NAME")]
    names: Vec<OsString>,

    /// Remove every stale ring, or those of NAME that are stale
    #[arg(long, conflicts_with_all = ["force", "file"])]
    stale: bool,

    /// Remove rings in use too
    #[arg(long)]
    force: bool,

    /// The names are paths of rings in files
    #[arg(short = 'f', long)]
    file: bool,

    /// Only say what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of one ring, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Fate {
    name: String,
    removed: bool,
    error: Option<String>,
}

/// Removes one ring after the other; one that cannot be removed does not save the next.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let places: Vec<Place> = match args.stale && args.names.is_empty() {
        true => stale()?,
        false => args.names.iter().map(|name| Place::new(name.clone(), args.file)).collect(),
    };
    let mut code = 0;
    let mut fates = Vec::new();
    for place in &places {
        let error = match remove(args, place) {
            Ok(()) => None,
            Err(fail) => {
                code = code.max(fail.code());
                let (Fail::No(text) | Fail::Error(text)) = fail else { return Err(fail) };
                say(&text);
                Some(text)
            }
        };
        let fate = Fate { name: place.to_string(), removed: error.is_none(), error };
        if fate.removed && !args.json {
            let word = if args.dry_run { "would remove" } else { "removed" };
            out::print(&format!("{word} {}\n", fate.name))?;
        }
        fates.push(fate);
    }
    if args.json {
        out::json(&fates)?;
    }
    if fates.is_empty() {
        return Err(Fail::No("nothing to remove: no ring is stale".into()));
    }
    if code == 0 { Ok(()) } else { Err(Fail::Said(code)) }
}

/// The rings nobody would miss.
fn stale() -> Result<Vec<Place>, Fail> {
    let stale = slipring::list()?.into_iter().filter(slipring::Listed::is_stale);
    Ok(stale.map(|listed| Place::new(listed.name.into(), false)).collect())
}

/// Removes one ring, or finds out whether that could be done.
fn remove(args: &Args, place: &Place) -> Result<(), Fail> {
    if !args.dry_run && !args.stale {
        return place.unlink(args.force);
    }
    let listed = place.stat()?;
    if listed.in_use && !args.force {
        let pids = listed.info.map(|info| info.pids()).unwrap_or_default();
        return Err(Error::InUse { name: place.to_string(), pids }.into());
    }
    if args.stale && !listed.is_stale() {
        return Err(Fail::No(format!(
            "{place}: is not stale, it was made to stay; remove it without --stale"
        )));
    }
    match args.dry_run {
        true => Ok(()),
        false => place.unlink(false),
    }
}
