//! A descriptor with arbitrary bytes behind it, taken for a ring: bare noise, or a ring of ours with fields changed and
//! its checksum made right again. Opening may refuse; whatever it accepts must bear every verb that cannot wait, until one
//! finds a fault.

use crate::crowd::SLOTS;
use crate::victim::{CAPACITY, any_word};
use crate::{Count, below};
use arbitrary::Unstructured;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use slipring::mpmc::{Receiver, Sender};
use slipring::spsc::{Consumer, Producer};
use slipring::{Align, Corrupt, Error, Options, RecvError, Ring, SendError, Trust, Wakeup};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

/// The fields of the segment header: offset and size (docs/layout.md).
pub(crate) const HEADER: [(usize, usize); 17] = [
    (0, 8),
    (8, 4),
    (12, 4),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 4),
    (52, 4),
    (56, 4),
    (60, 4),
    (64, 4),
    (68, 4),
    (72, 4),
    (76, 4),
    (80, 8),
    (88, 8),
];
const CHECKSUM: usize = 88;

pub(crate) fn run(input: &[u8]) -> Count {
    let mut input = Unstructured::new(input);
    let trust = [Trust::Kernel, Trust::Distrust][below(&mut input, 2) as usize];
    let seals = match below(&mut input, 8) {
        0 => SealFlag::empty(),
        1 => SealFlag::F_SEAL_SHRINK,
        _ => SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW,
    };
    let bytes = match below(&mut input, 4) {
        0 => input.take_rest().to_vec(),
        _ => nearly_right(&mut input),
    };
    let ring = match Ring::from_fd(memfd(&bytes, seals), trust) {
        Ok(ring) => ring,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return [("refused", 1)].into();
        }
    };
    let info = ring.info();
    assert!(info.used_bytes <= info.capacity, "{info:?}");
    let max_len = info.max_len as usize;
    let mut buffer = vec![0; max_len];
    let ended = match info.kind {
        "spsc" => [
            attached(ring.consumer()).map(|mut rx| consume(&mut rx, &mut buffer)),
            attached(ring.producer()).map(|mut tx| produce(&mut tx, max_len)),
        ],
        _ => [
            attached(ring.receiver()).map(|mut rx| receive(&mut rx, &mut buffer)),
            attached(ring.sender()).map(|mut tx| send(&mut tx, max_len)),
        ],
    };
    for fault in ended.into_iter().flatten().filter_map(Result::err) {
        assert!(fault.to_string().contains(fault.field), "a fault names its field");
    }
    [("bore every verb that cannot wait", 1)].into()
}

