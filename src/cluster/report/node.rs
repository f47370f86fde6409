//! What a node says of itself, made from what is seen of it. A pure function, and the comparison with what
//! it said before.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::condition::{self, Says, carry_over};
use super::pace::Difference;
use super::reason::{Circumstances, Md5, judge};
use crate::cluster::objects::bgp_node_status::{
    FamilyReport, FibReport, NodeReport, SessionOrigin, SessionReport, SessionState, Versions,
};
use crate::prefix::Prefix;
use crate::speaker::DrainStage;
use crate::speaker::intent::PeerOrigin;
use crate::speaker::view::{PeerFamilyView, PeerView, Summary};

/// Sessions that are listed, which bounds the object: some 200 octets each.
const LISTED: usize = 250;
/// Findings and reasons that a message names.
const NAMED: usize = 5;
/// Clocks of machines are set now and then: within this, a session counts as up since the same moment.
const SAME_MOMENT: SignedDuration = SignedDuration::from_secs(5);

/// All that is seen of a node at one moment.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What runs.
    pub versions: Versions,
    /// The speaker in a few numbers; `None` before there is a configuration.
    pub summary: Option<Summary>,
    /// Its peers.
    pub peers: Vec<PeerView>,
    /// What it originates for its pods.
    pub pod_cidrs: Vec<Prefix>,
    /// Why it cannot do its work; empty if it can.
    pub not_ready: Vec<String>,
    /// What is wrong with the objects as they are; empty where they are in force.
    pub errors: Vec<String>,
    /// What is asked for and not done, or likely not meant.
    pub warnings: Vec<String>,
    /// For how long there have been routes that are desired and not installed.
    pub pending_for: Option<Duration>,
    /// What the last audit of the kernel's routes found.
    pub audit: Option<Audit>,
    /// Where it is to listen and cannot, and why.
    pub not_listening: Vec<String>,
    /// Objects that the API server does not tell us of, and why.
    pub not_followed: Vec<String>,
    /// What the kernel has lately dropped.
    pub md5: Md5,
}

/// An audit of the kernel's routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// Where they differ from what is desired.
    pub differences: u64,
    /// How long ago it was.
    pub ago: Duration,
}

/// The condition of a node that leaves.
const DRAINING: &str = "Draining";

/// Routes that are on their way to the kernel for longer than this are not in step.
const ON_THE_WAY: Duration = Duration::from_secs(10);

/// What the node says, seen at `now`. Times since when something is so are taken from what it said before,
/// where it was so then.
pub fn report(seen: &Seen, before: Option<&NodeReport>, now: Timestamp) -> NodeReport {
    let now = Time(rounded(now));
    let summary = seen.summary.as_ref();
    let (sessions, not_listed) = sessions(seen, before, &now);
    let mut conditions = conditions(seen, &now);
    carry_over(before.map_or(&[], |before| &before.conditions), &mut conditions);
    NodeReport {
        asn: summary.map(|summary| summary.asn),
        router_id: summary.map(|summary| summary.router_id),
        pod_cidrs: seen.pod_cidrs.iter().map(ToString::to_string).collect(),
        up: summary.map_or_else(|| "0/0".to_owned(), |s| format!("{}/{}", s.established, s.peers)),
        sessions,
        sessions_not_listed: not_listed,
        fib: summary.map(|summary| FibReport {
            installed: summary.fib_installed,
            differences: seen.audit.map(|audit| audit.differences),
            last_audit: seen.audit.map(|audit| Time(ago(&now, audit.ago))),
        }),
        versions: seen.versions.clone(),
        conditions,
    }
}

/// How what a node says differs from what it said. When an audit was is no difference; counters are one only
/// where they have changed by a tenth or so.
pub fn difference(before: &NodeReport, now: &NodeReport) -> Difference {
    let mut parts = [before.clone(), now.clone()];
    parts.iter_mut().for_each(forget_times);
    if parts[0] == parts[1] {
        return Difference::None;
    }
    parts.iter_mut().for_each(|report| scale(report, |_| 0));
    if parts[0] != parts[1] {
        let drains = parts.each_ref().map(|report| condition::reason(&report.conditions, DRAINING));
        // A node that leaves may soon be gone.
        return if drains[0] == drains[1] { Difference::Major } else { Difference::Urgent };
    }
    let mut parts = [before.clone(), now.clone()];
    parts.iter_mut().for_each(|report| scale(report, coarse));
    parts.iter_mut().for_each(forget_times);
    if parts[0] == parts[1] { Difference::None } else { Difference::Minor }
}

