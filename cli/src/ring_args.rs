//! The options a ring is made with, shared by `mk`, `send` and `recv`.

use clap::ValueEnum;
use slipring::{Align, Fences, Options, RingInfo, Wakeup};

use crate::{mode, size};

/// How a new ring is to be. What is not given is left to the library's defaults.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Options of a new ring")]
pub(crate) struct RingArgs {
    /// Size of the data area, a power of two from 4K; K, M and G count in 1024 [default: 1M]
    #[arg(short = 's', long, value_name = "SIZE", value_parser = size::parse_capacity, allow_hyphen_values = true)]
    capacity: Option<usize>,

    /// Permissions in octal [default: 600]
    #[arg(short = 'p', long, value_name = "MODE", value_parser = mode::parse, allow_hyphen_values = true)]
    mode: Option<u32>,

    /// Where records start: on a cache line (fastest between cores) or on 8 bytes (most in the least room)
    /// [default: line]
    #[arg(long, value_name = "HOW", hide_possible_values = false)]
    align: Option<AlignArg>,

    /// What sleepers sleep on; with none they can only spin or yield [default: futex]
    #[arg(long, value_name = "OBJECT")]
    wakeup: Option<WakeupArg>,

    /// Who pays for the fence between a sender and a sleeper: the sleeper alone, or both
    /// [default: asymmetric where the kernel can]
    #[arg(long, value_name = "HOW")]
    fences: Option<FencesArg>,
}

/// `--align`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AlignArg {
    /// 64 bytes
    Line,
    /// 8 bytes
    Dense,
}

/// `--wakeup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WakeupArg {
    /// nothing: spin or yield
    None,
    /// futex(2)
    Futex,
    /// a POSIX semaphore shared between processes
    Semaphore,
}

/// `--fences`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FencesArg {
    /// the sleeper pays, with membarrier(2)
    Asymmetric,
    /// both pay, with a full fence
    Plain,
}

impl From<AlignArg> for Align {
    fn from(arg: AlignArg) -> Align {
        match arg {
            AlignArg::Line => Align::Line,
            AlignArg::Dense => Align::Dense,
        }
    }
}

impl From<WakeupArg> for Wakeup {
    fn from(arg: WakeupArg) -> Wakeup {
        match arg {
            WakeupArg::None => Wakeup::None,
            WakeupArg::Futex => Wakeup::Futex,
            WakeupArg::Semaphore => Wakeup::Semaphore,
        }
    }
}

impl From<FencesArg> for Fences {
    fn from(arg: FencesArg) -> Fences {
        match arg {
            FencesArg::Asymmetric => Fences::Asymmetric,
            FencesArg::Plain => Fences::Plain,
        }
    }
}

impl RingArgs {
    /// The library's options.
    pub(crate) fn options(&self, persistent: bool) -> Options {
        let mut options = Options::new().persistent(persistent);
        if let Some(bytes) = self.capacity {
            options = options.capacity(bytes);
        }
        if let Some(mode) = self.mode {
            options = options.mode(mode);
        }
        if let Some(align) = self.align {
            options = options.align(align.into());
        }
        if let Some(wakeup) = self.wakeup {
            options = options.wakeup(wakeup.into());
        }
        if let Some(fences) = self.fences {
            options = options.fences(fences.into());
        }
        options
    }

    /// What was asked for and is not so, because the ring was there before: for a word of warning.
    pub(crate) fn unmet(&self, info: &RingInfo) -> Vec<String> {
        let mut unmet = Vec::new();
        if self.capacity.is_some_and(|bytes| bytes as u64 != info.capacity) {
            unmet.push(format!("a capacity of {}", size::short(info.capacity)));
        }
        if self.mode.is_some_and(|mode| mode != info.mode & 0o777) {
            unmet.push(format!("mode {:04o}", info.mode & 0o777));
        }
        if self.align.is_some_and(|align| Align::from(align) != info.align) {
            unmet.push(format!("align {}", align_name(info.align)));
        }
        if self.wakeup.is_some_and(|wakeup| Wakeup::from(wakeup) != info.wakeup) {
            unmet.push(format!("wakeup {}", wakeup_name(info.wakeup)));
        }
        if self.fences.is_some_and(|fences| Fences::from(fences) != info.fences) {
            unmet.push(format!("fences {}", fences_name(info.fences)));
        }
        unmet
    }
}

/// As typed and as in JSON.
pub(crate) fn align_name(align: Align) -> &'static str {
    match align {
        Align::Line => "line",
        Align::Dense => "dense",
    }
}

/// As typed and as in JSON.
pub(crate) fn wakeup_name(wakeup: Wakeup) -> &'static str {
    match wakeup {
        Wakeup::None => "none",
        Wakeup::Futex => "futex",
        Wakeup::Semaphore => "semaphore",
    }
}

/// As typed and as in JSON.
pub(crate) fn fences_name(fences: Fences) -> &'static str {
    match fences {
        Fences::Asymmetric => "asymmetric",
        Fences::Plain => "plain",
    }
}
