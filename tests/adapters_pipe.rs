//! Pipes between processes: what waits, who wakes it, what a death does. Each test plays the same on a pipe of the
//! kernel's and on one of slipring's. What can be compared without waiting is in `conform/`.

mod common;

use common::{Board, Child, Dice, alone, asleep_until, errno, fork, interruptible, restartable, until};
use nix::sys::signal::Signal;
use slipring::adapters::pipe::{self, PIPE_BUF, Reader, Writer};
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A kind of pipe.
trait Pipe {
    const WHOSE: &'static str;
    type R: Read + Send + 'static;
    type W: Write + Send + 'static;
    fn make() -> (Self::R, Self::W);
    fn reader(of: &Self::R) -> Self::R;
    fn writer(of: &Self::W) -> Self::W;
}

struct Kernels;

impl Pipe for Kernels {
    const WHOSE: &'static str = "kernel";
    type R = PipeReader;
    type W = PipeWriter;
    fn make() -> (PipeReader, PipeWriter) {
        io::pipe().unwrap()
    }
    fn reader(of: &PipeReader) -> PipeReader {
        of.try_clone().unwrap()
    }
    fn writer(of: &PipeWriter) -> PipeWriter {
        of.try_clone().unwrap()
    }
}

struct Ours;

impl Pipe for Ours {
    const WHOSE: &'static str = "slipring";
    type R = Reader;
    type W = Writer;
    fn make() -> (Reader, Writer) {
        pipe::pipe().unwrap()
    }
    fn reader(of: &Reader) -> Reader {
        of.clone()
    }
    fn writer(of: &Writer) -> Writer {
        of.clone()
    }
}

/// Longer than this nothing here may take to hear of a death. The goal is 100 ms; a loaded machine gets more.
const BOUND: Duration = Duration::from_secs(5);

fn fill<P: Pipe>(writer: &mut P::W) {
    // 64 KiB in pages: not one byte more goes in.
    writer.write_all(&[7; 64 << 10]).unwrap();
}

// --- P5 ---

fn reader_sleeps<P: Pipe>() {
    let (mut reader, mut writer) = P::make();
    let read = move || {
        let mut to = [0; 10];
        reader.read(&mut to).map(|len| to[..len].to_vec())
    };
    let (read, time) = asleep_until(read, || writer.write_all(b"news").unwrap());
    assert_eq!(read.unwrap(), b"news");
    println!("{}: woken within {time:.1?}", P::WHOSE);
}

#[test]
fn a_reader_sleeps_until_there_are_bytes() {
    let _alone = alone();
    reader_sleeps::<Kernels>();
    reader_sleeps::<Ours>();
}

fn writer_sleeps<P: Pipe>() {
    let (mut reader, mut writer) = P::make();
    fill::<P>(&mut writer);
    let write = move || (writer.write(b"more"), writer);
    let ((wrote, _writer), time) = asleep_until(write, || {
        // A page read in part makes no room.
        assert_eq!(reader.read(&mut [0; 4095]).unwrap(), 4095);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 1);
    });
    assert_eq!(wrote.unwrap(), 4);
    println!("{}: woken within {time:.1?}", P::WHOSE);
}

#[test]
fn a_writer_sleeps_until_there_is_room() {
    let _alone = alone();
    writer_sleeps::<Kernels>();
    writer_sleeps::<Ours>();
}

fn long_write<P: Pipe>() {
    let (mut reader, mut writer) = P::make();
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let sent = bytes.clone();
    let thread = std::thread::spawn(move || writer.write(&sent).unwrap());
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(thread.join().unwrap(), bytes.len(), "a write that waits is whole");
    assert!(all == bytes);
}

#[test]
fn a_write_longer_than_the_pipe_arrives_whole_and_in_order() {
    let _alone = alone();
    long_write::<Kernels>();
    long_write::<Ours>();
}

// --- P4: many writers, many readers, in processes ---

