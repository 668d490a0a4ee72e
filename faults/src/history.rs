//! Histories of operations that several processes did on one ring at once, kills included, and whether a queue could
//! have answered so, one operation after the other, in an order that contradicts no clock.
//!
//! The fast judgement looks for the patterns that every wrong history of a queue with distinct values has (Henzinger,
//! Sezgin, Vafeiadis: Aspect-oriented linearizability proofs): a value from nowhere, a value twice, two values in the
//! wrong order, an "empty" while the queue cannot have been. It is compared with trying all orders, on small histories.
//!
//! An operation of a killed process may have happened or not; if it did, then before the death.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Did {
    /// Put this value in.
    Put(u64),
    /// Took this value out.
    Took(u64),
    /// Found nothing.
    Empty,
    /// Was killed while it put this value in: maybe it did.
    MaybePut(u64),
    /// Was killed while it took one: maybe it did, and nobody knows which.
    MaybeTook,
}

/// An operation: some moment between `from` and `to` is the one at which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Op {
    /// A moment before it began.
    pub from: u64,
    /// A moment after it ended.
    pub to: u64,
    /// What it did.
    pub did: Did,
}

/// Why no queue answers so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrong {
    /// Taken, and never put in, or put in later.
    Fresh(u64),
    /// Taken twice.
    Repeated(u64),
    /// The first was certainly put in before the second, and the second was taken first.
    Order(u64, u64),
    /// Found empty between these moments, while something was certainly in.
    Witness(u64, u64),
}

/// One value's life: when it was put in, and when it was taken.
#[derive(Clone, Copy, Debug)]
struct Life {
    value: u64,
    put: (u64, u64),
    taken: Option<(u64, u64)>,
}

/// Whether a queue could have answered so.
///
/// # Errors
/// The first pattern that shows that it could not.
pub fn check(history: &[Op]) -> Result<(), Wrong> {
    let mut lives: BTreeMap<u64, Life> = BTreeMap::new();
    let mut maybe = BTreeMap::new();
    for op in history {
        let span = (op.from, op.to);
        match op.did {
            Did::Put(value) => {
                let again = lives.insert(value, Life { value, put: span, taken: None });
                again.map_or(Ok(()), |_| Err(Wrong::Repeated(value)))?;
            }
            Did::MaybePut(value) => {
                maybe.insert(value, span);
            }
            _ => {}
        }
    }
    for op in history {
        let Did::Took(value) = op.did else { continue };
        // What was taken was put in, whoever was killed doing so.
        if let Some(&put) = maybe.get(&value) {
            lives.entry(value).or_insert(Life { value, put, taken: None });
        }
        let Some(life) = lives.get_mut(&value) else { return Err(Wrong::Fresh(value)) };
        if op.to < life.put.0 {
            return Err(Wrong::Fresh(value));
        }
        if life.taken.replace((op.from, op.to)).is_some() {
            return Err(Wrong::Repeated(value));
        }
    }
    let spans = |wanted: Did| history.iter().filter(move |op| op.did == wanted).map(|op| (op.from, op.to));
    let takers: Vec<_> = spans(Did::MaybeTook).collect();
    let empties: Vec<_> = spans(Did::Empty).collect();
    let mut lives: Vec<_> = lives.into_values().collect();
    distribute(&mut lives, &takers, 0, &empties)
}

/// Each taker that was killed may have taken one of the values that nobody else took. Few of either, so all ways are
/// tried; taking one only ever explains more, but which one matters.
fn distribute(
    lives: &mut [Life],
    takers: &[(u64, u64)],
    next: usize,
    empties: &[(u64, u64)],
) -> Result<(), Wrong> {
    let wrong = match judge(lives, empties) {
        Ok(()) => return Ok(()),
        Err(wrong) => wrong,
    };
    let Some(&taker) = takers.get(next) else { return Err(wrong) };
    for at in 0..lives.len() {
        if lives[at].taken.is_none() && lives[at].put.0 <= taker.1 {
            lives[at].taken = Some(taker);
            let done = distribute(lives, takers, next + 1, empties);
            lives[at].taken = None;
            if done.is_ok() {
                return Ok(());
            }
        }
    }
    // Or it took nothing.
    distribute(lives, takers, next + 1, empties).map_err(|_| wrong)
}

