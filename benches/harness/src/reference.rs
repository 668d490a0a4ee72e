//! What the machine itself can do at this moment, so that figures can be given as ratios.
//!
//! `line`: two processes hand a number to and fro over two cache lines, tight loops without a pause; half of the round
//! trip, median of batches. `stream`: one process writes 4 KiB chunks, the other reads and checks them, at most 64
//! chunks (256 KiB) in flight; median of batches at the reader. Neither sleeps or calls the kernel.
//!
//! A hypervisor moves the cores of a virtual machine about, mostly when they were idle. Therefore the same two processes
//! that measure take the references, before and after, without a sleep between (`Yard`); if the placement changed
//! meanwhile, the reading says so.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atomics::Word;
use crate::clock::Clock;
use crate::cores::Cores;
use crate::error::HarnessError;
use crate::payload::{Registers, Source, check, write};
use crate::process::{Meeting, Pair};
use crate::shared::{Line, Shareable, Shared, SharedBytes};

/// `line` below this: both cores are threads of one physical core, as seen by the host. Observed there: 26 ns.
pub const TWIN_BELOW_NS: f64 = 45.0;

/// `line` below this is called near, else far. Observed on shared machines: 65-70 ns near; 115-190 and 265-290 ns far.
pub const NEAR_BELOW_NS: f64 = 100.0;

const LINE_BUDGET: Duration = Duration::from_millis(1);
const STREAM_BUDGET: Duration = Duration::from_millis(2);
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
    /// `line` is below [`TWIN_BELOW_NS`]: not really two cores.
    Twin,
    /// `line` is below [`NEAR_BELOW_NS`].
    Near,
    /// It is not.
    Far,
    /// The placement was another one after the measurement than before.
    Moved,
    /// The processes were not pinned, and may have shared one core.
    Unpinned,
}

impl Placement {
    /// Classifies a `line` reading.
    pub fn of(cores: Cores, line_ns: f64) -> Placement {
        match cores {
            Cores::Unpinned => Placement::Unpinned,
            Cores::Pinned(..) if line_ns < TWIN_BELOW_NS => Placement::Twin,
            Cores::Pinned(..) if line_ns < NEAR_BELOW_NS => Placement::Near,
            Cores::Pinned(..) => Placement::Far,
        }
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Placement::Twin => "twin",
            Placement::Near => "near",
            Placement::Far => "far",
            Placement::Moved => "moved",
            Placement::Unpinned => "unpinned",
        }
    }
}

/// The references on both sides of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bracket {
    /// Just before it.
    pub before: Reference,
    /// Just after it.
    pub after: Reference,
}

impl Bracket {
    /// `line` meanwhile: the mean of before and after.
    pub fn line_ns(&self) -> f64 {
        f64::midpoint(self.before.line_ns, self.after.line_ns)
    }

    /// `stream` meanwhile: the mean of before and after.
    pub fn stream_gb_per_s(&self) -> f64 {
        f64::midpoint(self.before.stream_gb_per_s, self.after.stream_gb_per_s)
    }

    /// Where the cores were, if they stayed there.
    pub fn placement(&self) -> Placement {
        if self.before.placement == self.after.placement { self.before.placement } else { Placement::Moved }
    }
}

#[derive(Debug)]
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

/// The memory both references are taken in, once.
#[derive(Debug)]
pub(crate) struct Yard {
    lines: Shared<Lines>,
    bytes: SharedBytes,
}

impl Yard {
    /// Maps it; before the fork.
    pub(crate) fn new() -> Result<Yard, HarnessError> {
        Ok(Yard { lines: Shared::new()?, bytes: SharedBytes::new(CHUNKS as usize * CHUNK)? })
    }

    /// The starting process's part: the one-way time of a line in nanoseconds.
    pub(crate) fn left(&self, meeting: &Meeting<'_>, cores: Cores, clock: &Clock) -> f64 {
        for chunk in 0..CHUNKS as usize {
            // SAFETY: the reader looks at no byte before the flags say so.
            unsafe { self.bytes.slice_mut(chunk * CHUNK, CHUNK) }.fill(1);
        }
        meeting.meet();
        let line_ns = ping(cores, clock, &self.lines) * clock.ns(1);
        meeting.meet();
        write_chunks(clock, &self.lines, &self.bytes);
        line_ns
    }

