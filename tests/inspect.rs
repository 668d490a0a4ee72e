//! Examining a ring: what is in whose hands, each broken rule by name, no false alarm while the ring moves, no trace.
#![allow(clippy::disallowed_types, reason = "a flag between a test's own threads")]

mod common;

use common::{Unique, alone, fork, overwrite, unique};
use slipring::inspect::{At, Contents, SlotKind, Slots, Standing};
use slipring::{Inspection, Options, Ring, inspect};
use std::sync::atomic::{AtomicBool, Ordering};

const SLOT: u64 = 64;

/// A named ring whose name goes with the test.
struct Named {
    name: Unique,
    ring: Ring,
}

impl Named {
    fn new(options: &Options) -> Named {
        let name = unique();
        let ring = Ring::create(&name.0, options).unwrap();
        Named { name, ring }
    }

    fn inspect(&self) -> Inspection {
        inspect(&self.name.0).unwrap()
    }
}

fn slots(inspection: &Inspection) -> &Slots {
    match &inspection.contents {
        Contents::Slots(slots) => slots,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_sound(inspection: &Inspection) {
    assert!(inspection.is_sound(), "{:?}", inspection.faults);
    assert_eq!(inspection.more_faults, 0);
}

/// A state word: docs/layout.md.
fn word(lap: u64, kind: u64, owner: u64) -> u64 {
    lap << 16 | kind << 12 | owner
}

#[test]
fn what_is_in_a_sound_ring_is_counted() {
    let _alone = alone();
    let spsc = Named::new(&Options::new().capacity(4096));
    let mut tx = spsc.ring.producer().unwrap();
    // Also across the end of the data, where padding lies.
    let mut rx = spsc.ring.consumer().unwrap();
    for len in [1500, 1500, 0, 900] {
        tx.send(&vec![1; len]).unwrap();
        if len == 1500 {
            rx.recv(&mut [0; 1500]).unwrap();
        }
        assert_sound(&spsc.inspect());
    }
    let inspection = spsc.inspect();
    let Contents::Records(records) = inspection.contents else { panic!() };
    assert_eq!((records.messages, records.head), (2, 3072));
    assert_eq!(records.tail - records.head, inspection.info.unwrap().used_bytes);
    let standing: Vec<_> = inspection.members.iter().map(|member| member.standing).collect();
    assert_eq!(standing, [Standing::Attached; 2]);

    let mpmc = Named::new(&Options::mpmc(8, 48));
    let mut tx = mpmc.ring.sender().unwrap();
    for message in 0..21u8 {
        tx.send(&[message; 5]).unwrap();
        if message < 18 {
            mpmc.ring.receiver().unwrap().recv(&mut [0; 48]).unwrap();
        }
    }
    let inspection = mpmc.inspect();
    assert_sound(&inspection);
    let slots = slots(&inspection);
    assert_eq!((slots.count, slots.free, slots.full, slots.held), (8, 5, 3, 0));
    assert_eq!((slots.head, slots.tail), (8 + 18, 8 + 21));
}

#[test]
fn each_held_slot_names_its_holder() {
    let _alone = alone();
    let ring = Named::new(&Options::mpmc(8, 48));
    let (mut tx, mut rx, mut peeker) =
        (ring.ring.sender().unwrap(), ring.ring.receiver().unwrap(), ring.ring.receiver().unwrap());
    for len in [7, 9] {
        tx.send(&vec![1; len]).unwrap();
    }
    let frame = rx.frame().unwrap();
    let delivery = peeker.peek().unwrap();
    let grant = tx.try_reserve(3).unwrap();
    let inspection = ring.inspect();
    assert_sound(&inspection);
    let slots = slots(&inspection);
    let holds: Vec<_> =
        slots.holds.iter().map(|hold| (hold.index, hold.state, hold.lap, hold.owner, hold.len)).collect();
    assert_eq!(
        holds,
        [
            (0, SlotKind::Reading, 1, 1, Some(7)),
            (1, SlotKind::Peeked, 1, 2, Some(9)),
            (2, SlotKind::Writing, 1, 0, None)
        ]
    );
    assert_eq!(slots.held, 3);
    let shares: Vec<_> = inspection.members.iter().map(|m| (m.place, m.pid, m.frees, m.keeps)).collect();
    let pid = std::process::id();
    assert_eq!(shares, [(0, pid, 1, 0), (1, pid, 1, 0), (2, pid, 0, 1)]);
    assert_eq!(inspection.unswept().count(), 0);
    drop((frame, delivery, grant));
}

#[test]
fn what_the_dead_hold_and_what_a_sweep_would_do_is_told() {
    let _alone = alone();
    let ring = Named::new(&Options::mpmc(8, 48));
    ring.ring.sender().unwrap().try_send_batch(&[b"one", b"two", b"six"]).unwrap();
    let mut victim = fork(|link| {
        let open = || Ring::open(&ring.name.0).unwrap();
        let (mut rx, mut peeker, mut tx) =
            (open().receiver().unwrap(), open().receiver().unwrap(), open().sender().unwrap());
        let _loans = (rx.frame().unwrap(), peeker.peek().unwrap(), tx.try_reserve(3).unwrap());
        link.say(1);
        loop {
            std::thread::park();
        }
    });
    victim.hear();
    let shares = |inspection: &Inspection| -> Vec<_> {
        let here = std::process::id();
        let members = inspection.members.iter().filter(|member| member.pid != here);
        members.map(|member| (member.standing, member.frees, member.keeps)).collect()
    };
    victim.stop();
    let stopped = ring.inspect();
    assert_eq!(
        shares(&stopped),
        [(Standing::Attached, 1, 0), (Standing::Attached, 0, 1), (Standing::Attached, 1, 0)],
        "a stopped process is not dead"
    );
    let pid = victim.pid();
    victim.kill();
    let dead = ring.inspect();
    assert_sound(&dead);
    assert_eq!(
        shares(&dead),
        [(Standing::Died, 1, 0), (Standing::Died, 0, 1), (Standing::Died, 1, 0)],
        "and looking is not sweeping"
    );
    assert!(dead.unswept().all(|member| member.pid == pid) && dead.unswept().count() == 3);
    // A receiver that finds nothing else to take sweeps, and adopts what was peeked at.
    let mut heir = ring.ring.receiver().unwrap();
    let mut last = [0; 48];
    heir.recv(&mut last).unwrap();
    assert_eq!(heir.recv_timeout(&mut last, common::LIMIT), Err(slipring::RecvError::PeerDied { pid }));
    let swept = ring.inspect();
    assert_sound(&swept);
    assert_eq!(swept.unswept().count(), 0);
    assert!(swept.members.iter().any(|m| m.standing == Standing::Orphaned && m.keeps == 1), "{swept:?}");
    assert!(heir.peek().unwrap().is_redelivered());
    assert_sound(&ring.inspect());
}

#[test]
fn looking_leaves_no_trace() {
    let _alone = alone();
    for options in [Options::new().capacity(4096), Options::mpmc(4, 48)] {
        let Named { name, ring } = Named::new(&options.persistent(true));
        let before = std::fs::read(name.path()).unwrap();
        assert_sound(&inspect(&name.0).unwrap());
        assert_sound(&ring.inspect());
        assert!(std::fs::read(name.path()).unwrap() == before);
        drop(ring);
        assert!(!inspect(&name.0).unwrap().in_use);
    }
}

/// Damages a ring that `prepare` has used, and gives what is found: where, and the text.
fn damage(options: &Options, prepare: fn(&Ring), at: u64, bytes: &[u8]) -> Vec<(At, String)> {
    let ring = Named::new(options);
    prepare(&ring.ring);
    assert_sound(&ring.inspect());
    overwrite(&ring.name.path(), at, bytes);
    ring.inspect().faults.into_iter().map(|fault| (fault.at, fault.text)).collect()
}

fn three_records(ring: &Ring) {
    let mut tx = ring.producer().unwrap();
    for len in [10, 100, 10] {
        tx.send(&vec![1; len]).unwrap();
    }
}

/// Slot 0 free for lap 2, slots 1 and 2 full, slot 3 free for lap 1.
fn two_messages(ring: &Ring) {
    let mut tx = ring.sender().unwrap();
    for _ in 0..3 {
        tx.send(b"message").unwrap();
    }
    ring.receiver().unwrap().recv(&mut [0; 48]).unwrap();
}

#[test]
fn each_broken_rule_of_a_header_is_named() {
    let _alone = alone();
    let spsc = Options::new().capacity(4096);
    for (at, value, field) in [
        (12, 7u32, "kind"),
        (16, 1 << 20, "segment_len"),
        (24, 0, "ring_offset"),
        (32, 0, "data_offset"),
        (40, 5000, "capacity"),
        (48, 16, "align"),
        (52, 9, "wakeup"),
        (56, 64, "flags"),
        (80, 1, ""),
    ] {
        let found = damage(&spsc, |_| (), at, &value.to_le_bytes());
        assert!(found.iter().all(|(at, _)| *at == At::Header), "{found:?}");
        assert!(found.last().unwrap().1.starts_with("checksum "), "{field}: {found:?}");
        assert!(found[0].1.starts_with(field), "{field}: {found:?}");
    }
    let found = damage(&Options::mpmc(4, 48), |_| (), 76, &9000u32.to_le_bytes());
    assert!(found[0].1.starts_with("participants 9000 "), "{found:?}");
}

#[test]
fn each_broken_rule_of_an_spsc_ring_is_named() {
    let _alone = alone();
    let spsc = Options::new().capacity(4096);
    let data = 4096u64;
    for (at, value, place, part) in [
        (1024, 63u64, At::Control, "head 63 is no multiple of 64"),
        (data, 7 << 32 | 10, At::Position(0), "header 0x70000000a is neither a message nor padding"),
        (data, 1 << 32 | 3000, At::Position(0), "neither a message nor padding that fits there"),
        (data, 2 << 32, At::Position(0), "neither a message nor padding that fits there"),
        (data + 64, 2 << 32 | 5, At::Position(64), "neither a message nor padding"),
        (1408, 5, At::Place(0), "is in state 5"),
        (1536, 3, At::Place(1), "is in state 3"),
    ] {
        let found = damage(&spsc, three_records, at, &value.to_le_bytes());
        assert_eq!(found.len(), 1, "{part}: {found:?}");
        assert!(found[0].0 == place && found[0].1.contains(part), "{part}: {found:?}");
    }
}

#[test]
fn each_broken_rule_of_an_mpmc_ring_is_named() {
    let _alone = alone();
    let mpmc = Options::mpmc(4, 48).participants(8);
    let slots = 4096u64;
    let slot = |index: u64| slots + index * SLOT;
    for (at, value, place, part) in [
        (slot(1), 0u64, At::Slot(1), "state 0x0 is of no kind"),
        (slot(1), word(1, 9, 0), At::Slot(1), "is of no kind"),
        (slot(1), word(1, 3, 2), At::Slot(1), "has an owner, though"),
        (slot(1), word(1, 2, 9), At::Slot(1), "place 9, which this ring does not have"),
        (slot(3), word(1, 2, 5), At::Slot(3), "place 5, which nobody ever had"),
        (slot(1), word(1, 4, 0), At::Slot(1), "place 0, which has left"),
        (slot(1), word(77, 3, 0), At::Slot(1), "is further than the rest of the ring"),
        (slot(1), word(0, 3, 0), At::Slot(1), "was passed over by the senders"),
        (slot(1), word(1, 1, 0), At::Slot(1), "was passed over by the senders"),
        (slot(0), word(1, 3, 0), At::Slot(0), "was passed over by the receivers"),
        (slot(2) + 8, 49, At::Slot(2), "length 49 is more than the 48 bytes"),
        (1024, 1 << 40, At::Control, "tail 1099511627776 is further than the slots have come"),
        (1152, 9, At::Control, "head 9 is further than the slots have come"),
        (1536, 4, At::Control, "census.seen 0x4"),
        (2048, 6, At::Place(0), "is in state 6"),
    ] {
        let found = damage(&mpmc, two_messages, at, &value.to_le_bytes());
        assert!(!found.is_empty(), "{part}");
        assert!(found[0].0 == place && found[0].1.contains(part), "{part}: {found:?}");
        assert!(found.iter().all(|(at, _)| *at == place), "{part}: {found:?}");
    }
}

#[test]
fn a_ring_of_noise_is_told_in_bounded_words() {
    let _alone = alone();
    let ring = Named::new(&Options::mpmc(4096, 48));
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
    .take(1024 + 4096 * 64)
    .collect();
    overwrite(&ring.name.path(), 1024, &noise);
    let inspection = ring.inspect();
    assert_eq!(inspection.faults.len(), 1000);
    assert!(inspection.more_faults > 0);
}

#[test]
fn a_ring_at_work_raises_no_false_alarm() {
    let _alone = alone();
    let done = AtomicBool::new(false);
    let small = Named::new(&Options::mpmc(2, 48));
    let large = Named::new(&Options::mpmc(64, 48));
    let spsc = Named::new(&Options::new().capacity(4096));
    let running = || !done.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for ring in [&small.ring, &large.ring] {
            scope.spawn(|| {
                let mut tx = ring.sender().unwrap();
                while running() {
                    let _ = tx.try_send_batch(&[b"one", b"two", b"six"]);
                    tx.try_reserve(5).map(|grant| grant.abort()).unwrap_or(());
                    std::thread::yield_now();
                }
            });
            scope.spawn(|| {
                let (mut rx, mut peeker) = (ring.receiver().unwrap(), ring.receiver().unwrap());
                while running() {
                    let _ = rx.try_recv_batch(3, |message| assert_eq!(message.len(), 3));
                    peeker.try_peek().map(|delivery| delivery.ack()).unwrap_or(());
                    std::thread::yield_now();
                }
            });
        }
        scope.spawn(|| {
            let (mut tx, mut rx) = (spsc.ring.producer().unwrap(), spsc.ring.consumer().unwrap());
            for len in (0..900).cycle() {
                let _ = tx.try_send(&vec![0xff; len]);
                if len % 7 > 0 {
                    let _ = rx.try_recv(&mut [0; 1000]);
                }
                if !running() {
                    break;
                }
            }
        });
        for ring in [&small, &large, &spsc] {
            let mut moved = 0;
            let mut last = String::new();
            // As long as it takes to have seen it move often.
            while moved < 50 {
                let inspection = ring.inspect();
                if !inspection.is_sound() {
                    done.store(true, Ordering::Relaxed);
                }
                assert_sound(&inspection);
                let now = format!("{:?}", inspection.contents);
                moved += usize::from(now != last);
                last = now;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
