//! What a bystander sees of a ring at work: loads only, each word as it is when it is looked at. Two words may not fit
//! together because one has moved between the looks; so what is judged here is only what cannot be whoever moves, given
//! the order of the looks that each function asks for.
#![forbid(unsafe_code)]

use crate::layout::SlotKind::{Free, Full, Peeked, Reading};
use crate::layout::{SlotKind, SlotWord};
use crate::ring::scan::stride_of;
use crate::ring::spsc::PAD;
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
