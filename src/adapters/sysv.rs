//! Keys and identifiers as System V has them (sysvipc(7)): a key that programs agree on, an identifier that the system
//! gives, objects that stay until they are removed. What an object is, its segment, is the business of its adapter.
//!
//! Each family of objects has a table in shared memory, one of each user: a word for each index, with the key and a
//! sequence. An identifier is `sequence:16 | index:15`; the sequence of an index changes when its object is removed, so an
//! identifier that somebody kept names nothing, and not the next object that comes to stand there. The table is changed
//! under a lock of the kernel's, which ends with its holder, and by one store at a time:
//!
//! ```text
//!   make     the object's segment gets its name; then the word says that there is one: a maker killed in between
//!            leaves a segment that the next one made at this index takes away
//!   remove   the object itself is told that it is gone; then the word; then the segment's name goes. Whoever finds an
//!            object that says it is gone, or none, removes the word
//! ```
#![forbid(unsafe_code)]

use crate::adapters::pipe::errno;
use crate::error::Error;
use crate::layout::{
    FLAG_PERSISTENT, KIND_TABLE, MAGIC, RING_OFFSET, SegmentHeader, TABLE_SLOTS, TableSlot, VERSION, Wakeup,
};
use crate::liveness::Hold;
use crate::segment::{self, Place, Segment, Trust};
use crate::sync::Shared;
use nix::errno::Errno;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What programs agree on to find the same object.
pub type Key = i32;

/// Not a key: each object made with it is another, and nobody finds it by its key (IPC_PRIVATE).
pub const PRIVATE: Key = 0;

/// Byte of the table locked by whoever reads or changes it.
const GATE: usize = 2;
/// Bits of an identifier that are the index; as Linux has them (IPCMNI_SHIFT).
const INDEX_BITS: u32 = 15;

/// Whether to make an object, in the call that looks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Obtain {
    /// Only one that is there: else ENOENT.
    Existing,
    /// The one that is there, or a new one (IPC_CREAT).
    OrCreate,
    /// Only a new one: EEXIST if there is one (IPC_CREAT and IPC_EXCL).
    CreateNew,
}

/// The key of a file that exists and a number of the program's own, of which the low 8 bits count and should not be 0
/// (ftok(3)). Nearly unique: two files may have the same.
///
/// # Errors
/// Whatever stat(2) says of the path.
pub fn ftok(path: impl AsRef<Path>, project: i32) -> io::Result<Key> {
    let stat = nix::sys::stat::stat(path.as_ref())?;
    Ok((project & 0xff) << 24 | ((stat.st_dev & 0xff) as i32) << 16 | (stat.st_ino & 0xffff) as i32)
}

/// An object of a family, as the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: i32,
    pub(super) key: Key,
}

/// One kind of objects with keys and identifiers: `sem`, `msg`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family(pub(super) &'static str);

/// What stands at an index: `used:1 | sequence:31 | key:32`, of the sequence the low 16 bits in the identifier.
#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    const USED: u64 = 1 << 63;

    fn is_used(self) -> bool {
        self.0 & Self::USED != 0
    }

    fn key(self) -> Key {
        self.0 as u32 as Key
    }

    fn id(self, index: usize) -> i32 {
        (((self.0 >> 32 & 0xffff) as i32) << INDEX_BITS) | index as i32
    }

    fn taken(self, key: Key) -> Word {
        Word(self.0 & !0xffff_ffff | u64::from(key as u32) | Self::USED)
    }

    fn freed(self) -> Word {
        Word((self.0 & !Self::USED & !0xffff_ffff).wrapping_add(1 << 32) & !Self::USED)
    }
}

/// The table, locked.
struct Table<'a> {
    slots: &'a Shared<[TableSlot]>,
    family: Family,
}

impl Table<'_> {
    fn word(&self, index: usize) -> Word {
        Word(self.slots[index].get())
    }

    fn entries(&self) -> impl Iterator<Item = (usize, Word)> {
        (0..self.slots.len()).map(|index| (index, self.word(index))).filter(|(_, word)| word.is_used())
    }

    /// The word of this identifier, if it names anything.
    fn find(&self, id: i32) -> Option<(usize, Word)> {
        let index = usize::try_from(id).ok()? & ((1 << INDEX_BITS) - 1);
        let word = (index < self.slots.len()).then(|| self.word(index))?;
        (word.is_used() && word.id(index) == id).then_some((index, word))
    }

    fn make(&self, key: Key, make: impl FnOnce(Place) -> io::Result<()>) -> io::Result<i32> {
        let free = (0..self.slots.len()).find(|&index| !self.word(index).is_used()).ok_or(Errno::ENOSPC)?;
        let word = self.word(free).taken(key);
        let place = self.family.object(word.id(free));
        // What somebody left who was killed while making one, or who lost the table.
        let _ = segment::unlink_segment(&place);
        make(place)?;
        self.slots[free].set(word.0);
        Ok(word.id(free))
    }

    fn clear(&self, index: usize) {
        let word = self.word(index);
        self.slots[index].set(word.freed().0);
        let _ = segment::unlink_segment(&self.family.object(word.id(index)));
    }
}

