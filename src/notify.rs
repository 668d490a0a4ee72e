//! Asking to be told, once, when messages come to an empty ring: by a signal, by a call, by an eventfd, as mq_notify(3)
//! tells of a message queue. When that is due is `watch`'s business.
//!
//! Who is told has a thread that sleeps for it. So whoever sends does not have to reach into a process that it knows
//! nothing of, a descriptor need not be passed on, and what a sender did not come to say because it was killed is found
//! (`docs/decisions/0014-who-asked-tells-itself.md`). That there is one request at most is a lease's word, which is free
//! again as soon as who asked is dead.
#![forbid(unsafe_code)]

use crate::channel::mpmc::Receiver;
use crate::channel::spsc::Consumer;
use crate::channel::{Desk, Host};
use crate::error::{Error, Result};
use crate::event::SLICE;
use crate::layout::WATCHER;
use crate::ring::observe;
use crate::signal::{self, Code, Origin};
use crate::sync::fork_epoch;
use crate::watch::Watch;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How to be told (`struct sigevent`, sigevent(3type)).
pub enum Notify {
    /// Not at all, only that nobody else can ask (SIGEV_NONE).
    Nothing,
    /// By this signal to the process, with this value (SIGEV_SIGNAL). Of a message queue its `si_code` is SI_MESGQ and it
    /// names the sender's process and user; of a ring it is SI_QUEUE and names the process itself.
    Signal {
        /// 1 to 64; 0 is none.
        signal: i32,
        /// What `si_value` holds.
        value: u64,
    },
    /// By a call in a thread of its own (SIGEV_THREAD).
    Call(Box<dyn FnOnce() + Send>),
}

impl Notify {
    /// By adding 1 to an eventfd(2), which poll(2) and epoll(7) then find readable.
    #[must_use]
    pub fn eventfd(fd: OwnedFd) -> Self {
        Notify::Call(Box::new(move || {
            // An error means that its count is at the end of its range, and so it is readable already.
            let _ = nix::unistd::write(&fd, &1_u64.to_ne_bytes());
        }))
    }

    /// The signal that it asks for, if there is none such.
    pub(crate) fn impossible(&self) -> Option<i32> {
        match self {
            Notify::Signal { signal, .. } if !(0..=signal::LAST).contains(signal) => Some(*signal),
            _ => None,
        }
    }

    fn tell(self) {
        match self {
            Notify::Nothing => {}
            Notify::Signal { signal, value } => {
                let own = std::process::id();
                let from = Origin { pid: own, code: Code::Queue };
                signal::notify(own, signal.unsigned_abs(), value, from, || true);
            }
            Notify::Call(then) => then(),
        }
    }
}

/// A thread of this process that handles no signals: those are for the program's own.
pub(crate) fn in_background(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let quiet = move || {
        signal::block_all();
        work();
    };
    std::thread::Builder::new().name(name.into()).spawn(quiet).map(drop)
}

/// What is taken by whoever ends a request: the thread that was told, or who takes it back.
struct Pending {
    how: Notify,
    /// That nobody else can ask.
    _lease: Box<dyn Host>,
}

/// A request of this process. Dropping it takes it back.
struct Request {
    pending: Arc<Mutex<Option<Pending>>>,
    watch: Watch,
    epoch: u32,
}

fn locked(pending: &Mutex<Option<Pending>>) -> MutexGuard<'_, Option<Pending>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Request {
    fn drop(&mut self) {
        // A forked child has neither the thread nor the lease, and the lock as it was.
        if self.epoch == fork_epoch()
            && let Some(pending) = locked(&self.pending).take()
        {
            self.watch.withdraw();
            drop(pending);
        }
    }
}

fn ask<V: Clone + Send + 'static>(
    desk: Desk<'_, V>,
    how: Option<Notify>,
    end: impl FnOnce(&V) -> u64,
    first: impl Fn(&V) -> Option<u64> + Send + 'static,
) -> Result<()> {
    let Some(how) = how else {
        *desk.request = None;
        return Ok(());
    };
    if let Some(signal) = how.impossible() {
        let allowed = format!("from 0 to {}", signal::LAST);
        return Err(Error::BadOption { option: "signal", found: signal.to_string(), allowed });
    }
    let seat = desk.host.another()?;
    if !seat.host.take(WATCHER) {
        let pid = Some(desk.watch.asker()).filter(|&pid| pid != 0);
        return Err(Error::Busy { name: desk.host.ring(), role: "process that asked to be told", pid });
    }
    desk.watch.ask(seat.pid, || end(desk.view));
    let pending = Arc::new(Mutex::new(Some(Pending { how, _lease: seat.host })));
    let request = Request { pending: pending.clone(), watch: desk.watch.clone(), epoch: fork_epoch() };
    let (view, watch) = (desk.view.clone(), desk.watch);
    let wait = move || {
        watch.wait(SLICE, || locked(&pending).is_none(), || first(&view));
        let told = locked(&pending).take();
        if let Some(Pending { how, _lease: lease }) = told {
            // Before it is told: it may ask again at once.
            drop(lease);
            drop((view, watch));
            how.tell();
        }
    };
    in_background("slipring notify", wait).map_err(|source| Error::Io {
        name: desk.host.ring(),
        call: "pthread_create",
        source,
    })?;
    *desk.request = Some(Box::new(request));
    Ok(())
}

impl Consumer {
    /// Asks to be told, once, when a message comes to the empty ring while the consumer is not blocked in a receiving
    /// verb; or takes the request of this handle back (`None`). Like mq_notify(3): what is in the ring already does not
    /// tell, and who was told asks again, and *then* receives until [`RecvError::Empty`](crate::RecvError::Empty). A
    /// message is in the ring until it was released.
    ///
    /// Ends when it was told, when the handle is dropped, and when the process dies. The process has one thread more
    /// meanwhile, which sleeps. Until it was told, each message costs the producer a look at two or three words more.
    ///
    /// Told too early: one that polls, or looks around between two sleeps, is not blocked, nor is one that waits on a ring
    /// with [`Wakeup::Semaphore`](crate::Wakeup), which does not say; and who asks just when somebody was to be told that
    /// asked before is told instead. Told late, within some 50 ms: where the sender was killed or stopped before it got to
    /// it, or a receiver that was woken for the message.
    ///
    /// # Errors
    /// [`Error::Busy`], naming the process, if another request is pending, of this handle or another;
    /// [`Error::BadOption`] for a signal that cannot be; [`Error::Forked`]; [`Error::Io`] without a file descriptor or a
    /// thread left.
    pub fn notify(&mut self, how: Option<Notify>) -> Result<()> {
        let Some(desk) = self.desk() else { return Err(Error::Forked { name: self.ring() }) };
        ask(desk, how, observe::spsc_end, observe::spsc_first)
    }
}

impl Receiver {
    /// As [`Consumer::notify`], when a message comes to the empty ring and no receiver is blocked for it, whichever
    /// receiver asks. A message is in the ring until it was received.
    ///
    /// # Errors
    /// As [`Consumer::notify`]; [`Error::Unattached`].
    pub fn notify(&mut self, how: Option<Notify>) -> Result<()> {
        let Some(desk) = self.desk() else { return Err(self.no_desk()) };
        ask(desk, how, observe::end, observe::first)
    }
}
