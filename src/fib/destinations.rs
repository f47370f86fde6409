//! Where our routes lead, for those who treat what the routers reach unlike the rest.

use super::route::Target;
use super::table::Fib;
use crate::prefix::Prefix;

impl Fib {
    /// Destinations that routes lead to through other routers, in no order; `None` if they are more than
    /// `most`, which is found without looking at all of them. A default route leads anywhere and is not
    /// among them.
    pub fn destinations(&self, most: usize) -> Option<Vec<Prefix>> {
        let mut destinations = vec![];
        for (_, entry) in self.entries.iter() {
            let (prefix, _) = entry.key;
            let is_way = self.desired_target(entry).is_some_and(|target| matches!(*target, Target::Via(_)));
            if prefix.length() == 0 || !is_way {
                continue;
            }
            if destinations.len() == most {
                return None;
            }
            destinations.push(prefix);
        }
        Some(destinations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fib::{NextHop, Plan};

    #[test]
    fn defaults_and_dead_ends_are_no_destinations_and_there_may_be_too_many() {
        let mut fib = Fib::default();
        let via = Plan::from(Target::Via(vec![NextHop {
            via: "192.0.2.1".parse().unwrap(),
            interface: None,
            weight: 1,
        }]));
        for prefix in ["0.0.0.0/0", "::/0", "10.1.0.0/16", "10.2.0.0/16"] {
            fib.desire(prefix.parse().unwrap(), 20, Some(&via));
        }
        fib.desire("10.244.1.0/24".parse().unwrap(), 20, Some(&Plan::from(Target::Unreachable)));
        let mut found = fib.destinations(2).unwrap();
        found.sort();
        assert_eq!(found, ["10.1.0.0/16", "10.2.0.0/16"].map(|p| p.parse::<Prefix>().unwrap()));
        assert_eq!(fib.destinations(1), None);
    }
}
