//! Who asked to be told of messages is told. No clock runs, so nobody looks for itself what it was not told: a
//! notification that is lost is one who sleeps for ever, and loom reports the deadlock. Who is told must find the message.

use loom::thread;
use slipring_loom::channel::mpmc::{Receiver, Sender};
use slipring_loom::error::RecvError::Empty;
use slipring_loom::event::SLICE;
use slipring_loom::layout::Wakeup;
use slipring_loom::rig::{self, Rig};
use slipring_loom::ring::observe;
use slipring_loom::slots::{SlotRig, message, put, recv, try_recv};
use slipring_loom::sync::kill;
use slipring_loom::watch::Watch;
use slipring_loom::{check, check_bounded};

/// Ends handles' part in the model without the good-bye of their drop, which is the subject of other models.
fn done(handles: impl Sized) {
    kill(handles);
}

/// A ring of two slots, somebody to ask to be told of its messages, and who is there.
struct Asked {
    ring: SlotRig,
    rx: Receiver,
    watch: Watch,
}

impl Asked {
    fn with(messages: &[u8]) -> Self {
        let asked = Asked::not_yet(messages);
        asked.ask();
        asked
    }

    fn not_yet(messages: &[u8]) -> Self {
        let ring = SlotRig::with(2, 4, Wakeup::Futex);
        let mut tx = ring.sender();
        messages.iter().for_each(|&value| tx.try_send(&message(value)).unwrap());
        done(tx);
        let mut rx = ring.receiver();
        let watch = rx.desk().expect("no forked child").watch;
        Asked { ring, rx, watch }
    }

    fn ask(&self) {
        self.watch.ask(1, || observe::end(&self.ring.view()));
    }

    fn wait(&self) {
        self.watch.wait(SLICE, || false, || observe::first(&self.ring.view()));
    }
}

fn sends(mut tx: Sender, values: &'static [u8]) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        values.iter().for_each(|&value| tx.try_send(&message(value)).unwrap());
        done(tx);
    })
}

// --- one producer, one consumer ---

fn a_consumer_is_told(before: &'static [u8]) -> impl Fn(&slipring_loom::Run) + Send + Sync + 'static {
    move |run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer(), ring.consumer());
        before.iter().for_each(|&value| tx.try_send(&[value]).unwrap());
        let producer = thread::spawn(move || {
            tx.try_send(&[9]).unwrap();
            done(tx);
        });
        let (watch, view) = (rx.desk().expect("no forked child").watch, ring.view());
        watch.ask(1, || observe::spsc_end(&view));
        before.iter().for_each(|&value| assert_eq!(rig::try_recv(&mut rx), Ok(vec![value])));
        let mut next = rig::try_recv(&mut rx);
        let told = next == Err(Empty);
        if told {
            watch.wait(SLICE, || false, || observe::spsc_first(&view));
            next = rig::try_recv(&mut rx);
        }
        run.outcome((told, next));
        producer.join().unwrap();
        done(rx);
    }
}

#[test]
fn a_consumer_that_finds_nothing_after_it_has_asked_is_told() {
    check(a_consumer_is_told(&[]))
        .reaches("(false, Ok([9]))", "sent before it looked, and perhaps before it asked")
        .reaches("(true, Ok([9]))", "sent after it looked: told, and there");
}

#[test]
fn what_a_consumer_took_after_it_had_asked_is_not_taken_for_a_message_that_is_there() {
    check(a_consumer_is_told(&[1]))
        .reaches("(false, Ok([9]))", "sent before it looked for the second time")
        .reaches("(true, Ok([9]))", "sent after that: to an empty ring");
}

#[test]
fn a_consumer_that_had_found_nothing_before_it_asks_again_is_told() {
    check(|run| {
        let ring = Rig::dense(64);
        let (mut tx, mut rx) = (ring.producer(), ring.consumer());
        let (watch, view) = (rx.desk().expect("no forked child").watch, ring.view());
        let ask = || watch.ask(1, || observe::spsc_end(&view));
        ask();
        assert_eq!(rig::try_recv(&mut rx), Err(Empty));
        watch.withdraw();
        let producer = thread::spawn(move || {
            tx.try_send(&[9]).unwrap();
            done(tx);
        });
        ask();
        let mut next = rig::try_recv(&mut rx);
        let told = next == Err(Empty);
        if told {
            watch.wait(SLICE, || false, || observe::spsc_first(&view));
            next = rig::try_recv(&mut rx);
        }
        run.outcome((told, next));
        producer.join().unwrap();
        done(rx);
    })
    .reaches("(false, Ok([9]))", "sent before it looked, and perhaps before it asked")
    .reaches("(true, Ok([9]))", "sent after it looked: told, and there");
}

#[test]
fn a_consumer_hears_of_what_a_killed_producer_did_not_tell_with_the_successors_message() {
    check(|run| {
        let ring = Rig::dense(64).mortal();
        let (tx, mut rx) = (ring.producer(), ring.consumer());
        let (watch, view) = (rx.desk().expect("no forked child").watch, ring.view());
        watch.ask(1, || observe::spsc_end(&view));
        // Between its message and the news of it.
        let mut side = ring.producer_side();
        let claim = side.claim(1).unwrap();
        side.write(&claim, &[1]);
        side.commit_all(claim, 1);
        ring.kill_producer(tx);
        let there = ring.clone();
        let successor = thread::spawn(move || {
            let mut tx = there.producer();
            tx.try_send(&[2]).unwrap();
            done(tx);
        });
        watch.wait(SLICE, || false, || observe::spsc_first(&view));
        run.outcome(rig::try_recv(&mut rx));
        successor.join().unwrap();
        done(rx);
    })
    .reaches("Ok([1])", "always: told, and the first comes first");
}

