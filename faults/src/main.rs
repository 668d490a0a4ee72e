//! The long forms: every verb killed and frozen at every instruction, storms, pairs, histories. Exit 0: nothing was
//! violated; 1: something was; 2: the command was wrong.

use clap::{Parser, Subcommand};
use slipring_faults::beside;
use slipring_faults::ends::{Kind, Put, Take};
use slipring_faults::hiccups;
use slipring_faults::recovery::{Peers, Recovery, measure};
use slipring_faults::schedule::{COUNTS_STEPS, MOST_STEPS};
use slipring_faults::stepping::{Density, Fault, step_through, verbs};
use slipring_faults::storm::{Plan, Waiting, run};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(version, about = "Faults for slipring: kills, stops, and the audit of what became of the messages")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kill a victim at every machine instruction of every verb
    Kills(Steps),
    /// Freeze a victim at every machine instruction of every verb while the others go on
    Stops(Steps),
    /// Kill and freeze pairs of victims at every two steps of the protocol
    #[cfg(slipring_steps)]
    Pairs {
        /// Every how many pairs of steps
        #[arg(long, default_value_t = 1)]
        stride: u64,
    },
    /// Record histories of several processes, kills included, and check that a queue could have answered so
    Histories {
        /// How many, of each kind of plan
        #[arg(long, default_value_t = 10_000)]
        count: u64,
        /// Decides who is killed and when
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Kill and stop random participants at random moments
    Storm(Storm),
    /// Measure how long it takes from a kill to the full capacity, with a peer at work and with all asleep
    Recovery {
        /// Kills, of each kind
        #[arg(long, default_value_t = 1000)]
        samples: u64,
        /// Decides the moments
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure what the machine does by itself to processes that only read the clock: to be laid beside a storm's stalls
    Hiccups {
        /// For so many seconds
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Processes [default: one for each core]
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        readers: usize,
        /// Let the scheduler put them where it likes, as a storm's participants, and keep none to a core
        #[arg(long)]
        unpinned: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure what others move beside two that are stopped with a grant and with a frame in their hands
    Beside {
        /// Rounds, each with a window of either kind
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Length of a window, in milliseconds
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
        window: u64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
struct Steps {
    /// Only verbs whose name contains this
    #[arg(long, default_value = "")]
    verb: String,
    /// Every how many instructions of a long verb
    #[arg(long, default_value_t = 1)]
    stride: usize,
    /// Of an instruction executed again and again, as in a polling loop, so many first and last times; 0: all
    #[arg(long, default_value_t = 4)]
    repeats: u32,
}

#[derive(clap::Args)]
struct Storm {
    /// SPSC instead of MPMC
    #[arg(long)]
    spsc: bool,
    /// Senders at any time
    #[arg(long, default_value_t = 3)]
    senders: usize,
    /// Receivers at any time
    #[arg(long, default_value_t = 3)]
    receivers: usize,
    /// Messages that fit
    #[arg(long, default_value_t = 64)]
    slots: usize,
    /// How to send: copy, loan, batch, mixed
    #[arg(long, default_value = "mixed")]
    put: String,
    /// How to receive: recv, frame, peek, batch, mixed [default: mixed; recv for SPSC]
    #[arg(long)]
    take: Option<String>,
    /// How to wait: sleep, poll, mixed
    #[arg(long, default_value = "mixed")]
    wait: String,
    /// SIGKILLs
    #[arg(long, default_value_t = 1000)]
    kills: u64,
    /// SIGSTOPs
    #[arg(long, default_value_t = 100)]
    stops: u64,
    /// Go on at least until so many messages were received
    #[arg(long, default_value_t = 0)]
    messages: u64,
    /// End after so many seconds
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// Mean time between two faults, in microseconds
    #[arg(long, default_value_t = 2000)]
    every: u64,
    /// Decides who is hit by what and when; else the time of day does
    #[arg(long)]
    seed: Option<u64>,
    /// More steps of the protocol between two answers are a violation
    #[cfg(slipring_steps)]
    #[arg(long, default_value_t = MOST_STEPS)]
    most_steps: u64,
    /// How far it is every so many seconds
    #[arg(long, default_value_t = 5)]
    word: u64,
    /// The verdict as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let sound = match Args::parse().command {
        Command::Kills(steps) => stepped(&steps, Fault::Kill),
        Command::Stops(steps) => stepped(&steps, Fault::Freeze),
        #[cfg(slipring_steps)]
        Command::Pairs { stride } => pairs(stride),
        Command::Histories { count, seed } => match histories(count, seed) {
            Ok(sound) => sound,
            Err(what) => {
                println!("{what}");
                false
            }
        },
        Command::Storm(wanted) => match storm(&wanted) {
            Ok(sound) => sound,
            Err(what) => return wrong(&what),
        },
        Command::Recovery { samples, seed, json } => match recovery(samples, seed, json) {
            Ok(reached) => reached,
            Err(what) => return wrong(&what),
        },
        Command::Hiccups { seconds, readers, unpinned, json } => {
            let found = hiccups::measure(readers, !unpinned, Duration::from_secs(seconds));
            match found.and_then(|found| print_as(json, &found, &found.row())) {
                Ok(()) => true,
                Err(what) => return wrong(&what),
            }
        }
        Command::Beside { rounds, window, json } => {
            match beside::measure(rounds, Duration::from_millis(window)) {
                Ok(verdict) => {
                    if let Err(what) = print_as(json, &verdict, &verdict.row()) {
                        return wrong(&what);
                    }
                    verdict.is_reached()
                }
                // Somebody hangs: that is what was looked for.
                Err(what) => {
                    println!("{what}");
                    false
                }
            }
        }
    };
    if sound { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn wrong(what: &str) -> ExitCode {
    eprintln!("{what}");
    ExitCode::from(2)
}

fn recovery(samples: u64, seed: u64, json: bool) -> Result<bool, String> {
    let mut all = Vec::new();
    for kind in [Kind::Mpmc, Kind::Spsc] {
        for peers in [Peers::Active, Peers::Asleep] {
            all.push(measure(kind, peers, samples, seed)?);
        }
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&all).map_err(|e| e.to_string())?);
    } else {
        println!("{}", Recovery::HEAD);
        all.iter().for_each(|one| println!("{}", one.row()));
    }
    for one in &all {
        one.failures.iter().for_each(|what| eprintln!("{:?}, {:?}: FAILED {what}", one.kind, one.peers));
    }
    Ok(all.iter().all(Recovery::is_reached))
}

fn stepped(steps: &Steps, fault: Fault) -> bool {
    let repeats = if steps.repeats == 0 { Density::ALL.repeats } else { steps.repeats };
    let (mut tried, mut violations, mut moved) = (0, 0, 0);
    let (mut worst, mut longest, mut most_steps) = (Duration::ZERO, Duration::ZERO, 0);
    let begin = std::time::Instant::now();
    for verb in verbs(&steps.verb) {
        let stride = if verb.long { steps.stride } else { 1 };
        let report = step_through(verb, fault, move |_| Density { stride, repeats });
        println!("{report}");
        tried += report.tried;
        violations += report.violations.len();
        moved += report.moved_meanwhile;
        worst = worst.max(report.worst_recovery);
        longest = longest.max(report.longest_meanwhile);
        most_steps = most_steps.max(report.most_steps_meanwhile);
    }
    if most_steps > MOST_STEPS {
        println!(
            "VIOLATED {most_steps} steps of the protocol in a verb beside one frozen, more than {MOST_STEPS}"
        );
        violations += 1;
    }
    let beside = match fault {
        Fault::Kill => String::new(),
        Fault::Freeze => format!(
            ", {moved} messages moved beside those frozen, the longest of the others' verbs {longest:.1?} without want of a core{}",
            if COUNTS_STEPS { format!(", {most_steps} steps at most") } else { String::new() }
        ),
    };
    println!("{fault:?}: {tried} instructions tried, {violations} violations");
    let Steps { stride, repeats: most, .. } = steps;
    println!(
        "| {fault:?} at a machine instruction (`--stride {stride} --repeats {most}`), {:.0} s | {tried} instructions{beside} | \
         {violations} violations; longest from there to full capacity {worst:.1?} |",
        begin.elapsed().as_secs_f64()
    );
    violations == 0 && tried > 0
}

fn storm(wanted: &Storm) -> Result<bool, String> {
    let kind = if wanted.spsc { Kind::Spsc } else { Kind::Mpmc };
    let seed = wanted.seed.unwrap_or_else(slipring_faults::log::now);
    let ends = if wanted.spsc { (1, 1) } else { (wanted.senders, wanted.receivers) };
    let plan = Plan {
        senders: ends.0,
        receivers: ends.1,
        slots: wanted.slots,
        put: match wanted.put.as_str() {
            "copy" => Put::Copy,
            "loan" => Put::Loan,
            "batch" => Put::Batch(8),
            "mixed" => Put::Mixed,
            other => return Err(format!("--put {other}: one of copy, loan, batch, mixed")),
        },
        waiting: match wanted.wait.as_str() {
            "sleep" => Waiting::Sleep,
            "poll" => Waiting::Poll,
            "mixed" => Waiting::Mixed,
            other => return Err(format!("--wait {other}: one of sleep, poll, mixed")),
        },
        take: match wanted.take.as_deref().unwrap_or(if wanted.spsc { "recv" } else { "mixed" }) {
            "recv" => Take::Recv,
            "frame" => Take::Frame,
            "peek" => Take::Peek,
            "batch" => Take::Batch(8),
            "mixed" if !wanted.spsc => Take::Mixed,
            other => {
                return Err(format!("--take {other}: one of recv, frame, peek, batch, and mixed for MPMC"));
            }
        },
        kills: wanted.kills,
        stops: wanted.stops,
        messages: wanted.messages,
        at_most: Duration::from_secs(wanted.seconds),
        every: Duration::from_micros(wanted.every),
        #[cfg(slipring_steps)]
        most_steps: wanted.most_steps,
        ..Plan::short(kind, seed)
    };
    eprintln!("--seed {seed} brings back the same faults");
    let mut next = Duration::ZERO;
    let verdict = run(&plan, |progress| {
        if progress.elapsed >= next {
            eprintln!("{}", progress.line(&plan));
            next = progress.elapsed + Duration::from_secs(wanted.word);
        }
    })?;
    print_as(wanted.json, &verdict, &verdict.row())?;
    Ok(verdict.is_sound() && verdict.complete)
}

/// As JSON, or as a table for people and a row for the docs.
fn print_as<T: serde::Serialize + std::fmt::Display>(
    json: bool,
    verdict: &T,
    row: &str,
) -> Result<(), String> {
    if json {
        println!("{}", serde_json::to_string_pretty(verdict).map_err(|e| e.to_string())?);
    } else {
        println!("{verdict}\n{row}");
    }
    Ok(())
}

#[cfg(slipring_steps)]
fn pairs(stride: u64) -> bool {
    use slipring_faults::pairs::{Pair, acts, step_through};
    let logs = slipring_faults::scene::Logs::default();
    let (mut tried, mut violations) = (0, 0);
    for pair in [Pair::KillBoth, Pair::KillSweeper, Pair::FreezeBoth] {
        for kind in [Kind::Spsc, Kind::Mpmc] {
            for verbs in acts(kind, pair) {
                let report = step_through(kind, verbs, pair, stride, &logs);
                println!("{kind:?} {report}");
                tried += report.tried;
                violations += report.violations.len();
            }
        }
    }
    println!("{tried} pairs of steps tried, {violations} violations");
    violations == 0 && tried > 0
}

fn histories(count: u64, seed: u64) -> Result<bool, String> {
    use slipring_faults::recorder::{Plan, record};
    let mut sound = true;
    for (kind, senders, receivers) in
        [(Kind::Spsc, 1, 1), (Kind::Mpmc, 1, 1), (Kind::Mpmc, 2, 1), (Kind::Mpmc, 1, 2), (Kind::Mpmc, 2, 2)]
    {
        let figures = record(&Plan { kind, senders, receivers, histories: count, kill_every: 4, seed })?;
        println!("{kind:?} {senders} x {receivers}: {figures}");
        for (history, wrong) in &figures.wrong {
            println!("  {wrong:?} in {history:?}");
        }
        sound &= figures.wrong.is_empty() && figures.histories == count;
    }
    Ok(sound)
}
