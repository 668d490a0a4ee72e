//! System V message queues between processes: what waits, what a removal, a signal and a death do, what makers and
//! removers leave who are killed half way. Each test that can plays the same on a queue of the kernel's and on one of
//! slipring's. What can be compared without waiting is in `conform/`.

mod common;
#[path = "../conform/src/sys.rs"]
#[allow(dead_code, reason = "POSIX's calls are another file's")]
mod sys;

use common::{
    Board, Child, Dice, alone, asleep_until, errno, fork, interruptible, nap, number_of, numbered,
    restartable,
};
use nix::sys::signal::Signal;
use slipring::adapters::sysv_mq::flags::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT, MSG_EXCEPT};
use slipring::adapters::sysv_mq::{self, IPC_PRIVATE, Options, Queue};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A queue that is removed when this is dropped in the process that made it.
struct Mine<M: Msg>(M, u32);

impl<M: Msg> Drop for Mine<M> {
    fn drop(&mut self) {
        if self.1 == std::process::id() {
            let _ = self.0.remove();
        }
    }
}

/// A kind of queue.
trait Msg: Clone + Send + 'static {
    const WHOSE: &'static str;
    fn make() -> Self;
    fn send(&mut self, kind: i64, message: &[u8], flags: i32) -> io::Result<()>;
    fn take(&mut self, room: usize, kind: i64, flags: i32) -> io::Result<(Vec<u8>, i64)>;
    fn remove(&mut self) -> io::Result<()>;
    /// Messages queued.
    fn messages(&mut self) -> u64;
}

#[derive(Clone)]
struct Kernels(i32);

impl Msg for Kernels {
    const WHOSE: &'static str = "kernel";
    fn make() -> Self {
        Kernels(sys::msgget(IPC_PRIVATE, 0o600).unwrap())
    }
    fn send(&mut self, kind: i64, message: &[u8], flags: i32) -> io::Result<()> {
        sys::msgsnd(self.0, kind, message, flags)
    }
    fn take(&mut self, room: usize, kind: i64, flags: i32) -> io::Result<(Vec<u8>, i64)> {
        let mut to = vec![0; room];
        let (len, kind) = sys::msgrcv(self.0, &mut to, kind, flags)?;
        Ok((to[..len].to_vec(), kind))
    }
    fn remove(&mut self) -> io::Result<()> {
        sys::msgrmid(self.0)
    }
    fn messages(&mut self) -> u64 {
        sys::msgstat(self.0).unwrap().msg_qnum
    }
}

impl Msg for Queue {
    const WHOSE: &'static str = "slipring";
    fn make() -> Self {
        let options = Options::new().messages(1000).handles(100);
        sysv_mq::get_queue(IPC_PRIVATE, 0o600, &options).unwrap()
    }
    fn send(&mut self, kind: i64, message: &[u8], flags: i32) -> io::Result<()> {
        Queue::send(self, kind, message, flags)
    }
    fn take(&mut self, room: usize, kind: i64, flags: i32) -> io::Result<(Vec<u8>, i64)> {
        let mut to = vec![0; room];
        let (len, kind) = self.receive(&mut to, kind, flags)?;
        Ok((to[..len].to_vec(), kind))
    }
    fn remove(&mut self) -> io::Result<()> {
        Queue::remove(self)
    }
    fn messages(&mut self) -> u64 {
        self.stat().unwrap().qnum
    }
}

fn make<M: Msg>() -> Mine<M> {
    Mine(M::make(), std::process::id())
}

// --- Q9: waiting ---

