//! Models of slipring's algorithms. The modules below are the library's own source files, compiled a second time with
//! the facade `sync` turned to loom: what is explored here is what runs. [`check`] explores a model and compares the
//! outcomes that it reached with those that it lists; [`rig`] and [`slots`] have small rings to model with; [`notes`] reads the notes
//! beside the library's atomic operations, for the `weaken` tool.

#[path = "../../src/channel/mod.rs"]
pub mod channel;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/event.rs"]
pub mod event;
#[path = "../../src/layout.rs"]
pub mod layout;
#[path = "../../src/ring/mod.rs"]
pub mod ring;
#[path = "../../src/sync/mod.rs"]
pub mod sync;
#[path = "../../src/view.rs"]
pub mod view;
#[path = "../../src/watch.rs"]
pub mod watch;

mod check;
pub mod notes;
pub mod rig;
pub mod slots;

pub use check::{Run, check, check_bounded};
