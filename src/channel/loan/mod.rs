//! Loans of ring memory, to fill in place and to read in place: what a handle lends to its user, and takes back.

pub mod mpmc;
pub mod spsc;
