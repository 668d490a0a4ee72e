//! What `--json` prints about a ring. Names are snake_case and stable: fields are added, never renamed. Described for
//! users in `README.md` of this package; a test there holds the two together.

use serde::Serialize;
use slipring::{Listed, Participant, Party, Peer, RingInfo};

use crate::render::{self, Status, role_name};
use crate::ring_args::{align_name, fences_name, wakeup_name};
use crate::time::utc;

/// One ring. Fields that cannot be known, because the segment cannot be read, are null.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Ring {
    name: String,
    status: &'static str,
    error: Option<String>,
    kind: Option<String>,
    capacity_bytes: Option<u64>,
    used_bytes: Option<u64>,
    max_record_bytes: Option<u64>,
    segment_bytes: Option<u64>,
    align: Option<&'static str>,
    wakeup: Option<&'static str>,
    fences: Option<&'static str>,
    persistent: Option<bool>,
    mode: Option<String>,
    uid: Option<u32>,
    owner: Option<String>,
    creator_pid: Option<u32>,
    created: Option<String>,
    producer: Option<Role>,
    consumer: Option<Role>,
    slots: Option<u64>,
    used_slots: Option<u64>,
    max_participants: Option<u32>,
    participants: Option<Vec<Member>>,
}

/// Who has, or had, one role of a ring.
#[derive(Debug, Serialize)]
pub(crate) struct Role {
    state: &'static str,
    pid: Option<u32>,
    since: Option<String>,
}

/// Who has, or had, one place of a ring.
#[derive(Debug, Serialize)]
pub(crate) struct Member {
    place: u32,
    role: &'static str,
    #[serde(flatten)]
    party: Role,
}

impl Ring {
    /// A ring that can be read.
    pub(crate) fn new(info: &RingInfo, status: Status) -> Ring {
        Ring {
            name: info.name.clone(),
            status: status.json(),
            error: None,
            kind: Some(info.kind.to_string()),
            capacity_bytes: Some(info.capacity),
            used_bytes: Some(info.used_bytes),
            max_record_bytes: Some(info.max_len),
            segment_bytes: Some(info.segment_bytes),
            align: Some(align_name(info.align)),
            wakeup: Some(wakeup_name(info.wakeup)),
            fences: Some(fences_name(info.fences)),
            persistent: Some(info.persistent),
            mode: Some(format!("{:04o}", info.mode & 0o7777)),
            uid: Some(info.uid),
            owner: Some(render::owner(info.uid)),
            creator_pid: Some(info.creator_pid),
            created: Some(utc(info.created)),
            producer: Some(Role::new(&info.producer)),
            consumer: Some(Role::new(&info.consumer)),
            slots: info.slots,
            used_slots: render::used_slots(info),
            max_participants: Some(info.max_participants),
            participants: Some(info.participants.iter().map(Member::new).collect()),
        }
    }

    /// One line of a list, readable or not.
    pub(crate) fn listed(listed: &Listed) -> Ring {
        match &listed.info {
            Ok(info) => Ring { name: listed.name.clone(), ..Ring::new(info, render::status(listed)) },
            Err(error) => Ring {
                name: listed.name.clone(),
                status: Status::Unreadable.json(),
                error: Some(error.to_string()),
                ..Ring::default()
            },
        }
    }
}

impl Member {
    fn new(participant: &Participant) -> Member {
        Member {
            place: participant.place,
            role: role_name(participant.role),
            party: Role::new(&participant.party),
        }
    }
}

impl Role {
    fn new(party: &Party) -> Role {
        let (state, pid) = match party.peer {
            Peer::Absent => ("absent", None),
            Peer::Attached { pid } => ("attached", Some(pid)),
            Peer::Closed => ("closed", None),
            Peer::Died { pid } => ("died", Some(pid)),
            _ => ("unknown", None),
        };
        Role { state, pid, since: party.since.map(utc) }
    }
}
