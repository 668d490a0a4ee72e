//! A transfer between a stream and a ring: what `send` and `recv` have in common. `source` and `sink` are the stream's
//! ends, `signals` and `progress` what goes on beside, `other` judges the processes at the ring's other end,
//! `tx` is the sending end of either kind of ring.
//!
//! Nothing here blocks for longer than a slice without looking whether we should stop, and no thread is ever started.

pub(crate) mod args;
pub(crate) mod other;
pub(crate) mod progress;
pub(crate) mod signals;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod tx;

use std::time::{Duration, Instant};

use crate::fail::{self, Fail};
use progress::Progress;
use signals::Signals;

/// The longest wait without a look at signals, time-out and progress.
const SLICE: Duration = Duration::from_millis(100);
/// How often a busy transfer looks.
const LOOK: Duration = Duration::from_millis(50);
/// The wait between two looks at a peer that is not there.
const PAUSE: Duration = Duration::from_millis(20);

/// The running account of one transfer.
pub(crate) struct Flow {
    /// Requests to stop.
    pub(crate) signals: Signals,
    progress: Progress,
    timeout: Option<Duration>,
    moved_at: Instant,
    looked_at: Instant,
    /// Records moved so far.
    pub(crate) records: u64,
    /// Payload bytes moved so far.
    pub(crate) bytes: u64,
}

impl Flow {
    /// From here on signals are held back until somebody looks.
    pub(crate) fn start(timeout: Option<Duration>, progress: Progress) -> Result<Flow, Fail> {
        let signals = Signals::hold()?;
        let now = Instant::now();
        Ok(Flow { signals, progress, timeout, moved_at: now, looked_at: now, records: 0, bytes: 0 })
    }

    /// Takes note of progress, and now and then looks around.
    pub(crate) fn moved(&mut self, records: u64, bytes: usize) -> Result<(), Fail> {
        self.records += records;
        self.bytes += bytes as u64;
        self.touch()
    }

    /// Restarts the time-out, since the ring is not what we wait for, and now and then looks around.
    pub(crate) fn touch(&mut self) -> Result<(), Fail> {
        self.moved_at = Instant::now();
        if self.moved_at.duration_since(self.looked_at) >= LOOK { self.look() } else { Ok(()) }
    }

    /// How long to wait for the ring until the next look.
    pub(crate) fn slice(&self) -> Duration {
        match self.timeout {
            Some(timeout) => SLICE.min(timeout.saturating_sub(self.moved_at.elapsed())),
            None => SLICE,
        }
    }

    /// To be called when a slice brought nothing. Fails if we are to stop, or if it went on for too long.
    pub(crate) fn idle(&mut self, missing: &str) -> Result<(), Fail> {
        self.look()?;
        match self.timeout {
            Some(timeout) if self.moved_at.elapsed() >= timeout => {
                Err(Fail::No(format!("timed out after {timeout:?} waiting for {missing}")))
            }
            _ => Ok(()),
        }
    }

    /// Waits a moment for a peer that is not there, then as `idle`.
    pub(crate) fn pause(&mut self, missing: &str) -> Result<(), Fail> {
        let moment = PAUSE.min(self.slice());
        self.signals.wait(moment)?;
        self.idle(missing)
    }

    /// Looks whether we should stop, and shows how far we are.
    pub(crate) fn look(&mut self) -> Result<(), Fail> {
        self.looked_at = Instant::now();
        self.progress.show(self.bytes);
        self.signals.check()
    }

    /// Says something without tearing the progress line.
    pub(crate) fn say(&self, text: &str) {
        self.progress.aside(|| fail::say(text));
    }
}
