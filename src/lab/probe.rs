//! Can one endpoint reach another, how fast, and under which address is it seen?
//!
//! Two probes between every pair: an ICMP echo (RFC 792, RFC 4443) for the round-trip time, and a
//! datagram to a *witness* in the other's namespace, which answers with the source address it saw.
//! An address other than the sender's own means that somebody translated it on the way.
//!
//! Sockets are opened inside the endpoint's namespace and then used from outside.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::kernel::NetNs;
use crate::prefix::Family;

/// Where witnesses listen; any port that nothing else in the lab uses.
const WITNESS_PORT: u16 = 9114;

/// What both probes carry, so that nothing else is taken for an answer.
const TOKEN: &[u8; 8] = b"routelet";

/// Something that can be reached: a pod or a host.
#[derive(Debug)]
pub struct Endpoint {
    /// How it is called in the matrix.
    pub name: String,
    /// The cluster node it is on; `None` for a host.
    pub node: Option<String>,
    /// Its addresses, one of each family at most.
    pub addresses: Vec<IpAddr>,
    /// Its network namespace.
    pub namespace: NetNs,
}

impl Endpoint {
    /// Its address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }
}

/// An ICMP echo socket from one address to another.
#[derive(Debug)]
pub struct Pinger {
    socket: UdpSocket,
    family: Family,
    id: u16,
}

impl Pinger {
    /// Opens a socket in `from`'s namespace. `id` tells this one's answers from others'.
    ///
    /// # Errors
    /// The addresses are of different families, or raw sockets are refused.
    pub fn open(from: &Endpoint, to: IpAddr, id: u16) -> anyhow::Result<Pinger> {
        let family = Family::of(to);
        let own = from.address(family).with_context(|| format!("{} has no {family} address", from.name))?;
        let socket = from.namespace.enter(|| raw_socket(own, to))?;
        let what = || format!("opening an ICMP socket on {}", from.name);
        let socket = UdpSocket::from_std(socket.with_context(what)?.into()).with_context(what)?;
        Ok(Pinger { socket, family, id })
    }

    /// Asks every `pause` until an answer comes; returns when it has.
    pub async fn first_answer(&self, pause: Duration) {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sequence = 0;
        loop {
            tokio::select! {
                // No route yet, no neighbour yet: that is what is being waited for.
                _ = ticks.tick() => { let _ = self.ask(sequence).await; sequence = sequence.wrapping_add(1); }
                Ok(_) = self.answer() => return,
            }
        }
    }

    /// The least round-trip time of a few echoes; `None` if none was answered by `deadline`.
    pub async fn round_trip(&self, deadline: Instant) -> Option<Duration> {
        let mut best = None;
        for sequence in 1000..1003 {
            let asked = Instant::now();
            self.ask(sequence).await.ok()?;
            let answered =
                timeout_at(deadline, async { while self.answer().await.ok() != Some(sequence) {} });
            answered.await.ok()?;
            let taken = asked.elapsed();
            best = Some(best.map_or(taken, |best: Duration| best.min(taken)));
        }
        best
    }

    async fn ask(&self, sequence: u16) -> io::Result<()> {
        self.socket.send(&echo(self.family, self.id, sequence)).await.map(drop)
    }

