//! Results of ADD: what was made, and how it is said (CNI specification, section 5, "Success").
//!
//! A result is said in the newest shape and brought into that of the version asked for ([`convert`]):
//!
//! | | 0.1.0, 0.2.0 | 0.3.0 to 0.4.0 | 1.0.0 | 1.1.0 |
//! |---|---|---|---|---|
//! | addresses | `ip4`, `ip6`: one each | `ips` with `version` | `ips` without | as before |
//! | interfaces | none | `name`, `mac`, `sandbox` | as before | and `mtu` |
//! | routes | in `ip4` and `ip6` | `routes`: `dst`, `gw` | as before | and `mtu`, `advmss`, `priority`, `table`, `scope` |
//! | `dns` | always | always | unless empty | unless empty |

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::field::Section;
use super::version::Version;
use super::{Error, convert};
use crate::kernel::RouteOptions;
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

/// The families in which there is an address.
pub fn families(ips: &[Ip]) -> impl Iterator<Item = Family> + '_ {
    let has = |family: &Family| ips.iter().any(|ip| ip.family() == *family);
    Family::ALL.into_iter().filter(has)
}

/// A route in the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub dst: Prefix,
    /// The gateway if it was chosen for this route; the address's own otherwise.
    pub gw: Option<IpAddr>,
    /// What else was said of it (since CNI 1.1.0).
    pub options: RouteOptions,
}

impl Route {
    /// A route of which nothing else is said.
    pub fn new(dst: Prefix, gw: Option<IpAddr>) -> Route {
        Route { dst, gw, options: RouteOptions::default() }
    }
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
    /// before this one, whose every field is kept.
    pub fn document(&self, version: Version, previous: Option<&Map<String, Value>>) -> Value {
        let mut document = previous.map(|previous| convert::upgrade(previous, version)).unwrap_or_default();
        let told = previous.and_then(convert::version_of).unwrap_or(version);
        let new = version >= Version::V1_1_0;
        // What earlier plugins said in this version stays, be it named in it or not.
        if told >= Version::V1_1_0 && !new {
            convert::strip(&mut document);
        }
        let earlier = convert::list(&mut document, "interfaces").len();
        convert::list(&mut document, "interfaces").extend(self.interfaces.iter().map(|i| i.document(new)));
        convert::list(&mut document, "ips").extend(self.ips.iter().map(|ip| ip.document(earlier)));
        convert::list(&mut document, "routes").extend(self.routes.iter().map(|route| route.document(new)));
        if self.dns != Dns::default() {
            document.insert("dns".to_owned(), json!(self.dns));
        }
        convert::shape(document, version)
    }
}

impl Dns {
    /// Reads the section `dns` of a configuration or a result.
    ///
    /// # Errors
    /// A field is wrong.
    pub fn read(root: &Section<'_>) -> Result<Dns, Error> {
        let section = root.section("dns")?;
        section.map_or(Ok(Dns::default()), |section| Dns::fields(&section, "nameservers", "search"))
    }

    /// Reads the fields of a name service, two of which have several names.
    ///
    /// # Errors
    /// A field is wrong.
    pub fn fields(section: &Section<'_>, servers: &str, search: &str) -> Result<Dns, Error> {
        let list = |field: &str| Ok::<_, Error>(section.optional(field)?.unwrap_or_default());
        Ok(Dns {
            nameservers: list(servers)?,
            domain: section.text("domain")?,
            search: list(search)?,
            options: list("options")?,
        })
    }

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
    /// With what CNI 1.1.0 brought, if `new`.
    fn document(&self, new: bool) -> Value {
        let mut document = json!({"name": self.name});
        if new {
            document["mtu"] = json!(self.mtu);
        }
        if let Some(mac) = self.mac {
            document["mac"] = json!(format_mac(mac));
        }
        if let Some(sandbox) = &self.sandbox {
            document["sandbox"] = json!(sandbox);
        }
        document
    }
}

impl Ip {
    /// The family of the address.
    pub fn family(&self) -> Family {
        Family::of(self.address.ip())
    }

    /// The address, if it is one of IPv6.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        match self.address.ip() {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }
    }

    fn document(&self, earlier_interfaces: usize) -> Value {
        let mut document = json!({"address": self.address.to_string()});
        if let Some(gateway) = self.gateway {
            document["gateway"] = json!(gateway.to_string());
        }
        if let Some(interface) = self.interface {
            document["interface"] = json!(interface + earlier_interfaces);
        }
        document
    }
}

impl Route {
    /// With what CNI 1.1.0 brought, if `new`.
    fn document(&self, new: bool) -> Value {
        let mut document = json!({"dst": self.dst.to_string()});
        let RouteOptions { mtu, advmss, priority, table, scope } = self.options;
        let numbers = [mtu, advmss, priority, table, scope.map(u32::from)];
        for (key, number) in convert::NEW_IN_ROUTES.into_iter().zip(numbers) {
            if let Some(number) = number.filter(|_| new) {
                document[key] = json!(number);
            }
        }
        if let Some(gw) = self.gw {
            document["gw"] = json!(gw.to_string());
        }
        document
    }
}

/// A hardware address in the usual writing.
pub fn format_mac(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}
