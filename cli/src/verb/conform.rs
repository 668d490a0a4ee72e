//! `slipring conform`: the kernel's mechanisms and slipring's adapters in lock-step, until they differ.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum as _;
use slipring_conform::properties::{Column, Row, expected, measure};
use slipring_conform::{Report, pipe, posix_mq, sem, semset, socket, sysv_mq};

use crate::fail::Fail;
use crate::table::Side;
use crate::{out, table};

/// Shown below the options.
const EXAMPLES: &str = "\
Plays fixed and random sequences of operations on the kernel's object and on slipring's, and compares every result, \
the errno included. Rows are those of docs/semantics.md. What would wait is not compared here but by the tests.

Exit codes: 0 the same, 1 a difference, which is shown, 2 error.

Examples:
  slipring conform
  slipring conform pipe --sequences 100000
  slipring conform pipe --seed 1795371983580003222 --sequences 1 --json
  slipring conform table                     # what each mechanism is like, measured now
  slipring conform table pipe sysv-mq --why";

/// Shown below the options of the table.
const TABLE_EXAMPLES: &str = "\
Each cell is what came of a probe that ran just now, on the kernel's object or on slipring's; some kill a process. \
A cell that is not what docs/semantics.md says has a ! in front, one that could not be measured is a ?.

connectionless: can be sent to without anything having been opened. flow control: who sends too fast is held back, \
and nothing is lost. records: what is sent at once is received at once. open waits: for somebody at the other end. \
longest, holds: bytes of the longest message, and how many messages of 64 bytes are taken, if nobody has said otherwise.

Exit codes: 0 as said, 1 a cell is not, 2 error.

Examples:
  slipring conform table
  slipring conform table pipe unix-dgram --why
  slipring conform table --json";

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
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,

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

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// What each mechanism is like, as a table: every cell measured on this kernel, beside slipring's
    #[command(after_help = TABLE_EXAMPLES)]
    Table {
        /// Rows to measure [default: all]
        #[arg(value_name = "MECHANISM")]
        mechanisms: Vec<String>,

        /// Print what was done for each cell and what came of it
        #[arg(long)]
        why: bool,

        /// Print a JSON array, an object for each row
        #[arg(long, conflicts_with = "why")]
        json: bool,
    },
}

/// Compares and prints.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    if let Some(Verb::Table { mechanisms, why, json }) = &args.verb {
        return measured(mechanisms, *why, *json);
    }
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

/// Measures and prints the table.
fn measured(mechanisms: &[String], why: bool, json: bool) -> Result<(), Fail> {
    let known = |name: &str| expected(name, "kernel").is_some();
    if let Some(unknown) = mechanisms.iter().find(|name| !known(name)) {
        let unknown = table::clean(unknown);
        return Err(Fail::Error(format!("{unknown}: no such mechanism; conform table lists them")));
    }
    let rows = measure(|name| mechanisms.is_empty() || mechanisms.iter().any(|wanted| wanted == name));
    let is_so = |row: &Row, at: usize| {
        let expected = expected(row.mechanism, row.of);
        expected.is_some_and(|expected| expected[at].holds(&row.cells[at].found.value))
    };
    if json {
        out::json(&rows)?;
    } else if why {
        for row in &rows {
            for (at, cell) in row.cells.iter().enumerate() {
                let (title, found) = (cell.column.title(), &cell.found);
                let mark = if is_so(row, at) { ' ' } else { '!' };
                let value = &found.value;
                out::print(&format!(
                    "{:<14} {:<8} {title:<17}{mark}{value}: {}\n",
                    row.mechanism, row.of, found.seen
                ))?;
            }
        }
    } else {
        let titles = ["mechanism", "of"].into_iter().chain(Column::ALL.map(Column::title));
        let sides =
            titles.enumerate().map(|(at, title)| (title, if at < 10 { Side::Left } else { Side::Right }));
        let cells = |row: &Row| {
            let values = row.cells.iter().enumerate().map(|(at, cell)| {
                let mark = if is_so(row, at) { "" } else { "!" };
                format!("{mark}{}", cell.found.value)
            });
            [row.mechanism, row.of].map(str::to_owned).into_iter().chain(values).collect()
        };
        let lines: Vec<Vec<String>> = rows.iter().map(cells).collect();
        out::print(&table::table(&sides.collect::<Vec<_>>(), &lines, true))?;
    }
    match rows.iter().all(|row| (0..row.cells.len()).all(|at| is_so(row, at))) {
        true => Ok(()),
        false => Err(Fail::Said(1)),
    }
}
