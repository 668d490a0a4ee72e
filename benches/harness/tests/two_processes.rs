//! Measurements end in figures or in an error, never in a hang and never in a left-over process.
//!
//! The measuring processes are forked from the test, so this file has its own small runner without threads.
//! `cargo test -p slipring-harness --test two_processes -- <part of a name>` runs some of the tests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::{Pid, getpid, getppid, pause};
use slipring::{WaitStrategy, Wakeup};
use slipring_harness::clock::Clock;
use slipring_harness::cores::Cores;
use slipring_harness::measure::{
    Members, PayloadSource, Setting, batched, crowd, crowd_batched, latency, throughput,
};
use slipring_harness::mechanism::{
    Flavour, Futex, Mechanism, Mpmc, Park, Pipe, ReceiveMessage, SendMessage, Spin, Spsc, UnixStream,
};
use slipring_harness::process::Pair;
use slipring_harness::reference::{Placement, reference};
use slipring_harness::{CompareOptions, HarnessError, Report, Side, compare};

/// Long enough for any machine that makes progress at all.
const LIMIT: Duration = Duration::from_secs(60);

fn pair() -> Pair {
    Pair { cores: Cores::choose().unwrap(), limit: LIMIT }
}

fn setting() -> Setting {
    Setting { pair: pair(), clock: Clock::calibrate(), budget: Duration::from_millis(5) }
}

fn both_answers_come_back() {
    let state = vec![1u64, 2, 3];
    let answers = pair().run(
        state,
        |meeting, state| {
            meeting.meet();
            Ok((getpid().as_raw(), state.len()))
        },
        |meeting, state| {
            meeting.meet();
            Ok((getpid().as_raw(), state[2]))
        },
    );
    let ((left, len), (right, third)) = answers.unwrap();
    assert_eq!((len, third), (3, 3));
    let own = getpid().as_raw();
    assert!(left != right && left != own && right != own, "three different processes");
}

fn pinned_processes_run_where_they_are_told() {
    let allowed = || -> Result<Vec<usize>, HarnessError> {
        let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
        Ok((0..nix::sched::CpuSet::count()).filter(|&core| set.is_set(core).unwrap()).collect())
    };
    let pair = pair();
    let before = allowed();
    let (left, right) = pair.run((), |_, ()| allowed(), |_, ()| allowed()).unwrap();
    match pair.cores {
        Cores::Pinned(first, second) => assert_eq!((left, right), (vec![first], vec![second])),
        Cores::Unpinned => assert_eq!(left, right),
    }
    assert_eq!(allowed(), before, "the caller itself stays free");
}

fn a_killed_process_is_an_error_and_not_a_hang() {
    // Left waits for an answer that will never come, in a loop no death can end.
    let result = pair().run(
        (),
        |meeting, ()| -> Result<(), HarnessError> {
            meeting.meet();
            loop {
                std::hint::spin_loop();
            }
        },
        |meeting, ()| {
            meeting.meet();
            raise(Signal::SIGKILL).unwrap();
            Ok(())
        },
    );
    assert_eq!(result, Err(HarnessError::Died { side: Side::Right, how: "signal 9".into() }));
    nobody_is_left();
}

fn a_process_killed_in_mid_stream_is_an_error_and_not_a_hang() {
    for victim in [Side::Left, Side::Right] {
        let result = pair().run(
            Pipe::prepare(64).unwrap(),
            |_, pipe| {
                let mut sender = pipe.sender()?;
                for count in 0u64.. {
                    if victim == Side::Left && count == 1000 {
                        kill(getpid(), Signal::SIGKILL).unwrap();
                    }
                    sender.send(&[7; 64])?;
                }
                Ok(())
            },
            |_, pipe| -> Result<(), HarnessError> {
                let mut receiver = pipe.receiver()?;
                for count in 0u64.. {
                    if victim == Side::Right && count == 1000 {
                        kill(getpid(), Signal::SIGKILL).unwrap();
                    }
                    receiver.receive(64, |_| ())?;
                }
                Ok(())
            },
        );
        // The survivor may report the closed end before the watcher sees the death.
        assert!(
            matches!(&result, Err(HarnessError::Died { side, .. }) if *side == victim)
                || result == Err(HarnessError::Closed),
            "{result:?}"
        );
        nobody_is_left();
    }
}

