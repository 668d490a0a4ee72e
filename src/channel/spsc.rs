//! [`Producer`] and [`Consumer`]: the SPSC ring's verbs with waiting, wake-ups and the knowledge of who is there.
//!
//! Everything that was committed is delivered: a consumer hears that the producer left or died only when nothing is
//! left to read, and a producer may fill a ring that nobody reads yet, for whoever comes next.
#![forbid(unsafe_code)]

use crate::channel::loan::spsc::{Frame, Grant, RecvBatch, SendBatch};
use crate::channel::{Desk, Host, NoWakeup, Peer, Seat, default_strategy, supported};
use crate::error::{Corrupt, RecvError, SendError};
use crate::event::{Event, WaitStrategy, Waited, Waiters};
use crate::layout::{CLOSED, CONSUMER, PRODUCER};
use crate::ring::observe::spsc_holds_before;
use crate::ring::spsc::{Claim, ConsumerSide, ProducerSide, Record};
use crate::sync::{Deadline, TRIES_PER_LEASE_CHECK, fork_epoch, spin_hint};
use crate::view::View;
use std::time::{Duration, Instant};

/// The sending end of an SPSC ring. At most one lives per ring, in all processes; see `Ring::producer`.
///
/// `Send`, not `Sync`: one thread at a time. Not usable in a forked child ([`SendError::Forked`]).
/// Dropping it closes the ring cleanly: the consumer reads what is there and then gets [`RecvError::Closed`].
pub struct Producer {
    pub(super) side: ProducerSide,
    pub(super) items: Event,
    space: Event,
    strategy: WaitStrategy,
    /// Private memory to fill and to copy from, if the peers are not trusted.
    pub(super) bounce: Option<Vec<u8>>,
    host: Box<dyn Host>,
    epoch: u32,
}

/// The receiving end of an SPSC ring. At most one lives per ring, in all processes; see `Ring::consumer`.
///
/// `Send`, not `Sync`: one thread at a time. Not usable in a forked child ([`RecvError::Forked`]).
/// Dropping it leaves unread messages in the ring, for a successor.
pub struct Consumer {
    pub(super) side: ConsumerSide,
    items: Event,
    pub(super) space: Event,
    strategy: WaitStrategy,
    /// Private memory to copy to and to read from, if the peers are not trusted.
    pub(super) bounce: Option<Vec<u8>>,
    host: Box<dyn Host>,
    epoch: u32,
    empty_tries: u32,
    /// Messages received since the last wait.
    run: u32,
    request: Option<Box<dyn Send>>,
}

/// See [`Consumer::slip`]; in `pause`s.
const MAX_SLIP: u32 = 48;
const MESSAGES_PER_PAUSE: u32 = 4;

fn events(view: &View) -> (Event, Event) {
    let event = |line| Event::new(line, view.geometry.wakeup, view.geometry.asymmetric, Waiters::One);
    (event(view.header.project(|h| &h.items)), event(view.header.project(|h| &h.space)))
}

impl Producer {
    /// Attaches the holder of the producer's lease.
    #[doc(hidden)]
    pub fn attach(view: View, seat: Seat) -> Result<Self, Corrupt> {
        let (items, space) = events(&view);
        let strategy = default_strategy(view.geometry.wakeup);
        let side = ProducerSide::resume(view)?;
        side.view().header.parties[PRODUCER].attach(seat.pid, 0, seat.now_ns);
        // For a victim that committed and did not come to say so.
        items.notify_all();
        let bounce = (!seat.trusted).then(Vec::new);
        Ok(Producer { side, items, space, strategy, bounce, host: seat.host, epoch: fork_epoch() })
    }

