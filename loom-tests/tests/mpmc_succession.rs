//! Death among senders and receivers: sweep, adoption, and newcomers in the places of the dead. A kill is modelled as the
//! end of a handle's part without its good-bye, after which the kernel frees its lease. Where in a verb it strikes is
//! the subject of the fault tests; here it strikes while a loan is out.

use loom::thread;
use slipring_loom::channel::members::Members;
use slipring_loom::channel::mpmc::{Receiver, Sender};
use slipring_loom::error::{RecvError, SendError};
use slipring_loom::event::WaitStrategy;
use slipring_loom::layout::SlotKind::Peeked;
use slipring_loom::layout::{ATTACHED, DIED, ORPHANED, RECEIVER, SENDER, Wakeup};
use slipring_loom::ring::mpmc::Side;
use slipring_loom::slots::{LONGEST, PID, SlotRig, fill, finish, get, message, put, recv, try_recv, value};
use slipring_loom::sync::kill;
use slipring_loom::{check, check_bounded};

/// Claims a slot, scribbles into it, and goes no further.
fn scribble(tx: &mut Sender) {
    let mut grant = tx.try_reserve(8).expect("there is room");
    grant.copy_from_slice(&message(99));
    std::mem::forget(grant);
}

/// Takes a message, reads it, and goes no further.
fn hold(rx: &mut Receiver) -> u8 {
    let frame = rx.try_frame().expect("there is a message");
    let got = value(&frame);
    std::mem::forget(frame);
    got
}

/// Peeks at a message, reads it, and goes no further.
fn peek(rx: &mut Receiver) -> u8 {
    let delivery = rx.try_peek().expect("there is a message");
    let got = value(&delivery);
    std::mem::forget(delivery);
    got
}

/// Peeks and acknowledges: the message, and whether it was flagged.
fn try_peek(rx: &mut Receiver) -> Result<(u8, bool), RecvError> {
    let delivery = rx.try_peek()?;
    let got = (value(&delivery), delivery.is_redelivered());
    delivery.ack();
    Ok(got)
}

#[test]
fn a_receiver_reads_everything_before_it_hears_of_the_death() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        // No clock runs, so only a poller learns of a death here; a sleeper does at the end of its slice.
        rx.set_strategy(WaitStrategy::Yield).unwrap();
        let kernel = ring.clone();
        let sender = thread::spawn(move || {
            tx.send(&message(1)).unwrap();
            kernel.kill(tx, 0);
        });
        run.outcome([recv(&mut rx), recv(&mut rx)]);
        sender.join().unwrap();
        kill(rx);
    })
    .reaches("[Ok(1), Err(PeerDied { pid: 71 })]", "always: the message was sent before the death");
}

#[test]
fn a_dead_senders_slot_is_free_for_another() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::Futex);
        let (mut dead, mut tx, mut rx) = (ring.sender(), ring.sender(), ring.receiver());
        scribble(&mut dead);
        let kernel = ring.clone();
        let dying = thread::spawn(move || kernel.kill(dead, 0));
        tx.set_strategy(WaitStrategy::Yield).unwrap();
        let sent = [2, 3].map(|value| tx.send(&message(value)));
        let got = [recv(&mut rx), recv(&mut rx)];
        dying.join().unwrap();
        run.outcome((sent, got));
        kill((tx, rx));
    })
    .reaches("([Ok(()), Ok(())], [Ok(2), Ok(3)])", "always: the dead one's slot is swept, or stepped over");
}

#[test]
fn a_dead_receivers_slot_is_free_for_a_sender() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::Futex);
        let (mut tx, mut dead, mut rx) = (ring.sender(), ring.receiver(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        tx.try_send(&message(2)).unwrap();
        tx.set_strategy(WaitStrategy::Yield).unwrap();
        let kernel = ring.clone();
        let dying = thread::spawn(move || {
            assert_eq!(hold(&mut dead), 1);
            kernel.kill(dead, 1);
        });
        let sent = tx.send(&message(3));
        dying.join().unwrap();
        let got = [(); 3].map(|()| try_recv(&mut rx));
        run.outcome((sent, got));
        kill((tx, rx));
    })
    .reaches(
        "(Ok(()), [Ok(2), Ok(3), Err(Empty)])",
        "always: the message that it took ends with it, its slot does not",
    );
}

