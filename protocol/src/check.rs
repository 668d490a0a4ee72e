//! What must hold in a state: its words, what a process reaches alone, and what remains of the ring after all have gone.

use crate::model::{Act, FILLER, Fault, HEIR, Kind, Pc, Proc, State};
use crate::rules::step;
use crate::table::Config;

/// More transitions than this and a process that runs alone counts as blocked.
pub const PATIENCE: usize = 64;

/// What the words themselves say.
pub fn words(config: &Config, state: &State) -> Option<Fault> {
    if state.head > state.tail {
        return Some(Fault::HeadBeyondTail);
    }
    for (i, slot) in state.slot[..config.slots].iter().enumerate() {
        let position = state.position(config, i);
        match slot.word.kind {
            Kind::Full if position < state.head => return Some(Fault::Lost),
            Kind::Free if position < state.tail => return Some(Fault::TailBeyondClaims),
            Kind::Free | Kind::Writing if slot.owed => return Some(Fault::Lost),
            _ => {}
        }
    }
    // The bytes are touched at any time while a process is about to touch them, so a slot that is not its own then is
    // a race. Since a slot has one owner, no two are in it.
    for (p, proc) in state.proc.iter().enumerate() {
        let own = match proc.pc {
            Pc::Write => [Kind::Writing, Kind::Pinned].as_slice(),
            Pc::Read => &[Kind::Reading, Kind::Peeked, Kind::Pinned, Kind::RPinned],
            _ => continue,
        };
        let word = state.at(config, proc.pos + proc.k).word;
        if !word.is_of(p) || !own.contains(&word.kind) {
            return Some(Fault::Foreign);
        }
        // The bytes of a voided grant are copied from where they stayed.
        if proc.kept > 0 {
            let from = state.slot[usize::from(proc.kept) - 1];
            if !from.word.is_of(p) || !from.whole {
                return Some(Fault::Foreign);
            }
        }
    }
    None
}

/// Runs one process alone until its verb ends. How many transitions it took, and the answer.
pub fn alone(config: &Config, state: &mut State, p: usize) -> Result<(usize, &'static str), Fault> {
    for steps in 1..=PATIENCE {
        let (next, act) = step(config, state, p, 0, false).expect("the first choice is always there");
        *state = next;
        match act {
            Act::Run => {}
            Act::Done(answer) => return Ok((steps, answer)),
            Act::Again => return Ok((steps, "waits")),
            Act::Bad(fault) => return Err(fault),
        }
        if let Some(fault) = words(config, state) {
            return Err(fault);
        }
    }
    Err(Fault::Blocked)
}

/// Runs a process while all others are stopped. How many transitions its verb took; and a sender gets whatever slot there
/// is, with this verb or the next, which passes over all writers who were there when it began.
pub fn goes_on(config: &Config, state: &State, p: usize) -> Result<usize, Fault> {
    let mut state = *state;
    let refused = |state: &mut State| {
        let (steps, answer) = alone(config, state, p)?;
        let fault = matches!(answer, "Full" | "waits") && !state.is_full_of_messages(config);
        Ok((steps, fault))
    };
    let begins = state.proc[p].pc == Pc::Idle;
    let (steps, again) = refused(&mut state)?;
    let blocked = again && (begins || refused(&mut state)?.1);
    if blocked { Err(Fault::Blocked) } else { Ok(steps) }
}

/// Where no process owns anything except the dead: sweeps them, drains the ring, fills it and drains it again.
pub fn capacity(config: &Config, state: &State) -> Result<(), Fault> {
    let mut state = *state;
    for p in 0..config.roles.len() {
        if state.proc[p].pc != Pc::Dead {
            state.proc[p] = Proc { pc: Pc::Gone, ..Proc::default() };
        }
    }
    state.proc[HEIR] = Proc::default();
    state.proc[FILLER] = Proc::default();
    let owed = state.slot[..config.slots].iter().filter(|slot| slot.owed).count();
    let mut got = 0;
    while let Some((next, _)) = step(config, &state, HEIR, 1, false) {
        state = next;
        got += usize::from(alone(config, &mut state, HEIR)?.1 == "acknowledged");
    }
    let drain = |state: &mut State| -> Result<usize, Fault> {
        let mut got = 0;
        while alone(config, state, HEIR)?.1 == "acknowledged" {
            got += 1;
        }
        Ok(got)
    };
    got += drain(&mut state)?;
    if got != owed {
        return Err(Fault::Lost);
    }
    for _ in 0..config.slots {
        if alone(config, &mut state, FILLER)?.1 != "Ok" {
            return Err(Fault::Capacity);
        }
    }
    if alone(config, &mut state, FILLER)?.1 != "Full" || drain(&mut state)? != config.slots {
        return Err(Fault::Capacity);
    }
    Ok(())
}

/// [`capacity`] can be judged here: nobody alive has a slot. Somebody may be sweeping, and be stopped at it.
pub fn is_still(config: &Config, state: &State) -> bool {
    (0..config.roles.len()).all(|p| {
        let pc = state.proc[p].pc;
        !pc.is_alive() || !state.owns(config, p) || pc == Pc::Idle
    })
}
