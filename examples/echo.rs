//! A server that says the time and what it was told, and its client: over a slipring socket at a path.
//!
//! ```text
//! cargo run --example echo -- server /tmp/echo     # in one terminal
//! cargo run --example echo -- client /tmp/echo hello
//! ```

use slipring::adapters::socket::{Options, Stream, StreamListener};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::Path;

/// How many clients may wait to be accepted.
const BACKLOG: u16 = 5;

/// Listens at a name that must be free.
///
/// # Errors
/// EADDRINUSE if it is not, ENOENT, EACCES.
pub fn listen(path: &Path) -> io::Result<StreamListener> {
    StreamListener::bind(path, &Options::new().backlog(BACKLOG))
}

/// Answers one client after the other, so many of them.
///
/// # Errors
/// No more connections can be accepted. A client that goes away is its own affair.
pub fn serve(listener: &StreamListener, clients: usize) -> io::Result<()> {
    for _ in 0..clients {
        let mut client = listener.accept()?;
        let mut text = Vec::new();
        let answered = client.read_to_end(&mut text).and_then(|_| {
            client.write_all(format!("Server at {} says: ", now()).as_bytes())?;
            client.write_all(&text)
        });
        if let Err(error) = answered {
            eprintln!("a client: {error}");
        }
    }
    Ok(())
}

/// Says `text` and returns the answer.
///
/// # Errors
/// ENOENT or ECONNREFUSED if nobody serves there, and whatever ends the connection.
pub fn ask(path: &Path, text: &str) -> io::Result<String> {
    let mut server = Stream::connect(path, &Options::new())?;
    server.write_all(text.as_bytes())?;
    server.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The time as ctime(3) says it, without its end of line.
fn now() -> String {
    let mut text = [0; 26];
    let seconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
    // SAFETY: ctime_r(3) writes 26 bytes, its NUL included, and keeps neither pointer.
    let end = unsafe { libc::ctime_r(&(seconds as libc::time_t), text.as_mut_ptr().cast()) };
    let text = if end.is_null() { &[][..] } else { &text[..24] };
    String::from_utf8_lossy(text).into_owned()
}

#[allow(dead_code, reason = "the test of the examples calls what is inside")]
fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", path] => serve(&listen(path.as_ref())?, usize::MAX),
        ["client", path, text] => {
            println!("{}", ask(path.as_ref(), text)?);
            Ok(())
        }
        _ => Err(io::Error::other("say `server PATH` or `client PATH TEXT`")),
    }
}
