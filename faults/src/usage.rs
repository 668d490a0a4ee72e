//! For how long a thread has had a core, and for how long it could have gone on and had none (`run_delay` of
//! /proc/PID/schedstat, see proc(5)); how long something took, without that; and where a thread is that does not come back.
//!
//! What a hypervisor takes away is in no thread's `run_delay`, but it is not in what a thread has computed either: Linux
//! takes off what the hypervisor says it took of the core (`CONFIG_PARAVIRT_TIME_ACCOUNTING`), before it counts. So where a
//! thread did not sleep, what it computed is all that was its own. Also compiled into tests of other packages.

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use std::fs::File;
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// For how long a process has had a core, and for how long it has waited for one.
pub struct Usage(File);

impl Usage {
    /// Of the calling thread.
    ///
    /// # Errors
    /// If the kernel does not count it (`CONFIG_SCHED_INFO`), or /proc is absent.
    pub fn own() -> std::io::Result<Usage> {
        File::open("/proc/thread-self/schedstat").map(Usage)
    }

    /// Of the first thread of another process.
    ///
    /// # Errors
    /// As above, and if it is gone.
    pub fn of(pid: i32) -> std::io::Result<Usage> {
        Usage::below_proc(&pid.to_string())
    }

    /// Of a thread, by its directory below /proc, as `123/task/124`.
    ///
    /// # Errors
    /// As above.
    pub fn below_proc(of: &str) -> std::io::Result<Usage> {
        File::open(format!("/proc/{of}/schedstat")).map(Usage)
    }

    /// How long it has waited, in nanoseconds, since it began; 0 of one that is gone. Of another process the wait that lasts
    /// is not in it yet.
    #[must_use]
    pub fn delay(&self) -> u64 {
        self.word(1)
    }

    /// How long it has had a core, in nanoseconds; of another process it may be some milliseconds old.
    #[must_use]
    pub fn on_core(&self) -> u64 {
        self.word(0)
    }

    fn word(&self, nth: usize) -> u64 {
        let mut text = [0; 96];
        let len = self.0.read_at(&mut text, 0).unwrap_or(0);
        let text = std::str::from_utf8(&text[..len]).unwrap_or("");
        text.split_ascii_whitespace().nth(nth).and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}

/// What the hypervisor has taken of all cores together since the machine was started (`steal` of /proc/stat), which no
/// process's account shows. The kernel counts it in ticks, of which there are a hundred a second.
///
/// # Errors
/// Without /proc.
pub fn stolen() -> Result<Duration, String> {
    let text = std::fs::read_to_string("/proc/stat").map_err(|e| format!("/proc/stat: {e}"))?;
    let ticks = stolen_ticks(&text).ok_or("/proc/stat has no time stolen by a hypervisor")?;
    let hertz = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100).max(1).unsigned_abs();
    Ok(Duration::from_millis(ticks.saturating_mul(1000) / hertz))
}

/// `cpu user nice system idle iowait irq softirq steal ...`, the sum of all cores first.
fn stolen_ticks(text: &str) -> Option<u64> {
    let mut sum = text.lines().next()?.split_ascii_whitespace();
    (sum.next()? == "cpu").then_some(())?;
    sum.nth(7)?.parse().ok()
}

/// What the calling thread has computed since it began, to the nanosecond.
///
/// # Panics
/// Never on Linux (clock_gettime(2)).
#[must_use]
pub fn computed() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a thread's clock").into()
}

/// How many times the calling thread has given its core away to wait for something, be it a lock of the kernel's: asleep,
/// and also when it was stopped. `sched_yield` is none.
fn sleeps() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD).expect("a thread's usage").voluntary_context_switches()
}

/// How long something took.
#[derive(Clone, Copy, Debug)]
pub struct Lap {
    /// By the clock.
    pub gross: Duration,
    /// What its thread computed and slept: without the time in which it waited for a core, and, if it did not sleep, without
    /// that in which a hypervisor had taken its core. Too large by at most the time between two samples. Else as exact as the
    /// kernel's accounts, which were seen to be short by up to 0.3 ms where a thread had lost its core; an older kernel
    /// may also take off what was taken from others.
    pub net: Duration,
}

/// The accounts of the calling thread at one moment.
struct Sample {
    at: Instant,
    delay: u64,
    computed: Duration,
    sleeps: i64,
}

impl Sample {
    /// `at` is before all that is read of the thread.
    fn now(at: Instant, usage: &Usage) -> Sample {
        Sample { at, delay: usage.delay(), computed: computed(), sleeps: sleeps() }
    }

    /// What of the time from here to `later`, whose readings were over at `end`, was the thread's own.
    fn own(&self, later: &Sample, end: Instant) -> Duration {
        let computed = later.computed - self.computed;
        // A time without a core between two of these readings is in both differences, or in that of the clock alone.
        let waited = Duration::from_nanos(later.delay - self.delay);
        let with_sleep = (end - self.at).saturating_sub(waited);
        // How long it slept nobody counts.
        if later.sleeps == self.sleeps { computed.min(with_sleep) } else { with_sleep }
    }
}

/// Times what its thread does, one thing after the other.
pub struct Stopwatch {
    usage: Usage,
    /// The accounts are those of the thread that asks: it stays with the one that made it.
    _of_one_thread: PhantomData<*const ()>,
    slow: Duration,
    sample: Duration,
    sampled: Sample,
    last: Instant,
}