// --- any number of senders and receivers ---

#[test]
fn a_receiver_that_finds_nothing_after_it_has_asked_is_told() {
    check_bounded(3, |run| {
        let mut asked = Asked::not_yet(&[]);
        let sender = sends(asked.ring.sender(), &[9]);
        asked.ask();
        let mut next = try_recv(&mut asked.rx);
        let told = next == Err(Empty);
        if told {
            asked.wait();
            next = try_recv(&mut asked.rx);
        }
        run.outcome((told, next));
        sender.join().unwrap();
        done(asked);
    })
    .reaches("(false, Ok(9))", "sent before it looked, and perhaps before it asked")
    .reaches("(true, Ok(9))", "sent after it looked: told, and there");
}

#[test]
fn who_asked_is_told_though_another_took_what_was_there() {
    check_bounded(3, |run| {
        let mut asked = Asked::with(&[1]);
        let mut other = asked.ring.receiver();
        let taker = thread::spawn(move || {
            assert_eq!(try_recv(&mut other), Ok(1));
            let next = try_recv(&mut other);
            done(other);
            next
        });
        let sender = sends(asked.ring.sender(), &[9]);
        let others = taker.join().unwrap();
        if others == Err(Empty) {
            // The ring was empty, and then the message came.
            asked.wait();
            assert_eq!(try_recv(&mut asked.rx), Ok(9));
        }
        run.outcome(others);
        sender.join().unwrap();
        done(asked);
    })
    .reaches("Ok(9)", "the other had both")
    .reaches("Err(Empty)", "the ring was empty: told");
}

#[test]
fn who_asks_while_another_empties_the_ring_is_told_of_what_it_sends_then() {
    check_bounded(3, |run| {
        let mut asked = Asked::not_yet(&[1]);
        let mut other = asked.ring.receiver();
        let mut tx = asked.ring.sender();
        let taker = thread::spawn(move || {
            assert_eq!(try_recv(&mut other), Ok(1));
            let next = try_recv(&mut other);
            done(other);
            next
        });
        asked.ask();
        tx.try_send(&message(9)).unwrap();
        let others = taker.join().unwrap();
        if others == Err(Empty) {
            asked.wait();
            assert_eq!(try_recv(&mut asked.rx), Ok(9));
        }
        run.outcome(others);
        done(tx);
        done(asked);
    })
    .reaches("Ok(9)", "the other had both")
    .reaches("Err(Empty)", "the ring was empty when it came: told");
}

#[test]
fn of_two_that_send_to_an_empty_ring_at_once_one_tells() {
    // Bound 1: with 3 it takes some 25 s of processor time.
    check_bounded(1, |run| {
        let mut asked = Asked::with(&[]);
        let senders = [sends(asked.ring.sender(), &[1]), sends(asked.ring.sender(), &[2])];
        asked.wait();
        run.outcome(try_recv(&mut asked.rx));
        for sender in senders {
            sender.join().unwrap();
        }
        done(asked);
    })
    .reaches("Ok(1)", "that one was first")
    .reaches("Ok(2)", "or that one");
}

#[test]
fn who_sends_next_tells_for_one_who_was_killed_before_it_told() {
    check_bounded(3, |run| {
        let mut asked = Asked::with(&[]);
        let mut victim = asked.ring.side(3);
        assert!(put(&mut victim, 1));
        let sender = sends(asked.ring.sender(), &[2]);
        asked.wait();
        run.outcome(try_recv(&mut asked.rx));
        sender.join().unwrap();
        done(asked);
    })
    .reaches("Ok(1)", "always: told, and the first comes first");
}

#[test]
fn a_message_behind_one_that_a_sleeper_was_woken_for_is_told() {
    // Bound 1: with 3 it is not done in 100 s of processor time.
    check_bounded(1, |run| {
        let mut asked = Asked::with(&[]);
        let mut other = asked.ring.receiver();
        let sleeper = thread::spawn(move || {
            let got = recv(&mut other);
            done(other);
            got
        });
        let sender = sends(asked.ring.sender(), &[1, 2]);
        asked.wait();
        let others = sleeper.join().unwrap();
        sender.join().unwrap();
        run.outcome((others, try_recv(&mut asked.rx)));
        done(asked);
    })
    .reaches("(Ok(1), Ok(2))", "always: the first went to who slept for it, or was told, too");
}

#[test]
fn asking_and_taking_it_back_undo_no_sleepers_announcement() {
    check_bounded(3, |run| {
        let asked = Asked::not_yet(&[]);
        let (mut other, mut tx) = (asked.ring.receiver(), asked.ring.sender());
        let sleeper = thread::spawn(move || {
            let got = recv(&mut other);
            done(other);
            got
        });
        asked.ask();
        asked.watch.withdraw();
        tx.try_send(&message(1)).unwrap();
        run.outcome(sleeper.join().unwrap());
        done(tx);
        done(asked);
    })
    .reaches("Ok(1)", "always: it is woken");
}

#[test]
fn a_request_that_is_taken_back_ends_whoever_tells_meanwhile() {
    check_bounded(3, |run| {
        let asked = Asked::with(&[]);
        let sender = sends(asked.ring.sender(), &[1]);
        let there = asked.watch.clone();
        let other = thread::spawn(move || there.withdraw());
        asked.wait();
        run.outcome("over");
        sender.join().unwrap();
        other.join().unwrap();
        done(asked);
    })
    .reaches("\"over\"", "always: no bell and no withdrawal leaves anybody waiting");
}
