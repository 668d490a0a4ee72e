//! Measurements end in figures or in an error, never in a hang and never in a left-over process.
//!
//! The measuring processes are forked from the test, so this file has its own small runner without threads.
//! `cargo test -p slipring-harness --test two_processes -- <part of a name>` runs some of the tests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::{Pid, getpid, getppid, pause};
use slipring::adapters::semset::Set;
use slipring::{WaitStrategy, Wakeup};
use slipring_harness::clock::Clock;
use slipring_harness::cores::Cores;
use slipring_harness::measure::{
    Members, PayloadSource, Setting, Shape, batched, cold, crowd, crowd_batched, latency, many, paced,
    recovery, signals, throughput,
};
use slipring_harness::mechanism::{
    Coalesced, CoalescedSignal, DatagramAdapter, EpolledPipes, EventFd, Fifo, FifoAdapter, Flavour, Futex,
    Mechanism, Monitor, Mpmc, MpmcPark, MpmcSpin, Park, Pipe, PipeAdapter, PolledPipes, PosixQueue,
    PosixQueueAdapter, PosixRing, PosixSemAdapter, QueueOfTypes, Queued, QueuedSignal, ReceiveMessage,
    ScannedRings, SendMessage, SeqpacketAdapter, SharedRing, Spin, Spsc, StreamAdapter, SysvQueue,
    SysvQueueAdapter, SysvRing, SysvSemAdapter, Tcp, Udp, UnixDatagram, UnixSeqpacket, UnixStream,
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
    // The kernel lists it until it is gone, and the next test wants to be alone.
    while std::fs::read_dir("/proc/self/task").unwrap().count() > 1 {
        std::thread::yield_now();
    }
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

fn fifos_sockets_and_textbook_rings_give_plausible_counts() {
    latency_counts_every_round_trip::<Fifo>();
    latency_counts_every_round_trip::<Tcp>();
    latency_counts_every_round_trip::<Udp>();
    latency_counts_every_round_trip::<UnixDatagram>();
    latency_counts_every_round_trip::<UnixSeqpacket>();
    latency_counts_every_round_trip::<Monitor>();
    throughput_counts_every_message::<Fifo>();
    throughput_counts_every_message::<Tcp>();
    throughput_counts_every_message::<UnixDatagram>();
    throughput_counts_every_message::<UnixSeqpacket>();
    throughput_counts_every_message::<Monitor>();
}

/// What a system may not have is an error of the kernel; nothing else will do in place of figures.
fn unless_refused<T>(result: Result<T, HarnessError>) -> Option<T> {
    match result {
        Ok(reading) => Some(reading),
        Err(HarnessError::Os { what, errno }) => {
            println!("not here: {what}: errno {errno}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn queues_and_semaphores_count_every_message_where_there_are_any() {
    fn check<M: Mechanism>() {
        for (size, source) in [(8, PayloadSource::Registers), (4096, PayloadSource::Memory)] {
            let Some(reading) = unless_refused(throughput::<M>(&setting(), size, source)) else { return };
            assert!(reading.messages >= 2 && reading.ns >= 4e6, "{reading:?}");
            let reading = latency::<M>(&setting(), size, source).unwrap();
            assert!(reading.trips >= 16, "{reading:?}");
        }
    }
    let before = system_v_objects();
    check::<PosixQueue>();
    check::<SysvQueue>();
    check::<SysvRing>();
    check::<PosixRing>();
    nobody_is_left();
    let left: Vec<String> = system_v_objects().into_iter().filter(|id| !before.contains(id)).collect();
    gone(&left);
}

fn events_of_eight_bytes_arrive_one_by_one() {
    fn check<M: Mechanism>() {
        let reading = throughput::<M>(&setting(), 8, PayloadSource::Registers).unwrap();
        assert!(reading.messages >= 2 && reading.ns >= 4e6, "{reading:?}");
        assert!(latency::<M>(&setting(), 8, PayloadSource::Memory).unwrap().trips >= 16);
        let refused = latency::<M>(&setting(), 16, PayloadSource::Registers).map(drop);
        assert!(matches!(refused, Err(HarnessError::Limit { .. })), "{refused:?}");
    }
    check::<EventFd>();
    check::<QueuedSignal>();
}

fn limits_are_named_and_not_applied() {
    fn refused<M: Mechanism>(size: usize, part: &str) {
        match M::prepare(size).map(drop) {
            Err(HarnessError::Limit { what }) => assert!(what.contains(part), "{what}"),
            other => assert!(unless_refused(other).is_none(), "{size} bytes were taken"),
        }
    }
    let largest = 16 << 20;
    refused::<PosixQueue>(largest, "msgsize_max");
    refused::<SysvQueue>(largest, "msgm");
    refused::<Udp>(65_536, "65507");
    refused::<UnixDatagram>(largest, "wmem_default");
    refused::<UnixSeqpacket>(largest, "wmem_default");
}

/// Queues and semaphore sets that the process itself has made: their creator, or the one who used them last, is of its
/// user. Others may make their own meanwhile, so only those without a key count.
fn system_v_objects() -> Vec<String> {
    let own = nix::unistd::geteuid().to_string();
    let tables = ["/proc/sysvipc/msg", "/proc/sysvipc/sem"].map(std::fs::read_to_string);
    let lines = tables
        .into_iter()
        .flatten()
        .flat_map(|table| table.lines().skip(1).map(str::to_string).collect::<Vec<_>>());
    let ids = lines.filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.first() == Some(&"0") && fields.contains(&own.as_str())).then(|| fields[1].to_string())
    });
    ids.collect()
}

fn a_system_v_queue_goes_when_its_maker_is_killed() {
    use std::io::{BufRead, BufReader};

    // The maker is killed with the queue in use; it tells its id before.
    let (reader, mut writer) = std::io::pipe().unwrap();
    // SAFETY: this process has one thread.
    let maker = match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            let before = system_v_objects();
            let way = SysvQueue::prepare(8);
            let made: Vec<String> =
                system_v_objects().into_iter().filter(|id| !before.contains(id)).collect();
            std::io::Write::write_all(&mut writer, format!("{}\n", made.join(" ")).as_bytes()).unwrap();
            pause();
            drop(way);
            std::process::exit(1);
        }
        nix::unistd::ForkResult::Parent { child } => child,
    };
    drop(writer);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    kill(maker, Signal::SIGKILL).unwrap();
    nix::sys::wait::waitpid(maker, None).unwrap();
    let made: Vec<String> = line.split_whitespace().map(str::to_string).collect();
    // None where the kernel has no such queues.
    assert!(!made.is_empty() || SysvQueue::prepare(8).is_err(), "a queue was made");
    gone(&made);
}

