//! `slipring completions`: a script that teaches a shell to complete our command lines.

use clap_complete::Shell;

use crate::fail::Fail;
use crate::{cli, out};

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  source <(slipring completions bash)
  slipring completions zsh > ~/.zfunc/_slipring
  slipring completions fish > ~/.config/fish/completions/slipring.fish";

/// `completions` and its argument.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> Result<(), Fail> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "slipring", &mut script);
    out::bytes(&script)
}
