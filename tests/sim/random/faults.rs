//! What goes wrong, and what people change, while a network runs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use routelet::bgp::{Codec, Community, Notification, Reason};
use routelet::fib::Target;
use routelet::prefix::{Family, Prefix};
use routelet::rib::well_known::{GRACEFUL_SHUTDOWN, NO_EXPORT};
use routelet::speaker::DrainTerms;
use routelet::speaker::intent::{LimitAction, MaxPrefixes};

use super::draw::Draw;
use super::net::Net;
use super::watch::Seen;
use crate::world::World;

/// A network under trial.
pub struct Trial {
    pub world: World,
    pub net: Net,
    pub draw: Draw,
    pub seen: Rc<RefCell<Seen>>,
    /// Nodes that do not run.
    pub down: BTreeSet<usize>,
    /// The session that was changed last, and which end of it.
    pub last: Option<(usize, usize)>,
}

/// Something that can happen; `false` if it cannot as things stand.
type Fault = fn(&mut Trial) -> bool;

/// What can happen, by the name under which it must have happened at least once.
pub const FAULTS: [(&str, Fault); 33] = [
    ("TCP reset", reset),
    ("silent loss", lose),
    ("NOTIFICATION", notify),
    ("slow reader", stall),
    ("partition", isolate),
    ("end of partition", heal),
    ("SIGKILL", kill),
    ("orderly stop", shut_down),
    ("start", start),
    ("restart", restart),
    ("start at once after SIGKILL", bounce),
    ("kernel refuses routes", refuse),
    ("kernel takes routes again", accept),
    ("somebody deletes routes", delete_routes),
    ("somebody diverts routes", divert_routes),
    ("next hop lost", cut_off),
    ("next hop found", reach),
    ("bridge gone", bridge_down),
    ("bridge back", bridge_up),
    ("export policy", export_policy),
    ("export policy and back", export_policy_and_back),
    ("import policy", import_policy),
    ("pod CIDR", pod_cidr),
    ("peer removed or added", peers),
    ("timers", timers),
    ("graceful restart turned on or off", graceful),
    ("AS", asn),
    ("reflection", reflection),
    ("multipath", multipath),
    ("prefix limit", limit),
    ("strange words", strange_words),
    ("drain", drain),
    ("undrain", undrain),
];

/// Prefixes that nobody announces in earnest.
const NOBODYS: [u8; 4] = [24, 203, 0, 113];

impl Trial {
    fn running(&mut self) -> Option<usize> {
        let up: Vec<usize> = (0..self.net.nodes.len()).filter(|i| !self.down.contains(i)).collect();
        if up.is_empty() { None } else { Some(self.draw.of(&up)) }
    }

    pub fn name(&self, node: usize) -> &'static str {
        self.net.nodes[node].name
    }

    /// Tells nodes what they are from now on, one after another.
    pub fn configure(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            let own = self.net.nodes[node].prefixes.clone();
            self.seen.borrow_mut().own.insert(self.name(node), own);
            self.world.configure(self.name(node), self.net.intent(node));
            if self.draw.once_in(2) {
                let pause = self.draw.below(3_000) as u64;
                self.world.run_for(Duration::from_millis(pause));
            }
        }
    }

    /// Changes one end of any session, or once more that of the one before: much is changed back.
    fn change_end(&mut self, change: impl FnOnce(&mut Trial, usize, usize)) -> bool {
        let any = (self.draw.below(self.net.links.len()), self.draw.below(2));
        let (link, end) = self.last.filter(|_| self.draw.once_in(2)).unwrap_or(any);
        self.last = Some((link, end));
        change(self, link, end);
        let node = self.net.links[link].ends[end].node;
        self.configure([node]);
        true
    }

    fn any_prefix(&mut self) -> Prefix {
        let all: Vec<Prefix> = self.net.prefixes().into_iter().collect();
        self.draw.of(&all)
    }

    fn stream(&mut self) -> Option<(&'static str, routelet::speaker::ConnectionId)> {
        let pairs = self.world.connected_pairs();
        let end = pairs.get(self.draw.below(pairs.len().max(1))).copied()?;
        if self.draw.once_in(2) { self.world.other_end(end) } else { Some(end) }
    }

    /// Gives a node back the routes beneath that it should have.
    pub fn refresh_underlay(&mut self, node: usize) {
        let underlay = self.net.underlay(node);
        self.world.tell(self.net.nodes[node].name, |speaker, now, setup| {
            setup.underlay = underlay.clone();
            if let Some(speaker) = speaker {
                speaker.handle_underlay(now, underlay);
            }
        });
    }
}

