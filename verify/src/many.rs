//! An MPMC ring beside what it must be: a queue for many, of slots that are counted one by one. Any verb of any handle,
//! one at a time, while other handles have loans out that nobody waits for: grants to commit or to give up, frames to
//! release, deliveries to acknowledge, all of them to forget; handles come, are cloned and leave.

use crate::{Count, below};
use arbitrary::Unstructured;
use slipring::mpmc::{Receiver, Sender};
use slipring::{Options, RecvError, Ring, SendError, Trust};
use std::collections::{BTreeMap, VecDeque};

/// The longest message: slots are one line.
const LONGEST: usize = 48;
/// Handles of either kind at a time.
const HANDLES: usize = 3;
/// Those that may leave unacknowledged messages behind before somebody adopts them: each keeps a place.
const LEAVERS: usize = 6;
/// Loans that are open at a time.
const DEEPEST: usize = 4;
/// Verbs of a case: enough to go round the ring many times.
const MOST: u64 = 300;

/// The difference of a slot's lap to that of a place that nobody had yet.
const BEFORE: u64 = u64::MAX;

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Free,
    Writing,
    Full,
    /// Somebody's, who has passed on or was passed over.
    Held,
}

/// A place that somebody claimed or took.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    slot: usize,
    lap: u64,
}

/// The rules of the ring, one verb at a time: who has which slot, and the two ends.
struct Slots {
    slots: Vec<(u64, Kind)>,
    messages: Vec<Vec<u8>>,
    head: u64,
    tail: u64,
}

impl Slots {
    fn new(slots: usize) -> Self {
        let start = slots as u64;
        Slots { slots: vec![(1, Kind::Free); slots], messages: vec![vec![]; slots], head: start, tail: start }
    }

    fn at(&self, position: u64) -> (Place, u64, Kind) {
        let n = self.slots.len() as u64;
        let place = Place { slot: (position % n) as usize, lap: position / n };
        let (lap, kind) = self.slots[place.slot];
        (place, lap, kind)
    }

    fn behind(&self, position: u64) -> impl Iterator<Item = (u64, Kind)> + '_ {
        (position + 1..position + self.slots.len() as u64).map(|next| {
            let (place, lap, kind) = self.at(next);
            (lap.wrapping_sub(place.lap), kind)
        })
    }

    /// The next slot, if one may be had. `bound`: where this sender first found a slot in its way since it last sent; only
    /// who wrote before that is passed over.
    fn claim(&mut self, bound: &mut Option<u64>) -> Result<Place, SendError> {
        let n = self.slots.len() as u64;
        loop {
            let (place, lap, kind) = self.at(self.tail);
            if lap.wrapping_sub(place.lap) == BEFORE {
                bound.get_or_insert(self.tail);
            }
            let writers_end = bound.map_or(0, |bound| bound + n);
            let may_pass = |kind, at| kind == Kind::Held || kind == Kind::Writing && at < writers_end;
            match (lap.wrapping_sub(place.lap), kind) {
                (0, Kind::Free) => {
                    self.slots[place.slot].1 = Kind::Writing;
                    self.tail += 1;
                    return Ok(place);
                }
                (BEFORE, kind) if may_pass(kind, self.tail) => {
                    let free = (self.tail + 1..).zip(self.behind(self.tail));
                    let free = free.map(|(at, (lap, kind))| (lap, kind, lap == BEFORE && may_pass(kind, at)));
                    if free.into_iter().find(|(.., passed)| !passed) != Some((0, Kind::Free, false)) {
                        *bound = None;
                        return Err(SendError::Full);
                    }
                    // Somebody still has it: this lap's place is void.
                    self.slots[place.slot] = (place.lap, Kind::Held);
                    self.tail += 1;
                }
                (BEFORE, _) => {
                    *bound = None;
                    return Err(SendError::Full);
                }
                _ => self.tail += 1,
            }
        }
    }

    /// Whether the place was not passed over.
    fn commit(&mut self, place: Place, message: Vec<u8>) -> bool {
        let in_time = self.slots[place.slot] == (place.lap, Kind::Writing);
        if in_time {
            self.slots[place.slot].1 = Kind::Full;
            self.messages[place.slot] = message;
        }
        in_time
    }

    fn give_back(&mut self, slot: usize) {
        assert_ne!(self.slots[slot].1, Kind::Free, "nobody's slot is given back");
        self.slots[slot] = (self.slots[slot].0 + 1, Kind::Free);
    }

    /// The next message, unless it is longer than `room`. Writers before it are passed over.
    fn take(&mut self, room: usize) -> Result<usize, RecvError> {
        loop {
            let (place, lap, kind) = self.at(self.head);
            if lap < place.lap || (lap == place.lap && kind == Kind::Free) {
                return Err(RecvError::Empty);
            }
            if lap == place.lap && kind == Kind::Full {
                let len = self.messages[place.slot].len();
                if len > room {
                    return Err(RecvError::BufferTooSmall { len, have: room });
                }
                self.slots[place.slot].1 = Kind::Held;
                self.head += 1;
                return Ok(place.slot);
            }
            if lap == place.lap && kind == Kind::Writing {
                // Other writers and places that are void stand between it and what is there, or nothing is.
                let decides = |(ahead, kind): &(u64, Kind)| {
                    *ahead == BEFORE || *ahead == 0 && matches!(kind, Kind::Free | Kind::Full)
                };
                let later = self.behind(self.head).find(decides);
                if later != Some((0, Kind::Full)) {
                    return Err(RecvError::Empty);
                }
                self.slots[place.slot].1 = Kind::Held;
            }
            self.head += 1;
        }
    }

    fn count(&self, is: impl Fn(Kind) -> bool) -> usize {
        self.slots.iter().filter(|(_, kind)| is(*kind)).count()
    }
}

