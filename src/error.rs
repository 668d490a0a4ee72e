//! What can go wrong, one type per moment: [`Error`] while opening, [`SendError`] and [`RecvError`] while messages
//! move. Every text says what happened, to which name, and what to do.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::io;

/// `Result` with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a segment could not be made, opened, joined or removed. `name` is the ring's name or path as given.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields say what the variant's text prints")]
pub enum Error {
    /// No ring has this name.
    NotFound { name: String },
    /// The path lies in a directory that does not exist.
    NoDirectory { name: String },
    /// The name is taken.
    Exists { name: String },
    /// The file is no slipring segment.
    NotARing { name: String },
    /// The segment has a layout version that this build does not speak.
    Version { name: String, found: u32, known: u32 },
    /// The segment carries another kind of ring.
    WrongKind { name: String, found: u32, wanted: &'static str },
    /// The segment uses features that this build does not know.
    Features { name: String, flags: u32 },
    /// A header field has a value that no creator writes.
    Geometry { name: String, field: &'static str, found: u64 },
    /// The header does not match its checksum.
    Checksum { name: String },
    /// The file is too short to hold a segment header.
    TooSmall { name: String, len: u64, least: u64 },
    /// The file is shorter than its header says.
    Truncated { name: String, len: u64, wanted: u64 },
    /// The segment belongs to another user.
    WrongOwner { name: String, uid: u32, own: u32 },
    /// Others than this user may write the segment.
    WrongMode { name: String, mode: u32 },
    /// This process may not open the segment.
    Permission { name: String },
    /// A symbolic link stands in the segment's place.
    Symlink { name: String },
    /// A directory stands in the segment's place.
    Directory { name: String },
    /// A FIFO, socket or device stands in the segment's place.
    NotAFile { name: String, what: &'static str },
    /// The file system or memory has no room for the segment.
    NoSpace { name: String, wanted: u64, free: Option<u64> },
    /// The name is malformed.
    BadName { name: String, why: &'static str },
    /// The name is longer than the file system allows.
    NameTooLong { name: String, len: usize, max: usize },
    /// An option has a value that no ring can have.
    BadOption { option: &'static str, found: String, allowed: String },
    /// A live participant has the role.
    Busy { name: String, role: &'static str, pid: Option<u32> },
    /// As many handles as the ring was made for are attached to it.
    TooManyParticipants { name: String, max: u32 },
    /// A clone that found no place in its ring was cloned.
    Unattached,
    /// The last user is taking the name away, and has not finished.
    BeingRemoved { name: String },
    /// The ring has live participants, so it is not removed.
    InUse { name: String, pids: Vec<u32> },
    /// The memory may be resized by others, so it cannot be mapped safely.
    Unsealed { name: String },
    /// The kernel or the ring lacks something that was asked for.
    Unsupported { name: String, what: &'static str, instead: &'static str },
    /// The handle was made before a fork(2) and used in the child.
    Forked { name: String },
    /// The control lines hold a value that no participant writes.
    Corrupt { name: String, fault: Corrupt },
    /// Any other failure of a system call.
    Io { name: String, call: &'static str, source: io::Error },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Error::*;
        match self {
            NotFound { name } => write!(f, "{name}: no such ring; create it first"),
            NoDirectory { name } => {
                write!(f, "{name}: lies in a directory that does not exist; make it, or choose another path")
            }
            Exists { name } => {
                write!(f, "{name}: exists already; open it, choose another name, or remove it")
            }
            NotARing { name } => write!(f, "{name}: is not a slipring segment; choose another name"),
            Version { name, found, known } => write!(
                f,
                "{name}: has layout version {found}, this build speaks version {known}; use the same slipring version \
                 on both sides, or remove the ring and make it again"
            ),
            WrongKind { name, found, wanted } => {
                write!(f, "{name}: carries ring kind {found}, not {wanted}; open it as what it is")
            }
            Features { name, flags } => write!(
                f,
                "{name}: uses features unknown to this build (flags {flags:#x}); use the slipring version that made it"
            ),
            Geometry { name, field, found } => write!(
                f,
                "{name}: impossible {field} {found} in the segment header; the segment is damaged, remove it and make \
                 it again"
            ),
            Checksum { name } => write!(
                f,
                "{name}: the segment header does not match its checksum; the segment is damaged, remove it and make it \
                 again"
            ),
            TooSmall { name, len, least } => write!(
                f,
                "{name}: has {len} bytes, a segment has at least {least}; it is no segment or it was truncated"
            ),
            Truncated { name, len, wanted } => write!(
                f,
                "{name}: was truncated to {len} of {wanted} bytes; its messages are lost, remove it and make it again"
            ),
            WrongOwner { name, uid, own } => write!(
                f,
                "{name}: belongs to user {uid}, not to user {own}, who could change it under us; use a ring of your \
                 own, or pass a sealed memfd and distrust the peer"
            ),
            WrongMode { name, mode } => write!(
                f,
                "{name}: mode {mode:04o} lets other users write it; make it with mode 0600, or pass a sealed memfd and \
                 distrust the peer"
            ),
            Permission { name } => write!(f, "{name}: permission denied; ask its owner, or use another name"),
            Symlink { name } => write!(f, "{name}: is a symbolic link, which is never followed; remove it"),
            Directory { name } => write!(f, "{name}: is a directory; choose another name"),
            NotAFile { name, what } => write!(f, "{name}: is a {what}, not a segment; choose another name"),
            NoSpace { name, wanted, free } => {
                write!(f, "{name}: no space for {wanted} bytes")?;
                if let Some(free) = free {
                    write!(f, " ({free} are free)")?;
                }
                write!(f, "; remove unused segments, make the file system larger, or ask for less capacity")
            }
            BadName { name, why } => {
                write!(
                    f,
                    "{:?}: {why}; a name is a slash and 1 to 255 bytes without another slash, as /prices, and a path ends \
                     in a file's name",
                    ends(name)
                )
            }
            NameTooLong { name, len, max } => {
                let what = if *max > 255 { "path" } else { "name" };
                write!(f, "{}: has {len} bytes, a {what} has at most {max}; shorten it", ends(name))
            }
            BadOption { option, found, allowed } => {
                write!(f, "{option} {found} is impossible; it must be {allowed}")
            }
            Busy { name, role, pid } => {
                write!(f, "{name}: already has a {role}")?;
                if let Some(pid) = pid {
                    write!(f, " (pid {pid})")?;
                }
                write!(f, "; there is one at a time, so wait for it to leave or use another ring")
            }
            TooManyParticipants { name, max } => write!(
                f,
                "{name}: has {max} participants, as many as it was made for; drop a sender or receiver, or make the \
                 ring for more"
            ),
            Unattached => {
                write!(f, "this handle has no place in its ring, so it cannot be cloned; open the ring again")
            }
            BeingRemoved { name } => write!(
                f,
                "{name}: is being removed by its last user; try again, or, if that process is stopped, force the removal"
            ),
            InUse { name, pids } => {
                write!(f, "{name}: is in use")?;
                for (i, pid) in pids.iter().enumerate() {
                    write!(f, "{}{pid}", if i == 0 { " by pid " } else { ", " })?;
                }
                write!(f, "; stop its users first, or force the removal")
            }
            Unsealed { name } => write!(
                f,
                "{name}: is not sealed against shrinking, so a peer could take the memory away; seal it with \
                 F_SEAL_SHRINK and F_SEAL_GROW, as Ring::anonymous does"
            ),
            Unsupported { name, what, instead } => write!(f, "{name}: {what} is not available; {instead}"),
            Forked { name } => write!(
                f,
                "{name}: this handle was made before a fork and belongs to the parent; open the ring again in the child"
            ),
            Corrupt { name, fault } => write!(f, "{name}: {fault}; remove the ring and make it again"),
            Io { name, call, source } => write!(f, "{name}: {call} failed: {source}"),
        }
    }
}

/// The name as given, if it is not longer than people read; else its two ends.
fn ends(name: &str) -> Cow<'_, str> {
    const KEPT: usize = 120;
    let place = |nth: usize| name.char_indices().nth(nth).map_or(name.len(), |(at, _)| at);
    let chars = name.chars().count();
    match chars > 3 * KEPT {
        true => Cow::Owned(format!("{} ... {}", &name[..place(KEPT)], &name[place(chars - KEPT)..])),
        false => Cow::Borrowed(name),
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

const UNATTACHED: &str = "this clone found no place in its ring (as many participants as it was made for, or no more \
                          file descriptors); use try_clone to hear why";

/// A value in shared memory that no correct participant writes. The ring's data are lost; nothing else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corrupt {
    /// The field of the layout.
    pub field: &'static str,
    /// What was read there.
    pub found: u64,
    /// The position (bytes since the ring was made) at which the reader or writer stood.
    pub position: u64,
}

impl Corrupt {
    /// Not public API: the model half builds these.
    #[must_use]
    pub(crate) fn new(field: &'static str, found: u64, position: u64) -> Self {
        Corrupt { field, found, position }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Corrupt { field, found, position } = self;
        write!(f, "shared memory is corrupt: {field} holds {found:#x} at position {position}")
    }
}

/// Why a message was not sent. The message stays with the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room now (`try_` verbs only).
    Full,
    /// There was no room until the deadline.
    TimedOut,
    /// The message can never fit.
    TooLarge {
        /// Length asked for, in bytes.
        len: usize,
        /// The largest message of this ring, or of the grant that was to be committed, in bytes.
        max: usize,
    },
    /// There is no room, and the consumer has left cleanly.
    Closed,
    /// There is no room, and the consumer was killed. What was committed waits for its successor.
    PeerDied {
        /// The process that was the consumer.
        pid: u32,
    },
    /// The handle belongs to the parent of this forked process; open the ring again.
    Forked,
    /// The handle is a clone that found no place in its ring: `try_clone` says why.
    Unattached,
    /// Shared memory holds a value that no consumer writes.
    Corrupt(Corrupt),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Full => write!(f, "the ring is full; try again after the consumer has read"),
            SendError::TimedOut => write!(f, "no room in the ring until the deadline"),
            SendError::TooLarge { len, max } => write!(
                f,
                "a message of {len} bytes cannot fit into {max}, the most that this ring takes or that was reserved; \
                 split it, reserve more, or make a larger ring"
            ),
            SendError::Closed => write!(f, "the ring is full and the consumer has left; open a new consumer"),
            SendError::PeerDied { pid } => {
                write!(
                    f,
                    "the ring is full and the consumer (pid {pid}) has died; open a new consumer to go on"
                )
            }
            SendError::Unattached => write!(f, "{UNATTACHED}"),
            SendError::Forked => write!(f, "this handle belongs to the parent process; open the ring again"),
            SendError::Corrupt(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// There is no message now (`try_` verbs only).
    Empty,
    /// No message came until the deadline.
    TimedOut,
    /// The buffer is too small; the message stays first in the ring.
    BufferTooSmall {
        /// Length of the message, in bytes.
        len: usize,
        /// Length of the buffer, in bytes.
        have: usize,
    },
    /// Everything committed has been read, and the producer has left cleanly.
    Closed,
    /// Everything committed has been read, and the producer was killed.
    PeerDied {
        /// The process that was the producer.
        pid: u32,
    },
    /// The handle belongs to the parent of this forked process; open the ring again.
    Forked,
    /// The handle is a clone that found no place in its ring: `try_clone` says why.
    Unattached,
    /// Shared memory holds a value that no producer writes.
    Corrupt(Corrupt),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Empty => write!(f, "the ring is empty; try again after the producer has sent"),
            RecvError::TimedOut => write!(f, "no message until the deadline"),
            RecvError::BufferTooSmall { len, have } => {
                write!(
                    f,
                    "the next message has {len} bytes, the buffer {have}; receive it with a larger buffer"
                )
            }
            RecvError::Closed => write!(f, "the producer has left and everything it sent was read"),
            RecvError::PeerDied { pid } => {
                write!(f, "the producer (pid {pid}) has died and everything it committed was read")
            }
            RecvError::Unattached => write!(f, "{UNATTACHED}"),
            RecvError::Forked => write!(f, "this handle belongs to the parent process; open the ring again"),
            RecvError::Corrupt(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for RecvError {}

impl From<Corrupt> for SendError {
    fn from(fault: Corrupt) -> Self {
        SendError::Corrupt(fault)
    }
}

impl From<Corrupt> for RecvError {
    fn from(fault: Corrupt) -> Self {
        RecvError::Corrupt(fault)
    }
}
