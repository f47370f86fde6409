//! The one node that writes for all: it holds the Lease, watches what every node says of itself, and writes
//! the status of each `BgpPeer`, with events.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tracing::{debug, info};

use super::aggregate::{self, Voice};
use super::announce::{self, Announcer};
use super::api::{self, Error};
use super::follow::{Follower, Known};
use super::lease::{self, Election, Record, Step};
use super::pace::{Difference, Pace, Terms};
use crate::cluster::objects::bgp_peer::BgpPeerStatus;
use crate::cluster::objects::{BgpPeer, GROUP};
use crate::time::Instant;

/// Name of the Lease, in Routelet's own namespace.
pub const LEASE: &str = "routelet-status";
/// Statuses written between two looks at the Lease.
const PORTION: usize = 4;

/// Stands for the Lease, and writes while it has it.
pub struct Overseer {
    client: Client,
    leases: Api<Lease>,
    peers: Api<BgpPeer>,
    announcer: Announcer,
    election: Election,
    seed: u64,
    /// The Lease as it was last seen.
    lease: Option<Lease>,
    /// Runs while we lead.
    follower: Option<Follower>,
    paces: BTreeMap<String, Pace>,
}

impl std::fmt::Debug for Overseer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overseer").field("election", &self.election).finish_non_exhaustive()
    }
}

impl Overseer {
    /// One that stands for that node. `namespace` is Routelet's own; `seed` differs from daemon to daemon.
    pub fn new(client: &Client, namespace: &str, node_name: &str, nodes: usize, seed: u64) -> Overseer {
        let identity = format!("{node_name}_{seed:016x}");
        Overseer {
            client: client.clone(),
            leases: Api::namespaced(client.clone(), namespace),
            peers: Api::all(client.clone()),
            announcer: Announcer::new(client.clone(), node_name),
            election: Election::new(identity, lease::rank(node_name, nodes), seed),
            seed,
            lease: None,
            follower: None,
            paces: BTreeMap::new(),
        }
    }

    /// Takes over the size of the cluster.
    pub fn set_rank(&mut self, rank: u64) {
        self.election.set_rank(rank);
    }

    /// Whether this node writes for all.
    pub fn leads(&self, now: Instant) -> bool {
        self.election.leads(now)
    }

    /// Looks at the Lease if it is time to, and writes if it is ours. To be called every few seconds; `clock`
    /// tells the time at any moment of that. Whatever fails is tried again later.
    pub async fn step(&mut self, clock: impl Fn() -> Instant, wall: Timestamp) {
        if clock() >= self.election.poll_timeout() {
            self.stand(&clock, wall).await;
        }
        if !self.election.leads(clock()) {
            if self.follower.take().is_some() {
                info!("another node writes the status of peers from now on");
                self.paces.clear();
            }
            return;
        }
        let client = &self.client;
        let follower = self.follower.get_or_insert_with(|| {
            info!("this node writes the status of peers from now on");
            Follower::start(client)
        });
        let known = follower.take_in();
        if known.is_whole() {
            self.write(&clock, wall).await;
        }
    }

    /// Gives the Lease up, so that another can have it at once.
    pub async fn release(&mut self, now: Instant) {
        self.follower = None;
        if !self.election.leads(now) {
            return;
        }
        self.election.handle_released();
        let Some(mut lease) = self.lease.take() else { return };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        if let Err(error) = api::within(self.leases.replace(LEASE, &PostParams::default(), &lease)).await {
            debug!("the Lease {LEASE} could not be given up: {error}");
        }
    }

    async fn stand(&mut self, clock: &impl Fn() -> Instant, wall: Timestamp) {
        let seen = match api::within(self.leases.get_opt(LEASE)).await {
            Ok(seen) => seen,
            Err(error) => return self.fail(clock(), &error),
        };
        let record = seen.as_ref().map(record);
        self.lease = seen;
        if self.election.handle_seen(clock(), record) == Step::Wait {
            return;
        }
        let asked = clock();
        match self.take(wall).await {
            Ok(lease) => {
                self.lease = Some(lease);
                self.election.handle_taken(asked);
            }
            Err(error) if error.is_conflict() => self.election.handle_refused(clock()),
            Err(error) => self.fail(clock(), &error),
        }
    }

