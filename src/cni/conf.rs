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
//! with the same defaults. Ours are `nodeFile`, the path of the node file; `logFile` ([`super::log`]);
//! `mode`, which is `bridge` or `routed` ([`super::routed`]) and by default what the node file says unless a
//! bridge is named; and `ipam.type` `routelet`, which needs no subnet: it takes the node's pod CIDRs and gives
//! the pod a default route unless told otherwise.
//!
//! Unknown fields are ignored, for runtimes pass everything through.
//!
//! What the bridge and its ports are to be like is read in [`super::options`]; what is done to a pod's
//! packets, as `ipMasq`, `macspoofchk` and port mappings say, in [`super::masquerade`].

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::environment::identifier_fault;
use super::field::Section;
use super::options::Options;
use super::result::Dns;
use super::version::Version;
use super::{Code, Error};
use crate::ipam::Store;
use crate::ipam::node::{self, Mode};

/// Where host-local keeps its reservations, and we ours.
const DATA_DIR: &str = "/var/lib/cni/networks";

/// What every verb needs to know.
#[derive(Debug, Clone)]
pub struct Network {
    /// Version of the specification to speak.
    pub version: Version,
    /// Name of the network.
    pub name: String,
    /// Where addresses are kept.
    pub data_dir: PathBuf,
    /// Where other plugins are looked for (`CNI_PATH`); empty until it is said.
    pub plugin_path: String,
    /// What was read: other plugins are handed it as it came.
    text: Vec<u8>,
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
        if let Some(fault) = identifier_fault(&name) {
            return Err(Error::invalid("name", fault));
        }
        let data_dir = root.text_within("ipam", "dataDir")?.unwrap_or_else(|| DATA_DIR.to_owned()).into();
        Ok(Network { version, name, data_dir, plugin_path: String::new(), text: input.to_vec(), document })
    }

    /// The configuration as it was read.
    pub fn text(&self) -> &[u8] {
        &self.text
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

    /// The result of the ADD, for what has no meaning without.
    ///
    /// # Errors
    /// It is absent, or not an object.
    pub fn added(&self) -> Result<Section<'_>, Error> {
        let absent =
            || Error::invalid("prevResult", "it is absent; CHECK compares with the result of the ADD");
        Ok(Section::root(self.previous()?.ok_or_else(absent)?))
    }

    /// Where the addresses are kept.
    pub fn store(&self) -> Store {
        Store::new(&self.data_dir, &self.name)
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
    /// How pods are connected to their node, if given.
    pub mode: Option<Mode>,
    /// Name of the bridge, if given.
    pub bridge: Option<String>,
    /// MTU in octets, if given.
    pub mtu: Option<u32>,
    /// The bridge holds the gateway addresses, and the node forwards.
    pub is_gateway: bool,
    /// The pod's default routes point there.
    pub is_default_gateway: bool,
    /// How the bridge and the pod's port are to be.
    pub options: Options,
    /// Hardware address of the pod's interface, if given.
    pub mac: Option<[u8; 6]>,
    /// Name service, if the configuration or the runtime says; else it is the address plugin's to say.
    pub dns: Option<Dns>,
}

impl Wanted {
    /// Reads what an attachment needs.
    ///
    /// # Errors
    /// A field is wrong, or contradicts another.
    pub fn read(network: &Network, args: &[(String, String)]) -> Result<Wanted, Error> {
        let root = network.root();
        let is_default_gateway = root.flag("isDefaultGateway")?;
        Ok(Wanted {
            mode: read_mode(&root)?,
            bridge: root.text("bridge")?,
            mtu: root.optional("mtu")?.filter(|mtu| *mtu != 0),
            // As in the reference: one cannot be the default gateway without being a gateway.
            is_gateway: root.flag("isGateway")? || is_default_gateway,
            is_default_gateway,
            options: Options::read(&root)?,
            mac: read_mac(&root, args)?,
            dns: read_dns(&root)?,
        })
    }
}

/// The section that holds a capability: `runtimeConfig`, else `args.cni` (CONVENTIONS.md).
///
/// # Errors
/// One of these is not an object.
pub fn capability<'a>(root: &Section<'a>, field: &str) -> Result<Option<Section<'a>>, Error> {
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
pub fn argument<'a>(args: &'a [(String, String)], key: &str) -> Option<&'a str> {
    args.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// How a configuration wants pods connected (`mode`); `None` where it leaves that to the node file. Who
/// names a bridge wants one.
fn read_mode(root: &Section<'_>) -> Result<Option<Mode>, Error> {
    match root.text("mode")?.as_deref() {
        None => Ok(root.text("bridge")?.map(|_| Mode::Bridge)),
        Some("bridge") => Ok(Some(Mode::Bridge)),
        Some("routed") => Ok(Some(Mode::Routed)),
        Some(other) => Err(Error::invalid("mode", format!("{other:?} is neither bridge nor routed"))),
    }
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
    match octets
        .and_then(|octets| <[u8; 6]>::try_from(octets).ok())
        .filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6])
    {
        Some(mac) => Ok(Some(mac)),
        None => Err(Error::invalid(place, format!("{text:?} is not a station's hardware address"))),
    }
}

/// The name service that the runtime asks for (capability `dns`), else the network's own.
fn read_dns(root: &Section<'_>) -> Result<Option<Dns>, Error> {
    let runtime = match root.section("runtimeConfig")? {
        Some(runtime) => runtime.section("dns")?,
        None => None,
    };
    if let Some(runtime) = runtime {
        let dns = Dns::fields(&runtime, "servers", "searches")?;
        if dns != Dns::default() {
            return Ok(Some(dns));
        }
    }
    Ok(Some(Dns::read(root)?).filter(|dns| *dns != Dns::default()))
}
