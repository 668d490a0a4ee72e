//! Signals, taken with sigwaitinfo(2) by a receiver that blocks them; no handler runs.
//!
//! *Queued* ones are real-time signals (sigqueue(3)) with the message as their value. They have no way to wait for room: a
//! sender that finds the queue full (RLIMIT_SIGPENDING) yields and tries again. *Coalesced* ones are the old kind: one that
//! is pending already swallows those that follow, so they can carry nothing. They are used as such signals can be: the
//! messages lie in a circular buffer of ten in shared memory, the signal is the doorbell, and who hears it looks at all
//! that is there. A sender that finds the buffer full yields.

use nix::errno::Errno;
use nix::unistd::getpid;

use super::{Copies, Mechanism, ReceiveMessage, SendMessage};
use crate::atomics::Word;
use crate::error::HarnessError;
use crate::shared::{Line, Shared, SharedBytes};

const WORD: usize = size_of::<u64>();

/// Where the receiver says which process it is; 0 until it is ready.
#[derive(Debug)]
pub struct QueuedSignal {
    receiver: Shared<Line<Word>>,
}

impl Mechanism for QueuedSignal {
    const NAME: &'static str = "queued signal";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = SignalSender;
    type Receiver = SignalReceiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size != WORD || WORD != size_of::<usize>() {
            let what =
                format!("a signal carries {} bytes, and messages have at least {WORD}", size_of::<usize>());
            return Err(HarnessError::Limit { what });
        }
        Ok(QueuedSignal { receiver: Shared::new()? })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        loop {
            // ord(signal.ready) Acquire <- receiver: the signal is blocked before it is sent.
            match self.receiver.0.load_acquire() {
                // Whoever waits here for a peer that has died is killed by the watcher.
                0 => std::thread::yield_now(),
                pid => return Ok(SignalSender { to: pid as libc::pid_t }),
            }
        }
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        let set = SignalSet::block(&[first_real_time()])?;
        // ord(signal.ready) Release -> sender: blocked before anybody knows where to send it.
        self.receiver.0.store_release(getpid().as_raw() as u64);
        Ok(SignalReceiver { set })
    }
}

/// The first that is not the C library's own.
fn first_real_time() -> libc::c_int {
    libc::SIGRTMIN()
}

/// Signals that this process has blocked, to take them one by one.
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// Blocks them.
    pub(crate) fn block(signals: &[libc::c_int]) -> Result<SignalSet, HarnessError> {
        let failed = |errno: Errno| HarnessError::os("blocking a signal", errno);
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: initialises the whole set.
        Errno::result(unsafe { libc::sigemptyset(set.as_mut_ptr()) }).map_err(failed)?;
        // SAFETY: sigemptyset has initialised it.
        let mut set = unsafe { set.assume_init() };
        for &signal in signals {
            // SAFETY: the set is initialised and ours.
            Errno::result(unsafe { libc::sigaddset(&raw mut set, signal) }).map_err(failed)?;
        }
        // SAFETY: the set is initialised, the old one is not asked for.
        Errno::result(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })
            .map_err(failed)?;
        Ok(SignalSet(set))
    }

    /// Sleeps until one of them is pending, and takes it.
    pub(crate) fn take(&self) -> Result<libc::siginfo_t, HarnessError> {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        loop {
            // SAFETY: the set is initialised; the kernel fills the information.
            match Errno::result(unsafe { libc::sigwaitinfo(&raw const self.0, info.as_mut_ptr()) }) {
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(HarnessError::os("waiting for a signal", errno)),
            }
        }
        // SAFETY: zeroed is a value of it, and the call has filled it.
        Ok(unsafe { info.assume_init() })
    }

    /// Takes one that is pending, if there is any; its number.
    pub(crate) fn try_take(&self) -> Option<libc::c_int> {
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set and the time are initialised; the information is not asked for.
        let taken = unsafe { libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), &raw const now) };
        (taken > 0).then_some(taken)
    }
}

/// A kind of bare signals.
pub trait Kind: 'static {
    /// Its name in reports: that of the mechanism.
    const NAME: &'static str;

    /// The signal's number.
    fn number() -> libc::c_int;

    /// Sends one; EAGAIN if the queue is full.
    fn send(to: libc::pid_t) -> Result<(), Errno>;
}

/// SIGUSR1, by kill(2).
#[derive(Debug)]
pub enum Coalesced {}

impl Kind for Coalesced {
    const NAME: &'static str = CoalescedSignal::NAME;

    fn number() -> libc::c_int {
        libc::SIGUSR1
    }

    fn send(to: libc::pid_t) -> Result<(), Errno> {
        // SAFETY: touches no memory of ours.
        Errno::result(unsafe { libc::kill(to, Self::number()) }).map(drop)
    }
}

/// A real-time signal, by sigqueue(3).
#[derive(Debug)]
pub enum Queued {}

impl Kind for Queued {
    const NAME: &'static str = QueuedSignal::NAME;

    fn number() -> libc::c_int {
        first_real_time()
    }

    fn send(to: libc::pid_t) -> Result<(), Errno> {
        queue(to, 0)
    }
}

