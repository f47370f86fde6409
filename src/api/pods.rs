//! What is shown of how pods are attached: the container runtime's configuration, and the addresses.

use super::proto;
use crate::prefix::Prefix;

/// How pods are attached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodsView {
    /// The container runtime's configuration, where the daemon writes one.
    pub config: Option<CniConfigView>,
    /// Pod CIDRs of the node, where the daemon knows where addresses are kept.
    pub pools: Vec<PoolView>,
    /// Addresses freed, since the daemon started, of pods that were gone without a word of their runtime.
    pub swept: u64,
    /// What nftables do with packets of pods.
    pub firewall: FirewallView,
}

/// What nftables do with packets of pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirewallView {
    /// Prefixes that see pods under their own addresses; `None` where nobody is masqueraded.
    pub exempt: Option<u64>,
    /// Too many routes have been learned to exempt any of their destinations.
    pub too_many_learned: bool,
    /// Chains of others that drop what is forwarded unless a rule of theirs accepts it, as `nft` names them.
    pub dropping: Vec<String>,
    /// Why nftables cannot be looked after.
    pub fault: Option<String>,
}

/// The container runtime's network configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniConfigView {
    /// The file.
    pub path: String,
    /// It is there, and as it should be.
    pub in_place: bool,
    /// Why it is not, or why the runtime does not heed it. Words for a person.
    pub fault: Option<String>,
}

/// Addresses of a pod CIDR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolView {
    /// The pod CIDR.
    pub prefix: Prefix,
    /// Addresses that pods have.
    pub taken: u64,
    /// Addresses that there are for pods, taken or not.
    pub size: u64,
    /// No new pod gets one of them: the node has other pod CIDRs by now.
    pub former: bool,
}

impl PodsView {
    /// Adds itself to a summary.
    pub(super) fn tell(self, summary: &mut proto::Summary) {
        summary.cni_config = self.config.map(Into::into);
        summary.swept_addresses = self.swept;
        summary.firewall = Some(self.firewall.into());
        summary.pools = self.pools.into_iter().map(Into::into).collect();
    }
}

impl From<CniConfigView> for proto::CniConfig {
    fn from(view: CniConfigView) -> Self {
        let CniConfigView { path, in_place, fault } = view;
        proto::CniConfig { path, in_place, fault }
    }
}

impl From<FirewallView> for proto::Firewall {
    fn from(view: FirewallView) -> Self {
        let FirewallView { exempt, too_many_learned, dropping, fault } = view;
        proto::Firewall { exempt, too_many_learned, dropping, fault }
    }
}

impl From<PoolView> for proto::Pool {
    fn from(view: PoolView) -> Self {
        let PoolView { prefix, taken, size, former } = view;
        proto::Pool { prefix: prefix.to_string(), taken, size, former }
    }
}
