//! Who takes part in an MPMC ring: the table of participants and the leases behind it. A participant that is found dead
//! is swept here, by whoever notices; one that is stopped holds its lease and is left alone.
//!
//! The words say who attached and who left, the lease says who lives. A participant has its lease alone. Whoever cleans up
//! behind one that is gone takes a *share* in its lease: that can be had only if nobody has it alone, so the one before is
//! dead, and as long as anybody has a share there is no newcomer whose slots could be taken for the dead one's. A share
//! makes nobody look alive, and keeps nobody else from one. So several may sweep the same participant, by exchanges of
//! exact words, and one that is stopped or killed at it costs the others nothing, but for the place: nobody can be given
//! that before it goes on.
//!
//! Words change so: with the lease alone, to attached and from attached to left; with a share, by exchange, from attached to
//! died or orphaned, and from orphaned or abandoned to what they are when nothing is left. A newcomer takes a share first,
//! sweeps, and only then makes it the lease: nobody ever has the lease of one that is dead and looks attached.
#![forbid(unsafe_code)]

use crate::channel::{Host, Seat};
use crate::error::Error;
use crate::layout::{
    ABANDONED, ABSENT, ATTACHED, CLOSED, Census, DIED, ORPHANED, Party, PartyWord, RECEIVER,
};
use crate::ring::mpmc::Taken;
use crate::ring::sweep::{adopt, sort_by_age, sweep, sweep_some};
use crate::sync::Ordering::{Acquire, Release};
use crate::sync::{Pace, yield_now};
use crate::view::SlotView;
use std::cell::Cell;
use std::time::Duration;

/// How long a newcomer tries again, at least, for a place that somebody just comes to, leaves or sweeps. That takes
/// microseconds; in a ring of very many slots as long as the newcomer's own first round took, which sweeps the same slots,
/// and some times that: who takes longer is stopped.
const PASSING: Duration = Duration::from_millis(50);
const ROUNDS: u32 = 4;

/// Of how many participants the kernel is asked at most in one look around, a system call each, and how many slots are
/// swept at most in one look: so a verb takes no longer, however many are there, have died, or are said to. The next look
/// goes on from there.
const QUESTIONS: usize = 16;
const SLOTS_PER_LOOK: u64 = 1 << 18;

/// One participant's place among the others.
pub struct Members {
    view: SlotView,
    host: Box<dyn Host>,
    me: usize,
    /// Whether the place came with messages that its last owner did not acknowledge.
    inherited: bool,
    /// With whom the next look around begins.
    next: Cell<usize>,
    /// A sweep that a look began and did not end.
    begun: Cell<Option<Begun>>,
}

/// What came of a look around.
struct Around {
    /// Something was swept.
    swept: bool,
    /// Everybody was asked for, and nothing is left to sweep.
    whole: bool,
}

/// How far a sweep is. It stands for as long as the word does: then nobody else was given the place.
#[derive(Clone, Copy)]
struct Begun {
    party: usize,
    word: PartyWord,
    /// Slots swept.
    slots: u64,
    /// Messages kept in them.
    kept: usize,
}

/// All places are taken by participants that live, or that left messages behind which nobody has adopted yet.
#[derive(Debug)]
pub struct NoPlace;

impl Members {
    /// Takes a free place, or a dead participant's after sweeping it.
    pub fn attach(view: SlotView, seat: Seat, role: u32) -> Result<Self, NoPlace> {
        let (pid, now_ns) = (seat.pid, seat.now_ns);
        let members = Members { host: seat.host, ..Self::outside(view) };
        let started = Pace::new();
        let mut clock = None;
        let mut last = false;
        loop {
            let mut passing = false;
            // Places that nobody has to be asked about first. What keeps a place taken there may be nobody left to adopt:
            // then whoever comes to receive takes it as it is.
            for class in [Class::Free, Class::Attached, Class::Left] {
                for party in (0..members.parties().len()).filter(|_| class != Class::Left || role == RECEIVER)
                {
                    match members.settle_in(party, class) {
                        Settled::Yes => {
                            let inherited = class == Class::Left;
                            return Ok(Members { inherited, ..members.seated(party, role, pid, now_ns) });
                        }
                        Settled::No => {}
                        Settled::Passing => passing = true,
                    }
                }
            }
            if last || !passing {
                return Err(NoPlace);
            }
            let (pace, patience) = clock
                .get_or_insert_with(|| (Pace::new(), PASSING.max(started.elapsed().saturating_mul(ROUNDS))));
            last = pace.passed(*patience);
            yield_now();
        }
    }

