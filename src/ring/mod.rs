//! The algorithms: who may touch which byte, and by which atomic operation that right moves. One algorithm a file,
//! no blocking, no operating system: sleeping is `event`'s job, handles are `channel`'s.

mod ends;
pub mod journal;
pub mod mpmc;
pub mod observe;
pub mod pages;
mod pin;
pub mod records;
mod scan;
pub mod spsc;
pub mod store;
pub mod sweep;
mod treap;

pub use scan::observed_bytes;