    /// The answering process's part: gigabytes a second.
    pub(crate) fn right(&self, meeting: &Meeting<'_>, clock: &Clock) -> Result<f64, HarnessError> {
        meeting.meet();
        pong(&self.lines);
        meeting.meet();
        let batch_ticks = read_chunks(clock, &self.lines, &self.bytes)?;
        Ok((CHUNKS as usize * CHUNK) as f64 / (batch_ticks * clock.ns(1)))
    }
}

impl Reference {
    /// From the two parts.
    pub fn of(cores: Cores, line_ns: f64, stream_gb_per_s: f64) -> Reference {
        Reference { line_ns, stream_gb_per_s, placement: Placement::of(cores, line_ns) }
    }
}

/// Takes both references alone; a few milliseconds.
pub fn reference(pair: &Pair, clock: &Clock) -> Result<Reference, HarnessError> {
    let (line_ns, stream) = pair.run(
        Yard::new()?,
        |meeting, yard| Ok(yard.left(meeting, pair.cores, clock)),
        |meeting, yard| yard.right(meeting, clock),
    )?;
    Ok(Reference::of(pair.cores, line_ns, stream))
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

/// Writes whole batches of chunks until the budget is over, at least two.
fn write_chunks(clock: &Clock, lines: &Lines, bytes: &SharedBytes) {
    let deadline = clock.now() + clock.ticks(STREAM_BUDGET);
    let (mut chunk, mut read) = (0u64, 0);
    while !chunk.is_multiple_of(CHUNKS) || chunk < 2 * CHUNKS || clock.now() < deadline {
        while chunk - read >= CHUNKS {
            // ord(stream.read) Acquire <- read_chunks: the place is read before it is written again.
            read = lines.read.0.load_acquire();
        }
        let place = (chunk % CHUNKS) as usize;
        // SAFETY: the reader is done with this place and waits for its flag before it looks again.
        write(unsafe { bytes.slice_mut(place * CHUNK, CHUNK) }, chunk, Registers::base(CHUNK, chunk));
        // ord(stream.written) Release -> read_chunks: the chunk happens before its flag.
        lines.written[place].0.store_release(chunk + 1);
        chunk += 1;
    }
    // The last flag at this place must have been seen before it is overwritten.
    // ord(stream.read) Acquire <- read_chunks.
    while lines.read.0.load_acquire() != chunk {}
    lines.written[(chunk % CHUNKS) as usize].0.store_release(STOP);
}

/// Reads and checks chunks until told to stop; the median ticks of a batch, the first one apart (its pages are new).
fn read_chunks(clock: &Clock, lines: &Lines, bytes: &SharedBytes) -> Result<f64, HarnessError> {
    let (mut chunk, mut start) = (0u64, 0);
    let mut ticks = Vec::with_capacity(1024);
    loop {
        let place = (chunk % CHUNKS) as usize;
        // ord(stream.written) Acquire <- write_chunks: see the chunk this flag covers.
        match lines.written[place].0.load_acquire() {
            STOP => break,
            flag if flag == chunk + 1 => {}
            _ => continue,
        }
        // SAFETY: the flag says it is written, and the writer waits for `read` before it writes there again.
        check::<Registers>(unsafe { bytes.slice(place * CHUNK, CHUNK) }, CHUNK, chunk)?;
        chunk += 1;
        // ord(stream.read) Release -> write_chunks: the chunk is read before the count says so.
        lines.read.0.store_release(chunk);
        if chunk.is_multiple_of(CHUNKS) {
            let now = clock.now();
            if chunk > CHUNKS {
                ticks.push((now - start) as f64);
            }
            start = now;
        }
    }
    Ok(crate::stats::Spread::of(ticks).map_or(f64::INFINITY, |spread| spread.median))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far_are_told_apart() {
        let pinned = Cores::Pinned(0, 1);
        assert_eq!(Placement::of(pinned, 26.0), Placement::Twin);
        assert_eq!(Placement::of(pinned, 70.0), Placement::Near);
        assert_eq!(Placement::of(pinned, 265.0), Placement::Far);
        assert_eq!(Placement::of(Cores::Unpinned, 70.0), Placement::Unpinned);
    }

    #[test]
    fn a_placement_that_changed_is_called_moved() {
        let at = |line_ns| Reference::of(Cores::Pinned(0, 1), line_ns, 10.0);
        let bracket = Bracket { before: at(70.0), after: at(80.0) };
        assert_eq!((bracket.placement(), bracket.line_ns()), (Placement::Near, 75.0));
        assert_eq!(Bracket { before: at(70.0), after: at(280.0) }.placement(), Placement::Moved);
    }
}
