//! Pipes and FIFOs, the kernel's and slipring's, without waiting: every end is non-blocking.
//!
//! Both sides keep their open ends in a list; an operation names one by its place there. Opening and duplicating add to
//! the list, closing takes out of it, on both sides alike, since they are compared after each operation.

use crate::{Divergence, Lockstep, Outcome, Report, Script, Subject, Value, content};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use slipring::adapters::fifo::{Both, Fifo, Open};
use slipring::adapters::pipe::{self, Options, Reader, Writer};
use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// One operation.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "they are named after what they do")]
pub enum Op {
    Read {
        end: usize,
        len: usize,
    },
    Write {
        end: usize,
        len: usize,
    },
    Duplicate {
        end: usize,
    },
    Close {
        end: usize,
    },
    Unread {
        end: usize,
    },
    Capacity {
        end: usize,
    },
    SetCapacity {
        end: usize,
        bytes: usize,
    },
    /// A FIFO only.
    Open(Kind),
}

/// What an end is open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// O_RDONLY.
    Reader,
    /// O_WRONLY.
    Writer,
    /// O_RDWR.
    Both,
}

impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Read { end, len } => write!(f, "read {len} from end {end}"),
            Op::Write { end, len } => write!(f, "write {len} to end {end}"),
            Op::Duplicate { end } => write!(f, "duplicate end {end}"),
            Op::Close { end } => write!(f, "close end {end}"),
            Op::Unread { end } => write!(f, "bytes unread at end {end}"),
            Op::Capacity { end } => write!(f, "capacity at end {end}"),
            Op::SetCapacity { end, bytes } => write!(f, "set capacity {bytes} at end {end}"),
            Op::Open(kind) => write!(f, "open as {kind:?}"),
        }
    }
}

/// The kernel's.
pub struct Kernel {
    ends: Vec<OwnedFd>,
    writes: usize,
    name: Option<PathBuf>,
}

impl Kernel {
    /// pipe(2): end 0 reads, end 1 writes.
    ///
    /// # Errors
    /// Too many descriptors.
    pub fn pipe() -> io::Result<Kernel> {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        Ok(Kernel { ends: vec![reader, writer], writes: 0, name: None })
    }

    /// mkfifo(3) at this path, which is removed in the end.
    ///
    /// # Errors
    /// The path is taken, or cannot be.
    pub fn fifo(path: PathBuf) -> io::Result<Kernel> {
        rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o600))?;
        Ok(Kernel { ends: Vec::new(), writes: 0, name: Some(path) })
    }

    fn open(&mut self, kind: Kind) -> io::Result<Value> {
        let mode = match kind {
            Kind::Reader => OFlags::RDONLY,
            Kind::Writer => OFlags::WRONLY,
            Kind::Both => OFlags::RDWR,
        };
        let Some(name) = &self.name else { return Err(io::ErrorKind::Unsupported.into()) };
        self.ends.push(rustix::fs::open(name, mode | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
        Ok(Value::Done)
    }

    fn act(&mut self, op: &Op) -> io::Result<Value> {
        Ok(match *op {
            Op::Read { end, len } => {
                let mut to = vec![0; len];
                let len = rustix::io::read(&self.ends[end], &mut to)?;
                to.truncate(len);
                Value::Bytes(to)
            }
            Op::Write { end, len } => {
                let from = content(&mut self.writes, len);
                Value::Number(rustix::io::write(&self.ends[end], &from)?)
            }
            Op::Duplicate { end } => {
                self.ends.push(self.ends[end].try_clone()?);
                Value::Done
            }
            Op::Close { end } => {
                drop(self.ends.remove(end));
                Value::Done
            }
            Op::Unread { end } => Value::Number(rustix::io::ioctl_fionread(&self.ends[end])? as usize),
            Op::Capacity { end } => Value::Number(fcntl_getpipe_size(&self.ends[end])?),
            Op::SetCapacity { end, bytes } => Value::Number(fcntl_setpipe_size(&self.ends[end], bytes)?),
            Op::Open(kind) => return self.open(kind),
        })
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = std::fs::remove_file(name);
        }
    }
}

impl Subject<Op> for Kernel {
    fn apply(&mut self, op: &Op) -> Outcome {
        self.act(op).into()
    }
}

/// Slipring's.
pub struct Adapter {
    ends: Vec<End>,
    writes: usize,
    name: Option<Fifo>,
}

enum End {
    Reader(Reader),
    Writer(Writer),
    Both(Both),
}