    /// The sequence number of the next answer to this socket.
    async fn answer(&self) -> io::Result<u16> {
        let mut packet = [0; 256];
        loop {
            match self.socket.recv(&mut packet).await {
                Ok(length) => {
                    if let Some(sequence) = sequence_of(self.family, self.id, &packet[..length]) {
                        return Ok(sequence);
                    }
                }
                // An ICMP error about an earlier echo is reported once, here.
                Err(error) if is_unreachable(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

fn raw_socket(from: IpAddr, to: IpAddr) -> io::Result<Socket> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    // Connected, so that only this peer's packets arrive. An endpoint's own routes are static:
    // connecting does not depend on what BGP has brought about.
    socket.connect(&SocketAddr::new(to, 0).into())?;
    Ok(socket)
}

/// An echo request. The kernel fills in the checksum of ICMPv6, which covers addresses.
fn echo(family: Family, id: u16, sequence: u16) -> [u8; 16] {
    let mut packet = [0; 16];
    packet[0] = if family == Family::Ipv4Unicast { 8 } else { 128 };
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[8..].copy_from_slice(TOKEN);
    if family == Family::Ipv4Unicast {
        let checksum = checksum(&packet);
        packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

/// The Internet checksum (RFC 1071) of an even number of octets.
fn checksum(octets: &[u8]) -> u16 {
    let sum: u32 = octets.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

/// The sequence number, if the packet answers an echo of `id`. IPv4 raw sockets deliver the IP
/// header too, IPv6 ones do not.
fn sequence_of(family: Family, id: u16, packet: &[u8]) -> Option<u16> {
    let (icmp, reply) = match family {
        Family::Ipv4Unicast => (packet.get(usize::from(packet.first()? & 0x0f) * 4..)?, 0),
        Family::Ipv6Unicast => (packet, 129),
    };
    let [kind, 0, _, _, id_high, id_low, sequence_high, sequence_low, token @ ..] = icmp else { return None };
    let ours = *kind == reply && u16::from_be_bytes([*id_high, *id_low]) == id && token.starts_with(TOKEN);
    ours.then(|| u16::from_be_bytes([*sequence_high, *sequence_low]))
}

/// Starts a witness on each address of an endpoint: it answers with the source address it sees. It
/// ends with the runtime.
///
/// # Errors
/// Its port is taken.
pub fn start_witnesses(endpoint: &Endpoint) -> anyhow::Result<()> {
    for address in &endpoint.addresses {
        let socket = udp_socket(endpoint, SocketAddr::new(*address, WITNESS_PORT))?;
        tokio::spawn(async move {
            let mut question = [0; TOKEN.len()];
            loop {
                if let Ok((length, source)) = socket.recv_from(&mut question).await
                    && question[..length] == *TOKEN
                {
                    // The asker asks again if this gets lost.
                    let _ = socket.send_to(source.ip().to_string().as_bytes(), source).await;
                }
            }
        });
    }
    Ok(())
}

/// Under which address the witness at `to` sees `from`; `None` if it has not answered by `deadline`.
///
/// # Errors
/// No socket can be opened.
pub async fn seen_as(from: &Endpoint, to: IpAddr, deadline: Instant) -> anyhow::Result<Option<IpAddr>> {
    let family = Family::of(to);
    let own = from.address(family).with_context(|| format!("{} has no {family} address", from.name))?;
    let socket = udp_socket(from, SocketAddr::new(own, 0))?;
    let witness = SocketAddr::new(to, WITNESS_PORT);
    let mut ticks = interval(Duration::from_millis(100));
    let mut answer = [0; 64];
    let asked = timeout_at(deadline, async {
        loop {
            tokio::select! {
                _ = ticks.tick() => { let _ = socket.send_to(TOKEN, witness).await; }
                received = socket.recv_from(&mut answer) => {
                    if let Ok((length, source)) = received && source == witness {
                        return std::str::from_utf8(&answer[..length]).ok().and_then(|text| text.parse().ok());
                    }
                }
            }
        }
    });
    Ok(asked.await.unwrap_or(None))
}

fn udp_socket(endpoint: &Endpoint, local: SocketAddr) -> anyhow::Result<UdpSocket> {
    let what = || format!("opening a UDP socket on {}", endpoint.name);
    let socket = endpoint.namespace.enter(|| std::net::UdpSocket::bind(local))?.with_context(what)?;
    socket.set_nonblocking(true).with_context(what)?;
    UdpSocket::from_std(socket).with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_has_a_valid_checksum() {
        let packet = echo(Family::Ipv4Unicast, 7, 3);
        // A packet that includes its checksum sums to zero (RFC 1071 §1).
        assert_eq!(checksum(&packet), 0);
    }

    #[test]
    fn only_the_answer_to_this_echo_counts() {
        let mut answer = vec![0x45; 20];
        answer.extend_from_slice(&echo(Family::Ipv4Unicast, 7, 3));
        let sequence = |packet: &[u8], id| sequence_of(Family::Ipv4Unicast, id, packet);
        assert_eq!(sequence(&answer, 7), None, "a request is no answer");
        answer[20] = 0;
        assert_eq!(sequence(&answer, 7), Some(3));
        assert_eq!(sequence(&answer, 8), None);
        assert_eq!(sequence(&answer[..25], 7), None);
        assert_eq!(sequence(&[], 7), None);
    }
}