fn reset(trial: &mut Trial) -> bool {
    trial.stream().map(|end| trial.world.reset(end)).is_some()
}

fn lose(trial: &mut Trial) -> bool {
    trial.stream().map(|end| trial.world.lose(end)).is_some()
}

/// A NOTIFICATION arrives, and the connection closes behind it.
fn notify(trial: &mut Trial) -> bool {
    let Some(from) = trial.stream() else { return false };
    let reason = Reason::ADMINISTRATIVE_RESET;
    let notification = Notification { code: reason.code, subcode: reason.subcode, data: vec![] };
    trial.world.inject(from, Codec::initial().encode_notification(&notification));
    trial.world.reset(from);
    true
}

fn stall(trial: &mut Trial) -> bool {
    let seconds = trial.draw.between(1, 100) as u64;
    trial.stream().map(|end| trial.world.stall(end, Duration::from_secs(seconds))).is_some()
}

fn isolate(trial: &mut Trial) -> bool {
    for _ in 0..trial.draw.between(1, 1 + trial.net.nodes.len() / 3) {
        let node = trial.draw.below(trial.net.nodes.len());
        trial.world.isolate(trial.net.nodes[node].name);
    }
    true
}

fn heal(trial: &mut Trial) -> bool {
    trial.world.heal();
    true
}

fn kill(trial: &mut Trial) -> bool {
    let Some(node) = trial.running().filter(|_| trial.down.len() * 3 < trial.net.nodes.len()) else {
        return false;
    };
    trial.world.stop(trial.name(node));
    trial.down.insert(node)
}

fn shut_down(trial: &mut Trial) -> bool {
    let Some(node) = trial.running().filter(|_| trial.down.len() * 3 < trial.net.nodes.len()) else {
        return false;
    };
    trial.world.leave(trial.name(node));
    trial.down.insert(node)
}

fn start(trial: &mut Trial) -> bool {
    let Some(node) = trial.down.pop_first() else { return false };
    trial.world.start(trial.name(node));
    true
}

/// Stops a node in order and starts it again, before its peers have lost patience with it or after.
fn restart(trial: &mut Trial) -> bool {
    let Some(node) = trial.running() else { return false };
    let most = trial.draw.of(&[2_000, 2_000, 200_000]);
    let pause = trial.draw.below(most) as u64;
    trial.world.restart(trial.name(node), Duration::from_millis(pause));
    true
}

fn bounce(trial: &mut Trial) -> bool {
    let Some(node) = trial.running() else { return false };
    trial.world.stop(trial.name(node));
    trial.world.start(trial.name(node));
    true
}

fn refuse(trial: &mut Trial) -> bool {
    let node = trial.draw.below(trial.net.nodes.len());
    trial.world.set_refusing(trial.name(node), true);
    true
}

fn accept(trial: &mut Trial) -> bool {
    for name in trial.world.names() {
        trial.world.set_refusing(name, false);
    }
    true
}

fn delete_routes(trial: &mut Trial) -> bool {
    meddle(trial, |draw, _, _| draw.once_in(2).then_some(None))
}

fn divert_routes(trial: &mut Trial) -> bool {
    meddle(trial, |draw, _, _| draw.once_in(3).then_some(Some(Target::Unreachable)))
}

/// Changes routes of a node: `Some(None)` deletes one, `Some(Some(_))` replaces its target.
fn meddle(
    trial: &mut Trial,
    mut change: impl FnMut(&mut Draw, Prefix, &Target) -> Option<Option<Target>>,
) -> bool {
    let Some(node) = trial.running() else { return false };
    let name = trial.name(node);
    trial.seen.borrow_mut().meddled.insert(name);
    let draw = &mut trial.draw;
    trial.world.meddle(name, |kernel| {
        for (key, target) in kernel.clone() {
            match change(draw, key.0, &target) {
                Some(None) => drop(kernel.remove(&key)),
                Some(Some(target)) => drop(kernel.insert(key, target)),
                None => {}
            }
        }
    });
    true
}

fn cut_off(trial: &mut Trial) -> bool {
    let (node, other) = (trial.draw.below(trial.net.nodes.len()), trial.draw.below(trial.net.nodes.len()));
    let cut = node != other && trial.net.nodes[node].cut_off.insert(other);
    trial.refresh_underlay(node);
    cut
}

fn reach(trial: &mut Trial) -> bool {
    let cut = |i: &usize| !trial.net.nodes[*i].cut_off.is_empty();
    let Some(node) = (0..trial.net.nodes.len()).find(cut) else { return false };
    trial.net.nodes[node].cut_off.clear();
    trial.refresh_underlay(node);
    true
}

