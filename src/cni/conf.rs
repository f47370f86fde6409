//! The network configuration on stdin, as the reference plugins `bridge` and `host-local` take it.
//!
//! ```json
//! {"cniVersion": "0.3.1", "name": "pod-network", "type": "bridge",
//!  "bridge": "cni0", "isGateway": true, "ipMasq": true,
//!  "ipam": {"type": "host-local", "subnet": "10.244.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}}
//! ```
//!
//! What every verb needs is a [`Network`]; what an attachment needs is a [`Wanted`], read apart from
//! it so that a DEL is not held up by a field it has no use for. Fields are those of the reference,
//! with the same defaults. Ours are `nodeFile`, the path of the node file, and `ipam.type`
//! `routelet`, which needs no subnet: it takes the node's pod CIDRs and gives the pod a default
//! route unless told otherwise.
//!
//! Unknown fields are ignored, for runtimes pass everything through. Known fields that ask for what
//! is not done here are refused (code 2) rather than ignored: most of them isolate pods.
//!
//! `ipMasq` is accepted and does nothing: the routers know the way to every pod, so that addresses
//! are routed as they are and nothing has to be translated. Traffic that leaves for where no router
//! knows the way back does need it, and will get it from an nftables set that exempts whatever the
//! routers reach.

use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::field::Section;
use super::result::{Dns, Route};
use super::version::Version;
use super::{Code, Error};
use crate::ipam::{RangeSpec, node};
use crate::prefix::Prefix;

/// Where host-local keeps its reservations, and we ours.
const DATA_DIR: &str = "/var/lib/cni/networks";

/// Fields of the reference that are refused unless empty, zero or false.
const UNSUPPORTED: [&str; 8] = [
    "vlan",
    "vlanTrunk",
    "forceAddress",
    "promiscMode",
    "macspoofchk",
    "disableContainerInterface",
    "enabledad",
    "portIsolation",
];

/// Fields of a route that are refused (CNI 1.1.0 brought them).
const UNSUPPORTED_IN_ROUTES: [&str; 5] = ["mtu", "advmss", "priority", "table", "scope"];

/// What every verb needs to know.
#[derive(Debug, Clone)]
pub struct Network {
    /// Version of the specification to speak.
    pub version: Version,
    /// Name of the network.
    pub name: String,
    /// Where addresses are kept.
    pub data_dir: PathBuf,
    document: Map<String, Value>,
}

impl Network {
    /// Reads a configuration.
    ///
    /// # Errors
    /// It is not JSON, of an unknown version, or has no good name.
    pub fn parse(input: &[u8]) -> Result<Network, Error> {
        let undecodable =
            |why: String| Error::new(Code::Decode, "the configuration on stdin is not a JSON object", why);
        let document = match serde_json::from_slice(input) {
            Ok(Value::Object(document)) => document,
            Ok(other) => return Err(undecodable(format!("it is {other}"))),
            Err(e) => return Err(undecodable(e.to_string())),
        };
        let root = Section::root(&document);
        let version = match root.text("cniVersion")? {
            // The first version had no such field.
            None => Version::V0_1_0,
            Some(text) => Version::parse(&text).ok_or_else(|| {
                let known = Version::ALL.map(Version::as_str).join(", ");
                let message = format!("cniVersion {text:?} is not supported");
                Error::new(Code::IncompatibleVersion, message, format!("supported are {known}"))
            })?,
        };
        let name = root.text("name")?.ok_or_else(|| Error::invalid("name", "it is absent"))?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(allowed) {
            let why = format!(
                "{name:?} must be of letters, digits, '_', '.', '-' and start with a letter or digit"
            );
            return Err(Error::invalid("name", why));
        }
        let data_dir = match root.section("ipam")? {
            Some(ipam) => ipam.text("dataDir")?,
            None => None,
        };
        let data_dir = data_dir.unwrap_or_else(|| DATA_DIR.to_owned()).into();
        Ok(Network { version, name, data_dir, document })
    }

