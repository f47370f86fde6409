//! Has our own Node told that it can take pods, where there is an API server to tell.

use std::sync::Arc;

use tokio::sync::watch;

use super::Server;
use super::http::Readiness;
use crate::cluster::Compiled;
use crate::cluster::own_node::{Word, tell};

/// Starts to tell what `readiness` says, from the first configuration on.
///
/// # Errors
/// Certificates or credentials for the API server cannot be used.
pub fn start(
    server: Option<&Server>,
    node_name: &str,
    compiled: &watch::Receiver<Option<Arc<Compiled>>>,
    readiness: &watch::Receiver<Readiness>,
) -> anyhow::Result<()> {
    let Some((server, _)) = server else { return Ok(()) };
    let (word, heard) = watch::channel(Word::default());
    tokio::spawn(tell(server.client()?, node_name.to_owned(), heard));
    tokio::spawn(follow(compiled.clone(), readiness.clone(), word));
    Ok(())
}

async fn follow(
    mut compiled: watch::Receiver<Option<Arc<Compiled>>>,
    mut readiness: watch::Receiver<Readiness>,
    word: watch::Sender<Word>,
) {
    loop {
        let startup_taint = compiled.borrow_and_update().as_ref().and_then(|c| c.startup_taint.clone());
        let ready = *readiness.borrow_and_update() == Readiness::Ready;
        let now = Word { ready, startup_taint };
        word.send_if_modified(|word| {
            let news = *word != now;
            *word = now;
            news
        });
        tokio::select! {
            changed = compiled.changed() => if changed.is_err() { return },
            changed = readiness.changed() => if changed.is_err() { return },
        }
    }
}
