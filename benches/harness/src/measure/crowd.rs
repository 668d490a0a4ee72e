//! Many senders and receivers at one mechanism: how many messages a second all of them move together.
//!
//! Sender k and receiver k never share a core, and where there are as many of both, every core gets as many of both. Each message says whose it is and the
//! how-manieth. A receiver checks every byte, and that each sender's messages come in order; together the receivers must
//! have had each message of each sender exactly once (how many, their numbers' sum and the sum of the squares). The
//! sender that is done last tells the receivers to stop. The clock runs from the first sender's start to the last
//! receiver's end.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Setting, ThroughputReading, bracketed};
use crate::atomics::{FutexWord, Word};
use crate::error::HarnessError;
use crate::mechanism::{Mechanism, ReceiveMany, ReceiveMessage, SendMany};
use crate::payload::{Registers, Source, Verdict, check_tagged_size, claimed_seq, send_many, verdict};
use crate::process::Meeting;
use crate::reference::Bracket;
use crate::shared::{Line, Shared};
use crate::team::threads;
use crate::usage::Usage;

/// The most senders, and the most receivers, that can be measured.
pub const MOST_PAIRS: usize = 8;
/// A message's number: whose it is, above this many bits of how many it has sent before.
const SENDER_SHIFT: u32 = 40;

/// What the members are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// A process each.
    Processes,
    /// A thread each, all of one process.
    Threads,
}

/// How many send and how many receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    /// Senders, from 1 to [`MOST_PAIRS`].
    pub senders: usize,
    /// Receivers, from 1 to [`MOST_PAIRS`].
    pub receivers: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.senders, self.receivers)
    }
}

enum Role {
    /// The sender of this number.
    Sends(usize),
    Receives,
}

impl Shape {
    /// As many of both.
    pub const fn pairs(count: usize) -> Shape {
        Shape { senders: count, receivers: count }
    }

    fn members(self) -> usize {
        self.senders + self.receivers
    }

    /// Of two neighbours one sends and one receives, on different cores, and the next two the other way round; then come
    /// those without a partner.
    fn role(self, number: usize) -> Role {
        let (couple, couples) = (number / 2, self.senders.min(self.receivers));
        match couple < couples {
            true if number % 2 == couple % 2 => Role::Sends(couple),
            true => Role::Receives,
            false if self.senders > couples => Role::Sends(number - couples),
            false => Role::Receives,
        }
    }

    fn check(self) -> Result<(), HarnessError> {
        let fits = |count| (1..=MOST_PAIRS).contains(&count);
        if fits(self.senders) && fits(self.receivers) {
            return Ok(());
        }
        let what = format!("{self}; from 1 to {MOST_PAIRS} senders and receivers can be measured");
        Err(HarnessError::BadOption { what })
    }
}

/// A crowd of processes at one mechanism, message by message. Each makes its end of what was prepared before all forks.
pub fn many<M: Mechanism>(
    setting: &Setting,
    size: usize,
    shape: Shape,
) -> Result<ThroughputReading, HarnessError> {
    let setting = *setting;
    measure::<M>(&setting, size, shape, move |way, board| {
        let way = RefCell::new(Some(way));
        setting.pair.crowd(shape.members(), |number, meeting| {
            // Each member is a process and takes its own copy.
            let own = way.take().ok_or(HarnessError::Closed)?;
            share::<M, Singly>(&setting, size, shape, number, own, board, meeting)
        })
    })
}

/// A crowd at one mechanism, message by message.
pub fn crowd<M: Mechanism + Clone + Send + Sync + 'static>(
    setting: &Setting,
    size: usize,
    pairs: usize,
    members: Members,
) -> Result<ThroughputReading, HarnessError> {
    cloned::<M, Singly>(setting, size, pairs, members)
}

/// As [`crowd`], sent `N` at once and received up to `N` at once.
pub fn crowd_batched<M: Mechanism + Clone + Send + Sync + 'static, const N: usize>(
    setting: &Setting,
    size: usize,
    pairs: usize,
    members: Members,
) -> Result<ThroughputReading, HarnessError>
where
    M::Sender: SendMany,
    M::Receiver: ReceiveMany,
{
    cloned::<M, ByN<N>>(setting, size, pairs, members)
}

