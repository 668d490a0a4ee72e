//! POSIX message queues between processes: what waits, who is served first, what a signal, a deadline and a death do. Each
//! test that can plays the same on a queue of the kernel's and on one of slipring's. What can be compared without waiting
//! is in `conform/`.

mod common;
#[path = "../conform/src/sys.rs"]
#[allow(dead_code, reason = "System V's calls are another file's")]
mod sys;

use common::{
    Board, Child, Dice, Unique, alone, asleep_until, errno, fork, interruptible, nap, number_of, numbered,
    restartable, unique, until,
};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use slipring::adapters::posix_mq::{self, Access, Notify, Open, Options, PRIO_MAX, Queue, Until};
use std::io;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SIZE: usize = 200;

/// A kind of queue, of messages up to [`SIZE`] bytes.
trait Mq: Send + Sized + 'static {
    const WHOSE: &'static str;
    fn open(name: &str, max: usize, nonblocking: bool) -> Self;
    fn unlink(name: &str);
    fn send(&mut self, message: &[u8], priority: u32) -> io::Result<()>;
    fn take(&mut self) -> io::Result<(Vec<u8>, u32)>;
    fn take_until(&mut self, until: (i64, i64)) -> io::Result<(Vec<u8>, u32)>;
    fn messages(&mut self) -> usize;
    fn ask(&mut self, signal: Option<(i32, usize)>) -> io::Result<()>;
}

impl Mq for sys::Mq {
    const WHOSE: &'static str = "kernel";
    fn open(name: &str, max: usize, nonblocking: bool) -> Self {
        let flags = libc::O_RDWR | libc::O_CREAT | if nonblocking { libc::O_NONBLOCK } else { 0 };
        sys::mq_open(name, flags, 0o600, [0, max as i64, SIZE as i64, 0]).unwrap()
    }
    fn unlink(name: &str) {
        let _ = sys::mq_unlink(name);
    }
    fn send(&mut self, message: &[u8], priority: u32) -> io::Result<()> {
        sys::Mq::send(self, message, priority, None)
    }
    fn take(&mut self) -> io::Result<(Vec<u8>, u32)> {
        let mut to = vec![0; SIZE];
        let (len, priority) = sys::Mq::receive(self, &mut to, None)?;
        Ok((to[..len].to_vec(), priority))
    }
    fn take_until(&mut self, until: (i64, i64)) -> io::Result<(Vec<u8>, u32)> {
        let mut to = vec![0; SIZE];
        let (len, priority) = sys::Mq::receive(self, &mut to, Some(until))?;
        Ok((to[..len].to_vec(), priority))
    }
    fn messages(&mut self) -> usize {
        self.attributes().unwrap()[3] as usize
    }
    fn ask(&mut self, signal: Option<(i32, usize)>) -> io::Result<()> {
        sys::Mq::notify(self, signal)
    }
}

impl Mq for Queue {
    const WHOSE: &'static str = "slipring";
    fn open(name: &str, max: usize, nonblocking: bool) -> Self {
        let options = Options::new().max_messages(max).message_size(SIZE).handles(100);
        Open::existing(Access::Both).create(&options).nonblocking(nonblocking).open(name).unwrap()
    }
    fn unlink(name: &str) {
        let _ = posix_mq::unlink(name);
    }
    fn send(&mut self, message: &[u8], priority: u32) -> io::Result<()> {
        Queue::send(self, message, priority)
    }
    fn take(&mut self) -> io::Result<(Vec<u8>, u32)> {
        let mut to = vec![0; SIZE];
        let (len, priority) = Queue::receive(self, &mut to)?;
        Ok((to[..len].to_vec(), priority))
    }
    fn take_until(&mut self, (seconds, nanoseconds): (i64, i64)) -> io::Result<(Vec<u8>, u32)> {
        let mut to = vec![0; SIZE];
        let (len, priority) = Queue::receive_until(self, &mut to, Until { seconds, nanoseconds })?;
        Ok((to[..len].to_vec(), priority))
    }
    fn messages(&mut self) -> usize {
        self.attributes().unwrap().messages
    }
    fn ask(&mut self, signal: Option<(i32, usize)>) -> io::Result<()> {
        Queue::notify(
            self,
            signal.map(|(signal, value)| match signal {
                0 => Notify::Nothing,
                _ => Notify::Signal { signal, value: value as u64 },
            }),
        )
    }
}

