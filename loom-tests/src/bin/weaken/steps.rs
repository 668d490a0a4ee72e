//! What there is to weaken: every atomic operation and fence of the model half, and the ways to make it weaker by one
//! step. An operation is named by where it stands, so that a line more above it changes no name.

use slipring_loom::notes::{ORDERINGS, Source, arguments, is_annotated, notes_above, operations, owners};
use std::collections::BTreeMap;

/// One atomic operation or fence of the source.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Below src/.
    pub(crate) file: String,
    /// As in `#[track_caller]`'s locations, from 1.
    pub(crate) line: usize,
    /// As `line`, in characters.
    pub(crate) column: usize,
    /// `Type::function, store`: unique in its file.
    pub(crate) name: String,
    /// The lines of the function around it, from 1, both included.
    pub(crate) function: (usize, usize),
    /// The edges that it belongs to.
    pub(crate) ids: Vec<String>,
    /// What its notes say that it is for.
    pub(crate) purpose: String,
    /// The ways to weaken it.
    pub(crate) steps: Vec<Step>,
}

/// One way to weaken an operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// For people: `Release to Relaxed`.
    pub(crate) what: String,
    /// For `SLIPRING_WEAKEN`: `relaxed`.
    request: String,
}

impl Operation {
    /// What `SLIPRING_WEAKEN` is to be for this step.
    pub(crate) fn request(&self, step: &Step) -> String {
        format!("{}={}", self.place(), step.request)
    }

    /// As `SLIPRING_SITES` has it.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.line, self.column)
    }
}

/// All operations of these files, in their order.
pub(crate) fn find(sources: &[Source]) -> Result<Vec<Operation>, String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| is_annotated(source)) {
        if let Some(at) = source.words("track_caller").first() {
            return Err(source.fault(*at, "the sites of a #[track_caller] function cannot be told apart"));
        }
        let mut named: BTreeMap<String, usize> = BTreeMap::new();
        for (at, fence) in operations(source) {
            let mut operation = read(source, at, fence)?;
            let count = named.entry(operation.name.clone()).or_default();
            *count += 1;
            if *count > 1 {
                operation.name += &format!(" {count}");
            }
            found.push(operation);
        }
    }
    Ok(found)
}

fn read(source: &Source, at: usize, fence: bool) -> Result<Operation, String> {
    // An access starts at the name of its method, a fence at its path.
    let start = match fence {
        true => source.code[..at]
            .rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
            .map_or(0, |at| at + 1),
        false => at + 1,
    };
    let method: String =
        source.code[at + usize::from(!fence)..].chars().take_while(|c| *c != '(' && *c != ':').collect();
    let orderings: Vec<&str> = arguments(&source.code, at)
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| ORDERINGS.contains(word))
        .collect();
    let notes: Vec<_> = notes_above(source, at).into_iter().filter(|note| note.fence == fence).collect();
    let steps = steps(&method, fence, &orderings)
        .ok_or_else(|| source.fault(at, format_args!("cannot read the orderings of {method}")))?;

    let line = source.line(start);
    let owners = owners(source);
    let inside = &owners[line];
    let first = (0..line).rev().find(|above| owners[*above] != *inside).map_or(0, |above| above + 1);
    let last = (line..owners.len()).take_while(|below| owners[*below] == *inside).last().unwrap_or(line);
    let function = if inside.0.is_empty() { inside.1.clone() } else { format!("{}::{}", inside.0, inside.1) };

    let line_start = source.text[..start].rfind('\n').map_or(0, |at| at + 1);
    let mut ids: Vec<_> = notes.iter().map(|note| note.id.clone()).collect();
    ids.dedup();
    Ok(Operation {
        file: source.path.clone(),
        line: line + 1,
        column: source.text[line_start..start].chars().count() + 1,
        name: format!("{function}, {method}"),
        function: (first + 1, last + 1),
        ids,
        purpose: notes.iter().map(|note| note.purpose.trim_end_matches('.')).collect::<Vec<_>>().join("; "),
        steps,
    })
}

fn weaker(ordering: &str) -> &'static [&'static str] {
    match ordering {
        "SeqCst" => &["AcqRel"],
        "AcqRel" => &["Acquire", "Release"],
        "Acquire" | "Release" => &["Relaxed"],
        _ => &[],
    }
}

