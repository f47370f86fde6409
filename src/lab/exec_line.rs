//! The `exec` lines of a topology file, as the lab understands them: the handful of `ip` and
//! `sysctl` commands that configure a node's network.
//!
//! Nothing is executed: under containerlab these lines run inside a container, here each becomes an
//! [`Action`] that [`super::cabling`] asks of the kernel. A line that is none of these is handed back
//! with the reason, so that the lab can say what it did not do.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::prefix::Family;

/// What one line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `ip addr add ADDRESS dev LINK`
    AddAddress {
        /// Interface name.
        link: String,
        /// Address with prefix length.
        address: IpNetwork,
    },
    /// `ip link add NAME type bridge`
    AddBridge {
        /// Name of the new bridge.
        name: String,
    },
    /// `ip link set LINK [up|down] [master BRIDGE|nomaster] [mtu N]`
    SetLink {
        /// Interface name.
        link: String,
        /// Administratively up or down.
        up: Option<bool>,
        /// The bridge to be a port of; the inner `None` leaves the present one.
        master: Option<Option<String>>,
        /// Largest packet in octets.
        mtu: Option<u32>,
    },
    /// `ip route add|replace DESTINATION [via GATEWAY] [dev LINK]`
    AddRoute {
        /// Destination.
        destination: IpNetwork,
        /// Router.
        via: Option<IpAddr>,
        /// Interface name.
        link: Option<String>,
    },
    /// `sysctl -w KEY=VALUE`, for keys under `net.` alone: the others are the machine's.
    Sysctl {
        /// Dotted key.
        key: String,
        /// Value.
        value: String,
    },
}

impl Action {
    /// The address family the action is about; `None` when it serves both.
    pub fn family(&self) -> Option<Family> {
        match self {
            Action::AddAddress { address, .. } => Some(Family::of(address.ip())),
            Action::AddRoute { destination, .. } => Some(Family::of(destination.ip())),
            _ => None,
        }
    }

    /// The action that sets a kernel parameter.
    ///
    /// # Errors
    /// The key is not under `net.`: the parameter would be the whole machine's.
    pub fn sysctl(key: &str, value: &str) -> Result<Action, String> {
        // The key becomes a path under /proc/sys.
        let plain =
            !key.contains("..") && key.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        if key.starts_with("net.") && plain {
            return Ok(Action::Sysctl { key: key.to_owned(), value: value.to_owned() });
        }
        Err(format!("{key} is not a parameter of a network namespace"))
    }
}

/// Reads one line.
///
/// # Errors
/// The lab does not play such a command; the text says why.
pub fn parse(line: &str) -> Result<Action, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["ip", rest @ ..] => ip(rest),
        ["sysctl", "-w" | "-qw", setting] => match setting.split_once('=') {
            Some((key, value)) => Action::sysctl(key, value),
            None => Err(format!("{setting:?} is not KEY=VALUE")),
        },
        _ => Err("only `ip` and `sysctl -w` are played".to_owned()),
    }
}

fn ip(words: &[&str]) -> Result<Action, String> {
    let (family, words) = match words {
        ["-4", rest @ ..] => (Some(Family::Ipv4Unicast), rest),
        ["-6", rest @ ..] => (Some(Family::Ipv6Unicast), rest),
        rest => (None, rest),
    };
    match words {
        ["address" | "addr" | "a", "add" | "replace", rest @ ..] => add_address(rest),
        ["link" | "l", "add", rest @ ..] => add_link(rest),
        ["link" | "l", "set", rest @ ..] => set_link(rest),
        ["route" | "ro" | "r", "add" | "replace", rest @ ..] => add_route(rest, family),
        _ => Err("only `ip addr add`, `ip link add|set` and `ip route add` are played".to_owned()),
    }
}

fn add_address(words: &[&str]) -> Result<Action, String> {
    let mut words = words.iter();
    let (mut address, mut link) = (None, None);
    while let Some(word) = words.next() {
        match *word {
            "dev" => link = words.next().map(|name| (*name).to_owned()),
            // So already: addresses here are usable at once.
            "nodad" => {}
            text if address.is_none() => address = Some(network(text)?),
            other => return Err(unknown(other)),
        }
    }
    match (address, link) {
        (Some(address), Some(link)) => Ok(Action::AddAddress { link, address }),
        _ => Err("an address and `dev LINK` are needed".to_owned()),
    }
}

fn add_link(words: &[&str]) -> Result<Action, String> {
    match words {
        [name, "type", "bridge"] | ["name" | "dev", name, "type", "bridge"] => {
            Ok(Action::AddBridge { name: (*name).to_owned() })
        }
        _ => Err("of new links, only `NAME type bridge` is played".to_owned()),
    }
}

