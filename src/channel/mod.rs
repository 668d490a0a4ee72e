//! The handles that users hold: a ring verb, then a wake-up. What a handle must know of the other side, whether it
//! left or died, is asked here, never on the path of a message.

pub mod line;
pub mod loan;
pub mod lock;
pub mod members;
pub mod mpmc;
pub mod packets;
pub mod queue;
pub mod semaphore;
pub mod semset;
pub mod spsc;
pub mod stream;

use crate::error::Error;
use crate::event::WaitStrategy;
use crate::layout::{ABANDONED, ABSENT, CLOSED, DIED, ORPHANED, Party, PartyWord, Wakeup};
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::watch::Watch;

/// What the kernel knows of the participants of one ring. Dropping it gives the own lease back.
pub trait Host: Send {
    /// Whether a live process holds the lease of this party. Only the kernel's word counts, no clock and no pid.
    fn is_held(&self, party: usize) -> bool;

    /// Takes the lease of a party, alone; `false` if another holds it or has a share in it, or if the kernel refuses. An
    /// own share becomes the lease, and stays a share if it cannot.
    fn take(&self, party: usize) -> bool;

    /// Takes a share in the lease of a party; `false` if another holds it alone, or if the kernel refuses.
    fn share(&self, party: usize) -> bool;

    /// Gives the lease of a party back, or the share in it.
    fn give_back(&self, party: usize);

    /// A seat for another handle of this process, with a lease of its own.
    ///
    /// # Errors
    /// Whatever keeps this process from opening the segment once more.
    fn another(&self) -> Result<Seat, Error>;

    /// What people call the ring.
    fn ring(&self) -> String;
}

/// What a handle needs besides the ring itself.
pub struct Seat {
    /// The own lease, and the question after the peer's.
    pub host: Box<dyn Host>,
    /// The own process.
    pub pid: u32,
    /// Wall-clock time in nanoseconds since 1970, for people.
    pub now_ns: u64,
    /// Whether every process that may write the segment keeps to the protocol.
    pub trusted: bool,
}

/// What a request to be told of messages rests on; see `notify`.
pub struct Desk<'a, V> {
    /// The kernel's leases: who asks has one.
    pub host: &'a dyn Host,
    /// Where it is asked.
    pub watch: Watch,
    /// The ring.
    pub view: &'a V,
    /// What takes the request of this handle back when it is dropped.
    pub request: &'a mut Option<Box<dyn Send>>,
}

fn default_strategy(wakeup: Wakeup) -> WaitStrategy {
    if wakeup == Wakeup::None { WaitStrategy::Yield } else { WaitStrategy::Park }
}

/// The ring was made without a wake-up object, so nobody can sleep on it: spin or yield.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoWakeup;

impl std::fmt::Display for NoWakeup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "this ring was made without a wake-up object, so nobody can sleep on it: spin or yield")
    }
}

impl std::error::Error for NoWakeup {}

fn supported(strategy: WaitStrategy, wakeup: Wakeup) -> Result<WaitStrategy, NoWakeup> {
    match (strategy, wakeup) {
        (WaitStrategy::Park, Wakeup::None) => Err(NoWakeup),
        _ => Ok(strategy),
    }
}

/// The other side of a ring, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// Nobody has had the role yet.
    Absent,
    /// Has the role and is not dead; it may be stopped.
    Attached {
        /// Its process id, in the pid namespace that it lives in.
        pid: u32,
    },
    /// Left cleanly; nobody has followed.
    Closed,
    /// Was killed or crashed; nobody has followed.
    Died {
        /// The process id that it had.
        pid: u32,
    },
}

impl Party {
    /// Takes the role on paper; the lease, which the caller holds, is what counts.
    pub fn attach(&self, pid: u32, role: u32, now_ns: u64) {
        // ord(own) Relaxed: only the holder of the lease writes, and leases are handed over by the kernel.
        let word = PartyWord(self.word.load(Relaxed));
        // ord(own) Relaxed: only the holder of the lease writes; who is killed here makes its predecessor look younger.
        self.since_ns.store(now_ns, Relaxed);
        // ord(peer.state) Release -> Party::state: `since_ns` before the word.
        self.word.store(word.next_attached(pid, role).0, Release);
    }

    /// A clean good-bye: everything committed before it is visible to whoever reads it.
    pub fn close(&self) {
        self.end(CLOSED);
    }

    /// The participant is gone, in this way.
    pub fn end(&self, state: u64) {
        // ord(own) Relaxed: only the holder of the lease writes.
        let word = PartyWord(self.word.load(Relaxed));
        // ord(peer.state) Release -> Party::state: our last message before our good-bye.
        self.word.store(word.with(state).0, Release);
    }

    /// With a share in the lease: changes the state, unless the word is another by now. Whether it did.
    pub fn becomes(&self, word: PartyWord, state: u64) -> bool {
        // ord(peer.state) Release -> Party::state: the dead one's last message before the news of its death.
        // ord(peer.state) Relaxed on failure: another with a share was faster.
        self.word.compare_exchange(word.0, word.with(state).0, Release, Relaxed).is_ok()
    }

    /// The state on paper.
    pub fn state(&self) -> PartyWord {
        // ord(peer.state) Acquire <- Party::end: see the last message of who closed.
        PartyWord(self.word.load(Acquire))
    }

    /// When the last one attached, in nanoseconds since 1970; 0 for never.
    pub fn since(&self) -> u64 {
        // ord(own) Relaxed: for people; nothing is decided on it.
        self.since_ns.load(Relaxed)
    }

    /// The state, with the kernel asked whether an attached party lives. A free lease is proof of death only if the
    /// word is the same before and after the question: in between the party may have closed, or a successor attached.
    pub fn peer(&self, is_held: impl Fn() -> bool) -> Peer {
        let mut word = self.state();
        // Each round a successor came and went. More than a few are somebody's malice, and malice is alive.
        for _ in 0..8 {
            match word.state() {
                ABSENT => return Peer::Absent,
                CLOSED | ABANDONED => return Peer::Closed,
                DIED | ORPHANED => return Peer::Died { pid: word.pid() },
                // Attached, or damaged: the lease decides.
                _ if is_held() => break,
                _ => {}
            }
            let after = self.state();
            if after == word {
                return Peer::Died { pid: word.pid() };
            }
            word = after;
        }
        Peer::Attached { pid: word.pid() }
    }
}
