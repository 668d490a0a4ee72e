//! There and back: two channels of one direction each, or one of both.

use std::io::{self, Read, Stdout, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use slipring::{Options, Ring};
use slipring_conform::process::Child;

/// Rounds, in each of which every kind has its turn.
const ROUNDS: usize = 9;
/// Questions in a turn.
const TURN: u32 = 500;

/// Asks something and waits for the answer.
type Ask<'a> = Box<dyn FnMut() -> io::Result<()> + 'a>;

/// What bytes a process answers with, byte for byte, until its input ends.
fn answer(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut byte = [0];
    while from.read(&mut byte)? > 0 {
        to.write_all(&byte)?;
    }
    Ok(())
}

fn ask(to: &mut impl Write, from: &mut impl Read) -> io::Result<()> {
    to.write_all(b"?")?;
    from.read_exact(&mut [0])
}

/// Measures all of them in turns, each with a process that answers.
pub(super) fn run(out: &mut Stdout) -> io::Result<()> {
    let (there, mut to) = io::pipe()?;
    let (mut from, back) = io::pipe()?;
    let _pipes = Child::doing(|| answer(there, back))?;

    let (near, far) = UnixStream::pair()?;
    let _socket = Child::doing(|| answer(&far, &far))?;

    let rings = [(); 2].map(|()| Ring::anonymous(&Options::new()).map_err(io::Error::other));
    let [there, back] = rings;
    let (there, back) = (there?, back?);
    let _rings = Child::doing(|| {
        let mut from = there.consumer().map_err(io::Error::other)?;
        let mut to = back.producer().map_err(io::Error::other)?;
        let mut byte = [0];
        while from.recv(&mut byte).is_ok() {
            to.send(&byte).map_err(io::Error::other)?;
        }
        Ok(())
    })?;
    let mut question = there.producer().map_err(io::Error::other)?;
    let mut answers = back.consumer().map_err(io::Error::other)?;

    let ask_rings = || {
        question.send(b"?").map_err(io::Error::other)?;
        answers.recv(&mut [0]).map(drop).map_err(io::Error::other)
    };
    let mut kinds: [(&str, Ask<'_>); 3] = [
        ("two pipes", Box::new(|| ask(&mut to, &mut from))),
        ("one Unix stream", Box::new(|| ask(&mut &near, &mut &near))),
        ("two rings", Box::new(ask_rings)),
    ];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for ((_, ask), times) in kinds.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (0..TURN).try_for_each(|_| ask())?;
            times.push(start.elapsed() / TURN);
        }
    }
    let median = |times: &Vec<Duration>| {
        let mut sorted = times.clone();
        sorted.sort_unstable();
        sorted[ROUNDS / 2].as_nanos() as f64
    };
    let pipes = median(&times[0]);
    for ((kind, _), times) in kinds.iter().zip(&times) {
        let time = median(times);
        writeln!(out, "{kind}: {:.1} us there and back, {:.2} of two pipes", time / 1000.0, time / pipes)?;
    }
    writeln!(out, "median of {ROUNDS} rounds in turns, {TURN} questions of one byte each")
}
