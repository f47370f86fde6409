//! One speaker and a peer that says what the test wants: what a session does beyond converging.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use routelet::bgp::capability::{AddPath, GracefulRestart};
use routelet::bgp::header::{MAX_EXTENDED_LENGTH, message_length_within};
use routelet::bgp::{
    AsPath, Capability, Codec, Message, Nlri, Notification, Open, PathAttributes, Reason, Role,
};
use routelet::prefix::{Family, Prefix};
use routelet::rib::next_hop::UnderlayRoute;
use routelet::speaker::intent::{Policy, PrefixRule};
use routelet::speaker::view::PathView;
use routelet::speaker::{Action, ConnectionId, Departure, Intent, Speaker};
use routelet::time::Instant;

use crate::plan::{Families, Plan};

/// node1 of the reference cluster with the ToR, AS 65000, played by the test.
pub struct Rig {
    pub speaker: Speaker,
    pub connection: ConnectionId,
    pub now: Instant,
    /// What the test's side speaks once the session is up.
    pub codec: Codec,
    pub heard: Vec<Message>,
    pub notices: Vec<String>,
    /// How many paths BFD was to watch, each time that this changed.
    pub watched: Vec<usize>,
    /// The kernel takes nothing of what is sent.
    pub stalled: bool,
}

impl Rig {
    /// A session that is Established, after its first End-of-RIB in both directions.
    pub fn new(capabilities: &[Capability], change: impl FnOnce(&mut Intent)) -> Rig {
        let mut rig = Rig::connected(change);
        rig.codec = Codec {
            four_octet_as: true,
            external: true,
            families: vec![Family::Ipv4Unicast],
            extended_next_hop: capabilities.iter().any(|c| matches!(c, Capability::ExtendedNextHop(_))),
            add_path: [add_path(capabilities); 2],
            extended_messages: capabilities.contains(&Capability::ExtendedMessage),
            enhanced_refresh: capabilities.contains(&Capability::EnhancedRouteRefresh),
        };
        rig.open(capabilities);
        rig.say(rig.codec.encode_keepalive());
        let mut end_of_rib = vec![];
        rig.codec.encode_end_of_rib(Family::Ipv4Unicast, &mut end_of_rib);
        rig.say(end_of_rib);
        rig
    }