/// A sender, the slots of the grants that it forgot, and what it knows of writers in its way.
struct Putter {
    handle: Sender,
    forgotten: Vec<usize>,
    bound: Option<u64>,
}

impl Putter {
    fn new(handle: Sender) -> Self {
        Putter { handle, forgotten: vec![], bound: None }
    }
}

/// Slots of messages to be seen again, in groups of which each comes in any order.
type Pending = VecDeque<Vec<usize>>;

/// A receiver, and what it has taken.
struct Taker {
    handle: Receiver,
    pending: Pending,
    /// Slots of frames that it forgot, and of deliveries.
    forgotten: Vec<usize>,
    unfinished: Vec<usize>,
}

impl Taker {
    fn new(handle: Receiver) -> Self {
        Taker { handle, pending: VecDeque::new(), forgotten: vec![], unfinished: vec![] }
    }
}

/// The ring, what it must be, and the handles that have no loan out.
struct Game {
    ring: Ring,
    model: Slots,
    senders: BTreeMap<u64, Putter>,
    receivers: BTreeMap<u64, Taker>,
    /// How many live, loans out or not.
    living: (usize, usize),
    /// Messages that receivers left unacknowledged, and how many those were.
    left: Vec<usize>,
    leavers: usize,
    numbers: u64,
    sent: u64,
    depth: usize,
    verbs: u64,
}

/// A fuzz case: the ring's shape, then verbs.
pub(crate) fn run(input: &[u8]) -> Count {
    let mut input = Unstructured::new(input);
    let slots = [2, 4, 8][below(&mut input, 3) as usize];
    let trust = [Trust::Kernel, Trust::Distrust][below(&mut input, 2) as usize];
    let options = Options::mpmc(slots, LONGEST).participants((2 * HANDLES + LEAVERS + 2) as u32).trust(trust);
    let mut game = Game {
        ring: Ring::anonymous(&options).unwrap(),
        model: Slots::new(slots),
        senders: BTreeMap::new(),
        receivers: BTreeMap::new(),
        living: (0, 0),
        left: Vec::new(),
        leavers: 0,
        numbers: 0,
        sent: 0,
        depth: 0,
        verbs: 0,
    };
    (0..2).for_each(|_| game.sender_comes(None));
    (0..2).for_each(|_| game.receiver_comes(None));
    while !input.is_empty() && game.verbs < MOST {
        game.verb(&mut input);
    }
    game.end();
    [("verbs", game.verbs)].into()
}

/// One of the handles, if there is one.
fn any<T>(handles: &BTreeMap<u64, T>, input: &mut Unstructured<'_>) -> Option<u64> {
    handles.keys().nth(below(input, HANDLES as u64) as usize % handles.len().max(1)).copied()
}

