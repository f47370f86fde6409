//! The kernel's routing table: changes written, and its own changes watched.

use std::sync::Arc;

use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::input::Input;
use crate::fib::{Batch, Found, Refusal};
use crate::kernel::routes::Ownership;
use crate::kernel::watch::{Event, Watch};
use crate::kernel::{Error, Netlink};

/// Writes changes as they come, and answers each.
pub async fn write(
    netlink: Arc<Netlink>,
    ownership: watch::Receiver<Ownership>,
    mut batches: UnboundedReceiver<Batch>,
    inputs: Sender<Input>,
) {
    while let Some(batch) = batches.recv().await {
        let ownership = *ownership.borrow();
        let results = netlink.apply_routes(ownership, &batch.changes).await;
        let mut refusals = vec![];
        for (index, (change, result)) in batch.changes.iter().zip(results).enumerate() {
            if let Err(error) = result {
                warn!("the kernel refused to {change}: {error}");
                refusals.push(Refusal { index, reason: error.to_string(), conflict: false });
            }
        }
        if inputs.send(Input::RouteAnswer(batch.id, refusals)).await.is_err() {
            return;
        }
    }
}

/// Tells the driver of every route, link and address that changes without `writer`'s doing.
pub async fn watch(
    netlink: Netlink,
    writer: Arc<Netlink>,
    mut ownership: watch::Receiver<Ownership>,
    inputs: Sender<Input>,
) {
    loop {
        let owned = *ownership.borrow_and_update();
        let outcome = tokio::select! {
            outcome = watch_one(&netlink, &writer, owned, &inputs) => outcome,
            changed = ownership.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match outcome {
            Ok(()) => return,
            Err(error) => warn!("watching the kernel: {error}; starting over"),
        }
    }
}

/// Watches one table until the driver is gone.
async fn watch_one(
    netlink: &Netlink,
    writer: &Netlink,
    ownership: Ownership,
    inputs: &Sender<Input>,
) -> Result<(), Error> {
    // The watch is open before the first snapshot is taken: nothing can change unseen in between.
    let mut watch = Watch::open(ownership)?.ignoring(writer);
    let (mut look_at_underlay, mut look_at_ours) = (true, false);
    loop {
        if look_at_underlay {
            let underlay = netlink.underlay(ownership).await?;
            if inputs.send(Input::Underlay(underlay)).await.is_err() {
                return Ok(());
            }
        }
        if look_at_ours {
            let routes = netlink.our_routes(ownership).await?;
            if inputs.send(Input::KernelDump(Found { routes, groups: None })).await.is_err() {
                return Ok(());
            }
        }
        (look_at_underlay, look_at_ours) = match watch.next().await {
            Event::UnderlayChanged { ours_at_risk } => (true, ours_at_risk),
            Event::OursChanged { prefix, metric } => {
                debug!(%prefix, metric, "somebody else changed a route of ours");
                (false, true)
            }
            Event::Overrun => {
                info!("the kernel had more news than could be read; reading everything anew");
                (true, true)
            }
        };
    }
}
