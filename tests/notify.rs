//! Promises about being told of messages: once, only of one that comes to an empty ring while nobody is blocked for it,
//! and whoever dies on the way. `slipring-faults` kills and stops the sender at every instruction of it.

mod common;

use common::{Unique, alone, asleep_then, fork, unique, until};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{EventfdFlags, eventfd};
use slipring::{Error, Fences, Notify, Options, RecvError, Ring, Wakeup, mpmc, spsc};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Long enough that who looks for itself, slice by slice, has looked some times.
const SEVERAL_SLICES: Duration = Duration::from_millis(150);

/// The same tests for both kinds of rings.
trait Kind {
    type Tx: Send;
    type Rx: Send + 'static;
    fn options() -> Options;
    fn tx(ring: &Ring) -> Self::Tx;
    fn rx(ring: &Ring) -> Self::Rx;
    fn send(tx: &mut Self::Tx, byte: u8);
    fn try_recv(rx: &mut Self::Rx) -> Result<u8, RecvError>;
    fn recv(rx: &mut Self::Rx) -> Result<u8, RecvError>;
    fn notify(rx: &mut Self::Rx, how: Option<Notify>) -> slipring::Result<()>;
}

struct Spsc;
struct Mpmc;

macro_rules! kind {
    ($kind:ident, $tx:ty, $rx:ty, $options:expr, $make_tx:ident, $make_rx:ident) => {
        impl Kind for $kind {
            type Tx = $tx;
            type Rx = $rx;
            fn options() -> Options {
                $options
            }
            fn tx(ring: &Ring) -> $tx {
                ring.$make_tx().unwrap()
            }
            fn rx(ring: &Ring) -> $rx {
                ring.$make_rx().unwrap()
            }
            fn send(tx: &mut $tx, byte: u8) {
                tx.try_send(&[byte]).unwrap();
            }
            fn try_recv(rx: &mut $rx) -> Result<u8, RecvError> {
                let mut buffer = [0; 8];
                rx.try_recv(&mut buffer).map(|_| buffer[0])
            }
            fn recv(rx: &mut $rx) -> Result<u8, RecvError> {
                let mut buffer = [0; 8];
                rx.recv(&mut buffer).map(|_| buffer[0])
            }
            fn notify(rx: &mut $rx, how: Option<Notify>) -> slipring::Result<()> {
                rx.notify(how)
            }
        }
    };
}

kind!(Spsc, spsc::Producer, spsc::Consumer, Options::new().capacity(4096), producer, consumer);
kind!(Mpmc, mpmc::Sender, mpmc::Receiver, Options::mpmc(8, 8), sender, receiver);

fn usual(options: Options) -> Options {
    options
}

/// An eventfd that is told by.
struct Bell(OwnedFd);

impl Bell {
    fn new() -> Self {
        Bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap())
    }

    fn how(&self) -> Option<Notify> {
        Some(Notify::eventfd(self.0.try_clone().unwrap()))
    }

    /// How often it was rung since the last look.
    fn rung(&self) -> u64 {
        let mut count = [0; 8];
        nix::unistd::read(&self.0, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
    }

    fn rings(&self) {
        until("somebody is told", || match self.rung() {
            0 => false,
            times => {
                assert_eq!(times, 1);
                true
            }
        });
    }

    fn is_silent(&self) {
        std::thread::sleep(SEVERAL_SLICES);
        assert_eq!(self.rung(), 0);
    }
}

fn parts<K: Kind>(with: fn(Options) -> Options) -> (Unique, Ring, K::Tx, K::Rx, Bell) {
    let name = unique();
    let ring = Ring::create(&name.0, &with(K::options())).unwrap();
    let (tx, rx) = (K::tx(&ring), K::rx(&ring));
    (name, ring, tx, rx, Bell::new())
}

fn told_once<K: Kind>(with: fn(Options) -> Options) {
    let (_name, _ring, mut tx, mut rx, bell) = parts::<K>(with);
    K::notify(&mut rx, bell.how()).unwrap();
    bell.is_silent();
    K::send(&mut tx, 1);
    bell.rings();
    K::send(&mut tx, 2);
    bell.is_silent();
    assert_eq!([(); 2].map(|()| K::try_recv(&mut rx).unwrap()), [1, 2]);
    K::send(&mut tx, 3);
    bell.is_silent();
    // What is there when it is asked is no news.
    K::notify(&mut rx, bell.how()).unwrap();
    K::send(&mut tx, 4);
    bell.is_silent();
    assert_eq!([(); 2].map(|()| K::try_recv(&mut rx).unwrap()), [3, 4]);
    // The ring is empty, though nobody has looked.
    K::send(&mut tx, 5);
    bell.rings();
}

