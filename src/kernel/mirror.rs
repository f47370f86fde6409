//! The mirror: links, addresses and the routes that are not ours, kept from notices so that nobody has
//! to ask the kernel again.
//!
//! Pure. Starts from a dump and is told every notice since; what next hops are resolved by comes out
//! ([`Mirror::underlay`]). What the kernel does without a word is done here by inference. Found on
//! Linux 6.18 in a namespace, with `ip monitor all` beside it:
//!
//! | what happens | routes over the link | what is said |
//! |---|---|---|
//! | carrier is lost | stay, marked `linkdown` | the link alone |
//! | the link is set down | those go that have no next hop left on another link; IPv6 next hops that stay are dead until the link is `running` again | the link, then each IPv6 route and address; of IPv4 routes nothing |
//! | the link is deleted | those go that have any next hop over it | the link twice, first as down, and each IPv6 route |
//! | it is set up again | connected ones return, others do not; next hops that were dead revive | the link, each connected route |
//! | an IPv4 address goes | its connected route, and those whose source it was | each of these (the latter not on older kernels) |
//! | the last IPv4 address of a link goes | every IPv4 route over the link | the connected one, of the others nothing |
//! | a link is renamed | none | the link under its new name |
//! | carrier is lost, or the link goes | nexthop objects on it go, then groups that have no member left, then their routes | nothing |
//! | a next hop is appended to an IPv6 route | | the route with all its next hops, and the newest one's protocol |
//! | a next hop of an IPv6 route is deleted | | that one alone |
//!
//! What cannot be told from notices (which of several routes with one metric is replaced) makes the
//! mirror doubt itself ([`Effect::doubt`]): its owner then looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::BitOrAssign;

use super::notice::{Exit, LinkAddress, LinkState, Notice, Object, RouteKey, RouteState};
use super::rtm::route;
use crate::rib::next_hop::UnderlayRoute;

/// The kernel as it was last heard of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mirror {
    links: BTreeMap<u32, LinkState>,
    addresses: BTreeSet<LinkAddress>,
    /// Nexthop objects, whoever's.
    objects: BTreeMap<u32, Object>,
    /// Routes that are not ours; several at one place in the kernel's order.
    routes: BTreeMap<RouteKey, Vec<RouteState>>,
}

/// What a notice has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// Next hops may resolve differently.
    pub(super) underlay: bool,
    /// A link or an address is at the bottom of it, and packets may be being lost.
    pub(super) links: bool,
    /// Routes, ours among them, may have gone without a word.
    pub(super) routes_at_risk: bool,
    /// Nexthop objects may have gone, or lost members, without a word.
    pub(super) objects_at_risk: bool,
    /// The mirror may be wrong from here on.
    pub(super) doubt: bool,
}

impl BitOrAssign for Effect {
    fn bitor_assign(&mut self, other: Effect) {
        self.underlay |= other.underlay;
        self.links |= other.links;
        self.routes_at_risk |= other.routes_at_risk;
        self.objects_at_risk |= other.objects_at_risk;
        self.doubt |= other.doubt;
    }
}

impl Mirror {
    /// Takes a notice in. It must not be about a route of ours.
    pub(super) fn hear(&mut self, notice: &Notice) -> Effect {
        match notice {
            Notice::Link(link) => self.hear_link(link),
            Notice::LinkGone(index) => self.hear_link_gone(*index),
            Notice::Address(address) => {
                let news = self.addresses.insert(*address);
                Effect { underlay: news, links: news, ..Effect::default() }
            }
            Notice::AddressGone(address) => self.hear_address_gone(address),
            Notice::Route { key, state, replaces, appends } => {
                self.hear_route(*key, state, *replaces, *appends)
            }
            Notice::RouteGone { key, state } => self.hear_route_gone(*key, state),
            Notice::Object { id, object, .. } => {
                let news = self.objects.insert(*id, object.clone()).as_ref() != Some(object);
                Effect { underlay: news, ..Effect::default() }
            }
            Notice::ObjectGone { id, .. } => {
                let gone = self.remove_object(*id);
                Effect { underlay: gone, routes_at_risk: gone, ..Effect::default() }
            }
        }
    }

