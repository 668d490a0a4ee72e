//! The ghosts by which the model judges order, Full and Empty rest on an argument. Here nothing does: random runs are
//! recorded as histories, and a search decides whether a queue could have answered so, each verb at one moment between
//! its begin and its end, and at none after its process was killed.

use std::collections::{HashSet, VecDeque};

use slipring_protocol::explore::moves;
use slipring_protocol::model::{Act, BASE, Fault, Pc, State};
use slipring_protocol::table::{BUGS, Bug, Config, Role, Role::*, SHORT};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum What {
    Sent(u32),
    Got(u32),
    Empty,
}

#[derive(Debug)]
struct Op {
    what: What,
    began: usize,
    /// When its verb ended or its process was killed; never, for one that was still at it.
    ended: usize,
}

/// Could a queue, empty at first, have given these answers?
fn is_linearizable(ops: &[Op]) -> bool {
    fn search(ops: &[Op], done: u64, queue: &mut VecDeque<u32>, failed: &mut HashSet<u64>) -> bool {
        let left = || (0..ops.len()).filter(|i| done >> i & 1 == 0);
        let Some(first_end) = left().map(|i| ops[i].ended).min() else { return true };
        for i in left().filter(|&i| ops[i].began <= first_end) {
            let then = done | 1 << i;
            match ops[i].what {
                _ if failed.contains(&then) => continue,
                What::Sent(message) => queue.push_back(message),
                What::Got(message) if queue.front() == Some(&message) => _ = queue.pop_front(),
                What::Empty if queue.is_empty() => {}
                _ => continue,
            }
            if search(ops, then, queue, failed) {
                return true;
            }
            match ops[i].what {
                What::Sent(_) => _ = queue.pop_back(),
                What::Got(message) => queue.push_front(message),
                What::Empty => {}
            }
        }
        // Messages leave in the order in which they came, so the same set in another order fails only if the order of
        // the messages that wait made it fail: those sets are searched again.
        if queue.len() < 2 {
            failed.insert(done);
        }
        false
    }
    assert!(ops.len() < 64);
    search(ops, 0, &mut VecDeque::new(), &mut HashSet::new())
}

/// Numbers that look random, the same ones in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Runs so many steps and writes down what was answered. Of verbs without an effect, those cut short leave nothing.
fn history(config: &Config, dice: &mut Dice, steps: usize) -> Vec<Op> {
    const NEVER: usize = usize::MAX;
    let mut state = State::first(config);
    let mut laps = 0u32;
    let mut ops: Vec<Op> = Vec::new();
    let mut began = [0; 8];
    // The verb of each process that has had its effect and has not ended.
    let mut open = [None; 8];
    for now in 0..steps {
        let mut all = Vec::new();
        moves(config, &state, |m| all.push(m));
        // A process that runs for a while takes the others by surprise; a kill is rare.
        let by = all[dice.below(all.len())].by;
        for _ in 0..dice.below(6) + 1 {
            all.retain(|m| m.by == by && (m.fate != Some("is killed") || dice.below(8) == 0));
            if all.is_empty() {
                break;
            }
            let m = all.swap_remove(dice.below(all.len()));
            let before = state.proc[by];
            let message = laps * config.slots as u32 + u32::from(before.pos);
            if before.pc == Pc::Idle {
                began[by] = now;
            }
            let mut op = |what| {
                ops.push(Op { what, began: began[by], ended: NEVER });
                Some(ops.len() - 1)
            };
            match m.act {
                // In place, the voided slot is still to be given back.
                _ if before.pc == Pc::Commit && m.next.slot != state.slot => {
                    open[by] = op(What::Sent(message));
                }
                Act::Done("Empty") | Act::Bad(Fault::WrongEmpty) => open[by] = op(What::Empty),
                _ if before.pc == Pc::Take && m.next.proc[by].pc == Pc::MoveHead => {
                    open[by] = op(What::Got(message));
                }
                _ => {}
            }
            let ends = matches!(m.act, Act::Done(_) | Act::Bad(_)) || m.fate.is_some();
            // A peek has answered when it has read.
            if (ends || m.next.proc[by].pc == Pc::Ack)
                && let Some(op) = open[by].take()
            {
                ops[op].ended = now;
            }
            if matches!(m.act, Act::Bad(_)) {
                return ops;
            }
            state = m.next;
            laps += u32::from(state.head / config.slots as u8 - BASE);
            state.clamp(config);
            all.clear();
            moves(config, &state, |m| all.push(m));
        }
    }
    ops
}

fn config(slots: usize, roles: &'static [Role], kills: u8) -> Config {
    Config { slots, roles, kills, settle: false, ..SHORT[0] }
}

#[test]
fn random_histories_are_strictly_linearizable() {
    let mut dice = Dice(0x5eed);
    for config in [
        config(2, &[Send, Send, Recv, Recv, Sweep], 2),
        config(2, &[Send, Send, Recv, Peek], 1),
        config(3, &[Send, Send, Recv, Recv], 0),
        config(3, &[Send, Grant, Peek, Recv, Sweep], 2),
        Config { cursors: true, ..config(3, &[GiveUp, GiveUp, Send, Recv, Sweep], 1) },
    ] {
        let (mut got, mut empty) = (0, 0);
        for _ in 0..2_000 {
            let ops = history(&config, &mut dice, 40);
            assert!(is_linearizable(&ops), "{config}: {ops:#?}");
            got += ops.iter().filter(|op| matches!(op.what, What::Got(_))).count();
            empty += ops.iter().filter(|op| op.what == What::Empty).count();
        }
        assert!(got > 4_000 && empty > 1_000, "{config}: {got} received, {empty} empty");
    }
}

#[test]
fn histories_of_seeded_bugs_are_not() {
    for bug in [Bug::EmptyWithoutScan, Bug::EmptyWhereTaken] {
        let seeded = BUGS.iter().find(|seeded| seeded.config.bug == Some(bug)).expect("it is in the table");
        let mut dice = Dice(0x5eed);
        let config = Config { settle: false, ..seeded.config };
        let found = (0..50_000).any(|_| !is_linearizable(&history(&config, &mut dice, 30)));
        assert!(found, "{bug:?}");
    }
}

#[test]
fn the_search_knows_a_queue() {
    let op = |what, began, ended| Op { what, began, ended };
    let (a, b) = (What::Sent(1), What::Sent(2));
    assert!(is_linearizable(&[op(a, 0, 1), op(b, 2, 3), op(What::Got(1), 4, 5), op(What::Got(2), 4, 5)]));
    // Concurrent sends may come in either order, others may not.
    assert!(is_linearizable(&[op(a, 0, 3), op(b, 0, 3), op(What::Got(2), 4, 5), op(What::Got(1), 6, 7)]));
    assert!(!is_linearizable(&[op(a, 0, 1), op(b, 2, 3), op(What::Got(2), 4, 5), op(What::Got(1), 6, 7)]));
    assert!(is_linearizable(&[op(a, 0, 3), op(What::Empty, 1, 2), op(What::Got(1), 4, 5)]));
    assert!(!is_linearizable(&[op(a, 0, 1), op(What::Empty, 2, 3), op(What::Got(1), 4, 5)]));
    assert!(!is_linearizable(&[op(What::Got(1), 0, 1), op(a, 2, 3)]));
    assert!(!is_linearizable(&[op(a, 0, 1), op(What::Got(1), 2, 3), op(What::Got(1), 2, 3)]));
}
