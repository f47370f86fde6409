//! Keeps the kernel's settings right, and says where they are not.
//!
//! Looks at once when the kernel reports a change of most of them, and each minute, for about some it says
//! nothing. What has been turned off behind our back is turned on again before the driver hears of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::input::Input;
use super::rounds::Rounds;
use crate::api::SettingView;
use crate::cluster::Compiled;
use crate::kernel::settings::{IPV6_ON_THE_BRIDGE, Needs, Setting, Settings, Weight};
use crate::kernel::{Error, Netlink, bell};
use crate::prefix::{Family, Prefix};

/// Pods that a node is expected to have, however many addresses there are for them.
const PODS: u64 = 256;

/// Who looks after the settings.
#[derive(Debug)]
pub struct Keeper {
    netlink: Netlink,
    /// What the objects ask for; nothing is touched before they do.
    compiled: watch::Receiver<Option<Arc<Compiled>>>,
    /// What has been found, for the API and the metrics.
    told: watch::Sender<Vec<SettingView>>,
    /// Whom to ask to prepare the node anew: the bridge has lost its addresses.
    prepare: Arc<Notify>,
    /// The driver.
    inputs: Sender<Input>,
}

impl Keeper {
    /// A keeper, and what it finds. It asks by `prepare` for the node to be prepared anew.
    ///
    /// # Errors
    /// The kernel cannot be talked to.
    pub fn new(
        compiled: watch::Receiver<Option<Arc<Compiled>>>,
        prepare: Arc<Notify>,
        inputs: Sender<Input>,
    ) -> Result<(Keeper, watch::Receiver<Vec<SettingView>>), Error> {
        let (told, seen) = watch::channel(vec![]);
        Ok((Keeper { netlink: Netlink::open()?, compiled, told, prepare, inputs }, seen))
    }

    /// Runs until the driver is gone.
    pub async fn run(self) {
        let mut rounds = Rounds::begin(self.compiled.clone(), bell::SETTINGS, "kernel settings");
        let mut settings = Settings::default();
        let mut known: Option<BTreeSet<String>> = None;
        loop {
            let mut in_order = true;
            if let Some(compiled) = rounds.look() {
                let found = settings.check(&needs(&self.netlink, &compiled).await);
                log(&found, &mut known);
                let wrong = |s: &&Setting| s.weight == Weight::Needed && !s.faults.is_empty();
                in_order = !found.iter().any(|s| wrong(&s));
                if !self.tell(&found).await {
                    return;
                }
            }
            tokio::select! {
                told = rounds.next(in_order) => if !told { return },
                () = self.inputs.closed() => return,
            }
        }
    }
}

impl Keeper {
    /// Passes on what has been found; `false` when nobody listens any more.
    async fn tell(&self, found: &[Setting]) -> bool {
        if found.iter().any(|s| s.name == IPV6_ON_THE_BRIDGE && !s.repairs.is_empty()) {
            self.prepare.notify_one();
        }
        self.told.send_replace(found.iter().map(view).collect());
        let mut unforwarded: BTreeMap<Family, String> = BTreeMap::new();
        for setting in found {
            if let (Some(family), Some(fault)) = (setting.stops, setting.faults.first()) {
                unforwarded.entry(family).or_insert_with(|| fault.to_string());
            }
        }
        self.inputs.send(Input::Unforwarded(unforwarded)).await.is_ok()
    }
}

/// What the objects ask of the kernel.
async fn needs(netlink: &Netlink, compiled: &Compiled) -> Needs {
    let (intent, network) = (&compiled.intent, &compiled.network);
    let pods = |prefix: &Prefix| {
        let length = Prefix::host(prefix.address()).length() - prefix.length();
        1u64.checked_shl(length.into()).unwrap_or(u64::MAX).min(PODS)
    };
    let most_pods = network.pod_cidrs.iter().map(pods).max().unwrap_or_default();
    Needs {
        families: network.pod_cidrs.iter().map(|prefix| prefix.family()).collect(),
        bridge: network.pods.bridge.clone(),
        uplinks: uplinks(netlink, compiled).await,
        multipath: intent.fib.install && intent.fib.max_paths > 1,
        loose_reverse_path: network.loose_reverse_path,
        hosts: intent.peers.len() as u64 + most_pods,
    }
}

/// The interfaces that the node's addresses are on, and those by which peers are reached without a
/// router.
async fn uplinks(netlink: &Netlink, compiled: &Compiled) -> BTreeSet<String> {
    let intent = &compiled.intent;
    let mut names: BTreeSet<String> =
        intent.peers.values().filter_map(|peer| peer.interface.clone()).collect();
    let (Ok(links), Ok(addresses)) = (netlink.links().await, netlink.link_addresses().await) else {
        return names;
    };
    let peers: BTreeSet<IpAddr> = intent.peers.values().map(|peer| peer.address).collect();
    let leads_to_peers = |network: &IpNetwork| {
        intent.addresses.contains(&network.ip()) || peers.iter().any(|peer| network.contains(*peer))
    };
    for link in
        links.into_iter().filter(|link| link.name != "lo" && link.name != compiled.network.pods.bridge)
    {
        if addresses.iter().any(|(index, network)| *index == link.index && leads_to_peers(network)) {
            names.insert(link.name);
        }
    }
    names
}

/// Tells of what has been set, and of each fault when it comes and when it goes.
fn log(found: &[Setting], known: &mut Option<BTreeSet<String>>) {
    let first = known.is_none();
    for repair in found.iter().flat_map(|setting| &setting.repairs) {
        if first {
            info!("{repair}");
        } else {
            warn!("somebody has changed a setting that we need: {repair}");
        }
    }
    let mut faults = BTreeSet::new();
    let before = known.take().unwrap_or_default();
    for setting in found {
        for fault in setting.faults.iter().map(ToString::to_string) {
            match (before.contains(&fault), setting.weight) {
                (true, _) => {}
                (false, Weight::Needed) => warn!("{fault}"),
                (false, Weight::Advised) => info!("{fault}"),
            }
            faults.insert(fault);
        }
    }
    for gone in before.difference(&faults) {
        info!("no longer: {gone}");
    }
    *known = Some(faults);
}

fn view(setting: &Setting) -> SettingView {
    SettingView {
        name: setting.name.to_owned(),
        needed: setting.weight == Weight::Needed,
        set: setting.set,
        faults: setting.faults.iter().map(ToString::to_string).collect(),
    }
}
