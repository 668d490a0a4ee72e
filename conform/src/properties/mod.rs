//! What the mechanisms are like, as a table: each cell is what came of a probe that ran just now, on the kernel's object or on
//! slipring's. [`measure`] runs the probes, [`expected`] says what each must find.
//!
//! A mechanism that moves bytes is a `Line`, and most probes are the same for all of these; what only some have (a death, an
//! opening, an order other than that of sending) is theirs. Semaphores and bare memory move nothing and have probes of their own.
#![forbid(unsafe_code)]

mod adapters;
mod expected;
mod kernel;
mod memory;
mod permits;
mod rings;

use crate::process::{self, Child};
use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use expected::setting;
pub use expected::{Expected, expected};

/// What is asked of each mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    /// Can something be sent without anything having been opened?
    Connectionless,
    /// Does everything that was taken come, in order?
    Reliable,
    /// Is a sender that is too fast held back, with nothing lost?
    FlowControl,
    /// Is what was sent at once received at once?
    Records,
    /// Can something come before what was sent before it?
    Order,
    /// Does poll(2) tell that there is something?
    Poll,
    /// Does opening it wait for somebody at the other end?
    OpenWaits,
    /// What does the other side see of a process that was killed?
    Death,
    /// Bytes of the longest message, if nobody has said otherwise.
    Longest,
    /// How many messages of 64 bytes it takes, if nobody has said otherwise.
    Holds,
}

impl Column {
    /// All of them, as they stand in the table.
    pub const ALL: [Column; 10] = [
        Column::Connectionless,
        Column::Reliable,
        Column::FlowControl,
        Column::Records,
        Column::Order,
        Column::Poll,
        Column::OpenWaits,
        Column::Death,
        Column::Longest,
        Column::Holds,
    ];

    /// The heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Column::Connectionless => "connectionless",
            Column::Reliable => "reliable",
            Column::FlowControl => "flow control",
            Column::Records => "records",
            Column::Order => "types, priorities",
            Column::Poll => "poll",
            Column::OpenWaits => "open waits",
            Column::Death => "a peer is killed",
            Column::Longest => "longest",
            Column::Holds => "holds",
        }
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// In a word; `?` if the probe could not be carried out.
    pub value: String,
    /// What was done, and what came of it.
    pub seen: String,
}

fn found(value: impl Into<String>, seen: impl Into<String>) -> io::Result<Found> {
    Ok(Found { value: value.into(), seen: seen.into() })
}

/// One cell of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// What was asked.
    pub column: Column,
    /// The answer.
    #[serde(flatten)]
    pub found: Found,
}

/// What one mechanism is like.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `pipe`, `unix-stream`.
    pub mechanism: &'static str,
    /// `kernel` or `slipring`.
    pub of: &'static str,
    /// A cell for each column, in their order.
    pub cells: Vec<Cell>,
}

type Probe = fn(Column) -> io::Result<Found>;

/// Every mechanism, each of slipring's behind the kernel's.
const ROWS: [(&str, &str, Probe); 21] = [
    ("pipe", KERNEL, of_line::<kernel::Pipe>),
    ("pipe", SLIPRING, of_line::<adapters::Pipe>),
    ("fifo", KERNEL, of_line::<kernel::Fifo>),
    ("fifo", SLIPRING, of_line::<adapters::Fifo>),
    ("sysv-mq", KERNEL, of_line::<kernel::SysvMq>),
    ("sysv-mq", SLIPRING, of_line::<adapters::SysvMq>),
    ("posix-mq", KERNEL, of_line::<kernel::PosixMq>),
    ("posix-mq", SLIPRING, of_line::<adapters::PosixMq>),
    ("sem", KERNEL, permits::of_permits::<crate::kernel::Semaphore>),
    ("sem", SLIPRING, permits::of_permits::<slipring::adapters::sem::Semaphore>),
    ("semset", KERNEL, permits::of_permits::<permits::KernelSet>),
    ("semset", SLIPRING, permits::of_permits::<permits::AdapterSet>),
    ("shm", KERNEL, memory::probe),
    ("unix-stream", KERNEL, of_line::<kernel::Stream>),
    ("unix-stream", SLIPRING, of_line::<adapters::Stream>),
    ("unix-dgram", KERNEL, of_line::<kernel::Datagram>),
    ("unix-dgram", SLIPRING, of_line::<adapters::Datagram>),
    ("unix-seqpacket", KERNEL, of_line::<kernel::Seqpacket>),
    ("unix-seqpacket", SLIPRING, of_line::<adapters::Seqpacket>),
    ("ring-spsc", SLIPRING, of_line::<rings::Spsc>),
    ("ring-mpmc", SLIPRING, of_line::<rings::Mpmc>),
];

