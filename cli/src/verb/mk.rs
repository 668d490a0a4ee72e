//! `slipring mk`: makes a ring that outlives the command.

use crate::fail::Fail;
use crate::place::Place;
use crate::render::Status;
use crate::ring_args::RingArgs;
use crate::{json, out};

/// Shown below the options.
const EXAMPLES: &str = "\
The ring is persistent: it stays, with what is in it, until `slipring rm` removes it or the machine \
restarts.

Exit codes: 0 made, 1 the name is taken, 2 error.

Examples:
  slipring mk /prices                        # 1 MiB, for this user only
  slipring mk /prices -s 64M -p 600
  slipring mk /log --align dense             # small records take less room
  slipring mk /jobs --kind mpmc              # many senders, many receivers
  slipring mk /ticks -k mpmc --slots 4096 --message 48   # a cache line each
  slipring mk --file ./spool.ring -s 1G      # in a file of your choice
  name=$(slipring mk /work) && slipring stat \"$name\" --json";

/// `mk` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    ring: RingArgs,

    /// Print the new ring as JSON, as `stat --json` does
    #[arg(long)]
    json: bool,
}

/// Makes the ring and prints its name.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let ring = args.place.create(&args.ring.options(true)?)?;
    if args.json {
        let status = Status::new(false, true);
        return out::json(&json::Ring::new(&ring.info(), status));
    }
    out::print(&format!("{}\n", args.place))
}
