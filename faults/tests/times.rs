//! The short forms of what is measured around faults: that each sample and each window brings what it must. The times are
//! told, and judged only where a busy machine cannot be the reason. The long forms:
//! `cargo run --release -p slipring-faults -- recovery`, and `beside`.

mod common;

use common::alone;
use slipring_faults::beside;
use slipring_faults::ends::Kind;
use slipring_faults::hiccups;
use slipring_faults::recovery::{Peers, Recovery, measure};
use std::time::Duration;

fn recovers(kind: Kind, peers: Peers) {
    let _alone = alone();
    let samples = 24;
    let recovery = measure(kind, peers, samples, 3).unwrap();
    println!("{}\n{}", Recovery::HEAD, recovery.row());
    assert_eq!(recovery.failures, Vec::<String>::new());
    assert_eq!(recovery.all.count, samples);
}

#[test]
fn the_capacity_of_an_spsc_ring_comes_back_with_a_peer_at_work() {
    recovers(Kind::Spsc, Peers::Active);
}

#[test]
fn the_capacity_of_an_spsc_ring_comes_back_with_all_peers_asleep() {
    recovers(Kind::Spsc, Peers::Asleep);
}

#[test]
fn the_capacity_of_an_mpmc_ring_comes_back_with_a_peer_at_work() {
    recovers(Kind::Mpmc, Peers::Active);
}

#[test]
fn the_capacity_of_an_mpmc_ring_comes_back_with_all_peers_asleep() {
    recovers(Kind::Mpmc, Peers::Asleep);
}

#[test]
fn others_go_on_beside_two_stopped_in_the_middle_and_nothing_is_lost() {
    let _alone = alone();
    let goes_on = || {
        let verdict = beside::measure(4, Duration::from_millis(100)).unwrap();
        println!("{verdict}");
        assert!(verdict.is_sound(), "{verdict}");
        // Laps and laps of the ring's 64 slots, in every window.
        verdict.rounds.iter().all(|round| round.inside > 640)
    };
    // In a window without a core nothing moves.
    assert!((0..5).any(|_| goes_on()));
}

#[test]
fn who_only_reads_the_clock_is_held_up_by_the_machine_alone() {
    let _alone = alone();
    for pinned in [true, false] {
        let found = hiccups::measure(2, pinned, Duration::from_millis(300)).unwrap();
        println!("{found}{}", found.row());
        assert_eq!(found.readers, 2);
        assert!(found.took >= Duration::from_millis(300));
        assert!(found.between.count >= 2000 && found.between.count == found.net.count, "{found}");
        assert!(found.net.max <= found.between.max, "{found}");
        assert!(found.net_over_5_ms <= found.net.count, "{found}");
    }
}

#[test]
fn no_rounds_measure_nothing() {
    let _alone = alone();
    assert!(beside::measure(0, Duration::from_millis(1)).is_err());
    assert!(beside::measure(1, Duration::ZERO).is_err());
}
