//! A path through the states in words, with the numbers and laps that the processes would see.

use super::symmetry::images;
use super::visited::Visited;
use super::{Move, broken, moves};
use crate::model::{Act, BASE, State};
use crate::rules::settle;
use crate::table::Config;

/// The ids from the first state to that one.
pub(super) fn path(visited: &Visited, mut id: u32) -> Vec<u32> {
    let mut path = vec![id];
    while id != 0 {
        id = visited.parents[id as usize];
        path.push(id);
    }
    path.reverse();
    path
}

/// Laps are printed from 1 on, as the ring counts them.
const FIRST_LAP: i16 = 1 - BASE as i16;

/// The path in words, and where it ends. States were kept with interchangeable processes in order: here each keeps its number.
pub(super) fn trace(config: &Config, visited: &Visited, path: &[u32]) -> (Vec<String>, State, i16) {
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

pub(super) fn name(config: &Config, p: usize) -> String {
    format!("{:?}#{p}", config.roles[p])
}

pub(super) fn describe(config: &Config, m: &Move, before: &State, laps: i16) -> String {
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
