//! Bad input, each kind with an error of its own: the exit code, the first word, what is wrong, never a panic.
#![forbid(unsafe_code)]

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use common::{Dir, Name, slipring};

#[test]
fn sizes_that_cannot_be() {
    let name = Name::new("bad-size");
    for (size, part) in [
        ("0", "a size must be at least 1"),
        ("-5", "a size cannot be negative"),
        ("", "a size is a number"),
        ("lots", "a size is a number"),
        ("5X", "unknown suffix \"X\""),
        ("64KB", "64000 bytes is not a power of two, as a capacity must be; the next one is 64K"),
        ("18446744073709551616", "too large"),
        ("18446744073709551615K", "too large"),
        ("9999999999999999999999999999T", "too large"),
        ("2K", "capacity 2048 is impossible"),
        ("4194304T", "capacity 4611686018427387904 is impossible"),
    ] {
        for verb in ["mk", "send", "recv"] {
            slipring([verb, &name.0, "--capacity", size]).complains(2, part);
        }
    }
    for (slots, part) in [
        ("0", "a ring has at least 2 slots"),
        ("-1", "negative"),
        ("1", "number of slots 1 is impossible"),
        ("3", "3 is not a power of two, as a number of slots must be; the next one is 4"),
        ("16777217", "as a number of slots must be; the greatest is 16777216"),
        ("32M", "number of slots 33554432 is impossible"),
    ] {
        slipring(["mk", &name.0, "--kind", "mpmc", "--slots", slots]).complains(2, part);
    }
    for (most, part) in
        [("0", "participants 0 is impossible"), ("-1", "invalid value '-1'"), ("5000", "from 1 to 4096")]
    {
        slipring(["mk", &name.0, "--kind", "mpmc", "--participants", most]).complains(2, part);
    }
    for (size, part) in [("0", "at least 1"), ("-1", "negative"), ("1Q", "unknown suffix")] {
        slipring(["send", &name.0, "--chunk", size]).complains(2, part);
    }
    assert!(!name.exists());
}

#[test]
fn modes_durations_and_words_that_cannot_be() {
    let name = Name::new("bad-words");
    for (args, part) in [
        (&["-p", "rw"][..], "a mode is an octal number"),
        (&["-p", "1777"], "a mode has permission bits only"),
        (&["-p", "-1"], "a mode is an octal number"),
        (&["-p", "400"], "mode 0400 is impossible"),
        (&["-p", "666"], "mode 0666 is impossible"),
        (&["--align", "sideways"], "invalid value 'sideways' for '--align <HOW>'"),
        (&["--wakeup", "bell"], "invalid value 'bell' for '--wakeup <OBJECT>'"),
        (&["--fences", "picket"], "invalid value 'picket' for '--fences <HOW>'"),
    ] {
        slipring([&["mk", &name.0], args].concat()).complains(2, part);
    }
    for (args, part) in [
        (&["-t", "-1"][..], "a duration cannot be negative"),
        (&["-t", "soon"], "a duration is a number"),
        (&["-t", "5d"], "unknown unit \"d\""),
        (&["-t", "99999999999999999999999"], "too long"),
        (&["--spin", "--park"], "cannot be used with"),
        (&["--lines", "--chunk", "4K"], "cannot be used with"),
    ] {
        slipring([&["send", &name.0], args].concat()).complains(2, part);
    }
    slipring(["recv", &name.0, "--wakeup", "none", "--park"]).complains(2, "made without a wake-up object");
    slipring(["ls", "-o", "NAME,SHOE"]).complains(2, "unknown column \"SHOE\"; the columns are NAME, KIND,");
    slipring(["ls", "-o", ""]).complains(2, "unknown column \"\"");
    slipring(["ls", "-c", "-t"]).complains(2, "cannot be used with");
    slipring(["rm", "--stale", "--force"]).complains(2, "cannot be used with");
    slipring(["completions", "csh"]).complains(2, "invalid value 'csh'");
    assert!(!name.exists());
}

#[test]
fn command_lines_that_make_no_sense() {
    for (args, part) in [
        (&["frobnicate"][..], "unrecognized subcommand 'frobnicate'"),
        (&["ls", "--frobnicate"], "unexpected argument '--frobnicate'"),
        (&["mk"], "required arguments were not provided"),
        (&["rm"], "required arguments were not provided"),
        (&["stat", "a", "b"], "unexpected argument 'b'"),
        (&["mk", "a", "-s"], "a value is required for '--capacity <SIZE>'"),
    ] {
        slipring(args).complains(2, part);
    }
    let nothing = slipring::<&str>([]);
    assert_eq!(nothing.code(), 2);
    assert!(nothing.err().contains("Usage: slipring") && nothing.stdout.is_empty());
}

