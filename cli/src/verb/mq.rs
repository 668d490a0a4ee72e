//! `slipring mq`: message queues of System V, by identifier or key, and of POSIX, by name. Nothing here waits.

use std::io;

use slipring::adapters::posix_mq::{self, Access, Open};
use slipring::adapters::sysv_mq::{self, Queue, flags};

use crate::fail::{Fail, say};
use crate::table::{Side, clean, table};
use crate::{out, render};

/// Shown below the options.
const EXAMPLES: &str = "\
A queue is named by its System V identifier, by its key (0x...), or, with a slash in front, by its POSIX name; then \
the type of a message is its priority, and the one received is the first. A text is sent with a NUL behind it, as C \
programs do.

Exit codes: 0 done, 1 no such queue, no such message, or no room, 2 error.

Examples:
  id=$(slipring mq mk)
  slipring mq send -i $id -t 123 -m 'hello helios'
  slipring mq recv -i $id -t 123
  slipring mq ls
  slipring mq rm $id
  slipring mq mk /jobs --messages 1000 --message-size 256
  slipring mq send -i /jobs -t 9 -m urgent";

/// `mq` and its verbs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Send a message; no room is an answer
    Send {
        /// Identifier, key or name of the queue
        #[arg(short = 'i', long, value_name = "ID", allow_hyphen_values = true)]
        id: String,

        /// Type of the message, 1 or more; of a POSIX queue its priority
        #[arg(short = 't', long = "type", value_name = "TYPE", allow_hyphen_values = true)]
        kind: i64,

        /// Text
        #[arg(short = 'm', long, value_name = "TEXT", allow_hyphen_values = true)]
        message: String,
    },
    /// Receive a message; none of the type is an answer
    Recv {
        /// Identifier, key or name of the queue
        #[arg(short = 'i', long, value_name = "ID", allow_hyphen_values = true)]
        id: String,

        /// Type of the message: 0 for any, -N for the lowest up to N; none for a POSIX queue
        #[arg(
            short = 't',
            long = "type",
            value_name = "TYPE",
            default_value_t = 0,
            allow_hyphen_values = true
        )]
        kind: i64,
    },
    /// Make a queue that stays until it is removed, and print its identifier or name
    Mk {
        /// Key (0x...) or POSIX name [default: a System V queue without a key]
        #[arg(value_name = "KEY|NAME")]
        which: Option<String>,

        /// Permission bits
        #[arg(short = 'p', long, default_value = "644", value_name = "MODE", value_parser = octal)]
        mode: u32,

        /// How many messages it holds [default: 10 of a POSIX queue]
        #[arg(long, value_name = "N")]
        messages: Option<u64>,

        /// Bytes of the longest message
        #[arg(long, default_value_t = 8192, value_name = "BYTES")]
        message_size: usize,

        /// Bytes of all messages of a System V queue
        #[arg(long, default_value_t = 16384, value_name = "BYTES")]
        bytes: u64,
    },
    /// Print the key that a path and a number make, as programs agree on one
    Key {
        /// A file that exists
        path: String,

        /// The number, of which the low 8 bits count and must not be 0
        #[arg(value_parser = clap::value_parser!(i32))]
        number: i32,
    },
    /// List the queues of this user
    Ls {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove queues
    Rm {
        /// Identifiers, keys or names
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("not three octal digits".into()),
    }
}

/// A queue that somebody names.
enum Which {
    Id(i32),
    Key(i32),
    Name(String),
}

impl Which {
    fn parse(text: &str) -> Result<Which, Fail> {
        let key = |digits| u32::from_str_radix(digits, 16).ok().map(|key| Which::Key(key.cast_signed()));
        let which = match text.strip_prefix("0x") {
            _ if text.starts_with('/') => Some(Which::Name(text.to_owned())),
            Some(digits) => key(digits),
            None => text.parse().ok().map(Which::Id),
        };
        which.ok_or_else(|| {
            let text = clean(text);
            Fail::Error(format!("{text}: neither an identifier, nor a key as 0x1a2b, nor a name as /jobs"))
        })
    }

