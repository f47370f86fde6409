//! Peers that are told the same, played by the test over one speaker: what one hears of another, and what
//! becomes of one that does not read.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use routelet::bgp::header::{MAX_EXTENDED_LENGTH, message_length_within};
use routelet::bgp::{AsPath, Capability, Codec, Community, Message, Open, PathAttributes};
use routelet::prefix::{Family, Prefix};
use routelet::speaker::intent::{Intent, PeerIntent, PeerOrigin, Policy, PrefixRule, RangeIntent, RemoteAs};
use routelet::speaker::{Action, ConnectionId, Speaker};
use routelet::time::Instant;

use crate::plan::{Families, Plan};

/// node1 of the reference cluster with a range in place of its peers.
struct Rig {
    speaker: Speaker,
    codec: Codec,
    players: BTreeMap<ConnectionId, Player>,
}

/// One peer.
#[derive(Default)]
struct Player {
    /// Its socket takes nothing.
    stalled: bool,
    /// Octets that it has not taken.
    unsent: usize,
    /// What it has been told: the last community of each prefix.
    told: BTreeMap<Prefix, u32>,
    /// UPDATEs, and octets of any message.
    updates: usize,
    octets: usize,
    /// Where the last octets lay.
    copy: Option<*const u8>,
}

const NOW: Instant = Instant::ORIGIN;

impl Rig {
    fn new() -> Rig {
        let mut speaker = Speaker::new(1);
        speaker.handle_underlay(NOW, Plan::underlay());
        speaker.handle_intent(NOW, Rig::intent());
        let codec = Codec { external: true, families: vec![Family::Ipv4Unicast], ..Codec::initial() };
        Rig { speaker, codec: Codec { four_octet_as: true, ..codec }, players: BTreeMap::new() }
    }

    fn intent() -> Intent {
        let mut intent = Plan::reference(Families::Ipv4).intent("node1");
        let all = Policy::accepting([PrefixRule::within("10.0.0.0/8".parse().unwrap())]);
        let template = PeerIntent {
            origin: PeerOrigin::Dynamic,
            asn: RemoteAs::External,
            source: None,
            passive: true,
            import: all.clone(),
            export: all,
            ..intent.peers["tor"].clone()
        };
        intent.peers.clear();
        let range = "192.168.1.0/24".parse().unwrap();
        intent.ranges.insert("lab".to_owned(), RangeIntent { range, limit: 100, template });
        intent
    }

    /// A peer that brings its session up.
    fn establish(&mut self, host: u8) -> ConnectionId {
        let local = SocketAddr::from(([192, 168, 1, 11], 179));
        let remote = SocketAddr::from(([192, 168, 1, host], 40_000));
        let (connection, _) = self.speaker.handle_accepted(NOW, local, remote).unwrap();
        self.players.insert(connection, Player::default());
        let capabilities = vec![Capability::FourOctetAs(65000), Capability::RouteRefresh];
        let open = Open { asn: 65000, hold_time: 90, router_id: [192, 0, 2, host].into(), capabilities };
        self.say(connection, &Codec::initial().encode_open(&open));
        self.say(connection, &self.codec.encode_keepalive());
        connection
    }

    fn say(&mut self, connection: ConnectionId, octets: &[u8]) {
        let mut rest = octets;
        while let Ok(Some(length)) = message_length_within(MAX_EXTENDED_LENGTH, rest) {
            self.speaker.handle_frame(NOW, connection, Ok(&rest[..length]));
            rest = &rest[length..];
        }
        self.listen();
    }

    /// Announces prefixes with a community, each with attributes of its own of about so many octets.
    fn announce(&mut self, by: ConnectionId, prefixes: u8, community: u32, size: u32) {
        let mut octets = vec![];
        for i in 0..prefixes {
            let path = std::iter::once(65000).chain((0..size / 4).map(|hop| 70_000 + hop + u32::from(i)));
            let attributes = PathAttributes {
                as_path: AsPath::sequence(path.collect::<Vec<u32>>()),
                communities: vec![Community(community)].into(),
                ..PathAttributes::originated("192.168.1.1".parse().unwrap())
            };
            assert!(self.codec.encode_announcements(&attributes, &[prefix(i)], &mut octets) > 0);
        }
        self.say(by, &octets);
    }

