//! Any command line: it is understood, or there is a complaint that a terminal can show.

use crate::{Count, below};
use arbitrary::Unstructured;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::LazyLock;

static DEFINITION: LazyLock<clap::Command> = LazyLock::new(slipring_cli::command);

/// What the command itself knows: verbs, options and their values; and the shapes of what people type beside them.
static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut words: BTreeSet<String> = [
        "--",
        "-",
        "=",
        "/name",
        "64K",
        "1G",
        "0",
        "-1",
        "500ms",
        "1.5",
        "600",
        "0o777",
        "99999999999999999999",
    ]
    .map(String::from)
    .into();
    for verb in DEFINITION.get_subcommands() {
        words.insert(verb.get_name().into());
        for argument in verb.get_arguments() {
            words.extend(argument.get_short().map(|short| format!("-{short}")));
            words.extend(argument.get_long().map(|long| format!("--{long}")));
            words.extend(argument.get_long().map(|long| format!("--{long}=")));
            words.extend(argument.get_possible_values().iter().map(|value| value.get_name().to_owned()));
        }
    }
    words.into_iter().collect()
});

/// One that means something: a verb, some of its options and places in any order, most of them with what belongs there.
fn plausible(input: &mut Unstructured<'_>, args: &mut Vec<OsString>) {
    let mut command = &*DEFINITION;
    while command.has_subcommands() {
        let verbs: Vec<_> = command.get_subcommands().collect();
        command = verbs[below(input, verbs.len() as u64) as usize];
        args.push(command.get_name().into());
    }
    let (places, options): (Vec<_>, Vec<_>) =
        command.get_arguments().partition(|argument| argument.is_positional());
    for _ in 0..below(input, 4) {
        if options.is_empty() {
            break;
        }
        let option = options[below(input, options.len() as u64) as usize];
        match (option.get_long(), option.get_short()) {
            (Some(long), _) => args.push(format!("--{long}").into()),
            (None, Some(short)) => args.push(format!("-{short}").into()),
            (None, None) => {}
        }
        if option.get_action().takes_values() {
            args.push(value(input, option));
        }
    }
    for place in places {
        if place.is_required_set() || below(input, 2) == 0 {
            args.push(value(input, place));
        }
    }
}

/// What may stand there; or, now and then, anything.
fn value(input: &mut Unstructured<'_>, of: &clap::Arg) -> OsString {
    const PLAIN: [&str; 10] = ["/name", "1", "8", "64", "4K", "1s", "50ms", "600", "pipe", "0x2a"];
    let possible = of.get_possible_values();
    if below(input, 8) == 0 {
        return WORDS[below(input, WORDS.len() as u64) as usize].clone().into();
    }
    match possible.get(below(input, possible.len().max(1) as u64) as usize) {
        Some(value) => value.get_name().to_owned().into(),
        None => PLAIN[below(input, PLAIN.len() as u64) as usize].into(),
    }
}

/// Anything: words that the command knows, and bytes.
fn anything(input: &mut Unstructured<'_>, args: &mut Vec<OsString>) {
    while !input.is_empty() && args.len() < 32 {
        let mut arg = Vec::new();
        for _ in 0..=below(input, 2) {
            if below(input, 4) > 0 {
                arg.extend(WORDS[below(input, WORDS.len() as u64) as usize].bytes());
            } else {
                let len = below(input, 12) as usize;
                arg.extend((0..len).map(|_| below(input, 256) as u8));
            }
        }
        args.push(OsString::from_vec(arg));
    }
}

/// Whether it was understood.
pub(crate) fn run(input: &[u8]) -> Count {
    let mut input = Unstructured::new(input);
    let mut args = vec![OsString::from("slipring")];
    if below(&mut input, 2) == 0 {
        plausible(&mut input, &mut args);
    } else {
        anything(&mut input, &mut args);
    }
    let answer = slipring_cli::understand(args.clone());
    if let Err(complaint) = &answer {
        assert!(!complaint.trim().is_empty(), "a complaint says something: {args:?}");
        assert!(complaint.len() < 100_000, "and can be read: {args:?}");
    }
    [(if answer.is_ok() { "understood" } else { "refused" }, 1)].into()
}
