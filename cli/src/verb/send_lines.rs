//! `send --lines`: one record a line. Lines are cut out of large reads and go into the ring in batches, one batch per
//! read or per ringful, so that nothing is held back while we wait for more input.

use slipring::SendError;

use super::send::Sender;
use crate::fail::Fail;
use crate::flow::source::Source;
use crate::flow::tx::Tx;

/// How much to read at once, at first; lines that need more get more.
const READ: usize = 64 * 1024;
/// A line longer than this is not measured further: its size is then told as "more than".
const MEASURED: usize = 1 << 30;

/// What was read and not yet sent.
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// The unsent bytes are `start..end`.
    start: usize,
    end: usize,
    /// The longest line that the ring takes.
    max: usize,
}

impl Lines {
    /// Nothing read yet.
    pub(crate) fn new(sender: &Sender<'_>) -> Lines {
        Lines { buffer: vec![0; READ], start: 0, end: 0, max: sender.tx.max_len() }
    }

    /// Sends every line, the last one also if it has no newline.
    pub(crate) fn send(mut self, sender: &mut Sender<'_>, source: &mut Source) -> Result<(), Fail> {
        loop {
            sender.wait_for_input(source)?;
            self.make_room();
            match source.read(&mut self.buffer[self.end..])? {
                Some(0) => break,
                Some(n) => self.take_in(sender, n)?,
                None => {}
            }
            if self.end - self.start > self.max {
                return Err(self.too_long(sender, source));
            }
        }
        if self.start == self.end { Ok(()) } else { send_one(sender, &self.buffer[self.start..self.end]) }
    }

    /// Sends what `n` more bytes complete. Before them there is no newline left.
    fn take_in(&mut self, sender: &mut Sender<'_>, n: usize) -> Result<(), Fail> {
        let new = self.end;
        self.end += n;
        match self.buffer[new..self.end].iter().rposition(|b| *b == b'\n') {
            Some(last) => self.send_whole(sender, new + last + 1),
            None => Ok(()),
        }
    }

    /// Sends the lines in `start..to`; each ends in a newline.
    fn send_whole(&mut self, sender: &mut Sender<'_>, to: usize) -> Result<(), Fail> {
        while self.start < to {
            if !self.send_batch(sender, to)? {
                let line = first_line(&self.buffer[self.start..to]);
                send_one(sender, line)?;
                self.start += line.len() + 1;
            }
        }
        Ok(())
    }

    /// Sends as many lines as there is room for, together; false if there is room for none.
    fn send_batch(&mut self, sender: &mut Sender<'_>, to: usize) -> Result<bool, Fail> {
        let (count, bytes, hindered) = sender.tx.send_some(Whole(&self.buffer[self.start..to]));
        self.start += bytes + count;
        sender.flow.moved(count as u64, bytes)?;
        match hindered {
            None => Ok(count > 0),
            Some(SendError::TooLarge { len, max }) => Err(too_long(sender, &len.to_string(), max)),
            Some(reason) => sender.hindered(reason).map(|()| true),
        }
    }

    /// Room behind `end` for at least one more byte of any line that can still be sent.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }

    /// The line at `start` cannot be sent, whatever follows: measures it, without keeping it.
    fn too_long(&mut self, sender: &mut Sender<'_>, source: &mut Source) -> Fail {
        let mut len = self.end - self.start;
        while len < MEASURED {
            let read = match sender.wait_for_input(source).and_then(|()| source.read(&mut self.buffer)) {
                Ok(Some(0)) => break,
                Ok(read) => &self.buffer[..read.unwrap_or(0)],
                Err(fail) => return fail,
            };
            match read.iter().position(|b| *b == b'\n') {
                Some(at) => {
                    len += at;
                    break;
                }
                None => len += read.len(),
            }
        }
        let more = if len < MEASURED { "" } else { "more than " };
        too_long(sender, &format!("{more}{len}"), self.max)
    }
}

/// Text that ends in a newline, line by line.
struct Whole<'a>(&'a [u8]);

impl<'a> Iterator for Whole<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        (!self.0.is_empty()).then(|| {
            let line = first_line(self.0);
            self.0 = &self.0[line.len() + 1..];
            line
        })
    }
}

/// Up to the first newline, which is there.
fn first_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
    &text[..end]
}

/// Sends one line, waiting for room.
fn send_one(sender: &mut Sender<'_>, line: &[u8]) -> Result<(), Fail> {
    loop {
        match sender.tx.send(line, sender.flow.slice()) {
            Ok(()) => return sender.flow.moved(1, line.len()),
            Err(SendError::TooLarge { len, max }) => return Err(too_long(sender, &len.to_string(), max)),
            Err(reason) => sender.hindered(reason)?,
        }
    }
}

/// The error for a line that does not fit. All lines before it were sent.
fn too_long(sender: &Sender<'_>, len: &str, max: usize) -> Fail {
    let number = sender.flow.records + 1;
    Fail::Error(format!(
        "{place}: line {number} has {len} bytes, this ring takes at most {max} in a record; use a ring with a larger \
         {larger}, or send without --lines (the lines before it were sent)",
        place = sender.place(),
        larger = match sender.tx {
            Tx::One(_) => "--capacity",
            Tx::Many(_) => "--message",
        },
    ))
}
