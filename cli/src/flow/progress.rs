//! The progress line on standard error. Drawn only when the transfer looks around anyway: no thread, no timer.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress line, or none.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// A line if somebody can see it: standard error is a terminal, and data do not go to the same one.
    pub(crate) fn new(quiet: bool, size: Option<u64>, data_to_stdout: bool) -> Progress {
        let seen = !quiet && io::stderr().is_terminal() && !(data_to_stdout && same_terminal());
        Progress(seen.then(|| bar(size)))
    }

    /// Shows how many bytes have moved. Cheap: the terminal is written at most a few times a second.
    pub(crate) fn show(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            match bar.position() == bytes {
                true => bar.tick(),
                false => bar.set_position(bytes),
            }
        }
    }

    /// Does something that writes to the terminal, with the line out of the way.
    pub(crate) fn aside(&self, work: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(work),
            None => work(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// The line: a bar if the end is known, a spinner if not.
fn bar(size: Option<u64>) -> ProgressBar {
    let (template, size) = match size {
        Some(size) => ("{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}", size),
        None => ("{spinner} {bytes} {binary_bytes_per_sec} {elapsed}", 0),
    };
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr_with_hz(10));
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Whether standard output and standard error are one terminal.
fn same_terminal() -> bool {
    let (out, err) = (io::stdout(), io::stderr());
    let device = |fd| nix::sys::stat::fstat(fd).ok().map(|stat| stat.st_rdev);
    out.is_terminal() && device(out.as_fd()) == device(err.as_fd())
}

/// A line that counts steps of known number, for `compare` and `verify`, or none.
pub(crate) struct Steps(Option<ProgressBar>);

impl Steps {
    /// A line if standard error is a terminal.
    pub(crate) fn new(quiet: bool) -> Steps {
        let seen = !quiet && io::stderr().is_terminal();
        Steps(seen.then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
            match ProgressStyle::with_template("{bar:20} {pos}/{len} {wide_msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        }))
    }

    /// Shows how many steps are done and what comes next.
    pub(crate) fn show(&self, done: usize, total: usize, next: String) {
        if let Some(bar) = &self.0 {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            bar.set_message(next);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
