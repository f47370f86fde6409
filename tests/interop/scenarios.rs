//! The table of scenarios, and how it is played: some at a time, each between routers of its own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use crate::rig::Lab;
use crate::speaker::{Family, Seen, Setup, Speaker, THEIR_COMMUNITY, THEIR_LOCAL_PREF, THEIR_MED};

/// How many run at a time for each speaker.
const AT_A_TIME: usize = 2;

/// Prefixes of their large table.
const MANY: usize = 20_000;
/// Prefixes of ours: pod CIDRs of one node, which has few as a rule.
const MANY_PODS: usize = 1_000;

struct Scenario {
    name: &'static str,
    play: fn(&dyn Speaker, Family),
    /// Speakers that it is not for, with the reason.
    except: &'static [(&'static str, &'static str)],
}

const fn each(name: &'static str, play: fn(&dyn Speaker, Family)) -> Scenario {
    Scenario { name, play, except: &[] }
}

const TABLE: &[Scenario] = &[
    each("external: routes both ways, attributes, withdrawal", external),
    each("internal: local preference both ways, empty AS path", internal),
    each("a large table both ways", large_table),
    Scenario {
        name: "they ask for our routes again",
        play: refresh,
        except: &[("GoBGP", "softresetin looks again at what it kept and never asks")],
    },
    Scenario {
        name: "MD5: a right password, a wrong one, a right one again",
        play: md5,
        except: &[("OpenBGPD", "Debian's build has no TCP MD5 (\"md5sig configured but not available\")")],
    },
    each("TTL security", ttl_security),
    each("multihop", multihop),
    each("they reflect for us", they_reflect),
    each("we reflect for them", we_reflect),
    each("AS numbers past 65535", four_octet),
    Scenario {
        name: "AS_TRANS towards a two-octet speaker",
        play: as_trans,
        except: &[
            ("FRR", "compares our four-octet number even when it sends no capability (Bad Peer AS)"),
            ("BIRD", "compares our four-octet number even with `enable as4 off` (Bad Peer AS)"),
            ("GoBGP", "always says that it knows four-octet AS numbers"),
            ("OpenBGPD", "refuses a peer of AS 23456 (\"AS 23456 is reserved and may not be used\")"),
        ],
    },
    each("hold time of 3 s proposed by them", their_hold_time),
    each("hold time of 3 s proposed by us", our_hold_time),
    Scenario {
        name: "they shut down with a text",
        play: shutdown,
        except: &[(
            "OpenBGPD",
            "`bgpctl neighbor ADDRESS down TEXT` sent Administrative Shutdown without the text",
        )],
    },
    Scenario {
        name: "End-of-RIB both ways",
        play: end_of_rib,
        except: &[("BIRD", "does not show whether End-of-RIB came")],
    },
    each("they are passive", they_are_passive),
    each("we are passive", we_are_passive),
    each("they are killed and return", killed),
];

/// Plays the table against one speaker and prints how it went.
pub fn play(speaker: &dyn Speaker) {
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let mut waiting = vec![];
    for scenario in TABLE.iter().rev().filter(|scenario| scenario.name.contains(&only)) {
        match scenario.except.iter().find(|(name, _)| *name == speaker.name()) {
            Some((name, reason)) => println!("{name}: not played: {}: {reason}", scenario.name),
            None => waiting.extend([(scenario, Family::Ipv6), (scenario, Family::Ipv4)]),
        }
    }
    let (waiting, failed) = (Mutex::new(waiting), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((scenario, family)) = { waiting.lock().unwrap().pop() } {
                    let what = format!("{}, {family:?}: {}", speaker.name(), scenario.name);
                    match catch_unwind(AssertUnwindSafe(|| (scenario.play)(speaker, family))) {
                        Ok(()) => println!("{what}: ok"),
                        Err(panic) => failed.lock().unwrap().push(format!("{what}: {}", text_of(&*panic))),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed:\n\n{}", failed.len(), failed.join("\n\n"));
}

fn text_of(panic: &dyn Any) -> String {
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "failed".to_owned())
}

fn ours(family: Family) -> String {
    family.prefix(10, 0xfd10, 0)
}

/// Both run, and each has the route of the other.
fn joined<'a>(speaker: &'a dyn Speaker, setup: Setup, more: &str) -> Lab<'a> {
    let lab = Lab::new(speaker, setup);
    lab.start_us(&[ours(lab.setup.family)], more);
    lab.start_them();
    await_joined(&lab);
    lab
}

fn await_joined(lab: &Lab<'_>) {
    lab.await_established();
    let theirs = lab.setup.routes[0].clone();
    lab.eventually("their route in our kernel", || lab.path(&theirs).is_some() && lab.installed() > 0);
    await_seen(lab, &ours(lab.setup.family));
}

