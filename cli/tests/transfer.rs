//! `send` and `recv`: what goes in comes out, in either order of start, as bytes and as lines, and nothing is left.
#![forbid(unsafe_code)]

mod common;

use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use common::{Dir, Name, Running, eventually, lines, noise, numbers, slipring, start};

/// Sends `data` with `args`, the receiver first or second; gives what arrived.
fn pass(name: &Name, data: Vec<u8>, receiver_first: bool, args: &[&str]) -> Vec<u8> {
    let with = |verb| [&[verb, name.0.as_str()], args].concat();
    let receive = || start(with("recv"));
    let send = || {
        let mut sender = start(with("send"));
        let mut stdin = sender.take_stdin();
        let feeder = std::thread::spawn(move || stdin.write_all(&data).unwrap());
        (sender, feeder)
    };
    let attached = |role: &str| name.exists() && name.stat()[role]["state"] == "attached";
    let (receiver, (sender, feeder)): (Running, _) = if receiver_first {
        let receiver = receive();
        eventually("the receiver is there", || attached("consumer"));
        (receiver, send())
    } else {
        let sender = send();
        eventually("the sender is there", || attached("producer"));
        (receive(), sender)
    };
    sender.wait().is_fine();
    feeder.join().unwrap();
    let done = receiver.wait();
    done.is_fine();
    assert!(!name.exists(), "the ring vanishes with its last user");
    done.stdout
}

#[test]
fn bytes_arrive_whole_whoever_starts_first() {
    for receiver_first in [true, false] {
        let name = Name::new(&format!("bytes-{receiver_first}"));
        let data = noise(3_000_001, 1);
        assert!(pass(&name, data.clone(), receiver_first, &["-s", "64K"]) == data);
    }
}

#[test]
fn lines_arrive_whole_whoever_starts_first() {
    for receiver_first in [true, false] {
        let name = Name::new(&format!("lines-{receiver_first}"));
        let text = lines(1, 200_000);
        let got = pass(&name, text.clone().into_bytes(), receiver_first, &["--lines", "-s", "64K"]);
        assert!(got == text.as_bytes());
    }
}

#[test]
fn every_way_to_wait_and_to_wake_moves_the_same() {
    let data = noise(200_000, 2);
    for (i, args) in [
        &["--spin"][..],
        &["--yield"],
        &["--park"],
        &["--wakeup", "semaphore"],
        &["--wakeup", "none"],
        &["--fences", "plain", "--align", "dense"],
    ]
    .into_iter()
    .enumerate()
    {
        let name = Name::new(&format!("wait-{i}"));
        assert!(pass(&name, data.clone(), true, args) == data, "{args:?}");
    }
}

#[test]
fn odd_lines_survive() {
    let long = noise(30_000, 3).into_iter().filter(|b| *b != b'\n').collect::<Vec<u8>>();
    let mut text = b"\n\n\r\n\0\xff\xfe not UTF-8\n  blanks  \n".to_vec();
    text.extend_from_slice(&long);
    text.extend_from_slice(b"\nlast");
    let name = Name::new("odd-lines");
    let got = pass(&name, text.clone(), true, &["--lines", "-s", "128K"]);
    text.push(b'\n');
    assert!(got == text, "a last line without a newline is a line");
}

#[test]
fn an_empty_input_ends_both_sides() {
    for receiver_first in [true, false] {
        for args in [&["--lines"][..], &[]] {
            let name = Name::new(&format!("empty-{receiver_first}-{}", args.len()));
            assert!(pass(&name, Vec::new(), receiver_first, args).is_empty());
        }
    }
}

#[test]
fn a_chunk_larger_than_the_ring_takes_is_split() {
    let data = noise(300_000, 4);
    let name = Name::new("chunk");
    let receiver = start(["recv", &name.0, "-s", "4K"]);
    let dir = Dir::new("chunk");
    std::fs::write(dir.file("in"), &data).unwrap();
    slipring(["send", &name.0, &dir.file("in"), "-s", "4K", "--chunk", "1G"]).is_fine();
    assert!(receiver.wait().stdout == data);
}

#[test]
fn files_go_in_and_come_out() {
    let (name, dir) = (Name::new("files"), Dir::new("files"));
    let data = noise(1_000_000, 5);
    std::fs::write(dir.file("in"), &data).unwrap();
    std::fs::write(dir.file("out"), "what was there before").unwrap();
    let receiver = start(["recv", &name.0, "-o", &dir.file("out")]);
    slipring(["send", &name.0, &dir.file("in")]).is_fine();
    let done = receiver.wait();
    done.is_fine();
    assert!(done.stdout.is_empty());
    assert!(std::fs::read(dir.file("out")).unwrap() == data);
    assert!(!name.exists());
}

