//! POSIX semaphores between threads and processes: who sleeps, who is woken, what a death does. Each test that can plays
//! the same on the C library's and on slipring's. What can be compared without waiting is in `conform/`.

mod common;
#[path = "../conform/src/kernel.rs"]
#[allow(dead_code, reason = "this file uses a part")]
mod kernel;

use common::{Board, Dice, alone, asleep, errno, fork, interruptible, restartable, unique, until};
use nix::sys::signal::Signal;
use slipring::adapters::sem::{Clock, Moment, Semaphore, Unnamed};
use slipring::adapters::sysv::Obtain;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than this nothing here may take to hear of a death. The goal is 100 ms; a loaded machine gets more.
const BOUND: Duration = Duration::from_secs(5);
/// So long after the post a permit is its sleeper's, at least: 40 ms, less a tick of the kernel's coarse clock.
const LAPSE: Duration = Duration::from_millis(30);

/// A kind of semaphore, in memory that forked children share.
trait Sem: Send + Sync + 'static {
    const WHOSE: &'static str;
    fn make(value: u32) -> Self;
    fn wait(&self) -> io::Result<()>;
    fn wait_until(&self, seconds: i64, nanoseconds: i64) -> io::Result<()>;
    fn post(&self) -> io::Result<()>;
    fn value(&self) -> u32;
}

macro_rules! sem {
    ($kind:ty, $whose:literal, $until:expr) => {
        impl Sem for $kind {
            const WHOSE: &'static str = $whose;
            fn make(value: u32) -> Self {
                <$kind>::anonymous(value).unwrap()
            }
            fn wait(&self) -> io::Result<()> {
                self.wait()
            }
            fn wait_until(&self, seconds: i64, nanoseconds: i64) -> io::Result<()> {
                let until: fn(&$kind, i64, i64) -> io::Result<()> = $until;
                until(self, seconds, nanoseconds)
            }
            fn post(&self) -> io::Result<()> {
                self.post()
            }
            fn value(&self) -> u32 {
                self.value()
            }
        }
    };
}

sem!(kernel::Semaphore, "the C library's", |sem, seconds, nanoseconds| sem.wait_until(seconds, nanoseconds));
sem!(Semaphore, "slipring's", |sem, seconds, nanoseconds| sem.wait_until(Moment {
    clock: Clock::Realtime,
    seconds,
    nanoseconds
}));

fn from_now(time: Duration) -> (i64, i64) {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
    (at.as_secs() as i64, at.subsec_nanos().into())
}

// --- E1, E2 ---

fn sleeps<S: Sem>() {
    let sem = Arc::new(S::make(0));
    let waiter = sem.clone();
    let thread = asleep(move || waiter.wait().map(|()| Instant::now()));
    assert_eq!(sem.value(), 0, "never less than none");
    let start = Instant::now();
    sem.post().unwrap();
    let end = thread.join().unwrap().unwrap();
    println!("{}: woken within {:.1?}", S::WHOSE, end.saturating_duration_since(start));
    assert_eq!(sem.value(), 0);
}

#[test]
fn a_waiter_sleeps_until_a_permit_is_posted() {
    let _alone = alone();
    sleeps::<kernel::Semaphore>();
    sleeps::<Semaphore>();
}

