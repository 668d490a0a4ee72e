//! A message queue: what one who comes after a death may find of a message at any moment, and who wakes whom. Cells have
//! 64 bytes, so a message of 60 takes two.

use loom::thread;
use slipring_loom::channel::line::{self, Want};
use slipring_loom::channel::lock::{Lock, Who};
use slipring_loom::channel::queue::{Call, Queue, Received, Stop, Watch};
use slipring_loom::layout::{
    FactsLine, LimitsLine, LinesLine, Node, QueueHeader, StoreLine, WaitLine, WatchLine,
};
use slipring_loom::rig::{Leases, lock_line};
use slipring_loom::ring::store::{self, Select, To};
use slipring_loom::sync::Ordering::Relaxed;
use slipring_loom::sync::{AtomicU32, AtomicU64, Deadline, Memory, Shared};
use slipring_loom::view::{QueueGeometry, QueueView};
use slipring_loom::{check, check_bounded};
use std::cell::Cell;

const CELL: usize = 64;
const LONG: usize = 60;

fn word(value: u64) -> AtomicU64 {
    AtomicU64::new(value)
}

/// An empty queue of so many cells, for so many messages.
fn queue(cells: u64, count: u64) -> QueueView {
    let zero = || word(0);
    let header = QueueHeader {
        lock: lock_line(),
        store: StoreLine {
            root: zero(),
            free: zero(),
            free_cells: zero(),
            count: zero(),
            bytes: zero(),
            next: zero(),
        },
        lines: LinesLine {
            receivers: zero(),
            senders: zero(),
            ticket: zero(),
            served: zero(),
            granted: zero(),
            granted_bytes: zero(),
            granted_cells: zero(),
        },
        limits: LimitsLine {
            max_len: word(LONG as u64),
            count: word(count),
            bytes: word(1000),
            removed: zero(),
            most: word(1000),
            most_messages: word(count),
        },
        facts: FactsLine {
            key: zero(),
            id: zero(),
            uid: zero(),
            gid: zero(),
            mode: zero(),
            sender: zero(),
            receiver: zero(),
            sent: zero(),
            received: zero(),
            changed: zero(),
        },
        watch: WatchLine {
            seat: zero(),
            pid: zero(),
            signal: zero(),
            value: zero(),
            turn: zero(),
            told: AtomicU32::new(0),
            filled: AtomicU32::new(0),
        },
    };
    let seat = |_| WaitLine {
        state: AtomicU32::new(0),
        pid: AtomicU32::new(0),
        next: zero(),
        ticket: zero(),
        rank: zero(),
        wants: zero(),
        key: zero(),
        room: zero(),
        cell: zero(),
    };
    let node = |_| Node { left: zero(), right: zero(), earliest: zero() };
    let geometry = QueueGeometry { cells, cell_len: CELL, seats: 4, max_len: LONG, asymmetric: false };
    let view = QueueView::new(
        Shared::of(header),
        Shared::of_all((0..4).map(seat).collect()),
        Shared::of_all((0..cells).map(node).collect()),
        Memory::zeroed(cells as usize * CELL),
        geometry,
    );
    Queue::new(view.clone()).begin().expect("a new queue");
    view
}

fn everybody(_: u32) -> bool {
    true
}