    fn withdraw(&mut self, by: ConnectionId, of: u8) {
        let mut octets = vec![];
        self.codec.encode_withdrawals(&[prefix(of)], &mut octets);
        self.say(by, &octets);
    }

    fn listen(&mut self) {
        while let Some(action) = self.speaker.poll_action() {
            let Action::Send { connection, octets } = action else { continue };
            let player = self.players.get_mut(&connection).unwrap();
            player.copy = Some(octets.as_ptr());
            player.octets += octets.len();
            let mut rest = &octets[..];
            while let Ok(Some(length)) = message_length_within(MAX_EXTENDED_LENGTH, rest) {
                if let Ok(Message::Update(update)) = self.codec.decode(&rest[..length]) {
                    player.updates += 1;
                    player.hear(&update);
                }
                rest = &rest[length..];
            }
            match player.stalled {
                true => player.unsent += octets.len(),
                false => self.speaker.handle_sent(NOW, connection, octets.len()),
            }
        }
    }

    /// Lets a peer read what it has not.
    fn read(&mut self, id: ConnectionId) {
        let player = self.players.get_mut(&id).unwrap();
        player.stalled = false;
        let unsent = std::mem::take(&mut player.unsent);
        self.speaker.handle_sent(NOW, id, unsent);
        self.listen();
    }

    fn player(&self, id: ConnectionId) -> &Player {
        &self.players[&id]
    }

    fn stall(&mut self, id: ConnectionId) {
        self.players.get_mut(&id).unwrap().stalled = true;
    }
}

impl Player {
    fn hear(&mut self, update: &routelet::bgp::Update) {
        for gone in &update.withdrawn {
            assert!(self.told.remove(gone).is_some(), "{gone} was not known");
        }
        for announced in &update.announced {
            let community = announced.attributes.communities.first().map_or(0, |community| community.0);
            self.told.extend(announced.prefixes.iter().map(|prefix| (*prefix, community)));
        }
    }
}

fn prefix(i: u8) -> Prefix {
    Prefix::new([10, 99, i, 0].into(), 24).unwrap()
}

#[test]
fn peers_alike_are_sent_one_copy_and_nobody_what_it_has_said() {
    let mut rig = Rig::new();
    let [a, b, c, d] = [51, 52, 53, 54].map(|host| rig.establish(host));
    rig.announce(a, 3, 1, 8);
    assert!([b, c, d].iter().all(|id| rig.player(*id).told.len() == 3));
    assert!(rig.player(a).told.is_empty());
    assert_eq!(rig.player(b).copy, rig.player(c).copy);
    // Another path, which is chosen: its author hears that the other is gone, whose author hears of it.
    rig.announce(b, 1, 2, 4);
    assert_eq!((rig.player(a).told[&prefix(0)], rig.player(c).told[&prefix(0)]), (2, 2));
    assert_eq!(rig.player(b).told.len(), 2);
    rig.withdraw(b, 0);
    assert_eq!((rig.player(a).told.len(), rig.player(b).told[&prefix(0)]), (0, 1));
    // Who comes later hears all of it.
    let late = rig.establish(55);
    assert_eq!(rig.player(late).told.len(), 3);
    rig.announce(a, 3, 7, 8);
    assert_eq!(rig.player(late).copy, rig.player(c).copy, "it is in step with the others");
    rig.withdraw(a, 1);
    let told = rig.player(c).told.clone();
    assert!(told.len() == 2 && [b, d, late].iter().all(|id| rig.player(*id).told == told));
}

