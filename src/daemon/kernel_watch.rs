//! What the kernel tells of links, addresses and routes, made known to the driver.
//!
//! Has a thread and a queue of its own, so that a link that fails never waits behind table work. Routes of
//! ours are read back only where the kernel may have taken them without a word, or news were lost; that
//! takes its time, and nothing else waits for it.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use super::input::Input;
use crate::kernel::routes::Ownership;
use crate::kernel::watch::{Change, Event, Watch};
use crate::kernel::{Error, Netlink};

/// News that may wait for the driver before the watch does.
pub const QUEUE: usize = 64;

/// Pause before a watch that has failed starts over.
const RETRY: Duration = Duration::from_secs(1);

/// Starts the thread. It tells of every route, link and address that changes, but not of what the socket
/// with the port `writer` does to routes of ours; and ends with the driver.
///
/// # Errors
/// The system gives no thread.
pub fn start(writer: u32, ownership: watch::Receiver<Ownership>, news: Sender<Input>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting to watch the kernel")?;
    let thread = std::thread::Builder::new().name("kernel-watch".to_owned());
    thread
        .spawn(move || runtime.block_on(watch(writer, ownership, news)))
        .map(drop)
        .context("starting to watch the kernel")
}

async fn watch(writer: u32, mut ownership: watch::Receiver<Ownership>, news: Sender<Input>) {
    loop {
        let owned = *ownership.borrow_and_update();
        let outcome = tokio::select! {
            outcome = watch_one(writer, owned, &news) => outcome,
            changed = ownership.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = news.closed() => return,
        };
        if let Err(error) = outcome {
            warn!("watching the kernel: {error}; starting over");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Watches one table until the driver is gone.
async fn watch_one(writer: u32, ownership: Ownership, news: &Sender<Input>) -> Result<(), Error> {
    let mut watch = Watch::open(ownership)?.ignoring_port(writer)?;
    let reader = Netlink::open()?;
    let doubted = Notify::new();
    tokio::select! {
        () = tell(&mut watch, &doubted, news) => Ok(()),
        result = read_back(&reader, ownership, &doubted, news) => result,
    }
}

/// Tells what is heard, until the driver is gone.
async fn tell(watch: &mut Watch, doubted: &Notify, news: &Sender<Input>) {
    loop {
        match watch.next().await {
            Event::UnderlayChanged(Change { routes_at_risk, .. }) => {
                let input = Input::Underlay { routes: watch.underlay(), addresses: watch.addresses() };
                if news.send(input).await.is_err() {
                    return;
                }
                if routes_at_risk {
                    doubted.notify_one();
                }
            }
            Event::OursChanged { prefix, metric, now: _ } => {
                debug!(%prefix, metric, "somebody else changed a route of ours");
                doubted.notify_one();
            }
            Event::Overrun => {
                info!("the kernel had more news than could be read; reading everything anew");
                doubted.notify_one();
            }
        }
    }
}

/// Reads our routes back whenever there is doubt about them.
async fn read_back(
    reader: &Netlink,
    ownership: Ownership,
    doubted: &Notify,
    news: &Sender<Input>,
) -> Result<(), Error> {
    loop {
        doubted.notified().await;
        let routes = reader.our_routes(ownership).await?;
        if news.send(Input::KernelDump(routes)).await.is_err() {
            return Ok(());
        }
    }
}
