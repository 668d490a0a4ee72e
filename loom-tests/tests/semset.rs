//! A set of semaphores: what one who comes after a death may find of a change at any moment, and who sleeps beside a
//! permit.

use loom::thread;
use slipring_loom::channel::lock::Who;
use slipring_loom::channel::semset::{Ask, Caller, Facts, Operation, Set, Stop};
use slipring_loom::layout::{Line, LockLine, SET_FIXED, SetHeader, set_cells, set_cells_with_places};
use slipring_loom::rig::event_line;
use slipring_loom::ring::journal::{self, Change};
use slipring_loom::sync::Ordering::Relaxed;
use slipring_loom::sync::{AtomicU32, AtomicU64, Deadline, Shared};
use slipring_loom::view::SetView;
use slipring_loom::{check, check_bounded};

/// A set in whose memory nothing was written yet. Only the cells that a model uses are there: loom counts words.
fn journal_of(cells: usize) -> SetView {
    let line = || Line(AtomicU32::new(0));
    let header = SetHeader {
        lock: LockLine { word: Line(AtomicU64::new(0)), event: event_line() },
        changes: line(),
        pending: line(),
    };
    SetView {
        header: Shared::of(header),
        cells: Shared::of_all((0..cells).map(|_| AtomicU32::new(0)).collect()),
        record: Shared::of_all((0..cells).map(|_| AtomicU64::new(0)).collect()),
        semaphores: 0,
    }
}

#[test]
fn a_change_of_several_cells_is_found_whole_or_not_at_all() {
    check(|run| {
        let view = journal_of(2);
        let there = view.clone();
        let changes = [Change { cell: 0, value: 1 }, Change { cell: 1, value: 2 }];
        let victim = thread::spawn(move || journal::commit(&there, &changes));
        let begun = view.header.pending.0.load(Relaxed) != 0;
        // As of one who was killed at that moment: what it does later only says the same.
        let carried_out = journal::recover(&view).expect("a sound record");
        let cells = (begun || carried_out).then(|| (journal::cell(&view, 0), journal::cell(&view, 1)));
        run.outcome((begun, carried_out, cells));
        victim.join().unwrap();
    })
    .reaches("(false, false, None)", "not begun when we looked, or done: no record says which")
    .reaches("(false, true, Some((1, 2)))", "written down")
    .reaches("(true, true, Some((1, 2)))", "written down long ago")
    .reaches("(true, false, Some((1, 2)))", "done");
}

#[test]
fn who_comes_after_a_second_death_finds_what_the_first_heir_did() {
    check(|run| {
        let view = journal_of(1);
        view.record[0].store(1, Relaxed);
        view.header.pending.0.store(1, Relaxed);
        let there = view.clone();
        let heir = thread::spawn(move || journal::recover(&there).expect("a sound record"));
        let again = journal::recover(&view).expect("a sound record");
        run.outcome((again, journal::cell(&view, 0)));
        assert!(heir.join().unwrap() || again);
    })
    .reaches("(true, 1)", "it had not come to the end, and we did it again")
    .reaches("(false, 1)", "nothing is left to do");
}

fn everybody(_: u32) -> bool {
    true
}

/// A set of one semaphore with this value.
fn set(value: u16) -> SetView {
    let empty = journal_of(set_cells_with_places(1));
    let record = Shared::of_all((0..set_cells(1)).map(|_| AtomicU64::new(0)).collect());
    let view = SetView::new(empty.header, empty.cells, record, 1);
    let facts = Facts { key: 1, uid: 0, gid: 0, mode: 0o600, operated: 0, changed: 1 };
    Set::new(view.clone()).begin(&facts, std::iter::once(value));
    view
}

fn call<T>(view: &SetView, me: u32, verb: impl FnOnce(&Set, &Caller<'_>) -> T) -> T {
    let who = Who { me, lives: &everybody };
    verb(&Set::new(view.clone()), &Caller { who, pid: me, now: 1 })
}

fn change(view: &SetView, me: u32, by: i16) -> Result<(), Stop> {
    let operation = Operation { number: 0, change: by, nowait: false, undo: false };
    call(view, me, |set, caller| set.operate(&[operation], caller, Deadline::NEVER))
}

fn value(view: &SetView) -> u32 {
    call(view, 3, |set, caller| set.ask(Ask::Value, 0, caller)).unwrap()
}

#[test]
fn what_a_dead_holder_wrote_down_is_done_by_whoever_comes() {
    check(|run| {
        let view = set(5);
        // The first value stands behind what is fixed.
        view.record[0].store((SET_FIXED as u64) << 32 | 7, Relaxed);
        view.header.pending.0.store(1, Relaxed);
        run.outcome(value(&view));
    })
    .reaches("7", "as it was written down: the dead one's call is done");
}

#[test]
fn a_sleeper_has_its_permit_when_the_call_that_made_it_possible_returns() {
    check_bounded(3, |run| {
        let view = set(0);
        let there = view.clone();
        let sleeper = thread::spawn(move || change(&there, 1, -1).unwrap());
        change(&view, 2, 1).unwrap();
        let left = value(&view);
        sleeper.join().unwrap();
        run.outcome((left, value(&view)));
    })
    .reaches("(0, 0)", "it slept, or had taken it already")
    .reaches("(1, 0)", "it had not come yet");
}

#[test]
fn whoever_is_given_a_dead_ones_number_undoes_first() {
    check(|run| {
        let view = set(5);
        let take = Operation { number: 0, change: -2, nowait: false, undo: true };
        call(&view, 1, |set, caller| set.operate(&[take], caller, Deadline::NEVER)).unwrap();
        let before = value(&view);
        call(&view, 1, Set::adopt).unwrap();
        run.outcome((before, value(&view)));
    })
    .reaches("(3, 5)", "what the first of that number took is there again");
}

#[test]
fn a_sleeper_hears_of_the_end_of_the_set() {
    check_bounded(3, |run| {
        let view = set(0);
        let there = view.clone();
        let sleeper = thread::spawn(move || change(&there, 1, -1));
        call(&view, 2, |set, caller| set.remove(caller, || {})).unwrap();
        run.outcome(sleeper.join().unwrap());
    })
    .reaches("Err(Removed)", "it slept")
    .reaches("Err(NoSet)", "it came too late");
}