#[test]
fn a_ring_in_a_file_carries_too_and_stays() {
    let dir = Dir::new("ring-file");
    // Also under a path that is not UTF-8.
    for file in [&b"a.ring"[..], b"\xff\xfe.ring"] {
        let path = dir.0.join(std::ffi::OsStr::from_bytes(file));
        let args =
            |verb: &str| -> [std::ffi::OsString; 3] { [verb.into(), "--file".into(), path.clone().into()] };
        let receiver = start(args("recv"));
        let mut sender = start(args("send"));
        sender.feed(b"through a file");
        sender.wait().is_fine();
        assert_eq!(receiver.wait().out(), "through a file");
        assert!(path.exists());
        slipring(args("rm")).is_fine();
        assert!(!path.exists());
    }
}

#[test]
fn what_comes_in_goes_out_at_once() {
    let name = Name::new("at-once");
    let mut sender = start(["send", &name.0, "--lines"]);
    let mut receiver = Running::start_unread(
        common::command(["recv", &name.0, "--lines"])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped()),
    );
    let mut out = std::io::BufReader::new(receiver.child().stdout.take().unwrap());
    for n in 1..=20 {
        sender.feed(lines(n, n).as_bytes());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert_eq!(line, lines(n, n));
    }
    sender.wait().is_fine();
    receiver.wait().is_fine();
}

#[test]
fn no_wait_leaves_the_data_for_later() {
    let name = Name::new("no-wait");
    slipring(["mk", &name.0]).is_fine();
    let mut sender = start(["send", &name.0, "--lines", "--no-wait"]);
    sender.feed(lines(1, 5).as_bytes());
    sender.wait().is_fine();
    assert_eq!(name.stat()["producer"]["state"], "closed");
    assert_eq!(numbers(&slipring(["recv", &name.0, "--lines"]).stdout), [1, 2, 3, 4, 5]);
    // A second time: what the ring remembers of the first does not end the second.
    let receiver = start(["recv", &name.0, "--lines"]);
    eventually("the receiver is there", || name.stat()["consumer"]["state"] == "attached");
    let mut sender = start(["send", &name.0, "--lines", "--no-wait"]);
    sender.feed(lines(6, 7).as_bytes());
    sender.wait().is_fine();
    let done = receiver.wait();
    done.is_fine();
    assert_eq!(numbers(&done.stdout), [6, 7]);
    slipring(["rm", &name.0]).is_fine();
}

#[test]
fn no_wait_is_refused_on_a_ring_that_would_vanish() {
    let name = Name::new("no-wait-vanish");
    slipring(["send", &name.0, "--no-wait"]).complains(2, "--no-wait needs a ring that stays");
    assert!(!name.exists());
    slipring(["send", &name.0, "--no-wait", "--persistent"]).is_fine();
    assert!(name.exists());
}

#[test]
fn a_sender_waits_for_a_receiver_on_a_ring_with_a_past() {
    let name = Name::new("past");
    slipring(["mk", &name.0, "-s", "4K"]).is_fine();
    for round in 1..=3 {
        // More than the ring takes: without a receiver the sender must wait, though an earlier one has left.
        let data = noise(20_000, round);
        let mut sender = start(["send", &name.0]);
        let mut stdin = sender.take_stdin();
        let copy = data.clone();
        let feeder = std::thread::spawn(move || stdin.write_all(&copy).unwrap());
        eventually("the ring is filling", || name.stat()["used_bytes"].as_u64().unwrap() > 2000);
        let done = slipring(["recv", &name.0]);
        done.is_fine();
        assert!(done.stdout == data, "round {round}");
        feeder.join().unwrap();
        sender.wait().is_fine();
    }
    slipring(["rm", &name.0]).is_fine();
}

#[test]
fn follow_waits_for_the_next_sender() {
    let name = Name::new("follow");
    let mut receiver = start(["recv", &name.0, "--lines", "--follow"]);
    for round in 0..3 {
        let mut sender = start(["send", &name.0, "--lines"]);
        sender.feed(lines(round * 10 + 1, round * 10 + 10).as_bytes());
        sender.wait().is_fine();
    }
    assert!(receiver.runs());
    receiver.signal(nix::sys::signal::Signal::SIGTERM);
    let done = receiver.wait();
    assert_eq!(done.signal(), Some(15), "{done:?}");
    assert_eq!(numbers(&done.stdout), (1..=30).collect::<Vec<_>>());
    assert!(!name.exists());
}

