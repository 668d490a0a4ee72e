//! `slipring pipe` joins the stages of a pipeline, and `slipring conform` says that pipes are the kernel's.

mod common;

use common::{Name, Running, command, shell, slipring, start};
use nix::sys::signal::Signal;
use std::io::Read;
use std::process::Stdio;

#[test]
fn what_is_written_in_one_place_is_read_in_another() {
    let name = Name::new("pipe-joined");
    let script = format!(
        "set -e; seq 1 200000 | slipring pipe write {0} & slipring pipe read {0} | sort -n | cksum; wait $!; \
         seq 1 200000 | cksum",
        name.0
    );
    let done = shell(&script);
    done.is_fine();
    let out = done.out();
    let sums: Vec<_> = out.lines().collect();
    assert!(sums.len() == 2 && sums[0] == sums[1], "{out}");
    assert!(name.exists(), "the name stays");
    slipring(["pipe", "rm", &name.0]).is_fine();
    assert!(!name.exists());
    slipring(["pipe", "rm", &name.0]).complains(1, "no such pipe");
}

#[test]
fn the_reader_ends_with_the_last_writer_even_a_killed_one() {
    let name = Name::new("pipe-killed");
    let mut reader = Running::start_unread(command(["pipe", "read", &name.0]).stdout(Stdio::piped()));
    let mut out = reader.child().stdout.take().unwrap();
    let mut writer = start(["pipe", "write", &name.0]);
    writer.feed(b"some of it");
    let mut came = [0; 10];
    out.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"some of it");
    writer.signal(Signal::SIGKILL);
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    reader.wait().is_fine();
}

#[test]
fn a_writer_without_readers_ends() {
    let name = Name::new("pipe-broken");
    let done = shell(&format!(
        "yes | slipring pipe write {0} & slipring pipe read {0} | head -c 5 > /dev/null; wait $!",
        name.0
    ));
    done.complains(1, "nobody reads any more");
}

#[test]
fn pipes_fifos_and_sockets_conform_and_a_seed_is_printed() {
    let done = slipring(["conform", "--sequences", "20", "--seed", "7"]);
    done.is_fine();
    assert!(
        done.out().contains("pipe      P4   ") && done.out().contains("fifo      F3   "),
        "{}",
        done.out()
    );
    assert!(done.out().contains("datagram  K3   "), "{}", done.out());
    // What there is to compare is the tool's own to say.
    let reports = slipring(["conform", "--sequences", "0", "--json"]).json();
    let ends = done.out().matches("20 random sequences, 1200 operations, seed 7").count();
    assert_eq!(ends, reports.as_array().unwrap().len());
    let done = slipring(["conform", "fifo", "--sequences", "0", "--json"]);
    done.is_fine();
    let reports = done.json();
    assert_eq!((&reports[0]["mechanism"], &reports[1]), (&"fifo".into(), &serde_json::Value::Null));
    assert_eq!(reports[0]["divergence"], serde_json::Value::Null);
}