#[test]
fn a_message_to_an_empty_ring_is_told_once() {
    let _alone = alone();
    told_once::<Spsc>(usual);
    told_once::<Mpmc>(usual);
}

#[test]
fn it_is_told_whatever_waiters_sleep_on_and_whatever_fences_there_are() {
    let _alone = alone();
    let others: [fn(Options) -> Options; 3] = [
        |options| options.fences(Fences::Plain),
        |options| options.wakeup(Wakeup::Semaphore),
        |options| options.wakeup(Wakeup::None),
    ];
    for with in others {
        told_once::<Spsc>(with);
        told_once::<Mpmc>(with);
    }
}

fn behind_others<K: Kind>() {
    let (_name, _ring, mut tx, mut rx, bell) = parts::<K>(usual);
    K::notify(&mut rx, bell.how()).unwrap();
    K::send(&mut tx, 1);
    bell.rings();
    K::notify(&mut rx, bell.how()).unwrap();
    for i in 0..100 {
        K::send(&mut tx, i);
        K::try_recv(&mut rx).unwrap();
    }
    bell.is_silent();
    K::try_recv(&mut rx).unwrap();
    assert_eq!(K::try_recv(&mut rx), Err(RecvError::Empty));
    K::send(&mut tx, 1);
    bell.rings();
}

#[test]
fn a_message_behind_others_is_not_told() {
    let _alone = alone();
    behind_others::<Spsc>();
    behind_others::<Mpmc>();
}

/// A message for a receiver that sleeps; whether somebody was told of it all the same, since it was just looking around.
fn sent_to_a_sleeper(tx: &mut mpmc::Sender, mut sleeper: mpmc::Receiver, bell: &Bell) -> bool {
    let (got, (), _) = asleep_then(move || Mpmc::recv(&mut sleeper), || Mpmc::send(tx, 1));
    assert_eq!(got, Ok(1));
    std::thread::sleep(SEVERAL_SLICES);
    bell.rung() > 0
}

#[test]
fn what_goes_to_one_who_is_blocked_is_not_told() {
    let _alone = alone();
    let (_name, ring, mut tx, mut rx, bell) = parts::<Mpmc>(usual);
    let not_told = (0..20).any(|_| {
        // The last time it was told, or not.
        rx.notify(None).unwrap();
        rx.notify(bell.how()).unwrap();
        !sent_to_a_sleeper(&mut tx, Mpmc::rx(&ring), &bell)
    });
    assert!(not_told);
    // It still has asked.
    Mpmc::send(&mut tx, 2);
    bell.rings();
}