/// The same for whichever kind of end it is.
macro_rules! any {
    ($end:expr, $it:ident => $what:expr) => {
        match $end {
            End::Reader($it) => $what,
            End::Writer($it) => $what,
            End::Both($it) => $what,
        }
    };
}

impl Adapter {
    /// A pipe: end 0 reads, end 1 writes.
    ///
    /// # Errors
    /// Too many descriptors, no memory.
    pub fn pipe() -> io::Result<Adapter> {
        let (reader, writer) = pipe::pipe_with(&Options::new().nonblocking(true))?;
        Ok(Adapter { ends: vec![End::Reader(reader), End::Writer(writer)], writes: 0, name: None })
    }

    /// A FIFO of this name, which is removed in the end.
    ///
    /// # Errors
    /// The name is taken, or cannot be.
    pub fn fifo(name: &str) -> io::Result<Adapter> {
        let fifo = Fifo::named(name)?;
        fifo.create(&Options::new(), 0o600)?;
        Ok(Adapter { ends: Vec::new(), writes: 0, name: Some(fifo) })
    }

    fn open(&mut self, kind: Kind) -> io::Result<Value> {
        let Some(name) = &self.name else { return Err(io::ErrorKind::Unsupported.into()) };
        self.ends.push(match kind {
            Kind::Reader => End::Reader(name.open_reader(Open::Nonblocking)?),
            Kind::Writer => End::Writer(name.open_writer(Open::Nonblocking)?),
            Kind::Both => End::Both(name.open_both(Open::Nonblocking)?),
        });
        Ok(Value::Done)
    }

    fn act(&mut self, op: &Op) -> io::Result<Value> {
        Ok(match *op {
            Op::Read { end, len } => {
                let mut to = vec![0; len];
                let len = match &mut self.ends[end] {
                    End::Reader(reader) => reader.read(&mut to),
                    End::Both(both) => both.read(&mut to),
                    End::Writer(_) => Err(io::Error::from_raw_os_error(libc::EBADF)),
                }?;
                to.truncate(len);
                Value::Bytes(to)
            }
            Op::Write { end, len } => {
                let from = content(&mut self.writes, len);
                Value::Number(match &mut self.ends[end] {
                    End::Writer(writer) => writer.write(&from),
                    End::Both(both) => both.write(&from),
                    End::Reader(_) => Err(io::Error::from_raw_os_error(libc::EBADF)),
                }?)
            }
            Op::Duplicate { end } => {
                let copy = match &self.ends[end] {
                    End::Reader(reader) => End::Reader(reader.clone()),
                    End::Writer(writer) => End::Writer(writer.clone()),
                    End::Both(both) => End::Both(both.clone()),
                };
                self.ends.push(copy);
                Value::Done
            }
            Op::Close { end } => {
                drop(self.ends.remove(end));
                Value::Done
            }
            Op::Unread { end } => Value::Number(any!(&self.ends[end], it => it.unread())?),
            Op::Capacity { end } => Value::Number(any!(&self.ends[end], it => it.capacity())),
            Op::SetCapacity { end, bytes } => {
                Value::Number(any!(&mut self.ends[end], it => it.set_capacity(bytes))?)
            }
            Op::Open(kind) => return self.open(kind),
        })
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = name.unlink();
        }
    }
}

impl Subject<Op> for Adapter {
    fn apply(&mut self, op: &Op) -> Outcome {
        self.act(op).into()
    }
}

const R: usize = 0;
const W: usize = 1;

fn read(len: usize) -> Op {
    Op::Read { end: R, len }
}

fn write(len: usize) -> Op {
    Op::Write { end: W, len }
}

