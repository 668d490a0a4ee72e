//! Options that `send` and `recv` share.

use std::time::Duration;

use slipring::WaitStrategy;

use crate::{duration, size};

/// How to wait, how to cut, what to say.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FlowArgs {
    /// One record a line, without the newline, instead of a stream of bytes
    #[arg(short = 'l', long)]
    pub(crate) lines: bool,

    /// Give up when nothing has moved through the ring for this long: 500ms, 2s, 1m; a bare number counts seconds
    #[arg(short = 't', long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,

    /// Wait by polling: lowest latency, occupies a core
    #[arg(long, group = "wait")]
    spin: bool,

    /// Wait by polling, giving the core to others in between
    #[arg(long = "yield", group = "wait")]
    give_way: bool,

    /// Wait by polling for a moment, then sleep (the default, where the ring has something to sleep on)
    #[arg(long, group = "wait")]
    park: bool,

    /// Show no progress and no warnings
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,

    /// If the ring is made here, let it stay when both sides have left
    #[arg(long, help_heading = "Options of a new ring")]
    pub(crate) persistent: bool,
}

impl FlowArgs {
    /// The strategy asked for, if any.
    pub(crate) fn strategy(&self) -> Option<WaitStrategy> {
        match self {
            FlowArgs { spin: true, .. } => Some(WaitStrategy::Spin),
            FlowArgs { give_way: true, .. } => Some(WaitStrategy::Yield),
            FlowArgs { park: true, .. } => Some(WaitStrategy::Park),
            _ => None,
        }
    }
}

/// `12 records (340 bytes)`, or only the bytes where records are no more than pieces.
pub(crate) fn amount(lines: bool, records: u64, bytes: u64) -> String {
    let plural = |n: u64, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    match lines {
        true => format!("{} ({})", plural(records, "record"), plural(bytes, "byte")),
        false => plural(bytes, "byte"),
    }
}

/// The size of a piece of a byte stream: as asked for, else what is fair to the ring, up to 256 KiB, so that neither side
/// waits for the other at each piece; never more than fits.
pub(crate) fn chunk(asked: Option<usize>, fair_len: usize, max_len: usize) -> usize {
    asked.unwrap_or(fair_len.min(256 << 10)).min(max_len).max(1)
}

/// `--chunk`, for its parser.
pub(crate) fn parse_chunk(text: &str) -> Result<usize, String> {
    size::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_agree_in_number() {
        assert_eq!(amount(true, 1, 1), "1 record (1 byte)");
        assert_eq!(amount(true, 12, 340), "12 records (340 bytes)");
        assert_eq!(amount(false, 3, 0), "0 bytes");
    }

    #[test]
    fn chunks_always_fit() {
        assert_eq!(chunk(None, 1 << 16, 500_000), 65_536);
        assert_eq!(chunk(None, 1 << 36, 1 << 39), 256 << 10);
        assert_eq!(chunk(Some(usize::MAX), 4096, 2000), 2000);
        assert_eq!(chunk(Some(1), 4096, 2000), 1);
    }
}