/// A name of this test's own; dropping it removes both kinds of queue of this name.
struct Name(Unique);

fn name() -> Name {
    Name(unique())
}

impl Name {
    fn open<M: Mq>(&self, max: usize) -> M {
        M::open(&self.0.0, max, false)
    }
    fn nonblocking<M: Mq>(&self, max: usize) -> M {
        M::open(&self.0.0, max, true)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        <sys::Mq as Mq>::unlink(&self.0.0);
        <Queue as Mq>::unlink(&self.0.0);
    }
}

// --- M4: waiting ---

fn sleeps<M: Mq>() {
    let name = name();
    let (mut mine, mut other) = (name.open::<M>(1), name.open::<M>(1));
    let (received, time) = asleep_until(move || (mine.take(), mine), || other.send(b"news", 9).unwrap());
    assert_eq!(received.0.unwrap(), (b"news".to_vec(), 9));
    println!("{}: a receiver woken within {time:.1?}", M::WHOSE);
    let mut mine = received.1;
    mine.send(b"first", 1).unwrap();
    let (sent, time) = asleep_until(
        move || mine.send(b"second", 2),
        || assert_eq!(other.take().unwrap(), (b"first".to_vec(), 1)),
    );
    sent.unwrap();
    assert_eq!(other.take().unwrap(), (b"second".to_vec(), 2));
    println!("{}: a sender woken within {time:.1?}", M::WHOSE);
}

#[test]
fn who_must_wait_sleeps_and_is_woken() {
    let _alone = alone();
    sleeps::<sys::Mq>();
    sleeps::<Queue>();
}

fn soon(time: Duration) -> (i64, i64) {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
    (at.as_secs() as i64, at.subsec_nanos().into())
}

fn deadline<M: Mq>() {
    let name = name();
    let mut queue = name.open::<M>(1);
    let (start, time) = (Instant::now(), Duration::from_millis(70));
    assert_eq!(errno(queue.take_until(soon(time))), libc::ETIMEDOUT);
    // Two clocks, of which one may be slewed.
    assert!(start.elapsed() + Duration::from_millis(1) >= time, "{:?}", start.elapsed());
    let mut other = name.open::<M>(1);
    let (received, _) = asleep_until(
        move || queue.take_until((i64::MAX, 999_999_999)),
        || other.send(b"at last", 0).unwrap(),
    );
    assert_eq!(received.unwrap().0, b"at last");
}

#[test]
fn a_wait_ends_at_its_deadline_and_a_far_one_does_not_overflow() {
    let _alone = alone();
    deadline::<sys::Mq>();
    deadline::<Queue>();
}

fn signals<M: Mq>() {
    let name = name();
    let mut queue = name.open::<M>(1);
    let mut child = fork(|link| {
        interruptible();
        restartable();
        link.say(0);
        loop {
            match queue.take() {
                Ok((message, _)) if message.is_empty() => return,
                Ok((message, _)) => link.say(message.len() as u64),
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => link.say(1000),
                Err(error) => panic!("{error}"),
            }
        }
    });
    child.hear();
    for _ in 0..3 {
        nap(&child);
        child.send(Signal::SIGUSR2);
        nap(&child);
        child.stop();
        child.resume();
    }
    nap(&child);
    queue.send(b"ab", 0).unwrap();
    assert_eq!(child.hear(), 2, "a handler with SA_RESTART ends no call, a stop neither");
    assert_eq!(child.interrupted(), 1000, "a handler without does");
    // Whoever was interrupted waits no more: a message goes to the next, here in the child again.
    queue.send(b"", 0).unwrap();
    child.join();
}

#[test]
fn a_wait_ends_with_eintr_if_and_only_if_the_kernels_would() {
    let _alone = alone();
    signals::<sys::Mq>();
    signals::<Queue>();
}

// --- who is served ---

fn in_order<M: Mq>() {
    let name = name();
    let mut queue = name.open::<M>(1);
    let children: Vec<Child> = (0..4)
        .map(|_| {
            let child = fork(|link| link.say(queue.take().unwrap().0[0].into()));
            nap(&child);
            child
        })
        .collect();
    // Long enough that each looks after the dead once or more, which must not cost it its place.
    std::thread::sleep(Duration::from_millis(120));
    (0..4).for_each(|i| queue.send(&[i], u32::from(i)).unwrap());
    for (i, mut child) in children.into_iter().enumerate() {
        assert_eq!(child.hear(), i as u64, "{}: who waits longest is served first", M::WHOSE);
        child.join();
    }
}