/// Waits until none of these objects is there.
fn gone(ids: &[String]) {
    until_gone(system_v_objects, ids);
}

/// Another harness on this machine may have made some meanwhile, but it also removes them.
fn until_gone<T: PartialEq + std::fmt::Debug>(there: impl Fn() -> Vec<T>, ids: &[T]) {
    let patience = std::time::Instant::now() + LIMIT;
    while there().iter().any(|id| ids.contains(id)) {
        assert!(std::time::Instant::now() < patience, "of {ids:?} some are still there");
        std::thread::yield_now();
    }
}

fn rings_give_plausible_counts_and_leave_no_name() {
    latency_counts_every_round_trip::<Spsc<Spin>>();
    latency_counts_every_round_trip::<Spsc<Park>>();
    latency_counts_every_round_trip::<Mpmc<MpmcSpin>>();
    latency_counts_every_round_trip::<Mpmc<MpmcPark>>();
    throughput_counts_every_message::<Spsc<Spin>>();
    throughput_counts_every_message::<Spsc<Park>>();
    throughput_counts_every_message::<Mpmc<MpmcSpin>>();
    throughput_counts_every_message::<Mpmc<MpmcPark>>();
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

/// As after a loss of the core for all of the time there was.
fn who_has_no_time_sends_nevertheless() {
    let setting = Setting { budget: Duration::ZERO, ..setting() };
    let alone = many::<Pipe>(&setting, 56, Shape { senders: 1, receivers: 3 }).unwrap();
    let crowd = crowd_batched::<Mpmc<Yielding>, 16>(&setting, 56, 2, Members::Threads).unwrap();
    let single = throughput::<Pipe>(&setting, 8, PayloadSource::Registers).unwrap();
    for reading in [alone, crowd, single] {
        assert!(reading.messages > 0 && reading.per_second() > 0.0, "{reading:?}");
    }
    let signals = signals::<Queued>(&setting).unwrap();
    assert!(signals.sent > 0, "{signals:?}");
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

fn adapters_give_plausible_counts_and_leave_no_name() {
    latency_counts_every_round_trip::<PipeAdapter>();
    latency_counts_every_round_trip::<FifoAdapter>();
    latency_counts_every_round_trip::<StreamAdapter>();
    latency_counts_every_round_trip::<DatagramAdapter>();
    latency_counts_every_round_trip::<SeqpacketAdapter>();
    latency_counts_every_round_trip::<PosixQueueAdapter>();
    latency_counts_every_round_trip::<SysvQueueAdapter>();
    latency_counts_every_round_trip::<PosixSemAdapter>();
    latency_counts_every_round_trip::<SysvSemAdapter>();
    throughput_counts_every_message::<PipeAdapter>();
    throughput_counts_every_message::<FifoAdapter>();
    throughput_counts_every_message::<StreamAdapter>();
    throughput_counts_every_message::<DatagramAdapter>();
    throughput_counts_every_message::<SeqpacketAdapter>();
    throughput_counts_every_message::<PosixQueueAdapter>();
    throughput_counts_every_message::<SysvQueueAdapter>();
    let sets = || Set::all().unwrap().into_iter().map(Set::id).collect::<Vec<_>>();
    let before = sets();
    throughput_counts_every_message::<PosixSemAdapter>();
    throughput_counts_every_message::<SysvSemAdapter>();
    let left: Vec<i32> = sets().into_iter().filter(|id| !before.contains(id)).collect();
    until_gone(sets, &left);
    let left = |name: &String| name.contains(&format!("slipring-harness-{}-", getpid()));
    assert_eq!(shared_memory().into_iter().filter(left).collect::<Vec<_>>(), [""; 0]);
}

fn shared_memory() -> Vec<String> {
    let names =
        std::fs::read_dir("/dev/shm").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.collect()
}

fn coalesced_signals_carry_messages_of_any_size() {
    latency_counts_every_round_trip::<CoalescedSignal>();
    throughput_counts_every_message::<CoalescedSignal>();
}

fn of_bare_signals_the_queued_arrive_and_the_others_coalesce() {
    let queued = signals::<Queued>(&setting()).unwrap();
    assert!(queued.sent >= 64 && queued.taken == queued.sent, "{queued:?}");
    let coalesced = signals::<Coalesced>(&setting()).unwrap();
    assert!(coalesced.sent >= 64 && (1..=coalesced.sent).contains(&coalesced.taken), "{coalesced:?}");
}

fn one_of_several_sources_is_found() {
    latency_counts_every_round_trip::<PolledPipes>();
    latency_counts_every_round_trip::<EpolledPipes>();
    latency_counts_every_round_trip::<ScannedRings>();
    latency_counts_every_round_trip::<SharedRing>();
    unless_refused(latency::<QueueOfTypes>(&setting(), 56, PayloadSource::Registers));
    assert_eq!(own_rings(), [""; 0]);
}

/// A pipe whose sender is held up for 30 ms before message 100.
struct Stalling(Pipe);
struct StallingSender(<Pipe as Mechanism>::Sender, u64);

impl Mechanism for Stalling {
    const NAME: &'static str = "stalling pipe";
    type Sender = StallingSender;
    type Receiver = <Pipe as Mechanism>::Receiver;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        Pipe::prepare(size).map(Stalling)
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(StallingSender(self.0.sender()?, 0))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        self.0.receiver()
    }
}

impl SendMessage for StallingSender {
    fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        self.0.send(message)
    }

    fn send_with(&mut self, size: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), HarnessError> {
        if self.1 == 100 {
            std::thread::sleep(Duration::from_millis(30));
        }
        self.1 += 1;
        self.0.send_with(size, fill)
    }
}

