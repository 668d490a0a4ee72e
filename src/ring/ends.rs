//! What the slots of an MPMC ring say of its ends to one who only asks: it takes nothing and moves nothing.
#![forbid(unsafe_code)]

use crate::layout::SlotKind::{Free, Full, Writing};
use crate::layout::is_behind;
use crate::ring::mpmc::{Side, later};
use crate::sync::Ordering::Relaxed;

impl Side {
    /// Whether no message waits, from where this participant was last, which may be long ago; moves nothing.
    pub fn holds_nothing(&self) -> bool {
        // ord(mpmc.end) Relaxed <- tell: may be stale at once.
        let from = later(self.head, self.view.header.head.0.load(Relaxed));
        match self.seen_at(from) {
            (Some(Full), 0) => false,
            (Some(Free), 0) | (_, ..0) => true,
            // Senders may have been round the ring several times since, past slots that are held.
            _ => !(0..self.view.slots())
                .any(|k| matches!(self.seen_at(from.wrapping_add(k)), (Some(Full), 0..))),
        }
    }

    /// Messages and operations in flight, roughly.
    pub fn in_flight(&self) -> u64 {
        // ord(mpmc.end) Relaxed <- tell: may be stale at once.
        let head = later(self.head, self.view.header.head.0.load(Relaxed));
        // ord(mpmc.end) Relaxed <- tell: may be stale at once.
        let tail = later(self.tail, self.view.header.tail.0.load(Relaxed));
        // Both lag, so from there on each slot is asked.
        let passed = |at: u64, by_receivers: bool| match self.seen_at(at) {
            (Some(Free), 0) | (_, ..0) => false,
            (Some(Full | Writing), 0) => !by_receivers,
            _ => true,
        };
        let walk = |from: u64, by_receivers: bool| {
            let most = 2 * self.view.slots();
            let steps = (0..most).find(|k| !passed(from.wrapping_add(*k), by_receivers));
            from.wrapping_add(steps.unwrap_or(most))
        };
        let (head, tail) = (walk(head, true), walk(tail, false));
        if is_behind(tail, head) { 0 } else { tail.wrapping_sub(head).min(self.view.slots()) }
    }
}