fn forget_times(report: &mut NodeReport) {
    if let Some(fib) = &mut report.fib {
        fib.last_audit = None;
    }
}

/// Applies something to every counter.
fn scale(report: &mut NodeReport, f: fn(u64) -> u64) {
    if let Some(fib) = &mut report.fib {
        fib.installed = f(fib.installed);
    }
    for family in report.sessions.iter_mut().flat_map(|session| &mut session.families) {
        for counter in [&mut family.received, &mut family.accepted, &mut family.advertised] {
            *counter = f(*counter);
        }
    }
}

/// The two leading binary digits after the first: steps of an eighth to a quarter. Small numbers stay.
fn coarse(number: u64) -> u64 {
    let spare = (u64::BITS - number.leading_zeros()).saturating_sub(3);
    number >> spare << spare
}

fn sessions(seen: &Seen, before: Option<&NodeReport>, now: &Time) -> (Vec<SessionReport>, u32) {
    let draining = seen.summary.as_ref().and_then(|summary| summary.drain.as_ref());
    let closed = draining.is_some_and(|drain| drain.stage >= DrainStage::Closing);
    let circumstances = Circumstances { draining: closed, md5: seen.md5 };
    let mut sessions: Vec<SessionReport> =
        seen.peers.iter().map(|peer| session(peer, circumstances, before, now)).collect();
    let not_listed = sessions.len().saturating_sub(LISTED);
    if not_listed > 0 {
        sessions.sort_by(|a, b| (a.origin, a.state, &a.peer).cmp(&(b.origin, b.state, &b.peer)));
        sessions.truncate(LISTED);
    }
    sessions.sort_by(|a, b| a.peer.cmp(&b.peer));
    (sessions, not_listed as u32)
}

fn session(
    peer: &PeerView,
    circumstances: Circumstances,
    before: Option<&NodeReport>,
    now: &Time,
) -> SessionReport {
    let verdict = judge(peer, circumstances);
    let known = before.and_then(|before| {
        before.sessions.iter().find(|old| old.peer == peer.name && old.address == peer.address)
    });
    let state = if verdict.up { SessionState::Established } else { SessionState::Down };
    SessionReport {
        peer: peer.name.clone(),
        origin: match peer.origin {
            PeerOrigin::Configured => SessionOrigin::BgpPeer,
            PeerOrigin::Dynamic => SessionOrigin::Range,
            PeerOrigin::Mesh => SessionOrigin::Mesh,
        },
        address: peer.address,
        asn: peer.asn,
        state,
        since: since(peer, state, known, now),
        reason: verdict.reason.to_owned(),
        message: verdict.message,
        families: peer.families.iter().filter(|_| verdict.up).map(family).collect(),
        bfd: peer.bfd.as_ref().map(|bfd| bfd.state.to_owned()),
    }
}

/// Since when a session is as it is. One that is up knows; for one that is down, it is when it was first
/// seen so.
fn since(peer: &PeerView, state: SessionState, known: Option<&SessionReport>, now: &Time) -> Option<Time> {
    let known = known.filter(|known| known.state == state).and_then(|known| known.since.clone());
    let Some(up_for) = peer.established_for else { return Some(known.unwrap_or_else(|| now.clone())) };
    let up_since = ago(now, up_for);
    let same = |known: &Time| known.0.duration_since(up_since).abs() <= SAME_MOMENT;
    Some(known.filter(same).unwrap_or(Time(up_since)))
}

fn family(view: &PeerFamilyView) -> FamilyReport {
    FamilyReport {
        family: view.family.to_string(),
        received: view.received,
        accepted: view.accepted,
        advertised: view.advertised,
    }
}