const KERNEL: &str = "kernel";
const SLIPRING: &str = "slipring";

/// Runs every probe of the mechanisms that are `wanted`. Forks; what is not there is a `?`.
pub fn measure(wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    let rows = ROWS.iter().filter(|(mechanism, ..)| wanted(mechanism));
    let cell = |probe: Probe, column| {
        let failed = |error: io::Error| Found { value: "?".into(), seen: format!("not measured: {error}") };
        Cell { column, found: probe(column).unwrap_or_else(failed) }
    };
    rows.map(|&(mechanism, of, probe)| {
        let cells = Column::ALL.iter().map(|&column| cell(probe, column)).collect();
        Row { mechanism, of, cells }
    })
    .collect()
}

/// Both ends of something that moves bytes, in this process; no call waits.
trait Line: Sized {
    /// A new one that is empty.
    fn new() -> io::Result<Self>;
    /// What is sent at once; how many bytes of it were taken.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// What is received at once, with so much room.
    fn receive(&mut self, room: usize) -> io::Result<Vec<u8>>;
    /// Of the receiving end.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
    fn connectionless() -> io::Result<Found>;
    fn open_waits() -> io::Result<Found>;
    fn death() -> io::Result<Found>;

    fn order() -> io::Result<Found> {
        let mut line = Self::new()?;
        let sent: [&[u8]; 2] = [b"first", b"second"];
        for message in sent {
            line.send(message)?;
        }
        let mut came = line.receive(64)?;
        while let Ok(more) = line.receive(64) {
            came.extend(more);
        }
        match came == b"firstsecond" {
            true => {
                found("no", "what was sent first came first, and sending takes neither type nor priority")
            }
            false => found("yes", "what was sent first did not come first"),
        }
    }

    fn drops_the_oldest() -> io::Result<bool> {
        Ok(false)
    }
}

fn of_line<L: Line>(column: Column) -> io::Result<Found> {
    match column {
        Column::Connectionless => L::connectionless(),
        Column::Reliable => reliable::<L>(),
        Column::FlowControl => flow_control::<L>(),
        Column::Records => records::<L>(),
        Column::Order => L::order(),
        Column::Poll => polled::<L>(),
        Column::OpenWaits => L::open_waits(),
        Column::Death => L::death(),
        Column::Longest => longest::<L>(),
        Column::Holds => {
            let (taken, refusal) = fill(&mut L::new()?, &[0; 64])?;
            found(taken.to_string(), format!("{taken} messages of 64 bytes were taken, then {refusal}"))
        }
    }
}

/// No mechanism takes more than this when nobody receives.
const MOST: usize = 1 << 20;

