//! One verb a file: its arguments with their help, and what it does.

pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod conform;
pub(crate) mod demo;
pub(crate) mod fsck;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod mk;
pub(crate) mod mq;
pub(crate) mod pipe;
pub(crate) mod recv;
mod recv_many;
mod recv_one;
pub(crate) mod rm;
pub(crate) mod sem;
pub(crate) mod send;
mod send_lines;
pub(crate) mod stat;
pub(crate) mod verify;

use crate::cli::Verb;
use crate::fail::Fail;

/// Does what was asked for.
pub(crate) fn run(verb: Verb) -> Result<(), Fail> {
    match verb {
        Verb::Mk(args) => mk::run(&args),
        Verb::Ls(args) => ls::run(&args),
        Verb::Stat(args) => stat::run(&args),
        Verb::Rm(args) => rm::run(&args),
        Verb::Fsck(args) => fsck::run(&args),
        Verb::Send(args) => send::run(&args),
        Verb::Recv(args) => recv::run(&args),
        Verb::Pipe(args) => pipe::run(&args),
        Verb::Mq(args) => mq::run(&args),
        Verb::Sem(args) => sem::run(&args),
        Verb::Conform(args) => conform::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Verify(args) => verify::run(&args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Man(args) => man::run(&args),
    }
}
