//! `slipring sem`: semaphores for shell scripts, POSIX's by name and System V's sets by identifier.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use slipring::adapters::sem::{self, Semaphore};
use slipring::adapters::semset::{Operation, Set};
use slipring::adapters::sysv::{IPC_PRIVATE, Obtain};

use crate::duration;
use crate::fail::Fail;
use crate::table::{Side, clean, table};
use crate::{out, render};

/// Shown below the options.
const EXAMPLES: &str = "\
A semaphore has permits: wait takes one and sleeps until there is one, post adds one. It stays until it is removed. A set \
is several of them that change together; its identifier is printed when it is made.

Exit codes: 0 done, 1 no permit, or no such semaphore, 2 error.

Examples:
  slipring sem make /slots --value 4
  slipring sem wait /slots && { work; slipring sem post /slots; }
  slipring sem wait /slots --timeout 5s || echo busy
  id=$(slipring sem make-set 3 0); slipring sem operate $id 0:-2 1:+2; slipring sem values $id";

/// `sem` and its verbs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a semaphore
    Make {
        /// The name, as /slots
        name: String,
        /// Permits that it begins with
        #[arg(long, default_value_t = 1, value_name = "N")]
        value: u32,
    },
    /// Take a permit, sleeping until there is one
    Wait {
        /// The name
        name: String,
        /// Give up after this time
        #[arg(long, value_name = "TIME", value_parser = duration::parse)]
        timeout: Option<Duration>,
    },
    /// Take a permit if there is one
    Trywait {
        /// The name
        name: String,
    },
    /// Add a permit
    Post {
        /// The name
        name: String,
    },
    /// Print how many permits there are
    Value {
        /// The name
        name: String,
    },
    /// Remove a semaphore
    Rm {
        /// The name
        name: String,
    },
    /// List the semaphores and sets of this user
    Ls {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a set with these values, print its identifier
    MakeSet {
        /// The value of each semaphore
        #[arg(required = true)]
        values: Vec<u16>,
    },
    /// Change several semaphores of a set at once, sleeping until that is possible
    Operate {
        /// The identifier
        id: i32,
        /// NUMBER:CHANGE, as 0:-2; a change of 0 waits until it is zero
        #[arg(required = true, value_parser = operation, allow_hyphen_values = true)]
        operations: Vec<(u16, i16)>,
        /// Fail instead of sleeping
        #[arg(long)]
        nowait: bool,
    },
    /// Print the values of a set
    Values {
        /// The identifier
        id: i32,
    },
    /// Remove a set
    RmSet {
        /// The identifier
        id: i32,
    },
}

fn operation(text: &str) -> Result<(u16, i16), String> {
    let parts =
        text.split_once(':').and_then(|(number, change)| Some((number.parse().ok()?, change.parse().ok()?)));
    parts.ok_or_else(|| "not NUMBER:CHANGE, as 0:-2".into())
}

/// Does it.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    match &args.verb {
        Verb::Make { name, value } => {
            Semaphore::obtain(name, Obtain::CreateNew, 0o600, *value).map(drop).map_err(failed(name))
        }
        Verb::Wait { name, timeout } => {
            let semaphore = opened(name)?;
            loop {
                let taken = match timeout {
                    Some(time) => semaphore.wait_timeout(*time),
                    None => semaphore.wait(),
                };
                match taken {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    taken => return taken.map_err(failed(name)),
                }
            }
        }
        Verb::Trywait { name } => opened(name)?.try_wait().map_err(failed(name)),
        Verb::Post { name } => opened(name)?.post().map_err(failed(name)),
        Verb::Value { name } => out::print(&format!("{}\n", opened(name)?.value())),
        Verb::Rm { name } => Semaphore::unlink(name).map_err(failed(name)),
        Verb::Ls { json } => list(*json),
        Verb::MakeSet { values } => {
            let set = Set::with_values(IPC_PRIVATE, values, Obtain::CreateNew, 0o600);
            out::print(&format!("{}\n", set.map_err(failed("a set"))?.id()))
        }
        Verb::Operate { id, operations, nowait } => {
            let operation = |&(number, change)| {
                let operation = Operation::new(number, change);
                if *nowait { operation.nowait() } else { operation }
            };
            let operations: Vec<_> = operations.iter().map(operation).collect();
            Set::from_id(*id).operate(&operations).map_err(failed(&id.to_string()))
        }
        Verb::Values { id } => {
            let values = Set::from_id(*id).values().map_err(failed(&id.to_string()))?;
            let values: Vec<_> = values.iter().map(u16::to_string).collect();
            out::print(&format!("{}\n", values.join(" ")))
        }
        Verb::RmSet { id } => Set::from_id(*id).remove().map_err(failed(&id.to_string())),
    }
}

fn opened(name: &str) -> Result<Semaphore, Fail> {
    Semaphore::open(name).map_err(failed(name))
}

fn failed(name: &str) -> impl Fn(io::Error) -> Fail + '_ {
    move |error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => Fail::No(format!("{name}: no such semaphore; make it first")),
        Some(Errno::EAGAIN | Errno::ETIMEDOUT) => Fail::No(format!("{name}: no permit")),
        Some(Errno::EIDRM) => Fail::No(format!("{name}: was removed")),
        _ => Fail::io(name, &error),
    }
}

/// A set as it is listed, or a semaphore, which has no key, its name for an identifier, and a value.
#[derive(serde::Serialize)]
struct Row {
    key: Option<i32>,
    id: String,
    owner: String,
    mode: String,
    semaphores: usize,
    value: Option<u32>,
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let key = render::key(self.key);
        let value = self.value.map_or_else(|| "-".into(), |value| value.to_string());
        let (owner, mode) = (self.owner.clone(), self.mode.clone());
        vec![key, clean(&self.id), owner, mode, self.semaphores.to_string(), value]
    }
}

fn list(json: bool) -> Result<(), Fail> {
    let mut rows = Vec::new();
    for set in Set::all().map_err(|error| Fail::io("cannot list", &error))? {
        // One that is removed meanwhile is left out.
        let Ok(facts) = set.facts() else { continue };
        rows.push(Row {
            key: Some(facts.key),
            id: facts.id.to_string(),
            owner: render::owner(facts.uid),
            mode: format!("{:o}", facts.mode),
            semaphores: facts.semaphores,
            value: None,
        });
    }
    for listed in slipring::list()? {
        let (Some(name), Ok(info)) = (sem::shown(&listed.name), &listed.info) else { continue };
        let Ok(semaphore) = Semaphore::open(&name) else { continue };
        rows.push(Row {
            key: None,
            id: name,
            owner: render::owner(info.uid),
            mode: format!("{:o}", info.mode & 0o777),
            semaphores: 1,
            value: Some(semaphore.value()),
        });
    }
    if json {
        return out::json(&rows);
    }
    let headings = [
        ("KEY", Side::Left),
        ("ID", Side::Left),
        ("OWNER", Side::Left),
        ("PERMS", Side::Left),
        ("SEMAPHORES", Side::Right),
        ("VALUE", Side::Right),
    ];
    out::print(&table(&headings, &rows.iter().map(Row::cells).collect::<Vec<_>>(), true))
}