fn a_stall_delays_all_that_were_due_meanwhile() {
    let setting = Setting { budget: Duration::from_millis(60), ..setting() };
    let reading = paced::<Stalling>(&setting, 8, 10_000).unwrap();
    assert_eq!(reading.messages(), 600);
    assert_eq!(reading.uncorrected.iter().map(|&(_, count)| count).sum::<u64>(), 600);
    let limit = setting.clock.ticks(Duration::from_millis(10));
    let slow = |times: &[(u64, u64)]| -> u64 {
        times.iter().filter(|&&(time, _)| time > limit).map(|&(_, count)| count).sum()
    };
    // 300 were due during the stall, the first 200 of them more than 10 ms before its end.
    assert!(slow(&reading.ticks) >= 200, "{reading:?}");
    // From when they were really sent, most were fast: a late sender catches up at once.
    assert!(slow(&reading.uncorrected) <= slow(&reading.ticks), "{reading:?}");
    let half = |times: &[(u64, u64)]| slipring_harness::stats::quantile(times, 0.5);
    assert!(half(&reading.uncorrected) <= half(&reading.ticks), "{reading:?}");
    assert!(paced::<Pipe>(&setting, 8, 0).is_err());
    nobody_is_left();
}

fn rings_keep_pace() {
    let reading = paced::<Spsc<Park>>(&setting(), 56, 20_000).unwrap();
    assert_eq!(reading.messages(), 100);
    assert!(reading.per_second.is_some_and(|rate| rate > 0.0 && rate < 21_000.0), "{reading:?}");
    assert_eq!(own_rings(), [""; 0]);
}

