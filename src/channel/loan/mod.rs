//! Loans of ring memory, to fill in place and to read in place: what a handle lends to its user, and takes back.

pub mod mpmc;
pub mod spsc;

/// Private memory for one message, of a peer that is not trusted.
#[cold]
fn at_least(bounce: &mut Vec<u8>, len: usize) {
    if bounce.len() < len {
        bounce.resize(len, 0);
    }
}
