//! A crowd's members as threads of the calling process, for mechanisms that only work within one. As processes they are
//! started by [`Pair::crowd`](crate::process::Pair).
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

use crate::atomics::Word;
use crate::cores::Cores;
use crate::error::{HarnessError, Side};
use crate::process::Meeting;
use crate::shared::Line;

/// Starts `count` threads, every other one on the same core, gives each its number, and returns their answers in that
/// order. At the first failure it returns at once: the others may wait for the one that failed, and end with the process.
pub(crate) fn threads<A: Send + 'static>(
    cores: Cores,
    count: usize,
    work: impl Fn(usize, &Meeting<'_>) -> Result<A, HarnessError> + Send + Sync + 'static,
) -> Result<Vec<A>, HarnessError> {
    let (work, arrivals) = (Arc::new(work), Arc::new(Line(Word::default())));
    let (report, reports) = mpsc::channel();
    let mut team = Vec::with_capacity(count);
    for number in 0..count {
        let (work, arrivals, report) = (work.clone(), arrivals.clone(), report.clone());
        let member = std::thread::Builder::new().spawn(move || {
            let side = Side::Member(number);
            let result = catch_unwind(AssertUnwindSafe(|| {
                cores.pin(side)?;
                work(number, &Meeting::of(count, &arrivals.0))
            }));
            let panicked = || HarnessError::Panicked { side, message: "see standard error".into() };
            // The caller has gone on if it does not listen any more.
            let _ = report.send((number, result.unwrap_or_else(|_| Err(panicked()))));
        });
        team.push(member.map_err(|error| HarnessError::os("starting a thread", error))?);
    }
    drop(report);
    let mut answers: Vec<Option<A>> = (0..count).map(|_| None).collect();
    for (number, result) in reports {
        answers[number] = Some(result?);
    }
    for member in team {
        // It has reported, so it has not panicked; joined, so that the process has one thread again.
        let _ = member.join();
    }
    Ok(answers.into_iter().flatten().collect())
}
