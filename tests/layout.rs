//! `docs/layout.md` against real segments: the tables of that page are read, and every byte that anything changes in
//! a segment must be where they say.

mod common;

use common::{Board, LIMIT, Scratch, alone, fork, scratch, until};
use slipring::spsc::{Consumer, Producer};
use slipring::{Align, Fences, Options, Ring, Wakeup};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

// --- the page ---

/// The rows of the table under a heading, cell by cell, without backticks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/layout.md")).unwrap();
    let under =
        page.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('#'));
    let rows: Vec<Vec<_>> = under
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect();
    assert!(rows.len() > 2, "{heading}: no table");
    assert!(rows[1].iter().all(|cell| cell.starts_with("---")), "{heading}: no header row");
    rows.into_iter().skip(2).collect()
}

/// A documented field: its name, offset and size.
#[derive(Clone, Debug, PartialEq)]
struct Field {
    name: String,
    at: usize,
    size: usize,
}

fn fields(heading: &str) -> Vec<Field> {
    let row = |row: Vec<String>| {
        let field =
            Field { name: row[3].clone(), at: row[0].parse().unwrap(), size: row[1].parse().unwrap() };
        let size = match row[2].as_str() {
            "u64" => 8,
            "u32" => 4,
            "sem_t" => 32,
            other => panic!("{}: type {other}", field.name),
        };
        assert_eq!(field.size, size, "{}", field.name);
        assert!(field.at.is_multiple_of(size.min(8)), "{}", field.name);
        field
    };
    table(heading).into_iter().map(row).collect()
}

fn header() -> Vec<Field> {
    fields("## Segment header")
}

fn lines() -> Vec<Field> {
    fields("## Control lines")
}

/// A number as the page writes it: `4096` or `2^61 + 1`.
fn number(text: &str) -> u64 {
    text.split(" + ")
        .map(|part| match part.split_once('^') {
            Some((base, exponent)) => base.parse::<u64>().unwrap().pow(exponent.parse().unwrap()),
            None => part.parse().unwrap(),
        })
        .sum()
}

/// The bits of a word that a row `from..to` names, by the first word of its meaning.
fn bits(heading: &str, meaning: &str, word: u64) -> u64 {
    let rows = table(heading);
    let row = rows.iter().find(|row| row[1].starts_with(meaning)).unwrap();
    let (from, to) = row[0].split_once("..").map(|(a, b)| (number(a), number(b))).unwrap();
    word << (64 - to) >> (64 - to + from)
}

/// The number that a meaning like `state: 0 absent, 1 attached` gives to a name.
fn code(heading: &str, meaning: &str, name: &str) -> u64 {
    let rows = table(heading);
    let row = rows.iter().find(|row| row[1].starts_with(meaning)).unwrap();
    let (_, list) = row[1].split_once(": ").unwrap();
    let of = list.split(", ").filter_map(|item| item.split_once(' '));
    of.into_iter().find(|(_, what)| *what == name).unwrap().0.parse().unwrap()
}

/// The value of the row of a two-column table whose meaning starts so.
fn value(heading: &str, meaning: &str) -> u64 {
    let rows = table(heading);
    rows.iter().find(|row| row[1].starts_with(meaning)).unwrap()[0].parse().unwrap()
}

fn get(bytes: &[u8], field: &Field) -> u64 {
    let mut word = [0; 8];
    word[..field.size].copy_from_slice(&bytes[field.at..][..field.size]);
    u64::from_le_bytes(word)
}

fn find(fields: &[Field], name: &str) -> Field {
    fields.iter().find(|field| field.name == name).unwrap_or_else(|| panic!("no field {name}")).clone()
}

// --- real segments ---

struct Made {
    _dir: Scratch,
    path: PathBuf,
    ring: Ring,
}

fn make(options: &Options) -> Made {
    let dir = scratch();
    let path = dir.0.join("ring");
    let ring = Ring::create_file(&path, options).unwrap();
    Made { _dir: dir, path, ring }
}