/// A block that says its writer, number and length, and whether it is whole.
fn block(writer: u8, number: u32, len: usize) -> Vec<u8> {
    let mut block = vec![writer; len];
    block[1..3].copy_from_slice(&(len as u16).to_le_bytes());
    block[3..7].copy_from_slice(&number.to_le_bytes());
    for (i, byte) in block.iter_mut().enumerate().skip(7) {
        *byte = (number as usize * 17 + i) as u8;
    }
    block
}

/// Writer and number of the block that `from` begins with, and what is behind it; `None` if more bytes are needed.
fn unblock(from: &[u8]) -> Option<(u8, u32, &[u8])> {
    let len = u16::from_le_bytes(from.get(1..3)?.try_into().unwrap()) as usize;
    assert!((7..=PIPE_BUF).contains(&len), "a block of {len} bytes: something is torn");
    let (whole, rest) = from.split_at_checked(len)?;
    let number = u32::from_le_bytes(whole[3..7].try_into().unwrap());
    assert!(whole == block(whole[0], number, len), "block {number} of writer {} is torn", whole[0]);
    Some((whole[0], number, rest))
}

fn blocks<P: Pipe>(each: u32) {
    let (mut reader, writer) = P::make();
    let mut mine = Some(P::writer(&writer));
    let children: Vec<Child> = (0..3)
        .map(|me| {
            fork(|_| {
                let mut writer = mine.take().unwrap();
                let mut dice = Dice::new(me.into());
                for number in 0..each {
                    let len = 7 + dice.below(PIPE_BUF as u64 - 6) as usize;
                    assert_eq!(writer.write(&block(me, number, len)).unwrap(), len);
                }
            })
        })
        .collect();
    drop((mine, writer));
    let (mut bytes, mut next, mut buffer) = (Vec::new(), [0_u32; 3], vec![0; 10_000]);
    loop {
        let len = reader.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..len]);
        let mut rest = &bytes[..];
        while let Some((writer, number, behind)) = unblock(rest) {
            assert_eq!(number, next[usize::from(writer)], "writer {writer}");
            next[usize::from(writer)] += 1;
            rest = behind;
        }
        bytes = rest.to_vec();
        if len == 0 {
            break;
        }
    }
    assert!(bytes.is_empty());
    assert_eq!(next, [each; 3]);
    children.into_iter().for_each(Child::join);
}

#[test]
fn writes_of_up_to_a_page_are_never_torn_or_mixed() {
    let _alone = alone();
    blocks::<Kernels>(500);
    blocks::<Ours>(3000);
}

fn shared_out<P: Pipe>() {
    const LEN: usize = 3_000_000;
    let (reader, writer) = P::make();
    let counts = Board::new(256);
    let (mut reader, mut writer) = (Some(reader), Some(writer));
    let readers: Vec<Child> = (0..3)
        .map(|_| {
            fork(|_| {
                drop(writer.take());
                let mut reader = reader.take().unwrap();
                let mut buffer = [0; 5000];
                loop {
                    let len = reader.read(&mut buffer).unwrap();
                    buffer[..len].iter().for_each(|&byte| {
                        counts.add(byte.into(), 1);
                    });
                    if len == 0 {
                        return;
                    }
                }
            })
        })
        .collect();
    let writers: Vec<Child> = (0..2)
        .map(|_| {
            fork(|_| {
                drop(reader.take());
                let bytes: Vec<u8> = (0..LEN).map(|i| i as u8).collect();
                let writer = writer.as_mut().unwrap();
                bytes.chunks(7001).for_each(|part| writer.write_all(part).unwrap());
            })
        })
        .collect();
    drop((reader, writer));
    writers.into_iter().for_each(Child::join);
    readers.into_iter().for_each(Child::join);
    let expected = |byte| 2 * (byte..LEN).step_by(256).count() as u64;
    assert!((0..256).all(|byte| counts.get(byte) == expected(byte)), "each byte is read once");
}

#[test]
fn many_readers_take_each_byte_once() {
    let _alone = alone();
    shared_out::<Kernels>();
    shared_out::<Ours>();
}

// --- P6: the last one, in any process ---

