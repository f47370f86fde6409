//! What an attached pod has in our tables: put in, looked for, taken out.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::flows::Port;
use super::intervals::Intervals;
use super::layout::{
    self, ADDRESSED_PORTS, BRIDGES, CHECKED, MASQUERADED, NETWORKS, PORTS, STATIONS, TARGETS,
};
use super::message::{Element, Scope, Shape, Transaction, concatenate, interface};
use super::{ATTEMPTS, DOUBTS, Nftables, Owner, Removal, is_outdated, is_race};
use crate::kernel::Error;
use crate::kernel::frame::address;
use crate::prefix::{Family, Prefix};

/// A transport protocol whose ports can be mapped, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the protocols' own names")]
pub enum Transport {
    Tcp = 6,
    Udp = 17,
    Sctp = 132,
}

impl Transport {
    /// Every one of them.
    pub const ALL: [Transport; 3] = [Transport::Tcp, Transport::Udp, Transport::Sctp];

    /// The name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Sctp => "sctp",
        }
    }
}

/// A port of the node that leads to a port of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// The protocol.
    pub transport: Transport,
    /// The node's address, of the family of the pod's; `None` for any.
    pub host: Option<IpAddr>,
    /// The node's port.
    pub host_port: u16,
    /// The pod's address and port.
    pub pod: SocketAddr,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (port, transport) = (self.host_port, self.transport.as_str());
        match self.host {
            Some(host) => write!(f, "host port {}/{transport}", SocketAddr::new(host, port)),
            None => write!(f, "host port {port}/{transport}"),
        }
    }
}

/// The interface of the node that a pod is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Its name.
    pub interface: String,
    /// Whether it leads to this pod alone. A bridge does not.
    pub is_own: bool,
}

/// Everything that one attachment has in our tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Whose it is.
    pub owner: Owner,
    /// The pod's addresses, if its traffic to the outside is to be masqueraded.
    pub masqueraded: Vec<IpAddr>,
    /// Where to it is not, beside what the daemon says.
    pub networks: Vec<Prefix>,
    /// Its ports on the node.
    pub mappings: Vec<Mapping>,
    /// The interface behind which sources are masqueraded that reach a mapped port from beside the pod;
    /// `None` if sources are never to be changed.
    pub way: Option<Way>,
    /// The hardware address as which alone the pod may send, by its owner's link.
    pub station: Option<[u8; 6]>,
}

/// An element and where it belongs.
type Entry = (&'static Shape, Element);

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

impl Attached {
    /// Nothing yet.
    pub fn of(owner: Owner) -> Attached {
        Attached {
            owner,
            masqueraded: Vec::new(),
            networks: Vec::new(),
            mappings: Vec::new(),
            way: None,
            station: None,
        }
    }

    /// Whether the pod needs nothing of us.
    pub fn is_empty(&self) -> bool {
        self.masqueraded.is_empty() && self.mappings.is_empty() && self.station.is_none()
    }

    /// The elements, but for the networks, no two of the same key.
    fn entries(&self) -> Vec<Entry> {
        let comment = Some(self.owner.comment());
        let mut entries: Vec<Entry> = Vec::new();
        let mut taken = BTreeSet::new();
        let mut push = |shape: &'static Shape, key: Vec<u8>, data: Vec<u8>, comment: Option<String>| {
            if taken.insert((shape.name, key.clone())) {
                entries.push((shape, Element { key, data, is_end: false, comment }));
            }
        };
        for address in &self.masqueraded {
            push(MASQUERADED.of(Family::of(*address)), octets(*address), Vec::new(), comment.clone());
        }
        for mapping in &self.mappings {
            let family = Family::of(mapping.pod.ip());
            let (shape, key) = mapping.key();
            let (pod, port) = (octets(mapping.pod.ip()), mapping.pod.port().to_be_bytes());
            push(shape, key, concatenate(&[&pod, &port]), comment.clone());
            if self.way.is_some() {
                let target = concatenate(&[&pod, &[mapping.transport as u8], &port]);
                push(TARGETS.of(family), target, Vec::new(), comment.clone());
            }
        }
        if let Some(way) = self.way.as_ref().filter(|_| !self.mappings.is_empty()) {
            let name = interface(&way.interface);
            for input in [&name, &interface("")] {
                let comment = comment.clone().filter(|_| way.is_own);
                push(&BRIDGES, concatenate(&[input, &name]), Vec::new(), comment);
            }
        }
        if let Some(station) = self.station {
            let name = interface(&self.owner.link);
            push(&CHECKED, name.clone(), Vec::new(), comment.clone());
            push(&STATIONS, concatenate(&[&name, &station]), Vec::new(), comment);
        }
        entries
    }

    /// Whether anything of it is in this table.
    fn is_in(&self, scope: Scope) -> bool {
        match scope {
            Scope::Inet => !self.masqueraded.is_empty() || !self.mappings.is_empty(),
            Scope::Bridge => self.station.is_some(),
        }
    }
}

