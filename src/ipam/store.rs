//! The reservation directory of one network: who holds which address. The format is described in
//! [`super`].
//!
//! Every operation holds the directory's lock from beginning to end; `flock` ends with its process,
//! however that ends.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::{Error, Range, RangeSet};

/// How many candidates are tried one by one before the whole directory is listed. Nearly always the
/// first is free, for allocation goes round: only after a full turn does it meet old reservations.
const PROBES: usize = 32;

const LOCK: &str = "lock";
const NEW: &str = ".new";
const OWNERS: &str = "owners";

/// Who holds an address: one interface of one container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The runtime's name of the container (`CNI_CONTAINERID`).
    pub container_id: String,
    /// The interface inside it (`CNI_IFNAME`).
    pub interface: String,
}

impl Owner {
    /// What an address file of this owner holds, as `host-local` writes it.
    fn line(&self) -> String {
        format!("{}\r\n{}", self.container_id, self.interface)
    }

    /// Name of the owner's record. Neither part may hold a colon, so no two owners share a name.
    fn record(&self) -> String {
        format!("{}:{}", self.container_id, self.interface)
    }

    /// Whether the content of an address file names this owner. The first versions of `host-local`
    /// wrote the container id alone.
    fn owns(&self, content: &str) -> bool {
        let content = content.trim();
        content == self.line() || content == self.container_id
    }
}

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
    /// Who holds it; `None` if the file names nobody. The interface is empty where `host-local`
    /// wrote none.
    pub owner: Option<Owner>,
}