    /// Takes in what a dump says, in the kernel's order. As [`Mirror::hear`], it must not be about a
    /// route of ours.
    pub(super) fn find(&mut self, notice: Notice) {
        match notice {
            Notice::Route { key, state, .. } => self.hear_route(key, &state, false, true),
            other => self.hear(&other),
        };
    }

    /// What next hops are resolved by: every unicast route that is not ours and whose link works. A
    /// route with several next hops comes as several.
    pub(super) fn underlay(&self) -> Vec<UnderlayRoute> {
        let mut underlay = Vec::with_capacity(self.routes.len());
        for (key, states) in &self.routes {
            for state in states.iter().filter(|state| state.kind == route::UNICAST) {
                let exits = self.exits(state).into_iter().filter(|exit| self.works(key, state, exit));
                underlay.extend(exits.map(|exit| UnderlayRoute {
                    prefix: key.prefix,
                    via: exit.via,
                    interface: exit.interface,
                    metric: key.metric,
                }));
            }
        }
        underlay
    }

    /// The addresses of this machine.
    pub(super) fn addresses(&self) -> BTreeSet<IpAddr> {
        self.addresses.iter().map(|address| address.address).collect()
    }

    /// Whether packets can leave by a route's exit.
    fn works(&self, key: &RouteKey, state: &RouteState, exit: &Exit) -> bool {
        let Some(index) = exit.interface else { return true };
        let Some(link) = self.links.get(&index).filter(|link| link.works()) else { return false };
        if state.exits.len() < 2 {
            return true;
        }
        // One of several stays when it dies, and is revived by other things than those it died of.
        if key.prefix.address().is_ipv6() {
            return link.running;
        }
        let has_ipv4 = |address: &LinkAddress| address.link == index && address.address.is_ipv4();
        exit.via.is_none_or(|via| via.is_ipv6()) || self.addresses.iter().any(has_ipv4)
    }

    /// A route's ways out, those of its nexthop object where it has one.
    fn exits(&self, state: &RouteState) -> Vec<Exit> {
        let Some(id) = state.object else { return state.exits.clone() };
        match self.objects.get(&id) {
            Some(Object::Single(exit)) => vec![*exit],
            Some(Object::Group(members)) => {
                let single = |(id, weight): &(u32, u8)| match self.objects.get(id)? {
                    Object::Single(exit) => Some(Exit { weight: *weight, ..*exit }),
                    Object::Group(_) | Object::Blackhole => None,
                };
                members.iter().filter_map(single).collect()
            }
            Some(Object::Blackhole) | None => vec![],
        }
    }

    fn hear_link(&mut self, link: &LinkState) -> Effect {
        let before = self.links.insert(link.index, link.clone());
        if before.as_ref() == Some(link) {
            return Effect::default();
        }
        let failed = before.as_ref().is_some_and(LinkState::works) && !link.works();
        let went_down = before.as_ref().is_some_and(|before| before.up) && !link.up;
        if failed || went_down {
            self.remove_objects_on(link.index);
        }
        if went_down {
            self.remove_routes_over(link.index, |_| true);
        }
        Effect {
            underlay: true,
            links: true,
            routes_at_risk: went_down,
            objects_at_risk: failed || went_down,
            doubt: false,
        }
    }

    fn hear_link_gone(&mut self, index: u32) -> Effect {
        if self.links.remove(&index).is_none() {
            return Effect::default();
        }
        self.addresses.retain(|address| address.link != index);
        self.remove_objects_on(index);
        // With one next hop go all others.
        self.retain(|_, state| !state.exits.iter().any(|exit| exit.interface == Some(index)));
        Effect { underlay: true, links: true, routes_at_risk: true, objects_at_risk: true, doubt: false }
    }

    fn hear_address_gone(&mut self, gone: &LinkAddress) -> Effect {
        if !self.addresses.remove(gone) {
            return Effect::default();
        }
        let mut routes_at_risk = false;
        if gone.address.is_ipv4() {
            let left = |a: &&LinkAddress| a.link == gone.link && a.address.is_ipv4();
            if !self.addresses.iter().any(|address| left(&address)) {
                self.remove_routes_over(gone.link, |key| key.prefix.address().is_ipv4());
                routes_at_risk = true;
            }
            if !self.addresses.iter().any(|address| address.address == gone.address) {
                self.retain(|_, state| state.source != Some(gone.address));
            }
        }
        Effect { underlay: true, links: true, routes_at_risk, ..Effect::default() }
    }

