//! When those who keep something of the kernel's right look at it again: at once when the kernel reports a
//! change or the objects ask for something else, and each minute, for about some things it says nothing.

use std::sync::Arc;
use std::time::Duration;

use rtnetlink::MulticastGroup;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::cluster::Compiled;
use crate::kernel::{Bell, Error, bell};

/// How often to look though nothing is reported.
const RECHECK: Duration = Duration::from_secs(60);
/// The same while something is not as it must be.
pub const RETRY: Duration = Duration::from_secs(5);
/// Least time between two looks: somebody may be undoing what we do.
const PAUSE: Duration = Duration::from_secs(1);

/// The looks of one keeper.
pub struct Rounds {
    bell: Result<Bell, Error>,
    /// What the objects ask for; nothing is touched before they do.
    compiled: watch::Receiver<Option<Arc<Compiled>>>,
    began: Instant,
}

impl Rounds {
    /// Rounds that begin now, in the calling thread's namespace. `what` names in the log what goes unnoticed
    /// for a while if the kernel cannot be listened to.
    pub fn begin(
        compiled: watch::Receiver<Option<Arc<Compiled>>>,
        groups: &[MulticastGroup],
        what: &str,
    ) -> Rounds {
        let bell = Bell::open(groups);
        if let Err(error) = &bell {
            warn!("changes of {what} go unnoticed for up to {RECHECK:?}: {error}");
        }
        Rounds { bell, compiled, began: Instant::now() }
    }

    /// Begins a look: what the objects ask for now, if they do already.
    pub fn look(&mut self) -> Option<Arc<Compiled>> {
        self.began = Instant::now();
        self.compiled.borrow_and_update().clone()
    }

    /// Waits until it is time for another look, which is sooner if not all is `in_order`; `false` when nobody
    /// reads the objects any more.
    pub async fn next(&mut self, in_order: bool) -> bool {
        tokio::select! {
            changed = self.compiled.changed() => changed.is_ok(),
            () = bell::heard(&mut self.bell) => {
                sleep_until(self.began + PAUSE).await;
                true
            }
            () = sleep(if in_order { RECHECK } else { RETRY }) => true,
        }
    }
}
