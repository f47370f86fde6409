//! Peers that come from a range of addresses, played by the test over one speaker.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use routelet::bfd;
use routelet::bgp::header::{MAX_EXTENDED_LENGTH, message_length_within};
use routelet::bgp::{AsPath, Capability, Codec, Message, Open, PathAttributes};
use routelet::prefix::{Family, Prefix};
use routelet::speaker::intent::{
    BfdIntent, Distance, Intent, LimitAction, MaxPrefixes, Password, PeerIntent, PeerOrigin, Policy,
    PrefixRule, RangeIntent, RemoteAs,
};
use routelet::speaker::view::PeerView;
use routelet::speaker::{Action, ConnectionId, Departure, Speaker, Transport};
use routelet::time::Instant;

use crate::plan::{Families, Plan};

const LOCAL: &str = "192.168.1.11";

/// node1 of the reference cluster with ranges in place of its peers.
struct Rig {
    speaker: Speaker,
    now: Instant,
    intent: Intent,
    codec: Codec,
    heard: BTreeMap<ConnectionId, Vec<String>>,
    notices: Vec<String>,
    /// Whose paths BFD is asked to watch.
    watched: Vec<IpAddr>,
}

impl Rig {
    fn new(ranges: &[(&str, &str, u32)]) -> Rig {
        let mut intent = Plan::reference(Families::Ipv4).intent("node1");
        let template = PeerIntent {
            origin: PeerOrigin::Dynamic,
            asn: RemoteAs::External,
            source: None,
            passive: true,
            import: Policy::accepting([PrefixRule::within("0.0.0.0/0".parse().unwrap())]),
            ..intent.peers["tor"].clone()
        };
        intent.peers.clear();
        for (name, range, limit) in ranges {
            let range: Prefix = range.parse().unwrap();
            let template = PeerIntent { address: range.address(), ..template.clone() };
            intent.ranges.insert((*name).to_owned(), RangeIntent { range, limit: *limit, template });
        }
        let mut speaker = Speaker::new(1);
        let now = Instant::ORIGIN;
        speaker.handle_underlay(now, Plan::underlay());
        speaker.handle_bridge(now, true);
        let codec = Codec { external: true, families: vec![Family::Ipv4Unicast], ..Codec::initial() };
        let codec = Codec { four_octet_as: true, ..codec };
        let mut rig =
            Rig { speaker, now, intent, codec, heard: BTreeMap::new(), notices: vec![], watched: vec![] };
        rig.reconfigure(|_| ());
        rig
    }

    fn reconfigure(&mut self, change: impl FnOnce(&mut Intent)) {
        change(&mut self.intent);
        self.speaker.handle_intent(self.now, self.intent.clone());
        self.listen();
    }

    fn connect(&mut self, from: &str) -> Option<(ConnectionId, Transport)> {
        let (local, remote) = (LOCAL.parse().unwrap(), from.parse().unwrap());
        let (local, remote) = (SocketAddr::new(local, 179), SocketAddr::new(remote, 40_000));
        let connection = self.speaker.handle_accepted(self.now, local, remote);
        self.listen();
        connection
    }

    /// A peer that connects and brings its session up.
    fn establish(&mut self, from: &str) -> ConnectionId {
        let (connection, _) = self.connect(from).unwrap();
        let open = Open {
            asn: 65000,
            hold_time: 9,
            router_id: [192, 0, 2, 1].into(),
            capabilities: vec![Capability::FourOctetAs(65000), Capability::RouteRefresh],
        };
        self.say(connection, Codec::initial().encode_open(&open));
        self.say(connection, self.codec.encode_keepalive());
        assert_eq!(self.peer(from).unwrap().state, "Established");
        self.heard(connection);
        connection
    }

    fn say(&mut self, connection: ConnectionId, octets: Vec<u8>) {
        self.speaker.handle_frame(self.now, connection, Ok(&octets));
        self.listen();
    }

