//! One side of a transfer is killed: the other hears of it, nothing whole is lost, and a successor goes on.
#![forbid(unsafe_code)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdout, Stdio};

use common::{Name, Running, command, eventually, lines, noise, numbers, slipring, start};
use nix::sys::signal::Signal;

/// A receiver whose output the test reads itself, or not.
fn receiver(args: &[&str]) -> (Running, BufReader<ChildStdout>) {
    let mut running = Running::start_unread(
        command([&["recv"], args].concat()).stdin(Stdio::null()).stdout(Stdio::piped()),
    );
    let out = running.child().stdout.take().unwrap();
    (running, BufReader::with_capacity(4096, out))
}

/// Reads `n` lines.
fn read_lines(out: &mut impl BufRead, n: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..n {
        out.read_until(b'\n', &mut text).unwrap();
    }
    text
}

#[test]
fn killed_sender_leaves_every_whole_record_and_a_successor_goes_on() {
    let name = Name::new("kill-sender");
    slipring(["mk", &name.0]).is_fine();
    for round in 0..3 {
        let (first, last) = (round * 1000 + 1, round * 1000 + 1000);
        let (receiver, mut out) = receiver(&[&name.0, "--lines"]);
        let mut sender = start(["send", &name.0, "--lines"]);
        sender.feed(lines(first, last).as_bytes());
        assert_eq!(numbers(&read_lines(&mut out, 1000)), (first..=last).collect::<Vec<_>>());
        sender.signal(Signal::SIGKILL);
        let pid = sender.pid();
        assert_eq!(sender.wait().signal(), Some(9));
        let text = format!("{}: the sender (pid {pid}) died before its end; 1000 records (", name.0);
        receiver.wait().complains(1, &text);
        let mut rest = Vec::new();
        out.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
        assert_eq!(name.stat()["producer"]["state"], "died");
        assert_eq!(name.stat()["producer"]["pid"], pid);
    }
    // The successor of the last victim, all the way to a good end.
    let receiver = start(["recv", &name.0, "--lines"]);
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 10).as_bytes());
    sender.wait().is_fine();
    let done = receiver.wait();
    done.is_fine();
    assert_eq!(numbers(&done.stdout), (1..=10).collect::<Vec<_>>());
    slipring(["rm", &name.0]).is_fine();
}

#[test]
fn sender_killed_in_full_run_never_tears_a_record() {
    let name = Name::new("kill-running-sender");
    let (receiver, mut out) = receiver(&[&name.0, "--lines", "-s", "64K"]);
    let mut sender = start(["send", &name.0, "--lines", "-s", "64K"]);
    let mut stdin = sender.take_stdin();
    // Feeds until the victim is gone.
    let feeder = std::thread::spawn(move || {
        let mut n = 1;
        while stdin.write_all(lines(n, n + 999).as_bytes()).is_ok() {
            n += 1000;
        }
    });
    let mut got = read_lines(&mut out, 50_000);
    sender.signal(Signal::SIGKILL);
    let pid = sender.pid();
    out.read_to_end(&mut got).unwrap();
    sender.wait();
    feeder.join().unwrap();
    let got = numbers(&got);
    assert_eq!(got, (1..=got.len()).collect::<Vec<_>>());
    receiver
        .wait()
        .complains(1, &format!("the sender (pid {pid}) died before its end; {} records (", got.len()));
    assert!(!name.exists(), "the survivor takes the name away");
}

#[test]
fn killed_sender_that_nobody_heard_is_told_to_the_next_receiver() {
    let name = Name::new("kill-unheard");
    slipring(["mk", &name.0]).is_fine();
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 7).as_bytes());
    // 7 records of a cache line each.
    eventually("all is sent", || name.stat()["used_bytes"] == 7 * 64);
    sender.signal(Signal::SIGKILL);
    let pid = sender.pid();
    sender.wait();
    let done = slipring(["recv", &name.0, "--lines"]);
    done.complains(1, &format!("the sender (pid {pid}) died before its end; 7 records (42 bytes) received"));
    assert_eq!(numbers(&done.stdout), (1..=7).collect::<Vec<_>>());
    // Nothing is left of it: the next receiver waits for somebody new.
    slipring(["recv", &name.0, "-t", "100ms"]).complains(1, "timed out");
}

#[test]
fn follow_tells_of_a_death_and_goes_on() {
    let name = Name::new("kill-follow");
    let (receiver, mut out) = receiver(&[&name.0, "--lines", "--follow"]);
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 3).as_bytes());
    assert_eq!(numbers(&read_lines(&mut out, 3)), [1, 2, 3]);
    sender.signal(Signal::SIGKILL);
    let pid = sender.pid();
    sender.wait();
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(4, 5).as_bytes());
    sender.wait().is_fine();
    assert_eq!(numbers(&read_lines(&mut out, 2)), [4, 5]);
    receiver.signal(Signal::SIGTERM);
    let done = receiver.wait();
    assert_eq!(done.signal(), Some(15));
    // The successor may come before the receiver has noticed anything; then there is nothing to tell.
    let told = format!(
        "slipring: {}: the sender (pid {pid}) died before its end; 3 records (18 bytes) received, which is all that \
         it sent whole; waiting for the next\n",
        name.0
    );
    assert!(done.err() == told || done.err().is_empty(), "{}", done.err());
    assert!(!name.exists());
}

