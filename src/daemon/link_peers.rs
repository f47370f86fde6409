//! Who is on the other side of a link: a task for each interface that a peer is named by.
//!
//! As FRR does it, both sides send Router Advertisements (RFC 4861 §6.2.4), and each takes the sender of
//! the other's for its peer. A peer is known until its link goes, or another speaks in its place: whether
//! it is alive is for the hold timer and BFD to say.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::anyhow;
use nix::errno::Errno;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, info};

use super::input::Input;
use crate::kernel::router_discovery::RouterDiscovery;
use crate::kernel::router_discovery::message::Message;
use crate::speaker::{Intent, LinkPeer};

/// Advertisements are so far apart at least (RFC 4861 §6.2.1, `MinRtrAdvInterval`).
const LEAST_INTERVAL: Duration = Duration::from_secs(3);
/// How much farther they may be, at random.
const JITTER_MILLIS: u64 = 2000;
/// Who has been silent for so long may be replaced by another. FRR speaks every 10 s.
const SILENCE: Duration = Duration::from_secs(25);
/// Pause before a link that is down or not there is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The tasks, by interface.
#[derive(Debug)]
pub struct LinkPeers {
    tasks: BTreeMap<String, JoinHandle<()>>,
    inputs: Sender<Input>,
}

impl LinkPeers {
    /// None yet. What is found is told as [`Input::LinkPeer`].
    pub fn new(inputs: Sender<Input>) -> LinkPeers {
        LinkPeers { tasks: BTreeMap::new(), inputs }
    }

    /// Looks on the links of all peers that have no address, and on no other.
    pub fn configure(&mut self, intent: &Intent) {
        let unnumbered = intent.peers.values().filter(|peer| peer.is_unnumbered());
        let wanted: BTreeSet<&String> = unnumbered.filter_map(|peer| peer.interface.as_ref()).collect();
        self.tasks.retain(|interface, task| {
            let keep = wanted.contains(interface);
            if !keep {
                task.abort();
            }
            keep
        });
        for interface in wanted {
            self.tasks
                .entry(interface.clone())
                .or_insert_with(|| tokio::spawn(look(interface.clone(), self.inputs.clone())));
        }
    }
}

impl Drop for LinkPeers {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

/// Looks on one link, through all its ups and downs, until the driver is gone.
async fn look(interface: String, inputs: Sender<Input>) {
    // Nothing is known of a link that has not been looked at before.
    let mut told = inputs.send(Input::LinkPeer { interface: interface.clone(), peer: None }).await;
    while told.is_ok() {
        if let Err(error) = look_while_up(&interface, &inputs).await {
            debug!(interface, "nobody can be found on the link: {error}");
        }
        told = inputs.send(Input::LinkPeer { interface: interface.clone(), peer: None }).await;
        tokio::time::sleep(RETRY).await;
    }
}

/// Speaks and listens until the link fails.
async fn look_while_up(interface: &str, inputs: &Sender<Input>) -> anyhow::Result<()> {
    let socket = RouterDiscovery::open(interface)?;
    say(&socket, Message::Solicitation)?;
    let mut peer: Option<(Ipv6Addr, Instant)> = None;
    let mut said: Option<Instant> = None;
    #[allow(clippy::disallowed_methods, reason = "the shell reads the clock")]
    let now = Instant::now;
    let mut due = now();
    loop {
        let heard = tokio::select! {
            biased;
            () = tokio::time::sleep_until(due) => {
                say(&socket, Message::Advertisement)?;
                said = Some(now());
                due = now() + LEAST_INTERVAL + jitter();
                continue;
            }
            heard = socket.receive() => heard?,
        };
        match heard {
            // RFC 4861 §6.2.6: at once, but not too often.
            (Message::Solicitation, _) => due = said.map_or(due, |said| due.min(said + LEAST_INTERVAL)),
            (Message::Advertisement, address) => {
                let silent = |(known, at): (Ipv6Addr, Instant)| known == address || at.elapsed() > SILENCE;
                if !peer.is_none_or(silent) {
                    debug!(interface, %address, "more than one router is on the link");
                    continue;
                }
                if peer.replace((address, now())).is_none_or(|(known, _)| known != address) {
                    info!(interface, %address, "found the peer on the link");
                    let found = LinkPeer { address, link: socket.index() };
                    let input = Input::LinkPeer { interface: interface.to_owned(), peer: Some(found) };
                    inputs.send(input).await.map_err(|_| anyhow!("the driver is gone"))?;
                }
            }
        }
    }
}

/// Sends a message. That the queue is full costs no more than this one.
fn say(socket: &RouterDiscovery, message: Message) -> io::Result<()> {
    match socket.send(message) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => Ok(()),
        result => result,
    }
}

fn jitter() -> Duration {
    Duration::from_millis(RandomState::new().hash_one(()) % JITTER_MILLIS)
}
