//! When the kernel was last asked who is still there. Who would have to ask before each call asks when somebody has closed
//! an end, and when it has not asked for a while.
#![forbid(unsafe_code)]

use crate::sync::coarse_ms;
use std::cell::Cell;

/// A fraction of what it may take to notice a death.
const TRUSTED_MS: u32 = 10;

/// Departures when the kernel last said that somebody is there, and when that was, in milliseconds modulo 2^32: who asks
/// again after 49 days to the millisecond learns of a death 10 ms late.
#[derive(Default)]
pub(super) struct Seen(Cell<Option<(u32, u32)>>);

impl Seen {
    /// Whether all are gone, as `ask` says if it has to be asked. Clean departures are seen at once, a death within
    /// [`TRUSTED_MS`].
    pub(super) fn all_gone(&self, departures: u32, ask: impl FnOnce() -> bool) -> bool {
        let now = coarse_ms();
        if let Some((then, at)) = self.0.get()
            && then == departures
            && now.wrapping_sub(at) < TRUSTED_MS
        {
            return false;
        }
        let gone = ask();
        self.0.set((!gone).then_some((departures, now)));
        gone
    }
}
