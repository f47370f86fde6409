//! Which addresses were released a moment ago.
//!
//! Others may still take such an address for the pod that had it: in their tables of peers on the
//! link, in connections they track. So it rests, as long as there is another one to give.
//!
//! The file `resting` has a line for each release, the last at the end: seconds since 1970 and the
//! address. It is a hint: without it, addresses are given all the same, in turn.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::Error;
use super::disk::Disk;

/// The file.
const FILE: &str = "resting";

/// How long an address rests: what the kernel gives an unanswered UDP flow in its table of
/// connections (`nf_conntrack_udp_timeout`), and about what it takes an entry of a neighbour table
/// to be asked about again (`base_reachable_time_ms`, RFC 4861 §10).
pub const REST: Duration = Duration::from_secs(30);

/// When the file has more octets, lines that are over are dropped.
const TIDY_AT: u64 = 4096;

/// At most so many lines stay then: of more releases than these within [`REST`] the last ones rest.
const MOST: usize = 1024;

/// The file as read, and when.
#[derive(Debug)]
pub(super) struct Resting {
    text: String,
    now: u64,
}

impl Resting {
    pub(super) fn read(disk: &Disk) -> Result<Resting, Error> {
        Ok(Resting { text: disk.read(FILE)?.unwrap_or_default(), now: now() })
    }

    /// Whether the address was released less than [`REST`] ago.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        if self.text.is_empty() {
            return false;
        }
        let Some(end) = self.text.rfind(&format!(" {address}\n")) else { return false };
        let start = self.text[..end].rfind('\n').map_or(0, |at| at + 1);
        self.text[start..end].parse().is_ok_and(|then| is_recent(then, self.now))
    }

    /// All addresses in the file, the one that has rested longest first.
    pub(super) fn in_order(&self) -> Vec<IpAddr> {
        let released = self.text.lines().rev().filter_map(|line| line.split_once(' ')?.1.parse().ok());
        let mut seen = BTreeSet::new();
        let mut order: Vec<IpAddr> = released.filter(|address| seen.insert(*address)).collect();
        order.reverse();
        order
    }

    /// Notes that addresses have been released.
    pub(super) fn note(disk: &Disk, addresses: &[IpAddr]) -> Result<(), Error> {
        let now = now();
        let lines: String = addresses.iter().map(|address| format!("{now} {address}\n")).collect();
        if lines.is_empty() || disk.append(FILE, &lines)? <= TIDY_AT {
            return Ok(());
        }
        let text = disk.read(FILE)?.unwrap_or_default();
        let recent = |line: &&str| {
            line.split_once(' ').is_some_and(|(then, _)| then.parse().is_ok_and(|then| is_recent(then, now)))
        };
        let lines: Vec<&str> = text.lines().filter(recent).collect();
        let kept = &lines[lines.len().saturating_sub(MOST)..];
        if lines.len() > MOST / 2 && kept.len() == text.lines().count() {
            return Ok(());
        }
        disk.overwrite(FILE, &kept.iter().map(|line| format!("{line}\n")).collect::<String>())
    }
}

/// A clock that has been set back must not make an address rest for a year.
fn is_recent(then: u64, now: u64) -> bool {
    now.abs_diff(then) < REST.as_secs()
}

#[allow(clippy::disallowed_methods, reason = "the shell may ask the time")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
