//! What `compare` can measure: every mechanism once, with what it is and in which tables it stands. A new row is a new
//! line here.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use crate::error::HarnessError;
use crate::measure::{PayloadSource, Shape};
use crate::mechanism::{
    Coalesced, CoalescedSignal, Copies, DatagramAdapter, EpolledPipes, EventFd, Fifo, FifoAdapter, Futex,
    Mechanism, Monitor, Mpmc, MpmcPark, MpmcSpin, MpmcYield, Park, Pipe, PipeAdapter, PolledPipes,
    PosixQueue, PosixQueueAdapter, PosixRing, PosixSemAdapter, QueueOfTypes, Queued, QueuedSignal,
    ScannedRings, SeqpacketAdapter, SharedRing, Slot, Spin, Spsc, StreamAdapter, SysvQueue, SysvQueueAdapter,
    SysvRing, SysvSemAdapter, Tcp, Udp, UnixDatagram, UnixSeqpacket, UnixStream,
};
use crate::rounds::Cell;

/// What sort of thing a mechanism is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// slipring's rings.
    Slipring,
    /// slipring's adapters: the kernel's mechanisms rebuilt on rings.
    Adapter,
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
    pub const ALL: [Family; 7] = [
        Family::Slipring,
        Family::Adapter,
        Family::Stream,
        Family::Packet,
        Family::Event,
        Family::Memory,
        Family::Floor,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Family::Slipring => "slipring",
            Family::Adapter => "slipring's adapters",
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

/// Makes a mechanism's cell of messages at a rate.
type MakePaced = fn(usize, u32) -> Cell;
/// Makes a mechanism's cell of many senders or receivers.
type MakeMany = fn(usize, Shape) -> Cell;

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
    /// An adapter's original.
    pub(crate) original: Option<&'static str>,
    pub(crate) latency: Option<Make>,
    pub(crate) throughput: Row<Make>,
    pub(crate) wake: Option<Make>,
    pub(crate) paced: Row<MakePaced>,
    pub(crate) many: Option<MakeMany>,
    pub(crate) select: Option<Make>,
    pub(crate) cold: Row<Make>,
    pub(crate) recovery: Row<Make>,
    pub(crate) signals: Option<fn() -> Cell>,
}

/// Whether a mechanism can be measured in a certain way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Row<M> {
    Yes(M),
    /// It has rows without figures, which say this.
    No(&'static str, M),
    /// It has no rows.
    Not,
}

impl<M> Row<M> {
    fn no(self, reason: &'static str) -> Row<M> {
        match self {
            Row::Yes(make) => Row::No(reason, make),
            other => other,
        }
    }
}

impl Entry {
    fn of<M: Mechanism>(family: Family) -> Entry {
        Entry {
            name: M::NAME,
            family,
            copies: M::COPIES,
            quick: false,
            only_size: None,
            original: None,
            latency: Some(Cell::latency::<M>),
            throughput: Row::Yes(Cell::throughput::<M>),
            wake: Some(Cell::wake::<M>),
            paced: Row::Yes(Cell::paced::<M>),
            many: None,
            select: None,
            cold: Row::Yes(Cell::cold::<M>),
            recovery: Row::Yes(Cell::recovery::<M>),
            signals: None,
        }
    }

    /// Of a mechanism that is measured in a way of its own only.
    fn nothing<M: Mechanism>(family: Family) -> Entry {
        Entry {
            latency: None,
            throughput: Row::Not,
            wake: None,
            paced: Row::Not,
            cold: Row::Not,
            recovery: Row::Not,
            ..Entry::of::<M>(family)
        }
    }

    /// Waits for several sources. There is no order between these: one message is on its way at a time.
    fn select<M: Mechanism>(family: Family) -> Entry {
        Entry { select: Some(Cell::select::<M>), quick: true, ..Entry::nothing::<M>(family) }
    }

    /// slipring's own, of a kernel mechanism.
    fn adapter<M: Mechanism, Original: Mechanism>() -> Entry {
        Entry { original: Some(Original::NAME), ..Entry::of::<M>(Family::Adapter) }
    }

    fn quick(self) -> Entry {
        Entry { quick: true, ..self }
    }

    /// Without a row for waking: it never sleeps.
    fn awake(self) -> Entry {
        Entry { wake: None, ..self }
    }

    /// Takes more than one sender and receiver.
    fn many<M: Mechanism>(self) -> Entry {
        Entry { many: Some(Cell::many::<M>), ..self }
    }

