//! What others move beside two that are stopped in the middle: a sender between claim and commit, a receiver while it
//! reads. Compared, in interleaved windows, with what the same others move while the same two are stopped with nothing in
//! their hands: the shares of the cores are the same then, so that the difference is the ring's.
#![allow(clippy::disallowed_types, reason = "an observer's own words")]

use crate::audit::{Auditor, Mode, Tally};
use crate::child::{Child, fork};
use crate::ends::{Kind, LONGEST, Listener, Put, Take, Talker};
use crate::log::{Event, Log, now};
use crate::payload::{Id, checksum};
use crate::usage::Usage;
use crate::words::Words;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::WaitStatus;
use serde::{Deserialize, Serialize};
use slipring::{RecvError, Ring, SendError};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// One round: messages that the others moved, in windows of equal length.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Round {
    /// While both victims were stopped with nothing in their hands.
    pub outside: u64,
    /// While they were stopped in the middle.
    pub inside: u64,
    /// The nanoseconds that the others had a core for, in either window.
    pub on_core: (u64, u64),
}

impl Round {
    /// What was moved inside, by what was moved outside: in a window, and in the same time on a core.
    fn ratios(&self) -> (f64, f64) {
        let ratio = self.inside as f64 / self.outside.max(1) as f64;
        (ratio, ratio * self.on_core.0 as f64 / self.on_core.1.max(1) as f64)
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The rounds.
    pub rounds: Vec<Round>,
    /// The length of a window.
    pub window: Duration,
    /// `inside` by `outside`: the least, the median, the greatest.
    pub ratio: (f64, f64, f64),
    /// The same for equal times on a core: on a machine with other work the windows get unequal shares.
    pub ratio_on_core: (f64, f64, f64),
    /// What became of all messages, those of the victims included.
    pub tally: Tally,
}

impl Verdict {
    /// Whether nothing happened that must not.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.tally.is_clean() && self.tally.in_hands == 0
    }

    /// Whether the others moved at least 80 % of what they did before.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.is_sound() && self.ratio.1.max(self.ratio_on_core.1) >= 0.8
    }

    /// A row for the table in docs/failure-model.md.
    #[must_use]
    pub fn row(&self) -> String {
        let (least, median, greatest) = self.ratio;
        format!(
            "| 2 x 2 beside a sender and a receiver stopped in the middle, {} rounds of {:?} | {} messages | rate by that \
             beside the same two stopped outside: median {median:.2}, {least:.2} to {greatest:.2}; in equal times on a core {:.2}, {:.2} to {:.2}; lost {}, \
             doubled {}, torn {} |",
            self.rounds.len(),
            self.window,
            self.tally.received,
            self.ratio_on_core.1,
            self.ratio_on_core.0,
            self.ratio_on_core.2,
            self.tally.lost,
            self.tally.duplicated,
            self.tally.torn
        )
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for round in &self.rounds {
            let (Round { outside, inside, .. }, (ratio, on_core)) = (round, round.ratios());
            writeln!(
                f,
                "  outside {outside:>9}   in the middle {inside:>9}   ratio {ratio:.3}, on a core {on_core:.3}"
            )?;
        }
        let Tally { sent, received, lost, duplicated, torn, out_of_order, phantom, .. } = self.tally;
        for (what, (least, median, greatest)) in [("", self.ratio), (" on a core", self.ratio_on_core)] {
            writeln!(f, "  ratio{what}: median {median:.3}, {least:.3} to {greatest:.3}")?;
        }
        write!(
            f,
            "  sent {sent}, received {received}, lost {lost}, doubled {duplicated}, torn {torn}, out of order \
             {out_of_order}, never sent {phantom}"
        )
    }
}

const OTHERS: usize = 2;
const SEATS: usize = 2 * OTHERS + 2;
/// Seats of the victims, behind those of the other senders and receivers.
const SENDER: usize = 2 * OTHERS;
const RECEIVER: usize = SENDER + 1;
const SLOTS: usize = 64;
const LOG_RECORDS: usize = 1 << 14;
const PATIENCE: Duration = Duration::from_secs(60);

