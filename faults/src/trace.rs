//! A forked process under ptrace(2): run to where it says, moved on by single machine instructions, killed or frozen
//! between any two of them. A system call is one step.
//!
//! Single steps cost microseconds each, so the way to step k of a long verb is shortened: once recorded, the last
//! instruction before k that the verb executes only once is reached at full speed, by a hardware breakpoint, and the
//! rest by steps. Where the victim then stands is compared with the record.

use crate::child::{self, Child};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::mem::offset_of;
use std::sync::OnceLock;

/// A traced process. Dropping it kills it.
pub struct Victim {
    child: Child,
}

/// Where a victim is after it was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Between two instructions.
    Step,
    /// In [`mark`].
    Mark,
    /// It is gone, which no victim should be by itself.
    Gone,
}

/// Keeps this thread, and what it forks from now on, on the core that it is on: a step is two context switches, and
/// between cores each of them would be a wake-up of a sleeping one, ten times as long.
pub fn stay_on_one_core() {
    // SAFETY: a system call without arguments.
    let core = unsafe { libc::sched_getcpu() };
    let mut set = CpuSet::new();
    if set.set(core.unsigned_abs() as usize).is_ok() {
        // Else it is merely slow.
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

/// Said by the victim: what is to be stepped begins, or ends, here.
pub fn mark() {
    match ON_MARK.get() {
        Some(instead) => instead(),
        None => drop(raise(Signal::SIGSTOP)),
    }
}

static ON_MARK: OnceLock<fn()> = OnceLock::new();

/// Has `instead` called at each [`mark`] of this process, which nobody traces then.
pub fn on_mark(instead: fn()) {
    let _ = ON_MARK.set(instead);
}

impl Victim {
    /// Forks a victim and lets it run to its first [`mark`]. The calling thread is the only one that may use it.
    ///
    /// # Errors
    /// If it ended before it got there.
    pub fn run(work: impl FnOnce()) -> Result<Victim, String> {
        let child = child::fork(|| {
            ptrace::traceme().expect("ptrace(PTRACE_TRACEME)");
            work();
        });
        let mut victim = Victim { child };
        match victim.wait() {
            At::Mark => {}
            at => return Err(format!("the victim did not reach its mark: {at:?}")),
        }
        let options = ptrace::Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(victim.pid(), options).map_err(|e| format!("ptrace(PTRACE_SETOPTIONS): {e}"))?;
        Ok(victim)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.child.pid()
    }

    fn wait(&mut self) -> At {
        loop {
            return match waitpid(self.pid(), Some(WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)) => At::Step,
                Ok(WaitStatus::Stopped(_, Signal::SIGSTOP)) => At::Mark,
                Ok(WaitStatus::Stopped(_, other)) if ptrace::cont(self.pid(), other).is_ok() => continue,
                Err(nix::errno::Errno::EINTR) => continue,
                _ => At::Gone,
            };
        }
    }

    /// One machine instruction.
    pub fn step(&mut self) -> At {
        match ptrace::step(self.pid(), None) {
            Ok(()) => self.wait(),
            Err(_) => At::Gone,
        }
    }

    /// The address of the next instruction.
    #[must_use]
    pub fn pc(&self) -> u64 {
        let at = offset_of!(libc::user_regs_struct, rip);
        ptrace::read_user(self.pid(), at as ptrace::AddressType).unwrap_or(0) as u64
    }

    /// On to the next mark, at full speed.
    pub fn to_mark(&mut self) -> At {
        match ptrace::cont(self.pid(), None) {
            Ok(()) => self.wait(),
            Err(_) => At::Gone,
        }
    }

    /// Full speed up to the next time that it comes to `pc`, or to its next mark.
    pub fn to(&mut self, pc: u64) -> At {
        let pid = self.pid();
        let set = |register: usize, value: u64| {
            let at = offset_of!(libc::user, u_debugreg) + register * size_of::<u64>();
            ptrace::write_user(pid, at as ptrace::AddressType, value as libc::c_long)
        };
        // Register 0 holds the address; bit 0 of register 7 turns it on, for execution.
        if set(0, pc).and_then(|()| set(7, 1)).is_err() {
            return At::Gone;
        }
        let at = self.to_mark();
        if at != At::Gone {
            let _ = set(7, 0);
        }
        at
    }

    /// Off by itself, untraced: it goes on where it stands.
    ///
    /// # Errors
    /// If it is gone.
    pub fn let_go(self) -> Result<Child, String> {
        ptrace::detach(self.pid(), None).map_err(|e| format!("ptrace(PTRACE_DETACH): {e}"))?;
        Ok(self.child)
    }

    /// SIGKILL where it stands, and its end awaited.
    pub fn kill(self) {
        self.child.kill();
    }
}

/// The instructions of a verb, from mark to mark, as they were once executed.
pub struct Record {
    pcs: Vec<u64>,
    /// For each step, how often its instruction had been executed by then, this time included.
    nth: Vec<u32>,
    /// How often each was executed in all.
    times: HashMap<u64, u32>,
}

impl Record {
    /// Steps the victim from its first mark to its second.
    ///
    /// # Errors
    /// If it ends before, or takes more than `most` instructions.
    pub fn of(mut victim: Victim, most: usize) -> Result<Record, String> {
        let mut pcs = vec![victim.pc()];
        let mut times = HashMap::new();
        loop {
            match victim.step() {
                At::Step if pcs.len() <= most => pcs.push(victim.pc()),
                At::Step => return Err(format!("more than {most} instructions")),
                At::Mark => break,
                At::Gone => return Err(format!("the victim is gone after {} instructions", pcs.len())),
            }
        }
        let count = |&pc: &u64| {
            let times: &mut u32 = times.entry(pc).or_insert(0);
            *times += 1;
            *times
        };
        let nth = pcs.iter().map(count).collect();
        Ok(Record { pcs, nth, times })
    }

    /// How many instructions the verb has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pcs.len()
    }

    /// Whether nothing was executed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pcs.is_empty()
    }

    /// The steps to look at, from `stride` on to the next `stride`; of an instruction that was executed more than
    /// 2 × `most` times, as in a loop that polls, only the first and the last `most` times.
    #[must_use]
    pub fn steps(&self, stride: usize, most: u32) -> Vec<usize> {
        let mut seen = HashMap::new();
        let mut steps = Vec::new();
        for (k, pc) in self.pcs.iter().enumerate() {
            let nth = seen.entry(pc).or_insert(0_u32);
            *nth += 1;
            if *nth <= most || *nth + most > self.times[pc] {
                steps.push(k);
            }
        }
        steps.into_iter().step_by(stride).collect()
    }

    /// Moves a fresh victim from its first mark to step `k`, or to its second mark behind the last step. Whether it stands where the recorded one stood; if not
    /// (it took another way, as when the clock was read at another moment), it stands at some other instruction of the
    /// verb, or at its second mark.
    pub fn go(&self, victim: &mut Victim, k: usize) -> Arrived {
        if k >= self.len() {
            return match victim.to_mark() {
                At::Mark => Arrived::AtEnd,
                _ => Arrived::Gone,
            };
        }
        // A breakpoint hit costs about as much as a few steps.
        let cost = |at: usize| self.nth[at] as usize * 4 + (k - at);
        let near = (k.saturating_sub(1000).max(1)..=k).min_by_key(|&at| cost(at));
        let from = near.filter(|&at| cost(at) < k).unwrap_or(0);
        for _ in 0..if from > 0 { self.nth[from] } else { 0 } {
            match victim.to(self.pcs[from]) {
                At::Step => {}
                At::Mark => return Arrived::AtEnd,
                At::Gone => return Arrived::Gone,
            }
        }
        for _ in from..k {
            match victim.step() {
                At::Step => {}
                At::Mark => return Arrived::AtEnd,
                At::Gone => return Arrived::Gone,
            }
        }
        if victim.pc() == self.pcs[k] { Arrived::There } else { Arrived::Elsewhere }
    }
}

/// Where a victim got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// At the instruction that was asked for.
    There,
    /// At another instruction of the verb.
    Elsewhere,
    /// The verb is done.
    AtEnd,
    /// The victim is gone.
    Gone,
}