fn conditions(seen: &Seen, now: &Time) -> Vec<Condition> {
    let says = [
        ("Ready", ready(seen)),
        ("ConfigurationValid", configuration_valid(seen)),
        (DRAINING, draining(seen)),
    ];
    let told = [("FibInStep", seen.summary.as_ref().map(|summary| fib_in_step(seen, summary)))];
    let listening = seen.summary.as_ref().map(|_| listening(seen));
    let all = says.into_iter().map(|(kind, says)| (kind, Some(says))).chain(told);
    let all = all.chain([("Listening", listening)]);
    let all = all.chain([("ApiServer", Some(api_server(seen)))]);
    all.filter_map(|(kind, says)| Some(says?.condition(kind, now, None))).collect()
}

fn ready(seen: &Seen) -> Says {
    match &seen.summary {
        Some(summary) if summary.drain.is_some() => Says::no("Draining", named(&seen.not_ready)),
        _ if seen.not_ready.is_empty() => {
            Says::yes("Forwarding", "the node's own prefixes are announced, and it forwards")
        }
        None => Says::no("NotConfigured", named(&seen.not_ready)),
        Some(_) => Says::no("NotForwarding", named(&seen.not_ready)),
    }
}

fn configuration_valid(seen: &Seen) -> Says {
    let stays = match &seen.summary {
        Some(_) => "the last good state stays in force",
        None => "nothing is configured yet",
    };
    match (&seen.errors[..], &seen.warnings[..]) {
        ([], []) => Says::yes("Valid", "all objects that concern this node are in force"),
        ([], warnings) => Says::yes("Warnings", named(warnings)),
        (errors, _) => Says::no("Invalid", format!("{stays}: {}", named(errors))),
    }
}

fn fib_in_step(seen: &Seen, summary: &Summary) -> Says {
    let differences = seen.audit.map_or(0, |audit| audit.differences);
    if summary.fib_conflicts > 0 {
        let text = format!(
            "{} routes are not installed because somebody else's stand there; `routelet fib` names them",
            summary.fib_conflicts
        );
        return Says::no("RouteConflict", text);
    }
    match seen.pending_for {
        Some(time) if time >= ON_THE_WAY => {
            Says::no("Pending", "routes are desired that the kernel does not have; `routelet fib` names them")
        }
        _ if differences > 0 => Says::no(
            "Differs",
            format!("the last audit found {differences} routes that differ in the kernel"),
        ),
        _ => Says::yes("InStep", "the kernel has what was learned"),
    }
}

fn listening(seen: &Seen) -> Says {
    match &seen.not_listening[..] {
        [] => Says::yes("Listening", "peers can connect, where the configuration lets them"),
        troubles => {
            let taken = troubles.iter().any(|trouble| trouble.contains("is held by"));
            let reason = if taken { "PortTaken" } else { "AddressNotAvailable" };
            Says::no(reason, format!("sessions are outgoing only: {}", named(troubles)))
        }
    }
}

fn api_server(seen: &Seen) -> Says {
    match &seen.not_followed[..] {
        [] => Says::yes("InStep", "all objects are as the API server has them"),
        troubles => {
            Says::no("NotInStep", format!("the last known objects stay in force: {}", named(troubles)))
        }
    }
}

fn draining(seen: &Seen) -> Says {
    let Some(drain) = seen.summary.as_ref().and_then(|summary| summary.drain.as_ref()) else {
        return Says::no("Staying", "the node is not leaving");
    };
    let mut words = drain.stage.words().to_owned();
    if !drain.cut_off.is_empty() {
        words.push_str(&format!("; cut off before they had heard all: {}", named(&drain.cut_off)));
    }
    if !drain.holds.is_empty() {
        let held: Vec<String> = drain.holds.iter().map(ToString::to_string).collect();
        words
            .push_str(&format!("; nothing is withdrawn for {}, which no other node announces", named(&held)));
        return Says::yes("HoldingLast", words);
    }
    let reason = if drain.stage == DrainStage::Drained { "Drained" } else { "Draining" };
    Says::yes(reason, words)
}

/// The first of them, and how many more there are.
pub(super) fn named(all: &[String]) -> String {
    let mut text = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > NAMED {
        text.push_str(&format!("; and {} more", all.len() - NAMED));
    }
    text
}

/// The API keeps whole seconds.
fn rounded(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn ago(now: &Time, time: Duration) -> Timestamp {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(now.0.as_second().saturating_sub(seconds)).unwrap_or(now.0)
}

#[cfg(test)]
mod tests;
