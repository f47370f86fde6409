//! Why a session is as it is: one CamelCase word for machines and a sentence for people.
//!
//! A pure function of what the speaker knows of a peer and of a few circumstances of the machine. What it
//! says stays the same from one look to the next while nothing changes: states of the FSM and counters,
//! which come and go while a peer does not answer, have no part in it.

use crate::bgp::Reason;
use crate::bgp::session::{Break, Cause};
use crate::cluster::printable;
use crate::speaker::view::{PeerFamilyView, PeerView};

/// The longest message of one session, in characters.
const MESSAGE: usize = 300;

/// What is going on beside the session itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Circumstances {
    /// The node is leaving.
    pub draining: bool,
    /// What the kernel has lately dropped.
    pub md5: Md5,
}

/// Segments that the kernel has dropped lately because of their TCP MD5 signature (RFC 2385). It counts them
/// for all peers together, so that this only says more about a session that is known to be in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Md5 {
    /// Signed with another password than ours, or not at all (`TCPMD5Failure`, `TCPMD5NotFound`).
    pub wrong: bool,
    /// Signed where we have no password (`TCPMD5Unexpected`).
    pub unexpected: bool,
}

/// How a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// It is established.
    pub up: bool,
    /// One word.
    pub reason: &'static str,
    /// What is wrong; `None` if nothing is.
    pub message: Option<String>,
}

/// The word for a session with which all is well.
pub const ESTABLISHED: &str = "Established";

/// How a session stands, and why.
pub fn judge(peer: &PeerView, circumstances: Circumstances) -> Verdict {
    let up = peer.state == "Established";
    let (reason, message) = if up { degraded(peer) } else { down(peer, circumstances) };
    Verdict { up, reason, message: message.map(|message| cut(&printable(&message), MESSAGE)) }
}

/// What is wrong with a session that is up.
fn degraded(peer: &PeerView) -> (&'static str, Option<String>) {
    if let Some(family) = peer.families.iter().find(|family| is_over_limit(family)) {
        let limit = family.limit.unwrap_or_default();
        let text = format!("prefixes of {} have reached the limit of {limit}", family.family);
        return ("PrefixLimit", Some(text));
    }
    if !peer.not_agreed.is_empty() {
        let names: Vec<String> = peer.not_agreed.iter().map(ToString::to_string).collect();
        let text = format!("the peer does not offer {}, which this node does", names.join(" and "));
        return ("FamilyNotAgreed", Some(text));
    }
    match &peer.bfd {
        Some(bfd) if bfd.state != "Up" => {
            let text = format!(
                "established, but BFD is {} ({}): a failure is found late",
                bfd.state, bfd.diagnostic
            );
            ("BfdDown", Some(text))
        }
        _ => (ESTABLISHED, None),
    }
}

/// Prefixes were turned away, or would have been.
fn is_over_limit(family: &PeerFamilyView) -> bool {
    let Some(limit) = family.limit.map(u64::from) else { return false };
    family.accepted > limit || (family.accepted == limit && family.discarded > 0)
}

fn down(peer: &PeerView, circumstances: Circumstances) -> (&'static str, Option<String>) {
    if circumstances.draining {
        return ("Draining", Some("the node is leaving: its sessions are closed".to_owned()));
    }
    let last = || Some((peer.last_cause?, peer.last_error.clone()?));
    let attempt = || peer.attempt.as_ref().map(|failure| (failure.cause, failure.words.clone()));
    // What the OPENs said is what has to be mended, whatever the attempts since have met.
    let told = last().filter(|(cause, _)| is_about_open(*cause));
    match told.or_else(attempt).or_else(last) {
        Some((Cause::Broken(Break::NoAnswer), words)) => no_answer(peer, circumstances.md5, &words),
        Some((cause, words)) => (word(cause), Some(explain(peer, cause, words))),
        None => match &peer.bfd {
            Some(bfd) if bfd.state != "Up" => {
                ("BfdDown", Some(format!("not established; BFD is {} ({})", bfd.state, bfd.diagnostic)))
            }
            _ => ("Pending", Some("not established yet".to_owned())),
        },
    }
}

fn is_about_open(cause: Cause) -> bool {
    const OPEN_MESSAGE_ERROR: u8 = 2;
    matches!(cause, Cause::Sent(reason) | Cause::Received(reason) if reason.code == OPEN_MESSAGE_ERROR)
}

