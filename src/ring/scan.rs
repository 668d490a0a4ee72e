//! What is committed in an SPSC ring, for those who did not write it: a successor of the producer, and observers. Nobody
//! moves anything here; the record format and its invariants are `spsc`'s.

use crate::error::Corrupt;
use crate::ring::spsc::{DATA, KIND, PAD};
use crate::sync::Ordering::{Acquire, Relaxed};
use crate::view::View;

/// Walks committed headers from `head` to the first 0. Nobody overwrites them meanwhile: the caller is the producer.
pub(super) fn committed_end(view: &View, head: u64) -> Result<u64, Corrupt> {
    if !head.is_multiple_of(view.align()) {
        return Err(Corrupt::new("head", head, head));
    }
    let mut at = head;
    loop {
        // ord(spsc.commit) Acquire <- ProducerSide::publish: who observes without a lease sees the 0 behind the record.
        let word = view.memory.word(view.index(at)).load(Acquire);
        if word == 0 {
            return Ok(at);
        }
        let stride = stride_of(view, at, word).ok_or(Corrupt::new("record header", word, at))?;
        let next = at.wrapping_add(stride);
        if next.wrapping_sub(head).wrapping_add(view.align()) > view.geometry.capacity {
            return Err(Corrupt::new("record header", word, at));
        }
        at = next;
    }
}

/// Bytes that the record with header `word` at `at` takes, if that can be one.
pub(super) fn stride_of(view: &View, at: u64, word: u64) -> Option<u64> {
    match word & KIND {
        DATA => Some(view.stride((word & !KIND) as usize)).filter(|stride| *stride <= view.longest_at(at)),
        PAD if word == PAD && view.index(at) != 0 => Some(view.room_to_end(at)),
        _ => None,
    }
}

/// Bytes between `head` and the first uncommitted header, as an observer sees them: may be stale, never fails.
#[must_use]
pub fn observed_bytes(view: &View) -> u64 {
    // ord(own) Relaxed: an observation, nothing is accessed on the strength of it.
    let head = view.header.head.0.load(Relaxed);
    committed_end(view, head).map_or(0, |end| end.wrapping_sub(head))
}
