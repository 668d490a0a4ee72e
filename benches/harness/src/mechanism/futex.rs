//! A mailbox for one message in shared memory and nothing but a futex to wait with: the floor of every mechanism that
//! sleeps. It never spins, so each message costs the wake of a sleeping process.
//!
//! One word moves EMPTY -> FULL (sender) -> EMPTY (receiver); a sender that must wait turns FULL into WANTED, which
//! tells the receiver to wake it. All moves are read-modify-writes of this one word, so no wake-up is lost.

use super::{Copies, Mechanism, ReceiveMessage, SendMessage};
use crate::atomics::FutexWord;
use crate::error::HarnessError;
use crate::shared::{Line, Shared, SharedBytes};

const EMPTY: u32 = 0;
const FULL: u32 = 1;
const WANTED: u32 = 2;

/// A mailbox for one message, with a shared futex.
#[derive(Debug)]
pub struct Futex {
    word: Shared<Line<FutexWord>>,
    place: SharedBytes,
}

impl Futex {
    fn sleep_while(&self, value: u32) -> Result<(), HarnessError> {
        self.word.0.sleep_while(value).map_err(|errno| HarnessError::os("sleeping on a futex", errno))
    }

    fn wake(&self) -> Result<(), HarnessError> {
        self.word.0.wake_one().map_err(|errno| HarnessError::os("waking a futex", errno))
    }
}

impl Mechanism for Futex {
    const NAME: &'static str = "futex";
    const COPIES: Option<Copies> = Some(Copies::IN_SHARED_MEMORY);
    type Sender = FutexSender;
    type Receiver = FutexReceiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        Ok(Futex { word: Shared::new()?, place: SharedBytes::new(size)? })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(FutexSender(self))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(FutexReceiver(self))
    }
}

/// The end that fills the mailbox.
#[derive(Debug)]
pub struct FutexSender(Futex);

impl SendMessage for FutexSender {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let word = &self.0.word.0;
        loop {
            // ord(mailbox) Acquire <- FutexReceiver::receive: the place is read before it is filled again.
            match word.load_acquire() {
                EMPTY => break,
                WANTED => self.0.sleep_while(WANTED)?,
                // Refused if the receiver was faster: look again.
                _ => drop(word.change(FULL, WANTED)),
            }
        }
        // SAFETY: the word is EMPTY, so the receiver leaves the place to the one sender there is.
        fill(unsafe { self.0.place.slice_mut(0, size) });
        // ord(mailbox) AcqRel -> FutexReceiver::receive: the message happens before FULL.
        word.swap_acqrel(FULL);
        self.0.wake()
    }
}

/// The end that empties the mailbox.
#[derive(Debug)]
pub struct FutexReceiver(Futex);

impl ReceiveMessage for FutexReceiver {
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let word = &self.0.word.0;
        // ord(mailbox) Acquire <- FutexSender::send_with: see the message.
        while word.load_acquire() == EMPTY {
            self.0.sleep_while(EMPTY)?;
        }
        // SAFETY: the word is not EMPTY, so the one sender there is leaves the place alone.
        let seen = look(unsafe { self.0.place.slice(0, size) });
        // ord(mailbox) AcqRel -> FutexSender::send_with: the message is read before EMPTY.
        if word.swap_acqrel(EMPTY) == WANTED {
            self.0.wake()?;
        }
        Ok(seen)
    }
}
