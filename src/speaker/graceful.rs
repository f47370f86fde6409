//! Graceful restart of a peer: its paths outlive its session (RFC 4724 §4.2, RFC 8538 §4).
//!
//! A session falls, and what its peer has promised to go on forwarding stays in the table, stale, and
//! with it in the kernel. It ends in one of four ways: the peer announces it again; the peer says
//! End-of-RIB without having done so; the peer comes back without having kept its side; or time is up.
//!
//! Where both sides speak RFC 9494, the end of time is not the end: the paths are kept for a long-lived stale
//! time more, marked LLGR_STALE, so that every other path is used before them.
//!
//! Two times bound the wait. Until the session is back it is the restart time that the peer asked for;
//! over all, from the fall to End-of-RIB, it is our own stale time. RFC 4724 §4.2 deletes what is still
//! stale when a session falls again; RFC 8538 §4.2 keeps it within the second time, so that a peer that
//! dies while it restarts loses nothing. We do as the peer's capability says.

use std::time::Duration;

use super::peer::Peer;
use super::{Notice, Speaker};
use crate::bgp::PathNlri;
use crate::bgp::session::{Fall, Negotiated};
use crate::prefix::Family;
use crate::rib::well_known::{LLGR_STALE, NO_LLGR, bears, marked};
use crate::rib::{Path, PeerId, Source};
use crate::time::Instant;

/// Paths of one family that have outlived their session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// When the session fell.
    fell_at: Instant,
    /// When those that are stale are let go.
    pub(super) until: Instant,
    /// They are marked as a last resort (RFC 9494).
    long_lived: bool,
    /// It was a drain of ours that ended the session.
    drained: bool,
}

impl Kept {
    /// For as long as we are drained.
    pub(super) fn while_drained(now: Instant) -> Kept {
        Kept { fell_at: now, until: now + Duration::MAX, long_lived: false, drained: true }
    }

    /// Whether they are kept without an end in sight.
    pub(super) fn is_endless(&self) -> bool {
        self.until == self.until + Duration::MAX
    }
}

impl Speaker {
    /// Keeps what graceful restart keeps of a peer whose session has fallen, and lets go of the rest.
    pub(super) fn keep_over_fall(&mut self, id: PeerId, fall: Fall) {
        if self.is_closed() {
            return self.keep_while_drained(id);
        }
        for family in Family::ALL {
            let Some(peer) = self.peers.get(&id) else { return };
            let terms = terms(peer, family, fall, self.now);
            match terms {
                Some(kept) if self.rib.count(Source::Peer(id), family).received > 0 => {
                    self.keep(id, family, kept);
                }
                _ => self.let_go_family(id, family),
            }
        }
    }

    fn keep(&mut self, id: PeerId, family: Family, mut kept: Kept) {
        let Some(peer) = self.peers.get(&id) else { return };
        if let Some(before) = peer.kept.get(&family).copied() {
            if survives_notifications(peer) {
                kept.fell_at = before.fell_at;
                let longest = peer.intent.graceful_restart.unwrap_or_default().stale_time;
                kept.until = kept.until.min(before.fell_at + longest);
            } else {
                self.withdraw_stale(id, family);
            }
        }
        let paths = self.mark_stale(id, family);
        self.set_kept(id, family, Some(kept));
        let notice = Notice::Kept { peer: self.peer_name(id), family, paths, time: kept.until - self.now };
        self.notice(notice);
    }

    /// A session is up again: lets go at once of families whose forwarding the peer has not kept.
    pub(super) fn welcome_back(&mut self, id: PeerId, negotiated: &Negotiated) {
        let Some(peer) = self.peers.get(&id) else { return };
        let same_router_as = peer.agreed.as_ref().is_some_and(|before| before.asn == negotiated.asn);
        for (family, kept) in peer.kept.clone() {
            let Some(peer) = self.peers.get(&id) else { return };
            if kept.drained && same_router_as {
                continue;
            }
            match peer.intent.graceful_restart {
                Some(_) if kept.long_lived => {
                    let kept_too = negotiated.long_lived(family).is_some_and(|family| family.forwarding);
                    if !same_router_as || !kept_too {
                        self.let_go_stale(id, family);
                    }
                }
                Some(ours) if same_router_as && kept_forwarding(negotiated, family) => {
                    let until = (kept.fell_at + ours.stale_time).max(self.now);
                    self.set_kept(id, family, Some(Kept { until, ..kept }));
                }
                _ => self.let_go_stale(id, family),
            }
        }
    }

    /// Lets go of what has outlived its session and not been announced again, if there is any.
    pub(super) fn let_go_stale(&mut self, id: PeerId, family: Family) {
        if !self.peers.get(&id).is_some_and(|peer| peer.kept.contains_key(&family)) {
            return;
        }
        self.set_kept(id, family, None);
        let paths = self.withdraw_stale(id, family);
        if paths > 0 {
            let notice = Notice::LetGo { peer: self.peer_name(id), family, paths };
            self.notice(notice);
        }
    }

