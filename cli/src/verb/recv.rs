//! `slipring recv`: what a ring carries, to standard output or a file. How records are taken out is for `recv_one` and
//! `recv_many`; what they share, the output, the account and the end, is here.

use std::path::PathBuf;

use slipring::spsc::NoWakeup;
use slipring::{RecvError, WaitStrategy};

use super::{recv_many, recv_one};
use crate::fail::{Fail, say};
use crate::flow::Flow;
use crate::flow::args::{FlowArgs, amount};
use crate::flow::other::{Other, Side};
use crate::flow::progress::Progress;
use crate::flow::sink::Sink;
use crate::place::Place;
use crate::ring_args::RingArgs;

/// Shown below the options.
const EXAMPLES: &str = "\
The ring is made if it does not exist, so sender and receiver may start in either order. recv ends when \
the sender has left and everything is written. On a ring that is empty and without sender it waits for \
one.

If the sender dies, recv writes every whole record, says so, and ends with 1. If recv itself is killed, \
what it had not finished writing stays in the ring: the next `slipring recv` gets it, the last records \
possibly a second time.

On a ring of --kind mpmc several recv share the records: each goes to one of them, in order of sending as \
far as one of them sees. They end when all senders have left. There, a recv that is killed loses the few \
records that it had taken and not written, up to 32, unless --ack is given: then the one record that it \
was at stays in the ring and goes to another recv with --ack, which says so on standard error, since the \
victim may have written it already.

Exit codes: 0 everything received, or the reader of the output has gone, 1 a sender died, the ring has \
another receiver (spsc), or the time-out passed, 2 error. SIGINT, SIGTERM and SIGHUP end it between two \
records.

Examples:
  slipring recv /backup | tar x
  slipring recv /backup -o copy.img --spin
  slipring recv /log --lines --follow        # one sender after the other
  slipring recv /jobs --lines --timeout 2s | xargs -L1 echo
  slipring recv /pool -k mpmc --lines --ack  # one of several; loses nothing";

/// `recv` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// File to write, made or emptied; - or nothing is standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// When the sender has left or died, wait for the next one
    #[arg(short = 'F', long)]
    follow: bool,

    /// Take a record out of the ring only when it is written, so that none is lost if this recv is killed. On an spsc
    /// ring that is always so
    #[arg(long)]
    ack: bool,

    /// With --ack on an mpmc ring: leave records out that another recv had been given before, and may have written
    #[arg(long, requires = "ack")]
    skip_redelivered: bool,

    #[command(flatten)]
    flow: FlowArgs,

    #[command(flatten)]
    ring: RingArgs,
}

/// Receives everything.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let sink = Sink::open(args.output.as_deref())?;
    let flow = Flow::start(args.flow.timeout, Progress::new(args.flow.quiet, None, args.output.is_none()))?;
    let ring = args.place.open_or_create(&args.ring.options(args.flow.persistent)?)?;
    let info = ring.info();
    let unmet = args.ring.unmet(&info);
    if !unmet.is_empty() && !args.flow.quiet {
        say(format!("{}: was there before, with {}", args.place, unmet.join(", ")));
    }
    let sender = Other::note(&ring, Side::Senders);
    let mut intake = Intake { sink, flow, args, sender, many: info.slots.is_some(), told: None };
    let (ended, left) = match info.slots {
        None if args.skip_redelivered => {
            return Err(Fail::Error(format!(
                "{}: --skip-redelivered is for rings of kind mpmc; an spsc ring does not tell which records an \
                 earlier receiver has seen",
                args.place
            )));
        }
        None => {
            let mut consumer = ring.consumer()?;
            intake.strategy(|strategy| consumer.set_strategy(strategy))?;
            intake.sink.begin()?;
            let ended = recv_one::receive(&mut intake, &mut consumer);
            (ended, !consumer.was_empty())
        }
        Some(_) => {
            let mut receiver = ring.receiver()?;
            intake.strategy(|strategy| receiver.set_strategy(strategy))?;
            intake.sink.begin()?;
            let ended = match args.ack {
                true => recv_many::receive_and_ack(&mut intake, &mut receiver, args.skip_redelivered),
                false => recv_many::receive(&mut intake, &mut receiver),
            };
            (ended, !receiver.was_empty())
        }
    };
    let alone = !intake.sender.is_there();
    drop(intake);
    let unacknowledged = recv_many::unacknowledged(&ring);
    if left || unacknowledged > 0 {
        // The name must outlive us, so that the next receiver finds what is left.
        std::mem::forget(ring);
        if alone && !args.flow.quiet && !matches!(ended, Err(Fail::BrokenPipe)) {
            let (place, typed) = (&args.place, args.place.typed());
            let ack = if unacknowledged > 0 { " --ack" } else { "" };
            say(format!(
                "{place}: what was not received stays: `slipring recv {typed}{ack}` gets it, `slipring rm` drops it"
            ));
        }
    }
    ended
}

