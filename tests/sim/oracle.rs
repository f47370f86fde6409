//! What every kernel should hold once the cluster is at rest. Knows no BGP: whoever runs and can be
//! reached has its prefixes routed through its own address; who shares a prefix shares the traffic.

use std::collections::BTreeSet;

use routelet::prefix::Family;

use crate::plan::{Plan, Routes};
use crate::world::World;

/// Compares every running member's kernel with what should be there.
pub fn check(world: &World, plan: &Plan) {
    for member in &plan.members {
        if !world.is_running(member.name) {
            continue;
        }
        let mut expected = Routes::new();
        for other in &plan.members {
            if other.name == member.name || !world.can_reach(member.name, other.name) {
                continue;
            }
            for prefix in other.prefixes.iter().filter(|p| !member.prefixes.contains(p)) {
                let via = other.addresses.iter().copied().find(|a| Family::of(*a) == prefix.family());
                expected.entry(*prefix).or_default().insert(via.unwrap());
            }
        }
        assert_eq!(world.learned_routes(member.name), expected, "kernel of {}", member.name);
        let own: BTreeSet<_> = member.prefixes.iter().copied().collect();
        assert_eq!(world.unreachable_routes(member.name), own, "aggregates of {}", member.name);
    }
}
