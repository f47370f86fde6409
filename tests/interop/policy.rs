//! Attributes and policy: what passes us unchanged, and what changes without a reset.

use crate::joined::{ALL, await_joined, await_seen, check, joined, ours};
use crate::rig::Lab;
use crate::speaker::{
    Family, Setup, Speaker, THEIR_COMMUNITY, THEIR_LARGE_COMMUNITY, THEIR_MED, THEIR_ROUTE_TARGET,
};
use crate::table::{Row, each};

pub const ROWS: &[Row] = &[
    each("communities of all kinds and MED pass us unchanged", unchanged),
    each("they change a MED: no reset", their_change),
    each("we change policy both ways: no reset", our_change),
    each("GRACEFUL_SHUTDOWN both ways", graceful_shutdown),
];

fn unchanged(speaker: &dyn Speaker, family: Family) {
    let setup = Setup::new(family);
    let lab = Lab::new(speaker, Setup { third_asn: Some(setup.our_asn), ..setup });
    lab.start_us(&[ours(family)], "");
    lab.start_third(&[family.prefix(10, 0xfd10, 3)], 1);
    lab.start_them();
    await_joined(&lab);
    let theirs = lab.setup.routes[0].clone();
    lab.eventually("their route at the third", || lab.third_path(&theirs).is_some());
    let path = lab.third_path(&theirs).unwrap();
    check(&lab, "AS path", &path["asPath"], &"65001".into());
    check(&lab, "MED", &path["med"], &THEIR_MED.into());
    // Ours is put in among them in order.
    check(&lab, "communities", &path["communities"], &vec!["64512:100", THEIR_COMMUNITY].into());
    check(&lab, "large communities", &path["largeCommunities"], &vec![THEIR_LARGE_COMMUNITY].into());
    check(&lab, "extended communities", &path["extendedCommunities"], &vec![THEIR_ROUTE_TARGET].into());
}

fn their_change(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    speaker.announce_again(&lab.them, &lab.setup, THEIR_MED + 10);
    let theirs = &lab.setup.routes[0];
    lab.eventually("the new MED", || lab.path(theirs).is_some_and(|path| path["med"] == THEIR_MED + 10));
    check(&lab, "flaps", &lab.flaps(), &0);
}

fn our_change(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    lab.configure_us(&[ours(family)], "import: {accept: []}");
    lab.eventually("nothing accepted", || lab.path(&lab.setup.routes[0]).is_none() && lab.installed() == 0);
    lab.configure_us(&[ours(family)], &format!("export: {{accept: {ALL}, communities: [\"64512:200\"]}}"));
    lab.eventually("their route again", || lab.installed() == 1);
    lab.eventually("our new community", || {
        let seen = speaker.seen(&lab.them, &lab.setup, &ours(family));
        seen.is_some_and(|seen| seen.communities == ["64512:200"])
    });
    lab.configure_us(&[ours(family)], "export: {accept: []}");
    lab.eventually("our route gone", || speaker.seen(&lab.them, &lab.setup, &ours(family)).is_none());
    check(&lab, "flaps", &lab.flaps(), &0);
}

fn graceful_shutdown(speaker: &dyn Speaker, family: Family) {
    let setup = Setup { graceful_shutdown: true, ..Setup::new(family) };
    let lab = joined(speaker, setup, &format!("export: {{accept: {ALL}, communities: [\"65535:0\"]}}"));
    let path = lab.path(&lab.setup.routes[0]).unwrap();
    // Shown beside what was received.
    check(&lab, "local preference", &path["changed"]["localPref"], &0.into());
    let seen = await_seen(&lab, &ours(family)).communities;
    let named = |text: &String| text == "65535:0" || text.to_lowercase().starts_with("graceful");
    if !seen.iter().any(named) {
        lab.fail(&format!("our community did not arrive: {seen:?}"));
    }
}
