//! What is measured: groups of cells that are compared with each other, so they stand side by side in every round.
#![forbid(unsafe_code)]

use slipring_harness::measure::Members::{Processes, Threads};
use slipring_harness::measure::PayloadSource::{Memory, Registers};
use slipring_harness::mechanism::{
    EventFd, Futex, Mpmc, Park, Pipe, PosixQueue, Slot, Spin, Spsc, UnixSeqpacket, UnixStream,
};
use slipring_harness::rounds::Cell;

use crate::engine::array_queue::Array;
#[cfg(boost)]
use crate::engine::boost_queue::BoostQueue;
use crate::engine::channels::{Channel, Crossbeam, Kanal};
use crate::engine::cloudtoid::Cloudtoid;
#[cfg(feature = "iceoryx2")]
use crate::engine::iceoryx2::PubSub;
use crate::engine::ipc_channel::IpcChannel;
use crate::engine::ipmpsc::Ipmpsc;
use crate::engine::rtrb::{Chunks, InPlace, Lined, Packed, PushPop};
use crate::engine::shaq::Shaq;
use crate::engine::shmem_ipc::Shmem;
use crate::engine::slipring::{
    BATCH, Copied, Dense, DenseBatch, ManySpin, ManyYield, ParkDense, ParkPlain, ParkSemaphore,
};
use crate::engine::vyukov::Vyukov;
#[cfg(zeromq)]
use crate::engine::zeromq::Zeromq;
use crate::engine::{Pausing, Yielding};

/// Names a cell for the goals: `group/what`.
pub type Key = &'static str;

/// Cells measured in the same rounds.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name, as its keys begin.
    pub name: &'static str,
    /// The goals that use it.
    pub goals: &'static [&'static str],
    /// What is measured, and what it is called.
    pub cells: Vec<(Key, Cell)>,
}

/// All groups.
pub fn groups() -> Vec<Group> {
    let mut groups = vec![
        Group { name: "latency", goals: &["PERF-1", "PERF-2", "OTHERS"], cells: latency() },
        Group { name: "56", goals: &["PERF-3", "OTHERS"], cells: stream_56() },
        Group { name: "64", goals: &["PERF-3"], cells: stream_64() },
        Group { name: "8", goals: &["PERF-4"], cells: stream_8() },
        Group { name: "4k", goals: &["PERF-5"], cells: stream_4k() },
        Group { name: "64k", goals: &["PERF-5"], cells: stream_64k() },
        Group { name: "wakeup", goals: &["PERF-6"], cells: wakeup() },
        Group { name: "wake", goals: &["PERF-7"], cells: wake() },
        Group { name: "kernel", goals: &["PERF-10"], cells: kernel() },
        Group { name: "mpmc", goals: &["PERF-8", "PRICE"], cells: mpmc() },
        Group { name: "1P1C", goals: &["PERF-8", "PRICE"], cells: one_pair() },
        Group { name: "2P2C", goals: &["PERF-8", "PERF-9", "PRICE"], cells: two_pairs() },
        Group { name: "4P4C", goals: &["PERF-8", "PERF-9", "PRICE"], cells: four_pairs() },
    ];
    for (group, key, cell) in iceoryx2().into_iter().chain(boost()).chain(zeromq()) {
        groups.iter_mut().filter(|own| own.name == group).for_each(|own| own.cells.push((key, cell)));
    }
    groups
}

/// Its cells, and the groups that they belong to.
#[cfg(feature = "iceoryx2")]
fn iceoryx2() -> Vec<(&'static str, Key, Cell)> {
    vec![
        ("latency", "latency/iceoryx2", Cell::latency::<PubSub<7, 1>>(56, Registers)),
        ("4k", "4k/in place/iceoryx2", Cell::throughput::<PubSub<512, 1>>(4096, Registers)),
        ("4k", "4k/copied/iceoryx2", Cell::throughput::<PubSub<512, 1>>(4096, Memory)),
        ("64k", "64k/in place/iceoryx2", Cell::throughput::<PubSub<512, 16>>(65536, Registers)),
        ("64k", "64k/copied/iceoryx2", Cell::throughput::<PubSub<512, 16>>(65536, Memory)),
    ]
}

/// None: built without it.
#[cfg(not(feature = "iceoryx2"))]
fn iceoryx2() -> Vec<(&'static str, Key, Cell)> {
    Vec::new()
}