    /// Lets time pass, with every timer that expires meanwhile.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.speaker.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.speaker.handle_timeout(at);
            self.listen();
        }
        self.now = end;
    }

    /// Connects anew and brings the session up; `false` if the connection is refused.
    pub fn come_again(&mut self, capabilities: &[Capability]) -> bool {
        let address = self.speaker.peers(self.now).remove(0).address;
        let (local, remote) =
            (SocketAddr::new([192, 168, 1, 11].into(), 179), SocketAddr::new(address, 40_001));
        let Some((connection, _)) = self.speaker.handle_accepted(self.now, local, remote) else {
            return false;
        };
        let codec = std::mem::replace(&mut self.codec, Codec::initial());
        self.connection = connection;
        self.listen();
        self.open(capabilities);
        self.codec = codec;
        self.say(self.codec.encode_keepalive());
        true
    }

    /// A session in OpenSent.
    pub fn connected(change: impl FnOnce(&mut Intent)) -> Rig {
        let plan = Plan::reference(Families::Ipv4);
        let mut intent = plan.intent("node1");
        intent.peers.retain(|name, _| name == "tor");
        intent.peers.get_mut("tor").unwrap().passive = true;
        change(&mut intent);
        let now = Instant::ORIGIN;
        let mut speaker = Speaker::new(1);
        speaker.handle_underlay(now, underlay());
        speaker.handle_bridge(now, true);
        let remote = SocketAddr::new(intent.peers["tor"].address, 40_000);
        let local = match remote.ip() {
            IpAddr::V6(_) => SocketAddrV6::new("fe80::11".parse().unwrap(), 179, 0, LINK).into(),
            IpAddr::V4(_) => SocketAddr::new(intent.addresses[0], 179),
        };
        speaker.handle_intent(now, intent);
        let (connection, _) = speaker.handle_accepted(now, local, remote).unwrap();
        let codec = Codec::initial();
        let mut rig = Rig {
            speaker,
            connection,
            now,
            codec,
            heard: vec![],
            notices: vec![],
            watched: vec![],
            stalled: false,
        };
        rig.listen();
        rig
    }

    pub fn open(&mut self, capabilities: &[Capability]) {
        let always = [Capability::FourOctetAs(65000), Capability::RouteRefresh];
        let capabilities = [&always[..], capabilities].concat();
        let router_id = [192, 168, 1, 1].into();
        let open = Open { asn: 65000, hold_time: 90, router_id, capabilities };
        self.say(self.codec.encode_open(&open));
    }

    /// Hands the speaker a message and hears what it says to that.
    pub fn say(&mut self, octets: Vec<u8>) {
        let mut rest = &octets[..];
        while let Ok(Some(length)) = message_length_within(MAX_EXTENDED_LENGTH, rest) {
            self.speaker.handle_frame(self.now, self.connection, Ok(&rest[..length]));
            rest = &rest[length..];
        }
        self.listen();
    }

    pub fn announce(&mut self, prefixes: &[&str], change: impl FnOnce(&mut PathAttributes)) {
        let prefixes: Vec<Prefix> = prefixes.iter().map(|p| p.parse().unwrap()).collect();
        self.announce_nlri(&prefixes, change);
    }

    /// The same with path identifiers, or whatever else stands in a list.
    pub fn announce_nlri<T: Nlri>(&mut self, prefixes: &[T], change: impl FnOnce(&mut PathAttributes)) {
        let next_hop = "192.168.1.1".parse().unwrap();
        let as_path = AsPath::sequence([65000]);
        let mut attributes = PathAttributes { as_path, ..PathAttributes::originated(next_hop) };
        change(&mut attributes);
        let mut octets = vec![];
        assert!(self.codec.encode_announcements(&attributes, prefixes, &mut octets) > 0);
        self.say(octets);
    }

    pub fn listen(&mut self) {
        while let Some(action) = self.speaker.poll_action() {
            match action {
                Action::Send { connection, octets } => {
                    if !self.stalled {
                        self.speaker.handle_sent(self.now, connection, octets.len());
                    }
                    let mut rest = &octets[..];
                    while let Ok(Some(length)) = message_length_within(MAX_EXTENDED_LENGTH, rest) {
                        self.heard.push(self.codec.decode(&rest[..length]).unwrap());
                        rest = &rest[length..];
                    }
                    assert!(rest.is_empty(), "whole messages are sent");
                }
                Action::ChangeRoutes(batch) => {
                    self.speaker.handle_route_answer(self.now, batch.id, vec![]);
                }
                Action::WatchPaths(paths) => self.watched.push(paths.len()),
                Action::Notice(notice) => self.notices.push(notice.to_string()),
                _ => {}
            }
        }
    }

    /// What has been heard since the last call, in short.
    pub fn heard(&mut self) -> Vec<String> {
        let word = |message| match message {
            Message::Update(update) if update.end_of_rib.is_some() => "End-of-RIB".to_owned(),
            Message::Update(update) => {
                let announced = update.announced.iter().flat_map(|a| &a.prefixes);
                let announced: Vec<String> = announced.map(ToString::to_string).collect();
                format!("UPDATE {}", announced.join(" "))
            }
            Message::Notification(notification) => notification.to_string(),
            Message::Open(_) => "OPEN".to_owned(),
            other => format!("{other:?}"),
        };
        std::mem::take(&mut self.heard).into_iter().map(word).collect()
    }

    pub fn path(&self, prefix: &str) -> Option<PathView> {
        let prefix: Prefix = prefix.parse().unwrap();
        self.speaker.routes(|p| p == prefix).pop()?.paths.pop()
    }
}

/// Index of the interface that a session between link-local addresses runs over.
pub const LINK: u32 = 3;

/// That of the plan, with one link-local subnet as on every other link.
fn underlay() -> Vec<UnderlayRoute> {
    let prefix = "fe80::/64".parse().unwrap();
    let on = |link| UnderlayRoute { prefix, via: None, interface: Some(link), metric: 256 };
    Plan::underlay().into_iter().chain([LINK - 1, LINK, LINK + 1].map(on)).collect()
}

/// What the test's side does of what it says that it can.
fn add_path(capabilities: &[Capability]) -> AddPath {
    let families = capabilities.iter().filter_map(|capability| match capability {
        Capability::AddPath(families) => families.first(),
        _ => None,
    });
    families.map(|family| family.directions).next().unwrap_or_default()
}