fn a_panic_is_an_error_with_its_message() {
    let result = pair().run(
        (),
        |meeting, ()| {
            meeting.meet();
            Ok(())
        },
        |_, ()| -> Result<(), HarnessError> { panic!("seven is not eight") },
    );
    let message = "seven is not eight".into();
    assert_eq!(result, Err(HarnessError::Panicked { side: Side::Right, message }));
    nobody_is_left();
}

fn a_wedge_is_an_error_at_the_limit() {
    let pair = Pair { limit: Duration::from_millis(50), ..pair() };
    let result = pair.run(
        (),
        |_, ()| -> Result<(), HarnessError> {
            loop {
                pause();
            }
        },
        |_, ()| Ok(()),
    );
    assert_eq!(result, Err(HarnessError::Wedged { limit: pair.limit }));
    nobody_is_left();
}

fn an_answer_that_does_not_fit_is_an_error() {
    let result = pair().run((), |_, ()| Ok(vec![0u8; 2 << 20]), |_, ()| Ok(()));
    assert!(matches!(result, Err(HarnessError::Answer { .. })), "{result:?}");
}

fn a_process_with_threads_is_refused() {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || stopped.recv());
    let result = pair().run((), |_, ()| Ok(()), |_, ()| Ok(()));
    assert_eq!(result, Err(HarnessError::Threads { count: 2 }));
    drop(stop);
    thread.join().unwrap().unwrap_err();
}

/// A pipe whose sender spoils byte 40 of message 1000.
struct Spoiled(Pipe);
struct SpoilingSender(<Pipe as Mechanism>::Sender, u64);

impl Mechanism for Spoiled {
    const NAME: &'static str = "spoiled pipe";
    type Sender = SpoilingSender;
    type Receiver = <Pipe as Mechanism>::Receiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        Pipe::prepare(size).map(Spoiled)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(SpoilingSender(self.0.sender()?, 0))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        self.0.receiver()
    }
}

impl SendMessage for SpoilingSender {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        let mut copy = message.to_vec();
        copy[40] ^= u8::from(self.1 == 1000);
        self.1 += 1;
        self.0.send(&copy)
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        let mut message = vec![0; size];
        fill(&mut message);
        self.send(&message)
    }
}

fn one_spoiled_byte_fails_the_measurement() {
    for source in [PayloadSource::Registers, PayloadSource::Memory] {
        // Long enough for 1000 messages whatever the machine does: the error comes first.
        let setting = Setting { budget: LIMIT, ..setting() };
        let result = throughput::<Spoiled>(&setting, 56, source).map(drop);
        assert!(matches!(result, Err(HarnessError::Mismatch { seq: 1000, .. })), "{result:?}");
        let result = latency::<Spoiled>(&setting, 56, source).map(drop);
        assert!(matches!(result, Err(HarnessError::Mismatch { seq: 1000, .. })), "{result:?}");
        nobody_is_left();
    }
}

fn latency_counts_every_round_trip<M: Mechanism>() {
    for (size, source) in [(8, PayloadSource::Registers), (4096, PayloadSource::Memory)] {
        let reading = latency::<M>(&setting(), size, source).unwrap();
        assert!(reading.trips >= 16, "{reading:?}");
        assert_eq!(reading.trips, reading.ticks.iter().map(|&(_, count)| count).sum::<u64>());
        assert!(reading.ticks.is_sorted_by(|a, b| a.0 < b.0));
        assert!(
            reading.one_way_ticks(0.5) > 0.0 && reading.one_way_ticks(0.99) >= reading.one_way_ticks(0.5)
        );
    }
}

fn throughput_counts_every_message<M: Mechanism>() {
    for size in [8, 56, 4096, 65536] {
        for source in [PayloadSource::Registers, PayloadSource::Memory] {
            let reading = throughput::<M>(&setting(), size, source).unwrap();
            // At least one burst and the last message, in at least the budget.
            assert!(reading.messages >= 2 && reading.ns >= 4e6, "{reading:?}");
            assert!(reading.per_second() > 0.0 && reading.usage.cpu_us > 0, "{reading:?}");
        }
    }
}

