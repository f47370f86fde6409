//! Where a route enters the kernel: changes to routes and nexthop groups of ours, hundreds at a time.
//!
//! The kernel keeps one route per prefix and metric, whoever made it: `NLM_F_REPLACE` overwrites another
//! program's route without asking, in IPv4 and in IPv6, and so does every tool that uses it. Therefore
//! a route of which it is not known what stands in its place is first asked for with `NLM_F_EXCL`,
//! which can overwrite nothing. Only those that the kernel answers with "exists" are looked at, and
//! replaced where what exists is ours; anybody else's stays, and the change fails with its owner's name.
//! (Who deletes ours and puts his in its place between our look and our replacement loses his: the
//! kernel has no way to ask for both at once.)
//!
//! What else had to be found out about Linux (6.1 to 6.18):
//!
//! - A replacement takes the place of a route of any form, in both families: one next hop by many, many by
//!   an unreachable one, a group by next hops, and back. A removal without next hops takes all of them.
//! - IPv6 knows no metric 0: it becomes 1024. Such an install is refused here, for we would not
//!   recognise the route again.
//! - IPv4 routes go silently when their link is set down or deleted; IPv6 routes with a notice.
//! - A group never becomes a single next hop or the other way round. Hence routes refer to groups only,
//!   also to those of one member.
//! - When a link goes down or loses its carrier, the kernel removes single next hops over it, their places in
//!   groups, and emptied groups with all their routes, without a word. Who is refused a group for the lack
//!   of a member makes its members anew and asks once more.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};

use super::exchange::Exchange;
use super::frame::Requests;
use super::nexthop_message as nexthop;
use super::nexthops::{Held, Key, Nexthops};
use super::refusal::Refusal as No;
use super::routes::Ownership;
use super::{Error, conflict, found, route_request as wire};
use crate::fib::{Change, Found, Group, GroupId, Refusal, Route};
use crate::prefix::Family;

/// Requests in one datagram, and octets in it. The socket's send buffer, 200 kB unless the machine is set
/// otherwise, must hold it, and its receive buffer as many refusals.
const REQUESTS: usize = 512;
const OCTETS: usize = 64 << 10;

/// Writes routes and groups of ours in one network namespace.
#[derive(Debug)]
pub struct Installer {
    exchange: Exchange,
    ownership: Ownership,
    /// Read when first needed.
    nexthops: Option<Nexthops>,
    /// What the next datagram holds, and the place in the batch of each of its requests.
    requests: Requests,
    places: Vec<usize>,
}

/// What a batch came to so far.
struct Outcome<'a> {
    changes: &'a [Change],
    refusals: Vec<Refusal>,
    /// Installs in whose place something stands.
    taken: Vec<(usize, &'a Route)>,
}

impl Outcome<'_> {
    fn refuse(&mut self, index: usize, error: &Error) {
        let conflict = matches!(error, Error::ForeignRoute { .. } | Error::ForeignGroup { .. });
        self.refusals.push(Refusal { index, reason: error.to_string(), conflict });
    }
}

impl Installer {
    /// Opens a conversation in the calling thread's namespace.
    ///
    /// # Errors
    /// The socket could not be opened.
    pub fn open(ownership: Ownership) -> Result<Installer, Error> {
        Ok(Installer {
            exchange: Exchange::open()?,
            ownership,
            nexthops: None,
            requests: Requests::default(),
            places: Vec::new(),
        })
    }

    /// The number that the kernel puts on news of what is done here.
    pub fn port(&self) -> u32 {
        self.exchange.port()
    }

    /// Reads what the kernel holds of ours, and removes single next hops that no group needs.
    ///
    /// # Errors
    /// The dump failed or was interrupted too often to be consistent.
    pub fn adopt(&mut self) -> Result<Found, Error> {
        let (found, mut nexthops) = found::read(&mut self.exchange, self.ownership)?;
        if let Some(nexthops) = &mut nexthops {
            let all: Vec<Key> = nexthops.singles().map(|(key, _)| key).collect();
            let unused = nexthops.forget_unused(&all);
            self.remove_singles(&unused);
        }
        self.nexthops = nexthops;
        Ok(found)
    }

    /// What is written from now on is of this table and protocol. What was written before stays as it is: the
    /// kernel cannot be asked to change a group's protocol.
    pub fn set_ownership(&mut self, ownership: Ownership) {
        if ownership.protocol != self.ownership.protocol {
            self.nexthops = None;
        }
        self.ownership = ownership;
    }

