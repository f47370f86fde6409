//! A kernel that does as told, or refuses: routes, and groups of next hops that they refer to.

use std::collections::BTreeMap;

use routelet::fib::{Batch, Change, Found, Group, GroupId, Refusal, Route, Target};
use routelet::prefix::Prefix;

/// Where packets go, by prefix and metric.
pub type Kernel = BTreeMap<(Prefix, u32), Target>;

/// The groups of a kernel.
#[derive(Default)]
pub struct Groups {
    groups: BTreeMap<GroupId, Group>,
    /// Which routes refer to which. One that somebody has replaced since goes elsewhere.
    refer: BTreeMap<(Prefix, u32), GroupId>,
}

impl Groups {
    /// What a reboot leaves.
    pub fn clear(&mut self) {
        *self = Groups::default();
    }

    /// Makes a batch of changes and says what was refused.
    pub fn change(&mut self, kernel: &mut Kernel, batch: &Batch, refuses: bool) -> Vec<Refusal> {
        let mut refusals = vec![];
        for (index, change) in batch.changes.iter().enumerate() {
            if refuses || self.apply(kernel, change).is_none() {
                let reason = "refused by the kernel".to_owned();
                refusals.push(Refusal { index, reason, conflict: false });
            }
        }
        refusals
    }

    fn apply(&mut self, kernel: &mut Kernel, change: &Change) -> Option<()> {
        match change {
            Change::Install(route) | Change::Replace(route) => {
                let key = (route.prefix, route.metric);
                let target = match route.group {
                    Some(id) => {
                        let group = self.groups.get(&id)?;
                        self.refer.insert(key, id);
                        Target::Via(group.members.clone())
                    }
                    None => {
                        self.refer.remove(&key);
                        route.target.clone()
                    }
                };
                kernel.insert(key, target);
            }
            Change::Remove { prefix, metric } => {
                self.refer.remove(&(*prefix, *metric));
                kernel.remove(&(*prefix, *metric));
            }
            Change::SetGroup(group) => {
                assert!(group.members.iter().all(|hop| hop.interface.is_some()) && !group.members.is_empty());
                for key in self.referring(kernel, group.id) {
                    kernel.insert(key, Target::Via(group.members.clone()));
                }
                self.groups.insert(group.id, group.clone());
            }
            Change::RemoveGroup(id) => {
                for key in self.referring(kernel, *id) {
                    self.refer.remove(&key);
                    kernel.remove(&key);
                }
                self.groups.remove(id);
            }
        }
        Some(())
    }

    /// Routes that refer to a group still.
    fn referring(&self, kernel: &Kernel, id: GroupId) -> Vec<(Prefix, u32)> {
        let Some(group) = self.groups.get(&id) else { return vec![] };
        let target = Target::Via(group.members.clone());
        let of_group = self.refer.iter().filter(|(key, of)| **of == id && kernel.get(key) == Some(&target));
        of_group.map(|(key, _)| *key).collect()
    }

    /// What the kernel holds.
    pub fn found(&self, kernel: &Kernel) -> Found {
        let route = |((prefix, metric), target): (&(Prefix, u32), &Target)| {
            let id = self.refer.get(&(*prefix, *metric)).copied();
            let members =
                id.and_then(|id| self.groups.get(&id)).map(|group| Target::Via(group.members.clone()));
            let group = id.filter(|_| members.as_ref() == Some(target));
            Route { prefix: *prefix, metric: *metric, target: target.clone(), group }
        };
        Found {
            routes: kernel.iter().map(route).collect(),
            groups: Some(self.groups.values().cloned().collect()),
        }
    }
}
