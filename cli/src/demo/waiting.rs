//! Who waits, and how somebody is told: blocking receives, notification, signals.

use std::io::{self, Stdout, Write};
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use slipring::adapters::posix_mq::{self, Access, Notify, Open};
use slipring::adapters::sysv_mq;
use slipring_conform::process::{Child, first_real_time_signal, signals_that_come, until};
use slipring_conform::sys;

/// How long a receiver is left without a message.
const WHILE: Duration = Duration::from_millis(500);

/// A receiver of the kernel's queue and one of slipring's, watched while nothing comes.
pub(super) fn waits(out: &mut Stdout) -> io::Result<()> {
    let id = sys::msgget(nix::libc::IPC_PRIVATE, 0o600)?;
    let receive = || sys::msgrcv(id, &mut [0; 64], 0, 0).map(drop);
    let watched = watch(out, "msgrcv(2)", receive, || sys::msgsnd(id, 1, b"now", 0));
    sys::msgrmid(id)?;
    watched?;

    let make = sysv_mq::flags::IPC_CREAT | 0o600;
    let mut queue = sysv_mq::get_queue(sysv_mq::IPC_PRIVATE, make, &sysv_mq::Options::new())?;
    let mut there = queue.clone();
    let receive = || there.receive(&mut [0; 64], 0, 0).map(drop);
    let watched = watch(out, "slipring's receive", receive, || queue.send(1, b"now", 0));
    queue.remove()?;
    watched
}

fn watch(
    out: &mut Stdout,
    what: &str,
    receive: impl FnOnce() -> io::Result<()>,
    send: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let mut receiver = Child::doing(receive)?;
    let waits = receiver.waits()?;
    let before = receiver.run_time();
    std::thread::sleep(WHILE);
    let used = receiver.run_time() - before;
    // Between two looks of its own it sleeps; it may be in one, and wait for a core.
    let state = until(|| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", receiver.id()))?;
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or("?").trim();
        Ok(state.starts_with('S').then(|| state.to_owned()))
    })?;
    let share = used.as_secs_f64() / WHILE.as_secs_f64() * 100.0;
    let waits = if waits { "waits" } else { "does not wait" };
    send()?;
    receiver.done()?;
    writeln!(out, "{what} {waits}, state {state}, {share:.2} % of a core; a message was sent, and it came")
}

/// A callback of slipring's queue.
pub(super) fn notify(out: &mut Stdout) -> io::Result<()> {
    let name = format!("/slipring-demo-{}", std::process::id());
    let how = Open::existing(Access::Both).create(&posix_mq::Options::new());
    let mut queue = how.exclusive(true).open(&name)?;
    posix_mq::unlink(&name)?;
    let (calls, called) = mpsc::channel();
    let register = |queue: &mut posix_mq::Queue| {
        let calls = calls.clone();
        queue.notify(Some(Notify::Call(Box::new(move || calls.send(()).unwrap_or_default()))))
    };
    register(&mut queue)?;
    let second = register(&mut queue).err().and_then(|error| error.raw_os_error());
    let second = second.map_or("taken".to_owned(), |errno| format!("{:?}", Errno::from_raw(errno)));
    writeln!(out, "asked to be called; a second request: {second}")?;
    queue.send(b"first", 0)?;
    let told = called.recv_timeout(Duration::from_secs(10)).is_ok();
    writeln!(out, "a message came to the empty queue: {}", if told { "called" } else { "not called" })?;
    queue.receive(&mut [0; 8192])?;
    queue.send(b"second", 0)?;
    let again = called.recv_timeout(Duration::from_millis(300)).is_ok();
    writeln!(out, "and the next, without asking again: {}", if again { "called" } else { "not called" })
}

/// Standard and real-time signals.
pub(super) fn signals(out: &mut Stdout) -> io::Result<()> {
    let real_time = first_real_time_signal();
    for (name, signal) in [("SIGUSR1", nix::libc::SIGUSR1), ("SIGRTMIN", real_time)] {
        let times = 3;
        let come = signals_that_come(signal, times)?;
        writeln!(out, "{name} was sent {times} times while it was blocked, and came {come}")?;
    }
    Ok(())
}
