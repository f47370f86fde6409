//! The records in `owners/`, and how they are kept true: [`super`] says what they are and what the
//! seal is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::IpAddr;

use super::Error;
use super::boot::BootId;
use super::disk::{Disk, NEW};
use super::owner::{Named, Origin, Owner, Record};

/// All address files, read.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Whom each names. What the disk would not give counts as taken by somebody unknown.
    pub named: BTreeMap<IpAddr, Named>,
    /// The first file that could not be read.
    pub unreadable: Option<Error>,
}

impl Scan {
    /// Reads every address file.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub(super) fn read(disk: &Disk) -> Result<Scan, Error> {
        let mut scan = Scan::default();
        for address in disk.taken()? {
            let named = match disk.read(&address.to_string()) {
                Ok(Some(content)) => Named::of(&content),
                // A folder.
                Ok(None) => Named::Other,
                Err(error) => {
                    scan.unreadable.get_or_insert(error);
                    Named::Other
                }
            };
            scan.named.insert(address, named);
        }
        Ok(scan)
    }

    /// Everybody who is named.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.named
            .values()
            .filter_map(|named| if let Named::Owner(owner) = named { Some(owner) } else { None })
    }

    /// The addresses whose files name `owner`, or its container alone.
    pub(super) fn held_by(&self, owner: &Owner) -> Vec<IpAddr> {
        self.named.iter().filter(|(_, named)| owner.is(named)).map(|(address, _)| *address).collect()
    }
}

/// Makes the records agree with the address files, which are right whatever the records say, and
/// removes debris: drafts, address files that name nobody, records of owners that hold nothing.
///
/// The scan then no longer has the files that were removed.
///
/// # Errors
/// Something could not be read or written: the directory must not be sealed.
pub(super) fn repair(disk: &Disk, scan: &mut Scan, boot: Option<BootId>) -> Result<(), Error> {
    disk.create()?;
    disk.remove(NEW)?;
    let nobodys: Vec<IpAddr> =
        scan.named.iter().filter(|(_, named)| **named == Named::Nobody).map(|(a, _)| *a).collect();
    for address in nobodys {
        disk.remove(&address.to_string())?;
        scan.named.remove(&address);
    }
    let mut held: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for (address, named) in &scan.named {
        if let Named::Owner(owner) = named {
            held.entry(owner.record().unwrap_or_default()).or_default().insert(*address);
        }
    }
    for name in disk.records()? {
        let addresses = held.remove(&name);
        let record = disk.record(&name)?.and_then(|text| Record::parse(&text));
        let written: Option<BTreeSet<IpAddr>> =
            record.as_ref().map(|record| record.addresses.iter().copied().collect());
        match addresses {
            Some(addresses) if written.as_ref() == Some(&addresses) => {}
            Some(addresses) => write(disk, &name, addresses, boot, record)?,
            None => match disk.remove_record(&name) {
                // Nothing that could be taken for a record.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::IsADirectory => {}
                removed => drop(removed?),
            },
        }
    }
    for (name, addresses) in held {
        write(disk, &name, addresses, boot, None)?;
    }
    scan.unreadable.take().map_or(Ok(()), Err)
}

/// Writes the record that address files call for. What a former one knew stays true as long as it
/// named all of them.
fn write(
    disk: &Disk,
    name: &str,
    addresses: BTreeSet<IpAddr>,
    boot: Option<BootId>,
    former: Option<Record>,
) -> Result<(), Error> {
    let covers = |record: &Record| addresses.iter().all(|address| record.addresses.contains(address));
    let found = Record { addresses: vec![], boot, origin: Origin::HostLocal };
    let known = former.filter(covers).unwrap_or(found);
    disk.write_record(name, &Record { addresses: addresses.into_iter().collect(), ..known }.text())
}
