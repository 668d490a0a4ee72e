//! `slipring compare`: measures on this machine. The measuring is the harness's; here its results meet the terminal.

use crate::fail::Fail;

/// `compare` and its options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Fewer rounds
    #[arg(long)]
    quick: bool,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let _ = (args.json, args.quick);
    Err(Fail::Error("not built in yet".into()))
}