    /// Makes the changes in order and returns those that the kernel refused, by their places. A failed change
    /// does not hold back the rest.
    pub fn apply(&mut self, changes: &[Change]) -> Vec<Refusal> {
        let mut outcome = Outcome { changes, refusals: Vec::new(), taken: Vec::new() };
        for (index, change) in changes.iter().enumerate() {
            let result = match change {
                Change::Install(route) | Change::Replace(route) if is_unspeakable(route) => {
                    Err(Error::MetricZero { prefix: route.prefix })
                }
                Change::SetGroup(group) => {
                    // What was asked for before may still refer to the group, and what stands in
                    // the place of a route too.
                    self.settle(&mut outcome);
                    self.set_group(group)
                }
                Change::RemoveGroup(id) => {
                    self.settle(&mut outcome);
                    self.remove_group(*id)
                }
                _ => {
                    self.add(index, change);
                    Ok(())
                }
            };
            if let Err(error) = result {
                outcome.refuse(index, &error);
            }
            if self.is_full() {
                self.flush(&mut outcome);
            }
        }
        self.settle(&mut outcome);
        outcome.refusals.sort_by_key(|refusal| refusal.index);
        outcome.refusals
    }

    /// Adds a change of a route to the next datagram.
    fn add(&mut self, index: usize, change: &Change) {
        let (requests, ownership) = (&mut self.requests, self.ownership);
        match change {
            Change::Install(route) => wire::install(requests, NLM_F_CREATE | NLM_F_EXCL, ownership, route),
            Change::Replace(route) => wire::install(requests, NLM_F_CREATE | NLM_F_REPLACE, ownership, route),
            Change::Remove { prefix, metric } => wire::remove(requests, ownership, *prefix, *metric),
            Change::SetGroup(_) | Change::RemoveGroup(_) => return,
        }
        self.places.push(index);
    }

    fn is_full(&self) -> bool {
        self.requests.len() == REQUESTS || self.requests.octets().len() > OCTETS
    }

    /// Sends what is written.
    fn flush(&mut self, outcome: &mut Outcome) {
        for (request, refusal) in self.exchange.ask(&mut self.requests) {
            let index = self.places[request];
            match &outcome.changes[index] {
                Change::Remove { .. } if refusal.is(nix::Error::ESRCH) => {}
                Change::Install(route) if refusal.is(nix::Error::EEXIST) => {
                    outcome.taken.push((index, route))
                }
                change => outcome.refuse(index, &refusal.to(change)),
            }
        }
        self.requests.clear();
        self.places.clear();
    }

    /// Sends what is written, and replaces what stands in the way of installs where it is ours.
    fn settle(&mut self, outcome: &mut Outcome) {
        self.flush(outcome);
        let taken = std::mem::take(&mut outcome.taken);
        if taken.is_empty() {
            return;
        }
        let verdicts = match conflict::look(&mut self.exchange, self.ownership, &taken) {
            Ok(verdicts) => verdicts,
            Err(error) => return taken.iter().for_each(|(index, _)| outcome.refuse(*index, &error)),
        };
        for ((index, route), verdict) in taken.into_iter().zip(verdicts) {
            match verdict {
                Err(error) => outcome.refuse(index, &error),
                Ok(()) => {
                    let flags = NLM_F_CREATE | NLM_F_REPLACE;
                    wire::install(&mut self.requests, flags, self.ownership, route);
                    self.places.push(index);
                }
            }
            if self.is_full() {
                self.flush(outcome);
            }
        }
        self.flush(outcome);
    }

    fn set_group(&mut self, group: &Group) -> Result<(), Error> {
        let nexthops = self.load()?;
        let (known, before) = (nexthops.holds(group.id), nexthops.keys_of(group.id));
        let missing = nexthops.missing(group).map_err(|reason| Error::Netlink {
            what: Change::SetGroup(group.clone()).to_string(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, reason),
        })?;
        let result = self.make_group(group, known, &missing);
        let nexthops = self.load()?;
        let unneeded = match result {
            Ok(held) => {
                nexthops.hold(group.id, held);
                Ok(before)
            }
            Err(refusal) if !known && refusal.is(nix::Error::EEXIST) => {
                Err((missing, Error::ForeignGroup { id: group.id.0 }))
            }
            Err(refusal) => Err((missing, refusal.to(Change::SetGroup(group.clone())))),
        };
        let (unneeded, result) =
            unneeded.map_or_else(|(keys, error)| (keys, Err(error)), |keys| (keys, Ok(())));
        let unused = nexthops.forget_unused(&unneeded);
        self.remove_singles(&unused);
        result
    }

