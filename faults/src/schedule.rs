//! What the scheduler does, told from what the ring does: for how long a process could have gone on and had no core
//! (`run_delay` of /proc/PID/schedstat, see proc(5)), and with it the stalls of a participant, measured by itself.
//!
//! What a hypervisor takes away is in no process's `run_delay`, and stays in every figure here.
#![allow(clippy::disallowed_types, reason = "an observer's own words")]

use crate::log::{Event, Log, now};
use crate::words::Words;
use nix::unistd::{SysconfVar, sysconf};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

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
        File::open(format!("/proc/{pid}/schedstat")).map(Usage)
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

/// Whether a process sleeps and could be woken: it neither has a core nor wants one.
#[must_use]
pub fn is_asleep(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind its name, which may contain anything, in parentheses.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

/// A shorter time between two answers is not written down.
pub const SLOW: u64 = 100_000;
/// The delay is read at most so often, so as to cost nothing beside the verbs.
const SAMPLE: u64 = 500_000;

/// Watches the time between a participant's answers. What it finds goes into the participant's log.
pub struct Gauge {
    log: Log,
    waits: u64,
    /// The word that counts this participant's stops and continuations.
    stops: (Arc<Words>, usize),
    stopped: u64,
    usage: Usage,
    sampled: (u64, u64),
    last: u64,
}

impl Gauge {
    /// `stops`: a word that is made odd before the calling process is stopped, and even before it is continued.
    ///
    /// # Panics
    /// Without /proc.
    #[must_use]
    pub fn new(log: Log, stops: (Arc<Words>, usize)) -> Gauge {
        let usage = Usage::own().expect("/proc/thread-self/schedstat");
        let mut gauge = Gauge { waits: 0, log, stops, stopped: 0, usage, sampled: (0, 0), last: 0 };
        gauge.restart();
        gauge
    }

    /// What passed until now is nobody's.
    pub fn restart(&mut self) {
        self.stopped = self.stops.0[self.stops.1].load(SeqCst);
        self.waits = self.log.waits();
        self.sampled = (now(), self.usage.delay());
        self.last = now();
    }

    /// A verb has answered. Of a long time since the last answer, what the kernel gave to others is taken off: `net` is at
    /// most by half a millisecond too large, never too small.
    pub fn answered(&mut self) {
        let at = now();
        let raw = at - self.last;
        if raw < SLOW && at - self.sampled.0 < SAMPLE {
            self.last = at;
            return;
        }
        self.account(raw, Usage::delay);
    }

    fn account(&mut self, raw: u64, delay: impl FnOnce(&Usage) -> u64) {
        // A time without a core between two of these readings is in both differences, or in that of the clock alone.
        let begin = now();
        let delay = delay(&self.usage);
        let end = now();
        if self.is_own() && raw >= SLOW {
            // Counted from the last sample on, at which no stall had begun.
            let net = (end - self.sampled.0).saturating_sub(delay - self.sampled.1).min(raw);
            self.log.write(Event::Slow { raw, net });
        }
        // Also a stop since `begin` would be taken for a part of the next stall.
        if !self.is_own() {
            return self.restart();
        }
        self.sampled = (begin, delay);
        self.last = now();
    }

    /// Neither stopped since the last sample, nor kept waiting by who reads the log.
    fn is_own(&self) -> bool {
        let stopped = self.stops.0[self.stops.1].load(SeqCst);
        stopped == self.stopped && stopped.is_multiple_of(2) && self.waits == self.log.waits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    fn slow(log: &Log) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        log.read(|record| {
            if let Event::Slow { raw, net } = record.event {
                found.push((raw, net));
            }
        });
        found
    }

    #[test]
    fn a_pause_between_two_answers_is_found_unless_it_was_a_stop() {
        let pause = std::time::Duration::from_millis(3);
        for stopped in [false, true] {
            let (log, words) = (Log::new(64), Arc::new(Words::new(1)));
            let mut gauge = Gauge::new(log.clone(), (words.clone(), 0));
            gauge.answered();
            words[0].store(u64::from(stopped), SeqCst);
            std::thread::sleep(pause);
            words[0].store(2 * u64::from(stopped), SeqCst);
            gauge.answered();
            let found = slow(&log);
            let long = found.iter().filter(|(raw, _)| u128::from(*raw) >= pause.as_nanos()).count();
            assert_eq!(long, usize::from(!stopped), "{found:?}");
            // Asleep it wanted no core: nothing is taken off for that.
            let long = found.iter().filter(|(raw, _)| u128::from(*raw) >= pause.as_nanos());
            assert!(long.into_iter().all(|(_, net)| u128::from(*net) >= pause.as_nanos() / 2), "{found:?}");
        }
    }

    #[test]
    fn what_was_stolen_is_the_eighth_of_all_cores() {
        let text = "cpu  900 1 2 3 4 5 6 77 8 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(stolen_ticks(text), Some(77));
        assert_eq!(stolen_ticks("cpu 1 2 3 4\n"), None);
        let before = stolen().unwrap();
        assert!(stolen().unwrap() >= before);
    }

    /// A signal is often taken at the end of a system call: that which reads the delay is one.
    #[test]
    fn a_stop_while_the_delay_is_read_is_no_part_of_the_next_stall() {
        let pause = std::time::Duration::from_millis(20);
        let (log, words) = (Log::new(64), Arc::new(Words::new(1)));
        let mut gauge = Gauge::new(log.clone(), (words.clone(), 0));
        let mut continued = 0;
        gauge.account(0, |usage| {
            let delay = usage.delay();
            words[0].store(1, SeqCst);
            std::thread::sleep(pause);
            words[0].store(2, SeqCst);
            continued = now();
            delay
        });
        assert!(gauge.sampled.0 >= continued, "the sample is behind the stop");
        // A stall for want of a core, as long as the stop was.
        let raw = pause.as_nanos() as u64;
        gauge.account(raw, |usage| usage.delay() + raw);
        let found = slow(&log);
        assert!(matches!(found[..], [(long, net)] if long == raw && net < raw / 2), "{found:?}");
    }

    /// Of two that want the same core for as long, one waits while the other has it, and the accounts say so.
    #[test]
    fn the_time_without_a_core_is_counted() {
        let core = (0..64).find(|core| own_cores().is_set(*core).unwrap()).expect("it runs on one");
        let begin = Arc::new(std::sync::Barrier::new(2));
        let spin = move |begin: Arc<std::sync::Barrier>| {
            let mut only = CpuSet::new();
            only.set(core).unwrap();
            sched_setaffinity(Pid::from_raw(0), &only).unwrap();
            let usage = Usage::own().unwrap();
            begin.wait();
            let (from, before) = (now(), usage.delay());
            // So long that both have had the core several times.
            while now() - from < 100_000_000 {
                std::hint::spin_loop();
            }
            (usage.delay() - before, now() - from)
        };
        let other = std::thread::spawn({
            let begin = begin.clone();
            move || spin(begin)
        });
        let here = std::thread::spawn(move || spin(begin));
        let both = [other, here].map(|thread| thread.join().unwrap());
        assert!(both.iter().all(|(delay, time)| delay <= time), "{both:?}");
        assert!(both.iter().map(|(delay, _)| delay).sum::<u64>() >= 20_000_000, "{both:?}");
    }

    fn own_cores() -> CpuSet {
        sched_getaffinity(Pid::from_raw(0)).unwrap()
    }
}
