//! The kernel's message queues, one safe function a call: what the C library declares, with errno as an error.
#![allow(unsafe_code, reason = "calls of the C library; each takes pointers to values that live across it")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

fn done(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn text(name: &str) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// An open queue of POSIX. Dropping it closes it.
pub struct Mq(libc::mqd_t);

impl Drop for Mq {
    fn drop(&mut self) {
        // SAFETY: a descriptor of ours.
        let _ = unsafe { libc::mq_close(self.0) };
    }
}

impl AsFd for Mq {
    /// On Linux it is one (mq_overview(7)).
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open as long as the queue is.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// Attributes: flags, maxmsg, msgsize, curmsgs.
pub type Attributes = [i64; 4];

fn attr(of: Attributes) -> libc::mq_attr {
    // SAFETY: numbers only, of which any bits are a value.
    let mut attr: libc::mq_attr = unsafe { std::mem::zeroed() };
    [attr.mq_flags, attr.mq_maxmsg, attr.mq_msgsize, attr.mq_curmsgs] = of;
    attr
}

/// mq_open(3).
///
/// # Errors
/// Its.
pub fn mq_open(name: &str, flags: i32, mode: u32, of: Attributes) -> io::Result<Mq> {
    let (name, mut attr) = (text(name)?, attr(of));
    // SAFETY: name and attributes live across the call.
    let fd = unsafe { libc::mq_open(name.as_ptr(), flags, mode, &raw mut attr) };
    done(fd.into()).map(|fd| Mq(fd as libc::mqd_t))
}

/// mq_unlink(3).
///
/// # Errors
/// Its.
pub fn mq_unlink(name: &str) -> io::Result<()> {
    let name = text(name)?;
    // SAFETY: the name lives across the call.
    done(unsafe { libc::mq_unlink(name.as_ptr()) }.into()).map(drop)
}

impl Mq {
    /// mq_send(3), or mq_timedsend(3) until seconds and nanoseconds.
    ///
    /// # Errors
    /// Its.
    pub fn send(&self, message: &[u8], priority: u32, until: Option<(i64, i64)>) -> io::Result<()> {
        let (at, len) = (message.as_ptr().cast(), message.len());
        done(
            match until {
                // SAFETY: pointer and length are a slice's.
                None => unsafe { libc::mq_send(self.0, at, len, priority) },
                Some((tv_sec, tv_nsec)) => {
                    let until = libc::timespec { tv_sec, tv_nsec };
                    // SAFETY: as above, and the time lives across the call.
                    unsafe { libc::mq_timedsend(self.0, at, len, priority, &raw const until) }
                }
            }
            .into(),
        )
        .map(drop)
    }

    /// mq_receive(3), or mq_timedreceive(3): length and priority.
    ///
    /// # Errors
    /// Its.
    pub fn receive(&self, to: &mut [u8], until: Option<(i64, i64)>) -> io::Result<(usize, u32)> {
        let (at, len, mut priority) = (to.as_mut_ptr().cast(), to.len(), 0);
        let len = done(match until {
            // SAFETY: pointer and length are a slice's.
            None => (unsafe { libc::mq_receive(self.0, at, len, &raw mut priority) }) as i64,
            Some((tv_sec, tv_nsec)) => {
                let until = libc::timespec { tv_sec, tv_nsec };
                // SAFETY: as above, and the time lives across the call.
                unsafe { libc::mq_timedreceive(self.0, at, len, &raw mut priority, &raw const until) as i64 }
            }
        })?;
        Ok((len as usize, priority))
    }

    /// mq_getattr(3).
    ///
    /// # Errors
    /// Its.
    pub fn attributes(&self) -> io::Result<Attributes> {
        let mut found = attr([0; 4]);
        // SAFETY: the attributes live across the call.
        done(unsafe { libc::mq_getattr(self.0, &raw mut found) }.into())?;
        Ok([found.mq_flags, found.mq_maxmsg, found.mq_msgsize, found.mq_curmsgs])
    }

    /// mq_setattr(3) of the flags: what they were.
    ///
    /// # Errors
    /// Its.
    pub fn set_flags(&self, flags: i64) -> io::Result<Attributes> {
        let (new, mut old) = (attr([flags, 0, 0, 0]), attr([0; 4]));
        // SAFETY: both live across the call.
        done(unsafe { libc::mq_setattr(self.0, &raw const new, &raw mut old) }.into())?;
        Ok([old.mq_flags, old.mq_maxmsg, old.mq_msgsize, old.mq_curmsgs])
    }

    /// mq_notify(3): `None` takes the request back; a number is a signal with a value; 0 is SIGEV_NONE.
    ///
    /// # Errors
    /// Its.
    pub fn notify(&self, how: Option<(i32, usize)>) -> io::Result<()> {
        let Some((signal, value)) = how else {
            // SAFETY: no pointer.
            return done(unsafe { libc::mq_notify(self.0, std::ptr::null()) }.into()).map(drop);
        };
        // SAFETY: numbers and pointers, of which zero bits are a value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = if signal == 0 { libc::SIGEV_NONE } else { libc::SIGEV_SIGNAL };
        event.sigev_signo = signal;
        event.sigev_value.sival_ptr = std::ptr::without_provenance_mut(value);
        // SAFETY: the event lives across the call.
        done(unsafe { libc::mq_notify(self.0, &raw const event) }.into()).map(drop)
    }
}

/// msgget(2).
///
/// # Errors
/// Its.
pub fn msgget(key: i32, flags: i32) -> io::Result<i32> {
    // SAFETY: numbers.
    done(unsafe { libc::msgget(key, flags) }.into()).map(|id| id as i32)
}

/// msgsnd(2).
///
/// # Errors
/// Its.
pub fn msgsnd(id: i32, kind: i64, message: &[u8], flags: i32) -> io::Result<()> {
    let bytes = [&kind.to_ne_bytes(), message].concat();
    // SAFETY: a type, then as many bytes as it says.
    done(unsafe { libc::msgsnd(id, bytes.as_ptr().cast(), message.len(), flags) }.into()).map(drop)
}

/// msgrcv(2): length and type.
///
/// # Errors
/// Its.
pub fn msgrcv(id: i32, to: &mut [u8], kind: i64, flags: i32) -> io::Result<(usize, i64)> {
    let mut bytes = vec![0; 8 + to.len()];
    // SAFETY: room for a type and as many bytes as it says.
    let len =
        done(unsafe { libc::msgrcv(id, bytes.as_mut_ptr().cast(), to.len(), kind, flags) } as i64)? as usize;
    let (kind, message) = bytes.split_at(8);
    to[..len].copy_from_slice(&message[..len]);
    Ok((len, i64::from_ne_bytes(kind.try_into().map_err(|_| io::ErrorKind::InvalidData)?)))
}

/// msgctl(2) with IPC_STAT.
///
/// # Errors
/// Its.
pub fn msgstat(id: i32) -> io::Result<libc::msqid_ds> {
    // SAFETY: numbers, of which zero bits are a value.
    let mut found: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: it lives across the call.
    done(unsafe { libc::msgctl(id, libc::IPC_STAT, &raw mut found) }.into())?;
    Ok(found)
}

/// msgctl(2) with IPC_SET.
///
/// # Errors
/// Its.
pub fn msgset(id: i32, mut to: libc::msqid_ds) -> io::Result<()> {
    // SAFETY: it lives across the call.
    done(unsafe { libc::msgctl(id, libc::IPC_SET, &raw mut to) }.into()).map(drop)
}

/// msgctl(2) with IPC_RMID.
///
/// # Errors
/// Its.
pub fn msgrmid(id: i32) -> io::Result<()> {
    // SAFETY: no pointer.
    done(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }.into()).map(drop)
}

/// ftok(3).
///
/// # Errors
/// Its.
pub fn ftok(path: &str, project: i32) -> io::Result<i32> {
    let path = text(path)?;
    // SAFETY: the path lives across the call.
    let key = unsafe { libc::ftok(path.as_ptr(), project) };
    if key == -1 { Err(io::Error::last_os_error()) } else { Ok(key) }
}