fn many_senders_and_receivers_count_every_message() {
    fn check<M: Mechanism>() {
        for (senders, receivers) in [(1, 1), (3, 1), (1, 3)] {
            let reading = many::<M>(&setting(), 56, Shape { senders, receivers });
            let Some(reading) = unless_refused(reading) else { return };
            assert!(reading.messages >= senders as u64 && reading.ns > 0.0, "{reading:?}");
        }
    }
    check::<Mpmc<Yielding>>();
    check::<Mpmc<MpmcPark>>();
    check::<Pipe>();
    check::<UnixDatagram>();
    check::<UnixSeqpacket>();
    check::<PosixQueue>();
    check::<SysvQueue>();
    check::<PipeAdapter>();
    check::<DatagramAdapter>();
    check::<SeqpacketAdapter>();
    check::<PosixQueueAdapter>();
    check::<SysvQueueAdapter>();
    let none = many::<Pipe>(&setting(), 56, Shape { senders: 0, receivers: 1 }).map(drop);
    assert!(matches!(none, Err(HarnessError::BadOption { .. })), "{none:?}");
    assert_eq!(own_rings(), [""; 0]);
    nobody_is_left();
}

fn cold_starts_end_with_a_message() {
    fn check<M: Mechanism>() {
        let Some(reading) = unless_refused(cold::<M>(&setting(), 8)) else { return };
        assert!(reading.messages() == 8 && reading.ticks[0].0 > 0, "{reading:?}");
    }
    check::<Spsc<Park>>();
    check::<Mpmc<MpmcSpin>>();
    check::<Tcp>();
    check::<PosixQueue>();
    check::<PosixQueueAdapter>();
    check::<QueuedSignal>();
    check::<SysvQueue>();
    check::<SysvRing>();
    check::<SysvSemAdapter>();
    assert_eq!(own_rings(), [""; 0]);
    nobody_is_left();
}

fn a_successor_goes_on_where_a_killed_sender_stopped() {
    fn check<M: Mechanism>() {
        let Some(reading) = unless_refused(recovery::<M>(&setting(), 8)) else { return };
        assert!(reading.messages() == 4 && reading.ticks[0].0 > 0, "{reading:?}");
    }
    check::<Spsc<Spin>>();
    check::<Spsc<Park>>();
    check::<Mpmc<MpmcSpin>>();
    check::<Mpmc<MpmcPark>>();
    check::<Pipe>();
    check::<PosixQueue>();
    check::<PipeAdapter>();
    check::<StreamAdapter>();
    check::<DatagramAdapter>();
    check::<SeqpacketAdapter>();
    check::<PosixQueueAdapter>();
    check::<SysvQueueAdapter>();
    check::<CoalescedSignal>();
    assert_eq!(own_rings(), [""; 0]);
    nobody_is_left();
}

fn a_successor_that_does_not_know_where_to_go_on_is_found_out() {
    // Its sender counts places in its own memory, so a successor begins with the first one again. Of ten places that is the
    // right one now and then, but hardly all of sixteen times.
    let found_out = || {
        let setting = Setting { pair: Pair { limit: Duration::from_secs(5), ..pair() }, ..setting() };
        match recovery::<SysvRing>(&setting, 8) {
            Err(HarnessError::Mismatch { .. } | HarnessError::Wedged { .. }) => true,
            other => unless_refused(other).is_none(),
        }
    };
    assert!((0..4).any(|_| found_out()), "nobody missed what was lost");
    nobody_is_left();
}

