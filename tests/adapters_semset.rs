//! System V semaphore sets between threads and processes: who sleeps, who is woken, what is undone. Each test that can
//! plays the same on the kernel's and on slipring's. What can be compared without waiting is in `conform/`.

mod common;
#[path = "../conform/src/kernel.rs"]
#[allow(dead_code, reason = "this file uses a part")]
mod kernel;

use common::{Board, Dice, alone, asleep, errno, fork, interruptible, restartable, until};
use nix::sys::signal::Signal;
use slipring::adapters::semset::{Operation, Set};
use slipring::adapters::sysv::{IPC_PRIVATE, Obtain, ftok};
use std::io;
use std::time::{Duration, Instant};

/// Longer than this nothing here may take to hear of a death. The goal is 100 ms; a loaded machine gets more.
const BOUND: Duration = Duration::from_secs(5);

/// A kind of set, removed in the end.
trait Semaphores: Copy + Send + Sync + 'static {
    const WHOSE: &'static str;
    fn make(values: &[u16]) -> Self;
    /// Number, change, IPC_NOWAIT, SEM_UNDO.
    fn operate(self, operations: &[kernel::Operation], time: Option<Duration>) -> io::Result<()>;
    fn values(self) -> io::Result<Vec<u16>>;
    fn set_value(self, number: usize, value: i32) -> io::Result<()>;
    fn waiting(self, number: usize) -> io::Result<(u32, u32)>;
    fn pid(self, number: usize) -> io::Result<u32>;
    fn remove(self) -> io::Result<()>;
}

impl Semaphores for kernel::Set {
    const WHOSE: &'static str = "kernel";
    fn make(values: &[u16]) -> Self {
        let set = kernel::Set::get(0, values.len() as i32, libc::IPC_CREAT | 0o600).unwrap();
        set.set_values(values).unwrap();
        set
    }
    fn operate(self, operations: &[kernel::Operation], time: Option<Duration>) -> io::Result<()> {
        self.operate(operations, time)
    }
    fn values(self) -> io::Result<Vec<u16>> {
        self.values()
    }
    fn set_value(self, number: usize, value: i32) -> io::Result<()> {
        self.set_value(number, value)
    }
    fn waiting(self, number: usize) -> io::Result<(u32, u32)> {
        Ok((self.ask(number, libc::GETNCNT)? as u32, self.ask(number, libc::GETZCNT)? as u32))
    }
    fn pid(self, number: usize) -> io::Result<u32> {
        self.ask(number, libc::GETPID).map(|pid| pid as u32)
    }
    fn remove(self) -> io::Result<()> {
        self.ask(0, libc::IPC_RMID).map(drop)
    }
}

impl Semaphores for Set {
    const WHOSE: &'static str = "slipring";
    fn make(values: &[u16]) -> Self {
        Set::with_values(IPC_PRIVATE, values, Obtain::CreateNew, 0o600).unwrap()
    }
    fn operate(self, operations: &[kernel::Operation], time: Option<Duration>) -> io::Result<()> {
        let operations: Vec<_> = operations
            .iter()
            .map(|&(number, change, nowait, undo)| {
                let mut operation = Operation::new(number, change);
                if nowait {
                    operation = operation.nowait();
                }
                if undo { operation.undo() } else { operation }
            })
            .collect();
        match time {
            Some(time) => self.operate_timeout(&operations, time),
            None => self.operate(&operations),
        }
    }
    fn values(self) -> io::Result<Vec<u16>> {
        self.values()
    }
    fn set_value(self, number: usize, value: i32) -> io::Result<()> {
        self.set_value(number, value)
    }
    fn waiting(self, number: usize) -> io::Result<(u32, u32)> {
        Ok((self.waiting_for_more(number)?, self.waiting_for_zero(number)?))
    }
    fn pid(self, number: usize) -> io::Result<u32> {
        self.pid(number)
    }
    fn remove(self) -> io::Result<()> {
        self.remove()
    }
}

/// Removed when the test ends, however it ends.
struct Own<S: Semaphores>(S);