fn sleeps<M: Msg>() {
    let queue = make::<M>();
    let (mut waits, mut other) = (queue.0.clone(), queue.0.clone());
    let ((got, mut waits), time) = asleep_until(
        move || (waits.take(9, 7, 0), waits),
        || {
            // What it does not want does not wake it.
            other.send(8, b"no", 0).unwrap();
            std::thread::sleep(Duration::from_millis(60));
            other.send(7, b"yes", 0).unwrap();
        },
    );
    assert_eq!(got.unwrap(), (b"yes".to_vec(), 7));
    println!("{}: woken within {time:.1?}", M::WHOSE);
    assert_eq!(other.take(9, 0, 0).unwrap().0, b"no");
    (0..2).for_each(|_| other.send(1, &[1; 8192], 0).unwrap());
    let (sent, _) = asleep_until(
        move || waits.send(2, b"x", 0),
        || assert_eq!(other.take(8192, 0, 0).unwrap().0.len(), 8192),
    );
    sent.unwrap();
    assert_eq!(other.take(1, 2, 0).unwrap().0, b"x");
}

#[test]
fn who_must_wait_sleeps_until_what_it_wants_is_there() {
    let _alone = alone();
    sleeps::<Kernels>();
    sleeps::<Queue>();
}

fn removed<M: Msg>() {
    let queue = make::<M>();
    let (mut waits, mut other) = (queue.0.clone(), queue.0.clone());
    (0..2).for_each(|_| other.send(1, &[1; 8192], 0).unwrap());
    let mut sender = waits.clone();
    let child = fork(|_| assert_eq!(errno(sender.send(1, b"x", 0)), libc::EIDRM));
    nap(&child);
    let (got, time) = asleep_until(move || waits.take(9, 7, 0), || other.remove().unwrap());
    assert_eq!(errno(got), libc::EIDRM);
    child.join();
    println!("{}: told within {time:.1?}", M::WHOSE);
    assert_eq!(errno(other.send(1, b"x", 0)), libc::EINVAL);
    assert_eq!(errno(other.take(1, 0, 0)), libc::EINVAL);
    assert_eq!(errno(other.remove()), libc::EINVAL);
}

#[test]
fn a_removal_wakes_everybody_with_eidrm() {
    let _alone = alone();
    removed::<Kernels>();
    removed::<Queue>();
}

fn signals<M: Msg>() {
    let queue = make::<M>();
    let mut waits = queue.0.clone();
    let mut child = fork(|link| {
        interruptible();
        restartable();
        loop {
            link.say(0);
            match waits.take(9, 0, 0) {
                Ok(_) => return,
                Err(error) => link.say(error.raw_os_error().unwrap() as u64),
            }
        }
    });
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2] {
        assert_eq!(child.hear(), 0);
        nap(&child);
        child.stop();
        child.resume();
        nap(&child);
        let pid = nix::unistd::Pid::from_raw(child.pid() as i32);
        // A signal between two sleeps of one call ends nothing (docs/semantics.md), so there may be a second.
        let interrupting = common::meanwhile(move || {
            let _ = nix::sys::signal::kill(pid, signal);
            std::thread::sleep(Duration::from_millis(50));
        });
        assert_eq!(child.hear(), libc::EINTR as u64, "{}: {signal}", M::WHOSE);
        drop(interrupting);
    }
    // Another signal may have been on its way, and ended another call.
    let mut sender = queue.0.clone();
    sender.send(1, b"", 0).unwrap();
    child.join();
}

#[test]
fn any_handler_ends_a_wait_and_a_stop_does_not() {
    let _alone = alone();
    signals::<Kernels>();
    signals::<Queue>();
}

fn chosen<M: Msg>() {
    let mut queue = make::<M>();
    let wait = |room: usize, kind: i64, flags: i32| {
        let mut waits = queue.0.clone();
        let child = fork(|link| match waits.take(room, kind, flags) {
            Ok((message, kind)) => link.say(kind as u64 * 1000 + u64::from(message[0])),
            Err(error) => link.say(error.raw_os_error().unwrap() as u64),
        });
        nap(&child);
        child
    };
    let five = wait(9, 5, 0);
    let short = wait(1, 6, 0);
    let low = wait(9, -3, 0);
    let other = wait(9, 5, MSG_EXCEPT);
    let any = wait(9, 0, 0);
    std::thread::sleep(Duration::from_millis(120));
    // Each goes to the first in line who wants it and can have it.
    queue.0.send(6, &[1; 5], 0).unwrap();
    queue.0.send(5, &[2; 5], 0).unwrap();
    queue.0.send(5, &[3; 5], 0).unwrap();
    queue.0.send(3, &[4; 5], 0).unwrap();
    for (mut child, said) in
        [(five, 5002), (short, libc::E2BIG as u64), (other, 6001), (any, 5003), (low, 3004)]
    {
        assert_eq!(child.hear(), said, "{}", M::WHOSE);
        child.join();
    }
    assert_eq!(queue.0.messages(), 0);
}

