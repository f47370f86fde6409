//! What BFD says about the way to a peer, and what follows for its session (RFC 5882).
//!
//! The sessions of BFD live in the shell, beside this speaker; which there should be, and what their
//! coming and going means, is decided here.
//!
//! - Down: the session falls at once, and its paths go (§4.2). Not so if the peer says AdminDown: then
//!   BFD is off, and the path may be well (§3.2).
//! - Down while the peer restarts (RFC 4724, §4.3): what is kept for it goes if its BFD would have outlived its
//!   BGP (C bit). Else its silence was to be expected, and says nothing of the path. That holds until its BFD
//!   has come back after its session, which may be quicker: what goes Down before is what it had before, or
//!   is made anew once more, as FRR's is.
//! - Never Up: the session comes up all the same, unless the peer is `strict`.
//! - `strict`: no session begins while the path is not Up, and it falls with it. A peer that says AdminDown
//!   keeps what it has, but may not begin anew.
//!
//! RFC 5882 §4.3 asks for the C bit of both sides. Ours is never set, for BFD ends with this process; but who
//! judges here is running, so that only the peer's says whether a restart explains the silence.
//!
//! Down comes first where a peer dies whose kernel does not close its connections. Nothing tells that from a
//! path that is dead, BGP having no way to announce a restart, and §4.3.2.2 has it taken for the latter.

use std::collections::BTreeMap;
use std::time::Duration;

use super::intent::{Distance, PeerIntent};
use super::peer::Peer;
use super::view::BfdView;
use super::{Action, Speaker};
use crate::bfd::{Change, Config, Diagnostic, Path, State};
use crate::bgp::session::{self, Rest};
use crate::bgp::{Notification, Reason};
use crate::rib::PeerId;
use crate::time::Instant;

impl Speaker {
    /// The BFD session of a path came up or went down.
    pub fn handle_path_change(&mut self, now: Instant, path: &Path, change: &Change) {
        self.now = now;
        let concerned = self.peers.values().filter(|peer| path_of(&peer.intent).as_ref() == Some(path));
        let concerned: Vec<PeerId> = concerned.map(|peer| peer.id).collect();
        for id in concerned {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let before = peer.path.replace(*change);
            let was_up = before.is_some_and(|before| before.state == State::Up);
            // What comes up before its session may be what it had before, or come and go once more with it.
            let established = peer.first.session.state() == session::State::Established;
            peer.path_is_new |= established && change.state == State::Up && !was_up;
            match change.state {
                State::Up => self.path_is_up(id),
                State::Init | State::Down if change.remote_state != State::AdminDown => {
                    self.path_is_down(id, change);
                }
                State::Init | State::Down | State::AdminDown => {}
            }
        }
    }

    /// Asks for the BFD sessions there should be, if they are not those asked for before.
    pub(super) fn watch_paths(&mut self) {
        let drained = self.is_drained();
        let wanted: BTreeMap<Path, Config> = self
            .peers
            .values()
            .filter(|_| !drained)
            .filter_map(|peer| Some((path_of(&peer.intent)?, peer.intent.bfd.as_ref()?.config.clone())))
            .collect();
        for peer in self.peers.values_mut() {
            if !path_of(&peer.intent).is_some_and(|path| self.paths.contains_key(&path)) {
                peer.path = None;
            }
        }
        if wanted != self.paths {
            self.paths.clone_from(&wanted);
            self.actions.push_back(Action::WatchPaths(wanted));
        }
    }

    fn path_is_up(&mut self, id: PeerId) {
        let waited = |peer: &Peer| peer.intent.bfd.as_ref().is_some_and(|bfd| bfd.strict);
        if self.peers.get(&id).is_some_and(waited) {
            // Of no effect on a session that has begun.
            self.start_session(id);
        }
    }

    fn path_is_down(&mut self, id: PeerId, change: &Change) {
        if self.is_closed() {
            // Peers end their BFD with the session, and say so in different ways.
            return;
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let (diagnostic, theirs) = (change.diagnostic.name(), change.remote_diagnostic);
        let mut why = format!("BFD: {diagnostic}");
        if theirs.0 != 0 {
            why.push_str(&format!(" (the peer: {})", theirs.name()));
        }
        let established = peer.first.session.state() == session::State::Established;
        if established && !change.control_plane_independent && !peer.kept.is_empty() && !peer.path_is_new {
            return;
        }
        if peer.intent.bfd.as_ref().is_some_and(|bfd| bfd.strict) {
            self.stop_sessions(id, Reason::BFD_DOWN, &why);
        } else if established {
            let notification = Notification::from(Reason::BFD_DOWN);
            peer.first.session.handle_reset(self.now, notification, Rest::IdleHold, &why);
            self.drain(id);
        }
        if !established && change.control_plane_independent {
            self.let_go_all(id);
        }
    }
}

impl Peer {
    /// What a person sees of the path.
    pub(super) fn bfd_view(&self) -> Option<BfdView> {
        self.intent.bfd.as_ref()?;
        let change = self.path.as_ref();
        Some(BfdView {
            state: change.map_or(State::Down, |change| change.state).name(),
            diagnostic: change.map_or(Diagnostic::NONE, |change| change.diagnostic).name(),
            tx_interval: change.map_or(Duration::ZERO, |change| change.tx_interval),
            detection_time: change.map_or(Duration::ZERO, |change| change.detection_time),
        })
    }

    /// Whether its session must not begin because BFD has not found the path to it alive.
    pub(super) fn waits_for_path(&self) -> bool {
        let strict = self.intent.bfd.as_ref().is_some_and(|bfd| bfd.strict);
        strict && self.path.is_none_or(|change| change.state != State::Up)
    }
}

/// The path to a peer that is to be watched.
fn path_of(peer: &PeerIntent) -> Option<Path> {
    let hops = peer.bfd.as_ref()?.hops.unwrap_or(match peer.distance {
        // An internal peer is on the same segment unless it is said to be further away.
        Distance::Default => 1,
        Distance::Multihop(hops) | Distance::Security(hops) => hops,
    });
    Some(Path { remote: peer.address, local: peer.source, interface: peer.interface.clone(), hops })
}