#[test]
fn an_unacknowledged_message_is_redelivered_once() {
    // Bound 2: with 3 it is not done in 15 s of processor time.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 4, Wakeup::Futex);
        let (mut tx, mut dead, mut one, mut two) =
            (ring.sender(), ring.receiver(), ring.receiver(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        assert_eq!(peek(&mut dead), 1);
        ring.kill(dead, 1);
        let other = thread::spawn(move || {
            let got = try_peek(&mut one);
            (one, got)
        });
        let mine = try_peek(&mut two);
        let (mut one, theirs) = other.join().unwrap();
        run.outcome((mine, theirs));
        assert!(try_peek(&mut one).is_err() && try_peek(&mut two).is_err(), "nothing comes twice");
        assert!(ring.words().iter().all(|word| !word.is_used()), "both slots are free");
        kill((tx, one, two));
    })
    .reaches("(Err(Empty), Ok((1, true)))", "the other adopted it")
    .reaches("(Ok((1, true)), Err(Empty))", "this one did");
}

#[test]
fn a_dead_peekers_slot_is_stepped_over_and_its_message_kept() {
    // Bound 2: with 3 it is not done in 15 s of processor time.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::Futex);
        let (mut tx, mut dead, mut rx) = (ring.sender(), ring.receiver(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        tx.try_send(&message(2)).unwrap();
        assert_eq!(peek(&mut dead), 1);
        assert_eq!(try_peek(&mut rx), Ok((2, false)));
        let kernel = ring.clone();
        let dying = thread::spawn(move || kernel.kill(dead, 1));
        let sender = thread::spawn(move || {
            tx.try_send(&message(3)).expect("a slot is free");
            kill(tx);
        });
        let first = [(); 2].map(|()| try_peek(&mut rx));
        sender.join().unwrap();
        dying.join().unwrap();
        let mut all: Vec<_> = first.into_iter().flatten().collect();
        all.extend((0..4).filter_map(|_| try_peek(&mut rx).ok()));
        assert!(ring.words().iter().all(|word| !word.is_used()), "both slots are free");
        run.outcome(all);
        kill(rx);
    })
    .reaches("[(1, true), (3, false)]", "adopted first")
    .reaches("[(3, false), (1, true)]", "after the third was received");
}

#[test]
fn a_newcomer_in_a_dead_ones_place_wakes_those_who_waited_for_it() {
    // Bound 2: with 3 it takes some 35 s of processor time.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut dead) = (ring.sender(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        tx.try_send(&message(2)).unwrap();
        assert_eq!(hold(&mut dead), 1);
        let there = ring.clone();
        let newcomer = thread::spawn(move || {
            // While the sender sleeps as well: before it, the sender would sweep by itself.
            there.kill(dead, 1);
            let rx = there.try_receiver();
            let came = rx.is_ok();
            kill(rx);
            came
        });
        // Its own look at the dead one's lease may find the newcomer there.
        let sent = tx.send(&message(3));
        run.outcome((sent, newcomer.join().unwrap()));
        kill(tx);
    })
    .reaches("(Ok(()), true)", "whoever sweeps the dead one, its slot is free and the sender hears of it")
    .reaches("(Ok(()), false)", "the sender did, and was at it when the newcomer looked for a place");
}

#[test]
fn a_newcomer_that_finds_no_place_wakes_those_whose_slots_it_swept() {
    // Bound 2: with 3 it is not done in 15 s of processor time.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut dead) = (ring.sender(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        tx.try_send(&message(2)).unwrap();
        assert_eq!((peek(&mut dead), hold(&mut dead)), (1, 2));
        let there = ring.clone();
        let newcomer = thread::spawn(move || {
            there.kill(dead, 1);
            // The place keeps the first message, for a receiver. The second one's slot is free.
            there.try_sender().is_ok()
        });
        let sent = tx.send(&message(3));
        run.outcome((sent, newcomer.join().unwrap()));
        kill(tx);
    })
    // Also if it is killed between the sender's sweep and its look who is there: it sweeps before it takes that for the end.
    .reaches("(Ok(()), false)", "swept by either; no slice ends here, so the newcomer wakes who sleeps");
}

