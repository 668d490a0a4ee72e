//! `slipring man`: the manual pages, made from the same text as `--help`.

use std::path::{Path, PathBuf};

use clap_mangen::Man;

use crate::fail::Fail;
use crate::{cli, out};

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  slipring man | man -l -
  slipring man ~/.local/share/man/man1       # slipring.1, slipring-send.1 and so on";

/// `man` and its argument.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory to write all pages into; without it the main page is printed
    dir: Option<PathBuf>,
}

/// Prints one page or writes all.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    // The generated `help` verb would bring a page for every verb's help along.
    let mut command = cli::command().disable_help_subcommand(true);
    command.build();
    match &args.dir {
        None => out::bytes(&page(command)?),
        Some(dir) => write_all(dir, command),
    }
}

/// Writes the main page and one for each verb, and prints their paths.
fn write_all(dir: &Path, command: clap::Command) -> Result<(), Fail> {
    std::fs::create_dir_all(dir).map_err(|e| Fail::io(dir.display(), &e))?;
    let verbs: Vec<clap::Command> = command.get_subcommands().cloned().collect();
    for command in std::iter::once(command).chain(verbs) {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        let path = dir.join(format!("{name}.1"));
        let page = page(command)?;
        std::fs::write(&path, page).map_err(|e| Fail::io(path.display(), &e))?;
        out::print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

/// One page in roff.
fn page(command: clap::Command) -> Result<Vec<u8>, Fail> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|e| Fail::io("manual page", &e))?;
    Ok(page)
}
