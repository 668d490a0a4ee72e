//! Small programs to watch, each for a claim about the mechanisms: what is said of it in docs/learn, this shows. Where an
//! example does the same, it is the example's code that runs.

mod both_ways;
mod echo;
#[allow(unsafe_code, dead_code, reason = "examples fork, and have a main of their own")]
mod examples;
mod names;
mod semaphores;
mod waiting;

use std::io::{self, Stdout};
use std::time::Duration;

/// One of them.
pub(crate) struct Demo {
    pub(crate) name: &'static str,
    /// Of docs/semantics.md.
    pub(crate) rows: &'static str,
    pub(crate) shows: &'static str,
    pub(crate) run: fn(&mut Stdout) -> io::Result<()>,
}

/// All of them.
pub(crate) const DEMOS: [Demo; 15] = [
    Demo {
        name: "strangers",
        rows: "P12",
        shows: "a pipe read by a process that has inherited nothing of it",
        run: names::strangers,
    },
    Demo {
        name: "fifo",
        rows: "F2 F5",
        shows: "opening a FIFO waits for the other end, and the name keeps no bytes",
        run: names::fifo,
    },
    Demo {
        name: "keys",
        rows: "Q1 Q2",
        shows: "what ftok makes of a number, and that a key is no identifier",
        run: names::keys,
    },
    Demo {
        name: "order",
        rows: "Q5 M2",
        shows: "types and priorities: the orders in which the same four messages come",
        run: |out| examples::mq_pair::run(out),
    },
    Demo {
        name: "mq-echo",
        rows: "Q14 Q16",
        shows: "a server on one queue that gets its own answers, and one that does not",
        run: |out| examples::mq_echo::run(out),
    },
    Demo {
        name: "waits",
        rows: "Q9 Q11 M4",
        shows: "a receiver with nothing to receive sleeps, it does not poll",
        run: waiting::waits,
    },
    Demo {
        name: "notify",
        rows: "M3 G4",
        shows: "a callback when a message comes to an empty queue, once",
        run: waiting::notify,
    },
    Demo {
        name: "signals",
        rows: "G3",
        shows: "a signal sent three times while it is blocked comes once, a real-time one three times",
        run: waiting::signals,
    },
    Demo {
        name: "workers",
        rows: "E11",
        shows: "workers that share one resource by a semaphore that begins with 1",
        run: semaphores::workers,
    },
    Demo {
        name: "owner",
        rows: "E1 E7 E8 E9 E10",
        shows: "a semaphore has no owner: another thread posts, and a killed process gives nothing back",
        run: semaphores::owner,
    },
    Demo {
        name: "addresses",
        rows: "H5",
        shows: "one ring at two addresses, as in two processes",
        run: names::addresses,
    },
    Demo {
        name: "race",
        rows: "H6",
        shows: "an update lost in shared memory, and none in one atomic step",
        run: |out| examples::shared_memory::run(out),
    },
    Demo {
        name: "ring",
        rows: "H10",
        shows: "producer and consumer, two processes, 20 items, nobody polls",
        run: |out| {
            let (make, take) = (Duration::from_millis(100), Duration::from_millis(150));
            examples::producer_consumer::run(make, take, out)
        },
    },
    Demo {
        name: "echo",
        rows: "K1 K4",
        shows: "an echo server over slipring's socket, the kernel's, and TCP",
        run: echo::run,
    },
    Demo {
        name: "both-ways",
        rows: "P11",
        shows: "two channels of one direction against one of both",
        run: both_ways::run,
    },
];
