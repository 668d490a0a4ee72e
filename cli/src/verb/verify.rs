//! `slipring verify`: storms of kills and stops on this machine, and what became of every message. The storm and its
//! auditor are the fault harness's; here its verdict meets the terminal.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use slipring_faults::audit::Tally;
use slipring_faults::ends::{Kind, Put, Take};
use slipring_faults::storm::{Plan, Progress, Verdict, run_while};

use crate::fail::Fail;
use crate::flow::progress::Steps;
use crate::flow::signals::Signals;
use crate::table::pairs;
use crate::{duration, out};

/// Shown below the options.
const EXAMPLES: &str = "\
Real processes move numbered, checksummed messages through a ring of their own at full speed. Meanwhile random ones are \
killed (SIGKILL) and replaced, and random ones are stopped (SIGSTOP) for a moment. Each writes down what it sent and what \
it got, and all of that is compared: every message whose send returned must arrive, once, whole, and in order. A message \
that was in a killed receiver's hands may be gone where the ring says so (recv), and is delivered again and flagged where \
it says that (--ack).

Without --spsc, --mpmc or --ack both kinds of ring are tried, half of the time each. What a seed decides is who is hit, by what, \
and after how long; where in its work a process then is, the scheduler decides.

Exit codes: 0 nothing was violated, 1 something was, 2 error. SIGINT, SIGTERM and SIGHUP end it early, with the verdict \
so far.

Examples:
  slipring verify
  slipring verify --kill --stop --duration 10m --producers 4 --consumers 4
  slipring verify --mpmc --ack --kill
  slipring verify --json | jq '.storms[].lost'";

/// `verify` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Kill processes [default: kill and stop]
    #[arg(long)]
    kill: bool,

    /// Stop processes for a moment [default: kill and stop]
    #[arg(long)]
    stop: bool,

    /// How long, in all
    #[arg(short = 'd', long, value_name = "DURATION", value_parser = some_time, default_value = "20s")]
    duration: Duration,

    /// Only rings with one sender and one receiver
    #[arg(long)]
    spsc: bool,

    /// Only rings with many of each
    #[arg(long)]
    mpmc: bool,

    /// Senders at a time, of an mpmc ring
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=500), conflicts_with = "spsc")]
    producers: u16,

    /// Receivers at a time, of an mpmc ring
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=500), conflicts_with = "spsc")]
    consumers: u16,

    /// Only mpmc rings, whose receivers acknowledge: then no message may be gone, and those delivered again must say so
    #[arg(long, conflicts_with = "spsc")]
    ack: bool,

    /// The mean time between two kills or stops
    #[arg(long, value_name = "DURATION", value_parser = some_time, default_value = "2ms")]
    every: Duration,

    /// Decides who is hit, by what, and when [default: the time of day]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Show no progress
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Reads a duration that is not nothing.
fn some_time(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("must be longer than nothing".into()),
        time => Ok(time),
    }
}

/// Raises the storms and judges them.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let signals = Signals::hold()?;
    let plans = plans(args);
    let steps = Steps::new(args.quiet);
    let (mut storms, mut ended) = (Vec::new(), None);
    for plan in &plans {
        let verdict = run_while(plan, |now| {
            show(&steps, plan, now);
            ended = ended.take().or(signals.check().err());
            ended.is_none()
        });
        storms.push(Storm::new(&verdict.map_err(|e| Fail::Error(format!("cannot raise a storm: {e}")))?));
        if ended.is_some() {
            break;
        }
    }
    drop(steps);
    match args.json {
        true => out::json(&Report { sound: storms.iter().all(|storm| storm.sound), storms: &storms })?,
        false => out::print(&storms.iter().map(Storm::text).collect::<Vec<_>>().join("\n"))?,
    }
    let violated = storms.iter().filter(|storm| !storm.sound).count();
    if violated > 0 {
        let seed = plans[0].seed;
        return Err(Fail::No(format!(
            "slipring's promises were violated on this machine; please report the output above, and try again with \
             --seed {seed}"
        )));
    }
    ended.map_or(Ok(()), Err)
}

