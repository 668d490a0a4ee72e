//! What a bystander sees of a ring at work: loads only, each word as it is when it is looked at. Two words may not fit
//! together because one has moved between the looks; so what is judged here is only what cannot be whoever moves, given
//! the order of the looks that each function asks for.
#![forbid(unsafe_code)]

use crate::layout::SlotKind::{Free, Full, Peeked, Reading};
use crate::layout::SlotWord;
use crate::ring::spsc;
use crate::sync::Ordering::Acquire;
use crate::view::{SlotView, View};

/// How often a walk along the records starts anew because the consumer has overtaken it.
const RESTARTS: u32 = 100;

/// The committed records of an SPSC ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain {
    /// Where the walk began.
    pub head: u64,
    /// Where it ended: at the first header that is 0, or that cannot be.
    pub end: u64,
    /// Messages on the way.
    pub messages: u64,
    /// The header that cannot be.
    pub fault: Option<u64>,
}

/// Walks along the committed records. A header that cannot be was really there, in front of the consumer.
#[must_use]
pub fn chain(view: &View) -> Chain {
    let mut chain = Chain::default();
    for _ in 0..RESTARTS {
        let head = spsc_head(view);
        chain = Chain { head, end: head, messages: 0, fault: None };
        if !head.is_multiple_of(view.align()) {
            return chain;
        }
        loop {
            // ord(spsc.commit) Acquire <- ProducerSide::publish: the header before the second look at head.
            let word = view.memory.word(view.index(chain.end)).load(Acquire);
            if (spsc_head(view).wrapping_sub(chain.end) as i64) > 0 {
                break; // Released meanwhile: what was read may be the producer's by now.
            }
            if word == 0 {
                return chain;
            }
            let next = spsc::stride_of(view, chain.end, word).map(|stride| chain.end.wrapping_add(stride));
            let fits = |next: u64| next.wrapping_sub(head) <= view.geometry.capacity - view.align();
            // The consumer may have moved on, and the producer into the room: then the walk is long without a fault.
            match next {
                Some(next) if fits(next) => {
                    chain.messages += u64::from(word != spsc::PAD);
                    chain.end = next;
                }
                Some(_) if spsc_head(view) != head => break,
                _ => {
                    chain.fault = Some(word);
                    return chain;
                }
            }
        }
    }
    chain
}

/// The position of the next record to read.
#[must_use]
pub fn spsc_head(view: &View) -> u64 {
    // ord(spsc.free) Acquire <- ConsumerSide::release: looks stay in their order.
    view.header.head.0.load(Acquire)
}

/// Where both ends of an MPMC ring say that they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The next message to take, or a little less.
    pub head: u64,
    /// The next position to send to, or a little less.
    pub tail: u64,
}

/// Both ends now.
#[must_use]
pub fn ends(view: &SlotView) -> Ends {
    // ord(mpmc.end) Acquire <- advance: looks stay in their order.
    let head = view.header.head.0.load(Acquire);
    // ord(mpmc.end) Acquire <- advance: looks stay in their order.
    Ends { head, tail: view.header.tail.0.load(Acquire) }
}

/// The state word of a slot now, and the length word beside it, which belongs to it if the word is the same afterwards.
#[must_use]
pub fn slot(view: &SlotView, index: u64) -> (SlotWord, u64) {
    let at = view.slot(index);
    // ord(mpmc.state) Acquire <- Side::commit: the length, and looks stay in their order.
    let word = SlotWord(view.state(at).load(Acquire));
    // ord(mpmc.state) Acquire <- Side::commit: looks stay in their order.
    (word, view.len(at).load(Acquire))
}

/// Whether the ends are further apart than participants ever leave them. `before` was looked at before `after`.
///
/// Who takes or claims a run of messages moves its end behind it, so an end may lag by a run, which is at most a lap;
/// what lies between the real ends is at most a lap too.
#[must_use]
pub fn ends_fit(view: &SlotView, before: Ends, after: Ends) -> bool {
    let slots = view.slots() as i64;
    let head_ahead = before.head.wrapping_sub(after.tail) as i64;
    let tail_ahead = before.tail.wrapping_sub(after.head) as i64;
    head_ahead <= slots && tail_ahead <= 2 * slots
}

/// Why this word cannot stand in slot `index`, if `before` was looked at before it and `after` behind it.
#[must_use]
pub fn misfit(
    view: &SlotView,
    index: u64,
    word: SlotWord,
    before: Ends,
    after: Ends,
) -> Option<&'static str> {
    let Some(kind) = word.kind() else { return Some("is of no kind that there is") };
    if !kind.is_owned() && word.owner() != 0 {
        return Some("has an owner, though slots that are free or full have none");
    }
    // An end passes a position only when it is used up, and neither word ever goes back.
    match word.ahead_of(last_lap(view, index, before.tail)) {
        ..0 => return Some("is behind the tail: the slot is lost to the ring"),
        0 if kind == Free => return Some("is free, but the tail has passed it: nobody will ever claim it"),
        _ => {}
    }
    match word.ahead_of(last_lap(view, index, before.head)) {
        ..0 => return Some("is behind the head: the slot is lost to the ring"),
        0 if !kind.is_held() => return Some("was never taken, but the head has passed it"),
        _ => {}
    }
    let most = if kind == Free { 2 } else { 1 };
    if word.ahead_of(last_lap(view, index, after.tail)) > most {
        return Some("is further ahead than the tail has ever been");
    }
    None
}

/// Whether a slot with this word holds a message, so that its length counts.
#[must_use]
pub fn has_message(word: SlotWord) -> bool {
    matches!(word.kind(), Some(Full | Reading | Peeked))
}

/// The lap of the last position of this slot before `end`.
fn last_lap(view: &SlotView, index: u64, end: u64) -> u64 {
    let last = end.wrapping_sub(1);
    view.lap(last.wrapping_sub(last.wrapping_sub(index) & (view.slots() - 1)))
}
