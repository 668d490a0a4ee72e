//! The `slipring` command as a library of its one program: make, list, look into, remove, feed and drain rings from a shell.
//! `cli` says what may be typed, `verb` does it, `flow` moves the bytes, `demo` has small programs to watch, `fail` turns an end into an exit code.
//! Standard output carries data only; everything said to people goes to standard error.
#![deny(unsafe_code)]

mod cli;
mod demo;
mod duration;
mod fail;
mod flow;
mod json;
mod mode;
mod out;
mod place;
mod render;
mod ring_args;
mod size;
mod table;
mod time;
mod verb;

use std::process::ExitCode;

/// Reads the command line, carries the verb out and reports how it ended.
#[must_use]
pub fn main() -> ExitCode {
    fail::end(cli::parse().and_then(verb::run))
}

pub use cli::{command, understand};
