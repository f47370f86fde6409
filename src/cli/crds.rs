//! `routelet crds`: the definitions of our kinds, for `kubectl apply -f -`.

use std::io::Write;

use super::Error;
use crate::cluster::crds;

/// What `routelet crds` can be told: nothing.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Writes them.
pub(super) fn run(Args {}: Args, out: &mut impl Write) -> Result<(), Error> {
    out.write_all(crds::yaml()?.as_bytes())?;
    Ok(())
}
