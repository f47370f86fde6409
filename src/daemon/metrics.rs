//! Prometheus metrics: what the speaker shows of itself, in the text exposition format.
//!
//! Every scrape is made afresh from the views, so a peer that is gone takes its series with it and
//! nothing has to be kept in step. Counters are the speaker's own and begin at zero with the
//! daemon. Names follow the conventions of Prometheus: base units, `_total` on counters, and labels
//! only for what a sum makes sense over.

mod exposition;
mod objects;
mod pods;

use self::exposition::{Exposition, sample};
use crate::api::{KernelView, ObjectsView, PodsView};
use crate::speaker::RetreatView;
use crate::speaker::view::{PeerFamilyView, PeerView, RangeView, Summary};

/// Content type of what [`render`] makes.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// How the daemon stands with the objects it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manifests {
    /// What was read last is without error, and is what runs. While false, the daemon keeps to the
    /// last good state.
    pub valid: bool,
    /// Errors found since the daemon started, each counted again whenever the manifests are read
    /// anew.
    pub errors: u64,
    /// When the state that runs was read, in seconds since the Unix epoch.
    pub last_good: Option<u64>,
}

/// The metrics of one moment. A speaker without a configuration has no summary.
///
/// # Errors
/// The encoder refuses, which it does only for a family that is malformed.
pub fn render(
    summary: Option<&Summary>,
    peers: &[PeerView],
    manifests: &Manifests,
    kernel: &KernelView,
    pods: &PodsView,
    objects: &ObjectsView,
) -> Result<String, prometheus::Error> {
    let mut exposition = Exposition::default();
    let version = sample([("version", env!("CARGO_PKG_VERSION"))], 1);
    exposition.gauge("routelet_build_info", "Version of the running daemon; always 1.", [version]);
    if let Some(summary) = summary {
        exposition.speaker(summary);
        exposition.tables(summary);
    }
    exposition.sessions(peers);
    exposition.messages(peers);
    exposition.prefixes(peers);
    exposition.manifests(manifests);
    exposition.kernel(kernel);
    exposition.pods(pods);
    exposition.objects(objects);
    exposition.text()
}

impl Exposition {
    /// Service addresses of a node that leaves; zeros for one that stays.
    fn retreat(&mut self, retreat: Option<&RetreatView>) {
        let (asked, withdrawn, held) =
            retreat.map_or((0, 0, 0), |r| (r.asked, r.withdrawn, r.held.len() as u64));
        let states = [("asked", asked), ("withdrawn", withdrawn), ("held", held)];
        self.gauge(
            "routelet_leaving_service_addresses",
            "Service addresses of a node that leaves: asked to be left to others, withdrawn, or held for want of others.",
            states.map(|(state, count)| sample([("state", state)], count)),
        );
    }

    fn speaker(&mut self, summary: &Summary) {
        let asn = summary.asn.to_string();
        let router_id = summary.router_id.to_string();
        let labels = [("node", summary.node_name.as_str()), ("asn", &asn), ("router_id", &router_id)];
        self.gauge("routelet_bgp_speaker_info", "Who this speaker is; always 1.", [sample(labels, 1)]);
        self.gauge(
            "routelet_drain_stage",
            "How far a drain has come: 1 asking, 2 settling, 3 withdrawing, 4 closing, 5 drained; 0 without.",
            [sample([], summary.drain.as_ref().map_or(0, |drain| drain.stage.number()))],
        );
        self.retreat(summary.retreat.as_ref());
        let ranges = |value: fn(&RangeView) -> u64| {
            summary.ranges.iter().map(move |range| sample([("range", range.name.as_str())], value(range)))
        };
        let help = "Dynamic peers of a range.";
        self.gauge("routelet_bgp_range_peers", help, ranges(|range| range.peers));
        let help = "Dynamic peers that a range may have at once.";
        self.gauge("routelet_bgp_range_limit", help, ranges(|range| range.limit.into()));
        let help = "Connections refused because a range had as many peers as it may have.";
        self.counter("routelet_bgp_range_refused_total", help, ranges(|range| range.refused));
    }

