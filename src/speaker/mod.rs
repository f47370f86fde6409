//! One whole node, pure: sessions, tables and FIB (RFC 4271 §3, §9).
//!
//! Inputs arrive by `handle_*`, each with the time it happened. Afterwards the owner takes actions
//! by [`Speaker::poll_action`] until there is none, and asks [`Speaker::poll_timeout`] when to come
//! back. The same inputs always give the same actions.
//!
//! Deciding is put off until actions are polled, so that a burst of inputs is decided once per
//! prefix, and a single change goes out at once.
//!
//! | file | part |
//! |---|---|
//! | [`intent`] | what the node is meant to do |
//! | `configure`, `rework` | from one intent to the next, touching only what differs |
//! | `peer`, `sessions` | connections, collisions, session inputs and outputs |
//! | `dynamic` | peers that come from a range of addresses |
//! | `link_peers` | peers that are known by their link alone |
//! | `lifecycle` | a session up, down, failed or replaced |
//! | `liveness` | what BFD says about the way to a peer |
//! | `reachability` | what links and addresses that fail make of sessions |
//! | `updates` | an UPDATE applied to the table |
//! | `prefix_limit` | how many prefixes a peer may have |
//! | `refresh` | a family announced again, ours and the peer's |
//! | `graceful` | a peer restarts: its paths outlive its session |
//! | `restart` | we restart: the kernel's routes outlive us |
//! | `drain` | leaving: peers move first |
//! | `retreat` | what the objects say of leaving |
//! | `gate` | what the first pods wait for |
//! | `rehoming` | other nodes reflect: sessions of the former mesh go last |
//! | `stale` | paths that a peer is yet to announce again |
//! | `aftermath` | what a failure leaves to be done to the table |
//! | `standing` | what the decision process asks of a path's peer and next hop |
//! | `settle` | decide dirty prefixes, tell the FIB, and set what groups of peers are to be told |
//! | `groups` | which peers are told the same |
//! | `telling`, `sheet` | what groups should know, encoded once and handed to sessions |
//! | `plans` | what the FIB is told: next hops, and what becomes of them when something fails |
//! | `audience` | what makes peers be told the same, and what they are told |
//! | `local` | the node's own pod CIDRs: first deliverable, then announced |
//! | `anycast` | addresses of Services: likewise, and exchanged among the nodes |
//! | [`view`], `show` | what a person or a metric sees |

mod action;
mod aftermath;
mod anycast;
mod audience;
mod configure;
mod drain;
mod dynamic;
mod gate;
mod graceful;
mod groups;
pub mod intent;
mod lifecycle;
mod link_peers;
mod liveness;
mod local;
mod peer;
pub mod peer_table;
mod plans;
mod prefix_limit;
mod reachability;
mod refresh;
mod rehoming;
mod restart;
mod retreat;
mod rework;
mod sessions;
mod settle;
mod shares;
mod sheet;
mod show;
mod stale;
mod standing;
mod telling;
mod trouble;
mod updates;
pub mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

pub use action::{Action, ConnectionId, Notice, Terms, Transport};
pub use drain::{DrainStage, DrainTerms, DrainView};
pub use gate::GateTerms;
pub use intent::Intent;
pub use link_peers::LinkPeer;
use peer::Peer;
use restart::Restart;
pub use restart::{Departure, STALE_TIME};
pub use retreat::{Extent, Retreat, RetreatView};

use crate::bfd;
use crate::bgp::session::Timer;
use crate::fib::{BatchId, Difference, Fib, Found, Group, Refusal, Route};
use crate::prefix::hash::Seed;
use crate::prefix::{Family, Prefix};
use crate::rib::next_hop::{NextHops, Underlay, UnderlayRoute};
use crate::rib::{Interner, LocRib, PeerId};
use crate::time::Instant;

