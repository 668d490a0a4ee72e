//! What a bystander sees of a ring at work: loads only, each word as it is when it is looked at. Two words may not fit
//! together because one has moved between the looks; so what is judged here is only what cannot be whoever moves, given
//! the order of the looks that each function asks for.
#![forbid(unsafe_code)]

use crate::layout::SlotKind::{Free, Full, Peeked, Reading};
use crate::layout::{SlotKind, SlotWord, is_behind};
use crate::ring::mpmc::seen;
use crate::ring::scan::{committed_end, stride_of};
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

/// What the shared head hints at: no position before it is unused.
fn head(view: &SlotView) -> u64 {
    // ord(mpmc.end) Relaxed <- tell: true however late it is seen; the slots from there on are judged by their own words.
    view.header.head.0.load(Relaxed)
}

/// Whether a message from before `position` waits in an MPMC ring.
#[must_use]
pub fn holds_before(view: &SlotView, position: u64) -> bool {
    let head = head(view);
    let mut at = position;
    for _ in 0..2 * view.slots() {
        if !is_behind(head, at) {
            return false;
        }
        at = at.wrapping_sub(1);
        match seen(view, at) {
            (Some(Full), 0) => return true,
            // Receivers have come here, or senders a lap later, who pass no message: so none is left before it.
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
    let head = head(view);
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
    waiting(view).1.unwrap_or_else(|| head(view))
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

/// The state word of a slot now, and the length word beside it: that of the message the word tells of, or of one that
/// came there since, even if the word is still the same afterwards.
#[must_use]
pub fn slot(view: &SlotView, index: u64) -> (SlotWord, u64) {
    let word = word(view, index);
    // ord(mpmc.state) Relaxed <- Side::commit: may be the next message's; whosever it is, it fits a slot.
    (word, view.len(view.slot(index)).load(Relaxed))
}

fn word(view: &SlotView, index: u64) -> SlotWord {
    // ord(mpmc.state) Acquire <- Side::commit: the length looked at behind it is no older than the message.
    SlotWord(view.state(view.slot(index)).load(Acquire))
}

/// All words of an MPMC ring at work, looked at one after the other.
#[derive(Clone, Debug)]
pub struct Looks {
    /// What the shared ends hint at: no position before them is unused.
    pub head: u64,
    /// As `head`, for senders.
    pub tail: u64,
    first: Vec<SlotWord>,
    /// The state and length words of the slots, each looked at behind the first look at all of them.
    pub slots: Vec<(SlotWord, u64)>,
}

/// One of the ends of an MPMC ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The receivers'.
    Head,
    /// The senders'.
    Tail,
}

/// A word that does not fit the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The end hints at a position that the slots have not come to.
    Hint(End, u64),
    /// A slot is further than most of the ring.
    Ahead(u64, SlotWord),
    /// A slot was passed over by those who work at this end: nobody will come to it again.
    PassedOver(End, u64, SlotWord),
}

impl End {
    /// How far those who work at this end have come, by a word.
    fn reach(self, scale: &Scale, index: u64, word: SlotWord) -> Reach {
        match self {
            End::Head => scale.receivers(index, word),
            End::Tail => scale.senders(index, word),
        }
    }
}

impl Looks {
    /// Looks at everything now.
    #[must_use]
    pub fn at(view: &SlotView) -> Looks {
        let head = head(view);
        // ord(mpmc.end) Relaxed <- tell: what does not fit is looked at again.
        let tail = view.header.tail.0.load(Relaxed);
        let first = (0..view.slots()).map(|index| word(view, index)).collect();
        Looks { head, tail, first, slots: (0..view.slots()).map(|index| slot(view, index)).collect() }
    }

    /// The words of the second look at each slot.
    pub fn words(&self) -> impl Iterator<Item = SlotWord> + '_ {
        self.slots.iter().map(|(word, _)| *word)
    }

    /// What does not fit: what one of the first looks says is used up is so for each of the second. Had one been there
    /// before the other, in the order of the looks, that is; a word may be seen late, so this alone is no fault.
    #[must_use]
    pub fn misfits(&self, view: &SlotView) -> Vec<Misfit> {
        let scale = Scale::from(view, self.tail);
        let mut misfits = Vec::new();
        for (end, hint) in [(End::Tail, self.tail), (End::Head, self.head)] {
            let reached = |word: &(u64, SlotWord)| end.reach(&scale, word.0, word.1);
            let first: Vec<_> = known(self.first.iter().copied()).collect();
            let second: Vec<_> = known(self.words()).collect();
            let told = i128::from(hint.wrapping_sub(self.tail) as i64) - 1;
            let most = first.iter().map(|word| reached(word).past).max().max(Some(told));
            let mut firsts: Vec<i128> = second.iter().map(|word| reached(word).first).collect();
            firsts.sort_unstable();
            if most < firsts.first().copied() {
                continue;
            }
            // Ahead of most of the ring: it is the one that is wrong. Ahead of a few: those are.
            let is_ahead = |past: i128| firsts.partition_point(|first| *first <= past) * 2 > firsts.len();
            if is_ahead(told) {
                misfits.push(Misfit::Hint(end, hint));
            }
            let mut most = Some(told).filter(|told| !is_ahead(*told));
            for &(index, word) in &first {
                let past = reached(&(index, word)).past;
                if !is_ahead(past) {
                    most = most.max(Some(past));
                } else if self.slots[index as usize].0 == word {
                    misfits.push(Misfit::Ahead(index, word));
                }
            }
            let passed = second.iter().filter(|word| most.is_some_and(|most| reached(word).first <= most));
            misfits.extend(passed.map(|&(index, word)| Misfit::PassedOver(end, index, word)));
        }
        misfits
    }
}

/// Looks at everything, and at what does not fit once more after a `pause`; what is still as it was, and still does not
/// fit, is wrong. As far as anybody can tell: no ordering makes a word that was overwritten before the pause invisible
/// behind it. The time does.
pub fn compare(view: &SlotView, pause: impl FnOnce()) -> (Looks, Vec<Misfit>) {
    let looks = Looks::at(view);
    let mut misfits = looks.misfits(view);
    if misfits.is_empty() {
        return (looks, misfits);
    }
    pause();
    let again = Looks::at(view);
    let still = again.misfits(view);
    misfits.retain(|misfit| still.contains(misfit));
    (again, misfits)
}

/// The slots whose words are of a kind that there is.
pub fn known(words: impl Iterator<Item = SlotWord>) -> impl Iterator<Item = (u64, SlotWord)> {
    (0..).zip(words).filter(|(_, word)| word.kind().is_some())
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
