//! `slipring recv`: what a ring carries, to standard output or a file.
//! A record is released only when it was written, so that a receiver killed in between loses nothing: its successor
//! gets the record again.

use std::path::PathBuf;

use slipring::spsc::Consumer;
use slipring::{Peer, RecvError, Ring};

use crate::fail::{Fail, say};
use crate::flow::Flow;
use crate::flow::args::{FlowArgs, amount};
use crate::flow::other::{Other, Role};
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

Exit codes: 0 everything received, or the reader of the output has gone, 1 the sender died, the ring has \
another receiver, or the time-out passed, 2 error. SIGINT, SIGTERM and SIGHUP end it between two records.

Examples:
  slipring recv /backup | tar x
  slipring recv /backup -o copy.img --spin
  slipring recv /log --lines --follow        # one sender after the other
  slipring recv /jobs --lines --timeout 2s | xargs -L1 echo";

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

    #[command(flatten)]
    flow: FlowArgs,

    #[command(flatten)]
    ring: RingArgs,
}

/// A record from this size on is written straight from the ring; smaller ones share a write.
const DIRECT: usize = 16 * 1024;
/// How many bytes of small records share a write.
const SHARED: usize = 64 * 1024;

/// What a wait brought.
enum Next {
    /// A large record, which is written. Carries its length.
    Written(usize),
    /// Records that had better share a write.
    Small,
    /// No record, and why.
    Nothing(RecvError),
}

/// Receives everything.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let sink = Sink::open(args.output.as_deref())?;
    let flow = Flow::start(args.flow.timeout, Progress::new(args.flow.quiet, None, args.output.is_none()))?;
    let ring = args.place.open_or_create(&args.ring.options(args.flow.persistent))?;
    let unmet = args.ring.unmet(&ring.info());
    if !unmet.is_empty() && !args.flow.quiet {
        say(format!("{}: was there before, with {}", args.place, unmet.join(", ")));
    }
    let mut receiver = Receiver::join(args, &ring, flow, sink)?;
    let ended = receiver.receive();
    let left = !receiver.consumer.was_empty();
    let alone = !matches!(receiver.consumer.peer(), Peer::Attached { .. });
    drop(receiver);
    if left {
        // The name must outlive us, so that the next receiver finds what is left.
        std::mem::forget(ring);
        if alone && !args.flow.quiet && !matches!(ended, Err(Fail::BrokenPipe)) {
            let (place, typed) = (&args.place, args.place.typed());
            say(format!(
                "{place}: what was not received stays: `slipring recv {typed}` gets it, `slipring rm` drops it"
            ));
        }
    }
    ended
}

/// The receiving side of a ring, with its output and its account.
struct Receiver<'a> {
    consumer: Consumer,
    sink: Sink,
    flow: Flow,
    args: &'a Args,
    sender: Other<'a>,
    /// Small records on their way to a shared write.
    shared: Vec<u8>,
    /// The death that was told about already.
    told: Option<u32>,
}

impl<'a> Receiver<'a> {
    /// Takes the consumer's role.
    fn join(args: &'a Args, ring: &'a Ring, flow: Flow, sink: Sink) -> Result<Receiver<'a>, Fail> {
        let sender = Other::note(ring, Role::Producer);
        let mut consumer = ring.consumer()?;
        if let Some(strategy) = args.flow.strategy() {
            consumer.set_strategy(strategy).map_err(|e| Fail::Error(format!("{}: {e}", args.place)))?;
        }
        Ok(Receiver { consumer, sink, flow, args, sender, shared: Vec::new(), told: None })
    }

    /// Writes record after record until the stream ends.
    fn receive(&mut self) -> Result<(), Fail> {
        let end = if self.args.flow.lines { &b"\n"[..] } else { b"" };
        loop {
            let next = match self.consumer.frame_timeout(self.flow.slice()) {
                Ok(frame) if frame.len() < DIRECT => {
                    frame.keep();
                    Next::Small
                }
                Ok(frame) => {
                    let len = frame.len();
                    if let Err(fail) = self.sink.write(&self.flow.signals, &frame, end) {
                        frame.keep();
                        return Err(fail);
                    }
                    frame.release();
                    Next::Written(len)
                }
                Err(reason) => Next::Nothing(reason),
            };
            match next {
                Next::Written(len) => self.flow.moved(1, len)?,
                Next::Small => self.write_shared(end)?,
                Next::Nothing(reason) if self.is_over(reason)? => return Ok(()),
                Next::Nothing(_) => {}
            }
        }
    }

    /// Writes the records that are there, together; they are released when they are written.
    fn write_shared(&mut self, end: &[u8]) -> Result<(), Fail> {
        let enough = SHARED.min(self.consumer.capacity() / 4);
        let (mut records, mut bytes) = (0, 0);
        let mut batch = self.consumer.try_batch(usize::MAX).map_err(|e| error(self.args, &e))?;
        self.shared.clear();
        let fault = loop {
            match batch.next() {
                Ok(Some(record)) => {
                    self.shared.extend_from_slice(record);
                    self.shared.extend_from_slice(end);
                    (records, bytes) = (records + 1, bytes + record.len());
                }
                Ok(None) => break None,
                Err(fault) => break Some(fault),
            }
            if self.shared.len() >= enough {
                break None;
            }
        };
        if let Err(fail) = self.sink.write(&self.flow.signals, &self.shared, b"") {
            // Dropping the batch would release what was not written.
            std::mem::forget(batch);
            return Err(fail);
        }
        drop(batch);
        self.flow.moved(records, bytes)?;
        match fault {
            Some(fault) => Err(error(self.args, &fault)),
            None => Ok(()),
        }
    }

    /// Why nothing came: the stream is over, or there is reason to wait.
    fn is_over(&mut self, reason: RecvError) -> Result<bool, Fail> {
        self.sink.alive()?;
        match reason {
            RecvError::Empty | RecvError::TimedOut => self.wait_on(Flow::idle),
            // A sender from before our time, of whom nothing is left.
            RecvError::Closed | RecvError::PeerDied { .. }
                if self.flow.records == 0 && !self.sender.has_come() =>
            {
                self.wait_on(Flow::pause)
            }
            RecvError::Closed if self.args.follow => self.wait_on(Flow::pause),
            RecvError::Closed => Ok(true),
            RecvError::PeerDied { pid } if self.args.follow => {
                if self.told.replace(pid) != Some(pid) {
                    self.flow.say(&format!("{}; waiting for the next", self.death(pid)));
                }
                self.wait_on(Flow::pause)
            }
            RecvError::PeerDied { pid } => Err(Fail::No(self.death(pid))),
            other => Err(error(self.args, &other)),
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
        format!(
            "{}: the sender (pid {pid}) died before its end; {} received, which is all that it sent whole",
            self.args.place,
            self.received()
        )
    }

    /// What was written.
    fn received(&self) -> String {
        amount(self.args.flow.lines, self.flow.records, self.flow.bytes)
    }
}

/// An error of the ring itself.
fn error(args: &Args, error: &RecvError) -> Fail {
    Fail::Error(format!("{}: {error}", args.place))
}