/// Whether it can be said: a permit that a sleeper does not come for in 40 ms, as without a core, is anybody's.
fn order<S: Sem>() -> bool {
    let sem = Arc::new(S::make(0));
    let (tell, told) = std::sync::mpsc::channel();
    let threads: Vec<_> = (0..5)
        .map(|number| {
            let (sem, tell) = (sem.clone(), tell.clone());
            asleep(move || {
                sem.wait().unwrap();
                tell.send(number).unwrap();
            })
        })
        .collect();
    // Longer than a slice: whose sleep is one must not lose its place.
    std::thread::sleep(Duration::from_millis(150));
    let mut in_time = true;
    for number in 0..5 {
        let posted = Instant::now();
        sem.post().unwrap();
        let woken = told.recv_timeout(common::LIMIT).unwrap();
        in_time &= posted.elapsed() < LAPSE;
        assert!(woken == number || !in_time, "{}: {woken} in place of {number}", S::WHOSE);
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    in_time
}

#[test]
fn who_sleeps_longest_is_woken_first() {
    let _alone = alone();
    until("all come in time", order::<kernel::Semaphore>);
    until("all come in time", order::<Semaphore>);
}

/// Whether it could be tried.
fn ranks<S: Sem>() -> bool {
    let sem = Arc::new(S::make(0));
    let (tell, told) = std::sync::mpsc::channel();
    let waiter = |name: &'static str| {
        let (sem, tell) = (sem.clone(), tell.clone());
        asleep(move || {
            let may = name == "ordinary" || common::go_first();
            if may {
                sem.wait().unwrap();
            }
            tell.send((name, may)).unwrap();
        })
    };
    let threads = [waiter("ordinary"), waiter("urgent")];
    sem.post().unwrap();
    let (name, may) = told.recv_timeout(common::LIMIT).unwrap();
    if may {
        assert_eq!(name, "urgent", "{}: though it came later", S::WHOSE);
        sem.post().unwrap();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    may
}

#[test]
fn a_higher_scheduling_priority_is_woken_first() {
    let _alone = alone();
    let may = std::thread::spawn(common::go_first).join().unwrap();
    if may && ranks::<kernel::Semaphore>() {
        assert!(ranks::<Semaphore>());
    } else {
        println!("not tried: real-time priorities need CAP_SYS_NICE or RLIMIT_RTPRIO");
    }
}

/// Of the C library's nothing is promised: there a newcomer may take what was posted for a sleeper.
#[test]
fn nobody_takes_a_permit_that_was_handed_to_a_sleeper() {
    let _alone = alone();
    let sem = Semaphore::anonymous(0).unwrap();
    for _ in 0..200 {
        let waiter = sem.clone();
        let thread = asleep(move || waiter.wait());
        let posted = Instant::now();
        sem.post().unwrap();
        let stolen = sem.try_wait().is_ok();
        // On a loaded machine both this thread and the sleeper may be later than that.
        assert!(!stolen || posted.elapsed() >= LAPSE);
        if stolen {
            sem.post().unwrap();
        }
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn a_second_permit_is_for_whoever_comes() {
    let _alone = alone();
    let sem = Semaphore::anonymous(0).unwrap();
    let waiter = sem.clone();
    let thread = asleep(move || waiter.wait());
    sem.post().unwrap();
    sem.post().unwrap();
    sem.try_wait().unwrap();
    thread.join().unwrap().unwrap();
    assert_eq!((sem.value(), errno(sem.try_wait())), (0, libc::EAGAIN));
}

// --- E3 ---

fn deadlines<S: Sem>() {
    let sem = S::make(1);
    let past = from_now(Duration::ZERO);
    sem.wait_until(past.0, past.1).unwrap();
    assert_eq!(errno(sem.wait_until(past.0, past.1)), libc::ETIMEDOUT);
    let start = Instant::now();
    let soon = from_now(Duration::from_millis(120));
    assert_eq!(errno(sem.wait_until(soon.0, soon.1)), libc::ETIMEDOUT);
    assert!(start.elapsed() >= Duration::from_millis(119), "not before, and not for a slice");
    for nanoseconds in [-1, 1_000_000_000] {
        assert_eq!(errno(sem.wait_until(soon.0 + 1000, nanoseconds)), libc::EINVAL);
    }
    // As far away as can be said.
    let sem = Arc::new(sem);
    let waiter = sem.clone();
    let thread = asleep(move || waiter.wait_until(i64::MAX, 999_999_999));
    sem.post().unwrap();
    thread.join().unwrap().unwrap();
}

#[test]
fn a_wait_ends_at_its_moment() {
    let _alone = alone();
    deadlines::<kernel::Semaphore>();
    deadlines::<Semaphore>();
}

#[test]
fn a_moment_that_is_none_matters_only_to_who_has_to_wait() {
    let _alone = alone();
    let sem = Semaphore::anonymous(1).unwrap();
    let none = Moment { clock: Clock::Monotonic, seconds: 0, nanoseconds: -1 };
    sem.wait_until(none).unwrap();
    assert_eq!(errno(sem.wait_until(none)), libc::EINVAL);
    sem.post().unwrap();
    sem.wait_timeout(Duration::MAX).unwrap();
    let start = Instant::now();
    assert_eq!(errno(sem.wait_timeout(Duration::from_millis(60))), libc::ETIMEDOUT);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

fn signals<S: Sem>(timed: bool) {
    let sem = Arc::new(S::make(0));
    let mut child = fork(|link| {
        interruptible();
        restartable();
        let (seconds, nanoseconds) = from_now(Duration::from_secs(1000));
        link.say(0);
        loop {
            let got = if timed { sem.wait_until(seconds, nanoseconds) } else { sem.wait() };
            match got {
                Ok(()) => return link.say(1),
                Err(error) => link.say(error.raw_os_error().unwrap() as u64),
            }
        }
    });
    child.hear();
    let settled = |child: &common::Child| {
        until("it sleeps", || child.sleeps());
        std::thread::sleep(Duration::from_millis(100));
    };
    settled(&child);
    child.send(Signal::SIGUSR1);
    assert_eq!(child.hear(), libc::EINTR as u64, "{}", S::WHOSE);
    settled(&child);
    if !timed {
        // After a handler with SA_RESTART it goes on, as after a stop.
        child.send(Signal::SIGUSR2);
        settled(&child);
        child.stop();
        child.resume();
        settled(&child);
    }
    sem.post().unwrap();
    assert_eq!(child.hear(), 1, "{}", S::WHOSE);
    child.join();
}

#[test]
fn a_wait_ends_with_eintr_if_and_only_if_the_c_librarys_would() {
    let _alone = alone();
    for timed in [false, true] {
        println!("timed: {timed}");
        signals::<kernel::Semaphore>(timed);
        println!("the C library's do");
        signals::<Semaphore>(timed);
    }
}

#[test]
fn a_signals_handler_may_post() {
    let _alone = alone();
    let sem = Arc::new(Semaphore::anonymous(0).unwrap());
    // The child is interrupted anywhere in its own posts and waits, by posts.
    let board = Board::new(1);
    let child = fork(|_| {
        common::post_on_signal(sem.as_ptr());
        loop {
            board.add(0, 1);
            sem.post().unwrap();
            while sem.wait().is_err() {}
        }
    });
    until("it runs", || board.get(0) > 100);
    for _ in 0..2000 {
        child.send(Signal::SIGUSR1);
        std::thread::sleep(Duration::from_micros(50));
    }
    let before = board.get(0);
    until("it still runs", || board.get(0) > before + 100);
    child.kill();
    // It had a permit in hand, or not.
    let value = sem.value();
    assert!(value > 0, "the handlers posted");
    for _ in 0..value {
        sem.try_wait().unwrap();
    }
}

#[test]
fn an_unnamed_one_is_for_the_threads_of_a_process() {
    let _alone = alone();
    let sem = Unnamed::new(1).unwrap();
    assert_eq!(errno(Unnamed::new(1 << 31).map(drop)), libc::EINVAL);
    let board = Board::new(2);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    sem.wait().unwrap();
                    // A lost update would show that two were inside.
                    board.set(0, board.get(0) + 1);
                    sem.post().unwrap();
                }
            });
        }
    });
    assert_eq!((board.get(0), sem.value()), (8000, 1));
    sem.destroy();
}

