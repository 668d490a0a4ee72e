//! Under the model only: gives one site of the model half a weaker ordering for one run, so that the `weaken` tool
//! (`loom-tests/`) need neither change nor build anything. A site is the place that calls the facade, which is
//! `#[track_caller]` from there to here. Without a request in the environment nothing is changed.
//!
//! `SLIPRING_WEAKEN=ring/spsc.rs:218:65=relaxed` weakens the operation that starts at this line and column.
//! `SLIPRING_SITES=FILE` writes a line for each site that the run reaches: only such a site can have been weakened.

use core::panic::Location;
use loom::sync::atomic::Ordering;
use std::collections::HashSet;
use std::io::Write;
use std::sync::{LazyLock, Mutex, PoisonError};

/// What is done to the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The ordering becomes this one.
    To(Ordering),
    /// The ordering of a failed exchange becomes this one.
    FailureTo(Ordering),
    /// A fence goes.
    Remove,
    /// A read-modify-write becomes a load and a store.
    Split,
}

impl Step {
    fn parse(text: &str) -> Option<Step> {
        let ordering = |name| match name {
            "relaxed" => Some(Ordering::Relaxed),
            "acquire" => Some(Ordering::Acquire),
            "release" => Some(Ordering::Release),
            "acqrel" => Some(Ordering::AcqRel),
            _ => None,
        };
        match (text, text.strip_prefix("failure-")) {
            ("removed", _) => Some(Step::Remove),
            ("split", _) => Some(Step::Split),
            (_, Some(failure)) => ordering(failure).map(Step::FailureTo),
            _ => ordering(text).map(Step::To),
        }
    }
}

struct Request {
    file: String,
    line: u32,
    column: u32,
    step: Step,
}

impl Request {
    fn parse(text: &str) -> Option<Request> {
        let (site, step) = text.split_once('=')?;
        let (rest, column) = site.rsplit_once(':')?;
        let (file, line) = rest.rsplit_once(':')?;
        let (line, column) = (line.parse().ok()?, column.parse().ok()?);
        Some(Request { file: file.into(), line, column, step: Step::parse(step)? })
    }
}

static REQUEST: LazyLock<Option<Request>> = LazyLock::new(|| {
    let text = std::env::var("SLIPRING_WEAKEN").ok()?;
    let request = Request::parse(&text);
    if request.is_none() {
        // Not a panic, which would pass for a model that went red.
        eprintln!("SLIPRING_WEAKEN={text}: not FILE:LINE:COLUMN=STEP");
        std::process::exit(2);
    }
    request
});

struct Reached {
    file: std::fs::File,
    seen: HashSet<(&'static str, u32, u32)>,
}

static REACHED: LazyLock<Option<Mutex<Reached>>> = LazyLock::new(|| {
    let path = std::env::var_os("SLIPRING_SITES")?;
    let file = std::fs::File::create(path).expect("SLIPRING_SITES names a file that can be made");
    Some(Mutex::new(Reached { file, seen: HashSet::new() }))
});

/// Below src/, for what belongs to the model half; the models' own operations are no sites.
fn below_src(location: &Location<'static>) -> Option<&'static str> {
    location.file().split_once("/../../src/").map(|(_, path)| path)
}

#[track_caller]
fn step() -> Option<Step> {
    let here = Location::caller();
    if let Some(reached) = &*REACHED {
        let mut reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = below_src(here)
            && reached.seen.insert((path, here.line(), here.column()))
        {
            writeln!(reached.file, "{path}:{}:{}", here.line(), here.column()).expect("the file takes it");
        }
    }
    let request = REQUEST.as_ref()?;
    let asked = here.line() == request.line
        && here.column() == request.column
        && below_src(here) == Some(request.file.as_str());
    asked.then_some(request.step)
}

/// The ordering of the caller's operation.
#[track_caller]
pub(super) fn order(written: Ordering) -> Ordering {
    match step() {
        Some(Step::To(weaker)) => weaker,
        _ => written,
    }
}

/// The orderings of the caller's exchange: when it succeeds, and when it fails.
#[track_caller]
pub(super) fn orders(success: Ordering, failure: Ordering) -> (Ordering, Ordering) {
    match step() {
        Some(Step::To(weaker)) => (weaker, failure),
        Some(Step::FailureTo(weaker)) => (success, weaker),
        _ => (success, failure),
    }
}

/// The ordering of the caller's fence, if it is there.
#[track_caller]
pub(super) fn fence_order(written: Ordering) -> Option<Ordering> {
    match step() {
        Some(Step::To(weaker)) => Some(weaker),
        Some(Step::Remove) => None,
        _ => Some(written),
    }
}

/// Whether the caller's read-modify-write is to be a load and a store.
#[track_caller]
pub(super) fn is_split() -> bool {
    step() == Some(Step::Split)
}

/// The halves of a split read-modify-write: what the load and the store keep of its ordering.
pub(super) fn halves(order: Ordering) -> (Ordering, Ordering) {
    match order {
        Ordering::AcqRel | Ordering::SeqCst => (Ordering::Acquire, Ordering::Release),
        Ordering::Acquire => (Ordering::Acquire, Ordering::Relaxed),
        Ordering::Release => (Ordering::Relaxed, Ordering::Release),
        _ => (Ordering::Relaxed, Ordering::Relaxed),
    }
}

/// What a split exchange answers that has found `found`; it stores if that is what it was to replace.
pub(super) fn exchanged<T: PartialEq>(found: T, from: T, store: impl FnOnce()) -> Result<T, T> {
    if found == from {
        store();
        Ok(found)
    } else {
        Err(found)
    }
}