fn pipes_and_sockets_and_futexes_give_plausible_counts() {
    latency_counts_every_round_trip::<Pipe>();
    latency_counts_every_round_trip::<UnixStream>();
    latency_counts_every_round_trip::<Futex>();
    throughput_counts_every_message::<Pipe>();
    throughput_counts_every_message::<UnixStream>();
    throughput_counts_every_message::<Futex>();
}

fn rings_give_plausible_counts_and_leave_no_name() {
    latency_counts_every_round_trip::<Spsc<Spin>>();
    latency_counts_every_round_trip::<Spsc<Park>>();
    throughput_counts_every_message::<Spsc<Spin>>();
    throughput_counts_every_message::<Spsc<Park>>();
    assert_eq!(own_rings(), [""; 0]);
}

fn batches_count_every_message_and_check_it() {
    let reading = batched::<Spsc<Spin>, 16>(&setting(), 8).unwrap();
    assert!(reading.messages >= 32 && reading.messages.is_multiple_of(16), "{reading:?}");
    let reading = batched::<Spsc<Park>, 5>(&setting(), 56).unwrap();
    assert!(reading.messages >= 10 && reading.messages.is_multiple_of(5), "{reading:?}");
    assert_eq!(own_rings(), [""; 0]);
}

/// Gives the core away when there is nothing to do: a crowd is more than the cores.
#[derive(Debug)]
enum Yielding {}

impl Flavour for Yielding {
    const NAME: &'static str = "yielding";
    const STRATEGY: WaitStrategy = WaitStrategy::Yield;
    const WAKEUP: Wakeup = Wakeup::None;
}

fn crowds_of_processes_and_of_threads_count_every_message() {
    let setting = setting();
    for members in [Members::Processes, Members::Threads] {
        for pairs in [1, 3] {
            let reading = crowd::<Mpmc<Yielding>>(&setting, 48, pairs, members).unwrap();
            assert!(reading.messages >= pairs as u64 && reading.ns > 0.0, "{reading:?}");
        }
        let reading = crowd_batched::<Mpmc<Yielding>, 16>(&setting, 56, 2, members).unwrap();
        assert!(reading.messages > 0 && reading.messages.is_multiple_of(16), "{reading:?}");
    }
    assert_eq!(own_rings(), [""; 0]);
}

/// Loses each sender's hundredth message.
#[derive(Clone)]
struct Lossy(Mpmc<Yielding>);

impl Mechanism for Lossy {
    const NAME: &'static str = "lossy";
    type Sender = LossySender;
    type Receiver = <Mpmc<Yielding> as Mechanism>::Receiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        Mpmc::prepare(size).map(Lossy)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(LossySender(self.0.sender()?, 0))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        self.0.receiver()
    }
}

struct LossySender(<Mpmc<Yielding> as Mechanism>::Sender, u64);

impl SendMessage for LossySender {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.0.send(message)
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        self.1 += 1;
        if self.1 == 100 { Ok(()) } else { self.0.send_with(size, fill) }
    }
}

fn a_message_that_a_crowd_loses_is_missed() {
    for members in [Members::Processes, Members::Threads] {
        let result = crowd::<Lossy>(&setting(), 48, 2, members);
        assert!(matches!(&result, Err(HarnessError::Answer { what }) if what.contains("sent")), "{result:?}");
    }
}

fn a_ring_is_removed_when_its_users_are_killed() {
    let result = pair().run(
        Spsc::<Spin>::prepare(64).unwrap(),
        |meeting, way| -> Result<(), HarnessError> {
            let _sender = way.sender()?;
            meeting.meet();
            loop {
                pause();
            }
        },
        |meeting, way| -> Result<(), HarnessError> {
            let _receiver = way.receiver()?;
            meeting.meet();
            // Both have the ring open, so its name is there; the guard of the parent is what removes it.
            assert_eq!(own_rings_of(getppid()).len(), 1);
            raise(Signal::SIGKILL).unwrap();
            Ok(())
        },
    );
    assert_eq!(result, Err(HarnessError::Died { side: Side::Right, how: "signal 9".into() }));
    assert_eq!(own_rings(), [""; 0]);
    nobody_is_left();
}