#[test]
fn a_place_is_taken_once() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (dead, mut rx) = (ring.sender(), ring.receiver());
        ring.kill(dead, 0);
        let there = ring.clone();
        let other = thread::spawn(move || {
            let tx = there.try_sender();
            let came = tx.is_ok();
            kill(tx);
            came
        });
        let tx = ring.try_sender();
        let came = tx.is_ok();
        run.outcome((came, other.join().unwrap()));
        assert_eq!(try_recv(&mut rx), Err(RecvError::Empty), "there is a sender");
        kill((tx, rx));
    })
    .reaches("(false, true)", "the other was faster")
    .reaches("(true, false)", "this one was");
}

#[test]
fn a_sender_hears_that_the_last_receiver_died() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, rx) = (ring.sender(), ring.receiver());
        tx.set_strategy(WaitStrategy::Yield).unwrap();
        let kernel = ring.clone();
        let dying = thread::spawn(move || kernel.kill(rx, 1));
        let sent = [1, 2, 3].map(|value| tx.send(&message(value)));
        dying.join().unwrap();
        run.outcome(sent);
        kill(tx);
    })
    .reaches("[Ok(()), Ok(()), Err(PeerDied { pid: 71 })]", "always: when there is no more room");
}

#[test]
fn a_newcomer_sees_what_the_last_one_left() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        tx.try_send(&message(1)).unwrap();
        let there = ring.clone();
        let leaving = thread::spawn(move || {
            hold(&mut rx);
            rx.close();
            kill(there);
        });
        let sent = [2, 3].map(|value| tx.try_send(&message(value)));
        leaving.join().unwrap();
        assert_eq!(ring.owned_by(1), 0, "who leaves takes nothing along");
        run.outcome(sent.map(|sent| sent.map_err(|error| error == SendError::Full)));
        kill(tx);
    })
    .reaches("[Ok(()), Err(true)]", "before the good-bye")
    .reaches("[Ok(()), Ok(())]", "after it");
}

#[test]
fn the_slot_of_a_message_of_an_impossible_length_wakes_a_sender() {
    // Bound 2: with 3 it takes more than a few seconds.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::Futex);
        let (mut tx, mut rx) = (ring.sender(), ring.receiver());
        let mut forger = ring.side(0);
        let sender = thread::spawn(move || {
            let claim = forger.claim().unwrap();
            assert!(forger.commit(&claim, LONGEST + 1));
            let sent = [2, 3].map(|value| tx.send(&message(value)));
            (tx, sent)
        });
        let corrupt = matches!(recv(&mut rx), Err(RecvError::Corrupt(_)));
        let (tx, sent) = sender.join().unwrap();
        run.outcome((corrupt, sent, [(); 2].map(|()| try_recv(&mut rx))));
        kill((tx, rx));
    })
    .reaches(
        "(true, [Ok(()), Ok(())], [Ok(2), Ok(3)])",
        "always: whether it slept for a message or found it there, the slot's release is told",
    );
}

// --- the table alone, without wake-ups, whose fences might order what it does not ---

#[test]
fn nobody_is_gone_while_the_role_is_handed_over() {
    check(|run| {
        let ring = SlotRig::with(2, 3, Wakeup::None);
        let [mut gone, mut first] = [(); 2].map(|()| ring.member(SENDER).unwrap());
        let receiver = ring.member(RECEIVER).unwrap();
        gone.leave(false);
        kill(gone);
        let there = ring.clone();
        let senders = thread::spawn(move || {
            // Into the place of the one that has gone, which is asked about before that of the other.
            let second = there.member(SENDER).unwrap();
            assert_eq!(second.me(), 0);
            first.leave(false);
            kill((first, second));
        });
        run.outcome(receiver.ended(SENDER));
        senders.join().unwrap();
        kill(receiver);
    })
    .reaches("None", "always: there is a sender at all times");
}

#[test]
fn who_was_there_is_remembered_whoever_came_meanwhile() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::None);
        let there = ring.clone();
        let sender = thread::spawn(move || {
            let mut sender = there.member(SENDER).unwrap();
            sender.leave(false);
            kill(sender);
        });
        let receiver = ring.member(RECEIVER).unwrap();
        sender.join().unwrap();
        run.outcome(receiver.ended(SENDER));
        kill(receiver);
    })
    .reaches("Some(None)", "always: it came and left");
}

