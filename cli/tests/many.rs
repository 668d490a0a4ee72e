//! Rings of kind mpmc: several senders and receivers share the records, none is lost but where that is said.
#![forbid(unsafe_code)]

mod common;

use common::{Holder, Name, Running, eventually, lines, noise, numbers, slipring, start};
use nix::sys::signal::Signal;

/// How many participants with this role are there.
fn live(name: &Name, role: &str) -> usize {
    let stat = name.stat();
    let those = stat["participants"].as_array().unwrap().iter();
    those.filter(|who| who["role"] == role && who["state"] == "attached").count()
}

/// A ring that stays, of this many slots of a cache line.
fn ring(tag: &str, slots: &str) -> Name {
    let name = Name::new(tag);
    slipring(["mk", &name.0, "-k", "mpmc", "--slots", slots, "--message", "48"]).is_fine();
    name
}

#[test]
fn mk_makes_what_was_asked_for_and_the_lists_show_it() {
    let name = Name::new("many-mk");
    let args = ["mk", &name.0, "--kind", "mpmc", "--slots", "16", "--message", "100", "--participants", "5"];
    slipring(args).is_fine();
    let ring = name.stat();
    assert_eq!((&ring["kind"], &ring["slots"], &ring["used_slots"]), (&"mpmc".into(), &16.into(), &0.into()));
    assert_eq!(ring["max_record_bytes"], 112, "what the cache lines of a slot leave");
    assert_eq!(ring["max_participants"], 5);
    assert_eq!(ring["participants"].as_array().unwrap().len(), 0);
    let mut senders: Vec<Running> = (0..2).map(|_| start(["send", &name.0, "--lines"])).collect();
    senders[0].feed(b"one\ntwo\n");
    eventually("both are there and two records", || {
        live(&name, "sender") == 2 && name.stat()["used_slots"] == 2
    });
    let cells = |args: &[&str]| slipring([&["ls", "-n", "-i", &name.0], args].concat()).out();
    assert_eq!(cells(&["-o", "KIND,SLOTS,PRODUCER,CONSUMER,PLACES"]), "mpmc  2/16  2 live  -  5\n");
    let mut pids: Vec<u32> = senders.iter().map(Running::pid).collect();
    pids.sort_unstable();
    let (first, second) = (pids[0], pids[1]);
    assert_eq!(cells(&["-o", "SENDERS,RECEIVERS"]), format!("{first},{second}  -\n"));
    assert!(cells(&["-p"]).contains(&format!("  {first},{second}  -\n")));
    let text = slipring(["stat", &name.0]).out();
    for part in [
        "Kind:       mpmc\n",
        "Slots:      16, 2 in use, 12%\n",
        "Places:     5, 2 taken\n",
        "sender",
        "live",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let victim = senders.pop().unwrap();
    victim.signal(Signal::SIGKILL);
    let pid = victim.pid();
    victim.wait();
    let survivor = senders[0].pid();
    assert_eq!(cells(&["-o", "SENDERS,PRODUCER"]), format!("{survivor},died {pid}  {survivor}\n"));
    slipring(["rm", &name.0]).complains(1, &format!("is in use by pid {survivor};"));
}

#[test]
fn options_of_the_other_kind_are_refused_with_the_right_ones() {
    let name = Name::new("many-options");
    for verb in ["mk", "send", "recv"] {
        for option in ["--slots", "--message", "--participants"] {
            slipring([verb, &name.0, option, "8"])
                .complains(2, &format!("{option} is for rings of --kind mpmc, with many senders"));
        }
        for (option, value) in [("--capacity", "8K"), ("--align", "dense")] {
            slipring([verb, &name.0, "-k", "mpmc", option, value]).complains(
                2,
                &format!("{option} is for rings of --kind spsc; the size of an mpmc ring is --slots"),
            );
        }
    }
    for (args, part) in [
        (["--slots", "100"], "100 is not a power of two, as a number of slots must be; the next one is 128"),
        (["--slots", "1"], "number of slots 1 is impossible; it must be a power of two from 2"),
        (["--slots", "0"], "a ring has at least 2 slots"),
        (["--message", "1G"], "longest message 1073741824 is impossible"),
        (["--participants", "0"], "participants 0 is impossible"),
        (["--participants", "5000"], "participants 5000 is impossible"),
        (["--kind", "broadcast"], "invalid value 'broadcast' for '--kind <KIND>'"),
    ] {
        let kind: &[&str] = if args[0] == "--kind" { &[] } else { &["-k", "mpmc"] };
        slipring([&["mk", &name.0], kind, &args].concat()).complains(2, part);
    }
    assert!(!name.exists());
    let name = ring("many-unmet", "8");
    let args = ["recv", &name.0, "-k", "mpmc", "--slots", "16", "--message", "100", "-t", "0"];
    slipring(args).complains(1, "was there before, with 8 slots, messages of at most 48 bytes\n");
    slipring(["recv", &name.0, "-k", "spsc", "-t", "0"]).complains(1, "was there before, with kind mpmc\n");
    let spsc = Name::new("many-skip-spsc");
    slipring(["recv", &spsc.0, "--ack", "--skip-redelivered"]).complains(2, "is for rings of kind mpmc");
    slipring(["recv", &spsc.0, "--skip-redelivered"]).complains(2, "--ack");
}

#[test]
fn several_receivers_share_the_lines_of_several_senders() {
    for ack in [&[][..], &["--ack"]] {
        let name = ring(&format!("many-share-{}", ack.len()), "64");
        let receivers: Vec<Running> =
            (0..3).map(|_| start([&["recv", &name.0, "--lines"], ack].concat())).collect();
        eventually("the receivers are there", || live(&name, "receiver") == 3);
        let senders: Vec<Running> = (0..3).map(|_| start(["send", &name.0, "--lines"])).collect();
        eventually("the senders are there", || live(&name, "sender") == 3);
        let feeders: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(i, mut sender)| {
                std::thread::spawn(move || {
                    sender.feed(lines(i * 10_000 + 1, (i + 1) * 10_000).as_bytes());
                    sender.wait().is_fine();
                })
            })
            .collect();
        feeders.into_iter().for_each(|feeder| feeder.join().unwrap());
        let mut all = Vec::new();
        for receiver in receivers {
            let done = receiver.wait();
            done.is_fine();
            let got = numbers(&done.stdout);
            for sender in 0..3 {
                let from: Vec<_> = got.iter().filter(|n| (**n - 1) / 10_000 == sender).collect();
                assert!(from.is_sorted(), "each sender's lines in their order");
            }
            all.extend(got);
        }
        all.sort_unstable();
        assert!(all == (1..=30_000).collect::<Vec<_>>(), "each line once: {}", all.len());
        slipring(["fsck", &name.0]).is_fine();
    }
}

