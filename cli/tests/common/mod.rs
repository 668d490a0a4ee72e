//! What the tests share: ring names that clean up after themselves, and processes that never outlive a test.
//! Nothing sleeps and hopes: everything waits for a condition, with a bound that only a broken program reaches.
#![allow(dead_code, reason = "each test file uses its part")]

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything takes on a machine that is busy with other things.
const BOUND: Duration = Duration::from_secs(120);

/// The name of a ring that is this test's alone. Whatever stands there is removed when it is dropped.
pub struct Name(pub String);

impl Name {
    /// `tag` must be unique among all tests of this package.
    pub fn new(tag: &str) -> Name {
        let name = Name(format!("/slipring-cli-{}-{tag}", std::process::id()));
        let _ = std::fs::remove_file(name.path());
        name
    }

    /// Where the name lives.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.0[1..])
    }

    /// Whether there is something of that name.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// What `stat --json` says.
    pub fn stat(&self) -> serde_json::Value {
        let done = slipring(["stat", &self.0, "--json"]);
        assert_eq!(done.code(), 0, "{done:?}");
        done.json()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

impl AsRef<OsStr> for Name {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

/// A directory that is this test's alone.
pub struct Dir(pub PathBuf);

impl Dir {
    /// `tag` must be unique among all tests of this package.
    pub fn new(tag: &str) -> Dir {
        let dir =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("slipring-cli-{}-{tag}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    /// A path in it, as text.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that is killed when it is dropped.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// A process that has ended, and what it said.
#[derive(Debug)]
pub struct Done {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Done {
    /// The exit code; -1 if it died by a signal.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The signal it died by.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Standard error as text. Nothing ever panics.
    pub fn err(&self) -> String {
        let text = String::from_utf8(self.stderr.clone()).unwrap();
        assert!(!text.contains("panicked"), "{text}");
        text
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }

    /// Ended with `code` and one complaint that starts as all do and contains `part`.
    #[track_caller]
    pub fn complains(&self, code: i32, part: &str) {
        let err = self.err();
        assert_eq!(self.code(), code, "{err}");
        assert!(err.starts_with("slipring: "), "{err}");
        assert!(err.contains(part), "{err:?} lacks {part:?}");
    }

    /// Ended with 0 and had nothing to complain about.
    #[track_caller]
    pub fn is_fine(&self) {
        assert_eq!((self.code(), self.err()), (0, String::new()));
    }
}

/// The command under test.
pub fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipring"));
    command.args(args).env_remove("COLUMNS");
    command
}

/// Runs the command to its end, with nothing to read.
pub fn slipring<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Done {
    Running::start(command(args).stdin(Stdio::null())).wait()
}

/// Starts the command with a pipe as its standard input.
pub fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Running {
    Running::start(command(args).stdin(Stdio::piped()))
}

/// Runs a shell script with the command first in PATH.
pub fn shell(script: &str) -> Done {
    let dir = Path::new(env!("CARGO_BIN_EXE_slipring")).parent().unwrap();
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    Running::start(Command::new("bash").args(["-c", script]).env("PATH", path).stdin(Stdio::null())).wait()
}

impl Running {
    /// Starts anything, and reads what it says.
    pub fn start(command: &mut Command) -> Running {
        let mut running = Running::start_unread(command.stdout(Stdio::piped()));
        running.stdout = running.child.stdout.take().map(reader);
        running
    }

    /// Starts anything; standard output is the test's own business.
    pub fn start_unread(command: &mut Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stderr = child.stderr.take().map(reader);
        Running { child, stdin, stdout: None, stderr }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its unread standard output.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Writes to its standard input, which stays open.
    pub fn feed(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Takes its standard input away, for a thread that feeds it.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, with its standard input closed.
    pub fn wait(mut self) -> Done {
        self.end_input();
        let mut status = None;
        eventually("the command ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let join =
            |reader: Option<JoinHandle<Vec<u8>>>| reader.map_or(Vec::new(), |reader| reader.join().unwrap());
        Done { status: status.unwrap(), stdout: join(self.stdout.take()), stderr: join(self.stderr.take()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a stream to its end, beside the test.
fn reader(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < BOUND, "waited {BOUND:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A `recv --ack` with one of the ring's records in its hands: it cannot write it, since its output is full.
pub struct Holder {
    pub receiver: Running,
    output: std::io::PipeReader,
    /// What the output was filled with.
    filled: usize,
}

impl Holder {
    /// There must be a record in the ring.
    pub fn new(name: &Name, more: &[&str]) -> Holder {
        let (output, mut input) = std::io::pipe().unwrap();
        fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let mut filled = 0;
        while let Ok(n) = input.write(&[b'x'; 4096]) {
            filled += n;
        }
        fcntl(&input, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        let args = [&["recv", &name.0, "--ack", "--lines"], more].concat();
        let receiver = Running::start_unread(
            command(args).stdin(Stdio::null()).stdout(Stdio::from(OwnedFd::from(input))),
        );
        let holder = Holder { receiver, output, filled };
        eventually("it has a record in its hands", || {
            let held = slipring(["fsck", &name.0, "--json"]).json()["held"].clone();
            held.as_array().unwrap().iter().any(|hold| hold["pid"] == holder.receiver.pid())
        });
        holder
    }

    /// Kills it, and gives the process id that it had.
    pub fn kill(self) -> u32 {
        let pid = self.receiver.pid();
        self.receiver.signal(Signal::SIGKILL);
        assert_eq!(self.receiver.wait().signal(), Some(9));
        pid
    }

    /// Reads its output, to its end.
    pub fn read(mut self) -> (Done, Vec<u8>) {
        let mut bytes = Vec::new();
        self.output.read_to_end(&mut bytes).unwrap();
        (self.receiver.wait(), bytes.split_off(self.filled))
    }
}

/// Makes an MPMC ring with a word in it that no participant writes.
pub fn damage(name: &Name) {
    use std::os::unix::fs::FileExt;
    let done = slipring(["mk", &name.0, "-k", "mpmc", "--slots", "4", "--message", "48", "--json"]);
    done.is_fine();
    let ring = done.json();
    let slots = ring["segment_bytes"].as_u64().unwrap() - ring["capacity_bytes"].as_u64().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(name.path()).unwrap();
    file.write_all_at(&[0xff; 8], slots + 64).unwrap();
}

/// Bytes without pattern, the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The lines `from` to `to`, numbered.
pub fn lines(from: usize, to: usize) -> String {
    (from..=to).map(|n| format!("line {n}\n")).collect()
}

/// The numbers of such lines; panics if one is torn.
pub fn numbers(text: &[u8]) -> Vec<usize> {
    assert!(text.is_empty() || text.ends_with(b"\n"), "the last line is torn");
    let text = std::str::from_utf8(text).unwrap();
    text.lines().map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect()
}
