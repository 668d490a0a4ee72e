//! POSIX message queues, the kernel's and slipring's, without waiting: a handle does not block, or its calls have a
//! deadline that is past. The kernel's limits (10 messages of 8192 bytes) bound what is asked of both.
#![forbid(unsafe_code)]

use crate::sys::{self, Mq};
use crate::{Divergence, Lockstep, Outcome, Report, Script, Subject, Value, content};
use slipring::adapters::posix_mq::{self, Access, Attributes, Notify, Options, Queue, Until};
use std::fmt::{self, Display};
use std::io;

/// One operation; `q` is an open queue's place in the list of both sides.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "they are named after what they do")]
pub enum Op {
    Open {
        access: i32,
        create: bool,
        exclusive: bool,
        nonblocking: bool,
        shape: (i64, i64),
    },
    OpenName(&'static str),
    Unlink,
    UnlinkName(&'static str),
    Close {
        q: usize,
    },
    Send {
        q: usize,
        len: usize,
        priority: u32,
        until: Option<(i64, i64)>,
    },
    Receive {
        q: usize,
        room: usize,
        until: Option<(i64, i64)>,
    },
    Attributes {
        q: usize,
    },
    SetNonblocking {
        q: usize,
        yes: bool,
    },
    /// A signal number, 0 for SIGEV_NONE; `None` takes the request back.
    Notify {
        q: usize,
        how: Option<i32>,
    },
}

impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The kernel's.
pub struct Kernel {
    open: Vec<Mq>,
    name: String,
    sent: usize,
}

impl Kernel {
    fn act(&mut self, op: &Op) -> io::Result<Value> {
        Ok(match *op {
            Op::Open { access, create, exclusive, nonblocking, shape } => {
                let flags = access
                    | if create { libc::O_CREAT } else { 0 }
                    | if exclusive { libc::O_EXCL } else { 0 }
                    | if nonblocking { libc::O_NONBLOCK } else { 0 };
                self.open.push(sys::mq_open(&self.name, flags, 0o600, [0, shape.0, shape.1, 0])?);
                Value::Done
            }
            Op::OpenName(name) => {
                drop(sys::mq_open(name, libc::O_RDONLY, 0, [0; 4])?);
                Value::Done
            }
            Op::Unlink => return sys::mq_unlink(&self.name).map(|()| Value::Done),
            Op::UnlinkName(name) => return sys::mq_unlink(name).map(|()| Value::Done),
            Op::Close { q } => {
                drop(self.open.remove(q));
                Value::Done
            }
            Op::Send { q, len, priority, until } => {
                let message = content(&mut self.sent, len);
                self.open[q].send(&message, priority, until)?;
                Value::Done
            }
            Op::Receive { q, room, until } => {
                let mut to = vec![0; room];
                let (len, priority) = self.open[q].receive(&mut to, until)?;
                Value::Message(to[..len].to_vec(), priority.into())
            }
            Op::Attributes { q } => Value::Numbers(self.open[q].attributes()?.to_vec()),
            Op::SetNonblocking { q, yes } => {
                let flags = if yes { libc::O_NONBLOCK.into() } else { 0 };
                Value::Numbers(self.open[q].set_flags(flags)?.to_vec())
            }
            Op::Notify { q, how } => {
                self.open[q].notify(how.map(|signal| (signal, 0)))?;
                Value::Done
            }
        })
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = sys::mq_unlink(&self.name);
    }
}

impl Subject<Op> for Kernel {
    fn apply(&mut self, op: &Op) -> Outcome {
        self.act(op).into()
    }
}

/// Slipring's.
pub struct Adapter {
    open: Vec<Queue>,
    name: String,
    sent: usize,
}

fn numbers(of: Attributes) -> Value {
    let flags = if of.nonblocking { libc::O_NONBLOCK.into() } else { 0 };
    Value::Numbers(vec![flags, of.max_messages as i64, of.message_size as i64, of.messages as i64])
}

impl Adapter {
    fn act(&mut self, op: &Op) -> io::Result<Value> {
        let until = |(seconds, nanoseconds)| Until { seconds, nanoseconds };
        Ok(match *op {
            Op::Open { access, create, exclusive, nonblocking, shape } => {
                let access = [Access::Read, Access::Write, Access::Both][access as usize];
                let mut open = posix_mq::Open::existing(access).exclusive(exclusive).nonblocking(nonblocking);
                if create {
                    let size = |number: i64| usize::try_from(number).unwrap_or(0);
                    let options =
                        Options::new().max_messages(size(shape.0)).message_size(size(shape.1)).handles(15);
                    open = open.create(&options);
                }
                self.open.push(open.open(&self.name)?);
                Value::Done
            }
            Op::OpenName(name) => {
                drop(posix_mq::Open::existing(Access::Read).open(name)?);
                Value::Done
            }
            Op::Unlink => return posix_mq::unlink(&self.name).map(|()| Value::Done),
            Op::UnlinkName(name) => return posix_mq::unlink(name).map(|()| Value::Done),
            Op::Close { q } => {
                drop(self.open.remove(q));
                Value::Done
            }
            Op::Send { q, len, priority, until: when } => {
                let message = content(&mut self.sent, len);
                match when {
                    None => self.open[q].send(&message, priority)?,
                    Some(when) => self.open[q].send_until(&message, priority, until(when))?,
                }
                Value::Done
            }
            Op::Receive { q, room, until: when } => {
                let mut to = vec![0; room];
                let (len, priority) = match when {
                    None => self.open[q].receive(&mut to)?,
                    Some(when) => self.open[q].receive_until(&mut to, until(when))?,
                };
                Value::Message(to[..len].to_vec(), priority.into())
            }
            Op::Attributes { q } => numbers(self.open[q].attributes()?),
            Op::SetNonblocking { q, yes } => numbers(self.open[q].set_nonblocking(yes)?),
            Op::Notify { q, how } => {
                self.open[q].notify(how.map(|signal| match signal {
                    0 => Notify::Nothing,
                    signal => Notify::Signal { signal, value: 0 },
                }))?;
                Value::Done
            }
        })
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        let _ = posix_mq::unlink(&self.name);
    }
}

impl Subject<Op> for Adapter {
    fn apply(&mut self, op: &Op) -> Outcome {
        self.act(op).into()
    }
}

const PAST: Option<(i64, i64)> = Some((1, 0));

fn open(access: i32, create: bool, nonblocking: bool) -> Op {
    Op::Open { access, create, exclusive: false, nonblocking, shape: (3, 100) }
}

/// The rows that can be shown without waiting.
#[must_use]
pub fn scripts() -> Vec<Script<Op>> {
    use libc::{O_RDONLY, O_RDWR, O_WRONLY};
    let script = |row, shows, ops: Vec<Op>| Script { row, shows, ops };
    let send = |q, len, priority| Op::Send { q, len, priority, until: None };
    let receive = |q| Op::Receive { q, room: 100, until: None };
    let both = open(O_RDWR, true, true);
    let shaped = |max, size| Op::Open {
        access: O_RDWR,
        create: true,
        exclusive: false,
        nonblocking: true,
        shape: (max, size),
    };
    let exclusive =
        |access| Op::Open { access, create: true, exclusive: true, nonblocking: true, shape: (3, 100) };
    let attributes = |q| Op::Attributes { q };
    vec![
        script(
            "M1",
            "names, creation, and what is there already",
            vec![
                open(O_RDONLY, false, true),
                exclusive(O_RDONLY),
                exclusive(O_RDWR),
                open(O_WRONLY, true, true),
                shaped(0, 0),
                attributes(1),
                Op::OpenName("no-slash"),
                Op::OpenName(""),
                Op::OpenName("/"),
                Op::OpenName("/."),
                Op::OpenName("/.."),
                Op::OpenName("/two/parts"),
                Op::OpenName("//double"),
                Op::OpenName("/slipring-conform-that-is-not-there"),
                Op::UnlinkName("no-slash"),
                Op::UnlinkName("/two/parts"),
                Op::UnlinkName("/"),
                Op::UnlinkName("/slipring-conform-that-is-not-there"),
            ],
        ),
        script(
            "M1",
            "shapes that cannot be",
            vec![shaped(0, 8), shaped(8, 0), shaped(-1, 8), shaped(8, -1), shaped(1, 1), attributes(0)],
        ),
        script(
            "M1",
            "an unlinked queue goes on, and the name is another's",
            vec![
                both,
                send(0, 5, 1),
                Op::Unlink,
                Op::Unlink,
                open(O_RDWR, false, true),
                both,
                send(1, 9, 2),
                receive(0),
                receive(0),
                receive(1),
                Op::Close { q: 0 },
                attributes(0),
            ],
        ),
        script(
            "M1",
            "only whether calls wait can be changed, and what it was is told",
            vec![
                both,
                open(O_RDONLY, false, false),
                attributes(0),
                attributes(1),
                Op::SetNonblocking { q: 1, yes: true },
                attributes(0),
                attributes(1),
                receive(1),
                Op::SetNonblocking { q: 0, yes: false },
                send(0, 3, 3),
                attributes(0),
                Op::Receive { q: 0, room: 100, until: PAST },
                Op::Receive { q: 0, room: 100, until: PAST },
            ],
        ),
        script(
            "M1",
            "what it is not open for is EBADF, after the priority and before the length",
            vec![
                open(O_RDONLY, true, true),
                open(O_WRONLY, false, true),
                send(0, 1, 0),
                send(0, 101, 0),
                send(0, 1, 40000),
                receive(1),
                Op::Receive { q: 1, room: 1, until: None },
                send(1, 1, 0),
                receive(0),
            ],
        ),
        script(
            "M2",
            "the highest priority first, the oldest of it first",
            vec![
                both,
                send(0, 1, 0),
                send(0, 2, 32767),
                send(0, 3, 32768),
                send(0, 4, 0),
                receive(0),
                send(0, 5, 7),
                receive(0),
                receive(0),
                receive(0),
                receive(0),
            ],
        ),
        script(
            "M3",
            "one may ask to be told, once, and takes back what it asked",
            vec![
                both,
                both,
                Op::Notify { q: 0, how: Some(0) },
                Op::Notify { q: 0, how: Some(0) },
                Op::Notify { q: 1, how: Some(0) },
                Op::Notify { q: 0, how: Some(65) },
                Op::Notify { q: 0, how: Some(-1) },
                Op::Notify { q: 1, how: None },
                Op::Notify { q: 1, how: None },
                Op::Notify { q: 1, how: Some(0) },
                send(0, 1, 1),
                Op::Notify { q: 1, how: Some(0) },
                send(0, 1, 1),
                Op::Notify { q: 1, how: Some(0) },
                Op::Close { q: 0 },
                Op::Notify { q: 0, how: Some(0) },
                receive(0),
                Op::Notify { q: 0, how: Some(0) },
                receive(0),
                send(0, 1, 1),
                Op::Notify { q: 0, how: Some(0) },
            ],
        ),
        script(
            "M4",
            "full is EAGAIN, empty is EAGAIN, lengths that do not fit are EMSGSIZE, none is fine",
            vec![
                both,
                receive(0),
                send(0, 0, 0),
                send(0, 100, 0),
                send(0, 101, 0),
                send(0, 1, 0),
                send(0, 1, 0),
                Op::Receive { q: 0, room: 99, until: None },
                Op::Receive { q: 0, room: 1000, until: None },
                receive(0),
                receive(0),
                receive(0),
            ],
        ),
        script(
            "M4",
            "a deadline that is past is one, one that cannot be is EINVAL whether or not it would wait",
            vec![
                open(O_RDWR, true, false),
                Op::Receive { q: 0, room: 100, until: PAST },
                Op::Send { q: 0, len: 1, priority: 1, until: PAST },
                Op::Send { q: 0, len: 2, priority: 1, until: Some((1, 1_000_000_000)) },
                Op::Send { q: 0, len: 2, priority: 1, until: Some((1, -1)) },
                Op::Send { q: 0, len: 2, priority: 1, until: Some((-1, 0)) },
                Op::Send { q: 0, len: 2, priority: 1, until: Some((i64::MAX, 999_999_999)) },
                Op::Send { q: 0, len: 2, priority: 1, until: PAST },
                Op::Send { q: 0, len: 2, priority: 1, until: PAST },
                Op::Receive { q: 0, room: 100, until: Some((1, 1_000_000_000)) },
                Op::Receive { q: 0, room: 10, until: Some((1, 1_000_000_000)) },
                Op::Receive { q: 0, room: 100, until: Some((i64::MAX, 0)) },
                Op::Receive { q: 0, room: 100, until: PAST },
            ],
        ),
    ]
}

/// An open handle as far as the next operation depends on it.
#[derive(Clone, Copy)]
struct Known {
    nonblocking: bool,
    /// Bytes of the longest message of the queue, if it is known.
    size: usize,
}

fn any_op(dice: &mut fastrand::Rng, open: &[Known]) -> Op {
    let shape = (dice.i64(1..=10), [1, 8, 40, 41, 100, 1000, 8192][dice.usize(0..7)]);
    let opening = Op::Open {
        access: dice.i32(0..3),
        create: dice.u8(0..4) > 0,
        exclusive: dice.u8(0..8) == 0,
        nonblocking: dice.bool(),
        shape,
    };
    if open.is_empty() || open.len() < 6 && dice.u8(0..12) == 0 {
        return opening;
    }
    let q = dice.usize(0..open.len());
    let Known { nonblocking, size } = open[q];
    let until = match dice.u8(0..20) {
        0 => Some((1, 1_000_000_000)),
        _ if !nonblocking || dice.u8(0..4) == 0 => PAST,
        _ => None,
    };
    match dice.u8(0..40) {
        0 => Op::Unlink,
        1 => Op::Close { q },
        2 | 3 => Op::SetNonblocking { q, yes: dice.bool() },
        4..7 => Op::Attributes { q },
        7..9 => Op::Notify { q, how: if dice.bool() { Some(0) } else { None } },
        roll => {
            let len = match dice.u8(0..12) {
                0 => size + 1,
                1 => size,
                2 => 0,
                _ => dice.usize(0..=size),
            };
            let priority = [0, 1, 1, 5, 31, 32767, 32768][dice.usize(0..7)];
            match roll % 2 == 0 {
                true => Op::Send { q, len, priority, until },
                false => {
                    let room = if dice.u8(0..12) == 0 { size.saturating_sub(1) } else { size };
                    Op::Receive { q, room, until }
                }
            }
        }
    }
}

/// Operations of one random sequence.
const LENGTH: u64 = 60;

fn random(sides: &mut Lockstep<Kernel, Adapter>, dice: &mut fastrand::Rng) -> Result<u64, Box<Divergence>> {
    let mut open: Vec<Known> = Vec::new();
    for _ in 0..LENGTH {
        let op = any_op(dice, &open);
        let done = sides.step(&op)?.0.is_ok();
        match op {
            Op::Open { nonblocking, .. } if done => {
                let q = open.len();
                let size = match sides.step(&Op::Attributes { q })?.0 {
                    Ok(Value::Numbers(of)) => of[2] as usize,
                    _ => 0,
                };
                open.push(Known { nonblocking, size });
            }
            Op::Close { q } => drop(open.remove(q)),
            Op::SetNonblocking { q, yes } => open[q].nonblocking = yes,
            _ => {}
        }
    }
    Ok(LENGTH)
}

/// Compares: all scripts, then so many random sequences from `seed` on.
///
/// # Errors
/// A queue could not be made.
pub fn compare(seed: u64, sequences: u64) -> io::Result<Report> {
    let sides = |number: u64| {
        let name = format!("/slipring-conform-{}-{number}", std::process::id());
        let kernel = Kernel { open: Vec::new(), name: name.clone(), sent: 0 };
        Ok((kernel, Adapter { open: Vec::new(), name, sent: 0 }))
    };
    crate::compare("posix-mq", scripts(), seed, sequences, sides, random)
}