/// Sends until it is refused: how many whole messages were taken, and the refusal.
fn fill<L: Line>(line: &mut L, message: &[u8]) -> io::Result<(usize, String)> {
    for taken in 0..MOST {
        match line.send(message) {
            Ok(len) if len == message.len() => {}
            Ok(len) => return Err(io::Error::other(format!("{len} of {} bytes taken", message.len()))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((taken, name(&error))),
            Err(error) => return Err(error),
        }
    }
    Ok((MOST, "no end of it".into()))
}

/// Everything that there is to receive.
fn drain<L: Line>(line: &mut L) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        match line.receive(1 << 16) {
            Ok(bytes) => all.extend(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(all),
            // What a System V queue says when it is empty.
            Err(error) if error.raw_os_error() == Some(libc::ENOMSG) => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}

fn reliable<L: Line>() -> io::Result<Found> {
    let mut line = L::new()?;
    let mut sent = Vec::new();
    for number in 0_u64.. {
        match line.send(&number.to_ne_bytes()) {
            Ok(len) => sent.extend_from_slice(&number.to_ne_bytes()[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    let (came, numbers) = (drain(&mut line)?, sent.len() / 8);
    match came == sent {
        true => found("yes", format!("{numbers} numbers were taken, all came, in order")),
        false => found("no", format!("{numbers} numbers were taken, {} came", came.len() / 8)),
    }
}

fn flow_control<L: Line>() -> io::Result<Found> {
    let mut line = L::new()?;
    let (taken, refusal) = fill(&mut line, &[7; 64])?;
    if taken == MOST {
        return found("no", format!("{taken} messages were taken and nobody received"));
    }
    let came = drain(&mut line)?.len() / 64;
    let (again, _) = fill(&mut line, &[7; 64])?;
    let seen =
        format!("{refusal} after {taken} messages of 64 bytes; {came} came, then {again} more went in");
    match (came == taken && again > 0, L::drops_the_oldest()?) {
        (true, true) => found("yes, or drop-oldest", format!("{seen}; force_send dropped the oldest")),
        (true, false) => found("yes", seen),
        (false, _) => found("no", seen),
    }
}

fn records<L: Line>() -> io::Result<Found> {
    let mut line = L::new()?;
    line.send(b"ab")?;
    line.send(b"cde")?;
    let first = line.receive(64)?.len();
    let seen = format!("sent 2 bytes, then 3; received {first} at once");
    found(if first == 2 { "yes" } else { "no" }, seen)
}

/// Whether poll(2) says at once that there is something.
fn readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents().contains(PollFlags::IN))
}

fn polled<L: Line>() -> io::Result<Found> {
    let mut line = L::new()?;
    let Some(before) = line.descriptor().map(readable).transpose()? else {
        return found("no", "there is no descriptor to poll");
    };
    line.send(b"x")?;
    let after = line.descriptor().map(readable).transpose()?.unwrap_or(before);
    let word = |yes| if yes { "POLLIN" } else { "nothing" };
    let seen = format!("poll said {} before something was sent, {} after", word(before), word(after));
    found(if !before && after { "yes" } else { "no" }, seen)
}

/// Whether a message of this length comes as it was sent.
fn comes_whole<L: Line>(len: usize) -> bool {
    let message: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
    let there = L::new().and_then(|mut line| {
        let taken = line.send(&message)?;
        Ok(taken == len && line.receive(len + 1)? == message)
    });
    there.unwrap_or(false)
}

fn longest<L: Line>() -> io::Result<Found> {
    if records::<L>()?.value == "no" {
        let len = 1 << 20;
        let mut line = L::new()?;
        let taken = line.send(&vec![0; len])?;
        return found(
            "any",
            format!("no messages; of {len} bytes {taken} were taken at once, the rest can follow"),
        );
    }
    let (mut most, mut refused) = (1, 2);
    while refused < 1 << 26 && comes_whole::<L>(refused) {
        (most, refused) = (refused, refused * 2);
    }
    while refused - most > 1 {
        let middle = most + (refused - most) / 2;
        if comes_whole::<L>(middle) {
            most = middle;
        } else {
            refused = middle;
        }
    }
    let refusal = match L::new()?.send(&vec![0; refused]) {
        Ok(len) => format!("{len} bytes of it were taken"),
        Err(error) => name(&error),
    };
    found(most.to_string(), format!("{most} bytes came whole; one byte more: {refusal}"))
}

/// The errno's name.
fn name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => format!("{:?}", Errno::from_raw(errno)),
        None => error.to_string(),
    }
}

/// What became of a call.
fn outcome<T>(result: &io::Result<T>) -> String {
    match result {
        Ok(_) => "it was done".into(),
        Err(error) => name(error),
    }
}

/// Both deaths of something with two ends: of who holds the last writing end, and of who holds the last reading end.
fn death_of_an_end<R, W>(
    make: impl Fn() -> io::Result<(R, W)>,
    read: impl Fn(&mut R) -> io::Result<usize>,
    write: impl Fn(&mut W) -> io::Result<usize>,
) -> io::Result<Found> {
    // A forked child has both ends.
    let (mut reader, writer) = make()?;
    let holder = Child::holding(|| Ok(()))?;
    drop(writer);
    let alive = outcome(&read(&mut reader));
    holder.kill();
    let end = process::until(|| match read(&mut reader) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Ok(0) => Ok(Some("EOF".to_owned())),
        Ok(_) => Ok(Some("bytes that nobody wrote".to_owned())),
        Err(error) => Ok(Some(name(&error))),
    })?;
    let broken = death_of_a_receiver(make, write)?;
    let seen = format!(
        "read: {alive} while another process has the writing end, {end} when it was killed; write: {broken} when the \
         reader was"
    );
    found(format!("{end}, {broken}"), seen)
}

/// What a sender is told when the last process that could receive was killed.
fn death_of_a_receiver<R, W>(
    make: impl Fn() -> io::Result<(R, W)>,
    write: impl Fn(&mut W) -> io::Result<usize>,
) -> io::Result<String> {
    // With two of them: what is written here and never read would be ECONNRESET at some sockets.
    let (reader, mut writer) = make()?;
    let holder = Child::holding(|| Ok(()))?;
    drop(reader);
    write(&mut writer)?;
    drop(holder);
    let (reader, mut writer) = make()?;
    let holder = Child::holding(|| Ok(()))?;
    drop(reader);
    holder.kill();
    process::until(|| match write(&mut writer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Ok(_) => Ok(None),
        Err(error) => Ok(Some(name(&error))),
    })
}

/// A message of a sender that was killed.
fn death_of_a_sender<L: Line>() -> io::Result<Found> {
    let mut line = L::new()?;
    let sender = Child::holding(|| line.send(b"left behind").map(drop))?;
    sender.kill();
    match line.receive(8192) {
        Ok(message) if message == b"left behind" => {
            found("queue stays", "its sender was killed; the message was received after that")
        }
        other => found(outcome(&other), "its sender was killed"),
    }
}

/// Whether opening waits, done in another process while nobody is at the other end.
fn opening(what: &str, open: impl FnOnce() -> io::Result<()>) -> io::Result<Found> {
    let mut child = Child::doing(open)?;
    match child.waits()? {
        true => found("yes", format!("{what} slept; nobody was at the other end")),
        false => found("no", format!("{what} returned at once; nobody was at the other end")),
    }
}

/// A name that nobody else has.
fn fresh() -> String {
    static COUNT: OnceLock<std::sync::Mutex<u32>> = OnceLock::new();
    let mut count = COUNT.get_or_init(Default::default).lock().unwrap_or_else(|gone| gone.into_inner());
    *count += 1;
    format!("slipring-conform-{}-{count}", std::process::id())
}

/// What a System V queue gives that has two messages of type 10, then one of 5: to any, to the lowest up to 10, to exactly 10.
fn types([any, lowest, exact]: [&[u8]; 3]) -> io::Result<Found> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let seen = format!(
        "sent ten, ten, five: type 0 gave {}, then type -10 {}, then type 10 {}",
        text(any),
        text(lowest),
        text(exact)
    );
    let as_told = (any, lowest, exact) == (b"ten", b"five", b"ten");
    found(if as_told { "types" } else { "no" }, seen)
}

/// What a POSIX queue gave first of `low` and `high`, and what it said to a priority of 32768.
fn priorities(first: &[u8], beyond: &io::Result<()>) -> io::Result<Found> {
    let seen = format!(
        "sent low with 0, high with 32767: {} came first; 32768: {}",
        String::from_utf8_lossy(first),
        outcome(beyond)
    );
    let as_told = first == b"high" && beyond.is_err();
    found(if as_told { "priorities" } else { "no" }, seen)
}