fn last_writer<P: Pipe>(dies: bool) -> Duration {
    let (mut reader, writer) = P::make();
    // Used before the fork: the child cannot go on with what belongs to the parent.
    let mut writer = Some(writer);
    writer.as_mut().unwrap().write_all(b"a").unwrap();
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 1);
    let mut mine = Some(P::reader(&reader));
    let (tether, held) = common::tether();
    let mut held = Some(held);
    let mut child = fork(|link| {
        drop((mine.take(), held.take()));
        let mut writer = writer.take().unwrap();
        writer.write_all(b"b").unwrap();
        link.say(1);
        common::wait_for_end(&tether);
        drop(writer);
    });
    child.hear();
    drop((mine, writer));
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 1, "the child writes with what it inherited");
    let (read, time) = asleep_until(
        move || reader.read(&mut [0; 9]),
        || {
            if dies {
                child.shoot();
            }
            drop(held);
        },
    );
    assert_eq!(read.unwrap(), 0, "the end, only when the child's writer is gone");
    time
}

#[test]
fn the_end_comes_with_the_last_writer_in_any_process() {
    let _alone = alone();
    for dies in [false, true] {
        println!("kernel: {:.1?}", last_writer::<Kernels>(dies));
        common::soon(&format!("killed: {dies}"), || last_writer::<Ours>(dies));
    }
}

fn last_reader<P: Pipe>(dies: bool) -> Duration {
    let (reader, mut writer) = P::make();
    fill::<P>(&mut writer);
    let mut reader = Some(reader);
    let mut mine = Some(P::writer(&writer));
    let (tether, held) = common::tether();
    let mut held = Some(held);
    let mut child = fork(|link| {
        drop((mine.take(), held.take()));
        link.say(1);
        common::wait_for_end(&tether);
        drop(reader.take());
    });
    child.hear();
    drop((mine, reader));
    let write = move || (writer.write(b"more"), writer);
    let ((wrote, mut writer), time) = asleep_until(write, || {
        if dies {
            child.shoot();
        }
        drop(held);
    });
    assert_eq!(errno(wrote), libc::EPIPE, "only when the child's reader is gone");
    assert_eq!(errno(writer.write(b"more")), libc::EPIPE, "and from then on");
    time
}

#[test]
fn a_write_is_broken_with_the_last_reader_in_any_process() {
    let _alone = alone();
    for dies in [false, true] {
        println!("kernel: {:.1?}", last_reader::<Kernels>(dies));
        common::soon(&format!("killed: {dies}"), || last_reader::<Ours>(dies));
    }
}

/// A writer that never has to wait hears of it, too.
#[test]
fn a_killed_reader_breaks_writes_that_find_room() {
    let _alone = alone();
    let (reader, mut writer) = pipe::pipe().unwrap();
    let mut reader = Some(reader);
    let child = fork(|_| std::thread::sleep(Duration::from_secs(1000)));
    drop(reader.take());
    writer.write_all(b"the child could read this").unwrap();
    child.kill();
    let start = Instant::now();
    until("the write is broken", || {
        assert!(writer.unread().unwrap() < 50_000, "it never waits");
        match writer.write(b".") {
            Ok(written) => written != 1,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
                true
            }
        }
    });
    println!("after {:.1?}", start.elapsed());
    assert!(start.elapsed() < BOUND);
}

fn interrupted_partial<P: Pipe>() {
    let (reader, writer) = P::make();
    let (mut reader, mut writer) = (Some(reader), Some(writer));
    let mut child = fork(|link| {
        drop(reader.take());
        // More than fits: it waits when the reader goes.
        link.say(writer.take().unwrap().write(&vec![1; 100_000]).unwrap() as u64);
    });
    drop(writer);
    let mut reader = reader.unwrap();
    until("it has filled the pipe", || child.sleeps());
    assert_eq!(reader.read(&mut [0; 4096]).unwrap(), 4096);
    until("it has filled the pipe", || child.sleeps());
    std::thread::sleep(Duration::from_millis(20));
    drop(reader);
    assert_eq!(child.hear(), (64 << 10) + 4096, "what was written when the reader went");
    child.join();
}

