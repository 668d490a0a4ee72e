//! Pipes and FIFOs do what the kernel's do, operation by operation. `SLIPRING_CONFORM_SEQUENCES=100000` plays more
//! random sequences than the usual; `SLIPRING_CONFORM_SEED` repeats them.

mod common;

use slipring_conform::pipe::compare;

#[test]
fn pipes_are_the_kernels() {
    common::same(|seed, sequences| compare(false, seed, sequences));
}

#[test]
fn fifos_are_the_kernels() {
    common::same(|seed, sequences| compare(true, seed, sequences));
}
