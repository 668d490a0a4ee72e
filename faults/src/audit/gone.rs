//! Which missing messages killed receivers can have taken with them: each death explains at most as many as the victim
//! reached for, and only those that could be taken while it reached. So one loss cannot hide behind a death elsewhere.

use super::messages::Window;
use std::collections::HashSet;

/// A receiver that was killed while it reached for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    /// From before its last verb to its end.
    pub(super) window: Window,
    /// How many it may have taken in it without having said so.
    pub(super) most: u64,
}

/// Of the missing messages, which no death explains: as few as possible, by a greatest matching.
pub(super) fn unexplained(missing: &[Window], deaths: &[Death]) -> Vec<usize> {
    let mut deaths = deaths.to_vec();
    deaths.sort_unstable_by_key(|death| death.window.until);
    // The longest any victim reached says how far to look: it began at most so long before its end.
    let longest = deaths.iter().map(|death| death.window.until - death.window.from).max().unwrap_or(0);
    let mut matching = Matching { missing, deaths: &deaths, longest, taken: vec![Vec::new(); deaths.len()] };
    (0..missing.len())
        .filter(|&message| {
            let mut tried = HashSet::new();
            !matching.place(message, &mut tried)
        })
        .collect()
}

struct Matching<'a> {
    missing: &'a [Window],
    deaths: &'a [Death],
    longest: u64,
    /// The messages that each death explains so far.
    taken: Vec<Vec<usize>>,
}

impl Matching<'_> {
    fn candidates(&self, message: usize) -> impl Iterator<Item = usize> + use<> {
        let Window { from, until } = self.missing[message];
        let first = self.deaths.partition_point(|death| death.window.until < from);
        let end =
            self.deaths.partition_point(|death| death.window.until <= until.saturating_add(self.longest));
        first..end
    }

    /// Finds a death for it, moving others if need be. `tried`: the deaths looked at.
    fn place(&mut self, message: usize, tried: &mut HashSet<usize>) -> bool {
        for death in self.candidates(message) {
            if self.deaths[death].window.from > self.missing[message].until || !tried.insert(death) {
                continue;
            }
            if (self.taken[death].len() as u64) < self.deaths[death].most {
                self.taken[death].push(message);
                return true;
            }
            // Bounded: one death has few messages, and each death is tried once.
            for i in 0..self.taken[death].len() {
                let other = self.taken[death][i];
                if self.place(other, tried) {
                    self.taken[death][i] = message;
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: u64, until: u64) -> Window {
        Window { from, until }
    }

    fn death(from: u64, until: u64, most: u64) -> Death {
        Death { window: window(from, until), most }
    }

    #[test]
    fn a_death_explains_what_could_be_taken_meanwhile_and_nothing_else() {
        let deaths = [death(10, 20, 1)];
        for (from, until, explained) in
            [(5, 9, false), (5, 10, true), (12, 14, true), (20, 99, true), (21, 99, false)]
        {
            let left = unexplained(&[window(from, until)], &deaths);
            assert_eq!(left.is_empty(), explained, "{from}..{until}");
        }
    }

    #[test]
    fn a_death_explains_as_many_as_were_reached_for() {
        let missing = [window(11, 12); 4];
        assert_eq!(unexplained(&missing, &[death(10, 20, 3)]).len(), 1);
        assert_eq!(unexplained(&missing, &[]).len(), 4);
        assert_eq!(unexplained(&missing, &[death(10, 20, 3), death(0, 11, 1)]).len(), 0);
    }

    #[test]
    fn one_that_has_a_choice_leaves_the_other_its_only_death() {
        // The first message has two deaths to choose from, the second only the earlier one.
        let missing = [window(0, 100), window(0, 11)];
        let deaths = [death(10, 20, 1), death(30, 40, 1)];
        assert!(unexplained(&missing, &deaths).is_empty());
    }
}