    fn fail(&mut self, now: Instant, error: &Error) {
        debug!("the Lease {LEASE}: {error}");
        self.election.handle_failed(now);
    }

    /// Makes the Lease ours, if it is still as it was seen.
    async fn take(&self, wall: Timestamp) -> Result<Lease, Error> {
        let identity = self.election.identity();
        let before = self.lease.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(identity);
        let transitions = before.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: Some(lease::DURATION.as_secs() as i32),
            acquire_time: before.acquire_time.filter(|_| ours).or(Some(MicroTime(wall))),
            renew_time: Some(MicroTime(wall)),
            lease_transitions: Some(if ours { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        };
        match &self.lease {
            None => {
                let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
                let lease = Lease { metadata, spec: Some(spec) };
                api::within(self.leases.create(&PostParams::default(), &lease)).await
            }
            Some(seen) => {
                let lease = Lease { spec: Some(spec), ..seen.clone() };
                api::within(self.leases.replace(LEASE, &PostParams::default(), &lease)).await
            }
        }
    }

    /// Writes what is due, a few at a time.
    async fn write(&mut self, clock: &impl Fn() -> Instant, wall: Timestamp) {
        let due = self.due(clock(), wall);
        for (name, status) in due.into_iter().take(PORTION) {
            // The Lease may have run out while the one before was written.
            if !self.election.leads(clock()) {
                return;
            }
            self.write_one(clock(), &name, status).await;
        }
    }

    /// Peers whose time has come, with what is to be said of them.
    fn due(&mut self, now: Instant, wall: Timestamp) -> Vec<(String, BgpPeerStatus)> {
        let Some(follower) = &self.follower else { return vec![] };
        let known = follower.known();
        self.paces.retain(|name, _| known.peers.contains_key(name));
        let wall = Time(Timestamp::from_second(wall.as_second()).unwrap_or(wall));
        let (voices, none) = (voices(known), BTreeMap::new());
        let mut due = vec![];
        for (name, seen) in &known.peers {
            let voices = voices.get(name.as_str()).unwrap_or(&none);
            let status = aggregate::aggregate(voices, seen.status.as_ref(), seen.generation, &wall);
            let difference = aggregate::difference(seen.status.as_ref(), &status);
            let seed = self.seed.wrapping_add(self.paces.len() as u64);
            let pace =
                self.paces.entry(name.clone()).or_insert_with(|| Pace::new(Terms::of_aggregate(), seed));
            pace.handle_difference(now, difference);
            match (pace.is_due(now), difference) {
                (true, Difference::None) => pace.handle_settled(),
                (true, _) => due.push((name.clone(), status)),
                (false, _) => {}
            }
        }
        due
    }

    async fn write_one(&mut self, now: Instant, name: &str, status: BgpPeerStatus) {
        let Some(pace) = self.paces.get_mut(name) else { return };
        pace.handle_attempt(now);
        match api::apply_status(&self.peers, name, &status).await {
            Ok(_) => {
                pace.handle_written();
                let Some(seen) = self.follower.as_mut().and_then(|f| f.peer_mut(name)) else { return };
                let before = seen.status.replace(status.clone()).unwrap_or_default();
                let about =
                    announce::reference(&format!("{GROUP}/v1alpha1"), "BgpPeer", name, seen.uid.clone());
                for news in announce::of_peer(&before.conditions, &status.conditions) {
                    self.announcer.tell(&about, &news).await;
                }
            }
            Err(error) => {
                debug!("the status of BgpPeer {name} cannot be written: {error}");
                pace.handle_failed(now, error.retry_after());
            }
        }
    }
}

fn record(lease: &Lease) -> Record {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
    Record {
        holder: holder.filter(|holder| !holder.is_empty()),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// What each node says of each peer, by peer: in one go over the nodes, of which there are thousands.
fn voices(known: &Known) -> BTreeMap<&str, BTreeMap<&str, &Voice>> {
    let mut peers: BTreeMap<&str, BTreeMap<&str, &Voice>> = BTreeMap::new();
    for (node, voices) in &known.nodes {
        for (peer, voice) in voices {
            peers.entry(peer).or_default().insert(node, voice);
        }
    }
    peers
}
