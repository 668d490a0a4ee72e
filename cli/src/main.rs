//! The `slipring` command; all of it is in `lib.rs`, where its parser can be tested from outside.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    slipring_cli::main()
}