#[test]
fn a_newcomer_keeps_its_slots_whoever_sweeps_the_dead_one() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(4, 2, Wakeup::None);
        let (dead, sweeper) = (ring.member(SENDER).unwrap(), ring.member(RECEIVER).unwrap());
        ring.side(0).claim().unwrap();
        ring.kill(dead, 0);
        let there = ring.clone();
        let reborn = thread::spawn(move || {
            // There is no place as long as somebody else has a share in it; on the machine a newcomer tries for longer.
            let Ok(newcomer) = there.member(SENDER) else { return false };
            let mut side = there.side(newcomer.me());
            let claim = side.claim().unwrap();
            let sent = fill(&mut side, &claim, 1);
            kill(newcomer);
            assert!(sent, "nobody takes its slot away");
            true
        });
        let died = sweeper.look_at(0);
        let born = reborn.join().unwrap();
        assert_eq!(ring.owned_by(0), 0, "the dead one's slot is free");
        run.outcome((died, born, ring.drain(1)));
        kill(sweeper);
    })
    .reaches("(false, true, [1])", "the newcomer swept")
    .reaches("(false, false, [])", "the newcomer did, and the other still looked on")
    .reaches("(true, false, [])", "the other did, and was at it when the newcomer looked for a place")
    .reaches("(true, true, [1])", "and gave it back in time");
}

#[test]
fn nobody_is_seated_over_one_that_came_and_died_meanwhile() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 1, Wakeup::None);
        let dead = ring.member(SENDER).unwrap();
        ring.kill(dead, 0);
        let there = ring.clone();
        let other = thread::spawn(move || there.member(SENDER).ok());
        let brief = ring.member(SENDER).ok();
        let came = brief.is_some();
        if let Some(brief) = brief {
            ring.side(0).claim().unwrap();
            ring.kill(brief, 0);
        }
        let lives = other.join().unwrap();
        run.outcome((came, lives.is_some(), ring.owned_by(0)));
        kill(lives);
    })
    .reaches("(false, true, 0)", "the other has the place, and lives")
    .reaches(
        "(true, false, 1)",
        "this one had it until the other had given up: nobody has looked at it since",
    )
    .reaches("(true, true, 0)", "the other came to its place, and swept it before");
}

#[test]
fn two_sweepers_sweep_once() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::None);
        let dead = ring.member(SENDER).unwrap();
        let [one, two] = [(); 2].map(|()| ring.member(RECEIVER).unwrap());
        ring.side(0).claim().unwrap();
        ring.kill(dead, 0);
        let other = thread::spawn(move || {
            let died = one.look_at(0);
            kill(one);
            died
        });
        let mine = two.look_at(0);
        run.outcome((mine, other.join().unwrap()));
        assert_eq!((ring.party(0).state(), ring.owned_by(0)), (DIED, 0));
        kill(two);
    })
    .reaches("(false, true)", "the other did")
    .reaches("(true, false)", "this one did")
    .reaches("(true, true)", "both, beside each other");
}

#[test]
fn a_sweeper_that_is_stopped_hides_no_death_and_keeps_no_slot() {
    // Bound 2: with 3 it takes more than a few seconds.
    check_bounded(2, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::None);
        let dead = ring.member(SENDER).unwrap();
        let [stopped, other] = [(); 2].map(|()| ring.member(RECEIVER).unwrap());
        ring.side(0).claim().unwrap();
        ring.kill(dead, 0);
        assert!(stopped.host().share(0));
        let there = ring.clone();
        let newcomer = thread::spawn(move || there.member(SENDER).is_ok());
        let news = other.ended(SENDER);
        other.look_at(0);
        run.outcome((news, newcomer.join().unwrap()));
        assert_eq!((ring.party(0).state(), ring.owned_by(0)), (DIED, 0));
        kill((stopped, other));
    })
    .reaches("(None, false)", "the newcomer swept meanwhile: the table moved, so it is looked at again")
    .reaches("(Some(Some(71)), false)", "only the place is not to be had");
}

#[test]
fn the_last_message_is_seen_by_who_reads_of_the_death() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::None);
        let dead = ring.member(SENDER).unwrap();
        let [sweeper, receiver] = [(); 2].map(|()| ring.member(RECEIVER).unwrap());
        let (mut last, mut side) = (ring.side(0), ring.side(2));
        let there = ring.clone();
        let death = thread::spawn(move || {
            assert!(put(&mut last, 1));
            there.kill(dead, 0);
            assert!(sweeper.look_at(0));
            kill(sweeper);
        });
        run.outcome((receiver.ended(SENDER), get(&mut side)));
        death.join().unwrap();
        kill(receiver);
    })
    .reaches("(None, None)", "before the message")
    .reaches("(None, Some(1))", "before the death, or while the table moved")
    .reaches(
        "(Some(Some(71)), Some(1))",
        "after the death: by the lease, or by the word that the sweeper wrote",
    );
}

