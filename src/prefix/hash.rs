//! The hash of every table that is found by prefix: fast, and with a seed where peers say what is in the
//! table.
//!
//! Nothing is ever iterated by hash, so that its only influence is on speed; the same inputs give the
//! same tables all the same. The seed is its owner's and never taken from the machine here.

use std::hash::{Hash, Hasher};

/// A hasher that folds each word in by one wide multiplication.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Folded(u64);

/// Odd, with about as many ones as zeros: the digits of pi.
const MULTIPLIER: u64 = 0x2437_54a1_1e9d_9a3b;

/// What the hashes of one table begin with: who does not know it cannot choose prefixes whose hashes
/// collide, which would make finding one of them a search.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seed(Folded);

impl Seed {
    /// A seed of these digits, spread over all of its own.
    pub fn new(seed: u64) -> Seed {
        let mut folded = Folded::default();
        folded.fold(seed);
        Seed(folded)
    }

    /// The hash of one value under this seed.
    #[inline]
    pub(crate) fn hash(self, value: &impl Hash) -> u64 {
        let mut hasher = self.0;
        value.hash(&mut hasher);
        hasher.finish()
    }
}

/// The hash of one value.
#[inline]
pub(crate) fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = Folded::default();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Folded {
    #[inline]
    fn fold(&mut self, word: u64) {
        // The rotation keeps a zero product from forgetting that there was a word.
        let product = u128::from(self.0.rotate_left(23) ^ word ^ MULTIPLIER) * u128::from(MULTIPLIER);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for Folded {
    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.fold(value.into());
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.fold(value.into());
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        // Tables look at both ends of a hash, products vary most in the middle.
        let product = self.0.wrapping_mul(MULTIPLIER);
        product ^ (product >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::prefix::Net;

    #[test]
    fn neighbouring_prefixes_spread_over_both_ends_of_the_hash() {
        let nets = (0..65_536u32).map(|i| Net::new(std::net::Ipv4Addr::from_bits(i << 8), 24).unwrap());
        let hashes: Vec<u64> = nets.map(|net| hash_of(&net)).collect();
        // A random function would reach 63 % of as many values.
        let low: BTreeSet<u64> = hashes.iter().map(|hash| hash & 0xffff).collect();
        let high: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 48).collect();
        assert!(low.len() > 40_000 && high.len() > 40_000, "{} {}", low.len(), high.len());
    }

    #[test]
    fn prefixes_that_collide_under_one_seed_do_not_under_another() {
        let net = |i: u32| Net::new(std::net::Ipv4Addr::from_bits(i << 8), 24).unwrap();
        let (known, ours) = (Seed::new(1), Seed::new(2));
        let start = |seed: Seed, i: u32| seed.hash(&net(i)) & 0xff;
        let aimed: Vec<u32> = (0..65_536).filter(|i| start(known, *i) == 0).collect();
        let hit: BTreeSet<u64> = aimed.iter().map(|i| start(ours, *i)).collect();
        assert!(aimed.len() > 128 && hit.len() > 90, "{} of {}", hit.len(), aimed.len());
    }
}
