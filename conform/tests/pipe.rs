//! Pipes and FIFOs do what the kernel's do, operation by operation. `SLIPRING_CONFORM_SEQUENCES=100000` plays more
//! random sequences than the usual; `SLIPRING_CONFORM_SEED` repeats them.

use slipring_conform::pipe::compare;
use std::time::{SystemTime, UNIX_EPOCH};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn same(named: bool) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("SLIPRING_CONFORM_SEED").unwrap_or(now);
    let sequences = number("SLIPRING_CONFORM_SEQUENCES").unwrap_or(500);
    let start = std::time::Instant::now();
    let report = compare(named, seed, sequences).unwrap();
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

#[test]
fn pipes_are_the_kernels() {
    same(false);
}

#[test]
fn fifos_are_the_kernels() {
    same(true);
}
