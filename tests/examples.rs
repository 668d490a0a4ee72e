//! The examples do what they say.

mod common;
#[path = "../examples/echo.rs"]
mod echo;
#[path = "../examples/mq_echo.rs"]
mod mq_echo;
#[path = "../examples/mq_pair.rs"]
mod mq_pair;
#[path = "../examples/producer_consumer.rs"]
mod producer_consumer;
#[path = "../examples/shared_memory.rs"]
mod shared_memory;

#[path = "../examples/workers.rs"]
mod workers;

use common::{alone, scratch};
use slipring::adapters::sem::Semaphore;
use slipring::adapters::sysv::Obtain;
use std::time::{Duration, Instant};

#[test]
fn an_update_is_lost_in_each_kind_of_memory_and_none_in_one_step() {
    let _alone = alone();
    let mut out = Vec::new();
    shared_memory::run(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    println!("{out}");
    assert_eq!(
        out.matches("B reads 5, A writes 6, B writes 7: 5 + 1 + 2 is 8, A's update is lost").count(),
        3
    );
    assert_eq!(out.matches("each in one step: 8\n").count(), 3);
    assert_eq!(out.matches("were lost, in one step 0\n").count(), 3);
}

#[test]
fn twenty_items_are_made_and_used_in_order() {
    let _alone = alone();
    let mut out = Vec::new();
    let start = Instant::now();
    producer_consumer::run(Duration::from_millis(10), Duration::from_millis(15), &mut out).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(10 + 20 * 15));
    let out = String::from_utf8(out).unwrap();
    println!("{out}");
    let of = |verb: &str| -> Vec<(usize, u32)> {
        let lines = out.lines().enumerate();
        let said = lines
            .filter_map(|(at, line)| Some((at, line.trim().strip_prefix(verb)?.trim().parse().unwrap())));
        said.collect()
    };
    let (produced, consumed) = (of("produced"), of("consumed"));
    assert!(
        produced.iter().map(|(_, item)| *item).eq(1..=20)
            && consumed.iter().map(|(_, item)| *item).eq(1..=20)
    );
    assert!(
        produced.iter().zip(&consumed).all(|((made, _), (used, _))| made < used),
        "made before it is used"
    );
    assert_eq!(out.lines().count(), 40);
}

#[test]
fn the_server_says_the_time_and_what_it_was_told() {
    let _alone = alone();
    let dir = scratch();
    let path = dir.0.join("echo");
    let listener = echo::listen(&path).unwrap();
    let server = common::fork(|_| echo::serve(&listener, 3).unwrap());
    for text in ["hello", "", "a longer text"] {
        let answer = echo::ask(&path, text).unwrap();
        println!("{answer}");
        let (time, said) = answer.strip_prefix("Server at ").unwrap().split_once(" says: ").unwrap();
        assert_eq!(said, text);
        // As "Sun Nov 22 21:40:00 2026".
        let year = time.rsplit(' ').next().unwrap();
        assert!(time.len() == 24 && year.parse::<u32>().unwrap() >= 2024, "{time}");
    }
    server.join();
}

#[test]
fn workers_have_the_resource_one_at_a_time_and_give_it_back() {
    let _alone = alone();
    let name = common::unique();
    let semaphore = Semaphore::obtain(&name.0, Obtain::CreateNew, 0o600, 1).unwrap();
    let start = Instant::now();
    let (pause, one) = (Duration::from_millis(200), Duration::from_millis(100));
    let workers: Vec<_> = (1..=3)
        .map(|number| {
            common::fork(|link| {
                let mut out = Vec::new();
                let got = workers::work(&name.0, number, pause, &mut out).unwrap();
                let out = String::from_utf8(out).unwrap();
                assert!(
                    !got || out.ends_with(&format!("worker {number}: acquired\nworker {number}: released\n"))
                );
                link.say(got.into());
            })
        })
        .collect();
    let got: u32 = workers
        .into_iter()
        .map(|mut worker| {
            let got = worker.hear();
            worker.join();
            got as u32
        })
        .sum();
    Semaphore::unlink(&name.0).unwrap();
    assert!(got >= 1 && start.elapsed() >= one * got, "{got} of them, one after the other");
    assert_eq!(semaphore.value(), 1);
}

#[test]
fn messages_come_in_the_order_that_is_asked_for() {
    let _alone = alone();
    let mut out = Vec::new();
    mq_pair::run(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    println!("{out}");
    let after = |what: &str| {
        let line = out.lines().find(|line| line.contains(what)).unwrap();
        line.split_once(": ").unwrap().1.split(" (26 bytes").next().unwrap().to_owned()
    };
    assert_eq!(after("the oldest"), "A (10), B (1), C (10), D (5)");
    assert_eq!(after("the lowest"), "B (1), D (5), A (10), C (10)");
    assert_eq!(after("this alone"), "A (10), C (10); left: B (1), D (5)");
    assert_eq!(after("POSIX"), "A (10), C (10), D (5), B (1)");
    // 1 + 23 + 1 + 1: each has its own length, without its type.
    assert_eq!(out.matches("(26 bytes were in the queue)").count(), 3);
}

#[test]
fn a_sender_and_a_receiver_that_know_a_path_meet() {
    let _alone = alone();
    let dir = scratch();
    let mut queue = mq_pair::meet(&dir.0).unwrap();
    let sender = common::fork(|_| {
        let mut queue = mq_pair::meet(&dir.0).unwrap();
        queue.send(3, b"three", 0).unwrap();
        queue.send(2, b"two", 0).unwrap();
    });
    let got = mq_pair::receive(&mut queue, 2, 0);
    sender.join();
    let rest = mq_pair::receive(&mut queue, -9, 0);
    queue.remove().unwrap();
    assert_eq!(got.unwrap(), (2, "two".into()));
    assert_eq!(rest.unwrap(), (3, "three".into()));
}

#[test]
fn each_client_of_one_queue_gets_its_own_reply() {
    let _alone = alone();
    let mut out = Vec::new();
    mq_echo::run(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    println!("{out}");
    assert!(out.contains("gives \"Reply\" of type 8, its own\n"));
    for number in 1..=3 {
        assert!(out.contains(&format!("client {number}: got the reply to request {number}\n")));
    }
    assert!(out.ends_with("left in the queue: 0 messages\n"));
}
