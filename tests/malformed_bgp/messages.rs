//! Headers, OPEN, NOTIFICATION, KEEPALIVE, ROUTE-REFRESH (RFC 4271 §6.1, §6.2).

use routelet::bgp::Codec;

use crate::{check, external, message, with};

#[test]
fn headers() {
    let raw =
        |marker: u8, length: u16, kind: u8| [&[marker; 16], &length.to_be_bytes()[..], &[kind]].concat();
    check(
        &external(),
        vec![
            ("a header that is not all there", raw(0, 0, 0)[..18].to_vec(), "wait for more"),
            ("a body that is not all there", raw(0xff, 100, 1), "wait for more"),
            (
                "a marker of zeros",
                raw(0, 19, 4),
                "reset 1/1 []: the marker in the message header is not all ones \
                 (Message Header Error: Connection Not Synchronized)",
            ),
            (
                "a length below the header's",
                raw(0xff, 18, 4),
                "reset 1/2 [0, 18]: message length 18 is outside 19 to 4096 \
                 (Message Header Error: Bad Message Length)",
            ),
            (
                "a length above the limit, without waiting for the body",
                raw(0xff, 4097, 2),
                "reset 1/2 [16, 1]: message length 4097 is outside 19 to 4096 \
                 (Message Header Error: Bad Message Length)",
            ),
            (
                "an OPEN too short",
                raw(0xff, 28, 1),
                "reset 1/2 [0, 28]: Open message of 28 octets (Message Header Error: Bad Message Length)",
            ),
            (
                "an UPDATE too short",
                raw(0xff, 22, 2),
                "reset 1/2 [0, 22]: Update message of 22 octets (Message Header Error: Bad Message Length)",
            ),
            (
                "a NOTIFICATION too short",
                raw(0xff, 20, 3),
                "reset 1/2 [0, 20]: Notification message of 20 octets \
                 (Message Header Error: Bad Message Length)",
            ),
            (
                "a KEEPALIVE with a body",
                message(4, &[0]),
                "reset 1/2 [0, 20]: Keepalive message of 20 octets \
                 (Message Header Error: Bad Message Length)",
            ),
            (
                "a ROUTE-REFRESH with a filter",
                message(5, &[0, 1, 0, 1, 0]),
                "reset 1/2 [0, 24]: RouteRefresh message of 24 octets \
                 (Message Header Error: Bad Message Length)",
            ),
            (
                "an unknown type",
                message(6, &[1, 2, 3]),
                "reset 1/3 [6]: there is no message type 6 (Message Header Error: Bad Message Type)",
            ),
            ("a KEEPALIVE", message(4, &[]), "Keepalive"),
            ("a ROUTE-REFRESH", message(5, &[0, 2, 0, 1]), "RouteRefresh(Ipv6Unicast)"),
            ("a ROUTE-REFRESH for VPNv4", message(5, &[0, 1, 0, 128]), "RouteRefreshIgnored"),
            ("a ROUTE-REFRESH of a subtype", message(5, &[0, 1, 2, 1]), "RouteRefreshIgnored"),
        ],
    );
}

#[test]
fn enhanced_route_refresh() {
    check(
        &Codec { enhanced_refresh: true, ..external() },
        vec![
            ("a request", message(5, &[0, 1, 0, 1]), "RouteRefresh(Ipv4Unicast)"),
            ("a beginning", message(5, &[0, 1, 1, 1]), "BeginOfRefresh(Ipv4Unicast)"),
            ("an end", message(5, &[0, 2, 2, 1]), "EndOfRefresh(Ipv6Unicast)"),
            ("a subtype nobody knows", message(5, &[0, 1, 3, 1]), "RouteRefreshIgnored"),
            ("the reserved subtype", message(5, &[0, 1, 255, 1]), "RouteRefreshIgnored"),
            ("a beginning for VPNv4", message(5, &[0, 1, 1, 128]), "RouteRefreshIgnored"),
            (
                "a beginning too short, quoted whole",
                message(5, &[0, 1, 1]),
                "reset 7/1 [255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, \
                 0, 22, 5, 0, 1, 1]: RouteRefresh message of 22 octets \
                 (Route Refresh Message Error: Invalid Message Length)",
            ),
            (
                "a request too short",
                message(5, &[0, 1, 0]),
                "reset 1/2 [0, 22]: RouteRefresh message of 22 octets \
                 (Message Header Error: Bad Message Length)",
            ),
            (
                "nothing of it",
                message(5, &[]),
                "reset 1/2 [0, 19]: RouteRefresh message of 19 octets \
                 (Message Header Error: Bad Message Length)",
            ),
        ],
    );
}