    /// Sends a copy of `message` if there is room now. Never blocks; no syscall unless the consumer sleeps.
    ///
    /// # Errors
    /// [`SendError::Full`], also if nobody is left to make room, which [`Producer::peer`] tells and every verb that waits;
    /// [`SendError::TooLarge`], [`SendError::Forked`], [`SendError::Corrupt`].
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        let claim = self.claim(message.len())?;
        self.fill(claim, message);
        Ok(())
    }

    /// Sends a copy of `message`, waiting for room as long as it takes.
    ///
    /// # Errors
    /// As [`Producer::try_send`], but never `Full`; [`SendError::Closed`] or [`SendError::PeerDied`] if there is no
    /// room and no consumer to make some.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        let claim = self.wait_claim(message.len(), || Deadline::NEVER)?;
        self.fill(claim, message);
        Ok(())
    }

    /// As [`Producer::send`], for at most `timeout`.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`].
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        let claim = self.wait_claim(message.len(), || Deadline::after(timeout))?;
        self.fill(claim, message);
        Ok(())
    }

    /// As [`Producer::send`], until `deadline`. A deadline in the past still sends if there is room.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`].
    pub fn send_deadline(&mut self, message: &[u8], deadline: Instant) -> Result<(), SendError> {
        let claim = self.wait_claim(message.len(), || Deadline::at(deadline))?;
        self.fill(claim, message);
        Ok(())
    }

    /// Room for a message of up to `max` bytes, to fill in place, if there is some now. Never blocks.
    ///
    /// # Errors
    /// As [`Producer::try_send`].
    #[inline(always)]
    pub fn try_reserve(&mut self, max: usize) -> Result<Grant<'_>, SendError> {
        let claim = self.claim(max)?;
        Ok(Grant::new(self, claim, max))
    }

    /// Room for a message of up to `max` bytes, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`Producer::send`].
    #[inline(always)]
    pub fn reserve(&mut self, max: usize) -> Result<Grant<'_>, SendError> {
        let claim = self.wait_claim(max, || Deadline::NEVER)?;
        Ok(Grant::new(self, claim, max))
    }

    /// As [`Producer::reserve`], for at most `timeout`.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`].
    pub fn reserve_timeout(&mut self, max: usize, timeout: Duration) -> Result<Grant<'_>, SendError> {
        let claim = self.wait_claim(max, || Deadline::after(timeout))?;
        Ok(Grant::new(self, claim, max))
    }

    /// As [`Producer::reserve`], until `deadline`.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`].
    pub fn reserve_deadline(&mut self, max: usize, deadline: Instant) -> Result<Grant<'_>, SendError> {
        let claim = self.wait_claim(max, || Deadline::at(deadline))?;
        Ok(Grant::new(self, claim, max))
    }

    /// A batch to push messages into, which become visible together, by one store. Never blocks.
    ///
    /// # Errors
    /// [`SendError::Forked`].
    pub fn batch(&mut self) -> Result<SendBatch<'_>, SendError> {
        if self.is_inherited() {
            return Err(SendError::Forked);
        }
        let batch = self.side.batch();
        Ok(SendBatch { producer: self, batch })
    }

    /// Waits until the consumer has released everything, for at most `timeout` (`None`: as long as it takes), the way
    /// this handle waits.
    ///
    /// # Errors
    /// [`SendError::TimedOut`]; [`SendError::Closed`] or [`SendError::PeerDied`] if the consumer is gone and messages
    /// are left (they stay for its successor).
    pub fn wait_drained(&mut self, timeout: Option<Duration>) -> Result<(), SendError> {
        if self.is_inherited() {
            return Err(SendError::Forked);
        }
        let deadline = timeout.map_or(Deadline::NEVER, Deadline::after);
        let Producer { side, space, host, strategy, .. } = self;
        let gone = || gone(side.view().header.parties[CONSUMER].peer(|| host.is_held(CONSUMER)));
        space.ask_for(side.tail());
        let waited = space.wait(*strategy, deadline, || side.in_flight() == 0, gone);
        match waited {
            Waited::Ready => Ok(()),
            _ if side.in_flight() == 0 => Ok(()),
            Waited::Ended(error) => Err(error),
            Waited::TimedOut => Err(SendError::TimedOut),
        }
    }

    /// The consumer. Asks the kernel, one syscall. Of no use in a forked child that inherited the handle.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.side.view().header.parties[CONSUMER].peer(|| self.host.is_held(CONSUMER))
    }

    /// The longest message in bytes.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.side.view().geometry.max_len()
    }

    /// The data area in bytes, record headers and padding included.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.side.view().geometry.capacity as usize
    }

    /// Bytes committed and not released, headers and padding included. May be stale at once.
    #[must_use]
    pub fn approx_len(&self) -> usize {
        self.side.in_flight() as usize
    }

    /// Changes how this handle waits. The default is [`WaitStrategy::Park`], or `Yield` on a ring without wake-up.
    ///
    /// # Errors
    /// [`NoWakeup`] for `Park` on a ring that was made without a wake-up object.
    pub fn set_strategy(&mut self, strategy: WaitStrategy) -> Result<(), NoWakeup> {
        self.strategy = supported(strategy, self.side.view().geometry.wakeup)?;
        Ok(())
    }

    /// Leaves the ring cleanly. The same as dropping the handle.
    pub fn close(self) {}

    /// Whether this is a copy that a forked child has of its parent's handle. It must not touch the ring.
    #[inline(always)]
    pub(super) fn is_inherited(&self) -> bool {
        self.epoch != fork_epoch()
    }

    #[inline(always)]
    fn claim(&mut self, max: usize) -> Result<Claim, SendError> {
        match self.claim_plain(max) {
            Some(claim) => Ok(claim),
            None => self.claim_slowly(max),
        }
    }

    #[inline(always)]
    fn wait_claim(&mut self, max: usize, deadline: impl FnOnce() -> Deadline) -> Result<Claim, SendError> {
        match self.claim_plain(max) {
            Some(claim) => Ok(claim),
            None => self.wait_claim_slowly(max, deadline),
        }
    }

    #[inline(always)]
    fn claim_plain(&self, max: usize) -> Option<Claim> {
        if self.is_inherited() { None } else { self.side.claim_plain(max) }
    }

    #[cold]
    #[inline(never)]
    fn claim_slowly(&mut self, max: usize) -> Result<Claim, SendError> {
        if self.is_inherited() {
            return Err(SendError::Forked);
        }
        self.side.claim(max)
    }

    #[cold]
    #[inline(never)]
    fn wait_claim_slowly(
        &mut self,
        max: usize,
        deadline: impl FnOnce() -> Deadline,
    ) -> Result<Claim, SendError> {
        match self.claim_slowly(max) {
            Err(SendError::Full) => self.wait_not_full(max, deadline()),
            done => done,
        }
    }

    fn wait_not_full(&mut self, max: usize, deadline: Deadline) -> Result<Claim, SendError> {
        let Producer { side, space, host, strategy, .. } = self;
        let consumer = side.view().header.project(|h| &h.parties[CONSUMER]);
        space.ask_for(side.enough_room(max));
        loop {
            let gone = || gone(consumer.peer(|| host.is_held(CONSUMER)));
            let ready = || !matches!(side.claim(max), Err(SendError::Full));
            let waited = space.wait(*strategy, deadline, ready, gone);
            match (side.claim(max), waited) {
                (Err(SendError::Full), Waited::Ended(error)) => return Err(error),
                (Err(SendError::Full), Waited::TimedOut) => return Err(SendError::TimedOut),
                (Err(SendError::Full), Waited::Ready) => {}
                (done, _) => return done,
            }
        }
    }

    #[inline(always)]
    fn fill(&mut self, claim: Claim, message: &[u8]) {
        self.side.write(&claim, message);
        self.side.commit_all(claim, message.len());
        self.announce();
    }

    /// Says that something was committed.
    #[inline(always)]
    pub(super) fn announce(&self) {
        let side = &self.side;
        self.items.notify_news(1, || side.tail(), |position| spsc_holds_before(side.view(), position));
    }
}

