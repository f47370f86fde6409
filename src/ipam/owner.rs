//! Who holds an address, and how files say so.

use std::net::IpAddr;

use super::boot::BootId;

/// Longest name of a file (Linux, `NAME_MAX`).
const NAME_MOST: usize = 255;

/// Who holds an address: one interface of one container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The runtime's name of the container (`CNI_CONTAINERID`).
    pub container_id: String,
    /// The interface inside it (`CNI_IFNAME`); empty where an early `host-local` noted none.
    pub interface: String,
}

impl Owner {
    /// What an address file of this owner holds, as `host-local` writes it.
    pub(super) fn line(&self) -> String {
        format!("{}\r\n{}", self.container_id, self.interface)
    }

    /// Whether what an address file names is this owner. The first versions of `host-local` wrote the
    /// container id alone, which is any of its interfaces.
    pub(super) fn is(&self, named: &Named) -> bool {
        matches!(named, Named::Owner(o) if o == self || *o == self.container())
    }

    /// Name of the owner's record, if its parts are such that no other owner's has the same name and
    /// it is a name at all. What a runtime may pass always is.
    pub(super) fn record(&self) -> Option<String> {
        let plain = |part: &str| !part.contains([':', '/', '\0']) && !part.contains(char::is_whitespace);
        let name = format!("{}:{}", self.container_id, self.interface);
        let fits = !self.container_id.is_empty() && name.len() <= NAME_MOST;
        (fits && plain(&self.container_id) && plain(&self.interface)).then_some(name)
    }

    /// The owner whose record has this name.
    pub(super) fn of_record(name: &str) -> Option<Owner> {
        let (container_id, interface) = name.split_once(':')?;
        let owner = Owner { container_id: container_id.to_owned(), interface: interface.to_owned() };
        owner.record().is_some().then_some(owner)
    }

    /// The same container without an interface: under this name go reservations of the first
    /// versions of `host-local`.
    pub(super) fn container(&self) -> Owner {
        Owner { container_id: self.container_id.clone(), interface: String::new() }
    }
}

/// Whom the content of an address file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// An owner that can be asked for.
    Owner(Owner),
    /// Nobody: empty or zeros, as a crash leaves it.
    Nobody,
    /// Words that are no owner: somebody keeps the address by hand. Never given, never taken back.
    Other,
}

impl Named {
    /// Reads the content of an address file.
    pub(super) fn of(content: &str) -> Named {
        let content = content.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if content.is_empty() {
            return Named::Nobody;
        }
        let (container_id, interface) = content.split_once("\r\n").unwrap_or((content, ""));
        let owner = Owner { container_id: container_id.to_owned(), interface: interface.to_owned() };
        if owner.record().is_some() { Named::Owner(owner) } else { Named::Other }
    }
}

/// What an owner's record says: the addresses, and what a sweep needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The addresses the owner holds, or was about to.
    pub addresses: Vec<IpAddr>,
    /// The boot in which the reservation was first seen: that of the ADD, if the ADD was ours.
    pub boot: Option<BootId>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Who made a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This code, for a container in the network namespace of this inode number, where it was told.
    Ours {
        /// Inode number of the network namespace in `nsfs`: the `st_ino` of `/proc/PID/ns/net` and of
        /// every bind mount of it.
        namespace: Option<u64>,
    },
    /// `host-local`, which notes nothing but the owner.
    HostLocal,
}

/// How a record says that `host-local` made the reservation.
const HOST_LOCAL: &str = "host-local";

/// How a record says that something is not known.
const UNKNOWN: &str = "-";

impl Record {
    /// Reads a record; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Record> {
        let mut words = text.split(' ');
        let addresses = words.next()?.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
        let boot = words.next()?.parse().ok();
        let origin = match words.next()? {
            HOST_LOCAL => Origin::HostLocal,
            inode => Origin::Ours { namespace: inode.parse().ok() },
        };
        Some(Record { addresses, boot, origin })
    }

    /// The record as it is written.
    pub(super) fn text(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        let boot = self.boot.map_or(UNKNOWN.to_owned(), |boot| boot.to_string());
        let origin = match self.origin {
            Origin::HostLocal => HOST_LOCAL.to_owned(),
            Origin::Ours { namespace } => namespace.map_or(UNKNOWN.to_owned(), |inode| inode.to_string()),
        };
        format!("{} {boot} {origin}", addresses.join(","))
    }
}
