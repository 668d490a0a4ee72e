//! The edges of a transfer: readers that go away, full disks, signals, terminals that are none.
#![forbid(unsafe_code)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::{Dir, Name, Running, command, eventually, lines, numbers, shell, slipring, start};
use nix::sys::signal::Signal;

#[test]
fn broken_pipe_is_a_normal_end() {
    let name = Name::new("broken-pipe");
    let mut sender = start(["send", &name.0, "--lines", "-s", "64K"]);
    let mut stdin = sender.take_stdin();
    let feeder = std::thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut stdin, lines(1, 200_000).as_bytes());
    });
    let mut receiver = Running::start_unread(
        command(["recv", &name.0, "--lines"]).stdin(Stdio::null()).stdout(Stdio::piped()),
    );
    let mut out = BufReader::new(receiver.child().stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "line 1\n");
    drop(out);
    receiver.wait().is_fine();
    sender.wait().complains(1, "the receiver left when ");
    feeder.join().unwrap();
    // What the pipe had swallowed is gone, as with any pipe; the rest is whole.
    let rest = slipring(["recv", &name.0, "--lines"]);
    rest.is_fine();
    let rest = numbers(&rest.stdout);
    assert_eq!(rest, (rest[0]..rest[0] + rest.len()).collect::<Vec<_>>());
    assert!(!name.exists());
}

#[test]
fn head_ends_a_receiver_that_waits() {
    let name = Name::new("head");
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(b"first\n");
    // The sender stays silent after the first line, so the receiver has to notice without writing.
    let done = shell(&format!("set -o pipefail; slipring recv {} --lines | head -1", name.0));
    done.is_fine();
    assert_eq!(done.out(), "first\n");
    sender.wait().is_fine();
    assert!(!name.exists());
}

#[test]
fn listings_end_quietly_when_the_reader_has_gone() {
    let name = Name::new("closed-reader");
    slipring(["mk", &name.0]).is_fine();
    for verb in
        ["ls", "ls --json", &format!("stat {}", name.0), "man", "completions bash", "--help", "send --help"]
    {
        let done = shell(&format!("set -o pipefail; slipring {verb} | true; exit ${{PIPESTATUS[0]}}"));
        done.is_fine();
    }
}

#[test]
fn full_disk_is_an_error() {
    let name = Name::new("full");
    slipring(["mk", &name.0]).is_fine();
    for verb in
        ["ls", "ls --json", &format!("stat {}", name.0), "man", "completions zsh", "--help", "--version"]
    {
        let done = shell(&format!("slipring {verb} > /dev/full"));
        done.complains(2, "cannot write standard output: No space left on device");
    }
}

#[test]
fn record_that_could_not_be_written_stays() {
    let name = Name::new("full-recv");
    for (args, data) in [("--lines", "one\ntwo\n"), ("", &"x".repeat(100_000))] {
        let mut sender =
            start(["send", &name.0].iter().copied().chain(args.split(' ').filter(|a| !a.is_empty())));
        sender.feed(data.as_bytes());
        let done = shell(&format!("slipring recv {} {args} > /dev/full", name.0));
        done.complains(2, "cannot write standard output: No space left on device");
        // A receiver that left is no death: the sender waits for the end of its input before it says so.
        let receiver =
            start(["recv", &name.0].iter().copied().chain(args.split(' ').filter(|a| !a.is_empty())));
        eventually("the next receiver has everything", || name.stat()["used_bytes"] == 0);
        sender.wait().is_fine();
        assert_eq!(receiver.wait().out(), data);
        assert!(!name.exists());
    }
}

#[test]
fn output_that_cannot_be_made_leaves_the_ring_alone() {
    let (name, dir) = (Name::new("bad-output"), Dir::new("bad-output"));
    slipring(["recv", &name.0, "-o", "/no/such/dir/x"])
        .complains(2, "/no/such/dir/x: No such file or directory");
    slipring(["recv", &name.0, "-o", dir.0.to_str().unwrap()]).complains(2, "Is a directory");
    slipring(["send", &name.0, "/no/such/file"]).complains(2, "/no/such/file: No such file or directory");
    assert!(!name.exists());
    slipring(["send", &name.0, dir.0.to_str().unwrap()]).complains(2, "Is a directory");
    assert!(!name.exists());
}

#[test]
fn a_receiver_that_gets_no_place_leaves_the_file_as_it_is() {
    let (name, dir) = (Name::new("kept-output"), Dir::new("kept-output"));
    let file = dir.file("out");
    std::fs::write(&file, "of the first").unwrap();
    let again = || std::fs::read_to_string(&file).unwrap();
    let first = start(["recv", &name.0]);
    eventually("the receiver is there", || name.exists() && name.stat()["consumer"]["state"] == "attached");
    slipring(["recv", &name.0, "-o", &file]).complains(1, "already has a consumer");
    assert_eq!(again(), "of the first");
    slipring(["recv", "a/b", "-o", &file]).complains(2, "contains a second slash");
    slipring(["recv", &name.0, "-o", &file, "--ack", "--skip-redelivered"]).complains(2, "kind mpmc");
    assert_eq!(again(), "of the first");
    first.signal(Signal::SIGTERM);
    first.wait();
    slipring(["recv", &name.0, "-o", &file, "--timeout", "0"]).complains(1, "timed out");
    assert_eq!(again(), "", "who has the place empties the file, before anything comes");
}

