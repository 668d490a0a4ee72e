//! The machine's atomics with a hook before each operation and each full fence: so that a fault can be put between any
//! two steps of the protocol. Compiled with `--cfg slipring_steps` only, for the fault harness; no cost otherwise.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use core::ops::Deref;
use core::sync::atomic::{self, Ordering};
use std::sync::OnceLock;

static HOOK: OnceLock<fn()> = OnceLock::new();

/// Has `hook` called before each step of this process and of those that it forks. The first hook stays.
pub fn on_step(hook: fn()) {
    let _ = HOOK.set(hook);
}

fn step() {
    if let Some(hook) = HOOK.get() {
        hook();
    }
}

/// As [`atomic::fence`].
pub fn fence(order: Ordering) {
    step();
    atomic::fence(order);
}

macro_rules! stepped {
    ($name:ident, $of:ty, $value:ty) => {
        /// As that of core. Operations that are not written out here are reached through it, without a hook.
        #[repr(transparent)]
        pub struct $name($of);

        impl Deref for $name {
            type Target = $of;
            fn deref(&self) -> &$of {
                &self.0
            }
        }

        #[allow(missing_docs, reason = "as those of core")]
        impl $name {
            pub const fn new(value: $value) -> Self {
                Self(<$of>::new(value))
            }

            /// # Safety
            /// As that of core.
            pub unsafe fn from_ptr<'a>(at: *mut $value) -> &'a Self {
                // SAFETY: by the caller's contract, and transparent over core's.
                unsafe { &*at.cast::<Self>() }
            }

            pub fn load(&self, order: Ordering) -> $value {
                step();
                self.0.load(order)
            }

            pub fn store(&self, value: $value, order: Ordering) {
                step();
                self.0.store(value, order);
            }

            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.swap(value, order)
            }

            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_add(value, order)
            }

            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_sub(value, order)
            }

            pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_or(value, order)
            }

            pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.fetch_and(value, order)
            }

            pub fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                ok: Ordering,
                failed: Ordering,
            ) -> Result<$value, $value> {
                step();
                self.0.compare_exchange(from, to, ok, failed)
            }

            pub fn compare_exchange_weak(
                &self,
                from: $value,
                to: $value,
                ok: Ordering,
                failed: Ordering,
            ) -> Result<$value, $value> {
                step();
                self.0.compare_exchange_weak(from, to, ok, failed)
            }
        }
    };
}

stepped!(AtomicU32, atomic::AtomicU32, u32);
stepped!(AtomicU64, atomic::AtomicU64, u64);
