//! STATUS: whether an ADD could be served now.

use super::conf::Network;
use super::plan::Plan;
use super::{Error, lease};

/// Checks the configuration, that the pod CIDRs are known where they are needed, and that there are
/// free addresses, or that the plugin that gives them is ready.
///
/// # Errors
/// An ADD would fail, for the reason given.
pub fn status(network: &Network) -> Result<(), Error> {
    let ready = || {
        let plan = Plan::make(network, &[])?;
        lease::status(network, &plan.addressing, &plan.sets)
    };
    ready().map_err(lease::as_status)
}
