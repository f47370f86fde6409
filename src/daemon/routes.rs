//! The kernel's routing table: changes written, and its own changes watched.

use std::sync::Arc;

use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::input::Input;
use crate::fib::{BatchId, Refusal};
use crate::kernel::route_writer::RouteWriter;
use crate::kernel::routes::Ownership;
use crate::kernel::watch::{Event, Watch};
use crate::kernel::{Error, Netlink, found};

/// Starts the thread that writes routes; its answers go to `answers`, which the driver hears before it
/// takes more from peers. Bounded by the FIB, which has so many changes in flight and no more.
///
/// # Errors
/// The thread could not be started, or its socket not be opened.
pub fn start_writer(
    ownership: Ownership,
    answers: UnboundedSender<(BatchId, Vec<Refusal>)>,
) -> Result<RouteWriter, Error> {
    RouteWriter::start(ownership, move |batch, refusals| {
        // The driver is gone only when the daemon stops.
        let _ = answers.send((batch, refusals));
    })
}

/// Tells the driver of every route, link and address that changes without `writer`'s doing.
pub async fn watch(
    netlink: Netlink,
    writer: Arc<RouteWriter>,
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
    writer: &RouteWriter,
    ownership: Ownership,
    inputs: &Sender<Input>,
) -> Result<(), Error> {
    // The watch is open before the first snapshot is taken: nothing can change unseen in between.
    let mut watch = Watch::open(ownership)?.ignoring(writer.port());
    let (mut look_at_underlay, mut look_at_ours) = (true, false);
    loop {
        if look_at_underlay {
            let underlay = netlink.underlay(ownership).await?;
            if inputs.send(Input::Underlay(underlay)).await.is_err() {
                return Ok(());
            }
        }
        if look_at_ours {
            let held = blocking(move || found::found(ownership)).await?;
            if inputs.send(Input::KernelDump(held)).await.is_err() {
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

/// Does what keeps a thread busy on another one.
///
/// # Errors
/// As `work`.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}
