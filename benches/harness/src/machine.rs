//! What the figures were taken on, and when.
#![forbid(unsafe_code)]

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::cores::Cores;

/// The machine, as far as it explains figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's own name.
    pub cpu: String,
    /// Whether it runs under a hypervisor, which may move and pause its cores.
    pub virtual_machine: bool,
    /// Cores the processes could use.
    pub allowed_cores: usize,
    /// The two they were pinned to: starting process, answering process. None: not pinned.
    pub cores: Option<[usize; 2]>,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This one. What cannot be found out is said to be unknown.
    pub fn this(cores: Cores) -> Machine {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| cpu_field(&info, name);
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        Machine {
            cpu: field("model name").or_else(|| field("Hardware")).unwrap_or("unknown").to_string(),
            virtual_machine: field("flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            allowed_cores: crate::cores::allowed().map_or(0, |cores| cores.len()),
            cores: cores.pair(),
            kernel: release.map_or_else(|_| "unknown".into(), |release| release.trim().to_string()),
        }
    }
}

/// The first core's `name : value`.
fn cpu_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// Now, in UTC, as `2026-01-31T23:59:59Z`.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    timestamp(since.as_secs())
}

/// The civil date of a second since 1970. Days are counted from 1 March of year 0, so that leap days come last.
fn timestamp(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(timestamp(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(timestamp(1_798_761_600), "2027-01-01T00:00:00Z");
    }

    #[test]
    fn the_processor_is_named() {
        let info = "processor\t: 0\nmodel name\t: Some CPU: fast\nflags\t\t: fpu hypervisor sse\n";
        assert_eq!(cpu_field(info, "model name"), Some("Some CPU: fast"));
        assert_eq!(cpu_field(info, "Hardware"), None);
        assert!(!Machine::this(Cores::Unpinned).cpu.is_empty());
    }
}
