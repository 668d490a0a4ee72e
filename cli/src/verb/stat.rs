//! `slipring stat`: everything about one ring, without taking a role in it.

use slipring::{Participant, Party, Peer, RingInfo};

use crate::fail::Fail;
use crate::place::Place;
use crate::render::{Status, owner, receiver_pids, role_name, sender_pids, status, used_slots};
use crate::ring_args::{align_name, fences_name, wakeup_name};
use crate::table::{Side, clean, pairs, table};
use crate::time::utc;
use crate::{json, mode, out, size};

/// Shown below the options.
const EXAMPLES: &str = "\
Status is `in use` (a live process has the ring open), `idle` (nobody has, it was made to stay) or `stale` \
(nobody has, and it should have vanished: `slipring rm --stale` removes it). What moves may be stale when \
it is printed. Of an mpmc ring everybody who has or had a place is listed; see also `slipring fsck`.

Exit codes: 0 shown, 1 no such ring, 2 error.

Examples:
  slipring stat /prices
  slipring stat /prices --json | jq .used_bytes
  slipring stat --file ./spool.ring";

/// `stat` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Opens the ring, looks, and prints.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let listed = args.place.stat()?;
    if args.json {
        return out::json(&json::Ring::listed(&listed));
    }
    let status = status(&listed);
    out::print(&text(&listed.info?, status))
}

/// The ring for people.
fn text(info: &RingInfo, status: Status) -> String {
    let bytes = |n: u64| format!("{n} bytes ({})", size::short(n));
    let percent = info.used_bytes.saturating_mul(100).checked_div(info.capacity).unwrap_or(0);
    let mut rows = vec![
        ("Name", clean(&info.name)),
        ("Status", status.words().to_owned()),
        ("Kind", info.kind.to_string()),
    ];
    if let (Some(slots), Some(used)) = (info.slots, used_slots(info)) {
        rows.push(("Slots", format!("{slots}, {used} in use, {percent}%")));
    }
    rows.push(("Capacity", bytes(info.capacity)));
    if info.slots.is_none() {
        rows.push(("Used", format!("{}, {percent}%", bytes(info.used_bytes))));
    }
    rows.push(("Segment", bytes(info.segment_bytes)));
    rows.push(("Longest", format!("{} a record", bytes(info.max_len))));
    if info.slots.is_none() {
        rows.push(("Align", align_name(info.align).to_owned()));
    }
    rows.extend([
        ("Wakeup", wakeup_name(info.wakeup).to_owned()),
        ("Fences", fences_name(info.fences).to_owned()),
        ("Persistent", if info.persistent { "yes" } else { "no" }.to_owned()),
        ("Mode", format!("{:04o} ({})", info.mode & 0o7777, mode::letters(info.mode))),
        ("Owner", format!("{} (uid {})", owner(info.uid), info.uid)),
        ("Created", format!("{} by pid {}", utc(info.created), info.creator_pid)),
    ]);
    if info.slots.is_none() {
        rows.extend([("Producer", party(&info.producer)), ("Consumer", party(&info.consumer))]);
        return pairs(&rows);
    }
    let attached = info.participants.iter().filter(|p| matches!(p.party.peer, Peer::Attached { .. })).count();
    rows.extend([
        ("Senders", sender_pids(info)),
        ("Receivers", receiver_pids(info)),
        ("Places", format!("{}, {attached} taken", info.max_participants)),
    ]);
    pairs(&rows) + &participants(info)
}

/// Who has or had a place, one a line.
fn participants(info: &RingInfo) -> String {
    if info.participants.is_empty() {
        return String::new();
    }
    let headings = [
        ("PLACE", Side::Right),
        ("ROLE", Side::Left),
        ("PID", Side::Right),
        ("STATE", Side::Left),
        ("SINCE", Side::Left),
    ];
    let row = |participant: &Participant| {
        let (pid, state) = match participant.party.peer {
            Peer::Attached { pid } => (pid.to_string(), "live"),
            Peer::Died { pid } => (pid.to_string(), "died"),
            _ => ("-".into(), "left"),
        };
        vec![
            participant.place.to_string(),
            role_name(participant.role).to_owned(),
            pid,
            state.to_owned(),
            participant.party.since.map_or("-".into(), utc),
        ]
    };
    let rows: Vec<_> = info.participants.iter().map(row).collect();
    format!("\n{}", table(&headings, &rows, true))
}

/// One role in a sentence.
fn party(party: &Party) -> String {
    let since = |word: &str| party.since.map(|t| format!("{word} {}", utc(t))).unwrap_or_default();
    match party.peer {
        Peer::Absent => "none yet".into(),
        Peer::Attached { pid } => format!("pid {pid}{}", since(", since")),
        Peer::Closed => format!("left cleanly{}", since("; had come")),
        Peer::Died { pid } => format!("died (pid {pid}){}", since("; had come")),
        _ => "unknown".into(),
    }
}