fn own_rings() -> Vec<String> {
    own_rings_of(getpid())
}

/// Names of the rings that `owner` has prepared.
fn own_rings_of(owner: Pid) -> Vec<String> {
    let listed = slipring::list().unwrap().into_iter().map(|ring| ring.name);
    listed.filter(|name| name.contains(&format!("slipring-harness-{owner}-"))).collect()
}

fn a_quick_comparison_is_complete() {
    let options = CompareOptions { rounds: 1, budget: Duration::from_millis(1), ..CompareOptions::quick() };
    let mut steps = 0;
    let report = compare(options, |at| {
        assert_eq!((at.done, at.round, at.rounds), (steps, 1, 1));
        steps += 1;
    });
    let report = report.unwrap();
    // Four mechanisms: latency at four sizes, throughput at five, waking at one; and the floor, a bare slot. One round:
    // one reading a row.
    assert_eq!((steps, report.latency.len(), report.throughput.len(), report.wake.len()), (41, 17, 20, 4));
    assert!(report.wake.iter().all(|row| row.rounds == 1 && row.messages > 8));
    assert!(report.latency.iter().all(|row| row.rounds == 1 && row.trips >= 16));
    assert!(report.throughput.iter().all(|row| row.rounds == 1 && row.messages >= 2));
    assert_eq!(report.references.iter().map(|row| row.readings).sum::<usize>(), 41);
    assert!(Report::from_json(&report.to_json().unwrap()).unwrap() == report, "JSON holds everything");
    let table = report.to_string();
    for word in ["slipring spin", "slipring park", "pipe", "unix stream", "bare slot", "65536"] {
        assert!(table.contains(word), "{word} is missing in\n{table}");
    }
    assert_eq!(own_rings(), [""; 0]);
    nobody_is_left();
}

fn references_are_positive_and_classified() {
    let setting = setting();
    let taken = reference(&setting.pair, &setting.clock).unwrap();
    assert!(taken.line_ns > 0.0 && taken.stream_gb_per_s > 0.0, "{taken:?}");
    assert_eq!(taken.placement, Placement::of(setting.pair.cores, taken.line_ns));
}

fn odd_sizes_are_refused_before_anything_is_started() {
    let result = throughput::<Pipe>(&setting(), 63, PayloadSource::Registers).map(drop);
    assert!(matches!(result, Err(HarnessError::BadOption { .. })), "{result:?}");
}

/// Every child was reaped: the kernel knows of none.
fn nobody_is_left() {
    assert_eq!(nix::sys::wait::wait(), Err(nix::errno::Errno::ECHILD));
}

macro_rules! tests {
    ($($name:ident),+ $(,)?) => { &[$((stringify!($name), $name as fn())),+] };
}

const TESTS: &[(&str, fn())] = tests![
    both_answers_come_back,
    pinned_processes_run_where_they_are_told,
    a_killed_process_is_an_error_and_not_a_hang,
    a_process_killed_in_mid_stream_is_an_error_and_not_a_hang,
    a_panic_is_an_error_with_its_message,
    a_wedge_is_an_error_at_the_limit,
    an_answer_that_does_not_fit_is_an_error,
    a_process_with_threads_is_refused,
    one_spoiled_byte_fails_the_measurement,
    pipes_and_sockets_and_futexes_give_plausible_counts,
    rings_give_plausible_counts_and_leave_no_name,
    batches_count_every_message_and_check_it,
    crowds_of_processes_and_of_threads_count_every_message,
    a_message_that_a_crowd_loses_is_missed,
    a_ring_is_removed_when_its_users_are_killed,
    a_quick_comparison_is_complete,
    references_are_positive_and_classified,
    odd_sizes_are_refused_before_anything_is_started,
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let list = arguments.iter().any(|argument| argument == "--list");
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let mut failed = 0;
    for (name, test) in TESTS {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        if list {
            println!("{name}: test");
            continue;
        }
        let ok = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        failed += u32::from(!ok);
    }
    if failed > 0 {
        println!("{failed} failed");
        std::process::exit(1);
    }
}