impl Mapping {
    fn key(&self) -> (&'static Shape, Vec<u8>) {
        let family = Family::of(self.pod.ip());
        let (transport, port) = ([self.transport as u8], self.host_port.to_be_bytes());
        match self.host {
            Some(host) => (ADDRESSED_PORTS.of(family), concatenate(&[&octets(host), &transport, &port])),
            None => (PORTS.of(family), concatenate(&[&transport, &port])),
        }
    }
}

/// How the kernel has it, before a change is made up.
#[derive(Default)]
struct Survey {
    /// Tables that must be made.
    absent: Vec<Scope>,
    /// What stands in the place of each entry.
    standing: Vec<Option<Element>>,
}

impl Nftables {
    /// Puts in what a pod needs: all of it, or nothing. What is there already is replaced, if it is the
    /// pod's own or left over from one that is gone.
    ///
    /// # Errors
    /// A port is mapped to another pod that is still attached; or the kernel refuses.
    pub fn add(&mut self, attached: &Attached) -> Result<(), Error> {
        if attached.is_empty() {
            return Ok(());
        }
        self.put_in(attached)?;
        let udp = attached.mappings.iter().filter(|mapping| mapping.transport == Transport::Udp);
        let ports: Vec<Port> = udp
            .map(|mapping| Port {
                family: Family::of(mapping.pod.ip()),
                host: mapping.host,
                number: mapping.host_port,
            })
            .collect();
        self.forget(&ports);
        Ok(())
    }

    fn put_in(&mut self, attached: &Attached) -> Result<(), Error> {
        let entries = attached.entries();
        let what = "add a pod to the nftables table routelet";
        // Nearly always the tables are there and the elements are not: looking first would be in vain.
        let mut transaction = Transaction::begin(None);
        if !self.cover(&mut transaction, attached, false)? {
            fill(&mut transaction, &entries, &[]);
            match self.commit(transaction) {
                Err(refusal) if is_race(&refusal) => {}
                done => return done.map_err(|refusal| refusal.to(what)),
            }
        }
        let mut doubts = 0;
        for _ in 0..ATTEMPTS {
            let generation = self.generation()?;
            let survey = self.survey(attached, &entries)?;
            let mut transaction = Transaction::begin(Some(generation));
            survey.absent.iter().for_each(|scope| layout::build(&mut transaction, *scope));
            self.cover(&mut transaction, attached, survey.absent.contains(&Scope::Inet))?;
            fill(&mut transaction, &entries, &survey.standing);
            if transaction.is_empty() {
                return Ok(());
            }
            match self.commit(transaction) {
                Err(refusal) if is_outdated(&refusal) => {}
                Err(refusal) if is_race(&refusal) && doubts < DOUBTS => {
                    doubts += 1;
                    self.repair()?;
                }
                done => return done.map_err(|refusal| refusal.to(what)),
            }
        }
        Err(Error::Contended { what })
    }

    /// Adds to a transaction what is missing of the pod's networks, and returns whether anything is.
    fn cover(&mut self, changes: &mut Transaction, attached: &Attached, is_new: bool) -> Result<bool, Error> {
        for family in Family::ALL {
            if !attached.masqueraded.iter().any(|address| Family::of(*address) == family) {
                continue;
            }
            let set = NETWORKS.of(family);
            let found = if is_new { None } else { self.elements(set)? };
            let found = Intervals::read(family, &found.unwrap_or_default());
            let (removed, added) = found.changes(&found.union(&Intervals::of(family, &attached.networks)));
            changes.remove_elements(layout::TABLE, set, &removed.elements(family));
            changes.add_elements(layout::TABLE, set, &added.elements(family));
        }
        Ok(!changes.is_empty() || is_new)
    }

