//! A producer and a consumer, two processes, and a buffer between them: 20 items, one made every 100 ms, one used every
//! 150 ms. Nobody polls: an empty ring puts the consumer to sleep, a full one the producer, and the other side wakes it.
//!
//! ```text
//! cargo run --example producer_consumer            # 100 ms and 150 ms
//! cargo run --example producer_consumer 10 15
//! ```
//!
//! The textbook has a circle of ten places with a head, a tail, a count, a mutex and two condition variables, in threads. Here
//! the places are a power of two, 16, there is no lock, and no count, which both sides would have to write; and the
//! processes may be killed.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use slipring::adapters::pipe::{Writer, pipe};
use slipring::{Options, Ring};
use std::io::{self, Read, Write};
use std::time::Duration;

const PLACES: usize = 16;
const ITEMS: u32 = 20;

/// Makes and uses the items, one each `make` and one each `take`; what both sides say goes to `out` as it is said.
///
/// # Errors
/// No memory, or `out` cannot be written.
pub fn run(make: Duration, take: Duration, out: &mut (impl Write + Send)) -> io::Result<()> {
    let ring = Ring::anonymous(&Options::mpmc(PLACES, size_of::<u32>())).map_err(io::Error::other)?;
    let (mut said, mut voice) = pipe()?;
    // SAFETY: the child uses the ring and the pipe, nothing that another thread could hold, and ends at once.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(said);
            let produced = produce(&ring, make, &mut voice);
            drop(voice);
            // SAFETY: ends the child without running what its parent has registered for its own end.
            unsafe { libc::_exit(i32::from(produced.is_err())) }
        }
        ForkResult::Parent { child } => std::thread::scope(|scope| {
            let printer = scope.spawn(move || {
                let mut text = [0; 4096];
                loop {
                    match said.read(&mut text)? {
                        0 => return Ok(()),
                        len => out.write_all(&text[..len]).and_then(|()| out.flush())?,
                    }
                }
            });
            let consumed = consume(&ring, take, &mut voice);
            drop(voice);
            let status = waitpid(child, None)?;
            let printed: io::Result<()> =
                printer.join().unwrap_or_else(|_| Err(io::Error::other("panicked")));
            consumed.and(printed)?;
            match status {
                WaitStatus::Exited(_, 0) => Ok(()),
                status => Err(io::Error::other(format!("the producer: {status:?}"))),
            }
        }),
    }
}

fn produce(ring: &Ring, make: Duration, voice: &mut Writer) -> io::Result<()> {
    let mut sender = ring.sender().map_err(io::Error::other)?;
    for item in 1..=ITEMS {
        std::thread::sleep(make);
        // Said first: the consumer may be awake and have it before we come to say so.
        voice.write_all(format!("produced {item}\n").as_bytes())?;
        sender.send(&item.to_ne_bytes()).map_err(io::Error::other)?;
    }
    Ok(())
}

fn consume(ring: &Ring, take: Duration, voice: &mut Writer) -> io::Result<()> {
    let mut receiver = ring.receiver().map_err(io::Error::other)?;
    for _ in 0..ITEMS {
        let mut item = [0; size_of::<u32>()];
        receiver.recv(&mut item).map_err(io::Error::other)?;
        voice.write_all(format!("          consumed {}\n", u32::from_ne_bytes(item)).as_bytes())?;
        std::thread::sleep(take);
    }
    Ok(())
}

#[allow(dead_code, reason = "the test of the examples calls what is inside")]
fn main() -> io::Result<()> {
    let mut times = std::env::args().skip(1).map(|time| time.parse().map(Duration::from_millis));
    let mut next = |usual| match times.next() {
        Some(time) => time.map_err(io::Error::other),
        None => Ok(Duration::from_millis(usual)),
    };
    let (make, take) = (next(100)?, next(150)?);
    run(make, take, &mut io::stdout())
}