impl Stopwatch {
    /// What takes less than `slow` is not worth an answer; the accounts are read at most once in `sample`, so as to cost
    /// nothing beside what is timed.
    ///
    /// # Errors
    /// As [`Usage::own`].
    pub fn new(slow: Duration, sample: Duration) -> std::io::Result<Stopwatch> {
        let usage = Usage::own()?;
        let sampled = Sample::now(Instant::now(), &usage);
        Ok(Stopwatch { usage, _of_one_thread: PhantomData, slow, sample, sampled, last: Instant::now() })
    }

    /// What passed until now is nobody's.
    pub fn restart(&mut self) {
        self.sampled = Sample::now(Instant::now(), &self.usage);
        self.last = Instant::now();
    }

    /// The time since the last lap; `None` of most that were short.
    pub fn lap(&mut self) -> Option<Lap> {
        let begin = Instant::now();
        let gross = begin - self.last;
        if gross < self.slow && begin - self.sampled.at < self.sample {
            self.last = begin;
            return None;
        }
        let sample = Sample::now(begin, &self.usage);
        // Counted from the last sample on, at which this lap had not begun.
        let net = self.sampled.own(&sample, Instant::now()).min(gross);
        self.sampled = sample;
        self.last = Instant::now();
        Some(Lap { gross, net })
    }
}

/// Where a thread is that does not come back, to tell one that computes for ever from one that waits for ever, and both from
/// one that a busy machine does not let run; `of`: its directory below /proc, as `123` or `self/task/124`.
#[must_use]
pub fn whereabouts(of: &str) -> String {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{of}/{name}")).unwrap_or_default();
    let state = state(of);
    let times = read("schedstat");
    let mut times =
        times.split_ascii_whitespace().map(|word| word.parse().map_or(Duration::ZERO, Duration::from_nanos));
    let mut next = || times.next().unwrap_or_default();
    let (on_core, waited) = (next(), next());
    format!("state {state}, in {:?}, {on_core:.1?} on a core, {waited:.1?} without one", read("wchan"))
}

/// Its state as proc(5) has it: `R` if it computes or waits for a core, `?` if it is gone. `of` as in [`whereabouts`].
#[must_use]
pub fn state(of: &str) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{of}/stat")).unwrap_or_default();
    // Behind its name, which may contain anything, in parentheses.
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_computes_and_what_it_sleeps_are_both_its_own() {
        let mut watch = Stopwatch::new(Duration::from_millis(1), Duration::from_secs(3600)).unwrap();
        assert!(watch.lap().is_none_or(|lap| lap.gross >= Duration::from_millis(1)));
        std::thread::sleep(Duration::from_millis(20));
        let slept = watch.lap().expect("longer than what is slow");
        assert!(slept.gross >= slept.net && slept.net >= Duration::from_millis(15), "{slept:?}");
        let usage = Usage::own().unwrap();
        let until = usage.on_core() + 20_000_000;
        while usage.on_core() < until {}
        let computed = watch.lap().expect("longer than what is slow");
        assert!(computed.gross >= computed.net && computed.net >= Duration::from_millis(15), "{computed:?}");
    }

    /// As it was seen on a machine whose host had something else to do.
    #[test]
    fn what_neither_computed_nor_slept_nor_waited_was_taken_away() {
        let ms = |ms: u64| Duration::from_millis(ms);
        let begin = Instant::now();
        let at = |time, delay: Duration, computed, sleeps| Sample {
            at: begin + time,
            delay: delay.as_nanos() as u64,
            computed,
            sleeps,
        };
        let own = |later: Sample| at(ms(0), ms(100), ms(50), 7).own(&later, later.at + ms(1));
        assert_eq!(own(at(ms(10), ms(100), ms(52), 7)), ms(2), "taken away");
        assert_eq!(own(at(ms(10), ms(100), ms(61), 7)), ms(11), "computed all of it");
        assert_eq!(own(at(ms(10), ms(107), ms(53), 7)), ms(3), "waited for a core");
        assert_eq!(own(at(ms(10), ms(107), ms(55), 7)), ms(4), "no more than the clock has");
        assert_eq!(own(at(ms(10), ms(103), ms(52), 8)), ms(8), "who slept may have slept all of the rest");
    }

    #[test]
    fn to_yield_is_not_to_sleep() {
        let before = sleeps();
        (0..100).for_each(|_| std::thread::yield_now());
        assert_eq!(sleeps(), before);
        std::thread::sleep(Duration::from_millis(1));
        assert!(sleeps() > before);
    }

    #[test]
    fn what_was_stolen_is_the_eighth_of_all_cores() {
        let text = "cpu  900 1 2 3 4 5 6 77 8 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(stolen_ticks(text), Some(77));
        assert_eq!(stolen_ticks("cpu 1 2 3 4\n"), None);
        let before = stolen().unwrap();
        assert!(stolen().unwrap() >= before);
    }

    #[test]
    fn it_is_told_where_a_thread_is() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || {
            tell.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
            let _ = ended.recv();
        });
        let of = told.recv().unwrap();
        while !whereabouts(of.to_str().unwrap()).contains("state S") {
            std::thread::yield_now();
        }
        drop(end);
        sleeper.join().unwrap();
        assert!(whereabouts("thread-self").contains("state R"));
    }
}
