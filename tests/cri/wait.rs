//! Waiting for something to become true.

use std::time::{Duration, Instant};

/// Far longer than anything takes that works.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `condition` finds nothing left to be wished for; it says what it misses.
///
/// # Errors
/// It still misses something after a long time.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> Result<(), String>) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match condition().await {
            Ok(()) => return Ok(()),
            Err(missing) if Instant::now() > deadline => anyhow::bail!("never: {what}: {missing}"),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
