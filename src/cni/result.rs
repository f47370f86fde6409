//! Results of ADD, in the shape each version of the specification asks for (CNI specification,
//! section 5, "Success"; for 0.1.0 and 0.2.0 their own "Result").
//!
//! | | 0.1.0, 0.2.0 | 0.3.0 to 0.4.0 | 1.0.0 | 1.1.0 |
//! |---|---|---|---|---|
//! | addresses | `ip4`, `ip6`: one each | `ips` with `version` | `ips` without | as before |
//! | interfaces | none | `name`, `mac`, `sandbox` | as before | and `mtu` |
//! | routes | in `ip4` and `ip6` | `routes` | as before | as before |
//! | `dns` | always | always | unless empty | unless empty |

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::version::Version;
use crate::prefix::{Family, Prefix};

/// What an ADD made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Success {
    /// The interfaces made or used.
    pub interfaces: Vec<Interface>,
    /// The pod's addresses.
    pub ips: Vec<Ip>,
    /// The pod's routes.
    pub routes: Vec<Route>,
    /// What the pod should ask for names.
    pub dns: Dns,
}

/// An interface, on the node or in the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: Option<[u8; 6]>,
    /// Its MTU in octets.
    pub mtu: u32,
    /// Path of the namespace as the runtime gave it; `None` on the node.
    pub sandbox: Option<String>,
}

/// An address of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// The address with the length of its prefix.
    pub address: IpNetwork,
    /// The gateway on its link, if there is one.
    pub gateway: Option<IpAddr>,
    /// Index of its interface in [`Success::interfaces`]; `None` where another plugin makes it.
    pub interface: Option<usize>,
}

/// A route in the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub dst: Prefix,
    /// The gateway if it was chosen for this route; the address's own otherwise.
    pub gw: Option<IpAddr>,
}

/// Name service for the pod, as in resolv.conf(5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// Addresses of name servers, most preferred first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Domains to look short names up in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options for the resolver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Success {
    /// The result in the shape of `version`, after `previous`: the result of the plugins that ran
    /// before this one, in the same version, whose every field is kept.
    pub fn document(&self, version: Version, previous: Option<&Map<String, Value>>) -> Value {
        let mut document = previous.cloned().unwrap_or_default();
        document.insert("cniVersion".to_owned(), json!(version.as_str()));
        if version < Version::V0_3_0 {
            for (family, key) in [(Family::Ipv4Unicast, "ip4"), (Family::Ipv6Unicast, "ip6")] {
                document.extend(self.of_family(family).map(|value| (key.to_owned(), value)));
            }
        } else {
            let earlier = list(&mut document, "interfaces").len();
            list(&mut document, "interfaces").extend(self.interfaces.iter().map(|i| i.document(version)));
            list(&mut document, "ips").extend(self.ips.iter().map(|ip| ip.document(version, earlier)));
            list(&mut document, "routes").extend(self.routes.iter().map(Route::document));
        }
        let dns = json!(self.dns);
        if version < Version::V1_0_0 || self.dns != Dns::default() {
            let empty = document.get("dns").is_none_or(|dns| dns.as_object().is_none_or(Map::is_empty));
            if empty || self.dns != Dns::default() {
                document.insert("dns".to_owned(), dns);
            }
        }
        Value::Object(document)
    }

    /// The first address of a family with the routes of that family: all that the first versions
    /// can say.
    fn of_family(&self, family: Family) -> Option<Value> {
        let ip = self.ips.iter().find(|ip| Family::of(ip.address.ip()) == family)?;
        let routes = self.routes.iter().filter(|route| route.dst.family() == family);
        let routes: Vec<Value> = routes.map(Route::document).collect();
        let mut document = json!({"ip": ip.address.to_string(), "routes": routes});
        if let Some(gateway) = ip.gateway {
            document["gateway"] = json!(gateway.to_string());
        }
        Some(document)
    }
}

impl Dns {
    /// Reads the text of a resolver configuration, resolv.conf(5). What is not understood is passed
    /// over, as resolvers do.
    pub fn parse(text: &str) -> Dns {
        let mut dns = Dns::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let keyword = words.next();
            let mut words = words.map(str::to_owned);
            match keyword {
                Some("nameserver") => dns.nameservers.extend(words.take(1)),
                Some("domain") => dns.domain = words.next(),
                Some("search") => dns.search = words.collect(),
                Some("options") => dns.options.extend(words),
                _ => {}
            }
        }
        dns
    }
}

impl Interface {
    fn document(&self, version: Version) -> Value {
        let mut document = json!({"name": self.name});
        if let Some(mac) = self.mac {
            document["mac"] = json!(format_mac(mac));
        }
        if version >= Version::V1_1_0 {
            document["mtu"] = json!(self.mtu);
        }
        if let Some(sandbox) = &self.sandbox {
            document["sandbox"] = json!(sandbox);
        }
        document
    }
}

impl Ip {
    fn document(&self, version: Version, earlier_interfaces: usize) -> Value {
        let mut document = json!({"address": self.address.to_string()});
        if let Some(gateway) = self.gateway {
            document["gateway"] = json!(gateway.to_string());
        }
        if let Some(interface) = self.interface {
            document["interface"] = json!(interface + earlier_interfaces);
        }
        if version < Version::V1_0_0 {
            document["version"] = json!(if self.address.is_ipv4() { "4" } else { "6" });
        }
        document
    }
}

impl Route {
    fn document(&self) -> Value {
        match self.gw {
            Some(gw) => json!({"dst": self.dst.to_string(), "gw": gw.to_string()}),
            None => json!({"dst": self.dst.to_string()}),
        }
    }
}

/// A hardware address in the usual writing.
pub fn format_mac(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

/// The list under a key, made if it is not there.
fn list<'a>(document: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let entry = document.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    if !entry.is_array() {
        *entry = Value::Array(Vec::new());
    }
    match entry {
        Value::Array(list) => list,
        _ => unreachable!("made an array above"),
    }
}
