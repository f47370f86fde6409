//! A cluster with three reflectors in virtual time: it converges, and what is said for that is counted against the
//! least that could be said.
//!
//! The least: each node tells each of its reflectors its prefix, in one UPDATE. A reflector tells each node the prefix
//! of each other node, and two of those never share an UPDATE, for each has a NEXT_HOP and an ORIGINATOR_ID of its own
//! (RFC 4456 §8). Each direction of a session ends with one End-of-RIB. Reflectors tell each other their own prefix
//! alone: of the rest they hear from the nodes. Octets are those of the same messages, without any attribute that
//! could be left out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use routelet::cluster::compile;
use routelet::rib::next_hop::UnderlayRoute;
use routelet::speaker::ConnectionId;

use super::cluster;
use super::crowd::{Counting, Nodes, Tally, address_of};
use crate::world::{Answer, Crowd, Heard, Setup, World};

const REFLECTORS: usize = 3;
/// ORIGIN, AS_PATH, NEXT_HOP and LOCAL_PREF beside one prefix of 24 bits; a header, two lengths.
const OWN: u64 = 19 + 2 + 2 + 4 + 3 + 7 + 7 + 4;
/// ORIGINATOR_ID and a CLUSTER_LIST of one.
const REFLECTED: u64 = OWN + 7 + 7;
const END_OF_RIB: u64 = 23;
/// Nothing is lost and no step takes longer than a few milliseconds.
const SETTLED: Duration = Duration::from_secs(1);

/// The nodes that the test and the world share.
struct Shared(Rc<RefCell<Nodes>>);

impl Crowd for Shared {
    fn hear(&mut self, name: &'static str, connection: ConnectionId, heard: Heard) -> Answer {
        self.0.borrow_mut().hear(name, connection, heard)
    }
}

struct Mesh {
    world: World,
    /// Nodes, reflectors among them; of those that are no reflectors, the first so many are whole speakers.
    count: usize,
    real: usize,
    played: Rc<RefCell<Nodes>>,
    tally: Rc<RefCell<Tally>>,
}

impl Mesh {
    /// `count` nodes of which none runs; the reflectors and `real` others are whole speakers.
    fn new(count: usize, real: usize, seed: u64) -> Mesh {
        let objects = cluster(count, "reflectors");
        let first_played = 1 + REFLECTORS + real;
        let addresses: BTreeSet<IpAddr> =
            (first_played..=count).map(|number| address_of(number).into()).collect();
        let subnet = UnderlayRoute {
            prefix: "192.168.0.0/16".parse().unwrap(),
            via: None,
            interface: Some(2),
            metric: 0,
        };
        let mut asn = 0;
        let speakers: Vec<_> = (1..first_played)
            .map(|number| {
                let mut intent = compile(&objects, name(number)).unwrap().intent;
                asn = intent.asn;
                let peers = intent.peers.values_mut();
                peers.for_each(|peer| peer.passive |= addresses.contains(&peer.address));
                let setup = Setup { addresses: intent.addresses.clone(), intent, underlay: vec![subnet] };
                (name(number), setup)
            })
            .collect();
        let tally = Rc::new(RefCell::new(Tally::default()));
        let played = (first_played..=count).map(|number| (name(number), (number, address_of(number))));
        let played = Rc::new(RefCell::new(Nodes::new(played.collect(), asn, tally.clone())));
        let mut world = World::of(speakers, seed);
        world.observe(Box::new(Counting(tally.clone())));
        let routers = (first_played..=count).map(|number| (name(number), address_of(number).into()));
        world.play(Box::new(Shared(played.clone())), routers);
        Mesh { world, count, real, played, tally }
    }

    fn clients(&self) -> usize {
        self.count - REFLECTORS
    }

    /// One node after another, the reflectors first, with so long between two.
    fn start(&mut self, pause: Duration) {
        for number in 1..=self.count {
            if number <= REFLECTORS + self.real {
                self.world.start(name(number));
            } else {
                for reflector in 1..=REFLECTORS {
                    let from = (name(number), ConnectionId(reflector as u64));
                    self.world.approach(from, address_of(number).into(), address_of(reflector).into());
                }
            }
            self.world.run_for(pause);
        }
    }

