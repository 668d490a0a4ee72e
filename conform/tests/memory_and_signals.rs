//! What docs/semantics.md says of the kernel's shared memory and signals, where no adapter stands: shown on the kernel's, and of
//! memory on slipring's segments beside it.

use slipring::{Error, Options, Ring, unlink_forced};
use slipring_conform::memory::SharedSegment;
use slipring_conform::process::{Child, can_be_handled, first_real_time_signal, signals_that_come, until};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// These tests fork.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removed in the end, whatever happens.
struct Removed(SharedSegment);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

fn key() -> i32 {
    (0x5600_0000 | std::process::id()).cast_signed()
}

fn make() -> io::Result<Removed> {
    SharedSegment::get(key(), libc::IPC_CREAT | libc::IPC_EXCL | 0o600).map(Removed)
}

#[test]
fn a_removed_segment_of_system_v_stays_until_its_last_user_is_gone() {
    let _alone = alone();
    let made = make().unwrap();
    let segment = made.0;
    let (one, other) = (segment.attach().unwrap(), segment.attach().unwrap());
    assert_ne!(one.address(), other.address(), "the same pages at two addresses");
    one.write(b"kept");
    assert_eq!(other.read(4), b"kept");
    drop(other);
    let user = Child::holding(|| segment.attach().map(std::mem::forget)).unwrap();
    // The child has this process's too, from the fork.
    assert_eq!(segment.stat().unwrap().times, 3);
    segment.remove().unwrap();
    assert!(segment.stat().unwrap().to_be_destroyed);
    assert_eq!(SharedSegment::get(key(), 0).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    let next = make().unwrap();
    assert_ne!(next.0, segment, "the key leads to another");
    assert_eq!(one.read(4), b"kept");
    user.kill();
    // Whoever looks at the dead one's memory just now has it a moment longer.
    until(|| Ok((segment.stat()?.times == 1).then_some(()))).expect("who was killed has it no more");
    drop(one);
    let gone = segment.stat().unwrap_err().raw_os_error().unwrap();
    assert!([libc::EINVAL, libc::EIDRM].contains(&gone), "{gone}");
}

#[test]
fn a_removed_segment_of_slipring_stays_until_its_last_user_is_gone() {
    let _alone = alone();
    let name = format!("/slipring-conform-{}-removed", std::process::id());
    let ring = Ring::create(&name, &Options::new()).unwrap();
    let file = std::fs::File::open(format!("/dev/shm{name}")).unwrap();
    let links = || std::os::unix::fs::MetadataExt::nlink(&file.metadata().unwrap());
    let user = Child::holding(|| {
        let mut tx = Ring::open(&name).and_then(|ring| ring.producer()).map_err(io::Error::other)?;
        tx.send(b"kept").map_err(io::Error::other)?;
        std::mem::forget(tx);
        Ok(())
    })
    .unwrap();
    assert_eq!(links(), 1);
    unlink_forced(&name).unwrap();
    assert_eq!(links(), 0, "nobody finds it by its name");
    assert!(matches!(Ring::open(&name), Err(Error::NotFound { .. })));
    let next = Ring::create(&name, &Options::new()).unwrap();
    assert!(next.consumer().unwrap().was_empty(), "the name leads to another");
    user.kill();
    let mut rx = ring.consumer().unwrap();
    let mut to = [0; 16];
    assert_eq!(rx.recv(&mut to), Ok(4));
    assert_eq!(&to[..4], b"kept");
}

#[test]
fn a_blocked_signal_waits_once_or_each_time_and_two_cannot_be_handled() {
    let _alone = alone();
    assert_eq!(signals_that_come(libc::SIGUSR1, 3).unwrap(), 1, "a standard signal does not queue");
    assert_eq!(signals_that_come(first_real_time_signal(), 3).unwrap(), 3);
    assert_eq!(signals_that_come(libc::SIGUSR1, 0).unwrap(), 0);
    let refused: Vec<i32> = (1..32).filter(|&signal| !can_be_handled(signal)).collect();
    assert_eq!(refused, [libc::SIGKILL, libc::SIGSTOP]);
}
