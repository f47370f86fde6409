//! The kernel's routing table: changes written, and its own changes watched.

use std::sync::Arc;

use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::sync::watch;
use tracing::{info, warn};

use super::input::Input;
use crate::fib::Change;
use crate::kernel::routes::Ownership;
use crate::kernel::watch::{Event, Watch};
use crate::kernel::{Error, Netlink};

/// Writes changes as they come, and answers each.
pub async fn write(
    netlink: Arc<Netlink>,
    ownership: watch::Receiver<Ownership>,
    mut changes: UnboundedReceiver<Vec<Change>>,
    inputs: Sender<Input>,
) {
    while let Some(batch) = changes.recv().await {
        let ownership = *ownership.borrow();
        let results = netlink.apply_routes(ownership, &batch).await;
        let answers = results.into_iter().map(|result| result.map_err(|error| error.to_string()));
        if inputs.send(Input::RouteResults(batch.into_iter().zip(answers).collect())).await.is_err() {
            return;
        }
    }
}

/// Tells the driver of every route, link and address that changes without its doing.
pub async fn watch(netlink: Arc<Netlink>, mut ownership: watch::Receiver<Ownership>, inputs: Sender<Input>) {
    loop {
        let owned = *ownership.borrow_and_update();
        let outcome = tokio::select! {
            outcome = watch_one(&netlink, owned, &inputs) => outcome,
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
async fn watch_one(netlink: &Netlink, ownership: Ownership, inputs: &Sender<Input>) -> Result<(), Error> {
    // The watch is open before the first snapshot is taken: nothing can change unseen in between.
    let mut watch = Watch::open(ownership)?;
    let mut send_underlay = true;
    loop {
        if send_underlay {
            let underlay = netlink.underlay(ownership).await?;
            if inputs.send(Input::Underlay(underlay)).await.is_err() {
                return Ok(());
            }
        }
        send_underlay = false;
        match watch.next().await? {
            Event::UnderlayChanged => send_underlay = true,
            event @ (Event::OursChanged { .. } | Event::Overrun) => {
                if matches!(event, Event::Overrun) {
                    info!("the kernel reported more changes than could be read; reading all routes anew");
                    send_underlay = true;
                }
                let routes = netlink.our_routes(ownership).await?;
                if inputs.send(Input::KernelDump(routes)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}
