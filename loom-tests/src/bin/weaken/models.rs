//! The models: which there are, which operations each reaches, and whether one goes red when an operation is weakened.
//! Each run is a process of its own, so that a model that aborts or explores for ever takes nothing with it.

use std::collections::HashSet;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A weakened model may have to explore far more than it usually does.
const PATIENCE: u32 = 20;
const LEAST_PATIENCE: Duration = Duration::from_secs(60);
/// For a model that is not weakened.
const LIMIT: Duration = Duration::from_secs(1800);

/// One test of `loom-tests/tests/`.
pub(crate) struct Model {
    /// `spsc::a_pad_is_seen_together_with_its_record`.
    pub(crate) name: String,
    program: PathBuf,
    test: String,
    baseline: OnceLock<Result<Baseline, String>>,
}

/// A run with nothing weakened.
pub(crate) struct Baseline {
    pub(crate) took: Duration,
    reached: HashSet<String>,
}

/// How a run with something weakened ended.
pub(crate) enum Ended {
    Red(&'static str),
    Green,
    /// Explored for longer than a model is given.
    TimedOut,
}

/// Builds the models and lists them.
pub(crate) fn all() -> Result<Vec<Model>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["test", "--package", "slipring-loom", "--test", "*", "--no-run", "--message-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo cannot be run: {e}"))?;
    if !built.status.success() {
        return Err("the models do not build".into());
    }
    let mut models = Vec::new();
    for line in String::from_utf8_lossy(&built.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        if let (Some(program), Some(file)) =
            (message["executable"].as_str(), message["target"]["name"].as_str())
        {
            let listed = Command::new(program)
                .args(["--list", "--format", "terse"])
                .output()
                .map_err(|e| format!("{program}: {e}"))?;
            for test in
                String::from_utf8_lossy(&listed.stdout).lines().filter_map(|line| line.strip_suffix(": test"))
            {
                models.push(Model {
                    name: format!("{file}::{test}"),
                    program: program.into(),
                    test: test.into(),
                    baseline: OnceLock::new(),
                });
            }
        }
    }
    if models.is_empty() { Err("there are no models".into()) } else { Ok(models) }
}

impl Model {
    /// The run with nothing weakened, made once: it must be green.
    pub(crate) fn baseline(&self) -> Result<&Baseline, String> {
        let run = || {
            let sites = std::env::temp_dir().join(format!(
                "slipring-weaken-{}-{}",
                std::process::id(),
                self.name.replace("::", "-")
            ));
            let start = Instant::now();
            let ended = self.run(("SLIPRING_SITES", sites.as_os_str()), LIMIT);
            let took = start.elapsed();
            let reached = std::fs::read_to_string(&sites).unwrap_or_default();
            let _ = std::fs::remove_file(&sites);
            match ended? {
                Ended::Green => Ok(Baseline { took, reached: reached.lines().map(str::to_owned).collect() }),
                Ended::Red(why) => Err(format!("{} is red with nothing weakened: {why}", self.name)),
                Ended::TimedOut => Err(format!("{} takes more than {LIMIT:?}", self.name)),
            }
        };
        self.baseline.get_or_init(run).as_ref().map_err(Clone::clone)
    }

    /// Whether a run comes to this place, given as in `SLIPRING_SITES`.
    pub(crate) fn reaches(&self, place: &str) -> Result<bool, String> {
        Ok(self.baseline()?.reached.contains(place))
    }

    /// The run with one operation weakened.
    pub(crate) fn weakened(&self, request: &str) -> Result<Ended, String> {
        let limit = (self.baseline()?.took * PATIENCE).max(LEAST_PATIENCE);
        self.run(("SLIPRING_WEAKEN", request.as_ref()), limit)
    }

    fn run(&self, env: (&str, &std::ffi::OsStr), limit: Duration) -> Result<Ended, String> {
        let fault = |e: std::io::Error| format!("{}: {e}", self.program.display());
        let mut child = Command::new(&self.program)
            .args(["--exact", &self.test, "--include-ignored"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_remove("SLIPRING_SITES")
            .env_remove("SLIPRING_WEAKEN")
            .env("RUST_BACKTRACE", "0")
            .env(env.0, env.1)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fault)?;
        let readers = [child.stdout.take().map(reader), child.stderr.take().map(reader)];
        let end = Instant::now() + limit;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(fault)? {
                break Some(status);
            }
            if Instant::now() > end {
                child.kill().map_err(fault)?;
                child.wait().map_err(fault)?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let said: String = readers.into_iter().flatten().filter_map(|reader| reader.join().ok()).collect();
        match status.map(|status| status.code()) {
            None => Ok(Ended::TimedOut),
            Some(Some(0)) if said.contains("1 passed") => Ok(Ended::Green),
            // 101 is a failed test; none is a signal: a panic while another unwinds aborts.
            Some(Some(101) | None) => Ok(Ended::Red(why(&said))),
            Some(_) => Err(format!("{} did not run: {said}", self.name)),
        }
    }
}

fn reader(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = from.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    })
}

/// In a few words, why a model failed.
fn why(said: &str) -> &'static str {
    let reasons = [
        ("deadlock", "deadlock: a wake-up is lost"),
        ("Causality violation", "a race on bytes"),
        ("reached, not listed", "an outcome that is not listed"),
        ("listed, not reached", "an outcome is not reached"),
        ("Model exceeded maximum number of branches", "somebody tries for ever"),
        ("panicked at", "a check of the model or of the ring fails"),
    ];
    reasons.iter().find(|(text, _)| said.contains(text)).map_or("aborted", |(_, reason)| reason)
}