fn judge(lives: &[Life], empties: &[(u64, u64)]) -> Result<(), Wrong> {
    for first in lives {
        for second in lives {
            let put_before = first.put.1 < second.put.0;
            let taken_after = match (first.taken, second.taken) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(first), Some(second)) => second.1 < first.0,
            };
            if put_before && taken_after {
                return Err(Wrong::Order(first.value, second.value));
            }
        }
    }
    for &(from, to) in empties {
        // Certainly in: from the end of its putting in to the beginning of its taking out, both excluded. Spans of that
        // kind which together leave no moment of the empty answer uncovered leave it no moment to have happened.
        let mut certain: Vec<_> = lives
            .iter()
            .map(|life| (life.put.1, life.taken.map_or(u64::MAX, |taken| taken.0)))
            .filter(|(begin, end)| begin < end)
            .collect();
        certain.sort_unstable();
        // The earliest moment at which it can still have happened.
        let mut free = from;
        for (begin, end) in certain {
            if begin < free {
                free = free.max(end);
            }
        }
        if free > to {
            return Err(Wrong::Witness(from, to));
        }
    }
    Ok(())
}

/// The same by trying all orders (Wing and Gong). For small histories: the time grows without mercy.
///
/// # Panics
/// If there are more than 64 operations.
#[must_use]
pub fn check_by_trying(history: &[Op]) -> bool {
    assert!(history.len() <= 64, "a small history");
    try_next(history, 0, &[])
}

