//! Explores the configurations of the table and prints what was found.
//!
//! `cargo run --release -p slipring-protocol [-- --all [WORD]]`: the short form, or all, or all whose row has that word.
//! Exit 0: no promise is broken
//! and every seeded bug is found; 1: otherwise, with the shortest trace; 2: wrong arguments.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Mutex;

use slipring_protocol::explore::{Report, explore};
use slipring_protocol::table::{BUGS, Config, LONG, SHORT, Seeded};

/// More than this does not fit into the memory of an ordinary machine.
const LIMIT: usize = 120_000_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (all, word) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => (false, ""),
        ["--all"] => (true, ""),
        ["--all", word] => (true, word),
        _ => {
            eprintln!(
                "usage: slipring-protocol [--all [WORD]]\n\nWORD: only configurations whose row has it"
            );
            return ExitCode::from(2);
        }
    };
    let configs = SHORT.iter().chain(if all { LONG } else { &[] });
    let configs: Vec<&Config> = configs.filter(|config| row(config).contains(word)).collect();
    let mut good = rules(&configs);
    println!();
    good &= bugs();
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Explores them, as many at once as there are cores, and hands over each report in order.
fn each<T: Sync>(items: &[T], explore: impl Fn(&T) -> Report + Sync, mut done: impl FnMut(&T, Report)) {
    let next = Mutex::new(0..items.len());
    let threads = std::thread::available_parallelism().map_or(1, Into::into).min(items.len());
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let send = send.clone();
            let (next, explore) = (&next, &explore);
            scope.spawn(move || {
                while let Some(i) = next.lock().ok().and_then(|mut next| next.next()) {
                    if send.send((i, explore(&items[i]))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut early: Vec<Option<Report>> = items.iter().map(|_| None).collect();
        let mut shown = 0;
        for (i, report) in receive {
            early[i] = Some(report);
            while let Some(report) = early.get_mut(shown).and_then(Option::take) {
                done(&items[shown], report);
                shown += 1;
            }
        }
    });
}

/// The columns that say what is explored.
fn row(config: &Config) -> String {
    let says = |yes, what| if yes { what } else { "" };
    let reborn = says(config.reborn, ", numbers reused");
    let whole = says(!config.settle, ", every step");
    let cursors = says(config.cursors, ", cursors");
    format!("| {} | {config} | {}{reborn}{whole}{cursors} |", config.slots, config.kills)
}

fn rules(configs: &[&Config]) -> bool {
    println!("| slots | processes | kills | states | transitions | depth | alone | verdict | seconds |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut good = true;
    each(
        configs,
        |config| explore(config, LIMIT),
        |config, report| {
            let verdict = match &report.fault {
                Some((fault, _)) => format!("{fault:?}"),
                None if report.cut => "not all visited".into(),
                None => "holds".into(),
            };
            println!(
                "{} {} | {} | {} | {} | {verdict} | {:.1} |",
                row(config),
                report.states,
                report.transitions,
                report.depth,
                report.alone,
                report.time.as_secs_f64()
            );
            good &= report.fault.is_none() && !report.cut;
            for line in report.fault.iter().flat_map(|(_, trace)| trace) {
                println!("    {line}");
            }
        },
    );
    good
}

fn bugs() -> bool {
    println!("| seeded bug | slots | processes | kills | found as | steps | states |");
    println!("|---|---|---|---|---|---|---|");
    let mut good = true;
    each(
        BUGS,
        |seeded| explore(&seeded.config, LIMIT),
        |Seeded { config, fault }, report| {
            let found = report.fault.as_ref().map(|(fault, _)| *fault);
            println!(
                "| {:?} | {} | {config} | {} | {} | {} | {} |",
                config.bug.expect("it has a bug"),
                config.slots,
                config.kills,
                found.map_or("not found".into(), |found| format!("{found:?}")),
                report.fault.map_or(0, |(_, trace)| trace.len() - 1),
                report.states
            );
            if found != Some(*fault) {
                println!("    {fault:?} was expected");
                good = false;
            }
        },
    );
    good
}
