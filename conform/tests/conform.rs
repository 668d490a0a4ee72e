//! Every mechanism does what the kernel's does, operation by operation. `SLIPRING_CONFORM_SEQUENCES=100000` plays more
//! random sequences than the usual; `SLIPRING_CONFORM_SEED` repeats them.

use slipring_conform::{Report, pipe, posix_mq, sem, semset, socket, sysv_mq};
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn same(compare: impl FnOnce(u64, u64) -> io::Result<Report>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("SLIPRING_CONFORM_SEED").unwrap_or(now);
    let sequences = number("SLIPRING_CONFORM_SEQUENCES").unwrap_or(500);
    let start = std::time::Instant::now();
    let report = compare(seed, sequences).unwrap();
    println!(
        "{}: {} scripts, {} random sequences from seed {seed} on, {} operations, {:.1?}",
        report.mechanism,
        report.rows.len(),
        report.sequences,
        report.operations,
        start.elapsed()
    );
    if let Some(divergence) = report.divergence {
        panic!("{divergence}");
    }
    assert_eq!(report.sequences, sequences);
}

#[test]
fn pipes_are_the_kernels() {
    same(|seed, sequences| pipe::compare(false, seed, sequences));
}

#[test]
fn fifos_are_the_kernels() {
    same(|seed, sequences| pipe::compare(true, seed, sequences));
}

#[test]
fn posix_message_queues_are_the_kernels() {
    same(posix_mq::compare);
}

#[test]
fn system_v_message_queues_are_the_kernels() {
    same(sysv_mq::compare);
}

#[test]
fn posix_semaphores_are_the_c_librarys() {
    same(sem::compare);
}

#[test]
fn semaphore_sets_are_the_kernels() {
    same(semset::compare);
}

#[test]
fn streams_are_the_kernels() {
    same(|seed, sequences| socket::compare(socket::Kind::Stream, seed, sequences));
}

#[test]
fn sequenced_records_are_the_kernels() {
    same(|seed, sequences| socket::compare(socket::Kind::Seqpacket, seed, sequences));
}

#[test]
fn datagrams_are_the_kernels() {
    same(|seed, sequences| socket::compare(socket::Kind::Datagram, seed, sequences));
}

/// Root may do anything, so what is asked for in which order does not show.
#[test]
fn all_are_the_kernels_for_who_is_not_root_too() {
    const NOBODY: u32 = 65534;
    let mut rest = Command::new(std::env::current_exe().unwrap());
    rest.args(["--skip", "not_root"]).current_dir("/");
    if nix::unistd::geteuid().is_root() {
        rest.uid(NOBODY).gid(NOBODY);
    }
    match rest.output() {
        Err(error) if [ErrorKind::PermissionDenied, ErrorKind::InvalidInput].contains(&error.kind()) => {
            println!("skipped: there is no other user, or none that can get to this program: {error}");
        }
        done => {
            let done = done.unwrap();
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(done.status.success() && said.contains("test result: ok. 9 passed"), "{said}");
        }
    }
}
