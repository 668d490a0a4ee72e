//! The processes at the ring's other end. A ring remembers who had a place, also from before we came: an earlier
//! receiver that left says nothing about whether one will come now. So the past is noted first and told from news.

use std::time::SystemTime;

use slipring::{Participant, Peer, Ring, RingInfo, Role};

/// The side whose participants we watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who sends.
    Senders,
    /// Who receives.
    Receivers,
}

/// One side of a ring, and how it stood when we came.
pub(crate) struct Other<'a> {
    ring: &'a Ring,
    side: Side,
    before: Vec<Seen>,
    /// Something was in the ring.
    left_over: bool,
}

/// A participant as it once was: its place, its state, when it came.
type Seen = (u32, Peer, Option<SystemTime>);

impl Other<'_> {
    /// Notes how things stand. To be called before we take our own place.
    pub(crate) fn note(ring: &Ring, side: Side) -> Other<'_> {
        let info = ring.info();
        Other { ring, side, before: side.of(&info), left_over: info.used_bytes > 0 }
    }

    /// Whether somebody has, or had, a place on that side since we came.
    pub(crate) fn has_come(&self) -> bool {
        self.before.iter().any(|seen| is_attached(&seen.1)) || !self.news().is_empty()
    }

    /// Whether there was something in the ring when we came, so that somebody has been there to send it.
    pub(crate) fn had_left_something(&self) -> bool {
        self.left_over
    }

    /// Whether somebody is there now.
    pub(crate) fn is_there(&self) -> bool {
        self.side.of(&self.ring.info()).iter().any(|seen| is_attached(&seen.1))
    }

    /// The one that died since we came, the latest of several.
    pub(crate) fn died(&self) -> Option<u32> {
        let died = self.news().into_iter().filter_map(|(_, peer, since)| match peer {
            Peer::Died { pid } => Some((since, pid)),
            _ => None,
        });
        died.max().map(|(_, pid)| pid)
    }

    /// Those who have come or changed since we came.
    fn news(&self) -> Vec<Seen> {
        let mut now = self.side.of(&self.ring.info());
        now.retain(|seen| !self.before.contains(seen));
        now
    }
}

impl Side {
    /// Its participants, gone ones too.
    fn of(self, info: &RingInfo) -> Vec<Seen> {
        let belongs = |participant: &&Participant| match participant.role {
            Role::Producer | Role::Sender => self == Side::Senders,
            _ => self == Side::Receivers,
        };
        let those = info.participants.iter().filter(belongs);
        those
            .map(|participant| (participant.place, participant.party.peer, participant.party.since))
            .collect()
    }
}

/// Whether somebody has the place.
fn is_attached(peer: &Peer) -> bool {
    matches!(peer, Peer::Attached { .. })
}
