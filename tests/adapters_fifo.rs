//! FIFOs between processes: opening waits for the other end, the name stays, the bytes do not. Each test plays the same on
//! a FIFO of the kernel's and on one of slipring's, where the kernel has it. What can be compared without waiting is in
//! `conform/`.

mod common;

use common::{Child, Unique, alone, asleep_then, errno, fork, interruptible, scratch, unique, until};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use slipring::adapters::fifo::{Fifo, Open};
use slipring::adapters::pipe::{Options, Reader, Writer};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// A kind of FIFO.
trait Name: Send + Sync + Sized + 'static {
    type R: Read + Send + 'static;
    type W: Write + Send + 'static;
    fn make() -> Self;
    fn reader(&self) -> io::Result<Self::R>;
    fn writer(&self) -> io::Result<Self::W>;
}

struct Kernels(common::Scratch);

impl Name for Kernels {
    type R = File;
    type W = File;
    fn make() -> Self {
        let place = scratch();
        nix::unistd::mkfifo(&place.0.join("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        Kernels(place)
    }
    fn reader(&self) -> io::Result<File> {
        open(self, OFlag::O_RDONLY)
    }
    fn writer(&self) -> io::Result<File> {
        open(self, OFlag::O_WRONLY)
    }
}

/// open(2) alone: the standard library's repeats it after EINTR.
fn open(name: &Kernels, how: OFlag) -> io::Result<File> {
    Ok(nix::fcntl::open(&name.0.0.join("fifo"), how | OFlag::O_CLOEXEC, Mode::empty())?.into())
}

struct Ours(Unique, Fifo);

impl Name for Ours {
    type R = Reader;
    type W = Writer;
    fn make() -> Self {
        let name = unique();
        let fifo = Fifo::named(&name.0).unwrap();
        fifo.create(&Options::new(), 0o600).unwrap();
        Ours(name, fifo)
    }
    fn reader(&self) -> io::Result<Reader> {
        self.1.open_reader(Open::Wait)
    }
    fn writer(&self) -> io::Result<Writer> {
        self.1.open_writer(Open::Wait)
    }
}

fn meets<N: Name>() {
    let name = std::sync::Arc::new(N::make());
    let there = name.clone();
    let (reader, writer, _) = asleep_then(move || there.reader(), || name.writer());
    let (mut reader, mut writer) = (reader.unwrap(), writer.unwrap());
    writer.write_all(b"hello").unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    drop(reader);
    // The other way round; and both are gone before the one that waited looks.
    let there = name.clone();
    let (writer, (), _) = asleep_then(move || there.writer(), || drop(name.reader().unwrap()));
    assert_eq!(errno(writer.unwrap().write(b"x")), libc::EPIPE);
}

#[test]
fn opening_one_end_waits_for_the_other() {
    let _alone = alone();
    meets::<Kernels>();
    meets::<Ours>();
}

fn killed<N: Name>() {
    let name = N::make();
    for _ in 0..3 {
        let mut child = fork(|link| {
            let mut writer = name.writer().unwrap();
            writer.write_all(b"left behind").unwrap();
            link.say(1);
            std::thread::sleep(Duration::from_secs(1000));
        });
        // Without reading: what is left goes with the last user.
        let reader = name.reader().unwrap();
        child.hear();
        child.kill();
        drop(reader);
        let waiting = fork(|_| drop(name.writer()));
        until("a new writer waits", || waiting.sleeps());
        std::thread::sleep(Duration::from_millis(10));
        until("it still waits, for nobody is left", || waiting.sleeps());
        let mut reader = name.reader().unwrap();
        assert_eq!(reader.read(&mut [0; 99]).unwrap(), 0, "no byte is left, and the writer left at once");
        waiting.join();
    }
}

#[test]
fn a_killed_user_leaves_the_name_and_neither_bytes_nor_an_open_end() {
    let _alone = alone();
    killed::<Kernels>();
    killed::<Ours>();
}

fn interrupted<N: Name>() {
    let name = N::make();
    let mut child: Child = fork(|link| {
        interruptible();
        link.say(0);
        assert_eq!(errno(name.reader()), libc::EINTR);
    });
    child.hear();
    let interrupter = child.interrupter();
    let interrupting = common::meanwhile(move || {
        std::thread::sleep(Duration::from_millis(20));
        interrupter();
    });
    child.join();
    drop(interrupting);
    let waiting = fork(|_| drop(name.writer()));
    until("a writer waits for another reader", || waiting.sleeps());
    drop(name.reader().unwrap());
    waiting.join();
}

#[test]
fn a_signal_ends_the_wait_for_the_other_end() {
    let _alone = alone();
    interrupted::<Kernels>();
    interrupted::<Ours>();
}

#[test]
fn opening_can_give_up() {
    let _alone = alone();
    let name = Ours::make();
    let start = Instant::now();
    let soon = Open::Until(start + Duration::from_millis(30));
    assert_eq!(errno(name.1.open_reader(soon)), libc::ETIMEDOUT);
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(errno(name.1.open_writer(Open::Nonblocking)), libc::ENXIO, "whoever gave up is no reader");
}

#[test]
fn whoever_has_an_unlinked_fifo_open_goes_on_and_the_name_is_another_from_then_on() {
    let _alone = alone();
    let name = Ours::make();
    let mut old = name.1.open_both(Open::Wait).unwrap();
    old.write_all(b"old").unwrap();
    name.1.unlink().unwrap();
    assert_eq!(errno(name.1.unlink()), libc::ENOENT);
    assert_eq!(errno(name.1.open_reader(Open::Wait)), libc::ENOENT);
    name.1.create(&Options::new().capacity(4096), 0o640).unwrap();
    assert_eq!(name.0.path().metadata().unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(errno(name.1.create(&Options::new(), 0o600)), libc::EEXIST);
    let mut new = name.1.open_both(Open::Nonblocking).unwrap();
    assert_eq!((new.capacity(), old.capacity()), (4096, 65536));
    assert_eq!(errno(new.read(&mut [0; 9])), libc::EAGAIN);
    assert_eq!(old.read(&mut [0; 9]).unwrap(), 3);
}

#[test]
fn what_is_no_fifo_is_refused() {
    let _alone = alone();
    let place = scratch();
    let at = |name: &str| Fifo::file(place.0.join(name)).unwrap();
    assert_eq!(errno(at("none").open_reader(Open::Wait)), libc::ENOENT);
    assert_eq!(errno(at("no/where").create(&Options::new(), 0o600)), libc::ENOENT);
    assert_eq!(errno(at("open").create(&Options::new(), 0o666)), libc::EINVAL);
    std::fs::write(place.0.join("file"), "text").unwrap();
    assert_eq!(errno(at("file").create(&Options::new(), 0o600)), libc::EEXIST);
    assert_eq!(errno(at("file").open_reader(Open::Nonblocking)), libc::EINVAL);
    assert_eq!(errno(at("file").unlink()), libc::EINVAL, "a stranger's file stays");
    std::fs::create_dir(place.0.join("dir")).unwrap();
    assert_eq!(errno(at("dir").create(&Options::new(), 0o600)), libc::EEXIST);
    std::os::unix::fs::symlink("file", place.0.join("link")).unwrap();
    assert_eq!(errno(at("link").open_writer(Open::Wait)), libc::ELOOP);
    let ring = slipring::Ring::create_file(place.0.join("ring"), &slipring::Options::new()).unwrap();
    assert_eq!(errno(at("ring").open_both(Open::Wait)), libc::EINVAL);
    drop(ring);
    at("fifo").create(&Options::new(), 0o600).unwrap();
    let fifo = slipring::Ring::open_file(place.0.join("fifo"));
    assert!(
        matches!(fifo, Err(slipring::Error::WrongKind { found: 3, .. })),
        "a FIFO is no ring of messages"
    );
}
