//! AS numbers past 65535 (RFC 6793), and posing as another AS.

use crate::joined::{await_seen, check, joined, ours};
use crate::speaker::{Family, Setup, Speaker};
use crate::table::{Row, each, except};

pub const ROWS: &[Row] = &[
    each("AS numbers past 65535", four_octet),
    except(
        "AS_TRANS towards a two-octet speaker",
        as_trans,
        &[
            ("FRR", "compares our four-octet number even when it sends no capability (Bad Peer AS)"),
            ("BIRD", "compares our four-octet number even with `enable as4 off` (Bad Peer AS)"),
            ("GoBGP", "always says that it knows four-octet AS numbers"),
            ("OpenBGPD", "refuses a peer of AS 23456 (\"AS 23456 is reserved and may not be used\")"),
        ],
    ),
];

fn four_octet(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { asn: 70_000, our_asn: 70_001, ..Setup::new(family) }, "");
    check(&lab, "AS path", &lab.path(&lab.setup.routes[0]).unwrap()["asPath"], &"70000".into());
    check(&lab, "their AS path", &await_seen(&lab, &ours(family)).as_path, &"70001".to_owned());
}

fn as_trans(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { our_asn: 70_001, two_octet: true, ..Setup::new(family) }, "");
    check(&lab, "AS path", &lab.path(&lab.setup.routes[0]).unwrap()["asPath"], &"65001".into());
    check(&lab, "their AS path", &await_seen(&lab, &ours(family)).as_path, &"23456".to_owned());
}
