//! What a handle needs beside what it has open: a seat, which is a number to take the locks of a segment with, whose
//! lease no other process shares; and a memory of when the kernel was last asked who is still there.
//!
//! A handle takes a seat when it first moves bytes. A forked child, whose copy of the lease was taken away, takes another.
#![forbid(unsafe_code)]

use crate::adapters::pipe::errno;
use crate::channel::lock::NOBODY;
use crate::liveness::Lease;
use crate::segment::Segment;
use crate::sync::register_for_heavy_fences;
use nix::errno::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// The first seat, behind the bytes that say who has an end open; and the one behind the last.
const SEATS: [usize; 2] = [3, NOBODY as usize];
/// Who would have to ask the kernel before each call asks when somebody has closed an end, and when it has not asked for
/// so long: a fraction of what it may take to notice a death.
const TRUSTED_FOR: Duration = Duration::from_millis(10);

/// One number of this process.
pub(super) struct Seat {
    lease: Lease,
    me: usize,
}

impl Seat {
    /// Sees to it that `seat` is this process's own; `of` is any descriptor of the segment. `disown` is told a new number.
    pub(super) fn keep(
        seat: &mut Option<Seat>,
        of: BorrowedFd<'_>,
        segment: &Arc<Segment>,
        disown: impl FnOnce(u32),
    ) -> io::Result<()> {
        if seat.as_ref().is_none_or(|seat| !seat.lease.is_own()) {
            *seat = Some(Seat::take(of, segment, disown)?);
        }
        Ok(())
    }

    #[cold]
    fn take(of: BorrowedFd<'_>, segment: &Arc<Segment>, disown: impl FnOnce(u32)) -> io::Result<Seat> {
        // A child's own memory map must be registered, too.
        register_for_heavy_fences();
        let joined = Lease::join(of, segment.clone(), true).map_err(errno)?;
        let lease = joined.ok_or(Errno::EAGAIN)?;
        let count = SEATS[1] - SEATS[0];
        // Each process starts to look somewhere else, so that the first look mostly finds a free one.
        let start = std::process::id() as usize * 61 % count;
        for seat in (start..start + count).map(|i| SEATS[0] + i % count) {
            if lease.take(seat).map_err(errno)? {
                disown(seat as u32);
                return Ok(Seat { lease, me: seat });
            }
        }
        Err(Errno::ENFILE.into())
    }

    /// The number.
    pub(super) fn me(&self) -> u32 {
        self.me as u32
    }

    /// Whether a live process has this seat.
    pub(super) fn lives(&self, seat: u32) -> bool {
        self.lease.is_held(seat as usize)
    }
}

/// Departures when the kernel last said that somebody is there, and when that was.
#[derive(Default)]
pub(super) struct Seen(Cell<Option<(u32, Duration)>>);

impl Seen {
    /// Whether all are gone, as `ask` says if it has to be asked. Clean departures are seen at once, a death within
    /// [`TRUSTED_FOR`].
    pub(super) fn all_gone(&self, departures: u32, ask: impl FnOnce() -> bool) -> bool {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
        if let Some((then, at)) = self.0.get()
            && then == departures
            && now.saturating_sub(at) < TRUSTED_FOR
        {
            return false;
        }
        let gone = ask();
        self.0.set((!gone).then_some((departures, now)));
        gone
    }
}