    fn survey(&mut self, attached: &Attached, entries: &[Entry]) -> Result<Survey, Error> {
        let mut survey = Survey::default();
        for scope in [Scope::Inet, Scope::Bridge] {
            if attached.is_in(scope) && self.handle(scope)?.is_none() {
                survey.absent.push(scope);
            }
        }
        let keys: Vec<_> = entries.iter().map(|(shape, element)| (*shape, element.key.clone())).collect();
        survey.standing = self.standing(&keys)?;
        for mapping in &attached.mappings {
            let (shape, key) = mapping.key();
            let place = entries.iter().position(|(at, element)| at.name == shape.name && element.key == key);
            if let Some(standing) = place.and_then(|place| survey.standing[place].as_ref()) {
                refuse_living(mapping, &attached.owner, standing)?;
            }
        }
        Ok(survey)
    }

    /// Takes out everything of an owner, whatever it was attached with, and tables that serve nobody any
    /// more, whoever left them. The addresses spare a look at every pod's, where they are known. Returns whether there was
    /// anything.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove(&mut self, owner: &Owner, addresses: &[IpAddr]) -> Result<bool, Error> {
        self.take_out(addresses, |named| {
            owner.is_of(&named.network)
                && (&named.container, &named.interface) == (&owner.container, &owner.interface)
        })
        .map(|owners| !owners.is_empty())
    }

    /// Takes out everything of those owners of a network that are not to be kept, and returns them. Otherwise
    /// as [`Nftables::remove`].
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn retain(
        &mut self,
        network: &str,
        mut keep: impl FnMut(&Owner) -> bool,
    ) -> Result<Vec<Owner>, Error> {
        let ours = Owner {
            network: network.to_owned(),
            container: String::new(),
            interface: String::new(),
            link: String::new(),
        };
        let gone = self.take_out(&[], |named| ours.is_of(&named.network) && !keep(named))?;
        Ok(gone.into_iter().collect())
    }

    fn take_out(
        &mut self,
        addresses: &[IpAddr],
        mut is_meant: impl FnMut(&Owner) -> bool,
    ) -> Result<BTreeSet<Owner>, Error> {
        let (mut owners, mut ports) = (BTreeSet::new(), Vec::new());
        for _ in 0..ATTEMPTS {
            let mut transaction = Transaction::begin(None);
            let mut tables = Vec::new();
            for scope in [Scope::Bridge, Scope::Inet] {
                if self.handle(scope)?.is_none() {
                    continue;
                }
                tables.push(scope);
                for shape in layout::owned(scope) {
                    let Some(found) = self.candidates(shape, addresses)? else { continue };
                    let mut meant = Vec::new();
                    for element in found {
                        if let Some(owner) = element.comment.as_deref().and_then(Owner::parse)
                            && is_meant(&owner)
                        {
                            owners.insert(owner);
                            ports.extend(udp_port(shape, &element.key));
                            meant.push(Element::of(element.key));
                        }
                    }
                    transaction.remove_elements(layout::TABLE, shape, &meant);
                }
            }
            let done = if transaction.is_empty() { Ok(()) } else { self.commit(transaction) };
            match done {
                Ok(()) => {
                    self.forget(&ports);
                    for scope in tables {
                        self.remove_unused(scope)?;
                    }
                    return Ok(owners);
                }
                Err(refusal) if is_race(&refusal) => {}
                Err(refusal) => return Err(refusal.to("remove a pod from the nftables table routelet")),
            }
        }
        Err(Error::Contended { what: "remove a pod from the nftables table routelet" })
    }

    /// Elements among which there may be some of an owner; `None` if there is no such set.
    fn candidates(
        &mut self,
        shape: &'static Shape,
        addresses: &[IpAddr],
    ) -> Result<Option<Vec<Element>>, Error> {
        let is_of = |family| MASQUERADED.of(family).name == shape.name;
        let Some(family) =
            Family::ALL.into_iter().find(|family| is_of(*family)).filter(|_| !addresses.is_empty())
        else {
            return self.elements(shape);
        };
        let of_family = addresses.iter().filter(|address| Family::of(**address) == family);
        let keys: Vec<_> = of_family.map(|address| (shape, octets(*address))).collect();
        Ok(Some(self.standing(&keys)?.into_iter().flatten().collect()))
    }

    /// Removes a table in which nobody has anything. Where others never stop changing nftables it stays, for
    /// the next to come: it does nothing.
    fn remove_unused(&mut self, scope: Scope) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let generation = self.generation()?;
            for shape in layout::used(scope) {
                if self.is_used(shape)? {
                    return Ok(());
                }
            }
            if self.remove_table(scope, Some(generation))? != Removal::Outdated {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What is missing or wrong of a pod's elements and of the rules that make something of them; `None` if
    /// nothing is.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub fn missing(&mut self, attached: &Attached) -> Result<Option<String>, Error> {
        for scope in [Scope::Inet, Scope::Bridge] {
            if attached.is_in(scope) && !self.is_whole(scope)? {
                let family = if scope == Scope::Inet { "inet" } else { "bridge" };
                return Ok(Some(format!("rules are missing in the nftables table {family} routelet")));
            }
        }
        let entries = attached.entries();
        let keys: Vec<_> = entries.iter().map(|(shape, element)| (*shape, element.key.clone())).collect();
        let standing = self.standing(&keys)?;
        for ((shape, wanted), standing) in entries.iter().zip(&standing) {
            let fault = match standing {
                None => "lacks an element",
                Some(found) if found.data != wanted.data => "has another pod's element",
                Some(found)
                    if wanted.comment.is_some() && !attached.owner.is_named_by(found.comment.as_deref()) =>
                {
                    "has another pod's element"
                }
                Some(_) => continue,
            };
            return Ok(Some(format!("{} of the nftables table routelet {fault}", shape.name)));
        }
        let is_missing = self.cover(&mut Transaction::begin(None), attached, false)?;
        Ok(is_missing.then(|| "the pod's network is missing in the nftables table routelet".to_owned()))
    }
}

