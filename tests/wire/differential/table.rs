//! Every kind of difference that has been found, and who is right.

/// Who complains alone, or means something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// We do.
    Us,
    /// rustbgpd-wire does.
    Rustbgpd,
    /// netgauze-bgp-pkt does.
    Netgauze,
}

use Who::{Netgauze, Rustbgpd, Us};

/// Who complains, a pattern of the complaint (its parts stand in that order; the whole of it after `=`), and who is right and why.
pub const DIFFERENCES: &[(Who, &str, &str)] = &[
    (Us, "is no next hop", "RFC 4271 §6.3: no host address, which netgauze leaves to its user"),
    (Us, "=AS 0", "RFC 7607 §2, which the others leave to the session"),
    (Us, "hold time of", "RFC 4271 §6.2, likewise"),
    (Us, "BGP identifier 0.0.0.0", "RFC 6286 §2.1, likewise"),
    (
        Rustbgpd,
        "validation 8/",
        "RFC 2545 §3: unnumbered peers send a link-local next hop alone, and we take it",
    ),
    (Rustbgpd, "D-PATH", "RFC 4271 §9: what is inside an attribute that we do not know is not ours to judge"),
    (
        Us,
        "not accepted from",
        "RFC 7606 §7.5, §7.9, §7.10, RFC 6793 §6: who does not discard here must do so later",
    ),
    (Us, "calls itself well-known", "RFC 4271 §6.3, which RFC 7606 leaves as it is: a session reset"),
    (
        Us,
        "was not negotiated; its NLRI is ignored",
        "RFC 4760 §7; the others know neither families nor sessions",
    ),
    (Us, "no reachable prefix was found", "RFC 7606 §5.2: nothing to treat as withdrawn, so a session reset"),
    (Us, "capability of … octets instead of", "RFC 4271 §6.2: an optional parameter that is malformed"),
    (
        Us,
        "a confederation segment from an external peer",
        "RFC 5065 §5.3; rustbgpd says the same by RFC 9774",
    ),
    (Us, "AS4_AGGREGATOR: flags", "RFC 7606 §3 c: they are right; we discard the attribute"),
    (
        Rustbgpd,
        "prohibited AS path segment type",
        "RFC 9774 §3: said by us when the path is imported, where it can be allowed",
    ),
    (Rustbgpd, "unknown AS_PATH segment type 3", "RFC 5065 §3: confederation segments are known to us"),
    (Rustbgpd, "unknown AS_PATH segment type 4", "RFC 5065 §3"),
    (
        Rustbgpd,
        "type 42 flags",
        "RFC 4271 §5: what the flags of an attribute that we do not know should be, nobody told us",
    ),
    (Rustbgpd, "type 18 flags", "RFC 7606 §3 c: they are right, see above"),
    (Rustbgpd, "type 14 flags", "RFC 7606 §3 c: treat as withdraw, for the prefixes can be read"),
    (Rustbgpd, "type 15 flags", "likewise"),
    (Rustbgpd, "received from a four-octet-AS peer", "RFC 6793 §6: so do we; each its own words"),
    (
        Rustbgpd,
        "the meaning of capabilities",
        "RFC 4724 §3: families of graceful restart that they do not know, they forget",
    ),
    (
        Rustbgpd,
        "overruns attribute",
        "RFC 4271 §9: what is inside an attribute that we do not know is not ours to judge",
    ),
    (Rustbgpd, "ATTR_SET", "likewise"),
    (Rustbgpd, "BGP-LS TLV", "likewise"),
    (Rustbgpd, "unsupported AFI", "RFC 4760 §7: a family that was not negotiated is ignored"),
    (Rustbgpd, "unsupported SAFI", "likewise"),
    (
        Netgauze,
        "in NOTIFICATION message",
        "RFC 4271 §6.4: there is no error in a NOTIFICATION that could be answered",
    ),
    (
        Netgauze,
        "is not a valid IPv4 unicast network",
        "RFC 4271 §6.3: a prefix that is not unicast is passed over, not an error",
    ),
    (Netgauze, "is not a valid IPv6 unicast network", "likewise"),
    (
        Netgauze,
        "in OPEN message: in open parameter: in capability: in ",
        "RFC 5492 §3: what is not understood is ignored",
    ),
    (
        Netgauze,
        "in segment identifier",
        "RFC 4271 §9: what is inside an attribute that we do not know is not ours to judge",
    ),
    (Netgauze, "unknown AS_PATH segment type", "RFC 5065 §3: confederation segments are known to us"),
    (Netgauze, "unknown address family", "RFC 4760 §7: a family that was not negotiated is ignored"),
    (Netgauze, "unknown subsequent address family", "likewise"),
    (Netgauze, "invalid BGP identifier", "RFC 6286 §2.1: any number but zero"),
    (Netgauze, "Invalid partial flag value", "RFC 4271 §5: any speaker on the way may set Partial"),
    (
        Netgauze,
        "the meaning of EXTENDED COMMUNITIES",
        "RFC 4360 §3: their writer changes the sub-type of some",
    ),
    (Netgauze, "the meaning of AS4_PATH", "RFC 6793 §4.2.3: left to its user to merge"),
];
