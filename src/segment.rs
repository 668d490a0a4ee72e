//! Segments of shared memory: make, open, map, list, unlink. A segment is complete before it has a name, is never
//! resized, and is checked before it is believed. Which ring it carries is nobody's business here.
//!
//! Files of one user are trusted as far as the kernel vouches for them: owned by this user or root, writable by nobody
//! else. Memory that others may write must be a sealed memfd, since whoever may write a file may also truncate it.

use crate::error::{Error, Result};
use crate::layout::{FLAGS_KNOWN, MAGIC, SEGMENT_HEADER_LEN, SegmentHeader, VERSION};
use crate::sync::{AnyBytes, Memory, Shared};
use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, SealFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, lstat};
use nix::unistd::{geteuid, linkat, unlink};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

/// Where POSIX shared memory lives on Linux (shm_overview(7)).
pub const SHM_DIR: &str = "/dev/shm";
const NAME_MAX: usize = 255;
/// The longest path that a system call takes, with its NUL.
const PATH_MAX: usize = libc::PATH_MAX as usize;
/// So much of a segment, its control pages among it, is mapped page by page at once; the rest is its ring's to map.
const POPULATE: usize = 128 << 10;
/// Segments are allocated in parts of at most this size, and not less than the other if signals keep coming.
const ALLOCATE_MAX: u64 = 64 << 20;
const ALLOCATE_MIN: u64 = 64 << 10;

/// What a segment is called and where it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `/name` in POSIX shared memory.
    Named(String),
    /// A path on a file system that can map files shared.
    File(PathBuf),
    /// A sealed memfd: no name, passed on as a file descriptor.
    Anonymous,
}

impl Place {
    /// The place of a POSIX shared memory name: a slash and 1 to 255 bytes without another slash (shm_open(3)); the
    /// slash may be left out.
    pub fn named(name: &str) -> Result<Place> {
        let bad = |why| Err(Error::BadName { name: name.into(), why });
        let bare = name.strip_prefix('/').unwrap_or(name);
        match bare {
            "" => bad("is empty"),
            "." | ".." => bad("is a directory's name"),
            _ if bare.contains('/') => bad("contains a second slash"),
            _ if bare.contains('\0') => bad("contains a NUL byte"),
            _ if bare.len() > NAME_MAX => {
                Err(Error::NameTooLong { name: name.into(), len: bare.len(), max: NAME_MAX })
            }
            _ => Ok(Place::Named(format!("/{bare}"))),
        }
    }

    /// The place of a file path.
    pub fn file(path: &Path) -> Result<Place> {
        let name = path.display().to_string();
        match path.file_name() {
            None => Err(Error::BadName { name, why: "names no file" }),
            Some(_) if name.ends_with('/') => Err(Error::BadName { name, why: "ends in a slash" }),
            Some(file) if file.len() > NAME_MAX => {
                Err(Error::NameTooLong { name, len: file.len(), max: NAME_MAX })
            }
            Some(_) if std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).contains(&0) => {
                Err(Error::BadName { name, why: "contains a NUL byte" })
            }
            Some(_) => Ok(Place::File(path.into())),
        }
    }

    /// What people call it.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Place::Named(name) => name.clone(),
            Place::File(path) => path.display().to_string(),
            Place::Anonymous => "(anonymous)".into(),
        }
    }

    /// The path it has in the file system.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Place::Named(name) => Some(Path::new(SHM_DIR).join(&name[1..])),
            Place::File(path) => Some(path.clone()),
            Place::Anonymous => None,
        }
    }

    fn io(&self, call: &'static str, errno: Errno) -> Error {
        Error::Io { name: self.label(), call, source: errno.into() }
    }
}

/// Whom to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Trust {
    /// The kernel: only a segment that nobody but this user and root can write is opened; messages are read in place.
    #[default]
    Kernel,
    /// Nobody: every message is copied in and out and every shared value is checked. Needs a sealed memfd.
    Distrust,
}

/// A mapped segment. Dropping it unmaps it.
pub struct Segment {
    place: Place,
    mapping: Arc<MmapRaw>,
    header: SegmentHeader,
    stat: FileStat,
    /// An open file description without locks, to be passed on. Only anonymous segments need one: they have no name.
    base: Option<OwnedFd>,
}

