//! What `compare` can measure: every mechanism once, with what it is and in which tables it stands. A new row is a new
//! line here.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use crate::error::HarnessError;
use crate::measure::PayloadSource;
use crate::mechanism::{
    Copies, EventFd, Fifo, Futex, Mechanism, Monitor, Mpmc, MpmcPark, MpmcSpin, Park, Pipe, PosixQueue,
    QueuedSignal, Slot, Spin, Spsc, SysvQueue, SysvRing, Tcp, Udp, UnixDatagram, UnixSeqpacket, UnixStream,
};
use crate::rounds::Cell;

/// What sort of thing a mechanism is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// slipring's rings.
    Slipring,
    /// Bytes in a row, copied by the kernel.
    Stream,
    /// Messages kept apart, copied by the kernel.
    Packet,
    /// Words of eight bytes, handed on by the kernel.
    Event,
    /// Shared memory, with the kernel or its C library to wait with.
    Memory,
    /// What no mechanism can go below.
    Floor,
}

impl Family {
    /// All of them, in the order they are shown in.
    pub const ALL: [Family; 6] =
        [Family::Slipring, Family::Stream, Family::Packet, Family::Event, Family::Memory, Family::Floor];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Family::Slipring => "slipring",
            Family::Stream => "byte streams",
            Family::Packet => "kernel messages",
            Family::Event => "events of 8 bytes",
            Family::Memory => "shared memory and locks",
            Family::Floor => "floor",
        }
    }
}

/// Makes a mechanism's cell of one kind.
type Make = fn(usize, PayloadSource) -> Cell;

/// One mechanism.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    pub(crate) copies: Option<Copies>,
    /// Whether a first impression contains it.
    pub(crate) quick: bool,
    /// The only size it stands in the tables with; none: all.
    pub(crate) only_size: Option<usize>,
    pub(crate) latency: Option<Make>,
    pub(crate) throughput: Throughput,
    pub(crate) wake: Option<Make>,
}

/// Whether a mechanism can be streamed through.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Throughput {
    Yes(Make),
    /// It has rows without figures, which say this.
    No(&'static str, Make),
    /// It has no rows.
    Not,
}

impl Entry {
    fn of<M: Mechanism>(family: Family) -> Entry {
        Entry {
            name: M::NAME,
            family,
            copies: M::COPIES,
            quick: false,
            only_size: None,
            latency: Some(Cell::latency::<M>),
            throughput: Throughput::Yes(Cell::throughput::<M>),
            wake: Some(Cell::wake::<M>),
        }
    }

    fn quick(self) -> Entry {
        Entry { quick: true, ..self }
    }

    /// Without a row for waking: it never sleeps.
    fn awake(self) -> Entry {
        Entry { wake: None, ..self }
    }

    /// How it is written on a command line.
    pub(crate) fn slug(&self) -> String {
        self.name.replace([' ', '+'], "-")
    }
}

/// All mechanisms, in the order of the tables.
pub(crate) fn all() -> Vec<Entry> {
    use Family::{Event, Floor, Memory, Packet, Slipring, Stream};
    let lossy = "no flow control: what the receiver's buffer has no room for is lost";
    vec![
        Entry::of::<Spsc<Spin>>(Slipring).quick().awake(),
        Entry::of::<Spsc<Park>>(Slipring).quick(),
        Entry::of::<Mpmc<MpmcSpin>>(Slipring).quick().awake(),
        Entry::of::<Mpmc<MpmcPark>>(Slipring).quick(),
        Entry::of::<Pipe>(Stream).quick(),
        Entry::of::<Fifo>(Stream),
        Entry::of::<UnixStream>(Stream).quick(),
        Entry::of::<Tcp>(Stream),
        Entry::of::<UnixDatagram>(Packet),
        Entry::of::<UnixSeqpacket>(Packet),
        Entry::of::<PosixQueue>(Packet),
        Entry::of::<SysvQueue>(Packet),
        Entry { throughput: Throughput::No(lossy, Cell::throughput::<Udp>), ..Entry::of::<Udp>(Packet) },
        Entry::of::<EventFd>(Event),
        Entry::of::<QueuedSignal>(Event),
        Entry::of::<SysvRing>(Memory),
        Entry::of::<Monitor>(Memory),
        // A mailbox that never polls: one figure is enough, as the floor of waking.
        Entry { latency: None, throughput: Throughput::Not, ..Entry::of::<Futex>(Floor).quick() },
        // A bare slot has no flow control at all, and room for 56 bytes.
        Entry {
            throughput: Throughput::Not,
            only_size: Some(56),
            ..Entry::of::<Slot>(Floor).quick().awake()
        },
    ]
}

/// Those that the words name: whole names, or beginnings of some up to a dash (`unix`, `slipring-mpmc`). No words: all.
pub(crate) fn named(words: &[String]) -> Result<Vec<Entry>, HarnessError> {
    let all = all();
    let meant = |word: &str, entry: &Entry| {
        let slug = entry.slug();
        slug.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    for word in words {
        if !all.iter().any(|entry| meant(word, entry)) {
            let slugs: Vec<String> = all.iter().map(Entry::slug).collect();
            let what = format!("there is no {word:?}; there are {}", slugs.join(", "));
            return Err(HarnessError::BadOption { what });
        }
    }
    Ok(all.into_iter().filter(|e| words.is_empty() || words.iter().any(|word| meant(word, e))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slugs(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        named(&words).unwrap().iter().map(Entry::slug).collect()
    }

    #[test]
    fn names_are_unique_and_can_be_typed() {
        let mut slugs = slugs(&[]);
        assert!(
            slugs.iter().all(|slug| slug.chars().all(|c| c.is_ascii_lowercase() || c == '-')),
            "{slugs:?}"
        );
        let count = slugs.len();
        slugs.sort();
        slugs.dedup();
        assert_eq!(slugs.len(), count);
    }

    #[test]
    fn a_word_names_one_or_a_group() {
        assert_eq!(slugs(&["pipe"]), ["pipe"]);
        assert_eq!(slugs(&["unix"]), ["unix-stream", "unix-datagram", "unix-seqpacket"]);
        assert_eq!(slugs(&["slipring-mpmc", "fifo"]), ["slipring-mpmc-spin", "slipring-mpmc-park", "fifo"]);
        let error = named(&["pip".into()]).unwrap_err().to_string();
        assert!(error.contains("\"pip\"") && error.contains("posix-mq"), "{error}");
    }
}