#[test]
fn a_peer_that_does_not_read_holds_nobody_and_fills_no_memory() {
    const ROUNDS: u32 = 150;
    let mut rig = Rig::new();
    let [sender, slow, fast] = [51, 52, 53].map(|host| rig.establish(host));
    rig.stall(slow);
    for round in 1..=ROUNDS {
        rig.announce(sender, 60, round, 1000);
        assert!(rig.player(fast).told.values().all(|community| *community == round));
    }
    assert!(rig.player(fast).updates >= 60 * ROUNDS as usize, "every state of each");
    let (unsent, heard) = (rig.player(slow).unsent, rig.player(slow).updates);
    assert!(unsent < 5 << 20 && rig.player(fast).octets > 8 << 20, "{unsent}");
    rig.withdraw(sender, 0);
    rig.read(slow);
    assert!(rig.player(slow).updates - heard <= 61, "the latest alone");
    let told = rig.player(fast).told.clone();
    assert!(told.len() == 59 && rig.player(slow).told == told);
    rig.announce(sender, 60, ROUNDS + 1, 1000);
    assert_eq!(rig.player(slow).copy, rig.player(fast).copy, "it is in step again");
    assert_eq!(rig.player(slow).told, rig.player(fast).told);
}

#[test]
fn a_place_is_given_back_once_if_who_held_it_leaves_while_it_is_dirty() {
    let mut rig = Rig::new();
    let [sender, slow] = [51, 52].map(|host| rig.establish(host));
    rig.stall(slow);
    // So much that the socket takes no more; the last place is held by a withdrawal that waits.
    let mut round = 0;
    while rig.player(slow).unsent <= 256 * 1024 {
        round += 1;
        rig.announce(sender, 60, round, 1000);
    }
    // It is told by itself from here on, as it reads.
    let refresh = rig.codec.encode_route_refresh(Family::Ipv4Unicast);
    rig.say(slow, &refresh);
    rig.withdraw(sender, 59);
    assert!(rig.player(slow).told.contains_key(&prefix(59)), "it waits");
    let mut flap = vec![];
    let attributes = PathAttributes {
        as_path: AsPath::sequence([65000]),
        ..PathAttributes::originated("192.168.1.1".parse().unwrap())
    };
    rig.codec.encode_announcements(&attributes, &[prefix(59)], &mut flap);
    let announced = flap.len();
    rig.codec.encode_withdrawals(&[prefix(59)], &mut flap);
    for frame in [&flap[..announced], &flap[announced..]] {
        rig.speaker.handle_frame(NOW, sender, Ok(frame));
    }
    rig.speaker.handle_closed(NOW, slow, "gone");
    rig.listen();
    let late = rig.establish(53);
    assert_eq!(rig.player(late).told.len(), 59);
}

#[test]
fn peers_that_are_configured_one_after_the_other_are_one_group_in_the_end() {
    let mut rig = Rig::new();
    let mut intent = Rig::intent();
    let template = intent.ranges["lab"].template.clone();
    for host in [61, 62, 63] {
        let address = [192, 168, 1, host].into();
        let peer = PeerIntent { origin: PeerOrigin::Configured, address, ..template.clone() };
        intent.peers.insert(format!("tor{host}"), peer);
    }
    rig.speaker.handle_intent(NOW, intent.clone());
    let sender = rig.establish(51);
    let [a, b, c] = [61, 62, 63].map(|host| rig.establish(host));
    rig.announce(sender, 20, 1, 8);
    assert_eq!(rig.player(a).copy, rig.player(b).copy);
    for name in ["tor61", "tor62", "tor63"] {
        intent.peers.get_mut(name).unwrap().export_communities = vec![7];
        rig.speaker.handle_intent(NOW, intent.clone());
        rig.listen();
        rig.announce(sender, 20, 2 + rig.player(a).updates as u32, 8);
        let copy = rig.player(c).copy;
        assert_eq!(rig.player(a).copy == copy, name == "tor63", "they are told the same, or not");
    }
    assert_eq!(rig.player(a).copy, rig.player(b).copy);
    assert!([a, b, c].iter().all(|id| rig.player(*id).told.len() == 20));
    rig.withdraw(sender, 0);
    assert!([a, b, c].iter().all(|id| rig.player(*id).told.len() == 19));
}