    fn hear_route(&mut self, key: RouteKey, state: &RouteState, replaces: bool, appends: bool) -> Effect {
        let state = comparable(key, state);
        let held = self.routes.entry(key).or_default();
        if replaces && !held.is_empty() {
            let doubt = held.len() > 1;
            let alike = held.iter().position(|other| key.prefix.address().is_ipv6() && is_one(other, &state));
            let before = std::mem::replace(&mut held[alike.unwrap_or(0)], state.clone());
            return Effect { underlay: before != state, doubt, ..Effect::default() };
        }
        if held.contains(&state) {
            return Effect::default();
        }
        if key.prefix.address().is_ipv6()
            && let Some(one) = held.iter_mut().find(|other| is_one(other, &state))
        {
            one.exits.retain(|exit| !leads_to_any(exit, &state.exits));
            one.exits.extend(state.exits);
            one.exits.sort_unstable();
        } else {
            held.insert(if appends { held.len() } else { 0 }, state);
        }
        Effect { underlay: true, ..Effect::default() }
    }

    fn hear_route_gone(&mut self, key: RouteKey, gone: &RouteState) -> Effect {
        let gone = comparable(key, gone);
        let Some(held) = self.routes.get_mut(&key) else { return Effect::default() };
        let count = held.len();
        if let Some(place) = held.iter().position(|state| *state == gone) {
            held.remove(place);
        } else if key.prefix.address().is_ipv6() {
            for one in held.iter_mut().filter(|other| is_one(other, &gone)) {
                one.exits.retain(|exit| !leads_to_any(exit, &gone.exits));
            }
            held.retain(|state| {
                state.kind != route::UNICAST || state.object.is_some() || !state.exits.is_empty()
            });
        }
        // Of several, another may have been meant; of one, it was that.
        let doubt = count > 1 && held.len() == count;
        if count == 1 && key.prefix.address().is_ipv4() {
            held.clear();
        }
        if held.is_empty() {
            self.routes.remove(&key);
        }
        Effect { underlay: true, doubt, ..Effect::default() }
    }

    /// Removes what the kernel removes when a link goes: routes that have no other way out. Others keep
    /// their dead next hops.
    fn remove_routes_over(&mut self, index: u32, concerned: impl Fn(&RouteKey) -> bool) {
        let links = std::mem::take(&mut self.links);
        let is_down = |exit: &Exit| {
            exit.interface.is_some_and(|i| i == index || links.get(&i).is_none_or(|link| !link.up))
        };
        self.retain(|key, state| {
            if state.object.is_some()
                || !concerned(key)
                || !state.exits.iter().any(|e| e.interface == Some(index))
            {
                return true;
            }
            !state.exits.iter().all(is_down)
        });
        self.links = links;
    }

    /// Removes what the kernel removes when a link fails: the objects on it.
    fn remove_objects_on(&mut self, index: u32) {
        let on_it = |object: &Object| matches!(object, Object::Single(exit) if exit.interface == Some(index));
        let ids: Vec<u32> = self.objects.iter().filter(|(_, o)| on_it(o)).map(|(id, _)| *id).collect();
        for id in ids {
            self.remove_object(id);
        }
    }

    /// Removes an object, its memberships, groups that are empty then, and the routes of all these.
    fn remove_object(&mut self, id: u32) -> bool {
        if self.objects.remove(&id).is_none() {
            return false;
        }
        let mut gone = BTreeSet::from([id]);
        for (other, object) in &mut self.objects {
            if let Object::Group(members) = object {
                members.retain(|(member, _)| *member != id);
                if members.is_empty() {
                    gone.insert(*other);
                }
            }
        }
        self.objects.retain(|id, _| !gone.contains(id));
        self.retain(|_, state| state.object.is_none_or(|object| !gone.contains(&object)));
        true
    }

    fn retain(&mut self, mut keep: impl FnMut(&RouteKey, &mut RouteState) -> bool) {
        self.routes.retain(|key, states| {
            states.retain_mut(|state| keep(key, state));
            !states.is_empty()
        });
    }
}

