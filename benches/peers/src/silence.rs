//! PERF-6: does anybody call the kernel while nobody sleeps?
//!
//! Both processes stream bursts of messages with the kernel's *syscall user dispatch* armed (Linux 5.11, x86-64): the
//! first system call of a burst is not executed but delivered as SIGSYS; the handler notes its number, disarms, and lets
//! it run. Code without system calls runs at full speed, and nothing is estimated. A burst proves nothing, and is left out,
//! if one of the two lost its core, or, parking, had nothing to do for so long that it made ready to sleep: that begins
//! with sched_yield(2) and membarrier(2). A wake-up call that nobody had asked for counts.
#![allow(clippy::disallowed_types, reason = "the library's facade is the library's own")]

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use serde::{Deserialize, Serialize};
use slipring::WaitStrategy;
use slipring_harness::HarnessError;
use slipring_harness::mechanism::{Flavour, Mechanism, ReceiveMessage, Spsc};
use slipring_harness::payload::{Registers, Source, verdict};
use slipring_harness::process::Pair;
use slipring_harness::usage::Usage;

const BURSTS: usize = 40;
const MESSAGES: u64 = 50_000;
const SIZE: usize = 56;

/// What the kernel reads at every system call once dispatch is on: let it through, or signal it.
static SELECTOR: AtomicU8 = AtomicU8::new(LET_THROUGH);
const LET_THROUGH: u8 = 0;
const SIGNAL: u8 = 1;

/// The first system call since the last look; -1 for none.
static SEEN: AtomicI64 = AtomicI64::new(-1);

/// What one side saw of a burst.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Burst {
    /// The number of the first system call.
    call: Option<i64>,
    /// Context switches of any kind.
    switches: i64,
}

impl Burst {
    /// Neither off its core nor, if it `parks`, on its way to sleep.
    fn is_undisturbed(&self, parks: bool) -> bool {
        let on_the_way = [Some(libc::SYS_sched_yield), Some(libc::SYS_membarrier)].contains(&self.call);
        self.switches == 0 && !(parks && on_the_way)
    }
}

/// What became of all bursts of one flavour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Bursts in which both processes stayed on their cores and awake.
    pub undisturbed: usize,
    /// Those of them in which neither called the kernel.
    pub silent: usize,
    /// All bursts.
    pub bursts: usize,
    /// Messages a burst.
    pub messages: u64,
    /// The numbers of the system calls that broke the silence of undisturbed bursts.
    pub calls: Vec<i64>,
}

/// Streams [`BURSTS`] bursts through a ring of this flavour.
///
/// # Errors
/// If the kernel or the processor has no syscall user dispatch, and as measurements.
pub fn silence<F: Flavour>(pair: &Pair) -> Result<Silence, HarnessError> {
    let (sender, receiver) = pair.run(
        Spsc::<F>::prepare(SIZE)?,
        |meeting, way| {
            let mut to = way.sender()?;
            let mut source = Registers::new(SIZE);
            arm()?;
            let mut seq = 0;
            bursts(
                || meeting.meet(),
                || {
                    for _ in 0..MESSAGES {
                        source.send(&mut to, seq, false)?;
                        seq += 1;
                    }
                    Ok(())
                },
            )
        },
        |meeting, way| {
            let mut from = way.receiver()?;
            arm()?;
            let (mut seq, mut fault) = (0, None);
            bursts(
                || meeting.meet(),
                || {
                    for _ in 0..MESSAGES {
                        from.receive(SIZE, |message| verdict::<Registers>(message, SIZE, seq, &mut fault))?;
                        seq += 1;
                    }
                    fault.take().map_or(Ok(()), Err)
                },
            )
        },
    )?;
    Ok(sum(&sender, &receiver, F::STRATEGY == WaitStrategy::Park))
}

fn sum(sender: &[Burst], receiver: &[Burst], parks: bool) -> Silence {
    // The first burst warms up.
    let pairs = || sender.iter().zip(receiver).skip(1);
    let undisturbed =
        || pairs().filter(|(one, other)| one.is_undisturbed(parks) && other.is_undisturbed(parks));
    let mut calls: Vec<i64> =
        undisturbed().flat_map(|(one, other)| [one.call, other.call]).flatten().collect();
    calls.sort_unstable();
    calls.dedup();
    let silent = undisturbed().filter(|(one, other)| one.call.is_none() && other.call.is_none()).count();
    Silence { undisturbed: undisturbed().count(), silent, bursts: pairs().count(), messages: MESSAGES, calls }
}

