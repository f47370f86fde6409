//! The sweep: frees what attachments hold that are gone without a DEL.
//!
//! Policy and store only. Whether an attachment lives is for the caller to say, who knows the kernel.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::owner::Record;
use super::{Allocation, Error, Origin, Owner, RangeSet, Store};

/// How old a reservation must be before it is taken for one that was left behind, if the caller has no
/// reason for another time: an ADD reserves first and attaches then. Longer than any runtime lets an
/// ADD take (the kubelet gives a whole sandbox two minutes).
pub const GRACE: Duration = Duration::from_secs(300);

/// What the store knows of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The owner.
    pub owner: Owner,
    /// What it holds.
    pub addresses: Vec<IpAddr>,
    /// Who made the reservation, and for which network namespace.
    pub origin: Origin,
    /// Whether it is from before the machine booted: its network namespace is gone for certain.
    pub is_of_older_boot: bool,
    /// When the store first knew of it.
    since: SystemTime,
    /// The record as read, to see later whether it is still that one.
    text: String,
}

/// Whether an attachment is still there, as far as the caller can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Its interface or its network namespace is there.
    Alive,
    /// Neither is.
    Gone,
    /// Nothing says so or otherwise.
    Unknown,
}

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Those whose addresses are free now.
    pub freed: Vec<Holding>,
    /// How many owners keep theirs.
    pub kept: usize,
    /// What could not be freed, and why; the next sweep tries again.
    pub failures: Vec<Error>,
}

impl Holding {
    /// Whether the addresses are to be freed: those of an attachment that is gone, once the ADD that
    /// may still be making it has had its time, and those of an older boot unless it is seen alive.
    pub fn is_left_behind(&self, life: Life, now: SystemTime, grace: Duration) -> bool {
        // A reservation from the future is as young as can be: the clock has been set back.
        let is_old = now.duration_since(self.since).is_ok_and(|age| age >= grace);
        match life {
            Life::Alive => false,
            Life::Gone => self.is_of_older_boot || is_old,
            Life::Unknown => self.is_of_older_boot,
        }
    }
}

impl Store {
    /// Everything held, by owner. Reservations that name no owner a runtime could ask for are not in
    /// it: nobody can say whether they live.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn holdings(&self) -> Result<Vec<Holding>, Error> {
        let Some(_lock) = self.lock()? else { return Ok(Vec::new()) };
        self.settle()?;
        let mut holdings = Vec::new();
        for name in self.disk.records()? {
            if let Some(owner) = Owner::of_record(&name) {
                holdings.extend(self.holding(owner, &name)?);
            }
        }
        holdings.sort_by(|a, b| a.owner.cmp(&b.owner));
        Ok(holdings)
    }

    fn holding(&self, owner: Owner, name: &str) -> Result<Option<Holding>, Error> {
        let Some(text) = self.disk.record(name)? else { return Ok(None) };
        let (Some(record), Some(since)) = (Record::parse(&text), self.disk.record_time(name)) else {
            return Ok(None);
        };
        let is_of_older_boot = self.is_of_older_boot(&record);
        let Record { addresses, origin, .. } = record;
        Ok(Some(Holding { owner, addresses, origin, is_of_older_boot, since, text }))
    }

    /// Frees the addresses of owners that are gone.
    ///
    /// `life` is asked about every owner while the lock is free, and may take its time; `cni::life`
    /// answers it. [`Holding::is_left_behind`] has the rule. What changes hands meanwhile is left alone.
    ///
    /// # Errors
    /// The directory cannot be read. That single owners could not be freed is in the result.
    pub fn sweep(&self, grace: Duration, mut life: impl FnMut(&Holding) -> Life) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        for holding in self.holdings()? {
            if !holding.is_left_behind(life(&holding), now(), grace) {
                swept.kept += 1;
                continue;
            }
            match self.release_unchanged(&holding) {
                Ok(true) => swept.freed.push(holding),
                Ok(false) => swept.kept += 1,
                Err(error) => swept.failures.push(error),
            }
        }
        Ok(swept)
    }

    /// Frees a holding if it is still the one that was looked at.
    fn release_unchanged(&self, holding: &Holding) -> Result<bool, Error> {
        let Some(_lock) = self.lock()? else { return Ok(false) };
        let name = holding.owner.record().unwrap_or_default();
        if self.holding(holding.owner.clone(), &name)?.as_ref() != Some(holding) {
            return Ok(false);
        }
        self.release_locked(&holding.owner).map(|_| true)
    }

    /// [`Store::has_room`], where addresses that a sweep would free count as free. `life` is asked only
    /// if there is no other room. Frees nothing.
    ///
    /// # Errors
    /// As [`Store::has_room`].
    pub fn has_room_after_sweep(
        &self,
        sets: &[RangeSet],
        mut life: impl FnMut(&Holding) -> Life,
    ) -> Result<(), Error> {
        let Err(shortage) = self.has_room(sets) else { return Ok(()) };
        if !shortage.is_shortage() {
            return Err(shortage);
        }
        let holdings = self.holdings()?;
        let left_behind = holdings.iter().filter(|h| h.is_left_behind(life(h), now(), GRACE));
        let freed: Vec<IpAddr> = left_behind.flat_map(|h| h.addresses.iter().copied()).collect();
        let has_room = |set: &RangeSet| {
            freed.iter().any(|address| set.range_of(*address).is_some())
                || self.has_room(std::slice::from_ref(set)).is_ok()
        };
        if sets.iter().all(has_room) { Ok(()) } else { Err(shortage) }
    }

    /// [`Store::allocate`], with a sweep before giving up for want of addresses. `life` is asked only
    /// then.
    ///
    /// # Errors
    /// As [`Store::allocate`].
    pub fn allocate_sweeping(
        &self,
        owner: &Owner,
        sets: &[RangeSet],
        requested: &[IpAddr],
        life: impl FnMut(&Holding) -> Life,
    ) -> Result<Vec<Allocation>, Error> {
        match self.allocate(owner, sets, requested) {
            Err(shortage) if shortage.is_shortage() => match self.sweep(GRACE, life) {
                Ok(swept) if !swept.freed.is_empty() => self.allocate(owner, sets, requested),
                _ => Err(shortage),
            },
            outcome => outcome,
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the shell may ask the time")]
fn now() -> SystemTime {
    SystemTime::now()
}
