//! System calls a message: a measurement is made once more, untimed, in a process whose descendants are all traced
//! (ptrace(2)), and every call of the timed part is counted by its name.
//!
//! Where the timed part begins and ends in a process is seen from the outside: at each end it asks for its own processor
//! time, and nowhere else. Tracing makes calls some ten times slower, so a side that polls before it sleeps may sleep
//! where it would not have: for mechanisms that poll first the count is an upper bound. Code without calls runs as fast
//! as ever.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::HarnessError;
use crate::measure::Setting;
use crate::process::followed;
use crate::rounds::Cell;

/// What was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Messages meanwhile.
    pub(crate) messages: u64,
    /// Calls meanwhile, of both sides, by name.
    pub(crate) calls: BTreeMap<String, u64>,
}

/// Measures the cell once and counts.
pub(crate) fn count(setting: &Setting, cell: &Cell) -> Result<Counted, HarnessError> {
    let mut counter = Counter::default();
    let messages = followed(|| Ok(cell.read(setting)?.messages()), |pid, go| counter.follow(pid, go))?;
    Ok(Counted { messages, calls: counter.calls })
}

#[derive(Default)]
struct Counter {
    calls: BTreeMap<String, u64>,
    /// Who is in its timed part.
    timed: BTreeSet<i32>,
    /// Who is traced and has not ended.
    alive: BTreeSet<i32>,
}

impl Counter {
    /// Traces a process and all it starts, from `go` until the last of them has ended.
    fn follow(&mut self, root: Pid, go: &mut dyn FnMut()) -> Result<(), HarnessError> {
        let failed = |errno| HarnessError::os("tracing a measuring process", errno);
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
            | ptrace::Options::PTRACE_O_TRACEFORK
            | ptrace::Options::PTRACE_O_TRACEVFORK
            | ptrace::Options::PTRACE_O_TRACECLONE
            | ptrace::Options::PTRACE_O_EXITKILL;
        ptrace::seize(root, options).map_err(failed)?;
        ptrace::interrupt(root).map_err(failed)?;
        self.alive.insert(root.as_raw());
        go();
        while !self.alive.is_empty() {
            match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Ok(status) => self.handle(status).map_err(failed)?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    fn handle(&mut self, status: WaitStatus) -> Result<(), Errno> {
        let (pid, signal) = match status {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) => {
                self.alive.remove(&pid.as_raw());
                return Ok(());
            }
            WaitStatus::PtraceSyscall(pid) => {
                self.count(pid)?;
                (pid, None)
            }
            WaitStatus::PtraceEvent(pid, ..) => (pid, None),
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            _ => return Ok(()),
        };
        self.alive.insert(pid.as_raw());
        match ptrace::syscall(pid, signal) {
            // It was killed while it was stopped; its end is still to come.
            Err(Errno::ESRCH) => Ok(()),
            done => done,
        }
    }

    fn count(&mut self, pid: Pid) -> Result<(), Errno> {
        let info = match ptrace::syscall_info(pid) {
            Err(Errno::ESRCH) => return Ok(()),
            info => info?,
        };
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return Ok(());
        }
        // SAFETY: the kernel has filled in an entry, as `op` says.
        let entry = unsafe { info.u.entry };
        let number = entry.nr as libc::c_long;
        let own_time = number == libc::SYS_getrusage && entry.args[0] as libc::c_int == libc::RUSAGE_SELF;
        if own_time {
            if !self.timed.remove(&pid.as_raw()) {
                self.timed.insert(pid.as_raw());
            }
        } else if self.timed.contains(&pid.as_raw()) {
            *self.calls.entry(name(number)).or_default() += 1;
        }
        Ok(())
    }
}

/// A call's name, as far as measured mechanisms make it; else its number.
fn name(number: libc::c_long) -> String {
    const NAMES: &[(libc::c_long, &str)] = &[
        (libc::SYS_read, "read"),
        (libc::SYS_write, "write"),
        (libc::SYS_readv, "readv"),
        (libc::SYS_writev, "writev"),
        (libc::SYS_madvise, "madvise"),
        (libc::SYS_futex, "futex"),
        (libc::SYS_membarrier, "membarrier"),
        (libc::SYS_sched_yield, "sched_yield"),
        (libc::SYS_sendto, "sendto"),
        (libc::SYS_recvfrom, "recvfrom"),
        (libc::SYS_mq_timedsend, "mq_timedsend"),
        (libc::SYS_mq_timedreceive, "mq_timedreceive"),
        (libc::SYS_msgsnd, "msgsnd"),
        (libc::SYS_msgrcv, "msgrcv"),
        (libc::SYS_semop, "semop"),
        (libc::SYS_semtimedop, "semtimedop"),
        (libc::SYS_kill, "kill"),
        (libc::SYS_rt_sigqueueinfo, "rt_sigqueueinfo"),
        (libc::SYS_rt_sigtimedwait, "rt_sigtimedwait"),
        (libc::SYS_fcntl, "fcntl"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_poll, "poll"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_epoll_wait, "epoll_wait"),
        (libc::SYS_ppoll, "ppoll"),
        (libc::SYS_epoll_pwait, "epoll_pwait"),
        (libc::SYS_clock_nanosleep, "clock_nanosleep"),
    ];
    let known = NAMES.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("call {number}"), |(_, name)| (*name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_names_or_at_least_numbers() {
        assert_eq!(name(libc::SYS_futex), "futex");
        assert_eq!(name(9999), "call 9999");
    }
}
