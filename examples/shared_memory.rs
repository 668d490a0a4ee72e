//! Shared memory itself, without a ring: the three ways to get some, and what it lacks. Two processes add to one number: by
//! a load and a store, and one of the two additions is lost; in one atomic step, and none is.
//!
//! ```text
//! cargo run --example shared_memory
//! ```
#![allow(clippy::disallowed_types, reason = "this is about the bare memory, below slipring's facade")]

use nix::fcntl::{OFlag, posix_fallocate};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap, shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

const LEN: usize = 4096;
/// Additions of each process where nobody waits for anybody.
const EACH: u64 = 200_000;

/// A page that a process shares with the children that it forks, and with whoever else maps it.
struct Shared(NonNull<[AtomicU64; 3]>);

impl Shared {
    fn new(at: NonNull<std::ffi::c_void>) -> Shared {
        Shared(at.cast())
    }

    /// Only for the children that are forked from now on: it has no name (MAP_SHARED | MAP_ANONYMOUS).
    fn anonymous() -> io::Result<Shared> {
        let (length, flags) = (NonZero::new(LEN).expect("not zero"), MapFlags::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at =
            unsafe { mmap_anonymous(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) }?;
        Ok(Shared::new(at))
    }

    /// For whoever may open the file.
    fn of(file: impl AsFd) -> io::Result<Shared> {
        // Allocated now: a full file system is an error here, and not a SIGBUS at the first store.
        posix_fallocate(&file, 0, LEN as i64)?;
        let (length, flags) = (NonZero::new(LEN).expect("not zero"), MapFlags::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice; this program alone knows the file.
        let at = unsafe { mmap(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags, file, 0) };
        Ok(Shared::new(at?))
    }

    fn words(&self) -> &[AtomicU64; 3] {
        // SAFETY: mapped until the drop, a page long and aligned to one; atomics are valid for any bytes.
        unsafe { self.0.as_ref() }
    }

    /// What the two processes add to.
    fn number(&self) -> &AtomicU64 {
        &self.words()[0]
    }

    /// Whose turn it is, so that they meet as badly as can be, each time.
    fn turn(&self) -> &AtomicU64 {
        &self.words()[1]
    }

    fn wait_for(&self, turn: u64) {
        while self.turn().load(Ordering::Acquire) != turn {
            std::thread::yield_now();
        }
    }

    fn pass(&self) {
        self.turn().fetch_add(1, Ordering::Release);
    }

    fn start(&self, number: u64) {
        self.number().store(number, Ordering::Relaxed);
        self.turn().store(0, Ordering::Relaxed);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping that was made for it; no reference into it is left.
        let _ = unsafe { munmap(self.0.cast(), LEN) };
    }
}

/// Runs the two in two processes, until both are done.
fn both(one: impl FnOnce(), other: impl FnOnce()) -> io::Result<()> {
    // SAFETY: the child only computes and writes to shared memory, and ends at once.
    match unsafe { fork() }? {
        ForkResult::Child => {
            other();
            // SAFETY: ends the child without running what its parent has registered for its own end.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            one();
            match waitpid(child, None)? {
                WaitStatus::Exited(_, 0) => Ok(()),
                status => Err(io::Error::other(format!("the other process: {status:?}"))),
            }
        }
    }
}

/// Both read 5, one writes 5 + 1, then the other 5 + 2.
fn lose_an_update(memory: &Shared, out: &mut impl Write) -> io::Result<()> {
    memory.start(5);
    let seen = memory.words();
    both(
        || {
            let read = memory.number().load(Ordering::Relaxed);
            memory.pass();
            memory.wait_for(2);
            memory.number().store(read + 1, Ordering::Relaxed);
            memory.pass();
            memory.wait_for(4);
        },
        || {
            memory.wait_for(1);
            let read = memory.number().load(Ordering::Relaxed);
            seen[2].store(read, Ordering::Relaxed);
            memory.pass();
            memory.wait_for(3);
            memory.number().store(read + 2, Ordering::Relaxed);
            memory.pass();
        },
    )?;
    let (read, end) = (seen[2].load(Ordering::Relaxed), memory.number().load(Ordering::Relaxed));
    writeln!(
        out,
        "  A reads 5, B reads {read}, A writes 6, B writes {end}: 5 + 1 + 2 is 8, A's update is lost"
    )
}

/// The same two additions, each in one step.
fn lose_none(memory: &Shared, out: &mut impl Write) -> io::Result<()> {
    memory.start(5);
    let add = |number| {
        memory.number().fetch_add(number, Ordering::Relaxed);
    };
    both(|| add(1), || add(2))?;
    writeln!(out, "  A adds 1, B adds 2, each in one step: {}", memory.number().load(Ordering::Relaxed))
}

/// Many additions as they come.
fn many(memory: &Shared, out: &mut impl Write) -> io::Result<()> {
    let number = memory.number();
    // Both at once: a process takes longer to start than to add.
    let together = || {
        memory.pass();
        memory.wait_for(2);
    };
    let in_two_steps = || {
        together();
        for _ in 0..EACH {
            number.store(number.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    };
    let in_one_step = || {
        together();
        for _ in 0..EACH {
            number.fetch_add(1, Ordering::Relaxed);
        }
    };
    // On a busy machine one may have a core only after the other: then nothing is lost, and they try again.
    let (mut rounds, mut lost) = (0, 0);
    while rounds < 100 && lost == 0 {
        memory.start(0);
        both(in_two_steps, in_two_steps)?;
        (rounds, lost) = (rounds + 1, 2 * EACH - number.load(Ordering::Relaxed));
    }
    memory.start(0);
    both(in_one_step, in_one_step)?;
    let none = 2 * EACH - number.load(Ordering::Relaxed);
    writeln!(out, "  of {} additions in two steps {lost} were lost, in one step {none}", 2 * EACH)
}

/// All of it, in each kind of memory.
///
/// # Errors
/// No memory, no room in the file system, no right to make a file, or `out` cannot be written.
pub fn run(out: &mut impl Write) -> io::Result<()> {
    let name = format!("/slipring-example-{}", std::process::id());
    let path = std::env::temp_dir().join(&name[1..]);
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let named = shm_open(name.as_str(), OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR, mode);
    let kinds = [
        ("anonymous, for forked children", Shared::anonymous()),
        ("a mapped file", Shared::of(&file)),
        ("a POSIX name", named.map_err(io::Error::from).and_then(Shared::of)),
    ];
    // Whoever has it mapped needs no name any more.
    let _ = (std::fs::remove_file(&path), shm_unlink(name.as_str()));
    for (kind, memory) in kinds {
        writeln!(out, "{kind}:")?;
        out.flush()?;
        let memory = memory?;
        lose_an_update(&memory, out)?;
        lose_none(&memory, out)?;
        many(&memory, out)?;
    }
    Ok(())
}

#[allow(dead_code, reason = "the test of the examples calls what is inside")]
fn main() -> io::Result<()> {
    run(&mut io::stdout())
}
