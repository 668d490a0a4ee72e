//! `conform table`: what the mechanisms are like, as a person and as a program read it.

mod common;

use common::slipring;

#[test]
fn the_table_has_a_line_for_the_kernels_and_one_for_slipring() {
    let done = slipring(["conform", "table", "pipe", "sysv-mq"]);
    done.is_fine();
    let text = done.out();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    let [heading, rows @ ..] = &rows[..] else { panic!("{text}") };
    assert_eq!(heading[..], ["mechanism", "of"]);
    assert_eq!(
        rows,
        [["pipe", "kernel"], ["pipe", "slipring"], ["sysv-mq", "kernel"], ["sysv-mq", "slipring"]]
    );
    assert!(!text.contains('!') && !text.contains('?'), "{text}");
}

#[test]
fn every_cell_says_why_and_json_has_them_all() {
    let why = slipring(["conform", "table", "unix-dgram", "--why"]);
    why.is_fine();
    let text = why.out();
    assert_eq!(text.lines().count(), 2 * 10, "{text}");
    assert!(text.lines().all(|line| line.contains(": ")), "{text}");
    let json = slipring(["conform", "table", "unix-dgram", "--json"]).json();
    let rows = json.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["mechanism"], "unix-dgram");
        let cells = row["cells"].as_array().unwrap();
        let value = |column: &str| &cells.iter().find(|cell| cell["column"] == column).unwrap()["value"];
        assert_eq!([value("connectionless"), value("flow-control"), value("records")], ["yes"; 3]);
        assert!(cells.iter().all(|cell| !cell["seen"].as_str().unwrap().is_empty()));
    }
}

#[test]
fn a_mechanism_that_nobody_knows_is_refused() {
    slipring(["conform", "table", "carrier-pigeon"]).complains(2, "no such mechanism");
    slipring(["conform", "carrier-pigeon"]).complains(2, "invalid value");
}
