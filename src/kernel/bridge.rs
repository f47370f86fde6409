//! The bridge that pods are attached to, as the daemon and the plugin both make it.

use super::links::Link;
use super::{Error, Netlink, sysctl};

impl Netlink {
    /// The bridge of that name, made if there is none; not set up yet if so. Several callers may do
    /// this at once. Must be called in the namespace of the conversation, for a sysctl is set there.
    ///
    /// # Errors
    /// The name belongs to something that is no bridge, or the kernel refuses.
    pub async fn ensure_bridge(&self, name: &str, mtu: Option<u32>) -> Result<Link, Error> {
        if let Some(link) = self.link(name).await? {
            return bridge_or_error(link);
        }
        match self.add_bridge(name, mtu).await {
            Ok(bridge) => {
                // A bridge left to itself takes the lowest address among its ports, and every pod's
                // ARP entry for the gateway goes stale when a port comes or goes. Its first address,
                // set by hand, stays.
                if let Some(mac) = bridge.mac {
                    self.set_mac(bridge.index, mac).await?;
                }
                // Until its own link-local address is known to be unique, which takes up to two
                // seconds, a router cannot ask for a pod's hardware address. On a bridge that was
                // made a moment ago there is nobody to have a duplicate.
                // Where settings cannot be written, as in some containers, one waits.
                let _ = sysctl::skip_duplicate_detection(name);
                Ok(bridge)
            }
            Err(refusal) => match self.link(name).await? {
                // Another caller was faster.
                Some(link) => bridge_or_error(link),
                None => Err(refusal),
            },
        }
    }
}

fn bridge_or_error(link: Link) -> Result<Link, Error> {
    match link.kind.as_deref() {
        Some("bridge") => Ok(link),
        kind => {
            Err(Error::NotABridge { kind: kind.unwrap_or("plain interface").to_owned(), name: link.name })
        }
    }
}
