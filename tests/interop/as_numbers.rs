//! AS numbers past 65535 (RFC 6793), and posing as another AS.

use crate::joined::{ALL, await_joined, await_seen, check, joined, ours};
use crate::rig::Lab;
use crate::speaker::{Family, Setup, Speaker};
use crate::table::{Row, each, except};

pub const ROWS: &[Row] = &[
    each("AS numbers past 65535", four_octet),
    except(
        "AS_TRANS and AS4_PATH towards a two-octet speaker",
        as_trans,
        &[
            ("FRR over Ipv6", "`dont-capability-negotiate` leaves out all capabilities, and IPv6 is one"),
            ("GoBGP", "sends the four-octet capability in every OPEN and has no option against it"),
        ],
    ),
    each("they know us by another AS", local_as),
    except(
        "our AS in their paths: a loop, unless allowed",
        own_as,
        &[
            ("FRR", "has the third router's route and does not tell it to us, whose AS is in its path"),
            ("GoBGP", "has the third router's route and does not tell it to us, whose AS is in its path"),
        ],
    ),
    each("AS override: their own AS replaced by ours", as_override),
    each("private AS numbers removed", remove_private_as),
];

fn four_octet(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { asn: 70_000, our_asn: 70_001, ..Setup::new(family) }, "");
    check(&lab, "AS path", &lab.path(&lab.setup.routes[0]).unwrap()["asPath"], &"70000".into());
    check(&lab, "their AS path", &await_seen(&lab, &ours(family)).as_path, &"70001".to_owned());
}

/// They say nothing of four-octet numbers, so that the wire has 23456 for ours in OPEN and AS_PATH; the
/// number itself comes in AS4_PATH.
fn as_trans(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { our_asn: 70_001, two_octet: true, ..Setup::new(family) }, "");
    if lab.session()["capabilities"].to_string().contains("four-octet") {
        lab.fail("they say that they know four-octet AS numbers");
    }
    check(&lab, "AS path", &lab.path(&lab.setup.routes[0]).unwrap()["asPath"], &"65001".into());
    // FRR reads AS4_PATH only from a peer that has not said that it knows four-octet numbers.
    let expected = if speaker.name() == "FRR" { "23456" } else { "70001" };
    check(&lab, "their AS path", &await_seen(&lab, &ours(family)).as_path, &expected.to_owned());
}

fn local_as(speaker: &dyn Speaker, family: Family) {
    let setup = Setup { known_as: Some(64_999), ..Setup::new(family) };
    let lab = joined(speaker, setup, "localAs: {asn: 64999}");
    let path = || await_seen(&lab, &ours(family)).as_path;
    check(&lab, "their AS path", &path(), &"64999 64512".to_owned());
    lab.configure_us(&[ours(family)], "localAs: {asn: 64999, replaceAs: true}");
    lab.eventually("their AS path without our own AS", || {
        speaker.seen(&lab.them, &lab.setup, &ours(family)).is_some_and(|seen| seen.as_path == "64999")
    });
}

/// A third router of our AS is behind them: its routes come back to us with that AS in their path.
fn own_as(speaker: &dyn Speaker, family: Family) {
    let setup = Setup { third_is_theirs: true, ..Setup::new(family) };
    let their_asn = setup.asn;
    let lab = Lab::new(speaker, setup);
    let far = family.prefix(10, 0xfd10, 3);
    lab.start_us(&[ours(family)], "");
    lab.start_third_of(std::slice::from_ref(&far), 2, their_asn);
    lab.start_them();
    await_joined(&lab);
    lab.eventually("the third's path", || lab.session()["families"][0]["received"] == 2);
    check(&lab, "a path with our own AS", &lab.path(&far), &None);
    lab.configure_us(&[ours(family)], &format!("import: {{accept: {ALL}, allowOwnAs: 1}}"));
    lab.eventually("the third's route", || lab.path(&far).is_some() && lab.installed() == 2);
    check(&lab, "AS path", &lab.path(&far).unwrap()["asPath"], &"65001 64512".into());
}

/// What they are told of a route of a third router of another AS that is our peer.
fn through_us(speaker: &dyn Speaker, family: Family, third_asn: u32, more: &str) -> String {
    let lab = Lab::new(speaker, Setup { third_asn: Some(third_asn), ..Setup::new(family) });
    let far = family.prefix(10, 0xfd10, 3);
    lab.start_us(&[ours(family)], &format!("export: {{accept: {ALL}, {more}}}"));
    lab.start_third_of(std::slice::from_ref(&far), 1, lab.setup.our_asn);
    lab.start_them();
    await_joined(&lab);
    await_seen(&lab, &far).as_path
}

fn as_override(speaker: &dyn Speaker, family: Family) {
    assert_eq!(through_us(speaker, family, 65001, "asOverride: true"), "64512 64512");
}

fn remove_private_as(speaker: &dyn Speaker, family: Family) {
    assert_eq!(through_us(speaker, family, 64_600, "removePrivateAs: true"), "64512");
}
