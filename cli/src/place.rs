//! Which ring is meant: a name, or with `--file` a path. A name without its slash is forgiven.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use slipring::{Error, Inspection, Listed, Options, Ring};

use crate::fail::Fail;
use crate::table::clean;

/// The argument that names one ring.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// Name of the ring, such as /prices (the slash may be left out)
    name: OsString,

    /// NAME is the path of a ring in a file, not a name in /dev/shm
    #[arg(short = 'f', long)]
    file: bool,
}

impl Place {
    /// The place that `name` means, for verbs that take several names.
    pub(crate) fn new(name: OsString, file: bool) -> Place {
        Place { name, file }
    }

    /// Makes the ring; it must not exist.
    pub(crate) fn create(&self, options: &Options) -> Result<Ring, Fail> {
        match self.path() {
            Some(path) => Ok(Ring::create_file(path, options)?),
            None => Ok(Ring::create(&self.name()?, options)?),
        }
    }

    /// Looks at the ring without joining it, so that looking changes nothing.
    pub(crate) fn stat(&self) -> Result<Listed, Fail> {
        match self.path() {
            Some(path) => slipring::stat_file(path).map_err(|error| self.failed(error)),
            None => Ok(slipring::stat(&self.name()?)?),
        }
    }

    /// Examines the ring, which changes nothing.
    pub(crate) fn inspect(&self) -> Result<Inspection, Fail> {
        match self.path() {
            Some(path) => slipring::inspect_file(path).map_err(|error| self.failed(error)),
            None => Ok(slipring::inspect(&self.name()?)?),
        }
    }

    /// Opens the ring, or makes it if it does not exist.
    pub(crate) fn open_or_create(&self, options: &Options) -> Result<Ring, Fail> {
        match self.path() {
            Some(path) => Ok(Ring::open_or_create_file(path, options)?),
            None => Ok(Ring::open_or_create(&self.name()?, options)?),
        }
    }

    /// Removes the ring, one in use only if `force`.
    pub(crate) fn unlink(&self, force: bool) -> Result<(), Fail> {
        let done = match (self.path(), force) {
            (Some(path), false) => slipring::unlink_file(path),
            (Some(path), true) => slipring::unlink_file_forced(path),
            (None, false) => slipring::unlink(&self.name()?),
            (None, true) => slipring::unlink_forced(&self.name()?),
        };
        done.map_err(|error| match is_for_force(&error) && !force {
            true => {
                Fail::Error(format!("{error}; `slipring rm --force {}` removes it as it is", self.typed()))
            }
            false => self.failed(error),
        })
    }

    /// What an error of the library means here. A ring in a file is found by its path alone, and `-f` is not `--force`.
    fn failed(&self, error: Error) -> Fail {
        match error {
            Error::NotFound { name } if self.file => Fail::No(format!(
                "{name}: no such file; `slipring mk --file` makes a ring in one, and a ring with a name goes without \
                 --file"
            )),
            error => error.into(),
        }
    }

    /// How to name this ring on a command line.
    pub(crate) fn typed(&self) -> String {
        if self.file { format!("--file {self}") } else { self.to_string() }
    }

    /// The path, if the ring is a file.
    fn path(&self) -> Option<&Path> {
        self.file.then(|| Path::new(&self.name))
    }

    /// The name as the library wants it: text, with its slash.
    fn name(&self) -> Result<String, Fail> {
        let Some(name) = self.name.to_str() else {
            return Err(Fail::Error(format!(
                "{self}: the name of a ring is UTF-8 text; only --file takes any path"
            )));
        };
        Ok(canonical(name))
    }
}

/// Whether the segment cannot be used, and only a forced removal takes it away.
fn is_for_force(error: &Error) -> bool {
    match error {
        // One without the first bytes of a segment is not removed even so.
        Error::TooSmall { len, .. } => *len > 0,
        Error::Version { .. }
        | Error::Features { .. }
        | Error::Geometry { .. }
        | Error::Checksum { .. }
        | Error::Truncated { .. }
        | Error::WrongOwner { .. }
        | Error::WrongMode { .. } => true,
        _ => false,
    }
}

/// `prices` means `/prices`. Everything else is the library's to judge.
pub(crate) fn canonical(name: &str) -> String {
    if name.is_empty() || name.contains('/') { name.to_owned() } else { format!("/{name}") }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.to_string_lossy();
        match self.file {
            true => f.write_str(&clean(&name)),
            false => f.write_str(&clean(&canonical(&name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gets_its_slash_and_a_path_is_left_alone() {
        assert_eq!(Place::new("prices".into(), false).to_string(), "/prices");
        assert_eq!(Place::new("/prices".into(), false).to_string(), "/prices");
        assert_eq!(Place::new("a/b".into(), false).to_string(), "a/b");
        assert_eq!(Place::new("a.ring".into(), true).to_string(), "a.ring");
        assert_eq!(Place::new("a.ring".into(), true).typed(), "--file a.ring");
    }
}
