//! The index of a store: a binary tree in the order of (key, arrival), a heap in the order of numbers that look random, so
//! that it is as deep as a tree of random insertions, whatever comes in. Each node knows the earliest arrival below it.
//! Derived from the cells, touched by the holder of the lock alone.
#![forbid(unsafe_code)]

use crate::error::Corrupt;
use crate::layout::Node;
use crate::ring::store::{arrival, follow, get, key, link, set};
use crate::view::QueueView;

/// No tree of less than 2^48 messages is so deep but by damage.
const DEEPEST: usize = 1000;

type Cell = Option<usize>;

fn node(view: &QueueView, cell: usize) -> &Node {
    &view.nodes[cell]
}

fn left(view: &QueueView, cell: usize) -> Result<Cell, Corrupt> {
    follow(view, "left link", get(&node(view, cell).left))
}

fn right(view: &QueueView, cell: usize) -> Result<Cell, Corrupt> {
    follow(view, "right link", get(&node(view, cell).right))
}

fn root(view: &QueueView) -> Result<Cell, Corrupt> {
    follow(view, "root", get(&view.header.store.root))
}

fn link_of(cell: Cell) -> u64 {
    cell.map_or(0, link)
}

/// Where a message stands.
fn place(view: &QueueView, cell: usize) -> (u64, u64) {
    (key(view, cell), arrival(view, cell))
}

/// A number of each node, the greater the higher in the tree.
fn height(view: &QueueView, cell: usize) -> u64 {
    let mut mixed = (cell as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ arrival(view, cell);
    mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ mixed >> 32
}

fn deeper(depth: usize) -> Result<usize, Corrupt> {
    match depth {
        0 => Err(Corrupt::new("depth of the index", DEEPEST as u64, 0)),
        _ => Ok(depth - 1),
    }
}

/// The one of two that arrived earlier.
fn earlier(view: &QueueView, a: Cell, b: Cell) -> Cell {
    match (a, b) {
        (Some(a), Some(b)) => Some(if arrival(view, a) < arrival(view, b) { a } else { b }),
        (a, b) => a.or(b),
    }
}

/// The earliest of a subtree.
fn earliest_of(view: &QueueView, tree: Cell) -> Result<Cell, Corrupt> {
    match tree {
        Some(tree) => follow(view, "earliest", get(&node(view, tree).earliest)),
        None => Ok(None),
    }
}

/// Gives a node its subtrees.
fn adopt(view: &QueueView, cell: usize, left: Cell, right: Cell) -> Result<usize, Corrupt> {
    let below = earlier(view, earliest_of(view, left)?, earliest_of(view, right)?);
    let node = node(view, cell);
    set(&node.left, link_of(left));
    set(&node.right, link_of(right));
    set(&node.earliest, link_of(earlier(view, Some(cell), below)));
    Ok(cell)
}

/// What stands before `at`, and the rest.
fn split(view: &QueueView, tree: Cell, at: (u64, u64), depth: usize) -> Result<(Cell, Cell), Corrupt> {
    let Some(tree) = tree else { return Ok((None, None)) };
    let depth = deeper(depth)?;
    let (left, right) = (left(view, tree)?, right(view, tree)?);
    if place(view, tree) < at {
        let (before, behind) = split(view, right, at, depth)?;
        Ok((Some(adopt(view, tree, left, before)?), behind))
    } else {
        let (before, behind) = split(view, left, at, depth)?;
        Ok((before, Some(adopt(view, tree, behind, right)?)))
    }
}

/// One tree of two, of which the first stands before the second.
fn merge(view: &QueueView, a: Cell, b: Cell, depth: usize) -> Result<Cell, Corrupt> {
    let (a, b) = match (a, b) {
        (Some(a), Some(b)) => (a, b),
        (a, b) => return Ok(a.or(b)),
    };
    let depth = deeper(depth)?;
    if height(view, a) > height(view, b) {
        let below = merge(view, right(view, a)?, Some(b), depth)?;
        adopt(view, a, left(view, a)?, below).map(Some)
    } else {
        let below = merge(view, Some(a), left(view, b)?, depth)?;
        adopt(view, b, below, right(view, b)?).map(Some)
    }
}

/// Puts a message in.
pub fn insert(view: &QueueView, cell: usize) -> Result<(), Corrupt> {
    let (before, behind) = split(view, root(view)?, place(view, cell), DEEPEST)?;
    let alone = Some(adopt(view, cell, None, None)?);
    let before = merge(view, before, alone, DEEPEST)?;
    set(&view.header.store.root, link_of(merge(view, before, behind, DEEPEST)?));
    Ok(())
}

/// Takes a message out.
pub fn remove(view: &QueueView, cell: usize) -> Result<(), Corrupt> {
    let rest = without(view, root(view)?, cell, DEEPEST)?;
    set(&view.header.store.root, link_of(rest));
    Ok(())
}

fn without(view: &QueueView, tree: Cell, cell: usize, depth: usize) -> Result<Cell, Corrupt> {
    let tree = tree.ok_or(Corrupt::new("message not in the index", cell as u64, 0))?;
    let depth = deeper(depth)?;
    let (left, right) = (left(view, tree)?, right(view, tree)?);
    if tree == cell {
        merge(view, left, right, depth)
    } else if place(view, cell) < place(view, tree) {
        adopt(view, tree, without(view, left, cell, depth)?, right).map(Some)
    } else {
        adopt(view, tree, left, without(view, right, cell, depth)?).map(Some)
    }
}

/// The earliest of all.
pub fn earliest(view: &QueueView) -> Result<Cell, Corrupt> {
    earliest_of(view, root(view)?)
}

/// The first whose key is at least this.
pub fn first_from(view: &QueueView, least: u64) -> Result<Cell, Corrupt> {
    let (mut tree, mut found, mut depth) = (root(view)?, None, DEEPEST);
    while let Some(cell) = tree {
        depth = deeper(depth)?;
        (found, tree) = match key(view, cell) < least {
            true => (found, right(view, cell)?),
            false => (Some(cell), left(view, cell)?),
        };
    }
    Ok(found)
}

/// The earliest whose key is another.
pub fn earliest_but(view: &QueueView, key: u64) -> Result<Cell, Corrupt> {
    let mut found = None;
    for before in [true, false] {
        let (mut tree, mut depth) = (root(view)?, DEEPEST);
        while let Some(cell) = tree {
            depth = deeper(depth)?;
            let (left, right) = (left(view, cell)?, right(view, cell)?);
            let its = self::key(view, cell);
            // The side of `key` that is whole, and the side to go on with.
            let (wanted, whole, on, back) = match before {
                true => (its < key, left, right, left),
                false => (its > key, right, left, right),
            };
            if wanted {
                found = earlier(view, found, earlier(view, Some(cell), earliest_of(view, whole)?));
            }
            tree = if wanted { on } else { back };
        }
    }
    Ok(found)
}
