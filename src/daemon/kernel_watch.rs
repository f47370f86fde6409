//! What the kernel tells of links, addresses and routes, made known to the driver.
//!
//! Has a thread and a queue of its own, so that a link that fails never waits behind table work. Routes of
//! ours are read back only where the kernel may have taken them without a word, or news were lost; that
//! takes its time, and nothing else waits for it.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use super::input::Input;
use super::routes::blocking;
use crate::kernel::routes::Ownership;
use crate::kernel::watch::{Change, Event, Watch};
use crate::kernel::{Error, found};

/// News that may wait for the driver before the watch does.
const QUEUE: usize = 64;

/// Pause before a watch that has failed starts over.
const RETRY: Duration = Duration::from_secs(1);

/// Starts the thread. It tells of every route, link and address that changes, but not of what the socket
/// with the port `writer` does to routes of ours; and ends with the driver.
///
/// # Errors
/// The system gives no thread.
pub fn start(writer: u32, ownership: watch::Receiver<Ownership>) -> anyhow::Result<Receiver<Input>> {
    let (news, heard) = channel(QUEUE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting to watch the kernel")?;
    let thread = std::thread::Builder::new().name("kernel-watch".to_owned());
    thread
        .spawn(move || runtime.block_on(watch(writer, ownership, news)))
        .map(|_| heard)
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
    let mut watch = Watch::open(ownership)?.ignoring(writer)?;
    let doubts = Doubts::default();
    tokio::select! {
        () = tell(&mut watch, &doubts, news) => Ok(()),
        result = read_groups(ownership, &doubts.groups, news) => result,
        result = read_routes(ownership, &doubts.routes, news) => result,
    }
}

/// What is to be read back. Asked for twice before it is begun, it is done once.
#[derive(Debug, Default)]
struct Doubts {
    groups: Notify,
    routes: Notify,
}

/// Tells what is heard, until the driver is gone.
async fn tell(watch: &mut Watch, doubts: &Doubts, news: &Sender<Input>) {
    loop {
        let input = match watch.next().await {
            Event::UnderlayChanged(Change { groups_at_risk, routes_at_risk, .. }) => {
                if groups_at_risk {
                    doubts.groups.notify_one();
                }
                if routes_at_risk {
                    doubts.routes.notify_one();
                }
                Input::Underlay { routes: watch.underlay(), addresses: watch.addresses() }
            }
            Event::OursChanged { prefix, metric, now } => {
                debug!(%prefix, metric, "somebody else changed a route of ours");
                Input::RouteSeen { prefix, metric, now }
            }
            Event::Overrun => {
                info!("the kernel had more news than could be read; reading everything anew");
                doubts.routes.notify_one();
                continue;
            }
        };
        if news.send(input).await.is_err() {
            return;
        }
    }
}

/// Reads our nexthop groups back whenever there is doubt about them: they are few.
async fn read_groups(ownership: Ownership, doubted: &Notify, news: &Sender<Input>) -> Result<(), Error> {
    loop {
        doubted.notified().await;
        // A kernel without groups cannot have taken any away.
        let Some(groups) = blocking(move || found::groups(ownership)).await? else { continue };
        if news.send(Input::Groups(groups)).await.is_err() {
            return Ok(());
        }
    }
}

/// Reads all of ours back whenever there is doubt about it.
async fn read_routes(ownership: Ownership, doubted: &Notify, news: &Sender<Input>) -> Result<(), Error> {
    loop {
        doubted.notified().await;
        let held = blocking(move || found::found(ownership)).await?;
        if news.send(Input::KernelDump(held)).await.is_err() {
            return Ok(());
        }
    }
}
