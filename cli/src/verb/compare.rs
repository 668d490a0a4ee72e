//! `slipring compare`: measures on this machine. The measuring, the tables and the page are the harness's; here its report
//! meets the terminal, files and an earlier report.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slipring_harness::report::Comparison;
use slipring_harness::{CompareOptions, HarnessError, Report, compare};

use crate::fail::{Fail, say};
use crate::flow::progress::Steps;
use crate::{duration, out, size};

/// Shown below the options.
const EXAMPLES: &str = "\
Two processes are forked for each measurement and pinned to a core each. Everything is measured in interleaved rounds, \
beside a reference taken at the same moment; ratios are to be believed before absolute times. Rounds during which \
others used the cores are dropped. Keep the machine quiet meanwhile.

Mechanisms for --only, whole names or beginnings up to a dash (unix, slipring-mpmc, adapter): slipring-spin, \
slipring-park, slipring-mpmc-spin, slipring-mpmc-park, slipring-mpmc-yield, adapter-pipe, adapter-fifo, adapter-unix-stream, \
adapter-unix-datagram, adapter-unix-seqpacket, adapter-posix-mq, adapter-system-v-mq, adapter-posix-sem, \
adapter-system-v-sem, pipe, fifo, unix-stream, tcp-loopback, unix-datagram, unix-seqpacket, posix-mq, system-v-mq, \
udp-loopback, eventfd-pair, queued-signal, coalesced-signal, system-v-shm-sem, posix-shm-sem, shm-mutex-condvar, futex, bare-slot; with \
several sources: four-pipes-poll, four-pipes-epoll, four-rings-scan, four-senders-mpmc-park, four-types-system-v-mq.

Kinds for --kinds: latency (ping-pong), throughput, wake (a sleeper), paced (at a rate, open loop), many (senders and \
receivers), select (one of several sources), cold (from nothing to the first message), recovery (from the kill of a sender \
to its successor), signals (bare ones), calls (system calls, counted in an extra round).

--baseline compares slipring's rows with those of an earlier --json, at the same size, payload and placement of the \
cores. A row is worse beyond noise if its worst round then was better than its best round now, in the figure itself \
and in units of the reference; rows with fewer than three rounds are not judged. The kernel's rows are counted as \
witnesses: if they got worse too, suspect the machine.

Exit codes: 0 measured, 1 slower than the baseline, 2 error.

Examples:
  slipring compare
  slipring compare --quick                   # slipring, pipe and Unix stream only
  slipring compare --full --html report.html --json > report.json
  slipring compare --only slipring,posix-mq --sizes 64,4K
  slipring compare --kinds many,paced        # crowds, and messages at a rate
  slipring compare --full --baseline report.json
  slipring compare --from report.json --markdown";

/// `compare` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A few mechanisms: a first impression in under a minute
    #[arg(long, conflicts_with_all = ["full", "from"])]
    quick: bool,

    /// More sizes, both payload sources, more rounds: five minutes, on a busy machine up to fifteen
    #[arg(long, conflicts_with = "from")]
    full: bool,

    /// Measure these mechanisms only, such as pipe,posix-mq
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "from")]
    only: Vec<String>,

    /// Measure these message sizes only, 1 or multiples of 8, such as 64,4K
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = message_size, conflicts_with = "from")]
    sizes: Vec<usize>,

    /// Measure in these ways only, such as latency,paced
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "from")]
    kinds: Vec<String>,

    /// How often to measure everything
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "from")]
    rounds: Option<u16>,

    /// How long each measurement is to take, such as 50ms
    #[arg(long, value_name = "DURATION", value_parser = budget, conflicts_with = "from")]
    budget: Option<Duration>,

    /// The two cores to measure on, such as 2,3
    #[arg(long, value_name = "A,B", value_parser = cores, conflicts_with = "from")]
    cores: Option<[usize; 2]>,

    /// A note on the code that is measured, such as its commit, for the report
    #[arg(long, value_name = "TEXT", conflicts_with = "from")]
    commit: Option<String>,

    /// Show an earlier run, written with --json, and measure nothing
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// End with 1 if slipring got slower than in an earlier run, written with --json
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long, group = "format")]
    json: bool,

    /// Print the report as CSV, one line a row
    #[arg(long, group = "format")]
    csv: bool,

    /// Print the report as Markdown
    #[arg(long, group = "format")]
    markdown: bool,

    /// Also write the report as one HTML page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Show no progress
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Measures, or reads, and prints.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    // Whatever is wrong with a file is said before minutes are spent.
    let baseline = args.baseline.as_deref().map(read).transpose()?;
    if let Some(path) = &args.html {
        fs::OpenOptions::new().append(true).create(true).open(path).map_err(|e| cannot("write", path, &e))?;
    }
    let report = match &args.from {
        Some(path) => read(path)?,
        None => measure(args)?,
    };
    if let Some(path) = &args.html {
        fs::write(path, report.to_html()).map_err(|e| cannot("write", path, &e))?;
    }
    match () {
        () if args.json => out::print(&format!("{}\n", report.to_json().map_err(failed)?))?,
        () if args.csv => out::print(&report.to_csv())?,
        () if args.markdown => out::print(&report.to_markdown())?,
        () => out::print(&report.to_string())?,
    }
    match baseline {
        Some(baseline) => judge(&report.against(&baseline)),
        None => Ok(()),
    }
}

