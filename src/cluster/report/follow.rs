//! What the node that writes for all knows: every node's report, reduced to what it says of each `BgpPeer`, and
//! the `BgpPeer`s with what is said of them. Two watches, on a task each; gone when it is dropped.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tracing::debug;

use super::aggregate::{Voice, voices};
use crate::cluster::objects::bgp_peer::BgpPeerStatus;
use crate::cluster::objects::{BgpNodeStatus, BgpPeer};

/// What may wait to be taken in. A watch that finds no room waits, and the server with it.
const QUEUE: usize = 16 * 1024;

/// A `BgpPeer` as far as its status is concerned.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PeerSeen {
    /// Its UID.
    pub uid: Option<String>,
    /// Its generation.
    pub generation: Option<i64>,
    /// What is said of it.
    pub status: Option<BgpPeerStatus>,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Known {
    /// What each node says of each peer.
    pub nodes: BTreeMap<String, BTreeMap<String, Voice>>,
    /// The peers.
    pub peers: BTreeMap<String, PeerSeen>,
    /// Both lists have been read once.
    read: [bool; 2],
    /// What a list that is being read has shown so far.
    listed: [BTreeSet<String>; 2],
}

impl Known {
    /// Whether everything has been read once: before, what is missing would be taken for gone.
    pub fn is_whole(&self) -> bool {
        self.read == [true, true]
    }

    fn take(&mut self, news: News) {
        match news {
            News::Node(name, voices) => {
                self.listed[0].insert(name.clone());
                self.nodes.insert(name, voices);
            }
            News::NodeGone(name) => drop(self.nodes.remove(&name)),
            News::Peer(name, seen) => {
                self.listed[1].insert(name.clone());
                self.peers.insert(name, seen);
            }
            News::PeerGone(name) => drop(self.peers.remove(&name)),
            News::ListBegins(which) => self.listed[which as usize].clear(),
            News::ListEnds(which) => {
                let listed = std::mem::take(&mut self.listed[which as usize]);
                match which {
                    List::Nodes => self.nodes.retain(|name, _| listed.contains(name)),
                    List::Peers => self.peers.retain(|name, _| listed.contains(name)),
                }
                self.read[which as usize] = true;
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum List {
    Nodes,
    Peers,
}

/// What a watch has to say.
#[derive(Debug)]
enum News {
    Node(String, BTreeMap<String, Voice>),
    NodeGone(String),
    Peer(String, PeerSeen),
    PeerGone(String),
    ListBegins(List),
    ListEnds(List),
}

/// The two watches, and what they have shown.
#[derive(Debug)]
pub struct Follower {
    known: Known,
    news: Receiver<News>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Follower {
    /// Starts to watch.
    pub fn start(client: &Client) -> Follower {
        let (told, news) = channel(QUEUE);
        let nodes = watch(Api::all(client.clone()), told.clone(), List::Nodes, |object: BgpNodeStatus| {
            let voices = object.status.as_ref().map(voices).unwrap_or_default();
            News::Node(object.name_any(), voices)
        });
        let peers = watch(Api::all(client.clone()), told, List::Peers, |object: BgpPeer| {
            let (uid, generation) = (object.uid(), object.metadata.generation);
            News::Peer(object.name_any(), PeerSeen { uid, generation, status: object.status })
        });
        Follower { known: Known::default(), news, tasks: [tokio::spawn(nodes), tokio::spawn(peers)] }
    }

    /// Takes in what has been shown meanwhile.
    pub fn take_in(&mut self) -> &Known {
        while let Ok(news) = self.news.try_recv() {
            self.known.take(news);
        }
        &self.known
    }

    /// What was known when it was last taken in.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// One of the peers.
    pub fn peer_mut(&mut self, name: &str) -> Option<&mut PeerSeen> {
        self.known.peers.get_mut(name)
    }
}

/// Watches for ever, with pauses that grow while the server does not answer.
async fn watch<K>(api: Api<K>, told: Sender<News>, list: List, read: impl Fn(K) -> News)
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let config = watcher::Config::default();
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    loop {
        let news = match events.try_next().await {
            Ok(Some(Event::Init)) => News::ListBegins(list),
            Ok(Some(Event::InitDone)) => News::ListEnds(list),
            Ok(Some(Event::InitApply(object) | Event::Apply(object))) => read(object),
            Ok(Some(Event::Delete(object))) => match list {
                List::Nodes => News::NodeGone(object.name_any()),
                List::Peers => News::PeerGone(object.name_any()),
            },
            Ok(None) => return,
            Err(error) => {
                debug!("a watch for the status of peers: {error}");
                continue;
            }
        };
        if told.send(news).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
