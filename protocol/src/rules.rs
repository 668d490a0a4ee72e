//! What all verbs share: who makes a transition, kills and returns, give_back; and the transitions that nobody can see.

use crate::model::{Act, Fault, Kind, Kind::*, Pc, Proc, State, Word};
use crate::table::{Bug, Config, Role};
use crate::{receive, send, sweep};

/// One transition of a process that runs; `choice` counts where the rules leave one. None: there is no such choice.
pub fn step(config: &Config, state: &State, p: usize, choice: usize, settle: bool) -> Option<(State, Act)> {
    let mut next = *state;
    let role = config.role(p);
    let pc = state.proc[p].pc;
    let gives_up = pc == Pc::Write && role == Role::GiveUp && choice < 2;
    let act = if choice > 0 && !(pc == Pc::Idle || pc == Pc::Scan || gives_up) {
        return None;
    } else if pc.is_sweeping() || pc == Pc::Idle && (choice > 0 || role == Role::Sweep) {
        // The heir and the peekers sweep as one of their choices.
        let choice = if role == Role::Sweep { choice } else { choice.wrapping_sub(1) };
        if pc == Pc::Idle && !(role == Role::Sweep || role == Role::Peek) {
            return None;
        }
        sweep::step(config, &mut next, p, choice)?
    } else if role.is_sender() {
        send::step(config, &mut next, p, choice, settle)
    } else {
        receive::step(config, &mut next, p, choice, settle)?
    };
    Some((next, act))
}

/// The kill of a process, and its return as another one of the same number. None: neither can happen.
pub fn fate(config: &Config, state: &State, p: usize) -> Option<(State, &'static str)> {
    let mut next = *state;
    let pc = state.proc[p].pc;
    if pc == Pc::Gone && config.reborn {
        // The newcomer's lease is its alone.
        if state.is_shared(p) && !config.has(Bug::SweepWithoutLease) {
            return None;
        }
        next.proc[p] = Proc::default();
        return Some((next, "is there again"));
    }
    if !pc.is_alive() || state.kills == 0 || !config.is_mortal(p) {
        return None;
    }
    let owned = state.slot[..config.slots].iter().filter(|slot| slot.word.is_of(p));
    // Who owns nothing and holds no lease is missed by nobody: its kill is like its stop.
    if owned.clone().next().is_none() && !pc.is_sweeping() && (!config.reborn || pc == Pc::Idle) {
        return None;
    }
    let unacked = owned.clone().filter(|slot| matches!(slot.word.kind, Peeked | RPinned)).count();
    next.credit += unacked as u8;
    next.kills -= 1;
    let left = owned.count() > 0;
    next.proc[p] = Proc { pc: if left { Pc::Dead } else { Pc::Gone }, ..Proc::default() };
    Some((next, "is killed"))
}

/// Puts both ends where the words say they are: the tail behind all positions past FREE, the head behind all past FULL.
///
/// That is the ring with cursors. A participant that finds its position used goes on to the next or to a hint, and acts
/// only where it is not used: at one of these two positions, however old its cursor was. Its walk there touches nothing
/// and cannot be seen, so it is skipped like the rest of what [`settle`] skips. The exchanges of the ends that the rules
/// still name find them moved.
pub fn ends(config: &Config, state: &mut State) {
    let n = config.slots as u8;
    let first = |used: fn(Kind) -> bool| {
        let next = |i: usize| state.position(config, i) + if used(state.slot[i].word.kind) { n } else { 0 };
        (0..config.slots).map(next).min().unwrap_or(0)
    };
    (state.tail, state.head) = (first(|kind| kind != Free), first(Kind::is_held));
}