// Words: what all are to do, and what each victim is to do when it goes on.
const PHASE: usize = 0;
const ORDER: usize = 1;
const WORK: u64 = 0;
const LEAVE_SENDERS: u64 = 1;
const LEAVE: u64 = 2;
/// The next stop is in the middle of a verb; else it is between two.
const IN_THE_MIDDLE: u64 = 1;

struct Floor {
    ring: Ring,
    logs: Vec<Log>,
    words: Arc<Words>,
}

impl Floor {
    fn phase(&self) -> u64 {
        self.words[PHASE].load(SeqCst)
    }

    fn talk(&self, seat: usize) {
        let mut tx =
            Talker::attach(Kind::Mpmc, &self.ring, seat as u32, self.logs[seat].clone()).expect("a sender");
        while self.phase() == WORK {
            match tx.send(Put::Copy, Some(Duration::from_millis(50))) {
                Ok(_) | Err(SendError::TimedOut) => {}
                Err(error) => panic!("sending: {error}"),
            }
        }
    }

    fn listen(&self, seat: usize) {
        let mut rx = Listener::attach(Kind::Mpmc, &self.ring, self.logs[seat].clone()).expect("a receiver");
        loop {
            match rx.take(Take::Recv, Some(Duration::from_millis(50))) {
                Ok(_) => {}
                Err(_) if self.phase() == LEAVE => return,
                Err(RecvError::TimedOut | RecvError::Empty) => {}
                Err(RecvError::Closed) => std::thread::sleep(Duration::from_micros(100)),
                Err(error) => panic!("receiving: {error}"),
            }
        }
    }

    /// Stops itself, again and again: with a grant in its hands or without, as it is told.
    fn stop_sending(&self) {
        let mut tx = self.ring.sender().expect("a sender");
        let log = &self.logs[SENDER];
        let mut seq = 0;
        let mut middle = false;
        while self.phase() == WORK {
            if !middle {
                stop();
            } else {
                let id = Id { sender: SENDER as u32, seq };
                seq += 1;
                let mut grant = tx.reserve(LONGEST).expect("room in the end");
                let len = id.write(&mut grant[..LONGEST]);
                log.write(Event::Intend { seq: id.seq, sum: checksum(&grant[..len]) });
                stop();
                grant.commit(len).expect("a commit");
                log.write(Event::Sent { seq: id.seq, count: 1 });
            }
            middle = self.words[ORDER].load(SeqCst) == IN_THE_MIDDLE;
        }
    }

    fn stop_receiving(&self) {
        let mut rx = self.ring.receiver().expect("a receiver");
        let log = &self.logs[RECEIVER];
        let mut middle = false;
        while self.phase() == WORK {
            if !middle {
                stop();
            } else {
                let frame = rx.frame().expect("a message in the end");
                stop();
                // Read only now: whoever stepped over it has not touched it.
                log.write(match Id::read(&frame, LONGEST) {
                    Ok(id) => Event::Took { id, sum: checksum(&frame), redelivered: false },
                    Err(_) => Event::Torn,
                });
                drop(frame);
            }
            middle = self.words[ORDER].load(SeqCst) == IN_THE_MIDDLE;
        }
    }
}

fn stop() {
    raise(Signal::SIGSTOP).expect("SIGSTOP");
}

struct Beside {
    floor: Floor,
    children: Vec<Child>,
    auditor: Auditor,
}

impl Beside {
    fn read(&mut self) -> u64 {
        let mut moved = 0;
        for seat in 0..SEATS {
            let auditor = &mut self.auditor;
            self.floor.logs[seat].read(|record| {
                moved += u64::from(matches!(record.event, Event::Took { .. }));
                auditor.note(seat as u32, record);
            });
        }
        moved
    }

    /// For how long the others have had a core.
    fn on_core(&self) -> u64 {
        let pids = self.children[..SENDER].iter().map(|child| child.pid().as_raw());
        pids.map(|pid| Usage::of(pid).map_or(0, |usage| usage.on_core())).sum()
    }

