//! Graceful restart (RFC 4724): one side is killed and comes back, and the other's route never goes.

use crate::joined::{await_joined, check, joined, ours};
use crate::rig::Lab;
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
];

/// How long we may be gone, as often as a look at their table takes.
const LOOKS: usize = 10;

/// Their side, in their own language.
fn graceful(speaker: &dyn Speaker, family: Family) -> Setup {
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

fn they_return(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, graceful(speaker, family), "");
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
    let lab = joined(speaker, graceful(speaker, family), "");
    let prefix = ours(family);
    let must_see = |lab: &Lab<'_>| {
        if speaker.seen(&lab.them, &lab.setup, &prefix).is_none() {
            lab.fail("our route has gone from their table");
        }
    };
    lab.us.kill();
    for _ in 0..LOOKS {
        must_see(&lab);
    }
    check(&lab, "routes that we left", &lab.installed(), &1);
    lab.start_us(std::slice::from_ref(&prefix), "");
    lab.eventually("our session with their End-of-RIB", || {
        must_see(&lab);
        lab.session()["families"][0]["endOfRib"] == true
    });
    check(&lab, "routes after the restart", &lab.installed(), &1);
    for _ in 0..LOOKS {
        must_see(&lab);
    }
}
