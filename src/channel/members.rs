//! Who takes part in an MPMC ring: the table of participants and the leases behind it. A participant that is found dead
//! is swept here, by whoever notices; one that is stopped holds its lease and is left alone.
//!
//! The words say who attached and who left, the lease says who lives. Whoever writes a participant's word holds its
//! lease, so of several that find one dead, one sweeps it; if that one dies too, the lease is free again and the word
//! still says attached: the next one sweeps what is left. Only then may the number be given to a newcomer.
#![forbid(unsafe_code)]

use crate::channel::{Host, Seat};
use crate::error::Error;
use crate::layout::{ABANDONED, ABSENT, ATTACHED, CLOSED, Census, DIED, ORPHANED, Party, RECEIVER};
use crate::ring::mpmc::Taken;
use crate::ring::sweep::{adopt, sweep};
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::view::SlotView;

/// One participant's place among the others.
pub struct Members {
    view: SlotView,
    host: Box<dyn Host>,
    me: usize,
    /// Whether the place came with messages that its last owner did not acknowledge.
    inherited: bool,
}

/// All places are taken by participants that live, or that left messages behind which nobody has adopted yet.
#[derive(Debug)]
pub struct NoPlace;

impl Members {
    /// Takes a free place, or a dead participant's after sweeping it.
    pub fn attach(view: SlotView, seat: Seat, role: u32) -> Result<Self, NoPlace> {
        let (pid, now_ns) = (seat.pid, seat.now_ns);
        let members = Members { view, host: seat.host, me: usize::MAX, inherited: false };
        // Places that nobody has to be asked about first.
        for sweeping in [false, true] {
            for party in 0..members.parties().len() {
                let state = members.parties()[party].state().state();
                let left_behind = matches!(state, ORPHANED | ABANDONED);
                if (state == ATTACHED) == sweeping && !left_behind && members.host.take(party) {
                    if members.settle(party) {
                        return Ok(members.seated(party, role, pid, now_ns));
                    }
                    members.host.give_back(party);
                }
            }
        }
        // Nobody may be left to adopt what keeps a place taken: then whoever comes to receive takes it as it is.
        for party in (0..members.parties().len()).filter(|_| role == RECEIVER) {
            if members.after_adoption(party, true).is_some() && members.host.take(party) {
                if members.after_adoption(party, true).is_some() {
                    return Ok(Members { inherited: true, ..members.seated(party, role, pid, now_ns) });
                }
                members.host.give_back(party);
            }
        }
        Err(NoPlace)
    }

    fn seated(mut self, party: usize, role: u32, pid: u32, now_ns: u64) -> Self {
        self.me = party;
        // ord(own) Relaxed: before the word, by the holder of the lease.
        self.parties()[party].role.store(role, Relaxed);
        self.parties()[party].attach(pid, now_ns);
        // ord(own) Relaxed: a hint that only ever gains bits.
        self.view.header.census.seen.fetch_or(role, Relaxed);
        self.changed();
        self
    }

    /// A participant that can do nothing, for a clone that found no place.
    #[must_use]
    pub fn outside(view: SlotView) -> Self {
        Members { view, host: Box::new(Nobody), me: usize::MAX, inherited: false }
    }

    /// Whether it has a place.
    #[must_use]
    pub fn is_seated(&self) -> bool {
        self.me != usize::MAX
    }

    /// The own number.
    #[must_use]
    pub fn me(&self) -> u32 {
        self.me as u32
    }

    /// What the kernel knows.
    #[must_use]
    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    fn parties(&self) -> &[Party] {
        &self.view.parties
    }

    /// Counts up whenever the table has changed; a change may be a moment ahead of the count.
    #[must_use]
    pub fn changes(&self) -> u32 {
        // ord(members.changes) Acquire <- Members::changed: the words are no older than the count.
        self.view.header.census.changes.load(Acquire)
    }

    fn changed(&self) {
        // ord(members.changes) Release -> Members::changes: the word before the count.
        self.view.header.census.changes.fetch_add(1, Release);
    }

    /// Leaves. What this participant still holds goes back; what it did not acknowledge, to another receiver.
    pub fn leave(&mut self, holds_slots: bool) {
        if !self.is_seated() {
            return;
        }
        let kept = holds_slots && sweep(&self.view, self.me()).kept > 0;
        self.parties()[self.me].end(if kept { ABANDONED } else { CLOSED });
        self.changed();
        // Before anybody is woken: who looks for what was left behind needs the lease.
        self.host.give_back(self.me);
        self.me = usize::MAX;
    }