    fn sessions(&mut self, peers: &[PeerView]) {
        let of = |value: fn(&PeerView) -> u64| {
            peers.iter().map(move |peer| sample([("peer", peer.name.as_str())], value(peer)))
        };
        self.gauge(
            "routelet_bgp_peer_info",
            "Address and AS of a peer, for joining to its other series; always 1.",
            peers.iter().map(|peer| {
                let address = peer.address.to_string();
                let asn = peer.asn.map(|asn| asn.to_string()).unwrap_or_default();
                sample([("peer", peer.name.as_str()), ("address", &address), ("asn", &asn)], 1)
            }),
        );
        self.gauge(
            "routelet_bgp_session_established",
            "Whether the session is Established: 1, else 0.",
            of(|peer| (peer.state == "Established").into()),
        );
        self.gauge(
            "routelet_bgp_session_state",
            "State of the session, numbered as in RFC 4273: 1 Idle, 2 Connect, 3 Active, 4 OpenSent, \
             5 OpenConfirm, 6 Established.",
            of(|peer| state_number(peer.state)),
        );
        self.gauge(
            "routelet_bgp_session_uptime_seconds",
            "How long the session has been Established; 0 while it is not.",
            of(|peer| peer.established_for.unwrap_or_default().as_secs()),
        );
        self.counter(
            "routelet_bgp_session_flaps_total",
            "How often the session has gone from Established to Idle.",
            of(|peer| peer.flaps),
        );
        let watched = peers.iter().filter_map(|peer| Some((peer, peer.bfd.as_ref()?)));
        self.gauge(
            "routelet_bfd_session_up",
            "1 while BFD finds the path to the peer alive, else 0.",
            watched.map(|(peer, bfd)| sample([("peer", peer.name.as_str())], (bfd.state == "Up").into())),
        );
        self.counter(
            "routelet_bgp_update_faults_total",
            "Malformed path attributes received, by what RFC 7606 has done about them (withdraw, discard).",
            peers.iter().flat_map(|peer| {
                let of = |treatment, count| {
                    sample([("peer", peer.name.as_str()), ("treatment", treatment)], count)
                };
                let counters = peer.counters;
                [of("withdraw", counters.faults_withdrawn), of("discard", counters.faults_discarded)]
            }),
        );
    }

    fn messages(&mut self, peers: &[PeerView]) {
        let samples = peers.iter().flat_map(|peer| {
            let of = |direction, kind, count| {
                sample([("peer", peer.name.as_str()), ("direction", direction), ("type", kind)], count)
            };
            let counters = peer.counters;
            [
                of("in", "update", counters.updates_in),
                of("in", "other", counters.messages_in.saturating_sub(counters.updates_in)),
                of("out", "update", counters.updates_out),
                of("out", "other", counters.messages_out.saturating_sub(counters.updates_out)),
            ]
        });
        let help = "BGP messages by direction (in, out) and type (update, other).";
        self.counter("routelet_bgp_messages_total", help, samples);
    }