#[test]
fn receivers_are_served_in_the_order_in_which_they_came() {
    let _alone = alone();
    in_order::<sys::Mq>();
    in_order::<Queue>();
}

fn by_rank<M: Mq>() {
    let name = name();
    let mut queue = name.open::<M>(1);
    let children: Vec<Child> = [true, false]
        .into_iter()
        .map(|nice| {
            let child = fork(|link| {
                if nice {
                    common::be_nice();
                }
                link.say(queue.take().unwrap().0[0].into());
            });
            nap(&child);
            child
        })
        .collect();
    (1..=2).for_each(|i| queue.send(&[i], 0).unwrap());
    for (mut child, expected) in children.into_iter().zip([2, 1]) {
        assert_eq!(child.hear(), expected, "{}: the nice one came first, and is served last", M::WHOSE);
        child.join();
    }
}

#[test]
fn a_higher_priority_of_process_is_served_before_a_longer_wait() {
    let _alone = alone();
    by_rank::<sys::Mq>();
    by_rank::<Queue>();
}

fn senders_in_order<M: Mq>() {
    let name = name();
    let mut queue = name.open::<M>(1);
    queue.send(&[9], 5).unwrap();
    let children: Vec<Child> = (0..3)
        .map(|i| {
            let child = fork(|_| queue.send(&[i], 5).unwrap());
            nap(&child);
            child
        })
        .collect();
    std::thread::sleep(Duration::from_millis(120));
    let order: Vec<u8> = (0..4).map(|_| queue.take().unwrap().0[0]).collect();
    assert_eq!(order, [9, 0, 1, 2], "{}", M::WHOSE);
    children.into_iter().for_each(Child::join);
}

#[test]
fn senders_are_served_in_the_order_in_which_they_came() {
    let _alone = alone();
    senders_in_order::<sys::Mq>();
    senders_in_order::<Queue>();
}

/// Does this beside one that waits and was stopped. If that was at one of its looks, it has the queue's lock in hand, and who
/// does not wait hears EAGAIN: then it goes on to its sleep, and is stopped again.
fn beside<T>(stopped: &Child, mut verb: impl FnMut() -> io::Result<T>) -> T {
    let mut done = None;
    until("it was not stopped at a look", || match verb() {
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
            stopped.resume();
            nap(stopped);
            stopped.stop();
            false
        }
        result => {
            done = Some(result.unwrap());
            true
        }
    });
    done.unwrap()
}

/// The kernel's sleeper leaves the line when it is stopped, so this cannot be shown there (docs/semantics.md).
#[test]
fn nobody_passes_a_receiver_that_waits() {
    let _alone = alone();
    let name = name();
    let mut queue = name.nonblocking::<Queue>(2);
    let mut waits = name.open::<Queue>(2);
    let mut child = fork(|link| link.say(waits.take().unwrap().0[0].into()));
    nap(&child);
    // Stopped, it cannot come for what is due to it; nobody else can have it.
    child.stop();
    beside(&child, || queue.send(&[1], 0));
    assert_eq!(queue.messages(), 0, "handed to who waits");
    assert_eq!(errno(queue.take()), libc::EAGAIN);
    queue.send(&[2], 7).unwrap();
    assert_eq!(queue.messages(), 1);
    child.resume();
    assert_eq!(child.hear(), 1);
    child.join();
    assert_eq!(queue.take().unwrap(), (vec![2], 7));
}

fn takes_its_place<M: Mq>() {
    let name = name();
    let mut queue = name.nonblocking::<M>(1);
    let mut waits = name.open::<M>(1);
    queue.send(&[1], 0).unwrap();
    let child = fork(|_| waits.send(&[2], 0).unwrap());
    nap(&child);
    assert_eq!(queue.take().unwrap().0, [1]);
    assert_eq!(errno(queue.send(&[3], 9)), libc::EAGAIN, "{}: the room is the waiting sender's", M::WHOSE);
    assert_eq!(queue.messages(), 1);
    assert_eq!(queue.take().unwrap().0, [2], "{}: and so its message is there", M::WHOSE);
    child.join();
    assert_eq!(errno(queue.take()), libc::EAGAIN);
}

