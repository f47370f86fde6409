//! What may be desired: next hops over three interfaces, depending on four peers.

use routelet::fib::{Fate, Leg, NextHop, Plan, Target, Ways};
use routelet::prefix::Prefix;

/// A next hop by number; the fourth shares an interface with the first.
pub fn hop(number: u8, weight: u8) -> NextHop {
    let interface = Some(u32::from(number - 1) % 3 + 1);
    NextHop { via: std::net::Ipv4Addr::new(10, 0, 0, number).into(), interface, weight }
}

fn leg(number: u8) -> Leg {
    Leg { hop: hop(number, 1), fate: Some(Fate(u32::from(number))) }
}

/// Everything that may be desired.
pub fn plans() -> Vec<Plan> {
    let via = |legs: &[u8], backup: Option<u8>, more| {
        let legs = legs.iter().map(|number| leg(*number)).collect();
        Plan::Via(Ways { legs, backup: backup.map(leg), more })
    };
    let shared = Leg { hop: hop(2, 1), fate: None };
    let weighted = vec![Leg { hop: hop(1, 1), fate: None }, Leg { hop: hop(3, 5), fate: Some(Fate(3)) }];
    vec![
        via(&[1], None, false),
        via(&[2], None, false),
        via(&[4], None, true),
        via(&[1], Some(2), false),
        via(&[1], Some(3), true),
        via(&[1], Some(4), false),
        via(&[2], Some(1), false),
        via(&[1, 2], None, false),
        via(&[1, 2], Some(3), true),
        via(&[1, 4], Some(2), false),
        Plan::Via(Ways { legs: vec![shared], backup: None, more: false }),
        Plan::Via(Ways { legs: weighted, backup: None, more: false }),
        Plan::from(Target::Via(vec![NextHop { interface: None, ..hop(1, 1) }])),
        Plan::Unreachable,
    ]
}

pub fn prefix(number: usize) -> Prefix {
    Prefix::host(std::net::Ipv4Addr::new(10, 244, 0, number as u8).into())
}
