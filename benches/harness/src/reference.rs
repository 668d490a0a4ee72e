//! What the machine itself can do at this moment, so that figures can be given as ratios.
//!
//! `line`: two processes hand a number to and fro over two cache lines, tight loops without a pause; half of the round
//! trip, median of batches. `stream`: one process writes 4 KiB chunks, the other reads and checks them, 64 chunks
//! (256 KiB) in flight. Neither sleeps or calls the kernel. Both are taken by one pair of processes, so they see the
//! same placement of the cores.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atomics::Word;
use crate::clock::Clock;
use crate::cores::Cores;
use crate::error::HarnessError;
use crate::payload::{Registers, Source, check, write};
use crate::process::Pair;
use crate::shared::{Line, Shareable, Shared, SharedBytes};

/// `line` below this is called near, else far. Observed: near 65-70 ns, far 265-290 ns on one and the same machine, so
/// the border lies well between.
pub const NEAR_BELOW_NS: f64 = 150.0;

const LINE_BUDGET: Duration = Duration::from_millis(2);
const STREAM_BUDGET: Duration = Duration::from_millis(4);
const CHUNK: usize = 4096;
const CHUNKS: u64 = 64;
/// No counter gets that far.
const STOP: u64 = u64::MAX;

/// Both references, taken one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// One-way time of a cache line from one core to the other.
    pub line_ns: f64,
    /// Gigabytes (10^9 bytes) a second that one core writes and the other reads.
    pub stream_gb_per_s: f64,
    /// Where the cores were.
    pub placement: Placement,
}

/// How far apart the two cores are. On a virtual machine this changes under one's feet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// `line` is below [`NEAR_BELOW_NS`].
    Near,
    /// It is not.
    Far,
    /// The processes were not pinned, and may have shared one core.
    Unpinned,
}

impl Placement {
    /// Classifies a `line` reading.
    pub fn of(cores: Cores, line_ns: f64) -> Placement {
        match cores {
            Cores::Unpinned => Placement::Unpinned,
            Cores::Pinned(..) if line_ns < NEAR_BELOW_NS => Placement::Near,
            Cores::Pinned(..) => Placement::Far,
        }
    }
}

#[repr(C)]
struct Lines {
    ping: Line<Word>,
    pong: Line<Word>,
    /// Flag k holds n + 1 once chunk n, with n % CHUNKS = k, is written.
    written: [Line<Word>; CHUNKS as usize],
    /// How many chunks were read.
    read: Line<Word>,
}

// SAFETY: made of shareable fields, and each fills its 128 bytes.
unsafe impl Shareable for Lines {}

/// Takes both references; about 10 ms.
pub fn reference(pair: &Pair, clock: &Clock) -> Result<Reference, HarnessError> {
    let state = (Shared::<Lines>::new()?, SharedBytes::new(CHUNKS as usize * CHUNK)?);
    let ((line_ticks, start, chunks), end) = pair.run(
        state,
        |meeting, (lines, bytes)| {
            meeting.meet();
            let line_ticks = ping(pair.cores, clock, &lines);
            meeting.meet();
            let start = clock.now();
            let chunks = write_chunks(clock, &lines, &bytes);
            meeting.meet();
            Ok((line_ticks, start, chunks))
        },
        |meeting, (lines, bytes)| {
            meeting.meet();
            pong(&lines);
            meeting.meet();
            read_chunks(&lines, &bytes)?;
            let end = clock.now();
            meeting.meet();
            Ok(end)
        },
    )?;
    let line_ns = line_ticks * clock.ns(1);
    let stream_gb_per_s = (chunks * CHUNK as u64) as f64 / clock.ns(end.saturating_sub(start).max(1));
    Ok(Reference { line_ns, stream_gb_per_s, placement: Placement::of(pair.cores, line_ns) })
}

/// Counts up, one number a round trip; the median one-way time in ticks.
fn ping(cores: Cores, clock: &Clock, lines: &Lines) -> f64 {
    // Two processes on one core make a round trip in two time slices: no batches then.
    let (batch, least) = if cores == Cores::Unpinned { (1, 3) } else { (64, 16) };
    let deadline = clock.now() + clock.ticks(LINE_BUDGET);
    let (mut count, mut ticks) = (0, Vec::with_capacity(4096));
    while ticks.len() < least || clock.now() < deadline {
        let start = clock.now();
        for _ in 0..batch {
            count += 1;
            // ord(line.ping) Release -> pong: only the number itself is handed over.
            lines.ping.0.store_release(count);
            // ord(line.pong) Acquire <- pong.
            while lines.pong.0.load_acquire() != count {}
        }
        ticks.push((clock.now() - start) as f64 / (2 * batch) as f64);
    }
    lines.ping.0.store_release(STOP);
    crate::stats::Spread::of(ticks).map_or(0.0, |spread| spread.median)
}

/// Repeats every number seen.
fn pong(lines: &Lines) {
    let mut seen = 0;
    loop {
        // ord(line.ping) Acquire <- ping.
        let now = lines.ping.0.load_acquire();
        if now == STOP {
            return;
        }
        if now != seen {
            seen = now;
            // ord(line.pong) Release -> ping.
            lines.pong.0.store_release(now);
        }
    }
}

/// Writes chunks until the budget is over; how many.
fn write_chunks(clock: &Clock, lines: &Lines, bytes: &SharedBytes) -> u64 {
    let deadline = clock.now() + clock.ticks(STREAM_BUDGET);
    let (mut chunk, mut read) = (0u64, 0);
    while !chunk.is_multiple_of(16) || chunk == 0 || clock.now() < deadline {
        while chunk - read >= CHUNKS {
            // ord(stream.read) Acquire <- read_chunks: the place is read before it is written again.
            read = lines.read.0.load_acquire();
        }
        let place = chunk % CHUNKS;
        // SAFETY: the reader is done with this place and waits for its flag before it looks again.
        write(unsafe { bytes.slice_mut(place as usize * CHUNK, CHUNK) }, chunk, Registers::base(chunk));
        // ord(stream.written) Release -> read_chunks: the chunk happens before its flag.
        lines.written[place as usize].0.store_release(chunk + 1);
        chunk += 1;
    }
    // The place may still be read; only its flag changes, and only after the reader has seen it.
    while lines.read.0.load_acquire() != chunk {}
    lines.written[(chunk % CHUNKS) as usize].0.store_release(STOP);
    chunk
}

/// Reads and checks chunks until told to stop.
fn read_chunks(lines: &Lines, bytes: &SharedBytes) -> Result<(), HarnessError> {
    let mut chunk = 0;
    loop {
        let place = chunk % CHUNKS;
        // ord(stream.written) Acquire <- write_chunks: see the chunk this flag covers.
        match lines.written[place as usize].0.load_acquire() {
            STOP => return Ok(()),
            flag if flag == chunk + 1 => {}
            _ => continue,
        }
        // SAFETY: the flag says it is written, and the writer waits for `read` before it writes there again.
        check::<Registers>(unsafe { bytes.slice(place as usize * CHUNK, CHUNK) }, CHUNK, chunk)?;
        chunk += 1;
        // ord(stream.read) Release -> write_chunks: the chunk is read before the count says so.
        lines.read.0.store_release(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far_are_told_apart() {
        let pinned = Cores::Pinned(0, 1);
        assert_eq!(Placement::of(pinned, 70.0), Placement::Near);
        assert_eq!(Placement::of(pinned, 265.0), Placement::Far);
        assert_eq!(Placement::of(Cores::Unpinned, 70.0), Placement::Unpinned);
    }
}
