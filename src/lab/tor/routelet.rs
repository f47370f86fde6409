//! Routelet as router: an ordinary daemon with objects of its own.
//!
//! What a daemon originates are the pod CIDRs of its `Node` object, and pods are on a bridge. A
//! router has no pods: the network behind it stands in their place, and the bridge that its ports
//! are in stands in for `cni0`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{Error, Setup, Step, words};
use crate::lab::exec_line::Action;
use crate::lab::manifests;
use crate::lab::plan::{Plan, Router};
use crate::prefix::Prefix;

/// Where a router's own objects lie.
const DIRECTORY: &str = "/etc/routelet-router";

pub(super) fn setup(router: &Router, plan: &Plan) -> Result<Setup, Error> {
    let bridge = bridge(router, plan)?;
    let files = manifests::of_router(router, plan, bridge.as_deref()).into_iter();
    Ok(Setup {
        files: files.map(|file| (PathBuf::from(DIRECTORY).join(file.name), file.text)).collect(),
        steps: vec![
            Step::Start(words(&["routelet", "run", "--node-name", &router.name, "--manifests", DIRECTORY])),
            Step::AwaitPort(179),
        ],
        ..Setup::default()
    })
}

/// The bridge whose networks the router announces; `None` if it announces nothing.
fn bridge(router: &Router, plan: &Plan) -> Result<Option<String>, Error> {
    let actions = plan.members.get(&router.name).map(|member| member.actions.as_slice()).unwrap_or_default();
    let link_of = |prefix: Prefix| {
        actions.iter().find_map(|action| match action {
            Action::AddAddress { link, address } if Prefix::from(*address) == prefix => Some(link),
            _ => None,
        })
    };
    let is_bridge =
        |link: &str| actions.iter().any(|a| matches!(a, Action::AddBridge { name } if name == link));
    let links: BTreeSet<Option<&String>> = router.announce.iter().map(|prefix| link_of(*prefix)).collect();
    match links.into_iter().collect::<Vec<_>>().as_slice() {
        [] => Ok(None),
        [Some(link)] if is_bridge(link) => Ok(Some((*link).clone())),
        _ => {
            let networks: Vec<_> = router.announce.iter().map(Prefix::to_string).collect();
            Err(Error::NotBridged { router: router.name.clone(), networks: networks.join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::Topology;
    use crate::prefix::Family;

    #[test]
    fn the_bridge_behind_the_router_is_found() {
        let plan = Plan::new(&Topology::built_in().unwrap(), None).unwrap();
        assert_eq!(bridge(&plan.routers[0], &plan), Ok(Some("behind".to_owned())));
    }

    #[test]
    fn a_network_that_is_on_no_bridge_is_an_error() {
        let text = "name: t
topology:
  nodes:
    r: {image: frr, exec: [ip addr add 10.0.0.1/24 dev e], labels: {routelet.dev/announce: 10.0.0.0/24}}
";
        let plan =
            Plan::new(&Topology::parse(text, "t.yml", None).unwrap(), Some(&Family::ALL.into())).unwrap();
        let error = bridge(&plan.routers[0], &plan).unwrap_err().to_string();
        assert!(
            error.starts_with("routelet cannot play r: what it announces (10.0.0.0/24) must be"),
            "{error}"
        );
    }
}
