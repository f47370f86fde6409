//! AS numbers past 65535 (RFC 6793), and posing as another AS.

use crate::joined::{await_seen, check, joined, ours};
use crate::speaker::{Family, Setup, Speaker};
use crate::table::{Row, each, except};

pub const ROWS: &[Row] = &[
    each("AS numbers past 65535", four_octet),
    except(
        "AS_TRANS and AS4_PATH towards a two-octet speaker",
        as_trans,
        &[("GoBGP", "sends the four-octet capability in every OPEN and has no option against it")],
    ),
];

fn four_octet(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { asn: 70_000, our_asn: 70_001, ..Setup::new(family) }, "");
    check(&lab, "AS path", &lab.path(&lab.setup.routes[0]).unwrap()["asPath"], &"70000".into());
    check(&lab, "their AS path", &await_seen(&lab, &ours(family)).as_path, &"70001".to_owned());
}

/// They say nothing of four-octet numbers, so that the wire has 23456 for ours in OPEN and AS_PATH; the
/// number itself comes in AS4_PATH, which all of them read.
fn as_trans(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { our_asn: 70_001, two_octet: true, ..Setup::new(family) }, "");
    if lab.session()["capabilities"].to_string().contains("four-octet") {
        lab.fail("they say that they know four-octet AS numbers");
    }
    check(&lab, "AS path", &lab.path(&lab.setup.routes[0]).unwrap()["asPath"], &"65001".into());
    check(&lab, "their AS path", &await_seen(&lab, &ours(family)).as_path, &"70001".to_owned());
}