#[test]
fn a_long_write_says_how_much_was_written_when_the_reader_left() {
    let _alone = alone();
    interrupted_partial::<Kernels>();
    interrupted_partial::<Ours>();
}

// --- signals and time ---

fn signals<P: Pipe>() {
    let (reader, mut writer) = P::make();
    let (mut reader, mut mine) = (Some(reader), Some(P::writer(&writer)));
    let mut child = fork(|link| {
        drop(mine.take());
        interruptible();
        restartable();
        let mut reader = reader.take().unwrap();
        link.say(0);
        loop {
            match reader.read(&mut [0; 9]) {
                Ok(0) => return,
                Ok(len) => link.say(len as u64),
                Err(error) if error.kind() == ErrorKind::Interrupted => link.say(1000),
                Err(error) => panic!("{error}"),
            }
        }
    });
    drop((reader, mine));
    child.hear();
    let nap = || {
        until("it sleeps", || child.sleeps());
        std::thread::sleep(Duration::from_millis(10));
        until("it sleeps", || child.sleeps());
    };
    for _ in 0..3 {
        nap();
        child.send(Signal::SIGUSR2);
        nap();
        child.send(Signal::SIGSTOP);
        until("it is stopped", || !child.sleeps());
        child.send(Signal::SIGCONT);
    }
    nap();
    writer.write_all(b"ab").unwrap();
    let mut child = child;
    assert_eq!(child.hear(), 2, "a handler with SA_RESTART ends no call, a stop neither");
    assert_eq!(child.interrupted(), 1000, "a handler without does");
    drop(writer);
}

#[test]
fn a_wait_ends_with_eintr_if_and_only_if_the_kernels_would() {
    let _alone = alone();
    signals::<Kernels>();
    signals::<Ours>();
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let _alone = alone();
    let (mut reader, mut writer) = pipe::pipe().unwrap();
    let time = Duration::from_millis(30);
    let start = Instant::now();
    assert_eq!(errno(reader.read_timeout(&mut [0; 9], time)), libc::ETIMEDOUT);
    assert!(start.elapsed() >= time);
    fill::<Ours>(&mut writer);
    assert_eq!(errno(writer.write_timeout(b"more", time)), libc::ETIMEDOUT);
    assert_eq!(
        reader.read_timeout(&mut vec![0; 4096], Duration::ZERO).unwrap(),
        4096,
        "what is there is there"
    );
    assert_eq!(writer.write_timeout(&[1; 9000], time).unwrap(), 4096, "as far as it went");
    // The deadline counts, not O_NONBLOCK.
    reader.set_nonblocking(true).unwrap();
    while reader.read(&mut [0; 9000]).is_ok() {}
    let start = Instant::now();
    assert_eq!(errno(reader.read_timeout(&mut [0; 9], time)), libc::ETIMEDOUT);
    assert!(start.elapsed() >= time);
}

// --- the handle ---

#[test]
fn nonblocking_is_said_of_the_open_end_not_of_the_handle() {
    let _alone = alone();
    let (reader, _writer) = pipe::pipe().unwrap();
    let mut other = reader.clone();
    reader.set_nonblocking(true).unwrap();
    let child = fork(|_| {
        assert_eq!(errno(other.read(&mut [0; 9])), libc::EAGAIN);
        other.set_nonblocking(false).unwrap();
    });
    child.join();
    let (read, _) = asleep_until(move || other.read_timeout(&mut [0], Duration::from_secs(1)), || {});
    assert_eq!(errno(read), libc::ETIMEDOUT);
    reader.set_nonblocking(true).unwrap();
    assert_eq!(errno(reader.clone().read(&mut [0])), libc::EAGAIN);
}