fn any_len(input: &mut Unstructured<'_>) -> usize {
    [8, 9, 20, LONGEST, LONGEST + 1][below(input, 5) as usize]
}

impl Game {
    /// A message that says which it is in all of its bytes.
    fn message(&mut self, len: usize) -> Vec<u8> {
        self.sent += 1;
        self.sent.to_le_bytes().into_iter().cycle().take(len).collect()
    }

    fn verb(&mut self, input: &mut Unstructured<'_>) {
        self.verbs += 1;
        match below(input, 19) {
            0 => self.come(input),
            1 => self.go(input),
            2..=9 => {
                let Some((id, mut tx)) =
                    any(&self.senders, input).and_then(|id| self.senders.remove_entry(&id))
                else {
                    return;
                };
                match below(input, 8) {
                    0..=2 => self.send(&mut tx, any_len(input)),
                    3 => self.send_batch(&mut tx, input),
                    4 => self.force_send(&mut tx, any_len(input)),
                    _ => self.grant(&mut tx, input),
                }
                self.senders.insert(id, tx);
            }
            _ => {
                let taker = any(&self.receivers, input).and_then(|id| self.receivers.remove_entry(&id));
                let Some((id, mut rx)) = taker else { return };
                self.settle(&mut rx);
                match below(input, 8) {
                    0..=2 => self.recv(&mut rx, [LONGEST, LONGEST, 8, 19][below(input, 4) as usize]),
                    3 => self.recv_batch(&mut rx, below(input, 6) as usize),
                    4 | 5 => self.frame(&mut rx, input),
                    _ => self.peek(&mut rx, input),
                }
                self.receivers.insert(id, rx);
            }
        }
        self.looks();
    }

    /// Verbs of the other handles, while this one has a loan out.
    fn meanwhile(&mut self, input: &mut Unstructured<'_>) {
        self.depth += 1;
        for _ in 0..below(input, 12) {
            if self.depth < DEEPEST && self.verbs < MOST && !input.is_empty() {
                self.verb(input);
            }
        }
        self.depth -= 1;
    }

    // --- who is there ---

    fn come(&mut self, input: &mut Unstructured<'_>) {
        let clone = below(input, 2) == 0;
        match below(input, 2) == 0 {
            true => self.sender_comes(any(&self.senders, input).filter(|_| clone)),
            false => self.receiver_comes(any(&self.receivers, input).filter(|_| clone)),
        }
    }

    /// On its own, or as a clone.
    fn sender_comes(&mut self, of: Option<u64>) {
        if self.living.0 < HANDLES {
            self.living.0 += 1;
            self.numbers += 1;
            let handle = of.map_or_else(|| self.ring.sender(), |id| self.senders[&id].handle.try_clone());
            self.senders.insert(self.numbers, Putter::new(handle.unwrap()));
            self.everybody_is_counted();
        }
    }

    fn receiver_comes(&mut self, of: Option<u64>) {
        if self.living.1 < HANDLES {
            self.living.1 += 1;
            self.numbers += 1;
            let handle = of.map_or_else(|| self.ring.receiver(), |id| self.receivers[&id].handle.try_clone());
            self.receivers.insert(self.numbers, Taker::new(handle.unwrap()));
            self.everybody_is_counted();
        }
    }

    fn everybody_is_counted(&self) {
        let seen = self.senders.values().map(|tx| tx.handle.receivers());
        assert!(seen.into_iter().all(|count| count == self.living.1));
        let seen = self.receivers.values().map(|rx| rx.handle.senders());
        assert!(seen.into_iter().all(|count| count == self.living.0));
    }

    fn go(&mut self, input: &mut Unstructured<'_>) {
        if below(input, 2) == 0 {
            if let Some(tx) = any(&self.senders, input).and_then(|id| self.senders.remove(&id)) {
                self.sender_leaves(tx);
            }
        } else if self.leavers < LEAVERS
            && let Some(rx) = any(&self.receivers, input).and_then(|id| self.receivers.remove(&id))
        {
            self.receiver_leaves(rx);
        }
    }