    /// The System V queue, by whichever number.
    fn system_v(number: &Which) -> io::Result<Queue> {
        match number {
            Which::Key(key) => sysv_mq::get_queue(*key, 0, &sysv_mq::Options::new()),
            // msgget(2) has no other word for an identifier that nobody has.
            Which::Id(id) => Queue::of_id(*id).map_err(|error| match error.raw_os_error() {
                Some(nix::libc::EINVAL) => io::Error::from_raw_os_error(nix::libc::ENOENT),
                _ => error,
            }),
            Which::Name(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// What an error means: what is merely not so is "no".
fn failed(what: &str, error: &io::Error) -> Fail {
    let no = [nix::libc::EAGAIN, nix::libc::ENOENT, nix::libc::EEXIST, nix::libc::ENOMSG, nix::libc::EIDRM];
    let text = match Fail::io(clean(what), error) {
        Fail::Error(text) => text,
        other => return other,
    };
    if error.raw_os_error().is_some_and(|errno| no.contains(&errno)) {
        Fail::No(text)
    } else {
        Fail::Error(text)
    }
}

/// Does what was asked for.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    match &args.verb {
        Verb::Send { id, kind, message } => send(id, *kind, message),
        Verb::Recv { id, kind } => receive(id, *kind),
        Verb::Mk { which, mode, messages, message_size, bytes } => {
            make(which.as_deref(), *mode, *messages, *message_size, *bytes)
        }
        Verb::Key { path, number } => key(path, *number),
        Verb::Ls { json } => list(*json),
        Verb::Rm { ids } => ids.iter().try_for_each(|id| remove(id)),
    }
}

fn send(id: &str, kind: i64, text: &str) -> Result<(), Fail> {
    let bytes = [text.as_bytes(), &[0]].concat();
    let sent = match Which::parse(id)? {
        Which::Name(name) => {
            let priority = u32::try_from(kind).unwrap_or(u32::MAX);
            Open::existing(Access::Write)
                .nonblocking(true)
                .open(&name)
                .and_then(|mut q| q.send(&bytes, priority))
        }
        number => Which::system_v(&number).and_then(|mut q| q.send(kind, &bytes, flags::IPC_NOWAIT)),
    };
    sent.map_err(|error| failed("cannot send", &error))
}

fn receive(id: &str, kind: i64) -> Result<(), Fail> {
    let which = Which::parse(id)?;
    let mut to = Vec::new();
    let received = match which {
        Which::Name(name) => {
            Open::existing(Access::Read).nonblocking(true).open(&name).and_then(|mut queue| {
                to.resize(queue.attributes()?.message_size, 0);
                queue.receive(&mut to).map(|(len, priority)| (len, i64::from(priority)))
            })
        }
        number => Which::system_v(&number).and_then(|mut queue| {
            to.resize(queue.message_size(), 0);
            queue.receive(&mut to, kind, flags::IPC_NOWAIT)
        }),
    };
    let (len, kind) = received.map_err(|error| plain("fail to recv message.", &error))?;
    // As C prints a string: up to its NUL.
    let text = to[..len].split(|&byte| byte == 0).next().unwrap_or_default();
    let mut line = format!("received message type : {kind}, text: ").into_bytes();
    line.extend_from_slice(text);
    line.extend_from_slice(b".\n");
    out::bytes(&line)
}

/// As perror(3) says it, in the words of the program that this one is after: without this one's name.
fn plain(what: &str, error: &io::Error) -> Fail {
    match failed(what, error) {
        Fail::No(text) => {
            eprintln!("{text}");
            Fail::Said(1)
        }
        Fail::Error(text) => {
            eprintln!("{text}");
            Fail::Said(2)
        }
        other => other,
    }
}

fn make(
    which: Option<&str>,
    mode: u32,
    messages: Option<u64>,
    message_size: usize,
    bytes: u64,
) -> Result<(), Fail> {
    let which = which.map_or(Ok(Which::Key(sysv_mq::IPC_PRIVATE)), Which::parse)?;
    match which {
        Which::Name(name) => {
            let count = messages.map_or(10, |count| usize::try_from(count).unwrap_or(usize::MAX));
            let options = posix_mq::Options::new().max_messages(count).message_size(message_size).mode(mode);
            Open::existing(Access::Both)
                .create(&options)
                .exclusive(true)
                .open(&name)
                .map_err(|error| failed(&name, &error))?;
            out::print(&format!("{}\n", clean(&name)))
        }
        Which::Key(key) => {
            let mut options =
                sysv_mq::Options::new().message_size(message_size).bytes(bytes).max_bytes(bytes);
            if let Some(count) = messages {
                options = options.messages(count);
            }
            let how = flags::IPC_CREAT | flags::IPC_EXCL | mode.cast_signed();
            let queue = sysv_mq::get_queue(key, how, &options)
                .map_err(|error| failed(&format!("{:#010x}", key.cast_unsigned()), &error))?;
            out::print(&format!("{}\n", queue.id()))
        }
        Which::Id(id) => {
            Err(Fail::Error(format!("{id}: the system gives identifiers; name a key, as 0x{id:x}")))
        }
    }
}

fn key(path: &str, number: i32) -> Result<(), Fail> {
    if number & 0xff == 0 {
        return Err(Fail::Error(format!(
            "{number}: its low 8 bits are 0, of which ftok(3) makes no key to rely on"
        )));
    }
    let key = sysv_mq::ftok(path, number).map_err(|error| failed(path, &error))?;
    out::print(&format!("{}\n", render::key(Some(key))))
}

/// What is known of a System V queue only.
#[derive(serde::Serialize)]
struct Traffic {
    limit_bytes: u64,
    last_sender: u32,
    last_receiver: u32,
    /// Seconds since 1970, 0 if never.
    last_sent: u64,
    last_received: u64,
}

/// A queue as it is listed; a POSIX queue has no key, and its name for an identifier.
#[derive(serde::Serialize)]
struct Row {
    key: Option<i32>,
    id: String,
    owner: String,
    mode: String,
    used_bytes: u64,
    messages: u64,
    #[serde(flatten)]
    traffic: Option<Traffic>,
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let key = render::key(self.key);
        let (bytes, messages) = (self.used_bytes.to_string(), self.messages.to_string());
        vec![key, clean(&self.id), self.owner.clone(), self.mode.clone(), bytes, messages]
    }
}

fn list(json: bool) -> Result<(), Fail> {
    let mut rows = Vec::new();
    for id in sysv_mq::list().map_err(|error| failed("/dev/shm", &error))? {
        // One that is removed meanwhile is left out.
        let Ok(stat) = Queue::of_id(id).and_then(|mut queue| queue.stat()) else { continue };
        rows.push(Row {
            key: Some(stat.key),
            id: id.to_string(),
            owner: render::owner(stat.uid),
            mode: format!("{:o}", stat.mode),
            used_bytes: stat.cbytes,
            messages: stat.qnum,
            traffic: Some(Traffic {
                limit_bytes: stat.qbytes,
                last_sender: stat.lspid,
                last_receiver: stat.lrpid,
                last_sent: stat.stime,
                last_received: stat.rtime,
            }),
        });
    }
    for listed in slipring::list()? {
        let (Some(name), Ok(info)) = (posix_mq::shown(&listed.name), &listed.info) else { continue };
        let queue = Open::existing(Access::Read).open(&name);
        let Ok(attributes) = queue.and_then(|mut queue| queue.attributes()) else { continue };
        rows.push(Row {
            key: None,
            id: name,
            owner: render::owner(info.uid),
            mode: format!("{:o}", info.mode & 0o777),
            used_bytes: info.used_bytes,
            messages: attributes.messages as u64,
            traffic: None,
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
        ("USED-BYTES", Side::Right),
        ("MESSAGES", Side::Right),
    ];
    out::print(&table(&headings, &rows.iter().map(Row::cells).collect::<Vec<_>>(), true))
}

fn remove(id: &str) -> Result<(), Fail> {
    let removed = match Which::parse(id)? {
        Which::Name(name) => posix_mq::unlink(&name),
        number => Which::system_v(&number).and_then(|mut queue| queue.remove()),
    };
    match removed {
        Ok(()) => out::print(&format!("removed {}\n", clean(id))),
        Err(error) if [Some(nix::libc::EINVAL), Some(nix::libc::ENOENT)].contains(&error.raw_os_error()) => {
            say(format!("{}: no such queue; `slipring mq ls` lists all", clean(id)));
            Err(Fail::Said(1))
        }
        Err(error) => Err(failed(id, &error)),
    }
}
