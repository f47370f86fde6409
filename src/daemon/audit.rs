//! Audits: the kernel's routes, read back, compared with what is desired.
//!
//! The watch of the kernel sees what others do, and the FIB puts it right at once. An audit finds what both
//! have missed. One is made every few minutes, and whenever somebody asks for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use super::input::Input;
use super::routes::blocking;
use super::source::{Look, unconfigured};
use crate::api::Unavailable;
use crate::fib::{Difference, Found};
use crate::kernel::found;
use crate::kernel::routes::Ownership;
use crate::speaker::Speaker;

/// From one audit to the next.
const EVERY: Duration = Duration::from_secs(300);
/// From one look to the second, which those differences outlast that are none of a change under way. The
/// kernel answers a batch of changes in a fraction of that.
const APART: Duration = Duration::from_millis(200);
/// Differences that get a line each in the log.
const SHOWN: usize = 10;

/// What an audit needs, and what the last one has found.
#[derive(Debug, Clone)]
pub struct Audits {
    ownership: watch::Receiver<Ownership>,
    /// How many there were, and when.
    differences: watch::Sender<Option<(u64, Instant)>>,
}

impl Audits {
    /// None yet, of the routes that are ours by `ownership`.
    pub fn new(ownership: watch::Receiver<Ownership>) -> Audits {
        Audits { ownership, differences: watch::Sender::new(None) }
    }

    /// How many differences the last one has found.
    pub fn last(&self) -> Option<u64> {
        self.differences.borrow().map(|(differences, _)| differences)
    }

    /// The same, and how long ago that was.
    pub fn last_audit(&self) -> Option<(u64, Duration)> {
        self.differences.borrow().map(|(differences, at)| (differences, at.elapsed()))
    }

    /// Makes one: what differs, and all that was found.
    ///
    /// # Errors
    /// The kernel's routes could not be read, the driver is gone, or there is no configuration.
    pub async fn audit(&self, look: &Look) -> Result<(Vec<Difference>, Found), Unavailable> {
        let (mut differences, mut held) = self.look(look).await?;
        if !differences.is_empty() {
            tokio::time::sleep(APART).await;
            let before: BTreeSet<Difference> = differences.into_iter().collect();
            (differences, held) = self.look(look).await?;
            differences.retain(|difference| before.contains(difference));
        }
        self.differences.send_replace(Some((differences.len() as u64, Instant::now())));
        Ok((differences, held))
    }

    async fn look(&self, look: &Look) -> Result<(Vec<Difference>, Found), Unavailable> {
        let ownership = *self.ownership.borrow();
        let held = blocking(move || found::found(ownership)).await;
        let held = held.map_err(|error| Unavailable(error.to_string()))?;
        // What was found comes back, so that the driver need not spend time on letting it go.
        let compare = |speaker: &Speaker, _| speaker.is_configured().then(|| (speaker.audit(&held), held));
        look.ask(compare).await?.ok_or_else(unconfigured)
    }
}

/// Makes an audit every few minutes, and has what differs put right, until the driver is gone.
pub async fn run(look: Arc<Look>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let (differences, held) = match look.audits().audit(&look).await {
            Ok(audited) => audited,
            Err(why) => {
                warn!("no audit of the kernel's routes: {why}");
                continue;
            }
        };
        if differences.is_empty() {
            continue;
        }
        warn!(
            count = differences.len(),
            "an audit finds routes in the kernel that are not as they should be"
        );
        for difference in differences.iter().take(SHOWN) {
            warn!("{difference}");
        }
        if look.send(Input::KernelDump(held)).await.is_err() {
            return;
        }
    }
}
