//! Which two cores a measurement runs on, and pinning to them.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::error::{HarnessError, Side};

/// Where the two measuring processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// Each pinned to a core of its own: the starting process, the answering process.
    Pinned(usize, usize),
    /// Not pinned: only one core may be used, so spinning rows measure the scheduler.
    Unpinned,
}

impl Cores {
    /// Two of the allowed cores: of different physical cores if possible, and then of one package if possible.
    pub fn choose() -> Result<Cores, HarnessError> {
        let allowed = allowed()?;
        let Some(&first) = allowed.first() else { return Ok(Cores::Unpinned) };
        let distance = |core: usize| {
            let twin = topology(core, "core_id") == topology(first, "core_id");
            let same_package =
                topology(core, "physical_package_id") == topology(first, "physical_package_id");
            match (same_package, twin) {
                (true, false) => 0,
                (false, _) => 1,
                (true, true) => 2,
            }
        };
        // Of equals the last: it is the furthest from core 0's interrupts in a set of three or more.
        let second = allowed[1..].iter().copied().rev().min_by_key(|&core| distance(core));
        Ok(second.map_or(Cores::Unpinned, |second| Cores::Pinned(first, second)))
    }

    /// Exactly these two, which must differ and be allowed.
    pub fn exactly(first: usize, second: usize) -> Result<Cores, HarnessError> {
        let allowed = allowed()?;
        if first == second {
            return Err(HarnessError::BadOption {
                what: format!("core {first} twice; name two different cores"),
            });
        }
        match [first, second].into_iter().find(|core| !allowed.contains(core)) {
            Some(core) => Err(HarnessError::BadOption {
                what: format!("core {core} is not among the allowed ones, {allowed:?}"),
            }),
            None => Ok(Cores::Pinned(first, second)),
        }
    }

    /// The two cores, if pinned.
    pub fn pair(self) -> Option<[usize; 2]> {
        match self {
            Cores::Pinned(first, second) => Some([first, second]),
            Cores::Unpinned => None,
        }
    }

    /// Pins the calling thread to its side's core; of a crowd's members, every other one to the same core.
    pub(crate) fn pin(self, side: Side) -> Result<(), HarnessError> {
        let Some([left, right]) = self.pair() else { return Ok(()) };
        let core = match side {
            Side::Left => left,
            Side::Right => right,
            Side::Member(number) => [left, right][number % 2],
        };
        let mut set = CpuSet::new();
        set.set(core)
            .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
            .map_err(|errno| HarnessError::os(format!("pinning to core {core}"), errno))
    }
}

/// The cores this process may run on, ascending.
pub(crate) fn allowed() -> Result<Vec<usize>, HarnessError> {
    let set = sched_getaffinity(Pid::from_raw(0))
        .map_err(|errno| HarnessError::os("asking which cores are allowed", errno))?;
    Ok((0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect())
}

/// A number of the core's topology; none if the kernel does not tell.
fn topology(core: usize, file: &str) -> Option<i64> {
    let path = PathBuf::from(format!("/sys/devices/system/cpu/cpu{core}/topology/{file}"));
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_cores_differ_and_are_allowed() {
        let allowed = allowed().unwrap();
        match Cores::choose().unwrap() {
            Cores::Pinned(first, second) => {
                assert_ne!(first, second);
                assert!(allowed.contains(&first) && allowed.contains(&second));
            }
            Cores::Unpinned => assert_eq!(allowed.len(), 1),
        }
    }

    #[test]
    fn one_core_twice_is_refused() {
        let core = allowed().unwrap()[0];
        assert!(matches!(Cores::exactly(core, core), Err(HarnessError::BadOption { .. })));
    }
}
