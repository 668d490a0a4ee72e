//! Some hundred recorded histories of each kind. The long form: `cargo run --release -p slipring-faults -- histories`.

mod common;

use common::alone;
use slipring_faults::ends::Kind;
use slipring_faults::recorder::{Plan, record};

fn recorded(kind: Kind, senders: usize, receivers: usize) {
    let _alone = alone();
    // On a busy machine whole rounds may pass without two at once on the cores: then again.
    for seed in 11..31 {
        let plan = Plan { kind, senders, receivers, histories: 150, kill_every: 4, seed };
        let figures = record(&plan).unwrap();
        println!("{kind:?} {senders} x {receivers}: {figures}");
        assert!(figures.wrong.is_empty(), "{:?}", figures.wrong);
        assert_eq!(figures.histories, plan.histories);
        if figures.overlapping > 0 && figures.killed > 0 {
            return;
        }
    }
    panic!("no operations overlapped, or nobody was killed");
}

#[test]
fn an_spsc_ring_answers_as_a_queue_does() {
    recorded(Kind::Spsc, 1, 1);
}

#[test]
fn an_mpmc_ring_with_one_of_each_answers_as_a_queue_does() {
    recorded(Kind::Mpmc, 1, 1);
}

#[test]
fn an_mpmc_ring_with_two_of_each_answers_as_a_queue_does() {
    recorded(Kind::Mpmc, 2, 2);
}
