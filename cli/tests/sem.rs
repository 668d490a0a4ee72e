//! `slipring sem`: permits for shell scripts; and `slipring conform` says that semaphores are the system's.

mod common;

use common::{shell, slipring};

/// A name that is removed in the end, also if the test fails.
struct Semaphore(String);

impl Drop for Semaphore {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(format!("/dev/shm/sem:{}", &self.0[1..]));
    }
}

fn semaphore(what: &str) -> Semaphore {
    Semaphore(format!("/slipring-cli-{}-{what}", std::process::id()))
}

#[test]
fn permits_are_taken_and_posted_by_scripts() {
    let Semaphore(name) = &semaphore("permits");
    slipring(["sem", "wait", name]).complains(1, "no such semaphore");
    slipring(["sem", "make", name, "--value", "1"]).is_fine();
    slipring(["sem", "make", name]).complains(2, "exists");
    slipring(["sem", "trywait", name]).is_fine();
    slipring(["sem", "trywait", name]).complains(1, "no permit");
    slipring(["sem", "wait", name, "--timeout", "50ms"]).complains(1, "no permit");
    let passed = shell(&format!(
        "slipring sem wait {name} & sleep 0.1; slipring sem post {name}; wait $! && slipring sem value {name}"
    ));
    passed.is_fine();
    assert_eq!(passed.out(), "0\n");
    slipring(["sem", "post", name]).is_fine();
    let listed = slipring(["sem", "ls"]);
    let row = |text: &str| text.lines().find(|line| line.contains(name.as_str())).map(str::to_owned);
    let listed = row(&listed.out()).expect("it is listed");
    assert_eq!(listed.split_whitespace().rev().take(3).collect::<Vec<_>>(), ["1", "1", "600"], "{listed}");
    let listed = slipring(["sem", "ls", "--json"]).out();
    assert!(listed.contains(name.as_str()) && listed.contains("\"semaphores\""), "{listed}");
    slipring(["sem", "rm", name]).is_fine();
    slipring(["sem", "rm", name]).complains(1, "no such semaphore");
}

#[test]
fn sets_change_together() {
    let script = "set -e; id=$(slipring sem make-set 3 0); trap 'slipring sem rm-set $id' EXIT; \
                  slipring sem operate $id 0:-2 1:+2; slipring sem values $id; \
                  slipring sem ls | grep -c \" $id \"; \
                  slipring sem operate $id --nowait 0:1 1:-3 || echo $?; slipring sem values $id";
    let done = shell(script);
    assert_eq!(done.out(), "1 2\n1\n1\n1 2\n");
}

#[test]
fn semaphores_conform() {
    for mechanism in ["sem", "semset"] {
        let done = slipring(["conform", mechanism, "--sequences", "20", "--seed", "7"]);
        done.is_fine();
        assert!(done.out().contains("E4") || done.out().contains("E3"), "{}", done.out());
    }
}