fn set_link(words: &[&str]) -> Result<Action, String> {
    let mut words = words.iter();
    let (mut link, mut up, mut master, mut mtu) = (None, None, None, None);
    while let Some(word) = words.next() {
        let mut value = || words.next().copied().ok_or_else(|| format!("{word:?} lacks its value"));
        match *word {
            "dev" => link = Some(value()?.to_owned()),
            "up" => up = Some(true),
            "down" => up = Some(false),
            "master" => master = Some(Some(value()?.to_owned())),
            "nomaster" => master = Some(None),
            "mtu" => {
                let text = value()?;
                mtu = Some(text.parse().map_err(|_| format!("{text:?} is not an MTU"))?);
            }
            name if link.is_none() => link = Some(name.to_owned()),
            other => return Err(unknown(other)),
        }
    }
    match link {
        Some(link) => Ok(Action::SetLink { link, up, master, mtu }),
        None => Err("no link is named".to_owned()),
    }
}

fn add_route(words: &[&str], family: Option<Family>) -> Result<Action, String> {
    let mut words = words.iter();
    let (mut destination, mut via, mut link) = (None, None, None);
    while let Some(word) = words.next() {
        let mut value = || words.next().copied().ok_or_else(|| format!("{word:?} lacks its value"));
        match *word {
            "via" => {
                let text = value()?;
                via = Some(text.parse::<IpAddr>().map_err(|_| format!("{text:?} is not an address"))?);
            }
            "dev" => link = Some(value()?.to_owned()),
            text if destination.is_none() => destination = Some(text),
            other => return Err(unknown(other)),
        }
    }
    let destination = match destination {
        Some("default") => {
            let family = via.map(Family::of).or(family).unwrap_or(Family::Ipv4Unicast);
            network(if family == Family::Ipv4Unicast { "0.0.0.0/0" } else { "::/0" })?
        }
        Some(text) => network(text)?,
        None => return Err("no destination is named".to_owned()),
    };
    Ok(Action::AddRoute { destination, via, link })
}

fn network(text: &str) -> Result<IpNetwork, String> {
    text.parse().map_err(|_| format!("{text:?} is not of the form ADDRESS/LENGTH"))
}

fn unknown(word: &str) -> String {
    format!("{word:?} is not understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: &str) -> String {
        parse(line).unwrap_err()
    }

    #[test]
    fn every_line_of_the_built_in_topology_is_played() {
        let topology = super::super::topology::Topology::built_in().unwrap();
        for line in topology.nodes.values().flat_map(|node| &node.exec) {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
        }
    }

    #[test]
    fn addresses_links_and_routes() {
        assert_eq!(
            parse("ip addr add 192.168.1.11/24 dev eth1"),
            Ok(Action::AddAddress { link: "eth1".into(), address: "192.168.1.11/24".parse().unwrap() })
        );
        assert_eq!(
            parse("ip -6 address add fd00::1/64 dev eth1 nodad"),
            Ok(Action::AddAddress { link: "eth1".into(), address: "fd00::1/64".parse().unwrap() })
        );
        assert_eq!(parse("ip link add br0 type bridge"), Ok(Action::AddBridge { name: "br0".into() }));
        assert_eq!(
            parse("ip link set dev eth1 mtu 9000 master br0 up"),
            Ok(Action::SetLink {
                link: "eth1".into(),
                up: Some(true),
                master: Some(Some("br0".into())),
                mtu: Some(9000)
            })
        );
        assert_eq!(
            parse("ip route replace default via fd00::1 dev eth1"),
            Ok(Action::AddRoute {
                destination: "::/0".parse().unwrap(),
                via: Some("fd00::1".parse().unwrap()),
                link: Some("eth1".into())
            })
        );
    }

    #[test]
    fn the_family_is_that_of_the_addresses() {
        let family = |line: &str| parse(line).unwrap().family();
        assert_eq!(family("ip addr add 10.0.0.1/8 dev a"), Some(Family::Ipv4Unicast));
        assert_eq!(family("ip -6 route add default dev a"), Some(Family::Ipv6Unicast));
        assert_eq!(family("ip link set a up"), None);
    }

    #[test]
    fn a_parameter_of_the_whole_machine_is_left_alone() {
        assert_eq!(
            parse("sysctl -w net.ipv4.ip_forward=1"),
            Ok(Action::Sysctl { key: "net.ipv4.ip_forward".into(), value: "1".into() })
        );
        assert_eq!(
            error("sysctl -w kernel.panic=1"),
            "kernel.panic is not a parameter of a network namespace"
        );
        assert!(error("sysctl -w net./../kernel=1").contains("not a parameter"));
    }

    #[test]
    fn what_is_not_played_says_why() {
        assert_eq!(error("touch /x"), "only `ip` and `sysctl -w` are played");
        assert_eq!(
            error("ip rule add x"),
            "only `ip addr add`, `ip link add|set` and `ip route add` are played"
        );
        assert_eq!(error("ip link add v type vxlan id 1"), "of new links, only `NAME type bridge` is played");
        assert_eq!(
            error("ip addr add 10.0.0.300/8 dev a"),
            "\"10.0.0.300/8\" is not of the form ADDRESS/LENGTH"
        );
        assert_eq!(error("ip addr add 10.0.0.1/8"), "an address and `dev LINK` are needed");
        assert_eq!(error("ip route add 10.0.0.0/8 via"), "\"via\" lacks its value");
        assert_eq!(error("ip route add 10.0.0.0/8 metric 5"), "\"metric\" is not understood");
    }
}
