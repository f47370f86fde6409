//! The kernel's routing table: changes written.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::exempt::Exempt;
use crate::fib::{BatchId, Refusal};
use crate::kernel::Error;
use crate::kernel::route_writer::RouteWriter;
use crate::kernel::routes::Ownership;

/// Starts the thread that writes routes; its answers go to `answers`, which the driver hears before it
/// takes more from peers. Bounded by the FIB, which has so many changes in flight and no more. Where a new
/// route leads to is told to `exempt` before the route is there.
///
/// # Errors
/// The thread could not be started, or its socket not be opened.
pub fn start_writer(
    ownership: Ownership,
    exempt: Arc<Exempt>,
    answers: UnboundedSender<(BatchId, Vec<Refusal>)>,
) -> Result<RouteWriter, Error> {
    let answer = move |batch, refusals| {
        // The driver is gone only when the daemon stops.
        let _ = answers.send((batch, refusals));
    };
    RouteWriter::start(ownership, move |batch| exempt.before(batch), answer)
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
