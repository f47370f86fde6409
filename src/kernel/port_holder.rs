//! Who listens on a TCP port already, so that "address in use" can be said with a name.
//!
//! Best effort: reads the calling thread's namespace and the processes that this one may look at
//! (proc(5)). Whoever listens from within another container stays unnamed.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// A listener that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The address it listens on, which may be the unspecified one where ours is not.
    pub address: SocketAddr,
    /// Its process.
    pub process: Option<Process>,
}

/// A process by name and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its command's name.
    pub name: String,
    /// Its id, as this process sees it.
    pub pid: u32,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.address.ip();
        write!(f, "port {} on {address} is held by ", self.address.port())?;
        match &self.process {
            Some(Process { name, pid }) => write!(f, "{name} (pid {pid})"),
            None => f.write_str("a process that cannot be seen from here"),
        }
    }
}

/// Who keeps `wanted` from being listened on; `None` where nobody is seen to.
pub(super) fn find(wanted: SocketAddr) -> Option<Holder> {
    let (address, inode) = ["tcp", "tcp6"].into_iter().find_map(|table| {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok()?;
        table.lines().skip(1).filter_map(listener).find(|(address, _)| collide(*address, wanted))
    })?;
    Some(Holder { address, process: process_with(inode) })
}

/// A line of `/proc/net/tcp` that describes a listener: its address and its socket's inode.
fn listener(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    Some((address(local)?, fields.nth(5)?.parse().ok()?))
}

/// `0B00A8C0:00B3`: the address in words of the machine's byte order, the port in plain hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut octets = Vec::with_capacity(16);
    for start in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(start..start + 8)?, 16).ok()?;
        octets.extend_from_slice(&word.to_ne_bytes());
    }
    let ip: IpAddr = match <[u8; 4]>::try_from(octets.as_slice()) {
        Ok(octets) => Ipv4Addr::from(octets).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Whether two listeners exclude each other. One on `::` may take in IPv4 as well.
fn collide(held: SocketAddr, wanted: SocketAddr) -> bool {
    let takes_both = |address: IpAddr| address == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    held.port() == wanted.port()
        && (held.ip() == wanted.ip()
            || takes_both(held.ip())
            || held.is_ipv4() == wanted.is_ipv4()
                && (held.ip().is_unspecified() || wanted.ip().is_unspecified()))
}

/// The process that has the socket open; of several, as after a fork, the first.
fn process_with(inode: u64) -> Option<Process> {
    let wanted = format!("socket:[{inode}]");
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let pid = pids.into_iter().find(|pid| {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        descriptors
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .any(|target| target == Path::new(&wanted))
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Process { name: name.trim_end().to_owned(), pid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_listeners_are_read_and_others_are_not() {
        let line = "   0: 0B01A8C0:00B3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31337 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listener(line), Some(("192.168.1.11:179".parse().unwrap(), 31337)));
        let line = "   0: B80D0120000000000000000001000000:00B3 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1";
        assert_eq!(listener(line), Some(("[2001:db8::1]:179".parse().unwrap(), 7)));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listener("nonsense"), None);
    }

    #[test]
    fn wildcards_collide_within_their_family() {
        let collide = |held: &str, wanted: &str| collide(held.parse().unwrap(), wanted.parse().unwrap());
        assert!(collide("0.0.0.0:179", "192.0.2.1:179"));
        assert!(collide("192.0.2.1:179", "0.0.0.0:179"));
        assert!(collide("[::]:179", "0.0.0.0:179"));
        assert!(!collide("[::1]:179", "0.0.0.0:179"));
        assert!(!collide("192.0.2.1:179", "192.0.2.2:179"));
        assert!(!collide("0.0.0.0:180", "0.0.0.0:179"));
    }
}