    /// The configuration's fields.
    pub fn root(&self) -> Section<'_> {
        Section::root(&self.document)
    }

    /// The result of the plugins before this one, or of the ADD for CHECK.
    ///
    /// # Errors
    /// It is not an object.
    pub fn previous(&self) -> Result<Option<&Map<String, Value>>, Error> {
        match self.root().value("prevResult") {
            None => Ok(None),
            Some(Value::Object(previous)) => Ok(Some(previous)),
            Some(other) => Err(Error::invalid("prevResult", format!("{other} is not an object"))),
        }
    }

    /// Where the node file lies.
    ///
    /// # Errors
    /// The field is not a string.
    pub fn node_file(&self) -> Result<PathBuf, Error> {
        Ok(self.root().text("nodeFile")?.unwrap_or_else(|| node::DEFAULT_PATH.to_owned()).into())
    }
}

/// How a configuration wants pods attached, before it is known on which node.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Name of the bridge, if given.
    pub bridge: Option<String>,
    /// MTU in octets, if given.
    pub mtu: Option<u32>,
    /// The bridge holds the gateway addresses, and the node forwards.
    pub is_gateway: bool,
    /// The pod's default routes point there.
    pub is_default_gateway: bool,
    /// Frames may leave by the port they came in by.
    pub hairpin: bool,
    /// Hardware address of the pod's interface, if given.
    pub mac: Option<[u8; 6]>,
    /// Addresses asked for by name.
    pub requested: Vec<IpAddr>,
    /// The configured ranges, each with the path of its place: one address for each outer entry.
    pub ranges: Vec<Vec<(String, RangeSpec)>>,
    /// The pod's routes; `None` for default routes of every family that has an address.
    pub routes: Option<Vec<Route>>,
    /// Name service.
    pub dns: Dns,
}

impl Wanted {
    /// Reads what an attachment needs.
    ///
    /// # Errors
    /// A field is wrong, or asks for what is not done here.
    pub fn read(network: &Network, args: &[(String, String)]) -> Result<Wanted, Error> {
        let root = network.root();
        refuse(&root, &UNSUPPORTED)?;
        let ipam = root.section("ipam")?.ok_or_else(|| Error::invalid("ipam", "it is absent"))?;
        let ours = match ipam.text("type")?.as_deref() {
            Some("host-local") => false,
            Some("routelet") => true,
            None => return Err(Error::invalid("ipam.type", "it is absent")),
            Some(other) => {
                let message = format!("unsupported field ipam.type={other:?}");
                return Err(Error::new(Code::UnsupportedField, message, "known are host-local and routelet"));
            }
        };
        let is_default_gateway = root.flag("isDefaultGateway")?;
        let ranges = read_ranges(&root, &ipam)?;
        if ranges.is_empty() && !ours {
            return Err(Error::invalid("ipam.subnet", "it is absent, and there are no ranges"));
        }
        let routes = ipam.sections("routes")?.iter().map(read_route).collect::<Result<Vec<_>, _>>()?;
        Ok(Wanted {
            bridge: root.text("bridge")?,
            mtu: root.optional("mtu")?.filter(|mtu| *mtu != 0),
            // As in the reference: one cannot be the default gateway without being a gateway.
            is_gateway: root.flag("isGateway")? || is_default_gateway,
            is_default_gateway,
            hairpin: root.flag("hairpinMode")?,
            mac: read_mac(&root, args)?,
            requested: read_requested(&root, args)?,
            ranges,
            routes: Some(routes).filter(|routes| !(ours && routes.is_empty())),
            dns: read_dns(&root, &ipam)?,
        })
    }
}

