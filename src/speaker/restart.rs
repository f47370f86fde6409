//! Our own restart (RFC 4724 §4.1): peers keep our routes meanwhile, and the kernel keeps theirs.
//!
//! That we have restarted shows in the kernel: routes of ours are there before we have made any. The
//! same routes say, by family, whether packets were forwarded all along; a machine that was rebooted
//! has none. Nothing that we could note down ourselves, the boot's id for one, is as good a witness: routes also
//! go with a network namespace, a link or a hand that clears them, and then forwarding was not kept. A speaker that installs no routes forwards nothing that its restart could stop, so it
//! always counts as restarted with everything preserved.
//!
//! Choosing paths waits until the peers have told what they have: a choice among half of the paths
//! would move routes that are right, and be told to others. It does not wait for peers that promise no
//! End-of-RIB, nor for those that have restarted themselves and wait for us; and no longer than our
//! restart time, when the peers' patience ends too. Our own prefixes need no choice: they are announced
//! as soon as they can be delivered. Our End-of-RIB follows the choice and the last of these.
//!
//! Routes that nobody has confirmed are swept when every peer has told all it has, however late that
//! is, or when time is up.

use std::time::Duration;

use super::peer::Peer;
use super::{Notice, Speaker};
use crate::bgp::Session;
use crate::bgp::session::RestartBits;
use crate::fib::Found;
use crate::prefix::Family;
use crate::rib::Source;
use crate::rib::loc_rib::Place;
use crate::time::Instant;

/// How long routes found at start are kept where no peer is told of a restart time.
pub const STALE_TIME: Duration = Duration::from_secs(120);
/// How long choosing paths waits for a peer that has no session. Some peers are down for good, and a
/// restart must not stop the others' news for its whole time: four attempts to connect are enough.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);

/// Why a speaker is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It will be started again: peers that can are to keep its routes.
    Restart,
    /// Nobody is to wait for it.
    ForGood,
}

/// How far our restart has come.
#[derive(Debug, Default)]
pub(super) struct Restart {
    /// When we started, and in which families the kernel held routes of ours then.
    found: Option<(Instant, [bool; Family::ALL.len()])>,
    /// Choosing paths waits.
    deferral: Option<Deferral>,
    /// Our End-of-RIB waits until all our own prefixes are announced, but not past this.
    own_by: Option<Instant>,
    /// When routes found at start are let go; `None` once they are.
    sweep_at: Option<Instant>,
    /// What a peer is told that has not been told since we started.
    forwarding: [bool; Family::ALL.len()],
}

#[derive(Debug, Clone, Copy)]
struct Deferral {
    /// Peers without a session are waited for until then.
    connect_by: Instant,
    /// Nobody is waited for after that.
    until: Instant,
}

impl Restart {
    /// When the next of these waits ends.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let deferral = self.deferral.map(|d| d.connect_by.min(d.until));
        deferral.into_iter().chain(self.own_by).chain(self.sweep_at).min()
    }

    /// Whether choosing paths waits.
    pub(super) fn is_deferring(&self) -> bool {
        self.deferral.is_some()
    }

    /// Whether routes found at start may still be confirmed.
    pub(super) fn keeps_found_routes(&self) -> bool {
        self.sweep_at.is_some()
    }

    /// What OPENs say to a peer that has had no session since we started.
    pub(super) fn bits(&self) -> RestartBits {
        RestartBits { restarting: self.is_deferring(), forwarding: self.forwarding }
    }
}

impl Speaker {
    /// Takes over the routes of ours that the kernel holds at start. They keep forwarding until peers
    /// confirm them, or until every peer has said End-of-RIB, or for the restart time.
    pub fn handle_adopted(&mut self, now: Instant, held: Found) {
        self.now = now;
        let found = Family::ALL.map(|family| held.routes.iter().any(|route| route.prefix.family() == family));
        self.fib.handle_dump(held, true);
        self.restart.found = Some((now, found));
        self.restart.sweep_at = Some(now + STALE_TIME);
    }