    /// Takes the lease of a place, if it is of this class, and sweeps it before.
    fn settle_in(&self, party: usize, class: Class) -> Settled {
        if Class::of(self.parties()[party].state()) != class {
            return Settled::No;
        }
        if !self.host.share(party) {
            return if class == Class::Attached { Settled::No } else { Settled::Passing };
        }
        self.mend(party, &mut { u64::MAX });
        // What looks attached from here on is another one, and dead: unswept.
        let fits = || match Class::of(self.parties()[party].state()) {
            Class::Free => true,
            Class::Left => class == Class::Left,
            Class::Attached => false,
        };
        if !fits() {
            self.host.give_back(party);
            return Settled::No;
        }
        // While there is a share nobody comes: the word is the same when the share becomes the lease.
        if self.host.take(party) {
            return Settled::Yes;
        }
        self.host.give_back(party);
        // Others have shares, perhaps to become the lease: whoever gives up last gets it. Unless one came in between, and
        // died: then from the start.
        let taken = self.host.take(party);
        if taken && fits() {
            return Settled::Yes;
        }
        if taken {
            self.host.give_back(party);
        }
        Settled::Passing
    }

    fn seated(mut self, party: usize, role: u32, pid: u32, now_ns: u64) -> Self {
        self.me = party;
        // Those who came after one another do not all ask for the same ones.
        self.next.set(party);
        self.parties()[party].attach(pid, role, now_ns);
        self.note_down(role);
        self.changed();
        self
    }

    /// Somebody has this role, or had it.
    fn note_down(&self, role: u32) {
        // ord(members.seen) Release -> Census::roles: the word before the bit.
        self.view.header.census.seen.fetch_or(role, Release);
    }

    /// A participant that can do nothing, for a clone that found no place.
    #[must_use]
    pub fn outside(view: SlotView) -> Self {
        Members {
            view,
            host: Box::new(Nobody),
            me: usize::MAX,
            inherited: false,
            next: Cell::new(0),
            begun: Cell::new(None),
        }
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
        // Before anybody is woken: who looks for what was left behind needs a share in the lease.
        self.host.give_back(self.me);
        if kept {
            // Who looked in between could not have one.
            self.changed();
        }
        self.me = usize::MAX;
    }

    /// With a share in the lease of `party`: sweeps it if it died, at most so many slots as are left of `budget`. Whether it
    /// had, and nobody had written that down yet.
    fn mend(&self, party: usize, budget: &mut u64) -> bool {
        let word = self.parties()[party].state();
        let begun = self.begun.take().filter(|begun| (begun.party, begun.word) == (party, word));
        let died = word.state() == ATTACHED;
        if died {
            let mut sweep = begun.unwrap_or(Begun { party, word, slots: 0, kept: 0 });
            let to = sweep.slots.saturating_add(*budget).min(self.view.slots());
            *budget -= to - sweep.slots;
            sweep.kept += sweep_some(&self.view, party as u32, sweep.slots..to).kept;
            sweep.slots = to;
            if to < self.view.slots() {
                self.begun.set(Some(sweep));
                return true;
            }
            // It may have been killed before it got to that. Before the word: once that tells of a death nobody comes here.
            self.note_down(word.role());
            self.becomes(party, word, if sweep.kept > 0 { ORPHANED } else { DIED });
        }
        died
    }