impl Made {
    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    /// What `act` changes: the documented fields, and `data`. A change anywhere else is a fault.
    fn changes(&self, act: impl FnOnce()) -> BTreeSet<String> {
        let before = self.bytes();
        act();
        named(&before, &self.bytes())
    }
}

/// The documented names of the bytes in which two segments differ.
fn named(a: &[u8], b: &[u8]) -> BTreeSet<String> {
    let documented: Vec<_> = header().into_iter().chain(lines()).collect();
    let name = |at: usize| match documented.iter().find(|f| (f.at..f.at + f.size).contains(&at)) {
        Some(field) => field.name.clone(),
        None if at >= 4096 => "data".into(),
        None => panic!("byte {at} changed, and no row of docs/layout.md has it"),
    };
    let differ = (0..a.len().min(b.len())).filter(|&at| a[at] != b[at]);
    differ.map(name).chain((a.len() != b.len()).then(|| "length".into())).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn small() -> Options {
    Options::new().capacity(4096)
}

#[test]
fn the_parts_of_a_segment_follow_each_other_without_gaps() {
    let _alone = alone();
    let mut at = 0;
    for row in table("## Segment") {
        assert_eq!(row[0], at.to_string(), "{}", row[2]);
        at += row[1].parse().unwrap_or(0);
    }
    assert_eq!(at, 4096, "then the data, as long as the capacity");
}

#[test]
fn the_fields_of_the_header_follow_each_other_without_gaps() {
    let _alone = alone();
    let mut at = 0;
    for field in header() {
        assert_eq!(field.at, at, "{}", field.name);
        at += field.size;
    }
    let made = make(&small());
    assert!(made.bytes()[at..1024].iter().all(|&byte| byte == 0), "0 behind the last field");
}

#[test]
fn no_two_control_words_share_a_pair_of_cache_lines_unless_one_side_writes_both() {
    let _alone = alone();
    let lines = lines();
    for (a, b) in lines.iter().zip(&lines[1..]) {
        assert!(a.at + a.size <= b.at);
        let owner = |field: &Field| field.name.split('.').next().unwrap().to_string();
        assert!(a.at / 128 != b.at / 128 || owner(a) == owner(b), "{} and {}", a.name, b.name);
    }
}

#[test]
fn a_new_segment_holds_what_the_header_table_says() {
    let _alone = alone();
    let before = SystemTime::now();
    let made = make(&small().mode(0o640).align(Align::Dense).wakeup(Wakeup::None).fences(Fences::Plain));
    let bytes = made.bytes();
    let fields = header();
    let get = |name: &str| get(&bytes, &find(&fields, name));
    assert_eq!(get("magic").to_le_bytes(), *b"SLIPRING");
    assert_eq!((get("version"), get("kind")), (2, 1));
    assert_eq!((get("slot_len"), get("participants")), (0, 0));
    assert_eq!((get("segment_len"), bytes.len()), (4096 + 4096, 4096 + 4096));
    assert_eq!((get("ring_offset"), get("data_offset"), get("capacity")), (1024, 4096, 4096));
    assert_eq!((get("align"), get("wakeup")), (8, 0));
    assert_eq!(get("flags"), value("### Flags", "persistent"), "as every file");
    assert_eq!(get("creator_pid"), u64::from(std::process::id()));
    assert_eq!(get("creator_uid"), u64::from(nix::unistd::geteuid().as_raw()));
    assert_eq!(get("mode"), 0o640);
    let created = UNIX_EPOCH + Duration::from_nanos(get("created_ns"));
    assert!(before <= created && created <= SystemTime::now());
    let checksum = find(&fields, "checksum");
    let sum = bytes[..checksum.at]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!(get("checksum"), sum);
    assert!(bytes[256..].iter().all(|&byte| byte == 0), "nothing else is written yet");
}

#[test]
fn each_option_changes_its_field_and_no_other() {
    let _alone = alone();
    let usual = make(&small());
    let differs = |options: Options| {
        let other = make(&options).bytes();
        let mut names = named(&usual.bytes()[..4096], &other[..4096]);
        // In every segment its own.
        names.remove("created_ns");
        assert!(names.remove("checksum"));
        names
    };
    assert_eq!(differs(small()), set(&[]));
    assert_eq!(differs(small().capacity(8192)), set(&["capacity", "segment_len"]));
    assert_eq!(differs(small().align(Align::Dense)), set(&["align"]));
    assert_eq!(differs(small().wakeup(Wakeup::None)), set(&["wakeup"]));
    assert_eq!(differs(small().mode(0o600)), set(&[]));
    assert_eq!(differs(small().mode(0o644)), set(&["mode"]));
    assert_eq!(
        differs(small().wakeup(Wakeup::Semaphore)),
        set(&["wakeup", "items.semaphore", "space.semaphore"])
    );
    let flags = |options: Options| get(&make(&options).bytes(), &find(&header(), "flags"));
    if make(&small()).ring.info().fences == Fences::Asymmetric {
        assert_eq!(differs(small().fences(Fences::Plain)), set(&["flags"]));
        let (plain, asymmetric) = (flags(small().fences(Fences::Plain)), flags(small()));
        assert_eq!(asymmetric ^ plain, value("### Flags", "asymmetric"));
    } else {
        println!("skipped: membarrier(2) is not available");
    }
    let named = common::unique();
    let _ring = Ring::create(&named.0, &small()).unwrap();
    let vanishing = get(&std::fs::read(named.path()).unwrap(), &find(&header(), "flags"));
    assert_eq!(flags(small()) ^ vanishing, value("### Flags", "persistent"));
}

#[test]
fn the_codes_of_align_and_wakeup_are_those_of_the_tables() {
    let _alone = alone();
    let field = |options: &Options, name| get(&make(options).bytes(), &find(&header(), name));
    assert_eq!(field(&small().align(Align::Line), "align"), 64);
    assert_eq!(field(&small().align(Align::Dense), "align"), 8);
    for (wakeup, meaning) in
        [(Wakeup::None, "none"), (Wakeup::Futex, "shared futex"), (Wakeup::Semaphore, "POSIX")]
    {
        assert_eq!(field(&small().wakeup(wakeup), "wakeup"), value("### Wakeup", meaning));
    }
}

#[test]
fn each_verb_changes_only_the_words_of_its_side() {
    let _alone = alone();
    let made = make(&small().wakeup(Wakeup::Futex));
    let (mut tx, mut rx) = (None::<Producer>, None::<Consumer>);
    let attach_tx = made.changes(|| tx = Some(made.ring.producer().unwrap()));
    assert_eq!(attach_tx, set(&["producer.word", "producer.since_ns"]));
    let attach_rx = made.changes(|| rx = Some(made.ring.consumer().unwrap()));
    assert_eq!(attach_rx, set(&["consumer.word", "consumer.since_ns"]));
    let (tx, rx) = (&mut tx, &mut rx);
    assert_eq!(made.changes(|| tx.as_mut().unwrap().send(b"message").unwrap()), set(&["data"]));
    let mut buffer = [0; 16];
    let received = made.changes(|| assert_eq!(rx.as_mut().unwrap().try_recv(&mut buffer), Ok(7)));
    assert_eq!(received, set(&["head"]));
    // Spins first; on a busy machine the time may be over before it comes to sleep.
    let soon = Duration::from_millis(20);
    let slept = |name: &str| get(&made.bytes(), &find(&lines(), name)) != 0;
    let waits = made.changes(|| {
        until("the consumer sleeps", || {
            assert!(rx.as_mut().unwrap().recv_timeout(&mut buffer, soon).is_err());
            slept("items.state")
        });
    });
    assert_eq!(waits, set(&["items.state"]));
    let wakes = made.changes(|| tx.as_mut().unwrap().send(b"message").unwrap());
    assert_eq!(wakes, set(&["items.state", "data"]));
    let fills = made.changes(|| while tx.as_mut().unwrap().try_send(&[1; 56]).is_ok() {});
    assert_eq!(fills, set(&["data"]));
    let waits = made.changes(|| {
        until("the producer sleeps", || {
            assert!(tx.as_mut().unwrap().send_timeout(b"", soon).is_err());
            slept("space.state")
        });
    });
    assert_eq!(waits, set(&["space.state", "space.enough"]));
    let not_enough = made.changes(|| assert_eq!(rx.as_mut().unwrap().try_recv(&mut buffer), Ok(7)));
    assert_eq!(not_enough, set(&["head"]));
    let wakes = made.changes(|| while rx.as_mut().unwrap().try_frame().is_ok() {});
    assert_eq!(wakes, set(&["head", "space.state"]));
    assert_eq!(made.changes(|| *tx = None), set(&["producer.word"]));
    assert_eq!(made.changes(|| *rx = None), set(&["consumer.word"]));
}

#[test]
fn a_party_word_holds_state_pid_and_attachments() {
    let _alone = alone();
    const PAGE: &str = "### Party word";
    let made = make(&small());
    let word = |name| {
        let word = get(&made.bytes(), &find(&lines(), name));
        (bits(PAGE, "state", word), bits(PAGE, "process id", word), bits(PAGE, "attachments", word))
    };
    let state = |name| code(PAGE, "state", name);
    let own = u64::from(std::process::id());
    for (party, attach) in [
        ("producer.word", (|ring: &Ring| drop(ring.producer().unwrap())) as fn(&Ring)),
        ("consumer.word", |ring| drop(ring.consumer().unwrap())),
    ] {
        assert_eq!(word(party), (state("absent"), 0, 0));
        attach(&made.ring);
        assert_eq!(word(party), (state("closed"), own, 1));
        attach(&made.ring);
        assert_eq!(word(party), (state("closed"), own, 2));
    }
    let mut child = fork(|link| {
        let _tx = Ring::open_file(&made.path).unwrap().into_producer().unwrap();
        link.say(1);
        std::thread::sleep(LIMIT);
    });
    child.hear();
    let pid = u64::from(child.pid());
    assert_eq!(word("producer.word"), (state("attached"), pid, 3));
    child.kill();
    assert_eq!(word("producer.word"), (state("attached"), pid, 3), "the dead say nothing");
}

#[test]
fn a_record_is_a_header_of_kind_and_length_and_its_payload() {
    let _alone = alone();
    const PAGE: &str = "### Record header";
    let rows = table("## Record");
    assert_eq!((rows[0][0].as_str(), rows[0][1].as_str(), rows[1][0].as_str()), ("0", "8", "8"));
    let kind = |name| code(PAGE, "kind", name);
    for (align, boundary) in [(Align::Line, 64), (Align::Dense, 8)] {
        let made = make(&small().align(align));
        let (mut tx, mut rx) = (made.ring.producer().unwrap(), made.ring.consumer().unwrap());
        let header_at = |at: usize| {
            let bytes = made.bytes();
            let word = u64::from_le_bytes(bytes[4096 + at..][..8].try_into().unwrap());
            (bits(PAGE, "kind", word), bits(PAGE, "length", word))
        };
        let mut at = 0;
        for len in [0, 1, 7, 8, 56, 57, 300, 1000] {
            let message: Vec<u8> = (0..len).map(|b| (b as u8).wrapping_add(1)).collect();
            tx.try_send(&message).unwrap();
            assert_eq!(header_at(at), (kind("message"), len as u64));
            assert_eq!(made.bytes()[4096 + at + 8..][..len], message);
            at += (8 + len).next_multiple_of(boundary);
            assert_eq!(header_at(at), (0, 0), "nothing is committed at tail");
            assert_eq!(tx.approx_len(), at);
        }
        while rx.try_frame().is_ok() {}
        assert_eq!(get(&made.bytes(), &find(&lines(), "head")), at as u64);
        // Too long for what is left before the end of the data.
        tx.try_send(&vec![9; 1500]).unwrap();
        let (mut end, mut gap) = (at + 1508_usize.next_multiple_of(boundary), 0);
        if end < 4096 {
            drop(rx.try_frame());
            gap = end;
            tx.try_send(&vec![8; 1500]).unwrap();
            end = 0;
        }
        assert_eq!(end, 0);
        assert_eq!(header_at(gap), (kind("padding"), 0));
        assert_eq!(header_at(0), (kind("message"), 1500));
    }
}

#[test]
fn the_longest_message_has_half_the_capacity_less_eight() {
    let _alone = alone();
    for capacity in [4096, 8192, 1 << 20] {
        assert_eq!(make(&small().capacity(capacity)).ring.info().max_len, capacity as u64 / 2 - 8);
    }
}

// --- locks ---

/// Who holds a byte of the segment's file, asked through a description of this test's own: shared or exclusive.
fn lock_at(made: &Made, byte: u64) -> Option<&'static str> {
    use nix::fcntl::{FcntlArg, fcntl};
    let file = File::options().read(true).write(true).open(&made.path).unwrap();
    let ask = |kind: i32| {
        let mut lock = libc::flock {
            l_type: kind as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: byte as i64,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).unwrap();
        i32::from(lock.l_type) != libc::F_UNLCK
    };
    match (ask(libc::F_WRLCK), ask(libc::F_RDLCK)) {
        (false, _) => None,
        (true, false) => Some("shared"),
        (true, true) => Some("exclusive"),
    }
}

