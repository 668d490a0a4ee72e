//! `slipring ls`: the rings in /dev/shm, one a line. What cannot be used is listed with the reason, never skipped; only of
//! files that may not be read nobody can tell whether they are rings.

use std::ffi::OsString;

use slipring::Listed;

use crate::fail::Fail;
use crate::place::canonical;
use crate::render::{owner, receiver_pids, receivers, sender_pids, senders, status, used_slots};
use crate::table::{Side, clean, table};
use crate::time::utc;
use crate::{json, mode, out, size};

/// Shown below the options.
const EXAMPLES: &str = "\
Status is `in use` (a live process has the ring open), `idle` (nobody has, it was made to stay), `stale` \
(nobody has, and it should have vanished: its users were killed; `slipring rm --stale` removes it), or why \
it cannot be read.

PRODUCER and CONSUMER show a process id, `3 live` for several, `died ID`, `closed` or `-` for nobody yet. SLOTS \
shows how many slots of an mpmc ring are in use, of how many. Rings in files of your own choice (--file) are not \
listed, nor are other users' rings that you may not read.

Exit codes: 0 listed, 1 no ring of the name given with -i, 2 error.

Examples:
  slipring ls
  slipring ls -p                             # which processes; (2) behind one: it takes part twice
  slipring ls -i /prices
  slipring ls -n -b -o NAME,USED             # for scripts; or --json
  slipring ls --json | jq -r '.[] | select(.status == \"stale\").name'";

/// `ls` and its options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Show only this ring
    #[arg(short = 'i', long = "name", value_name = "NAME")]
    only: Option<OsString>,

    /// Show owner and creator
    #[arg(short = 'c', long, group = "view")]
    creator: bool,

    /// Show times
    #[arg(short = 't', long, group = "view")]
    time: bool,

    /// Show process ids
    #[arg(short = 'p', long, group = "view")]
    pid: bool,

    /// Columns to show, with commas between: NAME, KIND, PERMS, MODE, OWNER, UID, SIZE, USED, SLOTS, LONGEST, SEGMENT,
    /// PRODUCER, CONSUMER, SENDERS, RECEIVERS, PLACES, STATUS, CREATOR, CREATED, PRODUCER-SINCE, CONSUMER-SINCE, ALIGN,
    /// WAKEUP, PERSISTENT
    #[arg(short = 'o', long, value_name = "COLS", group = "view", value_parser = columns)]
    output: Option<Columns>,

    /// Leave the headings out
    #[arg(short = 'n', long)]
    noheadings: bool,

    /// Print sizes in bytes
    #[arg(short = 'b', long)]
    bytes: bool,

    /// Print an array of JSON objects
    #[arg(long)]
    json: bool,
}

/// What a column shows of a ring that can be read.
type Cell = fn(&slipring::RingInfo, &Args) -> String;

/// Every column: its heading, its side, its content. NAME and STATUS are known even if the ring cannot be read.
const COLUMNS: [(&str, Side, Cell); 24] = [
    ("NAME", Side::Left, |ring, _| ring.name.clone()),
    ("KIND", Side::Left, |ring, _| ring.kind.to_string()),
    ("PERMS", Side::Left, |ring, _| mode::letters(ring.mode)),
    ("MODE", Side::Left, |ring, _| format!("{:04o}", ring.mode & 0o7777)),
    ("OWNER", Side::Left, |ring, _| owner(ring.uid)),
    ("UID", Side::Right, |ring, _| ring.uid.to_string()),
    ("SIZE", Side::Right, |ring, args| bytes(ring.capacity, args)),
    ("USED", Side::Right, |ring, args| bytes(ring.used_bytes, args)),
    ("SLOTS", Side::Right, |ring, _| slots(ring)),
    ("LONGEST", Side::Right, |ring, args| bytes(ring.max_len, args)),
    ("SEGMENT", Side::Right, |ring, args| bytes(ring.segment_bytes, args)),
    ("PRODUCER", Side::Left, |ring, args| if args.pid { sender_pids(ring) } else { senders(ring) }),
    ("CONSUMER", Side::Left, |ring, args| if args.pid { receiver_pids(ring) } else { receivers(ring) }),
    ("SENDERS", Side::Left, |ring, _| sender_pids(ring)),
    ("RECEIVERS", Side::Left, |ring, _| receiver_pids(ring)),
    ("PLACES", Side::Right, |ring, _| ring.max_participants.to_string()),
    ("STATUS", Side::Left, |_, _| String::new()),
    ("CREATOR", Side::Right, |ring, _| ring.creator_pid.to_string()),
    ("CREATED", Side::Left, |ring, _| utc(ring.created)),
    ("PRODUCER-SINCE", Side::Left, |ring, _| ring.producer.since.map_or("-".into(), utc)),
    ("CONSUMER-SINCE", Side::Left, |ring, _| ring.consumer.since.map_or("-".into(), utc)),
    ("ALIGN", Side::Left, |ring, _| crate::ring_args::align_name(ring.align).to_owned()),
    ("WAKEUP", Side::Left, |ring, _| crate::ring_args::wakeup_name(ring.wakeup).to_owned()),
    ("PERSISTENT", Side::Left, |ring, _| if ring.persistent { "yes" } else { "no" }.to_owned()),
];