#[test]
fn a_message_goes_to_the_first_who_wants_it_and_has_room() {
    let _alone = alone();
    chosen::<Kernels>();
    chosen::<Queue>();
}

// --- Q2: keys and identifiers ---

/// A key of this test's own.
fn key() -> i32 {
    (std::process::id() << 8 | 0x4000_0000).cast_signed()
}

fn name_of(which: &str) -> PathBuf {
    format!("/dev/shm/sysv-mq.{}.{which}", nix::unistd::geteuid()).into()
}

/// The queue with this key, which another process makes: removed if it is still there.
struct OfKey(i32);

impl Drop for OfKey {
    fn drop(&mut self) {
        let _ = sysv_mq::get_queue(self.0, 0, &Options::new()).and_then(|mut queue| queue.remove());
    }
}

#[test]
fn unrelated_processes_meet_by_key_and_by_identifier() {
    let _alone = alone();
    let key = key();
    let _left = OfKey(key);
    let mut child = fork(|link| {
        let mut queue = sysv_mq::get_queue(key, IPC_CREAT | IPC_EXCL | 0o600, &Options::new()).unwrap();
        queue.send(3, b"kept", 0).unwrap();
        link.say(queue.id() as u64);
    });
    let id = child.hear() as i32;
    child.join();
    let mut by_key = Mine(sysv_mq::get_queue(key, 0, &Options::new()).unwrap(), std::process::id());
    assert_eq!(by_key.0.id(), id);
    assert!(sysv_mq::list().unwrap().contains(&id));
    let mut by_id = Queue::of_id(id).unwrap();
    assert_eq!(by_id.take(9, 0, 0).unwrap(), (b"kept".to_vec(), 3), "it outlived its maker");
    by_key.0.remove().unwrap();
    assert_eq!(errno(Queue::of_id(id).map(drop)), libc::EINVAL);
    assert_eq!(errno(sysv_mq::get_queue(key, 0, &Options::new()).map(drop)), libc::ENOENT);
    assert!(!sysv_mq::list().unwrap().contains(&id));
}

#[test]
fn identifiers_do_not_come_again() {
    let _alone = alone();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let queue = make::<Queue>();
        assert!(ids.insert(queue.0.id()), "the identifier of one that was removed");
    }
}

/// A second name of a file, and its first: whichever are left are removed.
struct Link(PathBuf, PathBuf);

impl Drop for Link {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_file(&self.1);
    }
}

#[test]
fn what_a_maker_and_a_remover_left_who_were_killed_half_way_is_put_right() {
    let _alone = alone();
    let queue =
        Mine(sysv_mq::get_queue(key(), IPC_CREAT | 0o600, &Options::new()).unwrap(), std::process::id());
    let id = queue.0.id();
    // A maker that has published the key, and not come to the identifier.
    let by_id = name_of(&format!("id.{id}"));
    std::fs::remove_file(&by_id).unwrap();
    assert_eq!(errno(Queue::of_id(id).map(drop)), libc::EINVAL);
    drop(sysv_mq::get_queue(key(), 0, &Options::new()).unwrap());
    drop(Queue::of_id(id).unwrap());
    // A remover that has said so, and not come to the names.
    let by_key = name_of(&format!("key.{:08x}", key()));
    let kept = Link(name_of(&format!("kept.{:08x}", key())), by_key.clone());
    std::fs::hard_link(&by_key, &kept.0).unwrap();
    drop(queue);
    std::fs::rename(&kept.0, &by_key).unwrap();
    assert_eq!(errno(sysv_mq::get_queue(key(), 0, &Options::new()).map(drop)), libc::ENOENT);
    assert!(!by_key.exists());
    drop(kept);
    let another = Mine(
        sysv_mq::get_queue(key(), IPC_CREAT | IPC_EXCL | 0o600, &Options::new()).unwrap(),
        std::process::id(),
    );
    assert_ne!(another.0.id(), id);
}

