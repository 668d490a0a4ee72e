//! A signal with a value to a process, as the kernel's message queues and sigqueue(3) send it. To whom is the caller's
//! business.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The beginning of the kernel's `siginfo_t` on 64-bit machines for a signal that carries a value, and the rest of it.
#[repr(C)]
struct Info {
    signal: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    padding: libc::c_int,
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: u64,
    rest: [u8; 96],
}

const _: () = assert!(size_of::<Info>() == size_of::<libc::siginfo_t>());

/// Signals are no greater than this (signal(7)).
pub const LAST: i32 = 64;

/// Who says that it sent a signal (`si_code`, sigaction(2)).
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Code {
    /// A process, by sigqueue(3).
    Queue = libc::SI_QUEUE,
    /// A message queue, when a message came.
    MessageQueue = libc::SI_MESGQ,
}

/// What a signal says of where it comes from.
#[derive(Clone, Copy)]
pub struct Origin {
    /// The process in whose name it is sent (`si_pid`).
    pub pid: u32,
    /// What sent it.
    pub code: Code,
}

/// Sends `signal` with `value` to `pid`, if `is_it` still says so once the process cannot be mistaken for another any
/// more (pidfd_open(2)). Signal 0 is none.
pub fn notify(pid: u32, signal: u32, value: u64, from: Origin, is_it: impl FnOnce() -> bool) {
    if signal == 0 {
        return;
    }
    // SAFETY: takes two numbers and returns a descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return;
    }
    // SAFETY: the kernel has just made it for this process.
    let process = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    if !is_it() {
        return;
    }
    let info = Info {
        signal: signal as libc::c_int,
        errno: 0,
        code: from.code as libc::c_int,
        padding: 0,
        pid: from.pid as libc::pid_t,
        uid: nix::unistd::getuid().as_raw(),
        value,
        rest: [0; 96],
    };
    // An error means that it has ended, or its queue of signals is full: as with the kernel's, nobody is told.
    // SAFETY: `info` is as long as the kernel's siginfo_t and lives across the call.
    let _ = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, &raw const info, 0)
    };
}

/// From now on this thread handles no signal that it can be spared.
pub fn block_all() {
    let mut all = std::mem::MaybeUninit::uninit();
    // SAFETY: `all` is a signal set to be filled in.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: filled in by the line before; no old mask is asked for.
    let _ = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) };
}
