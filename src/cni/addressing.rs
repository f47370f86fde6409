//! What a configuration says of a pod's addresses: the section `ipam`, as the reference plugin
//! `host-local` takes it, and the ways in which runtimes ask for addresses by name.
//!
//! Read apart from the rest, for the plugin `host-local` is handed the configurations of other
//! plugins, whose fields are not its concern.

use std::net::IpAddr;

use super::conf::{Network, argument, capability};
use super::field::Section;
use super::result::{Dns, Route};
use super::version::Version;
use super::{Code, Error};
use crate::ipam::{self, NodeFile, RangeSet, RangeSpec};
use crate::kernel::RouteOptions;
use crate::prefix::{Family, Prefix};

/// Who gives the addresses of pods (`ipam.type`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The store of this crate, for `host-local` and `routelet`.
    Store,
    /// Another plugin, of this name.
    Plugin(String),
    /// Nobody: pods get a link and nothing else.
    Nobody,
}

impl Source {
    /// Who is configured.
    ///
    /// # Errors
    /// `ipam` is not an object, or its type is not the name of a file.
    pub fn of(network: &Network) -> Result<Source, Error> {
        let kind = network.root().text_within("ipam", "type")?;
        Ok(match kind.as_deref() {
            None => Source::Nobody,
            Some("host-local" | "routelet") => Source::Store,
            Some(name) if name.contains('/') || name == "." || name == ".." => {
                let why =
                    format!("{name:?} must be the name of a file, without a path; CNI_PATH is the path");
                return Err(Error::invalid("ipam.type", why));
            }
            Some(name) => Source::Plugin(name.to_owned()),
        })
    }
}

/// How a configuration wants addresses given, before it is known on which node.
#[derive(Debug, Clone)]
pub struct Addressing {
    /// Who gives them. What follows is for the store.
    pub source: Source,
    /// Addresses asked for by name.
    pub requested: Vec<IpAddr>,
    /// Gateways asked for by name, in place of those of the ranges.
    pub gateways: Vec<IpAddr>,
    /// The pod's routes; `None` for default routes of every family that has an address.
    pub routes: Option<Vec<Route>>,
    /// Name service, from the file that `ipam.resolvConf` names.
    pub dns: Dns,
    /// The configured ranges, each with the path of its place: one address for each outer entry.
    ranges: Vec<Vec<(String, RangeSpec)>>,
}

impl Addressing {
    /// Reads what the configuration and `CNI_ARGS` say, for whoever gives the addresses.
    ///
    /// # Errors
    /// A field is wrong.
    pub fn read(network: &Network, args: &[(String, String)]) -> Result<Addressing, Error> {
        match Source::of(network)? {
            Source::Store => Addressing::of_store(network, args),
            // What a plugin is told is its own to read.
            source => Ok(Addressing {
                source,
                requested: Vec::new(),
                gateways: Vec::new(),
                routes: Some(Vec::new()),
                dns: Dns::default(),
                ranges: Vec::new(),
            }),
        }
    }

    /// Reads what is for the store, whatever `ipam.type` says.
    ///
    /// # Errors
    /// A field is wrong, or there is nothing to give addresses from.
    pub fn of_store(network: &Network, args: &[(String, String)]) -> Result<Addressing, Error> {
        let root = network.root();
        let ipam = root.section("ipam")?.ok_or_else(|| Error::invalid("ipam", "it is absent"))?;
        let ranges = read_ranges(&root, &ipam)?;
        // Ours knows the node's pod CIDRs; host-local knows what it is told.
        let told = ipam.text("type")?.as_deref() == Some("host-local");
        if ranges.is_empty() && told {
            let why = "it is absent, and there are no ranges; set it, or set ipam.type to routelet for the \
                 node's pod CIDRs";
            return Err(Error::invalid("ipam.subnet", why));
        }
        let routes = ipam.sections("routes")?.iter().map(read_route).collect::<Result<Vec<_>, _>>()?;
        Ok(Addressing {
            source: Source::Store,
            requested: read_requested(&root, args)?,
            gateways: match argument(args, "GATEWAY") {
                Some(text) => read_addresses("GATEWAY in CNI_ARGS", text.split(','))?,
                None => Vec::new(),
            },
            routes: Some(routes).filter(|routes| told || !routes.is_empty()),
            dns: read_resolver(&ipam)?,
            ranges,
        })
    }

    /// The range sets to give addresses from on this node.
    ///
    /// # Errors
    /// The pod CIDRs are needed and not known yet; or a range makes no sense.
    pub fn sets(&self, network: &Network, node: Option<&NodeFile>) -> Result<Vec<RangeSet>, Error> {
        if self.source != Source::Store {
            return Ok(Vec::new());
        }
        let pod_cidrs = node.map_or(&[][..], |node| &node.pod_cidrs);
        if !self.ranges.is_empty() {
            let sets = self.configured_sets(pod_cidrs)?;
            refuse_second(network.version, &sets)?;
            return Ok(sets);
        }
        let sets = sets_of_node(pod_cidrs)?;
        if sets.is_empty() {
            let path = network.node_file()?;
            let why = match node {
                Some(_) => format!("{} names none; the Node object has no spec.podCIDRs", path.display()),
                None => format!("{} does not exist; routelet run writes it", path.display()),
            };
            return Err(Error::new(Code::TryAgainLater, "no pod CIDR is known for this node yet", why));
        }
        Ok(sets)
    }

    /// The subnets that addresses are given from, on this node or another.
    pub fn subnets(&self) -> impl Iterator<Item = Prefix> {
        self.ranges.iter().flatten().map(|(_, spec)| spec.subnet)
    }

