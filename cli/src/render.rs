//! What people read about a ring: its status, its parties, its owner, in words that fit a column.

use nix::unistd::{Uid, User};
use slipring::{Listed, Participant, Party, Peer, RingInfo, Role};

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

/// One side of a ring in one cell. Of many, the process if it is one, `3 live` if there are more, else the last that was.
pub(crate) fn senders(info: &RingInfo) -> String {
    brief(side(info, [Role::Producer, Role::Sender]), &info.producer)
}

/// The same of the other side.
pub(crate) fn receivers(info: &RingInfo) -> String {
    brief(side(info, [Role::Consumer, Role::Receiver]), &info.consumer)
}

/// Every process of a side, as `12,14(2),died 13`: a number in brackets is how often it takes part.
pub(crate) fn sender_pids(info: &RingInfo) -> String {
    pids(side(info, [Role::Producer, Role::Sender]), &info.producer)
}

/// The same of the other side.
pub(crate) fn receiver_pids(info: &RingInfo) -> String {
    pids(side(info, [Role::Consumer, Role::Receiver]), &info.consumer)
}

/// How many slots of an MPMC ring are not free.
pub(crate) fn used_slots(info: &RingInfo) -> Option<u64> {
    let slots = info.slots?;
    info.used_bytes.checked_div(info.capacity / slots.max(1))
}

/// `sender`, `receiver` and so on.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Producer => "producer",
        Role::Consumer => "consumer",
        Role::Sender => "sender",
        Role::Receiver => "receiver",
        _ => "unknown",
    }
}

/// Those of a ring with one of two roles.
fn side(info: &RingInfo, roles: [Role; 2]) -> Vec<&Participant> {
    info.participants.iter().filter(|participant| roles.contains(&participant.role)).collect()
}

/// The live ones among them, by process.
pub(crate) fn live(participants: &[&Participant]) -> Vec<(u32, usize)> {
    counted(participants, |peer| if let Peer::Attached { pid } = peer { Some(*pid) } else { None })
}

/// The processes that `of` picks, each with how often.
fn counted(participants: &[&Participant], of: impl Fn(&Peer) -> Option<u32>) -> Vec<(u32, usize)> {
    let mut pids: Vec<u32> = participants.iter().filter_map(|p| of(&p.party.peer)).collect();
    pids.sort_unstable();
    pids.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect()
}

fn brief(those: Vec<&Participant>, last: &Party) -> String {
    match &live(&those)[..] {
        [] => party(last),
        [(pid, 1)] => pid.to_string(),
        more => format!("{} live", more.iter().map(|(_, count)| count).sum::<usize>()),
    }
}

fn pids(those: Vec<&Participant>, last: &Party) -> String {
    let times = |(pid, count): (u32, usize)| match count {
        1 => pid.to_string(),
        _ => format!("{pid}({count})"),
    };
    let mut words: Vec<String> = live(&those).into_iter().map(times).collect();
    let died = counted(&those, |peer| if let Peer::Died { pid } = peer { Some(*pid) } else { None });
    words.extend(died.into_iter().map(|died| format!("died {}", times(died))));
    if words.is_empty() { party(last) } else { words.join(",") }
}

/// A System V key as ipcs(1) shows it; `-` where there is none.
pub(crate) fn key(key: Option<i32>) -> String {
    key.map_or_else(|| "-".into(), |key| format!("{:#010x}", key.cast_unsigned()))
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