/// Takes, for every process, the transitions that touch nothing and can only go one way: a CAS whose word, head or tail
/// has changed for good, and the load that follows it. Nobody else can see when they happen, so the states between them
/// need no visit. Rests on the head, the tail and the words never going back, which the unsettled configurations check.
pub fn settle(config: &Config, state: &mut State) {
    let n = config.slots as u8;
    // Seeded bugs that store blindly, or do not repeat, do just what is skipped here.
    let plain = config.bug.is_none();
    for p in 0..config.roles.len() {
        let Proc { pos, k, word, target, .. } = state.proc[p];
        let lap = |at: u8| at / n;
        let own = |kind| Word::new(lap(pos + k), kind, p);
        let here = state.at(config, pos).word;
        let behind = state.at(config, pos + k).word;
        let proc = &mut state.proc[p];
        match proc.pc {
            Pc::LoadTail | Pc::AtTail => {
                proc.pc = Pc::AtTail;
                proc.pos = state.tail;
            }
            Pc::Claim if here != Word::new(lap(pos), Free, 0) => proc.retry(Pc::AtTail, state.tail),
            Pc::HelpTail if pos != state.tail => proc.retry(Pc::AtTail, state.tail),
            Pc::LookAhead if pos + n <= state.tail => proc.retry(Pc::AtTail, state.tail),
            Pc::PinHeld if (here.lap, here.kind) != (word.lap, word.kind) => {
                proc.retry(Pc::AtTail, state.tail);
            }
            Pc::MoveTail if pos != state.tail => proc.go(Pc::Write),
            Pc::Commit if plain && config.role(p) != Role::Grant && behind != own(Writing) => {
                proc.go(Pc::GiveLoad);
            }
            Pc::LoadHead | Pc::AtHead => {
                proc.pc = Pc::AtHead;
                proc.pos = state.head;
            }
            Pc::Take if here != Word::new(lap(pos), Full, 0) => proc.retry(Pc::AtHead, state.head),
            Pc::PassTail if pos < state.head => proc.retry(Pc::AtHead, state.head),
            Pc::PassTail if pos != state.tail => proc.go(Pc::PassHead),
            Pc::PassHead if pos != state.head => proc.retry(Pc::AtHead, state.head),
            Pc::MoveHead if pos != state.head => proc.go(Pc::Read),
            Pc::Scan if pos + 2 * n <= state.head => proc.retry(Pc::AtHead, state.head),
            Pc::Reload | Pc::PinWriting if here != word => proc.retry(Pc::AtHead, state.head),
            Pc::Release if plain && behind != own(Reading) => proc.go(Pc::GiveLoad),
            Pc::SweepCas => {
                let now = state.slot[usize::from(k)].word;
                if (now.lap, now.kind) != (word.lap, word.kind) {
                    proc.go(Pc::Sweep);
                }
            }
            _ => {}
        }
        if state.proc[p].pc == Pc::Sweep {
            let at = &mut state.proc[p];
            while usize::from(at.k) < config.slots
                && !state.slot[usize::from(at.k)].word.is_of(usize::from(target))
            {
                at.k += 1;
            }
            if usize::from(at.k) == config.slots {
                at.k = 0;
                at.pc = Pc::SweepEnd;
            }
        }
        if plain && matches!(state.proc[p].pc, Pc::GiveLoad | Pc::GiveCas) {
            let slot = state.proc[p].gives(config);
            state.proc[p].word = state.slot[slot].word;
            state.proc[p].pc = Pc::GiveCas;
        }
    }
}

impl Proc {
    /// On to the next access of the verb.
    pub fn go(&mut self, pc: Pc) {
        self.pc = pc;
        self.word = Word::default();
    }

    /// Again from the start of the verb.
    pub fn retry(&mut self, pc: Pc, pos: u8) {
        let Proc { kept, bound, excuse, after, .. } = *self;
        *self = Proc { pc, pos, kept, bound, excuse, after, ..Proc::default() };
    }

    /// The verb is over.
    pub fn done(&mut self, answer: &'static str) -> Act {
        *self = Proc::default();
        Act::Done(answer)
    }

    /// The slot that give_back works on.
    pub fn gives(&self, config: &Config) -> usize {
        if self.tag && self.kept > 0 {
            usize::from(self.kept) - 1
        } else {
            usize::from(self.pos + self.k) % config.slots
        }
    }
}

/// give_back: the word, whatever pins have made of it, becomes FREE of the next lap. None: not there yet.
pub fn give_back(config: &Config, state: &mut State, p: usize) -> Option<Act> {
    let slot = state.proc[p].gives(config);
    let now = state.slot[slot].word;
    if !now.is_of(p) {
        return Some(Act::Bad(Fault::Foreign));
    }
    if state.proc[p].pc == Pc::GiveLoad {
        state.proc[p].word = now;
        state.proc[p].pc = Pc::GiveCas;
        return None;
    }
    let word = state.proc[p].word;
    if state.cas(slot, word, Word::new(word.lap + 1, Free, 0)) || config.has(Bug::GiveBackOnce) {
        return Some(Act::Run);
    }
    state.proc[p].pc = Pc::GiveLoad;
    None
}
