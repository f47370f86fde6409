//! Listening sockets: as many as the configuration names, with the MD5 keys of all peers and ranges, and
//! the mark of what is answered before it is known to whom.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::input::Input;
use crate::kernel::{self, socket};
use crate::prefix::Prefix;
use crate::speaker::Intent;
use crate::speaker::intent::Password;

/// How often a port that is taken is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The sockets that peers connect to.
#[derive(Debug)]
pub struct Listeners {
    inputs: Sender<Input>,
    /// The thread of the sessions: a connection stays on the one that it was accepted on.
    thread: Handle,
    tasks: BTreeMap<SocketAddr, (watch::Sender<Wanted>, JoinHandle<()>)>,
    troubles: watch::Sender<Troubles>,
}

/// Addresses that cannot be listened on, and why.
pub type Troubles = BTreeMap<SocketAddr, String>;

/// What a socket is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wanted {
    keys: Keys,
    mark: u32,
}

/// MD5 keys by address, or range of addresses.
type Keys = BTreeMap<Prefix, Password>;

impl Listeners {
    /// No socket yet. Connections arrive at `inputs`.
    pub fn new(inputs: Sender<Input>, thread: Handle) -> Listeners {
        Listeners { inputs, thread, tasks: BTreeMap::new(), troubles: watch::Sender::default() }
    }

    /// Where there is no socket that there should be.
    pub fn troubles(&self) -> watch::Receiver<Troubles> {
        self.troubles.subscribe()
    }

    /// Opens and closes sockets until they are those of `intent`. Keys change on the open socket: it
    /// keeps who is connecting meanwhile, and an established connection has the key it was made with.
    pub fn configure(&mut self, intent: &Intent) {
        let mark = intent.listen.mark;
        let wanted: BTreeMap<SocketAddr, Wanted> = intent
            .listen
            .addresses
            .iter()
            .map(|address| {
                let of_family =
                    keys(intent).filter(|(peer, _)| peer.address().is_ipv4() == address.is_ipv4());
                let wanted = Wanted { keys: of_family.collect(), mark };
                (SocketAddr::new(*address, intent.listen.port), wanted)
            })
            .collect();
        self.tasks.retain(|address, (_, task)| {
            let keep = wanted.contains_key(address);
            if !keep {
                task.abort();
                self.troubles.send_if_modified(|troubles| troubles.remove(address).is_some());
            }
            keep
        });
        for (address, wanted) in wanted {
            let (inputs, troubles) = (self.inputs.clone(), self.troubles.clone());
            let (told, _) = self.tasks.entry(address).or_insert_with(|| {
                let (told, seen) = watch::channel(wanted.clone());
                (told, self.thread.spawn(async move { accept_on(address, seen, inputs, troubles).await }))
            });
            told.send_if_modified(|before| {
                let news = *before != wanted;
                *before = wanted;
                news
            });
        }
    }
}

fn keys(intent: &Intent) -> impl Iterator<Item = (Prefix, Password)> {
    let peers = intent.peers.values().map(|peer| (Prefix::host(peer.address), peer));
    let ranges = intent.ranges.values().map(|range| (range.range, &range.template));
    peers.chain(ranges).filter_map(|(prefix, peer)| Some((prefix, peer.password.clone()?)))
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for (_, task) in self.tasks.values() {
            task.abort();
        }
    }
}

/// Accepts on one address for ever. While the address cannot be had, sessions are outgoing only.
async fn accept_on(
    address: SocketAddr,
    mut wanted: watch::Receiver<Wanted>,
    inputs: Sender<Input>,
    troubles: watch::Sender<Troubles>,
) {
    let mut told = None;
    loop {
        let error = match listen(address, &mut wanted) {
            Ok((listener, held)) => {
                info!(%address, "listening");
                troubles.send_if_modified(|troubles| troubles.remove(&address).is_some());
                accept_all(&listener, held, &mut wanted, &inputs).await
            }
            Err(error) => error.to_string(),
        };
        troubles.send_modify(|troubles| drop(troubles.insert(address, error.clone())));
        // The same trouble is told once, however often it is met.
        if told.as_ref() != Some(&error) {
            warn!(%address, "not listening: {error}; sessions are outgoing only until that changes");
            told = Some(error);
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn listen(
    address: SocketAddr,
    wanted: &mut watch::Receiver<Wanted>,
) -> Result<(TcpListener, Wanted), kernel::Error> {
    let listener = socket::listen(address)?;
    let wanted = wanted.borrow_and_update().clone();
    change(&listener, &Wanted::default(), &wanted)?;
    Ok((listener, wanted))
}

/// Goes from what a socket has to what it is to have, touching only what differs.
fn change(listener: &TcpListener, old: &Wanted, new: &Wanted) -> Result<(), kernel::Error> {
    if old.mark != new.mark {
        socket::set_listener_mark(listener, new.mark)?;
    }
    set_keys(listener, &old.keys, &new.keys)
}

/// Goes from one set of keys to another, touching only those that differ.
fn set_keys(listener: &TcpListener, old: &Keys, new: &Keys) -> Result<(), kernel::Error> {
    for prefix in old.keys().filter(|prefix| !new.contains_key(prefix)) {
        set_key(listener, *prefix, None)?;
    }
    for (prefix, key) in new.iter().filter(|(prefix, key)| old.get(prefix) != Some(*key)) {
        set_key(listener, *prefix, Some(key.expose()))?;
    }
    Ok(())
}

fn set_key(listener: &TcpListener, prefix: Prefix, key: Option<&[u8]>) -> Result<(), kernel::Error> {
    let address = prefix.address();
    if prefix == Prefix::host(address) {
        socket::set_md5_key(listener, address, key)
    } else {
        socket::set_md5_key_of_range(listener, prefix, key)
    }
}

/// Hands accepted connections to the driver until the socket fails or refuses a setting, and says how.
async fn accept_all(
    listener: &TcpListener,
    mut held: Wanted,
    told: &mut watch::Receiver<Wanted>,
    inputs: &Sender<Input>,
) -> String {
    loop {
        let accepted = tokio::select! {
            biased;
            Ok(()) = told.changed() => {
                let wanted = told.borrow_and_update().clone();
                if let Err(error) = change(listener, &held, &wanted) {
                    return error.to_string();
                }
                held = wanted;
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
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
