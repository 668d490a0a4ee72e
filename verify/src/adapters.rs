//! What the adapters of kernel mechanisms have in shared memory, under attack: a pipe with a name, a message queue of either
//! kind, a datagram socket. Fields of the segment's header and words behind it change between attaches and between verbs
//! that do not wait: each answers, with whatever.
//!
//! Two things are left alone, since adapters trust the processes of their user (docs/failure-model.md): whom a queue is to
//! tell, because a signal goes to whom it says; and that a live participant has a queue's lock, because calls that the
//! kernel answers at once wait for that.

use crate::attach::{HEADER, number, sum_up};
use crate::{Count, below};
use arbitrary::Unstructured;
use slipring::adapters::socket::{self, Datagram};
use slipring::adapters::sysv::flags;
use slipring::adapters::{fifo, pipe, posix_mq, sysv_mq};
use std::fs::File;
use std::io::{Read, Result, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Mutex;

const ATTACKS: &str = "attacks";
const VERBS: &str = "verbs after the first of them";
const DONE: &str = "of them that did what they are for";
const FAULTS: &str = "faults found";
const ATTACHED: &str = "attached to";
const REFUSED: &str = "refused";

pub(crate) const MUST: [&str; 6] = [ATTACKS, VERBS, DONE, FAULTS, ATTACHED, REFUSED];

/// The longest message, and more than a pipe has room for at once.
const LONGEST: usize = 100;
const MUCH: usize = 5000;
/// Where control lines begin, first of them the word of a queue's lock; and whom a queue is to tell (docs/layout.md).
const CONTROL: u64 = 1024;
const OWNER: u64 = 0xfff;
const WATCH: std::ops::Range<u64> = CONTROL + 768..CONTROL + 896;

/// One of each kind, open in this process.
enum Handle {
    Pipe(fifo::Both),
    Posix(posix_mq::Queue),
    SysV(sysv_mq::Queue),
    Sender(Datagram),
}

/// Something that is sound at first. Its names go with it.
struct Subject {
    kind: u64,
    path: PathBuf,
    name: String,
    id: i32,
    /// Who receives at a socket, which is there as long as this.
    receiver: Option<Datagram>,
}

impl Subject {
    fn new(kind: u64) -> (Subject, Handle) {
        static COUNT: Mutex<u32> = Mutex::new(0);
        let count = {
            let mut count = COUNT.lock().unwrap();
            *count += 1;
            *count
        };
        let name = format!("slipring-fuzz-{}-{count}", std::process::id());
        let path = PathBuf::from("/dev/shm").join(&name);
        let mut subject = Subject { kind, path, name: format!("/{name}"), id: 0, receiver: None };
        match kind {
            0 => {
                let options = pipe::Options::new().capacity(8192).max_capacity(16384);
                fifo::Fifo::file(&subject.path).unwrap().create(&options, 0o600).unwrap();
            }
            1 => {
                let options = posix_mq::Options::new().max_messages(8).message_size(LONGEST).handles(8);
                let both = posix_mq::Open::existing(posix_mq::Access::Both);
                drop(both.create(&options).open(&subject.name).unwrap());
                subject.path = PathBuf::from(format!("/dev/shm/mq.{name}"));
            }
            2 => {
                let options =
                    sysv_mq::Options::new().message_size(LONGEST).bytes(400).max_bytes(800).handles(8);
                let queue = sysv_mq::get_queue(sysv_mq::IPC_PRIVATE, 0o600, &options).unwrap();
                subject.id = queue.id();
                subject.path =
                    format!("/dev/shm/sysv-mq.{}.id.{}", nix::unistd::geteuid(), subject.id).into();
            }
            _ => {
                let options = socket::Options::new().send_buffer(4096).nonblocking(true);
                subject.receiver = Some(Datagram::bind(&subject.path, &options).unwrap());
            }
        }
        let handle = subject.open().unwrap();
        (subject, handle)
    }

    fn open(&self) -> Result<Handle> {
        Ok(match self.kind {
            0 => Handle::Pipe(fifo::Fifo::file(&self.path)?.open_both(fifo::Open::Nonblocking)?),
            1 => {
                let both = posix_mq::Open::existing(posix_mq::Access::Both);
                Handle::Posix(both.nonblocking(true).open(&self.name)?)
            }
            2 => Handle::SysV(sysv_mq::Queue::of_id(self.id)?),
            _ => {
                let mut sender = Datagram::unbound(&socket::Options::new().nonblocking(true))?;
                sender.connect(&self.path)?;
                Handle::Sender(sender)
            }
        })
    }

    /// Any verb that does not wait.
    fn verb(&mut self, handle: &mut Handle, choose: &mut impl FnMut(u64) -> u64) -> Result<()> {
        let message = &[3; MUCH][..choose(LONGEST as u64 + 2) as usize];
        let mut to = [0; MUCH];
        let which = choose(6);
        match handle {
            Handle::Pipe(both) => {
                let len = choose(MUCH as u64 + 1) as usize;
                match which {
                    0 | 1 => both.write(&[3; MUCH][..len]).map(drop),
                    2 | 3 => both.read(&mut to[..len]).map(drop),
                    4 => both.unread().map(drop),
                    _ => both.set_capacity(4096 << choose(3)).map(drop),
                }
            }
            Handle::Posix(queue) => match which {
                0 | 1 => queue.send(message, choose(5) as u32),
                2 | 3 => queue.receive(&mut to).map(drop),
                4 => queue.notify(None),
                _ => queue.attributes().map(drop),
            },
            Handle::SysV(queue) => match which {
                0 | 1 => queue.send(1 + choose(4) as i64, message, flags::IPC_NOWAIT),
                2 | 3 => {
                    let how = [0, flags::MSG_NOERROR, flags::MSG_COPY][choose(3) as usize];
                    queue.receive(&mut to, choose(7) as i64 - 3, flags::IPC_NOWAIT | how).map(drop)
                }
                4 => {
                    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
                    queue.set(&sysv_mq::Change { uid, gid, mode: 0o600, qbytes: 1 + choose(800) })
                }
                _ => queue.stat().map(drop),
            },
            Handle::Sender(sender) => {
                let receiver = self.receiver.as_mut().unwrap();
                match which {
                    0 | 1 => sender.send(message).map(drop),
                    2 => receiver.recv(&mut to).map(drop),
                    3 => receiver.recv_from(&mut to[..choose(LONGEST as u64) as usize]).map(drop),
                    4 => receiver.peek_from(&mut to).map(drop),
                    _ => receiver.unread().map(drop),
                }
            }
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Garbage somewhere in the segment, or as it was at first.
fn attack(file: &File, sound: &[u8], kind: u64, choose: &mut impl FnMut(u64) -> u64) {
    let (at, size) = match choose(8) {
        0 => {
            let (at, size) = HEADER[choose(HEADER.len() as u64) as usize];
            (at as u64, size)
        }
        // Where the control lines are, the tables of seats and cells behind them, and what is in them.
        1..=3 => (CONTROL + 8 * choose(128), 8),
        4 => (CONTROL + 8 * choose(1024), 8),
        5 => (CONTROL + 8 * choose((sound.len() as u64 - CONTROL) / 8), 8),
        _ => return file.write_all_at(sound, 0).unwrap(),
    };
    if matches!(kind, 1 | 2) && WATCH.contains(&at) || at as usize + size > sound.len() {
        return;
    }
    let mut word = [0; 8];
    file.read_exact_at(&mut word[..size], at).unwrap();
    let old = u64::from_ne_bytes(word);
    let new = match choose(8) {
        0 => 0,
        1 => u64::MAX,
        2 => choose(1 << 32) << 32 | choose(1 << 32),
        3 => old ^ 1 << choose(64),
        4 | 5 => old.wrapping_add(choose(5)).wrapping_sub(2),
        6 => 1 << choose(64),
        _ => choose(40),
    };
    // Free, or its last holder died.
    let free = |word: u64| if word & 1 == 0 { word & !OWNER } else { word | OWNER };
    let new = if matches!(kind, 1 | 2) && at == CONTROL { free(new) } else { new };
    file.write_all_at(&new.to_ne_bytes()[..size], at).unwrap();
    if at < CONTROL && choose(4) > 0 {
        let mut header = sound[..CONTROL as usize].to_vec();
        file.read_exact_at(&mut header, 0).unwrap();
        sum_up(&mut header);
        file.write_all_at(&header, 0).unwrap();
    }
}

pub(crate) fn run(input: &[u8]) -> Count {
    let mut input = Unstructured::new(input);
    let mut count = Count::new();
    let kind = below(&mut input, 4);
    let (mut subject, first) = Subject::new(kind);
    let mut handles = vec![first];
    let file = File::options().read(true).write(true).open(&subject.path).unwrap();
    let mut sound = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut sound, 0).unwrap();
    assert_ne!(number(&sound[..8]), 0, "a segment has its magic");
    let mut add = |what, n| *count.entry(what).or_default() += n;
    let mut attacked = false;
    while !input.is_empty() {
        let mut choose = |n| below(&mut input, n);
        match choose(8) {
            0..=2 => {
                attack(&file, &sound, kind, &mut choose);
                add(ATTACKS, 1);
                attacked = true;
            }
            3 => {
                if handles.len() > 1 {
                    handles.remove(choose(handles.len() as u64) as usize);
                }
                match subject.open() {
                    Ok(handle) => {
                        handles.push(handle);
                        add(ATTACHED, 1);
                    }
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        add(REFUSED, 1);
                    }
                }
            }
            _ => {
                let handle = choose(handles.len() as u64) as usize;
                let answer = subject.verb(&mut handles[handle], &mut choose);
                if attacked {
                    let fault = |error: &std::io::Error| error.raw_os_error() == Some(nix::libc::EIO);
                    add(VERBS, 1);
                    add(DONE, u64::from(answer.is_ok()));
                    add(FAULTS, u64::from(answer.is_err_and(|error| fault(&error))));
                }
            }
        }
    }
    count
}