/// How messages go: one by one, or several at once.
trait Gait<M: Mechanism>: 'static {
    /// How many are sent at once, and received at most.
    const COUNT: u64;

    fn send(to: &mut M::Sender, size: usize, seq: u64) -> Result<(), HarnessError>;

    fn receive(from: &mut M::Receiver, size: usize, look: impl FnMut(&[u8])) -> Result<(), HarnessError>;
}

enum Singly {}

impl<M: Mechanism> Gait<M> for Singly {
    const COUNT: u64 = 1;

    #[inline(always)]
    fn send(to: &mut M::Sender, size: usize, seq: u64) -> Result<(), HarnessError> {
        Registers::new(size).send(to, seq, false)
    }

    #[inline(always)]
    fn receive(from: &mut M::Receiver, size: usize, mut look: impl FnMut(&[u8])) -> Result<(), HarnessError> {
        from.receive(size, |message| look(message))
    }
}

enum ByN<const N: usize> {}

impl<M: Mechanism, const N: usize> Gait<M> for ByN<N>
where
    M::Sender: SendMany,
    M::Receiver: ReceiveMany,
{
    const COUNT: u64 = N as u64;

    #[inline(always)]
    fn send(to: &mut M::Sender, size: usize, seq: u64) -> Result<(), HarnessError> {
        send_many::<Registers, _>(to, size, N, seq, false)
    }

    #[inline(always)]
    fn receive(from: &mut M::Receiver, size: usize, look: impl FnMut(&[u8])) -> Result<(), HarnessError> {
        from.receive_many(size, N, look)
    }
}

/// What both measuring processes see.
struct Board {
    /// How many senders are done.
    done: Shared<Line<Word>>,
    /// 1 once the crowd has gone home; the answering process sleeps until then.
    over: Shared<Line<FutexWord>>,
}

fn cloned<M: Mechanism + Clone + Send + Sync + 'static, G: Gait<M>>(
    setting: &Setting,
    size: usize,
    pairs: usize,
    members: Members,
) -> Result<ThroughputReading, HarnessError> {
    let (setting, shape) = (*setting, Shape::pairs(pairs));
    measure::<M>(&setting, size, shape, move |way, board| {
        let board = board.clone();
        let work = move |number: usize, meeting: &Meeting<'_>| {
            share::<M, G>(&setting, size, shape, number, way.clone(), &board, meeting)
        };
        match members {
            Members::Processes => setting.pair.crowd(shape.members(), work),
            Members::Threads => threads(setting.pair.cores, shape.members(), work),
        }
    })
}

fn measure<M: Mechanism>(
    setting: &Setting,
    size: usize,
    shape: Shape,
    start: impl FnOnce(M, &Arc<Board>) -> Result<Vec<Share>, HarnessError>,
) -> Result<ThroughputReading, HarnessError> {
    check_tagged_size(size)?;
    shape.check()?;
    let (bracket, (shares, usage), ()) = bracketed(
        setting,
        (M::prepare(size)?, Arc::new(Board { done: Shared::new()?, over: Shared::new()? })),
        |_, (way, board)| {
            let before = Usage::with_children()?;
            let shares = start(way, &board);
            let usage = Usage::with_children()? - before;
            // ord(crowd.over) AcqRel -> the other process: nothing but the news.
            board.over.0.swap_acqrel(1);
            board.over.0.wake_one().map_err(|errno| HarnessError::os("waking the other process", errno))?;
            Ok((shares?, usage))
        },
        |_, (_, board)| {
            // The members need both cores.
            // ord(crowd.over) Acquire <- the starting process.
            while board.over.0.load_acquire() == 0 {
                let slept = board.over.0.sleep_while(0);
                slept.map_err(|errno| HarnessError::os("sleeping meanwhile", errno))?;
            }
            Ok(())
        },
    )?;
    reading(setting, bracket, &shares, usage)
}

