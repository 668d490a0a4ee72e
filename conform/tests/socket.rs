//! Sockets do what the kernel's do, operation by operation. `SLIPRING_CONFORM_SEQUENCES=100000` plays more random sequences
//! than the usual; `SLIPRING_CONFORM_SEED` repeats them.

mod common;

use slipring_conform::socket::{Kind, compare};

#[test]
fn streams_are_the_kernels() {
    common::same(|seed, sequences| compare(Kind::Stream, seed, sequences));
}

#[test]
fn sequenced_records_are_the_kernels() {
    common::same(|seed, sequences| compare(Kind::Seqpacket, seed, sequences));
}

#[test]
fn datagrams_are_the_kernels() {
    common::same(|seed, sequences| compare(Kind::Datagram, seed, sequences));
}
