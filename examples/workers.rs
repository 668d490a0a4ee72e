//! Workers that share one resource by a named semaphore: each tries for it, says that it waits, sleeps a moment and tries
//! again, up to five times; who has it works and gives it back.
//!
//! This is a demonstration that circulates, put right: there the semaphore begins with 0, so that nobody can ever have it,
//! and workers post that never waited. Here it begins with 1, for the one that may work at a time, and whoever posts has
//! waited before.
//!
//! ```text
//! cargo run --example workers              # three processes, a second between two tries
//! cargo run --example workers -- 4 0.1     # four, a tenth
//! ```

use slipring::adapters::sem::Semaphore;
use slipring::adapters::sysv::Obtain;
use std::io::{self, ErrorKind, Write};
use std::process::{Command, ExitCode};
use std::time::Duration;

const TRIES: u32 = 5;

/// One worker; whether it got the resource.
///
/// # Errors
/// There is no semaphore of this name, or nobody to tell.
pub fn work(name: &str, number: u32, pause: Duration, out: &mut impl Write) -> io::Result<bool> {
    let semaphore = Semaphore::open(name)?;
    for _ in 0..TRIES {
        match semaphore.try_wait() {
            Ok(()) => {
                writeln!(out, "worker {number}: acquired")?;
                std::thread::sleep(pause / 2);
                writeln!(out, "worker {number}: released")?;
                semaphore.post()?;
                return Ok(true);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                writeln!(out, "worker {number}: waiting...")?;
                std::thread::sleep(pause);
            }
            Err(error) => return Err(error),
        }
    }
    writeln!(out, "worker {number}: gave up")?;
    Ok(false)
}

#[allow(dead_code, reason = "the test of the examples calls what is inside")]
fn start(workers: u32, pause: f64) -> io::Result<bool> {
    let name = format!("/slipring-workers-{}", std::process::id());
    let semaphore = Semaphore::obtain(&name, Obtain::CreateNew, 0o600, 1)?;
    let own = std::env::current_exe()?;
    let worker = |number: u32| {
        Command::new(&own).args(["worker", &name, &number.to_string(), &pause.to_string()]).spawn()
    };
    let started: io::Result<Vec<_>> = (1..=workers).map(worker).collect();
    let mut all = true;
    for mut worker in started? {
        // 1: it gave up, which is no fault of the semaphore's.
        all &= matches!(worker.wait()?.code(), Some(0 | 1));
    }
    Semaphore::unlink(&name)?;
    println!("the semaphore has {} again", semaphore.value());
    Ok(all && semaphore.value() == 1)
}

#[allow(dead_code, reason = "the test of the examples calls what is inside")]
fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let number = |at: usize, default: f64| args.get(at).map_or(Some(default), |text| text.parse().ok());
    let done = match args.first().map(String::as_str) {
        Some("worker") => match (args.get(1), number(2, 0.0), number(3, 1.0)) {
            (Some(name), Some(own), Some(pause)) => {
                work(name, own as u32, Duration::from_secs_f64(pause), &mut io::stdout())
            }
            _ => Err(ErrorKind::InvalidInput.into()),
        },
        _ => match (number(0, 3.0), number(1, 1.0)) {
            (Some(workers), Some(pause)) => start(workers as u32, pause),
            _ => Err(ErrorKind::InvalidInput.into()),
        },
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("workers: {error}");
            ExitCode::from(2)
        }
    }
}