impl Segment {
    /// Makes a segment that has no name yet: allocated, mapped, its header written. Nobody can see it before
    /// [`Segment::publish`], and if this process dies before that, nothing is left of it.
    pub fn create(place: Place, header: SegmentHeader, mode: u32) -> Result<(OwnedFd, Segment)> {
        let fd = match &place {
            Place::Anonymous => memfd(&place)?,
            _ => unnamed_file(&place, mode)?,
        };
        allocate(&place, fd.as_fd(), header.segment_len)?;
        nix::sys::uio::pwrite(&fd, &header.encode(), 0).map_err(|e| place.io("pwrite", e))?;
        if place == Place::Anonymous {
            let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
            nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_ADD_SEALS(seals))
                .map_err(|e| place.io("fcntl(F_ADD_SEALS)", e))?;
        }
        Self::map(place, fd, header)
    }

    /// Gives a new segment its name, in one step.
    ///
    /// # Errors
    /// [`Error::Exists`] if the name is taken, by whatever.
    pub fn publish(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.publish_as(fd, &self.place)
    }

    /// Gives it this name, which may be one of several.
    ///
    /// # Errors
    /// As [`Segment::publish`].
    pub fn publish_as(&self, fd: BorrowedFd<'_>, place: &Place) -> Result<()> {
        let Some(path) = place.path() else { return Ok(()) };
        let from = format!("/proc/self/fd/{}", fd.as_raw_fd());
        match linkat(AT_FDCWD, from.as_str(), AT_FDCWD, &path, AtFlags::AT_SYMLINK_FOLLOW) {
            Ok(()) => Ok(()),
            Err(Errno::EEXIST) => Err(Error::Exists { name: place.label() }),
            // Was there when the file was made.
            Err(Errno::ENOENT) => Err(Error::NoDirectory { name: place.label() }),
            Err(errno) => Err(path_error(place, "linkat", errno)),
        }
    }

    /// Opens the file at `place` without believing anything in it.
    pub fn open_file(place: &Place, trust: Trust) -> Result<OwnedFd> {
        Self::open_for(place, trust, OFlag::O_RDWR)
    }

    /// As [`Segment::open_file`], only to be read: the kernel refuses everything else.
    pub fn open_file_to_look(place: &Place) -> Result<OwnedFd> {
        Self::open_for(place, Trust::Kernel, OFlag::O_RDONLY)
    }

    fn open_for(place: &Place, trust: Trust, access: OFlag) -> Result<OwnedFd> {
        let Some(path) = place.path() else { unreachable!("anonymous segments are opened from their fd") };
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let fd = nix::fcntl::open(&path, flags, Mode::empty()).map_err(|e| path_error(place, "open", e))?;
        check_file(place, fd.as_fd(), trust)?;
        Ok(fd)
    }

    /// Maps a file that was opened by [`Segment::open_file`] or received, after checking what its header says.
    pub fn open(place: Place, fd: OwnedFd, trust: Trust) -> Result<(OwnedFd, Segment)> {
        let stat = check_file(&place, fd.as_fd(), trust)?;
        let header = read_header(&place, fd.as_fd())?;
        let len = stat.st_size as u64;
        if len < header.segment_len {
            return Err(Error::Truncated { name: place.label(), len, wanted: header.segment_len });
        }
        if len > header.segment_len {
            return Err(Error::Geometry { name: place.label(), field: "file length", found: len });
        }
        Self::map(place, fd, header)
    }

    /// Maps a file that was opened by [`Segment::open_file_to_look`], for loads alone: a store would end the process.
    /// `header` is its header, found sound, and the file as long as that says.
    pub fn map_to_look(place: Place, fd: OwnedFd, header: SegmentHeader) -> Result<(OwnedFd, Segment)> {
        Self::map_as(place, fd, header, |options, fd| options.map_raw_read_only(fd))
    }

    fn map(place: Place, fd: OwnedFd, header: SegmentHeader) -> Result<(OwnedFd, Segment)> {
        Self::map_as(place, fd, header, |options, fd| options.map_raw(fd))
    }

    fn map_as(
        place: Place,
        fd: OwnedFd,
        header: SegmentHeader,
        map: impl FnOnce(&MmapOptions, &OwnedFd) -> std::io::Result<MmapRaw>,
    ) -> Result<(OwnedFd, Segment)> {
        let stat = fstat(&fd).map_err(|e| place.io("fstat", e))?;
        let io = |source| Error::Io { name: place.label(), call: "mmap", source };
        let len = usize::try_from(header.segment_len).map_err(|_| Error::Geometry {
            name: place.label(),
            field: "segment_len",
            found: header.segment_len,
        })?;
        let mapping = Arc::new(map(MmapOptions::new().len(len), &fd).map_err(io)?);
        // A kernel before 5.14 does not know it: then pages are mapped as they are touched.
        let _ = mapping.advise_range(Advice::PopulateRead, 0, POPULATE.min(len));
        let base = match place {
            Place::Anonymous => Some(fd.try_clone().map_err(io)?),
            _ => None,
        };
        Ok((fd, Segment { place, mapping, header, stat, base }))
    }

    /// What people call it.
    #[must_use]
    pub fn label(&self) -> String {
        self.place.label()
    }

    /// Where it lives.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The header as it was when the segment was opened.
    #[must_use]
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Owner and mode as they were when the segment was opened.
    #[must_use]
    pub fn stat(&self) -> &FileStat {
        &self.stat
    }

    /// A descriptor without locks, if the segment is anonymous.
    #[must_use]
    pub fn base(&self) -> Option<BorrowedFd<'_>> {
        self.base.as_ref().map(AsFd::as_fd)
    }

    /// Whether its name still leads to it.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.is_named_as(&self.place)
    }

    /// Whether this name leads to it.
    #[must_use]
    pub fn is_named_as(&self, place: &Place) -> bool {
        let Some(path) = place.path() else { return true };
        lstat(&path).is_ok_and(|now| now.st_dev == self.stat.st_dev && now.st_ino == self.stat.st_ino)
    }

    /// Takes the name away if it still leads here. The memory lives on while anybody maps it.
    pub fn unlink(&self) -> Result<()> {
        self.unlink_as(&self.place)
    }

    /// Takes one of several names away, if it leads here.
    pub fn unlink_as(&self, place: &Place) -> Result<()> {
        match place.path() {
            Some(path) if self.is_named_as(place) => {
                unlink(&path).map_err(|e| path_error(place, "unlink", e))
            }
            _ => Ok(()),
        }
    }

    /// A struct at `offset` of the segment, if it lies inside and is aligned.
    #[must_use]
    pub fn shared<T: AnyBytes>(&self, offset: usize) -> Option<Shared<T>> {
        let at = self.inside(offset, size_of::<T>())?.cast::<T>();
        // SAFETY: `inside` checked the range; T is valid for any bytes; the mapping is kept by the Arc.
        at.is_aligned().then(|| unsafe { Shared::new(at, self.mapping.clone()) })
    }

    /// `count` structs at `offset` of the segment, if they lie inside and are aligned.
    #[must_use]
    pub fn shared_slice<T: AnyBytes>(&self, offset: usize, count: usize) -> Option<Shared<[T]>> {
        let at = self.inside(offset, size_of::<T>().checked_mul(count)?)?.cast::<T>();
        let all = NonNull::slice_from_raw_parts(at, count);
        // SAFETY: `inside` checked the range; T is valid for any bytes; the mapping is kept by the Arc.
        at.is_aligned().then(|| unsafe { Shared::new(all, self.mapping.clone()) })
    }

    /// The bytes at `offset` of the segment, if they lie inside.
    #[must_use]
    pub fn memory(&self, offset: usize, len: usize) -> Option<Memory> {
        let at = self.inside(offset, len)?;
        // SAFETY: `inside` checked the range; the alignment is checked here; the mapping is kept by the Arc.
        at.addr().get().is_multiple_of(64).then(|| unsafe { Memory::new(at, len, self.mapping.clone()) })
    }

    fn inside(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(len)?;
        let base = NonNull::new(self.mapping.as_mut_ptr())?;
        // SAFETY: offset <= end <= the mapping's length.
        (end <= self.mapping.len()).then(|| unsafe { base.add(offset) })
    }
}

