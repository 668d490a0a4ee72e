//! `mk`, `ls`, `stat`, `rm`, `completions`, `man` and the help: what they print and how they end.
#![forbid(unsafe_code)]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Dir, Holder, Name, damage, eventually, shell, slipring, start};
use nix::sys::signal::Signal;

/// A ring whose only user was killed, so that nobody took its name away.
fn make_stale(name: &Name) {
    let sender = start(["send", &name.0]);
    eventually("the sender is there", || name.exists() && name.stat()["producer"]["state"] == "attached");
    sender.signal(Signal::SIGKILL);
    sender.wait();
}

#[test]
fn mk_prints_the_name_and_makes_what_was_asked_for() {
    let name = Name::new("mk");
    let done = slipring([
        "mk",
        &name.0[1..],
        "-s",
        "64KiB",
        "-p",
        "640",
        "--align",
        "dense",
        "--wakeup",
        "semaphore",
    ]);
    done.is_fine();
    assert_eq!(done.out(), format!("{}\n", name.0), "with its slash");
    let ring = name.stat();
    assert_eq!(ring["capacity_bytes"], 65_536);
    assert_eq!(ring["align"], "dense");
    assert_eq!(ring["wakeup"], "semaphore");
    assert_eq!(ring["mode"], "0640");
    assert_eq!(ring["persistent"], true);
    assert_eq!(ring["status"], "idle");
    assert_eq!(name.path().metadata().unwrap().permissions().mode() & 0o777, 0o640);
    slipring(["mk", &name.0]).complains(1, &format!("{}: exists already", name.0));
    slipring(["rm", &name.0]).is_fine();
    let done = slipring(["mk", &name.0, "--fences", "plain", "--json"]);
    done.is_fine();
    assert_eq!(done.json()["fences"], "plain");
    assert_eq!(done.json(), name.stat(), "as stat prints it");
}