    /// The first configuration is there, and with it how long peers wait for us.
    pub(super) fn begin_restart(&mut self) {
        // As asked for: a peer that is still to be found on its link is one that may come back.
        let (Some(intent), Some((at, found))) = (&self.links.asked, self.restart.found) else { return };
        let of_ranges = intent.ranges.values().map(|range| &range.template);
        let restarts = intent.peers.values().chain(of_ranges).filter_map(|peer| peer.graceful_restart);
        let Some(time) = restarts.map(|restart| restart.restart_time).max() else { return };
        self.restart.sweep_at = Some(at + time);
        self.restart.forwarding = if intent.fib.install { found } else { [true; Family::ALL.len()] };
        if self.restart.forwarding.contains(&true) {
            let until = at + time;
            let connect_by = (at + CONNECT_PATIENCE).min(until);
            self.restart.deferral = Some(Deferral { connect_by, until });
            self.restart.own_by = Some(until);
        }
    }

    /// Whether peers may not be told yet that they have been told all.
    pub(super) fn holds_end_of_rib(&self) -> bool {
        self.restart.is_deferring() || self.restart.own_by.is_some()
    }

    /// Goes on with what has waited for peers, as far as they have told.
    pub(super) fn advance_restart(&mut self) {
        if let Some(deferral) = self.restart.deferral {
            let may_connect = self.now < deferral.connect_by;
            // Who was there of a range is not known, nor who will be found on a link.
            let ranges = self.intent.as_ref().is_some_and(|intent| !intent.ranges.is_empty());
            let unknown = ranges || self.links.are_searched();
            let awaited =
                (unknown && may_connect) || self.peers.values().any(|peer| is_awaited(peer, may_connect));
            if !awaited || self.now >= deferral.until {
                self.end_deferral();
            } else if !may_connect {
                // No wait is left but the last one.
                self.restart.deferral = Some(Deferral { connect_by: deferral.until, ..deferral });
            }
        }
        let all = self.originates_all() && self.originates_anycast();
        if self.restart.own_by.is_some_and(|by| by <= self.now || all) {
            self.restart.own_by = None;
            self.busy.extend(self.peers.keys());
        }
        let Some(sweep_at) = self.restart.sweep_at else { return };
        // Asked after every input: of thousands of peers, mostly one of the first has not told yet.
        let told =
            !self.peers.is_empty() && self.peers.values().all(has_told_all) && !self.links.are_searched();
        if sweep_at <= self.now || (told && !self.restart.is_deferring()) {
            // What the peers told must be desired before the rest is let go.
            while self.settle_dirty() {}
            self.restart.sweep_at = None;
            self.fib.sweep();
            self.notice(Notice::Swept);
        }
    }

    fn end_deferral(&mut self) {
        self.restart.deferral = None;
        for peer in self.peers.values_mut() {
            peer.set_restarting(false);
        }
        self.rib.mark_dirty(|_| true);
        self.busy.extend(self.peers.keys());
        self.notice(Notice::Selecting);
    }

    /// Whether a destination may be decided now: all may, but while choosing waits only those where
    /// there is nothing to choose.
    pub(super) fn may_decide(&self, place: Place) -> bool {
        let (_, destination) = self.rib.at(place);
        let paths = destination.paths();
        !self.restart.is_deferring() || paths.is_empty() || paths.iter().any(|p| p.source == Source::Local)
    }
}

/// Whether choosing paths waits for a peer (RFC 4724 §4.1).
fn is_awaited(peer: &Peer, may_connect: bool) -> bool {
    let Some(negotiated) = peer.established().and_then(Session::negotiated) else { return may_connect };
    negotiated.graceful_restart().is_some_and(|theirs| !theirs.restarting) && !has_told_all(peer)
}

/// Whether a peer has said End-of-RIB in every family of its session.
pub(super) fn has_told_all(peer: &Peer) -> bool {
    let negotiated = peer.established().and_then(Session::negotiated);
    negotiated.is_some_and(|n| n.codec.families.iter().all(|family| peer.end_of_rib_seen.contains(family)))
}
