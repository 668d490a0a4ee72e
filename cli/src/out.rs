//! Standard output for listings: written once, whole, with every failure seen. Streams go through `flow::sink`.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::fail::Fail;

/// Writes `text` to standard output.
pub(crate) fn print(text: &str) -> Result<(), Fail> {
    bytes(text.as_bytes())
}

/// Writes bytes to standard output.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Fail> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| failed(&e))
}

/// Writes `value` as indented JSON and a newline.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Fail> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|e| Fail::Error(format!("cannot write JSON: {e}")))?;
    text.push('\n');
    print(&text)
}

/// What a failed write to standard output means: a reader that left is a normal end.
pub(crate) fn failed(error: &io::Error) -> Fail {
    match error.kind() {
        ErrorKind::BrokenPipe => Fail::BrokenPipe,
        _ => Fail::io("cannot write standard output", error),
    }
}
