//! Keys and identifiers of System V IPC (sysvipc(7)).
//!
//! A kind of object stands in POSIX shared memory under its identifier, and, if it has a key, under that, too: two names of
//! one file. It gets the name with the key first, which says in one step whose the key is. Whoever finds a key without its
//! identifier, because the maker was killed between the two, adds that. An identifier is the number of the file, which
//! the file system gives out one after the other: it comes again only after 2^31 files.
#![forbid(unsafe_code)]

use crate::segment::Place;
use nix::errno::Errno;
use nix::sys::stat::stat;
use std::io;
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

/// Where an object of this kind and identifier lives, of this process's user.
pub(super) fn place_of_id(kind: &str, id: i32) -> io::Result<Place> {
    place(kind, &format!("id.{id}"))
}

/// The same for a key.
pub(super) fn place_of_key(kind: &str, key: i32) -> io::Result<Place> {
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
pub(super) fn id_in_name(kind: &str, name: &str) -> Option<i32> {
    name.strip_prefix(&of_user(kind))?.strip_prefix("id.")?.parse().ok()
}
