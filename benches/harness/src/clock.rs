//! The clock of every measurement: the time-stamp counter where the kernel itself trusts it, else the monotonic clock.
//! Both are the same in all processes of the machine. The cost of a reading is measured and reported, never subtracted.

use std::time::{Duration, Instant};

/// Reads ticks and turns them into nanoseconds. Calibrated once, copied into forked processes.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
    counter: bool,
    ns_per_tick: f64,
    cost_ns: f64,
}

impl Clock {
    /// Chooses the source and calibrates it; takes about 20 ms.
    pub fn calibrate() -> Clock {
        let mut clock =
            Clock { epoch: Instant::now(), counter: counter_is_trusted(), ns_per_tick: 1.0, cost_ns: 0.0 };
        if clock.counter {
            let (from, from_ticks) = clock.both();
            while from.elapsed() < Duration::from_millis(15) {}
            let (to, to_ticks) = clock.both();
            clock.ns_per_tick = (to - from).as_nanos() as f64 / (to_ticks - from_ticks) as f64;
        }
        let least = (0..1000).map(|_| {
            let start = clock.now();
            for _ in 0..16 {
                std::hint::black_box(clock.now());
            }
            clock.now() - start
        });
        clock.cost_ns = clock.ns(least.min().unwrap_or(0)) / 17.0;
        clock
    }

    /// The present tick, read after every earlier load of the caller is done.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        if self.counter { counter() } else { self.epoch.elapsed().as_nanos() as u64 }
    }

    /// Nanoseconds of a span of ticks.
    pub fn ns(&self, ticks: u64) -> f64 {
        ticks as f64 * self.ns_per_tick
    }

    /// Ticks of a span of time, rounded down.
    pub fn ticks(&self, span: Duration) -> u64 {
        (span.as_nanos() as f64 / self.ns_per_tick) as u64
    }

    /// What one reading costs.
    pub fn cost_ns(&self) -> f64 {
        self.cost_ns
    }

    /// The source in words, for the report.
    pub fn name(&self) -> &'static str {
        if self.counter { "time-stamp counter behind a load fence" } else { "monotonic clock" }
    }

    /// One instant on both clocks: of several tries the one least interrupted.
    fn both(&self) -> (Instant, u64) {
        let tries = (0..64).map(|_| {
            let before = counter();
            let instant = Instant::now();
            let after = counter();
            (after - before, instant, before + (after - before) / 2)
        });
        let best = tries.min_by_key(|&(span, ..)| span);
        best.map_or_else(|| (Instant::now(), counter()), |(_, instant, ticks)| (instant, ticks))
    }
}

/// The kernel keeps time by the counter only if it is constant, never stops, and agrees between cores.
fn counter_is_trusted() -> bool {
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    cfg!(target_arch = "x86_64") && std::fs::read_to_string(source).is_ok_and(|name| name.trim() == "tsc")
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn counter() -> u64 {
    // SAFETY: every x86-64 has SSE2 and so the fence.
    unsafe { std::arch::x86_64::_mm_lfence() };
    // SAFETY: reading the counter has no effect on memory; Linux leaves it readable for user code.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_nanoseconds_are_inverse() {
        let clock = Clock::calibrate();
        let ns = clock.ns(clock.ticks(Duration::from_millis(3)));
        assert!((ns - 3e6).abs() < 2.0, "{ns}");
    }

    #[test]
    fn time_never_runs_backwards() {
        let clock = Clock::calibrate();
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
