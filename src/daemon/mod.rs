//! Wiring: the driver loop, transport, metrics, start and stop.

pub mod http;
pub mod log;
pub mod metrics;
pub mod options;

pub use options::Options;

/// Runs the daemon until it is asked to stop.
///
/// # Errors
/// The daemon could not start.
pub async fn run(_: Options) -> anyhow::Result<()> {
    todo!()
}