/// A route in a form of which there is one, however it was described.
fn comparable(key: RouteKey, state: &RouteState) -> RouteState {
    let mut state = state.clone();
    // What an object leads to is the object's to say, and not every kernel repeats it.
    if state.object.is_some() {
        state.exits.clear();
    }
    if key.prefix.address().is_ipv6() {
        if is_routed(&state) {
            // Its next hops may have been added by several programs.
            state.protocol = 0;
        }
        state.exits.sort_unstable();
    }
    state
}

/// Whether two IPv6 routes for one prefix and metric are one, with the next hops of both.
fn is_one(a: &RouteState, b: &RouteState) -> bool {
    is_routed(a) && is_routed(b)
}

/// Whether an IPv6 route leads through routers, and was not learned from them themselves.
fn is_routed(state: &RouteState) -> bool {
    const REDIRECT: u8 = 1;
    const ROUTER_ADVERTISEMENT: u8 = 9;
    ![REDIRECT, ROUTER_ADVERTISEMENT].contains(&state.protocol)
        && state.object.is_none()
        && !state.exits.is_empty()
        && state.exits.iter().all(|exit| exit.via.is_some())
}

fn leads_to_any(exit: &Exit, others: &[Exit]) -> bool {
    others.iter().any(|other| other.via == exit.via && other.interface == exit.interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: u32 = 3;

    fn link(up: bool, carrier: bool) -> Notice {
        let running = up && carrier;
        Notice::Link(LinkState { index: LINK, name: "eth0".to_owned(), up, carrier, running, master: None })
    }

    fn route(prefix: &str, exits: &[(&str, u32)]) -> Notice {
        let exit = |(via, link): &(&str, u32)| Exit {
            via: (!via.is_empty()).then(|| via.parse().unwrap()),
            interface: Some(*link),
            weight: 1,
        };
        let key = RouteKey { table: 254, prefix: prefix.parse().unwrap(), metric: 0 };
        let exits = exits.iter().map(exit).collect();
        let state = RouteState { protocol: 3, kind: route::UNICAST, exits, object: None, source: None };
        Notice::Route { key, state, replaces: false, appends: false }
    }

    fn prefixes(mirror: &Mirror) -> Vec<String> {
        mirror.underlay().iter().map(|route| route.prefix.to_string()).collect()
    }

    #[test]
    fn carrier_that_is_lost_hides_routes_and_a_link_that_is_set_down_loses_them() {
        let mut mirror = Mirror::default();
        mirror.hear(&link(true, true));
        mirror.hear(&route("10.0.0.0/8", &[("192.0.2.1", LINK)]));
        assert_eq!(prefixes(&mirror), ["10.0.0.0/8"]);
        let lost = mirror.hear(&link(true, false));
        assert!(lost.links && lost.objects_at_risk && !lost.routes_at_risk, "{lost:?}");
        assert!(prefixes(&mirror).is_empty());
        mirror.hear(&link(true, true));
        assert_eq!(prefixes(&mirror), ["10.0.0.0/8"], "it stood all along");
        assert!(mirror.hear(&link(false, false)).routes_at_risk);
        mirror.hear(&link(true, true));
        assert!(prefixes(&mirror).is_empty(), "nobody has said that it is back");
    }

    #[test]
    fn what_is_heard_again_changes_nothing() {
        let mut mirror = Mirror::default();
        for notice in [link(true, true), route("10.0.0.0/8", &[("192.0.2.1", LINK)])] {
            assert!(mirror.hear(&notice).underlay);
            assert_eq!(mirror.hear(&notice), Effect::default());
        }
    }

    #[test]
    fn connected_routes_of_several_links_for_one_prefix_stay_apart() {
        let mut mirror = Mirror::default();
        mirror.hear(&link(true, true));
        for index in [LINK, LINK + 1] {
            mirror.hear(&route("fe80::/64", &[("", index)]));
        }
        assert_eq!(prefixes(&mirror).len(), 1, "the other link is not there");
        mirror.hear(&Notice::LinkGone(LINK));
        assert_eq!(mirror.routes.values().flatten().count(), 1);
    }
}
