//! A stream in pages and the locks of its two ends: what a reader may see of a write, when a page may be written again,
//! who has a lock whose holder was killed. Pages have 16 bytes here, so that every model meets a page's end.

use loom::sync::atomic::AtomicBool;
use loom::thread;
use slipring_loom::channel::lock::{Held, Lock, Who};
use slipring_loom::channel::stream::{Call, End, Stop, Stream};
use slipring_loom::rig::{Leases, stream_view};
use slipring_loom::ring::pages;
use slipring_loom::sync::Ordering::{Acquire, Relaxed, Release};
use slipring_loom::sync::{Deadline, yield_now};
use slipring_loom::view::PageView;
use slipring_loom::{check, check_bounded};
use std::sync::Arc;

const PAGE: usize = 16;

/// An empty stream of so many pages.
fn stream(count: u64) -> PageView {
    stream_view(count, PAGE)
}

fn read(view: &PageView, most: usize) -> Vec<u8> {
    let mut to = vec![0; most];
    let taken = pages::read(view, &mut to).expect("a sound stream");
    to.truncate(taken.len);
    to
}

/// As a write does, with the right to write: how many bytes.
fn write(view: &PageView, from: &[u8]) -> usize {
    let merged = pages::merge(view, from).expect("a sound stream");
    merged + pages::append(view, &from[merged..]).expect("a sound stream")
}

/// Each byte once where eight are alike: `[1; 8]` is "1".
fn brief(bytes: &[u8]) -> String {
    assert!(bytes.chunks(8).all(|word| word == [word[0]; 8]), "{bytes:?} is torn");
    bytes.iter().step_by(8).map(|byte| byte.to_string()).collect()
}

// --- reader and writer, each with its right ---

#[test]
fn a_write_is_read_whole_or_not_at_all() {
    check(|run| {
        let view = stream(2);
        let there = view.clone();
        let writer = thread::spawn(move || assert_eq!(write(&there, &[1; 8]), 8));
        run.outcome(brief(&read(&view, PAGE)));
        writer.join().unwrap();
    })
    .reaches("\"\"", "the reader looked before the tail moved")
    .reaches("\"1\"", "after it");
}