#[test]
fn a_descriptor_that_was_passed_on_is_the_same_end() {
    let _alone = alone();
    let (mut reader, writer) = pipe::pipe().unwrap();
    let passed = writer.as_fd().try_clone_to_owned().unwrap();
    drop(writer);
    reader.set_nonblocking(true).unwrap();
    assert_eq!(errno(reader.read(&mut [0; 9])), libc::EAGAIN, "a descriptor keeps the end open");
    let mut writer = Writer::from_fd(passed).unwrap();
    writer.write_all(b"still").unwrap();
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 5);
    drop(writer);
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    let file = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(errno(Writer::from_fd(file.into()).map(drop)), libc::EINVAL);
}

#[test]
fn descriptors_are_given_back() {
    let _alone = alone();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let used = || {
        let (mut reader, mut writer) = pipe::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        assert_eq!(reader.clone().read(&mut [0; 9]).unwrap(), 1);
        drop((reader.clone(), writer.clone()));
        assert_eq!(errno(reader.read_timeout(&mut [0; 9], Duration::ZERO)), libc::ETIMEDOUT);
    };
    used();
    let before = open();
    (0..10).for_each(|_| used());
    assert_eq!(open(), before);
}

// --- deaths at random moments ---

/// Bytes of a block in the storm. All reads and writes have this length, so no read splits a block.
const STORM: usize = 64;
/// Blocks that one writer writes at most.
const MOST: usize = 4000;
const KILLS: usize = 240;

/// Writers and readers are killed again and again, wherever they are, locks in hand or not.
#[test]
fn kills_at_random_moments_tear_nothing_repeat_nothing_and_hang_nobody() {
    let _alone = alone();
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let (reader, writer) = pipe::pipe().unwrap();
    let (mut reader, mut writer) = (Some(reader), Some(writer));
    // For each writer: how many blocks it has said that it wrote; and for each block, how often it was read.
    let written = Board::new(256);
    let read = Board::new(256 * MOST);
    let mut names = 0..=255;
    let mut start = |writes: bool, reader: &mut Option<Reader>, writer: &mut Option<Writer>| {
        let me = if writes { names.next().unwrap() } else { 0 };
        fork(|_| {
            if writes {
                drop(reader.take());
                let mut writer = writer.take().unwrap();
                for number in 0..MOST {
                    assert_eq!(writer.write(&block(me, number as u32, STORM)).unwrap(), STORM);
                    written.set(me.into(), number as u64 + 1);
                }
                drop(writer);
                std::thread::sleep(Duration::from_secs(1000));
            }
            drop(writer.take());
            let mut reader = reader.take().unwrap();
            let (mut buffer, mut last) = ([0; STORM], [None; 256]);
            while reader.read(&mut buffer).unwrap() > 0 {
                let (writer, number, rest) = unblock(&buffer).expect("a whole block");
                assert!(rest.is_empty());
                let writer = usize::from(writer);
                assert!(last[writer].replace(number) < Some(number), "in the order of the writer");
                assert_eq!(read.add(writer * MOST + number as usize, 1), 1, "once");
            }
        })
    };
    let mut children: Vec<Child> = (0..5).map(|i| start(i < 3, &mut reader, &mut writer)).collect();
    let mut lost_at_most = 0;
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_micros(dice.below(3000)));
        let victim = dice.below(5) as usize;
        let next = start(victim < 3, &mut reader, &mut writer);
        std::mem::replace(&mut children[victim], next).kill();
        lost_at_most += usize::from(victim >= 3);
    }
    let readers = children.split_off(3);
    children.into_iter().for_each(Child::kill);
    drop((reader, writer));
    let start = Instant::now();
    readers.into_iter().for_each(Child::join);
    let (mut all, mut lost) = (0, 0);
    for writer in 0..256 {
        let said = written.get(writer) as usize;
        let came = (0..MOST).filter(|number| read.get(writer * MOST + number) > 0).count();
        (all, lost) = (all + came, lost + said.saturating_sub(came));
        assert!(came <= said + 1, "writer {writer} wrote {said}, {came} came");
    }
    println!(
        "{all} blocks, {lost} lost with {lost_at_most} killed readers; the end after {:.1?}",
        start.elapsed()
    );
    assert!(all > 0 && lost <= lost_at_most);
}
