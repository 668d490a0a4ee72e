//! Keys and identifiers of System V IPC (sysvipc(7)).
//!
//! A kind of object stands in POSIX shared memory under its identifier, and, if it has a key, under that, too: two names of
//! one file. It gets the name with the key first, which says in one step whose the key is. Whoever finds a key without its
//! identifier, because the maker was killed between the two, adds that. An identifier is the number of the file, which
//! the file system gives out one after the other: it comes again only after 2^31 files.
#![forbid(unsafe_code)]

use crate::adapters::pipe::errno;
use crate::error::Error;
use crate::segment::{self, Place, Segment, Trust};
use nix::errno::Errno;
use nix::sys::stat::stat;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Makes a new object, which nobody can find by a key.
pub const IPC_PRIVATE: i32 = 0;

/// What to do with a key, and how not to wait (sysvipc(7), with the system's values).
pub mod flags {
    /// Make it if there is none with this key.
    pub const IPC_CREAT: i32 = libc::IPC_CREAT;
    /// With [`IPC_CREAT`]: EEXIST if there is one.
    pub const IPC_EXCL: i32 = libc::IPC_EXCL;
    /// Fail where the call would wait.
    pub const IPC_NOWAIT: i32 = libc::IPC_NOWAIT;
    /// Cut a message that is too long.
    pub const MSG_NOERROR: i32 = libc::MSG_NOERROR;
    /// Any type but this.
    pub const MSG_EXCEPT: i32 = libc::MSG_EXCEPT;
    /// Copy the message at an index and leave it.
    pub const MSG_COPY: i32 = libc::MSG_COPY;
}

/// A key made of a file that exists: the low 16 bits of its inode's number, the low 8 of its device's, and the low 8 of
/// `project` in front (ftok(3)). Two files may well have the same key; with a `project` whose low 8 bits are 0, POSIX
/// promises nothing.
///
/// # Errors
/// As stat(2).
pub fn ftok(path: impl AsRef<Path>, project: i32) -> io::Result<i32> {
    let file = stat(path.as_ref())?;
    let key = file.st_ino as u32 & 0xffff | (file.st_dev as u32 & 0xff) << 16 | (project as u32) << 24;
    Ok(key.cast_signed())
}

/// Whether to make an object, in the call that looks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Obtain {
    /// Only one that is there: else ENOENT.
    Existing,
    /// The one that is there, or a new one (IPC_CREAT, O_CREAT).
    OrCreate,
    /// Only a new one: EEXIST if there is one (with IPC_EXCL, O_EXCL, too).
    CreateNew,
}

impl Obtain {
    /// What the flags of msgget(2) and its like say.
    pub(super) fn of(flags: i32) -> Obtain {
        match flags {
            _ if flags & flags::IPC_CREAT == 0 => Obtain::Existing,
            _ if flags & flags::IPC_EXCL == 0 => Obtain::OrCreate,
            _ => Obtain::CreateNew,
        }
    }
}

/// One kind of objects, as this process has one open.
pub(super) trait Object: Sized {
    /// How segments of this kind are called.
    const KIND: &'static str;

    /// What is in a mapped segment; EINVAL if it is something else. `fd` is its descriptor.
    fn in_segment(fd: OwnedFd, segment: Segment) -> io::Result<Self>;

    /// The key that stands in it.
    fn key(&self) -> i32;

    /// Where it stands.
    fn segment(&self) -> &Segment;

    /// Does `work` with the lock of the object in hand: EINVAL, and it is not done, if the object was removed.
    fn while_there<T>(&mut self, work: impl FnOnce(&Segment, BorrowedFd<'_>) -> T) -> io::Result<T>;

    /// Does `work` with the lock of the object in hand, removed or not.
    fn alone(&mut self, work: impl FnOnce(&Segment)) -> io::Result<()>;
}

/// The object with this key, or a new one. `check` says whether one that is there will do; `make` makes the segment of a
/// new one, without a name yet.
pub(super) fn get<T: Object>(
    key: i32,
    how: Obtain,
    check: impl Fn(&T) -> io::Result<()>,
    make: impl Fn(Place) -> io::Result<(OwnedFd, Segment)>,
) -> io::Result<T> {
    if key == IPC_PRIVATE {
        return new(key, &make)?.ok_or_else(|| Errno::ENOSPC.into());
    }
    loop {
        match find::<T>(key)? {
            Some(_) if how == Obtain::CreateNew => return Err(Errno::EEXIST.into()),
            Some(found) => return check(&found).map(|()| found),
            None if how == Obtain::Existing => return Err(Errno::ENOENT.into()),
            None => {
                if let Some(made) = new(key, &make)? {
                    return Ok(made);
                }
            }
        }
    }
}

/// The object with this identifier: EINVAL if there is none.
pub(super) fn of_id<T: Object>(id: i32) -> io::Result<T> {
    open(&place_of_id(T::KIND, id)?).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => Errno::EINVAL.into(),
        _ => error,
    })
}