#[test]
fn a_forked_child_uses_what_its_parent_opened() {
    let _alone = alone();
    let name = unique();
    let sem = Semaphore::obtain(&name.0, Obtain::CreateNew, 0o600, 1).unwrap();
    Semaphore::unlink(&name.0).unwrap();
    let mut child = fork(|link| {
        sem.wait().unwrap();
        link.say(1);
        sem.wait().unwrap();
        link.say(2);
        sem.post().unwrap();
    });
    assert_eq!(child.hear(), 1);
    assert_eq!(errno(sem.try_wait()), libc::EAGAIN);
    sem.post().unwrap();
    assert_eq!(child.hear(), 2);
    child.join();
    assert_eq!(sem.value(), 1);
}

#[test]
fn a_mode_that_lets_others_write_and_other_files_are_refused() {
    let _alone = alone();
    let name = unique();
    for mode in [0o622, 0o602, 0o4600, 0o400] {
        let made = Semaphore::obtain(&name.0, Obtain::CreateNew, mode, 1);
        assert_eq!(errno(made.map(drop)), libc::EINVAL, "{mode:o}");
    }
    let path = std::path::Path::new("/dev/shm").join(format!("sem:{}", &name.0[1..]));
    std::fs::write(&path, [0; 4096]).unwrap();
    assert_eq!(errno(Semaphore::open(&name.0).map(drop)), libc::EINVAL);
    assert_eq!(errno(Semaphore::obtain(&name.0, Obtain::CreateNew, 0o600, 1).map(drop)), libc::EEXIST);
    assert_eq!(errno(Semaphore::unlink(&name.0)), libc::EINVAL);
    std::fs::remove_file(&path).unwrap();
}

