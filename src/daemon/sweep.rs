//! The sweep: frees what pods hold that are gone without a word of their runtime.
//!
//! A runtime that was killed, or a machine that lost power, never says DEL. Most runtimes do not ask for
//! garbage collection either, so that addresses would run out (containerd). What is swept is decided by
//! the address store ([`crate::ipam::sweep`]) and by what the kernel shows ([`crate::cni::life`]); when in
//! doubt, it stays.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::cni::life;
use crate::ipam::sweep::{GRACE, Swept};
use crate::ipam::{Error, Store};
use crate::kernel::nftables::Nftables;

/// From one sweep to the next.
const EVERY: Duration = Duration::from_secs(60);
/// Owners that get a line each in the log.
const SHOWN: usize = 10;

/// Sweeps now and then, and counts.
#[derive(Debug, Default)]
pub struct Sweeper {
    last: Option<Instant>,
    freed: u64,
}

impl Sweeper {
    /// Addresses freed since the start.
    pub fn freed(&self) -> u64 {
        self.freed
    }

    /// Sweeps the network's addresses, if it is time to. Called from the namespace that pods are attached in.
    pub async fn sweep(&mut self, data_dir: &Path, network: &str) {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        let (store, network) = (Store::new(data_dir, network), network.to_owned());
        // A pod may be asked about by files in /proc, and somebody may hold the lock.
        let swept = tokio::task::spawn_blocking(move || sweep(&store, &network)).await;
        match swept {
            Ok(Ok(swept)) => self.tell(&swept),
            Ok(Err(error)) => warn!("addresses of pods that are gone cannot be swept: {error}"),
            // The daemon is stopping.
            Err(_) => {}
        }
    }

    fn tell(&mut self, swept: &Swept) {
        for holding in swept.freed.iter().take(SHOWN) {
            let (container, addresses) = (&holding.owner.container_id, &holding.addresses);
            info!(container, ?addresses, "freed the addresses of a pod that is gone");
        }
        if swept.freed.len() > SHOWN {
            info!(count = swept.freed.len(), "freed the addresses of pods that are gone");
        }
        for error in &swept.failures {
            warn!("{error}; trying again in {EVERY:?}");
        }
        self.freed += swept.freed.iter().map(|holding| holding.addresses.len() as u64).sum::<u64>();
    }
}

/// Packets stop being translated for a pod before its address is free for another.
fn sweep(store: &Store, network: &str) -> Result<Swept, Error> {
    let retained = Nftables::open_if_known().and_then(|nftables| match nftables {
        Some(mut nftables) => nftables.retain(network, |owner| owner.is_attached()).map(drop),
        None => Ok(()),
    });
    if let Err(error) = retained {
        warn!("pods that are gone cannot be taken out of nftables: {error}; trying again in {EVERY:?}");
        return Ok(Swept::default());
    }
    store.sweep(GRACE, life::on_demand(network))
}