#[test]
fn the_message_of_a_sender_that_waits_comes_into_the_room_that_is_made() {
    let _alone = alone();
    takes_its_place::<sys::Mq>();
    takes_its_place::<Queue>();
}

#[test]
fn what_was_handed_to_one_who_is_killed_goes_to_the_next() {
    let _alone = alone();
    let name = name();
    let mut queue = name.nonblocking::<Queue>(1);
    let mut waits = name.open::<Queue>(1);
    let child = fork(|_| drop(waits.take()));
    nap(&child);
    child.stop();
    beside(&child, || queue.send(&[1], 3));
    assert_eq!(errno(queue.take()), libc::EAGAIN);
    child.kill();
    assert_eq!(queue.take().unwrap(), (vec![1], 3), "not lost with it");
    // The same with room that was kept, and somebody behind who waits for it.
    queue.send(&[2], 0).unwrap();
    let first = fork(|_| drop(waits.send(&[3], 0)));
    nap(&first);
    let second = fork(|_| waits.send(&[4], 0).unwrap());
    nap(&second);
    first.stop();
    assert_eq!(beside(&first, || queue.take()).0, [2]);
    first.kill();
    second.join();
    assert_eq!(queue.take().unwrap().0, [4]);
    assert_eq!(queue.messages(), 0);
}

// --- M5: forks and handles ---

fn forked<M: Mq>() {
    let name = name();
    let mut queue = name.open::<M>(4);
    // Used before the fork: the child cannot go on with what belongs to the parent.
    queue.send(b"before", 0).unwrap();
    let mut copy = Some(queue);
    let child = fork(|_| {
        let mut queue = copy.take().unwrap();
        assert_eq!(queue.take().unwrap().0, b"before");
        queue.send(b"from the child", 0).unwrap();
        drop(queue);
    });
    child.join();
    let mut queue = copy.unwrap();
    assert_eq!(queue.take().unwrap().0, b"from the child", "its close closed nothing here");
    queue.send(b"still open", 0).unwrap();
    assert_eq!(queue.take().unwrap().0, b"still open");
}

#[test]
fn a_forked_child_uses_its_parents_handle_and_closes_only_its_own() {
    let _alone = alone();
    forked::<sys::Mq>();
    forked::<Queue>();
}

#[test]
fn nonblocking_is_said_of_the_open_queue_not_of_the_handle() {
    let _alone = alone();
    let name = name();
    let mut queue = name.open::<Queue>(1);
    let mut separate = name.open::<Queue>(1);
    let mut copy = queue.clone();
    fork(|_| {
        assert!(!copy.set_nonblocking(true).unwrap().nonblocking);
        assert_eq!(errno(copy.take()), libc::EAGAIN);
    })
    .join();
    assert_eq!(errno(queue.take()), libc::EAGAIN, "shared with the child");
    assert_eq!(errno(copy.take()), libc::EAGAIN, "and with clones");
    assert!(!separate.attributes().unwrap().nonblocking, "not with who opened for itself");
    assert!(queue.set_nonblocking(false).unwrap().nonblocking, "what it was is told");
}

#[test]
fn descriptors_are_given_back() {
    let _alone = alone();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let used = || {
        let name = name();
        let mut queue = name.open::<Queue>(1);
        queue.send(b"x", 0).unwrap();
        queue.clone().take().unwrap();
        queue.ask(Some((0, 0))).unwrap();
    };
    used();
    let before = open();
    (0..10).for_each(|_| used());
    assert_eq!(open(), before);
}

// --- M3: who is told ---

/// SIGUSR1 of this thread, and of its children, as something to read.
fn told() -> SignalFd {
    let mut set = SigSet::empty();
    set.add(Signal::SIGUSR1);
    set.thread_block().unwrap();
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).unwrap()
}

