//! The reservation directory of one network: who holds which address. The format is described in
//! [`super`].
//!
//! Every operation holds the directory's lock from beginning to end.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use super::boot::BootId;
use super::choose::{choose, last_reserved};
use super::disk::Disk;
use super::index::{Scan, repair};
use super::lock::{self, Lock};
use super::owner::{Named, Record};
use super::resting::Resting;
use super::{Error, Origin, Owner, Range, RangeSet};

/// The file whose lock is the store's.
const LOCK: &str = "lock";

/// An address given to an owner, with the range it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The address.
    pub address: IpAddr,
    /// Its range: prefix length and gateway.
    pub range: Range,
}

/// An address file as found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The address.
    pub address: IpAddr,
    /// Who holds it; `None` if the file names no owner.
    pub owner: Option<Owner>,
}

/// How far a range set is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Addresses the set may give out at all.
    pub size: u128,
    /// How many of them are taken.
    pub taken: u64,
    /// How many are not.
    pub free: u128,
}

/// The reservation directory of one network.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) disk: Disk,
    boot: Option<BootId>,
    namespace: Option<u64>,
}

impl Store {
    /// The store of `network` under `data_dir`. Touches nothing yet.
    pub fn new(data_dir: impl AsRef<Path>, network: &str) -> Store {
        let disk = Disk::new(data_dir.as_ref().join(network));
        Store { disk, boot: BootId::current(), namespace: None }
    }

    /// The same store; what it allocates is noted as for a container in the network namespace with
    /// this inode number, so that a sweep can tell whether the container is gone.
    #[must_use]
    pub fn for_namespace(self, inode: Option<u64>) -> Store {
        Store { namespace: inode, ..self }
    }

    /// The same store in another boot of the machine.
    #[cfg(test)]
    pub(super) fn at_boot(self, boot: Option<BootId>) -> Store {
        Store { boot, ..self }
    }

    /// Gives `owner` one address out of each range set, or none at all. Addresses in `requested`
    /// are given as asked; each range set that offers none of them gives its next free one.
    ///
    /// # Errors
    /// The owner holds addresses already, a range is exhausted, a requested address is not to be
    /// had, or the directory cannot be written. Nothing is reserved then.
    pub fn allocate(
        &self,
        owner: &Owner,
        sets: &[RangeSet],
        requested: &[IpAddr],
    ) -> Result<Vec<Allocation>, Error> {
        let _lock = self.lock_made()?;
        let scan = self.settle()?;
        self.refuse_second(owner, scan.as_ref())?;
        let chosen = choose(&self.disk, sets, requested)?;
        match self.reserve(owner, &chosen) {
            Ok(()) => {
                if scan.is_none() {
                    self.renew_seal();
                }
                Ok(chosen)
            }
            Err(error) => {
                // The first error is the one to report. What cannot be removed now is not sealed
                // either: whoever comes next finds it.
                let _ = self.release_locked(owner);
                Err(error)
            }
        }
    }

    /// Takes back every address of `owner` and says which. An owner that holds none is no error,
    /// nor is a directory that does not exist. Other owners' addresses stay, whatever the index says.
    ///
    /// # Errors
    /// The directory cannot be read or written. Everything that could be taken back has been.
    pub fn release(&self, owner: &Owner) -> Result<Vec<IpAddr>, Error> {
        let Some(_lock) = self.lock()? else { return Ok(Vec::new()) };
        self.release_locked(owner)
    }

