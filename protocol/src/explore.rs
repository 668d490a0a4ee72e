//! Breadth first through all states, so that the first fault found has a shortest trace. Every state is kept, 36 bytes
//! and its parent: nothing rests on a hash being unique.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::check;
use crate::model::{Act, Fault, Pc, State};
use crate::pack::Packed;
use crate::rules::{ends, fate, settle, step};
use crate::table::Config;

mod endless;
mod symmetry;
#[cfg(test)]
mod tests;
mod trace;
mod visited;

use endless::endless;
use symmetry::canonical;
use trace::{describe, path, trace};
use visited::Visited;

/// What an exploration found.
pub struct Report {
    /// States visited.
    pub states: usize,
    /// Transitions taken.
    pub transitions: usize,
    /// Transitions from the first state to the farthest.
    pub depth: usize,
    /// The most transitions that a process needed alone to the end of its verb.
    pub alone: usize,
    /// How long it took.
    pub time: Duration,
    /// The broken promise, and how it comes to that.
    pub fault: Option<(Fault, Vec<String>)>,
    /// Not everything was visited: there are more states than allowed.
    pub cut: bool,
    /// What processes were about to do, in some state.
    pub reached: BTreeSet<Pc>,
    /// The answers given.
    pub answers: BTreeSet<&'static str>,
}

/// A transition of a process: what it was, where it leads.
pub struct Move {
    /// Whose.
    pub by: usize,
    /// How it ended.
    pub act: Act,
    /// Instead of a step: a kill, or the return.
    pub fate: Option<&'static str>,
    /// The state after it, not clamped.
    pub next: State,
}

fn broken(config: &Config, m: &Move) -> Option<Fault> {
    if let Act::Bad(fault) = m.act { Some(fault) } else { check::words(config, &m.next) }
}

/// Every transition of a state.
pub fn moves(config: &Config, state: &State, mut each: impl FnMut(Move)) {
    let mut one = |by, fate, mut next: State, act| {
        if config.cursors {
            ends(config, &mut next);
        }
        if config.settle && !matches!(act, Act::Bad(_)) {
            settle(config, &mut next);
        }
        excuse(config, &mut next);
        each(Move { by, act, fate, next });
    };
    for p in 0..config.roles.len() {
        if let Some((next, what)) = fate(config, state, p) {
            one(p, Some(what), next, Act::Run);
        }
        if state.proc[p].pc.is_alive() {
            let mut choice = 0;
            while let Some((next, act)) = step(config, state, p, choice, config.settle) {
                one(p, None, next, act);
                choice += 1;
            }
        }
    }
}

/// Ghost: whose negative answer would be right at this moment.
fn excuse(config: &Config, state: &mut State) {
    let (full, empty) = (state.is_full(config), state.is_empty(config));
    for (p, role) in config.roles.iter().enumerate() {
        let proc = &mut state.proc[p];
        let receiving = matches!(
            proc.pc,
            Pc::LoadHead
                | Pc::AtHead
                | Pc::Take
                | Pc::PassTail
                | Pc::PassHead
                | Pc::Scan
                | Pc::Reload
                | Pc::PinWriting
        );
        let sending = role.is_sender() && proc.pc.is_alive() && proc.pc != Pc::Idle;
        proc.excuse |= receiving && empty || sending && full;
    }
}

/// The runs of single processes that were already looked at, by all that they depend on.
#[derive(Default)]
struct Alone {
    runs: FxHashMap<[u32; 5], u8>,
    still: FxHashSet<[u32; 3]>,
}

