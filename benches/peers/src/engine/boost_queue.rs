//! Boost.Interprocess's message_queue, by way of `native/boost_queue.cpp`: slots with priorities under a process-shared
//! mutex with two conditions. Made before the fork, used through the mapping that both ends inherit. The
//! receiver waits, or polls (`POLLED`).

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::ptr::NonNull;

use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage};

use crate::engine::{Buffered, SendWhole, new_name, refused};

const ROOM: usize = 1 << 20;

// SAFETY: as in native/boost_queue.cpp.
unsafe extern "C" {
    fn slipring_peers_boost_new(name: *const c_char, places: usize, size: usize) -> *mut c_void;
    fn slipring_peers_boost_send(queue: *mut c_void, message: *const c_void, size: usize) -> c_int;
    fn slipring_peers_boost_receive(queue: *mut c_void, room: *mut c_void, size: usize) -> c_long;
    fn slipring_peers_boost_try_receive(queue: *mut c_void, room: *mut c_void, size: usize) -> c_long;
    fn slipring_peers_boost_free(queue: *mut c_void);
}

/// A queue.
pub struct BoostQueue<const POLLED: bool> {
    queue: NonNull<c_void>,
    size: usize,
}

impl<const POLLED: bool> Drop for BoostQueue<POLLED> {
    fn drop(&mut self) {
        // SAFETY: made by `new` and not yet freed; a forked process has a copy of its own.
        unsafe { slipring_peers_boost_free(self.queue.as_ptr()) };
    }
}

impl<const POLLED: bool> Mechanism for BoostQueue<POLLED> {
    const NAME: &'static str = if POLLED { "boost message_queue polled" } else { "boost message_queue" };
    type Sender = Buffered<Sending<POLLED>>;
    type Receiver = Receiving<POLLED>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let name = CString::new(new_name("boost")).map_err(refused)?;
        // SAFETY: a string that ends with a null byte, read only during the call.
        let made = unsafe { slipring_peers_boost_new(name.as_ptr(), ROOM / size, size) };
        let queue = NonNull::new(made).ok_or_else(|| refused("a Boost message_queue could not be made"))?;
        Ok(BoostQueue { queue, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        let size = self.size;
        Ok(Buffered::new(Sending(self), size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(Receiving { buffer: vec![0; self.size], from: self })
    }
}

/// The sending end.
pub struct Sending<const POLLED: bool>(BoostQueue<POLLED>);

impl<const POLLED: bool> SendWhole for Sending<POLLED> {
    fn send_whole(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        // SAFETY: the queue lives as long as self, and the message during the call.
        let sent = unsafe {
            slipring_peers_boost_send(self.0.queue.as_ptr(), message.as_ptr().cast(), message.len())
        };
        if sent == 0 { Ok(()) } else { Err(refused("a Boost message_queue refused a message")) }
    }
}

/// The receiving end.
pub struct Receiving<const POLLED: bool> {
    from: BoostQueue<POLLED>,
    buffer: Vec<u8>,
}

impl<const POLLED: bool> ReceiveMessage for Receiving<POLLED> {
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let (room, len) = (self.buffer.as_mut_ptr().cast(), self.buffer.len());
        let queue = self.from.queue.as_ptr();
        let got = if POLLED {
            loop {
                // SAFETY: the queue lives as long as `from`, and the buffer has so many bytes.
                match unsafe { slipring_peers_boost_try_receive(queue, room, len) } {
                    0 => std::hint::spin_loop(),
                    got => break got,
                }
            }
        } else {
            // SAFETY: as above.
            unsafe { slipring_peers_boost_receive(queue, room, len) }
        };
        let message = usize::try_from(got).ok().and_then(|got| self.buffer.get(..got));
        Ok(look(message.ok_or_else(|| refused("a Boost message_queue gave no message"))?))
    }
}