    fn configured_sets(&self, pod_cidrs: &[Prefix]) -> Result<Vec<RangeSet>, Error> {
        let mut sets: Vec<RangeSet> = Vec::new();
        for set in &self.ranges {
            let mut ranges = Vec::new();
            for (place, spec) in set {
                let at_place = |error| match error {
                    ipam::Error::Range { field, why } => Error::invalid(format!("{place}{field}"), why),
                    other => other.into(),
                };
                ranges.extend(spec.ranges(pod_cidrs).map_err(at_place)?);
            }
            let set = RangeSet::new(ranges)?;
            if let Some(other) = sets.iter().find(|other| other.overlaps(&set)) {
                return Err(Error::invalid("ipam.ranges", format!("{set} overlaps with {other}")));
            }
            sets.push(set);
        }
        Ok(sets)
    }
}

/// The first versions of the specification have no place for a second address of a family.
fn refuse_second(version: Version, sets: &[RangeSet]) -> Result<(), Error> {
    let count = |family| sets.iter().filter(|set| set.family() == family).count();
    match Family::ALL.into_iter().map(count).max().filter(|most| *most > 1 && version < Version::V0_3_0) {
        None => Ok(()),
        Some(most) => {
            let why = format!(
                "{most} sets are of one family, but version {version} has room for one address: use cniVersion \
                 0.3.0 or later"
            );
            Err(Error::invalid("ipam.ranges", why))
        }
    }
}

/// One set for each family the node has pod CIDRs of.
fn sets_of_node(pod_cidrs: &[Prefix]) -> Result<Vec<RangeSet>, Error> {
    let mut sets = Vec::new();
    for family in Family::ALL {
        let cidrs = pod_cidrs.iter().filter(|cidr| cidr.family() == family);
        let ranges = cidrs.map(|cidr| RangeSpec::whole(*cidr).ranges(&[])).collect::<Result<Vec<_>, _>>()?;
        if !ranges.is_empty() {
            sets.push(RangeSet::new(ranges.concat())?);
        }
    }
    Ok(sets)
}

/// In host-local's order: those of the runtime, the single subnet, the list.
fn read_ranges(root: &Section<'_>, ipam: &Section<'_>) -> Result<Vec<Vec<(String, RangeSpec)>>, Error> {
    let mut sets = match root.section("runtimeConfig")? {
        Some(runtime) => runtime.nested_sections("ipRanges")?,
        None => Vec::new(),
    };
    if ipam.text("subnet")?.is_some() {
        sets.push(vec![ipam.clone()]);
    }
    sets.extend(ipam.nested_sections("ranges")?);
    let read = |section: &Section<'_>| Ok((section.path(""), read_range(section)?));
    sets.iter().map(|set| set.iter().map(read).collect()).collect()
}

fn read_range(section: &Section<'_>) -> Result<RangeSpec, Error> {
    let subnet: Option<Prefix> = section.parsed("subnet")?;
    Ok(RangeSpec {
        subnet: subnet.ok_or_else(|| Error::invalid(section.path("subnet"), "it is absent"))?,
        start: section.parsed("rangeStart")?,
        end: section.parsed("rangeEnd")?,
        gateway: section.parsed("gateway")?,
    })
}

/// A route, as configurations and results have it.
///
/// # Errors
/// A field is absent or wrong.
pub fn read_route(section: &Section<'_>) -> Result<Route, Error> {
    let dst: Option<Prefix> = section.parsed("dst")?;
    let dst = dst.ok_or_else(|| Error::invalid(section.path("dst"), "it is absent"))?;
    let gw: Option<IpAddr> = section.parsed("gw")?;
    if let Some(gw) = gw.filter(|gw| Prefix::host(*gw).family() != dst.family()) {
        return Err(Error::invalid(section.path("gw"), format!("{gw} is not of the family of {dst}")));
    }
    Ok(Route { dst, gw, options: read_options(section)? })
}

/// Zero stands for absent, as in the reference plugins, but for the scope, where it has a meaning.
fn read_options(section: &Section<'_>) -> Result<RouteOptions, Error> {
    let positive =
        |field: &str| Ok::<_, Error>(section.optional::<u32>(field)?.filter(|number| *number != 0));
    Ok(RouteOptions {
        mtu: positive("mtu")?,
        advmss: positive("advmss")?,
        priority: positive("priority")?,
        table: positive("table")?,
        scope: section.optional("scope")?,
    })
}

/// What the runtime, else `args`, else `CNI_ARGS` ask for.
fn read_requested(root: &Section<'_>, args: &[(String, String)]) -> Result<Vec<IpAddr>, Error> {
    match (capability(root, "ips")?, argument(args, "IP")) {
        (Some(section), _) => {
            let texts: Vec<String> = section.optional("ips")?.unwrap_or_default();
            read_addresses(&section.path("ips"), texts.iter().map(String::as_str))
        }
        (None, Some(text)) => read_addresses("IP in CNI_ARGS", text.split(',')),
        (None, None) => Ok(Vec::new()),
    }
}

fn read_addresses<'a>(place: &str, texts: impl Iterator<Item = &'a str>) -> Result<Vec<IpAddr>, Error> {
    let read = |text: &str| {
        // The prefix length is the range's to say.
        let address = text.split_once('/').map_or(text, |(address, _)| address);
        address.trim().parse().map_err(|e| Error::invalid(place, format!("{text:?}: {e}")))
    };
    texts.map(read).collect()
}

/// What the file says that `ipam.resolvConf` names.
fn read_resolver(ipam: &Section<'_>) -> Result<Dns, Error> {
    let Some(path) = ipam.text("resolvConf")? else { return Ok(Dns::default()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Dns::parse(&text)),
        Err(e) => Err(Error::new(Code::Io, format!("cannot read {path}, named by ipam.resolvConf"), e)),
    }
}
