//! Kernel settings under `/proc/sys/net`: reading and writing them, and the few that go together.
//!
//! That directory shows the namespace of the thread that reads it: call these inside the namespace
//! that is meant. Which settings the daemon wants is in [`super::settings`].

#![cfg_attr(not(feature = "shell"), allow(dead_code, reason = "the plugin needs a part of it"))]

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Error;
use crate::prefix::Family;

const ROOT: &str = "/proc/sys/net";

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sysctl {
    /// Below `/proc/sys`.
    path: PathBuf,
}

impl Sysctl {
    /// By a name without an interface in it, such as `net.ipv4.ip_forward`.
    pub(super) fn named(name: &str) -> Sysctl {
        Sysctl { path: name.split('.').collect() }
    }

    /// A setting of one interface, or of `all`.
    pub(super) fn of(family: Family, interface: &str, setting: &str) -> Sysctl {
        let family = match family {
            Family::Ipv4Unicast => "net/ipv4/conf",
            Family::Ipv6Unicast => "net/ipv6/conf",
        };
        Sysctl { path: Path::new(family).join(interface).join(setting) }
    }

    /// The name as sysctl(8) takes it: dots between, slashes for the dots of an interface's name.
    pub(super) fn name(&self) -> String {
        let parts = self.path.iter().map(|part| part.to_string_lossy().replace('.', "/"));
        parts.collect::<Vec<_>>().join(".")
    }

    /// The value, without the line's end.
    pub(super) fn read(&self) -> Result<String, Error> {
        let file = self.file();
        let value =
            fs::read_to_string(&file).map_err(Error::system(|| format!("read {}", file.display())))?;
        Ok(value.trim().to_owned())
    }

    pub(super) fn write(&self, value: &str) -> Result<(), Error> {
        write(&self.file(), value)
    }

    /// Whether it is one of an interface that is not there.
    pub(super) fn interface_is_missing(&self) -> bool {
        let file = self.file();
        let of_all = file.parent().and_then(|interface| Some(interface.parent()?.join("all")));
        !file.exists() && of_all.is_some_and(|all| all.exists())
    }

    fn file(&self) -> PathBuf {
        Path::new("/proc/sys").join(&self.path)
    }
}

/// Turns forwarding on for these families where it is off, and returns those for which it was.
///
/// In IPv6 a router does not heed other routers' advertisements unless told to (RFC 4861 §6.2.7;
/// the kernel's `accept_ra`), and the kernel would drop a default route that it learned from one.
/// Interfaces that have learned one keep listening.
///
/// # Errors
/// It is off and cannot be turned on: no privilege, or a read-only `/proc/sys`, as containers have
/// it. The error names the file.
pub fn ensure_forwarding(families: &[Family]) -> Result<Vec<Family>, Error> {
    let mut turned_on = Vec::new();
    for family in families {
        let path = forwarding(*family);
        if is_on(&path)? {
            continue;
        }
        if *family == Family::Ipv6Unicast {
            keep_router_advertisements()?;
        }
        write(&path, "1")?;
        turned_on.push(*family);
    }
    Ok(turned_on)
}

/// Whether the kernel speaks a family at all.
pub fn has(family: Family) -> bool {
    forwarding(family).exists()
}

/// Whether the kernel forwards packets of a family.
///
/// # Errors
/// The file cannot be read, as when IPv6 is disabled.
pub fn forwards(family: Family) -> Result<bool, Error> {
    is_on(&forwarding(family))
}

/// Lets an interface use IPv6 addresses at once, without asking whether somebody else has them
/// (RFC 4862 §5.4). Nothing to do where there is no IPv6.
///
/// # Errors
/// The setting cannot be written.
pub fn skip_duplicate_detection(interface: &str) -> Result<(), Error> {
    let path = Path::new(ROOT).join("ipv6/conf").join(interface).join("accept_dad");
    if path.exists() { write(&path, "0") } else { Ok(()) }
}

/// Has an interface take nothing from router advertisements (RFC 4861 §6.3.4). Nothing to do where there
/// is no IPv6.
///
/// # Errors
/// The setting cannot be written.
pub fn ignore_router_advertisements(interface: &str) -> Result<(), Error> {
    let path = Path::new(ROOT).join("ipv6/conf").join(interface).join("accept_ra");
    if path.exists() { write(&path, "0") } else { Ok(()) }
}

/// Lets an interface carry IPv4 packets of loopback addresses, which the kernel drops otherwise
/// (RFC 1122 §3.2.1.3): whoever sends to such an address of the node must be kept from it by other means.
///
/// # Errors
/// The setting cannot be written.
pub fn carry_loopback_addresses(interface: &str) -> Result<(), Error> {
    Sysctl::of(Family::Ipv4Unicast, interface, "route_localnet").write("1")
}

/// Lets an interface have IPv6 addresses. Nothing to do where there is no IPv6.
///
/// # Errors
/// The setting cannot be written.
pub fn enable_ipv6(interface: &str) -> Result<(), Error> {
    let disabled = Sysctl::of(Family::Ipv6Unicast, interface, "disable_ipv6");
    match disabled.read() {
        Ok(value) if value != "0" => disabled.write("0"),
        _ => Ok(()),
    }
}

