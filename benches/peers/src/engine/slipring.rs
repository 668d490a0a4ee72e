//! The flavours of slipring that the harness does not have.
#![forbid(unsafe_code)]

use slipring::{Align, Fences, WaitStrategy, Wakeup};
use slipring_harness::mechanism::Flavour;

/// Spins; `send` and `recv`, so every message is copied twice.
#[derive(Debug)]
pub enum Copied {}

impl Flavour for Copied {
    const NAME: &'static str = "slipring send/recv";
    const STRATEGY: WaitStrategy = WaitStrategy::Spin;
    const WAKEUP: Wakeup = Wakeup::None;
    const COPIES_OUT: bool = true;
}

/// Spins; records on 8-byte boundaries.
#[derive(Debug)]
pub enum Dense {}

impl Flavour for Dense {
    const NAME: &'static str = "slipring dense";
    const STRATEGY: WaitStrategy = WaitStrategy::Spin;
    const WAKEUP: Wakeup = Wakeup::None;
    const ALIGN: Align = Align::Dense;
}

/// As [`Dense`], in batches of [`BATCH`].
#[derive(Debug)]
pub enum DenseBatch {}

/// Messages a batch.
pub const BATCH: usize = 64;

impl Flavour for DenseBatch {
    const NAME: &'static str = "slipring dense, batches";
    const STRATEGY: WaitStrategy = WaitStrategy::Spin;
    const WAKEUP: Wakeup = Wakeup::None;
    const ALIGN: Align = Align::Dense;
}

/// Parks on a futex; records on 8-byte boundaries.
#[derive(Debug)]
pub enum ParkDense {}

impl Flavour for ParkDense {
    const NAME: &'static str = "slipring dense park";
    const STRATEGY: WaitStrategy = WaitStrategy::Park;
    const WAKEUP: Wakeup = Wakeup::Futex;
    const ALIGN: Align = Align::Dense;
}

/// Parks on a futex; every publisher pays a full fence.
#[derive(Debug)]
pub enum ParkPlain {}

impl Flavour for ParkPlain {
    const NAME: &'static str = "slipring park, plain fences";
    const STRATEGY: WaitStrategy = WaitStrategy::Park;
    const WAKEUP: Wakeup = Wakeup::Futex;
    const FENCES: Fences = Fences::Plain;
}

/// Parks on a semaphore.
#[derive(Debug)]
pub enum ParkSemaphore {}

impl Flavour for ParkSemaphore {
    const NAME: &'static str = "slipring park, semaphore";
    const STRATEGY: WaitStrategy = WaitStrategy::Park;
    const WAKEUP: Wakeup = Wakeup::Semaphore;
}

/// The MPMC ring; both ends spin; `send` and `recv`, so every message is copied twice.
#[derive(Debug)]
pub enum ManySpin {}

impl Flavour for ManySpin {
    const NAME: &'static str = "slipring mpmc";
    const STRATEGY: WaitStrategy = WaitStrategy::Spin;
    const WAKEUP: Wakeup = Wakeup::None;
    const COPIES_OUT: bool = true;
}

/// As [`ManySpin`], but who finds nothing to do gives the core away.
#[derive(Debug)]
pub enum ManyYield {}

impl Flavour for ManyYield {
    const NAME: &'static str = "slipring mpmc yield";
    const STRATEGY: WaitStrategy = WaitStrategy::Yield;
    const WAKEUP: Wakeup = Wakeup::None;
    const COPIES_OUT: bool = true;
}