impl Family {
    fn place(self, rest: &str) -> Place {
        Place::Named(format!("/slipring-{}-{}{rest}", self.0, nix::unistd::geteuid()))
    }

    /// Where the object of this identifier lives.
    pub(super) fn object(self, id: i32) -> Place {
        self.place(&format!("-{id}"))
    }

    /// Looks for the object of `key`, and makes one if there is none and it is to be made; its identifier. `check` says
    /// whether an object that was found will do: with EIDRM that it is gone. `make` makes the named segment.
    pub(super) fn get(
        self,
        key: Key,
        how: Obtain,
        make: impl FnOnce(Place) -> io::Result<()>,
        check: impl FnOnce(Place) -> io::Result<()>,
    ) -> io::Result<i32> {
        self.with(|table| {
            let found = table.entries().find(|(_, word)| key != PRIVATE && word.key() == key);
            if let Some((index, word)) = found {
                let id = word.id(index);
                match check(self.object(id)) {
                    Err(error) if is_gone(&error) => table.clear(index),
                    _ if how == Obtain::CreateNew => return Err(Errno::EEXIST.into()),
                    checked => return checked.map(|()| id),
                }
            }
            if how == Obtain::Existing && key != PRIVATE {
                return Err(Errno::ENOENT.into());
            }
            table.make(key, make)
        })
    }

    /// The object of this identifier: EINVAL if there is none.
    pub(super) fn find(self, id: i32) -> io::Result<Entry> {
        self.with(|table| {
            let (_, word) = table.find(id).ok_or(Errno::EINVAL)?;
            Ok(Entry { id, key: word.key() })
        })
    }

    /// Removes an object; `tell` tells the object itself, and so all who have it open: with EIDRM that it knew.
    pub(super) fn remove(self, id: i32, tell: impl FnOnce(Place) -> io::Result<()>) -> io::Result<()> {
        self.with(|table| {
            let (index, _) = table.find(id).ok_or(Errno::EINVAL)?;
            let told = tell(self.object(id));
            let gone = matches!(&told, Err(error) if is_gone(error));
            if told.is_ok() || gone {
                table.clear(index);
            }
            if gone { Err(Errno::EINVAL.into()) } else { told }
        })
    }

    /// All objects of this user, by index.
    pub(super) fn list(self) -> io::Result<Vec<Entry>> {
        self.with(|table| {
            Ok(table.entries().map(|(index, word)| Entry { id: word.id(index), key: word.key() }).collect())
        })
    }

    /// Does `work` with the table, alone.
    fn with<T>(self, work: impl FnOnce(&Table<'_>) -> io::Result<T>) -> io::Result<T> {
        let place = self.place("");
        let (fd, segment) = loop {
            let opened = Segment::open_file(&place, Trust::Kernel)
                .and_then(|fd| Segment::open(place.clone(), fd, Trust::Kernel));
            match opened {
                Ok(open) => break open,
                Err(Error::NotFound { .. }) => match create(place.clone()) {
                    Ok(()) | Err(Error::Exists { .. }) => {}
                    Err(error) => return Err(errno(error)),
                },
                Err(error) => return Err(errno(error)),
            }
        };
        let header = segment.header();
        let is_table = header.kind == KIND_TABLE && header.capacity == TABLE_SLOTS as u64;
        let slots = segment.shared_slice(RING_OFFSET, TABLE_SLOTS).filter(|_| is_table).ok_or(Errno::EIO)?;
        let gate = Hold::new(&segment, fd.as_fd()).map_err(errno)?;
        let mut work = Some(work);
        loop {
            let once = || work.take().map(|work| work(&Table { slots: &slots, family: self }));
            match gate.alone_at(&segment, GATE, once) {
                Ok(Some(done)) => return done,
                // The kernel's calls that this stands in for are never interrupted.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::Interrupted => {}
                Ok(None) => return Err(Errno::EIO.into()),
                Err(error) => return Err(errno(error)),
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::EIDRM, Errno::ENOENT];
    error.raw_os_error().is_some_and(|raw| gone.contains(&Errno::from_raw(raw)))
}

/// The header of a segment of `kind` for `len` bytes behind the control lines, without what is particular to the kind.
pub(super) fn header(kind: u32, len: u64, mode: u32) -> SegmentHeader {
    SegmentHeader {
        magic: MAGIC,
        version: VERSION,
        kind,
        segment_len: RING_OFFSET as u64 + len,
        ring_offset: RING_OFFSET as u64,
        data_offset: RING_OFFSET as u64,
        wakeup: Wakeup::Futex.code(),
        flags: FLAG_PERSISTENT,
        creator_pid: std::process::id(),
        creator_uid: nix::unistd::geteuid().as_raw(),
        mode,
        created_ns: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64),
        ..SegmentHeader::default()
    }
}

fn create(place: Place) -> crate::error::Result<()> {
    let len = TABLE_SLOTS * size_of::<TableSlot>();
    let mut header = SegmentHeader { capacity: TABLE_SLOTS as u64, ..header(KIND_TABLE, len as u64, 0o600) };
    header.checksum = header.expected_checksum();
    let (fd, segment) = Segment::create(place, header, 0o600)?;
    segment.publish(fd.as_fd())
}