/// Its cells, as [`iceoryx2()`].
#[cfg(boost)]
fn boost() -> Vec<(&'static str, Key, Cell)> {
    vec![
        ("latency", "latency/boost message_queue", Cell::latency::<BoostQueue<false>>(56, Registers)),
        ("latency", "latency/polled/boost message_queue", Cell::latency::<BoostQueue<true>>(56, Registers)),
        ("56", "56/in place/boost message_queue", Cell::throughput::<BoostQueue<false>>(56, Registers)),
    ]
}

/// None: it was not there.
#[cfg(not(boost))]
fn boost() -> Vec<(&'static str, Key, Cell)> {
    Vec::new()
}

/// Its cells, as [`iceoryx2()`].
#[cfg(zeromq)]
fn zeromq() -> Vec<(&'static str, Key, Cell)> {
    vec![
        ("latency", "latency/zeromq", Cell::latency::<Zeromq>(56, Registers)),
        ("56", "56/in place/zeromq", Cell::throughput::<Zeromq>(56, Registers)),
    ]
}

/// None: it was not there.
#[cfg(not(zeromq))]
fn zeromq() -> Vec<(&'static str, Key, Cell)> {
    Vec::new()
}

fn latency() -> Vec<(Key, Cell)> {
    vec![
        ("latency/slipring", Cell::latency::<Spsc<Spin>>(56, Registers)),
        ("latency/bare slot", Cell::latency::<Slot>(56, Registers)),
        ("latency/rtrb", Cell::latency::<PushPop<Lined<56>>>(56, Registers)),
        ("latency/array-queue", Cell::latency::<Array<56, Pausing>>(56, Registers)),
        ("latency/shmem-ipc", Cell::latency::<Shmem<7, 1>>(56, Registers)),
        ("latency/shaq", Cell::latency::<Shaq<56>>(56, Registers)),
        ("latency/crossbeam-channel", Cell::latency::<Channel<56, Crossbeam<56>>>(56, Registers)),
        ("latency/kanal", Cell::latency::<Channel<56, Kanal<56>>>(56, Registers)),
        ("latency/cloudtoid-interprocess", Cell::latency::<Cloudtoid>(56, Registers)),
        ("latency/ipmpsc", Cell::latency::<Ipmpsc<false>>(56, Registers)),
        ("latency/polled/ipmpsc", Cell::latency::<Ipmpsc<true>>(56, Registers)),
        ("latency/ipc-channel", Cell::latency::<IpcChannel<false>>(56, Registers)),
        ("latency/polled/ipc-channel", Cell::latency::<IpcChannel<true>>(56, Registers)),
    ]
}

fn stream_56() -> Vec<(Key, Cell)> {
    vec![
        ("56/in place/slipring", Cell::throughput::<Spsc<Spin>>(56, Registers)),
        ("56/in place/rtrb", Cell::throughput::<PushPop<Lined<56>>>(56, Registers)),
        ("56/copied/slipring", Cell::throughput::<Spsc<Spin>>(56, Memory)),
        ("56/copied/rtrb", Cell::throughput::<PushPop<Lined<56>>>(56, Memory)),
        ("56/copied/slipring send/recv", Cell::throughput::<Spsc<Copied>>(56, Memory)),
        ("56/in place/rtrb chunk", Cell::throughput::<InPlace<Lined<56>>>(56, Registers)),
        ("56/copied/rtrb chunk", Cell::throughput::<InPlace<Lined<56>>>(56, Memory)),
        ("56/in place/array-queue", Cell::throughput::<Array<56, Pausing>>(56, Registers)),
        ("56/in place/shmem-ipc", Cell::throughput::<Shmem<7, 1>>(56, Registers)),
        ("56/in place/shaq", Cell::throughput::<Shaq<56>>(56, Registers)),
        ("56/in place/crossbeam-channel", Cell::throughput::<Channel<56, Crossbeam<56>>>(56, Registers)),
        ("56/in place/kanal", Cell::throughput::<Channel<56, Kanal<56>>>(56, Registers)),
        ("56/in place/cloudtoid-interprocess", Cell::throughput::<Cloudtoid>(56, Registers)),
        ("56/in place/ipmpsc", Cell::throughput::<Ipmpsc<false>>(56, Registers)),
        ("56/in place/ipc-channel", Cell::throughput::<IpcChannel<false>>(56, Registers)),
    ]
}

