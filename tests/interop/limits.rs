//! What ends or forbids a session: too many prefixes (RFC 4486), roles that do not suit (RFC 9234).

use crate::joined::{ALL, await_joined, check, joined, ours};
use crate::rig::Lab;
use crate::speaker::{Family, Setup, Speaker};
use crate::table::{Row, each, except};

pub const ROWS: &[Row] = &[
    each("they announce too many prefixes", too_many_of_theirs),
    each("we announce too many prefixes", too_many_of_ours),
    except(
        "roles that suit, and roles that do not",
        roles,
        &[("GoBGP", "3.10 does not know roles: no such option, and its OPEN has no capability 9")],
    ),
];

/// Waits until their words, in their state or their log, have one of these.
fn they_say(lab: &Lab<'_>, words: &[&str]) {
    lab.eventually(&format!("{words:?} from them"), || {
        let said = lab.speaker.state(&lab.them, &lab.setup) + &lab.them.log();
        words.iter().any(|words| said.to_lowercase().contains(words))
    });
}

fn we_say(lab: &Lab<'_>, words: &str) {
    lab.eventually(&format!("{words} in our log"), || lab.us.log().contains(words));
}

fn too_many_of_theirs(speaker: &dyn Speaker, family: Family) {
    let import = |limit| format!("import: {{accept: {ALL}, maxPrefixes: {{limit: {limit}}}}}");
    let routes = (0..3).map(|i| family.prefix(20, 0x2020, i)).collect();
    let lab = Lab::new(speaker, Setup { routes, ..Setup::new(family) });
    lab.start_us(&[ours(family)], &import(2));
    lab.start_them();
    we_say(&lab, "more than 2 prefixes");
    they_say(&lab, &["maximum number of prefixes", "max-prefix", "subcode 1", "subcode\":1", "6/1"]);
    lab.eventually("no route", || lab.installed() == 0);
    lab.configure_us(&[ours(family)], &import(3));
    await_joined(&lab);
}

fn too_many_of_ours(speaker: &dyn Speaker, family: Family) {
    // FRR looks at the number before it counts a prefix, and so acts one late.
    let pods: Vec<String> = (0..5).map(|i| family.prefix(10, 0xfd10, i)).collect();
    let lab = Lab::new(speaker, Setup { max_prefixes: Some(2), ..Setup::new(family) });
    lab.start_us(&pods, "");
    lab.start_them();
    // With graceful restart it comes inside a Hard Reset (RFC 8538 §3.1).
    lab.eventually("the subcode in our log", || {
        let said = |line: &str| {
            line.contains("sent NOTIFICATION Cease") && line.contains("Maximum Number of Prefixes")
        };
        lab.us.log().lines().any(said)
    });
    lab.eventually("no route", || lab.installed() == 0 && !lab.established());
}

fn roles(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { role: Some("customer"), ..Setup::new(family) }, "role: provider");
    check(&lab, "flaps", &lab.flaps(), &0);
    lab.configure_us(&[ours(family)], "role: customer");
    we_say(&lab, "Role Mismatch");
    lab.eventually("no session", || !lab.established());
    lab.configure_us(&[ours(family)], "role: provider\n  roleStrict: true");
    await_joined(&lab);
}
