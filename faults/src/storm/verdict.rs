//! What came of a storm, for people and for machines.

use super::Plan;
use crate::audit::Tally;
use crate::ends::Doing;
use crate::summary::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// What was asked for.
    pub plan: Plan,
    /// What became of the messages.
    pub tally: Tally,
    /// SIGKILLs.
    pub killed: u64,
    /// SIGSTOPs, each followed by SIGCONT.
    pub stopped: u64,
    /// The longest time without any delivery while at least one sender and one receiver were neither stopped nor dead.
    /// The machine's scheduling is part of it.
    pub worst_stall: Duration,
    /// Messages that fit before, and after a drain at the end.
    pub capacity: (u64, u64),
    /// Open file descriptors of this process, before and after.
    pub descriptors: (usize, usize),
    /// What its kills hit, and how long everything took.
    pub times: Measured,
    /// Whether all the kills, stops and messages of the plan were dealt.
    pub complete: bool,
    /// What else went wrong: somebody failed, hung, or left something behind.
    pub failures: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Steps of the protocol that one participant took between two answers of verbs that do not wait: atomic operations and full
/// fences. How many they are tells of the ring what a time tells of the ring and the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Of all answers the most.
    pub most: u64,
    /// How long that answer took, without want of a core; 0 if who gave it was stopped meanwhile.
    pub took: Duration,
    /// Of those that took longer than 5 ms, without want of a core, the most.
    pub in_over_5_ms: u64,
}

impl Verdict {
    /// Whether nothing happened that must not.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.tally.is_clean()
            && self.failures.is_empty()
            && self.capacity.0 == self.capacity.1
            && self.descriptors.0 == self.descriptors.1
    }
}

/// What was measured in a storm, beside what became of the messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// In the middle of what the victims were, and how many of each.
    pub killed_in: BTreeMap<Doing, u64>,
    /// From a kill to the next delivery, be it by a successor: forking that one, and others' stops, are part of it.
    pub delivery: Summary,
    /// From a kill to its successor's being attached: forking it and its turn on a core included.
    pub successor: Summary,
    /// Between two answers of one participant's verbs, of those that poll, when it was not stopped: as the clock has it.
    pub stall: Summary,
    /// The same, less the time in which it had no core, be it that the kernel or, while it did not sleep, a hypervisor gave it
    /// to another.
    pub net_stall: Summary,
    /// How many of these took longer than the 5 ms of the goal for a stall.
    pub net_over_5_ms: u64,
    /// Steps of the protocol between two answers, in a build that counts them.
    pub steps: Option<Steps>,
    /// The longest time without a delivery while on both sides somebody had a core, or slept and wanted none; the first 20 ms
    /// of each silence are not counted.
    pub net_silence: Duration,
    /// What the hypervisor took of all cores together meanwhile; the kernel counts it in hundredths of a second.
    pub stolen: Duration,
}

impl std::fmt::Display for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Steps { most, took, in_over_5_ms } = self;
        write!(f, "at most {most}")?;
        if !took.is_zero() {
            write!(f, ", in {took:.1?}")?;
        }
        write!(f, "; {in_over_5_ms} where one took longer than 5 ms")
    }
}

impl Verdict {
    /// A row for the table in docs/failure-model.md.
    #[must_use]
    pub fn row(&self) -> String {
        let Verdict { plan, tally, times, .. } = self;
        format!(
            "| storm, {:?} {} x {}, {:?} and {:?}, {:.0} s (`--seed {}`) | {} kills, {} stops, {} messages; {} gone with killed \
             receivers, {} redelivered | lost {}, doubled {}, torn {}, out of order {}, never sent {}; capacity {} and {}; \
             longest stall of a live participant {:.1?}, longest without want of a core {:.1?}, {} longer than 5 ms{}; {:.1?} \
             stolen by the hypervisor; {} |",
            plan.kind,
            plan.senders,
            plan.receivers,
            plan.put,
            plan.take,
            self.took.as_secs_f64(),
            plan.seed,
            self.killed,
            self.stopped,
            tally.received,
            tally.in_hands,
            tally.redelivered,
            tally.lost,
            tally.duplicated,
            tally.torn,
            tally.out_of_order,
            tally.phantom,
            self.capacity.0,
            self.capacity.1,
            times.stall.max,
            times.net_stall.max,
            times.net_over_5_ms,
            times.steps.map_or_else(String::new, |steps| format!("; steps of one answer: {steps}")),
            times.stolen,
            if self.is_sound() { "sound" } else { "**VIOLATED**" },
        )
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Verdict { plan, tally, times, .. } = self;
        let mut line = |name: &str, value: &dyn std::fmt::Display| writeln!(f, "  {name:<28}{value}");
        let verdict = match (self.is_sound(), self.complete) {
            (true, true) => "sound",
            (true, false) => "sound, but ended before the plan was done",
            _ => "VIOLATED",
        };
        line("verdict", &verdict)?;
        let Plan { kind, senders, receivers, put, take, waiting, .. } = plan;
        line("ring", &format!("{kind:?} {senders} x {receivers}, {put:?}, {take:?}, waiting {waiting:?}"))?;
        line("seed", &plan.seed)?;
        line("took", &format!("{:.1?}", self.took))?;
        line("killed", &self.killed)?;
        for (doing, count) in &times.killed_in {
            line("", &format!("{count} in {doing:?}"))?;
        }
        line("stopped and continued", &self.stopped)?;
        line("sent", &format!("{}, and {} by the killed", tally.sent, tally.sent_by_the_killed))?;
        line("received", &tally.received)?;
        line("gone with killed receivers", &tally.in_hands)?;
        line("redelivered", &tally.redelivered)?;
        line("lost", &tally.lost)?;
        line("doubled", &tally.duplicated)?;
        line("torn", &tally.torn)?;
        line("out of order", &tally.out_of_order)?;
        line("never sent", &tally.phantom)?;
        line("capacity", &format!("{} before, {} after", self.capacity.0, self.capacity.1))?;
        line("descriptors", &format!("{} before, {} after", self.descriptors.0, self.descriptors.1))?;
        line("between two answers", &times.stall)?;
        line("  without want of a core", &times.net_stall)?;
        line("  longer than 5 ms", &times.net_over_5_ms)?;
        if let Some(steps) = &times.steps {
            line("  steps of one answer", steps)?;
        }
        line("longest silence", &format!("{:.1?}", self.worst_stall))?;
        line("  without want of a core", &format!("{:.1?}, behind the first 20 ms", times.net_silence))?;
        line("stolen by the hypervisor", &format!("{:.1?} of all cores together", times.stolen))?;
        line("from kill to delivery", &times.delivery)?;
        line("from kill to successor", &times.successor)?;
        self.failures.iter().try_for_each(|what| line("FAILED", what))?;
        tally.evidence.iter().take(5).try_for_each(|what| line("evidence", &format!("{what:?}")))
    }
}