    fn sender_leaves(&mut self, tx: Putter) {
        drop(tx.handle);
        tx.forgotten.into_iter().for_each(|slot| self.model.give_back(slot));
        self.living.0 -= 1;
    }

    fn receiver_leaves(&mut self, rx: Taker) {
        drop(rx.handle);
        rx.forgotten.into_iter().for_each(|slot| self.model.give_back(slot));
        let before = self.left.len();
        self.left.extend(rx.pending.into_iter().flatten().chain(rx.unfinished));
        self.leavers += usize::from(self.left.len() > before);
        self.living.1 -= 1;
    }

    // --- to send ---

    /// A place for a message of so many bytes, or why there is none. Where the real ring had one: it asks a second time if
    /// somebody has come or left meanwhile.
    fn claim(&mut self, bound: &mut Option<u64>, len: usize, is_real: bool) -> Result<Place, SendError> {
        if len > LONGEST {
            return Err(SendError::TooLarge { len, max: LONGEST });
        }
        match self.model.claim(bound) {
            Err(SendError::Full) if is_real => self.model.claim(bound),
            done => done,
        }
    }

    fn put(&mut self, bound: &mut Option<u64>, message: Vec<u8>, is_real: bool) -> Result<(), SendError> {
        let place = self.claim(bound, message.len(), is_real)?;
        assert!(self.model.commit(place, message));
        *bound = None;
        Ok(())
    }

    fn send(&mut self, tx: &mut Putter, len: usize) {
        let message = self.message(len);
        let real = tx.handle.try_send(&message);
        assert_eq!(real, self.put(&mut tx.bound, message, real.is_ok()));
    }

    fn send_batch(&mut self, tx: &mut Putter, input: &mut Unstructured<'_>) {
        let messages: Vec<_> =
            (0..below(input, 7)).map(|_| any_len(input)).map(|len| self.message(len)).collect();
        let real = tx.handle.try_send_batch(&messages);
        let (mut count, mut refused) = (0, Ok(()));
        for message in messages {
            refused = self.put(&mut tx.bound, message, real.is_ok_and(|real| real > count));
            if refused.is_err() {
                break;
            }
            count += 1;
        }
        assert_eq!(real, if count > 0 { Ok(count) } else { refused.map(|()| 0) });
    }

    fn force_send(&mut self, tx: &mut Putter, len: usize) {
        let message = self.message(len);
        let real = tx.handle.force_send(&message);
        let mut dropped = 0;
        let must = loop {
            match self.claim(&mut tx.bound, len, false) {
                Ok(place) => {
                    assert!(self.model.commit(place, message));
                    tx.bound = None;
                    break Ok(dropped);
                }
                Err(SendError::Full) => match self.model.take(LONGEST) {
                    Ok(oldest) => {
                        self.model.give_back(oldest);
                        dropped += 1;
                    }
                    Err(_) => {
                        let put = self.put(&mut tx.bound, message, real.is_ok());
                        break put.map(|()| dropped).map_err(|error| (dropped, error));
                    }
                },
                Err(error) => break Err((dropped, error)),
            }
        };
        assert_eq!(real, must);
    }

    fn grant(&mut self, tx: &mut Putter, input: &mut Unstructured<'_>) {
        let max = any_len(input);
        let real = tx.handle.try_reserve(max);
        let place = self.claim(&mut tx.bound, max, real.is_ok());
        let mut grant = match (real, &place) {
            (Ok(grant), Ok(_)) => grant,
            (real, must) => return assert_eq!(real.err(), must.err()),
        };
        let place = place.unwrap();
        grant.fill(0xee);
        self.meanwhile(input);
        let len = 8 + below(input, max as u64 - 6) as usize;
        match below(input, 6) {
            0 => grant.abort(),
            1 => {
                std::mem::forget(grant);
                return tx.forgotten.push(place.slot);
            }
            _ => {
                let message = self.message(len);
                let fits = len.min(max);
                grant[..fits].copy_from_slice(&message[..fits]);
                // It would wait for room if it was passed over and there is none.
                let in_time = self.model.slots[place.slot] == (place.lap, Kind::Writing);
                if len > max {
                    assert_eq!(grant.commit(len), Err(SendError::TooLarge { len, max }));
                } else if in_time {
                    assert_eq!(grant.commit(len), Ok(()));
                    assert!(self.model.commit(place, message));
                    tx.bound = None;
                    return;
                } else {
                    loop {
                        let real = grant.try_commit(len);
                        let elsewhere = self.claim(&mut tx.bound, len, real.is_ok());
                        assert_eq!(real.as_ref().err().map(|(_, error)| error), elsewhere.as_ref().err());
                        match (real, elsewhere) {
                            (Err((back, _)), _) => {
                                assert_eq!(back[..len], message[..len], "its bytes are there");
                                if below(input, 3) == 0 {
                                    break;
                                }
                                grant = back;
                                self.meanwhile(input);
                            }
                            (Ok(()), Ok(elsewhere)) => {
                                assert!(self.model.commit(elsewhere, message));
                                break;
                            }
                            (Ok(()), Err(_)) => unreachable!("compared above"),
                        }
                    }
                }
            }
        }
        tx.bound = None;
        self.model.give_back(place.slot);
    }

