//! One cache line and nothing else: payload and sequence number together, no flow control, no wake-up, no recovery. The
//! floor of every mechanism that polls memory: it shows what a ring's protocol adds. Of use only for ping-pong: whoever
//! sends on without an answer in between overwrites the message of a lap ago, read or not.
//!
//! The line moves on with every message, through a mebibyte, as in a ring: a single line would stay in both caches.

use super::{Copies, Mechanism, ReceiveMessage, SendMessage};
use crate::error::HarnessError;
use crate::shared::SharedBytes;

const SLOTS: u64 = 1 << 14;
const SLOT_BYTES: usize = 64;
/// What a line holds before its sequence number.
const PAYLOAD_BYTES: usize = 56;

/// Bare cache lines, each with a sequence number.
#[derive(Debug)]
pub struct Slot {
    lines: SharedBytes,
    /// Messages sent or received by this end.
    count: u64,
}

impl Slot {
    /// Where the present line starts, and the sequence number that fills it.
    #[inline(always)]
    fn place(&self) -> (usize, u64) {
        ((self.count % SLOTS) as usize * SLOT_BYTES, self.count / SLOTS + 1)
    }
}

impl Mechanism for Slot {
    const NAME: &'static str = "bare slot";
    const COPIES: Option<Copies> = Some(Copies::IN_SHARED_MEMORY);
    type Sender = SlotSender;
    type Receiver = SlotReceiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        if size > PAYLOAD_BYTES {
            let what = format!("{size} bytes; a bare slot takes up to {PAYLOAD_BYTES}");
            return Err(HarnessError::BadOption { what });
        }
        Ok(Slot { lines: SharedBytes::new(SLOTS as usize * SLOT_BYTES)?, count: 0 })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(SlotSender(self))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(SlotReceiver(self))
    }
}

/// The end that fills lines.
#[derive(Debug)]
pub struct SlotSender(Slot);

impl SendMessage for SlotSender {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.send_with(message.len(), |room| room.copy_from_slice(message))
    }

    #[inline(always)]
    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let (start, lap) = self.0.place();
        // SAFETY: in a ping-pong the receiver is at this line, and reads no payload before the number says so.
        fill(unsafe { self.0.lines.slice_mut(start, size) });
        // ord(slot) Release -> SlotReceiver::receive: the message happens before its number.
        self.0.lines.word(start + PAYLOAD_BYTES).store_release(lap);
        self.0.count += 1;
        Ok(())
    }
}

/// The end that polls lines, with one pause per probe.
#[derive(Debug)]
pub struct SlotReceiver(Slot);

impl ReceiveMessage for SlotReceiver {
    #[inline(always)]
    fn receive<R>(&mut self, size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let (start, lap) = self.0.place();
        // ord(slot) Acquire <- SlotSender::send_with: see the message.
        while self.0.lines.word(start + PAYLOAD_BYTES).load_acquire() != lap {
            std::hint::spin_loop();
        }
        self.0.count += 1;
        // SAFETY: the number says that the message is whole, and in a ping-pong nobody writes it before we answer.
        Ok(look(unsafe { self.0.lines.slice(start, size) }))
    }
}
