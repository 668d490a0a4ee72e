//! `slipring pipe`: standard input into a named pipe, a named pipe to standard output, so that the stages of a pipeline can
//! be started in different places. Signals kill as they kill cat(1): the pipe outlives it.

use std::io::{self, Read, Write};

use slipring::adapters::fifo::{Fifo, Open};
use slipring::adapters::pipe::Options;

use crate::fail::Fail;
use crate::out;

/// Shown below the options.
const EXAMPLES: &str = "\
Opening waits until the other end is opened. The reader ends when the last writer has closed and everything was \
read. The name is made by whoever comes first and stays until it is removed; bytes that nobody has read are gone \
with the last user.

Exit codes: 0 done, 1 no such pipe, or nobody reads any more, 2 error.

Examples:
  ps -ef | slipring pipe write /ps                    # in one terminal
  slipring pipe read /ps | grep java                  # in another, before or after
  slipring pipe rm /ps";

/// `pipe` and its verbs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write standard input to a named pipe
    Write(Name),
    /// Read a named pipe to standard output
    Read(Name),
    /// Remove a named pipe
    Rm(Name),
}

#[derive(Debug, clap::Args)]
struct Name {
    /// The name, as /orders
    name: String,
}

/// Does it.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    match &args.verb {
        Verb::Write(Name { name }) => write(name),
        Verb::Read(Name { name }) => read(name),
        Verb::Rm(Name { name }) => fifo(name)?.unlink().map_err(|error| failed(name, &error)),
    }
}

fn failed(name: &str, error: &io::Error) -> Fail {
    match error.kind() {
        io::ErrorKind::NotFound => Fail::No(format!("{name}: no such pipe")),
        io::ErrorKind::BrokenPipe => Fail::No(format!("{name}: nobody reads any more")),
        _ => Fail::io(name, error),
    }
}

fn fifo(name: &str) -> Result<Fifo, Fail> {
    Fifo::named(name).map_err(|error| failed(name, &error))
}

/// The pipe of this name, made if there is none.
fn made(name: &str) -> Result<Fifo, Fail> {
    let fifo = fifo(name)?;
    match fifo.create(&Options::new(), 0o600) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(name, &error)),
        _ => Ok(fifo),
    }
}

fn write(name: &str) -> Result<(), Fail> {
    let failed = |error| failed(name, &error);
    let mut writer = made(name)?.open_writer(Open::Wait).map_err(failed)?;
    pass_on(
        &mut io::stdin().lock(),
        |error| Fail::io("cannot read standard input", &error),
        |bytes| writer.write_all(bytes).map_err(failed),
    )
}

fn read(name: &str) -> Result<(), Fail> {
    let failed = |error| failed(name, &error);
    let mut reader = made(name)?.open_reader(Open::Wait).map_err(failed)?;
    pass_on(&mut reader, failed, out::bytes)
}

/// Everything from `from` to `to`, as it comes.
fn pass_on(
    from: &mut impl Read,
    failed: impl Fn(io::Error) -> Fail,
    mut to: impl FnMut(&[u8]) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => to(&buffer[..len])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
