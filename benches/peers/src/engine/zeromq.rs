//! ZeroMQ: a pair of sockets over a Unix socket with an abstract name, opened by each process after the fork. Each side's
//! context has a thread of its own for input and output, which the process's core is shared with; so both block.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::ptr::NonNull;

use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Mechanism, ReceiveMessage};

use crate::engine::{Buffered, SendWhole, new_name};

// SAFETY: as in zmq(7); the signatures are those of zmq.h.
unsafe extern "C" {
    fn zmq_ctx_new() -> *mut c_void;
    fn zmq_ctx_term(context: *mut c_void) -> c_int;
    fn zmq_socket(context: *mut c_void, kind: c_int) -> *mut c_void;
    fn zmq_close(socket: *mut c_void) -> c_int;
    fn zmq_setsockopt(socket: *mut c_void, option: c_int, value: *const c_void, len: usize) -> c_int;
    fn zmq_bind(socket: *mut c_void, to: *const c_char) -> c_int;
    fn zmq_connect(socket: *mut c_void, to: *const c_char) -> c_int;
    fn zmq_send(socket: *mut c_void, message: *const c_void, len: usize, flags: c_int) -> c_int;
    fn zmq_recv(socket: *mut c_void, room: *mut c_void, len: usize, flags: c_int) -> c_int;
    fn zmq_errno() -> c_int;
}

const PAIR: c_int = 0;
const LINGER: c_int = 17;
const RECONNECT_IVL: c_int = 18;

#[cold]
fn refused(what: &str) -> HarnessError {
    // SAFETY: reads this thread's own variable.
    let errno = unsafe { zmq_errno() };
    HarnessError::os(what, io::Error::from_raw_os_error(errno))
}

/// A name for the two to meet at, and how long messages are.
pub struct Zeromq {
    at: CString,
    size: usize,
}

impl Mechanism for Zeromq {
    const NAME: &'static str = "zeromq";
    type Sender = Buffered<Sending>;
    type Receiver = Receiving;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let at = format!("ipc://@{}", new_name("zeromq"));
        let at = CString::new(at).map_err(crate::engine::refused)?;
        Ok(Zeromq { at, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        let to = Socket::open()?;
        // SAFETY: an open socket, and a string that ends with a null byte, read only during the call.
        if unsafe { zmq_connect(to.socket.as_ptr(), self.at.as_ptr()) } != 0 {
            return Err(refused("connecting a ZeroMQ socket"));
        }
        Ok(Buffered::new(Sending(to), self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        let from = Socket::open()?;
        // SAFETY: as for `zmq_connect`.
        if unsafe { zmq_bind(from.socket.as_ptr(), self.at.as_ptr()) } != 0 {
            return Err(refused("binding a ZeroMQ socket"));
        }
        Ok(Receiving { from, buffer: vec![0; self.size] })
    }
}

/// A socket with a context of its own.
struct Socket {
    context: NonNull<c_void>,
    socket: NonNull<c_void>,
}

impl Socket {
    fn open() -> Result<Self, HarnessError> {
        // SAFETY: no arguments.
        let context = NonNull::new(unsafe { zmq_ctx_new() });
        let context = context.ok_or_else(|| refused("making a ZeroMQ context"))?;
        // SAFETY: the context is open.
        let socket = NonNull::new(unsafe { zmq_socket(context.as_ptr(), PAIR) });
        let socket = socket.ok_or_else(|| refused("making a ZeroMQ socket"))?;
        let made = Socket { context, socket };
        // Who connects before the other has bound looks again soon; what is left at the end waits for nobody long.
        made.set(RECONNECT_IVL, 1)?;
        made.set(LINGER, 1000)?;
        Ok(made)
    }

    fn set(&self, option: c_int, milliseconds: c_int) -> Result<(), HarnessError> {
        let value = (&raw const milliseconds).cast();
        // SAFETY: an open socket, and a value of this size, read only during the call.
        match unsafe { zmq_setsockopt(self.socket.as_ptr(), option, value, size_of::<c_int>()) } {
            0 => Ok(()),
            _ => Err(refused("setting a ZeroMQ socket's option")),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: open, and nobody uses it any more.
        unsafe { zmq_close(self.socket.as_ptr()) };
        // SAFETY: the context's only socket is closed.
        unsafe { zmq_ctx_term(self.context.as_ptr()) };
    }
}

/// The sending end.
pub struct Sending(Socket);

impl SendWhole for Sending {
    fn send_whole(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        // SAFETY: an open socket; the message is copied during the call.
        let sent = unsafe { zmq_send(self.0.socket.as_ptr(), message.as_ptr().cast(), message.len(), 0) };
        if usize::try_from(sent) == Ok(message.len()) {
            return Ok(());
        }
        Err(refused("sending with ZeroMQ"))
    }
}

/// The receiving end.
pub struct Receiving {
    from: Socket,
    buffer: Vec<u8>,
}

impl ReceiveMessage for Receiving {
    fn receive<R>(&mut self, _size: usize, look: impl FnOnce(&[u8]) -> R) -> Result<R, HarnessError> {
        let (room, len) = (self.buffer.as_mut_ptr().cast(), self.buffer.len());
        // SAFETY: an open socket, and a buffer of so many bytes.
        let got = unsafe { zmq_recv(self.from.socket.as_ptr(), room, len, 0) };
        // More than the buffer has would be cut, and its length told.
        let message = usize::try_from(got).ok().and_then(|got| self.buffer.get(..got));
        Ok(look(message.ok_or_else(|| refused("receiving with ZeroMQ"))?))
    }
}
