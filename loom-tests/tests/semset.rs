//! A set of semaphores: what one who comes after a death may find of a change at any moment.

use loom::thread;
use slipring_loom::check;
use slipring_loom::layout::{Line, LockLine, SetHeader};
use slipring_loom::rig::event_line;
use slipring_loom::ring::journal::{self, Change};
use slipring_loom::sync::Ordering::Relaxed;
use slipring_loom::sync::{AtomicU32, AtomicU64, Shared};
use slipring_loom::view::SetView;

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
