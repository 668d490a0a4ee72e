//! Reads the source of the library: where its atomic operations stand, and the notes that say what each is for.
//! `tests/house.rs` judges the notes, the `weaken` tool weakens the operations.

use std::path::Path;

/// A source file: its path below src/, and its text without its unit tests.
pub struct Source {
    /// Below src/.
    pub path: String,
    /// As it stands in the file.
    pub text: String,
    /// The text with comments and literals blanked, line by line as long as the text.
    pub code: String,
}

impl Source {
    /// All files below `root`/src.
    #[must_use]
    pub fn all(root: &Path) -> Vec<Source> {
        fn collect(src: &Path, dir: &Path, found: &mut Vec<Source>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    collect(src, &path, found);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(src).unwrap().to_str().unwrap();
                    found.push(Source::new(name, &std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        collect(&root.join("src"), &root.join("src"), &mut found);
        assert!(found.len() > 10, "the source is there");
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// The file `path` below src/ with this text.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Self {
        let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_string();
        let code = blanked(&text);
        Source { path: path.into(), text, code }
    }

    /// The module at the top: `ring` for ring/spsc.rs.
    #[must_use]
    pub fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    /// One fault, with the place where it is.
    #[must_use]
    pub fn fault(&self, at: usize, what: impl std::fmt::Display) -> String {
        let line = self.line(at) + 1;
        format!("src/{}:{line}: {what}", self.path)
    }

    /// The line, from 0, of an offset.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count()
    }

    /// Where `word` stands in the code, as a word of its own.
    #[must_use]
    pub fn words(&self, word: &str) -> Vec<usize> {
        let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let alone = |&(at, _): &(usize, &str)| {
            !inside(self.code[..at].chars().next_back())
                && !inside(self.code[at + word.len()..].chars().next())
        };
        self.code.match_indices(word).filter(alone).map(|(at, _)| at).collect()
    }
}

/// The text with spaces in place of comments and of string and character literals.
fn blanked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let blank = |out: &mut String, part: &str| {
        out.extend(part.chars().map(|c| if c == '\n' { "\n".into() } else { " ".repeat(c.len_utf8()) }));
    };
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        } else if first == '\'' {
            // 'c', '\n' or '\''; else a lifetime.
            let literal =
                rest[1..].char_indices().skip(1).find(|&(at, c)| c == '\'' && &rest[1..1 + at] != "\\");
            literal
                .filter(|&(at, _)| at <= 4 && (at <= 2 || rest[1..].starts_with('\\')))
                .map_or(0, |(at, _)| at + 2)
        } else {
            0
        };
        if len > 0 {
            blank(&mut out, &rest[..len]);
            rest = &rest[len..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// `// ord(id) Ordering -> Partner::function: purpose` or `// fence(id) kind <-> partner: purpose`.
#[derive(Debug, PartialEq)]
pub struct Note {
    /// Of a fence, not of an access.
    pub fence: bool,
    /// Of the edge; `own` for an access that is no end of one.
    pub id: String,
    /// As written in the note.
    pub ordering: String,
    /// `->` publishes, `<-` receives, `<->` does both.
    pub arrow: Option<&'static str>,
    /// `Type::function` or `function` with the other end.
    pub partner: Option<String>,
    /// What it is for.
    pub purpose: String,
}

impl Note {
    /// The note on this line.
    #[must_use]
    pub fn parse(line: &str) -> Option<Note> {
        let line = line.trim().strip_prefix("// ")?;
        let fence = line.starts_with("fence(");
        let (id, rest) = line.strip_prefix("ord(").or(line.strip_prefix("fence("))?.split_once(')')?;
        let (edge, purpose) = rest.split_once(": ").unwrap_or((rest, ""));
        let mut words = edge.split_whitespace();
        let ordering = words.next().unwrap_or_default().to_string();
        let arrow =
            words.next().and_then(|word| ["->", "<-", "<->"].into_iter().find(|arrow| *arrow == word));
        let partner = words.next().map(str::to_string);
        Some(Note { fence, id: id.into(), ordering, arrow, partner, purpose: purpose.into() })
    }
}

/// A note, and the function that it stands in.
pub struct Site<'a> {
    /// The file.
    pub source: &'a Source,
    /// The offset of its line.
    pub at: usize,
    /// The note.
    pub note: Note,
    /// `Type` and `function` around it.
    pub inside: (String, String),
}

/// Whose operations need notes.
#[must_use]
pub fn is_annotated(source: &Source) -> bool {
    ["ring", "watch", "event", "channel"].contains(&source.module())
}

const OPERATIONS: [&str; 5] = [".load(", ".store(", ".swap(", ".fetch_", ".compare_exchange"];
/// All that an access or a fence can have.
pub const ORDERINGS: [&str; 5] = ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];

/// Where atomic operations and fences stand: their offsets, and whether it is a fence.
#[must_use]
pub fn operations(source: &Source) -> Vec<(usize, bool)> {
    let mut found: Vec<_> =
        OPERATIONS.iter().flat_map(|op| source.code.match_indices(op).map(|(at, _)| (at, false))).collect();
    for (at, _) in source.code.match_indices("fence(") {
        let word = source.code[..at]
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |before| before + 1);
        if !source.code[..word].ends_with("fn ") {
            found.push((word, true));
        }
    }
    found.sort_unstable();
    found
}

