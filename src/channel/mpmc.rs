//! [`Sender`] and [`Receiver`]: the MPMC ring's verbs with waiting, wake-ups and the knowledge of who is there.
//!
//! A verb that finds another participant in its way asks the kernel whether that one lives, once a millisecond at most,
//! and sweeps it if not. Whoever waits does so at the end of each slice.
#![forbid(unsafe_code)]

use crate::channel::loan::mpmc::{Delivery, Frame, Grant};
use crate::channel::members::{Members, NoPlace};
use crate::channel::{Desk, NoWakeup, Seat, default_strategy, supported};
use crate::error::{Error, RecvError, SendError};
use crate::event::{Event, Found, Look, WaitStrategy, Waited, Waiters};
use crate::layout::SlotKind::{self, Peeked, Reading};
use crate::layout::{RECEIVER, SENDER};
use crate::ring::mpmc::{Claim, Side, Taken};
use crate::ring::observe::holds_before;
use crate::ring::sweep::keep;
use crate::sync::{Deadline, MAX_VOIDS, PATIENCE_MAX, Pace, TRIES_PER_LEASE_CHECK, fork_epoch};
use crate::view::SlotView;
use std::cell::Cell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The least time between two questions to the kernel whether a participant in the way is alive.
pub(super) const LOOK: Duration = Duration::from_millis(1);

/// Peeks between two looks at the clock, and the time after which a receiver that peeks looks for what was left behind
/// though the table of participants has not changed.
const PEEKS_PER_CLOCK: u32 = 64;
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The most slots that a batch claims or takes at once: so many cannot be used by others meanwhile.
const MOST_AT_ONCE: usize = 32;

/// What senders and receivers have in common: a place among the participants, and a side of the ring.
pub(super) struct End {
    pub(super) side: Side,
    members: Members,
    pub(super) items: Event,
    pub(super) space: Event,
    strategy: WaitStrategy,
    /// Private memory to fill and to copy from, if the peers are not trusted.
    pub(super) bounce: Option<Vec<u8>>,
    epoch: u32,
    /// Loans handed out and neither taken back nor dropped.
    pub(super) loans: u32,
    tries: u32,
    last_look: Pace,
    /// The state of the table of participants that was last looked at.
    known: u32,
}

fn events(view: &SlotView) -> (Event, Event) {
    let event = |line| Event::new(line, view.geometry.wakeup, view.geometry.asymmetric, Waiters::Many);
    (event(view.header.project(|h| &h.items)), event(view.header.project(|h| &h.space)))
}

fn wake_all(view: &SlotView) {
    let (items, space) = events(view);
    items.notify_all();
    space.notify_all();
}

impl End {
    fn attach(view: SlotView, seat: Seat, role: u32) -> Result<Self, NoPlace> {
        let trusted = seat.trusted;
        let members = Members::attach(view.clone(), seat, role);
        // It may have swept the one whose place it has, or others before it found no place.
        wake_all(&view);
        Ok(Self::of(view, members?, trusted))
    }

    fn of(view: SlotView, members: Members, trusted: bool) -> Self {
        let geometry = view.geometry;
        let (items, space) = events(&view);
        // One that no process has: every verb of a handle without a place is refused where a forked child's is.
        let epoch = if members.is_seated() { fork_epoch() } else { fork_epoch().wrapping_sub(1) };
        End {
            side: Side::new(view, members.me()),
            known: members.changes().wrapping_sub(1),
            members,
            items,
            space,
            strategy: default_strategy(geometry.wakeup),
            bounce: (!trusted).then(Vec::new),
            epoch,
            loans: 0,
            tries: 0,
            last_look: Pace::new(),
        }
    }

    fn another(&self, role: u32) -> Result<Self, Error> {
        let (view, trusted) = (self.side.view().clone(), self.bounce.is_none());
        let seat = self.members.host().another()?;
        let full = Error::TooManyParticipants { name: seat.host.ring(), max: view.geometry.participants };
        let mut end = Self::attach(view, seat, role).map_err(|NoPlace| full)?;
        end.bounce = (!trusted).then(Vec::new);
        end.strategy = self.strategy;
        Ok(end)
    }

    fn outside(&self) -> Self {
        let view = self.side.view().clone();
        Self::of(view.clone(), Members::outside(view), self.bounce.is_none())
    }

    /// Whether this process took the place, and not one that it was forked from.
    #[inline(always)]
    pub(super) fn is_usable(&self) -> bool {
        self.epoch == fork_epoch()
    }

    #[cold]
    pub(super) fn send_refusal(&self) -> SendError {
        if self.members.is_seated() { SendError::Forked } else { SendError::Unattached }
    }

    #[cold]
    fn recv_refusal(&self) -> RecvError {
        if self.members.is_seated() { RecvError::Forked } else { RecvError::Unattached }
    }

    #[inline(always)]
    fn claim(&mut self) -> Result<Claim, SendError> {
        let claim = self.side.claim();
        if let Some(suspect) = self.side.suspect() {
            self.look_at(suspect);
        }
        claim
    }

    /// A message of an impossible length is gone, and its slot free.
    #[inline(always)]
    fn not_taken(&self, error: &RecvError) {
        if matches!(error, RecvError::Corrupt(_)) {
            self.space.notify();
        }
    }

    /// Somebody was in the way: stopped, slow, or dead? Whether it was time to ask.
    #[cold]
    fn look_at(&mut self, suspect: u32) -> bool {
        let look = self.last_look.passed(LOOK);
        if look && self.members.look_at(suspect) {
            self.swept();
        }
        look
    }