fn stream_64() -> Vec<(Key, Cell)> {
    vec![
        ("64/in place/slipring", Cell::throughput::<Spsc<Dense>>(64, Registers)),
        ("64/in place/rtrb", Cell::throughput::<PushPop<Lined<64>>>(64, Registers)),
        ("64/copied/slipring", Cell::throughput::<Spsc<Dense>>(64, Memory)),
        ("64/copied/rtrb", Cell::throughput::<PushPop<Lined<64>>>(64, Memory)),
    ]
}

fn stream_8() -> Vec<(Key, Cell)> {
    vec![
        ("8/single/slipring", Cell::throughput::<Spsc<Dense>>(8, Registers)),
        ("8/single/rtrb", Cell::throughput::<PushPop<Packed>>(8, Registers)),
        ("8/batch/slipring", Cell::batched::<Spsc<DenseBatch>, BATCH>(8)),
        ("8/batch/rtrb", Cell::batched::<Chunks, BATCH>(8)),
        ("8/slice of 64/slipring", Cell::throughput::<Spsc<Dense>>(64 * 8, Registers)),
        ("8/slice of 64/rtrb", Cell::throughput::<Chunks>(64 * 8, Registers)),
        ("8/slice of 512/slipring", Cell::throughput::<Spsc<Dense>>(512 * 8, Registers)),
        ("8/slice of 512/rtrb", Cell::throughput::<Chunks>(512 * 8, Registers)),
    ]
}

fn stream_4k() -> Vec<(Key, Cell)> {
    vec![
        ("4k/in place/slipring", Cell::throughput::<Spsc<Spin>>(4096, Registers)),
        ("4k/in place/shmem-ipc", Cell::throughput::<Shmem<512, 1>>(4096, Registers)),
        ("4k/copied/slipring", Cell::throughput::<Spsc<Spin>>(4096, Memory)),
        ("4k/copied/shmem-ipc", Cell::throughput::<Shmem<512, 1>>(4096, Memory)),
        ("4k/copied/slipring send/recv", Cell::throughput::<Spsc<Copied>>(4096, Memory)),
    ]
}

fn stream_64k() -> Vec<(Key, Cell)> {
    vec![
        ("64k/in place/slipring", Cell::throughput::<Spsc<Spin>>(65536, Registers)),
        ("64k/in place/shmem-ipc", Cell::throughput::<Shmem<512, 16>>(65536, Registers)),
        ("64k/copied/slipring", Cell::throughput::<Spsc<Spin>>(65536, Memory)),
        ("64k/copied/shmem-ipc", Cell::throughput::<Shmem<512, 16>>(65536, Memory)),
        ("64k/copied/slipring send/recv", Cell::throughput::<Spsc<Copied>>(65536, Memory)),
    ]
}

fn wakeup() -> Vec<(Key, Cell)> {
    vec![
        ("wakeup/none", Cell::throughput::<Spsc<Spin>>(56, Registers)),
        ("wakeup/futex", Cell::throughput::<Spsc<Park>>(56, Registers)),
        ("wakeup/semaphore", Cell::throughput::<Spsc<ParkSemaphore>>(56, Registers)),
        ("wakeup/plain fences", Cell::throughput::<Spsc<ParkPlain>>(56, Registers)),
        ("wakeup/dense none", Cell::throughput::<Spsc<Dense>>(8, Registers)),
        ("wakeup/dense futex", Cell::throughput::<Spsc<ParkDense>>(8, Registers)),
    ]
}

fn wake() -> Vec<(Key, Cell)> {
    vec![
        ("wake/futex", Cell::wake::<Futex>(8, Registers)),
        ("wake/slipring", Cell::wake::<Spsc<Park>>(8, Registers)),
        ("wake/slipring semaphore", Cell::wake::<Spsc<ParkSemaphore>>(8, Registers)),
        ("wake/pipe", Cell::wake::<Pipe>(8, Registers)),
    ]
}

