//! How each mechanism is compared: so many random sequences, from a seed that is printed.

use slipring_conform::Report;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Fails with the first difference that `compare` finds.
pub fn same(compare: impl FnOnce(u64, u64) -> std::io::Result<Report>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("SLIPRING_CONFORM_SEED").unwrap_or(now);
    let sequences = number("SLIPRING_CONFORM_SEQUENCES").unwrap_or(500);
    let start = Instant::now();
    let report = compare(seed, sequences).unwrap();
    println!(
        "{}: {} scripts, {} random sequences from seed {seed} on, {} operations, {:.1?}",
        report.mechanism,
        report.rows.len(),
        report.sequences,
        report.operations,
        start.elapsed()
    );
    if let Some(divergence) = report.divergence {
        panic!("{divergence}");
    }
    assert_eq!(report.sequences, sequences);
}