/// Chosen columns, as places in `COLUMNS`.
#[derive(Clone, Debug)]
struct Columns(Vec<usize>);

/// Reads `NAME,SIZE`; upper or lower case.
fn columns(text: &str) -> Result<Columns, String> {
    let find = |name: &str| {
        let name = name.trim().to_ascii_uppercase();
        COLUMNS.iter().position(|column| column.0 == name).ok_or_else(|| {
            let known: Vec<&str> = COLUMNS.iter().map(|column| column.0).collect();
            format!("unknown column {name:?}; the columns are {}", known.join(", "))
        })
    };
    text.split(',').map(find).collect::<Result<_, _>>().map(Columns)
}

impl Args {
    /// The columns to show.
    fn chosen(&self) -> Vec<usize> {
        let names = match self {
            Args { output: Some(columns), .. } => return columns.0.clone(),
            Args { creator: true, .. } => "NAME,MODE,UID,OWNER,CREATOR,CREATED",
            Args { time: true, .. } => "NAME,OWNER,CREATED,PRODUCER-SINCE,CONSUMER-SINCE",
            Args { pid: true, .. } => "NAME,OWNER,CREATOR,PRODUCER,CONSUMER",
            _ => "NAME,KIND,PERMS,OWNER,SIZE,USED,SLOTS,PRODUCER,CONSUMER,STATUS",
        };
        columns(names).map(|columns| columns.0).unwrap_or_default()
    }
}

/// Used and all slots, if the ring has any.
fn slots(ring: &slipring::RingInfo) -> String {
    match (ring.slots, used_slots(ring)) {
        (Some(slots), Some(used)) => format!("{used}/{slots}"),
        _ => "-".into(),
    }
}

/// A size as asked for.
fn bytes(bytes: u64, args: &Args) -> String {
    if args.bytes { bytes.to_string() } else { size::short(bytes) }
}

/// Lists.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let mut rings = slipring::list()?;
    rings.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(only) = &args.only {
        let name = canonical(&only.to_string_lossy());
        rings.retain(|listed| listed.name == name);
        if rings.is_empty() {
            return Err(Fail::No(format!("{}: no such ring; `slipring ls` lists all", clean(&name))));
        }
    }
    if args.json {
        return out::json(&rings.iter().map(json::Ring::listed).collect::<Vec<_>>());
    }
    let chosen = args.chosen();
    let headings: Vec<(&str, Side)> = chosen.iter().map(|&i| (COLUMNS[i].0, COLUMNS[i].1)).collect();
    let rows: Vec<Vec<String>> =
        rings.iter().map(|listed| chosen.iter().map(|&i| cell(listed, i, args)).collect()).collect();
    out::print(&table(&headings, &rows, !args.noheadings))
}

/// One cell of the table.
fn cell(listed: &Listed, column: usize, args: &Args) -> String {
    let (heading, _, show) = COLUMNS[column];
    match (heading, &listed.info) {
        ("NAME", _) => clean(&listed.name),
        ("STATUS", Ok(_)) => status(listed).words().to_owned(),
        ("STATUS", Err(error)) => clean(&reason(&listed.name, error)),
        (_, Ok(info)) => clean(&show(info, args)),
        (_, Err(_)) => "?".into(),
    }
}

/// Why a ring cannot be read, without its name, which stands in front already.
fn reason(name: &str, error: &slipring::Error) -> String {
    let text = error.to_string();
    text.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_column() {
        let help =
            crate::cli::command().find_subcommand_mut("ls").expect("ls").render_long_help().to_string();
        for (name, _, _) in COLUMNS {
            assert!(help.contains(name), "{name}");
        }
    }

    #[test]
    fn columns_are_found_in_any_case_and_unknown_ones_named() {
        assert_eq!(columns("name, Kind").expect("known").0, [0, 1]);
        let error = columns("NAME,SHOE").expect_err("unknown");
        assert!(error.starts_with("unknown column \"SHOE\"; the columns are NAME, KIND,"), "{error}");
    }
}