#[test]
fn a_second_sender_or_receiver_is_refused_by_name_and_pid() {
    let name = Name::new("busy");
    let receiver = start(["recv", &name.0]);
    let mut sender = start(["send", &name.0]);
    eventually("both are there", || {
        name.exists() && ["producer", "consumer"].iter().all(|role| name.stat()[role]["state"] == "attached")
    });
    slipring(["send", &name.0])
        .complains(1, &format!("{}: already has a producer (pid {})", name.0, sender.pid()));
    slipring(["recv", &name.0])
        .complains(1, &format!("{}: already has a consumer (pid {})", name.0, receiver.pid()));
    sender.end_input();
    sender.wait().is_fine();
    receiver.wait().is_fine();
}

#[test]
fn a_time_out_says_what_was_waited_for() {
    let name = Name::new("time-out");
    slipring(["recv", &name.0, "--timeout", "50ms"])
        .complains(1, &format!("{}: timed out after 50ms waiting for a sender; 0 bytes received", name.0));
    slipring(["recv", &name.0, "--lines", "--timeout", "0", "--spin"])
        .complains(1, "timed out after 0ns waiting for a sender; 0 records (0 bytes) received");
    slipring(["send", &name.0, "--timeout", "50ms"])
        .complains(1, &format!("{}: timed out after 50ms waiting for a receiver; nothing was sent", name.0));
    let mut sender = start(["send", &name.0, "--lines", "-t", "0.05"]);
    sender.feed(lines(1, 3).as_bytes());
    sender
        .wait()
        .complains(1, "waiting for the receiver; what was sent (3 records (18 bytes)) goes with the ring");
    assert!(!name.exists());
}

#[test]
fn a_slow_input_is_not_the_rings_fault() {
    let name = Name::new("slow-input");
    let receiver = start(["recv", &name.0]);
    let mut sender = start(["send", &name.0, "--timeout", "1ms"]);
    eventually("both are there", || {
        name.exists() && ["producer", "consumer"].iter().all(|role| name.stat()[role]["state"] == "attached")
    });
    // The sender looks after its input at least once more before it ends.
    std::thread::sleep(std::time::Duration::from_millis(300));
    sender.feed(b"late");
    // With so short a time-out the end may come too early for the receiver; the input must not be the reason.
    let done = sender.wait();
    assert!(done.code() == 0 || done.err().contains("waiting for the receiver"), "{done:?}");
    assert_eq!(receiver.wait().out(), "late");
}

#[test]
fn other_options_than_the_rings_own_are_pointed_out() {
    let name = Name::new("unmet");
    slipring(["mk", &name.0, "-s", "8K"]).is_fine();
    let args = ["recv", &name.0, "-s", "64K", "--align", "dense", "-t", "0"];
    slipring(args)
        .complains(1, &format!("{}: was there before, with a capacity of 8K, align line\n", name.0));
    let quiet = slipring(args.iter().chain(&["-q"]));
    assert!(!quiet.err().contains("was there before"));
}

#[test]
fn a_line_that_does_not_fit_is_named_with_both_sizes() {
    let name = Name::new("long-line");
    let receiver = start(["recv", &name.0, "--lines", "-s", "4K"]);
    eventually("the ring is there", || name.exists() && name.stat()["consumer"]["state"] == "attached");
    let max = name.stat()["max_record_bytes"].as_u64().unwrap();
    let mut sender = start(["send", &name.0, "--lines"]);
    let mut text = lines(1, 2).into_bytes();
    text.extend(vec![b'x'; max as usize + 1]);
    text.extend(b"\nnever sent\n");
    sender.feed(&text);
    sender.wait().complains(
        2,
        &format!("{}: line 3 has {} bytes, this ring takes at most {max} in a record", name.0, max + 1),
    );
    let done = receiver.wait();
    done.is_fine();
    assert_eq!(numbers(&done.stdout), [1, 2], "the lines before it were sent");
    assert!(!name.exists());
}

#[test]
fn a_line_without_end_is_measured_but_not_kept() {
    let name = Name::new("endless-line");
    let receiver = start(["recv", &name.0, "--lines", "-s", "4K"]);
    let done = slipring(["send", &name.0, "/dev/zero", "--lines", "-s", "4K"]);
    done.complains(2, "line 1 has more than 1073741824 bytes");
    receiver.wait().is_fine();
}

#[test]
fn the_longest_line_fits() {
    let name = Name::new("longest-line");
    slipring(["mk", &name.0, "-s", "64K"]).is_fine();
    let max = name.stat()["max_record_bytes"].as_u64().unwrap() as usize;
    let mut sender = start(["send", &name.0, "--lines"]);
    let mut text = vec![b'a'; max];
    text.push(b'\n');
    sender.feed(&text);
    sender.feed(&text);
    let receiver = start(["recv", &name.0, "--lines"]);
    sender.wait().is_fine();
    assert!(receiver.wait().stdout == [&text[..], &text].concat());
}
