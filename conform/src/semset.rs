//! System V semaphore sets, the kernel's and slipring's, without waiting: what would wait is not to, or not for any time.
//!
//! Both sides keep the sets that they were given in a list; an operation names one by its place there. Removed sets stay in
//! it, so that their identifiers are tried, too.

use crate::kernel;
use crate::{Divergence, Lockstep, Outcome, Report, Script, Subject, Value};
use slipring::adapters::semset::{Change, Facts, Operation, Set};
use slipring::adapters::sysv::Obtain;
use std::fmt::{self, Display};
use std::io;
use std::time::Duration;

/// One operation.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "they are named after what they do")]
pub enum Op {
    /// Key 0 is IPC_PRIVATE.
    Get {
        key: i32,
        semaphores: i32,
        how: How,
    },
    /// Number, change, IPC_NOWAIT, SEM_UNDO. Those that may wait wait for no time.
    Operate {
        set: usize,
        operations: Vec<kernel::Operation>,
    },
    SetValue {
        set: usize,
        number: usize,
        value: i32,
    },
    SetValues {
        set: usize,
        values: Vec<u16>,
    },
    Ask {
        set: usize,
        number: usize,
        what: Ask,
    },
    Values {
        set: usize,
    },
    Facts {
        set: usize,
    },
    SetMode {
        set: usize,
        mode: u32,
    },
    Remove {
        set: usize,
    },
}

/// Whether to make what is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are named after what they do")]
pub enum How {
    Existing,
    OrCreate,
    CreateNew,
}

/// Which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are named after what they do")]
pub enum Ask {
    Value,
    Pid,
    WaitingForMore,
    WaitingForZero,
}

impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What facts are compared: whether the times are set, not which.
fn facts(mode: u32, semaphores: usize, operated: u64, changed: u64) -> Value {
    let set = |time: u64| u32::from(time != 0);
    Value::Bytes(format!("{mode:o} {semaphores} {} {}", set(operated), set(changed)).into_bytes())
}

fn bytes(values: &[u16]) -> Value {
    Value::Bytes(values.iter().flat_map(|value| value.to_ne_bytes()).collect())
}

/// The key of this number, of this run.
fn key(number: i32) -> i32 {
    if number == 0 { 0 } else { 0x5300_0000 | (std::process::id() as i32 & 0xffff) << 8 | number }
}

/// The kernel's.
#[derive(Default)]
pub struct Kernel {
    sets: Vec<kernel::Set>,
}