/// Another open file description of the same file, so that locks on it are its own (open(2), proc(5)).
pub fn reopen(place: &Place, fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    nix::fcntl::open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|e| place.io("open of /proc/self/fd", e))
}

/// Puts `with` in the place of descriptor `fd`, in a forked child, where `fd` was inherited. Async-signal-safe.
pub fn replace(fd: RawFd, with: BorrowedFd<'_>) {
    // SAFETY: `fd` stays open and stays its owner's; what it refers to was not to be used in this process.
    if unsafe { libc::dup3(with.as_raw_fd(), fd, libc::O_CLOEXEC) } < 0 {
        // EBADF: `fd` lies above a limit that was lowered since (RLIMIT_NOFILE). Keeping what it refers to would be
        // worse than an owner without a descriptor: every call through it fails, and the limit keeps its number unused.
        // SAFETY: the owner, a handle that must not be used in this process, only ever closes it once more.
        let _ = unsafe { libc::close(fd) };
    }
}

/// Reads and checks a header: magic, version, checksum, flags. Geometry is the ring's to judge.
pub fn read_header(place: &Place, fd: BorrowedFd<'_>) -> Result<SegmentHeader> {
    let name = || place.label();
    let header = read_header_of_version(place, fd)?;
    if header.checksum != header.expected_checksum() {
        return Err(Error::Checksum { name: name() });
    }
    if header.flags & !FLAGS_KNOWN != 0 {
        return Err(Error::Features { name: name(), flags: header.flags });
    }
    Ok(header)
}

