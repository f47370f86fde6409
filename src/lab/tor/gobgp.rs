//! GoBGP as router.
//!
//! GoBGP speaks BGP and leaves the kernel alone; its way into the kernel is FRR's zebra, of versions
//! that Debian does not have (GoBGP 3.10 crashes on the greeting of zebra 8.4). So the lab carries its
//! best paths into the kernel itself: a `gobgp monitor` streams them, [`parse`] reads a line, and
//! [`super::super::up`] installs or removes the route. What GoBGP has not learned is not routed.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Executables, Setup, Step, words};
use crate::fib::{Change, NextHop, Route, Target};
use crate::lab::plan::{Plan, Router};
use crate::prefix::{Family, Prefix};

const CONFIG: &str = "/etc/gobgp/gobgpd.toml";

/// GoBGP's API, which its command line talks to.
const API_PORT: u16 = 50051;

/// Metric of the routes that are carried over: 20 like FRR's for BGP.
pub const METRIC: u32 = 20;

pub(super) fn setup(executables: &Executables, router: &Router, plan: &Plan) -> Setup {
    let gobgp = executables.path("gobgp");
    let mut steps = vec![
        Step::Start(words(&[&executables.path("gobgpd"), "-f", CONFIG, "-t", "toml", "--pprof-disable"])),
        Step::AwaitPort(API_PORT),
        Step::AwaitPort(179),
        Step::Carry(words(&[&gobgp, "monitor", "global", "rib", "--current", "-j"])),
    ];
    for prefix in &router.announce {
        let family = short(prefix.family());
        steps.push(Step::Run(words(&[&gobgp, "global", "rib", "add", &prefix.to_string(), "-a", family])));
    }
    Setup { files: vec![(PathBuf::from(CONFIG), config(router, plan))], steps, ..Setup::default() }
}

/// The text of `gobgpd.toml`.
pub fn config(router: &Router, plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_config(&mut text, router, plan);
    text
}

fn write_config(text: &mut String, router: &Router, plan: &Plan) -> std::fmt::Result {
    writeln!(text, "[global.config]\nas = {}\nrouter-id = \"{}\"", router.asn, router.router_id)?;
    writeln!(text, "\n# Pod CIDRs come in, the networks behind go out; nothing else (RFC 8212).")?;
    writeln!(text, "[global.apply-policy.config]")?;
    writeln!(text, "import-policy-list = [\"pods\", \"own\"]\nexport-policy-list = [\"behind\"]")?;
    writeln!(text, "default-import-policy = \"reject-route\"\ndefault-export-policy = \"reject-route\"")?;
    for family in &plan.families {
        let (ip, longest) = (short(*family), plan.longest(*family));
        writeln!(text, "\n[[defined-sets.prefix-sets]]\nprefix-set-name = \"pods-{ip}\"")?;
        for prefix in super::of_family(&plan.cluster_cidrs, *family) {
            writeln!(text, "[[defined-sets.prefix-sets.prefix-list]]\nip-prefix = \"{prefix}\"")?;
            writeln!(text, "masklength-range = \"{}..{longest}\"", prefix.length())?;
        }
        writeln!(text, "\n[[defined-sets.prefix-sets]]\nprefix-set-name = \"behind-{ip}\"")?;
        for prefix in super::of_family(&router.announce, *family) {
            writeln!(text, "[[defined-sets.prefix-sets.prefix-list]]\nip-prefix = \"{prefix}\"")?;
        }
    }
    for policy in ["pods", "behind"] {
        writeln!(text, "\n[[policy-definitions]]\nname = \"{policy}\"")?;
        for family in &plan.families {
            writeln!(text, "[[policy-definitions.statements]]")?;
            writeln!(text, "[policy-definitions.statements.conditions.match-prefix-set]")?;
            writeln!(text, "prefix-set = \"{policy}-{}\"", short(*family))?;
            writeln!(text, "[policy-definitions.statements.actions]\nroute-disposition = \"accept-route\"")?;
        }
    }
    writeln!(text, "\n# Import policy is asked about what is originated here, too.")?;
    writeln!(text, "[[policy-definitions]]\nname = \"own\"\n[[policy-definitions.statements]]")?;
    writeln!(text, "[policy-definitions.statements.conditions.bgp-conditions]\nroute-type = \"local\"")?;
    writeln!(text, "[policy-definitions.statements.actions]\nroute-disposition = \"accept-route\"")?;
    for session in &router.sessions {
        writeln!(text, "\n# {}\n[[neighbors]]\n[neighbors.config]", session.node)?;
        writeln!(text, "neighbor-address = \"{}\"\npeer-as = {}", session.node_address, session.node_asn)?;
        writeln!(text, "[neighbors.timers.config]\nconnect-retry = 5")?;
        writeln!(text, "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]")?;
        writeln!(text, "afi-safi-name = \"{}-unicast\"", short(session.family()))?;
    }
    Ok(())
}