fn forwarding(family: Family) -> PathBuf {
    Path::new(ROOT).join(match family {
        Family::Ipv4Unicast => "ipv4/ip_forward",
        Family::Ipv6Unicast => "ipv6/conf/all/forwarding",
    })
}

/// Makes interfaces that a default route has been learned on heed router advertisements also while
/// forwarding. No others: what a pod advertises on its bridge must not move the node's routes.
pub(super) fn keep_router_advertisements() -> Result<(), Error> {
    const UNLESS_FORWARDING: &str = "1";
    const ALWAYS: &str = "2";
    let routes = "/proc/thread-self/net/ipv6_route";
    let routes = fs::read_to_string(routes).map_err(Error::system(|| format!("read {routes}")))?;
    for interface in routes.lines().filter_map(learned_default) {
        let path = Path::new(ROOT).join("ipv6/conf").join(interface).join("accept_ra");
        // An interface may vanish between the listing and the look.
        if fs::read_to_string(&path).is_ok_and(|value| value.trim() == UNLESS_FORWARDING) {
            write(&path, ALWAYS)?;
        }
    }
    Ok(())
}

/// The interface of a line of `/proc/net/ipv6_route`, if it is a default route that a router has
/// advertised: destination, source, next hop, metric, two counters, flags, interface.
fn learned_default(line: &str) -> Option<&str> {
    /// `RTF_ADDRCONF` and `RTF_DEFAULT` of `linux/ipv6_route.h`.
    const ADVERTISED_DEFAULT: u32 = 0x0004_0000 | 0x0001_0000;
    let mut fields = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(fields.nth(8)?, 16).ok()?;
    (flags & ADVERTISED_DEFAULT == ADVERTISED_DEFAULT).then_some(fields.next()?)
}

/// Names of the interfaces with an address that a router's advertisements gave them, or that is lent for
/// some other reason: one that will go unless it is renewed. Empty where there is no IPv6.
pub(super) fn configured_by_routers() -> Vec<String> {
    let text = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    let mut names: Vec<String> = text.lines().filter_map(lent_address).map(str::to_owned).collect();
    names.dedup();
    names
}

/// The interface of a line of `/proc/net/if_inet6`, if its address is global and not permanent: address,
/// index, prefix length, scope, flags, interface.
fn lent_address(line: &str) -> Option<&str> {
    /// `IFA_F_PERMANENT` of `linux/if_addr.h`.
    const PERMANENT: u8 = 0x80;
    const GLOBAL: &str = "00";
    let mut fields = line.split_ascii_whitespace().skip(3);
    let scope = fields.next()?;
    let flags = u8::from_str_radix(fields.next()?, 16).ok()?;
    (scope == GLOBAL && flags & PERMANENT == 0).then_some(fields.next()?)
}

fn is_on(path: &Path) -> Result<bool, Error> {
    let value = fs::read_to_string(path).map_err(Error::system(|| format!("read {}", path.display())))?;
    Ok(value.trim() != "0")
}

/// Where a container has another way to `/proc`: its own `/proc/sys` is read-only, and nothing can be mounted on it.
const OF_HOST: &str = "/host";

fn write(path: &Path, value: &str) -> Result<(), Error> {
    let written = fs::write(path, value).or_else(|error| {
        let of_host = Path::new(OF_HOST).join(path.strip_prefix("/").unwrap_or(path));
        let other_way = error.kind() == ErrorKind::ReadOnlyFilesystem && of_host.exists();
        if other_way { fs::write(of_host, value) } else { Err(error) }
    });
    written.map_err(Error::system(|| format!("write {value} to {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_advertised_default_routes_count() {
        let line = |flags: &str| {
            let zero = "0".repeat(32);
            let router = "fe800000000000000000000000000001";
            format!("{zero} 00 {zero} 00 {router} 00000400 00000001 00000000 {flags}     eth0")
        };
        assert_eq!(learned_default(&line("00450003")), Some("eth0"));
        assert_eq!(learned_default(&line("00000003")), None, "typed by a person");
        assert_eq!(learned_default(&line("00040001")), None, "an advertised prefix");
        assert_eq!(learned_default(""), None);
    }

    #[test]
    fn only_lent_global_addresses_count() {
        let line =
            |scope: &str, flags: &str| format!("{} 02 40 {scope} {flags}     eth0", "20010db8".repeat(4));
        assert_eq!(lent_address(&line("00", "00")), Some("eth0"));
        assert_eq!(lent_address(&line("00", "80")), None, "given by hand");
        assert_eq!(lent_address(&line("20", "00")), None, "link-local");
        assert_eq!(lent_address(""), None);
    }

    #[test]
    fn names_are_those_of_sysctl() {
        assert_eq!(Sysctl::named("net.ipv4.ip_forward").name(), "net.ipv4.ip_forward");
        let of_vlan = Sysctl::of(Family::Ipv6Unicast, "eth0.100", "accept_ra");
        assert_eq!(of_vlan.name(), "net.ipv6.conf.eth0/100.accept_ra");
    }
}
