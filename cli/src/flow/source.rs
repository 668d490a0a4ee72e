//! Where `send` reads: standard input or a file, with read(2) straight into the caller's memory, no buffer between.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::poll::PollFlags;

use super::Flow;
use crate::fail::Fail;

/// How long to wait for input before looking after the receiver.
const SLICE: Duration = Duration::from_millis(200);

/// An open input.
pub(crate) struct Source {
    file: File,
    name: String,
    /// The size, if it is a plain file; a plain file never makes us wait.
    size: Option<u64>,
}

impl Source {
    /// Opens `path`; none or `-` is standard input.
    pub(crate) fn open(path: Option<&Path>) -> Result<Source, Fail> {
        let (file, name) = match path.filter(|path| *path != Path::new("-")) {
            Some(path) => (File::open(path), path.display().to_string()),
            None => (io::stdin().as_fd().try_clone_to_owned().map(File::from), "standard input".into()),
        };
        let file = file.map_err(|e| Fail::io(&name, &e))?;
        let size = file.metadata().ok().filter(|meta| meta.is_file()).map(|meta| meta.len());
        Ok(Source { file, name, size })
    }

    /// How much there is to read in all, if that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Waits a while until there is something to read, or the end; false if nothing came.
    pub(crate) fn ready(&self, flow: &mut Flow) -> Result<bool, Fail> {
        if self.size.is_some() {
            return Ok(true);
        }
        let ready = flow.signals.wait_for(self.file.as_fd(), PollFlags::POLLIN, Some(SLICE))?;
        // The ring was not what we waited for.
        flow.touch()?;
        Ok(ready)
    }

    /// Reads once. Zero is the end; nothing at all means "wait and try again".
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<Option<usize>, Fail> {
        match self.file.read(into) {
            Ok(n) => Ok(Some(n)),
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => Ok(None),
            Err(e) => Err(Fail::io(format!("cannot read {}", self.name), &e)),
        }
    }
}
