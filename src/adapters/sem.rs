//! POSIX semaphores (sem_overview(7)): in memory of the caller's own, shared by inheritance, or with a name.
//!
//! What counts is `channel/semaphore.rs`. Here is what makes it POSIX's: errors, names, and that a process that opens a name
//! twice has one semaphore, at one address. No process takes part in a semaphore in any way that could end with it: no
//! lease, no descriptor is kept. So a forked child uses what its parent opened, and may itself be killed at any moment.
//!
//! ```
//! use slipring::adapters::sem::Unnamed;
//!
//! let one_at_a_time = Unnamed::new(1)?;
//! std::thread::scope(|scope| {
//!     for _ in 0..3 {
//!         scope.spawn(|| {
//!             one_at_a_time.wait().unwrap();
//!             // ... one of them at a time ...
//!             one_at_a_time.post().unwrap();
//!         });
//!     }
//! });
//! assert_eq!(one_at_a_time.value(), 1);
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

use crate::adapters::pipe::errno;
use crate::adapters::sysv::Obtain;
use crate::channel::semaphore::{NoPermit, Overflow};
use crate::layout::{FLAG_PERSISTENT, KIND_SEM, Permits, RING_OFFSET, SegmentHeader, Wakeup};
use crate::liveness::while_nobody_forks;
use crate::open;
use crate::segment::{self, Place, Segment, Trust};
use crate::sync::Shared;
use nix::errno::Errno;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

pub use crate::channel::semaphore::VALUE_MAX;
pub use crate::sync::{Clock, Moment};

/// What stands before the name in the file system; as long as the C library's "sem.", so that a name can be as long.
const PREFIX: &str = "sem:";

/// A semaphore in memory of the caller's own, for its threads (sem_init(3)): 32 bytes, which any processes may share that
/// have mapped them. A handle on memory that is shared already is a [`Semaphore`].
#[repr(transparent)]
pub struct Unnamed(Permits);

const _: () = assert!(size_of::<Unnamed>() == 32 && align_of::<Unnamed>() == 8);

/// A semaphore in shared memory, with a name or without. Clones are handles on the same one, and so are those of a forked
/// child. It is closed with the last handle of a process (sem_close(3)), which changes nothing in it.
#[derive(Clone)]
pub struct Semaphore(Arc<Opened>);

struct Opened {
    permits: Shared<Permits>,
    file: File,
}

/// Device and inode: a name may be taken away and given to another.
type File = (u64, u64);

fn stopped(stop: NoPermit) -> io::Error {
    io::Error::from(match stop {
        NoPermit::TimedOut => Errno::ETIMEDOUT,
        NoPermit::Interrupted => Errno::EINTR,
        NoPermit::NoMoment => Errno::EINVAL,
    })
}

fn checked(value: u32) -> io::Result<u32> {
    if value > VALUE_MAX { Err(Errno::EINVAL.into()) } else { Ok(value) }
}