/// A run of the harness, with its progress shown.
fn measure(args: &Args) -> Result<Report, Fail> {
    let steps = Steps::new(args.quiet);
    let report = compare(options(args), |at| {
        let round = if at.round == 0 { "trial".into() } else { format!("round {}/{}", at.round, at.rounds) };
        let (cell, detail) = (at.cell, at.cell.detail());
        let what = format!("{round}: {} {} of {} bytes {detail}", cell.mechanism, cell.kind(), cell.size);
        steps.show(at.done, at.total, what);
    });
    drop(steps);
    report.map_err(failed)
}

/// A report that was written with `--json`.
fn read(path: &Path) -> Result<Report, Fail> {
    let text = fs::read_to_string(path).map_err(|e| cannot("read", path, &e))?;
    Report::from_json(&text).map_err(|error| {
        Fail::Error(format!("compare: {} is no report written with --json: {error}", path.display()))
    })
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Fail {
    Fail::io(format!("compare: cannot {what} {}", path.display()), error)
}

/// Says what changed; rows that got worse are a "no".
fn judge(comparison: &Comparison) -> Result<(), Fail> {
    if comparison.other_machine {
        say("compare: the baseline is of another processor or kernel; little can be said");
    }
    if comparison.compared == 0 {
        let few = comparison.too_few;
        return Err(Fail::Error(format!(
            "compare: no row of slipring can be compared with the baseline ({few} have fewer than three rounds, the \
             others differ in size, payload or placement)"
        )));
    }
    for change in &comparison.better {
        say(format!("compare: better: {change}"));
    }
    for change in &comparison.worse {
        say(format!("compare: worse: {change}"));
    }
    let (witnesses, slower) = comparison.witnesses;
    let summary = format!(
        "compare: against the baseline {} of {} rows of slipring are worse beyond noise, {} better; {slower} of \
         {witnesses} of the kernel's are worse",
        comparison.worse.len(),
        comparison.compared,
        comparison.better.len()
    );
    match comparison.worse.is_empty() {
        true => {
            say(summary);
            Ok(())
        }
        false => Err(Fail::No(summary)),
    }
}

/// What the harness is to do.
fn options(args: &Args) -> CompareOptions {
    let mut options = match (args.quick, args.full) {
        (true, _) => CompareOptions::quick(),
        (_, true) => CompareOptions::full(),
        _ => CompareOptions::default(),
    };
    if !args.sizes.is_empty() {
        options.latency_sizes.clone_from(&args.sizes);
        options.throughput_sizes.clone_from(&args.sizes);
    }
    options.only.clone_from(&args.only);
    options.kinds.clone_from(&args.kinds);
    options.commit.clone_from(&args.commit);
    if let Some(rounds) = args.rounds {
        options.rounds = rounds.into();
    }
    if let Some(budget) = args.budget {
        options.budget = budget;
    }
    options.cores = args.cores;
    options
}

/// An error of the harness.
fn failed(error: HarnessError) -> Fail {
    Fail::Error(format!("compare: {error}"))
}

/// Reads `2,3`.
fn cores(text: &str) -> Result<[usize; 2], String> {
    let pair = text.split_once(',').and_then(|(a, b)| Some([a.trim().parse().ok()?, b.trim().parse().ok()?]));
    pair.ok_or_else(|| "two numbers of cores with a comma between, such as 2,3".into())
}

/// Reads the size of a message.
fn message_size(text: &str) -> Result<usize, String> {
    match size::parse(text)? {
        bytes @ 8..=16_777_216 if bytes % 8 == 0 => Ok(bytes),
        1 => Ok(1),
        _ => Err("1, or a multiple of 8, from 8 to 16M".into()),
    }
}

/// Reads the length of a measurement; the harness gives one up after half a minute.
fn budget(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        time if time < Duration::from_millis(1) => Err("too short: at least 1ms".into()),
        time if time > Duration::from_secs(5) => Err("too long: at most 5s".into()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_two_numbers() {
        assert_eq!(cores("2, 3"), Ok([2, 3]));
        for text in ["", "2", "2,", "2,x", "2,3,4", "-1,2"] {
            assert!(cores(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_one_or_multiples_of_eight() {
        assert_eq!(message_size("1"), Ok(1));
        assert_eq!(message_size("4K"), Ok(4096));
        for text in ["0", "4", "12", "32M", "x"] {
            assert!(message_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn budgets_have_bounds() {
        assert_eq!(budget("50ms"), Ok(Duration::from_millis(50)));
        for text in ["0", "1us", "6s", "x"] {
            assert!(budget(text).is_err(), "{text}");
        }
    }
}
