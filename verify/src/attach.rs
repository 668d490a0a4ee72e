//! A descriptor with arbitrary bytes behind it, taken for a ring: bare noise, or a ring of ours with fields changed and
//! its checksum made right again. Opening may refuse; whatever it accepts must bear every verb.

use crate::below;
use crate::victim::{CAPACITY, any_word};
use arbitrary::Unstructured;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use slipring::{Align, Error, Options, Ring, Trust, Wakeup};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// The fields of the segment header: offset and size (docs/layout.md).
const HEADER: [(usize, usize); 17] = [
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

pub(crate) fn run(input: &[u8]) {
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
            return;
        }
    };
    let info = ring.info();
    assert!(info.used_bytes <= info.capacity, "{info:?}");
    let may_refuse =
        |error: Error| assert!(matches!(error, Error::Corrupt { .. } | Error::WrongKind { .. }), "{error}");
    let mut buffer = vec![0; info.max_len as usize];
    match ring.consumer() {
        Ok(mut rx) => {
            for _ in 0..4 {
                let _ = rx.try_recv(&mut buffer);
                if let Ok(frame) = rx.try_frame() {
                    buffer[..frame.len()].copy_from_slice(&frame);
                }
            }
        }
        Err(error) => may_refuse(error),
    }
    match ring.producer() {
        Ok(mut tx) => {
            let _ = tx.try_send(b"a message");
            if let Ok(mut grant) = tx.try_reserve(info.max_len as usize) {
                grant.fill(1);
                grant.commit_all();
            }
        }
        Err(error) => may_refuse(error),
    }
}

/// A ring as `anonymous` makes it, with some of its fields and bytes changed.
fn nearly_right(input: &mut Unstructured<'_>) -> Vec<u8> {
    let align = [Align::Line, Align::Dense][below(input, 2) as usize];
    // A semaphore's bytes are for trusted peers only: they are not to be changed, and distrust is refused.
    let wakeup = [Wakeup::Futex, Wakeup::None][below(input, 2) as usize];
    let ring = Ring::anonymous(&Options::new().capacity(CAPACITY).align(align).wakeup(wakeup)).unwrap();
    let file = File::from(ring.fd().unwrap().try_clone_to_owned().unwrap());
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    for _ in 0..below(input, 4) {
        let word = any_word(&mut |n| below(input, n));
        let (at, size) = match below(input, 3) {
            0 => HEADER[below(input, HEADER.len() as u64) as usize],
            1 => (1024 + 8 * below(input, 80) as usize, 8),
            _ => (4096 + 8 * below(input, CAPACITY as u64 / 8) as usize, 8),
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
        let sum = bytes[..CHECKSUM].iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        bytes[CHECKSUM..CHECKSUM + 8].copy_from_slice(&sum.to_ne_bytes());
    }
    match below(input, 8) {
        0 => bytes.truncate(below(input, 8193) as usize),
        1 => bytes.resize(8192 + below(input, 4097) as usize, 0),
        _ => {}
    }
    bytes
}

fn number(bytes: &[u8]) -> u64 {
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
