//! Keeps the policy rules that lead to our routing table: made when the objects ask for them, found again
//! after a restart, made anew when somebody removes them, and removed when nobody wants them any more.
//!
//! A rule that comes before `main`'s would hide what the node is connected to behind a less specific route of
//! our table, such as a default route or the aggregate of the node's own pods. In one table the most specific
//! route wins. For the same to hold in two, rules before ours send what goes to a connected network to
//! `main`, as far as `main` knows more than a wider route. Without them a learned default route would also
//! keep Linux from taking IPv6 routes through routers on the link: it looks for these by the rules, and takes
//! no router that is itself behind one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use ipnetwork::IpNetwork;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::rounds::{RETRY, Rounds};
use crate::api::RuleView;
use crate::cluster::{Compiled, RuleIntent};
use crate::kernel::rules::{Outcome, Rule};
use crate::kernel::{Error, Netlink, bell, sysctl};
use crate::prefix::{Family, Prefix};

/// The table of the kernel's own routes to what is connected.
const MAIN: u32 = 254;

/// Who looks after the rules.
#[derive(Debug)]
pub struct Keeper {
    netlink: Netlink,
    /// What the objects ask for; nothing is touched before they do.
    compiled: watch::Receiver<Option<Arc<Compiled>>>,
    /// How the rules stand, for the API and the metrics.
    told: watch::Sender<Vec<RuleView>>,
}

impl Keeper {
    /// A keeper, and how it finds the rules to stand.
    ///
    /// # Errors
    /// The kernel cannot be talked to.
    pub fn new(
        compiled: watch::Receiver<Option<Arc<Compiled>>>,
    ) -> Result<(Keeper, watch::Receiver<Vec<RuleView>>), Error> {
        let (told, seen) = watch::channel(vec![]);
        Ok((Keeper { netlink: Netlink::open()?, compiled, told }, seen))
    }

    /// Runs until nobody reads the objects any more.
    pub async fn run(self) {
        let mut rounds = Rounds::begin(self.compiled.clone(), bell::RULES_AND_ADDRESSES, "policy rules");
        let mut known = Known::default();
        loop {
            let in_order = match rounds.look() {
                Some(compiled) => self.look_after(&compiled, &mut known).await,
                None => true,
            };
            if !rounds.next(in_order).await {
                return;
            }
        }
    }

    /// Brings the rules in line, and tells how they stand; `false` if something is missing.
    async fn look_after(&self, compiled: &Compiled, known: &mut Known) -> bool {
        let protocol = compiled.intent.fib.protocol;
        let outcome = async {
            let wanted = wanted(&self.netlink, compiled).await?;
            let outcome = self.netlink.set_rules(protocol, &wanted).await?;
            if let Some(before) = known.protocol.replace(protocol).filter(|before| *before != protocol) {
                leave(&self.netlink, before).await?;
            }
            Ok::<_, Error>((wanted, outcome))
        };
        let (wanted, outcome) = match outcome.await {
            Ok(done) => done,
            Err(error) => {
                warn!("policy rules cannot be looked after: {error}; trying again in {RETRY:?}");
                return false;
            }
        };
        let refused: BTreeMap<&Rule, String> =
            outcome.refused.iter().map(|(rule, error)| (rule, error.to_string())).collect();
        let view = |rule: &Rule| RuleView {
            family: rule.family,
            rule: rule.to_string(),
            error: refused.get(rule).cloned(),
        };
        self.told.send_replace(wanted.iter().map(view).collect());
        known.tell(&outcome);
        known.wanted = wanted;
        refused.is_empty() && outcome.left_behind.is_empty()
    }
}

/// Ends a keeper. If the node leaves for good, its rules go with it.
///
/// # Errors
/// The rules there are cannot be read.
pub async fn end(keeper: JoinHandle<()>, leaves: Option<&Compiled>) -> anyhow::Result<()> {
    keeper.abort();
    // Until it has ended, it would put back what is removed.
    let _ = keeper.await;
    if let Some(compiled) = leaves {
        leave(&Netlink::open()?, compiled.intent.fib.protocol).await.context("removing policy rules")?;
    }
    Ok(())
}

/// Removes every rule of ours, as far as the kernel lets us.
async fn leave(netlink: &Netlink, protocol: u8) -> Result<(), Error> {
    let outcome = netlink.set_rules(protocol, &BTreeSet::new()).await?;
    for rule in &outcome.removed {
        info!("removed rule {rule}");
    }
    for error in &outcome.left_behind {
        warn!("{error}");
    }
    Ok(())
}

/// What was wanted and said last.
#[derive(Debug, Default)]
struct Known {
    protocol: Option<u8>,
    wanted: BTreeSet<Rule>,
    errors: BTreeSet<String>,
}

impl Known {
    /// Tells what has been done, and of each failure once.
    fn tell(&mut self, outcome: &Outcome) {
        for rule in &outcome.made {
            if self.wanted.contains(rule) {
                warn!("made rule {rule} again: somebody had removed it");
            } else {
                info!("made rule {rule}");
            }
        }
        for rule in &outcome.removed {
            info!("removed rule {rule}");
        }
        let refused = outcome.refused.iter().map(|(_, error)| error);
        let errors: BTreeSet<String> = refused.chain(&outcome.left_behind).map(ToString::to_string).collect();
        for error in errors.difference(&self.errors) {
            warn!("{error}; trying again every {RETRY:?}");
        }
        self.errors = errors;
    }
}

