//! POSIX semaphores, the C library's and slipring's, without waiting.
//!
//! Both sides keep what they have opened in a list; an operation names one by its place there. Two names; handle 0 is an
//! unnamed semaphore.

use crate::kernel::Semaphore as Theirs;
use crate::{Divergence, Lockstep, Outcome, Report, Script, Subject, Value};
use slipring::adapters::sem::{Clock, Moment, Semaphore, VALUE_MAX};
use slipring::adapters::sysv::Obtain;
use std::fmt::{self, Display};
use std::io;

/// One operation.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "they are named after what they do")]
pub enum Op {
    Wait {
        of: usize,
    },
    TryWait {
        of: usize,
    },
    /// Until a moment of the wall clock that has passed.
    WaitUntil {
        of: usize,
        seconds: i64,
    },
    Post {
        of: usize,
    },
    Value {
        of: usize,
    },
    Open {
        name: usize,
        how: How,
        value: u32,
    },
    /// Whether two handles are at one address.
    Same {
        one: usize,
        other: usize,
    },
    Close {
        of: usize,
    },
    Unlink {
        name: usize,
    },
    /// A new unnamed semaphore, as a handle more.
    Init {
        value: u32,
    },
}

/// Whether to make what is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are named after what they do")]
pub enum How {
    Existing,
    OrCreate,
    CreateNew,
}

impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Wait { of } => write!(f, "wait for {of}"),
            Op::TryWait { of } => write!(f, "try to wait for {of}"),
            Op::WaitUntil { of, seconds } => write!(f, "wait for {of} until second {seconds}"),
            Op::Post { of } => write!(f, "post {of}"),
            Op::Value { of } => write!(f, "value of {of}"),
            Op::Open { name, how, value } => write!(f, "open name {name} as {how:?} with {value}"),
            Op::Same { one, other } => write!(f, "are {one} and {other} at one address"),
            Op::Close { of } => write!(f, "close {of}"),
            Op::Unlink { name } => write!(f, "unlink name {name}"),
            Op::Init { value } => write!(f, "init with {value}"),
        }
    }
}

/// The name of this number, of this run and this side. Number 2 and above are no names.
fn name(side: &str, number: usize) -> String {
    match number {
        0 | 1 => format!("/slipring-conform-{side}-{}-{number}", std::process::id()),
        2 => "/".into(),
        3 => "/a/b".into(),
        4 => format!("/{}", "n".repeat(251)),
        _ => format!("/{}", "n".repeat(252)),
    }
}

/// The C library's.
#[derive(Default)]
pub struct Kernel {
    handles: Vec<Theirs>,
}

impl Kernel {
    fn act(&mut self, op: &Op) -> io::Result<Value> {
        match *op {
            Op::Wait { of } => self.handles[of].wait()?,
            Op::TryWait { of } => self.handles[of].try_wait()?,
            Op::WaitUntil { of, seconds } => self.handles[of].wait_until(seconds, 0)?,
            Op::Post { of } => self.handles[of].post()?,
            Op::Value { of } => return Ok(Value::Number(self.handles[of].value() as usize)),
            Op::Open { name: number, how, value } => {
                let flags = match how {
                    How::Existing => 0,
                    How::OrCreate => libc::O_CREAT,
                    How::CreateNew => libc::O_CREAT | libc::O_EXCL,
                };
                self.handles.push(Theirs::open(&name("c", number), flags, 0o600, value)?);
            }
            Op::Same { one, other } => {
                let same = self.handles[one].address() == self.handles[other].address();
                return Ok(Value::Number(same.into()));
            }
            Op::Close { of } => drop(self.handles.remove(of)),
            Op::Unlink { name: number } => Theirs::unlink(&name("c", number))?,
            Op::Init { value } => self.handles.push(Theirs::anonymous(value)?),
        }
        Ok(Value::Done)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        (0..2).for_each(|number| drop(Theirs::unlink(&name("c", number))));
    }
}

impl Subject<Op> for Kernel {
    fn apply(&mut self, op: &Op) -> Outcome {
        self.act(op).into()
    }
}

/// Slipring's.
#[derive(Default)]
pub struct Adapter {
    handles: Vec<Semaphore>,
}

impl Adapter {
    fn act(&mut self, op: &Op) -> io::Result<Value> {
        match *op {
            Op::Wait { of } => self.handles[of].wait()?,
            Op::TryWait { of } => self.handles[of].try_wait()?,
            Op::WaitUntil { of, seconds } => {
                self.handles[of].wait_until(Moment { clock: Clock::Realtime, seconds, nanoseconds: 0 })?;
            }
            Op::Post { of } => self.handles[of].post()?,
            Op::Value { of } => return Ok(Value::Number(self.handles[of].value() as usize)),
            Op::Open { name: number, how, value } => {
                let how = match how {
                    How::Existing => Obtain::Existing,
                    How::OrCreate => Obtain::OrCreate,
                    How::CreateNew => Obtain::CreateNew,
                };
                self.handles.push(Semaphore::obtain(&name("s", number), how, 0o600, value)?);
            }
            Op::Same { one, other } => {
                let same = self.handles[one].as_ptr() == self.handles[other].as_ptr();
                return Ok(Value::Number(same.into()));
            }
            Op::Close { of } => drop(self.handles.remove(of)),
            Op::Unlink { name: number } => Semaphore::unlink(&name("s", number))?,
            Op::Init { value } => self.handles.push(Semaphore::anonymous(value)?),
        }
        Ok(Value::Done)
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        (0..2).for_each(|number| drop(Semaphore::unlink(&name("s", number))));
    }
}

