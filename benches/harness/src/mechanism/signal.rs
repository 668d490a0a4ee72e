//! Queued real-time signals (sigqueue(3)) with the message as their value. The receiver blocks the signal and takes one
//! after the other with sigwaitinfo(2); no handler runs.
//!
//! Signals have no way to wait for room: a sender that finds the queue full (RLIMIT_SIGPENDING) yields and tries again.

use nix::errno::Errno;
use nix::unistd::getpid;

use super::{Copies, Mechanism, ReceiveMessage, SendMessage};
use crate::atomics::Word;
use crate::error::HarnessError;
use crate::shared::{Line, Shared};

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
        let failed = |errno: Errno| HarnessError::os("blocking a real-time signal", errno);
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: initialises the whole set.
        Errno::result(unsafe { libc::sigemptyset(set.as_mut_ptr()) }).map_err(failed)?;
        // SAFETY: sigemptyset has initialised it.
        let mut set = unsafe { set.assume_init() };
        // SAFETY: the set is initialised and ours.
        Errno::result(unsafe { libc::sigaddset(&raw mut set, signal()) }).map_err(failed)?;
        // SAFETY: the set is initialised, the old one is not asked for.
        Errno::result(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })
            .map_err(failed)?;
        // ord(signal.ready) Release -> sender: blocked before anybody knows where to send it.
        self.receiver.0.store_release(getpid().as_raw() as u64);
        Ok(SignalReceiver { set })
    }
}

/// The first that is not the C library's own.
fn signal() -> libc::c_int {
    libc::SIGRTMIN()
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
        let value = std::ptr::without_provenance_mut(u64::from_ne_bytes(word) as usize);
        loop {
            // SAFETY: the value is a number in the clothes of a pointer; nobody follows it.
            let sent = unsafe { libc::sigqueue(self.to, signal(), libc::sigval { sival_ptr: value }) };
            match Errno::result(sent) {
                Ok(_) => return Ok(()),
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
    set: libc::sigset_t,
}

impl ReceiveMessage for SignalReceiver {
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        loop {
            // SAFETY: the set is initialised; the kernel fills the information.
            match Errno::result(unsafe { libc::sigwaitinfo(&raw const self.set, info.as_mut_ptr()) }) {
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(HarnessError::os("waiting for a signal", errno)),
            }
        }
        // SAFETY: zeroed is a value of it, and the call has filled it.
        let info = unsafe { info.assume_init() };
        if info.si_code != libc::SI_QUEUE {
            return Err(HarnessError::BadOption { what: format!("a signal of code {}", info.si_code) });
        }
        // SAFETY: a queued signal has a value.
        let value = unsafe { info.si_value() };
        Ok(look(&(value.sival_ptr.addr() as u64).to_ne_bytes()))
    }
}
