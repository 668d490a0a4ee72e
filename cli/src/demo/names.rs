//! How processes find each other, and what a name is worth: descriptors, FIFOs, keys, addresses.

use std::fs::File;
use std::io::{self, Read, Stdout, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use slipring::{Options, Ring};
use slipring_conform::process::Child;
use slipring_conform::sys;

/// A pipe, read by `cat`, which finds it in /proc.
pub(super) fn strangers(out: &mut Stdout) -> io::Result<()> {
    let (reader, mut writer) = io::pipe()?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), reader.as_raw_fd());
    // Descriptors of Rust's are closed by exec: cat has inherited none of the pipe.
    let cat = Command::new("cat").arg(&path).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    writer.write_all(b"hello from a process that you are not related to")?;
    drop(writer);
    let read = cat.wait_with_output()?;
    // Not before: it is this descriptor that cat opens.
    drop(reader);
    writeln!(out, "cat, which inherited nothing, opened the pipe by /proc and read {:?}", text(&read.stdout))
}

/// A FIFO of the kernel's: who waits, and what stays.
pub(super) fn fifo(out: &mut Stdout) -> io::Result<()> {
    let path = Removed(std::env::temp_dir().join(format!("slipring-fifo-{}", std::process::id())));
    mkfifo(&path.0, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let mut writer = Child::doing(|| File::options().write(true).open(&path.0)?.write_all(b"hello world"))?;
    let waits = writer.waits()?;
    writeln!(out, "nobody reads: opening it for writing {}", if waits { "sleeps" } else { "returns" })?;
    let mut reader = File::open(&path.0)?;
    writer.done()?;
    writer.kill();
    let mut read = String::new();
    reader.read_to_string(&mut read)?;
    writeln!(out, "somebody reads: it returns, and {read:?} comes")?;
    drop(reader);

    let both = || File::options().read(true).write(true).open(&path.0);
    both()?.write_all(b"twenty bytes to keep")?;
    let mut later = both()?;
    let (mut buffer, name) = ([0; 64], if path.0.exists() { "is still there" } else { "is gone" });
    nix::fcntl::fcntl(&later, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    let left = match later.read(&mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => "nothing".to_owned(),
        Ok(len) => format!("{len} bytes"),
        Err(error) => return Err(error),
    };
    writeln!(out, "20 bytes written and not read, all ends closed: the name {name}, in it is {left}")
}

/// ftok(3) and msgget(2).
pub(super) fn keys(out: &mut Stdout) -> io::Result<()> {
    for (project, why) in [(1024, "its low 8 bits are 0"), (1234, "they are 0xd2"), (210, "they are, too")] {
        let key = sys::ftok("/", project)?.cast_unsigned();
        writeln!(out, "ftok(\"/\", {project}) is {key:#010x}: {why}")?;
    }
    let key = 0x5100_0000 | std::process::id().cast_signed() & 0x00ff_ffff;
    let queues = [sys::msgget(key, nix::libc::IPC_CREAT | 0o600)?, sys::msgget(key, 0)?];
    let private = [(); 2].map(|()| sys::msgget(nix::libc::IPC_PRIVATE, 0o600));
    let [one, other] = private.map(|id| id.unwrap_or(-1));
    writeln!(out, "key {key:#x} leads to identifier {}, asked again to {}", queues[0], queues[1])?;
    let told = writeln!(out, "key 0, IPC_PRIVATE, to {one}, asked again to {other}: two queues");
    for id in [queues[0], one, other] {
        let _ = sys::msgrmid(id);
    }
    told
}

/// A ring mapped twice in one process.
pub(super) fn addresses(out: &mut Stdout) -> io::Result<()> {
    let name = format!("/slipring-demo-{}", std::process::id());
    let ring = Ring::create(&name, &Options::new()).map_err(io::Error::other)?;
    let again = Ring::open(&name).map_err(io::Error::other)?;
    let mut tx = ring.into_producer().map_err(io::Error::other)?;
    let mut rx = again.into_consumer().map_err(io::Error::other)?;
    tx.send(b"sent through one, received through the other").map_err(io::Error::other)?;
    // By the file's number: its maker has it mapped from before it had its name.
    let file = std::fs::metadata(format!("/dev/shm{name}"))?.ino().to_string();
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        let columns: Vec<_> = line.split_whitespace().collect();
        if columns.get(4) == Some(&file.as_str()) {
            let at = columns[0].split('-').next().unwrap_or_default();
            writeln!(out, "file {file} is mapped at 0x{at}")?;
        }
    }
    let mut to = [0; 64];
    let len = rx.recv(&mut to).map_err(io::Error::other)?;
    writeln!(out, "{}", text(&to[..len]))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path that is removed in the end.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