    /// Every reservation of the network, in order of address. Reads every file.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn reservations(&self) -> Result<Vec<Reservation>, Error> {
        let Some(_lock) = self.lock()? else { return Ok(Vec::new()) };
        let scan = match self.settle()? {
            Some(unsound) => unsound,
            None => Scan::read(&self.disk)?,
        };
        let reservation = |(address, named)| {
            let owner = if let Named::Owner(owner) = named { Some(owner) } else { None };
            Reservation { address, owner }
        };
        Ok(scan.named.into_iter().map(reservation).collect())
    }

    /// Everybody who holds an address and can be asked for. Reads no address file.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn owners(&self) -> Result<BTreeSet<Owner>, Error> {
        let Some(_lock) = self.lock()? else { return Ok(BTreeSet::new()) };
        match self.settle()? {
            Some(unsound) => Ok(unsound.owners().cloned().collect()),
            None => Ok(self.disk.records()?.iter().filter_map(|name| Owner::of_record(name)).collect()),
        }
    }

    /// The addresses `owner` holds.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn held_by(&self, owner: &Owner) -> Result<Vec<IpAddr>, Error> {
        let Some(_lock) = self.lock()? else { return Ok(Vec::new()) };
        self.held(owner, self.settle()?.as_ref())
    }

    /// Whether each range set has a free address left.
    ///
    /// # Errors
    /// One has not, or the directory cannot be read.
    pub fn has_room(&self, sets: &[RangeSet]) -> Result<(), Error> {
        let Some(_lock) = self.lock()? else { return Ok(()) };
        choose(&self.disk, sets, &[]).map(drop)
    }

    /// All addresses that are taken, in order, for statistics: one listing, no file read, and nobody
    /// has to wait for it. What changes meanwhile may or may not be in it.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn taken(&self) -> Result<Vec<IpAddr>, Error> {
        self.disk.taken()
    }

    /// How far each range set is used; as [`Store::taken`].
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn usage(&self, sets: &[RangeSet]) -> Result<Vec<Usage>, Error> {
        let taken = self.taken()?;
        let usage = |set: &RangeSet| {
            let taken = taken.iter().filter(|address| set.range_of(**address).is_some()).count() as u64;
            let size = set.size();
            Usage { size, taken, free: size - u128::from(taken) }
        };
        Ok(sets.iter().map(usage).collect())
    }

    /// The lock; `None` where nothing was ever reserved: everybody makes the lock's file first. So
    /// there is nothing to release where a full disk has no room for it.
    pub(super) fn lock(&self) -> Result<Option<Lock>, Error> {
        match lock::take(&self.disk.path(LOCK), false, lock::PATIENCE)? {
            None if self.disk.taken()?.is_empty() => Ok(None),
            None => self.lock_made().map(Some),
            lock => Ok(lock),
        }
    }

    /// The lock, in a directory made if need be.
    fn lock_made(&self) -> Result<Lock, Error> {
        let path = self.disk.path(LOCK);
        if let Some(lock) = lock::take(&path, true, lock::PATIENCE)? {
            return Ok(lock);
        }
        self.disk.create()?;
        let vanished = || Error::io("open", &path)(ErrorKind::NotFound.into());
        lock::take(&path, true, lock::PATIENCE)?.ok_or_else(vanished)
    }

    /// Sees to it that the records are true: reads and repairs everything unless the seal says that
    /// nothing has changed since that was last done. Returns what was read if not everything could be
    /// repaired: the records are not to be relied on then.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub(super) fn settle(&self) -> Result<Option<Scan>, Error> {
        if self.disk.is_sealed(self.boot) {
            return Ok(None);
        }
        let mut scan = Scan::read(&self.disk)?;
        let sealed = repair(&self.disk, &mut scan, self.boot).and_then(|()| self.disk.seal(self.boot));
        // A disk that is full or broken in one place still has addresses to release.
        Ok(if sealed.is_ok() { None } else { Some(scan) })
    }

    /// Whether a record is of a boot before this one.
    pub(super) fn is_of_older_boot(&self, record: &Record) -> bool {
        matches!((record.boot, self.boot), (Some(then), Some(now)) if then != now)
    }

    /// An owner holds addresses once. Those of an older boot were another container's, which had the
    /// same name, as containers have that are started again at boot; they are taken back.
    fn refuse_second(&self, owner: &Owner, scan: Option<&Scan>) -> Result<(), Error> {
        let held = self.held(owner, scan)?;
        let Some(address) = held.first() else { return Ok(()) };
        let record = owner.record().map(|name| self.disk.record(&name)).transpose()?.flatten();
        if record.and_then(|text| Record::parse(&text)).is_some_and(|record| self.is_of_older_boot(&record)) {
            return self.release_locked(owner).map(drop);
        }
        Err(Error::Duplicate {
            address: *address,
            container_id: owner.container_id.clone(),
            interface: owner.interface.clone(),
        })
    }

    /// Puts the chosen addresses on disk. The first draft breaks the seal, and the last act of an
    /// operation renews it: whatever happens between is found by the next one.
    fn reserve(&self, owner: &Owner, chosen: &[Allocation]) -> Result<(), Error> {
        let Some(name) = owner.record() else {
            let why = "neither part of an owner may hold a colon, a slash or white space".to_owned();
            return Err(Error::Owner { owner: owner.clone(), why });
        };
        let addresses = chosen.iter().map(|allocation| allocation.address).collect();
        let origin = Origin::Ours { namespace: self.namespace };
        let record = Record { addresses, boot: self.boot, origin };
        self.disk.draft(&owner.line())?;
        self.disk.write_record(&name, &record.text())?;
        for (index, allocation) in chosen.iter().enumerate() {
            if index > 0 {
                self.disk.draft(&owner.line())?;
            }
            self.disk.publish(&allocation.address.to_string())?;
        }
        for (index, allocation) in chosen.iter().enumerate() {
            // Only where to look first the next time.
            let _ = self.disk.overwrite(&last_reserved(index), &allocation.address.to_string());
        }
        Ok(())
    }

    pub(super) fn release_locked(&self, owner: &Owner) -> Result<Vec<IpAddr>, Error> {
        let scan = self.settle()?;
        let (candidates, records) = self.candidates(owner, scan.as_ref())?;
        let mut released = Vec::new();
        let mut failure = None;
        for address in candidates {
            match self.release_if_held(owner, address) {
                Ok(true) => released.push(address),
                Ok(false) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if let Some(error) = failure {
            // The records stay: they are what the next attempt goes by.
            return Err(error);
        }
        for name in &records {
            self.disk.remove_record(name)?;
        }
        if !released.is_empty() {
            // A rest is not worth an error: the addresses are free.
            let _ = Resting::note(&self.disk, &released);
            if scan.is_none() {
                self.renew_seal();
            }
        }
        Ok(released)
    }

    fn release_if_held(&self, owner: &Owner, address: IpAddr) -> Result<bool, Error> {
        Ok(self.is_held(owner, address)? && self.disk.remove(&address.to_string())?)
    }

    /// Addresses that `owner` may hold, and the names of the records that say so. Where the records
    /// are not to be relied on, the files themselves have been read.
    fn candidates(&self, owner: &Owner, scan: Option<&Scan>) -> Result<(Vec<IpAddr>, Vec<String>), Error> {
        let mut addresses = scan.map(|scan| scan.held_by(owner)).unwrap_or_default();
        let mut records = Vec::new();
        for name in [owner.record(), owner.container().record()].into_iter().flatten() {
            if let Some(text) = self.disk.record(&name)? {
                addresses.extend(Record::parse(&text).into_iter().flat_map(|record| record.addresses));
                records.push(name);
            }
        }
        Ok((addresses, records))
    }

    /// The addresses whose files name `owner`.
    fn held(&self, owner: &Owner, scan: Option<&Scan>) -> Result<Vec<IpAddr>, Error> {
        let mut held = Vec::new();
        for address in self.candidates(owner, scan)?.0 {
            if self.is_held(owner, address)? && !held.contains(&address) {
                held.push(address);
            }
        }
        Ok(held)
    }

    fn is_held(&self, owner: &Owner, address: IpAddr) -> Result<bool, Error> {
        let content = self.disk.read(&address.to_string())?;
        Ok(content.is_some_and(|content| owner.is(&Named::of(&content))))
    }

    /// Seals the directory after an operation that left everything in order. Without a seal it is
    /// still in order, and the next operation looks for itself.
    fn renew_seal(&self) {
        let _ = self.disk.seal(self.boot);
    }
}
