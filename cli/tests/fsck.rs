//! `fsck`: what it says of sound, damaged and dead rings, how it ends, and that it leaves no trace.
#![forbid(unsafe_code)]

mod common;

use std::os::unix::fs::FileExt;

use common::{Dir, Name, damage, eventually, lines, slipring, start};
use nix::sys::signal::Signal;

/// Writes into the segment.
fn overwrite(name: &Name, at: u64, bytes: &[u8]) {
    std::fs::OpenOptions::new().write(true).open(name.path()).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn sound_rings_of_both_kinds_are_described() {
    let (spsc, mpmc) = (Name::new("fsck-spsc"), Name::new("fsck-mpmc"));
    slipring(["mk", &spsc.0, "-s", "4K"]).is_fine();
    slipring(["mk", &mpmc.0, "-k", "mpmc", "--slots", "4"]).is_fine();
    for name in [&spsc, &mpmc] {
        let mut sender = start(["send", &name.0, "--lines", "--no-wait"]);
        sender.feed(lines(1, 3).as_bytes());
        sender.wait().is_fine();
    }
    let before = std::fs::read(mpmc.path()).unwrap();
    let done = slipring(["fsck", &spsc.0]);
    done.is_fine();
    let head = format!("{}: sound\nspsc: 3 messages in 192 bytes, head 0, tail 192\n\nPLACE  ROLE ", spsc.0);
    assert!(done.out().starts_with(&head), "{}", done.out());
    let done = slipring(["fsck", &mpmc.0]);
    done.is_fine();
    let head = format!("{}: sound\nmpmc: 4 slots, 1 free, 3 full, 0 held, head 4, tail 7\n\n", mpmc.0);
    assert!(done.out().starts_with(&head), "{}", done.out());
    assert!(done.out().contains("sender  ") && done.out().contains("  left "), "{}", done.out());
    assert!(std::fs::read(mpmc.path()).unwrap() == before, "it was only read");
}

#[test]
fn a_ring_in_a_file_is_examined_too() {
    let dir = Dir::new("fsck-file");
    let path = dir.file("a.ring");
    slipring(["mk", "--file", &path, "-s", "4K"]).is_fine();
    let done = slipring(["fsck", "--file", &path]);
    done.is_fine();
    assert!(done.out().starts_with(&format!("{path}: sound\n")));
}

#[test]
fn what_is_no_ring_of_messages_is_not_said_to_be_damaged() {
    use slipring::adapters::{fifo::Fifo, pipe::Options};
    let name = Name::new("fsck-pipe");
    Fifo::named(&name.0).unwrap().create(&Options::new(), 0o600).unwrap();
    assert_eq!(name.stat()["kind"], "pipe");
    for verb in ["fsck", "recv", "send"] {
        let done = slipring([verb, &name.0]);
        done.complains(2, &format!("{}: carries ring kind 3, not 1 (SPSC) or 2 (MPMC)", name.0));
        assert!(done.err().contains(&format!("`slipring stat` says what {} is", name.0)), "{}", done.err());
        assert!(!done.err().contains("damaged") && done.stdout.is_empty());
    }
}

#[test]
fn damage_is_named_and_the_answer_is_no() {
    let name = Name::new("fsck-damage");
    damage(&name);
    let done = slipring(["fsck", &name.0]);
    let told =
        format!("{}: is damaged; stop its users, then `slipring rm --force {0}` and make it again", name.0);
    done.complains(1, &told);
    let head = format!("{}: damaged, 1 rule broken\nmpmc: 4 slots, ", name.0);
    assert!(done.out().starts_with(&head), "{}", done.out());
    let fault = "\nfault: slot 1: state 0xffffffffffffffff is of no kind that there is\n";
    assert!(done.out().contains(fault), "{}", done.out());
    let json = slipring(["fsck", &name.0, "--json"]);
    assert_eq!(json.code(), 1);
    assert_eq!((&json.json()["sound"], &json.json()["faults"][0]["at"]), (&false.into(), &"slot 1".into()));
}

#[test]
fn a_damaged_record_is_named() {
    let name = Name::new("fsck-record");
    slipring(["mk", &name.0, "-s", "4K"]).is_fine();
    overwrite(&name, 4096, &[0xff; 8]);
    let done = slipring(["fsck", &name.0]);
    done.complains(1, "is damaged");
    let fault =
        "fault: record at 0: header 0xffffffffffffffff is neither a message nor padding that fits there";
    assert!(done.out().contains(fault), "{}", done.out());
}

#[test]
fn a_damaged_header_names_its_fields_and_nothing_behind_it_is_believed() {
    let name = Name::new("fsck-header");
    slipring(["mk", &name.0, "-s", "4K"]).is_fine();
    overwrite(&name, 40, &5000u64.to_le_bytes());
    let done = slipring(["fsck", &name.0]);
    done.complains(1, "is damaged");
    for part in [
        "damaged, 2 rules broken\ncontents: not looked at, since the header cannot be believed\n",
        "fault: segment header: capacity 5000 is none that a ring of this kind can have\n",
        "fault: segment header: checksum is 0x",
    ] {
        assert!(done.out().contains(part), "{part:?} in {}", done.out());
    }
    let truncated = Name::new("fsck-truncated");
    slipring(["mk", &truncated.0, "-s", "4K"]).is_fine();
    std::fs::OpenOptions::new().write(true).open(truncated.path()).unwrap().set_len(5000).unwrap();
    let done = slipring(["fsck", &truncated.0]);
    done.complains(1, "is damaged");
    assert!(done.out().contains("segment_len is 8192, but the file has 5000 bytes\n"), "{}", done.out());
}

#[test]
fn what_is_no_ring_has_no_answer() {
    let name = Name::new("fsck-none");
    slipring(["fsck", &name.0]).complains(2, "no such ring");
    std::fs::write(name.path(), vec![7; 10_000]).unwrap();
    slipring(["fsck", &name.0]).complains(2, "is not a slipring segment");
    slipring(["fsck", "--file", "/dev/null"]).complains(2, "is a character device");
}

#[test]
fn the_dead_are_told_from_the_stopped_and_a_newcomer_sweeps() {
    let name = Name::new("fsck-dead");
    slipring(["mk", &name.0, "-k", "mpmc", "--slots", "4"]).is_fine();
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 1).as_bytes());
    eventually("it is sent", || name.stat()["used_slots"] == 1);
    let who = || slipring(["fsck", &name.0, "--json"]).json()["participants"][0].clone();
    assert_eq!((&who()["state"], &who()["pid"]), (&"live".into(), &sender.pid().into()));
    sender.signal(Signal::SIGSTOP);
    eventually("it is stopped", || who()["state"] == "stopped");
    slipring(["fsck", &name.0]).is_fine();
    sender.signal(Signal::SIGKILL);
    let pid = sender.pid();
    sender.wait();
    for _ in 0..2 {
        let done = slipring(["fsck", &name.0]);
        done.complains(1, "is sound, but the dead hold something");
        assert!(done.out().starts_with(&format!("{}: sound, 1 dead participant to be swept\n", name.0)));
        let dead = format!("\ndead: place 0 (pid {pid}) died; a sweep frees its place and 0 slots\n");
        assert!(done.out().contains(&dead), "looking is not sweeping: {}", done.out());
    }
    // What it had sent whole is there, and its death is told of.
    slipring(["recv", &name.0, "--lines"]).complains(1, &format!("a sender (pid {pid}) died"));
    assert_eq!(who()["state"], "swept");
    slipring(["fsck", &name.0]).is_fine();
    // A dead role of an SPSC ring holds nothing: a successor simply takes it.
    let spsc = Name::new("fsck-dead-spsc");
    slipring(["mk", &spsc.0]).is_fine();
    let receiver = start(["recv", &spsc.0]);
    eventually("it is there", || spsc.stat()["consumer"]["state"] == "attached");
    receiver.signal(Signal::SIGKILL);
    receiver.wait();
    let done = slipring(["fsck", &spsc.0]);
    done.is_fine();
    assert!(done.out().contains("consumer") && done.out().contains("  dead "), "{}", done.out());
}

#[test]
fn a_ring_at_full_speed_is_sound_at_every_look() {
    for kind in ["spsc", "mpmc"] {
        let name = Name::new(&format!("fsck-busy-{kind}"));
        slipring(["mk", &name.0, "-k", kind]).is_fine();
        let mut sender = start(["send", &name.0, "--lines"]);
        let mut stdin = sender.take_stdin();
        let receiver = start(["recv", &name.0, "--lines", "-o", "/dev/null"]);
        let feeder = std::thread::spawn(move || {
            let text = lines(1, 1000);
            while std::io::Write::write_all(&mut stdin, text.as_bytes()).is_ok() {}
        });
        let mut looks = Vec::new();
        eventually("the ring was seen at many places", || {
            let done = slipring(["fsck", &name.0, "--json"]);
            done.is_fine();
            looks.push(done.json()["tail"].as_u64().unwrap());
            looks.dedup();
            looks.len() > 20
        });
        assert!(looks.is_sorted());
        receiver.signal(Signal::SIGTERM);
        receiver.wait();
        sender.signal(Signal::SIGKILL);
        sender.wait();
        feeder.join().unwrap();
    }
}