/// Whether this process was started with the signal ignored, as a background job: its children inherit that.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (signal as u32 - 1)) != 0
}

#[test]
fn signals_close_cleanly_and_are_passed_on() {
    for (signal, verb) in [
        (Signal::SIGINT, "recv"),
        (Signal::SIGTERM, "recv"),
        (Signal::SIGHUP, "recv"),
        (Signal::SIGINT, "send"),
        (Signal::SIGTERM, "send"),
    ] {
        if is_ignored(signal) {
            eprintln!(
                "skipped: {signal} was ignored from the start; in a foreground shell `cargo test` sends it too"
            );
            continue;
        }
        let name = Name::new(&format!("signal-{signal}-{verb}"));
        let ring = start([verb, &name.0]);
        let role = if verb == "send" { "producer" } else { "consumer" };
        eventually("it has joined", || name.exists() && name.stat()[role]["state"] == "attached");
        ring.signal(signal);
        // A script or another process would see 128 + the number.
        assert_eq!(ring.wait().signal(), Some(signal as i32));
        assert!(!name.exists(), "a clean close takes the name along");
    }
}

#[test]
fn interrupted_sender_is_a_clean_end_for_the_receiver() {
    let name = Name::new("signal-end");
    let receiver = start(["recv", &name.0, "--lines"]);
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(lines(1, 100).as_bytes());
    eventually("all is through", || {
        name.exists() && name.stat()["producer"]["state"] == "attached" && name.stat()["used_bytes"] == 0
    });
    sender.signal(Signal::SIGTERM);
    assert_eq!(sender.wait().signal(), Some(15));
    let done = receiver.wait();
    done.is_fine();
    let got = numbers(&done.stdout);
    assert_eq!(got, (1..=got.len()).collect::<Vec<_>>());
    assert!(!name.exists());
}

#[test]
fn a_receiver_blocked_by_its_reader_can_be_terminated() {
    let name = Name::new("signal-blocked");
    slipring(["mk", &name.0]).is_fine();
    let mut sender = start(["send", &name.0]);
    let mut stdin = sender.take_stdin();
    let feeder = std::thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut stdin, &common::noise(3_000_000, 7));
    });
    // Nobody reads its output, so it blocks in a write.
    let receiver =
        Running::start_unread(command(["recv", &name.0]).stdin(Stdio::null()).stdout(Stdio::piped()));
    eventually("the ring is full behind it", || name.stat()["used_bytes"].as_u64().unwrap() > 700_000);
    receiver.signal(Signal::SIGTERM);
    assert_eq!(receiver.wait().signal(), Some(15));
    let done = sender.wait();
    assert_eq!(done.code(), 1, "{}", done.err());
    feeder.join().unwrap();
    slipring(["rm", &name.0]).is_fine();
}

#[test]
fn ignored_signals_stay_ignored() {
    let name = Name::new("signal-ignored");
    let script = format!("trap '' INT HUP; exec {} recv {}", env!("CARGO_BIN_EXE_slipring"), name.0);
    let receiver = Running::start(Command::new("bash").args(["-c", &script]).stdin(Stdio::null()));
    eventually("it has joined", || name.exists() && name.stat()["consumer"]["state"] == "attached");
    receiver.signal(Signal::SIGINT);
    receiver.signal(Signal::SIGHUP);
    let mut sender = start(["send", &name.0]);
    sender.feed(b"still there");
    sender.wait().is_fine();
    let done = receiver.wait();
    done.is_fine();
    assert_eq!(done.out(), "still there");
}

#[test]
fn closed_standard_streams_are_no_reason_to_panic() {
    let name = Name::new("closed-streams");
    for script in [
        "slipring ls >&-".to_owned(),
        "slipring ls 2>&-".to_owned(),
        "slipring rm /slipring-cli-nothing 2>&-".to_owned(),
        "slipring rm /slipring-cli-nothing 2>/dev/full".to_owned(),
        "slipring nonsense 2>&-".to_owned(),
        format!("slipring send {} -t 0 <&-", name.0),
        format!("slipring recv {} -t 0 <&- >&- 2>&-", name.0),
    ] {
        let done = shell(&script);
        assert!([0, 1, 2].contains(&done.code()), "{script}: {done:?}");
        done.err();
    }
}

#[test]
fn no_progress_is_drawn_where_nobody_sees_it() {
    let name = Name::new("no-progress");
    let receiver = start(["recv", &name.0]);
    let mut sender = start(["send", &name.0]);
    for _ in 0..20 {
        sender.feed(&common::noise(100_000, 1));
    }
    sender.wait().is_fine();
    receiver.wait().is_fine();
}