    fn announce(&mut self, connection: ConnectionId, prefix: &str) {
        let next_hop = "192.168.1.1".parse().unwrap();
        let as_path = AsPath::sequence([65000]);
        let attributes = PathAttributes { as_path, ..PathAttributes::originated(next_hop) };
        let mut octets = vec![];
        self.codec.encode_announcements(&attributes, &[prefix.parse::<Prefix>().unwrap()], &mut octets);
        self.say(connection, octets);
    }

    fn close(&mut self, connection: ConnectionId) {
        self.speaker.handle_closed(self.now, connection, "the peer closed the connection");
        self.listen();
    }

    /// Lets time pass, with every timer that expires meanwhile.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.speaker.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.speaker.handle_timeout(at);
            self.listen();
        }
        self.now = end;
    }

    fn listen(&mut self) {
        while let Some(action) = self.speaker.poll_action() {
            match action {
                Action::Send { connection, octets } => {
                    self.speaker.handle_sent(self.now, connection, octets.len());
                    let mut rest = &octets[..];
                    while let Ok(Some(length)) = message_length_within(MAX_EXTENDED_LENGTH, rest) {
                        let words = match Codec::initial().decode(&rest[..length]) {
                            Ok(Message::Notification(notification)) => notification.to_string(),
                            Ok(Message::Open(_)) => "OPEN".to_owned(),
                            _ => "other".to_owned(),
                        };
                        self.heard.entry(connection).or_default().push(words);
                        rest = &rest[length..];
                    }
                }
                Action::Close { connection } => {
                    self.heard.entry(connection).or_default().push("closed".to_owned());
                }
                Action::Dial { .. } => panic!("nobody of a range is ever connected to"),
                Action::WatchPaths(paths) => self.watched = paths.keys().map(|path| path.remote).collect(),
                Action::Notice(notice) => self.notices.push(notice.to_string()),
                _ => {}
            }
        }
    }

    fn heard(&mut self, connection: ConnectionId) -> Vec<String> {
        self.heard.remove(&connection).unwrap_or_default()
    }

    fn peer(&self, address: &str) -> Option<PeerView> {
        let address: IpAddr = address.parse().unwrap();
        self.speaker.peers(self.now).into_iter().find(|peer| peer.address == address)
    }

    fn names(&self) -> Vec<String> {
        self.speaker.peers(self.now).into_iter().map(|peer| peer.name).collect()
    }
}

#[test]
fn whoever_comes_from_a_range_is_a_peer_until_its_session_ends() {
    let mut rig = Rig::new(&[("rack", "10.0.0.0/8", 10)]);
    assert_eq!(rig.connect("192.0.2.1"), None, "from outside");
    let connection = rig.establish("10.1.2.3");
    rig.establish("10.1.2.4");
    assert_eq!(rig.names(), ["rack/10.1.2.3", "rack/10.1.2.4"]);
    assert_eq!(rig.peer("10.1.2.3").unwrap().origin, PeerOrigin::Dynamic);
    rig.announce(connection, "172.16.0.0/24");
    assert_eq!(rig.speaker.routes(|p| p == "172.16.0.0/24".parse().unwrap()).len(), 1);

    rig.close(connection);
    assert_eq!(rig.speaker.routes(|p| p == "172.16.0.0/24".parse().unwrap()).len(), 0);
    assert_eq!(rig.peer("10.1.2.3").unwrap().state, "Idle", "it sits out its idle hold time");
    assert_eq!(rig.connect("10.1.2.3"), None);
    rig.wait(Duration::from_millis(250));
    assert_eq!(rig.names(), ["rack/10.1.2.4"]);
    rig.establish("10.1.2.3");
    assert!(rig.notices.contains(&"session with rack/10.1.2.3 (AS 65000) is established".to_owned()));
}

#[test]
fn a_connection_that_comes_to_nothing_leaves_no_peer() {
    let mut rig = Rig::new(&[("rack", "10.0.0.0/8", 10)]);
    let (connection, _) = rig.connect("10.1.2.3").unwrap();
    assert_eq!(rig.names(), ["rack/10.1.2.3"]);
    rig.close(connection);
    assert_eq!(rig.names(), [""; 0]);
    let (connection, _) = rig.connect("10.1.2.3").unwrap();
    rig.wait(Duration::from_secs(241));
    assert_eq!(rig.heard(connection), ["OPEN", "Hold Timer Expired", "closed"], "it never said a word");
    assert_eq!(rig.names(), [""; 0]);
}