/// The UDP port that an element is about.
fn udp_port(shape: &Shape, key: &[u8]) -> Option<Port> {
    let family = Family::ALL
        .into_iter()
        .find(|family| [PORTS.of(*family).name, ADDRESSED_PORTS.of(*family).name].contains(&shape.name))?;
    // The address, if there is one, and a register each for protocol and port.
    let (host, service) = key.split_at_checked(key.len().checked_sub(8)?)?;
    let number = u16::from_be_bytes([service[4], service[5]]);
    (service[0] == Transport::Udp as u8).then(|| Port { family, host: address(host), number })
}

/// Adds to a transaction what does not stand as it should.
fn fill(transaction: &mut Transaction, entries: &[Entry], standing: &[Option<Element>]) {
    let stands = |place: usize| standing.get(place).and_then(Option::as_ref);
    for (place, (shape, element)) in entries.iter().enumerate() {
        if element.comment.is_none() {
            transaction.keep_elements(layout::TABLE, shape, std::slice::from_ref(element));
            continue;
        }
        if let Some(standing) = stands(place) {
            if standing == element {
                continue;
            }
            transaction.remove_elements(layout::TABLE, shape, &[Element::of(element.key.clone())]);
        }
        transaction.add_elements(layout::TABLE, shape, std::slice::from_ref(element));
    }
}

/// Refuses to take a port from a pod that is still attached. One that has the wanted pod's address is not.
fn refuse_living(mapping: &Mapping, owner: &Owner, standing: &Element) -> Result<(), Error> {
    let pod = octets(mapping.pod.ip());
    let Some(holder) = standing.comment.as_deref().and_then(Owner::parse) else { return Ok(()) };
    let is_same = owner.is_named_by(standing.comment.as_deref()) || standing.data.starts_with(&pod);
    // Of whom nobody can say whether it lives, the port is taken, as the reference would.
    if is_same || holder.link.is_empty() || holder.link == owner.link || !holder.is_attached() {
        return Ok(());
    }
    Err(Error::HostPortTaken {
        port: mapping.to_string(),
        holder: format!(
            "container {} of network {} has it, which is attached by {}",
            holder.container, holder.network, holder.link
        ),
    })
}
