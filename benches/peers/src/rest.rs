//! PERF-11: what a ring costs that is not used, to attach to, and a thousand times. No rounds: nothing here is a ratio.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use slipring::{Options, RecvError, Ring, WaitStrategy};
use slipring_harness::HarnessError;
use slipring_harness::clock::Clock;
use slipring_harness::process::Pair;
use slipring_harness::stats::quantile;
use slipring_harness::usage::Usage;

use crate::engine::refused;

const RINGS: usize = 1000;
const ATTACHES: usize = 2000;
const FIRST_ATTACHES: usize = 100;

fn name(what: &str) -> String {
    format!("/slipring-peers-{what}-{}", std::process::id())
}

/// A receiver that has nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// For how long it was watched.
    pub seconds: f64,
    /// Its processor time in that.
    pub cpu_us: i64,
    /// How often it woke up all the same.
    pub wakes: i64,
}

impl Idle {
    /// Its share of one core, in percent.
    pub fn cpu_percent(&self) -> f64 {
        self.cpu_us as f64 / 1e4 / self.seconds
    }
}

/// Watches a parked receiver whose sender is alive and silent.
///
/// # Errors
/// As measurements.
pub fn idle(pair: &Pair, span: Duration) -> Result<Idle, HarnessError> {
    let (_, idle) = pair.run(
        name("idle"),
        |meeting, name| {
            let ring = Ring::open_or_create(&name, &Options::new()).map_err(refused)?;
            let _producer = ring.into_producer().map_err(refused)?;
            meeting.meet();
            // Longer than the receiver waits: it must not see a good-bye.
            std::thread::sleep(span + Duration::from_millis(200));
            Ok(())
        },
        |meeting, name| {
            let ring = Ring::open_or_create(&name, &Options::new()).map_err(refused)?;
            let mut consumer = ring.into_consumer().map_err(refused)?;
            consumer.set_strategy(WaitStrategy::Park).map_err(refused)?;
            meeting.meet();
            let (start, before) = (Instant::now(), Usage::so_far()?);
            let waited = consumer.recv_timeout(&mut [0; 64], span);
            let (seconds, spent) = (start.elapsed().as_secs_f64(), Usage::so_far()? - before);
            match waited {
                Err(RecvError::TimedOut) => {
                    Ok(Idle { seconds, cpu_us: spent.cpu_us, wakes: spent.voluntary })
                }
                other => Err(refused(format!("an idle receiver got {other:?}"))),
            }
        },
    )?;
    Ok(idle)
}

/// How long it takes to become the consumer of a named ring, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attach {
    /// Half are faster.
    pub p50_us: f64,
    /// 99 % are.
    pub p99_us: f64,
    /// How many there were.
    pub count: usize,
}

impl Attach {
    fn of(clock: &Clock, mut ticks: Vec<u64>) -> Attach {
        ticks.sort_unstable();
        let counted: Vec<(u64, u64)> = ticks.iter().map(|&ticks| (ticks, 1)).collect();
        let us = |q| clock.ns(quantile(&counted, q)) / 1e3;
        Attach { p50_us: us(0.5), p99_us: us(0.99), count: ticks.len() }
    }
}

fn timed_attach(clock: &Clock, name: &str) -> Result<u64, HarnessError> {
    let start = clock.now();
    let consumer = Ring::open(name).and_then(Ring::into_consumer).map_err(refused)?;
    let end = clock.now();
    drop(consumer);
    Ok(end - start)
}

/// Attaches again and again in one process.
///
/// # Errors
/// As measurements.
pub fn attach(clock: &Clock) -> Result<Attach, HarnessError> {
    let name = name("attach");
    let _ring = Ring::create(&name, &Options::new()).map_err(refused)?;
    let ticks: Result<Vec<u64>, _> = (0..ATTACHES).map(|_| timed_attach(clock, &name)).collect();
    Ok(Attach::of(clock, ticks?))
}

/// Attaches once in each of many processes, which must also register with the kernel.
///
/// # Errors
/// As measurements.
pub fn first_attach(pair: &Pair, clock: &Clock) -> Result<Attach, HarnessError> {
    let name = name("first");
    let mut ticks = Vec::with_capacity(FIRST_ATTACHES);
    for _ in 0..FIRST_ATTACHES {
        let (attached, ()) = pair.run(
            &name,
            |meeting, name| {
                meeting.meet();
                let ticks = timed_attach(clock, name);
                meeting.meet();
                ticks
            },
            |meeting, name| {
                let ring = Ring::create(name, &Options::new()).map_err(refused)?;
                meeting.meet();
                // The name stays while the other attaches.
                meeting.meet();
                drop(ring);
                Ok(())
            },
        )?;
        ticks.push(attached);
    }
    Ok(Attach::of(clock, ticks))
}

/// How many rings one process had open at once, with both ends, a message sent through each while all were open.
///
/// # Errors
/// As measurements.
pub fn many_rings() -> Result<usize, HarnessError> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| HarnessError::os("asking for limits", errno))?;
    // Both ends and the name: a handful of descriptors each.
    let wanted = (8 * RINGS as u64).max(soft).min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
        .map_err(|errno| HarnessError::os("allowing more open files", errno))?;
    let open = || -> Result<usize, HarnessError> {
        let mut ends = Vec::with_capacity(RINGS);
        for k in 0..RINGS {
            let options = Options::new().capacity(64 * 1024);
            let ring = Ring::create(&name(&format!("many-{k}")), &options).map_err(refused)?;
            ends.push((ring.producer().map_err(refused)?, ring.consumer().map_err(refused)?, ring));
        }
        for (k, (producer, _, _)) in ends.iter_mut().enumerate() {
            producer.try_send(&k.to_ne_bytes()).map_err(refused)?;
        }
        let received = ends.iter_mut().enumerate().map(|(k, (_, consumer, _))| {
            let mut message = [0; 8];
            Ok(consumer.try_recv(&mut message).map_err(refused)? == 8 && message == k.to_ne_bytes())
        });
        let received: Result<Vec<bool>, HarnessError> = received.collect();
        Ok(received?.into_iter().filter(|&same| same).count())
    };
    let count = open();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
        .map_err(|errno| HarnessError::os("restoring the limit on open files", errno))?;
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_is_busy_for_a_second_of_ten_is_at_ten_percent() {
        let idle = Idle { seconds: 10.0, cpu_us: 1_000_000, wakes: 3 };
        assert!((idle.cpu_percent() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn attach_times_are_sorted_first() {
        let clock = Clock::calibrate();
        let tick = clock.ns(1) / 1e3;
        let attach = Attach::of(&clock, (1..=100).rev().collect());
        assert!((attach.p50_us - 50.0 * tick).abs() < tick && (attach.p99_us - 99.0 * tick).abs() < tick);
        assert_eq!(attach.count, 100);
    }

    #[test]
    fn a_thousand_rings_work_at_once() {
        assert_eq!(many_rings().unwrap(), RINGS);
    }
}