/// A BGP speaker with its tables.
#[derive(Debug)]
pub struct Speaker {
    seed: u64,
    intent: Option<Arc<Intent>>,
    peers: BTreeMap<PeerId, Peer>,
    names: BTreeMap<String, PeerId>,
    /// [`Peer::intent`]'s address of all, in order.
    by_address: BTreeSet<(IpAddr, PeerId)>,
    ranges: BTreeMap<String, dynamic::Range>,
    links: link_peers::Links,
    connections: BTreeMap<ConnectionId, PeerId>,
    next_connection: u64,
    next_peer: u32,
    interner: Interner,
    rib: LocRib,
    /// Established peers by what they are told.
    groups: groups::Groups,
    next_hops: NextHops,
    fib: Fib,
    /// Walks through the table that a failure has left to be done.
    aftermath: Vec<aftermath::Aftermath>,
    /// The bridge for local pods stands.
    bridge_ready: bool,
    /// Families that the kernel does not forward.
    unforwarded: BTreeSet<Family>,
    /// Addresses of this machine.
    addresses: BTreeSet<IpAddr>,
    originated: BTreeSet<Prefix>,
    anycast: anycast::Anycast,
    /// Pod CIDRs that are configured and not announced.
    not_originated: usize,
    /// The kernel has answered about an aggregate, and a pod CIDR may be deliverable now.
    aggregates_changed: bool,
    /// How far our own restart has come.
    restart: Restart,
    /// How far a drain has come, if there is one.
    leaving: Option<drain::Drain>,
    /// What has become of service addresses of a node that leaves.
    retreat: retreat::Leave,
    /// Whether it has begun to let go of them.
    retreating: bool,
    /// What the first pods wait for.
    gate: gate::Gate,
    /// Sessions of the mesh that the intent has no more.
    rehoming: rehoming::Rehoming,
    /// When each peer's sessions are to be looked at next: [`Peer::wake`] of all, in order. A timer that is
    /// put off stays noted where it was until then: most are put off by each message.
    wakes: BTreeSet<(Instant, PeerId, Timer)>,
    /// When what has outlived its session is let go: [`Peer::kept`] of all, in order.
    keeps: BTreeSet<(Instant, PeerId, Family)>,
    /// Peers that may have something to be sent.
    busy: BTreeSet<PeerId>,
    /// BFD sessions that have been asked for.
    paths: BTreeMap<bfd::Path, bfd::Config>,
    actions: VecDeque<Action>,
    now: Instant,
}

/// Why a speaker wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// A session timer.
    Session(PeerId, Timer),
    /// A refused route change is to be tried again.
    RouteRetry,
    /// After our own restart, choosing paths or keeping routes found at start has waited long enough.
    Restart,
    /// Paths that have outlived their session are to be let go.
    LetGo(PeerId),
    /// A drain goes on.
    Drain,
    /// Service addresses are withdrawn that are let go of.
    Retreat,
    /// The first pods have waited long enough for a peer.
    Gate,
    /// Sessions of a former mesh have stayed long enough.
    Rehoming,
}

impl Speaker {
    /// A speaker without any configuration. Equal seeds and inputs give equal actions.
    pub fn new(seed: u64) -> Speaker {
        Speaker {
            seed,
            intent: None,
            peers: BTreeMap::new(),
            names: BTreeMap::new(),
            by_address: BTreeSet::new(),
            ranges: BTreeMap::new(),
            links: link_peers::Links::default(),
            connections: BTreeMap::new(),
            next_connection: 0,
            next_peer: 0,
            interner: Interner::default(),
            rib: LocRib::new(Seed::new(seed)),
            groups: groups::Groups::default(),
            next_hops: NextHops::default(),
            fib: Fib::default(),
            aftermath: vec![],
            bridge_ready: false,
            unforwarded: BTreeSet::new(),
            addresses: BTreeSet::new(),
            originated: BTreeSet::new(),
            anycast: anycast::Anycast::default(),
            not_originated: 0,
            aggregates_changed: false,
            restart: Restart::default(),
            leaving: None,
            retreat: retreat::Leave::default(),
            retreating: false,
            gate: gate::Gate::default(),
            rehoming: rehoming::Rehoming::default(),
            wakes: BTreeSet::new(),
            keeps: BTreeSet::new(),
            busy: BTreeSet::new(),
            paths: BTreeMap::new(),
            actions: VecDeque::new(),
            now: Instant::ORIGIN,
        }
    }

    /// Takes what the kernel holds of ours now, and puts right what differs from what should be.
    pub fn handle_kernel_dump(&mut self, now: Instant, held: Found) {
        self.now = now;
        // Before there is a configuration, nothing is known to be wrong.
        if self.intent.is_some() {
            self.fib.handle_dump(held, self.restart.keeps_found_routes());
        }
    }

    /// Takes what somebody else has made of one route of ours, `None` if he removed it, and puts it right.
    pub fn handle_kernel_route(&mut self, now: Instant, prefix: Prefix, metric: u32, held: Option<Route>) {
        self.now = now;
        if self.intent.is_some() {
            self.fib.handle_change_seen(now, prefix, metric, held);
        }
    }

    /// Takes all nexthop groups of ours that the kernel has now.
    pub fn handle_kernel_groups(&mut self, now: Instant, groups: &[Group]) {
        self.now = now;
        if self.intent.is_some() {
            self.fib.handle_groups(groups);
        }
    }

    /// Where the kernel, as found, differs from what is desired.
    pub fn audit(&self, held: &Found) -> Vec<Difference> {
        self.fib.audit(held)
    }

