//! Short storms of kills and stops. The long form: `cargo run --release -p slipring-faults -- storm`.

mod common;

use common::alone;
use slipring_faults::ends::{Kind, Put, Take};
use slipring_faults::storm::{Plan, run};
use std::time::Duration;

fn storm(plan: Plan) {
    let _alone = alone();
    let mut words = 0;
    let verdict = run(&plan, |_| words += 1).unwrap();
    println!("{verdict}");
    assert!(verdict.is_sound(), "{verdict}");
    assert!(words > 0, "progress is told");
    // How long the others stalled is told and not judged, up to what the storm itself calls a hang.
    assert!(verdict.complete && verdict.killed == plan.kills && verdict.tally.received > 0, "{verdict}");
    assert_eq!(verdict.times.killed_in.values().sum::<u64>(), verdict.killed, "{verdict}");
}

/// Together more than two thousand kills.
fn plan(kind: Kind, put: Put, take: Take, kills: u64) -> Plan {
    let every = Duration::from_micros(300);
    // A busy machine is given time.
    let at_most = Duration::from_secs(1200);
    Plan { put, take, kills, stops: kills / 5, every, at_most, ..Plan::short(kind, 7) }
}

#[test]
fn an_spsc_ring_loses_nothing_in_a_storm() {
    storm(plan(Kind::Spsc, Put::Copy, Take::Recv, 400));
}

#[test]
fn an_spsc_ring_loses_nothing_in_a_storm_of_batches() {
    storm(plan(Kind::Spsc, Put::Batch(8), Take::Batch(8), 200));
}

#[test]
fn an_mpmc_ring_loses_nothing_in_a_storm() {
    storm(plan(Kind::Mpmc, Put::Mixed, Take::Mixed, 1000));
}

#[test]
fn an_mpmc_ring_loses_nothing_in_a_storm_of_batches() {
    storm(plan(Kind::Mpmc, Put::Batch(8), Take::Batch(8), 200));
}

#[test]
fn an_mpmc_ring_loses_no_unacknowledged_message_in_a_storm() {
    storm(plan(Kind::Mpmc, Put::Loan, Take::Peek, 300));
}

#[test]
fn a_plan_without_receivers_is_refused() {
    let _alone = alone();
    let plan = Plan { receivers: 0, ..Plan::short(Kind::Mpmc, 1) };
    assert!(run(&plan, |_| ()).is_err());
    let plan = Plan { senders: 2, ..Plan::short(Kind::Spsc, 1) };
    assert!(run(&plan, |_| ()).is_err());
}
