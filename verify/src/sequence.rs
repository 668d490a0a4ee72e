//! Any sequence of verbs of an SPSC ring against a queue.

use crate::queue::{Op, behaves_as_a_queue};
use crate::{Count, below};
use arbitrary::Unstructured;
use slipring::{Align, Options, Trust};

/// Enough to go round the ring many times.
const MOST: usize = 400;

pub(crate) fn run(input: &[u8]) -> Count {
    let mut input = Unstructured::new(input);
    let capacity = [4096, 16384][below(&mut input, 2) as usize];
    let (align, boundary) = [(Align::Line, 64), (Align::Dense, 8)][below(&mut input, 2) as usize];
    let trust = [Trust::Kernel, Trust::Distrust][below(&mut input, 2) as usize];
    let mut ops = Vec::new();
    while !input.is_empty() && ops.len() < MOST {
        ops.push(op(&mut input, capacity));
    }
    let options = Options::new().capacity(capacity).align(align).trust(trust);
    behaves_as_a_queue(&options, capacity as u64, boundary, &ops);
    [("verbs", ops.len() as u64)].into()
}

fn op(input: &mut Unstructured<'_>, capacity: usize) -> Op {
    let max = capacity / 2 - 8;
    let len = |input: &mut Unstructured<'_>| match below(input, 8) {
        0 => 0,
        1 => 56,
        2 => max,
        3 => below(input, max as u64 + 3) as usize,
        _ => below(input, 200) as usize,
    };
    let part = |input: &mut Unstructured<'_>, max: usize| {
        (below(input, 4) > 0).then(|| below(input, max as u64 + 1) as usize)
    };
    match below(input, 14) {
        0..=3 => Op::Send(len(input)),
        4 => {
            let max = len(input);
            Op::Grant(max, part(input, max))
        }
        5 => Op::ForgetGrant(len(input)),
        6 => {
            let count = below(input, 6);
            Op::Batch((0..count).map(|_| len(input)).collect(), below(input, 2) > 0)
        }
        7 | 8 => Op::Recv(max),
        9 => Op::Recv(len(input)),
        10 => Op::Frame { keep: below(input, 2) > 0 },
        11 => Op::RecvBatch(below(input, 5) as usize + 1, below(input, 6) as usize),
        12 => Op::NewProducer,
        _ => Op::NewConsumer,
    }
}