/// The identifiers of all objects of this kind and this user, sorted.
pub(super) fn list<T: Object>() -> io::Result<Vec<i32>> {
    let names = segment::names().map_err(errno)?;
    let mut ids: Vec<_> = names.iter().filter_map(|name| id_in_name(T::KIND, name)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The identifier of what is in a segment, which no other has: the number of its file.
pub(super) fn id_of(segment: &Segment) -> i32 {
    (segment.stat().st_ino & i32::MAX as u64) as i32
}

/// Takes the names of a removed object away, by the holder of its lock: nobody else takes the same names away, and a name
/// that leads here keeps doing so.
pub(super) fn unlink_names<T: Object>(key: i32, segment: &Segment) {
    for place in [place_of_key(T::KIND, key), place_of_id(T::KIND, id_of(segment))].into_iter().flatten() {
        // What cannot be taken away is found to be removed by whoever finds it.
        let _ = segment.unlink_as(&place);
    }
}

fn open<T: Object>(place: &Place) -> io::Result<T> {
    let fd = Segment::open_file(place, Trust::Kernel).map_err(errno)?;
    let (fd, segment) = Segment::open(place.clone(), fd, Trust::Kernel).map_err(errno)?;
    T::in_segment(fd, segment)
}

/// The object with this key.
fn find<T: Object>(key: i32) -> io::Result<Option<T>> {
    let place = place_of_key(T::KIND, key)?;
    loop {
        let mut object = match open::<T>(&place) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            opened => opened?,
        };
        // Whoever removed it, or made it, may have been killed half way: what is left to do is done here. With the lock
        // in hand: a removal in between would leave nothing to give a name to.
        let id = place_of_id(T::KIND, id_of(object.segment()))?;
        match object.while_there(|segment, fd| segment.publish_as(fd, &id)) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                let its = object.key();
                object.alone(|segment| unlink_names::<T>(its, segment))?;
                if object.segment().is_named() {
                    // It says that it has another key.
                    return Err(Errno::EIO.into());
                }
            }
            there => match there? {
                Ok(()) | Err(Error::Exists { .. }) => return Ok(Some(object)),
                Err(error) => return Err(errno(error)),
            },
        }
    }
}

/// A new object; `None` if somebody else was quicker.
fn new<T: Object>(key: i32, make: impl Fn(Place) -> io::Result<(OwnedFd, Segment)>) -> io::Result<Option<T>> {
    let at_first = place_of_key(T::KIND, key)?;
    let (fd, segment) = match make(at_first.clone()) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => return Ok(None),
        made => made?,
    };
    let id = place_of_id(T::KIND, id_of(&segment))?;
    if key != IPC_PRIVATE {
        match segment.publish_as(fd.as_fd(), &at_first) {
            Err(Error::Exists { .. }) => return Ok(None),
            published => published.map_err(errno)?,
        }
    }
    match segment.publish_as(fd.as_fd(), &id) {
        // Whoever found the key was quicker.
        Err(Error::Exists { .. }) if segment.is_named_as(&id) => {}
        published => published.map_err(|error| {
            let _ = segment.unlink_as(&at_first);
            errno(error)
        })?,
    }
    T::in_segment(fd, segment).map(Some)
}

/// Whether a process of this user may do to an object of `owner` what these permission bits (4 read, 2 write) stand for.
pub(super) fn permitted(owner: u64, mode: u32, wanted: u32) -> io::Result<()> {
    let own = nix::unistd::geteuid().as_raw();
    let granted = match own {
        0 => 0o7,
        _ if u64::from(own) == owner => mode >> 6,
        _ => mode,
    };
    if wanted & !granted & 0o6 == 0 { Ok(()) } else { Err(Errno::EACCES.into()) }
}

/// Where an object of this kind and identifier lives, of this process's user.
fn place_of_id(kind: &str, id: i32) -> io::Result<Place> {
    place(kind, &format!("id.{id}"))
}

/// The same for a key.
fn place_of_key(kind: &str, key: i32) -> io::Result<Place> {
    place(kind, &format!("key.{key:08x}"))
}

fn place(kind: &str, which: &str) -> io::Result<Place> {
    Place::named(&format!("{}{which}", of_user(kind))).map_err(|_| Errno::EINVAL.into())
}

/// How the names of this kind and this process's user begin.
fn of_user(kind: &str) -> String {
    format!("/{kind}.{}.", nix::unistd::geteuid())
}

/// The identifier in a segment's name, as `slipring ls` finds it.
fn id_in_name(kind: &str, name: &str) -> Option<i32> {
    name.strip_prefix(&of_user(kind))?.strip_prefix("id.")?.parse().ok()
}
