//! How many prefixes a peer may have (RFC 4271 §6.7, RFC 4486 §4).
//!
//! Owns the comparison with the limit and what follows from it: a warning, a reset, or that further
//! prefixes are not taken. Accepted prefixes count, for each family by
//! itself; where a session has path identifiers, every path does (RFC 7911 leaves it open, and paths are
//! what takes room). What policy rejects is
//! kept so that a change of policy can judge it again, but is no load on anybody else.

use std::collections::BTreeMap;

use super::intent::{LimitAction, MaxPrefixes};
use super::{Notice, Speaker};
use crate::bgp::Notification;
use crate::bgp::session::Rest;
use crate::prefix::{Family, Prefix};
use crate::rib::{LocRib, Path, PeerId, Source};

/// How it stands with the limits of one peer, by family.
#[derive(Debug, Default)]
pub(super) struct Limits {
    families: BTreeMap<Family, Limit>,
}

#[derive(Debug, Default)]
struct Limit {
    level: Level,
    /// Since the daemon started.
    discarded: u64,
    /// Prefixes are missing that the peer has announced in this session.
    incomplete: bool,
}

/// Where the number of prefixes lies. Going up is reported, once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Within,
    Near,
    Exceeded,
}

impl Limits {
    /// One more announcement was not taken.
    pub(super) fn count_discarded(&mut self, family: Family) {
        let limit = self.families.entry(family).or_default();
        limit.discarded += 1;
        limit.incomplete = true;
    }

    /// Announcements that were not taken since the daemon started.
    pub(super) fn discarded(&self, family: Family) -> u64 {
        self.families.get(&family).map_or(0, |limit| limit.discarded)
    }

    /// The session is gone, and with it every prefix.
    pub(super) fn forget_session(&mut self) {
        for limit in self.families.values_mut() {
            *limit = Limit { discarded: limit.discarded, ..Limit::default() };
        }
    }

    /// Families of which prefixes are missing. Taken for complete from now on.
    fn take_incomplete(&mut self) -> Vec<Family> {
        let incomplete = self.families.iter_mut().filter(|(_, limit)| limit.incomplete);
        incomplete
            .map(|(family, limit)| {
                limit.incomplete = false;
                *family
            })
            .collect()
    }

    /// Notes the number of accepted prefixes. Returns the level it lies on, and whether it has risen to
    /// that.
    fn note(&mut self, family: Family, accepted: u64, most: &MaxPrefixes) -> (Level, bool) {
        let limit = self.families.entry(family).or_default();
        let full = u64::from(most.limit);
        let level = if accepted > full || (accepted == full && limit.incomplete) {
            Level::Exceeded
        } else if accepted * 100 > full * u64::from(most.warn_at) {
            Level::Near
        } else {
            Level::Within
        };
        let before = std::mem::replace(&mut limit.level, level);
        (level, level > before)
    }
}

/// Whether a path may be taken under a limit: everything may but a further accepted prefix where those
/// are discarded.
pub(super) fn has_room(rib: &LocRib, most: Option<MaxPrefixes>, prefix: Prefix, path: &Path) -> bool {
    let Some(MaxPrefixes { limit, action: LimitAction::Discard, .. }) = most else { return true };
    path.rejected.is_some()
        || rib.count(path.source, prefix.family()).accepted < u64::from(limit)
        || rib.has_accepted(prefix, path.source, path.path_id)
}

impl Speaker {
    /// Compares a peer's prefixes with its limit, and does what is to be done.
    pub(super) fn enforce_max_prefixes(&mut self, id: PeerId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(most) = peer.intent.max_prefixes else { return };
        let mut warnings = vec![];
        for family in peer.intent.families.clone() {
            let accepted = self.rib.count(Source::Peer(id), family).accepted;
            let (level, risen) = peer.limits.note(family, accepted, &most);
            match most.action {
                LimitAction::Reset { idle } if level == Level::Exceeded => {
                    let (rest, until) = match idle {
                        Some(time) => (Rest::For(time), format!("stays down for {time:?}")),
                        None => (Rest::UntilStarted, "stays down until its BgpPeer is changed".to_owned()),
                    };
                    let why = format!("more than {} prefixes of {family} accepted; {until}", most.limit);
                    let cease = Notification::maximum_prefixes(family, most.limit);
                    peer.first.session.handle_reset(now, cease, rest, &why);
                    return;
                }
                _ if risen => warnings.push((family, accepted)),
                _ => {}
            }
        }
        for (family, accepted) in warnings {
            let peer = self.peer_name(id);
            self.notice(Notice::PrefixLimit { peer, family, accepted, limit: most });
        }
    }

    /// Asks the peer again for the families of which prefixes were discarded, after the limit has
    /// changed. A peer that cannot be asked has to announce them by itself.
    pub(super) fn ask_for_what_was_discarded(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        for family in peer.limits.take_incomplete() {
            peer.first.session.send_route_refresh(family);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: MaxPrefixes = MaxPrefixes { limit: 4, action: LimitAction::Warn, warn_at: 75 };

    #[test]
    fn each_crossing_upwards_is_reported_once() {
        let mut limits = Limits::default();
        let mut note = |accepted| {
            let (level, risen) = limits.note(Family::Ipv4Unicast, accepted, &MOST);
            risen.then_some(level)
        };
        assert_eq!([0, 3].map(&mut note), [None, None], "75 % is not above 75 %");
        assert_eq!(
            [4, 4, 5, 6, 5].map(&mut note),
            [Some(Level::Near), None, Some(Level::Exceeded), None, None]
        );
        assert_eq!([4, 5].map(&mut note), [None, Some(Level::Exceeded)], "again");
        assert_eq!([0, 9].map(&mut note), [None, Some(Level::Exceeded)], "at a leap");
    }

    #[test]
    fn a_full_peer_that_had_to_be_cut_has_exceeded() {
        let mut limits = Limits::default();
        assert_eq!(limits.note(Family::Ipv4Unicast, 4, &MOST), (Level::Near, true));
        limits.count_discarded(Family::Ipv4Unicast);
        assert_eq!(limits.note(Family::Ipv4Unicast, 4, &MOST), (Level::Exceeded, true));
        assert_eq!(limits.note(Family::Ipv6Unicast, 4, &MOST), (Level::Near, true), "each by itself");
        assert_eq!(limits.take_incomplete(), [Family::Ipv4Unicast]);
        assert_eq!(limits.take_incomplete(), []);
        limits.forget_session();
        assert_eq!(limits.discarded(Family::Ipv4Unicast), 1, "counted since the start");
    }
}
