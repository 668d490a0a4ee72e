//! The options a ring is made with, shared by `mk`, `send` and `recv`.

use clap::ValueEnum;
use slipring::{Align, Fences, Options, RingInfo, Wakeup};

use crate::fail::Fail;
use crate::{mode, size};

/// Slots of an MPMC ring, if nobody says.
const SLOTS: usize = 1024;
/// The longest message of an MPMC ring, if nobody says: with its header a slot takes 1 KiB, all of them 1 MiB.
const MESSAGE: usize = 1008;

/// How a new ring is to be. What is not given is left to the library's defaults.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Options of a new ring")]
pub(crate) struct RingArgs {
    /// One sender and one receiver, or many of each [default: spsc]
    #[arg(short = 'k', long, value_name = "KIND")]
    kind: Option<KindArg>,

    /// spsc: size of the data area, a power of two from 4K; K, M and G count in 1024 [default: 1M]
    #[arg(short = 's', long, value_name = "SIZE", value_parser = size::parse_capacity, allow_hyphen_values = true)]
    capacity: Option<usize>,

    /// mpmc: how many messages fit, a power of two [default: 1024]
    #[arg(long, value_name = "N", value_parser = parse_slots, allow_hyphen_values = true)]
    slots: Option<usize>,

    /// mpmc: the longest message; with 16 bytes for itself a slot takes whole cache lines of 64 bytes [default: 1008]
    #[arg(long, value_name = "SIZE", value_parser = size::parse, allow_hyphen_values = true)]
    message: Option<usize>,

    /// mpmc: the most senders and receivers at once, up to 4096 [default: 64]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    participants: Option<u32>,

    /// Permissions in octal [default: 600]
    #[arg(short = 'p', long, value_name = "MODE", value_parser = mode::parse, allow_hyphen_values = true)]
    mode: Option<u32>,

    /// spsc: where records start, on a cache line (fastest between cores) or on 8 bytes (most in the least room)
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

/// `--kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindArg {
    /// one sender, one receiver, records of any length
    Spsc,
    /// any number of senders and receivers, each message for one of them
    Mpmc,
}

/// `--slots`.
fn parse_slots(text: &str) -> Result<usize, String> {
    let (least, most) = (Options::MIN_SLOTS, Options::MAX_SLOTS);
    if text.trim() == "0" {
        return Err(format!("a ring has at least {least} slots"));
    }
    let slots = size::parse(text)?;
    if slots.is_power_of_two() {
        return Ok(slots);
    }
    let hint = match slots.checked_next_power_of_two() {
        Some(next) if next <= most => format!("the next one is {next}"),
        _ => format!("the greatest is {most}"),
    };
    Err(format!("{slots} is not a power of two, as a number of slots must be; {hint}"))
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
    /// The library's options, if those given belong to one kind of ring.
    pub(crate) fn options(&self, persistent: bool) -> Result<Options, Fail> {
        let mpmc = self.kind == Some(KindArg::Mpmc);
        let strange = match mpmc {
            true => [("capacity", self.capacity.is_some()), ("align", self.align.is_some()), ("", false)],
            false => [
                ("slots", self.slots.is_some()),
                ("message", self.message.is_some()),
                ("participants", self.participants.is_some()),
            ],
        };
        if let Some((option, _)) = strange.into_iter().find(|(_, given)| *given) {
            return Err(Fail::Error(match mpmc {
                true => format!(
                    "--{option} is for rings of --kind spsc; the size of an mpmc ring is --slots times --message"
                ),
                false => format!(
                    "--{option} is for rings of --kind mpmc, with many senders and receivers; the size of an spsc \
                     ring, with one of each, is --capacity"
                ),
            }));
        }
        let mut options = match mpmc {
            true => Options::mpmc(self.slots.unwrap_or(SLOTS), self.message.unwrap_or(MESSAGE)),
            false => Options::new(),
        };
        options = options.persistent(persistent);
        if let Some(most) = self.participants {
            options = options.participants(most);
        }
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
        Ok(options)
    }

    /// What was asked for and is not so, because the ring was there before: for a word of warning.
    pub(crate) fn unmet(&self, info: &RingInfo) -> Vec<String> {
        let mut unmet = Vec::new();
        let kind = match self.kind {
            Some(KindArg::Spsc) => Some("spsc"),
            Some(KindArg::Mpmc) => Some("mpmc"),
            None => None,
        };
        if kind.is_some_and(|kind| kind != info.kind) {
            unmet.push(format!("kind {}", info.kind));
        }
        if let Some(slots) = info.slots {
            if self.slots.is_some_and(|asked| asked as u64 != slots) {
                unmet.push(format!("{slots} slots"));
            }
            // A ring may take longer ones than it was asked for: slots are whole cache lines.
            if self.message.is_some_and(|asked| asked as u64 > info.max_len) {
                unmet.push(format!("messages of at most {} bytes", info.max_len));
            }
            if self.participants.is_some_and(|asked| asked != info.max_participants) {
                unmet.push(format!("{} participants", info.max_participants));
            }
        }
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
