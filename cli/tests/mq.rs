//! `slipring mq`, with the words of the two small programs that it is after; and queues among what is listed and removed.

mod common;

use common::{Done, Name, eventually, slipring, start};
use nix::sys::signal::Signal;

/// A queue of System V; removed when dropped.
struct Queue(String);

impl Queue {
    fn new(more: &[&str]) -> Queue {
        let made = slipring([&["mq", "mk"], more].concat());
        made.is_fine();
        Queue(made.out().trim().to_owned())
    }

    /// Its line in the list.
    fn line(&self) -> Option<Vec<String>> {
        let list = slipring(["mq", "ls"]);
        list.is_fine();
        let out = list.out();
        let mut lines =
            out.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(lines.next().unwrap(), ["KEY", "ID", "OWNER", "PERMS", "USED-BYTES", "MESSAGES"]);
        lines.find(|line| line[1] == self.0)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        slipring(["mq", "rm", &self.0]);
    }
}

/// It said that there is no such message, as the original says it.
#[track_caller]
fn nothing(done: &Done) {
    assert_eq!((done.code(), done.out()), (1, String::new()));
    assert_eq!(done.err(), "fail to recv message.: No message of desired type\n");
}

#[test]
fn a_message_is_received_in_the_words_of_the_original() {
    let queue = Queue::new(&["-p", "644"]);
    let id = queue.0.as_str();
    let sent = slipring(["mq", "send", "-i", id, "-t", "123", "-m", "hello helios"]);
    sent.is_fine();
    assert_eq!(sent.out(), "");
    let line = queue.line().unwrap();
    assert_eq!(line[3..], ["644", "13", "1"], "13 is the text and its NUL");
    nothing(&slipring(["mq", "recv", "-i", id, "-t", "7"]));
    let received = slipring(["mq", "recv", "--id", id, "--type", "123"]);
    received.is_fine();
    assert_eq!(received.out(), "received message type : 123, text: hello helios.\n");
    nothing(&slipring(["mq", "recv", "-i", id, "-t", "123"]));
    assert_eq!(queue.line().unwrap()[4..], ["0", "0"]);
}

#[test]
fn the_lowest_type_up_to_one_comes_first_and_a_full_queue_says_so() {
    let queue = Queue::new(&["--bytes", "20"]);
    let id = queue.0.as_str();
    for kind in ["10", "5", "12"] {
        slipring(["mq", "send", "-i", id, "-t", kind, "-m", kind]).is_fine();
    }
    slipring(["mq", "send", "-i", id, "-t", "1", "-m", "longer than what is left"])
        .complains(1, "cannot send: Resource temporarily unavailable");
    slipring(["mq", "send", "-i", id, "-t", "0", "-m", "x"]).complains(2, "Invalid argument");
    for text in ["type : 5, text: 5.", "type : 10, text: 10."] {
        assert!(slipring(["mq", "recv", "-i", id, "-t", "-10"]).out().contains(text));
    }
    nothing(&slipring(["mq", "recv", "-i", id, "-t", "-10"]));
}

#[test]
fn a_key_leads_to_the_queue_until_it_is_removed() {
    let key = format!("{:#x}", 0x5200_0000 | std::process::id());
    let queue = Queue::new(&[&key]);
    let listed = slipring(["mq", "ls", "--json"]).json();
    let row = listed.as_array().unwrap().iter().find(|row| row["id"] == queue.0.as_str()).unwrap();
    assert_eq!(row["key"], 0x5200_0000 | std::process::id());
    assert_eq!((&row["messages"], &row["used_bytes"]), (&0.into(), &0.into()));
    assert_eq!(
        (&row["last_sender"], &row["last_sent"], &row["limit_bytes"]),
        (&0.into(), &0.into(), &16384.into())
    );
    slipring(["mq", "mk", &key]).complains(1, "File exists");
    slipring(["mq", "send", "-i", &key, "-t", "1", "-m", "by key"]).is_fine();
    assert!(slipring(["mq", "recv", "-i", &queue.0, "-t", "0"]).out().contains("by key"));
    let removed = slipring(["mq", "rm", &key]);
    assert_eq!(removed.out(), format!("removed {key}\n"));
    assert!(queue.line().is_none());
    slipring(["mq", "rm", &queue.0]).complains(1, "no such queue");
    slipring(["mq", "send", "-i", &queue.0, "-t", "1", "-m", "x"]).complains(1, "No such file");
    slipring(["mq", "rm", "queue"]).complains(2, "neither an identifier");
}

#[test]
fn a_posix_queue_gives_the_highest_priority_first() {
    let name = format!("/slipring-cli-{}-jobs", std::process::id());
    let made = Queue::new(&[&name, "--messages", "3", "--message-size", "64"]);
    let queue = made.0.as_str();
    assert_eq!(queue, name);
    let sent = |priority, text| slipring(["mq", "send", "-i", queue, "-t", priority, "-m", text]);
    for (priority, text) in [("1", "low"), ("9", "high"), ("1", "low again")] {
        sent(priority, text).is_fine();
    }
    let full = sent("1", "one more");
    let listed = slipring(["ls", "-o", "NAME,KIND,USED,STATUS", "-b"]).out();
    let got = [0; 3].map(|_| slipring(["mq", "recv", "-i", queue]).out());
    let empty = slipring(["mq", "recv", "-i", queue]);
    full.complains(1, "Resource temporarily unavailable");
    assert_eq!(empty.err(), "fail to recv message.: Resource temporarily unavailable\n");
    assert_eq!(
        got,
        [("9", "high"), ("1", "low"), ("1", "low again")]
            .map(|(kind, text)| format!("received message type : {kind}, text: {text}.\n"))
    );
    let line = listed.lines().find(|line| line.contains(&queue[1..])).unwrap();
    assert_eq!(line.split_whitespace().skip(1).collect::<Vec<_>>(), ["posix-mq", "19", "idle"]);
    slipring(["mq", "rm", queue]).is_fine();
    slipring(["mq", "rm", queue]).complains(1, "no such queue");
}

#[test]
fn pipes_are_listed_as_what_they_are() {
    let name = Name::new("listed-pipe");
    let reader = start(["pipe", "read", &name.0]);
    eventually("the pipe is made", || name.exists());
    let stat = name.stat();
    assert_eq!((&stat["kind"], &stat["capacity_bytes"]), (&"pipe".into(), &65536.into()));
    assert_eq!(stat["error"], serde_json::Value::Null);
    reader.signal(Signal::SIGKILL);
    reader.wait();
    slipring(["rm", &name.0]).is_fine();
    assert!(!name.exists());
}

#[test]
fn a_path_and_a_number_make_a_key_unless_the_number_has_no_low_bits() {
    let (one, same) = (slipring(["mq", "key", "/", "1234"]), slipring(["mq", "key", "/", "210"]));
    assert_eq!(one.out(), same.out(), "1234 is 0x4d2, 210 is 0xd2");
    assert!(one.out().starts_with("0xd2") && one.out().len() == 11, "{}", one.out());
    slipring(["mq", "key", "/", "1024"]).complains(2, "low 8 bits are 0");
    slipring(["mq", "key", "/nowhere", "1"]).complains(1, "/nowhere: No such file");
}