    /// What was taken in the time from now on, and for how long the takers and their senders had a core.
    fn window(&mut self, length: Duration) -> (u64, u64) {
        self.read();
        let before = self.on_core();
        let (begin, mut moved) = (now(), 0);
        let end = begin + length.as_nanos() as u64;
        while now() < end {
            moved += self.read();
            std::thread::sleep(Duration::from_micros(500));
        }
        (moved + self.read(), self.on_core() - before)
    }

    /// Both victims go on until they stop themselves the next time.
    fn arrange(&mut self, order: u64) -> Result<(), String> {
        self.floor.words[ORDER].store(order, SeqCst);
        for victim in [SENDER, RECEIVER] {
            self.children[victim].resume();
            let patience = now() + PATIENCE.as_nanos() as u64;
            loop {
                // Others' logs are read meanwhile, or they would wait, and the victim for them.
                self.read();
                match self.children[victim].changed(Duration::from_micros(200)) {
                    Some(WaitStatus::Stopped(_, Signal::SIGSTOP)) => break,
                    Some(end) => return Err(format!("a victim ended: {end:?}")),
                    None if now() > patience => return Err("a victim does not stop: it hangs".into()),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), String> {
        for (phase, seats) in
            [(LEAVE_SENDERS, [0..OTHERS, SENDER..SENDER + 2]), (LEAVE, [OTHERS..2 * OTHERS, 0..0])]
        {
            self.floor.words[PHASE].store(phase, SeqCst);
            let patience = now() + PATIENCE.as_nanos() as u64;
            for seat in seats.into_iter().flatten() {
                if seat >= SENDER {
                    self.children[seat].resume();
                }
                loop {
                    self.read();
                    match self.children[seat].ended(Duration::from_micros(200)) {
                        Some(WaitStatus::Exited(_, 0)) => break,
                        Some(end) => return Err(format!("participant {seat} failed: {end:?}")),
                        None if now() > patience => return Err(format!("participant {seat} does not leave")),
                        None => {}
                    }
                }
            }
        }
        self.read();
        Ok(())
    }
}

/// Measures `rounds` rounds.
///
/// # Errors
/// If a participant fails or hangs, also one that goes on after its stop.
pub fn measure(rounds: u32, window: Duration) -> Result<Verdict, String> {
    if rounds == 0 || window.is_zero() {
        return Err("no rounds, or windows of no length".into());
    }
    let options = Kind::Mpmc.options(SLOTS).participants(16);
    let ring = Ring::anonymous(&options).map_err(|e| e.to_string())?;
    let floor = Floor { ring, logs: Log::several(SEATS, LOG_RECORDS), words: Arc::new(Words::new(2)) };
    let children = (0..SEATS)
        .map(|seat| {
            fork(|| match seat {
                SENDER => floor.stop_sending(),
                RECEIVER => floor.stop_receiving(),
                seat if seat < OTHERS => floor.talk(seat),
                seat => floor.listen(seat),
            })
        })
        .collect();
    let mut all = Beside { floor, children, auditor: Auditor::new(Mode::AtMostOnce, false) };
    // To their first stops, and everybody warm.
    all.arrange(0)?;
    all.window(window);
    let mut seen = Vec::new();
    for round in 0..rounds {
        let mut moved = [(0, 0); 2];
        // Each comes first every other time.
        for order in [u64::from(round) % 2, 1 - u64::from(round) % 2] {
            all.arrange(order)?;
            // What was under way is over.
            all.window(window / 10);
            moved[order as usize] = all.window(window);
        }
        let [(outside, cores_outside), (inside, cores_inside)] = moved;
        seen.push(Round { outside, inside, on_core: (cores_outside, cores_inside) });
    }
    all.leave()?;
    let spread = |of: fn((f64, f64)) -> f64| {
        let mut ratios: Vec<_> = seen.iter().map(|round| of(round.ratios())).collect();
        ratios.sort_by(f64::total_cmp);
        (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1])
    };
    let (ratio, ratio_on_core) = (spread(|ratios| ratios.0), spread(|ratios| ratios.1));
    Ok(Verdict { rounds: seen, window, ratio, ratio_on_core, tally: all.auditor.finish() })
}
