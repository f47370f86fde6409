//! Two connections with one peer at once, forced (RFC 4271 §6.8): which one stays, whoever is the
//! greater and whichever OPEN comes first.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use routelet::bgp::header::{MAX_MESSAGE_LENGTH, message_length_within};
use routelet::bgp::{Capability, Codec, Message, Open};
use routelet::speaker::intent::RemoteAs;
use routelet::speaker::{Action, ConnectionId, Speaker};
use routelet::time::Instant;

use crate::plan::{Families, Plan};

const NOW: Instant = Instant::ORIGIN;
const CEASE: &str = "Cease: Connection Collision Resolution";

/// node1, which has dialled the ToR while the ToR has dialled node1. Both connections are in OpenSent.
struct Collision {
    speaker: Speaker,
    router_id: Ipv4Addr,
    asn: u32,
    outgoing: ConnectionId,
    incoming: ConnectionId,
    heard: BTreeMap<ConnectionId, Vec<String>>,
}

impl Collision {
    /// With a ToR of that AS, and an identifier that lies so far from ours.
    fn new(asn: u32, distance: i32) -> Collision {
        let mut intent = Plan::reference(Families::Ipv4).intent("node1");
        intent.peers.retain(|name, _| name == "tor");
        let tor = intent.peers.get_mut("tor").unwrap();
        tor.asn = RemoteAs::Exactly(asn);
        let remote = SocketAddr::new(tor.address, 40_000);
        let local = |port| SocketAddr::new([192, 168, 1, 11].into(), port);
        let router_id = Ipv4Addr::from(u32::from(intent.router_id).wrapping_add_signed(distance));
        let mut speaker = Speaker::new(1);
        speaker.handle_intent(NOW, intent);
        let dialled = std::iter::from_fn(|| speaker.poll_action()).find_map(|action| match action {
            Action::Dial { connection, .. } => Some(connection),
            _ => None,
        });
        let outgoing = dialled.unwrap();
        speaker.handle_connected(NOW, outgoing, local(40_000));
        let (incoming, _) = speaker.handle_accepted(NOW, local(179), remote).unwrap();
        let heard = BTreeMap::new();
        let mut collision = Collision { speaker, router_id, asn, outgoing, incoming, heard };
        collision.listen();
        assert_eq!(collision.heard(outgoing), ["OPEN"]);
        assert_eq!(collision.heard(incoming), ["OPEN"]);
        collision
    }

    fn open(&mut self, connection: ConnectionId) {
        let capabilities = vec![Capability::FourOctetAs(self.asn)];
        let open = Open { asn: self.asn, hold_time: 90, router_id: self.router_id, capabilities };
        self.say(connection, &Codec::initial().encode_open(&open));
    }

    fn say(&mut self, connection: ConnectionId, octets: &[u8]) {
        self.speaker.handle_frame(NOW, connection, Ok(octets));
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(action) = self.speaker.poll_action() {
            let (connection, words) = match action {
                Action::Send { connection, octets } => (connection, words(&octets)),
                Action::Close { connection } => (connection, vec!["closed".to_owned()]),
                _ => continue,
            };
            self.heard.entry(connection).or_default().extend(words);
        }
    }

    fn heard(&mut self, connection: ConnectionId) -> Vec<String> {
        self.heard.remove(&connection).unwrap_or_default()
    }

    /// Carries on with the connection that must have stayed, once the other must have gone.
    fn stays(&mut self, winner: ConnectionId, loser: ConnectionId) {
        assert_eq!(self.heard(loser), [CEASE, "closed"]);
        assert_eq!(self.heard(winner), ["KEEPALIVE"]);
        self.say(winner, &Codec::initial().encode_keepalive());
        let peer = self.speaker.peers(NOW).remove(0);
        assert_eq!((peer.state, peer.flaps), ("Established", 0));
    }
}

fn words(octets: &[u8]) -> Vec<String> {
    let (mut words, mut rest) = (vec![], octets);
    while let Ok(Some(length)) = message_length_within(MAX_MESSAGE_LENGTH, rest) {
        words.push(match Codec::initial().decode(&rest[..length]) {
            Ok(Message::Open(_)) => "OPEN".to_owned(),
            Ok(Message::Keepalive) => "KEEPALIVE".to_owned(),
            Ok(Message::Notification(notification)) => notification.to_string(),
            other => format!("{other:?}"),
        });
        rest = &rest[length..];
    }
    words
}

/// The ToR's AS, how far its identifier lies from ours, and whether its connection stays.
const CASES: [(u32, i32, bool); 6] = [
    (65_000, 1, true),
    (65_000, -1, false),
    // The identifier decides, whatever the AS.
    (64_000, 1, true),
    (64_000, -1, false),
    // RFC 6286 §2.3: between equal identifiers, which only differing ASes can have, the greater AS.
    (65_000, 0, true),
    (64_000, 0, false),
];

#[test]
fn the_connection_of_the_greater_side_stays_whichever_open_comes_first() {
    for (asn, distance, theirs) in CASES {
        for incoming_first in [true, false] {
            let mut collision = Collision::new(asn, distance);
            let (outgoing, incoming) = (collision.outgoing, collision.incoming);
            let order = if incoming_first { [incoming, outgoing] } else { [outgoing, incoming] };
            for connection in order {
                collision.open(connection);
            }
            let (winner, loser) = if theirs { (incoming, outgoing) } else { (outgoing, incoming) };
            collision.stays(winner, loser);
        }
    }
}

#[test]
fn an_established_session_outlives_any_other_connection() {
    for (asn, distance, _) in CASES {
        let mut collision = Collision::new(asn, distance);
        let (outgoing, incoming) = (collision.outgoing, collision.incoming);
        // The ToR gives its own connection up, as it may at any time.
        collision.speaker.handle_closed(NOW, incoming, "the peer closed the connection");
        collision.listen();
        collision.heard(incoming);
        collision.open(outgoing);
        assert_eq!(collision.heard(outgoing), ["KEEPALIVE"]);
        collision.say(outgoing, &Codec::initial().encode_keepalive());
        collision.heard(outgoing);

        let remote = SocketAddr::new(collision.speaker.peers(NOW)[0].address, 40_001);
        let local = SocketAddr::new([192, 168, 1, 11].into(), 179);
        let (late, _) = collision.speaker.handle_accepted(NOW, local, remote).unwrap();
        collision.listen();
        collision.open(late);
        assert_eq!(collision.heard(late), ["OPEN", CEASE, "closed"]);
        assert_eq!(collision.heard(outgoing), [""; 0]);
        assert_eq!(collision.speaker.peers(NOW)[0].state, "Established");
    }
}

#[test]
fn an_equal_identifier_inside_an_as_is_no_collision_but_an_error() {
    let mut collision = Collision::new(64_512, 0);
    let (outgoing, incoming) = (collision.outgoing, collision.incoming);
    collision.open(incoming);
    assert!(collision.heard(incoming).contains(&"Open Message Error: Bad BGP Identifier".to_owned()));
    collision.open(outgoing);
    let refused = collision.heard(outgoing);
    assert!(refused.iter().all(|words| words != "KEEPALIVE"), "{refused:?}");
}
