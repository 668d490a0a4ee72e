//! What a participant of an MPMC ring that is gone leaves behind: its slots are freed, and the messages that it had peeked
//! at and not acknowledged go to another. And how such a ring begins, and what can be seen of it from outside.
//!
//! All of it rests on the lease of the participant that is gone: whoever repairs has a share in it from before the first
//! look to behind the last exchange. Else a new owner of the same number could lose its slots. Several may repair at once:
//! each exchange is of the exact word, so what is done is not done a second time. One that is killed or stopped at it
//! leaves the rest to the others.
#![forbid(unsafe_code)]

use crate::layout::SlotKind::{Peeked, PeekedPinned, Pinned, Reading, Writing};
use crate::layout::SlotWord;
use crate::ring::mpmc::Taken;
use crate::sync::MAX_ATTEMPTS;
use crate::sync::Ordering::{Relaxed, Release};
use crate::view::SlotView;
use core::ops::Range;

/// What [`sweep`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Slots given back.
    pub freed: usize,
    /// Slots with messages that the owner had peeked at and not acknowledged. They stay its own until adopted.
    pub kept: usize,
}

/// Makes zeroed slots a ring: all free for lap 1, both ends at its start. Before anybody else sees it.
pub fn prepare(view: &SlotView) {
    for index in 0..view.slots() {
        // ord(own) Relaxed: nobody else has it yet.
        view.state(view.slot(index)).store(SlotWord::free(1).0, Relaxed);
    }
    // ord(own) Relaxed: nobody else has it yet.
    view.header.head.0.store(view.slots(), Relaxed);
    // ord(own) Relaxed: nobody else has it yet.
    view.header.tail.0.store(view.slots(), Relaxed);
}

/// Leaves a message that participant `me` took, and that nobody has seen, to whoever adopts what `me` leaves behind.
pub fn keep(view: &SlotView, me: u32, taken: &Taken) {
    let (slot, mut word) = taken.place();
    for _ in 0..MAX_ATTEMPTS {
        let kind = match word.kind() {
            Some(Reading) => Peeked,
            Some(Pinned) => PeekedPinned,
            _ => return,
        };
        let kept = SlotWord::owned(word.lap(), kind, me);
        // ord(mpmc.state) Relaxed: the bytes stay as they are, and the lease hands the slot on.
        // ord(mpmc.state) Relaxed on failure: pinned meanwhile; look again.
        match view.state(slot).compare_exchange(word.0, kept.0, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(found) => word = SlotWord(found),
        }
    }
}

/// Gives back what the dead participant `owner` held, of all slots. The caller has a share in the dead one's lease from
/// before the first look to behind the last exchange: else a new owner of the same number could lose its slots.
pub fn sweep(view: &SlotView, owner: u32) -> Swept {
    sweep_some(view, owner, 0..view.slots())
}

/// As [`sweep`], of some slots. They need no second look as long as nobody else was given the number: the dead one comes
/// into no slot any more.
pub fn sweep_some(view: &SlotView, owner: u32, slots: Range<u64>) -> Swept {
    let mut swept = Swept::default();
    for index in slots {
        let state = view.state(view.slot(index));
        for _ in 0..MAX_ATTEMPTS {
            // ord(own) Relaxed: the lease, given by the kernel, orders the dead one's last word before this.
            let word = SlotWord(state.load(Relaxed));
            match word.kind() {
                Some(Writing | Reading | Pinned) if word.owner() == owner => {}
                Some(Peeked | PeekedPinned) if word.owner() == owner => {
                    swept.kept += 1;
                    break;
                }
                _ => break,
            }
            // ord(mpmc.state) Release -> Side::claim_at: what the dead one did to the bytes before the next owner's first.
            // ord(mpmc.state) Relaxed on failure: pinned meanwhile; look again.
            if state.compare_exchange(word.0, word.freed().0, Release, Relaxed).is_ok() {
                swept.freed += 1;
                break;
            }
        }
    }
    swept
}

/// Makes the messages that the dead participant `owner` had not acknowledged those of `heir`, who delivers them again.
/// The caller has a share in the dead one's lease, as for [`sweep`], or its place.
pub fn adopt(view: &SlotView, owner: u32, heir: u32) -> Vec<Taken> {
    let mut adopted = Vec::new();
    for index in 0..view.slots() {
        let slot = view.slot(index);
        for _ in 0..MAX_ATTEMPTS {
            // ord(own) Relaxed: the lease, given by the kernel, orders the dead one's last word before this.
            let word = SlotWord(view.state(slot).load(Relaxed));
            let Some(kind @ (Peeked | PeekedPinned)) = word.kind() else { break };
            if word.owner() != owner {
                break;
            }
            let mine = SlotWord::owned(word.lap(), kind, heir);
            // ord(mpmc.state) Relaxed: the dead one saw payload and length before it took them; the lease hands that on.
            // ord(mpmc.state) Relaxed on failure: pinned meanwhile; look again.
            if view.state(slot).compare_exchange(word.0, mine.0, Relaxed, Relaxed).is_ok() {
                // ord(mpmc.state) Relaxed <- Side::commit: as above.
                let len = (view.len(slot).load(Relaxed) as usize).min(view.max_len());
                adopted.push(Taken::adopted(slot, mine, len));
                break;
            }
        }
    }
    adopted
}

/// Sorts adopted messages by age. Of those whose slots were stepped over only the lap of the last such step is known: they
/// are older than all others, which were peeked at since, and stay in the order of their slots among themselves.
pub fn sort_by_age(adopted: &mut [Taken]) {
    let Some((_, first)) = adopted.first().map(Taken::place) else { return };
    adopted.sort_by_key(|taken| {
        let (slot, word) = taken.place();
        (word.ahead_of(first.lap()) - i64::from(word.kind() == Some(PeekedPinned)), slot)
    });
}

/// The state words of all slots, each as it is when it is looked at.
pub fn observed(view: &SlotView) -> impl Iterator<Item = SlotWord> + '_ {
    // ord(own) Relaxed: an observation, nothing is accessed on the strength of it.
    (0..view.slots()).map(|index| SlotWord(view.state(view.slot(index)).load(Relaxed)))
}
