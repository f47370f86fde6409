//! Metrics of what pods are attached with: addresses, nftables, the runtime's configuration.

use super::exposition::{Exposition, sample};
use crate::api::PodsView;

impl Exposition {
    /// Adds them.
    pub fn pods(&mut self, pods: &PodsView) {
        let addresses = pods.pools.iter().flat_map(|pool| {
            let prefix = pool.prefix.to_string();
            let free = if pool.former { 0 } else { pool.size.saturating_sub(pool.taken) };
            [("taken", pool.taken), ("free", free)]
                .map(|(state, count)| sample([("pool", prefix.as_str()), ("state", state)], count))
        });
        let help = "Addresses for pods by pod CIDR and state: taken, or free. None of a pod CIDR that the node no \
                    longer has is free.";
        self.gauge("routelet_ipam_addresses", help, addresses);
        let help = "Addresses freed of pods that were gone without a word of their runtime.";
        self.counter("routelet_ipam_swept_total", help, [sample([], pods.swept)]);
        let firewall = &pods.firewall;
        let help = "Prefixes that see pods under their own addresses, where pods are masqueraded.";
        self.gauge(
            "routelet_masquerade_exempt_prefixes",
            help,
            firewall.exempt.map(|count| sample([], count)),
        );
        let help = "Chains of others that drop what is forwarded unless a rule of theirs accepts it.";
        self.gauge("routelet_nftables_dropping_chains", help, [sample([], firewall.dropping.len() as u64)]);
        let right =
            pods.config.iter().map(|config| sample([], (config.in_place && config.fault.is_none()).into()));
        let help = "Whether the container runtime's network configuration is in place and the first it finds: 1, \
                    else 0.";
        self.gauge("routelet_cni_config_in_place", help, right);
    }
}
