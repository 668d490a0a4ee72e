//! What a bystander sees of a ring at work: loads only, each word as it is when it is looked at. Two words may not fit
//! together because one has moved between the looks; so what is judged here is only what cannot be whoever moves, given
//! the order of the looks that each function asks for.
#![forbid(unsafe_code)]

use crate::layout::SlotKind::{Free, Full, Peeked, Reading};
use crate::layout::{SlotKind, SlotWord};
use crate::ring::mpmc::{is_before, seen};
use crate::ring::scan::{committed_end, is_behind, stride_of};
use crate::ring::spsc::PAD;
use crate::sync::Ordering::{Acquire, Relaxed};
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
            let next = stride_of(view, chain.end, word).map(|stride| chain.end.wrapping_add(stride));
            let fits = |next: u64| next.wrapping_sub(head) <= view.geometry.capacity - view.align();
            // The consumer may have moved on, and the producer into the room: then the walk is long without a fault.
            match next {
                Some(next) if fits(next) => {
                    chain.messages += u64::from(word != PAD);
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

/// Whether a record from before `position` is still in an SPSC ring.
#[must_use]
pub fn spsc_holds_before(view: &View, position: u64) -> bool {
    is_behind(spsc_head(view), position)
}

/// Where the next record of an SPSC ring starts, if there is one.
#[must_use]
pub fn spsc_first(view: &View) -> Option<u64> {
    let head = spsc_head(view);
    // ord(spsc.commit) Relaxed <- ProducerSide::publish: a look; nothing is accessed on the strength of it.
    let word = view.memory.word(view.index(head & !(view.align() - 1))).load(Relaxed);
    (word != 0).then_some(head)
}

/// Behind the last record of an SPSC ring, or its head if that cannot be told.
#[must_use]
pub fn spsc_end(view: &View) -> u64 {
    let head = spsc_head(view);
    committed_end(view, head).unwrap_or(head)
}

/// Whether a message from before `position` waits in an MPMC ring.
#[must_use]
pub fn holds_before(view: &SlotView, position: u64) -> bool {
    let (head, _) = hints(view);
    let mut at = position;
    for _ in 0..2 * view.slots() {
        if !is_before(head, at) {
            return false;
        }
        at = at.wrapping_sub(1);
        match seen(view, at) {
            (Some(Full), 0) => return true,
            // Receivers have come here, and so past all before: nobody claims a slot again that they have not passed.
            (Some(Reading | Peeked), 0) | (_, 2..) => return false,
            (kind, 1) if kind != Some(Free) => return false,
            // Given back by who read it, or by who was to fill it; or being filled; or void.
            _ => {}
        }
    }
    false
}

/// Looks at the positions of an MPMC ring from its head to where nobody has been yet: the first one with a message that
/// waits, and the one behind the last.
fn waiting(view: &SlotView) -> (Option<u64>, Option<u64>) {
    let (head, _) = hints(view);
    let (mut first, mut behind) = (None, None);
    for at in (0..2 * view.slots()).map(|k| head.wrapping_add(k)) {
        match seen(view, at) {
            (Some(Full), 0) => {
                first = first.or(Some(at));
                behind = Some(at.wrapping_add(1));
            }
            (Some(Free), 0) | (_, ..0) => break,
            _ => {}
        }
    }
    (first, behind)
}

/// The position of the next message of an MPMC ring, if one waits.
#[must_use]
pub fn first(view: &SlotView) -> Option<u64> {
    waiting(view).0
}

/// Behind the last message of an MPMC ring that waits, or its head.
#[must_use]
pub fn end(view: &SlotView) -> u64 {
    waiting(view).1.unwrap_or(hints(view).0)
}

/// How far an MPMC ring has come, by one word of it. Positions are counted from a common one: see [`Scale`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Everything up to here is used: this word would not be as it is otherwise.
    pub past: i128,
    /// The first position of this slot that is not used. Not behind any `past` that was looked at before.
    pub first: i128,
}

/// A position to count others from, so that laps that wrapped around compare as they should.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    slots: i128,
    at: u64,
    lap: u64,
}

impl Scale {
    /// Counts from position `at` of this ring.
    #[must_use]
    pub fn from(view: &SlotView, at: u64) -> Scale {
        Scale { slots: view.slots().into(), at, lap: view.lap(at) }
    }

    fn count(&self, index: u64, word: SlotWord) -> i128 {
        let first_of_lap = self.at & (self.slots as u64 - 1);
        i128::from(word.ahead_of(self.lap)) * self.slots + i128::from(index) - i128::from(first_of_lap)
    }

    /// The position that was counted.
    #[must_use]
    pub fn position(&self, count: i128) -> u64 {
        self.at.wrapping_add(count as u64)
    }

    /// How far senders have come by this word of slot `index`: they pass a position when it is claimed or void, and
    /// nobody claims, pins or frees one that senders have not come to.
    #[must_use]
    pub fn senders(&self, index: u64, word: SlotWord) -> Reach {
        let at = self.count(index, word);
        let first = if word.kind() == Some(Free) { at } else { at + self.slots };
        Reach { past: first - self.slots, first }
    }

    /// How far receivers have come by it: they pass a position when it is taken or void. A slot may be freed by its sender
    /// before they come to it; claimed again it cannot be.
    #[must_use]
    pub fn receivers(&self, index: u64, word: SlotWord) -> Reach {
        let at = self.count(index, word);
        let held = word.kind().is_some_and(SlotKind::is_held);
        let laps = match word.kind() {
            Some(Reading | Peeked) => 0,
            Some(Free) | None => 2,
            _ => 1,
        };
        Reach { past: at - laps * self.slots, first: if held { at + self.slots } else { at } }
    }
}

/// What the shared ends hint at: head and tail. No position before them is unused.
#[must_use]
pub fn hints(view: &SlotView) -> (u64, u64) {
    // ord(mpmc.end) Acquire <- tell: the slots are looked at behind it.
    let head = view.header.head.0.load(Acquire);
    // ord(mpmc.end) Acquire <- tell: the slots are looked at behind it.
    (head, view.header.tail.0.load(Acquire))
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

/// Why this cannot be the word of any slot.
#[must_use]
pub fn malformed(word: SlotWord) -> Option<&'static str> {
    match word.kind() {
        None => Some("is of no kind that there is"),
        Some(kind) if !kind.is_owned() && word.owner() != 0 => {
            Some("has an owner, though slots that are free or full have none")
        }
        Some(_) => None,
    }
}

/// Whether a slot with this word holds a message, so that its length counts.
#[must_use]
pub fn has_message(word: SlotWord) -> bool {
    matches!(word.kind(), Some(Full | Reading | Peeked))
}
