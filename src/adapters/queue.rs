//! What POSIX's and System V's message queues have in common on the host: a segment with a queue in it, and handles that
//! take a seat when they first need one and work in a forked child as they are.
#![forbid(unsafe_code)]

use crate::adapters::pipe::errno;
use crate::adapters::seat::Seat;
use crate::adapters::sysv::{id_of, permitted};
use crate::channel::lock::Who;
use crate::channel::queue::{Call, Queue, Stop, Watch};
use crate::layout::{
    CELL_LENS, FLAG_ASYMMETRIC_FENCES, FLAG_PERSISTENT, MAX_CELLS, MAX_PARTICIPANTS, QueueHeader,
    RING_OFFSET, SegmentHeader, Wakeup, cells_offset,
};
use crate::liveness::Hold;
use crate::open;
use crate::ring::store::{get, set};
use crate::segment::{Place, Segment, Trust};
use crate::signal::{self, Code, Origin};
use crate::sync::{Deadline, Shared, register_for_heavy_fences};
use crate::view::{HEAD_LEN, PART_LEN, QueueGeometry, QueueView};
use nix::errno::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// How many handles can have used a queue at the same time if nobody says otherwise.
pub(super) const DEFAULT_SEATS: u32 = 512;

/// What a new queue is like.
pub(super) struct Shape {
    pub(super) kind: u32,
    /// Bytes of the longest message.
    pub(super) max_len: usize,
    /// Messages at most, and bytes, as long as it lives and at first.
    pub(super) most: [u64; 2],
    pub(super) limits: [u64; 2],
    pub(super) seats: u32,
}

/// What stands in a new queue for System V's `struct msqid_ds`.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) key: i32,
    pub(super) mode: u32,
}

pub(super) fn now() -> u64 {
    open::now_ns() / 1_000_000_000
}

impl Shape {
    /// Bytes of a cell: small enough that a short message wastes little, large enough that a long one has few.
    fn cell_len(&self) -> usize {
        let quarter = (self.max_len / 4 + HEAD_LEN).next_power_of_two();
        let each = self.most[1] / self.most[0].max(1);
        // Where the bytes allow less for each message than the longest has, most are short.
        quarter
            .min((each.min(CELL_LENS[1]) as usize + HEAD_LEN).next_power_of_two())
            .clamp(CELL_LENS[0] as usize, CELL_LENS[1] as usize)
    }

    /// Cells for the most messages, whatever their lengths, and a quarter more for what was handed to somebody who has
    /// not taken it yet: that counts no more.
    fn cells(&self, cell_len: usize) -> Option<u64> {
        let [count, bytes] = self.most;
        let longest = QueueGeometry::cells_for(self.max_len, cell_len);
        let (first, further) = ((cell_len - HEAD_LEN) as u64, (cell_len - PART_LEN) as u64);
        // A second cell begins with the byte behind the first, a third after as many more as it has.
        let by_bytes = count.checked_add(bytes / (first + 1).min(further))?;
        let cells = by_bytes.min(count.checked_mul(longest)?);
        let cells = cells.checked_add((cells / 4).max(longest))?;
        (cells <= MAX_CELLS).then_some(cells)
    }

    /// Makes the segment, with an empty queue in it. Not published yet.
    pub(super) fn create(&self, place: Place, facts: &Facts) -> io::Result<(OwnedFd, Segment, QueueView)> {
        let cell_len = self.cell_len();
        let sound = (2..MAX_PARTICIPANTS).contains(&self.seats) && self.max_len <= u32::MAX as usize;
        let cells = self.cells(cell_len).filter(|&cells| sound && cells > 0).ok_or(Errno::EINVAL)?;
        let asymmetric = u32::from(register_for_heavy_fences()) * FLAG_ASYMMETRIC_FENCES;
        let data_offset = cells_offset(self.seats, cells) as u64;
        let header = SegmentHeader {
            kind: self.kind,
            segment_len: data_offset + cells * cell_len as u64,
            data_offset,
            capacity: cells,
            align: CELL_LENS[0] as u32,
            wakeup: Wakeup::Futex.code(),
            flags: asymmetric + FLAG_PERSISTENT,
            slot_len: cell_len as u32,
            participants: self.seats,
            ..open::new_header(0o600)
        };
        let (fd, segment) = Segment::create(place, header.with_checksum(), 0o600).map_err(errno)?;
        let queue: Shared<QueueHeader> = segment.shared(RING_OFFSET).ok_or(Errno::EINVAL)?;
        for (word, value) in [
            (&queue.limits.max_len, self.max_len as u64),
            (&queue.limits.count, self.limits[0]),
            (&queue.limits.bytes, self.limits[1]),
            (&queue.limits.most_messages, self.most[0]),
            (&queue.limits.most, self.most[1]),
            (&queue.facts.key, u64::from(facts.key.cast_unsigned())),
            (&queue.facts.id, id_of(&segment).unsigned_abs().into()),
            (&queue.facts.mode, facts.mode.into()),
            (&queue.facts.uid, nix::unistd::geteuid().as_raw().into()),
            (&queue.facts.gid, nix::unistd::getegid().as_raw().into()),
            (&queue.facts.changed, now()),
        ] {
            set(word, value);
        }
        let view = view(&segment, self.kind)?;
        Queue::new(view.clone()).begin().map_err(|_| Errno::EIO)?;
        Ok((fd, segment, view))
    }
}