pub fn accept_all(intent: &mut Intent) {
    let any = PrefixRule::within("0.0.0.0/0".parse().unwrap());
    intent.peers.get_mut("tor").unwrap().import = Policy::accepting([any]);
}

const ENHANCED: &[Capability] = &[Capability::EnhancedRouteRefresh];

#[test]
fn a_refresh_is_marked_where_both_sides_know_the_marks() {
    let mut rig = Rig::new(ENHANCED, |_| ());
    assert_eq!(rig.heard(), ["OPEN", "Keepalive", "UPDATE 10.244.1.0/24", "End-of-RIB"]);
    rig.say(rig.codec.encode_route_refresh(Family::Ipv4Unicast));
    let expected = ["BeginOfRefresh(Ipv4Unicast)", "UPDATE 10.244.1.0/24", "EndOfRefresh(Ipv4Unicast)"];
    assert_eq!(rig.heard(), expected);
    let mut rig = Rig::new(&[], |_| ());
    rig.heard();
    rig.say(rig.codec.encode_route_refresh(Family::Ipv4Unicast));
    assert_eq!(rig.heard(), ["UPDATE 10.244.1.0/24", "End-of-RIB"]);
}

#[test]
fn what_a_peer_does_not_announce_again_is_gone_at_the_end_of_its_refresh() {
    let mut rig = Rig::new(ENHANCED, |intent| {
        accept_all(intent);
    });
    rig.announce(&["172.16.0.0/24", "172.16.1.0/24"], |_| ());
    rig.say(rig.codec.encode_begin_of_refresh(Family::Ipv4Unicast));
    rig.announce(&["172.16.1.0/24"], |_| ());
    assert!(rig.path("172.16.0.0/24").is_some_and(|p| p.best), "stale, and in use until the end");
    rig.say(rig.codec.encode_end_of_refresh(Family::Ipv4Unicast));
    assert!(rig.path("172.16.0.0/24").is_none(), "not announced again");
    assert!(rig.path("172.16.1.0/24").is_some_and(|p| p.best), "announced again");
    rig.say(rig.codec.encode_end_of_refresh(Family::Ipv4Unicast));
    assert!(rig.path("172.16.1.0/24").is_some(), "an end without a beginning means nothing");
}

#[test]
fn a_mark_before_the_promised_end_of_rib_is_ignored() {
    let promise = Capability::GracefulRestart(GracefulRestart::default());
    let mut rig = Rig::connected(|_| ());
    rig.codec = Codec { enhanced_refresh: true, ..Rig::new(ENHANCED, |_| ()).codec };
    rig.open(&[Capability::EnhancedRouteRefresh, promise]);
    rig.say(rig.codec.encode_keepalive());
    rig.announce(&["172.16.0.0/24"], |_| ());
    rig.say(rig.codec.encode_begin_of_refresh(Family::Ipv4Unicast));
    rig.say(rig.codec.encode_end_of_refresh(Family::Ipv4Unicast));
    assert!(rig.path("172.16.0.0/24").is_some());
}

#[test]
fn a_mark_of_the_wrong_length_ends_the_session() {
    let mut rig = Rig::new(ENHANCED, |_| ());
    let mut mark = rig.codec.encode_begin_of_refresh(Family::Ipv4Unicast);
    mark.push(0);
    mark[17] = 24;
    rig.heard();
    rig.say(mark);
    assert_eq!(rig.heard(), ["Route Refresh Message Error: Invalid Message Length"]);
}

#[test]
fn extended_messages_flow_only_where_both_sides_speak_them() {
    let long = |rig: &Rig| {
        let codec = Codec { extended_messages: true, ..rig.codec.clone() };
        let prefixes: Vec<Prefix> = (0..5_000u16)
            .map(|i| format!("172.{}.{}.0/24", 16 + i / 256, i % 256).parse().unwrap())
            .collect();
        let as_path = AsPath::sequence([65000]);
        let next_hop = "192.168.1.1".parse().unwrap();
        let attributes = PathAttributes { as_path, ..PathAttributes::originated(next_hop) };
        let mut octets = vec![];
        assert_eq!(codec.encode_announcements(&attributes, &prefixes, &mut octets), 1);
        octets
    };
    let mut rig = Rig::new(&[Capability::ExtendedMessage], |_| ());
    rig.say(long(&rig));
    assert!(rig.path("172.16.77.0/24").is_some());
    let mut rig = Rig::new(&[], |_| ());
    rig.heard();
    rig.say(long(&rig));
    assert_eq!(rig.heard(), ["Message Header Error: Bad Message Length"]);
}