/// Reads a header and checks magic and version alone: what else it says may be damaged.
pub fn read_header_of_version(place: &Place, fd: BorrowedFd<'_>) -> Result<SegmentHeader> {
    let name = || place.label();
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    let mut have = 0;
    while have < bytes.len() {
        match nix::sys::uio::pread(fd, &mut bytes[have..], have as i64) {
            Ok(0) => {
                return Err(match bytes[..8] == MAGIC.to_ne_bytes() || have == 0 {
                    true => {
                        Error::TooSmall { name: name(), len: have as u64, least: SEGMENT_HEADER_LEN as u64 }
                    }
                    false => Error::NotARing { name: name() },
                });
            }
            Ok(n) => have += n,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(place.io("pread", errno)),
        }
    }
    let header = SegmentHeader::decode(&bytes);
    if header.magic != MAGIC {
        return Err(Error::NotARing { name: name() });
    }
    if header.version != VERSION {
        return Err(Error::Version { name: name(), found: header.version, known: VERSION });
    }
    Ok(header)
}

/// How long the file is now.
pub fn file_len(place: &Place, fd: BorrowedFd<'_>) -> Result<u64> {
    fstat(fd).map(|stat| stat.st_size as u64).map_err(|e| place.io("fstat", e))
}

/// Type, owner, mode and seals: whether this file may be mapped and believed.
fn check_file(place: &Place, fd: BorrowedFd<'_>, trust: Trust) -> Result<FileStat> {
    let name = || place.label();
    let stat = fstat(fd).map_err(|e| place.io("fstat", e))?;
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    if kind != SFlag::S_IFREG {
        return Err(wrong_type(place, kind));
    }
    let seals = SealFlag::from_bits_truncate(
        nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GET_SEALS).unwrap_or_default(),
    );
    let sealed = seals.contains(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW);
    if *place == Place::Anonymous && !sealed {
        return Err(Error::Unsealed { name: name() });
    }
    match trust {
        Trust::Distrust if sealed => {}
        Trust::Distrust => return Err(Error::Unsealed { name: name() }),
        Trust::Kernel => {
            let own = geteuid().as_raw();
            if stat.st_uid != own && stat.st_uid != 0 {
                return Err(Error::WrongOwner { name: name(), uid: stat.st_uid, own });
            }
            // A memfd's mode says nothing: only holders of a descriptor reach it.
            if *place != Place::Anonymous && stat.st_mode & 0o022 != 0 {
                return Err(Error::WrongMode { name: name(), mode: stat.st_mode & 0o7777 });
            }
        }
    }
    Ok(stat)
}

fn wrong_type(place: &Place, kind: SFlag) -> Error {
    let name = place.label();
    match kind {
        SFlag::S_IFDIR => Error::Directory { name },
        SFlag::S_IFLNK => Error::Symlink { name },
        SFlag::S_IFIFO => Error::NotAFile { name, what: "FIFO" },
        SFlag::S_IFSOCK => Error::NotAFile { name, what: "socket" },
        SFlag::S_IFCHR => Error::NotAFile { name, what: "character device" },
        SFlag::S_IFBLK => Error::NotAFile { name, what: "block device" },
        _ => Error::NotAFile { name, what: "special file" },
    }
}

/// What an errno about a path means for the segment there.
fn path_error(place: &Place, call: &'static str, errno: Errno) -> Error {
    let name = place.label();
    match errno {
        Errno::ENOENT => Error::NotFound { name },
        Errno::EACCES | Errno::EPERM => Error::Permission { name },
        Errno::EISDIR => Error::Directory { name },
        // O_NOFOLLOW; the errno alone could also mean a loop among the directories before it.
        Errno::ELOOP => Error::Symlink { name },
        Errno::ENAMETOOLONG => too_long(place, name),
        // open(2) of a socket, or of a device without a driver.
        Errno::ENXIO | Errno::ENODEV => match place.path().and_then(|p| lstat(&p).ok()) {
            Some(stat) => wrong_type(place, SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())),
            None => place.io(call, errno),
        },
        _ => place.io(call, errno),
    }
}

/// Of a path one part may be too long, or the whole.
fn too_long(place: &Place, name: String) -> Error {
    let path = place.path().unwrap_or_default();
    let part = path.iter().map(OsStr::len).max().unwrap_or_default();
    let whole = path.as_os_str().len();
    if part > NAME_MAX || whole < PATH_MAX {
        return Error::NameTooLong { name, len: part, max: NAME_MAX };
    }
    Error::NameTooLong { name, len: whole, max: PATH_MAX - 1 }
}