fn system_calls_are_counted_by_name() {
    let options = CompareOptions {
        rounds: 1,
        budget: Duration::from_millis(2),
        only: vec!["slipring-spin".into(), "pipe".into(), "futex".into()],
        latency_sizes: vec![8],
        throughput_sizes: vec![56],
        kinds: ["latency", "throughput", "wake", "calls"].map(String::from).to_vec(),
        ..CompareOptions::quick()
    };
    let report = compare(options.clone(), |_| {}).unwrap();
    assert!(report.timed.is_empty() && report.many.is_empty());
    if report.missing.iter().any(|row| row.kind == "calls") {
        println!("not here: {:?}", report.missing);
        return;
    }
    let row = |kind: &str, name: &str| {
        let found = report.syscalls.iter().find(|row| row.kind == kind && row.mechanism == name);
        found.unwrap_or_else(|| panic!("{kind} {name} in {:?}", report.syscalls))
    };
    for kind in ["latency", "throughput", "wake"] {
        let pipe = row(kind, "pipe");
        let own = |name: &str| ["read", "write"].contains(&name);
        let (own, others): (Vec<_>, Vec<_>) = pipe.calls.iter().partition(|(name, _)| own(name));
        let per_message: f64 = own.iter().map(|(_, each)| each).sum();
        assert!(own.len() == 2 && (1.9..2.2).contains(&per_message), "{pipe:?}");
        // Of the harness: the clock is a call on some machines, and its lists may need memory.
        use nix::libc::{SYS_brk, SYS_clock_gettime, SYS_mmap, SYS_mremap, SYS_munmap};
        let theirs = [SYS_clock_gettime, SYS_brk, SYS_mmap, SYS_mremap, SYS_munmap]
            .map(|number| format!("call {number}"));
        assert!(others.iter().all(|(name, _)| theirs.contains(name)), "{pipe:?}");
    }
    // Whoever has no peer for a while asks now and then whether it lives: not in each of some tries.
    let of_ring = |report: &Report| {
        let mut rows = report.syscalls.iter();
        let row = rows.find(|row| row.kind == "throughput" && row.mechanism == "slipring spin");
        row.expect("it was asked for").per_message
    };
    let once_more = || {
        let only = vec!["slipring-spin".into()];
        let kinds = ["throughput", "calls"].map(String::from).to_vec();
        of_ring(&compare(CompareOptions { only, kinds, ..options.clone() }, |_| {}).unwrap())
    };
    let few = of_ring(&report) < 0.5 || (0..5).any(|_| once_more() < 0.5);
    assert!(few, "{:?}", report.syscalls);
    assert!(row("wake", "futex").calls[0].0 == "futex");
    nobody_is_left();
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
        assert_eq!((at.done, at.rounds), (steps, 1));
        steps += 1;
    });
    let report = report.unwrap();
    // Six mechanisms: latency at four sizes, throughput at five, waking of the four that sleep; the futex's waking and
    // the floor, a bare slot. One round after the trial: one reading a row.
    let rows = (report.latency.len(), report.throughput.len(), report.wake.len());
    // Six at a rate, six cold, six recovering, four that select; three that take many in five shapes. Calls are counted
    // of all that is not one of these, but of those that select.
    assert_eq!((rows, report.timed.len(), report.many.len()), ((25, 30, 5), 22, 15));
    assert_eq!(steps, 2 * 97 + 64);
    let refused = report.missing.iter().filter(|row| row.kind == "calls").count();
    assert_eq!(report.syscalls.len() + refused, 64);
    assert!(report.wake.iter().all(|row| row.rounds == 1 && row.messages > 8));
    assert!(report.latency.iter().all(|row| row.rounds == 1 && row.trips >= 16));
    assert!(report.throughput.iter().all(|row| row.rounds == 1 && row.messages >= 2));
    assert_eq!(report.references.iter().map(|row| row.readings).sum::<usize>(), 97);
    assert!(Report::from_json(&report.to_json().unwrap()).unwrap() == report, "JSON holds everything");
    let table = report.to_string();
    for word in ["slipring spin", "slipring mpmc park", "pipe", "unix stream", "bare slot", "65536"] {
        assert!(table.contains(word), "{word} is missing in\n{table}");
    }
    assert_eq!(own_rings(), [""; 0]);
    nobody_is_left();
}