    fn prefixes(&mut self, peers: &[PeerView]) {
        let families = || {
            peers.iter().flat_map(|peer| peer.families.iter().map(move |family| (peer.name.as_str(), family)))
        };
        let counts = families().flat_map(|(peer, family)| {
            let name = family.family.to_string();
            let of = |kind, count| sample([("peer", peer), ("family", name.as_str()), ("kind", kind)], count);
            [
                of("received", family.received),
                of("accepted", family.accepted),
                of("advertised", family.advertised),
            ]
        });
        self.gauge(
            "routelet_bgp_prefixes",
            "Prefixes of a session by kind: received (before policy), accepted (of these), advertised.",
            counts,
        );
        let limits = families().filter_map(|(peer, family)| {
            let name = family.family.to_string();
            Some(sample([("peer", peer), ("family", name.as_str())], family.limit?.into()))
        });
        let help = "The most prefixes of a session that may be accepted; absent without a limit.";
        self.gauge("routelet_bgp_prefix_limit", help, limits);
        let discarded = families().map(|(peer, family)| {
            let name = family.family.to_string();
            sample([("peer", peer), ("family", name.as_str())], family.discarded)
        });
        let help = "Announcements of prefixes discarded because there were too many.";
        self.counter("routelet_bgp_prefixes_discarded_total", help, discarded);
        let ends = families().map(|(peer, family)| {
            let name = family.family.to_string();
            sample([("peer", peer), ("family", name.as_str())], family.end_of_rib.into())
        });
        self.gauge(
            "routelet_bgp_end_of_rib_received",
            "Whether the peer has sent all it has (End-of-RIB, RFC 4724): 1, else 0.",
            ends,
        );
        let of_family = |value: fn(&PeerFamilyView) -> Option<u64>| {
            families().filter_map(move |(peer, family)| {
                let name = family.family.to_string();
                Some(sample([("peer", peer), ("family", name.as_str())], value(family)?))
            })
        };
        self.gauge(
            "routelet_bgp_stale_paths",
            "Paths that the peer is yet to announce again, after a restart or in a refresh.",
            of_family(|family| Some(family.stale)),
        );
        self.gauge(
            "routelet_bgp_stale_paths_kept_seconds",
            "How long stale paths are kept yet that have outlived their session.",
            of_family(|family| family.stale_for.map(|time| time.as_secs())),
        );
        self.gauge(
            "routelet_bgp_forwarding_kept",
            "Whether the peer says that it has kept forwarding over its restart (F bit): 1, else 0.",
            of_family(|family| family.forwarding.map(u64::from)),
        );
    }

    fn tables(&mut self, summary: &Summary) {
        let destinations = summary.routes.iter().map(|(family, count)| {
            let family = family.to_string();
            sample([("family", family.as_str())], *count)
        });
        self.gauge("routelet_rib_destinations", "Destinations in Loc-RIB.", destinations);
        self.gauge(
            "routelet_fib_routes",
            "Routes meant for the kernel by state: installed, or pending (not yet there, or refused).",
            [
                sample([("state", "installed")], summary.fib_installed),
                sample([("state", "pending")], summary.fib_pending),
            ],
        );
        let help = "Changes of routes that the kernel has refused.";
        self.counter("routelet_fib_failures_total", help, [sample([], summary.fib_failures)]);
        let help = "Routes that are not installed because somebody else's stand there.";
        self.gauge("routelet_fib_conflicts", help, [sample([], summary.fib_conflicts)]);
        let help = "Changes of our kernel routes by others that were found, and put right.";
        self.counter("routelet_fib_repairs_total", help, [sample([], summary.fib_repairs)]);
    }

    fn kernel(&mut self, kernel: &KernelView) {
        let settings = kernel.settings.iter().map(|setting| {
            let weight = if setting.needed { "needed" } else { "advised" };
            let labels = [("setting", setting.name.as_str()), ("weight", weight)];
            sample(labels, setting.faults.is_empty().into())
        });
        let help = "Whether a kernel setting is what it should be: 1, else 0. Packets are lost while \
                    one that is needed is wrong.";
        self.gauge("routelet_kernel_setting_right", help, settings);
        let count = |installed| kernel.rules.iter().filter(|r| r.error.is_none() == installed).count() as u64;
        let rules =
            [sample([("state", "installed")], count(true)), sample([("state", "failed")], count(false))];
        let help = "Policy rules meant for the kernel by state: installed, or failed (refused).";
        self.gauge("routelet_kernel_rules", help, rules);
        let help = "Routes in which the kernel differed from what is desired, in the last audit.";
        self.gauge("routelet_fib_differences", help, kernel.differences.map(|count| sample([], count)));
    }
}

