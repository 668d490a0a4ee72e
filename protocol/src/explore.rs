//! Breadth first through all states, so that the first fault found has a shortest trace. Every state is kept, 32 bytes
//! and its parent: nothing rests on a hash being unique.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use crate::check;
use crate::model::{Act, BASE, Fault, Packed, Pc, Proc, State, fate, settle, step};
use crate::table::Config;

#[cfg(test)]
mod tests;

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

const CHUNK: usize = 1 << 16;

/// All states visited, in order, and where they are found.
#[derive(Default)]
struct Visited {
    chunks: Vec<Vec<Packed>>,
    parents: Vec<u32>,
    /// Open addressing: id + 1, 0 where there is none.
    table: Vec<u32>,
}

impl Visited {
    fn len(&self) -> usize {
        self.parents.len()
    }

    fn get(&self, id: u32) -> &Packed {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// Where it stands in the table, or where it would.
    fn seek(&self, packed: &Packed) -> usize {
        let mask = self.table.len() - 1;
        let mut at = FxBuildHasher.hash_one(packed) as usize & mask;
        while self.table[at] != 0 && self.get(self.table[at] - 1) != packed {
            at = (at + 1) & mask;
        }
        at
    }

    fn find(&self, packed: &Packed) -> Option<u32> {
        self.table[self.seek(packed)].checked_sub(1)
    }

    /// Its id, if it is new.
    fn insert(&mut self, packed: Packed, parent: u32) -> Option<u32> {
        if self.table.len() * 5 <= self.len() * 8 {
            self.table = vec![0; (self.table.len() * 2).max(1 << 12)];
            for id in 0..self.len() as u32 {
                let at = self.seek(self.get(id));
                self.table[at] = id + 1;
            }
        }
        let at = self.seek(&packed);
        if self.table[at] != 0 {
            return None;
        }
        let id = self.len() as u32;
        if self.len().is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks.last_mut().expect("there is a chunk").push(packed);
        self.parents.push(parent);
        self.table[at] = id + 1;
        Some(id)
    }
}

/// A transition of a process: what it was, where it leads.
struct Move {
    by: usize,
    act: Act,
    /// Instead of a step: a kill, or the return.
    fate: Option<&'static str>,
    next: State,
}

fn broken(config: &Config, m: &Move) -> Option<Fault> {
    if let Act::Bad(fault) = m.act { Some(fault) } else { check::words(config, &m.next) }
}

/// Every transition of a state.
fn moves(config: &Config, state: &State, mut each: impl FnMut(Move)) {
    let mut one = |by, fate, mut next: State, act| {
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

/// Among neighbours of one role the numbers make no difference: the one of the lesser key comes first.
fn canonical(config: &Config, state: &mut State) -> Packed {
    state.clamp(config);
    let roles = if config.symmetry { config.roles } else { &[] };
    for p in 1..roles.len() {
        let mut q = p;
        while q > 0 && roles[q - 1] == roles[q] && key(config, state, q) < key(config, state, q - 1) {
            swap(config, state, q - 1, q);
            q -= 1;
        }
    }
    state.pack(config)
}

fn key(config: &Config, state: &State, p: usize) -> impl Ord + use<> {
    let Proc { pc, pos, k, n, kept, word, tag, excuse, after, .. } = state.proc[p];
    let mut owned = 0u8;
    for (i, slot) in state.slot[..config.slots].iter().enumerate() {
        owned |= u8::from(slot.word.is_of(p)) << i;
    }
    (
        pc,
        pos,
        k,
        n,
        kept,
        (word.lap, word.kind),
        tag,
        excuse,
        after.max(state.head),
        owned,
        state.is_leased(p),
    )
}

fn swap(config: &Config, state: &mut State, p: usize, q: usize) {
    let other = |owner: u8| match usize::from(owner) {
        o if o == p => q as u8,
        o if o == q => p as u8,
        _ => owner,
    };
    state.proc.swap(p, q);
    for slot in &mut state.slot[..config.slots] {
        if slot.word.kind.is_owned() {
            slot.word.owner = other(slot.word.owner);
        }
    }
    for proc in &mut state.proc[..config.roles.len()] {
        if proc.word.kind.is_owned() {
            proc.word.owner = other(proc.word.owner);
        }
        if proc.pc.is_sweeping() {
            proc.target = other(proc.target);
        }
    }
}

/// The state under every renumbering of interchangeable pairs. Where two have equal keys any may be the one kept.
fn images(config: &Config, state: State) -> Vec<State> {
    let mut images = vec![state];
    for p in (1..config.roles.len()).filter(|&p| config.roles[p - 1] == config.roles[p]) {
        for mut other in images.clone() {
            swap(config, &mut other, p - 1, p);
            images.push(other);
        }
    }
    images
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
            dead | u32::from(state.proc[p].pc == Pc::Dead) << p | u32::from(state.is_leased(p)) << (p + 8)
        });
        for p in 0..config.roles.len() {
            let pc = state.proc[p].pc;
            if !pc.is_alive() || pc == Pc::Idle {
                continue;
            }
            let steps = match self.runs.entry([packed[p], packed[6], packed[7], dead, p as u32]) {
                std::collections::hash_map::Entry::Occupied(known) => *known.get(),
                std::collections::hash_map::Entry::Vacant(new) => {
                    *new.insert(check::alone(config, &mut state.clone(), p)?.0 as u8)
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
                trace.push("from here, what one process does alone:".into());
            }
            trace.push(format!("{fault:?}"));
            report.fault = Some((fault, trace));
        }
        id += 1;
    }
    if report.fault.is_none() && !report.cut && config.lock_free {
        if let Some((cycle, entry)) = endless(config, visited) {
            let (mut trace, ..) = trace(config, visited, &[path(visited, entry), cycle].concat());
            trace.push("and so on".into());
            report.fault = Some((Fault::Livelock, trace));
        }
    }
    report.reached = Pc::all().filter(|pc| reached >> *pc as u32 & 1 == 1).collect();
    report.states = visited.len();
    report.time = start.elapsed();
    report
}

/// The ids from the first state to that one.
fn path(visited: &Visited, mut id: u32) -> Vec<u32> {
    let mut path = vec![id];
    while id != 0 {
        id = visited.parents[id as usize];
        path.push(id);
    }
    path.reverse();
    path
}

/// An endless run in which no verb ends: a cycle of the transitions that end none. Depth first, each state once.
fn endless(config: &Config, visited: &Visited) -> Option<(Vec<u32>, u32)> {
    const OPEN: u8 = 1;
    const CLOSED: u8 = 2;
    let mut colour = vec![0u8; visited.len()];
    let unended = |id: u32| {
        let mut next = Vec::new();
        moves(config, &State::unpack(visited.get(id), config), |mut m| {
            if m.act == Act::Run && m.fate.is_none() {
                next.extend(visited.find(&canonical(config, &mut m.next)));
            }
        });
        next
    };
    for root in 0..visited.len() as u32 {
        if colour[root as usize] != 0 {
            continue;
        }
        colour[root as usize] = OPEN;
        let mut stack = vec![(root, unended(root))];
        while let Some((id, next)) = stack.last_mut() {
            let Some(to) = next.pop() else {
                colour[*id as usize] = CLOSED;
                stack.pop();
                continue;
            };
            match colour[to as usize] {
                0 => {
                    colour[to as usize] = OPEN;
                    stack.push((to, unended(to)));
                }
                OPEN => {
                    let cycle = stack.iter().map(|(id, _)| *id).skip_while(|id| *id != to);
                    return Some((cycle.skip(1).chain([to]).collect(), to));
                }
                _ => {}
            }
        }
    }
    None
}

/// Laps are printed from 1 on, as the ring counts them.
const FIRST_LAP: i16 = 1 - BASE as i16;

/// The path in words, and where it ends. States were kept with interchangeable processes in order: here each keeps its number.
fn trace(config: &Config, visited: &Visited, path: &[u32]) -> (Vec<String>, State, i16) {
    let mut state = State::first(config);
    if config.settle {
        settle(config, &mut state);
    }
    let mut lines = Vec::new();
    let mut laps = FIRST_LAP;
    for id in &path[1..] {
        let mut found = None;
        moves(config, &state, |m| {
            if found.is_some() || broken(config, &m).is_some() {
                return;
            }
            let mut clamped = m.next;
            clamped.clamp(config);
            if images(config, clamped).iter().any(|image| image.pack(config) == *visited.get(*id)) {
                found = Some((describe(config, &m, &state, laps), m.next));
            }
        });
        let Some((line, next)) = found else {
            lines.push("(the rest of the path could not be named)".into());
            break;
        };
        lines.push(line);
        state = next;
        laps += i16::from(state.head / config.slots as u8 - BASE);
        state.clamp(config);
    }
    (lines, state, laps)
}

fn name(config: &Config, p: usize) -> String {
    format!("{:?}#{p}", config.roles[p])
}

fn describe(config: &Config, m: &Move, before: &State, laps: i16) -> String {
    let position = |pos: u8| i16::from(pos) + laps * config.slots as i16;
    let proc = before.proc[m.by];
    let mut line = match (m.fate, proc.pos) {
        (Some(what), _) => format!("{:<14} {what}, at {:?}", name(config, m.by), proc.pc),
        (_, 0) => format!("{:<14} {:?}", name(config, m.by), proc.pc),
        (_, pos) => format!("{:<14} {:?} {}", name(config, m.by), proc.pc, position(pos + proc.k)),
    };
    match m.act {
        Act::Done(answer) => line += &format!(": {answer}"),
        Act::Again => line += ", looks again",
        Act::Bad(fault) => line += &format!(": {fault:?}"),
        Act::Run => {}
    }
    let s = &m.next;
    let words: Vec<String> = s.slot[..config.slots]
        .iter()
        .map(|slot| {
            let owner =
                if slot.word.kind.is_owned() { format!(",{}", slot.word.owner) } else { String::new() };
            format!("{:?}({}{owner})", slot.word.kind, i16::from(slot.word.lap) + laps)
        })
        .collect();
    format!("{line:<44} head {} tail {} [{}]", position(s.head), position(s.tail), words.join(" "))
}
