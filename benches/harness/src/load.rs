//! Whether somebody else used the measuring cores meanwhile.
//!
//! The kernel's per-core accounts (in ticks of 10 ms, so only good for a whole round) minus our own processor time is
//! what others used; `steal` is what the hypervisor gave to other machines.
#![forbid(unsafe_code)]

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::cores::{Cores, allowed};
use crate::error::HarnessError;
use crate::usage::Usage;

/// Outside load during a round, as shares (0 to 1) of the measuring cores' time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Used by other processes and by interrupts.
    pub others: f64,
    /// Taken by the hypervisor.
    pub steal: f64,
}

/// Beyond which load a round is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadLimit {
    /// Greatest share used by others.
    pub others: f64,
    /// Greatest share stolen.
    pub steal: f64,
}

impl Default for LoadLimit {
    /// A tenth used by others (the accounts are that coarse), a fiftieth stolen.
    fn default() -> Self {
        LoadLimit { others: 0.10, steal: 0.02 }
    }
}

impl Load {
    /// Why this is too much; none if it is not.
    pub fn exceeds(&self, limit: &LoadLimit) -> Option<String> {
        let percent = |share: f64| share * 100.0;
        if self.others > limit.others {
            return Some(format!("others used {:.0} % of the cores", percent(self.others)));
        }
        (self.steal > limit.steal)
            .then(|| format!("the hypervisor took {:.0} % of the cores", percent(self.steal)))
    }
}

/// Watches the cores from its creation to [`LoadWatch::finish`].
#[derive(Debug)]
pub struct LoadWatch {
    cores: Vec<usize>,
    start: Instant,
    accounts: Accounts,
    own: Usage,
}

impl LoadWatch {
    /// Starts watching.
    pub fn start(cores: Cores) -> Result<LoadWatch, HarnessError> {
        let cores = match cores.pair() {
            Some(pair) => pair.to_vec(),
            None => allowed()?,
        };
        let (start, accounts, own) = (Instant::now(), accounts(&cores)?, Usage::with_children()?);
        Ok(LoadWatch { cores, start, accounts, own })
    }

    /// The load since the start.
    pub fn finish(self) -> Result<Load, HarnessError> {
        let seconds = self.start.elapsed().as_secs_f64() * self.cores.len() as f64;
        let now = accounts(&self.cores)?;
        let own = (Usage::with_children()? - self.own).cpu_us as f64 / 1e6;
        let hertz = rustix::param::clock_ticks_per_second() as f64;
        Ok(share(seconds, own, hertz, self.accounts, now))
    }
}

fn share(seconds: f64, own: f64, hertz: f64, from: Accounts, to: Accounts) -> Load {
    let busy = to.busy.saturating_sub(from.busy) as f64 / hertz;
    let steal = to.steal.saturating_sub(from.steal) as f64 / hertz;
    Load { others: ((busy - own) / seconds).max(0.0), steal: steal / seconds }
}

/// Ticks since boot, over the watched cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Accounts {
    busy: u64,
    steal: u64,
}

fn accounts(cores: &[usize]) -> Result<Accounts, HarnessError> {
    let text = std::fs::read_to_string("/proc/stat")
        .map_err(|error| HarnessError::os("reading the cores' accounts", error))?;
    Ok(parse(&text, cores))
}

/// `cpu0 user nice system idle iowait irq softirq steal ...`
fn parse(text: &str, cores: &[usize]) -> Accounts {
    let mut sum = Accounts::default();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let core = fields.next().and_then(|name| name.strip_prefix("cpu")?.parse::<usize>().ok());
        if core.is_some_and(|core| cores.contains(&core)) {
            let ticks: Vec<u64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
            let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
            sum.busy += at(0) + at(1) + at(2) + at(5) + at(6);
            sum.steal += at(7);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  900 0 0 0 0 0 0 0 0 0\n\
                        cpu0 100 10 50 5000 7 3 2 20 0 0\n\
                        cpu1 200 0 0 0 0 0 0 5 0 0\n\
                        cpu12 800 0 0 0 0 0 0 0 0 0\n\
                        intr 5\n";

    #[test]
    fn accounts_are_of_the_watched_cores_only() {
        assert_eq!(parse(STAT, &[0]), Accounts { busy: 165, steal: 20 });
        assert_eq!(parse(STAT, &[0, 1]), Accounts { busy: 365, steal: 25 });
    }

    #[test]
    fn own_time_is_not_outside_load() {
        let (from, to) = (Accounts { busy: 100, steal: 10 }, Accounts { busy: 350, steal: 20 });
        assert_eq!(share(4.0, 2.0, 100.0, from, to), Load { others: 0.125, steal: 0.025 });
        assert_eq!(share(4.0, 3.0, 100.0, from, to), Load { others: 0.0, steal: 0.025 });
    }

    #[test]
    fn a_limit_names_what_exceeds_it() {
        let limit = LoadLimit::default();
        assert_eq!(Load { others: 0.05, steal: 0.01 }.exceeds(&limit), None);
        assert!(Load { others: 0.5, steal: 0.0 }.exceeds(&limit).unwrap().contains("others used 50 %"));
        assert!(Load { others: 0.0, steal: 0.5 }.exceeds(&limit).unwrap().contains("took 50 %"));
    }
}