/// What both kinds can do; `permits` finds the 32 bytes.
macro_rules! verbs {
    ($kind:ident, $permits:expr) => {
        impl $kind {
            fn permits(&self) -> &Permits {
                let permits: fn(&$kind) -> &Permits = $permits;
                permits(self)
            }

            /// Takes a permit, sleeping until there is one (sem_wait(3)). Permits that are posted while somebody sleeps go
            /// to who sleeps: the highest scheduling priority first, then who sleeps longest.
            ///
            /// # Errors
            /// EINTR if a signal's handler ran that was installed without SA_RESTART. It is never called again by itself.
            pub fn wait(&self) -> io::Result<()> {
                self.permits().wait(None).map_err(stopped)
            }

            /// Takes a permit if there is one that is not handed to a sleeper (sem_trywait(3)). Never sleeps.
            ///
            /// # Errors
            /// EAGAIN.
            pub fn try_wait(&self) -> io::Result<()> {
                if self.permits().try_wait() { Ok(()) } else { Err(Errno::EAGAIN.into()) }
            }

            /// Takes a permit, sleeping until there is one, or until `moment` (sem_timedwait(3), sem_clockwait(3)). If there
            /// is one it does not look at the moment, which may have passed, or be none.
            ///
            /// # Errors
            /// ETIMEDOUT; EINTR after any signal's handler that was installed without SA_RESTART; EINVAL if it would have
            /// to wait and the nanoseconds are not those of a second.
            pub fn wait_until(&self, moment: Moment) -> io::Result<()> {
                self.permits().wait(Some(&moment)).map_err(stopped)
            }

            /// As [`Self::wait_until`], so long from now by the monotonic clock.
            ///
            /// # Errors
            /// ETIMEDOUT, EINTR.
            pub fn wait_timeout(&self, time: Duration) -> io::Result<()> {
                self.wait_until(Moment::after(time))
            }

            /// Adds a permit, or hands it to one who sleeps (sem_post(3)). Takes no lock and allocates nothing: a signal's
            /// handler may do it.
            ///
            /// # Errors
            /// EOVERFLOW at [`VALUE_MAX`].
            pub fn post(&self) -> io::Result<()> {
                self.permits().post().map_err(|Overflow| Errno::EOVERFLOW.into())
            }

            /// How many permits there are, without those handed to sleepers (sem_getvalue(3)): 0 while anybody has to
            /// wait. May be stale at once.
            #[must_use]
            pub fn value(&self) -> u32 {
                self.permits().value()
            }
        }
    };
}

verbs!(Unnamed, |unnamed| &unnamed.0);
verbs!(Semaphore, |semaphore| &semaphore.0.permits);

impl Unnamed {
    /// One with so many permits.
    ///
    /// # Errors
    /// EINVAL beyond [`VALUE_MAX`].
    pub fn new(value: u32) -> io::Result<Unnamed> {
        let unnamed = Unnamed(Permits::new());
        unnamed.init(value)?;
        Ok(unnamed)
    }

    /// Makes these 32 bytes, whatever they were, a semaphore with so many permits (sem_init(3)), while nobody uses them.
    /// There is no difference between one for threads and one for processes (pshared).
    ///
    /// # Errors
    /// EINVAL beyond [`VALUE_MAX`].
    pub fn init(&self, value: u32) -> io::Result<()> {
        self.0.init(checked(value)?);
        Ok(())
    }

    /// Ends its use (sem_destroy(3)): there is nothing to be given back. Nobody may sleep on it.
    pub fn destroy(&self) {}
}

/// The semaphores with names that this process has open.
static OPEN: Mutex<Vec<(File, Weak<Opened>)>> = Mutex::new(Vec::new());

impl Semaphore {
    /// A semaphore without a name, in memory that forked children share.
    ///
    /// # Errors
    /// EINVAL beyond [`VALUE_MAX`]; ENOMEM, EMFILE, ENFILE.
    pub fn anonymous(value: u32) -> io::Result<Semaphore> {
        let (_, segment) = create(Place::Anonymous, 0o600, checked(value)?)?;
        Ok(Semaphore(Arc::new(opened(&segment)?)))
    }

    /// Opens the semaphore of this name (sem_open(3) without O_CREAT).
    ///
    /// # Errors
    /// ENOENT, EACCES, ENAMETOOLONG; EINVAL if the name is none, or belongs to something else.
    pub fn open(name: &str) -> io::Result<Semaphore> {
        Semaphore::obtain(name, Obtain::Existing, 0, 0)
    }