    fn is_converged(&self) -> bool {
        let sessions = REFLECTORS * (self.clients() - self.real);
        self.played.borrow().sessions_that_heard(self.count - 1) == sessions
            && (1..=REFLECTORS + self.real).all(|number| {
                let name = name(number);
                self.world.is_running(name) && self.world.learned_routes(name).len() == self.count - 1
            })
    }

    /// How long it takes from here until everybody knows everything.
    fn settle(&mut self, most: Duration) -> Duration {
        let began = self.world.now();
        while !self.is_converged() {
            let since = self.world.now().since(began);
            assert!(since < most, "not at rest after {since:?}; {:?}", self.tally.borrow());
            self.world.run_for(Duration::from_millis(5));
        }
        let took = self.world.now().since(began);
        // Whatever is still said counts, too.
        self.world.run_for(SETTLED);
        took
    }

    /// The least that the sessions of so many reflectors take that begin anew.
    fn least(&self, reflectors: usize) -> Tally {
        let [count, clients, reflectors, all] =
            [self.count, self.clients(), reflectors, REFLECTORS].map(|n| n as u64);
        // Both directions of a session between two reflectors, if either begins anew.
        let among = all * (all - 1) - (all - reflectors) * (all - reflectors).saturating_sub(1);
        let up = reflectors * clients;
        let down = reflectors * clients * (count - 1);
        // Of what a reflector tells, its own prefix alone is not reflected.
        let octets = up * OWN + (down - up) * REFLECTED + up * OWN + among * OWN;
        let ends = 2 * up + among;
        Tally { updates: up + down + among + ends, octets: octets + ends * END_OF_RIB }
    }

    /// Holds what was said since the last time against the least.
    #[allow(clippy::disallowed_macros, reason = "a person may want to see it")]
    fn check(&mut self, what: &str, took: Duration, least: Tally) {
        let said = self.tally.take();
        let of = |said: u64, least: u64| said as f64 / least as f64;
        let (updates, octets) = (of(said.updates, least.updates), of(said.octets, least.octets));
        println!(
            "{} nodes, {what}: at rest {took:?} after the last; {} UPDATEs ({updates:.4} of the least), {} octets ({octets:.4})",
            self.count, said.updates, said.octets
        );
        assert!((1.0..1.1).contains(&updates), "{said:?} against {least:?}");
        assert!((1.0..1.1).contains(&octets), "{said:?} against {least:?}");
    }
}

fn name(number: usize) -> &'static str {
    // A few thousand short names, once for each test.
    format!("n{number}").leak()
}

/// All join within a short time; then a reflector restarts.
fn together(count: usize, real: usize) {
    let mut mesh = Mesh::new(count, real, 1);
    mesh.start(Duration::from_millis(2));
    let took = mesh.settle(Duration::from_secs(10));
    mesh.check("all at once", took, mesh.least(REFLECTORS));
    for number in 1 + REFLECTORS..=REFLECTORS + real {
        let routes = mesh.world.routes(name(number));
        let learned = routes.iter().filter(|route| route.paths.len() == REFLECTORS).count();
        assert_eq!(learned, count - 1, "a path from each reflector");
    }
    mesh.world.stop("n1");
    mesh.world.run_for(Duration::from_secs(1));
    mesh.world.start("n1");
    let took = mesh.settle(Duration::from_secs(60));
    mesh.check("a reflector restarts", took, mesh.least(1));
}

/// One joins after the other, at a distance.
fn one_by_one(count: usize, real: usize) {
    let mut mesh = Mesh::new(count, real, 2);
    mesh.start(Duration::from_millis(100));
    let took = mesh.settle(Duration::from_secs(1));
    mesh.check("one by one", took, mesh.least(REFLECTORS));
}

#[test]
fn a_cluster_says_little_more_than_it_must() {
    together(120, 20);
}

#[test]
fn nodes_that_join_one_by_one_say_little_more_than_they_must() {
    one_by_one(120, 20);
}

/// As many as `NODES` says, or 5,000.
fn many() -> usize {
    std::env::var("NODES").map_or(5000, |count| count.parse().expect("NODES is a number"))
}

#[test]
#[ignore = "minutes in an optimised build"]
fn thousands_of_nodes_say_little_more_than_they_must() {
    together(many(), 10);
}

#[test]
#[ignore = "minutes in an optimised build"]
fn thousands_of_nodes_that_join_one_by_one_say_little_more_than_they_must() {
    one_by_one(many(), 10);
}
