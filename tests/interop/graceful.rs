//! Graceful restart (RFC 4724): one side is killed and comes back, and the other's route never goes.

use std::time::{Duration, Instant};

use crate::joined::{await_joined, check, joined, ours};
use crate::rig::{Host, Lab};
use crate::speaker::{Extra, Family, Setup, Speaker, words};
use crate::table::{Row, except};

pub const ROWS: &[Row] = &[
    except(
        "graceful restart: they are killed and return",
        they_return,
        &[
            (
                "OpenBGPD",
                "announces no family for which it would keep forwarding (bgpd.conf: \"only the End-of-RIB marker\")",
            ),
            (
                "GoBGP",
                "gets its own routes by its API after the start, and says End-of-RIB before: the route went then",
            ),
        ],
    ),
    except("graceful restart: we are killed and return", we_return, &[]),
    except("graceful restart: we are replaced", we_are_replaced, &[]),
    except(
        "long-lived graceful restart: they are killed and stay away",
        they_stay_away,
        &[("OpenBGPD", "bgpd.conf(5) of 7.7 knows nothing of it, and its OPEN has no capability 71")],
    ),
];

/// How long we may be gone, as often as a look at their table takes.
const LOOKS: usize = 10;

/// Their side, in their own language.
pub fn graceful(speaker: &dyn Speaker, family: Family) -> Setup {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let extra = match speaker.name() {
        "FRR" => Extra {
            top: "router bgp 65001\n bgp graceful-restart\n bgp graceful-restart preserve-fw-state\nexit"
                .into(),
            peer: lines(&["graceful-restart"]),
            ..Extra::default()
        },
        "BIRD" => {
            Extra { peer: lines(&["graceful restart on; graceful restart time 60;"]), ..Extra::default() }
        }
        "GoBGP" => Extra {
            peer: lines(&["[neighbors.graceful-restart.config]", "enabled = true", "restart-time = 60"]),
            family: lines(&["[neighbors.afi-safis.mp-graceful-restart.config]", "enabled = true"]),
            ..Extra::default()
        },
        _ => Extra { peer: lines(&["announce restart yes"]), ..Extra::default() },
    };
    Setup { extra, ..Setup::new(family) }
}

/// Their side, to be waited for a second, and then ten minutes as a last resort.
fn long_lived(speaker: &dyn Speaker, family: Family) -> Setup {
    let mut setup = graceful(speaker, family);
    let more = |line: &str| line.to_owned();
    match speaker.name() {
        "FRR" => setup.extra.top = setup.extra.top.replace(
            "\nexit",
            "\n bgp graceful-restart restart-time 1\n bgp long-lived-graceful-restart stale-time 600\nexit",
        ),
        "BIRD" => {
            setup.extra.peer = vec![
                more("graceful restart on; graceful restart time 1;"),
                more("long lived graceful restart on; long lived stale time 600;"),
            ];
        }
        _ => {
            setup.extra.peer[2] = more("restart-time = 1");
            setup.extra.peer.push(more("long-lived-enabled = true"));
            setup.extra.family.extend([
                more("[neighbors.afi-safis.long-lived-graceful-restart.config]"),
                more("enabled = true"),
                more("restart-time = 600"),
            ]);
        }
    }
    setup
}

fn they_stay_away(speaker: &dyn Speaker, family: Family) {
    let more = "gracefulRestart: {longLivedStaleTime: 1h}";
    let lab = joined(speaker, long_lived(speaker, family), more);
    let theirs = lab.setup.routes[0].clone();
    lab.them.kill();
    lab.eventually("a last resort, for ten minutes", || {
        let kept = lab.session()["families"][0]["staleSeconds"].as_u64();
        kept.is_some_and(|seconds| (500..=600).contains(&seconds))
    });
    check(&lab, "routes kept", &lab.installed(), &1);
    let path = lab.path(&theirs).unwrap_or_default();
    assert!(path.to_string().contains("65535:6"), "no mark: {path}");
    lab.start_them();
    await_joined(&lab);
    lab.eventually("nothing stale", || lab.session()["families"][0]["stale"] == 0);
    let path = lab.path(&theirs).unwrap_or_default();
    assert!(!path.to_string().contains("65535:6"), "still marked: {path}");
}

fn they_return(speaker: &dyn Speaker, family: Family) {
    they_come_back(speaker, graceful(speaker, family), "");
}

/// They are killed and return; `more` is of our BgpPeer object.
pub fn they_come_back(speaker: &dyn Speaker, setup: Setup, more: &str) {
    let family = setup.family;
    let lab = joined(speaker, setup, more);
    let theirs = lab.setup.routes[0].clone();
    lab.us.start(&words(&["ip", family.pick("-4", "-6"), "-o", "monitor", "route"]));
    lab.them.kill();
    lab.eventually("their session down", || !lab.established());
    check(&lab, "routes kept", &lab.installed(), &1);
    // FRR hands us our own route back, which is stale too.
    let shown = lab.session()["families"][0].clone();
    check(&lab, "stale paths", &shown["stale"], &shown["received"]);
    check(&lab, "how long they are kept", &shown["staleSeconds"].is_u64(), &true);
    lab.start_them();
    await_joined(&lab);
    lab.eventually("their End-of-RIB, and nothing stale", || {
        let family = &lab.session()["families"][0];
        family["endOfRib"] == true && family["stale"] == 0
    });
    let log = std::fs::read_to_string(lab.us.directory.join("log")).unwrap();
    let touched: Vec<&str> = log.lines().filter(|l| l.contains(&theirs) && l.contains("proto 114")).collect();
    check(&lab, "changes of their route", &touched, &vec![]);
}

fn we_return(speaker: &dyn Speaker, family: Family) {
    we_come_back(speaker, graceful(speaker, family), "", Host::kill, Duration::ZERO);
}

fn we_are_replaced(speaker: &dyn Speaker, family: Family) {
    we_come_back(speaker, graceful(speaker, family), "", Host::terminate, Duration::ZERO);
}

/// We end and return after a while; `more` is of our BgpPeer object.
pub fn we_come_back(speaker: &dyn Speaker, setup: Setup, more: &str, end: fn(&Host), away: Duration) {
    let lab = joined(speaker, setup, more);
    let prefix = ours(lab.setup.family);
    let sees = |lab: &Lab<'_>| speaker.seen(&lab.them, &lab.setup, &prefix).is_some();
    let must_see = |lab: &Lab<'_>| {
        if !sees(lab) {
            lab.fail("our route has gone from their table");
        }
    };
    end(&lab.us);
    let ended = Instant::now();
    for look in 0.. {
        if look >= LOOKS && ended.elapsed() >= away {
            break;
        }
        // What has gone now stays away, unlike the answer to a question on a busy machine.
        if !sees(&lab) {
            must_see(&lab);
        }
    }
    check(&lab, "routes that we left", &lab.installed(), &1);
    lab.start_us(std::slice::from_ref(&prefix), more);
    lab.eventually("our session with their End-of-RIB", || {
        must_see(&lab);
        lab.session()["families"][0]["endOfRib"] == true
    });
    check(&lab, "routes after the restart", &lab.installed(), &1);
    for _ in 0..LOOKS {
        must_see(&lab);
    }
}
