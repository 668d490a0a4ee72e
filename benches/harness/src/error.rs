//! What can go wrong in a measurement. The same value is reported by a child and returned by the caller's process,
//! which is why every variant can be serialised.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why there is no measurement. `Display` says what happened and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HarnessError {
    /// The calling process has more than one thread, so it cannot be forked safely.
    Threads {
        /// How many threads it has.
        count: usize,
    },
    /// The kernel refused something.
    Os {
        /// What was attempted.
        what: String,
        /// The errno of the refusal.
        errno: i32,
    },
    /// A measuring process ended without an answer.
    Died {
        /// Which of the two.
        side: Side,
        /// `signal 9` or `exit code 1`.
        how: String,
    },
    /// A measuring process panicked.
    Panicked {
        /// Which of the two.
        side: Side,
        /// The panic's message.
        message: String,
    },
    /// Nothing came back within the limit; both processes were killed.
    Wedged {
        /// The limit.
        limit: Duration,
    },
    /// The other end closed in mid-measurement.
    Closed,
    /// A message was not the one that was sent.
    Mismatch {
        /// Sequence number the receiver expected.
        seq: u64,
        /// What was different.
        what: String,
    },
    /// A message had another size than asked for.
    Size {
        /// The size asked for.
        want: usize,
        /// The size that travelled.
        got: usize,
    },
    /// A size or setting that cannot be measured.
    BadOption {
        /// Which one and why.
        what: String,
    },
    /// A mechanism cannot carry such a message here, though it works: a limit of the system, or its nature.
    Limit {
        /// The limit, and where it stands.
        what: String,
    },
    /// The ring under measurement refused.
    Ring {
        /// The ring's own words.
        what: String,
    },
    /// A child's answer did not fit the page it is handed back in, or could not be read.
    Answer {
        /// Details.
        what: String,
    },
}

/// One of the two measuring processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// The process that starts the exchange: the pinger or the sender.
    Left,
    /// The process that answers: the ponger or the receiver.
    Right,
    /// One of a crowd, which the starting process has started.
    Member(usize),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Side::Left => f.write_str("starting"),
            Side::Right => f.write_str("answering"),
            Side::Member(number) => write!(f, "crowd's {number}th"),
        }
    }
}

impl HarnessError {
    /// The refusal of `what` with `errno`, in whichever crate's type it came.
    pub fn os(what: impl Into<String>, errno: impl Into<std::io::Error>) -> Self {
        HarnessError::Os { what: what.into(), errno: errno.into().raw_os_error().unwrap_or(0) }
    }
}

impl fmt::Display for HarnessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HarnessError::Threads { count } => write!(
                f,
                "cannot measure from a process with {count} threads: both measuring processes are forked from it; \
                 measure before starting threads, or from a program of your own"
            ),
            HarnessError::Os { what, errno } => {
                write!(f, "{what}: {}", std::io::Error::from_raw_os_error(*errno))
            }
            HarnessError::Died { side, how } => {
                write!(f, "the {side} process ended without an answer ({how}); was it killed?")
            }
            HarnessError::Panicked { side, message } => write!(f, "the {side} process panicked: {message}"),
            HarnessError::Wedged { limit } => write!(
                f,
                "no answer within {limit:?}, both measuring processes were killed; \
                 if the machine is that busy, allow a longer limit"
            ),
            HarnessError::Closed => f.write_str("the other measuring process closed its end too early"),
            HarnessError::Mismatch { seq, what } => write!(f, "message {seq} arrived changed: {what}"),
            HarnessError::Size { want, got } => {
                write!(f, "asked for a message of {want} bytes, {got} travelled")
            }
            HarnessError::BadOption { what } => write!(f, "cannot measure that: {what}"),
            HarnessError::Limit { what } => f.write_str(what),
            HarnessError::Ring { what } => write!(f, "the ring refused: {what}"),
            HarnessError::Answer { what } => {
                write!(f, "the answer of a measuring process is unusable: {what}")
            }
        }
    }
}

impl std::error::Error for HarnessError {}