/// The rows of pipes that can be shown without waiting.
#[must_use]
pub fn pipe_scripts() -> Vec<Script<Op>> {
    let set = |bytes| Op::SetCapacity { end: R, bytes };
    let close = |end| Op::Close { end };
    let duplicate = |end| Op::Duplicate { end };
    let unread = Op::Unread { end: R };
    let script = |row, shows, ops: Vec<Op>| Script { row, shows, ops };
    vec![
        script(
            "P2",
            "reads split and join writes",
            vec![
                write(3),
                write(4),
                unread,
                read(5),
                read(100),
                read(1),
                write(5000),
                read(4096),
                read(4096),
                write(0),
                read(0),
            ],
        ),
        script("P3", "65536 bytes fit, one by one", [write(1)].repeat(65537)),
        script("P3", "what is full is counted in pages", [write(3000)].repeat(17)),
        script(
            "P3",
            "a page read to its end is free, one that is not is not",
            vec![
                set(8192),
                write(4096),
                write(4000),
                write(97),
                read(4095),
                write(97),
                read(1),
                write(97),
                unread,
            ],
        ),
        script(
            "P3",
            "the capacity is rounded, and has a ceiling",
            vec![
                Op::Capacity { end: W },
                set(0),
                set(1),
                set(4096),
                set(4097),
                set(65536),
                set(65537),
                set(1 << 20),
                set((1 << 20) + 1),
                set(1 << 31),
                Op::Capacity { end: R },
            ],
        ),
        script(
            "P3",
            "no less than is in use",
            vec![
                write(5000),
                set(4096),
                read(1000),
                set(4096),
                read(4000),
                set(4096),
                write(4097),
                write(1),
                set(8192),
                write(1),
            ],
        ),
        script(
            "P4",
            "up to PIPE_BUF all or EAGAIN, more in part",
            vec![
                set(4096),
                write(4096),
                write(1),
                read(4096),
                write(4097),
                write(2),
                read(4096),
                write(4095),
                write(2),
                write(1),
                write(1),
                read(10000),
                set(16384),
                write(10000),
                write(6384),
                write(4096),
                write(10000),
                unread,
                read(20000),
            ],
        ),
        script(
            "P4",
            "the odd part of a long write joins the last page",
            vec![
                set(16384),
                write(100),
                write(4196),
                unread,
                read(1),
                read(199),
                read(5000),
                read(1),
                write(4000),
                write(8000),
                write(20000),
                read(30000),
            ],
        ),
        script(
            "P6",
            "the end comes when the last writer has closed, after the bytes",
            vec![
                read(1),
                write(10),
                duplicate(W),
                close(W),
                read(5),
                read(5),
                read(1),
                close(1),
                read(1),
                read(0),
                unread,
            ],
        ),
        script(
            "P6",
            "what was written can be read when the writers are gone",
            vec![write(70000), close(W), read(30000), read(30000), read(30000), read(30000)],
        ),
        script(
            "P6",
            "without a reader a write is EPIPE, though there is room",
            vec![
                write(10),
                duplicate(R),
                close(R),
                Op::Write { end: 0, len: 1 },
                close(1),
                Op::Write { end: 0, len: 1 },
                Op::Write { end: 0, len: 0 },
                Op::Unread { end: 0 },
            ],
        ),
        script(
            "P9",
            "bytes unread, no empty operation fails",
            vec![
                unread,
                write(0),
                read(0),
                write(9000),
                unread,
                read(4097),
                unread,
                read(9000),
                unread,
                read(0),
            ],
        ),
    ]
}

/// The rows of FIFOs that can be shown without waiting.
#[must_use]
pub fn fifo_scripts() -> Vec<Script<Op>> {
    use Kind::{Both, Reader, Writer};
    let open = Op::Open;
    let close = |end| Op::Close { end };
    let script = |row, shows, ops: Vec<Op>| Script { row, shows, ops };
    vec![
        script(
            "F3",
            "a writer that does not wait needs a reader",
            vec![
                open(Writer),
                open(Reader),
                open(Writer),
                write(5),
                read(9),
                read(1),
                close(W),
                read(1),
                close(R),
                open(Writer),
            ],
        ),
        script(
            "F3",
            "both ends open at once, and never see an end",
            vec![
                open(Both),
                Op::Write { end: 0, len: 5 },
                read(9),
                read(1),
                open(Writer),
                close(1),
                read(1),
                open(Reader),
                close(0),
                read(1),
                open(Writer),
                write(1),
                read(1),
            ],
        ),
        script(
            "F4",
            "a reader sees the end between writers, and goes on with the next",
            vec![
                open(Reader),
                read(1),
                open(Writer),
                read(1),
                write(3),
                close(W),
                read(2),
                read(2),
                read(2),
                open(Writer),
                read(1),
                write(1),
                read(1),
            ],
        ),
        script(
            "F5",
            "no data without a user, and the capacity is the first again",
            vec![
                open(Reader),
                open(Writer),
                write(100),
                Op::SetCapacity { end: R, bytes: 4096 },
                close(R),
                Op::Write { end: 0, len: 1 },
                open(Reader),
                Op::Unread { end: 0 },
                close(0),
                close(0),
                open(Both),
                Op::Unread { end: 0 },
                Op::Capacity { end: 0 },
                read(1),
            ],
        ),
    ]
}

