//! A sender and a receiver of a message queue, two processes that meet by a key, and the four orders in which messages can come
//! out.
//!
//! ```text
//! cargo run --example mq_pair
//! cargo run --example mq_pair -- send /tmp 10 'a text'      # as two programs that know the same path
//! cargo run --example mq_pair -- receive /tmp -10           # type 0: the oldest, 10: this type, -10: the lowest up to 10
//! ```
//!
//! The pair that circulates, put right: the number given to ftok(3) is not 1024, whose low eight bits, which alone count, are
//! none; the flag is called IPC_NOWAIT; the length of a message is that of its text, not that of the struct with its type,
//! which is eight bytes more; and a type is no priority, unless the receiver asks for the lowest. What a priority does, the
//! last line shows, on a POSIX queue.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use slipring::adapters::posix_mq::{self, Access, Open};
use slipring::adapters::sysv_mq::{Options, Queue, flags, ftok, get_queue};
use std::io::{self, Write};
use std::path::Path;

/// What both programs agree on, beside the path.
const PROJECT: i32 = b'm' as i32;
/// What is sent, each with its type or priority.
const MESSAGES: [(i64, &str); 4] = [(10, "A"), (1, "the text of B is longer"), (10, "C"), (5, "D")];

/// The queue of whoever names this file, which must exist; made if it is not there.
///
/// # Errors
/// No such file; not allowed; no memory.
pub fn meet(path: &Path) -> io::Result<Queue> {
    let path = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    get_queue(ftok(path, PROJECT)?, flags::IPC_CREAT | 0o600, &Options::new())
}

/// The next message as it is asked for, without waiting: its type and its text.
///
/// # Errors
/// ENOMSG if there is none.
pub fn receive(queue: &mut Queue, kind: i64, flags: i32) -> io::Result<(i64, String)> {
    let mut text = vec![0; queue.message_size()];
    let (len, kind) = queue.receive(&mut text, kind, flags)?;
    text.truncate(len);
    Ok((kind, String::from_utf8_lossy(&text).into_owned()))
}

/// Runs the sender in a process of its own.
fn elsewhere(send: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // SAFETY: the child sends, uses nothing that another thread could hold, and ends at once.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let sent = send();
            // SAFETY: ends the child without running what its parent has registered for its own end.
            unsafe { libc::_exit(i32::from(sent.is_err())) }
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            status => Err(io::Error::other(format!("the sender: {status:?}"))),
        },
    }
}

/// All that a selection gives, until it gives no more.
fn all(queue: &mut Queue, kind: i64) -> String {
    let taken = std::iter::from_fn(|| receive(queue, kind, flags::IPC_NOWAIT).ok());
    let texts: Vec<_> = taken.map(|(kind, text)| format!("{} ({kind})", brief(&text))).collect();
    texts.join(", ")
}

/// The letter that a text is about.
fn brief(text: &str) -> &str {
    text.split(' ').find(|word| word.len() == 1).unwrap_or(text)
}

/// All orders.
///
/// # Errors
/// No memory, or `out` cannot be written.
pub fn run(out: &mut impl Write) -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("slipring-pair-{}", std::process::id()));
    std::fs::write(&path, "what both know")?;
    let done = meet(&path).and_then(|mut queue| {
        let done = orders(&path, &mut queue, out);
        queue.remove().and(done)
    });
    std::fs::remove_file(&path)?;
    done?;
    priorities(out)
}

fn orders(path: &Path, queue: &mut Queue, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "sent in this order: A (10), B (1), C (10), D (5)")?;
    for (kind, what) in
        [(0, "type 0, the oldest"), (-10, "type -10, the lowest up to 10"), (10, "type 10, this alone")]
    {
        out.flush()?;
        elsewhere(|| {
            let mut queue = meet(path)?;
            MESSAGES.iter().try_for_each(|(kind, text)| queue.send(*kind, text.as_bytes(), flags::IPC_NOWAIT))
        })?;
        let bytes = queue.stat()?.cbytes;
        let came = all(queue, kind);
        let left = all(queue, 0);
        let left = if left.is_empty() { String::new() } else { format!("; left: {left}") };
        writeln!(out, "System V, {what}: {came}{left} ({bytes} bytes were in the queue)")?;
    }
    Ok(())
}

fn priorities(out: &mut impl Write) -> io::Result<()> {
    let name = format!("/slipring-pair-{}", std::process::id());
    let how = Open::existing(Access::Both).create(&posix_mq::Options::new());
    let mut queue = how.exclusive(true).nonblocking(true).open(&name)?;
    let sent = elsewhere(|| {
        let mut queue = Open::existing(Access::Write).open(&name)?;
        MESSAGES.iter().try_for_each(|(priority, text)| queue.send(text.as_bytes(), *priority as u32))
    });
    posix_mq::unlink(&name)?;
    sent?;
    let mut to = vec![0; queue.attributes()?.message_size];
    let taken = std::iter::from_fn(|| {
        let (len, priority) = queue.receive(&mut to).ok()?;
        Some(format!("{} ({priority})", brief(&String::from_utf8_lossy(&to[..len]))))
    });
    let came: Vec<_> = taken.collect();
    writeln!(out, "POSIX, the highest priority: {}", came.join(", "))
}

#[allow(dead_code, reason = "the test of the examples calls what is inside")]
fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| text.parse::<i64>().map_err(io::Error::other);
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(&mut io::stdout()),
        ["send", path, kind, text] => meet(path.as_ref())?.send(number(kind)?, text.as_bytes(), 0),
        ["receive", path, kind] => {
            let (kind, text) = receive(&mut meet(path.as_ref())?, number(kind)?, 0)?;
            println!("{kind}: {text}");
            Ok(())
        }
        ["remove", path] => meet(path.as_ref())?.remove(),
        _ => Err(io::Error::other("say nothing, or send PATH TYPE TEXT, receive PATH TYPE, or remove PATH")),
    }
}