    // --- to receive ---

    /// What there is when nothing is in the ring.
    fn nothing(&self) -> RecvError {
        if self.living.0 == 0 { RecvError::Closed } else { RecvError::Empty }
    }

    /// What was left behind is this receiver's now.
    fn adopt(&mut self, pending: &mut Pending) {
        self.leavers = 0;
        pending.extend(Some(std::mem::take(&mut self.left)).filter(|left| !left.is_empty()));
    }

    /// The slot of the next message, and whether it was seen before. Of several that may be next it is the one that the
    /// real ring gave.
    fn next(
        &mut self,
        pending: &mut Pending,
        room: usize,
        peek: bool,
        real: &Result<Vec<u8>, RecvError>,
    ) -> Result<(usize, bool), RecvError> {
        if peek {
            self.adopt(pending);
        }
        if pending.is_empty() {
            match self.model.take(room) {
                Ok(slot) => return Ok((slot, false)),
                Err(RecvError::Empty) => self.adopt(pending),
                Err(error) => return Err(error),
            }
        }
        let Some(group) = pending.front_mut() else { return Err(self.nothing()) };
        let messages = &self.model.messages;
        let refusal = |slot: usize| RecvError::BufferTooSmall { len: messages[slot].len(), have: room };
        let is_it = |slot: &usize| match real {
            Ok(message) => messages[*slot] == *message,
            Err(error) => messages[*slot].len() > room && refusal(*slot) == *error,
        };
        let found = group.iter().position(is_it);
        let index = found.unwrap_or_else(|| panic!("{real:?} is none of those that are to be seen again"));
        if real.is_err() {
            return Err(refusal(group[index]));
        }
        let slot = group.remove(index);
        pending.retain(|group| !group.is_empty());
        Ok((slot, true))
    }

    fn recv(&mut self, rx: &mut Taker, room: usize) {
        let mut buffer = [0; LONGEST];
        let real = rx.handle.try_recv(&mut buffer[..room]).map(|len| buffer[..len].to_vec());
        let must = self.next(&mut rx.pending, room, false, &real);
        assert_eq!(real, must.map(|(slot, _)| self.model.messages[slot].clone()));
        if let Ok((slot, _)) = must {
            self.model.give_back(slot);
        }
    }

    fn recv_batch(&mut self, rx: &mut Taker, most: usize) {
        let mut got = Vec::new();
        let real = rx.handle.try_recv_batch(most, |message| got.push(message.to_vec()));
        assert_eq!(real.unwrap_or(0), got.len());
        for message in &got {
            let must = self.next(&mut rx.pending, LONGEST, false, &Ok(message.clone()));
            let (slot, _) = must.expect("there is a message");
            assert_eq!(*message, self.model.messages[slot]);
            self.model.give_back(slot);
        }
        if let Err(error) = real {
            let must = self.next(&mut rx.pending, LONGEST, false, &Err(error));
            assert_eq!(must, Err(error));
        } else if got.len() < most {
            assert!(rx.pending.is_empty(), "none of them is kept back");
            assert_eq!(self.model.take(LONGEST), Err(RecvError::Empty), "nor of those in the ring");
        }
    }