/// The storms asked for.
fn plans(args: &Args) -> Vec<Plan> {
    // Never enough of them: the time ends a storm.
    let unbounded = u64::MAX / 4;
    let both = args.kill == args.stop;
    // Short enough to be typed, and to survive in every reader of JSON.
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    let seed = args.seed.unwrap_or_else(|| clock().into());
    let kinds: Vec<Kind> = match args.spsc == args.mpmc {
        true if args.ack => vec![Kind::Mpmc],
        true => vec![Kind::Spsc, Kind::Mpmc],
        false if args.spsc => vec![Kind::Spsc],
        false => vec![Kind::Mpmc],
    };
    let at_most = args.duration / kinds.len() as u32;
    let plan = |kind: Kind| {
        let many = kind == Kind::Mpmc;
        Plan {
            senders: if many { args.producers.into() } else { 1 },
            receivers: if many { args.consumers.into() } else { 1 },
            put: Put::Copy,
            take: if many && args.ack { Take::Peek } else { Take::Recv },
            kills: if both || args.kill { unbounded } else { 0 },
            stops: if both || args.stop { unbounded } else { 0 },
            at_most,
            every: args.every,
            ..Plan::short(kind, seed)
        }
    };
    kinds.into_iter().map(plan).collect()
}

/// One look at a storm at work.
fn show(steps: &Steps, plan: &Plan, now: &Progress) {
    let what = format!(
        "s {}: {} killed, {} stopped, {} sent, {} received",
        kind_name(plan.kind),
        grouped(now.killed),
        grouped(now.stopped),
        grouped(now.sent),
        grouped(now.received)
    );
    steps.show(now.elapsed.as_secs() as usize, plan.at_most.as_secs().max(1) as usize, what);
}

/// Everything, as `--json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    sound: bool,
    storms: &'a [Storm],
}

/// One storm, as `--json` prints it. Names are stable, as in `json`; times are in seconds.
#[derive(Serialize)]
struct Storm {
    kind: &'static str,
    sound: bool,
    producers: usize,
    consumers: usize,
    ack: bool,
    slots: usize,
    seed: u64,
    seconds: f64,
    killed: u64,
    stopped: u64,
    sent: u64,
    sent_by_killed: u64,
    received: u64,
    gone_with_killed: u64,
    redelivered: u64,
    lost: u64,
    duplicated: u64,
    torn: u64,
    out_of_order: u64,
    never_sent: u64,
    worst_stall: f64,
    worst_verb: Option<f64>,
    worst_recovery: f64,
    capacity_before: u64,
    capacity_after: u64,
    failures: Vec<String>,
}

impl Storm {
    fn new(verdict: &Verdict) -> Storm {
        let Verdict { plan, tally, .. } = verdict;
        let Tally { sent, sent_by_the_killed, received, in_hands, redelivered, .. } = *tally;
        let mut failures = verdict.failures.clone();
        if verdict.descriptors.0 != verdict.descriptors.1 {
            let (before, after) = verdict.descriptors;
            failures.push(format!("{before} file descriptors were open before, {after} afterwards"));
        }
        failures.extend(tally.evidence.iter().take(5).map(|violation| format!("{violation:?}")));
        Storm {
            kind: kind_name(plan.kind),
            sound: verdict.is_sound(),
            producers: plan.senders,
            consumers: plan.receivers,
            ack: plan.take == Take::Peek,
            slots: plan.slots,
            seed: plan.seed,
            seconds: verdict.took.as_secs_f64(),
            killed: verdict.killed,
            stopped: verdict.stopped,
            sent,
            sent_by_killed: sent_by_the_killed,
            received,
            gone_with_killed: in_hands,
            redelivered,
            lost: tally.lost,
            duplicated: tally.duplicated,
            torn: tally.torn,
            out_of_order: tally.out_of_order,
            never_sent: tally.phantom,
            worst_stall: verdict.worst_stall.as_secs_f64(),
            worst_verb: Some(verdict.times.net_stall)
                .filter(|verbs| verbs.count > 0)
                .map(|verbs| verbs.max.as_secs_f64()),
            worst_recovery: verdict.times.delivery.max.as_secs_f64(),
            capacity_before: verdict.capacity.0,
            capacity_after: verdict.capacity.1,
            failures,
        }
    }

