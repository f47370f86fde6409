//! Liberties with the AS_PATH that one peer's configuration takes: whose AS numbers may stand in it,
//! and which are put in or taken out (RFC 4271 §5.1.2, §9.1.2; RFC 6996; RFC 9774).

use std::borrow::Cow;

use crate::bgp::{AsPath, Segment};
use crate::rib::Rejection;

/// What is allowed in the paths of a peer and done to those it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AsPathRules {
    /// How often our own AS may occur in a path before that counts as a loop.
    pub allow_own_as: u8,
    /// Paths with AS_SET or AS_CONFED_SET are let in all the same (RFC 9774 §3).
    pub allow_as_set: bool,
    /// Another AS than our own that this peer knows us by.
    pub local_as: Option<LocalAs>,
    /// Private AS numbers are left out of what an external peer is told (RFC 6996 §4).
    pub remove_private: bool,
    /// The peer's own AS is replaced by ours in what it is told, so that sites of one AS can reach
    /// each other through us.
    pub override_peer: bool,
}

/// An AS we pose as towards one peer, as after a merger of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAs {
    /// The AS that our OPEN shows.
    pub asn: u32,
    /// It stands in paths in place of our own AS, and not in front of it.
    pub replace: bool,
}

impl AsPathRules {
    /// The AS that the peer knows us by.
    pub fn shown_as(&self, local_asn: u32) -> u32 {
        self.local_as.map_or(local_asn, |local_as| local_as.asn)
    }

    /// Why a received path is not used, if so.
    pub fn judge(&self, path: &AsPath, local_asn: u32) -> Option<Rejection> {
        let ours = [local_asn, self.shown_as(local_asn)];
        let own = path.asns().filter(|asn| ours.contains(asn)).count();
        if own > usize::from(self.allow_own_as) {
            Some(Rejection::AsLoop)
        } else if !self.allow_as_set && has_set(path) {
            Some(Rejection::AsSet)
        } else {
            None
        }
    }

    /// The path as an external peer in `peer_asn` is told it, our own AS in front.
    pub fn export(&self, path: &AsPath, local_asn: u32, peer_asn: u32) -> AsPath {
        let shown = self.shown_as(local_asn);
        let mut path = Cow::Borrowed(path);
        if self.remove_private {
            path = Cow::Owned(path.filtered(|asn| !is_private(asn)));
        }
        if self.override_peer {
            path = Cow::Owned(path.mapped(|asn| if asn == peer_asn { shown } else { asn }));
        }
        match self.local_as {
            Some(LocalAs { asn, replace: false }) => path.prepended(local_asn, 1).prepended(asn, 1),
            _ => path.prepended(shown, 1),
        }
    }
}

/// Whether the path has a set of either kind, which RFC 9774 §3 forbids.
fn has_set(path: &AsPath) -> bool {
    path.segments().any(|segment| matches!(segment, Segment::Set(_) | Segment::ConfedSet(_)))
}

/// RFC 6996 §5.
fn is_private(asn: u32) -> bool {
    matches!(asn, 64_512..=65_534 | 4_200_000_000..=4_294_967_294)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: u32 = 64512;
    const PEER: u32 = 65000;
    const PLAIN: AsPathRules = AsPathRules {
        allow_own_as: 0,
        allow_as_set: false,
        local_as: None,
        remove_private: false,
        override_peer: false,
    };

    #[test]
    fn own_as_is_a_loop_beyond_what_is_allowed_under_either_name() {
        let judge = |rules: AsPathRules, path: &[u32]| rules.judge(&AsPath::sequence(path), OURS);
        assert_eq!(judge(PLAIN, &[PEER, 1]), None);
        assert_eq!(judge(PLAIN, &[PEER, OURS]), Some(Rejection::AsLoop));
        let twice = AsPathRules { allow_own_as: 2, ..PLAIN };
        assert_eq!(judge(twice, &[PEER, OURS, OURS]), None);
        assert_eq!(judge(twice, &[PEER, OURS, 1, OURS, OURS]), Some(Rejection::AsLoop));
        let posing = AsPathRules { local_as: Some(LocalAs { asn: 7, replace: true }), ..PLAIN };
        for path in [[PEER, OURS], [PEER, 7]] {
            assert_eq!(judge(posing, &path), Some(Rejection::AsLoop));
        }
    }

    #[test]
    fn sets_are_refused_unless_allowed() {
        for set in [Segment::Set(&[1]), Segment::ConfedSet(&[1])] {
            let path = AsPath::from_iter([Segment::Sequence(&[PEER]), set]);
            assert_eq!(PLAIN.judge(&path, OURS), Some(Rejection::AsSet));
            assert_eq!(AsPathRules { allow_as_set: true, ..PLAIN }.judge(&path, OURS), None);
        }
        let confederation = AsPath::from_iter([Segment::ConfedSequence(&[1])]);
        assert_eq!(PLAIN.judge(&confederation, OURS), None);
    }

    #[test]
    fn what_an_external_peer_is_told() {
        let told =
            |rules: AsPathRules, path: &[u32]| rules.export(&AsPath::sequence(path), OURS, PEER).to_string();
        let pose = |replace| AsPathRules { local_as: Some(LocalAs { asn: 7, replace }), ..PLAIN };
        assert_eq!(told(PLAIN, &[1, PEER]), "64512 1 65000");
        assert_eq!(told(pose(false), &[1]), "7 64512 1");
        assert_eq!(told(pose(true), &[1]), "7 1");
        let public = AsPathRules { remove_private: true, ..PLAIN };
        assert_eq!(told(public, &[64513, 1, 4_200_000_000, 65535]), "64512 1 65535");
        assert_eq!(told(public, &[64513]), "64512", "nothing is left of a path of private numbers");
        let overriding = AsPathRules { override_peer: true, ..PLAIN };
        assert_eq!(told(overriding, &[1, PEER, PEER]), "64512 1 64512 64512");
        assert_eq!(told(AsPathRules { override_peer: true, ..pose(true) }, &[PEER]), "7 7");
    }
}