    /// A fruitless try. Now and then, and when the participants have changed, it is time to see who is there.
    fn is_time_to_look(&mut self) -> bool {
        self.tries += 1;
        let changes = self.members.changes();
        let look = changes != self.known || self.tries >= TRIES_PER_LEASE_CHECK;
        if look {
            (self.tries, self.known) = (0, changes);
            self.look_around();
        }
        look
    }

    fn look_around(&self) {
        if self.members.look_around() {
            self.swept();
        }
    }

    /// What a dead participant held is free; it may also have died between its message and its wake-up.
    fn swept(&self) {
        self.items.notify_all();
        self.space.notify_all();
    }

    /// Says that so many messages were committed, the last ones claimed.
    #[inline(always)]
    pub(super) fn announce(&self, count: usize) {
        let side = &self.side;
        self.items.notify_news(count, || side.tail(), |position| holds_before(side.view(), position));
    }

    /// Frees a slot whose position was passed over.
    pub(super) fn give_back(&self, claim: &Claim) {
        self.side.give_back(claim);
        self.space.notify();
    }

    #[inline(always)]
    pub(super) fn release(&self, taken: &Taken) {
        self.side.release(taken);
        self.space.notify();
    }

    fn set_strategy(&mut self, strategy: WaitStrategy) -> Result<(), NoWakeup> {
        self.strategy = supported(strategy, self.side.view().geometry.wakeup)?;
        Ok(())
    }

    fn leave(&mut self) {
        if self.is_usable() {
            self.members.leave(self.loans > 0);
            self.swept();
        }
    }
}

/// A sending end of an MPMC ring. Any number may live, in any processes and threads; see `Ring::sender`.
///
/// `Send`, not `Sync`: a thread clones one for itself. A clone is a participant of its own, with a file descriptor for
/// its lease; where none can be had, each verb of the clone says [`SendError::Unattached`]. Not usable in a forked child
/// ([`SendError::Forked`]).
pub struct Sender {
    pub(super) end: End,
}

/// A receiving end of an MPMC ring. Each message goes to one of them. See [`Sender`] and `Ring::receiver`.
///
/// A message that was received with `recv`, `frame` or in a batch ends with its receiver, should that be killed before it
/// is done. One that was received with `peek` is delivered again, to whichever receiver peeks next, until acknowledged.
pub struct Receiver {
    pub(super) end: End,
    /// Messages taken that nobody has seen to the end, oldest first: they come before all others.
    pub(super) pending: VecDeque<Taken>,
    run: Vec<Taken>,
    /// The state of the table of participants in which orphaned messages were last looked for.
    adopted_at: u32,
    /// Peeks since the clock was last looked at, and when it was time for orphaned messages whatever the table says.
    peeks: u32,
    last_adoption: Pace,
    /// What an empty ring meant when the table was last looked at: that there is nobody left to send, or nothing.
    over: Option<RecvError>,
    request: Option<Box<dyn Send>>,
}

impl Sender {
    /// Attaches a participant.
    #[doc(hidden)]
    pub fn attach(view: SlotView, seat: Seat) -> Result<Self, NoPlace> {
        Ok(Sender { end: End::attach(view, seat, SENDER)? })
    }