#[test]
fn silence_ends_a_dynamic_session_too() {
    let mut rig = Rig::new(&[("rack", "10.0.0.0/8", 10)]);
    let connection = rig.establish("10.1.2.3");
    rig.wait(Duration::from_secs(8));
    assert_eq!(rig.peer("10.1.2.3").unwrap().state, "Established");
    rig.wait(Duration::from_millis(1100));
    assert!(rig.heard(connection).ends_with(&["Hold Timer Expired".to_owned(), "closed".to_owned()]));
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.names(), [""; 0]);
}

#[test]
fn one_too_many_is_refused_counted_and_said_once() {
    let mut rig = Rig::new(&[("rack", "10.0.0.0/8", 2)]);
    let first = rig.establish("10.0.0.1");
    rig.establish("10.0.0.2");
    for _ in 0..3 {
        let (refused, _) = rig.connect("10.0.0.3").unwrap();
        assert_eq!(rig.heard(refused), ["Cease: Connection Rejected", "closed"]);
    }
    let range = rig.speaker.summary().unwrap().ranges.remove(0);
    assert_eq!((range.peers, range.limit, range.refused), (2, 2, 3));
    let said = |rig: &Rig| rig.notices.iter().filter(|line| line.contains("its limit")).count();
    assert_eq!(said(&rig), 1, "{:?}", rig.notices);
    // A second connection of a peer that is there needs no place.
    let (again, _) = rig.connect("10.0.0.2").unwrap();
    assert_eq!(rig.heard(again), ["OPEN"]);

    rig.close(first);
    rig.wait(Duration::from_secs(1));
    rig.establish("10.0.0.3");
    rig.connect("10.0.0.4").unwrap();
    assert_eq!(said(&rig), 2, "full again");
}

#[test]
fn the_longest_range_means_a_peer_and_a_peer_of_its_own_more() {
    let mut rig =
        Rig::new(&[("all", "10.0.0.0/8", 9), ("rack", "10.1.0.0/16", 9), ("row", "10.1.2.0/24", 9)]);
    rig.reconfigure(|intent| {
        let peer = intent.ranges["all"].peer("10.1.2.9".parse().unwrap());
        let peer = PeerIntent { origin: PeerOrigin::Configured, ..peer };
        intent.peers.insert("tor".to_owned(), peer);
        intent.ranges.get_mut("row").unwrap().template.distance = Distance::Security(1);
    });
    for from in ["10.9.9.9", "10.1.9.9", "10.1.2.3", "10.1.2.9"] {
        rig.establish(from);
    }
    assert_eq!(rig.names(), ["all/10.9.9.9", "rack/10.1.9.9", "row/10.1.2.3", "tor"]);
    let (_, transport) = rig.connect("10.1.2.4").unwrap();
    assert_eq!((transport.ttl, transport.min_ttl), (Some(255), Some(255)), "GTSM as its range says");
}

#[test]
fn a_change_of_a_range_resets_whom_it_must() {
    let mut rig = Rig::new(&[("rack", "10.1.0.0/16", 9), ("row", "10.2.0.0/16", 9)]);
    let rack = rig.establish("10.1.0.1");
    let row = rig.establish("10.2.0.1");
    rig.announce(rack, "172.16.0.0/24");
    rig.reconfigure(|intent| {
        let rack = intent.ranges.get_mut("rack").unwrap();
        rack.template.import = Policy::default();
        rack.limit = 1;
    });
    let path = rig.speaker.routes(|p| p == "172.16.0.0/24".parse().unwrap()).remove(0).paths.remove(0);
    assert!(path.ineligible.is_some(), "policy is applied to who is there");
    assert_eq!((rig.heard(rack), rig.heard(row)), (vec![], vec![]));

    rig.reconfigure(|intent| {
        intent.ranges.get_mut("rack").unwrap().template.password = Password::new("open sesame");
    });
    assert_eq!(rig.heard(rack), ["Cease: Other Configuration Change", "closed"]);
    assert_eq!(rig.heard(row), [""; 0]);
    assert_eq!(rig.names(), ["row/10.2.0.1"]);
    let (_, transport) = rig.connect("10.1.0.1").unwrap();
    assert_eq!(transport.password, Password::new("open sesame"));
}