// --- deaths ---

/// A waiter that was handed a permit and is killed before it runs: it shares a processor with the poster, who goes first.
fn handed_and_killed(sem: &Semaphore, between: impl Fn() + Sync) {
    let processor = common::some_processor();
    let waiter = fork(|link| {
        common::share_processor(processor, true);
        sem.wait().unwrap();
        // It ran after all. It has to be there to be killed.
        link.say(1);
        std::thread::sleep(common::LIMIT);
    });
    until("it sleeps", || waiter.sleeps());
    std::thread::sleep(Duration::from_millis(5));
    until("it sleeps", || waiter.sleeps());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            common::share_processor(processor, false);
            sem.post().unwrap();
            between();
            waiter.kill();
        });
    });
}

#[test]
fn a_permit_that_a_killed_waiter_was_handed_is_not_lost() {
    let _alone = alone();
    let (mut handed, mut helped, mut longest) = (0, 0, Duration::ZERO);
    let begin = Instant::now();
    // Whether the first runs before it is killed, or the second is woken in its place, is the scheduler's.
    while handed < 5 && begin.elapsed() < common::LIMIT {
        let sem = Semaphore::anonymous(0).unwrap();
        match handed_and_killed_before(&sem) {
            // The permit was the first one's for so long, and not taken.
            Some(time) if time >= LAPSE => {
                handed += 1;
                longest = longest.max(time);
            }
            Some(_) => {}
            None => helped += 1,
        }
        assert_eq!(sem.value(), 0);
    }
    println!(
        "{handed} were killed with a permit that they were handed; the next had it after {longest:.1?} at most"
    );
    println!("{helped} were killed with one that they had taken and not said so");
    assert!(handed > helped, "{handed} permits came back, {helped} did not");
}

/// The same with a second one asleep behind it: how long after the post that had the permit, with nobody's help.
fn handed_and_killed_before(sem: &Semaphore) -> Option<Duration> {
    let processor = common::some_processor();
    let board = Board::new(1);
    let first = fork(|_| {
        sem.wait().unwrap();
        board.set(0, 1);
        std::thread::sleep(common::LIMIT);
    });
    common::nap(&first);
    let waiter = sem.clone();
    let second = asleep(move || {
        waiter.wait().unwrap();
        Instant::now()
    });
    // Only now: it has to wake once more for the second, to stay before it.
    common::nap(&first);
    common::keep_on_processor(nix::unistd::Pid::from_raw(first.pid() as i32), processor, true);
    let posted = std::thread::scope(|scope| {
        let poster = scope.spawn(|| {
            common::share_processor(processor, false);
            let posted = Instant::now();
            sem.post().unwrap();
            first.kill();
            posted
        });
        poster.join().unwrap()
    });
    // It ran after all, and is gone with the permit.
    let mut help = board.get(0) == 1;
    let patience = Instant::now() + Duration::from_secs(5);
    while !help && !second.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
        help = Instant::now() > patience;
    }
    if help {
        sem.post().unwrap();
    }
    let had = second.join().unwrap();
    match (help, board.get(0)) {
        (true, 0) => None,
        (true, _) => Some(Duration::ZERO),
        (false, _) => Some(had.saturating_duration_since(posted)),
    }
}

