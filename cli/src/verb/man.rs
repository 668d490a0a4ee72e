//! `slipring man`: the manual pages, made from the same text as `--help`.

use std::io;
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
        let path = dir.join(Man::new(command.clone()).get_filename());
        std::fs::write(&path, page(command)?).map_err(|e| Fail::io(path.display(), &e))?;
        out::print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

/// One page in roff.
fn page(command: clap::Command) -> Result<Vec<u8>, Fail> {
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let is_main = command.has_subcommands();
    let source = concat!("slipring ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.after_help("")).source(source);
    let mut page = Vec::new();
    let mut render = || -> io::Result<()> {
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if is_main {
            man.render_subcommands_section(&mut page)?;
        }
        page.extend_from_slice(sections(&notes).as_bytes());
        Ok(())
    };
    render().map_err(|e| Fail::io("manual page", &e))?;
    Ok(page)
}

/// What stands below the options in the help, under the headings that manual pages have for it.
fn sections(notes: &str) -> String {
    let mut text = String::new();
    let mut heading = "";
    for paragraph in notes.split("\n\n") {
        let (wanted, body) = if let Some(codes) = paragraph.strip_prefix("Exit codes: ") {
            ("EXIT STATUS", codes)
        } else if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
            ("EXAMPLES", examples)
        } else if heading == "EXAMPLES" {
            ("EXAMPLES", paragraph)
        } else {
            ("NOTES", paragraph)
        };
        text.push_str(&if wanted == heading { ".PP\n".to_owned() } else { format!(".SH {wanted}\n") });
        heading = wanted;
        match heading {
            "EXAMPLES" => text.push_str(&format!(".nf\n{}\n.fi\n", escape(body))),
            _ => text.push_str(&format!("{}\n", escape(body))),
        }
    }
    text
}

/// Text as roff reads it back unchanged.
fn escape(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_get_the_headings_of_manual_pages() {
        let notes = "One.\n\nTwo.\n\nExit codes: 0 fine.\n\nExamples:\n  a -b\n\n  .c";
        let page = ".SH NOTES\nOne.\n.PP\nTwo.\n.SH EXIT STATUS\n0 fine.\n.SH EXAMPLES\n.nf\n  a \\-b\n.fi\n.PP\n.nf\n  .c\n.fi\n";
        assert_eq!(sections(notes), page);
        assert_eq!(escape(".x\\y"), "\\&.x\\ey");
    }
}
