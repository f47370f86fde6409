//! Where the daemon's objects come from: one of the two sources.

use super::manifests::Reading;
use super::watch::Watch;
use super::{Error, api_server};

/// A source of objects under watch.
#[derive(Debug)]
pub enum Source {
    /// A directory of manifests.
    Manifests(Box<Watch>),
    /// The API server of a cluster.
    ApiServer(Box<api_server::Watch>),
}

impl Source {
    /// The objects as they are now, at the first call; afterwards, as soon as they or what is wrong with
    /// them has changed. May be dropped and called again at any time.
    ///
    /// # Errors
    /// What there is is not usable as it is. Whoever asked keeps the objects of the last good reading, and asks
    /// again: the next answer comes with the next change.
    pub async fn next(&mut self) -> Result<Reading, Error> {
        match self {
            Source::Manifests(watch) => watch.next().await,
            Source::ApiServer(watch) => watch.next().await,
        }
    }
}
