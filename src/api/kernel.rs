//! What is shown of the kernel as the daemon last found it: settings, policy rules, and in how many routes
//! it differed from what is desired.

use super::proto;
use crate::prefix::Family;

/// Settings and rules of the kernel, and what became of its routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KernelView {
    /// Settings that matter to this node.
    pub settings: Vec<SettingView>,
    /// Policy rules of ours, in the kernel's order.
    pub rules: Vec<RuleView>,
    /// Routes for which the last audit found the kernel to hold something else than is desired; `None`
    /// before the first.
    pub differences: Option<u64>,
}

/// One setting, or one that every interface has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingView {
    /// Its name, such as `net.ipv4.conf.*.rp_filter`, where `*` stands for interfaces.
    pub name: String,
    /// Packets are lost while it is wrong; otherwise its value is mere advice.
    pub needed: bool,
    /// We have set it.
    pub set: bool,
    /// What is wrong with it, in words; empty where it is right.
    pub faults: Vec<String>,
}

/// A policy rule of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleView {
    /// Of which family the packets are.
    pub family: Family,
    /// The rule, as ip-rule(8) shows it.
    pub rule: String,
    /// Why the kernel has it not.
    pub error: Option<String>,
}

impl KernelView {
    /// Adds itself to a summary.
    pub(super) fn tell(self, summary: &mut proto::Summary) {
        summary.settings = self.settings.into_iter().map(Into::into).collect();
        summary.rules = self.rules.into_iter().map(Into::into).collect();
    }
}

impl From<SettingView> for proto::KernelSetting {
    fn from(view: SettingView) -> Self {
        let SettingView { name, needed, set, faults } = view;
        proto::KernelSetting { name, needed, set, faults }
    }
}

impl From<RuleView> for proto::Rule {
    fn from(view: RuleView) -> Self {
        let family = super::convert::family_number(view.family);
        proto::Rule { family, rule: view.rule, error: view.error }
    }
}