    fn no_recovery(self, reason: &'static str) -> Entry {
        Entry { recovery: self.recovery.no(reason), ..self }
    }

    /// Loses messages if nobody waits for an answer.
    fn lossy(self, reason: &'static str) -> Entry {
        let (throughput, paced) = (self.throughput.no(reason), self.paced.no(reason));
        Entry { throughput, paced, recovery: self.recovery.no(reason), ..self }
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
    let own_place = "a sender keeps its place in its own memory: a successor does not know where to go on";
    vec![
        Entry::of::<Spsc<Spin>>(Slipring).quick().awake(),
        Entry::of::<Spsc<Park>>(Slipring).quick(),
        Entry::of::<Mpmc<MpmcSpin>>(Slipring).quick().awake(),
        Entry::of::<Mpmc<MpmcPark>>(Slipring).quick().many::<Mpmc<MpmcPark>>(),
        Entry::nothing::<Mpmc<MpmcYield>>(Slipring).quick().many::<Mpmc<MpmcYield>>(),
        Entry::select::<ScannedRings>(Slipring),
        Entry::select::<SharedRing>(Slipring),
        Entry::adapter::<PipeAdapter, Pipe>().many::<PipeAdapter>(),
        Entry::adapter::<FifoAdapter, Fifo>(),
        Entry::adapter::<StreamAdapter, UnixStream>(),
        Entry::adapter::<DatagramAdapter, UnixDatagram>().many::<DatagramAdapter>(),
        Entry::adapter::<SeqpacketAdapter, UnixSeqpacket>().many::<SeqpacketAdapter>(),
        Entry::adapter::<PosixQueueAdapter, PosixQueue>().many::<PosixQueueAdapter>(),
        Entry::adapter::<SysvQueueAdapter, SysvQueue>().many::<SysvQueueAdapter>(),
        Entry::adapter::<PosixSemAdapter, PosixRing>().no_recovery(own_place),
        Entry::adapter::<SysvSemAdapter, SysvRing>().no_recovery(own_place),
        Entry::of::<Pipe>(Stream).quick().many::<Pipe>(),
        Entry::of::<Fifo>(Stream),
        Entry::of::<UnixStream>(Stream).quick(),
        Entry::of::<Tcp>(Stream),
        Entry::select::<PolledPipes>(Stream),
        Entry::select::<EpolledPipes>(Stream),
        Entry::of::<UnixDatagram>(Packet).many::<UnixDatagram>(),
        Entry::of::<UnixSeqpacket>(Packet).many::<UnixSeqpacket>(),
        Entry::of::<PosixQueue>(Packet).many::<PosixQueue>(),
        Entry::of::<SysvQueue>(Packet).many::<SysvQueue>(),
        Entry { quick: false, ..Entry::select::<QueueOfTypes>(Packet) },
        Entry::of::<Udp>(Packet).lossy(lossy),
        Entry::of::<EventFd>(Event).no_recovery(
            "a sender that is killed between its two calls takes the leave to write with it for good",
        ),
        Entry { signals: Some(Cell::signals::<Queued>), ..Entry::of::<QueuedSignal>(Event) },
        Entry { signals: Some(Cell::signals::<Coalesced>), ..Entry::of::<CoalescedSignal>(Event) },
        Entry::of::<SysvRing>(Memory).no_recovery(own_place),
        Entry::of::<PosixRing>(Memory).no_recovery(own_place),
        Entry::of::<Monitor>(Memory).no_recovery(
            "a condition variable is not robust: a process that is killed in one can stop the others for good",
        ),
        // A mailbox that never polls: one figure is enough, as the floor of waking.
        Entry { wake: Some(Cell::wake::<Futex>), ..Entry::nothing::<Futex>(Floor).quick() },
        // A bare slot has no flow control at all, and room for 56 bytes.
        Entry {
            latency: Some(Cell::latency::<Slot>),
            only_size: Some(56),
            ..Entry::nothing::<Slot>(Floor).quick()
        },
    ]
}

/// The kernel's mechanism that this is an adapter of.
pub(crate) fn original(adapter: &str) -> Option<&'static str> {
    all().into_iter().find(|entry| entry.name == adapter)?.original
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
        assert_eq!(
            slugs(&["slipring-mpmc", "fifo"]),
            ["slipring-mpmc-spin", "slipring-mpmc-park", "slipring-mpmc-yield", "fifo"]
        );
        let error = named(&["pip".into()]).unwrap_err().to_string();
        assert!(error.contains("\"pip\"") && error.contains("posix-mq"), "{error}");
    }
}
