//! The kernel's own mechanisms, rebuilt on rings: what a program sees of each is what the manual page says, errno by
//! errno, and each is proven by running the same operations on the kernel's object and on the adapter
//! (`docs/semantics.md` has a row for everything that is the same and for everything that is not).
//!
//! All of them use shared memory of this user's processes on one machine, and no daemon.

pub mod fifo;
mod nonblocking;
pub mod pipe;
pub mod posix_mq;
mod queue;
mod seat;
mod seen;
pub mod sem;
pub mod semset;
pub mod socket;
pub mod sysv;
pub mod sysv_mq;
