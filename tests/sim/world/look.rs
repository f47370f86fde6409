//! What can be seen of a world from outside.

use std::collections::BTreeSet;

use routelet::fib::Target;
use routelet::prefix::Prefix;
use routelet::speaker::view::{PathView, PeerView, RouteView};
use routelet::time::Instant;

use super::{Kernel, World};
use crate::plan::{METRIC, Routes};

impl World {
    pub fn is_running(&self, name: &str) -> bool {
        self.members[name].speaker.is_some()
    }

    pub fn can_reach(&self, a: &str, b: &str) -> bool {
        self.is_running(b) && !self.isolated.contains(a) && !self.isolated.contains(b)
    }

    pub fn learned_routes(&self, name: &str) -> Routes {
        let of_metric = self.members[name].kernel.iter().filter(|((_, metric), _)| *metric == METRIC);
        of_metric
            .filter_map(|((prefix, _), target)| match target {
                Target::Via(hops) => Some((*prefix, hops.iter().map(|h| h.via).collect())),
                Target::Unreachable => None,
            })
            .collect()
    }

    /// Every path that a running member has, as it shows them.
    pub fn paths(&self, name: &str) -> Vec<PathView> {
        self.routes(name).into_iter().flat_map(|route| route.paths).collect()
    }

    /// Every destination of a running member, as it shows them.
    pub fn routes(&self, name: &str) -> Vec<RouteView> {
        self.members[name].speaker.as_ref().unwrap().routes(|_| true)
    }

    /// Every peer of a running member, as it shows them.
    pub fn peers(&self, name: &str) -> Vec<PeerView> {
        self.members[name].speaker.as_ref().unwrap().peers(self.now)
    }

    /// How many changes a running member's kernel has refused.
    pub fn route_failures(&self, name: &str) -> u64 {
        let summary = self.members[name].speaker.as_ref().unwrap().summary();
        summary.map_or(0, |summary| summary.fib_failures)
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    pub fn kernel(&self, name: &str) -> &Kernel {
        &self.members[name].kernel
    }

    /// Families whose End-of-RIB a running member lacks of a peer.
    pub fn awaited_ends(&self) -> Vec<String> {
        let running = self.members.iter().filter_map(|(name, m)| Some((name, m.speaker.as_ref()?)));
        let peers = running.flat_map(|(name, s)| s.peers(self.now).into_iter().map(move |p| (name, p)));
        let families =
            peers.flat_map(|(name, p)| p.families.into_iter().map(move |f| (name, p.name.clone(), f)));
        let awaited = families.filter(|(_, _, family)| !family.end_of_rib);
        awaited.map(|(name, peer, family)| format!("{name} of {peer}: {}", family.family)).collect()
    }

    pub fn unreachable_routes(&self, name: &str) -> BTreeSet<Prefix> {
        let kernel = self.members[name].kernel.iter();
        kernel.filter(|(_, t)| **t == Target::Unreachable).map(|((prefix, _), _)| *prefix).collect()
    }

    pub fn trace(&self) -> &[String] {
        self.trace.as_deref().expect("a trace is kept")
    }

    /// Forgets what has happened so far.
    pub fn clear_trace(&mut self) {
        self.trace = Some(vec![]);
    }

    /// Changes asked of any kernel.
    pub fn route_changes(&self) -> Vec<&str> {
        let changes = self.trace().iter().filter(|line| line.contains(": ChangeRoutes"));
        changes.map(String::as_str).collect()
    }

    /// How many times paths of a family were kept over a fall.
    pub fn kept(&self) -> usize {
        self.seen(": keeping ")
    }

    /// How many lines of the trace contain `words`.
    pub fn seen(&self, words: &str) -> usize {
        self.trace().iter().filter(|line| line.contains(words)).count()
    }

    /// How many NOTIFICATIONs of this code and subcode were sent.
    pub fn sent_notifications(&self, code: u8, subcode: u8) -> usize {
        let body = format!("03, {code:02x}, {subcode:02x}");
        let is_one = |line: &&String| {
            // A marker, two octets of length, type 3, the codes, and perhaps data.
            let after_marker = line.split("ff, ff, 00, ").nth(1);
            after_marker.is_some_and(|rest| rest.get(4..).is_some_and(|rest| rest.starts_with(&body)))
        };
        self.trace().iter().filter(is_one).count()
    }
}