/// `bgpPeerState` of RFC 4273; 0 for no state of RFC 4271.
fn state_number(state: &str) -> u64 {
    match state {
        "Idle" => 1,
        "Connect" => 2,
        "Active" => 3,
        "OpenSent" => 4,
        "OpenConfirm" => 5,
        "Established" => 6,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::api::fixture;

    fn manifests() -> Manifests {
        Manifests { valid: false, errors: 3, last_good: Some(1_790_000_000) }
    }

    fn rendered() -> String {
        render(
            Some(&fixture::summary()),
            &fixture::peers(),
            &manifests(),
            &fixture::kernel(),
            &fixture::pods(),
            &fixture::objects(),
        )
        .unwrap()
    }

    /// Reads an exposition as `promtool check metrics` does, and panics where that would complain.
    fn checked(text: &str) -> BTreeMap<String, f64> {
        let mut kinds = BTreeSet::new();
        let mut helped = BTreeSet::new();
        let mut samples = BTreeMap::new();
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(helped.insert(name), "{name}: HELP twice");
                assert!(help.ends_with('.'), "{name}: {help:?} is no sentence");
                continue;
            }
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(helped.contains(name), "{name}: TYPE without HELP before it");
                assert!(kinds.insert(name), "{name}: TYPE twice");
                family = name;
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                assert!(name.starts_with("routelet_"), "{name} lacks the namespace");
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert_eq!(family, name, "a sample outside its family");
            let value = value.parse().unwrap_or_else(|_| panic!("{line:?}: not a number"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series}: twice");
        }
        assert!(text.ends_with('\n'), "the last line is not ended");
        samples
    }

    #[test]
    fn the_exposition_is_well_formed_and_says_what_the_views_say() {
        let samples = checked(&rendered());
        for (series, value) in [
            (concat!("routelet_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
            (r#"routelet_bgp_speaker_info{node="node1",asn="64512",router_id="192.168.1.11"}"#, 1.0),
            (r#"routelet_bgp_range_peers{range="rack"}"#, 1.0),
            ("routelet_drain_stage", 0.0),
            (r#"routelet_bgp_range_limit{range="rack"}"#, 100.0),
            (r#"routelet_bgp_range_refused_total{range="rack"}"#, 3.0),
            (r#"routelet_bgp_peer_info{peer="tor",address="fe80::1",asn="65000"}"#, 1.0),
            (r#"routelet_bgp_session_established{peer="node2"}"#, 1.0),
            (r#"routelet_bgp_session_established{peer="node3"}"#, 0.0),
            (r#"routelet_bgp_session_state{peer="node2"}"#, 6.0),
            (r#"routelet_bgp_session_state{peer="node3"}"#, 3.0),
            (r#"routelet_bgp_session_uptime_seconds{peer="tor"}"#, 12.0),
            (r#"routelet_bgp_session_flaps_total{peer="node3"}"#, 5.0),
            (r#"routelet_bgp_update_faults_total{peer="node2",treatment="withdraw"}"#, 2.0),
            (r#"routelet_bgp_update_faults_total{peer="node2",treatment="discard"}"#, 0.0),
            (r#"routelet_bgp_messages_total{peer="node2",direction="in",type="update"}"#, 4.0),
            (r#"routelet_bgp_messages_total{peer="node2",direction="in",type="other"}"#, 306.0),
            (r#"routelet_bgp_prefixes{peer="node2",family="ipv4Unicast",kind="received"}"#, 2.0),
            (r#"routelet_bgp_prefixes{peer="node2",family="ipv4Unicast",kind="accepted"}"#, 1.0),
            (r#"routelet_bgp_prefixes{peer="node2",family="ipv6Unicast",kind="advertised"}"#, 0.0),
            (r#"routelet_bgp_prefix_limit{peer="node2",family="ipv4Unicast"}"#, 10_000.0),
            (r#"routelet_bgp_prefixes_discarded_total{peer="node2",family="ipv4Unicast"}"#, 12.0),
            (r#"routelet_bgp_end_of_rib_received{peer="node2",family="ipv4Unicast"}"#, 1.0),
            (r#"routelet_bgp_stale_paths{peer="node2",family="ipv4Unicast"}"#, 1.0),
            (r#"routelet_bgp_stale_paths_kept_seconds{peer="node2",family="ipv4Unicast"}"#, 100.0),
            (r#"routelet_bgp_forwarding_kept{peer="node2",family="ipv4Unicast"}"#, 1.0),
            (r#"routelet_rib_destinations{family="ipv4Unicast"}"#, 4.0),
            (r#"routelet_fib_routes{state="installed"}"#, 3.0),
            (r#"routelet_fib_routes{state="pending"}"#, 1.0),
            ("routelet_fib_failures_total", 7.0),
            ("routelet_fib_conflicts", 1.0),
            ("routelet_fib_repairs_total", 4.0),
            ("routelet_fib_differences", 3.0),
            (r#"routelet_kernel_setting_right{setting="net.ipv4.ip_forward",weight="needed"}"#, 1.0),
            (r#"routelet_kernel_setting_right{setting="net.ipv4.conf.*.rp_filter",weight="needed"}"#, 0.0),
            (r#"routelet_kernel_rules{state="installed"}"#, 1.0),
            (r#"routelet_kernel_rules{state="failed"}"#, 1.0),
            (r#"routelet_ipam_addresses{pool="10.244.1.0/24",state="taken"}"#, 7.0),
            (r#"routelet_ipam_addresses{pool="10.244.1.0/24",state="free"}"#, 246.0),
            (r#"routelet_ipam_addresses{pool="10.244.9.0/24",state="free"}"#, 0.0),
            ("routelet_ipam_swept_total", 2.0),
            ("routelet_masquerade_exempt_prefixes", 3.0),
            ("routelet_nftables_dropping_chains", 1.0),
            ("routelet_cni_config_in_place", 0.0),
            (r#"routelet_api_server_connected{kind="BgpPeer"}"#, 0.0),
            (r#"routelet_api_server_connected{kind="Node"}"#, 1.0),
            (r#"routelet_api_server_objects{kind="Node"}"#, 3.0),
            (r#"routelet_api_server_malformed_objects{kind="Node"}"#, 1.0),
            (r#"routelet_api_server_lists_total{kind="Node"}"#, 1.0),
            (r#"routelet_api_server_failures_total{kind="BgpPeer"}"#, 4.0),
            (r#"routelet_api_server_last_list_timestamp_seconds{kind="Node"}"#, 1_790_000_000.0),
            (r#"routelet_api_server_last_event_timestamp_seconds{kind="Node"}"#, 1_790_000_060.0),
            ("routelet_api_server_from_kept", 0.0),
            ("routelet_manifests_valid", 0.0),
            ("routelet_manifest_errors_total", 3.0),
            ("routelet_manifests_last_good_timestamp_seconds", 1_790_000_000.0),
        ] {
            assert_eq!(samples.get(series), Some(&value), "{series}");
        }
    }

    #[test]
    fn a_drain_is_a_number() {
        let stages = (0..5).map(|stage| {
            let summary = Summary { drain: Some(fixture::draining(stage)), ..fixture::summary() };
            checked(
                &render(
                    Some(&summary),
                    &[],
                    &manifests(),
                    &KernelView::default(),
                    &PodsView::default(),
                    &ObjectsView::default(),
                )
                .unwrap(),
            )["routelet_drain_stage"]
        });
        assert!(stages.eq([1.0, 2.0, 3.0, 4.0, 5.0]));
    }

    #[test]
    fn a_speaker_without_peers_has_metrics_too() {
        let samples = checked(
            &render(
                Some(&fixture::summary()),
                &[],
                &Manifests::default(),
                &KernelView::default(),
                &PodsView::default(),
                &ObjectsView::default(),
            )
            .unwrap(),
        );
        assert!(samples.contains_key("routelet_fib_failures_total"));
        assert!(!samples.keys().any(|series| series.contains("api_server")));
        assert!(!samples.keys().any(|series| series.contains("peer=")));
    }

    #[test]
    fn a_peer_s_name_cannot_break_a_line() {
        let mut peers = fixture::peers();
        peers[0].name = "a\"b\\c\nd".to_owned();
        let text = render(
            Some(&fixture::summary()),
            &peers[..1],
            &manifests(),
            &fixture::kernel(),
            &fixture::pods(),
            &fixture::objects(),
        )
        .unwrap();
        assert!(checked(&text).contains_key(r#"routelet_bgp_session_established{peer="a\"b\\c\nd"}"#));
    }
}