/// The rules that there should be.
async fn wanted(netlink: &Netlink, compiled: &Compiled) -> Result<BTreeSet<Rule>, Error> {
    let (rules, network) = (&compiled.network.rules, &compiled.network);
    if rules.is_empty() {
        return Ok(BTreeSet::new());
    }
    let addresses = netlink.link_addresses().await?;
    let connected = addresses.iter().filter_map(|(_, network)| connected(*network));
    let connected = connected.chain(network.pod_cidrs.iter().copied()).collect();
    let families: &[Family] =
        if sysctl::has(Family::Ipv6Unicast) { &Family::ALL } else { &[Family::Ipv4Unicast] };
    Ok(compose(rules, compiled.intent.fib.table, &connected, families))
}

/// The network that an address connects to, but for the loopback's.
fn connected(network: IpNetwork) -> Option<Prefix> {
    let prefix = Prefix::new(network.network(), network.prefix())?;
    let alone = prefix == Prefix::host(prefix.address());
    (!alone && !network.ip().is_loopback()).then_some(prefix)
}

/// The rules that lead to a table, with those before them for connected networks.
fn compose(
    intents: &[RuleIntent],
    table: u32,
    connected: &BTreeSet<Prefix>,
    families: &[Family],
) -> BTreeSet<Rule> {
    let mut rules = BTreeSet::new();
    for intent in intents {
        let named = intent.from.or(intent.to).map(Prefix::family);
        for family in families.iter().copied().filter(|family| named.is_none_or(|named| named == *family)) {
            rules.insert(Rule {
                priority: intent.priority,
                family,
                from: intent.from,
                to: intent.to,
                interface: intent.interface.clone(),
                mark: intent.mark,
                table,
                longer_than: None,
            });
        }
    }
    let before = intents.iter().map(|intent| intent.priority).min().unwrap_or_default().saturating_sub(1);
    let guards = connected.iter().filter(|prefix| rules.iter().any(|rule| rule.family == prefix.family()));
    let guards: Vec<Rule> = guards.map(|prefix| guard(*prefix, before)).collect();
    rules.extend(guards);
    rules
}

/// What goes to a connected network is routed by `main`, if that has a route to it or to a part of it.
fn guard(prefix: Prefix, priority: u32) -> Rule {
    Rule {
        priority,
        family: prefix.family(),
        from: None,
        to: Some(prefix),
        interface: None,
        mark: None,
        table: MAIN,
        longer_than: prefix.length().checked_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(intents: &[RuleIntent], connected: &[&str], families: &[Family]) -> Vec<String> {
        let connected = connected.iter().map(|prefix| prefix.parse().unwrap()).collect();
        let rules = compose(intents, 100, &connected, families);
        rules.iter().map(|rule| format!("{} {rule}", rule.family)).collect()
    }

    fn intent(priority: u32, from: Option<&str>) -> RuleIntent {
        RuleIntent {
            priority,
            from: from.map(|prefix| prefix.parse().unwrap()),
            to: None,
            interface: None,
            mark: None,
        }
    }

    #[test]
    fn connected_networks_come_first() {
        let rules = [intent(1000, Some("10.244.0.0/16")), intent(900, Some("10.245.0.0/16"))];
        assert_eq!(
            shown(&rules, &["192.168.1.0/24", "fd00::/64"], &Family::ALL),
            [
                "ipv4Unicast 899: from all to 192.168.1.0/24 lookup main suppress_prefixlength 23",
                "ipv4Unicast 900: from 10.245.0.0/16 lookup 100",
                "ipv4Unicast 1000: from 10.244.0.0/16 lookup 100",
            ]
        );
    }

    #[test]
    fn a_rule_without_addresses_holds_for_every_family_that_there_is() {
        let rules = [intent(2, None)];
        let networks = ["192.168.1.0/24", "fe80::/64"];
        assert_eq!(
            shown(&rules, &networks, &Family::ALL),
            [
                "ipv4Unicast 1: from all to 192.168.1.0/24 lookup main suppress_prefixlength 23",
                "ipv6Unicast 1: from all to fe80::/64 lookup main suppress_prefixlength 63",
                "ipv4Unicast 2: from all lookup 100",
                "ipv6Unicast 2: from all lookup 100",
            ]
        );
        assert_eq!(shown(&rules, &networks, &Family::ALL[..1]).len(), 2);
        assert_eq!(shown(&[], &networks, &Family::ALL).len(), 0);
    }

    #[test]
    fn only_networks_of_more_than_one_address_are_connected() {
        let connected = |network: &str| connected(network.parse().unwrap()).map(|prefix| prefix.to_string());
        assert_eq!(connected("192.168.1.11/24").as_deref(), Some("192.168.1.0/24"));
        assert_eq!(connected("fe80::1/64").as_deref(), Some("fe80::/64"));
        assert_eq!(connected("127.0.0.1/8"), None);
        assert_eq!(connected("203.0.113.1/32"), None);
    }
}
