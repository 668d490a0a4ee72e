//! The echo server of the textbook, asked over three kinds of socket.

use std::io::{self, Read, Stdout, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use slipring_conform::process::Child;

use super::examples::echo;

/// Questions to each server.
const TIMES: usize = 101;

/// A directory that is removed in the end.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts three servers and asks each.
pub(super) fn run(out: &mut Stdout) -> io::Result<()> {
    let dir = Dir(std::env::temp_dir().join(format!("slipring-echo-{}", std::process::id())));
    std::fs::create_dir(&dir.0)?;
    let (ours, theirs) = (dir.0.join("slipring"), dir.0.join("kernel"));

    let listener = echo::listen(&ours)?;
    let _server = Child::doing(|| echo::serve(&listener, TIMES))?;
    report(out, "slipring's socket", || echo::ask(&ours, "hello"))?;

    let listener = UnixListener::bind(&theirs)?;
    let _server =
        Child::doing(|| listener.incoming().try_for_each(|client| answer(client?, UnixStream::shutdown)))?;
    report(out, "Unix stream", || ask(UnixStream::connect(&theirs)?, UnixStream::shutdown))?;

    // Any port: the one of the textbook, 9999, may be taken.
    let listener = TcpListener::bind("localhost:0")?;
    let port = listener.local_addr()?;
    let _server =
        Child::doing(|| listener.incoming().try_for_each(|client| answer(client?, TcpStream::shutdown)))?;
    report(out, "TCP", || ask(TcpStream::connect(port)?, TcpStream::shutdown))
}

type Shut<S> = fn(&S, Shutdown) -> io::Result<()>;

/// The kernel's servers say the same as the example's, but for the time of the day.
fn answer<S: Read + Write>(mut client: S, shut: Shut<S>) -> io::Result<()> {
    let mut text = Vec::new();
    client.read_to_end(&mut text)?;
    client.write_all(&[b"Server says: ", &text[..]].concat())?;
    shut(&client, Shutdown::Write)
}

fn ask<S: Read + Write>(mut server: S, shut: Shut<S>) -> io::Result<String> {
    server.write_all(b"hello")?;
    shut(&server, Shutdown::Write)?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    Ok(answer)
}

fn report(out: &mut Stdout, over: &str, ask: impl Fn() -> io::Result<String>) -> io::Result<()> {
    let (mut times, mut last): (Vec<Duration>, _) = (Vec::new(), String::new());
    for _ in 0..TIMES {
        let start = Instant::now();
        last = ask()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times[TIMES / 2].as_micros();
    writeln!(out, "over {over}: {last:?}; to connect, ask and hear takes {median} us (median of {TIMES})")
}