#[test]
fn the_locks_are_held_on_the_bytes_of_the_table() {
    let _alone = alone();
    let rows = table("## Locks");
    let byte = |who: &str| {
        let row = rows.iter().find(|row| row[2].contains(who)).unwrap();
        (number(&row[0]), row[1].clone())
    };
    let made = make(&small());
    let held = |who: &str| {
        let (byte, how) = byte(who);
        let lock = lock_at(&made, byte);
        assert!(lock.is_none_or(|lock| lock == how), "{who}: {lock:?}, not {how}");
        lock.is_some()
    };
    assert_eq!([held("everybody"), held("producer"), held("consumer")], [true, false, false]);
    let tx = made.ring.producer().unwrap();
    assert_eq!([held("everybody"), held("producer"), held("consumer")], [true, true, false]);
    let done = Board::new(1);
    let mut child = fork(|link| {
        let _rx = Ring::open_file(&made.path).unwrap().into_consumer().unwrap();
        link.say(1);
        until("told to go", || done.get(0) == 1);
    });
    child.hear();
    assert_eq!([held("everybody"), held("producer"), held("consumer")], [true, true, true]);
    child.stop();
    assert!(held("consumer"), "a stopped process keeps its locks");
    child.kill();
    assert_eq!([held("everybody"), held("producer"), held("consumer")], [true, true, false]);
    drop(tx);
    assert_eq!([held("everybody"), held("producer"), held("consumer")], [true, false, false]);
}

#[test]
fn nobody_takes_a_name_away_while_any_byte_of_the_range_is_locked() {
    let _alone = alone();
    use nix::fcntl::{FcntlArg, fcntl};
    let rows = table("## Locks");
    let first = number(&rows[0][0]);
    for byte in [first, first + 1, first + 2, first + 4096] {
        let name = common::unique();
        let ring = Ring::create(&name.0, &small()).unwrap();
        let file = File::options().read(true).write(true).open(name.path()).unwrap();
        let lock = libc::flock {
            l_type: libc::F_RDLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: byte as i64,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
        drop(ring);
        assert!(name.path().exists(), "byte {byte}");
        drop(file);
        slipring::unlink(&name.0).unwrap();
    }
}
