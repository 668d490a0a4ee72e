//! Bare signals, as fast as one process can send them: how many does the other one take?
//!
//! Of the queued kind all of them, or the kernel refuses; of the coalesced kind those that found none pending. That is
//! why the one can be counted on and the other can only say that something has happened.
#![forbid(unsafe_code)]

use nix::errno::Errno;
use nix::unistd::getpid;
use serde::{Deserialize, Serialize};

use super::{Setting, bracketed};
use crate::atomics::Word;
use crate::error::HarnessError;
use crate::mechanism::{Kind, SignalSet};
use crate::reference::Bracket;
use crate::shared::{Line, Shared};

/// Sent last: it says that there are no more.
const OVER: libc::c_int = libc::SIGUSR2;
/// The clock is read once in so many.
const BURST: u64 = 64;

/// Signals that were sent and taken.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SignalReading {
    /// The references around it.
    pub bracket: Bracket,
    /// How many the kernel accepted.
    pub sent: u64,
    /// How many the receiver took.
    pub taken: u64,
    /// Nanoseconds from the first that was sent to the last that was taken.
    pub ns: f64,
}

/// Measures signals of the kind `K`.
pub fn signals<K: Kind>(setting: &Setting) -> Result<SignalReading, HarnessError> {
    let clock = setting.clock;
    let failed = |errno: Errno| HarnessError::os("sending a signal", errno);
    let (bracket, (start, sent), (end, taken)) = bracketed(
        setting,
        Shared::<Line<Word>>::new()?,
        |meeting, receiver| {
            meeting.meet();
            // ord(signals.ready) Acquire <- the receiver, before the meeting.
            let to = receiver.0.load_acquire() as libc::pid_t;
            let start = clock.now();
            let deadline = start + clock.ticks(setting.budget);
            let mut sent = 0;
            // At least once, whoever has the core meanwhile.
            loop {
                for _ in 0..BURST {
                    match K::send(to) {
                        Ok(()) => sent += 1,
                        // There is no way to wait for room.
                        Err(Errno::EAGAIN) => std::thread::yield_now(),
                        Err(errno) => return Err(failed(errno)),
                    }
                }
                if clock.now() >= deadline {
                    break;
                }
            }

            nix::sys::signal::kill(nix::unistd::Pid::from_raw(to), nix::sys::signal::Signal::SIGUSR2)
                .map_err(failed)?;
            meeting.meet();
            Ok((start, sent))
        },
        |meeting, receiver| {
            let set = SignalSet::block(&[K::number(), OVER])?;
            // ord(signals.ready) Release -> the sender: blocked before it is sent.
            receiver.0.store_release(getpid().as_raw() as u64);
            meeting.meet();
            let mut taken = 0u64;
            while set.take()?.si_signo != OVER {
                taken += 1;
            }
            // Lower numbers are taken first, so what was sent before may still be there.
            while set.try_take().is_some() {
                taken += 1;
            }
            let end = clock.now();
            meeting.meet();
            Ok((end, taken))
        },
    )?;
    Ok(SignalReading { bracket, sent, taken, ns: clock.ns(end.saturating_sub(start)) })
}