fn short(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "ipv4",
        Family::Ipv6Unicast => "ipv6",
    }
}

/// Reads one line of `gobgp monitor global rib -j`: the kernel routes that follow from it. Paths of
/// GoBGP's own, which have an unspecified next hop, follow the connected routes they stand for.
///
/// # Errors
/// The line is not what GoBGP 3 writes.
pub fn parse(line: &str) -> Result<Vec<Change>, serde_json::Error> {
    let paths: Vec<Path> = serde_json::from_str(line)?;
    let changes = paths.into_iter().filter_map(|path| {
        let prefix: Prefix = path.nlri.prefix.parse().ok()?;
        let via = path.attributes.iter().find_map(|attribute| attribute.next_hop)?;
        if via.is_unspecified() {
            return None;
        }
        Some(match path.withdrawal {
            true => Change::Remove { prefix, metric: METRIC },
            false => {
                let target = Target::Via(vec![NextHop { via, interface: None, weight: 1 }]);
                Change::Install(Route { prefix, target, metric: METRIC, group: None })
            }
        })
    });
    Ok(changes.collect())
}

#[derive(Deserialize)]
struct Path {
    nlri: Nlri,
    #[serde(default, rename = "attrs")]
    attributes: Vec<Attribute>,
    #[serde(default)]
    withdrawal: bool,
}

#[derive(Deserialize)]
struct Nlri {
    prefix: String,
}

#[derive(Deserialize)]
struct Attribute {
    #[serde(rename = "nexthop")]
    next_hop: Option<IpAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::Topology;

    #[test]
    fn a_session_for_each_node_and_family() {
        let plan = Plan::new(&Topology::built_in().unwrap(), None).unwrap();
        let text = config(&plan.routers[0], &plan);
        assert_eq!(text.matches("[[neighbors]]").count(), 6);
        assert!(text.contains("ip-prefix = \"fd00:10:244::/48\"\nmasklength-range = \"48..64\""), "{text}");
        assert!(text.contains("neighbor-address = \"192.168.1.12\"\npeer-as = 64512"), "{text}");
    }

    /// As GoBGP 3.10 prints them.
    #[test]
    fn monitor_lines_become_changes() {
        let learned = r#"[{"nlri":{"prefix":"10.77.0.0/24"},"age":1,"best":false,"attrs":[{"type":1,"value":2},{"type":2,"as_paths":[{"segment_type":2,"num":1,"asns":[65001]}]},{"type":3,"nexthop":"10.9.0.2"}],"stale":false,"source-id":"10.9.0.2","neighbor-ip":"10.9.0.2"}]"#;
        let withdrawn = learned.replace(r#""stale":false"#, r#""stale":false,"withdrawal":true"#);
        let own = r#"[{"nlri":{"prefix":"fd01::/64"},"age":1,"best":false,"attrs":[{"type":1,"value":2},{"type":14,"nexthop":"::","afi":2,"safi":1,"value":[{"prefix":"fd01::/64"}]}],"stale":false}]"#;
        let prefix = "10.77.0.0/24".parse().unwrap();
        let via = NextHop { via: "10.9.0.2".parse().unwrap(), interface: None, weight: 1 };
        assert_eq!(
            parse(learned).unwrap(),
            [Change::Install(Route { prefix, target: Target::Via(vec![via]), metric: METRIC, group: None })]
        );
        assert_eq!(parse(&withdrawn).unwrap(), [Change::Remove { prefix, metric: METRIC }]);
        assert_eq!(parse(own).unwrap(), []);
        assert_eq!(parse("[]").unwrap(), []);
        assert!(parse("oops").is_err());
    }
}
