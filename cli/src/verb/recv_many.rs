//! `recv` from an MPMC ring, which it may share with others. Without `--ack` a few records are taken out at once and then
//! written: fast, and what a victim had in hand ends with it. With it, one after the other is written and acknowledged.

use slipring::inspect::Standing;
use slipring::mpmc::Receiver;
use slipring::{RecvError, Ring};

use super::recv::Intake;
use crate::fail::Fail;

/// The most records taken out at once: others want some too, and they are lost if we are killed.
const TOGETHER: usize = 32;
/// When so many bytes were taken out, they are written.
const ENOUGH: usize = 64 * 1024;

/// Takes records out and writes them, until the stream ends.
pub(super) fn receive(intake: &mut Intake<'_>, receiver: &mut Receiver) -> Result<(), Fail> {
    let end = intake.line_end();
    let mut taken = Vec::new();
    loop {
        taken.clear();
        let mut bytes = 0;
        let mut take = |record: &[u8]| {
            taken.extend_from_slice(record);
            taken.extend_from_slice(end);
            bytes += record.len();
        };
        let mut records = match receiver.frame_timeout(intake.flow.slice()) {
            Ok(frame) => {
                take(&frame);
                1
            }
            Err(reason) if intake.is_over(reason)? => return Ok(()),
            Err(_) => continue,
        };
        let mut fault = None;
        // Large ones go out by themselves.
        let more = (ENOUGH / receiver.max_len().max(1)).min(TOGETHER - 1);
        match receiver.try_recv_batch(more, take) {
            Ok(count) => records += count as u64,
            // What has ended is told about when it is waited for.
            Err(RecvError::Corrupt(corrupt)) => fault = Some(RecvError::Corrupt(corrupt)),
            Err(_) => {}
        }
        if let Err(fail) = intake.sink.write(&intake.flow.signals, &taken, b"") {
            let plural = if records == 1 { "record that was" } else { "records that were" };
            intake.tell(&format!(
                "{records} {plural} taken out could not be written and may be lost (see --ack)"
            ));
            return Err(fail);
        }
        intake.flow.moved(records, bytes)?;
        if let Some(fault) = fault {
            return Err(intake.error(&fault));
        }
    }
}

/// Writes record after record, and acknowledges each when it is written, until the stream ends.
pub(super) fn receive_and_ack(
    intake: &mut Intake<'_>,
    receiver: &mut Receiver,
    skip: bool,
) -> Result<(), Fail> {
    let end = intake.line_end();
    let mut skipped = 0u64;
    let ended = loop {
        let delivery = match receiver.peek_timeout(intake.flow.slice()) {
            Ok(delivery) => delivery,
            Err(reason) => match intake.is_over(reason) {
                Ok(false) => continue,
                Ok(true) => break Ok(()),
                Err(fail) => break Err(fail),
            },
        };
        if delivery.is_redelivered() && skip {
            delivery.ack();
            skipped += 1;
            continue;
        }
        if delivery.is_redelivered() {
            let number = intake.flow.records + 1;
            intake.tell(&format!(
                "record {number} is delivered again: a receiver that is gone had it before, and may have written it"
            ));
        }
        let len = delivery.len();
        // Dropped unacknowledged, it stays in the ring.
        let written = intake.sink.write(&intake.flow.signals, &delivery, end);
        let moved = written.and_then(|()| {
            delivery.ack();
            intake.flow.moved(1, len)
        });
        if let Err(fail) = moved {
            break Err(fail);
        }
    };
    if skipped > 0 {
        let plural = if skipped == 1 { "record that was" } else { "records that were" };
        intake.tell(&format!("{skipped} {plural} delivered before left out"));
    }
    ended
}

/// How many records receivers that are gone had peeked at and not acknowledged, and nobody has taken over.
pub(super) fn unacknowledged(ring: &Ring) -> u64 {
    let members = ring.inspect().members;
    let gone = members.iter().filter(|m| matches!(m.standing, Standing::Died | Standing::Orphaned));
    gone.map(|member| member.keeps).sum()
}
