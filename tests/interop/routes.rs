//! Routes both ways: attributes, withdrawal, large tables, End-of-RIB.

use crate::joined::{await_seen, check, joined, ours};
use crate::rig::Lab;
use crate::speaker::{Family, Setup, Speaker, THEIR_COMMUNITY, THEIR_LOCAL_PREF, THEIR_MED};
use crate::table::{Row, each, except};

/// Prefixes of their large table.
const MANY: usize = 20_000;
/// Prefixes of ours: pod CIDRs of one node, which has few as a rule.
const MANY_PODS: usize = 1_000;

pub const ROWS: &[Row] = &[
    each("external: routes both ways, attributes, withdrawal", external),
    each("internal: local preference both ways, empty AS path", internal),
    except(
        "20,000 of their prefixes, and 1,000 of ours meanwhile",
        large_table,
        &[(
            "GoBGP over Ipv6",
            "`mrt inject`, the one way to give it many at once, brought in none of an IPv6 dump",
        )],
    ),
    each("1,000 prefixes of ours", many_of_ours),
    except("our End-of-RIB", our_end_of_rib, &[("BIRD", "does not show whether End-of-RIB came")]),
    except(
        "their End-of-RIB",
        their_end_of_rib,
        &[("GoBGP", "sends none unless graceful restart is configured, which RFC 4724 allows")],
    ),
];

fn external(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    let theirs = lab.setup.routes[0].clone();
    let path = lab.path(&theirs).unwrap();
    check(&lab, "AS path", &path["asPath"], &"65001".into());
    check(&lab, "MED", &path["med"], &THEIR_MED.into());
    check(&lab, "communities", &path["communities"], &vec![THEIR_COMMUNITY].into());
    check(&lab, "next hop", &path["nextHop"], &family.address(2).into());
    let seen = await_seen(&lab, &ours(family));
    check(&lab, "their AS path", &seen.as_path, &"64512".to_owned());
    check(&lab, "their communities", &seen.communities, &vec!["64512:100".to_owned()]);
    check(&lab, "their next hop", &seen.next_hop, &family.address(1));

    speaker.withdraw(&lab.them, &lab.setup, &theirs);
    lab.eventually("their route gone", || lab.installed() == 0 && lab.path(&theirs).is_none());
    lab.configure_us(&[family.prefix(10, 0xfd10, 7)], "");
    await_seen(&lab, &family.prefix(10, 0xfd10, 7));
    lab.eventually("our route gone", || speaker.seen(&lab.them, &lab.setup, &ours(family)).is_none());
}

fn internal(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::internal(family), "");
    let path = lab.path(&lab.setup.routes[0]).unwrap();
    check(&lab, "AS path", &path["asPath"], &"".into());
    check(&lab, "local preference", &path["localPref"], &THEIR_LOCAL_PREF.into());
    let seen = await_seen(&lab, &ours(family));
    check(&lab, "their AS path", &seen.as_path, &String::new());
    check(&lab, "their local preference", &seen.local_pref, &Some(100));
    check(&lab, "their next hop", &seen.next_hop, &family.address(1));
}

fn our_many(family: Family) -> Vec<String> {
    (0..MANY_PODS).map(|i| family.prefix(10, 0xfd10, i)).collect()
}

fn large_table(speaker: &dyn Speaker, family: Family) {
    let theirs = (0..MANY).map(|i| family.prefix(20 + u8::try_from(i >> 16).unwrap(), 0x2020, i)).collect();
    let lab = Lab::new(speaker, Setup { routes: theirs, ..Setup::new(family) });
    lab.start_us(&our_many(family), "");
    lab.start_them();
    lab.await_established();
    lab.eventually("all ours in their table", || speaker.count(&lab.them, &lab.setup) >= MANY_PODS);
    lab.eventually("all theirs in our kernel", || lab.installed() == lab.setup.routes.len());
    check(&lab, "accepted", &lab.session()["families"][0]["accepted"], &MANY.into());
}

fn many_of_ours(speaker: &dyn Speaker, family: Family) {
    let lab = Lab::new(speaker, Setup::new(family));
    lab.start_us(&our_many(family), "");
    lab.start_them();
    lab.await_established();
    lab.eventually("all ours in their table", || speaker.count(&lab.them, &lab.setup) >= MANY_PODS);
}

fn our_end_of_rib(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    lab.eventually("our End-of-RIB", || speaker.end_of_rib(&lab.them, &lab.setup) == Some(true));
}

fn their_end_of_rib(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    lab.eventually("their End-of-RIB", || lab.session()["families"][0]["endOfRib"] == true);
}
