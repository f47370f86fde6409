//! One node writes what it says of itself: its `BgpNodeStatus`, and events on its Node.

use k8s_openapi::api::core::v1::{Node, ObjectReference};
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tracing::{debug, warn};

use super::announce::{self, Announcer};
use super::api::{self, Error};
use super::node::{self, Seen};
use super::pace::{Difference, Pace, Terms};
use crate::cluster::objects::BgpNodeStatus;
use crate::cluster::objects::bgp_node_status::NodeReport;
use crate::time::Instant;

/// Writes the report of one node.
#[derive(Debug)]
pub struct NodeWriter {
    node_name: String,
    statuses: Api<BgpNodeStatus>,
    nodes: Api<Node>,
    announcer: Announcer,
    pace: Pace,
    /// What the API server has; `None` before it has been asked.
    written: Option<NodeReport>,
    /// The Node as events refer to it.
    node: Option<ObjectReference>,
    /// The object is known to exist.
    exists: bool,
    /// The last attempt has failed, which has been said.
    failed: bool,
}

impl NodeWriter {
    /// One for that node, which has not written anything. `seed` decides the jitter of its writes.
    pub fn new(client: &Client, node_name: &str, terms: Terms, seed: u64) -> NodeWriter {
        NodeWriter {
            node_name: node_name.to_owned(),
            statuses: Api::all(client.clone()),
            nodes: Api::all(client.clone()),
            announcer: Announcer::new(client.clone(), node_name),
            pace: Pace::new(terms, seed),
            written: None,
            node: None,
            exists: false,
            failed: false,
        }
    }

    /// Takes over the size of the cluster.
    pub fn set_terms(&mut self, terms: Terms) {
        self.pace.set_terms(terms);
    }

    /// Writes what is seen, if it is time to and differs from what is written. To be called every few seconds.
    /// Whatever fails is tried again later.
    pub async fn step(&mut self, now: Instant, wall: Timestamp, seen: &Seen) {
        let report = node::report(seen, self.written.as_ref(), wall);
        self.pace.handle_difference(now, self.difference(&report));
        if !self.pace.is_due(now) {
            return;
        }
        if self.difference(&report) == Difference::None {
            self.pace.handle_settled();
            return;
        }
        self.pace.handle_attempt(now);
        match self.write(wall, seen).await {
            Ok(()) => {
                if std::mem::take(&mut self.failed) {
                    debug!("the status of this node is written again");
                }
            }
            Err(error) => {
                self.pace.handle_failed(now, error.retry_after());
                // The same trouble is told once, however often it is met.
                if !std::mem::replace(&mut self.failed, true) {
                    warn!("the status of this node cannot be written: {error}; trying again");
                }
            }
        }
    }

    fn difference(&self, report: &NodeReport) -> Difference {
        match &self.written {
            Some(written) => node::difference(written, report),
            None => Difference::Major,
        }
    }

    async fn write(&mut self, wall: Timestamp, seen: &Seen) -> Result<(), Error> {
        if self.written.is_none() {
            // A daemon that starts anew goes on from what the one before it has said.
            self.written = Some(self.read().await?);
        }
        let report = node::report(seen, self.written.as_ref(), wall);
        if self.difference(&report) == Difference::None {
            self.pace.handle_settled();
            return Ok(());
        }
        if !self.exists {
            self.make().await?;
        }
        if let Err(error) = api::apply_status(&self.statuses, &self.node_name, &report).await {
            // Somebody has deleted it: it is made anew.
            self.exists &= !error.is_missing();
            return Err(error);
        }
        self.pace.handle_written();
        let before = self.written.replace(report).unwrap_or_default();
        self.tell(&before).await;
        Ok(())
    }

    /// What is there.
    async fn read(&mut self) -> Result<NodeReport, Error> {
        match api::within(self.statuses.get_opt(&self.node_name)).await? {
            Some(object) => {
                self.exists = true;
                Ok(object.status.unwrap_or_default())
            }
            None => Ok(NodeReport::default()),
        }
    }

    /// Makes the object, owned by the Node so that it goes with it.
    async fn make(&mut self) -> Result<(), Error> {
        let uid = match &self.node {
            Some(node) => node.uid.clone(),
            None => {
                let node = api::within(self.nodes.get_metadata(&self.node_name)).await?;
                node.uid()
            }
        };
        self.node = Some(announce::reference("v1", "Node", &self.node_name, uid.clone()));
        let owner = json!({
            "apiVersion": "v1", "kind": "Node", "name": self.node_name, "uid": uid.unwrap_or_default(),
        });
        let object = json!({
            "metadata": { "name": self.node_name, "ownerReferences": [owner] },
            "spec": {},
        });
        api::apply(&self.statuses, &self.node_name, object).await?;
        self.exists = true;
        Ok(())
    }

    async fn tell(&self, before: &NodeReport) {
        let Some(written) = &self.written else { return };
        // Without its UID, events are found by the Node's name all the same.
        let about = self.node.clone();
        let about = about.unwrap_or_else(|| {
            announce::reference("v1", "Node", &self.node_name, Some(self.node_name.clone()))
        });
        for news in announce::of_node(&before.conditions, &written.conditions) {
            self.announcer.tell(&about, &news).await;
        }
    }
}
