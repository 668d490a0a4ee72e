//! All states visited, each once: in chunks, so that nothing is moved when they grow, and found by a hash table of ids.

use std::hash::BuildHasher;

use rustc_hash::FxBuildHasher;

use crate::pack::Packed;

const CHUNK: usize = 1 << 16;

/// All states visited, in order, and where they are found.
#[derive(Default)]
pub(super) struct Visited {
    pub(super) chunks: Vec<Vec<Packed>>,
    pub(super) parents: Vec<u32>,
    /// Open addressing: id + 1, 0 where there is none.
    table: Vec<u32>,
}

impl Visited {
    pub(super) fn len(&self) -> usize {
        self.parents.len()
    }

    pub(super) fn get(&self, id: u32) -> &Packed {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// Where it stands in the table, or where it would.
    pub(super) fn seek(&self, packed: &Packed) -> usize {
        let mask = self.table.len() - 1;
        let mut at = FxBuildHasher.hash_one(packed) as usize & mask;
        while self.table[at] != 0 && self.get(self.table[at] - 1) != packed {
            at = (at + 1) & mask;
        }
        at
    }

    pub(super) fn find(&self, packed: &Packed) -> Option<u32> {
        self.table[self.seek(packed)].checked_sub(1)
    }

    /// Its id, if it is new.
    pub(super) fn insert(&mut self, packed: Packed, parent: u32) -> Option<u32> {
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