    /// Another sender of the same ring: a participant of its own.
    ///
    /// # Errors
    /// [`Error::TooManyParticipants`]; [`Error::Io`] without a file descriptor left; [`Error::Forked`].
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Sender { end: self.end.another(SENDER)? })
    }

    /// Sends a copy of `message` if there is room now. Never blocks, and waits for no other participant, stopped or not.
    /// No syscall unless a receiver sleeps, another participant is in the way (then the kernel is asked whether that one
    /// lives, once a millisecond at most), or the ring is full and the participants have changed, or it was found full
    /// 16,384 times.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::TooLarge`], [`SendError::Forked`], [`SendError::Unattached`],
    /// [`SendError::Corrupt`].
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.check(message.len())?;
        let claim = self.try_claim()?;
        if self.put(&claim, message) { Ok(()) } else { self.try_again(message) }
    }

    #[cold]
    fn try_again(&mut self, message: &[u8]) -> Result<(), SendError> {
        for _ in 0..self.most_voids() {
            let claim = self.try_claim()?;
            if self.put(&claim, message) {
                return Ok(());
            }
        }
        Err(self.end.side.voided_for_ever().into())
    }

    /// How often in a row a sender that keeps to the protocol may be passed over. A participant that does so waits twice as
    /// long the next time, until nobody is passed over any more who is not stopped between claim and commit.
    pub(super) fn most_voids(&self) -> u32 {
        let by_each = PATIENCE_MAX.ilog2() + 1;
        MAX_VOIDS + by_each * self.end.side.view().geometry.participants
    }

    /// Sends a copy of `message`, waiting for room as long as it takes.
    ///
    /// # Errors
    /// As [`Sender::try_send`], but never `Full`; [`SendError::Closed`] or [`SendError::PeerDied`] if there is no room
    /// and no receiver is left of those that were.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.send_until(message, || Deadline::NEVER)
    }

    /// As [`Sender::send`], for at most `timeout`.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`].
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.send_until(message, || Deadline::after(timeout))
    }

    /// As [`Sender::send`], until `deadline`. A deadline in the past still sends if there is room.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`].
    pub fn send_deadline(&mut self, message: &[u8], deadline: Instant) -> Result<(), SendError> {
        self.send_until(message, || Deadline::at(deadline))
    }

    #[inline(always)]
    fn send_until(&mut self, message: &[u8], deadline: impl FnOnce() -> Deadline) -> Result<(), SendError> {
        self.check(message.len())?;
        match self.end.claim() {
            Ok(claim) if self.put(&claim, message) => Ok(()),
            Ok(_) | Err(SendError::Full) => self.send_waiting(message, deadline()),
            Err(error) => Err(error),
        }
    }

    #[cold]
    fn send_waiting(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        for _ in 0..self.most_voids() {
            let claim = self.wait_claim(deadline)?;
            if self.put(&claim, message) {
                return Ok(());
            }
            if deadline.slice(LOOK).is_none() {
                self.end.side.forget_bound();
                return Err(SendError::TimedOut);
            }
        }
        Err(self.end.side.voided_for_ever().into())
    }

    /// Sends copies of as many of `messages`, from the first on, as there is room for now, and says how many. They lie at
    /// consecutive places as far as one claim got. Never blocks.
    ///
    /// # Errors
    /// As [`Sender::try_send`], if it is the first message that cannot be sent.
    pub fn try_send_batch(&mut self, messages: &[impl AsRef<[u8]>]) -> Result<usize, SendError> {
        let (mut sent, mut voids) = (0, 0);
        while sent < messages.len() {
            match self.send_run(&messages[sent..]) {
                Ok(0) if voids == self.most_voids() && sent == 0 => {
                    return Err(self.end.side.voided_for_ever().into());
                }
                Ok(0) if voids == self.most_voids() => break,
                Ok(0) => voids += 1,
                Ok(count) => (sent, voids) = (sent + count, 0),
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Sends copies of all `messages`, in order, waiting for room as long as it takes.
    ///
    /// # Errors
    /// As [`Sender::send`], with how many were sent before.
    pub fn send_batch(&mut self, messages: &[impl AsRef<[u8]>]) -> Result<(), (usize, SendError)> {
        self.send_batch_until(messages, Deadline::NEVER)
    }

    /// As [`Sender::send_batch`], for at most `timeout`.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`], with how many were sent before.
    pub fn send_batch_timeout(
        &mut self,
        messages: &[impl AsRef<[u8]>],
        timeout: Duration,
    ) -> Result<(), (usize, SendError)> {
        self.send_batch_until(messages, Deadline::after(timeout))
    }

    /// As [`Sender::send_batch`], until `deadline`. One in the past still sends as many as there is room for.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`], with how many were sent before.
    pub fn send_batch_deadline(
        &mut self,
        messages: &[impl AsRef<[u8]>],
        deadline: Instant,
    ) -> Result<(), (usize, SendError)> {
        self.send_batch_until(messages, Deadline::at(deadline))
    }

    fn send_batch_until(
        &mut self,
        messages: &[impl AsRef<[u8]>],
        deadline: Deadline,
    ) -> Result<(), (usize, SendError)> {
        let mut sent = 0;
        while sent < messages.len() {
            match self.send_run(&messages[sent..]) {
                Ok(count) if count > 0 => sent += count,
                // Passed over, or full.
                Ok(_) | Err(SendError::Full) => {
                    self.send_until(messages[sent].as_ref(), || deadline).map_err(|error| (sent, error))?;
                    sent += 1;
                }
                Err(error) => return Err((sent, error)),
            }
        }
        Ok(())
    }

    /// One claim's worth of messages: how many were committed, which may be none.
    fn send_run(&mut self, messages: &[impl AsRef<[u8]>]) -> Result<usize, SendError> {
        // The user's code runs before any slot is claimed: it may panic.
        let mut run = [&[][..]; MOST_AT_ONCE];
        run.iter_mut().zip(messages).for_each(|(slot, message)| *slot = message.as_ref());
        let messages = &run[..messages.len().min(MOST_AT_ONCE)];
        self.check(messages.first().map_or(0, |first| first.len()))?;
        // Up to the first that is too long: that one is refused when it is the first.
        let fits = messages.iter().take_while(|message| message.len() <= self.max_len()).count();
        let mut run = self.end.side.claim_run(fits);
        if matches!(run, Err(SendError::Full)) && self.end.is_time_to_look() {
            run = self.end.side.claim_run(fits);
        }
        if let Some(suspect) = self.end.side.suspect() {
            self.end.look_at(suspect);
        }
        let run = run?;
        let side = &mut self.end.side;
        let mut committed = 0;
        for (index, message) in messages[..run.count].iter().enumerate() {
            let claim = side.claim_of(&run, index);
            side.write(&claim, message);
            if !side.commit(&claim, message.len()) {
                // Passed over. Those behind it must not come before it.
                side.give_back(&claim);
                (index + 1..run.count).for_each(|later| side.abort(&side.claim_of(&run, later)));
                self.end.space.notify_many(run.count - index);
                break;
            }
            committed += 1;
        }
        if committed > 0 {
            self.end.announce(committed);
        }
        Ok(committed)
    }

    /// Sends a copy of `message`, dropping the oldest messages for it if there is no room, and says how many those were.
    /// Never blocks.
    ///
    /// # Errors
    /// As [`Sender::try_send`], with how many were dropped all the same; `Full` if there is nothing to drop, since the slots
    /// are in the hands of other participants, or if a whole ring of messages was dropped and others took each place.
    pub fn force_send(&mut self, message: &[u8]) -> Result<u64, (u64, SendError)> {
        let (mut dropped, mut voids) = (0, 0);
        self.check(message.len()).map_err(|error| (dropped, error))?;
        loop {
            match self.end.claim() {
                Ok(claim) if self.put(&claim, message) => return Ok(dropped),
                Ok(_) if voids == self.most_voids() => {
                    return Err((dropped, self.end.side.voided_for_ever().into()));
                }
                Ok(_) => voids += 1,
                Err(SendError::Full) if dropped >= self.end.side.view().slots() => {
                    return Err((dropped, SendError::Full));
                }
                Err(SendError::Full) => match self.end.side.take(Reading, usize::MAX) {
                    Ok(oldest) => {
                        self.end.release(&oldest);
                        dropped += 1;
                    }
                    Err(error @ RecvError::Corrupt(fault)) => {
                        self.end.not_taken(&error);
                        return Err((dropped, fault.into()));
                    }
                    // Once more: what was in the way may be gone.
                    Err(_) => {
                        return self.try_send(message).map(|()| dropped).map_err(|error| (dropped, error));
                    }
                },
                Err(error) => return Err((dropped, error)),
            }
        }
    }

    /// Room for a message of up to `max` bytes, to fill in place, if there is some now. Never blocks; nor does
    /// [`Grant::try_commit`].
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    #[inline]
    pub fn try_reserve(&mut self, max: usize) -> Result<Grant<'_>, SendError> {
        self.check(max)?;
        let claim = self.try_claim()?;
        Ok(Grant::new(self, claim, max))
    }

    /// Room for a message of up to `max` bytes, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`Sender::send`].
    #[inline]
    pub fn reserve(&mut self, max: usize) -> Result<Grant<'_>, SendError> {
        self.reserve_until(max, || Deadline::NEVER)
    }

    /// As [`Sender::reserve`], for at most `timeout`.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`].
    pub fn reserve_timeout(&mut self, max: usize, timeout: Duration) -> Result<Grant<'_>, SendError> {
        self.reserve_until(max, || Deadline::after(timeout))
    }

    /// As [`Sender::reserve`], until `deadline`.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`].
    pub fn reserve_deadline(&mut self, max: usize, deadline: Instant) -> Result<Grant<'_>, SendError> {
        self.reserve_until(max, || Deadline::at(deadline))
    }

    #[inline(always)]
    fn reserve_until(
        &mut self,
        max: usize,
        deadline: impl FnOnce() -> Deadline,
    ) -> Result<Grant<'_>, SendError> {
        self.check(max)?;
        let claim = match self.end.claim() {
            Err(SendError::Full) => self.wait_claim(deadline())?,
            done => done?,
        };
        Ok(Grant::new(self, claim, max))
    }

    #[inline(always)]
    fn check(&self, len: usize) -> Result<(), SendError> {
        if !self.end.is_usable() {
            return Err(self.end.send_refusal());
        }
        let max = self.end.side.view().max_len();
        if len > max { Err(SendError::TooLarge { len, max }) } else { Ok(()) }
    }

    #[inline(always)]
    pub(super) fn try_claim(&mut self) -> Result<Claim, SendError> {
        match self.end.claim() {
            Err(SendError::Full) if self.end.is_time_to_look() => self.end.claim(),
            done => done,
        }
    }

    #[cold]
    pub(super) fn wait_claim(&mut self, deadline: Deadline) -> Result<Claim, SendError> {
        let End { side, members, items, space, strategy, last_look, .. } = &mut self.end;
        let swept = || {
            items.notify_all();
            space.notify_all();
        };
        let (mut claimed, mut slept) = (None, false);
        let time_passed = Cell::new(false);
        let ready = |look| {
            side.glances(look == Look::Glance);
            if time_passed.take() {
                side.forget_bound();
            }
            if !side.looks_full() {
                claimed = Some(side.claim()).filter(|claim| !matches!(claim, Err(SendError::Full)));
                if side.suspect().is_some_and(|suspect| last_look.passed(LOOK) && members.look_at(suspect)) {
                    swept();
                }
            }
            match look {
                _ if claimed.is_some() => Found::Ready,
                // Who sleeps for the first time does so shortly, and does not look first how long it may.
                Look::Whole if !std::mem::replace(&mut slept, true) => Found::Soon,
                Look::Whole if side.may_get_room_unheard() => Found::Soon,
                _ => Found::Nothing,
            }
        };
        let gone = || {
            time_passed.set(true);
            if members.look_around() {
                swept();
            }
            let (end, swept_more) = members.ended_and_swept(RECEIVER);
            if swept_more {
                swept();
            }
            end.map(|died| died.map_or(SendError::Closed, |pid| SendError::PeerDied { pid }))
        };
        let waited = space.wait_looking(*strategy, deadline, ready, gone);
        self.end.side.glances(false);
        match (claimed, waited) {
            (Some(claim), _) => {
                // Slots come back in any order, and who was woken for a later one found this one still taken. So if the
                // next one can be had, too, or if this wake-up was in vain, it is another's turn.
                if claim.is_err() || !self.end.side.looks_full() {
                    self.end.space.notify();
                }
                claim
            }
            // Once more: room may have been made since the last try.
            (None, Waited::Ended(error)) => {
                self.end.claim().map_err(|full| if full == SendError::Full { error } else { full })
            }
            (None, _) => self
                .end
                .claim()
                .map_err(|full| if full == SendError::Full { SendError::TimedOut } else { full }),
        }
    }

    /// Fills and commits. `false` if somebody has passed the position over meanwhile: to be sent again.
    #[inline(always)]
    fn put(&mut self, claim: &Claim, message: &[u8]) -> bool {
        self.end.side.write(claim, message);
        self.publish(claim, message.len())
    }

    /// Commits what was filled, or gives the slot back.
    #[inline(always)]
    pub(super) fn publish(&mut self, claim: &Claim, len: usize) -> bool {
        let committed = self.end.side.commit(claim, len);
        if committed {
            self.end.announce(1);
        } else {
            self.end.give_back(claim);
        }
        committed
    }

    /// The longest message in bytes.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.end.side.view().max_len()
    }

    /// How many messages fit into the ring. One in the hands of a stopped participant counts as well.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.end.side.view().slots() as usize
    }

    /// Messages in the ring and operations in flight. May be stale at once.
    #[must_use]
    pub fn approx_len(&self) -> usize {
        self.end.side.in_flight() as usize
    }

    /// How many receivers live. Asks the kernel, one syscall each. A clone that found no place, and a handle in a forked child,
    /// cannot ask: they count who is attached on paper, whether it lives or not.
    #[must_use]
    pub fn receivers(&self) -> usize {
        self.end.members.live(RECEIVER)
    }

    /// Changes how this handle waits. The default is [`WaitStrategy::Park`], or `Yield` on a ring without wake-up.
    ///
    /// # Errors
    /// [`NoWakeup`] for `Park` on a ring that was made without a wake-up object.
    pub fn set_strategy(&mut self, strategy: WaitStrategy) -> Result<(), NoWakeup> {
        self.end.set_strategy(strategy)
    }

    /// Leaves the ring cleanly. The same as dropping the handle.
    pub fn close(self) {}
}

