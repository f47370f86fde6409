//! Where pods reach under their own addresses although they are masqueraded: what the objects say, and what the
//! routers have told of.
//!
//! Two write here. The [keeper](super::masquerade) says all of it from time to time; the thread that writes
//! routes adds where a new route leads to before that route is there. Were it done afterwards, a pod that
//! speaks in between would be translated, and stay so for as long as it goes on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::debug;

use crate::fib::{Batch, Change};
use crate::kernel::Error;
use crate::kernel::nftables::Nftables;
use crate::prefix::{self, Prefix};

/// Destinations learned that can be exempt. Beyond it none of them is, which still has every packet answered.
pub const MOST: usize = 8192;

/// The exempt destinations, for both who write them.
#[derive(Debug, Default)]
pub struct Exempt {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    nftables: Option<Nftables>,
    /// What the keeper said last, if learned destinations are to be among it.
    known: Option<Vec<Prefix>>,
    /// Where new routes lead to since the keeper began its round.
    new: Vec<Prefix>,
}

impl Exempt {
    /// Exempts where new routes of a batch lead to, if there is a table of ours. What fails here is made good
    /// in the keeper's next round.
    pub fn before(&self, batch: &Batch) {
        let mut new = batch.changes.iter().filter_map(destination).peekable();
        if new.peek().is_some() {
            self.lock().add(new);
        }
    }

    /// Begins a round: what is learned from now on need not be known to who is asked for it next.
    pub fn begin_round(&self) {
        self.lock().new.clear();
    }

    /// Says what is exempt: `told` by the objects, and `learned` unless that is none of it. The sets are
    /// written if `stands`, that is if there is a table, or there is to be one. Returns how many prefixes it is.
    ///
    /// # Errors
    /// The kernel refuses. Nothing is changed then.
    pub fn set(&self, told: &[Prefix], learned: Option<Vec<Prefix>>, stands: bool) -> Result<usize, Error> {
        let mut inner = self.lock();
        let with_learned = learned.is_some();
        let exempt = prefix::aggregate(told.iter().copied().chain(learned.unwrap_or_default()));
        inner.known = with_learned.then(|| exempt.clone());
        if stands { inner.write(&exempt) } else { Ok(exempt.len()) }
    }

    /// What is behind the lock is whole after each statement, also where a holder panicked.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, new: impl Iterator<Item = Prefix>) {
        let room = MOST.saturating_sub(self.new.len());
        self.new.extend(new.take(room));
        let Some(known) = self.known.clone().filter(|known| known.len() + self.new.len() < MOST) else {
            return;
        };
        let written = self.nftables().and_then(|nftables| nftables.table()).and_then(|table| match table {
            None => Ok(0),
            Some(_) => self.write(&known),
        });
        if let Err(error) = written {
            debug!("{error}; where new routes lead to is exempt a little later");
        }
    }

    /// Writes these and what is new.
    fn write(&mut self, exempt: &[Prefix]) -> Result<usize, Error> {
        let new = self.new.iter().copied().filter(|_| self.known.is_some());
        let all = prefix::aggregate(exempt.iter().copied().chain(new));
        match self.nftables()?.set_exempt(&all) {
            Ok(()) => Ok(all.len()),
            Err(error) => {
                // Whatever is wrong with the conversation, the next begins anew.
                self.nftables = None;
                Err(error)
            }
        }
    }

    fn nftables(&mut self) -> Result<&mut Nftables, Error> {
        match &mut self.nftables {
            Some(nftables) => Ok(nftables),
            none => Ok(none.insert(Nftables::open()?)),
        }
    }
}

/// Where a new route leads to. A default route is the way out of the cluster.
fn destination(change: &Change) -> Option<Prefix> {
    match change {
        Change::Install(route) if route.prefix.length() > 0 => Some(route.prefix),
        _ => None,
    }
}
