//! Duplicates of IPv6 addresses, found without the second or two that duplicate detection (RFC 4862 §5.4)
//! takes of every start: pods use their addresses at once.
//!
//! The bridge, as a gateway, asks for an address by neighbor solicitation before the pod gets it
//! ([`seek`]), and whether there was an answer is looked up when all else has been done ([`refuse`]).
//! Whoever has the address on this node has answered by then, since the kernel carries frames from port to
//! port in the system call that sends them. Somebody far away, on a segment that the bridge is joined to,
//! may answer too late to be heard; and where the bridge is no gateway, nobody is asked.

use super::result::{Ip, format_mac};
use super::{Code, Error};
use crate::kernel::{At, Batch, Conversation};

/// Has the link asked for each IPv6 address.
pub fn seek(batch: &mut Batch, link: At<'_>, ips: &[Ip]) {
    ips.iter().filter_map(Ip::ipv6).for_each(|address| batch.seek_station(link, address));
}

/// Refuses to go on if somebody other than the pod, which has this hardware address, has one of its addresses.
///
/// # Errors
/// Somebody has.
pub fn refuse(host: &mut Conversation, link: At<'_>, pod: [u8; 6], ips: &[Ip]) -> Result<(), Error> {
    let mut batch = Batch::new();
    let ask = |address| (address, batch.look_up_station(link, address));
    let asked: Vec<_> = ips.iter().filter_map(Ip::ipv6).map(ask).collect();
    let outcome = host.carry_out(batch)?;
    for (address, place) in asked {
        if let Some(other) = outcome.station(place).filter(|mac| *mac != pod) {
            let message = format!("address {address} is in use on {} already", link.name);
            let why = format!("by {}; another ADD will take the next address", format_mac(other));
            return Err(Error::new(Code::NoAddress, message, why));
        }
    }
    Ok(())
}