    /// With a share in the lease of `party`: changes its state, unless another with a share has done so.
    fn becomes(&self, party: usize, word: PartyWord, state: u64) {
        if self.parties()[party].becomes(word, state) {
            self.changed();
        }
    }

    /// Sweeps `party` if it is dead, after what was begun. Whether anything was swept.
    pub fn look_at(&self, party: u32) -> bool {
        let mut budget = SLOTS_PER_LOOK;
        let went_on = self.go_on(&mut budget);
        let party = party as usize;
        if budget == 0 || !self.may_be_dead(party) {
            return went_on;
        }
        self.see_to(party, &mut budget) | went_on
    }

    /// Sweeps whoever is dead, as far as one look goes. Whether anything was swept.
    pub fn look_around(&self) -> bool {
        self.look(QUESTIONS).swept
    }

    /// How the other side has ended, if it has: as [`Members::ended`], once everybody who is dead was swept, which may take
    /// more than one look. And whether anything was swept.
    pub fn ended_and_swept(&self, role: u32) -> (Option<Option<u32>>, bool) {
        let Some(end) = self.ended(role) else { return (None, false) };
        let Around { swept, whole } = self.look(usize::MAX);
        (whole.then_some(end), swept)
    }

    fn look(&self, questions: usize) -> Around {
        let mut budget = SLOTS_PER_LOOK;
        let mut swept = self.go_on(&mut budget);
        let (all, first) = (self.parties().len(), self.next.get());
        let those = (0..all).map(|step| (first + step) % all).filter(|&party| self.may_be_dead(party));
        for (asked, party) in those.enumerate() {
            if asked == questions || budget == 0 {
                self.next.set(party);
                return Around { swept, whole: false };
            }
            swept |= self.see_to(party, &mut budget);
        }
        Around { swept, whole: self.begun.get().is_none() }
    }

    /// Whether this participant left messages behind that [`Members::adopt`] would bring.
    #[must_use]
    pub fn has_left(&self, party: u32, dead: bool) -> bool {
        let word = self.parties().get(party as usize).map(Party::state);
        word.is_some_and(|word| after_adoption(word, dead).is_some())
    }

    fn may_be_dead(&self, party: usize) -> bool {
        party != self.me && self.parties().get(party).is_some_and(|p| p.state().state() == ATTACHED)
    }

    fn go_on(&self, budget: &mut u64) -> bool {
        self.begun.get().is_some_and(|begun| self.see_to(begun.party, budget))
    }

    fn see_to(&self, party: usize, budget: &mut u64) -> bool {
        if !self.host.share(party) {
            // Somebody lives there; one that comes to a dead one's place sweeps it itself.
            self.begun.set(self.begun.get().filter(|begun| begun.party != party));
            return false;
        }
        let died = self.mend(party, budget);
        self.host.give_back(party);
        died
    }

    /// How many live participants have this role, this one included.
    #[must_use]
    pub fn live(&self, role: u32) -> usize {
        (0..self.parties().len()).filter(|&party| self.standing(party, role) == Standing::Lives).count()
    }

