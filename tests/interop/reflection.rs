//! Route reflection (RFC 4456), of either side.

use crate::joined::{await_joined, await_seen, check, ours};
use crate::rig::Lab;
use crate::speaker::{Family, Setup, Speaker};
use crate::table::{Row, each};

pub const ROWS: &[Row] =
    &[each("they reflect for us", they_reflect), each("we reflect for them", we_reflect)];

fn they_reflect(speaker: &dyn Speaker, family: Family) {
    let lab = Lab::new(speaker, Setup { reflector: true, ..Setup::internal(family) });
    let far = family.prefix(10, 0xfd10, 3);
    lab.start_us(&[ours(family)], "");
    lab.start_third(std::slice::from_ref(&far), 2);
    lab.start_them();
    await_joined(&lab);
    lab.eventually("the third's route", || lab.path(&far).is_some());
    let path = lab.path(&far).unwrap();
    check(&lab, "originator", &path["originatorId"], &"10.9.0.3".into());
    check(&lab, "cluster list", &path["clusterList"], &vec!["10.9.0.2"].into());
    check(&lab, "next hop", &path["nextHop"], &family.address(3).into());
}

fn we_reflect(speaker: &dyn Speaker, family: Family) {
    let lab = Lab::new(speaker, Setup::internal(family));
    let far = family.prefix(10, 0xfd10, 3);
    lab.start_us(&[ours(family)], "routeReflectorClient: true");
    lab.start_third(std::slice::from_ref(&far), 1);
    lab.start_them();
    await_joined(&lab);
    let seen = await_seen(&lab, &far);
    check(&lab, "their originator", &seen.originator, &Some("10.9.0.3".to_owned()));
    check(&lab, "their cluster list", &seen.clusters, &vec!["10.9.0.1".to_owned()]);
    check(&lab, "their next hop", &seen.next_hop, &family.address(3));
}
