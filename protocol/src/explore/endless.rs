//! Lock-freedom: some verb ends in every endless run.

use super::moves;
use super::symmetry::canonical;
use super::visited::Visited;
use crate::model::{Act, State};
use crate::table::Config;

/// An endless run in which no verb ends: a cycle of the transitions that end none. Depth first, each state once.
pub(super) fn endless(config: &Config, visited: &Visited) -> Option<(Vec<u32>, u32)> {
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
