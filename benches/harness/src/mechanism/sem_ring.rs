//! Shared memory with two semaphores: a circular buffer of ten, one semaphore counts the free places and one the messages.
//! The semaphores are System V's, POSIX's, or slipring's adapters of either.

use std::io;

use nix::errno::Errno;
use slipring::adapters::sem::Semaphore;
use slipring::adapters::semset::Operation;

use super::sysv::{SetOnRings, SystemVSet};
use super::{Copies, Mechanism, ReceiveMessage, SendMessage};
use crate::error::HarnessError;
use crate::shared::SharedBytes;

const PLACES: u16 = 10;
/// The semaphores' numbers.
const FREE: u16 = 0;
const FULL: u16 = 1;

/// Two semaphores that forked processes share.
pub trait Two: Sized {
    /// What the buffer with them is called in reports.
    const NAME: &'static str;
    /// What could not be done.
    const CHANGING: &'static str;
    /// Whether the buffer is in System V memory: an adapter's is its original's, so that only the semaphores differ.
    const SYSTEM_V: bool;

    /// With these values.
    fn new(values: [u16; 2]) -> Result<Self, HarnessError>;

    /// Takes one from a semaphore, sleeping until there is one. May be interrupted.
    fn down(&self, number: u16) -> io::Result<()>;

    /// Adds one to a semaphore.
    fn up(&self, number: u16) -> io::Result<()>;
}

impl Two for SystemVSet {
    const NAME: &'static str = "system v shm+sem";
    const CHANGING: &'static str = "changing a System V semaphore";
    const SYSTEM_V: bool = true;

    fn new(values: [u16; 2]) -> Result<Self, HarnessError> {
        SystemVSet::new(values)
    }

    fn down(&self, number: u16) -> io::Result<()> {
        self.change(number, -1)
    }

    fn up(&self, number: u16) -> io::Result<()> {
        self.change(number, 1)
    }
}

impl Two for SetOnRings {
    const NAME: &'static str = "adapter system v sem";
    const CHANGING: &'static str = "changing a semaphore of a set without the kernel";
    const SYSTEM_V: bool = true;

    fn new(values: [u16; 2]) -> Result<Self, HarnessError> {
        SetOnRings::new(values)
    }

    fn down(&self, number: u16) -> io::Result<()> {
        self.set().operate(&[Operation::new(number, -1)])
    }

    fn up(&self, number: u16) -> io::Result<()> {
        self.set().operate(&[Operation::new(number, 1)])
    }
}

/// The C library's, process-shared (sem_init(3)).
#[derive(Debug)]
pub struct PosixPair(SharedBytes);

/// From one to the next: a line and its neighbour each.
const APART: usize = 128;
const _: () = assert!(size_of::<libc::sem_t>() <= APART);

impl Two for PosixPair {
    const NAME: &'static str = "posix shm+sem";
    const CHANGING: &'static str = "changing a POSIX semaphore";
    const SYSTEM_V: bool = false;

    fn new(values: [u16; 2]) -> Result<Self, HarnessError> {
        let pair = PosixPair(SharedBytes::new(2 * APART)?);
        for (number, value) in (0..).zip(values) {
            // SAFETY: the place is mapped, on its boundary, large enough, and nobody uses it yet.
            let done = unsafe { libc::sem_init(pair.place(number), 1, value.into()) };
            Errno::result(done).map_err(|errno| HarnessError::os("making a POSIX semaphore", errno))?;
        }
        Ok(pair)
    }

    fn down(&self, number: u16) -> io::Result<()> {
        // SAFETY: initialised before the fork, and mapped as long as self.
        Ok(Errno::result(unsafe { libc::sem_wait(self.place(number)) }).map(drop)?)
    }

    fn up(&self, number: u16) -> io::Result<()> {
        // SAFETY: initialised before the fork, and mapped as long as self.
        Ok(Errno::result(unsafe { libc::sem_post(self.place(number)) }).map(drop)?)
    }
}

impl PosixPair {
    fn place(&self, number: u16) -> *mut libc::sem_t {
        self.0.place(usize::from(number) * APART)
    }
}

/// The adapter of POSIX semaphores, without names.
pub struct PosixOnRings([Semaphore; 2]);

impl Two for PosixOnRings {
    const NAME: &'static str = "adapter posix sem";
    const CHANGING: &'static str = "changing a semaphore without the C library";
    const SYSTEM_V: bool = false;

    fn new(values: [u16; 2]) -> Result<Self, HarnessError> {
        let made = |value: u16| Semaphore::anonymous(value.into());
        let failed = |error| HarnessError::os("making a semaphore in shared memory", error);
        Ok(PosixOnRings([made(values[0]).map_err(failed)?, made(values[1]).map_err(failed)?]))
    }

    fn down(&self, number: u16) -> io::Result<()> {
        self.0[usize::from(number)].wait()
    }

    fn up(&self, number: u16) -> io::Result<()> {
        self.0[usize::from(number)].post()
    }
}

/// The buffer and its semaphores.
#[derive(Debug)]
pub struct SemRing<S> {
    places: SharedBytes,
    semaphores: S,
    size: usize,
    /// Messages sent or received by this end.
    count: usize,
}

/// In System V memory, with a System V set.
pub type SysvRing = SemRing<SystemVSet>;
/// The same with the adapter's set.
pub type SysvSemAdapter = SemRing<SetOnRings>;
/// With POSIX semaphores.
pub type PosixRing = SemRing<PosixPair>;
/// The same with the adapter's.
pub type PosixSemAdapter = SemRing<PosixOnRings>;

impl<S: Two> Mechanism for SemRing<S> {
    const NAME: &'static str = S::NAME;
    const COPIES: Option<Copies> = Some(Copies::IN_SHARED_MEMORY);
    type Sender = SemRingSender<S>;
    type Receiver = SemRingReceiver<S>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let semaphores = S::new([PLACES, 0])?;
        let memory = if S::SYSTEM_V { SharedBytes::system_v } else { SharedBytes::new };
        Ok(SemRing { places: memory(PLACES as usize * size)?, semaphores, size, count: 0 })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(SemRingSender(self))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(SemRingReceiver(self))
    }
}

impl<S: Two> SemRing<S> {
    fn place(&self) -> usize {
        self.count % PLACES as usize * self.size
    }

    fn down(&self, number: u16) -> Result<(), HarnessError> {
        loop {
            match self.semaphores.down(number) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(HarnessError::os(S::CHANGING, error)),
            }
        }
    }

    fn up(&self, number: u16) -> Result<(), HarnessError> {
        self.semaphores.up(number).map_err(|error| HarnessError::os(S::CHANGING, error))
    }
}

/// The end that fills places.
#[derive(Debug)]
pub struct SemRingSender<S>(SemRing<S>);

impl<S: Two> SendMessage for SemRingSender<S> {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let ring = &mut self.0;
        ring.down(FREE)?;
        // SAFETY: the semaphore says that the receiver has left this place, and orders memory between the two.
        fill(unsafe { ring.places.slice_mut(ring.place(), size) });
        ring.count += 1;
        ring.up(FULL)
    }
}

/// The end that empties places.
#[derive(Debug)]
pub struct SemRingReceiver<S>(SemRing<S>);

impl<S: Two> ReceiveMessage for SemRingReceiver<S> {
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let ring = &mut self.0;
        ring.down(FULL)?;
        // SAFETY: the semaphore says that the sender has filled this place and left it.
        let seen = look(unsafe { ring.places.slice(ring.place(), size) });
        ring.count += 1;
        ring.up(FREE)?;
        Ok(seen)
    }
}