/// The reservation directory of one network.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// The store of `network` under `data_dir`. Touches nothing yet.
    pub fn new(data_dir: impl AsRef<Path>, network: &str) -> Store {
        Store { directory: data_dir.as_ref().join(network) }
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
        let owners = self.directory.join(OWNERS);
        fs::create_dir_all(&owners).map_err(Error::io("create", &owners))?;
        let _lock = self.lock()?;
        self.refuse_second(owner)?;
        let chosen = self.choose(sets, requested)?;
        match self.reserve(owner, &chosen) {
            Ok(()) => Ok(chosen),
            Err(error) => {
                // The first error is the one to report. What cannot be removed now is named by the
                // record, and the owner's DEL will find it.
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
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        self.release_locked(owner)
    }

    /// Every reservation of the network, in order of address. Reads every file.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn reservations(&self) -> Result<Vec<Reservation>, Error> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        let mut found = Vec::new();
        for address in self.taken()? {
            let content = self.read(&address.to_string())?.unwrap_or_default();
            let mut lines = content.split_whitespace();
            let owner = lines.next().map(|container_id| Owner {
                container_id: container_id.to_owned(),
                interface: lines.next().unwrap_or_default().to_owned(),
            });
            found.push(Reservation { address, owner });
        }
        Ok(found)
    }

    /// Everybody who holds something here: an address, or a record that a DEL which was killed could
    /// not remove any more. Reads every address file.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn owners(&self) -> Result<BTreeSet<Owner>, Error> {
        let reservations = self.reservations()?;
        let mut owners: BTreeSet<Owner> = reservations.into_iter().filter_map(|r| r.owner).collect();
        let records = self.directory.join(OWNERS);
        for name in names(&records)? {
            if let Some((container_id, interface)) = name.split_once(':') {
                owners.insert(Owner { container_id: container_id.into(), interface: interface.into() });
            }
        }
        Ok(owners)
    }

    /// The addresses `owner` holds. Without a record of ours, reads every file.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn held_by(&self, owner: &Owner) -> Result<Vec<IpAddr>, Error> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        self.held(owner, &self.candidates(owner)?)
    }

    /// Whether each range set has a free address left.
    ///
    /// # Errors
    /// One has not, or the directory cannot be read.
    pub fn has_room(&self, sets: &[RangeSet]) -> Result<(), Error> {
        if !self.exists()? {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.choose(sets, &[]).map(drop)
    }

    /// Whether anything was ever reserved. Not being able to tell is no "no": a release would then
    /// be taken for done.
    fn exists(&self) -> Result<bool, Error> {
        self.directory.try_exists().map_err(Error::io("look for", &self.directory))
    }

    fn lock(&self) -> Result<File, Error> {
        let path = self.directory.join(LOCK);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        file.lock().map_err(Error::io("lock", &path))?;
        Ok(file)
    }

    fn refuse_second(&self, owner: &Owner) -> Result<(), Error> {
        // What host-local reserved is not looked for: it would cost every first ADD a reading of all
        // files, to find a fault of the runtime that the pod's interface shows as well.
        match self.held(owner, &self.recorded(owner)?.unwrap_or_default())?.first() {
            None => Ok(()),
            Some(address) => Err(Error::Duplicate {
                address: *address,
                container_id: owner.container_id.clone(),
                interface: owner.interface.clone(),
            }),
        }
    }

    /// One free address for each set; reserves nothing.
    fn choose(&self, sets: &[RangeSet], requested: &[IpAddr]) -> Result<Vec<Allocation>, Error> {
        if let Some(address) = requested.iter().find(|a| sets.iter().all(|s| s.range_of(**a).is_none())) {
            let why = "is in none of the ranges, or is not for pods".to_owned();
            return Err(Error::Requested { address: *address, why });
        }
        let choose_one = |(index, set): (usize, &RangeSet)| {
            let asked = requested.iter().find_map(|a| Some((*a, set.range_of(*a)?)));
            match asked {
                Some((address, _)) if self.is_taken(address) => {
                    Err(Error::Requested { address, why: "is taken".to_owned() })
                }
                Some((address, range)) => Ok(Allocation { address, range: range.clone() }),
                None => self.next_free(index, set),
            }
        };
        sets.iter().enumerate().map(choose_one).collect()
    }

    fn next_free(&self, index: usize, set: &RangeSet) -> Result<Allocation, Error> {
        let last = self.read(&last_reserved(index))?.and_then(|text| text.trim().parse().ok());
        let give = |(address, range): (IpAddr, &Range)| Allocation { address, range: range.clone() };
        let mut candidates = set.after(last);
        if let Some(free) = candidates.by_ref().take(PROBES).find(|(a, _)| !self.is_taken(*a)) {
            return Ok(give(free));
        }
        let mut taken = self.taken()?;
        if let Some(free) = candidates.find(|(address, _)| !taken.contains(address)) {
            return Ok(give(free));
        }
        // Exhausted, unless a power failure left files that name nobody.
        for address in taken.clone() {
            if set.range_of(address).is_some() && self.is_ownerless(address)? {
                self.remove(&address.to_string())?;
                taken.remove(&address);
            }
        }
        let free = set.after(last).find(|(address, _)| !taken.contains(address));
        free.map(give).ok_or_else(|| Error::Exhausted { ranges: set.to_string(), taken: taken.len() })
    }

    /// Puts the chosen addresses on disk: the record, the addresses, the place to go on from.
    fn reserve(&self, owner: &Owner, chosen: &[Allocation]) -> Result<(), Error> {
        let record: String = chosen.iter().map(|a| format!("{}\n", a.address)).collect();
        self.publish(&self.record(owner), &record)?;
        for allocation in chosen {
            self.publish(&self.directory.join(allocation.address.to_string()), &owner.line())?;
        }
        for (index, allocation) in chosen.iter().enumerate() {
            self.publish(&self.directory.join(last_reserved(index)), &allocation.address.to_string())?;
        }
        Ok(())
    }

    fn release_locked(&self, owner: &Owner) -> Result<Vec<IpAddr>, Error> {
        let record = self.record(owner);
        let candidates = self.candidates(owner)?;
        let mut released = Vec::new();
        // What a process that was killed while it wrote has left.
        let mut first_error = remove_file(&self.directory.join(NEW)).err();
        for address in candidates {
            match self.release_if_owned(owner, address) {
                Ok(true) => released.push(address),
                Ok(false) => {}
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            // The record stays: it is what the next attempt goes by.
            Some(error) => Err(error),
            None => remove_file(&record).map(|_| released),
        }
    }

    fn release_if_owned(&self, owner: &Owner, address: IpAddr) -> Result<bool, Error> {
        let name = address.to_string();
        match self.read(&name)? {
            Some(content) if owner.owns(&content) => self.remove(&name),
            _ => Ok(false),
        }
    }

    /// Addresses that `owner` may hold: those its record names or, if it has none or an outdated one,
    /// any that host-local may have given it.
    fn candidates(&self, owner: &Owner) -> Result<Vec<IpAddr>, Error> {
        let recorded = self.recorded(owner)?.unwrap_or_default();
        let outdated = self.held(owner, &recorded)?.is_empty();
        Ok(if outdated { self.taken()?.into_iter().collect() } else { recorded })
    }

    /// Those of the candidates whose files name `owner`.
    fn held(&self, owner: &Owner, candidates: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
        let mut held = Vec::new();
        for address in candidates {
            if self.read(&address.to_string())?.is_some_and(|content| owner.owns(&content)) {
                held.push(*address);
            }
        }
        Ok(held)
    }

    /// The addresses an owner's record names; `None` without a record.
    fn recorded(&self, owner: &Owner) -> Result<Option<Vec<IpAddr>>, Error> {
        let text = read(&self.record(owner))?;
        Ok(text.map(|text| text.lines().filter_map(|line| line.parse().ok()).collect()))
    }

    fn record(&self, owner: &Owner) -> PathBuf {
        self.directory.join(OWNERS).join(owner.record())
    }

    /// All addresses that have a file: one listing, no file opened.
    fn taken(&self) -> Result<BTreeSet<IpAddr>, Error> {
        Ok(names(&self.directory)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn is_taken(&self, address: IpAddr) -> bool {
        // What cannot be looked at counts as taken: better to skip an address than to give it twice.
        !matches!(
            self.directory.join(address.to_string()).symlink_metadata(),
            Err(e) if e.kind() == ErrorKind::NotFound
        )
    }

    fn is_ownerless(&self, address: IpAddr) -> Result<bool, Error> {
        Ok(self.read(&address.to_string())?.is_some_and(|content| content.trim().is_empty()))
    }

    /// Makes `content` appear under `path` all at once.
    fn publish(&self, path: &Path, content: &str) -> Result<(), Error> {
        let new = self.directory.join(NEW);
        fs::write(&new, content).map_err(Error::io("write", &new))?;
        fs::rename(&new, path).map_err(Error::io("create", path))
    }

    fn read(&self, name: &str) -> Result<Option<String>, Error> {
        read(&self.directory.join(name))
    }

    fn remove(&self, name: &str) -> Result<bool, Error> {
        remove_file(&self.directory.join(name))
    }
}

fn last_reserved(index: usize) -> String {
    format!("last_reserved_ip.{index}")
}

/// A file's text; `None` when there is none. Bytes that are no text name no owner and no address.
fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io("read", path)(source)),
    }
}

/// The names in a directory that are text; none if there is no directory.
fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let failed = || Error::io("list", directory);
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed())?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed())?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Whether there was a file to remove.
fn remove_file(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io("remove", path)(source)),
    }
}