impl Clone for Sender {
    /// As [`Sender::try_clone`]; a clone that fails is one whose verbs all say [`SendError::Unattached`].
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(|_| Sender { end: self.end.outside() })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.end.leave();
    }
}

impl Receiver {
    /// Attaches a participant.
    #[doc(hidden)]
    pub fn attach(view: SlotView, seat: Seat) -> Result<Self, NoPlace> {
        Ok(Self::heir(End::attach(view, seat, RECEIVER)?))
    }

    /// With what the last owner of the place left, if anything.
    fn heir(mut end: End) -> Self {
        let inherited = end.members.inherit();
        end.loans += inherited.len() as u32;
        let mut receiver = Self::of(end);
        receiver.pending.extend(inherited);
        receiver
    }

    fn of(end: End) -> Self {
        let adopted_at = end.known;
        let (pending, run) = (VecDeque::new(), Vec::new());
        Receiver {
            end,
            pending,
            run,
            adopted_at,
            peeks: 0,
            last_adoption: Pace::new(),
            over: None,
            request: None,
        }
    }

    /// Another receiver of the same ring: a participant of its own.
    ///
    /// # Errors
    /// As [`Sender::try_clone`].
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self::heir(self.end.another(RECEIVER)?))
    }

    /// Copies the next message into `buffer` and says how long it is. Never blocks, and waits for no other participant,
    /// stopped or not. No syscall unless a sender sleeps, another participant is in the way (as with
    /// [`Sender::try_send`]), or the ring is empty and the participants have changed, or it was found empty 16,384 times.
    ///
    /// # Errors
    /// [`RecvError::Empty`]; [`RecvError::BufferTooSmall`], the message stays; [`RecvError::Closed`] and
    /// [`RecvError::PeerDied`] when everything was read and no sender is left of those that were;
    /// [`RecvError::Forked`]; [`RecvError::Unattached`]; [`RecvError::Corrupt`].
    #[inline(always)]
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        let taken = self.try_next(Reading, buffer.len())?;
        Ok(self.copy(&taken, buffer))
    }

    /// Copies the next message into `buffer`, waiting as long as it takes, and says how long it is.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`], but never `Empty`; a death is noticed within 100 ms.
    #[inline(always)]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        let taken = self.next(Reading, buffer.len(), || Deadline::NEVER)?;
        Ok(self.copy(&taken, buffer))
    }

    /// As [`Receiver::recv`], for at most `timeout`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn recv_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, RecvError> {
        let taken = self.next(Reading, buffer.len(), || Deadline::after(timeout))?;
        Ok(self.copy(&taken, buffer))
    }

    /// As [`Receiver::recv`], until `deadline`. A deadline in the past still receives if a message is there.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn recv_deadline(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, RecvError> {
        let taken = self.next(Reading, buffer.len(), || Deadline::at(deadline))?;
        Ok(self.copy(&taken, buffer))
    }

    #[inline(always)]
    fn copy(&mut self, taken: &Taken, buffer: &mut [u8]) -> usize {
        self.end.side.read(taken, buffer);
        self.end.release(taken);
        taken.len
    }

    /// The next message in place, if there is one. Never blocks. Dropping the frame releases it; a receiver killed while
    /// it has a frame takes the message along.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`].
    #[inline(always)]
    pub fn try_frame(&mut self) -> Result<Frame<'_>, RecvError> {
        let taken = self.try_next(Reading, usize::MAX)?;
        Ok(Frame::new(self, taken))
    }

    /// The next message in place, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    #[inline(always)]
    pub fn frame(&mut self) -> Result<Frame<'_>, RecvError> {
        let taken = self.next(Reading, usize::MAX, || Deadline::NEVER)?;
        Ok(Frame::new(self, taken))
    }

    /// As [`Receiver::frame`], for at most `timeout`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn frame_timeout(&mut self, timeout: Duration) -> Result<Frame<'_>, RecvError> {
        let taken = self.next(Reading, usize::MAX, || Deadline::after(timeout))?;
        Ok(Frame::new(self, taken))
    }

    /// As [`Receiver::frame`], until `deadline`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn frame_deadline(&mut self, deadline: Instant) -> Result<Frame<'_>, RecvError> {
        let taken = self.next(Reading, usize::MAX, || Deadline::at(deadline))?;
        Ok(Frame::new(self, taken))
    }

    /// The next message in place, to be acknowledged, if there is one. Never blocks. Until [`Delivery::ack`] it stays in
    /// the ring: dropped, it is the next one that this handle gets; if this process is killed, another receiver that
    /// peeks gets it; if this handle leaves with it, any other receiver. In each case it says [`Delivery::is_redelivered`]. That holds for a message that was peeked at once,
    /// even if this handle then receives it with another verb.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`].
    #[inline(always)]
    pub fn try_peek(&mut self) -> Result<Delivery<'_>, RecvError> {
        self.adopt_if_changed();
        let taken = self.try_next(Peeked, usize::MAX)?;
        Ok(Delivery::new(self, taken))
    }

    /// As [`Receiver::try_peek`], waiting as long as it takes.
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    #[inline(always)]
    pub fn peek(&mut self) -> Result<Delivery<'_>, RecvError> {
        self.peek_until(|| Deadline::NEVER)
    }

    /// As [`Receiver::peek`], for at most `timeout`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn peek_timeout(&mut self, timeout: Duration) -> Result<Delivery<'_>, RecvError> {
        self.peek_until(|| Deadline::after(timeout))
    }

    /// As [`Receiver::peek`], until `deadline`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn peek_deadline(&mut self, deadline: Instant) -> Result<Delivery<'_>, RecvError> {
        self.peek_until(|| Deadline::at(deadline))
    }

    fn peek_until(&mut self, deadline: impl FnOnce() -> Deadline) -> Result<Delivery<'_>, RecvError> {
        self.adopt_if_changed();
        let taken = self.next(Peeked, usize::MAX, deadline)?;
        Ok(Delivery::new(self, taken))
    }

    /// Hands up to `most` messages that are there now, at least one, to `each`, in place and in order, and says how many.
    /// They are taken together and released one by one. Never blocks. As with a frame, a receiver killed meanwhile takes
    /// along what it has taken; what a panic in `each` leaves is received next.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`]; [`RecvError::Corrupt`] also behind messages that were handed out.
    pub fn try_recv_batch(&mut self, most: usize, each: impl FnMut(&[u8])) -> Result<usize, RecvError> {
        if most == 0 {
            return Ok(0);
        }
        let first = self.try_next(Reading, usize::MAX)?;
        self.hand_out(first, most, each)
    }

    /// As [`Receiver::try_recv_batch`], waiting for the first message as long as it takes.
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    pub fn recv_batch(&mut self, most: usize, each: impl FnMut(&[u8])) -> Result<usize, RecvError> {
        self.recv_batch_until(most, each, || Deadline::NEVER)
    }

    /// As [`Receiver::recv_batch`], waiting for at most `timeout`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn recv_batch_timeout(
        &mut self,
        most: usize,
        timeout: Duration,
        each: impl FnMut(&[u8]),
    ) -> Result<usize, RecvError> {
        self.recv_batch_until(most, each, || Deadline::after(timeout))
    }

    /// As [`Receiver::recv_batch`], waiting until `deadline`. One in the past still gives what is there.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn recv_batch_deadline(
        &mut self,
        most: usize,
        deadline: Instant,
        each: impl FnMut(&[u8]),
    ) -> Result<usize, RecvError> {
        self.recv_batch_until(most, each, || Deadline::at(deadline))
    }

    fn recv_batch_until(
        &mut self,
        most: usize,
        each: impl FnMut(&[u8]),
        deadline: impl FnOnce() -> Deadline,
    ) -> Result<usize, RecvError> {
        if most == 0 {
            return Ok(0);
        }
        let first = self.next(Reading, usize::MAX, deadline)?;
        self.hand_out(first, most, each)
    }

    fn hand_out(
        &mut self,
        first: Taken,
        most: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<usize, RecvError> {
        let mut fault = Ok(());
        // Pending until shown: what is left when `each` panics is not lost.
        self.put_aside(first);
        let mut batch = Batch { receiver: self, count: 0, freed: 0 };
        loop {
            let receiver = &mut *batch.receiver;
            while let Some(&taken) = receiver.pending.front().filter(|_| batch.count < most) {
                receiver.show(&taken, &mut each);
                // The user's code may have forked, and this be the child.
                receiver.check()?;
                receiver.pending.pop_front();
                receiver.end.loans -= 1;
                receiver.end.side.release(&taken);
                batch.count += 1;
                batch.freed += 1;
            }
            let more = (most - batch.count).min(MOST_AT_ONCE);
            if more == 0 || fault.is_err() || receiver.end.side.looks_empty() {
                break;
            }
            fault = receiver.end.side.take_run(more, &mut receiver.run);
            // One of an impossible length is gone, and its slot free.
            batch.freed += usize::from(matches!(fault, Err(RecvError::Corrupt(_))));
            receiver.end.loans += receiver.run.len() as u32;
            receiver.pending.extend(receiver.run.drain(..));
            // The next verb may find its message without a second thought, and ask after nobody.
            if let Some(suspect) = receiver.end.side.suspect() {
                receiver.look_at(suspect, false);
            }
        }
        match fault {
            Err(error) if error != RecvError::Empty => Err(error),
            _ => Ok(batch.count),
        }
    }

    /// Keeps a message that was taken first among the pending ones.
    fn put_aside(&mut self, taken: Taken) {
        self.end.loans += 1;
        self.pending.push_front(taken);
    }

    /// The next message, if that takes no second thought; see [`Side::take_plain`].
    #[inline(always)]
    fn next_plain(&mut self, how: SlotKind, room: usize) -> Option<Taken> {
        let plain = self.end.is_usable() && self.pending.is_empty();
        if plain { self.end.side.take_plain(how, room) } else { None }
    }

    #[inline(always)]
    fn try_next(&mut self, how: SlotKind, room: usize) -> Result<Taken, RecvError> {
        match self.next_plain(how, room) {
            Some(taken) => Ok(taken),
            None => self.try_next_slowly(how, room),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_next_slowly(&mut self, how: SlotKind, room: usize) -> Result<Taken, RecvError> {
        self.check()?;
        if let Some(taken) = self.next_pending(room)? {
            return Ok(taken);
        }
        match self.take(how, room) {
            Err(RecvError::Empty) => self.nothing_there(how, room),
            done => done,
        }
    }

    #[inline(always)]
    fn take(&mut self, how: SlotKind, room: usize) -> Result<Taken, RecvError> {
        let taken = self.end.side.take(how, room);
        if let Some(suspect) = self.end.side.suspect() {
            self.look_at(suspect, how == Peeked);
        }
        taken.inspect_err(|error| self.end.not_taken(error))
    }

    /// What somebody left behind may be in the way of traffic that never pauses.
    #[cold]
    fn look_at(&mut self, suspect: u32, dead: bool) {
        if self.end.look_at(suspect) && self.end.members.has_left(suspect, dead) {
            self.adopt(dead);
        }
    }

    #[inline(always)]
    fn check(&self) -> Result<(), RecvError> {
        if self.end.is_usable() { Ok(()) } else { Err(self.end.recv_refusal()) }
    }

    #[inline(always)]
    fn next_pending(&mut self, room: usize) -> Result<Option<Taken>, RecvError> {
        match self.pending.front() {
            None => Ok(None),
            Some(taken) if taken.len > room => Err(RecvError::BufferTooSmall { len: taken.len, have: room }),
            Some(_) => {
                self.end.loans -= 1;
                Ok(self.pending.pop_front())
            }
        }
    }

    /// After nothing was found: once more, if somebody asked to be told of the next message.
    #[cold]
    fn settle(&mut self, how: SlotKind, room: usize) -> Result<Taken, RecvError> {
        match self.end.items.look_again(self.end.side.head()) {
            true => self.take(how, room),
            false => Err(RecvError::Empty),
        }
    }

    /// Nothing for now, or nothing for good?
    #[cold]
    fn nothing_there(&mut self, how: SlotKind, room: usize) -> Result<Taken, RecvError> {
        match self.settle(how, room) {
            Err(RecvError::Empty) if self.end.is_time_to_look() => {}
            Err(RecvError::Empty) => return Err(self.over.unwrap_or(RecvError::Empty)),
            done => return done,
        }
        let (end, swept) = ended(&self.end.members);
        if swept {
            self.end.swept();
        }
        self.over = end;
        self.adopt(how == Peeked);
        if let Some(taken) = self.next_pending(room)? {
            return Ok(taken);
        }
        // What was committed before the last one left, or died, is visible now.
        self.take(how, room).map_err(|error| match error {
            RecvError::Empty => end.unwrap_or(error),
            error => error,
        })
    }

    #[inline(always)]
    fn next(
        &mut self,
        how: SlotKind,
        room: usize,
        deadline: impl FnOnce() -> Deadline,
    ) -> Result<Taken, RecvError> {
        match self.next_plain(how, room) {
            Some(taken) => Ok(taken),
            None => self.next_slowly(how, room, deadline),
        }
    }

    #[cold]
    #[inline(never)]
    fn next_slowly(
        &mut self,
        how: SlotKind,
        room: usize,
        deadline: impl FnOnce() -> Deadline,
    ) -> Result<Taken, RecvError> {
        self.check()?;
        if let Some(taken) = self.next_pending(room)? {
            return Ok(taken);
        }
        match self.take(how, room) {
            Err(RecvError::Empty) => self.wait_take(how, room, deadline()),
            done => done,
        }
    }

    #[cold]
    fn wait_take(&mut self, how: SlotKind, room: usize, deadline: Deadline) -> Result<Taken, RecvError> {
        let End { side, members, items, space, strategy, last_look, .. } = &mut self.end;
        let swept = || {
            items.notify_all();
            space.notify_all();
        };
        let adopted = &mut self.pending;
        let (mut taken, mut left) = (None, false);
        let ready = |look| {
            side.glances(look == Look::Glance);
            if !side.looks_empty() {
                taken = Some(side.take(how, room)).filter(|taken| !matches!(taken, Err(RecvError::Empty)));
                if let Some(suspect) = side.suspect().filter(|_| last_look.passed(LOOK)) {
                    if members.look_at(suspect) {
                        swept();
                    }
                    left |= members.has_left(suspect, how == Peeked);
                }
            }
            if taken.is_some() { Found::Ready } else { Found::Nothing }
        };
        let gone = || {
            if members.look_around() {
                swept();
            }
            let (end, swept_more) = ended(members);
            if swept_more {
                swept();
            }
            adopted.extend(members.adopt(how == Peeked));
            if adopted.is_empty() { end } else { Some(RecvError::Empty) }
        };
        let waited = items.wait_looking(*strategy, deadline, ready, gone);
        self.end.side.glances(false);
        // There were none before.
        self.end.loans += self.pending.len() as u32;
        if left {
            self.adopt(how == Peeked);
        }
        if let Some(taken) = taken {
            return taken.inspect_err(|error| {
                self.end.not_taken(error);
                self.end.items.notify();
            });
        }
        if let Some(taken) = self.next_pending(room)? {
            return Ok(taken);
        }
        let over = match waited {
            Waited::Ended(error) => error,
            _ => RecvError::TimedOut,
        };
        let taken = self.take(how, room).or_else(|error| match error {
            RecvError::Empty => self.settle(how, room),
            error => Err(error),
        });
        taken.map_err(|error| {
            if error == RecvError::Empty {
                return over;
            }
            // Whoever was woken for a message and leaves it wakes another.
            self.end.items.notify();
            error
        })
    }

    /// Takes over what receivers that are gone did not acknowledge, if the participants have changed.
    #[inline(always)]
    fn adopt_if_changed(&mut self) {
        let changes = self.end.members.changes();
        self.peeks += 1;
        if (changes != self.adopted_at || self.peeks >= PEEKS_PER_CLOCK) && self.end.is_usable() {
            self.adopt_now(changes);
        }
    }

    #[cold]
    fn adopt_now(&mut self, changes: u32) {
        self.peeks = 0;
        // Whoever wrote down that something was left may have been killed before it counted that.
        if changes != self.adopted_at || self.last_adoption.passed(LOOK_AGAIN) {
            self.adopted_at = changes;
            self.end.look_around();
            self.adopt(true);
        }
    }

    #[cold]
    fn adopt(&mut self, dead: bool) {
        let adopted = self.end.members.adopt(dead);
        self.end.loans += adopted.len() as u32;
        self.pending.extend(adopted);
    }

    /// Why there is none.
    #[doc(hidden)]
    #[must_use]
    pub fn no_desk(&self) -> Error {
        match self.end.members.is_seated() {
            true => Error::Forked { name: self.end.members.host().ring() },
            false => Error::Unattached,
        }
    }

    /// For `notify`: what a request to be told rests on. Not in a forked child, nor of a clone that found no place.
    #[doc(hidden)]
    pub fn desk(&mut self) -> Option<Desk<'_, SlotView>> {
        let Receiver { end, request, .. } = self;
        let (host, watch) = (end.members.host(), end.items.watch());
        end.is_usable().then(|| Desk { host, watch, view: end.side.view(), request })
    }

    /// The longest message in bytes: a buffer of this size is never too small.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.end.side.view().max_len()
    }

    /// How many messages fit into the ring.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.end.side.view().slots() as usize
    }

    /// Messages in the ring and operations in flight. May be stale at once.
    #[must_use]
    pub fn approx_len(&self) -> usize {
        self.end.side.in_flight() as usize
    }

    /// Whether there was nothing to receive a moment ago.
    #[must_use]
    pub fn was_empty(&self) -> bool {
        self.pending.is_empty() && self.end.side.holds_nothing()
    }

    /// How many senders live. Asks the kernel, one syscall each. A clone that found no place, and a handle in a forked child,
    /// cannot ask: they count who is attached on paper, whether it lives or not.
    #[must_use]
    pub fn senders(&self) -> usize {
        self.end.members.live(SENDER)
    }

    /// As [`Sender::set_strategy`].
    ///
    /// # Errors
    /// [`NoWakeup`] for `Park` on a ring that was made without a wake-up object.
    pub fn set_strategy(&mut self, strategy: WaitStrategy) -> Result<(), NoWakeup> {
        self.end.set_strategy(strategy)
    }

    /// Leaves the ring cleanly. The same as dropping the handle.
    pub fn close(self) {}
}

/// A batch that is being handed out. However that ends, also with a panic, those are woken who wait for its slots.
struct Batch<'a> {
    receiver: &'a mut Receiver,
    /// Messages handed out.
    count: usize,
    /// Slots given back.
    freed: usize,
}

impl Drop for Batch<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.receiver.end.is_usable() {
            self.receiver.end.space.notify_many(self.freed);
        }
    }
}

/// How the senders have ended, if they have, and whether anything was swept.
fn ended(members: &Members) -> (Option<RecvError>, bool) {
    let (end, swept) = members.ended_and_swept(SENDER);
    (end.map(|died| died.map_or(RecvError::Closed, |pid| RecvError::PeerDied { pid })), swept)
}

impl Clone for Receiver {
    /// As [`Receiver::try_clone`]; a clone that fails is one whose verbs all say [`RecvError::Unattached`].
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(|_| Self::of(self.end.outside()))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.request.take());
        if self.end.is_usable() {
            // Taken in a batch and never handed out: kept for a receiver that peeks.
            let (view, me) = (self.end.side.view(), self.end.members.me());
            self.pending.iter().for_each(|taken| keep(view, me, taken));
        }
        self.end.leave();
    }
}
