//! Measures and prints the table, without the command line tool:
//! `cargo run --release -p slipring-harness --example compare [-- quick] [only=pipe,fifo] [kinds=many] [json|html]
//! [from=FILE.json]`.

use std::process::ExitCode;

use slipring_harness::{CompareOptions, HarnessError, Report, compare};

fn main() -> ExitCode {
    match report().and_then(|report| print(&report)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn has(word: &str) -> bool {
    std::env::args().any(|argument| argument == word)
}

/// What stands behind `name=`.
fn value(name: &str) -> Option<String> {
    std::env::args().find_map(|argument| Some(argument.strip_prefix(name)?.strip_prefix('=')?.to_string()))
}

fn list(name: &str) -> Vec<String> {
    value(name).map(|words| words.split(',').map(String::from).collect()).unwrap_or_default()
}

fn report() -> Result<Report, HarnessError> {
    if let Some(path) = value("from") {
        let text = std::fs::read_to_string(&path).map_err(|error| HarnessError::Os {
            what: format!("reading {path}"),
            errno: error.raw_os_error().unwrap_or(0),
        })?;
        return Report::from_json(&text);
    }
    let options = if has("quick") { CompareOptions::quick() } else { CompareOptions::default() };
    let rounds = value("rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(options.rounds);
    let options = CompareOptions { only: list("only"), kinds: list("kinds"), rounds, ..options };
    let report = compare(options, |at| {
        let cell = at.cell;
        let (kind, size) = (cell.kind(), cell.size);
        eprint!("\r{}/{} {} {kind} {size} bytes {}\x1b[K", at.done, at.total, cell.mechanism, cell.detail());
    });
    eprintln!();
    report
}

fn print(report: &Report) -> Result<(), HarnessError> {
    match () {
        () if has("json") => println!("{}", report.to_json()?),
        () if has("html") => println!("{}", report.to_html()),
        () if has("csv") => println!("{}", report.to_csv()),
        () if has("markdown") => println!("{}", report.to_markdown()),
        () => println!("{report}"),
    }
    Ok(())
}
