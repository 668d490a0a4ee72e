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
    assert_eq!((verdict.killed, verdict.stopped), (plan.kills, plan.stops), "all faults were dealt in time");
    assert!(verdict.tally.received > 1000, "messages moved");
    // A day on which the machine is busy with other things is no fault of the ring's; a hang is.
    assert!(verdict.worst_stall < Duration::from_secs(5), "{:?}", verdict.worst_stall);
    let json = serde_json::to_string(&verdict).unwrap();
    assert!(json.contains("\"worst_recovery\""), "{json}");
}

fn plan(kind: Kind, put: Put, take: Take) -> Plan {
    Plan { put, take, kills: 100, stops: 25, ..Plan::short(kind, 7) }
}

#[test]
fn an_spsc_ring_loses_nothing_in_a_storm() {
    storm(plan(Kind::Spsc, Put::Copy, Take::Recv));
}

#[test]
fn an_spsc_ring_loses_nothing_in_a_storm_of_batches() {
    storm(plan(Kind::Spsc, Put::Batch(8), Take::Batch(8)));
}

#[test]
fn an_mpmc_ring_loses_nothing_in_a_storm() {
    storm(plan(Kind::Mpmc, Put::Copy, Take::Recv));
}

#[test]
fn an_mpmc_ring_loses_nothing_in_a_storm_of_batches() {
    storm(plan(Kind::Mpmc, Put::Batch(8), Take::Batch(8)));
}

#[test]
fn an_mpmc_ring_loses_no_unacknowledged_message_in_a_storm() {
    storm(plan(Kind::Mpmc, Put::Loan, Take::Peek));
}

#[test]
fn a_plan_without_receivers_is_refused() {
    let _alone = alone();
    let plan = Plan { receivers: 0, ..Plan::short(Kind::Mpmc, 1) };
    assert!(run(&plan, |_| ()).is_err());
    let plan = Plan { senders: 2, ..Plan::short(Kind::Spsc, 1) };
    assert!(run(&plan, |_| ()).is_err());
}