    /// Routes belong in another table, or bear another protocol number, than before.
    pub fn handle_ownership_changed(&mut self, now: Instant) {
        self.now = now;
        self.fib.forget_installed();
    }

    /// Takes the kernel's routes that are not ours: what next hops are resolved by.
    pub fn handle_underlay(&mut self, now: Instant, routes: impl IntoIterator<Item = UnderlayRoute>) {
        self.now = now;
        let underlay = Underlay::new(routes);
        if underlay == *self.next_hops.underlay() {
            return;
        }
        // Whether a next hop may stay as it is towards an external peer depends on the subnet of either.
        // An address that comes or goes elsewhere must not cost a walk through the whole table.
        let moved = |peer: &Peer| !self.next_hops.underlay().reaches_alike(&underlay, peer.intent.address);
        let external = self.established_peers().filter(|(_, external)| *external).map(|(id, _)| id);
        let moved: Vec<PeerId> = external.filter(|id| self.peers.get(id).is_some_and(moved)).collect();
        let turns = self.turns(&underlay);
        self.replace_underlay(underlay);
        for id in moved {
            self.walk_again(id);
        }
        self.take_turns(turns);
    }

    /// Takes the kernel's answer to a batch of changes: those it refused, in order.
    pub fn handle_route_answer(&mut self, now: Instant, batch: BatchId, refusals: Vec<Refusal>) {
        self.now = now;
        self.fib.handle_answer(now, batch, refusals);
        self.aggregates_changed |= self.not_originated > 0 || self.anycast.waits();
    }

    /// The bridge for local pods stands (or, with `false`, does not), and with it what our pod CIDRs
    /// can be delivered through.
    pub fn handle_bridge(&mut self, now: Instant, ready: bool) {
        self.now = now;
        if std::mem::replace(&mut self.bridge_ready, ready) != ready {
            self.originate_all_anycast();
        }
        self.originate_what_is_deliverable();
    }

    /// These are the families that the kernel does not forward: nothing of them can be delivered to pods.
    pub fn handle_unforwarded(&mut self, now: Instant, families: BTreeSet<Family>) {
        self.now = now;
        if self.unforwarded != families {
            self.unforwarded = families;
            self.originate_all_anycast();
            self.originate_what_is_deliverable();
        }
    }

    /// Lets timers expire whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.fib.handle_timeout(now);
        if self.restart.poll_timeout().is_some_and(|at| at <= now) {
            self.advance_restart();
        }
        self.let_go_overdue();
        for id in self.take_due(now) {
            self.handle_session_timeouts(id);
        }
    }

    /// Takes the next thing to be done, in order; decides what has become dirty when nothing else is
    /// left.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.poll_ready() {
                return Some(action);
            }
            if !self.work_some() {
                return None;
            }
        }
    }

    /// Does one portion of what is left to do; `false` if there was nothing. [`Speaker::poll_action`] does
    /// so by itself.
    pub fn work_some(&mut self) -> bool {
        self.settle_some()
            || self.advance_retreat()
            || self.advance_drain()
            || self.advance_gate()
            || self.advance_rehoming()
    }

    /// Takes the next thing to be done that is known already. For an owner who has other things to see
    /// to, between portions of [`Speaker::work_some`].
    pub fn poll_ready(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Speaker::handle_timeout`] is next due, and why. A session's timer may prove to have been put
    /// off by then.
    pub fn poll_timeout(&self) -> Option<(Instant, Wake)> {
        let session = self.wakes.first().map(|(at, id, timer)| (*at, Wake::Session(*id, *timer)));
        let retry = self.fib.poll_timeout().map(|at| (at, Wake::RouteRetry));
        let restart = self.restart.poll_timeout().map(|at| (at, Wake::Restart));
        let let_go = self.keeps.first().map(|(at, id, _)| (*at, Wake::LetGo(*id)));
        let drain = self.leaving.as_ref().and_then(|drain| drain.poll_timeout(self.now));
        let drain = drain.map(|at| (at, Wake::Drain));
        let gate = self.gate_due().map(|at| (at, Wake::Gate));
        let rehoming = self.rehoming.poll_timeout(self.now).map(|at| (at, Wake::Rehoming));
        let retreat = self.retreat.poll_timeout().map(|at| (at, Wake::Retreat));
        let ends = drain.into_iter().chain(retreat).chain(gate).chain(rehoming);
        session.into_iter().chain(retry).chain(restart).chain(let_go).chain(ends).min()
    }

    fn notice(&mut self, notice: Notice) {
        self.actions.push_back(Action::Notice(notice));
    }

    /// Peers with an Established session, and whether they are external.
    fn established_peers(&self) -> impl Iterator<Item = (PeerId, bool)> {
        self.peers.values().filter_map(|p| Some((p.id, p.established()?.negotiated()?.external())))
    }
}
