//! Audit: what the kernel was found to hold against what is desired. Changes nothing.

use std::borrow::Cow;
use std::fmt;

use super::entries::Entry;
use super::route::{Found, Route, Target};
use super::table::Fib;
use crate::prefix::Prefix;

/// A prefix for which the kernel does not hold what is desired.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Destination.
    pub prefix: Prefix,
    /// The kernel's priority.
    pub metric: u32,
    /// What should be; `None` for no route.
    pub desired: Option<Target>,
    /// What is; `None` for no route.
    pub held: Option<Target>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} metric {}: should be ", self.prefix, self.metric)?;
        match &self.desired {
            Some(target) => write!(f, "{target}, the kernel has ")?,
            None => write!(f, "nothing, the kernel has ")?,
        }
        match &self.held {
            Some(target) => write!(f, "{target}"),
            None => write!(f, "nothing of ours"),
        }
    }
}

impl Fib {
    /// Where the kernel, as found, differs from what is desired. A route kept from before the start counts as
    /// desired. In order of prefix and metric.
    pub fn audit(&self, found: &Found) -> Vec<Difference> {
        let mut differences = vec![];
        let mut held: Vec<Option<&Target>> = vec![None; self.entries.room()];
        for Route { prefix, metric, target, .. } in &found.routes {
            match self.entries.find((*prefix, *metric)) {
                Some(place) => held[place as usize] = Some(target),
                None => differences.push(Difference {
                    prefix: *prefix,
                    metric: *metric,
                    desired: None,
                    held: Some(target.clone()),
                }),
            }
        }
        for (place, entry) in self.entries.iter() {
            let (desired, held) = (self.desired_target(entry), held[place as usize]);
            if desired.as_deref() != held {
                let ((prefix, metric), held) = (entry.key, held.cloned());
                let desired = desired.map(Cow::into_owned);
                differences.push(Difference { prefix, metric, desired, held });
            }
        }
        differences.sort_unstable();
        differences
    }

    /// What packets are to meet. A route kept from before the start stays what it is.
    pub(super) fn desired_target(&self, entry: &Entry) -> Option<Cow<'_, Target>> {
        match entry.desired {
            0 if entry.stale => self.target_of(&entry.held).map(Cow::Owned),
            0 => None,
            plan => Some(Cow::Borrowed(&**self.plans.target(plan))),
        }
    }
}
