//! Where pods reach without being masqueraded, by what the daemon knows: set as a whole, written as the
//! difference.
//!
//! The prefixes become intervals that neither overlap nor touch, and only intervals that change are
//! written. What others do to the sets between two calls is not looked for as long as the table is the same:
//! the kernel would have to list half a million intervals every time a route changes.

use super::intervals::Intervals;
use super::layout::{self, EXEMPT};
use super::message::{Scope, Transaction};
use super::{ATTEMPTS, DOUBTS, Nftables, is_outdated, is_race};
use crate::kernel::Error;
use crate::prefix::{Family, Prefix};

/// What the sets of a table hold.
#[derive(Debug)]
pub(super) struct Written {
    /// The table.
    handle: u64,
    /// By family.
    intervals: [Intervals; 2],
}

/// Groups of receivers: a source that sends there is never translated by anybody (RFC 5771, RFC 4291 §2.7).
const GROUPS: [(&str, Family); 2] = [("224.0.0.0/4", Family::Ipv4Unicast), ("ff00::/8", Family::Ipv6Unicast)];

/// The groups of every family.
pub fn groups() -> Vec<Prefix> {
    GROUPS.iter().filter_map(|(text, _)| text.parse().ok()).collect()
}

impl Nftables {
    /// Sets where to traffic of pods is not masqueraded, beside their own networks: pod CIDRs of the
    /// cluster, what the routers have told of. All in one transaction. Makes the table if it is not there,
    /// and from then on it stays until [`Nftables::remove_all`].
    ///
    /// Groups of receivers are always among it. A default route should not be: nothing would be masqueraded.
    ///
    /// # Errors
    /// The kernel refuses. Then nothing is changed.
    pub fn set_exempt(&mut self, prefixes: &[Prefix]) -> Result<(), Error> {
        let groups = groups();
        let wanted = Family::ALL.map(|family| Intervals::of(family, prefixes.iter().chain(&groups)));
        let mut doubts = 0;
        for _ in 0..ATTEMPTS {
            let generation = self.generation()?;
            let handle = self.handle(Scope::Inet)?;
            let found = match (handle, self.exempt.take()) {
                (Some(handle), Some(written)) if written.handle == handle => written.intervals,
                (Some(_), _) => self.read_exempt()?,
                (None, _) => [Intervals::default(), Intervals::default()],
            };
            let mut transaction = Transaction::begin(Some(generation));
            if handle.is_none() {
                layout::build(&mut transaction, Scope::Inet);
            }
            for ((family, found), wanted) in Family::ALL.into_iter().zip(&found).zip(&wanted) {
                let (removed, added) = found.changes(wanted);
                let set = EXEMPT.of(family);
                transaction.remove_elements(layout::TABLE, set, &removed.elements(family));
                transaction.add_elements(layout::TABLE, set, &added.elements(family));
            }
            if !transaction.is_empty() {
                match self.commit(transaction) {
                    Ok(()) => {}
                    // Somebody has changed something. What is known of this table is still so: to list it all
                    // again would take longer than others take for their next change.
                    Err(refusal) if is_outdated(&refusal) => {
                        self.exempt = handle.map(|handle| Written { handle, intervals: found });
                        continue;
                    }
                    // Somebody has changed the sets.
                    Err(refusal) if is_race(&refusal) && doubts < DOUBTS => {
                        doubts += 1;
                        self.repair()?;
                        continue;
                    }
                    Err(refusal) => return Err(refusal.to("set what is not masqueraded")),
                }
            }
            let handle = match handle {
                Some(handle) => Some(handle),
                None => self.handle(Scope::Inet)?,
            };
            self.exempt = handle.map(|handle| Written { handle, intervals: wanted });
            return Ok(());
        }
        Err(Error::Contended { what: "set what is not masqueraded" })
    }

    fn read_exempt(&mut self) -> Result<[Intervals; 2], Error> {
        let mut read = [Intervals::default(), Intervals::default()];
        for (family, read) in Family::ALL.into_iter().zip(&mut read) {
            *read = Intervals::read(family, &self.elements(EXEMPT.of(family))?.unwrap_or_default());
        }
        Ok(read)
    }
}