fn queue(to: libc::pid_t, word: u64) -> Result<(), Errno> {
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(word as usize) };
    // SAFETY: the value is a number in the clothes of a pointer; nobody follows it.
    Errno::result(unsafe { libc::sigqueue(to, first_real_time(), value) }).map(drop)
}

/// The end that sends signals.
#[derive(Debug)]
pub struct SignalSender {
    to: libc::pid_t,
}

impl SendMessage for SignalSender {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        let word: [u8; WORD] =
            message.try_into().map_err(|_| HarnessError::Size { want: WORD, got: message.len() })?;
        loop {
            match queue(self.to, u64::from_ne_bytes(word)) {
                Ok(()) => return Ok(()),
                Err(Errno::EAGAIN) => std::thread::yield_now(),
                Err(Errno::ESRCH) => return Err(HarnessError::Closed),
                Err(errno) => return Err(HarnessError::os("queueing a signal", errno)),
            }
        }
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut word = [0; WORD];
        let room = word.get_mut(..size).ok_or(HarnessError::Size { want: WORD, got: size })?;
        fill(room);
        self.send(&word[..size])
    }
}

/// The end that takes signals.
pub struct SignalReceiver {
    set: SignalSet,
}

impl ReceiveMessage for SignalReceiver {
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let info = self.set.take()?;
        if info.si_code != libc::SI_QUEUE {
            return Err(HarnessError::BadOption { what: format!("a signal of code {}", info.si_code) });
        }
        // SAFETY: a queued signal has a value.
        let value = unsafe { info.si_value() };
        Ok(look(&(value.sival_ptr.addr() as u64).to_ne_bytes()))
    }
}

const PLACES: u64 = 10;
/// Where the numbers stand, a line and its neighbour each.
const READY: usize = 0;
const HEAD: usize = 128;
const TAIL: usize = 256;
const MESSAGES: usize = 384;

/// A circular buffer with a signal for a doorbell.
#[derive(Debug)]
pub struct CoalescedSignal {
    memory: SharedBytes,
    size: usize,
}

impl CoalescedSignal {
    fn place(&self, position: u64) -> usize {
        MESSAGES + (position % PLACES) as usize * self.size
    }
}

impl Mechanism for CoalescedSignal {
    const NAME: &'static str = "coalesced signal";
    const COPIES: Option<Copies> = Some(Copies::IN_SHARED_MEMORY);
    type Sender = BellSender;
    type Receiver = BellReceiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        Ok(CoalescedSignal { memory: SharedBytes::new(MESSAGES + PLACES as usize * size)?, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        loop {
            // ord(signal.ready) Acquire <- receiver: the signal is blocked before it is sent.
            match self.memory.word(READY).load_acquire() {
                // Whoever waits here for a peer that has died is killed by the watcher.
                0 => std::thread::yield_now(),
                pid => {
                    // ord(bell.tail) Acquire <- a predecessor's store: what it has published stays.
                    let tail = self.memory.word(TAIL).load_acquire();
                    return Ok(BellSender { to: pid as libc::pid_t, tail, buffer: self });
                }
            }
        }
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        let set = SignalSet::block(&[Coalesced::number()])?;
        // ord(signal.ready) Release -> sender: blocked before anybody knows where to send it.
        self.memory.word(READY).store_release(getpid().as_raw() as u64);
        Ok(BellReceiver { set, head: 0, buffer: self })
    }
}

/// The end that fills the buffer and rings.
pub struct BellSender {
    to: libc::pid_t,
    tail: u64,
    buffer: CoalescedSignal,
}

impl SendMessage for BellSender {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let memory = &self.buffer.memory;
        // ord(bell.head) Acquire <- the receiver: it has left this place.
        while self.tail - memory.word(HEAD).load_acquire() == PLACES {
            std::thread::yield_now();
        }
        // SAFETY: the receiver has left this place and comes back only when the tail says so.
        fill(unsafe { memory.slice_mut(self.buffer.place(self.tail), size) });
        self.tail += 1;
        // ord(bell.tail) Release -> the receiver: the message happens before its number.
        memory.word(TAIL).store_release(self.tail);
        match Coalesced::send(self.to) {
            Ok(()) => Ok(()),
            Err(Errno::ESRCH) => Err(HarnessError::Closed),
            Err(errno) => Err(HarnessError::os("sending a signal", errno)),
        }
    }
}

/// The end that hears the bell and empties the buffer.
pub struct BellReceiver {
    set: SignalSet,
    head: u64,
    buffer: CoalescedSignal,
}

impl ReceiveMessage for BellReceiver {
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let memory = &self.buffer.memory;
        // A signal may be of a message that was seen before it was heard.
        // ord(bell.tail) Acquire <- the sender: see the message.
        while memory.word(TAIL).load_acquire() == self.head {
            self.set.take()?;
        }
        // SAFETY: the tail says that this place is filled, and the sender comes back only when the head says so.
        let seen = look(unsafe { memory.slice(self.buffer.place(self.head), size) });
        self.head += 1;
        // ord(bell.head) Release -> the sender: read before it is written again.
        memory.word(HEAD).store_release(self.head);
        Ok(seen)
    }
}