/// The arguments of the call that starts at `at`.
#[must_use]
pub fn arguments(code: &str, at: usize) -> &str {
    let open = at + code[at..].find('(').unwrap();
    let mut depth = 0;
    let close = code[open..].find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    &code[open..open + close.unwrap_or(code.len() - open)]
}

/// The notes right above the statement that has its operation at `at`.
#[must_use]
pub fn notes_above(source: &Source, at: usize) -> Vec<Note> {
    let lines: Vec<_> = source.text.lines().collect();
    let code: Vec<_> = source.code.lines().collect();
    let mut line = source.line(at);
    let is_comment = |line: usize| lines[line].trim_start().starts_with("//");
    // Up to the first line of the statement.
    while line > 0 && !is_comment(line - 1) && !code[line - 1].trim().is_empty() {
        if code[line - 1].trim_end().ends_with([';', '{', '}']) {
            break;
        }
        line -= 1;
    }
    let first = (0..line).rev().take_while(|above| is_comment(*above)).last().unwrap_or(line);
    let mut notes: Vec<Note> = Vec::new();
    for text in &lines[first..line] {
        match (Note::parse(text), notes.last_mut()) {
            (Some(note), _) => notes.push(note),
            // The note before goes on.
            (None, Some(note)) => note.purpose += text.trim().trim_start_matches('/'),
            (None, None) => {}
        }
    }
    notes
}

/// `Type` and `function` around each line.
#[must_use]
pub fn owners(source: &Source) -> Vec<(String, String)> {
    let (mut owner, mut function) = (String::new(), String::new());
    let around = |code: &str| {
        let name = |rest: &str| -> String {
            rest.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        if let Some(rest) = code.strip_prefix("impl") {
            // `impl<T> Trait for Type<T> {`: the last name before the brace, without its parameters.
            let of = rest.split_once(" for ").map_or(rest, |(_, of)| of);
            let of = if of.starts_with('<') { of.split_once('>').map_or(of, |(_, of)| of) } else { of };
            owner = name(of);
        }
        if let Some((_, rest)) = code.split_once("fn ") {
            if code.starts_with(|c: char| !c.is_whitespace()) {
                owner.clear();
            }
            function = name(rest);
        }
        (owner.clone(), function.clone())
    };
    source.code.lines().map(around).collect()
}

/// All notes of a file, with the functions that they stand in.
#[must_use]
pub fn sites(source: &Source) -> Vec<Site<'_>> {
    let mut at = 0;
    let mut sites = Vec::new();
    for (line, inside) in source.text.lines().zip(owners(source)) {
        if is_annotated(source)
            && let Some(note) = Note::parse(line)
        {
            sites.push(Site { source, at, note, inside });
        }
        at += line.len() + 1;
    }
    sites
}