/// Nobody reads what the receiver writes, so the ring becomes full behind it.
#[track_caller]
fn is_filling(name: &Name, capacity: u64) {
    eventually("the ring fills", || name.stat()["used_bytes"].as_u64().unwrap() > capacity / 2);
}

#[test]
fn killed_receiver_of_lines_loses_nothing() {
    let name = Name::new("kill-receiver-lines");
    let total = 300_000;
    let mut sender = start(["send", &name.0, "--lines", "-s", "64K"]);
    let mut stdin = sender.take_stdin();
    let feeder = std::thread::spawn(move || stdin.write_all(lines(1, total).as_bytes()));
    let (victim, mut out) = receiver(&[&name.0, "--lines", "-s", "64K"]);
    let mut first = read_lines(&mut out, 5000);
    is_filling(&name, 64 << 10);
    let pid = victim.pid();
    victim.signal(Signal::SIGKILL);
    victim.wait();
    out.read_to_end(&mut first).unwrap();
    let done = sender.wait();
    done.complains(1, &format!("{}: the receiver (pid {pid}) died when ", name.0));
    assert!(feeder.join().unwrap().is_err(), "the input was not taken to its end");
    // " ... when N records (M bytes) had been sent; ... from line N+1 on"
    let err = done.err();
    let sent: usize = err.split("died when ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(err.contains(&format!("`slipring recv {}` gets it", name.0)), "{err}");
    assert!(err.trim_end().ends_with(&format!("send the input again from line {} on", sent + 1)), "{err}");

    assert!(name.exists(), "the ring stays for the next receiver");
    assert_eq!(slipring(["ls", "-n", "-o", "STATUS", "-i", &name.0]).out(), "stale\n");
    let rest = slipring(["recv", &name.0, "--lines"]);
    rest.is_fine();
    assert!(!name.exists());

    // A line cut off where the victim was killed comes again whole.
    let whole = first.iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let (first, rest) = (numbers(&first[..whole]), numbers(&rest.stdout));
    assert_eq!(first, (1..=first.len()).collect::<Vec<_>>());
    assert_eq!(rest, (rest[0]..=sent).collect::<Vec<_>>(), "all that was sent and not written");
    assert!(rest[0] <= first.len() + 1, "{} then {}", first.len(), rest[0]);
}

#[test]
fn killed_receiver_of_bytes_loses_nothing() {
    let name = Name::new("kill-receiver-bytes");
    let data = noise(4_000_000, 9);
    let mut sender = start(["send", &name.0, "-s", "256K"]);
    let mut stdin = sender.take_stdin();
    let copy = data.clone();
    let feeder = std::thread::spawn(move || stdin.write_all(&copy));
    let (victim, mut out) = receiver(&[&name.0, "-s", "256K"]);
    let mut first = vec![0; 100_000];
    out.read_exact(&mut first).unwrap();
    is_filling(&name, 256 << 10);
    victim.signal(Signal::SIGKILL);
    let pid = victim.pid();
    victim.wait();
    out.read_to_end(&mut first).unwrap();
    let done = sender.wait();
    done.complains(1, &format!("the receiver (pid {pid}) died when "));
    let _ = feeder.join().unwrap();
    let sent: usize =
        done.err().split("died when ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let rest = slipring(["recv", &name.0]);
    rest.is_fine();
    assert!(data[..first.len()] == first);
    assert!(data[sent - rest.stdout.len()..sent] == rest.stdout);
    assert!(sent - rest.stdout.len() <= first.len(), "nothing between what was written and what was left");
}

#[test]
fn a_receivers_death_is_told_while_the_input_is_silent() {
    let name = Name::new("kill-silent");
    let (victim, mut out) = receiver(&[&name.0, "--lines"]);
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 1).as_bytes());
    read_lines(&mut out, 1);
    victim.signal(Signal::SIGKILL);
    let pid = victim.pid();
    victim.wait();
    // Its standard input stays open and silent, and still it ends.
    eventually("the sender has heard of it", || !sender.runs());
    sender
        .wait()
        .complains(1, &format!("the receiver (pid {pid}) died when 1 record (6 bytes) had been sent"));
    slipring(["rm", "--stale", &name.0]).is_fine();
}

#[test]
fn a_stopped_peer_is_not_taken_for_dead() {
    let name = Name::new("stopped");
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 1).as_bytes());
    eventually("something is sent", || name.exists() && name.stat()["used_bytes"] != 0);
    sender.signal(Signal::SIGSTOP);
    let receiver = start(["recv", &name.0, "--lines", "-t", "500ms"]);
    let done = receiver.wait();
    done.complains(1, "timed out after 500ms waiting for a sender; 1 record (6 bytes) received");
    sender.signal(Signal::SIGCONT);
    sender.feed(lines(2, 2).as_bytes());
    let receiver = start(["recv", &name.0, "--lines"]);
    eventually("it is there", || name.stat()["consumer"]["state"] == "attached");
    sender.wait().is_fine();
    assert_eq!(numbers(&receiver.wait().stdout), [2]);
}