#[test]
fn bytes_arrive_whole_between_one_sender_and_one_receiver() {
    for ack in [&[][..], &["--ack"]] {
        let name = Name::new(&format!("many-bytes-{}", ack.len()));
        let data = noise(500_001, 9);
        let receiver =
            start([&["recv", &name.0, "-k", "mpmc", "--slots", "4", "--message", "1000"], ack].concat());
        eventually("the receiver is there", || name.exists() && live(&name, "receiver") == 1);
        let mut sender = start(["send", &name.0]);
        let mut stdin = sender.take_stdin();
        let copy = data.clone();
        let feeder = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &copy).unwrap());
        feeder.join().unwrap();
        sender.wait().is_fine();
        let done = receiver.wait();
        done.is_fine();
        assert!(done.stdout == data);
        assert!(!name.exists(), "the ring vanishes with its last user");
    }
}

#[test]
fn a_queue_that_was_filled_before_is_drained_and_then_over() {
    let name = ring("many-filled", "64");
    let mut sender = start(["send", &name.0, "--lines", "--no-wait"]);
    sender.feed(lines(1, 50).as_bytes());
    sender.wait().is_fine();
    let done = slipring(["recv", &name.0, "--lines"]);
    done.is_fine();
    assert_eq!(numbers(&done.stdout), (1..=50).collect::<Vec<_>>());
    // Nothing was left: who comes now waits for a sender.
    slipring(["recv", &name.0, "--lines", "-t", "100ms"]).complains(1, "waiting for a sender; 0 records");
}

#[test]
fn a_line_that_does_not_fit_a_slot_is_named() {
    let name = ring("many-long", "8");
    let receiver = start(["recv", &name.0, "--lines"]);
    eventually("the receiver is there", || live(&name, "receiver") == 1);
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(format!("{}{}\nnever sent\n", lines(1, 2), "x".repeat(49)).as_bytes());
    sender.wait().complains(
        2,
        "line 3 has 49 bytes, this ring takes at most 48 in a record; use a ring with a larger --message",
    );
    let done = receiver.wait();
    done.is_fine();
    assert_eq!(numbers(&done.stdout), [1, 2]);
}

#[test]
fn killed_senders_are_told_of_when_all_is_received() {
    let name = ring("many-kill-sender", "64");
    let receiver = start(["recv", &name.0, "--lines"]);
    let (mut victim, mut sound) = (start(["send", &name.0, "--lines"]), start(["send", &name.0, "--lines"]));
    eventually("all are there", || live(&name, "sender") == 2 && live(&name, "receiver") == 1);
    victim.feed(lines(1, 3).as_bytes());
    sound.feed(lines(4, 6).as_bytes());
    eventually("all is taken", || {
        name.stat()["used_slots"] == 0 && slipring(["fsck", &name.0, "--json"]).json()["head"] == 64 + 6
    });
    victim.signal(Signal::SIGKILL);
    let pid = victim.pid();
    victim.wait();
    // The other one goes on as if nothing had been.
    sound.feed(lines(7, 9).as_bytes());
    sound.wait().is_fine();
    let done = receiver.wait();
    done.complains(
        1,
        &format!("a sender (pid {pid}) died before its end; 9 records (54 bytes) received here"),
    );
    let mut got = numbers(&done.stdout);
    got.sort_unstable();
    assert_eq!(got, (1..=9).collect::<Vec<_>>());
}