impl Alone {
    fn look(&mut self, config: &Config, state: &State, packed: &Packed) -> Result<u8, Fault> {
        let mut most = 0;
        let dead = (0..config.roles.len()).fold(0, |dead, p| {
            dead | u32::from(state.proc[p].pc == Pc::Dead) << p | u32::from(state.is_shared(p)) << (p + 8)
        });
        for p in 0..config.roles.len() {
            let pc = state.proc[p].pc;
            // What an idle receiver finds is looked at where it has begun; an idle sender's verb may be over at once.
            if !pc.is_alive() || pc == Pc::Idle && !config.role(p).is_sender() {
                continue;
            }
            let own = p as u32 | u32::from(state.proc[p].bound) << 8;
            let steps = match self.runs.entry([packed[p], packed[6], packed[7], dead, own]) {
                std::collections::hash_map::Entry::Occupied(known) => *known.get(),
                std::collections::hash_map::Entry::Vacant(new) => {
                    *new.insert(check::goes_on(config, state, p)? as u8)
                }
            };
            most = most.max(steps);
        }
        if check::is_still(config, state) && self.still.insert([packed[6], packed[7], dead]) {
            check::capacity(config, state)?;
        }
        Ok(most)
    }
}

/// Visits every state, at most `limit`.
pub fn explore(config: &Config, limit: usize) -> Report {
    visit(config, limit, &mut Visited::default())
}

fn visit(config: &Config, limit: usize, visited: &mut Visited) -> Report {
    let start = Instant::now();
    let mut alone = Alone::default();
    let mut first = State::first(config);
    if config.settle {
        settle(config, &mut first);
    }
    visited.insert(canonical(config, &mut first), 0);
    let mut report = Report {
        states: 0,
        transitions: 0,
        depth: 0,
        alone: 0,
        time: Duration::ZERO,
        fault: None,
        cut: false,
        reached: BTreeSet::new(),
        answers: BTreeSet::new(),
    };
    let mut reached = 0u64;
    let (mut id, mut level_end) = (0u32, 1);
    while (id as usize) < visited.len() && report.fault.is_none() {
        if id as usize == level_end {
            level_end = visited.len();
            report.depth += 1;
        }
        if visited.len() > limit {
            report.cut = true;
            break;
        }
        let state = State::unpack(visited.get(id), config);
        for proc in &state.proc[..config.roles.len()] {
            reached |= 1 << proc.pc as u32;
        }
        let mut bad = None;
        moves(config, &state, |mut m| {
            if bad.is_some() {
                return;
            }
            report.transitions += 1;
            if let Act::Done(answer) = m.act {
                report.answers.insert(answer);
            }
            if let Some(fault) = broken(config, &m) {
                bad = Some((fault, Some(m.by)));
                return;
            }
            let packed = canonical(config, &mut m.next);
            if visited.insert(packed, id).is_some() {
                match alone.look(config, &m.next, &packed) {
                    Ok(steps) => report.alone = report.alone.max(usize::from(steps)),
                    Err(fault) => bad = Some((fault, None)),
                }
            }
        });
        if let Some((fault, by)) = bad {
            // Without a last move the fault is of the state that was visited last.
            let end = if by.is_some() { id } else { visited.len() as u32 - 1 };
            let (mut trace, state, laps) = trace(config, visited, &path(visited, end));
            if by.is_some() {
                let mut last = None;
                moves(config, &state, |m| {
                    if last.is_none() && broken(config, &m) == Some(fault) {
                        last = Some(describe(config, &m, &state, laps));
                    }
                });
                trace.extend(last);
            } else {
                trace.push(
                    "here a process that runs alone, or the ring when swept and drained, breaks it:".into(),
                );
            }
            trace.push(format!("{fault:?}"));
            report.fault = Some((fault, trace));
        }
        id += 1;
    }
    if report.fault.is_none()
        && !report.cut
        && config.lock_free
        && let Some((cycle, entry)) = endless(config, visited)
    {
        let (mut trace, ..) = trace(config, visited, &[path(visited, entry), cycle].concat());
        trace.push("and so on".into());
        report.fault = Some((Fault::Livelock, trace));
    }
    report.reached = Pc::all().filter(|pc| reached >> *pc as u32 & 1 == 1).collect();
    report.states = visited.len();
    report.time = start.elapsed();
    report
}
