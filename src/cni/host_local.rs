//! The plugin `host-local`: gives addresses for another plugin to configure (CNI specification,
//! section 4).
//!
//! It is handed the other plugin's whole configuration and looks at `ipam`, `name` and what runtimes
//! ask for. The store is the one that the plugin of this crate uses itself, so that a node may have
//! both at once. Beyond the reference: ranges are narrowed to the node's pod CIDRs, and without
//! ranges, under `ipam.type` other than `host-local`, the pod CIDRs are the ranges; STATUS and GC.

use serde_json::Value;

use super::addressing::Addressing;
use super::conf::Network;
use super::environment::Attachment;
use super::gc::valid_attachments;
use super::result::Success;
use super::version::Version;
use super::{Code, Error, lease};
use crate::ipam::{NodeFile, Owner, RangeSet, Store};
use crate::prefix::Family;

/// Gives the attachment an address out of each range set.
///
/// # Errors
/// The configuration is wrong, or an address is not to be had. Nothing is reserved then.
pub fn add(attachment: &Attachment, network: &Network) -> Result<Value, Error> {
    let addressing = Addressing::of_store(network, &attachment.args)?;
    let sets = sets(&addressing, network)?;
    let taken = lease::take(attachment, network, &addressing, &sets)?;
    let routes = addressing.routes.unwrap_or_default();
    Ok(Success { routes, ..taken }.document(network.version, None))
}

/// Takes the attachment's addresses back. The ranges, which may have changed since, do not matter.
///
/// # Errors
/// The store cannot be written.
pub fn del(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    store(network).release(&attachment.owner)?;
    Ok(())
}

/// Whether the attachment holds the addresses that it was given.
///
/// # Errors
/// It holds none, or not one that `prevResult` tells of and the ranges offer.
pub fn check(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    let held = store(network).held_by(&attachment.owner)?;
    if held.is_empty() {
        let Owner { container_id, interface } = &attachment.owner;
        let message = format!("container {container_id} holds no address for {interface}");
        return Err(Error::new(Code::Changed, message, "DEL it and ADD it again"));
    }
    Ok(())
}

/// Whether there are free addresses.
///
/// # Errors
/// There are none, or the configuration is wrong.
pub fn status(network: &Network) -> Result<(), Error> {
    let ready = || {
        let addressing = Addressing::of_store(network, &[])?;
        lease::status(network, &addressing, &sets(&addressing, network)?)
    };
    ready().map_err(lease::as_status)
}

/// Takes back the addresses of every attachment that is not listed as valid.
///
/// # Errors
/// There is no list, and nothing is taken back; or the store cannot be written.
pub fn gc(network: &Network) -> Result<(), Error> {
    let valid = valid_attachments(network)?;
    let store = store(network);
    let owners = store.owners()?;
    let stale = owners.iter().filter(|owner| !super::gc::is_valid(&valid, owner));
    Error::first_of(stale.filter_map(|owner| store.release(owner).err().map(Error::from)).collect())
}

fn store(network: &Network) -> Store {
    Store::new(&network.data_dir, &network.name)
}

/// The range sets. The first versions of the specification have no place for a second address of a
/// family.
fn sets(addressing: &Addressing, network: &Network) -> Result<Vec<RangeSet>, Error> {
    let node = NodeFile::read(network.node_file()?)?;
    let sets = addressing.sets(network, node.as_ref())?;
    for family in Family::ALL {
        let count = sets.iter().filter(|set| set.family() == family).count();
        if count > 1 && network.version < Version::V0_3_0 {
            let why = format!(
                "{count} sets of one family, but version {} has room for one address: use 0.3.0 or later",
                network.version
            );
            return Err(Error::invalid("ipam.ranges", why));
        }
    }
    Ok(sets)
}
