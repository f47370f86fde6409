//! What policy moves, in a whole cluster: each change takes effect by itself, and resets no session.

use std::collections::BTreeSet;
use std::time::Duration;

use routelet::bgp::Community;
use routelet::rib::policy::{AsPathMatch, CommunityMatch, Match, Policy, Rule, Set};
use routelet::rib::well_known::{BLACKHOLE, GRACEFUL_SHUTDOWN};
use routelet::speaker::Intent;
use routelet::speaker::intent::{LocalAs, RemoteAs};
use routelet::speaker::view::PathView;

use crate::plan::Plan;
use crate::world::World;
use crate::{SETTLED, each, each_of, oracle};

#[test]
fn a_change_of_policy_moves_routes_and_resets_nothing() {
    each(|world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        let before = world.learned_routes("tor");
        let mut silent = plan.intent("node1");
        silent.peers.get_mut("tor").unwrap().export = Policy::default();
        world.configure("node1", silent.clone());
        world.run_for(Duration::from_secs(1));
        let own = &plan.member("node1").prefixes;
        let without = before.iter().filter(|(p, _)| !own.contains(p)).map(|(p, h)| (*p, h.clone()));
        assert_eq!(world.learned_routes("tor"), without.collect(), "no longer announced");
        silent.peers.get_mut("tor").unwrap().import = Policy::default();
        world.configure("node1", silent);
        world.run_for(Duration::from_secs(1));
        let kept = world.learned_routes("node1");
        assert!(plan.member("tor").prefixes.iter().all(|p| !kept.contains_key(p)), "no longer accepted");
        world.configure("node1", plan.intent("node1"));
        world.run_for(Duration::from_secs(1));
        oracle::check(world, plan);
        assert_eq!(world.seen("went down"), 0);
    });
}

#[test]
fn a_changed_path_keeps_what_was_received_and_changes_back() {
    each_of(Plan::with_two_tors, |world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        let both = world.learned_routes("node1");
        let mut preferring = plan.intent("node1");
        preferring.peers.get_mut("tor2").unwrap().import.rules.insert(0, PREFER);
        world.configure("node1", preferring);
        world.run_for(Duration::from_secs(1));
        check_used_alone(world, plan, "tor2");
        let shown = world.paths("node1");
        let of_tor2 = || shown.iter().filter(|path| path.peer.as_deref() == Some("tor2"));
        assert!(of_tor2().count() > 0 && of_tor2().all(|path| path.best));
        assert!(of_tor2().all(|path| path.attributes.local_pref.is_none()), "shown as received");
        let changed = |path: &PathView| path.changed.as_ref().and_then(|changed| changed.local_pref);
        assert!(of_tor2().all(|path| changed(path) == Some(200)), "beside what policy made of it");
        world.configure("node1", plan.intent("node1"));
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.learned_routes("node1"), both);
        oracle::check(world, plan);
        assert_eq!(world.seen("went down"), 0);
    });
}

#[test]
fn a_tor_that_is_about_to_leave_is_used_no_longer_even_if_preferred() {
    each_of(Plan::with_two_tors, |world, plan| {
        let mut preferring = plan.intent("node1");
        preferring.peers.get_mut("tor2").unwrap().import.rules.insert(0, PREFER);
        world.start_all();
        world.configure("node1", preferring);
        world.run_for(Duration::from_secs(10));
        check_used_alone(world, plan, "tor2");
        world.configure("tor2", saying(plan, GRACEFUL_SHUTDOWN));
        world.run_for(Duration::from_secs(1));
        check_used_alone(world, plan, "tor");
        assert_eq!(world.seen("went down"), 0);
    });
}

#[test]
fn a_blackhole_is_made_where_the_peer_may_ask_for_one() {
    each_of(Plan::with_two_tors, |world, plan| {
        world.start_all();
        world.configure("tor2", saying(plan, BLACKHOLE));
        world.run_for(Duration::from_secs(10));
        check_used_alone(world, plan, "tor");
        let mut trusting = plan.intent("node1");
        let tor2 = trusting.peers.get_mut("tor2").unwrap();
        tor2.accept_blackhole = true;
        tor2.import.rules.insert(0, PREFER);
        world.configure("node1", trusting);
        world.run_for(Duration::from_secs(1));
        let discarded = world.unreachable_routes("node1");
        assert!(plan.member("tor").prefixes.iter().all(|prefix| discarded.contains(prefix)));
        world.configure("node1", plan.intent("node1"));
        world.run_for(Duration::from_secs(1));
        check_used_alone(world, plan, "tor");
        assert_eq!(world.seen("went down"), 0);
    });
}

/// Prefers whatever the rules after it accept.
const PREFER: Rule = Rule {
    matches: Match {
        prefixes: None,
        as_path: AsPathMatch { contains: None, starts_with: None, originated_by: None, max_length: None },
        communities: CommunityMatch { any: BTreeSet::new(), all: BTreeSet::new(), none: BTreeSet::new() },
        next_hop: None,
    },
    set: Set {
        local_pref: Some(200),
        med: None,
        remove_communities: BTreeSet::new(),
        add_communities: BTreeSet::new(),
        prepend: 0,
    },
    action: None,
};

/// The intent of the second ToR, but with a community on all that it announces.
fn saying(plan: &Plan, community: Community) -> Intent {
    let mut intent = plan.intent("tor2");
    intent.peers.values_mut().for_each(|peer| peer.export_communities = vec![community.0]);
    intent
}

/// Checks that node1 reaches what is behind the ToRs through one of them and not the other.
pub fn check_used_alone(world: &World, plan: &Plan, tor: &str) {
    let routes = world.learned_routes("node1");
    for prefix in &plan.member("tor").prefixes {
        let hops = &routes[prefix];
        assert!(
            hops.len() == 1 && hops.iter().all(|hop| plan.member(tor).addresses.contains(hop)),
            "{hops:?}"
        );
    }
}

#[test]
fn a_node_that_poses_as_another_as_is_known_by_that_alone() {
    const POSED: u32 = 64999;
    each(|world, plan| {
        let mut posing = plan.intent("node1");
        let local_as = |replace| Some(LocalAs { asn: POSED, replace });
        posing.peers.get_mut("tor").unwrap().as_path.local_as = local_as(true);
        let mut expecting = plan.intent("tor");
        expecting.peers.get_mut("node1").unwrap().asn = RemoteAs::Exactly(POSED);
        world.start_all();
        world.configure("node1", posing.clone());
        world.configure("tor", expecting);
        world.run_for(SETTLED);
        oracle::check(world, plan);
        let told = |world: &World| -> BTreeSet<String> {
            let of_node1 = world.paths("tor").into_iter().filter(|p| p.peer.as_deref() == Some("node1"));
            of_node1.map(|path| path.attributes.as_path.to_string()).collect()
        };
        assert_eq!(told(world), ["64999".to_owned()].into());
        let down = world.seen("went down");
        let down_with_tor = world.seen("session with tor went down");
        posing.peers.get_mut("tor").unwrap().as_path.local_as = local_as(false);
        world.configure("node1", posing.clone());
        world.run_for(Duration::from_secs(1));
        assert_eq!(told(world), [format!("64999 {}", plan.intent("node1").asn)].into());
        assert_eq!(world.seen("went down"), down, "what stands in paths is no matter of the session");
        posing.asn = 64998;
        world.configure("node1", posing);
        world.run_for(Duration::from_secs(1));
        assert_eq!(told(world), ["64999 64998".to_owned()].into());
        assert_eq!(world.seen("session with tor went down"), down_with_tor, "nor is who we really are");
    });
}
