//! Plays the same operations on the kernel's object and on slipring's adapter and compares each result, the errno
//! included: the kernel is the oracle. [`Script`]s are named after a row of `docs/semantics.md`; random sequences have a
//! seed, which is printed and repeats them.
//!
//! Nothing in here waits: what would block is compared where processes are at hand, in the adapters' own tests.
#![deny(unsafe_code)]

pub mod kernel;
pub mod memory;
pub mod pipe;
pub mod posix_mq;
pub mod process;
pub mod properties;
pub mod sem;
pub mod semset;
pub mod socket;
pub mod sys;
pub mod sysv_mq;

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
    /// A message and its priority or type.
    Message(Vec<u8>, i64),
    /// Several numbers.
    Numbers(Vec<i64>),
    /// More than one thing, in words.
    Text(String),
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
            Ok(Value::Bytes(bytes)) => write!(f, "{}", sum(bytes)),
            Ok(Value::Message(bytes, kind)) => write!(f, "{} of {kind}", sum(bytes)),
            Ok(Value::Numbers(numbers)) => write!(f, "{numbers:?}"),
            Ok(Value::Text(text)) => write!(f, "{text}"),
            Err(errno) => write!(f, "{}", io::Error::from_raw_os_error(*errno)),
        }
    }
}

fn sum(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0_u32, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!("{} bytes (sum {sum:08x})", bytes.len())
}

/// Compares a mechanism: every script, each on sides of its own, then so many random sequences from `seed` on, each of
/// which `random` plays and says how many operations it had.
fn compare<A, B, Op: Display>(
    mechanism: &'static str,
    scripts: Vec<Script<Op>>,
    seed: u64,
    sequences: u64,
    mut sides: impl FnMut(u64) -> io::Result<(A, B)>,
    random: impl Fn(&mut Lockstep<A, B>, &mut fastrand::Rng) -> Result<u64, Box<Divergence>>,
) -> io::Result<Report>
where
    A: Subject<Op>,
    B: Subject<Op>,
{
    let mut report =
        Report { mechanism, rows: Vec::new(), seed, sequences: 0, operations: 0, divergence: None };
    for script in scripts {
        let (kernel, adapter) = sides(0)?;
        let mut sides = Lockstep::new(kernel, adapter, format!("{}, {}", script.row, script.shows));
        if let Some(divergence) = script.ops.iter().find_map(|op| sides.step(op).err()) {
            report.divergence = Some(divergence);
            return Ok(report);
        }
        report.rows.push((script.row, script.shows));
    }
    for number in 0..sequences {
        let seed = seed.wrapping_add(number);
        let (kernel, adapter) = sides(number)?;
        let mut sides = Lockstep::new(kernel, adapter, format!("random sequence of seed {seed}"));
        match random(&mut sides, &mut fastrand::Rng::with_seed(seed)) {
            Ok(operations) => report.operations += operations,
            Err(divergence) => {
                report.divergence = Some(divergence);
                return Ok(report);
            }
        }
        report.sequences += 1;
    }
    Ok(report)
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

/// The bytes of the next write, no two the same.
fn content(count: &mut usize, len: usize) -> Vec<u8> {
    *count += 1;
    (0..len).map(|i| (i * 7 + *count * 13) as u8).collect()
}
