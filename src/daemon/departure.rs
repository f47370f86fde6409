//! How the daemon ends: as it is told, and as its Node says.
//!
//! SIGTERM alone says nothing of why. A rolling update, a crash of the machine's service and an eviction all
//! send it, and then the daemon is back in a moment: peers are to keep its routes (RFC 4724). When the Node
//! leaves as well, nobody comes back, and peers that keep routes to a machine that is gone send packets into
//! nothing until their patience ends. So it drains first then, for as long as it may.
//!
//! The Node's condition `NetworkUnavailable` is left as it is in either case. A restart does not stop the network
//! of pods; and a kubelet that has been told so would evict them.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use super::source::Look;
use crate::api::{Source, Unavailable};
use crate::cluster::Compiled;
use crate::speaker::{Departure, DrainStage, DrainTerms};

/// How often a drain is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// The signals that end a daemon.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// What decides how the daemon ends.
#[derive(Debug)]
pub struct Ending {
    /// What the objects say.
    pub compiled: watch::Receiver<Option<Arc<Compiled>>>,
    /// The speaker.
    pub look: Arc<Look>,
    /// How long a drain may take.
    pub limit: Duration,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> std::io::Result<Signals> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Signals { terminate, interrupt })
    }

    /// Waits for one, and returns whether it is a person's Ctrl-C.
    pub async fn interrupted(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => true,
        }
    }

    /// Does what is to be done before the daemon ends, until time is up or another signal comes, and returns
    /// how peers are left.
    pub async fn prepare(&mut self, interrupted: bool, ending: &Ending) -> Departure {
        let current = ending.compiled.borrow().clone();
        let retreat = current.as_ref().and_then(|compiled| compiled.intent.retreat.as_ref());
        let Some(retreat) = retreat.filter(|retreat| retreat.ends_daemon && !interrupted) else {
            info!("{}", words(interrupted));
            return if interrupted { Departure::ForGood } else { Departure::Restart };
        };
        let limit = ending.limit;
        info!("terminated, and {}: draining for up to {limit:?}", retreat.why);
        let drain = drain(&ending.look, DrainTerms::of_shutdown(limit, &retreat.why));
        tokio::select! {
            drained = tokio::time::timeout(limit, drain) => match drained {
                Ok(Ok(())) => info!("drained"),
                Ok(Err(error)) => warn!("not drained: {error}"),
                Err(_) => warn!("not drained within {limit:?}"),
            },
            _ = self.interrupted() => warn!("told to end again, before all was drained"),
        }
        // What is left of sessions ends with a word that no route is to be kept.
        Departure::ForGood
    }
}

fn words(interrupted: bool) -> &'static str {
    if interrupted {
        "interrupted: leaving for good"
    } else {
        "terminated: peers that speak graceful restart keep our routes"
    }
}

async fn drain(look: &Look, terms: DrainTerms) -> Result<(), Unavailable> {
    look.start_drain(terms).await?;
    while look.drain().await?.is_some_and(|drain| drain.stage != DrainStage::Drained) {
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(())
}
