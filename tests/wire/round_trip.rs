//! What is encoded is decoded unchanged.

use proptest::collection::vec;
use proptest::prelude::*;
use routelet::bgp::capability::{AddPath, AddPathFamily, GracefulRestart, NextHopFamily, RestartFamily};
use routelet::bgp::{Capability, Codec, Message, Open, PathAttributes, PathId, PathNlri, Role};
use routelet::prefix::{Family, Prefix};

use crate::strategies::{attributes, family, prefix};
use crate::{announced, decode_stream, internal, updates, withdrawn};

/// Prefixes with attributes whose next hop is of their family, or else, where the codec permits it, of
/// either.
fn announcement() -> impl Strategy<Value = (Codec, PathAttributes, Vec<Prefix>)> {
    (any::<(bool, bool)>(), family(), family()).prop_flat_map(|((four_octet_as, extended), one, other)| {
        let next_hop = if extended && one == Family::Ipv4Unicast { other } else { one };
        let codec = Codec { extended_next_hop: extended, ..internal(four_octet_as) };
        (Just(codec), attributes(next_hop), vec(prefix(one), 1..1200))
    })
}

fn capability() -> impl Strategy<Value = Capability> {
    prop_oneof![
        family().prop_map(Capability::Multiprotocol),
        (3..u16::MAX, any::<u8>()).prop_map(|(afi, safi)| Capability::MultiprotocolOther { afi, safi }),
        Just(Capability::RouteRefresh),
        Just(Capability::ExtendedMessage),
        Just(Capability::EnhancedRouteRefresh),
        prop::sample::select(&Role::ALL[..]).prop_map(Capability::Role),
        vec(any::<(u16, u16, u16)>(), 0..9).prop_map(|families| {
            let one = |(afi, safi, next_hop_afi)| NextHopFamily { afi, safi, next_hop_afi };
            Capability::ExtendedNextHop(families.into_iter().map(one).collect())
        }),
        vec(any::<(u16, u8)>().prop_flat_map(|(afi, safi)| (Just(afi), Just(safi), 0..3_usize)), 0..9)
            .prop_map(add_path),
        graceful_restart().prop_map(Capability::GracefulRestart),
        ("[^0]{0,20}", "[a-z.]{0,40}").prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        (74..=255_u8, vec(any::<u8>(), 0..=255)).prop_map(|(code, data)| Capability::Unknown { code, data }),
    ]
}

fn add_path(families: Vec<(u16, u8, usize)>) -> Capability {
    let all = [(true, false), (false, true), (true, true)];
    let one = |(afi, safi, which): (u16, u8, usize)| {
        let (receive, send) = all[which];
        AddPathFamily { afi, safi, directions: AddPath { receive, send } }
    };
    Capability::AddPath(families.into_iter().map(one).collect())
}

fn graceful_restart() -> impl Strategy<Value = GracefulRestart> {
    let family = any::<(u16, u8, bool)>();
    let families =
        vec(family.prop_map(|(afi, safi, forwarding)| RestartFamily { afi, safi, forwarding }), 0..9);
    (any::<(bool, bool)>(), 0..4096_u16, families).prop_map(
        |((restarting, notification), restart_time, families)| GracefulRestart {
            restarting,
            notification,
            restart_time,
            families,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn announcements((codec, attributes, prefixes) in announcement()) {
        let mut out = vec![];
        let count = codec.encode_announcements(&attributes, &prefixes, &mut out);
        if count == 0 {
            // Only what is truly large may fail to fit.
            let size = attributes.as_path.asns().count();
            prop_assert!(size > 100 && out.is_empty());
            return Ok(());
        }
        let updates = updates(&codec, &out);
        prop_assert_eq!(updates.len(), count);
        prop_assert_eq!(announced(&updates), prefixes);
        for update in updates {
            prop_assert!(update.faults.is_empty(), "{:?}", update.faults);
            prop_assert!(update.withdrawn.is_empty() && update.end_of_rib.is_none());
            prop_assert_eq!(&update.announced[0].attributes, &attributes);
        }
    }

    #[test]
    fn paths_with_identifiers(
        (codec, attributes, prefixes) in announcement(),
        ids in vec(any::<u32>(), 1200),
    ) {
        let codec = Codec { add_path: [AddPath { receive: true, send: true }; 2], ..codec };
        let path = |(prefix, id): (&Prefix, &u32)| PathNlri { prefix: *prefix, id: PathId(*id) };
        let paths: Vec<PathNlri> = prefixes.iter().zip(&ids).map(path).collect();
        let (mut announcements, mut withdrawals) = (vec![], vec![]);
        let count = codec.encode_announcements(&attributes, &paths, &mut announcements);
        prop_assert!(codec.encode_withdrawals(&paths, &mut withdrawals) > 0);
        let updates_of = |octets: &[u8]| updates(&codec, octets);
        if count > 0 {
            let announced = updates_of(&announcements).into_iter().flat_map(|u| u.announced);
            let announced: Vec<PathNlri> = announced.flat_map(|a| {
                assert!(a.prefixes.is_empty() && a.attributes == attributes);
                a.paths
            }).collect();
            prop_assert_eq!(&announced, &paths);
        }
        let withdrawn = updates_of(&withdrawals).into_iter().flat_map(|u| u.withdrawn_paths);
        prop_assert_eq!(withdrawn.collect::<Vec<_>>(), paths);
    }

    #[test]
    fn withdrawals(prefixes in family().prop_flat_map(|family| vec(prefix(family), 1..2500))) {
        let codec = internal(true);
        let mut out = vec![];
        let count = codec.encode_withdrawals(&prefixes, &mut out);
        let updates = updates(&codec, &out);
        prop_assert_eq!(updates.len(), count);
        prop_assert_eq!(withdrawn(&updates), prefixes);
        for update in updates {
            prop_assert!(update.announced.is_empty() && update.faults.is_empty() && update.end_of_rib.is_none());
        }
    }

    #[test]
    fn opens(
        asn in 1..=u32::MAX,
        hold_time in prop_oneof![Just(0_u16), 3..=u16::MAX],
        router_id in 1..=u32::MAX,
        mut capabilities in vec(capability(), 0..12),
    ) {
        if asn > 65535 {
            capabilities.push(Capability::FourOctetAs(asn));
        }
        let open = Open { asn, hold_time, router_id: router_id.into(), capabilities };
        let messages = decode_stream(&internal(true), &internal(true).encode_open(&open)).unwrap();
        prop_assert_eq!(messages, [Message::Open(open)]);
    }
}

#[test]
fn end_of_rib() {
    for family in Family::ALL {
        let mut out = vec![];
        internal(true).encode_end_of_rib(family, &mut out);
        let updates = updates(&internal(true), &out);
        assert_eq!(updates.len(), 1);
        assert_eq!(updates[0].end_of_rib, Some(family));
    }
}