/// A transfer out of a ring, of either kind: its output, its account, and when it is over.
pub(super) struct Intake<'a> {
    pub(super) sink: Sink,
    pub(super) flow: Flow,
    args: &'a Args,
    sender: Other<'a>,
    /// There may be several senders and receivers.
    many: bool,
    /// The death that was told about already.
    told: Option<u32>,
}

impl Intake<'_> {
    /// Sets the strategy asked for, if any.
    fn strategy(&self, set: impl FnOnce(WaitStrategy) -> Result<(), NoWakeup>) -> Result<(), Fail> {
        let set = self.args.flow.strategy().map_or(Ok(()), set);
        set.map_err(|e| Fail::Error(format!("{}: {e}", self.args.place)))
    }

    /// What is written behind each record.
    pub(super) fn line_end(&self) -> &'static [u8] {
        if self.args.flow.lines { b"\n" } else { b"" }
    }

    /// Says something about the ring, unless nothing is to be said.
    pub(super) fn tell(&self, text: &str) {
        if !self.args.flow.quiet {
            self.flow.say(&format!("{}: {text}", self.args.place));
        }
    }

    /// Why nothing came: the stream is over, or there is reason to wait.
    pub(super) fn is_over(&mut self, reason: RecvError) -> Result<bool, Fail> {
        self.sink.alive()?;
        match reason {
            RecvError::Empty | RecvError::TimedOut => self.wait_on(Flow::idle),
            // A sender from before our time, of whom nothing is left.
            RecvError::Closed | RecvError::PeerDied { .. } if !self.has_begun() => self.wait_on(Flow::pause),
            RecvError::Closed | RecvError::PeerDied { .. } => match (self.died(reason), self.args.follow) {
                (None, false) => Ok(true),
                (None, true) => self.wait_on(Flow::pause),
                (Some(pid), false) => Err(Fail::No(format!("{}: {}", self.args.place, self.death(pid)))),
                (Some(pid), true) => {
                    if self.told.replace(pid) != Some(pid) {
                        let death = self.death(pid);
                        self.flow.say(&format!("{}: {death}; waiting for the next", self.args.place));
                    }
                    self.wait_on(Flow::pause)
                }
            },
            other => Err(self.error(&other)),
        }
    }

    /// Whether what has ended is a transfer that we saw something of.
    fn has_begun(&self) -> bool {
        let found = self.many && self.sender.had_left_something();
        self.flow.records > 0 || found || self.sender.has_come()
    }

    /// Who died, if the transfer ended so. Of many, the ring only tells of the last; the others are looked for.
    fn died(&self, reason: RecvError) -> Option<u32> {
        match reason {
            RecvError::PeerDied { pid } => Some(pid),
            _ if self.many => self.sender.died(),
            _ => None,
        }
    }

    /// Waits on; a time-out ends with the account.
    fn wait_on(&mut self, wait: fn(&mut Flow, &str) -> Result<(), Fail>) -> Result<bool, Fail> {
        match wait(&mut self.flow, "a sender") {
            Ok(()) => Ok(false),
            Err(Fail::No(text)) => {
                Err(Fail::No(format!("{}: {text}; {} received", self.args.place, self.received())))
            }
            Err(fail) => Err(fail),
        }
    }

    /// What is to be said of a sender's death.
    fn death(&self, pid: u32) -> String {
        let received = self.received();
        match self.many {
            false => format!(
                "the sender (pid {pid}) died before its end; {received} received, which is all that it sent whole"
            ),
            true => format!(
                "a sender (pid {pid}) died before its end; {received} received here, and nothing is left of what was \
                 sent whole"
            ),
        }
    }

    /// What was written.
    fn received(&self) -> String {
        amount(self.args.flow.lines, self.flow.records, self.flow.bytes)
    }

    /// An error of the ring itself.
    pub(super) fn error(&self, error: &RecvError) -> Fail {
        Fail::Error(format!("{}: {error}", self.args.place))
    }
}