    fn frame(&mut self, rx: &mut Taker, input: &mut Unstructured<'_>) {
        let frame = rx.handle.try_frame();
        let real = frame.as_ref().map(|frame| frame.to_vec()).map_err(|error| *error);
        let must = self.next(&mut rx.pending, LONGEST, false, &real);
        assert_eq!(real, must.map(|(slot, _)| self.model.messages[slot].clone()));
        let (Ok(frame), Ok((slot, seen))) = (frame, must) else { return };
        self.meanwhile(input);
        assert_eq!(*frame, self.model.messages[slot], "nobody writes there meanwhile");
        if below(input, 8) == 0 {
            std::mem::forget(frame);
            // What was peeked at once is delivered until somebody is done with it.
            return if seen { &mut rx.unfinished } else { &mut rx.forgotten }.push(slot);
        }
        drop(frame);
        self.model.give_back(slot);
    }

    fn peek(&mut self, rx: &mut Taker, input: &mut Unstructured<'_>) {
        let delivery = rx.handle.try_peek();
        let real = delivery.as_ref().map(|delivery| delivery.to_vec()).map_err(|error| *error);
        let must = self.next(&mut rx.pending, LONGEST, true, &real);
        assert_eq!(real, must.map(|(slot, _)| self.model.messages[slot].clone()));
        let (Ok(delivery), Ok((slot, seen))) = (delivery, must) else { return };
        assert_eq!(delivery.is_redelivered(), seen);
        self.meanwhile(input);
        assert_eq!(*delivery, self.model.messages[slot], "nobody writes there meanwhile");
        match below(input, 8) {
            0 => {
                std::mem::forget(delivery);
                rx.unfinished.push(slot);
            }
            1..=3 => {
                drop(delivery);
                rx.pending.push_front(vec![slot]);
            }
            _ => {
                delivery.ack();
                self.model.give_back(slot);
            }
        }
    }

    /// A receiver that only receives adopts what was left when it meets that, if it has not looked just before: that is a
    /// question of time, and no model can tell. One that peeks always does.
    fn settle(&mut self, rx: &mut Taker) {
        if self.left.is_empty() {
            return;
        }
        let delivery = rx.handle.try_peek();
        let real = delivery.as_ref().map(|delivery| delivery.to_vec()).map_err(|error| *error);
        let must = self.next(&mut rx.pending, LONGEST, true, &real);
        assert_eq!(real, must.map(|(slot, _)| self.model.messages[slot].clone()));
        if let Ok((slot, seen)) = must {
            assert!(seen && delivery.is_ok_and(|delivery| delivery.is_redelivered()));
            rx.pending.push_front(vec![slot]);
        }
    }

    // --- what can be said at any time, and at the end ---

    fn looks(&self) {
        let messages = self.model.count(|kind| kind == Kind::Full);
        for Taker { handle, pending, .. } in self.receivers.values() {
            assert!(handle.approx_len() <= self.model.slots.len());
            assert!(!handle.was_empty() || messages == 0 && pending.is_empty(), "{messages} and {pending:?}");
        }
        assert!(self.senders.values().all(|tx| tx.handle.approx_len() <= self.model.slots.len()));
    }

    /// Everybody leaves; what was left comes out, and then all slots are there.
    fn end(&mut self) {
        while let Some((_, tx)) = self.senders.pop_first() {
            self.sender_leaves(tx);
        }
        while let Some((_, rx)) = self.receivers.pop_first() {
            self.receiver_leaves(rx);
        }
        let mut rx = Taker::new(self.ring.receiver().unwrap());
        self.settle(&mut rx);
        let owed = self.model.count(|kind| kind != Kind::Free);
        for _ in 0..=owed {
            self.recv(&mut rx, LONGEST);
        }
        assert_eq!(self.model.count(|kind| kind != Kind::Free), 0, "every slot is free");
        let mut tx = Putter::new(self.ring.sender().unwrap());
        self.living.0 = 1;
        (0..=self.model.slots.len()).for_each(|_| self.send(&mut tx, LONGEST));
        assert_eq!(self.model.count(|kind| kind == Kind::Full), self.model.slots.len(), "and can be used");
        (0..=self.model.slots.len()).for_each(|_| self.recv(&mut rx, LONGEST));
    }
}