/// Nothing in TCP tells a peer with another password from one that is not there: both say nothing. What does is
/// that its own attempts to connect come in and are dropped here, which the kernel counts.
fn no_answer(peer: &PeerView, md5: Md5, words: &str) -> (&'static str, Option<String>) {
    let text = match peer.has_password {
        true if md5.wrong => {
            "no answer, and the kernel drops TCP segments that are not signed with our password: \
             the peer has another, or none (TCP MD5)"
        }
        false if md5.unexpected => {
            "no answer, and the kernel drops TCP segments that are signed where none should be: \
             the peer has a password, and we have none for it (TCP MD5)"
        }
        true => {
            return ("NoAnswer", Some(format!("{words}; a peer with another password gives none either")));
        }
        false => return ("NoAnswer", Some(words.to_owned())),
    };
    ("PasswordMismatch", Some(text.to_owned()))
}

/// The word for a failure.
fn word(cause: Cause) -> &'static str {
    match cause {
        Cause::Broken(Break::Refused) => "ConnectionRefused",
        Cause::Broken(Break::NoRoute) => "NoRoute",
        Cause::Broken(Break::NoAnswer) => "NoAnswer",
        Cause::Broken(Break::NoSource) => "SourceAddressMissing",
        Cause::Broken(Break::Closed) => "ConnectionClosed",
        Cause::Broken(Break::Other) => "ConnectionFailed",
        Cause::Sent(reason) | Cause::Received(reason) => match reason {
            Reason::BAD_PEER_AS => "AsMismatch",
            Reason::BAD_BGP_IDENTIFIER => "IdentifierConflict",
            Reason::UNSUPPORTED_CAPABILITY => "FamilyNotAgreed",
            Reason::ROLE_MISMATCH => "RoleMismatch",
            Reason::UNACCEPTABLE_HOLD_TIME => "HoldTimeNotAccepted",
            Reason::HOLD_TIMER_EXPIRED => "HoldTimerExpired",
            Reason::SEND_HOLD_TIMER_EXPIRED => "SendHoldTimerExpired",
            Reason::BFD_DOWN => "BfdDown",
            _ => word_of_cease(matches!(cause, Cause::Received(_)), reason),
        },
    }
}

/// The word for a Cease (RFC 4486), and for what is left.
fn word_of_cease(received: bool, reason: Reason) -> &'static str {
    match (reason, received) {
        (Reason::MAXIMUM_PREFIXES, false) => "PrefixLimit",
        (Reason::MAXIMUM_PREFIXES, true) => "PeerPrefixLimit",
        (Reason::ADMINISTRATIVE_SHUTDOWN, false) => "Draining",
        (Reason::ADMINISTRATIVE_SHUTDOWN, true) => "PeerShutDown",
        (Reason::PEER_DECONFIGURED | Reason::CONNECTION_REJECTED, true) => "PeerRejects",
        (Reason::ADMINISTRATIVE_RESET | Reason::OTHER_CONFIGURATION_CHANGE, true) => "PeerReset",
        (Reason::CONNECTION_COLLISION, _) => "Pending",
        (Reason { code: 6, .. }, true) => "PeerCeased",
        (Reason { code: 6, .. }, false) => "Reconfigured",
        _ => "ProtocolError",
    }
}

/// Words that say who has to mend what, where the failure's own do not.
fn explain(peer: &PeerView, cause: Cause, words: String) -> String {
    match cause {
        Cause::Received(Reason::BAD_PEER_AS) => {
            format!("the peer expects another AS than {}, which this node has: {words}", peer.local_asn)
        }
        Cause::Received(Reason::HOLD_TIMER_EXPIRED) => {
            format!("the peer has heard nothing from this node for its hold time: {words}")
        }
        Cause::Received(Reason::UNSUPPORTED_CAPABILITY) => {
            format!("the peer misses a capability or an address family: {words}")
        }
        Cause::Broken(Break::Refused) => {
            format!("{words}: nobody listens there, or a filter is in the way")
        }
        _ => words,
    }
}

/// At most so many characters, the last of them an ellipsis where something is missing.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut front: String = text.chars().take(most.saturating_sub(1)).collect();
    front.push('…');
    front
}

#[cfg(test)]
mod tests;
