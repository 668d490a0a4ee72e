//! `slipring send`: standard input or a file into a ring, as a stream of bytes or a record a line.
//! The end of the input ends the sender once the receiver has everything.

use std::path::PathBuf;

use slipring::spsc::Producer;
use slipring::{Peer, Ring, SendError};

use super::send_lines::Lines;
use crate::fail::{Fail, say};
use crate::flow::Flow;
use crate::flow::args::{FlowArgs, amount, chunk, parse_chunk};
use crate::flow::other::{Other, Role};
use crate::flow::progress::Progress;
use crate::flow::source::Source;
use crate::place::Place;
use crate::ring_args::RingArgs;

/// Shown below the options.
const EXAMPLES: &str = "\
The ring is made if it does not exist, so sender and receiver may start in either order. It vanishes when \
both have left, unless it was made to stay (`slipring mk`, or --persistent).

At the end of the input send waits until the receiver has taken everything. If the receiver leaves or dies \
before, send ends with 1, and what was not taken stays in the ring for the next `slipring recv`.

Exit codes: 0 all received (with --no-wait: sent), 1 the receiver died or left, the ring has another \
sender, or the time-out passed, 2 error. SIGINT, SIGTERM and SIGHUP end it between two records.

Examples:
  tar c src | slipring send /backup
  slipring send /backup disk.img --capacity 64M --chunk 1M
  tail -f app.log | slipring send /log --lines
  slipring mk /jobs && slipring send /jobs --lines --no-wait < jobs.txt
  slipring send /now --timeout 5s < notice   # give up if nobody listens";

/// `send` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// File to send; - or nothing is standard input
    #[arg(value_name = "FILE")]
    input: Option<PathBuf>,

    /// Size of a record of the byte stream, at most what the ring takes [default: a 16th of the ring, up to 256K]
    #[arg(long, value_name = "SIZE", value_parser = parse_chunk, allow_hyphen_values = true, conflicts_with = "lines")]
    chunk: Option<usize>,

    /// Leave at the end of the input, whether or not it was received; the ring must be persistent
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    flow: FlowArgs,

    #[command(flatten)]
    ring: RingArgs,
}

/// Sends everything, then says good-bye.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let mut source = Source::open(args.input.as_deref())?;
    let flow = Flow::start(args.flow.timeout, Progress::new(args.flow.quiet, source.size(), false))?;
    let ring = args.place.open_or_create(&args.ring.options(args.flow.persistent))?;
    let info = ring.info();
    if args.no_wait && !info.persistent {
        let place = &args.place;
        return Err(Fail::Error(format!(
            "{place}: --no-wait needs a ring that stays, and this one would vanish with what was sent; make it with \
             `slipring mk {}` or give --persistent",
            place.typed()
        )));
    }
    let unmet = args.ring.unmet(&info);
    if !unmet.is_empty() && !args.flow.quiet {
        say(format!("{}: was there before, with {}", args.place, unmet.join(", ")));
    }
    let mut sender = Sender::join(args, &ring, flow)?;
    let sent = match args.flow.lines {
        true => Lines::new(&sender).send(&mut sender, &mut source),
        false => sender.stream(&mut source, args.chunk),
    };
    let ended = sent.and_then(|()| if args.no_wait { Ok(()) } else { sender.wait_received() });
    let abandoned = sender.abandoned;
    drop(sender);
    if abandoned {
        // The name must outlive us, so that the next receiver finds what is left.
        std::mem::forget(ring);
    }
    ended
}

/// The sending side of a ring, with its account.
pub(crate) struct Sender<'a> {
    /// The library's handle.
    pub(crate) producer: Producer,
    /// The account.
    pub(crate) flow: Flow,
    args: &'a Args,
    receiver: Other<'a>,
    /// The ring stays when we leave.
    persistent: bool,
    /// The receiver is gone and something is left for its successor.
    abandoned: bool,
}

