//! Judges what became of every message, from the logs of all participants: what was sent and never delivered, and not
//! in the hands of somebody killed; what was delivered twice, torn, in the wrong order, or without having been sent.
//!
//! Logs may be read in any order among each other, each from its front; nothing of a sender is final before its end.
//! The memory needed is that of the messages in flight, of what was refused, and a little for each of the killed.

mod gone;
mod messages;

use crate::log::{Event, Stamped};
use crate::payload::Id;
use gone::{Death, unexplained};
use messages::{Known, Messages, Window};
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// What the ring promises of a message whose receiver dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// It may be gone with its receiver; never comes twice.
    AtMostOnce,
    /// It comes again, flagged. Never gone.
    Flagged,
    /// It comes again, without a flag (a frame of an SPSC ring that was read and not released). Never gone.
    AtLeastOnce,
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Violation {
    /// Sent, never delivered, and more of them than killed receivers can have had in their hands.
    Lost {
        /// Who sent it.
        sender: u32,
        /// Its number.
        seq: u64,
    },
    /// Delivered once too often for the mode.
    Duplicated {
        /// Who sent it.
        sender: u32,
        /// Its number.
        seq: u64,
        /// Who got it again.
        receiver: u32,
    },
    /// Delivered bytes are not those that were sent.
    Torn {
        /// Who got it.
        receiver: u32,
    },
    /// A receiver got a message of this sender before an earlier one of the same sender.
    OutOfOrder {
        /// Who sent it.
        sender: u32,
        /// Its number.
        seq: u64,
        /// Who got it.
        receiver: u32,
    },
    /// Delivered, and nobody sent it, or the send was refused.
    Phantom {
        /// Who is said to have sent it.
        sender: u32,
        /// Its number.
        seq: u64,
    },
}

/// The sums of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages whose send returned.
    pub sent: u64,
    /// Messages whose sender was killed in the send, and that were delivered all the same: they were committed.
    pub sent_by_the_killed: u64,
    /// Deliveries, redeliveries included.
    pub received: u64,
    /// Sent, and gone with a receiver that was killed between taking it and saying so, as `recv` allows.
    pub in_hands: u64,
    /// Delivered again, as the mode allows.
    pub redelivered: u64,
    /// [`Violation::Lost`].
    pub lost: u64,
    /// [`Violation::Duplicated`].
    pub duplicated: u64,
    /// [`Violation::Torn`].
    pub torn: u64,
    /// [`Violation::OutOfOrder`].
    pub out_of_order: u64,
    /// [`Violation::Phantom`].
    pub phantom: u64,
    /// The first of them, as evidence.
    pub evidence: Vec<Violation>,
}

impl Tally {
    /// Whether nothing happened that must not.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.evidence.is_empty()
    }

    fn found(&mut self, violation: Violation) {
        *match violation {
            Violation::Lost { .. } => &mut self.lost,
            Violation::Duplicated { .. } => &mut self.duplicated,
            Violation::Torn { .. } => &mut self.torn,
            Violation::OutOfOrder { .. } => &mut self.out_of_order,
            Violation::Phantom { .. } => &mut self.phantom,
        } += 1;
        if self.evidence.len() < MOST_EVIDENCE {
            self.evidence.push(violation);
        }
    }
}

const MOST_EVIDENCE: usize = 20;

#[derive(Default)]
struct Sender {
    messages: Messages,
    refused: BTreeSet<u64>,
    /// Numbers below this were announced.
    intended: u64,
    /// Numbers below this had their send returned.
    returned: u64,
    /// Any of them was delivered.
    came: bool,
}

#[derive(Default)]
struct Receiver {
    /// How many messages its last verb might take.
    reach: u64,
    /// How many of them it may have taken without having said so.
    open: u64,
    /// When it said that it reached.
    since: u64,
    last: BTreeMap<u32, u64>,
}

/// Follows the logs. See the module.
pub struct Auditor {
    mode: Mode,
    /// Senders follow one another, and so do receivers: all deliveries are one sequence.
    one_stream: bool,
    /// By number.
    senders: Vec<Sender>,
    receivers: BTreeMap<u32, Receiver>,
    stream: Option<Id>,
    /// Receivers that were killed with messages they may have taken.
    deaths: Vec<Death>,
    /// How many messages killed receivers may have had in their hands to come again.
    in_hands: u64,
    /// Dead senders of which something is on its way, each with the least number of those born after its death.
    awaited: Vec<(u32, u32)>,
    /// Duplicates that await the end, when it is known how many were in the hands of the killed.
    repeats: Vec<Violation>,
    tally: Tally,
}