#[test]
fn our_name_is_sent_and_the_peers_is_shown() {
    let name = Capability::Fqdn { host: "tor\u{1b}[31m".into(), domain: "lan".into() };
    let mut rig = Rig::new(&[name], |_| ());
    let Message::Open(open) = &rig.heard[0] else { panic!() };
    assert!(open.capabilities.contains(&Capability::Fqdn { host: "node1".into(), domain: String::new() }));
    rig.now = rig.now + Duration::from_secs(1);
    let shown = rig.speaker.peers(rig.now).remove(0).capabilities;
    assert!(shown.contains(&"FQDN tor\\u{1b}[31m.lan".to_owned()), "{shown:?}");
}

fn with_role(role: Role) -> impl Fn(&mut Intent) {
    move |intent| {
        accept_all(intent);
        let tor = intent.peers.get_mut("tor").unwrap();
        (tor.role, tor.role_strict) = (Some(role), true);
    }
}

#[test]
fn roles_that_do_not_fit_end_the_session() {
    for (theirs, refused) in [(Some(Role::Provider), false), (Some(Role::Peer), true), (None, true)] {
        let mut rig = Rig::connected(with_role(Role::Customer));
        let Some(Message::Open(open)) = rig.heard.pop() else { panic!() };
        assert!(open.capabilities.contains(&Capability::Role(Role::Customer)));
        rig.open(&theirs.map(Capability::Role).into_iter().collect::<Vec<_>>());
        let expected = if refused { "Open Message Error: Role Mismatch" } else { "Keepalive" };
        assert_eq!(rig.heard(), [expected], "{theirs:?}");
    }
}

#[test]
fn a_leaked_route_is_kept_and_not_used() {
    let mut rig = Rig::new(&[Capability::Role(Role::Customer)], with_role(Role::Provider));
    rig.announce(&["172.16.0.0/24"], |attributes| {
        attributes.rare.change(|rare| rare.only_to_customer = Some(65000));
    });
    rig.announce(&["172.16.1.0/24"], |_| ());
    let leak = rig.path("172.16.0.0/24").unwrap();
    assert_eq!(leak.ineligible.as_deref(), Some("it is a route leak: only to customers"));
    assert!(rig.path("172.16.1.0/24").is_some_and(|p| p.best));
}

#[test]
fn routes_are_marked_on_their_way_in_and_out() {
    let mut rig = Rig::new(&[Capability::Role(Role::Provider)], with_role(Role::Customer));
    rig.announce(&["172.16.1.0/24"], |_| ());
    assert!(rig.path("172.16.1.0/24").is_some_and(|p| p.best));
    let marks = |rig: &mut Rig| -> Vec<Option<u32>> {
        let updates = std::mem::take(&mut rig.heard).into_iter();
        let announced = updates.filter_map(|m| match m {
            Message::Update(update) => Some(update.announced),
            _ => None,
        });
        announced.flatten().map(|a| a.attributes.rare.only_to_customer).collect()
    };
    assert_eq!(marks(&mut rig), [None], "our own, to a provider");
    let mut rig = Rig::new(&[Capability::Role(Role::Peer)], with_role(Role::Peer));
    assert_eq!(marks(&mut rig), [Some(64512)], "our own, to a peer");
}

#[test]
fn who_stops_says_why_and_who_is_told_shows_it() {
    let mut rig = Rig::new(&[], |_| ());
    rig.heard();
    rig.speaker.handle_shutdown(rig.now, Departure::ForGood);
    rig.listen();
    assert_eq!(rig.heard(), ["Cease: Administrative Shutdown \"routelet is stopping\""]);
    let mut rig = Rig::new(&[], |_| ());
    let farewell = Notification::with_communication(Reason::ADMINISTRATIVE_SHUTDOWN, "back at four");
    rig.say(rig.codec.encode_notification(&farewell));
    let shown = rig.speaker.peers(rig.now).remove(0).last_error.unwrap();
    assert_eq!(shown, "peer sent NOTIFICATION Cease: Administrative Shutdown \"back at four\"");
    assert!(rig.notices.iter().any(|line| line.ends_with(&shown)), "{:?}", rig.notices);
}