/// Who may not attach is told why.
fn attached<T>(handle: Result<T, Error>) -> Option<T> {
    match handle {
        Ok(handle) => Some(handle),
        Err(Error::Corrupt { .. } | Error::WrongKind { .. } | Error::TooManyParticipants { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// A fault ends it: whoever has found one gives the ring up. Any other refusal is an answer.
fn received<T>(result: Result<T, RecvError>) -> Result<Option<T>, Corrupt> {
    match result {
        Err(RecvError::Corrupt(fault)) => Err(fault),
        other => Ok(other.ok()),
    }
}

fn sent<T>(result: Result<T, SendError>) -> Result<Option<T>, Corrupt> {
    match result {
        Err(SendError::Corrupt(fault)) => Err(fault),
        other => Ok(other.ok()),
    }
}

fn consume(rx: &mut Consumer, buffer: &mut [u8]) -> Result<(), Corrupt> {
    for _ in 0..4 {
        received(rx.try_recv(buffer))?;
        if let Some(frame) = received(rx.try_frame())? {
            buffer[..frame.len()].copy_from_slice(&frame);
        }
    }
    if let Some(mut batch) = received(rx.try_batch(4))? {
        while received(batch.next())?.flatten().is_some() {}
    }
    Ok(())
}

fn produce(tx: &mut Producer, max_len: usize) -> Result<(), Corrupt> {
    sent(tx.try_send(b"a message"))?;
    if let Some(mut grant) = sent(tx.try_reserve(max_len))? {
        grant.fill(1);
        grant.commit_all();
    }
    if let Some(mut batch) = sent(tx.batch())? {
        sent(batch.push(b"one of many"))?;
        batch.commit();
    }
    Ok(())
}

fn receive(rx: &mut Receiver, buffer: &mut [u8]) -> Result<(), Corrupt> {
    for _ in 0..4 {
        received(rx.try_recv(buffer))?;
        if let Some(frame) = received(rx.try_frame())? {
            buffer[..frame.len()].copy_from_slice(&frame);
        }
    }
    if let Some(delivery) = received(rx.try_peek())? {
        buffer[..delivery.len()].copy_from_slice(&delivery);
        delivery.ack();
    }
    received(rx.try_recv_batch(9, |message| buffer[..message.len()].copy_from_slice(message)))?;
    Ok(())
}

fn send(tx: &mut Sender, max_len: usize) -> Result<(), Corrupt> {
    sent(tx.try_send(&[7; 8][..max_len.min(8)]))?;
    sent(tx.try_send_batch(&[[1; 4]; 3]))?;
    if let Some(mut grant) = sent(tx.try_reserve(max_len))? {
        // Given back: a commit that was passed over would wait for room.
        grant.fill(1);
    }
    sent(tx.force_send(b"a message").map_err(|(_, error)| error))?;
    Ok(())
}

/// Rings as `anonymous` makes them. A semaphore's bytes are for trusted peers only: they are not to be changed, and
/// distrust is refused.
static SOUND: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let spsc = [Align::Line, Align::Dense].map(|align| Options::new().capacity(CAPACITY).align(align));
    let many = Options::mpmc(SLOTS as usize, 48).participants(6);
    let options = spsc.into_iter().chain([many]);
    let each = options.flat_map(|o| [Wakeup::Futex, Wakeup::None].map(|wakeup| o.clone().wakeup(wakeup)));
    each.map(|options| {
        let ring = Ring::anonymous(&options).unwrap();
        let file = File::from(ring.fd().unwrap().try_clone_to_owned().unwrap());
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    })
    .collect()
});

/// A sound ring with some of its fields and bytes changed.
fn nearly_right(input: &mut Unstructured<'_>) -> Vec<u8> {
    let mut bytes = SOUND[below(input, SOUND.len() as u64) as usize].clone();
    let len = bytes.len();
    for _ in 0..below(input, 4) {
        let word = any_word(&mut |n| below(input, n));
        let (at, size) = match below(input, 4) {
            0 => HEADER[below(input, HEADER.len() as u64) as usize],
            1 => (1024 + 8 * below(input, 80) as usize, 8),
            // The table of participants, if there are many.
            2 => (2048 + 8 * below(input, 96) as usize, 8),
            _ => (4096 + 8 * below(input, (len as u64 - 4096) / 8) as usize, 8),
        };
        let value = match below(input, 3) {
            // Off by a little, or by a bit.
            0 => number(&bytes[at..at + size]).wrapping_add(below(input, 5)).wrapping_sub(2),
            1 => number(&bytes[at..at + size]) ^ 1 << below(input, 8 * size as u64),
            _ => word,
        };
        bytes[at..at + size].copy_from_slice(&value.to_ne_bytes()[..size]);
    }
    // A semaphore that nobody initialised may abort the C library, which is why it is for trusted peers.
    if number(&bytes[52..56]) == 2 {
        bytes[52..56].fill(0);
    }
    if below(input, 4) > 0 {
        sum_up(&mut bytes);
    }
    match below(input, 8) {
        0 => bytes.truncate(below(input, len as u64 + 1) as usize),
        1 => bytes.resize(len + below(input, 4097) as usize, 0),
        _ => {}
    }
    bytes
}

/// Makes the checksum right again.
pub(crate) fn sum_up(header: &mut [u8]) {
    let sum = header[..CHECKSUM]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    header[CHECKSUM..CHECKSUM + 8].copy_from_slice(&sum.to_ne_bytes());
}

pub(crate) fn number(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

fn memfd(bytes: &[u8], seals: SealFlag) -> OwnedFd {
    let fd = memfd_create(c"slipring-fuzz", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    let file = File::from(fd);
    file.write_all_at(bytes, 0).unwrap();
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    file.into()
}
