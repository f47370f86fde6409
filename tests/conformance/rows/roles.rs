//! Roles and ONLY_TO_CUSTOMER (RFC 9234).

use super::Expect::{self, Lacks, Withdrawn};
use super::{Place, Row, Stage, carries, reset};
use crate::peer::{open, parameters};
use crate::side::{AS4, IPV4, Side};

pub fn rows(place: Place) -> Vec<Row> {
    let (of_peer, of_other) = ([0xc0, 35, 4, 0, 0, 0xfd, 0xe8], [0xc0, 35, 4, 0, 0, 0, 9]);
    let unknown = [0xc0, 99, 0];
    let table: Vec<(Side, &'static str, &'static str, &[u8], Expect)> = vec![
        (Side::External, "ONLY_TO_CUSTOMER of two octets", "RFC 9234 §5", &[0xc0, 35, 2, 0, 1], Withdrawn),
        (Side::External, "ONLY_TO_CUSTOMER of no octets", "RFC 9234 §5", &[0xc0, 35, 0], Withdrawn),
        (
            Side::External,
            "ONLY_TO_CUSTOMER of eight",
            "RFC 9234 §5",
            &[0xc0, 35, 8, 0, 0, 0, 1, 0, 0, 0, 2],
            Withdrawn,
        ),
        (
            Side::External,
            "ONLY_TO_CUSTOMER not transitive",
            "RFC 7606 §3 c",
            &[0x80, 35, 4, 0, 0, 0, 9],
            Withdrawn,
        ),
        (Side::External, "ONLY_TO_CUSTOMER without roles", "RFC 9234 §5", &of_other, carries(&of_other)),
        (Side::External, "no role, no mark", "RFC 9234 §5", &unknown, Lacks(35)),
        (Side::OurProvider, "a provider's route is marked", "RFC 9234 §5", &unknown, carries(&of_peer)),
        (Side::OurProvider, "a provider's mark stays", "RFC 9234 §5", &of_other, carries(&of_other)),
        (Side::OurCustomer, "a customer's route is not marked", "RFC 9234 §5", &unknown, Lacks(35)),
        (Side::OurCustomer, "a customer's marked route is a leak", "RFC 9234 §5", &of_other, Withdrawn),
        (Side::OurCustomer, "even marked by itself", "RFC 9234 §5", &of_peer, Withdrawn),
        (Side::Lateral, "a peer's route is marked", "RFC 9234 §5", &unknown, carries(&of_peer)),
        (Side::Lateral, "a peer's own mark stays", "RFC 9234 §5", &of_peer, carries(&of_peer)),
        (Side::Lateral, "another's mark from a peer is a leak", "RFC 9234 §5", &of_other, Withdrawn),
    ];
    let mut rows: Vec<Row> = table
        .into_iter()
        .map(|(side, what, rfc, given, expect)| place.with_attribute(side, (what, rfc), given, expect))
        .collect();
    let mismatch = |what, roles: &[u8]| {
        let capabilities = [&IPV4[..], &AS4, roles].concat();
        let octets = open(65000, place.address, 90, &parameters(&capabilities));
        let row = place.row(Side::OurProvider, (what, "RFC 9234 §4.2"), octets, reset(2, 11, &[]));
        Row { stage: Stage::OpenSent, ..row }
    };
    rows.extend([
        mismatch("two customers", &[9, 1, 3]),
        mismatch("a customer of a lateral peer", &[9, 1, 4]),
        mismatch("two roles that differ", &[9, 1, 0, 9, 1, 4]),
        mismatch("a role that nobody knows", &[9, 1, 77]),
    ]);
    rows
}
