//! Plain text tables: a heading, columns as wide as their widest cell, two blanks between, none at the end of a line.

/// Where a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// Lays out `rows` under `headings`, or without them.
pub(crate) fn table(headings: &[(&str, Side)], rows: &[Vec<String>], with_headings: bool) -> String {
    let width = |i: usize| {
        let cells = rows.iter().map(|row| row[i].chars().count());
        cells.chain(with_headings.then_some(headings[i].0.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    let first = with_headings.then(|| headings.iter().map(|(name, _)| (*name).to_owned()).collect());
    for row in first.iter().chain(rows) {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            match headings[i].1 {
                Side::Left => line.push_str(&format!("{cell:<w$}  ", w = widths[i])),
                Side::Right => line.push_str(&format!("{cell:>w$}  ", w = widths[i])),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names and values under each other, as `stat` prints them.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    rows.iter().map(|(name, value)| format!("{:<width$} {value}\n", format!("{name}:"))).collect()
}

/// A text from outside on one line of a terminal: control characters are written as escapes.
pub(crate) fn clean(text: &str) -> String {
    clean_except(text, &[])
}

/// As `clean`, but for the characters in `kept`.
pub(crate) fn clean_except(text: &str, kept: &[char]) -> String {
    let bad = |c: char| c.is_control() && !kept.contains(&c);
    text.chars().flat_map(|c| if bad(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_bare() {
        let rows =
            vec![vec!["a".into(), "1".into(), "x".into()], vec!["long".into(), "1000".into(), String::new()]];
        let heads = [("NAME", Side::Left), ("N", Side::Right), ("STATUS", Side::Left)];
        assert_eq!(table(&heads, &rows, true), "NAME     N  STATUS\na        1  x\nlong  1000\n");
        assert_eq!(table(&heads, &rows, false), "a        1  x\nlong  1000\n");
        assert_eq!(table(&heads[1..2], &[vec!["7".into()]], false), "7\n");
        assert_eq!(table(&heads, &[], true), "NAME  N  STATUS\n");
    }

    #[test]
    fn names_cannot_draw_on_the_terminal() {
        assert_eq!(clean("a\x1b[2J\nb"), "a\\u{1b}[2J\\nb");
        assert_eq!(clean("späte"), "späte");
    }
}
