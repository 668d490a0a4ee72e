//! What a measurement cost: processor time and context switches of the calling process.
#![forbid(unsafe_code)]

use std::ops::{Add, Sub};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};

use crate::error::HarnessError;

/// Processor time and context switches, as the kernel counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time in microseconds, the kernel's resolution.
    pub cpu_us: i64,
    /// Switches because the process slept.
    pub voluntary: i64,
    /// Switches because the kernel wanted the core for something else.
    pub involuntary: i64,
}

impl Usage {
    /// Of this process since it started.
    pub fn so_far() -> Result<Usage, HarnessError> {
        Usage::of(UsageWho::RUSAGE_SELF)
    }

    /// Of this process and of its children that were waited for.
    pub(crate) fn with_children() -> Result<Usage, HarnessError> {
        Ok(Usage::so_far()? + Usage::of(UsageWho::RUSAGE_CHILDREN)?)
    }

    fn of(who: UsageWho) -> Result<Usage, HarnessError> {
        let usage =
            getrusage(who).map_err(|errno| HarnessError::os("asking for the processor time", errno))?;
        Ok(Usage {
            cpu_us: usage.user_time().num_microseconds() + usage.system_time().num_microseconds(),
            voluntary: usage.voluntary_context_switches(),
            involuntary: usage.involuntary_context_switches(),
        })
    }
}

impl Add for Usage {
    type Output = Usage;

    fn add(self, other: Usage) -> Usage {
        Usage {
            cpu_us: self.cpu_us + other.cpu_us,
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
        }
    }
}

impl Sub for Usage {
    type Output = Usage;

    fn sub(self, other: Usage) -> Usage {
        Usage {
            cpu_us: self.cpu_us - other.cpu_us,
            voluntary: self.voluntary - other.voluntary,
            involuntary: self.involuntary - other.involuntary,
        }
    }
}
