//! What the corrected table says: the cell that each probe must find.
#![forbid(unsafe_code)]

use super::{SLIPRING, rings};

/// What a cell must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This.
    Is(&'static str),
    /// This number, which the machine's settings say.
    Number(u64),
    /// A number above 0 that depends on the kernel's bookkeeping.
    Some,
}

impl Expected {
    /// Whether it is so.
    #[must_use]
    pub fn holds(&self, value: &str) -> bool {
        match self {
            Expected::Is(expected) => value == *expected,
            Expected::Number(number) => value == number.to_string(),
            Expected::Some => value.parse::<u64>().is_ok_and(|number| number > 0),
        }
    }
}

/// The first number of a file of the system's settings.
pub(super) fn setting(path: &str, otherwise: u64) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// What the corrected table says of a mechanism, column by column; `None` if there is no such row.
#[must_use]
pub fn expected(mechanism: &str, of: &str) -> Option<[Expected; 10]> {
    use Expected::{Is, Number, Some as Any};
    let ours = of == SLIPRING;
    // connectionless, reliable, flow control, records, order, poll
    let words = match mechanism {
        "pipe" | "fifo" | "unix-stream" => ["no", "yes", "yes", "no", "no", "yes"],
        "sysv-mq" => ["no", "yes", "yes", "yes", "types", "no"],
        "posix-mq" => ["no", "yes", "yes", "yes", "priorities", "yes"],
        "sem" | "semset" => ["no", "yes", "n/a", "n/a", "no", "no"],
        "shm" => ["no", "n/a", "none", "none", "no", "no"],
        "unix-dgram" => ["yes", "yes", "yes", "yes", "no", "yes"],
        "unix-seqpacket" | "ring-spsc" | "ring-mpmc" => ["no", "yes", "yes", "yes", "no", "yes"],
        _ => return None,
    };
    let mut words = words.map(Is);
    if ours {
        // No descriptor follows what shared memory holds: docs/semantics.md.
        words[5] = Is("no");
    }
    let [connectionless, reliable, flow, records, order, poll] = words;
    let flow = if mechanism == "ring-mpmc" { Is("yes, or drop-oldest") } else { flow };
    let opening = match mechanism {
        "pipe" => "n/a",
        "fifo" => "yes",
        _ => "no",
    };
    let death = match mechanism {
        "pipe" | "fifo" | "unix-stream" | "unix-seqpacket" => "EOF, EPIPE",
        "sysv-mq" | "posix-mq" => "queue stays",
        "sem" => "permit lost",
        "semset" => "SEM_UNDO only",
        "unix-dgram" => "ECONNREFUSED",
        "ring-spsc" => "PeerDied, then a successor",
        "ring-mpmc" => "repaired",
        _ => "torn, untold",
    };
    let buffer = setting("/proc/sys/net/core/wmem_default", 212_992);
    let longest = match mechanism {
        "pipe" | "fifo" | "unix-stream" => Is("any"),
        "sysv-mq" if !ours => Number(setting("/proc/sys/kernel/msgmax", 8192)),
        "posix-mq" if !ours => Number(setting("/proc/sys/fs/mqueue/msgsize_default", 8192)),
        "sysv-mq" | "posix-mq" => Number(8192),
        "unix-dgram" | "unix-seqpacket" if !ours => Number(buffer - 32),
        "unix-dgram" | "unix-seqpacket" => Number(212_992 - 32),
        "shm" => Is("any"),
        "sem" | "semset" => Is("n/a"),
        _ => Any,
    };
    let holds = match mechanism {
        "pipe" | "fifo" => Number(1024),
        "sysv-mq" if !ours => Number(setting("/proc/sys/kernel/msgmnb", 16384) / 64),
        "posix-mq" if !ours => Number(setting("/proc/sys/fs/mqueue/msg_default", 10)),
        "sysv-mq" => Number(16384 / 64),
        "posix-mq" => Number(10),
        "sem" => Number(2_147_483_647),
        "semset" => Number(32767),
        "shm" => Is("n/a"),
        "ring-mpmc" => Number(rings::SLOTS as u64),
        _ => Any,
    };
    Some([connectionless, reliable, flow, records, order, poll, Is(opening), Is(death), longest, holds])
}
