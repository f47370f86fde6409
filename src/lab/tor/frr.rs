//! FRR as router: `zebra` keeps the kernel's routes, `bgpd` speaks.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Executables, Setup, Step, of_family, words};
use crate::lab::plan::{Plan, Router};
use crate::prefix::Family;

/// Where FRR's configuration lies, here and in its container image.
pub const CONFIG: &str = "/etc/frr/frr.conf";

/// FRR's daemons run as this user and refuse others.
const USER: &str = "frr";

const ZEBRA_SOCKET: &str = "/run/frr/zserv.api";

pub(super) fn setup(executables: &Executables, router: &Router, plan: &Plan) -> Setup {
    Setup {
        directories: vec![(PathBuf::from("/run/frr"), Some(USER)), (PathBuf::from("/etc/frr"), Some(USER))],
        files: vec![
            (PathBuf::from(CONFIG), config(router, plan)),
            // Lets `vtysh` start without complaint.
            (PathBuf::from("/etc/frr/vtysh.conf"), "service integrated-vtysh-config\n".to_owned()),
        ],
        steps: vec![
            Step::Start(words(&[&executables.path("zebra"), "-f", "/dev/null", "--log", "stdout"])),
            Step::AwaitFile(PathBuf::from(ZEBRA_SOCKET)),
            Step::Start(words(&[&executables.path("bgpd"), "-f", CONFIG, "--log", "stdout"])),
            Step::AwaitPort(179),
        ],
    }
}

/// The text of `frr.conf`.
pub fn config(router: &Router, plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_config(&mut text, router, plan);
    text
}

fn write_config(text: &mut String, router: &Router, plan: &Plan) -> std::fmt::Result {
    writeln!(text, "frr defaults traditional\nhostname {}\n!", router.name)?;
    writeln!(text, "! Pod CIDRs come in, the networks behind go out; nothing else (RFC 8212).")?;
    for family in &plan.families {
        let ip = keyword(*family);
        let longest = plan.longest(*family);
        for prefix in of_family(&plan.cluster_cidrs, *family) {
            // FRR refuses a bound that adds nothing.
            let bound = if longest > prefix.length() { format!(" le {longest}") } else { String::new() };
            writeln!(text, "{ip} prefix-list PODS-{ip} permit {prefix}{bound}")?;
        }
        for prefix in of_family(&router.announce, *family) {
            writeln!(text, "{ip} prefix-list BEHIND-{ip} permit {prefix}")?;
        }
    }
    writeln!(text, "!\nrouter bgp {}\n bgp router-id {}", router.asn, router.router_id)?;
    writeln!(text, " no bgp default ipv4-unicast")?;
    for session in &router.sessions {
        writeln!(text, " neighbor {} remote-as {}", session.node_address, session.node_asn)?;
        writeln!(text, " neighbor {} description {}", session.node_address, session.node)?;
        writeln!(text, " neighbor {} timers connect 5", session.node_address)?;
    }
    for family in &plan.families {
        let ip = keyword(*family);
        writeln!(text, " !\n address-family {} unicast", if ip == "ip" { "ipv4" } else { "ipv6" })?;
        for prefix in of_family(&router.announce, *family) {
            writeln!(text, "  network {prefix}")?;
        }
        for session in router.sessions.iter().filter(|session| session.family() == *family) {
            writeln!(text, "  neighbor {} activate", session.node_address)?;
            writeln!(text, "  neighbor {} prefix-list PODS-{ip} in", session.node_address)?;
            writeln!(text, "  neighbor {} prefix-list BEHIND-{ip} out", session.node_address)?;
        }
        writeln!(text, " exit-address-family")?;
    }
    writeln!(text, "exit")
}

fn keyword(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "ip",
        Family::Ipv6Unicast => "ipv6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::Topology;

    #[test]
    fn the_file_that_containerlab_binds_is_what_the_lab_writes() {
        let plan = Plan::new(&Topology::built_in().unwrap(), None).unwrap();
        let written = config(&plan.routers[0], &plan);
        assert_eq!(written, include_str!("../../../containerlab/tor/frr.conf"));
    }

    #[test]
    fn one_family_alone() {
        let four = [Family::Ipv4Unicast].into();
        let plan = Plan::new(&Topology::built_in().unwrap(), Some(&four)).unwrap();
        let written = config(&plan.routers[0], &plan);
        assert!(written.contains("ip prefix-list PODS-ip permit 10.244.0.0/16 le 24\n"), "{written}");
        assert!(written.contains(" neighbor 192.168.1.11 remote-as 64512\n"), "{written}");
        assert!(!written.contains("fd00"), "{written}");
    }
}