#[test]
fn extended_messages() {
    // An unknown transitive attribute of 4,100 octets beside the sound ones.
    let long = with(&[&[0xd0, 99, 0x10, 4][..], &[0; 4100]].concat());
    check(
        &external(),
        vec![(
            "an UPDATE without the capability",
            long.clone(),
            "reset 1/2 [16, 55]: message length 4151 is outside 19 to 4096 \
             (Message Header Error: Bad Message Length)",
        )],
    );
    check(
        &Codec { extended_messages: true, ..external() },
        vec![
            ("an UPDATE", long, "announce [10.244.1.0/24]"),
            (
                "an OPEN is never extended",
                message(1, &[0; 4096]),
                "reset 1/2 [16, 19]: Open message of 4115 octets (Message Header Error: Bad Message Length)",
            ),
        ],
    );
}

/// AS 64512, hold time 90, 192.168.1.11, then what is given; the fields at the front replaced.
fn open(front: &[u8], parameters: &[u8]) -> Vec<u8> {
    let mut body = [4, 0xfc, 0, 0, 90, 192, 168, 1, 11];
    body[..front.len()].copy_from_slice(front);
    message(1, &[&body, parameters].concat())
}

#[test]
fn fields_of_open() {
    check(
        &external(),
        vec![
            (
                "version 3",
                open(&[3], &[0]),
                "reset 2/1 [0, 4]: BGP version 3, we speak 4 (Open Message Error: Unsupported Version Number)",
            ),
            ("AS 0", open(&[4, 0, 0], &[0]), "reset 2/2 []: AS 0 (Open Message Error: Bad Peer AS)"),
            (
                "hold time 2",
                open(&[4, 0xfc, 0, 0, 2], &[0]),
                "reset 2/6 []: hold time of 2 s; it must be 0 or at least 3 s \
                 (Open Message Error: Unacceptable Hold Time)",
            ),
            (
                "no identifier",
                open(&[4, 0xfc, 0, 0, 90, 0, 0, 0, 0], &[0]),
                "reset 2/3 []: BGP identifier 0.0.0.0 (Open Message Error: Bad BGP Identifier)",
            ),
            (
                "the authentication parameter of old",
                open(&[], &[3, 1, 1, 0]),
                "reset 2/4 []: optional parameter 1 is not supported \
                 (Open Message Error: Unsupported Optional Parameter)",
            ),
        ],
    );
}

#[test]
fn parameters_of_open() {
    check(
        &external(),
        vec![
            (
                "parameters shorter than announced",
                open(&[], &[4, 2, 0]),
                "reset 2/0 []: optional parameters of 4 octets announced, 2 present (Open Message Error)",
            ),
            (
                "a parameter past the end",
                open(&[], &[3, 2, 200, 1]),
                "reset 2/0 []: optional parameter 2 overruns the message, 1 octets before its end \
                 (Open Message Error)",
            ),
            (
                "an extended parameter past the end",
                open(&[], &[255, 255, 0, 4, 2, 1, 0, 2]),
                "reset 2/0 []: optional parameter 2 overruns the message, 1 octets before its end \
                 (Open Message Error)",
            ),
            (
                "a capability past the end",
                open(&[], &[4, 2, 2, 73, 9]),
                "reset 2/0 []: capability 73 of 9 octets, 0 octets before the end (Open Message Error)",
            ),
            (
                "a four-octet AS of no octets",
                open(&[], &[4, 2, 2, 65, 0]),
                "reset 2/0 []: four-octet AS capability of 0 octets instead of 4 (Open Message Error)",
            ),
            (
                "a four-octet AS of zero",
                open(&[], &[8, 2, 6, 65, 4, 0, 0, 0, 0]),
                "reset 2/2 []: AS 0 in the four-octet AS capability (Open Message Error: Bad Peer AS)",
            ),
            (
                "a host name that is no text, and lies about its length",
                open(&[], &[6, 2, 4, 73, 2, 200, 0xff]),
                "Open(Open { asn: 64512, hold_time: 90, router_id: 192.168.1.11, \
                 capabilities: [Unknown { code: 73, data: [200, 255] }] })",
            ),
        ],
    );
}

#[test]
fn notifications() {
    check(
        &external(),
        vec![
            ("no data", message(3, &[6, 4]), "closed by the peer: Cease: Administrative Reset"),
            (
                "a text of any length",
                message(3, b"\x06\x02\xffback soon\n"),
                "closed by the peer: Cease: Administrative Shutdown \"back soon\\n\"",
            ),
            (
                "codes nobody knows",
                message(3, &[77, 88, 99]),
                "closed by the peer: error code 77: subcode 88",
            ),
        ],
    );
}