/// What one member did.
#[derive(Debug, Serialize, Deserialize)]
enum Share {
    Sent { sender: usize, start: u64, messages: u64 },
    Received { end: u64, tallies: Vec<Tally> },
}

/// Messages of one sender, as one receiver had them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    count: u64,
    sum: u64,
    squares: u64,
    /// The least number that may come next.
    next: u64,
}

impl Tally {
    /// The tally of whoever has the first `count` messages.
    fn of_first(count: u64) -> Tally {
        let (all, last) = (u128::from(count), u128::from(count.saturating_sub(1)));
        let (sum, squares) = (all * last / 2, all * last * (2 * last + 1) / 6);
        Tally { count, sum: sum as u64, squares: squares as u64, next: count }
    }

    /// Counts message `number`; whether it comes in order.
    #[inline(always)]
    fn count(&mut self, number: u64) -> bool {
        let in_order = number >= self.next;
        *self = Tally {
            count: self.count + 1,
            sum: self.sum.wrapping_add(number),
            squares: self.squares.wrapping_add(number.wrapping_mul(number)),
            next: number + 1,
        };
        in_order
    }

    /// Both together.
    fn with(self, other: &Tally) -> Tally {
        Tally {
            count: self.count + other.count,
            sum: self.sum.wrapping_add(other.sum),
            squares: self.squares.wrapping_add(other.squares),
            next: self.next.max(other.next),
        }
    }
}

/// A member's work.
fn share<M: Mechanism, G: Gait<M>>(
    setting: &Setting,
    size: usize,
    shape: Shape,
    number: usize,
    way: M,
    board: &Board,
    meeting: &Meeting<'_>,
) -> Result<Share, HarnessError> {
    match shape.role(number) {
        Role::Sends(sender) => {
            send_share::<M, G>(setting, size, sender, shape, way.sender()?, board, meeting)
        }
        Role::Receives => receive_share::<M, G>(setting, size, way.receiver()?, meeting),
    }
}

fn send_share<M: Mechanism, G: Gait<M>>(
    setting: &Setting,
    size: usize,
    sender: usize,
    shape: Shape,
    mut to: M::Sender,
    board: &Board,
    meeting: &Meeting<'_>,
) -> Result<Share, HarnessError> {
    meeting.meet();
    let start = setting.clock.now();
    let deadline = start + setting.clock.ticks(setting.budget);
    let burst = (512 / G::COUNT).max(1);
    let mut messages = 0;
    // Who loses its core for all of the budget sends nevertheless: there is no rate of nothing.
    loop {
        for _ in 0..burst {
            G::send(&mut to, size, (sender as u64) << SENDER_SHIFT | messages)?;
            messages += G::COUNT;
        }
        if setting.clock.now() >= deadline {
            break;
        }
    }
    // ord(crowd.done) AcqRel <-> the other senders: whoever is last comes after all messages.
    if board.done.0.add_acqrel(1) + 1 == shape.senders as u64 {
        // A receiver may take up to COUNT of them at once.
        for _ in 0..G::COUNT as usize * shape.receivers {
            Registers::new(size).send(&mut to, 0, true)?;
        }
    }
    Ok(Share::Sent { sender, start, messages })
}

fn receive_share<M: Mechanism, G: Gait<M>>(
    setting: &Setting,
    size: usize,
    mut from: M::Receiver,
    meeting: &Meeting<'_>,
) -> Result<Share, HarnessError> {
    let (mut tallies, mut fault) = ([Tally::default(); MOST_PAIRS], None);
    let (mut over, mut in_order) = (false, true);
    meeting.meet();
    while !over {
        G::receive(&mut from, size, |message| {
            let seq = claimed_seq(message);
            match verdict::<Registers>(message, size, seq, &mut fault) {
                Verdict::More => {
                    let sender = (seq >> SENDER_SHIFT) as usize % MOST_PAIRS;
                    in_order &= tallies[sender].count(seq & ((1 << SENDER_SHIFT) - 1));
                }
                Verdict::Last => over = true,
            }
        })?;
    }
    let end = setting.clock.now();
    match fault {
        Some(fault) => Err(fault),
        None if !in_order => {
            Err(HarnessError::Answer { what: "a sender's messages came out of order".into() })
        }
        None => Ok(Share::Received { end, tallies: tallies.to_vec() }),
    }
}