fn bridge_down(trial: &mut Trial) -> bool {
    let node = trial.draw.below(trial.net.nodes.len());
    trial.world.set_bridge(trial.name(node), false);
    true
}

fn bridge_up(trial: &mut Trial) -> bool {
    for name in trial.world.names() {
        trial.world.set_bridge(name, true);
    }
    true
}

fn export_policy(trial: &mut Trial) -> bool {
    trial.change_end(|trial, link, end| {
        let prefix = trial.any_prefix();
        let what = trial.draw.below(4);
        let leaving = trial.net.shape == "racks" && end == 0 && {
            let to = trial.net.links[link].ends[1].node;
            trial.net.nodes[to].name.starts_with("node")
        };
        let external = trial.net.is_external(&trial.net.links[link]);
        // A node of a rack tells its own prefixes alone, or its free choice would be no longer safe.
        let bound = trial.net.shape == "racks" && end == 1;
        let configured = &mut trial.net.links[link].ends[end];
        let before = configured.clone();
        match what {
            0 if !configured.withheld.remove(&prefix) => drop(configured.withheld.insert(prefix)),
            1 if external => configured.prepend = (configured.prepend + 1) % 3,
            2 if leaving && configured.community.is_none() => {
                configured.community = Some(GRACEFUL_SHUTDOWN);
            }
            2 if configured.community.is_none() => configured.community = Some(NO_EXPORT),
            _ => {
                configured.community = None;
                configured.next_hop_self ^= true;
            }
        }
        if bound {
            configured.withheld = before.withheld;
        }
    })
}

/// One peer is told otherwise than its like, and after a while like them again.
fn export_policy_and_back(trial: &mut Trial) -> bool {
    let mut before = None;
    trial.change_end(|trial, link, end| {
        let configured = &mut trial.net.links[link].ends[end];
        before = Some((link, end, configured.clone()));
        configured.community = Some(Community(64512 << 16 | 7));
        configured.prepend += 1;
    });
    let pause = trial.draw.below(20_000) as u64;
    trial.world.run_for(Duration::from_millis(pause));
    let Some((link, end, before)) = before else { return false };
    let node = before.node;
    trial.net.links[link].ends[end] = before;
    trial.configure([node]);
    true
}

fn import_policy(trial: &mut Trial) -> bool {
    trial.change_end(|trial, link, end| {
        let prefix = trial.any_prefix();
        let refused = &mut trial.net.links[link].ends[end].refused;
        if !refused.remove(&prefix) {
            refused.insert(prefix);
        }
    })
}

fn pod_cidr(trial: &mut Trial) -> bool {
    let node = trial.draw.below(trial.net.nodes.len());
    let version = u8::from(trial.net.nodes[node].addresses[0].is_ipv6());
    let extra: Prefix = match version {
        0 => format!("10.9.{node}.0/24").parse().unwrap(),
        _ => format!("fd00:10:9:{node:x}::/64").parse().unwrap(),
    };
    let own = &mut trial.net.nodes[node].prefixes;
    if !own.remove(&extra) {
        own.insert(extra);
    }
    let withheld: Vec<usize> = (0..trial.net.links.len())
        .filter(|i| {
            trial.net.shape == "racks"
                && trial.net.nodes[trial.net.links[*i].ends[1].node].name.starts_with("node")
        })
        .collect();
    for link in withheld {
        let end = &mut trial.net.links[link].ends[1];
        if end.node == node {
            end.withheld.remove(&extra)
        } else {
            end.withheld.insert(extra)
        };
    }
    let all: Vec<usize> =
        if trial.net.shape == "racks" { (0..trial.net.nodes.len()).collect() } else { vec![node] };
    trial.configure(all);
    true
}

fn peers(trial: &mut Trial) -> bool {
    trial.change_end(|trial, link, end| trial.net.links[link].configured[end] ^= true)
}

fn timers(trial: &mut Trial) -> bool {
    trial.change_end(|trial, link, end| {
        trial.net.links[link].ends[end].hold = trial.draw.of(&[6, 12, 60]);
    })
}

fn graceful(trial: &mut Trial) -> bool {
    trial.change_end(|trial, link, end| trial.net.links[link].ends[end].graceful ^= true)
}