#[test]
fn a_permit_that_a_killed_waiter_was_handed_can_be_tried_for() {
    let _alone = alone();
    let mut kept = 0;
    for _ in 0..20 {
        let sem = Semaphore::anonymous(0).unwrap();
        let board = Board::new(1);
        handed_and_killed(&sem, || board.set(0, u64::from(sem.try_wait().is_err())));
        // Unless the waiter ran after all, the permit comes back when the claim has lapsed.
        if board.get(0) == 1 && sem.wait_timeout(Duration::from_secs(1)).is_ok() {
            kept += 1;
        }
        assert_eq!(sem.value(), 0);
    }
    println!("{kept} of 20 times it was the waiter's until it was killed");
    assert!(kept > 0, "or nothing was shown");
}

#[test]
fn a_stopped_waiter_keeps_no_permit_from_others() {
    let _alone = alone();
    let sem = Semaphore::anonymous(0).unwrap();
    let mut waiter = fork(|link| {
        sem.wait().unwrap();
        link.say(1);
    });
    until("it sleeps", || waiter.sleeps());
    waiter.stop();
    sem.post().unwrap();
    sem.wait_timeout(BOUND).unwrap();
    waiter.resume();
    until("it sleeps again", || waiter.sleeps());
    sem.post().unwrap();
    assert_eq!(waiter.hear(), 1);
    waiter.join();
}

#[test]
fn kills_at_random_moments_lose_no_permit_and_hang_nobody() {
    let _alone = alone();
    const PERMITS: u64 = 3;
    let kills = common::kills(150);
    let sem = Semaphore::anonymous(PERMITS as u32).unwrap();
    // For each child: permits that it may have taken and not given back, said before the one and after the other.
    let board = Board::new(8);
    let rounds = Board::new(8);
    let mut dice = Dice::new(7);
    let start = |who: usize| {
        let (sem, board, rounds) = (&sem, &board, &rounds);
        fork(move |_| {
            loop {
                board.set(who, 1);
                sem.wait().unwrap();
                board.set(who, 2);
                sem.post().unwrap();
                board.set(who, 0);
                rounds.add(who, 1);
            }
        })
    };
    let mut children: Vec<_> = (0..6).map(start).collect();
    // What was in the hands of the killed: 1 was waiting, or had just taken; 2 had it, or had just given it back.
    let mut most_lost = 0;
    for _ in 0..kills {
        std::thread::sleep(Duration::from_micros(dice.below(3000)));
        let who = dice.below(6) as usize;
        let child = std::mem::replace(&mut children[who], start(who));
        child.kill();
        most_lost += 1;
        // A semaphore has no owner: what a killed process had taken is gone. This is how a program gives it back.
        if sem.value() == 0 {
            let so_far = || (0..6).map(|who| rounds.get(who)).sum::<u64>();
            let (before, mut all_asleep) = (so_far(), 0);
            // Who has a permit does not sleep. Who waits for one looks now and then, and takes what was a dead one's for 40 ms;
            // all looks together take several times as long.
            until("they go on, or all of them sleep", || {
                std::thread::sleep(Duration::from_millis(2));
                all_asleep += u32::from(children.iter().all(common::Child::sleeps));
                so_far() != before || all_asleep == 100
            });
            if so_far() == before {
                assert!(most_lost > 0, "nobody can go on, and nobody was killed");
                most_lost -= 1;
                sem.post().unwrap();
            }
        }
    }
    let before: Vec<_> = (0..6).map(|who| rounds.get(who)).collect();
    for (who, before) in before.into_iter().enumerate() {
        until("everybody goes on", || rounds.get(who) > before);
    }
    children.into_iter().for_each(common::Child::kill);
    println!("{kills} kills, {} rounds", (0..6).map(|who| rounds.get(who)).sum::<u64>());
    assert!(u64::from(sem.value()) <= PERMITS, "no permit was made");
}