fn assert_busy(result: slipring::Result<()>, name: &Unique, pid: u32) {
    match result {
        Err(Error::Busy { name: at, pid: who, .. }) => assert_eq!((at, who), (name.0.clone(), Some(pid))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_at_a_time_may_ask_until_it_was_told_or_takes_it_back_or_leaves() {
    let _alone = alone();
    let (name, ring, mut tx, mut one, bell) = parts::<Mpmc>(usual);
    let mut other = Mpmc::rx(&ring);
    let us = std::process::id();
    one.notify(bell.how()).unwrap();
    assert_busy(other.notify(bell.how()), &name, us);
    assert_busy(one.notify(bell.how()), &name, us);
    // Only who asked can take it back.
    other.notify(None).unwrap();
    assert_busy(other.notify(bell.how()), &name, us);
    one.notify(None).unwrap();
    other.notify(bell.how()).unwrap();
    assert_busy(one.notify(Some(Notify::Nothing)), &name, us);
    drop(other);
    one.notify(bell.how()).unwrap();
    Mpmc::send(&mut tx, 1);
    bell.rings();
    assert_eq!(Mpmc::try_recv(&mut one), Ok(1));
    one.notify(Some(Notify::Nothing)).unwrap();
    let mut other = Mpmc::rx(&ring);
    assert_busy(other.notify(bell.how()), &name, us);
    Mpmc::send(&mut tx, 2);
    until("it has ended", || other.notify(bell.how()).is_ok());
    bell.is_silent();
}

#[test]
fn a_killed_process_has_asked_for_nothing_and_another_can() {
    let _alone = alone();
    let (name, ring, mut tx, rx, bell) = parts::<Mpmc>(usual);
    let mut rx = rx;
    for round in 0..10 {
        let mut child = fork(|link| {
            let mut rx = Mpmc::rx(&Ring::open(&name.0).unwrap());
            rx.notify(Some(Notify::Signal { signal: 9, value: 0 })).unwrap();
            link.say(1);
            std::thread::sleep(common::LIMIT);
        });
        child.hear();
        assert_busy(rx.notify(bell.how()), &name, child.pid());
        child.kill();
        if round % 2 == 0 {
            // Told in vain.
            Mpmc::send(&mut tx, 1);
            assert_eq!(Mpmc::try_recv(&mut rx), Ok(1));
        }
        rx.notify(bell.how()).unwrap();
        Mpmc::send(&mut tx, 2);
        bell.rings();
        assert_eq!(Mpmc::try_recv(&mut rx), Ok(2));
    }
    drop(ring);
}

/// In a process of its own: the signal is blocked in all of its threads.
fn by_signal<K: Kind>() {
    let name = unique();
    let ring = Ring::create(&name.0, &K::options()).unwrap();
    let mut child = fork(|link| {
        let mut set = SigSet::empty();
        set.add(Signal::SIGUSR1);
        set.thread_block().unwrap();
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC).unwrap();
        let mut rx = K::rx(&Ring::open(&name.0).unwrap());
        for value in 1..=20 {
            K::notify(&mut rx, Some(Notify::Signal { signal: libc::SIGUSR1, value })).unwrap();
            link.say(value);
            let info = signals.read_signal().unwrap().unwrap();
            assert_eq!((info.ssi_signo, info.ssi_code), (libc::SIGUSR1 as u32, libc::SI_QUEUE));
            assert_eq!((info.ssi_ptr, info.ssi_pid), (value, std::process::id()));
            assert_eq!(K::try_recv(&mut rx), Ok(value as u8));
        }
        let wrong = K::notify(&mut rx, Some(Notify::Signal { signal: 65, value: 0 }));
        assert!(matches!(wrong, Err(Error::BadOption { .. })), "{wrong:?}");
    });
    let mut tx = K::tx(&ring);
    for value in 1..=20 {
        assert_eq!(child.hear(), value);
        K::send(&mut tx, value as u8);
    }
    child.join();
}

#[test]
fn another_process_is_told_by_a_signal_with_its_value() {
    let _alone = alone();
    by_signal::<Spsc>();
    by_signal::<Mpmc>();
}

#[test]
fn a_forked_child_has_not_asked_and_cannot() {
    let _alone = alone();
    let (_name, _ring, mut tx, mut rx, bell) = parts::<Spsc>(usual);
    rx.notify(bell.how()).unwrap();
    let mut rx = Some(rx);
    fork(|_| {
        let mut rx = rx.take().unwrap();
        assert!(matches!(rx.notify(Some(Notify::Nothing)), Err(Error::Forked { .. })));
        drop(rx);
    })
    .join();
    // Its copy is gone; the request is not.
    Spsc::send(&mut tx, 1);
    bell.rings();
    assert_eq!(Spsc::try_recv(rx.as_mut().unwrap()), Ok(1));
}

#[test]
fn a_message_queue_tells_by_an_eventfd_too() {
    use slipring::adapters::posix_mq::{self, Access, Open};
    let _alone = alone();
    let name = unique();
    let options = posix_mq::Options::new();
    let mut queue = Open::existing(Access::Both).create(&options).open(&name.0).unwrap();
    posix_mq::unlink(&name.0).unwrap();
    let bell = Bell::new();
    for _ in 0..3 {
        queue.notify(bell.how()).unwrap();
        queue.send(b"message", 1).unwrap();
        bell.rings();
        queue.receive(&mut [0; 8192]).unwrap();
    }
    queue.send(b"message", 1).unwrap();
    bell.is_silent();
}

/// Sends one message at a time to an empty ring, each from another process that is killed wherever it is then. Every
/// message that is there is told within some slices, also when the killed one had not come to that.
#[test]
fn whenever_the_sender_is_killed_a_message_that_is_there_is_told() {
    let _alone = alone();
    const KILLS: u64 = 100;
    let (name, _ring, tx, mut rx, bell) = parts::<Mpmc>(usual);
    let mut dice = common::Dice::new(std::process::id().into());
    drop(tx);
    let (mut came, mut worst) = (0, Duration::ZERO);
    for _ in 0..KILLS {
        rx.notify(None).unwrap();
        rx.notify(bell.how()).unwrap();
        let mut child = fork(|link| {
            let mut tx = Mpmc::tx(&Ring::open(&name.0).unwrap());
            link.say(1);
            Mpmc::send(&mut tx, 7);
            std::thread::sleep(common::LIMIT);
        });
        child.hear();
        let wait = dice.below(300);
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(wait) {}
        child.kill();
        let dead = Instant::now();
        if rx.was_empty() {
            assert_eq!(bell.rung(), 0);
        } else {
            came += 1;
            bell.rings();
            worst = worst.max(dead.elapsed());
            assert_eq!(Mpmc::try_recv(&mut rx), Ok(7));
        }
        while Mpmc::try_recv(&mut rx).is_ok() {}
    }
    println!("{came} of {KILLS} messages came, told at most {worst:.1?} after the death");
}
