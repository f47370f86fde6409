//! Which addresses an owner gets: the policy. Changes nothing.

use std::net::IpAddr;

use super::disk::Disk;
use super::resting::Resting;
use super::{Allocation, Error, Range, RangeSet};

/// How many candidates are looked at one by one before the whole directory is listed, which costs as
/// much as 3,000 of them where 16,000 addresses are taken. Nearly always the first is free, for
/// allocation goes round; and where 16,000 of a /18 are taken here and there, 42 are looked at on
/// average, and all of these 512 are taken six times in a million.
const PROBES: usize = 512;

/// Name of the file that holds the address given last from the range set at this place.
pub(super) fn last_reserved(index: usize) -> String {
    format!("last_reserved_ip.{index}")
}

/// One free address for each set: the requested one that it offers, or else the next one in turn that
/// does not rest.
///
/// # Errors
/// A requested address is not to be had, or a set has none left.
pub(super) fn choose(disk: &Disk, sets: &[RangeSet], requested: &[IpAddr]) -> Result<Vec<Allocation>, Error> {
    let mut choice = Choice { disk, resting: Resting::read(disk)?, chosen: Vec::new() };
    let mut asked = requested.to_vec();
    for (index, set) in sets.iter().enumerate() {
        let mine = asked.iter().position(|address| set.range_of(*address).is_some());
        let (address, range) = match mine.map(|at| asked.remove(at)) {
            Some(address) => choice.requested(address, set)?,
            None => choice.next_free(index, set)?,
        };
        choice.chosen.push(Allocation { address, range: range.clone() });
    }
    match asked.first() {
        None => Ok(choice.chosen),
        Some(address) => {
            let why = if sets.iter().any(|set| set.range_of(*address).is_some()) {
                "is of the same ranges as another one requested, and a pod gets one address of them"
            } else {
                "is in none of the ranges, or is not for pods"
            };
            Err(Error::Requested { address: *address, why: why.to_owned() })
        }
    }
}

struct Choice<'a> {
    disk: &'a Disk,
    resting: Resting,
    chosen: Vec<Allocation>,
}

impl Choice<'_> {
    /// An address that was asked for is given even if it rests: who asks for it wants that one.
    fn requested<'s>(&self, address: IpAddr, set: &'s RangeSet) -> Result<(IpAddr, &'s Range), Error> {
        match set.range_of(address) {
            Some(range) if !self.is_taken(address) => Ok((address, range)),
            _ => Err(Error::Taken { address }),
        }
    }

    fn next_free<'s>(&self, index: usize, set: &'s RangeSet) -> Result<(IpAddr, &'s Range), Error> {
        let last = self.disk.read(&last_reserved(index))?.and_then(|text| text.trim().parse().ok());
        let probed = set.after(last).take(PROBES).find(|(a, _)| !self.is_taken(*a) && !self.resting.has(*a));
        if let Some(free) = probed {
            return Ok(free);
        }
        let taken = self.disk.taken()?;
        let is_free = |address: &IpAddr| taken.binary_search(address).is_err() && !self.is_chosen(*address);
        let rested = set.after(last).find(|(a, _)| is_free(a) && !self.resting.has(*a));
        let rests_longest =
            || self.resting.in_order().into_iter().filter(is_free).find_map(|a| Some((a, set.range_of(a)?)));
        rested
            .or_else(rests_longest)
            .ok_or_else(|| Error::Exhausted { ranges: set.to_string(), taken: taken.len() })
    }

    fn is_taken(&self, address: IpAddr) -> bool {
        self.is_chosen(address) || self.disk.has(&address.to_string())
    }

    /// Whether it is to come out of another set already.
    fn is_chosen(&self, address: IpAddr) -> bool {
        self.chosen.iter().any(|allocation| allocation.address == address)
    }
}