#[test]
fn names_that_cannot_be() {
    let long = "x".repeat(300);
    for verb in ["mk", "stat", "rm", "send", "recv"] {
        for (name, part) in [
            ("", "is empty"),
            ("/", "is empty"),
            ("..", "is a directory's name"),
            ("a/b", "contains a second slash"),
            ("/a/b", "contains a second slash"),
            (&long[..], "has 300 bytes, a name has at most 255"),
        ] {
            slipring([verb, name]).complains(2, part);
        }
        let odd = [OsStr::new(verb), OsStr::from_bytes(b"\xff\xfe")];
        slipring(odd).complains(2, "the name of a ring is UTF-8 text");
    }
    slipring([OsStr::new("mk"), OsStr::new("-s"), OsStr::from_bytes(b"\xff")]).complains(2, "invalid UTF-8");
    slipring([OsStr::from_bytes(b"\xff")]).complains(2, "");
    slipring(["mk", "--file", "/no/such/dir/a.ring"]).complains(2, "lies in a directory that does not exist");
    slipring(["mk", "--file", ""]).complains(2, "names no file");
    for verb in ["stat", "fsck", "rm"] {
        // Whoever means --force by -f.
        slipring([verb, "-f", "/no-such-ring"])
            .complains(if verb == "fsck" { 2 } else { 1 }, "a ring with a name goes without --file");
    }
    let path = format!("/{}ring", "x/".repeat(20_000));
    let done = slipring(["mk", "--file", &path]);
    done.complains(2, "has 40005 bytes, a path has at most 4095");
    assert!(done.err().len() < 500, "{}", done.err());
}

#[test]
fn a_name_from_a_stranger_cannot_draw_on_the_terminal() {
    let name = Name::new("escape-\x1b[2J\n");
    slipring(["mk", &name.0]).is_fine();
    for args in [&["ls"][..], &["stat", &name.0], &["ls", "-o", "NAME"]] {
        let out = slipring(args).out();
        assert!(out.contains("escape-\\u{1b}[2J\\n"), "{out}");
        assert!(!out.contains('\x1b'));
    }
    let done = slipring(["stat", "no\x1b[2J"]);
    done.complains(1, "no such ring");
    assert!(!done.err().contains('\x1b'));
    let done = slipring(["rm", &name.0]);
    assert!(done.out().starts_with("removed /slipring-cli-") && !done.out().contains('\x1b'));
    assert!(!name.exists());
}

#[test]
fn things_that_are_no_rings() {
    let name = Name::new("no-ring");
    std::fs::write(name.path(), vec![7; 100_000]).unwrap();
    for verb in ["stat", "rm", "send", "recv"] {
        slipring([verb, &name.0]).complains(2, &format!("{}: is not a slipring segment", name.0));
    }
    slipring(["rm", "--force", &name.0]).complains(2, "is not a slipring segment");
    slipring(["mk", &name.0]).complains(1, "exists already");
    assert!(name.exists(), "what is not ours is never removed");
    std::fs::write(name.path(), "").unwrap();
    slipring(["stat", &name.0]).complains(2, "has 0 bytes, a segment has at least");

    let dir = Dir::new("no-ring");
    let link = dir.file("link");
    std::os::unix::fs::symlink(name.path(), &link).unwrap();
    nix::unistd::mkfifo(dir.file("fifo").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (path, part) in [
        (dir.file("."), "names no file"),
        (dir.0.to_str().unwrap().to_owned(), "is a directory"),
        (link, "is a symbolic link"),
        (dir.file("fifo"), "is a FIFO"),
        ("/dev/null".into(), "is a character device"),
    ] {
        for verb in ["stat", "rm", "send", "recv"] {
            let done = slipring([verb, "--file", &path]);
            assert!(done.code() == 2, "{verb} {path}: {}", done.err());
            assert!(done.err().contains(part) || path.ends_with('.'), "{verb} {path}: {}", done.err());
        }
    }
}

#[test]
fn a_ring_larger_than_memory_is_refused_with_both_sizes() {
    let name = Name::new("huge");
    let done = slipring(["mk", &name.0, "-s", "4G"]);
    // Where 4 GiB of shared memory are free, that is simply a ring.
    if done.code() != 0 {
        done.complains(2, "no space for ");
        assert!(!name.exists());
    }
}

#[test]
fn a_damaged_ring_is_an_error_and_not_a_crash() {
    use std::os::unix::fs::FileExt;
    let name = Name::new("damaged");
    slipring(["mk", &name.0, "-s", "4K"]).is_fine();
    let mut sender = common::start(["send", &name.0, "--no-wait"]);
    sender.feed(&common::noise(1500, 1));
    sender.wait().is_fine();
    // Rubbish in the first record's header word, at the start of the data area.
    let ring = name.stat();
    let data = ring["segment_bytes"].as_u64().unwrap() - ring["capacity_bytes"].as_u64().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(name.path()).unwrap();
    file.write_all_at(&[0xff; 8], data).unwrap();
    slipring(["recv", &name.0]).complains(2, "shared memory is corrupt");
    slipring(["stat", &name.0]).is_fine();
    slipring(["rm", &name.0]).is_fine();
}
