//! What may be typed: the verbs, and how a bad command line is answered. Each verb's own arguments stand in its file.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::fail::Fail;
use crate::out;
use crate::verb::{
    compare, completions, conform, demo, fsck, ls, man, mk, mq, pipe, recv, rm, sem, send, stat, verify,
};

/// Exit codes, and where the examples are.
const AFTER: &str = "\
Exit codes: 0 yes or done, 1 no (a peer died, a ring is in use, nothing was there), 2 error (bad usage, \
input or output).

Examples:
  tar c src | slipring send /backup          # in one terminal
  slipring recv /backup | tar t              # in another, before or after

  slipring mk /prices -s 16M && slipring ls
  slipring mk /jobs --kind mpmc              # many senders, many receivers
  slipring fsck /jobs                        # who holds what, and is it sound
  slipring help send                         # every verb has examples";

/// Move bytes and messages between processes through lock-free rings in shared memory.
#[derive(Debug, Parser)]
#[command(name = "slipring", version, after_help = AFTER, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// One command each.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a ring that stays until it is removed
    Mk(mk::Args),
    /// List the rings of this machine
    #[command(alias = "list")]
    Ls(ls::Args),
    /// Show everything about one ring
    Stat(stat::Args),
    /// Remove rings
    Rm(rm::Args),
    /// Examine a ring: who holds what, what is broken, what the dead hold
    Fsck(fsck::Args),
    /// Send standard input or a file through a ring
    Send(send::Args),
    /// Receive what is sent through a ring
    Recv(recv::Args),
    /// Join the stages of a pipeline by a named pipe
    Pipe(pipe::Args),
    /// Message queues of System V and of POSIX: make, list, send, receive, remove
    Mq(mq::Args),
    /// Take and post the permits of semaphores
    Sem(sem::Args),
    /// Compare slipring's pipes, message queues, semaphores and sockets with the kernel's, operation by operation
    Conform(conform::Args),
    /// Watch small programs that show how the kernel's mechanisms behave, and slipring's
    Demo(demo::Args),
    /// Measure slipring against the kernel's own mechanisms on this machine
    Compare(compare::Args),
    /// Kill and stop processes at random while they move messages on this machine, and account for every message
    Verify(verify::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write all pages into a directory
    Man(man::Args),
}

/// The whole definition, for completions, manual pages and tests.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Whether this command line, program name included, can be carried out; if not, what its user would be told. Carries
/// nothing out.
///
/// # Errors
/// The complaint, or the help that was asked for.
pub fn understand(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<(), String> {
    Cli::try_parse_from(args).map(|_| ()).map_err(|error| error.render().to_string())
}

/// Reads the command line. Help and version go to standard output, complaints are an error.
pub(crate) fn parse() -> Result<Verb, Fail> {
    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(cli.verb),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            error.print().map_err(|e| out::failed(&e))?;
            // Nothing is left to do, and nothing went wrong.
            Err(Fail::Said(0))
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Err(Fail::Said(2))
        }
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            Err(Fail::Error(text.trim_end().to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_holds_together() {
        super::command().debug_assert();
    }
}