fn steps(method: &str, fence: bool, orderings: &[&str]) -> Option<Vec<Step>> {
    let step = |what: String, request: &str| Step { what, request: request.to_lowercase() };
    let mut steps = Vec::new();
    if fence {
        let ordering = match orderings {
            // Those of the facade are named for their weight.
            [] => "SeqCst",
            [one] => one,
            _ => return None,
        };
        // No fence is Relaxed.
        for to in weaker(ordering).iter().filter(|to| **to != "Relaxed") {
            steps.push(step(format!("{ordering} to {to}"), to));
        }
        steps.push(step("removed".into(), "removed"));
        return Some(steps);
    }
    let (success, failure) = match (method, orderings) {
        ("compare_exchange" | "compare_exchange_weak", [success, failure]) => (success, Some(failure)),
        ("compare_exchange" | "compare_exchange_weak", _) => return None,
        (_, [one]) => (one, None),
        _ => return None,
    };
    for to in weaker(success) {
        steps.push(step(format!("{success} to {to}"), to));
    }
    for to in failure.iter().flat_map(|failure| weaker(failure)) {
        steps.push(step(format!("{} to {to} on failure", failure.unwrap()), &format!("failure-{to}")));
    }
    if method != "load" && method != "store" {
        steps.push(step("a load and a store".into(), "split"));
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Operation> {
        find(&[Source::new("ring/new.rs", text)]).unwrap()
    }

    fn whats(text: &str) -> Vec<String> {
        let text = format!("impl A {{\n    fn f() {{\n        {text}\n    }}\n}}\n");
        of(&text).iter().flat_map(|operation| &operation.steps).map(|step| step.what.clone()).collect()
    }

    #[test]
    fn each_ordering_is_weakened_by_one_step() {
        assert_eq!(whats("w.load(Acquire);"), ["Acquire to Relaxed"]);
        assert_eq!(whats("w.store(1, Release);"), ["Release to Relaxed"]);
        assert_eq!(whats("w.load(Relaxed); w.store(1, Relaxed);"), [""; 0]);
        assert_eq!(whats("w.fetch_or(1, Relaxed);"), ["a load and a store"]);
        assert_eq!(whats("fence(SeqCst);"), ["SeqCst to AcqRel", "removed"]);
        assert_eq!(whats("light_fence(self.x);"), ["SeqCst to AcqRel", "removed"]);
        assert_eq!(whats("fence(Acquire);"), ["removed"]);
        assert_eq!(
            whats("w.compare_exchange(a, b, AcqRel, Acquire)"),
            ["AcqRel to Acquire", "AcqRel to Release", "Acquire to Relaxed on failure", "a load and a store"]
        );
    }

    #[test]
    fn an_operation_is_found_where_the_compiler_locates_it() {
        let text = "impl A {\n    fn f() {\n        // ord(a.b) Acquire <- g: see it,\n        // all of it.\n        let x = self\n            .é().word\n            .load(Acquire);\n        // fence(c.d) SeqCst <-> g: order.\n        sync::fence(SeqCst);\n    }\n}\nfn g() {\n    w.load(Relaxed); w.load(Acquire);\n}\n";
        let found = of(text);
        let places: Vec<_> = found.iter().map(|o| (o.line, o.column, o.name.as_str(), o.function)).collect();
        assert_eq!(
            places,
            [
                (7, 14, "A::f, load", (2, 11)),
                (9, 9, "A::f, fence", (2, 11)),
                (13, 7, "g, load", (12, 14)),
                (13, 24, "g, load 2", (12, 14)),
            ]
        );
        assert_eq!(found[0].purpose, "see it, all of it");
        assert_eq!(found[0].ids, ["a.b"]);
        assert_eq!(found[1].request(&found[1].steps[1]), "ring/new.rs:9:9=removed");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for text in ["fn f() { w.load(order); }", "#[track_caller]\nfn f() { w.load(Acquire); }"] {
            assert!(find(&[Source::new("ring/new.rs", text)]).is_err(), "{text}");
        }
    }
}