#[test]
fn who_has_no_place_any_more_is_told() {
    let mut rig = Rig::new(&[("rack", "10.1.0.0/16", 9), ("row", "10.2.0.0/16", 9)]);
    let (a, b) = (rig.establish("10.1.0.1"), rig.establish("10.1.0.2"));
    let row = rig.establish("10.2.0.1");
    rig.reconfigure(|intent| {
        let peer = intent.ranges["rack"].peer("10.1.0.1".parse().unwrap());
        intent.peers.insert("tor".to_owned(), peer);
    });
    assert_eq!(
        rig.heard(a),
        ["Cease: Peer De-configured", "closed"],
        "it has a configuration of its own now"
    );
    rig.establish("10.1.0.1");
    assert_eq!(rig.names(), ["rack/10.1.0.2", "row/10.2.0.1", "tor"]);
    rig.reconfigure(|intent| {
        intent.ranges.remove("rack");
    });
    assert_eq!(rig.heard(b), ["Cease: Peer De-configured", "closed"]);
    assert_eq!(rig.heard(row), [""; 0]);
    assert_eq!(rig.names(), ["row/10.2.0.1", "tor"]);
    assert_eq!(rig.speaker.summary().unwrap().ranges.len(), 1);
}

#[test]
fn a_dynamic_peer_with_too_many_prefixes_stays_away_as_long_as_it_must() {
    let mut rig = Rig::new(&[("rack", "10.0.0.0/8", 9)]);
    rig.reconfigure(|intent| {
        let idle = Some(Duration::from_secs(60));
        let limit = MaxPrefixes { limit: 1, action: LimitAction::Reset { idle }, warn_at: 100 };
        intent.ranges.get_mut("rack").unwrap().template.max_prefixes = Some(limit);
    });
    let connection = rig.establish("10.0.0.1");
    rig.announce(connection, "172.16.0.0/24");
    rig.announce(connection, "172.16.1.0/24");
    assert_eq!(rig.heard(connection), ["Cease: Maximum Number of Prefixes Reached", "closed"]);
    rig.wait(Duration::from_secs(59));
    assert_eq!(rig.connect("10.0.0.1"), None);
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.names(), [""; 0]);
    rig.establish("10.0.0.1");
}

#[test]
fn a_daemon_that_stops_takes_leave_of_its_dynamic_peers() {
    let mut rig = Rig::new(&[("rack", "10.0.0.0/8", 9)]);
    let connection = rig.establish("10.0.0.1");
    rig.speaker.handle_shutdown(rig.now, Departure::ForGood);
    rig.listen();
    let farewell = "Cease: Administrative Shutdown \"routelet is stopping\"";
    assert_eq!(rig.heard(connection), [farewell, "closed"]);
}

#[test]
fn the_path_to_a_dynamic_peer_is_watched_while_it_is_there() {
    let mut rig = Rig::new(&[("rack", "10.0.0.0/8", 4)]);
    let tenth = Duration::from_millis(100);
    let config = bfd::Config { min_tx: tenth, min_rx: tenth, detect_multiplier: 3, key: None };
    rig.reconfigure(|intent| {
        let template = &mut intent.ranges.get_mut("rack").unwrap().template;
        template.bfd = Some(BfdIntent { config, strict: false, hops: None });
    });
    let watched = |rig: &Rig| rig.peer("10.0.0.1").map(|peer| peer.bfd.is_some());
    let connection = rig.establish("10.0.0.1");
    assert_eq!(watched(&rig), Some(true));
    assert_eq!(rig.watched, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    rig.close(connection);
    rig.wait(Duration::from_secs(120));
    assert_eq!(watched(&rig), None);
    assert!(rig.watched.is_empty());
}
