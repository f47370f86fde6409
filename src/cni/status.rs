//! STATUS: whether an ADD could be served now.

use super::conf::Network;
use super::plan::Plan;
use super::{Code, Error, life};
use crate::ipam::Store;

/// Checks the configuration, that the pod CIDRs are known where they are needed, and that there are
/// free addresses.
///
/// # Errors
/// An ADD would fail, for the reason given.
pub fn status(network: &Network) -> Result<(), Error> {
    let ready = || {
        let plan = Plan::make(network, &[])?;
        let store = Store::new(&network.data_dir, &network.name);
        store.has_room_after_sweep(&plan.sets, life::on_demand(&network.name)).map_err(Error::from)
    };
    ready().map_err(|error: Error| match error.code {
        Code::InvalidConfiguration | Code::UnsupportedField => error,
        _ => Error { code: Code::NotAvailable, ..error },
    })
}