    /// Makes the missing singles of a group, and makes or replaces the group.
    fn make_group(&mut self, group: &Group, known: bool, missing: &[Key]) -> Result<Held, No> {
        for key in missing {
            self.make_single(*key)?;
        }
        let Some(nexthops) = &self.nexthops else { return Err(No::closed()) };
        let held = nexthops.plan(group);
        let protocol = self.ownership.protocol;
        let ask = |exchange: &mut Exchange| {
            // A number that we have not used may be somebody else's.
            let flags = NLM_F_CREATE | if known { NLM_F_REPLACE } else { NLM_F_EXCL };
            one(exchange, |requests| {
                nexthop::group(requests, flags, protocol, group.id, &held.entries, held.resilient);
            })
        };
        match ask(&mut self.exchange) {
            Err(refusal) if refusal.is(nix::Error::EINVAL) || refusal.is(nix::Error::ENOENT) => {
                for (key, entry) in held.keys.iter().zip(&held.entries) {
                    // Those that the kernel has not removed exist.
                    match create_single(&mut self.exchange, protocol, *key, entry.id) {
                        Err(refusal) if !refusal.is(nix::Error::EEXIST) => return Err(refusal),
                        _ => {}
                    }
                }
                ask(&mut self.exchange)
            }
            result => result,
        }?;
        Ok(held)
    }

    /// Makes a single under a number that is free.
    fn make_single(&mut self, key: Key) -> Result<(), No> {
        /// Somebody else has as many of our numbers in a row.
        const ATTEMPTS: usize = 1000;
        let Some(nexthops) = &mut self.nexthops else { return Err(No::closed()) };
        let mut result = Ok(());
        for _ in 0..ATTEMPTS {
            let id = nexthops.add(key);
            result = create_single(&mut self.exchange, self.ownership.protocol, key, id);
            match &result {
                Err(refusal) if refusal.is(nix::Error::EEXIST) => nexthops.forget(key),
                Err(_) => {
                    nexthops.forget(key);
                    break;
                }
                Ok(()) => break,
            }
        }
        result
    }

    fn remove_group(&mut self, id: GroupId) -> Result<(), Error> {
        let nexthops = self.load()?;
        // What we do not know is somebody else's, or gone.
        if !nexthops.holds(id) {
            return Ok(());
        }
        self.remove_object(id.0).map_err(|refusal| refusal.to(Change::RemoveGroup(id)))?;
        let nexthops = self.load()?;
        let keys = nexthops.keys_of(id);
        nexthops.drop_group(id);
        let unused = nexthops.forget_unused(&keys);
        self.remove_singles(&unused);
        Ok(())
    }

    fn remove_singles(&mut self, ids: &[u32]) {
        for id in ids {
            // Nothing refers to it: that it stays does no harm, and the next start removes it.
            if let Err(refusal) = self.remove_object(*id) {
                tracing::debug!("{}", refusal.to(format_args!("remove nexthop object {id}")));
            }
        }
    }

    fn remove_object(&mut self, id: u32) -> Result<(), No> {
        match one(&mut self.exchange, |requests| nexthop::remove(requests, id)) {
            Err(refusal) if !refusal.is(nix::Error::ENOENT) => Err(refusal),
            _ => Ok(()),
        }
    }

    /// The nexthop objects of ours.
    fn load(&mut self) -> Result<&mut Nexthops, Error> {
        if self.nexthops.is_none() {
            self.nexthops = found::nexthops(&mut self.exchange, self.ownership.protocol)?;
        }
        self.nexthops.as_mut().ok_or(Error::NoNexthopGroups)
    }
}

/// Whether the kernel would take the route to mean another.
fn is_unspeakable(route: &Route) -> bool {
    route.metric == 0 && route.prefix.family() == Family::Ipv6Unicast
}

/// Makes one request.
fn one(exchange: &mut Exchange, fill: impl FnOnce(&mut Requests)) -> Result<(), No> {
    let mut requests = Requests::default();
    fill(&mut requests);
    exchange.ask(&mut requests).pop().map_or(Ok(()), |(_, refusal)| Err(refusal))
}

fn create_single(exchange: &mut Exchange, protocol: u8, (via, interface): Key, id: u32) -> Result<(), No> {
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    one(exchange, |requests| nexthop::single(requests, flags, protocol, id, via, interface))
}
