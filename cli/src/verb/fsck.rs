//! `slipring fsck`: examines a ring without touching it, and says who holds what, what is broken, what the dead hold.

use serde::Serialize;
use slipring::inspect::{Contents, Inspection, Member, Slots, Standing};

use crate::fail::Fail;
use crate::out;
use crate::place::Place;
use crate::render::role_name;
use crate::table::{Side, clean, table};
use crate::time::utc;

/// Shown below the options.
const EXAMPLES: &str = "\
The ring is only read, also while others use it: what looks wrong is looked at twice, since the ring moves. STATE of a \
participant is `live`, `stopped` (live, but the kernel says that it is stopped: for your information, others do not \
wait for it), `dead` (killed, and what it held is not given back yet), `swept` (killed, all given back), `unacked` \
(gone, and records that it had not acknowledged wait for a `recv --ack`), `left`, or `locked` (the place is locked, \
but nobody is attached: somebody comes or leaves just now).

What the dead hold is no damage: whoever needs it sweeps it up, or the next who joins. A broken rule is: remove the \
ring and make it again, and please report it.

Exit codes: 0 sound, 1 a rule is broken or the dead hold something, 2 error (no such ring, no ring at all).

Examples:
  slipring fsck /prices
  slipring fsck /jobs --json | jq '.held[] | select(.state == \"stopped\")'
  slipring fsck --file ./spool.ring";

/// `fsck` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Examines, prints, judges.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let inspection = args.place.inspect().map_err(|fail| match fail {
        // Whether what is not there is sound has no answer.
        Fail::No(text) => Fail::Error(text),
        fail => fail,
    })?;
    let report = Report::new(&inspection);
    match args.json {
        true => out::json(&report)?,
        false => out::print(&report.text(&inspection))?,
    }
    let place = &args.place;
    match (inspection.is_sound(), report.sweep.len()) {
        (false, _) => Err(Fail::No(format!(
            "{place}: is damaged; stop its users, then `slipring rm --force {}` and make it again",
            place.typed()
        ))),
        (true, 0) => Ok(()),
        (true, _) => Err(Fail::No(format!(
            "{place}: is sound, but the dead hold something; the next who joins or needs it gives it back"
        ))),
    }
}

/// What was found, as `--json` prints it. Names are stable, as in `json`.
#[derive(Debug, Serialize)]
struct Report {
    name: String,
    kind: Option<&'static str>,
    sound: bool,
    in_use: bool,
    head: Option<u64>,
    tail: Option<u64>,
    messages: Option<u64>,
    slots: Option<Counts>,
    held: Vec<Hold>,
    participants: Vec<Who>,
    sweep: Vec<Sweep>,
    faults: Vec<Fault>,
    more_faults: u64,
}

/// The slots of an MPMC ring by state.
#[derive(Debug, Serialize)]
struct Counts {
    total: u64,
    free: u64,
    full: u64,
    held: u64,
}

/// A slot in somebody's hands.
#[derive(Debug, Serialize)]
struct Hold {
    slot: u64,
    doing: String,
    position: u64,
    lap: u64,
    length: Option<u64>,
    #[serde(flatten)]
    who: Who,
}

/// A participant.
#[derive(Clone, Debug, Serialize)]
struct Who {
    place: u32,
    role: Option<&'static str>,
    pid: Option<u32>,
    state: &'static str,
    since: Option<String>,
    holds: u64,
}

/// What a sweep would do.
#[derive(Debug, Serialize)]
struct Sweep {
    place: u32,
    pid: u32,
    frees: u64,
    keeps: u64,
}

/// One broken rule.
#[derive(Debug, Serialize)]
struct Fault {
    at: String,
    field: &'static str,
    found: u64,
    text: String,
}

impl Report {
    fn new(inspection: &Inspection) -> Report {
        let participants: Vec<Who> = inspection.members.iter().map(Who::new).collect();
        let (ends, messages, slots) = match &inspection.contents {
            Contents::Records(records) => (Some((records.head, records.tail)), Some(records.messages), None),
            Contents::Slots(slots) => (Some((slots.head, slots.tail)), Some(slots.full), Some(slots)),
            _ => (None, None, None),
        };
        let sweep = inspection.unswept().map(|member| Sweep {
            place: member.place,
            pid: member.pid,
            frees: member.frees,
            keeps: member.keeps,
        });
        let faults = inspection.faults.iter().map(|fault| Fault {
            at: fault.at.to_string(),
            field: fault.field,
            found: fault.found,
            text: fault.text.clone(),
        });
        Report {
            name: inspection.name.clone(),
            kind: inspection.info.as_ref().map(|info| info.kind),
            sound: inspection.is_sound(),
            in_use: inspection.in_use,
            head: ends.map(|ends| ends.0),
            tail: ends.map(|ends| ends.1),
            messages,
            slots: slots.map(|slots| Counts {
                total: slots.count,
                free: slots.free,
                full: slots.full,
                held: slots.held,
            }),
            held: slots.map(|slots| holds(slots, &participants)).unwrap_or_default(),
            participants,
            sweep: sweep.collect(),
            faults: faults.collect(),
            more_faults: inspection.more_faults,
        }
    }