#[test]
fn a_slow_sweeper_does_not_bring_back_what_was_adopted() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::None);
        let dead = ring.member(RECEIVER).unwrap();
        let [slow, heir] = [(); 2].map(|()| ring.member(RECEIVER).unwrap());
        assert!(put(&mut ring.side(2), 1));
        ring.side(0).take(Peeked, LONGEST).unwrap();
        ring.kill(dead, 0);
        let sweeper = thread::spawn(move || {
            slow.look_at(0);
            kill(slow);
        });
        heir.look_at(0);
        let side = ring.side(2);
        let adopted: Vec<_> = heir.adopt(true).iter().map(|taken| finish(&side, taken)).collect();
        sweeper.join().unwrap();
        run.outcome((adopted, ring.party(0).state() == DIED));
        kill(heir);
    })
    .reaches("([1], true)", "always: nothing is left at the place, and it says so");
}

#[test]
fn nobody_is_gone_while_a_newcomer_is_not_counted_yet() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::None);
        let [mut gone, last] = [(); 2].map(|()| ring.member(SENDER).unwrap());
        let receiver = ring.member(RECEIVER).unwrap();
        gone.leave(false);
        kill(gone);
        let [there, kernel] = [(); 2].map(|()| ring.clone());
        // Into the place that is asked about first.
        let newcomer = thread::spawn(move || kill(there.member(SENDER).unwrap()));
        let dying = thread::spawn(move || {
            if kernel.party(0).state() == ATTACHED {
                kernel.kill(last, 1);
            } else {
                kill(last);
            }
        });
        run.outcome(receiver.ended(SENDER));
        newcomer.join().unwrap();
        dying.join().unwrap();
        kill(receiver);
    })
    .reaches("None", "always: the last one dies only if there is a newcomer");
}

#[test]
fn whoever_sees_a_change_counted_sees_who_came() {
    check(|run| {
        let ring = SlotRig::with(2, 2, Wakeup::None);
        let receiver = ring.member(RECEIVER).unwrap();
        let known = receiver.changes();
        let there = ring.clone();
        let newcomer = thread::spawn(move || kill(there.member(SENDER).unwrap()));
        let counted = receiver.changes() != known;
        run.outcome((counted, ring.party(1).state() == ATTACHED));
        newcomer.join().unwrap();
        kill(receiver);
    })
    .reaches("(false, false)", "looked at before it came")
    .reaches("(false, true)", "it is there, and was not counted yet")
    .reaches("(true, true)", "counted");
}

#[test]
fn two_changes_at_once_are_both_counted() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::None);
        let [mut one, mut two] = [(); 2].map(|()| ring.member(SENDER).unwrap());
        let known = one.changes();
        let other = thread::spawn(move || {
            one.leave(false);
            kill(one);
        });
        two.leave(false);
        other.join().unwrap();
        run.outcome(two.changes() - known);
        kill(two);
    })
    .reaches("2", "always: none is lost to the other");
}

#[test]
fn the_first_one_ever_is_never_taken_for_gone() {
    check(|run| {
        let ring = SlotRig::with(2, 2, Wakeup::None);
        let receiver = ring.member(RECEIVER).unwrap();
        let there = ring.clone();
        let first = thread::spawn(move || kill(there.member(SENDER).unwrap()));
        run.outcome(receiver.ended(SENDER));
        first.join().unwrap();
        kill(receiver);
    })
    .reaches("None", "always: it has not come, or it is there");
}

#[test]
fn one_that_was_killed_before_it_was_noted_down_has_been_there() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::None);
        // All that the first sender ever got to; its lease is free.
        ring.view().parties[0].attach(PID, SENDER, 1);
        let [one, two] = [(); 2].map(|()| ring.member(RECEIVER).unwrap());
        let other = thread::spawn(move || {
            one.look_at(0);
            kill(one);
        });
        two.look_at(0);
        let news = two.ended(SENDER);
        other.join().unwrap();
        run.outcome((news, two.ended(SENDER)));
        kill(two);
    })
    .reaches("(Some(Some(71)), Some(Some(71)))", "always: whoever sweeps it notes it down before");
}

