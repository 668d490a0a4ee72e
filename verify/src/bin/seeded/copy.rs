//! A copy of the repository in which a file may be wrong for a while, and the gates run in it.

use crate::bugs::{Bug, Gate};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The models' package is optimised, for all of them together; one is quick without.
const QUICK_BUILD: [&str; 2] = ["--config", "profile.dev.package.slipring-loom.opt-level=0"];

/// The longest that one test may run; tests give up on their own earlier, but a seeded bug can hang anything.
const LIMIT: Duration = Duration::from_secs(120);

/// The longest that a build may take, the first of all of them on a busy machine included.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

/// How a gate ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ended {
    Green,
    Red(&'static str),
}

/// Of the message of a failed test so many lines are shown.
const REASON: usize = 6;

/// The copy.
pub(crate) struct Copy {
    tree: PathBuf,
    build: PathBuf,
    /// What cargo and the compiler said last.
    talk: PathBuf,
    /// How gates ended without a bug.
    sound: RefCell<BTreeMap<String, Result<Ended, String>>>,
}

impl Copy {
    /// Copies what git knows of, or would, as it stands now. What is the same already is left alone, so that little is
    /// built anew.
    pub(crate) fn make(root: &Path, dir: Option<&Path>) -> Result<Copy, String> {
        let dir = dir.map_or_else(|| root.join("target/seeded"), Path::to_owned);
        let (tree, build, talk) = (dir.join("tree"), dir.join("build"), dir.join("talk"));
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()
            .map_err(|e| format!("git cannot be run: {e}"))?;
        let files: BTreeSet<PathBuf> = String::from_utf8_lossy(&listed.stdout)
            .split('\0')
            .filter(|path| !path.is_empty() && root.join(path).is_file())
            .map(PathBuf::from)
            .collect();
        if files.is_empty() {
            return Err("git lists no files here".into());
        }
        let fault = |path: &Path| {
            let path = path.display().to_string();
            move |e: std::io::Error| format!("{path}: {e}")
        };
        for file in &files {
            let (from, to) = (root.join(file), tree.join(file));
            let text = std::fs::read(&from).map_err(fault(&from))?;
            if std::fs::read(&to).ok().as_ref() != Some(&text) {
                let parent = to.parent().expect("a file lies in a directory");
                std::fs::create_dir_all(parent).map_err(fault(parent))?;
                std::fs::write(&to, text).map_err(fault(&to))?;
            }
        }
        remove_others(&tree, &tree, &files).map_err(fault(&tree))?;
        Ok(Copy { tree, build, talk, sound: RefCell::default() })
    }

    /// The gate without a bug; run once.
    pub(crate) fn sound(&self, gate: &str) -> Result<Ended, String> {
        if let Some(known) = self.sound.borrow().get(gate) {
            return known.clone();
        }
        let ended = self.run(gate);
        self.sound.borrow_mut().insert(gate.to_owned(), ended.clone());
        ended
    }

    /// The bug's gate with the bug.
    pub(crate) fn with(&self, bug: &Bug) -> Result<Ended, String> {
        let path = self.tree.join(&bug.file);
        let fault = |e: std::io::Error| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(&path).map_err(fault)?;
        std::fs::write(&path, bug.seeded(&text)?).map_err(fault)?;
        let ended = self.run(&bug.gate);
        std::fs::write(&path, text).map_err(fault)?;
        ended
    }

    fn run(&self, gate: &str) -> Result<Ended, String> {
        match Gate::parse(gate)? {
            Gate::Build { package, says } => {
                match self.cargo(&["build", "--package", package], BUILD_LIMIT)? {
                    Some(0) => Ok(Ended::Green),
                    Some(_) if self.said()?.contains(says) => Ok(Ended::Red("is not compiled")),
                    Some(_) => Err(format!("{gate}: the compiler says something else:\n{}", self.said()?)),
                    None => Err(format!("{gate}: does not end")),
                }
            }
            Gate::Weaken(text) => {
                let weaken = ["run", "--package", "slipring-loom", "--", "--dry", text];
                match self.cargo(&weaken, BUILD_LIMIT)? {
                    Some(0) => Ok(Ended::Green),
                    Some(1) => Ok(Ended::Red("an ordering that nothing needs")),
                    other => Err(format!("{gate}: ended with {other:?}")),
                }
            }
            Gate::Test { package, file, test } => {
                let build = ["test", "--quiet", "--package", package, "--test", file, "--no-run"];
                if self.cargo(&build, BUILD_LIMIT)? != Some(0) {
                    return Err(format!("{gate}: does not build:\n{}", self.said()?));
                }
                let run = ["test", "--package", package, "--test", file, "--", "--exact", test];
                match self.cargo(&run, LIMIT)? {
                    Some(0) => Ok(Ended::Green),
                    Some(_) => Ok(Ended::Red("fails")),
                    None => Ok(Ended::Red("hangs")),
                }
            }
        }
    }

    /// Why the last gate went red, in its own words: a gate that is red for another reason shows nothing of the bug.
    pub(crate) fn reason(&self) -> String {
        let said = self.said().unwrap_or_default();
        let panic = said.find("panicked at").map_or("", |at| &said[at..]);
        let lines = panic.lines().take_while(|line| !line.starts_with("note: ")).skip(1);
        lines.take(REASON).map(|line| format!("    {line}\n")).collect()
    }

    /// What the last of those that [`Copy::cargo`] ran said.
    fn said(&self) -> Result<String, String> {
        let text = std::fs::read(&self.talk).map_err(|e| format!("{}: {e}", self.talk.display()))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The exit code; `None` if it had to be killed, and all that it started with it.
    fn cargo(&self, arguments: &[&str], limit: Duration) -> Result<Option<i32>, String> {
        use std::os::unix::process::CommandExt;
        let talk = || {
            let stderr = std::fs::File::create(&self.talk)?;
            Ok((stderr.try_clone()?, stderr))
        };
        let (stdout, stderr) = talk().map_err(|e: std::io::Error| format!("{}: {e}", self.talk.display()))?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut child = Command::new(cargo)
            .args(QUICK_BUILD)
            .args(arguments)
            // Most of the time goes into building, little into the one test.
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.build)
            .env("RUSTFLAGS", "-Awarnings")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cargo cannot be run: {e}"))?;
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
                // Whoever a test forked and a panic left behind.
                end_group(child.id());
                return Ok(Some(status.code().unwrap_or(-1)));
            }
            if Instant::now() > end {
                end_group(child.id());
                let _ = child.wait();
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn end_group(leader: u32) {
    let group = nix::unistd::Pid::from_raw(leader as i32);
    // ESRCH: nobody is left, as it should be.
    let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
}

/// Removes files that are no longer listed, which cargo would build.
fn remove_others(tree: &Path, dir: &Path, listed: &BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(tree, &path, listed)?;
        } else if !path.strip_prefix(tree).is_ok_and(|below| listed.contains(below)) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
