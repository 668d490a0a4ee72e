//! Semaphores, the system's and slipring's: they count permits and carry nothing.
#![forbid(unsafe_code)]

use super::{Column, Found, found, fresh, name, opening, outcome};
use crate::kernel;
use crate::process::{self, Child};
use libc::{GETVAL, IPC_CREAT, IPC_PRIVATE, IPC_RMID};
use slipring::adapters::semset::{Operation, Set};
use slipring::adapters::sysv::Obtain;
use slipring::adapters::{sem, semset};
use std::io;

/// A number of permits. No call waits.
pub(super) trait Permits: Sized {
    /// The most that it counts.
    const MOST: u32;
    fn with(permits: u32) -> io::Result<Self>;
    fn take(&self) -> io::Result<()>;
    fn give(&self) -> io::Result<()>;
    fn value(&self) -> io::Result<u32>;
    /// What is said to who has opened nothing, and what was tried.
    fn unopened() -> io::Result<(&'static str, String)>;
    /// As `take`, to be undone if the process is gone; `None` if that cannot be asked for.
    fn borrow(&self) -> Option<io::Result<()>>;
}

/// Probes one kind.
pub(super) fn of_permits<P: Permits>(column: Column) -> io::Result<Found> {
    match column {
        Column::Connectionless => {
            let (what, refused) = P::unopened()?;
            found("no", format!("{what}: {refused}"))
        }
        Column::Reliable => {
            let permits = P::with(0)?;
            (0..1000).try_for_each(|_| permits.give())?;
            let taken = (0..2000).take_while(|_| permits.take().is_ok()).count();
            let seen = format!("1000 were posted, {taken} could be taken");
            found(if taken == 1000 { "yes" } else { "no" }, seen)
        }
        Column::FlowControl => {
            let refused = P::with(P::MOST)?.give();
            let seen = format!("a post too many does not wait: {}", outcome(&refused));
            found(if refused.is_err() { "n/a" } else { "no" }, seen)
        }
        Column::Records => {
            let permits = P::with(0)?;
            permits.give()?;
            permits.give()?;
            let value = permits.value()?;
            found(
                if value == 2 { "n/a" } else { "?" },
                format!("posted twice: the value is {value}, and that is all"),
            )
        }
        Column::Order => found("no", "permits are alike"),
        Column::Poll => {
            let count = || std::fs::read_dir("/proc/self/fd").map(Iterator::count);
            let before = count()?;
            let permits = P::with(0)?;
            let more = count()? - before;
            drop(permits);
            found("no", format!("no call gives a descriptor to poll; made with {more} open"))
        }
        Column::OpenWaits => opening("making it and posting", || P::with(0)?.give()),
        Column::Death => death::<P>(),
        Column::Longest => found("n/a", "it carries nothing"),
        Column::Holds => {
            let permits = P::with(P::MOST)?;
            let (value, more) = (permits.value()?, permits.give());
            found(value.to_string(), format!("{value} permits, one more: {}", outcome(&more)))
        }
    }
}

/// Who took the only permit was killed.
fn death<P: Permits>() -> io::Result<Found> {
    let permits = P::with(1)?;
    Child::holding(|| permits.take())?.kill();
    let left = permits.value()?;
    let lent = P::with(1)?;
    // None if it cannot be asked for.
    let borrowed = Child::holding(|| lent.borrow().unwrap_or(Ok(())))?;
    if lent.value()? == 1 {
        return match left {
            0 => found("permit lost", "killed with the only permit: there is none left"),
            _ => found("?", format!("killed with the only permit: {left} left")),
        };
    }
    borrowed.kill();
    let back = process::until(|| Ok(Some(lent.value()?).filter(|&value| value > 0)))?;
    let seen = format!("killed with the only permit: {left} left; if it was taken with SEM_UNDO, {back}");
    found(if (left, back) == (0, 1) { "SEM_UNDO only" } else { "?" }, seen)
}

/// sem_init(3), shared with forked children.
impl Permits for kernel::Semaphore {
    const MOST: u32 = i32::MAX as u32;

    fn with(permits: u32) -> io::Result<Self> {
        kernel::Semaphore::anonymous(permits)
    }