    /// For people: the verdict first.
    fn text(&self) -> String {
        let take = if self.ack { ", which acknowledge" } else { "" };
        let people = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let mut rows = vec![
            ("Verdict", if self.sound { "sound" } else { "VIOLATED" }.to_owned()),
            (
                "Ring",
                format!(
                    "{}, {}, {}{take}",
                    self.kind,
                    people(self.producers, "producer"),
                    people(self.consumers, "consumer")
                ),
            ),
            ("Took", format!("{:.1} s, seed {}", self.seconds, self.seed)),
            ("Killed", grouped(self.killed)),
            ("Stopped", grouped(self.stopped)),
            ("Sent", format!("{}, and {} by the killed", grouped(self.sent), grouped(self.sent_by_killed))),
            ("Received", grouped(self.received)),
            ("Allowed", self.allowed()),
            ("Lost", grouped(self.lost)),
            ("Duplicated", grouped(self.duplicated)),
            ("Torn", grouped(self.torn)),
            ("Out of order", grouped(self.out_of_order)),
            ("Never sent", grouped(self.never_sent)),
            ("Worst stall", format!("{} without a delivery", millis(self.worst_stall))),
            (
                "Worst recovery",
                format!("{}, the start of a new process included", millis(self.worst_recovery)),
            ),
            ("Capacity", format!("{} messages before, {} after", self.capacity_before, self.capacity_after)),
        ];
        if let Some(time) = self.worst_verb {
            let own = format!("{} on a core, of those that do not wait", millis(time));
            rows.insert(rows.len() - 2, ("Worst verb", own));
        }
        rows.extend(self.failures.iter().map(|failure| ("Failure", failure.clone())));
        pairs(&rows)
    }

    /// What the ring's promises allow, and happened.
    fn allowed(&self) -> String {
        match (self.ack, self.kind) {
            (false, "mpmc") => format!("{} gone with a killed receiver", grouped(self.gone_with_killed)),
            _ => format!(
                "{} gone with a killed receiver, {} delivered again",
                grouped(self.gone_with_killed),
                grouped(self.redelivered)
            ),
        }
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Spsc => "spsc",
        Kind::Mpmc => "mpmc",
    }
}

fn millis(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1000.0)
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipring_faults::audit::Violation;
    use slipring_faults::storm::Measured;
    use slipring_faults::summary::Summary;

    #[test]
    fn a_violation_is_named_and_a_leak_too() {
        let kept = Verdict {
            plan: Plan { seed: 5, ..Plan::short(Kind::Mpmc, 5) },
            tally: Tally::default(),
            killed: 1234,
            stopped: 0,
            worst_stall: Duration::from_millis(3),
            capacity: (64, 64),
            descriptors: (7, 7),
            times: Measured {
                delivery: Summary { max: Duration::from_micros(4500), ..Summary::default() },
                net_stall: Summary { max: Duration::from_micros(700), count: 9, ..Summary::default() },
                ..Measured::default()
            },
            complete: true,
            failures: Vec::new(),
            took: Duration::from_secs(2),
        };
        let sound = Storm::new(&kept).text();
        assert!(sound.starts_with("Verdict:        sound\n"), "{sound}");
        assert!(sound.contains("Killed:         1,234\n") && sound.contains(" 4.5 ms"), "{sound}");
        assert!(sound.contains("\nWorst verb:     0.7 ms on a core"), "{sound}");
        let asleep = Verdict { times: Measured::default(), ..kept.clone() };
        assert!(!Storm::new(&asleep).text().contains("Worst verb"), "nobody was timed");
        let evidence = vec![Violation::Torn { receiver: 9 }];
        let torn = Verdict { tally: Tally { torn: 1, evidence, ..Tally::default() }, ..kept.clone() };
        let leak = Verdict { descriptors: (7, 8), ..kept.clone() };
        let slot = Verdict { capacity: (64, 63), ..kept };
        for (verdict, part) in [
            (torn, "Torn:           1\n"),
            (leak, "Failure:        7 file descriptors were open before, 8 afterwards\n"),
            (slot, "Capacity:       64 messages before, 63 after\n"),
        ] {
            let text = Storm::new(&verdict).text();
            assert!(text.starts_with("Verdict:        VIOLATED\n") && text.contains(part), "{text}");
        }
    }

    #[test]
    fn long_numbers_are_grouped() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (123_456, "123,456"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