/// The reading, if each message of each sender was received exactly once.
fn reading(
    setting: &Setting,
    bracket: Bracket,
    shares: &[Share],
    usage: Usage,
) -> Result<ThroughputReading, HarnessError> {
    let mut received = [Tally::default(); MOST_PAIRS];
    let mut sent = [Tally::default(); MOST_PAIRS];
    let (mut first, mut last) = (u64::MAX, 0);
    for share in shares {
        match share {
            Share::Sent { sender, start, messages } => {
                first = first.min(*start);
                sent[*sender] = Tally::of_first(*messages);
            }
            Share::Received { end, tallies } => {
                last = last.max(*end);
                received.iter_mut().zip(tallies).for_each(|(sum, own)| *sum = sum.with(own));
            }
        }
    }
    if let Some(sender) = (0..MOST_PAIRS).find(|&sender| sent[sender] != received[sender]) {
        let what = format!("sender {sender} sent {:?}, received were {:?}", sent[sender], received[sender]);
        return Err(HarnessError::Answer { what });
    }
    let messages = sent.iter().map(|tally| tally.count).sum();
    let ns = setting.clock.ns(last.saturating_sub(first));
    Ok(ThroughputReading { bracket, messages, ns, usage })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(numbers: impl IntoIterator<Item = u64>) -> Tally {
        let mut tally = Tally::default();
        numbers.into_iter().for_each(|number| assert!(tally.count(number)));
        tally
    }

    #[test]
    fn the_first_messages_have_the_tally_of_counting_them() {
        for count in [0, 1, 2, 7, 1000] {
            assert_eq!(Tally::of_first(count), tally(0..count));
        }
    }

    #[test]
    fn each_shape_has_its_members_and_partners_are_on_different_cores() {
        for (senders, receivers) in [(1, 1), (4, 1), (1, 4), (3, 2), (8, 8)] {
            let shape = Shape { senders, receivers };
            let roles: Vec<Option<usize>> = (0..shape.members())
                .map(|number| match shape.role(number) {
                    Role::Sends(sender) => Some(sender),
                    Role::Receives => None,
                })
                .collect();
            let mut sending: Vec<usize> = roles.iter().copied().flatten().collect();
            sending.sort_unstable();
            assert_eq!(sending, (0..senders).collect::<Vec<_>>(), "{shape}");
            assert_eq!(roles.iter().filter(|role| role.is_none()).count(), receivers, "{shape}");
            for pair in roles.chunks_exact(2).take(senders.min(receivers)) {
                assert!(pair[0].is_some() != pair[1].is_some(), "{shape}: {roles:?}");
            }
        }
        assert!(Shape { senders: 0, receivers: 1 }.check().is_err() && Shape::pairs(9).check().is_err());
    }

    #[test]
    fn a_lost_a_doubled_and_an_exchanged_message_show() {
        let whole = Tally::of_first(10);
        assert_eq!(tally((0..10).step_by(2)).with(&tally((1..10).step_by(2))), whole);
        let without = tally((0..10).filter(|&number| number != 4));
        assert_ne!(without, whole);
        assert_ne!(without.with(&tally([5])), whole);
        assert_ne!(tally(0..10).with(&tally([3])), whole);
        // The same count and sum: 4 and 5 in place of 3 and 6.
        let exchanged = tally((0..10).filter(|number| ![3, 6].contains(number))).with(&tally([4, 5]));
        assert_eq!((exchanged.count, exchanged.sum), (whole.count, whole.sum));
        assert_ne!(exchanged, whole);
    }

    #[test]
    fn messages_of_one_sender_out_of_order_show() {
        let mut tally = tally([0, 1, 5]);
        assert!(!tally.count(4));
    }
}
