//! BIRD 2 as router.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Executables, Setup, Step, of_family, words};
use crate::lab::plan::{Plan, Router, Session};
use crate::prefix::Family;

const CONFIG: &str = "/etc/bird/bird.conf";

/// Where `birdc` looks unless told otherwise.
const CONTROL: &str = "/run/bird/bird.ctl";

pub(super) fn setup(executables: &Executables, router: &Router, plan: &Plan) -> Setup {
    Setup {
        directories: vec![(PathBuf::from("/run/bird"), None)],
        files: vec![(PathBuf::from(CONFIG), config(router, plan))],
        steps: vec![
            Step::Start(words(&[&executables.path("bird"), "-f", "-c", CONFIG, "-s", CONTROL])),
            Step::AwaitFile(PathBuf::from(CONTROL)),
            Step::AwaitPort(179),
        ],
    }
}

/// The text of `bird.conf`.
pub fn config(router: &Router, plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_config(&mut text, router, plan);
    text
}

fn write_config(text: &mut String, router: &Router, plan: &Plan) -> std::fmt::Result {
    writeln!(text, "log stderr all;\nrouter id {};\n", router.router_id)?;
    writeln!(text, "protocol device {{ }}\nprotocol direct {{ ipv4; ipv6; }}")?;
    for family in &plan.families {
        let channel = channel(*family);
        writeln!(text, "protocol kernel {{ {channel} {{ import none; export where source = RTS_BGP; }}; }}")?;
    }
    for (position, session) in router.sessions.iter().enumerate() {
        writeln!(text)?;
        write_session(text, position, session, router, plan)?;
    }
    Ok(())
}

fn write_session(
    text: &mut String,
    position: usize,
    session: &Session,
    router: &Router,
    plan: &Plan,
) -> std::fmt::Result {
    let family = session.family();
    let longest = plan.longest(family);
    let pods: Vec<_> = of_family(&plan.cluster_cidrs, family)
        .map(|prefix| format!("{prefix}{{{},{longest}}}", prefix.length()))
        .collect();
    let behind: Vec<_> = of_family(&router.announce, family).map(|prefix| prefix.to_string()).collect();
    // An empty set is a syntax error to BIRD.
    let export = if behind.is_empty() {
        "export none".to_owned()
    } else {
        format!("export where source = RTS_DEVICE && net ~ [ {} ]", behind.join(", "))
    };
    writeln!(text, "# {}", session.node)?;
    writeln!(text, "protocol bgp session{} {{", position + 1)?;
    writeln!(text, "  local {} as {};", session.router_address, router.asn)?;
    writeln!(text, "  neighbor {} as {};", session.node_address, session.node_asn)?;
    writeln!(text, "  connect delay time 1;\n  connect retry time 5;")?;
    writeln!(text, "  {} {{", channel(family))?;
    writeln!(text, "    import where net ~ [ {} ];", pods.join(", "))?;
    writeln!(text, "    {export};\n  }};\n}}")
}

fn channel(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "ipv4",
        Family::Ipv6Unicast => "ipv6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::Topology;

    #[test]
    fn a_session_for_each_node_and_family() {
        let plan = Plan::new(&Topology::built_in().unwrap(), None).unwrap();
        let text = config(&plan.routers[0], &plan);
        assert_eq!(text.matches("protocol bgp session").count(), 6);
        assert!(text.contains("neighbor fd00:192:168:1::13 as 64512;"), "{text}");
        assert!(text.contains("import where net ~ [ 10.244.0.0/16{16,24} ];"), "{text}");
        assert!(text.contains("export where source = RTS_DEVICE && net ~ [ fd00:172:16::/64 ];"), "{text}");
    }
}
