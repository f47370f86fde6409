//! `routelet drain` (RFC 8326): they hear that we leave, while all is as before; then nothing of ours; then
//! why.

use crate::bfd;
use serde_json::Value;

use crate::joined::{ALL, await_joined, await_seen, check, joined, ours};
use crate::rig::Lab;
use crate::speaker::{Extra, Family, Seen, Setup, Speaker};
use crate::table::{Row, each, except};

pub const ROWS: &[Row] = &[
    each("drain: an external peer is asked, then left with a reason", external),
    each("drain: an internal peer is asked by LOCAL_PREF, too", internal),
    except("drain: they move to the second path first, and BFD ends last", moved, bfd::NO_BFD),
];

const REASON: &str = "new switch";

/// FRR says why a session has ended in its log alone.
fn telling(speaker: &dyn Speaker, mut setup: Setup) -> Setup {
    if speaker.name() == "FRR" {
        setup.extra.top = format!("router bgp {}\n bgp log-neighbor-changes\nexit", setup.asn);
    }
    setup
}

fn asks_to_be_used_last(seen: &Seen) -> bool {
    seen.communities.iter().any(|text| text == "65535:0" || text.to_lowercase().starts_with("graceful"))
}

fn drain(lab: &Lab<'_>, settle: &str) {
    let begun = lab.us.routelet(&["drain", "--no-wait", "--settle", settle, "--reason", REASON]);
    check(lab, "the drain", &begun["reason"], &REASON.into());
}

fn stage(lab: &Lab<'_>) -> String {
    lab.us.routelet(&["status"])["drain"]["stage"].as_str().unwrap_or("none").to_owned()
}

/// Their path to our prefix once it bears the request, with our session, which had fallen so often before,
/// up and settling.
fn await_asked(lab: &Lab<'_>, flaps: u64) -> Seen {
    let mut asked = None;
    lab.eventually("our request in their table", || {
        asked = lab.speaker.seen(&lab.them, &lab.setup, &ours(lab.setup.family));
        asked.as_ref().is_some_and(asks_to_be_used_last)
    });
    check(lab, "flaps", &lab.flaps(), &flaps);
    // We learn a moment after them that our socket has passed all on.
    lab.eventually("settling", || stage(lab) == "settling");
    asked.unwrap()
}

fn await_left(lab: &Lab<'_>, flaps: u64) {
    lab.eventually("drained", || stage(lab) == "drained");
    check(lab, "flaps", &lab.flaps(), &(flaps + 1));
    let state = lab.speaker.state(&lab.them, &lab.setup) + &lab.them.log();
    if !state.contains(REASON) {
        lab.fail("they do not say why we left");
    }
    check(lab, "their routes from us", &lab.speaker.count(&lab.them, &lab.setup), &0);
    check(lab, "routes that we keep", &lab.installed(), &1);
}

fn return_to(lab: &Lab<'_>) {
    check(lab, "undrain", &lab.us.routelet(&["undrain"])["ended"], &true.into());
    await_joined(lab);
    if asks_to_be_used_last(&await_seen(lab, &ours(lab.setup.family))) {
        lab.fail("we still ask to be used last");
    }
    lab.eventually("all their routes confirmed", || lab.session()["families"][0]["stale"] == 0);
}

fn external(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, telling(speaker, Setup::new(family)), "");
    let flaps = lab.flaps();
    drain(&lab, "5s");
    await_asked(&lab, flaps);
    await_left(&lab, flaps);
    return_to(&lab);
}

fn internal(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, telling(speaker, Setup::internal(family)), "");
    let flaps = lab.flaps();
    drain(&lab, "5s");
    let asked = await_asked(&lab, flaps);
    check(&lab, "LOCAL_PREF", &asked.local_pref, &Some(0));
    await_left(&lab, flaps);
    return_to(&lab);
}

/// The third router of our AS announces the same prefix. That they have moved shows in what they tell us: a
/// path to it, that of the third, which they hold back while ours is their best.
fn moved(speaker: &dyn Speaker, family: Family) {
    let mut setup = bfd::watching(speaker, family, "");
    setup.third_is_theirs = true;
    if speaker.name() == "BIRD" {
        // FRR does so unasked.
        let last = "import filter { if (65535,0) ~ bgp_community then bgp_local_pref = 0; accept; };";
        setup.extra = Extra { family: vec![last.to_owned()], ..setup.extra };
    }
    let marked = format!("export: {{accept: {ALL}, communities: [\"64512:1\"]}}\n  {}", bfd::OURS);
    let lab = joined(speaker, telling(speaker, setup), &marked);
    bfd::await_up(&lab);
    let prefix = ours(family);
    lab.start_third_of(std::slice::from_ref(&prefix), 2, lab.setup.asn);
    lab.third.eventually("their session with the third", || {
        lab.third.routelet(&["peers", "reflector"])["establishedSeconds"].is_u64()
    });
    // FRR hands our own path back, too, with our mark.
    let is_the_third_s = |path: &Value| {
        path["peer"] == "them" && !path["communities"].as_array().unwrap().contains(&"64512:1".into())
    };
    let handed_back = || lab.paths(&prefix).iter().any(is_the_third_s);
    check(&lab, "a path of theirs to our prefix", &handed_back(), &false);
    let flaps = lab.flaps();
    drain(&lab, "3s");
    lab.eventually("the third's path from them", handed_back);
    check(&lab, "flaps", &lab.flaps(), &flaps);
    lab.eventually("settling", || stage(&lab) == "settling");
    await_left(&lab, flaps);
    let bfd_down = lab.session()["notificationReceived"]["subcode"] == 10;
    check(&lab, "an end of the session by BFD", &bfd_down, &false);
    return_to(&lab);
    bfd::await_up(&lab);
}
