//! A small process with one thread that forks participants, kills, stops and reaps them, on command. Forking from it is
//! cheap and safe whatever its client is; and when the client is gone, so are it and all participants.

use crate::child::{Child, fork};
use nix::sys::wait::WaitStatus;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The client's end.
pub struct Server {
    line: UnixStream,
    _process: Child,
}

const SPAWN: u64 = 0;
const KILL: u64 = 1;
const STOP: u64 = 2;
const RESUME: u64 = 3;
const ENDED: u64 = 4;

const NO: u64 = 0;
const YES: u64 = 1;
const FAILED: u64 = 2;

impl Server {
    /// Starts it. `work(seat, who)` is what a participant does.
    ///
    /// # Errors
    /// Of the system calls that it takes.
    pub fn start(work: impl Fn(usize, u32)) -> std::io::Result<Server> {
        let (line, theirs) = UnixStream::pair()?;
        let process = fork(|| serve(theirs, &work));
        Ok(Server { line, _process: process })
    }

    fn ask(&mut self, op: u64, seat: usize, who: u32) -> Result<u64, String> {
        let failed = |e: std::io::Error| format!("the fork server is gone: {e}");
        let words = [op, seat as u64, u64::from(who)];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.line.write_all(&bytes).map_err(failed)?;
        let mut answer = [0; 8];
        self.line.read_exact(&mut answer).map_err(failed)?;
        Ok(u64::from_ne_bytes(answer))
    }

    /// A new participant on this seat.
    ///
    /// # Errors
    /// If the server is gone.
    pub fn spawn(&mut self, seat: usize, who: u32) -> Result<(), String> {
        self.ask(SPAWN, seat, who).map(drop)
    }

    /// SIGKILL, and its end awaited.
    ///
    /// # Errors
    /// If it had ended by itself: it failed.
    pub fn kill(&mut self, seat: usize) -> Result<(), String> {
        match self.ask(KILL, seat, 0)? {
            YES => Ok(()),
            _ => Err(format!("the participant on seat {seat} had failed before it was killed")),
        }
    }

    /// SIGSTOP, and the stop awaited.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub fn stop(&mut self, seat: usize) -> Result<(), String> {
        match self.ask(STOP, seat, 0)? {
            YES => Ok(()),
            _ => Err(format!("the participant on seat {seat} had failed before it was stopped")),
        }
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// If the server is gone.
    pub fn resume(&mut self, seat: usize) -> Result<(), String> {
        self.ask(RESUME, seat, 0).map(drop)
    }

    /// Whether it has left.
    ///
    /// # Errors
    /// If it failed.
    pub fn ended(&mut self, seat: usize) -> Result<bool, String> {
        match self.ask(ENDED, seat, 0)? {
            NO => Ok(false),
            YES => Ok(true),
            _ => Err(format!("the participant on seat {seat} failed")),
        }
    }
}

fn serve(mut line: UnixStream, work: &impl Fn(usize, u32)) {
    let mut children: HashMap<u64, Child> = HashMap::new();
    let mut words = [[0; 8]; 3];
    while line.read_exact(words.as_flattened_mut()).is_ok() {
        let [op, seat, who] = words.map(u64::from_ne_bytes);
        let answer = match op {
            SPAWN => {
                let child = fork(|| work(seat as usize, who as u32));
                children.insert(seat, child);
                YES
            }
            KILL => match children.remove(&seat).map(Child::kill) {
                Some(WaitStatus::Signaled(_, nix::sys::signal::Signal::SIGKILL, _)) => YES,
                _ => FAILED,
            },
            STOP => match children.get_mut(&seat).map(Child::stop) {
                Some(true) => YES,
                _ => FAILED,
            },
            RESUME => {
                if let Some(child) = children.get(&seat) {
                    child.resume();
                }
                YES
            }
            _ => match children.get_mut(&seat).and_then(|child| child.ended(Duration::ZERO)) {
                None => NO,
                Some(WaitStatus::Exited(_, 0)) => YES,
                Some(_) => FAILED,
            },
        };
        if line.write_all(&answer.to_ne_bytes()).is_err() {
            break;
        }
    }
}