/// A router gets another AS, and so do its peers' configurations, each when somebody comes to it.
fn asn(trial: &mut Trial) -> bool {
    if trial.net.shape != "graph" {
        return false;
    }
    let node = trial.draw.below(trial.net.nodes.len());
    trial.net.nodes[node].asn += 1000;
    let mut concerned = vec![node];
    concerned.extend(trial.net.sessions(node).map(|(link, own)| link.ends[1 - own].node));
    let names: Vec<&'static str> = concerned.iter().map(|node| trial.name(*node)).collect();
    trial.seen.borrow_mut().provoked.extend(names);
    trial.configure(concerned);
    true
}

fn reflection(trial: &mut Trial) -> bool {
    if trial.draw.once_in(3) {
        let node = trial.draw.below(trial.net.nodes.len());
        let other = Some([2, 2, 2, node as u8].into());
        let own = &mut trial.net.nodes[node].cluster_id;
        *own = if *own == other { None } else { other };
        trial.configure([node]);
        return true;
    }
    trial.change_end(|trial, link, end| trial.net.links[link].ends[end].serves_client ^= true)
}

fn multipath(trial: &mut Trial) -> bool {
    let node = trial.draw.below(trial.net.nodes.len());
    trial.net.nodes[node].max_paths = trial.draw.of(&[1, 2, 3, 16]);
    trial.configure([node]);
    true
}

fn limit(trial: &mut Trial) -> bool {
    trial.change_end(|trial, link, end| {
        let idle = trial.draw.of(&[None, Some(Duration::from_secs(10))]);
        let reset = LimitAction::Reset { idle };
        let action = trial.draw.of(&[LimitAction::Warn, LimitAction::Discard, reset, reset]);
        let limit = &mut trial.net.links[link].ends[end].max_prefixes;
        *limit = if limit.is_none() { Some(MaxPrefixes { limit: 1, action, warn_at: 75 }) } else { None };
    })
}

/// A node is drained for a while that may be too short for it to get far.
fn drain(trial: &mut Trial) -> bool {
    let Some(node) = trial.running() else { return false };
    let [settle, timeout] = [10_000, 20_000].map(|most| Duration::from_millis(trial.draw.below(most) as u64));
    let terms = DrainTerms { settle, timeout, reason: "new switch".to_owned(), holds_last: false };
    let mut begun = false;
    trial.world.tell(trial.name(node), |speaker, now, _| {
        begun = speaker.is_some_and(|speaker| speaker.handle_drain(now, terms));
    });
    begun
}

/// All drains are taken back, however far they have come.
pub fn undrain(trial: &mut Trial) -> bool {
    let mut any = false;
    for name in trial.world.names() {
        trial.world.tell(name, |speaker, now, _| {
            any |= speaker.is_some_and(|speaker| speaker.handle_undrain(now));
        });
    }
    any
}

/// Somebody puts words into speakers' mouths, here and there.
fn strange_words(trial: &mut Trial) -> bool {
    (0..3).all(|_| strange_word(trial))
}

/// A request for everything again, attributes that are malformed one way or another, or a header that
/// is none.
fn strange_word(trial: &mut Trial) -> bool {
    let Some(from) = trial.stream() else { return false };
    let Some(to) = trial.world.other_end(from) else { return false };
    trial.seen.borrow_mut().provoked.insert(to.0);
    let codec = Codec { four_octet_as: true, families: Family::ALL.to_vec(), ..Codec::initial() };
    let (what, octets) = match trial.draw.below(5) {
        0 => ("asked for everything again", codec.encode_route_refresh(Family::Ipv4Unicast)),
        1 => ("asked for everything again", codec.encode_route_refresh(Family::Ipv6Unicast)),
        // ORIGIN has a value that nobody knows.
        2 => ("bad ORIGIN", update(&[0x40, 1, 1, 9, 0x40, 2, 0, 0x40, 3, 4, 192, 0, 2, 1])),
        // ATOMIC_AGGREGATE has a value, which it must not.
        3 => ("bad ATOMIC_AGGREGATE", update(&[0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 6, 1, 0])),
        _ => ("no header", vec![0; 19]),
    };
    trial.seen.borrow_mut().event(what);
    trial.world.inject(from, octets);
    true
}

/// An UPDATE of a prefix that nobody announces in earnest.
fn update(attributes: &[u8]) -> Vec<u8> {
    let length = (19 + 4 + attributes.len() + NOBODYS.len()) as u16;
    let mut octets = vec![0xff; 16];
    octets.extend(length.to_be_bytes());
    octets.extend([2, 0, 0]);
    octets.extend((attributes.len() as u16).to_be_bytes());
    octets.extend(attributes);
    octets.extend(NOBODYS);
    octets
}
