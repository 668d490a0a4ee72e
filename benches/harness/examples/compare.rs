//! Measures and prints the table: `cargo run --release -p slipring-harness --example compare [-- quick] [json]`.

use std::process::ExitCode;

use slipring_harness::{CompareOptions, compare};

fn main() -> ExitCode {
    let has = |word: &str| std::env::args().any(|argument| argument == word);
    let options = if has("quick") { CompareOptions::quick() } else { CompareOptions::default() };
    let report = compare(options, |at| {
        eprint!(
            "\r{}/{} {} {} {} bytes\x1b[K",
            at.done,
            at.total,
            at.cell.mechanism,
            at.cell.kind(),
            at.cell.size
        );
    });
    eprintln!();
    let text = report.and_then(|report| if has("json") { report.to_json() } else { Ok(report.to_string()) });
    match text {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