    /// The report for people: the verdict first, then what is wrong, then who is there and holds what.
    fn text(&self, inspection: &Inspection) -> String {
        let mut text = format!("{}: {}\n", clean(&self.name), self.verdict());
        text.push_str(&contents(inspection));
        for fault in &self.faults {
            text.push_str(&format!("fault: {}: {}\n", fault.at, fault.text));
        }
        if self.more_faults > 0 {
            text.push_str(&format!("fault: and {} more\n", self.more_faults));
        }
        for sweep in &self.sweep {
            text.push_str(&format!("dead: {}\n", sweep.text()));
        }
        if !self.participants.is_empty() {
            let heads = [
                ("PLACE", Side::Right),
                ("ROLE", Side::Left),
                ("PID", Side::Right),
                ("STATE", Side::Left),
                ("HOLDS", Side::Right),
                ("SINCE", Side::Left),
            ];
            let rows: Vec<_> = self.participants.iter().map(Who::row).collect();
            text.push_str(&format!("\n{}", table(&heads, &rows, true)));
        }
        if !self.held.is_empty() {
            let heads = [
                ("SLOT", Side::Right),
                ("DOING", Side::Left),
                ("POSITION", Side::Right),
                ("LENGTH", Side::Right),
                ("PLACE", Side::Right),
                ("PID", Side::Right),
                ("STATE", Side::Left),
            ];
            let rows: Vec<_> = self.held.iter().map(Hold::row).collect();
            text.push_str(&format!("\n{}", table(&heads, &rows, true)));
        }
        text
    }

    fn verdict(&self) -> String {
        let count = |n: u64, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let faults = self.faults.len() as u64 + self.more_faults;
        match (faults, self.sweep.len() as u64) {
            (0, 0) => "sound".into(),
            (0, dead) => format!("sound, {} to be swept", count(dead, "dead participant")),
            (faults, _) => format!("damaged, {} broken", count(faults, "rule")),
        }
    }
}

/// What is in the ring, in a line.
fn contents(inspection: &Inspection) -> String {
    match &inspection.contents {
        Contents::Records(records) => format!(
            "spsc: {} messages in {} bytes, head {}, tail {}\n",
            records.messages,
            records.tail.wrapping_sub(records.head),
            records.head,
            records.tail
        ),
        Contents::Slots(slots) => format!(
            "mpmc: {} slots, {} free, {} full, {} held, head {}, tail {}\n",
            slots.count, slots.free, slots.full, slots.held, slots.head, slots.tail
        ),
        _ => "contents: not looked at, since the header cannot be believed\n".into(),
    }
}

/// Each held slot with its holder.
fn holds(slots: &Slots, participants: &[Who]) -> Vec<Hold> {
    let who = |place: u32| {
        let known = participants.iter().find(|who| who.place == place).cloned();
        known.unwrap_or(Who { place, role: None, pid: None, state: "nobody", since: None, holds: 0 })
    };
    let hold = |slot: &slipring::inspect::Slot| Hold {
        slot: slot.index,
        doing: slot.state.to_string(),
        position: slot.position,
        lap: slot.lap,
        length: slot.len,
        who: who(slot.owner),
    };
    slots.holds.iter().map(hold).collect()
}

impl Sweep {
    /// What happened and what will.
    fn text(&self) -> String {
        let Sweep { place, pid, frees, keeps } = self;
        let slots = if *frees == 1 { "slot" } else { "slots" };
        let freed = match keeps {
            0 => format!("its place and {frees} {slots}"),
            1 => format!("{frees} {slots}, and 1 unacknowledged record goes to the next `recv --ack`"),
            _ => format!("{frees} {slots}, and {keeps} unacknowledged records go to the next `recv --ack`"),
        };
        format!("place {place} (pid {pid}) died; a sweep frees {freed}")
    }
}

impl Who {
    fn new(member: &Member) -> Who {
        let state = match member.standing {
            Standing::Attached if is_stopped(member.pid) => "stopped",
            Standing::Attached => "live",
            Standing::Left => "left",
            Standing::Died => "dead",
            Standing::Swept => "swept",
            Standing::Orphaned => "unacked",
            Standing::Passing => "locked",
            _ => "unknown",
        };
        Who {
            place: member.place,
            role: member.role.map(role_name),
            pid: (member.pid != 0).then_some(member.pid),
            state,
            since: member.since.map(utc),
            holds: member.frees + member.keeps,
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.place.to_string(),
            self.role.unwrap_or("-").to_owned(),
            or_none(self.pid),
            self.state.to_owned(),
            self.holds.to_string(),
            self.since.clone().unwrap_or("-".into()),
        ]
    }
}

impl Hold {
    fn row(&self) -> Vec<String> {
        vec![
            self.slot.to_string(),
            self.doing.clone(),
            self.position.to_string(),
            or_none(self.length),
            self.who.place.to_string(),
            or_none(self.who.pid),
            self.who.state.to_owned(),
        ]
    }
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or("-".into(), |value| value.to_string())
}

/// Whether the kernel says that this process is stopped, by a signal or a tracer (proc(5)). A process id of another pid
/// namespace may be somebody else's here, so nothing is decided on this.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it may hold anything, brackets too.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    matches!(state, Some('T' | 't'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_told_in_words() {
        let text = |frees, keeps| Sweep { place: 3, pid: 99, frees, keeps }.text();
        assert_eq!(text(0, 0), "place 3 (pid 99) died; a sweep frees its place and 0 slots");
        assert_eq!(
            text(1, 1),
            "place 3 (pid 99) died; a sweep frees 1 slot, and 1 unacknowledged record goes to the next \
             `recv --ack`"
        );
        assert!(text(2, 2).ends_with("2 unacknowledged records go to the next `recv --ack`"));
    }

    #[test]
    fn this_process_is_not_stopped() {
        assert!(!is_stopped(std::process::id()));
        assert!(!is_stopped(0));
    }
}