impl<S: Semaphores> Drop for Own<S> {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

fn own<S: Semaphores>(values: &[u16]) -> Own<S> {
    Own(S::make(values))
}

const fn by(number: u16, change: i16) -> kernel::Operation {
    (number, change, false, false)
}

const fn undone(number: u16, change: i16) -> kernel::Operation {
    (number, change, false, true)
}

// --- E2, E6: several at once, and who waits ---

fn all_or_none<S: Semaphores>() {
    let own = own::<S>(&[1, 0]);
    let set = own.0;
    let thread = asleep(move || set.operate(&[by(0, -1), by(1, -2)], None));
    assert_eq!(set.values().unwrap(), [1, 0], "{}: not one without the other", S::WHOSE);
    assert_eq!((set.waiting(0).unwrap(), set.waiting(1).unwrap()), ((0, 0), (1, 0)));
    set.operate(&[by(1, 1)], None).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(set.values().unwrap(), [1, 1], "{}: one is not enough", S::WHOSE);
    set.operate(&[by(1, 1)], None).unwrap();
    thread.join().unwrap().unwrap();
    assert_eq!(set.values().unwrap(), [0, 0]);
}

#[test]
fn several_operations_are_done_together_or_waited_for() {
    let _alone = alone();
    all_or_none::<kernel::Set>();
    all_or_none::<Set>();
}

fn zero<S: Semaphores>() {
    let own = own::<S>(&[2]);
    let set = own.0;
    let thread = asleep(move || set.operate(&[by(0, 0), by(0, 5)], None));
    assert_eq!(set.waiting(0).unwrap(), (0, 1));
    set.operate(&[by(0, -1)], None).unwrap();
    assert_eq!(set.values().unwrap(), [1]);
    set.operate(&[by(0, -1)], None).unwrap();
    thread.join().unwrap().unwrap();
    assert_eq!((set.values().unwrap(), set.waiting(0).unwrap()), (vec![5], (0, 0)));
}

#[test]
fn zero_is_waited_for() {
    let _alone = alone();
    zero::<kernel::Set>();
    zero::<Set>();
}

fn ends<S: Semaphores>() {
    let own = own::<S>(&[0]);
    let set = own.0;
    let start = Instant::now();
    let time = Duration::from_millis(70);
    assert_eq!(errno(set.operate(&[by(0, -1)], Some(time))), libc::EAGAIN);
    assert!(start.elapsed() >= time);
    assert_eq!(set.waiting(0).unwrap(), (0, 0));
    let thread = asleep(move || set.operate(&[by(0, -1)], None));
    let other = asleep(move || set.operate(&[by(0, -1)], Some(Duration::from_secs(1000))));
    let id_still_there = set.values();
    assert_eq!(id_still_there.unwrap(), [0]);
    set.remove().unwrap();
    assert_eq!(errno(thread.join().unwrap()), libc::EIDRM, "{}", S::WHOSE);
    assert_eq!(errno(other.join().unwrap()), libc::EIDRM, "{}", S::WHOSE);
    assert_eq!(errno(set.operate(&[by(0, 1)], None)), libc::EINVAL);
    assert_eq!(errno(set.values()), libc::EINVAL);
    assert_eq!(errno(set.remove()), libc::EINVAL);
}

#[test]
fn a_wait_ends_with_its_time_or_with_the_set() {
    let _alone = alone();
    ends::<kernel::Set>();
    ends::<Set>();
}

fn signals<S: Semaphores>() {
    let own = own::<S>(&[0]);
    let set = own.0;
    let mut child = fork(|link| {
        interruptible();
        restartable();
        link.say(0);
        loop {
            match set.operate(&[by(0, -1)], None) {
                Ok(()) => return link.say(1),
                Err(error) => link.say(error.raw_os_error().unwrap() as u64),
            }
        }
    });
    child.hear();
    let settled =
        |child: &common::Child| until("it waits", || set.waiting(0).unwrap() == (1, 0) && child.sleeps());
    settled(&child);
    assert_eq!(child.interrupted(), libc::EINTR as u64, "{}", S::WHOSE);
    settled(&child);
    // Calls of System V are not restarted, whatever the handler was installed with. A signal between two sleeps of one call
    // ends nothing (docs/semantics.md), so there may be a second.
    let pid = nix::unistd::Pid::from_raw(child.pid() as i32);
    let restarting = common::meanwhile(move || {
        let _ = nix::sys::signal::kill(pid, Signal::SIGUSR2);
        std::thread::sleep(Duration::from_millis(50));
    });
    assert_eq!(child.hear(), libc::EINTR as u64, "{}", S::WHOSE);
    drop(restarting);
    child.send(Signal::SIGKILL);
    drop(child);
    until("nobody waits", || set.waiting(0).unwrap() == (0, 0));
}

#[test]
fn a_signals_handler_ends_a_wait_and_a_killed_waiter_is_not_counted() {
    let _alone = alone();
    signals::<kernel::Set>();
    signals::<Set>();
}

/// A child that takes this, asleep for it; it says when it has it.
fn taker<S: Semaphores>(set: S, operations: &[kernel::Operation]) -> common::Child {
    let child = fork(|link| {
        set.operate(operations, None).unwrap();
        link.say(1);
    });
    common::nap(&child);
    child
}

fn served<S: Semaphores>() {
    let own = own::<S>(&[0, 0]);
    let set = own.0;
    let mut first = taker(set, &[by(0, -1), by(1, 1)]);
    let mut large = taker(set, &[by(0, -3)]);
    let mut second = taker(set, &[by(0, -1)]);
    let mut by_the_first = taker(set, &[by(1, -1)]);
    assert_eq!((set.waiting(0).unwrap(), set.waiting(1).unwrap()), ((3, 0), (1, 0)));
    set.operate(&[by(0, 1)], None).unwrap();
    // Without a moment for anybody to wake up in.
    assert_eq!(
        set.values().unwrap(),
        [0, 0],
        "{}: whoever could go on has it when the call returns",
        S::WHOSE
    );
    assert_eq!(errno(set.operate(&[(0, -1, true, false)], None)), libc::EAGAIN, "nobody is quicker");
    assert_eq!(set.pid(0).unwrap(), first.pid());
    assert_eq!((set.waiting(0).unwrap(), set.waiting(1).unwrap()), ((2, 0), (0, 0)));
    assert_eq!((first.hear(), by_the_first.hear()), (1, 1));
    // Who needs less may come before who waits longer.
    set.set_value(0, 2).unwrap();
    assert_eq!((set.values().unwrap(), second.hear()), (vec![1, 0], 1));
    set.operate(&[by(0, 2)], None).unwrap();
    assert_eq!((set.values().unwrap(), large.hear()), (vec![0, 0], 1));
    [first, large, second, by_the_first].into_iter().for_each(common::Child::join);
}

#[test]
fn a_change_is_made_with_all_that_it_makes_possible_for_who_waits() {
    let _alone = alone();
    served::<kernel::Set>();
    served::<Set>();
}

fn dead_sleepers<S: Semaphores>() {
    let own = own::<S>(&[0]);
    let set = own.0;
    let victim = taker(set, &[by(0, -1)]);
    let mut other = taker(set, &[by(0, -1)]);
    victim.kill();
    set.operate(&[by(0, 1)], None).unwrap();
    assert_eq!((set.values().unwrap(), other.hear()), (vec![0], 1), "{}", S::WHOSE);
    other.join();
}

#[test]
fn a_killed_sleeper_takes_nothing() {
    let _alone = alone();
    dead_sleepers::<kernel::Set>();
    dead_sleepers::<Set>();
}

fn many_operations<S: Semaphores>() {
    static TAKE: [kernel::Operation; 40] = [by(0, -1); 40];
    let own = own::<S>(&[39]);
    let set = own.0;
    let mut child = taker(set, &TAKE);
    set.operate(&[by(0, 2)], None).unwrap();
    assert_eq!(child.hear(), 1, "{}", S::WHOSE);
    child.join();
    let mut child = fork(|link| link.say(errno(set.operate(&TAKE, None)) as u64));
    common::nap(&child);
    set.remove().unwrap();
    assert_eq!(child.hear(), libc::EIDRM as u64, "{}", S::WHOSE);
    child.join();
}

#[test]
fn calls_of_many_operations_wait_as_well() {
    let _alone = alone();
    many_operations::<kernel::Set>();
    many_operations::<Set>();
}

// --- E4, E5: keys and identifiers ---

#[test]
fn an_identifier_is_not_given_to_another_set() {
    let _alone = alone();
    let first = own::<Set>(&[1]);
    let id = first.0.id();
    drop(first);
    let others: Vec<_> = (0..4).map(|_| own::<Set>(&[2])).collect();
    assert!(others.iter().all(|other| other.0.id() != id));
    assert_eq!(errno(Set::from_id(id).values()), libc::EINVAL);
    // Also where a process used it before.
    let mut child = fork(|link| {
        link.say(Set::from_id(id).values().is_err().into());
        link.say(Set::from_id(others[0].0.id()).values().unwrap()[0].into());
    });
    assert_eq!((child.hear(), child.hear()), (1, 2));
    child.join();
    assert!(Set::all().unwrap().contains(&others[3].0));
}

#[test]
fn a_set_takes_one_descriptor_and_gives_it_back() {
    let _alone = alone();
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    let own = own::<Set>(&[1]);
    assert_eq!(count(), before, "it is no hold");
    own.0.operate(&[Operation::new(0, -1).undo()]).unwrap();
    own.0.operate(&[Operation::new(0, 1)]).unwrap();
    assert_eq!(count(), before + 1);
    drop(own);
    assert_eq!(count(), before);
}

#[test]
fn a_key_leads_every_process_to_one_set_with_its_first_values() {
    let _alone = alone();
    let scratch = common::scratch();
    let key = ftok(&scratch.0, 0x53).unwrap();
    assert_eq!(key >> 24, 0x53);
    assert_eq!(ftok(&scratch.0, 0x153).unwrap(), key, "the low eight bits count");
    assert_eq!(errno(ftok(scratch.0.join("none"), 1)), libc::ENOENT);
    let board = Board::new(3);
    let children: Vec<_> = (0..4)
        .map(|_| {
            fork(|_| {
                board.add(1, 1);
                until("all are there", || board.get(1) == 4);
                let set = Set::with_values(key, &[3, 4], Obtain::OrCreate, 0o600).unwrap();
                // Whoever finds it finds it whole.
                let values = set.values().unwrap();
                assert_eq!(values[1], 4);
                set.operate(&[Operation::new(0, 1)]).unwrap();
                board.set(2, set.id() as u64);
                assert!(board.add(0, 1) <= 4);
            })
        })
        .collect();
    children.into_iter().for_each(common::Child::join);
    let set = Own(Set::get(key, 2, Obtain::Existing, 0).unwrap());
    assert_eq!((set.0.id() as u64, set.0.values().unwrap()), (board.get(2), vec![7, 4]));
    let facts = set.0.facts().unwrap();
    assert_eq!((facts.key, facts.semaphores, facts.mode), (key, 2, 0o600));
    assert!(facts.operated >= facts.changed && facts.changed > 0);
}

// --- E7: what is undone ---

fn undo_at_death<S: Semaphores>() {
    let own = own::<S>(&[3, 0, 7]);
    let set = own.0;
    let mut child = fork(|link| {
        set.operate(&[undone(0, -2), undone(1, 4), by(2, -1)], None).unwrap();
        // A thread's end is not the process's.
        std::thread::spawn(move || set.operate(&[undone(0, -1)], None).unwrap()).join().unwrap();
        link.say(std::process::id().into());
        std::thread::sleep(common::LIMIT);
    });
    let pid = child.hear();
    assert_eq!(set.values().unwrap(), [0, 4, 6], "{}", S::WHOSE);
    // Somebody took what is to be taken back: it stops at zero.
    set.operate(&[by(1, -3)], None).unwrap();
    child.kill();
    assert_eq!(set.values().unwrap(), [3, 0, 6], "{}", S::WHOSE);
    assert_eq!(u64::from(set.pid(0).unwrap()), pid, "{}", S::WHOSE);
}

#[test]
fn a_killed_process_undoes_what_it_said_and_no_thread_does() {
    let _alone = alone();
    undo_at_death::<kernel::Set>();
    undo_at_death::<Set>();
}

fn undo_for_sleepers<S: Semaphores>() {
    let own = own::<S>(&[1]);
    let set = own.0;
    let mut child = fork(|link| {
        set.operate(&[undone(0, -1)], None).unwrap();
        link.say(1);
        std::thread::sleep(common::LIMIT);
    });
    child.hear();
    let thread = asleep(move || {
        set.operate(&[undone(0, -1)], None).unwrap();
        Instant::now()
    });
    let start = Instant::now();
    child.kill();
    let time = thread.join().unwrap().saturating_duration_since(start);
    println!("{}: a sleeper had what was given back after {time:.1?}", S::WHOSE);
    assert!(time < BOUND);
}

#[test]
fn a_sleeper_gets_what_a_killed_process_gives_back() {
    let _alone = alone();
    undo_for_sleepers::<kernel::Set>();
    undo_for_sleepers::<Set>();
}

fn undo_rules<S: Semaphores>() {
    let own = own::<S>(&[5, 5]);
    let set = own.0;
    let child = |work: &dyn Fn()| fork(|_| work()).join();
    // A forked child inherits nothing to be undone; its own is undone at its clean end, too.
    child(&|| {
        set.operate(&[undone(0, -2)], None).unwrap();
        // Its own child's end undoes nothing of it.
        fork(|_| set.operate(&[undone(1, -1)], None).unwrap()).join();
        assert_eq!(set.values().unwrap(), [3, 5], "{}", S::WHOSE);
    });
    assert_eq!(set.values().unwrap(), [5, 5], "{}", S::WHOSE);
    // Nothing is undone of a semaphore whose value was set.
    child(&|| {
        set.operate(&[undone(0, -2), undone(1, -2)], None).unwrap();
        set.set_value(0, 9).unwrap();
    });
    assert_eq!(set.values().unwrap(), [9, 5], "{}", S::WHOSE);
    // Taken and given back: nothing is left to be undone.
    child(&|| {
        set.operate(&[undone(0, -2)], None).unwrap();
        set.operate(&[undone(0, 2)], None).unwrap();
    });
    assert_eq!(set.values().unwrap(), [9, 5], "{}", S::WHOSE);
}

#[test]
fn what_is_undone_is_the_processs_own_and_ends_with_a_set_value() {
    let _alone = alone();
    undo_rules::<kernel::Set>();
    undo_rules::<Set>();
}

/// Each takes two of a first semaphore and one of a second, says so elsewhere, gives them back; all of it to be undone.
#[test]
fn kills_at_random_moments_return_every_permit_and_hang_nobody() {
    let _alone = alone();
    let kills = common::kills(200);
    const START: [u16; 3] = [4, 2, 0];
    let own = own::<Set>(&START);
    let set = own.0;
    let rounds = Board::new(6);
    let take = [Operation::new(0, -2).undo(), Operation::new(1, -1).undo(), Operation::new(2, 1).undo()];
    let give = [Operation::new(2, -1).undo(), Operation::new(1, 1).undo(), Operation::new(0, 2).undo()];
    let start = |who: usize| {
        let rounds = &rounds;
        fork(move |_| {
            loop {
                set.operate(&take).unwrap();
                rounds.add(who, 1);
                set.operate(&give).unwrap();
            }
        })
    };
    let mut children: Vec<_> = (0..6).map(start).collect();
    let mut dice = Dice::new(11);
    for kill in 0..kills {
        std::thread::sleep(Duration::from_micros(dice.below(2500)));
        let who = dice.below(6) as usize;
        let child = std::mem::replace(&mut children[who], start(who));
        child.kill();
        // Between any two operations, whoever was killed at whatever moment, nothing is lost or made.
        let values = set.values().unwrap();
        assert_eq!((values[0] + 2 * values[2], values[1] + values[2]), (4, 2), "kill {kill}: {values:?}");
    }
    let before: Vec<_> = (0..6).map(|who| rounds.get(who)).collect();
    for (who, before) in before.into_iter().enumerate() {
        until("everybody goes on", || rounds.get(who) > before);
    }
    children.into_iter().for_each(common::Child::kill);
    println!("{kills} kills, {} rounds", (0..6).map(|who| rounds.get(who)).sum::<u64>());
    assert_eq!(set.values().unwrap(), START, "all permits are returned");
    let waiting: Vec<_> = (0..3).map(|number| set.waiting(number).unwrap()).collect();
    assert_eq!(waiting, [(0, 0); 3], "nobody is counted who is gone");
}