fn memfd(place: &Place) -> Result<OwnedFd> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    memfd_create(c"slipring", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
        .map_err(|e| place.io("memfd_create", e))
}

/// A file without a name on the file system where the name will be.
fn unnamed_file(place: &Place, mode: u32) -> Result<OwnedFd> {
    let path = place.path().unwrap_or_default();
    let dir = match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
        Some(dir) => dir,
        None => Path::new("/"),
    };
    // A name that is taken is the commonest error: say so before a large segment is allocated for nothing.
    if let Ok(stat) = lstat(&path) {
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        return Err(match kind {
            SFlag::S_IFREG => Error::Exists { name: place.label() },
            _ => wrong_type(place, kind),
        });
    }
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let fd = match nix::fcntl::open(dir, flags, Mode::from_bits_truncate(mode & 0o7777)) {
        Ok(fd) => fd,
        Err(Errno::EOPNOTSUPP | Errno::EISDIR) => {
            return Err(Error::Unsupported {
                name: place.label(),
                what: "O_TMPFILE on this file system",
                instead: "use a named ring or a file system with O_TMPFILE, as tmpfs, ext4, xfs or btrfs",
            });
        }
        Err(Errno::ENOENT | Errno::ENOTDIR) => {
            return Err(Error::NoDirectory { name: place.label() });
        }
        Err(errno) => return Err(path_error(place, "open with O_TMPFILE", errno)),
    };
    // umask(2) took bits away that were asked for.
    fchmod(&fd, Mode::from_bits_truncate(mode & 0o7777)).map_err(|e| place.io("fchmod", e))?;
    Ok(fd)
}

/// Reserves every page now: a full file system is an error here and not a SIGBUS later. In parts: before Linux 6.9 a
/// signal undoes what one call has allocated on tmpfs, so that a process with a timer would never get to the end.
fn allocate(place: &Place, fd: BorrowedFd<'_>, len: u64) -> Result<()> {
    let (mut done, mut part) = (0, ALLOCATE_MAX);
    while done < len {
        match nix::fcntl::posix_fallocate(fd, done as i64, part.min(len - done) as i64) {
            Ok(()) => done += part.min(len - done),
            Err(Errno::EINTR) => part = (part / 2).max(ALLOCATE_MIN),
            Err(Errno::ENOSPC | Errno::ENOMEM | Errno::EFBIG | Errno::EDQUOT) => {
                let free = nix::sys::statvfs::fstatvfs(fd)
                    .ok()
                    .map(|fs| fs.blocks_available() * fs.fragment_size() + done);
                let free = free.filter(|_| *place != Place::Anonymous);
                return Err(Error::NoSpace { name: place.label(), wanted: len, free });
            }
            Err(errno) => return Err(place.io("posix_fallocate", errno)),
        }
    }
    Ok(())
}

/// Removes the file at `place` if it starts as a segment does, sound or not.
pub fn unlink_segment(place: &Place) -> Result<()> {
    let Some(path) = place.path() else { return Ok(()) };
    let stat = lstat(&path).map_err(|e| path_error(place, "lstat", e))?;
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    if kind != SFlag::S_IFREG {
        return Err(wrong_type(place, kind));
    }
    if !has_magic(&path).map_err(|e| path_error(place, "open", e))? {
        return Err(Error::NotARing { name: place.label() });
    }
    unlink(&path).map_err(|e| path_error(place, "unlink", e))
}

/// The names of all slipring segments in POSIX shared memory, sorted. Files of others, and files that cannot be read,
/// are passed over.
pub fn names() -> Result<Vec<String>> {
    let io = |source| Error::Io { name: SHM_DIR.into(), call: "readdir", source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(SHM_DIR).map_err(io)? {
        let entry = entry.map_err(io)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if entry.file_type().is_ok_and(|t| t.is_file()) && has_magic(&entry.path()) == Ok(true) {
            names.push(format!("/{name}"));
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a file with the first bytes of a segment stands at `path`. Something else may have taken the place of the
/// file that was seen there: neither a link is followed nor a FIFO waited for.
fn has_magic(path: &Path) -> nix::Result<bool> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut magic = [0; 8];
    let fd = nix::fcntl::open(path, flags, Mode::empty())?;
    Ok(nix::sys::uio::pread(&fd, &mut magic, 0)? == magic.len() && magic == MAGIC.to_ne_bytes())
}