fn every_mechanism_has_its_row_or_a_reason() {
    let options = CompareOptions {
        rounds: 1,
        budget: Duration::from_millis(1),
        latency_sizes: vec![8, 56, 65_536],
        throughput_sizes: vec![8, 65_536],
        kinds: ["latency", "throughput", "cold", "recovery", "paced"].map(String::from).to_vec(),
        rates: vec![20_000],
        ..CompareOptions::default()
    };
    let report = compare(options, |_| {}).unwrap();
    for mechanism in &report.mechanisms {
        let name = &mechanism.name;
        let latency = report.latency.iter().filter(|row| row.subject.mechanism == *name).count();
        let missing = |kind: &str| {
            report.missing.iter().filter(|row| row.kind == kind && row.mechanism == *name).count()
        };
        let expected = match name.as_str() {
            "futex" | "slipring mpmc yield" => 0,
            name if name.starts_with("four ") => 0,
            "bare slot" => 1,
            _ => 3,
        };
        assert_eq!(latency + missing("latency"), expected, "{name}");
        let throughput = report.throughput.iter().filter(|row| row.subject.mechanism == *name).count();
        let streams = expected == 3;
        assert_eq!(throughput + missing("throughput"), if streams { 2 } else { 0 }, "{name}");
        for kind in ["cold", "recovery", "paced"] {
            let own = |row: &&slipring_harness::report::TimedRow| {
                row.kind == kind && row.subject.mechanism == *name
            };
            let rows = report.timed.iter().filter(own).count();
            assert_eq!(rows + missing(kind), usize::from(streams), "{kind} {name}");
        }
    }
    let reasons = |name: &str| {
        let rows = report.missing.iter().filter(|row| row.mechanism == name);
        rows.map(|row| row.reason.as_str()).collect::<Vec<_>>()
    };
    assert!(reasons("udp loopback").iter().any(|reason| reason.contains("no flow control")));
    assert!(reasons("udp loopback").iter().any(|reason| reason.contains("65507")));
    assert!(reasons("eventfd pair").iter().any(|reason| reason.contains("8 bytes")));
    assert!(reasons("system v shm+sem").iter().any(|reason| reason.contains("own memory")));
    // Each of the nine beside its original, wherever that can do the same.
    for row in &report.adapters {
        let possible = report.latency.iter().any(|other| other.subject.mechanism == row.original);
        assert!(
            row.per_ring.is_some() && (row.per_original.is_some() || !possible || row.subject.size > 56),
            "{row:?}"
        );
    }
    assert_eq!(report.adapters.len(), 9 * (3 + 2));
    assert_eq!(reasons("pipe"), [""; 0]);
    nobody_is_left();
}

fn named_mechanisms_and_sizes_are_measured_and_no_others() {
    let options = CompareOptions {
        rounds: 1,
        budget: Duration::from_millis(1),
        only: vec!["fifo".into(), "slipring-park".into()],
        latency_sizes: vec![16],
        throughput_sizes: vec![24],
        ..CompareOptions::quick()
    };
    let report = compare(options.clone(), |_| {}).unwrap();
    let names: Vec<_> = report.latency.iter().map(|row| row.subject.mechanism.as_str()).collect();
    assert_eq!(names, ["slipring park", "fifo"]);
    assert!(report.latency.iter().all(|row| row.subject.size == 16));
    assert!(report.throughput.iter().all(|row| row.subject.size == 24));
    for (only, sizes) in [("fido", 16), ("fifo", 17)] {
        let wrong = CompareOptions { only: vec![only.into()], latency_sizes: vec![sizes], ..options.clone() };
        let result = compare(wrong, |_| {}).map(drop);
        assert!(matches!(result, Err(HarnessError::BadOption { .. })), "{result:?}");
    }
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
    fifos_sockets_and_textbook_rings_give_plausible_counts,
    queues_and_semaphores_count_every_message_where_there_are_any,
    events_of_eight_bytes_arrive_one_by_one,
    limits_are_named_and_not_applied,
    a_system_v_queue_goes_when_its_maker_is_killed,
    rings_give_plausible_counts_and_leave_no_name,
    batches_count_every_message_and_check_it,
    crowds_of_processes_and_of_threads_count_every_message,
    who_has_no_time_sends_nevertheless,
    adapters_give_plausible_counts_and_leave_no_name,
    coalesced_signals_carry_messages_of_any_size,
    of_bare_signals_the_queued_arrive_and_the_others_coalesce,
    one_of_several_sources_is_found,
    a_stall_delays_all_that_were_due_meanwhile,
    rings_keep_pace,
    many_senders_and_receivers_count_every_message,
    cold_starts_end_with_a_message,
    a_successor_goes_on_where_a_killed_sender_stopped,
    a_successor_that_does_not_know_where_to_go_on_is_found_out,
    system_calls_are_counted_by_name,
    a_message_that_a_crowd_loses_is_missed,
    a_ring_is_removed_when_its_users_are_killed,
    a_quick_comparison_is_complete,
    every_mechanism_has_its_row_or_a_reason,
    named_mechanisms_and_sizes_are_measured_and_no_others,
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
