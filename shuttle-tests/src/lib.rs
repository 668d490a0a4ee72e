//! slipring's algorithms under schedules that [Shuttle](https://docs.rs/shuttle) picks at random: scenarios too large
//! for loom to explore, with the newest value for every load. What the models of `loom-tests` show of orderings in small
//! rings is complemented here by long runs through many laps, deaths and wake-ups. The source is the library's own.
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = "judged where the files belong"
)]

#[path = "../../src/channel/mod.rs"]
pub mod channel;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/event.rs"]
pub mod event;
#[path = "../../src/layout.rs"]
pub mod layout;
#[path = "../../loom-tests/src/rig.rs"]
pub mod rig;
#[path = "../../src/ring/mod.rs"]
pub mod ring;
#[path = "../../loom-tests/src/slots.rs"]
pub mod slots;
#[path = "../../src/sync/mod.rs"]
pub mod sync;
#[path = "../../src/view.rs"]
pub mod view;
#[path = "../../src/watch.rs"]
pub mod watch;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

/// Numbers that are the same in every run, so that a schedule can be replayed (xorshift). Not from 0.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// Plays a scenario under many schedules: half of them pick every step at random, half change priorities a few times
/// (probabilistic concurrency testing). `SLIPRING_SCHEDULES` says how many, `SLIPRING_SEED` which. A schedule that fails
/// is printed, for `shuttle::replay`.
pub fn explore(schedules: u64, scenario: impl Fn() + Send + Sync + Clone + 'static) {
    let half = (setting("SLIPRING_SCHEDULES", schedules) / 2).max(1) as usize;
    let seed = setting("SLIPRING_SEED", 1);
    println!("{half} random schedules and {half} of changing priorities, SLIPRING_SEED={seed}");
    let mut config = Config::new();
    config.stack_size = 0x20_000;
    let random = RandomScheduler::new_from_seed(seed, half);
    Runner::new(random, config.clone()).run(scenario.clone());
    let changing = PctScheduler::new_from_seed(seed, 5, half);
    Runner::new(changing, config).run(scenario);
}
