//! Plays the same operations on the kernel's object and on slipring's adapter and compares each result, the errno
//! included: the kernel is the oracle. [`Script`]s are named after a row of `docs/semantics.md`; random sequences have a
//! seed, which is printed and repeats them.
//!
//! Nothing in here waits: what would block is compared where processes are at hand, in the adapters' own tests.
#![deny(unsafe_code)]

pub mod kernel;
pub mod pipe;
pub mod sem;
pub mod semset;

use serde::Serialize;
use std::fmt::{self, Display};
use std::io;

/// What an operation gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// It was done.
    Done,
    /// A count, a size.
    Number(usize),
    /// Bytes read.
    Bytes(Vec<u8>),
}

/// What an operation gave, or the errno that it failed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome(pub Result<Value, i32>);

impl From<io::Result<Value>> for Outcome {
    fn from(result: io::Result<Value>) -> Self {
        // An error without an errno equals none of the kernel's.
        Outcome(result.map_err(|error| error.raw_os_error().unwrap_or(-1)))
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(Value::Done) => write!(f, "done"),
            Ok(Value::Number(number)) => write!(f, "{number}"),
            Ok(Value::Bytes(bytes)) => {
                let sum =
                    bytes.iter().fold(0_u32, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
                write!(f, "{} bytes (sum {sum:08x})", bytes.len())
            }
            Err(errno) => write!(f, "{}", io::Error::from_raw_os_error(*errno)),
        }
    }
}

/// Something that operations can be played on.
pub trait Subject<Op> {
    /// Does it and says what came of it.
    fn apply(&mut self, op: &Op) -> Outcome;
}

/// A fixed sequence that shows one row of `docs/semantics.md`.
#[derive(Debug)]
pub struct Script<Op> {
    /// The row, as `P3`.
    pub row: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// What is done.
    pub ops: Vec<Op>,
}

/// The first operation of a sequence that the two sides did differently.
#[derive(Clone, Debug, Serialize)]
pub struct Divergence {
    /// The script or the seed.
    pub of: String,
    /// Everything that was done before, with what both gave.
    pub before: Vec<String>,
    /// The operation.
    pub operation: String,
    /// What the kernel gave.
    pub kernel: String,
    /// What the adapter gave.
    pub adapter: String,
}

impl Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:", self.of)?;
        for (step, line) in self.before.iter().enumerate() {
            writeln!(f, "{step:5}  {line}")?;
        }
        writeln!(f, "{:5}  {}", self.before.len(), self.operation)?;
        writeln!(f, "       kernel:  {}", self.kernel)?;
        write!(f, "       adapter: {}", self.adapter)
    }
}

/// Two sides that have done the same so far.
pub struct Lockstep<A, B> {
    kernel: A,
    adapter: B,
    done: Vec<(String, Outcome)>,
    of: String,
}

impl<A, B> Lockstep<A, B> {
    /// Two sides at their beginning; `of` is what the sequence is called.
    pub fn new(kernel: A, adapter: B, of: impl Into<String>) -> Self {
        Lockstep { kernel, adapter, done: Vec::new(), of: of.into() }
    }

    /// Does `op` on both.
    ///
    /// # Errors
    /// They differ.
    pub fn step<Op: Display>(&mut self, op: &Op) -> Result<Outcome, Box<Divergence>>
    where
        A: Subject<Op>,
        B: Subject<Op>,
    {
        let (kernel, adapter) = (self.kernel.apply(op), self.adapter.apply(op));
        if kernel != adapter {
            let before = self.done.iter().map(|(op, gave)| format!("{op}: {gave}")).collect();
            return Err(Box::new(Divergence {
                of: self.of.clone(),
                before,
                operation: op.to_string(),
                kernel: kernel.to_string(),
                adapter: adapter.to_string(),
            }));
        }
        self.done.push((op.to_string(), kernel.clone()));
        Ok(kernel)
    }
}

/// What comparing a mechanism came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `pipe`, `fifo`.
    pub mechanism: &'static str,
    /// The rows that scripts showed to be the same, each with what it shows.
    pub rows: Vec<(&'static str, &'static str)>,
    /// The seed of the first random sequence; the next has the next.
    pub seed: u64,
    /// How many random sequences were the same.
    pub sequences: u64,
    /// How many operations they had.
    pub operations: u64,
    /// The first difference; nothing was compared after it.
    pub divergence: Option<Box<Divergence>>,
}

impl Report {
    /// Nothing compared yet.
    #[must_use]
    pub fn begin(mechanism: &'static str, seed: u64) -> Report {
        Report { mechanism, rows: Vec::new(), seed, sequences: 0, operations: 0, divergence: None }
    }

    /// Plays a script; whether both sides did the same.
    pub fn script<Op: Display, A: Subject<Op>, B: Subject<Op>>(
        &mut self,
        script: &Script<Op>,
        sides: &mut Lockstep<A, B>,
    ) -> bool {
        self.divergence = script.ops.iter().find_map(|op| sides.step(op).err());
        if self.divergence.is_none() {
            self.rows.push((script.row, script.shows));
        }
        self.divergence.is_none()
    }

    /// Plays random sequences of `length` operations, each of the next seed, until one differs.
    pub fn random(
        &mut self,
        sequences: u64,
        length: u64,
        mut play: impl FnMut(u64) -> Result<(), Box<Divergence>>,
    ) {
        for number in 0..sequences {
            if let Err(divergence) = play(self.seed.wrapping_add(number)) {
                self.divergence = Some(divergence);
                return;
            }
            self.sequences += 1;
            self.operations += length;
        }
    }
}
