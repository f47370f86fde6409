//! What the speaker knows, and the word for it.

use super::*;
use crate::bgp::session::Failure;
use crate::prefix::Family;
use crate::speaker::view::BfdView;
use crate::speaker::view::example::{established, failed, family, peer};

fn sent(reason: Reason, words: &str) -> PeerView {
    failed("tor", Failure::new(Cause::Sent(reason), words))
}

fn received(reason: Reason, words: &str) -> PeerView {
    failed("tor", Failure::new(Cause::Received(reason), words))
}

fn broken(kind: Break, words: &str) -> PeerView {
    failed("tor", Failure::broken(kind, words))
}

fn bfd(state: &'static str) -> Option<BfdView> {
    let time = std::time::Duration::from_secs(1);
    let diagnostic = "Control Detection Time Expired";
    Some(BfdView { state, diagnostic, tx_interval: time, detection_time: time })
}

/// A failure, the word for it, and what the message must say.
#[test]
fn each_failure_has_its_word() {
    let rows = [
        (
            sent(Reason::BAD_PEER_AS, "we sent NOTIFICATION …: peer is in AS 65001, we expect AS 65000"),
            "AsMismatch",
            "65001, we expect AS 65000",
        ),
        (received(Reason::BAD_PEER_AS, "peer sent …"), "AsMismatch", "another AS than 64512"),
        (sent(Reason::BAD_BGP_IDENTIFIER, "our own"), "IdentifierConflict", "our own"),
        (sent(Reason::UNSUPPORTED_CAPABILITY, "no address family in common"), "FamilyNotAgreed", "in common"),
        (received(Reason::UNSUPPORTED_CAPABILITY, "x"), "FamilyNotAgreed", "misses a capability"),
        (sent(Reason::ROLE_MISMATCH, "x"), "RoleMismatch", "x"),
        (sent(Reason::HOLD_TIMER_EXPIRED, "hold timer expired"), "HoldTimerExpired", "hold timer expired"),
        (received(Reason::HOLD_TIMER_EXPIRED, "x"), "HoldTimerExpired", "heard nothing from this node"),
        (sent(Reason::SEND_HOLD_TIMER_EXPIRED, "x"), "SendHoldTimerExpired", "x"),
        (sent(Reason::MAXIMUM_PREFIXES, "more than 10 prefixes"), "PrefixLimit", "more than 10 prefixes"),
        (received(Reason::MAXIMUM_PREFIXES, "x"), "PeerPrefixLimit", "x"),
        (sent(Reason::BFD_DOWN, "BFD: Control Detection Time Expired"), "BfdDown", "Detection Time"),
        (received(Reason::ADMINISTRATIVE_SHUTDOWN, "new switch"), "PeerShutDown", "new switch"),
        (received(Reason::PEER_DECONFIGURED, "x"), "PeerRejects", "x"),
        (received(Reason::CONNECTION_REJECTED, "x"), "PeerRejects", "x"),
        (received(Reason::ADMINISTRATIVE_RESET, "x"), "PeerReset", "x"),
        (received(Reason::OUT_OF_RESOURCES, "x"), "PeerCeased", "x"),
        (sent(Reason::ADMINISTRATIVE_RESET, "x"), "Reconfigured", "x"),
        (sent(Reason::MALFORMED_AS_PATH, "x"), "ProtocolError", "x"),
        (received(Reason { code: 99, subcode: 7 }, "x"), "ProtocolError", "x"),
        (broken(Break::Refused, "connection refused"), "ConnectionRefused", "nobody listens there"),
        (broken(Break::NoRoute, "no route to host"), "NoRoute", "no route"),
        (broken(Break::NoSource, "use source address"), "SourceAddressMissing", "source"),
        (broken(Break::Closed, "the peer closed"), "ConnectionClosed", "the peer closed"),
        (broken(Break::NoAnswer, "no answer"), "NoAnswer", "no answer"),
        (broken(Break::Other, "odd"), "ConnectionFailed", "odd"),
        (peer("tor"), "Pending", "not established yet"),
        (PeerView { bfd: bfd("Down"), ..peer("tor") }, "BfdDown", "Control Detection Time Expired"),
    ];
    for (view, reason, text) in rows {
        let verdict = judge(&view, Circumstances::default());
        assert!(!verdict.up);
        assert_eq!(verdict.reason, reason, "{verdict:?}");
        assert!(verdict.message.as_ref().is_some_and(|message| message.contains(text)), "{verdict:?}");
    }
}