impl Kernel {
    fn act(&mut self, op: &Op) -> io::Result<Value> {
        Ok(match op {
            Op::Get { key: number, semaphores, how } => {
                let flags = match how {
                    How::Existing => 0,
                    How::OrCreate => libc::IPC_CREAT,
                    How::CreateNew => libc::IPC_CREAT | libc::IPC_EXCL,
                };
                self.sets.push(kernel::Set::get(key(*number), *semaphores, flags | 0o600)?);
                Value::Done
            }
            Op::Operate { set, operations } => {
                self.sets[*set].operate(operations, Some(Duration::ZERO))?;
                Value::Done
            }
            Op::SetValue { set, number, value } => {
                self.sets[*set].set_value(*number, *value)?;
                Value::Done
            }
            Op::SetValues { set, values } => {
                self.sets[*set].set_values(values)?;
                Value::Done
            }
            Op::Ask { set, number, what } => {
                let command = match what {
                    Ask::Value => libc::GETVAL,
                    Ask::Pid => libc::GETPID,
                    Ask::WaitingForMore => libc::GETNCNT,
                    Ask::WaitingForZero => libc::GETZCNT,
                };
                Value::Number(self.sets[*set].ask(*number, command)? as usize)
            }
            Op::Values { set } => bytes(&self.sets[*set].values()?),
            Op::Facts { set } => {
                let found = self.sets[*set].facts()?;
                facts(found.mode, found.semaphores, found.operated, found.changed)
            }
            Op::SetMode { set, mode } => {
                self.sets[*set].set_mode(*mode)?;
                Value::Done
            }
            Op::Remove { set } => {
                self.sets[*set].ask(0, libc::IPC_RMID)?;
                Value::Done
            }
        })
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for set in &self.sets {
            let _ = set.ask(0, libc::IPC_RMID);
        }
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
    sets: Vec<Set>,
}

impl Adapter {
    fn act(&mut self, op: &Op) -> io::Result<Value> {
        Ok(match op {
            Op::Get { key: number, semaphores, how } => {
                let how = match how {
                    How::Existing => Obtain::Existing,
                    How::OrCreate => Obtain::OrCreate,
                    How::CreateNew => Obtain::CreateNew,
                };
                // A number below 0 has no counterpart here.
                let semaphores = usize::try_from(*semaphores).unwrap_or(usize::MAX);
                self.sets.push(Set::get(key(*number), semaphores, how, 0o600)?);
                Value::Done
            }
            Op::Operate { set, operations } => {
                let operations: Vec<_> = operations
                    .iter()
                    .map(|&(number, change, nowait, undo)| {
                        let mut operation = Operation::new(number, change);
                        if nowait {
                            operation = operation.nowait();
                        }
                        if undo {
                            operation = operation.undo();
                        }
                        operation
                    })
                    .collect();
                self.sets[*set].operate_timeout(&operations, Duration::ZERO)?;
                Value::Done
            }
            Op::SetValue { set, number, value } => {
                self.sets[*set].set_value(*number, *value)?;
                Value::Done
            }
            Op::SetValues { set, values } => {
                self.sets[*set].set_values(values)?;
                Value::Done
            }
            Op::Ask { set, number, what } => {
                let set = self.sets[*set];
                Value::Number(match what {
                    Ask::Value => set.value(*number)?.into(),
                    Ask::Pid => set.pid(*number)? as usize,
                    Ask::WaitingForMore => set.waiting_for_more(*number)? as usize,
                    Ask::WaitingForZero => set.waiting_for_zero(*number)? as usize,
                })
            }
            Op::Values { set } => bytes(&self.sets[*set].values()?),
            Op::Facts { set } => {
                let found = self.sets[*set].facts()?;
                facts(found.mode, found.semaphores, found.operated, found.changed)
            }
            Op::SetMode { set, mode } => {
                let Facts { uid, gid, .. } = self.sets[*set].facts()?;
                self.sets[*set].set(&Change { uid, gid, mode: *mode })?;
                Value::Done
            }
            Op::Remove { set } => {
                self.sets[*set].remove()?;
                Value::Done
            }
        })
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        for set in &self.sets {
            let _ = set.remove();
        }
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
    let script = |row, shows, ops: Vec<Op>| Script { row, shows, ops };
    let get = |key, semaphores, how| Op::Get { key, semaphores, how };
    let new = |semaphores| get(0, semaphores, How::CreateNew);
    let with = |operations: &[kernel::Operation]| Op::Operate { set: 0, operations: operations.to_vec() };
    let now = |operations: &[(u16, i16)]| Op::Operate {
        set: 0,
        operations: operations.iter().map(|&(number, change)| (number, change, true, false)).collect(),
    };
    let undo = |operations: &[(u16, i16)]| Op::Operate {
        set: 0,
        operations: operations.iter().map(|&(number, change)| (number, change, true, true)).collect(),
    };
    let (values, facts, remove) = (Op::Values { set: 0 }, Op::Facts { set: 0 }, Op::Remove { set: 0 });
    let set_value = |number, value| Op::SetValue { set: 0, number, value };
    let ask = |number, what| Op::Ask { set: 0, number, what };
    vec![
        script(
            "E2",
            "by more than one",
            vec![new(1), now(&[(0, 7)]), now(&[(0, -3)]), values.clone(), now(&[(0, -5)]), values.clone()],
        ),
        script(
            "E4",
            "what a key leads to, and what cannot be made",
            vec![
                get(1, 2, How::Existing),
                get(1, 0, How::OrCreate),
                get(1, 32001, How::OrCreate),
                get(1, -1, How::OrCreate),
                get(1, 2, How::OrCreate),
                get(1, 2, How::CreateNew),
                get(1, 3, How::OrCreate),
                get(1, 1, How::Existing),
                get(1, 0, How::Existing),
                now(&[(1, 4)]),
                Op::Values { set: 1 },
                get(0, 1, How::Existing),
                Op::Values { set: 3 },
                get(2, 32000, How::CreateNew),
                Op::Ask { set: 4, number: 31999, what: Ask::Value },
                remove.clone(),
                get(1, 1, How::Existing),
                values.clone(),
                Op::Values { set: 1 },
                get(1, 5, How::CreateNew),
                values.clone(),
                Op::Values { set: 5 },
                remove.clone(),
            ],
        ),
        script(
            "E5",
            "values are set, times tell of it",
            vec![
                new(3),
                facts.clone(),
                set_value(1, 5),
                set_value(1, 32767),
                set_value(1, 32768),
                set_value(1, -1),
                set_value(3, 1),
                values.clone(),
                ask(1, Ask::Pid),
                ask(0, Ask::Pid),
                facts.clone(),
                Op::SetValues { set: 0, values: vec![1, 2, 3] },
                Op::SetValues { set: 0, values: vec![1, 2, 32768] },
                values.clone(),
                now(&[(0, 0)]),
                facts.clone(),
                now(&[(0, 1)]),
                facts.clone(),
                ask(2, Ask::WaitingForMore),
                ask(2, Ask::WaitingForZero),
                ask(3, Ask::Value),
                // Who is not root may no longer change it, then no longer read it: what is said first of two faults?
                Op::SetMode { set: 0, mode: 0o400 },
                set_value(3, 1),
                set_value(3, 32768),
                set_value(0, 1),
                Op::SetValues { set: 0, values: vec![1, 2, 32768] },
                now(&[(3, 1)]),
                now(&[(0, 1)]),
                Op::SetMode { set: 0, mode: 0o640 },
                facts.clone(),
                Op::SetMode { set: 0, mode: 0o200 },
                ask(3, Ask::Value),
                ask(0, Ask::Pid),
                values.clone(),
                facts.clone(),
                now(&[(0, 0)]),
                remove.clone(),
                facts.clone(),
                ask(0, Ask::Value),
                set_value(0, 1),
                remove.clone(),
            ],
        ),
        script(
            "E6",
            "all operations or none, in their order",
            vec![
                new(2),
                now(&[(0, 1), (1, -1)]),
                values.clone(),
                now(&[(0, 1), (0, -1), (0, 0), (1, 2)]),
                values.clone(),
                now(&[(0, 0), (0, 1), (0, 0)]),
                values.clone(),
                now(&[(1, -2), (0, 1), (1, 0)]),
                values.clone(),
                now(&[(0, 32767)]),
                now(&[(1, 1), (0, 32766), (0, 1)]),
                now(&[(0, 32766)]),
                values.clone(),
                now(&[(0, -32767), (0, 0)]),
                values.clone(),
                now(&[]),
                now(&[(2, 1)]),
                now(&[(2, 0)]),
                now(&[(0, 1); 500]),
                now(&[(0, 1); 501]),
                values.clone(),
                ask(0, Ask::Pid),
            ],
        ),
        script(
            "E6",
            "what may wait gives up when its time is over",
            vec![
                new(1),
                with(&[(0, -1, false, false)]),
                with(&[(0, 1, false, false), (0, 0, false, false)]),
                with(&[(0, 0, false, false)]),
                values.clone(),
            ],
        ),
        script(
            "E7",
            "what is to be undone has a range, too",
            vec![
                new(1),
                undo(&[(0, 32767)]),
                undo(&[(0, -32767)]),
                undo(&[(0, 20000)]),
                now(&[(0, -20000)]),
                undo(&[(0, 12767)]),
                now(&[(0, -12767)]),
                undo(&[(0, 1)]),
                undo(&[(0, 1)]),
                values.clone(),
                set_value(0, 9),
                undo(&[(0, 30000)]),
                values,
            ],
        ),
    ]
}

fn any_op(dice: &mut fastrand::Rng, sets: usize) -> Op {
    let how = [How::Existing, How::OrCreate, How::CreateNew][dice.usize(0..3)];
    let get = Op::Get { key: dice.i32(0..3), semaphores: dice.i32(-1..5), how };
    if sets == 0 {
        return get;
    }
    let set = dice.usize(0..sets);
    let number = dice.usize(0..5);
    let edges = [0, 1, 5, 100, 16000, 32766, 32767];
    match dice.u8(0..40) {
        0..3 if sets < 8 => get,
        3 => Op::Remove { set },
        4..6 => {
            let value = [-1, 0, 1, 7, 32767, 32768][dice.usize(0..6)];
            Op::SetValue { set, number, value }
        }
        6 => {
            let values = (0..dice.usize(1..4)).map(|_| [0, 1, 500, 32767, 32768][dice.usize(0..5)]).collect();
            Op::SetValues { set, values }
        }
        7..10 => {
            let what = [Ask::Value, Ask::Pid, Ask::WaitingForMore, Ask::WaitingForZero];
            Op::Ask { set, number, what: what[dice.usize(0..4)] }
        }
        10..15 => Op::Values { set },
        15 => Op::Facts { set },
        16 => Op::SetMode { set, mode: [0o600, 0o644, 0o400, 0o1777][dice.usize(0..4)] },
        _ => {
            let operation = |dice: &mut fastrand::Rng| {
                let change = match dice.u8(0..4) {
                    0 => 0,
                    1 => dice.i16(-3..4),
                    2 => edges[dice.usize(0..edges.len())],
                    _ => -edges[dice.usize(0..edges.len())],
                };
                // Mostly semaphores that there are.
                let number = if dice.u8(0..12) == 0 { dice.u16(0..5) } else { dice.u16(0..2) };
                (number, change, dice.bool(), dice.u8(0..4) == 0)
            };
            let operations = (0..dice.usize(0..5)).map(|_| operation(dice)).collect();
            Op::Operate { set, operations }
        }
    }
}

/// Operations of one random sequence.
const LENGTH: u64 = 60;

fn random(sides: &mut Lockstep<Kernel, Adapter>, dice: &mut fastrand::Rng) -> Result<u64, Box<Divergence>> {
    let mut sets = 0;
    for _ in 0..LENGTH {
        let op = any_op(dice, sets);
        let done = sides.step(&op)?.0.is_ok();
        sets += usize::from(done && matches!(op, Op::Get { .. }));
    }
    Ok(LENGTH)
}

/// Compares: all scripts, then so many random sequences from `seed` on.
///
/// # Errors
/// None.
pub fn compare(seed: u64, sequences: u64) -> io::Result<Report> {
    let sides = |_| Ok((Kernel::default(), Adapter::default()));
    crate::compare("semset", scripts(), seed, sequences, sides, random)
}
