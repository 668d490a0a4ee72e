//! The facade over everything that two threads or two processes touch at once: atomics, fences, cells, futexes, the
//! clock of a wait. The model half of the crate imports these names only, so that the same source runs on the
//! machine (`real`) and under the loom model checker (`model`). This is the one place with a cfg for the model, and for the hooks
//! before each atomic operation that the fault harness asks for (`steps`).

#[cfg(not(slipring_model))]
mod real;
#[cfg(not(slipring_model))]
pub use real::*;

#[cfg(not(any(slipring_model, slipring_steps)))]
use core::sync::atomic as words;
#[cfg(slipring_steps)]
pub mod steps;
#[cfg(slipring_steps)]
use steps as words;

#[cfg(slipring_model)]
mod model;
#[cfg(slipring_model)]
pub use model::*;
#[cfg(slipring_model)]
mod weaken;
