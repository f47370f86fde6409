//! Listening sockets: as many as the configuration names, with the MD5 keys of all peers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::input::Input;
use crate::kernel::socket;
use crate::speaker::Intent;
use crate::speaker::intent::Password;

/// How often a port that is taken is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The sockets that peers connect to.
#[derive(Debug)]
pub struct Listeners {
    inputs: Sender<Input>,
    tasks: BTreeMap<SocketAddr, (Keys, JoinHandle<()>)>,
}

/// MD5 keys by peer.
type Keys = BTreeMap<IpAddr, Password>;

impl Listeners {
    /// No socket yet. Connections arrive at `inputs`.
    pub fn new(inputs: Sender<Input>) -> Listeners {
        Listeners { inputs, tasks: BTreeMap::new() }
    }

    /// Opens and closes sockets until they are those of `intent`. A socket whose keys change is
    /// opened anew; established connections are not touched by that.
    pub fn configure(&mut self, intent: &Intent) {
        let keys: Keys =
            intent.peers.values().filter_map(|p| Some((p.address, p.password.clone()?))).collect();
        let wanted: BTreeMap<SocketAddr, Keys> = intent
            .listen
            .addresses
            .iter()
            .map(|address| {
                let of_family = keys.iter().filter(|(peer, _)| peer.is_ipv4() == address.is_ipv4());
                let keys = of_family.map(|(peer, key)| (*peer, key.clone())).collect();
                (SocketAddr::new(*address, intent.listen.port), keys)
            })
            .collect();
        self.tasks.retain(|address, (keys, task)| {
            let keep = wanted.get(address) == Some(keys);
            if !keep {
                task.abort();
            }
            keep
        });
        for (address, keys) in wanted {
            let inputs = self.inputs.clone();
            self.tasks.entry(address).or_insert_with(|| {
                (keys.clone(), tokio::spawn(async move { accept_on(address, keys, inputs).await }))
            });
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for (_, task) in self.tasks.values() {
            task.abort();
        }
    }
}

/// Accepts on one address for ever. While the address cannot be had, sessions are outgoing only.
async fn accept_on(address: SocketAddr, keys: Keys, inputs: Sender<Input>) {
    let mut told = None;
    loop {
        let error = match listen(address, &keys) {
            Ok(listener) => {
                info!(%address, "listening");
                accept_all(&listener, &inputs).await
            }
            Err(error) => error.to_string(),
        };
        // The same trouble is told once, however often it is met.
        if told.as_ref() != Some(&error) {
            warn!(%address, "not listening: {error}; sessions are outgoing only until that changes");
            told = Some(error);
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn listen(address: SocketAddr, keys: &Keys) -> Result<TcpListener, crate::kernel::Error> {
    let listener = socket::listen(address)?;
    for (peer, key) in keys {
        socket::set_md5_key(&listener, *peer, Some(key.expose()))?;
    }
    Ok(listener)
}

/// Hands accepted connections to the driver until the socket fails, and says how it did.
async fn accept_all(listener: &TcpListener, inputs: &Sender<Input>) -> String {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if let Ok(local) = stream.local_addr() {
                    let _ = inputs.send(Input::Accepted { stream, local, remote }).await;
                }
            }
            // A connection that died in the backlog says nothing about the socket.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => return error.to_string(),
        }
    }
}
