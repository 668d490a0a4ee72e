//! System V message queues, the kernel's and slipring's, without waiting: every call has IPC_NOWAIT. The kernel's limits
//! (8192 bytes a message, 16384 a queue) are those of both.
//!
//! Identifiers are not compared, only what they lead to. A call with the identifier of a removed queue is EINVAL, or, if
//! the kernel has given its slot to another queue since, EIDRM: the one counts as the other here.
#![forbid(unsafe_code)]

use crate::sys;
use crate::{Divergence, Lockstep, Outcome, Report, Script, Subject, Value, content};
use libc::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT, MSG_COPY, MSG_EXCEPT, MSG_NOERROR};
use slipring::adapters::sysv_mq::{self, Change, Options, Queue};
use std::fmt::{self, Display};
use std::io;

/// One operation; `q` is a found queue's place in the list of both sides, `key` one of a few keys, 0 for IPC_PRIVATE.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "they are named after what they do")]
pub enum Op {
    Get { key: usize, flags: i32 },
    Send { q: usize, kind: i64, len: usize },
    Receive { q: usize, kind: i64, room: usize, flags: i32 },
    Stat { q: usize },
    Set { q: usize, mode: u32, bytes: u64 },
    Remove { q: usize },
    Ftok { path: &'static str, project: i32 },
}

impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What of a queue's metadata must be the same: key, owner, mode, counts, limit, whose calls, and whether there were any.
fn numbers(key: i64, of: [u64; 9]) -> Value {
    let me = u64::from(std::process::id());
    let [uid, mode, cbytes, qnum, qbytes, lspid, lrpid, stime, rtime] = of;
    let whose = |pid: u64| if pid == me { 1 } else { -(pid as i64) };
    let mut all = vec![key, whose(lspid), whose(lrpid), i64::from(stime != 0), i64::from(rtime != 0)];
    all.extend([uid, mode, cbytes, qnum, qbytes].map(u64::cast_signed));
    Value::Numbers(all)
}

/// The kernel's.
pub struct Kernel {
    ids: Vec<i32>,
    keys: [i32; 3],
    sent: usize,
}

impl Kernel {
    fn act(&mut self, op: &Op) -> io::Result<Value> {
        Ok(match *op {
            Op::Get { key, flags } => {
                self.ids.push(sys::msgget(self.keys[key], flags)?);
                Value::Done
            }
            Op::Send { q, kind, len } => {
                let message = content(&mut self.sent, len);
                sys::msgsnd(self.ids[q], kind, &message, IPC_NOWAIT)?;
                Value::Done
            }
            Op::Receive { q, kind, room, flags } => {
                let mut to = vec![0; room];
                let (len, kind) = sys::msgrcv(self.ids[q], &mut to, kind, flags)?;
                Value::Message(to[..len].to_vec(), kind)
            }
            Op::Stat { q } => {
                let of = sys::msgstat(self.ids[q])?;
                numbers(
                    of.msg_perm.__key.into(),
                    [
                        of.msg_perm.uid.into(),
                        (of.msg_perm.mode & 0o777).into(),
                        of.__msg_cbytes,
                        of.msg_qnum,
                        of.msg_qbytes,
                        of.msg_lspid as u64,
                        of.msg_lrpid as u64,
                        of.msg_stime as u64,
                        of.msg_rtime as u64,
                    ],
                )
            }
            Op::Set { q, mode, bytes } => {
                let mut to = sys::msgstat(self.ids[q])?;
                to.msg_perm.mode = mode as _;
                to.msg_qbytes = bytes;
                sys::msgset(self.ids[q], to)?;
                Value::Done
            }
            Op::Remove { q } => {
                sys::msgrmid(self.ids[q])?;
                Value::Done
            }
            Op::Ftok { path, project } => Value::Numbers(vec![sys::ftok(path, project)?.into()]),
        })
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for &id in &self.ids {
            let _ = sys::msgrmid(id);
        }
    }
}

impl Subject<Op> for Kernel {
    fn apply(&mut self, op: &Op) -> Outcome {
        let Outcome(result) = self.act(op).into();
        Outcome(result.map_err(|errno| if errno == libc::EIDRM { libc::EINVAL } else { errno }))
    }
}

/// Slipring's.
pub struct Adapter {
    queues: Vec<Queue>,
    keys: [i32; 3],
    sent: usize,
    options: Options,
}

impl Adapter {
    fn act(&mut self, op: &Op) -> io::Result<Value> {
        Ok(match *op {
            Op::Get { key, flags } => {
                let queue = sysv_mq::get_queue(self.keys[key], flags, &self.options)?;
                // By its identifier, as the kernel's is used.
                self.queues.push(Queue::of_id(queue.id())?);
                Value::Done
            }
            Op::Send { q, kind, len } => {
                let message = content(&mut self.sent, len);
                self.queues[q].send(kind, &message, IPC_NOWAIT)?;
                Value::Done
            }
            Op::Receive { q, kind, room, flags } => {
                let mut to = vec![0; room];
                let (len, kind) = self.queues[q].receive(&mut to, kind, flags)?;
                Value::Message(to[..len].to_vec(), kind)
            }
            Op::Stat { q } => {
                let of = self.queues[q].stat()?;
                numbers(
                    of.key.into(),
                    [
                        of.uid.into(),
                        of.mode.into(),
                        of.cbytes,
                        of.qnum,
                        of.qbytes,
                        of.lspid.into(),
                        of.lrpid.into(),
                        of.stime,
                        of.rtime,
                    ],
                )
            }
            Op::Set { q, mode, bytes } => {
                let of = self.queues[q].stat()?;
                self.queues[q].set(&Change { uid: of.uid, gid: of.gid, mode, qbytes: bytes })?;
                Value::Done
            }
            Op::Remove { q } => {
                self.queues[q].remove()?;
                Value::Done
            }
            Op::Ftok { path, project } => Value::Numbers(vec![sysv_mq::ftok(path, project)?.into()]),
        })
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        for queue in &mut self.queues {
            let _ = queue.remove();
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
    let send = |kind, len| Op::Send { q: 0, kind, len };
    let receive = |kind| Op::Receive { q: 0, kind, room: 8192, flags: IPC_NOWAIT };
    let with = |kind, room, flags| Op::Receive { q: 0, kind, room, flags: flags | IPC_NOWAIT };
    let get = |key, flags| Op::Get { key, flags };
    let (private, stat) = (get(0, 0o600), Op::Stat { q: 0 });
    let five = |kinds: &[i64]| kinds.iter().map(|&kind| send(kind, kind as usize % 100)).collect::<Vec<_>>();
    let all = |ops: &[&[Op]]| [&[private][..], &ops.concat()].concat();
    vec![
        script(
            "Q1",
            "a key is inode, device and the low 8 bits of the project",
            vec![
                Op::Ftok { path: "/", project: 1024 },
                Op::Ftok { path: "/", project: 1234 },
                Op::Ftok { path: "/dev", project: 1 },
                Op::Ftok { path: "/etc/passwd", project: -1 },
                Op::Ftok { path: "/nowhere", project: 1 },
            ],
        ),
        script(
            "Q2",
            "keys, and private queues",
            vec![
                get(1, 0),
                get(1, IPC_CREAT | 0o640),
                get(1, IPC_CREAT | IPC_EXCL | 0o640),
                get(1, IPC_EXCL),
                get(1, IPC_CREAT | 0o600),
                get(0, 0),
                get(0, IPC_CREAT | IPC_EXCL),
                Op::Send { q: 0, kind: 1, len: 10 },
                Op::Stat { q: 1 },
                Op::Stat { q: 3 },
                Op::Remove { q: 1 },
                Op::Stat { q: 0 },
                get(1, 0),
                get(1, IPC_CREAT | 0o600),
                Op::Send { q: 0, kind: 1, len: 10 },
                Op::Stat { q: 5 },
            ],
        ),
        script(
            "Q3",
            "types are above 0, messages may be empty",
            all(&[&[
                send(0, 1),
                send(-1, 1),
                send(i64::MIN, 0),
                send(1, 0),
                send(i64::MAX, 0),
                send(1, 8192),
                send(1, 8193),
                receive(0),
                receive(0),
                receive(0),
                receive(0),
            ]]),
        ),
        script(
            "Q4",
            "a full queue is EAGAIN",
            all(&[&[
                send(1, 8192),
                send(1, 8192),
                send(1, 1),
                send(1, 0),
                receive(0),
                send(1, 8000),
                send(1, 193),
                send(1, 192),
            ]]),
        ),
        script(
            "Q5",
            "any, one type, the lowest up to one, all but one",
            all(&[
                &five(&[1, 10, 5, 10, 1 << 33]),
                &[receive(0), receive(0), receive(0), receive(0), receive(0), receive(0)],
                &five(&[1, 10, 5, 10, 1 << 33]),
                &[receive(-10), receive(-10), receive(-10), receive(-10), receive(-10), receive(0)],
                &five(&[3, 3, 4, 3]),
                &[receive(3), receive(3), receive(5), receive(-2), with(3, 100, MSG_EXCEPT)],
                &[with(3, 100, MSG_EXCEPT), with(-9, 100, MSG_EXCEPT), with(0, 100, MSG_EXCEPT)],
                &[send(i64::MAX, 1), receive(i64::MIN), send(i64::MAX, 1), receive(-i64::MAX), receive(0)],
            ]),
        ),
        script(
            "Q6",
            "nothing of the kind is ENOMSG",
            all(&[&[receive(0), send(2, 2), receive(1), receive(-1)]]),
        ),
        script(
            "Q7",
            "too long is E2BIG and stays, or is cut",
            all(&[&[
                send(7, 10),
                with(0, 9, 0),
                with(7, 0, 0),
                stat,
                with(0, 4, MSG_NOERROR),
                stat,
                with(0, 4, 0),
                send(7, 10),
                with(0, 10, 0),
            ]]),
        ),
        script(
            "Q7",
            "a copy by index leaves the message",
            all(&[
                &five(&[30, 20, 30, 10]),
                &[receive(20)],
                &[with(0, 50, MSG_COPY), with(1, 50, MSG_COPY), with(2, 50, MSG_COPY), with(3, 50, MSG_COPY)],
                &[with(-1, 50, MSG_COPY), with(0, 5, MSG_COPY), with(0, 5, MSG_COPY | MSG_NOERROR)],
                &[with(0, 50, MSG_COPY | MSG_NOERROR), with(0, 50, MSG_COPY | MSG_EXCEPT)],
                &[Op::Receive { q: 0, kind: 0, room: 50, flags: MSG_COPY }, stat, receive(0)],
            ]),
        ),
        script(
            "Q8",
            "bytes and messages are limited by the same number",
            all(&[
                &[send(1, 64)].repeat(257),
                &[stat, Op::Set { q: 0, mode: 0o600, bytes: 10 }, stat, send(1, 0)],
                &[receive(0)].repeat(256),
                &[stat],
                &[send(1, 0)].repeat(11),
                &[receive(0)].repeat(10),
                &[send(1, 11), send(1, 10), send(1, 0), send(1, 1), stat],
            ]),
        ),
        script(
            "Q12",
            "who, what, when",
            all(&[&[
                stat,
                send(1, 13),
                stat,
                receive(0),
                stat,
                Op::Set { q: 0, mode: 0o1777, bytes: 0 },
                stat,
                send(1, 0),
                Op::Set { q: 0, mode: 0o640, bytes: 16384 },
                stat,
                Op::Set { q: 0, mode: 0o640, bytes: 100_000_000 },
                Op::Remove { q: 0 },
                stat,
                Op::Set { q: 0, mode: 0o640, bytes: 1 },
                Op::Remove { q: 0 },
                send(1, 1),
                receive(0),
            ]]),
        ),
    ]
}

fn any_op(dice: &mut fastrand::Rng, queues: usize) -> Op {
    if queues == 0 || queues < 6 && dice.u8(0..20) == 0 {
        let flags = [0, IPC_CREAT, IPC_CREAT, IPC_CREAT | IPC_EXCL, IPC_EXCL][dice.usize(0..5)] | 0o600;
        return Op::Get { key: dice.usize(0..3), flags };
    }
    let q = dice.usize(0..queues);
    let kind = [1, 2, 3, 4, 5, 1 << 33][dice.usize(0..6)];
    let len = match dice.u8(0..8) {
        0 => [0, 39, 40, 41, 96, 97, 8191, 8192, 8193][dice.usize(0..9)],
        1 => dice.usize(0..8192),
        _ => dice.usize(0..300),
    };
    match dice.u8(0..40) {
        0 => Op::Remove { q },
        1..4 => Op::Stat { q },
        4 => Op::Set {
            q,
            mode: dice.u32(0..0o1000),
            bytes: [0, 5, 1000, 16384, 100_000_000][dice.usize(0..5)],
        },
        5..22 => Op::Send { q, kind: if dice.u8(0..30) == 0 { 0 } else { kind }, len },
        _ => {
            let kind = [0, kind, -kind, -3][dice.usize(0..4)];
            let more = [0, 0, 0, MSG_NOERROR, MSG_EXCEPT, MSG_NOERROR | MSG_EXCEPT][dice.usize(0..6)];
            let room = if dice.bool() { 8192 } else { len };
            match dice.u8(0..10) {
                0 => Op::Receive { q, kind: dice.i64(-1..6), room, flags: IPC_NOWAIT | MSG_COPY | more },
                _ => Op::Receive { q, kind, room, flags: IPC_NOWAIT | more },
            }
        }
    }
}

/// Operations of one random sequence.
const LENGTH: u64 = 60;

fn random(sides: &mut Lockstep<Kernel, Adapter>, dice: &mut fastrand::Rng) -> Result<u64, Box<Divergence>> {
    let mut queues = 0;
    for _ in 0..LENGTH {
        let op = any_op(dice, queues);
        let done = sides.step(&op)?.0.is_ok();
        queues += usize::from(done && matches!(op, Op::Get { .. }));
    }
    Ok(LENGTH)
}

/// Compares: all scripts, then so many random sequences from `seed` on.
///
/// # Errors
/// A queue could not be made.
pub fn compare(seed: u64, sequences: u64) -> io::Result<Report> {
    let sides = |number: u64| {
        let first = (std::process::id() << 12 | (number as u32) << 1 & 0xfff).cast_signed();
        let keys = [libc::IPC_PRIVATE, first ^ 0x5100_0000, first ^ 0x5100_0001];
        // A random sequence is shorter than to meet the limit of messages; one is quicker made with less memory.
        let all = Options::new().handles(15);
        let options = if number == 0 { all } else { all.messages(2 * LENGTH) };
        let kernel = Kernel { ids: Vec::new(), keys, sent: 0 };
        Ok((kernel, Adapter { queues: Vec::new(), keys, sent: 0, options }))
    };
    crate::compare("sysv-mq", scripts(), seed, sequences, sides, random)
}