    /// Opens the semaphore of this name, or makes it, with these permission bits and so many permits
    /// (sem_open(3)). It has them from the moment it has the name. For one that is there, mode and value mean nothing.
    ///
    /// # Errors
    /// As [`Semaphore::open`]; ENOSPC; EEXIST if there is one and it is to be made ([`Obtain::CreateNew`]); EINVAL for a
    /// value beyond [`VALUE_MAX`], or for a mode that lets others write, which a segment must not.
    pub fn obtain(name: &str, how: Obtain, mode: u32, value: u32) -> io::Result<Semaphore> {
        let place = place(name)?;
        loop {
            if how != Obtain::CreateNew {
                match existing(&place) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && how == Obtain::OrCreate => {}
                    found => return found,
                }
            }
            if mode & !0o777 != 0 || mode & 0o600 != 0o600 || mode & 0o022 != 0 {
                return Err(Errno::EINVAL.into());
            }
            let made = create(place.clone(), mode, checked(value)?)
                .and_then(|(fd, segment)| segment.publish(fd.as_fd()).map_err(errno).map(|()| segment));
            match made {
                Ok(segment) => return known(&segment),
                // Whatever has the name, it is taken.
                Err(_) if place.path().is_some_and(|path| path.symlink_metadata().is_ok()) => {
                    if how == Obtain::CreateNew {
                        return Err(Errno::EEXIST.into());
                    }
                }
                // Made and taken away by others meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the name away (sem_unlink(3)). Whoever has it open goes on; the name can be given to another at once.
    ///
    /// # Errors
    /// ENOENT, EACCES, ENAMETOOLONG; EINVAL if it is something else.
    pub fn unlink(name: &str) -> io::Result<()> {
        segment::unlink_segment(&place(name)?).map_err(errno)
    }

    /// Where it is in this process: every handle on one named semaphore has the same address.
    #[must_use]
    pub fn as_ptr(&self) -> *const Unnamed {
        std::ptr::from_ref(&*self.0.permits).cast()
    }
}

/// The name that `slipring ls` shows for a semaphore, without what stands before it in shared memory.
#[must_use]
pub fn shown(segment: &str) -> Option<String> {
    segment.strip_prefix('/').and_then(|bare| bare.strip_prefix(PREFIX)).map(|bare| format!("/{bare}"))
}

/// The place of a name: slashes before it do not count, and there is none in it (shm_overview(7)).
fn place(name: &str) -> io::Result<Place> {
    let bare = name.trim_start_matches('/');
    match bare {
        "" => Err(Errno::EINVAL.into()),
        _ => Place::named(&format!("/{PREFIX}{bare}")).map_err(errno),
    }
}

fn create(place: Place, mode: u32, value: u32) -> io::Result<(std::os::fd::OwnedFd, Segment)> {
    let header = header(KIND_SEM, 1, size_of::<Permits>() as u64, mode);
    let (fd, segment) = Segment::create(place, header, mode).map_err(errno)?;
    permits(&segment)?.init(value);
    Ok((fd, segment))
}

/// The header of a segment of `kind` with so many semaphores in so many bytes, which stays until it is removed.
pub(super) fn header(kind: u32, semaphores: u64, bytes: u64, mode: u32) -> SegmentHeader {
    let header = SegmentHeader {
        kind,
        segment_len: RING_OFFSET as u64 + bytes,
        data_offset: RING_OFFSET as u64,
        capacity: semaphores,
        wakeup: Wakeup::Futex.code(),
        flags: FLAG_PERSISTENT,
        ..open::new_header(mode)
    };
    header.with_checksum()
}

fn permits(segment: &Segment) -> io::Result<Shared<Permits>> {
    let is_semaphore = segment.header().kind == KIND_SEM;
    segment.shared(RING_OFFSET).filter(|_| is_semaphore).ok_or_else(|| Errno::EINVAL.into())
}

fn opened(segment: &Segment) -> io::Result<Opened> {
    let stat = segment.stat();
    Ok(Opened { permits: permits(segment)?, file: (stat.st_dev, stat.st_ino) })
}

fn existing(place: &Place) -> io::Result<Semaphore> {
    let fd = Segment::open_file(place, Trust::Kernel).map_err(errno)?;
    let (_, segment) = Segment::open(place.clone(), fd, Trust::Kernel).map_err(errno)?;
    known(&segment)
}

/// The handle that this process has on this segment already, or its first one.
fn known(segment: &Segment) -> io::Result<Semaphore> {
    let new = Arc::new(opened(segment)?);
    let known = while_nobody_forks(|| {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, handle)| handle.strong_count() > 0);
        let known = open.iter().find(|(file, _)| *file == new.file).and_then(|(_, handle)| handle.upgrade());
        if known.is_none() {
            open.push((new.file, Arc::downgrade(&new)));
        }
        known
    });
    Ok(Semaphore(known.unwrap_or(new)))
}
