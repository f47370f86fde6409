//! The kernel's routing table: changes written.

use std::sync::Arc;

use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::sync::watch;

use super::input::Input;
use crate::fib::Change;
use crate::kernel::Netlink;
use crate::kernel::routes::Ownership;

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