    /// With the lease of `party` in hand: sweeps it if it died. Whether the place is free now.
    fn settle(&self, party: usize) -> bool {
        match self.parties()[party].state().state() {
            ATTACHED => {
                let kept = sweep(&self.view, party as u32).kept > 0;
                self.parties()[party].end(if kept { ORPHANED } else { DIED });
                self.changed();
                !kept
            }
            ORPHANED | ABANDONED => false,
            _ => true,
        }
    }

    /// Sweeps `party` if it is dead. Whether it was.
    pub fn look_at(&self, party: u32) -> bool {
        let party = party as usize;
        let Some(word) = self.parties().get(party).map(|p| p.state()) else { return false };
        if party == self.me || word.state() != ATTACHED || !self.host.take(party) {
            return false;
        }
        // Under the lease: is it still attached, and not by a newcomer that has left again meanwhile?
        let died = self.parties()[party].state().state() == ATTACHED;
        if died {
            self.settle(party);
        }
        self.host.give_back(party);
        died
    }

    /// Sweeps whoever is dead. Whether anyone was.
    pub fn look_around(&self) -> bool {
        (0..self.parties().len()).filter(|&party| self.look_at(party as u32)).count() > 0
    }

    /// How many live participants have this role, this one included.
    #[must_use]
    pub fn live(&self, role: u32) -> usize {
        let lives = |&(index, party): &(usize, &Party)| {
            party.state().state() == ATTACHED
                && party.role() == role
                && (index == self.me || self.host.is_held(index))
        };
        self.parties().iter().enumerate().filter(lives).count()
    }

    /// Whether everybody with this role is gone: `Some(None)` if all have left, `Some(pid)` if one that was killed is the
    /// latest of those whose places nobody else has taken. `None` as well if nobody ever had it: somebody may come.
    #[must_use]
    pub fn ended(&self, role: u32) -> Option<Option<u32>> {
        // A clone may take a place that was looked at already before its original gives up one that was not. So nobody is
        // gone unless the table stood still. One that never does is alive.
        let before = self.changes();
        let seen = self.view.header.census.roles() & role != 0;
        if self.live(role) > 0 || !seen {
            return None;
        }
        let those = self.parties().iter().map(|party| (party.since(), party.role(), party.state()));
        let gone = those.filter(|(_, its, word)| *its == role && word.state() != ABSENT);
        let latest = gone.max_by_key(|(since, ..)| *since).map(|(.., word)| word);
        if self.changes() != before {
            return None;
        }
        Some(latest.filter(|word| !matches!(word.state(), CLOSED | ABANDONED)).map(|word| word.pid()))
    }

    /// Adopts the messages that receivers who left did not acknowledge; if `dead`, also those of receivers who died, which
    /// come again and must say so.
    #[must_use]
    pub fn adopt(&self, dead: bool) -> Vec<Taken> {
        let mut adopted = Vec::new();
        for index in (0..self.parties().len()).filter(|index| *index != self.me) {
            if self.after_adoption(index, dead).is_none() || !self.host.take(index) {
                continue;
            }
            // Again, with its lease in hand.
            if let Some(then) = self.after_adoption(index, dead) {
                adopted.extend(adopt(&self.view, index as u32, self.me()));
                self.parties()[index].end(then);
                self.changed();
            }
            self.host.give_back(index);
        }
        adopted
    }

    /// The messages that came with the place, once.
    #[must_use]
    pub fn inherit(&mut self) -> Vec<Taken> {
        match std::mem::take(&mut self.inherited) {
            true => adopt(&self.view, self.me(), self.me()),
            false => Vec::new(),
        }
    }

    /// What a participant with messages left behind becomes when they are adopted.
    fn after_adoption(&self, party: usize, dead: bool) -> Option<u64> {
        match self.parties()[party].state().state() {
            ORPHANED if dead => Some(DIED),
            ABANDONED => Some(CLOSED),
            _ => None,
        }
    }
}

impl Party {
    /// The role on paper, in an MPMC ring.
    pub fn role(&self) -> u32 {
        // ord(own) Relaxed: written before the word that was read before this.
        self.role.load(Relaxed)
    }
}

impl Census {
    /// Roles that somebody ever had.
    pub fn roles(&self) -> u32 {
        // ord(own) Relaxed: a hint; a participant is there before its bit, and then the table tells.
        self.seen.load(Relaxed)
    }
}

/// The host of a participant without a place.
struct Nobody;

impl Host for Nobody {
    fn is_held(&self, _party: usize) -> bool {
        true
    }
    fn take(&self, _party: usize) -> bool {
        false
    }
    fn give_back(&self, _party: usize) {}
    fn another(&self) -> Result<Seat, Error> {
        Err(Error::Unattached)
    }
    fn ring(&self) -> String {
        String::new()
    }
}