fn gone(consumer: Peer) -> Option<SendError> {
    match consumer {
        Peer::Closed => Some(SendError::Closed),
        Peer::Died { pid } => Some(SendError::PeerDied { pid }),
        Peer::Absent | Peer::Attached { .. } => None,
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if !self.is_inherited() {
            self.side.view().header.parties[PRODUCER].close();
            self.items.notify_all();
        }
    }
}

impl Consumer {
    /// Attaches the holder of the consumer's lease.
    #[doc(hidden)]
    pub fn attach(view: View, seat: Seat) -> Result<Self, Corrupt> {
        let (items, space) = events(&view);
        let strategy = default_strategy(view.geometry.wakeup);
        let side = ConsumerSide::resume(view)?;
        side.view().header.parties[CONSUMER].attach(seat.pid, 0, seat.now_ns);
        // For a victim that released and did not come to say so.
        space.notify_all();
        let bounce = (!seat.trusted).then(Vec::new);
        Ok(Consumer {
            side,
            items,
            space,
            strategy,
            bounce,
            host: seat.host,
            epoch: fork_epoch(),
            empty_tries: 0,
            run: 0,
            request: None,
        })
    }

    /// Copies the next message into `buffer` and says how long it is. Never blocks; no syscall unless the producer
    /// sleeps.
    ///
    /// # Errors
    /// [`RecvError::Empty`]; [`RecvError::BufferTooSmall`], the message stays; [`RecvError::Closed`] and
    /// [`RecvError::PeerDied`] when everything was read (a death is noticed by one of 16,384 calls in a row that find
    /// nothing, or at once by [`Consumer::peer`]); [`RecvError::Forked`]; [`RecvError::Corrupt`].
    #[inline]
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        let record = self.next()?;
        self.take(record, buffer)
    }

    /// Copies the next message into `buffer`, waiting as long as it takes, and says how long it is.
    ///
    /// # Errors
    /// As [`Consumer::try_recv`], but never `Empty`; a death is noticed within 100 ms.
    #[inline]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        let record = self.wait_next(|| Deadline::NEVER)?;
        self.take(record, buffer)
    }

    /// As [`Consumer::recv`], for at most `timeout`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn recv_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, RecvError> {
        let record = self.wait_next(|| Deadline::after(timeout))?;
        self.take(record, buffer)
    }

    /// As [`Consumer::recv`], until `deadline`. A deadline in the past still receives if a message is there.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn recv_deadline(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, RecvError> {
        let record = self.wait_next(|| Deadline::at(deadline))?;
        self.take(record, buffer)
    }

    /// The next message in place, if there is one. Never blocks.
    ///
    /// # Errors
    /// As [`Consumer::try_recv`].
    #[inline(always)]
    pub fn try_frame(&mut self) -> Result<Frame<'_>, RecvError> {
        let record = self.next()?;
        Ok(Frame::new(self, record))
    }

    /// The next message in place, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`Consumer::recv`].
    #[inline(always)]
    pub fn frame(&mut self) -> Result<Frame<'_>, RecvError> {
        let record = self.wait_next(|| Deadline::NEVER)?;
        Ok(Frame::new(self, record))
    }

    /// As [`Consumer::frame`], for at most `timeout`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn frame_timeout(&mut self, timeout: Duration) -> Result<Frame<'_>, RecvError> {
        let record = self.wait_next(|| Deadline::after(timeout))?;
        Ok(Frame::new(self, record))
    }

    /// As [`Consumer::frame`], until `deadline`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn frame_deadline(&mut self, deadline: Instant) -> Result<Frame<'_>, RecvError> {
        let record = self.wait_next(|| Deadline::at(deadline))?;
        Ok(Frame::new(self, record))
    }

    /// Up to `max` messages in place, released together by one store when the batch is dropped. Never blocks. A
    /// consumer killed before that leaves all of them to its successor.
    ///
    /// # Errors
    /// As [`Consumer::try_frame`] if there is not even one.
    #[inline]
    pub fn try_batch(&mut self, max: usize) -> Result<RecvBatch<'_>, RecvError> {
        let first = self.next()?;
        Ok(RecvBatch::new(self, first, max))
    }

    /// As [`Consumer::try_batch`], waiting for the first message as long as it takes.
    ///
    /// # Errors
    /// As [`Consumer::frame`].
    #[inline]
    pub fn batch(&mut self, max: usize) -> Result<RecvBatch<'_>, RecvError> {
        let first = self.wait_next(|| Deadline::NEVER)?;
        Ok(RecvBatch::new(self, first, max))
    }

    /// As [`Consumer::batch`], waiting for at most `timeout`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn batch_timeout(&mut self, max: usize, timeout: Duration) -> Result<RecvBatch<'_>, RecvError> {
        let first = self.wait_next(|| Deadline::after(timeout))?;
        Ok(RecvBatch::new(self, first, max))
    }

    /// As [`Consumer::batch`], waiting until `deadline`. One in the past still gives what is there.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn batch_deadline(&mut self, max: usize, deadline: Instant) -> Result<RecvBatch<'_>, RecvError> {
        let first = self.wait_next(|| Deadline::at(deadline))?;
        Ok(RecvBatch::new(self, first, max))
    }

    /// The producer. Asks the kernel, one syscall. Of no use in a forked child that inherited the handle.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.side.view().header.parties[PRODUCER].peer(|| self.host.is_held(PRODUCER))
    }

    /// The longest message in bytes: a buffer of this size is never too small.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.side.view().geometry.max_len()
    }

    /// The data area in bytes, record headers and padding included.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.side.view().geometry.capacity as usize
    }

    /// Whether there was nothing to read a moment ago.
    #[must_use]
    pub fn was_empty(&self) -> bool {
        !self.side.has_news()
    }

    /// Changes how this handle waits. The default is [`WaitStrategy::Park`], or `Yield` on a ring without wake-up.
    ///
    /// # Errors
    /// [`NoWakeup`] for `Park` on a ring that was made without a wake-up object.
    pub fn set_strategy(&mut self, strategy: WaitStrategy) -> Result<(), NoWakeup> {
        self.strategy = supported(strategy, self.side.view().geometry.wakeup)?;
        Ok(())
    }

    /// Leaves the ring cleanly. The same as dropping the handle.
    pub fn close(self) {}

    /// Whether this is a copy that a forked child has of its parent's handle. It must not touch the ring.
    #[inline(always)]
    pub(super) fn is_inherited(&self) -> bool {
        self.epoch != fork_epoch()
    }

    #[inline(always)]
    fn next(&mut self) -> Result<Record, RecvError> {
        if self.is_inherited() {
            return Err(RecvError::Forked);
        }
        if !self.side.has_record() {
            self.without_waiting()?;
        }
        Ok(self.side.record())
    }

    /// Nothing plain there: a message behind padding, or nothing for now, or nothing for good? The peer's word is asked
    /// every time, the kernel now and then.
    #[inline(never)]
    fn without_waiting(&mut self) -> Result<(), RecvError> {
        if self.find_or_settle()? {
            return Ok(());
        }
        let producer = &self.side.view().header.parties[PRODUCER];
        self.empty_tries += 1;
        if producer.state().state() != CLOSED && self.empty_tries < TRIES_PER_LEASE_CHECK {
            return Err(RecvError::Empty);
        }
        self.empty_tries = 0;
        let end = ended(producer.peer(|| self.host.is_held(PRODUCER)));
        // What was committed before the good-bye, or before the death, is visible now.
        if self.find()? { Ok(()) } else { Err(end.unwrap_or(RecvError::Empty)) }
    }

    fn find(&mut self) -> Result<bool, RecvError> {
        self.side.find().map_err(RecvError::Corrupt)
    }

    /// The same, and if there is nothing, a producer that is to tell of the next message knows that there is nothing.
    fn find_or_settle(&mut self) -> Result<bool, RecvError> {
        Ok(self.find()? || self.items.look_again(self.side.head()) && self.find()?)
    }

    /// What people call the ring.
    #[doc(hidden)]
    #[must_use]
    pub fn ring(&self) -> String {
        self.host.ring()
    }

    /// For `notify`: what a request to be told rests on. Not in a forked child.
    #[doc(hidden)]
    pub fn desk(&mut self) -> Option<Desk<'_, View>> {
        let inherited = self.is_inherited();
        let Consumer { side, items, host, request, .. } = self;
        (!inherited).then(|| Desk { host: &**host, watch: items.watch(), view: side.view(), request })
    }

    #[inline(always)]
    fn wait_next(&mut self, deadline: impl FnOnce() -> Deadline) -> Result<Record, RecvError> {
        if self.is_inherited() {
            return Err(RecvError::Forked);
        }
        self.run = self.run.saturating_add(1);
        if !self.side.has_record() {
            self.wait_not_empty(deadline())?;
        }
        Ok(self.side.record())
    }

    #[inline(never)]
    fn wait_not_empty(&mut self, deadline: Deadline) -> Result<(), RecvError> {
        self.slip();
        loop {
            let Consumer { side, items, host, strategy, .. } = self;
            let producer = &side.view().header.parties[PRODUCER];
            let gone = || ended(producer.peer(|| host.is_held(PRODUCER)));
            let waited = items.wait(*strategy, deadline, || side.has_news(), gone);
            if self.find_or_settle()? {
                return Ok(());
            }
            match waited {
                Waited::Ready => {}
                Waited::Ended(error) => return Err(error),
                Waited::TimedOut => return Err(RecvError::TimedOut),
            }
        }
    }

    /// A consumer at the producer's heels takes each cache line away before it is full. So the longer the messages came
    /// without a wait, the longer the producer is left alone now, up to about a microsecond: a stream comes in bursts,
    /// and a message that was waited for is not delayed.
    fn slip(&mut self) {
        if self.strategy != WaitStrategy::Yield {
            (0..(self.run / MESSAGES_PER_PAUSE).min(MAX_SLIP)).for_each(|_| spin_hint());
        }
        self.run = 0;
    }

    #[inline(always)]
    fn take(&mut self, record: Record, buffer: &mut [u8]) -> Result<usize, RecvError> {
        let len = record.len;
        let Some(buffer) = buffer.get_mut(..len) else {
            return Err(RecvError::BufferTooSmall { len, have: buffer.len() });
        };
        self.side.read(record, buffer);
        self.side.release(record.next);
        self.space.notify_at(record.next);
        Ok(len)
    }
}

fn ended(producer: Peer) -> Option<RecvError> {
    match producer {
        Peer::Closed => Some(RecvError::Closed),
        Peer::Died { pid } => Some(RecvError::PeerDied { pid }),
        Peer::Absent | Peer::Attached { .. } => None,
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        drop(self.request.take());
        if !self.is_inherited() {
            self.side.view().header.parties[CONSUMER].close();
            self.space.notify_all();
        }
    }
}
