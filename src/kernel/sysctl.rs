//! Kernel settings that a router cannot do without, under `/proc/sys/net`.
//!
//! That directory shows the namespace of the thread that reads it: call these inside the namespace
//! that is meant.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use crate::prefix::Family;

const ROOT: &str = "/proc/sys/net";

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

fn forwarding(family: Family) -> PathBuf {
    Path::new(ROOT).join(match family {
        Family::Ipv4Unicast => "ipv4/ip_forward",
        Family::Ipv6Unicast => "ipv6/conf/all/forwarding",
    })
}

/// Makes interfaces that a default route has been learned on heed router advertisements also while
/// forwarding. No others: what a pod advertises on its bridge must not move the node's routes.
fn keep_router_advertisements() -> Result<(), Error> {
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

fn is_on(path: &Path) -> Result<bool, Error> {
    let value = fs::read_to_string(path).map_err(Error::system(|| format!("read {}", path.display())))?;
    Ok(value.trim() != "0")
}

fn write(path: &Path, value: &str) -> Result<(), Error> {
    fs::write(path, value).map_err(Error::system(|| format!("write {value} to {}", path.display())))
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
}