impl<'a> Sender<'a> {
    /// Takes the producer's role.
    fn join(args: &'a Args, ring: &'a Ring, flow: Flow) -> Result<Sender<'a>, Fail> {
        let receiver = Other::note(ring, Role::Consumer);
        let persistent = ring.info().persistent;
        let mut producer = ring.producer()?;
        if let Some(strategy) = args.flow.strategy() {
            producer.set_strategy(strategy).map_err(|e| Fail::Error(format!("{}: {e}", args.place)))?;
        }
        Ok(Sender { producer, flow, args, receiver, persistent, abandoned: false })
    }

    /// Sends a stream of bytes: each read goes straight into the ring and becomes a record.
    fn stream(&mut self, source: &mut Source, asked: Option<usize>) -> Result<(), Fail> {
        let chunk = chunk(asked, self.producer.capacity(), self.producer.max_len());
        loop {
            self.wait_for_input(source)?;
            let error = match self.producer.reserve_timeout(chunk, self.flow.slice()) {
                Ok(mut grant) => match source.read(&mut grant)? {
                    Some(0) => return Ok(()),
                    Some(n) => {
                        grant.commit(n).map_err(|e| error(self.args, &e))?;
                        self.flow.moved(1, n)?;
                        continue;
                    }
                    None => continue,
                },
                Err(error) => error,
            };
            self.hindered(error)?;
        }
    }

    /// Waits for input. A receiver that died meanwhile is told about at once, not only when the ring is full.
    pub(crate) fn wait_for_input(&mut self, source: &Source) -> Result<(), Fail> {
        while !source.ready(&mut self.flow)? {
            if let Peer::Died { pid } = self.producer.peer()
                && self.receiver.has_come()
            {
                return Err(self.lost(&format!("(pid {pid}) died")));
            }
        }
        Ok(())
    }

    /// Why there is no room: a reason to try again, or the end.
    pub(crate) fn hindered(&mut self, reason: SendError) -> Result<(), Fail> {
        match reason {
            SendError::Full | SendError::TimedOut => self.missing("the receiver"),
            SendError::Closed | SendError::PeerDied { .. } if !self.receiver.has_come() => {
                let paused = self.flow.pause("a receiver");
                self.in_words(paused)
            }
            SendError::Closed => Err(self.lost("left")),
            SendError::PeerDied { pid } => Err(self.lost(&format!("(pid {pid}) died"))),
            other => Err(error(self.args, &other)),
        }
    }

    /// Waits until everything sent was taken, and at least until somebody has come to take it.
    fn wait_received(&mut self) -> Result<(), Fail> {
        while !self.receiver.has_come() && self.producer.approx_len() == 0 && self.flow.records == 0 {
            let paused = self.flow.pause("a receiver");
            self.in_words(paused)?;
        }
        loop {
            match self.producer.wait_drained(Some(self.flow.slice())) {
                Ok(()) => return Ok(()),
                Err(reason) => self.hindered(reason)?,
            }
        }
    }

    /// A slice went by without `whom`.
    fn missing(&mut self, whom: &str) -> Result<(), Fail> {
        let idle = self.flow.idle(whom);
        self.in_words(idle)
    }

    /// Adds the ring and the account to the end of a time-out.
    fn in_words(&self, outcome: Result<(), Fail>) -> Result<(), Fail> {
        let Err(Fail::No(text)) = outcome else { return outcome };
        let sent = self.sent();
        let kept = self.persistent || matches!(self.producer.peer(), Peer::Attached { .. });
        let account = match (kept, self.flow.records) {
            (_, 0) => "nothing was sent".to_owned(),
            (true, _) => format!("{sent} sent, not all received"),
            (false, _) => format!("what was sent ({sent}) goes with the ring"),
        };
        Err(Fail::No(format!("{}: {text}; {account}", self.args.place)))
    }

    /// The end when the receiver is gone for good.
    fn lost(&mut self, how: &str) -> Fail {
        self.abandoned = true;
        let (next, unit) = match self.args.flow.lines {
            true => (self.flow.records + 1, "line"),
            false => (self.flow.bytes + 1, "byte"),
        };
        Fail::No(format!(
            "{place}: the receiver {how} when {sent} had been sent; what it did not take is in the ring: `slipring \
             recv {typed}` gets it, then send the input again from {unit} {next} on",
            place = self.args.place,
            sent = self.sent(),
            typed = self.args.place.typed(),
        ))
    }

    /// The ring as the user named it.
    pub(crate) fn place(&self) -> &Place {
        &self.args.place
    }

    /// What went into the ring.
    fn sent(&self) -> String {
        amount(self.args.flow.lines, self.flow.records, self.flow.bytes)
    }
}

/// An error of the ring itself.
fn error(args: &Args, error: &SendError) -> Fail {
    Fail::Error(format!("{}: {error}", args.place))
}
