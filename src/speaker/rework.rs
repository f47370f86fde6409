//! What a change of configuration leaves to be done to the table, for all peers together.
//!
//! A cluster of thousands of nodes changes all the time, and a node that comes or goes concerns the policies
//! of every session. So one walk through the table judges the paths of all peers again, and where lists of
//! prefixes alone have changed, only what these name is decided and told anew.

use std::collections::BTreeSet;

use super::Speaker;
use super::intent::{Intent, Policy};
use super::updates::import;
use crate::prefix::Prefix;
use crate::rib::policy::{PrefixRule, PrefixSet};
use crate::rib::{Path, PeerId, Source};

/// Two intents, and what of their difference concerns every peer.
pub(super) struct Change<'a> {
    pub(super) old: &'a Intent,
    pub(super) new: &'a Intent,
    /// Whatever peers have announced may be used, or not be, for other reasons than before.
    pub(super) import: bool,
    /// So may what lies inside these.
    protected: Vec<PrefixRule>,
    /// Whatever peers are told may look otherwise than before.
    pub(super) export: bool,
}

impl<'a> Change<'a> {
    pub(super) fn between(old: &'a Intent, new: &'a Intent) -> Change<'a> {
        // A session under another AS of ours outlives a change of the real one.
        let ours = |intent: &'a Intent| (intent.asn, &intent.addresses, intent.cluster_id);
        let export = ours(old) != ours(new);
        let protected = old.protected.symmetric_difference(&new.protected);
        let protected = protected.map(|prefix| PrefixRule::within(*prefix)).collect();
        Change { old, new, import: export, protected, export }
    }
}

/// A new intent that has its mesh policies in common with the old one wherever they are equal. With reflectors
/// each of thousands of sessions has a list as long as the cluster; which of them differ is found out once, and
/// by where they are from then on.
pub(super) fn sharing(old: &Intent, mut new: Intent) -> Intent {
    let mut last: Option<[Policy; 2]> = None;
    let mut share = |before: &Policy, now: &mut Policy| {
        let known = last.as_ref().is_some_and(|[a, b]| a.is_shared_with(before) && b.is_shared_with(now));
        if known || before.is_shared_with(now) || before == now {
            let replaced = std::mem::replace(now, before.clone());
            last = Some([before.clone(), replaced]);
        }
    };
    for (name, peer) in &mut new.peers {
        if let Some(before) = old.peers.get(name) {
            share(&before.import, &mut peer.import);
            share(&before.export, &mut peer.export);
        }
    }
    new
}

/// What is left to be done.
#[derive(Default)]
pub(super) struct Rework {
    /// Peers whose paths are judged again.
    pub(super) judged: BTreeSet<PeerId>,
    /// What is judged again of all peers' paths.
    judged_prefixes: Vec<PrefixRule>,
    /// Peers whose paths others are told of, or no longer.
    pub(super) retold: BTreeSet<PeerId>,
    /// Peers that may now have more prefixes than they may, or other timers.
    pub(super) changed: Vec<PeerId>,
    /// Peers to be compared with all that they should know.
    pub(super) walked: BTreeSet<PeerId>,
    /// What peers may be told otherwise, or no longer, or now.
    pub(super) prefixes: Vec<PrefixRule>,
    /// The last policies compared. Those of a mesh are the same for thousands of peers.
    last: Option<[Policy; 2]>,
}

impl Rework {
    /// What the peers have in common.
    pub(super) fn of(change: &Change<'_>) -> Rework {
        Rework { judged_prefixes: change.protected.clone(), ..Rework::default() }
    }

    /// What two export policies may differ about that has not been noted; `None` where that may be anything.
    pub(super) fn compared(&mut self, old: &Policy, new: &Policy) -> Option<Vec<PrefixRule>> {
        // Shared lists are compared by where they are.
        if self.last.as_ref().is_some_and(|[before, after]| before == old && after == new) || old == new {
            return Some(vec![]);
        }
        let differing = old.lists_apart(new)?;
        self.last = Some([old.clone(), new.clone()]);
        Some(differing)
    }
}

impl Speaker {
    /// Does what is left.
    pub(super) fn rework(&mut self, rework: Rework) {
        let all = !rework.judged_prefixes.is_empty();
        self.judge_all_again(&rework.judged, rework.judged_prefixes.into_iter().collect());
        let kept = self.peers.values().filter(|peer| all && !peer.kept.is_empty()).map(|peer| peer.id);
        for id in kept.chain(rework.judged.iter().copied()).collect::<BTreeSet<PeerId>>() {
            self.mark_last_resorts(id);
        }
        if !rework.retold.is_empty() {
            let is_of = |source| matches!(source, Source::Peer(id) if rework.retold.contains(&id));
            self.rib.mark_dirty(|path| is_of(path.source));
        }
        if !rework.prefixes.is_empty() {
            let prefixes: PrefixSet = rework.prefixes.into_iter().collect();
            self.rib.mark_dirty_within(&prefixes);
        }
        for id in rework.changed {
            self.enforce_max_prefixes(id);
            self.drain(id);
        }
        for id in rework.walked {
            self.walk_again(id);
        }
    }

    /// Judges by the policy of today what these peers have announced, and what all have of these prefixes.
    fn judge_all_again(&mut self, concerned: &BTreeSet<PeerId>, prefixes: PrefixSet) {
        let Some(intent) = &self.intent else { return };
        let (peers, interner) = (&self.peers, &mut self.interner);
        let is_of = |source| matches!(source, Source::Peer(id) if concerned.contains(&id));
        let judge = |prefix: Prefix, path: &Path| {
            let Source::Peer(id) = path.source else { return path.clone() };
            let Some(peer) = peers.get(&id) else { return path.clone() };
            let import = import(intent, &peer.intent, peer.shown_asn());
            import.arrival(path.source, path.received().clone()).path(prefix, interner)
        };
        if !concerned.is_empty() || !prefixes.is_empty() {
            self.rib.reconsider(|prefix, source| is_of(source) || prefixes.matches(prefix), judge);
        }
    }
}