#[test]
fn a_write_that_joins_a_page_is_read_behind_what_was_there() {
    check(|run| {
        let view = stream(2);
        write(&view, &[1; 8]);
        let there = view.clone();
        let writer = thread::spawn(move || {
            let merged = pages::merge(&there, &[2; 8]).expect("a sound stream");
            if merged == 0 {
                assert_eq!(pages::append(&there, &[2; 8]), Ok(8));
            }
            merged > 0
        });
        let first = brief(&read(&view, 2 * PAGE));
        let joined = writer.join().unwrap();
        run.outcome((first, brief(&read(&view, 2 * PAGE)), joined));
    })
    .reaches(r#"("12", "", true)"#, "joined before the reader closed the page")
    .reaches(r#"("1", "2", false)"#, "the reader closed the page first: two in the next")
    .reaches(r#"("12", "", false)"#, "the same, and the reader came to the next page");
}

#[test]
fn a_page_is_written_again_only_after_it_was_read() {
    check(|run| {
        let view = stream(1);
        write(&view, &[1; 16]);
        let there = view.clone();
        let writer = thread::spawn(move || write(&there, &[2; 16]));
        let first = brief(&read(&view, PAGE));
        let wrote = writer.join().unwrap();
        run.outcome((first, wrote, brief(&read(&view, PAGE))));
    })
    .reaches(r#"("11", 0, "")"#, "full when the writer looked")
    .reaches(r#"("11", 16, "22")"#, "read before the writer looked");
}

#[test]
fn a_long_write_appears_page_by_page_from_its_front() {
    check(|run| {
        let view = stream(2);
        let there = view.clone();
        let writer = thread::spawn(move || write(&there, &[[1; 16], [2; 16]].concat()));
        let first = brief(&read(&view, 2 * PAGE));
        assert_eq!(writer.join().unwrap(), 2 * PAGE);
        run.outcome((first, brief(&read(&view, 2 * PAGE))));
    })
    .reaches(r#"("", "1122")"#, "nothing yet")
    .reaches(r#"("11", "22")"#, "one page")
    .reaches(r#"("1122", "")"#, "both");
}

#[test]
fn a_page_that_grows_while_it_is_read_to_its_end_is_not_closed() {
    check(|run| {
        let view = stream(2);
        write(&view, &[1; 8]);
        let there = view.clone();
        let writer = thread::spawn(move || pages::merge(&there, &[2; 8]).expect("a sound stream") > 0);
        // No room for more than was there: a page that has grown is kept for the next read.
        let first = brief(&read(&view, 8));
        let joined = writer.join().unwrap();
        run.outcome((first, brief(&read(&view, PAGE)), joined));
    })
    .reaches(r#"("1", "2", true)"#, "it had grown")
    .reaches(r#"("1", "", false)"#, "it was closed");
}

#[test]
fn a_page_read_in_part_is_not_given_back() {
    check(|run| {
        let view = stream(1);
        write(&view, &[[1; 8], [2; 8]].concat());
        let there = view.clone();
        let writer = thread::spawn(move || write(&there, &[3; 8]));
        let (first, second) = (brief(&read(&view, 8)), brief(&read(&view, 8)));
        let wrote = writer.join().unwrap();
        run.outcome((first, second, wrote));
    })
    .reaches(r#"("1", "2", 0)"#, "the page was in use, whole or in part")
    .reaches(r#"("1", "2", 8)"#, "it was read to its end");
}

#[test]
fn what_is_counted_as_unread_was_there() {
    check(|run| {
        let view = stream(2);
        write(&view, &[1; 8]);
        let there = view.clone();
        // In a page of its own, whose word must not be older than the tail behind it.
        let writer = thread::spawn(move || write(&there, &[2; 16]));
        run.outcome(pages::unread(&view).expect("a sound stream"));
        writer.join().unwrap();
    })
    .reaches("8", "before the second write")
    .reaches("24", "after it");
}

// --- the locks ---

fn writing(view: &PageView) -> Lock {
    Lock::new(view.header.project(|header| &header.writing), false)
}

/// A number's lease, and the kernel's word on the others'.
fn who<'a>(me: u32, lives: &'a dyn Fn(u32) -> bool) -> Who<'a> {
    Who { me, lives }
}

fn everybody(_: u32) -> bool {
    true
}

#[test]
fn one_has_the_lock_at_a_time_and_sees_what_the_last_did() {
    check_bounded(3, |run| {
        let view = stream(2);
        let write_locked = |view: &PageView, me: u32| {
            let lock = writing(view);
            let held = lock.take(&who(me, &everybody), Deadline::NEVER).unwrap();
            assert!(!held.after_death);
            // Reads the words that the last writer left, and writes payload beside its own: a race would be reported.
            assert_eq!(write(view, &[me as u8; 8]), 8);
            lock.give_back(held);
        };
        let there = view.clone();
        let other = thread::spawn(move || write_locked(&there, 2));
        write_locked(&view, 1);
        other.join().unwrap();
        run.outcome(brief(&read(&view, 2 * PAGE)));
    })
    .reaches(r#""12""#, "one was first")
    .reaches(r#""21""#, "the other was");
}

/// Tries until the lock is free or a dead one's.
fn take(lock: &Lock, who: &Who<'_>) -> Held {
    loop {
        if let Some(held) = lock.try_take(who.me).or_else(|| lock.take_over(who)) {
            return held;
        }
        yield_now();
    }
}

#[test]
fn a_dead_ones_lock_is_taken_over_with_all_that_it_did() {
    check(|run| {
        let view = stream(2);
        let leases = Leases::all_free(3);
        let (mine, its) = (leases.seat(71, true), leases.seat(72, true));
        assert!(mine.host.take(1) && its.host.take(2));
        let there = view.clone();
        let dead = leases.clone();
        let dying = thread::spawn(move || {
            let lock = writing(&there);
            let held = take(&lock, &who(2, &everybody));
            write(&there, &[2; 8]);
            let _killed = held;
            dead.end(2);
            slipring_loom::sync::kill(its);
        });
        let lock = writing(&view);
        let lives = |number: u32| mine.host.is_held(number as usize);
        let held = take(&lock, &who(1, &lives));
        let after_death = held.after_death;
        assert_eq!(write(&view, &[1; 8]), 8);
        lock.give_back(held);
        dying.join().unwrap();
        run.outcome((brief(&read(&view, 2 * PAGE)), after_death));
    })
    .reaches(r#"("12", false)"#, "the living was first")
    .reaches(r#"("21", true)"#, "the dead one's write, then the heir's");
}

#[test]
fn a_newcomer_with_a_dead_ones_number_does_not_keep_its_lock() {
    check_bounded(3, |run| {
        let view = stream(2);
        let leases = Leases::all_free(3);
        let mine = leases.seat(71, true);
        assert!(mine.host.take(1));
        {
            // Number 2 dies with the lock in hand.
            let lock = writing(&view);
            let _killed = lock.try_take(2).unwrap();
            write(&view, &[2; 8]);
        }
        let there = view.clone();
        let newcomer = leases.seat(73, true);
        let born = thread::spawn(move || {
            let lock = writing(&there);
            assert!(newcomer.host.take(2));
            lock.disown(2);
            let held = take(&lock, &who(2, &everybody));
            let after_death = held.after_death;
            assert_eq!(write(&there, &[3; 8]), 8);
            lock.give_back(held);
            after_death
        });
        let lock = writing(&view);
        let lives = |number: u32| mine.host.is_held(number as usize);
        let held = take(&lock, &who(1, &lives));
        let heir = held.after_death;
        assert_eq!(write(&view, &[1; 8]), 8);
        lock.give_back(held);
        let newcomer_heir = born.join().unwrap();
        run.outcome((brief(&read(&view, 4 * PAGE)), heir, newcomer_heir));
    })
    .reaches(r#"("213", true, false)"#, "taken over, or disowned and then taken")
    .reaches(r#"("231", false, true)"#, "the newcomer was first: whoever is first hears of the death");
}

#[test]
fn a_lock_just_taken_is_not_taken_for_a_dead_ones() {
    check_bounded(3, |run| {
        let view = stream(2);
        let leases = Leases::all_free(3);
        let (mine, its) = (leases.seat(71, true), leases.seat(72, true));
        assert!(mine.host.take(1));
        let there = view.clone();
        let newcomer = thread::spawn(move || {
            let lock = writing(&there);
            assert!(its.host.take(2));
            let held = take(&lock, &who(2, &everybody));
            assert_eq!(write(&there, &[2; 8]), 8);
            lock.give_back(held);
            its
        });
        let lock = writing(&view);
        let lives = |number: u32| mine.host.is_held(number as usize);
        let held = take(&lock, &who(1, &lives));
        let after_death = held.after_death;
        assert_eq!(write(&view, &[1; 8]), 8);
        lock.give_back(held);
        drop(newcomer.join().unwrap());
        run.outcome((brief(&read(&view, 2 * PAGE)), after_death));
    })
    .reaches(r#"("12", false)"#, "one was first")
    .reaches(r#"("21", false)"#, "the other was; nobody died");
}

#[test]
fn a_third_sees_what_the_dead_one_did_though_a_newcomer_disowned_it() {
    check(|run| {
        let view = stream(2);
        let leases = Leases::all_free(3);
        let its = leases.seat(72, true);
        assert!(its.host.take(2));
        let (there, dead) = (view.clone(), leases.clone());
        let dying = thread::spawn(move || {
            if let Some(_killed) = writing(&there).try_take(2) {
                write(&there, &[2; 8]);
            }
            dead.end(2);
            slipring_loom::sync::kill(its);
        });
        let (there, newcomer) = (view.clone(), leases.seat(73, true));
        let born = thread::spawn(move || {
            let came = newcomer.host.take(2);
            if came {
                writing(&there).disown(2);
            }
            (came, newcomer)
        });
        // Writes beside what the dead one wrote: a race would be reported.
        let after_death = writing(&view).try_take(1).map(|held: Held| {
            write(&view, &[1; 8]);
            held.after_death
        });
        dying.join().unwrap();
        let (came, seat) = born.join().unwrap();
        drop(seat);
        run.outcome((after_death, came));
    })
    .reaches("(None, false)", "the dying one had the lock")
    .reaches("(None, true)", "the same, and the newcomer came after the death")
    .reaches("(Some(false), false)", "before the dying one")
    .reaches("(Some(false), true)", "the same, and it died without")
    .reaches("(Some(true), true)", "died, disowned, taken");
}

#[test]
fn whoever_took_over_is_not_taken_for_dead() {
    check(|run| {
        let view = stream(2);
        let leases = Leases::all_free(4);
        let mine = leases.seat(71, true);
        assert!(mine.host.take(1));
        // Number 3 died with the lock in hand.
        let _killed = writing(&view).try_take(3).unwrap();
        let (there, its) = (view.clone(), leases.seat(72, true));
        let heir = thread::spawn(move || {
            assert!(its.host.take(2));
            let lives = |number: u32| its.host.is_held(number as usize);
            let held = writing(&there).take_over(&who(2, &lives));
            (held.is_some(), its)
        });
        let lives = |number: u32| mine.host.is_held(number as usize);
        let first = writing(&view).take_over(&who(1, &lives)).is_some();
        let (second, seat) = heir.join().unwrap();
        drop(seat);
        run.outcome((first, second));
    })
    .reaches("(true, false)", "one was first")
    .reaches("(false, true)", "the other was: it lives, so its lock is not taken over");
}

#[test]
fn nobody_comes_or_leaves_uncounted() {
    check(|run| {
        let view = stream(1);
        let there = Stream::new(view.clone());
        let other = thread::spawn(move || {
            there.arrive(End::Reading);
            there.leave();
        });
        let stream = Stream::new(view);
        stream.arrive(End::Reading);
        stream.leave();
        other.join().unwrap();
        run.outcome((stream.openings(End::Reading), stream.departures()));
    })
    .reaches("(2, 2)", "always: each came and left once, and no count is lost to another");
}

// --- waiting ---

/// Whether the other side is gone, as the kernel tells it: seen only after all that it did.
struct Gone(AtomicBool);

fn call<'a>(me: u32, alone: &'a dyn Fn() -> bool) -> Call<'a> {
    Call { who: who(me, &everybody), alone, patience: &|| Some(Deadline::NEVER) }
}

fn never() -> bool {
    false
}

#[test]
fn a_waiting_reader_wakes_when_bytes_come() {
    check_bounded(3, |run| {
        let view = stream(2);
        let there = Stream::new(view.clone());
        let writer = thread::spawn(move || there.write(&[1; 8], &call(2, &never)));
        let mut to = [0; PAGE];
        let len = Stream::new(view).read(&mut to, &call(1, &never)).unwrap();
        assert_eq!(writer.join().unwrap(), Ok(8));
        run.outcome(brief(&to[..len]));
    })
    .reaches(r#""1""#, "always: found at once, before falling asleep, or woken");
}

#[test]
fn a_waiting_writer_wakes_when_a_page_is_free() {
    check_bounded(3, |run| {
        let view = stream(1);
        write(&view, &[1; 16]);
        let there = Stream::new(view.clone());
        let writer = thread::spawn(move || there.write(&[2; 8], &call(2, &never)));
        let mut to = [0; PAGE];
        let len = Stream::new(view.clone()).read(&mut to, &call(1, &never)).unwrap();
        assert_eq!(writer.join().unwrap(), Ok(8));
        run.outcome((brief(&to[..len]), brief(&read(&view, PAGE))));
    })
    .reaches(r#"("11", "2")"#, "always: there is one page, so the second write waits for the first read");
}

#[test]
fn a_waiting_reader_reads_everything_before_it_hears_that_the_writer_left() {
    check_bounded(3, |run| {
        let view = stream(2);
        let gone = Arc::new(Gone(AtomicBool::new(false)));
        let (there, leaving) = (Stream::new(view.clone()), gone.clone());
        let writer = thread::spawn(move || {
            there.write(&[1; 8], &call(2, &never)).unwrap();
            // The kernel drops the lock when the descriptor is closed; then the rest are told.
            leaving.0.store(true, Release);
            there.leave();
        });
        let stream = Stream::new(view);
        let alone = || gone.0.load(Acquire);
        let mut all = Vec::new();
        loop {
            let mut to = [0; PAGE];
            match stream.read(&mut to, &call(1, &alone)).unwrap() {
                0 => break,
                len => all.extend_from_slice(&to[..len]),
            }
        }
        writer.join().unwrap();
        run.outcome(brief(&all));
    })
    .reaches(r#""1""#, "always: what was written comes before the end");
}

#[test]
fn a_waiting_writer_hears_that_the_reader_left() {
    check_bounded(3, |run| {
        let view = stream(1);
        write(&view, &[1; 16]);
        let gone = Arc::new(Gone(AtomicBool::new(false)));
        let (there, leaving) = (Stream::new(view.clone()), gone.clone());
        let reader = thread::spawn(move || {
            leaving.0.store(true, Release);
            there.leave();
        });
        let alone = || gone.0.load(Acquire);
        run.outcome(Stream::new(view).write(&[2; 8], &call(2, &alone)));
        reader.join().unwrap();
    })
    .reaches("Err(Broken)", "always: the page stays full, and nobody is left to read it");
}

#[test]
fn whoever_counts_a_departure_knows_that_the_end_is_let_go() {
    check(|run| {
        let view = stream(1);
        let gone = Arc::new(Gone(AtomicBool::new(false)));
        let (there, leaving) = (Stream::new(view.clone()), gone.clone());
        let reader = thread::spawn(move || {
            leaving.0.store(true, Relaxed);
            there.leave();
        });
        let counted = Stream::new(view).departures();
        run.outcome((counted, counted == 0 || gone.0.load(Relaxed)));
        reader.join().unwrap();
    })
    .reaches("(0, true)", "before")
    .reaches("(1, true)", "after: the kernel says that it is gone");
}

#[test]
fn what_was_written_before_it_was_shut_is_there() {
    check(|run| {
        let view = stream(1);
        let there = view.clone();
        let writer = thread::spawn(move || {
            write(&there, &[1; 8]);
            Stream::new(there).shut(&who(2, &everybody));
        });
        let shut = Stream::new(view.clone()).is_shut();
        run.outcome((shut, brief(&read(&view, PAGE))));
        writer.join().unwrap();
    })
    .reaches(r#"(false, "")"#, "before the write")
    .reaches(r#"(false, "1")"#, "after it, or between")
    .reaches(r#"(true, "1")"#, "after all");
}

#[test]
fn two_who_shut_at_once_are_both_remembered() {
    check(|run| {
        let view = stream(1);
        let there = Stream::new(view.clone());
        let other = thread::spawn(move || there.set_mute());
        let stream = Stream::new(view);
        stream.shut(&who(1, &everybody));
        other.join().unwrap();
        run.outcome((stream.is_shut(), stream.is_mute()));
    })
    .reaches("(true, true)", "always: neither bit is lost to the other");
}

#[test]
fn what_is_told_once_is_told_to_one() {
    check(|run| {
        let view = stream(1);
        let there = Stream::new(view.clone());
        let other = thread::spawn(move || there.first_told());
        let here = Stream::new(view).first_told();
        run.outcome((here, other.join().unwrap()));
    })
    .reaches("(true, false)", "this one")
    .reaches("(false, true)", "the other");
}

#[test]
fn whoever_waits_for_a_partner_finds_its_end_open() {
    check(|run| {
        let view = stream(1);
        let open = Arc::new(Gone(AtomicBool::new(false)));
        let (there, opening) = (Stream::new(view.clone()), open.clone());
        let partner = thread::spawn(move || {
            opening.0.store(true, Relaxed);
            there.arrive(End::Writing);
        });
        let met = Stream::new(view).wait_for_partner(End::Writing, 0, Deadline::NEVER);
        run.outcome((met, open.0.load(Relaxed)));
        partner.join().unwrap();
    })
    .reaches("(Ok(()), true)", "always: whoever is counted has opened its end before");
}

#[test]
fn who_is_not_to_wait_does_not() {
    check(|run| {
        let view = stream(1);
        let there = Stream::new(view.clone());
        let at_once = || None;
        let writer = thread::spawn(move || {
            let call = Call { who: who(2, &everybody), alone: &never, patience: &|| None };
            there.write(&[1; 16], &call)
        });
        let call = Call { who: who(1, &everybody), alone: &never, patience: &at_once };
        let mut to = [0; PAGE];
        let read = Stream::new(view).read(&mut to, &call);
        assert_eq!(writer.join().unwrap(), Ok(16));
        assert!(matches!(read, Ok(16) | Err(Stop::WouldBlock)));
        run.outcome(read);
    })
    .reaches("Ok(16)", "after the write")
    .reaches("Err(WouldBlock)", "before it");
}