fn await_seen(lab: &Lab<'_>, prefix: &str) -> Seen {
    let mut seen = None;
    lab.eventually(&format!("{prefix} in their table"), || {
        seen = lab.speaker.seen(&lab.them, &lab.setup, prefix);
        seen.is_some()
    });
    seen.unwrap()
}

fn check<T: PartialEq + std::fmt::Debug>(lab: &Lab<'_>, what: &str, found: &T, expected: &T) {
    if found != expected {
        lab.fail(&format!("{what}: {found:?}, expected {expected:?}"));
    }
}

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

fn large_table(speaker: &dyn Speaker, family: Family) {
    let gobgp = speaker.name() == "GoBGP";
    if gobgp {
        println!("GoBGP: announces no large table here: `mrt inject` did not bring in all of a dump");
    }
    let theirs = (0..if gobgp { 1 } else { MANY })
        .map(|i| family.prefix(20 + u8::try_from(i >> 16).unwrap(), 0x2020, i))
        .collect();
    let lab = Lab::new(speaker, Setup { routes: theirs, ..Setup::new(family) });
    let ours: Vec<String> = (0..MANY_PODS).map(|i| family.prefix(10, 0xfd10, i)).collect();
    lab.start_us(&ours, "");
    lab.start_them();
    lab.await_established();
    lab.eventually("all theirs in our kernel", || lab.installed() == lab.setup.routes.len());
    lab.eventually("all ours in their table", || speaker.count(&lab.them, &lab.setup) >= MANY_PODS);
    check(&lab, "accepted", &lab.session()["families"][0]["accepted"], &lab.setup.routes.len().into());
}

fn refresh(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    let updates = || lab.session()["counters"]["updatesOut"].as_u64().unwrap_or(0);
    let before = updates();
    speaker.refresh(&lab.them, &lab.setup);
    lab.eventually("our routes once more", || updates() > before);
    check(&lab, "flaps", &lab.session()["flaps"], &0.into());
    await_seen(&lab, &ours(family));
}

fn md5(speaker: &dyn Speaker, family: Family) {
    let secret = |name: &str| format!("passwordSecretRef: {{name: {name}, key: password}}");
    let lab = joined(speaker, Setup { password: Some("right"), ..Setup::new(family) }, &secret("right"));
    let before = lab.md5_failures();
    lab.configure_us(&[ours(family)], &secret("wrong"));
    lab.eventually("no session", || !lab.established() && lab.installed() == 0);
    lab.eventually("a wrong signature", || lab.md5_failures() > before);
    lab.configure_us(&[ours(family)], &secret("right"));
    await_joined(&lab);
}

fn ttl_security(speaker: &dyn Speaker, family: Family) {
    joined(speaker, Setup { ttl_security: true, ..Setup::new(family) }, "ttlSecurity: {hops: 1}");
}

fn multihop(speaker: &dyn Speaker, family: Family) {
    joined(speaker, Setup { multihop: true, ..Setup::new(family) }, "multihop: 2");
}

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

fn their_hold_time(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { hold: 3, ..Setup::new(family) }, "");
    outlasts_hold_time(&lab);
}

fn our_hold_time(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "timers: {hold: 3s, connectRetry: 1s}");
    outlasts_hold_time(&lab);
}

fn outlasts_hold_time(lab: &Lab<'_>) {
    check(lab, "hold time", &lab.session()["holdTimeSeconds"], &3.into());
    lab.eventually("a session of 5 s", || lab.session()["establishedSeconds"].as_u64() >= Some(5));
    check(lab, "flaps", &lab.session()["flaps"], &0.into());
}

fn shutdown(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    speaker.shut_down(&lab.them, &lab.setup, "maintenance");
    lab.eventually("no route", || lab.installed() == 0);
    let log = || std::fs::read_to_string(lab.us.directory.join("log")).unwrap();
    lab.eventually("their text in lastError or the log", || {
        let said = |text: &str| text.contains("Administrative Shutdown") && text.contains("maintenance");
        said(&lab.session()["lastError"].to_string()) || log().lines().any(said)
    });
}

fn end_of_rib(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    lab.eventually("our End-of-RIB", || speaker.end_of_rib(&lab.them, &lab.setup) == Some(true));
    if speaker.name() == "GoBGP" {
        println!("GoBGP: not asked for its End-of-RIB: sends none without graceful restart");
        return;
    }
    lab.eventually("their End-of-RIB", || lab.session()["families"][0]["endOfRib"] == true);
}

fn they_are_passive(speaker: &dyn Speaker, family: Family) {
    joined(speaker, Setup { passive: true, ..Setup::new(family) }, "");
}

fn we_are_passive(speaker: &dyn Speaker, family: Family) {
    joined(speaker, Setup::new(family), "passive: true");
}

fn killed(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    lab.them.kill();
    lab.eventually("no route of the dead", || lab.installed() == 0 && !lab.established());
    lab.start_them();
    await_joined(&lab);
}