fn bursts(
    meet: impl Fn(),
    mut work: impl FnMut() -> Result<(), HarnessError>,
) -> Result<Vec<Burst>, HarnessError> {
    let mut bursts = Vec::with_capacity(BURSTS + 1);
    for _ in 0..=BURSTS {
        let before = Usage::so_far()?;
        meet();
        SEEN.store(-1, Ordering::Relaxed);
        // Relaxed: read by the kernel in this same thread.
        SELECTOR.store(SIGNAL, Ordering::Relaxed);
        let done = work();
        SELECTOR.store(LET_THROUGH, Ordering::Relaxed);
        done?;
        let call = SEEN.load(Ordering::Relaxed);
        let spent = Usage::so_far()? - before;
        let switches = spent.voluntary + spent.involuntary;
        bursts.push(Burst { call: (call >= 0).then_some(call), switches });
    }
    // Neither leaves the ring before the other is done with it.
    meet();
    Ok(bursts)
}

/// Turns dispatch on for this process, with everything let through for now.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn arm() -> Result<(), HarnessError> {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
    const PR_SYS_DISPATCH_ON: u64 = 1;
    let action = SigAction::new(SigHandler::SigAction(on_call), SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handler touches two atomics and its own context, nothing else.
    unsafe { sigaction(Signal::SIGSYS, &action) }
        .map_err(|errno| HarnessError::os("catching SIGSYS", errno))?;
    // SAFETY: the selector is a static byte, readable for the life of the process; no code range is exempt.
    let on = unsafe {
        libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0u64, 0u64, SELECTOR.as_ptr())
    };
    if on == 0 {
        return Ok(());
    }
    Err(HarnessError::os("turning syscall user dispatch on (Linux 5.11)", std::io::Error::last_os_error()))
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn arm() -> Result<(), HarnessError> {
    Err(HarnessError::BadOption { what: "system calls, which are counted on x86-64 only".into() })
}

/// The call was undone: its number is back in rax and the instruction pointer behind the two bytes of `syscall`.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
extern "C" fn on_call(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    const LENGTH_OF_SYSCALL: i64 = 2;
    // SAFETY: with SA_SIGINFO the third argument is the interrupted thread's context, ours until the handler returns.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    SEEN.store(registers[libc::REG_RAX as usize], Ordering::Relaxed);
    SELECTOR.store(LET_THROUGH, Ordering::Relaxed);
    registers[libc::REG_RIP as usize] -= LENGTH_OF_SYSCALL;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbed_bursts_prove_nothing() {
        let burst = |call, switches| Burst { call, switches };
        let warm = burst(Some(9), 9);
        let to_sleep = Some(libc::SYS_membarrier);
        let wake = Some(libc::SYS_futex);
        let sender = [warm, burst(None, 0), burst(None, 1), burst(wake, 0), burst(None, 0), burst(wake, 0)];
        let receiver =
            [warm, burst(None, 0), burst(wake, 0), burst(None, 0), burst(Some(24), 1), burst(to_sleep, 0)];
        let parked = sum(&sender, &receiver, true);
        assert_eq!((parked.bursts, parked.undisturbed, parked.silent), (5, 2, 1));
        assert_eq!(parked.calls, [libc::SYS_futex]);
        // Whoever spins has no business with the kernel at all.
        let spun = sum(&sender, &receiver, false);
        assert_eq!((spun.undisturbed, spun.silent), (3, 1));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_first_call_is_noticed_and_still_done() {
        // In a thread of its own: dispatch is the thread's.
        let seen = std::thread::spawn(|| {
            if arm().is_err() {
                return None;
            }
            let mut quiet = bursts(|| (), || Ok(())).unwrap();
            let mut ids = Vec::new();
            let loud = bursts(
                || (),
                || {
                    // SAFETY: has no effect but its answer.
                    ids.push(unsafe { libc::syscall(libc::SYS_getppid) });
                    Ok(())
                },
            );
            quiet.extend(loud.unwrap().into_iter().skip(BURSTS));
            Some((quiet, ids))
        });
        let Some((bursts, ids)) = seen.join().unwrap() else {
            eprintln!("skipped: this kernel has no syscall user dispatch");
            return;
        };
        let (last, quiet) = bursts.split_last().unwrap();
        assert!(quiet.iter().all(|burst| burst.call.is_none()));
        assert_eq!(last.call, Some(libc::SYS_getppid));
        // SAFETY: has no effect but its answer.
        let parent = unsafe { libc::syscall(libc::SYS_getppid) };
        assert!(ids.iter().all(|&id| id == parent));
    }
}
