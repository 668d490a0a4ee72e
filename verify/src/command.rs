//! Any command line: it is understood, or there is a complaint that a terminal can show.

use crate::{Count, below};
use arbitrary::Unstructured;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::LazyLock;

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
    let definition = slipring_cli::command();
    for verb in definition.get_subcommands() {
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

/// 1 if it was understood.
pub(crate) fn run(input: &[u8]) -> Count {
    let mut input = Unstructured::new(input);
    let mut args = vec![OsString::from("slipring")];
    while !input.is_empty() && args.len() < 32 {
        let mut arg = Vec::new();
        for _ in 0..=below(&mut input, 2) {
            if below(&mut input, 4) > 0 {
                arg.extend(WORDS[below(&mut input, WORDS.len() as u64) as usize].bytes());
            } else {
                let len = below(&mut input, 12) as usize;
                arg.extend((0..len).map(|_| below(&mut input, 256) as u8));
            }
        }
        args.push(OsString::from_vec(arg));
    }
    let answer = slipring_cli::understand(args.clone());
    if let Err(complaint) = &answer {
        assert!(!complaint.trim().is_empty(), "a complaint says something: {args:?}");
        assert!(complaint.len() < 100_000, "and can be read: {args:?}");
    }
    [(if answer.is_ok() { "understood" } else { "refused" }, 1)].into()
}
