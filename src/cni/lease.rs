//! The addresses of an attachment, whoever gives them: the store of this crate, another plugin, or
//! nobody.

use ipnetwork::IpNetwork;

use super::addressing::{Addressing, Source};
use super::conf::Network;
use super::delegate::Delegate;
use super::environment::{Attachment, Command};
use super::plan::Plan;
use super::result::{Ip, Success};
use super::{Code, Error, life};
use crate::ipam::{Allocation, RangeSet};
use crate::prefix::Family;

/// Gets addresses for an attachment: the result of an address plugin, without interfaces. Its routes
/// are those that the plugin wants; ours wants those of the configuration, which the caller knows.
///
/// # Errors
/// An address is not to be had. Nothing is reserved then.
pub fn take(
    attachment: &Attachment,
    network: &Network,
    plan: &Plan,
    namespace: Option<u64>,
) -> Result<Success, Error> {
    match &plan.addressing.source {
        Source::Nobody => Ok(Success::default()),
        Source::Plugin(name) => Delegate::find(name, network)?.add(),
        Source::Store => from_store(attachment, network, &plan.addressing, &plan.sets, namespace),
    }
}

/// Gets addresses from the store. With the inode number of the pod's namespace it can be told later
/// whether the pod is gone.
///
/// # Errors
/// An address is not to be had. Nothing is reserved then.
pub fn from_store(
    attachment: &Attachment,
    network: &Network,
    addressing: &Addressing,
    sets: &[RangeSet],
    namespace: Option<u64>,
) -> Result<Success, Error> {
    // Before it gives up for want of addresses, those of pods that are gone without a DEL are freed.
    let life = life::on_demand(&network.name);
    let store = network.store().for_namespace(namespace);
    let given = store.allocate_sweeping(&attachment.owner, sets, &addressing.requested, life)?;
    match given.iter().map(|given| ip(given, addressing)).collect::<Result<_, Error>>() {
        Ok(ips) => Ok(Success { ips, dns: addressing.dns.clone(), ..Success::default() }),
        Err(error) => {
            let failures = store.release(&attachment.owner).err().map(Error::from);
            Err(error.also(failures.as_slice()))
        }
    }
}

/// The address with its range's prefix length and gateway, unless a gateway was asked for by name.
fn ip(given: &Allocation, addressing: &Addressing) -> Result<Ip, Error> {
    let prefix = given.range.prefix;
    let address =
        IpNetwork::new(given.address, prefix.length()).map_err(|e| Error::invalid("ipam: subnet", e))?;
    let asked = addressing.gateways.iter().find(|gateway| Family::of(**gateway) == prefix.family());
    match asked.filter(|gateway| !prefix.contains_address(**gateway)) {
        None => Ok(Ip { address, gateway: Some(*asked.unwrap_or(&given.range.gateway)), interface: None }),
        Some(outside) => {
            let why = format!("{outside} is not in {prefix}, where the pod's address is");
            Err(Error::invalid("GATEWAY in CNI_ARGS", why))
        }
    }
}

/// Gives back what [`take`] got. The store is asked whoever is configured: that may have changed.
///
/// # Errors
/// Something could not be given back; everything else has been.
pub fn give_back(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    let delegated = delegated(network, Command::Del);
    let released = network.store().release(&attachment.owner).map_err(Error::from);
    Error::first_of([delegated.err(), released.err()].into_iter().flatten().collect())
}

/// Passes a verb on to the plugin that gives addresses, if it is another one.
///
/// # Errors
/// It is not there, or fails.
pub fn delegated(network: &Network, command: Command) -> Result<(), Error> {
    match Source::of(network)? {
        Source::Plugin(name) => Delegate::find(&name, network)?.call(command),
        Source::Store | Source::Nobody => Ok(()),
    }
}

/// Whether there are addresses to give.
///
/// # Errors
/// There are none, or the plugin that gives them says that it cannot.
pub fn status(network: &Network, addressing: &Addressing, sets: &[RangeSet]) -> Result<(), Error> {
    match addressing.source {
        Source::Store => Ok(network.store().has_room_after_sweep(sets, life::on_demand(&network.name))?),
        Source::Nobody | Source::Plugin(_) => delegated(network, Command::Status),
    }
}

/// What STATUS may say: a wrong configuration as such, 50 and 51 as a delegate says them, and 50 for
/// the rest.
pub fn as_status(error: Error) -> Error {
    match error.code {
        Code::InvalidConfiguration
        | Code::UnsupportedField
        | Code::InvalidEnvironment
        | Code::Limited
        | Code::Foreign(51) => error,
        _ => Error { code: Code::NotAvailable, ..error },
    }
}