/// Lengths at which something changes, and some between.
fn length(dice: &mut fastrand::Rng) -> usize {
    const EDGES: [usize; 14] = [0, 1, 2, 100, 2048, 4095, 4096, 4097, 5000, 8192, 12287, 16384, 65536, 70000];
    match dice.u8(0..4) {
        0 => dice.usize(0..200),
        1 => dice.usize(0..9000),
        _ => EDGES[dice.usize(0..EDGES.len())],
    }
}

fn capacity(dice: &mut fastrand::Rng) -> usize {
    const EDGES: [usize; 8] = [0, 4096, 4097, 8192, 16384, 65536, 1 << 20, (1 << 20) + 1];
    EDGES[dice.usize(0..EDGES.len())]
}

/// The next operation on ends of these kinds.
fn any_op(dice: &mut fastrand::Rng, kinds: &[Kind], named: bool) -> Op {
    let opened = [Kind::Reader, Kind::Writer, Kind::Both][dice.usize(0..3)];
    if kinds.is_empty() {
        return Op::Open(opened);
    }
    let end = dice.usize(0..kinds.len());
    match dice.u8(0..40) {
        0 if named => Op::Open(opened),
        1 if kinds.len() < 6 && named => Op::Open(opened),
        2 if kinds.len() < 6 => Op::Duplicate { end },
        // A pipe of which all ends are closed is the end of the sequence.
        3 if kinds.len() > 1 || named => Op::Close { end },
        4 => Op::SetCapacity { end, bytes: capacity(dice) },
        5 => Op::Capacity { end },
        6..10 => Op::Unread { end },
        roll => match kinds[end] {
            Kind::Reader => Op::Read { end, len: length(dice) },
            Kind::Writer => Op::Write { end, len: length(dice) },
            Kind::Both if roll % 2 == 0 => Op::Read { end, len: length(dice) },
            Kind::Both => Op::Write { end, len: length(dice) },
        },
    }
}

/// Operations of one random sequence.
const LENGTH: u64 = 60;

fn random(
    mut sides: Lockstep<Kernel, Adapter>,
    mut kinds: Vec<Kind>,
    named: bool,
    seed: u64,
) -> Result<(), Box<Divergence>> {
    let mut dice = fastrand::Rng::with_seed(seed);
    for _ in 0..LENGTH {
        let op = any_op(&mut dice, &kinds, named);
        let done = sides.step(&op)?.0.is_ok();
        match op {
            Op::Open(kind) if done => kinds.push(kind),
            Op::Duplicate { end } if done => kinds.push(kinds[end]),
            Op::Close { end } => drop(kinds.remove(end)),
            _ => {}
        }
    }
    Ok(())
}

/// Names for FIFOs of this run: a path for the kernel's, a name for slipring's.
fn names(number: u64) -> (PathBuf, String) {
    let name = format!("slipring-conform-{}-{number}", std::process::id());
    (std::env::temp_dir().join(&name), format!("/{name}"))
}

/// Compares pipes, or FIFOs if `named`: all scripts, then so many random sequences from `seed` on.
///
/// # Errors
/// A pipe or FIFO could not be made.
pub fn compare(named: bool, seed: u64, sequences: u64) -> io::Result<Report> {
    let mechanism = if named { "fifo" } else { "pipe" };
    let mut report =
        Report { mechanism, rows: Vec::new(), seed, sequences: 0, operations: 0, divergence: None };
    let sides = |number: u64, of: String| match named {
        true => {
            let (path, name) = names(number);
            Ok::<_, io::Error>(Lockstep::new(Kernel::fifo(path)?, Adapter::fifo(&name)?, of))
        }
        false => Ok(Lockstep::new(Kernel::pipe()?, Adapter::pipe()?, of)),
    };
    for script in if named { fifo_scripts() } else { pipe_scripts() } {
        let mut sides = sides(0, format!("{}, {}", script.row, script.shows))?;
        if let Some(divergence) = script.ops.iter().find_map(|op| sides.step(op).err()) {
            report.divergence = Some(divergence);
            return Ok(report);
        }
        report.rows.push((script.row, script.shows));
    }
    let kinds = if named { vec![] } else { vec![Kind::Reader, Kind::Writer] };
    for number in 0..sequences {
        let seed = seed.wrapping_add(number);
        let sides = sides(number, format!("random sequence of seed {seed}"))?;
        if let Err(divergence) = random(sides, kinds.clone(), named, seed) {
            report.divergence = Some(divergence);
            return Ok(report);
        }
        report.sequences += 1;
        report.operations += LENGTH;
    }
    Ok(report)
}
