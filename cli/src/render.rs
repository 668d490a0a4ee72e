//! What people read about a ring: its status, its parties, its owner, in words that fit a column.

use nix::unistd::{Uid, User};
use slipring::{Listed, Party, Peer};

/// Whether a ring is needed by anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// A live process takes part.
    InUse,
    /// Nobody takes part, and it was made to stay.
    Idle,
    /// Nobody takes part, and it should have vanished: its last users were killed. `rm --stale` removes it.
    Stale,
    /// It cannot be read.
    Unreadable,
}

impl Status {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Status::InUse => "in use",
            Status::Idle => "idle",
            Status::Stale => "stale",
            Status::Unreadable => "unreadable",
        }
    }

    /// For programs.
    pub(crate) fn json(self) -> &'static str {
        match self {
            Status::InUse => "in_use",
            other => other.words(),
        }
    }

    /// From the two facts that decide it.
    pub(crate) fn new(in_use: bool, persistent: bool) -> Status {
        match (in_use, persistent) {
            (true, _) => Status::InUse,
            (false, true) => Status::Idle,
            (false, false) => Status::Stale,
        }
    }
}

/// The status of one line of a list.
pub(crate) fn status(listed: &Listed) -> Status {
    match &listed.info {
        Ok(info) => Status::new(listed.in_use, info.persistent),
        Err(_) => Status::Unreadable,
    }
}

/// A party in one cell: `1234`, `died 1234`, `closed` or `-`.
pub(crate) fn party(party: &Party) -> String {
    match party.peer {
        Peer::Absent => "-".into(),
        Peer::Attached { pid } => pid.to_string(),
        Peer::Closed => "closed".into(),
        Peer::Died { pid } => format!("died {pid}"),
        _ => "unknown".into(),
    }
}

/// The user's name, or the number if it has none.
pub(crate) fn owner(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_deserted_ring_that_was_to_vanish_is_stale() {
        assert_eq!(Status::new(true, true), Status::InUse);
        assert_eq!(Status::new(true, false), Status::InUse);
        assert_eq!(Status::new(false, true), Status::Idle);
        assert_eq!(Status::new(false, false), Status::Stale);
        assert_eq!(Status::InUse.json(), "in_use");
    }

    #[test]
    fn owners_without_a_name_are_numbers() {
        assert_eq!(owner(0), "root");
        assert_eq!(owner(3_999_999_999), "3999999999");
    }
}