/// The queue in a segment, if it is one of this kind.
pub(super) fn view(segment: &Segment, kind: u32) -> io::Result<QueueView> {
    open::cells(segment, kind).ok_or_else(|| Errno::EINVAL.into())
}

/// What clones of a handle share, and what ends with the last of them in this process.
pub(super) struct Opened {
    hold: Hold,
    pub(super) segment: Arc<Segment>,
    pub(super) view: QueueView,
}

impl Opened {
    /// On a description of its own; `fd` is any descriptor of the segment.
    pub(super) fn new(fd: BorrowedFd<'_>, segment: Segment, view: QueueView) -> io::Result<Arc<Opened>> {
        open::join_fences(&segment).map_err(errno)?;
        let segment = Arc::new(segment);
        let hold = Hold::new(&segment, fd).map_err(errno)?;
        if !hold.be_present(&segment).map_err(errno)? {
            return Err(Errno::EAGAIN.into());
        }
        Ok(Arc::new(Opened { hold, segment, view }))
    }

    /// Opens what has this name.
    pub(super) fn open(place: &Place, kind: u32) -> io::Result<Arc<Opened>> {
        let fd = Segment::open_file(place, Trust::Kernel).map_err(errno)?;
        let (fd, segment) = Segment::open(place.clone(), fd, Trust::Kernel).map_err(errno)?;
        let view = view(&segment, kind)?;
        Opened::new(fd.as_fd(), segment, view)
    }

    /// The description that clones and forked children share.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.hold.fd()
    }
}

/// A queue open in this process.
pub(super) struct Handle {
    pub(super) opened: Arc<Opened>,
    pub(super) queue: Queue,
    seat: Option<Seat>,
}

/// How a call waits.
pub(super) struct Manner<'a> {
    /// Until when; `None`: not at all.
    pub(super) patience: &'a dyn Fn() -> Option<Deadline>,
    /// Whether those with a higher priority wait less, and handlers with SA_RESTART end no wait: POSIX's way.
    pub(super) posix: bool,
}

impl Handle {
    pub(super) fn new(opened: Arc<Opened>) -> Handle {
        let queue = Queue::new(opened.view.clone());
        Handle { opened, queue, seat: None }
    }

    pub(super) fn duplicate(&self) -> Handle {
        Handle::new(self.opened.clone())
    }

    /// Does `verb` as this process.
    pub(super) fn call<T>(
        &mut self,
        manner: &Manner<'_>,
        verb: impl FnOnce(&Queue, &Call<'_>) -> Result<T, Stop>,
    ) -> io::Result<Result<T, Stop>> {
        let newly = self.seat.as_ref().is_none_or(|seat| !seat.is_own());
        if newly {
            let seats = 1..self.opened.view.geometry.seats as usize;
            self.seat = Some(Seat::take(self.opened.fd(), &self.opened.segment, seats)?);
        }
        let Some(seat) = &self.seat else { unreachable!("taken just now") };
        let lives = |number: u32| seat.lives(number);
        let tell = |watch: &Watch, sender: u32| {
            let from = Origin { pid: sender, code: Code::MessageQueue };
            signal::notify(watch.pid, watch.signal, watch.value, from, || seat.lives(watch.seat));
        };
        let call = Call {
            who: Who { me: seat.me, lives: &lives },
            pid: seat.pid,
            now: now(),
            rank: if manner.posix { &thread_rank } else { &|| 0 },
            patience: manner.patience,
            restarts: manner.posix,
            tell: &tell,
        };
        if newly && let Err(stop) = self.queue.disown(&call) {
            self.seat = None;
            return Ok(Err(stop));
        }
        Ok(verb(&self.queue, &call))
    }
}

/// A number that is higher for a thread of higher priority (proc_pid_stat(5), "priority").
fn thread_rank() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    let behind = stat.rsplit(") ").next().unwrap_or_default();
    let priority = behind.split(' ').nth(15).and_then(|field| field.parse::<i64>().ok());
    (1000 - priority.unwrap_or(20)).max(0) as u64
}

/// Whether this process may do to a queue what these permission bits (4 read, 2 write) stand for.
pub(super) fn allowed(view: &QueueView, wanted: u32) -> io::Result<()> {
    let facts = &view.header.facts;
    permitted(get(&facts.uid), get(&facts.mode) as u32, wanted)
}

/// The errno of what ended a verb, but for those that each kind of queue names differently.
pub(super) fn stopped(stop: Stop, empty: Errno, long: Errno) -> io::Error {
    io::Error::from(match stop {
        Stop::WouldBlock => empty,
        Stop::TimedOut => Errno::ETIMEDOUT,
        Stop::Interrupted => Errno::EINTR,
        Stop::Gone => Errno::EINVAL,
        Stop::Removed => Errno::EIDRM,
        Stop::TooLong => long,
        Stop::Corrupt(_) => Errno::EIO,
    })
}
