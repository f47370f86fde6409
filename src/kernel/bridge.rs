//! The bridge that pods are attached to, as the daemon and the plugin both make it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::batch::Batch;
use super::link::Link;
use super::{Conversation, Error, sysctl};

/// MTU of a bridge in octets where none is asked for: Ethernet's (`ETH_DATA_LEN`).
const ETHERNET: u32 = 1500;

impl Conversation {
    /// The bridge of that name, made if there is none; not set up yet if so. Several callers may do this at
    /// once. Must be called in the namespace of the conversation, for a sysctl is set there.
    ///
    /// A bridge that is there keeps its MTU, unless it is down: then it serves nobody, and whoever was making
    /// it may have been killed.
    ///
    /// # Errors
    /// The name belongs to something that is no bridge, or the kernel refuses.
    pub fn ensure_bridge(&mut self, name: &str, mtu: Option<u32>) -> Result<Link, Error> {
        let found = self.link(name)?;
        let mtu = mtu.unwrap_or(ETHERNET);
        let mut link = match found {
            Some(link) => link,
            None => self.make_bridge(name, mtu)?,
        };
        if link.kind.as_deref() != Some("bridge") {
            let kind = link.kind.unwrap_or_else(|| "plain interface".to_owned());
            return Err(Error::NotABridge { kind, name: link.name });
        }
        if !link.up && link.mtu != mtu {
            let mut batch = Batch::new();
            batch.set_mtu((&link).into(), mtu);
            self.carry_out(batch)?;
            link.mtu = mtu;
        }
        if !link.up {
            // A pod that plays router must not give the node a default route or a name server: the node is
            // the router here, and as long as it does not forward IPv6 it would listen (CVE-2020-10749).
            let _ = sysctl::ignore_router_advertisements(name);
            // Until its own link-local address is known to be unique, which takes up to two
            // seconds, a router cannot ask for a pod's hardware address. On a bridge that was
            // made a moment ago there is nobody to have a duplicate.
            // Where settings cannot be written, as in some containers, one waits.
            let _ = sysctl::skip_duplicate_detection(name);
        }
        Ok(link)
    }

    fn make_bridge(&mut self, name: &str, mtu: u32) -> Result<Link, Error> {
        // A bridge takes the least MTU of its ports until its own has been changed once. So it is made with
        // another than it will have, one with which it speaks IPv6 all the same.
        let another = if mtu > ETHERNET { mtu - 1 } else { mtu + 1 };
        let mut batch = Batch::new();
        batch.add_bridge(name, random_mac(), another);
        let place = batch.look_up_link(name);
        self.carry_out(batch)?.link(place).ok_or_else(|| Error::Netlink {
            what: format!("make bridge {name}"),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "it vanished at once"),
        })
    }
}

/// A hardware address that nobody else is likely to have: of a station, locally administered (IEEE 802).
fn random_mac() -> [u8; 6] {
    // The standard library's seed for hash maps comes from the kernel's random numbers.
    let [_, _, mut mac @ ..] = RandomState::new().build_hasher().finish().to_be_bytes();
    mac[0] = mac[0] & !1 | 2;
    mac
}