fn notified<M: Mq>(name: &Name) {
    let mut queue = name.open::<M>(4);
    let signals = told();
    queue.ask(Some((libc::SIGUSR1, 0x1234_5678))).unwrap();
    let mut elsewhere = fork(|link| {
        link.say(errno(queue.ask(Some((0, 0)))) as u64);
        queue.send(b"one", 0).unwrap();
        queue.send(b"two", 0).unwrap();
    });
    assert_eq!(elsewhere.hear(), libc::EBUSY as u64, "{}: one at a time", M::WHOSE);
    let sender = elsewhere.pid();
    elsewhere.join();
    let info = comes(&signals);
    assert_eq!(info.ssi_code, -3, "{}: SI_MESGQ", M::WHOSE);
    assert_eq!((info.ssi_pid, info.ssi_uid), (sender, nix::unistd::getuid().as_raw()));
    assert_eq!(info.ssi_ptr, 0x1234_5678);
    assert!(signals.read_signal().unwrap().is_none(), "once");
    // Not while the queue is not empty, and then again.
    queue.ask(Some((libc::SIGUSR1, 1))).unwrap();
    queue.send(b"three", 0).unwrap();
    assert!(signals.read_signal().unwrap().is_none());
    (0..3).for_each(|_| drop(queue.take().unwrap()));
    queue.send(b"four", 0).unwrap();
    assert_eq!(signals.read_signal().unwrap().unwrap().ssi_ptr, 1);
    queue.take().unwrap();
    // Not if somebody waits for the message.
    queue.ask(Some((libc::SIGUSR1, 2))).unwrap();
    let child = fork(|_| drop(queue.take().unwrap()));
    nap(&child);
    queue.send(b"five", 0).unwrap();
    child.join();
    assert!(signals.read_signal().unwrap().is_none());
    queue.send(b"six", 0).unwrap();
    assert_eq!(signals.read_signal().unwrap().unwrap().ssi_ptr, 2);
    queue.take().unwrap();
    // Who asked and died keeps nobody from asking.
    let mut child = fork(|link| {
        queue.ask(Some((0, 0))).unwrap();
        link.say(1);
        std::thread::sleep(Duration::from_secs(1000));
    });
    child.hear();
    assert_eq!(errno(queue.ask(Some((0, 0)))), libc::EBUSY);
    child.kill();
    queue.ask(Some((0, 0))).unwrap();
    // Closing any handle ends the request, and only in the process that asked.
    let copy = name.open::<M>(4);
    let mut copy = Some(copy);
    fork(|_| drop(copy.take())).join();
    assert_eq!(errno(queue.ask(Some((0, 0)))), libc::EBUSY);
    drop(copy);
    queue.ask(Some((0, 0))).unwrap();
    queue.ask(None).unwrap();
    queue.ask(Some((0, 0))).unwrap();
}

#[test]
fn whoever_asked_is_told_once_when_a_message_comes_that_nobody_waits_for() {
    let _alone = alone();
    // In a process of one thread, which blocks the signal.
    let name = name();
    fork(|_| notified::<sys::Mq>(&name)).join();
    fork(|_| notified::<Queue>(&name)).join();
}

#[test]
fn a_callback_runs_in_a_thread_and_not_if_the_request_is_taken_back() {
    let _alone = alone();
    let name = name();
    let mut queue = name.open::<Queue>(4);
    let (said, hear) = channel();
    let call = |word: u32| {
        let said = said.clone();
        Some(Notify::Call(Box::new(move || said.send(word).unwrap())))
    };
    Queue::notify(&mut queue, call(1)).unwrap();
    assert_eq!(errno(Queue::notify(&mut queue, call(2))), libc::EBUSY);
    queue.ask(None).unwrap();
    Queue::notify(&mut queue, call(3)).unwrap();
    fork(|_| queue.send(b"x", 0).unwrap()).join();
    assert_eq!(hear.recv_timeout(common::LIMIT), Ok(3));
    assert!(hear.try_recv().is_err());
}

/// The signal that comes.
fn comes(signals: &SignalFd) -> siginfo {
    let mut seen = None;
    until("the signal comes", || {
        seen = signals.read_signal().unwrap();
        seen.is_some()
    });
    seen.unwrap()
}

#[test]
fn a_sender_killed_before_it_tells_is_told_for_though_nobody_comes() {
    let _alone = alone();
    let name = name();
    fork(|_| {
        let mut queue = name.open::<Queue>(4);
        let signals = told();
        for value in 1..=3 {
            queue.ask(Some((libc::SIGUSR1, value))).unwrap();
            let sender = fork(|_| {
                // The first call of those that send a signal, with the message in the queue.
                common::end_at(libc::SYS_pidfd_open);
                queue.send(b"x", 0).unwrap();
            });
            let info = comes(&signals);
            assert_eq!((info.ssi_code, info.ssi_ptr), (-3, value as u64));
            assert_eq!(info.ssi_pid, sender.pid(), "in the name of who sent");
            sender.killed_by(Signal::SIGSYS);
            assert_eq!(queue.messages(), 1);
            assert_eq!(queue.take().unwrap().0, b"x");
            queue.send(b"y", 0).unwrap();
            queue.take().unwrap();
            assert!(signals.read_signal().unwrap().is_none(), "once");
        }
    })
    .join();
}

