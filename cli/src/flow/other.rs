//! The process at the ring's other end. A ring remembers who had a role last, also from before we came: an earlier
//! receiver that left says nothing about whether one will come now. So the past is noted first and told from news.

use std::time::SystemTime;

use slipring::{Party, Peer, Ring, RingInfo};

/// The role whose holder we watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one who sends.
    Producer,
    /// The one who receives.
    Consumer,
}

/// One role of a ring, and how it stood when we came.
pub(crate) struct Other<'a> {
    ring: &'a Ring,
    role: Role,
    before: (Peer, Option<SystemTime>),
}

impl Other<'_> {
    /// Notes how things stand. To be called before we take our own role.
    pub(crate) fn note(ring: &Ring, role: Role) -> Other<'_> {
        let info = ring.info();
        let party = party(&info, role);
        let before = (party.peer, party.since);
        Other { ring, role, before }
    }

    /// Whether somebody has, or had, the role since we came.
    pub(crate) fn has_come(&self) -> bool {
        if matches!(self.before.0, Peer::Attached { .. }) {
            return true;
        }
        let info = self.ring.info();
        let party = party(&info, self.role);
        (party.peer, party.since) != self.before
    }
}

/// One party of a ring.
fn party(info: &RingInfo, role: Role) -> &Party {
    match role {
        Role::Producer => &info.producer,
        Role::Consumer => &info.consumer,
    }
}
