//! How a verb may end, and the exit code that follows: 0 yes or done, 1 no, 2 error. The only place that writes
//! `slipring: ` in front of a message, and the only one that ends the process.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use nix::sys::signal::{self, SigSet, Signal};

use crate::table::clean_except;

/// Why a verb did not end with "yes".
#[derive(Debug)]
pub(crate) enum Fail {
    /// The answer is no: a peer died, a ring is in use, nothing was there. Exit code 1.
    No(String),
    /// The question could not be answered: bad usage, input or output. Exit code 2.
    Error(String),
    /// As `No` or `Error`, but everything was said already. Carries the exit code.
    Said(u8),
    /// The reader of standard output has gone, which is how pipelines end. Exit code 0.
    BrokenPipe,
    /// A signal asked us to stop, and everything is closed: die by that signal, so that the shell knows.
    Signal(Signal),
}

impl Fail {
    /// The exit code, were the process to end now.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Fail::No(_) => 1,
            Fail::Error(_) => 2,
            Fail::Said(code) => *code,
            Fail::BrokenPipe => 0,
            Fail::Signal(signal) => 128 + *signal as u8,
        }
    }

    /// An error of a file or stream: what it was, what happened.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Fail {
        Fail::Error(format!("{what}: {}", without_code(error)))
    }
}

impl From<slipring::Error> for Fail {
    /// What is merely not so is "no"; everything else is an error.
    fn from(error: slipring::Error) -> Fail {
        use slipring::Error as E;
        let text = error.to_string();
        match error {
            E::NotFound { name } => Fail::No(format!(
                "{name}: no such ring; `slipring ls` lists what there is, `slipring mk` makes one"
            )),
            E::WrongKind { name, .. } => Fail::Error(format!("{text}; `slipring stat` says what {name} is")),
            E::Exists { .. } | E::Busy { .. } | E::InUse { .. } => Fail::No(text),
            _ => Fail::Error(text),
        }
    }
}

/// The text of a system error without the ` (os error N)` that std appends: the words are enough.
pub(crate) fn without_code(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Tells the user something; what came from outside cannot draw on the terminal. A closed or full standard error must not stop the work, so failures are ignored.
pub(crate) fn say(text: impl fmt::Display) {
    let text = clean_except(&text.to_string(), &['\n', '\t']);
    let _ = writeln!(io::stderr(), "slipring: {text}");
}

/// Ends the process: says what is left to say and gives the exit code.
pub(crate) fn end(outcome: Result<(), Fail>) -> ExitCode {
    let Err(fail) = outcome else { return ExitCode::SUCCESS };
    match &fail {
        Fail::No(text) | Fail::Error(text) => say(text),
        Fail::Said(_) | Fail::BrokenPipe => {}
        Fail::Signal(signal) => die_by(*signal),
    }
    ExitCode::from(fail.code())
}

/// Ends the process by `signal`, as if it had never been caught. Returns only if that failed.
fn die_by(signal: Signal) {
    let _ = signal::raise(signal);
    let _ = SigSet::from(signal).thread_unblock();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_house() {
        assert_eq!(Fail::No(String::new()).code(), 1);
        assert_eq!(Fail::Error(String::new()).code(), 2);
        assert_eq!(Fail::BrokenPipe.code(), 0);
        assert_eq!(Fail::from(slipring::Error::NotFound { name: "/x".into() }).code(), 1);
        assert_eq!(Fail::from(slipring::Error::NotARing { name: "/x".into() }).code(), 2);
    }

    #[test]
    fn system_errors_read_like_those_of_other_tools() {
        let full = io::Error::from_raw_os_error(nix::libc::ENOSPC);
        assert_eq!(without_code(&full), "No space left on device");
    }
}