    /// Lets go of all that a peer has announced of a family.
    fn let_go_family(&mut self, id: PeerId, family: Family) {
        self.set_kept(id, family, None);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.stale.remove(&family);
        }
        self.lose_family(id, family);
    }

    /// Lets go of all that a peer has announced.
    pub(super) fn let_go_all(&mut self, id: PeerId) {
        for family in Family::ALL {
            self.let_go_family(id, family);
        }
    }

    /// Lets go of what has been kept long enough.
    pub(super) fn let_go_overdue(&mut self) {
        while let Some((at, id, family)) = self.keeps.first().copied()
            && at <= self.now
        {
            match self.peers.get(&id).and_then(|peer| long_lived_terms(peer, family, self.now)) {
                Some(kept) => self.keep_as_last_resort(id, family, kept),
                None => self.let_go_stale(id, family),
            }
            self.forget_if_gone(id);
        }
    }

    /// Time is up, but not for a last resort (RFC 9494 §4.2): keeps what is stale as that.
    fn keep_as_last_resort(&mut self, id: PeerId, family: Family, kept: Kept) {
        self.set_kept(id, family, Some(kept));
        let paths = self.mark_last_resort(id, family);
        let notice = Notice::Kept { peer: self.peer_name(id), family, paths, time: kept.until - self.now };
        self.notice(notice);
    }

    /// Marks again what is kept as a last resort, after import has judged it anew.
    pub(super) fn mark_last_resorts(&mut self, id: PeerId) {
        let kept = self.peers.get(&id).map(|peer| peer.kept.clone()).unwrap_or_default();
        for (family, _) in kept.into_iter().filter(|(_, kept)| kept.long_lived) {
            self.mark_last_resort(id, family);
        }
    }

    /// Marks what is stale of a family, lets go of what is not to be kept, and returns how many paths
    /// are left.
    fn mark_last_resort(&mut self, id: PeerId, family: Family) -> usize {
        let Some(stale) = self.peers.get(&id).and_then(|peer| peer.stale.get(&family)).cloned() else {
            return 0;
        };
        let (source, interner) = (Source::Peer(id), &mut self.interner);
        let mut unwilling = vec![];
        self.rib.reconsider(
            |_, of| of == source,
            |prefix, path| {
                let nlri = PathNlri { prefix, id: path.path_id };
                if !stale.contains(&nlri) {
                    return path.clone();
                }
                if bears(path.received(), NO_LLGR) {
                    unwilling.push(nlri);
                }
                let attributes = interner.intern(marked(&path.attributes, LLGR_STALE));
                Path { attributes, received: Some(path.received().clone()), ..path.clone() }
            },
        );
        for path in &unwilling {
            self.rib.withdraw(path.prefix, source, path.id);
        }
        stale.len() - unwilling.len()
    }

    pub(super) fn set_kept(&mut self, id: PeerId, family: Family, kept: Option<Kept>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let before = match kept {
            Some(kept) => peer.kept.insert(family, kept),
            None => peer.kept.remove(&family),
        };
        if let Some(before) = before {
            self.keeps.remove(&(before.until, id, family));
        }
        self.keeps.extend(kept.filter(|kept| !kept.is_endless()).map(|kept| (kept.until, id, family)));
    }
}

/// How the paths of a family are kept over a fall, if they are.
fn terms(peer: &Peer, family: Family, fall: Fall, now: Instant) -> Option<Kept> {
    let ours = peer.intent.graceful_restart?;
    let agreed = peer.agreed.as_ref()?;
    let theirs = agreed.graceful_restart()?;
    let covered = agreed.codec.families.contains(&family) && theirs.family(family).is_some();
    let kept = match fall {
        Fall::Silent => covered,
        Fall::Notification => covered && theirs.notification,
        Fall::Final => false,
    };
    let asked = Duration::from_secs(theirs.restart_time.into());
    let until = now + asked.min(ours.stale_time);
    kept.then_some(Kept { fell_at: now, until, long_lived: false, drained: false })
}

/// How the paths of a family are kept beyond the restart time, if they are. A peer that is back and does
/// not come to its End-of-RIB has had its time.
fn long_lived_terms(peer: &Peer, family: Family, now: Instant) -> Option<Kept> {
    if peer.established().is_some() {
        return None;
    }
    let kept = peer.kept.get(&family).filter(|kept| !kept.long_lived)?;
    let ours = peer.intent.graceful_restart?.long_lived_time;
    let theirs = peer.agreed.as_ref()?.long_lived(family)?.stale_time;
    let time = ours.min(Duration::from_secs(theirs.into()));
    (!time.is_zero()).then_some(Kept { until: now + time, long_lived: true, ..*kept })
}

/// Whether both sides have said the N bit (RFC 8538 §2); we always do.
fn survives_notifications(peer: &Peer) -> bool {
    let theirs = peer.agreed.as_deref().and_then(Negotiated::graceful_restart);
    theirs.is_some_and(|restart| restart.notification)
}

/// Whether a peer that is back says that it has forwarded a family all along (F bit).
fn kept_forwarding(negotiated: &Negotiated, family: Family) -> bool {
    let restart = negotiated.graceful_restart().filter(|_| negotiated.codec.families.contains(&family));
    restart.and_then(|restart| restart.family(family)).is_some_and(|family| family.forwarding)
}
