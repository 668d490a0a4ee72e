//! Semaphores: what they count, and what they do not know.

use std::io::{self, Stdout, Write};
use std::time::Duration;

use slipring::adapters::sem::{Semaphore, Unnamed};
use slipring::adapters::semset::{Operation, Set};
use slipring::adapters::sysv::{IPC_PRIVATE, Obtain};
use slipring_conform::kernel;
use slipring_conform::process::{Child, until};

use super::examples::workers;

/// How many of them there are, and how long one waits before it tries again.
const WORKERS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// Three processes and one resource.
pub(super) fn workers(out: &mut Stdout) -> io::Result<()> {
    let name = format!("/slipring-demo-{}", std::process::id());
    let semaphore = Semaphore::obtain(&name, Obtain::CreateNew, 0o600, 1)?;
    let work = |number| Child::doing(|| workers::work(&name, number, PAUSE, &mut io::stdout()).map(drop));
    let started: io::Result<Vec<_>> = (1..=WORKERS).map(work).collect();
    let done = started.and_then(|mut all| all.iter_mut().try_for_each(Child::done));
    Semaphore::unlink(&name)?;
    done?;
    writeln!(out, "the semaphore has {} again", semaphore.value())
}

/// What a mutex would not do.
pub(super) fn owner(out: &mut Stdout) -> io::Result<()> {
    let semaphore = kernel::Semaphore::anonymous(0)?;
    let tried = semaphore.try_wait().is_err();
    writeln!(
        out,
        "a value of {}: who tries gets {}",
        semaphore.value(),
        if tried { "EAGAIN" } else { "it" }
    )?;
    let mut waiter = Child::doing(|| semaphore.wait())?;
    let sleeps = waiter.waits()?;
    writeln!(
        out,
        "who waits {}, and the value is {}, not -1",
        if sleeps { "sleeps" } else { "goes on" },
        semaphore.value()
    )?;
    // This process never waited for it.
    semaphore.post()?;
    waiter.done()?;
    writeln!(out, "somebody who never had it posts: the waiter goes on")?;

    let unnamed = Unnamed::new(0)?;
    std::thread::scope(|threads| {
        let waiter = threads.spawn(|| unnamed.wait());
        unnamed.post()?;
        waiter.join().unwrap_or_else(|_| Err(io::Error::other("panicked")))
    })?;
    writeln!(out, "{} bytes without a name, shared by two threads: the other goes on", size_of::<Unnamed>())?;

    let one = kernel::Semaphore::anonymous(1)?;
    Child::holding(|| one.wait())?.kill();
    writeln!(out, "killed with the only permit: {} left", one.value())?;
    let set = Set::with_values(IPC_PRIVATE, &[1], Obtain::CreateNew, 0o600)?;
    let taken = Child::holding(|| set.operate(&[Operation::new(0, -1).undo()]));
    let back = taken.and_then(|holder| {
        holder.kill();
        until(|| Ok(Some(set.value(0)?).filter(|&value| value > 0)))
    });
    set.remove()?;
    writeln!(out, "killed with the only permit of a set, taken with SEM_UNDO: {} left", back?)
}