// --- deaths at random moments ---

const MOST: usize = 4000;
const LONGEST: usize = 300;

/// Message `number` of a sender, of one cell or several.
fn message(me: usize, number: u32) -> Vec<u8> {
    numbered((me as u64) << 32 | u64::from(number), LONGEST)
}

/// The type of message `number`.
fn kind_of(number: u32) -> i64 {
    [1, 2, 7, 1 << 40][number as usize % 4]
}

/// Senders and receivers, of any, of one type, of the lowest, of all but one, are killed again and again.
#[test]
fn kills_at_random_moments_lose_double_and_tear_nothing_and_hang_nobody() {
    let _alone = alone();
    let kills = common::kills(240);
    let senders = kills + 3;
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let options = Options::new().bytes(1500).messages(20).handles(100);
    let made = Mine(sysv_mq::get_queue(IPC_PRIVATE, 0o600, &options).unwrap(), std::process::id());
    let (sent, got) = (Board::new(senders), Board::new(senders * MOST));
    let take = |queue: &mut Queue, kind: i64, flags: i32| {
        let (bytes, its) = queue.take(LONGEST, kind, flags)?;
        let whole = number_of(&bytes, LONGEST);
        let (me, number) = ((whole >> 32) as usize, whole as u32);
        assert_eq!(its, kind_of(number), "its own type");
        let wanted = match kind {
            0 => true,
            ..0 => its <= -kind,
            _ if flags & MSG_EXCEPT != 0 => its != kind,
            _ => its == kind,
        };
        assert!(wanted, "{its} for one who wants {kind}");
        assert_eq!(got.add(me * MOST + number as usize, 1), 1, "once");
        Ok::<_, io::Error>(())
    };
    let mut names = 0..senders;
    let mut start = |role: usize| {
        let me = if role < 3 { names.next().unwrap() } else { 0 };
        fork(|_| {
            // The parent's, after the fork.
            let mut queue = made.0.clone();
            if role < 3 {
                for number in 0..MOST as u32 {
                    queue.send(kind_of(number), &message(me, number), 0).unwrap();
                    sent.set(me, u64::from(number) + 1);
                }
                std::thread::sleep(Duration::from_secs(1000));
            }
            let (kind, flags) = [(0, 0), (1, 0), (1, MSG_EXCEPT), (-7, 0)][role - 3];
            while take(&mut queue, kind, flags).is_ok() {}
        })
    };
    let mut children: Vec<Child> = (0..7).map(&mut start).collect();
    let mut lost_at_most = 4;
    for _ in 0..kills {
        std::thread::sleep(Duration::from_micros(dice.below(3000)));
        let victim = dice.below(7) as usize;
        let next = start(victim);
        std::mem::replace(&mut children[victim], next).kill();
        lost_at_most += usize::from(victim >= 3);
    }
    children.into_iter().for_each(Child::kill);
    let begin = Instant::now();
    let mut queue = made.0.clone();
    let end = loop {
        if let Err(error) = take(&mut queue, 0, IPC_NOWAIT) {
            break error;
        }
    };
    let drained = begin.elapsed();
    assert_eq!(end.raw_os_error(), Some(libc::ENOMSG));
    println!("drained in {drained:.1?}");
    common::assert_lost_at_most(lost_at_most, &sent, &got, senders, MOST);
    // All of it is there again.
    (0..15).for_each(|_| queue.send(1, &[1; 100], IPC_NOWAIT).unwrap());
    assert_eq!(errno(queue.send(1, b"x", IPC_NOWAIT)), libc::EAGAIN);
    let stat = queue.stat().unwrap();
    assert_eq!((stat.cbytes, stat.qnum, stat.qbytes), (1500, 15, 1500));
}
