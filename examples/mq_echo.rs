//! A server that answers on the queue on which it is asked. That takes a rule for types: requests have one that no answer has,
//! and each answer has that of who asked. The server of this kind that circulates receives any type and answers with the
//! request's type and one more, on the same queue: so it receives its own answers, before the client does or after.
//!
//! ```text
//! cargo run --example mq_echo
//! ```

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use slipring::adapters::sysv_mq::{IPC_PRIVATE, Options, Queue, flags, get_queue};
use std::io::{self, Write};

/// Of every request. Answers are above.
const REQUEST: i64 = 1;

/// Of answers to this process.
fn answers(to: u32) -> i64 {
    REQUEST + 1 + i64::from(to)
}

/// Asks, and waits for the answer to this process.
///
/// # Errors
/// EIDRM if the server has removed the queue.
pub fn ask(queue: &mut Queue, text: &str) -> io::Result<String> {
    let me = std::process::id();
    // Only what follows the type counts as the message: who asks stands in its first bytes.
    queue.send(REQUEST, &[&me.to_ne_bytes(), text.as_bytes()].concat(), 0)?;
    let mut answer = [0; 256];
    let (len, _) = queue.receive(&mut answer, answers(me), 0)?;
    Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
}

/// Answers so many requests.
///
/// # Errors
/// Of the queue.
pub fn serve(queue: &mut Queue, requests: usize) -> io::Result<()> {
    for _ in 0..requests {
        let mut request = [0; 256];
        let (len, _) = queue.receive(&mut request, REQUEST, 0)?;
        let (who, text) = request[..len].split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        let answer = [b"Reply to ", text].concat();
        queue.send(answers(u32::from_ne_bytes(*who)), &answer, 0)?;
    }
    Ok(())
}

/// Both: what goes wrong, and three clients that get their answers.
///
/// # Errors
/// No memory, or `out` cannot be written.
pub fn run(out: &mut impl Write) -> io::Result<()> {
    let mut queue = get_queue(IPC_PRIVATE, flags::IPC_CREAT | 0o600, &Options::new())?;
    let done = both(&mut queue, out);
    queue.remove().and(done)
}

fn both(queue: &mut Queue, out: &mut impl Write) -> io::Result<()> {
    let mut message = [0; 256];
    queue.send(7, b"request", 0)?;
    let (_, kind) = queue.receive(&mut message, 0, 0)?;
    queue.send(kind + 1, b"Reply", 0)?;
    let (len, kind) = queue.receive(&mut message, 0, 0)?;
    let got = String::from_utf8_lossy(&message[..len]);
    writeln!(
        out,
        "as it circulates: the server's next receive of type 0 gives {got:?} of type {kind}, its own"
    )?;
    out.flush()?;

    let mut clients = Vec::new();
    for number in 1..=3 {
        // SAFETY: the child uses the queue and its standard output, nothing that another thread could hold, and ends at once.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let text = format!("request {number}");
                let fine = ask(queue, &text).is_ok_and(|answer| answer == format!("Reply to {text}"));
                // SAFETY: ends the child without running what its parent has registered for its own end.
                unsafe { libc::_exit(i32::from(!fine)) }
            }
            ForkResult::Parent { child } => clients.push(child),
        }
    }
    serve(queue, clients.len())?;
    for (number, client) in (1..).zip(clients) {
        match waitpid(client, None)? {
            WaitStatus::Exited(_, 0) => writeln!(out, "client {number}: got the reply to request {number}")?,
            status => return Err(io::Error::other(format!("client {number}: {status:?}"))),
        }
    }
    writeln!(out, "left in the queue: {} messages", queue.stat()?.qnum)
}

#[allow(dead_code, reason = "the test of the examples calls what is inside")]
fn main() -> io::Result<()> {
    run(&mut io::stdout())
}