#[test]
fn a_message_that_a_killed_receiver_was_handed_is_told_when_it_comes_back() {
    let _alone = alone();
    let name = name();
    fork(|_| {
        let mut queue = name.open::<Queue>(4);
        let signals = told();
        queue.ask(Some((libc::SIGUSR1, 7))).unwrap();
        let receiver = fork(|_| drop(queue.take()));
        nap(&receiver);
        receiver.stop();
        let mut sender = name.nonblocking::<Queue>(4);
        beside(&receiver, || sender.send(b"x", 0));
        assert_eq!(queue.messages(), 0, "handed over");
        assert!(signals.read_signal().unwrap().is_none());
        receiver.kill();
        assert_eq!(comes(&signals).ssi_ptr, 7);
        assert_eq!(queue.take().unwrap().0, b"x");
    })
    .join();
}

/// Sends one message at a time to the empty queue, each from another process that is killed wherever it is then. Every
/// message that is there is told, by whoever comes to know of it.
#[test]
fn whenever_the_sender_is_killed_a_message_that_is_there_is_told() {
    let _alone = alone();
    const KILLS: u64 = 100;
    let name = name();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    fork(|_| {
        let mut dice = Dice::new(seed);
        let mut queue = name.nonblocking::<Queue>(4);
        let signals = told();
        let (mut came, mut late, mut twice) = (0, 0, 0);
        for value in 0..KILLS {
            queue.ask(None).unwrap();
            queue.ask(Some((libc::SIGUSR1, value as usize))).unwrap();
            let mut child = fork(|link| {
                queue.messages();
                link.say(1);
                queue.send(b"x", 0).unwrap();
                std::thread::sleep(common::LIMIT);
            });
            child.hear();
            let (start, wait) = (Instant::now(), Duration::from_micros(dice.below(120)));
            while start.elapsed() < wait {}
            child.kill();
            let dead = Instant::now();
            let mut info = None;
            while info.is_none() && dead.elapsed() < Duration::from_millis(60) {
                info = signals.read_signal().unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            let there = queue.messages();
            if there == 0 {
                assert!(info.is_none() && signals.read_signal().unwrap().is_none(), "told of nothing");
                continue;
            }
            came += 1;
            late += u32::from(info.is_none());
            assert_eq!(info.unwrap_or_else(|| comes(&signals)).ssi_ptr, value);
            // One that was killed between the signal and saying so.
            twice += u32::from(signals.read_signal().unwrap().is_some());
            assert_eq!(queue.take().unwrap().0, b"x");
        }
        println!("{came} of {KILLS} messages came; {late} told after 60 ms, {twice} twice");
    })
    .join();
}

// --- M6: none of the kernel's limits ---

#[test]
fn ten_thousand_messages_come_out_by_priority_and_age() {
    let _alone = alone();
    let name = name();
    let mut queue = name.nonblocking::<Queue>(10_000);
    let mut dice = Dice::new(7);
    let mut expected: Vec<(u32, u32)> = Vec::new();
    for number in 0..10_000_u32 {
        let priority = dice.below(PRIO_MAX.into()) as u32 >> dice.below(15);
        queue.send(&number.to_ne_bytes(), priority).unwrap();
        expected.push((PRIO_MAX - priority, number));
    }
    assert_eq!(errno(queue.send(b"x", 0)), libc::EAGAIN);
    expected.sort_unstable();
    for (before, number) in expected {
        let (message, priority) = queue.take().unwrap();
        assert_eq!((PRIO_MAX - priority, message), (before, number.to_ne_bytes().to_vec()));
    }
    assert_eq!(errno(queue.take()), libc::EAGAIN);
}

// --- damage ---

#[test]
fn a_damaged_queue_is_an_error_also_for_those_who_sleep_there() {
    let _alone = alone();
    let name = name();
    let mut queue = name.open::<Queue>(4);
    let mut waits = queue.clone();
    let path = format!("/dev/shm/mq.{}", &name.0.0[1..]);
    let (got, _) = asleep_until(
        move || waits.take(),
        || {
            // The link to the first free cell (docs/layout.md).
            common::overwrite(path.as_ref(), 1288, &77_777_u64.to_ne_bytes());
            assert_eq!(errno(queue.send(b"x", 0)), libc::EIO);
        },
    );
    assert_eq!(errno(got), libc::EIO);
    assert_eq!(errno(queue.attributes()), libc::EIO);
}

#[test]
fn sizes_that_no_queue_can_have_are_refused() {
    let _alone = alone();
    let name = name();
    for (messages, size, said) in [
        (1, usize::MAX, libc::EINVAL),
        (1, 1 << 33, libc::EINVAL),
        (usize::MAX, 1, libc::EINVAL),
        (usize::MAX, usize::MAX, libc::EOVERFLOW),
    ] {
        let options = Options::new().max_messages(messages).message_size(size);
        let opened = Open::existing(Access::Both).create(&options).open(&name.0.0);
        assert_eq!(errno(opened), said, "{messages} of {size}");
    }
}

// --- deaths at random moments ---

const MOST: usize = 4000;

/// Message `number` of a sender: three cells long, or less.
fn message(me: usize, number: u32) -> Vec<u8> {
    numbered((me as u64) << 32 | u64::from(number), SIZE)
}

/// Senders and receivers are killed again and again, wherever they are, the lock in hand or not.
#[test]
fn kills_at_random_moments_lose_double_and_tear_nothing_and_hang_nobody() {
    let _alone = alone();
    let kills = common::kills(240);
    let senders = kills + 3;
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let name = name();
    let queue = name.open::<Queue>(8);
    let (sent, got, late) = (Board::new(senders), Board::new(senders * MOST), Board::new(1));
    let mut copy = Some(queue);
    let take = |queue: &mut Queue, last: &mut [[Option<u32>; 4]]| {
        let (bytes, priority) = queue.take()?;
        let whole = number_of(&bytes, SIZE);
        let (me, number) = ((whole >> 32) as usize, whole as u32);
        assert_eq!(priority, number % 4, "its own priority");
        // In the order of its sender, but for what comes back from a receiver that was killed with it.
        let last = &mut last[me][priority as usize];
        if *last >= Some(number) {
            late.add(0, 1);
        }
        *last = (*last).max(Some(number));
        assert_eq!(got.add(me * MOST + number as usize, 1), 1, "once");
        Ok::<_, io::Error>(())
    };
    let mut names = 0..senders;
    let mut start = |sends: bool, queue: &mut Option<Queue>| {
        let me = if sends { names.next().unwrap() } else { 0 };
        fork(|_| {
            let mut queue = queue.take().unwrap();
            if sends {
                for number in 0..MOST as u32 {
                    queue.send(&message(me, number), number % 4).unwrap();
                    sent.set(me, u64::from(number) + 1);
                }
                std::thread::sleep(Duration::from_secs(1000));
            }
            let mut last = vec![[None; 4]; senders];
            while take(&mut queue, &mut last).is_ok() {}
        })
    };
    let mut children: Vec<Child> = (0..5).map(|i| start(i < 3, &mut copy)).collect();
    let mut lost_at_most = 0;
    for _ in 0..kills {
        std::thread::sleep(Duration::from_micros(dice.below(3000)));
        let victim = dice.below(5) as usize;
        let next = start(victim < 3, &mut copy);
        std::mem::replace(&mut children[victim], next).kill();
        lost_at_most += usize::from(victim >= 3);
    }
    lost_at_most += 2;
    children.into_iter().for_each(Child::kill);
    let begin = Instant::now();
    let mut queue = copy.unwrap();
    queue.set_nonblocking(true).unwrap();
    let mut last = vec![[None; 4]; senders];
    let end = loop {
        if let Err(error) = take(&mut queue, &mut last) {
            break error;
        }
    };
    let drained = begin.elapsed();
    assert_eq!(end.raw_os_error(), Some(libc::EAGAIN));
    println!("drained in {drained:.1?}");
    common::assert_lost_at_most(lost_at_most, &sent, &got, senders, MOST);
    assert!(late.get(0) <= lost_at_most as u64, "{} came late", late.get(0));
    // All of it is there again.
    (0..8).for_each(|i| queue.send(&message(1, i), i).unwrap());
    assert_eq!(errno(queue.send(b"x", 0)), libc::EAGAIN);
    assert_eq!(queue.messages(), 8);
}