#[test]
fn mk_makes_a_ring_in_a_file() {
    let dir = Dir::new("mk-file");
    let path = dir.file("a.ring");
    let done = slipring(["mk", "--file", &path, "-s", "4K"]);
    done.is_fine();
    assert_eq!(done.out(), format!("{path}\n"));
    assert_eq!(slipring(["stat", "-f", &path, "--json"]).json()["capacity_bytes"], 4096);
    let done = slipring(["rm", "--file", &path, "--dry-run"]);
    assert_eq!(done.out(), format!("would remove {path}\n"));
    let done = slipring(["rm", "--file", &path]);
    assert_eq!(done.out(), format!("removed {path}\n"));
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn ls_is_a_table_with_the_columns_of_lsipc() {
    let name = Name::new("ls");
    slipring(["mk", &name.0, "-s", "128K"]).is_fine();
    let all = slipring(["ls"]);
    all.is_fine();
    let out = all.out();
    let mut heads = out.lines().next().unwrap().split_whitespace();
    assert!(
        heads.by_ref().eq([
            "NAME", "KIND", "PERMS", "OWNER", "SIZE", "USED", "SLOTS", "PRODUCER", "CONSUMER", "STATUS"
        ])
    );
    let owner = name.stat()["owner"].as_str().unwrap().to_owned();
    let row = out.lines().find(|line| line.starts_with(&name.0)).unwrap();
    assert!(row.split_whitespace().eq([
        &name.0,
        "spsc",
        "rw-------",
        &owner,
        "128K",
        "0B",
        "-",
        "-",
        "-",
        "idle"
    ]));
    assert_eq!(slipring(["list", "-i", &name.0]).out().lines().count(), 2, "one ring and the heading");
}

#[test]
fn ls_shows_what_the_letters_ask_for() {
    let name = Name::new("ls-letters");
    slipring(["mk", &name.0, "-s", "4K"]).is_fine();
    let heads =
        |letter: &str| slipring(["ls", letter, "-i", &name.0]).out().lines().next().unwrap().to_owned();
    assert!(heads("-c").split_whitespace().eq(["NAME", "MODE", "UID", "OWNER", "CREATOR", "CREATED"]));
    assert!(heads("-t").split_whitespace().eq([
        "NAME",
        "OWNER",
        "CREATED",
        "PRODUCER-SINCE",
        "CONSUMER-SINCE"
    ]));
    assert!(heads("-p").split_whitespace().eq(["NAME", "OWNER", "CREATOR", "PRODUCER", "CONSUMER"]));
    let cells = |cols: &str| slipring(["ls", "-n", "-b", "-o", cols, "-i", &name.0[1..]]).out();
    assert_eq!(cells("name,size,segment,used"), format!("{}  4096  8192  0\n", name.0));
    assert_eq!(cells("STATUS,ALIGN,WAKEUP,PERSISTENT,MODE"), "idle  line  futex  yes  0600\n");

    let receiver = start(["recv", &name.0]);
    eventually("the receiver is there", || name.stat()["consumer"]["state"] == "attached");
    assert_eq!(cells("PRODUCER,CONSUMER,STATUS"), format!("-  {}  in use\n", receiver.pid()));
    receiver.signal(Signal::SIGKILL);
    let pid = receiver.pid();
    receiver.wait();
    assert_eq!(cells("PRODUCER,CONSUMER,STATUS"), format!("-  died {pid}  idle\n"));
    let receiver = start(["recv", &name.0]);
    eventually("the receiver is there", || name.stat()["consumer"]["state"] == "attached");
    receiver.signal(Signal::SIGTERM);
    receiver.wait();
    assert_eq!(cells("PRODUCER,CONSUMER,STATUS"), "-  closed  idle\n");
}

#[test]
fn ls_json_is_an_array_of_what_stat_prints() {
    let name = Name::new("ls-json");
    slipring(["mk", &name.0]).is_fine();
    let done = slipring(["ls", "--json", "-i", &name.0]);
    done.is_fine();
    assert_eq!(done.json().as_array().unwrap()[..], [name.stat()]);
}

#[test]
fn ls_of_a_name_that_is_not_there_is_no() {
    let done = slipring(["ls", "-i", "slipring-cli-not-there"]);
    done.complains(1, "/slipring-cli-not-there: no such ring");
    assert!(done.stdout.is_empty());
}

#[test]
fn unreadable_segments_are_listed_with_their_fault() {
    let (short, version) = (Name::new("ls-short"), Name::new("ls-version"));
    for name in [&short, &version] {
        slipring(["mk", &name.0]).is_fine();
    }
    std::fs::OpenOptions::new().write(true).open(short.path()).unwrap().set_len(5000).unwrap();
    let mut bytes = std::fs::read(version.path()).unwrap();
    bytes[8..12].copy_from_slice(&77u32.to_le_bytes());
    std::fs::write(version.path(), bytes).unwrap();

    let status = |name: &Name| slipring(["ls", "-n", "-o", "status", "-i", &name.0]).out();
    assert!(status(&short).starts_with("was truncated to 5000 of "), "{}", status(&short));
    assert!(status(&version).starts_with("has layout version 77"), "{}", status(&version));
    assert!(slipring(["ls", "-i", &short.0]).out().contains(" ? "), "what is not known is not invented");
    let json = slipring(["ls", "--json", "-i", &short.0]).json();
    assert_eq!(json[0]["status"], "unreadable");
    assert!(json[0]["error"].as_str().unwrap().contains("was truncated"));
    assert!(json[0]["kind"].is_null());

    slipring(["stat", &short.0]).complains(2, "was truncated to 5000 of ");
    for name in [&short, &version] {
        slipring(["rm", &name.0]).complains(2, &format!("; `slipring rm --force {}` removes it", name.0));
    }
    for name in [&short, &version] {
        let done = slipring(["rm", "--force", &name.0]);
        done.is_fine();
        assert_eq!(done.out(), format!("removed {}\n", name.0));
        assert!(!name.exists());
    }
}

#[test]
fn stat_tells_everything_and_changes_nothing() {
    let name = Name::new("stat");
    slipring(["mk", &name.0, "-s", "64K"]).is_fine();
    let done = slipring(["stat", &name.0]);
    done.is_fine();
    for part in [
        &format!("Name:       {}\n", name.0)[..],
        "Status:     idle\n",
        "Kind:       spsc\n",
        "Capacity:   65536 bytes (64K)\n",
        "Used:       0 bytes (0B), 0%\n",
        "Align:      line\n",
        "Persistent: yes\n",
        "Mode:       0600 (rw-------)\n",
        "Producer:   none yet\n",
        "Consumer:   none yet\n",
    ] {
        assert!(done.out().contains(part), "{part:?} in {}", done.out());
    }
    slipring(["stat", "slipring-cli-not-there"]).complains(1, "/slipring-cli-not-there: no such ring");
    let stale = Name::new("stat-stale");
    make_stale(&stale);
    for _ in 0..2 {
        let done = slipring(["stat", &stale.0]);
        assert!(done.out().contains("Status:     stale\n"), "{}", done.out());
        assert!(done.out().contains("Producer:   died (pid "), "{}", done.out());
    }
    assert!(stale.exists(), "looking does not make it vanish");
}

#[test]
fn rm_says_what_it_removed_and_goes_on_after_a_refusal() {
    let (first, second) = (Name::new("rm-1"), Name::new("rm-2"));
    for name in [&first, &second] {
        slipring(["mk", &name.0]).is_fine();
    }
    let done = slipring(["rm", &first.0, "slipring-cli-not-there", &second.0]);
    done.complains(1, "/slipring-cli-not-there: no such ring");
    assert_eq!(done.out(), format!("removed {}\nremoved {}\n", first.0, second.0));
    assert!(!first.exists() && !second.exists());
    let done = slipring(["rm", &first.0, "--json"]);
    assert_eq!(done.code(), 1);
    let fate = &done.json()[0];
    assert_eq!((&fate["name"], &fate["removed"]), (&first.0.clone().into(), &false.into()));
    assert!(fate["error"].as_str().unwrap().contains("no such ring"));
}

#[test]
fn rm_refuses_a_ring_in_use_unless_forced() {
    let name = Name::new("rm-in-use");
    let receiver = start(["recv", &name.0]);
    eventually("the receiver is there", || name.exists() && name.stat()["consumer"]["state"] == "attached");
    for args in [&["rm", &name.0][..], &["rm", "--dry-run", &name.0], &["rm", "--stale", &name.0]] {
        let done = slipring(args);
        done.complains(1, &format!("{}: is in use by pid {};", name.0, receiver.pid()));
        assert!(done.stdout.is_empty() && name.exists());
    }
    let done = slipring(["rm", "--force", "--dry-run", &name.0]);
    assert_eq!((done.code(), done.out()), (0, format!("would remove {}\n", name.0)));
    assert!(name.exists());
    let done = slipring(["rm", "--force", &name.0]);
    assert_eq!((done.code(), done.out()), (0, format!("removed {}\n", name.0)));
    assert!(!name.exists());
    receiver.signal(Signal::SIGTERM);
    assert_eq!(receiver.wait().signal(), Some(15));
}

#[test]
fn rm_stale_with_names_takes_only_the_stale_ones() {
    let (idle, stale) = (Name::new("rm-idle"), Name::new("rm-stale"));
    slipring(["mk", &idle.0]).is_fine();
    make_stale(&stale);
    let done = slipring(["rm", "--stale", "--dry-run", &idle.0, &stale.0]);
    done.complains(1, &format!("{}: is not stale", idle.0));
    assert_eq!(done.out(), format!("would remove {}\n", stale.0));
    let done = slipring(["rm", "--stale", &idle.0, &stale.0]);
    done.complains(1, &format!("{}: is not stale", idle.0));
    assert_eq!(done.out(), format!("removed {}\n", stale.0));
    assert!(idle.exists() && !stale.exists());
}

#[test]
fn rm_stale_finds_all_of_them_and_nothing_else() {
    // In a /dev/shm of its own: the real one may hold other people's stale rings.
    let own = "unshare --mount --pid --fork --kill-child --mount-proc sh -c 'mount -t tmpfs none /dev/shm'";
    if shell(own).code() != 0 {
        eprintln!("skipped: no mount namespace here; as root, `cargo test -p slipring-cli rm_stale` runs it");
        return;
    }
    let done = shell(
        r#"unshare --mount --pid --fork --kill-child --mount-proc bash -c '
            mount -t tmpfs none /dev/shm
            slipring rm --stale; echo "nothing: $?"
            slipring rm --stale --json 2>/dev/null; echo "nothing: $?"
            echo not-a-ring > /dev/shm/slipring-something-else
            slipring mk idle > /dev/null
            for name in a b; do
                slipring recv $name 2>/dev/null & pid=$!
                until [ "$(slipring ls -n -o CONSUMER -i $name 2>/dev/null)" = $pid ]; do :; done
                kill -9 $pid; wait $pid 2>/dev/null
            done
            slipring recv used & pid=$!
            until [ "$(slipring ls -n -o CONSUMER -i used 2>/dev/null)" = $pid ]; do :; done
            slipring ls -n -o NAME,STATUS
            slipring rm --stale --dry-run; echo "dry: $?"
            slipring rm --stale; echo "done: $?"
            slipring rm --stale 2>&1; echo "again: $?"
            ls /dev/shm | tr "\n" " "
            kill -TERM $pid; wait $pid
        ' 2>/dev/null"#,
    );
    assert_eq!(
        done.out(),
        "nothing: 1\n[]\nnothing: 1\n\
         /a     stale\n/b     stale\n/idle  idle\n/used  in use\n\
         would remove /a\nwould remove /b\ndry: 0\n\
         removed /a\nremoved /b\ndone: 0\n\
         slipring: nothing to remove: no ring is stale\nagain: 1\n\
         idle slipring-something-else used "
    );
}

#[test]
fn completions_are_scripts_for_every_shell() {
    for shell_name in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = slipring(["completions", shell_name]);
        done.is_fine();
        assert!(done.out().contains("no-wait"), "{shell_name}");
    }
    shell("slipring completions bash | bash -n").is_fine();
    shell("source <(slipring completions bash) && complete -p slipring > /dev/null").is_fine();
}

