//! A FIFO: a pipe with a name in the file system, opened twice by it. The name goes as soon as both ends are open.
#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::process;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::stream::{ByteReceiver, ByteSender};
use super::{Copies, Mechanism};
use crate::atomics::next_number;
use crate::error::HarnessError;

/// Both ends of a FIFO, blocking.
#[derive(Debug)]
pub struct Fifo {
    reader: File,
    writer: File,
    size: usize,
}

impl Mechanism for Fifo {
    const NAME: &'static str = "fifo";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = ByteSender<File>;
    type Receiver = ByteReceiver<File>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let path =
            std::env::temp_dir().join(format!("slipring-harness-{}-{}.fifo", process::id(), next_number()));
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(|errno| HarnessError::os(format!("making the FIFO {}", path.display()), errno))?;
        let ends = both_ends(&path);
        let removed = fs::remove_file(&path);
        let (reader, writer) = ends.map_err(|error| HarnessError::os("opening a FIFO", error))?;
        removed.map_err(|error| HarnessError::os("removing a FIFO's name", error))?;
        Ok(Fifo { reader, writer, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(ByteSender::new(self.writer, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(ByteReceiver::new(self.reader, self.size))
    }
}

/// Opening one end waits for the other; a descriptor for both, which never waits on Linux, keeps it from doing so.
fn both_ends(path: &Path) -> io::Result<(File, File)> {
    let _both = OpenOptions::new().read(true).write(true).open(path)?;
    Ok((File::open(path)?, OpenOptions::new().write(true).open(path)?))
}
