//! The ledger: the table in docs/memory-ordering.md between two marks, one row for each step of each operation. The
//! prose around it is written by people, the proofs of what survives too: under a heading that names the row.

use crate::steps::{Operation, Step};
use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- written by `weaken`: begin -->\n";
const END: &str = "<!-- written by `weaken`: end -->\n";
const HEAD: &str = "| id | operation | weakened | protects | goes red |\n|---|---|---|---|---|\n";
/// In place of a model, where a proof stands under the heading that names the row.
pub(crate) const PROVEN: &str = "nothing: see the proof";

/// One step of one operation, and the model that goes red.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) ids: String,
    pub(crate) operation: String,
    pub(crate) step: String,
    pub(crate) protects: String,
    /// `` `spsc::a_model`: why ``.
    pub(crate) verdict: String,
}

impl Row {
    pub(crate) fn new(operation: &Operation, step: &Step, verdict: &str) -> Row {
        Row {
            ids: operation.ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", "),
            operation: format!("`{}` {}", operation.file, operation.name),
            step: step.what.clone(),
            protects: operation.purpose.replace('|', "\\|"),
            verdict: verdict.into(),
        }
    }

    /// The same step of the same operation, whatever is said of it.
    pub(crate) fn is_of(&self, other: &Row) -> bool {
        (&self.operation, &self.step) == (&other.operation, &other.step)
    }

    /// The model that was seen to go red.
    pub(crate) fn model(&self) -> Option<&str> {
        self.verdict.strip_prefix('`')?.split_once('`').map(|(model, _)| model)
    }

    /// The heading under which a proof would stand, should nothing go red.
    pub(crate) fn heading(&self) -> String {
        format!("### {}: {}", self.operation, self.step)
    }
}

/// The page, with its table taken out.
pub(crate) struct Ledger {
    path: PathBuf,
    text: String,
    table: Range<usize>,
    pub(crate) rows: Vec<Row>,
}

impl Ledger {
    pub(crate) fn read(root: &Path) -> Result<Ledger, String> {
        let path = root.join("docs/memory-ordering.md");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ledger::parse(path, text)
    }

    fn parse(path: PathBuf, text: String) -> Result<Ledger, String> {
        let table = text.find(BEGIN).map(|at| at + BEGIN.len()).zip(text.find(END));
        let Some((begin, end)) = table.filter(|(begin, end)| begin <= end) else {
            return Err(format!("{}: lacks the marks around its table", path.display()));
        };
        let row = |line: &str| {
            let cells: Vec<_> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
            let [ids, operation, step, protects, verdict] = cells[..].try_into().ok()?;
            let [ids, operation, step, protects, verdict] =
                [ids, operation, step, protects, verdict].map(str::to_owned);
            Some(Row { ids, operation, step, protects, verdict })
        };
        let rows = text[begin..end].lines().skip(HEAD.lines().count()).filter_map(row).collect();
        Ok(Ledger { path, table: begin..end, rows, text })
    }

    /// Whether a proof stands under the row's heading.
    pub(crate) fn has_proof(&self, row: &Row) -> bool {
        let heading = row.heading();
        let mut below = self.text.lines().skip_while(|line| *line != heading).skip(1);
        below.find(|line| !line.is_empty()).is_some_and(|line| !line.starts_with('#'))
    }

    fn written(&self, rows: &[Row]) -> String {
        let mut table = HEAD.to_owned();
        for Row { ids, operation, step, protects, verdict } in rows {
            let _ = writeln!(table, "| {ids} | {operation} | {step} | {protects} | {verdict} |");
        }
        format!("{}{table}{}", &self.text[..self.table.start], &self.text[self.table.end..])
    }

    /// Puts these rows in place of the table.
    pub(crate) fn write(&self, rows: &[Row]) -> Result<(), String> {
        std::fs::write(&self.path, self.written(rows)).map_err(|e| format!("{}: {e}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(rows: &str, below: &str) -> Ledger {
        let text = format!("# Page\n\n{BEGIN}{HEAD}{rows}{END}{below}");
        Ledger::parse("page".into(), text).unwrap()
    }

    const ROW: &str =
        "| `a.b` | `ring/new.rs` A::f, load | Acquire to Relaxed | see \\| it | `new::model`: a race |\n";

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let ledger = ledger(ROW, "\nprose\n");
        assert_eq!(ledger.rows.len(), 1);
        assert_eq!(ledger.rows[0].model(), Some("new::model"));
        assert_eq!(ledger.written(&ledger.rows), ledger.text);
        assert!(!ledger.written(&[]).contains("a.b"));
    }

    #[test]
    fn a_proof_stands_under_the_heading_of_its_row() {
        let heading = "\n### `ring/new.rs` A::f, load: Acquire to Relaxed\n";
        for (below, proven) in [
            (format!("{heading}\nIt is so.\n"), true),
            (format!("{heading}\n## Other\n"), false),
            (heading.to_owned(), false),
            ("\nIt is so.\n".to_owned(), false),
        ] {
            let ledger = ledger(ROW, &below);
            assert_eq!(ledger.has_proof(&ledger.rows[0]), proven, "{below}");
        }
    }

    #[test]
    fn a_page_without_marks_is_refused() {
        assert!(Ledger::parse("page".into(), "# Page\n".into()).is_err());
    }
}