#[test]
fn manual_pages_come_one_or_all() {
    let page = slipring(["man"]);
    page.is_fine();
    assert!(page.out().contains(".TH slipring 1"), "{}", page.out());
    let dir = Dir::new("man");
    let into = dir.file("new/man1");
    let done = slipring(["man", &into]);
    done.is_fine();
    let verbs = [
        "",
        "-compare",
        "-completions",
        "-conform",
        "-demo",
        "-fsck",
        "-ls",
        "-man",
        "-mk",
        "-mq",
        "-pipe",
        "-recv",
        "-rm",
        "-sem",
        "-send",
        "-stat",
        "-verify",
    ];
    let mut files: Vec<String> = verbs.iter().map(|verb| format!("{into}/slipring{verb}.1")).collect();
    let mut printed: Vec<String> = done.out().lines().map(str::to_owned).collect();
    files.sort();
    printed.sort();
    assert_eq!(printed, files);
    for file in files {
        assert!(std::fs::read_to_string(file).unwrap().contains(".TH slipring"));
    }
    slipring(["man", "/dev/null/x"]).complains(2, "/dev/null/x: Not a directory");
}

#[test]
fn every_verb_explains_itself_with_examples() {
    let done = slipring(["--help"]);
    done.is_fine();
    assert!(done.out().contains("Examples:"));
    for verb in ["mk", "ls", "stat", "rm", "fsck", "send", "recv", "compare", "verify", "completions", "man"]
    {
        let done = slipring([verb, "--help"]);
        done.is_fine();
        let examples = done.out().split("Examples:\n").nth(1).map(str::to_owned);
        assert!(examples.is_some_and(|text| text.contains(&format!("slipring {verb} "))), "{verb}");
        assert!(slipring(["--help"]).out().contains(&format!("\n  {verb} ")));
    }
    let version = slipring(["--version"]);
    version.is_fine();
    assert_eq!(version.out(), format!("slipring {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_json_that_is_documented_is_the_json_that_is_printed() {
    let readme = include_str!("../README.md");
    let fields = |heading: &str| -> Vec<String> {
        let section = readme.split(heading).nth(1).unwrap_or_else(|| panic!("no {heading:?}"));
        let rows = section
            .lines()
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'));
        let mut names: Vec<String> = rows
            .filter_map(|row| row.strip_prefix("| `"))
            .map(|row| row.split('`').next().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let keys = |value: &serde_json::Value| -> Vec<String> {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let name = Name::new("json-doc");
    slipring(["mk", &name.0, "-k", "mpmc"]).is_fine();
    let mut sender = start(["send", &name.0, "--lines"]);
    sender.feed(b"one\n");
    eventually("it is sent", || name.stat()["used_slots"] == 1);
    assert_eq!(fields("### A ring\n"), keys(&name.stat()));
    assert_eq!(fields("### A role\n"), keys(&name.stat()["producer"]));
    assert_eq!(fields("### A participant\n"), keys(&name.stat()["participants"][0]));
    // A receiver that is killed while it cannot write has a record in its hands.
    Holder::new(&name, &[]).kill();
    let fsck = slipring(["fsck", &name.0, "--json"]).json();
    assert_eq!(fields("### An examination\n"), keys(&fsck));
    assert_eq!(fields("### A held slot\n"), keys(&fsck["held"][0]));
    assert_eq!(fields("### An examined participant\n"), keys(&fsck["participants"][0]));
    assert_eq!(fields("### A sweep\n"), keys(&fsck["sweep"][0]));
    drop(sender);
    let damaged = Name::new("json-doc-damaged");
    damage(&damaged);
    let fsck = slipring(["fsck", &damaged.0, "--json"]).json();
    assert_eq!(fields("### A fault\n"), keys(&fsck["faults"][0]));
    slipring(["fsck", &damaged.0]).complains(1, "is damaged");
    let storms = slipring(["verify", "-q", "--json", "--mpmc", "-d", "100ms"]).json();
    assert_eq!(fields("### A storm\n"), keys(&storms["storms"][0]));
    assert_eq!(fields("### A removal\n"), keys(&slipring(["rm", &name.0, "--json"]).json()[0]));
}
