//! `recv` from an SPSC ring. A record is released only when it was written, so that a receiver killed in between loses
//! nothing: its successor gets the record again.

use slipring::RecvError;
use slipring::spsc::Consumer;

use super::recv::Intake;
use crate::fail::Fail;

/// A record from this size on is written straight from the ring; smaller ones share a write.
const DIRECT: usize = 16 * 1024;
/// How many bytes of small records share a write.
const SHARED: usize = 64 * 1024;

/// What a wait brought.
enum Next {
    /// A large record, which is written. Carries its length.
    Written(usize),
    /// Records that had better share a write.
    Small,
    /// No record, and why.
    Nothing(RecvError),
}

/// Writes record after record until the stream ends.
pub(super) fn receive(intake: &mut Intake<'_>, consumer: &mut Consumer) -> Result<(), Fail> {
    let end = intake.line_end();
    let mut shared = Vec::new();
    loop {
        let next = match consumer.frame_timeout(intake.flow.slice()) {
            Ok(frame) if frame.len() < DIRECT => {
                frame.keep();
                Next::Small
            }
            Ok(frame) => {
                let len = frame.len();
                if let Err(fail) = intake.sink.write(&intake.flow.signals, &frame, end) {
                    frame.keep();
                    return Err(fail);
                }
                frame.release();
                Next::Written(len)
            }
            Err(reason) => Next::Nothing(reason),
        };
        match next {
            Next::Written(len) => intake.flow.moved(1, len)?,
            Next::Small => write_shared(intake, consumer, &mut shared)?,
            Next::Nothing(reason) if intake.is_over(reason)? => return Ok(()),
            Next::Nothing(_) => {}
        }
    }
}

/// Writes the records that are there, together; they are released when they are written.
fn write_shared(intake: &mut Intake<'_>, consumer: &mut Consumer, shared: &mut Vec<u8>) -> Result<(), Fail> {
    let enough = SHARED.min(consumer.capacity() / 4);
    let (mut records, mut bytes) = (0, 0);
    let mut batch = consumer.try_batch(usize::MAX).map_err(|e| intake.error(&e))?;
    shared.clear();
    let fault = loop {
        match batch.next() {
            Ok(Some(record)) => {
                shared.extend_from_slice(record);
                shared.extend_from_slice(intake.line_end());
                (records, bytes) = (records + 1, bytes + record.len());
            }
            Ok(None) => break None,
            Err(fault) => break Some(fault),
        }
        if shared.len() >= enough {
            break None;
        }
    };
    if let Err(fail) = intake.sink.write(&intake.flow.signals, shared, b"") {
        // Dropping the batch would release what was not written.
        std::mem::forget(batch);
        return Err(fail);
    }
    drop(batch);
    intake.flow.moved(records, bytes)?;
    match fault {
        Some(fault) => Err(intake.error(&fault)),
        None => Ok(()),
    }
}
