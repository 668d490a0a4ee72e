//! A signal with a value to another process, as the kernel's message queues send it. To whom is the caller's business.

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

/// `si_code` of a notification by a message queue (sigaction(2)).
const SI_MESGQ: libc::c_int = -3;

/// Sends `signal` with `value` to `pid`, as message queues do, if `is_it` still says so once the process cannot be
/// mistaken for another any more (pidfd_open(2)). Signal 0 is none.
pub fn notify(pid: u32, signal: u32, value: u64, is_it: impl FnOnce() -> bool) {
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
        code: SI_MESGQ,
        padding: 0,
        pid: std::process::id() as libc::pid_t,
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
