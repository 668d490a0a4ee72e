//! `slipring conform`: the kernel's mechanisms and slipring's adapters in lock-step, until they differ.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum as _;
use slipring_conform::{Report, pipe, posix_mq, sem, semset, socket, sysv_mq};

use crate::fail::Fail;
use crate::{out, table};

/// Shown below the options.
const EXAMPLES: &str = "\
Plays fixed and random sequences of operations on the kernel's object and on slipring's, and compares every result, \
the errno included. Rows are those of docs/semantics.md. What would wait is not compared here but by the tests.

Exit codes: 0 the same, 1 a difference, which is shown, 2 error.

Examples:
  slipring conform
  slipring conform pipe --sequences 100000
  slipring conform pipe --seed 1795371983580003222 --sequences 1 --json";

/// Of the column of names: the longest, `seqpacket`.
const WIDTH: usize = 9;

/// What can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mechanism {
    /// pipe(2)
    Pipe,
    /// mkfifo(3)
    Fifo,
    /// mq_open(3)
    PosixMq,
    /// msgget(2)
    SysvMq,
    /// sem_init(3), sem_open(3)
    Sem,
    /// semget(2)
    Semset,
    /// unix(7): streams, sequenced records, datagrams
    Socket,
}

impl Mechanism {
    fn compare(self, seed: u64, sequences: u64) -> io::Result<Vec<Report>> {
        use socket::Kind::{Datagram, Seqpacket, Stream};
        match self {
            Mechanism::Pipe => Ok(vec![pipe::compare(false, seed, sequences)?]),
            Mechanism::Fifo => Ok(vec![pipe::compare(true, seed, sequences)?]),
            Mechanism::PosixMq => Ok(vec![posix_mq::compare(seed, sequences)?]),
            Mechanism::SysvMq => Ok(vec![sysv_mq::compare(seed, sequences)?]),
            Mechanism::Sem => Ok(vec![sem::compare(seed, sequences)?]),
            Mechanism::Semset => Ok(vec![semset::compare(seed, sequences)?]),
            Mechanism::Socket => [Stream, Seqpacket, Datagram]
                .into_iter()
                .map(|kind| socket::compare(kind, seed, sequences))
                .collect(),
        }
    }
}

/// `conform` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to compare [default: everything]
    mechanism: Option<Mechanism>,

    /// Random sequences for each
    #[arg(long, default_value_t = 1000, value_name = "N")]
    sequences: u64,

    /// Seed of the first random sequence, to repeat it [default: the time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Print a JSON array, an object for each mechanism
    #[arg(long)]
    json: bool,
}

/// Compares and prints.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    let seed = args.seed.unwrap_or(now);
    let mut reports = Vec::new();
    for &mechanism in Mechanism::value_variants() {
        if args.mechanism.is_none_or(|only| only == mechanism) {
            let compared = mechanism.compare(seed, args.sequences);
            for report in compared.map_err(|error| Fail::io("cannot compare", &error))? {
                if !args.json {
                    out::print(&text(&report))?;
                }
                reports.push(report);
            }
        }
    }
    if args.json {
        out::json(&reports)?;
    }
    match reports.iter().all(|report| report.divergence.is_none()) {
        true => Ok(()),
        false => Err(Fail::Said(1)),
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for (row, shows) in &report.rows {
        text += &format!("{:<WIDTH$} {row:<4} {}\n", report.mechanism, table::clean(shows));
    }
    text += &format!(
        "{:<WIDTH$} {} random sequences, {} operations, seed {}\n",
        report.mechanism, report.sequences, report.operations, report.seed
    );
    if let Some(divergence) = &report.divergence {
        text += &format!("{:<WIDTH$} DIFFERS in {divergence}\n", report.mechanism);
    }
    text
}