/// Nobody has a greater number.
const MOST_SENDERS: u32 = 1 << 24;

impl Auditor {
    /// An auditor without any log yet. `one_stream`: at any time there is at most one sender and one receiver, and
    /// later ones have greater numbers.
    #[must_use]
    pub fn new(mode: Mode, one_stream: bool) -> Self {
        Auditor {
            mode,
            one_stream,
            senders: Vec::new(),
            receivers: BTreeMap::new(),
            stream: None,
            deaths: Vec::new(),
            in_hands: 0,
            awaited: Vec::new(),
            repeats: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn sender(&mut self, who: u32) -> &mut Sender {
        let at = who.min(MOST_SENDERS) as usize;
        if at >= self.senders.len() {
            self.senders.resize_with(at + 1, Sender::default);
        }
        &mut self.senders[at]
    }

    /// The next record of participant `who`'s log.
    pub fn note(&mut self, who: u32, record: Stamped) {
        let at = record.at;
        match record.event {
            Event::Intend { seq, sum } => {
                let sender = self.sender(who);
                sender.intended = sender.intended.max(seq + 1);
                if sender.messages.announce(seq, sum, at) == Known::Differs {
                    self.tally.found(Violation::Torn { receiver: who });
                }
            }
            Event::Sent { seq, count } => {
                let sender = self.sender(who);
                sender.returned = sender.returned.max(seq + count);
                self.tally.sent += count;
            }
            Event::Refused { seq, count } => {
                for seq in seq..seq + count {
                    let sender = self.sender(who);
                    sender.returned = sender.returned.max(seq + 1);
                    sender.refused.insert(seq);
                    if sender.messages.settle(seq, None, at) == Known::Again {
                        self.tally.found(Violation::Phantom { sender: who, seq });
                    }
                }
            }
            Event::Reach { most } => {
                let receiver = self.receivers.entry(who).or_default();
                (receiver.reach, receiver.open, receiver.since) = (most, most, at);
            }
            Event::Took { id, sum, redelivered } => self.took(who, at, id, sum, redelivered),
            Event::Torn => {
                self.tally.received += 1;
                self.tally.found(Violation::Torn { receiver: who });
            }
            Event::Slow { .. } | Event::Steps { .. } => {}
        }
    }

    fn took(&mut self, who: u32, at: u64, id: Id, sum: u64, redelivered: bool) {
        self.tally.received += 1;
        let sender = self.sender(id.sender);
        if !sender.refused.is_empty() && sender.refused.contains(&id.seq) {
            self.tally.found(Violation::Phantom { sender: id.sender, seq: id.seq });
            return;
        }
        let known = sender.messages.settle(id.seq, Some(sum), at);
        if !std::mem::replace(&mut sender.came, true) {
            self.first_of(id.sender, at);
        }
        let new = known != Known::Again;
        if known == Known::Differs {
            self.tally.found(Violation::Torn { receiver: who });
        }
        if !new {
            let again = Violation::Duplicated { sender: id.sender, seq: id.seq, receiver: who };
            match self.mode {
                Mode::AtMostOnce => self.tally.found(again),
                Mode::Flagged if !redelivered => self.tally.found(again),
                Mode::Flagged | Mode::AtLeastOnce => self.repeats.push(again),
            }
        }
        if self.mode == Mode::AtMostOnce && redelivered {
            // Flagged, where nothing is ever delivered again.
            self.tally.found(Violation::Duplicated { sender: id.sender, seq: id.seq, receiver: who });
        }
        let receiver = self.receivers.entry(who).or_default();
        receiver.open = receiver.open.saturating_sub(1);
        // What comes again may come late: only first deliveries make the order.
        let mut in_order = true;
        if new && !redelivered {
            match receiver.last.entry(id.sender) {
                Entry::Vacant(entry) => drop(entry.insert(id.seq)),
                Entry::Occupied(mut entry) => {
                    in_order = *entry.get() < id.seq;
                    entry.insert(id.seq.max(*entry.get()));
                }
            }
        }
        let in_stream = !self.one_stream || !new || self.stream.is_none_or(|last| last < id);
        if !in_order || !in_stream {
            self.tally.found(Violation::OutOfOrder { sender: id.sender, seq: id.seq, receiver: who });
        }
        if self.one_stream && new && !redelivered {
            self.stream = self.stream.max(Some(id));
        }
    }

    /// A message of this sender was taken for the first time: everything sent by those that died before its birth has
    /// been taken, if it was ever to be.
    fn first_of(&mut self, who: u32, at: u64) {
        let senders = &mut self.senders;
        self.awaited.retain(|&(dead, born_later)| {
            if who < born_later {
                return senders[dead as usize].messages.is_waiting();
            }
            senders[dead as usize].messages.all_taken_by(at);
            false
        });
    }

    /// Participant `who` is dead, by SIGKILL, at the latest `at`, and its log was read to the end. Whoever is born later
    /// has a number from `born_later` on.
    pub fn killed(&mut self, who: u32, at: u64, born_later: u32) {
        if let Some(receiver) = self.receivers.remove(&who) {
            // What may be gone was not told of. What may come again was maybe told of and not released yet.
            self.in_hands += receiver.reach;
            if receiver.open > 0 {
                let window = Window { from: receiver.since.min(at), until: at };
                self.deaths.push(Death { window, most: receiver.open });
            }
        }
        if self.senders.get(who as usize).is_some_and(|sender| sender.intended > 0) {
            let sender = self.sender(who);
            sender.messages.close();
            if sender.messages.is_waiting() {
                self.awaited.push((who, born_later));
            }
        }
    }

    /// Participant `who` has left cleanly, and its log was read to the end.
    pub fn left(&mut self, who: u32) {
        self.receivers.remove(&who);
    }

    /// How many messages were sent and delivered so far.
    #[must_use]
    pub fn so_far(&self) -> (u64, u64) {
        (self.tally.sent, self.tally.received)
    }

    /// The sums, when all logs were read to the end and the ring was drained.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        let mut missing = Vec::new();
        for (who, sender) in self.senders.iter_mut().enumerate() {
            let who = who as u32;
            sender.messages.close();
            for seq in sender.messages.strange() {
                self.tally.found(Violation::Phantom { sender: who, seq });
            }
            let mut pending = sender.intended.saturating_sub(sender.returned);
            for (seq, window) in sender.messages.missing() {
                if seq < sender.returned {
                    missing.push((Violation::Lost { sender: who, seq }, window));
                } else {
                    pending -= 1;
                }
            }
            self.tally.sent_by_the_killed += pending;
        }
        let lost: Vec<_> = if self.mode == Mode::AtMostOnce {
            let windows: Vec<_> = missing.iter().map(|(_, window)| *window).collect();
            unexplained(&windows, &self.deaths).into_iter().map(|i| missing[i].0).collect()
        } else {
            missing.iter().map(|(lost, _)| *lost).collect()
        };
        self.tally.in_hands = (missing.len() - lost.len()) as u64;
        let allowed = if self.mode == Mode::AtMostOnce { 0 } else { self.in_hands as usize };
        let again = self.repeats.len().min(allowed);
        self.tally.redelivered = again as u64;
        for violation in lost.into_iter().chain(self.repeats.drain(again..)) {
            self.tally.found(violation);
        }
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::now;

    const TX: u32 = 1;
    const RX: u32 = 2;

    impl Auditor {
        fn hear(&mut self, who: u32, event: Event) {
            self.note(who, Stamped { at: now(), event });
        }

        fn dies(&mut self, who: u32) {
            self.killed(who, now(), who + 10);
        }
    }

    fn send(auditor: &mut Auditor, seqs: std::ops::Range<u64>) {
        for seq in seqs {
            auditor.hear(TX, Event::Intend { seq, sum: seq * 10 });
            auditor.hear(TX, Event::Sent { seq, count: 1 });
        }
    }

    fn took(seq: u64) -> Event {
        Event::Took { id: Id { sender: TX, seq }, sum: seq * 10, redelivered: false }
    }

    fn again(seq: u64) -> Event {
        Event::Took { id: Id { sender: TX, seq }, sum: seq * 10, redelivered: true }
    }

    fn audit(mode: Mode, work: impl FnOnce(&mut Auditor)) -> Tally {
        let mut auditor = Auditor::new(mode, false);
        work(&mut auditor);
        auditor.finish()
    }

    #[test]
    fn a_clean_run_is_clean_whichever_log_is_read_first() {
        for receiver_first in [false, true] {
            let tally = audit(Mode::AtMostOnce, |a| {
                if !receiver_first {
                    send(a, 0..5);
                }
                (0..5).for_each(|seq| a.hear(RX, took(seq)));
                if receiver_first {
                    send(a, 0..5);
                }
            });
            assert!(tally.is_clean(), "{tally:?}");
            assert_eq!((tally.sent, tally.received), (5, 5));
        }
    }

    #[test]
    fn a_lost_message_is_found() {
        let tally = audit(Mode::AtMostOnce, |a| {
            send(a, 0..3);
            a.hear(RX, took(0));
            a.hear(RX, took(2));
        });
        assert_eq!(tally.evidence, [Violation::Lost { sender: TX, seq: 1 }]);
    }

    #[test]
    fn a_killed_receiver_takes_one_message_with_it_and_not_two() {
        for (delivered, lost) in [(4, 0), (3, 1)] {
            let tally = audit(Mode::AtMostOnce, |a| {
                send(a, 0..5);
                a.hear(RX, Event::Reach { most: 1 });
                a.hear(RX, took(0));
                a.hear(RX, Event::Reach { most: 1 });
                a.dies(RX);
                (5 - delivered + 1..5).for_each(|seq| a.hear(3, took(seq)));
            });
            assert_eq!((tally.in_hands, tally.lost), (1, lost), "{tally:?}");
        }
    }

    #[test]
    fn who_took_what_it_reached_for_takes_nothing_else_with_it() {
        let tally = audit(Mode::AtMostOnce, |a| {
            send(a, 0..2);
            a.hear(RX, Event::Reach { most: 1 });
            a.hear(RX, took(0));
            a.dies(RX);
        });
        assert_eq!((tally.in_hands, tally.lost), (0, 1));
    }

    #[test]
    fn a_loss_does_not_hide_behind_a_death_at_another_time() {
        for at_once in [true, false] {
            let tally = audit(Mode::AtMostOnce, |a| {
                send(a, 0..2);
                if !at_once {
                    a.hear(3, took(1));
                }
                a.hear(RX, Event::Reach { most: 1 });
                a.dies(RX);
                if at_once {
                    a.hear(3, took(1));
                }
            });
            assert_eq!((tally.in_hands, tally.lost), if at_once { (1, 0) } else { (0, 1) });
        }
    }

    #[test]
    fn what_a_dead_sender_left_was_taken_before_what_a_later_one_sent() {
        const LATER: u32 = 12;
        for at_once in [true, false] {
            let tally = audit(Mode::AtMostOnce, |a| {
                send(a, 0..1);
                a.dies(TX);
                a.hear(LATER, Event::Intend { seq: 0, sum: 1 });
                let later = Event::Took { id: Id { sender: LATER, seq: 0 }, sum: 1, redelivered: false };
                if !at_once {
                    a.hear(3, later);
                }
                a.hear(RX, Event::Reach { most: 1 });
                a.dies(RX);
                if at_once {
                    a.hear(3, later);
                }
            });
            assert_eq!((tally.in_hands, tally.lost), if at_once { (1, 0) } else { (0, 1) });
        }
    }

    #[test]
    fn a_refusal_says_nothing_of_when_an_earlier_message_was_taken() {
        let tally = audit(Mode::AtMostOnce, |a| {
            send(a, 0..1);
            a.hear(TX, Event::Intend { seq: 1, sum: 10 });
            a.hear(TX, Event::Refused { seq: 1, count: 1 });
            send(a, 2..3);
            a.hear(RX, Event::Reach { most: 1 });
            a.dies(RX);
            a.hear(3, took(2));
        });
        assert_eq!((tally.in_hands, tally.lost), (1, 0), "{tally:?}");
    }

    #[test]
    fn where_messages_come_again_none_may_be_gone() {
        for mode in [Mode::Flagged, Mode::AtLeastOnce] {
            let tally = audit(mode, |a| {
                send(a, 0..1);
                a.hear(RX, Event::Reach { most: 1 });
                a.dies(RX);
            });
            assert_eq!((tally.in_hands, tally.lost), (0, 1));
        }
    }

    #[test]
    fn a_message_of_a_killed_sender_may_come_or_not_but_once() {
        for (came, duplicated) in [(0, 0), (1, 0), (2, 1)] {
            let tally = audit(Mode::AtMostOnce, |a| {
                send(a, 0..1);
                a.hear(TX, Event::Intend { seq: 1, sum: 10 });
                a.dies(TX);
                a.hear(RX, took(0));
                (0..came).for_each(|_| a.hear(RX, took(1)));
            });
            assert_eq!((tally.lost, tally.duplicated), (0, duplicated));
            assert_eq!(tally.sent_by_the_killed, came.min(1));
        }
    }

    #[test]
    fn a_duplicate_is_found() {
        let tally = audit(Mode::AtMostOnce, |a| {
            send(a, 0..2);
            [0, 1, 0].into_iter().for_each(|seq| a.hear(RX, took(seq)));
        });
        assert_eq!(tally.evidence, [Violation::Duplicated { sender: TX, seq: 0, receiver: RX }]);
    }

    #[test]
    fn a_duplicate_must_be_flagged_and_somebody_killed_with_it() {
        let run = |flagged: bool, killed: bool| {
            audit(Mode::Flagged, |a| {
                send(a, 0..1);
                a.hear(RX, Event::Reach { most: 1 });
                a.hear(RX, took(0));
                if killed {
                    a.dies(RX);
                } else {
                    a.left(RX);
                }
                a.hear(3, if flagged { again(0) } else { took(0) });
            })
        };
        assert_eq!((run(true, true).duplicated, run(true, true).redelivered), (0, 1));
        assert_eq!(run(false, true).duplicated, 1);
        assert_eq!(run(true, false).duplicated, 1);
    }

    #[test]
    fn nothing_is_flagged_where_nothing_comes_again() {
        let tally = audit(Mode::AtMostOnce, |a| {
            send(a, 0..1);
            a.hear(RX, again(0));
        });
        assert_eq!(tally.duplicated, 1);
    }

    #[test]
    fn a_torn_message_is_found_by_its_receiver_and_by_its_checksum() {
        let tally = audit(Mode::AtMostOnce, |a| {
            send(a, 0..2);
            a.hear(RX, took(0));
            a.hear(RX, Event::Took { id: Id { sender: TX, seq: 1 }, sum: 11, redelivered: false });
            a.hear(RX, Event::Torn);
        });
        assert_eq!(tally.evidence, [Violation::Torn { receiver: RX }; 2]);
    }

    #[test]
    fn a_wrong_order_is_found_for_each_receiver_alone() {
        let tally = audit(Mode::AtMostOnce, |a| {
            send(a, 0..4);
            a.hear(RX, took(1));
            a.hear(3, took(0)); // Another receiver's: no order between the two.
            a.hear(3, took(3));
            a.hear(3, took(2));
        });
        assert_eq!(tally.evidence, [Violation::OutOfOrder { sender: TX, seq: 2, receiver: 3 }]);
    }

    #[test]
    fn a_redelivered_message_may_come_late() {
        let tally = audit(Mode::Flagged, |a| {
            send(a, 0..2);
            a.hear(RX, took(1));
            a.hear(RX, again(0));
        });
        assert!(tally.is_clean(), "{tally:?}");
    }

    #[test]
    fn in_one_stream_successors_go_on_where_the_dead_stopped() {
        for (order, wrong) in [([(1, 0), (1, 1), (2, 0)], 0), ([(1, 0), (2, 0), (1, 1)], 1)] {
            let mut a = Auditor::new(Mode::AtMostOnce, true);
            for (sender, seq) in [(1, 0), (1, 1), (2, 0)] {
                a.hear(sender, Event::Intend { seq, sum: 5 });
                a.hear(sender, Event::Sent { seq, count: 1 });
            }
            for (receiver, (sender, seq)) in order.into_iter().enumerate() {
                let id = Id { sender, seq };
                a.hear(10 + receiver as u32, Event::Took { id, sum: 5, redelivered: false });
            }
            let tally = a.finish();
            assert_eq!(tally.out_of_order, wrong, "{tally:?}");
        }
    }

    #[test]
    fn what_nobody_sent_is_found() {
        let tally = audit(Mode::AtMostOnce, |a| {
            send(a, 0..1);
            a.hear(RX, took(0));
            a.hear(RX, took(1));
        });
        assert_eq!(tally.evidence, [Violation::Phantom { sender: TX, seq: 1 }]);
    }

    #[test]
    fn what_was_refused_and_comes_all_the_same_is_found() {
        for refused_first in [false, true] {
            let tally = audit(Mode::AtMostOnce, |a| {
                a.hear(TX, Event::Intend { seq: 0, sum: 0 });
                let refused = Event::Refused { seq: 0, count: 1 };
                if refused_first {
                    a.hear(TX, refused);
                }
                a.hear(RX, took(0));
                if !refused_first {
                    a.hear(TX, refused);
                }
            });
            assert_eq!(tally.evidence, [Violation::Phantom { sender: TX, seq: 0 }]);
        }
    }

    #[test]
    fn a_refused_message_is_not_missed() {
        let tally = audit(Mode::AtMostOnce, |a| {
            a.hear(TX, Event::Intend { seq: 0, sum: 0 });
            a.hear(TX, Event::Refused { seq: 0, count: 1 });
            a.hear(TX, Event::Intend { seq: 1, sum: 10 });
            a.hear(TX, Event::Sent { seq: 1, count: 1 });
            a.hear(RX, took(1));
        });
        assert!(tally.is_clean(), "{tally:?}");
    }
}
