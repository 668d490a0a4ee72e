//! The table of what each mechanism is like, measured on this kernel, is the corrected one; cell by cell.

use slipring_conform::properties::{Column, Expected, expected, measure};

/// One test, since the probes fork.
#[test]
fn every_cell_is_as_the_corrected_table_says() {
    let rows = measure(|_| true);
    let mut wrong = Vec::new();
    for row in &rows {
        let expected = expected(row.mechanism, row.of).expect("a row is in the table");
        assert_eq!(row.cells.len(), Column::ALL.len());
        for (cell, expected) in row.cells.iter().zip(&expected) {
            let name = format!("{} of {}, {}", row.mechanism, row.of, cell.column.title());
            println!("{name}: {} ({})", cell.found.value, cell.found.seen);
            if !expected.holds(&cell.found.value) {
                wrong.push(format!("{name}: {expected:?} expected, {:?}", cell.found));
            }
            assert!(!cell.found.seen.is_empty(), "{name} says what was seen");
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for mechanism in [
        "pipe",
        "fifo",
        "sysv-mq",
        "posix-mq",
        "sem",
        "semset",
        "unix-stream",
        "unix-dgram",
        "unix-seqpacket",
    ] {
        let of: Vec<_> = rows.iter().filter(|row| row.mechanism == mechanism).map(|row| row.of).collect();
        assert_eq!(of, ["kernel", "slipring"], "{mechanism}");
    }
}

#[test]
fn a_cell_that_is_wrong_is_seen_to_be() {
    assert!(Expected::Is("yes").holds("yes") && !Expected::Is("yes").holds("no"));
    assert!(!Expected::Is("yes").holds("?"), "what could not be measured is not as expected");
    assert!(Expected::Number(10).holds("10") && !Expected::Number(10).holds("11"));
    assert!(Expected::Some.holds("278") && !Expected::Some.holds("0") && !Expected::Some.holds("any"));
    assert_eq!(expected("carrier-pigeon", "kernel"), None);
}