impl Subject<Op> for Adapter {
    fn apply(&mut self, op: &Op) -> Outcome {
        self.act(op).into()
    }
}

/// The rows that can be shown without waiting.
#[must_use]
pub fn scripts() -> Vec<Script<Op>> {
    let open = |name, how, value| Op::Open { name, how, value };
    let (wait, post, value) = (Op::Wait { of: 0 }, Op::Post { of: 0 }, Op::Value { of: 0 });
    let try_wait = Op::TryWait { of: 0 };
    let past = Op::WaitUntil { of: 0, seconds: 1 };
    let script = |row, shows, ops: Vec<Op>| Script { row, shows, ops };
    vec![
        script(
            "E1",
            "permits are counted, and never fewer than none",
            vec![
                Op::Init { value: 2 },
                value,
                wait,
                try_wait,
                value,
                try_wait,
                post,
                value,
                post,
                post,
                value,
                wait,
                wait,
                wait,
                try_wait,
            ],
        ),
        script(
            "E3",
            "as many as SEM_VALUE_MAX, and not one more",
            vec![
                Op::Init { value: VALUE_MAX },
                post,
                value,
                wait,
                post,
                post,
                Op::Init { value: VALUE_MAX + 1 },
                open(0, How::CreateNew, VALUE_MAX + 1),
                open(0, How::CreateNew, VALUE_MAX),
                open(0, How::OrCreate, VALUE_MAX + 1),
                open(0, How::CreateNew, VALUE_MAX + 1),
                Op::Post { of: 1 },
            ],
        ),
        script(
            "E3",
            "a moment that has passed is too late only if there is no permit",
            vec![
                Op::Init { value: 1 },
                past,
                past,
                Op::WaitUntil { of: 0, seconds: -1 },
                post,
                Op::WaitUntil { of: 0, seconds: -1 },
                post,
                Op::WaitUntil { of: 0, seconds: i64::MAX },
            ],
        ),
        script(
            "E3",
            "a name leads to one semaphore, in one process at one address",
            vec![
                open(0, How::Existing, 0),
                open(0, How::OrCreate, 3),
                open(0, How::OrCreate, 7),
                open(0, How::CreateNew, 7),
                open(0, How::Existing, 0),
                Op::Same { one: 0, other: 1 },
                Op::Same { one: 0, other: 2 },
                Op::Value { of: 1 },
                wait,
                Op::Value { of: 2 },
                Op::Close { of: 0 },
                Op::Value { of: 0 },
                Op::Close { of: 0 },
                Op::Close { of: 0 },
                open(0, How::Existing, 0),
                value,
            ],
        ),
        script(
            "E3",
            "an unlinked semaphore goes on, and its name leads to another",
            vec![
                Op::Unlink { name: 0 },
                open(0, How::CreateNew, 1),
                Op::Unlink { name: 0 },
                Op::Unlink { name: 0 },
                open(0, How::Existing, 0),
                wait,
                post,
                open(0, How::OrCreate, 5),
                Op::Same { one: 0, other: 1 },
                value,
                Op::Value { of: 1 },
            ],
        ),
        script(
            "E3",
            "what is a name",
            vec![
                open(2, How::OrCreate, 0),
                open(3, How::OrCreate, 0),
                open(4, How::OrCreate, 0),
                Op::Unlink { name: 4 },
                open(5, How::OrCreate, 0),
                open(5, How::Existing, 0),
                open(2, How::Existing, 0),
                open(3, How::Existing, 0),
                Op::Unlink { name: 5 },
            ],
        ),
    ]
}

/// The next operation on so many handles, `permits` being what a handle has at least.
fn any_op(dice: &mut fastrand::Rng, handles: usize) -> Op {
    let name = dice.usize(0..2);
    let values = [0, 1, 2, 5, VALUE_MAX - 1, VALUE_MAX, VALUE_MAX + 1];
    let value = values[dice.usize(0..values.len())];
    let how = [How::Existing, How::OrCreate, How::CreateNew][dice.usize(0..3)];
    if handles == 0 {
        return if dice.bool() { Op::Init { value } } else { Op::Open { name, how, value } };
    }
    let of = dice.usize(0..handles);
    match dice.u8(0..40) {
        0 if handles < 6 => Op::Init { value },
        1..4 if handles < 6 => Op::Open { name, how, value },
        4 => Op::Unlink { name },
        5 => Op::Close { of },
        6..9 => Op::Same { one: of, other: dice.usize(0..handles) },
        9..14 => Op::Value { of },
        14..24 => Op::Post { of },
        24..28 => Op::WaitUntil { of, seconds: dice.i64(-1..3) },
        _ => Op::TryWait { of },
    }
}

/// Operations of one random sequence.
const LENGTH: u64 = 60;

fn random(sides: &mut Lockstep<Kernel, Adapter>, dice: &mut fastrand::Rng) -> Result<u64, Box<Divergence>> {
    let mut handles = 0;
    for _ in 0..LENGTH {
        let op = any_op(dice, handles);
        let done = sides.step(&op)?.0.is_ok();
        match op {
            Op::Open { .. } | Op::Init { .. } if done => handles += 1,
            Op::Close { .. } => handles -= 1,
            _ => {}
        }
    }
    Ok(LENGTH)
}

/// Compares: all scripts, then so many random sequences from `seed` on.
///
/// # Errors
/// None.
pub fn compare(seed: u64, sequences: u64) -> io::Result<Report> {
    let sides = |_| Ok((Kernel::default(), Adapter::default()));
    crate::compare("sem", scripts(), seed, sequences, sides, random)
}
