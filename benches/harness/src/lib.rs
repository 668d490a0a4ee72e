//! Measures messages between two real processes, and the machine they run on, so that figures can be believed.
//!
//! Every measurement runs in two forked processes, pinned to different cores and watched by the caller ([`process`]).
//! Every message is written completely and checked completely ([`payload`]). Measurements come in interleaved rounds,
//! each reading with a reference taken just before ([`rounds`], [`mod@reference`]), and are reported as medians with
//! their spread, ratios first ([`report`]). [`compare()`] is the whole job: slipring beside the kernel's mechanisms.
//!
//! Call it from a process with one thread: see [`process`].

mod atomics;
mod catalogue;
pub mod clock;
mod compare;
pub mod cores;
mod error;
pub mod load;
pub mod machine;
pub mod measure;
pub mod mechanism;
pub mod payload;
pub mod process;
pub mod reference;
pub mod report;
pub mod rounds;
mod shared;
pub mod stats;
mod syscalls;
mod team;
pub mod text;
pub mod usage;

pub use catalogue::Family;
pub use compare::{CompareOptions, compare};
pub use error::{HarnessError, Side};
pub use report::Report;
pub use rounds::Progress;
