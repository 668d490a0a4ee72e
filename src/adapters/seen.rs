//! When the kernel was last asked who is still there. Who would have to ask before each call asks when somebody has closed
//! an end, and when it has not asked for a while.
#![forbid(unsafe_code)]

use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::time::Duration;

/// A fraction of what it may take to notice a death.
const TRUSTED_FOR: Duration = Duration::from_millis(10);

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