#[test]
fn a_newcomer_is_never_taken_for_dead() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::None);
        let (mut gone, receiver) = (ring.member(SENDER).unwrap(), ring.member(RECEIVER).unwrap());
        gone.leave(false);
        kill(gone);
        let there = ring.clone();
        let newcomer = thread::spawn(move || kill(there.member(SENDER).unwrap()));
        run.outcome(receiver.ended(SENDER));
        newcomer.join().unwrap();
        kill(receiver);
    })
    .reaches("Some(None)", "looked at before it came")
    .reaches("None", "it is there");
}

#[test]
fn who_comes_into_a_dead_ones_place_gives_it_no_other_role() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 3, Wakeup::None);
        let (mut left, dead) = (ring.member(RECEIVER).unwrap(), ring.member(SENDER).unwrap());
        let sender = ring.member(SENDER).unwrap();
        // A place that is taken last, since it keeps a message.
        assert!(put(&mut ring.side(2), 1));
        ring.side(0).take(Peeked, LONGEST).unwrap();
        left.leave(true);
        kill(left);
        ring.kill(dead, 1);
        assert!(sender.look_at(1));
        let there = ring.clone();
        let newcomer = thread::spawn(move || {
            let receiver = there.member(RECEIVER).unwrap();
            assert_eq!(receiver.me(), 1);
            kill(receiver);
        });
        // As it is found now, so it would stay if the newcomer were killed.
        run.outcome(sender.ended(RECEIVER));
        newcomer.join().unwrap();
        kill(sender);
    })
    .reaches("None", "the newcomer is there")
    .reaches("Some(None)", "the only receiver that there was has left: none has died");
}

#[test]
fn who_inherits_a_place_and_who_adopts_do_not_both_get_the_message() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 2, Wakeup::None);
        let (dead, other) = (ring.member(RECEIVER).unwrap(), ring.member(RECEIVER).unwrap());
        assert!(put(&mut ring.side(1), 1));
        ring.side(0).take(Peeked, LONGEST).unwrap();
        ring.kill(dead, 0);
        assert!(other.look_at(0));
        assert_eq!(ring.party(0).state(), ORPHANED);
        let there = ring.clone();
        let newcomer = thread::spawn(move || {
            let Ok(mut heir) = there.member(RECEIVER) else { return None };
            let side = there.side(heir.me());
            let inherited: Vec<_> = heir.inherit().iter().map(|taken| finish(&side, taken)).collect();
            assert!(heir.inherit().is_empty(), "once");
            kill(heir);
            Some(inherited)
        });
        let side = ring.side(1);
        let adopted: Vec<_> = other.adopt(true).iter().map(|taken| finish(&side, taken)).collect();
        run.outcome((adopted, newcomer.join().unwrap()));
        assert!(ring.words().iter().all(|word| !word.is_used()), "both slots are free");
        kill(other);
    })
    .reaches("([], Some([1]))", "it came with the place")
    .reaches("([1], None)", "it was just being adopted, and there was no place")
    .reaches("([1], Some([]))", "it was adopted before");
}

#[test]
fn two_heirs_adopt_a_message_once() {
    check_bounded(3, |run| {
        let ring = SlotRig::with(2, 4, Wakeup::None);
        let dead = ring.member(RECEIVER).unwrap();
        let [one, two] = [(); 2].map(|()| ring.member(RECEIVER).unwrap());
        assert!(put(&mut ring.side(3), 1));
        ring.side(0).take(Peeked, LONGEST).unwrap();
        ring.kill(dead, 0);
        let adopt = |heir: Members, side: Side| {
            heir.look_at(0);
            let adopted: Vec<_> = heir.adopt(true).iter().map(|taken| finish(&side, taken)).collect();
            kill(heir);
            adopted
        };
        let side = ring.side(1);
        let other = thread::spawn(move || adopt(one, side));
        let mine = adopt(two, ring.side(2));
        run.outcome((mine, other.join().unwrap()));
        assert!(ring.words().iter().all(|word| !word.is_used()) || ring.party(0).state() == ORPHANED);
    })
    .reaches("([], [1])", "the other adopted it")
    .reaches("([1], [])", "this one did");
}
