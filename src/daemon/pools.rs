//! How many addresses there are for pods, and how many of them are taken.

use std::path::Path;

use crate::api::PoolView;
use crate::ipam::{Error, NodeFile, RangeSet, RangeSpec, Store, Usage};
use crate::prefix::Prefix;

/// Counts the addresses of the pod CIDRs that a node file tells of, former ones last.
///
/// # Errors
/// The node file or the store cannot be read.
pub fn count(store: &Store, node_file: &Path) -> Result<Vec<PoolView>, Error> {
    let node = NodeFile::read(node_file)?.unwrap_or_default();
    let pool = |prefixes: &[Prefix], former| -> Result<Vec<PoolView>, Error> {
        let usages = prefixes.iter().zip(usage(store, prefixes)?);
        let view = |(prefix, usage): (&Prefix, Usage)| PoolView {
            prefix: *prefix,
            taken: usage.taken,
            size: usage.size.try_into().unwrap_or(u64::MAX),
            former,
        };
        Ok(usages.map(view).collect())
    };
    Ok([pool(&node.pod_cidrs, false)?, pool(&node.former_pod_cidrs, true)?].concat())
}

/// How far pod CIDRs are used.
///
/// # Errors
/// The store cannot be read, or a pod CIDR has no room for pods.
pub fn usage(store: &Store, prefixes: &[Prefix]) -> Result<Vec<Usage>, Error> {
    let set = |prefix: &Prefix| RangeSet::new(RangeSpec::whole(*prefix).ranges(&[])?);
    store.usage(&prefixes.iter().map(set).collect::<Result<Vec<_>, _>>()?)
}