/// Does `verb` as this participant, which waits for ever.
fn call<T>(me: u32, lives: &dyn Fn(u32) -> bool, verb: impl FnOnce(&Call<'_>) -> T) -> T {
    waiting(me, lives, true, verb)
}

fn waiting<T>(me: u32, lives: &dyn Fn(u32) -> bool, waits: bool, verb: impl FnOnce(&Call<'_>) -> T) -> T {
    telling(me, lives, waits, &|_, _| {}, verb)
}

fn telling<T>(
    me: u32,
    lives: &dyn Fn(u32) -> bool,
    waits: bool,
    tell: &dyn Fn(&Watch, u32),
    verb: impl FnOnce(&Call<'_>) -> T,
) -> T {
    verb(&Call {
        who: Who { me, lives },
        pid: me,
        now: 1,
        rank: &|| 0,
        patience: &|| waits.then_some(Deadline::NEVER),
        restarts: true,
        tell,
    })
}

fn receive(view: &QueueView, me: u32, select: Select) -> Result<u64, Stop> {
    let mut to = [0; LONG];
    let got = call(me, &everybody, |call| Queue::new(view.clone()).receive(select, &mut to, false, call))?;
    whole(&to, got);
    Ok(got.key)
}

/// Each message is its key, again and again.
fn whole(bytes: &[u8], Received { len, key }: Received) {
    assert!(bytes[..len].iter().all(|&byte| u64::from(byte) == key), "{bytes:?} is torn");
}

fn send(view: &QueueView, me: u32, key: u64) {
    let message = [key as u8; LONG];
    call(me, &everybody, |call| Queue::new(view.clone()).send(key, &message, call)).unwrap();
}

// --- what an heir finds, whenever the one before it was killed ---

#[test]
fn a_message_is_found_whole_or_not_at_all() {
    check(|run| {
        let view = queue(2, 2);
        let there = view.clone();
        let inserting = thread::spawn(move || {
            store::insert(&there, 7, &[7; LONG], To::Queue).unwrap();
        });
        let found = store::survey(&view, 0).expect("a sound message");
        run.outcome(found.map(|(_, cells)| {
            let mut to = [0; LONG];
            let len = store::copy(&view, 0, &mut to).expect("a sound message");
            whole(&to, Received { len, key: store::key(&view, 0) });
            (len, cells)
        }));
        inserting.join().unwrap();
    })
    .reaches("None", "before its word")
    .reaches("Some((60, [0, 1]))", "after it");
}

#[test]
fn a_message_of_which_a_cell_is_free_is_gone() {
    check(|run| {
        let view = queue(2, 2);
        store::insert(&view, 7, &[7; LONG], To::Queue).unwrap();
        let there = view.clone();
        let taking = thread::spawn(move || {
            assert_eq!(store::take(&there, 0, &mut [0; LONG]), Ok(LONG));
        });
        // An heir sees everything at one moment. Here the moments differ: what looked broken must have been gone.
        let found = match store::survey(&view, 0) {
            Err(_) => {
                assert_eq!(store::survey(&view, 0), Ok(None), "its word says that it is there");
                "broken, and gone"
            }
            Ok(None) => "gone",
            Ok(Some((_, cells))) => {
                assert_eq!(cells, [0, 1]);
                "there"
            }
        };
        run.outcome(found);
        taking.join().unwrap();
    })
    .reaches("\"there\"", "before its word")
    .reaches("\"broken, and gone\"", "its word first, then its cells")
    .reaches("\"gone\"", "after it");
}

/// A sender with number 2 that puts a message in and is killed with the lock in hand.
fn dying(view: &QueueView, leases: &Leases) -> thread::JoinHandle<()> {
    let its = leases.seat(72, true);
    assert!(its.host.take(2));
    let (there, dead) = (view.clone(), leases.clone());
    thread::spawn(move || {
        let lock = Lock::new(there.header.project(|header| &header.lock), false);
        let held = loop {
            match lock.try_take(2) {
                Some(held) => break held,
                None => slipring_loom::sync::yield_now(),
            }
        };
        store::insert(&there, 2, &[2; LONG], To::Queue).unwrap();
        // What is derived is left in disorder, too.
        store::set(&there.header.store.root, 77);
        store::set(&there.header.store.free, 78);
        let _killed = held;
        dead.end(2);
        slipring_loom::sync::kill(its);
    })
}

#[test]
fn a_dead_ones_message_is_there_for_its_heir() {
    check_bounded(3, |run| {
        let view = queue(4, 2);
        let leases = Leases::all_free(4);
        let mine = leases.seat(71, true);
        assert!(mine.host.take(1));
        let dying = dying(&view, &leases);
        let lives = |number: u32| mine.host.is_held(number as usize);
        let mut to = [0; LONG];
        let got = waiting(1, &lives, false, |call| {
            Queue::new(view.clone()).receive(Select::Any, &mut to, false, call)
        });
        dying.join().unwrap();
        run.outcome(got.map(|got| {
            whole(&to, got);
            got.key
        }));
    })
    .reaches("Err(WouldBlock)", "it was first, or did not wait for one that lives")
    .reaches("Ok(2)", "it took the lock over, and put the queue in order");
}

#[test]
fn whoever_gets_the_seat_of_one_killed_with_a_message_begins_with_nothing() {
    check(|run| {
        let view = queue(4, 2);
        let leases = Leases::all_free(4);
        let (dead, heir) = (leases.seat(71, true), leases.seat(72, true));
        assert!(dead.host.take(1));
        let any = Want::Message { select: Select::Any, room: LONG, truncates: false };
        line::join(&view, 1, any, 0, 1).unwrap();
        send(&view, 2, 5);
        // It has the lock, and has taken the message out that it was given, and does not come to say so.
        let lock = Lock::new(view.header.project(|header| &header.lock), false);
        let _killed = lock.try_take(1).expect("nobody has it");
        store::take(&view, line::given(&view, 1).unwrap(), &mut [0; LONG]).unwrap();
        leases.end(1);
        slipring_loom::sync::kill(dead);
        assert!(heir.host.take(1));
        let begun = call(1, &everybody, |call| Queue::new(view.clone()).disown(call));
        send(&view, 2, 6);
        run.outcome((begun, receive(&view, 1, Select::Any)));
        slipring_loom::sync::kill(heir);
    })
    .reaches("(Ok(()), Ok(6))", "always: the message went with the dead one, and nothing is due to its heir");
}

#[test]
fn counters_that_somebody_scribbled_on_make_nobody_panic() {
    check(|run| {
        let view = queue(4, 2);
        store::set(&view.header.store.next, u64::MAX);
        store::set(&view.header.lines.ticket, u64::MAX);
        send(&view, 1, 5);
        line::join(&view, 1, Want::Room(LONG), 0, 1).unwrap();
        line::vacate(&view, 1).unwrap();
        // Room was kept for it, and the length of its message is the least of numbers.
        view.seats[1].state.store(line::GRANTED, Relaxed);
        store::set(&view.seats[1].room, 1 << 63);
        line::done(&view, 1);
        run.outcome(receive(&view, 2, Select::Any));
    })
    .reaches("Ok(5)", "always: numbers go round, and the message lies where it lay");
}

// --- who is told ---

/// Asks to be told, as participant `me`.
fn ask(view: &QueueView, me: u32) -> u32 {
    let wanted = Watch { seat: me, pid: me, signal: 0, value: 0 };
    let asked = telling(me, &everybody, true, &|_, _| panic!("what is there is no news"), |call| {
        Queue::new(view.clone()).watch(wanted, call)
    });
    asked.expect("a sound queue").expect("nobody else asks")
}

#[test]
fn who_asked_is_told_of_a_message_whose_sender_was_killed_before_it_told() {
    check_bounded(3, |run| {
        let view = queue(4, 2);
        let leases = Leases::all_free(4);
        let mine = leases.seat(71, true);
        assert!(mine.host.take(1));
        ask(&view, 1);
        let dying = dying(&view, &leases);
        let lives = |number: u32| mine.host.is_held(number as usize);
        let told = Cell::new(0);
        let look = || {
            let tell = |_: &Watch, _| told.set(told.get() + 1);
            telling(1, &lives, false, &tell, |call| {
                Queue::new(view.clone()).look_after_the_dead(call).expect("a sound queue");
            });
            told.get()
        };
        let first = look();
        dying.join().unwrap();
        run.outcome((first, look(), look()));
    })
    .reaches("(0, 1, 1)", "it lived at the first look")
    .reaches("(1, 1, 1)", "it was dead by then");
}

#[test]
fn who_takes_a_dead_ones_message_tells_first() {
    check_bounded(3, |run| {
        let view = queue(4, 2);
        let leases = Leases::all_free(4);
        let mine = leases.seat(71, true);
        assert!(mine.host.take(1) && mine.host.take(3));
        ask(&view, 3);
        let dying = dying(&view, &leases);
        let lives = |number: u32| mine.host.is_held(number as usize);
        let (told, mut to) = (Cell::new(0), [0; LONG]);
        let got = telling(1, &lives, false, &|_, _| told.set(told.get() + 1), |call| {
            Queue::new(view.clone()).receive(Select::Any, &mut to, false, call)
        });
        dying.join().unwrap();
        run.outcome((got.map(|got| got.key), told.get()));
    })
    .reaches("(Err(WouldBlock), 0)", "it was first, or did not wait for one that lives")
    .reaches("(Ok(2), 1)", "it took the lock over, and with it what was left to do");
}

#[test]
fn a_message_is_told_or_was_there_when_somebody_asked() {
    check_bounded(3, |run| {
        let view = queue(4, 2);
        let there = view.clone();
        let sender = thread::spawn(move || {
            let told = Cell::new(0);
            telling(2, &everybody, true, &|_, _| told.set(told.get() + 1), |call| {
                Queue::new(there).send(5, &[5; LONG], call).unwrap();
            });
            told.get()
        });
        ask(&view, 1);
        let found = receive(&view, 1, Select::Any);
        run.outcome((sender.join().unwrap(), found));
    })
    .reaches("(0, Ok(5))", "it was there before, or somebody waited for it")
    .reaches("(1, Ok(5))", "it came after the question");
}

#[test]
fn what_a_dead_receiver_was_given_is_told_when_it_comes_back() {
    check(|run| {
        let view = queue(4, 2);
        let leases = Leases::all_free(4);
        let (mine, dead) = (leases.seat(71, true), leases.seat(72, true));
        assert!(mine.host.take(1) && dead.host.take(2));
        ask(&view, 1);
        let any = Want::Message { select: Select::Any, room: LONG, truncates: false };
        line::join(&view, 2, any, 0, 2).unwrap();
        let (lives, told) = (|number: u32| mine.host.is_held(number as usize), Cell::new(0));
        let tell = |_: &Watch, _| told.set(told.get() + 1);
        telling(1, &lives, true, &tell, |call| {
            let queue = Queue::new(view.clone());
            queue.send(5, &[5; LONG], call).unwrap();
            let given = told.get();
            leases.end(2);
            queue.look_after_the_dead(call).unwrap();
            run.outcome((given, told.get(), queue.content().count));
        });
        slipring_loom::sync::kill(dead);
    })
    .reaches("(0, 1, 1)", "always: not when it was handed over, but when it came back");
}

// --- who wakes whom ---

#[test]
fn a_receiver_that_waits_is_woken_by_the_message() {
    check_bounded(3, |run| {
        let view = queue(4, 2);
        let there = view.clone();
        let sender = thread::spawn(move || send(&there, 2, 5));
        run.outcome(receive(&view, 1, Select::Any));
        sender.join().unwrap();
    })
    .reaches("Ok(5)", "always: it found the message, or was handed it and woken");
}

#[test]
fn a_receiver_that_waits_for_one_kind_is_woken_by_that() {
    // Bound 2: with 3 it takes more than a few seconds.
    check_bounded(2, |run| {
        let view = queue(4, 2);
        let there = view.clone();
        let sender = thread::spawn(move || {
            send(&there, 2, 5);
            send(&there, 2, 6);
        });
        run.outcome((receive(&view, 1, Select::Exact(6)), receive(&view, 1, Select::Any)));
        sender.join().unwrap();
    })
    .reaches("(Ok(6), Ok(5))", "always: the other kind is left for who takes any");
}

#[test]
fn a_sender_that_waits_is_woken_by_the_room() {
    check_bounded(3, |run| {
        let view = queue(6, 1);
        send(&view, 1, 4);
        let there = view.clone();
        let sender = thread::spawn(move || send(&there, 2, 5));
        let first = receive(&view, 1, Select::Any);
        sender.join().unwrap();
        run.outcome((first, receive(&view, 1, Select::Any)));
    })
    .reaches("(Ok(4), Ok(5))", "always: room is made once the first is out, for who waits first");
}

#[test]
fn a_removal_reaches_whoever_waits_and_whoever_comes() {
    check_bounded(3, |run| {
        let view = queue(2, 1);
        let there = view.clone();
        let remover = thread::spawn(move || {
            call(2, &everybody, |call| Queue::new(there).remove(call, || {})).unwrap();
        });
        run.outcome(receive(&view, 1, Select::Any));
        remover.join().unwrap();
    })
    .reaches("Err(Removed)", "while it waited")
    .reaches("Err(Gone)", "before it came");
}
