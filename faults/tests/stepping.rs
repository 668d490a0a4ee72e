//! Every verb, killed and frozen between its machine instructions: the short form, with a stride through the long verbs.
//! The long form: `cargo run --release -p slipring-faults -- kills`, and `stops`.

mod common;

use common::alone;
use slipring_faults::ends::Kind;
use slipring_faults::scene::VERBS;
use slipring_faults::stepping::{Density, Fault, step_through};

/// At most about so many instructions of each verb.
const ABOUT: usize = if cfg!(debug_assertions) { 12 } else { 60 };

fn all(kind: Kind, fault: Fault) {
    let _alone = alone();
    let (mut tried, mut violations) = (0, Vec::new());
    for &verb in VERBS.iter().filter(|verb| verb.kind == kind) {
        let density = |instructions: usize| Density { stride: instructions.div_ceil(ABOUT), repeats: 2 };
        let report = step_through(verb, fault, density);
        println!("{report}");
        tried += report.tried;
        violations.extend(report.violations.iter().map(|what| format!("{}: {what}", verb.name)));
    }
    println!("{fault:?}: {tried} instructions tried");
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn an_spsc_ring_survives_a_kill_at_any_instruction() {
    all(Kind::Spsc, Fault::Kill);
}

#[test]
fn an_mpmc_ring_survives_a_kill_at_any_instruction() {
    all(Kind::Mpmc, Fault::Kill);
}

#[test]
fn an_spsc_ring_goes_on_around_one_frozen_at_any_instruction() {
    all(Kind::Spsc, Fault::Freeze);
}

#[test]
fn an_mpmc_ring_goes_on_around_one_frozen_at_any_instruction() {
    all(Kind::Mpmc, Fault::Freeze);
}