fn refuse(section: &Section<'_>, fields: &[&str]) -> Result<(), Error> {
    let empty = |value: &Value| match value {
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Null | Value::Object(_) => false,
    };
    match fields.iter().find_map(|field| Some((*field, section.value(field).filter(|v| !empty(v))?))) {
        None => Ok(()),
        Some((field, value)) => {
            let message = format!("unsupported field {}={value}", section.path(field));
            Err(Error::new(Code::UnsupportedField, message, "leave it out"))
        }
    }
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

fn read_route(section: &Section<'_>) -> Result<Route, Error> {
    refuse(section, &UNSUPPORTED_IN_ROUTES)?;
    let dst: Option<Prefix> = section.parsed("dst")?;
    let dst = dst.ok_or_else(|| Error::invalid(section.path("dst"), "it is absent"))?;
    let gw: Option<IpAddr> = section.parsed("gw")?;
    if let Some(gw) = gw.filter(|gw| Prefix::host(*gw).family() != dst.family()) {
        return Err(Error::invalid(section.path("gw"), format!("{gw} is not of the family of {dst}")));
    }
    Ok(Route { dst, gw })
}

/// The value of a capability: from `runtimeConfig`, else from `args.cni` (CONVENTIONS.md).
fn capability<'a>(root: &Section<'a>, field: &str) -> Result<Option<Section<'a>>, Error> {
    let has = |section: &Section<'a>| section.value(field).is_some();
    if let Some(runtime) = root.section("runtimeConfig")?.filter(has) {
        return Ok(Some(runtime));
    }
    match root.section("args")? {
        Some(args) => Ok(args.section("cni")?.filter(has)),
        None => Ok(None),
    }
}

/// The value of a key of `CNI_ARGS`: an older way to ask, which counts only where no other did.
fn argument<'a>(args: &'a [(String, String)], key: &str) -> Option<&'a str> {
    args.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

fn read_mac(root: &Section<'_>, args: &[(String, String)]) -> Result<Option<[u8; 6]>, Error> {
    let (place, text) = match capability(root, "mac")? {
        Some(section) => (section.path("mac"), section.text("mac")?),
        None => ("MAC in CNI_ARGS".to_owned(), argument(args, "MAC").map(str::to_owned)),
    };
    let Some(text) = text else { return Ok(None) };
    let octets: Option<Vec<u8>> =
        text.split([':', '-']).map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
    // The lowest bit of the first octet marks a group of stations (IEEE 802, "I/G").
    match octets.and_then(|octets| <[u8; 6]>::try_from(octets).ok()).filter(|mac| mac[0] & 1 == 0) {
        Some(mac) => Ok(Some(mac)),
        None => Err(Error::invalid(place, format!("{text:?} is not a station's hardware address"))),
    }
}

fn read_requested(root: &Section<'_>, args: &[(String, String)]) -> Result<Vec<IpAddr>, Error> {
    let (place, texts) = match capability(root, "ips")? {
        Some(section) => (section.path("ips"), section.optional("ips")?.unwrap_or_default()),
        None => {
            let texts = argument(args, "IP").map(|text| text.split(',').map(str::to_owned).collect());
            ("IP in CNI_ARGS".to_owned(), texts.unwrap_or_default())
        }
    };
    let texts: Vec<String> = texts;
    let read = |text: &String| {
        // The prefix length is the range's to say.
        let address = text.split_once('/').map_or(text.as_str(), |(address, _)| address);
        address.trim().parse().map_err(|e| Error::invalid(&place, format!("{text:?}: {e}")))
    };
    texts.iter().map(read).collect()
}

/// The network's own name service, or what `ipam.resolvConf` says.
fn read_dns(root: &Section<'_>, ipam: &Section<'_>) -> Result<Dns, Error> {
    if let Some(dns) = root.section("dns")? {
        let list = |field: &str| Ok::<_, Error>(dns.optional(field)?.unwrap_or_default());
        let dns = Dns {
            nameservers: list("nameservers")?,
            domain: dns.text("domain")?,
            search: list("search")?,
            options: list("options")?,
        };
        if dns != Dns::default() {
            return Ok(dns);
        }
    }
    let Some(path) = ipam.text("resolvConf")? else { return Ok(Dns::default()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Dns::parse(&text)),
        Err(e) => Err(Error::new(Code::Io, format!("cannot read {path}, named by ipam.resolvConf"), e)),
    }
}
