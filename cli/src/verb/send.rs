//! `slipring send`: standard input or a file into a ring, as a stream of bytes or a record a line.
//! The end of the input ends the sender once the receiver has everything.

use std::path::PathBuf;

use slipring::{Peer, Ring, SendError};

use super::send_lines::Lines;
use crate::fail::{Fail, say};
use crate::flow::Flow;
use crate::flow::args::{FlowArgs, amount, chunk, parse_chunk};
use crate::flow::other::{Other, Side};
use crate::flow::progress::Progress;
use crate::flow::source::Source;
use crate::flow::tx::{Tx, is_drained};
use crate::place::Place;
use crate::ring_args::RingArgs;

/// Shown below the options.
const EXAMPLES: &str = "\
The ring is made if it does not exist, so sender and receiver may start in either order. It vanishes when \
both have left, unless it was made to stay (`slipring mk`, or --persistent).

At the end of the input send waits until the receiver has taken everything. If the receiver leaves or dies \
before, send ends with 1, and what was not taken stays in the ring for the next `slipring recv`.

On a ring of --kind mpmc any number of senders and receivers may work at once; each record goes to one of \
the receivers. send then ends with 1 if the last receiver is gone before everything was taken.

Exit codes: 0 all received (with --no-wait: sent), 1 the receiver died or left, the ring has another \
sender (spsc), or the time-out passed, 2 error. SIGINT, SIGTERM and SIGHUP end it between two records.

Examples:
  tar c src | slipring send /backup
  slipring send /backup disk.img --capacity 64M --chunk 1M
  tail -f app.log | slipring send /log --lines
  slipring mk /jobs && slipring send /jobs --lines --no-wait < jobs.txt
  slipring send /pool -k mpmc --lines < jobs # for several `slipring recv /pool --lines`
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

    /// Size of a record of the byte stream, at most what the ring takes [default: a 16th of the ring, up to 256K; mpmc: a
    /// slot]
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
    let ring = args.place.open_or_create(&args.ring.options(args.flow.persistent)?)?;
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
    pub(crate) tx: Tx,
    /// The account.
    pub(crate) flow: Flow,
    args: &'a Args,
    ring: &'a Ring,
    receiver: Other<'a>,
    /// The ring stays when we leave.
    persistent: bool,
    /// The receiver is gone and something is left for its successor.
    abandoned: bool,
}

impl<'a> Sender<'a> {
    /// Takes a sender's place.
    fn join(args: &'a Args, ring: &'a Ring, flow: Flow) -> Result<Sender<'a>, Fail> {
        let receiver = Other::note(ring, Side::Receivers);
        let persistent = ring.info().persistent;
        let mut tx = Tx::join(ring)?;
        if let Some(strategy) = args.flow.strategy() {
            tx.set_strategy(strategy).map_err(|e| Fail::Error(format!("{}: {e}", args.place)))?;
        }
        Ok(Sender { tx, flow, args, ring, receiver, persistent, abandoned: false })
    }

    /// Sends a stream of bytes: each read goes straight into the ring and becomes a record.
    fn stream(&mut self, source: &mut Source, asked: Option<usize>) -> Result<(), Fail> {
        let chunk = chunk(asked, self.tx.fair_len(), self.tx.max_len());
        loop {
            if self.tx.late() == 0 {
                self.wait_for_input(source)?;
            }
            match self.tx.fill(chunk, self.flow.slice(), |room| source.read(room)) {
                Ok(read) => match read? {
                    Some(0) => return Ok(()),
                    Some(n) => self.flow.moved(1, n)?,
                    None => {}
                },
                Err(reason) => self.hindered(reason)?,
            }
        }
    }

    /// Waits for input. The only receiver's death meanwhile is told about at once, not only when the ring is full; of
    /// several, others may come.
    pub(crate) fn wait_for_input(&mut self, source: &Source) -> Result<(), Fail> {
        while !source.ready(&mut self.flow)? {
            if let Tx::One(producer) = &self.tx
                && let Peer::Died { pid } = producer.peer()
                && self.receiver.has_come()
            {
                return Err(self.lost(Some(pid)));
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
            SendError::Closed => Err(self.lost(None)),
            SendError::PeerDied { pid } => Err(self.lost(Some(pid))),
            other => Err(error(self.args, &other)),
        }
    }

    /// Waits until everything sent was taken, and at least until somebody has come to take it.
    fn wait_received(&mut self) -> Result<(), Fail> {
        while !self.receiver.has_come() && self.flow.records == 0 && self.ring.info().used_bytes == 0 {
            let paused = self.flow.pause("a receiver");
            self.in_words(paused)?;
        }
        loop {
            let drained = match &mut self.tx {
                Tx::One(producer) => producer.wait_drained(Some(self.flow.slice())),
                Tx::Many(_) => return self.wait_taken(),
            };
            match drained {
                Ok(()) => return Ok(()),
                Err(reason) => self.hindered(reason)?,
            }
        }
    }

    /// Of many: until what is in the ring now was taken, and acknowledged where that is asked for. Others go on sending
    /// behind it.
    fn wait_taken(&mut self) -> Result<(), Fail> {
        let (mut drained, end) = is_drained(self.ring, None);
        let mut alone = false;
        while !drained {
            if alone && self.receiver.has_come() {
                return Err(self.lost(self.receiver.died()));
            }
            let whom = if alone { "a receiver" } else { "the receivers" };
            let paused = self.flow.pause(whom);
            self.in_words(paused)?;
            // In this order: the last receiver may have taken all and left in between.
            alone = !self.receiver.is_there();
            drained = is_drained(self.ring, Some(end)).0;
        }
        Ok(())
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
        let kept = self.persistent || self.receiver.is_there();
        let account = match (kept, self.flow.records) {
            (_, 0) => "nothing was sent".to_owned(),
            (true, _) => format!("{sent} sent, not all received"),
            (false, _) => format!("what was sent ({sent}) goes with the ring"),
        };
        let late = match self.tx.late() {
            0 => String::new(),
            len => format!("; {len} bytes more were read and not sent"),
        };
        Err(Fail::No(format!("{}: {text}; {account}{late}", self.args.place)))
    }

    /// The end when the receiver, or the last of them, is gone for good: it left, or died.
    fn lost(&mut self, died: Option<u32>) -> Fail {
        self.abandoned = true;
        let who = match self.tx {
            Tx::One(_) => "the receiver",
            Tx::Many(_) => "the last receiver",
        };
        let how = died.map_or("left".to_owned(), |pid| format!("(pid {pid}) died"));
        let (next, unit) = match self.args.flow.lines {
            true => (self.flow.records + 1, "line"),
            false => (self.flow.bytes + 1, "byte"),
        };
        Fail::No(format!(
            "{place}: {who} {how} when {sent} had been sent; what it did not take is in the ring: `slipring \
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
