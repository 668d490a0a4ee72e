//! A pipe, blocking, with the capacity the kernel gives by default (64 KiB).
#![forbid(unsafe_code)]

use std::io::{PipeReader, PipeWriter, pipe};

use super::stream::{ByteReceiver, ByteSender};
use super::{Copies, Mechanism};
use crate::error::HarnessError;

/// A pipe between two processes.
#[derive(Debug)]
pub struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    size: usize,
}

impl Mechanism for Pipe {
    const NAME: &'static str = "pipe";
    const COPIES: Option<Copies> = Some(Copies::THROUGH_THE_KERNEL);
    type Sender = ByteSender<PipeWriter>;
    type Receiver = ByteReceiver<PipeReader>;

    fn prepare(size: usize) -> Result<Self, HarnessError> {
        let (reader, writer) = pipe().map_err(|error| HarnessError::os("making a pipe", error))?;
        Ok(Pipe { reader, writer, size })
    }

    fn sender(self) -> Result<Self::Sender, HarnessError> {
        Ok(ByteSender::new(self.writer, self.size))
    }

    fn receiver(self) -> Result<Self::Receiver, HarnessError> {
        Ok(ByteReceiver::new(self.reader, self.size))
    }
}
