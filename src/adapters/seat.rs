//! A seat: a number of this process, whose lease no other process shares, to take locks with and to wait on. A handle takes
//! one when it first needs it, and a forked child, whose copy of the lease was taken away, takes another.
#![forbid(unsafe_code)]

use crate::adapters::pipe::errno;
use crate::liveness::Lease;
use crate::open;
use crate::segment::Segment;
use nix::errno::Errno;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// One number of this process.
pub(super) struct Seat {
    lease: Lease,
    /// The number.
    pub(super) me: u32,
    /// This process: asked for once, not with each message.
    pub(super) pid: u32,
}

impl Seat {
    /// Takes a free one of these numbers; `of` is any descriptor of the segment. Whatever stands under it is a dead one's.
    pub(super) fn take(
        of: BorrowedFd<'_>,
        segment: &Arc<Segment>,
        numbers: Range<usize>,
    ) -> io::Result<Seat> {
        // A child's own memory map must be registered, too.
        open::join_fences(segment).map_err(errno)?;
        let joined = Lease::join(of, segment.clone(), true).map_err(errno)?;
        let lease = joined.ok_or(Errno::EAGAIN)?;
        // Each process starts to look somewhere else, so that the first look mostly finds a free one.
        let start = std::process::id() as usize * 61 % numbers.len();
        for seat in (start..start + numbers.len()).map(|i| numbers.start + i % numbers.len()) {
            if lease.take(seat).map_err(errno)? {
                return Ok(Seat { lease, me: seat as u32, pid: std::process::id() });
            }
        }
        Err(Errno::ENFILE.into())
    }

    /// Whether it was taken in this process, and not in its parent.
    pub(super) fn is_own(&self) -> bool {
        self.lease.is_own()
    }

    /// Whether a live process has this number: this one, or another.
    pub(super) fn lives(&self, number: u32) -> bool {
        number == self.me || self.lease.is_held(number as usize)
    }
}