#[test]
fn a_session_that_is_up_may_lack_something() {
    let limited = |accepted, discarded| PeerView {
        families: vec![PeerFamilyView { limit: Some(10), discarded, ..family(accepted) }],
        ..established("tor", 9)
    };
    let rows = [
        (established("tor", 9), ESTABLISHED, None),
        (limited(10, 0), ESTABLISHED, None),
        (limited(9, 7), ESTABLISHED, None),
        (limited(11, 0), "PrefixLimit", Some("limit of 10")),
        (limited(10, 1), "PrefixLimit", Some("limit of 10")),
        (
            PeerView { not_agreed: vec![Family::Ipv6Unicast], ..established("tor", 9) },
            "FamilyNotAgreed",
            Some("does not offer ipv6Unicast"),
        ),
        (PeerView { bfd: bfd("Down"), ..established("tor", 9) }, "BfdDown", Some("BFD is Down")),
        (PeerView { bfd: bfd("Up"), ..established("tor", 9) }, ESTABLISHED, None),
        // What ended the session before it says nothing of this one.
        (
            PeerView { last_cause: Some(Cause::Sent(Reason::BAD_PEER_AS)), ..established("tor", 9) },
            ESTABLISHED,
            None,
        ),
    ];
    for (view, reason, text) in rows {
        let verdict = judge(&view, Circumstances::default());
        assert!(verdict.up);
        assert_eq!(verdict.reason, reason, "{verdict:?}");
        match text {
            Some(text) => assert!(verdict.message.as_ref().is_some_and(|m| m.contains(text)), "{verdict:?}"),
            None => assert_eq!(verdict.message, None),
        }
    }
}

#[test]
fn what_the_opens_said_is_what_has_to_be_mended() {
    let refused = Some(Failure::broken(Break::Refused, "connection refused"));
    let mismatch = PeerView { attempt: refused.clone(), ..sent(Reason::BAD_PEER_AS, "AS 1, AS 2") };
    assert_eq!(judge(&mismatch, Circumstances::default()).reason, "AsMismatch");
    // A fall is over; what attempts meet now is what has to be looked after.
    let fallen = PeerView { attempt: refused, ..sent(Reason::HOLD_TIMER_EXPIRED, "hold timer expired") };
    assert_eq!(judge(&fallen, Circumstances::default()).reason, "ConnectionRefused");
    let nothing_since = PeerView { attempt: None, ..sent(Reason::HOLD_TIMER_EXPIRED, "hold timer expired") };
    assert_eq!(judge(&nothing_since, Circumstances::default()).reason, "HoldTimerExpired");
}

#[test]
fn a_password_is_suspected_only_where_the_kernel_drops_signatures() {
    let silent = |has_password| PeerView { has_password, ..broken(Break::NoAnswer, "no answer") };
    let rows = [
        (true, true, false, "PasswordMismatch", "the peer has another, or none"),
        (true, false, false, "NoAnswer", "a peer with another password"),
        (true, false, true, "NoAnswer", "a peer with another password"),
        (false, false, true, "PasswordMismatch", "we have none for it"),
        (false, true, false, "NoAnswer", "no answer"),
    ];
    for (has_password, wrong, unexpected, reason, text) in rows {
        let circumstances = Circumstances { md5: Md5 { wrong, unexpected }, ..Circumstances::default() };
        let verdict = judge(&silent(has_password), circumstances);
        assert_eq!(verdict.reason, reason);
        assert!(verdict.message.is_some_and(|message| message.contains(text)));
    }
    // Another peer's trouble is not this one's.
    let circumstances =
        Circumstances { md5: Md5 { wrong: true, unexpected: true }, ..Circumstances::default() };
    let refused = PeerView { has_password: true, ..broken(Break::Refused, "refused") };
    assert_eq!(judge(&refused, circumstances).reason, "ConnectionRefused");
}

#[test]
fn a_node_that_leaves_has_closed_them_itself() {
    let circumstances = Circumstances { draining: true, ..Circumstances::default() };
    assert_eq!(judge(&broken(Break::Closed, "x"), circumstances).reason, "Draining");
    assert_eq!(judge(&established("tor", 1), circumstances).reason, ESTABLISHED, "not yet");
}

#[test]
fn what_a_peer_has_written_is_text_and_short() {
    let words = format!("\u{1b}[31m{}", "é".repeat(400));
    let message = judge(&received(Reason::ADMINISTRATIVE_SHUTDOWN, &words), Circumstances::default()).message;
    let message = message.unwrap();
    assert!(message.starts_with("\\u{1b}[31mé") && message.ends_with('…'), "{message}");
    assert_eq!(message.chars().count(), MESSAGE);
}
