//! Names of rings that are measured: unique, and gone afterwards.
#![forbid(unsafe_code)]

use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::atomics::next_number;

/// Every name begins so.
const PREFIX: &str = "/slipring-harness-";

/// A ring's name. The name vanishes with the ring's last user; the process that made it up also removes it, for the case
/// that all users were killed.
#[derive(Debug)]
pub(super) struct RingName {
    name: String,
    owner: u32,
}

impl RingName {
    /// One that no ring has.
    pub(super) fn new() -> RingName {
        let owner = process::id();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // The time keeps it apart from what an earlier process with this pid may have left.
        let name = format!("{PREFIX}{owner}-{:x}-{}", since.as_nanos(), next_number());
        RingName { name, owner }
    }

    /// It.
    pub(super) fn as_str(&self) -> &str {
        &self.name
    }
}

impl Drop for RingName {
    fn drop(&mut self) {
        // The forked copies leave the name to its users.
        if process::id() == self.owner {
            // Usually it has gone already with its last user.
            let _ = slipring::unlink_forced(&self.name);
        }
    }
}

/// Removes what harnesses left that were killed with their children. Rings in use are not touched.
pub fn remove_stale() {
    for ring in slipring::list().into_iter().flatten() {
        if ring.name.starts_with(PREFIX) && !ring.in_use {
            // A refusal means that somebody uses it after all.
            let _ = slipring::unlink(&ring.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipring::{Options, Ring};

    #[test]
    fn names_are_unique_and_tell_whose_they_are() {
        let [one, two] = [(); 2].map(|()| RingName::new());
        assert_ne!(one.as_str(), two.as_str());
        assert!(one.as_str().contains("slipring") && one.as_str().contains(&process::id().to_string()));
    }

    #[test]
    fn a_dropped_name_is_gone() {
        let name = RingName::new();
        let text = name.as_str().to_string();
        let ring = Ring::create(&text, &Options::new()).unwrap();
        assert!(slipring::stat(&text).is_ok());
        drop(name);
        assert!(matches!(slipring::stat(&text), Err(slipring::Error::NotFound { .. })));
        drop(ring);
    }

    #[test]
    fn only_rings_without_users_are_stale() {
        let used = RingName::new();
        let ring = Ring::create(used.as_str(), &Options::new()).unwrap();
        let left = format!("{PREFIX}{}-left", process::id());
        drop(Ring::create(&left, &Options::new().persistent(true)).unwrap());
        remove_stale();
        assert!(slipring::stat(used.as_str()).is_ok());
        assert!(matches!(slipring::stat(&left), Err(slipring::Error::NotFound { .. })));
        drop(ring);
    }
}