    /// What everybody has said last.
    fn words(&self) -> impl Iterator<Item = PartyWord> + '_ {
        self.parties().iter().map(Party::state)
    }

    /// How a place stands as to this role, by its word and its lease.
    fn standing(&self, party: usize, role: u32) -> Standing {
        let word = self.parties()[party].state();
        if word.role() != role || word.state() == ABSENT {
            return Standing::None;
        }
        if word.state() != ATTACHED {
            return Standing::Gone(word);
        }
        if party == self.me || self.host.is_held(party) {
            return Standing::Lives;
        }
        // A free lease tells of a death only if the word is still the same: it may have said good-bye meanwhile, or another
        // may have come, who lives.
        let after = self.parties()[party].state();
        let came = after.state() == ATTACHED && after != word;
        if came { Standing::Lives } else { Standing::Gone(after) }
    }

    /// Whether everybody with this role is gone: `Some(None)` if all have left, `Some(pid)` if one that was killed is the
    /// latest of those whose places nobody else has taken. `None` as well if nobody ever had it: somebody may come.
    #[must_use]
    pub fn ended(&self, role: u32) -> Option<Option<u32>> {
        if self.view.header.census.roles() & role == 0 {
            return None;
        }
        // Somebody may come to a place that was looked at already before another gives up one that was not. So nobody is
        // gone unless every word stood still meanwhile; the count of changes comes behind the words, and may never come.
        // One that never stands still is alive.
        let before: Vec<_> = self.words().collect();
        let mut latest: Option<(u64, PartyWord)> = None;
        for (index, party) in self.parties().iter().enumerate() {
            match self.standing(index, role) {
                Standing::Lives => return None,
                Standing::Gone(word) if latest.is_none_or(|(since, _)| since <= party.since()) => {
                    latest = Some((party.since(), word));
                }
                _ => {}
            }
        }
        // No word comes again: each attachment has its number, of 27 bits, and is never attached a second time.
        if self.words().ne(before) {
            return None;
        }
        let died = latest.filter(|(_, word)| !matches!(word.state(), CLOSED | ABANDONED));
        Some(died.map(|(_, word)| word.pid()))
    }

    /// Adopts the messages that receivers who left did not acknowledge; if `dead`, also those of receivers who died, which
    /// come again and must say so. Oldest first. Of very many, in a ring of very many slots, the rest is left to the next
    /// call; the table has changed until then.
    #[must_use]
    pub fn adopt(&self, dead: bool) -> Vec<Taken> {
        let mut adopted = Vec::new();
        let mut budget = SLOTS_PER_LOOK;
        for index in (0..self.parties().len()).filter(|index| *index != self.me) {
            if after_adoption(self.parties()[index].state(), dead).is_none() || !self.host.share(index) {
                continue;
            }
            // Again, with a share in its lease.
            let word = self.parties()[index].state();
            if let Some(then) = after_adoption(word, dead) {
                adopted.extend(adopt(&self.view, index as u32, self.me()));
                self.becomes(index, word, then);
                budget = budget.saturating_sub(self.view.slots());
            }
            self.host.give_back(index);
            if budget == 0 {
                break;
            }
        }
        sort_by_age(&mut adopted);
        adopted
    }

    /// The messages that came with the place, once.
    #[must_use]
    pub fn inherit(&mut self) -> Vec<Taken> {
        if !std::mem::take(&mut self.inherited) {
            return Vec::new();
        }
        let mut inherited = adopt(&self.view, self.me(), self.me());
        sort_by_age(&mut inherited);
        inherited
    }
}

/// What a participant with messages left behind becomes when they are adopted.
fn after_adoption(word: PartyWord, dead: bool) -> Option<u64> {
    match word.state() {
        ORPHANED if dead => Some(DIED),
        ABANDONED => Some(CLOSED),
        _ => None,
    }
}

/// What a newcomer makes of a place's word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nobody has it, or damage says something that nobody writes.
    Free,
    /// Somebody lives there, or has died there.
    Attached,
    /// Messages were left there.
    Left,
}

impl Class {
    fn of(word: PartyWord) -> Class {
        match word.state() {
            ATTACHED => Class::Attached,
            ORPHANED | ABANDONED => Class::Left,
            _ => Class::Free,
        }
    }
}

/// What came of a try for a place.
#[derive(PartialEq, Eq)]
enum Settled {
    Yes,
    No,
    /// Somebody else is at it, and soon done unless it is stopped.
    Passing,
}

/// How a place stands, see [`Members::standing`].
#[derive(PartialEq, Eq)]
enum Standing {
    Lives,
    Gone(PartyWord),
    None,
}

impl Census {
    /// Roles that somebody ever had.
    pub fn roles(&self) -> u32 {
        // ord(members.seen) Acquire <- Members::note_down: who has the role is in the table by then.
        self.seen.load(Acquire)
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
    fn share(&self, _party: usize) -> bool {
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
