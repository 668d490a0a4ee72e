//! What the scheduler does, told from what the ring does: the stalls of a participant, measured by itself, without the time
//! in which it had no core, be it that the kernel or that a hypervisor gave it to another (`usage` has the account of that).
#![allow(clippy::disallowed_types, reason = "an observer's own words")]

use crate::log::{Event, Log};
use crate::usage::{Lap, Stopwatch};
use crate::words::Words;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Whether a process sleeps and could be woken: it neither has a core nor wants one.
#[must_use]
pub fn is_asleep(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind its name, which may contain anything, in parentheses.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

/// Steps of the protocol that this process has taken, in a build that counts them (`--cfg slipring_steps`): atomic operations
/// and full fences. Unlike a time that is a property of the ring alone.
#[cfg(slipring_steps)]
mod steps {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    static TAKEN: AtomicU64 = AtomicU64::new(0);

    pub fn count() {
        slipring::on_step(|| TAKEN.store(TAKEN.load(Relaxed) + 1, Relaxed));
    }

    pub fn taken() -> u64 {
        TAKEN.load(Relaxed)
    }
}

#[cfg(not(slipring_steps))]
mod steps {
    pub fn count() {}

    pub fn taken() -> u64 {
        0
    }
}

/// From here on this process counts its steps, and those that it forks theirs, where the build does: one thread of each.
pub fn count_steps() {
    steps::count();
}

/// More steps of the protocol than these from answer to answer beside others who are stopped are a violation: at 50 ns each, as
/// waiting looks take with their pauses, they are the 5 ms that nobody may be stalled for. How many steps a verb takes is the
/// ring's doing alone, so it may decide where a time may not.
pub const MOST_STEPS: u64 = 100_000;

/// Whether steps are counted in this build.
pub const COUNTS_STEPS: bool = cfg!(slipring_steps);

/// A shorter time between two answers is not written down.
pub const SLOW: u64 = 100_000;
/// The delay is read at most so often, so as to cost nothing beside the verbs.
const SAMPLE: Duration = Duration::from_micros(500);

/// Watches the time between a participant's answers. What it finds goes into the participant's log.
pub struct Gauge {
    log: Log,
    waits: u64,
    /// The word that counts this participant's stops and continuations.
    stops: (Arc<Words>, usize),
    stopped: u64,
    watch: Stopwatch,
    /// Steps taken by the last answer, and the most of one so far.
    steps: u64,
    most_steps: u64,
}

impl Gauge {
    /// `stops`: a word that is made odd before the calling process is stopped, and even before it is continued.
    ///
    /// # Panics
    /// Without /proc.
    #[must_use]
    pub fn new(log: Log, stops: (Arc<Words>, usize)) -> Gauge {
        let watch = Stopwatch::new(Duration::from_nanos(SLOW), SAMPLE).expect("/proc/thread-self/schedstat");
        count_steps();
        let mut gauge = Gauge { waits: 0, log, stops, stopped: 0, watch, steps: 0, most_steps: 0 };
        gauge.restart();
        gauge
    }

    /// What passed until now is nobody's.
    pub fn restart(&mut self) {
        self.stopped = self.stops.0[self.stops.1].load(SeqCst);
        self.waits = self.log.waits();
        self.steps = steps::taken();
        self.watch.restart();
    }

    /// A verb has answered. Of a long time since the last answer, that without a core is taken off; see [`Lap::net`].
    pub fn answered(&mut self) {
        // Those of a verb that was stopped meanwhile are its own, too.
        let steps = steps::taken() - self.steps;
        let took = match self.watch.lap() {
            None => SLOW,
            Some(lap) if self.account(lap, steps) => lap.net.as_nanos() as u64,
            Some(_) => 0,
        };
        if steps > self.most_steps {
            self.most_steps = steps;
            self.log.write(Event::Steps { most: steps, took });
        }
        self.steps = steps::taken();
    }

    /// Whether that was a stall of its own, and neither a stop nor a wait for who reads the log.
    fn account(&mut self, Lap { gross, net }: Lap, steps: u64) -> bool {
        // Asked for when the lap is over: also a stop while its delay was read would be taken for a part of the next stall.
        if !self.is_own() {
            self.restart();
            return false;
        }
        let [raw, net] = [gross, net].map(|time| time.as_nanos() as u64);
        if raw >= SLOW {
            self.log.write(Event::Slow { raw, net, steps: u32::try_from(steps).unwrap_or(u32::MAX) });
        }
        true
    }

    /// Neither stopped since the last sample, nor kept waiting by who reads the log.
    fn is_own(&self) -> bool {
        let stopped = self.stops.0[self.stops.1].load(SeqCst);
        stopped == self.stopped && stopped.is_multiple_of(2) && self.waits == self.log.waits()
    }
}

/// The longest time from answer to answer of the calling thread's verbs, without want of a core.
pub struct Longest {
    watch: Stopwatch,
    steps: u64,
    /// So long. Nothing below [`SLOW`] is told.
    pub net: Duration,
    /// The most steps of the protocol in one, if they are counted, see [`count_steps`].
    pub most_steps: u64,
}

impl Longest {
    /// From now on.
    ///
    /// # Errors
    /// Without /proc.
    pub fn new() -> std::io::Result<Longest> {
        let watch = Stopwatch::new(Duration::from_nanos(SLOW), SAMPLE)?;
        Ok(Longest { watch, steps: steps::taken(), net: Duration::ZERO, most_steps: 0 })
    }

    /// A verb has answered.
    pub fn answered(&mut self) {
        if let Some(lap) = self.watch.lap() {
            self.net = self.net.max(lap.net);
        }
        let steps = steps::taken();
        self.most_steps = self.most_steps.max(steps - self.steps);
        self.steps = steps;
    }

    /// What passed until now was no verb's.
    pub fn restart(&mut self) {
        self.steps = steps::taken();
        self.watch.restart();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::now;
    use crate::usage::Usage;
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    use std::time::Instant;

    fn slow(log: &Log) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        log.read(|record| {
            if let Event::Slow { raw, net, .. } = record.event {
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
            slow(&log);
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
    fn of_several_answers_the_longest_counts_and_what_was_no_verbs_does_not() {
        let mut longest = Longest::new().unwrap();
        let (mut begin, mut gross) = (Instant::now(), Duration::ZERO);
        for (ms, is_verb) in [(2, true), (8, true), (3, true), (60_u64, false)] {
            std::thread::sleep(Duration::from_millis(ms));
            // The next lap begins within the call.
            let next = Instant::now();
            if is_verb {
                longest.answered();
                gross = gross.max(begin.elapsed());
            } else {
                longest.restart();
            }
            begin = next;
        }
        longest.answered();
        let all = gross.max(begin.elapsed());
        assert!(
            longest.net >= Duration::from_millis(7) && longest.net <= all,
            "{:?} of {all:?}",
            longest.net
        );
    }

    /// A signal is often taken at the end of a system call: that which reads the delay is one.
    #[test]
    fn a_stop_while_the_delay_is_read_is_no_part_of_the_next_stall() {
        let pause = Duration::from_millis(20);
        let (log, words) = (Log::new(64), Arc::new(Words::new(1)));
        let mut gauge = Gauge::new(log.clone(), (words.clone(), 0));
        words[0].store(1, SeqCst);
        std::thread::sleep(pause);
        words[0].store(2, SeqCst);
        // As of a lap that began before the stop.
        gauge.account(Lap { gross: Duration::ZERO, net: Duration::ZERO }, 0);
        gauge.answered();
        let found = slow(&log);
        assert!(found.iter().all(|(_, net)| u128::from(*net) < pause.as_nanos() / 2), "{found:?}");
    }

    /// Of two that want the same core for as long, one waits while the other has it, and the accounts say so.
    #[test]
    fn the_time_without_a_core_is_counted() {
        let core =
            (0..CpuSet::count()).find(|core| own_cores().is_set(*core).unwrap()).expect("it runs on one");
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