/// `done`: a bit for each operation that happened, or can happen no more.
fn try_next(history: &[Op], done: u64, queue: &[u64]) -> bool {
    let left = |at: &usize| done & 1 << at == 0;
    let pending = |at: &usize| matches!(history[*at].did, Did::MaybePut(_) | Did::MaybeTook);
    let all = || (0..history.len()).filter(left);
    if all().all(|at| pending(&at)) {
        return true;
    }
    all().any(|at| {
        let op = history[at];
        // What ended before this one began comes first, or, if it is pending, never came.
        let mut earlier = all().filter(|&other| history[other].to < op.from);
        if earlier.clone().any(|other| !pending(&other)) {
            return false;
        }
        let done = earlier.try_fold(done, |done, other| Some(done | 1 << other)).unwrap_or(done) | 1 << at;
        let mut queue = queue.to_vec();
        let possible = match op.did {
            Did::Put(value) | Did::MaybePut(value) => {
                queue.push(value);
                true
            }
            Did::Took(value) => !queue.is_empty() && queue.remove(0) == value,
            Did::MaybeTook => !queue.is_empty() && queue.remove(0) > 0,
            Did::Empty => queue.is_empty(),
        };
        possible && try_next(history, done, &queue)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn op(from: u64, to: u64, did: Did) -> Op {
        Op { from, to, did }
    }

    #[test]
    fn a_history_of_a_queue_passes() {
        let history = [
            op(0, 3, Did::Put(1)),
            op(1, 2, Did::Put(2)),
            op(2, 5, Did::Empty),
            op(4, 6, Did::Took(2)),
            op(7, 8, Did::Took(1)),
            op(9, 9, Did::Empty),
        ];
        assert_eq!(check(&history), Ok(()));
        assert!(check_by_trying(&history));
    }

    #[test]
    fn each_wrong_history_is_refused_with_its_pattern() {
        for (history, wrong) in [
            (vec![op(0, 1, Did::Took(1))], Wrong::Fresh(1)),
            (vec![op(0, 1, Did::Took(1)), op(2, 3, Did::Put(1))], Wrong::Fresh(1)),
            (vec![op(0, 1, Did::Put(1)), op(2, 3, Did::Took(1)), op(4, 5, Did::Took(1))], Wrong::Repeated(1)),
            (
                vec![
                    op(0, 1, Did::Put(1)),
                    op(2, 3, Did::Put(2)),
                    op(4, 5, Did::Took(2)),
                    op(6, 7, Did::Took(1)),
                ],
                Wrong::Order(1, 2),
            ),
            // Lost: the first never comes, the second does.
            (vec![op(0, 1, Did::Put(1)), op(2, 3, Did::Put(2)), op(4, 5, Did::Took(2))], Wrong::Order(1, 2)),
            (vec![op(0, 1, Did::Put(1)), op(2, 3, Did::Empty)], Wrong::Witness(2, 3)),
            // Covered by two values, neither of which was in all the time.
            (
                vec![
                    op(0, 1, Did::Put(1)),
                    op(2, 3, Did::Put(2)),
                    op(2, 9, Did::Empty),
                    op(5, 6, Did::Took(1)),
                    op(10, 11, Did::Took(2)),
                ],
                Wrong::Witness(2, 9),
            ),
            // A killed taker took one value, and cannot explain two that are missing.
            (
                vec![
                    op(0, 1, Did::Put(1)),
                    op(2, 3, Did::Put(2)),
                    op(4, 5, Did::MaybeTook),
                    op(6, 7, Did::Empty),
                ],
                Wrong::Witness(6, 7),
            ),
            // Nor what was gone before it began.
            (
                vec![op(0, 1, Did::Put(1)), op(2, 3, Did::Empty), op(4, 5, Did::MaybeTook)],
                Wrong::Witness(2, 3),
            ),
        ] {
            assert_eq!(check(&history), Err(wrong), "{history:?}");
            assert!(!check_by_trying(&history), "{history:?}");
        }
    }

    #[test]
    fn what_the_killed_did_is_believed_either_way() {
        for history in [
            vec![op(0, 1, Did::MaybePut(1)), op(2, 3, Did::Took(1))],
            vec![op(0, 1, Did::MaybePut(1)), op(2, 3, Did::Empty)],
            vec![op(0, 1, Did::Put(1)), op(2, 3, Did::MaybeTook), op(4, 5, Did::Empty)],
            vec![op(0, 1, Did::Put(1)), op(2, 3, Did::MaybeTook), op(4, 5, Did::Took(1))],
            vec![
                op(0, 1, Did::Put(1)),
                op(2, 3, Did::Put(2)),
                op(4, 9, Did::MaybeTook),
                op(5, 6, Did::Took(2)),
                op(10, 11, Did::Empty),
            ],
        ] {
            assert_eq!(check(&history), Ok(()), "{history:?}");
            assert!(check_by_trying(&history), "{history:?}");
        }
    }

    /// Operations with moments from a small range, so that many touch; values are put in once.
    fn small() -> impl Strategy<Value = Vec<Op>> {
        let op = (0..14_u64, 0..5_u64, 0..9_usize, 1..4_u64);
        prop::collection::vec(op, 1..8).prop_map(|drawn| {
            let mut next = 0;
            let ops = drawn.into_iter().map(|(from, len, kind, value)| {
                let did = match kind {
                    0..=2 => {
                        next += 1;
                        Did::Put(next)
                    }
                    3..=5 => Did::Took(value),
                    6 => Did::Empty,
                    7 => {
                        next += 1;
                        Did::MaybePut(next)
                    }
                    _ => Did::MaybeTook,
                };
                Op { from, to: from + len, did }
            });
            ops.collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_patterns_say_what_trying_all_orders_says(history in small()) {
            prop_assert_eq!(check(&history).is_ok(), check_by_trying(&history), "{:?}", check(&history));
        }
    }
}
