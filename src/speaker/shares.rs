//! How multipath divides packets: in equal shares, or by link bandwidth where every path says one
//! (draft-ietf-idr-link-bandwidth §2).

use std::net::IpAddr;

use crate::bgp::{ExtendedCommunity, PathAttributes};
use crate::fib::NextHop;

/// The widest link's weight before weights are brought to their smallest terms: shares are exact to a
/// hundredth of it, and the kernel's limit of 256 is far.
const WIDEST: f32 = 100.0;

/// A way out that a path offers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Offer {
    pub(super) via: IpAddr,
    pub(super) interface: Option<u32>,
    /// In octets per second, where its path says so.
    pub(super) bandwidth: Option<f32>,
}

/// What a path says of the bandwidth behind its next hop.
pub(super) fn bandwidth(attributes: &PathAttributes) -> Option<f32> {
    attributes.rare.extended_communities.iter().find_map(|octets| ExtendedCommunity(*octets).bandwidth())
}

/// The next hops for packets, the first `most` that differ: of paths that share one, the bandwidth of
/// the first counts.
pub(super) fn shared_out(offers: impl IntoIterator<Item = Offer>, most: usize) -> Vec<NextHop> {
    let mut used: Vec<Offer> = vec![];
    for offer in offers {
        let known = used.iter().any(|u| (u.via, u.interface) == (offer.via, offer.interface));
        if !known && used.len() < most {
            used.push(offer);
        }
    }
    let weights = weights(&used);
    let hop = |(offer, weight): (&Offer, u8)| NextHop { via: offer.via, interface: offer.interface, weight };
    let mut hops: Vec<NextHop> = used.iter().zip(weights).map(hop).collect();
    hops.sort_unstable();
    hops
}

/// One weight for each offer, in smallest terms. All are 1 unless each offer says a bandwidth: beside
/// one that does not, the others' numbers mean nothing.
fn weights(offers: &[Offer]) -> Vec<u8> {
    let rates: Option<Vec<f32>> = offers.iter().map(|offer| offer.bandwidth).collect();
    let Some(rates) = rates else { return vec![1; offers.len()] };
    let widest = rates.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to 100, for each rate is positive and none above the widest"
    )]
    let weights: Vec<u8> =
        rates.iter().map(|rate| (rate / widest * WIDEST).round().clamp(1.0, WIDEST) as u8).collect();
    let common = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    weights.into_iter().map(|weight| weight / common).collect()
}

fn greatest_common_divisor(a: u8, b: u8) -> u8 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offers(bandwidths: &[Option<f32>]) -> Vec<Offer> {
        let offer = |(i, bandwidth): (u8, &Option<f32>)| Offer {
            via: [192, 168, 1, i].into(),
            interface: Some(2),
            bandwidth: *bandwidth,
        };
        (1..).zip(bandwidths).map(offer).collect()
    }

    #[test]
    fn shares_follow_bandwidth_where_every_path_says_one() {
        let weights = |bandwidths: &[Option<f32>]| weights(&offers(bandwidths));
        assert_eq!(weights(&[Some(1.25e9), Some(5e9)]), [1, 4]);
        assert_eq!(weights(&[Some(7e9), Some(7e9), Some(7e9)]), [1, 1, 1]);
        assert_eq!(weights(&[Some(1.25e9), None]), [1, 1], "the other's is not known");
        assert_eq!(weights(&[Some(1.0), Some(f32::MAX)]), [1, 100], "each gets something");
        assert_eq!(weights(&[Some(f32::MIN_POSITIVE / 2.0), Some(f32::MIN_POSITIVE / 2.0)]).len(), 2);
        assert!(weights(&[]).is_empty());
    }

    #[test]
    fn a_next_hop_is_used_once_and_no_more_than_allowed() {
        let mut all = offers(&[Some(1e9), Some(2e9), Some(3e9)]);
        all.insert(1, Offer { bandwidth: Some(9e9), ..all[0] });
        let hops = shared_out(all, 2);
        let shown: Vec<_> = hops.iter().map(|hop| (hop.via.to_string(), hop.weight)).collect();
        assert_eq!(shown, [("192.168.1.1".to_owned(), 1), ("192.168.1.2".to_owned(), 2)]);
    }

    proptest! {
        #[test]
        fn a_wider_link_never_gets_less(rates in prop::collection::vec(1.0..1e12_f32, 1..17)) {
            let weights = weights(&offers(&rates.iter().copied().map(Some).collect::<Vec<_>>()));
            for (rate, weight) in rates.iter().zip(&weights) {
                prop_assert!((1..=100).contains(weight));
                let wider = rates.iter().zip(&weights).filter(|(other, _)| *other >= rate);
                prop_assert!(wider.into_iter().all(|(_, other)| other >= weight));
            }
        }
    }
}
