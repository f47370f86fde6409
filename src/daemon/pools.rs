//! How many addresses there are for pods, and how many of them are taken.

use std::net::IpAddr;
use std::path::Path;

use tracing::warn;

use crate::api::PoolView;
use crate::cluster::NodeNetwork;
use crate::ipam::node::FILE_NAME;
use crate::ipam::{NodeFile, RangeSpec, Store};
use crate::prefix::Prefix;

/// Counts the addresses of the node's pod CIDRs, and of former ones that the node file tells of.
pub async fn count(data_dir: &Path, network: &NodeNetwork, state_dir: &Path) -> Vec<PoolView> {
    let store = Store::new(data_dir, &network.pods.name);
    // As many names as there are pods.
    let listed = tokio::task::spawn_blocking(move || store.taken()).await;
    let taken: Vec<IpAddr> = match listed {
        Ok(Ok(taken)) => taken,
        Ok(Err(error)) => {
            warn!("how many addresses are taken is not known: {error}");
            return vec![];
        }
        Err(_) => return vec![],
    };
    let node_file = NodeFile::read(state_dir.join(FILE_NAME)).ok().flatten().unwrap_or_default();
    let current = network.pod_cidrs.iter().map(|prefix| (*prefix, false));
    let former = node_file.former_pod_cidrs.iter().map(|prefix| (*prefix, true));
    current.chain(former).map(|(prefix, former)| pool(prefix, former, &taken)).collect()
}

fn pool(prefix: Prefix, former: bool, taken: &[IpAddr]) -> PoolView {
    let taken = taken.iter().filter(|address| prefix.contains_address(**address)).count() as u64;
    PoolView { prefix, taken, size: size(prefix), former }
}

/// How many addresses the plugin gives out of a pod CIDR: all but those of the network, the gateway and, in
/// IPv4, the broadcast.
fn size(prefix: Prefix) -> u64 {
    let Ok(ranges) = RangeSpec::whole(prefix).ranges(&[]) else { return 0 };
    let of = |first: IpAddr, last: IpAddr| match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => u128::from(last.to_bits() - first.to_bits()) + 1,
        (IpAddr::V6(first), IpAddr::V6(last)) => (last.to_bits() - first.to_bits()).saturating_add(1),
        _ => 0,
    };
    let addresses = |range: &crate::ipam::Range| {
        let gateway = u128::from((range.first..=range.last).contains(&range.gateway));
        of(range.first, range.last) - gateway
    };
    u64::try_from(ranges.iter().map(addresses).sum::<u128>()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_as_many_addresses_as_pods_can_have() {
        let size = |prefix: &str| size(prefix.parse().unwrap());
        assert_eq!(size("10.244.1.0/24"), 253, ".0, .1 and .255 are none");
        assert_eq!(size("10.244.1.0/30"), 1);
        assert_eq!(size("10.244.1.0/31"), 0, "it has no room for a gateway");
        assert_eq!(size("fd00::/112"), 65_534);
        assert_eq!(size("fd00::/48"), u64::MAX);
    }
}