/// The kernel's own: what they are compared with polls where the goal says so, and may sleep as they do elsewhere.
fn kernel() -> Vec<(Key, Cell)> {
    vec![
        ("kernel/latency/slipring", Cell::latency::<Spsc<Spin>>(56, Registers)),
        ("kernel/latency/pipe", Cell::latency::<Pipe>(56, Registers)),
        ("kernel/wake/slipring", Cell::wake::<Spsc<Park>>(8, Registers)),
        ("kernel/wake/pipe", Cell::wake::<Pipe>(8, Registers)),
        ("kernel/wake/eventfd", Cell::wake::<EventFd>(8, Registers)),
        ("kernel/wake/unix stream", Cell::wake::<UnixStream>(8, Registers)),
        ("kernel/wake/unix seqpacket", Cell::wake::<UnixSeqpacket>(8, Registers)),
        ("kernel/wake/posix mq", Cell::wake::<PosixQueue>(8, Registers)),
        ("kernel/64/slipring", Cell::throughput::<Spsc<Park>>(64, Memory)),
        ("kernel/64/pipe", Cell::throughput::<Pipe>(64, Memory)),
        ("kernel/4k/slipring", Cell::throughput::<Spsc<Park>>(4096, Memory)),
        ("kernel/4k/pipe", Cell::throughput::<Pipe>(4096, Memory)),
        ("kernel/64k/slipring", Cell::throughput::<Spsc<Park>>(65536, Memory)),
        ("kernel/64k/unix stream", Cell::throughput::<UnixStream>(65536, Memory)),
    ]
}

/// Bytes of a message that fills a slot of one line.
const SLOT: usize = 48;

fn mpmc() -> Vec<(Key, Cell)> {
    vec![
        ("mpmc/slipring", Cell::latency::<Mpmc<ManySpin>>(SLOT, Registers)),
        ("mpmc/vyukov", Cell::latency::<Vyukov<Pausing>>(SLOT, Registers)),
        ("mpmc/array-queue", Cell::latency::<Array<SLOT, Pausing>>(SLOT, Registers)),
        ("mpmc/bare slot", Cell::latency::<Slot>(SLOT, Registers)),
    ]
}

fn one_pair() -> Vec<(Key, Cell)> {
    type Ring = Mpmc<ManySpin>;
    type Queue = Array<SLOT, Pausing>;
    type Plain = Vyukov<Pausing>;
    vec![
        ("1P1C/slipring", Cell::crowd::<Ring>("slipring mpmc 1P1C", SLOT, 1, Processes)),
        ("1P1C/array-queue", Cell::crowd::<Queue>("array-queue 1P1C", SLOT, 1, Threads)),
        ("1P1C/vyukov", Cell::crowd::<Plain>("vyukov 1P1C", SLOT, 1, Processes)),
        (
            "1P1C/batch/slipring",
            Cell::crowd_batched::<Ring, 16>("slipring mpmc 1P1C, 16s", SLOT, 1, Processes),
        ),
    ]
}

fn two_pairs() -> Vec<(Key, Cell)> {
    type Ring = Mpmc<ManyYield>;
    type Queue = Array<SLOT, Yielding>;
    type Plain = Vyukov<Yielding>;
    vec![
        ("2P2C/slipring", Cell::crowd::<Ring>("slipring mpmc 2P2C", SLOT, 2, Processes)),
        ("2P2C/array-queue", Cell::crowd::<Queue>("array-queue 2P2C", SLOT, 2, Threads)),
        (
            "2P2C/processes/array-queue",
            Cell::crowd::<Queue>("array-queue 2P2C, processes", SLOT, 2, Processes),
        ),
        ("2P2C/vyukov", Cell::crowd::<Plain>("vyukov 2P2C", SLOT, 2, Processes)),
        (
            "2P2C/batch/slipring",
            Cell::crowd_batched::<Ring, 16>("slipring mpmc 2P2C, 16s", SLOT, 2, Processes),
        ),
    ]
}

fn four_pairs() -> Vec<(Key, Cell)> {
    type Ring = Mpmc<ManyYield>;
    type Queue = Array<SLOT, Yielding>;
    type Plain = Vyukov<Yielding>;
    vec![
        ("4P4C/slipring", Cell::crowd::<Ring>("slipring mpmc 4P4C", SLOT, 4, Processes)),
        ("4P4C/array-queue", Cell::crowd::<Queue>("array-queue 4P4C", SLOT, 4, Threads)),
        (
            "4P4C/processes/array-queue",
            Cell::crowd::<Queue>("array-queue 4P4C, processes", SLOT, 4, Processes),
        ),
        ("4P4C/vyukov", Cell::crowd::<Plain>("vyukov 4P4C", SLOT, 4, Processes)),
        (
            "4P4C/batch/slipring",
            Cell::crowd_batched::<Ring, 16>("slipring mpmc 4P4C, 16s", SLOT, 4, Processes),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_are_unique_and_begin_with_their_group() {
        let mut seen = BTreeSet::new();
        for group in groups() {
            for (key, _) in &group.cells {
                assert!(key.starts_with(&format!("{}/", group.name)), "{key}");
                assert!(seen.insert(*key), "{key} twice");
            }
        }
    }
}