    fn take(&self) -> io::Result<()> {
        self.try_wait()
    }

    fn give(&self) -> io::Result<()> {
        self.post()
    }

    fn value(&self) -> io::Result<u32> {
        Ok(self.value())
    }

    fn unopened() -> io::Result<(&'static str, String)> {
        let refused = kernel::Semaphore::open(&format!("/{}", fresh()), 0, 0, 0);
        Ok(("opening what nobody made", outcome(&refused)))
    }

    fn borrow(&self) -> Option<io::Result<()>> {
        None
    }
}

/// semget(2), a set of one.
pub(super) struct KernelSet(kernel::Set);

impl Drop for KernelSet {
    fn drop(&mut self) {
        let _ = self.0.ask(0, IPC_RMID);
    }
}

/// Below 0, which no identifier is.
fn key() -> i32 {
    -i32::from_ne_bytes(std::process::id().to_ne_bytes())
}

impl Permits for KernelSet {
    const MOST: u32 = 32767;

    fn with(permits: u32) -> io::Result<Self> {
        let set = KernelSet(kernel::Set::get(IPC_PRIVATE, 1, IPC_CREAT | 0o600)?);
        set.0.set_value(0, permits.cast_signed())?;
        Ok(set)
    }

    fn take(&self) -> io::Result<()> {
        self.0.operate(&[(0, -1, true, false)], None)
    }

    fn give(&self) -> io::Result<()> {
        self.0.operate(&[(0, 1, true, false)], None)
    }

    fn value(&self) -> io::Result<u32> {
        self.0.ask(0, GETVAL).map(i32::cast_unsigned)
    }

    fn unopened() -> io::Result<(&'static str, String)> {
        let set = KernelSet(kernel::Set::get(key(), 1, IPC_CREAT | 0o600)?);
        let refused = kernel::Set(key()).operate(&[(0, 1, true, false)], None);
        drop(set);
        Ok(("semop with the key instead of the identifier", outcome(&refused)))
    }

    fn borrow(&self) -> Option<io::Result<()>> {
        Some(self.0.operate(&[(0, -1, true, true)], None))
    }
}

/// `adapters::sem`
impl Permits for sem::Semaphore {
    const MOST: u32 = i32::MAX as u32;

    fn with(permits: u32) -> io::Result<Self> {
        sem::Semaphore::anonymous(permits)
    }

    fn take(&self) -> io::Result<()> {
        self.try_wait()
    }

    fn give(&self) -> io::Result<()> {
        self.post()
    }

    fn value(&self) -> io::Result<u32> {
        Ok(self.value())
    }

    fn unopened() -> io::Result<(&'static str, String)> {
        let refused = sem::Semaphore::open(&format!("/{}", fresh())).map(drop);
        Ok((
            "opening what nobody made",
            refused.map_or_else(|error| name(&error), |()| "it was opened".into()),
        ))
    }

    fn borrow(&self) -> Option<io::Result<()>> {
        None
    }
}

/// `adapters::semset`, a set of one.
pub(super) struct AdapterSet(Set);

impl Drop for AdapterSet {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

fn by(change: i16) -> Operation {
    Operation::new(0, change).nowait()
}

impl Permits for AdapterSet {
    const MOST: u32 = semset::VALUE_MAX as u32;

    fn with(permits: u32) -> io::Result<Self> {
        Set::with_values(IPC_PRIVATE, &[permits as u16], Obtain::CreateNew, 0o600).map(AdapterSet)
    }

    fn take(&self) -> io::Result<()> {
        self.0.operate(&[by(-1)])
    }

    fn give(&self) -> io::Result<()> {
        self.0.operate(&[by(1)])
    }

    fn value(&self) -> io::Result<u32> {
        self.0.value(0).map(u32::from)
    }

    fn unopened() -> io::Result<(&'static str, String)> {
        let set = AdapterSet(Set::get(key(), 1, Obtain::CreateNew, 0o600)?);
        let refused = Set::from_id(key()).operate(&[by(1)]);
        drop(set);
        Ok(("operating with the key instead of the identifier", outcome(&refused)))
    }

    fn borrow(&self) -> Option<io::Result<()>> {
        Some(self.0.operate(&[by(-1).undo()]))
    }
}