#[test]
fn what_a_killed_receiver_had_not_acknowledged_goes_to_the_next_and_is_flagged() {
    let name = ring("many-ack", "8");
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 3).as_bytes());
    eventually("all is sent", || name.stat()["used_slots"] == 3);
    let pid = Holder::new(&name, &[]).kill();
    let fsck = slipring(["fsck", &name.0, "--json"]);
    fsck.complains(1, "is sound, but the dead hold something");
    assert_eq!(fsck.json()["sweep"][0]["pid"], pid);
    assert_eq!(fsck.json()["sweep"][0]["keeps"], 1);
    // Who does not acknowledge does not get it, and says what is left.
    let plain = start(["recv", &name.0, "--lines"]);
    eventually("the others are taken", || name.stat()["used_slots"] == 1);
    plain.signal(Signal::SIGTERM);
    assert_eq!(numbers(&plain.wait().stdout), [2, 3]);
    let heir = start(["recv", &name.0, "--lines", "--ack"]);
    eventually("the last is taken", || name.stat()["used_slots"] == 0);
    sender.wait().is_fine();
    let done = heir.wait();
    assert_eq!((done.code(), numbers(&done.stdout)), (0, vec![1]));
    assert_eq!(
        done.err(),
        format!(
            "slipring: {}: record 1 is delivered again: a receiver that is gone had it before, and may have written it\n",
            name.0
        )
    );
}

#[test]
fn redelivered_records_are_left_out_where_that_is_asked_for() {
    let name = ring("many-skip", "8");
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 3).as_bytes());
    eventually("all is sent", || name.stat()["used_slots"] == 3);
    Holder::new(&name, &[]).kill();
    let heir = start(["recv", &name.0, "--lines", "--ack", "--skip-redelivered"]);
    eventually("the heir is there", || live(&name, "receiver") == 1);
    sender.wait().is_fine();
    let done = heir.wait();
    assert_eq!((done.code(), numbers(&done.stdout)), (0, vec![2, 3]));
    assert_eq!(done.err(), format!("slipring: {}: 1 record that was delivered before left out\n", name.0));
}

#[test]
fn a_receiver_told_to_end_gives_back_what_it_had_not_written() {
    let name = ring("many-term", "8");
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 2).as_bytes());
    eventually("all is sent", || name.stat()["used_slots"] == 2);
    let holder = Holder::new(&name, &[]);
    holder.receiver.signal(Signal::SIGTERM);
    let (done, written) = holder.read();
    assert_eq!(done.signal(), Some(15));
    // Before it saw the signal it may have written.
    let first = numbers(&written);
    let heir = start(["recv", &name.0, "--lines", "--ack", "-q"]);
    eventually("the heir is there", || live(&name, "receiver") == 1);
    sender.wait().is_fine();
    let mut all = [first, numbers(&heir.wait().stdout)].concat();
    all.sort_unstable();
    assert_eq!(all, [1, 2]);
}

#[test]
fn a_stopped_receiver_keeps_its_record_and_nobody_else_waits() {
    let name = ring("many-stopped", "4");
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 1).as_bytes());
    eventually("it is sent", || name.stat()["used_slots"] == 1);
    let holder = Holder::new(&name, &[]);
    holder.receiver.signal(Signal::SIGSTOP);
    eventually("it is stopped", || {
        slipring(["fsck", &name.0, "--json"]).json()["held"][0]["state"] == "stopped"
    });
    let text = slipring(["fsck", &name.0]);
    text.is_fine();
    assert!(
        text.out()
            .contains(&format!("{}: sound\nmpmc: 4 slots, 3 free, 0 full, 1 held, head 5, tail 5\n", name.0))
    );
    assert!(text.out().contains("SLOT  DOING   POSITION  LENGTH  PLACE"), "{}", text.out());
    let other = start(["recv", &name.0, "--lines", "--ack"]);
    // Many laps around the slot that is held.
    sender.feed(lines(2, 100).as_bytes());
    eventually("the others are taken", || {
        name.stat()["used_slots"] == 1 && slipring(["fsck", &name.0, "--json"]).json()["messages"] == 0
    });
    holder.receiver.signal(Signal::SIGCONT);
    sender.end_input();
    let (done, mut bytes) = holder.read();
    done.is_fine();
    sender.wait().is_fine();
    bytes.extend(other.wait().stdout);
    let mut all = numbers(&bytes);
    all.sort_unstable();
    assert_eq!(all, (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_sender_hears_that_the_last_receiver_is_gone() {
    let name = ring("many-lost", "4");
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 1).as_bytes());
    eventually("it is sent", || name.stat()["used_slots"] == 1);
    let pid = Holder::new(&name, &[]).kill();
    sender.wait().complains(
        1,
        &format!("the last receiver (pid {pid}) died when 1 record (6 bytes) had been sent; what it did not take is in"),
    );
    let done = slipring(["recv", &name.0, "--lines", "--ack", "-q"]);
    assert_eq!(numbers(&done.stdout), [1]);
}
